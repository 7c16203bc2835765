//! A stream of the catalog as JSON.

use hydron_engine::catalog::Object;
use hydron_sql::ast::{CreateStream, DefaultKind, Expr, StatementKind};
use serde_json::{Map, Value, json};

/// What a stream without such a setting has: Proton's defaults.
const LOGSTORE_DEFAULTS: &[(&str, i64)] = &[
    ("logstore_flush_messages", 1_000),
    ("logstore_flush_ms", 120_000),
    ("logstore_retention_bytes", -1),
    ("logstore_retention_ms", 86_400_000),
];

/// `columns`: name and type of each column of a view, which its text does not tell.
pub(super) fn describe(name: &str, object: &Object, columns: Vec<(String, String)>) -> Value {
    let kind = hydron_sql::parse_statement(object.create_text()).ok().map(|p| p.statement.kind);
    let mut out = Map::new();
    out.insert("name".into(), name.into());
    let Some(info) = object.stream_info() else {
        let engine = match kind {
            Some(StatementKind::CreateMaterializedView(_)) => "MaterializedView",
            _ => "View",
        };
        out.insert("engine".into(), engine.into());
        let columns = columns.into_iter().map(|(name, ty)| column(&name, &ty)).map(Value::Object);
        out.insert("columns".into(), columns.collect());
        return Value::Object(out);
    };
    let create = match kind {
        Some(StatementKind::CreateStream(create)) => *create,
        _ => CreateStream::default(),
    };
    let text = |expr: &Option<Expr>, other: String| Value::from(expr.as_ref().map_or(other, ToString::to_string));
    out.insert("engine".into(), (&*info.engine).into());
    out.insert("mode".into(), info.mode.name().into());
    out.insert("order_by_expression".into(), text(&create.storage.order_by, info.order_by.clone()));
    out.insert("partition_by_expression".into(), text(&create.storage.partition_by, info.partition_by.clone()));
    out.insert("primary_key".into(), info.primary_key.join(", ").into());
    for (name, default) in LOGSTORE_DEFAULTS {
        let set = info.settings.iter().find(|(k, _)| &**k == *name).and_then(|(_, v)| v.parse::<i64>().ok());
        out.insert((*name).into(), set.unwrap_or(*default).into());
    }
    if !create.storage.ttl.is_empty() {
        let ttl = create.storage.ttl.iter().map(|t| t.expr.to_string()).collect::<Vec<_>>();
        out.insert("ttl".into(), ttl.join(", ").into());
    }
    let declared = create.elements.map(|e| e.columns).unwrap_or_default();
    let mut columns = Vec::new();
    for known in &info.columns {
        let mut entry = column(&known.name, &known.ty.to_string());
        let declared = declared.iter().find(|c| c.name == *known.name);
        if let Some(default) = declared.and_then(|c| c.default.as_ref()) {
            let expr = default.expr.as_ref().map(ToString::to_string).unwrap_or_default();
            let key = match default.kind {
                DefaultKind::Alias => "alias",
                DefaultKind::Materialized => "materialized",
                DefaultKind::Default | DefaultKind::Ephemeral => "default",
            };
            entry.insert(key.into(), expr.into());
        }
        for (key, text) in
            [("comment", &known.comment), ("compression_codec", &known.codec), ("ttl_expression", &known.ttl)]
        {
            if !text.is_empty() {
                entry.insert(key.into(), text.as_str().into());
            }
        }
        columns.push(Value::Object(entry));
    }
    out.insert("columns".into(), columns.into());
    Value::Object(out)
}

fn column(name: &str, ty: &str) -> Map<String, Value> {
    match json!({"name": name, "type": ty, "nullable": ty.starts_with("nullable(")}) {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
