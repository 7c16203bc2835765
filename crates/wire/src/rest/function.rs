//! User defined functions: list, create, delete.

use super::call::Call;
use super::definition::of_text;
use super::fields::{Fields, wrong};
use super::reply::Failure;
use super::stream::drop_statement;
use crate::http::route::Body;
use ::http::Response;
use hydron_base::{Code, Error, Result};
use hydron_sql::ast::{
    CodeFunction, CreateFunction, DropObject, DropVerb, ExecutableFunction, ExprKind, FunctionArg, FunctionBody,
    FunctionLanguage, ObjectName, RemoteFunction, StatementKind,
};
use hydron_sql::secret::{self, HIDDEN};
use hyper::body::Incoming;
use serde_json::{Value, json};

/// All functions that were created, or the one that the path names.
pub(super) fn list(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let state = call.app.engine.inner().catalog.snapshot();
    let Some(name) = call.name("function") else {
        let all: Vec<Value> = state.functions.values().map(|f| describe(&f.name, &f.create_text)).collect();
        return call.success(json!({ "data": all }));
    };
    match state.functions.get(name) {
        Some(function) => call.success(json!({ "data": describe(&function.name, &function.create_text) })),
        None => Err(Error::new(Code::UNKNOWN_FUNCTION, format!("function {name} was not created")).into()),
    }
}

/// A function as its CREATE FUNCTION says.
fn describe(name: &str, create_text: &str) -> Value {
    let parsed = hydron_sql::parse_statement(create_text).ok().map(|p| p.statement.kind);
    let arguments = |args: &[FunctionArg]| -> Value {
        args.iter().map(|a| json!({"name": a.name, "type": a.ty.to_string()})).collect()
    };
    let Some(StatementKind::CreateFunction(create)) = parsed else {
        return json!({ "name": name });
    };
    match &create.body {
        FunctionBody::Sql(expr) => {
            let params = match &expr.kind {
                ExprKind::Lambda(lambda) => lambda.params.as_slice(),
                _ => &[],
            };
            let arguments: Vec<Value> = params.iter().map(|p| json!({ "name": p })).collect();
            json!({"name": name, "type": "sql", "arguments": arguments, "source": expr.to_string()})
        }
        FunctionBody::Code(code) => json!({
            "name": name,
            "type": match code.language {
                FunctionLanguage::JavaScript => "javascript",
                FunctionLanguage::Python => "python",
            },
            "arguments": arguments(&code.args),
            "return_type": code.returns.to_string(),
            "is_aggregation": code.aggregate,
            "source": code.source,
        }),
        FunctionBody::Remote(remote) => json!({
            "name": name,
            "type": "remote",
            "arguments": arguments(&remote.args),
            "return_type": remote.returns.to_string(),
            "url": secret::mask(&format!("'{}'", remote.url)).trim_matches('\''),
            "auth_method": remote.auth_method.as_deref().unwrap_or("none"),
            "auth_context": remote.auth_header.as_ref().map(|header| json!({ "key_name": header, "key_value": HIDDEN })),
            "execution_timeout": remote.execution_timeout_ms,
        }),
        FunctionBody::Executable(program) => json!({
            "name": name,
            "type": "executable",
            "arguments": arguments(&program.args),
            "return_type": program.returns.to_string(),
            "command": program.command,
            "format": program.format.as_deref().unwrap_or("ArrowStream"),
            "execution_timeout": program.execution_timeout_ms,
        }),
    }
}

pub(super) async fn create(call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Failure> {
    let fields = Fields::read(call, body).await?;
    let create = definition(&fields)?;
    call.run(StatementKind::CreateFunction(Box::new(create))).await.map_err(Failure::of_request)?;
    let name = fields.name("name")?;
    let state = call.app.engine.inner().catalog.snapshot();
    let data = state.functions.get(name).map_or_else(|| json!({ "name": name }), |f| describe(name, &f.create_text));
    call.success(json!({ "data": data }))
}

/// `{"name", "type", "arguments", "return_type", …}`
fn definition(fields: &Fields) -> Result<CreateFunction> {
    let ty = |text: &str, field: &str| hydron_sql::parse_type(text).map_err(|e| of_text(e, field));
    let args = fields.objects("arguments")?;
    let args = args
        .iter()
        .map(|a| Ok(FunctionArg { name: a.name("name")?.to_string(), ty: ty(a.name("type")?, "type")? }))
        .collect::<Result<Vec<_>>>()?;
    let returns = ty(fields.name("return_type")?, "return_type")?;
    let code = |language| {
        Ok::<_, Error>(FunctionBody::Code(CodeFunction {
            aggregate: fields.opt_bool("is_aggregation")?.unwrap_or(false),
            args: args.clone(),
            returns: returns.clone(),
            language,
            source: fields.name("source")?.to_string(),
            settings: Vec::new(),
        }))
    };
    let timeout = || match fields.opt_int("execution_timeout")? {
        None => Ok(None),
        Some(ms) => u64::try_from(ms).map(Some).map_err(|_| wrong("execution_timeout", "milliseconds, 1 or more")),
    };
    let body = match fields.name("type")? {
        "javascript" => code(FunctionLanguage::JavaScript)?,
        "python" => code(FunctionLanguage::Python)?,
        "remote" => {
            let auth = fields.opt_object("auth_context")?;
            let auth = |name: &str| match &auth {
                Some(auth) => Ok::<_, Error>(Some(auth.text(name)?.to_string())),
                None => Ok(None),
            };
            FunctionBody::Remote(RemoteFunction {
                args: args.clone(),
                returns: returns.clone(),
                url: fields.name("url")?.to_string(),
                auth_method: fields.opt_text("auth_method")?.map(str::to_string),
                auth_header: auth("key_name")?,
                auth_key: auth("key_value")?,
                execution_timeout_ms: timeout()?,
            })
        }
        "executable" => FunctionBody::Executable(ExecutableFunction {
            args: args.clone(),
            returns: returns.clone(),
            command: fields.name("command")?.to_string(),
            format: fields.opt_text("format")?.map(str::to_string),
            execution_timeout_ms: timeout()?,
        }),
        _ => return Err(wrong("type", "javascript, python, remote or executable")),
    };
    Ok(CreateFunction {
        or_replace: true,
        if_not_exists: false,
        name: fields.name("name")?.to_string(),
        on_cluster: None,
        body,
    })
}

pub(super) async fn delete(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let name = ObjectName::new(call.name("function").unwrap_or_default());
    // A function that does not exist is 404, as for GET.
    call.run(drop_statement(DropVerb::Drop, DropObject::Function, name)).await?;
    call.success(json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_becomes_a_statement() {
        let text = |json: &str| definition(&Fields::parse(json.as_bytes()).unwrap()).map(|c| c.to_string());
        let js = r#"{"name": "f", "type": "javascript", "arguments": [{"name": "v", "type": "float32"}],
            "return_type": "float32", "is_aggregation": true, "source": "{ '$$' }"}"#;
        let statement = text(js).unwrap();
        assert!(
            statement.starts_with(
                "CREATE OR REPLACE AGGREGATE FUNCTION f(v float32) RETURNS float32 LANGUAGE JAVASCRIPT AS "
            )
        );
        let StatementKind::CreateFunction(again) = hydron_sql::parse_statement(&statement).unwrap().statement.kind
        else {
            panic!("{statement}")
        };
        assert!(matches!(&again.body, FunctionBody::Code(code) if code.source == "{ '$$' }"), "{statement}");
        let remote = r#"{"name": "g", "type": "remote", "arguments": [], "return_type": "int", "url": "http://h/x",
            "auth_method": "auth_header", "auth_context": {"key_name": "k", "key_value": "v1"}}"#;
        let statement = text(remote).unwrap();
        assert!(statement.contains("AUTH_HEADER 'k' AUTH_KEY 'v1'"), "{statement}");
        assert!(secret::mask(&statement).contains("AUTH_KEY '[HIDDEN]'"), "{}", secret::mask(&statement));
        let code = |json: &str| text(json).unwrap_err().code;
        assert_eq!(code(&js.replace("javascript", "cobol")), Code::BAD_REQUEST_PARAMETER);
        let program = r#"{"name": "h", "type": "executable", "arguments": [{"name": "v", "type": "string"}], "return_type": "int",
            "command": "h.py -x", "format": "TabSeparated", "execution_timeout": 500}"#;
        let expected = "COMMAND 'h.py -x' FORMAT TabSeparated EXECUTION_TIMEOUT 500";
        assert!(text(program).unwrap().contains(expected), "{}", text(program).unwrap());
        assert_eq!(code(&program.replace("500", "-5")), Code::BAD_REQUEST_PARAMETER);
        assert_eq!(code(&js.replace("javascript", "executable")), Code::BAD_REQUEST_PARAMETER);
        assert_eq!(code(&js.replace("float32", "float32, x int")), Code::BAD_REQUEST_PARAMETER);
    }
}
