//! A query that crashes the server again and again is refused; a server that crashes again and again writes no more.

use crate::alone;
use hydron_crashbench::client::Answer;
use hydron_crashbench::process::await_until;
use hydron_crashbench::server::Server;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

fn ask(server: &Server, sql: &str) -> Answer {
    server.ask(sql, &[("query_mode", "table")], PATIENCE).unwrap()
}

fn name(answer: &Answer) -> &str {
    answer.outcome.error().map_or("", |e| e.name.as_str())
}

/// Crashes the server with `sql` and waits until the next worker answers.
fn crash(server: &Server, sql: &str) -> String {
    let answer = ask(server, sql);
    assert_eq!(name(&answer), "SERVER_CRASHED", "{sql}: {}: {}", answer.outcome.label(), answer.text());
    let is_back = || ask(server, "select 1").is_ok();
    assert!(await_until(Instant::now() + PATIENCE, is_back), "the server does not come back");
    answer.outcome.error().and_then(|e| e.incident.clone()).expect("the error names its incident")
}

#[test]
fn the_same_query_is_refused_after_two_crashes_until_it_is_lifted() {
    let alone = alone();
    let server = alone.start(&["--allow-trap", "--set", "crash_safe_mode=0"]);
    let sql = "select trap('read nullptr c++')";
    crash(&server, sql);
    let incident = crash(&server, sql);
    let refused = ask(&server, sql);
    assert_eq!(name(&refused), "QUERY_QUARANTINED", "{}", refused.text());
    assert!(refused.text().contains(&incident), "{}", refused.text());
    let listed = server.must("select * from system.quarantine format JSONEachRow").unwrap();
    assert!(listed.contains(&incident), "{listed}");
    assert_eq!(server.must("select 2").unwrap(), "2");
    server.must(&format!("system lift quarantine '{incident}'")).unwrap();
    crash(&server, sql);
}

#[test]
fn five_crashes_in_a_minute_leave_a_server_that_reads() {
    let alone = alone();
    let server = alone.start(&["--allow-trap", "--set", "crash_quarantine=0"]);
    server.must("create stream s (i int32)").unwrap();
    server.must("insert into s (i) values (7)").unwrap();
    for number in 0..5 {
        crash(&server, &format!("select trap('abort'), {number}"));
    }
    assert_eq!(server.must_with("select i from table(s)", &[("query_mode", "table")]).unwrap(), "7");
    let refused = ask(&server, "insert into s (i) values (8)");
    assert_eq!(name(&refused), "SERVER_IN_SAFE_MODE", "{}: {}", refused.outcome.label(), refused.text());
    server.must("system leave safe mode").unwrap();
    server.must("insert into s (i) values (8)").unwrap();
    assert_eq!(server.must_with("select sum(i) from table(s)", &[("query_mode", "table")]).unwrap(), "15");
}
