//! Asterisks and joins of a query written out, by what the sources of FROM are: the first half of EXPLAIN SYNTAX.
//!
//! In: a parsed query and the catalog. Out: the query with its columns named and its comma joins as joins. Promise: a SELECT whose
//! sources cannot be bound stays as it was written.

use super::Binder;
use super::alias::Aliases;
use super::env::Env;
use super::expr::Exprs;
use super::scope::Scope;
use crate::catalog::Catalog;
use crate::syntax::cnf::{self, Assumed};
use crate::syntax::is_on;
use hydron_base::Result;
use hydron_func::BindContext;
use hydron_sql::ast::{
    self, Expr, ExprKind, FromItem, GroupBy, GroupByKind, Identifier, JoinConstraint, JoinKind, JoinStrictness, Over,
    QueryBody, Select, TableExpr, TableExprKind,
};

/// The query as EXPLAIN SYNTAX prints it. Blocks while subqueries run through the catalog.
pub fn explained(query: &ast::Query, catalog: &dyn Catalog, cx: &BindContext) -> Result<ast::Query> {
    let settings = std::sync::Arc::new(super::query_settings(query, &cx.settings, None)?);
    let cx = BindContext { settings, ..cx.clone() };
    super::room::with_room(|roomy| {
        let binder = Binder { roomy, ..Binder::new(catalog, &cx) };
        let env = Env::root(std::sync::Arc::clone(&cx.settings));
        let mut query = query.clone();
        binder.write_out(&mut query, &env);
        crate::syntax::rewrite(&mut query, &cx.settings);
        (Ok(query), binder.needs_room.get())
    })
}

impl Binder<'_> {
    fn write_out(&self, query: &mut ast::Query, env: &Env<'_>) {
        self.write_out_body(&mut query.body, env);
    }

    fn write_out_body(&self, body: &mut QueryBody, env: &Env<'_>) {
        match body {
            QueryBody::Select(select) => self.write_out_select(select, env),
            QueryBody::Nested(query) => self.write_out(query, env),
            QueryBody::Set(set) => {
                self.write_out_body(&mut set.first, env);
                set.rest.iter_mut().for_each(|(_, operand)| self.write_out_body(operand, env));
            }
        }
    }

    fn write_out_select(&self, select: &mut Select, outer: &Env<'_>) {
        let before = select.clone();
        let Ok(env) = outer.enter(&before) else { return };
        crate::syntax::for_tables(select, &mut |table| {
            if let TableExprKind::Subquery(query) = &mut table.kind {
                self.write_out(query, &env.inner());
            }
        });
        let Ok(aliases) = Aliases::collect(&before, &env) else { return };
        // What has no history is bound as the stream that it is.
        let stream = Env { history: false, ..env.inner() };
        let from = self.from(before.from.as_ref(), &env, &aliases);
        let Ok(from) = from.or_else(|_| self.from(before.from.as_ref(), &stream, &aliases)) else { return };
        let streaming = from.plan.streaming;
        let x = Exprs::new(self, &env, from.scope, &aliases, streaming);
        let qualifiers = qualifiers(&before);
        let expand = |exprs: &mut Vec<Expr>| {
            let taken = std::mem::take(exprs);
            exprs.extend(taken.into_iter().flat_map(|e| expanded(&x, e, &qualifiers)));
        };
        expand(&mut select.projection);
        if let Some(limit_by) = &mut select.limit_by {
            expand(&mut limit_by.by);
        }
        joined(select, &x.scope, is_on(&env.settings, "cross_to_inner_join_rewrite", true));
        if let Some(filter) = &select.filter
            && is_on(&env.settings, "convert_query_to_cnf", false)
        {
            let assumed = match is_on(&env.settings, "optimize_using_constraints", false) {
                true => self.assumed(&before),
                false => Assumed::default(),
            };
            select.filter = cnf::rewrite(filter, &assumed);
        }
        if streaming && select.group_by.is_none() {
            let keys = partitions(select);
            if !keys.is_empty() {
                select.group_by = Some(GroupBy { kind: GroupByKind::Plain(keys), with_totals: false });
            }
        }
    }
}

impl Binder<'_> {
    /// What is known of the columns of the one stream that a SELECT reads.
    fn assumed(&self, select: &Select) -> Assumed {
        let only = select.from.as_ref().filter(|f| f.rest.is_empty()).and_then(|f| f.first.as_ref());
        let Some(TableExprKind::Name(name)) = only.map(|t| &t.kind) else { return Assumed::default() };
        let texts = self.catalog.assumptions(&self.database_of(name), &name.name);
        let exprs: Vec<Expr> = texts.iter().filter_map(|t| hydron_sql::parse_expression(t).ok()).collect();
        Assumed::of(&exprs)
    }
}

/// By source, the name that stands before its columns; columns of subqueries and functions without an alias stand alone.
fn qualifiers(select: &Select) -> Vec<Option<String>> {
    let name = |table: &TableExpr| match (&table.alias, &table.kind) {
        (Some(alias), _) => Some(alias.to_string()),
        (None, TableExprKind::Name(name)) => Some(name.name.clone()),
        (None, _) => None,
    };
    let Some(from) = &select.from else { return Vec::new() };
    let joins = from.rest.iter().filter_map(|item| match item {
        FromItem::Join(join) => Some(&join.table),
        FromItem::ArrayJoin(_) => None,
    });
    from.first.iter().chain(joins).map(name).collect()
}

/// What an asterisk means; anything else, and an asterisk with a function over its columns, as it is.
fn expanded(x: &Exprs<'_>, expr: Expr, qualifiers: &[Option<String>]) -> Vec<Expr> {
    let ExprKind::Asterisk(asterisk) = &expr.kind else { return vec![expr] };
    let Ok(columns) = x.shown(asterisk.qualifier.as_ref()) else { return vec![expr] };
    let mut names: Vec<(String, Vec<String>)> = Vec::new();
    for at in columns {
        let column = &x.scope.columns[at];
        let qualifier = qualifiers.get(column.table).cloned().flatten();
        let parts = qualifier.into_iter().chain([column.name.to_string()]).collect();
        names.push((column.name.to_string(), parts));
    }
    for transformer in &asterisk.transformers {
        match transformer {
            ast::ColumnTransformer::Except { columns, .. } => names.retain(|(name, _)| !columns.contains(name)),
            _ => return vec![expr],
        }
    }
    names.into_iter().map(|(_, parts)| ExprKind::Identifier(Identifier { parts }).into()).collect()
}

/// Comma joins and cross joins whose sources WHERE compares are inner joins; a strictness that was not written is ALL.
fn joined(select: &mut Select, scope: &Scope, rewrite: bool) {
    let equalities: Vec<Expr> = select.filter.iter().flat_map(|f| conjuncts(f)).cloned().collect();
    let Some(from) = &mut select.from else { return };
    let mut source = 0;
    for item in &mut from.rest {
        let FromItem::Join(join) = item else { continue };
        source += 1;
        if matches!(join.kind, JoinKind::Comma | JoinKind::Cross) {
            join.kind = JoinKind::Cross;
            let ons: Vec<Expr> = equalities.iter().filter(|e| compares(e, scope, source)).cloned().collect();
            if rewrite && !ons.is_empty() {
                join.kind = JoinKind::Inner;
                let on = match ons.len() {
                    1 => ons.into_iter().next().unwrap_or_else(|| ast::Literal::Bool(true).into()),
                    _ => ast::Function::styled("and", ons, ast::Style::Infix).into(),
                };
                join.constraint = Some(JoinConstraint::On(on));
            }
        }
        if join.kind != JoinKind::Cross && join.strictness.is_none() && join.constraint.is_some() {
            join.strictness = Some(JoinStrictness::All);
        }
    }
}

fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    match expr.as_function() {
        Some(f) if f.name == "and" => f.args.iter().flat_map(conjuncts).collect(),
        _ => vec![expr],
    }
}

/// Whether it is `a = b` of a column of that source and one of a source before it.
fn compares(expr: &Expr, scope: &Scope, source: usize) -> bool {
    let Some(f) = expr.as_function().filter(|f| f.name == "equals") else { return false };
    let [a, b] = f.args.as_slice() else { return false };
    let table = |e: &Expr| {
        let found = scope.find(&e.as_identifier()?.parts, false).ok()??;
        Some(scope.columns[found.index].table)
    };
    match (table(a), table(b)) {
        (Some(a), Some(b)) => a.max(b) == source && a.min(b) < source,
        _ => false,
    }
}

/// Keys of the windows of a stream: what is counted OVER (PARTITION BY key) is counted by key.
fn partitions(select: &Select) -> Vec<Expr> {
    let mut keys: Vec<Expr> = Vec::new();
    for expr in &select.projection {
        expr.walk(&mut |e| {
            if let Some(Over::Spec(spec)) = e.as_function().and_then(|f| f.over.as_ref()) {
                for key in &spec.partition_by {
                    if !keys.contains(key) {
                        keys.push(key.clone());
                    }
                }
            }
        });
    }
    keys
}
