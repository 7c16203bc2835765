//! A stream whose server crashed goes on where it was: no row is missing and none comes twice.

use crate::alone;
use hydron_crashbench::client::{Answer, Connection, ask, request};
use hydron_crashbench::process::await_until;
use hydron_crashbench::server::Server;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of a body that are kept: all of it.
const BODY_BYTES: usize = 64 << 20;

const CRASHES: usize = 4;

fn table(server: &Server, sql: &str) -> String {
    server.must_with(sql, &[("query_mode", "table")]).unwrap()
}

/// Starts a streaming query and waits until it runs.
fn subscribe(server: &Server, sql: &str, id: &str) -> Connection {
    let mut connection = Connection::open(server.port, PATIENCE).unwrap();
    connection.send(&request(sql, &[("query_id", id), ("query_mode", "streaming")], true), PATIENCE).unwrap();
    // The head of the answer comes when the query runs.
    connection.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(connection.socket.peek(&mut [0]).unwrap(), 1);
    connection
}

/// The rows before the error that ends the answer.
fn rows(answer: &Answer) -> Vec<i64> {
    answer.text().lines().map_while(|line| line.parse().ok()).collect()
}

fn resume_from(answer: &Answer) -> Option<u64> {
    let text = answer.text();
    let (_, rest) = text.split_once("resume_from=")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn crash(server: &Server) {
    let answer = server.ask("select trap('abort')", &[("query_mode", "table")], PATIENCE).unwrap();
    assert_eq!(answer.outcome.label(), "SERVER_CRASHED", "{}", answer.text());
    let is_back = || server.ask("select 1", &[], PATIENCE).is_ok_and(|a| a.is_ok());
    assert!(await_until(Instant::now() + PATIENCE, is_back));
}

#[test]
fn a_stream_goes_on_from_where_the_error_says() {
    let alone = alone();
    let server = alone.start_to_crash();
    server.must("create stream s (i int64)").unwrap();
    let (stop, stored) = (AtomicBool::new(false), AtomicU64::new(0));
    let port = server.port;
    let writer = || {
        for n in 0_i64.. {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            // Of one, two or three rows; one that fails is not tried again.
            let values: Vec<String> = (0..n % 3 + 1).map(|at| format!("({})", n * 10 + at)).collect();
            let sql = format!("insert into s (i) values {}", values.join(","));
            if ask(port, &sql, &[], PATIENCE).is_ok_and(|a| a.is_ok()) {
                stored.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    // A tail, and one that drops most rows.
    let queries = ["select i from s", "select i from s where i % 10 = 2"];
    let mut seen: Vec<Vec<i64>> = vec![Vec::new(); queries.len()];
    std::thread::scope(|scope| {
        let mut tails: Vec<_> =
            queries.iter().enumerate().map(|(at, sql)| subscribe(&server, sql, &format!("tail-{at}"))).collect();
        scope.spawn(writer);
        for round in 0..CRASHES {
            let (more, since) = (stored.load(Ordering::SeqCst) + 30, Instant::now());
            assert!(await_until(since + PATIENCE, || stored.load(Ordering::SeqCst) >= more));
            crash(&server);
            for (at, sql) in queries.iter().enumerate() {
                let told = tails[at].answer(BODY_BYTES, since, since + PATIENCE);
                assert_eq!(told.outcome.label(), "SERVER_RESTARTED", "{}", told.text());
                let from = resume_from(&told).unwrap_or_else(|| panic!("{}", told.text()));
                seen[at].extend(rows(&told));
                let again = format!("{sql} settings seek_to = '{from}'");
                tails[at] = subscribe(&server, &again, &format!("tail-{at}-{round}"));
            }
        }
        stop.store(true, Ordering::SeqCst);
        drop(tails);
    });
    for (at, sql) in queries.iter().enumerate() {
        let all = table(&server, &sql.replace(" s", " table(s)"));
        let all: Vec<i64> = all.lines().map(|l| l.parse().unwrap()).collect();
        let seen = &seen[at];
        assert!(seen.len() >= 4 * CRASHES, "{} rows of {sql}", seen.len());
        assert_eq!(seen[..], all[..seen.len()], "{sql}");
    }
}

#[test]
fn what_remembers_rows_does_not_say_where_to_go_on() {
    let alone = alone();
    let server = alone.start_to_crash();
    server.must("create stream s (i int64)").unwrap();
    server.must("create stream wide (i int64) settings shards = 2").unwrap();
    let queries = [
        "select count() from s emit periodic 100ms",
        "select i from s limit 3",
        "select distinct i from s",
        "select i from wide",
    ];
    let tails: Vec<_> =
        queries.iter().enumerate().map(|(at, sql)| subscribe(&server, sql, &format!("tail-{at}"))).collect();
    server.must("insert into s (i) values (1)").unwrap();
    crash(&server);
    for (mut tail, sql) in tails.into_iter().zip(queries) {
        let since = Instant::now();
        let told = tail.answer(BODY_BYTES, since, since + PATIENCE);
        assert_eq!(told.outcome.label(), "SERVER_RESTARTED", "{sql}: {}", told.text());
        assert_eq!(resume_from(&told), None, "{sql}: {}", told.text());
    }
}

#[test]
fn a_stream_that_has_shown_nothing_goes_on_from_its_beginning() {
    let alone = alone();
    let server = alone.start_to_crash();
    server.must("create stream s (i int64)").unwrap();
    server.must("insert into s (i) values (1)").unwrap();
    let mut tail = subscribe(&server, "select i from s", "tail");
    crash(&server);
    server.must("insert into s (i) values (2)").unwrap();
    let since = Instant::now();
    let told = tail.answer(BODY_BYTES, since, since + PATIENCE);
    assert_eq!(resume_from(&told), Some(1), "{}", told.text());
    let next = server.must_with("select i from s limit 1 settings seek_to = '1'", &[("query_mode", "streaming")]);
    assert_eq!(next.unwrap(), "2");
}
