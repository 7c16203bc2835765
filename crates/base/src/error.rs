//! What went wrong, in one value that survives the trip from any room to any client.
//!
//! In: a code, the object it is about, sometimes a place in the query. Out: the text and number that clients of Proton
//! and ClickHouse match on. Promise: an error never loses its code on the way.

use crate::code::Code;
use std::any::Any;
use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The statement or its settings: the user changes it.
    User,
    /// Something outside the process (disk, network, peer): a retry may help.
    Outside,
    /// The rows themselves: they are evidence and must be kept.
    Data,
    /// A defect of ours.
    Us,
}

/// Where in the query text, counted from 1; `offset` counts bytes from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub offset: usize,
    pub line: u32,
    pub column: u32,
}

impl Position {
    /// The line and column of byte `offset` in `text`. An offset past the end is the end.
    pub fn in_text(text: &str, offset: usize) -> Position {
        let upto = &text.as_bytes()[..offset.min(text.len())];
        let line = 1 + upto.iter().filter(|b| **b == b'\n').count() as u32;
        let start = upto.iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
        let column = 1 + String::from_utf8_lossy(&upto[start..]).chars().count() as u32;
        Position { offset: upto.len(), line, column }
    }
}

/// An error with Proton's code, a message that names the object, and where known the place and a hint.
#[derive(Clone, Debug)]
pub struct Error {
    pub code: Code,
    pub message: String,
    pub position: Option<Position>,
    /// What the user may try.
    pub hint: Option<String>,
}

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Error {
        Error { code, message: message.into(), position: None, hint: None }
    }

    /// Code 48: the grammar or the plan knows it, the engine does not run it yet.
    pub fn not_implemented(what: impl fmt::Display) -> Error {
        Error::new(Code::NOT_IMPLEMENTED, format!("{what} is not implemented"))
    }

    /// Code 49: a promise between rooms was broken. Never for anything that came from outside.
    pub fn bug(what: impl fmt::Display) -> Error {
        Error::new(Code::LOGICAL_ERROR, what.to_string())
    }

    /// Code 49, for a panic that was caught: the query ends, the process goes on.
    pub fn panicked(payload: &(dyn Any + Send)) -> Error {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        Error::bug(format!("the query panicked: {text}"))
    }

    pub fn bad_arguments(message: impl Into<String>) -> Error {
        Error::new(Code::BAD_ARGUMENTS, message)
    }

    /// Adds the place, unless a deeper room has already named one.
    pub fn at(mut self, position: Position) -> Error {
        self.position.get_or_insert(position);
        self
    }

    /// Adds what to try, unless a deeper room has already said so.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Puts `context` before the message: `while …: message`.
    pub fn context(mut self, context: impl fmt::Display) -> Error {
        self.message = format!("{context}: {}", self.message);
        self
    }

    pub fn blame(&self) -> Blame {
        self.code.blame()
    }
}

/// The text a client sees: `Code: 62. DB::Exception: message (line 1, column 8). Try: hint. (SYNTAX_ERROR)`.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code: {}. DB::Exception: {}", self.code.number(), self.message)?;
        if let Some(p) = self.position {
            write!(f, " (line {}, column {})", p.line, p.column)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, ". Try: {hint}")?;
        }
        write!(f, ". ({})", self.code.name())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_counts_lines_and_characters() {
        let p = Position::in_text("a\nöb c", 5);
        assert_eq!((p.line, p.column), (2, 3));
        assert_eq!(Position::in_text("a", 99).offset, 1);
    }

    #[test]
    fn a_panic_tells_what_it_said() {
        let said = |payload: Box<dyn Any + Send>| Error::panicked(&*payload).message;
        assert_eq!(said(Box::new("a")), "the query panicked: a");
        assert_eq!(said(Box::new("b".to_string())), "the query panicked: b");
        assert_eq!(said(Box::new(1)), "the query panicked: no message");
    }

    #[test]
    fn text_carries_code_place_hint_and_name() {
        let e = Error::new(Code::SYNTAX_ERROR, "unexpected \"form\"")
            .at(Position { offset: 9, line: 1, column: 10 })
            .hint("FROM");
        assert_eq!(
            e.to_string(),
            "Code: 62. DB::Exception: unexpected \"form\" (line 1, column 10). Try: FROM. (SYNTAX_ERROR)"
        );
    }
}
