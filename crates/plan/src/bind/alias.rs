//! Aliases: `x AS a` anywhere in a SELECT names `x` everywhere in it.

use super::env::Env;
use hashbrown::HashMap;
use hydron_base::{Code, Error, Result};
use hydron_sql::ast;

/// Alias to expression, for one SELECT.
#[derive(Default)]
pub(super) struct Aliases<'a> {
    own: HashMap<&'a str, &'a ast::Expr>,
    /// From WITH of this and the outer queries; the query's own come first.
    with: HashMap<&'a str, &'a ast::Expr>,
}

impl<'a> Aliases<'a> {
    /// Errors: MULTIPLE_EXPRESSIONS_FOR_ALIAS (179).
    pub fn collect(select: &'a ast::Select, env: &'a Env<'a>) -> Result<Aliases<'a>> {
        let mut aliases = Aliases::default();
        for expr in env.with_exprs() {
            // Inner names come first, so an outer one does not replace them.
            expr.walk(&mut |e| {
                if let Some(alias) = &e.alias {
                    aliases.with.entry(alias).or_insert(e);
                }
            });
        }
        let mut error = None;
        let mut add = |e: &'a ast::Expr| {
            // The aliases of REPLACE inside an asterisk only say which column is replaced.
            if matches!(e.kind, ast::ExprKind::Asterisk(_) | ast::ExprKind::Columns(_)) {
                return false;
            }
            if let Some(alias) = &e.alias
                && let Some(other) = aliases.own.insert(alias, e)
                && other.kind != e.kind
            {
                let text = format!(
                    "alias \"{alias}\" stands for \"{}\" and \"{}\"",
                    other.canonical_name(),
                    e.canonical_name()
                );
                error.get_or_insert(Error::new(Code::MULTIPLE_EXPRESSIONS_FOR_ALIAS, text));
            }
            true
        };
        for clause in clauses(select) {
            clause.walk_while(&mut add);
        }
        error.map_or(Ok(aliases), Err)
    }

    pub fn get(&self, name: &str) -> Option<&'a ast::Expr> {
        self.own.get(name).or_else(|| self.with.get(name)).copied()
    }
}

/// The expressions of a SELECT in which aliases are made.
fn clauses(select: &ast::Select) -> Vec<&ast::Expr> {
    let mut all: Vec<&ast::Expr> = select.projection.iter().collect();
    all.extend(&select.prewhere);
    all.extend(&select.filter);
    all.extend(&select.partition_by);
    if let Some(group_by) = &select.group_by {
        match &group_by.kind {
            ast::GroupByKind::Plain(keys) | ast::GroupByKind::Rollup(keys) | ast::GroupByKind::Cube(keys) => {
                all.extend(keys)
            }
            ast::GroupByKind::GroupingSets(sets) => all.extend(sets.iter().flatten()),
        }
    }
    all.extend(&select.having);
    all.extend(&select.qualify);
    all.extend(select.order_by.iter().map(|o| &o.expr));
    if let Some(limit_by) = &select.limit_by {
        all.extend(&limit_by.by);
    }
    all
}
