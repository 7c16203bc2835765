//! The block of a data packet, compressed or not, in both directions.

use crate::frame::{self, Method};
use bytes::{Buf, BytesMut};
use hydron_base::{Code, Error, Result};
use hydron_format::native::{BlockDecoder, NativeOptions, push_bytes, push_varint, write_block, write_end};
use hydron_types::Batch;

/// Writes data packets of one query.
pub struct DataEncoder {
    pub options: NativeOptions,
    /// `None`: blocks are sent as they are.
    pub method: Option<Method>,
    plain: Vec<u8>,
}

impl DataEncoder {
    pub fn new(options: NativeOptions, method: Option<Method>) -> DataEncoder {
        DataEncoder { options, method, plain: Vec::new() }
    }

    /// Appends packet `number` with `block`; `None` is the block without columns. After an error `out` is as it was.
    pub fn write(&mut self, number: u64, block: Option<&Batch>, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let written = self.write_parts(number, block, out);
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn write_parts(&mut self, number: u64, block: Option<&Batch>, out: &mut Vec<u8>) -> Result<()> {
        push_varint(number, out);
        // The name of a temporary table: none.
        push_bytes(b"", out);
        let Some(method) = self.method else { return write_one(block, &self.options, out) };
        self.plain.clear();
        write_one(block, &self.options, &mut self.plain)?;
        frame::write(&self.plain, method, out)
    }
}

fn write_one(block: Option<&Batch>, options: &NativeOptions, out: &mut Vec<u8>) -> Result<()> {
    match block {
        Some(batch) => write_block(batch, options, out),
        None => {
            write_end(options, out);
            Ok(())
        }
    }
}

/// Reads the block of one data packet.
pub struct DataDecoder {
    blocks: BlockDecoder,
    compressed: bool,
}

impl DataDecoder {
    pub fn new(options: NativeOptions, compressed: bool) -> DataDecoder {
        DataDecoder { blocks: BlockDecoder::new(options), compressed }
    }

    /// Takes bytes from the start of `buffer`, none behind the block. `plain` is room for what a frame holds, so that frames
    /// of a connection share it.
    ///
    /// Errors: as [`frame::read`] and [`BlockDecoder::feed`]; INCORRECT_DATA when a frame goes on after its block.
    pub fn feed(&mut self, buffer: &mut BytesMut, plain: &mut Vec<u8>) -> Result<Option<Batch>> {
        if !self.compressed {
            let mut piece: &[u8] = buffer;
            let block = self.blocks.feed(&mut piece)?;
            let used = buffer.len() - piece.len();
            buffer.advance(used);
            return Ok(block);
        }
        while frame::read(buffer, plain)? {
            let mut piece = plain.as_slice();
            if let Some(block) = self.blocks.feed(&mut piece)? {
                if !piece.is_empty() {
                    let text = format!("{} bytes follow the block in its compressed frame", piece.len());
                    return Err(Error::new(Code::INCORRECT_DATA, text));
                }
                return Ok(Some(block));
            }
        }
        Ok(None)
    }
}
