//! SIGHUP, SIGQUIT, a worker that hangs, a supervisor that is killed.

use crate::{alone, binary};
use hydron_crashbench::client::Connection;
use hydron_crashbench::process::{self, Watched, await_until};
use hydron_crashbench::server::Server;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn sighup_keeps_process_connections_and_queries() {
    let alone = alone();
    let server = alone.start(&[]);
    let worker = server.find_worker().unwrap();
    let mut connection = Connection::open(server.port, PATIENCE).unwrap();
    assert!(connection.ask("select 1", &[], PATIENCE).is_ok());
    process::signal(server.pid(), libc::SIGHUP);
    for _ in 0..20 {
        assert!(connection.ask("select 1", &[], PATIENCE).is_ok() && connection.is_usable);
    }
    assert_eq!(server.find_worker(), Some(worker));
}

#[test]
fn sigquit_writes_the_stacks_of_all_threads_and_the_server_goes_on() {
    let alone = alone();
    let server = alone.start(&[]);
    let worker = server.find_worker().unwrap();
    process::signal(server.pid(), libc::SIGQUIT);
    // Threads that every worker has, by name.
    let has_stacks = || ["io", "stop"].iter().all(|name| alone.said().contains(name));
    assert!(await_until(Instant::now() + PATIENCE, has_stacks), "{}", alone.said());
    assert_eq!(server.must("select 1").unwrap(), "1");
    assert_eq!(server.find_worker(), Some(worker));
}

#[test]
fn a_worker_that_hangs_is_replaced_within_ten_seconds() {
    let alone = alone();
    let server = alone.start(&[]);
    server.must("create stream s (i int32)").unwrap();
    server.must("insert into s (i) values (7)").unwrap();
    let worker = server.find_worker().unwrap();
    let since = Instant::now();
    process::signal(worker, libc::SIGSTOP);
    let watched = Watched::open(worker).unwrap();
    assert!(watched.ended_by(since + Duration::from_secs(10)).is_some(), "the worker that hangs was left alone");
    let answer = server.ask("select i from table(s)", &[], PATIENCE).unwrap();
    assert_eq!(answer.text(), "7");
    assert!(since.elapsed() <= Duration::from_secs(10), "it took {:?}", since.elapsed());
}

#[test]
fn a_supervisor_that_is_killed_takes_everything_down_and_leaves_the_rows() {
    let alone = alone();
    let mut server = alone.start(&[]);
    server.must("create stream s (i int32)").unwrap();
    server.must("insert into s (i) values (7)").unwrap();
    let workers: Vec<Watched> = server.workers().into_iter().map(|pid| Watched::open(pid).unwrap()).collect();
    process::signal(server.pid(), libc::SIGKILL);
    let deadline = Instant::now() + Duration::from_secs(1);
    assert!(server.ended_by(deadline).is_some());
    let left = workers.iter().filter(|w| w.ended_by(deadline).is_none()).count();
    assert_eq!(left, 0, "processes that outlive their supervisor");
    let server = Server::start(binary(), alone.dir.path(), &[]).unwrap();
    assert_eq!(server.must("select i from table(s)").unwrap(), "7");
}
