//! `ALTER VIEW mv MODIFY QUERY select` and `MODIFY QUERY SETTING …` of a materialized view.
//!
//! In: another query for a view that runs. Out: the view with that query, at the place where it was. Promise: no row of the sources
//! is left out or taken twice; groups, windows and joined rows that the view has kept stay where the new query gives them the
//! same meaning, and where it does not the ALTER is refused and changes nothing.

use super::super::{Context, blocking, select};
use crate::catalog::{MaterializedView, Object};
use crate::checkpoint::epoch;
use crate::statement::materialized::{self, context_of, entry};
use crate::view::query_id;
use crate::view::target::common;
use hydron_base::{Code, Error, Result};
use hydron_flow::{BuildOptions, Pipeline};
use hydron_plan::ViewInfo;
use hydron_plan::bind::{apply_settings, source_names};
use hydron_sql::ast::{AlterCommand, ObjectName, Query, Setting, StatementKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long an ALTER waits for the last checkpoint of the query that was, and for the first step of the one that comes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Operators that remember nothing of the rows they have seen.
const STATELESS: &[&str] = &["Filter", "Project", "AssignWindow", "ArrayJoin", "Sort", "Tail", "Signs"];

/// What is changed of a view.
pub enum Change {
    Query(Query),
    Settings(Vec<Setting>),
}

/// The one change that the commands make, if they make one.
///
/// Errors: NOT_IMPLEMENTED (48) for one beside other commands.
pub fn change_of(commands: &[AlterCommand]) -> Result<Option<Change>> {
    let of = |c: &AlterCommand| match c {
        AlterCommand::ModifyQuery(query) => Some(Change::Query((**query).clone())),
        AlterCommand::ModifyQuerySetting(settings) => Some(Change::Settings(settings.clone())),
        _ => None,
    };
    match commands {
        [one] => Ok(of(one)),
        several if several.iter().any(|c| of(c).is_some()) => {
            Err(Error::not_implemented("MODIFY QUERY beside other commands of one ALTER"))
        }
        _ => Ok(None),
    }
}

/// What becomes of the state that a view has kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// Neither query has any: only the places in the sources count.
    Stateless,
    Kept,
}

pub async fn run(cx: &Context, name: &ObjectName, change: Change) -> Result<()> {
    let (database, full) = cx.full_name(name);
    let engine = Arc::clone(&cx.engine);
    let changes = engine.catalog.lock_changes().await;
    let state = engine.catalog.snapshot();
    let Object::MaterializedView(old) = state.existing(&database, &full)? else {
        let text = format!("{database}.{full} is no materialized view");
        return Err(Error::new(Code::INCORRECT_QUERY, text).hint("CREATE OR REPLACE VIEW"));
    };
    let old = Arc::clone(old);
    let new = Arc::new(changed(cx, &old, change)?);
    let (before, _) = pipeline_of(cx, &old).await?;
    let (after, schema) = pipeline_of(cx, &new).await?;
    let fit = fit(&before, &after).map_err(|why| {
        let text = format!("what view {full} has kept does not fit its new query: {why}");
        Error::new(Code::INCORRECT_QUERY, text).hint("CREATE OR REPLACE MATERIALIZED VIEW, which begins anew")
    })?;
    let target = state.target(&old)?;
    let found = common(&target.info, &schema)?.len();
    if old.is_inner && found < schema.fields.len() {
        let has = |name: &str| name == "_tp_delta" || target.info.column(name).is_some();
        let lacking = schema.fields.iter().find(|f| !has(&f.name)).map_or("", |f| &*f.name);
        let text = format!("view {full} stores no column \"{lacking}\"");
        return Err(Error::new(Code::NO_SUCH_COLUMN_IN_STREAM, text)
            .hint("CREATE OR REPLACE MATERIALIZED VIEW, or a view INTO a stream that can be altered"));
    }
    let id = query_id(old.info.uuid);
    // The last checkpoint of the query that was: what it wrote behind it is known by its steps.
    let keeper = engine.keepers.running().into_iter().find(|k| k.id() == id);
    if let Some(keeper) = keeper
        && !keeper.flush(tokio::time::Instant::now() + PATIENCE).await
    {
        let text = format!("no checkpoint of view {full} was written in time, it goes on as it was");
        return Err(Error::new(Code::TIMEOUT_EXCEEDED, text).hint("see checkpoint_error in system.materialized_views"));
    }
    engine.views.remove(old.info.uuid).await;
    let stored = blocking(&engine, {
        let (engine, new, id) = (Arc::clone(&engine), Arc::clone(&new), id.clone());
        let now = cx.now;
        move || {
            move_state(&engine, &id, &new, &after, fit, now)?;
            Ok(engine.catalog_store.put(entry(&new))?)
        }
    })
    .await;
    let view = if stored.is_ok() { &new } else { &old };
    engine.catalog.update(|state| {
        if let Some(db) = state.databases.get_mut(&database) {
            db.objects.insert(Arc::clone(&full), Object::MaterializedView(Arc::clone(view)));
        }
    });
    let run = engine.views.start(&engine, view);
    drop(changes);
    stored?;
    if new.paused.load(Ordering::Acquire) {
        return Ok(());
    }
    run.wait_kept(PATIENCE).await
}

/// The view as it will be.
fn changed(cx: &Context, old: &MaterializedView, change: Change) -> Result<MaterializedView> {
    let StatementKind::CreateMaterializedView(mut create) =
        hydron_sql::parse_statement(&old.create_text)?.statement.kind
    else {
        return Err(Error::bug("the text of a view is not a CREATE MATERIALIZED VIEW"));
    };
    let mut settings = old.settings.clone();
    let (select, reads) = match change {
        Change::Query(query) => {
            let reads = source_names(&query, &cx.lookup());
            if reads.iter().any(|(d, n)| **d == *old.target.0 && **n == *old.target.1) {
                return Err(Error::bad_arguments(format!("the view would read its own target {}", old.target.1)));
            }
            create.query = Box::new(query);
            let reads = reads.into_iter().map(|(d, n)| (Arc::from(d), Arc::from(n))).collect();
            (create.query.to_string(), reads)
        }
        Change::Settings(list) => {
            apply_settings(&mut settings, &list, cx.text())?;
            create.storage.settings.retain(|s| list.iter().all(|l| l.name != s.name));
            create.storage.settings.extend(list);
            (old.info.select.clone(), old.reads.clone())
        }
    };
    Ok(MaterializedView {
        info: Arc::new(ViewInfo { select, ..(*old.info).clone() }),
        create_text: crate::statement::text::multi_line(StatementKind::CreateMaterializedView(create)),
        reads,
        target: old.target.clone(),
        is_inner: old.is_inner,
        session_database: Arc::clone(&old.session_database),
        user: Arc::clone(&old.user),
        settings,
        paused: AtomicBool::new(old.paused.load(Ordering::Acquire)),
    })
}

/// The operators of a view's query, and its columns.
async fn pipeline_of(cx: &Context, view: &MaterializedView) -> Result<(Pipeline, Arc<hydron_types::Schema>)> {
    let query = crate::view::run::query_of(&view.info.select)?;
    let settings = Arc::new(crate::view::run::settings_of(&cx.engine, view)?);
    let of_view = Context {
        database: Arc::clone(&view.session_database),
        user: Arc::clone(&view.user),
        settings,
        format: None,
        ..context_of(cx)
    };
    let bound = select::bind_as(&of_view, query, true).await?;
    if !bound.streaming {
        return Err(crate::view::run::not_streaming(&view.info.name));
    }
    let options = BuildOptions { parallelism: 1, ..select::build_options(&of_view.settings) };
    Ok((hydron_flow::build(&bound.plan, options)?, Arc::clone(&bound.plan.schema)))
}

/// Whether what `before` has kept means the same to `after`; the error says why not.
fn fit(before: &Pipeline, after: &Pipeline) -> std::result::Result<Fit, String> {
    let (was, is) = (epoch::sources(before), epoch::sources(after));
    if was != is {
        return Err("it reads other sources".to_string());
    }
    let lines = |p: &Pipeline| p.text.lines().map(|l| l.trim().to_string()).collect::<Vec<_>>();
    let (was, is) = (lines(before), lines(after));
    let first = |lines: &[String]| lines.iter().position(|l| !is_stateless(l));
    let (Some(kept), Some(now)) = (first(&was), first(&is)) else {
        return match (first(&was), first(&is)) {
            (None, None) => Ok(Fit::Stateless),
            (None, Some(at)) => Err(format!("\"{}\" has seen none of the rows so far", is[at])),
            (Some(at), _) => Err(format!("\"{}\" is not in it", was[at])),
        };
    };
    // Conditions on what comes in may change; everything else below decides what was kept.
    let deciding = |lines: &[String]| lines.iter().filter(|l| word(l) != "Filter").cloned().collect::<Vec<_>>();
    let (kept, now) = (deciding(&was[kept..]), deciding(&is[now..]));
    if let Some((a, b)) = kept.iter().zip(&now).find(|(a, b)| a != b) {
        return Err(format!("\"{a}\" would be \"{b}\""));
    }
    if kept.len() != now.len() {
        return Err("it has another number of operators".to_string());
    }
    let columns = |p: &Pipeline| p.sources.iter().map(|s| format!("{:?}", s.schema)).collect::<Vec<_>>();
    if columns(before) != columns(after) {
        return Err("it reads other columns".to_string());
    }
    Ok(Fit::Kept)
}

fn word(line: &str) -> &str {
    line.split([' ', ';']).next().unwrap_or_default()
}

fn is_stateless(line: &str) -> bool {
    STATELESS.contains(&word(line))
}

/// Puts the newest state under the fingerprint of the new query. Blocks.
fn move_state(
    engine: &crate::engine::Inner,
    id: &str,
    view: &MaterializedView,
    pipeline: &Pipeline,
    fit: Fit,
    now: hydron_base::world::WallTime,
) -> Result<()> {
    let Some(mut newest) = engine.checkpoints.newest(id)?.epoch else { return Ok(()) };
    newest.number += 1;
    newest.manifest.fingerprint = epoch::fingerprint(&view.info.select, pipeline);
    if fit == Fit::Stateless {
        newest.state = pipeline.snapshot()?.into();
    }
    Ok(engine.checkpoints.commit(id, &newest, now)?)
}

/// A view that takes the place of another one: that one ends, with its state and its own stream.
///
/// Errors: HAVE_DEPENDENT_OBJECTS (630), STREAM_ALREADY_EXISTS (57) where the name is no materialized view's.
pub async fn replace(cx: &Context, database: &str, name: &str) -> Result<()> {
    let state = cx.engine.catalog.snapshot();
    let Some(object) = state.object(database, name) else { return Ok(()) };
    let Object::MaterializedView(old) = object else {
        let text = format!("{database}.{name} already exists, and is no materialized view");
        return Err(Error::new(Code::STREAM_ALREADY_EXISTS, text));
    };
    crate::statement::remove::check_dependents(cx, database, name)?;
    cx.engine.queries.cancel_users_of(database, name);
    materialized::remove(cx, old).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_operators_that_remember_nothing_may_change() {
        assert!(is_stateless("Filter i > 1"));
        assert!(is_stateless("Tail default.s (i), 1 shard, from the latest row"));
        assert!(!is_stateless("Aggregate count() by k; emit periodic 2000 ms"));
        assert!(!is_stateless("StreamJoin Append on []"));
        assert!(!is_stateless("Limit 10"));
    }
}
