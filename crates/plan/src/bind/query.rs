//! Queries: one SELECT, or several combined by UNION, INTERSECT, EXCEPT and pipes.

use super::Binder;
use super::cast::cast_to;
use super::env::Env;
use super::env::Named;
use super::scope::{Scope, TableName};
use super::source::From;
use crate::node::{Node, Plan};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast::{self, QueryBody, SetKind, SetOperator, SetQuantifier};
use hydron_types::{LogicalType, least_supertype};
use std::sync::Arc;

/// Queries inside queries: as deep as ClickHouse's `max_subquery_depth`.
const NESTED_MAX: usize = 100;

/// A bound query and what is known of its shape.
pub(super) struct Rel {
    pub plan: Plan,
    /// Nothing in it aggregates: its streams can be read as tables.
    pub flat: bool,
}

impl<'a> Binder<'a> {
    /// Errors: TOO_DEEP_SUBQUERIES (162).
    pub(super) fn query(&self, query: &ast::Query, env: &Env<'_>) -> Result<Rel> {
        let asked = env.settings.uint("max_subquery_depth");
        let most = if asked == 0 { NESTED_MAX } else { NESTED_MAX.min(asked as usize + 1) };
        self.nested(most, || {
            let mut rel = self.body(&query.body, env)?;
            if !query.pipe.is_empty() && !env.settings.bool("enable_query_pipe") {
                let error = Error::new(Code::SYNTAX_ERROR, "a query after '|' needs the setting enable_query_pipe");
                return Err(error);
            }
            for stage in &query.pipe {
                rel = self.stage(rel, stage, env)?;
            }
            Ok(rel)
        })
    }

    /// One stage of a pipe: a SELECT that reads the result so far.
    fn stage(&self, input: Rel, stage: &ast::Query, env: &Env<'_>) -> Result<Rel> {
        let QueryBody::Select(select) = &stage.body else {
            return Err(Error::not_implemented("a stage of a query pipe that is not a SELECT"));
        };
        if select.from.is_some() {
            return Err(Error::new(Code::SYNTAX_ERROR, "a SELECT after '|' has no FROM"));
        }
        let scope = Scope::of_schema(TableName::default(), &input.plan.schema);
        let from = From { plan: input.plan, scope, flat: input.flat, window: None, unnamed: false };
        self.select(select, env, Some(from))
    }

    fn body(&self, body: &QueryBody, env: &Env<'_>) -> Result<Rel> {
        match body {
            QueryBody::Select(select) => self.select(select, env, None),
            QueryBody::Nested(query) => self.query(query, env),
            QueryBody::Set(set) => self.set_operation(set, env),
        }
    }

    /// From the left; a run of UNION ALL is one node.
    fn set_operation(&self, set: &ast::SetOperation, env: &Env<'_>) -> Result<Rel> {
        let first = self.body(&set.first, env)?;
        let mut flat = first.flat;
        // WITH of the first SELECT holds for the others too.
        let mut shared = env.inner();
        if let Some(select) = first_select(&set.first) {
            for item in &select.with {
                match item {
                    ast::WithItem::Query { .. } => shared.ctes.extend(Named::of(item)),
                    ast::WithItem::Expr(expr) => shared.exprs.push(expr),
                }
            }
        }
        let mut arms = vec![first.plan];
        for (operator, body) in &set.rest {
            let next = self.body(body, &shared)?;
            flat &= next.flat;
            let distinct = self.is_distinct(operator, env);
            match operator.kind {
                SetKind::Union if !distinct => arms.push(next.plan),
                SetKind::Union => {
                    arms.push(next.plan);
                    arms = vec![self.union(arms)?.distinct(Vec::new())];
                }
                SetKind::Intersect | SetKind::Except => {
                    let left = self.union(arms)?;
                    let except = operator.kind == SetKind::Except;
                    arms = vec![self.set_pair(left, next.plan, except, distinct)?];
                }
            }
        }
        Ok(Rel { plan: self.union(arms)?, flat })
    }

    fn is_distinct(&self, operator: &SetOperator, env: &Env<'_>) -> bool {
        match operator.quantifier {
            Some(quantifier) => quantifier == SetQuantifier::Distinct,
            None => {
                operator.kind == SetKind::Union
                    && env.settings.text("union_default_mode").eq_ignore_ascii_case("distinct")
            }
        }
    }

    /// Errors: UNION_ALL_RESULT_STRUCTURES_MISMATCH (258), NO_COMMON_TYPE (386), NOT_IMPLEMENTED (48) for branches that do
    /// not mean the same by a row.
    fn union(&self, arms: Vec<Plan>) -> Result<Plan> {
        let mut inputs = self.alike(arms, "UNION")?;
        if inputs.len() == 1
            && let Some(only) = inputs.pop()
        {
            return Ok(only);
        }
        let streaming = inputs.iter().any(|p| p.streaming);
        let change = inputs.iter().find(|p| p.streaming).map_or(inputs[0].change, |p| p.change);
        if streaming && inputs.iter().any(|p| p.streaming && p.change != change) {
            return Err(Error::not_implemented(
                "UNION of streams whose rows mean different things (append, changelog)",
            ));
        }
        let schema = Arc::clone(&inputs[0].schema);
        Ok(Plan { node: Node::Union { inputs }, schema, streaming, change })
    }

    pub(super) fn set_pair(&self, left: Plan, right: Plan, except: bool, distinct: bool) -> Result<Plan> {
        let what = if except { "EXCEPT" } else { "INTERSECT" };
        if left.streaming || right.streaming {
            return Err(Error::not_implemented(format!("{what} in a streaming query")));
        }
        let mut both = self.alike(vec![left, right], what)?;
        let (Some(right), Some(left)) = (both.pop(), both.pop()) else {
            return Err(Error::bug("two queries became less"));
        };
        let schema = Arc::clone(&left.schema);
        let change = left.change;
        let node = Node::SetOperation { left: Box::new(left), right: Box::new(right), except, distinct };
        Ok(Plan { node, schema, streaming: false, change })
    }

    /// Every arm with the types that hold all of them, and the names of the first.
    pub(super) fn alike(&self, arms: Vec<Plan>, what: &str) -> Result<Vec<Plan>> {
        let width = arms[0].schema.len();
        if let Some(other) = arms.iter().find(|a| a.schema.len() != width) {
            let text = format!("queries of {what} have {width} and {} columns", other.schema.len());
            return Err(Error::new(Code::UNION_ALL_RESULT_STRUCTURES_MISMATCH, text));
        }
        let types = (0..width)
            .map(|c| {
                let all: Vec<LogicalType> = arms.iter().map(|a| a.ty(c).clone()).collect();
                if all.windows(2).all(|w| w[0] == w[1]) { Ok(all[0].clone()) } else { least_supertype(&all) }
            })
            .collect::<Result<Vec<_>>>()?;
        let names: Vec<Arc<str>> = arms[0].schema.fields.iter().map(|f| Arc::clone(&f.name)).collect();
        arms.into_iter()
            .map(|arm| {
                let fields = &arm.schema.fields;
                if fields.iter().zip(&types).all(|(f, t)| f.ty == *t)
                    && fields.iter().zip(&names).all(|(f, n)| f.name == *n)
                {
                    return Ok(arm);
                }
                let columns = arm.columns().into_iter().zip(&types).zip(&names);
                let columns = columns
                    .map(|(((_, e), t), n)| Ok((Arc::clone(n), cast_to(e, t, self.cx.zone)?)))
                    .collect::<Result<Vec<_>>>()?;
                Ok(arm.project(columns))
            })
            .collect()
    }
}

fn first_select(body: &QueryBody) -> Option<&ast::Select> {
    match body {
        QueryBody::Select(select) => Some(select),
        _ => None,
    }
}
