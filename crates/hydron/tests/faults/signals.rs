//! SIGHUP, SIGQUIT, a worker that hangs, a supervisor that is killed.

use crate::{alone, binary};
use hydron_crashbench::client::Connection;
use hydron_crashbench::process::{self, Watched, await_until};
use hydron_crashbench::server::Server;
use std::path::Path;
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
fn sighup_reads_the_configuration_again_and_begins_a_new_log_file() {
    let alone = alone();
    let dir = alone.dir.path();
    let (config, log, moved) = (dir.join("config.yaml"), dir.join("server.log"), dir.join("server.log.1"));
    let write = |level: &str| {
        let text = format!("logger:\n  level: {level}\n  log: {}\n", log.display());
        std::fs::write(&config, text).unwrap();
    };
    write("error");
    let server = alone.start(&["--config-file", &config.display().to_string()]);
    server.must("select 1").unwrap();
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "", "nothing is an error");
    std::fs::rename(&log, &moved).unwrap();
    write("trace");
    process::signal(server.pid(), libc::SIGHUP);
    let is_logged = || {
        server.must("select 1").unwrap();
        std::fs::read_to_string(&log).is_ok_and(|text| !text.is_empty())
    };
    assert!(await_until(Instant::now() + PATIENCE, is_logged), "{}", alone.said());
    assert_eq!(std::fs::read_to_string(&moved).unwrap(), "", "the old file is not written to any more");
}

/// Whether `me` comes in with this password.
fn comes_in(server: &Server, password: &str) -> bool {
    let parameters = [("user", "me"), ("password", password)];
    let answer = server.ask("select 1", &parameters, PATIENCE).unwrap();
    let refused = answer.outcome.error().is_some_and(|e| e.name == "AUTHENTICATION_FAILED");
    assert!(answer.is_ok() || refused, "{}: {}", answer.outcome.label(), answer.text());
    answer.is_ok()
}

#[test]
fn sighup_reads_the_users_again_and_keeps_them_when_their_file_is_faulty() {
    let alone = alone();
    let (users, log) = (alone.dir.path().join("users.yaml"), alone.dir.path().join("server.log"));
    let write = |text: &str| std::fs::write(&users, text).unwrap();
    write("users: {me: {password: first}, default: {password: ''}}");
    let flags = [format!("users_config={}", users.display()), format!("logger.log={}", log.display())];
    let server = alone.start(&["--set", &flags[0], "--set", &flags[1]]);
    assert!(comes_in(&server, "first") && !comes_in(&server, "second"));

    write("users: {me: {password: second}, default: {password: ''}}");
    process::signal(server.pid(), libc::SIGHUP);
    assert!(await_until(Instant::now() + PATIENCE, || comes_in(&server, "second")), "{}", alone.said());
    assert!(!comes_in(&server, "first"));

    write("users: {me: {pasword: third}}");
    process::signal(server.pid(), libc::SIGHUP);
    let is_told = || std::fs::read_to_string(&log).unwrap_or_default().contains("the users are kept as they were");
    assert!(await_until(Instant::now() + PATIENCE, is_told), "{}", alone.said());
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("CONFIG_ERROR") && said.contains("there is no password"), "{said}");
    assert!(comes_in(&server, "second"));

    // A worker that starts meanwhile has them too.
    let worker = server.find_worker().unwrap();
    process::signal(worker, libc::SIGKILL);
    assert!(Watched::open(worker).is_ok_and(|w| w.ended_by(Instant::now() + PATIENCE).is_some()));
    assert!(comes_in(&server, "second"));
}

/// What stands in the files of stacks.
fn stacks(data: &Path) -> String {
    let files = std::fs::read_dir(data.join("crash")).into_iter().flatten().flatten();
    let of_stacks = files.filter(|f| f.file_name().to_string_lossy().starts_with("stacks-"));
    of_stacks.filter_map(|f| std::fs::read_to_string(f.path()).ok()).collect()
}

#[test]
fn sigquit_writes_the_stacks_of_all_threads_and_the_server_goes_on() {
    let alone = alone();
    let server = alone.start(&[]);
    let worker = server.find_worker().unwrap();
    let names = process::thread_names(worker);
    assert!(names.len() > 1, "{names:?}");
    process::signal(server.pid(), libc::SIGQUIT);
    let written = || stacks(&server.data());
    let has_all = || names.iter().all(|name| written().contains(&format!("'{name}'")));
    assert!(await_until(Instant::now() + PATIENCE, has_all), "{names:?}\n{}\n{}", written(), alone.said());
    // Deep enough to name what the runtime waits in.
    assert!(written().contains("tokio"), "{}", written());
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
