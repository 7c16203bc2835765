//! One SELECT: its clauses in the order in which they act.
//!
//! FROM, array joins and WHERE, GROUP BY, HAVING, window functions, the select list, DISTINCT, ORDER BY, LIMIT BY, LIMIT.
//! All expressions are bound over the columns of FROM first; then each clause is moved onto the plan as it is at that point.

use super::Binder;
use super::aggregate::row_count;
use super::alias::Aliases;
use super::array_join::unfold_calls;
use super::asterisk::Member;
use super::cast::cast_to;
use super::changes::{is_changing, tracked, with_signs};
use super::emit::EmitPlan;
use super::env::Env;
use super::expr::{AGGREGATES, ARRAY_JOINS, Exprs, LAGS, Place, WINDOWS};
use super::group::{AggregateStep, Regroup, map_agg, map_window, plan_keys, try_map_window};
use super::lag::with_lags;
use super::query::Rel;
use super::scope::{Scope, Show, TableName};
use super::source::{From, WindowColumns};
use crate::expr::{AggCall, Expr};
use crate::node::{Change, FillColumn, Grouping, Join, LagCall, Node, Plan, SortKey, Trigger, WindowCall};
use crate::rewrite::{conjunction, conjuncts};
use hashbrown::HashMap;
use hydron_base::{Code, Error, Result};
use hydron_func::Volatility;
use hydron_sql::ast;
use hydron_types::{Field, LogicalType, Schema, Value};
use std::sync::Arc;

/// The clauses, bound over the columns of FROM and placeholders.
struct Clauses {
    filter: Option<Expr>,
    /// Array joins that WHERE needs come first.
    filter_joins: usize,
    partition_by: Vec<Expr>,
    keys: Vec<Expr>,
    grouping: Grouping,
    having: Option<Expr>,
    having_unfolds: bool,
    qualify: Option<Expr>,
    items: Vec<(Arc<str>, Expr)>,
    order_by: Vec<SortKey>,
    /// WITH FILL, for each of `order_by`.
    fills: Vec<Option<FillColumn>>,
    /// INTERPOLATE: columns of the select list, by expressions over it.
    interpolated: Vec<(usize, Expr)>,
    limit_by: Option<LimitBy>,
    limit: LimitOf,
    distinct: bool,
}

/// What EMIT LAST may add.
pub(super) struct ClausesMut<'c>(&'c mut Clauses);

impl ClausesMut<'_> {
    pub fn add_filter(&mut self, x: &mut Exprs<'_>, condition: Expr) -> Result<()> {
        self.0.filter = Some(match self.0.filter.take() {
            Some(filter) => x.call("and", vec![filter, condition])?,
            None => condition,
        });
        Ok(())
    }

    pub fn add_key(&mut self, key: Expr) {
        self.0.keys.push(key);
    }
}

struct LimitBy {
    keys: Vec<Expr>,
    offset: u64,
    limit: u64,
}

#[derive(Default)]
struct LimitOf {
    offset: u64,
    limit: Option<u64>,
    ties: bool,
}

/// Where placeholders are in the plan so far.
#[derive(Default)]
struct Places(HashMap<usize, usize>);

impl Places {
    fn put(&self, expr: &Expr) -> Expr {
        if self.0.is_empty() {
            return expr.clone();
        }
        expr.map_columns(&|c| self.0.get(&c).copied().unwrap_or(c))
    }
}

impl<'a> Binder<'a> {
    pub(super) fn select(&self, select: &ast::Select, outer: &Env<'_>, input: Option<From>) -> Result<Rel> {
        let mut env = outer.enter(select)?;
        let unread = env.sign_unread;
        env.sign_unread = leaves_sign_unread(select, unread, self);
        let aliases = Aliases::collect(select, &env)?;
        let from = match input {
            Some(from) => from,
            None => self.from(select.from.as_ref(), &env, &aliases)?,
        };
        let from = self.with_changes(from, select, unread)?;
        let (plan, flat, mut window) = (from.plan, from.flat, from.window);
        let mut x = Exprs::new(self, &env, from.scope, &aliases, plan.streaming);
        x.named_windows = &select.windows;
        let emit = select.emit.as_deref();
        let changelog = emit.is_some_and(|e| e.mode == Some(ast::EmitMode::Changelog));
        x.delta = plan.streaming && changelog && (select.group_by.is_some() || names_aggregates(select, self));
        let mut clauses = self.clauses(&mut x, select)?;
        let aggregated = is_aggregated(select, &x, &clauses);
        if aggregated && !plan.streaming && clauses.grouping == Grouping::Plain {
            clauses.lower_having();
        }
        let after_having = env.settings.text("totals_mode") != "before_having";
        if clauses.grouping == Grouping::Totals && clauses.having.is_some() && after_having {
            clauses.grouping = Grouping::TotalsOfHaving;
        }
        if aggregated && x.plain_lags {
            return Err(Error::not_implemented("lag() and its like beside aggregates; over a subquery of them"));
        }
        let own_emit = check_own_emit(&x, emit, window.is_some())?;
        let mut emit = self.emit_plan(&mut x, emit, aggregated, window.is_some(), &plan)?;
        if let Some(emit) = emit.emit.as_mut().filter(|_| own_emit) {
            emit.trigger = Trigger::OnUpdate;
        }
        let plan = self.emit_last(&mut x, plan, &emit, aggregated, &mut window, &mut ClausesMut(&mut clauses))?;
        self.check_delta(&x, select, &plan, aggregated, &emit)?;
        if outer.parent.is_none() && self.other_text.get() == 0 && !aggregated && !names_delta(select) {
            check_told(&plan)?;
        }
        let plan = self.assemble(x, plan, clauses, aggregated, window, emit)?;
        Ok(Rel { plan, flat: flat && !aggregated })
    }

    /// Where the query names the sign of rows: rows that replace each other are followed as changes, and the sign is a column.
    /// `unread`: nobody looks at the sign, so that rows stay as they are and the column is there for its name alone.
    fn with_changes(&self, mut from: From, select: &ast::Select, unread: bool) -> Result<From> {
        let has_sign = from.scope.columns.iter().any(|c| &*c.name == "_tp_delta" && c.show != Show::Hidden);
        let is_append = from.plan.change == Change::Append;
        if has_sign || is_append || !from.plan.streaming || !names_delta(select) {
            return Ok(from);
        }
        let in_conditions = select.filter.iter().chain(&select.prewhere).any(|e| e.any(&mut is_delta));
        from.plan = if unread && from.plan.change == Change::VersionedKv && !in_conditions {
            let mut columns = from.plan.columns();
            columns.push((Arc::from("_tp_delta"), Expr::literal(Value::Int(1), LogicalType::Int8)));
            from.plan.project(columns)
        } else {
            with_signs(tracked(from.plan)?)
        };
        from.scope.push("_tp_delta", LogicalType::Int8, Show::ByName);
        Ok(from)
    }

    fn clauses(&self, x: &mut Exprs<'_>, select: &ast::Select) -> Result<Clauses> {
        if select.projection.is_empty() {
            return Err(Error::new(Code::EMPTY_LIST_OF_COLUMNS_QUERIED, "the select list is empty"));
        }
        let members = x.expand_list(&select.projection)?;
        if members.is_empty() {
            return Err(Error::new(Code::EMPTY_LIST_OF_COLUMNS_QUERIED, "the select list stands for no column"));
        }
        let prewhere = select.prewhere.as_ref().map(|e| x.condition(e, Place::PREWHERE)).transpose()?;
        let filter = select.filter.as_ref().map(|e| x.condition(e, Place::WHERE)).transpose()?;
        super::join_rules::check_commas(
            x.env.settings.uint("cross_to_inner_join_rewrite"),
            select.from.as_ref(),
            &x.scope,
            filter.as_ref(),
        )?;
        let filter = match (prewhere, filter) {
            (Some(a), Some(b)) => Some(x.call("and", vec![a, b])?),
            (a, b) => a.or(b),
        };
        let filter_joins = x.array_joins.len();
        let partition_by =
            select.partition_by.iter().map(|e| x.bind_in(e, Place::GROUP_BY)).collect::<Result<Vec<_>>>()?;
        let (keys, grouping) = self.group_by(x, select.group_by.as_ref(), &members)?;
        x.group_keys.clone_from(&keys);
        x.has_grouping_sets = grouping != Grouping::Plain;
        self.check_shuffle(x, select, &keys)?;
        let mut items = Vec::with_capacity(members.len());
        for member in &members {
            items.push((Arc::from(member.name.as_str()), x.bind_in(&member.expr, Place::SELECT)?));
        }
        let before = x.array_joins.len();
        let having = select.having.as_ref().map(|e| x.condition(e, Place::HAVING)).transpose()?;
        let having_unfolds = x.array_joins.len() > before;
        let qualify = select.qualify.as_ref().map(|e| x.condition(e, Place::QUALIFY)).transpose()?;
        if qualify.is_some() && x.cx.streaming {
            return Err(Error::not_implemented("QUALIFY in a streaming query"));
        }
        let (order_by, fills) = self.order_by(x, &select.order_by, &members)?;
        let interpolated = match &select.interpolate {
            Some(list) => self.interpolated(x, list, &items, &order_by, &fills)?,
            None => Vec::new(),
        };
        let limit_by = self.limit_by(x, select, &members)?;
        let limit = self.limit(x, select)?;
        let distinct = select.distinct.as_ref().is_some_and(|d| d.on.is_empty());
        Ok(Clauses {
            filter,
            filter_joins,
            partition_by,
            keys,
            grouping,
            having,
            having_unfolds,
            qualify,
            items,
            order_by,
            fills,
            interpolated,
            limit_by,
            limit,
            distinct,
        })
    }

    /// INTERPOLATE as columns of the select list, each with an expression over the row before.
    ///
    /// Errors: INVALID_WITH_FILL_EXPRESSION (475) without WITH FILL, for a name that is not selected or filled itself.
    fn interpolated(
        &self,
        x: &Exprs<'_>,
        list: &[ast::Interpolate],
        items: &[(Arc<str>, Expr)],
        order_by: &[SortKey],
        fills: &[Option<FillColumn>],
    ) -> Result<Vec<(usize, Expr)>> {
        let wrong = |text: String| Error::new(Code::INVALID_WITH_FILL_EXPRESSION, format!("INTERPOLATE: {text}"));
        if fills.iter().all(Option::is_none) {
            return Err(wrong("there is no WITH FILL".to_string()));
        }
        let is_sorted = |e: &Expr| order_by.iter().any(|k| k.expr.is_same(e));
        let fields = items.iter().map(|(name, e)| Field::new(Arc::clone(name), e.ty.clone())).collect();
        let schema = Schema::new(fields);
        let none = Aliases::default();
        let mut inner = Exprs::new(self, x.env, Scope::of_schema(TableName::default(), &schema), &none, false);
        let mut all = Vec::new();
        if list.is_empty() {
            for (at, (_, e)) in items.iter().enumerate().filter(|(_, (_, e))| !is_sorted(e)) {
                all.push((at, Expr::column(at, e.ty.clone())));
            }
        }
        for item in list {
            let at = items.iter().position(|(name, _)| **name == *item.name);
            let at = at.ok_or_else(|| wrong(format!("column \"{}\" is not selected", item.name)))?;
            if is_sorted(&items[at].1) {
                return Err(wrong(format!("column \"{}\" is one that ORDER BY sorts by", item.name)));
            }
            if all.iter().any(|(other, _)| *other == at) {
                return Err(wrong(format!("column \"{}\" is named twice", item.name)));
            }
            let ty = &items[at].1.ty;
            let expr = match &item.expr {
                Some(expr) => cast_to(inner.bind_in(expr, Place::ROW)?, ty, x.cx.zone)?,
                None => Expr::column(at, ty.clone()),
            };
            all.push((at, expr));
        }
        Ok(all)
    }

    /// SHUFFLE BY deals groups out by some of their keys. Groups are dealt out by all of them here, so it changes nothing.
    ///
    /// Errors: SYNTAX_ERROR (62) for expressions, for columns that are no keys, and beside PARTITION BY.
    fn check_shuffle(&self, x: &mut Exprs<'_>, select: &ast::Select, keys: &[Expr]) -> Result<()> {
        let wrong = |text: &str| Err(Error::new(Code::SYNTAX_ERROR, text));
        if !select.shuffle_by.is_empty() && !select.partition_by.is_empty() {
            return wrong("SHUFFLE BY stands without PARTITION BY");
        }
        for column in &select.shuffle_by {
            if column.as_identifier().is_none() {
                return wrong("SHUFFLE BY takes names of columns");
            }
            let bound = x.bind_in(column, Place::GROUP_BY)?;
            if !keys.iter().any(|k| k.is_same(&bound)) {
                return wrong("the columns of SHUFFLE BY are among those of GROUP BY");
            }
        }
        Ok(())
    }

    /// Keys without repetition; sets as positions in them.
    fn group_by(
        &self,
        x: &mut Exprs<'_>,
        clause: Option<&ast::GroupBy>,
        members: &[Member],
    ) -> Result<(Vec<Expr>, Grouping)> {
        let Some(clause) = clause else { return Ok((Vec::new(), Grouping::Plain)) };
        let mut keys = Vec::new();
        let (list, mut grouping) = match &clause.kind {
            ast::GroupByKind::Plain(list) => (list, Grouping::Plain),
            ast::GroupByKind::Rollup(list) => (list, Grouping::Rollup),
            ast::GroupByKind::Cube(list) => (list, Grouping::Cube),
            ast::GroupByKind::GroupingSets(sets) => {
                let mut positions = Vec::with_capacity(sets.len());
                for set in sets {
                    let mut of_set = Vec::new();
                    for expr in set {
                        of_set.extend(self.group_key(x, expr, members, &mut keys)?);
                    }
                    positions.push(of_set);
                }
                if clause.with_totals {
                    return Err(Error::not_implemented("WITH TOTALS beside GROUPING SETS"));
                }
                return Ok((keys, Grouping::Sets(positions)));
            }
        };
        let all = if x.says_all(list)? { Some(x.keys_of_all(members)) } else { None };
        for expr in all.as_ref().unwrap_or(list) {
            self.group_key(x, expr, members, &mut keys)?;
        }
        if clause.with_totals {
            grouping = match grouping {
                Grouping::Plain => Grouping::Totals,
                other => Grouping::WithTotals(Box::new(other)),
            };
        }
        let for_empty = !x.env.settings.bool("empty_result_for_aggregation_by_constant_keys_on_empty_set");
        if for_empty && grouping == Grouping::Plain && keys.iter().all(|k| k.as_literal().is_some()) {
            keys.clear();
        }
        if x.cx.streaming && grouping != Grouping::Plain {
            return Err(Error::not_implemented("TOTALS, ROLLUP, CUBE and GROUPING SETS in a streaming query"));
        }
        Ok((keys, grouping))
    }

    /// The positions of what one expression of GROUP BY means; a tuple in parentheses means its elements.
    fn group_key(
        &self,
        x: &mut Exprs<'_>,
        expr: &ast::Expr,
        members: &[Member],
        keys: &mut Vec<Expr>,
    ) -> Result<Vec<usize>> {
        if let Some(f) = expr.as_function().filter(|f| f.name == "tuple" && f.style == ast::Style::Parens) {
            let mut positions = Vec::new();
            for arg in &f.args {
                positions.extend(self.group_key(x, arg, members, keys)?);
            }
            return Ok(positions);
        }
        let expr = self.positional(x, expr, members)?;
        let key = x.bind_in(&expr, Place::GROUP_BY)?;
        if let Some(position) = keys.iter().position(|k| k.is_same(&key)) {
            return Ok(vec![position]);
        }
        keys.push(key);
        Ok(vec![keys.len() - 1])
    }

    /// What `2` means in GROUP BY, ORDER BY and LIMIT BY when numbers mean columns of the select list.
    fn positional(&self, x: &Exprs<'_>, expr: &ast::Expr, members: &[Member]) -> Result<ast::Expr> {
        let number = expr.as_literal().and_then(ast::Literal::as_u64);
        let Some(number) = number.filter(|_| x.env.settings.bool("enable_positional_arguments")) else {
            return Ok(expr.clone());
        };
        let member = usize::try_from(number).ok().and_then(|n| members.get(n.checked_sub(1)?));
        let text = || format!("position {number} is outside of the select list of {} columns", members.len());
        member.map(|m| m.expr.clone()).ok_or_else(|| Error::bad_arguments(text()))
    }

    fn order_by(
        &self,
        x: &mut Exprs<'_>,
        list: &[ast::OrderItem],
        members: &[Member],
    ) -> Result<(Vec<SortKey>, Vec<Option<FillColumn>>)> {
        let (mut keys, mut fills) = (Vec::with_capacity(list.len()), Vec::with_capacity(list.len()));
        x.place = Place::ORDER_BY;
        let all: Option<Vec<ast::OrderItem>> = match list {
            [item] if x.says_all(std::slice::from_ref(&item.expr))? => {
                let of = |m: &Member| ast::OrderItem { expr: m.expr.clone(), ..item.clone() };
                Some(members.iter().map(of).collect())
            }
            _ => None,
        };
        for item in all.as_deref().unwrap_or(list) {
            let expr = self.positional(x, &item.expr, members)?;
            let key = x.sort_key(&ast::OrderItem { expr, fill: None, ..item.clone() })?;
            let fill = match &item.fill {
                Some(_) if x.cx.streaming => {
                    return Err(Error::not_implemented("ORDER BY … WITH FILL in a streaming query"));
                }
                Some(fill) => Some(x.fill(fill, &key.expr.ty, item.descending)?),
                None => None,
            };
            // A constant orders nothing.
            if key.expr.as_literal().is_none() || fill.is_some() {
                keys.push(key);
                fills.push(fill);
            }
        }
        Ok((keys, fills))
    }

    /// LIMIT n BY; DISTINCT ON (…) is LIMIT 1 BY (…).
    fn limit_by(&self, x: &mut Exprs<'_>, select: &ast::Select, members: &[Member]) -> Result<Option<LimitBy>> {
        let on = select.distinct.as_ref().filter(|d| !d.on.is_empty());
        let (list, offset, limit) = match (&select.limit_by, on) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err(Error::not_implemented("DISTINCT ON together with LIMIT BY")),
            (None, Some(distinct)) => (&distinct.on, 0, 1),
            (Some(limit_by), None) => {
                let limit = row_count(x.constant(&limit_by.count)?, "LIMIT")?;
                let offset = match &limit_by.offset {
                    Some(offset) => row_count(x.constant(offset)?, "OFFSET")?,
                    None => 0,
                };
                (&limit_by.by, offset, limit)
            }
        };
        let mut keys = Vec::with_capacity(list.len());
        for expr in list {
            let expr = self.positional(x, expr, members)?;
            keys.push(x.bind_in(&expr, Place::ORDER_BY)?);
        }
        Ok(Some(LimitBy { keys, offset, limit }))
    }

    fn limit(&self, x: &mut Exprs<'_>, select: &ast::Select) -> Result<LimitOf> {
        let mut limit = LimitOf::default();
        if let Some(clause) = &select.limit {
            limit.limit = clause.count.as_ref().map(|e| row_count(x.constant(e)?, "LIMIT")).transpose()?;
            limit.offset =
                clause.offset.as_ref().map(|e| row_count(x.constant(e)?, "OFFSET")).transpose()?.unwrap_or(0);
            limit.ties = clause.with_ties;
        }
        if let Some(top) = &select.top {
            limit.limit = Some(row_count(x.constant(&top.count)?, "TOP")?);
            limit.ties = top.with_ties;
        }
        if limit.ties && select.order_by.is_empty() {
            return Err(Error::new(Code::WITH_TIES_WITHOUT_ORDER_BY, "LIMIT WITH TIES needs ORDER BY"));
        }
        Ok(limit)
    }

    /// EMIT CHANGELOG: `_tp_delta` is selected plainly, once.
    fn check_delta(
        &self,
        x: &Exprs<'_>,
        select: &ast::Select,
        plan: &Plan,
        aggregated: bool,
        emit: &EmitPlan,
    ) -> Result<()> {
        if !emit.changelog {
            return Ok(());
        }
        let plain = |e: &&ast::Expr| e.alias.is_none() && e.as_identifier().is_some_and(|i| i.short() == "_tp_delta");
        if aggregated {
            if select.projection.iter().filter(plain).count() != 1 || x.delta_used != 1 {
                let text = "EMIT CHANGELOG needs _tp_delta once in the select list, without an alias";
                return Err(Error::new(Code::INCORRECT_QUERY, text));
            }
            if x.emit_version {
                return Err(Error::new(Code::UNSUPPORTED, "emit_version() does not go with EMIT CHANGELOG"));
            }
        } else if matches!(plan.change, Change::Append | Change::VersionedKv) {
            return Err(Error::not_implemented("EMIT CHANGELOG of rows that are never withdrawn"));
        }
        Ok(())
    }

    fn assemble(
        &self,
        x: Exprs<'_>,
        plan: Plan,
        clauses: Clauses,
        aggregated: bool,
        window: Option<WindowColumns>,
        emit: EmitPlan,
    ) -> Result<Plan> {
        let mut places = Places::default();
        let joins: Vec<(usize, Expr)> = x.array_joins.iter().cloned().enumerate().collect();
        let before = if aggregated { joins_of_rows(&x, &clauses) } else { vec![true; joins.len()] };
        let (early, rest) = joins.split_at(clauses.filter_joins);
        let (middle, late): (Vec<_>, Vec<_>) = rest.iter().cloned().partition(|(i, _)| before[*i]);
        let mut plan = unfold(plan, early, &mut places)?;
        if let Some(filter) = &clauses.filter {
            plan = plan.filter(places.put(filter));
        }
        plan = unfold(plan, &middle, &mut places)?;
        if aggregated && !x.lags.is_empty() {
            let keys = clauses.partition_by.iter().chain(x.over_keys.iter().flatten());
            let keys = keys.map(|k| places.put(k)).collect();
            plan = lagged(plan, &x.lags, keys, &mut places);
        }
        let mut calls: Vec<WindowCall> = x.windows.iter().map(|w| map_window(w, &|e| places.put(e))).collect();
        let mut clauses = clauses.map(&|e| Ok(places.put(e)))?;
        let mut late: Vec<(usize, Expr)> = late.iter().map(|(i, a)| (*i, places.put(a))).collect();
        if aggregated {
            let aggs: Vec<AggCall> = x.aggs.iter().map(|a| map_agg(a, &|e| places.put(e))).collect();
            let over = x.over_keys.as_ref().map(|keys| keys.iter().map(|k| places.put(k)).collect());
            let close = emit.close.as_ref().map(|c| c.map(|e| places.put(e)));
            let emit = EmitPlan { close, ..emit };
            let step = AggregateStep {
                x: &x,
                partition_by: &clauses.partition_by,
                keys: &clauses.keys,
                grouping: clauses.grouping.clone(),
                aggs,
                over,
                window,
                emit,
            };
            let names = Arc::clone(&plan.schema);
            plan = step.build(plan)?;
            let regroup = Regroup { keys: &plan_keys(&plan), aggs: x.aggs.len(), names: &names, x: &x };
            let move_over = |e: &Expr| regroup.expr(e);
            clauses = clauses.map(&move_over)?;
            late = late.iter().map(|(i, a)| Ok((*i, move_over(a)?))).collect::<Result<Vec<_>>>()?;
            calls = calls.iter().map(|w| try_map_window(w, &move_over)).collect::<Result<Vec<_>>>()?;
        } else if x.emit_version {
            return Err(Error::new(Code::UNSUPPORTED, "\"emit_version\" needs a streaming aggregation"));
        } else if !clauses.partition_by.is_empty()
            && let Some(stateful) = &x.stateful
        {
            return Err(Error::not_implemented(format!("{stateful}() in substreams (PARTITION BY)")));
        }
        let mut places = Places::default();
        plan = unfold(plan, &late, &mut places)?;
        if let Some(having) = &clauses.having {
            if matches!(clauses.grouping, Grouping::WithTotals(_)) {
                return Err(Error::not_implemented("HAVING beside WITH TOTALS and ROLLUP, CUBE or GROUPING SETS"));
            }
            if clauses.having_unfolds && clauses.grouping.has_totals() {
                return Err(Error::new(
                    Code::ILLEGAL_COLUMN,
                    "array_join cannot stand in HAVING together with WITH TOTALS",
                ));
            }
            plan = plan.filter(places.put(having));
        }
        if !aggregated && !x.lags.is_empty() {
            let keys = clauses.partition_by.iter().chain(x.lag_keys.iter().flatten());
            let keys = keys.map(|k| places.put(k)).collect();
            plan = lagged(plan, &x.lags, keys, &mut places);
        }
        if !calls.is_empty() {
            let calls: Vec<WindowCall> = calls.iter().map(|w| map_window(w, &|e| places.put(e))).collect();
            plan = window_functions(plan, calls, &mut places);
        }
        if let Some(qualify) = &clauses.qualify {
            plan = plan.filter(places.put(qualify));
        }
        let clauses = clauses.map(&|e| Ok(places.put(e)))?;
        Ok(finish(plan, clauses))
    }
}

/// The select list with what ORDER BY and LIMIT BY need beside it, then DISTINCT, ORDER BY, LIMIT BY, LIMIT.
fn finish(plan: Plan, clauses: Clauses) -> Plan {
    let width = clauses.items.len();
    let mut columns = clauses.items;
    let mut column_of = |expr: &Expr| {
        let at = columns.iter().position(|(_, e)| e.is_same(expr)).unwrap_or(columns.len());
        if at == columns.len() {
            columns.push((Arc::from(format!("order_{at}")), expr.clone()));
        }
        Expr::column(at, expr.ty.clone())
    };
    let order_by: Vec<SortKey> =
        clauses.order_by.iter().map(|k| SortKey { expr: column_of(&k.expr), ..k.clone() }).collect();
    let limit_by = clauses.limit_by.map(|l| LimitBy { keys: l.keys.iter().map(&mut column_of).collect(), ..l });
    let extra = columns.len() > width;
    let mut plan = plan.project(columns);
    if clauses.distinct {
        let on = if extra { plan.columns().into_iter().take(width).map(|(_, e)| e).collect() } else { Vec::new() };
        plan = plan.distinct(on);
    }
    let LimitOf { offset, limit, ties } = clauses.limit;
    if !order_by.is_empty() {
        let most = limit.filter(|_| !ties && limit_by.is_none()).map(|l| l.saturating_add(offset));
        plan = plan.sort(order_by.clone(), most);
    }
    let fills = clauses.fills.into_iter().zip(&order_by);
    let filled: Vec<FillColumn> =
        fills.filter_map(|(fill, key)| Some(FillColumn { column: key.expr.as_column()?, ..fill? })).collect();
    if !filled.is_empty() {
        let schema = Arc::clone(&plan.schema);
        let interpolated = clauses.interpolated;
        let node = Node::Fill { input: Box::new(plan.clone()), columns: filled, interpolated };
        plan = Plan::over(&plan, schema, node);
    }
    if let Some(LimitBy { keys, offset, limit }) = limit_by {
        let schema = Arc::clone(&plan.schema);
        plan = Plan::over(&plan.clone(), schema, Node::LimitBy { input: Box::new(plan), keys, offset, limit });
    }
    if limit.is_some() || offset > 0 {
        plan = plan.limit(offset, limit, if ties { order_by } else { Vec::new() });
    }
    if extra { plan.select(&(0..width).collect::<Vec<_>>()) } else { plan }
}

fn is_aggregated(select: &ast::Select, x: &Exprs<'_>, clauses: &Clauses) -> bool {
    select.group_by.is_some() || !x.aggs.is_empty() || !clauses.keys.is_empty()
}

/// Which array joins happen before GROUP BY: those that keys and arguments of aggregates need.
fn joins_of_rows(x: &Exprs<'_>, clauses: &Clauses) -> Vec<bool> {
    let mut needed = vec![false; x.array_joins.len()];
    let note = |needed: &mut Vec<bool>, expr: &Expr| {
        expr.columns(&mut |c| {
            if (ARRAY_JOINS..ARRAY_JOINS + needed.len()).contains(&c) {
                needed[c - ARRAY_JOINS] = true;
            }
        });
    };
    let of_aggs = x.aggs.iter().flat_map(|a| a.args.iter().chain(&a.filter));
    let keys = clauses.keys.iter().chain(&clauses.partition_by).chain(x.over_keys.iter().flatten());
    of_aggs.chain(keys).for_each(|e| note(&mut needed, e));
    // What a needed one reads was bound before it.
    for i in (0..needed.len()).rev() {
        if needed[i] {
            note(&mut needed, &x.array_joins[i]);
        }
    }
    needed
}

/// Whether an aggregate decides itself when it answers. It then does so alone.
///
/// Errors: NOT_IMPLEMENTED (48) beside other aggregates; UDA_NOT_APPLICABLE (2534) over a window and with EMIT.
fn check_own_emit(x: &Exprs<'_>, emit: Option<&ast::Emit>, window: bool) -> Result<bool> {
    let Some(agg) = x.aggs.iter().find(|a| a.bound.aggregate.needs().own_emit) else { return Ok(false) };
    if x.aggs.len() > 1 {
        let text = format!("aggregate function \"{}\", which decides itself when it answers, beside others", agg.name);
        return Err(Error::not_implemented(text));
    }
    let none = ast::Emit { mode: Some(ast::EmitMode::Stream), ..ast::Emit::default() };
    let emits = emit.is_some_and(|e| ast::Emit { mode: e.mode.or(none.mode), span: none.span, ..e.clone() } != none);
    if window || emits {
        let beside = if window { "a window" } else { "EMIT" };
        let text =
            format!("aggregate function \"{}\" decides itself when it answers: {beside} does not apply", agg.name);
        return Err(Error::new(Code::UDA_NOT_APPLICABLE, text));
    }
    Ok(true)
}

/// Whether the select list or HAVING calls an aggregate.
fn names_aggregates(select: &ast::Select, b: &Binder<'_>) -> bool {
    let mut is_aggregate = |e: &ast::Expr| {
        e.as_function().is_some_and(|f| {
            let registry = b.functions(&f.name);
            registry.aggregate(&f.name).is_some() && registry.scalar(&f.name).is_none()
        })
    };
    select.projection.iter().chain(&select.having).any(|e| e.any(&mut is_aggregate))
}

/// Errors: INCORRECT_QUERY (80) for the rows of changing streams, joined over and over, that leave without their sign: which of
/// them are withdrawals could not be told.
fn check_told(plan: &Plan) -> Result<()> {
    fn join(plan: &Plan) -> Option<&Join> {
        match &plan.node {
            Node::Join(join) => Some(join),
            Node::Filter { input, .. } | Node::Project { input, .. } | Node::Signs { input } => join(input),
            _ => None,
        }
    }
    let changing = |j: &&Join| j.left.streaming && j.right.streaming && is_changing(j.left.change);
    match join(plan).filter(changing).and_then(|j| join(&j.left)).filter(changing) {
        None => Ok(()),
        Some(_) => {
            let text = "a join over a join of changing streams withdraws rows: their sign is to be selected";
            Err(Error::new(Code::INCORRECT_QUERY, text).hint("_tp_delta in the select list"))
        }
    }
}

/// Whether the select list or a condition names `_tp_delta`.
fn names_delta(select: &ast::Select) -> bool {
    select.projection.iter().chain(&select.filter).any(|e| e.any(&mut is_delta))
}

/// The columns of `lag()` and its like behind those of `plan`.
fn lagged(plan: Plan, lags: &[LagCall], keys: Vec<Expr>, places: &mut Places) -> Plan {
    let calls = lags.iter().map(|l| LagCall { value: places.put(&l.value), ..l.clone() }).collect();
    (0..lags.len()).for_each(|i| {
        places.0.insert(LAGS + i, plan.schema.len() + i);
    });
    with_lags(plan, keys, calls)
}

fn is_delta(e: &ast::Expr) -> bool {
    e.as_identifier().is_some_and(|i| i.short() == "_tp_delta")
}

/// Whether `select` only hands its rows on, without the sign that its one source may give them. `unread`: what is said of its own
/// answer, which has all columns of the source where it has a `*`.
fn leaves_sign_unread(select: &ast::Select, unread: bool, b: &Binder<'_>) -> bool {
    let single = select.from.as_ref().is_some_and(|f| f.first.is_some() && f.rest.is_empty());
    let changelog = select.emit.as_ref().is_some_and(|e| e.mode == Some(ast::EmitMode::Changelog));
    if !single || changelog || select.group_by.is_some() || names_aggregates(select, b) {
        return false;
    }
    let is_list = |e: &ast::Expr| matches!(e.kind, ast::ExprKind::Asterisk(_) | ast::ExprKind::Columns(_));
    let clauses = select.projection.iter().chain(&select.prewhere).chain(&select.filter).chain(&select.having);
    let clauses = clauses.chain(&select.partition_by).chain(select.order_by.iter().map(|o| &o.expr));
    let mut clauses = clauses.chain(select.limit_by.iter().flat_map(|l| &l.by));
    let lists = select.projection.iter().any(|e| e.any(&mut |e| is_list(e)));
    !clauses.any(|e| e.any(&mut is_delta)) && select.distinct.is_none() && (!lists || unread)
}

fn unfold(mut plan: Plan, joins: &[(usize, Expr)], places: &mut Places) -> Result<Plan> {
    for (index, array) in joins {
        let array = places.put(array);
        plan = unfold_calls(plan, &[(*index, array)], |call, position| {
            places.0.insert(call, position);
        })?;
    }
    Ok(plan)
}

/// Whether an expression reads a placeholder of the range that starts at `range`.
fn reads(expr: &Expr, range: usize) -> bool {
    let mut found = false;
    expr.columns(&mut |c| found |= c >= range && c < range + (1 << 32));
    found
}

fn window_functions(plan: Plan, calls: Vec<WindowCall>, places: &mut Places) -> Plan {
    let width = plan.schema.len();
    let mut fields = plan.schema.fields.clone();
    for (i, call) in calls.iter().enumerate() {
        fields.push(Field::new(format!("window_{i}"), call.ty.clone()));
        places.0.insert(WINDOWS + i, width + i);
    }
    let (streaming, change) = (plan.streaming, plan.change);
    let node = Node::WindowFunctions { input: Box::new(plan), calls };
    Plan { node, schema: Arc::new(Schema::new(fields)), streaming, change }
}

impl Clauses {
    /// Conditions of HAVING on rows rather than groups act as WHERE, so they may read any column.
    fn lower_having(&mut self) {
        let Some(having) = self.having.take() else { return };
        let on_rows = |e: &Expr| {
            let (mut columns, mut only_rows) = (false, true);
            e.columns(&mut |c| {
                columns = true;
                only_rows &= c < AGGREGATES;
            });
            columns && only_rows && e.volatility() < Volatility::Volatile
        };
        let (mut rows, groups): (Vec<Expr>, Vec<Expr>) = conjuncts(having).into_iter().partition(on_rows);
        rows.extend(self.filter.take());
        self.filter = conjunction(rows);
        self.having = conjunction(groups);
    }

    /// The clauses after FROM and WHERE with every expression changed.
    fn map(self, change: &impl Fn(&Expr) -> Result<Expr>) -> Result<Clauses> {
        let all = |list: Vec<Expr>| list.iter().map(change).collect::<Result<Vec<_>>>();
        Ok(Clauses {
            having: self.having.as_ref().map(change).transpose()?,
            qualify: self.qualify.as_ref().map(change).transpose()?,
            items: self.items.into_iter().map(|(n, e)| Ok((n, change(&e)?))).collect::<Result<Vec<_>>>()?,
            order_by: self
                .order_by
                .into_iter()
                .map(|k| Ok(SortKey { expr: change(&k.expr)?, ..k }))
                .collect::<Result<Vec<_>>>()?,
            limit_by: match self.limit_by {
                Some(l) => Some(LimitBy { keys: all(l.keys)?, ..l }),
                None => None,
            },
            keys: if self.keys.iter().any(|k| reads(k, ARRAY_JOINS)) { all(self.keys)? } else { self.keys },
            ..self
        })
    }
}
