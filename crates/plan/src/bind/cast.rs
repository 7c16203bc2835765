//! Casts as expressions: every change of type that a query needs is one of these.

use crate::expr::{Expr, ExprKind};
use arrow::array::ArrayRef;
use hydron_base::{Code, Error, Result};
use hydron_func::{Datum, EvalContext, Kernel, Volatility};
use hydron_types::cast::{CastOptions, can_cast, cast};
use hydron_types::column::{array_of, value_at};
use hydron_types::{LogicalType, Zone};
use std::sync::Arc;

/// The name by which runtimes know a cast; its one argument is of the type cast from.
pub const CAST: &str = "cast";

struct CastKernel {
    from: LogicalType,
    to: LogicalType,
    options: CastOptions,
}

impl Kernel for CastKernel {
    fn eval(&self, _: &EvalContext, args: &[Datum], _: usize) -> Result<Datum> {
        let one = |a: &ArrayRef| cast(a, &self.from, &self.to, &self.options);
        match args {
            [Datum::Array(a)] => Ok(Datum::Array(one(a)?)),
            [Datum::Scalar(a)] => Ok(Datum::Scalar(one(a)?)),
            _ => Err(Error::bug("a cast takes one value")),
        }
    }
}

/// `expr` as a value of `to`; a constant is converted now.
///
/// Errors: TYPE_MISMATCH (53) for types without a conversion; for a constant what the conversion answers.
pub fn cast_to(expr: Expr, to: &LogicalType, zone: Zone) -> Result<Expr> {
    if expr.ty == *to {
        return Ok(expr);
    }
    let options = CastOptions::wrap(zone);
    if let ExprKind::Literal(value) = &expr.kind {
        if value.is_null() && to.is_nullable() {
            return Ok(Expr::literal(value.clone(), to.clone()));
        }
        let array = cast(&array_of(value, &expr.ty, 1)?, &expr.ty, to, &options)?;
        return Ok(Expr::literal(value_at(&array, to, 0), to.clone()));
    }
    if !can_cast(&expr.ty, to) {
        return Err(Error::new(Code::TYPE_MISMATCH, format!("{} cannot be converted to {to}", expr.ty)));
    }
    let kernel = CastKernel { from: expr.ty.clone(), to: to.clone(), options };
    let kind = ExprKind::Call {
        name: Arc::from(CAST),
        kernel: Arc::new(kernel),
        args: vec![expr],
        volatility: Volatility::Immutable,
    };
    Ok(Expr { kind, ty: to.clone() })
}
