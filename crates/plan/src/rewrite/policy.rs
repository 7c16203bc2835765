//! Row policies among filters: what a query asks of rows comes after what it may see of them.
//!
//! In: the condition of a policy, and filters above it. Out: which of these may be put beside it. Promise: a function that can
//! fail is called for rows that pass the policy alone, in whatever order conditions are worked out later.

use crate::expr::{Expr, ExprKind};
use hydron_func::{ArgInfo, BindContext, Registry, Volatility};
use hydron_types::Value;
use std::sync::Arc;

/// The name under which a policy's condition stands in a plan.
const NAME: &str = "row_policy";

/// Comparisons and logic: they have an answer for every row.
const SAFE: &[&str] = &[
    "and",
    "or",
    "not",
    "xor",
    "equals",
    "not_equals",
    "less",
    "greater",
    "less_or_equals",
    "greater_or_equals",
    "is_null",
    "is_not_null",
    "in",
    "not_in",
];

/// A condition, marked as that of a policy; it stays a call whatever its value.
pub(crate) fn marked(condition: Expr) -> Expr {
    let info = ArgInfo::column(condition.ty.clone());
    // `identity` exists and needs nothing of a context.
    let Ok(bound) = Registry::builtin().bind_scalar("identity", &BindContext::default(), &[info]) else {
        return condition;
    };
    let ty = condition.ty.clone();
    let kind = ExprKind::Call {
        name: Arc::from(NAME),
        kernel: bound.kernel,
        args: vec![condition],
        volatility: Volatility::Volatile,
    };
    Expr { kind, ty }
}

pub(super) fn is_marked(predicate: &Expr) -> bool {
    matches!(&predicate.kind, ExprKind::Call { name, args, .. } if &**name == NAME && args.len() == 1)
}

/// What a marked policy asks.
pub(super) fn condition(predicate: Expr) -> Expr {
    match predicate.kind {
        ExprKind::Call { mut args, .. } if args.len() == 1 => args.remove(0),
        kind => Expr { kind, ty: predicate.ty },
    }
}

/// Whether a filter cannot fail because of a row, nor tell of it in another way.
pub(super) fn tells_nothing(filter: &Expr) -> bool {
    let mut reads = false;
    filter.columns(&mut |_| reads = true);
    match &filter.kind {
        _ if filter.volatility() >= Volatility::Volatile => false,
        _ if !reads => true,
        ExprKind::Column(_) | ExprKind::Literal(_) => true,
        ExprKind::Call { name, args, .. } => SAFE.contains(&&**name) && args.iter().all(tells_nothing),
        ExprKind::Lambda { .. } => false,
    }
}

/// `if(policy, filter, false)`: the filter is worked out for rows that pass the policy, and for no others.
pub(super) fn behind(policy: &Expr, filter: Expr) -> Expr {
    let ty = filter.ty.clone();
    let args = vec![policy.clone(), filter, Expr::literal(Value::Bool(false), ty)];
    let infos: Vec<ArgInfo> = args.iter().map(|a| ArgInfo::column(a.ty.clone())).collect();
    let bound = Registry::builtin().bind_scalar("if", &BindContext::default(), &infos);
    let Ok(bound) = bound else { return Expr::literal(Value::Bool(false), args[1].ty.clone()) };
    let kind = ExprKind::Call { name: Arc::from("if"), kernel: bound.kernel, args, volatility: bound.volatility };
    Expr { kind, ty: bound.ty }
}
