//! Which streams and views a query names: what a DROP must look at.

use crate::catalog::Catalog;
use hydron_sql::ast::{self, ExprKind, FromItem, QueryBody, TableExprKind};

/// The streams, tables and views that `query` reads, as `(database, name)`, each once, views not opened. Only names that the
/// catalog has; CTEs are not among them.
pub fn source_names(query: &ast::Query, catalog: &dyn Catalog) -> Vec<(String, String)> {
    let mut walk = Walk { catalog, ctes: Vec::new(), found: Vec::new() };
    walk.query(query);
    walk.found
}

struct Walk<'a> {
    catalog: &'a dyn Catalog,
    /// Names of the CTEs in sight.
    ctes: Vec<String>,
    found: Vec<(String, String)>,
}

impl Walk<'_> {
    fn query(&mut self, query: &ast::Query) {
        self.body(&query.body);
        query.pipe.iter().for_each(|stage| self.query(stage));
    }

    fn body(&mut self, body: &QueryBody) {
        match body {
            QueryBody::Select(select) => self.select(select),
            QueryBody::Nested(query) => self.query(query),
            QueryBody::Set(set) => {
                let before = self.ctes.len();
                self.body(&set.first);
                if let QueryBody::Select(first) = &set.first {
                    self.enter(first);
                }
                set.rest.iter().for_each(|(_, body)| self.body(body));
                self.ctes.truncate(before);
            }
        }
    }

    fn enter(&mut self, select: &ast::Select) {
        for item in &select.with {
            if let ast::WithItem::Query { name, .. } = item {
                self.ctes.push(name.clone());
            }
        }
    }

    fn select(&mut self, select: &ast::Select) {
        let before = self.ctes.len();
        for item in &select.with {
            match item {
                ast::WithItem::Query { name, query, recursive, .. } => {
                    // A CTE sees the ones before it, and a recursive one itself.
                    if *recursive {
                        self.ctes.push(name.clone());
                    }
                    self.query(query);
                    self.ctes.push(name.clone());
                }
                ast::WithItem::Expr(expr) => self.expr(expr),
            }
        }
        if let Some(from) = &select.from {
            from.first.iter().for_each(|t| self.table(t));
            for item in &from.rest {
                match item {
                    FromItem::Join(join) => {
                        self.table(&join.table);
                        match &join.constraint {
                            Some(ast::JoinConstraint::On(on)) => self.expr(on),
                            Some(ast::JoinConstraint::Using(columns)) => columns.iter().for_each(|c| self.expr(c)),
                            None => {}
                        }
                    }
                    FromItem::ArrayJoin(join) => join.items.iter().for_each(|e| self.expr(e)),
                }
            }
        }
        let clauses = select
            .projection
            .iter()
            .chain(&select.prewhere)
            .chain(&select.filter)
            .chain(&select.having)
            .chain(&select.qualify);
        clauses.chain(&select.partition_by).for_each(|e| self.expr(e));
        select.order_by.iter().for_each(|o| self.expr(&o.expr));
        if let Some(group_by) = &select.group_by {
            match &group_by.kind {
                ast::GroupByKind::Plain(keys) | ast::GroupByKind::Rollup(keys) | ast::GroupByKind::Cube(keys) => {
                    keys.iter().for_each(|e| self.expr(e));
                }
                ast::GroupByKind::GroupingSets(sets) => sets.iter().flatten().for_each(|e| self.expr(e)),
            }
        }
        self.ctes.truncate(before);
    }

    fn table(&mut self, table: &ast::TableExpr) {
        match &table.kind {
            TableExprKind::Name(name) => self.name(name.database.as_deref(), &name.name),
            TableExprKind::Function(f) => self.function(f),
            TableExprKind::Subquery(query) => self.query(query),
        }
    }

    /// The first argument of a function around a source is a source too.
    fn function(&mut self, f: &ast::Function) {
        let around = matches!(f.name.as_str(), "table" | "tumble" | "hop" | "session" | "dedup" | "changelog");
        for (i, arg) in f.args.iter().enumerate() {
            match &arg.kind {
                ExprKind::Identifier(name) if around && i == 0 => self.identifier(name),
                ExprKind::Function(inner) if around && i == 0 => self.function(inner),
                _ => self.expr(arg),
            }
        }
    }

    fn identifier(&mut self, name: &ast::Identifier) {
        match name.parts.as_slice() {
            [name] => self.name(None, name),
            [database, name] => self.name(Some(database), name),
            _ => {}
        }
    }

    fn name(&mut self, database: Option<&str>, name: &str) {
        if database.is_none() && self.ctes.iter().any(|c| c == name) {
            return;
        }
        let database = database.unwrap_or(self.catalog.current_database());
        let entry = (database.to_string(), name.to_string());
        if !self.found.contains(&entry) && self.catalog.source(database, name).is_some() {
            self.found.push(entry);
        }
    }

    /// Subqueries in an expression, and names on the right side of IN.
    fn expr(&mut self, expr: &ast::Expr) {
        let mut queries = Vec::new();
        let mut names = Vec::new();
        expr.walk(&mut |e| match &e.kind {
            ExprKind::Subquery(q) | ExprKind::Exists(q) => queries.push(q),
            ExprKind::Function(f) if matches!(f.name.as_str(), "in" | "not_in" | "global_in" | "global_not_in") => {
                names.extend(f.args.get(1).and_then(ast::Expr::as_identifier));
            }
            _ => {}
        });
        queries.into_iter().for_each(|q| self.query(q));
        names.into_iter().for_each(|n| self.identifier(n));
    }
}
