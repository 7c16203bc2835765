//! Panics are errors of their query: quick, with the connection kept, and they leave nothing behind.

use crate::alone;
use hydron_crashbench::client::Connection;
use hydron_crashbench::figures::Figures;
use hydron_crashbench::process;
use hydron_crashbench::server::Server;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// Until the allocator has what it needs and bounded tables are full.
const WARM_UP: usize = 3_000;

const PANICS: usize = 10_000;

/// What 10,000 panics may leave: less than the bytes of one message each.
const LEFT_KIB_MAX: u64 = 1_024;

/// Panics `count` times on one connection; answers how long each error took, in milliseconds.
fn panic_times(server: &Server, connection: &mut Connection, count: usize) -> Figures {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let answer = connection.ask("select trap('panic')", &[("log_queries", "0")], PATIENCE);
        let error = answer.outcome.error().unwrap_or_else(|| panic!("{}: {}", answer.outcome.label(), answer.text()));
        assert!(error.text.contains("panicked"), "{}", error.text);
        assert!(connection.is_usable, "the connection was closed");
        times.push(answer.took().as_secs_f64() * 1e3);
    }
    assert_eq!(server.must("select 1").unwrap(), "1");
    Figures::of(times)
}

fn threads_and_sockets(worker: i32) -> (Option<u64>, usize) {
    (process::status(worker, "Threads"), process::sockets(worker).len())
}

#[test]
fn ten_thousand_panics_leave_nothing_behind() {
    let alone = alone();
    let server = alone.start_to_crash();
    let worker = server.find_worker().unwrap();
    let mut connection = Connection::open(server.port, PATIENCE).unwrap();
    panic_times(&server, &mut connection, WARM_UP);
    let (before, held) = (process::status(worker, "VmRSS").unwrap(), threads_and_sockets(worker));
    let times = panic_times(&server, &mut connection, PANICS);
    let left = process::status(worker, "VmRSS").unwrap().saturating_sub(before);
    assert_eq!(server.find_worker(), Some(worker), "the process is the same");
    assert!(left <= LEFT_KIB_MAX, "{PANICS} panics left {left} KiB behind");
    assert_eq!(threads_and_sockets(worker), held);
    let p99 = times.percentile(99.0).unwrap();
    assert!(p99 <= 50.0, "p99 of {} errors was {p99:.1} ms", times.n());
}
