//! `negate`, `abs` and `sign`.

use super::result::shape;
use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{from_natives, natives};
use crate::scalar::define::{Call, define};
use crate::scalar::number::{Int, Num, number_layout, to_vec, with_integer};
use arrow::array::ArrayRef;
use arrow::datatypes::i256;
use hydron_base::{Error, Result};
use hydron_types::LogicalType;

pub(super) fn register(registry: &mut Registry) {
    define(registry, "negate", |call| {
        call.arity(1..=1)?;
        match call.ty(0) {
            LogicalType::Tuple(_) => super::tuples::elementwise(call, "negate"),
            LogicalType::Interval(_) => {
                call.returns(call.ty(0).clone(), |args, _| negate(args[0].array()?, &LogicalType::Int64))
            }
            LogicalType::Decimal { .. } => decimal_sign(call, true),
            t if t.is_float() => float(call, |v| -v),
            _ => {
                call.need_number(0)?;
                let (signed, bits) = shape(call.ty(0));
                let ty = LogicalType::integer(true, if signed || bits >= 64 { bits } else { bits * 2 });
                let from = call.ty(0).clone();
                let out = ty.clone();
                call.returns(ty, move |args, _| {
                    with_integer!(&out, R => Ok(R::array(to_vec::<R>(args[0].array()?, &from)?.into_iter().map(Int::neg).collect())),
                        else Err(Error::bug(format!("negation in {out}"))))
                })
            }
        }
    });
    define(registry, "abs", |call| {
        call.arity(1..=1)?;
        match call.ty(0) {
            LogicalType::Decimal { .. } => decimal_sign(call, false),
            t if t.is_float() => float(call, f64::abs),
            _ => {
                call.need_number(0)?;
                let (_, bits) = shape(call.ty(0));
                let ty = LogicalType::integer(false, bits);
                let from = call.ty(0).clone();
                let out = ty.clone();
                call.returns(ty, move |args, _| absolute(args[0].array()?, &from, &out))
            }
        }
    });
    registry.fold_case("abs");
    define(registry, "sign", |call| {
        call.arity(1..=1)?;
        call.need_number(0)?;
        let from = call.ty(0).clone();
        call.returns(LogicalType::Int8, move |args, _| {
            let array = args[0].array()?;
            let values = if from.is_float() {
                to_vec::<f64>(array, &from)?.into_iter().map(|v| i8::from(v > 0.0) - i8::from(v < 0.0)).collect()
            } else if from.is_unsigned_integer() {
                to_vec::<crate::scalar::number::U256>(array, &from)?
                    .into_iter()
                    .map(|v| i8::from(v.0 != i256::ZERO))
                    .collect()
            } else {
                to_vec::<i256>(array, &from)?.into_iter().map(|v| v.signum().to_i128().unwrap_or(0) as i8).collect()
            };
            Ok(i8::array(values))
        })
    });
    registry.fold_case("sign");
}

fn negate(array: &ArrayRef, ty: &LogicalType) -> Result<ArrayRef> {
    Ok(i64::array(to_vec::<i64>(array, ty)?.into_iter().map(i64::wrapping_neg).collect()))
}

/// A float keeps its width.
fn float(call: &Call<'_>, f: fn(f64) -> f64) -> Result<BoundCall> {
    let ty = call.ty(0).clone();
    let from = ty.clone();
    call.returns(ty, move |args, _| {
        let array = args[0].array()?;
        Ok(match from {
            LogicalType::Float32 => {
                f32::array(natives::<f32>(array)?.iter().map(|v| f(f64::from(*v)) as f32).collect())
            }
            _ => f64::array(natives::<f64>(array)?.iter().map(|v| f(*v)).collect()),
        })
    })
}

/// A decimal negated, or without its sign.
fn decimal_sign(call: &Call<'_>, negate: bool) -> Result<BoundCall> {
    let ty = call.ty(0).clone();
    let from = ty.clone();
    call.returns(ty, move |args, _| {
        let array = args[0].array()?;
        macro_rules! apply {
            ($t:ty) => {
                from_natives(
                    natives::<$t>(array)?
                        .iter()
                        .map(|v| if negate || *v < 0 { v.wrapping_neg() } else { *v })
                        .collect(),
                    &from,
                )
            };
        }
        match number_layout(&from) {
            LogicalType::Int32 => apply!(i32),
            LogicalType::Int64 => apply!(i64),
            LogicalType::Int128 => apply!(i128),
            _ => {
                let flip = |v: &i256| if negate || v.is_negative() { v.wrapping_neg() } else { *v };
                from_natives(natives::<i256>(array)?.iter().map(flip).collect(), &from)
            }
        }
    })
}

fn absolute(array: &ArrayRef, from: &LogicalType, out: &LogicalType) -> Result<ArrayRef> {
    let signed = with_integer!(from, R => {
        let values: Vec<R> = to_vec::<R>(array, from)?;
        R::array(values.into_iter().map(|v| if v < R::default() { v.neg() } else { v }).collect())
    }, else return Ok(u8::array(to_vec::<u8>(array, from)?)));
    with_integer!(out, R => Ok(R::array(to_vec::<R>(&signed, from)?)), else Err(Error::bug(format!("abs in {out}"))))
}
