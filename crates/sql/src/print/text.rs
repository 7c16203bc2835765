//! Names and constants as SQL text.

use crate::ast::Literal;
use std::fmt::Write;

/// Words that do not stand for a name where an expression starts.
const RESERVED: [&str; 15] = [
    "null", "true", "false", "nan", "inf", "infinity", "not", "case", "interval", "select", "with", "from", "distinct",
    "all", "top",
];

/// Whether `name` needs no quotes.
pub fn is_plain(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !(name.len() <= 8 && RESERVED.iter().any(|w| w.eq_ignore_ascii_case(name)))
}

/// The name, in backticks if it needs them.
pub fn put_name(out: &mut String, name: &str) {
    if is_plain(name) {
        out.push_str(name);
    } else {
        put_quoted_name(out, name);
    }
}

/// The name in backticks.
pub fn put_quoted_name(out: &mut String, name: &str) {
    put_escaped(out, name.as_bytes(), '`');
}

/// The bytes as a string constant. Bytes that are not UTF-8 become `\xHH`.
pub fn put_string(out: &mut String, bytes: &[u8]) {
    put_escaped(out, bytes, '\'');
}

fn put_escaped(out: &mut String, bytes: &[u8], quote: char) {
    out.push(quote);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\0' => out.push_str("\\0"),
                '\\' => out.push_str("\\\\"),
                c if c == quote => {
                    out.push('\\');
                    out.push(c);
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02X}");
        }
    }
    out.push(quote);
}

/// The constant as SQL text, which is also its column name.
pub fn put_literal(out: &mut String, literal: &Literal) {
    let _ = match literal {
        Literal::Null => out.write_str("NULL"),
        Literal::Bool(b) => write!(out, "{b}"),
        Literal::UInt(n) => write!(out, "{n}"),
        Literal::Int(n) => write!(out, "{n}"),
        Literal::BigInt(digits) => out.write_str(digits),
        Literal::Float(f) => out.write_str(&float(f.0)),
        Literal::String(bytes) => {
            put_string(out, bytes);
            Ok(())
        }
    };
}

/// The shortest text that reads back as the same number, always recognizable as a float: `1.`, `0.5`, `1e21`.
fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".to_owned() } else { "-1e999".to_owned() };
    }
    let size = value.abs();
    if size >= 1e21 || (size < 1e-6 && size > 0.0) {
        return format!("{value:e}");
    }
    let text = format!("{value}");
    if text.contains('.') { text } else { text + "." }
}
