//! Names of types in the two dialects that clients read.
//!
//! In: a type. Out: the name that Proton's clients know (`array(uint8)`) or the one that ClickHouse's do (`Array(UInt8)`).
//! Promise: `parse_type_lenient` reads both back as the same type.

use crate::logical::{EnumNames, IntervalUnit, LogicalType, identifier};
use std::fmt::Write;

/// Whose names a client reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TypeNames {
    /// Lower case, as SQL has them here.
    #[default]
    Proton,
    /// CamelCase.
    ClickHouse,
}

impl TypeNames {
    /// From the setting `type_names`; anything but `clickhouse` means Proton's.
    pub fn parse(text: &str) -> TypeNames {
        if text.eq_ignore_ascii_case("clickhouse") { TypeNames::ClickHouse } else { TypeNames::Proton }
    }

    /// The name of `ty` in this dialect.
    pub fn of(self, ty: &LogicalType) -> String {
        match self {
            TypeNames::Proton => ty.to_string(),
            TypeNames::ClickHouse => {
                let mut out = String::new();
                camel(ty, &mut out);
                out
            }
        }
    }
}

fn camel(ty: &LogicalType, out: &mut String) {
    use LogicalType::*;
    let plain = match ty {
        Nothing => "Nothing",
        Bool => "Bool",
        Int8 => "Int8",
        Int16 => "Int16",
        Int32 => "Int32",
        Int64 => "Int64",
        Int128 => "Int128",
        Int256 => "Int256",
        UInt8 => "UInt8",
        UInt16 => "UInt16",
        UInt32 => "UInt32",
        UInt64 => "UInt64",
        UInt128 => "UInt128",
        UInt256 => "UInt256",
        Float32 => "Float32",
        Float64 => "Float64",
        String => "String",
        Date => "Date",
        Date32 => "Date32",
        Ipv4 => "IPv4",
        Ipv6 => "IPv6",
        Uuid => "UUID",
        Json => "Object('json')",
        Interval(unit) => interval(*unit),
        _ => return camel_with_arguments(ty, out),
    };
    out.push_str(plain);
}

fn interval(unit: IntervalUnit) -> &'static str {
    match unit {
        IntervalUnit::Nanosecond => "IntervalNanosecond",
        IntervalUnit::Microsecond => "IntervalMicrosecond",
        IntervalUnit::Millisecond => "IntervalMillisecond",
        IntervalUnit::Second => "IntervalSecond",
        IntervalUnit::Minute => "IntervalMinute",
        IntervalUnit::Hour => "IntervalHour",
        IntervalUnit::Day => "IntervalDay",
        IntervalUnit::Week => "IntervalWeek",
        IntervalUnit::Month => "IntervalMonth",
        IntervalUnit::Quarter => "IntervalQuarter",
        IntervalUnit::Year => "IntervalYear",
    }
}

fn camel_with_arguments(ty: &LogicalType, out: &mut String) {
    use LogicalType::*;
    // Writing to a String does not fail.
    let _ = match ty {
        Decimal { precision, scale } => write!(out, "Decimal({precision}, {scale})"),
        FixedString(n) => write!(out, "FixedString({n})"),
        DateTime(None) => write!(out, "DateTime"),
        DateTime(Some(zone)) => write!(out, "DateTime('{zone}')"),
        DateTime64(scale, None) => write!(out, "DateTime64({scale})"),
        DateTime64(scale, Some(zone)) => write!(out, "DateTime64({scale}, '{zone}')"),
        Enum8(names) => return enumeration("Enum8(", names, out),
        Enum16(names) => return enumeration("Enum16(", names, out),
        Array(t) => return around("Array(", [(None, &**t)], out),
        Nullable(t) => return around("Nullable(", [(None, &**t)], out),
        LowCardinality(t) => return around("LowCardinality(", [(None, &**t)], out),
        Map(k, v) => return around("Map(", [(None, &**k), (None, &**v)], out),
        Tuple(elements) => return around("Tuple(", elements.iter().map(|(n, t)| (n.as_deref(), t)), out),
        Nested(elements) => return around("Nested(", elements.iter().map(|(n, t)| (Some(&**n), t)), out),
        AggregateFunction { name, args } => {
            let comma = if args.is_empty() { "" } else { ", " };
            let start = format!("AggregateFunction({}{comma}", function(name));
            return around(&start, args.iter().map(|t| (None, t)), out);
        }
        SimpleAggregateFunction { name, arg } => {
            let start = format!("SimpleAggregateFunction({}, ", function(name));
            return around(&start, [(None, &**arg)], out);
        }
        // The plain ones are written by the caller.
        _ => Ok(()),
    };
}

fn around<'a>(start: &str, elements: impl IntoIterator<Item = (Option<&'a str>, &'a LogicalType)>, out: &mut String) {
    out.push_str(start);
    for (i, (name, ty)) in elements.into_iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        if let Some(name) = name {
            out.push_str(&identifier(name));
            out.push(' ');
        }
        camel(ty, out);
    }
    out.push(')');
}

fn enumeration(start: &str, names: &EnumNames, out: &mut String) {
    out.push_str(start);
    for (i, (name, value)) in names.pairs.iter().enumerate() {
        let escaped = name.replace('\\', "\\\\").replace('\'', "\\'");
        let _ = write!(out, "{}'{escaped}' = {value}", if i == 0 { "" } else { ", " });
    }
    out.push(')');
}

/// `group_array` as `groupArray`; a name that would not be found again stays as it is.
fn function(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut starts_word = false;
    for c in name.chars() {
        match c {
            '_' => starts_word = true,
            c if starts_word => {
                out.push(c.to_ascii_uppercase());
                starts_word = false;
            }
            c => out.push(c),
        }
    }
    if crate::parse::camel(&out) == name { out } else { name.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{parse_type, parse_type_lenient};

    #[test]
    fn both_dialects_name_the_same_type() {
        for (proton, clickhouse) in [
            ("array(low_cardinality(nullable(string)))", "Array(LowCardinality(Nullable(String)))"),
            ("map(string, tuple(a uint8, `b c` ipv6))", "Map(String, Tuple(a UInt8, `b c` IPv6))"),
            ("datetime64(3, 'UTC')", "DateTime64(3, 'UTC')"),
            ("datetime", "DateTime"),
            ("decimal(18, 3)", "Decimal(18, 3)"),
            ("enum8('a\\'b' = -1, 'c' = 2)", "Enum8('a\\'b' = -1, 'c' = 2)"),
            ("fixed_string(7)", "FixedString(7)"),
            ("interval_day", "IntervalDay"),
            ("nested(a int8, b uuid)", "Nested(a Int8, b UUID)"),
            ("json", "Object('json')"),
            ("bool", "Bool"),
            ("simple_aggregate_function(sum, uint256)", "SimpleAggregateFunction(sum, UInt256)"),
            ("aggregate_function(group_array, int8)", "AggregateFunction(groupArray, Int8)"),
        ] {
            let ty = parse_type(proton).unwrap();
            assert_eq!(TypeNames::Proton.of(&ty), proton);
            assert_eq!(TypeNames::ClickHouse.of(&ty), clickhouse);
            assert_eq!(parse_type_lenient(clickhouse).unwrap(), ty, "{clickhouse}");
        }
    }
}
