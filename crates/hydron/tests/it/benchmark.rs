//! `hydron benchmark` against a server: what it counts, how it ends.

use crate::server::Server;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn benchmark(port: u16, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hydron"));
    command.args(["benchmark", "--port", &port.to_string()]).args(flags);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(port: u16, flags: &[&str], statements: &str) -> Output {
    let mut child = benchmark(port, flags).spawn().expect("it starts");
    child.stdin.take().expect("piped").write_all(statements.as_bytes()).expect("statements");
    child.wait_with_output().expect("it ends")
}

fn figures(output: &Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let all: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    all.as_object().and_then(|o| o.values().next()).cloned().expect("one server")
}

#[test]
fn statements_are_run_as_often_as_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (server, port) = Server::start_native(&dir.path().join("data"));
    server.ask("CREATE STREAM t (a uint64)");
    let output = run(port, &["-i", "60", "-c", "3", "--json", "-"], "INSERT INTO t (a) VALUES (1), (2)\nSELECT 1\n");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let figures = figures(&output);
    assert_eq!((&figures["statistics"]["num_queries"], &figures["statistics"]["num_errors"]), (&60.into(), &0.into()));
    let time = |percent: &str| figures["query_time_percentiles"][percent].as_f64().unwrap();
    assert!(0.0 < time("0") && time("0") <= time("50") && time("50") <= time("99.99"), "{figures}");
    assert_eq!(server.ask("SELECT count() FROM table(t)"), "60\n", "one statement after the other");
    // What was read and what came back is counted.
    let flags = ["-q", "SELECT a FROM table(t)", "-i", "10", "--setting", "max_threads=1", "--reconnect"];
    let text = String::from_utf8(run(port, &flags, "").stdout).unwrap();
    let rate = |name: &str| {
        let rest = text.split(&format!(" {name}: ")).nth(1).unwrap_or_else(|| panic!("no {name} in {text}"));
        rest.split([',', ' ']).next().and_then(|n| n.parse::<f64>().ok()).unwrap()
    };
    assert!(rate("QPS") > 0.0 && (rate("RPS") / rate("QPS") - 60.0).abs() < 0.01, "{text}");
    assert!((rate("result RPS") / rate("QPS") - 60.0).abs() < 0.01, "{text}");
    assert!(text.contains("\n99.990%\t\t"), "{text}");
}

#[test]
fn errors_are_counted_and_end_it_unless_they_may_not() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, port) = Server::start_native(&dir.path().join("data"));
    let statements = "SELECT x FROM nowhere;\nSELECT 1;";
    let output = run(port, &["-i", "10"], statements);
    assert_eq!(output.status.code(), Some(60));
    assert!(String::from_utf8_lossy(&output.stderr).contains("UNKNOWN_STREAM"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("error 60 (UNKNOWN_STREAM): 1\n"));
    let output = run(port, &["-i", "10", "--continue-on-errors", "--json", "-"], statements);
    assert_eq!(output.status.code(), Some(60), "an error is one all the same");
    let figures = figures(&output);
    assert_eq!((&figures["statistics"]["num_queries"], &figures["errors"]["60"]), (&5.into(), &5.into()));
    let refused = run(port, &["-q", "SELECT 1", "--password", "wrong"], "");
    assert_eq!(refused.status.code(), Some(516 % 256));
    let nothing = run(port, &[], "\n");
    assert_eq!(nothing.status.code(), Some(36), "{}", String::from_utf8_lossy(&nothing.stderr));
}

#[test]
fn it_ends_with_its_report_when_time_is_up_and_when_it_is_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let (server, port) = Server::start_native(&dir.path().join("data"));
    server.ask("CREATE STREAM t (a uint64)");
    let begun = Instant::now();
    let output = run(port, &["-q", "SELECT 1", "-t", "0.5", "--json", "-"], "");
    assert!(begun.elapsed() >= Duration::from_millis(500) && begun.elapsed() < Duration::from_secs(20));
    assert!(figures(&output)["statistics"]["num_queries"].as_u64().unwrap() > 0);
    // A query without end beside short ones: it is in no figure, and does not go on.
    let flags = ["-q", "SELECT a FROM t", "-q", "SELECT 1", "-c", "2", "--delay", "0.1", "--cumulative"];
    let mut child = benchmark(port, &flags).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("Statements begun: ")), "a report meanwhile");
    // SAFETY: signals a child that has not been waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    std::thread::spawn(move || lines.for_each(drop));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("QPS: "));
    assert_eq!(server.ask("SELECT count() FROM system.processes WHERE query = 'SELECT a FROM t'"), "0\n");
}
