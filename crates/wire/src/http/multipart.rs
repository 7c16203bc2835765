//! The parts of a `multipart/form-data` body, without sockets.
//!
//! In: bytes cut anywhere. Out: the parts as they begin, go on and end. Promise: no more is kept than a delimiter, or the
//! headers of one part, could need.

use bytes::{Buf, Bytes, BytesMut};
use hydron_base::{Code, Error, Result};

/// Bytes of the headers of one part.
const HEADER_BYTES_MAX: usize = 8 << 10;

/// The standard allows 70.
const BOUNDARY_BYTES_MAX: usize = 256;

#[derive(Debug, PartialEq)]
pub(super) enum Event {
    Begin(Part),
    Data(Bytes),
    End,
    /// Nothing of the body counts any more.
    Close,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Part {
    pub name: String,
    /// It is a file, whatever the file's name.
    pub is_file: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Before the first delimiter, and inside of a part: up to the next one.
    Content {
        is_part: bool,
    },
    /// Right behind a delimiter.
    Behind,
    Headers,
    Closed,
}

pub(super) struct Multipart {
    /// `\r\n--boundary`
    delimiter: Vec<u8>,
    buffer: BytesMut,
    state: State,
}

impl Multipart {
    /// `None`: the content type is none of a form. Errors: BAD_ARGUMENTS without a boundary.
    pub fn of(content_type: &str) -> Option<Result<Multipart>> {
        let mut fields = content_type.split(';').map(str::trim);
        if !fields.next().is_some_and(|t| t.eq_ignore_ascii_case("multipart/form-data")) {
            return None;
        }
        let boundary = fields.find_map(|f| value_of(f, "boundary"));
        Some(match boundary.as_deref() {
            Some(boundary) if !boundary.is_empty() && boundary.len() <= BOUNDARY_BYTES_MAX => Ok(Multipart {
                delimiter: format!("\r\n--{boundary}").into_bytes(),
                // The first delimiter may stand at the very start, without the end of a line before it.
                buffer: BytesMut::from(&b"\r\n"[..]),
                state: State::Content { is_part: false },
            }),
            _ => Err(Error::new(Code::BAD_ARGUMENTS, "the Content-Type of a multipart body has no boundary")),
        })
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        if self.state != State::Closed {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next event; `None`: more bytes are needed. Errors: INCORRECT_DATA.
    pub fn next(&mut self) -> Result<Option<Event>> {
        loop {
            match self.state {
                State::Closed => return Ok(None),
                State::Content { is_part } => match self.content() {
                    Content::Bytes(bytes) if is_part => return Ok(Some(Event::Data(bytes))),
                    // What stands before the first part is for nobody.
                    Content::Bytes(_) => {}
                    Content::Delimiter => {
                        self.state = State::Behind;
                        if is_part {
                            return Ok(Some(Event::End));
                        }
                    }
                    Content::Short => return Ok(None),
                },
                State::Behind => {
                    while matches!(self.buffer.first(), Some(b' ' | b'\t')) {
                        self.buffer.advance(1);
                    }
                    match self.buffer.get(..2) {
                        None => return Ok(None),
                        Some(b"--") => {
                            self.state = State::Closed;
                            self.buffer.clear();
                            return Ok(Some(Event::Close));
                        }
                        // The end of this line is the start of the headers' end where there are none.
                        Some(b"\r\n") => self.state = State::Headers,
                        Some(_) => return Err(wrong("something stands behind a delimiter")),
                    }
                }
                State::Headers => {
                    let Some(end) = find(&self.buffer, b"\r\n\r\n") else {
                        if self.buffer.len() > HEADER_BYTES_MAX {
                            return Err(wrong(&format!(
                                "the headers of a part are longer than {HEADER_BYTES_MAX} bytes"
                            )));
                        }
                        return Ok(None);
                    };
                    let headers = self.buffer.split_to(end + 4);
                    self.state = State::Content { is_part: true };
                    return part(&String::from_utf8_lossy(&headers)).map(|p| Some(Event::Begin(p)));
                }
            }
        }
    }

    fn content(&mut self) -> Content {
        match find(&self.buffer, &self.delimiter) {
            Some(0) => {
                self.buffer.advance(self.delimiter.len());
                Content::Delimiter
            }
            Some(at) => Content::Bytes(self.buffer.split_to(at).freeze()),
            None => {
                // Its last bytes may be the start of a delimiter.
                let safe = self.buffer.len().saturating_sub(self.delimiter.len() - 1);
                match safe {
                    0 => Content::Short,
                    safe => Content::Bytes(self.buffer.split_to(safe).freeze()),
                }
            }
        }
    }
}

enum Content {
    Bytes(Bytes),
    Delimiter,
    Short,
}

/// Both patterns begin with a carriage return, which is rare in rows.
fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|b| *b == b'\r') {
        from += at;
        if bytes[from..].starts_with(pattern) {
            return Some(from);
        }
        from += 1;
    }
    None
}

/// What the headers of a part say of it.
fn part(headers: &str) -> Result<Part> {
    let disposition = headers.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    let fields: Vec<&str> = split_fields(disposition.unwrap_or_default());
    match fields.iter().find_map(|f| value_of(f, "name")) {
        Some(name) => {
            let is_file =
                fields.iter().any(|f| value_of(f, "filename").is_some() || value_of(f, "filename*").is_some());
            Ok(Part { name, is_file })
        }
        None => Err(wrong("a part has no name")),
    }
}

/// Fields between semicolons that do not stand inside of quotes.
fn split_fields(text: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let is_end = c == ';' && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        is_end
    })
    .map(str::trim)
    .collect()
}

/// The value of `name="value"` or `name=value`.
fn value_of(field: &str, wanted: &str) -> Option<String> {
    let (name, value) = field.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case(wanted) {
        return None;
    }
    let value = value.trim();
    Some(match value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\\\"", "\"").replace("%22", "\""),
        None => value.to_string(),
    })
}

fn wrong(what: &str) -> Error {
    Error::new(Code::INCORRECT_DATA, format!("multipart body: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name[*]=content` of each part, at one cut.
    fn parts(body: &[u8], cut: usize) -> Result<Vec<String>> {
        let mut multipart = Multipart::of("multipart/form-data; boundary=XX").unwrap().unwrap();
        let (mut all, mut text, mut is_closed) = (Vec::new(), String::new(), false);
        for piece in body.chunks(cut) {
            multipart.feed(piece);
            while let Some(event) = multipart.next()? {
                match event {
                    Event::Begin(part) => text = format!("{}{}=", part.name, if part.is_file { "*" } else { "" }),
                    Event::Data(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
                    Event::End => all.push(std::mem::take(&mut text)),
                    Event::Close => is_closed = true,
                }
            }
        }
        assert!(is_closed, "by {cut}");
        Ok(all)
    }

    #[test]
    fn parts_come_back_at_any_cut() {
        let body = b"--XX\r\ncontent-disposition: form-data; name=\"query\"\r\n\r\nselect 1\r\n--XX  \r\n\
            Content-Type: text/plain\r\nContent-Disposition: form-data; name=\"t\"; filename=\"a;b\"\r\n\r\n\
            1\r\n--X\r\n2\r\n--XX\r\nContent-Disposition: form-data; name=empty\r\n\r\n\r\n--XX--\r\nepilogue";
        for cut in 1..body.len() {
            assert_eq!(parts(body, cut).unwrap(), ["query=select 1", "t*=1\r\n--X\r\n2", "empty="], "by {cut}");
        }
        // As the JDBC driver begins it, and with a preamble.
        let body = b"\r\n--XX\r\ncontent-disposition: form-data; name=\"q\"\r\n\r\n1\r\n--XX--";
        assert_eq!(parts(body, 7).unwrap(), ["q=1"]);
        let body = b"hello\r\n--XX\r\ncontent-disposition: form-data; name=\"q\"\r\n\r\n1\r\n--XX--";
        assert_eq!(parts(body, 7).unwrap(), ["q=1"]);
    }

    #[test]
    fn what_is_no_form_is_told() {
        assert!(Multipart::of("text/plain").is_none());
        assert!(Multipart::of("multipart/form-data").unwrap().is_err());
        assert!(Multipart::of("multipart/form-data; boundary=\"\"").unwrap().is_err());
        assert!(parts(b"--XX\r\ncontent-type: x\r\n\r\n1\r\n--XX--", 100).is_err());
        assert!(parts(b"--XXy\r\n", 100).is_err());
        let mut endless = b"--XX\r\n".to_vec();
        endless.resize(20_000, b'x');
        assert!(parts(&endless, 1_000).is_err());
    }
}
