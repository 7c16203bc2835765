//! Tokens to trees: recursive descent for statements, precedence climbing for expressions.
//!
//! In reading order: `cursor` (tokens, keywords, errors, limits), `expr`, `operator`, `word` (words that start an
//! expression), `call` (arguments and keyword forms of functions), `types`, `query`, `table`, `emit`, `statement`,
//! `create`, `dictionary`, `alter`, `manage`, `show`, `access`, `script` (several statements in one text).
//!
//! Promise: recursion is counted, so that no text overflows a stack of 2 MiB; a flat list or operator chain of any
//! length takes no recursion; time is linear in the text.

mod access;
mod alter;
mod call;
mod create;
mod cursor;
mod dictionary;
mod emit;
mod expr;
mod manage;
mod operator;
mod query;
mod script;
mod show;
mod statement;
mod table;
mod types;
mod word;

use crate::ast::{Expr, Statement, TypeName};
use crate::lexer::TokenKind;
use cursor::{PResult, Parser};
use hydron_base::Result;

pub use cursor::DEPTH_MAX;
pub use script::{Script, parse_many, values_end};

/// A statement and what the text holds after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    pub statement: Statement,
    /// Byte after the statement and its `;`, if one follows. With `insert_data`, equal to it.
    pub end: usize,
    /// Where the rows of `INSERT … VALUES` or `INSERT … FORMAT f` begin: the byte after VALUES, or after the format name,
    /// blanks and at most one line break. Nothing from here on was read. `None` when the text ends or a `;` follows.
    pub insert_data: Option<usize>,
}

/// Parses the statement at the start of `sql`.
///
/// Errors: SYNTAX_ERROR (62) with position; TOO_DEEP_RECURSION (306), TOO_BIG_AST (168). An empty text is a syntax error.
/// Text after the statement that does not start with `;` is an error; text after the `;` is not looked at.
pub fn parse_statement(sql: &str) -> Result<Parsed> {
    parse_statement_at(sql, 0)
}

/// Parses the statement that starts at byte `offset`; all offsets and spans count from the start of `sql`.
pub fn parse_statement_at(sql: &str, offset: usize) -> Result<Parsed> {
    run(sql, offset, |p| p.parsed())
}

/// Parses a text that is one expression, alias allowed.
pub fn parse_expression(sql: &str) -> Result<Expr> {
    run(sql, 0, |p| {
        let expr = p.aliased_expr()?;
        p.finish()?;
        Ok(expr)
    })
}

/// Parses the expression at the start of `sql`; returns it with the number of bytes it takes, blanks after it included.
/// What follows is not looked at: a value of `INSERT … VALUES` ends before its comma or parenthesis.
pub fn parse_expression_prefix(sql: &str) -> Result<(Expr, usize)> {
    run(sql, 0, |p| {
        let expr = p.aliased_expr()?;
        Ok((expr, p.token().start as usize))
    })
}

/// Parses a text that is one type.
pub fn parse_type(sql: &str) -> Result<TypeName> {
    run(sql, 0, |p| {
        let ty = p.type_name()?;
        p.finish()?;
        Ok(ty)
    })
}

/// Runs `parse`; if it fails, once more with the expectations recorded, so that only errors pay for their text.
fn run<T>(sql: &str, offset: usize, parse: impl Fn(&mut Parser<'_>) -> PResult<T>) -> Result<T> {
    match parse(&mut Parser::new(sql, offset, false)) {
        Ok(tree) => Ok(tree),
        Err(_) => parse(&mut Parser::new(sql, offset, true)).map_err(|e| *e),
    }
}

impl Parser<'_> {
    fn parsed(&mut self) -> PResult<Parsed> {
        let statement = self.statement()?;
        if let Some(data) = self.insert_data(&statement) {
            return Ok(Parsed { statement, end: data, insert_data: Some(data) });
        }
        let end = match self.kind() {
            TokenKind::End | TokenKind::Semicolon => self.token().end as usize,
            _ => return Err(self.unexpected("end of query")),
        };
        Ok(Parsed { statement, end, insert_data: None })
    }

    fn finish(&mut self) -> PResult<()> {
        if self.at(TokenKind::End) { Ok(()) } else { Err(self.unexpected("end of text")) }
    }
}
