//! SUBSCRIBE TO, RECOVER FROM, UNSUBSCRIBE TO, and the setting `exec_mode`: a streaming query whose state outlives it.
//!
//! In: a SELECT, or the id of one. Out: its rows, from where they were. Promise: after a RECOVER no row is missing; rows that
//! came after the last checkpoint come again.

use super::select::{self, Run};
use super::{Answer, Context, answer};
use crate::checkpoint::keeper::{Asking, interval};
use crate::checkpoint::{Definition, Keeper, epoch};
use crate::query::Item;
use futures::stream::{self, StreamExt};
use hydron_base::{Code, Error, Result};
use hydron_board::{Kind, Phase};
use hydron_flow::host::{Event, Resume};
use hydron_flow::{QueryHandle, RunOptions};
use hydron_plan::bind::query_settings;
use hydron_sql::ast::Query;
use hydron_store::checkpoint::{Epoch, Query as Known};
use std::sync::Arc;
use std::time::Duration;

/// How long UNSUBSCRIBE waits for a query that it ends.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// How a SELECT is to be run, by the setting `exec_mode`.
pub async fn by_mode(cx: Context, query: Query) -> Result<Answer> {
    match cx.settings.text("exec_mode") {
        "" | "normal" => select::run(cx, query).await,
        "subscribe" => subscribe(cx, query).await,
        "recover" => {
            let id = cx.info.query_id.to_string();
            recover_as(cx, &id, Some(query)).await
        }
        "unsubscribe" => {
            let id = cx.info.query_id.to_string();
            unsubscribe(cx, &id).await
        }
        other => Err(Error::new(Code::INVALID_SETTING_VALUE, format!("exec_mode '{other}' is unknown"))
            .hint("normal, subscribe, recover or unsubscribe")),
    }
}

pub async fn subscribe(cx: Context, query: Query) -> Result<Answer> {
    let id = cx.info.query_id.to_string();
    check_id(&id)?;
    let query = without_mode(query);
    let definition = Definition::new(query.to_string(), &cx.database, &cx.user, &cx.settings);
    start(cx, &id, query, definition, true).await
}

pub async fn recover(cx: Context, id: &str) -> Result<Answer> {
    recover_as(cx, id, None).await
}

/// `query`: what it is said to be; without it, what it was.
async fn recover_as(cx: Context, id: &str, query: Option<Query>) -> Result<Answer> {
    check_id(id)?;
    let definition = known(&cx, id).await?;
    let (kept_query, settings) = {
        let kept = crate::view::run::query_of(&definition.text)?;
        let mut settings = cx.engine.profile.clone();
        settings.overlay(&definition.settings());
        let settings = query_settings(&kept, &settings, None)?;
        (kept, Arc::new(settings))
    };
    *cx.info.settings.lock() = Arc::clone(&settings);
    let cx = Context { settings, database: Arc::from(definition.database.as_str()), ..cx };
    let definition = match &query {
        // Compared with the state that is there: another query cannot go on from it.
        Some(query) => Definition { text: without_mode(query.clone()).to_string(), ..definition },
        None => definition,
    };
    start(cx, id, query.map_or(kept_query, without_mode), definition, false).await
}

/// The state of a query goes; if it runs it ends.
pub async fn unsubscribe(cx: Context, id: &str) -> Result<Answer> {
    check_id(id)?;
    known(&cx, id).await?;
    if let Some(running) = cx.engine.queries.get(id).filter(|q| !Arc::ptr_eq(q, &cx.info)) {
        running.cancel.cancel();
        let _ = tokio::time::timeout(END_PATIENCE, running.wait_ended()).await;
    }
    let (checkpoints, id) = (Arc::clone(&cx.engine.checkpoints), id.to_string());
    let now = cx.engine.options.clock.now();
    super::blocking(&cx.engine, move || Ok(checkpoints.delete(&id, now)?)).await?;
    Ok(answer::nothing())
}

/// Errors: RESOURCE_NOT_FOUND (2003) for an id that never subscribed, QUERY_WAS_CANCELLED (394) for one that was given up,
/// ACCESS_DENIED (497) for another user's.
async fn known(cx: &Context, id: &str) -> Result<Definition> {
    let (checkpoints, of) = (Arc::clone(&cx.engine.checkpoints), id.to_string());
    let found = super::blocking(&cx.engine, move || Ok(checkpoints.query(&of)?)).await?;
    let definition = match found {
        Known::Known(bytes) => Definition::from_bytes(&bytes)?,
        Known::Deleted => {
            let message = format!("query '{id}' was unsubscribed, its state is gone");
            return Err(Error::new(Code::QUERY_WAS_CANCELLED, message));
        }
        Known::Unknown => {
            let message = format!("no state of a query '{id}' is kept");
            return Err(Error::new(Code::RESOURCE_NOT_FOUND, message).hint("SUBSCRIBE TO a streaming SELECT first"));
        }
    };
    if definition.user != *cx.user {
        let message = format!("query '{id}' belongs to user {}", definition.user);
        return Err(Error::new(Code::ACCESS_DENIED, message));
    }
    Ok(definition)
}

/// Ids of views are theirs.
fn check_id(id: &str) -> Result<()> {
    match id.starts_with(".inner.") {
        true => Err(Error::bad_arguments(format!("query id '{id}' is that of a view"))),
        false => Ok(()),
    }
}

/// Binds a query and starts it, from the newest epoch or anew.
async fn start(cx: Context, id: &str, query: Query, mut definition: Definition, anew: bool) -> Result<Answer> {
    let bound = select::bind_as(&cx, query, true).await?;
    if anew && !bound.json_path_types.is_empty() {
        definition.settings.push(("json_path_types".to_string(), bound.json_path_types.clone()));
    }
    if !bound.streaming {
        return Err(Error::not_implemented("SUBSCRIBE TO a query that ends by itself"));
    }
    crate::checkpoint::keepable::check(&bound.plan)?;
    cx.info.uses.lock().extend(bound.uses.iter().cloned());
    cx.info.set_phase(Phase::Run);
    cx.info.set_loss(Kind::Stream);
    let mut pipeline = hydron_flow::build(&bound.plan, select::build_options(&cx.settings))?;
    let fingerprint = epoch::fingerprint(&definition.text, &pipeline);
    let found = prepare(&cx, id, &definition, anew).await?;
    let mut resume = None;
    if let Some(stored) = &found {
        let cut = epoch::from_stored(stored, &fingerprint)?;
        pipeline.restore(&stored.state).map_err(|e| {
            let message = format!("the state of epoch {} cannot be read: {}", stored.number, e.message);
            Error::new(Code::RECOVER_CHECKPOINT_FAILED, message)
        })?;
        let replay = hydron_flow::host::Steps::starting_at(cut.step + 1);
        resume = Some(Resume { cut, replay });
    }
    let engine = Arc::clone(&cx.engine);
    let keeper = Keeper::new(
        id,
        &engine.checkpoints,
        &engine.options.clock,
        engine.cpu.handle(),
        interval(&cx.settings, engine.options.checkpoint.interval),
        fingerprint,
        epoch::sources(&pipeline),
        found.map(|e| (e.number, e.manifest)),
        false,
    )?;
    let run = Run { kept: true, options: RunOptions { resume, ..RunOptions::default() }, ..Run::default() };
    let handle = select::start_pipeline(&cx, pipeline, run).await?;
    engine.keepers.add(&keeper);
    let asking = keeper.ask(handle.cut_asker());
    let rows = Kept { handle, keeper, _asking: asking };
    let items = stream::unfold(Some(rows), |state| async move {
        let mut rows = state?;
        match rows.next().await {
            Ok(Some(item)) => Some((Ok(item), Some(rows))),
            Ok(None) => None,
            Err(e) => Some((Err(e), None)),
        }
    });
    Ok(Answer { schema: Some(Arc::clone(&bound.plan.schema)), streaming: true, items: items.boxed() })
}

/// Makes the directory of a new subscription, or finds the newest epoch of an old one.
async fn prepare(cx: &Context, id: &str, definition: &Definition, anew: bool) -> Result<Option<Epoch>> {
    let (checkpoints, id, now) = (Arc::clone(&cx.engine.checkpoints), id.to_string(), cx.now);
    let definition = definition.to_bytes()?;
    let found = super::blocking(&cx.engine, move || {
        if anew {
            checkpoints.create(&id, &definition, now)?;
            return Ok(Default::default());
        }
        Ok(checkpoints.newest(&id)?)
    })
    .await?;
    found.damaged.iter().for_each(|damaged| tracing::error!("state of a subscription: {damaged}"));
    Ok(found.epoch)
}

/// The rows of a kept query; cuts go to their keeper once all rows before them were taken.
struct Kept {
    handle: QueryHandle,
    keeper: Arc<Keeper>,
    _asking: Asking,
}

impl Kept {
    async fn next(&mut self) -> Result<Option<Item>> {
        loop {
            match self.handle.next_event().await? {
                Some(Event::Answer { answer, .. }) => return Ok(Some(Item::Rows(answer.delta.rows))),
                // Written in the background.
                Some(Event::Cut(answer)) => drop(self.keeper.on_cut(answer, None)),
                None => return Ok(None),
            }
        }
    }
}

/// The query without the setting that says how it is run.
fn without_mode(mut query: Query) -> Query {
    fn strip(body: &mut hydron_sql::ast::QueryBody) {
        use hydron_sql::ast::QueryBody;
        match body {
            QueryBody::Select(select) => select.settings.retain(|s| s.name != "exec_mode"),
            QueryBody::Nested(query) => strip(&mut query.body),
            QueryBody::Set(set) => {
                strip(&mut set.first);
                set.rest.iter_mut().for_each(|(_, body)| strip(body));
            }
        }
    }
    strip(&mut query.body);
    query.pipe.iter_mut().for_each(|stage| strip(&mut stage.body));
    query
}
