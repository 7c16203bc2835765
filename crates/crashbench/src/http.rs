//! One HTTP/1.1 answer, taken apart as its bytes come, cut anywhere.
//!
//! In: bytes as they were read. Out: the head, the body's bytes, and how it ended. Promise: an answer counts as whole only
//! when its framing says so; what comes after a whole answer is counted, never mistaken for a part of it.

/// The longest head that is read; more is malformed.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// The longest line that opens a chunk.
const CHUNK_LINE_BYTES_MAX: usize = 1 << 10;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    /// Names in lower case, in the order in which they came.
    headers: Vec<(String, String)>,
}

impl Head {
    /// One without headers.
    pub fn of(status: u16) -> Head {
        Head { status, headers: Vec::new() }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A header that the server sends under several prefixes: `x-clickhouse-NAME` or `x-timeplus-NAME`.
    pub fn family(&self, name: &str) -> Option<&str> {
        ["x-clickhouse-", "x-timeplus-", "x-proton-"].iter().find_map(|p| self.get(&format!("{p}{name}")))
    }

    fn parse(text: &[u8]) -> Option<Head> {
        let text = String::from_utf8_lossy(text);
        let mut lines = text.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter(|line| !line.is_empty())
            .map(|line| line.split_once(':').map(|(n, v)| (n.trim().to_ascii_lowercase(), v.trim().to_string())))
            .collect::<Option<_>>()?;
        Some(Head { status, headers })
    }
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As its framing announced.
    Whole,
    /// The connection closed before the answer began.
    Unanswered,
    /// The connection closed inside the answer.
    CutOff,
    /// The bytes are no answer of HTTP/1.1.
    Malformed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head,
    Sized(u64),
    ChunkSize,
    Chunk(u64),
    /// The line break behind a chunk.
    ChunkEnd,
    /// Lines behind the last chunk, up to an empty one.
    Trailer,
    UntilClose,
    Ended(End),
}

#[derive(Debug)]
pub struct Parser {
    part: Part,
    /// A line or head that is not complete yet.
    held: Vec<u8>,
    head: Option<Head>,
    extra_bytes: u64,
}

impl Default for Parser {
    fn default() -> Parser {
        Parser { part: Part::Head, held: Vec::new(), head: None, extra_bytes: 0 }
    }
}

impl Parser {
    /// Takes the next bytes; `body` gets those of the body.
    pub fn feed(&mut self, mut bytes: &[u8], mut body: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            bytes = match self.part {
                Part::Head => self.take_head(bytes),
                Part::Sized(left) => self.take_body(bytes, left, Part::Ended(End::Whole), Part::Sized, &mut body),
                Part::Chunk(left) => self.take_body(bytes, left, Part::ChunkEnd, Part::Chunk, &mut body),
                Part::ChunkSize | Part::ChunkEnd | Part::Trailer => self.take_line(bytes),
                Part::UntilClose => {
                    body(bytes);
                    &[]
                }
                Part::Ended(_) => {
                    self.extra_bytes += bytes.len() as u64;
                    &[]
                }
            }
        }
    }

    /// The connection is closed. Answers how the answer ended.
    pub fn close(&mut self) -> End {
        let end = match self.part {
            Part::Ended(end) => end,
            Part::UntilClose => End::Whole,
            Part::Head if self.held.is_empty() => End::Unanswered,
            _ => End::CutOff,
        };
        self.part = Part::Ended(end);
        end
    }

    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    pub fn end(&self) -> Option<End> {
        match self.part {
            Part::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// Bytes that came after the end; a server that keeps to the protocol sends none.
    pub fn extra_bytes(&self) -> u64 {
        self.extra_bytes
    }

    fn take_head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let before = self.held.len();
        self.held.extend_from_slice(bytes);
        let Some(at) = find(&self.held, b"\r\n\r\n", before.saturating_sub(3)) else {
            if self.held.len() > HEAD_BYTES_MAX {
                self.part = Part::Ended(End::Malformed);
            }
            return &[];
        };
        let rest = &bytes[at + 4 - before..];
        let head = Head::parse(&self.held[..at]);
        self.held.clear();
        self.part = match &head {
            None => Part::Ended(End::Malformed),
            // An interim answer; the real one follows.
            Some(head) if head.status < 200 => Part::Head,
            Some(head) => body_of(head),
        };
        if self.part != Part::Head {
            self.head = head;
        }
        rest
    }

    fn take_body<'a>(
        &mut self,
        bytes: &'a [u8],
        left: u64,
        then: Part,
        still: fn(u64) -> Part,
        body: &mut impl FnMut(&[u8]),
    ) -> &'a [u8] {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let (now, rest) = bytes.split_at(count);
        body(now);
        let left = left - count as u64;
        self.part = if left == 0 { then } else { still(left) };
        rest
    }

    fn take_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (line, rest) = match bytes.iter().position(|b| *b == b'\n') {
            Some(at) => (&bytes[..=at], &bytes[at + 1..]),
            None => (bytes, &[][..]),
        };
        self.held.extend_from_slice(line);
        if self.held.len() > CHUNK_LINE_BYTES_MAX {
            self.part = Part::Ended(End::Malformed);
        } else if self.held.ends_with(b"\n") {
            let line = String::from_utf8_lossy(&self.held).trim_end().to_string();
            self.held.clear();
            self.part = after_line(self.part, &line);
        }
        rest
    }
}

fn body_of(head: &Head) -> Part {
    if head.status == 204 || head.status == 304 {
        return Part::Ended(End::Whole);
    }
    if head.get("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        return Part::ChunkSize;
    }
    match head.get("content-length").map(str::parse::<u64>) {
        Some(Ok(0)) => Part::Ended(End::Whole),
        Some(Ok(length)) => Part::Sized(length),
        Some(Err(_)) => Part::Ended(End::Malformed),
        None => Part::UntilClose,
    }
}

fn after_line(part: Part, line: &str) -> Part {
    match part {
        Part::ChunkEnd if line.is_empty() => Part::ChunkSize,
        Part::Trailer if line.is_empty() => Part::Ended(End::Whole),
        Part::Trailer => Part::Trailer,
        Part::ChunkSize => match u64::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16) {
            Ok(0) => Part::Trailer,
            Ok(size) => Part::Chunk(size),
            Err(_) => Part::Ended(End::Malformed),
        },
        _ => Part::Ended(End::Malformed),
    }
}

fn find(text: &[u8], what: &[u8], from: usize) -> Option<usize> {
    text[from..].windows(what.len()).position(|w| w == what).map(|at| at + from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in pieces of `size` bytes, then closes if it has not ended.
    fn parse(text: &str, size: usize) -> (Parser, String, End) {
        let mut parser = Parser::default();
        let mut body = Vec::new();
        text.as_bytes().chunks(size).for_each(|piece| parser.feed(piece, |b| body.extend_from_slice(b)));
        let end = parser.close();
        (parser, String::from_utf8(body).unwrap(), end)
    }

    #[test]
    fn chunks_cut_anywhere_give_the_same_body() {
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-ClickHouse-Query-Id: a\r\n\r\n\
                    3\r\nab\n\r\n1f\r\nabcdefghijklmnopqrstuvwxyz12345\r\n0\r\n\r\n";
        for size in 1..text.len() {
            let (parser, body, end) = parse(text, size);
            assert_eq!((body.as_str(), end), ("ab\nabcdefghijklmnopqrstuvwxyz12345", End::Whole), "pieces of {size}");
            assert_eq!(parser.head().unwrap().family("query-id"), Some("a"));
            assert_eq!(parser.extra_bytes(), 0);
        }
    }

    #[test]
    fn the_end_is_what_the_framing_says() {
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let cases = [
            (String::new(), End::Unanswered),
            ("HTT".to_string(), End::CutOff),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_string(), End::Whole),
            ("HTTP/1.1 503 Busy\r\ncontent-length: 3\r\n\r\nab".to_string(), End::CutOff),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na".to_string(), End::Whole),
            ("HTTP/1.0 200 OK\r\n\r\nabc".to_string(), End::Whole),
            (format!("{chunked}2\r\nab\r\n"), End::CutOff),
            (format!("{chunked}2\r\nab\r\n0\r\n"), End::CutOff),
            (format!("{chunked}2\r\nab\r\n0\r\nA: b\r\n\r\n"), End::Whole),
            (format!("{chunked}2\r\nabc\r\n"), End::Malformed),
            (format!("{chunked}zz\r\n"), End::Malformed),
            ("SSH-2.0-x\r\n\r\n".to_string(), End::Malformed),
        ];
        for (text, end) in cases {
            assert_eq!(parse(&text, 7).2, end, "{text}");
        }
    }

    #[test]
    fn bytes_after_the_end_are_counted() {
        let (parser, body, end) = parse("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabHTTP/1.1 503", 1_000);
        assert_eq!((body.as_str(), end, parser.extra_bytes()), ("ab", End::Whole, 12));
    }

    #[test]
    fn a_head_without_end_is_given_up() {
        let text = format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(HEAD_BYTES_MAX + 1));
        assert_eq!(parse(&text, 4_096).2, End::Malformed);
    }
}
