//! CSV: one row a line, strings and times in double quotes, quotes doubled inside.

use crate::output::{OutputFormat, column_writers};
use crate::rows::{FieldMap, Frame, RowReader, Rows, excerpt};
use crate::tsv::{Header, skip_line, wrong_number_of_fields};
use crate::{FormatOptions, InputFormat};
use hydron_base::{Code, Error, Result};
use hydron_types::{Batch, LogicalType, Schema, Style};
use memchr::{memchr, memchr2, memchr3};
use std::sync::Arc;

pub struct CsvWriter {
    schema: Arc<Schema>,
    options: FormatOptions,
    header: Header,
}

impl CsvWriter {
    pub fn new(schema: &Arc<Schema>, options: &FormatOptions, header: Header) -> CsvWriter {
        CsvWriter { schema: Arc::clone(schema), options: options.clone(), header }
    }

    fn end_of_line(&self) -> &'static [u8] {
        if self.options.csv_crlf { b"\r\n" } else { b"\n" }
    }

    fn header_row(&self, texts: impl Iterator<Item = String>, out: &mut Vec<u8>) {
        for (i, text) in texts.enumerate() {
            if i > 0 {
                out.push(self.options.text.csv_delimiter);
            }
            out.push(b'"');
            for byte in text.bytes() {
                if byte == b'"' {
                    out.push(b'"');
                }
                out.push(byte);
            }
            out.push(b'"');
        }
        out.extend_from_slice(self.end_of_line());
    }
}

impl OutputFormat for CsvWriter {
    fn content_type(&self) -> &'static str {
        match self.header {
            Header::None => "text/csv; charset=UTF-8; header=absent",
            _ => "text/csv; charset=UTF-8; header=present",
        }
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
        let columns = column_writers(batch, Style::Csv, &self.options.text)?;
        for row in 0..batch.rows() {
            for (i, column) in columns.iter().enumerate() {
                if i > 0 {
                    out.push(self.options.text.csv_delimiter);
                }
                column.write(row, out);
            }
            out.extend_from_slice(self.end_of_line());
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
}

pub struct CsvReader {
    options: FormatOptions,
    schema: Arc<Schema>,
    header: Header,
    names_read: bool,
    /// Lines before the rows that are still to be passed over.
    skip_lines: u64,
    map: FieldMap,
    /// Fields that each column takes: a tuple is spread over as many as it has elements.
    widths: Vec<usize>,
    scanned: usize,
    /// The quote that is open at `scanned`, where one is.
    quote: Option<u8>,
}

impl CsvReader {
    pub fn open(schema: &Arc<Schema>, options: &FormatOptions, header: Header) -> Box<dyn InputFormat> {
        let reader = CsvReader {
            options: options.clone(),
            schema: Arc::clone(schema),
            header,
            names_read: false,
            skip_lines: options.csv_skip_lines,
            map: FieldMap::straight(schema.len()),
            widths: schema.fields.iter().map(|f| fields_of(&f.ty)).collect(),
            scanned: 0,
            quote: None,
        };
        Box::new(crate::rows::Framed::new(reader, Arc::clone(schema), options))
    }

    fn opens_quote(&self, byte: u8) -> bool {
        byte == b'"' && self.options.text.csv_allow_double_quotes
            || byte == b'\'' && self.options.text.csv_allow_single_quotes
    }

    /// The end of the row that starts at 0. A quote counts only where a field starts; a doubled quote closes and opens.
    fn line_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = self.scanned;
        loop {
            if let Some(quote) = self.quote {
                match memchr(quote, &bytes[at..]) {
                    Some(found) => {
                        at += found + 1;
                        self.quote = None;
                    }
                    None => {
                        at = bytes.len();
                        break;
                    }
                }
            }
            let single = self.options.text.csv_allow_single_quotes;
            let found = match single {
                true => memchr3(b'\n', b'"', b'\'', &bytes[at..]),
                false => memchr2(b'\n', b'"', &bytes[at..]),
            };
            let Some(found) = found else {
                at = bytes.len();
                break;
            };
            let place = at + found;
            let byte = bytes[place];
            if byte == b'\n' {
                self.scanned = 0;
                return Some(place);
            }
            if self.opens_quote(byte) && self.may_open(bytes, place, byte) {
                self.quote = Some(byte);
            }
            at = place + 1;
        }
        self.scanned = at;
        None
    }

    /// A quote opens a field after a delimiter, after spaces, or right after the quote it doubles.
    fn may_open(&self, bytes: &[u8], place: usize, quote: u8) -> bool {
        if place > 0 && bytes[place - 1] == quote {
            return true;
        }
        let before = bytes[..place].iter().rev().find(|b| !matches!(b, b' ' | b'\t'));
        before.is_none_or(|b| *b == self.options.text.csv_delimiter)
    }

    /// The field that starts at `from`: its text (quotes included) and where the next one starts; `None` at the end.
    fn field<'a>(&self, row: &'a [u8], from: usize) -> Result<(&'a [u8], Option<usize>)> {
        let delimiter = self.options.text.csv_delimiter;
        let is_space = |b: u8| self.options.csv_trim && (b == b' ' || b == b'\t') && b != delimiter;
        let mut start = from;
        while start < row.len() && is_space(row[start]) {
            start += 1;
        }
        let mut end = start;
        if start < row.len() && self.opens_quote(row[start]) {
            end = quoted_end(row, start)?;
            let mut next = end;
            while next < row.len() && is_space(row[next]) {
                next += 1;
            }
            return match row.get(next) {
                None => Ok((&row[start..end], None)),
                Some(b) if *b == delimiter => Ok((&row[start..end], Some(next + 1))),
                Some(_) => {
                    let text = format!("a delimiter must follow the quoted field, not '{}'", excerpt(&row[next..]));
                    Err(Error::new(Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED, text))
                }
            };
        }
        let next = memchr(delimiter, &row[start..]).map(|found| start + found);
        end = next.unwrap_or(row.len()).max(end);
        while end > start && is_space(row[end - 1]) {
            end -= 1;
        }
        Ok((&row[start..end], next.map(|n| n + 1)))
    }

    /// The fields of a tuple, spread over `width` of the row, as one SQL literal.
    fn tuple(&self, row: &[u8], from: usize, ty: &LogicalType, width: usize) -> Result<(Vec<u8>, Option<usize>)> {
        let mut texts = Vec::with_capacity(width);
        let mut next = Some(from);
        for read in 0..width {
            let Some(from) = next else { return Err(wrong_number_of_fields(row, read, width, false, "delimiter")) };
            let (text, after) = self.field(row, from)?;
            texts.push(text);
            next = after;
        }
        let mut literal = Vec::new();
        push_literal(ty, &mut texts.into_iter(), &self.options, &mut literal);
        Ok((literal, next))
    }

    fn names(&self, row: &[u8]) -> Result<Vec<Vec<u8>>> {
        let row = row.strip_suffix(b"\r").unwrap_or(row);
        let mut names = Vec::new();
        let mut at = Some(0);
        while let Some(from) = at {
            let (text, next) = self.field(row, from)?;
            names.push(unquote(text));
            at = next;
        }
        Ok(names)
    }
}

/// The byte after the quote that closes the one at `start`. Errors: CANNOT_PARSE_QUOTED_STRING.
fn quoted_end(row: &[u8], start: usize) -> Result<usize> {
    let quote = row[start];
    let mut at = start + 1;
    while let Some(found) = memchr(quote, &row[at..]) {
        let place = at + found;
        if row.get(place + 1) != Some(&quote) {
            return Ok(place + 1);
        }
        at = place + 2;
    }
    Err(Error::new(Code::CANNOT_PARSE_QUOTED_STRING, format!("the quote does not end: '{}'", excerpt(&row[start..]))))
}

fn unquote(text: &[u8]) -> Vec<u8> {
    match text {
        [quote @ (b'"' | b'\''), inner @ .., _] => {
            let mut out = Vec::with_capacity(inner.len());
            let mut skip = false;
            for byte in inner {
                skip = *byte == *quote && !skip;
                if !skip {
                    out.push(*byte);
                }
            }
            out
        }
        _ => text.to_vec(),
    }
}

/// The next fields as an SQL literal of `ty`.
fn push_literal<'a>(
    ty: &LogicalType,
    fields: &mut impl Iterator<Item = &'a [u8]>,
    options: &FormatOptions,
    out: &mut Vec<u8>,
) {
    if let LogicalType::Tuple(elements) = ty.bare() {
        out.push(b'(');
        for (i, (_, element)) in elements.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            push_literal(element, fields, options, out);
        }
        out.push(b')');
        return;
    }
    let Some(field) = fields.next() else { return };
    let bare = ty.bare();
    let is_plain =
        bare.is_integer() || bare.is_float() || matches!(bare, LogicalType::Bool | LogicalType::Decimal { .. });
    let is_nested = matches!(bare, LogicalType::Array(_) | LogicalType::Map(..));
    match field {
        null if null == options.text.csv_null.as_bytes() => out.extend_from_slice(b"NULL"),
        text if is_plain || is_nested => out.extend_from_slice(&unquote(text)),
        text => {
            out.push(b'\'');
            crate::tsv::push_escaped(&unquote(text), out);
            out.push(b'\'');
        }
    }
}

fn fields_of(ty: &LogicalType) -> usize {
    match ty.bare() {
        LogicalType::Tuple(elements) => elements.iter().map(|(_, t)| fields_of(t)).sum(),
        _ => 1,
    }
}

impl RowReader for CsvReader {
    fn frame(&mut self, bytes: &[u8], last: bool) -> Result<Frame> {
        if self.skip_lines > 0 {
            return Ok(skip_line(bytes, last, &mut self.skip_lines));
        }
        let (end, next) = match self.line_end(bytes) {
            Some(end) => (end, end + 1),
            None if last && !bytes.is_empty() => {
                self.scanned = 0;
                self.quote = None;
                (bytes.len(), bytes.len())
            }
            None => return Ok(Frame::More),
        };
        let row = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        match self.header {
            // An empty line is a row only where the row has one field.
            Header::None if row.is_empty() && self.map.0.len() != 1 => return Ok(Frame::Skip(next)),
            Header::None => return Ok(Frame::Row { start: 0, end: row.len(), next }),
            Header::NamesAndTypes if self.names_read => {
                self.map.check_types(&self.names(row)?, &self.schema, &self.options)?;
                self.header = Header::None;
            }
            Header::Names | Header::NamesAndTypes => {
                // A byte order mark of a spreadsheet is no part of the first name.
                let row = row.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(row);
                self.map = FieldMap::by_names(&self.names(row)?, &self.schema, &self.options)?;
                self.names_read = true;
                if self.header == Header::Names {
                    self.header = Header::None;
                }
            }
        }
        Ok(Frame::Skip(next))
    }

    fn row(&mut self, row: &[u8], rows: &mut Rows) -> Result<()> {
        let wanted = self.map.0.len();
        let mut at = Some(0);
        for (i, column) in self.map.0.iter().enumerate() {
            let Some(from) = at else {
                if self.options.csv_any_number_of_fields {
                    break;
                }
                return Err(wrong_number_of_fields(row, i, wanted, false, "delimiter"));
            };
            let (text, next) = self.field(row, from)?;
            at = next;
            let Some(column) = *column else { continue };
            let width = self.widths[column];
            let is_spread = width > 1 && !text.starts_with(b"(") && !text.starts_with(b"\"(");
            if text.is_empty() && self.options.text.csv_empty_as_default {
                rows.default(column);
            } else if is_spread {
                let (literal, next) = self.tuple(row, from, &self.schema.fields[column].ty, width)?;
                rows.value(column, &literal, Style::Quoted)?;
                at = next;
            } else {
                let as_it_is = !self.options.csv_trim
                    && self.schema.fields[column].ty.bare().is_string_like()
                    && !text.first().is_some_and(|b| self.opens_quote(*b))
                    && text != self.options.text.csv_null.as_bytes();
                match rows.value(column, text, if as_it_is { Style::Plain } else { Style::Csv }) {
                    Err(_) if self.options.csv_default_for_bad => {
                        rows.unset(column);
                        rows.default(column);
                    }
                    read => read?,
                }
            }
        }
        match at {
            Some(_) if self.options.csv_any_number_of_fields => Ok(()),
            // A delimiter may stand after the last field.
            Some(rest) if row[rest..].iter().any(|b| !matches!(b, b' ' | b'\t')) => {
                Err(wrong_number_of_fields(row, wanted, wanted, true, "delimiter"))
            }
            _ => Ok(()),
        }
    }

    fn restart(&mut self) -> bool {
        (self.scanned, self.quote) = (0, None);
        // What names said holds for the document whose head they were.
        self.header == Header::None && !self.names_read
    }
}
