//! What leaves a log at its front: retention, and readers that hold it back.
//!
//! Promise: only whole closed segments go, oldest first, and none with a record that the caller's floor or a [`Hold`]
//! protects.

use super::record::Sequence;
use super::retention::{Extent, Retention, expired};
use super::segment::{Segment, remove_files};
use super::shard::Log;
use super::ticket::pair;
use super::writer::Job;
use crate::error::{Result, StoreError};
use std::sync::Arc;

/// What [`Log::retain`] has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    pub segments: usize,
    pub bytes: u64,
}

/// Keeps retention from removing records at or after a sequence, for as long as it lives: a query over parts and log
/// takes it before it looks at the parts.
pub struct Hold {
    log: Arc<Log>,
    from: Sequence,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut holds = self.log.holds.lock();
        if let Some(count) = holds.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                holds.remove(&self.from);
            }
        }
    }
}

impl Log {
    /// Keeps all records that are there now, until the hold is dropped.
    pub fn hold(self: &Arc<Self>) -> Hold {
        let mut holds = self.holds.lock();
        let from = self.first_sequence();
        *holds.entry(from).or_default() += 1;
        Hold { log: self.clone(), from }
    }

    /// Removes the oldest segments that `policy` no longer keeps and that hold nothing at or after `floor`: the lowest
    /// sequence that parts, views or checkpoints still need. Holds lower the floor. The active segment stays; if it is all too old it is closed,
    /// so that a later call can remove it.
    pub fn retain(self: &Arc<Self>, policy: Retention, floor: Sequence) -> Result<Trimmed> {
        let now_ms = self.now_ms();
        if let Some(active) = self.segments.read().last()
            && let Some(age) = policy.age_ms_max
            && let summary = active.summary()
            && summary.next > summary.first
            && summary.next <= floor
            && summary.append_max_ms < now_ms.saturating_sub(age)
        {
            let (answer, _) = pair(self.name.clone());
            // If the queue has no room now, the next call tries again.
            let _ = self.common.queue.try_push(self, Job::Roll(answer), 0);
        }
        self.remove_expired(policy, floor, now_ms)
    }

    fn remove_expired(&self, policy: Retention, floor: Sequence, now_ms: i64) -> Result<Trimmed> {
        let removed: Vec<Arc<Segment>> = {
            let holds = self.holds.lock();
            let floor = holds.keys().next().map_or(floor, |held| floor.min(*held));
            let mut segments = self.segments.write();
            let Some((active, closed)) = segments.split_last() else {
                return Ok(Trimmed::default());
            };
            let extents: Vec<Extent> = closed
                .iter()
                .map(|s| s.summary())
                .map(|s| Extent { next: s.next, bytes: s.end, append_max_ms: s.append_max_ms })
                .collect();
            let count = expired(&extents, active.summary().end, policy, floor, now_ms);
            segments.drain(..count).collect()
        };
        if removed.is_empty() {
            return Ok(Trimmed::default());
        }
        self.ring.forget_before(self.first_sequence());
        let mut out = Trimmed::default();
        for segment in &removed {
            remove_files(self.disk(), segment).map_err(|e| StoreError::disk("remove", &segment.path, e))?;
            out.segments += 1;
            out.bytes += segment.summary().end;
        }
        self.disk().sync_dir(self.dir()).map_err(|e| StoreError::disk("sync", self.dir(), e))?;
        Ok(out)
    }

    /// Starts a new segment, unless the active one is empty. All that was queued before is there when this returns.
    pub async fn roll(self: &Arc<Self>) -> Result<()> {
        let (answer, ticket) = pair(self.name.clone());
        self.common.queue.push(self, Job::Roll(answer), 0).await?;
        ticket.await.map(drop)
    }

    /// Removes all records (TRUNCATE) and returns the sequence that the next record will get: sequences go on.
    pub async fn clear(self: &Arc<Self>) -> Result<Sequence> {
        let (answer, ticket) = pair(self.name.clone());
        self.common.queue.push(self, Job::Roll(answer), 0).await?;
        let at = ticket.await?.sequence;
        self.remove_expired(Retention::NOTHING, at, self.now_ms())?;
        Ok(at)
    }
}
