//! CREATE FUNCTION in all its forms, and DROP FUNCTION.
//!
//! In: a statement. Out: a function in the catalog. Promise: it is stored durably before anybody can call it, its code has been
//! compiled once, and a running query keeps the functions that it was bound with.

use super::{Answer, Context, answer};
use crate::catalog::{Function, FunctionBody, record};
use crate::engine::Inner;
use hydron_base::{Code, Error, Result};
use hydron_func::Registry;
use hydron_sql::ast::{self, CreateFunction, DropObjects, ExprKind, FunctionArg, FunctionLanguage, TypeName};
use hydron_types::parse_type;
use hydron_udf::executable::Program;
use hydron_udf::remote::Service;
use hydron_udf::{Definition, Signature};
use std::sync::Arc;
use uuid::Uuid;

pub async fn run(cx: Context, create: CreateFunction) -> Result<Answer> {
    let name = create.name.as_str();
    let definition = definition(&create)?;
    if definition.is_none() {
        check_lambda(&create)?;
    }
    let registry = Registry::builtin();
    if registry.scalar(name).is_some() || registry.aggregate(name).is_some() {
        let message = format!("function {name} is built in");
        return Err(Error::new(Code::FUNCTION_ALREADY_EXISTS, message).hint("another name"));
    }
    let engine = Arc::clone(&cx.engine);
    let _changes = engine.catalog.lock_changes().await;
    let existing = engine.catalog.snapshot().functions.get(name).cloned();
    if existing.is_some() && !create.or_replace {
        if create.if_not_exists {
            return Ok(answer::nothing());
        }
        return Err(Error::new(Code::FUNCTION_ALREADY_EXISTS, format!("function {name} already exists")));
    }
    let uuid = existing.map_or_else(Uuid::new_v4, |f| f.uuid);
    let function = Function {
        name: Arc::from(name),
        uuid,
        create_text: create_text(&create),
        body: match (definition, &create.body) {
            (Some(definition), _) => FunctionBody::Code(definition),
            (None, ast::FunctionBody::Sql(lambda)) => FunctionBody::Lambda(lambda.to_string()),
            (None, _) => return Err(Error::bug("code without a definition")),
        },
    };
    super::blocking(&cx.engine, {
        let engine = Arc::clone(&cx.engine);
        move || store(&engine, function)
    })
    .await?;
    Ok(answer::nothing())
}

fn store(engine: &Inner, function: Function) -> Result<()> {
    let scripts = engine.options.user_scripts.as_deref();
    let object = match &function.body {
        FunctionBody::Lambda(lambda) => serde_json::json!({ "lambda": lambda }),
        FunctionBody::Code(definition) => {
            definition.check(scripts)?;
            serde_json::json!({})
        }
    };
    let entry = Inner::entry(record::FUNCTION, function.uuid, "", &function.name, &function.create_text, object);
    engine.catalog_store.put(entry)?;
    engine.catalog.update(|state| {
        state.edit_functions(scripts, |all| std::mem::drop(all.insert(Arc::clone(&function.name), function)));
    });
    Ok(())
}

/// The statement as it is kept and shown: it makes the function where none is.
fn create_text(create: &CreateFunction) -> String {
    let plain = CreateFunction { or_replace: false, if_not_exists: false, on_cluster: None, ..create.clone() };
    plain.to_string()
}

/// Errors: UNSUPPORTED_METHOD (1) for anything but a lambda with parameters of different names,
/// CANNOT_CREATE_RECURSIVE_FUNCTION (611).
fn check_lambda(create: &CreateFunction) -> Result<()> {
    let lambda = match &create.body {
        ast::FunctionBody::Sql(lambda) => &lambda.kind,
        _ => return Err(Error::bug("code is no lambda")),
    };
    let ExprKind::Lambda(parts) = lambda else {
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
    Ok(())
}

/// What a statement defines; `None`: a lambda.
///
/// Errors: NOT_IMPLEMENTED (48) for languages that are not spoken here, BAD_ARGUMENTS (36) for half an authorization, and those of
/// unknown types.
pub fn definition(create: &CreateFunction) -> Result<Option<Definition>> {
    let define = |args: &[FunctionArg], returns: &TypeName, code| {
        let args = args.iter().map(|a| Ok((Arc::from(a.name.as_str()), parse_type(&a.ty.to_string())?)));
        let signature = Signature {
            name: Arc::from(create.name.as_str()),
            args: args.collect::<Result<_>>()?,
            returns: parse_type(&returns.to_string())?,
        };
        Ok(Some(Definition { signature: Arc::new(signature), code }))
    };
    match &create.body {
        ast::FunctionBody::Sql(_) => Ok(None),
        ast::FunctionBody::Code(code) => {
            if code.language == FunctionLanguage::Python {
                return Err(Error::not_implemented("CREATE FUNCTION … LANGUAGE PYTHON").hint("LANGUAGE JAVASCRIPT"));
            }
            if let Some(setting) = code.settings.first() {
                return Err(Error::not_implemented(format!("setting {} of a JavaScript function", setting.name)));
            }
            let source = Arc::from(code.source.as_str());
            let javascript = hydron_udf::Code::JavaScript { aggregate: code.aggregate, source };
            define(&code.args, &code.returns, javascript)
        }
        ast::FunctionBody::Remote(remote) => {
            let service = Service {
                url: remote.url.clone(),
                auth: authorization(remote)?,
                execution_timeout_ms: remote.execution_timeout_ms,
            };
            define(&remote.args, &remote.returns, hydron_udf::Code::Remote(service))
        }
        ast::FunctionBody::Executable(program) => {
            let code = Program {
                command: program.command.clone(),
                format: program.format.clone().unwrap_or_default(),
                execution_timeout_ms: program.execution_timeout_ms,
            };
            define(&program.args, &program.returns, hydron_udf::Code::Executable(code))
        }
    }
}

fn authorization(remote: &ast::RemoteFunction) -> Result<Option<(String, String)>> {
    let method = remote.auth_method.as_deref().unwrap_or("none");
    match (method, &remote.auth_header, &remote.auth_key) {
        ("none", None, None) => Ok(None),
        ("auth_header", Some(header), Some(key)) => Ok(Some((header.clone(), key.clone()))),
        ("none", ..) => Err(Error::bad_arguments("AUTH_HEADER and AUTH_KEY need AUTH_METHOD 'auth_header'")),
        ("auth_header", ..) => Err(Error::bad_arguments("AUTH_METHOD 'auth_header' needs AUTH_HEADER and AUTH_KEY")),
        (other, ..) => {
            Err(Error::bad_arguments(format!("AUTH_METHOD '{other}' is unknown")).hint("'none' or 'auth_header'"))
        }
    }
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
                let scripts = engine.options.user_scripts.as_deref();
                engine
                    .catalog
                    .update(|state| state.edit_functions(scripts, |all| std::mem::drop(all.remove(&function.name))));
                Ok(())
            }
        })
        .await?;
    }
    Ok(answer::nothing())
}
