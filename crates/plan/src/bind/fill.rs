//! WITH FILL of an ORDER BY item: bounds and step as values of the sorted column.

use super::cast::cast_to;
use super::expr::{Exprs, Place};
use crate::node::{FillColumn, FillStep};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast;
use hydron_types::physical::{arrow_type, digits_of_unit};
use hydron_types::{LogicalType, Value};

impl Exprs<'_> {
    /// What an item says; the position of its column is put in later.
    ///
    /// Errors: INVALID_WITH_FILL_EXPRESSION (475) for a type without steps and for what is no constant.
    pub(super) fn fill(&mut self, fill: &ast::Fill, ty: &LogicalType, descending: bool) -> Result<FillColumn> {
        // Rows with NULL stay where they are, with nothing filled up to them.
        let ty = ty.bare();
        let plain = ty.bits().is_none_or(|b| b <= 64);
        if !(plain && (ty.is_number() || ty.is_date_or_time())) || matches!(ty, LogicalType::Decimal { .. }) {
            let text = format!("WITH FILL of a column of type {ty}, which has no steps");
            return Err(Error::new(Code::INVALID_WITH_FILL_EXPRESSION, text));
        }
        let step = match &fill.step {
            Some(step) => self.fill_step(step, ty)?,
            None => FillStep::By(if ty.is_float() {
                Value::Float64(if descending { -1.0 } else { 1.0 })
            } else {
                Value::Int(ticks(if descending { -1 } else { 1 }, ty))
            }),
        };
        Ok(FillColumn {
            column: 0,
            descending,
            from: fill.from.as_ref().map(|e| self.fill_bound(e, ty)).transpose()?,
            to: fill.to.as_ref().map(|e| self.fill_bound(e, ty)).transpose()?,
            step,
        })
    }

    fn fill_bound(&mut self, expr: &ast::Expr, ty: &LogicalType) -> Result<Value> {
        let bound = self.bind_in(expr, Place::CONSTANT)?;
        if ty.is_unsigned_integer()
            && let Some((value, _)) = self.constant_of(&bound)?
            && value.as_f64().is_some_and(|v| v < 0.0)
        {
            let text = format!("\"{}\" in WITH FILL is below 0, which no {ty} is", expr.column_name());
            return Err(Error::new(Code::INVALID_WITH_FILL_EXPRESSION, text));
        }
        let bound = cast_to(bound, ty, self.cx.zone)?;
        match self.constant_of(&bound)? {
            Some((value, _)) if !value.is_null() => Ok(value),
            _ => Err(not_constant(expr)),
        }
    }

    fn fill_step(&mut self, expr: &ast::Expr, ty: &LogicalType) -> Result<FillStep> {
        let Some((value, of)) = self.constant(expr)? else { return Err(not_constant(expr)) };
        Ok(match (value, of.bare()) {
            (Value::Int(_), LogicalType::Interval(_)) => FillStep::Interval(self.interval(expr)?),
            (Value::Time(n), from) => FillStep::By(Value::Int(rescaled(n, digits(from), digits(ty)))),
            (value, _) if ty.is_float() => {
                FillStep::By(Value::Float64(value.as_f64().ok_or_else(|| not_constant(expr))?))
            }
            (value, _) => {
                let whole = value.as_i64().or_else(|| value.as_f64().map(|f| f as i64));
                FillStep::By(Value::Int(ticks(whole.ok_or_else(|| not_constant(expr))?, ty)))
            }
        })
    }
}

fn not_constant(expr: &ast::Expr) -> Error {
    let text = format!("\"{}\" in WITH FILL is no constant of the column's type", expr.column_name());
    Error::new(Code::INVALID_WITH_FILL_EXPRESSION, text)
}

/// A number of seconds as ticks of a time; any other number as it is.
fn ticks(n: i64, ty: &LogicalType) -> i64 {
    rescaled(n, 0, digits(ty))
}

/// Decimal digits of the ticks of a type; 0 for what has none.
fn digits(ty: &LogicalType) -> u8 {
    match arrow_type(ty) {
        arrow::datatypes::DataType::Timestamp(unit, _) => digits_of_unit(unit),
        _ => 0,
    }
}

fn rescaled(n: i64, from: u8, to: u8) -> i64 {
    match to.checked_sub(from) {
        Some(more) => n.saturating_mul(10_i64.pow(u32::from(more.min(18)))),
        None => n / 10_i64.pow(u32::from((from - to).min(18))),
    }
}
