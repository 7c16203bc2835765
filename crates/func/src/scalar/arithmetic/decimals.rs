//! Arithmetic on decimals, among themselves and with integers, exact or an error.
//!
//! A result has the larger width of its operands and the scale that the operation asks for; a result that the width does
//! not hold is DECIMAL_OVERFLOW (407).

use super::Op;
use super::numbers::illegal_division;
use crate::call::{BoundCall, Datum};
use crate::scalar::column::from_natives;
use crate::scalar::define::Call;
use crate::scalar::number::to_vec;
use arrow::datatypes::i256;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;

/// Digits that a width holds: 9, 18, 38 or 76.
pub(crate) fn digits_of_width(precision: u8) -> u8 {
    match precision {
        ..=9 => 9,
        10..=18 => 18,
        19..=38 => 38,
        _ => 76,
    }
}

fn scale_of(ty: &LogicalType) -> Option<(u8, u8)> {
    match ty {
        LogicalType::Decimal { precision, scale } => Some((*precision, *scale)),
        _ => None,
    }
}

pub(super) fn bind(call: &Call<'_>, op: Op) -> Result<BoundCall> {
    if !matches!(op, Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::IntDiv | Op::IntDivOrZero) {
        return Err(call.illegal(if call.ty(0).is_decimal() { 0 } else { 1 }));
    }
    let (a, b) = (call.ty(0).clone(), call.ty(1).clone());
    let (precision, scale) = result_shape(op, scale_of(&a), scale_of(&b))?;
    let ty = LogicalType::Decimal { precision, scale };
    let (a_scale, b_scale) = (scale_of(&a).map_or(0, |s| s.1), scale_of(&b).map_or(0, |s| s.1));
    // How many digits each operand gets before the plain integer operation.
    let (a_shift, b_shift) = match op {
        Op::Plus | Op::Minus => (scale - a_scale, scale - b_scale),
        Op::Multiply => (0, 0),
        _ if a_scale > scale + b_scale => (0, a_scale - scale - b_scale),
        _ => (scale + b_scale - a_scale, 0),
    };
    let out = ty.clone();
    call.returns(ty, move |args, rows| {
        let step = Step { op, a_shift, b_shift };
        match digits_of_width(precision) {
            9 => narrow(&step, args, [&a, &b], rows, |v| i32::try_from(v).ok()).and_then(|v| from_natives(v, &out)),
            18 => narrow(&step, args, [&a, &b], rows, |v| i64::try_from(v).ok()).and_then(|v| from_natives(v, &out)),
            38 => narrow(&step, args, [&a, &b], rows, Some).and_then(|v| from_natives(v, &out)),
            _ => wide(&step, args, [&a, &b], rows).and_then(|v| from_natives(v, &out)),
        }
    })
}

/// Precision and scale of the result; `None` stands for an integer operand.
fn result_shape(op: Op, a: Option<(u8, u8)>, b: Option<(u8, u8)>) -> Result<(u8, u8)> {
    let (Some((a_precision, a_scale)), Some((b_precision, b_scale))) = (a, b) else {
        return a.or(b).ok_or_else(|| Error::bug("decimal arithmetic without a decimal"));
    };
    let precision = digits_of_width(a_precision.max(b_precision));
    let scale = match op {
        Op::Plus | Op::Minus => a_scale.max(b_scale),
        Op::Multiply => a_scale + b_scale,
        _ if a_scale + b_scale > precision => {
            return Err(overflow(format!(
                "a division of scales {a_scale} and {b_scale} needs more than {precision} digits"
            )));
        }
        _ => a_scale,
    };
    if scale > precision {
        return Err(Error::new(
            Code::ARGUMENT_OUT_OF_BOUND,
            format!("the result has scale {scale}, its type holds {precision} digits"),
        ));
    }
    Ok((precision, scale))
}

fn overflow(what: impl Into<String>) -> Error {
    Error::new(Code::DECIMAL_OVERFLOW, what)
}

struct Step {
    op: Op,
    a_shift: u8,
    b_shift: u8,
}

/// Results of at most 38 digits, computed in 128 bits. `fit` is the width of the result; operands that were shifted must
/// fit it too.
fn narrow<R>(
    step: &Step,
    args: &[Datum],
    types: [&LogicalType; 2],
    rows: usize,
    fit: impl Fn(i128) -> Option<R>,
) -> Result<Vec<R>> {
    let (a, b) = (to_vec::<i128>(args[0].array()?, types[0])?, to_vec::<i128>(args[1].array()?, types[1])?);
    let (a_step, b_step) = (usize::from(!args[0].is_scalar()), usize::from(!args[1].is_scalar()));
    let power =
        |n: u8| 10i128.checked_pow(u32::from(n)).ok_or_else(|| overflow(format!("10^{n} does not fit a decimal")));
    let (a_factor, b_factor) = (power(step.a_shift)?, power(step.b_shift)?);
    let rows = if a_step + b_step == 0 { 1 } else { rows };
    let shifted = |v: i128, factor: i128| {
        let v = if factor == 1 { v } else { v.checked_mul(factor)? };
        fit(v).map(|_| v)
    };
    (0..rows)
        .map(|i| {
            let (x, y) = (a[i * a_step], b[i * b_step]);
            let pair = shifted(x, a_factor).zip(shifted(y, b_factor));
            let value = match (step.op, pair) {
                (_, None) => None,
                (Op::Plus, Some((x, y))) => x.checked_add(y),
                (Op::Minus, Some((x, y))) => x.checked_sub(y),
                (Op::Multiply, Some((x, y))) => x.checked_mul(y),
                (Op::IntDivOrZero, Some((_, 0))) => Some(0),
                (_, Some((_, 0))) => return Err(illegal_division("division of a decimal by zero")),
                (_, Some((x, y))) => x.checked_div(y),
            };
            value.and_then(&fit).ok_or_else(|| overflow("decimal arithmetic overflows the type of its result"))
        })
        .collect()
}

fn wide(step: &Step, args: &[Datum], types: [&LogicalType; 2], rows: usize) -> Result<Vec<i256>> {
    let (a, b) = (to_vec::<i256>(args[0].array()?, types[0])?, to_vec::<i256>(args[1].array()?, types[1])?);
    let (a_step, b_step) = (usize::from(!args[0].is_scalar()), usize::from(!args[1].is_scalar()));
    let ten = i256::from_i128(10);
    let power = |n: u8| ten.checked_pow(u32::from(n)).ok_or_else(|| overflow(format!("10^{n} does not fit a decimal")));
    let (a_factor, b_factor) = (power(step.a_shift)?, power(step.b_shift)?);
    let rows = if a_step + b_step == 0 { 1 } else { rows };
    (0..rows)
        .map(|i| {
            let pair = a[i * a_step].checked_mul(a_factor).zip(b[i * b_step].checked_mul(b_factor));
            let value = match (step.op, pair) {
                (_, None) => None,
                (Op::Plus, Some((x, y))) => x.checked_add(y),
                (Op::Minus, Some((x, y))) => x.checked_sub(y),
                (Op::Multiply, Some((x, y))) => x.checked_mul(y),
                (Op::IntDivOrZero, Some((_, i256::ZERO))) => Some(i256::ZERO),
                (_, Some((_, i256::ZERO))) => return Err(illegal_division("division of a decimal by zero")),
                (_, Some((x, y))) => x.checked_div(y),
            };
            value.ok_or_else(|| overflow("decimal arithmetic overflows the type of its result"))
        })
        .collect()
}
