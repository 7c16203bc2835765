//! Partitions: rows of one value of the partition key, read, moved, replaced and counted together.
//!
//! In: a key and rows. Out: names of partitions and parts. Promise: what
//! replaces a partition does so in one commit. Files do not follow partitions: a part here is what one file, or one record of the log,
//! has of a partition.

use super::StreamStore;
use super::merging::list_of;
use super::mutate::Change;
use super::store::{View, block_on};
use arrow::array::{ArrayRef, RecordBatch};
use hydron_base::limit::BATCH_ROWS_MAX;
use hydron_base::{Code, Error, Result};
use hydron_func::scalar::partition::partition_ids;
use hydron_func::{BindContext, EvalContext};
use hydron_plan::bind::bind_scalar_expr;
use hydron_plan::{Catalog, Expr};
use hydron_store::part::{Commit, PartMeta};
use hydron_types::{Batch, LogicalType, Schema};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// The key of a table over its stored columns; empty: one partition.
pub struct PartitionKey {
    elements: Vec<Expr>,
}

impl PartitionKey {
    pub fn of(
        partition_by: &str,
        schema: &Arc<Schema>,
        catalog: &dyn Catalog,
        cx: &BindContext,
    ) -> Result<PartitionKey> {
        let bind = |text: &String| bind_scalar_expr(&hydron_sql::parse_expression(text)?, schema, catalog, cx);
        Ok(PartitionKey { elements: list_of(partition_by)?.iter().map(bind).collect::<Result<_>>()? })
    }

    /// The name of each row's partition.
    pub fn ids(&self, rows: &RecordBatch, schema: &Arc<Schema>, eval: &EvalContext) -> Result<Vec<String>> {
        let batch = Batch::new(Arc::clone(schema), rows.columns().to_vec(), rows.num_rows());
        let columns = self.elements.iter().map(|e| e.eval_to_array(eval, &batch)).collect::<Result<Vec<ArrayRef>>>()?;
        let types: Vec<LogicalType> = self.elements.iter().map(|e| e.ty.clone()).collect();
        partition_ids(&columns, &types, rows.num_rows())
    }
}

/// Rows that were written together: the numbers of their records, from 1 on, and how often they were merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub first: u64,
    pub last: u64,
    pub level: u32,
}

impl Block {
    fn of_part(part: &PartMeta) -> Block {
        let number = |sequence: hydron_store::log::Sequence| sequence.0 + 1;
        let first = part.sequences.values().map(|r| number(r.first)).min().unwrap_or(0);
        let last = part.sequences.values().map(|r| number(r.last)).max().unwrap_or(0);
        // Records that became one part are merged once.
        Block { first, last, level: part.level.max(u32::from(first != last)) }
    }

    /// The name of the part that a partition has in it.
    pub fn name(&self, partition: &str) -> String {
        format!("{partition}_{}_{}_{}", self.first, self.last, self.level)
    }
}

impl StreamStore {
    /// Shows all rows of `view`, oldest first, with where they are from. Blocks on the disk.
    pub fn each_block(
        &self,
        view: &View,
        cpu: &Handle,
        mut show: impl FnMut(RecordBatch, Block) -> Result<()>,
    ) -> Result<()> {
        for part in &view.snapshot.manifest().parts {
            let arrow = self.adapter.arrow_of(part.schema_version)?;
            let block = Block::of_part(part);
            for rows in block_on(cpu, self.parts.read_part(part, &arrow, None, BATCH_ROWS_MAX))? {
                show(self.adapter.adapt(&rows?, part.schema_version)?, block)?;
            }
        }
        for (shard, (from, to)) in view.log.iter().enumerate() {
            for record in self.records(shard, *from, *to)? {
                let number = record.sequence.0 + 1;
                let block = Block { first: number, last: number, level: 0 };
                show(self.adapter.adapt(&record.batch, record.schema_version)?, block)?;
            }
        }
        Ok(())
    }

    /// The parts of each partition and their rows, by partition and number. Blocks on the disk.
    pub fn parts_of_partitions(
        &self,
        key: &PartitionKey,
        eval: &EvalContext,
        cpu: &Handle,
    ) -> Result<BTreeMap<(String, u64), (String, u64)>> {
        let mut parts: BTreeMap<(String, u64), (String, u64)> = BTreeMap::new();
        self.each_block(&self.view(), cpu, |rows, block| {
            for id in key.ids(&rows, &self.schema, eval)? {
                let part = parts.entry((id.clone(), block.first)).or_insert_with(|| (block.name(&id), 0));
                part.1 += 1;
            }
            Ok(())
        })?;
        Ok(parts)
    }

    /// Puts `rows` in the place of those that `others` does not leave, in one commit.
    pub async fn replace(self: &Arc<Self>, others: Change, rows: RecordBatch) -> Result<()> {
        self.move_log().await?;
        let dropped = self.compacting.lock().await;
        self.check_open(*dropped)?;
        let snapshot = self.parts.snapshot();
        let mut commit = Commit::default();
        for part in &snapshot.manifest().parts {
            if let Some(changed) = self.changed(part, &others).await? {
                commit.removed.insert(part.file.clone());
                commit.added.extend(changed);
            }
        }
        if rows.num_rows() > 0 {
            let store = Arc::clone(self);
            let part = super::compact::blocking(move || store.encode_sorted(&[rows])).await?;
            // It is of no record of this log.
            let version = self.adapter.layout.version;
            commit.added.push(self.parts.write_part(part, BTreeMap::new(), None, version, 0).await?);
        }
        self.parts.commit(commit).await?;
        Ok(())
    }

    pub(super) fn check_open(&self, dropped: bool) -> Result<()> {
        if dropped {
            return Err(Error::new(Code::STREAM_IS_DROPPED, "the stream was dropped"));
        }
        if self.adapter.is_outdated() {
            let message = "the stream was altered while the statement began";
            return Err(Error::new(Code::NO_SUCH_COLUMN_IN_STREAM, message).hint("run it again"));
        }
        Ok(())
    }

    /// Writes rows as a file of a snapshot. Blocks on the disk.
    pub fn write_frozen(&self, rows: RecordBatch, target: &std::path::Path) -> Result<()> {
        let part = self.encode_sorted(&[rows])?;
        let failed = |e: std::io::Error| {
            Error::new(Code::CANNOT_OPEN_FILE, format!("cannot write into {}: {e}", target.display()))
        };
        std::fs::create_dir_all(target).map_err(failed)?;
        let path = target.join("partition.parquet");
        std::fs::write(&path, &part.bytes).map_err(failed)?;
        std::fs::File::open(&path).and_then(|f| f.sync_all()).map_err(failed)?;
        std::fs::File::open(target).and_then(|f| f.sync_all()).map_err(failed)
    }

    /// Links the files of the history, as of now, into `target`, and syncs them there. Names of the files come back.
    ///
    /// Errors: what the disk answers; the directory must be empty.
    pub async fn freeze(self: &Arc<Self>, source: std::path::PathBuf, target: std::path::PathBuf) -> Result<()> {
        self.move_log().await?;
        let dropped = self.compacting.lock().await;
        self.check_open(*dropped)?;
        // Files of the snapshot stay as long as it does.
        let snapshot = self.parts.snapshot();
        let files: Vec<String> = snapshot.manifest().parts.iter().map(|p| p.file.clone()).collect();
        let work = move || {
            let failed = |what: &str, e: std::io::Error| {
                Error::new(Code::CANNOT_OPEN_FILE, format!("cannot {what} {}: {e}", target.display()))
            };
            std::fs::create_dir_all(&target).map_err(|e| failed("create", e))?;
            for file in files {
                let name = file.rsplit('/').next().unwrap_or(&file);
                std::fs::hard_link(source.join(&file), target.join(name)).map_err(|e| failed("link files into", e))?;
            }
            let dir = std::fs::File::open(&target).map_err(|e| failed("open", e))?;
            dir.sync_all().map_err(|e| failed("sync", e))
        };
        let done = super::compact::blocking(work).await;
        drop(snapshot);
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_named_by_its_records() {
        assert_eq!(Block { first: 1, last: 1, level: 0 }.name("201901"), "201901_1_1_0");
        assert_eq!(Block { first: 3, last: 4, level: 1 }.name("all"), "all_3_4_1");
    }
}
