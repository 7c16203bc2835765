//! The head of a record on disk: how long it is, where its parts are, and whether it is what was written.
//!
//! In: bytes of a segment. Out: a [`Head`]. Promise: any bytes are looked at without a panic; a head that is given out has
//! parts that fit into its record. Layout: docs/formats/log.md.

use super::record::{Codec, EventSpan, RecordHead, Sequence};
use bytes::Bytes;
use hydron_base::limit::RECORD_BYTES_MAX;

/// Bytes of the fixed head of a record.
pub const HEAD_BYTES: usize = 72;
/// Records start at multiples of this, so that 8-byte columns can be read where they lie.
pub const RECORD_ALIGN: usize = 8;
/// Bytes of a body before compression. A record is small on disk; this bounds what reading it may cost.
pub const RAW_BYTES_MAX: usize = 256 << 20;
pub(super) const FORMAT: u8 = 1;

/// The fixed head of a record as it lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the whole record, head included, padding after it not.
    pub len: u32,
    pub crc: u32,
    pub sequence: Sequence,
    pub append_time_ms: i64,
    /// All records before this one's were synced when this record was written: damage below it is no torn tail.
    pub synced_before: Sequence,
    pub event_span: EventSpan,
    pub rows: u32,
    pub(super) raw_len: u32,
    pub(super) meta_len: u32,
    pub schema_version: u16,
    pub(super) codec: Codec,
    pub(super) key_len: u16,
    pub(super) column_count: u16,
    pub(super) stamp_len: u32,
}

pub(super) fn align(n: usize, to: usize) -> usize {
    n.next_multiple_of(to)
}

/// What lies at the start of `bytes`, by its head alone; the checksum is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    /// A head that may be one.
    Head(Head),
    /// Fewer bytes than a head.
    Short,
    /// A zero length: nothing was ever written here.
    Empty,
    /// No head has such values.
    Bad(&'static str),
}

/// Reads a head. Promise: `Head.len` is between [`HEAD_BYTES`] and [`RECORD_BYTES_MAX`] and its parts fit into it.
pub fn peek(bytes: &[u8]) -> Peek {
    let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else {
        return Peek::Short;
    };
    let u16_at = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let u32_at = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    let len = u32_at(0);
    if len == 0 {
        return Peek::Empty;
    }
    if (len as usize) < HEAD_BYTES || len as usize > RECORD_BYTES_MAX {
        return Peek::Bad("length is impossible");
    }
    if head[62] != FORMAT {
        return Peek::Bad("record format is unknown");
    }
    let Some(codec) = Codec::from_number(head[63]) else {
        return Peek::Bad("codec is unknown");
    };
    let out = Head {
        len,
        crc: u32_at(4),
        sequence: Sequence(u64_at(8)),
        append_time_ms: u64_at(16) as i64,
        synced_before: Sequence(u64_at(24)),
        event_span: EventSpan { min_us: u64_at(32) as i64, max_us: u64_at(40) as i64 },
        rows: u32_at(48),
        raw_len: u32_at(52),
        meta_len: u32_at(56),
        schema_version: u16_at(60),
        codec,
        key_len: u16_at(64),
        column_count: u16_at(66),
        stamp_len: u32_at(68),
    };
    if out.body_at() > len as usize {
        return Peek::Bad("parts are longer than the record");
    }
    if out.raw_len as usize > RAW_BYTES_MAX || out.meta_len > out.raw_len {
        return Peek::Bad("body length is impossible");
    }
    Peek::Head(out)
}

impl Head {
    /// Bytes from this record's start to the next one's.
    pub fn stride(&self) -> usize {
        align(self.len as usize, RECORD_ALIGN)
    }

    pub(super) fn columns_at(&self) -> usize {
        HEAD_BYTES
    }

    pub(super) fn key_at(&self) -> usize {
        self.columns_at() + self.column_count as usize * 2
    }

    fn stamp_at(&self) -> usize {
        self.key_at() + self.key_len as usize
    }

    pub(super) fn body_at(&self) -> usize {
        align(self.stamp_at() + self.stamp_len as usize, RECORD_ALIGN)
    }

    /// True if `record`, this head's bytes and all that follow, is what was written.
    pub fn checks(&self, record: &[u8]) -> bool {
        record.len() >= self.len as usize && crc32c::crc32c(&record[8..self.len as usize]) == self.crc
    }

    pub(super) fn key(&self, record: &[u8]) -> Option<Bytes> {
        (self.key_len > 0).then(|| Bytes::copy_from_slice(&record[self.key_at()..self.stamp_at()]))
    }

    pub(super) fn stamp(&self, record: &[u8]) -> Option<Bytes> {
        let at = self.stamp_at();
        (self.stamp_len > 0).then(|| Bytes::copy_from_slice(&record[at..at + self.stamp_len as usize]))
    }

    /// The fields of a record that has passed [`Head::checks`], without its rows.
    pub fn outline(&self, record: &[u8]) -> RecordHead {
        RecordHead {
            sequence: self.sequence,
            append_time_ms: self.append_time_ms,
            event_span: self.event_span,
            rows: self.rows,
            schema_version: self.schema_version,
            key: self.key(record),
            stamp: self.stamp(record),
        }
    }
}
