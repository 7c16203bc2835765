//! Arithmetic on integers and floats: operands are brought to one type, then one tight loop runs over plain slices.

use super::{Op, result};
use crate::call::{BoundCall, Datum};
use crate::scalar::define::Call;
use crate::scalar::number::{Int, Num, to_vec, with_integer, with_number};
use arrow::array::ArrayRef;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;

/// Binds `op` on two integers or floats; decimals beside a float are read as floats.
pub(super) fn bind(call: &Call<'_>, op: Op) -> Result<BoundCall> {
    let float = call.ty(0).is_float() || call.ty(1).is_float();
    if float && (call.ty(0).is_decimal() || call.ty(1).is_decimal()) {
        return bind_with_decimal(call, op);
    }
    if float && matches!(op, Op::Gcd | Op::Lcm | Op::ModuloLegacy) {
        return Err(call.illegal(if call.ty(0).is_float() { 0 } else { 1 }));
    }
    let (a, b) = (call.ty(0).clone(), call.ty(1).clone());
    let ty = result::of(op, &a, &b);
    let out = ty.clone();
    call.returns(ty, move |args, _| {
        let operands = Operands { a: &args[0], b: &args[1], a_type: &a, b_type: &b };
        match op {
            Op::Plus | Op::Minus | Op::Multiply => wrapping(&operands, op, &out),
            Op::Divide => operands.map(|x: f64, y: f64| x / y),
            _ if float => on_floats(&operands, op, &out),
            _ => on_integers(&operands, op, &out),
        }
    })
}

/// A decimal beside a float: both are floats.
fn bind_with_decimal(call: &Call<'_>, op: Op) -> Result<BoundCall> {
    let (a, b) = (call.convert(0, &LogicalType::Float64), call.convert(1, &LogicalType::Float64));
    let ty = result::of(op, &LogicalType::Float64, &LogicalType::Float64);
    let out = ty.clone();
    call.returns(ty, move |args, _| {
        let (x, y) = (a.datum(&args[0])?, b.datum(&args[1])?);
        let float = LogicalType::Float64;
        let operands = Operands { a: &x, b: &y, a_type: &float, b_type: &float };
        match op {
            Op::Plus | Op::Minus | Op::Multiply => wrapping(&operands, op, &float),
            Op::Divide => operands.map(|x: f64, y: f64| x / y),
            _ => on_floats(&operands, op, &out),
        }
    })
}

/// Two arguments of numbers.
pub(super) struct Operands<'a> {
    pub a: &'a Datum,
    pub b: &'a Datum,
    pub a_type: &'a LogicalType,
    pub b_type: &'a LogicalType,
}

impl Operands<'_> {
    /// `f` of each pair, both read as `R`.
    pub fn map<R: Num, S: Num>(&self, f: impl Fn(R, R) -> S) -> Result<ArrayRef> {
        let (a, b) = (R::lane(self.a.array()?, self.a_type)?, R::lane(self.b.array()?, self.b_type)?);
        let (a, b) = (a.as_ref().as_ref(), b.as_ref().as_ref());
        let values = match (self.a.is_scalar(), self.b.is_scalar()) {
            (false, false) => a.iter().zip(b).map(|(x, y)| f(*x, *y)).collect(),
            (false, true) => {
                let y = b[0];
                a.iter().map(|x| f(*x, y)).collect()
            }
            (true, false) => {
                let x = a[0];
                b.iter().map(|y| f(x, *y)).collect()
            }
            (true, true) => vec![f(a[0], b[0])],
        };
        Ok(S::array(values))
    }

    /// Like [`Operands::map`] for a function without an answer for some pairs; the first such pair is an error.
    pub fn try_map<R: Num, S: Num>(
        &self,
        f: impl Fn(R, R) -> Option<S>,
        error: impl Fn() -> Error,
    ) -> Result<ArrayRef> {
        let failed = std::cell::Cell::new(false);
        let result = self.map(|x: R, y: R| {
            f(x, y).unwrap_or_else(|| {
                failed.set(true);
                S::default()
            })
        })?;
        if failed.get() { Err(error()) } else { Ok(result) }
    }
}

fn wrapping(operands: &Operands<'_>, op: Op, out: &LogicalType) -> Result<ArrayRef> {
    with_number!(out, R => match op {
        Op::Plus => operands.map(|x: R, y: R| x.add(y)),
        Op::Minus => operands.map(|x: R, y: R| x.sub(y)),
        _ => operands.map(|x: R, y: R| x.mul(y)),
    }, else Err(Error::bug(format!("arithmetic in {out}"))))
}

fn on_floats(operands: &Operands<'_>, op: Op, out: &LogicalType) -> Result<ArrayRef> {
    match op {
        Op::IntDiv | Op::IntDivOrZero => {
            let or_zero = op == Op::IntDivOrZero;
            with_integer!(out, R => operands.try_map(
                |x: f64, y: f64| float_quotient::<R>(x, y).or(or_zero.then(R::default)),
                || illegal_division("an integer division with an infinite or too large operand or result"),
            ), else Err(Error::bug(format!("integer division in {out}"))))
        }
        Op::PositiveModulo => operands.map(|x: f64, y: f64| {
            let rest = x - (x / y).trunc() * y;
            if rest < 0.0 { rest + y.abs() } else { rest }
        }),
        Op::ModuloOrZero => operands.map(|x: f64, y: f64| if y == 0.0 { 0.0 } else { x - (x / y).trunc() * y }),
        _ => operands.map(|x: f64, y: f64| x - (x / y).trunc() * y),
    }
}

/// The whole part of `x / y`; `None` where an integer of type `R` does not hold it.
fn float_quotient<R: Int>(x: f64, y: f64) -> Option<R> {
    let quotient = x / y;
    let limit = 2f64.powi(R::BITS as i32 - i32::from(R::SIGNED));
    let fits = quotient < limit && quotient > if R::SIGNED { -limit } else { -1.0 };
    (fits && x.is_finite() && y.is_finite()).then(|| R::from_f64(quotient.trunc()))
}

fn on_integers(operands: &Operands<'_>, op: Op, out: &LogicalType) -> Result<ArrayRef> {
    let mut common = result::common_integer(operands.a_type, operands.b_type);
    if common == LogicalType::Int128 && matches!(op, Op::IntDiv | Op::IntDivOrZero) && *out == LogicalType::Int64 {
        // ClickHouse divides 64 bits by 64 bits as signed numbers.
        common = LogicalType::Int64;
    }
    let common = common;
    let result = with_integer!(&common, R => integers::<R>(operands, op)?, else {
        return Err(Error::bug(format!("integer arithmetic in {common}")));
    });
    if common == *out {
        return Ok(result);
    }
    with_integer!(out, R => Ok(R::array(to_vec::<R>(&result, &common)?)), else Err(Error::bug(format!("integer result {out}"))))
}

fn integers<R: Int>(operands: &Operands<'_>, op: Op) -> Result<ArrayRef> {
    let by_zero = || illegal_division("division by zero");
    // A column divided by a constant -1 wraps, as in ClickHouse; anywhere else the overflow is an error.
    let wraps = operands.b.is_scalar() && !operands.a.is_scalar();
    match op {
        Op::IntDiv if wraps => operands.try_map(R::div, by_zero),
        Op::IntDiv => operands.try_map(quotient::<R>, by_zero),
        Op::IntDivOrZero => operands.map(|x: R, y: R| quotient(x, y).unwrap_or_default()),
        Op::Modulo | Op::ModuloLegacy if wraps => operands.try_map(R::rem, by_zero),
        Op::Modulo | Op::ModuloLegacy => operands.try_map(remainder::<R>, by_zero),
        Op::ModuloOrZero => operands.map(|x: R, y: R| remainder(x, y).unwrap_or_default()),
        Op::PositiveModulo => operands.try_map(positive_remainder::<R>, by_zero),
        Op::Gcd => operands.try_map(gcd::<R>, by_zero),
        Op::Lcm => operands.try_map(|x: R, y: R| Some(magnitude(x.mul(y).div(gcd(x, y)?)?)), by_zero),
        other => Err(Error::bug(format!("{other:?} is not integer division"))),
    }
}

/// The smallest signed number divided by -1 has no answer, as in ClickHouse.
fn overflows<R: Int>(x: R, y: R) -> bool {
    R::SIGNED && y == R::default().not() && x < R::default() && x == x.neg()
}

fn quotient<R: Int>(x: R, y: R) -> Option<R> {
    if overflows(x, y) { None } else { x.div(y) }
}

fn remainder<R: Int>(x: R, y: R) -> Option<R> {
    if overflows(x, y) { None } else { x.rem(y) }
}

fn positive_remainder<R: Int>(x: R, y: R) -> Option<R> {
    let rest = remainder(x, y)?;
    Some(if rest < R::default() { rest.add(magnitude(y)) } else { rest })
}

fn magnitude<R: Int>(x: R) -> R {
    if x < R::default() { x.neg() } else { x }
}

/// `None` when either is zero.
fn gcd<R: Int>(x: R, y: R) -> Option<R> {
    let (mut x, mut y) = (magnitude(x), magnitude(y));
    if x == R::default() || y == R::default() {
        return None;
    }
    while let Some(rest) = x.rem(y) {
        (x, y) = (y, rest);
    }
    Some(x)
}

pub(super) fn illegal_division(what: &str) -> Error {
    Error::new(Code::ILLEGAL_DIVISION, what)
}
