//! The HTTP interface as its clients meet it: real sockets, a real engine.

use super::{HttpOptions, serve};
use hydron_engine::{Engine, EngineOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

// Nothing here takes long; a test that waits for this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) engine: Engine,
    runtime: Runtime,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Server {
        Server::with(HttpOptions::default())
    }

    pub(crate) fn with(options: HttpOptions) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(EngineOptions { cpu_threads: 2, ..EngineOptions::at(dir.path()) }).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let entered = runtime.enter();
        let served = serve(engine.clone(), listener, options, stop.clone()).unwrap();
        drop(entered);
        runtime.spawn(served);
        Server { address, engine, runtime, stop, _dir: dir }
    }

    pub(crate) fn connect(&self) -> Client {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Client { reader: BufReader::new(socket) }
    }

    /// POST of `body` to `target` on a connection of its own.
    pub(crate) fn post(&self, target: &str, body: &[u8]) -> Answer {
        self.request("POST", target, &[], body)
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.request("GET", target, &[], b"")
    }

    pub(crate) fn request(&self, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut client = self.connect();
        client.send(method, target, headers, Some(body.len()));
        client.write(body);
        client.answer(method == "HEAD")
    }

    /// Waits until no query runs.
    pub(crate) fn wait_idle(&self) {
        let running = self.engine.queries().running();
        let all = async {
            for query in running {
                query.wait_ended().await;
            }
        };
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, all).await }).expect("queries end in time");
        assert!(self.engine.queries().running().is_empty());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) struct Client {
    pub(crate) reader: BufReader<TcpStream>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).unwrap();
    }

    /// Writes the head of a request; `None`: the body comes in chunks.
    pub(crate) fn send(&mut self, method: &str, target: &str, headers: &[&str], length: Option<usize>) {
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\n");
        headers.iter().for_each(|h| head.push_str(&format!("{h}\r\n")));
        match length {
            Some(length) => head.push_str(&format!("content-length: {length}\r\n\r\n")),
            None => head.push_str("transfer-encoding: chunked\r\n\r\n"),
        }
        self.write(head.as_bytes());
    }

    pub(crate) fn send_chunk(&mut self, bytes: &[u8]) {
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.write(&chunk);
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end().to_string()
    }

    pub(crate) fn head(&mut self) -> (u16, Vec<(String, String)>) {
        let status = self.line();
        let status =
            status.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("no status: {status:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            match line.split_once(": ") {
                Some((name, value)) => headers.push((name.to_lowercase(), value.to_string())),
                None => return (status, headers),
            }
        }
    }

    /// One chunk of the body; empty at the end.
    pub(crate) fn chunk(&mut self) -> Vec<u8> {
        let length = usize::from_str_radix(&self.line(), 16).unwrap();
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes).unwrap();
        self.line();
        bytes
    }

    pub(crate) fn answer(&mut self, head_only: bool) -> Answer {
        let (status, headers) = self.head();
        let mut answer = Answer { status, headers, body: Vec::new() };
        if head_only {
            return answer;
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let chunk = self.chunk();
                if chunk.is_empty() {
                    return answer;
                }
                answer.body.extend_from_slice(&chunk);
            }
        }
        let length = answer.header("content-length").map_or(0, |l| l.parse().unwrap());
        answer.body.resize(length, 0);
        self.reader.read_exact(&mut answer.body).unwrap();
        answer
    }
}

#[test]
fn health_and_other_paths() {
    let server = Server::start();
    assert_eq!(server.get("/ping").text(), "Ok.\n");
    assert_eq!(server.get("/").text(), "Ok.\n");
    assert_eq!(server.get("/proton/ping").text(), r#"{"status":"UP"}"#);
    assert!(server.get("/metrics").text().contains("hydron_queries_running 0\n"));
    assert_eq!(server.request("HEAD", "/ping", &[], b"").status, 200);
    assert_eq!(server.request("OPTIONS", "/", &[], b"").status, 204);
    assert_eq!(server.request("DELETE", "/", &[], b"").status, 405);
    assert_eq!(server.get("/nowhere").status, 404);
}

#[test]
fn a_query_stands_in_the_url_the_body_or_both() {
    let server = Server::start();
    let query = "SELECT number FROM numbers(3)";
    let expected = "0\n1\n2\n";
    assert_eq!(server.get(&format!("/?query={}", query.replace(' ', "+"))).text(), expected);
    assert_eq!(server.post("/", query.as_bytes()).text(), expected);
    assert_eq!(server.post("/?query=SELECT+number", b"FROM numbers(3)").text(), expected);
    let answer = server.post("/?query_id=q1&default_format=JSONEachRow", query.as_bytes());
    assert!(answer.text().starts_with("{\"number\":\"0\"}\n"), "{}", answer.text());
    assert_eq!(answer.header("x-clickhouse-query-id"), Some("q1"));
    assert_eq!(answer.header("x-timeplus-format"), Some("JSONEachRow"));
    assert_eq!(answer.header("x-clickhouse-timezone"), Some("UTC"));
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson; charset=UTF-8"));
    assert!(answer.header("x-clickhouse-summary").is_some_and(|s| s.starts_with("{\"read_rows\":")));
}

#[test]
fn errors_have_status_code_and_position() {
    let server = Server::start();
    let answer = server.post("/", b"SELECT (1");
    assert_eq!((answer.status, answer.header("x-clickhouse-exception-code")), (400, Some("62")));
    assert!(
        answer.text().contains("Code: 62. DB::Exception:") && answer.text().contains("(line 1, column "),
        "{}",
        answer.text()
    );
    assert_eq!(server.post("/", b"SELECT x FROM no_such_stream").status, 404);
    assert_eq!(server.post("/", b"SELECT 1 FORMAT NoSuchFormat").header("x-timeplus-exception-code"), Some("73"));
    assert_eq!(server.post("/?no_such_setting=1", b"SELECT 1").header("x-clickhouse-exception-code"), Some("115"));
    assert_eq!(server.post("/", b"").status, 400);
    let wrong = server.post("/?user=default&password=x", b"SELECT 1");
    assert_eq!((wrong.status, wrong.header("x-proton-exception-code")), (403, Some("516")));
    server.post("/", b"CREATE STREAM t (x uint64)");
    let answer = server.get("/?query=INSERT+INTO+t+VALUES+(1)");
    assert_eq!(answer.header("x-clickhouse-exception-code"), Some("164"), "{}", answer.text());
    let answer = server.post("/?query=INSERT+INTO+t+FORMAT+CSV", b"1\nx\n");
    assert!(answer.text().contains("row 2") && answer.text().contains("'x'"), "{}", answer.text());
    assert_eq!((answer.status, answer.header("x-clickhouse-exception-code")), (400, Some("27")));
}

#[test]
fn an_error_after_the_first_byte_stands_in_the_body() {
    let server = Server::start();
    let answer = server.post("/?max_block_size=1", b"SELECT throw_if(number = 7, 'late') FROM numbers(10)");
    assert!(answer.text().contains("Code: 395."), "{}", answer.text());
    // With the whole result awaited it is a status.
    let answer =
        server.post("/?max_block_size=1&wait_end_of_query=1", b"SELECT throw_if(number = 7, 'late') FROM numbers(10)");
    assert_eq!((answer.status, answer.header("x-clickhouse-exception-code")), (500, Some("395")));
}

#[test]
fn a_streaming_answer_arrives_while_the_query_runs_and_ends_with_its_client() {
    let server = Server::start();
    assert_eq!(server.post("/", b"CREATE STREAM t (x uint64)").status, 200);
    let mut tail = server.connect();
    tail.send("GET", "/?query=SELECT+x+FROM+t&query_mode=streaming&default_format=CSVWithNames", &[], Some(0));
    let (status, _) = tail.head();
    assert_eq!(status, 200);
    assert_eq!(tail.chunk(), b"\"x\"\n");
    for x in 1..4 {
        assert_eq!(server.post("/", format!("INSERT INTO t (x) VALUES ({x})").as_bytes()).status, 200);
        assert_eq!(tail.chunk(), format!("{x}\n").as_bytes());
    }
    assert_eq!(server.engine.queries().running().len(), 1);
    tail.reader.get_ref().shutdown(Shutdown::Both).unwrap();
    server.wait_idle();
}

#[test]
fn a_client_that_leaves_before_the_first_byte_ends_its_query_too() {
    let server = Server::start();
    let mut client = server.connect();
    let query = b"SELECT sum(number) FROM numbers(1000000000000)";
    client.send("POST", "/", &[], Some(query.len()));
    client.write(query);
    let deadline = Instant::now() + PATIENCE;
    while server.engine.queries().running().is_empty() {
        assert!(Instant::now() < deadline, "the query does not start");
        std::thread::yield_now();
    }
    drop(client);
    server.wait_idle();
}

#[test]
fn data_of_an_insert_is_read_as_it_comes() {
    let server = Server::start();
    server.post("/", b"CREATE STREAM t (x uint64)");
    let mut tail = server.connect();
    tail.send("GET", "/?query=SELECT+x+FROM+t&query_mode=streaming", &[], Some(0));
    assert_eq!(tail.head().0, 200);
    // Query and data in one body, in pieces of three bytes.
    let mut insert = server.connect();
    insert.send("POST", "/?max_insert_block_size=2", &[], None);
    for piece in b"INSERT INTO t (x) FORMAT JSONEachRow {\"x\":1}\n{\"x\":2}\n{\"x\":3}\n".chunks(3) {
        insert.send_chunk(piece);
    }
    // The first two rows are there although the body goes on.
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.extend(tail.chunk());
    }
    assert_eq!(seen, b"1\n2\n");
    insert.send_chunk(b"{\"x\":4}");
    insert.send_chunk(b"");
    assert_eq!(insert.answer(false).status, 200);
    while seen.len() < 8 {
        seen.extend(tail.chunk());
    }
    assert_eq!(seen, b"1\n2\n3\n4\n");
    // The query in the URL, the data in the body.
    assert_eq!(server.post("/?query=INSERT+INTO+t+(x)+VALUES", b"(5), (6)").status, 200);
    while seen.len() < 12 {
        seen.extend(tail.chunk());
    }
    assert_eq!(seen, b"1\n2\n3\n4\n5\n6\n");
}

#[test]
fn a_client_that_still_sends_gets_its_error() {
    let server = Server::start();
    server.post("/", b"CREATE STREAM t (x uint64)");
    let rows = format!("wrong\n{}", "1\n".repeat(4 << 20));
    for _ in 0..5 {
        let answer = server.post("/?query=INSERT+INTO+t+FORMAT+CSV", rows.as_bytes());
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains("row 1") && answer.text().contains("'wrong'"), "{}", answer.text());
    }
}

#[test]
fn bodies_are_compressed_both_ways() {
    use flate2::Compression;
    use flate2::read::GzDecoder;
    use flate2::write::GzEncoder;
    let server = Server::start();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(b"SELECT number FROM numbers(5000)").unwrap();
    let body = gzip.finish().unwrap();
    let headers = ["content-encoding: gzip", "accept-encoding: gzip"];
    let answer = server.request("POST", "/?enable_http_compression=1", &headers, &body);
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    GzDecoder::new(answer.body.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 5_000);
    assert!(text.ends_with("4999\n"));
    let plain = server.request("POST", "/", &["accept-encoding: gzip"], b"SELECT 1");
    assert_eq!(plain.header("content-encoding"), None);
    let broken = server.request("POST", "/", &["content-encoding: gzip"], b"SELECT 1");
    assert_eq!(broken.header("x-clickhouse-exception-code"), Some("272"));
}

#[test]
fn a_session_keeps_settings_for_one_query_at_a_time() {
    let server = Server::start();
    assert_eq!(
        server.post("/?session_id=s&session_check=1", b"SELECT 1").header("x-clickhouse-exception-code"),
        Some("372")
    );
    assert_eq!(server.post("/?session_id=s", b"SET default_format = 'JSONEachRow'").status, 200);
    assert_eq!(server.post("/?session_id=s", b"SELECT number FROM numbers(1)").text(), "{\"number\":\"0\"}\n");
    assert_eq!(server.post("/", b"SELECT number FROM numbers(1)").text(), "0\n");
    assert_eq!(
        server.post("/?session_id=s&session_timeout=100000", b"SELECT 1").header("x-clickhouse-exception-code"),
        Some("374")
    );
    server.post("/", b"CREATE STREAM t (x uint64)");
    let mut tail = server.connect();
    tail.send("GET", "/?query=SELECT+x+FROM+t&query_mode=streaming&session_id=s", &[], Some(0));
    assert_eq!(tail.head().0, 200);
    assert_eq!(server.post("/?session_id=s", b"SELECT 1").header("x-clickhouse-exception-code"), Some("373"));
    drop(tail);
    server.wait_idle();
}

#[test]
fn a_connection_serves_many_requests_and_too_many_are_refused() {
    let server = Server::with(HttpOptions { connections_max: 1, ..HttpOptions::default() });
    let mut client = server.connect();
    for _ in 0..3 {
        client.send("POST", "/", &[], Some(8));
        client.write(b"SELECT 1");
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.header("connection")), (200, None));
    }
    let mut other = server.connect();
    assert_eq!(other.head().0, 503);
    let long = format!("/?query=SELECT+1&x={}", "y".repeat(200_000));
    client.send("GET", &long, &[], Some(0));
    assert!(matches!(client.head().0, 414 | 431));
}
