//! The least of ClickHouse's native protocol that a client needs: one query at a time, uncompressed, in an old revision.
//!
//! In: statements; bytes as they were read, cut anywhere. Out: the bytes of a query; an answer as if it had come over HTTP: a
//! head, rows as lines with tabs, an exception as its text. Promise: nothing is guessed: a packet or a type that is not known is
//! a malformed answer.
//!
//! Source: docs/reference/native.md and ClickHouse's `Protocol.h`.

use crate::http::{End, Head};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Settings travel as texts from here on; what came later is not needed.
const REVISION: u64 = 54_429;

const NAME: &str = "crashbench";

/// Bytes of one packet that are gathered; the server cuts blocks at 256 KiB.
const PACKET_BYTES_MAX: usize = 64 << 20;

/// Columns of one block, and bytes of a text.
const COLUMNS_MAX: u64 = 1_000;
const TEXT_BYTES_MAX: u64 = 16 << 20;

fn push_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    push_varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// Says who we are and waits for the server to do the same. Errors: it says something else, or nothing in time.
pub fn introduce(socket: &mut TcpStream, patience: Duration) -> io::Result<()> {
    let mut hello = Vec::new();
    push_varint(0, &mut hello);
    push_text(NAME, &mut hello);
    [1, 0, REVISION].into_iter().for_each(|n| push_varint(n, &mut hello));
    ["default", "default", ""].into_iter().for_each(|text| push_text(text, &mut hello));
    let deadline = Instant::now() + patience;
    socket.set_write_timeout(Some(patience))?;
    socket.write_all(&hello)?;
    let mut held = Vec::new();
    loop {
        let mut cursor = Cursor { bytes: &held, at: 0 };
        match hello_of(&mut cursor) {
            Ok(()) => return Ok(()),
            Err(Stop::Malformed) => return Err(io::Error::other("the server does not introduce itself")),
            Err(Stop::More) => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut piece = [0; 1_024];
        socket.set_read_timeout(Some(left))?;
        match socket.read(&mut piece)? {
            0 => return Err(io::ErrorKind::ConnectionReset.into()),
            count => held.extend_from_slice(&piece[..count]),
        }
    }
}

fn hello_of(cursor: &mut Cursor<'_>) -> Result<(), Stop> {
    if cursor.varint()? != 0 {
        return Err(Stop::Malformed);
    }
    // Name, version, revision, zone, display name, patch.
    cursor.text()?;
    for _ in 0..3 {
        cursor.varint()?;
    }
    cursor.text()?;
    cursor.text()?;
    cursor.varint().map(drop)
}

/// A query and the end of its data. Parameters are settings, but for `query_id` and those of HTTP's sessions, since here the
/// connection is the session.
pub fn query(sql: &str, parameters: &[(&str, &str)]) -> Vec<u8> {
    let id = parameters.iter().find(|(name, _)| *name == "query_id").map_or("", |(_, id)| id);
    let mut out = Vec::new();
    push_varint(1, &mut out);
    push_text(id, &mut out);
    // An initial query, of nobody else's, from nowhere, over TCP.
    out.push(1);
    ["", "", "0.0.0.0:0"].into_iter().for_each(|text| push_text(text, &mut out));
    out.push(1);
    ["", "", NAME].into_iter().for_each(|text| push_text(text, &mut out));
    [1, 0, REVISION].into_iter().for_each(|n| push_varint(n, &mut out));
    push_text("", &mut out);
    push_varint(0, &mut out);
    for (name, value) in parameters {
        if *name != "query_id" && !name.starts_with("session_") {
            push_text(name, &mut out);
            push_varint(0, &mut out);
            push_text(value, &mut out);
        }
    }
    push_text("", &mut out);
    // To the end, without compression.
    push_varint(2, &mut out);
    push_varint(0, &mut out);
    push_text(sql, &mut out);
    // A block of no columns without a name.
    push_varint(2, &mut out);
    push_text("", &mut out);
    out.extend_from_slice(&[1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0]);
    out
}

/// Why bytes are no packet.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// Not yet.
    More,
    Malformed,
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.checked_add(count).ok_or(Stop::Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(Stop::More)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        self.take(1).map(|b| b[0])
    }

    fn varint(&mut self) -> Result<u64, Stop> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Stop::Malformed)
    }

    fn text(&mut self) -> Result<&'a [u8], Stop> {
        let length = self.varint()?;
        if length > TEXT_BYTES_MAX {
            return Err(Stop::Malformed);
        }
        self.take(length as usize)
    }
}

/// What one packet says.
enum Packet {
    /// Lines with tabs.
    Rows(Vec<u8>),
    /// An exception as HTTP would show it.
    Failed(String),
    End,
    Other,
}

fn packet(cursor: &mut Cursor<'_>) -> Result<Packet, Stop> {
    Ok(match cursor.varint()? {
        // Data, totals, extremes.
        1 | 7 | 8 => Packet::Rows(block(cursor)?),
        2 => Packet::Failed(exception(cursor)?),
        // Progress: rows, bytes, total, written rows and bytes.
        3 => {
            for _ in 0..5 {
                cursor.varint()?;
            }
            Packet::Other
        }
        4 => Packet::Other,
        5 => Packet::End,
        // Profile: rows, blocks, bytes, whether there was a limit, rows before it, whether they are known.
        6 => {
            for _ in 0..3 {
                cursor.varint()?;
            }
            cursor.byte()?;
            cursor.varint()?;
            cursor.byte()?;
            Packet::Other
        }
        // Columns of a table: its name, their text.
        11 => {
            cursor.text()?;
            cursor.text()?;
            Packet::Other
        }
        _ => return Err(Stop::Malformed),
    })
}

fn exception(cursor: &mut Cursor<'_>) -> Result<String, Stop> {
    let code = i32::from_le_bytes(cursor.take(4)?.try_into().map_err(|_| Stop::Malformed)?);
    let name = String::from_utf8_lossy(cursor.text()?).into_owned();
    let message = String::from_utf8_lossy(cursor.text()?).into_owned();
    cursor.text()?;
    let has_cause = cursor.byte()? != 0;
    if has_cause {
        exception(cursor)?;
    }
    let message = message.strip_prefix(&format!("{name}: ")).unwrap_or(&message);
    Ok(format!("Code: {code}. DB::Exception: {message}\n"))
}

/// The rows of a block as lines.
fn block(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, Stop> {
    cursor.text()?;
    // Fields of the block: 1 is a byte, 2 is four.
    loop {
        match cursor.varint()? {
            0 => break,
            1 => cursor.byte().map(drop)?,
            2 => cursor.take(4).map(drop)?,
            _ => return Err(Stop::Malformed),
        }
    }
    let (columns, rows) = (cursor.varint()?, cursor.varint()?);
    if columns > COLUMNS_MAX || rows > TEXT_BYTES_MAX {
        return Err(Stop::Malformed);
    }
    let mut cells: Vec<Vec<Vec<u8>>> = Vec::new();
    for _ in 0..columns {
        cursor.text()?;
        let kind = String::from_utf8_lossy(cursor.text()?).to_ascii_lowercase();
        cells.push((0..rows).map(|_| cell(&kind, cursor)).collect::<Result<_, _>>()?);
    }
    let mut lines = Vec::new();
    for row in 0..rows as usize {
        for (at, column) in cells.iter().enumerate() {
            if at > 0 {
                lines.push(b'\t');
            }
            lines.extend_from_slice(&column[row]);
        }
        lines.push(b'\n');
    }
    Ok(lines)
}

fn cell(kind: &str, cursor: &mut Cursor<'_>) -> Result<Vec<u8>, Stop> {
    let (bytes, signed) = match kind {
        "string" => return cursor.text().map(<[u8]>::to_vec),
        "bool" | "uint8" => (1, false),
        "uint16" => (2, false),
        "uint32" => (4, false),
        "uint64" => (8, false),
        "int8" => (1, true),
        "int16" => (2, true),
        "int32" => (4, true),
        "int64" => (8, true),
        _ => return Err(Stop::Malformed),
    };
    let raw = cursor.take(bytes)?;
    let mut wide = [0; 8];
    wide[..bytes].copy_from_slice(raw);
    let number = u64::from_le_bytes(wide);
    let shift = 64 - 8 * bytes as u32;
    Ok(match signed {
        true => (((number << shift) as i64) >> shift).to_string().into_bytes(),
        false => number.to_string().into_bytes(),
    })
}

/// Takes the answer to one query apart.
#[derive(Debug, Default)]
pub struct Parser {
    /// Bytes of a packet that is not whole yet.
    held: Vec<u8>,
    head: Option<Head>,
    end: Option<End>,
    extra_bytes: u64,
}

impl Parser {
    /// Takes the next bytes; `body` gets lines.
    pub fn feed(&mut self, bytes: &[u8], mut body: impl FnMut(&[u8])) {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let mut cursor = Cursor { bytes: &held, at: 0 };
        while self.end.is_none() {
            let before = cursor.at;
            match packet(&mut cursor) {
                Ok(Packet::Other) => {}
                Ok(Packet::Rows(lines)) => {
                    self.head.get_or_insert_with(|| Head::of(200));
                    body(&lines);
                }
                Ok(Packet::Failed(text)) => {
                    self.head.get_or_insert_with(|| Head::of(500));
                    body(text.as_bytes());
                    self.end = Some(End::Whole);
                }
                Ok(Packet::End) => {
                    self.head.get_or_insert_with(|| Head::of(200));
                    self.end = Some(End::Whole);
                }
                Err(Stop::More) if held.len() - before <= PACKET_BYTES_MAX => {
                    self.held = held[before..].to_vec();
                    return;
                }
                Err(_) => self.end = Some(End::Malformed),
            }
        }
        self.extra_bytes += (held.len() - cursor.at) as u64;
    }

    pub fn close(&mut self) -> End {
        let unfinished = if self.head.is_none() && self.held.is_empty() { End::Unanswered } else { End::CutOff };
        *self.end.get_or_insert(unfinished)
    }

    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    pub fn end(&self) -> Option<End> {
        self.end
    }

    pub fn extra_bytes(&self) -> u64 {
        self.extra_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of one text and one number, and what is behind it.
    fn answer(behind: &[u8]) -> Vec<u8> {
        let mut out = vec![1, 0, 1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 2, 2];
        ["s", "string", "ab", "c"].into_iter().for_each(|t| push_text(t, &mut out));
        ["n", "int16"].into_iter().for_each(|t| push_text(t, &mut out));
        out.extend_from_slice(&[7, 0, 0xfe, 0xff]);
        // Progress.
        out.extend_from_slice(&[3, 1, 2, 3, 4, 5]);
        out.extend_from_slice(behind);
        out
    }

    fn parse(bytes: &[u8], size: usize) -> (Parser, String) {
        let (mut parser, mut body) = (Parser::default(), Vec::new());
        bytes.chunks(size).for_each(|piece| parser.feed(piece, |b| body.extend_from_slice(b)));
        (parser, String::from_utf8(body).unwrap())
    }

    #[test]
    fn packets_cut_anywhere_give_the_same_lines() {
        let bytes = answer(&[5]);
        for size in 1..bytes.len() {
            let (parser, body) = parse(&bytes, size);
            assert_eq!((body.as_str(), parser.end()), ("ab\t7\nc\t-2\n", Some(End::Whole)), "pieces of {size}");
            assert_eq!((parser.head().map(|h| h.status), parser.extra_bytes()), (Some(200), 0));
        }
        let (parser, _) = parse(&answer(&[5, 9, 9]), 1_000);
        assert_eq!(parser.extra_bytes(), 2);
    }

    #[test]
    fn an_exception_is_the_end_and_reads_as_over_http() {
        let mut exception = vec![2];
        exception.extend_from_slice(&2_901_i32.to_le_bytes());
        ["DB::Exception", "the server was restarted. (SERVER_RESTARTED)", ""]
            .into_iter()
            .for_each(|t| push_text(t, &mut exception));
        exception.push(0);
        let (parser, body) = parse(&answer(&exception), 3);
        assert_eq!(parser.end(), Some(End::Whole));
        let said = "Code: 2901. DB::Exception: the server was restarted. (SERVER_RESTARTED)\n";
        assert!(body.ends_with(said), "{body}");
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_no_answer() {
        let whole = answer(&[]);
        let (mut parser, _) = parse(&whole[..20], 20);
        assert_eq!((parser.end(), parser.close()), (None, End::CutOff));
        assert_eq!(Parser::default().close(), End::Unanswered);
        assert_eq!(parse(&[99], 1).0.end(), Some(End::Malformed));
    }

    #[test]
    fn session_parameters_stay_with_http() {
        let bytes = query("select 1", &[("query_id", "q-7"), ("session_id", "s-7"), ("query_mode", "table")]);
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("q-7") && text.contains("query_mode") && !text.contains("session"), "{text}");
    }
}
