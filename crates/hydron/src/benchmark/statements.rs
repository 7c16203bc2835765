//! What the benchmark runs.

use super::args::BenchmarkArgs;
use hydron_base::{Code, Error, Result};
use hydron_sql::ast::StatementKind;
use hydron_sql::lexer::{Lexer, TokenKind};

/// Statements of one run; a file of more was hardly meant.
const STATEMENTS_MAX: usize = 1_000_000;

#[derive(Debug, PartialEq)]
pub struct Statement {
    pub text: String,
    /// The server asks for rows, which stand in the text already.
    pub is_insert: bool,
}

/// Errors: BAD_ARGUMENTS when there is none, CANNOT_OPEN_FILE.
pub fn read(args: &BenchmarkArgs) -> Result<Vec<Statement>> {
    let mut all: Vec<Statement> = args.query.iter().flat_map(|q| split(q)).collect();
    let file = match &args.queries_file {
        Some(path) if path.as_os_str() != "-" => {
            Some(std::fs::read_to_string(path).map_err(|e| (path.display().to_string(), e)))
        }
        None if !all.is_empty() => None,
        _ => Some(std::io::read_to_string(std::io::stdin()).map_err(|e| ("standard input".to_string(), e))),
    };
    if let Some(text) = file
        .transpose()
        .map_err(|(what, e)| Error::new(Code::CANNOT_OPEN_FILE, format!("cannot read statements from {what}: {e}")))?
    {
        all.extend(split(&text));
    }
    if all.is_empty() {
        return Err(Error::new(Code::BAD_ARGUMENTS, "there is no statement to run").hint("--query 'SELECT 1'"));
    }
    if all.len() > STATEMENTS_MAX {
        return Err(Error::new(Code::BAD_ARGUMENTS, format!("more than {STATEMENTS_MAX} statements")));
    }
    Ok(all)
}

/// Statements between semicolons; where there is none, one on each line. One that does not parse is kept: the server says
/// what is wrong with it.
fn split(text: &str) -> Vec<Statement> {
    if has_semicolon(text) || hydron_sql::parse_statement(text).is_ok() {
        let scripts = hydron_sql::parse_many(text);
        return scripts.filter(|s| !s.text.trim().is_empty()).map(|s| statement(s.text)).collect();
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(statement).collect()
}

fn statement(text: &str) -> Statement {
    let parsed = hydron_sql::parse_statement(text);
    let is_insert = parsed.is_ok_and(|p| matches!(p.statement.kind, StatementKind::Insert(_)));
    Statement { text: text.to_string(), is_insert }
}

/// Outside of quotes and comments.
fn has_semicolon(text: &str) -> bool {
    let mut lexer = Lexer::new(text, 0);
    let mut at = 0;
    loop {
        let token = lexer.next_token();
        match token.kind {
            TokenKind::Semicolon => return true,
            TokenKind::End => return false,
            _ if token.end <= at => return false,
            _ => at = token.end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_stand_between_semicolons_or_on_lines() {
        let texts = |text| split(text).into_iter().map(|s| s.text).collect::<Vec<_>>();
        assert_eq!(texts("SELECT 1;\nSELECT\n 2;"), ["SELECT 1", "SELECT\n 2"]);
        assert_eq!(texts("SELECT 1\nSELECT ';'\n\n"), ["SELECT 1", "SELECT ';'"]);
        assert_eq!(texts("SELECT 1\n+ 2"), ["SELECT 1\n+ 2"]);
        assert!(split("INSERT INTO t (a) VALUES (1)")[0].is_insert);
        assert!(!split("SELECT 1")[0].is_insert);
    }
}
