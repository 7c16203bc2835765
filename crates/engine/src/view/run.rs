//! One run of a view: from its newest checkpoint, or from the start, until something ends it.

use super::outward::Outward;
use super::recover::recover;
use super::status::{State, Status};
use super::target::Target;
use super::unit::Unit;
use super::writer::Writer;
use crate::catalog::{MaterializedView, Temporary};
use crate::checkpoint::{Keeper, KeptAt, epoch, keeper};
use crate::engine::Inner;
use crate::grounds::Reader;
use crate::query::{Progress, QueryGuard, QueryOptions};
use crate::session::Session;
use crate::statement::Context;
use crate::statement::select::{self, Run};
use hydron_access::Enabled;
use hydron_base::memory::Reserved;
use hydron_base::{Budget, Code, Error, Result, Settings};
use hydron_board::Kind;
use hydron_flow::host::{Answer, CutAnswer, Event, RecordId, Resume, Steps};
use hydron_flow::{QueryHandle, RunOptions};
use hydron_plan::bind::{Bound, query_settings};
use hydron_sql::ast::{Query, StatementKind};
use hydron_store::checkpoint::{Manifest, OutputPosition};
use hydron_store::log::Sequence;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;
use uuid::Uuid;

/// A view on its way: what it is, and what others see of it.
pub struct Job<'a> {
    pub engine: &'a Arc<Inner>,
    pub view: &'a Arc<MaterializedView>,
    pub status: &'a watch::Sender<Status>,
    /// The record at which the run failed, if it was at one.
    pub failed_at: &'a Mutex<Option<RecordId>>,
    /// Records that are passed over.
    pub skip: &'a BTreeSet<RecordId>,
}

impl Job<'_> {
    fn enter(&self, state: State) {
        self.status.send_modify(|s| s.enter(state));
    }

    /// Runs until it fails. An end of the query is a failure too: a view has none.
    pub async fn run(&self) -> Result<Infallible> {
        crate::statement::refuse::quarantined(&self.view.info.select)?;
        let guard = self.enlist()?;
        let info = Arc::clone(&guard.info);
        let result = info.mark().on(self.run_enlisted(&info)).await;
        let mut guard = guard;
        match result {
            Ok(never) => match never {},
            Err(e) => {
                *self.failed_at.lock() = info.flow.lock().as_ref().and_then(|f| f.current());
                let e = info.told(e);
                guard.note_error(&e);
                Err(e)
            }
        }
    }

    /// Enters the query in the list of those that run.
    fn enlist(&self) -> Result<QueryGuard> {
        let session = Session::new(Arc::clone(&self.view.user), Arc::clone(&self.view.session_database));
        let options = QueryOptions {
            query_id: super::query_id(self.view.info.uuid),
            interface: "view",
            ..QueryOptions::default()
        };
        let guard = self.engine.queries.start(&session, &self.view.info.select, &options)?;
        *guard.info.kind.lock() = "MaterializedView";
        guard.info.set_loss(Kind::Other);
        guard.info.streaming.store(true, Ordering::Relaxed);
        Ok(guard)
    }

    async fn run_enlisted(&self, info: &Arc<crate::query::QueryInfo>) -> Result<Infallible> {
        let engine = self.engine;
        self.enter(State::CheckingDependencies);
        let state = engine.catalog.snapshot();
        for (database, name) in &self.view.reads {
            if &**database != crate::system::DATABASE {
                state.existing(database, name)?;
            }
        }
        let stream = state.target(self.view)?;
        self.enter(State::BuildingPipeline);
        let (cx, bound) = bind(engine, self.view, info).await?;
        info.uses.lock().extend(bound.uses.iter().cloned());
        info.uses.lock().push(self.view.target.clone());
        let schema = Arc::clone(&bound.plan.schema);
        // One task: what it does is told step by step.
        let build = hydron_flow::BuildOptions { parallelism: 1, ..select::build_options(&cx.settings) };
        let mut pipeline = hydron_flow::build(&bound.plan, build)?;
        let fingerprint = epoch::fingerprint(&self.view.info.select, &pipeline);
        let sources = epoch::sources(&pipeline);
        if let Some(external) = stream.external().cloned() {
            // Waits for a broker, where a thread may wait.
            crate::statement::blocking(engine, move || external.writer().map(drop)).await?;
        }
        let mut target = Target::open(
            stream,
            &schema,
            &cx.lookup(),
            &cx.bind_context(false),
            cx.eval_context(),
            Arc::clone(&info.progress),
            info.memory(),
        )?;
        let id = super::query_id(self.view.info.uuid);
        if target.stream.external().is_some() {
            return self.outward(&cx, target, pipeline, fingerprint, sources).await;
        }
        let mut writer = Writer {
            view: self.view.info.uuid,
            id: id.clone(),
            store: Arc::clone(target.stream.stored()?),
            checkpoints: Arc::clone(&engine.checkpoints),
            clock: Arc::clone(&engine.options.clock),
            next_unit: 1,
        };
        let (resume, from) = match self.newest(&id).await? {
            None => (None, None),
            Some(stored) => {
                let cut = epoch::from_stored(&stored, &fingerprint)?;
                restore(&mut pipeline, &stored)?;
                let output = stored.manifest.output.clone().unwrap_or_default();
                let found =
                    recover(&writer.store, &engine.checkpoints, &id, self.view.info.uuid, &output, cut.step).await?;
                writer.next_unit = found.next_unit;
                (Some(Resume { cut, replay: found.steps }), Some((stored.number, stored.manifest)))
            }
        };
        let released = from.is_some();
        let is_ahead = resume.as_ref().is_some_and(|r| !r.replay.steps.is_empty());
        let keeper = Keeper::new(
            &id,
            &engine.checkpoints,
            &engine.options.clock,
            engine.cpu.handle(),
            keeper::interval(&cx.settings, engine.options.checkpoint.interval),
            fingerprint,
            sources,
            from,
            is_ahead,
        )?;
        let run = Run {
            kept: true,
            options: RunOptions { traced: true, cut_first: resume.is_none(), resume, skip: self.skip.clone() },
            ..Run::default()
        };
        let handle = select::start_pipeline(&cx, pipeline, run).await?;
        self.enter(State::ExecutingPipeline);
        engine.keepers.add(&keeper);
        let _asking = keeper.ask(handle.cut_asker());
        let sink = Sink {
            job: self,
            keeper,
            writer,
            target: &mut target,
            released,
            held: Unit::default(),
            progress: Arc::clone(&info.progress),
        };
        sink.drive(handle).await
    }

    /// The rest of a run whose rows go to an external stream.
    async fn outward(
        &self,
        cx: &Context,
        mut target: Target,
        mut pipeline: hydron_flow::Pipeline,
        fingerprint: String,
        sources: Vec<(String, Uuid)>,
    ) -> Result<Infallible> {
        let engine = self.engine;
        let id = super::query_id(self.view.info.uuid);
        let (resume, from) = match self.newest(&id).await? {
            None => (None, None),
            Some(stored) => {
                let cut = epoch::from_stored(&stored, &fingerprint)?;
                restore(&mut pipeline, &stored)?;
                let replay = Steps::starting_at(cut.step + 1);
                (Some(Resume { cut, replay }), Some((stored.number, stored.manifest)))
            }
        };
        let keeper = Keeper::new(
            &id,
            &engine.checkpoints,
            &engine.options.clock,
            engine.cpu.handle(),
            keeper::interval(&cx.settings, engine.options.checkpoint.interval),
            fingerprint,
            sources,
            from,
            false,
        )?;
        let run = Run {
            kept: true,
            options: RunOptions { resume, skip: self.skip.clone(), ..RunOptions::default() },
            ..Run::default()
        };
        let handle = select::start_pipeline(cx, pipeline, run).await?;
        self.enter(State::ExecutingPipeline);
        engine.keepers.add(&keeper);
        let _asking = keeper.ask(handle.cut_asker());
        let (clock, progress) = (Arc::clone(&engine.options.clock), Arc::clone(&cx.info.progress));
        Outward { job: self, keeper, target: &mut target, clock, progress }.drive(handle).await
    }

    /// The newest epoch; where there is no state at all the view begins anew.
    async fn newest(&self, id: &str) -> Result<Option<hydron_store::checkpoint::Epoch>> {
        let (checkpoints, id, now) =
            (Arc::clone(&self.engine.checkpoints), id.to_string(), self.engine.options.clock.now());
        let select = self.view.info.select.clone();
        let found = crate::statement::blocking(self.engine, move || {
            let found = checkpoints.newest(&id)?;
            if found.epoch.is_none() && found.damaged.is_empty() {
                checkpoints.create(&id, select.as_bytes(), now)?;
            }
            Ok(found)
        })
        .await?;
        for damaged in &found.damaged {
            tracing::error!("state of view {}: {damaged}", self.view.info.name);
        }
        match found.epoch {
            None if !found.damaged.is_empty() => {
                let message = format!("no epoch of the view can be read: {}", found.damaged.join("; "));
                Err(Error::new(Code::RECOVER_CHECKPOINT_FAILED, message).hint("DROP VIEW and CREATE it again"))
            }
            found => {
                if let Some(epoch) = &found {
                    self.hold(std::slice::from_ref(&Arc::new(epoch.manifest.clone())));
                }
                Ok(found)
            }
        }
    }

    /// A unit of so many rows has been written.
    pub fn count(&self, rows: usize) {
        self.status.send_modify(|s| {
            s.units += 1;
            s.rows_written += rows as u64;
        });
    }

    /// An epoch is on disk.
    pub fn noted(&self, keeper: &Keeper, kept: KeptAt) {
        self.hold(&keeper.manifests());
        self.status.send_modify(|s| s.kept(kept));
    }

    /// Keeps the logs from dropping what the view would read again from these epochs.
    fn hold(&self, manifests: &[Arc<Manifest>]) {
        let Some(oldest) = manifests.first() else { return };
        let mut needed: HashMap<Uuid, Vec<(u32, Sequence)>> = HashMap::new();
        for source in oldest.sources.iter().filter(|s| !s.ended) {
            let from = source.positions.iter().map(|(shard, sn)| (*shard, Sequence((sn + 1).max(0) as u64)));
            needed.entry(source.stream).or_default().extend(from);
        }
        if let Some(output) = &oldest.output {
            let from = output.from.iter().map(|(shard, from)| (*shard, Sequence(*from)));
            needed.entry(output.stream).or_default().extend(from);
        }
        for (stream, from) in needed {
            if let Some(store) = self.engine.streams.get(stream) {
                store.hold_for(self.view.info.uuid, from);
            }
        }
    }
}

fn restore(pipeline: &mut hydron_flow::Pipeline, stored: &hydron_store::checkpoint::Epoch) -> Result<()> {
    pipeline.restore(&stored.state).map_err(|e| {
        let message = format!("the state of epoch {} cannot be read: {}", stored.number, e.message);
        Error::new(Code::RECOVER_CHECKPOINT_FAILED, message)
    })
}

/// Binds the query of a view as its maker would, in a streaming session.
pub async fn bind(
    engine: &Arc<Inner>,
    view: &MaterializedView,
    info: &Arc<crate::query::QueryInfo>,
) -> Result<(Context, Bound)> {
    let query = query_of(&view.info.select)?;
    let settings = Arc::new(settings_of(engine, view)?);
    *info.settings.lock() = Arc::clone(&settings);
    // It goes on with what its owner could read when it began; another plan could not go on from its state.
    info.grounds.close();
    info.set_memory(Budget::query(&engine.memory, settings.uint("max_memory_usage")));
    let access = match &view.info.owner {
        Some(owner) => engine.access.enabled(owner, None),
        None => Arc::new(Enabled::everything(&view.user)),
    };
    let cx = Context {
        engine: Arc::clone(engine),
        user: Arc::clone(&view.user),
        reader: Reader::of(&access, None),
        access,
        database: Arc::clone(&view.session_database),
        settings,
        info: Arc::clone(info),
        now: engine.options.clock.now(),
        format: None,
        temporary: Temporary::default(),
    };
    let bound = select::bind_as(&cx, query, true).await?;
    if !bound.streaming {
        return Err(not_streaming(&view.info.name));
    }
    // A function may have been replaced since the view was made.
    crate::checkpoint::keepable::check(&bound.plan)?;
    Ok((cx, bound))
}

/// The settings under which the query of a view runs.
pub fn settings_of(engine: &Inner, view: &MaterializedView) -> Result<Settings> {
    let mut settings = engine.profile.clone();
    settings.overlay(&view.settings);
    query_settings(&query_of(&view.info.select)?, &settings, None)
}

pub fn not_streaming(name: &str) -> Error {
    Error::new(Code::INCORRECT_QUERY, format!("the SELECT of materialized view {name} reads no stream without end"))
        .hint("a stream, without table() around it")
}

pub fn query_of(text: &str) -> Result<Query> {
    match hydron_sql::parse_statement(text)?.statement.kind {
        StatementKind::Query(query) => Ok(*query),
        _ => Err(Error::bug("the query of a view is none")),
    }
}

/// What takes the answers of a run.
struct Sink<'a> {
    job: &'a Job<'a>,
    keeper: Arc<Keeper>,
    writer: Writer,
    target: &'a mut Target,
    /// The first epoch is on disk. Before that nothing is written: a stop would begin anew.
    released: bool,
    held: Unit,
    progress: Arc<Progress>,
}

impl Sink<'_> {
    async fn drive(mut self, mut handle: QueryHandle) -> Result<Infallible> {
        let mut kept = self.keeper.watch();
        self.noted(kept.borrow_and_update().clone());
        let mut next = None;
        loop {
            let event = match next.take() {
                Some(event) => event,
                None => tokio::select! {
                    biased;
                    changed = kept.changed() => {
                        if changed.is_ok() {
                            let now = kept.borrow_and_update().clone();
                            self.noted(now);
                        }
                        continue;
                    }
                    event = handle.next_event() => event?.ok_or_else(|| ended(&self.job.view.info.name))?,
                },
            };
            match event {
                Event::Cut(answer) => self.cut(answer).await?,
                Event::Answer { answer, held, steps, .. } if !self.released => self.held.push(answer, held, steps)?,
                Event::Answer { answer, held, steps, .. } => {
                    next = self.unit(&mut handle, (answer, held, steps)).await?;
                }
            }
        }
    }

    /// Gathers what is there already, up to a full unit, and writes it. Returns what came behind it.
    async fn unit(
        &mut self,
        handle: &mut QueryHandle,
        first: (Answer, Reserved, Option<hydron_flow::host::Steps>),
    ) -> Result<Option<Event>> {
        let mut unit = Unit::default();
        unit.push(first.0, first.1, first.2)?;
        let mut behind = None;
        while !unit.is_full() {
            let event = match handle.try_event() {
                Some(event) => event,
                None if unit.is_whole() => break,
                None => handle.next_event().await?.ok_or_else(|| ended(&self.job.view.info.name))?,
            };
            match event {
                Event::Answer { answer, held, steps, .. } => unit.push(answer, held, steps)?,
                cut => {
                    behind = Some(cut);
                    break;
                }
            }
        }
        self.write(unit).await?;
        Ok(behind)
    }

    async fn write(&mut self, unit: Unit) -> Result<()> {
        let rows = unit.rows();
        let records = self.target.records(&unit.answers, self.writer.clock.now())?;
        self.writer.write(records, &unit.steps).await?;
        self.count(rows);
        Ok(())
    }

    fn count(&self, rows: usize) {
        Progress::add(&self.progress.written_rows, rows);
        self.job.count(rows);
    }

    /// All that came before the cut is in the log, or is put into the outbox.
    async fn cut(&mut self, answer: CutAnswer) -> Result<()> {
        let output = OutputPosition {
            stream: self.target.stream.info.uuid,
            next_unit: self.writer.next_unit,
            from: self.writer.ends(),
        };
        if self.released {
            // Written in the background; if that fails the state is taken again later.
            drop(self.keeper.on_cut(answer, Some(output)));
            return Ok(());
        }
        let CutAnswer::At(checkpoint) = answer else { return Ok(()) };
        let held = std::mem::take(&mut self.held);
        let records = match held.is_empty() {
            true => Vec::new(),
            false => self.target.records(&held.answers, self.writer.clock.now())?,
        };
        if !records.is_empty() {
            let mut none = Vec::new();
            let steps = hydron_flow::host::Steps::starting_at(checkpoint.cut.step + 1);
            crate::checkpoint::steps::encode(&steps, &mut none);
            self.writer.put_outbox(&records, &none).await?;
        }
        let written = self.keeper.on_cut(CutAnswer::At(checkpoint), Some(output));
        if let Some(written) = written {
            written.await.map_err(|e| Error::bug(format!("the first checkpoint of a view: {e}")))??;
        }
        self.released = true;
        if !records.is_empty() {
            self.writer.write_kept(records).await?;
            self.count(held.rows());
        }
        Ok(())
    }

    fn noted(&self, kept: KeptAt) {
        self.job.noted(&self.keeper, kept);
    }
}

pub fn ended(name: &str) -> Error {
    Error::new(Code::ABORTED, format!("the query of view {name} came to an end"))
}
