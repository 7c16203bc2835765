//! Messages to a client, as bytes.
//!
//! In: what is to be said. Out: whole messages behind what a buffer holds. Promise: nothing but bytes; every length is that of
//! what was written.

use super::state::sqlstate;
use super::types::PgType;
use hydron_base::Error;

/// What a client may do next, as `ReadyForQuery` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transaction {
    Idle = b'I' as isize,
    Open = b'T' as isize,
    Failed = b'E' as isize,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The connection goes on.
    Error,
    /// The connection ends.
    Fatal,
    Warning,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
            Severity::Warning => "WARNING",
        }
    }
}

/// One column of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    pub name: String,
    pub ty: PgType,
    /// 0 is text, 1 binary.
    pub format: i16,
}

/// Writes one message; `body` adds what it holds.
pub fn message(kind: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let at = out.len();
    out.extend([0; 4]);
    body(out);
    let length = (out.len() - at) as u32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// A text and its zero. A zero inside would end it early, so none is written.
pub fn text(value: &str, out: &mut Vec<u8>) {
    out.extend(value.bytes().filter(|b| *b != 0));
    out.push(0);
}

fn number(kind: u8, value: i32, out: &mut Vec<u8>) {
    message(kind, out, |out| out.extend(value.to_be_bytes()));
}

pub fn authentication_ok(out: &mut Vec<u8>) {
    number(b'R', 0, out);
}

pub fn ask_password(out: &mut Vec<u8>) {
    number(b'R', 3, out);
}

pub fn parameter(name: &str, value: &str, out: &mut Vec<u8>) {
    message(b'S', out, |out| {
        text(name, out);
        text(value, out);
    });
}

pub fn cancel_key(process: i32, secret: i32, out: &mut Vec<u8>) {
    message(b'K', out, |out| {
        out.extend(process.to_be_bytes());
        out.extend(secret.to_be_bytes());
    });
}

/// The newest minor version is 3.0, and none of these options is known.
pub fn negotiate(unknown: &[&str], out: &mut Vec<u8>) {
    message(b'v', out, |out| {
        out.extend(0x0003_0000i32.to_be_bytes());
        out.extend((unknown.len() as u32).to_be_bytes());
        unknown.iter().for_each(|name| text(name, out));
    });
}

pub fn ready(transaction: Transaction, out: &mut Vec<u8>) {
    message(b'Z', out, |out| out.push(transaction as u8));
}

pub fn columns(described: &[Described], out: &mut Vec<u8>) {
    message(b'T', out, |out| {
        out.extend((described.len() as u16).to_be_bytes());
        for column in described {
            text(&column.name, out);
            // It belongs to no table that has a number.
            out.extend([0; 6]);
            out.extend(column.ty.oid.to_be_bytes());
            out.extend(column.ty.size.to_be_bytes());
            out.extend(column.ty.modifier.to_be_bytes());
            out.extend(column.format.to_be_bytes());
        }
    });
}

pub fn parameter_types(oids: &[u32], out: &mut Vec<u8>) {
    message(b't', out, |out| {
        out.extend((oids.len() as u16).to_be_bytes());
        oids.iter().for_each(|oid| out.extend(oid.to_be_bytes()));
    });
}

pub fn no_columns(out: &mut Vec<u8>) {
    message(b'n', out, |_| {});
}

pub fn parsed(out: &mut Vec<u8>) {
    message(b'1', out, |_| {});
}

pub fn bound(out: &mut Vec<u8>) {
    message(b'2', out, |_| {});
}

pub fn closed(out: &mut Vec<u8>) {
    message(b'3', out, |_| {});
}

pub fn suspended(out: &mut Vec<u8>) {
    message(b's', out, |_| {});
}

pub fn empty(out: &mut Vec<u8>) {
    message(b'I', out, |_| {});
}

pub fn complete(tag: &str, out: &mut Vec<u8>) {
    message(b'C', out, |out| text(tag, out));
}

/// The client may send rows, or gets them: `b'G'`, `b'H'`. All columns are text.
pub fn copy(kind: u8, columns: usize, out: &mut Vec<u8>) {
    message(kind, out, |out| {
        out.push(0);
        out.extend((columns as u16).to_be_bytes());
        out.extend(std::iter::repeat_n(0, 2 * columns));
    });
}

pub fn copy_data(bytes: &[u8], out: &mut Vec<u8>) {
    message(b'd', out, |out| out.extend_from_slice(bytes));
}

pub fn copy_done(out: &mut Vec<u8>) {
    message(b'c', out, |_| {});
}

/// One of `ErrorResponse` and `NoticeResponse`, from its fields.
pub struct Report<'a> {
    pub severity: Severity,
    pub sqlstate: &'a str,
    pub message: &'a str,
    pub detail: Option<&'a str>,
    pub hint: Option<&'a str>,
    /// Characters from the start of the query, counted from 1.
    pub position: Option<usize>,
}

impl Report<'_> {
    pub fn write(&self, out: &mut Vec<u8>) {
        let kind = if self.severity == Severity::Warning { b'N' } else { b'E' };
        message(kind, out, |out| {
            let mut field = |letter: u8, value: &str| {
                out.push(letter);
                text(value, out);
            };
            field(b'S', self.severity.name());
            field(b'V', self.severity.name());
            field(b'C', self.sqlstate);
            field(b'M', self.message);
            if let Some(detail) = self.detail {
                field(b'D', detail);
            }
            if let Some(hint) = self.hint {
                field(b'H', hint);
            }
            if let Some(position) = self.position {
                field(b'P', &position.to_string());
            }
            out.push(0);
        });
    }
}

/// An error as every other port says it, with what PostgreSQL has fields for. `query`: the text that its place counts in.
pub fn error(severity: Severity, error: &Error, query: &str, out: &mut Vec<u8>) {
    let position = error.position.map(|p| {
        let upto = query.get(..p.offset).map_or(p.offset, |before| before.chars().count());
        upto + 1
    });
    let whole = Error { position: None, hint: None, ..error.clone() }.to_string();
    let report = Report {
        severity,
        sqlstate: sqlstate(error.code),
        message: &whole,
        detail: None,
        hint: error.hint.as_deref(),
        position,
    };
    report.write(out);
}

pub fn warning(sqlstate: &str, message: &str, out: &mut Vec<u8>) {
    let severity = Severity::Warning;
    Report { severity, sqlstate, message, detail: None, hint: None, position: None }.write(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_base::{Code, error::Position};

    #[test]
    fn an_error_has_its_code_its_place_and_its_hint() {
        let query = "select ö, x";
        let e = Error::new(Code::UNKNOWN_IDENTIFIER, "column \"x\" is unknown").hint("y");
        let mut out = Vec::new();
        error(Severity::Error, &e.at(Position::in_text(query, 11)), query, &mut out);
        assert_eq!(out[0], b'E');
        assert_eq!(u32::from_be_bytes(out[1..5].try_into().unwrap()) as usize, out.len() - 1);
        let fields: Vec<&str> = out[5..].split(|b| *b == 0).map(|f| std::str::from_utf8(f).unwrap()).collect();
        let message = "MCode: 47. DB::Exception: column \"x\" is unknown. (UNKNOWN_IDENTIFIER)";
        assert_eq!(fields, ["SERROR", "VERROR", "C42703", message, "Hy", "P11", "", ""]);
    }
}
