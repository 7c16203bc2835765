//! The last word to a client whose server is dying, in the client's own protocol.
//!
//! In: what the board says of the connection, and what happened. Out: bytes to put behind what the client has already got, and
//! whether the connection can go on after them. Promise: no socket, no engine; nothing is allocated when `out` has room.

use hydron_base::Code;
use hydron_board::Protocol;
use hydron_engine::InsertOutcome;
use std::fmt::Write;

/// What happened, for one client.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    pub code: Code,
    /// One sentence or two, without code and name.
    pub text: &'a str,
    /// Empty: not known.
    pub query_id: &'a str,
    pub incident: &'a str,
    /// It may be asked again at once.
    pub retry: bool,
    /// Of an INSERT whose outcome nobody knows: what makes it safe to send it again.
    pub token: &'a str,
}

/// What is true of the connection after the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The next request may come.
    Open,
    /// The bytes are the last ones.
    Last,
    /// There is no place for a word: the connection must be closed as it is.
    Silent,
}

/// How a protocol says it.
pub trait Farewell: Sync {
    /// `flags`: those of `hydron_board::connection`.
    fn write(&self, flags: u32, notice: &Notice<'_>, out: &mut Vec<u8>) -> Ending;

    /// The answer to an INSERT that was committed after all.
    fn write_committed(&self, flags: u32, query_id: &str, out: &mut Vec<u8>) -> Ending;
}

pub fn of(protocol: Protocol) -> &'static dyn Farewell {
    match protocol {
        Protocol::Http | Protocol::Rest => &crate::http::HttpFarewell,
        Protocol::Native => &crate::clickhouse::NativeFarewell,
        Protocol::Postgres => &crate::postgres::PostgresFarewell,
    }
}

/// What became of an INSERT of the worker before, as its client reads it.
pub fn outcome(protocol: Protocol, flags: u32, query_id: &str, outcome: &InsertOutcome, out: &mut Vec<u8>) -> Ending {
    let (text, token) = match outcome {
        InsertOutcome::Committed => return of(protocol).write_committed(flags, query_id, out),
        InsertOutcome::NotCommitted => ("the server was restarted, outcome=NOT_COMMITTED, retry=safe", ""),
        InsertOutcome::Unknown { token } if token.is_empty() => {
            ("the server was restarted, outcome=UNKNOWN: some rows may be stored, look before you repeat it", "")
        }
        InsertOutcome::Unknown { token } => {
            ("the server was restarted, outcome=UNKNOWN: repeat it with the same idempotency key", token.as_str())
        }
    };
    let retry = *outcome == InsertOutcome::NotCommitted;
    let notice = Notice { code: Code::SERVER_RESTARTED, text, query_id, incident: "", retry, token };
    of(protocol).write(flags, &notice, out)
}

/// `Code: 2900. DB::Exception: … (SERVER_CRASHED)`, as every error looks.
pub fn message(notice: &Notice<'_>, out: &mut String) {
    let _ = write!(out, "Code: {}. DB::Exception: {}", notice.code.number(), notice.text);
    let mut detail = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = write!(out, ", {name}: {value}");
        }
    };
    detail("query id", notice.query_id);
    detail("incident", notice.incident);
    detail("token", notice.token);
    let _ = writeln!(out, ". ({})", notice.code.name());
}
