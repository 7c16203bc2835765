//! The supervisor's copies of the client sockets: who is told what, and who goes on with them.
//!
//! In: sockets from the worker, the board, a crash. Out: last words on the sockets, and the sockets for the next worker.
//! Promise: every socket that is held is told, handed over or closed; nothing here waits for a client.

use crate::incident::{Incident, signal_name};
use crate::verdict::{Asked, Verdict, View, Word, verdict};
use hydron_board::board::CONNECTIONS_MAX;
use hydron_board::connection::LAST;
use hydron_board::outbox::OUTBOX_BYTES;
use hydron_board::{Board, Connection, State};
use hydron_wire::farewell::{self, Ending, Notice};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use std::fmt::Write;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

/// Room for one last word.
const WORD_BYTES: usize = 16 << 10;

struct Held {
    socket: OwnedFd,
    generation: u32,
    /// What became of it since the crash.
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// There is no crash, or it was not looked at yet.
    Open,
    /// The next worker sends the rest and goes on.
    Adopt,
    /// The next worker sends the rest and closes.
    AdoptLast,
    /// The next worker answers.
    AskLog,
}

/// A connection for the next worker.
pub struct HandOver<'a> {
    pub index: u32,
    pub socket: &'a OwnedFd,
}

pub struct Custodian {
    board: &'static Board,
    held: Vec<Option<Held>>,
    count: usize,
    word: Vec<u8>,
    piece: Vec<u8>,
}

impl Custodian {
    pub fn new(board: &'static Board) -> Custodian {
        Custodian {
            board,
            held: (0..CONNECTIONS_MAX).map(|_| None).collect(),
            count: 0,
            word: Vec::with_capacity(WORD_BYTES),
            piece: vec![0; 64 << 10],
        }
    }

    /// Sockets that are held.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Keeps the copy of a connection that the worker has accepted.
    pub fn hold(&mut self, index: usize, generation: u32, socket: OwnedFd) {
        let Some(place) = self.held.get_mut(index) else { return };
        if place.replace(Held { socket, generation, fate: Fate::Open }).is_none() {
            self.count += 1;
        }
    }

    /// Lets go of the sockets that the worker has closed.
    pub fn sweep(&mut self) {
        for index in 0..self.held.len() {
            let Some(held) = &self.held[index] else { continue };
            let connection = &self.board.connections()[index];
            if connection.state() == State::Free || connection.generation() != held.generation {
                self.drop(index);
            }
        }
    }

    /// Tells every client that can be told. May be called again for those that could not be before.
    pub fn tell(&mut self, incident: &Incident, is_dead: bool) {
        if self.count == 0 {
            return;
        }
        // The client whose query it was waits the longest.
        let first = incident.culprit.and_then(|q| self.board.query(q)).and_then(|q| q.connection());
        if let Some(index) = first.filter(|i| *i < self.held.len()) {
            self.tell_one(index, incident, is_dead);
        }
        for index in 0..self.held.len() {
            if self.held[index].is_some() {
                self.tell_one(index, incident, is_dead);
            }
        }
    }

    fn tell_one(&mut self, index: usize, incident: &Incident, is_dead: bool) {
        let connection = &self.board.connections()[index];
        let Some(held) = &self.held[index] else { return };
        if held.fate != Fate::Open {
            return;
        }
        if connection.generation() != held.generation || connection.state() == State::Free {
            self.drop(index);
            return;
        }
        // From here on no thread of the worker writes to it.
        let Ok(state) = connection.take(is_dead) else { return };
        let mut decision = verdict(&View { state, ..self.view(connection, index, incident) }, is_dead);
        if decision != Verdict::Adopt && connection.protocol().is_none() {
            decision = Verdict::Close;
        }
        match decision {
            Verdict::Adopt => {
                self.set_fate(index, Fate::Adopt);
            }
            Verdict::AskLog => {
                if let Some(query) = connection.query().and_then(|q| self.board.query(q)) {
                    query.orphan();
                }
                self.set_fate(index, Fate::AskLog);
            }
            Verdict::Tell(_) | Verdict::TellCommitted | Verdict::Finish => {
                match self.say(index, connection, decision, incident) {
                    Some(fate) => self.set_fate(index, fate),
                    // In the middle of something that cannot be finished.
                    None => self.close(index),
                }
            }
            Verdict::Close => self.close(index),
            Verdict::Later => {}
        }
    }

    fn view(&self, connection: &Connection, index: usize, incident: &Incident) -> View {
        let query = connection.query().and_then(|q| Some((q, self.board.query(q)?)));
        // One of a worker before still waits for what the log says of it: the worker that was to look has died as well.
        let query = query.filter(|(_, q)| q.is_running() || q.is_orphaned());
        View {
            state: connection.state(),
            flags: connection.flags(),
            asked: query.map(|(at, query)| Asked {
                kind: query.kind(),
                is_parsed: !matches!(query.phase(), "" | "parse"),
                is_culprit: incident.culprit == Some(at),
                records: query.records.load(Ordering::SeqCst),
                resume_from: connection.resume_from(),
            }),
            is_rest_lost: self.board.outbox(index).is_none_or(|o| o.is_lost()),
        }
    }

    /// Finishes the frame that was begun and puts the last word behind it. `None`: there is no place for it.
    fn say(&mut self, index: usize, connection: &Connection, verdict: Verdict, incident: &Incident) -> Option<Fate> {
        let farewell = farewell::of(connection.protocol()?);
        let flags = connection.flags();
        let query = connection.query().and_then(|q| self.board.query(q)).filter(|q| q.is_running());
        let query_id = query.map(|q| q.id.get()).unwrap_or_default();
        let mut bytes = std::mem::take(&mut self.word);
        bytes.clear();
        let ending = match verdict {
            Verdict::Tell(word) => {
                let token = query.map(|q| q.token.get()).filter(|_| word == Word::Unknown).unwrap_or_default();
                let mut text = String::with_capacity(512);
                words(word, incident, !token.is_empty(), &mut text);
                let notice = Notice {
                    code: word.code(),
                    text: &text,
                    query_id: &query_id,
                    incident: incident.id(),
                    retry: word.is_safe(),
                    token: &token,
                };
                farewell.write(flags, &notice, &mut bytes)
            }
            Verdict::TellCommitted => farewell.write_committed(flags, &query_id, &mut bytes),
            _ if flags & LAST != 0 => Ending::Last,
            _ => Ending::Open,
        };
        let fate = match ending {
            Ending::Silent => None,
            Ending::Open => Some(Fate::Adopt),
            Ending::Last => Some(Fate::AdoptLast),
        };
        let fate = fate.filter(|_| self.send(index, &bytes));
        self.word = bytes;
        fate
    }

    /// Sends what is pending and `bytes`; what the socket does not take is left in the outbox. False: neither has room.
    fn send(&mut self, index: usize, bytes: &[u8]) -> bool {
        let (Some(outbox), Some(held)) = (self.board.outbox(index), &self.held[index]) else { return false };
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        while outbox.pending() > 0 {
            match send(&held.socket, outbox.peek(&mut self.piece), flags) {
                Ok(n) => outbox.sent(n),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return outbox.append(bytes),
                // The client is gone: nothing can be said, and nothing need be.
                Err(_) => return false,
            }
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match send(&held.socket, rest, flags) {
                Ok(n) => rest = &rest[n..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return rest.len() <= OUTBOX_BYTES && outbox.append(rest),
                Err(_) => return false,
            }
        }
        true
    }

    /// Clears the board for the next worker. Answers the connections that it goes on with.
    pub fn hand_over(&mut self) -> Vec<HandOver<'_>> {
        for (index, connection) in self.board.used_connections().iter().enumerate() {
            let fate = self.held[index].as_ref().map(|h| h.fate);
            match fate {
                None if connection.state() == State::Free => {}
                // Nobody holds it: the socket died with its worker.
                None => connection.discard(),
                Some(Fate::Open) => self.close(index),
                Some(Fate::Adopt) => connection.hand_over(false),
                Some(Fate::AdoptLast) => connection.hand_over(true),
                Some(Fate::AskLog) => connection.hand_over_waiting(),
            }
        }
        for query in self.board.used_queries() {
            if query.is_running() {
                query.close();
            }
        }
        let mut all = Vec::with_capacity(self.count);
        for (index, held) in self.held.iter_mut().enumerate() {
            if let Some(held) = held {
                held.fate = Fate::Open;
                all.push(HandOver { index: index as u32, socket: &held.socket });
            }
        }
        all
    }

    /// Closes everything: there will be no next worker.
    pub fn close_all(&mut self) {
        (0..self.held.len()).for_each(|i| self.close(i));
    }

    fn set_fate(&mut self, index: usize, fate: Fate) {
        if let Some(held) = &mut self.held[index] {
            held.fate = fate;
        }
    }

    fn close(&mut self, index: usize) {
        if let Some(held) = &self.held[index] {
            let _ = shutdown(&held.socket, Shutdown::Both);
            self.board.connections()[index].discard();
            self.drop(index);
        }
    }

    fn drop(&mut self, index: usize) {
        if self.held[index].take().is_some() {
            self.count -= 1;
        }
    }
}

/// What a client reads.
fn words(word: Word, incident: &Incident, has_token: bool, out: &mut String) {
    let report = &incident.report;
    let what = match signal_name(report.signal) {
        "" => report.cause.as_str(),
        name => name,
    };
    let _ = match word {
        Word::Crashed => write!(
            out,
            "the query crashed the server ({what} at address {:#x}); do not repeat it: the server is back, and refuses a \
             query that crashes it again and again",
            report.fault_address
        ),
        Word::RestartedRetry => write!(out, "the server was restarted ({what}), retry=safe"),
        Word::RestartedResume(Some(from)) => {
            write!(out, "the server was restarted ({what}), retry=safe, resume_from={from}")
        }
        Word::RestartedResume(None) => write!(out, "the server was restarted ({what}), retry=safe: subscribe again"),
        Word::NotCommitted => write!(out, "the server was restarted ({what}), outcome=NOT_COMMITTED, retry=safe"),
        Word::Unknown if has_token => {
            write!(out, "the server was restarted ({what}), outcome=UNKNOWN: repeat it with the same idempotency key")
        }
        Word::Unknown => write!(out, "the server was restarted ({what}), outcome=UNKNOWN: look before you repeat it"),
    };
}
