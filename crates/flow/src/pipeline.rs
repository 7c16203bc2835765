//! A query as operators that push to each other, ready to be given messages.
//!
//! In: messages of the sources, the time. Out: answers. Promise: everything happens within the call that brings the
//! message; a snapshot between two messages is consistent, and fits another number of shards.

use crate::operator::{Msg, Operator, Output, Stats};
use crate::shard::Sharded;
use crate::state::{Share, StateReader, StateWriter};
use hydron_base::Result;
use hydron_base::world::WallTime;
use hydron_func::EvalContext;
use hydron_plan::{Change, Plan, Scan};
use hydron_types::Schema;
use std::sync::Arc;

/// A built query.
///
/// `head` takes the sources' messages; its answers go through `sharded`, if there is an aggregation that can be divided,
/// and then through `tail`.
pub struct Pipeline {
    pub sources: Vec<PipelineSource>,
    /// The order in which sources that get the same record had best hand it on.
    pub order: Vec<usize>,
    pub head: Graph,
    pub sharded: Option<Sharded>,
    pub tail: Graph,
    pub schema: Arc<Schema>,
    pub change: Change,
    /// EXPLAIN PIPELINE, from the answer down to the sources.
    pub text: String,
}

/// What feeds one input.
pub struct PipelineSource {
    pub kind: SourceKind,
    /// What the reader delivers. For a stream: one field for each of the scan's columns.
    pub schema: Arc<Schema>,
    /// Stage and input that take its messages; `None`: they leave the head as they are.
    pub entry: Port,
    /// Its past (all of it, where it ends by itself) comes before anything of the sources that do not lead.
    pub leads: bool,
}

#[derive(Clone, Debug)]
pub enum SourceKind {
    /// Rows of a stream, without end. May have one column more than the plan's scan: `_tp_delta`.
    Stream(Scan),
    /// A plan over rows known now: the caller runs it and feeds its answer.
    Bounded(Box<Plan>),
}

/// Where messages go: a stage and one of its inputs, or out.
pub type Port = Option<(usize, usize)>;

/// Operators in an order in which each pushes only to later ones.
#[derive(Default)]
pub struct Graph {
    pub stages: Vec<Stage>,
}

pub struct Stage {
    pub op: Box<dyn Operator>,
    pub next: Port,
}

/// Pushes into the stages from `base` on.
struct Onward<'a> {
    cx: &'a EvalContext,
    stages: &'a mut [Stage],
    base: usize,
    next: Port,
    out: &'a mut dyn Output,
}

impl Output for Onward<'_> {
    fn push(&mut self, msg: Msg) -> Result<()> {
        let Some((at, input)) = self.next else {
            return self.out.push(msg);
        };
        let Some((stage, rest)) = self.stages[at - self.base..].split_first_mut() else {
            return self.out.push(msg);
        };
        let mut onward = Onward { cx: self.cx, stages: rest, base: at + 1, next: stage.next, out: self.out };
        stage.op.on_msg(self.cx, input, msg, &mut onward)
    }
}

impl Graph {
    pub fn push(&mut self, cx: &EvalContext, entry: Port, msg: Msg, out: &mut dyn Output) -> Result<()> {
        Onward { cx, stages: &mut self.stages, base: 0, next: entry, out }.push(msg)
    }

    /// Where a graph that is one chain begins.
    pub fn first(&self) -> Port {
        (!self.stages.is_empty()).then_some((0, 0))
    }

    pub fn start(&mut self, now: WallTime) {
        self.stages.iter_mut().for_each(|s| s.op.start(now));
    }

    pub fn wake(&mut self, now: WallTime) {
        self.stages.iter_mut().for_each(|s| s.op.wake(now));
    }

    pub fn next_timer(&self) -> Option<WallTime> {
        self.stages.iter().filter_map(|s| s.op.next_timer()).min()
    }

    pub fn on_timer(&mut self, cx: &EvalContext, out: &mut dyn Output) -> Result<()> {
        for at in 0..self.stages.len() {
            let Some((stage, rest)) = self.stages[at..].split_first_mut() else { break };
            if stage.op.next_timer().is_some_and(|t| t <= cx.now) {
                stage.op.on_timer(cx, &mut Onward { cx, stages: rest, base: at + 1, next: stage.next, out })?;
            }
        }
        Ok(())
    }

    pub fn bytes(&self) -> usize {
        self.stages.iter().map(|s| s.op.bytes()).sum()
    }

    pub fn stats(&self) -> Stats {
        self.stages.iter().fold(Stats::default(), |all, s| all.and(s.op.stats()))
    }

    pub fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        let keeping = || self.stages.iter().filter(|s| s.op.keeps_state());
        w.put_u64(keeping().count() as u64);
        keeping().try_for_each(|s| w.put_nested(|w| s.op.snapshot(w)))
    }

    pub fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        let stages = r.u64()? as usize;
        let mut keeping: Vec<&mut Stage> = self.stages.iter_mut().filter(|s| s.op.keeps_state()).collect();
        if stages != keeping.len() {
            let message = format!("the saved state is of {stages} operators, this query has {}", keeping.len());
            return Err(hydron_base::Error::bad_arguments(message));
        }
        keeping.iter_mut().try_for_each(|s| s.op.restore(&mut r.nested()?))
    }
}

/// What leaves the head goes through the shards and the tail.
struct Behind<'a> {
    cx: &'a EvalContext,
    sharded: Option<&'a mut Sharded>,
    tail: &'a mut Graph,
    out: &'a mut dyn Output,
}

impl Output for Behind<'_> {
    fn push(&mut self, msg: Msg) -> Result<()> {
        let entry = self.tail.first();
        match &mut self.sharded {
            None => self.tail.push(self.cx, entry, msg, self.out),
            Some(sharded) => sharded.on_msg(
                self.cx,
                msg,
                &mut Onward { cx: self.cx, stages: &mut self.tail.stages, base: 0, next: entry, out: self.out },
            ),
        }
    }
}

impl Pipeline {
    /// Before the first new row.
    pub fn start(&mut self, now: WallTime) {
        self.start_replay(now);
        self.wake(now);
    }

    /// Before steps that were taken before and are taken again; `wake` ends them.
    pub fn start_replay(&mut self, now: WallTime) {
        self.head.start(now);
        if let Some(sharded) = &mut self.sharded {
            sharded.shards.iter_mut().for_each(|s| s.start(now));
        }
        self.tail.start(now);
    }

    pub fn wake(&mut self, now: WallTime) {
        self.head.wake(now);
        if let Some(sharded) = &mut self.sharded {
            sharded.shards.iter_mut().for_each(|s| s.wake(now));
        }
        self.tail.wake(now);
    }

    /// Takes one message of a source.
    pub fn push(&mut self, cx: &EvalContext, source: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        let entry = self.sources[source].entry;
        let mut behind = Behind { cx, sharded: self.sharded.as_mut(), tail: &mut self.tail, out };
        self.head.push(cx, entry, msg, &mut behind)
    }

    pub fn on_timer(&mut self, cx: &EvalContext, out: &mut dyn Output) -> Result<()> {
        let mut behind = Behind { cx, sharded: self.sharded.as_mut(), tail: &mut self.tail, out };
        self.head.on_timer(cx, &mut behind)?;
        self.tail.on_timer(cx, out)
    }

    pub fn next_timer(&self) -> Option<WallTime> {
        [self.head.next_timer(), self.tail.next_timer()].into_iter().flatten().min()
    }

    pub fn bytes(&self) -> usize {
        self.head.bytes() + self.sharded.as_ref().map_or(0, Sharded::bytes) + self.tail.bytes()
    }

    pub fn stats(&self) -> Stats {
        self.head.stats().and(self.sharded.as_ref().map(Sharded::stats).unwrap_or_default()).and(self.tail.stats())
    }

    /// The state of all operators: that of the head, of the shards, of the tail, each as one piece.
    pub fn snapshot(&self) -> Result<Vec<u8>> {
        let mut w = StateWriter::default();
        w.put_bytes(&self.head_state()?);
        w.put_nested(|w| self.sharded.as_ref().map_or(Ok(()), |s| s.snapshot(w)))?;
        w.put_nested(|w| self.tail.snapshot(w))?;
        Ok(w.finish())
    }

    /// The first piece of `snapshot`.
    pub fn head_state(&self) -> Result<Vec<u8>> {
        let mut w = StateWriter::default();
        self.head.snapshot(&mut w)?;
        Ok(w.finish())
    }

    /// Continues from a snapshot of a pipeline of the same plan. To be called before `start`.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let mut r = StateReader::new(bytes, Share::ALL);
        self.head.restore(&mut r.nested()?)?;
        let mut shards = r.nested()?;
        if let Some(sharded) = &mut self.sharded {
            sharded.restore(&mut shards)?;
        }
        self.tail.restore(&mut r.nested()?)
    }
}
