//! One number of any width: whole ones in 256 bits, floats in 64.
//!
//! In: columns of numbers, dates and times. Out: numbers that add, subtract and compare, and values of the type asked for.
//! Promise: arithmetic wraps in the type of the answer, as columns of that type do.

use super::bytes::Reader;
use super::kept::Item;
use crate::scalar::number::to_vec;
use arrow::array::ArrayRef;
use arrow::datatypes::i256;
use hydron_base::Result;
use hydron_types::{LogicalType, Value};
use std::cmp::Ordering;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Float(f64),
    /// Integers, the digits of decimals, ticks of times.
    Whole(i256),
}

impl Number {
    pub fn zero(ty: &LogicalType) -> Number {
        if ty.is_float() { Number::Float(0.0) } else { Number::Whole(i256::ZERO) }
    }

    pub fn plus(self, o: Number) -> Number {
        match (self, o) {
            (Number::Whole(a), Number::Whole(b)) => Number::Whole(a.wrapping_add(b)),
            (a, b) => Number::Float(a.float() + b.float()),
        }
    }

    pub fn minus(self, o: Number) -> Number {
        match (self, o) {
            (Number::Whole(a), Number::Whole(b)) => Number::Whole(a.wrapping_sub(b)),
            (a, b) => Number::Float(a.float() - b.float()),
        }
    }

    /// By value; a NaN comes last.
    pub fn order(&self, o: &Number) -> Ordering {
        match (self, o) {
            (Number::Whole(a), Number::Whole(b)) => a.cmp(b),
            (a, b) => a.float().total_cmp(&b.float()),
        }
    }

    pub fn is_nan(self) -> bool {
        matches!(self, Number::Float(v) if v.is_nan())
    }

    pub fn is_zero(self) -> bool {
        match self {
            Number::Float(v) => v == 0.0,
            Number::Whole(v) => v == i256::ZERO,
        }
    }

    pub fn float(self) -> f64 {
        match self {
            Number::Float(v) => v,
            Number::Whole(v) => crate::scalar::number::float_of(v),
        }
    }

    /// As a value of `ty`, cut to its width.
    pub fn value(self, ty: &LogicalType) -> Value {
        use LogicalType::*;
        let whole = match self {
            Number::Whole(v) => v,
            Number::Float(v) => crate::scalar::number::wide_of_float(v),
        };
        let low = whole.to_parts().0;
        match ty {
            Float64 => Value::Float64(self.float()),
            Float32 => Value::Float32(self.float() as f32),
            Bool => Value::Bool(low != 0),
            Int8 | Enum8(_) => Value::Int(i64::from(low as i8)),
            Int16 | Enum16(_) => Value::Int(i64::from(low as i16)),
            Int32 => Value::Int(i64::from(low as i32)),
            Int64 | Interval(_) => Value::Int(low as i64),
            UInt8 => Value::UInt(u64::from(low as u8)),
            UInt16 => Value::UInt(u64::from(low as u16)),
            UInt32 | Ipv4 => Value::UInt(u64::from(low as u32)),
            UInt64 => Value::UInt(low as u64),
            Int128 => Value::Wide(i256::from_i128(low as i128)),
            UInt128 => Value::Wide(i256::from_parts(low, 0)),
            Int256 | UInt256 => Value::Wide(whole),
            Decimal { .. } => Value::Decimal(whole),
            Date | Date32 => Value::Date(low as i32),
            DateTime(_) | DateTime64(..) => Value::Time(low as i64),
            _ => Value::Wide(whole),
        }
    }
}

impl Item for Number {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Number::Float(v) => {
                out.push(0);
                v.write(out);
            }
            Number::Whole(v) => {
                // Most numbers are small: as many bytes as they need.
                let bytes = v.to_le_bytes();
                let fill = if v.is_negative() { 0xff } else { 0 };
                let needed = 32 - bytes.iter().rev().take_while(|b| **b == fill).count();
                let needed = (needed + 1).min(32);
                out.push(needed as u8);
                out.extend_from_slice(&bytes[..needed]);
            }
        }
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Number> {
        let [needed] = bytes.array::<1>()?;
        if needed == 0 {
            return Ok(Number::Float(bytes.f64()?));
        }
        let given = bytes.take(usize::from(needed.min(32)))?;
        let fill = if given.last().is_some_and(|b| *b >= 0x80) { 0xff } else { 0 };
        let mut wide = [fill; 32];
        wide[..given.len()].copy_from_slice(given);
        Ok(Number::Whole(i256::from_le_bytes(wide)))
    }
}

/// The values of a column of numbers, dates or times.
pub fn numbers(array: &ArrayRef, ty: &LogicalType) -> Result<Vec<Number>> {
    if ty.is_float() {
        return Ok(to_vec::<f64>(array, ty)?.into_iter().map(Number::Float).collect());
    }
    Ok(to_vec::<i256>(array, ty)?.into_iter().map(Number::Whole).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_from_their_bytes() {
        let wholes = [0, 1, -1, 127, 128, -128, -129, i128::MAX, i128::MIN].map(|v| Number::Whole(i256::from_i128(v)));
        let others = [Number::Whole(i256::MAX), Number::Whole(i256::MIN), Number::Float(-0.5)];
        for number in wholes.into_iter().chain(others) {
            let mut out = Vec::new();
            number.write(&mut out);
            assert_eq!(Number::read(&mut Reader(&out)).unwrap(), number);
        }
        assert_eq!(Number::Whole(i256::from_i128(300)).value(&LogicalType::UInt8), Value::UInt(44));
    }
}
