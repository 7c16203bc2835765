//! JOIN: the condition split into keys, one-sided filters and what the kind of join allows beyond.

use super::Binder;
use super::alias::Aliases;
use super::cast::cast_to;
use super::changes::{is_changing, tracked};
use super::env::Env;
use super::expr::{Exprs, Place};
use super::join_range::Range;
use super::join_rules::{check_algorithm, left_names_win};
use super::scope::{Scope, ScopeColumn, Show};
use super::source::From;
use super::table_engine::JoinTable;
use crate::expr::Expr;
use crate::node::{AsofOrder, Change, Join, JoinAlign, JoinKind, JoinStrictness, Node, Plan};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast;
use hydron_types::supertype::can_be_nullable;
use hydron_types::{Field, LogicalType, Schema, Value, least_supertype};
use std::sync::Arc;

/// What the parts of a condition become.
#[derive(Default)]
struct Condition {
    /// Over the left and the right input.
    keys: Vec<(Expr, Expr)>,
    /// Over the left input alone, and over the right one alone.
    left: Vec<Expr>,
    right: Vec<Expr>,
    asof: Option<(Expr, Expr, AsofOrder)>,
    /// Over the left columns followed by the right ones.
    both: Vec<Expr>,
    /// Between two streams.
    range: Option<Range>,
    align: Option<JoinAlign>,
    never: bool,
}

/// Which inputs an expression reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    None,
    Left,
    Right,
    Both,
}

pub(super) fn side(expr: &Expr, left_width: usize) -> Side {
    let mut side = Side::None;
    expr.columns(&mut |c| {
        let this = if c < left_width { Side::Left } else { Side::Right };
        side = match side {
            Side::None => this,
            s if s == this => s,
            _ => Side::Both,
        };
    });
    side
}

impl<'a> Binder<'a> {
    pub(super) fn join(
        &self,
        left: From,
        join: &ast::Join,
        env: &Env<'_>,
        aliases: &Aliases<'_>,
        joins: usize,
    ) -> Result<From> {
        let right = self.table_expr(&join.table, env)?;
        let join_table = self.joined_table(&join.table, env)?;
        let settings = &env.settings;
        let comma = matches!(join.kind, ast::JoinKind::Comma);
        if !comma && settings.bool("joined_subquery_requires_alias") && (left.unnamed || right.unnamed) {
            return Err(Error::new(Code::ALIAS_REQUIRED, "a subquery in a JOIN needs an alias"));
        }
        let distinct = settings.bool("any_join_distinct_right_table_keys");
        let (kind, strictness) = kinds(join, settings.text("join_default_strictness"), distinct)?;
        check_algorithm(settings.text("join_algorithm"), kind, strictness)?;
        let (left, right) = stream_inputs(left, right, kind, strictness)?;
        let distinct = distinct && strictness == JoinStrictness::Any && !right.plan.streaming;
        let left_width = left.plan.schema.len();
        let use_nulls = settings.bool("join_use_nulls");
        let using = match &join.constraint {
            Some(ast::JoinConstraint::Using(columns)) => Some(columns),
            _ => None,
        };
        if let Some(columns) = using {
            let node = JoinNode { kind, strictness, use_nulls, distinct, range_max: 0, join_table };
            return self.join_using(left, right, columns, node, env, aliases);
        }
        let streaming = left.plan.streaming;
        let From { plan: left_plan, scope: left_scope, flat: left_flat, window, .. } = left;
        let From { plan: right_plan, scope: right_scope, flat: right_flat, unnamed: right_unnamed, .. } = right;
        let scope = left_scope.join(right_scope);
        let condition = match &join.constraint {
            Some(ast::JoinConstraint::On(on)) => {
                let mut x = Exprs::new(self, env, scope.clone(), aliases, streaming);
                x.strict = true;
                let range = (streaming && right_plan.streaming).then(Range::default);
                match self.constant_on(&mut x, on).filter(|_| !streaming && strictness != JoinStrictness::Asof) {
                    Some(holds) => {
                        let holds = Expr::literal(Value::Bool(holds), LogicalType::Bool);
                        Condition { both: vec![holds], ..Condition::default() }
                    }
                    None => self.condition(&mut x, on, left_width, strictness, range)?,
                }
            }
            _ if kind == JoinKind::Cross => Condition::default(),
            _ => return Err(Error::new(Code::INVALID_JOIN_ON_EXPRESSION, "a JOIN needs ON or USING")),
        };
        if kind != JoinKind::Cross && condition.keys.is_empty() && condition.both.is_empty() {
            return Err(Error::new(Code::INVALID_JOIN_ON_EXPRESSION, "ON needs an equality between the two sides"));
        }
        if strictness == JoinStrictness::Asof && condition.asof.is_none() {
            return Err(Error::new(
                Code::INVALID_JOIN_ON_EXPRESSION,
                "ASOF JOIN needs one inequality beside the equalities",
            ));
        }
        let _ = joins;
        let range_max = settings.uint("max_join_range");
        let node = JoinNode { kind, strictness, use_nulls, distinct, range_max, join_table };
        let (mut plan, mut scope) = node.build(left_plan, right_plan, scope, condition)?;
        if right_unnamed {
            plan = left_names_win(plan, &mut scope, left_width);
        }
        Ok(From { plan, scope, flat: left_flat && right_flat, window, unnamed: false })
    }

    fn condition(
        &self,
        x: &mut Exprs<'_>,
        on: &ast::Expr,
        left_width: usize,
        strictness: JoinStrictness,
        range: Option<Range>,
    ) -> Result<Condition> {
        let mut condition = Condition { range, ..Condition::default() };
        for part in conjuncts(on) {
            self.conjunct(x, part, left_width, strictness, &mut condition)?;
        }
        Ok(condition)
    }

    fn conjunct(
        &self,
        x: &mut Exprs<'_>,
        part: &ast::Expr,
        left_width: usize,
        strictness: JoinStrictness,
        condition: &mut Condition,
    ) -> Result<()> {
        if let Some(f) = part.as_function().filter(|f| f.name == "lag_behind") {
            if condition.range.is_none() {
                return Err(Error::new(Code::UNSUPPORTED, "lag_behind aligns two streams"));
            }
            if condition.align.replace(x.lag_behind(f, left_width)?).is_some() {
                return Err(Error::new(Code::SYNTAX_ERROR, "lag_behind stands once in ON"));
            }
            return Ok(());
        }
        if let Some(range) = &mut condition.range
            && x.range_condition(part, left_width, range)?
        {
            if strictness != JoinStrictness::All {
                return Err(Error::new(Code::SYNTAX_ERROR, "a range in ON goes with ALL, not with ASOF or LATEST"));
            }
            return Ok(());
        }
        let comparison = part.as_function().filter(|f| comparison(&f.name).is_some());
        if let Some(f) = comparison {
            let [a, b] = f.args.as_slice() else {
                return Err(Error::new(
                    Code::SYNTAX_ERROR,
                    format!("\"{}\" in ON takes 2 arguments, given {}", f.name, f.args.len()),
                ));
            };
            let (a, b) = (x.bind_in(a, Place::JOIN_ON)?, x.bind_in(b, Place::JOIN_ON)?);
            let sides = (side(&a, left_width), side(&b, left_width));
            let across = match sides {
                (Side::Left, Side::Right) => Some((a, b, false)),
                (Side::Right, Side::Left) => Some((b, a, true)),
                _ => None,
            };
            if let Some((left, right, swapped)) = across {
                return self.across(f, left, right, swapped, left_width, strictness, condition);
            }
        }
        let bound = x.condition(part, Place::JOIN_ON)?;
        match side(&bound, left_width) {
            Side::Left => condition.left.push(bound),
            Side::Right => condition.right.push(bound.map_columns(&|c| c - left_width)),
            Side::None => match bound.as_literal() {
                Some(Value::Bool(true)) => {}
                _ => condition.never = true,
            },
            Side::Both if x.cx.streaming => {
                return Err(Error::not_implemented("a condition over both sides in ON of a streaming join"));
            }
            Side::Both => {
                let is_or = part.as_function().is_some_and(|f| f.name == "or");
                if is_or && self.each_has_a_key(x, part, left_width)? {
                    let algorithm = x.env.settings.text("join_algorithm");
                    if !matches!(algorithm, "default" | "hash" | "parallel_hash" | "") {
                        let what = format!("OR between equalities in ON with join_algorithm = '{algorithm}'");
                        return Err(Error::not_implemented(what).hint("join_algorithm = 'hash'"));
                    }
                    condition.both.push(bound);
                    return Ok(());
                }
                let text = format!("\"{}\" in ON compares both sides but is no equality", part.column_name());
                return Err(Error::new(Code::INVALID_JOIN_ON_EXPRESSION, text).hint("WHERE"));
            }
        }
        Ok(())
    }

    /// The truth of a condition that is the same for all pairs: a bool, a uint8 or NULL that reads no column.
    fn constant_on(&self, x: &mut Exprs<'_>, on: &ast::Expr) -> Option<bool> {
        if on.any(&mut |e| e.as_identifier().is_some()) {
            return None;
        }
        let bound = x.bind_in(on, Place::JOIN_ON).ok()?;
        if !matches!(bound.ty.bare(), LogicalType::Bool | LogicalType::UInt8 | LogicalType::Nothing) {
            return None;
        }
        Some(match bound.as_literal()? {
            Value::Bool(holds) => *holds,
            Value::Null => false,
            value => value.as_i64()? != 0,
        })
    }

    /// Whether every alternative of OR has an equality between the two sides.
    fn each_has_a_key(&self, x: &mut Exprs<'_>, or: &ast::Expr, left_width: usize) -> Result<bool> {
        for alternative in parts_of(or, "or") {
            let mut found = false;
            for part in conjuncts(alternative) {
                let Some(f) = part.as_function().filter(|f| f.name == "equals") else { continue };
                let [a, b] = f.args.as_slice() else { continue };
                let (a, b) = (x.bind_in(a, Place::JOIN_ON)?, x.bind_in(b, Place::JOIN_ON)?);
                let sides = (side(&a, left_width), side(&b, left_width));
                found |= matches!(sides, (Side::Left, Side::Right) | (Side::Right, Side::Left));
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A comparison of something of the left with something of the right.
    fn across(
        &self,
        f: &ast::Function,
        left: Expr,
        right: Expr,
        swapped: bool,
        left_width: usize,
        strictness: JoinStrictness,
        condition: &mut Condition,
    ) -> Result<()> {
        let right = right.map_columns(&|c| c - left_width);
        let (left, right) = self.same_type(left, right)?;
        match comparison(&f.name) {
            Some(None) => condition.keys.push((left, right)),
            Some(Some(order)) if strictness == JoinStrictness::Asof => {
                let order = if swapped { mirrored(order) } else { order };
                if condition.asof.replace((left, right, order)).is_some() {
                    let text = "ASOF JOIN takes one inequality in ON";
                    return Err(Error::new(Code::INVALID_JOIN_ON_EXPRESSION, text));
                }
            }
            _ => {
                let text = format!("\"{}\" between the two sides in ON is no equality", f.name);
                return Err(Error::new(Code::INVALID_JOIN_ON_EXPRESSION, text).hint("WHERE"));
            }
        }
        Ok(())
    }

    fn same_type(&self, left: Expr, right: Expr) -> Result<(Expr, Expr)> {
        if left.ty == right.ty {
            return Ok((left, right));
        }
        let common = least_supertype(&[left.ty.clone(), right.ty.clone()]).map_err(|_| {
            Error::new(Code::TYPE_MISMATCH, format!("a join cannot compare {} with {}", left.ty, right.ty))
        })?;
        Ok((cast_to(left, &common, self.cx.zone)?, cast_to(right, &common, self.cx.zone)?))
    }

    /// USING: the column of both sides is one column of the result.
    fn join_using(
        &self,
        left: From,
        right: From,
        columns: &[ast::Expr],
        node: JoinNode,
        env: &Env<'_>,
        aliases: &Aliases<'_>,
    ) -> Result<From> {
        let left_width = left.plan.schema.len();
        let streaming = left.plan.streaming;
        let mut pairs = Vec::with_capacity(columns.len());
        for column in columns {
            let plain = Aliases::default();
            let bind = |from: &From, aliases: &Aliases<'_>, column: &ast::Expr| -> Result<Expr> {
                let mut x = Exprs::new(self, env, from.scope.clone(), aliases, streaming);
                x.bind_in(column, Place { name: "USING", ..Place::JOIN_ON })
            };
            let bare = ast::Expr { alias: None, ..column.clone() };
            // The left side may also be an expression of the select list, by its alias; the right side of `a AS b` is `b`.
            let l = bind(&left, &plain, &bare).or_else(|_| bind(&left, aliases, &bare))?;
            let r = bind(&right, &plain, &bare).or_else(|e| match &column.alias {
                Some(alias) => bind(&right, &plain, &ast::Expr::column(&**alias)),
                None => Err(e),
            })?;
            pairs.push((l, r));
        }
        let window = left.window;
        let flat = left.flat && right.flat;
        let right_unnamed = right.unnamed;
        // Whether a row has a left side is told by a column that is true on every left row.
        let full = matches!(node.kind, JoinKind::Full | JoinKind::Right);
        let marker = left_width;
        let (mut left_plan, mut left_scope) = (left.plan, left.scope);
        if full {
            left_plan =
                left_plan.extend(vec![(Arc::from("__matched"), Expr::literal(Value::Bool(true), LogicalType::Bool))]);
            left_scope.push_hidden(LogicalType::Bool);
        }
        let shift = left_plan.schema.len();
        let merged: Vec<(usize, usize)> =
            pairs.iter().filter_map(|(l, r)| Some((l.as_column()?, shift + r.as_column()?))).collect();
        let mut condition = Condition::default();
        for (l, r) in pairs {
            let pair = self.same_type(l, r)?;
            match &mut condition.asof {
                _ if node.strictness != JoinStrictness::Asof => condition.keys.push(pair),
                // The last column of USING is the one that ASOF compares.
                None => condition.asof = Some((pair.0, pair.1, AsofOrder::GreaterOrEqual)),
                Some(last) => {
                    let key = std::mem::replace(last, (pair.0, pair.1, AsofOrder::GreaterOrEqual));
                    condition.keys.push((key.0, key.1));
                }
            }
        }
        let mut scope = left_scope.join(right.scope);
        for (l, r) in &merged {
            scope.columns[*l].merged = true;
            scope.columns[*r].show = match scope.columns[*r].show {
                Show::Yes | Show::Reserved => Show::ByTable,
                other => other,
            };
        }
        let (mut plan, mut scope) = node.build(left_plan, right.plan, scope, condition)?;
        if full {
            let keeps_nulls = env.settings.text("join_algorithm") == "full_sorting_merge";
            plan = self.merge_using(plan, &mut scope, &merged, marker, keeps_nulls)?;
        }
        if right_unnamed {
            plan = left_names_win(plan, &mut scope, shift);
        }
        Ok(From { plan, scope, flat, window, unnamed: false })
    }

    /// After RIGHT and FULL the merged columns come from the side that is there; they can be NULL where the left ones can, or,
    /// with `keeps_nulls`, where either can. The left source keeps its own columns under its name.
    fn merge_using(
        &self,
        plan: Plan,
        scope: &mut Scope,
        merged: &[(usize, usize)],
        marker: usize,
        keeps_nulls: bool,
    ) -> Result<Plan> {
        let env = Env::root(Arc::clone(&self.cx.settings));
        let aliases = Aliases::default();
        let mut x = Exprs::new(self, &env, scope.clone(), &aliases, plan.streaming);
        let mut columns = plan.columns();
        for (l, r) in merged {
            let (left, mut right) = (columns[*l].1.clone(), columns[*r].1.clone());
            let matched = columns[marker].1.clone();
            if !keeps_nulls && right.ty.is_nullable() && !left.ty.is_nullable() && can_be_nullable(right.ty.bare()) {
                let bare = right.ty.bare().clone();
                right = x.call("if_null", vec![right, Expr::literal(Value::default_of(&bare), bare)])?;
            }
            let value = x.call("if", vec![matched, left.clone(), right])?;
            let mut own = ScopeColumn { show: Show::Hidden, merged: false, own: None, ..scope.columns[*l].clone() };
            own.ty = left.ty.clone();
            scope.columns[*l].own = Some(columns.len());
            scope.columns[*l].ty = value.ty.clone();
            scope.columns.push(own);
            let name = Arc::clone(&columns[*l].0);
            columns.push((name, left));
            columns[*l].1 = value;
        }
        Ok(plan.project(columns))
    }
}

/// The parts of AND, however deep.
fn conjuncts(expr: &ast::Expr) -> Vec<&ast::Expr> {
    parts_of(expr, "and")
}

/// The operands of a function of functions of the same name.
fn parts_of<'e>(expr: &'e ast::Expr, name: &str) -> Vec<&'e ast::Expr> {
    let mut parts = Vec::new();
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        match expr.as_function() {
            Some(f) if f.name == name => open.extend(f.args.iter().rev()),
            _ => parts.push(expr),
        }
    }
    parts
}

/// `Some(None)` for equality, `Some(order)` for an inequality.
pub(super) fn comparison(name: &str) -> Option<Option<AsofOrder>> {
    Some(match name {
        "equals" => None,
        "less" => Some(AsofOrder::Less),
        "less_or_equals" => Some(AsofOrder::LessOrEqual),
        "greater" => Some(AsofOrder::Greater),
        "greater_or_equals" => Some(AsofOrder::GreaterOrEqual),
        _ => return None,
    })
}

pub(super) fn mirrored(order: AsofOrder) -> AsofOrder {
    match order {
        AsofOrder::Less => AsofOrder::Greater,
        AsofOrder::LessOrEqual => AsofOrder::GreaterOrEqual,
        AsofOrder::Greater => AsofOrder::Less,
        AsofOrder::GreaterOrEqual => AsofOrder::LessOrEqual,
    }
}

/// `distinct`: ANY means the first row of each key of the right side, and every row of the left.
fn kinds(join: &ast::Join, default_strictness: &str, distinct: bool) -> Result<(JoinKind, JoinStrictness)> {
    use ast::JoinStrictness as S;
    let strictness = match join.strictness {
        None if default_strictness.eq_ignore_ascii_case("any") => JoinStrictness::Any,
        None | Some(S::All) => JoinStrictness::All,
        Some(S::Any) => JoinStrictness::Any,
        Some(S::Semi) => JoinStrictness::Semi,
        Some(S::Anti) => JoinStrictness::Anti,
        Some(S::Asof) => JoinStrictness::Asof,
        Some(S::Latest) => JoinStrictness::Latest,
    };
    let half = matches!(strictness, JoinStrictness::Semi | JoinStrictness::Anti);
    let kind = match join.kind {
        ast::JoinKind::Inner if half => JoinKind::Left,
        ast::JoinKind::Inner => JoinKind::Inner,
        ast::JoinKind::Left => JoinKind::Left,
        ast::JoinKind::Right => JoinKind::Right,
        ast::JoinKind::Full => JoinKind::Full,
        ast::JoinKind::Cross | ast::JoinKind::Comma => JoinKind::Cross,
    };
    let strictness = if kind == JoinKind::Cross { JoinStrictness::All } else { strictness };
    let fits = match strictness {
        JoinStrictness::All => true,
        JoinStrictness::Any => kind != JoinKind::Full || distinct,
        JoinStrictness::Semi | JoinStrictness::Anti => matches!(kind, JoinKind::Left | JoinKind::Right),
        JoinStrictness::Asof | JoinStrictness::Latest => matches!(kind, JoinKind::Inner | JoinKind::Left),
    };
    if fits {
        return Ok((kind, strictness));
    }
    Err(Error::not_implemented(format!("{strictness:?} {kind:?} JOIN").to_uppercase()))
}

/// The inputs of a join as it needs them: between two streams, rows that replace each other become changes, and the signs of
/// the sides are not columns any more.
fn stream_inputs(mut left: From, mut right: From, kind: JoinKind, strictness: JoinStrictness) -> Result<(From, From)> {
    check_streams(&left, &right, kind, strictness)?;
    if left.plan.streaming && right.plan.streaming {
        left.plan = tracked(left.plan)?;
        if strictness == JoinStrictness::All {
            right.plan = tracked(right.plan)?;
        }
    }
    // The signs of the sides are not those of the join; only a table's are columns like others beside rows without a sign.
    let hide = |from: &mut From| {
        let signs = from.scope.columns.iter_mut().filter(|c| &*c.name == "_tp_delta");
        signs.for_each(|c| c.show = Show::Hidden);
    };
    if left.plan.streaming && right.plan.streaming {
        hide(&mut left);
    }
    if right.plan.streaming || left.plan.change != Change::Append {
        hide(&mut right);
    }
    Ok((left, right))
}

/// What of joins with streams can be planned.
fn check_streams(left: &From, right: &From, kind: JoinKind, strictness: JoinStrictness) -> Result<()> {
    let name = |from: &From| {
        let table = from.scope.tables.first().and_then(|t| t.shown());
        format!("{} ({:?})", table.map_or("a subquery", |n| n), from.plan.change)
    };
    match (left.plan.streaming, right.plan.streaming) {
        (false, false) => Ok(()),
        (true, true) => {
            use JoinStrictness::{All, Any, Asof, Latest};
            let both_change = left.plan.change != Change::Append && right.plan.change != Change::Append;
            let kind_fits = match kind {
                // An equality in WHERE makes a cross join an inner one, and without one it cannot be run.
                JoinKind::Inner | JoinKind::Left | JoinKind::Cross => true,
                JoinKind::Right | JoinKind::Full => both_change,
            };
            let fits = match (left.plan.change, strictness, right.plan.change) {
                (Change::Append, All, _) => true,
                (Change::Append, Any | Latest | Asof, Change::Append | Change::VersionedKv) => true,
                (Change::Append, ..) => false,
                (_, All, right) => right != Change::Append,
                _ => false,
            };
            if kind_fits && fits {
                return Ok(());
            }
            let text = format!("{strictness:?} {kind:?} JOIN").to_uppercase();
            Err(Error::not_implemented(format!("{text} of two streams, {} and {},", name(left), name(right))))
        }
        (false, true) => {
            Err(Error::not_implemented(format!("a join of the table {} with the stream {}", name(left), name(right))))
        }
        (true, false) => {
            let kind_fits = matches!(kind, JoinKind::Inner | JoinKind::Left | JoinKind::Cross);
            let half = matches!(strictness, JoinStrictness::Semi | JoinStrictness::Anti);
            let changes = left.plan.change != Change::Append && strictness != JoinStrictness::All;
            if kind_fits && !half && !changes {
                return Ok(());
            }
            let text = format!("{strictness:?} {kind:?} JOIN").to_uppercase();
            Err(Error::not_implemented(format!("{text} of the stream {} with the table {}", name(left), name(right))))
        }
    }
}

struct JoinNode {
    kind: JoinKind,
    strictness: JoinStrictness,
    use_nulls: bool,
    /// The setting `any_join_distinct_right_table_keys`, for a join that is ANY.
    distinct: bool,
    /// Seconds.
    range_max: u64,
    /// The right side, where it is one.
    join_table: Option<JoinTable>,
}

impl JoinNode {
    fn build(mut self, left: Plan, right: Plan, mut scope: Scope, condition: Condition) -> Result<(Plan, Scope)> {
        let Condition { keys, left: left_only, right: right_only, asof, both: both_sides, range, align, never } =
            condition;
        let range = range.map_or(Ok(None), |r| r.finish(self.range_max))?;
        if range.is_some() && (left.change != Change::Append || right.change != Change::Append) {
            return Err(Error::new(Code::UNSUPPORTED, "a range in ON joins two appended streams"));
        }
        if align.is_some() && left.change != Change::Append {
            return Err(Error::new(Code::UNSUPPORTED, "lag_behind in ON aligns an appended stream with another one"));
        }
        if let Some(table) = &self.join_table {
            let others = never || !both_sides.is_empty() || !right_only.is_empty() || asof.is_some();
            let on = keys.iter().map(|(_, r)| r);
            table.check(self.kind, self.strictness, self.use_nulls, &right, on, others)?;
        }
        let left_width = left.schema.len();
        // A condition on the side whose rows may be dropped filters that side before the join; on the side whose rows all
        // stay it decides about matches.
        let (left_may_go, right_may_go) = match self.kind {
            JoinKind::Inner | JoinKind::Cross => (true, true),
            JoinKind::Left => (false, true),
            JoinKind::Right => (true, false),
            JoinKind::Full => (false, false),
        };
        let mut rest = Vec::new();
        let left = left_only.into_iter().fold(left, |plan, e| {
            if left_may_go {
                return plan.filter(e);
            }
            rest.push(e);
            plan
        });
        let right = right_only.into_iter().fold(right, |plan, e| {
            if right_may_go {
                return plan.filter(e);
            }
            rest.push(e.map_columns(&|c| c + left_width));
            plan
        });
        // Alternatives have no one key that could be distinct: there ANY itself takes the first row that fits.
        let right = match self.distinct && both_sides.is_empty() {
            true => {
                self.strictness = JoinStrictness::All;
                let schema = Arc::clone(&right.schema);
                let keys = keys.iter().map(|(_, r)| r.clone()).collect();
                Plan::over(&right.clone(), schema, Node::LimitBy { input: Box::new(right), keys, offset: 0, limit: 1 })
            }
            false => right,
        };
        rest.extend(both_sides);
        if never {
            rest.push(Expr::literal(Value::Bool(false), LogicalType::Bool));
        }
        let one_sided = matches!(self.kind, JoinKind::Left | JoinKind::Right);
        let takes_filter = match self.strictness {
            JoinStrictness::All => true,
            JoinStrictness::Any => one_sided || self.kind == JoinKind::Inner,
            _ => false,
        };
        if !rest.is_empty() && !takes_filter {
            return Err(Error::not_implemented(format!("a filter of the {:?} side in ON of this join", self.kind)));
        }
        let filter = rest.into_iter().reduce(both);
        let nulls = |on: bool, ty: &LogicalType| match ty {
            _ if !(on && self.use_nulls) => ty.clone(),
            LogicalType::LowCardinality(t) if can_be_nullable(t) => {
                LogicalType::LowCardinality(Box::new(LogicalType::nullable((**t).clone())))
            }
            t if can_be_nullable(t) => LogicalType::nullable(t.clone()),
            t => t.clone(),
        };
        let left_nulls = matches!(self.kind, JoinKind::Right | JoinKind::Full);
        let right_nulls = matches!(self.kind, JoinKind::Left | JoinKind::Full);
        let mut fields: Vec<Field> =
            left.schema.fields.iter().map(|f| Field::new(Arc::clone(&f.name), nulls(left_nulls, &f.ty))).collect();
        fields.extend(right.schema.fields.iter().map(|f| Field::new(Arc::clone(&f.name), nulls(right_nulls, &f.ty))));
        for (column, field) in scope.columns.iter_mut().zip(&fields) {
            column.ty = field.ty.clone();
        }
        let (streaming, mut change) = (left.streaming, left.change);
        if right.streaming && is_changing(left.change) && is_changing(right.change) {
            change = Change::Changelog;
        }
        let node = Join {
            left: Box::new(left),
            right: Box::new(right),
            kind: self.kind,
            strictness: self.strictness,
            on: keys,
            filter,
            asof,
            range,
            align,
            use_nulls: self.use_nulls,
        };
        Ok((Plan { node: Node::Join(node), schema: Arc::new(Schema::new(fields)), streaming, change }, scope))
    }
}

/// Both conditions.
pub(crate) fn both(a: Expr, b: Expr) -> Expr {
    crate::rewrite::conjunction(vec![a, b]).unwrap_or_else(|| Expr::literal(Value::Bool(true), LogicalType::Bool))
}
