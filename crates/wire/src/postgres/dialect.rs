//! Spellings of PostgreSQL that drivers write into statements, in ours.
//!
//! In: the text of a statement. Out: the same with `E'…'` as `'…'`, `ARRAY[…]` as `[…]`, and names of types after `::` as ours.
//! Promise: texts, names and comments are left as they are; so is all that is no such spelling.

use super::parameter;
use super::types::*;
use hydron_sql::lexer::{Lexer, Token, TokenKind};
use std::borrow::Cow;
use std::ops::Range;

/// A type after `::`: its names, its number, and how it is called here.
const TYPES: [(&str, u32, &str); 22] = [
    ("bool", BOOL, "bool"),
    ("boolean", BOOL, "bool"),
    ("bytea", BYTEA, "string"),
    ("char", BPCHAR, "string"),
    ("date", DATE, "date32"),
    ("float4", FLOAT4, "float32"),
    ("float8", FLOAT8, "float64"),
    ("inet", INET, "string"),
    ("int2", INT2, "int16"),
    ("int4", INT4, "int32"),
    ("int8", INT8, "int64"),
    ("json", JSON, "string"),
    ("jsonb", JSONB, "string"),
    ("numeric", NUMERIC, "float64"),
    ("real", FLOAT4, "float32"),
    ("regclass", TEXT, "string"),
    ("text", TEXT, "string"),
    ("timestamp", TIMESTAMP, "datetime64(6)"),
    ("timestamptz", TIMESTAMPTZ, "datetime64(6, 'UTC')"),
    ("uuid", UUID, "uuid"),
    ("varchar", VARCHAR, "string"),
    ("oid", INT8, "int64"),
];

/// The statements of `text` in our spelling.
pub fn translated(text: &str) -> Cow<'_, str> {
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut lexer = Lexer::new(text, 0);
    let range = |token: Token| token.start as usize..token.end as usize;
    let mut last: Option<Token> = None;
    let mut token = lexer.next_token();
    while !matches!(token.kind, TokenKind::End | TokenKind::Bad(_)) {
        let next = lexer.next_token();
        let word = &text[range(token)];
        match (token.kind, next.kind) {
            (TokenKind::Word, TokenKind::String) if word.eq_ignore_ascii_case("e") && token.end == next.start => {
                edits.push((range(token), " ".to_string()));
            }
            // In capitals, as drivers write it: a column may have that name.
            (TokenKind::Word, TokenKind::LBracket) if word == "ARRAY" => {
                edits.push((range(token), " ".repeat(word.len())));
            }
            (TokenKind::DoubleColon, TokenKind::Word) => {
                let name = text[range(next)].to_ascii_lowercase();
                if let Some((_, oid, ours)) = TYPES.iter().find(|(n, ..)| *n == name) {
                    let value = last.filter(|t| t.kind == TokenKind::String);
                    match value.and_then(|value| Some((value, constant(*oid, &text[range(value)])?))) {
                        Some((value, constant)) => edits.push((value.start as usize..next.end as usize, constant)),
                        None if *ours != name => edits.push((range(next), ours.to_string())),
                        None => {}
                    }
                }
            }
            _ => {}
        }
        last = Some(token);
        token = next;
    }
    if edits.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 64);
    let mut from = 0;
    for (range, ours) in edits {
        out.push_str(&text[from..range.start]);
        out.push_str(&ours);
        from = range.end;
    }
    out.push_str(&text[from..]);
    Cow::Owned(out)
}

/// `'…'::timestamptz` and the like, whose texts are not ours, as a value of ours. `None`: a plain cast does it.
fn constant(oid: u32, literal: &str) -> Option<String> {
    if !matches!(oid, TIMESTAMP | TIMESTAMPTZ | BYTEA | DATE) {
        return None;
    }
    let inner = literal.strip_prefix('\'')?.strip_suffix('\'')?;
    // `'\\x00'`: what is written there is one backslash.
    let inner = inner.replace("\\\\", "\\");
    if inner.contains('\'') {
        return None;
    }
    parameter::of_text(oid, &inner).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_drivers() {
        assert_eq!(translated("select E'a\\'$1', ae'x', 'E'"), "select  'a\\'$1', ae'x', 'E'");
        assert_eq!(translated("select ARRAY[1], array[1], 'ARRAY['"), "select      [1], array[1], 'ARRAY['");
        assert_eq!(
            translated("select a::int4, b::text, c::uuid, '::int4'"),
            "select a::int32, b::string, c::uuid, '::int4'"
        );
        let time = "select '2024-01-01T00:00:00.5+01:00'::timestamptz";
        assert_eq!(translated(time), "select to_datetime64('2023-12-31 23:00:00.5', 6, 'UTC')");
        assert_eq!(translated("select '\\x00ff'::bytea"), "select unhex('00ff')");
        assert!(matches!(translated("select 1 -- E'x'"), Cow::Borrowed(_)));
    }
}
