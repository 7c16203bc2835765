//! Numbers of every width as Rust numbers: reading columns, building columns, and arithmetic that wraps.
//!
//! In: columns of integers (8 to 256 bits), floats, decimals (their digits), bool. Out: vectors of one Rust type. Promise:
//! narrowing keeps the low bits, as two's complement does; a float outside the range of an integer saturates.

mod wide;

use super::column::natives;
use crate::call::downcast;
use arrow::array::{Array, ArrayRef, BooleanArray, FixedSizeBinaryArray};
use arrow::datatypes::{DataType, i256};
use hydron_base::{Error, Result};
use hydron_types::{LogicalType, Value};
use std::sync::Arc;
use wide::{unsigned_float_of, wide_array};

pub use wide::{U256, float_of, wide_of_float};

/// Numbers of a column: its own buffer, or a converted copy.
pub type Lane<R> = Box<dyn AsRef<[R]>>;

/// A Rust number that a column can hold.
pub trait Num: Copy + Default + PartialOrd + Send + Sync + 'static {
    fn from_i64(v: i64) -> Self;
    fn from_u64(v: u64) -> Self;
    fn from_i128(v: i128) -> Self;
    fn from_u128(v: u128) -> Self;
    fn from_i256(v: i256) -> Self;
    fn from_u256(v: U256) -> Self;
    fn from_f64(v: f64) -> Self;
    fn add(self, o: Self) -> Self;
    fn sub(self, o: Self) -> Self;
    fn mul(self, o: Self) -> Self;
    /// The logical type of a column of these numbers.
    const TYPE: LogicalType;
    /// A column of [`Num::TYPE`].
    fn array(values: Vec<Self>) -> ArrayRef;
    /// The values of a number column of type `ty`; not copied when they have this type already.
    fn lane(array: &ArrayRef, ty: &LogicalType) -> Result<Lane<Self>> {
        Ok(Box::new(to_vec::<Self>(array, ty)?))
    }
}

/// A Rust integer that a column can hold. All arithmetic wraps.
pub trait Int: Num + Ord + Eq {
    const BITS: u32;
    const SIGNED: bool;
    /// `None` for a divisor of zero.
    fn div(self, o: Self) -> Option<Self>;
    fn rem(self, o: Self) -> Option<Self>;
    fn neg(self) -> Self {
        Self::default().sub(self)
    }
    fn and(self, o: Self) -> Self;
    fn or(self, o: Self) -> Self;
    fn xor(self, o: Self) -> Self;
    fn not(self) -> Self;
    fn shl(self, n: u32) -> Self;
    /// Keeps the sign of signed numbers.
    fn shr(self, n: u32) -> Self;
    fn rotl(self, n: u32) -> Self {
        let n = n % Self::BITS;
        if n == 0 { self } else { self.shl(n).or(self.logical_shr(Self::BITS - n)) }
    }
    fn logical_shr(self, n: u32) -> Self;
    fn count_ones(self) -> u32;
    fn low_i64(self) -> i64;
}

macro_rules! num {
    ($t:ident, $logical:ident, $arrow:ident) => {
        impl Num for $t {
            #[inline]
            fn from_i64(v: i64) -> Self {
                v as $t
            }
            #[inline]
            fn from_u64(v: u64) -> Self {
                v as $t
            }
            #[inline]
            fn from_i128(v: i128) -> Self {
                v as $t
            }
            #[inline]
            fn from_u128(v: u128) -> Self {
                v as $t
            }
            #[inline]
            fn from_i256(v: i256) -> Self {
                num!(@wide $t, v)
            }
            #[inline]
            fn from_u256(v: U256) -> Self {
                num!(@uwide $t, v)
            }
            #[inline]
            fn from_f64(v: f64) -> Self {
                v as $t
            }
            #[inline]
            fn add(self, o: Self) -> Self {
                num!(@op $t, wrapping_add, +, self, o)
            }
            #[inline]
            fn sub(self, o: Self) -> Self {
                num!(@op $t, wrapping_sub, -, self, o)
            }
            #[inline]
            fn mul(self, o: Self) -> Self {
                num!(@op $t, wrapping_mul, *, self, o)
            }
            const TYPE: LogicalType = LogicalType::$logical;
            fn array(values: Vec<Self>) -> ArrayRef {
                num!(@array $arrow, values)
            }
            num!(@lane $arrow);
        }
    };
    (@lane Wide) => {};
    (@lane $arrow:ident) => {
        fn lane(array: &ArrayRef, ty: &LogicalType) -> Result<Lane<Self>> {
            if number_layout(ty) == Self::TYPE && *array.data_type() != DataType::Boolean {
                return Ok(Box::new(natives::<Self>(array)?));
            }
            Ok(Box::new(to_vec::<Self>(array, ty)?))
        }
    };
    (@array Wide, $v:ident) => {
        wide_array(&$v)
    };
    (@array Signed128, $v:ident) => {
        signed_wide(arrow::array::Decimal128Array::from($v).with_precision_and_scale(38, 0).map(|a| Arc::new(a) as ArrayRef))
    };
    (@array $arrow:ident, $v:ident) => {
        Arc::new(arrow::array::$arrow::from($v))
    };
    (@wide f32, $v:ident) => { float_of($v) as f32 };
    (@wide f64, $v:ident) => { float_of($v) };
    (@wide $t:ident, $v:ident) => { $v.to_parts().0 as $t };
    (@uwide f32, $v:ident) => { unsigned_float_of($v) as f32 };
    (@uwide f64, $v:ident) => { unsigned_float_of($v) };
    (@uwide $t:ident, $v:ident) => { $v.0.to_parts().0 as $t };
    (@op f32, $f:ident, $op:tt, $a:expr, $b:expr) => { $a $op $b };
    (@op f64, $f:ident, $op:tt, $a:expr, $b:expr) => { $a $op $b };
    (@op $t:ident, $f:ident, $op:tt, $a:expr, $b:expr) => { $a.$f($b) };
}

macro_rules! int {
    ($t:ty, $unsigned:ty, $signed:literal) => {
        impl Int for $t {
            const BITS: u32 = <$t>::BITS;
            const SIGNED: bool = $signed;
            #[inline]
            fn div(self, o: Self) -> Option<Self> {
                if o == 0 { None } else { Some(self.wrapping_div(o)) }
            }
            #[inline]
            fn rem(self, o: Self) -> Option<Self> {
                if o == 0 { None } else { Some(self.wrapping_rem(o)) }
            }
            #[inline]
            fn and(self, o: Self) -> Self {
                self & o
            }
            #[inline]
            fn or(self, o: Self) -> Self {
                self | o
            }
            #[inline]
            fn xor(self, o: Self) -> Self {
                self ^ o
            }
            #[inline]
            fn not(self) -> Self {
                !self
            }
            #[inline]
            fn shl(self, n: u32) -> Self {
                self.checked_shl(n).unwrap_or(0)
            }
            #[inline]
            fn shr(self, n: u32) -> Self {
                self.checked_shr(n).unwrap_or(if $signed && self < Self::default() { !0 } else { 0 })
            }
            #[inline]
            fn logical_shr(self, n: u32) -> Self {
                (self as $unsigned).checked_shr(n).unwrap_or(0) as $t
            }
            #[inline]
            fn count_ones(self) -> u32 {
                <$t>::count_ones(self)
            }
            #[inline]
            fn low_i64(self) -> i64 {
                self as i64
            }
        }
    };
}

num!(i8, Int8, Int8Array);
num!(i16, Int16, Int16Array);
num!(i32, Int32, Int32Array);
num!(i64, Int64, Int64Array);
num!(i128, Int128, Signed128);
num!(u8, UInt8, UInt8Array);
num!(u16, UInt16, UInt16Array);
num!(u32, UInt32, UInt32Array);
num!(u64, UInt64, UInt64Array);
num!(u128, UInt128, Wide);
num!(f32, Float32, Float32Array);
num!(f64, Float64, Float64Array);
int!(i8, u8, true);
int!(i16, u16, true);
int!(i32, u32, true);
int!(i64, u64, true);
int!(i128, u128, true);
int!(u8, u8, false);
int!(u16, u16, false);
int!(u32, u32, false);
int!(u64, u64, false);
int!(u128, u128, false);

fn signed_wide(array: std::result::Result<ArrayRef, arrow::error::ArrowError>) -> ArrayRef {
    array.expect("the precision and scale of a wide integer are valid")
}

/// The type whose bits hold the values of `ty`, as a number.
pub fn number_layout(ty: &LogicalType) -> LogicalType {
    use LogicalType::*;
    match ty {
        Bool => UInt8,
        Enum8(_) => Int8,
        Enum16(_) => Int16,
        Interval(_) | DateTime(_) | DateTime64(..) => Int64,
        Date | Date32 => Int32,
        Ipv4 => UInt32,
        Ipv6 | Uuid => UInt128,
        Decimal { precision: ..=9, .. } => Int32,
        Decimal { precision: ..=18, .. } => Int64,
        Decimal { precision: ..=38, .. } => Int128,
        Decimal { .. } => Int256,
        Nullable(t) | LowCardinality(t) => number_layout(t),
        t => t.clone(),
    }
}

/// The values of a number column (dates, enums, decimals: their digits) as `R`.
pub fn to_vec<R: Num>(array: &ArrayRef, ty: &LogicalType) -> Result<Vec<R>> {
    use LogicalType::*;
    macro_rules! read {
        ($t:ty, $from:ident, $as:ty) => {
            natives::<$t>(array)?.iter().map(|v| R::$from(*v as $as)).collect()
        };
    }
    if let Some(bools) = array.as_any().downcast_ref::<BooleanArray>() {
        return Ok(bools.values().iter().map(|v| R::from_u64(u64::from(v))).collect());
    }
    if let Nothing = ty.bare() {
        return Ok(vec![R::default(); array.len()]);
    }
    Ok(match number_layout(ty) {
        Int8 => read!(i8, from_i64, i64),
        Int16 => read!(i16, from_i64, i64),
        Int32 => read!(i32, from_i64, i64),
        Int64 => read!(i64, from_i64, i64),
        UInt8 => read!(u8, from_u64, u64),
        UInt16 => read!(u16, from_u64, u64),
        UInt32 => read!(u32, from_u64, u64),
        UInt64 => read!(u64, from_u64, u64),
        Float32 => read!(f32, from_f64, f64),
        Float64 => read!(f64, from_f64, f64),
        Int128 => read!(i128, from_i128, i128),
        Int256 => natives::<i256>(array)?.iter().map(|v| R::from_i256(*v)).collect(),
        UInt128 => big_endian(array)?.map(|b| R::from_u128(b.to_parts().0)).collect(),
        UInt256 => big_endian(array)?.map(|b| R::from_u256(U256(b))).collect(),
        other => return Err(Error::bug(format!("{other} was read as a number"))),
    })
}

fn big_endian(array: &ArrayRef) -> Result<impl Iterator<Item = i256> + '_> {
    let array: &FixedSizeBinaryArray = downcast(array)?;
    Ok((0..array.len()).map(|i| {
        let bytes = array.value(i);
        let mut wide = [0u8; 32];
        wide[32 - bytes.len()..].copy_from_slice(bytes);
        i256::from_be_bytes(wide)
    }))
}

/// A constant number as 256 bits of two's complement; `None` for floats and everything that is no number.
pub fn wide_of_value(value: &Value) -> Option<i256> {
    Some(match value {
        Value::Bool(b) => i256::from_i128(i128::from(*b)),
        Value::Int(v) => i256::from_i128(i128::from(*v)),
        Value::UInt(v) => i256::from_i128(i128::from(*v)),
        Value::Wide(v) | Value::Decimal(v) => *v,
        Value::Date(v) => i256::from_i128(i128::from(*v)),
        Value::Time(v) => i256::from_i128(i128::from(*v)),
        _ => return None,
    })
}

/// Calls a macro with the Rust type of an integer or float type: `with_number!(ty, T => expression)`; the second arm is for
/// every other type.
macro_rules! with_number {
    ($ty:expr, $t:ident => $body:expr, else $other:expr) => {
        match $ty {
            hydron_types::LogicalType::Float32 => {
                type $t = f32;
                $body
            }
            hydron_types::LogicalType::Float64 => {
                type $t = f64;
                $body
            }
            other => $crate::scalar::number::with_integer!(other, $t => $body, else $other),
        }
    };
}

/// Like `with_number!`, for integers only.
macro_rules! with_integer {
    ($ty:expr, $t:ident => $body:expr, else $other:expr) => {
        match $ty {
            hydron_types::LogicalType::Int8 => {
                type $t = i8;
                $body
            }
            hydron_types::LogicalType::Int16 => {
                type $t = i16;
                $body
            }
            hydron_types::LogicalType::Int32 => {
                type $t = i32;
                $body
            }
            hydron_types::LogicalType::Int64 => {
                type $t = i64;
                $body
            }
            hydron_types::LogicalType::Int128 => {
                type $t = i128;
                $body
            }
            hydron_types::LogicalType::Int256 => {
                type $t = arrow::datatypes::i256;
                $body
            }
            hydron_types::LogicalType::UInt8 => {
                type $t = u8;
                $body
            }
            hydron_types::LogicalType::UInt16 => {
                type $t = u16;
                $body
            }
            hydron_types::LogicalType::UInt32 => {
                type $t = u32;
                $body
            }
            hydron_types::LogicalType::UInt64 => {
                type $t = u64;
                $body
            }
            hydron_types::LogicalType::UInt128 => {
                type $t = u128;
                $body
            }
            hydron_types::LogicalType::UInt256 => {
                type $t = $crate::scalar::number::U256;
                $body
            }
            _ => $other,
        }
    };
}

pub(crate) use {with_integer, with_number};
