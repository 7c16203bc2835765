//! CREATE DATABASE and DROP DATABASE.

use super::{Answer, Context, answer};
use crate::catalog::{Database, Object, record};
use crate::engine::Inner;
use hydron_base::{Code, Error, Result};
use hydron_sql::ast::{CreateDatabase, DropObjects};
use hydron_store::catalog::Change;
use std::sync::Arc;
use uuid::Uuid;

pub async fn run(cx: Context, create: CreateDatabase) -> Result<Answer> {
    if let Some(engine) = &create.engine
        && !matches!(engine.name.as_str(), "Atomic" | "Ordinary" | "Memory")
    {
        let message = format!("database engine {} is unknown", engine.name);
        return Err(Error::new(Code::UNKNOWN_DATABASE_ENGINE, message).hint("ENGINE = Atomic, or none"));
    }
    let engine = Arc::clone(&cx.engine);
    let _changes = engine.catalog.lock_changes().await;
    let exists = create.name == crate::system::DATABASE
        || create.name == crate::catalog::temporary::DATABASE
        || engine.catalog.snapshot().databases.contains_key(&*create.name);
    if exists {
        if create.if_not_exists {
            return Ok(answer::nothing());
        }
        return Err(Error::new(Code::DATABASE_ALREADY_EXISTS, format!("database {} already exists", create.name)));
    }
    let comment = create.comment.unwrap_or_default();
    let name = create.name;
    super::blocking(&cx.engine, {
        let engine = Arc::clone(&cx.engine);
        move || self::create(&engine, &name, &comment)
    })
    .await?;
    Ok(answer::nothing())
}

/// Stores the database and shows it. The caller holds the change lock and knows that the name is free.
pub fn create(engine: &Inner, name: &str, comment: &str) -> Result<()> {
    let uuid = Uuid::new_v4();
    let text = format!("CREATE DATABASE {}\nENGINE = Atomic", hydron_types::logical::identifier(name));
    engine.catalog_store.put(Inner::entry(record::DATABASE, uuid, "", name, &text, comment.into()))?;
    engine.catalog.update(|state| {
        let database = Database {
            name: Arc::from(name),
            uuid,
            engine: Arc::from("Atomic"),
            comment: comment.to_string(),
            objects: Default::default(),
        };
        state.databases.insert(Arc::from(name), database);
    });
    Ok(())
}

/// Drops a database with all that is in it.
pub async fn drop(cx: Context, drop: DropObjects) -> Result<Answer> {
    for name in &drop.names {
        drop_one(&cx, &name.name, drop.if_exists).await?;
    }
    Ok(answer::nothing())
}

async fn drop_one(cx: &Context, name: &str, if_exists: bool) -> Result<()> {
    let engine = Arc::clone(&cx.engine);
    let _changes = engine.catalog.lock_changes().await;
    let state = engine.catalog.snapshot();
    let database = match state.database(name) {
        Ok(database) => database.clone(),
        Err(_) if if_exists => return Ok(()),
        Err(e) => return Err(e),
    };
    if name == crate::engine::DEFAULT_DATABASE {
        return Err(Error::new(Code::QUERY_IS_PROHIBITED, "database default cannot be dropped"));
    }
    for object in database.objects.keys() {
        let mut outside = state.dependents(name, object);
        outside.retain(|d| !d.starts_with(&format!("{name}.")));
        if !outside.is_empty() && cx.settings.bool("enable_dependency_check") {
            let message = format!("stream {name}.{object} is read by {}", outside.join(", "));
            return Err(Error::new(Code::HAVE_DEPENDENT_OBJECTS, message).hint("drop these views first"));
        }
    }
    let views: Vec<_> = database.objects.values().filter_map(Object::as_materialized).cloned().collect();
    futures::future::join_all(views.iter().map(|v| cx.engine.views.remove(v.info.uuid))).await;
    for object in database.objects.keys() {
        cx.engine.queries.cancel_users_of(name, object);
    }
    let mut changes: Vec<Change> = database.objects.values().map(|o| Change::Remove(o.uuid())).collect();
    changes.push(Change::Remove(database.uuid));
    super::blocking(&cx.engine, {
        let engine = Arc::clone(&cx.engine);
        let name = name.to_string();
        move || {
            engine.catalog_store.apply(changes)?;
            engine.catalog.update(|state| {
                state.databases.remove(&*name);
            });
            views.iter().try_for_each(|v| super::materialized::forget(&engine, v))?;
            database.objects.values().filter_map(Object::as_stream).try_for_each(|s| engine.streams.remove(s))
        }
    })
    .await
}
