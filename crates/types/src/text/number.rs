//! Numbers to digits and back.
//!
//! Floats print the shortest digits that read back as the same number, as `1e21` from 10^21 on and as `1e-7` below 10^-6.

use crate::wide::{pow10, write_i256};
use arrow::datatypes::i256;

/// Appends a float: shortest round trip; `inf`, `-inf`, `nan`, `-0`.
pub fn write_f64(v: f64, out: &mut Vec<u8>) {
    // Whole numbers that a float holds exactly are the common case.
    if v.abs() < 9_007_199_254_740_992.0 && v.trunc() == v && !(v == 0.0 && v.is_sign_negative()) {
        out.extend_from_slice(itoa::Buffer::new().format(v as i64).as_bytes());
        return;
    }
    if !v.is_finite() {
        return write_special(v, out);
    }
    let mut buffer = [0; lexical_core::BUFFER_SIZE];
    lay_out(lexical_core::write(v, &mut buffer), out);
}

/// Appends a float of 32 bits.
pub fn write_f32(v: f32, out: &mut Vec<u8>) {
    if !v.is_finite() {
        return write_special(v.into(), out);
    }
    let mut buffer = [0; lexical_core::BUFFER_SIZE];
    lay_out(lexical_core::write(v, &mut buffer), out);
}

fn write_special(v: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(match v {
        _ if v.is_nan() => b"nan",
        _ if v > 0.0 => b"inf",
        _ => b"-inf",
    });
}

/// Turns shortest digits in any notation (`12.5`, `1.0e-9`) into ours.
fn lay_out(text: &[u8], out: &mut Vec<u8>) {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if negative {
        out.push(b'-');
    }
    let (mantissa, exponent) = match text.iter().position(|b| *b == b'e') {
        Some(at) => {
            (&text[..at], std::str::from_utf8(&text[at + 1..]).ok().and_then(|e| e.parse::<i32>().ok()).unwrap_or(0))
        }
        None => (text, 0),
    };
    let point = mantissa.iter().position(|b| *b == b'.').unwrap_or(mantissa.len());
    let all = || mantissa.iter().copied().filter(|b| *b != b'.');
    let leading = all().take_while(|b| *b == b'0').count();
    let mut digits: [u8; 32] = [0; 32];
    let mut n = 0;
    for d in all().skip(leading).take(digits.len()) {
        digits[n] = d;
        n += 1;
    }
    while n > 0 && digits[n - 1] == b'0' {
        n -= 1;
    }
    if n == 0 {
        return out.push(b'0');
    }
    let digits = &digits[..n];
    // The value is 0.d1d2d3… times 10^position.
    let position = point as i32 - leading as i32 + exponent;
    match position {
        -5..=0 => {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', -position as usize));
            out.extend_from_slice(digits);
        }
        1..=21 => {
            let whole = position as usize;
            if n <= whole {
                out.extend_from_slice(digits);
                out.extend(std::iter::repeat_n(b'0', whole - n));
            } else {
                out.extend_from_slice(&digits[..whole]);
                out.push(b'.');
                out.extend_from_slice(&digits[whole..]);
            }
        }
        _ => {
            out.push(digits[0]);
            if n > 1 {
                out.push(b'.');
                out.extend_from_slice(&digits[1..]);
            }
            out.push(b'e');
            out.extend_from_slice(itoa::Buffer::new().format(position - 1).as_bytes());
        }
    }
}

/// Appends a decimal of up to 38 digits.
pub fn write_decimal(v: i128, scale: u8, zeros: bool, out: &mut Vec<u8>) {
    if v < 0 {
        out.push(b'-');
    }
    let magnitude = v.unsigned_abs();
    if scale == 0 {
        out.extend_from_slice(itoa::Buffer::new().format(magnitude).as_bytes());
        return;
    }
    let power = 10u128.pow(scale.into());
    out.extend_from_slice(itoa::Buffer::new().format(magnitude / power).as_bytes());
    let mut buffer = itoa::Buffer::new();
    write_decimal_fraction(buffer.format(magnitude % power).as_bytes(), scale, zeros, out);
}

/// Appends a decimal of any width.
pub fn write_decimal256(v: i256, scale: u8, zeros: bool, out: &mut Vec<u8>) {
    if let Some(small) = v.to_i128().filter(|_| scale <= 38) {
        return write_decimal(small, scale, zeros, out);
    }
    if v.is_negative() {
        out.push(b'-');
    }
    let magnitude = v.wrapping_abs();
    let power = pow10(scale);
    write_i256(magnitude.wrapping_div(power), true, out);
    let mut fraction = Vec::with_capacity(80);
    write_i256(magnitude.wrapping_rem(power), true, &mut fraction);
    if scale > 0 {
        write_decimal_fraction(&fraction, scale, zeros, out);
    }
}

fn write_decimal_fraction(digits: &[u8], scale: u8, zeros: bool, out: &mut Vec<u8>) {
    let missing = usize::from(scale).saturating_sub(digits.len());
    let kept = if zeros { digits.len() } else { digits.iter().rposition(|d| *d != b'0').map_or(0, |p| p + 1) };
    if kept == 0 && !zeros {
        return;
    }
    out.push(b'.');
    out.extend(std::iter::repeat_n(b'0', missing));
    out.extend_from_slice(&digits[..kept]);
}

/// A whole number as read from text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    pub negative: bool,
    /// Modulo 2^64.
    pub magnitude: u64,
    /// The magnitude does not fit 64 bits.
    pub overflow: bool,
    /// Bytes read.
    pub used: usize,
}

impl Whole {
    /// The number, when it is from `min` to `max`.
    pub fn within(&self, min: i128, max: i128) -> Option<i128> {
        let value = if self.negative { -i128::from(self.magnitude) } else { i128::from(self.magnitude) };
        (!self.overflow && value >= min && value <= max).then_some(value)
    }

    /// The number modulo 2^64, in two's complement.
    pub fn wrapped(&self) -> u64 {
        if self.negative { self.magnitude.wrapping_neg() } else { self.magnitude }
    }
}

/// Reads an optional sign and digits. `None` when there are no digits.
#[inline]
pub fn parse_whole(text: &[u8]) -> Option<Whole> {
    let (negative, sign) = match text.first() {
        Some(b'-') => (true, 1),
        Some(b'+') => (false, 1),
        _ => (false, 0),
    };
    let mut used = sign;
    let mut magnitude: u64 = 0;
    let mut overflow = false;
    while let Some(digit) = text.get(used).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
        let (times, first) = magnitude.overflowing_mul(10);
        let (sum, second) = times.overflowing_add(digit.into());
        overflow |= first | second;
        magnitude = sum;
        used += 1;
    }
    (used > sign).then_some(Whole { negative, magnitude, overflow, used })
}

/// Reads an optional sign and digits into 256 bits (wrapping); the value, whether it overflowed 2^256, and bytes read.
pub fn parse_wide(text: &[u8]) -> Option<(i256, bool, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let negative = text.first() == Some(&b'-');
    let mut used = sign;
    let mut value = i256::ZERO;
    let ten = i256::from_i128(10);
    while let Some(digit) = text.get(used).filter(|b| b.is_ascii_digit()) {
        value = value.wrapping_mul(ten).wrapping_add(i256::from_i128(i128::from(digit - b'0')));
        used += 1;
    }
    // 10^77 is below 2^256; from 78 digits on a number may not fit.
    let significant = text[sign..used].iter().skip_while(|b| **b == b'0').count();
    (used > sign).then(|| (if negative { value.wrapping_neg() } else { value }, significant > 77, used))
}

/// Reads a float from the start of `text`: digits, `inf`, `infinity`, `nan` in any case, with a sign. The value and bytes read.
pub fn parse_float(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let rest = &text[sign..];
    match rest.first() {
        Some(b'0'..=b'9' | b'.') => {
            let plus = usize::from(text.first() == Some(&b'+'));
            match lexical_core::parse_partial::<f64>(&text[plus..]) {
                Ok((value, used)) if used > sign - plus && rest.iter().take(2).any(u8::is_ascii_digit) => {
                    Some((value, used + plus))
                }
                _ => None,
            }
        }
        Some(_) => {
            let word = |w: &[u8]| rest.len() >= w.len() && rest[..w.len()].eq_ignore_ascii_case(w);
            let (value, used) = if word(b"infinity") {
                (f64::INFINITY, 8)
            } else if word(b"inf") {
                (f64::INFINITY, 3)
            } else if word(b"nan") {
                (f64::NAN, 3)
            } else {
                return None;
            };
            Some((if text[0] == b'-' { -value } else { value }, used + sign))
        }
        None => None,
    }
}

/// Reads a float of 32 bits, rounded once.
pub fn parse_float32(text: &[u8]) -> Option<(f32, usize)> {
    let (wide, used) = parse_float(text)?;
    let number = text[..used].strip_prefix(b"+").unwrap_or(&text[..used]);
    Some((lexical_core::parse::<f32>(number).unwrap_or(wide as f32), used))
}

/// Why a decimal was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalError {
    NotANumber,
    /// More digits before the point than the precision leaves.
    TooLarge,
}

/// Reads a decimal from the start of `text`: digits without the point, scaled to `scale`, and bytes read. Digits beyond the
/// scale are dropped.
pub fn parse_decimal(text: &[u8], precision: u8, scale: u8) -> Result<(i256, usize), DecimalError> {
    let negative = text.first() == Some(&b'-');
    let mut at = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let start = at;
    let mut point: Option<usize> = None;
    while let Some(b) = text.get(at) {
        match b {
            b'0'..=b'9' => {}
            b'.' if point.is_none() => point = Some(at),
            _ => break,
        }
        at += 1;
    }
    let end = at;
    let digits = || text[start..end].iter().filter(|b| **b != b'.');
    if digits().next().is_none() {
        return Err(DecimalError::NotANumber);
    }
    let mut exponent: i64 = 0;
    if matches!(text.get(at), Some(b'e' | b'E'))
        && let Some(e) = parse_whole(&text[at + 1..])
    {
        exponent = if e.overflow { 1_000_000 } else { (e.magnitude as i64).clamp(0, 1_000_000) };
        exponent = if e.negative { -exponent } else { exponent };
        at += 1 + e.used;
    }
    let whole = point.unwrap_or(end) - start;
    let leading = digits().take_while(|b| **b == b'0').count();
    let significant = digits().count() - leading;
    if significant == 0 {
        return Ok((i256::ZERO, at));
    }
    // The value is 0.d1d2… times 10^position; it needs position + scale digits.
    let position = whole as i64 - leading as i64 + exponent;
    if position > i64::from(precision) - i64::from(scale) {
        return Err(DecimalError::TooLarge);
    }
    let wanted = position + i64::from(scale);
    let mut value = i256::ZERO;
    let ten = i256::from_i128(10);
    let mut small: u64 = 0;
    let mut small_digits = 0u8;
    let mut taken = 0i64;
    // Nineteen digits fit 64 bits: most numbers never touch the wide path.
    for digit in digits().skip(leading).take(wanted.max(0) as usize) {
        if small_digits < 19 {
            small = small * 10 + u64::from(digit - b'0');
            small_digits += 1;
            if small_digits == 19 {
                value = i256::from_i128(small.into());
            }
        } else {
            value = value.wrapping_mul(ten).wrapping_add(i256::from_i128(i128::from(digit - b'0')));
        }
        taken += 1;
    }
    if small_digits < 19 {
        value = i256::from_i128(small.into());
    }
    if wanted > taken {
        value = value.wrapping_mul(pow10((wanted - taken) as u8));
    }
    Ok((if negative { value.wrapping_neg() } else { value }, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_print_as_clickhouse_prints_them() {
        for (v, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (100.0, "100"),
            (0.1, "0.1"),
            (0.000001, "0.000001"),
            (0.0000001, "1e-7"),
            (1.25e-9, "1.25e-9"),
            (1e20, "100000000000000000000"),
            (1e21, "1e21"),
            (20988295479420645000.0, "20988295479420645000"),
            (-18446744073709552000.0, "-18446744073709552000"),
            (-8.98846567431158e307, "-8.98846567431158e307"),
            (2.2250738585072014e-308, "2.2250738585072014e-308"),
            (1e100, "1e100"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (0.00012000000000000002, "0.00012000000000000002"),
        ] {
            assert_eq!(text(|o| write_f64(v, o)), expected);
        }
        assert_eq!(text(|o| write_f32(0.1, o)), "0.1");
        assert_eq!(text(|o| write_f32(1665519765.0, o)), "1665519700");
        assert_eq!(text(|o| write_f32(-2.0, o)), "-2");
    }

    #[test]
    fn decimals() {
        for (input, precision, scale, expected) in [
            ("42.42", 9, 3, "42.42"),
            (".42", 9, 3, "0.42"),
            ("-0.1", 9, 2, "-0.1"),
            ("3.14159", 9, 2, "3.14"),
            ("4.4E+5", 9, 3, "440000"),
            ("5.5e-2", 9, 3, "0.055"),
            (".4E+20", 38, 18, "40000000000000000000"),
            (".5e-17", 38, 18, "0.000000000000000005"),
            ("1E-9", 9, 0, "0"),
            ("1E-9", 9, 9, "0.000000001"),
            ("1E-10", 9, 9, "0"),
            ("0", 9, 9, "0"),
            ("0.1", 38, 38, "0.1"),
            (
                "12345678901234567890123456789012345678901234567890.5",
                76,
                2,
                "12345678901234567890123456789012345678901234567890.5",
            ),
        ] {
            let (v, used) = parse_decimal(input.as_bytes(), precision, scale).unwrap();
            assert_eq!(used, input.len());
            assert_eq!(text(|o| write_decimal256(v, scale, false, o)), expected, "{input}");
        }
        assert_eq!(parse_decimal(b"-1E9", 9, 0), Err(DecimalError::TooLarge));
        assert_eq!(parse_decimal(b"1", 9, 9), Err(DecimalError::TooLarge));
        assert_eq!(parse_decimal(b"x", 9, 9), Err(DecimalError::NotANumber));
        assert_eq!(text(|o| write_decimal(5, 3, true, o)), "0.005");
    }

    #[test]
    fn whole_numbers_and_floats_are_read() {
        assert_eq!(parse_whole(b"-12x").unwrap().within(-128, 127), Some(-12));
        assert_eq!(parse_whole(b"256").unwrap().within(0, 255), None);
        assert_eq!(parse_whole(b"256").unwrap().wrapped() as u8, 0);
        assert!(parse_whole(b"18446744073709551616").unwrap().overflow);
        assert_eq!(parse_whole(b"-"), None);
        for (t, v, used) in
            [("1.5e3x", 1500.0, 5), ("-.5", -0.5, 3), ("+1", 1.0, 2), ("inf", f64::INFINITY, 3), ("1.", 1.0, 2)]
        {
            assert_eq!(parse_float(t.as_bytes()), Some((v, used)), "{t}");
        }
        assert_eq!(parse_float(b"abc"), None);
        assert_eq!(parse_float(b"."), None);
        assert_eq!(parse_float32(b"0.1"), Some((0.1f32, 3)));
    }
}
