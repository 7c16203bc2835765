//! One reader's place in a log: yields records in order, from files when behind, from the ring when near the head.
//!
//! Promise: every record from the start on, once, in order, each checked when it comes from a file. A slow reader falls
//! back to files; it never holds up a writer.

use super::encode::decode;
use super::record::{Record, Sequence};
use super::recovery::Step;
use super::segment::{Reader, Segment};
use super::shard::Log;
use crate::error::{Result, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// Which records a reader sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Those that survive a power cut.
    #[default]
    Synced,
    /// Also those in the page cache: earlier by one sync, but a power cut may take back what was seen.
    Written,
}

pub struct Cursor {
    log: Arc<Log>,
    next: Sequence,
    isolation: Isolation,
    file: Option<(Arc<Segment>, Reader)>,
}

impl Cursor {
    pub(super) fn new(log: Arc<Log>, next: Sequence, isolation: Isolation) -> Cursor {
        Cursor { log, next, isolation, file: None }
    }

    /// The sequence of the record that comes next.
    pub fn position(&self) -> Sequence {
        self.next
    }

    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Goes on from `to`. Errors come when reading.
    pub fn seek(&mut self, to: Sequence) {
        self.next = to;
        self.file = None;
    }

    /// Records that can be read now without waiting.
    pub fn lag(&self) -> u64 {
        self.log.end(self.isolation).0.saturating_sub(self.next.0)
    }

    /// True if the next record must be fetched from a file: a task may want a thread for that.
    pub fn is_behind(&self) -> bool {
        self.lag() > 0 && self.log.ring().get(self.next).is_none()
    }

    /// The next record, or nothing if the reader is at the head. May read a file, never waits for writers.
    ///
    /// Errors: `Trimmed` if retention has overtaken the reader: seek and go on, or stop. `Damaged`, `UnknownSchema`,
    /// `Rows`, `Disk`: the position stays before the record.
    pub fn try_next(&mut self) -> Result<Option<Arc<Record>>> {
        if self.next >= self.log.end(self.isolation) {
            return Ok(None);
        }
        let record = match self.log.ring().get(self.next) {
            Some(record) => {
                self.file = None;
                record
            }
            None => Arc::new(self.read_file()?),
        };
        self.next = self.next.next();
        Ok(Some(record))
    }

    /// The next record, waiting for it; nothing once the log is closed and read to its end.
    pub async fn next(&mut self) -> Result<Option<Arc<Record>>> {
        loop {
            if let Some(record) = self.try_next()? {
                return Ok(Some(record));
            }
            if !self.wait().await {
                return Ok(None);
            }
        }
    }

    /// Waits until [`Cursor::try_next`] has a record; false if the log was closed instead.
    pub async fn wait(&self) -> bool {
        self.log.reach.wait_for(self.next, self.isolation).await
    }

    /// The next record on a plain thread; nothing after `patience`, or once the log is closed.
    pub fn next_blocking(&mut self, patience: Duration) -> Result<Option<Arc<Record>>> {
        if let Some(record) = self.try_next()? {
            return Ok(Some(record));
        }
        self.log.reach.wait_for_blocking(self.next, self.isolation, patience);
        self.try_next()
    }

    /// Reads record `next`, which is written.
    fn read_file(&mut self) -> Result<Record> {
        loop {
            let (segment, mut reader) = match self.file.take() {
                Some((segment, reader)) if reader.expected == self.next => {
                    if self.next < segment.summary().next {
                        (segment, reader)
                    } else {
                        // This segment is read to its end; the record is in the one after.
                        continue;
                    }
                }
                _ => {
                    let (segment, block) = self.log.locate(self.next)?;
                    (segment, Reader::new(block.offset, block.first))
                }
            };
            let end = segment.summary().end;
            loop {
                let head = match reader.step(&segment, end)? {
                    Step::Record(head) => head,
                    Step::Bad(why) => {
                        return Err(StoreError::damaged(&segment.path, reader.offset(), why));
                    }
                    Step::Empty | Step::More(_) => {
                        return Err(StoreError::damaged(&segment.path, reader.offset(), "a written record is missing"));
                    }
                };
                if head.sequence < self.next {
                    reader.advance(&head);
                    continue;
                }
                let record = decode(&head, reader.bytes(), self.log.schemas(), self.log.name())?;
                reader.advance(&head);
                self.file = Some((segment, reader));
                return Ok(record);
            }
        }
    }
}
