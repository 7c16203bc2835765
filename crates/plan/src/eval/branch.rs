//! `and`, `or`, `if` and `multi_if`: a branch is evaluated only for the rows that need it.
//!
//! A branch that is a column, a constant or a plain comparison of those is evaluated for all rows: picking rows would
//! cost more than it saves, and it cannot fail. A branch that depends on the rows before it (`lag`) is too.

use super::truth;
use crate::expr::{Expr, ExprKind};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::kernels::boolean::{and_kleene, not, or_kleene};
use arrow::compute::{filter, interleave};
use arrow::datatypes::DataType;
use hydron_base::Result;
use hydron_func::call::arrow_error;
use hydron_func::{Datum, EvalContext, Volatility};
use hydron_types::LogicalType;
use hydron_types::physical::arrow_type;
use std::borrow::Cow;
use std::sync::Arc;

/// Which calls have branches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    And,
    Or,
    If,
}

pub(super) fn rule(name: &str) -> Option<Rule> {
    match name {
        "and" => Some(Rule::And),
        "or" => Some(Rule::Or),
        "if" | "multi_if" => Some(Rule::If),
        _ => None,
    }
}

/// Whether argument `i` of `args` may stay unevaluated for some rows.
pub(super) fn is_conditional(rule: Rule, i: usize) -> bool {
    let _ = rule;
    i > 0
}

pub(super) fn eval(expr: &Expr, rule: Rule, cx: &EvalContext, columns: &[ArrayRef], rows: usize) -> Result<Datum> {
    let ExprKind::Call { args, .. } = &expr.kind else {
        return expr.eval_columns(cx, columns, rows);
    };
    if rows == 0 || args.iter().skip(1).all(is_cheap) {
        return expr.eval_eager(cx, columns, rows);
    }
    match rule {
        Rule::And | Rule::Or if args.iter().all(|a| is_bool(&a.ty)) => connect(rule, args, cx, columns, rows),
        Rule::If if branches_fit(expr, args) => choose(expr, args, cx, columns, rows),
        _ => expr.eval_eager(cx, columns, rows),
    }
}

fn is_bool(ty: &LogicalType) -> bool {
    matches!(ty.bare(), LogicalType::Bool)
}

/// Whether every value is already of the type of the result and every condition a bool, so that rows can be put together.
fn branches_fit(expr: &Expr, args: &[Expr]) -> bool {
    let result = arrow_type(&expr.ty);
    args.len() >= 3
        && args.len() % 2 == 1
        && args
            .iter()
            .enumerate()
            .all(|(i, a)| if i % 2 == 0 && i + 1 < args.len() { is_bool(&a.ty) } else { arrow_type(&a.ty) == result })
}

/// Evaluating it for rows that do not need it costs nearly nothing and cannot fail.
fn is_cheap(expr: &Expr) -> bool {
    let leaf = |e: &Expr| matches!(e.kind, ExprKind::Column(_) | ExprKind::Literal(_));
    match &expr.kind {
        ExprKind::Call { name, args, .. } => is_plain(name) && args.iter().all(leaf),
        _ => leaf(expr),
    }
}

fn is_plain(name: &str) -> bool {
    matches!(
        name,
        "equals"
            | "not_equals"
            | "less"
            | "less_or_equals"
            | "greater"
            | "greater_or_equals"
            | "is_null"
            | "is_not_null"
            | "not"
    )
}

/// The rows a branch is evaluated for: all, or those set in the mask.
enum Rows<'a> {
    All,
    Some(&'a BooleanArray, usize),
}

/// Evaluates `expr` for the rows; the answer has one value for each of them (or is a scalar).
fn eval_rows(expr: &Expr, on: &Rows<'_>, cx: &EvalContext, columns: &[ArrayRef], rows: usize) -> Result<Datum> {
    match on {
        Rows::All => expr.eval_columns(cx, columns, rows),
        Rows::Some(mask, count) => {
            let picked = pick_columns(expr, mask, columns)?;
            expr.eval_columns(cx, &picked, *count)
        }
    }
}

/// The rows of the mask, for the columns that the expression reads; others stay as they are and are not looked at.
fn pick_columns(expr: &Expr, mask: &BooleanArray, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let mut used = vec![false; columns.len()];
    expr.columns(&mut |c| {
        if let Some(u) = used.get_mut(c) {
            *u = true;
        }
    });
    columns
        .iter()
        .zip(used)
        .map(|(c, used)| if used { filter(c, mask).map_err(arrow_error) } else { Ok(Arc::clone(c)) })
        .collect()
}

/// AND and OR, from the left, with NULL as unknown.
fn connect(rule: Rule, args: &[Expr], cx: &EvalContext, columns: &[ArrayRef], rows: usize) -> Result<Datum> {
    let mut known = full_bool(&args[0].eval_columns(cx, columns, rows)?, rows)?;
    for arg in &args[1..] {
        let open = undecided(rule, &known)?;
        let count = open.true_count();
        if count == 0 && arg.volatility() < Volatility::Stateful {
            continue;
        }
        let all = count == rows || is_cheap(arg) || arg.volatility() >= Volatility::Stateful;
        let next = if all {
            full_bool(&arg.eval_columns(cx, columns, rows)?, rows)?
        } else {
            let some = full_bool(&eval_rows(arg, &Rows::Some(&open, count), cx, columns, rows)?, count)?;
            spread(&some, &open)?
        };
        known = match rule {
            Rule::Or => or_kleene(&known, &next),
            _ => and_kleene(&known, &next),
        }
        .map_err(arrow_error)?;
    }
    Ok(Datum::Array(Arc::new(known)))
}

/// Rows whose answer the next operand can still change.
fn undecided(rule: Rule, known: &BooleanArray) -> Result<BooleanArray> {
    let decided = match rule {
        Rule::Or => known.clone(),
        _ => not(known).map_err(arrow_error)?,
    };
    let decided = if decided.null_count() > 0 { arrow::compute::prep_null_mask_filter(&decided) } else { decided };
    not(&decided).map_err(arrow_error)
}

fn full_bool(datum: &Datum, rows: usize) -> Result<BooleanArray> {
    let array = datum.to_array(rows)?;
    match array.data_type() {
        DataType::Boolean => Ok(array.as_boolean().clone()),
        DataType::Null => Ok(BooleanArray::new_null(rows)),
        _ => truth(&array),
    }
}

/// Puts the values of the picked rows back in their places; the other rows become NULL, which their known side decides.
fn spread(some: &BooleanArray, mask: &BooleanArray) -> Result<BooleanArray> {
    let mut next = 0;
    let places: UInt32Array = mask
        .values()
        .iter()
        .map(|set| {
            set.then(|| {
                next += 1;
                next - 1
            })
        })
        .collect();
    let array: ArrayRef = Arc::new(some.clone());
    Ok(arrow::compute::take(&array, &places, None).map_err(arrow_error)?.as_boolean().clone())
}

/// `multi_if(c1, v1, …, else)`: each condition for the rows that no earlier one took, each value for the rows it is for.
fn choose(expr: &Expr, args: &[Expr], cx: &EvalContext, columns: &[ArrayRef], rows: usize) -> Result<Datum> {
    if args.iter().any(|a| a.volatility() >= Volatility::Stateful) {
        return expr.eval_eager(cx, columns, rows);
    }
    // Where each row's value is: which of `values`, and the position in it.
    let mut places = vec![(0_usize, 0_usize); rows];
    let mut values: Vec<ArrayRef> = Vec::new();
    let mut open: Vec<u32> = (0..rows as u32).collect();
    let mut open_columns: Cow<'_, [ArrayRef]> = Cow::Borrowed(columns);
    let (otherwise, pairs) = args.split_last().map_or((expr, args), |(e, p)| (e, p));
    for pair in pairs.chunks_exact(2) {
        if open.is_empty() {
            break;
        }
        let condition = pair[0].eval_filter_columns(cx, &open_columns, open.len())?;
        let count = condition.true_count();
        if count == 0 {
            continue;
        }
        let on = if count == open.len() { Rows::All } else { Rows::Some(&condition, count) };
        let value = eval_rows(&pair[1], &on, cx, &open_columns, open.len())?;
        let taken = open.iter().zip(condition.values()).filter(|(_, set)| *set).map(|(row, _)| *row);
        put(&mut places, &mut values, value, taken)?;
        if count == open.len() {
            open.clear();
            break;
        }
        let rest = not(&condition).map_err(arrow_error)?;
        open = open.iter().zip(rest.values()).filter(|(_, set)| *set).map(|(row, _)| *row).collect();
        open_columns = Cow::Owned(pick_all(&open_columns, &rest, args)?);
    }
    if !open.is_empty() {
        let value = otherwise.eval_columns(cx, &open_columns, open.len())?;
        put(&mut places, &mut values, value, open.iter().copied())?;
    }
    if values.iter().any(|v| v.data_type() != values[0].data_type()) {
        return expr.eval_eager(cx, columns, rows);
    }
    if matches!(values[0].data_type(), DataType::Null) {
        return Ok(Datum::Array(arrow::array::new_null_array(&DataType::Null, rows)));
    }
    let values: Vec<&dyn Array> = values.iter().map(|v| v.as_ref()).collect();
    Ok(Datum::Array(interleave(&values, &places).map_err(arrow_error)?))
}

/// Notes where the values of `taken` rows are.
fn put(
    places: &mut [(usize, usize)],
    values: &mut Vec<ArrayRef>,
    value: Datum,
    taken: impl Iterator<Item = u32>,
) -> Result<()> {
    let scalar = value.is_scalar();
    for (i, row) in taken.enumerate() {
        places[row as usize] = (values.len(), if scalar { 0 } else { i });
    }
    values.push(Arc::clone(value.array()?));
    Ok(())
}

fn pick_all(columns: &[ArrayRef], mask: &BooleanArray, args: &[Expr]) -> Result<Vec<ArrayRef>> {
    let mut used = vec![false; columns.len()];
    for arg in args {
        arg.columns(&mut |c| {
            if let Some(u) = used.get_mut(c) {
                *u = true;
            }
        });
    }
    columns
        .iter()
        .zip(used)
        .map(|(c, used)| if used { filter(c, mask).map_err(arrow_error) } else { Ok(Arc::clone(c)) })
        .collect()
}
