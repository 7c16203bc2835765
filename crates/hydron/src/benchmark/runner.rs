//! One connection of the benchmark: statement after statement, each to its end.

use super::args::BenchmarkArgs;
use super::statements::Statement;
use super::tally::Tally;
use crate::client::connection::{Connection, Target};
use hydron_base::{Error, Result};
use hydron_format::native::push_varint;
use hydron_wire::clickhouse::client::ServerPacket;
use hydron_wire::clickhouse::packet::client;
use hydron_wire::clickhouse::query::{Query, Setting};
use parking_lot::Mutex;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A server that cannot be reached is not asked again before this.
const UNREACHABLE_REST: Duration = Duration::from_millis(100);

/// A statement that was cancelled because time is up has this long to end.
const CANCEL_PATIENCE: Duration = Duration::from_secs(1);

/// What all connections share.
pub struct Job {
    target: Target,
    statements: Vec<Statement>,
    settings: Vec<Setting>,
    compressed: bool,
    iterations: u64,
    randomize: bool,
    reconnect: bool,
    continue_on_errors: bool,
    /// Statements that were begun.
    begun: AtomicU64,
    pub stop: AtomicBool,
    tally: Mutex<Tally>,
    /// The first error.
    failure: Mutex<Option<Error>>,
}

pub enum Outcome {
    Done,
    /// It was given up because the benchmark ends.
    Left,
}

impl Job {
    pub fn new(args: &BenchmarkArgs, target: Target, statements: Vec<Statement>) -> Job {
        let setting =
            |(name, value): &(String, String)| Setting { name: name.clone(), value: value.clone(), important: true };
        Job {
            target,
            statements,
            settings: args.settings.iter().map(setting).collect(),
            compressed: !args.no_compression,
            iterations: args.iterations,
            randomize: args.randomize,
            reconnect: args.reconnect,
            continue_on_errors: args.continue_on_errors,
            begun: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            tally: Mutex::default(),
            failure: Mutex::default(),
        }
    }

    /// What has ended since the last call.
    pub fn take_tally(&self) -> Tally {
        std::mem::take(&mut self.tally.lock())
    }

    pub fn take_failure(&self) -> Option<Error> {
        self.failure.lock().take()
    }

    /// Notes an error; the first one ends the benchmark, unless it is to go on.
    pub fn fail(&self, e: Error) {
        *self.tally.lock().errors.entry(e.code).or_default() += 1;
        self.failure.lock().get_or_insert(e);
        if !self.continue_on_errors {
            self.stop.store(true, Ordering::SeqCst);
        }
    }

    /// `Statements begun: 120 of 1000 (12 %)`.
    pub fn progress(&self) -> String {
        let begun = self.begun.load(Ordering::Relaxed);
        match self.iterations {
            0 => format!("Statements begun: {begun}"),
            all => format!("Statements begun: {} of {all} ({} %)", begun.min(all), begun.min(all) * 100 / all),
        }
    }

    /// The next statement to run; `None` at the end.
    fn next(&self) -> Option<&Statement> {
        if self.stop.load(Ordering::SeqCst) {
            return None;
        }
        let ticket = self.begun.fetch_add(1, Ordering::SeqCst);
        if self.iterations > 0 && ticket >= self.iterations {
            return None;
        }
        let at = match self.randomize {
            true => RandomState::new().hash_one(ticket),
            false => ticket,
        };
        Some(&self.statements[(at % self.statements.len() as u64) as usize])
    }

    /// Runs statements until there is none.
    pub fn run(&self) {
        let mut connection = None;
        while let Some(statement) = self.next() {
            let mut tally = Tally::default();
            let started = Instant::now();
            match self.one(&mut connection, statement, &mut tally) {
                Ok(Outcome::Done) => {
                    tally.queries = 1;
                    tally.times.note(started.elapsed());
                    self.tally.lock().add(tally);
                }
                Ok(Outcome::Left) => return,
                Err(e) => {
                    self.fail(e);
                    if connection.is_none() && self.continue_on_errors {
                        std::thread::sleep(UNREACHABLE_REST);
                    }
                }
            }
            if self.reconnect {
                connection = None;
            }
        }
    }

    /// Runs one statement on `connection`, which is made when there is none and is gone after an error of its own.
    fn one(&self, connection: &mut Option<Connection>, statement: &Statement, tally: &mut Tally) -> Result<Outcome> {
        let mut open = match connection.take() {
            Some(open) => open,
            None => Connection::open(&self.target)?,
        };
        let ran = self.exchange(&mut open, statement, tally)?;
        *connection = Some(open);
        ran
    }

    /// The inner error is the statement's, told by the server, and the connection goes on; the outer one ends it.
    fn exchange(
        &self,
        connection: &mut Connection,
        statement: &Statement,
        tally: &mut Tally,
    ) -> Result<Result<Outcome>> {
        let query = Query {
            client_name: super::CLIENT_NAME.to_string(),
            settings: self.settings.clone(),
            compressed: self.compressed,
            text: statement.text.as_bytes().to_vec(),
            ..Query::default()
        };
        connection.decoder.compressed = self.compressed;
        let mut bytes = Vec::new();
        query.write(connection.decoder.revision(), &mut bytes);
        connection.send(&bytes)?;
        connection.send_block(None)?;
        let mut owes_rows = statement.is_insert;
        let mut cancelled: Option<Instant> = None;
        loop {
            if cancelled.is_none() && self.stop.load(Ordering::Relaxed) {
                cancelled = Some(Instant::now());
                let mut cancel = Vec::new();
                push_varint(client::CANCEL, &mut cancel);
                connection.send(&cancel)?;
            }
            if cancelled.is_some_and(|since| since.elapsed() >= CANCEL_PATIENCE) {
                return Ok(Ok(Outcome::Left));
            }
            let Some(packet) = connection.wait()? else { continue };
            match packet {
                // The rows stand in the text: there are no more of them.
                ServerPacket::Data(_) if owes_rows => {
                    owes_rows = false;
                    connection.send_block(None)?;
                }
                ServerPacket::Progress(progress) => {
                    tally.read_rows += progress.read_rows;
                    tally.read_bytes += progress.read_bytes;
                }
                ServerPacket::ProfileInfo(info) => {
                    tally.result_rows += info.rows;
                    tally.result_bytes += info.bytes;
                }
                ServerPacket::Exception(_) | ServerPacket::EndOfStream if cancelled.is_some() => {
                    return Ok(Ok(Outcome::Left));
                }
                ServerPacket::Exception(e) => return Ok(Err(e.error())),
                ServerPacket::EndOfStream => return Ok(Ok(Outcome::Done)),
                _ => {}
            }
        }
    }
}
