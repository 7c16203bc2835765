//! The writing end of one log, used by the flusher alone: gives records their place, fills segments, rolls them.
//!
//! In: waiting jobs in order. Out: what can be answered once written and what once synced. Promise: sequences are dense
//! in the order of the jobs; a job that finds no room takes no sequence; after a failed write or sync nothing is written
//! any more.

use super::disk::is_full;
use super::encode::Encoded;
use super::keys::KeyWindow;
use super::record::{Draft, Record, Sequence};
use super::segment::{CreateError, SEGMENT_HEAD_BYTES, Segment};
use super::shard::Log;
use super::ticket::{Answer, Appended};
use crate::error::{Result, StoreError};
use bytes::Bytes;
use std::io;
use std::sync::Arc;

/// When an append is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ack {
    /// Once the record survives a power cut.
    #[default]
    Synced,
    /// Once the record is in the page cache: it survives a kill of the server, not a power cut.
    Written,
}

/// A record on its way to the flusher.
pub(super) struct AppendJob {
    pub(super) encoded: Encoded,
    pub(super) draft: Draft,
    pub(super) memory_bytes: usize,
    pub(super) ack: Ack,
    pub(super) answer: Answer,
    /// Others were queued with it for other logs.
    pub(super) together: bool,
}

pub(super) enum Job {
    Append(AppendJob),
    /// Starts a new segment, unless the active one is empty.
    Roll(Answer),
}

// Room grows with the log: a stream that gets a few rows costs 1 MiB, a busy one rarely extends its file.
const GROW_BYTES_MIN: u64 = 1 << 20;
const GROW_BYTES_MAX: u64 = 16 << 20;

pub(super) struct Writer {
    pub(super) active: Arc<Segment>,
    /// End of the records in the active segment, and end of its reserved room.
    pub(super) used: u64,
    pub(super) reserved: u64,
    pub(super) next: Sequence,
    pub(super) synced_before: Sequence,
    pub(super) last_append_ms: i64,
    pub(super) keys: KeyWindow,
    pub(super) poison: Option<StoreError>,
}

/// What one pass over the jobs of a log has left to be answered.
#[derive(Default)]
pub(super) struct Pass {
    pub(super) written: Vec<(Answer, Appended)>,
    pub(super) to_sync: Vec<(Answer, Appended)>,
    /// True if the active segment has bytes that are not synced.
    dirty: bool,
    /// Some of it belongs together with what other logs have.
    pub(super) together: bool,
}

/// Records placed one after the other but not yet written.
#[derive(Default)]
struct Batch {
    jobs: Vec<(AppendJob, Appended)>,
    bytes: u64,
}

impl Writer {
    /// Writes all jobs. Those that fail are answered here.
    pub(super) fn write(&mut self, log: &Log, jobs: Vec<Job>) -> Pass {
        let mut pass = Pass::default();
        let mut batch = Batch::default();
        for job in jobs {
            if log.is_closed() {
                job.answer().give(Err(log.closed_error()));
                continue;
            }
            if let Some(poison) = &self.poison {
                job.answer().give(Err(poison.clone()));
                continue;
            }
            match job {
                Job::Append(job) => {
                    pass.together |= job.together;
                    self.place(log, job, &mut batch, &mut pass);
                }
                Job::Roll(answer) => {
                    self.flush(log, &mut batch, &mut pass);
                    let outcome = self.roll(log, &mut pass).map(|()| Appended {
                        sequence: self.next,
                        append_time_ms: self.last_append_ms,
                        duplicate: false,
                    });
                    answer.give(outcome);
                }
            }
        }
        self.flush(log, &mut batch, &mut pass);
        pass
    }

    /// Syncs what the pass has written. After any failure in the pass nobody in it is told that all is well.
    pub(super) fn sync(&mut self, log: &Log, pass: &mut Pass) -> Result<()> {
        if let Some(StoreError::Poisoned { log, cause }) = &self.poison {
            return Err(StoreError::OutcomeUnknown { log: log.clone(), cause: cause.clone() });
        }
        if pass.dirty {
            self.sync_active(log)?;
            pass.dirty = false;
        }
        Ok(())
    }

    fn sync_active(&mut self, log: &Log) -> Result<()> {
        if let Err(e) = self.active.file.sync() {
            return Err(self.poison(log, "sync", e));
        }
        self.synced_before = self.next;
        Ok(())
    }

    /// Remembers that the log cannot be written any more; answers what the waiting writers get.
    fn poison(&mut self, log: &Log, action: &str, e: io::Error) -> StoreError {
        let cause = format!("cannot {action} {}: {e}", self.active.path.display());
        let poison = StoreError::Poisoned { log: log.name().to_owned(), cause: cause.clone() };
        log.report_fault(&poison);
        self.poison = Some(poison);
        StoreError::OutcomeUnknown { log: log.name().to_owned(), cause }
    }

    fn place(&mut self, log: &Log, mut job: AppendJob, batch: &mut Batch, pass: &mut Pass) {
        if let Some((sequence, append_time_ms)) = job.draft.key.as_deref().and_then(|k| self.keys.find(k)) {
            // The earlier record may be of this very pass: the sync answers for both.
            pass.to_sync.push((job.answer, Appended { sequence, append_time_ms, duplicate: true }));
            return;
        }
        let bytes = job.encoded.disk_bytes() as u64;
        if let Err(e) = self.make_room(log, bytes, batch, pass) {
            job.answer.give(Err(e));
            return;
        }
        self.last_append_ms = self.last_append_ms.max(log.now_ms());
        let at = Appended { sequence: self.next, append_time_ms: self.last_append_ms, duplicate: false };
        job.encoded.place(at.sequence, at.append_time_ms, self.synced_before);
        if let Some(key) = &job.draft.key {
            self.keys.insert(own_bytes(key), at.sequence, at.append_time_ms);
        }
        self.next = self.next.next();
        batch.bytes += bytes;
        batch.jobs.push((job, at));
    }

    /// Makes sure that `bytes` more can be written after the batch: extends the segment or rolls it.
    fn make_room(&mut self, log: &Log, bytes: u64, batch: &mut Batch, pass: &mut Pass) -> Result<()> {
        let is_empty = self.used == SEGMENT_HEAD_BYTES && batch.jobs.is_empty();
        if !is_empty && self.used + batch.bytes + bytes > log.config().segment_bytes {
            self.flush(log, batch, pass);
            self.roll(log, pass)?;
        }
        if let Some(poison) = &self.poison {
            return Err(poison.clone());
        }
        let needed = self.used + batch.bytes + bytes;
        if needed <= self.reserved {
            return Ok(());
        }
        let step = self.reserved.clamp(GROW_BYTES_MIN, GROW_BYTES_MAX);
        let end = (self.reserved + step).min(log.config().segment_bytes).max(needed);
        log.check_space(end - self.reserved)?;
        match self.active.file.reserve(self.reserved, end) {
            Ok(()) => {
                self.reserved = end;
                Ok(())
            }
            Err(e) if is_full(&e) => Err(log.no_space(end - self.reserved, 0)),
            Err(e) => Err(self.poison(log, "reserve", e)),
        }
    }

    /// Writes the batch in one call and shows its records to readers of unsynced ones.
    fn flush(&mut self, log: &Log, batch: &mut Batch, pass: &mut Pass) {
        let Batch { jobs, bytes } = std::mem::take(batch);
        if jobs.is_empty() {
            return;
        }
        let parts: Vec<&[u8]> = jobs.iter().map(|(job, _)| job.encoded.bytes()).collect();
        if let Err(e) = self.active.file.write_at(&parts, self.used) {
            let unknown = self.poison(log, "write", e);
            for (job, _) in jobs {
                job.answer.give(Err(unknown.clone()));
            }
            return;
        }
        self.used += bytes;
        pass.dirty = true;
        let mut index = self.active.index.write();
        for (job, at) in &jobs {
            let rows = job.draft.batch.num_rows() as u32;
            index.push_parts(job.draft.event_span, at.append_time_ms, rows, job.encoded.disk_bytes() as u64);
        }
        drop(index);
        for (job, at) in jobs {
            let AppendJob { draft, memory_bytes, ack, answer, .. } = job;
            log.publish(Arc::new(record_of(draft, at)), memory_bytes);
            pass.answer_later(ack, answer, at);
        }
    }

    /// Closes the active segment and starts the next. Without room the active one stays.
    fn roll(&mut self, log: &Log, pass: &mut Pass) -> Result<()> {
        if let Some(poison) = &self.poison {
            return Err(poison.clone());
        }
        if self.used == SEGMENT_HEAD_BYTES {
            return Ok(());
        }
        // Synced before its successor has a name: a hole in a closed segment is always damage, never a torn write.
        self.sync_active(log)?;
        pass.dirty = false;
        let reserve = GROW_BYTES_MIN.min(log.config().segment_bytes);
        log.check_space(reserve)?;
        let next = match Segment::create(log.disk(), log.dir(), log.ident(), self.next, log.now_ms(), reserve) {
            Ok(next) => Arc::new(next),
            Err(CreateError::Full) => return Err(log.no_space(reserve, 0)),
            Err(CreateError::Failed(action, e)) => return Err(self.poison(log, action, e)),
        };
        let closed = std::mem::replace(&mut self.active, next.clone());
        // Both only save room and time: without them the next open scans the segment.
        let _ = closed.file.truncate(self.used);
        let _ = closed.save_index(log.disk(), &self.keys);
        self.used = SEGMENT_HEAD_BYTES;
        self.reserved = reserve.max(SEGMENT_HEAD_BYTES);
        log.add_segment(next);
        Ok(())
    }
}

impl Job {
    pub(super) fn answer(self) -> Answer {
        match self {
            Job::Append(job) => job.answer,
            Job::Roll(answer) => answer,
        }
    }
}

impl Pass {
    fn answer_later(&mut self, ack: Ack, answer: Answer, at: Appended) {
        match ack {
            Ack::Synced => self.to_sync.push((answer, at)),
            Ack::Written => self.written.push((answer, at)),
        }
    }
}

/// A key lives as long as the window: it must not pin the message it was cut from.
fn own_bytes(key: &Bytes) -> Bytes {
    Bytes::copy_from_slice(key)
}

fn record_of(draft: Draft, at: Appended) -> Record {
    Record {
        sequence: at.sequence,
        append_time_ms: at.append_time_ms,
        event_span: draft.event_span,
        schema_version: draft.schema_version,
        columns: draft.columns,
        key: draft.key,
        stamp: draft.stamp,
        batch: draft.batch,
    }
}
