//! The native protocol as its clients meet it: real sockets, a real engine.

use super::client::{ServerDecoder, ServerPacket as Answer};
use super::data::DataEncoder;
use super::frame::Method;
use super::packet::{ClientHello, Exception, client};
use super::query::{Query, Setting};
use super::revision::{REVISION, WITH_ADDENDUM};
use super::{TcpOptions, serve};
use hydron_engine::{Engine, EngineOptions};
use hydron_format::native::{NativeOptions, push_bytes, push_varint};
use hydron_types::{Batch, ColumnBuilder, Field, LogicalType, Schema, Value, value_at};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

// Nothing here takes long; a test that waits for this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

struct Server {
    address: SocketAddr,
    engine: Engine,
    runtime: Runtime,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Server {
    fn start() -> Server {
        Server::with(TcpOptions::default())
    }

    fn with(options: TcpOptions) -> Server {
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

    fn connect(&self) -> Client {
        self.connect_as("test", REVISION)
    }

    fn connect_as(&self, name: &str, revision: u64) -> Client {
        let hello = ClientHello { name: name.into(), revision, ..ClientHello::default() };
        let (mut client, answer) = self.hello(&hello);
        assert!(matches!(answer, Answer::Hello(_)), "{answer:?}");
        if client.revision >= WITH_ADDENDUM {
            let mut quota_key = Vec::new();
            push_bytes(b"", &mut quota_key);
            client.write(&quota_key);
        }
        client
    }

    fn hello(&self, hello: &ClientHello) -> (Client, Answer) {
        let mut client = self.socket(hello.revision);
        let mut bytes = Vec::new();
        hello.write(&mut bytes);
        client.write(&bytes);
        let answer = client.next().expect("an answer to the hello");
        (client, answer)
    }

    fn socket(&self, revision: u64) -> Client {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let decoder = ServerDecoder::new(&ClientHello { revision, ..ClientHello::default() });
        Client { socket, decoder, revision: revision.min(REVISION), method: None }
    }

    /// Waits until no query runs.
    fn wait_idle(&self) {
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

struct Client {
    socket: TcpStream,
    decoder: ServerDecoder,
    revision: u64,
    method: Option<Method>,
}

impl Client {
    fn write(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    fn options(&self) -> NativeOptions {
        NativeOptions { revision: self.revision, ..NativeOptions::default() }
    }

    fn send_query(&mut self, text: &str, settings: &[(&str, &str)]) {
        self.query(Query {
            settings: settings
                .iter()
                .map(|(n, v)| Setting { name: n.to_string(), value: v.to_string(), important: false })
                .collect(),
            text: text.as_bytes().to_vec(),
            ..Query::default()
        });
    }

    fn query(&mut self, query: Query) {
        let mut bytes = Vec::new();
        Query { compressed: self.method.is_some(), ..query }.write(self.revision, &mut bytes);
        self.write(&bytes);
        self.send_block(None);
    }

    fn send_block(&mut self, block: Option<&Batch>) {
        let mut bytes = Vec::new();
        DataEncoder::new(self.options(), self.method).write(client::DATA, block, &mut bytes).unwrap();
        self.write(&bytes);
    }

    fn send(&mut self, number: u64) {
        let mut bytes = Vec::new();
        push_varint(number, &mut bytes);
        self.write(&bytes);
    }

    /// The next packet; `None` when the server has closed the connection.
    fn next(&mut self) -> Option<Answer> {
        self.decoder.compressed = self.method.is_some();
        loop {
            match self.decoder.next_packet().unwrap() {
                Some(packet) => return Some(packet),
                None if self.receive() => {}
                None => return None,
            }
        }
    }

    fn receive(&mut self) -> bool {
        let mut bytes = [0; 65_536];
        match self.socket.read(&mut bytes) {
            Ok(n) => {
                self.decoder.buffer.extend_from_slice(&bytes[..n]);
                n > 0
            }
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(e) => panic!("{e}"),
        }
    }

    /// The next packet but progress.
    fn told(&mut self) -> Answer {
        loop {
            match self.next().expect("the connection is open") {
                Answer::Progress(_) => {}
                answer => return answer,
            }
        }
    }

    fn block(&mut self) -> Batch {
        match self.told() {
            Answer::Data(block) => block,
            other => panic!("{other:?}"),
        }
    }

    fn exception(&mut self) -> Exception {
        match self.told() {
            Answer::Exception(e) => e,
            other => panic!("{other:?}"),
        }
    }

    fn end(&mut self) {
        let answer = self.told();
        assert!(matches!(answer, Answer::EndOfStream), "{answer:?}");
    }

    /// All blocks of an answer.
    fn rest(&mut self) -> Vec<Batch> {
        let mut blocks = Vec::new();
        loop {
            match self.told() {
                Answer::Data(block) | Answer::Totals(block) | Answer::Extremes(block) => blocks.push(block),
                Answer::EndOfStream => return blocks,
                Answer::Exception(e) => panic!("{}", e.message),
                _ => {}
            }
        }
    }

    fn run(&mut self, text: &str) -> Vec<Batch> {
        self.send_query(text, &[]);
        self.rest()
    }
}

fn numbers(name: &str, values: &[u64]) -> Batch {
    let mut builder = ColumnBuilder::new(&LogicalType::UInt64);
    values.iter().for_each(|v| builder.append(&Value::UInt(*v)).unwrap());
    let schema = Schema::new(vec![Field::new(name, LogicalType::UInt64)]);
    Batch::new(Arc::new(schema), vec![builder.finish().unwrap()], values.len())
}

fn values(blocks: &[Batch]) -> Vec<Value> {
    let rows = |b: &Batch| (0..b.rows()).map(|r| value_at(b.column(0), &b.schema.fields[0].ty, r)).collect::<Vec<_>>();
    blocks.iter().filter(|b| !b.columns.is_empty()).flat_map(rows).collect()
}

fn uints(numbers: &[u64]) -> Vec<Value> {
    numbers.iter().map(|n| Value::UInt(*n)).collect()
}

#[test]
fn a_login_and_a_ping() {
    let server = Server::start();
    let hello = ClientHello { name: "test".into(), revision: 60_000, ..ClientHello::default() };
    let (_, answer) = server.hello(&hello);
    let Answer::Hello(answer) = answer else { panic!("{answer:?}") };
    assert_eq!((answer.name.as_str(), answer.revision, answer.zone.as_str()), ("proton", REVISION, "UTC"));
    let mut client = server.connect();
    client.send(client::PING);
    assert!(matches!(client.told(), Answer::Pong));
    let wrong = ClientHello { password: "x".into(), user: "default".into(), ..hello.clone() };
    let (mut client, answer) = server.hello(&wrong);
    let Answer::Exception(e) = answer else { panic!("{answer:?}") };
    assert_eq!(e.code, 516);
    assert!(client.next().is_none());
    let (_, answer) = server.hello(&ClientHello { database: "nowhere".into(), ..hello.clone() });
    assert!(matches!(answer, Answer::Exception(e) if e.code == 81));
    let (_, answer) = server.hello(&ClientHello { revision: 50_000, ..hello });
    assert!(matches!(answer, Answer::Exception(e) if e.code == 48));
}

#[test]
fn an_answer_is_a_header_blocks_counts_and_an_end() {
    let server = Server::start();
    for revision in [54_429, 54_453, REVISION] {
        for method in [None, Some(Method::Lz4)] {
            let mut client = server.connect_as("test", revision);
            client.method = method;
            client.send_query("SELECT number AS n FROM numbers(5)", &[("max_block_size", "2"), ("no_such", "1")]);
            let header = client.block();
            assert_eq!((header.rows(), &*header.schema.fields[0].name), (0, "n"));
            let mut rows = Vec::new();
            let info = loop {
                match client.told() {
                    Answer::Data(block) => rows.push(block),
                    Answer::ProfileInfo(info) => break info,
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(values(&rows), uints(&[0, 1, 2, 3, 4]));
            assert_eq!((info.rows, info.blocks), (5, rows.len() as u64));
            assert!(client.block().columns.is_empty());
            client.end();
        }
    }
}

#[test]
fn totals_extremes_and_parameters() {
    let server = Server::start();
    let mut client = server.connect();
    client.run("CREATE STREAM t (x uint64)");
    client.run("INSERT INTO t (x) VALUES (1), (2)");
    client.send_query("SELECT sum(x) AS s FROM table(t) GROUP BY x WITH TOTALS", &[]);
    let mut totals = Vec::new();
    loop {
        match client.told() {
            Answer::Totals(block) => totals.push(block),
            Answer::EndOfStream => break,
            Answer::Data(_) | Answer::ProfileInfo(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(values(&totals), uints(&[3]));
    client.send_query("SELECT x FROM table(t)", &[("extremes", "1")]);
    let extremes = loop {
        match client.told() {
            Answer::Extremes(block) => break block,
            Answer::Data(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(values(&[extremes]), uints(&[1, 2]));
    client.rest();
    let parameters = vec![Setting { name: "x".into(), value: "'a\\\\'b'".into(), important: false }];
    client.query(Query { parameters, text: b"SELECT {x:string}".to_vec(), ..Query::default() });
    assert_eq!(values(&client.rest()), [Value::string("a'b")]);
}

#[test]
fn an_error_leaves_the_connection_usable() {
    let server = Server::start();
    let mut client = server.connect();
    for (text, code) in
        [("SELECT (1", 62), ("SELECT x FROM nowhere", 60), ("SELECT throw_if(number = 7) FROM numbers(10)", 395)]
    {
        client.send_query(text, &[("max_block_size", "1")]);
        let e = loop {
            match client.told() {
                Answer::Exception(e) => break e,
                Answer::Data(_) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(e.code, code, "{}", e.message);
        assert_eq!(values(&client.run("SELECT 1")), uints(&[1]));
    }
    client.query(Query {
        settings: vec![Setting { name: "no_such".into(), value: "1".into(), important: true }],
        text: b"SELECT 1".to_vec(),
        ..Query::default()
    });
    assert_eq!(client.exception().code, 115);
    client.send_query("SELECT 1", &[("max_threads", "many")]);
    assert_eq!(client.exception().code, 27);
    assert_eq!(values(&client.run("SELECT 2")), uints(&[2]));
}

#[test]
fn a_session_keeps_its_settings_and_its_database() {
    let server = Server::start();
    let mut client = server.connect();
    client.run("CREATE DATABASE d");
    client.run("USE d");
    client.run("SET max_result_rows = 1");
    assert_eq!(values(&client.run("SELECT current_database()")), [Value::string("d")]);
    client.send_query("SELECT number FROM numbers(3)", &[]);
    loop {
        match client.told() {
            Answer::Exception(e) => break assert_eq!(e.code, 396),
            Answer::Data(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn rows_come_in_blocks_or_in_the_text() {
    let server = Server::start();
    for method in [None, Some(Method::Lz4), Some(Method::Zstd { level: 1 })] {
        let mut client = server.connect();
        client.method = method;
        client.run("CREATE STREAM t (x uint64, y string DEFAULT 'd')");
        client.send_query("INSERT INTO t (x) VALUES", &[]);
        let Answer::TableColumns(columns) = client.told() else { panic!("no columns") };
        assert!(
            columns.starts_with("columns format version: 1\n3 columns:\n`x` uint64\n`y` string\tDEFAULT\t"),
            "{columns}"
        );
        let header = client.block();
        assert_eq!((header.rows(), header.schema.len()), (0, 1));
        let mut told = Vec::new();
        for rows in [&[1, 2][..], &[3]] {
            client.send_block(Some(&numbers("x", rows)));
            // A client waits for this before it sends more.
            let Answer::ProfileEvents(events) = client.told() else { panic!("no events") };
            told.push(events);
        }
        client.send_block(None);
        let Answer::ProfileEvents(events) = client.told() else { panic!("no events") };
        told.push(events);
        let inserted = told.iter().map(|e| value_at(e.column(5), &LogicalType::Int64, 0).as_i64().unwrap());
        assert_eq!(inserted.sum::<i64>(), 3);
        client.end();
        client.run("INSERT INTO t VALUES (4, 'e'), (5, 'f')");
        client.send_query("INSERT INTO t VALUES", &[]);
        client.told();
        assert_eq!(client.block().schema.fields.iter().map(|f| &*f.name).collect::<Vec<_>>(), ["x", "y"]);
        client.send_block(None);
        assert!(matches!(client.told(), Answer::ProfileEvents(_)));
        client.end();
        let rows = client.run("SELECT x FROM table(t) ORDER BY x");
        assert_eq!(values(&rows), uints(&[1, 2, 3, 4, 5]));
        assert_eq!(values(&client.run("SELECT count() FROM table(t) WHERE y = 'd'")), uints(&[3]));
        client.run("DROP STREAM t");
    }
}

#[test]
fn a_failed_insert_passes_over_its_rows() {
    let server = Server::start();
    let mut client = server.connect();
    client.run("CREATE STREAM t (x uint64)");
    // The client does not wait for the header.
    client.send_query("INSERT INTO nowhere VALUES", &[]);
    client.send_block(Some(&numbers("x", &[1])));
    client.send_block(None);
    assert_eq!(client.exception().code, 60);
    assert_eq!(values(&client.run("SELECT 1")), uints(&[1]));
    client.send_query("INSERT INTO t VALUES", &[]);
    client.told();
    client.block();
    client.send_block(Some(&numbers("z", &[1])));
    let e = loop {
        match client.told() {
            Answer::ProfileEvents(_) => {}
            Answer::Exception(e) => break e,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(e.code, 16);
    client.send_block(None);
    assert_eq!(values(&client.run("SELECT 1")), uints(&[1]));
    client.send_query("INSERT INTO t VALUES", &[]);
    client.told();
    client.block();
    client.send_block(Some(&numbers("x", &[1])));
    assert!(matches!(client.told(), Answer::ProfileEvents(_)));
    client.send(client::CANCEL);
    client.end();
    drop(client);
    server.wait_idle();
}

#[test]
fn a_streaming_answer_arrives_while_the_query_runs_and_a_cancel_ends_it() {
    let server = Server::start();
    let mut client = server.connect();
    client.run("CREATE STREAM t (x uint64)");
    let mut tail = server.connect();
    tail.send_query("SELECT x FROM t", &[]);
    assert_eq!(tail.block().rows(), 0);
    for x in 1..4 {
        client.run(&format!("INSERT INTO t (x) VALUES ({x})"));
        assert_eq!(values(&[tail.block()]), uints(&[x]));
    }
    assert_eq!(server.engine.queries().running().len(), 1);
    tail.send(client::CANCEL);
    tail.end();
    server.wait_idle();
    assert_eq!(values(&tail.run("SELECT 1")), uints(&[1]));
    // A cancel that comes after the end of its query means nothing.
    tail.send(client::CANCEL);
    assert_eq!(values(&tail.run("SELECT 2")), uints(&[2]));
    // A client that goes ends its query.
    tail.send_query("SELECT x FROM t", &[]);
    tail.block();
    drop(tail);
    server.wait_idle();
}

#[test]
fn a_killed_query_says_so() {
    let server = Server::start();
    let mut client = server.connect();
    client.run("CREATE STREAM t (x uint64)");
    let mut tail = server.connect();
    tail.query(Query { id: "victim".into(), text: b"SELECT x FROM t".to_vec(), ..Query::default() });
    tail.block();
    client.run("KILL QUERY WHERE query_id = 'victim'");
    assert_eq!(tail.exception().code, 394);
    assert_eq!(values(&tail.run("SELECT 1")), uints(&[1]));
}

#[test]
fn a_kill_does_not_wait_for_a_client_that_reads_nothing() {
    let server = Server::start();
    let mut deaf = server.connect();
    let text = "SELECT repeat('x', 1000) FROM numbers(100000000)";
    deaf.query(Query { id: "victim".into(), text: text.as_bytes().to_vec(), ..Query::default() });
    deaf.block();
    let mut client = server.connect();
    // A block of this query is larger than the buffers of the socket: once it is made, the query cannot go on.
    let made = "SELECT count() FROM system.processes WHERE query_id = 'victim' AND result_rows > 0";
    while values(&client.run(made)) != uints(&[1]) {
        std::thread::yield_now();
    }
    client.run("KILL QUERY WHERE query_id = 'victim' ASYNC");
    server.wait_idle();
}

#[test]
fn names_of_types_are_those_of_the_client() {
    let server = Server::start();
    let types = |name: &str| {
        let mut client = server.connect_as(name, REVISION);
        client.method = None;
        let mut bytes = Vec::new();
        client.send_query("SELECT [1] AS a", &[]);
        // The raw bytes tell the name that was sent.
        while !bytes.windows(5).any(|w| w.eq_ignore_ascii_case(b"array")) {
            let mut piece = [0; 1_024];
            let n = client.socket.read(&mut piece).unwrap();
            bytes.extend_from_slice(&piece[..n]);
        }
        bytes
    };
    assert!(types("Proton python-driver").windows(12).any(|w| w == b"array(uint8)"));
    assert!(types("ClickHouse client").windows(12).any(|w| w == b"Array(UInt8)"));
}

#[test]
fn status_of_tables() {
    let server = Server::start();
    let mut client = server.connect();
    client.run("CREATE STREAM t (x uint64)");
    let mut bytes = Vec::new();
    push_varint(client::TABLES_STATUS, &mut bytes);
    push_varint(2, &mut bytes);
    for text in ["default", "t", "default", "nowhere"] {
        push_bytes(text.as_bytes(), &mut bytes);
    }
    client.write(&bytes);
    assert!(matches!(client.told(), Answer::TablesStatus(tables) if tables.len() == 1));
}

#[test]
fn strangers_and_slow_ones_are_let_go() {
    let server = Server::with(TcpOptions { handshake_patience: Duration::from_millis(200), ..TcpOptions::default() });
    let mut silent = server.socket(REVISION);
    assert_eq!(silent.exception().code, 209);
    assert!(silent.next().is_none());
    let mut lost = server.socket(REVISION);
    lost.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut text = String::new();
    lost.socket.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.0 400"), "{text}");
    let mut broken = server.connect();
    broken.write(&[99]);
    assert_eq!(broken.exception().code, 99);
    assert!(broken.next().is_none());
}

#[test]
fn too_many_connections_are_refused() {
    let server = Server::with(TcpOptions { connections_max: 1, ..TcpOptions::default() });
    let _first = server.connect();
    let mut second = server.socket(REVISION);
    assert_eq!(second.exception().code, 203);
}

#[test]
fn a_damaged_frame_ends_the_connection_with_its_reason() {
    let server = Server::start();
    let mut client = server.connect();
    client.method = Some(Method::Lz4);
    let mut bytes = Vec::new();
    Query { compressed: true, text: b"SELECT 1".to_vec(), ..Query::default() }.write(REVISION, &mut bytes);
    let at = bytes.len() + 2;
    DataEncoder::new(client.options(), client.method).write(client::DATA, None, &mut bytes).unwrap();
    bytes[at] ^= 1;
    client.write(&bytes);
    assert_eq!(client.exception().code, 40);
    assert!(client.next().is_none());
}

#[test]
fn a_stop_ends_queries_and_connections() {
    let server = Server::start();
    let mut client = server.connect();
    client.run("CREATE STREAM t (x uint64)");
    let mut tail = server.connect();
    tail.send_query("SELECT x FROM t", &[]);
    tail.block();
    server.stop.cancel();
    assert!(client.next().is_none());
    server.runtime.block_on(server.engine.close(PATIENCE));
    assert_eq!(tail.exception().code, 2903);
    assert!(tail.next().is_none());
}

#[test]
fn a_user_made_by_sql_comes_in_and_a_session_sees_what_is_granted_meanwhile() {
    let server = Server::start();
    let mut admin = server.connect();
    admin.run("CREATE STREAM t (x uint64)");
    admin.run("CREATE USER alice IDENTIFIED WITH double_sha1_password BY 'p1'");
    let hello = |password: &str| ClientHello {
        name: "test".into(),
        user: "alice".into(),
        password: password.into(),
        revision: WITH_ADDENDUM - 1,
        ..ClientHello::default()
    };
    let (_, refused) = server.hello(&hello("p2"));
    assert!(matches!(&refused, Answer::Exception(e) if e.code == 516), "{refused:?}");
    let (mut alice, welcome) = server.hello(&hello("p1"));
    assert!(matches!(welcome, Answer::Hello(_)), "{welcome:?}");
    alice.send_query("SELECT x FROM table(t)", &[]);
    assert_eq!(alice.exception().code, 497);
    alice.send_query("INSERT INTO t (x) VALUES", &[]);
    assert_eq!(alice.exception().code, 497);
    admin.run("GRANT SELECT, INSERT ON t TO alice");
    assert!(values(&alice.run("SELECT x FROM table(t)")).is_empty());
    admin.run("REVOKE SELECT ON t FROM alice");
    alice.send_query("SELECT x FROM table(t)", &[]);
    assert_eq!(alice.exception().code, 497);
}

impl Client {
    /// A query with named blocks before the end of its data.
    fn query_with(&mut self, text: &str, given: &[(u64, &str, &Batch)]) {
        let mut bytes = Vec::new();
        let query = Query { text: text.as_bytes().to_vec(), compressed: self.method.is_some(), ..Query::default() };
        query.write(self.revision, &mut bytes);
        for (number, name, block) in given {
            let mut packet = Vec::new();
            DataEncoder::new(self.options(), self.method).write(*number, Some(block), &mut packet).unwrap();
            // Behind the number stands the length of a name that is empty.
            bytes.push(packet[0]);
            push_bytes(name.as_bytes(), &mut bytes);
            bytes.extend_from_slice(&packet[2..]);
        }
        self.write(&bytes);
        self.send_block(None);
    }
}

#[test]
fn scalars_and_tables_come_with_a_query() {
    let server = Server::start();
    for method in [None, Some(Method::Lz4)] {
        let mut client = server.connect();
        client.method = method;
        let (ten, table) = (numbers("whatever", &[10]), numbers("x", &[1, 2]));
        let given = [(client::SCALAR, "ten", &ten), (client::DATA, "ext", &table), (client::DATA, "ext", &table)];
        client.query_with("SELECT __get_scalar('ten') + x FROM ext ORDER BY x", &given);
        assert_eq!(values(&client.rest()), uints(&[11, 11, 12, 12]));
        client.query_with("SELECT __getScalar('ten') * 2", &given[..1]);
        assert_eq!(values(&client.rest()), uints(&[20]));
        // Those of the last query alone.
        client.query_with("SELECT __get_scalar('ten')", &[]);
        assert_eq!(client.exception().code, 36);
        client.query_with("SELECT 1", &[(client::SCALAR, "two", &table)]);
        assert_eq!(client.exception().code, 117);
        client.query_with("SELECT x FROM ext", &[]);
        assert_eq!(client.exception().code, 60);
        // A name may hide a stream, and a part of it may be a subquery's.
        client.run("CREATE STREAM IF NOT EXISTS ext2 (x uint64)");
        client.query_with("SELECT count() FROM table(ext2) WHERE x IN (SELECT x FROM ext)", &given[1..2]);
        assert_eq!(values(&client.rest()), uints(&[0]));
        client.query_with("SELECT count() FROM ext2", &[(client::DATA, "ext2", &table)]);
        assert_eq!(values(&client.rest()), uints(&[2]));
        // An INSERT reads its own blocks behind those.
        client.query_with("INSERT INTO ext2 (x) SELECT x + 100 FROM ext", &given[1..2]);
        client.rest();
        assert_eq!(values(&client.run("SELECT count() FROM table(ext2)")), uints(&[2]));
        client.run("DROP STREAM ext2");
        client.send(client::PING);
        assert!(matches!(client.told(), Answer::Pong));
    }
}

#[test]
fn a_connection_ends_with_its_user() {
    let server = Server::start();
    let mut client = server.connect();
    client.run("CREATE STREAM t (x uint64)");
    client.run("CREATE USER alice, bob");
    client.run("GRANT SELECT ON t TO alice, bob");
    let log_in = |user: &str| {
        let hello =
            ClientHello { name: "test".into(), user: user.into(), revision: REVISION, ..ClientHello::default() };
        let (mut client, answer) = server.hello(&hello);
        assert!(matches!(answer, Answer::Hello(_)), "{answer:?}");
        client.write(&[0]);
        client
    };
    let (mut idle, mut busy, mut bob) = (log_in("alice"), log_in("alice"), log_in("bob"));
    let streaming = [("query_mode", "streaming")];
    busy.send_query("SELECT x FROM t", &streaming);
    bob.send_query("SELECT x FROM t", &streaming);
    assert_eq!((busy.block().rows(), bob.block().rows()), (0, 0));
    client.run("DROP USER alice");
    assert_eq!(busy.exception().code, 497, "its query ends");
    assert_eq!(busy.exception().code, 192, "and then its connection");
    assert!(busy.next().is_none());
    assert_eq!(idle.exception().code, 192);
    assert!(idle.next().is_none());
    client.run("CREATE USER alice");
    client.run("INSERT INTO t (x) VALUES (7)");
    assert_eq!(values(&[bob.block()]), uints(&[7]), "others go on");
    client.run("REVOKE SELECT ON t FROM bob");
    assert_eq!(bob.exception().code, 497);
    bob.send(client::PING);
    assert!(matches!(bob.told(), Answer::Pong), "the connection stays");
}
