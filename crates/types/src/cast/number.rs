//! From numbers, and from what is kept as a number: bools, enums, dates, intervals, addresses, ids.

use super::text::integer_range;
use super::time::{tick_digits, ticks_of_seconds};
use super::{CastMode, Job};
use crate::column::{ColumnBuilder, Store, time_values};
use crate::datetext::split_magnitude;
use crate::logical::LogicalType;
use crate::supertype::decimal_bits;
use crate::time::{DATE_DAY_MAX, DATE32_DAY_MAX, DATE32_DAY_MIN, DATETIME64_SECOND_MAX, LocalTime};
use crate::value::Value;
use crate::wide::{from_f64, pow10, pow10_i64, to_f64, u128_bytes, u128_from, u256_from, wrap_i128};
use arrow::array::*;
use arrow::datatypes::*;
use hydron_base::{Code, Error, Result};
use std::sync::Arc;

pub(super) fn from_number(job: &Job, array: &ArrayRef) -> Result<ArrayRef> {
    use LogicalType as T;
    if let Some(done) = addresses(job, array) {
        return Ok(done);
    }
    if job.options.mode == CastMode::Wrap
        && let Some(done) = plain(job, array)
    {
        return Ok(done);
    }
    if let (T::Enum8(from) | T::Enum16(from), T::Enum8(_) | T::Enum16(_)) = (job.from, job.to) {
        return between_enums(job, array, from);
    }
    if let (T::Ipv6, T::Ipv4) = (job.from, job.to) {
        return ipv4_within_ipv6(job, array);
    }
    if !has_conversion(job.from, job.to) {
        return Err(job.unsupported());
    }
    let source = Source::of(job, array);
    let target = Target::new(job);
    let mut builder = job.builder(array.len());
    for row in 0..array.len() {
        if job.is_null(row) {
            builder.append_null();
            continue;
        }
        match target.push(source.at(row), &mut builder) {
            Ok(()) => builder.mark_valid(),
            Err(_) if job.options.mode.fails_silently() => builder.append_default(),
            Err(e) => return Err(e),
        }
    }
    builder.finish()
}

fn has_conversion(from: &LogicalType, to: &LogicalType) -> bool {
    use LogicalType as T;
    let number = |t: &T| t.is_number() || matches!(t, T::Bool);
    let like_integer = |t: &T| matches!(t, T::Enum8(_) | T::Enum16(_) | T::Interval(_) | T::Ipv4);
    match (from, to) {
        (T::Interval(a), T::Interval(b)) => a == b,
        (from, T::Interval(_)) => {
            from.is_integer() || from.is_float() || matches!(from, T::Bool | T::Date | T::Date32 | T::DateTime(_))
        }
        (T::Interval(_), to) => number(to) && !to.is_decimal(),
        (T::Ipv6, T::Ipv4) => true,
        (T::Ipv4, to) | (to, T::Ipv4) => to.is_integer(),
        (T::Uuid | T::Ipv6, to) | (to, T::Uuid | T::Ipv6) => matches!(to, T::UInt128),
        (from, T::Enum8(_) | T::Enum16(_)) => from.is_integer() || from.is_float(),
        (from, to) => {
            (number(from) || from.is_date_or_time() || like_integer(from))
                && (number(to) || to.is_date_or_time() || like_integer(to))
        }
    }
}

/// Conversions of addresses and ids that move bytes.
fn addresses(job: &Job, array: &ArrayRef) -> Option<ArrayRef> {
    use LogicalType as T;
    match (job.from, job.to) {
        (T::Ipv4, T::Ipv6) => {
            let mapped = array.as_primitive::<UInt32Type>().values().iter().map(|a| {
                let mut bytes = [0; 16];
                bytes[10..12].fill(0xff);
                bytes[12..].copy_from_slice(&a.to_be_bytes());
                bytes
            });
            FixedSizeBinaryArray::try_from_iter(mapped)
                .ok()
                .map(|a| Arc::new(a) as ArrayRef)
                .or_else(|| Some(new_empty_array(&DataType::FixedSizeBinary(16))))
        }
        (T::Uuid | T::Ipv6 | T::UInt128, T::Uuid | T::Ipv6 | T::UInt128) => Some(Arc::clone(array)),
        _ => None,
    }
}

/// The IPv4 addresses that stand in IPv6 ones (`::ffff:1.2.3.4`). Errors: CANNOT_CONVERT_TYPE (70) for any other address.
fn ipv4_within_ipv6(job: &Job, array: &ArrayRef) -> Result<ArrayRef> {
    let addresses = array.as_fixed_size_binary();
    let mut builder = job.builder(array.len());
    for row in 0..array.len() {
        if job.is_null(row) {
            builder.append_null();
            continue;
        }
        match addresses.value(row) {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, a, b, c, d] => {
                builder.append(&Value::UInt(u64::from(u32::from_be_bytes([*a, *b, *c, *d]))))?;
            }
            _ if job.options.mode.fails_silently() => builder.append_default(),
            other => {
                let mut text = Vec::new();
                crate::text::address::write_ipv6(other, &mut text);
                let text = format!("{} holds no IPv4 address", String::from_utf8_lossy(&text));
                return Err(Error::new(Code::CANNOT_CONVERT_TYPE, text));
            }
        }
    }
    builder.finish()
}

/// Values of the primitive types as one of these slices.
enum Slice<'a> {
    Bool(&'a BooleanArray),
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    U64(&'a [u64]),
    F32(&'a [f32]),
    F64(&'a [f64]),
}

fn slice_of(array: &ArrayRef) -> Option<Slice<'_>> {
    let a = array.as_ref();
    Some(match a.data_type() {
        DataType::Boolean => Slice::Bool(a.as_boolean()),
        DataType::Int8 => Slice::I8(a.as_primitive::<Int8Type>().values()),
        DataType::Int16 => Slice::I16(a.as_primitive::<Int16Type>().values()),
        DataType::Int32 => Slice::I32(a.as_primitive::<Int32Type>().values()),
        DataType::Date32 => Slice::I32(a.as_primitive::<Date32Type>().values()),
        DataType::Int64 => Slice::I64(a.as_primitive::<Int64Type>().values()),
        DataType::Timestamp(..) => Slice::I64(time_values(a)),
        DataType::UInt8 => Slice::U8(a.as_primitive::<UInt8Type>().values()),
        DataType::UInt16 => Slice::U16(a.as_primitive::<UInt16Type>().values()),
        DataType::UInt32 => Slice::U32(a.as_primitive::<UInt32Type>().values()),
        DataType::UInt64 => Slice::U64(a.as_primitive::<UInt64Type>().values()),
        DataType::Float32 => Slice::F32(a.as_primitive::<Float32Type>().values()),
        DataType::Float64 => Slice::F64(a.as_primitive::<Float64Type>().values()),
        _ => return None,
    })
}

/// The tight loops: integers up to 64 bits and floats among each other, wrapping.
fn plain(job: &Job, array: &ArrayRef) -> Option<ArrayRef> {
    use LogicalType as T;
    let integer_like = |t: &T| {
        matches!(
            t,
            T::Bool | T::Enum8(_) | T::Enum16(_) | T::Interval(_) | T::Ipv4 | T::Date | T::Date32 | T::DateTime(_)
        )
    };
    if !(job.from.is_integer() || job.from.is_float() || integer_like(job.from))
        || (job.from.is_float() && !job.to.is_float())
    {
        return None;
    }
    let source = slice_of(array)?;
    macro_rules! to {
        ($array:ty, $d:ty) => {
            Arc::new(<$array>::from_iter_values(match_slice!(source, $d))) as ArrayRef
        };
    }
    macro_rules! match_slice {
        ($s:expr, $d:ty) => {
            match &$s {
                Slice::Bool(v) => v.values().iter().map(|b| b as u8 as $d).collect::<Vec<$d>>(),
                Slice::I8(v) => v.iter().map(|x| *x as $d).collect(),
                Slice::I16(v) => v.iter().map(|x| *x as $d).collect(),
                Slice::I32(v) => v.iter().map(|x| *x as $d).collect(),
                Slice::I64(v) => v.iter().map(|x| *x as $d).collect(),
                Slice::U8(v) => v.iter().map(|x| *x as $d).collect(),
                Slice::U16(v) => v.iter().map(|x| *x as $d).collect(),
                Slice::U32(v) => v.iter().map(|x| *x as $d).collect(),
                Slice::U64(v) => v.iter().map(|x| *x as $d).collect(),
                Slice::F32(v) => v.iter().map(|x| *x as $d).collect(),
                Slice::F64(v) => v.iter().map(|x| *x as $d).collect(),
            }
        };
    }
    Some(match job.to {
        T::Int8 => to!(Int8Array, i8),
        T::Int16 => to!(Int16Array, i16),
        T::Int32 => to!(Int32Array, i32),
        T::Int64 => to!(Int64Array, i64),
        T::UInt8 => to!(UInt8Array, u8),
        T::UInt16 => to!(UInt16Array, u16),
        T::UInt32 => to!(UInt32Array, u32),
        T::UInt64 => to!(UInt64Array, u64),
        T::Float32 => to!(Float32Array, f32),
        T::Float64 => to!(Float64Array, f64),
        _ => return None,
    })
}

fn between_enums(job: &Job, array: &ArrayRef, from: &crate::EnumNames) -> Result<ArrayRef> {
    let source = Source::of(job, array);
    let mut builder = job.builder(array.len());
    let names = match job.to {
        LogicalType::Enum8(names) | LogicalType::Enum16(names) => names,
        _ => return Err(job.unsupported()),
    };
    for row in 0..array.len() {
        if job.is_null(row) {
            builder.append_null();
            continue;
        }
        let value = match source.at(row) {
            Number::Whole(v, _) => wrap_i128(v) as i16,
            _ => 0,
        };
        let same = from.name_of(value).and_then(|n| names.value_of(n.as_bytes()));
        match (same, job.options.mode.fails_silently()) {
            (Some(v), _) => builder.append(&crate::Value::Int(v.into()))?,
            (None, true) => builder.append_default(),
            (None, false) => {
                let name = from.name_of(value).map_or("", |n| n);
                return Err(Error::new(
                    Code::CANNOT_CONVERT_TYPE,
                    format!("'{name}' of {} is no name of {}", job.from, job.to),
                ));
            }
        }
    }
    builder.finish()
}

/// A number of any type.
#[derive(Clone, Copy, Debug)]
enum Number {
    /// True: the bits are an unsigned number of 256 bits.
    Whole(i256, bool),
    Float(f64),
    Float32(f32),
    /// Digits without the point, and the scale.
    Decimal(i256, u8),
}

/// Reads numbers of one type, row by row.
enum Source<'a> {
    Slice(Slice<'a>),
    Decimal32(&'a [i32], u8),
    Decimal64(&'a [i64], u8),
    Decimal128(&'a [i128], u8),
    Decimal256(&'a [i256], u8),
    I128(&'a [i128]),
    I256(&'a [i256]),
    Bytes(&'a FixedSizeBinaryArray),
    /// Ticks of a datetime64 as whole seconds.
    Seconds(&'a [i64], i64),
    Nothing,
}

impl<'a> Source<'a> {
    fn of(job: &Job, array: &'a ArrayRef) -> Source<'a> {
        use LogicalType as T;
        let a = array.as_ref();
        match job.from {
            T::DateTime64(scale, _) => {
                let digits = tick_digits(*scale);
                // Integers get whole seconds, rounded down; decimals and floats keep the fraction.
                if job.to.is_integer() || matches!(job.to, T::Bool | T::Interval(_)) {
                    Source::Seconds(time_values(a), pow10_i64(digits))
                } else {
                    Source::Decimal64(time_values(a), digits)
                }
            }
            T::Decimal { precision, scale } => match decimal_bits(*precision) {
                32 => Source::Decimal32(a.as_primitive::<Decimal32Type>().values(), *scale),
                64 => Source::Decimal64(a.as_primitive::<Decimal64Type>().values(), *scale),
                128 => Source::Decimal128(a.as_primitive::<Decimal128Type>().values(), *scale),
                _ => Source::Decimal256(a.as_primitive::<Decimal256Type>().values(), *scale),
            },
            T::Int128 => Source::I128(a.as_primitive::<Decimal128Type>().values()),
            T::Int256 => Source::I256(a.as_primitive::<Decimal256Type>().values()),
            T::UInt128 | T::UInt256 | T::Uuid | T::Ipv6 => Source::Bytes(a.as_fixed_size_binary()),
            _ => slice_of(array).map_or(Source::Nothing, Source::Slice),
        }
    }

    fn at(&self, row: usize) -> Number {
        let whole = |v: i128| Number::Whole(i256::from_i128(v), false);
        match self {
            Source::Slice(slice) => match slice {
                Slice::Bool(v) => whole(v.value(row).into()),
                Slice::I8(v) => whole(v[row].into()),
                Slice::I16(v) => whole(v[row].into()),
                Slice::I32(v) => whole(v[row].into()),
                Slice::I64(v) => whole(v[row].into()),
                Slice::U8(v) => whole(v[row].into()),
                Slice::U16(v) => whole(v[row].into()),
                Slice::U32(v) => whole(v[row].into()),
                Slice::U64(v) => whole(v[row].into()),
                Slice::F32(v) => Number::Float32(v[row]),
                Slice::F64(v) => Number::Float(v[row]),
            },
            Source::Decimal32(v, scale) => Number::Decimal(i256::from_i128(v[row].into()), *scale),
            Source::Decimal64(v, scale) => Number::Decimal(i256::from_i128(v[row].into()), *scale),
            Source::Decimal128(v, scale) => Number::Decimal(i256::from_i128(v[row]), *scale),
            Source::Decimal256(v, scale) => Number::Decimal(v[row], *scale),
            Source::I128(v) => whole(v[row]),
            Source::I256(v) => Number::Whole(v[row], false),
            Source::Bytes(a) => match a.value(row) {
                b if b.len() == 16 => Number::Whole(u128_from(b), true),
                b => Number::Whole(u256_from(b), true),
            },
            Source::Seconds(v, per_second) => whole(v[row].div_euclid(*per_second).into()),
            Source::Nothing => Number::Whole(i256::ZERO, false),
        }
    }
}

/// Writes numbers into a builder of one type.
struct Target<'a> {
    job: &'a Job<'a>,
    accurate: bool,
    /// Failures show, or out-of-range integers do not fit: everything but a plain cast.
    checked: bool,
    local: LocalTime,
}

impl<'a> Target<'a> {
    fn new(job: &'a Job<'a>) -> Target<'a> {
        let zone = match job.to {
            LogicalType::DateTime(Some(z)) | LogicalType::DateTime64(_, Some(z)) => *z,
            _ => job.options.zone,
        };
        let mode = job.options.mode;
        let accurate = matches!(mode, CastMode::Accurate | CastMode::AccurateOrNull);
        Target { job, accurate, checked: mode != CastMode::Wrap, local: LocalTime::new(zone) }
    }

    fn unsafe_value(&self) -> Error {
        Error::new(Code::CANNOT_CONVERT_TYPE, format!("a value of {} cannot be kept as {}", self.job.from, self.job.to))
    }

    fn overflow(&self) -> Error {
        Error::new(Code::DECIMAL_OVERFLOW, format!("a value of {} does not fit {}", self.job.from, self.job.to))
    }

    fn push(&self, number: Number, builder: &mut ColumnBuilder) -> Result<()> {
        use LogicalType as T;
        match self.job.to {
            T::Bool => {
                let truth = match number {
                    Number::Whole(v, _) | Number::Decimal(v, _) => v != i256::ZERO,
                    Number::Float(v) => v != 0.0,
                    Number::Float32(v) => v != 0.0,
                };
                store(&mut builder.store, i256::from_i128(truth.into()))
            }
            T::Float32 | T::Float64 => self.push_float(number, builder),
            T::Decimal { precision, scale } => store(&mut builder.store, self.decimal(number, *precision, *scale)?),
            T::Date | T::Date32 => {
                let days = self.days(number);
                store(&mut builder.store, i256::from_i128(days.into()))
            }
            T::DateTime(_) => {
                let seconds = self.seconds(number).clamp(0, u32::MAX.into());
                store(&mut builder.store, i256::from_i128(seconds.into()))
            }
            T::DateTime64(scale, _) => {
                let ticks = self.ticks(number, *scale);
                store(&mut builder.store, i256::from_i128(ticks.into()))
            }
            T::Enum8(names) | T::Enum16(names) => {
                let v = self.whole(number)?;
                let known = v.to_i128().and_then(|v| i16::try_from(v).ok()).filter(|v| names.name_of(*v).is_some());
                let known = known.ok_or_else(|| Error::bad_arguments(format!("{v} is no value of {}", self.job.to)))?;
                store(&mut builder.store, i256::from_i128(known.into()))
            }
            _ => {
                let v = self.whole(number)?;
                store(&mut builder.store, v)
            }
        }
    }

    /// The number as the integer of the target, before it is cut to its width.
    fn whole(&self, number: Number) -> Result<i256> {
        let range = integer_range(self.job.to);
        let outside = |v: i256| match range {
            Some((min, max)) => v.to_i128().is_none_or(|v| v < min || v > max),
            None => {
                // The wide types: negative into unsigned, or more than 127 bits into int128.
                let unsigned = self.job.to.is_unsigned_integer();
                (unsigned && v.is_negative()) || (matches!(self.job.to, LogicalType::Int128) && v.to_i128().is_none())
            }
        };
        match number {
            Number::Whole(v, unsigned) => {
                let huge = unsigned && v.is_negative() && !matches!(self.job.to, LogicalType::UInt256);
                if self.checked && ((outside(v) && !(unsigned && !huge && range.is_none())) || huge) {
                    return Err(self.unsafe_value());
                }
                Ok(v)
            }
            Number::Float32(v) => self.whole(Number::Float(v.into())),
            Number::Float(v) => {
                if !v.is_finite() {
                    return Err(Error::new(
                        Code::CANNOT_CONVERT_TYPE,
                        format!("inf and nan cannot be kept as {}", self.job.to),
                    ));
                }
                let whole = from_f64(v);
                let too_large = v.abs() >= 5.8e76;
                if self.checked && (too_large || outside(whole)) || self.accurate && v.trunc() != v {
                    return Err(self.unsafe_value());
                }
                Ok(whole)
            }
            Number::Decimal(v, scale) => {
                let whole = v.wrapping_div(pow10(scale));
                if outside(whole) {
                    return Err(self.overflow());
                }
                if self.accurate && v.wrapping_rem(pow10(scale)) != i256::ZERO {
                    return Err(self.unsafe_value());
                }
                Ok(whole)
            }
        }
    }

    fn push_float(&self, number: Number, builder: &mut ColumnBuilder) -> Result<()> {
        match &mut builder.store {
            Store::F64(values) => values.push(float_of(number)),
            Store::F32(values) => {
                let v = match number {
                    Number::Float32(v) => v,
                    Number::Decimal(v, scale) => to_f64(v, false) as f32 / to_f64(pow10(scale), false) as f32,
                    other => float_of(other) as f32,
                };
                if self.accurate && matches!(number, Number::Float(x) if f64::from(v) != x && !x.is_nan()) {
                    return Err(self.unsafe_value());
                }
                values.push(v);
            }
            _ => return Err(self.job.unsupported()),
        }
        if self.accurate
            && let Number::Whole(v, unsigned) = number
        {
            let exact = match &builder.store {
                Store::F64(values) => values.last().is_some_and(|x| from_f64(*x) == v),
                Store::F32(values) => values.last().is_some_and(|x| from_f64((*x).into()) == v),
                _ => true,
            };
            if !exact && !unsigned {
                match &mut builder.store {
                    Store::F64(values) => drop(values.pop()),
                    Store::F32(values) => drop(values.pop()),
                    _ => {}
                }
                return Err(self.unsafe_value());
            }
        }
        Ok(())
    }

    /// Errors: DECIMAL_OVERFLOW (407) when the width of the decimal does not hold the value.
    fn decimal(&self, number: Number, precision: u8, scale: u8) -> Result<i256> {
        let bits = decimal_bits(precision);
        let value = match number {
            Number::Whole(v, unsigned) => {
                if unsigned && v.is_negative() {
                    return Err(self.overflow());
                }
                v.checked_mul(pow10(scale)).ok_or_else(|| self.overflow())?
            }
            Number::Float32(v) => {
                // The product is taken in the width of the source.
                let scaled = v * to_f64(pow10(scale), false) as f32;
                return self.float_decimal(scaled.into(), bits);
            }
            Number::Float(v) => return self.float_decimal(v * to_f64(pow10(scale), false), bits),
            Number::Decimal(v, from) if from <= scale => {
                v.checked_mul(pow10(scale - from)).ok_or_else(|| self.overflow())?
            }
            Number::Decimal(v, from) => v.wrapping_div(pow10(from - scale)),
        };
        if fits(value, bits) { Ok(value) } else { Err(self.overflow()) }
    }

    fn float_decimal(&self, scaled: f64, bits: u32) -> Result<i256> {
        if !scaled.is_finite() || scaled.abs() >= 2f64.powi(bits as i32 - 1) {
            return Err(self.overflow());
        }
        Ok(from_f64(scaled))
    }

    /// A small number is a day, a larger one a unix time.
    fn days(&self, number: Number) -> i32 {
        let v = saturated(number);
        if matches!(self.job.to, LogicalType::Date) {
            return match v {
                ..0 => 0,
                0..=65_535 => v as i32,
                _ => self.local.day_of(v.min(u32::MAX.into())).clamp(0, DATE_DAY_MAX),
            };
        }
        if v <= i64::from(DATE32_DAY_MAX) {
            return v.max(DATE32_DAY_MIN.into()) as i32;
        }
        self.local.day_of(v.min(DATETIME64_SECOND_MAX)).min(DATE32_DAY_MAX)
    }

    fn seconds(&self, number: Number) -> i64 {
        saturated(number)
    }

    fn ticks(&self, number: Number, scale: u8) -> i64 {
        let digits = tick_digits(scale);
        let per_second = pow10_i64(digits);
        let cut = pow10_i64(digits - scale.min(digits));
        match number {
            Number::Decimal(v, from) => {
                let whole = v.wrapping_div(pow10(from));
                let seconds = whole.to_i128().map_or(i64::MAX, |w| w.clamp(i64::MIN.into(), i64::MAX.into()) as i64);
                let rest = v.wrapping_rem(pow10(from));
                let fraction = if from <= digits {
                    rest.wrapping_mul(pow10(digits - from))
                } else {
                    rest.wrapping_div(pow10(from - digits))
                };
                let fraction = fraction.to_i128().map_or(0, |f| f as i64);
                ticks_of_seconds(seconds, digits).wrapping_add(fraction).div_euclid(cut).wrapping_mul(cut)
            }
            Number::Float32(v) if scale > 0 && v.abs() < DATETIME64_SECOND_MAX as f32 => {
                // The product is taken in the width of the source.
                let scaled = v * pow10_i64(scale) as f32;
                (scaled as i64).wrapping_mul(pow10_i64(digits - scale.min(digits)))
            }
            Number::Float(_) | Number::Float32(_) => {
                let v = float_of(number);
                let v = if v.is_nan() {
                    0.0
                } else {
                    v.clamp(crate::time::DATETIME64_SECOND_MIN as f64, DATETIME64_SECOND_MAX as f64)
                };
                ((v * per_second as f64) as i64).div_euclid(cut).wrapping_mul(cut)
            }
            Number::Whole(..) => {
                let v = saturated(number);
                let (seconds, nanos) = if matches!(scale, 0 | 3 | 6 | 9) { split_magnitude(v) } else { (v, 0) };
                ticks_of_seconds(seconds, digits).wrapping_add(i64::from(nanos) / pow10_i64(9 - digits))
            }
        }
    }
}

/// The whole part, saturated to 64 bits.
fn saturated(number: Number) -> i64 {
    match number {
        Number::Whole(v, unsigned) if unsigned && v.is_negative() => i64::MAX,
        Number::Whole(v, _) => clamp_i64(v),
        Number::Float(v) => v as i64,
        Number::Float32(v) => v as i64,
        Number::Decimal(v, scale) => clamp_i64(v.wrapping_div(pow10(scale))),
    }
}

fn clamp_i64(v: i256) -> i64 {
    match v.to_i128() {
        Some(v) => v.clamp(i64::MIN.into(), i64::MAX.into()) as i64,
        None if v.is_negative() => i64::MIN,
        None => i64::MAX,
    }
}

fn float_of(number: Number) -> f64 {
    match number {
        Number::Whole(v, unsigned) => to_f64(v, unsigned),
        Number::Float(v) => v,
        Number::Float32(v) => v.into(),
        Number::Decimal(v, scale) => to_f64(v, false) / to_f64(pow10(scale), false),
    }
}

/// Whether a signed integer of `bits` bits holds the value.
fn fits(v: i256, bits: u32) -> bool {
    match bits {
        256 => true,
        128 => v.to_i128().is_some(),
        bits => v.to_i128().is_some_and(|v| v >= -(1i128 << (bits - 1)) && v < 1i128 << (bits - 1)),
    }
}

/// Pushes the low bits of `v`.
fn store(place: &mut Store, v: i256) -> Result<()> {
    let low = wrap_i128(v);
    match place {
        Store::Bool(values) => values.push(low != 0),
        Store::I8(values) => values.push(low as i8),
        Store::I16(values) => values.push(low as i16),
        Store::I32(values) => values.push(low as i32),
        Store::I64(values) => values.push(low as i64),
        Store::U8(values) => values.push(low as u8),
        Store::U16(values) => values.push(low as u16),
        Store::U32(values) => values.push(low as u32),
        Store::U64(values) => values.push(low as u64),
        Store::I128(values) => values.push(low),
        Store::I256(values) => values.push(v),
        Store::Fixed { width: 16, bytes, len } => {
            bytes.extend_from_slice(&u128_bytes(v));
            *len += 1;
        }
        Store::Fixed { width: 32, bytes, len } => {
            bytes.extend_from_slice(&v.to_be_bytes());
            *len += 1;
        }
        _ => return Err(Error::bug("a number was cast to a type that is kept as no number")),
    }
    Ok(())
}
