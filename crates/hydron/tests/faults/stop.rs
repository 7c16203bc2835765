//! SIGTERM: at once when idle, within its ladder under load, always with code 0 and every acknowledged row on disk.

use crate::alone;
use hydron_crashbench::cycle::PATIENCE;
use hydron_crashbench::flights::{Flights, Kind, Plan};
use hydron_crashbench::ledger;
use hydron_crashbench::process::await_until;
use hydron_crashbench::server::Server;
use hydron_crashbench::writers::Writers;
use std::time::{Duration, Instant};

const STREAMS: usize = 50;

fn streams() -> Vec<Plan> {
    let stream = |number: usize| {
        let (kind, sql) = match number % 2 {
            0 => (Kind::Rows, "select writer, seq from written"),
            _ => (Kind::Stream, "select writer, count() from written group by writer emit periodic 100ms"),
        };
        Plan { kind, sql: sql.to_string(), query_id: format!("stop-{number}") }
    };
    (0..STREAMS).map(stream).collect()
}

#[test]
fn an_idle_server_stops_in_a_fifth_of_a_second() {
    let alone = alone();
    // On a machine that others use too, one stop in three has the processor when it needs it.
    let stop = || {
        let mut server = alone.start(&[]);
        server.must("select 1").unwrap();
        let (took, status) = server.stop();
        assert_eq!(status.and_then(|s| s.code()), Some(0), "{}", alone.said());
        took
    };
    let took = [stop(), stop(), stop()];
    assert!(took.iter().min() <= Some(&Duration::from_millis(200)), "it took {took:?}");
}

#[test]
fn fifty_streams_and_ingest_stop_within_three_seconds_and_lose_nothing() {
    let alone = alone();
    let mut server = alone.start(&[]);
    server.must("create stream written (writer uint32, seq uint64)").unwrap();
    let mut writers = Writers::start(server.port, "written", 2, Duration::from_millis(2)).unwrap();
    let flights = Flights::launch(server.port, streams()).unwrap();
    assert!(flights.have_begun_by(Instant::now() + PATIENCE), "a stream did not begin");
    let since = Instant::now();
    assert!(await_until(since + PATIENCE, || writers.acknowledged_since(since)), "no insert was acknowledged");
    let (took, status) = server.stop();
    assert_eq!(status.and_then(|s| s.code()), Some(0), "{}", alone.said());
    assert!(took <= Duration::from_secs(3), "it took {took:?}");
    let landed = flights.finish(Instant::now() + PATIENCE);
    let untold: Vec<String> = landed
        .iter()
        .filter(|l| l.outcome.error().is_none_or(|e| e.name != "SERVER_STOPPING"))
        .map(|l| format!("{}: {}", l.query_id, l.outcome.label()))
        .collect();
    assert!(untold.is_empty(), "{} of {STREAMS} streams were not told: {untold:?}", untold.len());
    writers.stop();
    let server = alone.start(&[]);
    check_rows(&server, &writers);
}

fn check_rows(server: &Server, writers: &Writers) {
    let text = server.must("select writer, seq from table(written) format TSV settings query_mode = 'table'").unwrap();
    let ledger = writers.ledger();
    let below = ledger.settled();
    let tally = ledger.check(&vec![0; below.len()], &below, text.lines().filter_map(ledger::row));
    assert!(tally.is_clean() && tally.acked > 0, "{tally:?}");
}

#[test]
fn a_first_start_on_an_empty_directory_prints_no_warning() {
    let alone = alone();
    let mut server = alone.start(&[]);
    server.must("select 1").unwrap();
    server.stop();
    let said = alone.said();
    let bad: Vec<&str> = said.lines().filter(|l| l.contains("WARN") || l.contains("ERROR")).collect();
    assert!(bad.is_empty(), "{bad:?}");
}
