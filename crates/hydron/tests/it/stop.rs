//! Starting and stopping: exit codes, deadlines, the lock of the directory.

use crate::server::{Server, command, free_port};
use std::time::{Duration, Instant};

#[test]
fn sigterm_ends_an_idle_server_at_once_with_code_0() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(&dir.path().join("data"));
    server.ask("select 1");
    let started = Instant::now();
    server.signal(libc::SIGTERM);
    let status = server.process.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(3), "it took {:?}", started.elapsed());
}

#[test]
fn sigint_ends_running_streams_and_keeps_their_rows() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let port = free_port();
    let mut server = Server::start_on(&data, port);
    server.ask("create stream s (i int32)");
    server.ask("insert into s (i) values (1), (2)");
    let reader = std::thread::spawn(move || {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let agent: ureq::Agent = config.into();
        let response = agent
            .post(format!("http://127.0.0.1:{port}/"))
            .query("query_mode", "streaming")
            .send("select i from s settings seek_to = 'earliest'");
        response.and_then(|mut r| r.body_mut().read_to_string()).unwrap_or_default()
    });
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.ask("select count() from system.processes where is_streaming = 1 and read_rows = 2").trim() != "1" {
        assert!(Instant::now() < deadline, "the query did not start");
    }
    server.signal(libc::SIGINT);
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
    let text = reader.join().unwrap();
    assert!(text.starts_with("1\n2\n"), "{text}");
    let server = Server::start(&data);
    assert_eq!(server.ask("select sum(i) from table(s)").trim(), "3");
}

#[test]
fn a_second_server_on_the_directory_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let _first = Server::start(&data);
    let output = command(&data, free_port()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("CANNOT_OPEN_FILE") && said.contains("already running"), "{said}");
    assert_eq!(output.status.code(), Some(76));
}

#[test]
fn a_taken_port_is_refused_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let output = command(&dir.path().join("data"), taken.local_addr().unwrap().port()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("NETWORK_ERROR") && said.contains("--http-port"), "{said}");
    assert!(!output.status.success());
}
