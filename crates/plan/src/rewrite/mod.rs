//! Plan to better plan. Same rows, same order where order is promised; a streaming plan emits what it emitted.
//!
//! In reading order: [`pushdown`] (filters toward sources), [`policy`] (what may pass a row policy), [`lift`] (windows above joins), [`unfold`] (windows above ARRAY JOIN), [`simplify`] (what does nothing goes), [`prune`] (columns nobody
//! reads), [`limit`] (how many rows a source need give), [`seek`] (where a streaming source starts, from its filter).

mod lift;
mod limit;
pub(crate) mod policy;
mod prune;
mod pushdown;
mod seek;
mod simplify;
mod unfold;

use crate::expr::{Expr, ExprKind};
use crate::node::{JoinKind, Node, Plan};
use hydron_base::world::WallTime;
use hydron_base::{Error, Result, Settings};
use hydron_func::{ArgInfo, BindContext, Registry};
use hydron_types::Schema;
use std::sync::Arc;

/// What rewrites depend on beside the plan.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The time of the query: `_tp_time > now() - 1h` becomes a place in the log.
    pub now: WallTime,
    /// No `seek_to` was set, so that filters on time and sequence number say where to start.
    pub seek_by_filter: bool,
}

impl Options {
    pub fn of(settings: &Settings, now: WallTime) -> Options {
        Options { now, seek_by_filter: settings.text("seek_to").is_empty() }
    }
}

/// All rewrites, in their order.
///
/// Errors: UNEXPECTED_EXPRESSION (183) for a streaming query whose filter compares `_tp_time` or `_tp_sn` with something that
/// is not known when the query starts, NOT_IMPLEMENTED (48) for two streams side by side that no equality joins.
pub fn optimize(plan: Plan, options: &Options) -> Result<Plan> {
    let schema = Arc::clone(&plan.schema);
    let plan = pushdown::push_filters(plan);
    check_crosses(&plan)?;
    let plan = lift::lift_windows(plan);
    let plan = unfold::lift_windows(plan);
    let plan = seek::find_seeks(plan, options)?;
    let plan = simplify::simplify(plan);
    let plan = prune::prune_columns(plan);
    let plan = simplify::simplify(plan);
    Ok(limit::hint_limits(named_as(plan, &schema)))
}

fn check_crosses(plan: &Plan) -> Result<()> {
    if let Node::Join(join) = &plan.node
        && join.kind == JoinKind::Cross
        && join.left.streaming
        && join.right.streaming
    {
        return Err(Error::not_implemented("a join of two streams without an equality of their columns"));
    }
    plan.inputs().into_iter().try_for_each(check_crosses)
}

/// The plan with the names of `schema`: those of the whole answer are the user's, all others serve no one.
fn named_as(plan: Plan, schema: &Schema) -> Plan {
    if plan.schema.fields.iter().zip(&schema.fields).all(|(a, b)| a.name == b.name) {
        return plan;
    }
    let columns = plan.columns().into_iter().zip(&schema.fields).map(|((_, e), f)| (Arc::clone(&f.name), e)).collect();
    plan.project(columns)
}

/// The operands of AND, flat.
pub fn conjuncts(predicate: Expr) -> Vec<Expr> {
    let mut parts = Vec::new();
    let mut open = vec![predicate];
    while let Some(expr) = open.pop() {
        match expr.kind {
            ExprKind::Call { name, args, .. } if &*name == "and" => open.extend(args.into_iter().rev()),
            kind => parts.push(Expr { kind, ty: expr.ty }),
        }
    }
    parts
}

/// AND of conditions; `None` for no condition.
pub fn conjunction(mut parts: Vec<Expr>) -> Option<Expr> {
    if parts.len() < 2 {
        return parts.pop();
    }
    let infos: Vec<ArgInfo> = parts.iter().map(|p| ArgInfo::column(p.ty.clone())).collect();
    // AND of bools exists and needs nothing of a context.
    let bound = Registry::builtin().bind_scalar("and", &BindContext::default(), &infos).ok()?;
    let kind =
        ExprKind::Call { name: Arc::from("and"), kernel: bound.kernel, args: parts, volatility: bound.volatility };
    Some(Expr { kind, ty: bound.ty })
}

/// Calls `change` on every input of a plan and puts the results back.
fn map_inputs(mut plan: Plan, change: &mut impl FnMut(Plan) -> Plan) -> Plan {
    for input in plan.inputs_mut() {
        let taken = std::mem::replace(input, Plan::one_row());
        *input = change(taken);
    }
    plan
}
