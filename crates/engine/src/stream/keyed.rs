//! The rows of a keyed stream that count now: of a `versioned_kv` stream the row of the greatest version of each key, of a
//! `changelog_kv` stream what was added and not withdrawn.
//!
//! In: every stored row, oldest first. Out: batches of the stored columns. Promise: of rows with equal versions the one that
//! came later counts; what is kept meanwhile is the rows that count so far, not all of them.

use super::StreamStore;
use super::store::{View, block_on};
use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int8Type};
use hydron_base::limit::BATCH_ROWS_MAX;
use hydron_base::{Error, Result};
use hydron_flow::group::keys::KeyTable;
use hydron_flow::group::last::{LastRows, RowSlots};
use hydron_plan::{StreamInfo, StreamMode};
use hydron_types::Batch;
use hydron_types::physical::arrow_type;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Whether a stream's history is one row for each key.
pub fn is_keyed(info: &StreamInfo) -> bool {
    matches!(info.mode, StreamMode::ChangelogKv | StreamMode::VersionedKv)
}

/// The column that orders the rows of a key.
pub fn version_column(info: &StreamInfo) -> &str {
    info.version_column.as_deref().unwrap_or("_tp_time")
}

/// The rows that count of `view`. Blocks on the disk; call it on a thread that may.
pub fn compacted(store: &Arc<StreamStore>, info: &StreamInfo, view: &View, cpu: &Handle) -> Result<Vec<Batch>> {
    let mut rows = KeyedRows::new(store, info)?;
    for part in &view.snapshot.manifest().parts {
        let arrow = store.adapter.arrow_of(part.schema_version)?;
        let reader = block_on(cpu, store.parts.read_part(part, &arrow, None, BATCH_ROWS_MAX))?;
        for batch in reader {
            rows.add(&store.adapter.adapt(&batch?, part.schema_version)?)?;
        }
    }
    for (shard, (from, to)) in view.log.iter().enumerate() {
        for record in store.records(shard, *from, *to)? {
            rows.add(&store.adapter.adapt(&record.batch, record.schema_version)?)?;
        }
    }
    rows.finish(store)
}

struct KeyedRows {
    keys: Vec<usize>,
    kind: Kind,
}

enum Kind {
    Versioned { version: usize, last: LastRows },
    Changelog { delta: usize, keys: KeyTable, rows: RowSlots, stacks: Vec<Vec<(i8, u32)>>, free: Vec<u32>, slots: u32 },
}

impl KeyedRows {
    fn new(store: &StreamStore, info: &StreamInfo) -> Result<KeyedRows> {
        let schema = &store.schema;
        let at = |name: &str| {
            schema.index_of(name).ok_or_else(|| Error::bug(format!("column '{name}' of stream {} is gone", info.name)))
        };
        let keys = info.primary_key.iter().map(|k| at(k)).collect::<Result<Vec<_>>>()?;
        let types: Vec<DataType> = schema.fields.iter().map(|f| arrow_type(&f.ty)).collect();
        let key_types: Vec<DataType> = keys.iter().map(|k| types[*k].clone()).collect();
        let kind = match info.mode {
            StreamMode::VersionedKv => {
                let version = at(version_column(info))?;
                Kind::Versioned { version, last: LastRows::new(&key_types, Some(&types[version]), &types)? }
            }
            _ => Kind::Changelog {
                delta: at("_tp_delta")?,
                keys: KeyTable::new(&key_types)?,
                rows: RowSlots::new(&types)?,
                stacks: Vec::new(),
                free: Vec::new(),
                slots: 0,
            },
        };
        Ok(KeyedRows { keys, kind })
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = batch.columns();
        let key_columns: Vec<ArrayRef> = self.keys.iter().map(|k| Arc::clone(&columns[*k])).collect();
        match &mut self.kind {
            Kind::Versioned { version, last } => {
                let winners = last.winners(&key_columns, Some(&columns[*version]), batch.num_rows())?;
                last.put(&winners, columns)
            }
            Kind::Changelog { delta, keys, rows, stacks, free, slots } => {
                let mut groups = Vec::new();
                keys.assign(&key_columns, batch.num_rows(), &mut groups)?;
                stacks.resize(keys.len(), Vec::new());
                let signs = columns[*delta].as_primitive_opt::<Int8Type>();
                let signs = signs.ok_or_else(|| Error::bug("_tp_delta of a stream is not int8"))?;
                let encoded = rows.encode(columns)?;
                for (row, group) in groups.iter().enumerate() {
                    let (sign, stack) = (signs.value(row), &mut stacks[*group as usize]);
                    // A withdrawal and the addition before it cancel each other, as do an addition and the withdrawal before.
                    if let Some((top, slot)) = stack.last().copied()
                        && (top > 0) != (sign > 0)
                    {
                        stack.pop();
                        rows.remove(slot);
                        free.push(slot);
                        continue;
                    }
                    let slot = free.pop().unwrap_or_else(|| {
                        *slots += 1;
                        *slots - 1
                    });
                    rows.put(slot, encoded.row(row).as_ref());
                    stack.push((sign, slot));
                }
                Ok(())
            }
        }
    }

    fn finish(self, store: &StreamStore) -> Result<Vec<Batch>> {
        let (slots, rows) = match self.kind {
            Kind::Versioned { last, .. } => (last.rows.held(), last.rows),
            Kind::Changelog { rows, stacks, .. } => (stacks.iter().flatten().map(|(_, slot)| *slot).collect(), rows),
        };
        let batch = |slots: &[u32]| Ok(Batch::new(Arc::clone(&store.schema), rows.gather(slots)?, slots.len()));
        slots.chunks(BATCH_ROWS_MAX).map(batch).collect()
    }
}
