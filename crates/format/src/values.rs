//! Values: rows in parentheses, as after INSERT … VALUES.
//!
//! In: `(1, 'a'), (2, upper('b'))` with optional commas between the rows and a semicolon at the end. A field that is no
//! plain literal of its column goes to the evaluator, with the text from there to the end of the row.

use crate::input::Evaluator;
use crate::output::{OutputFormat, column_writers};
use crate::rows::{Frame, Framed, RowReader, Rows, excerpt};
use crate::{FormatOptions, InputFormat};
use hydron_base::{Code, Error, Result};
use hydron_types::{Batch, Schema, Style};
use memchr::{memchr, memchr2, memmem};
use std::sync::Arc;

pub struct ValuesWriter {
    options: FormatOptions,
    rows: u64,
}

impl ValuesWriter {
    pub fn new(options: &FormatOptions) -> ValuesWriter {
        ValuesWriter { options: options.clone(), rows: 0 }
    }
}

impl OutputFormat for ValuesWriter {
    fn content_type(&self) -> &'static str {
        "text/plain; charset=UTF-8"
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let columns = column_writers(batch, Style::Quoted, &self.options.text)?;
        for row in 0..batch.rows() {
            out.extend_from_slice(if self.rows == 0 { b"(" } else { b",(" });
            for (i, column) in columns.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                column.write(row, out);
            }
            out.push(b')');
            self.rows += 1;
        }
        Ok(())
    }
}

/// What the bytes after `Tuples::scanned` are inside of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Code,
    /// A quote of this kind.
    Quote(u8),
    LineComment,
    BlockComment,
}

/// Finds rows in parentheses at any cut.
struct Tuples {
    scanned: usize,
    depth: u32,
    inside: Inside,
}

impl Tuples {
    fn new() -> Tuples {
        Tuples { scanned: 0, depth: 0, inside: Inside::Code }
    }

    /// The end of the row whose `(` is `bytes[0]`; goes on where it stopped.
    fn end(&mut self, bytes: &[u8], last: bool) -> Option<usize> {
        while self.scanned < bytes.len() {
            let rest = &bytes[self.scanned..];
            match self.inside {
                Inside::Quote(quote) => match memchr2(quote, b'\\', rest) {
                    Some(found) if rest[found] == b'\\' => {
                        // The byte after a backslash may not be here yet.
                        if found + 1 == rest.len() {
                            self.scanned += found;
                            return None;
                        }
                        self.scanned += found + 2;
                    }
                    Some(found) => {
                        // A doubled quote closes here and opens again at once, which comes to the same.
                        self.scanned += found + 1;
                        self.inside = Inside::Code;
                    }
                    None => self.scanned = bytes.len(),
                },
                Inside::LineComment => match memchr(b'\n', rest) {
                    Some(found) => {
                        self.scanned += found + 1;
                        self.inside = Inside::Code;
                    }
                    None => self.scanned = bytes.len(),
                },
                Inside::BlockComment => match memmem::find(rest, b"*/") {
                    Some(found) => {
                        self.scanned += found + 2;
                        self.inside = Inside::Code;
                    }
                    None => {
                        self.scanned = bytes.len() - usize::from(rest.ends_with(b"*"));
                        return None;
                    }
                },
                Inside::Code => {
                    let byte = rest[0];
                    match byte {
                        b'\'' | b'"' | b'`' => self.inside = Inside::Quote(byte),
                        b'(' | b'[' | b'{' => self.depth += 1,
                        b')' | b']' | b'}' => {
                            self.depth = self.depth.saturating_sub(1);
                            if self.depth == 0 {
                                return Some(self.scanned + 1);
                            }
                        }
                        b'-' | b'/' if rest.len() == 1 && !last => return None,
                        b'-' if rest.starts_with(b"--") => self.inside = Inside::LineComment,
                        b'/' if rest.starts_with(b"/*") => {
                            self.inside = Inside::BlockComment;
                            self.scanned += 1;
                        }
                        _ => {}
                    }
                    self.scanned += 1;
                }
            }
        }
        None
    }

    fn reset(&mut self) {
        *self = Tuples::new();
    }
}

pub struct ValuesReader {
    tuples: Tuples,
    evaluator: Option<Evaluator>,
    interpret: bool,
    columns: usize,
    /// A semicolon has ended the rows.
    ended: bool,
}

impl ValuesReader {
    /// Without an evaluator every field must be a literal.
    pub fn open(schema: &Arc<Schema>, options: &FormatOptions, evaluator: Option<Evaluator>) -> Box<dyn InputFormat> {
        let reader = ValuesReader {
            tuples: Tuples::new(),
            evaluator,
            interpret: options.values_interpret_expressions,
            columns: schema.len(),
            ended: false,
        };
        Box::new(Framed::new(reader, Arc::clone(schema), options))
    }

    /// Reads the field at `at` and returns where its delimiter is.
    fn field(&mut self, row: &[u8], at: usize, column: usize, rows: &mut Rows) -> Result<usize> {
        if let Some(end) = word_end(row, at, b"DEFAULT") {
            rows.default(column);
            return Ok(end);
        }
        let literal = rows.value_prefix(column, &row[at..], Style::Quoted);
        let error = match literal {
            Ok(length) => {
                let end = skip_blank(row, at + length);
                if is_delimiter(row, end, column + 1 == self.columns) {
                    return Ok(end);
                }
                rows.unset(column);
                None
            }
            Err(error) => {
                rows.unset(column);
                Some(error)
            }
        };
        let Some(evaluator) = self.evaluator.as_mut().filter(|_| self.interpret) else {
            return Err(error.unwrap_or_else(|| not_a_literal(row, at)));
        };
        let text = String::from_utf8_lossy(&row[at..]);
        let (value, length) = evaluator(rows.field(column), &text).map_err(|mut e| {
            // The place was counted from the start of the expression, which says nothing to the client.
            e.position = None;
            e.context(format!("value of column '{}'", rows.field(column).name))
        })?;
        rows.append(column, &value)?;
        // The text was lossy only if the row is no UTF-8; offsets then need not fit the bytes.
        let end = skip_blank(row, (at + length).min(row.len()));
        match is_delimiter(row, end, column + 1 == self.columns) {
            true => Ok(end),
            false => Err(not_a_literal(row, end)),
        }
    }
}

fn not_a_literal(row: &[u8], at: usize) -> Error {
    Error::new(
        Code::SYNTAX_ERROR,
        format!("',' or ')' must follow the value, found '{}'", excerpt(&row[at.min(row.len())..])),
    )
}

fn is_delimiter(row: &[u8], at: usize, is_last: bool) -> bool {
    match row.get(at) {
        Some(b',') => !is_last || skip_blank(row, at + 1) + 1 == row.len(),
        // Only the bracket that ends the row.
        Some(b')') => is_last && at + 1 == row.len(),
        _ => false,
    }
}

/// The byte after `word` when it stands at `at`, in any case of letters, with a delimiter behind it.
fn word_end(row: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    let text = row.get(at..at + word.len())?;
    let end = skip_blank(row, at + word.len());
    (text.eq_ignore_ascii_case(word) && matches!(row.get(end), Some(b',' | b')'))).then_some(end)
}

fn skip_blank(row: &[u8], mut at: usize) -> usize {
    loop {
        while row.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        let rest = &row[at.min(row.len())..];
        if rest.starts_with(b"--") {
            at += memchr(b'\n', rest).map_or(rest.len(), |n| n + 1);
        } else if rest.starts_with(b"/*") {
            at += memmem::find(rest, b"*/").map_or(rest.len(), |n| n + 2);
        } else {
            return at;
        }
    }
}

impl RowReader for ValuesReader {
    fn frame(&mut self, bytes: &[u8], last: bool) -> Result<Frame> {
        if self.tuples.scanned == 0 {
            let Some(first) = bytes.first() else { return Ok(Frame::More) };
            let blank = bytes.iter().take_while(|b| b.is_ascii_whitespace() || **b == b',').count();
            if blank > 0 {
                return Ok(Frame::Skip(blank));
            }
            match first {
                b'(' if !self.ended => {}
                b';' => {
                    self.ended = true;
                    return Ok(Frame::Skip(1));
                }
                b'-' | b'/' => return comment(bytes, last),
                _ => {
                    let message = format!("a row of VALUES must begin with '(', found '{}'", excerpt(bytes));
                    let code = if self.ended { Code::SYNTAX_ERROR } else { Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED };
                    return Err(Error::new(code, message));
                }
            }
        }
        match self.tuples.end(bytes, last) {
            Some(end) => {
                self.tuples.reset();
                Ok(Frame::Row { start: 0, end, next: end })
            }
            None if last => {
                let message = format!("the row does not end: '{}'", excerpt(bytes));
                Err(Error::new(Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED, message))
            }
            None => Ok(Frame::More),
        }
    }

    fn row(&mut self, row: &[u8], rows: &mut Rows) -> Result<()> {
        let mut at = skip_blank(row, 1);
        for column in 0..self.columns {
            if row.get(at) == Some(&b')') && at + 1 == row.len() {
                let text = format!("the row has {column} values, wanted are {}: '{}'", self.columns, excerpt(row));
                return Err(Error::new(Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED, text));
            }
            at = self.field(row, at, column, rows)?;
            if row.get(at) == Some(&b',') {
                at = skip_blank(row, at + 1);
            }
        }
        match at + 1 == row.len() {
            true => Ok(()),
            false => {
                let text = format!("the row has more than {} values: '{}'", self.columns, excerpt(row));
                Err(Error::new(Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED, text))
            }
        }
    }
}

/// A comment between rows.
fn comment(bytes: &[u8], last: bool) -> Result<Frame> {
    let end = match bytes {
        [b'-', b'-', ..] => memchr(b'\n', bytes).map(|n| n + 1),
        [b'/', b'*', ..] => memmem::find(bytes, b"*/").map(|n| n + 2),
        [_] if !last => return Ok(Frame::More),
        _ => {
            let message = format!("a row of VALUES must begin with '(', found '{}'", excerpt(bytes));
            return Err(Error::new(Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED, message));
        }
    };
    Ok(match end {
        Some(end) => Frame::Skip(end),
        None if last => Frame::Skip(bytes.len()),
        None => Frame::More,
    })
}
