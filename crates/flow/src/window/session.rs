//! Aggregation by sessions: windows that last while rows keep coming.
//!
//! In: insert-only rows in the order of arrival, watermarks, ticks, timeouts. Out: one batch for each closed session, in the
//! order they closed; partial answers as EMIT says, with the provisional end. Promise: one session is active at a time; a
//! row may end it and begin the next; a row outside any session is dropped.

use super::assign::event_times;
use super::layout::Layout;
use super::span::{Span, fixed_ticks, ticks_to_micros};
use super::stamper::TimeColumn;
use crate::group::{Evaluated, GroupSpec, Groups};
use crate::operator::{EventTime, Msg, Operator, Output, Rows, Stats};
use crate::state::{StateReader, StateWriter};
use arrow::array::{BooleanArray, UInt32Array};
use hydron_base::{Error, Result};
use hydron_func::EvalContext;
use hydron_plan::node::Interval;
use hydron_plan::{Expr, Trigger};
use hydron_types::Delta;
use hydron_types::time::{LocalTime, Zone, add_ticks};
use std::collections::VecDeque;
use std::sync::Arc;

/// When a session begins and ends.
#[derive(Clone)]
pub struct SessionRule {
    pub timeout: Interval,
    pub max_size: Interval,
    /// `None`: any row begins one.
    pub start: Option<Expr>,
    pub start_inclusive: bool,
    /// `None`: no row ends one.
    pub end: Option<Expr>,
    pub end_inclusive: bool,
}

pub struct SessionSpec {
    pub rule: SessionRule,
    pub time: TimeColumn,
    pub zone: Zone,
    pub groups: GroupSpec,
    pub filters: Vec<Expr>,
    pub layout: Layout,
    pub trigger: Trigger,
    /// A tick answers also when nothing came since the last one.
    pub repeats: bool,
    /// Closed sessions wait for the watermark: only with a delay.
    pub waits: bool,
    pub emit_during_backfill: bool,
}

pub struct SessionAggregate {
    spec: Arc<SessionSpec>,
    active: Option<Session>,
    /// Closed, and waiting for the watermark or for the answer to this batch.
    closed: VecDeque<Session>,
    mark: Option<i64>,
    pending: bool,
    backfilling: bool,
}

struct Session {
    /// Of the first included row; before there is one, of the row that opened.
    start: i64,
    /// One step of the time column after the newest included row, or where the session was closed.
    end: i64,
    timeout_at: i64,
    max_at: i64,
    has_rows: bool,
    groups: Groups,
    /// Rows came since the last partial answer.
    touched: bool,
}

impl SessionAggregate {
    pub fn new(spec: Arc<SessionSpec>) -> SessionAggregate {
        SessionAggregate { spec, active: None, closed: VecDeque::new(), mark: None, pending: false, backfilling: false }
    }

    fn later(&self, ticks: i64, by: Interval, local: &LocalTime) -> i64 {
        match fixed_ticks(by, self.spec.time.digits) {
            Some(fixed) => ticks.saturating_add(fixed),
            None => add_ticks(ticks, self.spec.time.digits, by.unit, by.count, local),
        }
    }

    fn absorb(&mut self, cx: &EvalContext, rows: &Rows) -> Result<()> {
        let (spec, batch) = (Arc::clone(&self.spec), rows.batch());
        if batch.rows() == 0 {
            return Ok(());
        }
        self.pending = true;
        let times = event_times(batch, &spec.time, cx.now);
        let mask = |e: &Option<Expr>| e.as_ref().map(|e| e.eval_filter(cx, batch)).transpose();
        let (starts, ends) = (mask(&spec.rule.start)?, mask(&spec.rule.end)?);
        let mut kept: Option<BooleanArray> = None;
        for filter in &spec.filters {
            let mask = filter.eval_filter(cx, batch)?;
            kept = Some(match kept {
                Some(k) => BooleanArray::new(k.values() & mask.values(), None),
                None => mask,
            });
        }
        let evaluated = spec.groups.evaluate(cx, &batch.columns, batch.rows(), None)?;
        let local = LocalTime::new(spec.zone);
        let mut included: Vec<u32> = Vec::new();
        for (row, ticks) in times.iter().copied().enumerate() {
            let is_end = ends.as_ref().is_some_and(|e| e.value(row));
            let is_start = starts.as_ref().is_none_or(|s| s.value(row));
            let counts = kept.as_ref().is_none_or(|k| k.value(row));
            self.advance(ticks, is_end, &mut included, row as u32, &evaluated, counts, &local)?;
            if self.active.is_none() && is_start {
                self.open(ticks, &local)?;
                if spec.rule.start_inclusive {
                    self.include(ticks, row as u32, counts, &mut included, &local);
                }
            }
        }
        self.flush(&mut included, &evaluated)
    }

    /// What a row does to the active session: it closes it, or is included.
    fn advance(
        &mut self,
        ticks: i64,
        is_end: bool,
        included: &mut Vec<u32>,
        row: u32,
        evaluated: &Evaluated,
        counts: bool,
        local: &LocalTime,
    ) -> Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        if ticks >= active.max_at {
            active.end = active.max_at;
        } else if ticks >= active.timeout_at {
            active.end = active.timeout_at;
        } else if is_end && !self.spec.rule.end_inclusive {
            active.end = active.end.max(ticks);
        } else {
            self.include(ticks, row, counts, included, local);
            if !is_end {
                return Ok(());
            }
        }
        self.flush(included, evaluated)?;
        self.close();
        Ok(())
    }

    fn open(&mut self, ticks: i64, local: &LocalTime) -> Result<()> {
        let rule = &self.spec.rule;
        self.active = Some(Session {
            start: ticks,
            end: ticks,
            timeout_at: self.later(ticks, rule.timeout, local),
            max_at: self.later(ticks, rule.max_size, local),
            has_rows: false,
            groups: Groups::new(&self.spec.groups)?,
            touched: false,
        });
        Ok(())
    }

    fn include(&mut self, ticks: i64, row: u32, counts: bool, included: &mut Vec<u32>, local: &LocalTime) {
        let timeout_at = self.later(ticks, self.spec.rule.timeout, local);
        let step = self.spec.time.step;
        let Some(active) = &mut self.active else { return };
        if !std::mem::replace(&mut active.has_rows, true) {
            active.start = ticks;
        }
        if ticks >= active.end {
            active.end = ticks.saturating_add(step);
            active.timeout_at = timeout_at;
        }
        if counts {
            included.push(row);
        }
    }

    /// Adds the rows that were included since the last time to the active session.
    fn flush(&mut self, included: &mut Vec<u32>, evaluated: &Evaluated) -> Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let (Some(first), Some(last)) = (included.first().copied(), included.last().copied()) else { return Ok(()) };
        let rows = if (last - first) as usize + 1 == included.len() {
            evaluated.slice(first as usize, included.len())
        } else {
            evaluated.take(&UInt32Array::from(included.clone()))?
        };
        included.clear();
        active.touched = true;
        active.groups.update(&rows).map(|_| ())
    }

    fn close(&mut self) {
        if let Some(session) = self.active.take()
            && !session.groups.is_empty()
        {
            self.closed.push_back(session);
        }
    }

    fn holds_back(&self) -> bool {
        self.backfilling && !self.spec.emit_during_backfill
    }

    fn answers_updates(&self) -> bool {
        matches!(self.spec.trigger, Trigger::OnUpdate | Trigger::PeriodicOnUpdate(_))
    }

    /// Answers the closed sessions whose time has come.
    fn emit_closed(&mut self, out: &mut dyn Output) -> Result<()> {
        if self.holds_back() {
            return Ok(());
        }
        while let Some(next) = self.closed.front() {
            if self.spec.waits && self.mark.is_none_or(|m| m < next.end) {
                break;
            }
            let Some(mut session) = self.closed.pop_front() else { break };
            // Whoever answers on update has told all but what came since the last answer.
            if !self.answers_updates() || session.touched {
                let delta = session.answer(&self.spec.layout)?;
                out.push(Msg::Rows(Rows { delta, lane: 0 }))?;
            }
        }
        Ok(())
    }

    fn partial(&mut self, out: &mut dyn Output) -> Result<()> {
        if !std::mem::replace(&mut self.pending, false) {
            return Ok(());
        }
        let only_touched = self.answers_updates();
        let mut parts = Vec::new();
        for session in self.closed.iter_mut().chain(self.active.as_mut()) {
            let touched = std::mem::take(&mut session.touched);
            if !session.groups.is_empty() && (touched || !only_touched) {
                parts.push(session.answer(&self.spec.layout)?);
            }
        }
        match self.spec.layout.together(parts)? {
            Some(delta) => out.push(Msg::Rows(Rows { delta, lane: 0 })),
            None => Ok(()),
        }
    }

    /// No row will come for what is open. Without `is_end` it is only known that none has come for a while: the session then
    /// ends with its newest row.
    fn close_all(&mut self, is_end: bool, out: &mut dyn Output) -> Result<()> {
        if let Some(active) = &mut self.active {
            if is_end {
                active.end = active.timeout_at.min(active.max_at);
            }
            self.close();
        }
        if let Some(last) = self.closed.back() {
            self.mark = self.mark.max(Some(last.end));
        }
        self.emit_closed(out)
    }
}

impl Session {
    fn answer(&mut self, layout: &Layout) -> Result<Delta> {
        let all = self.groups.all();
        layout.rows(Span { start: self.start, end: self.end }, &mut self.groups, &all)
    }

    fn save(&self, w: &mut StateWriter) -> Result<()> {
        [self.start, self.end, self.timeout_at, self.max_at].iter().for_each(|v| w.put_i64(*v));
        w.put_bool(self.has_rows);
        w.put_bool(self.touched);
        self.groups.save(&self.groups.all(), w)
    }

    fn load(spec: &GroupSpec, r: &mut StateReader) -> Result<Session> {
        let mut session = Session {
            start: r.i64()?,
            end: r.i64()?,
            timeout_at: r.i64()?,
            max_at: r.i64()?,
            has_rows: r.bool()?,
            touched: r.bool()?,
            groups: Groups::new(spec)?,
        };
        session.groups.load(r)?;
        Ok(session)
    }
}

impl Operator for SessionAggregate {
    fn on_msg(&mut self, cx: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        match msg {
            Msg::Rows(rows) => {
                self.absorb(cx, &rows)?;
                if !self.spec.waits {
                    self.emit_closed(out)?;
                }
                if self.spec.trigger == Trigger::OnUpdate && !self.holds_back() { self.partial(out) } else { Ok(()) }
            }
            Msg::Watermark(EventTime(mark)) => {
                self.mark = self.mark.max(Some(mark));
                self.emit_closed(out)
            }
            Msg::Tick if !self.holds_back() => {
                self.pending |= self.spec.repeats;
                self.partial(out)
            }
            Msg::Tick => Ok(()),
            Msg::Timeout => self.close_all(false, out),
            Msg::BackfillStart => {
                self.backfilling = true;
                out.push(Msg::BackfillStart)
            }
            Msg::BackfillEnd => {
                self.backfilling = false;
                self.emit_closed(out)?;
                if self.spec.trigger != Trigger::AfterWatermark {
                    self.partial(out)?;
                }
                out.push(Msg::BackfillEnd)
            }
            Msg::Barrier(epoch) => out.push(Msg::Barrier(epoch)),
            Msg::End => {
                self.backfilling = false;
                self.close_all(true, out)?;
                out.push(Msg::End)
            }
        }
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        w.put_option(self.mark);
        w.put_bool(self.pending);
        w.put_bool(self.backfilling);
        w.put_u64(self.closed.len() as u64);
        self.closed.iter().try_for_each(|s| s.save(w))?;
        w.put_bool(self.active.is_some());
        self.active.as_ref().map_or(Ok(()), |s| s.save(w))
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        if self.active.is_some() || !self.closed.is_empty() {
            return Err(Error::bug("sessions cannot be restored from several parts"));
        }
        self.mark = r.option()?;
        self.pending = r.bool()?;
        self.backfilling = r.bool()?;
        for _ in 0..r.u64()? {
            self.closed.push_back(Session::load(&self.spec.groups, r)?);
        }
        if r.bool()? {
            self.active = Some(Session::load(&self.spec.groups, r)?);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.closed.iter().chain(&self.active).map(|s| size_of::<Session>() + s.groups.bytes()).sum()
    }

    fn stats(&self) -> Stats {
        let micros = |t: i64| ticks_to_micros(t, self.spec.time.digits);
        Stats { rows_late: 0, watermark_us: self.mark.map(micros), event_time_us_max: None }
    }
}
