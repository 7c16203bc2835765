//! Partitions one after the other: what small queries use in place of DataFusion's unordered coalescing.

use crate::error::outward;
use arrow::array::RecordBatch;
use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::{StreamExt, TryStreamExt};
use std::fmt;
use std::sync::Arc;

/// `plan` with every unordered coalescing replaced by one in order, and with one partition at its root.
pub fn in_order(plan: Arc<dyn ExecutionPlan>) -> DfResult<Arc<dyn ExecutionPlan>> {
    let plan = plan
        .transform_up(|node| {
            let Some(coalesce) = node.downcast_ref::<CoalescePartitionsExec>() else {
                return Ok(Transformed::no(node));
            };
            let concat: Arc<dyn ExecutionPlan> = Arc::new(ConcatExec::new(Arc::clone(coalesce.input())));
            // A limit that was pushed into it stays beside it.
            Ok(Transformed::yes(match coalesce.fetch() {
                Some(fetch) => Arc::new(GlobalLimitExec::new(concat, 0, Some(fetch))),
                None => concat,
            }))
        })?
        .data;
    if plan.output_partitioning().partition_count() > 1 {
        return Ok(Arc::new(ConcatExec::new(plan)));
    }
    Ok(plan)
}

/// `plan` with aggregations in one phase over one partition: what cannot be put together of several states is never divided. For
/// a plan that runs in order.
pub fn undivided(plan: Arc<dyn ExecutionPlan>) -> DfResult<Arc<dyn ExecutionPlan>> {
    let one_phase = |node: Arc<dyn ExecutionPlan>| {
        let last = node.downcast_ref::<AggregateExec>();
        let last = last.filter(|a| matches!(a.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned));
        let Some(last) = last else { return Ok(Transformed::no(node)) };
        let below = match last.input().downcast_ref::<CoalescePartitionsExec>() {
            Some(coalesce) => coalesce.input(),
            None => last.input(),
        };
        let first = below.downcast_ref::<AggregateExec>().filter(|a| *a.mode() == AggregateMode::Partial);
        let Some(first) = first else { return Ok(Transformed::no(node)) };
        let rows = Arc::clone(first.input());
        let rows: Arc<dyn ExecutionPlan> = match rows.output_partitioning().partition_count() {
            0 | 1 => rows,
            _ => Arc::new(ConcatExec::new(rows)),
        };
        let (aggregates, filters) = (first.aggr_expr().to_vec(), first.filter_expr().to_vec());
        let group_by = first.group_expr().clone();
        let whole =
            AggregateExec::try_new(AggregateMode::Single, group_by, aggregates, filters, rows, first.input_schema())?;
        Ok(Transformed::yes(Arc::new(whole.with_limit_options(last.limit_options())) as Arc<dyn ExecutionPlan>))
    };
    Ok(plan.transform_up(one_phase)?.data)
}

#[derive(Debug)]
struct ConcatExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl ConcatExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> ConcatExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        ConcatExec { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for ConcatExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Concat")
    }
}

impl ExecutionPlan for ConcatExec {
    fn name(&self) -> &str {
        "Concat"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| outward(hydron_base::Error::bug("a concatenation without input")))?;
        Ok(Arc::new(ConcatExec::new(input)))
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let input = Arc::clone(&self.input);
        let partitions = input.output_partitioning().partition_count();
        let streams = futures::stream::iter(0..partitions).map(move |p| input.execute(p, Arc::clone(&context)));
        let rows = streams.try_flatten().map(|batch: DfResult<RecordBatch>| batch);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.input.schema(), rows)))
    }
}
