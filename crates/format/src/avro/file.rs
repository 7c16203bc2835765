//! Files: a header with the schema and the codec, then blocks of records.

use super::datum::{Cursor, Fault, damaged, push_long, push_sized};
use super::schema::Schema;
use hydron_base::{Error, Result};
use std::io::Read;

pub const MAGIC: &[u8; 4] = b"Obj\x01";

/// A block, unpacked. Larger ones are refused: a few bytes may unpack to any size.
const BLOCK_BYTES_MAX: usize = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Null,
    Deflate,
    /// With the CRC-32 of the plain bytes behind it.
    Snappy,
    Zstd,
}

impl Codec {
    /// Errors: NOT_IMPLEMENTED for a codec that is not built.
    pub fn parse(name: &str) -> Result<Codec> {
        match name {
            "" | "null" => Ok(Codec::Null),
            "deflate" => Ok(Codec::Deflate),
            "snappy" => Ok(Codec::Snappy),
            "zstandard" | "zstd" => Ok(Codec::Zstd),
            other => {
                Err(Error::not_implemented(format!("Avro codec '{other}'")).hint("null, deflate, snappy, zstandard"))
            }
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Codec::Null => "null",
            Codec::Deflate => "deflate",
            Codec::Snappy => "snappy",
            Codec::Zstd => "zstandard",
        }
    }

    pub fn pack(self, bytes: &[u8]) -> Result<Vec<u8>> {
        let failed = |e: std::io::Error| Error::bug(format!("an Avro block cannot be packed: {e}"));
        match self {
            Codec::Null => Ok(bytes.to_vec()),
            Codec::Deflate => {
                let mut packed = Vec::new();
                let mut encoder = flate2::read::DeflateEncoder::new(bytes, flate2::Compression::default());
                encoder.read_to_end(&mut packed).map_err(failed)?;
                Ok(packed)
            }
            Codec::Snappy => {
                let packed = snap::raw::Encoder::new().compress_vec(bytes);
                let mut packed = packed.map_err(|e| Error::bug(format!("an Avro block cannot be packed: {e}")))?;
                packed.extend_from_slice(&crc32(bytes).to_be_bytes());
                Ok(packed)
            }
            Codec::Zstd => zstd::encode_all(bytes, 0).map_err(failed),
        }
    }

    pub fn unpack(self, bytes: &[u8]) -> Result<Vec<u8>> {
        let limited = |reader: &mut dyn Read| {
            let mut unpacked = Vec::new();
            let limit = BLOCK_BYTES_MAX as u64 + 1;
            let read = reader.take(limit).read_to_end(&mut unpacked);
            read.map_err(|e| damaged(format!("a block cannot be unpacked: {e}")))?;
            if unpacked.len() > BLOCK_BYTES_MAX {
                return Err(damaged(format!("a block of more than {BLOCK_BYTES_MAX} bytes")));
            }
            Ok(unpacked)
        };
        match self {
            Codec::Null => Ok(bytes.to_vec()),
            Codec::Deflate => limited(&mut flate2::read::DeflateDecoder::new(bytes)),
            Codec::Snappy => {
                let broken = |e: snap::Error| damaged(format!("a block cannot be unpacked: {e}"));
                let (packed, sum) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("a block without its sum"))?;
                let length = snap::raw::decompress_len(packed).map_err(broken)?;
                if length > BLOCK_BYTES_MAX {
                    return Err(damaged(format!("a block of more than {BLOCK_BYTES_MAX} bytes")));
                }
                let unpacked = snap::raw::Decoder::new().decompress_vec(packed).map_err(broken)?;
                match crc32(&unpacked) == u32::from_be_bytes(*sum) {
                    true => Ok(unpacked),
                    false => Err(damaged("the sum of a block does not fit its bytes")),
                }
            }
            Codec::Zstd => {
                let mut decoder = zstd::Decoder::new(bytes).map_err(|e| damaged(e.to_string()))?;
                limited(&mut decoder)
            }
        }
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

pub struct FileHeader {
    pub schema: Schema,
    pub codec: Codec,
    pub sync: [u8; 16],
}

/// The header at the start of `bytes` and how long it is; `None`: it goes on.
pub fn read_header(bytes: &[u8]) -> Result<Option<(FileHeader, usize)>> {
    let known = bytes.len().min(MAGIC.len());
    if bytes[..known] != MAGIC[..known] {
        return Err(damaged("it does not begin with 'Obj' and version 1"));
    }
    match header(bytes) {
        Ok(found) => Ok(Some(found)),
        Err(Fault::Short) => Ok(None),
        Err(Fault::Wrong(e)) => Err(e),
    }
}

fn header(bytes: &[u8]) -> Result<(FileHeader, usize), Fault> {
    let mut cursor = Cursor::new(bytes);
    cursor.take(MAGIC.len())?;
    let (mut schema, mut codec) = (None, Codec::Null);
    loop {
        let count = cursor.long()?;
        if count == 0 {
            break;
        }
        if count < 0 {
            cursor.long()?;
        }
        for _ in 0..count.unsigned_abs() {
            let key = cursor.sized()?;
            let value = cursor.sized()?;
            let text = || std::str::from_utf8(value).map_err(|_| damaged("its header is no text"));
            match key {
                b"avro.schema" => schema = Some(Schema::parse(text()?)?),
                b"avro.codec" => codec = Codec::parse(text()?)?,
                _ => {}
            }
        }
    }
    let mut sync = [0; 16];
    sync.copy_from_slice(cursor.take(16)?);
    let schema = schema.ok_or_else(|| damaged("its header has no schema"))?;
    Ok((FileHeader { schema, codec, sync }, cursor.at))
}

/// The records of the block at the start of `bytes`, still as bytes: how many, the bytes, and how long the block is.
pub fn read_block(bytes: &[u8], header: &FileHeader) -> Result<Option<(u64, Vec<u8>, usize)>> {
    let read = || -> Result<(u64, Vec<u8>, usize), Fault> {
        let mut cursor = Cursor::new(bytes);
        let count = cursor.long()?;
        let count = u64::try_from(count).map_err(|_| damaged(format!("a block of {count} records")))?;
        let packed = cursor.sized()?;
        if cursor.take(16)? != header.sync {
            return Err(damaged("a block does not end with the mark of the file").into());
        }
        Ok((count, header.codec.unpack(packed)?, cursor.at))
    };
    match read() {
        Ok(block) => Ok(Some(block)),
        Err(Fault::Short) => Ok(None),
        Err(Fault::Wrong(e)) => Err(e),
    }
}

pub fn push_header(schema: &str, codec: Codec, sync: &[u8; 16], out: &mut Vec<u8>) {
    out.extend_from_slice(MAGIC);
    push_long(2, out);
    for (key, value) in [("avro.schema", schema), ("avro.codec", codec.name())] {
        push_sized(key.as_bytes(), out);
        push_sized(value.as_bytes(), out);
    }
    push_long(0, out);
    out.extend_from_slice(sync);
}

pub fn push_block(count: usize, records: &[u8], codec: Codec, sync: &[u8; 16], out: &mut Vec<u8>) -> Result<()> {
    push_long(count as i64, out);
    push_sized(&codec.pack(records)?, out);
    out.extend_from_slice(sync);
    Ok(())
}
