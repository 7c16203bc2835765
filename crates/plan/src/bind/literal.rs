//! Constants as written to typed values.

use crate::expr::Expr;
use hydron_sql::ast::Literal;
use hydron_types::{LogicalType, Value};

/// The smallest type that holds the constant (§1.3 of the semantics).
pub(super) fn literal(literal: &Literal) -> Expr {
    let (value, ty) = match literal {
        Literal::Null => (Value::Null, LogicalType::Nothing),
        Literal::Bool(b) => (Value::Bool(*b), LogicalType::Bool),
        Literal::UInt(n) => (Value::UInt(*n), unsigned(*n)),
        Literal::Int(n) if *n >= 0 => (Value::UInt(*n as u64), unsigned(*n as u64)),
        Literal::Int(n) => (Value::Int(*n), signed(*n)),
        Literal::BigInt(text) => (Value::Float64(text.parse().unwrap_or(f64::INFINITY)), LogicalType::Float64),
        Literal::Float(f) => (Value::Float64(f.0), LogicalType::Float64),
        Literal::String(bytes) => (Value::Bytes(bytes.to_vec()), LogicalType::String),
    };
    Expr::literal(value, ty)
}

fn unsigned(n: u64) -> LogicalType {
    match n {
        0..=0xFF => LogicalType::UInt8,
        0x100..=0xFFFF => LogicalType::UInt16,
        0x1_0000..=0xFFFF_FFFF => LogicalType::UInt32,
        _ => LogicalType::UInt64,
    }
}

fn signed(n: i64) -> LogicalType {
    if i8::try_from(n).is_ok() {
        LogicalType::Int8
    } else if i16::try_from(n).is_ok() {
        LogicalType::Int16
    } else if i32::try_from(n).is_ok() {
        LogicalType::Int32
    } else {
        LogicalType::Int64
    }
}

/// An integer constant as the same number of another type, if that type holds it exactly.
pub(super) fn retype_number(value: &Value, to: &LogicalType) -> Option<Value> {
    use LogicalType as T;
    let n: i128 = match value {
        Value::Int(n) => i128::from(*n),
        Value::UInt(n) => i128::from(*n),
        _ => return None,
    };
    let fits = |low: i128, high: i128| (low..=high).contains(&n);
    match to {
        T::Int8 => fits(i8::MIN.into(), i8::MAX.into()).then_some(Value::Int(n as i64)),
        T::Int16 => fits(i16::MIN.into(), i16::MAX.into()).then_some(Value::Int(n as i64)),
        T::Int32 => fits(i32::MIN.into(), i32::MAX.into()).then_some(Value::Int(n as i64)),
        T::Int64 => fits(i64::MIN.into(), i64::MAX.into()).then_some(Value::Int(n as i64)),
        T::UInt8 => fits(0, u8::MAX.into()).then_some(Value::UInt(n as u64)),
        T::UInt16 => fits(0, u16::MAX.into()).then_some(Value::UInt(n as u64)),
        T::UInt32 => fits(0, u32::MAX.into()).then_some(Value::UInt(n as u64)),
        T::UInt64 => fits(0, u64::MAX.into()).then_some(Value::UInt(n as u64)),
        // Every integer up to 2^53 is a float64.
        T::Float64 => fits(-(1 << 53), 1 << 53).then_some(Value::Float64(n as f64)),
        _ => None,
    }
}
