//! SELECT: history through DataFusion, streams through a pipeline, one answer for both.
//!
//! In: a query. Out: batches as they are made. Promise: a streaming query's sources are open before this returns, so that a
//! row inserted afterwards is seen.

use super::{Answer, Context};
use crate::catalog::Object;
use crate::catalog::lookup::Lookup;
use crate::external::decode::Decoder;
use crate::external::source::{ExternalSource, Opening};
use crate::query::{Item, Progress};
use crate::stream::source::{LogSource, Piece, Start};
use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use hydron_base::{Code, Error, Result, Settings};
use hydron_board::{Kind, Phase};
use hydron_external::Cuts;
use hydron_flow::host::{EndedReader, Origin, Resume, SourceCut, Step};
use hydron_flow::{
    BuildOptions, HostContext, JoinLimits, Pipeline, Query as Flow, QueryHandle, RunOptions, SourceItem, SourceKind,
    SourceReader,
};
use hydron_plan::bind::{Bound, bind_select_in};
use hydron_plan::{Change, Node, Plan, Scan, StreamKind};
use hydron_sql::ast::Query;
use hydron_types::{Batch, Schema};
use std::sync::Arc;

pub async fn run(cx: Context, query: Query) -> Result<Answer> {
    start(&cx, query, None).await
}

/// Binds and starts a query. `width`: the number of columns that the caller needs.
pub async fn start(cx: &Context, query: Query, width: Option<usize>) -> Result<Answer> {
    let bound = bind(cx, query).await?;
    if let Some(width) = width
        && bound.plan.schema.len() != width
    {
        let message = format!("the SELECT returns {} columns, {width} are expected", bound.plan.schema.len());
        return Err(Error::new(Code::NUMBER_OF_COLUMNS_DOESNT_MATCH, message));
    }
    cx.info.uses.lock().extend(bound.uses.iter().cloned());
    cx.info.set_phase(Phase::Run);
    if bound.limited {
        *cx.info.progress.rows_before_limit.lock() = Some(0);
    }
    if bound.streaming && width.is_none() {
        cx.info.set_loss(Kind::Stream);
    }
    if bound.streaming { run_stream(cx, bound.plan).await } else { history(cx, bound.plan).await }
}

pub async fn bind(cx: &Context, query: Query) -> Result<Bound> {
    let streaming = cx.settings.text("query_mode") != "table";
    bind_as(cx, query, streaming).await
}

/// `streaming`: a stream without `table()` around it is read without end.
pub async fn bind_as(cx: &Context, query: Query, streaming: bool) -> Result<Bound> {
    let lookup = cx.lookup();
    let mut bind_cx = cx.bind_context(streaming);
    if streaming && cx.settings.is_changed("query_mode") {
        let mut settings = (*cx.settings).clone();
        settings.reset("query_mode");
        bind_cx.settings = Arc::new(settings);
    }
    let text = Arc::clone(&cx.info.text);
    // Errors name line and column of the text; where only its beginning was kept, or not its secrets, they do without.
    let whole = cx.text().is_some();
    super::blocking(&cx.engine, move || {
        let whole = whole.then_some(&*text);
        let bound = bind_select_in(&query, whole, &lookup, &bind_cx)?;
        super::permit::reads(&lookup, Some(&bound.plan))?;
        Ok(bound)
    })
    .await
}

async fn history(cx: &Context, plan: Plan) -> Result<Answer> {
    if cx.settings.uint("max_block_size") == 0 {
        let error = Error::new(Code::PARAMETER_OUT_OF_BOUND, "setting 'max_block_size' cannot be 0");
        return Err(error.hint("1 or more rows"));
    }
    let schema = Arc::clone(&plan.schema);
    let lookup = cx.lookup();
    let progress = Arc::clone(&cx.info.progress);
    let items = super::blocking(&cx.engine, move || run_history_items(&lookup, plan, Some(progress))).await?;
    let items = if cx.settings.bool("extremes") { super::extremes::with_extremes(items) } else { items };
    Ok(Answer { schema: Some(schema), streaming: false, items })
}

/// Runs a bounded plan; the rows alone.
pub fn run_history(
    lookup: &Lookup,
    plan: Plan,
    progress: Option<Arc<Progress>>,
) -> Result<BoxStream<'static, Result<Batch>>> {
    let items = run_history_items(lookup, plan, progress)?;
    let rows = items.filter_map(|item| async move {
        match item {
            Ok(Item::Rows(batch)) => Some(Ok(batch)),
            Ok(_) => None,
            Err(e) => Some(Err(e)),
        }
    });
    Ok(rows.boxed())
}

fn run_history_items(
    lookup: &Lookup,
    plan: Plan,
    progress: Option<Arc<Progress>>,
) -> Result<BoxStream<'static, Result<Item>>> {
    crate::stream::table::execute(lookup, plan, progress)
}

/// How a streaming query with these settings is built.
pub fn build_options(settings: &Settings) -> BuildOptions {
    // Threads beyond one cost as much as they give for most queries: only who asks for them gets them.
    let asked = settings.is_changed("max_threads").then(|| settings.uint("max_threads").clamp(1, 64) as usize);
    BuildOptions {
        parallelism: asked.unwrap_or(1),
        emit_during_backfill: settings.bool("emit_during_backfill"),
        groups_max: usize::try_from(settings.uint("max_rows_to_group_by"))
            .ok()
            .filter(|n| *n > 0 && settings.text("group_by_overflow_mode") == "throw"),
        idle_ms: i64::try_from(settings.uint("idle_shard_timeout_ms")).ok().filter(|ms| *ms > 0),
        ttl_ms: i64::try_from(settings.uint("aggregate_state_ttl_sec"))
            .ok()
            .filter(|s| *s > 0)
            .map(|s| s.saturating_mul(1_000)),
        join: JoinLimits {
            bytes_max: settings.uint("join_max_buffered_bytes") as usize,
            versions_max: settings.uint("keep_versions") as usize,
        },
    }
}

async fn run_stream(cx: &Context, plan: Plan) -> Result<Answer> {
    let schema = Arc::clone(&plan.schema);
    let can_resume = is_answered_row_by_row(&plan);
    let pipeline = hydron_flow::build(&plan, build_options(&cx.settings))?;
    let handle = start_pipeline(cx, pipeline, Run { can_resume, ..Run::default() }).await?;
    let info = Arc::clone(&cx.info);
    let items = stream::unfold(Some(handle), move |state: Option<QueryHandle>| {
        let info = Arc::clone(&info);
        async move {
            let mut handle = state?;
            match handle.next().await {
                Ok(Some(batch)) => {
                    if let Some(sequence) = handle.complete_before().filter(|_| can_resume) {
                        info.set_complete_before(sequence);
                    }
                    Some((Ok(Item::Rows(batch)), Some(handle)))
                }
                Ok(None) => None,
                Err(e) => Some((Err(e), None)),
            }
        }
    });
    Ok(Answer { schema: Some(schema), streaming: true, items: items.boxed() })
}

/// Each row of one stream with one shard is answered when it comes, or never: a client that knows how far it got can go on from
/// there with `seek_to`. Anything that remembers rows would have to begin where they began.
fn is_answered_row_by_row(plan: &Plan) -> bool {
    match &plan.node {
        Node::Filter { input, .. } | Node::Project { input, .. } => is_answered_row_by_row(input),
        Node::Scan(scan) => {
            scan.stream.shards == 1 && scan.stream.kind != StreamKind::External && plan.change == Change::Append
        }
        _ => false,
    }
}

/// How a pipeline is run.
#[derive(Default)]
pub struct Run {
    /// It is to go on after a stop: its sources are read so that they can be read again.
    pub kept: bool,
    /// Its client may learn from where to go on.
    pub can_resume: bool,
    pub options: RunOptions,
}

/// Opens the sources of a pipeline and starts it. One that goes on from a cut has its operators restored already.
pub async fn start_pipeline(cx: &Context, pipeline: Pipeline, run: Run) -> Result<QueryHandle> {
    *cx.info.pipeline.lock() = Arc::from(pipeline.text.as_str());
    let saved = run.options.resume.as_ref().map(|r| r.cut.sources.clone());
    if let Some(saved) = &saved
        && saved.len() != pipeline.sources.len()
    {
        let message = format!("the checkpoint has {} sources, the query {}", saved.len(), pipeline.sources.len());
        return Err(Error::new(Code::RECOVER_CHECKPOINT_FAILED, message));
    }
    let mut readers: Vec<Box<dyn SourceReader>> = Vec::with_capacity(pipeline.sources.len());
    for (at, source) in pipeline.sources.iter().enumerate() {
        let saved = saved.as_ref().map(|s| &s[at]);
        readers.push(match &source.kind {
            SourceKind::Stream(scan) if scan.stream.kind == StreamKind::External => {
                let cuts = run.options.resume.as_ref().map(|r| cuts_of(r, at)).unwrap_or_default();
                open_external(cx, scan, &source.schema, saved, cuts).await?
            }
            SourceKind::Stream(scan) => open(cx, scan, &source.schema, run.kept, run.can_resume, saved).await?,
            SourceKind::Bounded(_) if saved.is_some_and(|s| s.ended) => Box::new(EndedReader),
            SourceKind::Bounded(plan) => bounded(cx, (**plan).clone()).await?,
        });
    }
    let context = HostContext {
        cancel: cx.info.cancel.clone(),
        memory: cx.info.memory(),
        zone: super::zone(&cx.settings),
        seed: rand::random(),
        ..HostContext::new(Arc::clone(&cx.engine.options.clock), cx.engine.cpu.handle().clone())
    };
    let handle = Flow::run(pipeline, readers, context, run.options)?;
    *cx.info.flow.lock() = Some(Arc::clone(handle.progress()));
    Ok(handle)
}

/// Where the pieces of a source ended that a query has read before.
fn cuts_of(resume: &Resume, source: usize) -> Cuts {
    let known = resume.cut.step + 1;
    let steps = resume.replay.steps.iter().zip(resume.replay.first..).filter(|(_, number)| *number >= known);
    Cuts::new(steps.filter_map(|(stamped, _)| match stamped.step {
        Step::Rows { source: of, shard, sequence } if of as usize == source => Some((shard, sequence)),
        _ => None,
    }))
}

/// Opens an external stream as a source, when a broker has answered.
async fn open_external(
    cx: &Context,
    scan: &Scan,
    schema: &Arc<Schema>,
    saved: Option<&SourceCut>,
    cuts: Cuts,
) -> Result<Box<dyn SourceReader>> {
    let stream = cx.engine.catalog.snapshot().stream_of(&scan.stream)?;
    let external = stream.external().cloned().ok_or_else(|| Error::bug("an external stream has no other side"))?;
    let (scan, schema, saved) = (scan.clone(), Arc::clone(schema), saved.cloned());
    let (lookup, bind_cx, eval_cx) = (cx.lookup(), cx.bind_context(true), cx.eval_context());
    let clock = Arc::clone(&cx.engine.options.clock);
    let progress = Arc::clone(&cx.info.progress);
    let open = move || {
        let definition = external.definition()?;
        let shards = lookup.settings.text("shards");
        let opening = Opening { seek: &scan.seek, shards, saved: saved.as_ref(), cuts, bounded: false };
        let reading = crate::external::source::begin(&definition, opening)?;
        let counters = Arc::clone(&external.counters);
        let decoder = Decoder::new(&definition, &scan, &schema, &lookup, &bind_cx, eval_cx, clock, counters)?;
        let in_past = saved.map(|s| s.in_past);
        Ok(Box::new(ExternalSource::new(reading, decoder, progress, in_past)) as Box<dyn SourceReader>)
    };
    super::blocking(&cx.engine, open).await
}

/// Opens one streaming source. `saved`: where it was. With `can_resume` its client may learn where it begins.
async fn open(
    cx: &Context,
    scan: &Scan,
    schema: &Arc<Schema>,
    kept: bool,
    can_resume: bool,
    saved: Option<&SourceCut>,
) -> Result<Box<dyn SourceReader>> {
    let info = &scan.stream;
    if info.kind == StreamKind::Random {
        let random = crate::stream::random_source::RandomSource::open(cx, scan, schema)?;
        return Ok(Box::new(random));
    }
    let state = cx.engine.catalog.snapshot();
    let store = Arc::clone(state.stream_of(info)?.stored()?);
    if let Object::MaterializedView(view) = state.existing(&info.database, &info.name)?
        && let Some(error) = cx.engine.views.get(view.info.uuid).and_then(|v| v.status().fatal())
    {
        // Nobody should wait for rows that do not come.
        return Err(error.context(format!("view {}", info.name)));
    }
    let backfill = cx.settings.bool("enable_backfill_from_historical_store");
    let scan = scan.clone();
    let (schema, clock) = (Arc::clone(schema), Arc::clone(&cx.engine.options.clock));
    let progress = Arc::clone(&cx.info.progress);
    let cpu = cx.engine.cpu.handle().clone();
    let saved = saved.cloned();
    let open = move || {
        let start = match &saved {
            None => Start::Seek { backfill, rereads: kept },
            Some(saved) => Start::Resume { origin: &saved.origin, in_past: saved.in_past },
        };
        LogSource::open(store, &scan, schema, clock, start, &cpu)
    };
    let source = super::blocking(&cx.engine, open).await?;
    if let Some(sequence) = source.begins_at().filter(|_| can_resume) {
        cx.info.begin_at(sequence);
    }
    Ok(Box::new(Reader { source, progress }))
}

/// A stream's log as the host reads it.
struct Reader {
    source: LogSource,
    progress: Arc<Progress>,
}

#[async_trait]
impl SourceReader for Reader {
    async fn next(&mut self) -> Result<Option<SourceItem>> {
        Ok(match self.source.next().await? {
            Some(Piece::Rows { batch, shard, sequence, more }) => {
                Progress::add(&self.progress.read_rows, batch.rows());
                Progress::add(&self.progress.read_bytes, batch.bytes());
                Some(match sequence {
                    Some(sequence) if more => SourceItem::Part { batch, shard, sequence },
                    _ => SourceItem::Rows { batch, shard, sequence },
                })
            }
            Some(Piece::CaughtUp) => Some(SourceItem::BackfillEnd),
            None => None,
        })
    }

    fn backfills(&self) -> bool {
        self.source.backfills()
    }

    fn origin(&self) -> Origin {
        self.source.origin()
    }
}

/// A part of a streaming plan that ends by itself: run as history, fed as a source.
async fn bounded(cx: &Context, plan: Plan) -> Result<Box<dyn SourceReader>> {
    let lookup = cx.lookup();
    let progress = Arc::clone(&cx.info.progress);
    let rows = super::blocking(&cx.engine, move || run_history(&lookup, plan, Some(progress))).await?;
    Ok(Box::new(Bounded { rows }))
}

struct Bounded {
    rows: BoxStream<'static, Result<Batch>>,
}

#[async_trait]
impl SourceReader for Bounded {
    async fn next(&mut self) -> Result<Option<SourceItem>> {
        let batch = self.rows.next().await.transpose()?;
        Ok(batch.map(|batch| SourceItem::Rows { batch, shard: 0, sequence: None }))
    }
}

/// What EXPLAIN of a historical query prints below the plan.
pub fn physical_text(lookup: &Lookup, plan: &Plan) -> Result<String> {
    crate::stream::table::explain(lookup, plan)
}
