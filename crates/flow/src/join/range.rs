//! Joins of two appended streams on equal keys and a bounded difference of two times or numbers.
//!
//! In: rows of both sides as they come. Out: each pair of rows of one key whose difference `left - right` is within the bounds,
//! once, when the later of the two comes; of a LEFT join also each left row without a match beside default values, once it is
//! forgotten. Promise: rows that can match nothing more that comes in order are forgotten; one width of the bounds is kept
//! beyond that, for rows that come late.

use super::rows::{KeptRows, check_kept};
use super::spec::{JoinSpec, Keys, PAIRS_MAX, RightRows};
use crate::group::keys::{KeyTable, NO_GROUP};
use crate::operator::expr::{eval, take};
use crate::operator::{Msg, Operator, Output, Rows};
use crate::state::{StateReader, StateWriter};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use hydron_base::Result;
use hydron_base::world::WallTime;
use hydron_func::EvalContext;
use hydron_func::call::arrow_error;
use hydron_plan::node::JoinRange;
use hydron_types::physical::arrow_type;
use hydron_types::{Batch, Schema};
use std::collections::BTreeMap;
use std::sync::Arc;

const LEFT: usize = 0;

pub struct RangeJoin {
    spec: Arc<JoinSpec>,
    range: JoinRange,
    bytes_max: usize,
    keys: KeyTable,
    sides: [Side; 2],
    ended: [bool; 2],
    backfilling: [bool; 2],
    groups: Vec<u32>,
}

/// The rows of one side that may still match.
struct Side {
    rows: KeptRows,
    /// By row: what is compared.
    times: Vec<i64>,
    /// By row: it has left beside a row of the other side.
    matched: Vec<bool>,
    /// Rows by what is compared.
    in_order: BTreeMap<i64, Vec<u32>>,
    newest: Option<i64>,
}

impl Side {
    fn new(schema: &Schema) -> Result<Side> {
        let types = schema.fields.iter().map(|f| arrow_type(&f.ty)).collect();
        Ok(Side {
            rows: KeptRows::new(types, Vec::new())?,
            times: Vec::new(),
            matched: Vec::new(),
            in_order: BTreeMap::new(),
            newest: None,
        })
    }

    fn keep(&mut self, row: u32, key: u32, time: i64) {
        if self.times.len() <= row as usize {
            self.times.resize(row as usize + 1, 0);
            self.matched.resize(row as usize + 1, false);
        }
        self.times[row as usize] = time;
        self.rows.add(row, key);
        self.in_order.entry(time).or_default().push(row);
    }

    /// Forgets the rows below `limit`. Returns those that never matched, as often as they came.
    fn forget(&mut self, limit: i64) -> Vec<u32> {
        let kept = self.in_order.split_off(&limit);
        let mut alone = Vec::new();
        for row in std::mem::replace(&mut self.in_order, kept).into_values().flatten() {
            self.rows.withdraw(row);
            if !self.matched[row as usize] {
                alone.push(row);
            }
        }
        alone
    }

    /// Whether each living row has matched, in the order of `KeptRows::living`.
    fn living_matched(&self) -> Vec<bool> {
        self.rows.living_numbers().map(|row| self.matched.get(row as usize).copied().unwrap_or_default()).collect()
    }
}

impl RangeJoin {
    pub fn new(spec: Arc<JoinSpec>, range: JoinRange, bytes_max: usize) -> Result<RangeJoin> {
        let sides = [Side::new(&spec.left)?, Side::new(&spec.right)?];
        let keys = KeyTable::new(&spec.key_types())?;
        let (ended, backfilling) = ([false; 2], [false; 2]);
        Ok(RangeJoin { spec, range, bytes_max, keys, sides, ended, backfilling, groups: Vec::new() })
    }

    /// The numbers of the keys, [`NO_GROUP`] where a row can match nothing, and what is compared.
    fn assign(&mut self, cx: &EvalContext, side: usize, batch: &Batch) -> Result<(Vec<u32>, Vec<i64>)> {
        let (keys, time) = match side {
            LEFT => (self.spec.left_keys(cx, batch)?, &self.range.left),
            _ => (self.spec.right_keys(cx, batch)?, &self.range.right),
        };
        let numbers = cast(&eval(time, cx, batch)?, &DataType::Int64).map_err(arrow_error)?;
        let numbers = numbers.as_primitive::<Int64Type>();
        self.keys.assign(&keys.columns, batch.rows(), &mut self.groups)?;
        let groups = self.groups.iter().enumerate();
        let can_match = |row: usize, keys: &Keys| keys.can_match(row) && numbers.is_valid(row);
        let groups = groups.map(|(row, g)| if can_match(row, &keys) { *g } else { NO_GROUP }).collect();
        Ok((groups, numbers.values().to_vec()))
    }

    fn on_rows(&mut self, cx: &EvalContext, side: usize, rows: &Rows, out: &mut dyn Output) -> Result<()> {
        let batch = rows.batch();
        let (groups, times) = self.assign(cx, side, batch)?;
        let numbers = self.sides[side].rows.assign(&batch.columns, batch.rows())?;
        let (mut own, mut others) = (Vec::new(), Vec::new());
        // Rows that can match nothing, ever.
        let mut alone: Vec<u32> = Vec::new();
        for row in 0..batch.rows() {
            let (key, time) = (groups[row], times[row]);
            if key == NO_GROUP {
                alone.push(row as u32);
                continue;
            }
            let before = others.len();
            let other = &self.sides[1 - side];
            other.rows.for_each(key, |r| {
                let that = other.times[r as usize];
                let (left, right) = if side == LEFT { (time, that) } else { (that, time) };
                if self.range.contains(left.saturating_sub(right)) {
                    own.push(row as u32);
                    others.push(r);
                }
            });
            let found = &others[before..];
            let is_matched = !found.is_empty();
            found.iter().for_each(|r| self.sides[1 - side].matched[*r as usize] = true);
            let this = &mut self.sides[side];
            this.keep(numbers[row], key, time);
            this.matched[numbers[row] as usize] |= is_matched;
            this.newest = this.newest.max(Some(time));
            if own.len() >= PAIRS_MAX {
                self.send(side, batch, std::mem::take(&mut own), std::mem::take(&mut others), out)?;
            }
        }
        self.send(side, batch, own, others, out)?;
        if side == LEFT && !alone.is_empty() {
            let indices = UInt32Array::from(alone);
            let columns = batch.columns.iter().map(|c| take(c, &indices)).collect::<Result<Vec<_>>>()?;
            self.send_alone(columns, indices.len(), out)?;
        }
        self.forget(cx, out)?;
        check_kept(self.bytes(), self.bytes_max)
    }

    fn send(&self, side: usize, batch: &Batch, own: Vec<u32>, others: Vec<u32>, out: &mut dyn Output) -> Result<()> {
        let rows = own.len();
        if rows == 0 {
            return Ok(());
        }
        let other = self.sides[1 - side].rows.gather(&others)?;
        let indices = UInt32Array::from(own);
        let own = batch.columns.iter().map(|c| take(c, &indices)).collect::<Result<Vec<_>>>()?;
        let (left, right) = if side == LEFT { (own, other) } else { (other, own) };
        out.push(Msg::Rows(Rows { delta: self.spec.output(left, right, rows, None), lane: 0 }))
    }

    /// Left rows without a match, of a LEFT join.
    fn send_alone(&self, columns: Vec<ArrayRef>, rows: usize, out: &mut dyn Output) -> Result<()> {
        if !self.spec.outer || rows == 0 {
            return Ok(());
        }
        let first = UInt32Array::from_value(0, rows);
        let absent = self.spec.absent()?.iter().map(|a| take(a, &first)).collect::<Result<Vec<_>>>()?;
        out.push(Msg::Rows(Rows { delta: self.spec.output(columns, absent, rows, None), lane: 0 }))
    }

    fn forget_left(&mut self, limit: i64, out: &mut dyn Output) -> Result<()> {
        let alone = self.sides[LEFT].forget(limit);
        if alone.is_empty() || !self.spec.outer {
            return Ok(());
        }
        self.send_alone(self.sides[LEFT].rows.gather(&alone)?, alone.len(), out)
    }

    /// Forgets what neither side's next rows can match, as far as they come in order.
    fn forget(&mut self, cx: &EvalContext, out: &mut dyn Output) -> Result<()> {
        let [Some(left), Some(right)] = [self.sides[0].newest, self.sides[1].newest] else { return Ok(()) };
        // Not while the past comes in: its rows are in no order.
        if self.backfilling.contains(&true) {
            return Ok(());
        }
        let (come, width) = (left.min(right), self.range.high.saturating_sub(self.range.low));
        let slack = come.saturating_sub(width);
        // A later right row r matches left rows from r + low on; a later left row l matches right rows from l - high on.
        self.forget_left(slack.saturating_add(self.range.low), out)?;
        self.sides[1].forget(slack.saturating_sub(self.range.high));
        for side in 0..2 {
            if self.sides[side].rows.is_mostly_dead() {
                return self.compact(cx);
            }
        }
        Ok(())
    }

    fn compact(&mut self, cx: &EvalContext) -> Result<()> {
        let living = [self.sides[0].rows.living()?, self.sides[1].rows.living()?];
        let newest = [self.sides[0].newest, self.sides[1].newest];
        let matched = [self.sides[0].living_matched(), self.sides[1].living_matched()];
        self.keys = KeyTable::new(&self.spec.key_types())?;
        for (side, (columns, copies)) in living.into_iter().enumerate() {
            self.sides[side] = Side::new(if side == LEFT { &self.spec.left } else { &self.spec.right })?;
            self.keep(cx, side, columns, &copies, &matched[side])?;
            self.sides[side].newest = newest[side];
        }
        Ok(())
    }

    /// Adds rows to a side without telling anyone.
    fn keep(
        &mut self,
        cx: &EvalContext,
        side: usize,
        columns: Vec<ArrayRef>,
        copies: &[u32],
        matched: &[bool],
    ) -> Result<()> {
        let schema = if side == LEFT { &self.spec.left } else { &self.spec.right };
        let batch = Batch::new(Arc::clone(schema), columns, copies.len());
        let (groups, times) = self.assign(cx, side, &batch)?;
        let numbers = self.sides[side].rows.assign(&batch.columns, batch.rows())?;
        for (row, copies) in copies.iter().enumerate() {
            (0..*copies).for_each(|_| self.sides[side].keep(numbers[row], groups[row], times[row]));
            if let Some(place) = self.sides[side].matched.get_mut(numbers[row] as usize) {
                *place |= matched.get(row).copied().unwrap_or_default();
            }
        }
        Ok(())
    }
}

impl Operator for RangeJoin {
    fn on_msg(&mut self, cx: &EvalContext, side: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        match msg {
            Msg::Rows(rows) if rows.is_empty() => Ok(()),
            Msg::Rows(rows) => self.on_rows(cx, side, &rows, out),
            Msg::BackfillStart => {
                let first = !self.backfilling.contains(&true);
                self.backfilling[side] = true;
                if first { out.push(Msg::BackfillStart) } else { Ok(()) }
            }
            Msg::BackfillEnd | Msg::End => {
                let was = std::mem::take(&mut self.backfilling[side]);
                if was && !self.backfilling.contains(&true) {
                    out.push(Msg::BackfillEnd)?;
                }
                let already = self.ended == [true, true];
                self.ended[side] |= matches!(msg, Msg::End);
                if already || self.ended != [true, true] {
                    return Ok(());
                }
                self.forget_left(i64::MAX, out)?;
                out.push(Msg::End)
            }
            Msg::Barrier(_) if side != LEFT => Ok(()),
            Msg::Barrier(epoch) => out.push(Msg::Barrier(epoch)),
            Msg::Watermark(_) | Msg::Tick | Msg::Timeout => Ok(()),
        }
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        self.ended.iter().chain(&self.backfilling).for_each(|b| w.put_bool(*b));
        for side in &self.sides {
            w.put_option(side.newest);
            side.rows.save(w)?;
            let matched = side.living_matched();
            let rows = matched.len();
            w.put_columns(&[Arc::new(BooleanArray::from(matched))], rows)?;
        }
        Ok(())
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        for flag in self.ended.iter_mut().chain(&mut self.backfilling) {
            *flag |= r.bool()?;
        }
        let cx = EvalContext::at(WallTime(0));
        for side in 0..2 {
            let newest = r.option()?;
            let (columns, copies) = KeptRows::load(r)?;
            let (matched, _) = r.columns()?;
            let matched =
                matched.first().and_then(|m| m.as_boolean_opt()).map(|m| m.values().iter().collect::<Vec<_>>());
            self.keep(&cx, side, columns, &copies, &matched.unwrap_or_default())?;
            self.sides[side].newest = self.sides[side].newest.max(newest);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let side = |s: &Side| {
            // A row's place in the order is a number in a list beside its time.
            s.rows.bytes() + s.times.capacity() * (size_of::<i64>() + size_of::<bool>()) + s.in_order.len() * 48
        };
        self.keys.bytes() + self.sides.iter().map(side).sum::<usize>()
    }
}
