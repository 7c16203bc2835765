//! Substreams: the same operators once for each key, each with a watermark, windows and versions of its own.
//!
//! In: rows. Out: the answers of the substreams that the rows touched, in the order the substreams were first seen.
//! Promise: rows of one key never change the answers of another. Keys are never forgotten; the query's memory limit bounds
//! them.

use crate::group::keys::KeyTable;
use crate::operator::expr::{eval_all, slice_delta, take_delta};
use crate::operator::{Msg, Operator, Output, Rows, Stats};
use crate::state::{StateReader, StateWriter};
use arrow::array::UInt32Array;
use hydron_base::Result;
use hydron_base::world::WallTime;
use hydron_func::EvalContext;
use hydron_plan::Expr;
use hydron_types::physical::arrow_type;
use std::collections::BTreeSet;

/// Makes the operators of one substream.
pub type Factory = Box<dyn Fn() -> Result<Chain> + Send>;

/// Operators that push to each other, as one.
pub struct Chain(pub Vec<Box<dyn Operator>>);

/// Pushes to the first of the remaining operators.
struct Next<'a> {
    cx: &'a EvalContext,
    rest: &'a mut [Box<dyn Operator>],
    out: &'a mut dyn Output,
}

impl Output for Next<'_> {
    fn push(&mut self, msg: Msg) -> Result<()> {
        match self.rest.split_first_mut() {
            None => self.out.push(msg),
            Some((op, rest)) => op.on_msg(self.cx, 0, msg, &mut Next { cx: self.cx, rest, out: self.out }),
        }
    }
}

impl Operator for Chain {
    fn start(&mut self, now: WallTime) {
        self.0.iter_mut().for_each(|op| op.start(now));
    }

    fn wake(&mut self, now: WallTime) {
        self.0.iter_mut().for_each(|op| op.wake(now));
    }

    fn on_msg(&mut self, cx: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        Next { cx, rest: &mut self.0, out }.push(msg)
    }

    fn on_timer(&mut self, cx: &EvalContext, out: &mut dyn Output) -> Result<()> {
        for at in 0..self.0.len() {
            let Some((op, rest)) = self.0[at..].split_first_mut() else { break };
            if op.next_timer().is_some_and(|t| t <= cx.now) {
                op.on_timer(cx, &mut Next { cx, rest, out })?;
            }
        }
        Ok(())
    }

    fn next_timer(&self) -> Option<WallTime> {
        self.0.iter().filter_map(|op| op.next_timer()).min()
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        self.0.iter().try_for_each(|op| w.put_nested(|w| op.snapshot(w)))
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        self.0.iter_mut().try_for_each(|op| op.restore(&mut r.nested()?))
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|op| op.bytes()).sum()
    }

    fn stats(&self) -> Stats {
        self.0.iter().fold(Stats::default(), |s, op| s.and(op.stats()))
    }
}

pub struct Substreams {
    keys: Vec<Expr>,
    table: KeyTable,
    factory: Factory,
    parts: Vec<Part>,
    /// Next timers of the parts that have one.
    timers: BTreeSet<(WallTime, u32)>,
    bytes: usize,
    /// Of all parts; without a watermark, since each part has its own.
    stats: Stats,
    started: WallTime,
    backfilling: bool,
    groups: Vec<u32>,
}

struct Part {
    chain: Chain,
    timer: Option<WallTime>,
    bytes: usize,
    rows_late: u64,
}

/// Passes answers on; control is sent once by the operator itself.
struct AnswersOnly<'a>(&'a mut dyn Output);

impl Output for AnswersOnly<'_> {
    fn push(&mut self, msg: Msg) -> Result<()> {
        if matches!(msg, Msg::Rows(_)) { self.0.push(msg) } else { Ok(()) }
    }
}

impl Substreams {
    pub fn new(keys: Vec<Expr>, factory: Factory) -> Result<Substreams> {
        let types: Vec<_> = keys.iter().map(|k| arrow_type(&k.ty)).collect();
        Ok(Substreams {
            keys,
            table: KeyTable::new(&types)?,
            factory,
            parts: Vec::new(),
            timers: BTreeSet::new(),
            bytes: 0,
            stats: Stats::default(),
            started: WallTime(0),
            backfilling: false,
            groups: Vec::new(),
        })
    }

    /// Makes the parts of keys that were just seen for the first time.
    fn grow(&mut self, cx: &EvalContext) -> Result<()> {
        while self.parts.len() < self.table.len() {
            let mut chain = (self.factory)()?;
            chain.start(cx.now);
            if self.backfilling {
                chain.on_msg(cx, 0, Msg::BackfillStart, &mut AnswersOnly(&mut Vec::new()))?;
            }
            self.parts.push(Part { chain, timer: None, bytes: 0, rows_late: 0 });
        }
        Ok(())
    }

    /// Brings what is remembered of a part up to date after it worked.
    fn settle(&mut self, at: usize) {
        let part = &mut self.parts[at];
        let (timer, bytes) = (part.chain.next_timer(), part.chain.bytes() + size_of::<Part>());
        self.bytes = self.bytes + bytes - part.bytes;
        part.bytes = bytes;
        let stats = part.chain.stats();
        self.stats.rows_late += stats.rows_late - part.rows_late;
        self.stats.event_time_us_max = self.stats.event_time_us_max.max(stats.event_time_us_max);
        part.rows_late = stats.rows_late;
        if timer != part.timer {
            part.timer.map(|t| self.timers.remove(&(t, at as u32)));
            timer.map(|t| self.timers.insert((t, at as u32)));
            part.timer = timer;
        }
    }

    fn on_rows(&mut self, cx: &EvalContext, rows: &Rows, out: &mut dyn Output) -> Result<()> {
        let keys = eval_all(&self.keys, cx, rows.batch())?;
        self.table.assign(&keys, rows.len(), &mut self.groups)?;
        self.grow(cx)?;
        // Rows in the order of their substreams, those of one in the order of arrival.
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        let sorted = self.groups.is_sorted();
        if !sorted {
            order.sort_by_key(|r| self.groups[*r as usize]);
        }
        let ordered =
            if sorted { rows.delta.clone() } else { take_delta(&rows.delta, &UInt32Array::from(order.clone()))? };
        let mut from = 0;
        while from < order.len() {
            let part = self.groups[order[from] as usize];
            let len = order[from..].iter().take_while(|r| self.groups[**r as usize] == part).count();
            let msg = Msg::Rows(Rows { delta: slice_delta(&ordered, from, len), lane: 0 });
            self.parts[part as usize].chain.on_msg(cx, 0, msg, &mut AnswersOnly(out))?;
            self.settle(part as usize);
            from += len;
        }
        Ok(())
    }

    fn tell_all(&mut self, cx: &EvalContext, msg: &Msg, out: &mut dyn Output) -> Result<()> {
        for at in 0..self.parts.len() {
            self.parts[at].chain.on_msg(cx, 0, msg.clone(), &mut AnswersOnly(out))?;
            self.settle(at);
        }
        Ok(())
    }
}

impl Operator for Substreams {
    fn start(&mut self, now: WallTime) {
        self.started = now;
        for at in 0..self.parts.len() {
            self.parts[at].chain.start(now);
            self.settle(at);
        }
    }

    fn wake(&mut self, now: WallTime) {
        for at in 0..self.parts.len() {
            self.parts[at].chain.wake(now);
            self.settle(at);
        }
    }

    fn on_msg(&mut self, cx: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        match msg {
            Msg::Rows(rows) if rows.is_empty() => Ok(()),
            Msg::Rows(rows) => self.on_rows(cx, &rows, out),
            Msg::Tick => self.tell_all(cx, &Msg::Tick, out),
            Msg::Watermark(_) | Msg::Timeout => Ok(()),
            control => {
                match control {
                    Msg::BackfillStart => self.backfilling = true,
                    Msg::BackfillEnd => self.backfilling = false,
                    _ => {}
                }
                self.tell_all(cx, &control, out)?;
                out.push(control)
            }
        }
    }

    fn on_timer(&mut self, cx: &EvalContext, out: &mut dyn Output) -> Result<()> {
        while let Some((due, at)) = self.timers.first().copied()
            && due <= cx.now
        {
            self.parts[at as usize].chain.on_timer(cx, &mut AnswersOnly(out))?;
            self.settle(at as usize);
            // A timer that does not move on would keep the host here forever.
            if self.timers.contains(&(due, at)) {
                break;
            }
        }
        Ok(())
    }

    fn next_timer(&self) -> Option<WallTime> {
        self.timers.first().map(|(t, _)| *t)
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        w.put_bool(self.backfilling);
        w.put_columns(&self.table.all_keys()?, self.table.len())?;
        self.parts.iter().try_for_each(|p| w.put_nested(|w| p.chain.snapshot(w)))
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        self.backfilling |= r.bool()?;
        let (keys, rows) = r.columns()?;
        let mut groups = Vec::new();
        self.table.assign(&keys, rows, &mut groups)?;
        self.grow(&EvalContext::at(self.started))?;
        for group in groups {
            self.parts[group as usize].chain.restore(&mut r.nested()?)?;
            self.settle(group as usize);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.bytes + self.table.bytes()
    }

    fn stats(&self) -> Stats {
        self.stats
    }
}
