//! Statements that are looked at and not run: their analysis, their text in several lines.

use super::call::Call;
use super::fields::Fields;
use super::reply::Failure;
use crate::http::route::Body;
use ::http::Response;
use hydron_base::{Code, Error};
use hyper::body::Incoming;
use serde_json::{Value, json};

/// `{"query"}`: what it is, what it reads, what it answers with.
pub(super) async fn analyze(call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Failure> {
    let fields = Fields::read(call, body).await?;
    let query = fields.name("query")?;
    let settings = call.options()?.settings;
    let found = call.app.engine.analyze(&call.session(), query, &settings).await?;
    let required: Vec<Value> = found
        .required_columns
        .iter()
        .map(|c| {
            json!({
                "database": c.database,
                "table": c.table,
                "is_view": false,
                "column": c.column,
                "column_type": c.column_type,
            })
        })
        .collect();
    let result: Vec<Value> =
        found.result_columns.iter().map(|(name, ty)| json!({"column": name, "column_type": ty})).collect();
    call.success(json!({
        "original_query": query,
        "rewritten_query": found.rewritten_query,
        "query_type": found.query_type,
        "has_aggr": found.has_aggr,
        "has_table_join": found.has_table_join,
        "has_union": found.has_union,
        "has_subquery": found.has_subquery,
        "is_streaming": found.is_streaming,
        "required_columns": required,
        "group_by_columns": found.group_by_columns,
        "result_columns": result,
    }))
}

/// `{"query"}`: the same in the layout of EXPLAIN SYNTAX.
pub(super) async fn format(call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Failure> {
    let fields = Fields::read(call, body).await?;
    let query = fields.name("query")?;
    let parsed = hydron_sql::parse_statement(query)?;
    let mut text = parsed.statement.pretty();
    match parsed.insert_data {
        // Rows of an INSERT are no part of the statement: they follow as they are.
        Some(at) => {
            text.push(' ');
            text.push_str(&query[at..]);
        }
        None if !query[parsed.end..].trim().is_empty() => {
            return Err(Error::new(Code::SYNTAX_ERROR, "one statement was expected, another one follows").into());
        }
        None => {}
    }
    call.success(json!({ "query": text }))
}
