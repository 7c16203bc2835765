//! Aggregation without windows: one row for each group, answered as EMIT says.
//!
//! In: rows, added or withdrawn; ticks. Out: one batch for each answer; with EMIT CHANGELOG it has the old rows of the changed
//! groups and then the new ones, so that nobody answers between them. Promise: no row, no answer; state lives as long as the
//! query, or with `aggregate_state_ttl_sec` until no row came to a group for so long: it is then forgotten, and withdrawn from a
//! changelog.

use super::{GroupSpec, Groups};
use crate::operator::expr::{concat_deltas, slice_delta, take};
use crate::operator::{Msg, Operator, Output, Rows};
use crate::state::{Share, StateReader, StateWriter};
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int8Array, UInt32Array};
use hydron_base::Result;
use hydron_base::world::WallTime;
use hydron_func::EvalContext;
use hydron_plan::Trigger;
use hydron_types::{Batch, Delta, Schema};
use std::sync::Arc;

pub struct GlobalSpec {
    pub groups: GroupSpec,
    pub trigger: Trigger,
    /// EMIT CHANGELOG: answers end with `_tp_delta`.
    pub changelog: bool,
    /// A tick answers also when nothing came since the last one.
    pub repeats: bool,
    /// Rows may be withdrawn: a group of which nothing is left is withdrawn too.
    pub retracting: bool,
    /// Each batch is a whole new answer of the aggregation below: start from empty.
    pub restarts: bool,
    /// The aggregate decides when it answers: each answer is a row, at once.
    pub own_emit: bool,
    /// Answers also while the rows of the past come in.
    pub emit_during_backfill: bool,
    /// A group to which no row came for so long is forgotten. Milliseconds of wall time.
    pub ttl_ms: Option<i64>,
    /// Keys, aggregates, and `_tp_delta` where `changelog`.
    pub schema: Arc<Schema>,
}

pub struct Global {
    spec: Arc<GlobalSpec>,
    groups: Groups,
    /// Rows came since the last answer.
    pending: bool,
    backfilling: bool,
    marks: Vec<Mark>,
    /// Groups touched since the last answer, in order of their first touch.
    touched: Vec<u32>,
    /// Rows that the next changelog answer withdraws.
    old: Vec<Delta>,
    /// With a TTL, when groups are looked at next.
    next_look: Option<WallTime>,
}

/// What is known of a group beside its aggregates.
#[derive(Clone, Copy, Default)]
struct Mark {
    /// Rows in it. Only counted where rows can vanish.
    live: i64,
    touched: bool,
    /// Its last answer is with the client; in a changelog it must be withdrawn before a new one.
    answered: bool,
    /// With a TTL: when its last row came, in microseconds.
    seen: i64,
}

impl Global {
    pub fn new(spec: Arc<GlobalSpec>) -> Result<Global> {
        let groups = Groups::new(&spec.groups)?;
        Ok(Global {
            spec,
            groups,
            pending: false,
            backfilling: false,
            marks: vec![],
            touched: vec![],
            old: vec![],
            next_look: None,
        })
    }

    fn tracks_touched(&self) -> bool {
        let by_trigger =
            matches!(self.spec.trigger, Trigger::OnUpdate | Trigger::PerEvent | Trigger::PeriodicOnUpdate(_));
        !self.spec.own_emit && (self.spec.changelog || by_trigger)
    }

    fn tracks_live(&self) -> bool {
        self.spec.retracting || self.spec.restarts
    }

    /// Whether a group has something to say. One without keys always has; one of which nothing is left goes on to
    /// say so where it once said something, while a changelog withdraws it.
    fn is_live(&self, group: u32) -> bool {
        !self.tracks_live()
            || (self.marks[group as usize].answered && !self.spec.restarts && !self.spec.changelog)
            || self.marks[group as usize].live > 0
            || (self.spec.groups.keys.is_empty() && !self.spec.restarts)
    }

    fn absorb(&mut self, cx: &EvalContext, rows: &Rows) -> Result<()> {
        if self.spec.restarts {
            self.restart()?;
        }
        // Also a batch of no rows counts as news: the aggregation below may have nothing left, and of several parallel
        // operators each must answer when one has rows.
        self.pending = true;
        if rows.is_empty() {
            return Ok(());
        }
        let batch = rows.batch();
        let evaluated = self.spec.groups.evaluate(cx, &batch.columns, batch.rows(), rows.delta.signs.as_ref())?;
        self.groups.assign(&evaluated)?;
        if self.spec.ttl_ms.is_some() {
            self.marks.resize(self.groups.len(), Mark::default());
            for group in self.groups.assigned() {
                self.marks[*group as usize].seen = cx.now.0;
            }
        }
        if self.tracks_touched() || self.tracks_live() {
            self.marks.resize(self.groups.len(), Mark::default());
            self.touch_assigned()?;
        }
        if self.tracks_live() {
            for (row, group) in self.groups.assigned().iter().enumerate() {
                self.marks[*group as usize].live += evaluated.sign(row);
            }
        }
        self.groups.apply(&evaluated)
    }

    /// Marks the groups of the batch that was just assigned, keeping what the client knows of them before it changes.
    fn touch_assigned(&mut self) -> Result<()> {
        if !self.tracks_touched() {
            return Ok(());
        }
        let from = self.touched.len();
        for group in self.groups.assigned() {
            let mark = &mut self.marks[*group as usize];
            if !mark.touched {
                mark.touched = true;
                self.touched.push(*group);
            }
        }
        let fresh: Vec<u32> = self.touched[from..].to_vec();
        self.keep_old(&fresh)
    }

    /// Remembers the answers of `groups` that the client has, for withdrawal.
    fn keep_old(&mut self, groups: &[u32]) -> Result<()> {
        let known: Vec<u32> = groups.iter().copied().filter(|g| self.marks[*g as usize].answered).collect();
        if self.spec.changelog && !known.is_empty() {
            let old = self.answer(&known, -1)?;
            self.old.push(old);
        }
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        let all = self.groups.all();
        if self.spec.changelog {
            let fresh: Vec<u32> = all.iter().copied().filter(|g| !self.marks[*g as usize].touched).collect();
            fresh.iter().for_each(|g| self.marks[*g as usize].touched = true);
            self.touched.extend(&fresh);
            self.keep_old(&fresh)?;
        }
        self.groups.clear(&all);
        self.marks.iter_mut().for_each(|m| m.live = 0);
        Ok(())
    }

    fn answer(&mut self, groups: &[u32], sign: i8) -> Result<Delta> {
        let mut columns = self.groups.keys(groups)?;
        columns.extend(self.groups.answers(groups)?);
        let mut signs = None;
        if self.spec.changelog {
            let column = Int8Array::from_value(sign, groups.len());
            columns.push(Arc::new(column.clone()));
            signs = Some(column);
        }
        Ok(Delta { rows: Batch::new(Arc::clone(&self.spec.schema), columns, groups.len()), signs })
    }

    /// What an aggregate with its own emit has to say.
    fn emit_own(&mut self, out: &mut dyn Output) -> Result<()> {
        let Some((groups, values)) = self.groups.take_answers()? else { return Ok(()) };
        let mut columns = self.groups.keys(&groups)?;
        columns.push(values);
        let rows = Batch::new(Arc::clone(&self.spec.schema), columns, groups.len());
        out.push(Msg::Rows(Rows { delta: Delta { rows, signs: None }, lane: 0 }))
    }

    fn emit(&mut self, out: &mut dyn Output) -> Result<()> {
        if !std::mem::replace(&mut self.pending, false) {
            return Ok(());
        }
        let touched = std::mem::take(&mut self.touched);
        touched.iter().for_each(|g| self.marks[*g as usize].touched = false);
        let mut changes = std::mem::take(&mut self.old);
        let candidates = if self.tracks_touched() { touched } else { self.groups.all() };
        let groups: Vec<u32> = candidates.iter().copied().filter(|g| self.is_live(*g)).collect();
        if self.spec.changelog {
            candidates.iter().for_each(|g| self.marks[*g as usize].answered = false);
        }
        if self.spec.changelog || self.spec.retracting {
            groups.iter().for_each(|g| self.marks[*g as usize].answered = true);
        }
        if !groups.is_empty() {
            changes.push(self.answer(&groups, 1)?);
        }
        match changes.len() {
            0 => Ok(()),
            1 => changes.into_iter().try_for_each(|delta| out.push(Msg::Rows(Rows { delta, lane: 0 }))),
            _ => out.push(Msg::Rows(Rows { delta: concat_deltas(&changes)?, lane: 0 })),
        }
    }

    /// Forgets groups to which no row came for long. Looks at them eight times in a TTL.
    fn forget(&mut self, cx: &EvalContext, out: &mut dyn Output) -> Result<()> {
        let Some(ttl) = self.spec.ttl_ms.filter(|_| !self.backfilling && !self.spec.groups.keys.is_empty()) else {
            return Ok(());
        };
        if self.next_look.is_some_and(|t| t > cx.now) {
            return Ok(());
        }
        self.next_look = Some(cx.now.plus_millis((ttl / 8).max(1)));
        let oldest = cx.now.0.saturating_sub(ttl.saturating_mul(1_000));
        self.marks.resize(self.groups.len(), Mark::default());
        // What still has something to say stays until it has.
        let stays = |m: &Mark| m.touched || m.seen > oldest;
        let (living, gone): (Vec<u32>, Vec<u32>) =
            self.groups.all().into_iter().partition(|g| stays(&self.marks[*g as usize]));
        if gone.is_empty() {
            return Ok(());
        }
        let told: Vec<u32> = gone.into_iter().filter(|g| self.marks[*g as usize].answered).collect();
        if self.spec.changelog && !told.is_empty() {
            let delta = self.answer(&told, -1)?;
            out.push(Msg::Rows(Rows { delta, lane: 0 }))?;
        }
        let mut w = StateWriter::default();
        self.groups.save(&living, &mut w)?;
        let state = w.finish();
        let mut fresh = Groups::new(&self.spec.groups)?;
        let numbers = fresh.load(&mut StateReader::new(&state, Share::ALL))?;
        let mut marks = vec![Mark::default(); fresh.len()];
        let mut number_of = hashbrown::HashMap::new();
        for (old, new) in living.iter().zip(numbers) {
            if let Some(new) = new {
                marks[new as usize] = self.marks[*old as usize];
                number_of.insert(*old, new);
            }
        }
        self.touched = self.touched.iter().filter_map(|g| number_of.get(g).copied()).collect();
        (self.groups, self.marks) = (fresh, marks);
        Ok(())
    }

    /// Whether answers wait for the end of the past.
    fn holds_back(&self) -> bool {
        self.backfilling && !self.spec.emit_during_backfill
    }
}

impl Operator for Global {
    fn wake(&mut self, now: WallTime) {
        // Wall time went on while a restored query was down: silence counts anew from here.
        self.marks.iter_mut().for_each(|m| m.seen = now.0);
    }

    fn on_msg(&mut self, cx: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        if matches!(msg, Msg::Rows(_) | Msg::Tick) {
            self.forget(cx, out)?;
        }
        match msg {
            Msg::Rows(rows) if self.spec.own_emit => {
                self.absorb(cx, &rows)?;
                self.emit_own(out)
            }
            Msg::Tick if self.spec.own_emit => Ok(()),
            Msg::BackfillEnd | Msg::End if self.spec.own_emit => out.push(msg),
            Msg::Rows(rows) if self.spec.trigger == Trigger::PerEvent && !self.holds_back() => {
                for row in 0..rows.len() {
                    self.absorb(cx, &Rows { delta: slice_delta(&rows.delta, row, 1), lane: rows.lane })?;
                    self.emit(out)?;
                }
                Ok(())
            }
            Msg::Rows(rows) => {
                self.absorb(cx, &rows)?;
                let at_once = matches!(self.spec.trigger, Trigger::OnUpdate | Trigger::AfterWatermark);
                if at_once && !self.holds_back() { self.emit(out) } else { Ok(()) }
            }
            Msg::Tick if !self.holds_back() => {
                self.pending |= self.spec.repeats && !self.groups.is_empty();
                self.emit(out)
            }
            Msg::Tick | Msg::Watermark(_) | Msg::Timeout => Ok(()),
            Msg::BackfillStart => {
                self.backfilling = true;
                out.push(Msg::BackfillStart)
            }
            Msg::BackfillEnd => {
                self.backfilling = false;
                self.emit(out)?;
                out.push(Msg::BackfillEnd)
            }
            Msg::Barrier(epoch) => out.push(Msg::Barrier(epoch)),
            Msg::End => {
                self.emit(out)?;
                out.push(Msg::End)
            }
        }
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        w.put_bool(self.pending);
        w.put_bool(self.backfilling);
        let all = self.groups.all();
        self.groups.save(&all, w)?;
        let live: ArrayRef =
            Arc::new(arrow::array::Int64Array::from_iter_values(all.iter().map(|g| self.mark(*g).live)));
        let touched: ArrayRef = Arc::new(BooleanArray::from_iter(all.iter().map(|g| Some(self.mark(*g).touched))));
        let answered: ArrayRef = Arc::new(BooleanArray::from_iter(all.iter().map(|g| Some(self.mark(*g).answered))));
        let mut marks = vec![live, touched, answered];
        if self.spec.ttl_ms.is_some() {
            let seen = all.iter().map(|g| self.mark(*g).seen);
            marks.push(Arc::new(arrow::array::Int64Array::from_iter_values(seen)));
            w.put_columns(&marks, all.len())?;
            w.put_option(self.next_look.map(|t| t.0));
        } else {
            w.put_columns(&marks, all.len())?;
        }
        let old = if self.old.is_empty() { None } else { Some(concat_deltas(&self.old)?) };
        w.put_bool(old.is_some());
        old.map_or(Ok(()), |old| w.put_columns(&old.rows.columns, old.rows.rows()))
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        self.pending |= r.bool()?;
        self.backfilling |= r.bool()?;
        let numbers = self.groups.load(r)?;
        self.marks.resize(self.groups.len(), Mark::default());
        let (marks, _) = r.columns()?;
        let (live, touched, answered) =
            (marks[0].as_primitive::<arrow::datatypes::Int64Type>(), marks[1].as_boolean(), marks[2].as_boolean());
        let seen = marks.get(3).map(|m| m.as_primitive::<arrow::datatypes::Int64Type>());
        if self.spec.ttl_ms.is_some() {
            self.next_look = r.option()?.map(WallTime);
        }
        for (row, group) in numbers.iter().enumerate() {
            let Some(group) = *group else { continue };
            let mark = &mut self.marks[group as usize];
            mark.seen = mark.seen.max(seen.map_or(0, |s| s.value(row)));
            mark.live += live.value(row);
            mark.answered |= answered.value(row);
            if touched.value(row) && !mark.touched {
                mark.touched = true;
                self.touched.push(group);
            }
        }
        if r.bool()? {
            let (columns, rows) = r.columns()?;
            self.restore_old(columns, rows, r)?;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let old: usize = self.old.iter().map(|d| d.rows.bytes()).sum();
        self.groups.bytes() + self.marks.capacity() * size_of::<Mark>() + self.touched.capacity() * 4 + old
    }
}

impl Global {
    fn mark(&self, group: u32) -> Mark {
        self.marks.get(group as usize).copied().unwrap_or_default()
    }

    fn restore_old(&mut self, columns: Vec<ArrayRef>, rows: usize, r: &StateReader) -> Result<()> {
        let mut hashes = Vec::new();
        super::keys::hash_rows(&columns[..self.spec.groups.keys.len()], rows, &mut hashes)?;
        let mine: UInt32Array =
            (0..rows as u32).filter(|i| r.share().owns(hashes[*i as usize])).collect::<Vec<_>>().into();
        let columns = columns.iter().map(|c| take(c, &mine)).collect::<Result<Vec<_>>>()?;
        let signs = Int8Array::from_value(-1, mine.len());
        self.old
            .push(Delta { rows: Batch::new(Arc::clone(&self.spec.schema), columns, mine.len()), signs: Some(signs) });
        Ok(())
    }
}
