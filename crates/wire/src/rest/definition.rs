//! The JSON of a stream to be created, as a CREATE STREAM.
//!
//! In: checked JSON, URL parameters. Out: a syntax tree. Promise: every text of the request is parsed by itself, as a
//! name, a type, an expression or a constant; none can become another clause.

use super::fields::{Fields, wrong};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast::{
    ColumnDef, ColumnDefault, CreateStream, DefaultKind, Expr, IndexDef, Literal, ObjectName, Setting, SettingValue,
    Span, StatementKind, StreamKind, TableElements, TtlElement,
};

/// `{"name", "columns": […], …}` with the settings that stand in the URL.
pub(super) fn create_stream(fields: &Fields, params: &[(String, String)]) -> Result<CreateStream> {
    for name in ["shards", "replication_factor"] {
        if let Some(n) = fields.opt_int(name)?
            && n != 1
        {
            let error = Error::new(Code::BAD_REQUEST_PARAMETER, format!("field '{name}' can only be 1, it is {n}"));
            return Err(error.hint("CREATE STREAM … SETTINGS shards = n"));
        }
    }
    let mut create = CreateStream { name: ObjectName::new(fields.name("name")?), ..CreateStream::default() };
    create.elements = Some(elements(fields)?);
    let storage = &mut create.storage;
    let expression = |name: &str| -> Result<Option<Expr>> {
        fields.opt_text(name)?.filter(|t| !t.trim().is_empty()).map(|t| expr(name, t)).transpose()
    };
    storage.primary_key = expression("primary_key")?;
    let order = granularity(fields, "order_by_granularity", "D")?;
    storage.order_by = match (expression("order_by_expression")?, &storage.primary_key) {
        (Some(own), _) => Some(with_time(order, own)),
        // A keyed stream is in the order of its key.
        (None, Some(_)) => None,
        (None, None) => Some(time_unit(order)),
    };
    let partition = granularity(fields, "partition_by_granularity", "M")?;
    storage.partition_by = match expression("partition_by_expression")? {
        Some(own) => Some(own),
        None => Some(partition_unit(partition)),
    };
    if let Some(text) = fields.opt_text("ttl_expression")?.filter(|t| !t.is_empty()) {
        storage.ttl = ttl(text)?;
    }
    let mut set = |name: &str, value: &str| {
        let value = SettingValue::Literal(Literal::string(value));
        storage.settings.push(Setting { name: name.to_string(), value, span: hydron_sql::ast::Span::default() });
    };
    for name in ["mode", "event_time_column"] {
        if let Some(text) = fields.opt_text(name)?.filter(|t| !t.is_empty()) {
            set(name, text);
        }
    }
    for (name, value) in params {
        match name.as_str() {
            "uuid" => create.uuid = Some(value.clone()),
            // Which hosts hold which shard: there is one host.
            "host_shards" => {}
            name => set(name, value),
        }
    }
    Ok(create)
}

/// A raw store: the fields of a stream but its columns, which are always the same.
pub(super) fn create_raw(fields: &Fields, params: &[(String, String)]) -> Result<CreateStream> {
    let mut whole = serde_json::Map::new();
    whole.insert("name".into(), fields.name("name")?.into());
    for name in ["shards", "replication_factor"] {
        whole.extend(fields.opt_int(name)?.map(|n| (name.to_string(), n.into())));
    }
    let granularities = [("order_by_granularity", "m"), ("partition_by_granularity", "D")];
    for (name, default) in granularities {
        whole.insert(name.into(), fields.opt_text(name)?.filter(|t| !t.is_empty()).unwrap_or(default).into());
    }
    whole.extend(fields.opt_text("ttl_expression")?.map(|t| ("ttl_expression".to_string(), t.into())));
    whole.insert("order_by_expression".into(), "sourcetype".into());
    whole.insert("columns".into(), super::raw_store::columns());
    let mut create = create_stream(&super::raw_store::with(whole)?, params)?;
    create.storage.settings.push(Setting {
        name: "subtype".to_string(),
        value: SettingValue::Literal(Literal::string("rawstore")),
        span: hydron_sql::ast::Span::default(),
    });
    Ok(create)
}

/// `{"name", "columns": […], "settings": [{"key", "value"}]}`
pub(super) fn create_external(fields: &Fields) -> Result<CreateStream> {
    let mut create = CreateStream {
        kind: StreamKind::ExternalStream,
        name: ObjectName::new(fields.name("name")?),
        elements: Some(elements(fields)?),
        ..CreateStream::default()
    };
    for setting in fields.objects("settings")? {
        let value = SettingValue::Literal(Literal::string(setting.text("value")?));
        create.storage.settings.push(Setting {
            name: setting.name("key")?.to_string(),
            value,
            span: hydron_sql::ast::Span::default(),
        });
    }
    Ok(create)
}

fn elements(fields: &Fields) -> Result<TableElements> {
    let mut elements = TableElements::default();
    let columns = fields.objects("columns")?;
    if columns.is_empty() {
        return Err(wrong("columns", "an array of at least one column"));
    }
    for column in &columns {
        let name = column.name("name")?.to_string();
        let of_column = |e: Error| e.context(format!("column '{name}'"));
        elements.columns.push(column_def(column).map_err(of_column)?);
        if let Some(text) = column.opt_text("skipping_index_expression")?.filter(|t| !t.is_empty()) {
            elements.indexes.extend(indexes(text).map_err(of_column)?);
        }
    }
    Ok(elements)
}

fn column_def(column: &Fields) -> Result<ColumnDef> {
    let text = |name: &str| Ok::<_, Error>(column.opt_text(name)?.filter(|t| !t.is_empty()));
    let default = match (text("default")?, text("alias")?) {
        (Some(_), Some(_)) => {
            return Err(Error::new(Code::BAD_REQUEST_PARAMETER, "'default' and 'alias' exclude each other"));
        }
        (Some(t), None) => Some((DefaultKind::Default, expr("default", t)?)),
        (None, Some(t)) => Some((DefaultKind::Alias, expr("alias", t)?)),
        (None, None) => None,
    };
    let ty = column.name("type")?;
    Ok(ColumnDef {
        name: column.name("name")?.to_string(),
        ty: Some(hydron_sql::parse_type(ty).map_err(|e| of_text(e, "type"))?),
        nullable: column.opt_bool("nullable")?.filter(|nullable| *nullable),
        default: default.map(|(kind, expr)| ColumnDefault { kind, expr: Some(expr) }),
        comment: text("comment")?.map(str::to_string),
        codec: text("compression_codec")?.map(codec).transpose()?.unwrap_or_default(),
        ttl: text("ttl_expression")?.map(|t| expr("ttl_expression", t)).transpose()?,
        collation: None,
        primary_key: false,
        span: Span::default(),
    })
}

/// Parses the text of a field as one expression.
pub(super) fn expr(field: &str, text: &str) -> Result<Expr> {
    hydron_sql::parse_expression(text).map_err(|e| of_text(e, field))
}

/// The position is one in the field's text.
pub(super) fn of_text(error: Error, field: &str) -> Error {
    Error { code: Code::BAD_REQUEST_PARAMETER, ..error.context(format!("field '{field}'")) }
}

/// `LZ4`, `DoubleDelta, ZSTD(1)`, `CODEC(LZ4)`
fn codec(text: &str) -> Result<Vec<Expr>> {
    let call = expr("compression_codec", &format!("codec({text})"))?;
    let args = |e: &Expr| e.as_function().map(|f| f.args.clone()).unwrap_or_default();
    let list = args(&call);
    match list.as_slice() {
        [one] if one.as_function().is_some_and(|f| f.name.eq_ignore_ascii_case("codec")) => Ok(args(one)),
        _ => Ok(list),
    }
}

/// The TTL elements in a text: expressions, each with what shall happen then.
pub(super) fn ttl(text: &str) -> Result<Vec<TtlElement>> {
    let parsed = clause("ttl_expression", &format!("CREATE STREAM s (c int) TTL {text}"))?;
    let only_ttl = CreateStream { storage: Default::default(), ..parsed.clone() };
    let rest = hydron_sql::ast::Storage { ttl: Vec::new(), ..parsed.storage.clone() };
    let is_whole = rest == Default::default() && only_ttl.source.is_none() && only_ttl.comment.is_none();
    if is_whole { Ok(parsed.storage.ttl) } else { Err(wrong("ttl_expression", "a TTL and nothing else")) }
}

/// `INDEX name expr TYPE t GRANULARITY n`; the first word may be left out.
fn indexes(text: &str) -> Result<Vec<IndexDef>> {
    let begins = text.trim_start().get(..6).is_some_and(|w| w.eq_ignore_ascii_case("index "));
    let word = if begins { "" } else { "INDEX " };
    let parsed = clause("skipping_index_expression", &format!("CREATE STREAM s (c int, {word}{text})"))?;
    let elements = parsed.elements.clone().unwrap_or_default();
    let rest = TableElements { columns: Vec::new(), indexes: Vec::new(), ..elements.clone() };
    let is_whole = elements.columns.len() == 1
        && rest == TableElements::default()
        && parsed.storage == Default::default()
        && parsed.source.is_none()
        && parsed.comment.is_none();
    if is_whole { Ok(elements.indexes) } else { Err(wrong("skipping_index_expression", "an index and nothing else")) }
}

/// Parses a statement around the text of a field.
fn clause(field: &str, statement: &str) -> Result<CreateStream> {
    let parsed = hydron_sql::parse_statement(statement).map_err(|e| Error { position: None, ..of_text(e, field) })?;
    let output = parsed.statement.output;
    match parsed.statement.kind {
        StatementKind::CreateStream(create) if parsed.end == statement.len() && output == Default::default() => {
            Ok(*create)
        }
        _ => Err(wrong(field, "one clause")),
    }
}

/// How finely event time divides a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Granularity {
    Minute,
    Hour,
    Day,
    Month,
}

fn granularity(fields: &Fields, name: &str, default: &str) -> Result<Granularity> {
    match fields.opt_text(name)?.filter(|t| !t.is_empty()).unwrap_or(default) {
        "m" => Ok(Granularity::Minute),
        "H" => Ok(Granularity::Hour),
        "D" => Ok(Granularity::Day),
        "M" => Ok(Granularity::Month),
        _ => Err(wrong(name, "m, H, D or M")),
    }
}

fn of_time(function: &str) -> Expr {
    Expr::call(function, vec![Expr::column("_tp_time")])
}

fn time_unit(granularity: Granularity) -> Expr {
    of_time(match granularity {
        Granularity::Minute => "to_start_of_minute",
        Granularity::Hour => "to_start_of_hour",
        Granularity::Day => "to_date",
        Granularity::Month => "to_YYYYMM",
    })
}

fn partition_unit(granularity: Granularity) -> Expr {
    match granularity {
        Granularity::Day => of_time("to_YYYYMMDD"),
        other => time_unit(other),
    }
}

/// The unit of event time, then an expression or the parts of a tuple.
fn with_time(granularity: Granularity, own: Expr) -> Expr {
    use hydron_sql::ast::{Function, Style};
    let mut parts = vec![time_unit(granularity)];
    match own.as_function().filter(|f| f.name == "tuple" && own.alias.is_none()) {
        Some(tuple) => parts.extend(tuple.args.iter().cloned()),
        None => parts.push(own),
    }
    Function::styled("tuple", parts, Style::Parens).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(json: &str, params: &[(&str, &str)]) -> Result<String> {
        let params: Vec<_> = params.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        create_stream(&Fields::parse(json.as_bytes())?, &params).map(|c| c.to_string())
    }

    #[test]
    fn json_becomes_a_statement() {
        assert_eq!(
            create(r#"{"name": "s", "columns": [{"name": "a", "type": "int"}]}"#, &[]).unwrap(),
            "CREATE STREAM s (`a` int) PARTITION BY to_YYYYMM(_tp_time) ORDER BY to_date(_tp_time)"
        );
        let json = r#"{
            "name": "a`b", "shards": 1, "mode": "changelog_kv", "primary_key": "k", "event_time_column": "to_time(t)",
            "partition_by_granularity": "D", "ttl_expression": "to_datetime(_tp_time) + INTERVAL 7 DAY",
            "columns": [
                {"name": "k", "type": "string", "compression_codec": "CODEC(ZSTD(1))"},
                {"name": "n", "type": "array(int)", "nullable": false, "default": "[1, 2]"},
                {"name": "x y", "type": "float", "alias": "n[1]",
                    "skipping_index_expression": "i k TYPE minmax GRANULARITY 2"}
            ]}"#;
        assert_eq!(
            create(json, &[("logstore_retention_ms", "5"), ("host_shards", "0")]).unwrap(),
            "CREATE STREAM `a\\`b` (`k` string CODEC(ZSTD(1)), `n` array(int) DEFAULT [1, 2], `x y` float ALIAS n[1], \
             INDEX i k TYPE minmax GRANULARITY 2) PARTITION BY to_YYYYMMDD(_tp_time) PRIMARY KEY k \
             TTL to_datetime(_tp_time) + INTERVAL 7 DAY \
             SETTINGS mode = 'changelog_kv', event_time_column = 'to_time(t)', logstore_retention_ms = '5'"
        );
    }

    #[test]
    fn no_field_can_become_another_clause() {
        let column = |extra: &str| format!(r#"{{"name": "s", "columns": [{{"name": "a", "type": "int" {extra}}}]}}"#);
        let stream = |extra: &str| format!(r#"{{"name": "s", "columns": [{{"name": "a", "type": "int"}}] {extra}}}"#);
        for json in [
            column(r#", "default": "1) SETTINGS mode = 'x'""#),
            column(r#", "alias": "1, b int""#),
            column(r#", "compression_codec": "LZ4) TTL (now()""#),
            column(r#", "skipping_index_expression": "i a TYPE minmax, b int""#),
            column(r#", "skipping_index_expression": "i a TYPE minmax) COMMENT 'x' --""#),
            column(r#", "skipping_index_expression": "i a TYPE minmax); DROP STREAM s --""#),
            stream(r#", "ttl_expression": "now() SETTINGS mode = 'changelog'""#),
            stream(r#", "ttl_expression": "now() AS SELECT 1""#),
            stream(r#", "ttl_expression": "now(); DROP STREAM s""#),
            stream(r#", "order_by_expression": "a) PRIMARY KEY (a""#),
            stream(r#", "order_by_granularity": "x""#),
            stream(r#", "shards": 2"#),
            stream(r#", "mode": 1"#),
            r#"{"name": "s", "columns": [{"name": "a", "type": "int DEFAULT 1"}]}"#.to_string(),
            r#"{"name": "s", "columns": []}"#.to_string(),
            r#"{"name": "", "columns": [{"name": "a", "type": "int"}]}"#.to_string(),
            r#"{"columns": [{"name": "a", "type": "int"}]}"#.to_string(),
        ] {
            let e = create(&json, &[]).expect_err(&json);
            assert_eq!(e.code, Code::BAD_REQUEST_PARAMETER, "{json}: {e}");
        }
        let odd = create(
            r#"{"name": "s) --", "columns": [{"name": "'); DROP", "type": "int"}]}"#,
            &[("storage_type", "a', b = 'c")],
        );
        let parsed = hydron_sql::parse_statement(&odd.unwrap()).unwrap();
        let StatementKind::CreateStream(create) = parsed.statement.kind else { panic!("no CREATE STREAM") };
        assert_eq!(create.name.name, "s) --");
        assert_eq!(create.elements.unwrap().columns[0].name, "'); DROP");
        assert_eq!(create.storage.settings.len(), 1);
    }
}
