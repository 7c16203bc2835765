//! Panics are errors of their query: quick, with the connection kept, and they leave nothing behind.

use crate::alone;
use hydron_crashbench::client::Connection;
use hydron_crashbench::figures::Figures;
use hydron_crashbench::process;
use hydron_crashbench::server::Server;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

/// Until the allocator has what it needs and bounded tables are full.
const WARM_UP: usize = 4_000;

const PANICS: usize = 10_000;

const BATCHES: usize = 10;

/// A step of the allocator, a huge page say, may come within one round; a leak rises in each.
const ROUNDS_MAX: usize = 3;

const CONNECTIONS: usize = 4;

/// What 10,000 panics may leave, less than 1 KiB each: a plan, a session or a batch that stayed would be ten times that. What the
/// allocator holds of freed memory moves by several MiB, and stops rising only after some 30,000 panics.
const LEFT_KIB_MAX: i64 = 8_192;

/// Panics `count` times on some connections at once; answers how long each error took, in milliseconds.
fn panic_times(server: &Server, connections: &mut [Connection], count: usize) -> Vec<f64> {
    let each = count / connections.len();
    let times = std::thread::scope(|scope| {
        let threads: Vec<_> = connections.iter_mut().map(|c| scope.spawn(move || panics_on(c, each))).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(server.must("select 1").unwrap(), "1");
    times
}

fn panics_on(connection: &mut Connection, count: usize) -> Vec<f64> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let answer = connection.ask("select trap('panic')", &[("log_queries", "0")], PATIENCE);
        let error = answer.outcome.error().unwrap_or_else(|| panic!("{}: {}", answer.outcome.label(), answer.text()));
        assert!(error.text.contains("panicked"), "{}", error.text);
        assert!(connection.is_usable, "the connection was closed");
        times.push(answer.took().as_secs_f64() * 1e3);
    }
    times
}

#[test]
fn the_record_of_a_crash_has_the_last_lines_of_the_log() {
    let alone = alone();
    let server = alone.start_to_crash();
    assert!(server.must("select trap('panic')").is_err());
    assert!(server.must("select trap('abort')").is_err());
    let lines = server.must("select array_join(log_lines) from system.crash_log limit 100").unwrap();
    assert!(lines.contains("panicked at") && lines.contains("trap: a panic"), "{lines}");
}

/// Memory that is not of a file: tables for unwinding are read from the program the first time.
fn memory_kib(worker: i32) -> i64 {
    process::status(worker, "RssAnon").unwrap() as i64
}

/// By how much the floor of the levels has risen from their first half to their second. What leaks lifts it; what an
/// allocator takes and gives back does not.
fn rise(levels: &[i64]) -> i64 {
    let (first, second) = levels.split_at(levels.len() / 2);
    let floor = |half: &[i64]| half.iter().copied().min().unwrap();
    floor(second) - floor(first)
}

fn threads_and_sockets(worker: i32) -> (u64, usize) {
    (process::status(worker, "Threads").unwrap(), process::sockets(worker).len())
}

#[test]
fn ten_thousand_panics_leave_nothing_behind() {
    let alone = alone();
    let server = alone.start_to_crash();
    let worker = server.find_worker().unwrap();
    let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| Connection::open(server.port, PATIENCE).unwrap()).collect();
    panic_times(&server, &mut connections, WARM_UP);
    let held = threads_and_sockets(worker);
    let (mut times, mut rounds) = (Vec::new(), Vec::new());
    let is_level = (0..ROUNDS_MAX).any(|_| {
        let mut levels = vec![memory_kib(worker)];
        for _ in 0..BATCHES {
            times.extend(panic_times(&server, &mut connections, PANICS / BATCHES));
            levels.push(memory_kib(worker));
        }
        // Half of the panics lie between the middles of the two halves.
        let is_level = rise(&levels) <= LEFT_KIB_MAX / 2;
        rounds.push(levels);
        is_level
    });
    assert_eq!(server.find_worker(), Some(worker), "the process is the same");
    assert!(
        is_level,
        "{PANICS} panics leave more than {LEFT_KIB_MAX} KiB: {rounds:?} KiB after each batch of each round"
    );
    // Threads for blocking work come and go, and a connection that was just closed is about to.
    let is_as_before = |now: (u64, usize)| now.0 <= held.0 + 4 && now.1 <= held.1;
    let settled = process::await_until(Instant::now() + PATIENCE, || is_as_before(threads_and_sockets(worker)));
    assert!(settled, "threads and sockets: {held:?}, then {:?}", threads_and_sockets(worker));
    let times = Figures::of(times);
    let p99 = times.percentile(99.0).unwrap();
    assert!(p99 <= 50.0, "p99 of {} errors was {p99:.1} ms", times.n());
}
