//! Parts from before an ALTER in a historical query: read in the version they were written in, and adapted.
//!
//! In: the old parts of a snapshot and the columns of a scan. Out: batches of those columns, part by part. Promise: the snapshot
//! keeps the files for as long as the feed lives.

use super::StreamStore;
use super::store::block_on;
use super::table::stored_batch;
use hydron_base::limit::BATCH_ROWS_MAX;
use hydron_base::{Error, Result};
use hydron_history::{FeedBatches, RowFeed};
use hydron_plan::Scan;
use hydron_store::part::{PartMeta, Snapshot};
use hydron_types::{Batch, Schema};
use std::fmt;
use std::sync::Arc;
use tokio::runtime::Handle;

#[derive(Clone)]
pub struct OldParts {
    store: Arc<StreamStore>,
    scan: Scan,
    schema: Arc<Schema>,
    parts: Vec<PartMeta>,
    cpu: Handle,
    _snapshot: Snapshot,
}

impl OldParts {
    /// `None`: all parts of the snapshot are of the store's version.
    pub fn of(
        store: &Arc<StreamStore>,
        scan: &Scan,
        schema: &Arc<Schema>,
        snapshot: &Snapshot,
        cpu: &Handle,
    ) -> Option<OldParts> {
        let old = snapshot.manifest().parts.iter().filter(|p| !store.adapter.is_current(p.schema_version));
        let parts: Vec<PartMeta> = old.cloned().collect();
        (!parts.is_empty()).then(|| OldParts {
            store: Arc::clone(store),
            scan: scan.clone(),
            schema: Arc::clone(schema),
            parts,
            cpu: cpu.clone(),
            _snapshot: snapshot.clone(),
        })
    }

    fn part(&self, part: &PartMeta) -> Result<FeedBatches> {
        let arrow = self.store.adapter.arrow_of(part.schema_version)?;
        let reader = block_on(&self.cpu, self.store.parts.read_part(part, &arrow, None, BATCH_ROWS_MAX))?;
        let (store, scan, schema) = (Arc::clone(&self.store), self.scan.clone(), Arc::clone(&self.schema));
        let version = part.schema_version;
        Ok(Box::new(reader.map(move |rows| -> Result<Batch> {
            let rows = store.adapter.adapt(&rows.map_err(Error::from)?, version)?;
            stored_batch(&store, &rows, &scan, &schema, 0)
        })))
    }
}

impl fmt::Debug for OldParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} parts of older versions", self.parts.len())
    }
}

impl RowFeed for OldParts {
    fn start(&self) -> Result<FeedBatches> {
        // Each part is opened when the one before is read.
        let me = self.clone();
        let one = move |part: PartMeta| -> FeedBatches {
            match me.part(&part) {
                Ok(batches) => batches,
                Err(e) => Box::new(std::iter::once(Err(e))),
            }
        };
        Ok(Box::new(self.parts.clone().into_iter().flat_map(one)))
    }

    fn rows_estimate(&self) -> u64 {
        self.parts.iter().map(|p| p.rows).sum()
    }
}
