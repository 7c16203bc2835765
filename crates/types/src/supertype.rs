//! The type that holds several: branches of `if`, elements of arrays, arms of UNION; and the types of arithmetic.

use crate::logical::LogicalType;
use crate::time::Zone;
use hydron_base::{Code, Error, Result};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Plus,
    Minus,
    Multiply,
    Divide,
    IntDiv,
    Modulo,
}

/// The smallest type that holds every value of `types`. `Nothing` (the type of NULL) makes the others nullable; inside
/// arrays it stands for "no elements" and gives way. Errors: NO_COMMON_TYPE (386).
pub fn least_supertype(types: &[LogicalType]) -> Result<LogicalType> {
    let has_null = types.iter().any(|t| matches!(t, LogicalType::Nothing));
    let common = common(types)?;
    Ok(if has_null && can_be_nullable(&common) { LogicalType::nullable(common) } else { common })
}

/// Whether NULL can be added to the type.
pub fn can_be_nullable(ty: &LogicalType) -> bool {
    use LogicalType as T;
    !matches!(
        ty,
        T::Array(_)
            | T::Tuple(_)
            | T::Map(..)
            | T::Nested(_)
            | T::Json
            | T::AggregateFunction { .. }
            | T::LowCardinality(_)
    )
}

fn common(types: &[LogicalType]) -> Result<LogicalType> {
    use LogicalType as T;
    let mut distinct: Vec<&T> = Vec::new();
    for t in types {
        if !matches!(t, T::Nothing) && !distinct.contains(&t) {
            distinct.push(t);
        }
    }
    match distinct.as_slice() {
        [] => return Ok(T::Nothing),
        [one] => return Ok((*one).clone()),
        _ => {}
    }
    if distinct.iter().any(|t| matches!(t, T::LowCardinality(_))) {
        let all = distinct.iter().all(|t| matches!(t, T::LowCardinality(_)));
        let inner: Vec<T> = distinct.iter().map(|t| t.without_low_cardinality().clone()).collect();
        let inner = common(&inner)?;
        return Ok(if all { T::LowCardinality(Box::new(inner)) } else { inner });
    }
    if distinct.iter().any(|t| matches!(t, T::Nullable(_))) {
        let bare: Vec<T> = distinct.iter().map(|t| t.bare().clone()).collect();
        let inner = common(&bare)?;
        return if can_be_nullable(&inner) { Ok(T::nullable(inner)) } else { Err(none(&distinct)) };
    }
    if distinct
        .iter()
        .all(|t| matches!(t, T::SimpleAggregateFunction { .. }) || !matches!(t, T::AggregateFunction { .. }))
        && distinct.iter().any(|t| matches!(t, T::SimpleAggregateFunction { .. }))
    {
        let plain: Vec<T> = distinct.iter().map(|t| simple(t).clone()).collect();
        return common(&plain);
    }
    if distinct.iter().all(|t| matches!(t, T::Array(_))) {
        let items: Vec<T> =
            distinct.iter().filter_map(|t| if let T::Array(i) = t { Some((**i).clone()) } else { None }).collect();
        return Ok(T::array(common(&items)?));
    }
    if distinct.iter().all(|t| matches!(t, T::Tuple(_))) {
        return common_tuple(&distinct);
    }
    if distinct.iter().all(|t| matches!(t, T::Map(..))) {
        let part = |value: bool| -> Vec<T> {
            distinct
                .iter()
                .filter_map(|t| {
                    if let T::Map(k, v) = t { Some(if value { (**v).clone() } else { (**k).clone() }) } else { None }
                })
                .collect()
        };
        return Ok(T::Map(Box::new(common(&part(false))?), Box::new(common(&part(true))?)));
    }
    let enums = |t: &&&T| matches!(t, T::Enum8(_) | T::Enum16(_));
    if distinct.iter().all(|t| t.is_string_like() || enums(&t)) && distinct.iter().any(|t| t.is_string_like()) {
        return Ok(T::String);
    }
    if distinct.iter().all(|t| t.is_date_or_time()) {
        return Ok(common_time(&distinct));
    }
    if distinct.iter().all(|t| t.is_number() || matches!(t, T::Bool)) {
        return common_number(&distinct);
    }
    Err(none(&distinct))
}

fn simple(t: &LogicalType) -> &LogicalType {
    match t {
        LogicalType::SimpleAggregateFunction { arg, .. } => arg,
        t => t,
    }
}

fn none(types: &[&LogicalType]) -> Error {
    let names: Vec<String> = types.iter().map(|t| t.to_string()).collect();
    Error::new(Code::NO_COMMON_TYPE, format!("no type holds the values of {}", names.join(" and ")))
}

fn common_tuple(types: &[&LogicalType]) -> Result<LogicalType> {
    let tuples: Vec<&Arc<[(Option<Arc<str>>, LogicalType)]>> =
        types.iter().filter_map(|t| if let LogicalType::Tuple(e) = t { Some(e) } else { None }).collect();
    let Some(first) = tuples.first() else { return Err(none(types)) };
    if tuples.iter().any(|t| t.len() != first.len()) {
        return Err(none(types));
    }
    let same_names = tuples.iter().all(|t| t.iter().zip(first.iter()).all(|(a, b)| a.0 == b.0));
    let mut elements = Vec::with_capacity(first.len());
    for i in 0..first.len() {
        let column: Vec<LogicalType> = tuples.iter().map(|t| t[i].1.clone()).collect();
        // NULL beside a value inside a tuple makes that element nullable, unlike the missing items of an empty array.
        elements.push((if same_names { first[i].0.clone() } else { None }, least_supertype(&column)?));
    }
    Ok(LogicalType::Tuple(elements.into()))
}

fn common_time(types: &[&LogicalType]) -> LogicalType {
    use LogicalType as T;
    // Types that differ have the server's zone together, even where one of them names its own.
    let zone: Option<Zone> = None;
    let scale = types.iter().filter_map(|t| if let T::DateTime64(s, _) = t { Some(*s) } else { None }).max();
    let has_datetime = types.iter().any(|t| matches!(t, T::DateTime(_)));
    let has_date32 = types.iter().any(|t| matches!(t, T::Date32));
    match scale {
        Some(scale) => T::DateTime64(scale, zone),
        // Neither holds the other; what holds both shows the days as they are, in the zone of the session.
        None if has_datetime && has_date32 => T::DateTime64(0, None),
        None if has_datetime => T::DateTime(zone),
        None => T::Date32,
    }
}

fn common_number(types: &[&LogicalType]) -> Result<LogicalType> {
    use LogicalType as T;
    let bits_of =
        |wanted: fn(&T) -> bool| types.iter().filter(|t| wanted(t)).filter_map(|t| t.bits()).max().unwrap_or(0);
    let signed = bits_of(T::is_signed_integer);
    let unsigned = bits_of(|t| t.is_unsigned_integer() || matches!(t, T::Bool));
    let float = bits_of(T::is_float);
    if types.iter().any(|t| t.is_decimal()) {
        return if float == 0 { common_decimal(types, signed.max(unsigned)) } else { Err(none(types)) };
    }
    let mut bits = signed.max(unsigned);
    if signed > 0 && unsigned >= signed {
        // The next width would be 128 bits, which is never chosen silently.
        if bits == 64 {
            return Err(none(types));
        }
        bits += 1;
    }
    if float > 0 {
        let mantissa = bits.max(if float == 32 { 24 } else { 53 });
        return match mantissa {
            ..=24 => Ok(T::Float32),
            25..=53 => Ok(T::Float64),
            _ => Err(none(types)),
        };
    }
    let width = [8, 16, 32, 64, 128, 256].into_iter().find(|w| bits <= *w).ok_or_else(|| none(types))?;
    Ok(T::integer(signed > 0, width))
}

fn common_decimal(types: &[&LogicalType], integer_bits: u32) -> Result<LogicalType> {
    let mut precision = 0;
    let mut scale = 0;
    for t in types {
        if let LogicalType::Decimal { precision: p, scale: s } = t {
            precision = precision.max(*p);
            scale = scale.max(*s);
        }
    }
    let digits = match integer_bits {
        0 => 0,
        8 => 3,
        16 => 5,
        32 => 10,
        64 => 20,
        128 => 39,
        _ => 78,
    };
    let needed = precision.max(digits + scale);
    if needed > 76 {
        return Err(none(types));
    }
    Ok(LogicalType::Decimal { precision: decimal_class(needed), scale })
}

/// The most digits in the width that holds `precision` digits: 9, 18, 38 or 76.
pub fn decimal_class(precision: u8) -> u8 {
    match precision {
        ..=9 => 9,
        10..=18 => 18,
        19..=38 => 38,
        _ => 76,
    }
}

/// The result type of arithmetic on two numbers (bare types; bool counts as uint8); `None` where the operation is not
/// defined on them.
pub fn arithmetic_type(op: Arithmetic, a: &LogicalType, b: &LogicalType) -> Option<LogicalType> {
    use LogicalType as T;
    let number = |t: &T| t.is_number() || matches!(t, T::Bool);
    if !number(a) || !number(b) {
        return None;
    }
    if a.is_decimal() || b.is_decimal() {
        return decimal_arithmetic(op, a, b);
    }
    let (left, right) = (a.bits()?, b.bits()?);
    let wider = left.max(right);
    let next = |bits: u32| if bits < 64 { bits * 2 } else { bits };
    let float = a.is_float() || b.is_float();
    let signed = a.is_signed_integer() || b.is_signed_integer();
    Some(match op {
        Arithmetic::Divide => T::Float64,
        Arithmetic::IntDiv => T::integer(signed || float, left),
        _ if float => T::Float64,
        Arithmetic::Plus | Arithmetic::Multiply => T::integer(signed, next(wider)),
        Arithmetic::Minus => T::integer(true, next(wider)),
        Arithmetic::Modulo if a.is_signed_integer() => T::integer(true, next(right)),
        Arithmetic::Modulo => T::integer(false, right),
    })
}

fn decimal_arithmetic(op: Arithmetic, a: &LogicalType, b: &LogicalType) -> Option<LogicalType> {
    use LogicalType as T;
    match (a, b) {
        (T::Decimal { precision: p, scale: s }, T::Decimal { precision: q, scale: t }) => {
            let precision = decimal_class((*p).max(*q));
            let scale = match op {
                Arithmetic::Multiply => s + t,
                Arithmetic::Divide => *s,
                Arithmetic::IntDiv => return Some(T::integer(true, decimal_bits(*p))),
                _ => *s.max(t),
            };
            (scale <= precision).then_some(T::Decimal { precision, scale })
        }
        _ if a.is_float() || b.is_float() => Some(T::Float64),
        (T::Decimal { precision, .. }, _) if op == Arithmetic::IntDiv => {
            Some(T::integer(true, decimal_bits(*precision)))
        }
        (T::Decimal { .. }, _) => Some(a.clone()),
        _ if op == Arithmetic::IntDiv => Some(T::integer(true, a.bits()?)),
        _ => Some(b.clone()),
    }
}

/// Bits in which a decimal of this precision is kept.
pub fn decimal_bits(precision: u8) -> u32 {
    match precision {
        ..=9 => 32,
        10..=18 => 64,
        19..=38 => 128,
        _ => 256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse_type;

    #[test]
    fn common_types() {
        for (types, expected) in [
            ("uint8 int8", "int16"),
            ("uint8 nothing", "nullable(uint8)"),
            ("uint64 int8", "386"),
            ("uint32 int64", "int64"),
            ("int16 float32", "float32"),
            ("int32 float32", "float64"),
            ("int64 float64", "386"),
            ("string uint8", "386"),
            ("string fixed_string(3)", "string"),
            ("low_cardinality(string) string", "string"),
            ("date datetime", "datetime"),
            ("date32 datetime", "datetime64(0)"),
            ("datetime('UTC') datetime64(6)", "datetime64(6)"),
            ("decimal(18,8) decimal(9,4)", "decimal(18,8)"),
            ("decimal(9,4) int64", "decimal(38,4)"),
            ("array(uint8) array(nothing)", "array(uint8)"),
            ("array(array(nothing)) array(array(int8))", "array(array(int8))"),
            ("tuple(int8,string) tuple(uint8,string)", "tuple(int16,string)"),
            ("nullable(int8) uint8", "nullable(int16)"),
            ("array(int8) int8", "386"),
            ("bool bool", "bool"),
            ("bool int8", "int16"),
        ] {
            let parsed: Vec<LogicalType> = types.split(' ').map(|t| parse_type(t).unwrap()).collect();
            let got = match least_supertype(&parsed) {
                Ok(t) => t.to_string().replace(", ", ","),
                Err(e) => e.code.number().to_string(),
            };
            assert_eq!(got, expected, "{types}");
        }
    }

    #[test]
    fn arithmetic() {
        use Arithmetic::*;
        for (op, a, b, expected) in [
            (Plus, "uint8", "uint8", "uint16"),
            (Plus, "uint32", "int8", "int64"),
            (Plus, "uint64", "int64", "int64"),
            (Plus, "float32", "float32", "float64"),
            (Plus, "int128", "uint8", "int128"),
            (Minus, "uint8", "uint8", "int16"),
            (Minus, "uint64", "uint64", "int64"),
            (Divide, "uint8", "uint8", "float64"),
            (IntDiv, "uint8", "int64", "int8"),
            (Modulo, "uint64", "uint8", "uint8"),
            (Modulo, "int64", "uint8", "int16"),
            (Multiply, "decimal(9,1)", "decimal(9,2)", "decimal(9, 3)"),
            (Divide, "decimal(9,4)", "decimal(18,2)", "decimal(18, 4)"),
            (Plus, "decimal(9,4)", "int64", "decimal(9, 4)"),
            (Plus, "decimal(9,4)", "float32", "float64"),
        ] {
            let ty = arithmetic_type(op, &parse_type(a).unwrap(), &parse_type(b).unwrap());
            assert_eq!(ty.map(|t| t.to_string()).as_deref(), Some(expected), "{op:?} {a} {b}");
        }
        assert_eq!(arithmetic_type(Plus, &LogicalType::String, &LogicalType::Int8), None);
    }
}
