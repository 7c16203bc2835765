//! Expressions over batches: the one evaluator of both runtimes.
//!
//! In: an expression, the columns it was bound to, the time of the evaluation. Out: one value for each row. Promise: the
//! answer is that of evaluating everything for every row, except that a branch which no row takes cannot fail; a
//! sub-expression that a projection names twice is computed once.

mod branch;
mod lambda;
mod share;

pub use share::Projection;

use crate::expr::{Expr, ExprKind};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::DataType;
use hydron_base::{Error, Result};
use hydron_func::{Datum, EvalContext};
use hydron_types::Batch;
use hydron_types::column::array_of;
use std::sync::Arc;

impl Expr {
    /// Evaluates over a batch whose columns are the ones the expression was bound to.
    pub fn eval(&self, cx: &EvalContext, batch: &Batch) -> Result<Datum> {
        self.eval_columns(cx, &batch.columns, batch.rows())
    }

    /// As [`Expr::eval`], over plain columns of `rows` values each.
    pub fn eval_columns(&self, cx: &EvalContext, columns: &[ArrayRef], rows: usize) -> Result<Datum> {
        match &self.kind {
            ExprKind::Column(i) => match columns.get(*i) {
                Some(column) => Ok(Datum::Array(Arc::clone(column))),
                None => Err(Error::bug(format!("column #{i} of {} was read", columns.len()))),
            },
            ExprKind::Literal(value) => Ok(Datum::Scalar(array_of(value, &self.ty, 1)?)),
            ExprKind::Lambda { captures, body, .. } => lambda::capture(captures, body, columns),
            ExprKind::Call { name, .. } => match branch::rule(name) {
                Some(rule) => branch::eval(self, rule, cx, columns, rows),
                None => self.eval_eager(cx, columns, rows),
            },
        }
    }

    /// All arguments, then the kernel.
    fn eval_eager(&self, cx: &EvalContext, columns: &[ArrayRef], rows: usize) -> Result<Datum> {
        let ExprKind::Call { kernel, args, .. } = &self.kind else {
            return self.eval_columns(cx, columns, rows);
        };
        let args = args.iter().map(|a| a.eval_columns(cx, columns, rows)).collect::<Result<Vec<_>>>()?;
        kernel.eval(cx, &args, rows)
    }

    /// One value for each row of the batch.
    pub fn eval_to_array(&self, cx: &EvalContext, batch: &Batch) -> Result<ArrayRef> {
        self.eval_to_array_columns(cx, &batch.columns, batch.rows())
    }

    /// As [`Expr::eval_to_array`], over plain columns.
    pub fn eval_to_array_columns(&self, cx: &EvalContext, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        self.eval_columns(cx, columns, rows)?.to_array(rows)
    }

    /// Which rows a predicate keeps: true where it is true, false where it is false or NULL. Has no NULLs.
    pub fn eval_filter(&self, cx: &EvalContext, batch: &Batch) -> Result<BooleanArray> {
        self.eval_filter_columns(cx, &batch.columns, batch.rows())
    }

    /// As [`Expr::eval_filter`], over plain columns.
    pub fn eval_filter_columns(&self, cx: &EvalContext, columns: &[ArrayRef], rows: usize) -> Result<BooleanArray> {
        let datum = self.eval_columns(cx, columns, rows)?;
        let mask = truth(datum.array()?)?;
        if mask.len() == rows {
            return Ok(mask);
        }
        let all = mask.len() == 1 && mask.value(0);
        Ok(BooleanArray::new(
            if all {
                arrow::buffer::BooleanBuffer::new_set(rows)
            } else {
                arrow::buffer::BooleanBuffer::new_unset(rows)
            },
            None,
        ))
    }
}

/// The projection `exprs` of a batch: see [`Projection`], which keeps what this works out anew at each call.
pub fn eval_all(exprs: &[Expr], cx: &EvalContext, columns: &[ArrayRef], rows: usize) -> Result<Vec<ArrayRef>> {
    Projection::new(exprs, columns.len()).eval(cx, columns, rows)
}

/// A boolean array with NULL counted as false; an array of NULLs is all false.
fn truth(array: &ArrayRef) -> Result<BooleanArray> {
    match array.data_type() {
        DataType::Boolean => {
            let mask = array.as_boolean();
            Ok(if mask.null_count() == 0 { mask.clone() } else { prep_null_mask_filter(mask) })
        }
        DataType::Null => Ok(BooleanArray::new(arrow::buffer::BooleanBuffer::new_unset(array.len()), None)),
        other => Err(Error::bug(format!("a condition has values of {other} instead of bool"))),
    }
}

#[cfg(test)]
mod tests;
