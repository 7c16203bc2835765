//! EXPLAIN: every arrow of a query's way prints what stands on its right side.
//!
//! `AST` the tree, `SYNTAX` the text as understood, `PLAN` (the default) the bound plan, `PIPELINE` the operators of a
//! stream or the physical plan of history.

use super::{Answer, Context, answer};
use hydron_base::{Code, Error, Result};
use hydron_plan::explain::{plan_text, tree_text};
use hydron_sql::ast::{Explain, ExplainKind, ExplainTarget, Setting, Statement, StatementKind};

pub async fn run(cx: Context, explain: Explain) -> Result<Answer> {
    let ExplainTarget::Statement(statement) = explain.target else {
        return Err(Error::not_implemented(format!("EXPLAIN {:?}", explain.kind)));
    };
    check_settings(&explain.kind, &explain.settings)?;
    let text = match explain.kind {
        ExplainKind::Ast => tree_text(&statement.kind).unwrap_or_else(|| format!("{:#?}", statement.kind)),
        ExplainKind::Syntax => syntax(&cx, *statement).await?,
        ExplainKind::Plan => plan(&cx, *statement, false).await?,
        ExplainKind::Pipeline => plan(&cx, *statement, true).await?,
        other => return Err(Error::not_implemented(format!("EXPLAIN {other:?}"))),
    };
    answer::strings("explain", text.lines().map(str::to_string))
}

/// Settings of an EXPLAIN as ClickHouse has them: 0 or 1. Texts are the server's own and do not depend on them.
///
/// Errors: UNKNOWN_SETTING (115), INVALID_SETTING_VALUE (471).
fn check_settings(kind: &ExplainKind, settings: &[Setting]) -> Result<()> {
    let known: &[&str] = match kind {
        ExplainKind::Ast => &["graph", "optimize"],
        ExplainKind::Syntax => &["oneline", "run_query_tree_passes"],
        ExplainKind::Plan => {
            &["header", "description", "indexes", "actions", "optimize", "json", "sorting", "distributed"]
        }
        ExplainKind::Pipeline => &["header", "graph", "compact", "distributed"],
        _ => return Ok(()),
    };
    for setting in settings {
        if !known.contains(&setting.name.as_str()) {
            let message = format!("setting '{}' of EXPLAIN {kind:?} is unknown", setting.name);
            return Err(Error::new(Code::UNKNOWN_SETTING, message).hint(known.join(", ")));
        }
        let value = hydron_plan::bind::setting_text(setting)?.unwrap_or_default();
        if !matches!(value.as_str(), "0" | "1") {
            let message = format!("setting '{}' of EXPLAIN {kind:?} is 0 or 1, not {value}", setting.name);
            return Err(Error::new(Code::INVALID_SETTING_VALUE, message));
        }
    }
    Ok(())
}

/// The statement as it was understood, rewritten as ClickHouse rewrites its syntax.
async fn syntax(cx: &Context, mut statement: Statement) -> Result<String> {
    let query = match &mut statement.kind {
        StatementKind::Query(query) => Some(query),
        StatementKind::Insert(insert) => match &mut insert.source {
            hydron_sql::ast::InsertSource::Select(query) => Some(query),
            _ => None,
        },
        _ => None,
    };
    if let Some(query) = query {
        let (lookup, asked) = (cx.lookup(), (**query).clone());
        let bind_cx = cx.bind_context(cx.settings.text("query_mode") != "table");
        let explained = super::blocking(&cx.engine, move || {
            let explained = hydron_plan::bind::explained(&asked, &lookup, &bind_cx)?;
            super::permit::reads(&lookup, None)?;
            Ok(explained)
        });
        **query = explained.await?;
    }
    Ok(statement.pretty())
}

async fn plan(cx: &Context, statement: Statement, pipeline: bool) -> Result<String> {
    let query = match statement.kind {
        StatementKind::Query(query) => query,
        StatementKind::Insert(insert) => match insert.source {
            hydron_sql::ast::InsertSource::Select(query) => query,
            _ => return Err(Error::not_implemented("EXPLAIN of an INSERT without SELECT")),
        },
        _ => return Err(Error::not_implemented("EXPLAIN of this statement")),
    };
    let bound = super::select::bind(cx, *query).await?;
    if !pipeline {
        return Ok(plan_text(&bound.plan));
    }
    if bound.streaming {
        let options = super::select::build_options(&bound.settings);
        return Ok(hydron_flow::build(&bound.plan, options)?.text);
    }
    let lookup = cx.lookup();
    super::blocking(&cx.engine, move || super::select::physical_text(&lookup, &bound.plan)).await
}
