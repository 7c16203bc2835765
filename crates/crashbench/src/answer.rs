//! What an answer means: a result, an error that says what to do, or nothing that a client could act on.
//!
//! In: the head, the end of the body, how the answer ended. Out: an [`Outcome`]. Promise: an error counts as typed only when
//! it has its name and number and the answer is whole; names decide, not numbers.

use crate::http::{End, Head};

/// How the wait for an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Http(End),
    /// The connection was reset or failed otherwise.
    Reset,
    /// The deadline came first.
    Silent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    Failed(ServerError),
    /// Ended without a whole answer: what a client sees of a server that is simply gone.
    Untyped(Ending),
    Hung,
}

/// What the server says about an insert that it could not answer as usual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    NotCommitted,
    /// To be sent again with this token.
    Unknown(Option<String>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// `SERVER_RESTARTED`.
    pub name: String,
    pub code: Option<i64>,
    /// 200 when the error stands in a body that had begun.
    pub status: u16,
    pub text: String,
    pub incident: Option<String>,
    pub commit: Option<Commit>,
    pub retry_safe: bool,
    pub retry_after: bool,
}

/// Errors by which a server speaks of itself.
const OF_THE_SERVER: &[&str] = &[
    "SERVER_CRASHED",
    "SERVER_RESTARTED",
    "SERVER_STARTING",
    "SERVER_STOPPING",
    "SERVER_IN_SAFE_MODE",
    "QUERY_QUARANTINED",
];

impl ServerError {
    /// The server speaks of its own state, so that the client knows what to do.
    pub fn is_of_the_server(&self) -> bool {
        OF_THE_SERVER.contains(&self.name.as_str())
    }

    /// The statement was never begun: it may be sent again.
    pub fn never_ran(&self) -> bool {
        self.is_of_the_server() && !matches!(self.name.as_str(), "SERVER_CRASHED" | "SERVER_RESTARTED")
    }

    /// The last exception in `text`: `Code: 62. DB::Exception: … (SYNTAX_ERROR)`.
    fn parse(head: &Head, text: &str) -> Option<ServerError> {
        let start = text.rfind("Code: ")?;
        let text = text[start..].trim_end();
        let (number, said) = text["Code: ".len()..].split_once(". DB::Exception: ")?;
        let header = |name: &str| head.family(name).map(str::to_string);
        let token = header("idempotent-id").or_else(|| value_of(said, "token"));
        let commit = match value_of(said, "outcome").as_deref() {
            Some("NOT_COMMITTED") => Some(Commit::NotCommitted),
            Some("UNKNOWN") => Some(Commit::Unknown(token)),
            _ => None,
        };
        Some(ServerError {
            name: name_of(said)?,
            code: number.parse().ok(),
            status: head.status,
            text: text.to_string(),
            incident: header("incident-id").or_else(|| value_of(said, "incident")),
            commit,
            retry_safe: said.contains("retry=safe"),
            retry_after: head.get("retry-after").is_some(),
        })
    }
}

impl Outcome {
    /// `tail`: the end of the body, at least as much of it as an exception is long.
    pub fn of(head: Option<&Head>, tail: &[u8], ending: Ending) -> Outcome {
        let end = match ending {
            Ending::Silent => return Outcome::Hung,
            Ending::Reset => return Outcome::Untyped(ending),
            Ending::Http(end) => end,
        };
        let Some(head) = head.filter(|_| end == End::Whole) else { return Outcome::Untyped(ending) };
        let error = ServerError::parse(head, &String::from_utf8_lossy(tail));
        match (head.status, error) {
            (_, Some(error)) => Outcome::Failed(error),
            (200..300, None) => Outcome::Answered,
            // A status alone does not say what happened to the statement.
            (_, None) => Outcome::Untyped(ending),
        }
    }

    /// The client knows what became of its request.
    pub fn is_typed(&self) -> bool {
        match self {
            Outcome::Answered => true,
            Outcome::Failed(error) => error.is_of_the_server(),
            Outcome::Untyped(_) | Outcome::Hung => false,
        }
    }

    pub fn error(&self) -> Option<&ServerError> {
        match self {
            Outcome::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// One word or two for a report.
    pub fn label(&self) -> String {
        match self {
            Outcome::Answered => "answered".to_string(),
            Outcome::Failed(error) => error.name.clone(),
            Outcome::Untyped(Ending::Http(end)) => format!("untyped: {end:?}"),
            Outcome::Untyped(_) => "untyped: reset".to_string(),
            Outcome::Hung => "hung".to_string(),
        }
    }
}

/// The name in the last round brackets that hold nothing but capitals.
fn name_of(text: &str) -> Option<String> {
    text.rmatch_indices('(').find_map(|(at, _)| {
        let (name, _) = text[at + 1..].split_once(')')?;
        let is_name = name.len() > 2 && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        is_name.then(|| name.to_string())
    })
}

/// The word behind the last `key` that has one: `key=word`, `key: word`, `key word`.
fn value_of(text: &str, key: &str) -> Option<String> {
    text.rmatch_indices(key).find_map(|(at, _)| {
        let rest = &text[at + key.len()..];
        let word = rest.trim_start_matches(['=', ':', ' ', '\'', '"']);
        let end = word.find(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_')).unwrap_or(word.len());
        (end > 0 && word.len() < rest.len()).then(|| word[..end].to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Parser;

    fn head(text: &str) -> Head {
        let mut parser = Parser::default();
        parser.feed(text.as_bytes(), |_| {});
        parser.head().unwrap().clone()
    }

    fn outcome(status: u16, body: &str, end: End) -> Outcome {
        let head = head(&format!("HTTP/1.1 {status} x\r\nretry-after: 1\r\ncontent-length: 1\r\n\r\n"));
        Outcome::of(Some(&head), body.as_bytes(), Ending::Http(end))
    }

    #[test]
    fn a_crash_names_its_query_and_incident() {
        let text = "Code: 2700. DB::Exception: the server crashed while it ran this query: SIGSEGV at 0x0, query id q-1, \
                    incident 01-ab9. (SERVER_CRASHED)\n";
        let outcome = outcome(500, text, End::Whole);
        let error = outcome.error().unwrap();
        assert_eq!((error.name.as_str(), error.code), ("SERVER_CRASHED", Some(2700)));
        assert_eq!(error.incident.as_deref(), Some("01-ab9"));
        assert!(error.text.contains("q-1") && outcome.is_typed());
    }

    #[test]
    fn what_became_of_an_insert_is_read() {
        let with = |said: &str| {
            let text = format!("Code: 1. DB::Exception: gone: {said}. (SERVER_RESTARTED)");
            outcome(503, &text, End::Whole).error().unwrap().clone()
        };
        assert_eq!(with("outcome=NOT_COMMITTED").commit, Some(Commit::NotCommitted));
        assert_eq!(with("outcome=UNKNOWN, token=7f-2").commit, Some(Commit::Unknown(Some("7f-2".to_string()))));
        let of_one_word = with("outcome: UNKNOWN, query id: q1, incident: i1, token: t-1");
        assert_eq!(of_one_word.commit, Some(Commit::Unknown(Some("t-1".to_string()))));
        assert_eq!(of_one_word.incident.as_deref(), Some("i1"));
        assert_eq!(with("outcome=UNKNOWN").commit, Some(Commit::Unknown(None)));
        assert!(with("retry=safe").retry_safe && with("retry=safe").retry_after);
    }

    #[test]
    fn the_error_of_a_stream_is_its_last_chunk() {
        let text = "1\t2\n3\t4\nCode: 2701. DB::Exception: restarted, retry=safe. (SERVER_RESTARTED)\n";
        assert!(outcome(200, text, End::Whole).is_typed());
        assert_eq!(outcome(200, text, End::CutOff), Outcome::Untyped(Ending::Http(End::CutOff)));
    }

    #[test]
    fn only_whole_answers_and_errors_of_the_server_are_typed() {
        assert!(outcome(200, "1\n", End::Whole).is_typed());
        assert!(!outcome(502, "bad gateway", End::Whole).is_typed());
        assert!(!outcome(404, "Code: 60. DB::Exception: no. (UNKNOWN_STREAM)", End::Whole).is_typed());
        assert_eq!(Outcome::of(None, b"", Ending::Silent), Outcome::Hung);
        assert!(!Outcome::of(None, b"", Ending::Reset).is_typed());
        assert!(!Outcome::of(None, b"", Ending::Http(End::Unanswered)).is_typed());
    }

    #[test]
    fn the_name_is_the_last_bracket_of_capitals() {
        assert_eq!(name_of("x (line 1). Try: f(A). (SYNTAX_ERROR) (version 1)").as_deref(), Some("SYNTAX_ERROR"));
        assert_eq!(name_of("no name (here)"), None);
    }
}
