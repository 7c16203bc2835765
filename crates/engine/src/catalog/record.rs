//! An object as it is stored: plain JSON properties beside the CREATE text, readable without parsing SQL.
//!
//! Promise: `stream_info(properties(info)) == info`.

use super::object::{Function, FunctionBody, MaterializedView, View};
use crate::stream::Stream;
use crate::stream::layout::{Layout, Layouts, StoredColumn};
use hydron_base::{Code, Error, Result, Settings};
use hydron_plan::dictionary::Attribute;
use hydron_plan::{ColumnDefault, ColumnInfo, DictionaryInfo, StreamInfo, StreamKind, StreamMode, ViewInfo};
use hydron_sql::ast::StatementKind;
use hydron_types::LogicalType;
use hydron_types::parse::parse_type;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

/// Kinds of catalog entries.
pub const DATABASE: &str = "database";
pub const STREAM: &str = "stream";
pub const VIEW: &str = "view";
pub const MATERIALIZED_VIEW: &str = "materialized_view";
pub const FUNCTION: &str = "function";
/// What the rows of a stream have shown of its json columns.
pub const JSON_TYPES: &str = "json_types";
/// Rows on their way from one table into another.
pub const TRANSFER: &str = "transfer";
pub const FORMAT_SCHEMA: &str = "format_schema";
/// A user, role, settings profile, quota or row policy.
pub const ACCESS: &str = "access";
pub const DICTIONARY: &str = "dictionary";

#[derive(Serialize, Deserialize)]
pub struct StreamRecord {
    kind: String,
    mode: String,
    columns: Vec<ColumnRecord>,
    primary_key: Vec<String>,
    order_by: String,
    partition_by: String,
    version_column: Option<String>,
    shards: u32,
    sharding_expr: String,
    engine: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    engine_args: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    sample_by: String,
    settings: Vec<(String, String)>,
    comment: String,
    /// Of an altered stream: how its rows lie in each version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layouts: Option<LayoutsRecord>,
}

#[derive(Serialize, Deserialize)]
struct LayoutsRecord {
    next_id: u32,
    /// By version: number, name and type of each stored column.
    versions: BTreeMap<u16, Vec<(u32, String, String)>>,
}

#[derive(Serialize, Deserialize)]
struct ColumnRecord {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    default_kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    comment: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    codec: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    ttl: String,
}

#[derive(Serialize, Deserialize)]
pub struct ViewRecord {
    pub select: String,
    pub columns: Vec<String>,
    pub comment: String,
    pub reads: Vec<(String, String)>,
    /// With whose rights it reads. Views of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct DictionaryRecord {
    view: ViewRecord,
    layout: String,
    /// Names and types.
    keys: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<[(String, String); 2]>,
    attributes: Vec<AttributeRecord>,
}

#[derive(Serialize, Deserialize)]
struct AttributeRecord {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default: Option<String>,
    #[serde(default)]
    hierarchical: bool,
}

#[derive(Serialize, Deserialize)]
pub struct MaterializedViewRecord {
    pub select: String,
    pub comment: String,
    pub reads: Vec<(String, String)>,
    pub target: (String, String),
    pub is_inner: bool,
    pub database: String,
    pub user: String,
    pub settings: Vec<(String, String)>,
    #[serde(default)]
    pub paused: bool,
    /// With whose rights it reads. Views of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub struct FunctionRecord {
    /// Of a function whose code is SQL; others are in the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lambda: Option<String>,
}

fn damaged(what: &str, name: &str, why: impl std::fmt::Display) -> Error {
    Error::new(Code::CORRUPTED_DATA, format!("catalog entry of {what} {name} cannot be read: {why}"))
}

/// Of a stream that was never altered.
pub fn properties(info: &StreamInfo) -> serde_json::Value {
    properties_with(info, None)
}

/// Of a stream with all its versions.
pub fn properties_of(stream: &Stream) -> serde_json::Value {
    let layouts = stream.layouts();
    properties_with(&stream.info, (layouts != Layouts::first(&stream.info)).then_some(&layouts))
}

/// Of a stream as it will be.
pub fn properties_with(info: &StreamInfo, layouts: Option<&Layouts>) -> serde_json::Value {
    let record = StreamRecord {
        kind: kind_name(info.kind).to_string(),
        mode: info.mode.name().to_string(),
        columns: info.columns.iter().map(column_record).collect(),
        primary_key: info.primary_key.iter().map(|k| k.to_string()).collect(),
        order_by: info.order_by.clone(),
        partition_by: info.partition_by.clone(),
        version_column: info.version_column.as_deref().map(str::to_string),
        shards: info.shards,
        sharding_expr: info.sharding_expr.clone(),
        engine: info.engine.to_string(),
        engine_args: info.engine_args.clone(),
        sample_by: info.sample_by.clone(),
        settings: info.settings.iter().map(|(k, v)| (k.to_string(), v.clone())).collect(),
        comment: info.comment.clone(),
        layouts: layouts.map(layouts_record),
    };
    serde_json::to_value(record).unwrap_or_default()
}

fn layouts_record(layouts: &Layouts) -> LayoutsRecord {
    let column = |c: &StoredColumn| (c.id, c.name.to_string(), c.ty.to_string());
    let columns = |l: &Layout| l.columns.iter().map(column).collect();
    let versions = layouts.versions.iter().map(|(version, l)| (*version, columns(l))).collect();
    LayoutsRecord { next_id: layouts.next_id, versions }
}

fn layouts_of(stream: &str, record: LayoutsRecord) -> Result<Layouts> {
    let mut versions = BTreeMap::new();
    for (version, columns) in record.versions {
        let mut stored = Vec::with_capacity(columns.len());
        for (id, name, ty) in columns {
            let ty = parse_type(&ty).map_err(|e| damaged("stream", stream, e.message))?;
            stored.push(StoredColumn { id, name: Arc::from(name), ty });
        }
        versions.insert(version, Arc::new(Layout { version, columns: stored }));
    }
    Ok(Layouts { versions, next_id: record.next_id })
}

/// What a stream is, and all its versions.
pub fn stream(
    database: &str,
    name: &str,
    uuid: Uuid,
    mut properties: serde_json::Value,
) -> Result<(StreamInfo, Layouts)> {
    let layouts = properties.as_object_mut().and_then(|p| p.remove("layouts"));
    let info = stream_info(database, name, uuid, properties)?;
    let layouts = match layouts {
        None => Layouts::first(&info),
        Some(record) => layouts_of(name, serde_json::from_value(record).map_err(|e| damaged("stream", name, e))?)?,
    };
    Ok((info, layouts))
}

pub fn stream_info(database: &str, name: &str, uuid: Uuid, properties: serde_json::Value) -> Result<StreamInfo> {
    let record: StreamRecord = serde_json::from_value(properties).map_err(|e| damaged("stream", name, e))?;
    let columns = record.columns.into_iter().map(|c| column_info(name, c)).collect::<Result<Vec<_>>>()?;
    Ok(StreamInfo {
        database: Arc::from(database),
        name: Arc::from(name),
        uuid,
        kind: kind_of(&record.kind).ok_or_else(|| damaged("stream", name, format!("kind '{}'", record.kind)))?,
        mode: mode_of(&record.mode).ok_or_else(|| damaged("stream", name, format!("mode '{}'", record.mode)))?,
        columns,
        primary_key: record.primary_key.into_iter().map(Arc::from).collect(),
        order_by: record.order_by,
        partition_by: record.partition_by,
        version_column: record.version_column.map(Arc::from),
        shards: record.shards.max(1),
        sharding_expr: record.sharding_expr,
        engine: Arc::from(record.engine),
        engine_args: record.engine_args,
        sample_by: record.sample_by,
        settings: record.settings.into_iter().map(|(k, v)| (Arc::from(k), v)).collect(),
        comment: record.comment,
    })
}

fn kind_name(kind: StreamKind) -> &'static str {
    match kind {
        StreamKind::Stream => "stream",
        StreamKind::Table => "table",
        StreamKind::Random => "random",
        StreamKind::External => "external",
        StreamKind::System => "system",
        StreamKind::Function => "function",
    }
}

fn kind_of(name: &str) -> Option<StreamKind> {
    Some(match name {
        "stream" => StreamKind::Stream,
        "table" => StreamKind::Table,
        "random" => StreamKind::Random,
        "external" => StreamKind::External,
        _ => return None,
    })
}

/// The mode by its name in SETTINGS mode='…'.
pub fn mode_of(name: &str) -> Option<StreamMode> {
    Some(match name {
        "append" => StreamMode::Append,
        "changelog" => StreamMode::Changelog,
        "changelog_kv" => StreamMode::ChangelogKv,
        "versioned_kv" => StreamMode::VersionedKv,
        _ => return None,
    })
}

fn column_record(c: &ColumnInfo) -> ColumnRecord {
    let (kind, default) = match &c.default {
        ColumnDefault::None => ("", None),
        ColumnDefault::Default(e) => ("default", Some(e.clone())),
        ColumnDefault::Materialized(e) => ("materialized", Some(e.clone())),
        ColumnDefault::Alias(e) => ("alias", Some(e.clone())),
        ColumnDefault::Ephemeral(e) => ("ephemeral", e.clone()),
    };
    ColumnRecord {
        name: c.name.to_string(),
        ty: c.ty.to_string(),
        default_kind: kind.to_string(),
        default,
        comment: c.comment.clone(),
        codec: c.codec.clone(),
        ttl: c.ttl.clone(),
    }
}

fn column_info(stream: &str, c: ColumnRecord) -> Result<ColumnInfo> {
    let default = match (c.default_kind.as_str(), c.default) {
        ("", _) => ColumnDefault::None,
        ("default", Some(e)) => ColumnDefault::Default(e),
        ("materialized", Some(e)) => ColumnDefault::Materialized(e),
        ("alias", Some(e)) => ColumnDefault::Alias(e),
        ("ephemeral", e) => ColumnDefault::Ephemeral(e),
        (kind, _) => return Err(damaged("stream", stream, format!("column {} has default kind '{kind}'", c.name))),
    };
    Ok(ColumnInfo {
        name: Arc::from(c.name),
        ty: parse_type(&c.ty).map_err(|e| damaged("stream", stream, e.message))?,
        default,
        comment: c.comment,
        codec: c.codec,
        ttl: c.ttl,
    })
}

pub fn view_properties(info: &ViewInfo, reads: &[(Arc<str>, Arc<str>)]) -> serde_json::Value {
    serde_json::to_value(record_of_view(info, reads)).unwrap_or_default()
}

fn record_of_view(info: &ViewInfo, reads: &[(Arc<str>, Arc<str>)]) -> ViewRecord {
    ViewRecord {
        select: info.select.clone(),
        columns: info.columns.iter().map(|c| c.to_string()).collect(),
        comment: info.comment.clone(),
        reads: reads.iter().map(|(d, n)| (d.to_string(), n.to_string())).collect(),
        owner: info.owner.as_deref().map(str::to_string),
    }
}

pub fn dictionary_properties(view: &View) -> serde_json::Value {
    let Some(info) = &view.dictionary else { return serde_json::Value::Null };
    let typed = |(name, ty): &(Arc<str>, LogicalType)| (name.to_string(), ty.to_string());
    let attribute = |a: &Attribute| AttributeRecord {
        name: a.name.to_string(),
        ty: a.ty.to_string(),
        default: a.default.clone(),
        hierarchical: a.hierarchical,
    };
    let record = DictionaryRecord {
        view: record_of_view(&view.info, &view.reads),
        layout: info.layout.to_string(),
        keys: info.keys.iter().map(typed).collect(),
        range: info.range.as_ref().map(|range| range.each_ref().map(typed)),
        attributes: info.attributes.iter().map(attribute).collect(),
    };
    serde_json::to_value(record).unwrap_or_default()
}

pub fn dictionary(
    database: &Arc<str>,
    name: &Arc<str>,
    uuid: Uuid,
    create_text: String,
    properties: serde_json::Value,
) -> Result<View> {
    let damaged = |e: String| damaged("dictionary", name, e);
    let record: DictionaryRecord = serde_json::from_value(properties).map_err(|e| damaged(e.to_string()))?;
    let typed = |(name, ty): (String, String)| -> Result<(Arc<str>, LogicalType)> {
        Ok((Arc::from(name), parse_type(&ty).map_err(|e| damaged(e.message))?))
    };
    let range = match record.range {
        Some([min, max]) => Some([typed(min)?, typed(max)?]),
        None => None,
    };
    let attribute = |a: AttributeRecord| -> Result<Attribute> {
        let (name, ty) = typed((a.name, a.ty))?;
        Ok(Attribute { name, ty, default: a.default, hierarchical: a.hierarchical })
    };
    let info = Arc::new(ViewInfo {
        database: Arc::clone(database),
        name: Arc::clone(name),
        uuid,
        select: record.view.select,
        columns: Vec::new(),
        comment: record.view.comment,
        owner: record.view.owner.map(Arc::from),
    });
    let dictionary = DictionaryInfo {
        view: Arc::clone(&info),
        layout: Arc::from(record.layout),
        keys: record.keys.into_iter().map(typed).collect::<Result<_>>()?,
        range,
        attributes: record.attributes.into_iter().map(attribute).collect::<Result<_>>()?,
    };
    let reads = record.view.reads.into_iter().map(|(d, n)| (Arc::from(d), Arc::from(n))).collect();
    Ok(View { info, create_text, reads, dictionary: Some(Arc::new(dictionary)) })
}

pub fn view_record(name: &str, properties: serde_json::Value) -> Result<ViewRecord> {
    serde_json::from_value(properties).map_err(|e| damaged("view", name, e))
}

pub fn materialized_view_properties(view: &MaterializedView) -> serde_json::Value {
    let pair = |(d, n): &(Arc<str>, Arc<str>)| (d.to_string(), n.to_string());
    let record = MaterializedViewRecord {
        select: view.info.select.clone(),
        comment: view.info.comment.clone(),
        reads: view.reads.iter().map(pair).collect(),
        target: pair(&view.target),
        is_inner: view.is_inner,
        database: view.session_database.to_string(),
        user: view.user.to_string(),
        settings: view.settings.changed().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
        paused: view.paused.load(Ordering::Acquire),
        owner: view.info.owner.as_deref().map(str::to_string),
    };
    serde_json::to_value(record).unwrap_or_default()
}

pub fn materialized_view(
    database: &Arc<str>,
    name: &Arc<str>,
    uuid: Uuid,
    create_text: String,
    properties: serde_json::Value,
) -> Result<MaterializedView> {
    let record: MaterializedViewRecord =
        serde_json::from_value(properties).map_err(|e| damaged("materialized view", name, e))?;
    let pair = |(d, n): (String, String)| (Arc::from(d), Arc::from(n));
    let mut settings = Settings::default();
    for (setting, value) in &record.settings {
        if let Err(e) = settings.set(setting, value) {
            tracing::warn!("view {database}.{name} goes on without its setting {setting}: {e}");
        }
    }
    let info = ViewInfo {
        database: Arc::clone(database),
        name: Arc::clone(name),
        uuid,
        select: record.select,
        columns: Vec::new(),
        comment: record.comment,
        owner: record.owner.map(Arc::from),
    };
    Ok(MaterializedView {
        info: Arc::new(info),
        create_text,
        reads: record.reads.into_iter().map(pair).collect(),
        target: pair(record.target),
        is_inner: record.is_inner,
        session_database: Arc::from(record.database),
        user: Arc::from(record.user),
        settings,
        paused: AtomicBool::new(record.paused),
    })
}

pub fn function(name: &Arc<str>, uuid: Uuid, create_text: String, properties: serde_json::Value) -> Result<Function> {
    let record: FunctionRecord = serde_json::from_value(properties).map_err(|e| damaged("function", name, e))?;
    let body = match record.lambda {
        Some(lambda) => FunctionBody::Lambda(lambda),
        None => {
            let parsed = hydron_sql::parse_statement(&create_text).map_err(|e| damaged("function", name, e))?;
            let StatementKind::CreateFunction(create) = parsed.statement.kind else {
                return Err(damaged("function", name, "its text is no CREATE FUNCTION"));
            };
            match crate::statement::function::definition(&create).map_err(|e| damaged("function", name, e))? {
                Some(definition) => FunctionBody::Code(definition),
                None => return Err(damaged("function", name, "its lambda is missing")),
            }
        }
    };
    Ok(Function { name: Arc::clone(name), uuid, body, create_text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_comes_back_as_it_was() {
        let info = StreamInfo {
            database: Arc::from("default"),
            name: Arc::from("s"),
            uuid: Uuid::nil(),
            kind: StreamKind::Stream,
            mode: StreamMode::Append,
            columns: vec![
                ColumnInfo::new("a", LogicalType::array(LogicalType::nullable(LogicalType::String))),
                ColumnInfo {
                    default: ColumnDefault::Default("now64(3)".into()),
                    comment: "when".into(),
                    ..ColumnInfo::new("t", LogicalType::DateTime64(3, Some(hydron_types::Zone::UTC)))
                },
            ],
            primary_key: vec![],
            order_by: "t".into(),
            partition_by: String::new(),
            version_column: None,
            shards: 2,
            sharding_expr: "rand()".into(),
            engine: Arc::from("Stream"),
            engine_args: Vec::new(),
            sample_by: "t".into(),
            settings: vec![(Arc::from("shards"), "2".into())],
            comment: String::new(),
        };
        assert_eq!(stream_info("default", "s", Uuid::nil(), properties(&info)).unwrap(), info);
    }
}
