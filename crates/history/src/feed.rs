//! Rows that are read while the query runs: files outside of the store.
//!
//! In: a [`RowFeed`]. Out: its batches, read on a thread that may block, at most two ahead of the query. Promise: a query
//! that needs no more rows ends the reading.

use crate::error::outward;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt8Array};
use arrow::datatypes::SchemaRef;
use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use hydron_base::{Error, Result};
use hydron_types::Batch;
use std::fmt;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Batches read and not yet taken: one in the making beside the one in use keeps both sides busy.
const BATCHES_AHEAD: usize = 2;

/// Batches as they are read.
pub type FeedBatches = Box<dyn Iterator<Item = Result<Batch>> + Send>;

/// Rows that can be read from their beginning, once or more often.
pub trait RowFeed: Send + Sync + fmt::Debug {
    /// Begins to read. The columns of the batches are those of the scan, in its order. Its iterator may block.
    fn start(&self) -> Result<FeedBatches>;

    /// About how many rows there are.
    fn rows_estimate(&self) -> u64;
}

#[derive(Debug)]
pub struct FeedExec {
    feed: Arc<dyn RowFeed>,
    /// Of the batches as fed; with a column of no meaning where they have none.
    whole: SchemaRef,
    projection: Option<Vec<usize>>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl FeedExec {
    pub fn new(feed: Arc<dyn RowFeed>, whole: SchemaRef, projection: Option<&Vec<usize>>) -> DfResult<FeedExec> {
        let schema = match projection {
            Some(columns) => Arc::new(whole.project(columns)?),
            None => Arc::clone(&whole),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        let projection = projection.cloned();
        Ok(FeedExec { feed, whole, projection, schema, properties: Arc::new(properties), metrics })
    }
}

impl DisplayAs for FeedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Feed: {:?}", self.feed)
    }
}

impl ExecutionPlan for FeedExec {
    fn name(&self) -> &str {
        "Feed"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        if partition > 0 {
            return Err(outward(Error::bug("a feed has one partition")));
        }
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let (feed, whole, projection) = (Arc::clone(&self.feed), Arc::clone(&self.whole), self.projection.clone());
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let read = move || {
            let batches = match feed.start() {
                Ok(batches) => batches,
                // A reader that is gone does not need the error.
                Err(e) => return drop(sender.blocking_send(Err(outward(e)))),
            };
            for batch in batches {
                let record = batch.map_err(outward).and_then(|b| record(&whole, &b, projection.as_deref()));
                let failed = record.is_err();
                if sender.blocking_send(record).is_err() || failed {
                    return;
                }
            }
        };
        let rows = futures::stream::unfold((receiver, Some(read)), move |(mut receiver, read)| {
            let baseline = baseline.clone();
            async move {
                // Nothing is read before somebody asks.
                if let Some(read) = read {
                    tokio::task::spawn_blocking(read);
                }
                let batch: DfResult<RecordBatch> = receiver.recv().await?;
                Some((batch.map(|b| b.record_output(&baseline)), (receiver, None)))
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows)))
    }
}

/// The projected columns of a fed batch.
fn record(whole: &SchemaRef, batch: &Batch, projection: Option<&[usize]>) -> DfResult<RecordBatch> {
    let columns = match batch.columns.is_empty() {
        true => vec![Arc::new(UInt8Array::from(vec![0; batch.rows()])) as ArrayRef; whole.fields().len()],
        false => batch.columns.clone(),
    };
    let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
    let record = RecordBatch::try_new_with_options(Arc::clone(whole), columns, &options)?;
    match projection {
        Some(columns) => Ok(record.project(columns)?),
        None => Ok(record),
    }
}
