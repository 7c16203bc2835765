//! What does nothing goes: filters that are always true or never, projections over projections, projections that change nothing.

use super::map_inputs;
use super::pushdown::substitute;
use crate::expr::{Expr, ExprKind};
use crate::node::{Node, Plan};
use hydron_func::Volatility;
use hydron_types::{Batch, Value};
use std::sync::Arc;

pub(super) fn simplify(plan: Plan) -> Plan {
    let plan = map_inputs(plan, &mut simplify);
    let Plan { node, schema, streaming, change } = plan;
    match node {
        Node::Filter { input, predicate } => match predicate.as_literal() {
            Some(Value::Bool(true)) => *input,
            // Without end even an empty stream goes on.
            Some(Value::Bool(false) | Value::Null) if !streaming => {
                Plan::values(Arc::clone(&schema), vec![Batch::empty(schema)])
            }
            _ => Plan { node: Node::Filter { input, predicate }, schema, streaming, change },
        },
        Node::Project { input, exprs } => {
            let (input, exprs) = merge(*input, exprs);
            let same_width = exprs.len() == input.schema.len();
            if same_width && exprs.iter().enumerate().all(|(i, e)| e.as_column() == Some(i)) {
                return input;
            }
            Plan { node: Node::Project { input: Box::new(input), exprs }, schema, streaming, change }
        }
        node => Plan { node, schema, streaming, change },
    }
}

/// Puts the expressions of a projection below into the ones above, when that computes nothing twice.
fn merge(input: Plan, exprs: Vec<Expr>) -> (Plan, Vec<Expr>) {
    let Plan { node, schema, streaming, change } = input;
    let Node::Project { input: below, exprs: inner } = node else {
        return (Plan { node, schema, streaming, change }, exprs);
    };
    let mut times = vec![0_usize; inner.len()];
    exprs.iter().for_each(|e| {
        e.columns(&mut |c| {
            if let Some(t) = times.get_mut(c) {
                *t += 1;
            }
        });
    });
    let leaf = |e: &Expr| matches!(e.kind, ExprKind::Column(_) | ExprKind::Literal(_));
    let once = inner.iter().zip(&times).all(|(e, t)| leaf(e) || (*t <= 1 && e.volatility() < Volatility::Volatile));
    let plain = exprs.iter().all(|e| !has_lambda(e)) || inner.iter().all(|e| e.as_column().is_some());
    if !once || !plain {
        return (Plan { node: Node::Project { input: below, exprs: inner }, schema, streaming, change }, exprs);
    }
    let exprs = exprs.iter().map(|e| substitute(e, &inner)).collect();
    (*below, exprs)
}

fn has_lambda(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Lambda { .. } => true,
        ExprKind::Call { args, .. } => args.iter().any(has_lambda),
        _ => false,
    }
}
