//! SQL text to statement and back. No catalog, no I/O.
//!
//! In reading order: [`ast`] (what a statement is), [`lexer`] (text to tokens), [`parse`] (tokens to trees), [`walk`]
//! (visits), [`name`] (the column names that results carry), [`print`] (trees to text), [`secret`] (what texts must not
//! show).
//!
//! Promise: `parse(print(tree)) == tree` for every tree that the parser makes.

pub mod ast;
pub mod lexer;
pub mod name;
pub mod parse;
pub mod print;
pub mod secret;
pub mod walk;

pub use parse::{
    Parsed, Script, parse_expression, parse_expression_prefix, parse_many, parse_statement, parse_statement_at,
    parse_type,
};
