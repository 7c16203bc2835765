//! A plan at work: lowered, optimized, executed on the computing runtime, delivered as batches of the plan's schema.
//!
//! In: a bounded plan, the rows of its scans, the limits of the query. Out: a stream of batches, live counters. Promise:
//! dropping the stream ends the work; a panic ends this query with one error; an error keeps its code; rows of small
//! inputs come in the order they were stored.

use crate::concat;
use crate::error::inward;
use crate::expr::QueryTime;
use crate::grouping::{expand, totals_of};
use crate::limits::{GroupLimit, NodeLimits, ReadLimit, limit_reads};
use crate::lower::Lowering;
use crate::mark;
use crate::memory::QueryPool;
use crate::source::{HistorySource, ScanData};
use crate::step::StepPlanner;
use arrow::array::{Array, RecordBatch};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use futures::future::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use hydron_base::limit::{BATCH_ROWS_MAX, EDGE_BATCHES_MAX};
use hydron_base::memory::Reserved;
use hydron_base::world::WallTime;
use hydron_base::{Budget, Error, Result};
use hydron_board::Mark;
use hydron_func::Volatility;
use hydron_plan::{Expr, Node, Plan};
use hydron_types::{Batch, Schema, Zone};
use std::any::Any;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Rows up to which a query runs in one partition and keeps their order: below this, threads cost more than they give.
const IN_ORDER_ROWS_MAX: u64 = 200_000;

/// What one execution may use, and what it knows of time and chance.
#[derive(Clone, Debug)]
pub struct ExecOptions {
    pub threads: usize,
    /// Rows of a batch between operators.
    pub batch_rows: usize,
    /// Past its limit operators that can spill do, if there is a directory; else the query fails with 241.
    pub memory: Arc<Budget>,
    pub spill_dir: Option<PathBuf>,
    pub read_limit: ReadLimit,
    /// `None`: no limit.
    pub group_limit: Option<GroupLimit>,
    pub node_limits: NodeLimits,
    pub now: WallTime,
    pub zone: Zone,
    pub seed: u64,
}

impl ExecOptions {
    pub fn at(now: WallTime) -> ExecOptions {
        ExecOptions {
            threads: 1,
            batch_rows: 8192,
            memory: Budget::alone(0),
            spill_dir: None,
            read_limit: ReadLimit::default(),
            group_limit: None,
            node_limits: NodeLimits::default(),
            now,
            zone: Zone::UTC,
            seed: 0,
        }
    }
}

/// A running query. The streams end with the first error; dropping them ends the work.
pub struct HistoryRun {
    pub schema: Arc<Schema>,
    pub rows: BoxStream<'static, Result<Batch>>,
    /// WITH TOTALS: one row, to be read after all rows.
    pub totals: Option<BoxStream<'static, Result<Batch>>>,
    pub metrics: Arc<HistoryMetrics>,
}

/// Live counters of a run.
#[derive(Default)]
pub struct HistoryMetrics {
    plan: OnceLock<Arc<dyn ExecutionPlan>>,
    /// There is a LIMIT somewhere in the plan.
    has_limit: bool,
}

impl HistoryMetrics {
    /// Rows that left the sources so far, after pruning.
    pub fn rows_read(&self) -> u64 {
        self.sources(&|m| m.output_rows().unwrap_or(0), &|batch| batch.num_rows())
    }

    /// Bytes of parts that were read so far, and those of rows in memory that left their source.
    pub fn bytes_read(&self) -> u64 {
        let read = |m: &MetricsSet| {
            let scanned = m.sum_by_name("bytes_scanned").map_or(0, |v| v.as_usize());
            scanned.max(m.sum_by_name("output_bytes").map_or(0, |v| v.as_usize()))
        };
        let held = |batch: &RecordBatch| {
            batch.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum()
        };
        self.sources(&read, &held)
    }

    /// Rows that came to the LIMIT nearest to the answer so far; a limit that has enough does not wait for the others.
    /// `None`: the plan has no LIMIT.
    pub fn rows_before_limit(&self) -> Option<u64> {
        fn nearest_limit(plan: &dyn ExecutionPlan) -> usize {
            match plan.fetch() {
                Some(_) => entering(plan),
                None => plan.children().into_iter().map(|c| nearest_limit(c.as_ref())).sum(),
            }
        }
        // A limit is pushed down where it can: what entered the lowest of them is what there was.
        fn entering(plan: &dyn ExecutionPlan) -> usize {
            let children = plan.children();
            if children.is_empty() || plan.name() == "FilterExec" {
                return plan.metrics().and_then(|m| m.output_rows()).unwrap_or(0);
            }
            let rows = |child: &Arc<dyn ExecutionPlan>| match child.metrics().and_then(|m| m.output_rows()) {
                Some(rows) if child.fetch().is_none() => rows,
                _ => entering(child.as_ref()),
            };
            children.into_iter().map(rows).sum()
        }
        self.has_limit.then(|| self.plan.get().map_or(0, |plan| nearest_limit(plan.as_ref()) as u64))
    }

    /// The sum over all sources: `read` of what one has counted, `held` of the batches of one that is in memory, which counts
    /// nothing itself and is taken as a whole.
    fn sources(&self, read: &dyn Fn(&MetricsSet) -> usize, held: &dyn Fn(&RecordBatch) -> usize) -> u64 {
        fn walk(
            plan: &Arc<dyn ExecutionPlan>,
            read: &dyn Fn(&MetricsSet) -> usize,
            held: &dyn Fn(&RecordBatch) -> usize,
        ) -> usize {
            let children = plan.children();
            if !children.is_empty() {
                return children.into_iter().map(|c| walk(c, read, held)).sum();
            }
            let memory = plan
                .downcast_ref::<DataSourceExec>()
                .and_then(|source| source.data_source().downcast_ref::<MemorySourceConfig>());
            match memory {
                Some(memory) => memory.partitions().iter().flatten().map(held).sum(),
                None => plan.metrics().map_or(0, |m| read(&m)),
            }
        }
        self.plan.get().map_or(0, |plan| walk(plan, read, held) as u64)
    }
}

/// Starts `plan` on the runtime behind `cpu`. Work begins when the stream is first read.
///
/// Errors: NOT_IMPLEMENTED (48) for what history does not run, and what `source` answers. While running: MEMORY_LIMIT_EXCEEDED
/// (241), what functions answer, LOGICAL_ERROR (49) for a panic.
pub fn execute(plan: &Plan, source: &dyn HistorySource, options: &ExecOptions, cpu: &Handle) -> Result<HistoryRun> {
    mark::install();
    let metrics = Arc::new(HistoryMetrics { has_limit: has_limit(plan), ..HistoryMetrics::default() });
    let prepared = Prepared::new(plan, source, options, Arc::clone(&metrics))?;
    let totals = match totals_of(plan) {
        Some(totals) => {
            let prepared = Prepared::new(&totals, source, options, Arc::default())?;
            Some(prepared.stream(cpu.clone()))
        }
        None => None,
    };
    Ok(HistoryRun { schema: Arc::clone(&plan.schema), rows: prepared.stream(cpu.clone()), totals, metrics })
}

/// DataFusion's physical plan as text.
pub async fn explain(plan: &Plan, source: &dyn HistorySource, options: &ExecOptions) -> Result<String> {
    let prepared = Prepared::new(plan, source, options, Arc::default())?;
    let physical = prepared.physical().await?;
    Ok(displayable(physical.as_ref()).indent(false).to_string())
}

/// A lowered plan and all it needs.
struct Prepared {
    schema: Arc<Schema>,
    logical: LogicalPlan,
    state: SessionState,
    in_order: bool,
    /// An aggregate has one state for each group.
    undivided: bool,
    read_limit: Option<ReadLimit>,
    metrics: Arc<HistoryMetrics>,
    memory: Arc<Budget>,
    /// Held until the end.
    _pins: Vec<Arc<dyn Any + Send + Sync>>,
}

impl Prepared {
    fn new(
        plan: &Plan,
        source: &dyn HistorySource,
        options: &ExecOptions,
        metrics: Arc<HistoryMetrics>,
    ) -> Result<Prepared> {
        let plan = expand(plan.clone())?;
        let mut scans = VecDeque::new();
        let mut size = Size::default();
        measure(&plan, source, &mut scans, &mut size)?;
        let in_order =
            options.threads <= 1 || !size.parallel_pays || size.rows <= IN_ORDER_ROWS_MAX || size.needs_order;
        let time = Arc::new(QueryTime::new(options.now, options.zone, options.seed));
        let mut lowering = Lowering::new(time, scans, in_order);
        let read_limit = Some(options.read_limit).filter(|l| l.rows_max > 0 || l.bytes_max > 0);
        lowering.group_limit = options.group_limit;
        lowering.node_limits = options.node_limits;
        lowering.batch_rows = options.batch_rows;
        lowering.limits_reads = read_limit.is_some();
        let lowered = lowering.plan(&plan)?;
        let lowered = lowering.renamed(lowered)?;
        let state = session(options, if in_order { 1 } else { options.threads })?;
        for (url, store) in lowering.stores {
            state.runtime_env().register_object_store(url.as_ref(), store);
        }
        Ok(Prepared {
            schema: Arc::clone(&plan.schema),
            logical: lowered.plan,
            state,
            in_order,
            undivided: size.undivided,
            read_limit,
            metrics,
            memory: Arc::clone(&options.memory),
            _pins: lowering.pins,
        })
    }

    async fn physical(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let optimized = self.state.optimize(&self.logical).map_err(inward)?;
        let physical =
            self.state.query_planner().create_physical_plan(&optimized, &self.state).await.map_err(inward)?;
        let physical = match self.read_limit {
            Some(limit) => limit_reads(physical, limit).map_err(inward)?,
            None => physical,
        };
        let physical = if self.undivided { concat::undivided(physical).map_err(inward)? } else { physical };
        if self.in_order { concat::in_order(physical).map_err(inward) } else { Ok(physical) }
    }

    /// The rows, made on `cpu` a few batches ahead of their reader.
    fn stream(self, cpu: Handle) -> BoxStream<'static, Result<Batch>> {
        let start = async move {
            let (rows, batches) = mpsc::channel(EDGE_BATCHES_MAX);
            let work = async move {
                let outcome = AssertUnwindSafe(self.drive(&rows)).catch_unwind().await;
                let error = match outcome {
                    Ok(Ok(())) => return,
                    Ok(Err(e)) => e,
                    Err(panic) => Error::panicked(panic.as_ref()),
                };
                // A reader that is gone does not need the error.
                let _ = rows.send(Err(error)).await;
            };
            let task = Ending(cpu.spawn(Mark::current().on(work)));
            futures::stream::unfold((batches, task), |(mut batches, task)| async move {
                let waiting = batches.recv().await?;
                Some((waiting.map(|(batch, _held)| batch), (batches, task)))
            })
        };
        futures::stream::once(start).flatten().boxed()
    }

    async fn drive(self, out: &mpsc::Sender<Result<Waiting>>) -> Result<()> {
        let physical = self.physical().await?;
        let _ = self.metrics.plan.set(Arc::clone(&physical));
        let mut batches = execute_stream(physical, self.state.task_ctx()).map_err(inward)?;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(inward)?;
            if batch.num_rows() == 0 {
                continue;
            }
            // Rows without columns carry one that nobody asked for.
            let columns = batch.columns().get(..self.schema.len()).unwrap_or_default().to_vec();
            let whole = Batch::new(Arc::clone(&self.schema), columns, batch.num_rows());
            for from in (0..whole.rows()).step_by(BATCH_ROWS_MAX) {
                let piece = whole.slice(from, BATCH_ROWS_MAX.min(whole.rows() - from));
                let held = self.memory.reserve(piece.bytes())?;
                if out.send(Ok((piece, held))).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// A batch that waits for its reader, and what it takes meanwhile.
type Waiting = (Batch, Reserved);

/// A task that ends with its owner.
struct Ending(tokio::task::JoinHandle<()>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What decides between order and threads.
#[derive(Default)]
struct Size {
    rows: u64,
    /// Some node does enough work on each row.
    parallel_pays: bool,
    /// A function depends on the rows before.
    needs_order: bool,
    /// An aggregate has one state for each group.
    undivided: bool,
}

/// Asks for the rows of every scan, in the order in which they are lowered.
fn measure(plan: &Plan, source: &dyn HistorySource, scans: &mut VecDeque<ScanData>, size: &mut Size) -> Result<()> {
    match &plan.node {
        Node::Values { batches } => size.rows += batches.iter().map(|b| b.rows() as u64).sum::<u64>(),
        Node::Numbers { count, .. } => size.rows = size.rows.saturating_add(count.unwrap_or(0)),
        Node::Scan(scan) => {
            let data = source.scan(scan)?;
            size.rows = size.rows.saturating_add(data.rows());
            scans.push_back(data);
        }
        Node::Aggregate(aggregate) => {
            size.parallel_pays = true;
            size.undivided |= aggregate.aggs.iter().any(|a| a.bound.aggregate.needs().order);
            size.needs_order |= size.undivided;
        }
        Node::Join(_) | Node::Sort { .. } | Node::Distinct { .. } | Node::WindowFunctions { .. } => {
            size.parallel_pays = true;
        }
        Node::Project { exprs, .. } => size.needs_order |= exprs.iter().any(is_stateful),
        Node::Filter { predicate, .. } => size.needs_order |= is_stateful(predicate),
        Node::Lags { .. } => size.needs_order = true,
        _ => {}
    }
    plan.inputs().into_iter().try_for_each(|input| measure(input, source, scans, size))
}

fn has_limit(plan: &Plan) -> bool {
    matches!(plan.node, Node::Limit { .. }) || plan.inputs().into_iter().any(has_limit)
}

fn is_stateful(expr: &Expr) -> bool {
    expr.volatility() == Volatility::Stateful
}

fn session(options: &ExecOptions, partitions: usize) -> Result<SessionState> {
    let mut config = SessionConfig::new()
        .with_target_partitions(partitions.max(1))
        .with_batch_size(options.batch_rows.clamp(1, BATCH_ROWS_MAX))
        .with_information_schema(false);
    let settings = config.options_mut();
    settings.execution.parquet.schema_force_view_types = false;
    settings.execution.parquet.pushdown_filters = false;
    settings.execution.collect_statistics = false;
    let spills = options.spill_dir.is_some();
    if !spills {
        // What a sort sets aside for merging what it has spilled, which may be more than the query has.
        settings.execution.sort_spill_reservation_bytes = 0;
    }
    let mut runtime = RuntimeEnvBuilder::new();
    runtime = runtime.with_memory_pool(Arc::new(QueryPool::new(Arc::clone(&options.memory), spills)));
    let disk = match &options.spill_dir {
        Some(dir) => DiskManagerMode::Directories(vec![dir.clone()]),
        None => DiskManagerMode::Disabled,
    };
    runtime = runtime.with_disk_manager_builder(DiskManagerBuilder::default().with_mode(disk));
    let runtime = runtime.build_arc().map_err(inward)?;
    Ok(SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_analyzer_rules(Vec::new())
        .with_query_planner(Arc::new(Planner))
        .build())
}

/// DataFusion's planner with our steps.
#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        logical: &LogicalPlan,
        session: &dyn Session,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(StepPlanner)]);
        planner.create_physical_plan(logical, session).await
    }
}
