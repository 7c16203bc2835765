//! Aggregation of sessions: a group answers once, when it is over, and is forgotten (EMIT AFTER SESSION CLOSE).
//!
//! In: rows, added alone, and the wall clock. Out: for each batch of rows and each timer, the groups that it closed, in the order in
//! which they were opened. Promise: a row is in one session at most; a session that has closed takes no room.
//!
//! A session of a key begins with its first row, or the first for which the start condition holds. It closes with the row for which
//! the end condition holds, with the first row that makes its event times lie further apart than MAXSPAN, which it takes in, and when
//! no row came for TIMEOUT of wall time.

use super::{Evaluated, GroupSpec, Groups};
use crate::operator::expr::eval;
use crate::operator::{Msg, Operator, Output, Rows};
use crate::state::{Share, StateReader, StateWriter};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, UInt32Array};
use arrow::datatypes::Int64Type;
use hydron_base::Result;
use hydron_base::world::WallTime;
use hydron_func::EvalContext;
use hydron_plan::Expr;
use hydron_types::column::time_values;
use hydron_types::{Batch, Delta, Schema};
use std::collections::VecDeque;
use std::sync::Arc;

/// Below so many groups it is not worth to take the room of closed ones back.
const GROUPS_MIN: usize = 1_024;

pub struct ClosingSpec {
    pub groups: GroupSpec,
    /// Event time.
    pub time: Expr,
    pub start: Option<Expr>,
    pub end: Option<Expr>,
    /// Only sessions longer than `span_max` answer.
    pub only: bool,
    /// In ticks of `time`.
    pub span_max: Option<i64>,
    pub timeout_ms: Option<i64>,
    /// A row that starts a session goes into the one that is open, instead of ending it.
    pub merges: bool,
    /// The row that ends a session is in it.
    pub takes_end: bool,
    /// Keys and aggregates.
    pub schema: Arc<Schema>,
}

pub struct Closing {
    spec: Arc<ClosingSpec>,
    groups: Groups,
    marks: Vec<Mark>,
    /// Groups with the time at which a row came, oldest first; those whose mark has another time had rows since.
    seen: VecDeque<(WallTime, u32)>,
    open: usize,
    backfilling: bool,
}

/// What is known of a group beside its aggregates.
#[derive(Clone, Copy)]
struct Mark {
    state: State,
    first: i64,
    last: i64,
    seen: WallTime,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    None,
    Open,
    /// Its answer leaves before another row is looked at for it.
    Closing,
}

impl Mark {
    const NONE: Mark = Mark { state: State::None, first: i64::MAX, last: i64::MIN, seen: WallTime(0) };

    fn span(&self) -> i64 {
        self.last.saturating_sub(self.first)
    }
}

/// Rows that wait to be aggregated, and the groups that then answer.
#[derive(Default)]
struct Run {
    rows: Vec<u32>,
    closing: Vec<u32>,
}

impl Closing {
    pub fn new(spec: Arc<ClosingSpec>) -> Result<Closing> {
        let groups = Groups::new(&spec.groups)?;
        Ok(Closing { spec, groups, marks: vec![], seen: VecDeque::new(), open: 0, backfilling: false })
    }

    fn absorb(&mut self, cx: &EvalContext, rows: &Rows, out: &mut dyn Output) -> Result<()> {
        let batch = rows.batch();
        let spec = Arc::clone(&self.spec);
        let evaluated = spec.groups.evaluate(cx, &batch.columns, batch.rows(), None)?;
        let time = eval(&spec.time, cx, batch)?;
        let condition = |e: &Option<Expr>| e.as_ref().map(|e| e.eval_filter(cx, batch)).transpose();
        let (start, end) = (condition(&spec.start)?, condition(&spec.end)?);
        let holds = |c: &Option<BooleanArray>, row: usize| c.as_ref().map(|c| c.value(row));
        let groups = self.groups.assign(&evaluated)?.to_vec();
        self.marks.resize(self.groups.len(), Mark::NONE);
        let ticks = time_values(&time);
        let mut run = Run::default();
        for (row, group) in groups.iter().enumerate() {
            let at = *group as usize;
            if self.marks[at].state == State::Closing {
                self.answer(&evaluated, &mut run, out)?;
            }
            let (starts, ends) = (holds(&start, row), holds(&end, row) == Some(true));
            if self.marks[at].state == State::Open && starts == Some(true) && !spec.merges {
                self.close(*group, &mut run);
                self.answer(&evaluated, &mut run, out)?;
            }
            if self.marks[at].state == State::None {
                if starts == Some(false) {
                    continue;
                }
                self.marks[at] = Mark { state: State::Open, ..Mark::NONE };
                self.open += 1;
            }
            if !ends || spec.takes_end {
                run.rows.push(row as u32);
                let mark = &mut self.marks[at];
                if time.is_valid(row) {
                    (mark.first, mark.last) = (mark.first.min(ticks[row]), mark.last.max(ticks[row]));
                }
                if spec.timeout_ms.is_some() && mark.seen != cx.now {
                    self.seen.push_back((cx.now, *group));
                }
                mark.seen = cx.now;
            }
            if ends || self.is_long(at) {
                self.close(*group, &mut run);
            }
        }
        self.answer(&evaluated, &mut run, out)?;
        self.forget()
    }

    fn is_long(&self, at: usize) -> bool {
        self.spec.span_max.is_some_and(|max| self.marks[at].span() > max)
    }

    fn close(&mut self, group: u32, run: &mut Run) {
        self.marks[group as usize].state = State::Closing;
        self.open -= 1;
        run.closing.push(group);
    }

    /// Aggregates the rows of the run and lets the groups that it closed answer.
    fn answer(&mut self, evaluated: &Evaluated, run: &mut Run, out: &mut dyn Output) -> Result<()> {
        let Run { rows, closing } = std::mem::take(run);
        if !rows.is_empty() {
            self.groups.update(&evaluated.take(&UInt32Array::from(rows))?)?;
        }
        self.emit(&closing, out)
    }

    fn emit(&mut self, closing: &[u32], out: &mut dyn Output) -> Result<()> {
        let tells = |g: &u32| !self.spec.only || self.is_long(*g as usize);
        let told: Vec<u32> = closing.iter().copied().filter(tells).collect();
        if !told.is_empty() {
            let mut columns = self.groups.keys(&told)?;
            columns.extend(self.groups.answers(&told)?);
            let rows = Batch::new(Arc::clone(&self.spec.schema), columns, told.len());
            out.push(Msg::Rows(Rows { delta: Delta { rows, signs: None }, lane: 0 }))?;
        }
        self.groups.clear(closing);
        closing.iter().for_each(|g| self.marks[*g as usize] = Mark::NONE);
        Ok(())
    }

    fn open_groups(&self) -> Vec<u32> {
        let open = self.marks.iter().enumerate().filter(|(_, m)| m.state == State::Open);
        open.map(|(at, _)| at as u32).collect()
    }

    /// Takes the room of keys back that have no session, when they are the most.
    fn forget(&mut self) -> Result<()> {
        while self.seen.front().is_some_and(|s| !self.is_last(s)) {
            self.seen.pop_front();
        }
        if self.groups.len() < GROUPS_MIN || self.open * 2 > self.groups.len() {
            return Ok(());
        }
        let mut w = StateWriter::default();
        self.save(&mut w)?;
        let state = w.finish();
        let mut fresh = Closing::new(Arc::clone(&self.spec))?;
        fresh.load(&mut StateReader::new(&state, Share::ALL))?;
        fresh.backfilling = self.backfilling;
        *self = fresh;
        Ok(())
    }

    /// Whether no row of the group came after that.
    fn is_last(&self, (at, group): &(WallTime, u32)) -> bool {
        let mark = &self.marks[*group as usize];
        mark.state == State::Open && mark.seen == *at
    }

    fn timeout_at(&self) -> Option<WallTime> {
        let timeout = self.spec.timeout_ms.filter(|_| !self.backfilling)?;
        Some(self.seen.front()?.0.plus_millis(timeout))
    }

    /// From here on silence is counted anew.
    fn count_from(&mut self, now: WallTime) {
        let open = self.open_groups();
        open.iter().for_each(|g| self.marks[*g as usize].seen = now);
        self.seen = open.into_iter().filter(|_| self.spec.timeout_ms.is_some()).map(|g| (now, g)).collect();
    }

    /// The open groups, with what is known of them.
    fn save(&self, w: &mut StateWriter) -> Result<()> {
        let open = self.open_groups();
        self.groups.save(&open, w)?;
        let column = |of: fn(&Mark) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(open.iter().map(|g| of(&self.marks[*g as usize]))))
        };
        w.put_columns(&[column(|m| m.first), column(|m| m.last), column(|m| m.seen.0)], open.len())
    }

    fn load(&mut self, r: &mut StateReader) -> Result<()> {
        let numbers = self.groups.load(r)?;
        self.marks.resize(self.groups.len(), Mark::NONE);
        let (marks, _) = r.columns()?;
        let value = |column: usize, row: usize| marks[column].as_primitive::<Int64Type>().value(row);
        for (row, group) in numbers.iter().enumerate() {
            let Some(group) = *group else { continue };
            let mark = &mut self.marks[group as usize];
            self.open += usize::from(mark.state != State::Open);
            *mark = Mark {
                state: State::Open,
                first: mark.first.min(value(0, row)),
                last: mark.last.max(value(1, row)),
                seen: mark.seen.max(WallTime(value(2, row))),
            };
        }
        if self.spec.timeout_ms.is_some() {
            let mut seen: Vec<(WallTime, u32)> =
                self.open_groups().into_iter().map(|g| (self.marks[g as usize].seen, g)).collect();
            seen.sort();
            self.seen = seen.into();
        }
        Ok(())
    }
}

impl Operator for Closing {
    fn wake(&mut self, now: WallTime) {
        self.count_from(now);
    }

    fn on_msg(&mut self, cx: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        match msg {
            Msg::Rows(rows) if rows.is_empty() => Ok(()),
            Msg::Rows(rows) => self.absorb(cx, &rows, out),
            Msg::Tick | Msg::Watermark(_) | Msg::Timeout => Ok(()),
            Msg::BackfillStart => {
                self.backfilling = true;
                out.push(msg)
            }
            Msg::BackfillEnd => {
                self.backfilling = false;
                // The past was read at the pace of the disk.
                self.count_from(cx.now);
                out.push(msg)
            }
            Msg::Barrier(_) => out.push(msg),
            Msg::End => {
                let open = self.open_groups();
                let mut run = Run::default();
                open.into_iter().for_each(|g| self.close(g, &mut run));
                self.emit(&run.closing, out)?;
                out.push(msg)
            }
        }
    }

    fn on_timer(&mut self, cx: &EvalContext, out: &mut dyn Output) -> Result<()> {
        let mut run = Run::default();
        while self.timeout_at().is_some_and(|t| t <= cx.now) {
            let Some(seen) = self.seen.pop_front() else { break };
            if self.is_last(&seen) {
                self.close(seen.1, &mut run);
            }
        }
        self.emit(&run.closing, out)?;
        self.forget()
    }

    fn next_timer(&self) -> Option<WallTime> {
        self.timeout_at()
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        w.put_bool(self.backfilling);
        self.save(w)
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        self.backfilling |= r.bool()?;
        self.load(r)
    }

    fn bytes(&self) -> usize {
        self.groups.bytes()
            + self.marks.capacity() * size_of::<Mark>()
            + self.seen.capacity() * size_of::<(WallTime, u32)>()
    }
}
