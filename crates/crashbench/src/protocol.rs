//! How a statement is put to the server: over HTTP, the native protocol or REST.
//!
//! In: a statement with its parameters. Out: the bytes of a request, and a parser for the answer. Promise: whatever the
//! protocol, an answer has a head with a status, a body of lines with tabs, and an end that its framing says.

use crate::http::{self, End, Head};
use crate::native;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Http,
    Native,
    Rest,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Native => "native",
            Protocol::Rest => "rest",
        }
    }

    /// Errors: the name is none of a protocol's.
    pub fn parse(name: &str) -> Result<Protocol, String> {
        let all = [Protocol::Http, Protocol::Native, Protocol::Rest];
        all.into_iter().find(|p| p.name() == name).ok_or_else(|| format!("'{name}' is none of http, native, rest"))
    }

    /// The bytes of one request.
    pub fn request(self, sql: &str, parameters: &[(&str, &str)], keep: bool) -> Vec<u8> {
        match self {
            Protocol::Http => post("/", sql, parameters, keep),
            Protocol::Native => native::query(sql, parameters),
            // What has no rows is no search; the same port takes it as SQL.
            Protocol::Rest if !sql.starts_with("select") => post("/", sql, parameters, keep),
            Protocol::Rest => {
                let mut parameters = parameters.to_vec();
                parameters.push(("default_format", "TabSeparated"));
                let body = serde_json::json!({ "query": sql }).to_string();
                post("/proton/v1/search", &body, &parameters, keep)
            }
        }
    }

    pub fn parser(self) -> Parser {
        match self {
            Protocol::Http | Protocol::Rest => Parser::Http(http::Parser::default()),
            Protocol::Native => Parser::Native(native::Parser::default()),
        }
    }
}

fn post(path: &str, body: &str, parameters: &[(&str, &str)], keep: bool) -> Vec<u8> {
    let pairs: Vec<String> = parameters.iter().map(|(n, v)| format!("{n}={}", escape(v))).collect();
    let connection = if keep { "keep-alive" } else { "close" };
    format!(
        "POST {path}?{} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\nContent-Length: {}\r\n\r\n{body}",
        pairs.join("&"),
        body.len()
    )
    .into_bytes()
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A port, and what is spoken there. A number alone is HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    pub port: u16,
    pub protocol: Protocol,
}

impl From<u16> for Endpoint {
    fn from(port: u16) -> Endpoint {
        Endpoint { port, protocol: Protocol::Http }
    }
}

impl Endpoint {
    /// A connection that may be asked at once: where the protocol begins with an introduction, it is over.
    pub fn connect(self, patience: Duration) -> io::Result<TcpStream> {
        let mut socket = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)), patience)?;
        socket.set_nodelay(true)?;
        if self.protocol == Protocol::Native {
            native::introduce(&mut socket, patience)?;
        }
        Ok(socket)
    }
}

/// Takes one answer apart.
#[derive(Debug)]
pub enum Parser {
    Http(http::Parser),
    Native(native::Parser),
}

impl Parser {
    /// Takes the next bytes; `body` gets those of the body.
    pub fn feed(&mut self, bytes: &[u8], body: impl FnMut(&[u8])) {
        match self {
            Parser::Http(parser) => parser.feed(bytes, body),
            Parser::Native(parser) => parser.feed(bytes, body),
        }
    }

    /// The connection is closed. Answers how the answer ended.
    pub fn close(&mut self) -> End {
        match self {
            Parser::Http(parser) => parser.close(),
            Parser::Native(parser) => parser.close(),
        }
    }

    pub fn head(&self) -> Option<&Head> {
        match self {
            Parser::Http(parser) => parser.head(),
            Parser::Native(parser) => parser.head(),
        }
    }

    pub fn end(&self) -> Option<End> {
        match self {
            Parser::Http(parser) => parser.end(),
            Parser::Native(parser) => parser.end(),
        }
    }

    /// Bytes that came after the end; a server that keeps to the protocol sends none.
    pub fn extra_bytes(&self) -> u64 {
        match self {
            Parser::Http(parser) => parser.extra_bytes(),
            Parser::Native(parser) => parser.extra_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_escaped() {
        let text = |protocol: Protocol, sql| {
            String::from_utf8(protocol.request(sql, &[("query_id", "a b&c")], false)).unwrap()
        };
        let http = text(Protocol::Http, "select 1");
        assert!(http.starts_with("POST /?query_id=a%20b%26c HTTP/1.1\r\n"), "{http}");
        assert!(http.contains("Connection: close\r\nContent-Length: 8\r\n\r\nselect 1"), "{http}");
        let rest = text(Protocol::Rest, "select 1");
        assert!(rest.starts_with("POST /proton/v1/search?query_id=a%20b%26c&default_format="), "{rest}");
        assert!(rest.ends_with("\r\n\r\n{\"query\":\"select 1\"}"), "{rest}");
        assert!(text(Protocol::Rest, "set a = 1").starts_with("POST /?"));
    }

    #[test]
    fn protocols_have_names() {
        assert_eq!(Protocol::parse("native"), Ok(Protocol::Native));
        assert!(Protocol::parse("odbc").unwrap_err().contains("http, native, rest"));
    }
}
