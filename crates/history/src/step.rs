//! A plan node of our own: batches of one input become batches of one output.
//!
//! In: a [`Step`], which makes a [`StepRun`] for each partition. Out: a DataFusion node and its operator. Promise: rows keep
//! their order within a partition; a step that remembers rows sees all of them in one partition.

use crate::error::{outward, panicked};
use crate::expr::fresh_id;
use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, DFSchemaRef, Result as DfResult};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr as DfExpr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, OrderingRequirements, Partitioning, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::StreamExt;
use hydron_base::Result;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What a node does to rows.
pub trait Step: Send + Sync + fmt::Debug {
    fn name(&self) -> &'static str;

    /// The output: every name once.
    fn schema(&self) -> SchemaRef;

    /// Whether it remembers rows and must see all of them.
    fn needs_one_partition(&self) -> bool;

    /// The output column by which the rows of a partition rise.
    fn sorted_by(&self) -> Option<usize> {
        None
    }

    fn start(&self) -> Box<dyn StepRun>;
}

/// A step at work on one partition.
pub trait StepRun: Send {
    fn rows(&mut self, batch: RecordBatch) -> Result<RecordBatch>;

    /// Rows behind the last ones of the input.
    fn finish(&mut self) -> Result<Option<RecordBatch>> {
        Ok(None)
    }

    /// More rows behind those, one batch after the other until there are none.
    fn more(&mut self) -> Result<Option<RecordBatch>> {
        Ok(None)
    }

    /// Whether no later row matters: the step is then not asked again.
    fn has_ended(&self) -> bool {
        false
    }

    /// Bytes it remembers, for the query's memory limit.
    fn bytes(&self) -> usize {
        0
    }
}

/// `step` over `input`.
pub fn plan(step: Arc<dyn Step>, input: LogicalPlan) -> Result<LogicalPlan> {
    let schema = DFSchema::try_from(step.schema().as_ref().clone()).map_err(crate::error::inward)?;
    let node = StepNode { id: fresh_id(), step, input, schema: Arc::new(schema) };
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

struct StepNode {
    id: u64,
    step: Arc<dyn Step>,
    input: LogicalPlan,
    schema: DFSchemaRef,
}

impl fmt::Debug for StepNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.step)
    }
}

impl PartialEq for StepNode {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.input == other.input
    }
}

impl Eq for StepNode {}

impl PartialOrd for StepNode {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.id.cmp(&other.id))
    }
}

impl Hash for StepNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
        self.input.hash(state);
    }
}

impl UserDefinedLogicalNodeCore for StepNode {
    fn name(&self) -> &str {
        self.step.name()
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<DfExpr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:?}", self.step)
    }

    fn with_exprs_and_inputs(&self, _: Vec<DfExpr>, mut inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        let input = inputs.pop().ok_or_else(|| outward(hydron_base::Error::bug("a step without input")))?;
        Ok(StepNode { id: self.id, step: Arc::clone(&self.step), input, schema: Arc::clone(&self.schema) })
    }
}

/// Makes operators of the steps.
pub struct StepPlanner;

#[async_trait]
impl ExtensionPlanner for StepPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn datafusion::catalog::Session,
        _context: &PhysicalPlanningContext,
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), Some(input)) = (node.as_any().downcast_ref::<StepNode>(), physical_inputs.first()) else {
            return Ok(None);
        };
        // A step that remembers rows depends on their order: without a demand for it a sort below would be dropped.
        let order = node.step.needs_one_partition().then(|| input.output_ordering().cloned()).flatten();
        Ok(Some(Arc::new(StepExec::new(Arc::clone(&node.step), Arc::clone(input), order))))
    }
}

#[derive(Debug)]
struct StepExec {
    step: Arc<dyn Step>,
    input: Arc<dyn ExecutionPlan>,
    /// The order in which rows must come.
    order: Option<LexOrdering>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl StepExec {
    fn new(step: Arc<dyn Step>, input: Arc<dyn ExecutionPlan>, order: Option<LexOrdering>) -> StepExec {
        let partitions = input.output_partitioning().partition_count();
        let schema = step.schema();
        let mut equivalence = EquivalenceProperties::new(Arc::clone(&schema));
        if let Some(at) = step.sorted_by() {
            let column = Arc::new(Column::new(schema.field(at).name(), at));
            let rising = SortOptions { descending: false, nulls_first: true };
            equivalence.add_ordering([PhysicalSortExpr::new(column, rising)]);
        }
        let properties = PlanProperties::new(
            equivalence,
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        StepExec { step, input, order, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for StepExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {:?}", self.step.name(), self.step)
    }
}

impl ExecutionPlan for StepExec {
    fn name(&self) -> &str {
        self.step.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.input_distribution_requirements().into_per_child()
    }

    fn input_distribution_requirements(&self) -> datafusion::physical_plan::InputDistributionRequirements {
        let one = self.step.needs_one_partition();
        let need = if one { Distribution::SinglePartition } else { Distribution::UnspecifiedDistribution };
        datafusion::physical_plan::InputDistributionRequirements::new(vec![need])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.order.clone().map(OrderingRequirements::from)]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
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
        let input = children.pop().ok_or_else(|| outward(hydron_base::Error::bug("a step without input")))?;
        Ok(Arc::new(StepExec::new(Arc::clone(&self.step), input, self.order.clone())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let name = self.step.name();
        let run = self.step.start();
        let kept = MemoryConsumer::new(name).register(context.memory_pool());
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let at_work = AtWork { name, run, kept, baseline, input: Some(input), more: false };
        let rows_max = context.session_config().batch_size().max(1);
        let made = futures::stream::unfold(at_work, |mut step| async move {
            let batch = step.next().await?;
            Some((batch, step))
        });
        let full = made.flat_map(move |batch| futures::stream::iter(pieces(batch, rows_max)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.step.schema(), full)))
    }
}

/// A step that hands on all that it remembers makes one large batch; what follows sees it in pieces of the usual size.
fn pieces(batch: DfResult<RecordBatch>, rows_max: usize) -> Vec<DfResult<RecordBatch>> {
    match batch {
        Ok(rows) if rows.num_rows() > rows_max => {
            let starts = (0..rows.num_rows()).step_by(rows_max);
            starts.map(|at| Ok(rows.slice(at, rows_max.min(rows.num_rows() - at)))).collect()
        }
        other => vec![other],
    }
}

/// A step between its input and its output.
struct AtWork {
    name: &'static str,
    run: Box<dyn StepRun>,
    kept: MemoryReservation,
    baseline: BaselineMetrics,
    /// `None` when nothing more is to come of it.
    input: Option<SendableRecordBatchStream>,
    /// The step may have more rows behind its last ones.
    more: bool,
}

impl AtWork {
    /// The next batch with rows.
    async fn next(&mut self) -> Option<DfResult<RecordBatch>> {
        while let Some(input) = &mut self.input {
            let batch = input.next().await;
            let made = match batch {
                Some(Ok(batch)) => self.guarded(|run| run.rows(batch).map(Some)),
                Some(Err(e)) => Err(e),
                None => {
                    (self.input, self.more) = (None, true);
                    self.guarded(|run| run.finish())
                }
            };
            if made.is_err() || self.run.has_ended() {
                (self.input, self.more) = (None, false);
            }
            match made {
                Ok(None) => {}
                Ok(Some(rows)) if rows.num_rows() == 0 => {}
                Ok(Some(rows)) => {
                    self.baseline.record_output(rows.num_rows());
                    return Some(Ok(rows));
                }
                Err(e) => return Some(Err(e)),
            }
        }
        while self.more {
            let made = self.guarded(|run| run.more());
            self.more = matches!(&made, Ok(Some(_)));
            match made {
                Ok(Some(rows)) if rows.num_rows() > 0 => {
                    self.baseline.record_output(rows.num_rows());
                    return Some(Ok(rows));
                }
                Ok(_) => {}
                Err(e) => return Some(Err(e)),
            }
        }
        None
    }

    fn guarded<T>(&mut self, call: impl FnOnce(&mut dyn StepRun) -> Result<T>) -> DfResult<T> {
        let made = catch_unwind(AssertUnwindSafe(|| call(self.run.as_mut())))
            .unwrap_or_else(|panic| Err(panicked(self.name, panic.as_ref())))
            .map_err(outward)?;
        self.kept.try_resize(self.run.bytes())?;
        Ok(made)
    }
}
