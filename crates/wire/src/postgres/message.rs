//! Messages of a client, from bytes.
//!
//! In: bytes as they arrive, of version 3 of the protocol. Out: messages. Promise: nothing is kept for a length that was only
//! announced; what is no message is an error with what was wrong, never a panic.

use bytes::{Buf, Bytes, BytesMut};
use hydron_base::{Code, Error, Result};

/// What a client may send before it has logged in.
const LOGIN_BYTES_MAX: usize = 10_000;

/// A message of a client that has logged in: the text of a query, or the values of one execution.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

const CANCEL: i32 = 80_877_102;
const TLS: i32 = 80_877_103;
const GSS: i32 = 80_877_104;

/// What a TLS port hears before the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeforeTls {
    /// The handshake begins with these bytes.
    Handshake,
    /// Answer with `S`, then the handshake begins.
    Asked,
    /// Answer with `N`; the client asks again for something else.
    AskedGss,
    /// It speaks without TLS.
    Plain,
}

/// Bytes that [`before_tls`] looks at.
pub const BEFORE_TLS_BYTES: usize = 8;

/// What the first bytes of a connection to a TLS port mean.
pub fn before_tls(first: [u8; BEFORE_TLS_BYTES]) -> BeforeTls {
    let [kind, .., a, b, c, d] = first;
    match i32::from_be_bytes([a, b, c, d]) {
        _ if kind == 0x16 => BeforeTls::Handshake,
        TLS => BeforeTls::Asked,
        GSS => BeforeTls::AskedGss,
        _ => BeforeTls::Plain,
    }
}

/// The first message of a connection, which has no letter.
#[derive(Debug, PartialEq, Eq)]
pub enum Opening {
    Tls,
    Gss,
    Cancel { process: i32, secret: Vec<u8> },
    Startup { minor: u16, parameters: Vec<(String, String)> },
}

/// What `Describe` and `Close` are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Statement,
    Portal,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    Password(String),
    Query(String),
    /// `types`: OIDs of the first parameters; 0 is not said.
    Parse {
        name: String,
        text: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    Describe(Target, String),
    /// `rows_max` 0: all.
    Execute {
        portal: String,
        rows_max: u32,
    },
    Close(Target, String),
    Sync,
    Flush,
    CopyData(Bytes),
    CopyDone,
    CopyFail(String),
    Terminate,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Bind {
    pub portal: String,
    pub statement: String,
    /// 0 is text, 1 binary; none: all text; one: that for all.
    pub formats: Vec<i16>,
    /// `None` is NULL.
    pub values: Vec<Option<Bytes>>,
    pub result_formats: Vec<i16>,
}

/// The opening at the start of `buffer`, which is taken off it; `None` while bytes are missing.
///
/// Errors: UNKNOWN_PACKET_FROM_CLIENT for bytes of another protocol or version.
pub fn opening(buffer: &mut BytesMut) -> Result<Option<Opening>> {
    let Some(length) = length_at(buffer, 0)? else { return Ok(None) };
    if !(8..=LOGIN_BYTES_MAX).contains(&length) {
        return Err(broken("the first message is none of PostgreSQL's protocol"));
    }
    if buffer.len() < length {
        return Ok(None);
    }
    let frame = buffer.split_to(length).freeze();
    let mut fields = Fields(frame.slice(4..));
    let opening = match fields.int()? {
        TLS => Opening::Tls,
        GSS => Opening::Gss,
        CANCEL => Opening::Cancel { process: fields.int()?, secret: fields.0.to_vec() },
        version if version >> 16 == 3 => {
            let mut parameters = Vec::new();
            loop {
                let name = fields.text()?;
                if name.is_empty() {
                    break;
                }
                parameters.push((name, fields.text()?));
            }
            Opening::Startup { minor: version as u16, parameters }
        }
        version => {
            let text = format!("version {}.{} of the protocol is not spoken", version >> 16, version & 0xffff);
            return Err(broken(&text).hint("a client of PostgreSQL 7.4 or later, which speaks 3.0"));
        }
    };
    Ok(Some(opening))
}

/// The message at the start of `buffer`, which is taken off it; `None` while bytes are missing. `trusted`: of a client that has
/// logged in.
///
/// Errors: UNKNOWN_PACKET_FROM_CLIENT for what is no message; MSG_SIZE_TOO_LARGE.
pub fn message(buffer: &mut BytesMut, trusted: bool) -> Result<Option<Message>> {
    let Some(kind) = buffer.first().copied() else { return Ok(None) };
    let Some(length) = length_at(buffer, 1)? else { return Ok(None) };
    let most = if trusted { MESSAGE_BYTES_MAX } else { LOGIN_BYTES_MAX };
    if length < 4 {
        return Err(broken("a message has a length that is none"));
    }
    if length > most {
        let text = format!("a message of {length} bytes was announced, at most {most} are taken");
        return Err(Error::new(Code::MSG_SIZE_TOO_LARGE, text).hint("COPY for many rows"));
    }
    if buffer.len() < 1 + length {
        return Ok(None);
    }
    let frame = buffer.split_to(1 + length).freeze();
    read(kind, Fields(frame.slice(5..))).map(Some)
}

fn read(kind: u8, mut fields: Fields) -> Result<Message> {
    let message = match kind {
        b'p' => Message::Password(fields.text()?),
        b'Q' => Message::Query(fields.text()?),
        b'P' => {
            let (name, text) = (fields.text()?, fields.text()?);
            let types = fields.list(|f| f.int().map(|oid| oid as u32))?;
            Message::Parse { name, text, types }
        }
        b'B' => Message::Bind(Bind {
            portal: fields.text()?,
            statement: fields.text()?,
            formats: fields.list(Fields::short)?,
            values: fields.list(Fields::value)?,
            result_formats: fields.list(Fields::short)?,
        }),
        b'D' => Message::Describe(fields.target()?, fields.text()?),
        b'C' => Message::Close(fields.target()?, fields.text()?),
        b'E' => {
            let portal = fields.text()?;
            // A negative number counts as none.
            Message::Execute { portal, rows_max: u32::try_from(fields.int()?).unwrap_or(0) }
        }
        b'S' => Message::Sync,
        b'H' => Message::Flush,
        b'd' => Message::CopyData(std::mem::take(&mut fields.0)),
        b'c' => Message::CopyDone,
        b'f' => Message::CopyFail(fields.text()?),
        b'X' => Message::Terminate,
        b'F' => {
            return Err(Error::not_implemented("the function call message").hint("SELECT function(…)"));
        }
        other => return Err(broken(&format!("{:?} begins no message", char::from(other)))),
    };
    match fields.0.is_empty() {
        true => Ok(message),
        false => Err(broken(&format!("message {:?} is longer than what it says", char::from(kind)))),
    }
}

fn length_at(buffer: &[u8], at: usize) -> Result<Option<usize>> {
    let Some(bytes) = buffer.get(at..at + 4) else { return Ok(None) };
    let length = bytes.iter().fold(0u32, |n, b| n << 8 | u32::from(*b));
    // The highest bit would make it negative.
    usize::try_from(length)
        .ok()
        .filter(|n| *n <= i32::MAX as usize)
        .map(Some)
        .ok_or_else(|| broken("a negative length"))
}

fn broken(what: &str) -> Error {
    Error::new(Code::UNKNOWN_PACKET_FROM_CLIENT, what)
}

/// What is left of a message's body.
struct Fields(Bytes);

impl Fields {
    fn take(&mut self, length: usize) -> Result<Bytes> {
        match self.0.len() >= length {
            true => Ok(self.0.split_to(length)),
            false => Err(broken("a message ends inside of a field")),
        }
    }

    fn short(&mut self) -> Result<i16> {
        self.take(2).map(|mut b| b.get_i16())
    }

    fn int(&mut self) -> Result<i32> {
        self.take(4).map(|mut b| b.get_i32())
    }

    /// Text up to a zero.
    fn text(&mut self) -> Result<String> {
        let end = self.0.iter().position(|b| *b == 0).ok_or_else(|| broken("a text has no end"))?;
        let bytes = self.0.split_to(end);
        self.0.advance(1);
        String::from_utf8(bytes.to_vec()).map_err(|_| {
            Error::new(Code::INCORRECT_DATA, "a text of the client is not UTF-8").hint("client_encoding UTF8")
        })
    }

    fn list<T>(&mut self, one: impl Fn(&mut Fields) -> Result<T>) -> Result<Vec<T>> {
        let count = self.short()? as u16;
        // Not reserved: the count is only announced.
        (0..count).map(|_| one(self)).collect()
    }

    fn value(&mut self) -> Result<Option<Bytes>> {
        match self.int()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| broken("a value has a length that is none"))?;
                self.take(length).map(Some)
            }
        }
    }

    fn target(&mut self) -> Result<Target> {
        match self.take(1)?[0] {
            b'S' => Ok(Target::Statement),
            b'P' => Ok(Target::Portal),
            other => Err(broken(&format!("{:?} is neither a statement nor a portal", char::from(other)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(kind: u8, body: &[u8]) -> BytesMut {
        let mut bytes = vec![kind];
        bytes.extend(((body.len() + 4) as u32).to_be_bytes());
        bytes.extend(body);
        BytesMut::from(&bytes[..])
    }

    #[test]
    fn a_bind_is_read_and_every_shorter_one_is_an_error() {
        let mut body = b"p\0s\0".to_vec();
        body.extend([0, 1, 0, 1]);
        body.extend([0, 2, 0, 0, 0, 2, b'a', b'b', 0xff, 0xff, 0xff, 0xff]);
        body.extend([0, 1, 0, 0]);
        let read = message(&mut framed(b'B', &body), true).unwrap();
        let bind = Bind {
            portal: "p".into(),
            statement: "s".into(),
            formats: vec![1],
            values: vec![Some(Bytes::from_static(b"ab")), None],
            result_formats: vec![0],
        };
        assert_eq!(read, Some(Message::Bind(bind)));
        for end in 0..body.len() {
            assert!(message(&mut framed(b'B', &body[..end]), true).is_err(), "{end}");
        }
        body.push(0);
        assert!(message(&mut framed(b'B', &body), true).is_err());
    }

    #[test]
    fn a_message_waits_for_its_bytes_and_has_a_limit() {
        let whole = framed(b'Q', b"select 1\0");
        for end in 0..whole.len() {
            assert_eq!(message(&mut BytesMut::from(&whole[..end]), true).unwrap(), None);
        }
        assert_eq!(message(&mut whole.clone(), true).unwrap(), Some(Message::Query("select 1".into())));
        let mut huge = BytesMut::from(&[b'Q', 0x7f, 0xff, 0xff, 0xff][..]);
        assert_eq!(message(&mut huge, true).unwrap_err().code, Code::MSG_SIZE_TOO_LARGE);
        let mut long = framed(b'p', &[b'x'; LOGIN_BYTES_MAX]);
        assert_eq!(message(&mut long, false).unwrap_err().code, Code::MSG_SIZE_TOO_LARGE);
    }

    #[test]
    fn no_bytes_are_a_panic() {
        // Bytes of a generator with a seed, most of them after the letter of a message and a length that fits.
        let mut state = 1u64;
        let mut byte = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        for round in 0..100_000 {
            let body: Vec<u8> = (0..byte() % 48).map(|_| if byte() < 128 { byte() % 3 } else { byte() }).collect();
            let kind = b"pQPBDECSHdcfXF?"[usize::from(byte()) % 15];
            let mut bytes = framed(kind, &body);
            let _ = message(&mut bytes, round % 2 == 0);
            let _ = opening(&mut BytesMut::from(&body[..]));
        }
    }

    #[test]
    fn a_tls_port_knows_who_asks() {
        assert_eq!(before_tls([0, 0, 0, 8, 4, 210, 22, 47]), BeforeTls::Asked);
        assert_eq!(before_tls([0, 0, 0, 8, 4, 210, 22, 48]), BeforeTls::AskedGss);
        assert_eq!(before_tls([0x16, 3, 1, 0, 4, 210, 22, 47]), BeforeTls::Handshake);
        assert_eq!(before_tls([0, 0, 0, 8, 0, 3, 0, 0]), BeforeTls::Plain);
    }

    #[test]
    fn the_opening_says_who_comes() {
        let open = |body: &[u8]| {
            let mut bytes = ((body.len() + 4) as u32).to_be_bytes().to_vec();
            bytes.extend(body);
            opening(&mut BytesMut::from(&bytes[..]))
        };
        assert_eq!(open(&TLS.to_be_bytes()).unwrap(), Some(Opening::Tls));
        let startup = [&[0, 3, 0, 0][..], b"user\0me\0\0"].concat();
        let parameters = vec![("user".to_string(), "me".to_string())];
        assert_eq!(open(&startup).unwrap(), Some(Opening::Startup { minor: 0, parameters }));
        let cancel = [&CANCEL.to_be_bytes()[..], &[0, 0, 0, 7, 1, 2]].concat();
        assert_eq!(open(&cancel).unwrap(), Some(Opening::Cancel { process: 7, secret: vec![1, 2] }));
        assert!(open(&[0, 2, 0, 0]).is_err());
        assert!(opening(&mut BytesMut::from("GET / HTTP/1.1\r\n")).is_err());
    }
}
