//! What a statement is and what it reads, without running it.
//!
//! In: a text. Out: its kind, its shape, the columns that it needs and those that it answers with. Promise: nothing is
//! changed; scalar subqueries are answered, as they are by EXPLAIN.

use crate::catalog::lookup::Lookup;
use crate::engine::Engine;
use crate::grounds::Reader;
use crate::session::Session;
use crate::statement::{blocking, zone};
use hydron_base::world::Stop;
use hydron_base::{Budget, Code, Error, Result, Settings};
use hydron_func::BindContext;
use hydron_plan::bind::bind_select;
use hydron_plan::node::{Node, ScanColumn};
use hydron_plan::{Plan, StreamKind};
use hydron_sql::ast::{
    self, ExprKind, FromItem, InsertSource, Query, QueryBody, StatementKind, TableExprKind, WithItem,
};
use std::sync::Arc;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Analysis {
    /// The statement as it is understood, in one line.
    pub rewritten_query: String,
    /// `SELECT`, `INSERT INTO`, `CREATE`, …
    pub query_type: String,
    pub has_aggr: bool,
    pub has_table_join: bool,
    pub has_union: bool,
    pub has_subquery: bool,
    pub is_streaming: bool,
    pub required_columns: Vec<RequiredColumn>,
    pub group_by_columns: Vec<String>,
    /// Name and type.
    pub result_columns: Vec<(String, String)>,
}

/// A column of a stream or table that the query reads. A view counts as what it reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequiredColumn {
    pub database: String,
    pub table: String,
    pub column: String,
    pub column_type: String,
}

impl Engine {
    /// Analyzes one statement in the database of `session`.
    ///
    /// Errors: those of the parser and of the binder.
    pub async fn analyze(&self, session: &Session, text: &str, settings: &Settings) -> Result<Analysis> {
        let parsed = hydron_sql::parse_statement(text)?;
        if !text[parsed.end..].trim().is_empty() && parsed.insert_data.is_none() {
            return Err(Error::new(Code::SYNTAX_ERROR, "one statement was expected, another one follows"));
        }
        let mut all = self.inner().profile.clone();
        all.overlay(&session.profile);
        all.overlay(&session.settings);
        all.overlay(settings);
        let settings = Arc::new(all);
        let lookup = Lookup {
            engine: Arc::clone(self.inner()),
            state: session.temporary.over(self.inner().catalog.snapshot()),
            database: Arc::clone(&session.database),
            user: Arc::clone(&session.user),
            settings: Arc::clone(&settings),
            memory: Budget::alone(settings.uint("max_memory_usage")),
            given: Arc::default(),
            access: self.enabled(session),
            reader: Reader::of(&self.enabled(session), session.roles.clone()),
            grounds: Arc::default(),
            reads: Arc::default(),
            temporary: session.temporary.clone(),
        };
        let bind_cx = BindContext {
            zone: zone(&settings),
            streaming: settings.text("query_mode") != "table",
            settings,
            database: Arc::clone(&session.database),
            user: Arc::clone(&session.user),
            traps: self.options().allow_trap,
            server: Some(super::facts::ServerView::facts(self.inner(), "", &session.database)),
            identity: Arc::default(),
            stop: Stop::default(),
            memory: Arc::clone(&lookup.memory),
        };
        blocking(self.inner(), move || of_statement(&parsed.statement, &lookup, &bind_cx)).await
    }
}

fn of_statement(statement: &ast::Statement, lookup: &Lookup, bind_cx: &BindContext) -> Result<Analysis> {
    let mut analysis = Analysis {
        rewritten_query: statement.to_string(),
        query_type: type_name(&statement.kind, &statement.to_string()),
        ..Analysis::default()
    };
    let query = match &statement.kind {
        StatementKind::Query(query) => Some(&**query),
        StatementKind::Insert(insert) => match &insert.source {
            InsertSource::Select(query) => Some(&**query),
            _ => None,
        },
        StatementKind::CreateView(create) => Some(&*create.query),
        StatementKind::CreateMaterializedView(create) => Some(&*create.query),
        _ => None,
    };
    let Some(query) = query else { return Ok(analysis) };
    analysis.has_union = query_any(query, &mut |body| matches!(body, QueryBody::Set(_)));
    analysis.has_subquery = query_any(query, &mut has_subquery);
    if let QueryBody::Select(select) = &query.body {
        analysis.group_by_columns = group_by(select);
    }
    let bound = bind_select(query, lookup, bind_cx)?;
    analysis.is_streaming = bound.streaming;
    analysis.result_columns = bound.schema.fields.iter().map(|f| (f.name.to_string(), f.ty.to_string())).collect();
    look(&bound.plan, &mut analysis);
    analysis.required_columns.sort();
    analysis.required_columns.dedup();
    Ok(analysis)
}

/// The words that a statement begins with, as far as they say what it does.
fn type_name(kind: &StatementKind, text: &str) -> String {
    match kind {
        StatementKind::Query(_) => "SELECT".to_string(),
        StatementKind::Insert(_) => "INSERT INTO".to_string(),
        _ => text.split_whitespace().next().unwrap_or_default().to_uppercase(),
    }
}

/// Adds what the nodes of a plan say.
fn look(plan: &Plan, analysis: &mut Analysis) {
    match &plan.node {
        Node::Aggregate(_) => analysis.has_aggr = true,
        Node::Join(_) => analysis.has_table_join = true,
        Node::Scan(scan) if scan.stream.kind != StreamKind::Function => {
            for column in &scan.columns {
                let ScanColumn::Stored(at) = column else { continue };
                let Some(column) = scan.stream.columns.get(*at) else { continue };
                analysis.required_columns.push(RequiredColumn {
                    database: scan.stream.database.to_string(),
                    table: scan.stream.name.to_string(),
                    column: column.name.to_string(),
                    column_type: column.ty.to_string(),
                });
            }
        }
        _ => {}
    }
    plan.inputs().into_iter().for_each(|input| look(input, analysis));
}

fn group_by(select: &ast::Select) -> Vec<String> {
    use ast::GroupByKind as G;
    let exprs: Vec<&ast::Expr> = match select.group_by.as_ref().map(|g| &g.kind) {
        None => Vec::new(),
        Some(G::Plain(list) | G::Rollup(list) | G::Cube(list)) => list.iter().collect(),
        Some(G::GroupingSets(sets)) => sets.iter().flatten().collect(),
    };
    exprs.into_iter().map(ToString::to_string).collect()
}

/// Whether any SELECT or set operation at the top of `query` or below it satisfies `test`.
fn query_any(query: &Query, test: &mut impl FnMut(&QueryBody) -> bool) -> bool {
    fn body_any(body: &QueryBody, test: &mut impl FnMut(&QueryBody) -> bool) -> bool {
        test(body)
            || match body {
                QueryBody::Nested(query) => query_any(query, test),
                QueryBody::Set(set) => {
                    body_any(&set.first, test) || set.rest.iter().any(|(_, body)| body_any(body, test))
                }
                QueryBody::Select(select) => inner_queries(select).into_iter().any(|q| query_any(q, test)),
            }
    }
    body_any(&query.body, test) || query.pipe.iter().any(|q| query_any(q, test))
}

fn has_subquery(body: &QueryBody) -> bool {
    matches!(body, QueryBody::Select(select) if !inner_queries(select).is_empty())
}

/// Queries directly inside a SELECT: in WITH, FROM and its expressions.
fn inner_queries(select: &ast::Select) -> Vec<&Query> {
    let mut queries: Vec<&Query> = Vec::new();
    for item in &select.with {
        match item {
            WithItem::Query { query, .. } => queries.push(query),
            WithItem::Expr(expr) => expr.for_queries(&mut |q| queries.push(q)),
        }
    }
    let joined = select.from.iter().flat_map(|f| &f.rest).filter_map(|item| match item {
        FromItem::Join(join) => Some(&join.table),
        FromItem::ArrayJoin(_) => None,
    });
    for table in select.from.iter().filter_map(|f| f.first.as_ref()).chain(joined) {
        match &table.kind {
            TableExprKind::Subquery(query) => queries.push(query),
            TableExprKind::Function(function) => {
                for arg in &function.args {
                    if let ExprKind::Subquery(query) = &arg.kind {
                        queries.push(query);
                    }
                }
            }
            TableExprKind::Name(_) => {}
        }
    }
    let exprs = select.projection.iter().chain(&select.prewhere).chain(&select.filter).chain(&select.having);
    exprs.for_each(|expr| expr.for_queries(&mut |q| queries.push(q)));
    queries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EngineOptions, Input, QueryOptions};

    #[test]
    fn a_query_says_what_it_needs() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(EngineOptions { cpu_threads: 1, ..EngineOptions::at(dir.path()) }).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut session = engine.session("default", "");
            for text in [
                "CREATE STREAM s (a int, b string, c float)",
                "CREATE STREAM t (b string, d int)",
                "CREATE VIEW v AS SELECT a + 1 AS x, c FROM s",
            ] {
                let mut done = engine.execute(&mut session, text, Input::None, QueryOptions::default()).await.unwrap();
                while done.next().await.unwrap().is_some() {}
            }
            let analyze = |text: &'static str| {
                let (engine, session) = (engine.clone(), session.clone());
                async move { engine.analyze(&session, text, &Settings::default()).await.unwrap() }
            };
            let columns = |a: &Analysis| -> Vec<String> {
                a.required_columns.iter().map(|c| format!("{}.{} {}", c.table, c.column, c.column_type)).collect()
            };
            let a = analyze("select b, count() as n from s where a > 1 group by b").await;
            assert_eq!(
                (a.query_type.as_str(), a.is_streaming, a.has_aggr, a.has_table_join),
                ("SELECT", true, true, false)
            );
            assert_eq!(columns(&a), ["s.a int32", "s.b string"]);
            assert_eq!(a.group_by_columns, ["b"]);
            assert_eq!(a.result_columns, [("b".into(), "string".into()), ("n".into(), "uint64".into())]);
            assert_eq!(a.rewritten_query, "SELECT b, count() AS n FROM s WHERE a > 1 GROUP BY b");
            let a = analyze("SELECT t.d FROM table(s) AS s JOIN table(t) AS t ON s.b = t.b").await;
            assert!(a.has_table_join && !a.is_streaming && !a.has_subquery && !a.has_union);
            assert_eq!(columns(&a), ["s.b string", "t.b string", "t.d int32"]);
            let a = analyze("SELECT x FROM (SELECT x FROM table(v) UNION ALL SELECT 1)").await;
            assert!(a.has_subquery && a.has_union);
            assert_eq!(columns(&a), ["s.a int32"]);
            let a = analyze("INSERT INTO s (a) SELECT d FROM table(t)").await;
            assert_eq!((a.query_type.as_str(), columns(&a)), ("INSERT INTO", vec!["t.d int32".to_string()]));
            assert_eq!(
                analyze("DROP STREAM s").await,
                Analysis { query_type: "DROP".into(), rewritten_query: "DROP STREAM s".into(), ..Analysis::default() }
            );
        });
    }
}
