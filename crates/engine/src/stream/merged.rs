//! A table whose rows are merged by key: for a query, or in the store by OPTIMIZE.
//!
//! In: a rule. Out: the rows that count, or a history that has no others. Promise: what OPTIMIZE merges it replaces in one commit,
//! so that a reader and a crash see all of it or nothing; rows that come meanwhile are not touched.

use super::StreamStore;
use super::merging::{MergeRule, Purpose};
use super::store::{View, block_on};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use hydron_base::limit::BATCH_ROWS_MAX;
use hydron_base::memory::Reserved;
use hydron_base::{Budget, Code, Error, Result};
use hydron_func::EvalContext;
use hydron_func::call::arrow_error;
use hydron_store::part::Commit;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Rows of one part that OPTIMIZE writes.
const PART_ROWS_MAX: usize = 4 << 20;

/// Rows in memory, and what they take.
pub struct Gathered {
    pub rows: RecordBatch,
    pub held: Vec<Reserved>,
}

impl StreamStore {
    /// All rows of `view`, oldest first. Blocks on the disk.
    ///
    /// Errors: MEMORY_LIMIT_EXCEEDED.
    pub fn gathered(self: &Arc<Self>, view: &View, memory: &Arc<Budget>, cpu: &Handle) -> Result<Gathered> {
        let mut held = Vec::new();
        let mut batches = Vec::new();
        let mut add = |rows: RecordBatch| -> Result<()> {
            // Once as they come and once as one.
            held.push(memory.reserve(2 * rows.get_array_memory_size())?);
            batches.push(rows);
            Ok(())
        };
        for part in &view.snapshot.manifest().parts {
            let arrow = self.adapter.arrow_of(part.schema_version)?;
            for rows in block_on(cpu, self.parts.read_part(part, &arrow, None, BATCH_ROWS_MAX))? {
                add(self.adapter.adapt(&rows?, part.schema_version)?)?;
            }
        }
        for (shard, (from, to)) in view.log.iter().enumerate() {
            for record in self.records(shard, *from, *to)? {
                add(self.adapter.adapt(&record.batch, record.schema_version)?)?;
            }
        }
        let rows = concat_batches(&self.schema.arrow(), &batches).map_err(arrow_error)?;
        Ok(Gathered { rows, held })
    }

    /// Merges the whole history. Returns when it is durable.
    ///
    /// Errors: MEMORY_LIMIT_EXCEEDED, STREAM_IS_DROPPED.
    pub async fn merge_all(self: &Arc<Self>, rule: MergeRule, eval: EvalContext, memory: Arc<Budget>) -> Result<()> {
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
        let parts = snapshot.manifest().parts.clone();
        let mut batches = Vec::new();
        let mut held = Vec::new();
        for part in &parts {
            for rows in self.rows_of(part).await? {
                held.push(memory.reserve(2 * rows.get_array_memory_size())?);
                batches.push(rows);
            }
        }
        let store = Arc::clone(self);
        let encoded = super::compact::blocking(move || {
            let rows = concat_batches(&store.schema.arrow(), &batches).map_err(arrow_error)?;
            drop(batches);
            let merged = rule.merge(&rows, &eval, Purpose::Store)?;
            if merged.num_rows() == rows.num_rows() {
                return Ok(None);
            }
            let cut = |at: usize| merged.slice(at, PART_ROWS_MAX.min(merged.num_rows() - at));
            let pieces = (0..merged.num_rows()).step_by(PART_ROWS_MAX).map(|at| store.encode_sorted(&[cut(at)]));
            pieces.collect::<Result<Vec<_>>>().map(Some)
        });
        let Some(encoded) = encoded.await? else { return Ok(()) };
        let (ranges, span) = super::compact::extent(&parts);
        let level = 1 + parts.iter().map(|p| p.level).max().unwrap_or(0);
        let mut commit = Commit { removed: parts.into_iter().map(|p| p.file).collect(), ..Commit::default() };
        for piece in encoded {
            let version = self.adapter.layout.version;
            commit.added.push(self.parts.write_part(piece, ranges.clone(), span, version, level).await?);
        }
        self.parts.commit(commit).await?;
        Ok(())
    }
}
