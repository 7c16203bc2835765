//! Where a streaming source starts: what its filter says of `_tp_time` and `_tp_sn`.
//!
//! A lower bound is a place in the log; a filter that also admits the oldest rows starts at the beginning; the filter itself
//! stays. `_tp_time > earliest_ts()` only says "from the beginning" and goes.

use super::pushdown::{can_substitute, substitute, within};
use super::{Options, conjunction, conjuncts, map_inputs};
use crate::catalog::StreamKind;
use crate::expr::{Expr, ExprKind};
use crate::node::{Node, Plan, Scan, ScanColumn, Seek};
use hydron_base::{Code, Error, Result};
use hydron_func::{EvalContext, Volatility};
use hydron_types::column::value_at;
use hydron_types::physical::{digits_of_unit, unit_of_scale};
use hydron_types::{LogicalType, Value};

pub(super) fn find_seeks(plan: Plan, options: &Options) -> Result<Plan> {
    let mut error = None;
    let plan = visit(plan, options, &mut error);
    error.map_or(Ok(plan), Err)
}

fn visit(plan: Plan, options: &Options, error: &mut Option<Error>) -> Plan {
    let Plan { node, schema, streaming, change } = plan;
    let node = match node {
        Node::Filter { input, predicate } if streaming => match over(*input, predicate, options) {
            Ok(Plan { node: Node::Filter { input, predicate }, schema, streaming, change }) => {
                let input = Box::new(visit(*input, options, error));
                return Plan { node: Node::Filter { input, predicate }, schema, streaming, change };
            }
            Ok(plan) => return visit(plan, options, error),
            Err(e) => {
                error.get_or_insert(e);
                return Plan { node: Node::Values { batches: Vec::new() }, schema, streaming, change };
            }
        },
        node => node,
    };
    map_inputs(Plan { node, schema, streaming, change }, &mut |input| visit(input, options, error))
}

/// What one condition says.
enum Said {
    Nothing,
    /// From here; `drop`: that is all it says.
    From {
        seek: Seek,
        drop: bool,
    },
}

/// A condition above a source, and how the source is reached. Windows and projections between do not change what it says
/// about time.
fn at_scan<'p>(part: &Expr, plan: &'p Plan) -> Option<(Expr, &'p Scan)> {
    match &plan.node {
        Node::Scan(scan) => Some((part.clone(), scan)),
        Node::AssignWindow { input, .. } | Node::Changelog { input, .. } | Node::Signs { input }
            if within(part, 0, input.schema.len()) =>
        {
            at_scan(part, input)
        }
        Node::Project { input, exprs } if can_substitute(part, exprs) => at_scan(&substitute(part, exprs), input),
        Node::Join(join) if join.left.streaming && within(part, 0, join.left.schema.len()) => at_scan(part, &join.left),
        _ => None,
    }
}

fn scan_mut(plan: &mut Plan) -> Option<&mut Scan> {
    match &mut plan.node {
        Node::Scan(scan) => Some(scan),
        Node::AssignWindow { input, .. }
        | Node::Changelog { input, .. }
        | Node::Signs { input }
        | Node::Project { input, .. } => scan_mut(input),
        Node::Join(join) => scan_mut(&mut join.left),
        _ => None,
    }
}

fn over(mut plan: Plan, predicate: Expr, options: &Options) -> Result<Plan> {
    let mut kept = Vec::new();
    let mut time: Option<Seek> = None;
    let mut sequence: Option<Seek> = None;
    for part in conjuncts(predicate) {
        let (said, by_sequence) = match at_scan(&part, &plan) {
            Some((at, scan)) => condition(&at, scan, options)?,
            None => (Said::Nothing, false),
        };
        let Said::From { seek, drop } = said else {
            kept.push(part);
            continue;
        };
        let place = if by_sequence { &mut sequence } else { &mut time };
        *place = Some(match place.take() {
            Some(other) => lower(other, seek),
            None => seek,
        });
        if !drop {
            kept.push(part);
        }
    }
    let predicate = conjunction(kept);
    if let Some(scan) = scan_mut(&mut plan) {
        let has_positions = matches!(scan.stream.kind, StreamKind::Stream | StreamKind::External);
        let seekable = has_positions && options.seek_by_filter && scan.seek == Seek::Latest;
        if let Some(seek) = sequence.or(time).filter(|_| seekable) {
            scan.seek = seek;
        }
    }
    if let Node::Scan(scan) = &mut plan.node {
        scan.pruning.clone_from(&predicate);
    }
    Ok(match predicate {
        Some(predicate) => plan.filter(predicate),
        None => plan,
    })
}

/// The one that starts earlier.
fn lower(a: Seek, b: Seek) -> Seek {
    match (&a, &b) {
        (Seek::Earliest, _) | (_, Seek::Earliest) => Seek::Earliest,
        (Seek::EventTime(x), Seek::EventTime(y)) => Seek::EventTime(*x.min(y)),
        (Seek::Sequence(x), Seek::Sequence(y)) => Seek::Sequence(x.iter().zip(y).map(|(x, y)| *x.min(y)).collect()),
        _ => a,
    }
}

fn condition(part: &Expr, scan: &Scan, options: &Options) -> Result<(Said, bool)> {
    let ExprKind::Call { name, args, .. } = &part.kind else { return Ok((Said::Nothing, false)) };
    let [a, b] = args.as_slice() else { return Ok((Said::Nothing, false)) };
    let (column, other, operator) = match (position(a, scan), position(b, scan)) {
        (Some(column), None) => (column, b, operator(name)),
        (None, Some(column)) => (column, a, operator(name).map(mirrored)),
        _ => return Ok((Said::Nothing, false)),
    };
    let Some(operator) = operator else { return Ok((Said::Nothing, false)) };
    let by_sequence = column == Position::Sequence;
    if is_earliest(other) {
        if !matches!(operator, Operator::Greater | Operator::GreaterOrEquals) {
            let text = "earliest_ts() only says where to start: compare with > or >=";
            return Err(Error::new(Code::UNEXPECTED_EXPRESSION, text));
        }
        return Ok((Said::From { seek: Seek::Earliest, drop: true }, by_sequence));
    }
    let mut reads = false;
    other.columns(&mut |_| reads = true);
    if reads || other.volatility() >= Volatility::Volatile {
        let text = "a streaming query compares _tp_time and _tp_sn with constants";
        return Err(Error::new(Code::UNEXPECTED_EXPRESSION, text));
    }
    if matches!(operator, Operator::Less | Operator::LessOrEquals | Operator::NotEquals) {
        return Ok((Said::From { seek: Seek::Earliest, drop: false }, by_sequence));
    }
    let array = other.eval_to_array_columns(&EvalContext::at(options.now), &[], 1)?;
    let value = value_at(&array, &other.ty, 0);
    let seek = match column {
        Position::Sequence => value.as_i64().map(|n| Seek::Sequence(vec![n.max(0)])),
        Position::Time => microseconds(&value, &other.ty).map(Seek::EventTime),
    };
    Ok((seek.map_or(Said::Nothing, |seek| Said::From { seek, drop: false }), by_sequence))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    Time,
    Sequence,
}

fn position(expr: &Expr, scan: &Scan) -> Option<Position> {
    match scan.columns.get(expr.as_column()?)? {
        ScanColumn::Sequence => Some(Position::Sequence),
        ScanColumn::Stored(i) if scan.stream.columns.get(*i).is_some_and(|c| &*c.name == "_tp_time") => {
            Some(Position::Time)
        }
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Operator {
    Equals,
    NotEquals,
    Less,
    LessOrEquals,
    Greater,
    GreaterOrEquals,
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        "equals" => Operator::Equals,
        "not_equals" => Operator::NotEquals,
        "less" => Operator::Less,
        "less_or_equals" => Operator::LessOrEquals,
        "greater" => Operator::Greater,
        "greater_or_equals" => Operator::GreaterOrEquals,
        _ => return None,
    })
}

fn mirrored(operator: Operator) -> Operator {
    match operator {
        Operator::Less => Operator::Greater,
        Operator::LessOrEquals => Operator::GreaterOrEquals,
        Operator::Greater => Operator::Less,
        Operator::GreaterOrEquals => Operator::LessOrEquals,
        other => other,
    }
}

fn is_earliest(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Call { name, args, .. } => {
            matches!(&**name, "earliest_ts" | "earliest_timestamp")
                || (&**name == "cast" && args.iter().any(is_earliest))
        }
        _ => false,
    }
}

/// A time as microseconds since 1970.
fn microseconds(value: &Value, ty: &LogicalType) -> Option<i64> {
    match (value, ty.bare()) {
        (Value::Time(t), LogicalType::DateTime(_)) => t.checked_mul(1_000_000),
        (Value::Time(t), LogicalType::DateTime64(scale, _)) => match digits_of_unit(unit_of_scale(*scale)) {
            0 => t.checked_mul(1_000_000),
            3 => t.checked_mul(1_000),
            6 => Some(*t),
            _ => Some(t.div_euclid(1_000)),
        },
        (Value::Date(days), _) => i64::from(*days).checked_mul(86_400_000_000),
        _ => None,
    }
}
