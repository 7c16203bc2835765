//! A subquery need not sort for a query that sorts, and a query need not make rows distinct that are.

use hydron_sql::ast::{Expr, FromItem, Query, QueryBody, Select, TableExprKind};

pub(super) fn rewrite(query: &mut Query) {
    super::for_selects(query, &mut |select| {
        if !select.order_by.is_empty() && sorts_rows_alone(select) {
            without_order(select);
        }
    });
    super::for_selects(query, &mut |select| {
        let Some(distinct) = &select.distinct else { return };
        if distinct.on.is_empty() && only_source(select).is_some_and(|below| gives_distinct(below, select)) {
            select.distinct = None;
        }
    });
}

/// No row of it depends on the order of the rows that it reads.
fn sorts_rows_alone(select: &Select) -> bool {
    let stateful = |e: &Expr| e.as_function().is_some_and(|f| f.over.is_some() || is_of_order(&f.name));
    select.limit_by.is_none()
        && !select.projection.iter().any(|e| e.any(&mut |e| stateful(e)))
        && select.order_by.iter().all(|item| item.fill.is_none())
}

fn is_of_order(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("running_")
        || name.starts_with("row_number")
        || matches!(name.as_str(), "neighbor" | "lag" | "lags")
}

/// Takes ORDER BY out of the subqueries of FROM that give all of their rows.
fn without_order(select: &mut Select) {
    let Some(from) = &mut select.from else { return };
    let joins = from.rest.iter_mut().filter_map(|item| match item {
        FromItem::Join(join) => Some(&mut join.table),
        FromItem::ArrayJoin(_) => None,
    });
    for table in from.first.iter_mut().chain(joins) {
        let TableExprKind::Subquery(query) = &mut table.kind else { continue };
        let QueryBody::Select(inner) = &mut query.body else { continue };
        let all_rows = inner.limit.is_none() && inner.limit_by.is_none() && inner.top.is_none();
        if all_rows && query.pipe.is_empty() && sorts_rows_alone(inner) {
            inner.order_by.clear();
            without_order(inner);
        }
    }
}

/// The one subquery that a SELECT reads.
fn only_source(select: &Select) -> Option<&Select> {
    let from = select.from.as_ref().filter(|f| f.rest.is_empty())?;
    let TableExprKind::Subquery(query) = &from.first.as_ref()?.kind else { return None };
    match &query.body {
        QueryBody::Select(below) if query.pipe.is_empty() => Some(below),
        _ => None,
    }
}

/// Whether the rows of `below`, under the names that `select` gives on unchanged, are distinct.
fn gives_distinct(below: &Select, select: &Select) -> bool {
    let plain = |e: &Expr| e.as_identifier().map(|i| i.parts.last().cloned().unwrap_or_default());
    let wanted: Option<Vec<String>> = select.projection.iter().map(plain).collect();
    let given: Vec<String> = below.projection.iter().map(Expr::column_name).collect();
    let given: Vec<String> = given.iter().map(|n| n.rsplit('.').next().unwrap_or(n).to_owned()).collect();
    let is_distinct = |s: &Select| s.distinct.as_ref().is_some_and(|d| d.on.is_empty());
    let kept = is_distinct(below) || only_source(below).is_some_and(|deeper| gives_distinct(deeper, below));
    kept && wanted.is_some_and(|w| w == given)
}
