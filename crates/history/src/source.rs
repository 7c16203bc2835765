//! Where the rows of a scan come from.
//!
//! In: a [`Scan`] of the plan. Out: stored parts and rows in memory that together are the scan's rows, oldest first.
//! Promise: what a [`ScanData`] names stays readable as long as it lives.

use crate::feed::RowFeed;
use hydron_base::Result;
use hydron_plan::Scan;
use hydron_types::{Batch, Value};
use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;
use std::any::Any;
use std::sync::Arc;

/// The outside as history sees it: every table of one plan.
pub trait HistorySource: Send + Sync {
    /// The rows of one scan. Called once for each scan of a plan, before anything runs, on the caller's thread.
    fn scan(&self, scan: &Scan) -> Result<ScanData>;
}

/// The rows of a scan: those of the feed, then those of the parts, then those in memory.
#[derive(Default)]
pub struct ScanData {
    pub parts: Option<Parts>,
    /// Read while the query runs.
    pub feed: Option<Arc<dyn RowFeed>>,
    /// Columns are those of the scan, in its order.
    pub batches: Vec<Batch>,
    /// Held until the query ends: what the batches take of its memory.
    pub held: Vec<hydron_base::memory::Reserved>,
    /// For each column of the scan, what rows of a part that lacks it have; empty: the default of its type.
    pub defaults: Vec<Value>,
    /// Columns that the rows of each part and batch are sorted by.
    pub sorted_by: Vec<String>,
}

/// Parquet files of one store.
pub struct Parts {
    pub objects: Arc<dyn ObjectStore>,
    pub files: Vec<PartFile>,
    /// Held until the query ends: a pin on the snapshot that keeps the files.
    pub pin: Arc<dyn Any + Send + Sync>,
}

/// One file. Its columns have the names of the stream's; strings may be stored as bytes or as text.
#[derive(Clone, Debug)]
pub struct PartFile {
    pub path: ObjectPath,
    pub bytes: u64,
    pub rows: u64,
    /// Positions in the scan's columns that this file does not have.
    pub lacks: Vec<usize>,
}

impl ScanData {
    /// Rows before any filter.
    pub fn rows(&self) -> u64 {
        let stored: u64 = self.parts.iter().flat_map(|p| &p.files).map(|f| f.rows).sum();
        let fed = self.feed.as_ref().map_or(0, |f| f.rows_estimate());
        stored + fed + self.batches.iter().map(|b| b.rows() as u64).sum::<u64>()
    }
}
