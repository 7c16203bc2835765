//! Users that SQL has made, their roles and their policies come through a crash and a restart.

use crate::alone;
use hydron_crashbench::process::await_until;
use hydron_crashbench::server::Server;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

fn told(server: &Server, sql: &str, settings: &[(&str, &str)]) -> String {
    let answer = server.ask(sql, settings, PATIENCE).unwrap();
    answer.text().trim_end().to_owned()
}

#[test]
fn users_roles_and_a_session_that_gave_up_its_roles_survive_a_crash() {
    let alone = alone();
    let server = alone.start_to_crash();
    for sql in [
        "create stream s (i int64)",
        "insert into s (i) values (1), (2)",
        "create user kim identified by 'k1'",
        "create role reader",
        "grant select on default.s to reader",
        "grant reader to kim",
        "create row policy p on s using i = 2 to kim",
    ] {
        server.must(sql).unwrap();
    }
    let kim = [("user", "kim"), ("password", "k1"), ("query_mode", "table")];
    let in_session = [&kim[..], &[("session_id", "one"), ("session_timeout", "600")]].concat();
    assert_eq!(told(&server, "select i from s", &kim), "2");
    told(&server, "set role none", &in_session);
    assert!(told(&server, "select i from s", &in_session).contains("ACCESS_DENIED"));
    let crashed = server.ask("select trap('abort')", &[("query_mode", "table")], PATIENCE).unwrap();
    assert_eq!(crashed.outcome.label(), "SERVER_CRASHED", "{}", crashed.text());
    assert!(await_until(Instant::now() + PATIENCE, || server.ask("select 1", &[], PATIENCE).is_ok_and(|a| a.is_ok())));
    assert_eq!(told(&server, "select i from s", &kim), "2");
    assert!(told(&server, "select i from s", &in_session).contains("ACCESS_DENIED"), "nobody gets roles by a crash");
    told(&server, "set role default", &in_session);
    assert_eq!(told(&server, "select i from s", &in_session), "2");
    let wrong = [("user", "kim"), ("password", "k2"), ("query_mode", "table")];
    assert!(told(&server, "select 1", &wrong).contains("AUTHENTICATION_FAILED"));
}
