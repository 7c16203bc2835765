//! New connections at a steady rate, one `SELECT 1` each, through the fault and after it.
//!
//! In: a port, a rate. Out: each visit with its times and its end. Promise: a visit that waits holds up no other, as the
//! clients of a real server do not wait for each other.

use crate::answer::Outcome;
use crate::client::{Connection, TAIL_BYTES, request};
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a visitor waits before it counts as hung.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long a server may take to close a connection that both sides have agreed to close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

// At 50 a second this is a server that has been silent for its whole patience.
const WAITING_MAX: usize = 600;

/// A visit needs little stack.
const STACK_BYTES: usize = 256 << 10;

#[derive(Clone, Debug)]
pub struct Visit {
    pub started: Instant,
    pub ended: Instant,
    pub end: VisitEnd,
    /// The answer said that the connection closes, and it did not in time.
    pub stayed_open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VisitEnd {
    Outcome(Outcome),
    /// No connection was made.
    Refused(ErrorKind),
}

impl Visit {
    pub fn is_answered(&self) -> bool {
        self.end == VisitEnd::Outcome(Outcome::Answered)
    }

    pub fn is_refused(&self) -> bool {
        matches!(self.end, VisitEnd::Refused(_))
    }

    /// The connection was made and then broken without a whole answer.
    pub fn is_reset(&self) -> bool {
        matches!(self.end, VisitEnd::Outcome(Outcome::Untyped(_)))
    }

    pub fn is_hung(&self) -> bool {
        self.end == VisitEnd::Outcome(Outcome::Hung)
    }

    pub fn label(&self) -> String {
        match &self.end {
            VisitEnd::Outcome(outcome) => outcome.label(),
            VisitEnd::Refused(kind) => format!("refused: {kind:?}"),
        }
    }
}

/// Connects, asks and goes. `closes`: asks the server to close, and waits for it.
pub fn visit(port: u16, sql: &str, closes: bool, patience: Duration) -> Visit {
    let started = Instant::now();
    let mut connection = match Connection::open(port, patience) {
        Ok(connection) => connection,
        Err(e) => {
            let end = VisitEnd::Refused(e.kind());
            return Visit { started, ended: Instant::now(), end, stayed_open: false };
        }
    };
    let answer = connection.exchange(&request(sql, &[("query_mode", "table")], !closes), TAIL_BYTES, patience);
    let whole = !matches!(answer.outcome, Outcome::Untyped(_) | Outcome::Hung);
    let stayed_open = closes && whole && !connection.is_closed_within(CLOSE_PATIENCE);
    Visit { started, ended: answer.ended, end: VisitEnd::Outcome(answer.outcome), stayed_open }
}

pub struct Visitors {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    waiting: AtomicUsize,
    /// Starts that were left out because too many wait: the harness itself is at its limit.
    left_out: AtomicUsize,
    visits: Mutex<Vec<Visit>>,
    open: Mutex<Vec<Instant>>,
}

impl Visitors {
    pub fn start(port: u16, per_second: u64) -> io::Result<Visitors> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let period = Duration::from_micros(1_000_000 / per_second.max(1));
        let thread = std::thread::Builder::new().name("visitors".to_string()).spawn(move || {
            let mut next = Instant::now();
            let mut number = 0_u64;
            while !theirs.stop.load(Ordering::SeqCst) {
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                next += period;
                number += 1;
                send(port, number, &theirs);
            }
        })?;
        Ok(Visitors { shared, thread: Some(thread) })
    }

    /// The visits that were started before `limit` and not taken yet; waits for those that are still open, each at most
    /// for its patience.
    pub fn take_until(&self, limit: Instant) -> Vec<Visit> {
        let deadline = limit + PATIENCE + CLOSE_PATIENCE + Duration::from_secs(1);
        crate::process::await_until(deadline, || lock(&self.shared.open).iter().all(|at| *at >= limit));
        let mut visits = lock(&self.shared.visits);
        let (taken, left) = visits.drain(..).partition(|v| v.started < limit);
        *visits = left;
        taken
    }

    /// The end of the first visit that began after `begun`, was answered, and ended after `after`.
    pub fn first_answer(&self, begun: Instant, after: Instant) -> Option<Instant> {
        let visits = lock(&self.shared.visits);
        visits.iter().filter(|v| v.started >= begun && v.ended > after && v.is_answered()).map(|v| v.ended).min()
    }

    pub fn left_out(&self) -> usize {
        self.shared.left_out.load(Ordering::SeqCst)
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed already.
            let _ = thread.join();
        }
        let deadline = Instant::now() + PATIENCE;
        crate::process::await_until(deadline, || self.shared.waiting.load(Ordering::SeqCst) == 0);
    }
}

fn send(port: u16, number: u64, shared: &Arc<Shared>) {
    if shared.waiting.load(Ordering::SeqCst) >= WAITING_MAX {
        shared.left_out.fetch_add(1, Ordering::SeqCst);
        return;
    }
    shared.waiting.fetch_add(1, Ordering::SeqCst);
    let planned = Instant::now();
    lock(&shared.open).push(planned);
    let theirs = Arc::clone(shared);
    let spawned = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        // Every second one asks the server to close, the others close themselves.
        let visit = visit(port, "select 1", number.is_multiple_of(2), PATIENCE);
        lock(&theirs.visits).push(visit);
        forget(&theirs, planned);
    });
    if spawned.is_err() {
        shared.left_out.fetch_add(1, Ordering::SeqCst);
        forget(shared, planned);
    }
}

fn forget(shared: &Shared, planned: Instant) {
    let mut open = lock(&shared.open);
    if let Some(at) = open.iter().position(|at| *at == planned) {
        open.swap_remove(at);
    }
    drop(open);
    shared.waiting.fetch_sub(1, Ordering::SeqCst);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}
