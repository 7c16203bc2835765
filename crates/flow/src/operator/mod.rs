//! Operators: what a query does to its rows, one step each, as pure state machines.
//!
//! In: messages on numbered inputs, and the time from the host. Out: messages pushed to the next operator by a direct call.
//! Promise: no clock, channel, disk or async inside; the same messages at the same times give the same answers.
//!
//! In reading order: this file (messages and the trait), [`expr`] (expressions over a batch), then one file per operator
//! that needs no groups; aggregation is in `group` and `window`.

pub mod array_join;
pub mod changelog;
pub mod dedup;
pub mod distinct;
pub mod expr;
pub mod filter;
pub mod lag;
pub mod limit;
pub mod project;
pub mod signs;
pub mod sort;
pub mod union;
pub mod version;

use crate::state::{StateReader, StateWriter};
use hydron_base::Result;
use hydron_base::world::WallTime;
use hydron_func::EvalContext;
use hydron_types::{Batch, Delta};

/// Event time in ticks of the time column that the query's windows are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventTime(pub i64);

/// Number of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// All that can travel one edge of a running query. Rows never overtake anything.
#[derive(Clone, Debug)]
pub enum Msg {
    Rows(Rows),
    /// Event time has come this far; a delay is already subtracted. Travels from a stamper to the aggregation behind it.
    Watermark(EventTime),
    /// A period of wall time is over: an aggregation with EMIT PERIODIC answers now.
    Tick,
    /// No row came for as long as EMIT ... TIMEOUT says: open windows close now.
    Timeout,
    /// Rows of the past follow, in no order.
    BackfillStart,
    /// The rows of the past are complete; from here on rows are new.
    BackfillEnd,
    /// State and answers up to here belong to this checkpoint.
    Barrier(Epoch),
    /// Nothing follows.
    End,
}

/// The lane of rows that were known before: they hold no watermark back and push none on.
pub const FREE_LANE: u32 = u32::MAX;

/// The lane of rows of the past of which nobody knows the shard: they say how far time has come in every lane that has no
/// rows of its own.
pub const PAST_LANE: u32 = u32::MAX - 1;

/// Rows and the shard of the source they came through.
#[derive(Clone, Debug)]
pub struct Rows {
    pub delta: Delta,
    /// Shards of all sources of a query are numbered through: each has a watermark of its own.
    pub lane: u32,
}

impl Rows {
    pub fn insert(batch: Batch) -> Rows {
        Rows { delta: Delta::insert(batch), lane: 0 }
    }

    pub fn len(&self) -> usize {
        self.delta.rows.rows()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn batch(&self) -> &Batch {
        &self.delta.rows
    }

    /// Other columns for the same rows.
    pub fn with_batch(&self, batch: Batch) -> Rows {
        debug_assert_eq!(batch.rows(), self.len());
        Rows { delta: Delta { rows: batch, signs: self.delta.signs.clone() }, lane: self.lane }
    }
}

/// Where an operator pushes its messages.
pub trait Output {
    fn push(&mut self, msg: Msg) -> Result<()>;
}

/// A vector collects.
impl Output for Vec<Msg> {
    fn push(&mut self, msg: Msg) -> Result<()> {
        Vec::push(self, msg);
        Ok(())
    }
}

/// What an operator knows about itself that a user may want to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows dropped because their window was closed.
    pub rows_late: u64,
    /// Event time that has come, in microseconds.
    pub watermark_us: Option<i64>,
    /// Newest event time seen, in microseconds.
    pub event_time_us_max: Option<i64>,
}

impl Stats {
    /// The sum of two operators: late rows add up, the lowest watermark holds, the newest event time is the newest.
    pub fn and(self, other: Stats) -> Stats {
        let lowest = match (self.watermark_us, other.watermark_us) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Stats {
            rows_late: self.rows_late + other.rows_late,
            watermark_us: lowest,
            event_time_us_max: self.event_time_us_max.max(other.event_time_us_max),
        }
    }
}

/// One step of a query.
pub trait Operator: Send {
    /// Called once, after `restore` and before the first message: wall-clock periods count from here, unless they were
    /// restored.
    fn start(&mut self, now: WallTime) {
        let _ = now;
    }

    /// What was restored goes on with new rows: wall time went on meanwhile, and periods count anew.
    fn wake(&mut self, now: WallTime) {
        let _ = now;
    }

    /// Takes one message. An operator pushes on every message it does not consume; after `End` on all inputs it pushes
    /// `End` once and is done.
    fn on_msg(&mut self, cx: &EvalContext, input: usize, msg: Msg, out: &mut dyn Output) -> Result<()>;

    /// Called when `cx.now` has reached `next_timer`.
    fn on_timer(&mut self, cx: &EvalContext, out: &mut dyn Output) -> Result<()> {
        let _ = (cx, out);
        Ok(())
    }

    /// When to be called next without a message.
    fn next_timer(&self) -> Option<WallTime> {
        None
    }

    /// Whether it remembers anything of the rows it has seen. What does not is left out of saved states, so that a query may
    /// have more or fewer of it when it goes on.
    fn keeps_state(&self) -> bool {
        true
    }

    /// Writes what a fresh operator of the same plan needs to continue.
    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        let _ = w;
        Ok(())
    }

    /// Adds what another operator of the same plan wrote. May be called for several parts, before the first message.
    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        let _ = r;
        Ok(())
    }

    /// Bytes of state, for the query's memory budget.
    fn bytes(&self) -> usize {
        0
    }

    fn stats(&self) -> Stats {
        Stats::default()
    }
}
