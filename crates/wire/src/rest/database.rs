//! Databases: list, create, delete.

use super::call::Call;
use super::fields::Fields;
use super::reply::Failure;
use super::stream::drop_statement;
use crate::http::route::Body;
use ::http::Response;
use hydron_access::{Object, Privilege};
use hydron_sql::ast::{CreateDatabase, DropObject, DropVerb, ObjectName, StatementKind};
use hyper::body::Incoming;
use serde_json::json;

pub(super) fn list(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let state = call.app.engine.inner().catalog.snapshot();
    let access = call.enabled();
    let seen = |n: &&str| access.rights.may_see(Privilege::SHOW_DATABASES, &Object::database(n));
    let mut names: Vec<&str> = state.databases.keys().map(|n| &**n).filter(seen).collect();
    names.push(hydron_engine::system::DATABASE);
    names.sort_unstable();
    call.success(json!({ "databases": names }))
}

/// `{"name"}`
pub(super) async fn create(call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Failure> {
    let fields = Fields::read(call, body).await?;
    let create = CreateDatabase {
        attach: false,
        if_not_exists: false,
        name: fields.name("name")?.to_string(),
        uuid: None,
        on_cluster: None,
        engine: None,
        settings: Vec::new(),
        comment: None,
    };
    call.run(StatementKind::CreateDatabase(Box::new(create))).await.map_err(Failure::of_request)?;
    call.success(json!({}))
}

pub(super) async fn delete(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let name = ObjectName::new(call.name("database").unwrap_or_default());
    let statement = drop_statement(DropVerb::Drop, DropObject::Database, name);
    call.run(statement).await.map_err(Failure::of_request)?;
    call.success(json!({}))
}
