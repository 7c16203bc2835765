//! Rows of the history are deleted or changed: ALTER … DELETE, UPDATE and DROP PARTITION.
//!
//! In: what becomes of a batch of rows. Out: a version of the history in which it has happened. Promise: it happens to every row
//! that was acknowledged before, in one commit, or to none; the log keeps its records for streaming readers, as TRUNCATE does.

use super::StreamStore;
use arrow::array::RecordBatch;
use hydron_base::{Code, Error, Result};
use hydron_store::log::Sequence;
use hydron_store::part::{Commit, PartMeta};
use std::sync::Arc;

/// What becomes of rows. `None`: they stay as they are.
pub type Change = Arc<dyn Fn(&RecordBatch) -> Result<Option<RecordBatch>> + Send + Sync>;

impl StreamStore {
    /// Applies `change` to all rows of the history. Rows that come meanwhile are not touched.
    pub async fn mutate(self: &Arc<Self>, change: Change) -> Result<()> {
        self.move_log().await?;
        let dropped = self.compacting.lock().await;
        if *dropped {
            return Err(Error::new(Code::STREAM_IS_DROPPED, "the stream was dropped"));
        }
        if self.adapter.is_outdated() {
            let message = "the stream was altered while the statement began";
            return Err(Error::new(Code::NO_SUCH_COLUMN_IN_STREAM, message).hint("run it again"));
        }
        let snapshot = self.parts.snapshot();
        let mut commit = Commit::default();
        for part in &snapshot.manifest().parts {
            // Until the commit a new part is a file that nobody names; the next start removes it.
            if let Some(changed) = self.changed(part, &change).await? {
                commit.removed.insert(part.file.clone());
                commit.added.extend(changed);
            }
        }
        if !commit.removed.is_empty() {
            self.parts.commit(commit).await?;
        }
        Ok(())
    }

    /// Moves every record that is in the log now into parts.
    pub(super) async fn move_log(self: &Arc<Self>) -> Result<()> {
        if !self.makes_parts {
            return Err(Error::not_implemented("a change of rows in a stream with storage_type = 'streaming'"));
        }
        let heads: Vec<Sequence> = self.logs.iter().map(|l| l.next_sequence()).collect();
        while self.lags_behind(&heads) {
            if !self.compact_once(0).await? {
                break;
            }
        }
        Ok(())
    }

    /// Brings all parts into this version now.
    pub async fn upgrade_all(self: &Arc<Self>) -> Result<()> {
        while self.upgrade_once().await? {}
        Ok(())
    }

    fn lags_behind(&self, heads: &[Sequence]) -> bool {
        let snapshot = self.parts.snapshot();
        heads.iter().enumerate().any(|(shard, head)| snapshot.manifest().log_from(shard as u32) < *head)
    }

    /// The parts that take the place of `part`: none or one. `None`: it stays.
    pub(super) async fn changed(self: &Arc<Self>, part: &PartMeta, change: &Change) -> Result<Option<Vec<PartMeta>>> {
        let rows = self.rows_of(part).await?;
        let (store, change) = (Arc::clone(self), Arc::clone(change));
        let work = move || {
            let mut is_changed = false;
            let mut batches = Vec::with_capacity(rows.len());
            for batch in rows {
                let changed = change(&batch)?;
                if let Some(changed) = &changed {
                    store.note_json_columns(changed.columns())?;
                }
                is_changed |= changed.is_some();
                batches.push(changed.unwrap_or(batch));
            }
            if !is_changed {
                return Ok(None);
            }
            batches.retain(|b| b.num_rows() > 0);
            if batches.is_empty() {
                return Ok(Some(None));
            }
            Ok(Some(Some(store.encode(&batches)?)))
        };
        let Some(encoded) = super::compact::blocking(work).await? else { return Ok(None) };
        let Some(encoded) = encoded else { return Ok(Some(Vec::new())) };
        let version = self.adapter.layout.version;
        let write = self.parts.write_part(encoded, part.sequences.clone(), part.event_span, version, part.level);
        Ok(Some(vec![write.await?]))
    }

    /// Reads every row that a historical query reads, so that a cast of an ALTER that cannot be done is found before it counts.
    /// Blocks on the disk.
    pub fn check_rows(self: &Arc<Self>, cpu: &tokio::runtime::Handle) -> Result<()> {
        let view = self.view();
        for part in view.snapshot.manifest().parts.iter().filter(|p| !self.adapter.is_current(p.schema_version)) {
            let arrow = self.adapter.arrow_of(part.schema_version)?;
            let read = self.parts.read_part(part, &arrow, None, hydron_base::limit::BATCH_ROWS_MAX);
            for rows in super::store::block_on(cpu, read)? {
                let adapted = self.adapter.adapt(&rows.map_err(Error::from)?, part.schema_version)?;
                self.note_json_columns(adapted.columns())?;
            }
        }
        for (shard, (from, to)) in view.log.iter().enumerate() {
            for record in self.records(shard, *from, *to)? {
                let adapted = self.adapter.adapt(&record.batch, record.schema_version)?;
                self.note_json_columns(adapted.columns())?;
            }
        }
        Ok(())
    }
}
