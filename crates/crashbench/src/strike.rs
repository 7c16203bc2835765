//! The fault itself: the victim's query, the end of the process, the first new query that is answered.

use crate::answer::Outcome;
use crate::client::{Answer, Connection, TAIL_BYTES};
use crate::cycle::{HANDLER_PATIENCE, PATIENCE, READY_PATIENCE};
use crate::fault::{Fault, Means};
use crate::process::{self, Watched, await_until};
use crate::protocol::Endpoint;
use crate::random::Random;
use crate::visitors::{Visit, Visitors, visit};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A fault that was caught leaves the process alive; this long one looks.
const CAUGHT_PATIENCE: Duration = Duration::from_millis(300);

/// The prober begins when the victim has its error, or after this.
const PROBE_AFTER: Duration = Duration::from_millis(20);

const PROBE_PAUSE: Duration = Duration::from_millis(2);

/// From the first byte of the victim's answer to a signal from outside.
const SETTLED_AFTER: Duration = Duration::from_millis(5);

/// `SELECT 1` by the victim before the fault: the middle one is its round trip.
const ROUND_TRIPS: usize = 5;

/// Its name, the query mode, and what the victim asks meanwhile; `{}` is the trap.
pub type Moment = (&'static str, &'static str, &'static str);

const TRAPPED_AT: &[Moment] = &[
    ("mid_select", "table", "select {}"),
    ("mid_read", "table", "select {} from table(anchor)"),
    ("mid_stream", "streaming", "select {} from anchor settings seek_to = 'earliest'"),
    ("mid_insert", "table", "insert into sink (x) select {}"),
];

const SIGNALLED_AT: Moment = ("mid_stream", "streaming", "select x from anchor");

/// When the victim is hit.
pub fn moment(fault: &Fault, random: &mut Random) -> Moment {
    match fault.is_by_query() {
        true => TRAPPED_AT[random.below(TRAPPED_AT.len() as u64) as usize],
        false => SIGNALLED_AT,
    }
}

/// What the fault itself has shown.
pub struct Strike {
    pub at: Instant,
    pub round_trip: Duration,
    pub answer: Answer,
    /// The worker's end.
    pub dead: Option<Instant>,
    /// The first new query answered by the next worker.
    pub ready: Option<Instant>,
    pub probes: Vec<Visit>,
    pub victim: Connection,
}

/// `endpoint`: where the victim asks; `port`: where everybody else does, over HTTP. Brings the fault about and follows the victim, the process and the first new query.
pub fn strike(
    endpoint: Endpoint,
    port: u16,
    worker: i32,
    fault: &Fault,
    moment: Moment,
    query_id: &str,
    visitors: &Visitors,
) -> io::Result<Strike> {
    let mut victim = Connection::open(endpoint, PATIENCE)?;
    let round_trip = round_trip(&mut victim)?;
    let watched = Watched::open(worker)?;
    let (dead, quit) = (Mutex::new(None), AtomicBool::new(false));
    let (tell_prober, told) = channel();
    let (dead, quit) = (&dead, &quit);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&watched, dead, quit));
        let prober = scope.spawn(move || probe(port, &told, dead, quit));
        let begun = begin(&mut victim, fault, moment, query_id, worker);
        quit.store(begun.is_err(), Ordering::SeqCst);
        let (at, sent) = begun?;
        // Fails only when the prober has ended, which it does not before it is told.
        let _ = tell_prober.send(());
        let answer = victim.answer(TAIL_BYTES, at, at + PATIENCE);
        drop(tell_prober);
        if sent.is_err() && answer.outcome == Outcome::Hung {
            quit.store(true, Ordering::SeqCst);
            return Err(io::Error::other("the victim could not send its query"));
        }
        if fault.is_by_query() && !is_of_the_server(&answer.outcome) {
            let deadline = Instant::now() + if fault.is_caught() { CAUGHT_PATIENCE } else { HANDLER_PATIENCE };
            if !await_until(deadline, || lock(dead).is_some()) {
                quit.store(true, Ordering::SeqCst);
            }
        }
        let died = watcher.join().ok().flatten();
        if died.is_none() {
            quit.store(true, Ordering::SeqCst);
        }
        let (probes, ready) = prober.join().unwrap_or_default();
        let visited = died.and_then(|died| visitors.first_answer(at, died));
        let ready = ready.into_iter().chain(visited).min();
        Ok(Strike { at, round_trip, answer, dead: died, ready, probes, victim })
    })
}

/// The middle of some round trips on the victim's connection.
fn round_trip(victim: &mut Connection) -> io::Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..ROUND_TRIPS {
        let answer = victim.ask("select 1", &[], PATIENCE);
        if !answer.is_ok() {
            return Err(io::Error::other(format!("the victim's select 1: {}", answer.outcome.label())));
        }
        times.push(answer.took());
    }
    times.sort();
    Ok(times[ROUND_TRIPS / 2])
}

/// Sends the fault; answers when, and how that went.
fn begin(
    victim: &mut Connection,
    fault: &Fault,
    (_, mode, sql): Moment,
    query_id: &str,
    worker: i32,
) -> io::Result<(Instant, io::Result<()>)> {
    let parameters = [("query_id", query_id), ("query_mode", mode)];
    match fault.means {
        Means::Trap(trap) => {
            let bytes = victim.request(&sql.replace("{}", &format!("trap('{trap}')")), &parameters);
            let at = Instant::now();
            Ok((at, victim.send(&bytes, PATIENCE)))
        }
        Means::Signal(signal) => {
            victim.send(&victim.request(sql, &parameters), PATIENCE)?;
            // Its answer has begun when a byte can be read.
            victim.socket.set_read_timeout(Some(PATIENCE))?;
            victim.socket.peek(&mut [0])?;
            // Not in the microseconds in which the server has written and not yet noted that it has: there it cannot know.
            thread::sleep(SETTLED_AFTER);
            let at = Instant::now();
            process::signal(worker, signal);
            Ok((at, Ok(())))
        }
    }
}

pub fn is_of_the_server(outcome: &Outcome) -> bool {
    outcome.error().is_some_and(|e| e.is_of_the_server())
}

/// Waits for the end of the worker, until told to quit.
fn watch(watched: &Watched, dead: &Mutex<Option<Instant>>, quit: &AtomicBool) -> Option<Instant> {
    let deadline = Instant::now() + PATIENCE;
    while !quit.load(Ordering::SeqCst) && Instant::now() < deadline {
        if let Some(at) = watched.ended_by(Instant::now() + Duration::from_millis(20)) {
            *lock(dead) = Some(at);
            return Some(at);
        }
    }
    None
}

/// Asks for a row over and over, on a new connection each time, until the next worker answers.
fn probe(
    port: u16,
    told: &Receiver<()>,
    dead: &Mutex<Option<Instant>>,
    quit: &AtomicBool,
) -> (Vec<Visit>, Option<Instant>) {
    let mut visits = Vec::new();
    if told.recv().is_err() {
        return (visits, None);
    }
    // The sender hangs up when the victim has its answer; either way it is time.
    let _ = told.recv_timeout(PROBE_AFTER);
    let deadline = Instant::now() + READY_PATIENCE;
    while !quit.load(Ordering::SeqCst) && Instant::now() < deadline {
        let visit = visit(port, "select x from table(anchor)", false, READY_PATIENCE);
        let is_by_next = lock(dead).is_some_and(|dead| visit.ended > dead);
        let ready = (visit.is_answered() && is_by_next).then_some(visit.ended);
        visits.push(visit);
        if ready.is_some() {
            return (visits, ready);
        }
        thread::sleep(PROBE_PAUSE);
    }
    (visits, None)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
