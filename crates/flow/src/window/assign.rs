//! Window columns on rows: what a query without aggregation sees of its windows.
//!
//! In: rows. Out: the same columns, then `window_start` and `window_end`; a row leaves once for each window it is in.

use super::span::{Span, Spans, wall_to_ticks};
use super::stamper::TimeColumn;
use crate::operator::expr::take_delta;
use crate::operator::{Msg, Operator, Output, Rows};
use arrow::array::{ArrayRef, PrimitiveArray, UInt32Array};
use arrow::datatypes::*;
use hydron_base::Result;
use hydron_base::world::WallTime;
use hydron_func::EvalContext;
use hydron_types::column::time_values;
use hydron_types::time::LocalTime;
use hydron_types::{Batch, Delta, Schema};
use std::borrow::Cow;
use std::sync::Arc;

pub struct AssignWindow {
    spans: Spans,
    time: TimeColumn,
    schema: Arc<Schema>,
}

impl AssignWindow {
    /// `schema`: the input's columns and the two of the window.
    pub fn new(spans: Spans, time: TimeColumn, schema: Arc<Schema>) -> AssignWindow {
        AssignWindow { spans, time, schema }
    }
}

impl Operator for AssignWindow {
    fn keeps_state(&self) -> bool {
        false
    }

    fn on_msg(&mut self, cx: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        let Msg::Rows(rows) = msg else {
            return out.push(msg);
        };
        let times = event_times(rows.batch(), &self.time, cx.now);
        let expanded = expand(&self.spans, &times, None);
        let delta = with_windows(&rows.delta, &expanded, &self.time, &self.schema)?;
        out.push(Msg::Rows(Rows { delta, lane: rows.lane }))
    }
}

/// The event time of each row in ticks.
pub fn event_times<'a>(batch: &'a Batch, time: &TimeColumn, now: WallTime) -> Cow<'a, [i64]> {
    match time.processing_time {
        true => Cow::Owned(vec![wall_to_ticks(now, time.digits); batch.rows()]),
        false => Cow::Borrowed(time_values(batch.column(time.column))),
    }
}

/// Rows by window: one entry for each window of each row.
pub struct Expanded {
    /// Row of the input.
    pub origin: Vec<u32>,
    pub starts: Vec<i64>,
    pub ends: Vec<i64>,
}

/// Puts each row that `keep` marks (all without it) into its windows, oldest first.
pub fn expand(spans: &Spans, times: &[i64], keep: Option<&[bool]>) -> Expanded {
    let mut out = Expanded { origin: Vec::new(), starts: Vec::new(), ends: Vec::new() };
    let mut cursor = PaneCursor::new(spans);
    let mut windows = Vec::new();
    for (row, ticks) in times.iter().enumerate() {
        if keep.is_some_and(|k| !k[row]) {
            continue;
        }
        let (pane, fresh) = cursor.pane(*ticks);
        if fresh {
            windows = spans.windows(pane.start, cursor.local());
        }
        for window in &windows {
            out.origin.push(row as u32);
            out.starts.push(window.start);
            out.ends.push(window.end);
        }
    }
    out
}

/// Finds panes of many times; a time in the pane of the one before costs nothing.
pub struct PaneCursor<'a> {
    spans: &'a Spans,
    local: LocalTime,
    last: Span,
}

impl<'a> PaneCursor<'a> {
    pub fn new(spans: &'a Spans) -> PaneCursor<'a> {
        PaneCursor { spans, local: spans.local(), last: Span { start: 0, end: 0 } }
    }

    /// The pane of `ticks`, and whether it is another one than before.
    #[inline]
    pub fn pane(&mut self, ticks: i64) -> (Span, bool) {
        let same = ticks >= self.last.start && ticks < self.last.end;
        if !same {
            self.last = self.spans.pane(ticks, &self.local);
        }
        (self.last, !same)
    }

    pub fn local(&self) -> &LocalTime {
        &self.local
    }
}

/// The rows of `expanded` with their window's columns.
pub fn with_windows(delta: &Delta, expanded: &Expanded, time: &TimeColumn, schema: &Arc<Schema>) -> Result<Delta> {
    let rows = expanded.origin.len();
    let same = rows == delta.rows.rows() && expanded.origin.iter().enumerate().all(|(i, o)| i == *o as usize);
    let Delta { rows: taken, signs } =
        if same { delta.clone() } else { take_delta(delta, &UInt32Array::from(expanded.origin.clone()))? };
    let mut columns = taken.columns;
    columns.push(time_array(time.digits, expanded.starts.clone()));
    columns.push(time_array(time.digits, expanded.ends.clone()));
    Ok(Delta { rows: Batch::new(Arc::clone(schema), columns, rows), signs })
}

/// Ticks as a time column of `digits`.
pub fn time_array(digits: u8, ticks: Vec<i64>) -> ArrayRef {
    match digits {
        0 => Arc::new(PrimitiveArray::<TimestampSecondType>::from_iter_values(ticks)),
        3 => Arc::new(PrimitiveArray::<TimestampMillisecondType>::from_iter_values(ticks)),
        6 => Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from_iter_values(ticks)),
        _ => Arc::new(PrimitiveArray::<TimestampNanosecondType>::from_iter_values(ticks)),
    }
}
