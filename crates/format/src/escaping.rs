//! Escaping rules: how formats whose frame the user gives (CustomSeparated, Template, Regexp) write and read their values.

use crate::FormatOptions;
use crate::output::PlainColumn;
use crate::rows::Rows;
use hydron_base::{Error, Result};
use hydron_types::{Batch, ColumnWriter, Style};
use memchr::memchr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Escaped,
    Quoted,
    Csv,
    Json,
    Xml,
    Raw,
}

impl Rule {
    /// Errors: BAD_ARGUMENTS.
    pub fn parse(name: &str) -> Result<Rule> {
        Ok(match name {
            "Escaped" => Rule::Escaped,
            "Quoted" => Rule::Quoted,
            "CSV" => Rule::Csv,
            "JSON" => Rule::Json,
            "XML" => Rule::Xml,
            "Raw" => Rule::Raw,
            _ => {
                let error = Error::bad_arguments(format!("'{name}' is no escaping rule"));
                return Err(error.hint("Escaped, Quoted, CSV, JSON, XML, Raw"));
            }
        })
    }

    fn style(self) -> Style {
        match self {
            Rule::Escaped => Style::Escaped,
            Rule::Quoted => Style::Quoted,
            Rule::Csv => Style::Csv,
            Rule::Json => Style::Json,
            Rule::Xml | Rule::Raw => Style::Plain,
        }
    }

    /// Where the value at `at` ends: before the first of `ends` that is no part of it. `None`: not in these bytes.
    pub fn end(self, bytes: &[u8], at: usize, ends: &[&[u8]]) -> Option<usize> {
        let is_end = |at: usize| ends.iter().any(|e| !e.is_empty() && bytes[at..].starts_with(e));
        let mut at = at;
        let mut quote = None;
        let mut depth = 0_u32;
        if self == Rule::Csv
            && let Some(open @ (b'"' | b'\'')) = bytes.get(at)
        {
            loop {
                at += 1 + memchr(*open, bytes.get(at + 1..)?)?;
                match bytes.get(at + 1) {
                    Some(next) if next == open => at += 1,
                    _ => break,
                }
            }
            at += 1;
        }
        while at < bytes.len() {
            let byte = bytes[at];
            match (self, quote) {
                (Rule::Escaped, _) if byte == b'\\' => {
                    at += 2;
                    continue;
                }
                (Rule::Quoted | Rule::Json, Some(open)) => {
                    match byte {
                        b'\\' => at += 1,
                        byte if byte == open => quote = None,
                        _ => {}
                    }
                    at += 1;
                    continue;
                }
                (Rule::Quoted, None) if byte == b'\'' => quote = Some(byte),
                (Rule::Json, None) if byte == b'"' => quote = Some(byte),
                _ => {}
            }
            if quote.is_none() && depth == 0 && is_end(at) {
                return Some(at);
            }
            if matches!(self, Rule::Quoted | Rule::Json) {
                match byte {
                    b'[' | b'(' | b'{' => depth += 1,
                    b']' | b')' | b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            at += 1;
        }
        None
    }

    /// Reads the whole of `text` into `column`.
    pub fn read(self, rows: &mut Rows, column: usize, text: &[u8], options: &FormatOptions) -> Result<()> {
        if self == Rule::Csv && text.is_empty() && options.text.csv_empty_as_default {
            rows.default(column);
            return Ok(());
        }
        rows.value(column, text, self.style())
    }

    /// A writer for each column of `batch`.
    pub fn writers(self, batch: &Batch, options: &FormatOptions) -> Result<Vec<Cell>> {
        (0..batch.columns.len()).map(|column| self.writer(batch, column, options)).collect()
    }

    pub fn writer(self, batch: &Batch, column: usize, options: &FormatOptions) -> Result<Cell> {
        let (array, ty) = (&batch.columns[column], &batch.schema.fields[column].ty);
        Ok(match self {
            Rule::Raw | Rule::Xml => {
                let null = std::sync::Arc::clone(&options.text.tsv_null);
                Cell::Plain(PlainColumn::new(array, ty, &null, &options.text)?, self == Rule::Xml)
            }
            _ => Cell::Styled(ColumnWriter::new(array, ty, self.style(), &options.text)?),
        })
    }

    /// A text that is no value of a column: a name or a type.
    pub fn write_text(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Rule::Escaped => crate::tsv::push_escaped(text.as_bytes(), out),
            Rule::Quoted => {
                out.push(b'\'');
                crate::tsv::push_escaped(text.as_bytes(), out);
                out.push(b'\'');
            }
            Rule::Csv => {
                out.push(b'"');
                out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
                out.push(b'"');
            }
            Rule::Json => crate::json::push_string(text.as_bytes(), false, out),
            Rule::Xml => push_xml(text.as_bytes(), out),
            Rule::Raw => out.extend_from_slice(text.as_bytes()),
        }
    }

    /// The text that a name or type is written as, by [`Rule::write_text`].
    pub fn read_name(self, text: &[u8]) -> Vec<u8> {
        match self {
            Rule::Escaped => hydron_types::text::read::unescape(text).into_owned(),
            Rule::Quoted => match text {
                [b'\'', inner @ .., b'\''] => hydron_types::text::read::unescape(inner).into_owned(),
                _ => text.to_vec(),
            },
            Rule::Csv => match text {
                [b'"', inner @ .., b'"'] => String::from_utf8_lossy(inner).replace("\"\"", "\"").into_bytes(),
                _ => text.to_vec(),
            },
            Rule::Json => crate::json::unescape(text),
            Rule::Xml | Rule::Raw => text.to_vec(),
        }
    }
}

pub enum Cell {
    Styled(ColumnWriter),
    Plain(PlainColumn, bool),
}

impl Cell {
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Cell::Styled(writer) => writer.write(row, out),
            Cell::Plain(writer, false) => writer.write(row, out),
            Cell::Plain(writer, true) => {
                let mut text = Vec::new();
                writer.write(row, &mut text);
                push_xml(&text, out);
            }
        }
    }
}

fn push_xml(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            byte => out.push(*byte),
        }
    }
}

/// How many white bytes stand at `at`.
pub fn spaces(bytes: &[u8], at: usize) -> usize {
    bytes[at.min(bytes.len())..].iter().take_while(|b| b.is_ascii_whitespace()).count()
}

pub fn trimmed(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}
