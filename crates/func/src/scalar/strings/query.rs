//! `normalize_query`: the shape of a query, so that queries which differ in their constants alone are one.
//!
//! Literals become `?`, lists of them `?..`, comments and white space one space, and names that a program made up (with three
//! digits and more, or that are ids) `` `?` `` unless names are kept.

use crate::registry::Registry;
use crate::scalar::column::{Texts, texts, uint64s};
use crate::scalar::define::define;
use crate::scalar::hashing::sip64;
use hydron_types::LogicalType;
use memchr::memmem;

pub(super) fn register(registry: &mut Registry) {
    for (suffix, keep_names) in [("", false), ("_keep_names", true)] {
        define(registry, &format!("normalize_query{suffix}"), move |call| {
            call.arity(1..=1)?;
            call.need(0, |t| *t == LogicalType::String)?;
            call.returns(LogicalType::String, move |args, rows| {
                let query = Texts::of(&args[0])?;
                texts(rows, |row, out| normalize(query.at(row), keep_names, out))
            })
        });
        define(registry, &format!("normalized_query_hash{suffix}"), move |call| {
            call.arity(1..=1)?;
            call.need(0, |t| *t == LogicalType::String)?;
            call.returns(LogicalType::UInt64, move |args, rows| {
                let query = Texts::of(&args[0])?;
                let mut shape = Vec::new();
                Ok(uint64s(rows, |row| {
                    shape.clear();
                    normalize(query.at(row), keep_names, &mut shape);
                    sip64(&shape)
                }))
            })
        });
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Token {
    Space,
    Literal,
    Comma,
    Word,
    Quoted,
    Other,
}

pub(super) fn normalize(mut query: &[u8], keep_names: bool, out: &mut Vec<u8>) {
    let (mut after_space, mut comma, mut space, mut literals) = (false, false, false, 0);
    // The end is a token of its own: it closes a list of literals.
    loop {
        let (token, length) = next_token(query);
        let text = &query[..length];
        query = &query[length..];
        match token {
            Token::Space => {
                if !after_space && literals == 0 {
                    out.push(b' ');
                }
                space |= literals > 0;
                after_space = true;
                continue;
            }
            Token::Literal => {
                if literals == 0 {
                    out.push(b'?');
                }
                literals += 1;
                (comma, space, after_space) = (false, false, false);
                continue;
            }
            Token::Comma if literals > 0 => {
                (comma, after_space) = (true, false);
                continue;
            }
            _ => {}
        }
        after_space = false;
        if literals > 1 {
            out.extend_from_slice(b"..");
        }
        if comma {
            out.push(b',');
        }
        if space {
            out.push(b' ');
        }
        (comma, space, literals) = (false, false, 0);
        if text.is_empty() {
            return;
        }
        let name = token == Token::Quoted || (token == Token::Word && query.first() != Some(&b'('));
        if name && !keep_names && is_made_up(text) {
            out.extend_from_slice(b"`?`");
        } else {
            out.extend_from_slice(text);
        }
    }
}

/// A name with more than two digits, or the text of a UUID.
fn is_made_up(name: &[u8]) -> bool {
    let bare = match name {
        [b'`' | b'"', inside @ .., _] => inside,
        other => other,
    };
    let dashes = [8, 13, 18, 23];
    let is_id = bare.len() == 36
        && bare.iter().enumerate().all(|(i, b)| if dashes.contains(&i) { *b == b'-' } else { b.is_ascii_hexdigit() });
    is_id || bare.iter().filter(|b| b.is_ascii_digit()).count() > 2
}

/// Kind and length of the token a text begins with; a length of 0 at the end.
fn next_token(text: &[u8]) -> (Token, usize) {
    let Some(first) = text.first() else { return (Token::Other, 0) };
    let rest = &text[1..];
    let while_true = |test: fn(u8) -> bool| text.iter().take_while(|b| test(**b)).count();
    let line = || memchr::memchr(b'\n', text).unwrap_or(text.len());
    match first {
        b if b.is_ascii_whitespace() || *b == 0x0B => {
            (Token::Space, while_true(|b| b.is_ascii_whitespace() || b == 0x0B))
        }
        b'-' if rest.first() == Some(&b'-') => (Token::Space, line()),
        b'#' if matches!(rest.first(), Some(b'!' | b' ')) => (Token::Space, line()),
        b'/' if rest.first() == Some(&b'*') => {
            (Token::Space, memmem::find(&text[2..], b"*/").map_or(text.len(), |at| at + 4))
        }
        b'\'' => (Token::Literal, quoted(text)),
        b'"' | b'`' => (Token::Quoted, quoted(text)),
        b',' => (Token::Comma, 1),
        b if b.is_ascii_digit() => (Token::Literal, number(text)),
        b'.' if rest.first().is_some_and(u8::is_ascii_digit) => (Token::Literal, number(text)),
        b'$' => match heredoc(text) {
            Some(length) => (Token::Literal, length),
            None => (Token::Word, while_true(is_word).max(1)),
        },
        b if is_word(*b) => (Token::Word, while_true(is_word)),
        _ => (Token::Other, 1),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$')
}

/// The length of a text in quotes: a doubled quote or a backslash does not end it.
fn quoted(text: &[u8]) -> usize {
    let quote = text[0];
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b if b == quote && text.get(at + 1) == Some(&quote) => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

fn number(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let sign = matches!(byte, b'+' | b'-') && at > 0 && matches!(text[at - 1], b'e' | b'E' | b'p' | b'P');
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || sign) {
            break;
        }
        at += 1;
    }
    at
}

/// The length of `$tag$…$tag$`.
fn heredoc(text: &[u8]) -> Option<usize> {
    let tag = memchr::memchr(b'$', &text[1..])? + 2;
    if !text[1..tag - 1].iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_') {
        return None;
    }
    memmem::find(&text[tag..], &text[..tag]).map(|at| at + 2 * tag)
}
