//! What comments of a test suite's script say about its statements.
//!
//! In: a statement with the comments before, inside and right behind it. Out: which error it must give, and whether
//! statements are printed from here on: `-- { serverError 62 }`, `-- { echoOn }`. An error's hint counts only behind the
//! statement's first token; code or name may stand in it.

use hydron_base::{Error, Result};
use hydron_sql::Script;
use hydron_sql::lexer::{Lexer, TokenKind};

#[derive(Debug, Default, PartialEq)]
pub struct Hints {
    pub error: Option<String>,
    pub echo: Option<bool>,
}

impl Hints {
    /// Of a statement with its comments.
    pub fn of(text: &str) -> Hints {
        let mut hints = Hints::default();
        let mut lexer = Lexer::new(text, 0);
        let (mut at, mut leading) = (0, true);
        loop {
            let token = lexer.next_token();
            // Between two tokens are spaces and comments.
            let between = text.get(at..token.start as usize).unwrap_or_default();
            hints.take(between, leading);
            if token.kind == TokenKind::End || token.end as usize <= at {
                return hints;
            }
            leading = false;
            at = token.end as usize;
        }
    }

    fn take(&mut self, comments: &str, leading: bool) {
        for part in comments.split('{').skip(1) {
            let Some((words, _)) = part.split_once('}') else { continue };
            let mut words = words.split_whitespace();
            while let Some(word) = words.next() {
                match word {
                    "echo" | "echoOn" => self.echo = Some(true),
                    "echoOff" => self.echo = Some(false),
                    "serverError" | "clientError" if !leading => {
                        let code = words.next().unwrap_or_default();
                        self.error = Some(code.trim_end_matches([',', ';']).to_string());
                    }
                    _ => {}
                }
            }
        }
    }

    /// An expected error is none; a missing one is one.
    pub fn judge(&self, outcome: Result<()>) -> Result<()> {
        let Some(expected) = &self.error else { return outcome };
        match outcome {
            Ok(()) => Err(Error::bug(format!("error {expected} was expected, the statement succeeded"))),
            Err(e) if e.code.number().to_string() == *expected || e.code.name() == expected => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// The statement with the comments before it, from byte `from` of the script on, and those behind it on its last line.
pub fn with_comments<'a>(script: &'a str, from: usize, statement: &Script<'_>) -> &'a str {
    let mut end = statement.start + statement.text.len();
    let mut lexer = Lexer::new(script, end);
    let following = loop {
        let token = lexer.next_token();
        match token.kind {
            TokenKind::Semicolon => end = token.end as usize,
            TokenKind::End => break script.len(),
            _ => break token.start as usize,
        }
    };
    let line_end = script[end..].find('\n').map_or(script.len(), |n| end + n);
    let end = if line_end <= following { line_end } else { end };
    script[from..end].trim_start()
}

/// Bytes of the block of `-- Tags: …` comments at the head of a script, which belong to no statement.
pub fn tags_bytes(script: &str) -> usize {
    let is_tags = script.trim_start_matches([' ', '\t']).strip_prefix("--");
    if !is_tags.is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with("Tags:")) {
        return 0;
    }
    let lines = script.split_inclusive('\n');
    lines.take_while(|l| l.trim_start_matches([' ', '\t']).starts_with("--")).map(str::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_stand_in_comments_around_a_statement() {
        let hints = |text| Hints::of(text);
        assert_eq!(hints("select 1; -- { serverError 62 }").error.as_deref(), Some("62"));
        assert_eq!(
            hints("select x -- { clientError UNKNOWN_IDENTIFIER }\n;").error.as_deref(),
            Some("UNKNOWN_IDENTIFIER")
        );
        assert_eq!(hints("-- { serverError 1 }\nselect '{ serverError 2 }'"), Hints::default());
        assert_eq!(hints("-- { echoOn }\nselect 1").echo, Some(true));
    }

    #[test]
    fn a_statement_keeps_its_comments() {
        let script = "-- Tags: x\n-- y\n\n-- one\nselect 1; -- end\nselect 2; select 3";
        let mut from = tags_bytes(script);
        let all: Vec<&str> = hydron_sql::parse_many(script)
            .map(|s| {
                let text = with_comments(script, from, &s);
                from = text.as_ptr() as usize - script.as_ptr() as usize + text.len();
                text
            })
            .collect();
        assert_eq!(all, ["-- one\nselect 1; -- end", "select 2;", "select 3"]);
    }
}
