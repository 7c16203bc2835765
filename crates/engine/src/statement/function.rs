//! CREATE FUNCTION f AS (x) -> expr, and DROP FUNCTION.

use super::{Answer, Context, answer};
use crate::catalog::{SqlFunction, record};
use crate::engine::Inner;
use hydron_base::{Code, Error, Result};
use hydron_func::Registry;
use hydron_sql::ast::{CreateFunction, DropObjects, ExprKind, FunctionBody};
use std::sync::Arc;
use uuid::Uuid;

pub async fn run(cx: Context, create: CreateFunction) -> Result<Answer> {
    let lambda = match &create.body {
        FunctionBody::Sql(expr) => expr,
        FunctionBody::Code(code) => {
            return Err(Error::not_implemented(format!("CREATE FUNCTION in {:?}", code.language)));
        }
        FunctionBody::Remote(_) => return Err(Error::not_implemented("CREATE REMOTE FUNCTION")),
    };
    let ExprKind::Lambda(parts) = &lambda.kind else {
        let message = format!("function {} must be a lambda", create.name);
        return Err(Error::new(Code::UNSUPPORTED_METHOD, message)
            .hint(format!("CREATE FUNCTION {} AS (x) -> x + 1", create.name)));
    };
    let mut params = parts.params.clone();
    params.sort();
    params.dedup();
    if params.len() != parts.params.len() {
        let message = format!("parameters of function {} must differ from each other", create.name);
        return Err(Error::new(Code::UNSUPPORTED_METHOD, message));
    }
    let mut recursive = false;
    parts.body.walk(&mut |e| recursive |= e.as_function().is_some_and(|f| f.name == create.name));
    if recursive {
        let message = format!("function {} calls itself", create.name);
        return Err(Error::new(Code::CANNOT_CREATE_RECURSIVE_FUNCTION, message));
    }
    let registry = Registry::builtin();
    if registry.scalar(&create.name).is_some() || registry.aggregate(&create.name).is_some() {
        let message = format!("function {} is built in", create.name);
        return Err(Error::new(Code::FUNCTION_ALREADY_EXISTS, message).hint("another name"));
    }
    let engine = Arc::clone(&cx.engine);
    let _changes = engine.catalog.lock_changes().await;
    let existing = engine.catalog.snapshot().functions.get(create.name.as_str()).cloned();
    if existing.is_some() && !create.or_replace {
        if create.if_not_exists {
            return Ok(answer::nothing());
        }
        return Err(Error::new(Code::FUNCTION_ALREADY_EXISTS, format!("function {} already exists", create.name)));
    }
    let uuid = existing.map_or_else(Uuid::new_v4, |f| f.uuid);
    let text = format!("CREATE FUNCTION {} AS {lambda}", hydron_types::logical::identifier(&create.name));
    let function =
        SqlFunction { name: Arc::from(create.name.as_str()), uuid, lambda: lambda.to_string(), create_text: text };
    super::blocking(&cx.engine, {
        let engine = Arc::clone(&cx.engine);
        move || {
            let object = serde_json::json!({ "lambda": function.lambda });
            let entry = Inner::entry(record::FUNCTION, uuid, "", &function.name, &function.create_text, object);
            engine.catalog_store.put(entry)?;
            engine.catalog.update(|state| {
                state.functions.insert(Arc::clone(&function.name), function);
            });
            Ok(())
        }
    })
    .await?;
    Ok(answer::nothing())
}

pub async fn drop(cx: Context, drop: DropObjects) -> Result<Answer> {
    let engine = Arc::clone(&cx.engine);
    let _changes = engine.catalog.lock_changes().await;
    for name in &drop.names {
        let name = name.name.as_str();
        let Some(function) = engine.catalog.snapshot().functions.get(name).cloned() else {
            if Registry::builtin().scalar(name).is_some() || Registry::builtin().aggregate(name).is_some() {
                return Err(Error::new(Code::CANNOT_DROP_FUNCTION, format!("function {name} is built in")));
            }
            if drop.if_exists {
                continue;
            }
            return Err(Error::new(Code::UNKNOWN_FUNCTION, format!("function {name} does not exist")));
        };
        super::blocking(&cx.engine, {
            let engine = Arc::clone(&cx.engine);
            move || {
                engine.catalog_store.remove(function.uuid)?;
                engine.catalog.update(|state| {
                    state.functions.remove(&function.name);
                });
                Ok(())
            }
        })
        .await?;
    }
    Ok(answer::nothing())
}
