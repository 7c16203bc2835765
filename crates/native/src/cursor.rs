//! Fields of a packet that may not be complete yet.
//!
//! In: the bytes at hand. Out: fields, or how many bytes there must be before another look is worth it. Promise: a length
//! beyond its limit is an error before anything waits for the bytes.

use hydron_base::{Code, Error};

/// Why a read stopped.
#[derive(Debug)]
pub enum Stop {
    /// The packet goes on at least to this offset.
    Short(usize),
    Wrong(Error),
}

pub type Read<T> = Result<T, Stop>;

/// Errors of a packet that cannot be understood.
pub fn wrong(text: impl Into<String>) -> Stop {
    Stop::Wrong(Error::new(Code::INCORRECT_DATA, text))
}

/// A place in the bytes at hand.
pub struct Cursor<'a> {
    bytes: &'a [u8],
    pub at: usize,
    string_bytes_max: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], string_bytes_max: usize) -> Cursor<'a> {
        Cursor { bytes, at: 0, string_bytes_max }
    }

    pub fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let end = self.at.saturating_add(length);
        let taken = self.bytes.get(self.at..end).ok_or(Stop::Short(end))?;
        self.at = end;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Read<u8> {
        Ok(self.take(1)?[0])
    }

    pub fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub fn varint(&mut self) -> Read<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(wrong("a number is longer than 10 bytes"))
    }

    /// A number of things, at most `max`.
    pub fn count(&mut self, what: &str, max: u64) -> Read<u64> {
        match self.varint()? {
            count if count > max => Err(wrong(format!("{count} {what}, the limit is {max}"))),
            count => Ok(count),
        }
    }

    /// A text of at most the limit of this cursor.
    pub fn string(&mut self, what: &str) -> Read<String> {
        self.long_string(what, self.string_bytes_max)
    }

    pub fn long_string(&mut self, what: &str, bytes_max: usize) -> Read<String> {
        let bytes = self.long_bytes(what, bytes_max)?;
        std::str::from_utf8(bytes).map(str::to_string).map_err(|_| wrong(format!("{what} is not UTF-8")))
    }

    pub fn long_bytes(&mut self, what: &str, bytes_max: usize) -> Read<&'a [u8]> {
        let length = self.varint()?;
        match usize::try_from(length) {
            Ok(length) if length <= bytes_max => self.take(length),
            _ => Err(wrong(format!("{what} has {length} bytes, the limit is {bytes_max}"))),
        }
    }
}
