//! Finding a place in a log: by sequence, by time, by what the heads of records say.

use super::index::{Block, Index};
use super::record::{RecordHead, Sequence};
use super::recovery::Step;
use super::segment::{Reader, Segment};
use super::shard::Log;
use crate::error::{Result, StoreError};
use std::ops::ControlFlow;
use std::sync::Arc;

impl Log {
    /// The first record whose event time may reach `time_us`, or the end of the log. All records before it are older,
    /// however disordered event time is. Records of unknown event time may always match.
    pub fn sequence_at_event_time(&self, time_us: i64) -> Result<Sequence> {
        self.search(|i| i.block_reaching_event(time_us), |head| head.event_span.max_us >= time_us)
    }

    /// The first record appended at or after `time_ms`, or the end of the log.
    pub fn sequence_at_append_time(&self, time_ms: i64) -> Result<Sequence> {
        self.search(|i| i.block_reaching_append(time_ms), |head| head.append_time_ms >= time_ms)
    }

    fn search(
        &self,
        block: impl Fn(&Index) -> Option<Block>,
        matches: impl Fn(&RecordHead) -> bool,
    ) -> Result<Sequence> {
        let end = self.next_sequence();
        let segments = self.segments.read().clone();
        for segment in segments {
            let Some(block) = block(&segment.index.read()) else {
                continue;
            };
            let mut found = None;
            visit(&segment, block.offset, block.first, &mut |head| {
                found = matches(&head).then_some(head.sequence);
                if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if let Some(found) = found {
                return Ok(found.min(end));
            }
        }
        Ok(end)
    }

    /// Shows the heads of the synced records from `from` on, in order, until the visitor breaks: for producer stamps
    /// and counts. Rows are checked but not decoded. Errors: `Trimmed`, `Damaged`.
    pub fn visit_heads(&self, from: Sequence, mut visitor: impl FnMut(RecordHead) -> ControlFlow<()>) -> Result<()> {
        let end = self.next_sequence();
        let mut next = from;
        while next < end {
            let (segment, block) = self.locate(next)?;
            let mut broke = false;
            visit(&segment, block.offset, block.first, &mut |head| {
                if head.sequence >= end {
                    return ControlFlow::Break(());
                }
                if head.sequence < from {
                    return ControlFlow::Continue(());
                }
                next = head.sequence.next();
                let flow = visitor(head);
                broke = flow.is_break();
                flow
            })?;
            if broke {
                break;
            }
        }
        Ok(())
    }

    /// Rows of the records from `from` on, and when the first of them was appended. Reads one block where the index knows
    /// the rest. Errors: `Damaged`, `Disk`.
    pub fn rows_from(&self, from: Sequence) -> Result<(u64, Option<i64>)> {
        let segments = self.segments.read().clone();
        let (mut rows, mut since_ms) = (0, None);
        for segment in segments {
            let summary = segment.summary();
            if summary.next <= from || summary.next == summary.first {
                continue;
            }
            if from <= summary.first {
                rows += summary.rows;
                since_ms.get_or_insert(summary.append_min_ms);
                continue;
            }
            let (known, block) = {
                let index = segment.index.read();
                (index.rows_from_block_of(from), index.block_of(from))
            };
            let Some(block) = block else { continue };
            let (mut before, mut after) = (0, 0);
            visit(&segment, block.offset, block.first, &mut |head| {
                if head.sequence < from {
                    before += u64::from(head.rows);
                    return ControlFlow::Continue(());
                }
                since_ms.get_or_insert(head.append_time_ms);
                after += u64::from(head.rows);
                if known.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            rows += known.map_or(after, |known| known.saturating_sub(before));
        }
        Ok((rows, since_ms))
    }

    /// The segment that holds `sequence` and the block to start at. `sequence` must be written.
    pub(super) fn locate(&self, sequence: Sequence) -> Result<(Arc<Segment>, Block)> {
        let segments = self.segments.read();
        let after = segments.partition_point(|s| s.base <= sequence);
        let Some(segment) = after.checked_sub(1).map(|at| segments[at].clone()) else {
            let first = segments.first().map_or(0, |s| s.base.0);
            return Err(StoreError::Trimmed { log: self.name.to_string(), wanted: sequence.0, first });
        };
        drop(segments);
        let index = segment.index.read();
        match index.block_of(sequence).filter(|_| sequence < index.summary.next) {
            Some(block) => {
                drop(index);
                Ok((segment, block))
            }
            None => {
                Err(StoreError::damaged(&segment.path, index.summary.end, format!("sequence {sequence} is missing")))
            }
        }
    }
}

/// Shows the heads of a segment's written records from a block on.
fn visit(
    segment: &Segment,
    offset: u64,
    first: Sequence,
    visitor: &mut dyn FnMut(RecordHead) -> ControlFlow<()>,
) -> Result<()> {
    let end = segment.summary().end;
    let mut reader = Reader::new(offset, first);
    while reader.offset() < end {
        match reader.step(segment, end)? {
            Step::Record(head) => {
                if visitor(head.outline(reader.bytes())).is_break() {
                    break;
                }
                reader.advance(&head);
            }
            Step::Bad(why) => return Err(StoreError::damaged(&segment.path, reader.offset(), why)),
            Step::Empty | Step::More(_) => {
                return Err(StoreError::damaged(&segment.path, reader.offset(), "a written record is missing"));
            }
        }
    }
    Ok(())
}
