//! `hydron client` with statements from a pipe.

use crate::server::Server;
use std::io::Write;
use std::process::{Command, Output, Stdio};

fn client(port: u16, flags: &[&str], script: &str) -> Output {
    run(&["--http", "--port", &port.to_string()], flags, script)
}

fn run(to: &[&str], flags: &[&str], script: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hydron"));
    command.arg("client").args(to).args(flags);
    let mut process =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the client starts");
    process.stdin.take().expect("piped").write_all(script.as_bytes()).expect("the client reads");
    process.wait_with_output().expect("the client ends")
}

#[test]
fn a_script_keeps_its_session_and_ends_at_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    let script = "create stream s (i int32); insert into s (i) values (1), (2);
        set query_mode = 'table'; select i from s order by i; select missing from s; select 3";
    let output = client(server.port, &["--multiquery"], script);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n2\n");
    assert_eq!(output.status.code(), Some(47), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("UNKNOWN_IDENTIFIER"));
    // A setting of the command line holds too, until the script changes it.
    let script = "select [1.5]; set output_format_decimal_trailing_zeros = 0; select to_decimal32(1, 2)";
    let output = client(server.port, &["--setting", "output_format_decimal_trailing_zeros=1"], script);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "[1.5]\n1\n");
}

#[test]
fn a_test_script_says_which_errors_it_wants() {
    let dir = tempfile::tempdir().unwrap();
    let (server, tcp_port) = Server::start_native(&dir.path().join("data"));
    let script = "select missing; -- { serverError 47 }\n-- { echoOn }\nselect 2; -- two\n-- { echoOff }\nselect 3;\n";
    let (http_port, tcp_port) = (server.port.to_string(), tcp_port.to_string());
    for to in [&["--http", "--port", &http_port][..], &["--port", &tcp_port]] {
        let output = run(to, &["--testmode", "--multiquery"], script);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "-- { echoOn }\nselect 2; -- two\n2\n3\n");
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
        let output = run(to, &["--testmode"], "select 1; -- { serverError 47 }");
        assert_ne!(output.status.code(), Some(0), "an error that does not come is one");
    }
}

#[test]
fn a_query_that_fails_before_its_first_row_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, tcp_port) = Server::start_native(&dir.path().join("data"));
    let to = ["--port", &tcp_port.to_string()];
    let output = run(&to, &[], "select * from numbers(9) format JSON settings max_result_rows = 1");
    assert_eq!((String::from_utf8_lossy(&output.stdout).as_ref(), output.status.success()), ("", false));
    let output = run(&to, &[], "select number from numbers(9) where number > 9 format TSVWithNames");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "number\n");
}

#[test]
fn text_that_reads_as_an_error_is_an_answer_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    let output = client(server.port, &[], "select 'Code: 62. DB::Exception: not really. (SYNTAX_ERROR)'");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Code: 62. DB::Exception: not really. (SYNTAX_ERROR)\n");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    // An error behind the first rows stands on standard error alone.
    let script = "select throw_if(number = 5) from numbers(10) settings max_block_size = 1";
    let output = client(server.port, &[], script);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n0\n0\n0\n0\n");
    assert_ne!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("DB::Exception"));
}
