//! `lag`, `lags`, `neighbor`: values of the rows before, in the order in which rows come; `row_number`: their number.

use super::cast::cast_to;
use super::expr::{Exprs, LAGS, Place};
use crate::expr::Expr;
use crate::node::{LagCall, Node, Plan};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast;
use hydron_types::{Field, LogicalType, Schema, Value};
use std::sync::Arc;

/// Rows that one call may look back: each substream keeps as many values.
const ROWS_BACK_MAX: u64 = 10_000;

impl Exprs<'_> {
    /// A call without OVER.
    pub(super) fn plain_lag(&mut self, name: &str, f: &ast::Function) -> Result<Expr> {
        if self.lag_keys.is_some() {
            return Err(Error::not_implemented("lag() and its like with and without OVER in one streaming query"));
        }
        self.lag(name, f)
    }

    /// `lag(value[, n[, default]])`, `lags(value, from, to[, default])`, `neighbor(value, -n[, default])`, `row_number()`
    /// without OVER: a placeholder.
    ///
    /// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42), BAD_ARGUMENTS (36), NOT_IMPLEMENTED (48) elsewhere than in the select list
    /// and under an aggregate function.
    pub(super) fn lag(&mut self, name: &str, f: &ast::Function) -> Result<Expr> {
        if !self.place.lags {
            return Err(Error::not_implemented(format!("{name}() in {}", self.place.name)));
        }
        self.plain_lags |= self.place.aggregates;
        if name == "row_number" {
            if !f.args.is_empty() {
                let text = format!("\"row_number\" takes no arguments, given {}", f.args.len());
                return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
            }
            let (zero, ty) = (Value::UInt(0), LogicalType::UInt64);
            let value = Expr::literal(zero.clone(), ty.clone());
            let call = LagCall { value, from: 0, to: 0, array: false, number: true, default: zero, ty: ty.clone() };
            self.lags.push(call);
            return Ok(Expr::column(LAGS + self.lags.len() - 1, ty));
        }
        let (low, high) = match name {
            "lag" => (1, 3),
            "lags" => (3, 4),
            _ => (2, 3),
        };
        if !(low..=high).contains(&f.args.len()) {
            let text = format!("\"{name}\" takes {low} to {high} arguments, given {}", f.args.len());
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
        }
        let value = self.bind_in(&f.args[0], Place { name: "lag", ..Place::ROW })?;
        let offset = |x: &mut Self, at: usize| -> Result<u64> {
            let Some(arg) = f.args.get(at) else { return Ok(1) };
            let count = x.constant(arg)?.and_then(|(v, _)| v.as_i64()).map(|n| if name == "neighbor" { -n } else { n });
            let fits = count.and_then(|n| u64::try_from(n).ok()).filter(|n| *n <= ROWS_BACK_MAX);
            fits.ok_or_else(|| {
                let text = format!("\"{name}\" looks back a constant number of rows, at most {ROWS_BACK_MAX}");
                Error::bad_arguments(text)
            })
        };
        let (from, to, default_at) = match name {
            "lags" => (offset(self, 1)?, offset(self, 2)?, 3),
            _ => {
                let n = offset(self, 1)?;
                (n, n, 2)
            }
        };
        if from > to {
            return Err(Error::bad_arguments(format!("\"{name}\" looks back from {from} to {to} rows")));
        }
        let default = match f.args.get(default_at) {
            None => Value::default_of(&value.ty),
            Some(arg) => {
                let (given, ty) = self
                    .constant(arg)?
                    .ok_or_else(|| Error::bad_arguments(format!("the default of \"{name}\" is a constant")))?;
                let cast = cast_to(Expr::literal(given, ty), &value.ty, self.cx.zone)?;
                cast.as_literal().cloned().ok_or_else(|| Error::bug("a constant was cast to none"))?
            }
        };
        let array = name == "lags";
        let ty = if array { LogicalType::array(value.ty.clone()) } else { value.ty.clone() };
        self.lags.push(LagCall { value, from, to, array, number: false, default, ty: ty.clone() });
        Ok(Expr::column(LAGS + self.lags.len() - 1, ty))
    }
}

/// The input's columns, then one for each call.
pub(super) fn with_lags(plan: Plan, keys: Vec<Expr>, calls: Vec<LagCall>) -> Plan {
    let mut fields = plan.schema.fields.clone();
    fields.extend(calls.iter().enumerate().map(|(i, c)| Field::new(format!("lag_{i}"), c.ty.clone())));
    let (streaming, change) = (plan.streaming, plan.change);
    let node = Node::Lags { input: Box::new(plan), keys, calls };
    Plan { node, schema: Arc::new(Schema::new(fields)), streaming, change }
}
