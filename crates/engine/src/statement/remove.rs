//! DROP, DETACH, TRUNCATE of streams and views, and OPTIMIZE.

use super::{Answer, Context, answer};
use crate::catalog::Object;
use crate::stream::Stream;
use crate::stream::merging::{self, MergeRule};
use hydron_base::{Code, Error, Result};
use hydron_plan::bind::bind_select;
use hydron_sql::ast::{self, DropObject, DropObjects, DropVerb, ObjectName, Optimize};
use hydron_store::catalog::Change;
use std::sync::Arc;

pub async fn run(cx: Context, drop: DropObjects) -> Result<Answer> {
    match (drop.verb, drop.object) {
        (DropVerb::Detach, _) => return Err(Error::not_implemented("DETACH")),
        (DropVerb::Truncate, DropObject::Stream) | (DropVerb::Drop, DropObject::Stream | DropObject::View) => {}
        (verb, object) => return Err(Error::not_implemented(format!("{verb:?} {object:?}").to_uppercase())),
    }
    for name in &drop.names {
        let done = match drop.verb {
            _ if drop.temporary || is_of_session(&cx, name) && drop.verb == DropVerb::Drop => {
                drop_temporary(&cx, name, &drop).await
            }
            DropVerb::Truncate => truncate(&cx, name, drop.if_exists).await,
            _ => drop_one(&cx, name, &drop).await,
        };
        done.map_err(|e| cx.place(e, name.span))?;
    }
    Ok(answer::nothing())
}

fn is_of_session(cx: &Context, name: &ObjectName) -> bool {
    name.database.is_none() && cx.temporary.get(&name.name).is_some()
}

/// Errors: UNKNOWN_STREAM (60), BAD_DATABASE_FOR_TEMPORARY_STREAM (442).
async fn drop_temporary(cx: &Context, name: &ObjectName, drop: &DropObjects) -> Result<()> {
    super::create::no_database(name)?;
    let found = cx.temporary.get(&name.name);
    let Some(stream) = found else {
        let message = format!("temporary stream {} does not exist", name.name);
        return if drop.if_exists { Ok(()) } else { Err(Error::new(Code::UNKNOWN_STREAM, message)) };
    };
    match drop.verb {
        DropVerb::Truncate => stream.truncate().await,
        _ => {
            cx.temporary.take(&name.name);
            let engine = Arc::clone(&cx.engine);
            super::blocking(&cx.engine, move || engine.streams.remove(&stream)).await
        }
    }
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
    if matches!(&object, Object::View(view) if view.dictionary.is_some()) {
        let message = format!("{database}.{name} is a dictionary, neither a stream nor a view");
        return Err(Error::new(Code::INCORRECT_QUERY, message).hint(format!("DROP DICTIONARY {name}")));
    }
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
            let apart = object.stream_info().and_then(|i| super::detached::of(&engine.catalog.snapshot(), i));
            let gone = std::iter::once(object.uuid()).chain(apart.iter().map(|s| s.info.uuid));
            engine.catalog_store.apply(gone.map(Change::Remove).collect())?;
            engine.catalog.update(|state| {
                if let Some(db) = state.databases.get_mut(&database) {
                    db.objects.remove(&name);
                    if let Some(apart) = &apart {
                        db.objects.remove(&apart.info.name);
                    }
                }
            });
            if let Some(apart) = &apart {
                engine.streams.remove(apart)?;
            }
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
    let state = cx.catalog();
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

/// `OPTIMIZE STREAM s [FINAL] [DEDUPLICATE [BY …]]`: moves what is in the log to parts and merges these now, and the rows in them
/// as the engine says.
pub async fn optimize(cx: Context, optimize: Optimize) -> Result<Answer> {
    let span = optimize.name.span;
    let (database, name) = cx.full_name(&optimize.name);
    let state = cx.catalog();
    let stream = match state.existing(&database, &name).map_err(|e| cx.place(e, span))? {
        Object::Stream(stream) => Arc::clone(stream),
        Object::MaterializedView(view) => state.target(view)?,
        Object::View(_) => {
            return Err(Error::new(Code::INCORRECT_QUERY, format!("{database}.{name} is a view")));
        }
    };
    let unique = match optimize.deduplicate {
        true => Some(unique_columns(&cx, &stream, &optimize).await?),
        false => None,
    };
    stream.compact(cx.now).await?;
    merge(&cx, &stream, unique).await?;
    Ok(answer::nothing())
}

/// Merges the rows of a table as its engine says, or those with equal values of `unique`.
pub async fn merge(cx: &Context, stream: &Arc<Stream>, unique: Option<Vec<String>>) -> Result<()> {
    let Some(store) = stream.store() else { return Ok(()) };
    let (lookup, bind_cx) = (cx.lookup(), cx.bind_context(false));
    let (info, schema) = (Arc::clone(&stream.info), Arc::clone(&store.schema));
    let rule = super::blocking(&cx.engine, move || match unique {
        Some(columns) => MergeRule::distinct(&columns, &info, &schema, &lookup, &bind_cx).map(Some),
        None => MergeRule::of(&info, &schema, &lookup, &bind_cx),
    });
    match rule.await? {
        Some(rule) => store.merge_all(rule, cx.eval_context(), cx.info.memory()).await,
        None => Ok(()),
    }
}

/// The columns of DEDUPLICATE BY; without BY all stored ones.
///
/// Errors: NO_SUCH_COLUMN_IN_STREAM (16), THERE_IS_NO_COLUMN (8) for a column of a key that is not among them,
/// EMPTY_LIST_OF_COLUMNS_QUERIED (51).
async fn unique_columns(cx: &Context, stream: &Arc<Stream>, optimize: &Optimize) -> Result<Vec<String>> {
    let info = Arc::clone(&stream.info);
    let stored = |name: &str| info.columns.iter().any(|c| &*c.name == name && c.is_stored());
    if optimize.by.is_empty() {
        return Ok(info.columns.iter().filter(|c| c.is_stored()).map(|c| c.name.to_string()).collect());
    }
    let select = ast::Select {
        projection: optimize.by.clone(),
        from: Some(ast::FromClause {
            first: Some(ast::TableExpr {
                kind: ast::TableExprKind::Name(optimize.name.clone()),
                alias: None,
                is_final: false,
                sample: None,
                span: ast::Span::default(),
            }),
            rest: Vec::new(),
        }),
        ..ast::Select::default()
    };
    let query =
        ast::Query { body: ast::QueryBody::Select(Box::new(select)), pipe: Vec::new(), span: ast::Span::default() };
    let (lookup, bind_cx) = (cx.lookup(), cx.bind_context(false));
    let unknown = |e: Error| match e.code {
        Code::UNKNOWN_IDENTIFIER => Error::new(Code::NO_SUCH_COLUMN_IN_STREAM, e.message),
        _ => e,
    };
    let bound =
        super::blocking(&cx.engine, move || Ok(bind_select(&query, &lookup, &bind_cx).map_err(unknown)?.schema));
    let names: Vec<String> = bound.await?.fields.iter().map(|f| f.name.to_string()).collect();
    if let Some(name) = names.iter().find(|n| !stored(n)) {
        let message = format!("column '{name}' of DEDUPLICATE BY is not stored in {}", info.name);
        return Err(Error::new(Code::NO_SUCH_COLUMN_IN_STREAM, message));
    }
    let mut keys = merging::names_of(&info.order_by)?;
    keys.extend(merging::names_of(&info.partition_by)?);
    let mut missing: Vec<&String> = keys.iter().filter(|k| stored(k) && !names.contains(*k)).collect();
    missing.sort();
    if let Some(name) = missing.first() {
        let message = format!("DEDUPLICATE BY names no column '{name}', which is in a key of {}", info.name);
        return Err(Error::new(Code::THERE_IS_NO_COLUMN, message));
    }
    Ok(names)
}
