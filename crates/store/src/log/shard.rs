//! The log of one shard of one stream: append at the end, read anywhere, drop at the front.
//!
//! In: drafts. Out: records in the order of their sequences, the same for all readers. Promise: an append answered as
//! synced survives a power cut; readers see synced records only, unless they ask for more.

use super::cursor::{Cursor, Isolation};
use super::disk::{Disk, create_dir};
use super::encode::encode;
use super::reach::Reach;
use super::record::{Draft, Record, Schemas, Sequence};
use super::segment::{Cut, Ident, SEGMENT_HEAD_BYTES, Segment, base_of_name};
use super::tail::TailRing;
use super::ticket::{Appended, Ticket, pair};
use super::volume::Common;
use super::writer::{Ack, AppendJob, Job, Writer};
use crate::error::{Result, StoreError};
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How the log of one shard is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment is closed before it would grow past this. Whole segments are what retention removes.
    pub segment_bytes: u64,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig { segment_bytes: 256 << 20 }
    }
}

/// What opening a log has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    pub segments: usize,
    pub first: Sequence,
    pub next: Sequence,
    /// Bytes of unfinished writes that were cut away, and why they could not be read.
    pub cut_bytes: u64,
    pub cut_why: Option<&'static str>,
}

/// Figures of a log, for system tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogStats {
    pub first: Sequence,
    pub next: Sequence,
    pub segments: usize,
    pub records: u64,
    pub rows: u64,
    /// Bytes of records and heads, without reserved room.
    pub bytes: u64,
    pub ring_records: usize,
    pub poisoned: bool,
}

pub struct Log {
    pub(super) name: Arc<str>,
    ident: Ident,
    dir: PathBuf,
    config: LogConfig,
    schemas: Arc<dyn Schemas>,
    pub(super) common: Arc<Common>,
    pub(super) segments: RwLock<Vec<Arc<Segment>>>,
    pub(super) reach: Reach,
    pub(super) ring: Arc<TailRing>,
    writer: Mutex<Writer>,
    recovery: Recovery,
    /// How many readers need the records from a sequence on.
    pub(super) holds: Mutex<BTreeMap<Sequence, usize>>,
}

impl Log {
    /// Opens or creates the log in `dir`, cutting away what a torn write has left.
    ///
    /// Errors: `Damaged` if something acknowledged cannot be read; nothing on disk is changed then.
    pub(super) fn open(
        common: Arc<Common>,
        dir: PathBuf,
        ident: Ident,
        schemas: Arc<dyn Schemas>,
        config: LogConfig,
    ) -> Result<Arc<Log>> {
        let disk = &*common.disk;
        let now_ms = common.clock.now().millis();
        let list = || disk.list(&dir).map_err(|e| StoreError::disk("list", &dir, e));
        let bases_in = |names: Vec<String>| -> Vec<Sequence> { names.iter().filter_map(|n| base_of_name(n)).collect() };
        let mut bases = if disk.exists(&dir) { bases_in(list()?) } else { Vec::new() };
        if bases.is_empty() {
            // A segment is made only after this, so where there is one the directory is known to survive.
            create_dir(disk, &dir)?;
        }
        bases.sort();
        let mut keys = Default::default();
        let mut segments: Vec<Arc<Segment>> = Vec::with_capacity(bases.len() + 1);
        let mut cut = Cut { bytes: 0, why: None, reserved: SEGMENT_HEAD_BYTES };
        for (at, base) in bases.iter().enumerate() {
            let segment = Segment::open(disk, &dir, *base)?;
            if let Some(before) = segments.last()
                && before.summary().next != *base
            {
                let why = format!("it starts at sequence {base}, the segment before ends at {}", before.summary().next);
                return Err(StoreError::damaged(&segment.path, 0, why));
            }
            if at + 1 < bases.len() {
                segment.load_closed(disk, ident, &mut keys)?;
            } else {
                cut = segment.recover_last(ident, &mut keys, now_ms, common.config.reads_device)?;
            }
            segments.push(Arc::new(segment));
        }
        if segments.is_empty() {
            let segment = Segment::create(disk, &dir, ident, Sequence(0), now_ms, SEGMENT_HEAD_BYTES);
            segments.push(Arc::new(segment.map_err(|e| e.at_open(&dir))?));
        }
        let active = segments.last().expect("a log has at least one segment").clone();
        let end = active.summary();
        if end.next == active.base && !bases.is_empty() {
            // The segment was made and nothing tells that its name had been synced before the stop.
            disk.sync_dir(&dir).map_err(|e| StoreError::disk("sync", &dir, e))?;
        }
        let last_append_ms = segments.iter().map(|s| s.summary().append_max_ms).max().unwrap_or(i64::MIN);
        let recovery = Recovery {
            segments: segments.len(),
            first: segments[0].base,
            next: end.next,
            cut_bytes: cut.bytes,
            cut_why: cut.why,
        };
        let writer = Writer {
            active,
            used: end.end,
            reserved: cut.reserved.max(end.end),
            next: end.next,
            synced_before: end.next,
            last_append_ms,
            keys,
            poison: None,
        };
        Ok(Arc::new(Log {
            name: format!("log {}.{}", ident.stream, ident.shard).into(),
            ident,
            dir,
            config,
            schemas,
            common,
            segments: RwLock::new(segments),
            reach: Reach::new(end.next),
            ring: Arc::default(),
            writer: Mutex::new(writer),
            recovery,
            holds: Mutex::default(),
        }))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn ident(&self) -> Ident {
        self.ident
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// What opening has found.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Appends one record and returns once it is as safe as `ack` says.
    ///
    /// Encodes on the calling task, waits while the queue is full. Errors: `TooLarge`, `BadArgument`,
    /// `NotEnoughSpace`, `Poisoned`, `Closed`: nothing is stored. `OutcomeUnknown`: it may be stored; send again with
    /// the same key after the restart. If the future is dropped the record may still be stored.
    pub async fn append(self: &Arc<Self>, draft: Draft, ack: Ack) -> Result<Appended> {
        let (job, bytes, ticket) = self.job(draft, ack)?;
        self.common.queue.push(self, job, bytes).await?;
        ticket.await
    }

    /// [`Log::append`] for a plain thread. Never call it from a task.
    pub fn append_blocking(self: &Arc<Self>, draft: Draft, ack: Ack) -> Result<Appended> {
        let (job, bytes, ticket) = self.job(draft, ack)?;
        self.common.queue.push_blocking(self, job, bytes)?;
        ticket.wait()
    }

    /// Queues one record without waiting for anything; the ticket is its answer. Records queued by one caller keep
    /// their order. Errors: also `QueueFull`.
    pub fn submit(self: &Arc<Self>, draft: Draft, ack: Ack) -> Result<Ticket> {
        let (job, bytes, ticket) = self.job(draft, ack)?;
        self.common.queue.try_push(self, job, bytes)?;
        Ok(ticket)
    }

    /// Encodes a record for [`submit_together`]; the ticket is its answer. Errors: as [`Log::append`].
    pub fn prepare(self: &Arc<Self>, draft: Draft, ack: Ack) -> Result<(Prepared, Ticket)> {
        let (job, bytes, ticket) = self.job(draft, ack)?;
        Ok((Prepared { log: Arc::clone(self), job, bytes }, ticket))
    }

    fn job(&self, draft: Draft, ack: Ack) -> Result<(Job, usize, Ticket)> {
        if self.is_closed() {
            return Err(self.closed_error());
        }
        self.check_schema(&draft)?;
        let encoded = encode(&draft)?;
        let queued = encoded.disk_bytes();
        let memory_bytes = memory_bytes(&draft).max(queued);
        let (answer, ticket) = pair(self.name.clone());
        let job = AppendJob { encoded, draft, memory_bytes, ack, answer, together: false };
        Ok((Job::Append(job), queued, ticket))
    }

    /// Readers decode by the schema of the version: a batch of other types must not get in.
    fn check_schema(&self, draft: &Draft) -> Result<()> {
        let version = draft.schema_version;
        let schema = self
            .schemas
            .schema(version)
            .ok_or_else(|| StoreError::UnknownSchema { log: self.name.to_string(), version })?;
        let given = draft.batch.schema_ref().fields();
        let fits = |at: usize, column: usize| {
            schema.fields().get(column).is_some_and(|f| f.data_type() == given[at].data_type())
        };
        let all_fit = match &draft.columns {
            Some(columns) => columns.iter().enumerate().all(|(at, c)| at < given.len() && fits(at, *c as usize)),
            None => given.len() == schema.fields().len() && (0..given.len()).all(|at| fits(at, at)),
        };
        match all_fit {
            true => Ok(()),
            false => Err(StoreError::BadArgument(format!(
                "batch does not have the columns of schema version {version} of {}",
                self.name
            ))),
        }
    }

    /// The oldest sequence still there; equal to [`Log::next_sequence`] if there is none.
    pub fn first_sequence(&self) -> Sequence {
        self.segments.read().first().map_or(Sequence(0), |s| s.base)
    }

    /// The sequence that the next record will get, counting synced records only.
    pub fn next_sequence(&self) -> Sequence {
        self.end(Isolation::Synced)
    }

    pub(super) fn end(&self, isolation: Isolation) -> Sequence {
        self.reach.end(isolation)
    }

    /// A reader from `from` on, of synced records. Any number of readers share the newest records.
    pub fn subscribe(self: &Arc<Self>, from: Sequence) -> Cursor {
        Cursor::new(self.clone(), from, Isolation::Synced)
    }

    pub fn subscribe_with(self: &Arc<Self>, from: Sequence, isolation: Isolation) -> Cursor {
        Cursor::new(self.clone(), from, isolation)
    }

    pub fn stats(&self) -> LogStats {
        let segments = self.segments.read().clone();
        let sum = |f: fn(super::index::Summary) -> u64| segments.iter().map(|s| f(s.summary())).sum::<u64>();
        LogStats {
            first: self.first_sequence(),
            next: self.next_sequence(),
            segments: segments.len(),
            records: sum(|s| s.next.0 - s.first.0),
            rows: sum(|s| s.rows),
            bytes: sum(|s| s.end),
            ring_records: self.ring.len(),
            poisoned: self.writer.lock().poison.is_some(),
        }
    }

    /// Ends the log for readers and writers: cursors finish, appends are refused. Files stay.
    pub fn close(&self) {
        self.reach.close();
    }

    pub fn is_closed(&self) -> bool {
        self.reach.is_closed()
    }

    pub(super) fn closed_error(&self) -> StoreError {
        StoreError::Closed { object: self.name.to_string() }
    }

    pub(super) fn show_written(&self) {
        let next = self.writer.lock().active.summary().next;
        self.reach.show_written(next);
    }

    pub(super) fn show_synced(&self) {
        let next = self.writer.lock().synced_before;
        self.reach.show_synced(next);
    }

    pub(super) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock()
    }

    pub(super) fn ring(&self) -> &TailRing {
        &self.ring
    }

    pub(super) fn schemas(&self) -> &dyn Schemas {
        &*self.schemas
    }

    pub(super) fn publish(&self, record: Arc<Record>, memory_bytes: usize) {
        self.common.budget.push(&self.ring, record, memory_bytes);
    }

    pub(super) fn add_segment(&self, segment: Arc<Segment>) {
        self.segments.write().push(segment);
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.common.disk
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.common.clock.now().millis()
    }

    pub(super) fn report_fault(&self, fault: &StoreError) {
        // The directory of a dropped log goes away under a write that was on its way: nobody misses it.
        if !self.is_closed() {
            self.common.report_fault(fault);
        }
    }

    /// Errors: `NotEnoughSpace` if `bytes` more would eat into the reserve.
    pub(super) fn check_space(&self, bytes: u64) -> Result<()> {
        let free = self.disk().free_bytes(&self.dir).map_err(|e| StoreError::disk("read", &self.dir, e))?;
        if free < bytes.saturating_add(self.common.config.reserve_bytes) {
            return Err(self.no_space(bytes, free));
        }
        Ok(())
    }

    pub(super) fn no_space(&self, wanted_bytes: u64, free_bytes: u64) -> StoreError {
        let reserve_bytes = self.common.config.reserve_bytes;
        StoreError::NotEnoughSpace { object: self.name.to_string(), wanted_bytes, free_bytes, reserve_bytes }
    }
}

/// A record that is encoded and not yet queued. Dropping it stores nothing.
pub struct Prepared {
    log: Arc<Log>,
    job: Job,
    bytes: usize,
}

/// Queues records of logs of one volume without waiting: all of them or none, in their order. They are synced in one group, and
/// [`ends`] sees them in all logs or in none.
///
/// Errors: `QueueFull`, `Closed`: nothing is stored.
pub fn submit_together(records: Vec<Prepared>) -> Result<()> {
    let Some(first) = records.first() else { return Ok(()) };
    let (common, log) = (Arc::clone(&first.log.common), Arc::clone(&first.log));
    let several = records.iter().any(|r| !Arc::ptr_eq(&r.log, &log));
    let bytes = records.iter().map(|r| r.bytes).sum();
    let jobs = records.into_iter().map(|Prepared { log, mut job, .. }| {
        if let Job::Append(append) = &mut job {
            append.together = several;
        }
        (log, job)
    });
    common.queue.try_push_all(jobs.collect(), bytes)
}

/// The sequence after the last synced record of each of several logs of one volume, all at one moment.
pub fn ends(logs: &[Arc<Log>]) -> Vec<Sequence> {
    let Some(first) = logs.first() else { return Vec::new() };
    let _shown = first.common.shown.read();
    logs.iter().map(|log| log.next_sequence()).collect()
}

/// Memory that the ring keeps alive for this batch. Slices of one buffer are counted by their own share.
fn memory_bytes(draft: &Draft) -> usize {
    draft
        .batch
        .columns()
        .iter()
        .map(|c| c.to_data().get_slice_memory_size().unwrap_or_else(|_| c.get_array_memory_size()))
        .sum()
}

impl super::segment::CreateError {
    fn at_open(self, dir: &Path) -> StoreError {
        match self {
            super::segment::CreateError::Full => {
                StoreError::disk("create", dir, std::io::ErrorKind::StorageFull.into())
            }
            super::segment::CreateError::Failed(action, e) => StoreError::disk(action, dir, e),
        }
    }
}
