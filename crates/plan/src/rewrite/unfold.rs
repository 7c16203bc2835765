//! Windows below a streaming ARRAY JOIN move above it, to the aggregation that closes them.
//!
//! Rows that come of one row have its time, so they are in the same windows before and after. Not so a session, which a row may end.

use super::map_inputs;
use crate::expr::Expr;
use crate::node::{Node, Plan, WindowKind, WindowSpec};
use hydron_types::{Field, Schema};
use std::sync::Arc;

pub(super) fn lift_windows(plan: Plan) -> Plan {
    let plan = map_inputs(plan, &mut lift_windows);
    let Plan { node, schema, streaming, change } = plan;
    match node {
        Node::ArrayJoin { input, columns, left } if streaming => match apart(&input, &columns) {
            Some(parts) => lift(parts, &columns, left, &schema),
            None => Plan { node: Node::ArrayJoin { input, columns, left }, schema, streaming, change },
        },
        node => Plan { node, schema, streaming, change },
    }
}

/// What lies between a window and the ARRAY JOIN above it.
struct Parts {
    /// Of the window.
    input: Plan,
    window: WindowSpec,
    /// The window's columns, over those of the input.
    bounds: Vec<Field>,
    /// Innermost first, over the input and the bounds.
    filters: Vec<Expr>,
    /// What the arrays are unfolded in, over the same.
    exprs: Vec<Expr>,
}

fn apart(plan: &Plan, columns: &[usize]) -> Option<Parts> {
    let (exprs, mut below) = match &plan.node {
        Node::Project { input, exprs } => (exprs.clone(), &**input),
        _ => (plan.columns().into_iter().map(|(_, e)| e).collect(), plan),
    };
    let mut filters = Vec::new();
    while let Node::Filter { input, predicate } = &below.node {
        filters.insert(0, predicate.clone());
        below = input;
    }
    let Node::AssignWindow { input, window } = &below.node else { return None };
    if matches!(window.kind, WindowKind::Session { .. }) {
        return None;
    }
    let width = input.schema.len();
    if columns.iter().any(|c| exprs.get(*c).is_none_or(|e| reads_from(e, width))) {
        return None;
    }
    let bounds = below.schema.fields[width..].to_vec();
    Some(Parts { input: (**input).clone(), window: window.clone(), bounds, filters, exprs })
}

fn reads_from(expr: &Expr, width: usize) -> bool {
    let mut reads = false;
    expr.columns(&mut |c| reads |= c >= width);
    reads
}

/// The arrays are worked out and unfolded behind the input's columns, then come the window, the conditions and the rest.
fn lift(parts: Parts, columns: &[usize], left: bool, schema: &Arc<Schema>) -> Plan {
    let Parts { input, window, bounds, filters, exprs } = parts;
    let width = input.schema.len();
    let arrays = columns.iter().map(|c| (Arc::from("array"), exprs[*c].clone())).collect();
    let below = input.extend(arrays);
    let mut fields = below.schema.fields.clone();
    for (i, c) in columns.iter().enumerate() {
        fields[width + i].ty = schema.fields[*c].ty.clone();
    }
    let unfolded: Vec<usize> = (width..width + columns.len()).collect();
    let node = Node::ArrayJoin { input: Box::new(below.clone()), columns: unfolded, left };
    let mut plan = Plan::over(&below, Arc::new(Schema::new(fields.clone())), node);
    fields.extend(bounds);
    let node = Node::AssignWindow { input: Box::new(plan.clone()), window };
    plan = Plan::over(&plan.clone(), Arc::new(Schema::new(fields)), node);
    let moved = |e: &Expr| e.map_columns(&|c| if c < width { c } else { c + columns.len() });
    for filter in &filters {
        plan = plan.filter(moved(filter));
    }
    let of = |(at, expr): (usize, &Expr)| {
        let field = &schema.fields[at];
        let element = columns.iter().position(|c| *c == at);
        let expr = element.map_or_else(|| moved(expr), |i| Expr::column(width + i, field.ty.clone()));
        (Arc::clone(&field.name), expr)
    };
    let columns_out = exprs.iter().enumerate().map(of).collect();
    plan.project(columns_out)
}
