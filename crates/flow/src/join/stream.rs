//! Joins of two streams on equal keys.
//!
//! In: rows of both sides as they come. Out, by [`Mode`]: with both sides appended to, each new row beside all earlier rows of
//! the other side; a left row that has no match yet leaves a LEFT join at once and is not corrected later. With a changing
//! right side behind an appended left one, each left row beside what the right side holds at that moment. With two changing
//! sides, a changelog of the joined set: whatever either side does is told as rows added and withdrawn. What one batch
//! withdraws and puts in its place is told as such: a row of a LEFT join does not stand alone in between.

use super::held::Held;
use super::rows::{KeptRows, check_kept};
use super::spec::{JoinSpec, Keys, Matcher, NO_ROW, PAIRS_MAX, RightRows};
use crate::group::keys::{KeyTable, NO_GROUP};
use crate::operator::expr::{concat_columns, eval_all, sign_at, take};
use crate::operator::{Msg, Operator, Output, Rows};
use crate::state::{StateReader, StateWriter};
use arrow::array::{ArrayRef, Int8Array, UInt32Array};
use hydron_base::Result;
use hydron_base::world::WallTime;
use hydron_func::EvalContext;
use hydron_plan::Expr;
use hydron_types::physical::arrow_type;
use hydron_types::{Batch, Schema};
use std::sync::Arc;

/// What the two sides are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Both are appended to.
    Append,
    /// The left is appended to, the right changes: only left rows make output.
    Enrich,
    /// Both change.
    Changelog,
}

const LEFT: usize = 0;
const RIGHT: usize = 1;

pub struct StreamJoin {
    spec: Arc<JoinSpec>,
    mode: Mode,
    /// `join_max_buffered_bytes`.
    bytes_max: usize,
    /// Of both sides: a key has one number.
    keys: KeyTable,
    sides: [KeptRows; 2],
    ended: [bool; 2],
    backfilling: [bool; 2],
    /// Enrich: left messages while the right side's past comes in.
    held: Held,
    groups: Vec<u32>,
}

/// Output that is being put together: rows of the batch at hand beside rows of the other side.
#[derive(Default)]
struct Changes {
    own: Vec<u32>,
    other: Vec<u32>,
    signs: Vec<i8>,
}

impl Changes {
    fn push(&mut self, own: u32, other: u32, sign: i8) {
        self.own.push(own);
        self.other.push(other);
        self.signs.push(sign);
    }
}

/// Keys without a row on one side, in the order in which they lost it.
#[derive(Default)]
struct Lonely {
    keys: Vec<u32>,
    open: hashbrown::HashSet<u32>,
}

impl Lonely {
    fn add(&mut self, key: u32) {
        self.keys.push(key);
        self.open.insert(key);
    }

    /// Whether the key was among them; it is no more.
    fn take(&mut self, key: u32) -> bool {
        self.open.remove(&key)
    }
}

impl StreamJoin {
    pub fn new(spec: Arc<JoinSpec>, mode: Mode, bytes_max: usize) -> Result<StreamJoin> {
        let types = |s: &Schema| s.fields.iter().map(|f| arrow_type(&f.ty)).collect::<Vec<_>>();
        let sides = [
            KeptRows::new(types(&spec.left), spec.left_absent()?)?,
            KeptRows::new(types(&spec.right), spec.absent()?)?,
        ];
        Ok(StreamJoin {
            keys: KeyTable::new(&spec.key_types())?,
            spec,
            mode,
            bytes_max,
            sides,
            ended: [false; 2],
            backfilling: [false; 2],
            held: Held::default(),
            groups: Vec::new(),
        })
    }

    fn key_exprs(&self, side: usize) -> Vec<Expr> {
        self.spec.on.iter().map(|(l, r)| if side == LEFT { l.clone() } else { r.clone() }).collect()
    }

    /// The numbers of the keys of `rows`, [`NO_GROUP`] where a key can match nothing.
    fn assign_keys(&mut self, cx: &EvalContext, side: usize, batch: &Batch) -> Result<Vec<u32>> {
        let keys = Keys::new(eval_all(&self.key_exprs(side), cx, batch)?);
        self.keys.assign(&keys.columns, batch.rows(), &mut self.groups)?;
        if !keys.all_can_match() {
            let groups = self.groups.iter_mut().enumerate();
            groups.filter(|(row, _)| !keys.can_match(*row)).for_each(|(_, g)| *g = NO_GROUP);
        }
        Ok(self.groups.clone())
    }

    /// Enrich: a left row beside what is on the right now.
    fn enrich(&mut self, cx: &EvalContext, rows: &Rows, out: &mut dyn Output) -> Result<()> {
        let keys = self.spec.left_keys(cx, rows.batch())?;
        self.keys.find(&keys.columns, rows.len(), &mut self.groups)?;
        let (right, groups) = (&self.sides[RIGHT], &self.groups);
        let matcher = Matcher { spec: &self.spec, cx, left: &rows.delta, right };
        matcher.run(
            |row, pairs| {
                if keys.can_match(row) {
                    right.for_each(groups[row], |r| pairs.push(row as u32, r));
                }
            },
            |delta| out.push(Msg::Rows(Rows { delta, lane: rows.lane })),
        )
    }

    /// Takes rows of one side into its set and tells what that changes.
    fn change(&mut self, cx: &EvalContext, side: usize, rows: &Rows, out: &mut dyn Output) -> Result<()> {
        let batch = rows.batch();
        let groups = self.assign_keys(cx, side, batch)?;
        let numbers = self.sides[side].assign(&batch.columns, batch.rows())?;
        let tells = self.mode != Mode::Enrich;
        let mut changes = Changes::default();
        let mut lonely = Lonely::default();
        for row in 0..batch.rows() {
            let sign = sign_at(&rows.delta, row);
            let (key, number) = (groups[row], numbers[row]);
            if key == NO_GROUP {
                // Matches nothing, ever: a left row of a LEFT join still has to leave.
                if tells && self.stays(side) {
                    changes.push(row as u32, NO_ROW, sign);
                }
                continue;
            }
            let had = self.sides[side].copies(key);
            if sign > 0 {
                self.sides[side].add(number, key);
            } else if !self.sides[side].withdraw(number) {
                continue;
            }
            if tells {
                let has = self.sides[side].copies(key);
                self.tell(side, row as u32, key, sign, (had, has), &mut lonely, &mut changes);
            }
            if changes.own.len() >= PAIRS_MAX {
                self.send(side, batch, std::mem::take(&mut changes), out)?;
            }
        }
        for key in lonely.keys.iter().filter(|k| lonely.open.remove(*k)) {
            self.sides[1 - side].for_each(*key, |r| changes.push(NO_ROW, r, 1));
        }
        self.send(side, batch, changes, out)?;
        self.check_room(side, cx)
    }

    /// Whether rows of `side` leave without a match too.
    fn stays(&self, side: usize) -> bool {
        if side == LEFT { self.spec.outer } else { self.spec.right_outer }
    }

    /// What a row of `side` does to the joined set. `copies`: rows of its key on its side before and after. `lonely`: keys of
    /// which the other side's rows have lost their matches in this batch, which nobody was told yet.
    fn tell(
        &self,
        side: usize,
        row: u32,
        key: u32,
        sign: i8,
        copies: (u64, u64),
        lonely: &mut Lonely,
        changes: &mut Changes,
    ) {
        let other = &self.sides[1 - side];
        let corrects = self.stays(1 - side) && self.mode == Mode::Changelog;
        if self.stays(side) && other.copies(key) == 0 {
            changes.push(row, NO_ROW, sign);
        } else if corrects && copies.0 == 0 && !lonely.take(key) {
            // Rows that stood alone do no more.
            other.for_each(key, |r| changes.push(NO_ROW, r, -1));
            other.for_each(key, |r| changes.push(row, r, 1));
        } else {
            other.for_each(key, |r| changes.push(row, r, sign));
            if corrects && copies.1 == 0 {
                lonely.add(key);
            }
        }
    }

    fn send(&self, side: usize, batch: &Batch, changes: Changes, out: &mut dyn Output) -> Result<()> {
        let rows = changes.own.len();
        if rows == 0 {
            return Ok(());
        }
        let other = self.sides[1 - side].gather(&changes.other)?;
        let own = if changes.own.contains(&NO_ROW) {
            let absent = if side == LEFT { self.spec.left_absent()? } else { self.spec.absent()? };
            let at = batch.rows() as u32;
            let indices = UInt32Array::from_iter_values(changes.own.iter().map(|r| (*r).min(at)));
            let with = batch.columns.iter().zip(&absent);
            with.map(|(c, a)| take(&concat_columns(&[c, a])?, &indices)).collect::<Result<Vec<_>>>()?
        } else {
            let indices = UInt32Array::from(changes.own);
            batch.columns.iter().map(|c| take(c, &indices)).collect::<Result<Vec<_>>>()?
        };
        let (left, right) = if side == LEFT { (own, other) } else { (other, own) };
        let signs = (self.mode == Mode::Changelog).then(|| Int8Array::from(changes.signs));
        let delta = self.spec.output(left, right, rows, signs);
        out.push(Msg::Rows(Rows { delta, lane: 0 }))
    }

    fn check_room(&mut self, side: usize, cx: &EvalContext) -> Result<()> {
        if self.sides[side].is_mostly_dead() {
            self.compact(cx)?;
        }
        check_kept(self.bytes(), self.bytes_max)
    }

    /// Forgets withdrawn rows, and keys that no row has any more.
    fn compact(&mut self, cx: &EvalContext) -> Result<()> {
        let living = [self.sides[LEFT].living()?, self.sides[RIGHT].living()?];
        self.keys = KeyTable::new(&self.spec.key_types())?;
        for (side, (columns, copies)) in living.into_iter().enumerate() {
            self.sides[side] = self.sides[side].emptied()?;
            self.keep(cx, side, columns, &copies)?;
        }
        Ok(())
    }

    /// Adds rows to a side without telling anyone.
    fn keep(&mut self, cx: &EvalContext, side: usize, columns: Vec<ArrayRef>, copies: &[u32]) -> Result<()> {
        let schema = if side == LEFT { &self.spec.left } else { &self.spec.right };
        let batch = Batch::new(Arc::clone(schema), columns, copies.len());
        let groups = self.assign_keys(cx, side, &batch)?;
        let numbers = self.sides[side].assign(&batch.columns, batch.rows())?;
        for ((number, group), copies) in numbers.iter().zip(groups).zip(copies) {
            (0..*copies).for_each(|_| self.sides[side].add(*number, group));
        }
        Ok(())
    }

    fn on_rows(&mut self, cx: &EvalContext, side: usize, rows: &Rows, out: &mut dyn Output) -> Result<()> {
        match (self.mode, side) {
            _ if rows.is_empty() => Ok(()),
            (Mode::Enrich, LEFT) => self.enrich(cx, rows, out),
            _ => self.change(cx, side, rows, out),
        }
    }

    /// Enrich: the left side alone decides about the past and the end; the right side's past comes first.
    fn enriching(&mut self, cx: &EvalContext, side: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        if side == LEFT {
            if self.backfilling[RIGHT] {
                self.held.push(msg);
                return Ok(());
            }
            return match msg {
                Msg::Rows(rows) => self.on_rows(cx, LEFT, &rows, out),
                control => out.push(control),
            };
        }
        match msg {
            Msg::Rows(rows) => self.on_rows(cx, RIGHT, &rows, out),
            Msg::BackfillStart => {
                self.backfilling[RIGHT] = true;
                Ok(())
            }
            Msg::BackfillEnd | Msg::End if std::mem::take(&mut self.backfilling[RIGHT]) => {
                let held = self.held.take();
                held.into_iter().try_for_each(|msg| self.enriching(cx, LEFT, msg, out))
            }
            _ => Ok(()),
        }
    }
}

impl Operator for StreamJoin {
    fn on_msg(&mut self, cx: &EvalContext, side: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        if self.mode == Mode::Enrich {
            return self.enriching(cx, side, msg, out);
        }
        match msg {
            Msg::Rows(rows) => self.on_rows(cx, side, &rows, out),
            Msg::BackfillStart => {
                let first = !self.backfilling.contains(&true);
                self.backfilling[side] = true;
                if first { out.push(Msg::BackfillStart) } else { Ok(()) }
            }
            Msg::BackfillEnd => {
                let was = std::mem::take(&mut self.backfilling[side]);
                if was && !self.backfilling.contains(&true) { out.push(Msg::BackfillEnd) } else { Ok(()) }
            }
            Msg::End => {
                if std::mem::take(&mut self.backfilling[side]) && !self.backfilling.contains(&true) {
                    out.push(Msg::BackfillEnd)?;
                }
                let already = std::mem::replace(&mut self.ended[side], true);
                if !already && self.ended == [true, true] { out.push(Msg::End) } else { Ok(()) }
            }
            Msg::Barrier(_) if side == RIGHT => Ok(()),
            Msg::Barrier(epoch) => out.push(Msg::Barrier(epoch)),
            Msg::Watermark(_) | Msg::Tick | Msg::Timeout => Ok(()),
        }
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        self.ended.iter().chain(&self.backfilling).for_each(|b| w.put_bool(*b));
        self.sides.iter().try_for_each(|s| s.save(w))?;
        self.held.save(w)
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        for flag in self.ended.iter_mut().chain(&mut self.backfilling) {
            *flag |= r.bool()?;
        }
        let cx = EvalContext::at(WallTime(0));
        for side in [LEFT, RIGHT] {
            let (columns, copies) = KeptRows::load(r)?;
            self.keep(&cx, side, columns, &copies)?;
        }
        self.held.load(&self.spec.left, r)
    }

    fn bytes(&self) -> usize {
        self.keys.bytes() + self.sides.iter().map(KeptRows::bytes).sum::<usize>() + self.held.bytes()
    }
}
