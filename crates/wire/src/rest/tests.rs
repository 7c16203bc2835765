//! The REST interface as its clients meet it: real sockets, a real engine.

use crate::http::tests::{Answer, PATIENCE, Server};
use crate::http::{HttpOptions, Surface};
use crate::users::Users;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

fn start() -> Server {
    start_with(Users::default())
}

fn start_with(users: Users) -> Server {
    Server::with(HttpOptions {
        surface: Surface::Rest(Arc::default()),
        query_mode: "streaming",
        users: Arc::new(users),
        ..HttpOptions::default()
    })
}

fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.text()))
}

fn send(server: &Server, method: &str, path: &str, json: Value) -> (u16, Value) {
    let answer = server.request(method, path, &[], json.to_string().as_bytes());
    (answer.status, body(&answer))
}

fn post(server: &Server, path: &str, json: Value) -> (u16, Value) {
    send(server, "POST", path, json)
}

/// Posts what must succeed.
#[track_caller]
fn done(server: &Server, path: &str, json: Value) -> Value {
    let (status, answer) = post(server, path, json);
    assert_eq!(status, 200, "{answer}");
    assert!(answer["request_id"].is_string(), "{answer}");
    answer
}

/// Status and code of a failure, whose body must have the shape of one.
#[track_caller]
fn failure((status, body): (u16, Value)) -> (u16, u64) {
    assert!(body["error_msg"].is_string() && body["request_id"].is_string(), "{body}");
    (status, body["code"].as_u64().unwrap())
}

fn table(server: &Server, sql: &str) -> String {
    let answer = server.post("/?query_mode=table", sql.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().to_string()
}

/// Waits until a SELECT gives `expected`: rows of mode `async` are durable a little later.
#[track_caller]
fn becomes(server: &Server, sql: &str, expected: &str) {
    let deadline = Instant::now() + PATIENCE;
    while table(server, sql) != expected {
        assert!(Instant::now() < deadline, "{sql} gives {}", table(server, sql));
    }
}

#[test]
fn a_stream_is_created_described_changed_and_dropped() {
    let server = start();
    let stream = json!({"name": "s", "columns": [
        {"name": "a", "type": "int"},
        {"name": "b", "type": "string", "default": "'x'"},
        {"name": "c", "type": "nullable(float)"},
    ]});
    done(&server, "/proton/v1/ddl/streams?logstore_retention_ms=7200000", stream.clone());
    assert_eq!(failure(post(&server, "/proton/v1/ddl/streams", stream)), (400, 57));
    assert_eq!(failure(post(&server, "/timeplusd/v1/ddl/streams", json!({"name": "t"}))), (400, 408));
    assert_eq!(
        failure(post(
            &server,
            "/proton/v1/ddl/streams",
            json!({"name": "t", "columns": [{"name": "a", "type": "intt"}]})
        ))
        .0,
        400
    );
    let answer = body(&server.get("/timeplusd/v1/ddl/streams"));
    assert_eq!(answer["data"].as_array().unwrap().len(), 1);
    let s = &answer["data"][0];
    assert_eq!(
        (s["name"].as_str(), s["engine"].as_str(), s["mode"].as_str()),
        (Some("s"), Some("Stream"), Some("append"))
    );
    assert_eq!(s["partition_by_expression"], "to_YYYYMM(_tp_time)");
    assert_eq!(
        (s["logstore_retention_ms"].as_i64(), s["logstore_flush_ms"].as_i64()),
        (Some(7_200_000), Some(120_000))
    );
    assert_eq!(s["columns"][0], json!({"name": "a", "type": "int32", "nullable": false}));
    assert_eq!(s["columns"][1]["default"], "'x'");
    assert_eq!(s["columns"][2], json!({"name": "c", "type": "nullable(float32)", "nullable": true}));
    assert_eq!(body(&server.get("/proton/v1/ddl/streams/default/s"))["data"][0], *s);
    let missing = server.get("/proton/v1/ddl/streams/default/nothing");
    assert_eq!(failure((missing.status, body(&missing))), (404, 60));
    let missing = server.get("/proton/v1/ddl/streams/nothing");
    assert_eq!(failure((missing.status, body(&missing))), (404, 81));
    table(&server, "CREATE VIEW v AS SELECT a + 1 AS x FROM s");
    let view = body(&server.get("/proton/v1/ddl/streams/default/v"));
    assert_eq!(view["data"][0]["engine"], "View");
    assert_eq!(view["data"][0]["columns"][0]["name"], "x");
    table(&server, "DROP VIEW v");

    table(&server, "INSERT INTO s (a) VALUES (1)");
    assert_eq!(send(&server, "DELETE", "/proton/v1/ddl/streams/s?mode=truncate", json!({})).0, 200);
    assert_eq!(table(&server, "SELECT count() FROM table(s)"), "0\n");
    assert_eq!(failure(send(&server, "DELETE", "/proton/v1/ddl/streams/s?mode=x", json!({}))), (400, 408));
    assert_eq!(send(&server, "DELETE", "/proton/v1/ddl/streams/s", json!({})).0, 200);
    assert_eq!(failure(send(&server, "DELETE", "/proton/v1/ddl/streams/s", json!({}))), (400, 60));
    assert_eq!(failure(send(&server, "PATCH", "/proton/v1/ddl/streams/s", json!({}))), (400, 408));
}

#[test]
fn a_stream_may_have_a_log_alone() {
    let server = start();
    let stream = json!({"name": "s", "columns": [{"name": "a", "type": "int"}]});
    done(&server, "/proton/v1/ddl/streams?storage_type=streaming", stream);
    done(&server, "/proton/v1/ingest/streams/s?mode=sync", json!({"columns": ["a"], "data": [[1], [2]]}));
    table(&server, "OPTIMIZE STREAM s");
    assert_eq!(table(&server, "SELECT count() FROM system.parts"), "0\n");
    assert_eq!(table(&server, "SELECT sum(a) FROM table(s)"), "3\n");
    let answer = done_search(&server, json!({"query": "SELECT a FROM s LIMIT 2 SETTINGS seek_to = 'earliest'"}));
    assert_eq!(answer["data"], json!([[1], [2]]));
}

#[test]
fn rows_come_in_every_form() {
    let server = start();
    table(&server, "CREATE STREAM s (a int, b string, t datetime64(3, 'UTC'))");
    let path = "/proton/v1/ingest/streams/s";
    // Columns in any order, before and after the rows; times in more than one notation.
    done(&server, &format!("{path}?mode=sync"), json!({"columns": ["b", "a"], "data": [["x", 1], ["y", 2]]}));
    let answer =
        server.post(&format!("{path}?mode=sync"), br#"{"data":[[3,"2026-01-02T03:04:05Z"]],"columns":["a","t"]}"#);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        table(&server, "SELECT a, b, t FROM table(s) ORDER BY a"),
        "1\tx\t1970-01-01 00:00:00.000Z\n2\ty\t1970-01-01 00:00:00.000Z\n3\t\t2026-01-02 03:04:05.000Z\n"
    );
    let typed = |kind: &str, query: &str, body: &[u8]| {
        let answer =
            server.request("POST", &format!("{path}?mode=sync{query}"), &[&format!("content-type: {kind}")], body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    typed("application/x-ndjson", "", b"{\"a\":4,\"b\":\"n\"}\n{\"a\":5}\n");
    typed("text/csv", "&columns=a,b", b"6,\"c,d\"\n");
    typed("text/csv; header=present", "", b"b,a\nh,7\n");
    typed("application/json", "&format=TabSeparated&columns=a", b"8\n");
    typed("text/plain", "&columns=b", b"line one\nline two");
    typed("text/plain", "&columns=b&format=lines", b"l1\nl2\n");
    assert_eq!(table(&server, "SELECT a, b FROM table(s) WHERE a > 3 ORDER BY a"), "4\tn\n5\t\n6\tc,d\n7\th\n8\t\n");
    assert_eq!(table(&server, "SELECT b FROM table(s) WHERE a = 0 ORDER BY b"), "l1\nl2\nline one\\nline two\n");
    table(&server, "CREATE STREAM events (raw string)");
    let answer = server.request("POST", "/timeplusd/v1/ingest/streams/events?mode=sync&format=raw", &[], b"{\"k\": 1}");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(table(&server, "SELECT raw:k FROM table(events)"), "1\n");
    // Compressed.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(br#"{"columns":["a"],"data":[[9]]}"#).unwrap();
    let packed = gzip.finish().unwrap();
    let answer = server.request("POST", &format!("{path}?mode=sync"), &["content-encoding: gzip"], &packed);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(table(&server, "SELECT count() FROM table(s) WHERE a = 9"), "1\n");
}

#[test]
fn rows_that_are_wrong_are_refused() {
    let server = start();
    table(&server, "CREATE STREAM s (a int, b string)");
    let path = "/proton/v1/ingest/streams/s";
    let raw = |path: &str, text: &str| {
        let answer = server.post(path, text.as_bytes());
        failure((answer.status, body(&answer)))
    };
    assert_eq!(raw(path, "{"), (400, 117));
    assert_eq!(raw(path, r#"{"data": [[1]]}"#), (400, 117));
    assert_eq!(raw(path, r#"{"columns": ["a"]}"#), (400, 117));
    assert_eq!(raw(path, r#"{"columns": ["a"], "data": [[1]"#), (400, 117));
    assert_eq!(raw(path, r#"{"columns": ["z"], "data": [[1]]}"#), (400, 16));
    assert_eq!(raw(path, r#"{"columns": ["a"], "data": [["x"]]}"#).0, 400);
    assert_eq!(raw(path, r#"{"columns": ["a"], "data": [[1, 2]]}"#).0, 400);
    let good = r#"{"columns": ["a"], "data": [[1]]}"#;
    assert_eq!(raw(&format!("{path}?mode=never"), good), (400, 408));
    assert_eq!(raw(&format!("{path}?format=never"), good).1, 73);
    assert_eq!(raw(&format!("{path}?no_such_setting=1"), good), (400, 115));
    assert_eq!(raw("/proton/v1/ingest/streams/nothing", good), (404, 60));
    assert_eq!(raw("/proton/v1/ingest/rawstores/s", r#"{"data": [{"_raw": "x"}]}"#), (404, 60));
    assert_eq!(table(&server, "SELECT count() FROM table(s)"), "0\n");
}

#[test]
fn an_id_tells_what_has_become_of_rows() {
    let server = start();
    table(&server, "CREATE STREAM s (a int)");
    let path = "/proton/v1/ingest/streams/s";
    let rows = json!({"columns": ["a"], "data": [[1]]});
    let first = done(&server, path, rows.clone());
    let ordered = done(&server, &format!("{path}?mode=ordered"), rows.clone());
    assert_eq!(first["channel"], ordered["channel"]);
    assert!(done(&server, &format!("{path}?mode=fire_and_forget"), rows.clone())["poll_id"].is_null());
    assert!(done(&server, &format!("{path}?mode=sync"), rows)["poll_id"].is_null());
    let statuses = "/proton/v1/ingest/statuses";
    let ask = json!({"channel": first["channel"], "poll_ids": [first["poll_id"], ordered["poll_id"]]});
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = done(&server, statuses, ask.clone());
        let status = |i: usize| (answer["status"][i]["status"].as_str(), answer["status"][i]["progress"].as_u64());
        assert_eq!(answer["status"][1]["poll_id"], ordered["poll_id"]);
        if [status(0), status(1)] == [(Some("Succeeded"), Some(100)); 2] {
            break;
        }
        assert!(Instant::now() < deadline, "{answer}");
    }
    becomes(&server, "SELECT count() FROM table(s)", "4\n");
    assert_eq!(failure(post(&server, statuses, json!({"channel": "x", "poll_ids": []}))), (400, 2012));
    assert_eq!(failure(post(&server, statuses, json!({"channel": first["channel"], "poll_ids": ["x"]}))), (400, 2010));
    let unknown = uuid::Uuid::new_v4().to_string();
    let answer = done(&server, statuses, json!({"channel": first["channel"], "poll_ids": [unknown]}));
    assert_eq!(answer["status"][0]["status"], "Unknown");
}

#[test]
fn a_request_with_the_same_key_stores_nothing_twice() {
    let server = start();
    table(&server, "CREATE STREAM s (a int, b string) SETTINGS shards = 3");
    let rows: Vec<Value> = (0..1_000).map(|i| json!([i, "x"])).collect();
    let ingest = json!({"columns": ["a", "b"], "data": rows}).to_string();
    let send = |key: &str| {
        let headers = [format!("x-timeplus-idempotent-id: {key}")];
        let path = "/proton/v1/ingest/streams/s?mode=sync&max_insert_block_size=300";
        let answer = server.request("POST", path, &[&headers[0]], ingest.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    (0..3).for_each(|_| send("k1"));
    assert_eq!(table(&server, "SELECT count(), uniq_exact(a) FROM table(s)"), "1000\t1000\n");
    send("k2");
    assert_eq!(table(&server, "SELECT count(), uniq_exact(a) FROM table(s)"), "2000\t1000\n");
    // SQL has it as a setting, over HTTP as a header too.
    for _ in 0..2 {
        table(&server, "INSERT INTO s (a) SETTINGS idempotent_id = 'k3' VALUES (5000)");
        let headers = ["x-proton-idempotent-id: k4"];
        assert_eq!(server.request("POST", "/", &headers, b"INSERT INTO s (a) VALUES (5001)").status, 200);
    }
    assert_eq!(table(&server, "SELECT count() FROM table(s)"), "2002\n");
    let long = "k".repeat(2_000);
    let answer =
        server.request("POST", "/", &[&format!("x-proton-idempotent-id: {long}")], b"INSERT INTO s (a) VALUES (1)");
    assert!(answer.text().contains("idempotent_id has 2000 bytes"), "{}", answer.text());
}

#[test]
fn a_search_answers_while_it_runs() {
    let server = start();
    table(&server, "CREATE STREAM s (a int)");
    let mut client = server.connect();
    let query = json!({"query": "SELECT a FROM s"}).to_string();
    client.send("POST", "/proton/v1/search?default_format=JSONEachRow", &["x-proton-query-id: q1"], Some(query.len()));
    client.write(query.as_bytes());
    assert_eq!(client.head().0, 200);
    for a in 1..3 {
        done(&server, "/proton/v1/ingest/streams/s", json!({"columns": ["a"], "data": [[a]]}));
        assert_eq!(client.chunk(), format!("{{\"a\":{a}}}\n").as_bytes());
    }
    let metrics = done(&server, "/proton/v1/pipeline_metrics", json!({"query_id": "q1"}));
    assert_eq!(metrics["nodes"][0]["metric"]["processed_rows"], 2);
    let names: Vec<&str> = metrics["nodes"].as_array().unwrap().iter().filter_map(|n| n["name"].as_str()).collect();
    assert_eq!((names.first(), names.last()), (Some(&"Tail"), Some(&"Output")), "{metrics}");
    assert_eq!(metrics["edges"].as_array().map(Vec::len), Some(names.len() - 1));
    assert_eq!(metrics["metrics"]["sent"]["processed_rows"], 2);
    assert_eq!(failure(post(&server, "/proton/v1/pipeline_metrics", json!({"query_id": "q2"}))), (404, 2003));
    drop(client);
    server.wait_idle();
    // History, in pages.
    let answer = done_search(
        &server,
        json!({"query": "SELECT a FROM s ORDER BY a", "mode": "table", "offset": 1, "page_size": 5}),
    );
    assert_eq!(answer["data"], json!([[2]]));
    assert_eq!(answer["meta"][0], json!({"name": "a", "type": "int32"}));
    assert_eq!(done_search(&server, json!({"query": "SELECT 1 AS x"}))["rows"], 1);
    assert_eq!(failure(post(&server, "/proton/v1/search", json!({"query": "SELEC 1"}))), (500, 62));
    assert_eq!(failure(post(&server, "/proton/v1/search", json!({"query": "SELECT x FROM nothing"}))), (500, 60));
    assert_eq!(failure(post(&server, "/proton/v1/search", json!({}))), (400, 408));
    assert_eq!(failure(post(&server, "/proton/v1/search", json!({"query": "SELECT 1", "mode": "x"}))), (400, 408));
}

fn done_search(server: &Server, json: Value) -> Value {
    let (status, answer) = post(server, "/timeplusd/v1/search", json);
    assert_eq!(status, 200, "{answer}");
    answer
}

#[test]
fn databases_are_listed_created_and_dropped() {
    let server = start();
    let path = "/proton/v1/ddl/databases";
    done(&server, path, json!({"name": "d1"}));
    assert_eq!(failure(post(&server, path, json!({"name": "d1"}))), (400, 82));
    assert_eq!(body(&server.get(path))["databases"], json!(["d1", "default", "system"]));
    let stream = json!({"name": "s", "columns": [{"name": "a", "type": "int"}]});
    let answer =
        server.request("POST", "/proton/v1/ddl/streams", &["x-timeplus-database: d1"], stream.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(body(&server.get("/proton/v1/ddl/streams/d1"))["data"][0]["name"], "s");
    assert_eq!(send(&server, "DELETE", "/proton/v1/ddl/streams/s?database=d1", json!({})).0, 200);
    assert_eq!(send(&server, "DELETE", &format!("{path}/d1"), json!({})).0, 200);
    assert_eq!(failure(send(&server, "DELETE", &format!("{path}/d1"), json!({}))), (400, 81));
}

#[test]
fn statements_are_analyzed_and_formatted() {
    let server = start();
    table(&server, "CREATE STREAM s (a int, b string)");
    let answer = done(&server, "/proton/v1/sqlanalyzer", json!({"query": "select b, max(a) from s group by b"}));
    assert_eq!(answer["original_query"], "select b, max(a) from s group by b");
    assert_eq!((answer["query_type"].as_str(), answer["is_streaming"].as_bool()), (Some("SELECT"), Some(true)));
    assert_eq!(answer["group_by_columns"], json!(["b"]));
    assert_eq!(
        answer["required_columns"][0],
        json!({"database": "default", "table": "s", "is_view": false, "column": "a", "column_type": "int32"})
    );
    assert_eq!(answer["result_columns"][1], json!({"column": "max(a)", "column_type": "int32"}));
    assert_eq!(failure(post(&server, "/proton/v1/sqlanalyzer", json!({"query": "select"}))), (400, 62));
    let answer = done(&server, "/proton/v1/sqlformat", json!({"query": "select a, b from s where a>1"}));
    assert_eq!(answer["query"], "SELECT\n  a, b\nFROM\n  s\nWHERE\n  a > 1");
    assert_eq!(failure(post(&server, "/proton/v1/sqlformat", json!({"query": "select a from"}))), (400, 62));
    assert_eq!(failure(post(&server, "/proton/v1/sqlformat", json!({"query": "select 1; select 2"}))), (400, 62));
}

#[test]
fn functions_are_made_listed_replaced_and_dropped() {
    let server = start();
    table(&server, "CREATE FUNCTION plus_one AS (x) -> x + 1");
    let path = "/proton/v1/udfs";
    let all = body(&server.get(path));
    assert_eq!(all["data"][0]["name"], "plus_one");
    assert_eq!(
        (all["data"][0]["type"].as_str(), all["data"][0]["arguments"][0]["name"].as_str()),
        (Some("sql"), Some("x"))
    );
    assert_eq!(body(&server.get("/proton/v1/udfs/plus_one"))["data"], all["data"][0]);
    let missing = server.get("/proton/v1/udfs/nothing");
    assert_eq!(failure((missing.status, body(&missing))), (404, 46));
    assert_eq!(failure(post(&server, path, json!({"name": "f"}))), (400, 408));
    let add = |source: &str| {
        json!({"name": "add", "type": "javascript", "arguments": [{"name": "v", "type": "float32"}],
        "return_type": "float32", "source": source})
    };
    let made = post(&server, path, add("function add(v) { return v.map(x => x + 5); }"));
    assert_eq!((made.0, made.1["data"]["type"].as_str()), (200, Some("javascript")), "{}", made.1);
    assert_eq!(table(&server, "SELECT add(1.5)"), "6.5\n");
    // Sent again it is another one.
    done(&server, path, add("function add(v) { return v.map(x => x - 5); }"));
    assert_eq!(table(&server, "SELECT add(1.5)"), "-3.5\n");
    assert_eq!(failure(post(&server, path, add("function other(v) { return v; }"))).1, 2530);
    let sum = json!({"name": "total", "type": "javascript", "is_aggregation": true,
        "arguments": [{"name": "v", "type": "int64"}], "return_type": "int64",
        "source": "{ initialize: function() { this.n = 0; }, process: function(v) { for (let x of v) this.n += x; },
            finalize: function() { return this.n; } }"});
    done(&server, path, sum.clone());
    let told = &body(&server.get("/proton/v1/udfs/total"))["data"];
    for field in ["name", "type", "is_aggregation", "arguments", "return_type", "source"] {
        assert_eq!(told[field], sum[field], "{field}");
    }
    assert_eq!(table(&server, "SELECT total(to_int64(number)) FROM numbers(5)"), "10\n");
    let remote = json!({"name": "far", "type": "remote", "arguments": [{"name": "a", "type": "string"}],
        "return_type": "string", "url": "http://127.0.0.1:1/", "auth_method": "auth_header",
        "auth_context": {"key_name": "X-Key", "key_value": "verysecret"}, "execution_timeout": 300});
    let made = post(&server, path, remote);
    assert_eq!(made.0, 200, "{}", made.1);
    assert!(!made.1.to_string().contains("verysecret") && made.1["data"]["auth_context"]["key_name"] == "X-Key");
    assert!(!body(&server.get(path)).to_string().contains("verysecret"));
    // There is no directory of programs here.
    let executable = json!({"name": "f", "type": "executable", "arguments": [{"name": "a", "type": "int"}],
        "return_type": "int", "command": "x"});
    assert_eq!(failure(post(&server, path, executable)), (501, 48));
    let python = json!({"name": "f", "type": "python", "arguments": [{"name": "a", "type": "int"}],
        "return_type": "int", "source": "x"});
    assert_eq!(failure(post(&server, path, python)), (501, 48));
    assert_eq!(body(&server.get(path))["data"].as_array().unwrap().len(), 4);
    assert_eq!(send(&server, "DELETE", "/proton/v1/udfs/plus_one", json!({})).0, 200);
    assert_eq!(failure(send(&server, "DELETE", "/proton/v1/udfs/plus_one", json!({}))), (404, 46));
}

#[test]
fn the_server_tells_about_itself() {
    let server = start();
    assert_eq!(server.get("/timeplusd/ping").text(), r#"{"status":"UP"}"#);
    let info = body(&server.get("/proton/info"));
    assert_eq!(info["build"]["name"], "proton");
    assert_eq!(info["server"]["uuid"].as_str().map(str::len), Some(36));
    assert!(info["server"]["num_of_physical_cpu_cores"].as_u64() > Some(0));
    assert!(body(&server.get("/proton/apis"))["paths"]["/timeplusd/v1/search"]["post"].is_object());
    table(&server, "CREATE STREAM small (a int)");
    table(&server, "CREATE STREAM large (a string)");
    table(&server, "INSERT INTO large SELECT repeat(to_string(number), 10) FROM numbers(10000)");
    let storage = server.get("/proton/v1/storageinfo?sort=1");
    let data = &body(&storage)["data"];
    let large = &data["streams"]["default.large"];
    assert!(
        large["streaming_data_bytes"].as_u64() > Some(1_000) && large["streaming_data_paths"][0].is_string(),
        "{data}"
    );
    assert!(storage.text().find("default.large") < storage.text().find("default.small"));
    let simple = body(&server.get("/proton/v1/storageinfo/default?simple=true"));
    assert_eq!(simple["data"]["bytes_on_disk"], data["total_bytes_on_disk"]);
    assert_eq!(
        body(&server.get("/proton/v1/storageinfo/default/small"))["data"]["streams"].as_object().unwrap().len(),
        1
    );
    let missing = server.get("/proton/v1/storageinfo/default/nothing");
    assert_eq!(failure((missing.status, body(&missing))), (404, 60));
    let cluster = server.get("/proton/v1/clusterinfo");
    assert_eq!(failure((cluster.status, body(&cluster))), (500, 997));
    assert_eq!(failure(post(&server, "/proton/v1/system", json!({"type": "start maintain"}))), (400, 997));
    assert_eq!(body(&server.get("/proton/v1/telemetry"))["collect"], false);
    assert_eq!(done(&server, "/proton/v1/telemetry", json!({"collect": false}))["collect"], false);
    assert_eq!(failure(post(&server, "/proton/v1/telemetry", json!({"collect": true}))), (501, 48));
    assert_eq!(body(&server.get("/proton/v1/ddl/rawstores"))["data"], json!([]));
    let nothing = server.get("/proton/v2/info");
    assert_eq!(failure((nothing.status, body(&nothing))), (404, 2003));
    assert_eq!(failure(send(&server, "PUT", "/proton/v1/search", json!({}))), (501, 1));
    // The port speaks SQL over HTTP too.
    assert_eq!(server.post("/", b"SELECT 1").text(), "1\n");
    assert_eq!(server.get("/ping").text(), "Ok.\n");
}

#[test]
fn raw_stores_keep_events_with_the_time_that_stands_in_them() {
    let server = start();
    done(&server, "/proton/v1/ddl/rawstores", json!({"name": "r", "order_by_granularity": "H"}));
    assert_eq!(failure(post(&server, "/proton/v1/ddl/rawstores", json!({"name": "r"}))), (400, 57));
    assert_eq!(failure(post(&server, "/proton/v1/ddl/rawstores", json!({}))), (400, 408));
    table(&server, "CREATE STREAM plain (a int)");
    let listed = &body(&server.get("/timeplusd/v1/ddl/rawstores"))["data"];
    assert_eq!((listed[0]["name"].as_str(), listed.as_array().unwrap().len()), (Some("r"), 1));
    assert_eq!(listed[0]["order_by_expression"], "(to_start_of_hour(_tp_time), sourcetype)");
    let path = "/proton/v1/ingest/rawstores/r?mode=sync";
    let events = json!({
        "enrichment": {"time_extraction_type": "json_path", "time_extraction_rule": "at.time"},
        "data": [
            {"_raw": "{\"at\": {\"time\": \"2024-01-02 03:04:05.678\"}}", "host": "h", "source": "s", "sourcetype": "t"},
            {"_raw": "{\"at\": {\"time\": \"2024-01-02T03:04:06Z\"}}"},
        ]
    });
    done(&server, path, events);
    let rows = "SELECT to_string(_tp_time), host, sourcetype FROM table(r) ORDER BY _tp_time";
    assert_eq!(table(&server, rows), "2024-01-02 03:04:05.678\th\tt\n2024-01-02 03:04:06.000\t\t\n");
    assert_eq!(failure(post(&server, path, json!({"data": "x"}))), (400, 408));
    let bad = json!({"enrichment": {"time_extraction_type": "regex", "time_extraction_rule": "(?P<_time>\\d{4})"}, "data": [{"_raw": "x"}]});
    assert_eq!(failure(post(&server, path, bad)), (400, 117));
    assert_eq!(failure(post(&server, "/proton/v1/ingest/rawstores/no", json!({"data": [{"_raw": "x"}]}))), (404, 60));
    let delete = |name: &str| send(&server, "DELETE", &format!("/proton/v1/ddl/rawstores/{name}"), json!({}));
    assert_eq!(failure(delete("plain")), (404, 60));
    assert_eq!(delete("r").0, 200);
    assert_eq!(body(&server.get("/proton/v1/ddl/rawstores"))["data"], json!([]));
}

#[test]
fn external_streams_are_made_and_dropped() {
    let server = start();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.log"), "one\ntwo\n").unwrap();
    let setting = |key: &str, value: &str| json!({"key": key, "value": value});
    let path = "/proton/v1/ddl/externalstreams";
    let make = |settings: serde_json::Value| json!({"name": "e", "columns": [{"name": "raw", "type": "string"}], "settings": settings});
    let log = make(json!([
        setting("type", "log"),
        setting("log_dir", dir.path().to_str().unwrap()),
        setting("log_files", ".*log")
    ]));
    done(&server, path, log.clone());
    assert_eq!(failure(post(&server, path, log)), (400, 57));
    assert_eq!(table(&server, "SELECT raw FROM table(e)"), "one\ntwo\n");
    assert!(server.get("/metrics").text().contains("hydron_external_stream_read_rows_total 2\n"));
    assert_eq!(failure(post(&server, path, make(json!([setting("type", "kafka")])))).1, 57);
    assert_eq!(send(&server, "DELETE", "/proton/v1/ddl/streams/e", json!({})).0, 200);
    assert_eq!(failure(post(&server, path, make(json!([setting("type", "kafka")])))), (400, 471));
    let gone = [
        setting("type", "kafka"),
        setting("brokers", "127.0.0.1:1"),
        setting("topic", "t"),
        setting("reconnect_timeout_ms", "300"),
    ];
    assert_eq!(failure(post(&server, path, make(json!(gone)))).1, 210);
}

#[test]
fn users_come_in_with_their_password_and_stay_within_their_profile() {
    let users = Users::parse(
        "
users:
  admin: {password: a1}
  reader: {password: r1, profile: readonly}
  careful: {password: c1, readonly: 2}
",
    );
    let server = start_with(users.unwrap());
    let ask = |user: &str, key: &str, method: &str, path: &str, text: &str| {
        let headers = [format!("x-timeplus-user: {user}"), format!("x-timeplus-key: {key}")];
        let answer = server.request(method, path, &[&headers[0], &headers[1]], text.as_bytes());
        let code = answer.header("x-timeplus-exception-code").map(|c| c.parse::<u16>().unwrap());
        (answer.status, code)
    };
    let wrong = ask("admin", "x", "GET", "/proton/info", "");
    assert_eq!(wrong, (401, Some(516)));
    assert_eq!(ask("nobody", "a1", "GET", "/proton/info", ""), wrong);
    assert_eq!(ask("admin", "a1", "GET", "/proton/info", ""), (200, None));
    let create = r#"{"name": "s", "columns": [{"name": "a", "type": "int"}]}"#;
    assert_eq!(ask("reader", "r1", "POST", "/proton/v1/ddl/streams", create), (400, Some(164)));
    assert_eq!(ask("admin", "a1", "POST", "/proton/v1/ddl/streams", create), (200, None));
    let row = r#"{"columns": ["a"], "data": [[1]]}"#;
    for lift in ["", "&readonly=0", "&readonly=1", "&readonly=2", "&max_threads=2"] {
        let path = format!("/proton/v1/ingest/streams/s?mode=sync{lift}");
        assert_eq!(ask("reader", "r1", "POST", &path, row), (400, Some(164)), "{lift}");
    }
    assert_eq!(ask("reader", "r1", "POST", "/", "SELECT 1"), (200, None));
    assert_eq!(ask("reader", "r1", "GET", "/?query=SELECT+1", ""), (200, None));
    assert_eq!(ask("reader", "r1", "POST", "/", "SELECT 1 SETTINGS max_threads = 2").1, Some(164));
    assert_eq!(ask("reader", "r1", "POST", "/", "SET readonly = 0").1, Some(164));
    assert_eq!(ask("reader", "r1", "POST", "/", "INSERT INTO s (a) SETTINGS readonly = 0 VALUES (1)").1, Some(164));
    assert_eq!(ask("careful", "c1", "POST", "/", "SELECT 1 SETTINGS max_threads = 2"), (200, None));
    assert_eq!(ask("careful", "c1", "POST", "/?readonly=0", "INSERT INTO s (a) VALUES (1)").1, Some(164));
    assert_eq!(ask("admin", "a1", "GET", "/?query=INSERT+INTO+s+(a)+SETTINGS+readonly=0+VALUES+(1)", "").1, Some(164));
    assert_eq!(ask("admin", "a1", "POST", "/proton/v1/ingest/streams/s?mode=sync", row), (200, None));
}

#[test]
fn secrets_of_statements_are_kept_nowhere() {
    let server = start();
    let canary = "canary7f3a";
    for statement in [
        format!("CREATE USER u IDENTIFIED BY '{canary}'"),
        format!("CREATE EXTERNAL STREAM k (raw string) SETTINGS type = 'kafka', password = '{canary}'"),
        format!("SELECT * FROM url('http://u:{canary}@127.0.0.1:1/x', 'CSV', 'a int')"),
        format!("SELECT * FROM mysql('h', 'd', 't', 'u', '{canary}')"),
        format!("SELECT encrypt('aes-256-ecb', 'x', '{canary}') FROM nothing"),
        format!("SELECT 1 SETTINGS s3_secret_access_key = '{canary}'"),
        format!("SELECT 1 FRM password = '{canary}'"),
        format!("CREATE VIEW v AS SELECT 1 AS x WHERE 'api_key={canary}' != ''"),
    ] {
        let answer = server.post("/", statement.as_bytes());
        assert!(!answer.text().contains(canary), "{statement}: {}", answer.text());
    }
    let name = "canary".to_string() + "7f3a";
    for sql in [
        "SELECT query, exception FROM system.query_log",
        "SELECT * FROM system.errors",
        "SELECT * FROM system.processes",
        "SELECT * FROM system.tables WHERE database = 'default'",
        "SHOW CREATE v",
    ] {
        let text = table(&server, sql);
        assert!(!text.contains(&name), "{sql}: {text}");
    }
    assert!(table(&server, "SHOW CREATE v").contains("[HIDDEN]"));
    assert!(table(&server, "SELECT query FROM system.query_log").contains("IDENTIFIED BY \\'[HIDDEN]\\'"));
}

#[test]
fn hostile_requests_are_answered() {
    let server = start();
    table(&server, "CREATE STREAM s (a int, j string)");
    let deep = "[".repeat(200_000);
    for text in [
        format!(r#"{{"columns":["a"],"data":[[{deep}"#),
        format!(r#"{{"columns":["a"],"data":[[1]],"x":{deep}"#),
        format!(r#"{{"columns":{deep}"#),
        format!(r#"{{"{}":1}}"#, "k".repeat(2 << 20)),
        "\u{0}".repeat(1_000),
        r#"{"columns":["a","a"],"data":[[1,2]]}"#.to_string(),
        r#"{"columns":["a; DROP STREAM s"],"data":[[1]]}"#.to_string(),
        r#"{"columns":["a) VALUES (1"],"data":[[1]]}"#.to_string(),
    ] {
        let answer = server.post("/proton/v1/ingest/streams/s", text.as_bytes());
        assert_eq!(failure((answer.status, body(&answer))).0, 400, "{}", answer.text());
    }
    for path in ["/proton/v1/search", "/proton/v1/sqlanalyzer", "/proton/v1/sqlformat", "/proton/v1/ddl/streams"] {
        for text in [deep.clone(), format!(r#"{{"query":{deep}"#), format!(r#"{{"query":"{}"}}"#, "(".repeat(100_000))]
        {
            let answer = server.post(path, text.as_bytes());
            assert!(failure((answer.status, body(&answer))).0 >= 400, "{path}");
        }
        let long = server.post(path, " ".repeat(5 << 20).as_bytes());
        assert_eq!(failure((long.status, body(&long))), (413, 307), "{path}");
    }
    let odd = server.get("/proton/v1/ddl/streams/default/%00%ff%27%3BDROP%20STREAM%20s");
    assert_eq!(failure((odd.status, body(&odd))), (404, 60));
    assert_eq!(table(&server, "SELECT count() FROM table(s)"), "0\n");
}

#[test]
fn users_made_by_sql_come_in_and_may_do_what_they_were_granted() {
    let server = start();
    let ask = |user: &str, key: &str, path: &str, text: &str| {
        let headers = [format!("x-timeplus-user: {user}"), format!("x-timeplus-key: {key}")];
        let answer = server.request("POST", path, &[&headers[0], &headers[1]], text.as_bytes());
        let code = answer.header("x-timeplus-exception-code").map(|c| c.parse::<u16>().unwrap());
        (answer.status, code)
    };
    let done = |text: &str| assert_eq!(ask("default", "", "/", text), (200, None), "{text}");
    done("create stream s (a int)");
    done("create stream hidden (a int)");
    assert_eq!(ask("alice", "p1", "/", "select 1").1, Some(516));
    done("create user alice identified by 'p1'");
    done("create user away identified by 'p2' host ip '10.0.0.0/8'");
    done("grant select on default.s to alice");
    assert_eq!(ask("alice", "p1", "/", "select 1"), (200, None));
    assert_eq!(ask("alice", "p2", "/", "select 1").1, Some(516));
    assert_eq!(ask("away", "p2", "/", "select 1").1, Some(195));
    let row = r#"{"columns": ["a"], "data": [[1]]}"#;
    assert_eq!(ask("alice", "p1", "/proton/v1/ingest/streams/s?mode=sync", row).1, Some(497));
    assert_eq!(ask("default", "", "/proton/v1/ingest/streams/s?mode=sync", row), (200, None));
    assert_eq!(ask("alice", "p1", "/proton/v1/search", r#"{"query": "select * from table(s)"}"#), (200, None));
    assert_eq!(ask("alice", "p1", "/proton/v1/search", r#"{"query": "select * from table(hidden)"}"#).1, Some(497));
    let listed = |path: &str| {
        let answer = server.request("GET", path, &["x-timeplus-user: alice", "x-timeplus-key: p1"], b"");
        (answer.status, answer.text().to_string())
    };
    let (status, text) = listed("/proton/v1/ddl/streams");
    assert!(status == 200 && text.contains("\"s\"") && !text.contains("hidden"), "{text}");
    assert_ne!(listed("/proton/v1/ddl/streams/default/hidden").0, 200);
    // Users of a file that is read anew take nothing from those of SQL.
    done("alter user alice identified by 'p3'");
    assert_eq!(ask("alice", "p1", "/", "select 1").1, Some(516));
    assert_eq!(ask("alice", "p3", "/", "select 1"), (200, None));
    done("drop user alice");
    assert_eq!(ask("alice", "p3", "/", "select 1").1, Some(516));
}
