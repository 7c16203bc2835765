//! Left rows of a join that wait until the right side has come as far in time (`lag_behind` in ON).
//!
//! In: rows of both sides. Out: what the join behind makes of them. Promise: right rows go on at once; a left row goes on when a
//! right row has come that lags no more than the interval behind it, or when the right side has been silent for a while; left
//! rows whose time has come keep their order.

use super::rows::check_kept;
use crate::operator::expr::{eval, take_delta};
use crate::operator::{Msg, Operator, Output, Rows, Stats};
use crate::state::{StateReader, StateWriter};
use arrow::array::{AsArray, Int64Array, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use hydron_base::Result;
use hydron_base::world::WallTime;
use hydron_func::EvalContext;
use hydron_func::call::arrow_error;
use hydron_plan::node::JoinAlign;
use hydron_types::{Batch, Delta, Schema};
use std::collections::VecDeque;
use std::sync::Arc;

const LEFT: usize = 0;

pub struct Aligned {
    join: Box<dyn Operator>,
    align: JoinAlign,
    /// Of left rows.
    schema: Arc<Schema>,
    bytes_max: usize,
    /// The newest time of the right side.
    right: Option<i64>,
    /// When the last right row came, or the first left one began to wait.
    silent_since: Option<WallTime>,
    waiting: VecDeque<(Rows, Vec<i64>)>,
    waiting_bytes: usize,
}

impl Aligned {
    /// `bytes_max`: what waiting rows may take.
    pub fn new(join: Box<dyn Operator>, align: JoinAlign, schema: Arc<Schema>, bytes_max: usize) -> Aligned {
        Aligned {
            join,
            align,
            schema,
            bytes_max,
            right: None,
            silent_since: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }

    fn times(&self, cx: &EvalContext, side: usize, batch: &Batch) -> Result<Int64Array> {
        let expr = if side == LEFT { &self.align.left } else { &self.align.right };
        let numbers = cast(&eval(expr, cx, batch)?, &DataType::Int64).map_err(arrow_error)?;
        Ok(numbers.as_primitive::<Int64Type>().clone())
    }

    fn is_due(&self, time: i64) -> bool {
        self.right.is_some_and(|right| right >= time.saturating_sub(self.align.lag))
    }

    /// Lets the rows go whose time has come, and keeps the others.
    fn pass(&mut self, cx: &EvalContext, rows: Rows, times: Vec<i64>, out: &mut dyn Output) -> Result<()> {
        let (due, later): (Vec<u32>, Vec<u32>) =
            (0..rows.len() as u32).partition(|row| self.is_due(times[*row as usize]));
        if later.is_empty() {
            return self.join.on_msg(cx, LEFT, Msg::Rows(rows), out);
        }
        let part = |rows: &Rows, at: &[u32]| -> Result<Rows> {
            Ok(Rows { delta: take_delta(&rows.delta, &UInt32Array::from(at.to_vec()))?, lane: rows.lane })
        };
        let held = if due.is_empty() { rows.clone() } else { part(&rows, &later)? };
        let held_times = later.iter().map(|row| times[*row as usize]).collect();
        self.silent_since = self.silent_since.or(Some(cx.now));
        self.waiting_bytes += held.batch().bytes();
        self.waiting.push_back((held, held_times));
        check_kept(self.waiting_bytes, self.bytes_max)?;
        if due.is_empty() { Ok(()) } else { self.join.on_msg(cx, LEFT, Msg::Rows(part(&rows, &due)?), out) }
    }

    fn let_go(&mut self, cx: &EvalContext, all: bool, out: &mut dyn Output) -> Result<()> {
        self.waiting_bytes = 0;
        for (rows, times) in std::mem::take(&mut self.waiting) {
            match all {
                true => self.join.on_msg(cx, LEFT, Msg::Rows(rows), out)?,
                false => self.pass(cx, rows, times, out)?,
            }
        }
        if self.waiting.is_empty() {
            self.silent_since = None;
        }
        Ok(())
    }

    fn on_right(&mut self, cx: &EvalContext, rows: Rows, out: &mut dyn Output) -> Result<()> {
        let newest = arrow::compute::max(&self.times(cx, 1 - LEFT, rows.batch())?);
        self.join.on_msg(cx, 1 - LEFT, Msg::Rows(rows), out)?;
        self.silent_since = (!self.waiting.is_empty()).then_some(cx.now);
        if newest > self.right {
            self.right = newest;
            self.let_go(cx, false, out)?;
        }
        Ok(())
    }
}

impl Operator for Aligned {
    fn start(&mut self, now: WallTime) {
        self.join.start(now);
    }

    fn wake(&mut self, now: WallTime) {
        self.silent_since = self.silent_since.map(|_| now);
        self.join.wake(now);
    }

    fn on_msg(&mut self, cx: &EvalContext, side: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        match msg {
            Msg::Rows(rows) if rows.is_empty() => Ok(()),
            Msg::Rows(rows) if side != LEFT => self.on_right(cx, rows, out),
            Msg::Rows(rows) => {
                let times = self.times(cx, LEFT, rows.batch())?;
                // What has no time waits for none.
                let times = times.iter().map(|t| t.unwrap_or(i64::MIN)).collect();
                self.pass(cx, rows, times, out)
            }
            Msg::End => {
                // Nothing more comes that a row could wait for, or that could come after it.
                if side != LEFT {
                    self.right = Some(i64::MAX);
                }
                self.let_go(cx, true, out)?;
                self.join.on_msg(cx, side, Msg::End, out)
            }
            control => self.join.on_msg(cx, side, control, out),
        }
    }

    fn on_timer(&mut self, cx: &EvalContext, out: &mut dyn Output) -> Result<()> {
        if self.join.next_timer().is_some_and(|t| t <= cx.now) {
            self.join.on_timer(cx, out)?;
        }
        if self.silent_since.is_some_and(|t| t.plus_millis(self.align.quiesce_ms) <= cx.now) {
            self.let_go(cx, true, out)?;
        }
        Ok(())
    }

    fn next_timer(&self) -> Option<WallTime> {
        let silent = self.silent_since.map(|t| t.plus_millis(self.align.quiesce_ms));
        [silent, self.join.next_timer()].into_iter().flatten().min()
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        w.put_option(self.right);
        w.put_option(self.silent_since.map(|t| t.0));
        w.put_u64(self.waiting.len() as u64);
        for (rows, times) in &self.waiting {
            w.put_u64(u64::from(rows.lane));
            let times: arrow::array::ArrayRef = Arc::new(Int64Array::from(times.clone()));
            w.put_columns(&[times], rows.len())?;
            w.put_columns(&rows.batch().columns, rows.len())?;
        }
        w.put_nested(|w| self.join.snapshot(w))
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        self.right = r.option()?;
        self.silent_since = r.option()?.map(WallTime);
        for _ in 0..r.u64()? {
            let lane = u32::try_from(r.u64()?).unwrap_or(u32::MAX);
            let (times, _) = r.columns()?;
            let (columns, rows) = r.columns()?;
            let times = times.first().map(|t| t.as_primitive::<Int64Type>().values().to_vec()).unwrap_or_default();
            let delta = Delta { rows: Batch::new(Arc::clone(&self.schema), columns, rows), signs: None };
            let rows = Rows { delta, lane };
            self.waiting_bytes += rows.batch().bytes();
            self.waiting.push_back((rows, times));
        }
        self.join.restore(&mut r.nested()?)
    }

    fn bytes(&self) -> usize {
        self.waiting_bytes + self.join.bytes()
    }

    fn stats(&self) -> Stats {
        self.join.stats()
    }
}
