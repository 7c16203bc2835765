//! A connection that asks statements over HTTP/1.1 and notes when each byte that matters came.
//!
//! In: statements, parameters, deadlines. Out: answers with times of the monotonic clock. Promise: no wait is without a
//! deadline, and nothing is retried or reconnected behind the caller's back.

use crate::answer::{Ending, Outcome};
use crate::http::{End, Head};
use crate::protocol::{Endpoint, Parser, Protocol};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Bytes of a body kept when only its end matters: an exception with its query text fits.
pub const TAIL_BYTES: usize = 16 << 10;

/// Bytes taken from a socket at once.
pub const READ_BYTES: usize = 64 << 10;

/// The bytes of one request over HTTP. The statement is the body.
pub fn request(sql: &str, parameters: &[(&str, &str)], keep: bool) -> Vec<u8> {
    Protocol::Http.request(sql, parameters, keep)
}

/// An answer that is still coming: its frame, and as much of the end of its body as is wanted.
#[derive(Debug)]
pub struct Incoming {
    pub parser: Parser,
    pub tail: Vec<u8>,
    keep: usize,
    pub body_bytes: u64,
    pub began: Option<Instant>,
}

impl Incoming {
    pub fn keeping(bytes: usize, protocol: Protocol) -> Incoming {
        Incoming { parser: protocol.parser(), tail: Vec::new(), keep: bytes, body_bytes: 0, began: None }
    }

    /// Takes bytes from the socket; `seen` gets those of the body too.
    pub fn feed(&mut self, bytes: &[u8], mut seen: impl FnMut(&[u8])) {
        self.began.get_or_insert_with(Instant::now);
        let (tail, total) = (&mut self.tail, &mut self.body_bytes);
        self.parser.feed(bytes, |body| {
            tail.extend_from_slice(body);
            *total += body.len() as u64;
            seen(body);
        });
        if self.tail.len() > self.keep.saturating_mul(2) {
            self.tail.drain(..self.tail.len() - self.keep);
        }
    }

    /// What a read has told; `None`: go on reading.
    pub fn take(&mut self, read: io::Result<usize>, buffer: &[u8], seen: impl FnMut(&[u8])) -> Option<Ending> {
        match read {
            Ok(0) => Some(Ending::Http(self.parser.close())),
            Ok(count) => {
                self.feed(&buffer[..count], seen);
                self.parser.end().map(Ending::Http)
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => None,
            Err(_) => Some(Ending::Reset),
        }
    }

    pub fn outcome(&self, ending: Ending) -> Outcome {
        Outcome::of(self.parser.head(), &self.tail, ending)
    }
}

#[derive(Debug)]
pub struct Answer {
    pub head: Option<Head>,
    /// The body, or its end when it is longer than what was to be kept.
    pub body: Vec<u8>,
    pub outcome: Outcome,
    /// Just before the request was written.
    pub sent: Instant,
    pub ended: Instant,
}

impl Answer {
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Answered
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim_end().to_string()
    }

    pub fn took(&self) -> Duration {
        self.ended - self.sent
    }
}

#[derive(Debug)]
pub struct Connection {
    pub socket: TcpStream,
    protocol: Protocol,
    /// The last answer was whole and the server has not announced to close.
    pub is_usable: bool,
}

impl Connection {
    pub fn open(endpoint: impl Into<Endpoint>, patience: Duration) -> io::Result<Connection> {
        let endpoint = endpoint.into();
        let socket = endpoint.connect(patience)?;
        Ok(Connection { socket, protocol: endpoint.protocol, is_usable: true })
    }

    /// The bytes of one request as this connection's protocol has them.
    pub fn request(&self, sql: &str, parameters: &[(&str, &str)]) -> Vec<u8> {
        self.protocol.request(sql, parameters, true)
    }

    /// Asks and waits for the whole answer, at most for `patience`.
    pub fn ask(&mut self, sql: &str, parameters: &[(&str, &str)], patience: Duration) -> Answer {
        self.exchange(&self.request(sql, parameters), TAIL_BYTES, patience)
    }

    /// Sends the bytes of a request; keeps `keep` bytes of the end of the answer's body.
    pub fn exchange(&mut self, request: &[u8], keep: usize, patience: Duration) -> Answer {
        let sent = Instant::now();
        let written = self.send(request, patience);
        let mut answer = self.answer(keep, sent, sent + patience);
        // A server that is gone may have answered before: what it said was still there to be read.
        if written.is_err() && matches!(answer.outcome, Outcome::Untyped(Ending::Http(End::Unanswered)) | Outcome::Hung)
        {
            answer.outcome = Outcome::Untyped(Ending::Reset);
        }
        answer
    }

    pub fn send(&mut self, request: &[u8], patience: Duration) -> io::Result<()> {
        self.is_usable = false;
        self.socket.set_write_timeout(Some(patience))?;
        self.socket.write_all(request)
    }

    /// Waits for the answer to a request that was sent at `sent`.
    pub fn answer(&mut self, keep: usize, sent: Instant, deadline: Instant) -> Answer {
        let mut incoming = Incoming::keeping(keep, self.protocol);
        let ending = self.receive(&mut incoming, deadline);
        let ended = Instant::now();
        let closes = incoming.parser.head().and_then(|h| h.get("connection")).is_some_and(|c| c == "close");
        self.is_usable = ending == Ending::Http(End::Whole) && !closes;
        let outcome = incoming.outcome(ending);
        Answer { head: incoming.parser.head().cloned(), body: incoming.tail, outcome, sent, ended }
    }

    fn receive(&mut self, incoming: &mut Incoming, deadline: Instant) -> Ending {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ending::Silent;
            }
            let read = self.socket.set_read_timeout(Some(left)).and_then(|()| self.socket.read(&mut buffer));
            if let Some(ending) = incoming.take(read, &buffer, |_| {}) {
                return ending;
            }
        }
    }

    /// Waits for the server to close. False when it sends something or the deadline comes first.
    pub fn is_closed_within(&mut self, patience: Duration) -> bool {
        let mut byte = [0];
        let read = self.socket.set_read_timeout(Some(patience)).and_then(|()| self.socket.read(&mut byte));
        match read {
            Ok(count) => count == 0,
            Err(e) => !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted),
        }
    }
}

/// One statement on a connection of its own.
pub fn ask(port: u16, sql: &str, parameters: &[(&str, &str)], patience: Duration) -> io::Result<Answer> {
    ask_keeping(port, sql, parameters, TAIL_BYTES, patience)
}

/// As [`ask`]; keeps `keep` bytes of the end of the body.
pub fn ask_keeping(
    port: u16,
    sql: &str,
    parameters: &[(&str, &str)],
    keep: usize,
    patience: Duration,
) -> io::Result<Answer> {
    Ok(Connection::open(port, patience)?.exchange(&request(sql, parameters, false), keep, patience))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_long_body_is_kept() {
        let mut incoming = Incoming::keeping(10, Protocol::Http);
        incoming.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", |_| {});
        (0..10).for_each(|_| incoming.feed(b"0123456789", |_| {}));
        assert_eq!(incoming.body_bytes, 100);
        assert!(incoming.tail.ends_with(b"0123456789") && incoming.tail.len() <= 20);
        assert_eq!(incoming.outcome(Ending::Http(End::Whole)), Outcome::Answered);
    }

    #[test]
    fn a_server_that_goes_away_is_an_untyped_end() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut buffer = [0; 1_000];
            let _ = socket.read(&mut buffer).unwrap();
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab").unwrap();
        });
        let answer = ask(port, "select 1", &[], Duration::from_secs(10)).unwrap();
        server.join().unwrap();
        assert!(matches!(answer.outcome, Outcome::Untyped(_)), "{:?}", answer.outcome);
    }

    #[test]
    fn a_silent_server_is_a_hang() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = ask(port, "select 1", &[], Duration::from_millis(20)).unwrap();
        assert_eq!(answer.outcome, Outcome::Hung);
    }
}
