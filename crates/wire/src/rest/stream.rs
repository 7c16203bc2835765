//! Streams: list, describe, create, change, delete.

use super::call::Call;
use super::definition;
use super::description::describe;
use super::fields::{Fields, wrong};
use super::reply::Failure;
use crate::http::route::Body;
use ::http::{Response, StatusCode};
use hydron_base::{Code, Error};
use hydron_engine::catalog::Object;
use hydron_sql::ast::{
    Alter, AlterCommand, AlterObject, Describe, DropObject, DropObjects, DropVerb, Literal, ObjectName, Setting,
    SettingValue, Span, StatementKind, TableExpr, TableExprKind,
};
use hyper::body::Incoming;
use serde_json::json;

/// `/streams`, `/streams/{database}`, `/streams/{database}/{stream}`
pub(super) async fn list(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let session = call.session();
    let database = call.name("database").unwrap_or(&session.database);
    let state = call.app.engine.inner().catalog.snapshot();
    let objects: Vec<(String, Object)> = match call.name("stream") {
        Some(name) => {
            if !call.sees(database, name) {
                let on = hydron_access::Object::stream(database, name);
                call.enabled().check(hydron_access::Privilege::SHOW_TABLES, &on)?;
            }
            vec![(name.to_string(), state.existing(database, name)?.clone())]
        }
        None => {
            let inner = call.is_set("include_internal_streams");
            let all = state.database(database)?.objects.iter();
            let seen = |n: &str| call.sees(database, n) && (inner || !n.starts_with(".inner."));
            all.filter(|(n, _)| seen(n)).map(|(n, o)| (n.to_string(), o.clone())).collect()
        }
    };
    let mut data = Vec::new();
    for (name, object) in objects {
        // Columns of a view are those of its query, as of now; one that cannot be bound any more has none.
        let columns = match object.as_stream() {
            Some(_) => Vec::new(),
            None => call.pairs(describe_statement(database, &name)).await.unwrap_or_default(),
        };
        data.push(describe(&name, &object, columns));
    }
    call.success(json!({ "data": data }))
}

fn describe_statement(database: &str, name: &str) -> StatementKind {
    StatementKind::Describe(Describe {
        target: TableExpr {
            kind: TableExprKind::Name(ObjectName::qualified(database, name)),
            alias: None,
            is_final: false,
            sample: None,
            span: Span::default(),
        },
    })
}

pub(super) async fn create(call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Failure> {
    let fields = Fields::read(call, body).await?;
    let create = definition::create_stream(&fields, &call.params)?;
    call.run(StatementKind::CreateStream(Box::new(create))).await.map_err(Failure::of_request)?;
    call.success(json!({}))
}

pub(super) async fn create_external(call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Failure> {
    let fields = Fields::read(call, body).await?;
    let create = definition::create_external(&fields)?;
    call.run(StatementKind::CreateStream(Box::new(create))).await.map_err(Failure::of_request)?;
    call.success(json!({}))
}

/// `{"ttl_expression"?, "logstore_retention_bytes"?, "logstore_retention_ms"?}`; an empty TTL removes it.
pub(super) async fn change(call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Failure> {
    let fields = Fields::read(call, body).await?;
    let mut commands = Vec::new();
    match fields.opt_text("ttl_expression")? {
        None => {}
        Some("") => commands.push(AlterCommand::RemoveTtl),
        Some(text) => commands.push(AlterCommand::ModifyTtl(definition::ttl(text)?)),
    }
    let mut settings = Vec::new();
    for name in ["logstore_retention_bytes", "logstore_retention_ms"] {
        if let Some(value) = fields.opt_int(name)? {
            let literal = u64::try_from(value).map_or(Literal::Int(value), Literal::UInt);
            settings.push(Setting {
                name: name.to_string(),
                value: SettingValue::Literal(literal),
                span: hydron_sql::ast::Span::default(),
            });
        }
    }
    if !settings.is_empty() {
        commands.push(AlterCommand::ModifySetting(settings));
    }
    if commands.is_empty() {
        return Err(wrong("ttl_expression", "there, or logstore_retention_bytes, or logstore_retention_ms").into());
    }
    let alter = Alter {
        object: AlterObject::Stream,
        temporary: false,
        name: ObjectName::new(call.name("stream").unwrap_or_default()),
        on_cluster: None,
        commands,
    };
    call.run(StatementKind::Alter(Box::new(alter))).await.map_err(Failure::of_request)?;
    call.success(json!({}))
}

pub(super) async fn delete(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let verb = match call.param("mode") {
        None | Some("" | "drop") => DropVerb::Drop,
        Some("truncate") => DropVerb::Truncate,
        Some(other) => {
            let error = Error::new(Code::BAD_REQUEST_PARAMETER, format!("mode '{other}' is unknown"));
            return Err(Failure::with(StatusCode::BAD_REQUEST, error.hint("drop or truncate")));
        }
    };
    let name = ObjectName::new(call.name("stream").unwrap_or_default());
    call.run(drop_statement(verb, DropObject::Stream, name)).await.map_err(Failure::of_request)?;
    call.success(json!({}))
}

pub(super) fn drop_statement(verb: DropVerb, object: DropObject, name: ObjectName) -> StatementKind {
    StatementKind::Drop(DropObjects {
        verb,
        object,
        temporary: false,
        if_exists: false,
        if_empty: false,
        names: vec![name],
        on_cluster: None,
        permanently: false,
        sync: false,
        schema_type: None,
    })
}
