//! Requests whose answers are still coming when the fault hits: streaming queries, long reads, large results.
//!
//! In: statements. Out: for each, when it ended and what it told its client. Promise: one thread polls all of them, so that
//! a hundred streams do not take the processor from the server they wait for; none is awaited longer than its deadline.

use crate::answer::{Ending, Outcome};
use crate::client::{Incoming, READ_BYTES, TAIL_BYTES};
use crate::ledger::Sequences;
use crate::protocol::Endpoint;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a connection may take before the fault.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// A client that reads slowly takes this much a turn, so that its answer is always in the middle of a frame.
const SLOW_READ_BYTES: usize = 16 << 10;

/// The time of a turn.
const TURN: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A streaming query that shows the rows of the writers.
    Rows,
    /// Another streaming query.
    Stream,
    /// A historical query that has not begun to answer.
    Read,
    /// A historical query whose large result is being read slowly.
    LargeResult,
}

impl Kind {
    pub fn is_stream(self) -> bool {
        matches!(self, Kind::Rows | Kind::Stream)
    }

    /// Whether its answer begins before its end.
    fn begins(self) -> bool {
        self != Kind::Read
    }
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub kind: Kind,
    pub sql: String,
    pub query_id: String,
}

/// A request that has ended, or that had not when it was given up.
#[derive(Debug)]
pub struct Landed {
    pub kind: Kind,
    pub query_id: String,
    /// `None`: still open when it was given up.
    pub ended: Option<Instant>,
    pub outcome: Outcome,
    pub sequences: Sequences,
    /// The end of what came.
    pub tail: String,
    pub body_bytes: u64,
    /// Bytes came after the end: somebody answered a second time.
    pub answered_twice: bool,
}

struct Flight {
    plan: Plan,
    socket: TcpStream,
    incoming: Incoming,
    ended: Option<(Instant, Ending)>,
    sequences: Sequences,
}

#[derive(Default)]
struct Shared {
    /// Slow readers read all there is from now on.
    released: AtomicBool,
    begun: AtomicUsize,
    ended: AtomicUsize,
    give_up_at: Mutex<Option<Instant>>,
}

pub struct Flights {
    shared: Arc<Shared>,
    thread: JoinHandle<Vec<Landed>>,
    to_begin: usize,
    count: usize,
}

impl Flights {
    /// Sends every request, then follows them on a thread.
    pub fn launch(endpoint: impl Into<Endpoint>, plans: Vec<Plan>) -> io::Result<Flights> {
        let endpoint = endpoint.into();
        let to_begin = plans.iter().filter(|p| p.kind.begins()).count();
        let count = plans.len();
        let flights: Vec<Flight> = plans.into_iter().map(|plan| launch(endpoint, plan)).collect::<io::Result<_>>()?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("flights".to_string()).spawn(move || follow(flights, &theirs))?;
        Ok(Flights { shared, thread, to_begin, count })
    }

    /// All answers that come piece by piece have begun.
    pub fn have_begun_by(&self, deadline: Instant) -> bool {
        crate::process::await_until(deadline, || self.shared.begun.load(Ordering::SeqCst) >= self.to_begin)
    }

    /// Requests that have ended already, which none should before the fault.
    pub fn ended(&self) -> usize {
        self.shared.ended.load(Ordering::SeqCst)
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Lets slow readers read on: after the fault there is nothing to be slow for.
    pub fn release(&self) {
        self.shared.released.store(true, Ordering::SeqCst);
    }

    /// Waits for the ends, at most until `deadline`; what is still open then is given up.
    pub fn finish(self, deadline: Instant) -> Vec<Landed> {
        self.release();
        *self.shared.give_up_at.lock().unwrap_or_else(|e| e.into_inner()) = Some(deadline);
        self.thread.join().unwrap_or_default()
    }
}

fn launch(endpoint: Endpoint, plan: Plan) -> io::Result<Flight> {
    let mut socket = endpoint.connect(CONNECT_PATIENCE)?;
    let mode = if plan.kind.is_stream() { "streaming" } else { "table" };
    let parameters = [("query_id", plan.query_id.as_str()), ("query_mode", mode)];
    socket.write_all(&endpoint.protocol.request(&plan.sql, &parameters, true))?;
    socket.set_nonblocking(true)?;
    Ok(Flight {
        plan,
        socket,
        incoming: Incoming::keeping(TAIL_BYTES, endpoint.protocol),
        ended: None,
        sequences: Sequences::default(),
    })
}

fn follow(mut flights: Vec<Flight>, shared: &Shared) -> Vec<Landed> {
    let mut buffer = vec![0; READ_BYTES];
    let mut next_slow_turn = Instant::now();
    loop {
        let now = Instant::now();
        let open = flights.iter().filter(|f| f.ended.is_none()).count();
        let give_up_at = *shared.give_up_at.lock().unwrap_or_else(|e| e.into_inner());
        if give_up_at.is_some_and(|at| open == 0 || now >= at) {
            return flights.into_iter().map(Flight::land).collect();
        }
        let slow_turn = shared.released.load(Ordering::SeqCst) || now >= next_slow_turn;
        if now >= next_slow_turn {
            next_slow_turn = now + TURN;
        }
        let ready = poll(&flights, slow_turn);
        for (flight, _) in flights.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            flight.read(&mut buffer, shared);
        }
    }
}

/// Which of the open flights can be read; waits one turn at most. A slow reader is asked only at its turn.
fn poll(flights: &[Flight], slow_turn: bool) -> Vec<bool> {
    let mut fds: Vec<libc::pollfd> = flights
        .iter()
        .map(|flight| {
            let waits = flight.ended.is_some() || (flight.plan.kind == Kind::LargeResult && !slow_turn);
            // A negative descriptor is passed over by the kernel.
            let fd = if waits { -1 } else { flight.socket.as_raw_fd() };
            libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
        })
        .collect();
    // SAFETY: polls descriptors that `flights` keep open; the length is that of the vector.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, TURN.as_millis() as i32) };
    fds.iter().map(|fd| ready > 0 && fd.revents != 0).collect()
}

impl Flight {
    fn read(&mut self, buffer: &mut [u8], shared: &Shared) {
        let is_slow = self.plan.kind == Kind::LargeResult && !shared.released.load(Ordering::SeqCst);
        let buffer = if is_slow { &mut buffer[..SLOW_READ_BYTES] } else { buffer };
        let had_begun = self.incoming.began.is_some();
        let read = self.socket.read(buffer);
        let (shows_rows, sequences) = (self.plan.kind == Kind::Rows, &mut self.sequences);
        let ending = self.incoming.take(read, buffer, |body| {
            if shows_rows {
                sequences.feed(body);
            }
        });
        if self.plan.kind.begins() && !had_begun && (self.incoming.began.is_some() || ending.is_some()) {
            shared.begun.fetch_add(1, Ordering::SeqCst);
        }
        if let Some(ending) = ending {
            self.ended = Some((Instant::now(), ending));
            shared.ended.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn land(mut self) -> Landed {
        // The socket does not block: an error means that there is nothing, which is right.
        let came_after = self.ended.is_some() && self.socket.read(&mut [0; 64]).is_ok_and(|count| count > 0);
        let ending = self.ended.map_or(Ending::Silent, |(_, ending)| ending);
        Landed {
            kind: self.plan.kind,
            query_id: self.plan.query_id,
            ended: self.ended.map(|(at, _)| at),
            answered_twice: came_after || self.incoming.parser.extra_bytes() > 0,
            outcome: self.incoming.outcome(ending),
            sequences: self.sequences,
            tail: String::from_utf8_lossy(&self.incoming.tail).to_string(),
            body_bytes: self.incoming.body_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_lands_with_its_own_end() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let mut kept = Vec::new();
            for turn in 0..3 {
                let (mut socket, _) = listener.accept().unwrap();
                let mut buffer = [0; 1_000];
                let _ = socket.read(&mut buffer).unwrap();
                socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n0\t1\n\r\n").unwrap();
                match turn {
                    0 => socket.write_all(b"0\r\n\r\n").unwrap(),
                    1 => continue,
                    _ => {}
                }
                kept.push(socket);
            }
            kept
        });
        let plans = (0..3).map(|n| Plan { kind: Kind::Rows, sql: "select 1".to_string(), query_id: n.to_string() });
        let flights = Flights::launch(port, plans.collect()).unwrap();
        assert!(flights.have_begun_by(Instant::now() + Duration::from_secs(10)));
        assert!(crate::process::await_until(Instant::now() + Duration::from_secs(10), || flights.ended() == 2));
        let landed = flights.finish(Instant::now() + Duration::from_millis(20));
        let outcomes: Vec<bool> = landed.iter().map(|l| l.outcome.is_typed()).collect();
        assert_eq!(outcomes, [true, false, false]);
        assert_eq!(landed[2].outcome, Outcome::Hung);
        assert!(landed.iter().all(|l| l.sequences.rows == 1 && !l.answered_twice));
        drop(server.join().unwrap());
    }
}
