//! One aggregation on several operators: rows are dealt out by their keys and the answers put together again.
//!
//! In: messages. Out: the same answers as one operator would give, up to the order of groups within an answer. Promise: a
//! key is always with the same operator; an answer is complete before the next begins.

use crate::group::keys::hash_rows;
use crate::operator::expr::{concat_deltas, eval_all, take_delta};
use crate::operator::{Msg, Operator, Output, Rows, Stats};
use crate::state::{Share, StateReader, StateWriter, shard_of};
use arrow::array::UInt32Array;
use hydron_base::{Error, Result};
use hydron_func::EvalContext;
use hydron_plan::Expr;
use hydron_types::Delta;
use hydron_types::column::time_values;

/// Deals rows out by the hash of their keys.
#[derive(Clone)]
pub struct Router {
    pub keys: Vec<Expr>,
    pub shards: usize,
}

impl Router {
    /// One message for each shard. Every shard gets one, if need be with no rows: it must know that there was something.
    pub fn route(&self, cx: &EvalContext, msg: Msg) -> Result<Vec<Msg>> {
        let rows = match msg {
            Msg::Rows(rows) if self.shards > 1 => rows,
            other => return Ok(vec![other; self.shards]),
        };
        let mut hashes = Vec::new();
        hash_rows(&eval_all(&self.keys, cx, rows.batch())?, rows.len(), &mut hashes)?;
        let mut dealt: Vec<Vec<u32>> = vec![Vec::with_capacity(rows.len() / self.shards + 16); self.shards];
        for (row, hash) in hashes.iter().enumerate() {
            dealt[shard_of(*hash, self.shards)].push(row as u32);
        }
        dealt
            .into_iter()
            .map(|mine| {
                let delta = take_delta(&rows.delta, &UInt32Array::from(mine))?;
                Ok(Msg::Rows(Rows { delta, lane: rows.lane }))
            })
            .collect()
    }
}

/// Puts the answers of several operators to one message together.
#[derive(Clone, Debug)]
pub struct Merger {
    /// Where the answers have a window's start or end.
    pub window: Option<usize>,
}

impl Merger {
    /// `cause` is the message that was answered, `answers` what each shard pushed, shard by shard.
    pub fn merge(&self, cause: &Cause, answers: Vec<Vec<Msg>>) -> Result<Vec<Msg>> {
        let mut control = Vec::new();
        let mut parts: Vec<(i64, Delta)> = Vec::new();
        for (shard, msgs) in answers.into_iter().enumerate() {
            for msg in msgs {
                match msg {
                    Msg::Rows(Rows { delta, .. }) => parts.push((self.place(cause, &delta), delta)),
                    other if shard == 0 => control.push(other),
                    _ => {}
                }
            }
        }
        parts.sort_by_key(|(place, _)| *place);
        let mut merged = Vec::new();
        for same in parts.chunk_by(|a, b| a.0 == b.0) {
            let deltas: Vec<Delta> = same.iter().map(|(_, d)| d.clone()).collect();
            let delta = self.in_order_of_signs(self.in_window_order(concat_deltas(&deltas)?)?)?;
            merged.push(Msg::Rows(Rows { delta, lane: 0 }));
        }
        merged.extend(control);
        Ok(merged)
    }

    /// Answers of the same place are one answer: those of one closed window, or all.
    fn place(&self, cause: &Cause, delta: &Delta) -> i64 {
        match (self.window, cause) {
            (Some(column), Cause::Close) => time_values(delta.rows.column(column)).first().copied().unwrap_or(i64::MIN),
            _ => 0,
        }
    }

    /// All that is withdrawn before all that is added.
    fn in_order_of_signs(&self, delta: Delta) -> Result<Delta> {
        let Some(signs) = delta.signs.as_ref().filter(|s| !s.values().is_sorted()) else { return Ok(delta) };
        let signs = signs.values();
        let rows = || 0..signs.len() as u32;
        let withdrawn = rows().filter(|r| signs[*r as usize] < 0);
        let order: UInt32Array = withdrawn.chain(rows().filter(|r| signs[*r as usize] >= 0)).collect::<Vec<_>>().into();
        take_delta(&delta, &order)
    }

    /// A partial answer over several windows has them oldest first.
    fn in_window_order(&self, delta: Delta) -> Result<Delta> {
        let Some(column) = self.window else { return Ok(delta) };
        if time_values(delta.rows.column(column)).is_sorted() {
            return Ok(delta);
        }
        let ticks = time_values(delta.rows.column(column)).to_vec();
        let mut order: Vec<u32> = (0..ticks.len() as u32).collect();
        order.sort_by_key(|r| ticks[*r as usize]);
        take_delta(&delta, &UInt32Array::from(order))
    }
}

/// What kind of message is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Rows or a tick: one answer.
    Update,
    /// Something that closes windows: one answer for each.
    Close,
}

impl Cause {
    pub fn of(msg: &Msg) -> Cause {
        if matches!(msg, Msg::Rows(_) | Msg::Tick) { Cause::Update } else { Cause::Close }
    }
}

/// The operators of one aggregation: one, or several that share its keys.
pub struct Sharded {
    pub router: Router,
    pub merger: Merger,
    pub shards: Vec<Box<dyn Operator>>,
}

impl Sharded {
    /// Takes a message on all shards in turn.
    pub fn on_msg(&mut self, cx: &EvalContext, msg: Msg, out: &mut dyn Output) -> Result<()> {
        if let [only] = &mut self.shards[..] {
            return only.on_msg(cx, 0, msg, out);
        }
        let cause = Cause::of(&msg);
        let mut answers = Vec::with_capacity(self.shards.len());
        for (shard, msg) in self.shards.iter_mut().zip(self.router.route(cx, msg)?) {
            let mut pushed: Vec<Msg> = Vec::new();
            shard.on_msg(cx, 0, msg, &mut pushed)?;
            answers.push(pushed);
        }
        self.merger.merge(&cause, answers)?.into_iter().try_for_each(|m| out.push(m))
    }

    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|s| s.bytes()).sum()
    }

    pub fn stats(&self) -> Stats {
        self.shards.iter().fold(Stats::default(), |all, s| all.and(s.stats()))
    }

    pub fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        let parts = self.shards.iter().map(|s| snapshot_of(s.as_ref())).collect::<Result<Vec<_>>>()?;
        write_parts(&parts, w);
        Ok(())
    }

    /// Reads what any number of shards wrote: each takes its share of every part.
    pub fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        let of = self.shards.len();
        for _ in 0..r.u64()? {
            let part = r.bytes()?;
            for (index, shard) in self.shards.iter_mut().enumerate() {
                shard.restore(&mut StateReader::new(part, Share { index, of }))?;
            }
        }
        if r.is_empty() { Ok(()) } else { Err(Error::bug("a saved aggregation has more parts than it says")) }
    }
}

/// The state of one shard.
pub fn snapshot_of(op: &dyn Operator) -> Result<Vec<u8>> {
    let mut w = StateWriter::default();
    op.snapshot(&mut w)?;
    Ok(w.finish())
}

/// Writes the states of shards as `Sharded::restore` reads them.
pub fn write_parts(parts: &[Vec<u8>], w: &mut StateWriter) {
    w.put_u64(parts.len() as u64);
    parts.iter().for_each(|p| w.put_bytes(p));
}
