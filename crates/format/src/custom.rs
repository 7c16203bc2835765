//! CustomSeparated and its headed kinds: rows between delimiters that settings give. The kinds with `IgnoreSpaces` read over
//! white space around delimiters and values.

use crate::escaping::{Rule, spaces, trimmed};
use crate::output::{OutputFormat, ResultStats};
use crate::rows::{FieldMap, Frame, Framed, RowReader, Rows, excerpt};
use crate::tsv::Header;
use crate::{FormatOptions, InputFormat};
use hydron_base::{Code, Error, Result, Settings};
use hydron_types::{Batch, Schema};
use std::sync::Arc;

/// `format_custom_*`.
#[derive(Clone, Debug)]
pub struct CustomOptions {
    pub rule: String,
    pub result_before: String,
    pub result_after: String,
    pub row_before: String,
    pub row_after: String,
    pub row_between: String,
    pub field: String,
}

impl CustomOptions {
    pub fn from_settings(settings: &Settings) -> CustomOptions {
        let text = |name: &str| settings.text(&format!("format_custom_{name}")).to_string();
        CustomOptions {
            rule: text("escaping_rule"),
            result_before: text("result_before_delimiter"),
            result_after: text("result_after_delimiter"),
            row_before: text("row_before_delimiter"),
            row_after: text("row_after_delimiter"),
            row_between: text("row_between_delimiter"),
            field: text("field_delimiter"),
        }
    }
}

pub struct CustomWriter {
    schema: Arc<Schema>,
    options: FormatOptions,
    rule: Rule,
    header: Header,
    rows: u64,
}

impl CustomWriter {
    pub fn new(schema: &Arc<Schema>, options: &FormatOptions, header: Header) -> Result<CustomWriter> {
        let rule = Rule::parse(&options.custom.rule)?;
        Ok(CustomWriter { schema: Arc::clone(schema), options: options.clone(), rule, header, rows: 0 })
    }

    fn row(&mut self, fields: usize, mut write: impl FnMut(usize, &mut Vec<u8>), out: &mut Vec<u8>) {
        let custom = &self.options.custom;
        if self.rows > 0 {
            out.extend_from_slice(custom.row_between.as_bytes());
        }
        self.rows += 1;
        out.extend_from_slice(custom.row_before.as_bytes());
        for field in 0..fields {
            if field > 0 {
                out.extend_from_slice(custom.field.as_bytes());
            }
            write(field, out);
        }
        out.extend_from_slice(custom.row_after.as_bytes());
    }
}

impl OutputFormat for CustomWriter {
    fn content_type(&self) -> &'static str {
        "text/plain; charset=UTF-8"
    }

    fn prefix(&mut self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(self.options.custom.result_before.as_bytes());
        let (schema, rule, names) = (Arc::clone(&self.schema), self.rule, self.options.native.names);
        if self.header != Header::None {
            self.row(schema.len(), |i, out| rule.write_text(&schema.fields[i].name, out), out);
        }
        if self.header == Header::NamesAndTypes {
            self.row(schema.len(), |i, out| rule.write_text(&names.of(&schema.fields[i].ty), out), out);
        }
        Ok(())
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let cells = self.rule.writers(batch, &self.options)?;
        for row in 0..batch.rows() {
            self.row(cells.len(), |i, out| cells[i].write(row, out), out);
        }
        Ok(())
    }

    fn totals(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        out.push(b'\n');
        self.batch(batch, out)
    }

    fn extremes(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        out.push(b'\n');
        self.batch(batch, out)
    }

    fn suffix(&mut self, _: &ResultStats, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(self.options.custom.result_after.as_bytes());
        Ok(())
    }
}

pub struct CustomReader {
    schema: Arc<Schema>,
    options: FormatOptions,
    rule: Rule,
    header: Header,
    names_read: bool,
    ignores_spaces: bool,
    map: FieldMap,
    started: bool,
    rows: u64,
}

impl CustomReader {
    pub fn open(
        schema: &Arc<Schema>,
        options: &FormatOptions,
        header: Header,
        ignores_spaces: bool,
    ) -> Result<Box<dyn InputFormat>> {
        let rule = Rule::parse(&options.custom.rule)?;
        if rule == Rule::Xml {
            return Err(Error::bad_arguments("values with escaping rule XML can be written and not read"));
        }
        let reader = CustomReader {
            schema: Arc::clone(schema),
            options: options.clone(),
            rule,
            header,
            names_read: false,
            ignores_spaces,
            map: FieldMap::straight(schema.len()),
            started: false,
            rows: 0,
        };
        Ok(Box::new(Framed::new(reader, Arc::clone(schema), options)))
    }

    fn skip(&self, bytes: &[u8], at: usize) -> usize {
        if self.ignores_spaces { at + spaces(bytes, at) } else { at }
    }

    /// The fields of the row at the start of `bytes` and where it ends; `None`: it goes on.
    fn fields<'a>(&self, bytes: &'a [u8], last: bool) -> Result<Option<(Vec<&'a [u8]>, usize)>> {
        let custom = &self.options.custom;
        let mut at = 0;
        if self.rows > 0 {
            let Some(next) = self.delimiter(bytes, at, &custom.row_between, last)? else { return Ok(None) };
            at = next;
        }
        let Some(next) = self.delimiter(bytes, at, &custom.row_before, last)? else { return Ok(None) };
        at = self.skip(bytes, next);
        let wanted = self.map.0.len();
        let mut fields = Vec::with_capacity(wanted);
        // Where nothing ends a row but the row after it, that is the end of its last value.
        let after = match (&custom.row_after, &custom.row_between) {
            (after, between) if after.is_empty() => between,
            (after, _) => after,
        };
        while fields.len() < wanted {
            let is_last = fields.len() + 1 == wanted;
            let delimiter = if is_last { after.as_bytes() } else { custom.field.as_bytes() };
            // A row that ends early is told as one, and does not take its missing fields from the next.
            let ends: &[&[u8]] = if is_last { &[delimiter] } else { &[delimiter, after.as_bytes()] };
            let end = match self.rule.end(bytes, at, ends) {
                Some(end) => end,
                None if last && is_last => match bytes.len() - custom.result_after.len().min(bytes.len()) {
                    end if end >= at && bytes[end..] == *custom.result_after.as_bytes() => end,
                    _ => bytes.len(),
                },
                None if last => return Err(short(wanted, fields.len() + 1, bytes)),
                None => return Ok(None),
            };
            if !is_last && !bytes[end..].starts_with(delimiter) {
                return Err(short(wanted, fields.len() + 1, bytes));
            }
            let text = &bytes[at..end];
            fields.push(if self.ignores_spaces { trimmed(text) } else { text });
            at = if is_last { end } else { self.skip(bytes, end + delimiter.len()) };
        }
        if !custom.row_after.is_empty() && bytes[at..].starts_with(custom.row_after.as_bytes()) {
            at += custom.row_after.len();
        }
        Ok(Some((fields, at)))
    }

    /// The byte after `delimiter` at `at`; `None`: it may still come.
    fn delimiter(&self, bytes: &[u8], at: usize, delimiter: &str, last: bool) -> Result<Option<usize>> {
        // What white space is read over cannot be waited for.
        let delimiter = match delimiter.trim() {
            "" => delimiter,
            trimmed if self.ignores_spaces => trimmed,
            _ => delimiter,
        };
        let at = if delimiter.is_empty() { at } else { self.skip(bytes, at) };
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.starts_with(delimiter.as_bytes()) {
            return Ok(Some(at + delimiter.len()));
        }
        if !last && delimiter.as_bytes().starts_with(rest) {
            return Ok(None);
        }
        let message = format!("'{}' was expected, here is '{}'", delimiter.escape_debug(), excerpt(rest));
        Err(Error::new(Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED, message))
    }
}

fn short(wanted: usize, found: usize, row: &[u8]) -> Error {
    let message = format!("the row has {found} fields, {wanted} are expected: '{}'", excerpt(row));
    Error::new(Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED, message)
}

impl RowReader for CustomReader {
    fn frame(&mut self, bytes: &[u8], last: bool) -> Result<Frame> {
        let custom = &self.options.custom;
        if !self.started {
            let Some(next) = self.delimiter(bytes, 0, &custom.result_before, last)? else { return Ok(Frame::More) };
            self.started = true;
            return Ok(Frame::Skip(next));
        }
        let begin = self.skip(bytes, 0);
        let rest = &bytes[begin..];
        let after = if self.ignores_spaces { custom.result_after.trim() } else { &custom.result_after };
        if rest.is_empty() || (last && rest.trim_ascii_end() == after.trim_end().as_bytes()) {
            return Ok(if last && !bytes.is_empty() { Frame::Skip(bytes.len()) } else { Frame::More });
        }
        // What could be the end of the result waits for what comes behind it.
        if !last && !after.is_empty() && after.as_bytes().starts_with(rest.trim_ascii_end()) {
            return Ok(Frame::More);
        }
        let Some((fields, next)) = self.fields(bytes, last)? else { return Ok(Frame::More) };
        let names = |rule: Rule| fields.iter().map(|f| rule.read_name(f)).collect::<Vec<_>>();
        match self.header {
            Header::None if next == 0 && self.rows > 0 => {
                return Err(Error::bad_arguments("the delimiters are empty, so rows have no ends"));
            }
            Header::None => {
                self.rows += 1;
                return Ok(Frame::Row { start: 0, end: next, next });
            }
            Header::NamesAndTypes if self.names_read => {
                self.map.check_types(&names(self.rule), &self.schema, &self.options)?;
                self.header = Header::None;
            }
            Header::Names | Header::NamesAndTypes => {
                self.map = FieldMap::by_names(&names(self.rule), &self.schema, &self.options)?;
                self.names_read = true;
                if self.header == Header::Names {
                    self.header = Header::None;
                }
            }
        }
        self.rows += 1;
        Ok(Frame::Skip(next))
    }

    fn row(&mut self, row: &[u8], rows: &mut Rows) -> Result<()> {
        // The frame has counted this row already; the delimiter before it belongs to it.
        let first = self.rows <= 1;
        let at_start = if first { Some(0) } else { self.delimiter(row, 0, &self.options.custom.row_between, true)? };
        let row = &row[at_start.unwrap_or(0)..];
        let counted = std::mem::replace(&mut self.rows, 0);
        let fields = self.fields(row, true);
        self.rows = counted;
        let Some((fields, _)) = fields? else { return Err(short(self.map.0.len(), 0, row)) };
        for (text, column) in fields.into_iter().zip(&self.map.0) {
            if let Some(column) = *column {
                self.rule.read(rows, column, text, &self.options)?;
            }
        }
        Ok(())
    }
}
