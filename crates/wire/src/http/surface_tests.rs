//! What requests may say beside their query, and what answers say of it.

use super::tests::Server;

const JSON: &str = "default_format=JSONEachRow";

#[test]
fn roles_of_a_request_are_those_of_its_query() {
    let server = Server::start();
    for text in [
        "CREATE STREAM t (x int32)",
        "CREATE ROLE r1, r2, r3",
        "GRANT SELECT ON t TO r1",
        "CREATE USER u",
        "GRANT r1, r2 TO u",
    ] {
        assert_eq!(server.post("/", text.as_bytes()).status, 200, "{text}");
    }
    let roles = |target: &str| server.post(target, b"SELECT current_roles()");
    assert_eq!(roles("/?user=u").text(), "['r1','r2']\n");
    assert_eq!(roles("/?user=u&role=r2").text(), "['r2']\n");
    assert_eq!(roles("/?user=u&role=r2&role=r1").text(), "['r1','r2']\n");
    let refused = server.post("/?user=u&role=r2", b"SELECT count() FROM t");
    assert_eq!((refused.status, refused.header("x-clickhouse-exception-code")), (403, Some("497")));
    assert_eq!(server.post("/?user=u&role=r1", b"SELECT count() FROM t").text(), "0\n");
    let not_granted = roles("/?user=u&role=r3");
    assert_eq!((not_granted.status, not_granted.header("x-clickhouse-exception-code")), (403, Some("512")));
    let unknown = roles("/?user=u&role=r4");
    assert_eq!((unknown.status, unknown.header("x-clickhouse-exception-code")), (404, Some("511")));
    // A session keeps the roles that SET ROLE has chosen, and none of a parameter.
    assert_eq!(roles("/?user=u&session_id=s&role=r2").text(), "['r2']\n");
    assert_eq!(roles("/?user=u&session_id=s").text(), "['r1','r2']\n");
    server.post("/?user=u&session_id=s", b"SET ROLE r1");
    assert_eq!(roles("/?user=u&session_id=s&role=r2").text(), "['r2']\n");
    assert_eq!(roles("/?user=u&session_id=s").text(), "['r1']\n");
}

#[test]
fn a_session_that_is_closed_is_gone() {
    let server = Server::start();
    server.post("/?session_id=s", b"SET max_threads = 3");
    let ask = |more: &str| server.post(&format!("/?session_id=s{more}"), b"SELECT get_setting('max_threads')");
    assert_eq!(ask("&session_check=1&close_session=1").text(), "3\n");
    let gone = ask("&session_check=1");
    assert_eq!((gone.status, gone.header("x-clickhouse-exception-code")), (404, Some("372")));
    assert_ne!(ask("").text(), "3\n");
}

#[test]
fn an_error_within_the_buffer_still_has_a_status() {
    let server = Server::start();
    let query = b"SELECT throw_if(number = 50000) FROM numbers(60000) SETTINGS max_block_size = 100";
    let at_once = server.post("/", query);
    assert_eq!(at_once.status, 200);
    let held = server.post("/?buffer_size=1000000", query);
    assert_eq!((held.status, held.header("x-clickhouse-exception-code")), (500, Some("395")));
    assert!(held.text().starts_with("Code: 395"), "{}", held.text());
    let beyond = server.post("/?buffer_size=300", query);
    assert_eq!(beyond.status, 200);
    let all = server.post(&format!("/?buffer_size=100000&{JSON}"), b"SELECT number FROM numbers(3)");
    assert_eq!(all.text(), "{\"number\":\"0\"}\n{\"number\":\"1\"}\n{\"number\":\"2\"}\n");
    let small = server.post("/?buffer_size=3", b"SELECT number FROM numbers(3) SETTINGS max_block_size = 1");
    assert_eq!(small.text(), "0\n1\n2\n");
    let nothing = server.post("/?buffer_size=100", b"CREATE STREAM t (x int32)");
    assert_eq!((nothing.status, nothing.text()), (200, ""));
}

#[test]
fn headers_that_a_query_asks_for() {
    let server = Server::start();
    let origin = "origin: http://page.example";
    let allowed = |target: &str, headers: &[&str]| {
        let answer = server.request("POST", target, headers, b"SELECT 1");
        answer.header("access-control-allow-origin").map(str::to_string)
    };
    assert_eq!(allowed("/?add_http_cors_header=1", &[origin]).as_deref(), Some("*"));
    assert_eq!(allowed("/?add_http_cors_header=1&database=no", &[origin]).as_deref(), Some("*"), "errors too");
    assert_eq!(allowed("/?add_http_cors_header=1", &[]), None);
    assert_eq!(allowed("/", &[origin]), None);
    let answer = server.post("/?http_response_headers={'X-My':'a%20b','Content-Type':'image/png'}", b"SELECT 1");
    assert_eq!((answer.header("x-my"), answer.header("content-type")), (Some("a b"), Some("image/png")));
    let wrong = server.post("/?http_response_headers=x", b"SELECT 1");
    assert_eq!((wrong.status, wrong.header("x-clickhouse-exception-code")), (400, Some("36")));
    let summary = server.post("/?wait_end_of_query=1", b"SELECT 1");
    assert!(summary.header("x-clickhouse-summary").unwrap().contains("\"elapsed_ns\":\""));
}

#[test]
fn statuses_tell_what_is_wrong() {
    let server = Server::start();
    for (target, query, status) in [
        ("/?database=nowhere", "SELECT 1", 404),
        ("/?database=system", "SELECT count() > 0 FROM streams", 200),
        ("/", "SELECT {a:int32}", 400),
        ("/?param_a=x", "SELECT {a:int32}", 400),
        ("/?max_threads=x", "SELECT 1", 400),
        ("/?session_id=s&session_timeout=x", "SELECT 1", 400),
        ("/?max_execution_time=0.01", "SELECT sleep(1)", 408),
        ("/", "SELECT to_int32('x')", 400),
        ("/?no_such_setting=1", "SELECT 1", 404),
    ] {
        let answer = server.post(target, query.as_bytes());
        assert_eq!(answer.status, status, "{target} {query}: {}", answer.text());
    }
    // A POST says how long it is.
    let mut client = server.connect();
    client.write(b"POST /?query=SELECT+1 HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(client.answer(false).status, 411);
    let basic = "authorization: Basic ZGVmYXVsdDo=";
    assert_eq!(server.request("POST", "/", &[basic], b"SELECT 1").status, 200);
    for (target, header) in [("/?user=default", basic), ("/?user=default", "x-clickhouse-user: default")] {
        let both = server.request("POST", target, &[header], b"SELECT 1");
        assert_eq!((both.status, both.header("x-clickhouse-exception-code")), (403, Some("516")), "{target} {header}");
    }
}
