//! Expressions and columns of a batch: the few helpers every operator needs.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int8Array, UInt32Array};
use arrow::compute;
use hydron_base::{Error, Result};
use hydron_func::EvalContext;
use hydron_func::call::arrow_error;
use hydron_plan::Expr;
use hydron_types::gather::{join_columns, take_rows};
use hydron_types::{Batch, Delta};
use std::sync::Arc;

/// The values of `expr` for every row of `batch`.
pub fn eval(expr: &Expr, cx: &EvalContext, batch: &Batch) -> Result<ArrayRef> {
    eval_columns(expr, cx, &batch.columns, batch.rows())
}

/// The values of `expr` over `rows` rows of `columns`.
pub fn eval_columns(expr: &Expr, cx: &EvalContext, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    match expr.as_column() {
        Some(column) => columns
            .get(column)
            .map(Arc::clone)
            .ok_or_else(|| Error::bug(format!("column {column} of a batch of {} columns", columns.len()))),
        None => expr.eval_to_array_columns(cx, columns, rows),
    }
}

pub fn eval_all(exprs: &[Expr], cx: &EvalContext, batch: &Batch) -> Result<Vec<ArrayRef>> {
    exprs.iter().map(|e| eval(e, cx, batch)).collect()
}

/// The rows where `mask` is true.
pub fn filter_delta(delta: &Delta, mask: &BooleanArray) -> Result<Delta> {
    let rows = filter_batch(&delta.rows, mask)?;
    let signs = match &delta.signs {
        Some(signs) => Some(compute::filter(signs, mask).map_err(arrow_error)?.as_primitive().clone()),
        None => None,
    };
    Ok(Delta { rows, signs })
}

fn filter_batch(batch: &Batch, mask: &BooleanArray) -> Result<Batch> {
    let predicate = compute::FilterBuilder::new(mask).optimize().build();
    let columns = batch.columns.iter().map(|c| predicate.filter(c).map_err(arrow_error)).collect::<Result<Vec<_>>>()?;
    Ok(Batch::new(Arc::clone(&batch.schema), columns, predicate.count()))
}

/// The rows at `indices`, in that order.
pub fn take_delta(delta: &Delta, indices: &UInt32Array) -> Result<Delta> {
    let columns = delta.rows.columns.iter().map(|c| take(c, indices)).collect::<Result<Vec<_>>>()?;
    let rows = Batch::new(Arc::clone(&delta.rows.schema), columns, indices.len());
    let signs = match &delta.signs {
        Some(signs) => Some(take_signs(signs, indices)?),
        None => None,
    };
    Ok(Delta { rows, signs })
}

pub fn take(column: &ArrayRef, indices: &UInt32Array) -> Result<ArrayRef> {
    take_rows(column, indices)
}

pub fn take_signs(signs: &Int8Array, indices: &UInt32Array) -> Result<Int8Array> {
    Ok(compute::take(signs, indices, None).map_err(arrow_error)?.as_primitive().clone())
}

/// Rows `offset .. offset + len`.
pub fn slice_delta(delta: &Delta, offset: usize, len: usize) -> Delta {
    Delta { rows: delta.rows.slice(offset, len), signs: delta.signs.as_ref().map(|s| s.slice(offset, len)) }
}

/// The values of several arrays of one type, in order.
pub fn concat_columns(parts: &[&ArrayRef]) -> Result<ArrayRef> {
    let arrays: Vec<&dyn Array> = parts.iter().map(|a| a.as_ref()).collect();
    join_columns(&arrays)
}

/// All rows of several deltas of one schema, in order. `parts` is not empty.
pub fn concat_deltas(parts: &[Delta]) -> Result<Delta> {
    let [first, rest @ ..] = parts else {
        return Err(Error::bug("no rows to put together"));
    };
    if rest.is_empty() {
        return Ok(first.clone());
    }
    let rows = parts.iter().map(|d| d.rows.rows()).sum();
    let columns = (0..first.rows.columns.len())
        .map(|c| concat_columns(&parts.iter().map(|d| &d.rows.columns[c]).collect::<Vec<_>>()))
        .collect::<Result<Vec<_>>>()?;
    let signs = match parts.iter().any(|d| d.signs.is_some()) {
        false => None,
        true => Some(parts.iter().flat_map(|d| (0..d.rows.rows()).map(|i| sign_at(d, i))).collect::<Vec<i8>>().into()),
    };
    Ok(Delta { rows: Batch::new(Arc::clone(&first.rows.schema), columns, rows), signs })
}

/// +1 or -1: what row `row` does to its set.
pub fn sign_at(delta: &Delta, row: usize) -> i8 {
    delta.signs.as_ref().map_or(1, |s| s.value(row))
}
