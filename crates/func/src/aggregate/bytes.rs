//! The bytes of a saved group: numbers as varints, texts with their length.
//!
//! In: what a group holds. Out: bytes that another process reads back. Promise: damaged bytes are an error, never a panic.

use hydron_base::{Code, Error, Result};

pub fn put_u64(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

pub fn put_f64(out: &mut Vec<u8>, v: f64) {
    out.extend_from_slice(&v.to_le_bytes());
}

pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What is left of a saved group.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        if self.0.len() < n {
            return Err(damaged());
        }
        let (head, rest) = self.0.split_at(n);
        self.0 = rest;
        Ok(head)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub fn u64(&mut self) -> Result<u64> {
        let mut v = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            v |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(v);
            }
        }
        Err(damaged())
    }

    pub fn f64(&mut self) -> Result<f64> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.u64()?;
        self.take(usize::try_from(len).map_err(|_| damaged())?)
    }

    /// A count of things of which each takes at least one byte, so that damage cannot make us reserve the world.
    pub fn count(&mut self) -> Result<usize> {
        let n = self.u64()?;
        if n > self.0.len() as u64 { Err(damaged()) } else { Ok(n as usize) }
    }
}

fn damaged() -> Error {
    Error::new(Code::INCORRECT_DATA, "the state of an aggregate is damaged or of another function")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_come_back() {
        let mut out = Vec::new();
        put_u64(&mut out, u64::MAX);
        put_f64(&mut out, -0.5);
        put_bytes(&mut out, b"ab");
        let mut r = Reader(&out);
        assert_eq!(r.u64().unwrap(), u64::MAX);
        assert_eq!(r.f64().unwrap(), -0.5);
        assert_eq!(r.bytes().unwrap(), b"ab");
        assert!(r.is_empty() && r.u64().is_err());
    }
}
