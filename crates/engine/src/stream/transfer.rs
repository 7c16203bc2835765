//! Rows of one table become rows of another: MOVE, ATTACH and DETACH PARTITION.
//!
//! In: a table that takes rows, and the one that gives them up where it does. Out: the rows where they belong. Promise: after a
//! crash at any step, an error or a cancelled statement, either all of it has happened or nothing.
//!
//! The way there: an intent is put into the catalog; the rows are written to the log of the taker, each record with the stamp of
//! the transfer; the giver's commit lets them go; the intent is removed. Whoever finds an intent asks whether the giver still has
//! its files: then the stamped records are left out when the taker's log becomes parts, and nothing has happened. Neither table
//! is compacted meanwhile. Without a giver the removal of the intent is what counts.

use super::StreamStore;
use super::compact::blocking;
use super::mutate::Change;
use crate::catalog::record;
use crate::engine::Inner;
use arrow::array::RecordBatch;
use bytes::Bytes;
use hydron_base::{Code, Error, Result};
use hydron_store::catalog::Entry;
use hydron_store::part::Commit;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

/// First byte of the stamps of records.
const MAGIC: u8 = b'T';

/// Between two attempts to undo a transfer that cannot be undone, as on a full disk.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Intent {
    id: Uuid,
    to: Uuid,
    /// `None`: rows are copied.
    from: Option<Uuid>,
    /// Files that the giver has until its commit.
    left: BTreeSet<String>,
}

impl Intent {
    fn stamp(&self) -> Bytes {
        let mut stamp = vec![MAGIC];
        stamp.extend_from_slice(self.id.as_bytes());
        stamp.into()
    }

    fn entry(&self) -> Entry {
        let object = serde_json::to_value(self).unwrap_or_default();
        Inner::entry(record::TRANSFER, self.id, "", &self.id.to_string(), "", object)
    }

    /// Whether all of it has happened.
    fn is_done(&self, from: Option<&Arc<StreamStore>>) -> bool {
        match (self.from, from) {
            (None, _) => false,
            // Its rows are nowhere else.
            (Some(_), None) => true,
            (Some(_), Some(from)) => {
                !from.parts.snapshot().manifest().parts.iter().any(|p| self.left.contains(&p.file))
            }
        }
    }
}

pub struct Transfer {
    engine: Arc<Inner>,
    intent: Intent,
    to: Arc<StreamStore>,
    from: Option<Arc<StreamStore>>,
    /// Neither is compacted.
    alone: Vec<OwnedMutexGuard<bool>>,
    /// The intent is in the catalog.
    is_open: bool,
}

/// What leaves the giver.
pub struct Leaving {
    commit: Commit,
    pub rows: Vec<RecordBatch>,
}

impl Transfer {
    /// `from`: the table that gives the rows up, if they are not copied. Waits until neither table is compacted.
    ///
    /// Errors: STREAM_IS_DROPPED (60), NO_SUCH_COLUMN_IN_STREAM for a table that was altered meanwhile, NOT_IMPLEMENTED (48) for
    /// one without parts.
    pub async fn begin(
        engine: &Arc<Inner>,
        (to_id, to): (Uuid, &Arc<StreamStore>),
        from: Option<(Uuid, &Arc<StreamStore>)>,
    ) -> Result<Transfer> {
        if !to.makes_parts {
            return Err(Error::not_implemented("a change of rows in a stream with storage_type = 'streaming'"));
        }
        if let Some((_, from)) = from {
            from.move_log().await?;
        }
        let mut stores = vec![(to_id, to)];
        stores.extend(from);
        // Two that go in opposite directions at once take them in the same order.
        stores.sort_by_key(|(id, _)| *id);
        let mut alone = Vec::with_capacity(stores.len());
        for (_, store) in stores {
            let guard = Arc::clone(&store.compacting).lock_owned().await;
            store.check_open(*guard)?;
            alone.push(guard);
        }
        let intent = Intent { id: Uuid::new_v4(), to: to_id, from: from.map(|(id, _)| id), left: BTreeSet::new() };
        let from = from.map(|(_, store)| Arc::clone(store));
        Ok(Transfer { engine: Arc::clone(engine), intent, to: Arc::clone(to), from, alone, is_open: false })
    }

    /// The rows that leave the giver, as they are now. `chosen` leaves of a batch the rows that go, `others` those that stay.
    /// `None`: there are none.
    pub async fn leaving(&self, chosen: Change, others: Change) -> Result<Option<Leaving>> {
        let from = self.from.as_ref().ok_or_else(|| Error::bug("a copy has no giver"))?;
        let snapshot = from.parts.snapshot();
        let (mut commit, mut rows) = (Commit::default(), Vec::new());
        for part in &snapshot.manifest().parts {
            let Some(changed) = from.changed(part, &others).await? else { continue };
            for batch in from.rows_of(part).await? {
                rows.extend(chosen(&batch)?.filter(|rows| rows.num_rows() > 0));
            }
            commit.removed.insert(part.file.clone());
            commit.added.extend(changed);
        }
        Ok((!commit.removed.is_empty()).then_some(Leaving { commit, rows }))
    }

    /// Says what is about to happen; it is on disk when this returns.
    pub async fn intend(&mut self, leaving: Option<&Leaving>) -> Result<()> {
        self.intent.left = leaving.map(|l| l.commit.removed.clone()).unwrap_or_default();
        let (engine, entry) = (Arc::clone(&self.engine), self.intent.entry());
        // Before it is asked for: a statement that is cancelled here may have put it there.
        self.is_open = true;
        blocking(move || Ok(engine.catalog_store.put(entry)?)).await
    }

    /// With which the taker's records are to be written.
    pub fn stamp(&self) -> Bytes {
        self.intent.stamp()
    }

    /// The taker's records are durable: the giver lets the rows go.
    pub async fn leave(&self, leaving: Leaving) -> Result<()> {
        let from = self.from.as_ref().ok_or_else(|| Error::bug("a copy has no giver"))?;
        from.parts.commit(leaving.commit).await?;
        Ok(())
    }

    /// All of it has happened.
    pub async fn end(mut self) -> Result<()> {
        let (engine, id) = (Arc::clone(&self.engine), self.intent.id);
        blocking(move || Ok(engine.catalog_store.remove(id)?)).await?;
        self.is_open = false;
        Ok(())
    }

    /// It has failed: nothing of it stays, unless all of it has happened.
    pub async fn undo(mut self) -> Result<()> {
        if !self.is_open {
            return Ok(());
        }
        settle(&self.engine, &self.intent, Some(&self.to), self.from.as_ref()).await?;
        self.is_open = false;
        Ok(())
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        // The statement was cancelled, or could not be undone: both tables stay as they are until it is.
        let (engine, intent) = (Arc::downgrade(&self.engine), self.intent.clone());
        let (to, from) = (Arc::clone(&self.to), self.from.take());
        let alone = std::mem::take(&mut self.alone);
        self.engine.cpu.handle().spawn(async move {
            let _alone = alone;
            while let Some(engine) = engine.upgrade() {
                match settle(&engine, &intent, Some(&to), from.as_ref()).await {
                    Ok(()) => return,
                    Err(e) => tracing::error!("rows that were on their way into {} are not taken back: {e}", to.name()),
                }
                drop(engine);
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        });
    }
}

/// Leaves the rows of a transfer in one of both places, then forgets it. A table that is `None` is no more.
async fn settle(
    engine: &Arc<Inner>,
    intent: &Intent,
    to: Option<&Arc<StreamStore>>,
    from: Option<&Arc<StreamStore>>,
) -> Result<()> {
    if let Some(to) = to.filter(|_| !intent.is_done(from)) {
        to.forget_stamped(&intent.stamp()).await?;
    }
    let (engine, id) = (Arc::clone(engine), intent.id);
    let remove = move || match engine.catalog_store.remove(id) {
        Ok(()) | Err(hydron_store::StoreError::NotFound { .. }) => Ok(()),
        Err(e) => Err(Error::from(e)),
    };
    blocking(remove).await
}

/// Ends what a stop has left half done. Called at a start, before anything is compacted or asked.
pub fn recover(engine: &Arc<Inner>, entries: &[Entry]) -> Result<()> {
    for entry in entries {
        let object = entry.properties.get("object").cloned().unwrap_or_default();
        let intent: Intent = serde_json::from_value(object).map_err(|e| {
            Error::new(Code::CORRUPTED_DATA, format!("catalog entry of transfer {} cannot be read: {e}", entry.name))
        })?;
        let (to, from) = (engine.streams.get(intent.to), intent.from.and_then(|id| engine.streams.get(id)));
        let work = settle(engine, &intent, to.as_ref(), from.as_ref());
        match tokio::runtime::Handle::try_current() {
            Ok(_) => tokio::task::block_in_place(|| engine.cpu.handle().block_on(work))?,
            Err(_) => engine.cpu.handle().block_on(work)?,
        }
        tracing::info!("a change of partitions that a stop had cut off was settled");
    }
    Ok(())
}

impl StreamStore {
    /// Makes parts of what is in the log, but for records with this stamp. Nobody else compacts meanwhile.
    async fn forget_stamped(self: &Arc<Self>, stamp: &Bytes) -> Result<()> {
        for log in &self.logs {
            // What was on its way is there then.
            log.roll().await?;
        }
        while self.has_stamped(stamp).await? {
            let (store, from) = (Arc::clone(self), self.view().log);
            let stretch = blocking(move || store.read_stretch(&from)).await?;
            let Some(mut stretch) = stretch else { break };
            stretch.records.retain(|r| r.stamp.as_ref() != Some(stamp));
            let log_from = std::mem::take(&mut stretch.log_from);
            let mut commit = Commit { log_from, ..Commit::default() };
            if !stretch.records.is_empty() {
                let (store, records) = (Arc::clone(self), std::mem::take(&mut stretch.records));
                let encoded = blocking(move || {
                    let rows = records.iter().map(|r| store.adapter.adapt(&r.batch, r.schema_version));
                    store.encode_sorted(&rows.collect::<Result<Vec<_>>>()?)
                });
                let version = self.adapter.layout.version;
                let ranges = std::mem::take(&mut stretch.ranges);
                let part = self.parts.write_part(encoded.await?, ranges, Some(stretch.span), version, 0).await?;
                commit.added.push(part);
            }
            self.parts.commit(commit).await?;
        }
        let store = Arc::clone(self);
        blocking(move || store.count_pending()).await
    }

    /// Whether a record that is not in parts has this stamp.
    async fn has_stamped(self: &Arc<Self>, stamp: &Bytes) -> Result<bool> {
        let (store, stamp, found) = (Arc::clone(self), stamp.clone(), AtomicBool::new(false));
        blocking(move || {
            for (log, (from, _)) in store.logs.iter().zip(store.view().log) {
                log.visit_heads(from, |head| match head.stamp.as_ref() == Some(&stamp) {
                    true => {
                        found.store(true, Ordering::Relaxed);
                        ControlFlow::Break(())
                    }
                    false => ControlFlow::Continue(()),
                })?;
            }
            Ok(found.into_inner())
        })
        .await
    }
}

#[cfg(test)]
mod tests;
