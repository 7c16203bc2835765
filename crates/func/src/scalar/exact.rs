//! Decimals: digits, overflow, products and quotients of any scale.

use super::column::{from_natives, numbers};
use super::define::{Call, define};
use super::number::to_vec;
use crate::call::{BoundCall, Datum};
use crate::registry::Registry;
use arrow::datatypes::{UInt8Type, i256};
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use hydron_types::wide::pow10;

/// Digits of the widest decimal.
const DIGITS_MAX: u8 = 76;

pub fn register(registry: &mut Registry) {
    define(registry, "count_digits", |call| {
        call.arity(1..=1)?;
        call.need(0, |t| t.is_integer() || t.is_decimal())?;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::UInt8, move |args, rows| {
            let values = values(&args[0], &ty, rows)?;
            Ok(numbers::<UInt8Type>(rows, |row| digits(values[row])))
        })
    });
    define(registry, "is_decimal_overflow", |call| {
        call.arity(1..=2)?;
        let LogicalType::Decimal { precision, .. } = *call.ty(0) else { return Err(call.illegal(0)) };
        let precision = match call.args.len() {
            2 => match call.constant_int(1)? {
                n @ 1..=76 => n as u8,
                n => {
                    let text = format!("the precision of a decimal is within 1 and {DIGITS_MAX}, given {n}");
                    return Err(Error::new(Code::DECIMAL_OVERFLOW, text));
                }
            },
            _ => precision,
        };
        let ty = call.ty(0).clone();
        call.returns(LogicalType::UInt8, move |args, rows| {
            let values = values(&args[0], &ty, rows)?;
            Ok(numbers::<UInt8Type>(rows, |row| u8::from(values[row].wrapping_abs() >= pow10(precision))))
        })
    });
    define(registry, "multiply_decimal", |call| bind(call, true));
    define(registry, "divide_decimal", |call| bind(call, false));
}

fn values(datum: &Datum, ty: &LogicalType, rows: usize) -> Result<Vec<i256>> {
    to_vec::<i256>(&datum.to_array(rows)?, ty)
}

fn digits(value: i256) -> u8 {
    let size = value.wrapping_abs();
    (1..=DIGITS_MAX).find(|n| size < pow10(*n)).unwrap_or(DIGITS_MAX + 1)
}

/// `multiply_decimal(a, b[, scale])` and `divide_decimal`: exact, then cut to the scale (the larger one by default).
fn bind(call: &Call<'_>, multiplies: bool) -> Result<BoundCall> {
    call.arity(2..=3)?;
    let scale_of = |position: usize| match call.ty(position) {
        LogicalType::Decimal { scale, .. } => Ok(*scale),
        _ => Err(call.illegal(position)),
    };
    let (a_scale, b_scale) = (scale_of(0)?, scale_of(1)?);
    let scale = match call.args.len() {
        3 => u8::try_from(call.constant_int(2)?).ok().filter(|n| *n <= DIGITS_MAX).ok_or_else(|| {
            Error::new(
                Code::ARGUMENT_OUT_OF_BOUND,
                format!("the scale of \"{}\" is within 0 and {DIGITS_MAX}", call.name),
            )
        })?,
        _ => a_scale.max(b_scale),
    };
    let ty = LogicalType::Decimal { precision: DIGITS_MAX, scale };
    let types = [call.ty(0).clone(), call.ty(1).clone()];
    let out = ty.clone();
    call.returns(ty, move |args, rows| {
        let (a, b) = (values(&args[0], &types[0], rows)?, values(&args[1], &types[1], rows)?);
        let results = (0..rows).map(|row| match multiplies {
            true => product(a[row], b[row], i32::from(scale) - i32::from(a_scale) - i32::from(b_scale)),
            false => quotient(a[row], b[row], i32::from(scale) + i32::from(b_scale) - i32::from(a_scale)),
        });
        from_natives(results.collect::<Result<Vec<i256>>>()?, &out)
    })
}

fn overflow() -> Error {
    Error::new(Code::DECIMAL_OVERFLOW, format!("the result has more than {DIGITS_MAX} digits"))
}

fn fitting(value: i256) -> Result<i256> {
    if value.wrapping_abs() < pow10(DIGITS_MAX) { Ok(value) } else { Err(overflow()) }
}

/// `v * 10^shift`, cut towards zero.
fn shifted(v: i256, shift: i32) -> Result<i256> {
    let power = |n: i32| u8::try_from(n).ok().filter(|n| *n <= DIGITS_MAX).map(pow10);
    match shift {
        0 => Ok(v),
        1.. if v == i256::ZERO => Ok(v),
        1.. => power(shift).and_then(|p| v.checked_mul(p)).ok_or_else(overflow),
        _ => Ok(power(-shift).map_or(i256::ZERO, |p| v.wrapping_div(p))),
    }
}

fn product(a: i256, b: i256, shift: i32) -> Result<i256> {
    fitting(shifted(a.checked_mul(b).ok_or_else(overflow)?, shift)?)
}

fn quotient(a: i256, b: i256, shift: i32) -> Result<i256> {
    if b == i256::ZERO {
        return Err(Error::new(Code::ILLEGAL_DIVISION, "division of a decimal by zero"));
    }
    match shift {
        0.. => fitting(shifted(a, shift)?.wrapping_div(b)),
        _ => fitting(shifted(a.wrapping_div(b), shift)?),
    }
}

#[cfg(test)]
mod tests {
    use crate::scalar::testing::{check, check_errors};

    #[test]
    fn decimals_have_digits() {
        check(
            r"
            count_digits | decimal(9, 9):0.1 | uint8:9
            count_digits | decimal(18, 4):-1.5 | uint8:5
            count_digits | uint64:18446744073709551615 | uint8:20
            count_digits | int8:0 | uint8:1
            is_decimal_overflow | decimal(9, 0):1000 ; !uint8:3 | uint8:1
            is_decimal_overflow | decimal(9, 0):999 ; !uint8:3 | uint8:0
            multiply_decimal | decimal(9, 0):-12 ; decimal(9, 1):-2.1 ; !uint8:1 | decimal(76, 1):25.2
            divide_decimal | decimal(9, 0):-12 ; decimal(9, 1):2.1 ; !uint8:10 | decimal(76, 10):-5.7142857142
            divide_decimal | decimal(9, 2):1.25 ; decimal(9, 0):2 ; !uint8:0 | decimal(76, 0):0
            multiply_decimal | nullable(decimal(9, 0)):NULL ; decimal(9, 0):1 | nullable(decimal(76, 0)):NULL
            ",
        );
        check_errors(
            r"
            divide_decimal | decimal(9, 0):1 ; decimal(9, 0):0 | ILLEGAL_DIVISION
            multiply_decimal | decimal(76, 0):1000000000000000000000000000000000000000000 ; decimal(76, 0):10000000000000000000000000000000000000000000 | DECIMAL_OVERFLOW
            multiply_decimal | uint8:1 ; decimal(9, 0):1 | ILLEGAL_TYPE_OF_ARGUMENT
            multiply_decimal | decimal(9, 0):1 ; decimal(9, 0):1 ; uint8:77 | ARGUMENT_OUT_OF_BOUND
            ",
        );
    }
}
