//! RENAME STREAM and EXCHANGE STREAMS.

use super::{Answer, Context, answer};
use crate::catalog::{Object, record};
use crate::engine::Inner;
use crate::stream::Stream;
use hydron_base::{Code, Error, Result};
use hydron_plan::StreamInfo;
use hydron_sql::ast::{Rename, RenameObject};
use hydron_store::catalog::Change;
use std::sync::Arc;

pub async fn run(cx: Context, rename: Rename) -> Result<Answer> {
    if rename.object != RenameObject::Stream {
        return Err(Error::not_implemented(format!("RENAME {:?}", rename.object).to_uppercase()));
    }
    for (from, to) in &rename.pairs {
        let (database, name) = cx.full_name(from);
        let (to_database, to_name) = cx.full_name(to);
        if &*database == crate::catalog::temporary::DATABASE {
            return Err(Error::not_implemented(format!("RENAME of the temporary stream {name}")));
        }
        if database != to_database {
            return Err(Error::not_implemented("RENAME STREAM into another database"));
        }
        if rename.exchange {
            exchange(&cx, database, name, to_name).await.map_err(|e| cx.place(e, from.span))?;
            continue;
        }
        let done = rename_one(&cx, database, name, to_name, rename.if_exists).await;
        done.map_err(|e| {
            let span = if e.code == Code::STREAM_ALREADY_EXISTS { to.span } else { from.span };
            cx.place(e, span)
        })?;
    }
    Ok(answer::nothing())
}

async fn rename_one(cx: &Context, database: Arc<str>, from: Arc<str>, to: Arc<str>, if_exists: bool) -> Result<()> {
    let engine = Arc::clone(&cx.engine);
    let _changes = engine.catalog.lock_changes().await;
    let state = engine.catalog.snapshot();
    let object = match state.existing(&database, &from) {
        Ok(object) => object.clone(),
        Err(e) if if_exists && e.code == Code::UNKNOWN_STREAM => return Ok(()),
        Err(e) => return Err(e),
    };
    if state.object(&database, &to).is_some() {
        return Err(Error::new(Code::STREAM_ALREADY_EXISTS, format!("stream {database}.{to} already exists")));
    }
    super::remove::check_dependents(cx, &database, &from)?;
    let Object::Stream(stream) = object else {
        return Err(Error::not_implemented("RENAME of a view"));
    };
    engine.queries.cancel_users_of(&database, &from);
    super::blocking(&cx.engine, {
        let engine = Arc::clone(&cx.engine);
        move || {
            let info = StreamInfo { name: Arc::clone(&to), ..(*stream.info).clone() };
            let text = renamed_text(&stream.create_text, &to)?;
            let renamed = Arc::new(Stream::renamed(&stream, info, text));
            let object = record::properties_of(&renamed);
            let entry = Inner::entry(record::STREAM, renamed.info.uuid, &database, &to, &renamed.create_text, object);
            engine.catalog_store.apply(vec![Change::Put(entry)])?;
            engine.catalog.update(|state| {
                if let Some(db) = state.databases.get_mut(&database) {
                    db.objects.remove(&from);
                    db.objects.insert(to, Object::Stream(renamed));
                }
            });
            Ok(())
        }
    })
    .await
}

/// EXCHANGE STREAMS: each of two has the name of the other one, in one step.
async fn exchange(cx: &Context, database: Arc<str>, a: Arc<str>, b: Arc<str>) -> Result<()> {
    let engine = Arc::clone(&cx.engine);
    let _changes = engine.catalog.lock_changes().await;
    let state = engine.catalog.snapshot();
    let stream = |name: &str| match state.existing(&database, name)? {
        Object::Stream(stream) => Ok(Arc::clone(stream)),
        _ => Err(Error::not_implemented("EXCHANGE of a view")),
    };
    let (of_a, of_b) = (stream(&a)?, stream(&b)?);
    if a == b {
        return Ok(());
    }
    for name in [&a, &b] {
        super::remove::check_dependents(cx, &database, name)?;
        engine.queries.cancel_users_of(&database, name);
    }
    let work = {
        let engine = Arc::clone(&engine);
        move || {
            let mut changes = Vec::new();
            let mut renamed = Vec::new();
            for (stream, name) in [(of_a, b), (of_b, a)] {
                let info = StreamInfo { name: Arc::clone(&name), ..(*stream.info).clone() };
                let text = renamed_text(&stream.create_text, &name)?;
                let stream = Arc::new(Stream::renamed(&stream, info, text));
                let object = record::properties_of(&stream);
                let uuid = stream.info.uuid;
                let entry = Inner::entry(record::STREAM, uuid, &database, &name, &stream.create_text, object);
                changes.push(Change::Put(entry));
                renamed.push((name, stream));
            }
            engine.catalog_store.apply(changes)?;
            engine.catalog.update(|state| {
                if let Some(db) = state.databases.get_mut(&database) {
                    db.objects.extend(renamed.into_iter().map(|(name, stream)| (name, Object::Stream(stream))));
                }
            });
            Ok(())
        }
    };
    super::blocking(&cx.engine, work).await
}

/// The CREATE text under a new name.
pub fn renamed_text(text: &str, name: &str) -> Result<String> {
    use hydron_sql::ast::StatementKind;
    let parsed = hydron_sql::parse_statement(text)?;
    match parsed.statement.kind {
        StatementKind::CreateStream(mut create) => {
            create.name.name = name.to_string();
            Ok(super::text::multi_line(StatementKind::CreateStream(create)))
        }
        _ => Err(Error::bug("the text of a stream is not a CREATE STREAM")),
    }
}
