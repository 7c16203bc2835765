//! JSONColumns, JSONCompactColumns and JSONColumnsWithMetadata: the values of each column in one array. The whole result is one
//! block, so it is written, and read, when its end is known. JSON and JSONCompact are read here too.

use crate::json::{expected, push_string, skip_spaces, string_end, unescape, value_end};
use crate::json_document::end_document;
use crate::json_in::{CompactReader, ObjectReader};
use crate::json_rows::JsonCells;
use crate::output::{OutputFormat, ResultStats, replace_invalid_utf8};
use crate::rows::{ROW_BYTES_MAX, Rows, excerpt};
use crate::tsv::Header;
use crate::{FormatOptions, InputBatch, InputFormat};
use hydron_base::{Code, Error, Result};
use hydron_types::{Batch, Schema, Style};
use std::ops::Range;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Named,
    Compact,
    Metadata,
}

pub struct ColumnsWriter {
    schema: Arc<Schema>,
    options: FormatOptions,
    kind: Kind,
    /// What is written of each column.
    columns: Vec<Vec<u8>>,
    rows: u64,
}

impl ColumnsWriter {
    pub fn new(schema: &Arc<Schema>, options: &FormatOptions, kind: Kind) -> ColumnsWriter {
        ColumnsWriter {
            schema: Arc::clone(schema),
            options: options.clone(),
            kind,
            columns: vec![Vec::new(); schema.len()],
            rows: 0,
        }
    }

    fn data(&self, indent: &str, out: &mut Vec<u8>) {
        let (open, close) = if self.kind == Kind::Compact { ("[", "]") } else { ("{", "}") };
        out.extend_from_slice(format!("{indent}{open}\n").as_bytes());
        for (at, (field, values)) in self.schema.fields.iter().zip(&self.columns).enumerate() {
            if at > 0 {
                out.extend_from_slice(b",\n");
            }
            out.extend_from_slice(indent.as_bytes());
            out.push(b'\t');
            if self.kind != Kind::Compact {
                push_string(field.name.as_bytes(), self.options.text.json_escape_forward_slashes, out);
                out.extend_from_slice(b": ");
            }
            out.push(b'[');
            out.extend_from_slice(values);
            out.push(b']');
        }
        out.extend_from_slice(format!("\n{indent}{close}").as_bytes());
    }
}

impl OutputFormat for ColumnsWriter {
    fn content_type(&self) -> &'static str {
        "application/json; charset=UTF-8"
    }

    fn batch(&mut self, batch: &Batch, _: &mut Vec<u8>) -> Result<()> {
        let cells = JsonCells::of(batch, false, &self.options)?;
        for (column, out) in self.columns.iter_mut().enumerate() {
            let from = out.len();
            for row in 0..batch.rows() {
                if self.rows > 0 || row > 0 {
                    out.extend_from_slice(b", ");
                }
                cells.write(column, row, out);
            }
            replace_invalid_utf8(out, from);
        }
        self.rows += batch.rows() as u64;
        Ok(())
    }

    fn suffix(&mut self, stats: &ResultStats, out: &mut Vec<u8>) -> Result<()> {
        if self.kind != Kind::Metadata {
            self.data("", out);
            out.push(b'\n');
            return Ok(());
        }
        let slashes = self.options.text.json_escape_forward_slashes;
        out.extend_from_slice(b"{\n\t\"meta\":\n\t[\n");
        for (i, field) in self.schema.fields.iter().enumerate() {
            if i > 0 {
                out.extend_from_slice(b",\n");
            }
            out.extend_from_slice(b"\t\t{\n\t\t\t\"name\": ");
            push_string(field.name.as_bytes(), slashes, out);
            out.extend_from_slice(b",\n\t\t\t\"type\": ");
            push_string(self.options.native.names.of(&field.ty).as_bytes(), slashes, out);
            out.extend_from_slice(b"\n\t\t}");
        }
        out.extend_from_slice(b"\n\t],\n\n\t\"data\":\n");
        self.data("\t", out);
        end_document(self.rows, stats, self.options.write_statistics, out);
        Ok(())
    }
}

/// The rows of a whole document: arrays of values by name or by place, or objects and arrays of rows under `data`.
pub struct ColumnsReader {
    kind: Kind,
    rows: Rows,
    options: FormatOptions,
    text: Vec<u8>,
}

impl ColumnsReader {
    pub fn open(schema: &Arc<Schema>, options: &FormatOptions, kind: Kind) -> Box<dyn InputFormat> {
        let rows = Rows::new(Arc::clone(schema), options);
        Box::new(ColumnsReader { kind, rows, options: options.clone(), text: Vec::new() })
    }

    /// The values of each column of the target; `None`: the document does not have it.
    fn columns(&self) -> Result<Vec<Option<Vec<Range<usize>>>>> {
        let text = &self.text;
        let mut found = vec![None; self.rows.schema().len()];
        let mut at = skip_spaces(text, 0);
        if self.kind == Kind::Metadata {
            at = member(text, at, "data")?.ok_or_else(|| expected("\"data\"", text, at))?;
        }
        let (open, close) = if self.kind == Kind::Compact { (b'[', b']') } else { (b'{', b'}') };
        if text.get(at) != Some(&open) {
            return Err(expected(&format!("'{}'", open as char), text, at));
        }
        at = skip_spaces(text, at + 1);
        let mut place = 0;
        while text.get(at) != Some(&close) {
            let mut column = Some(place).filter(|p| *p < found.len());
            if self.kind != Kind::Compact {
                let end = string_end(text, at)?;
                let name = unescape(&text[at..end]);
                column = std::str::from_utf8(&name).ok().and_then(|n| self.rows.schema().index_of(n));
                if column.is_none() && !self.options.skip_unknown_fields {
                    let text = format!("column '{}' of the input is unknown", excerpt(&name));
                    return Err(Error::new(Code::INCORRECT_DATA, text).hint("input_format_skip_unknown_fields = 1"));
                }
                at = skip_spaces(text, end);
                if text.get(at) != Some(&b':') {
                    return Err(expected("':'", text, at));
                }
                at = skip_spaces(text, at + 1);
            }
            let (values, end) = values(text, at)?;
            match column {
                Some(column) => found[column] = Some(values),
                None if self.kind == Kind::Compact => {
                    let message = format!("the input has more than {} columns", found.len());
                    return Err(Error::new(Code::INCORRECT_DATA, message));
                }
                None => {}
            }
            place += 1;
            at = next(text, end, close)?;
        }
        Ok(found)
    }

    fn read(&mut self) -> Result<()> {
        if self.text.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let columns = self.columns()?;
        let rows = columns.iter().flatten().map(Vec::len).max().unwrap_or(0);
        if let Some(short) = columns.iter().flatten().find(|c| c.len() != rows) {
            let message = format!("columns have {rows} and {} values", short.len());
            return Err(Error::new(Code::INCORRECT_DATA, message));
        }
        let text = std::mem::take(&mut self.text);
        for row in 0..rows {
            self.rows.row(|rows| {
                for (column, values) in columns.iter().enumerate() {
                    if let Some(values) = values {
                        rows.value(column, &text[values[row].clone()], Style::Json)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// Where the value of a member of the object at `at` begins.
fn member(text: &[u8], at: usize, name: &str) -> Result<Option<usize>> {
    if text.get(at) != Some(&b'{') {
        return Err(expected("'{'", text, at));
    }
    let mut at = skip_spaces(text, at + 1);
    while text.get(at) != Some(&b'}') {
        let end = string_end(text, at)?;
        let is_it = unescape(&text[at..end]) == name.as_bytes();
        at = skip_spaces(text, end);
        if text.get(at) != Some(&b':') {
            return Err(expected("':'", text, at));
        }
        at = skip_spaces(text, at + 1);
        if is_it {
            return Ok(Some(at));
        }
        at = next(text, value_end(text, at)?, b'}')?;
    }
    Ok(None)
}

/// The values of the array at `at` and where it ends.
fn values(text: &[u8], at: usize) -> Result<(Vec<Range<usize>>, usize)> {
    if text.get(at) != Some(&b'[') {
        return Err(expected("'['", text, at));
    }
    let mut values = Vec::new();
    let mut at = skip_spaces(text, at + 1);
    while text.get(at) != Some(&b']') {
        let end = value_end(text, at)?;
        values.push(at..end);
        at = next(text, end, b']')?;
    }
    Ok((values, at + 1))
}

/// After a value: the next one, or the closing bracket.
fn next(text: &[u8], end: usize, close: u8) -> Result<usize> {
    let at = skip_spaces(text, end);
    match text.get(at) {
        Some(b',') => Ok(skip_spaces(text, at + 1)),
        Some(byte) if *byte == close => Ok(at),
        _ => Err(expected(&format!("',' or '{}'", close as char), text, at)),
    }
}

impl InputFormat for ColumnsReader {
    fn feed(&mut self, bytes: &[u8], last: bool) -> Result<Vec<InputBatch>> {
        if self.text.len() + bytes.len() > ROW_BYTES_MAX {
            let text = format!("a document of columns is longer than {ROW_BYTES_MAX} bytes");
            return Err(Error::new(Code::INCORRECT_DATA, text).hint("format JSONEachRow"));
        }
        self.text.extend_from_slice(bytes);
        if !last {
            return Ok(Vec::new());
        }
        self.read()?;
        let mut batches = self.rows.take_full();
        batches.extend(self.rows.take()?);
        Ok(batches)
    }

    fn rows_skipped(&self) -> u64 {
        self.rows.rows_skipped()
    }
}

/// JSON and JSONCompact as they are written, or any document whose rows stand in a list under `data`.
pub struct DocumentReader {
    schema: Arc<Schema>,
    options: FormatOptions,
    compact: bool,
    text: Vec<u8>,
    rows_skipped: u64,
}

impl DocumentReader {
    pub fn open(schema: &Arc<Schema>, options: &FormatOptions, compact: bool) -> Box<dyn InputFormat> {
        let (schema, options) = (Arc::clone(schema), options.clone());
        Box::new(DocumentReader { schema, options, compact, text: Vec::new(), rows_skipped: 0 })
    }

    /// The names of `meta`, as a row of names; `None`: the document has none.
    fn names(&self) -> Result<Option<Vec<u8>>> {
        let start = skip_spaces(&self.text, 0);
        let Some(meta) = member(&self.text, start, "meta")? else { return Ok(None) };
        let (columns, _) = values(&self.text, meta)?;
        let mut row = b"[".to_vec();
        for (at, column) in columns.into_iter().enumerate() {
            let name = member(&self.text, column.start, "name")?;
            let name = name.ok_or_else(|| expected("\"name\"", &self.text, column.start))?;
            // A name stands escaped twice there.
            let once = unescape(&self.text[name..string_end(&self.text, name)?]);
            let twice = unescape(&[b"\"", &once[..], b"\""].concat());
            if at > 0 {
                row.push(b',');
            }
            push_string(&twice, false, &mut row);
        }
        row.extend_from_slice(b"]\n");
        Ok(Some(row))
    }
}

impl InputFormat for DocumentReader {
    fn feed(&mut self, bytes: &[u8], last: bool) -> Result<Vec<InputBatch>> {
        if self.text.len() + bytes.len() > ROW_BYTES_MAX {
            let text = format!("a document is longer than {ROW_BYTES_MAX} bytes");
            return Err(Error::new(Code::INCORRECT_DATA, text).hint("format JSONEachRow"));
        }
        self.text.extend_from_slice(bytes);
        if !last || self.text.iter().all(u8::is_ascii_whitespace) {
            return Ok(Vec::new());
        }
        let start = skip_spaces(&self.text, 0);
        let data = member(&self.text, start, "data")?.ok_or_else(|| expected("\"data\"", &self.text, start))?;
        let end = value_end(&self.text, data)?;
        if self.text.get(data) != Some(&b'[') {
            return Err(expected("'['", &self.text, data));
        }
        let names = if self.compact { self.names()? } else { None };
        let mut reader = match (self.compact, &names) {
            (false, _) => ObjectReader::open(&self.schema, &self.options, false),
            (true, Some(_)) => CompactReader::open(&self.schema, &self.options, Header::Names, false),
            (true, None) => CompactReader::open(&self.schema, &self.options, Header::None, false),
        };
        let mut batches = reader.feed(&names.unwrap_or_default(), false)?;
        batches.extend(reader.feed(&self.text[data + 1..end - 1], true)?);
        self.rows_skipped = reader.rows_skipped();
        self.text = Vec::new();
        Ok(batches)
    }

    fn rows_skipped(&self) -> u64 {
        self.rows_skipped
    }
}
