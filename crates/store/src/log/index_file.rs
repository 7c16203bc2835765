//! The index of a closed segment as a file, so that opening a log does not read all of it.
//!
//! Promise: a file that is not whole reads as none. Layout: docs/formats/log.md.

use super::disk::Disk;
use super::index::{Block, Index, Summary};
use super::keys::KeyWindow;
use super::record::{EventSpan, Sequence};
use bytes::Bytes;
use std::path::{Path, PathBuf};

/// Bytes of one index file: 4,096 blocks of 40 bytes and a thousand keys of 4 KiB are 4.3 MiB; segments may be larger.
const INDEX_BYTES_MAX: usize = 64 << 20;

const INDEX_MAGIC: [u8; 8] = *b"HYDRIDX1";

pub(super) fn index_path(segment: &Path) -> PathBuf {
    segment.with_extension("index")
}

pub(super) fn index_bytes(index: &Index, keys: &KeyWindow) -> Vec<u8> {
    let s = &index.summary;
    let mut out = Vec::with_capacity(96 + index.blocks.len() * 40);
    let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
    let span = s.event_span.unwrap_or(EventSpan::UNKNOWN);
    put(&INDEX_MAGIC);
    for n in [s.first.0, s.next.0, s.end, s.rows] {
        put(&n.to_le_bytes());
    }
    for n in [span.min_us, span.max_us, s.append_min_ms, s.append_max_ms] {
        put(&n.to_le_bytes());
    }
    put(&(index.blocks.len() as u32).to_le_bytes());
    put(&(keys.iter().len() as u32).to_le_bytes());
    for b in &index.blocks {
        put(&b.first.0.to_le_bytes());
        put(&b.offset.to_le_bytes());
        for n in [b.event_span.min_us, b.event_span.max_us, b.append_max_ms] {
            put(&n.to_le_bytes());
        }
    }
    for (key, sequence, time) in keys.iter() {
        put(&sequence.0.to_le_bytes());
        put(&time.to_le_bytes());
        put(&(key.len() as u16).to_le_bytes());
        put(key);
    }
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

pub(super) type KnownKeys = Vec<(Bytes, Sequence, i64)>;

/// The index file, or nothing if it is missing or not whole: it only saves a scan.
pub(super) fn read_index(disk: &dyn Disk, path: &Path, base: Sequence) -> Option<(Index, KnownKeys)> {
    let file = disk.open(path).ok()?;
    // A length that is not that of an index must not cost its memory.
    let len = usize::try_from(file.len().ok()?).ok().filter(|len| *len <= INDEX_BYTES_MAX)?;
    let mut bytes = vec![0; len];
    let got = file.read_at(&mut bytes, 0).ok()?;
    let (content, crc) = bytes.get(..got)?.split_last_chunk::<4>()?;
    if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
        return None;
    }
    parse_index(content).filter(|(index, _)| index.summary.first == base)
}

fn parse_index(content: &[u8]) -> Option<(Index, KnownKeys)> {
    let mut rest = content.strip_prefix(&INDEX_MAGIC)?;
    fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
        let (bytes, after) = rest.split_first_chunk::<N>()?;
        *rest = after;
        Some(*bytes)
    }
    fn number(rest: &mut &[u8]) -> Option<u64> {
        take(rest).map(u64::from_le_bytes)
    }
    fn signed(rest: &mut &[u8]) -> Option<i64> {
        take(rest).map(i64::from_le_bytes)
    }
    let r = &mut rest;
    let (first, next, end, rows) = (Sequence(number(r)?), Sequence(number(r)?), number(r)?, number(r)?);
    let span = EventSpan { min_us: signed(r)?, max_us: signed(r)? };
    let (append_min_ms, append_max_ms) = (signed(r)?, signed(r)?);
    let event_span = (next > first).then_some(span);
    let summary = Summary { first, next, end, rows, event_span, append_min_ms, append_max_ms };
    let block_count = u32::from_le_bytes(take(r)?);
    let key_count = u32::from_le_bytes(take(r)?);
    let mut blocks = Vec::new();
    for _ in 0..block_count {
        let (first, offset) = (Sequence(number(r)?), number(r)?);
        let event_span = EventSpan { min_us: signed(r)?, max_us: signed(r)? };
        blocks.push(Block { first, offset, event_span, append_max_ms: signed(r)? });
    }
    let mut keys = Vec::new();
    for _ in 0..key_count {
        let (sequence, time) = (Sequence(number(r)?), signed(r)?);
        let len = u16::from_le_bytes(take(r)?) as usize;
        let (key, after) = r.split_at_checked(len)?;
        keys.push((Bytes::copy_from_slice(key), sequence, time));
        *r = after;
    }
    r.is_empty().then_some((Index::kept(summary, blocks), keys))
}
