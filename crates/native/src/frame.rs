//! Compressed frames: the layer under blocks when a client asks for it.
//!
//! A frame is the CityHash128 (version 1.0.2) of what follows, a byte for the method, the size of the rest with this header
//! of 9 bytes (u32), the size when decompressed (u32), and the compressed bytes. In: bytes cut anywhere, or plain bytes.
//! Promise: the hash is right before anything is decompressed, and nothing grows past its limits.

use bytes::BytesMut;
use hydron_base::{Code, Error, Result};

/// How frames are compressed on their way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    #[default]
    Lz4,
    Zstd {
        level: i32,
    },
}

const LZ4: u8 = 0x82;
const ZSTD: u8 = 0x90;
const PLAIN: u8 = 0x02;

const HASH_BYTES: usize = 16;
const HEADER_BYTES: usize = 9;

/// Bytes of a frame on the wire, what a block may have at most.
pub const FRAME_BYTES_MAX: usize = 128 << 20;

/// Bytes of a frame when it is decompressed.
pub const PLAIN_BYTES_MAX: usize = 256 << 20;

// What any frame may come to, however small it is. Above it the ratio counts: rows of real data do not compress a
// thousand times, and a bomb of 60 KiB stays below 64 MiB.
const PLAIN_BYTES_FREE: usize = 32 << 20;
const RATIO_MAX: usize = 1_000;

// A longer frame is compressed no better, and its reader waits for it as a whole.
const PIECE_BYTES: usize = 1 << 20;

/// Appends `plain` in frames.
pub fn write(plain: &[u8], method: Method, out: &mut Vec<u8>) -> Result<()> {
    plain.chunks(PIECE_BYTES).try_for_each(|piece| write_frame(piece, method, out))
}

fn write_frame(plain: &[u8], method: Method, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    out.resize(start + HASH_BYTES + HEADER_BYTES, 0);
    let body = out.len();
    let code = match method {
        Method::Lz4 => {
            out.resize(body + lz4_flex::block::get_maximum_output_size(plain.len()), 0);
            let size = lz4_flex::block::compress_into(plain, &mut out[body..]).map_err(cannot_compress)?;
            out.truncate(body + size);
            LZ4
        }
        Method::Zstd { level } => {
            out.extend_from_slice(&zstd::bulk::compress(plain, level).map_err(cannot_compress)?);
            ZSTD
        }
    };
    let size = (out.len() - start - HASH_BYTES) as u32;
    let header = &mut out[start + HASH_BYTES..body];
    header[0] = code;
    header[1..5].copy_from_slice(&size.to_le_bytes());
    header[5..9].copy_from_slice(&(plain.len() as u32).to_le_bytes());
    let hash = hash(&out[start + HASH_BYTES..]);
    out[start..start + HASH_BYTES].copy_from_slice(&hash);
    Ok(())
}

fn cannot_compress(error: impl std::fmt::Display) -> Error {
    Error::new(Code::CANNOT_COMPRESS, format!("cannot compress: {error}"))
}

/// The checksum of a frame: CityHash128. The low half first, each half little endian: the crate has the low half in the high bits.
pub fn hash(bytes: &[u8]) -> [u8; HASH_BYTES] {
    let hash = cityhash_rs::cityhash_102_128(bytes);
    let mut out = [0; HASH_BYTES];
    out[..8].copy_from_slice(&((hash >> 64) as u64).to_le_bytes());
    out[8..].copy_from_slice(&(hash as u64).to_le_bytes());
    out
}

/// Takes the first frame of `buffer`; false until it is complete. Its plain bytes are then all that `plain` holds, whose room
/// is used again.
///
/// Errors: MSG_SIZE_TOO_LARGE for sizes beyond the limits, CHECKSUM_DOESNT_MATCH, CANNOT_DECOMPRESS.
pub fn read(buffer: &mut BytesMut, plain: &mut Vec<u8>) -> Result<bool> {
    let Some(header) = buffer.get(HASH_BYTES..HASH_BYTES + HEADER_BYTES) else { return Ok(false) };
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize;
    let (method, size, plain_size) = (header[0], number(1), number(5));
    if size < HEADER_BYTES {
        return Err(Error::new(Code::CANNOT_DECOMPRESS, format!("a compressed frame of {size} bytes")));
    }
    let allowed = PLAIN_BYTES_FREE.max(size.saturating_mul(RATIO_MAX)).min(PLAIN_BYTES_MAX);
    if size > FRAME_BYTES_MAX || plain_size > allowed {
        let text = format!("a compressed frame of {size} bytes says that it holds {plain_size}");
        return Err(Error::new(Code::MSG_SIZE_TOO_LARGE, text).hint("send the rows in several blocks"));
    }
    if buffer.len() < HASH_BYTES + size {
        // Room for the rest of the frame, at most double of what has arrived.
        let missing = HASH_BYTES + size - buffer.len();
        buffer.reserve(missing.min(buffer.len()));
        return Ok(false);
    }
    let frame = buffer.split_to(HASH_BYTES + size);
    if frame[..HASH_BYTES] != hash(&frame[HASH_BYTES..]) {
        let text = "the checksum of a compressed frame does not match, it was damaged on its way";
        return Err(Error::new(Code::CHECKSUM_DOESNT_MATCH, text));
    }
    let body = &frame[HASH_BYTES + HEADER_BYTES..];
    // Old bytes are written over; only growth is zeroed.
    plain.resize(plain_size, 0);
    decompress(method, body, plain).map(|()| true)
}

/// Fills `plain` to its last byte.
fn decompress(method: u8, body: &[u8], plain: &mut [u8]) -> Result<()> {
    let fail =
        |e: &dyn std::fmt::Display| Error::new(Code::CANNOT_DECOMPRESS, format!("cannot decompress a frame: {e}"));
    let length = match method {
        PLAIN if body.len() == plain.len() => {
            plain.copy_from_slice(body);
            body.len()
        }
        PLAIN => body.len(),
        LZ4 => lz4_flex::block::decompress_into(body, plain).map_err(|e| fail(&e))?,
        ZSTD => zstd::bulk::decompress_to_buffer(body, plain).map_err(|e| fail(&e))?,
        other => {
            let text = format!("compression method 0x{other:02x} of a frame is unknown");
            return Err(Error::new(Code::CANNOT_DECOMPRESS, text).hint("LZ4 or ZSTD"));
        }
    };
    match length == plain.len() {
        true => Ok(()),
        false => Err(fail(&format!("{length} bytes instead of {}", plain.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(plain: &[u8], method: Method) -> Vec<u8> {
        let mut out = Vec::new();
        write(plain, method, &mut out).unwrap();
        out
    }

    #[test]
    fn the_hash_is_the_one_of_clickhouse() {
        // CityHash128 of ClickHouse's fork, as the package clickhouse-cityhash has it.
        assert_eq!(hash(b"abc"), EXPECTED_ABC);
        let long: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        assert_eq!(hash(&long), EXPECTED_LONG);
    }

    const EXPECTED_ABC: [u8; 16] =
        [0xfe, 0x48, 0x77, 0x57, 0x95, 0xf1, 0x0f, 0x90, 0x7e, 0x0d, 0xb2, 0x55, 0x63, 0x17, 0xa9, 0x13];
    const EXPECTED_LONG: [u8; 16] =
        [0xd9, 0x8f, 0x2d, 0x55, 0x1e, 0x2d, 0x94, 0xe3, 0x00, 0x02, 0x99, 0xf6, 0x22, 0x4a, 0x6b, 0x86];

    #[test]
    fn frames_come_back_at_any_cut() {
        let plain: Vec<u8> = (0..3_000_000_u32).flat_map(|i| (i % 977).to_le_bytes()).collect();
        for method in [Method::Lz4, Method::Zstd { level: 1 }] {
            let bytes = framed(&plain, method);
            assert!(bytes.len() < plain.len() / 2);
            for step in [1_000, 65_537] {
                let mut buffer = BytesMut::new();
                let (mut frame, mut back) = (Vec::new(), Vec::new());
                for piece in bytes.chunks(step) {
                    buffer.extend_from_slice(piece);
                    while read(&mut buffer, &mut frame).unwrap() {
                        back.extend_from_slice(&frame);
                    }
                }
                assert!(buffer.is_empty() && back == plain, "{method:?} by {step}");
            }
        }
    }

    #[test]
    fn every_flipped_byte_is_found_before_anything_is_decompressed() {
        let bytes = framed(b"some rows, some more rows, some more rows", Method::Lz4);
        for at in 0..bytes.len() {
            let mut damaged = BytesMut::from(bytes.as_slice());
            damaged[at] ^= 1;
            // A size that grew waits for bytes that do not come.
            match read(&mut damaged, &mut Vec::new()) {
                Ok(false) => assert!((17..21).contains(&at), "byte {at}"),
                Ok(true) => panic!("byte {at} was not missed"),
                Err(e) => {
                    let codes = [Code::CHECKSUM_DOESNT_MATCH, Code::MSG_SIZE_TOO_LARGE, Code::CANNOT_DECOMPRESS];
                    assert!(codes.contains(&e.code), "byte {at}: {e}");
                }
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_by_its_header() {
        let mut header = [0_u8; 64];
        header[16] = ZSTD;
        header[17..21].copy_from_slice(&40_u32.to_le_bytes());
        header[21..25].copy_from_slice(&(200_u32 << 20).to_le_bytes());
        let e = read(&mut BytesMut::from(header.as_slice()), &mut Vec::new()).unwrap_err();
        assert_eq!(e.code, Code::MSG_SIZE_TOO_LARGE);
    }
}
