//! Where in a segment a position or a time is, without reading it.
//!
//! In: the head of each record in order. Out: a byte offset at or before the first match. Promise: never later than the
//! first match, also when event time is out of order. A block is about 64 KiB of records.

use super::head::Head;
use super::record::{EventSpan, Sequence};

/// Bytes of records under one index entry: one read fetches them, and a 256 MiB segment has 4,096 entries of 40 bytes.
pub const BLOCK_BYTES: u64 = 64 << 10;

/// One run of records in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub first: Sequence,
    pub offset: u64,
    pub event_span: EventSpan,
    /// Append time of the block's last record.
    pub append_max_ms: i64,
}

/// What is known about all records of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    pub first: Sequence,
    /// The sequence after the last record; equal to `first` when there is none.
    pub next: Sequence,
    /// Where the records end.
    pub end: u64,
    pub rows: u64,
    pub event_span: Option<EventSpan>,
    pub append_min_ms: i64,
    pub append_max_ms: i64,
}

/// The index of one segment: grows with each record, at most one block per [`BLOCK_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    pub summary: Summary,
    pub blocks: Vec<Block>,
    /// For each block the rows before it; empty when the index comes from a file, which does not have them.
    rows_before: Vec<u64>,
}

impl Index {
    /// The index of a segment whose records start at `offset`.
    pub fn new(first: Sequence, offset: u64) -> Index {
        let summary = Summary {
            first,
            next: first,
            end: offset,
            rows: 0,
            event_span: None,
            append_min_ms: i64::MAX,
            append_max_ms: i64::MIN,
        };
        Index { summary, blocks: Vec::new(), rows_before: Vec::new() }
    }

    /// An index that was kept in a file.
    pub fn kept(summary: Summary, blocks: Vec<Block>) -> Index {
        Index { summary, blocks, rows_before: Vec::new() }
    }

    /// Adds the record at the end.
    pub fn push(&mut self, head: &Head) {
        self.push_parts(head.event_span, head.append_time_ms, head.rows, head.stride() as u64);
    }

    pub fn push_parts(&mut self, event_span: EventSpan, append_time_ms: i64, rows: u32, stride: u64) {
        let s = &mut self.summary;
        match self.blocks.last_mut() {
            Some(block) if s.end - block.offset < BLOCK_BYTES => {
                block.event_span = block.event_span.union(event_span);
                block.append_max_ms = block.append_max_ms.max(append_time_ms);
            }
            _ => {
                if self.rows_before.len() == self.blocks.len() {
                    self.rows_before.push(s.rows);
                }
                self.blocks.push(Block { first: s.next, offset: s.end, event_span, append_max_ms: append_time_ms });
            }
        }
        s.next = s.next.next();
        s.end += stride;
        s.rows += u64::from(rows);
        s.event_span = Some(s.event_span.map_or(event_span, |e| e.union(event_span)));
        s.append_min_ms = s.append_min_ms.min(append_time_ms);
        s.append_max_ms = s.append_max_ms.max(append_time_ms);
    }

    /// The block that holds `sequence`, or would.
    pub fn block_of(&self, sequence: Sequence) -> Option<Block> {
        let after = self.blocks.partition_point(|b| b.first <= sequence);
        self.blocks.get(after.saturating_sub(1)).copied()
    }

    /// Rows from the start of the block that holds `sequence` to the end of the segment, if that is known.
    pub fn rows_from_block_of(&self, sequence: Sequence) -> Option<u64> {
        let after = self.blocks.partition_point(|b| b.first <= sequence);
        self.rows_before.get(after.saturating_sub(1)).map(|before| self.summary.rows.saturating_sub(*before))
    }

    /// The first block with a record whose event time may reach `time_us`.
    pub fn block_reaching_event(&self, time_us: i64) -> Option<Block> {
        self.blocks.iter().find(|b| b.event_span.max_us >= time_us).copied()
    }

    /// The first block with a record appended at or after `time_ms`.
    pub fn block_reaching_append(&self, time_ms: i64) -> Option<Block> {
        let at = self.blocks.partition_point(|b| b.append_max_ms < time_ms);
        self.blocks.get(at).copied()
    }
}
