//! DROP, DETACH, TRUNCATE of streams and views, and OPTIMIZE.

use super::{Answer, Context, answer};
use crate::catalog::Object;
use hydron_base::{Code, Error, Result};
use hydron_sql::ast::{DropObject, DropObjects, DropVerb, ObjectName, Optimize};
use std::sync::Arc;

pub async fn run(cx: Context, drop: DropObjects) -> Result<Answer> {
    match (drop.verb, drop.object) {
        (DropVerb::Detach, _) => return Err(Error::not_implemented("DETACH")),
        (DropVerb::Truncate, DropObject::Stream) | (DropVerb::Drop, DropObject::Stream | DropObject::View) => {}
        (verb, object) => return Err(Error::not_implemented(format!("{verb:?} {object:?}").to_uppercase())),
    }
    if drop.temporary {
        return Err(Error::not_implemented("TEMPORARY STREAM"));
    }
    for name in &drop.names {
        let done = match drop.verb {
            DropVerb::Truncate => truncate(&cx, name, drop.if_exists).await,
            _ => drop_one(&cx, name, &drop).await,
        };
        done.map_err(|e| cx.place(e, name.span))?;
    }
    Ok(answer::nothing())
}

async fn drop_one(cx: &Context, name: &ObjectName, drop: &DropObjects) -> Result<()> {
    let (database, name) = cx.full_name(name);
    let engine = Arc::clone(&cx.engine);
    let _changes = engine.catalog.lock_changes().await;
    let state = engine.catalog.snapshot();
    let object = match state.existing(&database, &name) {
        Ok(object) => object.clone(),
        Err(e) if drop.if_exists && e.code == Code::UNKNOWN_STREAM => return Ok(()),
        Err(e) => return Err(e),
    };
    if drop.object == DropObject::View && object.as_stream().is_some() {
        let message = format!("{database}.{name} is a stream, not a view");
        return Err(Error::new(Code::INCORRECT_QUERY, message).hint(format!("DROP STREAM {name}")));
    }
    check_dependents(cx, &database, &name)?;
    if let Object::MaterializedView(view) = &object {
        cx.engine.queries.cancel_users_of(&database, &name);
        return super::materialized::remove(cx, view).await;
    }
    cx.engine.queries.cancel_users_of(&database, &name);
    super::blocking(&cx.engine, {
        let engine = Arc::clone(&cx.engine);
        move || {
            engine.catalog_store.remove(object.uuid())?;
            engine.catalog.update(|state| {
                if let Some(db) = state.databases.get_mut(&database) {
                    db.objects.remove(&name);
                }
            });
            object.as_stream().map_or(Ok(()), |s| engine.streams.remove(s))
        }
    })
    .await
}

/// Errors: HAVE_DEPENDENT_OBJECTS when a view reads it.
pub fn check_dependents(cx: &Context, database: &str, name: &str) -> Result<()> {
    let dependents = cx.engine.catalog.snapshot().dependents(database, name);
    if dependents.is_empty() || !cx.settings.bool("enable_dependency_check") {
        return Ok(());
    }
    let message = format!("stream {database}.{name} is read by {}", dependents.join(", "));
    Err(Error::new(Code::HAVE_DEPENDENT_OBJECTS, message).hint("drop these views first"))
}

async fn truncate(cx: &Context, name: &ObjectName, if_exists: bool) -> Result<()> {
    let (database, name) = cx.full_name(name);
    let state = cx.engine.catalog.snapshot();
    let object = match state.existing(&database, &name) {
        Ok(object) => object.clone(),
        Err(e) if if_exists && e.code == Code::UNKNOWN_STREAM => return Ok(()),
        Err(e) => return Err(e),
    };
    match object {
        Object::Stream(stream) => stream.truncate().await,
        Object::View(_) | Object::MaterializedView(_) => {
            Err(Error::new(Code::INCORRECT_QUERY, format!("{database}.{name} is a view")))
        }
    }
}

/// `OPTIMIZE STREAM s [FINAL]`: moves what is in the log to parts and merges these now.
pub async fn optimize(cx: Context, optimize: Optimize) -> Result<Answer> {
    let (database, name) = cx.full_name(&optimize.name);
    let state = cx.engine.catalog.snapshot();
    match state.existing(&database, &name).map_err(|e| cx.place(e, optimize.name.span))? {
        Object::Stream(stream) => stream.compact(cx.now).await?,
        Object::MaterializedView(view) => state.target(view)?.compact(cx.now).await?,
        Object::View(_) => {
            return Err(Error::new(Code::INCORRECT_QUERY, format!("{database}.{name} is a view")));
        }
    }
    Ok(answer::nothing())
}
