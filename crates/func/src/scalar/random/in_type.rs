//! `random_in_type('type'[, limit][, lambda])`: a random value of any type, for generated streams.
//!
//! The limit keeps whole numbers in `0 .. limit` and is the length of strings. With a lambda the value is what the lambda
//! makes of a random whole number.

use super::{Stream, next_call};
use crate::call::{BoundCall, Datum, EvalContext, Volatility};
use crate::registry::Registry;
use crate::scalar::define::{Call, Convert, define_with_lambda};
use arrow::array::{ArrayRef, UInt64Array};
use arrow::datatypes::i256;
use hydron_base::{Error, Result};
use hydron_types::column::ColumnBuilder;
use hydron_types::parse::parse_type;
use hydron_types::{LogicalType, Value};
use std::sync::Arc;

/// Bytes of a random string when no limit is given.
const STRING_BYTES: u64 = 8;

/// Seconds from 1970 to 2100; random times stay within.
const SECONDS_END: u64 = 4_102_444_800;

pub(super) fn register(registry: &mut Registry) {
    define_with_lambda(registry, "random_in_type", |_, _| Ok(vec![LogicalType::UInt64]), bind);
}

fn bind(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(1..=3)?;
    let ty = parse_type(&String::from_utf8_lossy(call.constant_text(0)?))?;
    let lambda = call.args.iter().position(|a| a.lambda_params.is_some());
    let limit = match (1..call.args.len()).find(|i| Some(*i) != lambda) {
        Some(i) => Some(
            u64::try_from(call.constant_int(i)?)
                .map_err(|_| Error::bad_arguments("the limit of a random value is negative"))?,
        ),
        None => None,
    };
    check(&ty)?;
    let number = next_call();
    let convert = lambda.map(|i| Convert::new(call.ty(i), &ty, call.zone()));
    let out = ty.clone();
    let bound = BoundCall::new(ty, move |cx: &EvalContext, args: &[Datum], rows| {
        let mut stream = Stream::of(cx, number);
        if let (Some(at), Some(convert)) = (lambda, &convert)
            && let Datum::Lambda(body) = &args[at]
        {
            let draw = |raw: u64| limit.filter(|l| *l > 0).map_or(raw, |l| raw % l);
            let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values((0..rows).map(|_| draw(stream.next()))));
            let origin: Vec<u32> = (0..rows as u32).collect();
            return Ok(Datum::Array(convert.array(&body.call(cx, &[numbers], &origin, rows)?)?));
        }
        let mut builder = ColumnBuilder::with_capacity(&out, rows);
        for _ in 0..rows {
            builder.append(&random_value(&mut stream, &out, limit))?;
        }
        Ok(Datum::Array(builder.finish()?))
    });
    Ok(bound.volatility(Volatility::Volatile))
}

/// Random values of `ty` that depend on `seed`, the number of their column and the row's number, the one argument of the call.
///
/// Errors: NOT_IMPLEMENTED (48) for types that have no random values.
pub fn random_column(ty: &LogicalType, seed: u64, column: u64) -> Result<BoundCall> {
    check(ty)?;
    let out = ty.clone();
    let bound = BoundCall::new(ty.clone(), move |_: &EvalContext, args: &[Datum], rows| {
        let numbers = crate::scalar::number::to_vec::<u64>(&args[0].to_array(rows)?, &LogicalType::UInt64)?;
        let mut builder = ColumnBuilder::with_capacity(&out, rows);
        for number in numbers {
            let mixed = seed ^ column.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number.wrapping_mul(0xD1B5_4A32_D192_ED03);
            builder.append(&random_value(&mut Stream(mixed), &out, None))?;
        }
        Ok(Datum::Array(builder.finish()?))
    });
    Ok(bound.volatility(Volatility::Volatile))
}

/// Errors: NOT_IMPLEMENTED (48) for types that have no random values.
fn check(ty: &LogicalType) -> Result<()> {
    use LogicalType::*;
    match ty {
        Nothing | AggregateFunction { .. } | Json | Nested(_) => {
            Err(Error::not_implemented(format!("a random value of {ty}")))
        }
        Array(t) | Nullable(t) | LowCardinality(t) => check(t),
        Tuple(elements) => elements.iter().try_for_each(|(_, t)| check(t)),
        Map(k, v) => check(k).and(check(v)),
        _ => Ok(()),
    }
}

/// A random value of `ty`, which passed [`check`].
fn random_value(stream: &mut Stream, ty: &LogicalType, limit: Option<u64>) -> Value {
    use LogicalType::*;
    let below = |stream: &mut Stream, n: u64| stream.next() % n.max(1);
    match ty {
        Bool => Value::Bool(stream.next() & 1 == 1),
        Int8 | Int16 | Int32 | Int64 | Interval(_) => {
            let bits = ty.bits().unwrap_or(64);
            Value::Int(match limit {
                Some(l) => below(stream, l.min((1u64 << (bits - 1)) - 1)) as i64,
                None => stream.next() as i64 >> (64 - bits),
            })
        }
        UInt8 | UInt16 | UInt32 | UInt64 | Ipv4 => {
            let bits = if *ty == Ipv4 { 32 } else { ty.bits().unwrap_or(64) };
            let raw = stream.next() >> (64 - bits);
            Value::UInt(limit.map_or(raw, |l| raw % l.max(1)))
        }
        Int128 | Int256 | UInt128 | UInt256 => {
            let low = u128::from(stream.next()) << 64 | u128::from(stream.next());
            let high = match ty {
                Int128 => (low as i128) >> 127,
                UInt128 => 0,
                _ => (u128::from(stream.next()) << 64 | u128::from(stream.next())) as i128,
            };
            Value::Wide(
                limit.map_or(i256::from_parts(low, high), |l| i256::from_i128((low % u128::from(l.max(1))) as i128)),
            )
        }
        Float32 => Value::Float32(stream.unit() as f32 * limit.unwrap_or(1) as f32),
        Float64 => Value::Float64(stream.unit() * limit.unwrap_or(1) as f64),
        Decimal { precision, .. } => {
            let digits = u32::from(*precision).min(18);
            Value::Decimal(i256::from_i128(i128::from(below(stream, 10u64.pow(digits)))))
        }
        String | Json | AggregateFunction { .. } => {
            let length = limit.unwrap_or(STRING_BYTES).min(1 << 20);
            Value::Bytes((0..length).map(|_| b'a' + below(stream, 26) as u8).collect())
        }
        FixedString(n) => Value::Bytes((0..*n).map(|_| b'a' + below(stream, 26) as u8).collect()),
        Date | Date32 => Value::Date(below(stream, limit.unwrap_or(47_482)) as i32),
        DateTime(_) => Value::Time(below(stream, limit.unwrap_or(SECONDS_END)) as i64),
        DateTime64(scale, _) => {
            let digits = hydron_types::physical::digits_of_unit(hydron_types::physical::unit_of_scale(*scale));
            let ticks = 10u64.pow(u32::from(digits));
            // Ticks finer than the scale stay zero.
            let step = 10u64.pow(u32::from(digits.saturating_sub(*scale)));
            let raw = below(stream, limit.unwrap_or(SECONDS_END)) * ticks + below(stream, ticks);
            Value::Time((raw / step * step) as i64)
        }
        Ipv6 | Uuid => {
            let random = u128::from(stream.next()) << 64 | u128::from(stream.next());
            match ty {
                Ipv6 => Value::Ipv6(random.to_be_bytes()),
                _ => Value::Uuid(uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid().into_bytes()),
            }
        }
        Enum8(names) | Enum16(names) => {
            let place = below(stream, names.pairs.len() as u64) as usize;
            Value::Int(names.pairs.get(place).map_or(0, |(_, v)| i64::from(*v)))
        }
        Array(t) => {
            let length = below(stream, limit.unwrap_or(4).min(1 << 16) + 1);
            Value::Array((0..length).map(|_| random_value(stream, t, None)).collect())
        }
        Tuple(elements) => Value::Tuple(elements.iter().map(|(_, t)| random_value(stream, t, limit)).collect()),
        Map(k, v) => {
            let length = below(stream, 4);
            Value::Map((0..length).map(|_| (random_value(stream, k, None), random_value(stream, v, None))).collect())
        }
        Nullable(_) if below(stream, 16) == 0 => Value::Null,
        Nullable(t) | LowCardinality(t) => random_value(stream, t, limit),
        SimpleAggregateFunction { arg, .. } => random_value(stream, arg, limit),
        Nothing | Nested(_) => Value::Null,
    }
}
