//! Filters move toward the sources that can use them.

use super::{conjunction, conjuncts, policy};
use crate::expr::{Expr, ExprKind};
use crate::node::{Aggregate, Forget, Grouping, Join, JoinKind, JoinStrictness, Node, Plan, Scan};
use hydron_func::Volatility;
use std::sync::Arc;

/// A projected expression is computed again below its projection only when it is at most so many calls.
const REPEATED_CALLS_MAX: usize = 8;

pub(super) fn push_filters(plan: Plan) -> Plan {
    push(plan, Vec::new())
}

/// `filters` hold over the output of `plan`; each is applied as low as it may.
fn push(plan: Plan, mut filters: Vec<Expr>) -> Plan {
    let Plan { node, schema, streaming, change } = plan;
    let rebuild = |node| Plan { node, schema: Arc::clone(&schema), streaming, change };
    match node {
        Node::Filter { input, predicate } if policy::is_marked(&predicate) => {
            let policy = policy::condition(predicate);
            // Nothing that could tell of a row by an error sees one that the policy hides.
            let (down, up) = split(filters, policy::tells_nothing);
            let up = up.into_iter().map(|f| policy::behind(&policy, f)).collect();
            let mut parts = conjuncts(policy);
            parts.extend(down);
            apply(push(*input, parts), up)
        }
        Node::Filter { input, predicate } => {
            if predicate.volatility() >= Volatility::Volatile {
                // It must see the rows it sees now.
                let kept = push(*input, Vec::new()).filter(predicate);
                return apply(kept, filters);
            }
            let mut parts = conjuncts(predicate);
            parts.append(&mut filters);
            push(*input, parts)
        }
        Node::Project { input, exprs } => {
            let stays = exprs.iter().any(|e| e.volatility() == Volatility::Stateful);
            let (down, up) = split(filters, |f| !stays && can_substitute(f, &exprs));
            let down = down.iter().map(|f| substitute(f, &exprs)).collect();
            let input = Box::new(push(*input, down));
            apply(rebuild(Node::Project { input, exprs }), up)
        }
        // Keys are the same on a row and on the one it replaces; what else a filter reads decides which row is the last.
        Node::Changelog { input, keys, version } => {
            let is_key = |c: usize| keys.iter().any(|k| k.as_column() == Some(c));
            let (down, up) = split(filters, |f| {
                let mut of_key = reads_something(f);
                f.columns(&mut |c| of_key &= is_key(c));
                of_key
            });
            let input = Box::new(push(*input, down));
            apply(rebuild(Node::Changelog { input, keys, version }), up)
        }
        Node::Signs { input } => {
            let width = input.schema.len();
            let (down, up) = split(filters, |f| within(f, 0, width));
            let input = Box::new(push(*input, down));
            apply(rebuild(Node::Signs { input }), up)
        }
        Node::AssignWindow { input, window } => {
            let width = input.schema.len();
            // In a stream a row that fails a condition still says how far event time has come.
            let (down, up) = split(filters, |f| !streaming && within(f, 0, width));
            let input = Box::new(push(*input, down));
            apply(rebuild(Node::AssignWindow { input, window }), up)
        }
        Node::Aggregate(aggregate) => {
            let Aggregate { input, keys, grouping, .. } = &aggregate;
            let by_group = !streaming && *grouping == Grouping::Plain && !keys.is_empty() && !input.streaming;
            let keys = keys.clone();
            let (down, up) = split(filters, |f| {
                by_group && within(f, 0, keys.len()) && reads_something(f) && can_substitute(f, &keys)
            });
            let down = down.iter().map(|f| substitute(f, &keys)).collect();
            let input = Box::new(push(*aggregate.input, down));
            apply(rebuild(Node::Aggregate(Aggregate { input, ..aggregate })), up)
        }
        Node::Join(join) => push_join(join, filters, rebuild),
        Node::ArrayJoin { input, columns, left } => {
            let (down, up) = split(filters, |f| {
                let mut apart = true;
                f.columns(&mut |c| apart &= !columns.contains(&c));
                apart
            });
            let input = Box::new(push(*input, down));
            apply(rebuild(Node::ArrayJoin { input, columns, left }), up)
        }
        Node::Union { inputs } => {
            let inputs = inputs.into_iter().map(|i| push(i, filters.clone())).collect();
            rebuild(Node::Union { inputs })
        }
        Node::Sort { input, keys, limit: None } => {
            let input = Box::new(push(*input, filters));
            rebuild(Node::Sort { input, keys, limit: None })
        }
        Node::Distinct { input, on, forget } if on.is_empty() && forget == Forget::default() => {
            let input = Box::new(push(*input, filters));
            rebuild(Node::Distinct { input, on, forget })
        }
        Node::Scan(scan) => {
            let pruning = conjunction(filters.clone());
            apply(rebuild(Node::Scan(Scan { pruning, ..scan })), filters)
        }
        other => {
            let plan = super::map_inputs(rebuild(other), &mut |input| push(input, Vec::new()));
            apply(plan, filters)
        }
    }
}

fn push_join(join: Join, filters: Vec<Expr>, rebuild: impl Fn(Node) -> Plan) -> Plan {
    let (width, total) = (join.left.schema.len(), join.left.schema.len() + join.right.schema.len());
    // A side whose rows may be made up (defaults or NULL for no match) must not be filtered before the join.
    let (left_ok, right_ok) = match join.kind {
        JoinKind::Inner | JoinKind::Cross => (true, join.strictness == JoinStrictness::All),
        JoinKind::Left => (true, false),
        JoinKind::Right => (false, true),
        JoinKind::Full => (false, false),
    };
    let (left, rest) = split(filters, |f| left_ok && within(f, 0, width));
    let (right, rest) = split(rest, |f| right_ok && within(f, width, total));
    let right = right.iter().map(|f| f.map_columns(&|c| c - width)).collect();
    let mut join = join;
    let all = join.strictness == JoinStrictness::All && matches!(join.kind, JoinKind::Inner | JoinKind::Cross);
    let (keys, rest) = split(rest, |f| all && equality(f, width).is_some());
    for key in &keys {
        if let Some((l, r)) = equality(key, width) {
            join.on.push((l, r.map_columns(&|c| c - width)));
            join.kind = JoinKind::Inner;
        }
    }
    join.left = Box::new(push(*join.left, left));
    join.right = Box::new(push(*join.right, right));
    apply(rebuild(Node::Join(join)), rest)
}

/// The two sides of `left = right` across a join, of one type.
fn equality(filter: &Expr, width: usize) -> Option<(Expr, Expr)> {
    let ExprKind::Call { name, args, .. } = &filter.kind else { return None };
    let [a, b] = args.as_slice() else { return None };
    if &**name != "equals" || a.ty != b.ty || !reads_something(a) || !reads_something(b) {
        return None;
    }
    if within(a, 0, width) && within(b, width, usize::MAX) {
        Some((a.clone(), b.clone()))
    } else if within(b, 0, width) && within(a, width, usize::MAX) {
        Some((b.clone(), a.clone()))
    } else {
        None
    }
}

fn apply(plan: Plan, filters: Vec<Expr>) -> Plan {
    match conjunction(filters) {
        Some(predicate) => plan.filter(predicate),
        None => plan,
    }
}

fn split(filters: Vec<Expr>, down: impl Fn(&Expr) -> bool) -> (Vec<Expr>, Vec<Expr>) {
    filters.into_iter().partition(|f| f.volatility() < Volatility::Volatile && down(f))
}

pub(super) fn within(expr: &Expr, from: usize, to: usize) -> bool {
    let mut inside = true;
    expr.columns(&mut |c| inside &= (from..to).contains(&c));
    inside
}

fn reads_something(expr: &Expr) -> bool {
    let mut reads = false;
    expr.columns(&mut |_| reads = true);
    reads
}

/// Whether the columns a filter reads can be replaced by what computes them.
pub(super) fn can_substitute(filter: &Expr, exprs: &[Expr]) -> bool {
    let mut fits = true;
    filter.columns(&mut |c| {
        fits &= exprs.get(c).is_some_and(|e| e.volatility() < Volatility::Volatile && calls(e) <= REPEATED_CALLS_MAX);
    });
    fits && captures_are_columns(filter, exprs)
}

fn calls(expr: &Expr) -> usize {
    match &expr.kind {
        ExprKind::Call { args, .. } => 1 + args.iter().map(calls).sum::<usize>(),
        // The body runs once for each element.
        ExprKind::Lambda { .. } => REPEATED_CALLS_MAX,
        _ => 0,
    }
}

fn captures_are_columns(expr: &Expr, exprs: &[Expr]) -> bool {
    match &expr.kind {
        ExprKind::Call { args, .. } => args.iter().all(|a| captures_are_columns(a, exprs)),
        ExprKind::Lambda { captures, .. } => {
            captures.iter().all(|c| exprs.get(*c).is_some_and(|e| e.as_column().is_some()))
        }
        _ => true,
    }
}

/// The expression with column `i` replaced by `exprs[i]`.
pub(super) fn substitute(expr: &Expr, exprs: &[Expr]) -> Expr {
    let kind = match &expr.kind {
        ExprKind::Column(c) => return exprs.get(*c).cloned().unwrap_or_else(|| expr.clone()),
        ExprKind::Literal(_) => return expr.clone(),
        ExprKind::Call { name, kernel, args, volatility } => ExprKind::Call {
            name: Arc::clone(name),
            kernel: Arc::clone(kernel),
            args: args.iter().map(|a| substitute(a, exprs)).collect(),
            volatility: *volatility,
        },
        ExprKind::Lambda { captures, params, body } => ExprKind::Lambda {
            captures: captures.iter().map(|c| exprs.get(*c).and_then(Expr::as_column).unwrap_or(*c)).collect(),
            params: params.clone(),
            body: Arc::clone(body),
        },
    };
    Expr { kind, ty: expr.ty.clone() }
}
