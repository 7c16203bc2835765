//! An aggregation on several tasks: rows are dealt out to the shards, each on its own task, and a last task puts the answers
//! together and runs what is behind.
//!
//! Every message makes each shard answer once, so the answers to one message are the n-th of each shard: the merging task
//! reads the shards' queues in step. All queues are bounded; a slow client fills them back to the sources.

use super::cut::Cut;
use super::feed::{Client, Feed, Flow, gone, micros_until};
use super::guard::{Meter, guarded};
use super::query::{Ask, Checkpoint};
use crate::operator::{Msg, Operator};
use crate::pipeline::Graph;
use crate::shard::{Cause, Merger, Router, Sharded, snapshot_of, write_parts};
use crate::state::StateWriter;
use hydron_base::world::{Clock, WallTime};
use hydron_base::{Error, Result};
use hydron_board::Mark;
use hydron_func::EvalContext;
use hydron_types::Zone;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// The feeding side.
pub struct Shards {
    router: Router,
    queues: Vec<mpsc::Sender<Job>>,
    checkpoints: mpsc::Sender<Pending>,
}

/// A checkpoint on its way through the shards. The next waits until the merging task has taken this one.
pub struct Pending {
    pub head: Vec<u8>,
    pub positions: Vec<Vec<(u32, i64)>>,
    pub cut: Cut,
    pub ask: Ask,
}

enum Job {
    Work(EvalContext, Msg),
    Snapshot,
}

enum Done {
    Answers(EvalContext, Cause, Vec<Msg>),
    State(Vec<u8>),
}

type Replies = mpsc::Receiver<Result<Done>>;

impl Shards {
    pub async fn deliver(&mut self, cx: &EvalContext, msgs: Vec<Msg>) -> Result<Flow> {
        for msg in msgs {
            let dealt = guarded(|| self.router.route(cx, msg))?;
            for (queue, msg) in self.queues.iter().zip(dealt) {
                // A shard that is gone means that the merging task has ended and says why.
                if queue.send(Job::Work(cx.clone(), msg)).await.is_err() {
                    return Ok(Flow::Done);
                }
            }
        }
        Ok(Flow::Continue)
    }

    pub async fn checkpoint(&mut self, pending: Pending) -> Result<()> {
        self.checkpoints.send(pending).await.map_err(|_| gone())?;
        for queue in &self.queues {
            queue.send(Job::Snapshot).await.map_err(|_| gone())?;
        }
        Ok(())
    }
}

/// Starts the tasks of the shards and the one behind them, which ends with the query.
pub fn spawn(
    feed: &Feed,
    sharded: Sharded,
    tail: Graph,
    client: Client,
    tasks: &mut JoinSet<()>,
) -> Result<(Shards, oneshot::Receiver<Result<()>>)> {
    let context = &feed.context;
    let edge = context.edge_batches_max.max(1);
    let (mut queues, mut replies) = (Vec::new(), Vec::new());
    for mut shard in sharded.shards {
        let (queue, jobs) = mpsc::channel(edge);
        let (reply_in, reply) = mpsc::channel(edge);
        shard.start(context.clock.now());
        shard.wake(context.clock.now());
        let meter = Meter::new(Arc::clone(&feed.progress), &context.memory);
        tasks.spawn_on(Mark::current().on(work(shard, jobs, reply_in, meter)), &context.cpu);
        queues.push(queue);
        replies.push(reply);
    }
    let (checkpoints, pending) = mpsc::channel(1);
    let mut behind = Behind {
        merger: sharded.merger,
        replies,
        tail,
        client,
        pending,
        clock: Arc::clone(&context.clock),
        zone: context.zone,
        seed: context.seed,
        meter: Meter::new(Arc::clone(&feed.progress), &context.memory),
    };
    let (ended, end) = oneshot::channel();
    tasks.spawn_on(
        Mark::current().on(async move {
            let result = behind.run().await;
            // The query may have been dropped meanwhile.
            let _ = ended.send(result);
        }),
        &context.cpu,
    );
    Ok((Shards { router: sharded.router, queues, checkpoints }, end))
}

/// One shard.
async fn work(
    mut op: Box<dyn Operator>,
    mut jobs: mpsc::Receiver<Job>,
    replies: mpsc::Sender<Result<Done>>,
    mut meter: Meter,
) {
    while let Some(job) = jobs.recv().await {
        let done = match job {
            Job::Snapshot => guarded(|| snapshot_of(op.as_ref())).map(Done::State),
            Job::Work(cx, msg) => {
                let cause = Cause::of(&msg);
                let rows = if let Msg::Rows(rows) = &msg { rows.len() } else { 0 };
                let mut out = Vec::new();
                let worked = guarded(|| op.on_msg(&cx, 0, msg, &mut out));
                let worked = worked.and_then(|()| match meter.is_due(rows, cx.now) {
                    true => meter.look(op.bytes(), op.stats()),
                    false => Ok(()),
                });
                worked.map(|()| Done::Answers(cx, cause, out))
            }
        };
        let failed = done.is_err();
        if replies.send(done).await.is_err() || failed {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// The task behind the shards.
struct Behind {
    merger: Merger,
    replies: Vec<Replies>,
    tail: Graph,
    client: Client,
    pending: mpsc::Receiver<Pending>,
    clock: Arc<dyn Clock>,
    zone: Zone,
    seed: u64,
    meter: Meter,
}

impl Behind {
    async fn run(&mut self) -> Result<()> {
        self.tail.start(self.clock.now());
        self.tail.wake(self.clock.now());
        // Answers to the current message, of the first shards.
        let mut step: Vec<Done> = Vec::new();
        loop {
            if self.due_timers().await? == Flow::Done {
                return Ok(());
            }
            let wait = self.until_timer();
            tokio::select! {
                done = self.replies[step.len()].recv() => {
                    let Some(done) = done else { return Ok(()) };
                    step.push(done?);
                }
                () = wait => {}
            }
            if step.len() == self.replies.len() && self.take(std::mem::take(&mut step)).await? == Flow::Done {
                return Ok(());
            }
        }
    }

    fn until_timer(&self) -> impl Future<Output = ()> + use<> {
        let wait = self.tail.next_timer().map(|t| micros_until(t, self.clock.now()));
        async move {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        }
    }

    async fn due_timers(&mut self) -> Result<Flow> {
        let now: WallTime = self.clock.now();
        if self.tail.next_timer().is_none_or(|t| t > now) {
            return Ok(Flow::Continue);
        }
        let cx = EvalContext { now, zone: self.zone, seed: self.seed, batch: 0 };
        let mut out = Vec::new();
        guarded(|| self.tail.on_timer(&cx, &mut out))?;
        self.client.deliver(out, None).await
    }

    async fn take(&mut self, step: Vec<Done>) -> Result<Flow> {
        let (mut answers, mut states, mut of) = (Vec::new(), Vec::new(), None);
        for done in step {
            match done {
                Done::Answers(cx, cause, msgs) => {
                    of = Some((cx, cause));
                    answers.push(msgs);
                }
                Done::State(state) => states.push(state),
            }
        }
        match of {
            Some((cx, cause)) if states.is_empty() => self.answer(cx, cause, answers).await,
            None => self.checkpoint(&states).await,
            Some(_) => Err(Error::bug("the shards of a query are out of step")),
        }
    }

    async fn answer(&mut self, cx: EvalContext, cause: Cause, answers: Vec<Vec<Msg>>) -> Result<Flow> {
        let mut out = Vec::new();
        let entry = self.tail.first();
        guarded(|| {
            let merged = self.merger.merge(&cause, answers)?;
            merged.into_iter().try_for_each(|msg| self.tail.push(&cx, entry, msg, &mut out))
        })?;
        if self.meter.is_due(0, cx.now) {
            self.meter.look(self.tail.bytes(), self.tail.stats())?;
        }
        self.client.deliver(out, None).await
    }

    async fn checkpoint(&mut self, states: &[Vec<u8>]) -> Result<Flow> {
        let Pending { head, positions, cut, ask } = self.pending.try_recv().map_err(|_| gone())?;
        let mut w = StateWriter::default();
        w.put_bytes(&head);
        w.put_nested(|w| {
            write_parts(states, w);
            Ok(())
        })?;
        guarded(|| w.put_nested(|w| self.tail.snapshot(w)))?;
        self.client.hand_over(ask, Checkpoint { state: w.finish(), positions, answers: self.client.sent, cut }).await
    }
}
