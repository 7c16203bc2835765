//! Window functions over rows that are sorted by partition and order.
//!
//! In: sorted rows with the columns the calls read behind their own. Out: their own columns, then one for each call. Promise: an
//! answer is that of a fresh state over the rows of the frame in their order, whatever way it was worked out; rows are kept
//! until their partition ends.

use crate::frames::{Frames, Sorted, changes};
use crate::step::{Step, StepRun};
use crate::steps::batch_of;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{concat, interleave, take};
use arrow::datatypes::{Float64Type, Int64Type, SchemaRef};
use hydron_base::{Error, Result};
use hydron_func::Aggregate;
use hydron_func::call::arrow_error;
use hydron_plan::node::{NullValues, WindowCall, WindowFunction};
use hydron_types::{LogicalType, Value, array_of};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Rows of frames that are handed to an aggregate at a time: as many as a batch has, a few times over.
const FRAME_ROWS: usize = 65_536;

/// Above so many rows a frame, an aggregate that can take rows back does so instead of starting anew.
const SLIDING_ROWS_MIN: usize = 64;

#[derive(Debug)]
pub struct Over {
    /// Columns of the output that come from the input.
    pub width: usize,
    pub calls: Arc<Vec<OverCall>>,
    pub schema: SchemaRef,
}

/// A call and where the columns it reads are.
#[derive(Debug)]
pub struct OverCall {
    pub call: WindowCall,
    pub partition: Vec<usize>,
    pub order: Vec<usize>,
    pub args: Vec<usize>,
    pub filter: Option<usize>,
    /// Types of `args`.
    pub kinds: Vec<LogicalType>,
    /// Type of the first of `order`, and whether it falls.
    pub key: Option<(LogicalType, bool)>,
}

impl Step for Over {
    fn name(&self) -> &'static str {
        "WindowFunctions"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn needs_one_partition(&self) -> bool {
        true
    }

    fn start(&self) -> Box<dyn StepRun> {
        // The partitions of some calls may be parts of those of others: rows leave with the largest.
        let shared = self.calls.iter().map(|c| c.partition.len()).min().unwrap_or(0);
        let partition = self.calls.first().map_or_else(Vec::new, |c| c.partition[..shared].to_vec());
        Box::new(OverRun {
            width: self.width,
            calls: Arc::clone(&self.calls),
            schema: Arc::clone(&self.schema),
            partition,
            pending: Vec::new(),
            ready: VecDeque::new(),
        })
    }
}

struct OverRun {
    width: usize,
    calls: Arc<Vec<OverCall>>,
    schema: SchemaRef,
    /// The columns whose change ends a partition.
    partition: Vec<usize>,
    /// Rows of partitions that have not ended.
    pending: Vec<RecordBatch>,
    ready: VecDeque<RecordBatch>,
}

impl StepRun for OverRun {
    fn rows(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        if batch.num_rows() == 0 {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        let Some(end) = self.last_start(&batch)? else {
            self.pending.push(batch);
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        };
        if end > 0 {
            self.pending.push(batch.slice(0, end));
        }
        let whole = std::mem::replace(&mut self.pending, vec![batch.slice(end, batch.num_rows() - end)]);
        let answers = self.answers(&whole)?;
        arrow::compute::concat_batches(&self.schema, &answers).map_err(arrow_error)
    }

    fn finish(&mut self) -> Result<Option<RecordBatch>> {
        let whole = std::mem::take(&mut self.pending);
        self.ready = self.answers(&whole)?.into();
        self.more()
    }

    fn more(&mut self) -> Result<Option<RecordBatch>> {
        Ok(self.ready.pop_front())
    }

    fn bytes(&self) -> usize {
        self.pending.iter().chain(&self.ready).map(RecordBatch::get_array_memory_size).sum()
    }
}

impl OverRun {
    /// Where the last partition of `batch` starts, if one ends before it.
    fn last_start(&self, batch: &RecordBatch) -> Result<Option<usize>> {
        if self.partition.is_empty() {
            return Ok(None);
        }
        let before = self.pending.last().map(|b| b.slice(b.num_rows() - 1, 1));
        let column = |c: &usize| match &before {
            Some(row) => concat(&[row.column(*c).as_ref(), batch.column(*c).as_ref()]).map_err(arrow_error),
            None => Ok(Arc::clone(batch.column(*c))),
        };
        let keys = self.partition.iter().map(column).collect::<Result<Vec<_>>>()?;
        let before = usize::from(before.is_some());
        let starts = changes(batch.num_rows() + before, &keys)?;
        Ok(starts.iter().rposition(|s| *s).filter(|at| *at > 0).map(|at| at - before))
    }

    /// Whole partitions with their answers, in batches as they came.
    fn answers(&self, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if rows == 0 {
            return Ok(Vec::new());
        }
        let mut columns: Vec<Option<ArrayRef>> = vec![None; batches[0].num_columns()];
        let mut column = |at: usize| -> Result<ArrayRef> {
            if columns[at].is_none() {
                let parts: Vec<&dyn Array> = batches.iter().map(|b| b.column(at).as_ref()).collect();
                columns[at] = Some(concat(&parts).map_err(arrow_error)?);
            }
            columns[at].clone().ok_or_else(|| Error::bug("a column that was just put there"))
        };
        let mut answers = Vec::with_capacity(self.calls.len());
        for call in self.calls.iter() {
            let mut all = |list: &[usize]| list.iter().map(|c| column(*c)).collect::<Result<Vec<_>>>();
            let (partition, order, args) = (all(&call.partition)?, all(&call.order)?, all(&call.args)?);
            let filter = call.filter.map(&mut column).transpose()?;
            let sorted = Sorted::new(rows, &partition, &order)?;
            answers.push(Work { call, rows, sorted: &sorted, order: &order, args: &args, filter }.answer()?);
        }
        let mut start = 0;
        let mut out = Vec::with_capacity(batches.len());
        for batch in batches {
            let len = batch.num_rows();
            let own = batch.columns()[..self.width].iter().cloned();
            let columns = own.chain(answers.iter().map(|a| a.slice(start, len))).collect();
            out.push(batch_of(&self.schema, columns, len)?);
            start += len;
        }
        Ok(out)
    }
}

/// One call over whole partitions.
struct Work<'w> {
    call: &'w OverCall,
    rows: usize,
    sorted: &'w Sorted,
    order: &'w [ArrayRef],
    args: &'w [ArrayRef],
    filter: Option<ArrayRef>,
}

impl Work<'_> {
    fn answer(&self) -> Result<ArrayRef> {
        let ty = &self.call.call.ty;
        match &self.call.call.function {
            WindowFunction::RowNumber => self.counted(|part, row| (row - part.start + 1) as u64),
            WindowFunction::Rank => self.counted(|part, row| (self.sorted.peers(row).start - part.start + 1) as u64),
            WindowFunction::DenseRank => {
                self.counted(|part, row| u64::from(self.sorted.group[row] - self.sorted.group[part.start]) + 1)
            }
            WindowFunction::PercentRank => self.measured(|part, row| match part.len() {
                1 => 0.0,
                rows => (self.sorted.peers(row).start - part.start) as f64 / (rows - 1) as f64,
            }),
            WindowFunction::CumeDist => {
                self.measured(|part, row| (self.sorted.peers(row).end - part.start) as f64 / part.len() as f64)
            }
            WindowFunction::Ntile(parts) => self.counted(|part, row| ntile(part, row, *parts)),
            WindowFunction::Aggregate(call) => self.aggregate(&call.bound.aggregate),
            WindowFunction::Offset { back, in_frame, default, .. } => {
                self.neighbor(ty, *back, *in_frame, default.is_some())
            }
            WindowFunction::FirstValue(_, nulls) => self.edge(ty, *nulls, true),
            WindowFunction::LastValue(_, nulls) => self.edge(ty, *nulls, false),
            WindowFunction::NthValue(..) => self.nth(ty),
            WindowFunction::Derivative { unit_seconds, .. } => self.derivative(*unit_seconds),
        }
    }

    fn counted(&self, number: impl Fn(&Range<usize>, usize) -> u64) -> Result<ArrayRef> {
        let parts = self.sorted.partition_ranges();
        let numbers = parts.flat_map(|part| part.clone().map(|row| number(&part, row)).collect::<Vec<_>>());
        Ok(Arc::new(UInt64Array::from_iter_values(numbers)))
    }

    fn measured(&self, number: impl Fn(&Range<usize>, usize) -> f64) -> Result<ArrayRef> {
        let parts = self.sorted.partition_ranges();
        let numbers = parts.flat_map(|part| part.clone().map(|row| number(&part, row)).collect::<Vec<_>>());
        Ok(Arc::new(Float64Array::from_iter_values(numbers)))
    }

    fn frames(&self) -> Result<Frames> {
        let key = self.order.first().zip(self.call.key.as_ref()).map(|(array, (_, descending))| (array, *descending));
        Frames::new(&self.call.call.frame, self.sorted, key)
    }

    /// The values at `places`; where there is none, that of `default` in the same row, or the type's own.
    fn picked(&self, ty: &LogicalType, places: &[Option<usize>], default: Option<&ArrayRef>) -> Result<ArrayRef> {
        let none = array_of(&Value::default_of(ty), ty, 1)?;
        let sources = [self.args[0].as_ref(), default.unwrap_or(&none).as_ref()];
        let of_row = |row| if default.is_some() { row } else { 0 };
        let places: Vec<(usize, usize)> =
            places.iter().enumerate().map(|(row, p)| p.map_or((1, of_row(row)), |p| (0, p))).collect();
        interleave(&sources, &places).map_err(arrow_error)
    }

    fn neighbor(&self, ty: &LogicalType, back: bool, in_frame: bool, has_default: bool) -> Result<ArrayRef> {
        let distance = self.args[1].as_primitive::<Int64Type>();
        let frames = if in_frame { Some(self.frames()?) } else { None };
        let mut places = Vec::with_capacity(self.rows);
        for part in self.sorted.partition_ranges() {
            for row in part.clone() {
                let by = distance.value(row);
                let by = usize::try_from(by)
                    .map_err(|_| Error::bad_arguments(format!("a distance of {by} rows to look back or ahead")))?;
                let at = if back { row.checked_sub(by) } else { row.checked_add(by) };
                let within = frames.as_ref().map_or(part.clone(), |f| f.start[row]..f.end[row]);
                places.push(at.filter(|at| within.contains(at)));
            }
        }
        self.picked(ty, &places, if has_default { self.args.get(2) } else { None })
    }

    fn nth(&self, ty: &LogicalType) -> Result<ArrayRef> {
        let frames = self.frames()?;
        let n = self.args[1].as_primitive::<Int64Type>();
        let place = |row: usize| {
            let n = n.value(row);
            let from_zero = usize::try_from(n).ok().and_then(|n| n.checked_sub(1));
            let from_zero = from_zero
                .ok_or_else(|| Error::bad_arguments(format!("\"nth_value\" counts rows from 1, given {n}")))?;
            Ok(frames.start[row].checked_add(from_zero).filter(|at| *at < frames.end[row]))
        };
        self.picked(ty, &(0..self.rows).map(place).collect::<Result<Vec<_>>>()?, None)
    }

    fn edge(&self, ty: &LogicalType, nulls: NullValues, first: bool) -> Result<ArrayRef> {
        let frames = self.frames()?;
        let nulls = self.args[0].logical_nulls().filter(|n| n.null_count() > 0 && nulls == NullValues::Skipped);
        // The nearest row with a value, at each row or behind it; before it for the last value.
        let nearest: Option<Vec<usize>> = nulls.map(|nulls| {
            let mut found = if first { self.rows } else { usize::MAX };
            let mut note = |row: usize| {
                if nulls.is_valid(row) {
                    found = row;
                }
                found
            };
            if first {
                let mut list: Vec<usize> = (0..self.rows).rev().map(&mut note).collect();
                list.reverse();
                list
            } else {
                (0..self.rows).map(&mut note).collect()
            }
        });
        let place = |row: usize| {
            let frame = frames.start[row]..frames.end[row];
            if frame.is_empty() {
                return None;
            }
            let at = if first { frame.start } else { frame.end - 1 };
            Some(nearest.as_ref().map_or(at, |n| n[at])).filter(|at| frame.contains(at))
        };
        self.picked(ty, &(0..self.rows).map(place).collect::<Vec<_>>(), None)
    }

    fn derivative(&self, unit_seconds: f64) -> Result<ArrayRef> {
        let (metric, seconds) =
            (self.args[0].as_primitive::<Float64Type>(), self.args[1].as_primitive::<Float64Type>());
        self.measured(|part, row| {
            if row == part.start {
                return 0.0;
            }
            let rise = metric.value(row) - metric.value(row - 1);
            let time = seconds.value(row) - seconds.value(row - 1);
            let rate = rise / time * unit_seconds;
            if time > 0.0 && rate > 0.0 { rate } else { 0.0 }
        })
    }

    fn aggregate(&self, aggregate: &Arc<dyn Aggregate>) -> Result<ArrayRef> {
        let frames = self.frames()?;
        // Rows next to each other with the same frame have one answer.
        let mut runs: Vec<Range<usize>> = Vec::new();
        let mut run_of: Vec<u32> = Vec::with_capacity(self.rows);
        for part in self.sorted.partition_ranges() {
            for row in part.clone() {
                let frame = frames.start[row]..frames.end[row];
                if row == part.start || runs.last() != Some(&frame) {
                    runs.push(frame);
                }
                run_of.push(runs.len() as u32 - 1);
            }
        }
        let frames = FrameAnswers { args: self.args, filter: self.filter.as_ref().map(|f| f.as_boolean()) };
        let answers = frames.all(aggregate, &runs, &self.call.kinds)?;
        if runs.len() == self.rows {
            return Ok(answers);
        }
        take(&answers, &UInt32Array::from(run_of), None).map_err(arrow_error)
    }
}

/// The part of `parts` that a row is in; the first ones have a row more where they cannot all have the same.
fn ntile(part: &Range<usize>, row: usize, parts: u64) -> u64 {
    let (at, rows) = ((row - part.start) as u64, part.len() as u64);
    let (size, larger) = (rows / parts, rows % parts);
    let in_larger = larger * (size + 1);
    if at < in_larger { at / (size + 1) + 1 } else { larger + (at - in_larger) / size.max(1) + 1 }
}

/// An aggregate over frames.
struct FrameAnswers<'f> {
    args: &'f [ArrayRef],
    filter: Option<&'f BooleanArray>,
}

impl FrameAnswers<'_> {
    fn slices(&self, rows: &Range<usize>) -> (Vec<ArrayRef>, Option<BooleanArray>) {
        let args = self.args.iter().map(|a| a.slice(rows.start, rows.len())).collect();
        (args, self.filter.map(|f| f.slice(rows.start, rows.len())))
    }

    /// One answer for each of `runs`, whose bounds never go back within a partition.
    fn all(&self, aggregate: &Arc<dyn Aggregate>, runs: &[Range<usize>], kinds: &[LogicalType]) -> Result<ArrayRef> {
        let mut pieces: Vec<ArrayRef> = Vec::new();
        let mut at = 0;
        while at < runs.len() {
            let same = grown(&runs[at..]);
            if same > 1 {
                self.growing(aggregate, &runs[at..at + same], &mut pieces)?;
                at += same;
                continue;
            }
            let rest = moving(&runs[at..]);
            let mean = runs[at..at + rest].iter().map(Range::len).sum::<usize>() / rest;
            let exact = !kinds.iter().any(|t| t.bare().is_float());
            let sliding = aggregate.retracting().filter(|r| exact && r.needs().function.is_none());
            match sliding.filter(|_| mean > SLIDING_ROWS_MIN) {
                Some(sliding) => self.sliding(&sliding, &runs[at..at + rest], &mut pieces)?,
                None => self.each(aggregate, &runs[at..at + rest], &mut pieces)?,
            }
            at += rest;
        }
        if let [one] = pieces.as_slice() {
            return Ok(Arc::clone(one));
        }
        concat(&pieces.iter().map(AsRef::as_ref).collect::<Vec<_>>()).map_err(arrow_error)
    }

    /// One state that only takes rows in.
    fn growing(&self, aggregate: &Arc<dyn Aggregate>, runs: &[Range<usize>], pieces: &mut Vec<ArrayRef>) -> Result<()> {
        let mut state = aggregate.new_state();
        state.resize(1);
        let mut end = runs[0].start;
        let mut zeros: Vec<u32> = Vec::new();
        for run in runs {
            let more = end..run.end;
            if !more.is_empty() {
                zeros.resize(more.len().max(zeros.len()), 0);
                let (args, filter) = self.slices(&more);
                state.update(&zeros[..more.len()], &args, filter.as_ref())?;
                end = run.end;
            }
            pieces.push(state.finish(&[0])?);
        }
        Ok(())
    }

    /// One state that takes rows in and gives them back.
    fn sliding(&self, aggregate: &Arc<dyn Aggregate>, runs: &[Range<usize>], pieces: &mut Vec<ArrayRef>) -> Result<()> {
        let mut state = aggregate.new_state();
        state.resize(1);
        let (mut start, mut end) = (runs[0].start, runs[0].start);
        let mut zeros: Vec<u32> = Vec::new();
        for run in runs {
            if run.start >= end {
                state.clear(&[0]);
                (start, end) = (run.start, run.start);
            }
            let (more, less) = (end..run.end.max(end), start..run.start);
            zeros.resize(more.len().max(less.len()).max(zeros.len()), 0);
            if !more.is_empty() {
                let (args, filter) = self.slices(&more);
                state.update(&zeros[..more.len()], &args, filter.as_ref())?;
            }
            if !less.is_empty() {
                let (args, filter) = self.slices(&less);
                state.retract(&zeros[..less.len()], &args, filter.as_ref())?;
            }
            (start, end) = (run.start, more.end);
            pieces.push(state.finish(&[0])?);
        }
        Ok(())
    }

    /// A group for each frame, as many frames at a time as have the rows of some batches.
    fn each(&self, aggregate: &Arc<dyn Aggregate>, runs: &[Range<usize>], pieces: &mut Vec<ArrayRef>) -> Result<()> {
        let mut at = 0;
        while at < runs.len() {
            let mut state = aggregate.new_state();
            let mut groups: Vec<u32> = Vec::new();
            let mut rows: Vec<u32> = Vec::new();
            let first = at;
            while at < runs.len() && (at == first || rows.len() + runs[at].len() <= FRAME_ROWS) {
                rows.extend(runs[at].clone().map(|r| r as u32));
                groups.resize(rows.len(), (at - first) as u32);
                at += 1;
            }
            state.resize(at - first);
            let rows = UInt32Array::from(rows);
            let taken = |a: &dyn Array| take(a, &rows, None).map_err(arrow_error);
            let args = self.args.iter().map(|a| taken(a.as_ref())).collect::<Result<Vec<_>>>()?;
            let filter = self.filter.map(|f| taken(f)).transpose()?;
            state.update(&groups, &args, filter.as_ref().map(|f| f.as_boolean()))?;
            pieces.push(state.finish(&(0..(at - first) as u32).collect::<Vec<_>>())?);
        }
        Ok(())
    }
}

/// How many of the first runs only grow.
fn grown(runs: &[Range<usize>]) -> usize {
    1 + runs.windows(2).take_while(|w| w[0].start == w[1].start && w[0].end <= w[1].end).count()
}

/// How many of the first runs only move on.
fn moving(runs: &[Range<usize>]) -> usize {
    let on = |w: &[Range<usize>]| w[0].start <= w[1].start && w[0].end <= w[1].end && w[0].start != w[1].start;
    // Where a growing frame begins, another way is shorter.
    1 + runs.windows(2).take_while(|w| on(w)).count()
}
