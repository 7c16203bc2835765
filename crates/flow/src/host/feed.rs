//! The loop of a query: rows from the sources and timers from the clock go into the pipeline, answers to the client.

use super::cut::{Cut, Resume, RunOptions, SourceState, sources_of};
use super::guard::{Meter, guarded};
use super::parallel::{self, Shards};
use super::progress::{QueryProgress, RecordId};
use super::query::{Ask, Checkpoint, CutAnswer, Event, HostContext, cancelled};
use super::replay::Ahead;
use super::source::{SourceItem, SourceReader};
use super::trace::{Step, Steps};
use crate::operator::{Msg, PAST_LANE, Rows};
use crate::pipeline::{Pipeline, SourceKind};
use futures::FutureExt;
use hydron_base::world::WallTime;
use hydron_base::{Budget, Error, Result};
use hydron_board::Mark;
use hydron_func::EvalContext;
use hydron_types::Delta;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Rows of several shards or sources that come within this time of each other come before a timer that is due between them: the
/// shards of one INSERT are told one after the other as their files are synced, which takes a disk some milliseconds, and more
/// beside other work.
const SETTLE: Duration = Duration::from_millis(15);

/// How long a record waits for itself from the other sources of the same stream: they read it at the same time, each in a task
/// of its own.
const TWIN_PATIENCE: Duration = Duration::from_millis(5);

/// However many rows come, no timer is later than this.
const TIMER_LATE_MAX: Duration = Duration::from_millis(25);

/// What all tasks of a query share.
pub struct Feed {
    pub context: HostContext,
    pub options: RunOptions,
    pub progress: Arc<QueryProgress>,
    pub cancel: CancellationToken,
    pub commands: mpsc::Receiver<Ask>,
}

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    Done,
}

/// An item and the source it is from.
pub type Arrived = (usize, Result<SourceItem>);

pub type Inbox = mpsc::Receiver<Arrived>;

/// Shard and sequence of an item that is a whole record.
fn record_of(item: &Arrived) -> Option<(u32, i64)> {
    match item {
        (_, Ok(SourceItem::Rows { shard, sequence: Some(sequence), .. })) => Some((*shard, *sequence)),
        _ => None,
    }
}

/// Runs a query to its end. Dropping the future stops all its tasks.
pub async fn run(
    feed: Feed,
    mut pipeline: Pipeline,
    readers: Vec<Box<dyn SourceReader>>,
    answers: mpsc::Sender<Event>,
) -> Result<()> {
    let mut tasks = JoinSet::new();
    let sources = sources_of(&pipeline, &readers, feed.options.resume.as_ref());
    let (inbox_in, inbox) = mpsc::channel(feed.context.edge_batches_max.max(1));
    // Sources that lead and whose past is not complete yet: the others wait until there is none.
    let leads: Vec<bool> = pipeline.sources.iter().zip(&sources).map(|(s, at)| s.leads && at.has_past()).collect();
    let (leading, _) = watch::channel(leads.iter().filter(|l| **l).count());
    let mut readers: Vec<(usize, Box<dyn SourceReader>)> = readers.into_iter().enumerate().collect();
    // Those that wait for the same stream are woken in the order in which they began to wait.
    let place = |source: usize| pipeline.order.iter().position(|s| *s == source);
    readers.sort_by_key(|(source, _)| place(*source));
    for (source, reader) in readers {
        let turn = Turn { leading: leading.clone(), leads: leads[source] };
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
                let mut driver = Driver::new(feed, pipeline, sources, sink);
                tokio::select! {
                    fed = driver.run(inbox) => {
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
                Driver::new(feed, pipeline, sources, Sink::Client(client)).run(inbox).await
            }
        }
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(cancelled()),
        result = work => result,
    }
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
    pub answers: mpsc::Sender<Event>,
    pub memory: Arc<Budget>,
    pub progress: Arc<QueryProgress>,
    pub sent: u64,
    /// Sequence number of the last record that came in, plus one.
    pub complete_before: Option<i64>,
}

impl Client {
    /// Hands the answers of one step over, waiting for a slow client; the last of them with `steps`. A client that went away
    /// or has all it wanted is the end.
    ///
    /// Errors: MEMORY_LIMIT_EXCEEDED when what waits is too much.
    pub async fn deliver(&mut self, msgs: Vec<Msg>, mut steps: Option<&mut Steps>) -> Result<Flow> {
        // What comes of one record may be several answers: it is complete with the last of them.
        let is_answer = |msg: &Msg| matches!(msg, Msg::Rows(rows) if !rows.is_empty());
        let mut left = msgs.iter().take_while(|m| !matches!(m, Msg::End)).filter(|m| is_answer(m)).count();
        for msg in msgs {
            match msg {
                Msg::Rows(rows) if !rows.is_empty() => {
                    left -= 1;
                    self.progress.add_out(rows.len());
                    let held = self.memory.reserve(rows.delta.rows.bytes())?;
                    let steps = if left == 0 { steps.as_deref_mut().map(Steps::take) } else { None };
                    let complete_before = self.complete_before.filter(|_| left == 0);
                    let event = Event::Answer { answer: rows, held, steps, complete_before };
                    if self.answers.send(event).await.is_err() {
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

    /// Gives a checkpoint to whoever asked for it.
    pub async fn hand_over(&mut self, ask: Ask, checkpoint: Checkpoint) -> Result<Flow> {
        match ask {
            // Whoever asked may be gone.
            Ask::Reply(reply) => drop(reply.send(checkpoint)),
            Ask::Among { .. } => return self.tell_cut(CutAnswer::At(Box::new(checkpoint))).await,
        }
        Ok(Flow::Continue)
    }

    async fn tell_cut(&mut self, answer: CutAnswer) -> Result<Flow> {
        let told = self.answers.send(Event::Cut(answer)).await;
        Ok(if told.is_err() { Flow::Done } else { Flow::Continue })
    }
}

struct Driver {
    feed: Feed,
    pipeline: Pipeline,
    sink: Sink,
    meter: Meter,
    sources: Vec<SourceState>,
    /// Steps so far.
    step: u64,
    seed: u64,
    last_now: WallTime,
    /// Steps since the last answer, where they are kept.
    trace: Option<Steps>,
    /// Items that came before their turn.
    ahead: Ahead,
    /// A cut is asked for, and comes as soon as the sources allow it.
    wanted: bool,
    /// Something happened since the last cut.
    moved: bool,
    /// The first cut comes before anything is read.
    cut_first: bool,
    /// Rows come from several shards or sources.
    has_lanes: bool,
    /// When something last came from a source.
    last_item: Option<Instant>,
}

impl Driver {
    fn new(feed: Feed, pipeline: Pipeline, sources: Vec<SourceState>, sink: Sink) -> Driver {
        let meter = Meter::new(Arc::clone(&feed.progress), &feed.context.memory);
        let trace = feed.options.traced.then(|| Steps::starting_at(1));
        let seed = feed.context.seed;
        let has_lanes = sources.len() > 1 || sources.iter().any(|s| s.positions.len() > 1);
        Driver {
            feed,
            pipeline,
            sink,
            meter,
            sources,
            step: 0,
            seed,
            last_now: WallTime(0),
            trace,
            ahead: Ahead::default(),
            wanted: false,
            moved: true,
            cut_first: false,
            has_lanes,
            last_item: None,
        }
    }

    fn now(&mut self) -> EvalContext {
        let now = self.feed.context.clock.now();
        self.at(now)
    }

    /// The context of the next step.
    fn at(&mut self, now: WallTime) -> EvalContext {
        self.step += 1;
        self.last_now = now;
        EvalContext { now, zone: self.feed.context.zone, seed: self.seed, batch: self.step }
    }

    fn note(&mut self, step: Step) -> Result<()> {
        self.moved |= !matches!(step, Step::Timer);
        match &mut self.trace {
            Some(trace) => trace.push(step, self.last_now),
            None => Ok(()),
        }
    }

    async fn run(&mut self, mut inbox: Inbox) -> Result<()> {
        let begun = match self.feed.options.resume.take() {
            Some(resume) => self.go_on(resume, &mut inbox).await.map(|()| Flow::Continue)?,
            None => {
                let begun = self.begin().await?;
                self.cut_first = self.feed.options.cut_first && self.sources.iter().all(SourceState::can_be_cut);
                begun
            }
        };
        if begun == Flow::Done {
            return Ok(());
        }
        loop {
            if self.due_timers().await? == Flow::Done || self.cut_if_wanted().await? == Flow::Done {
                return Ok(());
            }
            let wait = self.until_timer();
            let early = !self.ahead.is_empty();
            tokio::select! {
                Some(ask) = self.feed.commands.recv() => {
                    if self.asked(ask).await? == Flow::Done {
                        return Ok(());
                    }
                }
                () = std::future::ready(()), if early && !self.cut_first => {
                    if let Some(item) = self.ahead.pop()
                        && self.in_turn(item, &mut inbox).await? == Flow::Done
                    {
                        return Ok(());
                    }
                }
                item = inbox.recv(), if !early && !self.cut_first => {
                    let Some(item) = item else { return Ok(()) };
                    if self.in_turn(item, &mut inbox).await? == Flow::Done {
                        return Ok(());
                    }
                }
                () = wait => {}
            }
            // Other queries have their turn after each batch.
            tokio::task::yield_now().await;
        }
    }

    /// Takes an item, and with a record what the other sources of its stream make of it, in the order of the pipeline.
    async fn in_turn(&mut self, first: Arrived, inbox: &mut Inbox) -> Result<Flow> {
        let Some((record, mut missing)) = self.twins(&first) else { return self.item(first.0, first.1?).await };
        let mut items = vec![first];
        let deadline = Instant::now() + TWIN_PATIENCE;
        // Whatever else a source has to say comes first: then nobody waits for its record.
        let is_it = |item: &Arrived| record_of(item) == Some(record);
        for source in std::mem::take(&mut missing) {
            match self.ahead.first_of(source) {
                None => missing.push(source),
                Some(at) if self.ahead.get(at).is_some_and(is_it) => items.extend(self.ahead.remove(at)),
                Some(_) => {}
            }
        }
        while !missing.is_empty() {
            let Ok(Some(item)) = tokio::time::timeout_at(deadline, inbox.recv()).await else { break };
            let awaited = missing.iter().position(|s| *s == item.0);
            awaited.map(|at| missing.swap_remove(at));
            if awaited.is_some() && is_it(&item) { items.push(item) } else { self.ahead.push(item) }
        }
        items.sort_by_key(|(source, _)| self.pipeline.order.iter().position(|s| s == source));
        for (source, item) in items {
            if self.item(source, item?).await? == Flow::Done {
                return Ok(Flow::Done);
            }
        }
        Ok(Flow::Continue)
    }

    /// The record of an item, and the sources that read the same stream and have yet to come to it.
    fn twins(&self, item: &Arrived) -> Option<((u32, i64), Vec<usize>)> {
        let (shard, sequence) = record_of(item)?;
        let of = |source: usize| match &self.pipeline.sources[source].kind {
            SourceKind::Stream(scan) if self.sources[source].origin.rereads => Some(scan.stream.uuid),
            _ => None,
        };
        let uuid = of(item.0)?;
        let waits = |source: &usize| {
            let at = &self.sources[*source];
            let behind = at.positions.get(&shard).is_some_and(|p| *p < sequence);
            *source != item.0 && behind && !at.in_past && !at.ended && of(*source) == Some(uuid)
        };
        let missing: Vec<usize> = (0..self.sources.len()).filter(waits).collect();
        (!missing.is_empty()).then_some(((shard, sequence), missing))
    }

    /// The first start of a query.
    async fn begin(&mut self) -> Result<Flow> {
        let cx = self.now();
        self.pipeline.start(cx.now);
        for source in 0..self.sources.len() {
            if self.sources[source].in_past && self.take(source, Msg::BackfillStart, 0).await? == Flow::Done {
                return Ok(Flow::Done);
            }
        }
        // Nothing goes on from before the start.
        self.trace = self.trace.is_some().then(|| Steps::starting_at(self.step + 1));
        Ok(Flow::Continue)
    }

    /// Takes the steps again that were taken after the cut, and tells nobody their answers.
    async fn go_on(&mut self, resume: Resume, inbox: &mut Inbox) -> Result<()> {
        let Resume { cut, replay } = resume;
        self.seed = cut.seed;
        self.pipeline.start_replay(cut.now);
        let mut steps = Steps::starting_at(cut.step + 1);
        steps.append(&replay)?;
        if self.trace.is_some() {
            let is_known = replay.next() > cut.step + 1;
            self.trace = Some(if is_known { Steps::starting_at(steps.next()) } else { cut.pending });
        }
        self.step = cut.step;
        for stamped in steps.steps {
            let cx = self.at(stamped.now);
            self.again(&cx, stamped.step, inbox).await?;
            tokio::task::yield_now().await;
        }
        self.pipeline.wake(self.feed.context.clock.now());
        Ok(())
    }

    async fn again(&mut self, cx: &EvalContext, step: Step, inbox: &mut Inbox) -> Result<()> {
        let mut known = Vec::new();
        let (source, item) = match step {
            Step::Passing => return Ok(()),
            Step::Timer => return guarded(|| self.pipeline.on_timer(cx, &mut known)),
            Step::Rows { source, shard, sequence } => {
                (source as usize, self.ahead.rows(inbox, source as usize, shard, sequence).await?)
            }
            Step::PastEnd { source } => (source as usize, self.ahead.past_end(inbox, source as usize).await?),
            Step::End { source } => (source as usize, self.ahead.end(inbox, source as usize).await?),
        };
        if let Some((msg, _)) = self.message(source, item) {
            guarded(|| self.pipeline.push(cx, source, msg, &mut known))?;
            if self.meter.is_due(0, cx.now) {
                self.meter.look(self.pipeline.bytes(), self.pipeline.stats())?;
            }
        }
        Ok(())
    }

    /// Ends when the next timer is due; never without one.
    fn until_timer(&self) -> impl Future<Output = ()> + use<> {
        let now = self.feed.context.clock.now();
        let wait = self.pipeline.next_timer().map(|t| micros_until(t, now).max(self.settling(t, now)));
        async move {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        }
    }

    /// How long a timer that is due waits for what is still on its way of one moment: the records of one INSERT in several
    /// shards, of one record in several sources.
    fn settling(&self, timer: WallTime, now: WallTime) -> Duration {
        let overdue = micros_until(now, timer);
        match self.last_item {
            Some(last) if self.has_lanes && overdue < TIMER_LATE_MAX => SETTLE.saturating_sub(last.elapsed()),
            _ => Duration::ZERO,
        }
    }

    async fn due_timers(&mut self) -> Result<Flow> {
        let now = self.feed.context.clock.now();
        if self.pipeline.next_timer().is_none_or(|t| t > now || !self.settling(t, now).is_zero()) {
            return Ok(Flow::Continue);
        }
        let cx = self.at(now);
        self.note(Step::Timer)?;
        let mut out = Vec::new();
        guarded(|| self.pipeline.on_timer(&cx, &mut out))?;
        self.deliver(&cx, out, 0).await
    }

    async fn item(&mut self, source: usize, item: SourceItem) -> Result<Flow> {
        let step = self.step_of(source, &item);
        self.last_item = Some(Instant::now());
        let record = match &item {
            SourceItem::Rows { shard, sequence: Some(sequence), .. } | SourceItem::Part { shard, sequence, .. } => {
                Some(RecordId { source, shard: *shard, sequence: *sequence })
            }
            _ => None,
        };
        let passes_over = record.is_some_and(|r| self.feed.options.skip.contains(&r));
        match self.message(source, item) {
            Some(_) if passes_over => {
                self.moved = true;
                Ok(Flow::Continue)
            }
            Some((msg, rows)) => {
                let cx = self.now();
                self.note(step)?;
                self.feed.progress.set_current(record);
                let flow = self.push(&cx, source, msg, rows).await?;
                self.feed.progress.set_current(None);
                Ok(flow)
            }
            None => Ok(Flow::Continue),
        }
    }

    fn step_of(&self, source: usize, item: &SourceItem) -> Step {
        let (at, rereads) = (source as u32, self.sources[source].origin.rereads);
        match item {
            SourceItem::Rows { shard, sequence: Some(sequence), .. } | SourceItem::Part { shard, sequence, .. }
                if rereads =>
            {
                Step::Rows { source: at, shard: *shard, sequence: *sequence }
            }
            SourceItem::BackfillEnd => Step::PastEnd { source: at },
            SourceItem::End => Step::End { source: at },
            _ => Step::Passing,
        }
    }

    /// What an item is to the pipeline, and how many rows it has. Nothing for an item without any.
    fn message(&mut self, source: usize, item: SourceItem) -> Option<(Msg, usize)> {
        let state = &mut self.sources[source];
        let (batch, shard, sequence) = match item {
            SourceItem::Rows { batch, shard, sequence } => {
                if let Some(sequence) = sequence {
                    state.positions.insert(shard, sequence);
                    self.feed.progress.set_position(source, shard, sequence);
                    if let Sink::Client(client) = &mut self.sink {
                        client.complete_before = Some(sequence + 1);
                    }
                }
                state.in_record = false;
                (batch, shard, sequence)
            }
            SourceItem::Part { batch, shard, sequence } => {
                state.in_record = true;
                (batch, shard, Some(sequence))
            }
            // Of a source that had no past nobody was told that it began.
            SourceItem::BackfillEnd => {
                let was_in_past = std::mem::replace(&mut state.in_past, false);
                return was_in_past.then_some((Msg::BackfillEnd, 0));
            }
            SourceItem::Idle => return None,
            SourceItem::End => {
                (state.ended, state.in_past) = (true, false);
                return Some((Msg::End, 0));
            }
        };
        let rows = batch.rows();
        if rows == 0 {
            return None;
        }
        self.feed.progress.add_in(rows, batch.bytes());
        let lane = if state.in_past && sequence.is_none() { PAST_LANE } else { state.lane(shard) };
        Some((Msg::Rows(Rows { delta: Delta::insert(batch), lane }), rows))
    }

    async fn take(&mut self, source: usize, msg: Msg, rows: usize) -> Result<Flow> {
        let cx = self.now();
        self.push(&cx, source, msg, rows).await
    }

    async fn push(&mut self, cx: &EvalContext, source: usize, msg: Msg, rows: usize) -> Result<Flow> {
        let mut out = Vec::new();
        guarded(|| self.pipeline.push(cx, source, msg, &mut out))?;
        self.deliver(cx, out, rows).await
    }

    async fn deliver(&mut self, cx: &EvalContext, out: Vec<Msg>, rows: usize) -> Result<Flow> {
        if self.meter.is_due(rows, cx.now) {
            self.meter.look(self.pipeline.bytes(), self.pipeline.stats())?;
        }
        match &mut self.sink {
            Sink::Client(client) => {
                let before = client.sent;
                let flow = client.deliver(out, self.trace.as_mut()).await;
                self.moved |= client.sent > before;
                flow
            }
            Sink::Shards(shards) => shards.deliver(cx, out).await,
        }
    }

    async fn asked(&mut self, ask: Ask) -> Result<Flow> {
        if let Ask::Among { forget_before } = &ask {
            if let Some(trace) = &mut self.trace {
                trace.forget_before(*forget_before);
            }
            self.wanted = true;
            return Ok(Flow::Continue);
        }
        self.checkpoint(ask).await
    }

    async fn cut_if_wanted(&mut self) -> Result<Flow> {
        if !self.wanted || !self.sources.iter().all(SourceState::can_be_cut) {
            return Ok(Flow::Continue);
        }
        self.wanted = false;
        self.cut_first = false;
        if !std::mem::take(&mut self.moved)
            && let Sink::Client(client) = &mut self.sink
        {
            return client.tell_cut(CutAnswer::Unchanged).await;
        }
        self.checkpoint(Ask::Among { forget_before: 0 }).await
    }

    fn cut(&self) -> Cut {
        Cut {
            step: self.step,
            now: self.last_now,
            seed: self.seed,
            sources: self.sources.iter().map(SourceState::cut).collect(),
            pending: self.trace.clone().unwrap_or_default(),
        }
    }

    async fn checkpoint(&mut self, ask: Ask) -> Result<Flow> {
        let cut = self.cut();
        let positions = self.sources.iter().map(|s| s.positions.iter().map(|(shard, sn)| (*shard, *sn)).collect());
        let positions = positions.collect();
        match &mut self.sink {
            Sink::Client(client) => {
                let state = guarded(|| self.pipeline.snapshot())?;
                let answers = client.sent;
                client.hand_over(ask, Checkpoint { state, positions, answers, cut }).await
            }
            Sink::Shards(shards) => {
                let head = guarded(|| self.pipeline.head_state())?;
                shards.checkpoint(parallel::Pending { head, positions, cut, ask }).await?;
                Ok(Flow::Continue)
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
