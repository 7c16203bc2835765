//! ENGINE = … of a CREATE: what its arguments mean, and whether they fit the columns.
//!
//! In: the syntax tree and the columns. Out: the arguments as they are stored. Promise: an engine that is accepted here can be read,
//! written and merged later: nothing about it is found out by the first INSERT.

use crate::catalog::lookup::Lookup;
use crate::stream::merging;
use hydron_base::{Code, Error, Result};
use hydron_func::{BindContext, Volatility};
use hydron_plan::bind::bind_scalar_expr;
use hydron_plan::{JoinEngine, StreamInfo, StreamKind};
use hydron_sql::ast::{self, CreateStream, Expr, ExprKind};
use hydron_types::{LogicalType, Schema, Value};
use std::sync::Arc;

/// Engines whose tables are stored as streams are and read as tables.
const STORED: &[&str] = &[
    "MergeTree",
    "ReplacingMergeTree",
    "CollapsingMergeTree",
    "VersionedCollapsingMergeTree",
    "SummingMergeTree",
    "AggregatingMergeTree",
    "Memory",
    "Log",
    "TinyLog",
    "StripeLog",
    "Null",
    "Set",
    "Join",
    "Buffer",
    "File",
];

/// Engines that exist and are not built here.
const OTHERS: &[&str] = &[
    "MaterializedView",
    "View",
    "ExternalStream",
    "ExternalTable",
    "GraphiteMergeTree",
    "Distributed",
    "URL",
    "Dictionary",
    "Merge",
    "GenerateRandom",
    "Executable",
    "S3",
    "COSN",
    "EmbeddedRocksDB",
];

/// Errors: NOT_IMPLEMENTED (48), UNKNOWN_STORAGE (56).
pub fn kind_of(engine: Option<&str>) -> Result<StreamKind> {
    match engine {
        None | Some("Stream") => Ok(StreamKind::Stream),
        Some("Random") => Ok(StreamKind::Random),
        Some(name) if STORED.contains(&name) => Ok(StreamKind::Table),
        Some(name) if OTHERS.contains(&name) => Err(Error::not_implemented(format!("engine {name}"))),
        Some(name) => Err(Error::new(Code::UNKNOWN_STORAGE, format!("engine {name} is unknown"))
            .hint("ENGINE = Stream, MergeTree or Memory, or none")),
    }
}

/// The old way of a MergeTree, `MergeTree(date, [sample,] key, granularity[, …])`, in the words of the new one.
pub fn modern(create: &CreateStream) -> CreateStream {
    let mut create = create.clone();
    let storage = &mut create.storage;
    let Some(engine) = storage.engine.as_mut().filter(|e| e.name.ends_with("MergeTree")) else { return create };
    let has_clauses = storage.order_by.is_some() || storage.partition_by.is_some() || storage.primary_key.is_some();
    let is_number = |e: &Expr| e.as_literal().is_some_and(|l| l.as_u64().is_some());
    let granularity = engine.args.iter().position(is_number);
    let Some(at) = granularity.filter(|at| !has_clauses && (2..=3).contains(at)) else { return create };
    let rest = engine.args.split_off(at + 1);
    let mut head = std::mem::replace(&mut engine.args, rest);
    let granularity = head.pop();
    let key = head.pop();
    let sample = if head.len() > 1 { head.pop() } else { None };
    let month = head.pop().map(|date| Expr::call("to_YYYYMM", vec![date]));
    (storage.order_by, storage.sample_by, storage.partition_by) = (key, sample, month);
    if let Some(ExprKind::Literal(value)) = granularity.map(|g| g.kind) {
        storage.settings.push(ast::Setting {
            name: "index_granularity".to_string(),
            value: ast::SettingValue::Literal(value),
            span: ast::Span::default(),
        });
    }
    create
}

/// The arguments of the engine, as SQL. Those of a Buffer are worked out: they name its destination.
pub fn arguments(create: &CreateStream, lookup: &Lookup, cx: &BindContext) -> Result<Vec<String>> {
    let Some(engine) = &create.storage.engine else { return Ok(Vec::new()) };
    let text = |(at, arg): (usize, &Expr)| {
        if engine.name != "Buffer" || at > 1 || !matches!(arg.kind, ExprKind::Function(_)) {
            return Ok(arg.to_string());
        }
        let bound = bind_scalar_expr(arg, &Arc::new(Schema::default()), lookup, cx)?;
        match bound.as_literal() {
            Some(Value::Bytes(name)) => Ok(format!("`{}`", String::from_utf8_lossy(name))),
            _ => Err(Error::bad_arguments(format!("argument {} of engine Buffer is no name", at + 1))),
        }
    };
    let mut args = engine.args.iter().enumerate().map(text).collect::<Result<Vec<_>>>()?;
    if engine.name == "Buffer"
        && let Some(database) = args.first_mut().filter(|d| matches!(d.as_str(), "''" | "``"))
    {
        *database = format!("`{}`", lookup.database);
    }
    Ok(args)
}

/// Settings of the session that a table keeps from its CREATE on.
pub fn kept_settings(info: &mut StreamInfo, cx: &BindContext) {
    if &*info.engine != "Join" {
        return;
    }
    for name in ["join_use_nulls", "join_any_take_last_row", "any_join_distinct_right_table_keys"] {
        if cx.settings.bool(name) && !info.settings.iter().any(|(k, _)| &**k == name) {
            info.settings.push((Arc::from(name), "1".to_string()));
        }
    }
}

/// Whether the engine has the clauses that it is given.
///
/// Errors: BAD_ARGUMENTS (36); NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42) for a MergeTree that is told nothing at all.
pub fn check_clauses(create: &CreateStream) -> Result<()> {
    let storage = &create.storage;
    let Some(engine) = &storage.engine else { return Ok(()) };
    let elements = create.elements.as_ref();
    let has_parts = elements.is_some_and(|e| !e.indexes.is_empty() || !e.projections.is_empty());
    let sorts = storage.order_by.is_some() || storage.primary_key.is_some();
    if engine.name.ends_with("MergeTree") {
        if sorts && engine.name == "MergeTree" && !engine.args.is_empty() {
            let message = format!("engine MergeTree takes no arguments beside ORDER BY, given {}", engine.args.len());
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, message));
        }
        if sorts {
            return Ok(());
        }
        let message = format!("engine {} needs an ORDER BY or a PRIMARY KEY", engine.name);
        let is_told = storage.partition_by.is_some() || storage.sample_by.is_some() || !storage.settings.is_empty();
        let code = if is_told || has_parts { Code::BAD_ARGUMENTS } else { Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH };
        return Err(Error::new(code, message).hint("ORDER BY tuple() leaves the rows in the order they come"));
    }
    let has_ttl = !storage.ttl.is_empty() || elements.is_some_and(|e| e.columns.iter().any(|c| c.ttl.is_some()));
    let refused = [
        (
            sorts || storage.partition_by.is_some() || storage.sample_by.is_some(),
            "PARTITION BY, PRIMARY KEY, ORDER BY or SAMPLE BY",
        ),
        (has_ttl, "TTL"),
        (elements.is_some_and(|e| !e.indexes.is_empty()), "skipping indexes"),
        (elements.is_some_and(|e| !e.projections.is_empty()), "projections"),
    ];
    match refused.iter().find(|(given, _)| *given) {
        None => Ok(()),
        Some((_, what)) => {
            let error = Error::bad_arguments(format!("engine {} does not support {what}", engine.name));
            Err(error.hint("ENGINE = MergeTree"))
        }
    }
}

/// Whether a key can place rows.
///
/// Errors: BAD_ARGUMENTS (36) for one that says something else each time or a primary key that does not begin the sorting key,
/// ILLEGAL_COLUMN (44) for constants and what may be NULL, what binding answers.
pub fn check_keys(info: &StreamInfo, schema: &Schema, lookup: &Lookup, cx: &BindContext) -> Result<()> {
    // There the time of the statement is no constant.
    let cx = &BindContext { streaming: true, ..cx.clone() };
    let allows = |name: &str| info.settings.iter().any(|(k, v)| &**k == name && matches!(v.as_str(), "1" | "true"));
    for (what, key) in [("ORDER BY", &info.order_by), ("PARTITION BY", &info.partition_by)] {
        for element in merging::list_of(key)? {
            let bound = bind_scalar_expr(&hydron_sql::parse_expression(&element)?, schema, lookup, cx)?;
            if bound.volatility() > Volatility::Immutable {
                let message = format!("'{element}' of {what} does not say the same of a row each time");
                return Err(Error::bad_arguments(message));
            }
            if bound.as_literal().is_some() {
                return Err(Error::new(Code::ILLEGAL_COLUMN, format!("'{element}' of {what} is a constant")));
            }
            if has_nullable(&bound.ty) && !allows("allow_nullable_key") {
                let error = Error::new(Code::ILLEGAL_COLUMN, format!("'{element}' of {what} may be NULL"));
                return Err(error.hint("SETTINGS allow_nullable_key = 1"));
            }
            let is_float = matches!(bound.ty.bare(), LogicalType::Float32 | LogicalType::Float64);
            if is_float && what == "PARTITION BY" && !allows("allow_floating_point_partition_key") {
                let message = format!("'{element}' of {what} is a floating point number");
                return Err(Error::bad_arguments(message).hint("SETTINGS allow_floating_point_partition_key = 1"));
            }
        }
    }
    let sorting = merging::list_of(&info.order_by)?;
    let primary: Vec<String> = match info.primary_key.is_empty() {
        true => sorting.clone(),
        false => info.primary_key.iter().map(ToString::to_string).collect(),
    };
    for (at, key) in primary.iter().enumerate() {
        let message = match sorting.get(at) {
            Some(element) if element == key && sorting[..at].contains(element) => {
                format!("the primary key has '{key}' twice")
            }
            Some(element) if element == key => continue,
            Some(element) => {
                format!("the primary key must begin the sorting key: at position {at} is '{key}', not '{element}'")
            }
            None => format!("the primary key must begin the sorting key: '{key}' is behind its end"),
        };
        return Err(Error::bad_arguments(message));
    }
    Ok(())
}

/// Whether the keys of a stream name columns that it has. Errors: what binding answers.
pub fn check_columns_of_keys(info: &StreamInfo, schema: &Schema, lookup: &Lookup, cx: &BindContext) -> Result<()> {
    for key in [&info.order_by, &info.partition_by] {
        for element in merging::list_of(key)? {
            bind_scalar_expr(&hydron_sql::parse_expression(&element)?, schema, lookup, cx)?;
        }
    }
    Ok(())
}

fn has_nullable(ty: &LogicalType) -> bool {
    match ty {
        LogicalType::Nullable(_) => true,
        LogicalType::LowCardinality(inner) | LogicalType::Array(inner) => has_nullable(inner),
        LogicalType::Tuple(elements) => elements.iter().any(|(_, ty)| has_nullable(ty)),
        LogicalType::Map(key, value) => has_nullable(key) || has_nullable(value),
        _ => false,
    }
}

/// Whether a sampling key can be one.
///
/// Errors: BAD_ARGUMENTS (36) for one that is not in the sorting key or no unsigned integer.
pub fn check_sample(info: &StreamInfo, schema: &Schema, lookup: &Lookup, cx: &BindContext) -> Result<()> {
    use hydron_types::LogicalType::{UInt8, UInt16, UInt32, UInt64};
    if info.sample_by.is_empty() {
        return Ok(());
    }
    if !merging::list_of(&info.order_by)?.contains(&info.sample_by) {
        let message = format!("SAMPLE BY {} is not in ORDER BY {}", info.sample_by, info.order_by);
        return Err(Error::bad_arguments(message));
    }
    let bound = bind_scalar_expr(&hydron_sql::parse_expression(&info.sample_by)?, schema, lookup, cx)?;
    if matches!(bound.ty, UInt8 | UInt16 | UInt32 | UInt64) {
        return Ok(());
    }
    let message = format!("SAMPLE BY {} is of type {}, it must be an unsigned integer", info.sample_by, bound.ty);
    Err(Error::bad_arguments(message))
}

/// Settings of a MergeTree that contradict the server.
///
/// Errors: BAD_ARGUMENTS (36), CANNOT_PARSE_INPUT_ASSERTION_FAILED (27).
pub fn check_settings(settings: &[(Arc<str>, String)]) -> Result<()> {
    if let Some((_, value)) = settings.iter().rfind(|(k, _)| &**k == "index_granularity") {
        match value.parse::<u64>() {
            Ok(0) => return Err(Error::bad_arguments("index_granularity: value 0 makes no sense")),
            Ok(_) => {}
            Err(_) => {
                let message = format!("setting index_granularity cannot be '{value}'");
                return Err(Error::new(Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED, message));
            }
        }
    }
    // Entries in the pool of background tasks of ClickHouse, by default.
    const POOL: u64 = 32;
    for name in [
        "number_of_free_entries_in_pool_to_execute_mutation",
        "number_of_free_entries_in_pool_to_lower_max_size_of_merge",
        "number_of_free_entries_in_pool_to_execute_optimize_entire_partition",
    ] {
        let found = settings.iter().rfind(|(k, _)| &**k == name).and_then(|(_, v)| v.parse::<u64>().ok());
        if let Some(entries) = found.filter(|entries| *entries > POOL) {
            return Err(Error::bad_arguments(format!("setting {name} is {entries}, the pool has {POOL} entries")));
        }
    }
    Ok(())
}

/// Whether the table was made in the old way, whose settings stay as they are.
pub fn is_of_old_way(create: &CreateStream) -> bool {
    modern(create) != *create
}

/// Whether the arguments fit the columns.
///
/// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42), BAD_ARGUMENTS (36), UNKNOWN_FORMAT (73) and what the engine says.
pub fn check(info: &StreamInfo) -> Result<()> {
    let (engine, args) = (&*info.engine, info.engine_args.len());
    let takes = |fits: bool, what: &str| match fits {
        true => Ok(()),
        false => {
            let message = format!("engine {engine} takes {what}, given {args} arguments");
            Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, message))
        }
    };
    match engine {
        "Join" => JoinEngine::parse(&info.engine_args, &info.settings, &info.columns).map(drop),
        "Set" | "Null" | "Log" | "TinyLog" | "StripeLog" | "Memory" => takes(args == 0, "no arguments"),
        "Buffer" => takes((9..=12).contains(&args), "a database, a table, layers and six to nine thresholds"),
        "File" => {
            takes((1..=2).contains(&args), "a format, perhaps a path")?;
            let format = info.engine_args[0].trim_matches(['\'', '`']);
            if hydron_format::registry::is_known(format) {
                return Ok(());
            }
            Err(Error::new(Code::UNKNOWN_FORMAT, format!("format {format} is unknown")))
        }
        _ => merging::check_arguments(info),
    }
}
