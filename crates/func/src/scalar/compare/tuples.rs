//! Comparison of tuples, element by element, with the logic of NULL: with a nullable second element
//! `(1, x) = (2, 3)` is false where x is NULL, `(1, x) = (1, 2)` NULL. The literal NULL makes every comparison NULL.

use super::{Comparison, between};
use crate::call::{BoundCall, Datum, EvalContext, arrow_error, downcast};
use crate::scalar::define::Call;
use arrow::array::{ArrayRef, BooleanArray, StructArray};
use arrow::compute::{and_kleene, or_kleene};
use hydron_base::Result;
use hydron_types::LogicalType;
use std::sync::Arc;

pub(super) fn bind(call: &Call<'_>, op: Comparison) -> Result<BoundCall> {
    let (LogicalType::Tuple(a), LogicalType::Tuple(b)) = (call.ty(0), call.ty(1)) else {
        return Err(call.illegal(0));
    };
    if a.iter().chain(b.iter()).any(|(_, ty)| *ty == LogicalType::Nothing) {
        // An element that is NULL itself decides, whatever the others are.
        let ty = LogicalType::nullable(LogicalType::Bool);
        return Ok(BoundCall::new(ty, |_: &EvalContext, _: &[Datum], rows| {
            Ok(Datum::Array(Arc::new(BooleanArray::new_null(rows)) as ArrayRef))
        }));
    }
    let element =
        |op: Comparison| a.iter().zip(b.iter()).map(|(x, y)| between(call, op, &x.1, &y.1)).collect::<Result<Vec<_>>>();
    let last = element(op)?;
    // `a < b` on all but the last element is strict, and goes on where they are equal.
    let (strict, equal) = match op {
        Comparison::Equals | Comparison::NotEquals => (Vec::new(), Vec::new()),
        Comparison::Less | Comparison::LessOrEquals => (element(Comparison::Less)?, element(Comparison::Equals)?),
        _ => (element(Comparison::Greater)?, element(Comparison::Equals)?),
    };
    let nullable = last.iter().any(|b| b.ty.is_nullable());
    let ty = if nullable { LogicalType::nullable(LogicalType::Bool) } else { LogicalType::Bool };
    Ok(BoundCall::new(ty, move |cx: &EvalContext, args: &[Datum], rows| {
        let eval = |bound: &BoundCall, i: usize| -> Result<BooleanArray> {
            let args = [column(&args[0], i)?, column(&args[1], i)?];
            let result = bound.kernel.eval(cx, &args, rows)?.to_array(rows)?;
            Ok(downcast::<BooleanArray>(&result)?.clone())
        };
        let mut result = eval(&last[last.len() - 1], last.len() - 1)?;
        for i in (0..last.len() - 1).rev() {
            result = match op {
                Comparison::Equals => and_kleene(&eval(&last[i], i)?, &result),
                Comparison::NotEquals => or_kleene(&eval(&last[i], i)?, &result),
                _ => {
                    let rest = and_kleene(&eval(&equal[i], i)?, &result).map_err(arrow_error)?;
                    or_kleene(&eval(&strict[i], i)?, &rest)
                }
            }
            .map_err(arrow_error)?;
        }
        Ok(Datum::Array(Arc::new(result) as ArrayRef))
    }))
}

fn column(datum: &Datum, index: usize) -> Result<Datum> {
    let array = Arc::clone(downcast::<StructArray>(datum.array()?)?.column(index));
    Ok(if datum.is_scalar() { Datum::Scalar(array) } else { Datum::Array(array) })
}
