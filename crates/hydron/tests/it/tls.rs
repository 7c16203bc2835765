//! TLS: ports that speak it, clients that ask for it, and connections that outlive a worker.

use crate::server::{Server, command, free_port};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// A file of the test's certificate, which names `localhost` and 127.0.0.1 and is worth nothing.
fn pem(name: &str) -> String {
    let path = std::path::absolute(["tests/it/certificate", name].iter().collect::<PathBuf>()).expect("a path");
    path.to_str().expect("a text").to_string()
}

fn secure_settings(tcp: &str, https: &str) -> Vec<(&'static str, String)> {
    vec![
        ("tcp_port_secure", tcp.to_string()),
        ("https_port", https.to_string()),
        ("tls.certificate_file", pem("server.crt")),
        ("tls.private_key_file", pem("server.key")),
    ]
}

struct Secure {
    server: Server,
    tcp_port: u16,
    https_port: u16,
}

fn start(dir: &Path, more: &[(&str, &str)]) -> Secure {
    let (tcp_port, https_port) = (free_port(), free_port());
    let settings = secure_settings(&tcp_port.to_string(), &https_port.to_string());
    let mut all: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
    all.extend_from_slice(more);
    Secure { server: Server::start_with(dir, free_port(), &all), tcp_port, https_port }
}

impl Secure {
    fn client(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hydron"));
        command.args(["client", "--secure", "--port", &self.tcp_port.to_string()]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn ask(&self, query: &str) -> Output {
        self.client(&["--ca-file", &pem("server.crt"), "-q", query]).output().expect("the client runs")
    }

    fn children(&self) -> Vec<(i32, String)> {
        let pid = self.server.process.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let name = |p: &str| std::fs::read_to_string(format!("/proc/{p}/comm")).unwrap_or_default().trim().to_string();
        children.split_whitespace().filter_map(|p| Some((p.parse().ok()?, name(p)))).collect()
    }

    fn kill(&self, name: &str) {
        let found = self.children().into_iter().find(|(_, n)| n == name);
        // SAFETY: signals a process of this test's server.
        unsafe { libc::kill(found.expect("it runs").0, libc::SIGKILL) };
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_client_that_asks_for_tls_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let secure = start(&dir.path().join("data"), &[]);
    let output = secure.ask("SELECT sum(number) FROM numbers(1000000); SELECT repeat('x', 3)");
    assert_eq!(text(&output.stdout), "499999500000\nxxx\n", "{}", text(&output.stderr));
    let output = secure.client(&["--accept-invalid-certificate", "-q", "SELECT 1"]).output().unwrap();
    assert_eq!(text(&output.stdout), "1\n", "{}", text(&output.stderr));
    // Rows of some megabytes both ways.
    assert!(secure.ask("CREATE STREAM t (a uint64, s string)").status.success());
    let insert = ["--ca-file", &pem("server.crt"), "-q", "INSERT INTO t (a, s) FORMAT CSV"];
    let mut child = secure.client(&insert).stdin(Stdio::piped()).spawn().unwrap();
    let rows: String = (0..100_000).map(|i| format!("{i},row {i} of many\n")).collect();
    child.stdin.take().unwrap().write_all(rows.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = secure.ask("SELECT a, s FROM table(t) ORDER BY a FORMAT CSV");
    assert_eq!(text(&output.stdout).lines().count(), 100_000);
    assert!(text(&output.stdout).ends_with("99999,\"row 99999 of many\"\n"));
    // The benchmark speaks it too.
    let mut benchmark = Command::new(env!("CARGO_BIN_EXE_hydron"));
    benchmark.args(["benchmark", "--secure", "--port", &secure.tcp_port.to_string(), "--ca-file", &pem("server.crt")]);
    let output = benchmark.args(["-q", "SELECT 1", "-i", "20", "-c", "2", "--json", "-"]).output().unwrap();
    assert!(text(&output.stdout).contains("\"num_queries\":20"), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn the_client_speaks_https() {
    let dir = tempfile::tempdir().unwrap();
    let secure = start(&dir.path().join("data"), &[]);
    let client = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hydron"));
        command.args(["client", "--http", "--secure", "--port", &secure.https_port.to_string()]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let trusting = |more: &[&str]| client(&[&["--ca-file", &pem("server.crt")], more].concat());
    let output = trusting(&["-q", "CREATE STREAM t (a uint64, s string)"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut child =
        trusting(&["-q", "INSERT INTO t (a, s) FORMAT CSV"]).stdin(Stdio::piped()).spawn().expect("the client runs");
    let rows: String = (0..100_000).map(|i| format!("{i},row {i} of many\n")).collect();
    child.stdin.take().unwrap().write_all(rows.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = trusting(&["-q", "SELECT a, s FROM table(t) ORDER BY a FORMAT CSV"]).output().unwrap();
    assert_eq!(text(&output.stdout).lines().count(), 100_000);
    assert!(text(&output.stdout).ends_with("99999,\"row 99999 of many\"\n"));
    // Who is asked is judged as over the native port.
    let output = client(&["-q", "SELECT 1"]).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(454 % 256), "{said}");
    assert!(said.contains("certificate is not good") && said.contains("--ca-file"), "{said}");
    let output = client(&["--accept-invalid-certificate", "-q", "SELECT 1"]).output().unwrap();
    assert_eq!(text(&output.stdout), "1\n", "{}", text(&output.stderr));
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let secure = start(&dir.path().join("data"), &[]);
    let output = secure.client(&["-q", "SELECT 1"]).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(454 % 256), "{said}");
    assert!(said.contains("certificate is not good") && said.contains("--ca-file"), "{said}");
    // The right certificate under another name.
    let output =
        secure.client(&["--host", "127.0.0.2", "--ca-file", &pem("server.crt"), "-q", "SELECT 1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(210), "127.0.0.2 is not listened on: {}", text(&output.stderr));
    // A plain client at a TLS port, and the other way round.
    let output = Command::new(env!("CARGO_BIN_EXE_hydron"))
        .args(["client", "--port", &secure.tcp_port.to_string(), "-q", "SELECT 1"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let mut plain = Command::new(env!("CARGO_BIN_EXE_hydron"));
    plain.args(["client", "--secure", "--port", &secure.server.port.to_string(), "-q", "SELECT 1"]);
    let output = plain.output().unwrap();
    assert!(text(&output.stderr).contains("tcp_port_secure"), "{}", text(&output.stderr));
}

#[test]
fn a_certificate_that_cannot_be_used_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let start = |certificate: &str, key: &str| {
        let port = free_port();
        let mut command = command(&dir.path().join("data"), port);
        command.args(["--set", &format!("https_port={}", free_port())]);
        for (name, value) in [("certificate_file", certificate), ("private_key_file", key)] {
            if !value.is_empty() {
                command.args(["--set", &format!("tls.{name}={value}")]);
            }
        }
        let output = command.output().unwrap();
        assert!(!output.status.success());
        text(&output.stderr)
    };
    for (certificate, key, said) in [
        ("", "", "a TLS port is on, and tls.certificate_file is not set"),
        ("/no/such/file", "/no/such/file", "tls.certificate_file: cannot read /no/such/file"),
        (&pem("server.crt"), &pem("server.crt"), "tls.private_key_file"),
        (&pem("server.crt"), &pem("other.key"), "is not the key of the certificate"),
    ] {
        let text = start(certificate, key);
        assert!(text.contains(said) && text.contains("openssl req -x509"), "{certificate}, {key}: {text}");
    }
}

/// An HTTP client inside of TLS.
struct Https {
    child: Child,
}

impl Https {
    /// `openssl s_client` passes bytes on; `None` where there is none.
    fn connect(port: u16) -> Option<Https> {
        let child = Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_quiet", "-connect", &format!("127.0.0.1:{port}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Https { child })
    }

    fn ask(&mut self, query: &str) -> String {
        self.post("/", query)
    }

    fn post(&mut self, path: &str, query: &str) -> String {
        let request = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{query}", query.len());
        self.child.stdin.as_mut().unwrap().write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(self.child.stdout.as_mut().unwrap());
        let (mut status, mut length) = (String::new(), None);
        reader.read_line(&mut status).unwrap();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().ok();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = Vec::new();
        match length {
            Some(length) => drop(reader.take(length).read_to_end(&mut body)),
            None => loop {
                let mut size = String::new();
                reader.read_line(&mut size).unwrap();
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                let mut chunk = vec![0; size + 2];
                reader.read_exact(&mut chunk).unwrap();
                body.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    break;
                }
            },
        }
        format!("{}|{}", status.trim(), text(&body))
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_tls_connection_outlives_its_worker_and_hears_why_it_died() {
    let dir = tempfile::tempdir().unwrap();
    let secure = start(&dir.path().join("data"), &[("crash.allow_trap", "true"), ("crash_quarantine", "0")]);
    let (Some(mut idle), Some(mut victim)) = (Https::connect(secure.https_port), Https::connect(secure.https_port))
    else {
        eprintln!("skipped: there is no openssl");
        return;
    };
    assert_eq!(idle.ask("SELECT 1"), "HTTP/1.1 200 OK|1\n");
    let said = victim.ask("SELECT trap('read nullptr c++')");
    assert!(said.starts_with("HTTP/1.1 500") && said.contains("SERVER_CRASHED"), "{said}");
    // Both go on, on the same connections.
    assert_eq!(idle.ask("SELECT 2"), "HTTP/1.1 200 OK|2\n");
    assert_eq!(victim.ask("SELECT 3"), "HTTP/1.1 200 OK|3\n");
    // So does a stream's client: it hears, in its last chunk.
    let output = secure.ask("SELECT trap('abort')");
    assert!(text(&output.stderr).contains("SERVER_CRASHED"), "{}", text(&output.stderr));
}

#[test]
fn rest_inside_of_tls_knows_what_was_begun_outside() {
    let dir = tempfile::tempdir().unwrap();
    let (rest, secure_rest) = (free_port(), free_port());
    let (plain, inside) = (rest.to_string(), secure_rest.to_string());
    let settings = [("rest_port", plain.as_str()), ("rest_port_secure", inside.as_str())];
    let secure = start(&dir.path().join("data"), &settings);
    secure.server.ask("CREATE STREAM t (a int32)");
    let agent = ureq::Agent::new_with_defaults();
    let mut answer = agent
        .post(format!("http://127.0.0.1:{rest}/proton/v1/ingest/streams/t"))
        .send(r#"{"columns": ["a"], "data": [[1]]}"#)
        .unwrap();
    let begun: serde_json::Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    let Some(mut client) = Https::connect(secure_rest) else {
        eprintln!("skipped: there is no openssl");
        return;
    };
    let asked = serde_json::json!({"channel": begun["channel"], "poll_ids": [begun["poll_id"]]}).to_string();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = client.post("/timeplusd/v1/ingest/statuses", &asked);
        assert!(status.starts_with("HTTP/1.1 200 OK|") && !status.contains("Unknown"), "{status}");
        if status.contains("Succeeded") {
            break;
        }
        assert!(Instant::now() < deadline, "{status}");
    }
}

#[test]
fn the_client_is_known_by_its_own_address() {
    let dir = tempfile::tempdir().unwrap();
    let users = dir.path().join("users.yaml");
    std::fs::write(
        &users,
        "users: {near: {password: a1!, networks: {ip: 127.0.0.1}}, far: {password: a1!, networks: {ip: 10.0.0.0/8}}}",
    )
    .unwrap();
    let secure = start(&dir.path().join("data"), &[("users_config", users.to_str().unwrap())]);
    let ask = |user: &str| {
        let flags = ["--ca-file", &pem("server.crt"), "-u", user, "--password", "a1!"];
        let query = "SELECT address FROM system.processes WHERE query LIKE '%processes%'";
        secure.client(&flags).args(["-q", query]).output().unwrap()
    };
    let near = ask("near");
    assert_eq!(text(&near.stdout), "127.0.0.1\n", "{}", text(&near.stderr));
    assert_eq!(ask("far").status.code(), Some(195), "it may not come from here");
    // The inside of a TLS port is for the door alone.
    let worker = secure.children().into_iter().find(|(_, name)| name == "worker").expect("a worker").0;
    let sockets = std::fs::read_to_string(format!("/proc/{worker}/net/tcp")).unwrap();
    let known = [secure.server.port, secure.tcp_port, secure.https_port];
    let inside = sockets.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _, state, ..) = (fields.next()?, fields.next()?, fields.next()?);
        let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        let inode = line.split_whitespace().nth(9)?;
        let ours = std::fs::read_dir(format!("/proc/{worker}/fd")).ok()?.flatten().any(|fd| {
            std::fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy() == format!("socket:[{inode}]"))
        });
        (state == "0A" && ours && !known.contains(&port)).then_some(port)
    });
    let inside: Vec<u16> = inside.collect();
    assert_eq!(inside.len(), 2, "{inside:?}");
    for port in inside {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = socket.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n");
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{}", text(&answer));
    }
}

#[test]
fn a_door_that_dies_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let secure = start(&dir.path().join("data"), &[]);
    assert!(secure.ask("SELECT 1").status.success());
    secure.kill("door");
    // Plain ports go on, and a TLS client waits in the queue of its port.
    assert_eq!(secure.server.ask("SELECT 1"), "1\n");
    let begun = Instant::now();
    while !secure.ask("SELECT 1").status.success() {
        assert!(begun.elapsed() < PATIENCE, "the door is back");
    }
}

#[test]
fn who_does_not_shake_hands_is_shown_out() {
    let dir = tempfile::tempdir().unwrap();
    let secure = start(&dir.path().join("data"), &[]);
    let mut silent = TcpStream::connect(("127.0.0.1", secure.https_port)).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let begun = Instant::now();
    let mut byte = [0];
    assert!(matches!(silent.read(&mut byte), Ok(0) | Err(_)));
    assert!((8..20).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}
