//! Grouping sets as plans: ROLLUP, CUBE and GROUPING SETS become a union of plain aggregations, TOTALS a plan of its own.
//!
//! Promise: a key that a set leaves out has the default of its type.

use hydron_base::Result;
use hydron_func::{ArgInfo, BindContext, Registry, Volatility};
use hydron_plan::node::{Aggregate, Grouping, Join, JoinKind, JoinStrictness};
use hydron_plan::{Expr, ExprKind, Node, Plan};
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
        Grouping::Totals => vec![(0..keys).collect()],
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
        if i >= aggregate.keys.len() {
            return Ok(Expr::column(i - aggregate.keys.len() + set.len(), ty));
        }
        Ok(match set.iter().position(|k| *k == i) {
            Some(at) => Expr::column(at, ty),
            None => left_out(ty)?,
        })
    };
    let exprs = plan.schema.fields.iter().enumerate().map(column).collect::<Result<_>>()?;
    let node = Node::Project { input: Box::new(plain), exprs };
    Ok(Plan { node, schema: Arc::clone(&plan.schema), streaming: plan.streaming, change: plan.change })
}

/// The default of a key that a set leaves out. Not a plain constant: a condition on it would be known to be false and go
/// below the aggregation over all rows, which answers one row even where none comes in.
fn left_out(ty: LogicalType) -> Result<Expr> {
    let default = Expr::literal(Value::default_of(&ty), ty.clone());
    let bound = Registry::builtin().bind_scalar("materialize", &BindContext::default(), &[ArgInfo::column(ty)])?;
    let kind = ExprKind::Call {
        name: Arc::from("materialize"),
        kernel: bound.kernel,
        args: vec![default],
        volatility: Volatility::Volatile,
    };
    Ok(Expr { kind, ty: bound.ty })
}

/// The plan of the one row WITH TOTALS that a query delivers apart; `None`: it has no totals.
///
/// The row is over all rows of the aggregation, or over those of the groups that pass HAVING, the filter right above. Sorting, limits
/// and other filters do not touch it; projections do.
pub fn totals_of(plan: &Plan) -> Option<Plan> {
    match &plan.node {
        Node::Filter { input, predicate }
            if let Node::Aggregate(aggregate) = &input.node
                && aggregate.grouping == Grouping::Totals
                && !aggregate.keys.is_empty() =>
        {
            totals_of_passing(aggregate, input, predicate).ok()
        }
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
        Node::Filter { input, .. }
        | Node::Sort { input, .. }
        | Node::Fill { input, .. }
        | Node::Limit { input, .. }
        | Node::LimitBy { input, .. }
        | Node::Distinct { input, .. } => totals_of(input),
        _ => None,
    }
}

/// The totals over the rows whose groups pass `having`: rows meet the keys of those groups.
fn totals_of_passing(aggregate: &Aggregate, plan: &Plan, having: &Expr) -> Result<Plan> {
    let plain = Aggregate { grouping: Grouping::Plain, ..aggregate.clone() };
    let groups = Plan { node: Node::Aggregate(plain), ..plan.clone() }.filter(having.clone());
    let keys: Vec<usize> = (0..aggregate.keys.len()).collect();
    let groups = groups.select(&keys);
    let mut on = Vec::new();
    for (i, key) in aggregate.keys.iter().enumerate() {
        let pair = (key.clone(), Expr::column(i, key.ty.clone()));
        if !key.ty.is_nullable() {
            on.push(pair);
            continue;
        }
        // NULL meets NULL: whether there is a value, and the value or its default.
        for name in ["is_null", "assume_not_null"] {
            on.push((call_of(name, pair.0.clone())?, call_of(name, pair.1.clone())?));
        }
    }
    let fields = aggregate.input.schema.fields.iter().chain(&groups.schema.fields).cloned().collect();
    let join = Join {
        left: aggregate.input.clone(),
        right: Box::new(groups),
        kind: JoinKind::Inner,
        strictness: JoinStrictness::Semi,
        on,
        filter: None,
        asof: None,
        range: None,
        use_nulls: false,
        align: None,
    };
    let schema = Arc::new(hydron_types::Schema::new(fields));
    let input = Plan { node: Node::Join(join), schema, ..(*aggregate.input).clone() };
    of_set(&Aggregate { input: Box::new(input), ..aggregate.clone() }, plan, &[])
}

/// A call of a function of one argument.
fn call_of(name: &str, arg: Expr) -> Result<Expr> {
    let info = ArgInfo::column(arg.ty.clone());
    let bound = Registry::builtin().bind_scalar(name, &BindContext::default(), &[info])?;
    let kind = ExprKind::Call {
        name: Arc::from(name),
        kernel: bound.kernel,
        args: vec![arg],
        volatility: bound.volatility,
    };
    Ok(Expr { kind, ty: bound.ty })
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
        Node::Fill { input, columns } => Node::Fill { input: boxed(input)?, columns },
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
