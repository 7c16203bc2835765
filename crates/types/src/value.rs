//! One value, outside any column: literals, defaults, settings, parameters.

use arrow::datatypes::i256;

/// A single value. Its type is told by a [`crate::LogicalType`] beside it; the variants mirror the physical layout, with
/// dates and times in the unit of their type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// Every signed integer up to 64 bits, enums, intervals.
    Int(i64),
    /// Every unsigned integer up to 64 bits, ipv4.
    UInt(u64),
    /// int128, int256, uint128 and uint256 (the latter as two's complement of 256 bits).
    Wide(i256),
    Float32(f32),
    Float64(f64),
    /// The digits without the point; the scale is the type's.
    Decimal(i256),
    /// string, fixed_string, json, states of aggregates.
    Bytes(Vec<u8>),
    /// Days since 1970.
    Date(i32),
    /// Ticks since 1970 in the Arrow unit of the type (see [`crate::physical::unit_of_scale`]).
    Time(i64),
    /// Network order.
    Ipv6([u8; 16]),
    Uuid([u8; 16]),
    Array(Vec<Value>),
    Tuple(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

impl Value {
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    pub fn string(text: impl AsRef<[u8]>) -> Value {
        Value::Bytes(text.as_ref().to_vec())
    }

    /// The value as a signed integer where it is one (bool counts as 0 or 1).
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Bool(b) => Some(i64::from(*b)),
            Value::Int(v) => Some(*v),
            Value::UInt(v) => i64::try_from(*v).ok(),
            _ => None,
        }
    }

    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Bool(b) => Some(u64::from(*b)),
            Value::Int(v) => u64::try_from(*v).ok(),
            Value::UInt(v) => Some(*v),
            _ => None,
        }
    }

    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Float32(v) => Some(f64::from(*v)),
            Value::Float64(v) => Some(*v),
            Value::UInt(v) => Some(*v as f64),
            other => other.as_i64().map(|v| v as f64),
        }
    }

    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(b) => Some(b),
            _ => None,
        }
    }
}
