//! A query as ClickHouse's analysis rewrites its syntax: what EXPLAIN SYNTAX prints.
//!
//! In: a parsed query, settings. Out: a query that gives the same rows. Promise: these trees are for people to read; what runs is
//! the plan, which is made from the query as it was written.
//!
//! In reading order: [`aggregates`] (functions that move out of aggregates), [`nested`] (DISTINCT and ORDER BY of subqueries),
//! [`sets`] (parentheses of set operations), [`cnf`] (WHERE as a conjunction) with [`tree_hash`] (its order). Asterisks and joins need the catalog: `bind::syntax`.

mod aggregates;
pub(crate) mod cnf;
mod nested;
mod sets;
mod tree_hash;

use hydron_base::Settings;
use hydron_sql::ast::{FromItem, Query, QueryBody, Select, TableExpr, TableExprKind};

/// Rewrites that need no catalog.
pub fn rewrite(query: &mut Query, settings: &Settings) {
    sets::flatten(query);
    for_selects(query, &mut |select| aggregates::rewrite(select, settings));
    if is_on(settings, "optimize_duplicate_order_by_and_distinct", true) {
        nested::rewrite(query);
    }
}

/// A setting by its name, whether the server gives it a meaning of its own or not.
pub(crate) fn is_on(settings: &Settings, name: &str, default: bool) -> bool {
    if settings.is_changed(name) { matches!(settings.text(name), "1" | "true") } else { default }
}

/// Each SELECT of a query, inner ones first: subqueries of FROM and the operands of set operations. A CTE is printed as written.
pub(crate) fn for_selects(query: &mut Query, visit: &mut dyn FnMut(&mut Select)) {
    in_body(&mut query.body, visit);
    query.pipe.iter_mut().for_each(|stage| for_selects(stage, visit));
}

fn in_body(body: &mut QueryBody, visit: &mut dyn FnMut(&mut Select)) {
    match body {
        QueryBody::Select(select) => {
            for_tables(select, &mut |table| {
                if let TableExprKind::Subquery(query) = &mut table.kind {
                    for_selects(query, visit);
                }
            });
            visit(select);
        }
        QueryBody::Nested(query) => for_selects(query, visit),
        QueryBody::Set(set) => {
            in_body(&mut set.first, visit);
            set.rest.iter_mut().for_each(|(_, operand)| in_body(operand, visit));
        }
    }
}

/// Each source of FROM.
pub(crate) fn for_tables(select: &mut Select, visit: &mut dyn FnMut(&mut TableExpr)) {
    let Some(from) = &mut select.from else { return };
    from.first.iter_mut().for_each(&mut *visit);
    for item in &mut from.rest {
        if let FromItem::Join(join) = item {
            visit(&mut join.table);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_sql::ast::StatementKind;

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        check_with(sql, &[], expected);
    }

    #[track_caller]
    fn check_with(sql: &str, changed: &[&str], expected: &str) {
        let StatementKind::Query(mut query) = hydron_sql::parse_statement(sql).unwrap().statement.kind else {
            panic!("{sql}")
        };
        let mut settings = Settings::default();
        changed.iter().for_each(|name| settings.set(name, "1").unwrap());
        rewrite(&mut query, &settings);
        assert_eq!(query.to_string(), expected);
    }

    #[test]
    fn arithmetic_moves_out_of_aggregates() {
        check(
            "select sum(n * 2), sum(2 * n), sum(n / 2), sum(1 / n), sum(n + 1)",
            "SELECT sum(n) * 2, 2 * sum(n), sum(n) / 2, sum(1 / n), sum(n + 1)",
        );
        check("select min(1 - n), max(n * -2), max(n / -2) as x", "SELECT 1 - max(n), min(n) * -2, min(n) / -2 AS x");
        check("select min(1 + n + 1), min(1 + 1 + n)", "SELECT (1 + min(n)) + 1, min((1 + 1) + n)");
        check("select Sum(n / 2), AVG(n + 1), count(*), count(1)", "SELECT sum(n) / 2, avg(n) + 1, count(), count()");
        check("select sum(n * 2) over (order by n)", "SELECT sum(n * 2) OVER (ORDER BY n ASC)");
    }

    #[test]
    fn functions_move_out_of_any_where_that_is_asked_for() {
        let asked = &["optimize_move_functions_out_of_any"];
        check_with(
            "select any(n * n) as x, any((n, n * 2))",
            asked,
            "SELECT any(n) * any(n) AS x, (any(n), any(n) * 2)",
        );
        check("select any(n * n)", "SELECT any(n * n)");
    }

    #[test]
    fn a_subquery_need_not_sort_for_a_query_that_does() {
        check(
            "select distinct a from (select distinct a from (select distinct a from t order by a) order by a) order by a",
            "SELECT a FROM (SELECT a FROM (SELECT DISTINCT a FROM t)) ORDER BY a ASC",
        );
        check(
            "select a from (select a from t order by a limit 1) order by a",
            "SELECT a FROM (SELECT a FROM t ORDER BY a ASC LIMIT 1) ORDER BY a ASC",
        );
        check(
            "select distinct a from (select distinct a, b from t)",
            "SELECT DISTINCT a FROM (SELECT DISTINCT a, b FROM t)",
        );
    }
}
