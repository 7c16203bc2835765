//! Writers that insert numbered rows through every fault, and keep what they were told about each.
//!
//! In: a port, the pace. Out: the [`Ledger`] and the inserts of a span of time. Promise: a row is sent again only with the
//! token that makes it safe. Every second writer gives its inserts tokens from the start, and learns what became of each; the
//! others have none and may be left not knowing.

use crate::answer::{Commit, Outcome, ServerError};
use crate::client::Connection;
use crate::ledger::{Fate, Ledger};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

/// Between two tries to reach a server that does not answer.
const RETRY_PAUSE: Duration = Duration::from_millis(2);

/// Tries to learn what became of an insert whose answer came with a token.
const TOKEN_TRIES: usize = 50;

#[derive(Clone, Debug)]
pub struct InsertEnd {
    pub sent: Instant,
    pub ended: Instant,
    pub outcome: Outcome,
}

impl InsertEnd {
    /// Answered as usual, or with what became of the row.
    pub fn is_typed(&self) -> bool {
        match &self.outcome {
            Outcome::Failed(error) => error.is_of_the_server() && (error.commit.is_some() || is_refusal(error)),
            outcome => outcome.is_typed(),
        }
    }

    /// The client does not know from this answer whether its row is stored.
    pub fn is_unknown(&self) -> bool {
        !matches!(fate(&self.outcome), Told::Fate(Fate::Acknowledged | Fate::Refused))
    }
}

struct Shared {
    stop: AtomicBool,
    ledger: Mutex<Ledger>,
    ends: Mutex<Vec<InsertEnd>>,
    /// Inserts that were sent again with a token and then answered.
    resolved: Mutex<u64>,
}

pub struct Writers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    /// `stream`: has columns `writer` and `seq`. `pause`: between two inserts of a writer.
    pub fn start(port: u16, stream: &'static str, count: usize, pause: Duration) -> io::Result<Writers> {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            ledger: Mutex::new(Ledger::new(count)),
            ends: Mutex::new(Vec::new()),
            resolved: Mutex::new(0),
        });
        let threads = (0..count)
            .map(|writer| {
                let writer =
                    Writer { number: writer, port, stream, pause, shared: Arc::clone(&shared), connection: None };
                std::thread::Builder::new()
                    .name(format!("writer-{writer}", writer = writer.number))
                    .spawn(|| writer.run())
            })
            .collect::<io::Result<_>>()?;
        Ok(Writers { shared, threads })
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.shared.ledger)
    }

    /// The inserts that have ended since the last call.
    pub fn take_ends(&self) -> Vec<InsertEnd> {
        std::mem::take(&mut lock(&self.shared.ends))
    }

    /// Whether a row that was sent after `since` has been acknowledged.
    pub fn acknowledged_since(&self, since: Instant) -> bool {
        lock(&self.shared.ends).iter().any(|e| e.sent > since && e.outcome == Outcome::Answered)
    }

    pub fn resolved(&self) -> u64 {
        *lock(&self.shared.resolved)
    }

    /// Ends the writers after their current insert.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // A panic in one has been printed already.
        self.threads.drain(..).for_each(|t| drop(t.join()));
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Writer {
    number: usize,
    port: u16,
    stream: &'static str,
    pause: Duration,
    shared: Arc<Shared>,
    connection: Option<Connection>,
}

impl Writer {
    fn run(mut self) {
        while !self.shared.stop.load(Ordering::SeqCst) {
            if self.connect() {
                self.insert();
            }
            std::thread::sleep(self.pause);
        }
    }

    /// A usable connection; false when there is none now.
    fn connect(&mut self) -> bool {
        if self.connection.as_ref().is_some_and(|c| c.is_usable) {
            return true;
        }
        self.connection = Connection::open(self.port, PATIENCE).ok();
        if self.connection.is_none() {
            std::thread::sleep(RETRY_PAUSE);
        }
        self.connection.is_some()
    }

    fn insert(&mut self) {
        let seq = lock(&self.shared.ledger).begin(self.number);
        let sql = format!("insert into {} (writer, seq) values ({}, {seq})", self.stream, self.number);
        let token = self.number.is_multiple_of(2).then(|| format!("{}-{seq}", self.number));
        let parameters: Vec<_> = token.iter().map(|token| ("idempotent_id", token.as_str())).collect();
        let Some(outcome) = self.send(&sql, &parameters) else { return };
        let fate = match (fate(&outcome), &token) {
            (Told::SendAgain(token), _) => self.send_again(&sql, &token),
            (Told::Fate(Fate::Unknown), Some(token)) => self.send_again(&sql, token),
            (Told::Fate(fate), _) => fate,
        };
        lock(&self.shared.ledger).settle(self.number, seq, fate);
    }

    fn send(&mut self, sql: &str, parameters: &[(&str, &str)]) -> Option<Outcome> {
        let answer = self.connection.as_mut()?.ask(sql, parameters, PATIENCE);
        let end = InsertEnd { sent: answer.sent, ended: answer.ended, outcome: answer.outcome.clone() };
        lock(&self.shared.ends).push(end);
        Some(answer.outcome)
    }

    fn send_again(&mut self, sql: &str, token: &str) -> Fate {
        for _ in 0..TOKEN_TRIES {
            if self.connect()
                && let Some(outcome) = self.send(sql, &[("idempotent_id", token)])
                && let Told::Fate(fate @ (Fate::Acknowledged | Fate::Refused)) = fate(&outcome)
            {
                *lock(&self.shared.resolved) += 1;
                return fate;
            }
            std::thread::sleep(RETRY_PAUSE);
        }
        Fate::Unknown
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Fate(Fate),
    SendAgain(String),
}

/// The row is not stored, and may be sent again as it is.
fn is_refusal(error: &ServerError) -> bool {
    error.never_ran() || error.retry_safe
}

fn fate(outcome: &Outcome) -> Told {
    match outcome {
        Outcome::Answered => Told::Fate(Fate::Acknowledged),
        Outcome::Failed(error) if error.commit.is_none() && is_refusal(error) => Told::Fate(Fate::Refused),
        Outcome::Failed(error) => match &error.commit {
            Some(Commit::NotCommitted) => Told::Fate(Fate::Refused),
            Some(Commit::Unknown(Some(token))) => Told::SendAgain(token.clone()),
            _ => Told::Fate(Fate::Unknown),
        },
        Outcome::Untyped(_) | Outcome::Hung => Told::Fate(Fate::Unknown),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, commit: Option<Commit>, retry_safe: bool) -> Told {
        fate(&Outcome::Failed(ServerError { name: name.to_string(), commit, retry_safe, ..ServerError::default() }))
    }

    #[test]
    fn what_a_writer_is_told_decides_what_its_row_may_be() {
        assert_eq!(fate(&Outcome::Answered), Told::Fate(Fate::Acknowledged));
        assert_eq!(fate(&Outcome::Hung), Told::Fate(Fate::Unknown));
        assert_eq!(told("SERVER_STARTING", None, false), Told::Fate(Fate::Refused));
        assert_eq!(told("SERVER_RESTARTED", None, true), Told::Fate(Fate::Refused));
        assert_eq!(told("SERVER_RESTARTED", None, false), Told::Fate(Fate::Unknown));
        assert_eq!(told("SERVER_RESTARTED", Some(Commit::NotCommitted), false), Told::Fate(Fate::Refused));
        let unknown = Commit::Unknown(Some("t".to_string()));
        assert_eq!(told("SERVER_RESTARTED", Some(unknown), true), Told::SendAgain("t".to_string()));
        assert_eq!(told("ABORTED", None, false), Told::Fate(Fate::Unknown));
    }
}
