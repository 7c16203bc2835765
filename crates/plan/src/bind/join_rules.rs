//! What settings and missing names make of a join: what the named algorithm refuses, what a comma needs, whose column a name is.
//!
//! In: the kind of a join, a bound WHERE, a joined plan. Out: an error, or the plan with the columns that names mean.

use super::scope::{Scope, ScopeColumn, Show};
use crate::expr::{Expr, ExprKind};
use crate::node::{JoinKind, JoinStrictness, Plan};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast;

/// Errors: NOT_IMPLEMENTED (48) for a join that `join_algorithm = 'partial_merge'` does not have. Which algorithm runs is the
/// planner's choice; scripts rely on what the one they named refuses.
pub(super) fn check_algorithm(algorithm: &str, kind: JoinKind, strictness: JoinStrictness) -> Result<()> {
    let has = match strictness {
        _ if algorithm != "partial_merge" => true,
        JoinStrictness::All => kind != JoinKind::Cross,
        JoinStrictness::Any => matches!(kind, JoinKind::Left | JoinKind::Inner),
        JoinStrictness::Semi => kind == JoinKind::Left,
        JoinStrictness::Anti | JoinStrictness::Asof => false,
        JoinStrictness::Latest => true,
    };
    if has {
        return Ok(());
    }
    let text = format!("{strictness:?} {kind:?} JOIN").to_uppercase();
    Err(Error::not_implemented(format!("{text} with join_algorithm = '{algorithm}'")).hint("join_algorithm = 'hash'"))
}

/// A subquery without an alias on the right side has no name to tell its columns by: one that is called like a column of the
/// left side is that column. The columns of the right side begin at `right`.
pub(super) fn left_names_win(plan: Plan, scope: &mut Scope, right: usize) -> Plan {
    let mut columns = plan.columns();
    let mut changed = false;
    for i in right..scope.columns.len() {
        let named = |c: &ScopeColumn| c.name == scope.columns[i].name && c.show != Show::Hidden;
        if scope.columns[i].show == Show::Yes
            && let Some(left) = scope.columns[..right].iter().position(named)
        {
            columns[i].1 = columns[left].1.clone();
            scope.columns[i].ty = scope.columns[left].ty.clone();
            changed = true;
        }
    }
    if changed { plan.project(columns) } else { plan }
}

/// Errors: INCORRECT_QUERY (80) where `cross_to_inner_join_rewrite = 2` and a table after a comma has no equality with an
/// earlier one in WHERE.
pub(super) fn check_commas(
    rewrite: u64,
    from: Option<&ast::FromClause>,
    scope: &Scope,
    filter: Option<&Expr>,
) -> Result<()> {
    let Some(from) = from.filter(|_| rewrite > 1) else { return Ok(()) };
    let joins = from.rest.iter().filter_map(|item| match item {
        ast::FromItem::Join(join) => Some(join),
        ast::FromItem::ArrayJoin(_) => None,
    });
    for (i, join) in joins.enumerate() {
        let table = i + 1;
        let of = |c: usize| scope.columns.get(c).map_or(0, |c| c.table);
        if matches!(join.kind, ast::JoinKind::Comma) && !filter.is_some_and(|f| equates(f, &|c| of(c).cmp(&table))) {
            let text = "a comma between tables without an equality between them in WHERE";
            return Err(Error::new(Code::INCORRECT_QUERY, text).hint("CROSS JOIN, or cross_to_inner_join_rewrite = 1"));
        }
    }
    Ok(())
}

/// Whether `filter` has a conjunct `a = b` with one side of a table and the other of the tables before it; `place` tells for a
/// column whether it is of one before (less) or of this one (equal).
fn equates(filter: &Expr, place: &dyn Fn(usize) -> std::cmp::Ordering) -> bool {
    use std::cmp::Ordering::{Equal, Less};
    let ExprKind::Call { name, args, .. } = &filter.kind else { return false };
    match (&**name, args.as_slice()) {
        ("and", parts) => parts.iter().any(|p| equates(p, place)),
        ("equals", [a, b]) => {
            let all = |e: &Expr, wanted| {
                let (mut any, mut all) = (false, true);
                e.columns(&mut |c| {
                    any = true;
                    all &= place(c) == wanted;
                });
                any && all
            };
            (all(a, Less) && all(b, Equal)) || (all(a, Equal) && all(b, Less))
        }
        _ => false,
    }
}
