//! CREATE STREAM, CREATE RANDOM STREAM, CREATE EXTERNAL STREAM, and tables of ClickHouse's engines.
//!
//! In: the syntax tree. Out: a stream with its logs, stored in the catalog. Promise: every check of §2.2 comes before
//! anything is written; a failed CREATE leaves nothing behind.

use super::{Answer, Context, answer, codec, index_check, table_engine};
use crate::catalog::record::{self, mode_of};
use crate::catalog::{CatalogState, Object};
use crate::engine::Inner;
use crate::stream::Stream;
use hydron_base::{Code, Error, Result};
use hydron_plan::bind::{ColumnOptions, apply_settings, bind_columns, bind_select_in, setting_text, stored_type};
use hydron_plan::{ColumnDefault, ColumnInfo, StreamInfo, StreamKind, StreamMode};
use hydron_sql::ast::{self, CreateSource, CreateStream, StatementKind};
use std::sync::Arc;
use uuid::Uuid;

/// Shards of one stream: each is a log with a file of its own.
const SHARDS_MAX: u32 = 256;

pub async fn run(cx: Context, mut create: CreateStream) -> Result<Answer> {
    as_other(&cx, &mut create)?;
    let kind = kind_of(&create)?;
    one_primary_key(&mut create)?;
    if create.temporary {
        return temporary(cx, create).await;
    }
    let database: Arc<str> = create.name.database.as_deref().map_or_else(|| Arc::clone(&cx.database), Arc::from);
    let name: Arc<str> = Arc::from(create.name.name.as_str());
    let engine = Arc::clone(&cx.engine);
    let _changes = engine.catalog.lock_changes().await;
    let state = engine.catalog.snapshot();
    if &*database == crate::system::DATABASE {
        return Err(Error::new(Code::QUERY_IS_PROHIBITED, "streams cannot be created in database system"));
    }
    state.database(&database).map_err(|e| cx.place(e, create.name.span))?;
    let existing = state.object(&database, &name).cloned();
    if existing.is_some() {
        if create.if_not_exists {
            return Ok(answer::nothing());
        }
        if !create.or_replace {
            let error = Error::new(Code::STREAM_ALREADY_EXISTS, format!("stream {database}.{name} already exists"));
            return Err(cx.place(error, create.name.span));
        }
        if matches!(existing, Some(Object::MaterializedView(_))) {
            let error = Error::new(Code::STREAM_ALREADY_EXISTS, format!("{database}.{name} is a materialized view"));
            return Err(cx.place(error, create.name.span).hint(format!("DROP VIEW {name}")));
        }
        super::remove::check_dependents(&cx, &database, &name)?;
    }
    let select = match &create.source {
        Some(CreateSource::Select(query)) => Some((**query).clone()),
        _ => None,
    };
    let stream = super::blocking(&cx.engine, {
        let engine = Arc::clone(&cx.engine);
        let lookup = cx.lookup();
        let bind_cx = cx.bind_context(false);
        let state = Arc::clone(&state);
        let statement = Arc::clone(&cx.info.text);
        let whole = cx.text().is_some();
        move || {
            let statement = whole.then_some(&*statement);
            let columns = columns_of(&create, kind, &lookup, &bind_cx, &state, statement)?;
            let mut info = checked_info(&create, kind, (database, name), columns, statement, &lookup, &bind_cx)?;
            if kind == StreamKind::External {
                info.shards = crate::external::create::check(&info, &lookup, &bind_cx)?;
            }
            let schema = crate::stream::layout::Layouts::first(&info).current().schema();
            crate::stream::ttl::check(&create, &schema, &lookup, &bind_cx)?;
            let text = create_text(&create, &info)?;
            store(&engine, info, text, existing)
        }
    })
    .await?;
    match select {
        Some(query) => super::insert::select_into(cx, stream, Vec::new(), query).await,
        None => Ok(answer::nothing()),
    }
}

/// What the stream is, with an engine that fits its columns.
fn checked_info(
    create: &CreateStream,
    kind: StreamKind,
    (database, name): (Arc<str>, Arc<str>),
    columns: Vec<ColumnInfo>,
    statement: Option<&str>,
    lookup: &crate::catalog::lookup::Lookup,
    bind_cx: &hydron_func::BindContext,
) -> Result<StreamInfo> {
    let modern = table_engine::modern(create);
    let mut columns = columns;
    codec::complete(&mut columns, &bind_cx.settings, |_| false)?;
    let mut info = stream_info(&modern, kind, database, name, columns, statement)?;
    if kind == StreamKind::Table {
        info.engine_args = table_engine::arguments(&modern, lookup, bind_cx)?;
        table_engine::kept_settings(&mut info, bind_cx);
        table_engine::check(&info)?;
        table_engine::check_settings(&info.settings)?;
        let schema = crate::stream::layout::Layouts::first(&info).current().schema();
        table_engine::check_clauses(&modern)?;
        table_engine::check_keys(&info, &schema, lookup, bind_cx)?;
        table_engine::check_sample(&info, &schema, lookup, bind_cx)?;
        let elements = create.elements.as_ref();
        index_check::check_all(elements.map(|e| &*e.indexes).unwrap_or_default(), &info, &schema, lookup, bind_cx)?;
        index_check::check_projections(elements.map(|e| &*e.projections).unwrap_or_default(), &info)?;
    }
    if kind == StreamKind::Stream {
        let schema = crate::stream::layout::Layouts::first(&info).current().schema();
        table_engine::check_columns_of_keys(&info, &schema, lookup, bind_cx)?;
        let elements = create.elements.as_ref();
        index_check::check_all(elements.map(|e| &*e.indexes).unwrap_or_default(), &info, &schema, lookup, bind_cx)?;
    }
    Ok(info)
}

/// `AS other` of a table: its columns, indexes and constraints, and unless an ENGINE is said also its engine, keys and settings.
fn as_other(cx: &Context, create: &mut CreateStream) -> Result<()> {
    let Some(CreateSource::Like(other)) = &create.source else { return Ok(()) };
    if create.elements.is_some() || create.kind != ast::StreamKind::Stream {
        return Ok(());
    }
    let (database, name) = cx.full_name(other);
    let state = cx.catalog();
    let Some(Object::Stream(stream)) = state.object(&database, &name) else { return Ok(()) };
    if stream.info.kind != StreamKind::Table {
        return Ok(());
    }
    let StatementKind::CreateStream(like) = hydron_sql::parse_statement(&stream.create_text)?.statement.kind else {
        return Err(Error::bug("the text of a stream is not a CREATE STREAM"));
    };
    create.elements = like.elements;
    if create.storage.engine.is_none() {
        create.storage = like.storage;
    } else if let Some(elements) = create.elements.as_mut().filter(|_| !is_merge_tree(&create.storage)) {
        // They are of MergeTree.
        (elements.indexes, elements.projections) = (Vec::new(), Vec::new());
        elements.columns.iter_mut().for_each(|c| c.ttl = None);
    }
    create.source = None;
    Ok(())
}

fn is_merge_tree(storage: &ast::Storage) -> bool {
    storage.engine.as_ref().is_some_and(|e| e.name.ends_with("MergeTree"))
}

/// `PRIMARY KEY` in the list of columns, or behind columns, is the PRIMARY KEY of the stream.
///
/// Errors: BAD_ARGUMENTS (36) where it is said twice.
fn one_primary_key(create: &mut CreateStream) -> Result<()> {
    let Some(elements) = &mut create.elements else { return Ok(()) };
    let flagged = elements.columns.iter_mut().filter_map(|c| std::mem::take(&mut c.primary_key).then_some(&c.name));
    let mut flagged: Vec<ast::Expr> = flagged.map(ast::Expr::column).collect();
    let of_columns = match flagged.len() {
        0 | 1 => flagged.pop(),
        _ => Some(ast::Expr::call("tuple", flagged)),
    };
    let given = [create.storage.primary_key.take(), elements.primary_key.take(), of_columns];
    let mut given = given.into_iter().flatten();
    create.storage.primary_key = given.next();
    match given.next() {
        None => Ok(()),
        Some(_) => Err(Error::bad_arguments("multiple primary keys are not allowed")),
    }
}

/// What a CREATE finds under its name.
pub enum Place {
    Free,
    /// OR REPLACE puts the new object in the place of this one.
    Replaced(Object),
    /// IF NOT EXISTS leaves what is there.
    Left,
}

/// Errors: STREAM_ALREADY_EXISTS (57) for an object that the statement says nothing of, or that cannot be replaced by its kind.
pub fn place(
    cx: &Context,
    state: &CatalogState,
    (database, name): (&str, &str),
    (or_replace, if_not_exists): (bool, bool),
    span: ast::Span,
    replaceable: impl Fn(&Object) -> bool,
) -> Result<Place> {
    match state.object(database, name) {
        None => Ok(Place::Free),
        Some(_) if if_not_exists => Ok(Place::Left),
        Some(object) if or_replace && replaceable(object) => Ok(Place::Replaced(object.clone())),
        Some(_) => {
            let error = Error::new(Code::STREAM_ALREADY_EXISTS, format!("stream {database}.{name} already exists"));
            Err(cx.place(error, span))
        }
    }
}

/// Errors: BAD_DATABASE_FOR_TEMPORARY_STREAM (442).
pub fn no_database(name: &ast::ObjectName) -> Result<()> {
    match &name.database {
        None => Ok(()),
        Some(database) => {
            let message = format!("temporary stream {} cannot be in database {database}", name.name);
            Err(Error::new(Code::BAD_DATABASE_FOR_TEMPORARY_STREAM, message))
        }
    }
}

/// CREATE TEMPORARY STREAM: a table that the session alone sees, and that goes with it.
///
/// Errors: BAD_DATABASE_FOR_TEMPORARY_STREAM (442), INCORRECT_QUERY (80) for an engine other than Memory,
/// STREAM_ALREADY_EXISTS (57), LIMIT_EXCEEDED (290).
async fn temporary(cx: Context, mut create: CreateStream) -> Result<Answer> {
    let span = create.name.span;
    no_database(&create.name).map_err(|e| cx.place(e, span))?;
    match create.storage.engine.as_ref().map(|e| &*e.name) {
        None => create.storage.engine = Some(ast::Function::new("Memory", Vec::new())),
        Some("Memory") => {}
        Some(other) => {
            let message = format!("a temporary stream has the engine Memory, not {other}");
            return Err(cx.place(Error::new(Code::INCORRECT_QUERY, message), span));
        }
    }
    let name: Arc<str> = Arc::from(create.name.name.as_str());
    if cx.temporary.get(&name).is_some() {
        if create.if_not_exists {
            return Ok(answer::nothing());
        }
        if !create.or_replace {
            let error = Error::new(Code::STREAM_ALREADY_EXISTS, format!("temporary stream {name} already exists"));
            return Err(cx.place(error, span));
        }
    }
    cx.temporary.check_room()?;
    let select = match &create.source {
        Some(CreateSource::Select(query)) => Some((**query).clone()),
        _ => None,
    };
    let (engine, temporary) = (Arc::clone(&cx.engine), cx.temporary.clone());
    let (lookup, bind_cx) = (cx.lookup(), cx.bind_context(false));
    let stream = super::blocking(&cx.engine, move || {
        let kind = StreamKind::Table;
        let columns = columns_of(&create, kind, &lookup, &bind_cx, &lookup.state, None)?;
        let place = (Arc::from(crate::catalog::temporary::DATABASE), name);
        let info = checked_info(&create, kind, place, columns, None, &lookup, &bind_cx)?;
        let text = create_text(&create, &info)?;
        let stream = Stream::open(&engine, info, text)?;
        if let Some(replaced) = temporary.put(&engine, Arc::clone(&stream)) {
            engine.streams.remove(&replaced)?;
        }
        Ok(stream)
    });
    let stream = stream.await?;
    match select {
        Some(query) => super::insert::select_into(cx, stream, Vec::new(), query).await,
        None => Ok(answer::nothing()),
    }
}

/// Writes the new object and shows it; an object it replaces goes.
pub fn store(engine: &Arc<Inner>, info: StreamInfo, text: String, replaced: Option<Object>) -> Result<Arc<Stream>> {
    use hydron_store::catalog::Change;
    let stream = Stream::open(engine, info, text)?;
    let info = &stream.info;
    let object = record::properties(info);
    let entry = Inner::entry(record::STREAM, info.uuid, &info.database, &info.name, &stream.create_text, object);
    let mut changes: Vec<Change> = replaced.iter().map(|o| Change::Remove(o.uuid())).collect();
    let of_replaced = replaced.as_ref().and_then(Object::stream_info);
    let apart = of_replaced.and_then(|i| super::detached::of(&engine.catalog.snapshot(), i));
    changes.extend(apart.iter().map(|s| Change::Remove(s.info.uuid)));
    changes.push(Change::Put(entry));
    if let Err(e) = engine.catalog_store.apply(changes) {
        // Nothing refers to the files of the new stream; what cannot be removed now is removed at the next start.
        let _ = engine.streams.remove(&stream);
        return Err(e.into());
    }
    engine.catalog.update(|state| {
        if let Some(db) = state.databases.get_mut(&info.database) {
            if let Some(apart) = &apart {
                db.objects.remove(&apart.info.name);
            }
            db.objects.insert(Arc::clone(&info.name), Object::Stream(Arc::clone(&stream)));
        }
    });
    if let Some(apart) = &apart {
        engine.streams.remove(apart)?;
    }
    if let Some(old) = replaced.as_ref().and_then(Object::as_stream) {
        engine.queries.cancel_users_of(&info.database, &info.name);
        engine.streams.remove(old)?;
    }
    Ok(stream)
}

/// The stream behind a view: `columns`, or what was declared for it.
pub fn hidden_stream(
    database: &Arc<str>,
    name: &Arc<str>,
    columns: &[ColumnInfo],
    declared: Option<&[ast::ColumnDef]>,
    storage: ast::Storage,
    lookup: &crate::catalog::lookup::Lookup,
    bind_cx: &hydron_func::BindContext,
) -> Result<(StreamInfo, String)> {
    let StatementKind::CreateStream(mut create) =
        hydron_sql::parse_statement("CREATE STREAM s (x int)")?.statement.kind
    else {
        return Err(Error::bug("the shape of a CREATE STREAM is none"));
    };
    create.name.database = Some(database.to_string());
    create.name.name = name.to_string();
    create.storage = storage;
    let defs = match declared {
        Some(declared) => declared.to_vec(),
        None => columns.iter().map(column_def).collect::<Result<_>>()?,
    };
    let options =
        ColumnOptions { mode: mode(&create)?, stream: true, event_time: String::new(), external: false, of_view: true };
    let infos = bind_columns(&defs, None, &options, lookup, bind_cx)?;
    create.elements = Some(ast::TableElements { columns: defs, ..ast::TableElements::default() });
    let info = stream_info(&create, StreamKind::Stream, Arc::clone(database), Arc::clone(name), infos, None)?;
    let text = create_text(&create, &info)?;
    Ok((info, text))
}

fn kind_of(create: &CreateStream) -> Result<StreamKind> {
    if create.attach {
        return Err(Error::not_implemented("ATTACH STREAM"));
    }
    let engine = create.storage.engine.as_ref().map(|e| e.name.as_str());
    match create.kind {
        ast::StreamKind::ExternalStream => Ok(StreamKind::External),
        ast::StreamKind::ExternalTable => Err(Error::not_implemented("EXTERNAL TABLE")),
        ast::StreamKind::Mutable => Err(Error::not_implemented("MUTABLE STREAM")),
        ast::StreamKind::Random => Ok(StreamKind::Random),
        ast::StreamKind::Stream => table_engine::kind_of(engine),
    }
}

/// Columns as declared, or as the source named after AS has them.
fn columns_of(
    create: &CreateStream,
    kind: StreamKind,
    lookup: &crate::catalog::lookup::Lookup,
    bind_cx: &hydron_func::BindContext,
    state: &CatalogState,
    text: Option<&str>,
) -> Result<Vec<ColumnInfo>> {
    let options = ColumnOptions {
        mode: mode(create)?,
        stream: kind != StreamKind::Table,
        event_time: setting(create, "event_time_column").unwrap_or_default(),
        external: kind == StreamKind::External,
        of_view: crate::view::is_hidden(&create.name.name),
    };
    if let Some(elements) = &create.elements {
        return bind_columns(&elements.columns, text, &options, lookup, bind_cx);
    }
    let plain = match &create.source {
        Some(CreateSource::Like(other)) => {
            let database = other.database.as_deref().unwrap_or(&lookup.database);
            let found = state.existing(database, &other.name).map_err(|e| at(e, other.span, text))?;
            return match found {
                Object::Stream(s) => Ok(s.info.columns.clone()),
                Object::MaterializedView(v) => Ok(state.target(v)?.info.columns.clone()),
                Object::View(_) => Err(Error::not_implemented("CREATE STREAM AS view")),
            };
        }
        Some(CreateSource::Select(query)) => {
            let bound = bind_select_in(query, text, lookup, bind_cx)?;
            super::permit::reads(lookup, Some(&bound.plan))?;
            let fields = bound.plan.schema.fields.iter();
            let column = |f: &hydron_types::Field| ColumnInfo::new(Arc::clone(&f.name), stored_type(&f.ty, bind_cx));
            fields.map(column).collect::<Vec<_>>()
        }
        Some(CreateSource::Function(_)) => return Err(Error::not_implemented("CREATE STREAM AS a table function")),
        Some(CreateSource::Code(_)) => return Err(Error::not_implemented("CREATE STREAM AS code")),
        None => Vec::new(),
    };
    let defs: Vec<ast::ColumnDef> = plain.iter().map(column_def).collect::<Result<_>>()?;
    bind_columns(&defs, None, &options, lookup, bind_cx)
}

/// The error with the place of `span`.
fn at(error: Error, span: ast::Span, text: Option<&str>) -> Error {
    match text {
        Some(text) if span.end > 0 => error.at(span.position(text)),
        _ => error,
    }
}

pub fn setting(create: &CreateStream, name: &str) -> Option<String> {
    let found = create.storage.settings.iter().rev().find(|s| s.name == name)?;
    setting_text(found).ok().flatten()
}

fn mode(create: &CreateStream) -> Result<StreamMode> {
    let Some(name) = setting(create, "mode") else { return Ok(StreamMode::Append) };
    match mode_of(&name) {
        Some(mode) => Ok(mode),
        None => Err(Error::new(Code::INVALID_SETTING_VALUE, format!("mode '{name}' is unknown"))
            .hint("append, changelog, changelog_kv or versioned_kv")),
    }
}

fn stream_info(
    create: &CreateStream,
    kind: StreamKind,
    database: Arc<str>,
    name: Arc<str>,
    columns: Vec<ColumnInfo>,
    statement: Option<&str>,
) -> Result<StreamInfo> {
    let mode = mode(create)?;
    let storage = &create.storage;
    if kind != StreamKind::External {
        check_settings(create, statement)?;
    }
    let text = |e: &Option<ast::Expr>| e.as_ref().map(ToString::to_string).unwrap_or_default();
    let in_list = create.elements.as_ref().and_then(|e| e.primary_key.clone());
    let primary = storage.primary_key.clone().or(in_list);
    let primary_key: Vec<Arc<str>> = primary.iter().flat_map(key_columns).collect();
    let version_column = setting(create, "version_column");
    check_keys(mode, &primary_key, version_column.as_deref(), storage.order_by.as_ref(), &columns)?;
    let shards = match (setting(create, "shards"), engine_argument(create, 0)) {
        (Some(text), _) => text.parse().ok(),
        (None, Some(n)) => u32::try_from(n).ok(),
        (None, None) => Some(1),
    };
    let shards = shards
        .filter(|n| (1..=SHARDS_MAX).contains(n))
        .ok_or_else(|| Error::new(Code::INVALID_SETTING_VALUE, format!("shards must be 1 to {SHARDS_MAX}")))?;
    let sharding = setting(create, "sharding_expr").or_else(|| {
        let args = &storage.engine.as_ref().filter(|e| e.name == "Stream")?.args;
        args.get(2).map(ToString::to_string)
    });
    // The rows of a key belong into one log, in the order they came.
    let is_keyed = matches!(mode, StreamMode::ChangelogKv | StreamMode::VersionedKv);
    let by_key = || is_keyed.then(|| format!("weak_hash32({})", primary_key.join(", ")));
    let sharding = sharding.filter(|s| !is_keyed || s != "rand()").or_else(|| by_key().filter(|_| shards > 1));
    Ok(StreamInfo {
        database,
        name,
        uuid: Uuid::new_v4(),
        kind,
        mode,
        columns,
        primary_key,
        order_by: text(&storage.order_by.clone().or(primary)),
        partition_by: text(&storage.partition_by),
        version_column: version_column.map(Arc::from),
        shards,
        sharding_expr: sharding.unwrap_or_default(),
        engine: Arc::from(match (&storage.engine, kind) {
            (Some(e), _) => e.name.as_str(),
            (None, StreamKind::Random) => "Random",
            (None, StreamKind::External) => "ExternalStream",
            (None, _) => "Stream",
        }),
        engine_args: Vec::new(),
        sample_by: text(&storage.sample_by),
        settings: storage
            .settings
            .iter()
            .filter_map(|s| Some((Arc::from(s.name.as_str()), setting_text(s).ok().flatten()?)))
            .collect(),
        comment: create.comment.clone().unwrap_or_default(),
    })
}

/// What a keyed stream needs: a key of columns, ordered by them, and a version beside them.
///
/// Errors: SYNTAX_ERROR (62), BAD_ARGUMENTS (36), NO_SUCH_COLUMN_IN_STREAM (16).
fn check_keys(
    mode: StreamMode,
    primary_key: &[Arc<str>],
    version: Option<&str>,
    order_by: Option<&ast::Expr>,
    columns: &[ColumnInfo],
) -> Result<()> {
    if !matches!(mode, StreamMode::ChangelogKv | StreamMode::VersionedKv) {
        return Ok(());
    }
    if primary_key.is_empty() {
        let message = format!("a stream of mode '{}' needs a PRIMARY KEY", mode.name());
        return Err(Error::new(Code::SYNTAX_ERROR, message));
    }
    let known = |name: &str| columns.iter().any(|c| &*c.name == name && c.is_stored());
    for name in primary_key.iter().map(|k| &**k).chain(version) {
        if !known(name) {
            let message = format!("'{name}' is no stored column: the keys and version of a keyed stream are columns");
            return Err(Error::new(Code::NO_SUCH_COLUMN_IN_STREAM, message));
        }
    }
    if let Some(order) = order_by
        && key_columns(order) != primary_key
    {
        return Err(Error::bad_arguments("ORDER BY of a keyed stream is its PRIMARY KEY"));
    }
    if let Some(version) = version.filter(|v| primary_key.iter().any(|k| &**k == *v)) {
        return Err(Error::bad_arguments(format!("version column '{version}' cannot be in the PRIMARY KEY")));
    }
    Ok(())
}

fn engine_argument(create: &CreateStream, at: usize) -> Option<u64> {
    let engine = create.storage.engine.as_ref().filter(|e| e.name == "Stream")?;
    engine.args.get(at)?.as_literal()?.as_u64()
}

/// The column names of `a` or `(a, b)`.
pub fn key_columns(key: &ast::Expr) -> Vec<Arc<str>> {
    match key.as_function().filter(|f| f.name == "tuple") {
        Some(tuple) => tuple.args.iter().map(|a| Arc::from(a.to_string())).collect(),
        None => vec![Arc::from(key.to_string())],
    }
}

const STREAM_SETTINGS: &[&str] = &[
    "mode",
    "shards",
    "replicas",
    "sharding_expr",
    "event_time_column",
    "version_column",
    "keep_versions",
    "subtype",
    "storage_type",
    "logstore",
    "logstore_codec",
    "logstore_retention_bytes",
    "logstore_retention_ms",
    "logstore_flush_messages",
    "logstore_flush_ms",
    "logstore_auto_offset_reset",
    "logstore_subscription_mode",
    "logstore_cluster_id",
    "logstore_replication_factor",
    "request_required_acks",
    "request_timeout_ms",
    "flush_threshold_ms",
    "flush_threshold_count",
    "flush_threshold_bytes",
    "distributed_ingest_mode",
    "distributed_flush_threshold_ms",
    "distributed_flush_threshold_count",
    "distributed_flush_threshold_bytes",
    "eps",
    "interval_time",
];
// Settings of MergeTree: taken for the sake of scripts, without effect on this storage.
const MERGE_TREE_PREFIXES: &[&str] = &[
    "index_granularity",
    "min_",
    "max_",
    "merge_",
    "parts_to_",
    "inactive_parts_",
    "old_parts_lifetime",
    "enable_mixed_granularity_parts",
    "ratio_of_defaults_for_sparse_serialization",
    "allow_",
    "number_of_free_entries_in_pool_",
    "cleanup_delay_period",
    "use_minimalistic_",
    "vertical_merge_",
    "non_replicated_deduplication_window",
    "replicated_",
    "temporary_directories_lifetime",
    "write_final_mark",
    "write_ahead_log_",
    "in_memory_parts_",
    "compress_",
    "storage_policy",
    "ttl_only_drop_parts",
    "prefer_",
    "check_",
    "remove_",
    "fsync_",
    "assign_part_uuids",
    "always_",
    "concurrent_part_removal_threshold",
    "materialize_ttl_recalculate_only",
    "async_insert",
    "persistent",
    "join_",
];

/// Whether a stream or a table may have a setting of this name.
pub fn is_setting(name: &str) -> bool {
    STREAM_SETTINGS.contains(&name) || MERGE_TREE_PREFIXES.iter().any(|p| name.starts_with(p))
}

/// Settings of a stream, with a check of those that have a range.
pub fn check_settings(create: &CreateStream, text: Option<&str>) -> Result<()> {
    super::storage_check::check(create)?;
    for s in &create.storage.settings {
        setting_text(s)?;
        if is_setting(&s.name) {
            continue;
        }
        // A setting of the query may stand here too: CREATE … SETTINGS query_mode='table'.
        let mut query = hydron_base::Settings::default();
        apply_settings(&mut query, std::slice::from_ref(s), text).map_err(|e| e.context("CREATE STREAM"))?;
    }
    let bad = |name: &str, value: &str, hint: &str| {
        let message = format!("setting {name} cannot be '{value}'");
        Err(Error::new(Code::INVALID_SETTING_VALUE, message).hint(hint))
    };
    if let Some(tick) = setting(create, "interval_time")
        && !tick.parse::<u64>().is_ok_and(|ms| (1..=1000).contains(&ms))
    {
        return bad("interval_time", &tick, "1 to 1000 milliseconds");
    }
    if let Some(replicas) = setting(create, "replicas")
        && replicas != "1"
    {
        return bad("replicas", &replicas, "1");
    }
    match setting(create, "storage_type").as_deref() {
        None | Some("hybrid" | "streaming") => {}
        Some(kind @ ("memory" | "inmemory")) => {
            return Err(Error::not_implemented(format!("storage_type '{kind}'")));
        }
        Some(other) => return bad("storage_type", other, "hybrid, streaming or memory"),
    }
    match setting(create, "logstore").as_deref() {
        None | Some("" | "nativelog") => Ok(()),
        Some("kafka") => Err(Error::not_implemented("logstore 'kafka'")),
        Some(other) => bad("logstore", other, "nativelog"),
    }
}

fn column_def(column: &ColumnInfo) -> Result<ast::ColumnDef> {
    let (kind, expr) = match &column.default {
        ColumnDefault::None => (None, None),
        ColumnDefault::Default(e) => (Some(ast::DefaultKind::Default), Some(e.as_str())),
        ColumnDefault::Materialized(e) => (Some(ast::DefaultKind::Materialized), Some(e.as_str())),
        ColumnDefault::Alias(e) => (Some(ast::DefaultKind::Alias), Some(e.as_str())),
        ColumnDefault::Ephemeral(e) => (Some(ast::DefaultKind::Ephemeral), e.as_deref()),
    };
    let expr = expr.map(hydron_sql::parse_expression).transpose()?;
    Ok(ast::ColumnDef {
        name: column.name.to_string(),
        ty: Some(hydron_sql::parse_type(&column.ty.to_string())?),
        nullable: None,
        default: kind.map(|kind| ast::ColumnDefault { kind, expr }),
        comment: Some(column.comment.clone()).filter(|c| !c.is_empty()),
        codec: codec_of(&column.codec)?,
        ttl: Some(column.ttl.as_str()).filter(|t| !t.is_empty()).map(hydron_sql::parse_expression).transpose()?,
        collation: None,
        primary_key: false,
        span: ast::Span::default(),
    })
}

/// `DoubleDelta, LZ4` as expressions.
fn codec_of(codec: &str) -> Result<Vec<ast::Expr>> {
    if codec.is_empty() {
        return Ok(Vec::new());
    }
    let call = hydron_sql::parse_expression(&format!("codec({codec})"))?;
    Ok(call.as_function().map(|f| f.args.clone()).unwrap_or_default())
}

/// The CREATE statement as SHOW CREATE prints it: every column with its type, the engine and the keys spelled out.
pub fn create_text(create: &CreateStream, info: &StreamInfo) -> Result<String> {
    let mut full = create.clone();
    full.name.database = Some(info.database.to_string()).filter(|_| !create.temporary);
    (full.or_replace, full.if_not_exists, full.source, full.uuid) = (false, false, None, None);
    let mut elements = create.elements.clone().unwrap_or_default();
    elements.columns = info.columns.iter().map(column_def).collect::<Result<_>>()?;
    let parse = |text: &str| hydron_sql::parse_expression(text);
    if info.kind == StreamKind::Stream {
        if !elements.indexes.iter().any(|i| i.name == "_tp_time_index") {
            elements.indexes.push(ast::IndexDef {
                name: "_tp_time_index".into(),
                expr: parse("_tp_time")?,
                ty: parse("minmax")?,
                granularity: Some(2),
            });
        }
        let storage = &mut full.storage;
        if storage.partition_by.is_none() {
            storage.partition_by = Some(parse("to_YYYYMMDD(_tp_time)")?);
        }
        if storage.order_by.is_none() && storage.primary_key.is_none() {
            storage.order_by = Some(parse("to_start_of_hour(_tp_time)")?);
        }
    }
    let sharding = if info.sharding_expr.is_empty() { "rand()" } else { &info.sharding_expr };
    let engine = match info.kind {
        StreamKind::Stream => Some(parse(&format!("Stream({}, 1, {sharding})", info.shards))?),
        _ => None,
    };
    if let Some(engine) = engine.as_ref().and_then(|e| e.as_function()) {
        full.storage.engine = Some(engine.clone());
    }
    full.elements = Some(elements);
    // ClickHouse shows this setting of such a table always.
    let storage = &mut full.storage;
    let is_merge_tree = storage.engine.as_ref().is_some_and(|e| e.name.ends_with("MergeTree"));
    let is_merge_tree = is_merge_tree && (storage.order_by.is_some() || storage.primary_key.is_some());
    if is_merge_tree && storage.order_by.is_none() {
        storage.order_by.clone_from(&storage.primary_key);
    }
    if is_merge_tree && !storage.settings.iter().any(|s| s.name == "index_granularity") {
        storage.settings.push(ast::Setting {
            name: "index_granularity".to_string(),
            value: ast::SettingValue::Literal(ast::Literal::UInt(8192)),
            span: ast::Span::default(),
        });
    }
    Ok(super::text::multi_line(StatementKind::CreateStream(Box::new(full))))
}
