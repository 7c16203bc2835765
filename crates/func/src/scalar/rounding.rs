//! Rounding of numbers to digits, powers and steps.

use super::column::{Ints, from_natives, natives, numbers};
use super::define::{Call, define};
use super::number::{Num, U256, number_layout, to_vec, with_integer};
use crate::call::BoundCall;
use crate::registry::Registry;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, i256};
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Half away from zero for integers and decimals; half to even for floats, as ClickHouse does.
    Round,
    /// Half to even.
    Bankers,
    Floor,
    Ceil,
    Trunc,
}

pub fn register(registry: &mut Registry) {
    let modes = [
        ("round", Mode::Round),
        ("round_bankers", Mode::Bankers),
        ("floor", Mode::Floor),
        ("ceil", Mode::Ceil),
        ("trunc", Mode::Trunc),
    ];
    for (name, mode) in modes {
        define(registry, name, move |call| bind(call, mode));
        registry.fold_case(name);
    }
    registry.add_alias("ceiling", "ceil");
    registry.add_alias("truncate", "trunc");
    registry.fold_case("ceiling");
    registry.fold_case("truncate");
    define(registry, "round_to_exp2", |call| {
        call.arity(1..=1)?;
        call.need_number(0)?;
        let ty = number_layout(call.ty(0));
        let out = ty.clone();
        call.returns(ty, move |args, _| {
            let array = args[0].array()?;
            Ok(match &out {
                LogicalType::Float32 => {
                    f32::array(to_vec::<f64>(array, &out)?.iter().map(|v| power_of_2_below(*v) as f32).collect())
                }
                LogicalType::Float64 => {
                    f64::array(to_vec::<f64>(array, &out)?.iter().map(|v| power_of_2_below(*v)).collect())
                }
                LogicalType::UInt64 => u64::array(
                    to_vec::<u64>(array, &out)?.iter().map(|v| v.checked_ilog2().map_or(0, |n| 1 << n)).collect(),
                ),
                t => with_integer!(t, R => R::array(to_vec::<i128>(array, &out)?.iter().map(|v| {
                    // There is no power of two below 1 among the integers.
                    R::from_i128(if *v > 0 { 1i128 << v.ilog2() } else { 0 })
                }).collect()), else return Err(Error::bug(format!("round_to_exp2 in {t}")))),
            })
        })
    });
    stepped(
        registry,
        "round_duration",
        &[1, 10, 30, 60, 120, 180, 240, 300, 600, 1200, 1800, 3600, 7200, 18_000, 36_000],
    );
    define(registry, "round_age", |call| {
        call.arity(1..=1)?;
        call.need_number(0)?;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::UInt8, move |args, rows| {
            let ages = Ints::of(&args[0], &ty)?;
            Ok(numbers::<arrow::datatypes::UInt8Type>(rows, |i| match ages.at(i) {
                ..1 => 0,
                1..18 => 17,
                18..25 => 18,
                25..35 => 25,
                35..45 => 35,
                45..55 => 45,
                _ => 55,
            }))
        })
    });
    define(registry, "round_down", round_down);
}

fn stepped(registry: &mut Registry, name: &str, steps: &'static [i64]) {
    define(registry, name, move |call| {
        call.arity(1..=1)?;
        call.need_number(0)?;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::UInt16, move |args, rows| {
            let values = Ints::of(&args[0], &ty)?;
            Ok(numbers::<arrow::datatypes::UInt16Type>(rows, |i| {
                steps.iter().rev().find(|s| **s <= values.at(i)).map_or(0, |s| *s as u16)
            }))
        })
    });
}

fn power_of_2_below(v: f64) -> f64 {
    if v == 0.0 || !v.is_finite() { v } else { v.abs().log2().floor().exp2().copysign(v) }
}

fn bind(call: &Call<'_>, mode: Mode) -> Result<BoundCall> {
    call.arity(1..=2)?;
    call.need_number(0)?;
    let digits = if call.args.len() == 2 { call.constant_int(1)? } else { 0 };
    if digits.abs() > i64::from(i16::MAX) {
        return Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, format!("rounding to {digits} digits")));
    }
    let ty = call.ty(0).clone();
    if let LogicalType::Decimal { scale, .. } = ty {
        let drop = i64::from(scale) - digits;
        let out = ty.clone();
        return call.returns(ty, move |args, _| decimal(args[0].array()?, &out, drop, mode));
    }
    let ty = number_layout(&ty);
    let from = ty.clone();
    call.returns(ty, move |args, _| {
        let array = args[0].array()?;
        match &from {
            LogicalType::Float32 => {
                Ok(f32::array(natives::<f32>(array)?.iter().map(|v| float_32(*v, digits, mode)).collect()))
            }
            LogicalType::Float64 => {
                Ok(f64::array(natives::<f64>(array)?.iter().map(|v| float(*v, digits, mode)).collect()))
            }
            _ if digits >= 0 && *array.data_type() != DataType::Boolean => Ok(array.clone()),
            t => integers(array, t, digits, mode),
        }
    })
}

/// In float32 throughout: 0.9 has no such digits in float64.
fn float_32(v: f32, digits: i64, mode: Mode) -> f32 {
    let scale = 10f32.powi(digits.unsigned_abs().min(60) as i32);
    let scaled = match digits {
        0 => v,
        1.. => v * scale,
        _ => v / scale,
    };
    if !scaled.is_finite() {
        return v;
    }
    let whole = float(f64::from(scaled), 0, mode) as f32;
    match digits {
        0 => whole,
        1.. => whole / scale,
        _ => whole * scale,
    }
}

fn float(v: f64, digits: i64, mode: Mode) -> f64 {
    let whole = |v: f64| match mode {
        Mode::Round | Mode::Bankers => v.round_ties_even(),
        Mode::Floor => v.floor(),
        Mode::Ceil => v.ceil(),
        Mode::Trunc => v.trunc(),
    };
    if digits == 0 {
        return whole(v);
    }
    let scale = 10f64.powi(digits.unsigned_abs().min(400) as i32);
    if digits > 0 {
        let scaled = v * scale;
        if scaled.is_finite() { whole(scaled) / scale } else { v }
    } else {
        whole(v / scale) * scale
    }
}

fn integers(array: &ArrayRef, ty: &LogicalType, digits: i64, mode: Mode) -> Result<ArrayRef> {
    if digits >= 0 {
        return with_integer!(ty, R => Ok(R::array(to_vec::<R>(array, ty)?)), else Err(Error::bug(format!("rounding {ty}"))));
    }
    let drop = -digits;
    with_integer!(ty, R => {
        if R::from_i64(-1) > R::default() && ty.bits() == Some(256) {
            return Ok(R::array(to_vec::<U256>(array, ty)?.into_iter().map(|v| R::from_i256(rounded(v.0, drop, mode))).collect()));
        }
        let wraps = mode == Mode::Round && ty.bits() == Some(64);
        let round = |v: i256| if wraps { wrapped(v, drop, ty.is_signed_integer()) } else { rounded(v, drop, mode) };
        Ok(R::array(to_vec::<i256>(array, ty)?.into_iter().map(|v| R::from_i256(round(v))).collect()))
    }, else Err(Error::bug(format!("rounding {ty}"))))
}

/// `v` rounded as 64 bits do it: half a unit is added to its magnitude, and where that passes the end of the type it goes on
/// at the other end, as in ClickHouse.
fn wrapped(v: i256, drop: i64, signed: bool) -> i256 {
    let Some(unit) = u32::try_from(drop).ok().and_then(|n| 10i64.checked_pow(n)) else { return i256::ZERO };
    let half = unit / 2;
    let Some(narrow) = v.to_i128() else { return i256::ZERO };
    match signed {
        true => {
            let v = narrow as i64;
            let moved = if v < 0 { v.wrapping_sub(half) } else { v.wrapping_add(half) };
            i256::from_i128(i128::from(moved / unit * unit))
        }
        false => {
            let unit = unit as u64;
            let moved = (narrow as u64).wrapping_add(half as u64);
            i256::from_i128(i128::from(moved / unit * unit))
        }
    }
}

fn decimal(array: &ArrayRef, ty: &LogicalType, drop: i64, mode: Mode) -> Result<ArrayRef> {
    if drop <= 0 {
        return Ok(array.clone());
    }
    let values = to_vec::<i256>(array, ty)?.into_iter().map(|v| rounded(v, drop, mode));
    match number_layout(ty) {
        LogicalType::Int32 => from_natives(values.map(<i32 as Num>::from_i256).collect(), ty),
        LogicalType::Int64 => from_natives(values.map(<i64 as Num>::from_i256).collect(), ty),
        LogicalType::Int128 => from_natives(values.map(<i128 as Num>::from_i256).collect(), ty),
        _ => from_natives(values.collect(), ty),
    }
}

/// `v` with its last `drop` decimal digits rounded away.
fn rounded(v: i256, drop: i64, mode: Mode) -> i256 {
    let Some(unit) = u32::try_from(drop).ok().and_then(|n| i256::from_i128(10).checked_pow(n)) else {
        return i256::ZERO;
    };
    let rest = v.wrapping_rem(unit);
    let down = v.wrapping_sub(rest);
    if rest == i256::ZERO {
        return v;
    }
    let negative = v.is_negative();
    let away = if negative { down.wrapping_sub(unit) } else { down.wrapping_add(unit) };
    let size = if negative { rest.wrapping_neg() } else { rest };
    let twice = size.wrapping_add(size);
    let goes_away = match mode {
        Mode::Trunc => false,
        Mode::Floor => negative,
        Mode::Ceil => !negative,
        Mode::Round => twice >= unit,
        Mode::Bankers => {
            let odd = down.wrapping_div(unit).to_parts().0 & 1 == 1;
            twice > unit || (twice == unit && odd)
        }
    };
    if goes_away { away } else { down }
}

/// `round_down(x, [steps])`: the largest step not above `x`, or the smallest step.
fn round_down(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(2..=2)?;
    call.need_number(0)?;
    let LogicalType::Array(element) = call.ty(1) else {
        return Err(call.illegal(1));
    };
    if !element.is_number() {
        return Err(call.illegal(1));
    }
    let Value::Array(steps) = call.constant(1)? else {
        return Err(call.illegal(1));
    };
    let mut steps: Vec<f64> = steps.iter().filter_map(Value::as_f64).collect();
    steps.sort_by(f64::total_cmp);
    if steps.is_empty() {
        return Err(call.illegal(1));
    }
    let ty = hydron_types::supertype::least_supertype(&[call.ty(0).clone(), (**element).clone()])?;
    let from = call.ty(0).clone();
    let back = super::define::Convert::new(&LogicalType::Float64, &ty, call.zone());
    call.returns(ty, move |args, _| {
        let values = to_vec::<f64>(args[0].array()?, &from)?;
        let stepped =
            values.iter().map(|v| steps.iter().rev().find(|s| **s <= *v).copied().unwrap_or(steps[0])).collect();
        back.array(&f64::array(stepped))
    })
}
