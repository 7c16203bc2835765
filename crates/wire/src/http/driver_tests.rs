//! Requests as drivers send them: compressed blocks, forms, what the JDBC driver of ClickHouse asks first.

use super::tests::{Answer, Server};
use crate::clickhouse::frame::{self, Method};
use bytes::BytesMut;

fn framed(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(plain, Method::Lz4, &mut out).unwrap();
    out
}

fn unframed(bytes: &[u8]) -> Vec<u8> {
    let mut buffer = BytesMut::from(bytes);
    let (mut plain, mut one) = (Vec::new(), Vec::new());
    while frame::read(&mut buffer, &mut one).unwrap() {
        plain.extend_from_slice(&one);
    }
    assert!(buffer.is_empty(), "{} bytes behind the last frame", buffer.len());
    plain
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn blocks_of_clickhouse_go_both_ways() {
    let server = Server::start();
    let answer = server.post("/?compress=1&decompress=1", &framed(b"SELECT number FROM numbers(50000)"));
    assert_eq!((answer.status, answer.header("content-encoding")), (200, None));
    assert!(answer.body.len() < 250_000, "{} bytes", answer.body.len());
    let plain = unframed(&answer.body);
    assert_eq!((text(&plain).lines().count(), text(&plain).ends_with("49999\n")), (50_000, true));
    // Inside of the compression of HTTP, and held back.
    let target = "/?compress=1&enable_http_compression=1&wait_end_of_query=1&query=SELECT+1";
    let answer = server.request("POST", target, &["accept-encoding: gzip"], b"");
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let mut frames = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(answer.body.as_slice()), &mut frames).unwrap();
    assert_eq!(unframed(&frames), b"1\n");
    // 0 is no compression.
    assert_eq!(server.post("/?compress=0&decompress=0", b"SELECT 1").text(), "1\n");
}

#[test]
fn rows_in_frames_are_stored_and_damaged_ones_are_not() {
    let server = Server::start();
    server.post("/", b"CREATE STREAM t (a int32, b string)");
    let target = "/?decompress=1&query=INSERT+INTO+t+(a,b)+FORMAT+CSV";
    // Cut into frames anywhere.
    let body = [framed(b"1,x\n2,"), framed(b"y\n")].concat();
    let answer = server.post(target, &body);
    assert_eq!((answer.status, answer.text()), (200, ""));
    let mut damaged = framed(b"3,z\n");
    *damaged.last_mut().unwrap() ^= 1;
    let answer = server.post(target, &damaged);
    assert_eq!(answer.header("x-clickhouse-exception-code"), Some("40"), "{}", answer.text());
    let whole = framed(b"4,w\n");
    let answer = server.post(target, &whole[..whole.len() - 1]);
    assert_eq!(answer.header("x-clickhouse-exception-code"), Some("272"), "{}", answer.text());
    let answer = server.post(target, b"5,not in frames, but long enough to look at\n");
    assert_ne!(answer.status, 200);
    assert_eq!(server.post("/", b"SELECT a, b FROM table(t) ORDER BY a").text(), "1\tx\n2\ty\n");
}

#[test]
fn errors_come_as_the_answer_would() {
    let server = Server::start();
    let answer = server.post("/?compress=1", b"SELECT x FROM nowhere");
    assert_eq!((answer.status, answer.header("x-clickhouse-exception-code")), (404, Some("60")));
    assert!(text(&unframed(&answer.body)).starts_with("Code: 60. DB::Exception: "));
    // Behind the first rows.
    let query = b"SELECT throw_if(number = 3) FROM numbers(5) SETTINGS max_block_size = 1";
    let plain = unframed(&server.post("/?compress=1", query).body);
    assert!(text(&plain).starts_with("0\n0\n0\nCode: 395. DB::Exception: "), "{}", text(&plain));
    // Who may not come in is told in plain words.
    let answer = server.request("POST", "/?compress=1", &["x-clickhouse-user: nobody"], b"SELECT 1");
    assert!(answer.text().contains("516"), "{}", answer.text());
}

/// One part of a form: name and content, of a file when `is_file`.
fn form(parts: &[(&str, &str, bool)]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, content, is_file) in parts {
        let file = if *is_file {
            format!("; filename=\"{name}\"\r\ncontent-type: application/octet-stream")
        } else {
            String::new()
        };
        let head = format!("\r\n--b0undary\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n{content}");
        body.extend_from_slice(head.as_bytes());
    }
    body.extend_from_slice(b"\r\n--b0undary--\r\n");
    ("content-type: multipart/form-data; boundary=b0undary".to_string(), body)
}

fn post_form(server: &Server, target: &str, parts: &[(&str, &str, bool)]) -> Answer {
    let (kind, body) = form(parts);
    server.request("POST", target, &[&kind], &body)
}

#[test]
fn a_form_carries_a_query_and_its_parameters() {
    let server = Server::start();
    let parts = [
        ("param_n", "41", false),
        ("param_s", "it's\r\n", false),
        ("query", "SELECT {n:uint8} + 1, {s:string}", false),
    ];
    assert_eq!(post_form(&server, "/", &parts).text(), "42\tit\\'s\\r\\n\n");
    assert_eq!(post_form(&server, "/?query=SELECT+1", &[("max_threads", "2", false)]).text(), "1\n");
    let csv = [("default_format", "CSVWithNames", false)];
    assert_eq!(post_form(&server, "/?query=SELECT+1+AS+x", &csv).text(), "\"x\"\n1\n");
    let wrong = post_form(&server, "/?query=SELECT+1", &[("no_such_setting", "2", false)]);
    assert_eq!(wrong.header("x-clickhouse-exception-code"), Some("115"));
    let (kind, body) = form(&[("query", "SELECT 1", false)]);
    let cut = server.request("POST", "/", &[&kind], &body[..body.len() - 10]);
    assert_eq!(cut.header("x-clickhouse-exception-code"), Some("117"), "{}", cut.text());
    let empty = post_form(&server, "/", &[]);
    assert_eq!(empty.header("x-clickhouse-exception-code"), Some("62"), "{}", empty.text());
}

#[test]
fn a_query_sees_the_tables_of_its_form() {
    let server = Server::start();
    server.post("/", b"CREATE STREAM t (id uint32, v string)");
    server.post("/", b"INSERT INTO t (id, v) VALUES (1, 'a'), (2, 'b'), (3, 'c')");
    // As the JDBC driver sends it.
    let query = "SELECT t.id, t.v, ext.w FROM table(t) AS t JOIN ext ON t.id = ext.id ORDER BY t.id";
    let parts = [
        ("query", query, false),
        ("ext_format", "TabSeparated", false),
        ("ext_structure", "id UInt32, w Nullable(String)", false),
        ("ext", "1\tx\n3\t\\N\n", true),
    ];
    assert_eq!(post_form(&server, "/", &parts).text(), "1\ta\tx\n3\tc\t\\N\n");
    // As clickhouse-connect does: what the table is stands in the URL.
    let target = "/?query=SELECT+sum(_1),+any(_2)+FROM+data&data_format=CSV&data_types=int64,string";
    assert_eq!(post_form(&server, target, &[("data", "1,\"x\"\n5,\"x\"", true)]).text(), "6\tx\n");
    // It stands before a stream of its name, in IN too, and is gone afterwards.
    let inside = "/?query=SELECT+count()+FROM+table(t)+WHERE+id+IN+(SELECT+id+FROM+ids)&ids_structure=id+uint32";
    assert_eq!(post_form(&server, inside, &[("ids", "2\n3\n7\n", true)]).text(), "2\n");
    let before = "/?query=SELECT+count()+FROM+t&t_structure=id+uint32";
    assert_eq!(post_form(&server, before, &[("t", "1\n", true)]).text(), "1\n");
    assert_eq!(server.post("/", b"SELECT count() FROM table(t)").text(), "3\n");
    assert_eq!(server.post("/", b"SELECT * FROM ids").header("x-clickhouse-exception-code"), Some("60"));
    // INSERT SELECT takes its rows from there.
    let insert = "/?query=INSERT+INTO+t+(id,v)+SELECT+id,'d'+FROM+more&more_structure=id+uint32";
    assert_eq!(post_form(&server, insert, &[("more", "4\n", true)]).status, 200);
    assert_eq!(server.post("/", b"SELECT v FROM table(t) WHERE id = 4").text(), "d\n");
    let untold = post_form(&server, "/?query=SELECT+1", &[("x", "1\n", true)]);
    assert_eq!(untold.header("x-clickhouse-exception-code"), Some("36"), "{}", untold.text());
    let wrong = post_form(&server, "/?query=SELECT+1&x_structure=a+int8", &[("x", "one\n", true)]);
    assert!(wrong.status == 400 && wrong.text().contains("external table 'x'"), "{}", wrong.text());
}

#[test]
fn tables_of_a_form_are_limited() {
    use super::HttpOptions;
    let server =
        Server::with(HttpOptions { form_tables_bytes_max: 1_000, form_parts_max: 3, ..HttpOptions::default() });
    let target = "/?query=SELECT+count()+FROM+x&x_structure=a+string";
    assert_eq!(post_form(&server, target, &[("x", "1\n", true)]).text(), "1\n");
    let large = post_form(&server, target, &[("x", &"12345678\n".repeat(500), true)]);
    assert_eq!((large.status, large.header("x-clickhouse-exception-code")), (413, Some("307")), "{}", large.text());
    // Small as it comes, large as rows.
    let target = "/?query=SELECT+count()+FROM+x&x_structure=a+fixed_string(100)";
    let rows = post_form(&server, target, &[("x", &"1\n".repeat(50), true)]);
    assert_eq!(rows.header("x-clickhouse-exception-code"), Some("307"), "{}", rows.text());
    let many = post_form(&server, target, &[("x", "1\n", true), ("a", "", false), ("b", "", false), ("c", "", false)]);
    assert_eq!(many.header("x-clickhouse-exception-code"), Some("307"), "{}", many.text());
}

/// Headers of the JDBC driver, of either of its clients.
const JDBC: [&str; 6] = [
    "accept: */*",
    "user-agent: ClickHouse-JdbcDriver jdbc-v2/0.9.0 client-v2/0.9.0 (Linux; jvm:21.0.2) Apache-HttpClient/5.4",
    "x-clickhouse-user: default",
    "x-clickhouse-database: default",
    "x-clickhouse-format: RowBinaryWithNamesAndTypes",
    "content-type: text/plain; charset=UTF-8",
];

#[test]
fn the_first_questions_of_jdbc_are_answered() {
    let server = Server::start();
    let ask = |target: &str, query: &str| server.request("POST", target, &JDBC, query.as_bytes());
    let answer = ask("/?compress=1&extremes=0", "select timezone(), version()");
    assert_eq!((answer.status, answer.header("x-clickhouse-format")), (200, Some("RowBinaryWithNamesAndTypes")));
    assert!(answer.header("x-clickhouse-timezone").is_some() && answer.header("x-clickhouse-summary").is_some());
    let row = unframed(&answer.body);
    assert_eq!(row[0], 2, "two columns");
    assert!(text(&row).contains("String") && text(&row).contains("UTC"), "{row:?}");
    let target = "/?query_id=j1&compress=1&wait_end_of_query=1&session_id=s1&session_timeout=60&max_result_rows=100&result_overflow_mode=break&log_comment=x";
    let answer = ask(target, "SELECT currentUser() AS user, timezone() AS timezone, version() AS version LIMIT 1");
    assert_eq!(answer.status, 200, "{:?}", String::from_utf8_lossy(&unframed(&answer.body)));
    assert!(unframed(&answer.body).windows(7).any(|w| w == b"default"));
    assert_eq!(answer.header("x-clickhouse-query-id"), Some("j1"));
    let answer = ask("/?compress=1&session_id=s1&session_check=1", "SELECT 1 FORMAT TSV");
    assert_eq!(unframed(&answer.body), b"1\n");
}

#[test]
fn rows_of_jdbc_are_stored() {
    let server = Server::start();
    server.post("/", b"CREATE STREAM t (a int32, b nullable(string))");
    // INSERT as RowBinary: 7, 'x' and 8, NULL.
    let rows = [7, 0, 0, 0, 0, 1, b'x', 8, 0, 0, 0, 1];
    let target = "/?query=INSERT+INTO+t+(a,+b)+FORMAT+RowBinary&decompress=1&compress=1&extremes=0";
    let answer = server.request("POST", target, &JDBC, &framed(&rows));
    assert_eq!((answer.status, answer.body.len()), (200, 0), "{:?}", answer.body);
    assert_eq!(server.post("/", b"SELECT a, b FROM table(t) ORDER BY a").text(), "7\tx\n8\t\\N\n");
}
