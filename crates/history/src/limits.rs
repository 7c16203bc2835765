//! Limits on what a query may read and how many groups it may make.
//!
//! In: a physical plan or the input of an aggregation. Out: the same rows as long as the limit holds. Promise: a batch that
//! crosses a limit is the last one (`break`), the last one with new groups (`any`), or an error (`throw`); limits are
//! therefore exact to a batch, as in ClickHouse.

use crate::error::outward;
use crate::step::{Step, StepRun};
use crate::steps::batch_of;
use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow_row::{RowConverter, SortField};
use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt};
use hashbrown::HashSet;
use hydron_base::{Code, Error, Result};
use hydron_func::call::arrow_error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What happens at a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    #[default]
    Throw,
    /// What was read until then is the answer.
    Break,
    /// No new groups; rows of known ones still count.
    Any,
}

/// Rows and bytes that all sources of a query may deliver together; 0: no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadLimit {
    pub rows_max: u64,
    pub bytes_max: u64,
    pub overflow: Overflow,
}

/// Groups that an aggregation may have.
#[derive(Clone, Copy, Debug)]
pub struct GroupLimit {
    pub groups_max: u64,
    pub overflow: Overflow,
}

/// `plan` with every source under `limit`. Rows that the filter on a sorted source drops were not read: its key excludes them.
pub fn limit_reads(plan: Arc<dyn ExecutionPlan>, limit: ReadLimit) -> DfResult<Arc<dyn ExecutionPlan>> {
    let read = Arc::new(Read { limit, rows: AtomicU64::new(0), bytes: AtomicU64::new(0) });
    limited(plan, &read)
}

fn limited(plan: Arc<dyn ExecutionPlan>, read: &Arc<Read>) -> DfResult<Arc<dyn ExecutionPlan>> {
    let is_source = plan.children().is_empty() || plan.name() == SORTED;
    if is_source || (plan.name() == "FilterExec" && stands_on_sorted(plan.as_ref())) {
        return Ok(Arc::new(ReadLimitExec { input: plan, read: Arc::clone(read) }));
    }
    let children = plan.children().into_iter().map(|c| limited(Arc::clone(c), read)).collect::<DfResult<Vec<_>>>()?;
    replace_children_if_necessary(plan, children)
}

/// Whether nothing but operators with one input, which neither drop nor merge rows, lies between.
fn stands_on_sorted(plan: &dyn ExecutionPlan) -> bool {
    match plan.children().as_slice() {
        [only] => only.name() == SORTED || (only.name() != "FilterExec" && stands_on_sorted(only.as_ref())),
        _ => false,
    }
}

const SORTED: &str = "Sorted";

/// A source whose rows are sorted by what its filter reads: a mark for [`limit_reads`].
#[derive(Debug)]
pub struct SortedExec(pub Arc<dyn ExecutionPlan>);

impl DisplayAs for SortedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(SORTED)
    }
}

impl ExecutionPlan for SortedExec {
    fn name(&self) -> &str {
        SORTED
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.0]
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
        let input = children.pop().ok_or_else(|| outward(Error::bug("a sorted source without rows")))?;
        Ok(Arc::new(SortedExec(input)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        self.0.execute(partition, context)
    }
}

/// What all sources have delivered so far.
#[derive(Debug)]
struct Read {
    limit: ReadLimit,
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Read {
    /// Counts a batch; true: it is the last one.
    fn take(&self, batch: &RecordBatch) -> Result<bool> {
        let (rows, bytes) = (batch.num_rows() as u64, batch.get_array_memory_size() as u64);
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let over = |n: u64, max: u64| max > 0 && n > max;
        let (over_rows, over_bytes) = (over(rows, self.limit.rows_max), over(bytes, self.limit.bytes_max));
        if !over_rows && !over_bytes {
            return Ok(false);
        }
        if self.limit.overflow != Overflow::Throw {
            return Ok(true);
        }
        Err(match over_rows {
            true => {
                let text = format!("the query read {rows} rows, the limit max_rows_to_read is {}", self.limit.rows_max);
                Error::new(Code::TOO_MANY_ROWS, text)
            }
            false => {
                let most = self.limit.bytes_max;
                Error::new(
                    Code::TOO_MANY_BYTES,
                    format!("the query read {bytes} bytes, the limit max_bytes_to_read is {most}"),
                )
            }
        })
    }
}

#[derive(Debug)]
struct ReadLimitExec {
    input: Arc<dyn ExecutionPlan>,
    read: Arc<Read>,
}

impl DisplayAs for ReadLimitExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "ReadLimit: rows={}, bytes={}", self.read.limit.rows_max, self.read.limit.bytes_max)
    }
}

impl ExecutionPlan for ReadLimitExec {
    fn name(&self) -> &str {
        "ReadLimit"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
        let input = children.pop().ok_or_else(|| outward(Error::bug("a read limit without a source")))?;
        Ok(Arc::new(ReadLimitExec { input, read: Arc::clone(&self.read) }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let schema = input.schema();
        let read = Arc::clone(&self.read);
        let rows = until_last(input.map(move |batch| {
            let last = batch.as_ref().map_or(Ok(false), |batch| read.take(batch));
            match last {
                Ok(last) => (batch, last),
                Err(e) => (Err(outward(e)), false),
            }
        }));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// Items up to and with the first that says it is the last.
fn until_last<T>(items: impl Stream<Item = (T, bool)>) -> impl Stream<Item = T> {
    items
        .scan(false, |ended, (item, last)| {
            let before = std::mem::replace(ended, last);
            std::future::ready((!before).then_some(item))
        })
        .fuse()
}

/// How many rows one kind of node may take.
#[derive(Clone, Copy, Debug)]
pub struct RowLimit {
    /// The setting it comes from.
    pub setting: &'static str,
    pub rows_max: u64,
    pub overflow: Overflow,
    /// The error beyond it.
    pub code: Code,
}

/// The limits of single nodes; `None`: no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeLimits {
    /// Rows into ORDER BY.
    pub sort: Option<RowLimit>,
    /// Rows out of DISTINCT.
    pub distinct: Option<RowLimit>,
    /// Rows of the right side of a join.
    pub join: Option<RowLimit>,
}

/// Passes rows on up to a limit, which all partitions share.
#[derive(Debug)]
pub struct LimitRows {
    limit: RowLimit,
    schema: SchemaRef,
    rows: Arc<AtomicU64>,
}

impl LimitRows {
    pub fn new(limit: RowLimit, schema: SchemaRef) -> LimitRows {
        LimitRows { limit, schema, rows: Arc::default() }
    }
}

impl Step for LimitRows {
    fn name(&self) -> &'static str {
        "LimitRows"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn needs_one_partition(&self) -> bool {
        false
    }

    fn start(&self) -> Box<dyn StepRun> {
        Box::new(LimitRowsRun {
            limit: self.limit,
            schema: Arc::clone(&self.schema),
            rows: Arc::clone(&self.rows),
            over: false,
        })
    }
}

struct LimitRowsRun {
    limit: RowLimit,
    schema: SchemaRef,
    rows: Arc<AtomicU64>,
    over: bool,
}

impl StepRun for LimitRowsRun {
    fn rows(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows() as u64 + self.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        self.over = rows > self.limit.rows_max;
        if self.over && self.limit.overflow == Overflow::Throw {
            let RowLimit { setting, rows_max, code, .. } = self.limit;
            return Err(Error::new(code, format!("{rows} rows and more, the limit {setting} is {rows_max}")));
        }
        batch_of(&self.schema, batch.columns().to_vec(), batch.num_rows())
    }

    fn has_ended(&self) -> bool {
        self.over
    }
}

/// The rows in front of an aggregation, up to the limit of its groups.
#[derive(Debug)]
pub struct LimitGroups {
    pub keys: Vec<usize>,
    pub limit: GroupLimit,
    pub schema: SchemaRef,
}

impl Step for LimitGroups {
    fn name(&self) -> &'static str {
        "LimitGroups"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn needs_one_partition(&self) -> bool {
        true
    }

    fn start(&self) -> Box<dyn StepRun> {
        let fields = self.keys.iter().map(|k| SortField::new(self.schema.field(*k).data_type().clone())).collect();
        Box::new(LimitGroupsRun {
            keys: self.keys.clone(),
            limit: self.limit,
            schema: Arc::clone(&self.schema),
            converter: RowConverter::new(fields).map_err(arrow_error),
            seen: HashSet::new(),
            key_bytes: 0,
            over: false,
        })
    }
}

struct LimitGroupsRun {
    keys: Vec<usize>,
    limit: GroupLimit,
    schema: SchemaRef,
    converter: Result<RowConverter>,
    seen: HashSet<Box<[u8]>>,
    key_bytes: usize,
    over: bool,
}

impl StepRun for LimitGroupsRun {
    fn rows(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let batch = batch_of(&self.schema, batch.columns().to_vec(), batch.num_rows())?;
        let converter = self.converter.as_ref().map_err(Clone::clone)?;
        let columns: Vec<ArrayRef> = self.keys.iter().map(|k| Arc::clone(batch.column(*k))).collect();
        let keys = converter.convert_columns(&columns).map_err(arrow_error)?;
        if self.over {
            let known: BooleanArray = keys.iter().map(|k| Some(self.seen.contains(k.data()))).collect();
            return filter_record_batch(&batch, &known).map_err(arrow_error);
        }
        for key in keys.iter() {
            if !self.seen.contains(key.data()) {
                self.key_bytes += key.data().len();
                self.seen.insert(key.data().into());
            }
        }
        let groups = self.seen.len() as u64;
        self.over = groups > self.limit.groups_max;
        if self.over && self.limit.overflow == Overflow::Throw {
            let text =
                format!("GROUP BY makes {groups} groups, the limit max_rows_to_group_by is {}", self.limit.groups_max);
            return Err(Error::new(Code::TOO_MANY_ROWS, text));
        }
        Ok(batch)
    }

    fn has_ended(&self) -> bool {
        self.over && self.limit.overflow == Overflow::Break
    }

    fn bytes(&self) -> usize {
        self.key_bytes + self.seen.allocation_size()
    }
}
