//! Typed plans: values only. EXPLAIN prints them, history lowers them to DataFusion, streams lower them to pipelines.

use crate::catalog::StreamInfo;
use crate::expr::{AggCall, Expr};
use hydron_types::{Batch, IntervalUnit, Schema, Value, Zone};
use std::sync::Arc;

/// A node with what holds for its output.
#[derive(Clone, Debug)]
pub struct Plan {
    pub node: Node,
    pub schema: Arc<Schema>,
    /// True when rows come without end.
    pub streaming: bool,
    /// What a row of the output means.
    pub change: Change,
}

/// What a row means: a fact, or a change of a set of facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Every row is a new fact.
    Append,
    /// Rows are added and withdrawn; a `_tp_delta` of +1 or -1 travels beside each.
    Changelog,
    /// As Changelog, with a primary key.
    ChangelogKv,
    /// A row replaces the one of the same primary key.
    VersionedKv,
}

#[derive(Clone, Debug)]
pub enum Node {
    /// Rows known now. `SELECT 1` reads one row without columns.
    Values {
        batches: Vec<Batch>,
    },
    /// `number uint64` from `start` on; `count: None` never ends by itself (`system.numbers`).
    Numbers {
        start: u64,
        count: Option<u64>,
    },
    Scan(Scan),
    Filter {
        input: Box<Plan>,
        predicate: Expr,
    },
    /// One output column for each expression.
    Project {
        input: Box<Plan>,
        exprs: Vec<Expr>,
    },
    /// The input's columns, then `window_start` and `window_end`; a row leaves once for each window it is in.
    AssignWindow {
        input: Box<Plan>,
        window: WindowSpec,
    },
    Aggregate(Aggregate),
    Join(Join),
    /// One row for each element of the arrays in `columns` (in parallel); the columns change to their elements in place.
    /// `left`: a row with empty arrays stays, with default elements.
    ArrayJoin {
        input: Box<Plan>,
        columns: Vec<usize>,
        left: bool,
    },
    /// In a stream each batch is sorted by itself.
    Sort {
        input: Box<Plan>,
        keys: Vec<SortKey>,
        limit: Option<u64>,
    },
    /// ORDER BY … WITH FILL: rows are added where the sorted values of `columns` leave gaps. History only.
    Fill {
        input: Box<Plan>,
        columns: Vec<FillColumn>,
        /// Columns of added rows that are worked out from the row before.
        interpolated: Vec<(usize, Expr)>,
    },
    /// `ties`: rows equal to the last one on these keys come too.
    Limit {
        input: Box<Plan>,
        offset: u64,
        limit: Option<u64>,
        ties: Vec<SortKey>,
    },
    /// The first `limit` rows after `offset` of each key; in a stream counted within one batch.
    LimitBy {
        input: Box<Plan>,
        keys: Vec<Expr>,
        offset: u64,
        limit: u64,
    },
    /// Rows that differ from all earlier ones in `on` (all columns when empty).
    Distinct {
        input: Box<Plan>,
        on: Vec<Expr>,
        forget: Forget,
    },
    Union {
        inputs: Vec<Plan>,
    },
    /// Appended rows that replace each other by `keys` become a changelog. With a `version`, a row whose version is below that
    /// of the row it would replace is dropped.
    Changelog {
        input: Box<Plan>,
        keys: Vec<Expr>,
        version: Option<Expr>,
    },
    /// The input's columns, then `_tp_delta` int8: the sign that travels beside each row.
    Signs {
        input: Box<Plan>,
    },
    /// INTERSECT or EXCEPT.
    SetOperation {
        left: Box<Plan>,
        right: Box<Plan>,
        except: bool,
        distinct: bool,
    },
    /// The input's columns, then one for each call. Rows count in the order in which they come; of history that is the order
    /// in which they are read. `keys` divide the rows.
    Lags {
        input: Box<Plan>,
        keys: Vec<Expr>,
        calls: Vec<LagCall>,
    },
    /// The input's columns, then one for each call. History only.
    WindowFunctions {
        input: Box<Plan>,
        calls: Vec<WindowCall>,
    },
}

/// When a key that DISTINCT or `dedup()` has seen counts as new again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forget {
    /// Milliseconds of wall time after its first row. History is read in a moment: there it never is so long.
    pub after_ms: Option<i64>,
    /// When so many later keys have come.
    pub keys_max: Option<usize>,
}

/// How the gaps of one sorted column are filled. Values have the type of the column.
#[derive(Clone, Debug)]
pub struct FillColumn {
    pub column: usize,
    pub descending: bool,
    pub from: Option<Value>,
    /// Outside.
    pub to: Option<Value>,
    pub step: FillStep,
}

#[derive(Clone, Debug)]
pub enum FillStep {
    /// In the column's own units: days of a date, ticks of a time.
    By(Value),
    Interval(Interval),
}

/// Reads a stream or table.
#[derive(Clone, Debug)]
pub struct Scan {
    pub stream: Arc<StreamInfo>,
    pub columns: Vec<ScanColumn>,
    pub seek: Seek,
    /// What all rows that matter satisfy, over the scan's output: a source may use it to skip rows and need not.
    pub pruning: Option<Expr>,
    /// At most so many rows will be used; 0: unknown.
    pub limit_hint: u64,
    /// Rows of the log come at the pace at which they once came.
    pub replay: Option<Replay>,
    /// FINAL: the rows of a key are merged, as the engine of the table says.
    pub is_final: bool,
}

/// The pace of a replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// Seconds of the stream in one second; more than 0.
    pub speed: f64,
    /// The stored column whose differences are the pace; `None`: the time of the append.
    pub column: Option<usize>,
}

/// A column of a scan: one of the stream, by position in `StreamInfo::columns`, or one the source makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanColumn {
    Stored(usize),
    /// `_tp_append_time`, `_tp_ingest_time`, `_tp_process_time`: int64, milliseconds.
    AppendTime,
    IngestTime,
    ProcessTime,
    /// `_tp_sn` int64.
    Sequence,
    /// `_tp_shard` int32.
    Shard,
    /// Of messages: `_tp_message_key` string, `_tp_message_headers` map(string, string).
    MessageKey,
    MessageHeaders,
    /// `_part` and `_partition_id` string, of tables of the MergeTree family.
    Part,
    PartitionId,
}

/// Where a streaming read starts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Seek {
    #[default]
    Latest,
    Earliest,
    /// Event time in microseconds since 1970.
    EventTime(i64),
    /// One sequence number for each shard, or one for all.
    Sequence(Vec<i64>),
    /// One position for each shard, `i64::MIN` for earliest and `i64::MAX` for latest.
    Shards(Vec<i64>),
}

/// GROUP BY. Output: the keys, the aggregates, then `emit_version` (int64) when asked for.
#[derive(Clone, Debug)]
pub struct Aggregate {
    pub input: Box<Plan>,
    pub keys: Vec<Expr>,
    pub aggs: Vec<AggCall>,
    pub grouping: Grouping,
    /// In a stream: the window whose close ends groups. The input is then an AssignWindow node.
    pub window: Option<WindowGroup>,
    /// In a stream: when answers leave. `None` in history.
    pub emit: Option<Emit>,
    pub emit_version: bool,
    /// Substreams: the first so many keys divide the input, each with a watermark of its own.
    pub partition_keys: usize,
    /// EMIT AFTER SESSION CLOSE: a group answers when it is over, and is forgotten.
    pub close: Option<Box<SessionClose>>,
}

/// When a group without a window is over. Its timeout is that of [`Emit`].
#[derive(Clone, Debug)]
pub struct SessionClose {
    /// Event time, over the columns of the input.
    pub time: Expr,
    pub start: Option<Expr>,
    pub end: Option<Expr>,
    /// Event times of one session lie no further apart.
    pub span_max: Option<Interval>,
    /// Only longer sessions answer.
    pub only: bool,
    /// The setting `merge_open_sessions`.
    pub merges: bool,
    /// The setting `include_session_end`.
    pub takes_end: bool,
}

impl SessionClose {
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        std::iter::once(&self.time).chain(&self.start).chain(&self.end)
    }

    pub fn map(&self, change: impl Fn(&Expr) -> Expr) -> SessionClose {
        SessionClose {
            time: change(&self.time),
            start: self.start.as_ref().map(&change),
            end: self.end.as_ref().map(&change),
            ..self.clone()
        }
    }
}

impl Aggregate {
    /// Whether its one aggregate decides itself when it answers: each answer is a row of its own then.
    pub fn has_own_emit(&self) -> bool {
        self.aggs.iter().any(|a| a.bound.aggregate.needs().own_emit)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grouping {
    Plain,
    /// A last row over all groups that pass HAVING, delivered apart.
    Totals,
    /// The same over the groups that pass HAVING.
    TotalsOfHaving,
    Rollup,
    Cube,
    /// Each set lists positions of `keys`.
    Sets(Vec<Vec<usize>>),
    /// One of the three above, and the row of `Totals` apart.
    WithTotals(Box<Grouping>),
}

impl Grouping {
    pub fn has_totals(&self) -> bool {
        matches!(self, Grouping::Totals | Grouping::TotalsOfHaving | Grouping::WithTotals(_))
    }
}

/// Which keys of an Aggregate are the window's columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowGroup {
    pub start_key: Option<usize>,
    pub end_key: Option<usize>,
}

/// How rows are put into windows.
#[derive(Clone, Debug)]
pub struct WindowSpec {
    pub kind: WindowKind,
    /// Position of the time column in the input: datetime or datetime64.
    pub time: usize,
    /// The zone in which days and longer units begin.
    pub zone: Zone,
    /// Event time is the wall clock at arrival (`now()`).
    pub processing_time: bool,
}

#[derive(Clone, Debug)]
pub enum WindowKind {
    Tumble {
        size: Interval,
    },
    Hop {
        slide: Interval,
        size: Interval,
    },
    Session {
        timeout: Interval,
        max_size: Interval,
        start: Option<Expr>,
        start_inclusive: bool,
        end: Option<Expr>,
        end_inclusive: bool,
    },
}

/// `5 minute`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub count: i64,
    pub unit: IntervalUnit,
}

/// When an aggregation in a stream answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emit {
    pub trigger: Trigger,
    /// EMIT CHANGELOG: +1 and -1 rows; the output then ends with `_tp_delta` int8.
    pub changelog: bool,
    /// The watermark stays this far behind the newest event time.
    pub delay: Option<Interval>,
    /// Without rows for so long, all windows close. Milliseconds of wall time.
    pub timeout_ms: Option<i64>,
    /// EMIT PERIODIC … REPEAT: answers also when nothing came since the last one.
    pub repeat: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    AfterWatermark,
    /// Milliseconds of wall time between answers.
    Periodic(i64),
    OnUpdate,
    /// After each row.
    PerEvent,
    PeriodicOnUpdate(i64),
}

#[derive(Clone, Debug)]
pub struct Join {
    pub left: Box<Plan>,
    pub right: Box<Plan>,
    pub kind: JoinKind,
    pub strictness: JoinStrictness,
    /// Pairs of expressions over the left and right input that must be equal; types are the same.
    pub on: Vec<(Expr, Expr)>,
    /// Further condition over the left columns followed by the right ones.
    pub filter: Option<Expr>,
    /// ASOF: left and right expression and their order.
    pub asof: Option<(Expr, Expr, AsofOrder)>,
    /// Two streams: pairs match only when their difference is in this range.
    pub range: Option<JoinRange>,
    /// Two streams: left rows wait until the right side has come as far.
    pub align: Option<JoinAlign>,
    /// The unmatched side is NULL (its columns are then nullable in the schema) instead of default values.
    pub use_nulls: bool,
}

/// `low <= left - right <= high`, the expressions being whole numbers or times of one type, whose ticks are meant.
#[derive(Clone, Debug)]
pub struct JoinRange {
    pub left: Expr,
    pub right: Expr,
    pub low: i64,
    pub high: i64,
}

impl JoinRange {
    pub fn contains(&self, difference: i64) -> bool {
        (self.low..=self.high).contains(&difference)
    }
}

/// `lag_behind` in ON: a left row waits until a right row has come with `right >= left - lag`, or the right side has been silent
/// for `quiesce_ms` of wall time. The expressions are times of one type, whose ticks are meant.
#[derive(Clone, Debug)]
pub struct JoinAlign {
    pub left: Expr,
    pub right: Expr,
    pub lag: i64,
    pub quiesce_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    Cross,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinStrictness {
    All,
    /// One match of the right side.
    Any,
    Semi,
    Anti,
    Asof,
    Latest,
}

/// left `<` right and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsofOrder {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug)]
pub struct SortKey {
    pub expr: Expr,
    pub descending: bool,
    pub nulls_first: bool,
}

/// Values of the rows before: those `from` to `to` rows back, the nearest first.
#[derive(Clone, Debug)]
pub struct LagCall {
    pub value: Expr,
    pub from: u64,
    pub to: u64,
    /// All of them as an array; else `from` is `to` and the value stands alone.
    pub array: bool,
    /// `row_number()`: how many rows came before, and nothing of their values.
    pub number: bool,
    /// Where there is no such row.
    pub default: Value,
    pub ty: hydron_types::LogicalType,
}

#[derive(Clone, Debug)]
pub struct WindowCall {
    pub function: WindowFunction,
    pub partition_by: Vec<Expr>,
    pub order_by: Vec<SortKey>,
    pub frame: Frame,
    pub ty: hydron_types::LogicalType,
}

#[derive(Clone, Debug)]
pub enum WindowFunction {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    /// So many parts of a partition that differ by one row at most.
    Ntile(u64),
    Aggregate(AggCall),
    /// A value of a row before or behind.
    Offset {
        value: Expr,
        /// How many rows away, as int64.
        distance: Expr,
        back: bool,
        default: Option<Expr>,
        /// Rows outside of the frame count as missing (`lag_in_frame`); else those outside of the partition (`lag`).
        in_frame: bool,
    },
    FirstValue(Expr, NullValues),
    LastValue(Expr, NullValues),
    /// The value of the n-th row of the frame, from 1; n as int64.
    NthValue(Expr, Expr),
    /// How fast `metric` rises from row to row, by `unit_seconds`; never below 0.
    Derivative {
        metric: Expr,
        seconds: Expr,
        unit_seconds: f64,
    },
}

impl WindowFunction {
    /// What it reads.
    pub fn exprs(&self) -> Vec<&Expr> {
        match self {
            WindowFunction::RowNumber
            | WindowFunction::Rank
            | WindowFunction::DenseRank
            | WindowFunction::PercentRank
            | WindowFunction::CumeDist
            | WindowFunction::Ntile(_) => Vec::new(),
            WindowFunction::Aggregate(call) => call.args.iter().chain(&call.filter).collect(),
            WindowFunction::Offset { value, distance, default, .. } => {
                [value, distance].into_iter().chain(default).collect()
            }
            WindowFunction::FirstValue(value, _) | WindowFunction::LastValue(value, _) => vec![value],
            WindowFunction::NthValue(value, n) => vec![value, n],
            WindowFunction::Derivative { metric, seconds, .. } => vec![metric, seconds],
        }
    }

    /// The same function of changed expressions.
    pub fn try_map<E>(&self, change: &impl Fn(&Expr) -> Result<Expr, E>) -> Result<WindowFunction, E> {
        use WindowFunction as F;
        Ok(match self {
            F::RowNumber | F::Rank | F::DenseRank | F::PercentRank | F::CumeDist | F::Ntile(_) => self.clone(),
            F::Aggregate(call) => F::Aggregate(AggCall {
                name: Arc::clone(&call.name),
                bound: call.bound.clone(),
                args: call.args.iter().map(change).collect::<Result<_, E>>()?,
                filter: call.filter.as_ref().map(change).transpose()?,
            }),
            F::Offset { value, distance, back, default, in_frame } => F::Offset {
                value: change(value)?,
                distance: change(distance)?,
                back: *back,
                default: default.as_ref().map(change).transpose()?,
                in_frame: *in_frame,
            },
            F::FirstValue(value, nulls) => F::FirstValue(change(value)?, *nulls),
            F::LastValue(value, nulls) => F::LastValue(change(value)?, *nulls),
            F::NthValue(value, n) => F::NthValue(change(value)?, change(n)?),
            F::Derivative { metric, seconds, unit_seconds } => {
                F::Derivative { metric: change(metric)?, seconds: change(seconds)?, unit_seconds: *unit_seconds }
            }
        })
    }
}

/// Whether NULL counts as a value of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullValues {
    Skipped,
    Respected,
}

/// What a frame counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameUnit {
    Rows,
    /// The values of the one key that orders the partition.
    Range,
    /// Rows that are equal on the keys that order the partition, as one.
    Groups,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub unit: FrameUnit,
    pub start: FrameBound,
    pub end: FrameBound,
}

#[derive(Clone, Debug, PartialEq)]
pub enum FrameBound {
    UnboundedPreceding,
    /// A count of rows or groups; of RANGE a distance in the key's own unit: days, ticks of a time, digits of a decimal.
    Preceding(Value),
    CurrentRow,
    Following(Value),
    UnboundedFollowing,
}

impl Plan {
    /// Whether each batch is a whole answer of an aggregation over all, which replaces the one before.
    pub fn is_whole_answer(&self) -> bool {
        match &self.node {
            Node::Aggregate(a) => {
                let changelog = a.emit.as_ref().is_some_and(|e| e.changelog);
                self.streaming && a.window.is_none() && a.close.is_none() && !changelog && !a.has_own_emit()
            }
            Node::Filter { input, .. }
            | Node::Project { input, .. }
            | Node::Sort { input, .. }
            | Node::LimitBy { input, .. }
            | Node::ArrayJoin { input, .. } => input.is_whole_answer(),
            _ => false,
        }
    }

    /// The inputs, left to right.
    pub fn inputs(&self) -> Vec<&Plan> {
        match &self.node {
            Node::Values { .. } | Node::Numbers { .. } | Node::Scan(_) => vec![],
            Node::Filter { input, .. }
            | Node::Project { input, .. }
            | Node::AssignWindow { input, .. }
            | Node::Aggregate(Aggregate { input, .. })
            | Node::ArrayJoin { input, .. }
            | Node::Sort { input, .. }
            | Node::Fill { input, .. }
            | Node::Limit { input, .. }
            | Node::LimitBy { input, .. }
            | Node::Distinct { input, .. }
            | Node::Changelog { input, .. }
            | Node::Signs { input }
            | Node::Lags { input, .. }
            | Node::WindowFunctions { input, .. } => vec![input],
            Node::Join(Join { left, right, .. }) | Node::SetOperation { left, right, .. } => vec![left, right],
            Node::Union { inputs } => inputs.iter().collect(),
        }
    }

    /// The inputs, left to right, to be changed.
    pub fn inputs_mut(&mut self) -> Vec<&mut Plan> {
        match &mut self.node {
            Node::Values { .. } | Node::Numbers { .. } | Node::Scan(_) => vec![],
            Node::Filter { input, .. }
            | Node::Project { input, .. }
            | Node::AssignWindow { input, .. }
            | Node::Aggregate(Aggregate { input, .. })
            | Node::ArrayJoin { input, .. }
            | Node::Sort { input, .. }
            | Node::Fill { input, .. }
            | Node::Limit { input, .. }
            | Node::LimitBy { input, .. }
            | Node::Distinct { input, .. }
            | Node::Changelog { input, .. }
            | Node::Signs { input }
            | Node::Lags { input, .. }
            | Node::WindowFunctions { input, .. } => vec![input],
            Node::Join(Join { left, right, .. }) | Node::SetOperation { left, right, .. } => vec![left, right],
            Node::Union { inputs } => inputs.iter_mut().collect(),
        }
    }
}
