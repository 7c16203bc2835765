//! A disk that fails, and one that is full: who is told what, and what is still there.

use crate::alone;
use hydron_crashbench::client::{Connection, request};
use hydron_crashbench::process::await_until;
use hydron_crashbench::server::Server;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// The name of the error; empty where there is none.
fn error_of(server: &Server, sql: &str) -> String {
    let answer = server.ask(sql, &[("query_mode", "table")], PATIENCE).unwrap();
    match answer.outcome.error() {
        Some(error) => error.name.clone(),
        None => {
            assert!(answer.is_ok(), "{sql}: {}: {}", answer.outcome.label(), answer.text());
            String::new()
        }
    }
}

fn count(server: &Server) -> u64 {
    server.must_with("select count() from table(s)", &[("query_mode", "table")]).unwrap().parse().unwrap()
}

#[test]
fn a_sync_that_fails_is_not_believed_a_second_time() {
    let alone = alone();
    let server = alone.start_to_crash();
    server.must("create stream s (i int32)").unwrap();
    for i in 0..20 {
        server.must(&format!("insert into s (i) values ({i})")).unwrap();
    }
    let worker = server.find_worker().unwrap();
    let mut stream = Connection::open(server.port, PATIENCE).unwrap();
    let parameters = [("query_id", "tail"), ("query_mode", "streaming")];
    let request = request("select i from s", &parameters, true);
    stream.send(&request, PATIENCE).unwrap();
    let is_running = || server.must("select count() from system.processes where query_id = 'tail'").unwrap() == "1";
    assert!(await_until(Instant::now() + PATIENCE, is_running));

    assert_eq!(error_of(&server, "select trap('sync fails')"), "");
    let since = Instant::now();
    assert_eq!(error_of(&server, "insert into s (i) values (100)"), "CANNOT_FLUSH_FILE");
    // A bystander hears that the worker is replaced.
    let told = stream.answer(1 << 16, since, since + PATIENCE);
    assert_eq!(told.outcome.label(), "SERVER_RESTARTED", "{}", told.text());
    assert!(told.text().contains("(disk)"), "{}", told.text());
    let is_replaced =
        || server.find_worker().is_some_and(|now| now != worker) && error_of(&server, "select 1").is_empty();
    assert!(await_until(Instant::now() + PATIENCE, is_replaced), "the worker goes on: {}", alone.said());

    assert_eq!(error_of(&server, "insert into s (i) values (101)"), "");
    let there =
        server.must_with("select i from table(s) where i != 100 order by i", &[("query_mode", "table")]).unwrap();
    let wanted: Vec<String> = (0..20).chain([101]).map(|i: i32| i.to_string()).collect();
    assert_eq!(there, wanted.join("\n"), "what was acknowledged is there");
    let record = server.must("select cause, reason from system.crash_log").unwrap();
    assert!(record.starts_with("disk\t") && record.contains("cannot sync"), "{record}");
}

#[test]
fn a_full_disk_refuses_rows_until_there_is_room_and_nothing_restarts() {
    let alone = alone();
    let server = alone.start_to_crash();
    server.must("create stream s (i int32, pad string)").unwrap();
    let worker = server.find_worker();
    // Some of them are more than the room that the log has reserved: they cannot be compressed.
    let insert = "insert into s (i, pad) select number, random_string(1000) from numbers(200)";
    assert_eq!(error_of(&server, insert), "");
    assert_eq!(error_of(&server, "select trap('disk full')"), "");
    let mut stored = 200;
    let mut inserts = (0..100).map(|_| error_of(&server, insert)).inspect(|e| stored += u64::from(e.is_empty()) * 200);
    assert_eq!(inserts.find(|e| !e.is_empty()).as_deref(), Some("NOT_ENOUGH_SPACE"));
    assert_eq!(error_of(&server, insert), "NOT_ENOUGH_SPACE");
    assert_eq!(count(&server), stored, "reading goes on");
    assert_eq!(error_of(&server, "select trap('disk has room')"), "");
    assert_eq!(error_of(&server, insert), "");
    assert_eq!(count(&server), stored + 200);
    assert_eq!(server.find_worker(), worker, "{}", alone.said());
}
