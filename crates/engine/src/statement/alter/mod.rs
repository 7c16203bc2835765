//! ALTER STREAM.
//!
//! In: the commands. Out: the stream as it is from now on, in the catalog. Promise: columns change at once, whatever the size of
//! the stream: rows keep the form they were written in and are read as the stream has them now; parts are brought up to date in
//! the background. A query that runs goes on with the columns it began with. An ALTER that fails changes nothing.
//!
//! In reading order: [`apply`] (what commands make of a CREATE statement, pure), [`rows`] (DELETE, UPDATE, DROP PARTITION),
//! [`partition`] (MOVE, REPLACE, ATTACH PARTITION, FREEZE), [`query`] (the query of a materialized view).

mod apply;
mod partition;
pub mod query;
mod rows;

use super::{Answer, Context, answer, codec, index_check, table_engine};
use crate::catalog::lookup::Lookup;
use crate::catalog::{CatalogState, MaterializedView, Object, record, temporary};
use crate::checkpoint::epoch::fingerprint;
use crate::engine::Inner;
use crate::stream::Stream;
use crate::view::run::query_of;
use apply::Applied;
use hydron_access::Enabled;
use hydron_base::world::Stop;
use hydron_base::{Code, Error, Result};
use hydron_func::BindContext;
use hydron_plan::bind::{ColumnOptions, bind_columns, bind_condition, bind_select_in, query_settings, setting_text};
use hydron_plan::{StreamInfo, StreamKind};
use hydron_sql::ast::{Alter, AlterCommand, AlterObject, Expr, StatementKind};
use hydron_store::catalog::Change;
use hydron_types::{Field, LogicalType, Schema};
pub use partition::check_alike;
use std::sync::Arc;

pub async fn run(cx: Context, alter: Alter) -> Result<Answer> {
    let span = alter.name.span;
    if alter.object != AlterObject::Database
        && let Some(change) = query::change_of(&alter.commands)?
    {
        let done = query::run(&cx, &alter.name, change).await;
        return done.map(|()| answer::nothing()).map_err(|e| cx.place(e, span));
    }
    if alter.object == AlterObject::Database {
        return Err(Error::not_implemented(format!("ALTER {:?}", alter.object).to_uppercase()));
    }
    if alter.temporary && cx.temporary.get(&alter.name.name).is_none() {
        let message = format!("temporary stream {} does not exist", alter.name.name);
        return Err(cx.place(Error::new(Code::UNKNOWN_STREAM, message), alter.name.span));
    }
    if alter.commands.iter().all(partition::is_of_partitions) {
        let done = partition::run(&cx, alter).await;
        return done.map(|()| answer::nothing()).map_err(|e| cx.place(e, span));
    }
    let of_rows = alter.commands.iter().filter(|c| rows::is_of_rows(c)).count();
    let done = match of_rows {
        0 => columns(&cx, alter).await,
        n if n == alter.commands.len() => rows::run(&cx, alter).await,
        _ => Err(Error::not_implemented("a change of columns and of rows in one ALTER")),
    };
    done.map(|()| answer::nothing()).map_err(|e| cx.place(e, span))
}

/// The stream that an ALTER names.
fn stream_of(cx: &Context, state: &CatalogState, alter: &Alter) -> Result<Arc<Stream>> {
    let (database, name) = cx.full_name(&alter.name);
    if &*database == crate::system::DATABASE {
        return Err(Error::new(Code::QUERY_IS_PROHIBITED, "streams of database system cannot be altered"));
    }
    match state.existing(&database, &name)? {
        Object::Stream(stream) => Ok(Arc::clone(stream)),
        Object::View(_) => Err(Error::not_implemented("ALTER of a view")),
        Object::MaterializedView(view) => {
            check_view(view, &alter.commands)?;
            state.target(view)
        }
    }
}

/// Of a materialized view the settings and the TTL of its own stream can be altered.
///
/// Errors: NOT_IMPLEMENTED (48), BAD_ARGUMENTS (36) for a TTL that cannot be there.
fn check_view(view: &MaterializedView, commands: &[AlterCommand]) -> Result<()> {
    use AlterCommand as A;
    let name = &view.info.name;
    let is_of_storage =
        |c: &AlterCommand| matches!(c, A::ModifySetting(_) | A::ResetSetting(_) | A::ModifyTtl(_) | A::RemoveTtl);
    if let Some(other) = commands.iter().find(|c| !is_of_storage(c)) {
        return Err(Error::not_implemented(format!("ALTER of a materialized view … {}", apply::name_of(other))));
    }
    if view.is_inner {
        return Ok(());
    }
    let target = format!("{}.{}", view.target.0, view.target.1);
    if commands.iter().any(|c| matches!(c, A::RemoveTtl)) {
        return Err(Error::bad_arguments(format!("view {name} has no TTL: its rows are those of {target}")));
    }
    let error = Error::not_implemented(format!("ALTER of view {name}, whose rows are those of {target},"));
    Err(error.hint(format!("ALTER STREAM {target}")))
}

async fn columns(cx: &Context, alter: Alter) -> Result<()> {
    let engine = Arc::clone(&cx.engine);
    let _changes = engine.catalog.lock_changes().await;
    let state = cx.catalog();
    let stream = stream_of(cx, &state, &alter)?;
    if stream.info.kind == StreamKind::External {
        let error = Error::not_implemented(format!("ALTER of external stream {}", stream.info.name));
        return Err(error.hint("DROP STREAM and CREATE EXTERNAL STREAM: its rows are not lost by that"));
    }
    let work = {
        let (engine, lookup, bind_cx) = (Arc::clone(&cx.engine), cx.lookup(), cx.bind_context(false));
        move || change(&engine, &stream, &alter.commands, &lookup, &bind_cx)
    };
    let (altered, after) = super::blocking(&cx.engine, work).await?;
    if after.rewrites
        && let Some(store) = altered.store()
    {
        store.upgrade_all().await?;
    }
    if after.expires {
        altered.compact(cx.now).await?;
    }
    Ok(())
}

/// Makes the new stream, stores it, shows it. Blocks.
fn change(
    engine: &Arc<Inner>,
    stream: &Arc<Stream>,
    commands: &[AlterCommand],
    lookup: &Lookup,
    bind_cx: &BindContext,
) -> Result<(Arc<Stream>, After)> {
    let StatementKind::CreateStream(create) = hydron_sql::parse_statement(&stream.create_text)?.statement.kind else {
        return Err(Error::bug("the text of a stream is not a CREATE STREAM"));
    };
    let sets = |c: &AlterCommand| matches!(c, AlterCommand::ModifySetting(_) | AlterCommand::ResetSetting(_));
    if commands.iter().any(sets) && super::table_engine::is_of_old_way(&create) {
        let message =
            format!("stream {} was made in the old way of MergeTree, which has no settings", stream.info.name);
        return Err(Error::bad_arguments(message));
    }
    let applied = apply::apply(*create, &stream.info, commands)?;
    let info = info_of(&stream.info, &applied, lookup, bind_cx)?;
    let text = super::create::create_text(&applied.create, &info)?;
    let before = |column: &hydron_plan::ColumnInfo| applied.before.get(&*column.name).map(String::as_str);
    let layouts = stream.layouts().altered(&stream.layout(), &info.columns, before)?;
    let object = record::properties_with(&info, Some(&layouts));
    let altered = stream.altered(engine, info, text, layouts);
    let stored = check(engine, stream, &altered, &applied, lookup, bind_cx).and_then(|()| {
        let info = &altered.info;
        if &*info.database == temporary::DATABASE {
            return Ok(());
        }
        let entry = Inner::entry(record::STREAM, info.uuid, &info.database, &info.name, &altered.create_text, object);
        Ok(engine.catalog_store.apply(vec![Change::Put(entry)])?)
    });
    if let Err(e) = stored {
        stream.forget_layouts_after(&stream.layout());
        return Err(e);
    }
    if let Some(store) = altered.store() {
        engine.streams.register(altered.info.uuid, store);
    }
    match &*altered.info.database {
        temporary::DATABASE => drop(lookup.temporary.put(engine, Arc::clone(&altered))),
        _ => engine.catalog.update(|state| show(state, &altered)),
    }
    Ok((altered, After { rewrites: applied.rewrites, expires: applied.expires }))
}

/// What is done once the stream is another one.
struct After {
    rewrites: bool,
    expires: bool,
}

fn show(state: &mut CatalogState, stream: &Arc<Stream>) {
    if let Some(database) = state.databases.get_mut(&stream.info.database) {
        database.objects.insert(Arc::clone(&stream.info.name), Object::Stream(Arc::clone(stream)));
    }
}

fn info_of(old: &StreamInfo, applied: &Applied, lookup: &Lookup, bind_cx: &BindContext) -> Result<StreamInfo> {
    let create = &applied.create;
    super::create::check_settings(create, None)?;
    let setting = |name: &str| old.settings.iter().find(|(k, _)| &**k == name).map(|(_, v)| v.clone());
    let options = ColumnOptions {
        mode: old.mode,
        stream: old.kind != StreamKind::Table,
        event_time: setting("event_time_column").unwrap_or_default(),
        external: false,
        of_view: crate::view::is_hidden(&old.name),
    };
    let elements = create.elements.clone().unwrap_or_default();
    let mut columns = bind_columns(&elements.columns, None, &options, lookup, bind_cx)?;
    let is_old = |c: &hydron_plan::ColumnInfo| old.columns.iter().any(|o| o.name == c.name && o.codec == c.codec);
    codec::complete(&mut columns, &bind_cx.settings, is_old)?;
    let settings = create.storage.settings.iter();
    let settings = settings.filter_map(|s| Some((Arc::from(s.name.as_str()), setting_text(s).ok().flatten()?)));
    let settings: Vec<(Arc<str>, String)> = settings.collect();
    super::table_engine::check_settings(&settings)?;
    let mut info = StreamInfo { columns, settings, comment: create.comment.clone().unwrap_or_default(), ..old.clone() };
    let schema = crate::stream::layout::Layouts::first(&info).current().schema();
    if applied.new_keys {
        let text = |e: &Option<Expr>| e.as_ref().map(ToString::to_string).unwrap_or_default();
        (info.order_by, info.sample_by) = (text(&create.storage.order_by), text(&create.storage.sample_by));
        info.primary_key = create.storage.primary_key.iter().flat_map(super::create::key_columns).collect();
        table_engine::check_keys(&info, &schema, lookup, bind_cx)?;
        table_engine::check_sample(&info, &schema, lookup, bind_cx)?;
    }
    if applied.new_indexes {
        index_check::check_all(&elements.indexes, &info, &schema, lookup, bind_cx)?;
        index_check::check_projections(&elements.projections, &info)?;
    }
    Ok(info)
}

/// Whether old rows can be read as the new columns have them, and every view that read the stream still can.
///
/// Errors: what a cast answers; ALTER_OF_COLUMN_IS_FORBIDDEN that names the view.
fn check(
    engine: &Arc<Inner>,
    old: &Arc<Stream>,
    new: &Arc<Stream>,
    applied: &Applied,
    lookup: &Lookup,
    bind_cx: &BindContext,
) -> Result<()> {
    // What becomes json may be no JSON, and shows its paths when it is read.
    let must_be_read = |name: &String| {
        let ty = |info: &StreamInfo, name: &str| info.columns.iter().find(|c| &*c.name == name).map(|c| c.ty.clone());
        let from = applied.before.get(name).and_then(|before| ty(&old.info, before));
        from.zip(ty(&new.info, name)).is_some_and(|(from, to)| !is_lossless(&from, &to) || to == LogicalType::Json)
    };
    if applied.retyped.iter().any(must_be_read)
        && let Some(store) = new.store()
    {
        store.check_rows(engine.cpu.handle())?;
    }
    let schema = new.layout().schema();
    crate::stream::ttl::check(&applied.create, &schema, lookup, bind_cx)?;
    // A constraint that cannot be bound would refuse every INSERT. Rows that are there already are not asked.
    for expr in &applied.checks {
        bind_condition(expr, &schema, lookup, bind_cx)?;
    }
    let mut state = (*lookup.state).clone();
    show(&mut state, new);
    let after = Lookup { state: Arc::new(state), ..lookup.clone() };
    let (database, name) = (&old.info.database, &old.info.name);
    for dependent in lookup.state.dependents(database, name) {
        let (view_database, view_name) = dependent.split_once('.').unwrap_or((database, &dependent));
        let refused =
            |message: String| Err(Error::new(Code::ALTER_OF_COLUMN_IS_FORBIDDEN, message).hint("drop the view first"));
        let broken =
            |why: Error| refused(format!("view {dependent} reads stream {name} and would be broken: {}", why.message));
        match lookup.state.object(view_database, view_name) {
            Some(Object::View(view)) => {
                let select = query_of(&view.info.select)?;
                let binds = |lookup: &Lookup| bind_select_in(&select, None, lookup, bind_cx);
                if let (Ok(_), Err(why)) = (binds(lookup), binds(&after)) {
                    return broken(why);
                }
            }
            Some(Object::MaterializedView(view)) => {
                let (before, now) = (running(engine, view, lookup), running(engine, view, &after));
                let (before, now) = match (before, now) {
                    (Ok(before), Ok(now)) => (before, now),
                    (Ok(_), Err(why)) => return broken(why),
                    // It is broken already.
                    (Err(_), _) => continue,
                };
                if before.1 != now.1 {
                    return refused(format!("view {dependent} reads columns of stream {name} that would be others"));
                }
                let has = |info: &StreamInfo, name: &str| info.columns.iter().any(|c| &*c.name == name);
                let gone = |f: &&Field| has(&old.info, &f.name) && !has(&new.info, &f.name);
                let writes = view.target.0 == *database && view.target.1 == *name;
                if let Some(field) = now.0.fields.iter().find(gone).filter(|_| writes) {
                    return refused(format!("view {dependent} writes column '{}' of stream {name}", field.name));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a materialized view gives, and the fingerprint under which its state is kept.
fn running(engine: &Inner, view: &MaterializedView, lookup: &Lookup) -> Result<(Arc<Schema>, String)> {
    let select = query_of(&view.info.select)?;
    let mut settings = engine.profile.clone();
    settings.overlay(&view.settings);
    let settings = Arc::new(query_settings(&select, &settings, None)?);
    let (database, user) = (Arc::clone(&view.session_database), Arc::clone(&view.user));
    let bind_cx = BindContext {
        zone: super::zone(&settings),
        settings: Arc::clone(&settings),
        database: Arc::clone(&database),
        user: Arc::clone(&user),
        streaming: true,
        traps: false,
        server: Some(super::facts::ServerView::facts(&lookup.engine, "", &database)),
        identity: Arc::default(),
        stop: Stop::default(),
        memory: Arc::clone(&lookup.memory),
    };
    // Whether it can be bound is asked, not whether its owner may read.
    let access = Arc::new(Enabled::everything(&user));
    let lookup = Lookup { database, user, settings: Arc::clone(&settings), access, ..lookup.clone() };
    let bound = bind_select_in(&select, None, &lookup, &bind_cx)?;
    let options = hydron_flow::BuildOptions { parallelism: 1, ..super::select::build_options(&settings) };
    let pipeline = hydron_flow::build(&bound.plan, options)?;
    Ok((Arc::clone(&bound.plan.schema), fingerprint(&view.info.select, &pipeline)))
}

/// Whether each value of `from` has one in `to`.
fn is_lossless(from: &LogicalType, to: &LogicalType) -> bool {
    if from.is_nullable() && !to.is_nullable() {
        return false;
    }
    let (from, to) = (from.bare(), to.bare());
    from == to
        || *to == LogicalType::String
        || hydron_types::supertype::least_supertype(&[from.clone(), to.clone()]).is_ok_and(|s| s == *to)
}
