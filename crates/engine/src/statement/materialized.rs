//! CREATE MATERIALIZED VIEW: a streaming SELECT that runs from now on, and the stream that takes its rows; SYSTEM PAUSE, RESUME and
//! RECOVER of one.
//!
//! Promise: what cannot run is refused and leaves nothing behind; when CREATE answers, the state of the view is on disk: no row
//! that comes after is missed, whatever happens to the server.

use super::{Answer, Context, answer};
use crate::catalog::{MaterializedView, Object, Temporary, record};
use crate::engine::Inner;
use crate::stream::Stream;
use crate::view::target::common;
use hydron_base::{Code, Error, Result, Settings};
use hydron_plan::bind::{Bound, apply_settings, query_settings, setting_text, source_names};
use hydron_plan::{Change, ColumnInfo, StreamKind, ViewInfo};
use hydron_sql::ast::{self, CreateMaterializedView, ObjectName, StatementKind, Storage};
use hydron_store::catalog::Change as Edit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// How long CREATE waits for the first checkpoint. A view over a long past goes on in the background.
const FIRST_EPOCH_PATIENCE: Duration = Duration::from_secs(10);

/// Settings that say how a statement is run, and not what a view is.
const NOT_OF_VIEWS: &[&str] = &["exec_mode", "query_mode", "readonly", "max_execution_time"];

pub async fn run(cx: Context, create: CreateMaterializedView) -> Result<Answer> {
    let cx = Context { temporary: Temporary::default(), ..cx };
    check(&create)?;
    let (database, name) = cx.full_name(&create.name);
    let engine = Arc::clone(&cx.engine);
    let changes = engine.catalog.lock_changes().await;
    let state = engine.catalog.snapshot();
    if &*database == crate::system::DATABASE {
        return Err(Error::new(Code::QUERY_IS_PROHIBITED, "views cannot be created in database system"));
    }
    state.database(&database).map_err(|e| cx.place(e, create.name.span))?;
    if state.object(&database, &name).is_some() && !create.or_replace {
        if create.if_not_exists {
            return Ok(answer::nothing());
        }
        let error = Error::new(Code::STREAM_ALREADY_EXISTS, format!("stream {database}.{name} already exists"));
        return Err(cx.place(error, create.name.span));
    }
    let mut settings = settings_of(&cx, &create)?;
    let policy = query_settings(&create.query, &settings, cx.text())?.text("recovery_policy").to_string();
    if !matches!(policy.as_str(), "strict" | "best_effort") {
        let text = format!("setting recovery_policy cannot be '{policy}'");
        return Err(Error::new(Code::INVALID_SETTING_VALUE, text).hint("strict or best_effort"));
    }
    let of_query = Context {
        settings: Arc::new(query_settings(&create.query, &settings, cx.text())?),
        format: None,
        ..context_of(&cx)
    };
    let bound = super::select::bind_as(&of_query, (*create.query).clone(), true).await?;
    if !bound.streaming {
        return Err(crate::view::run::not_streaming(&name));
    }
    // What cannot run is told here, not in the background.
    crate::checkpoint::keepable::check(&bound.plan)?;
    hydron_flow::build(&bound.plan, super::select::build_options(&of_query.settings))?;
    if !bound.json_path_types.is_empty() {
        // The types that its state is made of; they would be wider after other rows.
        settings.set("json_path_types", &bound.json_path_types)?;
    }
    let reads = source_names(&create.query, &cx.lookup());
    let uuid = Uuid::new_v4();
    let target = match &create.into {
        Some(into) => into_target(&cx, into, &reads, &bound)?,
        None => (Arc::clone(&database), Arc::from(crate::view::inner_name(uuid))),
    };
    let mut normalized = create.clone();
    normalized.name.database = Some(database.to_string());
    (normalized.if_not_exists, normalized.or_replace) = (false, false);
    let info = ViewInfo {
        database: Arc::clone(&database),
        name: Arc::clone(&name),
        uuid,
        select: create.query.to_string(),
        columns: Vec::new(),
        comment: create.comment.clone().unwrap_or_default(),
        owner: Some(Arc::clone(&cx.user)),
    };
    let view = Arc::new(MaterializedView {
        info: Arc::new(info),
        create_text: super::text::multi_line(StatementKind::CreateMaterializedView(Box::new(normalized))),
        reads: reads.into_iter().map(|(d, n)| (Arc::from(d), Arc::from(n))).collect(),
        target,
        is_inner: create.into.is_none(),
        session_database: Arc::clone(&cx.database),
        user: Arc::clone(&cx.user),
        settings,
        paused: AtomicBool::new(false),
    });
    if create.or_replace {
        super::alter::query::replace(&cx, &database, &name).await?;
    }
    super::blocking(&cx.engine, {
        let (engine, view) = (Arc::clone(&engine), Arc::clone(&view));
        let (lookup, bind_cx) = (cx.lookup(), cx.bind_context(false));
        move || {
            let inner = match view.is_inner {
                true => Some(inner_stream(&create, &view, &bound, &lookup, &bind_cx)?),
                false => None,
            };
            store(&engine, &view, inner)
        }
    })
    .await?;
    let run = engine.views.start(&engine, &view);
    // Others may change the catalog while a view reads its past.
    drop(changes);
    let Err(e) = run.wait_kept(FIRST_EPOCH_PATIENCE).await else { return Ok(answer::nothing()) };
    // It was there for a moment; nobody has been told so. Whoever has dropped it meanwhile has done this.
    let _changes = engine.catalog.lock_changes().await;
    let state = engine.catalog.snapshot();
    let is_there = state.object(&database, &name).is_some_and(|object| object.uuid() == uuid);
    let removed = if is_there { remove(&cx, &view).await } else { Ok(()) };
    Err(removed.err().unwrap_or(e))
}

pub fn context_of(cx: &Context) -> Context {
    Context {
        engine: Arc::clone(&cx.engine),
        user: Arc::clone(&cx.user),
        access: Arc::clone(&cx.access),
        reader: cx.reader.clone(),
        database: Arc::clone(&cx.database),
        settings: Arc::clone(&cx.settings),
        info: Arc::clone(&cx.info),
        now: cx.now,
        format: cx.format.clone(),
        // A view runs without the session.
        temporary: Temporary::default(),
    }
}

fn check(create: &CreateMaterializedView) -> Result<()> {
    let refused = [
        (create.attach, "ATTACH MATERIALIZED VIEW"),
        (create.populate, "POPULATE of a materialized view"),
        (create.into_inner_uuid.is_some(), "INTO INNER UUID"),
        (create.storage.engine.is_some(), "ENGINE of a materialized view"),
    ];
    if let Some((_, what)) = refused.iter().find(|(is, _)| *is) {
        return Err(Error::not_implemented(*what));
    }
    if create.into.is_some() && create.columns.is_some() {
        return Err(Error::bad_arguments("a view INTO a stream has the columns of that stream, not its own"));
    }
    Ok(())
}

/// Settings of the session that the view keeps, and those of its own that are not the stream's.
fn settings_of(cx: &Context, create: &CreateMaterializedView) -> Result<Settings> {
    let mut settings = Settings::default();
    for (name, value) in cx.settings.changed() {
        let of_statement = NOT_OF_VIEWS.contains(&name) || name.starts_with("param_") || name.starts_with("default_");
        if !of_statement && cx.engine.profile.text(name) != value {
            settings.set(name, value)?;
        }
    }
    let own: Vec<_> = create.storage.settings.iter().filter(|s| is_of_query(&s.name)).cloned().collect();
    apply_settings(&mut settings, &own, cx.text())?;
    Ok(settings)
}

fn is_of_query(name: &str) -> bool {
    hydron_base::setting::definition(name).is_some()
}

/// The stream named by INTO. Errors: UNKNOWN_STREAM, NOT_IMPLEMENTED for what takes no rows, BAD_ARGUMENTS for a source.
fn into_target(
    cx: &Context,
    into: &ObjectName,
    reads: &[(String, String)],
    bound: &Bound,
) -> Result<(Arc<str>, Arc<str>)> {
    let (database, name) = cx.full_name(into);
    let state = cx.engine.catalog.snapshot();
    let stream = match state.existing(&database, &name).map_err(|e| cx.place(e, into.span))? {
        Object::Stream(stream) => stream,
        _ => return Err(Error::not_implemented(format!("a materialized view INTO view {name}"))),
    };
    if !matches!(stream.info.kind, StreamKind::Stream | StreamKind::Table | StreamKind::External) {
        return Err(Error::not_implemented(format!("a materialized view INTO {name}, which stores no rows")));
    }
    if reads.iter().any(|(d, n)| **d == *database && **n == *name) {
        return Err(cx.place(Error::bad_arguments(format!("the view would read its own target {name}")), into.span));
    }
    common(&stream.info, &bound.plan.schema).map_err(|e| cx.place(e, into.span))?;
    Ok((database, name))
}

/// The hidden stream of a view without INTO: the columns of its SELECT, or those that it declares.
fn inner_stream(
    create: &CreateMaterializedView,
    view: &MaterializedView,
    bound: &Bound,
    lookup: &crate::catalog::lookup::Lookup,
    bind_cx: &hydron_func::BindContext,
) -> Result<(hydron_plan::StreamInfo, String)> {
    let select = &bound.plan.schema;
    let is_changing = matches!(bound.plan.change, Change::Changelog | Change::ChangelogKv);
    let signed = is_changing || select.index_of("_tp_delta").is_some();
    let columns: Vec<ColumnInfo> = select
        .fields
        .iter()
        .filter(|f| !matches!(&*f.name, "_tp_time" | "_tp_delta"))
        .map(|f| ColumnInfo::new(Arc::clone(&f.name), hydron_plan::bind::stored_type(&f.ty, bind_cx)))
        .collect();
    let mut storage = Storage { settings: create.storage.settings.clone(), ..Storage::default() };
    storage.settings.retain(|s| !is_of_query(&s.name));
    storage.order_by = create.storage.order_by.clone();
    storage.primary_key = create.storage.primary_key.clone();
    storage.partition_by = create.storage.partition_by.clone();
    storage.ttl = create.storage.ttl.clone();
    let has_mode = storage.settings.iter().any(|s| s.name == "mode" && setting_text(s).is_ok());
    if signed && !has_mode {
        storage.settings.push(ast::Setting {
            name: "mode".to_string(),
            value: ast::SettingValue::Literal(ast::Literal::String(b"changelog".to_vec().into())),
            span: ast::Span::default(),
        });
    }
    let (database, name) = &view.target;
    let declared = create.columns.as_ref().map(|c| &c.columns[..]);
    super::create::hidden_stream(database, name, &columns, declared, storage, lookup, bind_cx)
}

/// Writes the view, and its inner stream, and shows both.
fn store(
    engine: &Arc<Inner>,
    view: &Arc<MaterializedView>,
    inner: Option<(hydron_plan::StreamInfo, String)>,
) -> Result<()> {
    let inner = inner.map(|(info, text)| Stream::open(engine, info, text)).transpose()?;
    let mut edits = Vec::new();
    if let Some(stream) = &inner {
        let info = &stream.info;
        let properties = record::properties(info);
        let text = &stream.create_text;
        edits.push(Edit::Put(Inner::entry(record::STREAM, info.uuid, &info.database, &info.name, text, properties)));
    }
    edits.push(Edit::Put(entry(view)));
    if let Err(e) = engine.catalog_store.apply(edits) {
        // Nothing refers to its files; what cannot be removed now is removed at the next start.
        if let Some(stream) = &inner {
            let _ = engine.streams.remove(stream);
        }
        return Err(e.into());
    }
    engine.catalog.update(|state| {
        let Some(db) = state.databases.get_mut(&view.info.database) else { return };
        if let Some(stream) = inner {
            db.objects.insert(Arc::clone(&stream.info.name), Object::Stream(stream));
        }
        db.objects.insert(Arc::clone(&view.info.name), Object::MaterializedView(Arc::clone(view)));
    });
    Ok(())
}

pub fn entry(view: &MaterializedView) -> hydron_store::catalog::Entry {
    let (info, properties) = (&view.info, record::materialized_view_properties(view));
    Inner::entry(record::MATERIALIZED_VIEW, info.uuid, &info.database, &info.name, &view.create_text, properties)
}

/// Ends a view and removes it with its state and its inner stream. The caller holds the change lock.
pub async fn remove(cx: &Context, view: &Arc<MaterializedView>) -> Result<()> {
    cx.engine.views.remove(view.info.uuid).await;
    super::blocking(&cx.engine, {
        let (engine, view) = (Arc::clone(&cx.engine), Arc::clone(view));
        move || {
            let inner = match view.is_inner {
                true => engine.catalog.snapshot().target(&view).ok(),
                false => None,
            };
            let mut edits = vec![Edit::Remove(view.info.uuid)];
            edits.extend(inner.iter().map(|s| Edit::Remove(s.info.uuid)));
            engine.catalog_store.apply(edits)?;
            engine.catalog.update(|state| {
                if let Some(db) = state.databases.get_mut(&view.info.database) {
                    db.objects.remove(&view.info.name);
                    if view.is_inner {
                        db.objects.remove(&view.target.1);
                    }
                }
            });
            forget(&engine, &view)?;
            inner.map_or(Ok(()), |stream| engine.streams.remove(&stream))
        }
    })
    .await
}

/// Removes what is kept of a view beside the catalog.
pub fn forget(engine: &Inner, view: &MaterializedView) -> Result<()> {
    engine.streams.release(view.info.uuid);
    Ok(engine.checkpoints.remove(&crate::view::query_id(view.info.uuid))?)
}

/// `SYSTEM PAUSE | RESUME | ABORT | RECOVER | CHECKPOINT MATERIALIZED VIEW mv`. ABORT is a PAUSE that is noted as an error.
pub async fn system(cx: Context, verb: &str, name: &ObjectName) -> Result<Answer> {
    let (database, full) = cx.full_name(name);
    let engine = Arc::clone(&cx.engine);
    let _changes = engine.catalog.lock_changes().await;
    let state = engine.catalog.snapshot();
    let Object::MaterializedView(view) = state.existing(&database, &full).map_err(|e| cx.place(e, name.span))? else {
        let error = Error::new(Code::INCORRECT_QUERY, format!("{database}.{full} is no materialized view"));
        return Err(cx.place(error, name.span));
    };
    let run = engine.views.get(view.info.uuid);
    let run = run.ok_or_else(|| Error::bug(format!("view {database}.{full} has no task")))?;
    match verb {
        "PAUSE" | "RESUME" | "ABORT" | "RECOVER" => {
            let paused = matches!(verb, "PAUSE" | "ABORT");
            if verb == "ABORT" {
                run.abort(engine.options.clock.now());
            }
            if verb == "RECOVER" {
                run.nudge();
            }
            if view.paused.swap(paused, Ordering::AcqRel) == paused {
                return Ok(answer::nothing());
            }
            super::blocking(&engine, {
                let (engine, view) = (Arc::clone(&engine), Arc::clone(view));
                move || Ok(engine.catalog_store.put(entry(&view))?)
            })
            .await?;
            if paused { run.interrupt() } else { run.nudge() }
        }
        _ => {
            let id = crate::view::query_id(view.info.uuid);
            let keeper = engine.keepers.running().into_iter().find(|k| k.id() == id);
            let deadline = tokio::time::Instant::now() + FIRST_EPOCH_PATIENCE;
            let written = match keeper {
                Some(keeper) => keeper.flush(deadline).await,
                None => false,
            };
            if !written {
                let message = format!("no checkpoint of view {full} was written, see system.materialized_views");
                return Err(Error::new(Code::TIMEOUT_EXCEEDED, message));
            }
        }
    }
    Ok(answer::nothing())
}
