//! Compression around the body of a request or an answer: that of HTTP, and inside of it the frames of ClickHouse.
//!
//! In: bytes. Out: the same bytes, packed. Promise: frames are those of the native protocol, each with its checksum.

use crate::clickhouse::frame::{self, Method};
use hydron_base::Result;
use hydron_format::{Compression, Compressor};

/// How a body is coded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Coding {
    /// `Content-Encoding`
    pub http: Option<Compression>,
    /// Parameter `compress` for an answer, `decompress` for a request.
    pub framed: bool,
}

/// Packs a body piece by piece.
pub(crate) struct Packer {
    compressor: Option<Compressor>,
    framed: bool,
    frames: Vec<u8>,
}

impl Packer {
    pub fn new(coding: Coding, level: u32) -> Result<Packer> {
        let compressor = coding.http.map(|c| Compressor::new(c, level)).transpose()?;
        Ok(Packer { compressor, framed: coding.framed, frames: Vec::new() })
    }

    /// Appends `plain` to `out` and empties it.
    pub fn pack(&mut self, plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<()> {
        if plain.is_empty() {
            return Ok(());
        }
        if self.framed {
            self.frames.clear();
            frame::write(plain, Method::Lz4, &mut self.frames)?;
            plain.clear();
        } else {
            std::mem::swap(plain, &mut self.frames);
            plain.clear();
        }
        match &mut self.compressor {
            None => out.append(&mut self.frames),
            Some(compressor) => compressor.write(&self.frames, out)?,
        }
        Ok(())
    }

    /// The end of the body. Nothing may be packed behind it.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        match self.compressor.take() {
            Some(compressor) => compressor.finish(out),
            None => Ok(()),
        }
    }
}

/// A text as the frames that a client of `compress=1` expects; as it is where it cannot be packed.
pub(crate) fn framed(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match frame::write(text.as_bytes(), Method::Lz4, &mut out) {
        Ok(()) => out,
        Err(_) => text.as_bytes().to_vec(),
    }
}
