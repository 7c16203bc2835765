//! Bytes as they come: pieces of numbers and texts that may be cut anywhere.
//!
//! In: a slice for each piece. Out: whole numbers and texts. Promise: what is kept between two pieces is bounded by what
//! has arrived, never by what was announced.

use arrow::buffer::MutableBuffer;
use hydron_base::{Code, Error, Result};

/// The rest of one piece.
pub(super) struct Input<'a> {
    pub bytes: &'a [u8],
}

impl<'a> Input<'a> {
    pub fn take(&mut self, at_most: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(at_most.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).first().copied()
    }
}

/// What is wrong with a block; the sender's fault, always.
pub(super) fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(Code::INCORRECT_DATA, format!("native block: {what}"))
}

/// A number of 7 bits a byte, the lowest first; the high bit says that more follow.
#[derive(Default)]
pub(super) struct Varint {
    value: u64,
    shift: u32,
}

impl Varint {
    pub fn fill(&mut self, input: &mut Input<'_>) -> Result<Option<u64>> {
        while let Some(byte) = input.byte() {
            if self.shift >= 64 {
                return Err(damaged("a number is longer than 10 bytes"));
            }
            self.value |= u64::from(byte & 0x7F) << self.shift;
            self.shift += 7;
            if byte & 0x80 == 0 {
                let value = self.value;
                *self = Varint::default();
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

/// A text: its length, then its bytes.
pub(super) struct Text {
    what: &'static str,
    bytes_max: usize,
    length: Varint,
    wanted: Option<usize>,
    bytes: Vec<u8>,
}

impl Text {
    pub fn new(what: &'static str, bytes_max: usize) -> Text {
        Text { what, bytes_max, length: Varint::default(), wanted: None, bytes: Vec::new() }
    }

    pub fn fill(&mut self, input: &mut Input<'_>) -> Result<Option<String>> {
        let wanted = match self.wanted {
            Some(wanted) => wanted,
            None => {
                let Some(length) = self.length.fill(input)? else { return Ok(None) };
                let wanted = usize::try_from(length).unwrap_or(usize::MAX);
                if wanted > self.bytes_max {
                    let text = format!("{} has {length} bytes, the limit is {}", self.what, self.bytes_max);
                    return Err(damaged(text));
                }
                *self.wanted.insert(wanted)
            }
        };
        self.bytes.extend_from_slice(input.take(wanted - self.bytes.len()));
        if self.bytes.len() < wanted {
            return Ok(None);
        }
        self.wanted = None;
        let text = String::from_utf8(std::mem::take(&mut self.bytes));
        text.map(Some).map_err(|_| damaged(format!("{} is not UTF-8", self.what)))
    }
}

/// Values of one width, one after another.
pub(super) struct Fixed {
    pub width: usize,
    pub bytes: MutableBuffer,
}

impl Fixed {
    pub fn new(width: usize) -> Fixed {
        Fixed { width, bytes: MutableBuffer::new(0) }
    }

    /// Takes what there is; true when `rows` values are complete.
    pub fn fill(&mut self, rows: usize, input: &mut Input<'_>) -> Result<bool> {
        let wanted = rows.checked_mul(self.width).ok_or_else(|| damaged(format!("{rows} rows are too many")))?;
        let piece = input.take(wanted.saturating_sub(self.bytes.len()));
        self.bytes.extend_from_slice(piece);
        Ok(self.bytes.len() >= wanted)
    }

    pub fn u64_at(&self, index: usize) -> u64 {
        let mut bytes = [0; 8];
        let at = index * self.width;
        bytes[..self.width].copy_from_slice(&self.bytes.as_slice()[at..at + self.width]);
        u64::from_le_bytes(bytes)
    }
}

/// Strings: each its length, then its bytes.
pub(super) struct Strings {
    length: Varint,
    /// Bytes of the last string that are still to come.
    missing: usize,
    pub offsets: Vec<i32>,
    pub bytes: Vec<u8>,
}

impl Strings {
    pub fn new() -> Strings {
        Strings { length: Varint::default(), missing: 0, offsets: vec![0], bytes: Vec::new() }
    }

    pub fn fill(&mut self, rows: usize, input: &mut Input<'_>) -> Result<bool> {
        loop {
            if self.missing > 0 {
                let piece = input.take(self.missing);
                self.bytes.extend_from_slice(piece);
                self.missing -= piece.len();
                if self.missing > 0 {
                    return Ok(false);
                }
            }
            // The end of a string is known from its length; its row counts when its bytes are here.
            if self.offsets.len() > rows {
                return Ok(true);
            }
            let Some(length) = self.length.fill(input)? else { return Ok(false) };
            let end = usize::try_from(length).ok().and_then(|l| l.checked_add(self.bytes.len()));
            let Some(end) = end.and_then(|end| i32::try_from(end).ok()) else {
                return Err(damaged(format!("a string of {length} bytes does not fit a column of 2 GiB")));
            };
            self.missing = length as usize;
            self.offsets.push(end);
        }
    }
}

pub fn push_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A text or other bytes, their length first.
pub fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    push_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}
