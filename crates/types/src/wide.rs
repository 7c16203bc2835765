//! Integers of 128 and 256 bits: powers of ten, digits, and the way to and from floats and big-endian bytes.
//!
//! An unsigned integer of 256 bits travels as the `i256` of the same bits; who reads it knows its type.

use arrow::datatypes::i256;
use std::sync::LazyLock;

/// Digits of the largest decimal.
pub const DECIMAL_DIGITS_MAX: u8 = 76;

/// `10^n` for n up to 76.
pub fn pow10(n: u8) -> i256 {
    static POWERS: LazyLock<[i256; 77]> = LazyLock::new(|| {
        let ten = i256::from_i128(10);
        let mut powers = [i256::ONE; 77];
        for i in 1..77 {
            powers[i] = powers[i - 1].wrapping_mul(ten);
        }
        powers
    });
    POWERS[usize::from(n.min(DECIMAL_DIGITS_MAX))]
}

/// `10^n` for n up to 38.
pub const fn pow10_i128(n: u8) -> i128 {
    10i128.pow(n as u32)
}

/// `10^n` for n up to 18.
pub const fn pow10_i64(n: u8) -> i64 {
    10i64.pow(n as u32)
}

/// The value as a float; `unsigned` reads the bits as a number from 0 to 2^256 - 1.
pub fn to_f64(v: i256, unsigned: bool) -> f64 {
    const TWO_128: f64 = 340_282_366_920_938_463_463_374_607_431_768_211_456.0;
    if let Some(small) = v.to_i128()
        && (small >= 0 || !unsigned)
    {
        return small as f64;
    }
    if v.is_negative() && !unsigned {
        return -to_f64(v.wrapping_neg(), true);
    }
    let (low, high) = v.to_parts();
    (high as u128) as f64 * TWO_128 + low as f64
}

/// The whole part of a finite float, modulo 2^256.
pub fn from_f64(v: f64) -> i256 {
    let v = v.trunc();
    if v.abs() < 1.7e38 {
        return i256::from_i128(v as i128);
    }
    let bits = v.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1075;
    let mantissa = i256::from_i128(((bits & ((1 << 52) - 1)) | (1 << 52)) as i128);
    let magnitude = if exponent >= 256 { i256::ZERO } else { mantissa << (exponent as u8) };
    if v < 0.0 { magnitude.wrapping_neg() } else { magnitude }
}

/// Appends the decimal digits; `unsigned` as in [`to_f64`].
pub fn write_i256(v: i256, unsigned: bool, out: &mut Vec<u8>) {
    if let Some(small) = v.to_i128()
        && (small >= 0 || !unsigned)
    {
        out.extend_from_slice(itoa::Buffer::new().format(small).as_bytes());
        return;
    }
    let (low, high) = if v.is_negative() && !unsigned {
        out.push(b'-');
        v.wrapping_neg().to_parts()
    } else {
        v.to_parts()
    };
    let high = high as u128;
    let mut limbs = [(high >> 64) as u64, high as u64, (low >> 64) as u64, low as u64];
    // 2^256 has 78 digits: five chunks of 18 hold them.
    const CHUNK: u128 = 1_000_000_000_000_000_000;
    let mut chunks = [0u64; 5];
    for chunk in chunks.iter_mut().rev() {
        let mut rest: u128 = 0;
        for limb in &mut limbs {
            let current = (rest << 64) | u128::from(*limb);
            *limb = (current / CHUNK) as u64;
            rest = current % CHUNK;
        }
        *chunk = rest as u64;
    }
    let first = chunks.iter().position(|c| *c != 0).unwrap_or(chunks.len() - 1);
    out.extend_from_slice(itoa::Buffer::new().format(chunks[first]).as_bytes());
    for chunk in &chunks[first + 1..] {
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(*chunk).as_bytes();
        out.extend(std::iter::repeat_n(b'0', 18 - digits.len()));
        out.extend_from_slice(digits);
    }
}

/// Sixteen big-endian bytes of an `uint128`, from the low half of `v`.
pub fn u128_bytes(v: i256) -> [u8; 16] {
    v.to_parts().0.to_be_bytes()
}

/// An `uint128` from its big-endian bytes.
pub fn u128_from(bytes: &[u8]) -> i256 {
    let mut low = [0; 16];
    low.copy_from_slice(bytes);
    i256::from_parts(u128::from_be_bytes(low), 0)
}

/// An `uint256` from its big-endian bytes.
pub fn u256_from(bytes: &[u8]) -> i256 {
    let mut all = [0; 32];
    all.copy_from_slice(bytes);
    i256::from_be_bytes(all)
}

/// Keeps the low 128 bits, read as a signed number.
pub fn wrap_i128(v: i256) -> i128 {
    v.to_parts().0 as i128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_every_width() {
        let text = |v, unsigned| {
            let mut out = Vec::new();
            write_i256(v, unsigned, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            text(i256::MAX, false),
            "57896044618658097711785492504343953926634992332820282019728792003956564819967"
        );
        assert_eq!(
            text(i256::MIN, false),
            "-57896044618658097711785492504343953926634992332820282019728792003956564819968"
        );
        assert_eq!(
            text(i256::MINUS_ONE, true),
            "115792089237316195423570985008687907853269984665640564039457584007913129639935"
        );
        assert_eq!(text(i256::MINUS_ONE, false), "-1");
        assert_eq!(text(pow10(40), false), format!("1{}", "0".repeat(40)));
    }

    #[test]
    fn floats_keep_their_magnitude() {
        assert_eq!(to_f64(from_f64(1e50), false), 1e50);
        assert_eq!(to_f64(from_f64(-1e50), false), -1e50);
        assert_eq!(from_f64(-1.9), i256::MINUS_ONE);
        assert_eq!(to_f64(i256::MINUS_ONE, true), 1.157920892373162e77);
    }
}
