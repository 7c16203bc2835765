//! Comparison of any two numbers, exact: -1 is less than a uint64, 2^53 + 1 is not the float 2^53, 1.10 is 1.1.

use super::{Comparison, bits_of, bits_of_pairs};
use crate::call::{BoundCall, Datum};
use crate::scalar::column::bools;
use crate::scalar::define::Call;
use crate::scalar::number::{Num, U256, number_layout, to_vec, wide_of_value, with_number};
use arrow::array::ArrayRef;
use arrow::datatypes::i256;
use hydron_base::{Error, Result};
use hydron_types::{LogicalType, Value};
use std::cmp::Ordering;

/// Whether both are numbers here: numbers proper, bool, enums, times as seconds, intervals of one unit.
pub(super) fn comparable(a: &LogicalType, b: &LogicalType) -> bool {
    use LogicalType::*;
    let number = |t: &LogicalType| t.is_number() || *t == Bool;
    let like_number =
        |t: &LogicalType| number(t) || matches!(t, DateTime(_) | DateTime64(..) | Enum8(_) | Enum16(_) | Ipv4);
    match (a, b) {
        (Interval(x), Interval(y)) => x == y,
        (Enum8(_) | Enum16(_) | Ipv4 | Date | Date32 | DateTime(_), _) if a == b => true,
        _ => (number(a) && like_number(b)) || (like_number(a) && number(b)),
    }
}

/// Decimal digits after the point; of a time, those of its ticks.
fn scale_of(ty: &LogicalType) -> Option<u8> {
    match ty {
        LogicalType::Decimal { scale, .. } => Some(*scale),
        LogicalType::DateTime64(scale, _) => {
            Some(hydron_types::physical::digits_of_unit(hydron_types::physical::unit_of_scale(*scale)))
        }
        _ => None,
    }
}

pub(super) fn bind(call: &Call<'_>, op: Comparison) -> Result<BoundCall> {
    let (a, b) = (call.ty(0).clone(), call.ty(1).clone());
    let scales = (scale_of(&a), scale_of(&b));
    let float = a.is_float() || b.is_float();
    if scales != (None, None) {
        if float {
            return floats_with_decimals(call, op);
        }
        let (x, y) = (scales.0.unwrap_or(0), scales.1.unwrap_or(0));
        if a == b {
            return plain(call, op, number_layout(&a));
        }
        let scale = x.max(y);
        return call
            .returns(LogicalType::Bool, move |args, rows| scaled(args, [&a, &b], [scale - x, scale - y], rows, op));
    }
    let (x, y) = (number_layout(&a), number_layout(&b));
    if let Some(common) = common_type(call, &x, &y) {
        return plain(call, op, common);
    }
    if float {
        return call.returns(LogicalType::Bool, move |args, rows| integers_with_floats(args, [&a, &b], rows, op));
    }
    // What is left is a signed number beside uint256.
    call.returns(LogicalType::Bool, move |args, rows| signed_with_u256(args, [&a, &b], rows, op))
}

/// A type that holds every value of both sides: of the column's own width where a constant fits it.
fn common_type(call: &Call<'_>, a: &LogicalType, b: &LogicalType) -> Option<LogicalType> {
    if a == b {
        return Some(a.clone());
    }
    for (column, other) in [(a, 1), (b, 0)] {
        if let Some(value) = call.args[other].constant.as_ref()
            && call.args[1 - other].constant.is_none()
            && holds(column, value)
        {
            return Some(column.clone());
        }
    }
    let (a_bits, b_bits) = (a.bits()?, b.bits()?);
    if a.is_float() || b.is_float() {
        // Integers of 32 bits are exact in a float of 64.
        let exact = |t: &LogicalType, bits: u32| t.is_float() || bits <= 32;
        return (exact(a, a_bits) && exact(b, b_bits)).then_some(LogicalType::Float64);
    }
    let (a_signed, b_signed) = (a.is_signed_integer(), b.is_signed_integer());
    if a_signed == b_signed {
        return Some(LogicalType::integer(a_signed, a_bits.max(b_bits)));
    }
    let needed = |signed: bool, bits: u32| if signed { bits } else { bits * 2 };
    let bits = needed(a_signed, a_bits).max(needed(b_signed, b_bits));
    (bits <= 256).then(|| LogicalType::integer(true, bits))
}

/// Whether `value` is exactly a value of the number type `ty`.
fn holds(ty: &LogicalType, value: &Value) -> bool {
    match ty {
        LogicalType::Float64 => match value {
            Value::Float32(_) | Value::Float64(_) => true,
            v => v.as_i64().is_some_and(|i| i.unsigned_abs() <= 1 << 53),
        },
        LogicalType::Float32 => match value {
            Value::Float32(_) => true,
            Value::Float64(v) => f64::from(*v as f32) == *v,
            v => v.as_i64().is_some_and(|i| i.unsigned_abs() <= 1 << 24),
        },
        t if t.is_integer() => {
            let (Some(v), Some(bits)) = (wide_of_value(value), t.bits()) else { return false };
            if matches!(value, Value::Decimal(_) | Value::Wide(_)) || bits > 64 {
                return false;
            }
            let one = i256::ONE;
            let (low, high) = match t.is_signed_integer() {
                true => ((one << (bits - 1) as u8).wrapping_neg(), one << (bits - 1) as u8),
                false => (i256::ZERO, one << bits as u8),
            };
            low <= v && v < high
        }
        _ => false,
    }
}

fn plain(call: &Call<'_>, op: Comparison, common: LogicalType) -> Result<BoundCall> {
    let (a, b) = (call.ty(0).clone(), call.ty(1).clone());
    call.returns(LogicalType::Bool, move |args, rows| {
        with_number!(&common, R => compare::<R>(args, [&a, &b], rows, op), else Err(Error::bug(format!("comparison in {common}"))))
    })
}

/// Compares both sides read as `R`. Nothing is less, greater or equal to a NaN.
pub(super) fn compare<R: Num>(
    args: &[Datum],
    types: [&LogicalType; 2],
    _rows: usize,
    op: Comparison,
) -> Result<ArrayRef> {
    match op {
        Comparison::Equals => pairs::<R>(args, types, |x, y| x == y),
        Comparison::NotEquals => pairs::<R>(args, types, |x, y| x != y),
        Comparison::Less => pairs::<R>(args, types, |x, y| x < y),
        Comparison::Greater => pairs::<R>(args, types, |x, y| x > y),
        Comparison::LessOrEquals => pairs::<R>(args, types, |x, y| x <= y),
        Comparison::GreaterOrEquals => pairs::<R>(args, types, |x, y| x >= y),
    }
}

fn pairs<R: Num>(args: &[Datum], types: [&LogicalType; 2], f: impl Fn(R, R) -> bool) -> Result<ArrayRef> {
    let (a, b) = (R::lane(args[0].array()?, types[0])?, R::lane(args[1].array()?, types[1])?);
    let (a, b) = (a.as_ref().as_ref(), b.as_ref().as_ref());
    Ok(match (args[0].is_scalar(), args[1].is_scalar()) {
        (false, true) => {
            let y = b[0];
            bits_of(a, |x| f(x, y))
        }
        (true, false) => {
            let x = a[0];
            bits_of(b, |y| f(x, y))
        }
        _ => bits_of_pairs(a, b, f),
    })
}

/// Rows of two arguments by an order that may be missing (a NaN): then only `!=` holds.
fn by_order(args: &[Datum], rows: usize, op: Comparison, order: impl Fn(usize, usize) -> Option<Ordering>) -> ArrayRef {
    let (a_one, b_one) = (args[0].is_scalar(), args[1].is_scalar());
    bools(rows, |i| {
        let order = order(if a_one { 0 } else { i }, if b_one { 0 } else { i });
        order.map_or(op == Comparison::NotEquals, |o| op.holds(o))
    })
}

/// Decimals (and integers beside them) as digits of one scale.
fn scaled(args: &[Datum], types: [&LogicalType; 2], shifts: [u8; 2], rows: usize, op: Comparison) -> Result<ArrayRef> {
    let side = |i: usize| -> Result<Vec<Option<i256>>> {
        let factor = i256::from_i128(10).wrapping_pow(u32::from(shifts[i]));
        let values = to_vec::<i256>(args[i].array()?, types[i])?;
        Ok(values.into_iter().map(|v| v.checked_mul(factor)).collect())
    };
    let (a, b) = (side(0)?, side(1)?);
    // A value too large for the other scale is larger in magnitude than all values of the other side.
    let raw = (to_vec::<i256>(args[0].array()?, types[0])?, to_vec::<i256>(args[1].array()?, types[1])?);
    check_width(&raw.0, types, shifts[0])?;
    check_width(&raw.1, types, shifts[1])?;
    Ok(by_order(args, rows, op, |i, j| match (a[i], b[j]) {
        (Some(x), Some(y)) => Some(x.cmp(&y)),
        (None, _) => Some(raw.0[i].cmp(&i256::ZERO)),
        (_, None) => Some(i256::ZERO.cmp(&raw.1[j])),
    }))
}

/// Both sides are read at one scale, in the wider of their widths, with a sign.
///
/// Errors: DECIMAL_OVERFLOW (407) for a value that is too large for that.
fn check_width(values: &[i256], types: [&LogicalType; 2], shift: u8) -> Result<()> {
    let bits = |ty: &LogicalType| match ty {
        LogicalType::Decimal { precision, .. } => Some(decimal_bits(*precision)),
        ty if ty.is_integer() => ty.bits(),
        _ => None,
    };
    let (Some(x), Some(y)) = (bits(types[0]), bits(types[1])) else { return Ok(()) };
    let width = x.max(y);
    if width > 128 {
        return Ok(());
    }
    let (factor, end) = (i256::from_i128(10).wrapping_pow(u32::from(shift)), i256::ONE << (width - 1) as u8);
    let fits = |v: &i256| v.checked_mul(factor).is_some_and(|v| v < end && v >= end.wrapping_neg());
    if values.iter().all(fits) {
        return Ok(());
    }
    let text = format!("{} and {} cannot be compared: a value is too large for the scale of both", types[0], types[1]);
    Err(Error::new(hydron_base::Code::DECIMAL_OVERFLOW, text))
}

fn decimal_bits(precision: u8) -> u32 {
    match precision {
        ..=9 => 32,
        10..=18 => 64,
        19..=38 => 128,
        _ => 256,
    }
}

fn floats_with_decimals(call: &Call<'_>, op: Comparison) -> Result<BoundCall> {
    let types = [call.ty(0).clone(), call.ty(1).clone()];
    call.returns(LogicalType::Bool, move |args, rows| {
        let side = |i: usize| -> Result<Vec<f64>> {
            let values = to_vec::<f64>(args[i].array()?, &types[i])?;
            // Parsed, because powers by multiplication are off by a bit from 1e23 on.
            let divisor: f64 = format!("1e{}", scale_of(&types[i]).unwrap_or(0)).parse().unwrap_or(1.0);
            Ok(values.into_iter().map(|v| v / divisor).collect())
        };
        let (a, b) = (side(0)?, side(1)?);
        Ok(by_order(args, rows, op, |i, j| a[i].partial_cmp(&b[j])))
    })
}

fn integers_with_floats(args: &[Datum], types: [&LogicalType; 2], rows: usize, op: Comparison) -> Result<ArrayRef> {
    let float_first = types[0].is_float();
    let (f, n) = if float_first { (0, 1) } else { (1, 0) };
    let floats = to_vec::<f64>(args[f].array()?, types[f])?;
    let integers = to_vec::<i256>(args[n].array()?, types[n])?;
    Ok(by_order(args, rows, op, |i, j| {
        let (fi, ni) = if float_first { (i, j) } else { (j, i) };
        let order = float_to_integer(floats[fi], integers[ni])?;
        Some(if float_first { order } else { order.reverse() })
    }))
}

/// The order of a float and an integer below 2^255.
fn float_to_integer(f: f64, n: i256) -> Option<Ordering> {
    if f.is_nan() {
        return None;
    }
    if f.is_infinite() {
        return Some(if f > 0.0 { Ordering::Greater } else { Ordering::Less });
    }
    let whole = crate::scalar::number::wide_of_float(f.trunc());
    let rest = f - f.trunc();
    Some(whole.cmp(&n).then(rest.partial_cmp(&0.0)?))
}

fn signed_with_u256(args: &[Datum], types: [&LogicalType; 2], rows: usize, op: Comparison) -> Result<ArrayRef> {
    let negative = |i: usize, v: &U256| types[i].is_signed_integer() && v.0.is_negative();
    let (a, b) = (to_vec::<U256>(args[0].array()?, types[0])?, to_vec::<U256>(args[1].array()?, types[1])?);
    Ok(by_order(args, rows, op, |i, j| {
        Some(match (negative(0, &a[i]), negative(1, &b[j])) {
            (true, _) => Ordering::Less,
            (_, true) => Ordering::Greater,
            _ => a[i].cmp(&b[j]),
        })
    }))
}
