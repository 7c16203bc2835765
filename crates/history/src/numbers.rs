//! `numbers(n)` and `system.numbers`: rows that are made as they are read.

use crate::error::outward;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr as DfExpr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use std::fmt;
use std::sync::Arc;

/// Numbers from `start` on; without a count they end only with their reader.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    pub start: u64,
    pub count: Option<u64>,
}

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("number", DataType::UInt64, false)]))
}

#[async_trait]
impl TableProvider for Numbers {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[DfExpr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let limit = limit.map_or(u64::MAX, |l| l as u64);
        let count = self.count.map_or(limit, |c| c.min(limit));
        let schema = match projection {
            Some(columns) => Arc::new(schema().project(columns)?),
            None => schema(),
        };
        let batch_rows = state.config_options().execution.batch_size.get() as u64;
        Ok(Arc::new(NumbersExec::new(self.start, count, batch_rows, schema)))
    }
}

#[derive(Debug)]
struct NumbersExec {
    start: u64,
    count: u64,
    batch_rows: u64,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl NumbersExec {
    fn new(start: u64, count: u64, batch_rows: u64, schema: SchemaRef) -> NumbersExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            // Endless numbers end with a LIMIT or with the query, so the planner must not refuse what stands above.
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        NumbersExec { start, count, batch_rows, schema, properties: Arc::new(properties), metrics }
    }
}

impl DisplayAs for NumbersExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Numbers: start={}, count={}", self.start, self.count)
    }
}

impl ExecutionPlan for NumbersExec {
    fn name(&self) -> &str {
        "Numbers"
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
            return Err(outward(hydron_base::Error::bug("numbers have one partition")));
        }
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let (start, count, batch_rows, schema) = (self.start, self.count, self.batch_rows, Arc::clone(&self.schema));
        let batches = futures::stream::unfold(0u64, move |done| {
            let rows = batch_rows.min(count - done);
            let batch = (rows > 0).then(|| chunk(&schema, start.wrapping_add(done), rows));
            if batch.is_some() {
                baseline.record_output(rows as usize);
            }
            std::future::ready(batch.map(|b| (b, done + rows)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }
}

fn chunk(schema: &SchemaRef, from: u64, rows: u64) -> DfResult<RecordBatch> {
    let number = || Arc::new(UInt64Array::from_iter_values((0..rows).map(|i| from.wrapping_add(i)))) as ArrayRef;
    let columns = schema.fields().iter().map(|_| number()).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows as usize));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
