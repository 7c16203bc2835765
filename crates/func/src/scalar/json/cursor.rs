//! Where values are in a JSON text, without building them.
//!
//! In: bytes. Out: nodes, each the stretch of text of one value. Promise: a node comes from a text that was checked as a
//! whole once, so walking inside it cannot fail; nothing is copied until text is asked for.

/// Arrays and objects within each other; deeper documents are no JSON to us.
const DEPTH_MAX: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

/// One value: its text without white space around it.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    text: &'a [u8],
}

impl<'a> Node<'a> {
    /// The document, if all of `text` is one JSON value.
    pub fn parse(text: &'a [u8]) -> Option<Node<'a>> {
        let start = skip_space(text, 0);
        let end = skip_value(text, start, 0)?;
        (skip_space(text, end) == text.len()).then(|| Node { text: &text[start..end] })
    }

    /// The value at the start of `text`; what follows does not matter.
    pub fn prefix(text: &'a [u8]) -> Option<Node<'a>> {
        let start = skip_space(text, 0);
        let end = skip_value(text, start, 0)?;
        Some(Node { text: &text[start..end] })
    }

    pub fn kind(&self) -> Kind {
        match self.text.first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// The elements of an array.
    pub fn items(&self) -> Vec<Node<'a>> {
        let mut items = Vec::new();
        if self.kind() == Kind::Array {
            self.walk(|_, value| {
                items.push(value);
                true
            });
        }
        items
    }

    /// Keys and values of an object, in their order.
    pub fn members(&self) -> Vec<(Vec<u8>, Node<'a>)> {
        let mut members = Vec::new();
        if self.kind() == Kind::Object {
            self.walk(|key, value| {
                members.push((unescaped(key.unwrap_or_default()), value));
                true
            });
        }
        members
    }

    /// How many elements or members there are.
    pub fn len(&self) -> usize {
        let mut count = 0;
        if matches!(self.kind(), Kind::Array | Kind::Object) {
            self.walk(|_, _| {
                count += 1;
                true
            });
        }
        count
    }

    pub fn member(&self, key: &[u8]) -> Option<Node<'a>> {
        if self.kind() != Kind::Object {
            return None;
        }
        let mut found = None;
        self.walk(|k, value| {
            let k = k.unwrap_or_default();
            let same = if k.contains(&b'\\') { unescaped(k) == key } else { k == key };
            found = same.then_some(value);
            !same
        });
        found
    }

    /// The element or member at `place`, from 1, from the end when negative; 0 is the value itself.
    pub fn place(&self, place: i64) -> Option<(Option<Vec<u8>>, Node<'a>)> {
        if place == 0 {
            return Some((None, *self));
        }
        if !matches!(self.kind(), Kind::Array | Kind::Object) {
            return None;
        }
        let wanted = if place > 0 { place - 1 } else { self.len() as i64 + place };
        let (mut at, mut found) = (0, None);
        self.walk(|key, value| {
            if at == wanted {
                found = Some((key.map(unescaped), value));
            }
            at += 1;
            found.is_none()
        });
        found
    }

    /// Calls `f` with the raw key (of an object) and the value of each child until it says stop.
    fn walk(&self, mut f: impl FnMut(Option<&'a [u8]>, Node<'a>) -> bool) {
        let text = self.text;
        let object = text.first() == Some(&b'{');
        let mut at = skip_space(text, 1);
        while at < text.len() && !matches!(text[at], b'}' | b']') {
            let mut key = None;
            if object {
                let Some(end) = skip_string(text, at) else { return };
                key = Some(&text[at + 1..end - 1]);
                at = skip_space(text, skip_space(text, end) + 1);
            }
            let Some(end) = skip_value(text, at, 0) else { return };
            if !f(key, Node { text: &text[at..end] }) {
                return;
            }
            at = skip_space(text, end);
            if text.get(at) == Some(&b',') {
                at = skip_space(text, at + 1);
            }
        }
    }

    fn number(&self) -> Option<&'a str> {
        if self.kind() == Kind::Number { std::str::from_utf8(self.text).ok() } else { None }
    }

    /// The text inside a string, as it would be read; for other kinds, of the value itself.
    fn inner(&self) -> Option<String> {
        (self.kind() == Kind::String)
            .then(|| String::from_utf8_lossy(&unescaped(&self.text[1..self.text.len() - 1])).into_owned())
    }

    /// Whether a number has neither point nor exponent.
    pub fn is_whole(&self) -> bool {
        self.number().is_some_and(|n| !n.contains(['.', 'e', 'E']))
    }

    pub fn bool(&self) -> Option<bool> {
        (self.kind() == Kind::Bool).then(|| self.text[0] == b't')
    }

    /// A whole number, the whole part of another, a number in a string, or a bool.
    pub fn int(&self) -> Option<i64> {
        if let Some(b) = self.bool() {
            return Some(i64::from(b));
        }
        let text = self.number().map(str::to_owned).or_else(|| self.inner())?;
        text.parse().ok().or_else(|| {
            let float: f64 = text.parse().ok()?;
            (float >= i64::MIN as f64 && float < i64::MAX as f64).then_some(float as i64)
        })
    }

    pub fn uint(&self) -> Option<u64> {
        if let Some(b) = self.bool() {
            return Some(u64::from(b));
        }
        let text = self.number().map(str::to_owned).or_else(|| self.inner())?;
        text.parse().ok().or_else(|| {
            let float: f64 = text.parse().ok()?;
            (float >= 0.0 && float < u64::MAX as f64).then_some(float as u64)
        })
    }

    pub fn float(&self) -> Option<f64> {
        if let Some(b) = self.bool() {
            return Some(f64::from(u8::from(b)));
        }
        self.number().map(str::to_owned).or_else(|| self.inner())?.parse().ok()
    }

    /// The text of a string, or the value as JSON.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        match self.kind() {
            Kind::String => unescape(&self.text[1..self.text.len() - 1], out),
            _ => self.write_raw(out),
        }
    }

    /// The value as JSON without white space.
    pub fn write_raw(&self, out: &mut Vec<u8>) {
        let text = self.text;
        let mut at = 0;
        while at < text.len() {
            match text[at] {
                b' ' | b'\t' | b'\n' | b'\r' => at += 1,
                b'"' => {
                    let end = skip_string(text, at).unwrap_or(text.len());
                    let inner = &text[at + 1..end - 1];
                    if inner.contains(&b'\\') {
                        write_string(&unescaped(inner), out);
                    } else {
                        out.extend_from_slice(&text[at..end]);
                    }
                    at = end;
                }
                b => {
                    out.push(b);
                    at += 1;
                }
            }
        }
    }
}

/// Writes a JSON string.
pub fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04X}").as_bytes()),
            b => out.push(*b),
        }
    }
    out.push(b'"');
}

fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The end of the string that starts at `at`.
fn skip_string(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        match text.get(at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
            b'u' if text.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => at += 6,
            _ => return None,
        }
    }
}

/// The end of the value that starts at `at`; `None` when there is none.
fn skip_value(text: &[u8], at: usize, depth: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => skip_string(text, at),
        b'{' | b'[' if depth < DEPTH_MAX => skip_children(text, at, depth),
        b't' => text[at..].starts_with(b"true").then_some(at + 4),
        b'f' => text[at..].starts_with(b"false").then_some(at + 5),
        b'n' => text[at..].starts_with(b"null").then_some(at + 4),
        b'-' | b'0'..=b'9' => skip_number(text, at),
        _ => None,
    }
}

fn skip_children(text: &[u8], at: usize, depth: usize) -> Option<usize> {
    let object = text[at] == b'{';
    let close = if object { b'}' } else { b']' };
    let mut at = skip_space(text, at + 1);
    if *text.get(at)? == close {
        return Some(at + 1);
    }
    loop {
        if object {
            at = skip_space(text, skip_string(text, at)?);
            if *text.get(at)? != b':' {
                return None;
            }
            at = skip_space(text, at + 1);
        }
        at = skip_space(text, skip_value(text, at, depth + 1)?);
        match text.get(at)? {
            b',' => at = skip_space(text, at + 1),
            b if *b == close => return Some(at + 1),
            _ => return None,
        }
    }
}

fn skip_number(text: &[u8], at: usize) -> Option<usize> {
    let digits = |mut at: usize| {
        let start = at;
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        (at > start).then_some(at)
    };
    let mut at = digits(if text[at] == b'-' { at + 1 } else { at })?;
    if text.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        at = digits(at + 1 + sign)?;
    }
    Some(at)
}

fn unescaped(inner: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(inner.len());
    unescape(inner, &mut out);
    out
}

/// The text of a string without its quotes.
fn unescape(inner: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while at < inner.len() {
        let plain = memchr::memchr(b'\\', &inner[at..]).unwrap_or(inner.len() - at);
        out.extend_from_slice(&inner[at..at + plain]);
        at += plain;
        let Some(escape) = inner.get(at + 1) else { return };
        at += 2;
        match escape {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'b' => out.push(0x08),
            b'f' => out.push(0x0C),
            b'u' => {
                let unit = hex4(inner, at);
                at += 4;
                let mut code = unit;
                if (0xD800..0xDC00).contains(&unit) && inner.get(at..at + 2) == Some(b"\\u") {
                    let low = hex4(inner, at + 2);
                    if (0xDC00..0xE000).contains(&low) {
                        code = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                        at += 6;
                    }
                }
                let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => out.push(*other),
        }
    }
}

fn hex4(text: &[u8], at: usize) -> u32 {
    let digits = text.get(at..at + 4).and_then(|d| std::str::from_utf8(d).ok());
    digits.and_then(|d| u32::from_str_radix(d, 16).ok()).unwrap_or(0xFFFD)
}
