//! Log records become parts, small parts become larger ones, and the log is trimmed.
//!
//! In: what is pending in a stream's log. Out: one sorted part and a manifest that says where the log goes on. Promise: a
//! stop at any moment leaves either the records in the log or the part in the manifest, never both counted.

use super::store::{FlushLimits, Pending, StreamStore};
use arrow::array::RecordBatch;
use futures::FutureExt;
use hydron_base::world::Clock;
use hydron_base::{Error, Result};
use hydron_board::Board;
use hydron_store::log::{EventSpan, Record, Sequence};
use hydron_store::part::{
    Commit, EncodedPart, MergePolicy, PartMeta, PartOptions, SequenceRange, choose_merge, encode_part, sort_rows,
};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How often streams are looked at.
const TICK: Duration = Duration::from_millis(500);

/// How long after a start the first look is. After a crash many streams are due at once, and clients that come back first.
const START_DELAY: Duration = Duration::from_secs(2);

/// Rows of one part written from the log: a million rows of a hundred bytes fit well in memory.
const PART_ROWS_MAX: u64 = 2_000_000;

/// Parts with few rows cost more than they give: records that are only old wait for this many rows, or ten times their age.
const SMALL_ROWS: u64 = 10_000;

/// Whether what is pending is enough, or old enough, for a part.
pub fn is_due(pending: Pending, limits: FlushLimits, now_ms: i64) -> bool {
    let Some(since) = pending.since_ms else { return false };
    let age = now_ms - since;
    let patience = if pending.rows < SMALL_ROWS { limits.age_ms.saturating_mul(10) } else { limits.age_ms };
    pending.rows >= limits.rows || pending.bytes >= limits.bytes || age >= patience
}

/// Looks at all open streams, once they are `recovered`, until it is told to stop. An error of one stream is logged and tried again.
pub async fn run(
    streams: Arc<Mutex<HashMap<Uuid, Weak<StreamStore>>>>,
    clock: Arc<dyn Clock>,
    recovered: CancellationToken,
    stop: CancellationToken,
) {
    // What a stop has left half done is settled before any of it is moved.
    tokio::select! {
        () = stop.cancelled() => return,
        () = recovered.cancelled() => {}
    }
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + START_DELAY, TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let stores: Vec<Arc<StreamStore>> = {
            let mut open = streams.lock();
            open.retain(|_, s| s.strong_count() > 0);
            open.values().filter_map(Weak::upgrade).collect()
        };
        // What crashed the server too often may be in here; nothing is written meanwhile, so nothing piles up.
        if Board::current().is_some_and(|b| b.worker().is_safe_mode()) {
            continue;
        }
        for store in stores {
            let now_ms = clock.now().millis();
            let pending = *store.pending.lock();
            let due = is_due(pending, store.limits, now_ms);
            let has_old_parts = store.has_old_parts();
            if !due && !has_old_parts && !store.has_ttl {
                continue;
            }
            let work = async {
                match (due, has_old_parts) {
                    (true, _) => store.compact_once(now_ms).await,
                    // What ALTER left is brought up to date part by part; queries read both meanwhile.
                    (false, true) => store.upgrade_once().await,
                    (false, false) => store.expire_once(now_ms.div_euclid(1_000), false).await,
                }
            };
            // A panic is the trouble of one stream; the others and the next try go on.
            let work = AssertUnwindSafe(work).catch_unwind().await;
            if let Err(e) = work.unwrap_or_else(|panic| Err(Error::panicked(&*panic))) {
                tracing::warn!("history of {} was not written, it stays in the log: {e}", store.name());
            }
        }
    }
}

impl StreamStore {
    /// Writes one part from each stretch of the log until nothing is pending, then merges.
    pub async fn compact_all(self: &Arc<Self>) -> Result<()> {
        while self.compact_once(0).await? {}
        Ok(())
    }

    /// Moves one stretch of the log to a part. False: there was nothing to move.
    pub(super) async fn compact_once(self: &Arc<Self>, now_ms: i64) -> Result<bool> {
        let alone = self.compacting.lock().await;
        if *alone {
            return Ok(false);
        }
        if !self.makes_parts {
            *self.pending.lock() = Pending::default();
            let store = Arc::clone(self);
            blocking(move || store.retain()).await?;
            return Ok(false);
        }
        let from = self.view().log;
        // Asked after the view is taken: what it has was then written in this version or an older one.
        if self.adapter.is_outdated() {
            return Ok(false);
        }
        let store = Arc::clone(self);
        let Some(stretch) = blocking(move || store.read_stretch(&from)).await? else {
            *self.pending.lock() = Pending::default();
            return Ok(false);
        };
        let store = Arc::clone(self);
        let encoded = blocking(move || {
            let rows = stretch.records.iter().map(|r| store.adapter.adapt(&r.batch, r.schema_version));
            let batches = rows.collect::<Result<Vec<_>>>()?;
            Ok((store.encode_sorted(&batches)?, stretch))
        });
        let (part, stretch) = encoded.await?;
        let rows = part.rows;
        let version = self.adapter.layout.version;
        let meta = self.parts.write_part(part, stretch.ranges, Some(stretch.span), version, 0).await?;
        let commit = Commit { added: vec![meta], removed: Default::default(), log_from: stretch.log_from };
        self.parts.commit(commit).await?;
        {
            let mut pending = self.pending.lock();
            let share = rows as f64 / pending.rows.max(rows) as f64;
            pending.rows = pending.rows.saturating_sub(rows);
            pending.bytes = ((1.0 - share) * pending.bytes as f64) as u64;
            pending.since_ms = (pending.rows > 0).then_some(now_ms);
        }
        self.merge_once().await?;
        let store = Arc::clone(self);
        blocking(move || store.retain()).await?;
        Ok(true)
    }

    /// The pending records of all shards, up to the size of one part. `None`: there are none.
    pub(super) fn read_stretch(&self, pending: &[(Sequence, Sequence)]) -> Result<Option<Stretch>> {
        let mut stretch = Stretch {
            records: Vec::new(),
            ranges: BTreeMap::new(),
            log_from: BTreeMap::new(),
            span: EventSpan::UNKNOWN,
        };
        let mut rows = 0;
        for (shard, (from, to)) in pending.iter().enumerate() {
            let mut cursor = self.logs[shard].subscribe(*from);
            while cursor.position() < *to && rows < PART_ROWS_MAX {
                let Some(record) = cursor.try_next()? else { break };
                rows += record.batch.num_rows() as u64;
                stretch.take(shard as u32, record);
            }
        }
        Ok((!stretch.records.is_empty()).then_some(stretch))
    }

    /// Joins one run of small neighbouring parts, if there is one worth it.
    async fn merge_once(self: &Arc<Self>) -> Result<()> {
        let snapshot = self.parts.snapshot();
        let parts = &snapshot.manifest().parts;
        let Some(run) = choose_merge(parts, &MergePolicy::default()) else { return Ok(()) };
        let run = parts[run].to_vec();
        let level = 1 + run.iter().map(|p| p.level).max().unwrap_or(0);
        self.rewrite(run, level).await
    }

    /// Rewrites the newest of the parts that are of an older version, so that those always stand before the others. False:
    /// there are none.
    pub(super) async fn upgrade_once(self: &Arc<Self>) -> Result<bool> {
        let alone = self.compacting.lock().await;
        if *alone || self.adapter.is_outdated() {
            return Ok(false);
        }
        let snapshot = self.parts.snapshot();
        let old = snapshot.manifest().parts.iter().rfind(|p| !self.adapter.is_current(p.schema_version)).cloned();
        let Some(part) = old else { return Ok(false) };
        let level = part.level;
        self.rewrite(vec![part], level).await?;
        Ok(true)
    }

    /// Whether some parts are of an older version.
    fn has_old_parts(&self) -> bool {
        self.parts.snapshot().manifest().parts.iter().any(|p| !self.adapter.is_current(p.schema_version))
    }

    /// Puts one part in the place of a run of neighbouring ones.
    async fn rewrite(self: &Arc<Self>, run: Vec<PartMeta>, level: u32) -> Result<()> {
        let mut batches = Vec::new();
        for part in &run {
            batches.extend(self.rows_of(part).await?);
        }
        let store = Arc::clone(self);
        let part = blocking(move || store.encode_sorted(&batches)).await?;
        let (ranges, span) = extent(&run);
        let meta = self.parts.write_part(part, ranges, span, self.adapter.layout.version, level).await?;
        let removed = run.into_iter().map(|p| p.file).collect();
        self.parts.commit(Commit { added: vec![meta], removed, log_from: BTreeMap::new() }).await?;
        Ok(())
    }

    /// One part of rows in any order.
    pub(super) fn encode_sorted(&self, batches: &[RecordBatch]) -> Result<EncodedPart> {
        self.encode(&[sort_rows(&self.schema.arrow(), batches, &self.sort_columns)?])
    }

    /// One part of rows that are in the order of parts.
    pub(super) fn encode(&self, batches: &[RecordBatch]) -> Result<EncodedPart> {
        let options = PartOptions {
            sort_columns: self.sort_columns.clone(),
            columns: self.packings.clone(),
            ..PartOptions::default()
        };
        Ok(encode_part(&self.schema.arrow(), batches, &options)?)
    }

    /// The rows of a part in this version.
    pub(super) async fn rows_of(self: &Arc<Self>, part: &PartMeta) -> Result<Vec<RecordBatch>> {
        let arrow = self.adapter.arrow_of(part.schema_version)?;
        let reader = self.parts.read_part(part, &arrow, None, hydron_base::limit::BATCH_ROWS_MAX).await?;
        let (store, version) = (Arc::clone(self), part.schema_version);
        let adapted = move |b: Result<RecordBatch, _>| store.adapter.adapt(&b.map_err(Error::from)?, version);
        blocking(move || reader.map(adapted).collect()).await
    }
}

/// Records on their way into one part.
pub(super) struct Stretch {
    pub(super) records: Vec<Arc<Record>>,
    pub(super) ranges: BTreeMap<u32, SequenceRange>,
    pub(super) log_from: BTreeMap<u32, Sequence>,
    pub(super) span: EventSpan,
}

impl Stretch {
    fn take(&mut self, shard: u32, record: Arc<Record>) {
        let sn = record.sequence;
        self.span = if self.records.is_empty() { record.event_span } else { self.span.union(record.event_span) };
        self.ranges.entry(shard).or_insert(SequenceRange { first: sn, last: sn }).last = sn;
        self.log_from.insert(shard, sn.next());
        self.records.push(record);
    }
}

/// The records and the event times of several parts together.
pub(super) fn extent(parts: &[PartMeta]) -> (BTreeMap<u32, SequenceRange>, Option<EventSpan>) {
    let mut ranges: BTreeMap<u32, SequenceRange> = BTreeMap::new();
    let mut span: Option<EventSpan> = None;
    for p in parts {
        span = match (span, p.event_span) {
            (Some(a), Some(b)) => Some(a.union(b)),
            (a, b) => a.or(b),
        };
        for (shard, r) in &p.sequences {
            let all = ranges.entry(*shard).or_insert(*r);
            (all.first, all.last) = (all.first.min(r.first), all.last.max(r.last));
        }
    }
    (ranges, span)
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) if e.is_panic() => Err(Error::panicked(&*e.into_panic())),
        Err(e) => Err(Error::bug(format!("compaction ended: {e}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_written_when_rows_are_many_or_old() {
        let limits = FlushLimits { rows: 100_000, bytes: 1 << 20, age_ms: 2_000 };
        let pending = |rows, bytes, since_ms| Pending { rows, bytes, since_ms };
        assert!(!is_due(pending(0, 0, None), limits, 1_000_000));
        assert!(is_due(pending(100_000, 10, Some(0)), limits, 1));
        assert!(is_due(pending(20_000, 10, Some(0)), limits, 2_000));
        assert!(!is_due(pending(20, 10, Some(0)), limits, 2_000), "few rows wait longer");
        assert!(is_due(pending(20, 10, Some(0)), limits, 20_000));
    }
}
