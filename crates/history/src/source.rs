//! Where the rows of a scan come from.
//!
//! In: a [`Scan`] of the plan. Out: stored parts and rows in memory that together are the scan's rows, oldest first.
//! Promise: what a [`ScanData`] names stays readable as long as it lives.

use crate::feed::RowFeed;
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
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

/// One file, whose path is never used again for other bytes. Its columns have the names of the stream's; strings may be stored as bytes or as text.
#[derive(Clone, Debug)]
pub struct PartFile {
    pub path: ObjectPath,
    pub bytes: u64,
    pub rows: u64,
    /// Positions in the scan's columns that this file does not have.
    pub lacks: Vec<usize>,
    /// Positions in the scan's columns of floating-point numbers without a NaN.
    pub nan_free: Vec<usize>,
}

impl ScanData {
    /// Rows before any filter.
    pub fn rows(&self) -> u64 {
        let stored: u64 = self.parts.iter().flat_map(|p| &p.files).map(|f| f.rows).sum();
        let fed = self.feed.as_ref().map_or(0, |f| f.rows_estimate());
        stored + fed + self.batches.iter().map(|b| b.rows() as u64).sum::<u64>()
    }

    /// Whether no value of a column of floating-point numbers is a NaN, as far as is known before reading.
    pub fn is_free_of_nan(&self, column: usize) -> bool {
        let in_batch = |batch: &Batch| {
            let array = &batch.columns[column];
            let any = |has: &dyn Fn() -> Option<bool>| has().unwrap_or(true);
            match array.data_type() {
                DataType::Float32 => {
                    any(&|| Some(array.as_primitive_opt::<Float32Type>()?.values().iter().any(|v| v.is_nan())))
                }
                DataType::Float64 => {
                    any(&|| Some(array.as_primitive_opt::<Float64Type>()?.values().iter().any(|v| v.is_nan())))
                }
                _ => true,
            }
        };
        self.feed.is_none()
            && self.parts.iter().flat_map(|p| &p.files).all(|f| f.nan_free.contains(&column))
            && !self.batches.iter().any(in_batch)
    }
}
