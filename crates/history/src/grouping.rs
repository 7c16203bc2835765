//! Grouping sets as plans: ROLLUP, CUBE and GROUPING SETS become a union of plain aggregations, TOTALS a plan of its own.
//!
//! Promise: a key that a set leaves out has the default of its type.

use hydron_base::Result;
use hydron_func::{ArgInfo, BindContext, Registry, Volatility, state_halves};
use hydron_plan::node::{Aggregate, Grouping, Join, JoinKind, JoinStrictness};
use hydron_plan::{AggCall, Expr, ExprKind, Node, Plan};
use hydron_types::{LogicalType, Value};
use std::sync::Arc;

/// The same plan without ROLLUP, CUBE and GROUPING SETS.
pub fn expand(plan: Plan) -> Result<Plan> {
    let plan = map_inputs(plan, &mut expand)?;
    let Node::Aggregate(aggregate) = &plan.node else {
        return Ok(plan);
    };
    let keys = aggregate.keys.len();
    let grouping = match &aggregate.grouping {
        Grouping::WithTotals(inner) => inner,
        grouping => grouping,
    };
    let sets: Vec<Vec<usize>> = match grouping {
        Grouping::Plain | Grouping::WithTotals(_) => return Ok(plan),
        Grouping::Totals | Grouping::TotalsOfHaving => vec![(0..keys).collect()],
        Grouping::Rollup => (0..=keys).rev().map(|n| (0..n).collect()).collect(),
        Grouping::Cube => {
            // The first key varies slowest: all keys first, none last.
            let of = |mask: usize| (0..keys).filter(|k| mask & (1 << (keys - 1 - k)) != 0).collect();
            (0..1usize << keys).rev().map(of).collect()
        }
        Grouping::Sets(sets) => sets.clone(),
    };
    let mut inputs = sets.iter().map(|set| of_set(aggregate, &plan, set)).collect::<Result<Vec<_>>>()?;
    if inputs.len() == 1 {
        return Ok(inputs.swap_remove(0));
    }
    let schema = Arc::clone(&plan.schema);
    Ok(Plan { node: Node::Union { inputs }, schema, streaming: plan.streaming, change: plan.change })
}

/// One plain aggregation by the keys of `set`, with the columns of all keys.
fn of_set(aggregate: &Aggregate, plan: &Plan, set: &[usize]) -> Result<Plan> {
    let keys: Vec<Expr> = set.iter().map(|k| aggregate.keys[*k].clone()).collect();
    let fields = set.iter().copied().chain(aggregate.keys.len()..plan.schema.len());
    let schema = Arc::new(hydron_types::Schema::new(fields.map(|i| plan.schema.fields[i].clone()).collect()));
    let plain = Aggregate { keys, grouping: Grouping::Plain, ..aggregate.clone() };
    let plain = Plan { node: Node::Aggregate(plain), schema, streaming: plan.streaming, change: plan.change };
    let column = |(i, field): (usize, &hydron_types::Field)| -> Result<Expr> {
        let ty = field.ty.clone();
        if i.checked_sub(aggregate.keys.len()).is_some_and(|a| aggregate.aggs[a].is_grouping_set()) {
            return unfoldable(Value::UInt(set.iter().map(|k| 1 << k.min(&63)).sum()), ty);
        }
        if i >= aggregate.keys.len() {
            return Ok(Expr::column(i - aggregate.keys.len() + set.len(), ty));
        }
        Ok(match set.iter().position(|k| *k == i) {
            Some(at) => Expr::column(at, ty),
            None => unfoldable(Value::default_of(&ty), ty)?,
        })
    };
    let exprs = plan.schema.fields.iter().enumerate().map(column).collect::<Result<_>>()?;
    let node = Node::Project { input: Box::new(plain), exprs };
    Ok(Plan { node, schema: Arc::clone(&plan.schema), streaming: plan.streaming, change: plan.change })
}

/// What is the same in all rows of a set, as the default of a key that it leaves out. Not a plain constant: a condition on it would be known to be false and go
/// below the aggregation over all rows, which answers one row even where none comes in.
fn unfoldable(value: Value, ty: LogicalType) -> Result<Expr> {
    let literal = Expr::literal(value, ty.clone());
    let bound = Registry::builtin().bind_scalar("materialize", &BindContext::default(), &[ArgInfo::column(ty)])?;
    let kind = ExprKind::Call {
        name: Arc::from("materialize"),
        kernel: bound.kernel,
        args: vec![literal],
        volatility: Volatility::Volatile,
    };
    Ok(Expr { kind, ty: bound.ty })
}

/// The plan of the one row WITH TOTALS that a query delivers apart; `None`: it has no totals.
///
/// The row is over all rows of the aggregation, or over those whose groups pass HAVING. Sorting, limits and filters above do
/// not touch it; projections do.
pub fn totals_of(plan: &Plan) -> Option<Plan> {
    match &plan.node {
        Node::Aggregate(aggregate) if aggregate.grouping.has_totals() => of_set(aggregate, plan, &[]).ok(),
        Node::Join(join) => totals_of_join(join, plan),
        // One row is no array to unfold.
        Node::ArrayJoin { input, columns, .. } => {
            let totals = totals_of(input)?;
            let element = |(i, field): (usize, &hydron_types::Field)| match columns.contains(&i) {
                true => Expr::literal(Value::default_of(&field.ty), field.ty.clone()),
                false => Expr::column(i, field.ty.clone()),
            };
            let exprs = plan.schema.fields.iter().enumerate().map(element).collect();
            Some(Plan { node: Node::Project { input: Box::new(totals), exprs }, ..plan.clone() })
        }
        Node::Project { input, exprs } => {
            let node = Node::Project { input: Box::new(totals_of(input)?), exprs: exprs.clone() };
            Some(Plan { node, ..plan.clone() })
        }
        Node::Filter { input, predicate } => match &input.node {
            Node::Aggregate(aggregate) if aggregate.grouping == Grouping::TotalsOfHaving => {
                totals_of_passing(aggregate, input, predicate).or_else(|| totals_of(input))
            }
            _ => totals_of(input),
        },
        Node::Sort { input, .. }
        | Node::Fill { input, .. }
        | Node::Limit { input, .. }
        | Node::LimitBy { input, .. }
        | Node::Distinct { input, .. } => totals_of(input),
        _ => None,
    }
}

/// Totals over the groups for which `predicate` holds: their states meet in one row. `None`: a state cannot be handed on.
fn totals_of_passing(aggregate: &Aggregate, plan: &Plan, predicate: &Expr) -> Option<Plan> {
    let (keys, aggs) = (aggregate.keys.len(), aggregate.aggs.len());
    let halves: Vec<_> = aggregate.aggs.iter().map(|a| state_halves(&a.bound)).collect::<Result<_>>().ok()?;
    let mut fields = plan.schema.fields[..keys + aggs].to_vec();
    let mut all = aggregate.aggs.clone();
    let mut merged = Vec::with_capacity(aggs);
    for (i, (agg, (states, merge))) in aggregate.aggs.iter().zip(halves).enumerate() {
        fields.push(hydron_types::Field::new(format!("state_{i}"), states.ty.clone()));
        merged.push(AggCall {
            name: Arc::clone(&agg.name),
            bound: merge,
            args: vec![Expr::column(keys + aggs + i, states.ty.clone())],
            filter: None,
        });
        all.push(AggCall { bound: states, ..agg.clone() });
    }
    let groups = Aggregate { aggs: all, grouping: Grouping::Plain, ..aggregate.clone() };
    let schema = Arc::new(hydron_types::Schema::new(fields));
    let groups = Plan { node: Node::Aggregate(groups), schema, streaming: false, change: plan.change };
    let passing = groups.filter(predicate.clone());
    let one = Aggregate {
        input: Box::new(passing),
        keys: Vec::new(),
        aggs: merged,
        grouping: Grouping::Plain,
        ..aggregate.clone()
    };
    let schema = Arc::new(hydron_types::Schema::new(plan.schema.fields[keys..].to_vec()));
    let one = Plan { node: Node::Aggregate(one), schema, streaming: false, change: plan.change };
    let column = |(i, field): (usize, &hydron_types::Field)| match i.checked_sub(keys) {
        Some(agg) if aggregate.aggs.get(agg).is_some_and(AggCall::is_grouping_set) => {
            Ok(Expr::literal(Value::UInt(0), field.ty.clone()))
        }
        Some(agg) => Ok(Expr::column(agg, field.ty.clone())),
        None => unfoldable(Value::default_of(&field.ty), field.ty.clone()),
    };
    let exprs = plan.schema.fields.iter().enumerate().map(column).collect::<Result<_>>().ok()?;
    let node = Node::Project { input: Box::new(one), exprs };
    Some(Plan { node, ..plan.clone() })
}

/// The totals of both sides beside each other; a side without totals has the defaults of its columns.
fn totals_of_join(join: &Join, plan: &Plan) -> Option<Plan> {
    let (left, right) = (totals_of(&join.left), totals_of(&join.right));
    if left.is_none() && right.is_none() {
        return None;
    }
    let side = |totals: Option<Plan>, of: &Plan| totals.unwrap_or_else(|| defaults(of));
    let cross = Join {
        left: Box::new(side(left, &join.left)),
        right: Box::new(side(right, &join.right)),
        kind: JoinKind::Cross,
        strictness: JoinStrictness::All,
        on: Vec::new(),
        filter: None,
        asof: None,
        range: None,
        use_nulls: join.use_nulls,
        align: None,
    };
    Some(Plan { node: Node::Join(cross), ..plan.clone() })
}

/// One row with the defaults of the columns of `plan`.
fn defaults(plan: &Plan) -> Plan {
    let column = |f: &hydron_types::Field| (Arc::clone(&f.name), Expr::literal(Value::default_of(&f.ty), f.ty.clone()));
    Plan::one_row().project(plan.schema.fields.iter().map(column).collect())
}

/// The plan with `map` applied to its inputs.
fn map_inputs(plan: Plan, map: &mut impl FnMut(Plan) -> Result<Plan>) -> Result<Plan> {
    let mut boxed = |input: Box<Plan>| -> Result<Box<Plan>> { Ok(Box::new(map(*input)?)) };
    let node = match plan.node {
        Node::Filter { input, predicate } => Node::Filter { input: boxed(input)?, predicate },
        Node::Project { input, exprs } => Node::Project { input: boxed(input)?, exprs },
        Node::AssignWindow { input, window } => Node::AssignWindow { input: boxed(input)?, window },
        Node::Aggregate(a) => Node::Aggregate(Aggregate { input: boxed(a.input)?, ..a }),
        Node::Join(j) => Node::Join(hydron_plan::node::Join { left: boxed(j.left)?, right: boxed(j.right)?, ..j }),
        Node::ArrayJoin { input, columns, left } => Node::ArrayJoin { input: boxed(input)?, columns, left },
        Node::Sort { input, keys, limit } => Node::Sort { input: boxed(input)?, keys, limit },
        Node::Fill { input, columns, interpolated } => Node::Fill { input: boxed(input)?, columns, interpolated },
        Node::Limit { input, offset, limit, ties } => Node::Limit { input: boxed(input)?, offset, limit, ties },
        Node::LimitBy { input, keys, offset, limit } => Node::LimitBy { input: boxed(input)?, keys, offset, limit },
        Node::Distinct { input, on, forget } => Node::Distinct { input: boxed(input)?, on, forget },
        Node::Union { inputs } => Node::Union { inputs: inputs.into_iter().map(&mut *map).collect::<Result<_>>()? },
        Node::SetOperation { left, right, except, distinct } => {
            Node::SetOperation { left: boxed(left)?, right: boxed(right)?, except, distinct }
        }
        Node::Changelog { input, keys, version } => Node::Changelog { input: boxed(input)?, keys, version },
        Node::Lags { input, keys, calls } => Node::Lags { input: boxed(input)?, keys, calls },
        Node::Signs { input } => Node::Signs { input: boxed(input)? },
        Node::WindowFunctions { input, calls } => Node::WindowFunctions { input: boxed(input)?, calls },
        leaf @ (Node::Values { .. } | Node::Numbers { .. } | Node::Scan(_)) => leaf,
    };
    Ok(Plan { node, ..plan })
}
