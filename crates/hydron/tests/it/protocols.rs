//! `hydron client` over the native port and over HTTP: the same statements, the same answers.

use crate::server::Server;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

struct Client {
    flags: Vec<String>,
}

impl Client {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hydron"));
        command.arg("client").args(&self.flags).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the client runs")
    }

    fn ask(&self, query: &str) -> String {
        let output = self.run(&["--query", query]);
        assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn feed(&self, query: &str, rows: &str) {
        let mut child = self.command(&["--query", query]).stdin(Stdio::piped()).spawn().expect("the client starts");
        child.stdin.take().expect("piped").write_all(rows.as_bytes()).expect("rows");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

const SETTING_AND_PARAMETERS: &str =
    "SELECT value, {x:string}, {n:uint8} + 1 FROM system.settings WHERE name = 'max_threads'";

#[test]
fn both_protocols_answer_alike() {
    let dir = tempfile::tempdir().unwrap();
    let (server, tcp_port) = Server::start_native(&dir.path().join("data"));
    let flags = |list: &[&str]| Client { flags: list.iter().map(|f| f.to_string()).collect() };
    let native = flags(&["--port", &tcp_port.to_string()]);
    let plain = flags(&["--port", &tcp_port.to_string(), "--no-compression"]);
    let http = flags(&["--http", "--port", &server.port.to_string()]);
    let file = dir.path().join("rows.csv");
    std::fs::write(&file, "7,u\n8,t\n").unwrap();
    for client in [&native, &plain, &http] {
        client.ask("CREATE STREAM t (a uint64, b string DEFAULT concat('b', to_string(a)))");
        client.ask("INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y')");
        client.feed("INSERT INTO t (a, b) FORMAT CSV", "3,z\n4,w\n");
        client.feed("INSERT INTO t FORMAT JSONEachRow", "{\"a\":5}\n{\"a\":6,\"b\":\"v\"}\n");
        let rows = client.ask("SELECT a, b FROM table(t) ORDER BY a FORMAT CSV");
        assert_eq!(rows, "1,\"x\"\n2,\"y\"\n3,\"z\"\n4,\"w\"\n5,\"b5\"\n6,\"v\"\n");
        let limited = "SELECT number FROM numbers(10) WHERE number < 4 LIMIT 2 FORMAT JSONCompact";
        assert!(client.ask(limited).contains("\"rows_before_limit_at_least\": "), "{}", client.ask(limited));
        let output = client.run(&["--max_threads=3", "--param_x=it's", "--param_n", "7", "-q", SETTING_AND_PARAMETERS]);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "3\tit\\'s\t8\n",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let infile = format!("INSERT INTO t (a, b) FROM INFILE '{}'; SELECT count() FROM table(t)", file.display());
        let output = client.run(&["--progress", "-q", &infile]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "8\n", "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stderr).contains("100 %"), "how much of the file was sent");
        let absent = client.run(&["-q", "INSERT INTO t FROM INFILE '/no/such.csv'"]);
        assert_eq!(absent.status.code(), Some(76), "{}", String::from_utf8_lossy(&absent.stderr));
        let json = client.ask("SELECT 1 AS x, [to_datetime('2024-01-01 00:00:00', 'UTC')] AS t FORMAT JSONEachRow");
        assert_eq!(json, "{\"x\":1,\"t\":[\"2024-01-01 00:00:00Z\"]}\n");
        let several = client.run(&["-n", "-q", "SET max_result_rows = 1; SELECT 1; SELECT number FROM numbers(5)"]);
        assert_eq!(several.status.code(), Some(396 % 256), "{}", String::from_utf8_lossy(&several.stderr));
        let wrong = client.run(&["--query", "SELECT x FROM nowhere"]);
        assert_eq!(wrong.status.code(), Some(60));
        assert!(String::from_utf8_lossy(&wrong.stderr).contains("UNKNOWN_STREAM"));
        let refused = client.run(&["--password", "wrong", "--query", "SELECT 1"]);
        assert_eq!(refused.status.code(), Some(516 % 256), "{}", String::from_utf8_lossy(&refused.stderr));
        client.ask("DROP STREAM t");
    }
}

#[test]
fn a_stream_is_printed_as_it_comes_and_ends_with_an_interrupt() {
    let dir = tempfile::tempdir().unwrap();
    let (server, tcp_port) = Server::start_native(&dir.path().join("data"));
    server.ask("CREATE STREAM t (a uint64)");
    let client = Client { flags: vec!["--port".into(), tcp_port.to_string()] };
    let mut tail = client.command(&["--query", "SELECT a FROM t FORMAT TSVWithNames"]).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    // The header comes when the query runs.
    assert_eq!(lines.next().unwrap().unwrap(), "a");
    for a in 1..4 {
        server.ask(&format!("INSERT INTO t (a) VALUES ({a})"));
        assert_eq!(lines.next().unwrap().unwrap(), a.to_string());
    }
    // SAFETY: signals a child that has not been waited for.
    unsafe { libc::kill(tail.id() as i32, libc::SIGINT) };
    assert_eq!(tail.wait().unwrap().code(), Some(394 % 256));
    assert_eq!(server.ask("SELECT count() FROM system.processes WHERE query LIKE 'SELECT a FROM t%'"), "0\n");
}

/// What a server says to a query that it refuses.
fn said(server: &Server, query: &str) -> String {
    server.try_ask(query, &[]).expect("the server answers").1
}

#[test]
fn a_server_reads_the_rows_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let (there, tcp_port) = Server::start_native(&dir.path().join("there"));
    let (here, _) = Server::start_native(&dir.path().join("here"));
    there.ask("create stream t (a int32, b string) engine = Memory");
    there.ask("insert into t values (1, 'x'), (2, 'y')");
    let at = format!("127.0.0.1:{tcp_port}");
    let rows = here.ask(&format!("select b, a from remote('{at}', default.t) order by a format CSV"));
    assert_eq!(rows, "\"x\",1\n\"y\",2\n");
    assert_eq!(here.ask(&format!("select count() from remote('{at},{at}', 'default', 't')")).trim(), "4");
    let rows = here.ask(&format!("select sum(number) from remote('{at}', numbers(1000)) where number % 2 = 0"));
    assert_eq!(rows.trim(), "249500");
    let missing = said(&here, &format!("select * from remote('{at}', default.nowhere)"));
    assert!(missing.contains("Code: 60.") && missing.contains(&at), "{missing}");
    let nobody = said(&here, "select * from remote('127.0.0.1:1', default.t)");
    assert!(nobody.contains("Code: 210."), "{nobody}");
}
