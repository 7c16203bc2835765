//! Several statements in one text, with the rows of INSERT between them.
//!
//! Where a statement ends: at `;`. The rows of `INSERT … VALUES` are parenthesised groups with or without commas between
//! them and end before the first other token. The rows of `INSERT … FORMAT f` are the rest of the line, or the next line
//! when nothing else stands on that line; never more. A statement that does not parse ends at its next `;` outside of
//! quotes and comments, or at the end of its line when its text has no tokens.

use super::{Parsed, parse_statement_at};
use crate::lexer::{Lexer, TokenKind};
use hydron_base::Result;

/// One statement of a script: its text without the `;`, rows included, and what the parser says.
#[derive(Debug)]
pub struct Script<'a> {
    pub text: &'a str,
    /// Byte of `text` within the script; offsets in `parsed` count from the start of the script.
    pub start: usize,
    pub parsed: Result<Parsed>,
    /// The rows of an INSERT.
    pub rows: Option<&'a str>,
}

/// The statements of `sql`, one after the other.
pub fn parse_many(sql: &str) -> impl Iterator<Item = Script<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = skip_empty(sql, at)?;
        let parsed = parse_statement_at(sql, start);
        let (end, rows) = match &parsed {
            Ok(p) => match p.insert_data {
                Some(data) => rows_end(sql, p, data),
                None => (p.end, None),
            },
            Err(_) => (after_failure(sql, start), None),
        };
        at = end.max(start + 1);
        while !sql.is_char_boundary(at) {
            at += 1;
        }
        let text = sql[start..at].trim_end();
        let text = if rows.is_none() { text.strip_suffix(';').unwrap_or(text) } else { text };
        Some(Script { text, start, parsed, rows })
    })
}

/// The first byte of the next statement.
fn skip_empty(sql: &str, at: usize) -> Option<usize> {
    let mut lexer = Lexer::new(sql, at);
    loop {
        let token = lexer.next_token();
        match token.kind {
            TokenKind::Semicolon => {}
            TokenKind::End => return None,
            _ => return Some(token.start as usize),
        }
    }
}

fn rows_end<'a>(sql: &'a str, parsed: &Parsed, data: usize) -> (usize, Option<&'a str>) {
    use crate::ast::{InsertSource, StatementKind};
    let values = matches!(&parsed.statement.kind, StatementKind::Insert(i) if i.source == InsertSource::Values);
    let end = if values { values_end(sql, data) } else { line_end(sql, data) };
    (end, Some(&sql[data..end]))
}

/// The end of `(…), (…) …` which starts at byte `data`: the byte after the last group or comma.
pub fn values_end(sql: &str, data: usize) -> usize {
    let mut lexer = Lexer::new(sql, data);
    let (mut depth, mut last) = (0usize, data);
    loop {
        let token = lexer.next_token();
        match token.kind {
            TokenKind::End | TokenKind::Bad(_) => return if depth > 0 { sql.len() } else { last },
            TokenKind::LParen | TokenKind::LBracket | TokenKind::LBrace => depth += 1,
            TokenKind::RParen | TokenKind::RBracket | TokenKind::RBrace => {
                depth = depth.saturating_sub(1);
                last = token.end as usize;
            }
            TokenKind::Comma if depth == 0 => last = token.end as usize,
            _ if depth == 0 => return last,
            _ => {}
        }
    }
}

fn line_end(sql: &str, at: usize) -> usize {
    sql[at..].find('\n').map_or(sql.len(), |n| at + n)
}

fn after_failure(sql: &str, start: usize) -> usize {
    let mut lexer = Lexer::new(sql, start);
    loop {
        let token = lexer.next_token();
        match token.kind {
            TokenKind::Semicolon | TokenKind::End => return token.end as usize,
            TokenKind::Bad(defect) if defect != crate::lexer::Defect::Character => return line_end(sql, start),
            _ => {}
        }
    }
}
