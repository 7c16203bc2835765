//! Numbers of 256 bits, signed and unsigned: their arithmetic, their columns, and their neighbours among floats.

use super::{Int, Num, signed_wide};
use arrow::array::{ArrayRef, FixedSizeBinaryArray};
use arrow::datatypes::i256;
use hydron_types::LogicalType;
use std::cmp::Ordering;
use std::sync::Arc;

/// 256 bits without sign, in the bits of a signed number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct U256(pub i256);

impl PartialOrd for U256 {
    fn partial_cmp(&self, other: &U256) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for U256 {
    fn cmp(&self, other: &U256) -> Ordering {
        (self.0 ^ i256::MIN).cmp(&(other.0 ^ i256::MIN))
    }
}

/// A number whose bytes are stored in network order.
pub(super) trait BigEndian {
    type Bytes: AsRef<[u8]>;
    fn bytes(&self) -> Self::Bytes;
}

impl BigEndian for u128 {
    type Bytes = [u8; 16];
    fn bytes(&self) -> [u8; 16] {
        self.to_be_bytes()
    }
}

impl BigEndian for U256 {
    type Bytes = [u8; 32];
    fn bytes(&self) -> [u8; 32] {
        self.0.to_be_bytes()
    }
}

pub(super) fn wide_array<T: BigEndian>(values: &[T]) -> ArrayRef {
    let width = std::mem::size_of::<T::Bytes>();
    let mut bytes = Vec::with_capacity(values.len() * width);
    values.iter().for_each(|v| bytes.extend_from_slice(v.bytes().as_ref()));
    Arc::new(FixedSizeBinaryArray::new(width as i32, bytes.into(), None))
}

macro_rules! wide {
    ($t:ty, $logical:ident, $signed:literal, |$v:ident| $get:expr, |$raw:ident| $make:expr) => {
        impl Num for $t {
            fn from_i64(v: i64) -> Self {
                let $raw = i256::from_i128(i128::from(v));
                $make
            }
            fn from_u64(v: u64) -> Self {
                let $raw = i256::from_parts(u128::from(v), 0);
                $make
            }
            fn from_i128(v: i128) -> Self {
                let $raw = i256::from_i128(v);
                $make
            }
            fn from_u128(v: u128) -> Self {
                let $raw = i256::from_parts(v, 0);
                $make
            }
            fn from_i256(v: i256) -> Self {
                let $raw = v;
                $make
            }
            fn from_u256(v: U256) -> Self {
                let $raw = v.0;
                $make
            }
            fn from_f64(v: f64) -> Self {
                let $raw = wide_of_float(v);
                $make
            }
            fn add(self, o: Self) -> Self {
                let $v = self;
                let a = $get;
                let $v = o;
                let $raw = a.wrapping_add($get);
                $make
            }
            fn sub(self, o: Self) -> Self {
                let $v = self;
                let a = $get;
                let $v = o;
                let $raw = a.wrapping_sub($get);
                $make
            }
            fn mul(self, o: Self) -> Self {
                let $v = self;
                let a = $get;
                let $v = o;
                let $raw = a.wrapping_mul($get);
                $make
            }
            const TYPE: LogicalType = LogicalType::$logical;
            fn array(values: Vec<Self>) -> ArrayRef {
                <$t>::column(values)
            }
        }

        impl Int for $t {
            const BITS: u32 = 256;
            const SIGNED: bool = $signed;
            fn div(self, o: Self) -> Option<Self> {
                <$t>::divided(self, o).map(|(q, _)| q)
            }
            fn rem(self, o: Self) -> Option<Self> {
                <$t>::divided(self, o).map(|(_, r)| r)
            }
            fn and(self, o: Self) -> Self {
                let ($v, other) = (self, o);
                let a = $get;
                let $v = other;
                let $raw = a & $get;
                $make
            }
            fn or(self, o: Self) -> Self {
                let ($v, other) = (self, o);
                let a = $get;
                let $v = other;
                let $raw = a | $get;
                $make
            }
            fn xor(self, o: Self) -> Self {
                let ($v, other) = (self, o);
                let a = $get;
                let $v = other;
                let $raw = a ^ $get;
                $make
            }
            fn not(self) -> Self {
                let $v = self;
                let $raw = $get ^ i256::MINUS_ONE;
                $make
            }
            fn shl(self, n: u32) -> Self {
                let $v = self;
                let $raw = if n > 255 { i256::ZERO } else { $get << n as u8 };
                $make
            }
            fn shr(self, n: u32) -> Self {
                if !$signed {
                    return self.logical_shr(n);
                }
                let $v = self;
                let $raw = $get >> n.min(255) as u8;
                $make
            }
            fn logical_shr(self, n: u32) -> Self {
                let $v = self;
                let $raw = logical_shift($get, n);
                $make
            }
            fn count_ones(self) -> u32 {
                let $v = self;
                let (low, high) = $get.to_parts();
                low.count_ones() + high.count_ones()
            }
            fn low_i64(self) -> i64 {
                let $v = self;
                $get.to_parts().0 as i64
            }
        }
    };
}

wide!(i256, Int256, true, |v| v, |raw| raw);
wide!(U256, UInt256, false, |v| v.0, |raw| U256(raw));

trait WideColumn: Sized {
    fn column(values: Vec<Self>) -> ArrayRef;
    fn divided(self, o: Self) -> Option<(Self, Self)>;
}

impl WideColumn for i256 {
    fn column(values: Vec<i256>) -> ArrayRef {
        let array = arrow::array::Decimal256Array::from(values).with_precision_and_scale(76, 0);
        signed_wide(array.map(|a| Arc::new(a) as ArrayRef))
    }

    fn divided(self, o: i256) -> Option<(i256, i256)> {
        // MIN / -1 wraps to MIN, as two's complement does.
        if o == i256::MINUS_ONE {
            return Some((self.wrapping_neg(), i256::ZERO));
        }
        Some((self.checked_div(o)?, self.checked_rem(o)?))
    }
}

impl WideColumn for U256 {
    fn column(values: Vec<U256>) -> ArrayRef {
        wide_array(&values)
    }

    fn divided(self, o: U256) -> Option<(U256, U256)> {
        if o.0 == i256::ZERO {
            return None;
        }
        if !self.0.is_negative() && !o.0.is_negative() {
            return Some((U256(self.0.checked_div(o.0)?), U256(self.0.checked_rem(o.0)?)));
        }
        // Schoolbook division bit by bit; only numbers with the top bit set come here. A bit that leaves the remainder at
        // the top means that it is at least 2^256, so the divisor fits once more.
        let (mut quotient, mut rest) = (i256::ZERO, U256::default());
        for bit in (0..256u32).rev() {
            let carry = rest.0.is_negative();
            rest = U256((rest.0 << 1) | (logical_shift(self.0, bit) & i256::ONE));
            quotient = quotient << 1;
            if carry || rest >= o {
                rest = U256(rest.0.wrapping_sub(o.0));
                quotient = quotient | i256::ONE;
            }
        }
        Some((U256(quotient), rest))
    }
}

fn logical_shift(v: i256, n: u32) -> i256 {
    let (low, high) = v.to_parts();
    let high = high as u128;
    let (low, high) = match n {
        0 => (low, high),
        1..128 => ((low >> n) | (high << (128 - n)), high >> n),
        128 => (high, 0),
        129..256 => (high >> (n - 128), 0),
        _ => (0, 0),
    };
    i256::from_parts(low, high as i128)
}

/// 2^128 as a float.
const TWO_128: f64 = 340_282_366_920_938_463_463_374_607_431_768_211_456.0;

pub fn float_of(v: i256) -> f64 {
    if v.is_negative() { -unsigned_float_of(U256(v.wrapping_neg())) } else { unsigned_float_of(U256(v)) }
}

pub(super) fn unsigned_float_of(v: U256) -> f64 {
    let (low, high) = v.0.to_parts();
    high as u128 as f64 * TWO_128 + low as f64
}

/// The whole part of a float; saturates.
pub fn wide_of_float(v: f64) -> i256 {
    let high = (v / TWO_128).floor();
    if high >= i128::MAX as f64 {
        return i256::MAX;
    }
    if high <= i128::MIN as f64 {
        return i256::MIN;
    }
    if v.abs() < 1e38 {
        return i256::from_i128(v as i128);
    }
    i256::from_parts((v - high * TWO_128) as u128, high as i128)
}
