//! TabSeparated, its raw and headed kinds, and TSKV: one row a line, fields between tabs.

use crate::output::{OutputFormat, PlainColumn, column_writers};
use crate::rows::{FieldMap, Frame, RowReader, Rows, excerpt};
use crate::{FormatOptions, InputFormat};
use hydron_base::{Code, Error, Result};
use hydron_types::{Batch, ColumnWriter, Schema, Style};
use memchr::{memchr, memchr_iter};
use std::sync::Arc;

/// Header rows of the `WithNames` and `WithNamesAndTypes` kinds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Header {
    None,
    Names,
    NamesAndTypes,
}

/// Appends `text` with TSV's escapes.
pub(crate) fn push_escaped(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        let letter = match byte {
            b'\t' => b't',
            b'\n' => b'n',
            b'\r' => b'r',
            0x08 => b'b',
            0x0C => b'f',
            0 => b'0',
            b'\\' => b'\\',
            b'\'' => b'\'',
            _ => {
                out.push(*byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

enum Cells {
    Escaped(Vec<ColumnWriter>),
    Raw(Vec<PlainColumn>),
}

impl Cells {
    fn of(batch: &Batch, raw: bool, options: &FormatOptions) -> Result<Cells> {
        Ok(match raw {
            true => Cells::Raw(PlainColumn::all(batch, &options.text.tsv_null, &options.text)?),
            false => Cells::Escaped(column_writers(batch, Style::Escaped, &options.text)?),
        })
    }

    fn write(&self, row: usize, end_of_line: &[u8], out: &mut Vec<u8>) {
        let mut first = true;
        let mut tab = |out: &mut Vec<u8>| {
            if !std::mem::take(&mut first) {
                out.push(b'\t');
            }
        };
        match self {
            Cells::Escaped(columns) => columns.iter().for_each(|c| {
                tab(out);
                c.write(row, out);
            }),
            Cells::Raw(columns) => columns.iter().for_each(|c| {
                tab(out);
                c.write(row, out);
            }),
        }
        out.extend_from_slice(end_of_line);
    }
}

pub struct TsvWriter {
    schema: Arc<Schema>,
    options: FormatOptions,
    raw: bool,
    header: Header,
}

impl TsvWriter {
    pub fn new(schema: &Arc<Schema>, options: &FormatOptions, raw: bool, header: Header) -> TsvWriter {
        TsvWriter { schema: Arc::clone(schema), options: options.clone(), raw, header }
    }

    fn end_of_line(&self) -> &'static [u8] {
        if self.options.tsv_crlf { b"\r\n" } else { b"\n" }
    }

    fn header_row(&self, texts: impl Iterator<Item = String>, out: &mut Vec<u8>) {
        for (i, text) in texts.enumerate() {
            if i > 0 {
                out.push(b'\t');
            }
            match self.raw {
                true => out.extend_from_slice(text.as_bytes()),
                false => push_escaped(text.as_bytes(), out),
            }
        }
        out.extend_from_slice(self.end_of_line());
    }
}

impl OutputFormat for TsvWriter {
    fn content_type(&self) -> &'static str {
        "text/tab-separated-values; charset=UTF-8"
    }

    fn prefix(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.header != Header::None {
            self.header_row(self.schema.fields.iter().map(|f| f.name.to_string()), out);
        }
        if self.header == Header::NamesAndTypes {
            let names = self.options.native.names;
            self.header_row(self.schema.fields.iter().map(|f| names.of(&f.ty)), out);
        }
        Ok(())
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let cells = Cells::of(batch, self.raw, &self.options)?;
        (0..batch.rows()).for_each(|row| cells.write(row, self.end_of_line(), out));
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
}

/// `name=value` between tabs.
pub struct TskvWriter {
    names: Vec<Vec<u8>>,
    options: FormatOptions,
}

impl TskvWriter {
    pub fn new(schema: &Schema, options: &FormatOptions) -> TskvWriter {
        let name = |text: &str| {
            let mut out = Vec::new();
            push_escaped(text.as_bytes(), &mut out);
            // `=` ends a name.
            let mut escaped = Vec::with_capacity(out.len() + 1);
            for byte in out {
                if byte == b'=' {
                    escaped.push(b'\\');
                }
                escaped.push(byte);
            }
            escaped.push(b'=');
            escaped
        };
        TskvWriter { names: schema.fields.iter().map(|f| name(&f.name)).collect(), options: options.clone() }
    }
}

impl OutputFormat for TskvWriter {
    fn content_type(&self) -> &'static str {
        "text/tab-separated-values; charset=UTF-8"
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let columns = column_writers(batch, Style::Escaped, &self.options.text)?;
        for row in 0..batch.rows() {
            for (i, (name, column)) in self.names.iter().zip(&columns).enumerate() {
                if i > 0 {
                    out.push(b'\t');
                }
                out.extend_from_slice(name);
                column.write(row, out);
            }
            out.push(b'\n');
        }
        Ok(())
    }
}

/// Finds lines that end at a newline no backslash stands before.
#[derive(Default)]
pub(crate) struct Lines {
    scanned: usize,
}

impl Lines {
    /// `escapes`: a backslash before the newline makes it part of the row.
    pub(crate) fn frame(&mut self, bytes: &[u8], last: bool, escapes: bool) -> Frame {
        for at in memchr_iter(b'\n', &bytes[self.scanned..]) {
            let end = self.scanned + at;
            if !escapes || is_even(backslashes_before(bytes, end)) {
                self.scanned = 0;
                return Frame::Row { start: 0, end, next: end + 1 };
            }
        }
        self.scanned = bytes.len();
        if last && !bytes.is_empty() {
            self.scanned = 0;
            return Frame::Row { start: 0, end: bytes.len(), next: bytes.len() };
        }
        Frame::More
    }
}

/// An even number of backslashes is so many pairs: what follows is not escaped.
fn is_even(count: usize) -> bool {
    count.is_multiple_of(2)
}

fn backslashes_before(bytes: &[u8], at: usize) -> usize {
    bytes[..at].iter().rev().take_while(|b| **b == b'\\').count()
}

/// The end of the field that starts at `from`: the next tab that is not escaped, or the end of the row.
fn field_end(row: &[u8], from: usize, escapes: bool) -> usize {
    let mut at = from;
    while let Some(found) = memchr(b'\t', &row[at..]) {
        let end = at + found;
        if !escapes || is_even(backslashes_before(&row[from..], end - from)) {
            return end;
        }
        at = end + 1;
    }
    row.len()
}

fn split(row: &[u8]) -> Vec<Vec<u8>> {
    let unescape = |field: &[u8]| {
        let mut out = Vec::with_capacity(field.len());
        let mut bytes = field.iter().copied();
        while let Some(byte) = bytes.next() {
            out.push(match byte {
                b'\\' => match bytes.next() {
                    Some(b't') => b'\t',
                    Some(b'n') => b'\n',
                    Some(b'r') => b'\r',
                    Some(b'b') => 0x08,
                    Some(b'f') => 0x0C,
                    Some(b'0') => 0,
                    Some(other) => other,
                    None => b'\\',
                },
                other => other,
            });
        }
        out
    };
    let row = row.strip_suffix(b"\r").unwrap_or(row);
    row.split(|b| *b == b'\t').map(unescape).collect()
}

pub struct TsvReader {
    options: FormatOptions,
    lines: Lines,
    raw: bool,
    /// Header rows still to come.
    header: Header,
    has_header: bool,
    names_read: bool,
    /// Lines before the rows that are still to be passed over.
    skip_lines: u64,
    map: FieldMap,
    rows_read: u64,
    schema: Arc<Schema>,
}

impl TsvReader {
    pub fn open(schema: &Arc<Schema>, options: &FormatOptions, raw: bool, header: Header) -> Box<dyn InputFormat> {
        let reader = TsvReader {
            options: options.clone(),
            lines: Lines::default(),
            raw,
            has_header: !matches!(header, Header::None),
            header,
            names_read: false,
            skip_lines: options.tsv_skip_lines,
            map: FieldMap::straight(schema.len()),
            rows_read: 0,
            schema: Arc::clone(schema),
        };
        Box::new(crate::rows::Framed::new(reader, Arc::clone(schema), options))
    }
}

impl RowReader for TsvReader {
    fn frame(&mut self, bytes: &[u8], last: bool) -> Result<Frame> {
        if self.skip_lines > 0 {
            return Ok(skip_line(bytes, last, &mut self.skip_lines));
        }
        let frame = self.lines.frame(bytes, last, !self.raw);
        let Frame::Row { start, end, next } = frame else { return Ok(frame) };
        match self.header {
            Header::None => return Ok(Frame::Row { start, end, next }),
            Header::Names => {
                self.map = FieldMap::by_names(&split(&bytes[start..end]), &self.schema, &self.options)?;
                self.header = Header::None;
            }
            Header::NamesAndTypes if !self.names_read => {
                self.map = FieldMap::by_names(&split(&bytes[start..end]), &self.schema, &self.options)?;
                self.names_read = true;
            }
            Header::NamesAndTypes => {
                self.map.check_types(&split(&bytes[start..end]), &self.schema, &self.options)?;
                self.header = Header::None;
            }
        }
        Ok(Frame::Skip(next))
    }

    fn row(&mut self, row: &[u8], rows: &mut Rows) -> Result<()> {
        self.rows_read += 1;
        if self.rows_read == 1 && row.ends_with(b"\r") && !self.raw {
            let text = "the line ends with a carriage return; TabSeparated lines end with a newline alone";
            return Err(Error::new(Code::INCORRECT_DATA, text).hint("convert the file with dos2unix"));
        }
        let style = if self.raw { Style::Plain } else { Style::Escaped };
        let fields = self.map.0.len();
        let mut at = 0;
        for (i, column) in self.map.0.iter().enumerate() {
            let any_number = self.options.tsv_any_number_of_fields;
            if any_number && at > row.len() {
                break;
            }
            let end = field_end(row, at, !self.raw);
            let is_last = i + 1 == fields;
            if is_last != (end == row.len()) && !any_number {
                return Err(wrong_number_of_fields(row, i + 1, fields, is_last, "tab"));
            }
            if let Some(column) = *column {
                let text = &row[at..end];
                match text.is_empty() && self.options.tsv_empty_as_default {
                    true => rows.default(column),
                    false => rows.value(column, text, style)?,
                }
            }
            at = end + 1;
        }
        Ok(())
    }

    fn restart(&mut self) -> bool {
        (self.lines, self.rows_read) = (Lines::default(), 0);
        // What names said holds for the document whose head they were.
        matches!(self.header, Header::None) && !self.has_header
    }
}

/// Passes over the first line of `bytes`, when all of it is there.
pub(crate) fn skip_line(bytes: &[u8], last: bool, lines: &mut u64) -> Frame {
    let end = memchr(b'\n', bytes).map(|at| at + 1).or((last && !bytes.is_empty()).then_some(bytes.len()));
    match end {
        Some(next) => {
            *lines -= 1;
            Frame::Skip(next)
        }
        None => Frame::More,
    }
}

pub(crate) fn wrong_number_of_fields(row: &[u8], read: usize, wanted: usize, too_many: bool, delimiter: &str) -> Error {
    let (found, code) = match too_many {
        true => ("more", Code::INCORRECT_DATA),
        false => ("fewer", Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED),
    };
    let code = if delimiter == "tab" { Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED } else { code };
    let text = format!(
        "the row has {found} than {wanted} fields (a {delimiter} stands between two), read {read}: '{}'",
        excerpt(row)
    );
    Error::new(code, text)
}

pub struct TskvReader {
    lines: Lines,
    options: FormatOptions,
}

impl TskvReader {
    pub fn open(schema: &Arc<Schema>, options: &FormatOptions) -> Box<dyn InputFormat> {
        let reader = TskvReader { lines: Lines::default(), options: options.clone() };
        Box::new(crate::rows::Framed::new(reader, Arc::clone(schema), options))
    }
}

impl RowReader for TskvReader {
    fn frame(&mut self, bytes: &[u8], last: bool) -> Result<Frame> {
        Ok(self.lines.frame(bytes, last, true))
    }

    fn row(&mut self, row: &[u8], rows: &mut Rows) -> Result<()> {
        let mut at = 0;
        while at < row.len() {
            let end = field_end(row, at, true);
            let field = &row[at..end];
            at = end + 1;
            let Some(equals) = memchr::memchr_iter(b'=', field).find(|e| is_even(backslashes_before(field, *e))) else {
                // The word `tskv` may stand at the start of a line.
                if field == b"tskv" {
                    continue;
                }
                let text = format!("'{}' has no '=' after its name", excerpt(field));
                return Err(Error::new(Code::INCORRECT_DATA, text));
            };
            let name = split(&field[..equals]).pop().unwrap_or_default();
            let column = std::str::from_utf8(&name).ok().and_then(|n| rows.schema().index_of(n));
            match column {
                Some(column) if rows.is_set(column) => {
                    return Err(Error::new(Code::INCORRECT_DATA, format!("field '{}' stands twice", excerpt(&name))));
                }
                Some(column) => rows.value(column, &field[equals + 1..], Style::Escaped)?,
                None if self.options.skip_unknown_fields => {}
                None => {
                    let text = format!("field '{}' is unknown", excerpt(&name));
                    return Err(Error::new(Code::INCORRECT_DATA, text).hint("input_format_skip_unknown_fields = 1"));
                }
            }
        }
        Ok(())
    }

    fn restart(&mut self) -> bool {
        self.lines = Lines::default();
        true
    }
}
