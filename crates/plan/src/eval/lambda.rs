//! Lambdas at evaluation: the body sees the captured columns, carried along by the rows they came from, then its parameters.

use crate::expr::Expr;
use arrow::array::{ArrayRef, UInt32Array};
use hydron_base::{Error, Result};
use hydron_func::{Datum, EvalContext, LambdaEval};
use hydron_types::gather::take_rows;
use std::sync::Arc;

/// Makes the lambda a value: its body and the columns it captures, as they are in this batch.
pub(super) fn capture(captures: &[usize], body: &Arc<Expr>, columns: &[ArrayRef]) -> Result<Datum> {
    let captured = captures
        .iter()
        .map(|c| {
            columns
                .get(*c)
                .cloned()
                .ok_or_else(|| Error::bug(format!("a lambda captures column #{c} of {}", columns.len())))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Datum::Lambda(Arc::new(Closure { captured, body: Arc::clone(body) })))
}

struct Closure {
    captured: Vec<ArrayRef>,
    body: Arc<Expr>,
}

impl std::fmt::Debug for Closure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "lambda {:?} over {} captured columns", self.body, self.captured.len())
    }
}

impl LambdaEval for Closure {
    fn call(&self, cx: &EvalContext, params: &[ArrayRef], origin: &[u32], rows: usize) -> Result<ArrayRef> {
        let mut columns = Vec::with_capacity(self.captured.len() + params.len());
        if !self.captured.is_empty() {
            let rows_of = UInt32Array::from(origin.to_vec());
            for column in &self.captured {
                columns.push(take_rows(column, &rows_of)?);
            }
        }
        columns.extend(params.iter().cloned());
        self.body.eval_to_array_columns(cx, &columns, rows)
    }
}
