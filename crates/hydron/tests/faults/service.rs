//! `--daemon`: the command returns when the ports answer, or says why they do not.

use crate::{alone, binary};
use hydron_crashbench::client::ask;
use hydron_crashbench::process::{self, Watched};
use hydron_crashbench::server::{command, free_port};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the command until it returns.
fn daemon(dir: &Path, port: u16) -> Output {
    let flags = ["--daemon".to_string(), "--pid-file".to_string(), dir.join("pid").display().to_string()];
    command(binary(), dir, port, &flags).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap()
}

#[test]
fn a_daemon_answers_as_soon_as_its_command_returns() {
    let alone = alone();
    let port = free_port().unwrap();
    let output = daemon(alone.dir.path(), port);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(ask(port, "select 1", &[], PATIENCE).unwrap().is_ok());
    let pid: i32 = std::fs::read_to_string(alone.dir.path().join("pid")).unwrap().trim().parse().unwrap();
    let watched = Watched::open(pid).unwrap();
    process::signal(pid, libc::SIGTERM);
    assert!(watched.ended_by(Instant::now() + PATIENCE).is_some(), "the daemon does not stop");
}

#[test]
fn the_unit_is_one_that_systemd_understands_and_calls_safe() {
    let unit = Path::new("../../packaging/hydron.service");
    let text = std::fs::read_to_string(unit).unwrap().replace("/usr/bin/hydron", &binary().display().to_string());
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("hydron.service");
    std::fs::write(&unit, text).unwrap();
    let analyze = |arguments: &[&str]| Command::new("systemd-analyze").args(arguments).arg(&unit).output();
    let Ok(verified) = analyze(&["verify"]) else { return eprintln!("there is no systemd here: nothing was verified") };
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !said.contains("hydron.service"), "{said}");
    // Tenths; systemd calls up to 3.0 "ok", and half of what is left is that it has sockets at all.
    let rated = analyze(&["security", "--offline=yes", "--no-pager", "--threshold=30"]).unwrap();
    assert!(rated.status.success(), "{}", String::from_utf8_lossy(&rated.stdout));
}

#[test]
fn a_daemon_that_cannot_start_says_why() {
    let alone = alone();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = daemon(alone.dir.path(), taken.local_addr().unwrap().port());
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("NETWORK_ERROR"), "{said}");
}
