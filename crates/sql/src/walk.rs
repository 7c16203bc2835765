//! Visits: every expression of a tree, in reading order, to read or to change.
//!
//! Recursion is as deep as the tree, which the parser bounds; flat lists and chains are loops.

use crate::ast::*;

impl Expr {
    /// Calls `visit` for this expression and all below it, parents first. Queries inside are not entered.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        visit(self);
        self.for_children(&mut |child| child.walk(visit));
    }

    /// As `walk`, but goes below an expression only if `visit` says so.
    pub fn walk_while<'a>(&'a self, visit: &mut impl FnMut(&'a Expr) -> bool) {
        if visit(self) {
            self.for_children(&mut |child| child.walk_while(visit));
        }
    }

    /// Whether any expression of the tree satisfies `test`. Queries inside are not entered.
    pub fn any(&self, test: &mut impl FnMut(&Expr) -> bool) -> bool {
        if test(self) {
            return true;
        }
        let mut found = false;
        self.for_children(&mut |child| found = found || child.any(test));
        found
    }

    /// Rebuilds the tree from the leaves up: each expression, its children already changed, becomes what `change` returns.
    /// Queries inside are not entered.
    pub fn map(mut self, change: &mut impl FnMut(Expr) -> Expr) -> Expr {
        self.for_children_mut(&mut |child| {
            let taken = std::mem::replace(child, Literal::Null.into());
            *child = taken.map(change);
        });
        change(self)
    }

    /// Calls `visit` for the direct children, in reading order.
    pub fn for_children<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match &self.kind {
            ExprKind::Function(f) => f.for_children(visit),
            ExprKind::Chain(chain) => {
                visit(&chain.first);
                chain.rest.iter().for_each(|(_, operand)| visit(operand));
            }
            ExprKind::Lambda(lambda) => visit(&lambda.body),
            ExprKind::SessionRange(range) => {
                visit(&range.start);
                visit(&range.end);
            }
            ExprKind::Asterisk(a) => a.transformers.iter().for_each(|t| t.for_children(visit)),
            ExprKind::Columns(c) => c.transformers.iter().for_each(|t| t.for_children(visit)),
            ExprKind::Literal(_)
            | ExprKind::Identifier(_)
            | ExprKind::Subquery(_)
            | ExprKind::Exists(_)
            | ExprKind::JsonPath(_)
            | ExprKind::Parameter(_) => {}
        }
    }

    /// As `for_children`, to change them.
    pub fn for_children_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        match &mut self.kind {
            ExprKind::Function(f) => f.for_children_mut(visit),
            ExprKind::Chain(chain) => {
                visit(&mut chain.first);
                chain.rest.iter_mut().for_each(|(_, operand)| visit(operand));
            }
            ExprKind::Lambda(lambda) => visit(&mut lambda.body),
            ExprKind::SessionRange(range) => {
                visit(&mut range.start);
                visit(&mut range.end);
            }
            ExprKind::Asterisk(a) => a.transformers.iter_mut().for_each(|t| t.for_children_mut(visit)),
            ExprKind::Columns(c) => c.transformers.iter_mut().for_each(|t| t.for_children_mut(visit)),
            ExprKind::Literal(_)
            | ExprKind::Identifier(_)
            | ExprKind::Subquery(_)
            | ExprKind::Exists(_)
            | ExprKind::JsonPath(_)
            | ExprKind::Parameter(_) => {}
        }
    }

    /// The queries directly inside this expression and those below it: scalar subqueries, IN, EXISTS.
    pub fn for_queries<'a>(&'a self, visit: &mut impl FnMut(&'a Query)) {
        self.walk(&mut |e| match &e.kind {
            ExprKind::Subquery(q) | ExprKind::Exists(q) => visit(q),
            _ => {}
        });
    }
}

impl Query {
    /// Whether a source of it, or of a query in its FROM, is the table function `input`: the rows that an INSERT brings.
    pub fn names_input(&self) -> bool {
        let mut found = false;
        let mut copy = self.clone();
        copy.for_sources(&mut |table| {
            found |= matches!(&table.kind, TableExprKind::Function(f) if f.name.eq_ignore_ascii_case("input"));
        });
        found
    }

    /// Calls `visit` for each source in FROM, in those of queries inside of FROM too.
    pub fn for_sources(&mut self, visit: &mut dyn FnMut(&mut TableExpr)) {
        self.body.for_sources(visit);
    }
}

impl QueryBody {
    fn for_sources(&mut self, visit: &mut dyn FnMut(&mut TableExpr)) {
        match self {
            QueryBody::Select(select) => {
                let Some(from) = &mut select.from else { return };
                let joined = from.rest.iter_mut().filter_map(|item| match item {
                    FromItem::Join(join) => Some(&mut join.table),
                    FromItem::ArrayJoin(_) => None,
                });
                for table in from.first.iter_mut().chain(joined) {
                    match &mut table.kind {
                        TableExprKind::Subquery(query) => query.for_sources(visit),
                        _ => visit(table),
                    }
                }
            }
            QueryBody::Nested(query) => query.for_sources(visit),
            QueryBody::Set(set) => {
                set.first.for_sources(visit);
                set.rest.iter_mut().for_each(|(_, body)| body.for_sources(visit));
            }
        }
    }
}

impl Function {
    fn for_children<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        self.args.iter().for_each(&mut *visit);
        self.filter.iter().for_each(&mut *visit);
        if let Some(Over::Spec(spec)) = &self.over {
            spec.partition_by.iter().for_each(&mut *visit);
            spec.order_by.iter().for_each(|item| visit(&item.expr));
            if let Some(frame) = &spec.frame {
                for bound in std::iter::once(&frame.start).chain(&frame.end) {
                    if let FrameBound::Preceding(e) | FrameBound::Following(e) = bound {
                        visit(e);
                    }
                }
            }
        }
    }

    fn for_children_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        self.args.iter_mut().for_each(&mut *visit);
        self.filter.iter_mut().for_each(&mut *visit);
        if let Some(Over::Spec(spec)) = &mut self.over {
            spec.partition_by.iter_mut().for_each(&mut *visit);
            spec.order_by.iter_mut().for_each(|item| visit(&mut item.expr));
            if let Some(frame) = &mut spec.frame {
                for bound in std::iter::once(&mut frame.start).chain(&mut frame.end) {
                    if let FrameBound::Preceding(e) | FrameBound::Following(e) = bound {
                        visit(e);
                    }
                }
            }
        }
    }
}

impl ColumnTransformer {
    fn for_children<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match self {
            ColumnTransformer::Replace { items, .. } => items.iter().for_each(visit),
            ColumnTransformer::Apply(Apply::Function { params, .. }) => params.iter().for_each(visit),
            ColumnTransformer::Apply(Apply::Lambda(lambda)) => visit(&lambda.body),
            ColumnTransformer::Except { .. } | ColumnTransformer::ExceptRegexp(_) => {}
        }
    }

    fn for_children_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        match self {
            ColumnTransformer::Replace { items, .. } => items.iter_mut().for_each(visit),
            ColumnTransformer::Apply(Apply::Function { params, .. }) => params.iter_mut().for_each(visit),
            ColumnTransformer::Apply(Apply::Lambda(lambda)) => visit(&mut lambda.body),
            ColumnTransformer::Except { .. } | ColumnTransformer::ExceptRegexp(_) => {}
        }
    }
}
