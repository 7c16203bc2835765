//! Connections that do nothing when the fault hits: each has a session with a database and a setting of its own, and must
//! have them afterwards on the same socket.

use crate::client::Connection;
use crate::protocol::Endpoint;
use std::io;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than any run; the server's own limit is an hour.
const SESSION_SECONDS: &str = "3600";

/// The database that the sessions have chosen.
pub const DATABASE: &str = "idle_place";

pub struct Idle {
    connections: Vec<IdleConnection>,
    endpoint: Endpoint,
}

struct IdleConnection {
    connection: Connection,
    session: String,
    /// What its session has set `max_windows` to.
    windows: u64,
}

/// What one cycle has left of the connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub n: usize,
    /// The same socket answers, and its session is as it was.
    pub kept: usize,
    /// The socket answers; its session has forgotten.
    pub session_lost: usize,
    /// The first thing that was wrong.
    pub example: Option<String>,
}

impl Idle {
    /// Opens `count` connections and gives each a session.
    pub fn open(endpoint: impl Into<Endpoint>, count: usize) -> io::Result<Idle> {
        let endpoint = endpoint.into();
        let mut idle = Idle { connections: Vec::new(), endpoint };
        for number in 0..count {
            let connection = IdleConnection::open(endpoint, number as u64, 0)?;
            idle.connections.push(connection);
        }
        Ok(idle)
    }

    /// Uses each connection once more and compares. One that is lost is replaced, so that the next cycle has as many.
    pub fn check(&mut self, cycle: u64) -> io::Result<Kept> {
        let mut result = Kept { n: self.connections.len(), ..Kept::default() };
        for (number, idle) in self.connections.iter_mut().enumerate() {
            match idle.check() {
                Ok(()) => {
                    result.kept += 1;
                    continue;
                }
                Err(Lost::Session(said)) => {
                    result.session_lost += 1;
                    result.example.get_or_insert(said);
                }
                Err(Lost::Connection(said)) => {
                    result.example.get_or_insert(said);
                }
            }
            *idle = IdleConnection::open(self.endpoint, number as u64, cycle + 1)?;
        }
        Ok(result)
    }
}

enum Lost {
    Connection(String),
    Session(String),
}

impl IdleConnection {
    fn open(endpoint: Endpoint, number: u64, generation: u64) -> io::Result<IdleConnection> {
        let connection = Connection::open(endpoint, PATIENCE)?;
        let session = format!("idle-{number}-{generation}");
        let mut idle = IdleConnection { connection, session, windows: 2_000 + number };
        let set = format!("set max_windows = {}", idle.windows);
        for sql in [set.as_str(), &format!("use {DATABASE}")] {
            let parameters = [("session_id", idle.session.as_str()), ("session_timeout", SESSION_SECONDS)];
            let answer = idle.connection.ask(sql, &parameters, PATIENCE);
            if !answer.is_ok() {
                return Err(io::Error::other(format!("{sql}: {}: {}", answer.outcome.label(), answer.text())));
            }
        }
        Ok(idle)
    }

    fn check(&mut self) -> Result<(), Lost> {
        let parameters = [
            ("session_id", self.session.as_str()),
            ("session_timeout", SESSION_SECONDS),
            ("session_check", "1"),
            ("query_mode", "table"),
        ];
        let sql = "select current_database(), value from system.settings where name = 'max_windows'";
        let answer = self.connection.ask(sql, &parameters, PATIENCE);
        let text = answer.text();
        if answer.is_ok() {
            let expected = format!("{DATABASE}\t{}", self.windows);
            return if text == expected { Ok(()) } else { Err(Lost::Session(format!("'{text}', not '{expected}'"))) };
        }
        let said = format!("{}: {text}", answer.outcome.label());
        let name = answer.outcome.error().map(|e| e.name.as_str());
        if name == Some("SESSION_NOT_FOUND") { Err(Lost::Session(said)) } else { Err(Lost::Connection(said)) }
    }
}
