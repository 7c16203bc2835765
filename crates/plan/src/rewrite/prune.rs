//! Columns nobody reads are not read.

use crate::expr::{AggCall, Expr};
use crate::node::{
    Aggregate, FillColumn, Join, JoinAlign, JoinRange, LagCall, Node, Plan, Scan, SortKey, WindowCall, WindowKind,
    WindowSpec,
};
use hydron_types::{Batch, Schema};
use std::sync::Arc;

/// Old position to new; `usize::MAX` for a column that is gone.
type Moves = Vec<usize>;

const GONE: usize = usize::MAX;

pub(super) fn prune_columns(plan: Plan) -> Plan {
    let used = vec![true; plan.schema.len()];
    let (plan, moves) = prune(plan, used);
    let order: Vec<usize> = moves.into_iter().filter(|m| *m != GONE).collect();
    plan.select(&order)
}

fn note(used: &mut [bool], expr: &Expr) {
    expr.columns(&mut |c| {
        if let Some(u) = used.get_mut(c) {
            *u = true;
        }
    });
}

fn moved(expr: &Expr, moves: &Moves) -> Expr {
    expr.map_columns(&|c| moves.get(c).copied().unwrap_or(c))
}

fn identity(width: usize) -> Moves {
    (0..width).collect()
}

/// The plan with at least the used columns, and where each column went.
fn prune(plan: Plan, used: Vec<bool>) -> (Plan, Moves) {
    let Plan { node, schema, streaming, change } = plan;
    let with = |node, schema| Plan { node, schema, streaming, change };
    match node {
        Node::Scan(scan) => prune_scan(scan, &schema, used, with),
        Node::Values { batches } => {
            let (kept, moves) = keep(&used);
            let schema = pick(&schema, &kept);
            let batches = batches.iter().map(|b| b.project(Arc::clone(&schema), &kept)).collect::<Vec<Batch>>();
            (with(Node::Values { batches }, schema), moves)
        }
        Node::Numbers { .. } => {
            let moves = identity(schema.len());
            (with(node, schema), moves)
        }
        Node::Filter { input, predicate } => {
            let mut needed = used;
            note(&mut needed, &predicate);
            let (input, moves) = prune(*input, needed);
            let predicate = moved(&predicate, &moves);
            let schema = Arc::clone(&input.schema);
            (with(Node::Filter { input: Box::new(input), predicate }, schema), moves)
        }
        Node::Project { input, exprs } => {
            let (kept, moves) = keep(&used);
            let mut needed = vec![false; input.schema.len()];
            kept.iter().for_each(|k| note(&mut needed, &exprs[*k]));
            let (input, below) = prune(*input, needed);
            let exprs = kept.iter().map(|k| moved(&exprs[*k], &below)).collect();
            (with(Node::Project { input: Box::new(input), exprs }, pick(&schema, &kept)), moves)
        }
        Node::AssignWindow { input, window } => prune_window(*input, window, &schema, used, with),
        Node::Aggregate(aggregate) => prune_aggregate(aggregate, &schema, used, with),
        Node::Join(join) => prune_join(join, &schema, used, with),
        Node::ArrayJoin { input, columns, left } => {
            let mut needed = used;
            columns.iter().for_each(|c| needed[*c] = true);
            let (input, moves) = prune(*input, needed);
            let columns = columns.iter().map(|c| moves[*c]).collect();
            let schema = follow(&schema, &moves, input.schema.len());
            (with(Node::ArrayJoin { input: Box::new(input), columns, left }, schema), moves)
        }
        Node::Sort { input, keys, limit } => {
            let (input, keys, moves) = prune_keys(*input, keys, used);
            let schema = Arc::clone(&input.schema);
            (with(Node::Sort { input: Box::new(input), keys, limit }, schema), moves)
        }
        Node::Fill { input, columns, interpolated } => {
            let mut needed = used;
            columns.iter().for_each(|c| needed[c.column] = true);
            // What is worked out from the row before needs the columns it reads, itself among them.
            for (column, expr) in interpolated.iter().rev() {
                needed[*column] = true;
                note(&mut needed, expr);
            }
            let (input, moves) = prune(*input, needed);
            let columns = columns.into_iter().map(|c| FillColumn { column: moves[c.column], ..c }).collect();
            let schema = Arc::clone(&input.schema);
            let interpolated = interpolated.iter().map(|(c, e)| (moves[*c], moved(e, &moves))).collect();
            (with(Node::Fill { input: Box::new(input), columns, interpolated }, schema), moves)
        }
        Node::Limit { input, offset, limit, ties } => {
            let (input, ties, moves) = prune_keys(*input, ties, used);
            let schema = Arc::clone(&input.schema);
            (with(Node::Limit { input: Box::new(input), offset, limit, ties }, schema), moves)
        }
        Node::LimitBy { input, keys, offset, limit } => {
            let mut needed = used;
            keys.iter().for_each(|k| note(&mut needed, k));
            let (input, moves) = prune(*input, needed);
            let keys = keys.iter().map(|k| moved(k, &moves)).collect();
            let schema = Arc::clone(&input.schema);
            (with(Node::LimitBy { input: Box::new(input), keys, offset, limit }, schema), moves)
        }
        Node::Distinct { input, on, forget } => {
            let mut needed = used;
            if on.is_empty() {
                needed.fill(true);
            }
            on.iter().for_each(|k| note(&mut needed, k));
            let whole = on.is_empty();
            let (input, moves) = prune(*input, needed);
            // Without keys all columns count, so none may have been added.
            let (input, moves) = if whole { exactly(input, moves) } else { (input, moves) };
            let on = on.iter().map(|k| moved(k, &moves)).collect();
            let schema = Arc::clone(&input.schema);
            (with(Node::Distinct { input: Box::new(input), on, forget }, schema), moves)
        }
        Node::Union { inputs } => {
            let (kept, moves) = keep(&used);
            let inputs: Vec<Plan> = inputs
                .into_iter()
                .map(|input| {
                    let (input, below) = prune(input, used.clone());
                    let order: Vec<usize> = kept.iter().map(|k| below[*k]).collect();
                    input.select(&order)
                })
                .collect();
            (with(Node::Union { inputs }, pick(&schema, &kept)), moves)
        }
        Node::SetOperation { left, right, except, distinct } => {
            let whole = |plan: Plan| {
                let width = plan.schema.len();
                let (plan, moves) = prune(plan, vec![true; width]);
                Box::new(exactly(plan, moves).0)
            };
            let (left, right) = (whole(*left), whole(*right));
            let moves = identity(schema.len());
            (with(Node::SetOperation { left, right, except, distinct }, schema), moves)
        }
        Node::Changelog { input, keys, version } => {
            let mut needed = used;
            keys.iter().chain(&version).for_each(|e| note(&mut needed, e));
            let (input, moves) = prune(*input, needed);
            let keys = keys.iter().map(|k| moved(k, &moves)).collect();
            let version = version.map(|v| moved(&v, &moves));
            let schema = Arc::clone(&input.schema);
            (with(Node::Changelog { input: Box::new(input), keys, version }, schema), moves)
        }
        Node::Signs { input } => {
            let width = input.schema.len();
            let (input, mut moves) = prune(*input, used[..width].to_vec());
            if !used[width] {
                moves.push(GONE);
                return (input, moves);
            }
            moves.push(input.schema.len());
            let mut fields = input.schema.fields.clone();
            fields.push(schema.fields[width].clone());
            (with(Node::Signs { input: Box::new(input) }, Arc::new(Schema::new(fields))), moves)
        }
        Node::Lags { input, keys, calls } => {
            let width = input.schema.len();
            let kept: Vec<usize> = (0..calls.len()).filter(|i| used[width + i]).collect();
            let mut needed = used[..width].to_vec();
            keys.iter().chain(kept.iter().map(|k| &calls[*k].value)).for_each(|e| note(&mut needed, e));
            let (input, mut moves) = prune(*input, needed);
            let below = input.schema.len();
            moves.extend((0..calls.len()).map(|i| kept.iter().position(|k| *k == i).map_or(GONE, |p| below + p)));
            let mut fields = input.schema.fields.clone();
            fields.extend(kept.iter().map(|k| schema.fields[width + k].clone()));
            let keys = keys.iter().map(|k| moved(k, &moves)).collect();
            let calls = kept.iter().map(|k| LagCall { value: moved(&calls[*k].value, &moves), ..calls[*k].clone() });
            let node = Node::Lags { input: Box::new(input), keys, calls: calls.collect() };
            (with(node, Arc::new(Schema::new(fields))), moves)
        }
        Node::WindowFunctions { input, calls } => prune_calls(*input, calls, &schema, used, with),
    }
}

/// Positions that are used, and where they go when only they stay.
fn keep(used: &[bool]) -> (Vec<usize>, Moves) {
    let mut kept = Vec::new();
    let moves = used
        .iter()
        .enumerate()
        .map(|(i, used)| {
            if *used {
                kept.push(i);
                kept.len() - 1
            } else {
                GONE
            }
        })
        .collect();
    (kept, moves)
}

fn pick(schema: &Schema, kept: &[usize]) -> Arc<Schema> {
    Arc::new(Schema::new(kept.iter().map(|k| schema.fields[*k].clone()).collect()))
}

/// The fields of `schema` in the places their columns moved to.
fn follow(schema: &Schema, moves: &Moves, width: usize) -> Arc<Schema> {
    let mut fields = vec![None; width];
    for (field, to) in schema.fields.iter().zip(moves) {
        if *to != GONE && *to < width {
            fields[*to] = Some(field.clone());
        }
    }
    Arc::new(Schema::new(fields.into_iter().flatten().collect()))
}

/// Only the columns that moved somewhere, in their order.
fn exactly(plan: Plan, moves: Moves) -> (Plan, Moves) {
    let order: Vec<usize> = moves.iter().copied().filter(|m| *m != GONE).collect();
    let (_, after) = keep(&moves.iter().map(|m| *m != GONE).collect::<Vec<_>>());
    (plan.select(&order), after)
}

fn prune_keys(input: Plan, keys: Vec<SortKey>, used: Vec<bool>) -> (Plan, Vec<SortKey>, Moves) {
    let mut needed = used;
    keys.iter().for_each(|k| note(&mut needed, &k.expr));
    let (input, moves) = prune(input, needed);
    let keys = keys.iter().map(|k| SortKey { expr: moved(&k.expr, &moves), ..k.clone() }).collect();
    (input, keys, moves)
}

fn prune_scan(scan: Scan, schema: &Schema, used: Vec<bool>, with: impl Fn(Node, Arc<Schema>) -> Plan) -> (Plan, Moves) {
    let mut used = used;
    if let Some(pruning) = &scan.pruning {
        note(&mut used, pruning);
    }
    let (kept, moves) = keep(&used);
    let columns = kept.iter().map(|k| scan.columns[*k]).collect();
    let pruning = scan.pruning.as_ref().map(|p| moved(p, &moves));
    (with(Node::Scan(Scan { columns, pruning, ..scan }), pick(schema, &kept)), moves)
}

fn prune_window(
    input: Plan,
    window: WindowSpec,
    schema: &Schema,
    used: Vec<bool>,
    with: impl Fn(Node, Arc<Schema>) -> Plan,
) -> (Plan, Moves) {
    let width = input.schema.len();
    let mut needed = used;
    needed.truncate(width);
    needed[window.time] = true;
    if let WindowKind::Session { start, end, .. } = &window.kind {
        start.iter().chain(end).for_each(|e| note(&mut needed, e));
    }
    let (input, mut moves) = prune(input, needed);
    let kind = match window.kind {
        WindowKind::Session { timeout, max_size, start, start_inclusive, end, end_inclusive } => WindowKind::Session {
            timeout,
            max_size,
            start: start.as_ref().map(|e| moved(e, &moves)),
            start_inclusive,
            end: end.as_ref().map(|e| moved(e, &moves)),
            end_inclusive,
        },
        kind => kind,
    };
    let window = WindowSpec { kind, time: moves[window.time], ..window };
    let below = input.schema.len();
    let mut fields = input.schema.fields.clone();
    fields.extend(schema.fields[width..].iter().cloned());
    moves.extend([below, below + 1]);
    (with(Node::AssignWindow { input: Box::new(input), window }, Arc::new(Schema::new(fields))), moves)
}

fn prune_aggregate(
    aggregate: Aggregate,
    schema: &Schema,
    mut used: Vec<bool>,
    with: impl Fn(Node, Arc<Schema>) -> Plan,
) -> (Plan, Moves) {
    let (keys, aggs) = (aggregate.keys.len(), aggregate.aggs.len());
    // Keys decide the groups, and what follows the aggregates is made whether it is read or not.
    for (i, used) in used.iter_mut().enumerate() {
        *used |= i < keys || i >= keys + aggs;
    }
    let (kept, moves) = keep(&used);
    let calls: Vec<AggCall> =
        aggregate.aggs.iter().enumerate().filter(|(i, _)| used[keys + i]).map(|(_, a)| a.clone()).collect();
    let mut needed = vec![false; aggregate.input.schema.len()];
    aggregate.keys.iter().for_each(|k| note(&mut needed, k));
    calls.iter().for_each(|a| a.args.iter().chain(&a.filter).for_each(|e| note(&mut needed, e)));
    aggregate.close.iter().flat_map(|c| c.exprs()).for_each(|e| note(&mut needed, e));
    let (input, below) = prune(*aggregate.input, needed);
    let close = aggregate.close.as_ref().map(|c| Box::new(c.map(|e| moved(e, &below))));
    let aggs = calls.iter().map(|a| moved_call(a, &below)).collect();
    let keys = aggregate.keys.iter().map(|k| moved(k, &below)).collect();
    let node = Aggregate { input: Box::new(input), keys, aggs, close, ..aggregate };
    (with(Node::Aggregate(node), pick(schema, &kept)), moves)
}

fn moved_call(call: &AggCall, moves: &Moves) -> AggCall {
    AggCall {
        name: Arc::clone(&call.name),
        bound: call.bound.clone(),
        args: call.args.iter().map(|e| moved(e, moves)).collect(),
        filter: call.filter.as_ref().map(|e| moved(e, moves)),
    }
}

fn prune_join(join: Join, schema: &Schema, used: Vec<bool>, with: impl Fn(Node, Arc<Schema>) -> Plan) -> (Plan, Moves) {
    let width = join.left.schema.len();
    let mut used = used;
    if let Some(filter) = &join.filter {
        note(&mut used, filter);
    }
    let (left_used, right_used) = used.split_at(width);
    let (mut left_used, mut right_used) = (left_used.to_vec(), right_used.to_vec());
    for (l, r) in &join.on {
        note(&mut left_used, l);
        note(&mut right_used, r);
    }
    if let Some((l, r, _)) = &join.asof {
        note(&mut left_used, l);
        note(&mut right_used, r);
    }
    if let Some(range) = &join.range {
        note(&mut left_used, &range.left);
        note(&mut right_used, &range.right);
    }
    if let Some(align) = &join.align {
        note(&mut left_used, &align.left);
        note(&mut right_used, &align.right);
    }
    let (left, left_moves) = prune(*join.left, left_used);
    let (right, right_moves) = prune(*join.right, right_used);
    let shift = left.schema.len();
    let moves: Moves = left_moves
        .iter()
        .copied()
        .chain(right_moves.iter().map(|m| if *m == GONE { GONE } else { m + shift }))
        .collect();
    let schema = follow_join(schema, &moves, &left.schema, &right.schema);
    let node = Join {
        on: join.on.iter().map(|(l, r)| (moved(l, &left_moves), moved(r, &right_moves))).collect(),
        asof: join.asof.as_ref().map(|(l, r, o)| (moved(l, &left_moves), moved(r, &right_moves), *o)),
        range: join.range.as_ref().map(|r| JoinRange {
            left: moved(&r.left, &left_moves),
            right: moved(&r.right, &right_moves),
            ..*r
        }),
        align: join.align.as_ref().map(|a| JoinAlign {
            left: moved(&a.left, &left_moves),
            right: moved(&a.right, &right_moves),
            ..*a
        }),
        filter: join.filter.as_ref().map(|f| moved(f, &moves)),
        left: Box::new(left),
        right: Box::new(right),
        ..join
    };
    (with(Node::Join(node), schema), moves)
}

/// The output of a join: its own types (NULL for no match) where a column was there before, else those of its side.
fn follow_join(schema: &Schema, moves: &Moves, left: &Schema, right: &Schema) -> Arc<Schema> {
    let mut fields: Vec<_> = left.fields.iter().chain(&right.fields).cloned().collect();
    for (field, to) in schema.fields.iter().zip(moves) {
        if let Some(place) = fields.get_mut(*to) {
            *place = field.clone();
        }
    }
    Arc::new(Schema::new(fields))
}

fn prune_calls(
    input: Plan,
    calls: Vec<WindowCall>,
    schema: &Schema,
    used: Vec<bool>,
    with: impl Fn(Node, Arc<Schema>) -> Plan,
) -> (Plan, Moves) {
    let width = input.schema.len();
    let kept: Vec<usize> = (0..calls.len()).filter(|i| used[width + i]).collect();
    let mut needed = used[..width].to_vec();
    kept.iter().for_each(|k| for_exprs(&calls[*k], &mut |e| note(&mut needed, e)));
    let (input, mut moves) = prune(input, needed);
    let below = input.schema.len();
    moves.extend((0..calls.len()).map(|i| kept.iter().position(|k| *k == i).map_or(GONE, |p| below + p)));
    let mut fields = input.schema.fields.clone();
    fields.extend(kept.iter().map(|k| schema.fields[width + k].clone()));
    let calls = kept.iter().map(|k| moved_window(&calls[*k], &moves)).collect();
    let schema = Arc::new(Schema::new(fields));
    (with(Node::WindowFunctions { input: Box::new(input), calls }, schema), moves)
}

fn for_exprs(call: &WindowCall, visit: &mut impl FnMut(&Expr)) {
    call.partition_by.iter().for_each(&mut *visit);
    call.order_by.iter().for_each(|k| visit(&k.expr));
    call.function.exprs().into_iter().for_each(visit);
}

fn moved_window(call: &WindowCall, moves: &Moves) -> WindowCall {
    let function = call.function.try_map(&|e| Ok::<_, std::convert::Infallible>(moved(e, moves)));
    let Ok(function) = function;
    WindowCall {
        function,
        partition_by: call.partition_by.iter().map(|e| moved(e, moves)).collect(),
        order_by: call.order_by.iter().map(|k| SortKey { expr: moved(&k.expr, moves), ..k.clone() }).collect(),
        frame: call.frame.clone(),
        ty: call.ty.clone(),
    }
}
