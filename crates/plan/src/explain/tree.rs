//! The syntax tree of a query, one node a line, children one space deeper.

use hydron_sql::ast::{self, ExprKind, FromItem, QueryBody, TableExprKind};

/// `EXPLAIN AST` of a query.
pub fn tree_text(query: &ast::Query) -> String {
    let mut tree = Tree::default();
    tree.query(query);
    tree.out
}

#[derive(Default)]
struct Tree {
    out: String,
    depth: usize,
}

impl Tree {
    fn line(&mut self, text: &str) {
        self.out.extend(std::iter::repeat_n(' ', self.depth));
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn under(&mut self, text: &str, children: impl FnOnce(&mut Self)) {
        self.line(text);
        self.depth += 1;
        children(self);
        self.depth -= 1;
    }

    fn query(&mut self, query: &ast::Query) {
        self.under("SelectWithUnionQuery", |t| {
            t.body(&query.body);
            query.pipe.iter().for_each(|stage| t.query(stage));
        });
    }

    fn body(&mut self, body: &QueryBody) {
        match body {
            QueryBody::Select(select) => self.select(select),
            QueryBody::Nested(query) => self.query(query),
            QueryBody::Set(set) => {
                self.body(&set.first);
                for (operator, body) in &set.rest {
                    self.under(&format!("{:?}", operator.kind), |t| t.body(body));
                }
            }
        }
    }

    fn list(&mut self, name: &str, exprs: &[ast::Expr]) {
        if !exprs.is_empty() {
            self.under(&format!("{name} (children {})", exprs.len()), |t| exprs.iter().for_each(|e| t.expr(e)));
        }
    }

    fn clause(&mut self, name: &str, expr: &Option<ast::Expr>) {
        if let Some(expr) = expr {
            self.under(name, |t| t.expr(expr));
        }
    }

    fn select(&mut self, select: &ast::Select) {
        self.under("SelectQuery", |t| {
            for item in &select.with {
                match item {
                    ast::WithItem::Query { name, query } => t.under(&format!("WithElement {name}"), |t| t.query(query)),
                    ast::WithItem::Expr(expr) => t.expr(expr),
                }
            }
            t.list("ExpressionList", &select.projection);
            if let Some(from) = &select.from {
                t.under("TablesInSelectQuery", |t| t.from(from));
            }
            t.clause("Prewhere", &select.prewhere);
            t.clause("Where", &select.filter);
            if let Some(group_by) = &select.group_by {
                match &group_by.kind {
                    ast::GroupByKind::Plain(keys) => t.list("GroupBy", keys),
                    ast::GroupByKind::Rollup(keys) => t.list("GroupBy rollup", keys),
                    ast::GroupByKind::Cube(keys) => t.list("GroupBy cube", keys),
                    ast::GroupByKind::GroupingSets(sets) => sets.iter().for_each(|s| t.list("GroupingSet", s)),
                }
            }
            t.clause("Having", &select.having);
            for item in &select.order_by {
                let direction = if item.descending { "OrderByElement descending" } else { "OrderByElement" };
                t.under(direction, |t| t.expr(&item.expr));
            }
            if let Some(limit) = &select.limit {
                t.clause("LimitOffset", &limit.offset);
                t.clause("LimitLength", &limit.count);
            }
            if let Some(emit) = &select.emit {
                t.line(&format!("Emit {emit}"));
            }
            if !select.settings.is_empty() {
                t.line("Set");
            }
        });
    }

    fn from(&mut self, from: &ast::FromClause) {
        from.first.iter().for_each(|table| self.table(table));
        for item in &from.rest {
            match item {
                FromItem::Join(join) => self.under(&format!("TableJoin {:?}", join.kind), |t| {
                    t.table(&join.table);
                    match &join.constraint {
                        Some(ast::JoinConstraint::On(on)) => t.expr(on),
                        Some(ast::JoinConstraint::Using(columns)) => t.list("Using", columns),
                        None => {}
                    }
                }),
                FromItem::ArrayJoin(join) => self.list("ArrayJoin", &join.items),
            }
        }
    }

    fn table(&mut self, table: &ast::TableExpr) {
        let alias = table.alias.as_ref().map_or(String::new(), |a| format!(" (alias {a})"));
        match &table.kind {
            TableExprKind::Name(name) => self.line(&format!("TableIdentifier {name}{alias}")),
            TableExprKind::Function(f) => self.under(&format!("TableFunction {}{alias}", f.name), |t| {
                f.args.iter().for_each(|a| t.expr(a));
            }),
            TableExprKind::Subquery(query) => self.under(&format!("Subquery{alias}"), |t| t.query(query)),
        }
    }

    fn expr(&mut self, expr: &ast::Expr) {
        let alias = expr.alias.as_ref().map_or(String::new(), |a| format!(" (alias {a})"));
        match &expr.kind {
            ExprKind::Literal(literal) => self.line(&format!("Literal {literal}{alias}")),
            ExprKind::Identifier(name) => self.line(&format!("Identifier {name}{alias}")),
            ExprKind::Function(f) => {
                self.under(&format!("Function {}{alias}", f.name), |t| t.list("ExpressionList", &f.args));
            }
            ExprKind::Chain(chain) => self.under(&format!("Chain{alias}"), |t| {
                t.expr(&chain.first);
                for (op, operand) in &chain.rest {
                    t.under(op.function(), |t| t.expr(operand));
                }
            }),
            ExprKind::Lambda(lambda) => {
                self.under(&format!("Lambda ({})", lambda.params.join(", ")), |t| t.expr(&lambda.body))
            }
            ExprKind::Subquery(query) => self.under(&format!("Subquery{alias}"), |t| t.query(query)),
            ExprKind::Exists(query) => self.under(&format!("Exists{alias}"), |t| t.query(query)),
            _ => self.line(&format!("{}{alias}", expr.canonical_name())),
        }
    }
}
