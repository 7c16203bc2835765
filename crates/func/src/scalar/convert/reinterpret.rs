//! The same bytes, little end first, as another type.

use super::casts::loose_type_argument;
use super::function::{add, check_count, illegal, unary};
use crate::call::{ArgInfo, BindContext, BoundCall};
use crate::registry::Registry;
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::i256;
use hydron_base::Result;
use hydron_types::supertype::decimal_bits;
use hydron_types::{ColumnBuilder, LogicalType, Value, value_at};

pub fn register(registry: &mut Registry) {
    use LogicalType as T;
    for ty in [
        T::Int8,
        T::Int16,
        T::Int32,
        T::Int64,
        T::Int128,
        T::Int256,
        T::UInt8,
        T::UInt16,
        T::UInt32,
        T::UInt64,
        T::UInt128,
        T::UInt256,
        T::Float32,
        T::Float64,
        T::Date,
        T::DateTime(None),
        T::Uuid,
        T::String,
    ] {
        let name = format!("reinterpret_as_{ty}");
        let function = name.clone();
        add(registry, &name, move |_: &BindContext, args: &[ArgInfo]| {
            check_count(&function, args, 1..=1)?;
            bind(&function, args, ty.clone())
        });
    }
    add(registry, "reinterpret_as_fixed_string", |_: &BindContext, args: &[ArgInfo]| {
        const NAME: &str = "reinterpret_as_fixed_string";
        check_count(NAME, args, 1..=1)?;
        let width = width(&args[0].ty).ok_or_else(|| illegal(NAME, args, 0, "a number, a date or a fixed string"))?;
        bind(NAME, args, T::FixedString(width as u32))
    });
    add(registry, "reinterpret", |_: &BindContext, args: &[ArgInfo]| {
        check_count("reinterpret", args, 2..=2)?;
        let ty = loose_type_argument("reinterpret", args, 1)?;
        bind("reinterpret", args, ty)
    });
}

/// Bytes of a value of a type of fixed width.
fn width(ty: &LogicalType) -> Option<usize> {
    use LogicalType as T;
    Some(match ty.bare() {
        T::Date => 2,
        T::DateTime(_) | T::Ipv4 | T::Date32 => 4,
        T::DateTime64(..) | T::Interval(_) => 8,
        T::Uuid | T::Ipv6 => 16,
        T::Enum8(_) => 1,
        T::Enum16(_) => 2,
        T::FixedString(n) => *n as usize,
        T::Decimal { precision, .. } => decimal_bits(*precision) as usize / 8,
        t => t.bits()? as usize / 8,
    })
}

fn bind(name: &str, args: &[ArgInfo], to: LogicalType) -> Result<BoundCall> {
    let from = args[0].ty.clone();
    let from_width = width(&from);
    if from_width.is_none() && !matches!(from.bare(), LogicalType::String) {
        return Err(illegal(name, args, 0, "a number, a date or a string"));
    }
    let to_width = width(&to);
    if to_width.is_none() && to != LogicalType::String {
        return Err(illegal(name, args, 0, &format!("of a type that can be read as {to}")));
    }
    if matches!(to, LogicalType::FixedString(_)) && from_width.is_none() {
        return Err(illegal(name, args, 0, "of a fixed width"));
    }
    let result = to.clone();
    Ok(unary(result, move |array: &ArrayRef| {
        let mut builder = ColumnBuilder::with_capacity(&LogicalType::Nullable(Box::new(to.clone())), array.len());
        let mut bytes = Vec::new();
        for row in 0..array.len() {
            bytes.clear();
            match value_at(array, from.bare(), row) {
                Value::Null => {
                    builder.append_null();
                    continue;
                }
                value => little_end(&value, from_width, &mut bytes),
            }
            match to_width {
                None => {
                    if from_width.is_some() && !matches!(from.bare(), LogicalType::FixedString(_)) {
                        let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |p| p + 1);
                        bytes.truncate(end);
                    }
                    builder.append_bytes(&bytes)?;
                }
                Some(width) => {
                    bytes.resize(width, 0);
                    builder.append(&from_little_end(&bytes, &to))?;
                }
            }
        }
        builder.finish()
    }))
}

fn little_end(value: &Value, width: Option<usize>, out: &mut Vec<u8>) {
    match value {
        Value::Bool(b) => out.push(u8::from(*b)),
        Value::Int(v) | Value::Time(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::UInt(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::Wide(v) | Value::Decimal(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::Float32(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::Float64(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::Date(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::Bytes(b) => out.extend_from_slice(b),
        Value::Uuid(b) | Value::Ipv6(b) => out.extend_from_slice(b),
        Value::Null | Value::Array(_) | Value::Tuple(_) | Value::Map(_) => {}
    }
    if let (Some(width), false) = (width, matches!(value, Value::Bytes(_))) {
        out.truncate(width);
    }
}

/// `bytes` has the width of `ty`.
fn from_little_end(bytes: &[u8], ty: &LogicalType) -> Value {
    use LogicalType as T;
    let unsigned = |n: usize| {
        let mut all = [0; 8];
        all[..n].copy_from_slice(&bytes[..n]);
        u64::from_le_bytes(all)
    };
    let signed = |n: usize| {
        let shift = 64 - 8 * n as u32;
        ((unsigned(n) << shift) as i64) >> shift
    };
    let wide = |fill: bool| {
        let negative = fill && bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut all = [if negative { 0xff } else { 0 }; 32];
        all[..bytes.len()].copy_from_slice(bytes);
        i256::from_le_bytes(all)
    };
    let mut sixteen = [0; 16];
    if bytes.len() == 16 {
        sixteen.copy_from_slice(bytes);
    }
    match ty {
        T::Bool => Value::Bool(bytes[0] != 0),
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Enum8(_) | T::Enum16(_) | T::Interval(_) => {
            Value::Int(signed(bytes.len()))
        }
        T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 | T::Ipv4 => Value::UInt(unsigned(bytes.len())),
        T::Int128 | T::Int256 => Value::Wide(wide(true)),
        T::UInt128 | T::UInt256 => Value::Wide(wide(false)),
        T::Decimal { .. } => Value::Decimal(wide(true)),
        T::Float32 => Value::Float32(f32::from_bits(unsigned(4) as u32)),
        T::Float64 => Value::Float64(f64::from_bits(unsigned(8))),
        T::Date => Value::Date(unsigned(2) as i32),
        T::Date32 => Value::Date(signed(4) as i32),
        T::DateTime(_) => Value::Time(unsigned(4) as i64),
        T::DateTime64(..) => Value::Time(signed(8)),
        T::Uuid => Value::Uuid(sixteen),
        T::Ipv6 => Value::Ipv6(sixteen),
        _ => Value::Bytes(bytes.to_vec()),
    }
}
