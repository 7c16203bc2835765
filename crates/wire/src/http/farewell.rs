//! The last word over HTTP: a whole response, or the last chunk of one that was begun.

use super::request::FAMILIES;
use super::status;
use crate::farewell::{Ending, Farewell, Notice, message};
use hydron_board::connection::{CHUNKED, COMPRESSED, HEAD_SENT, LAST, REQUEST_READ};
use std::fmt::Write;

pub struct HttpFarewell;

impl Farewell for HttpFarewell {
    fn write(&self, flags: u32, notice: &Notice<'_>, out: &mut Vec<u8>) -> Ending {
        let mut text = String::with_capacity(1_024);
        message(notice, &mut text);
        if flags & HEAD_SENT != 0 {
            // Behind a body of known length, or inside a compressed one, there is no place for a text.
            if flags & CHUNKED == 0 || flags & COMPRESSED != 0 {
                return Ending::Silent;
            }
            let mut head = String::with_capacity(16);
            let _ = write!(head, "{:x}\r\n", text.len());
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b"\r\n0\r\n\r\n");
            return ending(flags);
        }
        let status = status::of(notice.code);
        let mut head = String::with_capacity(1_024);
        let _ = write!(head, "HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or("Error"));
        head.push_str("content-type: text/plain; charset=UTF-8\r\n");
        for family in FAMILIES {
            let _ = write!(head, "{family}exception-code: {}\r\n", notice.code.number());
            let mut field = |name: &str, value: &str| {
                if !value.is_empty() && value.bytes().all(|b| (0x20..0x7f).contains(&b)) {
                    let _ = write!(head, "{family}{name}: {value}\r\n");
                }
            };
            field("query-id", notice.query_id);
            field("incident-id", notice.incident);
            field("idempotent-id", notice.token);
        }
        if notice.retry {
            head.push_str("retry-after: 1\r\n");
        }
        whole(flags, head, text.as_bytes(), out)
    }

    fn write_committed(&self, flags: u32, query_id: &str, out: &mut Vec<u8>) -> Ending {
        if flags & HEAD_SENT != 0 {
            if flags & CHUNKED == 0 || flags & COMPRESSED != 0 {
                return Ending::Silent;
            }
            out.extend_from_slice(b"0\r\n\r\n");
            return ending(flags);
        }
        let mut head = String::with_capacity(256);
        head.push_str("HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=UTF-8\r\n");
        for family in FAMILIES {
            if !query_id.is_empty() && query_id.bytes().all(|b| (0x20..0x7f).contains(&b)) {
                let _ = write!(head, "{family}query-id: {query_id}\r\n");
            }
        }
        whole(flags, head, b"", out)
    }
}

/// Ends the head, with the length of the body and what becomes of the connection.
fn whole(flags: u32, mut head: String, body: &[u8], out: &mut Vec<u8>) -> Ending {
    let ending = ending(flags);
    if ending == Ending::Last {
        head.push_str("connection: close\r\n");
    }
    let _ = write!(head, "content-length: {}\r\n\r\n", body.len());
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
    ending
}

/// A request that was not read to its end, or asked for it, ends the connection.
fn ending(flags: u32) -> Ending {
    if flags & LAST == 0 && flags & REQUEST_READ != 0 { Ending::Open } else { Ending::Last }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_base::Code;

    fn notice() -> Notice<'static> {
        Notice {
            code: Code::SERVER_RESTARTED,
            text: "the server was restarted",
            query_id: "q1",
            incident: "i1",
            retry: true,
            token: "",
        }
    }

    fn written(flags: u32) -> (Ending, String) {
        let mut out = Vec::new();
        let ending = HttpFarewell.write(flags, &notice(), &mut out);
        (ending, String::from_utf8(out).unwrap())
    }

    #[test]
    fn before_the_head_a_whole_response_is_said() {
        let (ending, text) = written(REQUEST_READ);
        assert_eq!(ending, Ending::Open);
        assert!(text.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{text}");
        for part in ["x-clickhouse-exception-code: 2901\r\n", "retry-after: 1\r\n", "query-id: q1\r\n"] {
            assert!(text.contains(part), "{text}");
        }
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{text}");
        assert_eq!(
            body,
            "Code: 2901. DB::Exception: the server was restarted, query id: q1, incident: i1. (SERVER_RESTARTED)\n"
        );
    }

    #[test]
    fn behind_chunks_comes_one_more_and_the_end() {
        let (ending, text) = written(REQUEST_READ | HEAD_SENT | CHUNKED);
        assert_eq!(ending, Ending::Open);
        let (size, rest) = text.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        assert_eq!(&rest[size..], "\r\n0\r\n\r\n");
    }

    #[test]
    fn where_no_text_can_follow_none_is_written() {
        assert_eq!(written(REQUEST_READ | HEAD_SENT), (Ending::Silent, String::new()));
        assert_eq!(written(REQUEST_READ | HEAD_SENT | CHUNKED | COMPRESSED), (Ending::Silent, String::new()));
    }

    #[test]
    fn a_request_that_was_not_read_to_its_end_closes_the_connection() {
        let (ending, text) = written(0);
        assert_eq!(ending, Ending::Last);
        assert!(text.contains("connection: close\r\n"));
    }
}
