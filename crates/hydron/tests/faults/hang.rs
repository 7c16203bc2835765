//! A worker whose threads wait for each other is replaced; one that is only busy is left alone.

use crate::{Alone, alone};
use hydron_crashbench::client::{Connection, request};
use hydron_crashbench::process::Watched;
use hydron_crashbench::server::Server;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// Computing threads of the servers here.
const THREADS: usize = 2;

fn start(alone: &Alone, more: &[&str]) -> Server {
    let mut flags = vec!["--allow-trap", "--set", "cpu_threads=2", "--set", "crash_safe_mode=0"];
    flags.extend(more);
    alone.start(&flags)
}

/// Sends `sql` on as many connections as there are computing threads.
fn occupy(server: &Server, sql: &str) -> Vec<Connection> {
    let send = |_| {
        let mut connection = Connection::open(server.port, PATIENCE).unwrap();
        connection.send(&request(sql, &[("query_mode", "table")], true), PATIENCE).unwrap();
        connection
    };
    (0..THREADS).map(send).collect()
}

#[test]
fn threads_that_wait_for_each_other_are_found_and_told_of() {
    let alone = alone();
    let server = start(&alone, &[]);
    server.must("create stream s (i int32)").unwrap();
    server.must("insert into s (i) values (7)").unwrap();
    let worker = Watched::open(server.find_worker().unwrap()).unwrap();
    let since = Instant::now();
    let mut waiting = occupy(&server, "select trap('deadlock')");
    for connection in &mut waiting {
        let told = connection.answer(1 << 16, since, since + PATIENCE);
        assert_eq!(told.outcome.label(), "SERVER_RESTARTED", "{}", told.text());
        assert!(told.text().contains("(hang)"), "{}", told.text());
        // Five seconds are promised, of a machine that does nothing else.
        assert!(told.took() <= Duration::from_secs(6), "{:?}", told.took());
    }
    assert!(worker.ended_by(since + Duration::from_secs(10)).is_some(), "{}", alone.said());
    let answer = server.ask("select i from table(s)", &[], PATIENCE).unwrap();
    assert_eq!(answer.text(), "7");
    assert!(since.elapsed() <= Duration::from_secs(10), "it took {:?}", since.elapsed());

    let record = server.must("select cause, reason, incident_id from system.crash_log").unwrap();
    let fields: Vec<&str> = record.split('\t').collect();
    assert!(fields[0] == "hang" && fields[1].contains("compute"), "{record}");
    let stacks = server.data().join("crash").join(format!("{}.stacks.txt", fields[2]));
    let names_both = || {
        let text = std::fs::read_to_string(&stacks).unwrap_or_default();
        text.matches("wait_for_each_other").count() >= THREADS && text.contains("'io'")
    };
    let found = hydron_crashbench::process::await_until(Instant::now() + PATIENCE, names_both);
    assert!(found, "{}\n{}", std::fs::read_to_string(&stacks).unwrap_or_default(), alone.said());
}

#[test]
fn threads_that_compute_for_longer_than_a_hang_are_left_alone() {
    let alone = alone();
    let server = start(&alone, &["--set", "crash.hang_ms=2000"]);
    let worker = server.find_worker();
    let since = Instant::now();
    for mut connection in occupy(&server, "select trap('busy loop')") {
        let answer = connection.answer(1 << 16, since, since + PATIENCE);
        assert!(answer.is_ok(), "{}: {}", answer.outcome.label(), answer.text());
    }
    assert!(since.elapsed() >= Duration::from_secs(5), "nobody was busy: {:?}", since.elapsed());
    assert_eq!(server.find_worker(), worker, "{}", alone.said());
}

#[test]
fn threads_that_compute_for_too_long_are_given_up() {
    let alone = alone();
    let server = start(&alone, &["--set", "crash.hang_ms=2000", "--set", "crash.busy_ms=3500"]);
    let since = Instant::now();
    for mut connection in occupy(&server, "select trap('busy loop')") {
        let told = connection.answer(1 << 16, since, since + PATIENCE);
        assert_eq!(told.outcome.label(), "SERVER_RESTARTED", "{}", told.text());
    }
    let record = server.must("select cause, reason from system.crash_log").unwrap();
    assert!(record.contains("hang") && record.contains("without a pause"), "{record}");
}
