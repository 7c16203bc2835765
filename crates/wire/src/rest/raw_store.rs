//! Raw stores: streams of whole events, with where they come from beside them.
//!
//! In: `{"name", …}` makes one; `{"enrichment": {…}, "data": [{"_raw": "…", …}]}` fills it. Out: a stream like any other. Promise: the
//! time of an event is found in it by a rule of the request, or is the time of arrival; an event in which the rule finds none is an
//! error that says which.

use super::call::Call;
use super::definition;
use super::description::describe;
use super::fields::{Fields, wrong};
use super::ingest::{self, Mode};
use super::reply::Failure;
use crate::http::route::Body;
use ::http::Response;
use async_trait::async_trait;
use bytes::Bytes;
use hydron_base::{Code, Error, Result};
use hydron_engine::ByteSource;
use hydron_engine::catalog::Object;
use hydron_sql::ast::StatementKind;
use hyper::body::Incoming;
use regex::Regex;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

/// The group of a rule that holds the time.
const TIME_GROUP: &str = "_time";

/// Whether a stream of the catalog is a raw store.
fn is_raw(object: &Object) -> bool {
    object.stream_info().is_some_and(|info| info.settings.iter().any(|(k, v)| &**k == "subtype" && v == "rawstore"))
}

pub(super) fn list(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let session = call.session();
    let state = call.app.engine.inner().catalog.snapshot();
    let inner = call.is_set("include_internal_streams");
    let all = state.database(&session.database)?.objects.iter();
    let stores = all.filter(|(name, object)| is_raw(object) && (inner || !name.starts_with(".inner.")));
    let entry = |(name, object): (&std::sync::Arc<str>, &Object)| {
        let Value::Object(mut whole) = describe(name, object, Vec::new()) else { return Value::Null };
        let keys = ["name", "engine", "order_by_expression", "partition_by_expression", "ttl"];
        whole.retain(|key, _| keys.contains(&key.as_str()));
        Value::Object(whole)
    };
    call.success(json!({ "data": stores.map(entry).collect::<Vec<_>>() }))
}

/// `{"name", "shards"?, "replication_factor"?, "order_by_granularity"?, "partition_by_granularity"?, "ttl_expression"?}`
pub(super) async fn create(call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Failure> {
    let fields = Fields::read(call, body).await?;
    let create = definition::create_raw(&fields, &call.params)?;
    call.run(StatementKind::CreateStream(Box::new(create))).await.map_err(Failure::of_request)?;
    call.success(json!({}))
}

/// Errors: UNKNOWN_STREAM for a stream that is no raw store.
fn check(call: &Call<'_>) -> Result<(), Failure> {
    let name = call.name("stream").unwrap_or_default();
    let state = call.app.engine.inner().catalog.snapshot();
    if state.object(&call.session().database, name).is_some_and(|object| !is_raw(object)) {
        let error = Error::new(Code::UNKNOWN_STREAM, format!("stream {name} is no raw store"));
        return Err(error.hint("the same under /streams").into());
    }
    Ok(())
}

pub(super) async fn delete(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    check(call)?;
    super::stream::delete(call).await
}

pub(super) async fn ingest(call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Failure> {
    let mode = Mode::parse(call.param("mode"))?;
    check(call)?;
    let fields = Fields::read(call, body).await?;
    let rows = rows(&fields).map_err(Failure::of_request)?;
    let (sender, submitted) = oneshot::channel();
    let source = Whole { rows: Some(rows), submitted: Some(sender) };
    ingest::insert(call, mode, Vec::new(), "JSONEachRow".to_string(), Box::new(source), submitted).await
}

/// Events as lines of JSON, each with its time where a rule finds it.
fn rows(fields: &Fields) -> Result<Bytes> {
    let rule = fields.opt_object("enrichment")?.map(|e| Rule::of(&e)).transpose()?.flatten();
    let mut out = Vec::new();
    for (at, event) in fields.objects("data")?.into_iter().enumerate() {
        let mut event = event.into_map();
        if let Some(rule) = &rule {
            let raw = event.get("_raw").and_then(Value::as_str).unwrap_or_default();
            let time = rule.time_of(raw).ok_or_else(|| {
                let message = format!("event {} of 'data' has no time where the enrichment looks for it", at + 1);
                Error::new(Code::INCORRECT_DATA, message)
            })?;
            event.insert("_tp_time".into(), time);
        }
        out.extend_from_slice(Value::Object(event).to_string().as_bytes());
        out.push(b'\n');
    }
    Ok(out.into())
}

/// Where the time of an event stands in it.
#[derive(Debug)]
enum Rule {
    /// Keys, from the outside in.
    Path(Vec<String>),
    Pattern(Regex),
}

impl Rule {
    fn of(enrichment: &Fields) -> Result<Option<Rule>> {
        let kind = enrichment.opt_text("time_extraction_type")?.filter(|t| !t.is_empty());
        let rule = enrichment.opt_text("time_extraction_rule")?.filter(|t| !t.is_empty());
        match (kind, rule) {
            (None, None) => Ok(None),
            (Some("json_path"), Some(path)) => Ok(Some(Rule::Path(path.split('.').map(str::to_owned).collect()))),
            (Some("regex"), Some(pattern)) => {
                let regex = Regex::new(pattern).map_err(|e| {
                    Error::new(Code::CANNOT_COMPILE_REGEXP, format!("field 'time_extraction_rule': {e}"))
                })?;
                if !regex.capture_names().flatten().any(|name| name == TIME_GROUP) {
                    return Err(wrong("time_extraction_rule", "an expression with the group (?P<_time>…)"));
                }
                Ok(Some(Rule::Pattern(regex)))
            }
            (Some(_), Some(_)) => Err(wrong("time_extraction_type", "json_path or regex")),
            (Some(_), None) => Err(wrong("time_extraction_rule", "there, as time_extraction_type is")),
            (None, Some(_)) => Err(wrong("time_extraction_type", "there, as time_extraction_rule is")),
        }
    }

    fn time_of(&self, raw: &str) -> Option<Value> {
        match self {
            Rule::Path(keys) => {
                let whole: Value = serde_json::from_str(raw).ok()?;
                let found = keys.iter().try_fold(&whole, |value, key| value.get(key))?;
                matches!(found, Value::String(_) | Value::Number(_)).then(|| found.clone())
            }
            Rule::Pattern(regex) => Some(regex.captures(raw)?.name(TIME_GROUP)?.as_str().into()),
        }
    }
}

/// Rows that are known.
struct Whole {
    rows: Option<Bytes>,
    submitted: Option<oneshot::Sender<()>>,
}

#[async_trait]
impl ByteSource for Whole {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        Ok(self.rows.take())
    }

    fn submitted(&mut self) {
        if let Some(sender) = self.submitted.take() {
            // In mode `sync` nobody listens.
            let _ = sender.send(());
        }
    }
}

/// The columns of a raw store.
pub(super) fn columns() -> Value {
    let text = |name: &str| json!({"name": name, "type": "string"});
    json!([
        text("_raw"),
        {"name": "_tp_index_time", "type": "datetime64(3, 'UTC')", "default": "to_datetime64('1970-01-01 00:00:00', 3, 'UTC')"},
        {"name": "sourcetype", "type": "low_cardinality(string)"},
        text("source"),
        text("host"),
    ])
}

/// A request of another kind with the same fields.
pub(super) fn with(fields: Map<String, Value>) -> Result<Fields> {
    Fields::parse(Value::Object(fields).to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(body: Value) -> Result<String> {
        rows(&Fields::parse(body.to_string().as_bytes())?).map(|b| String::from_utf8_lossy(&b).into_owned())
    }

    #[test]
    fn the_time_of_an_event_is_found_by_path_or_pattern() {
        let event = json!({"_raw": "{\"log\": {\"time\": \"2024-01-02 03:04:05\"}}", "host": "h"});
        let by = |kind: &str, rule: &str| json!({"enrichment": {"time_extraction_type": kind, "time_extraction_rule": rule}, "data": [event]});
        for body in [by("json_path", "log.time"), by("regex", "(?P<_time>\\d{4}-\\d\\d-\\d\\d [\\d:]+)")] {
            let row: Value = serde_json::from_str(&lines(body).unwrap()).unwrap();
            assert_eq!((&row["_tp_time"], &row["host"]), (&json!("2024-01-02 03:04:05"), &json!("h")));
        }
        assert_eq!(lines(by("json_path", "log.when")).unwrap_err().code, Code::INCORRECT_DATA);
        assert_eq!(lines(by("regex", "(\\d+)")).unwrap_err().code, Code::BAD_REQUEST_PARAMETER);
        assert_eq!(lines(by("regex", "(")).unwrap_err().code, Code::CANNOT_COMPILE_REGEXP);
        assert_eq!(lines(by("grok", "x")).unwrap_err().code, Code::BAD_REQUEST_PARAMETER);
        assert_eq!(lines(json!({"data": [{"_raw": "a"}, {"_raw": "b"}]})).unwrap().lines().count(), 2);
        assert_eq!(lines(json!({"data": 1})).unwrap_err().code, Code::BAD_REQUEST_PARAMETER);
    }
}
