//! CTEs with names for their columns, and those that read themselves.
//!
//! In: `name (column, …) AS (first UNION [ALL] next)`. Out: the rows of `first`, then of `next` over the rows that came last, again and
//! again until no more come. Promise: like all subqueries they are worked out while the query is bound; columns have the types of
//! `first`; steps and rows have named limits.

use super::Binder;
use super::cast::cast_to;
use super::env::{Env, Named};
use super::scope::{Scope, TableName};
use super::source::From;
use crate::node::Plan;
use hydron_base::{Code, Error, Result};
use hydron_sql::ast::{self, QueryBody, SetKind, SetQuantifier};
use hydron_types::{Batch, Field, Schema};
use std::sync::Arc;

/// Rows of one recursive CTE: 10 million rows of two numbers are 160 MB, which are kept until the query ends.
const ROWS_MAX: usize = 10_000_000;

impl Binder<'_> {
    /// A CTE under the names it gives its columns.
    ///
    /// Errors: BAD_ARGUMENTS (36) for another number of names than of columns.
    pub(super) fn named_query(&self, named: &Named<'_>, env: &Env<'_>, table: TableName) -> Result<From> {
        let reads_itself = named.recursive && reads(named.query, named.name);
        let (plan, flat) = if reads_itself {
            (self.repeated(named, env)?, false)
        } else {
            let rel = self.query(named.query, &env.inner())?;
            (rel.plan, rel.flat)
        };
        let plan = renamed(plan, named)?;
        let mut scope = Scope::of_schema(table, &plan.schema);
        scope.show_names_once();
        Ok(From { plan, scope, flat, window: None, unnamed: false })
    }

    fn repeated(&self, named: &Named<'_>, env: &Env<'_>) -> Result<Plan> {
        let wrong = |what: &str| Error::new(Code::UNSUPPORTED, format!("recursive CTE \"{}\" {what}", named.name));
        let mut body = &named.query.body;
        while let QueryBody::Nested(inner) = body {
            body = &inner.body;
        }
        let QueryBody::Set(set) = body else { return Err(wrong("is no UNION")) };
        if set.rest.iter().any(|(operator, _)| operator.kind != SetKind::Union) {
            return Err(wrong("holds INTERSECT or EXCEPT"));
        }
        if body_reads(&set.first, named.name) {
            return Err(wrong("reads itself in its first query"));
        }
        let split = set.rest.iter().position(|(_, body)| body_reads(body, named.name)).unwrap_or(set.rest.len());
        let (start, next) = set.rest.split_at(split);
        let first = ast::SetOperation { first: set.first.clone(), rest: start.to_vec() };
        let first = if start.is_empty() { set.first.clone() } else { QueryBody::Set(Box::new(first)) };
        let query = |body: QueryBody| ast::Query { body, pipe: Vec::new(), span: named.query.span };
        let first = self.bounded_plan(&query(first), env)?;
        let first = renamed(first, named)?;
        let schema = Arc::clone(&first.schema);
        let distinct = next.iter().any(|(o, _)| o.quantifier == Some(SetQuantifier::Distinct));
        let mut last = self.run(first, env, ROWS_MAX)?;
        let mut all = last.clone();
        let next: Vec<ast::Query> = next.iter().map(|(_, body)| query(body.clone())).collect();
        let steps_max = env.settings.uint("max_recursive_cte_evaluation_depth");
        let mut steps = 0;
        while last.iter().any(|b| b.rows() > 0) {
            steps += 1;
            if steps > steps_max {
                let text = format!("recursive CTE \"{}\" took more than {steps_max} steps", named.name);
                return Err(Error::new(Code::TOO_DEEP_RECURSION, text).hint("max_recursive_cte_evaluation_depth"));
            }
            let rows = Plan::values(Arc::clone(&schema), last);
            last = Vec::new();
            for query in &next {
                let mut inner = env.inner();
                inner.given = Some((named.name, &rows));
                let mut plan = self.alike_to(self.bounded_plan(query, &inner)?, &schema)?;
                if distinct {
                    plan = self.not_among(plan, Plan::values(Arc::clone(&schema), all.clone()))?;
                }
                last.extend(self.run(plan, env, ROWS_MAX)?);
            }
            all.extend(last.iter().cloned());
            let rows: usize = all.iter().map(Batch::rows).sum();
            if rows > ROWS_MAX {
                let text = format!("recursive CTE \"{}\" has more than {ROWS_MAX} rows", named.name);
                return Err(Error::new(Code::TOO_MANY_ROWS, text));
            }
        }
        Ok(Plan::values(schema, all))
    }

    fn bounded_plan(&self, query: &ast::Query, env: &Env<'_>) -> Result<Plan> {
        let plan = self.query(query, &env.inner())?.plan;
        if plan.streaming {
            return Err(Error::not_implemented("a recursive CTE over a stream").hint("table(…) around the stream"));
        }
        Ok(plan)
    }

    /// The rows of `plan` as those of the first query.
    fn alike_to(&self, plan: Plan, schema: &Schema) -> Result<Plan> {
        if plan.schema.len() != schema.len() {
            let text = format!("queries of a UNION have {} and {} columns", schema.len(), plan.schema.len());
            return Err(Error::new(Code::UNION_ALL_RESULT_STRUCTURES_MISMATCH, text));
        }
        let columns = plan.columns().into_iter().zip(&schema.fields);
        let cast = columns.map(|((_, e), f)| Ok((Arc::clone(&f.name), cast_to(e, &f.ty, self.cx.zone)?)));
        let cast = cast.collect::<Result<Vec<_>>>()?;
        Ok(plan.project(cast))
    }

    /// The different rows of `plan` that `known` does not have.
    fn not_among(&self, plan: Plan, known: Plan) -> Result<Plan> {
        self.set_pair(plan, known, true, true)
    }
}

fn renamed(plan: Plan, named: &Named<'_>) -> Result<Plan> {
    if named.columns.is_empty() {
        return Ok(plan);
    }
    if named.columns.len() != plan.schema.len() {
        let (given, has) = (named.columns.len(), plan.schema.len());
        let text = format!("CTE \"{}\" has {has} columns and {given} names for them", named.name);
        return Err(Error::bad_arguments(text));
    }
    let fields = plan.schema.fields.iter().zip(named.columns);
    let fields = fields.map(|(f, name)| Field::new(name.as_str(), f.ty.clone())).collect();
    Ok(Plan { schema: Arc::new(Schema::new(fields)), ..plan })
}

/// Whether a query reads the source `name`.
fn reads(query: &ast::Query, name: &str) -> bool {
    body_reads(&query.body, name)
}

fn body_reads(body: &QueryBody, name: &str) -> bool {
    match body {
        QueryBody::Nested(query) => reads(query, name),
        QueryBody::Set(set) => body_reads(&set.first, name) || set.rest.iter().any(|(_, b)| body_reads(b, name)),
        QueryBody::Select(select) => {
            let table = |table: &ast::TableExpr| match &table.kind {
                ast::TableExprKind::Name(n) => n.database.is_none() && n.name == name,
                ast::TableExprKind::Subquery(query) => reads(query, name),
                ast::TableExprKind::Function(_) => false,
            };
            let from = select.from.as_ref().is_some_and(|from| {
                from.first.as_ref().is_some_and(table)
                    || from.rest.iter().any(|item| match item {
                        ast::FromItem::Join(join) => table(&join.table),
                        ast::FromItem::ArrayJoin(_) => false,
                    })
            });
            let mut in_subquery = |e: &ast::Expr| match &e.kind {
                ast::ExprKind::Subquery(query) => reads(query, name),
                _ => false,
            };
            let mut exprs =
                select.projection.iter().chain(&select.filter).chain(&select.prewhere).chain(&select.having);
            from || exprs.any(|e| e.any(&mut in_subquery))
        }
    }
}
