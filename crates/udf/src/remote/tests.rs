//! Against a small HTTP server in the same process.

use super::*;
use hydron_base::world::WallTime;
use hydron_func::{Datum, EvalContext, Registry};
use hydron_types::{LogicalType, Value, array_of, parse_type, value_at};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// Answers one request with `answer`, made of its head and body.
fn server(answer: impl Fn(&str, &str) -> Option<String> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: TcpStream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() {
                continue;
            }
            match answer(&head, std::str::from_utf8(&body).unwrap()) {
                Some(text) => drop(stream.write_all(text.as_bytes())),
                // Keeps the connection and says nothing.
                None => std::mem::forget(stream),
            }
        }
    });
    format!("http://user:secret@{address}/f?key=hidden")
}

fn http(status: &str, body: &str) -> Option<String> {
    Some(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()))
}

fn signature() -> Arc<Signature> {
    let args = vec![(Arc::from("ip"), LogicalType::String), (Arc::from("n"), LogicalType::Int32)];
    Arc::new(Signature { name: Arc::from("lookup"), args, returns: parse_type("array(string)").unwrap() })
}

fn call(service: Service, stop: Stop) -> Result<Vec<Value>> {
    let mut registry = Registry::default();
    registry.add_scalar("lookup", Remote::new(signature(), service)?);
    let cx = BindContext { stop, ..BindContext::default() };
    let args = [ArgInfo::column(LogicalType::String), ArgInfo::column(LogicalType::UInt8)];
    let bound = registry.bind_scalar("lookup", &cx, &args)?;
    let columns = [
        Datum::Array(array_of(&Value::string("a\"b"), &LogicalType::String, 2)?),
        Datum::Scalar(array_of(&Value::UInt(7), &LogicalType::UInt8, 1)?),
    ];
    let result = bound.kernel.eval(&EvalContext::at(WallTime(0)), &columns, 2)?.to_array(2)?;
    Ok((0..2).map(|row| value_at(&result, &bound.ty, row)).collect())
}

fn at(url: String) -> Service {
    Service { url, auth: Some(("X-Key".to_string(), "k1".to_string())), execution_timeout_ms: Some(2_000) }
}

#[test]
fn a_batch_is_one_request() {
    let url = server(|head, body| {
        assert!(head.starts_with("POST /f?key=hidden "), "{head}");
        assert!(head.to_ascii_lowercase().contains("x-key: k1"), "{head}");
        assert_eq!(body, r#"{"ip":["a\"b","a\"b"],"n":[7,7]}"#);
        http("200 OK", "{ \"other\": 1, \"result\": [[\"x\"],\n [ \"y\", \"z\"]] }")
    });
    let lists = call(at(url), Stop::default()).unwrap();
    assert_eq!(lists[0], Value::Array(vec![Value::string("x")]));
    assert_eq!(lists[1], Value::Array(vec![Value::string("y"), Value::string("z")]));
}

#[test]
fn what_goes_wrong_there_is_told_without_secrets() {
    let cases = [
        ("500 Oops", "broken", "HTTP status 500"),
        ("302 Found", "", "HTTP status 302"),
        ("200 OK", "[1]", "no JSON object"),
        ("200 OK", "{\"results\": []}", "no field 'result'"),
        ("200 OK", "{\"result\": 1}", "no array"),
        ("200 OK", "{\"result\": [1, 2]}", "cannot be read"),
        ("200 OK", "{\"result\": [null, null]}", "cannot be read"),
    ];
    for (status, body, expected) in cases {
        let url = server(move |_, _| http(status, body));
        let error = call(at(url), Stop::default()).unwrap_err();
        assert_eq!(error.code, Code::REMOTE_CALL_FAILED, "{error}");
        assert!(error.message.contains(expected), "{error}");
        assert!(
            !error.message.contains("secret") && !error.message.contains("hidden") && !error.message.contains("k1")
        );
    }
    let short = server(|_, _| http("200 OK", "{\"result\": [[]]}"));
    assert_eq!(call(at(short), Stop::default()).unwrap_err().code, Code::UDF_INTERNAL_ERROR);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = call(at(format!("http://{nobody}/")), Stop::default()).unwrap_err();
    assert_eq!(error.code, Code::REMOTE_CALL_FAILED, "{error}");
    for url in ["ftp://h/", "http://", "nothing"] {
        assert_eq!(call(at(url.to_string()), Stop::default()).unwrap_err().code, Code::BAD_ARGUMENTS, "{url}");
    }
}

#[test]
fn a_silent_server_is_left_at_the_deadline_or_with_the_query() {
    let started = Instant::now();
    let slow = Service { execution_timeout_ms: Some(150), ..at(server(|_, _| None)) };
    let error = call(slow.clone(), Stop::default()).unwrap_err();
    assert_eq!(error.code, Code::REMOTE_CALL_FAILED, "{error}");
    assert!(started.elapsed() < Duration::from_secs(2));
    let until = Instant::now() + Duration::from_millis(100);
    let patient = Service { execution_timeout_ms: Some(60_000), ..slow };
    let error = call(patient, Stop::when(move || Instant::now() > until)).unwrap_err();
    assert_eq!(error.code, Code::QUERY_WAS_CANCELLED, "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
}
