//! Starting a query and holding it.

use super::cut::{Cut, RunOptions};
use super::feed::{self, Feed};
use super::progress::QueryProgress;
use super::source::SourceReader;
use super::trace::Steps;
use crate::operator::Rows;
use crate::pipeline::Pipeline;
use futures::FutureExt;
use hydron_base::limit::EDGE_BATCHES_MAX;
use hydron_base::memory::Reserved;
use hydron_base::world::Clock;
use hydron_base::{Budget, Code, Error, Result};
use hydron_board::Mark;
use hydron_types::{Batch, Zone};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// What a query may use.
#[derive(Clone)]
pub struct HostContext {
    pub clock: Arc<dyn Clock>,
    /// Runs the operators. Needs its time driver enabled.
    pub cpu: Handle,
    /// Runs the readers.
    pub io: Handle,
    /// What the state of the operators and waiting answers may take.
    pub memory: Arc<Budget>,
    /// Batches that wait on one edge, and answers that wait for the client.
    pub edge_batches_max: usize,
    /// Cancelled: the query ends with QUERY_WAS_CANCELLED (394).
    pub cancel: CancellationToken,
    pub zone: Zone,
    /// Source of `rand()` and its like.
    pub seed: u64,
}

impl HostContext {
    /// The usual limits, all tasks on `runtime`.
    pub fn new(clock: Arc<dyn Clock>, runtime: Handle) -> HostContext {
        HostContext {
            clock,
            cpu: runtime.clone(),
            io: runtime,
            memory: Budget::alone(0),
            edge_batches_max: EDGE_BATCHES_MAX,
            cancel: CancellationToken::new(),
            zone: Zone::UTC,
            seed: 0,
        }
    }
}

/// One batch of answers.
pub type Answer = Rows;

/// What a query tells, in order.
pub enum Event {
    Answer {
        answer: Answer,
        /// What it takes while it waits.
        held: Reserved,
        /// On the last answer of each step of a traced query: the steps since the last answer before.
        steps: Option<Steps>,
        /// See [`QueryHandle::complete_before`].
        complete_before: Option<i64>,
    },
    /// Everything before belongs to this cut.
    Cut(CutAnswer),
}

/// What became of a cut that was asked for.
pub enum CutAnswer {
    /// Nothing has happened since the last one.
    Unchanged,
    At(Box<Checkpoint>),
}

/// A consistent point of a query: where its sources were, what its operators knew, how many answers had left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// For `Pipeline::restore`.
    pub state: Vec<u8>,
    /// For each source, the last sequence number read of each shard.
    pub positions: Vec<Vec<(u32, i64)>>,
    /// Answers that were put into the queue before.
    pub answers: u64,
    pub cut: Cut,
}

/// Who asks for a checkpoint.
pub(super) enum Ask {
    /// Whoever waits for it, whatever the sources are at.
    Reply(oneshot::Sender<Checkpoint>),
    /// It is to come among the answers, as soon as the query can go on from it. Steps before `forget_before` will not be
    /// asked for again.
    Among { forget_before: u64 },
}

/// Where a finished query leaves its error.
type Outcome = Arc<Mutex<Option<Result<()>>>>;

pub struct Query;

impl Query {
    /// Starts a query: one reader for each source of the pipeline, in order. Returns at once.
    ///
    /// Errors: LOGICAL_ERROR where readers and sources do not match.
    pub fn start(pipeline: Pipeline, readers: Vec<Box<dyn SourceReader>>, context: HostContext) -> Result<QueryHandle> {
        Query::run(pipeline, readers, context, RunOptions::default())
    }

    /// As `start`; from a cut where `options` say so.
    pub fn run(
        pipeline: Pipeline,
        readers: Vec<Box<dyn SourceReader>>,
        context: HostContext,
        options: RunOptions,
    ) -> Result<QueryHandle> {
        if readers.len() != pipeline.sources.len() {
            return Err(Error::bug(format!("{} readers for {} sources", readers.len(), pipeline.sources.len())));
        }
        if let Some(resume) = &options.resume
            && resume.cut.sources.len() != readers.len()
        {
            let message = format!("the cut has {} sources, the query {}", resume.cut.sources.len(), readers.len());
            return Err(Error::new(Code::RECOVER_CHECKPOINT_FAILED, message));
        }
        let progress = Arc::new(QueryProgress::default());
        let outcome: Outcome = Arc::default();
        let cancel = context.cancel.child_token();
        let (answers_in, answers) = mpsc::channel(context.edge_batches_max.max(1));
        let (commands, commands_in) = mpsc::channel(1);
        let cpu = context.cpu.clone();
        let feed =
            Feed { context, options, progress: Arc::clone(&progress), cancel: cancel.clone(), commands: commands_in };
        let finished = Arc::clone(&outcome);
        let answers_out = answers_in.clone();
        // The tasks of a query wear the mark of whoever starts it, so that a fault in any of them is told to it.
        cpu.spawn(Mark::current().on(async move {
            let run = AssertUnwindSafe(feed::run(feed, pipeline, readers, answers_out));
            let result = run.catch_unwind().await.unwrap_or_else(|panic| Err(Error::panicked(&*panic)));
            *finished.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            // Closed only now: whoever sees the end of the answers finds the outcome.
            drop(answers_in);
        }));
        Ok(QueryHandle { answers, progress, outcome, cancel, commands, complete_before: None })
    }
}

/// A running query. Dropping it ends the query.
pub struct QueryHandle {
    answers: mpsc::Receiver<Event>,
    progress: Arc<QueryProgress>,
    outcome: Outcome,
    cancel: CancellationToken,
    commands: mpsc::Sender<Ask>,
    complete_before: Option<i64>,
}

impl QueryHandle {
    /// The next batch of answers with their signs; `None` once the query has ended by itself.
    ///
    /// Errors: what ended the query; QUERY_WAS_CANCELLED (394) after a KILL. Safe to cancel.
    pub async fn next_answer(&mut self) -> Result<Option<Answer>> {
        loop {
            match self.next_event().await? {
                Some(Event::Answer { answer, .. }) => return Ok(Some(answer)),
                Some(Event::Cut(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// As `next_answer`, with the cuts among the answers.
    pub async fn next_event(&mut self) -> Result<Option<Event>> {
        let cancel = self.cancel.clone();
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(cancelled()),
            event = self.answers.recv() => match event {
                Some(event) => Ok(Some(self.noted(event))),
                None => self.outcome().map(|()| None),
            },
        }
    }

    /// What can be had without waiting.
    pub fn try_event(&mut self) -> Option<Event> {
        let event = self.answers.try_recv().ok()?;
        Some(self.noted(event))
    }

    fn noted(&mut self, event: Event) -> Event {
        if let Event::Answer { complete_before, .. } = &event {
            self.complete_before = complete_before.or(self.complete_before);
        }
        event
    }

    /// Asks for cuts while another task takes the answers.
    pub fn cut_asker(&self) -> CutAsker {
        CutAsker(self.commands.clone())
    }

    /// As `next_answer`, the rows alone.
    pub async fn next(&mut self) -> Result<Option<Batch>> {
        Ok(self.next_answer().await?.map(|a| a.delta.rows))
    }

    /// Where operators answer each row at once and one source reads one shard: the answers so far hold everything that comes of
    /// records before this sequence number. `None` while that is not known, as long as the past is read.
    pub fn complete_before(&self) -> Option<i64> {
        self.complete_before
    }

    fn outcome(&self) -> Result<()> {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone();
        outcome.unwrap_or_else(|| Err(Error::bug("a query ended without telling how")))
    }

    pub fn progress(&self) -> &Arc<QueryProgress> {
        &self.progress
    }

    /// Ends the query with QUERY_WAS_CANCELLED (394); what it held is freed as soon as its tasks see it.
    pub fn kill(&self) {
        self.cancel.cancel();
    }

    /// Asks for a checkpoint between two messages. Errors: QUERY_WAS_CANCELLED when the query ends before it.
    pub async fn checkpoint(&self) -> Result<Checkpoint> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Ask::Reply(reply)).await.map_err(|_| cancelled())?;
        answer.await.map_err(|_| cancelled())
    }
}

/// Asks a running query for cuts, which come among its answers.
#[derive(Clone)]
pub struct CutAsker(mpsc::Sender<Ask>);

impl CutAsker {
    /// Steps before `forget_before` will not be asked for again. Errors: QUERY_WAS_CANCELLED when the query has ended.
    pub async fn ask(&self, forget_before: u64) -> Result<()> {
        self.0.send(Ask::Among { forget_before }).await.map_err(|_| cancelled())
    }
}

impl Drop for QueryHandle {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

pub(super) fn cancelled() -> Error {
    Error::new(Code::QUERY_WAS_CANCELLED, "the query was cancelled")
}
