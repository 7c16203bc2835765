//! Type to Arrow: one layout for each logical type, in memory, in the log and in parts.
//!
//! `string` is `Binary` (bytes). `int128`/`int256` are `Decimal128(38, 0)`/`Decimal256(76, 0)` (their full two's
//! complement range is used), `uint128`/`uint256` are big-endian `FixedSizeBinary`, so that Arrow's comparison, sorting and
//! hashing are right for all of them. `uuid` and `ipv6` are `FixedSizeBinary(16)` in network order. `datetime` is
//! `Timestamp(Second)`; `datetime64(s)` is the next finer Arrow unit (scale 4 is kept in microseconds).

use crate::logical::LogicalType;
use arrow::datatypes::{DECIMAL32_MAX_PRECISION, DataType, Field, Fields, TimeUnit};
use std::sync::Arc;

/// The Arrow type that holds values of `t`. Nullability is on the field: see [`arrow_field`].
pub fn arrow_type(t: &LogicalType) -> DataType {
    use LogicalType::*;
    match t {
        Nothing => DataType::Null,
        Bool => DataType::Boolean,
        Int8 | Enum8(_) => DataType::Int8,
        Int16 | Enum16(_) => DataType::Int16,
        Int32 => DataType::Int32,
        Int64 | Interval(_) => DataType::Int64,
        Int128 => DataType::Decimal128(38, 0),
        Int256 => DataType::Decimal256(76, 0),
        UInt8 => DataType::UInt8,
        UInt16 => DataType::UInt16,
        UInt32 | Ipv4 => DataType::UInt32,
        UInt64 => DataType::UInt64,
        UInt128 | Uuid | Ipv6 => DataType::FixedSizeBinary(16),
        UInt256 => DataType::FixedSizeBinary(32),
        Float32 => DataType::Float32,
        Float64 => DataType::Float64,
        Decimal { precision, scale } => decimal_type(*precision, *scale),
        String | Json | AggregateFunction { .. } => DataType::Binary,
        FixedString(n) => DataType::FixedSizeBinary(*n as i32),
        Date | Date32 => DataType::Date32,
        DateTime(_) => DataType::Timestamp(TimeUnit::Second, None),
        DateTime64(scale, _) => DataType::Timestamp(unit_of_scale(*scale), None),
        Array(t) => DataType::List(Arc::new(arrow_field("item", t))),
        Tuple(elements) => DataType::Struct(tuple_fields(elements.iter().map(|(n, t)| (n.as_deref(), t)))),
        Nested(elements) => {
            let row = DataType::Struct(tuple_fields(elements.iter().map(|(n, t)| (Some(&**n), t))));
            DataType::List(Arc::new(Field::new("item", row, false)))
        }
        Map(k, v) => {
            let entry = DataType::Struct(Fields::from(vec![
                Field::new("keys", arrow_type(k), false),
                arrow_field("values", v),
            ]));
            DataType::Map(Arc::new(Field::new("entries", entry, false)), false)
        }
        Nullable(t) | LowCardinality(t) => arrow_type(t),
        SimpleAggregateFunction { arg, .. } => arrow_type(arg),
    }
}

/// The Arrow field `name` for values of `t`: nullable exactly when the logical type is.
pub fn arrow_field(name: &str, t: &LogicalType) -> Field {
    Field::new(name, arrow_type(t), t.is_nullable())
}

fn tuple_fields<'a>(elements: impl Iterator<Item = (Option<&'a str>, &'a LogicalType)>) -> Fields {
    elements
        .enumerate()
        .map(|(i, (name, t))| match name {
            Some(name) => arrow_field(name, t),
            None => arrow_field(&(i + 1).to_string(), t),
        })
        .collect()
}

fn decimal_type(precision: u8, scale: u8) -> DataType {
    let scale = scale as i8;
    match precision {
        ..=DECIMAL32_MAX_PRECISION => DataType::Decimal32(precision, scale),
        10..=18 => DataType::Decimal64(precision, scale),
        19..=38 => DataType::Decimal128(precision, scale),
        _ => DataType::Decimal256(precision, scale),
    }
}

/// The Arrow unit that holds ticks of `10^-scale` seconds: the next finer of s, ms, us, ns.
pub fn unit_of_scale(scale: u8) -> TimeUnit {
    match scale {
        0 => TimeUnit::Second,
        1..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

/// Decimal digits of an Arrow unit: 0, 3, 6 or 9.
pub fn digits_of_unit(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}
