//! What clients of PostgreSQL say beside the dialect: transactions, cursors, COPY, and settings that are theirs.
//!
//! In: one statement. Out: what it asks for, or that it is the engine's. Promise: only words are looked at; nothing that the
//! dialect has a meaning for is taken away from it.

use hydron_base::{Code, Error, Result};
use hydron_sql::lexer::{Lexer, Token, TokenKind};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phrase {
    Begin,
    Commit,
    Rollback,
    /// Done by having been said; the tag of its answer.
    Nothing(&'static str),
    /// Forget this prepared statement, or all.
    Deallocate(Option<String>),
    /// Forget statements, cursors and settings.
    DiscardAll,
    /// A setting of the client's own, which it may ask for again.
    Keep {
        name: String,
        value: String,
    },
    /// A setting of ours by another name.
    Set {
        name: &'static str,
        value: String,
    },
    /// A setting that it asks for.
    Show(String),
    /// One row of one column.
    Constant {
        name: &'static str,
        value: String,
    },
    Declare {
        name: String,
        query: String,
    },
    /// `None`: all that there is.
    Fetch {
        name: String,
        rows: Option<u32>,
    },
    /// A cursor, or all.
    Close(Option<String>),
    Copy(Copy),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The INSERT without its rows, or the query.
    pub statement: String,
    pub is_in: bool,
}

/// Settings that only mean something to a client; what it sets is told to it again.
const CLIENTS_OWN: [&str; 18] = [
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "constraint_exclusion",
    "datestyle",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "jit",
    "lock_timeout",
    "row_security",
    "search_path",
    "standard_conforming_strings",
    "synchronize_seqscans",
    "synchronous_commit",
];

/// What `text` says that is not the engine's to answer. Errors: SYNTAX_ERROR; NOT_IMPLEMENTED for what a transaction would need.
pub fn phrase(text: &str) -> Result<Option<Phrase>> {
    let words = Words::new(text);
    let Some(first) = words.lower(0) else { return Ok(None) };
    let second = words.lower(1).unwrap_or_default();
    let phrase = match first.as_str() {
        "begin" => Phrase::Begin,
        "start" if second == "transaction" => Phrase::Begin,
        "commit" | "end" => Phrase::Commit,
        "rollback" if second == "to" || words.lower(2).as_deref() == Some("to") => return Err(savepoints()),
        "rollback" | "abort" => Phrase::Rollback,
        "savepoint" | "release" => return Err(savepoints()),
        "discard" if second == "all" => Phrase::DiscardAll,
        "discard" => Phrase::Nothing("DISCARD"),
        "unlisten" => Phrase::Nothing("UNLISTEN"),
        "listen" | "notify" => return Err(Error::not_implemented("LISTEN and NOTIFY").hint("a SELECT from a stream")),
        "deallocate" => {
            let at = if second == "prepare" { 2 } else { 1 };
            Phrase::Deallocate(words.name(at).filter(|n| !n.eq_ignore_ascii_case("all")))
        }
        "reset" => Phrase::Nothing("RESET"),
        "set" => match set(&words)? {
            Some(phrase) => phrase,
            None => return Ok(None),
        },
        "show" => match show(&words) {
            Some(name) => Phrase::Show(name),
            None => return Ok(None),
        },
        "select" => match constant(&words) {
            Some(phrase) => phrase,
            None => return Ok(None),
        },
        "declare" => declare(&words)?,
        "fetch" | "move" => fetch(&words)?,
        "close" => Phrase::Close(words.name(1).filter(|n| !n.eq_ignore_ascii_case("all"))),
        "copy" => Phrase::Copy(super::copy::parse(text)?),
        _ => return Ok(None),
    };
    Ok(Some(phrase))
}

fn savepoints() -> Error {
    Error::not_implemented("SAVEPOINT").hint("each statement is committed by itself: there is nothing to return to")
}

/// `SET [SESSION | LOCAL] name { = | TO } value`, `SET TIME ZONE value`, `SET [SESSION CHARACTERISTICS AS] TRANSACTION …`.
fn set(words: &Words<'_>) -> Result<Option<Phrase>> {
    let mut at = 1;
    if matches!(words.lower(at).as_deref(), Some("session" | "local")) {
        at += 1;
    }
    let Some(name) = words.lower(at) else { return Ok(None) };
    if name == "transaction" || name == "characteristics" {
        return Ok(Some(Phrase::Nothing("SET")));
    }
    let (name, value_at) = match name.as_str() {
        "time" if words.lower(at + 1).as_deref() == Some("zone") => ("timezone".to_string(), at + 2),
        "names" => ("client_encoding".to_string(), at + 1),
        _ => (name, at + 2),
    };
    let is_to = words.lower(at + 1).as_deref() == Some("to");
    let value = words.rest(value_at);
    Ok(Some(match name.as_str() {
        "timezone" => Phrase::Set { name: "session_timezone", value },
        "statement_timeout" => Phrase::Set { name: "max_execution_time", value: seconds(&value)? },
        "client_encoding"
            if !matches!(value.to_ascii_uppercase().replace('-', "").as_str(), "UTF8" | "UNICODE" | "DEFAULT") =>
        {
            let text = format!("client_encoding '{value}' is not spoken");
            return Err(Error::new(Code::INVALID_SETTING_VALUE, text).hint("UTF8"));
        }
        name if CLIENTS_OWN.contains(&name) => Phrase::Keep { name: name.to_string(), value },
        // One of ours, in PostgreSQL's words.
        name if is_to => match hydron_base::setting::definition(name) {
            Some(setting) => Phrase::Set { name: setting.name, value },
            None => return Ok(None),
        },
        _ => return Ok(None),
    }))
}

/// Milliseconds, or a number with its unit, as seconds.
fn seconds(value: &str) -> Result<String> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c.is_whitespace());
    let unit = value[digits.len()..].trim();
    let per_second = match unit {
        "" | "ms" => 1_000.0,
        "s" => 1.0,
        "min" => 1.0 / 60.0,
        _ => 0.0,
    };
    let number = digits.parse::<f64>().ok().filter(|n| per_second > 0.0 && *n >= 0.0);
    let number = number.ok_or_else(|| {
        Error::new(Code::INVALID_SETTING_VALUE, format!("statement_timeout cannot be '{value}'")).hint("'30s', or ms")
    })?;
    Ok((number / per_second).to_string())
}

/// `SHOW name`, of a setting that is PostgreSQL's.
fn show(words: &Words<'_>) -> Option<String> {
    let name = words.lower(1)?;
    if name == "transaction" && words.lower(2).as_deref() == Some("isolation") {
        return Some("transaction_isolation".to_string());
    }
    if name == "time" && words.lower(2).as_deref() == Some("zone") {
        return Some("timezone".to_string());
    }
    let is_one = words.count() == 2;
    let known = shown_by_default(&name).is_some() || matches!(name.as_str(), "timezone" | "statement_timeout");
    (is_one && known).then_some(name)
}

/// What a setting is before a client has set it.
pub fn shown_by_default(name: &str) -> Option<&'static str> {
    Some(match name {
        "server_version" => SERVER_VERSION,
        "server_version_num" => "140000",
        "server_encoding" | "client_encoding" => "UTF8",
        "standard_conforming_strings" => "off",
        "integer_datetimes" => "on",
        "transaction_isolation" | "default_transaction_isolation" => "read committed",
        "transaction_read_only" | "default_transaction_read_only" | "is_superuser" => "off",
        "datestyle" => "ISO, YMD",
        "intervalstyle" => "postgres",
        "max_identifier_length" => "63",
        "extra_float_digits" => "1",
        "bytea_output" => "hex",
        name if CLIENTS_OWN.contains(&name) => "",
        _ => return None,
    })
}

/// A release whose drivers all know it; what differs is in docs/reference/postgres.md.
pub const SERVER_VERSION: &str = "14.0";

/// What drivers ask at their start.
fn constant(words: &Words<'_>) -> Option<Phrase> {
    let said: Vec<String> = (1..words.count()).map_while(|i| words.lower(i)).collect();
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    let value = |name, value: String| Some(Phrase::Constant { name, value });
    match said.as_slice() {
        ["pg_catalog", ".", "version", "(", ")"] => {
            value("version", format!("PostgreSQL {SERVER_VERSION} (Hydron {})", env!("CARGO_PKG_VERSION")))
        }
        ["current_schema", "(", ")"] | ["current_schema"] => value("current_schema", "public".to_string()),
        _ => None,
    }
}

/// `DECLARE name [options] CURSOR [WITH | WITHOUT HOLD] FOR query`.
fn declare(words: &Words<'_>) -> Result<Phrase> {
    let name = words.name(1).ok_or_else(|| words.wrong("DECLARE name CURSOR FOR SELECT …"))?;
    let found = (2..words.count()).find(|i| words.lower(*i).as_deref() == Some("for"));
    let at = found.filter(|at| (2..*at).any(|i| words.lower(i).as_deref() == Some("cursor")));
    let at = at.ok_or_else(|| words.wrong("DECLARE name CURSOR FOR SELECT …"))?;
    Ok(Phrase::Declare { name, query: words.text_from(at + 1).to_string() })
}

/// `FETCH [NEXT | [FORWARD] n | [FORWARD] ALL] [FROM | IN] name`.
fn fetch(words: &Words<'_>) -> Result<Phrase> {
    let wrong = || words.wrong("FETCH 100 FROM name");
    let mut at = 1;
    if words.lower(at).as_deref() == Some("forward") && words.count() > 2 {
        at += 1;
    }
    let mut rows = Some(1);
    match words.lower(at).as_deref() {
        Some("next") => at += 1,
        Some("all") => {
            rows = None;
            at += 1;
        }
        Some(number) if number.bytes().all(|b| b.is_ascii_digit()) => {
            rows = Some(number.parse().map_err(|_| wrong())?);
            at += 1;
        }
        Some("backward" | "prior" | "first" | "last" | "absolute" | "relative") => {
            return Err(Error::not_implemented("a cursor that goes anywhere but forward"));
        }
        _ => {}
    }
    if matches!(words.lower(at).as_deref(), Some("from" | "in")) {
        at += 1;
    }
    let name = words.name(at).filter(|_| at + 1 == words.count()).ok_or_else(wrong)?;
    Ok(Phrase::Fetch { name, rows })
}

/// The words of a statement, up to its end.
pub(super) struct Words<'a> {
    text: &'a str,
    tokens: Vec<Token>,
}

/// More of them is a statement of the engine's.
const WORDS_MAX: usize = 4_096;

impl<'a> Words<'a> {
    pub fn new(text: &'a str) -> Words<'a> {
        let mut lexer = Lexer::new(text, 0);
        let ends = |t: &Token| matches!(t.kind, TokenKind::End | TokenKind::Semicolon | TokenKind::Bad(_));
        let tokens = std::iter::from_fn(|| Some(lexer.next_token()).filter(|t| !ends(t))).take(WORDS_MAX).collect();
        Words { text, tokens }
    }

    pub fn count(&self) -> usize {
        self.tokens.len()
    }

    fn raw(&self, index: usize) -> Option<&'a str> {
        let token = self.tokens.get(index)?;
        self.text.get(token.start as usize..token.end as usize)
    }

    pub fn lower(&self, index: usize) -> Option<String> {
        self.raw(index).map(str::to_ascii_lowercase)
    }

    /// A name, without its quotes.
    pub fn name(&self, index: usize) -> Option<String> {
        let raw = self.raw(index)?;
        match self.tokens[index].kind {
            TokenKind::Quoted => Some(raw[1..raw.len() - 1].to_string()),
            TokenKind::Word => Some(raw.to_string()),
            _ => None,
        }
    }

    /// A text, without its quotes.
    pub fn string(&self, index: usize) -> Option<String> {
        let raw = self.raw(index)?;
        (self.tokens[index].kind == TokenKind::String).then(|| raw[1..raw.len() - 1].replace("''", "'"))
    }

    /// All from a word on as one value.
    fn rest(&self, index: usize) -> String {
        match (self.string(index), self.count() == index + 1) {
            (Some(text), true) => text,
            _ => self.text_from(index).trim_end_matches(';').trim().to_string(),
        }
    }

    pub fn text_from(&self, index: usize) -> &'a str {
        self.tokens.get(index).map_or("", |t| &self.text[t.start as usize..])
    }

    /// The text from one word up to another, which is not in it.
    pub fn text_between(&self, from: usize, to: usize) -> &'a str {
        let end = self.tokens.get(to).map_or(self.text.len(), |t| t.start as usize);
        self.tokens.get(from).map_or("", |t| self.text[t.start as usize..end].trim_end())
    }

    pub fn wrong(&self, like: &str) -> Error {
        Error::new(Code::SYNTAX_ERROR, format!("'{}' is not understood", self.text.trim())).hint(like)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Phrase> {
        phrase(text).unwrap()
    }

    #[test]
    fn clients_are_understood() {
        assert_eq!(of("BEGIN READ ONLY;"), Some(Phrase::Begin));
        assert_eq!(of("/* pool */ start transaction"), Some(Phrase::Begin));
        assert_eq!(of("end"), Some(Phrase::Commit));
        assert_eq!(of("ROLLBACK"), Some(Phrase::Rollback));
        assert!(phrase("rollback to savepoint a").is_err());
        let keep = |name: &str, value: &str| Some(Phrase::Keep { name: name.into(), value: value.into() });
        assert_eq!(of("SET extra_float_digits = 3"), keep("extra_float_digits", "3"));
        assert_eq!(of("SET SESSION application_name TO 'a b'"), keep("application_name", "a b"));
        let set = |name, value: &str| Some(Phrase::Set { name, value: value.into() });
        assert_eq!(of("SET TIME ZONE 'Europe/Berlin'"), set("session_timezone", "Europe/Berlin"));
        assert_eq!(of("set statement_timeout = '2s'"), set("max_execution_time", "2"));
        assert_eq!(of("set max_threads to 2"), set("max_threads", "2"));
        assert!(phrase("set client_encoding to 'LATIN1'").is_err());
        assert_eq!(of("SHOW TRANSACTION ISOLATION LEVEL"), Some(Phrase::Show("transaction_isolation".into())));
        let fetch = |rows| Some(Phrase::Fetch { name: "c".into(), rows });
        assert_eq!(of("FETCH FORWARD 10 FROM c"), fetch(Some(10)));
        assert_eq!(of("fetch all in \"c\""), fetch(None));
        assert_eq!(of("fetch c"), fetch(Some(1)));
        let declared = Phrase::Declare { name: "c".into(), query: "select 'for'".into() };
        assert_eq!(of("DECLARE c NO SCROLL CURSOR WITHOUT HOLD FOR select 'for'"), Some(declared));
        assert_eq!(of("deallocate prepare all"), Some(Phrase::Deallocate(None)));
    }

    #[test]
    fn the_dialect_keeps_its_own() {
        for text in [
            "select 1",
            "show databases",
            "show create stream a",
            "set max_threads = 1",
            "insert into a values (1)",
            "",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
