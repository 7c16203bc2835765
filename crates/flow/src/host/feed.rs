//! The loop of a query: rows from the sources and timers from the clock go into the pipeline, answers to the client.

use super::guard::{Meter, guarded};
use super::parallel::{self, Shards};
use super::progress::QueryProgress;
use super::query::{Checkpoint, CheckpointReply, HostContext, Waiting, cancelled};
use super::source::{SourceItem, SourceReader};
use crate::operator::{Msg, PAST_LANE, Rows};
use crate::pipeline::{Pipeline, PipelineSource, SourceKind};
use futures::FutureExt;
use hydron_base::world::WallTime;
use hydron_base::{Budget, Error, Result};
use hydron_board::Mark;
use hydron_func::EvalContext;
use hydron_types::Delta;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What all tasks of a query share.
pub struct Feed {
    pub context: HostContext,
    pub progress: Arc<QueryProgress>,
    pub cancel: CancellationToken,
    pub commands: mpsc::Receiver<CheckpointReply>,
}

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    Done,
}

/// An item and the source it is from.
type Inbox = mpsc::Receiver<(usize, Result<SourceItem>)>;

/// Runs a query to its end. Dropping the future stops all its tasks.
pub async fn run(
    feed: Feed,
    mut pipeline: Pipeline,
    readers: Vec<Box<dyn SourceReader>>,
    answers: mpsc::Sender<Waiting>,
) -> Result<()> {
    let mut tasks = JoinSet::new();
    let backfills: Vec<bool> = readers.iter().map(|r| r.backfills()).collect();
    let (inbox_in, inbox) = mpsc::channel(feed.context.edge_batches_max.max(1));
    // Sources that lead and whose past is not complete yet: the others wait until there is none.
    let leads: Vec<bool> =
        pipeline.sources.iter().zip(&readers).map(|(s, r)| s.leads && has_past(s, r.as_ref())).collect();
    let (leading, _) = watch::channel(leads.iter().filter(|l| **l).count());
    for ((source, reader), leads) in readers.into_iter().enumerate().zip(leads) {
        let turn = Turn { leading: leading.clone(), leads };
        tasks.spawn_on(Mark::current().on(read(source, reader, inbox_in.clone(), turn)), &feed.context.io);
    }
    drop((inbox_in, leading));
    let cancel = feed.cancel.clone();
    let memory = Arc::clone(&feed.context.memory);
    let client = Client { answers, progress: Arc::clone(&feed.progress), memory, sent: 0, complete_before: None };
    let work = async {
        match pipeline.sharded.take() {
            Some(sharded) if sharded.shards.len() > 1 => {
                let tail = std::mem::take(&mut pipeline.tail);
                let (shards, mut merged) = parallel::spawn(&feed, sharded, tail, client, &mut tasks)?;
                let sink = Sink::Shards(shards);
                let mut driver = Driver::new(feed, pipeline, sink);
                tokio::select! {
                    fed = driver.run(inbox, &backfills) => {
                        fed?;
                        // The shards end when their queues do.
                        drop(driver);
                        merged.await.unwrap_or_else(|_| Err(cancelled()))
                    }
                    ended = &mut merged => ended.unwrap_or_else(|_| Err(cancelled())),
                }
            }
            sharded => {
                pipeline.sharded = sharded;
                Driver::new(feed, pipeline, Sink::Client(client)).run(inbox, &backfills).await
            }
        }
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(cancelled()),
        result = work => result,
    }
}

/// Whether something of a source is complete at some time: its past, or all of it.
fn has_past(source: &PipelineSource, reader: &dyn SourceReader) -> bool {
    matches!(source.kind, SourceKind::Bounded(_)) || reader.backfills()
}

/// When a source may be read.
struct Turn {
    /// How many sources lead that the others still wait for.
    leading: watch::Sender<usize>,
    leads: bool,
}

impl Turn {
    async fn come(&self) {
        if !self.leads {
            let mut leading = self.leading.subscribe();
            // An error would mean that nobody is left to wait for.
            let _ = leading.wait_for(|n| *n == 0).await;
        }
    }

    /// The past of this source is in the inbox.
    fn pass_on(&mut self) {
        if std::mem::take(&mut self.leads) {
            self.leading.send_modify(|n| *n -= 1);
        }
    }
}

/// Moves the items of one source into the query's inbox.
async fn read(
    source: usize,
    mut reader: Box<dyn SourceReader>,
    inbox: mpsc::Sender<(usize, Result<SourceItem>)>,
    mut turn: Turn,
) {
    turn.come().await;
    loop {
        let item = AssertUnwindSafe(reader.next()).catch_unwind().await;
        let item = item.unwrap_or_else(|panic| Err(Error::panicked(&*panic)));
        let item = item.map(|item| item.unwrap_or(SourceItem::End));
        let last = matches!(item, Err(_) | Ok(SourceItem::End));
        let complete = last || matches!(item, Ok(SourceItem::BackfillEnd));
        if inbox.send((source, item)).await.is_err() {
            return;
        }
        if complete {
            turn.pass_on();
        }
        if last {
            return;
        }
    }
}

/// Where the pipeline's output goes.
enum Sink {
    Client(Client),
    Shards(Shards),
}

/// The queue of answers.
pub struct Client {
    pub answers: mpsc::Sender<Waiting>,
    pub memory: Arc<Budget>,
    pub progress: Arc<QueryProgress>,
    pub sent: u64,
    /// Sequence number of the last record that came in, plus one.
    pub complete_before: Option<i64>,
}

impl Client {
    /// Hands answers over, waiting for a slow client. A client that went away or has all it wanted is the end.
    ///
    /// Errors: MEMORY_LIMIT_EXCEEDED when what waits is too much.
    pub async fn deliver(&mut self, msgs: Vec<Msg>) -> Result<Flow> {
        // What comes of one record may be several answers: it is complete with the last of them.
        let last = msgs.iter().rposition(|m| matches!(m, Msg::Rows(rows) if !rows.is_empty()));
        for (at, msg) in msgs.into_iter().enumerate() {
            match msg {
                Msg::Rows(rows) if !rows.is_empty() => {
                    self.progress.add_out(rows.len());
                    let held = self.memory.reserve(rows.delta.rows.bytes())?;
                    let complete_before = self.complete_before.filter(|_| last == Some(at));
                    if self.answers.send(Waiting { answer: rows, held, complete_before }).await.is_err() {
                        return Ok(Flow::Done);
                    }
                    self.sent += 1;
                }
                Msg::End => return Ok(Flow::Done),
                _ => {}
            }
        }
        Ok(Flow::Continue)
    }
}

struct Driver {
    feed: Feed,
    pipeline: Pipeline,
    sink: Sink,
    meter: Meter,
    /// Last sequence number of each shard, by source.
    positions: Vec<BTreeMap<u32, i64>>,
    /// By source: rows of the past come in.
    past: Vec<bool>,
    batches: u64,
}

impl Driver {
    fn new(feed: Feed, pipeline: Pipeline, sink: Sink) -> Driver {
        let meter = Meter::new(Arc::clone(&feed.progress), &feed.context.memory);
        let positions = vec![BTreeMap::new(); pipeline.sources.len()];
        let past = vec![false; pipeline.sources.len()];
        Driver { feed, pipeline, sink, meter, positions, past, batches: 0 }
    }

    fn now(&mut self) -> EvalContext {
        self.batches += 1;
        let context = &self.feed.context;
        EvalContext { now: context.clock.now(), zone: context.zone, seed: context.seed, batch: self.batches }
    }

    async fn run(&mut self, mut inbox: Inbox, backfills: &[bool]) -> Result<()> {
        let cx = self.now();
        self.past = backfills.to_vec();
        self.pipeline.start(cx.now);
        for (source, _) in backfills.iter().enumerate().filter(|(_, b)| **b) {
            if self.take(source, Msg::BackfillStart, 0).await? == Flow::Done {
                return Ok(());
            }
        }
        loop {
            if self.due_timers().await? == Flow::Done {
                return Ok(());
            }
            let wait = self.until_timer();
            tokio::select! {
                Some(reply) = self.feed.commands.recv() => self.checkpoint(reply).await?,
                item = inbox.recv() => {
                    let Some((source, item)) = item else { return Ok(()) };
                    if self.item(source, item?).await? == Flow::Done {
                        return Ok(());
                    }
                }
                () = wait => {}
            }
            // Other queries have their turn after each batch.
            tokio::task::yield_now().await;
        }
    }

    /// Ends when the next timer is due; never without one.
    fn until_timer(&self) -> impl Future<Output = ()> + use<> {
        let now = self.feed.context.clock.now();
        let wait = self.pipeline.next_timer().map(|t| micros_until(t, now));
        async move {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        }
    }

    async fn due_timers(&mut self) -> Result<Flow> {
        let now = self.feed.context.clock.now();
        if self.pipeline.next_timer().is_none_or(|t| t > now) {
            return Ok(Flow::Continue);
        }
        let cx = self.now();
        let mut out = Vec::new();
        guarded(|| self.pipeline.on_timer(&cx, &mut out))?;
        self.deliver(&cx, out, 0).await
    }

    async fn item(&mut self, source: usize, item: SourceItem) -> Result<Flow> {
        match item {
            SourceItem::Rows { batch, shard, sequence } => {
                if let Some(sequence) = sequence {
                    self.positions[source].insert(shard, sequence);
                    if let Sink::Client(client) = &mut self.sink {
                        client.complete_before = Some(sequence + 1);
                    }
                }
                let rows = batch.rows();
                if rows == 0 {
                    return Ok(Flow::Continue);
                }
                self.feed.progress.add_in(rows, batch.bytes());
                let lane = if self.past[source] && sequence.is_none() { PAST_LANE } else { shard };
                self.take(source, Msg::Rows(Rows { delta: Delta::insert(batch), lane }), rows).await
            }
            SourceItem::BackfillEnd => {
                self.past[source] = false;
                self.take(source, Msg::BackfillEnd, 0).await
            }
            SourceItem::Idle => Ok(Flow::Continue),
            SourceItem::End => self.take(source, Msg::End, 0).await,
        }
    }

    async fn take(&mut self, source: usize, msg: Msg, rows: usize) -> Result<Flow> {
        let cx = self.now();
        let mut out = Vec::new();
        guarded(|| self.pipeline.push(&cx, source, msg, &mut out))?;
        self.deliver(&cx, out, rows).await
    }

    async fn deliver(&mut self, cx: &EvalContext, out: Vec<Msg>, rows: usize) -> Result<Flow> {
        if self.meter.is_due(rows, cx.now) {
            self.meter.look(self.pipeline.bytes(), self.pipeline.stats())?;
        }
        match &mut self.sink {
            Sink::Client(client) => client.deliver(out).await,
            Sink::Shards(shards) => shards.deliver(cx, out).await,
        }
    }

    async fn checkpoint(&mut self, reply: CheckpointReply) -> Result<()> {
        let positions = self.positions.iter().map(|p| p.iter().map(|(shard, sn)| (*shard, *sn)).collect()).collect();
        match &mut self.sink {
            Sink::Client(client) => {
                let state = guarded(|| self.pipeline.snapshot())?;
                // Whoever asked may be gone.
                let _ = reply.send(Checkpoint { state, positions, answers: client.sent });
                Ok(())
            }
            Sink::Shards(shards) => {
                let head = guarded(|| self.pipeline.head_state())?;
                shards.checkpoint(parallel::Pending { head, positions, reply }).await
            }
        }
    }
}

/// How long to sleep until `timer`.
pub fn micros_until(timer: WallTime, now: WallTime) -> Duration {
    Duration::from_micros(timer.0.saturating_sub(now.0).max(0) as u64)
}

/// A task of the query is gone, which only happens when the query ends.
pub fn gone() -> Error {
    Error::bug("a part of the query stopped before the others")
}
