//! Result types of arithmetic on integers and floats: ClickHouse's number traits.

use super::Op;
use hydron_types::LogicalType;

fn next_bits(bits: u32) -> u32 {
    if bits < 64 { bits * 2 } else { bits }
}

/// Signedness and width of an integer; bool counts as uint8. Floats and decimals are asked for elsewhere.
pub(crate) fn shape(ty: &LogicalType) -> (bool, u32) {
    (ty.is_signed_integer(), ty.bits().unwrap_or(64))
}

/// The result type of `op` on two integers or floats.
pub(crate) fn of(op: Op, a: &LogicalType, b: &LogicalType) -> LogicalType {
    let ((a_signed, a_bits), (b_signed, b_bits)) = (shape(a), shape(b));
    let float = a.is_float() || b.is_float();
    let signed = a_signed || b_signed || a.is_float() || b.is_float();
    let bits = a_bits.max(b_bits);
    match op {
        Op::Divide => LogicalType::Float64,
        Op::IntDiv | Op::IntDivOrZero => LogicalType::integer(signed, a_bits),
        _ if float => LogicalType::Float64,
        Op::Plus | Op::Multiply | Op::Gcd | Op::Lcm => LogicalType::integer(signed, next_bits(bits)),
        Op::Minus => LogicalType::integer(true, next_bits(bits)),
        // The remainder has the sign of the dividend: -199 % uint8(200) needs more than the width of the divisor.
        Op::Modulo | Op::ModuloOrZero if a_signed => LogicalType::integer(true, next_bits(b_bits)),
        Op::Modulo | Op::ModuloOrZero | Op::PositiveModulo => LogicalType::integer(false, b_bits),
        Op::ModuloLegacy => LogicalType::integer(signed, b_bits),
    }
}

/// The integer type in which both operands fit, where there is one; for operations that must not lose a sign.
pub(crate) fn common_integer(a: &LogicalType, b: &LogicalType) -> LogicalType {
    let ((a_signed, a_bits), (b_signed, b_bits)) = (shape(a), shape(b));
    if a_signed == b_signed {
        return LogicalType::integer(a_signed, a_bits.max(b_bits));
    }
    let room = |signed: bool, bits: u32| if signed { bits } else { (bits * 2).min(256) };
    LogicalType::integer(true, room(a_signed, a_bits).max(room(b_signed, b_bits)))
}
