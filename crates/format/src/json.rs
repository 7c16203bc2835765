//! JSON texts: where a value ends, and strings as they were before their escapes.

use crate::rows::excerpt;
use hydron_base::{Code, Error, Result};
use memchr::memchr2;

pub(crate) use hydron_types::text::write::write_json_string as push_string;

/// Finds the end of an object or array, at any cut of its bytes.
#[derive(Default)]
pub(crate) struct Nesting {
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Nesting {
    /// Goes through `bytes`; returns the offset after the bracket that closes the outermost one.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.escaped {
                self.escaped = false;
                at += 1;
                continue;
            }
            if self.in_string {
                let found = memchr2(b'"', b'\\', &bytes[at..])?;
                at += found + 1;
                match bytes[at - 1] {
                    b'"' => self.in_string = false,
                    _ => self.escaped = true,
                }
                continue;
            }
            match bytes[at] {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        None
    }
}

pub(crate) fn skip_spaces(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && matches!(text[at], b' ' | b'\t' | b'\n' | b'\r') {
        at += 1;
    }
    at
}

/// The byte after the JSON string that starts at `at`. Errors: CANNOT_PARSE_QUOTED_STRING, CANNOT_PARSE_INPUT_ASSERTION_FAILED.
pub(crate) fn string_end(text: &[u8], at: usize) -> Result<usize> {
    if text.get(at) != Some(&b'"') {
        return Err(expected("'\"'", text, at));
    }
    let mut place = at + 1;
    loop {
        let Some(found) = text.get(place..).and_then(|rest| memchr2(b'"', b'\\', rest)) else {
            let message = format!("the string does not end: '{}'", excerpt(&text[at..]));
            return Err(Error::new(Code::CANNOT_PARSE_QUOTED_STRING, message));
        };
        place += found;
        if text[place] == b'"' {
            return Ok(place + 1);
        }
        place += 2;
    }
}

/// The byte after the JSON value that starts at `at`.
pub(crate) fn value_end(text: &[u8], at: usize) -> Result<usize> {
    match text.get(at) {
        Some(b'"') => string_end(text, at),
        Some(b'{' | b'[') => {
            let end = Nesting::default().scan(&text[at..]).map(|n| at + n);
            end.ok_or_else(|| {
                Error::new(Code::INCORRECT_DATA, format!("the value does not end: '{}'", excerpt(&text[at..])))
            })
        }
        _ => {
            let length = text[at.min(text.len())..]
                .iter()
                .take_while(|b| b.is_ascii_alphanumeric() || b"+-._".contains(b))
                .count();
            match length {
                0 => Err(expected("a value", text, at)),
                _ => Ok(at + length),
            }
        }
    }
}

/// The text between the quotes of a JSON string, escapes undone. `string` includes its quotes.
pub(crate) fn unescape(string: &[u8]) -> Vec<u8> {
    let inner = string.get(1..string.len().saturating_sub(1)).unwrap_or_default();
    let mut out = Vec::with_capacity(inner.len());
    let mut at = 0;
    while at < inner.len() {
        if inner[at] != b'\\' {
            out.push(inner[at]);
            at += 1;
            continue;
        }
        at += 2;
        match inner.get(at - 1) {
            Some(b'n') => out.push(b'\n'),
            Some(b't') => out.push(b'\t'),
            Some(b'r') => out.push(b'\r'),
            Some(b'b') => out.push(0x08),
            Some(b'f') => out.push(0x0C),
            Some(b'u') => at += push_code_point(&inner[at..], &mut out),
            Some(other) => out.push(*other),
            None => {}
        }
    }
    out
}

/// Appends the character of `XXXX` or `XXXX\uXXXX`; returns the bytes it took.
fn push_code_point(digits: &[u8], out: &mut Vec<u8>) -> usize {
    let unit = |text: Option<&[u8]>| {
        text.and_then(|t| std::str::from_utf8(t).ok()).and_then(|t| u32::from_str_radix(t, 16).ok())
    };
    let Some(first) = unit(digits.get(..4)) else { return 0 };
    let second = match digits.get(4..6) {
        Some(b"\\u") if (0xD800..0xDC00).contains(&first) => {
            unit(digits.get(6..10)).filter(|s| (0xDC00..0xE000).contains(s))
        }
        _ => None,
    };
    let (code, length) = match second {
        Some(second) => (0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00), 10),
        None => (first, 4),
    };
    let character = char::from_u32(code).unwrap_or('\u{FFFD}');
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    length
}

pub(crate) fn expected(what: &str, text: &[u8], at: usize) -> Error {
    let found = match text.get(at..) {
        None | Some([]) => "the row ends".to_string(),
        Some(rest) => format!("found '{}'", excerpt(rest)),
    };
    Error::new(Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED, format!("expected {what}, {found}"))
}
