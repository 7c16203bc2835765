//! LZ4 frames read at any cut: header, blocks that may refer to the 64 KiB before them, checksums.

use std::hash::Hasher;
use std::io::{self, Write};
use twox_hash::XxHash32;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4D, 0x18];
const WINDOW_BYTES: usize = 64 << 10;

/// What the next bytes are.
#[derive(Default)]
enum Expect {
    #[default]
    Header,
    BlockSize,
    Block {
        size: usize,
        is_plain: bool,
    },
    ContentChecksum,
}

#[derive(Default)]
pub(super) struct Lz4Decoder {
    expect: Expect,
    pending: Vec<u8>,
    plain: Vec<u8>,
    window: Vec<u8>,
    frame: Frame,
    frames: u64,
}

/// What a frame header says.
#[derive(Default)]
struct Frame {
    blocks_are_linked: bool,
    block_checksums: bool,
    content_hash: Option<XxHash32>,
    block_bytes_max: usize,
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("lz4: {what}"))
}

impl Lz4Decoder {
    pub(super) fn plain_mut(&mut self) -> &mut Vec<u8> {
        &mut self.plain
    }

    /// Errors when the input ended inside a frame.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let between = matches!(self.expect, Expect::Header) && self.pending.is_empty();
        if between { Ok(()) } else { Err(damaged("the input ends inside a frame")) }
    }

    /// Bytes that the next step needs.
    fn wanted(&self) -> io::Result<usize> {
        Ok(match self.expect {
            // Magic number, two flag bytes; with them the length is known.
            Expect::Header if self.pending.len() < 6 => 6,
            Expect::Header => {
                let flags = self.pending[4];
                let content_size = if flags & 0x08 != 0 { 8 } else { 0 };
                if flags & 0x01 != 0 {
                    return Err(damaged("dictionaries are not supported"));
                }
                7 + content_size
            }
            Expect::BlockSize | Expect::ContentChecksum => 4,
            Expect::Block { size, .. } => size + if self.frame.block_checksums { 4 } else { 0 },
        })
    }

    fn step(&mut self, bytes: &[u8]) -> io::Result<()> {
        let number = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        match self.expect {
            Expect::Header => self.header(bytes)?,
            Expect::BlockSize => match number(bytes) {
                0 if self.frame.content_hash.is_some() => self.expect = Expect::ContentChecksum,
                0 => self.expect = Expect::Header,
                size => {
                    let is_plain = size & 0x8000_0000 != 0;
                    let size = (size & 0x7FFF_FFFF) as usize;
                    if size > self.frame.block_bytes_max {
                        return Err(damaged("a block is longer than the header allows"));
                    }
                    self.expect = Expect::Block { size, is_plain };
                }
            },
            Expect::Block { size, is_plain } => {
                let block = &bytes[..size];
                if self.frame.block_checksums && number(&bytes[size..]) != XxHash32::oneshot(0, block) {
                    return Err(damaged("a block has another checksum"));
                }
                self.block(block, is_plain)?;
                self.expect = Expect::BlockSize;
            }
            Expect::ContentChecksum => {
                let hash = self.frame.content_hash.take().map_or(0, |h| h.finish() as u32);
                if hash != number(bytes) {
                    return Err(damaged("the content has another checksum"));
                }
                self.expect = Expect::Header;
            }
        }
        Ok(())
    }

    fn header(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes[..4] != MAGIC {
            return Err(damaged("the magic number is missing"));
        }
        let (flags, block) = (bytes[4], bytes[5]);
        if flags >> 6 != 1 {
            return Err(damaged("the version of the frame is unknown"));
        }
        let last = bytes.len() - 1;
        if bytes[last] != (XxHash32::oneshot(0, &bytes[4..last]) >> 8) as u8 {
            return Err(damaged("the header has another checksum"));
        }
        self.frame = Frame {
            blocks_are_linked: flags & 0x20 == 0,
            block_checksums: flags & 0x10 != 0,
            content_hash: (flags & 0x04 != 0).then(|| XxHash32::with_seed(0)),
            block_bytes_max: match (block >> 4) & 7 {
                4 => 64 << 10,
                5 => 256 << 10,
                6 => 1 << 20,
                7 => 4 << 20,
                _ => return Err(damaged("the block size is unknown")),
            },
        };
        self.window.clear();
        self.frames += 1;
        self.expect = Expect::BlockSize;
        Ok(())
    }

    fn block(&mut self, block: &[u8], is_plain: bool) -> io::Result<()> {
        let start = self.plain.len();
        if is_plain {
            self.plain.extend_from_slice(block);
        } else {
            self.plain.resize(start + self.frame.block_bytes_max, 0);
            let target = &mut self.plain[start..];
            let length = match self.frame.blocks_are_linked {
                true => lz4_flex::block::decompress_into_with_dict(block, target, &self.window),
                false => lz4_flex::block::decompress_into(block, target),
            };
            let length = length.map_err(|e| damaged(&e.to_string()))?;
            self.plain.truncate(start + length);
        }
        let fresh = &self.plain[start..];
        if let Some(hash) = &mut self.frame.content_hash {
            hash.write(fresh);
        }
        if self.frame.blocks_are_linked {
            self.window.extend_from_slice(fresh);
            let surplus = self.window.len().saturating_sub(WINDOW_BYTES);
            self.window.drain(..surplus);
        }
        Ok(())
    }
}

impl Write for Lz4Decoder {
    /// Takes bytes for one step, so that the output of one call is at most one block.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let missing = self.wanted()? - self.pending.len();
        let used = missing.min(bytes.len());
        self.pending.extend_from_slice(&bytes[..used]);
        if self.pending.len() == self.wanted()? {
            let step = std::mem::take(&mut self.pending);
            self.step(&step)?;
        }
        Ok(used)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
