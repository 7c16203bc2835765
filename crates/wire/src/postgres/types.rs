//! Types of PostgreSQL for ours, and rows in them.
//!
//! In: batches. Out: `DataRow` messages, each value as text or in PostgreSQL's binary form. Promise: a value is never shown in a
//! type that cannot hold it: unsigned 64 bits and wider are `numeric`, what has no like is JSON or text.
//!
//! A time of a type that names its zone is `timestamptz`, one that does not is `timestamp` in the session's zone. Both end at the
//! microsecond, as PostgreSQL's do.

use super::reply::{Described, message};
use arrow::array::{Array, ArrayRef};
use hydron_base::Result;
use hydron_types::physical::{digits_of_unit, unit_of_scale};
use hydron_types::time::{LocalTime, civil_from_days, rescale};
use hydron_types::{Batch, ColumnWriter, LogicalType, Schema, Style, TextOptions, Value, Zone, value_at};
use std::io::Write;

pub const BOOL: u32 = 16;
pub const BYTEA: u32 = 17;
pub const INT8: u32 = 20;
pub const INT2: u32 = 21;
pub const INT4: u32 = 23;
pub const TEXT: u32 = 25;
pub const JSON: u32 = 114;
pub const FLOAT4: u32 = 700;
pub const FLOAT8: u32 = 701;
pub const INET: u32 = 869;
pub const BPCHAR: u32 = 1042;
pub const VARCHAR: u32 = 1043;
pub const DATE: u32 = 1082;
pub const TIMESTAMP: u32 = 1114;
pub const TIMESTAMPTZ: u32 = 1184;
pub const NUMERIC: u32 = 1700;
pub const UUID: u32 = 2950;
pub const JSONB: u32 = 3802;

/// Element and array.
pub const ARRAYS: [(u32, u32); 13] = [
    (BOOL, 1000),
    (BYTEA, 1001),
    (INT2, 1005),
    (INT4, 1007),
    (TEXT, 1009),
    (INT8, 1016),
    (FLOAT4, 1021),
    (FLOAT8, 1022),
    (INET, 1041),
    (TIMESTAMP, 1115),
    (DATE, 1182),
    (NUMERIC, 1231),
    (UUID, 2951),
];
const TIMESTAMPTZ_ARRAY: u32 = 1185;

/// Seconds from 1970 to 2000, where PostgreSQL counts from.
pub const EPOCH_SECONDS: i64 = 946_684_800;
pub const EPOCH_DAYS: i32 = 10_957;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PgType {
    pub oid: u32,
    /// Bytes of a value; -1: they differ.
    pub size: i16,
    /// Digits of a `numeric`; -1: none.
    pub modifier: i32,
}

impl PgType {
    pub fn of_oid(oid: u32) -> PgType {
        let size = match oid {
            BOOL => 1,
            INT2 => 2,
            INT4 | FLOAT4 | DATE => 4,
            INT8 | FLOAT8 | TIMESTAMP | TIMESTAMPTZ => 8,
            UUID => 16,
            _ => -1,
        };
        PgType { oid, size, modifier: -1 }
    }

    /// The type that clients see for `ty`.
    pub fn of(ty: &LogicalType) -> PgType {
        use LogicalType as T;
        let oid = match ty {
            T::Nullable(t) | T::LowCardinality(t) => return PgType::of(t),
            T::SimpleAggregateFunction { arg, .. } => return PgType::of(arg),
            T::Decimal { precision, scale } => {
                let modifier = (i32::from(*precision) << 16 | i32::from(*scale)) + 4;
                return PgType { modifier, ..PgType::of_oid(NUMERIC) };
            }
            T::Bool => BOOL,
            T::Int8 | T::Int16 | T::UInt8 => INT2,
            T::Int32 | T::UInt16 => INT4,
            T::Int64 | T::UInt32 => INT8,
            T::UInt64 | T::Int128 | T::Int256 | T::UInt128 | T::UInt256 => NUMERIC,
            T::Float32 => FLOAT4,
            T::Float64 => FLOAT8,
            T::Date | T::Date32 => DATE,
            T::DateTime(None) | T::DateTime64(_, None) => TIMESTAMP,
            T::DateTime(Some(_)) | T::DateTime64(_, Some(_)) => TIMESTAMPTZ,
            T::Ipv4 | T::Ipv6 => INET,
            T::Uuid => UUID,
            T::AggregateFunction { .. } => BYTEA,
            T::Array(t) => array_of(PgType::of(t).oid).unwrap_or(JSON),
            T::Tuple(_) | T::Map(..) | T::Nested(_) | T::Json => JSON,
            T::String | T::FixedString(_) | T::Enum8(_) | T::Enum16(_) | T::Interval(_) | T::Nothing => TEXT,
        };
        PgType::of_oid(oid)
    }
}

/// The array of an element; `None` for elements whose arrays are shown as JSON.
pub fn array_of(element: u32) -> Option<u32> {
    if element == TIMESTAMPTZ {
        return Some(TIMESTAMPTZ_ARRAY);
    }
    ARRAYS.iter().find(|(e, _)| *e == element).map(|(_, array)| *array)
}

/// The element of an array.
pub fn element_of(array: u32) -> Option<u32> {
    if array == TIMESTAMPTZ_ARRAY {
        return Some(TIMESTAMPTZ);
    }
    ARRAYS.iter().find(|(_, a)| *a == array).map(|(element, _)| *element)
}

/// The columns of `schema`; `formats` as a `Bind` has them.
pub fn described(schema: &Schema, formats: &[i16]) -> Vec<Described> {
    let format = |i: usize| match formats {
        [] => 0,
        [one] => *one,
        several => several.get(i).copied().unwrap_or(0),
    };
    let fields = schema.fields.iter().enumerate();
    fields.map(|(i, f)| Described { name: f.name.to_string(), ty: PgType::of(&f.ty), format: format(i) }).collect()
}

/// Writes the rows of one batch.
pub struct RowWriter {
    columns: Vec<Column>,
    local: LocalTime,
}

struct Column {
    array: ArrayRef,
    ty: LogicalType,
    oid: u32,
    is_binary: bool,
    /// For texts that are ours and PostgreSQL's alike.
    text: Option<ColumnWriter>,
}

impl RowWriter {
    /// Errors: a column whose values do not have the layout of its type.
    pub fn new(batch: &Batch, described: &[Described], options: &TextOptions) -> Result<RowWriter> {
        let columns = batch.schema.fields.iter().zip(described).enumerate().map(|(i, (field, described))| {
            let array = batch.column(i).clone();
            let (oid, is_binary) = (described.ty.oid, described.format == 1);
            let style = match oid {
                JSON => Some(Style::Json),
                INT2 | INT4 | INT8 | NUMERIC | UUID | INET | DATE => Some(Style::Plain).filter(|_| !is_binary),
                TEXT => Some(Style::Plain),
                _ => None,
            };
            let text = style.map(|style| ColumnWriter::new(&array, &field.ty, style, options)).transpose()?;
            Ok(Column { array, ty: field.ty.clone(), oid, is_binary, text })
        });
        Ok(RowWriter { columns: columns.collect::<Result<_>>()?, local: LocalTime::new(options.zone) })
    }

    /// Appends the `DataRow` of `row`.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        message(b'D', out, |out| {
            out.extend((self.columns.len() as u16).to_be_bytes());
            for column in &self.columns {
                column.write(row, &self.local, out);
            }
        });
    }
}

impl Column {
    fn write(&self, row: usize, local: &LocalTime, out: &mut Vec<u8>) {
        if self.array.is_null(row) || matches!(plain(&self.ty), LogicalType::Nothing) {
            out.extend((-1i32).to_be_bytes());
            return;
        }
        let at = out.len();
        out.extend([0; 4]);
        match &self.text {
            Some(text) => {
                text.write(row, out);
                make_utf8(at + 4, out);
            }
            None => {
                let value = value_at(&self.array, &self.ty, row);
                match self.is_binary {
                    true => binary(&value, &self.ty, self.oid, local, out),
                    false => text(&value, &self.ty, self.oid, local, out),
                }
            }
        }
        let length = (out.len() - at - 4) as u32;
        out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
}

/// The type without what does not change a value.
fn plain(ty: &LogicalType) -> &LogicalType {
    match ty {
        LogicalType::Nullable(t) | LogicalType::LowCardinality(t) => plain(t),
        LogicalType::SimpleAggregateFunction { arg, .. } => plain(arg),
        ty => ty,
    }
}

/// A text of PostgreSQL is UTF-8 and has no zeros: those that fill a `fixed_string` are left out, and what is no character
/// becomes U+FFFD.
fn make_utf8(from: usize, out: &mut Vec<u8>) {
    let bytes = &out[from..];
    if !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok() {
        return;
    }
    let text = String::from_utf8_lossy(bytes).replace('\0', "");
    out.truncate(from);
    out.extend(text.bytes());
}

fn text(value: &Value, ty: &LogicalType, oid: u32, local: &LocalTime, out: &mut Vec<u8>) {
    let ty = plain(ty);
    match value {
        Value::Bool(b) => out.push(if *b { b't' } else { b'f' }),
        Value::Float32(v) => float(f64::from(*v), &v.to_string(), out),
        Value::Float64(v) => float(*v, &v.to_string(), out),
        Value::Time(ticks) => {
            let micros = micros(*ticks, ty);
            write_time(wall(micros, ty, local), out);
            if oid == TIMESTAMPTZ {
                out.extend(b"+00");
            }
        }
        Value::Date(days) => write_date(*days, out),
        Value::Bytes(bytes) if oid == BYTEA => {
            out.extend(b"\\x");
            bytes.iter().for_each(|b| {
                let _ = write!(out, "{b:02x}");
            });
        }
        Value::Array(items) => {
            let (element_ty, element) = element(ty, oid);
            out.push(b'{');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                match item {
                    Value::Null => out.extend(b"NULL"),
                    item => {
                        let mut one = Vec::new();
                        text(item, element_ty, element, local, &mut one);
                        quote_element(&one, out);
                    }
                }
            }
            out.push(b'}');
        }
        other => {
            let one = hydron_types::array_of(other, ty, 1);
            let options = TextOptions { zone: local.zone(), ..TextOptions::default() };
            let from = out.len();
            // A value that its own type cannot hold is a bug of who made it; an empty text is no worse.
            let _ = one.and_then(|one| hydron_types::write_text(&one, ty, 0, Style::Plain, &options, out));
            make_utf8(from, out);
        }
    }
}

/// Type and number of an array's elements.
fn element(ty: &LogicalType, array: u32) -> (&LogicalType, u32) {
    let ty = match ty {
        LogicalType::Array(t) => t,
        ty => ty,
    };
    (ty, element_of(array).unwrap_or(TEXT))
}

fn quote_element(text: &[u8], out: &mut Vec<u8>) {
    let is_special = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'{' | b'}' | b',' | b'"' | b'\\');
    if !text.is_empty() && !text.eq_ignore_ascii_case(b"null") && !text.iter().any(is_special) {
        out.extend(text);
        return;
    }
    out.push(b'"');
    for b in text {
        if matches!(b, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*b);
    }
    out.push(b'"');
}

fn float(value: f64, text: &str, out: &mut Vec<u8>) {
    match value {
        v if v.is_nan() => out.extend(b"NaN"),
        f64::INFINITY => out.extend(b"Infinity"),
        f64::NEG_INFINITY => out.extend(b"-Infinity"),
        _ => out.extend(text.bytes()),
    }
}

/// Microseconds since 1970.
fn micros(ticks: i64, ty: &LogicalType) -> i64 {
    let digits = match ty {
        LogicalType::DateTime64(scale, _) => digits_of_unit(unit_of_scale(*scale)),
        _ => digits_of_unit(unit_of_scale(0)),
    };
    rescale(ticks, digits, 6).unwrap_or(i64::MAX)
}

/// What a clock shows: in UTC for a type that names its zone, otherwise in the session's.
fn wall(micros: i64, ty: &LogicalType, local: &LocalTime) -> i64 {
    let is_utc = matches!(ty, LogicalType::DateTime(Some(_)) | LogicalType::DateTime64(_, Some(_)));
    if is_utc || local.zone() == Zone::UTC {
        return micros;
    }
    local.to_local(micros.div_euclid(1_000_000)) * 1_000_000 + micros.rem_euclid(1_000_000)
}

pub(super) fn write_date(days: i32, out: &mut Vec<u8>) {
    let civil = civil_from_days(days);
    let _ = write!(out, "{:04}-{:02}-{:02}", civil.year, civil.month, civil.day);
}

/// `2000-01-01 00:00:00`, with as many digits after it as there are.
pub(super) fn write_time(micros: i64, out: &mut Vec<u8>) {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    write_date(seconds.div_euclid(86_400) as i32, out);
    let second = seconds.rem_euclid(86_400);
    let _ = write!(out, " {:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60);
    if fraction > 0 {
        let digits = format!("{fraction:06}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
}

fn binary(value: &Value, ty: &LogicalType, oid: u32, local: &LocalTime, out: &mut Vec<u8>) {
    let ty = plain(ty);
    let int = value.as_i64().unwrap_or_default();
    match (oid, value) {
        (BOOL, _) => out.push(u8::from(int != 0)),
        // The type was chosen to hold the value.
        (INT2, _) => out.extend((int as i16).to_be_bytes()),
        (INT4, _) => out.extend((int as i32).to_be_bytes()),
        (INT8, _) => out.extend(int.to_be_bytes()),
        (FLOAT4, Value::Float32(v)) => out.extend(v.to_be_bytes()),
        (FLOAT8, Value::Float64(v)) => out.extend(v.to_be_bytes()),
        (DATE, Value::Date(days)) => out.extend((days - EPOCH_DAYS).to_be_bytes()),
        (TIMESTAMP | TIMESTAMPTZ, Value::Time(ticks)) => {
            let micros = wall(micros(*ticks, ty), ty, local);
            out.extend((micros - EPOCH_SECONDS * 1_000_000).to_be_bytes());
        }
        (UUID, Value::Uuid(bytes)) => out.extend(bytes),
        (BYTEA, Value::Bytes(bytes)) => out.extend(bytes),
        (INET, Value::UInt(address)) => {
            out.extend([2, 32, 0, 4]);
            out.extend((*address as u32).to_be_bytes());
        }
        (INET, Value::Ipv6(address)) => {
            out.extend([3, 128, 0, 16]);
            out.extend(address);
        }
        (_, Value::Array(items)) => {
            let (element_ty, element) = element(ty, oid);
            let has_nulls = items.iter().any(Value::is_null);
            out.extend(i32::from(!items.is_empty()).to_be_bytes());
            out.extend(i32::from(has_nulls).to_be_bytes());
            out.extend(element.to_be_bytes());
            if items.is_empty() {
                return;
            }
            out.extend((items.len() as u32).to_be_bytes());
            out.extend(1u32.to_be_bytes());
            for item in items {
                if item.is_null() {
                    out.extend((-1i32).to_be_bytes());
                    continue;
                }
                let at = out.len();
                out.extend([0; 4]);
                binary(item, element_ty, element, local, out);
                let length = (out.len() - at - 4) as u32;
                out[at..at + 4].copy_from_slice(&length.to_be_bytes());
            }
        }
        (NUMERIC, _) => {
            let mut digits = Vec::new();
            text(value, ty, NUMERIC, local, &mut digits);
            numeric(&digits, out);
        }
        _ => text(value, ty, oid, local, out),
    }
}

/// `-12.50` in groups of four digits, each of two bytes.
fn numeric(text: &[u8], out: &mut Vec<u8>) {
    let is_negative = text.first() == Some(&b'-');
    let text = if is_negative { &text[1..] } else { text };
    let point = text.iter().position(|b| *b == b'.').unwrap_or(text.len());
    let (whole, fraction) = (&text[..point], text.get(point + 1..).unwrap_or_default());
    let mut digits = vec![b'0'; (4 - whole.len() % 4) % 4];
    digits.extend(whole);
    let groups_before = digits.len() / 4;
    digits.extend(fraction);
    digits.resize(digits.len().next_multiple_of(4), b'0');
    let groups: Vec<i16> =
        digits.chunks(4).map(|g| g.iter().fold(0, |n, b| n * 10 + i16::from(b.saturating_sub(b'0')))).collect();
    let first = groups.iter().position(|g| *g != 0).unwrap_or(groups.len());
    let last = groups.iter().rposition(|g| *g != 0).map_or(first, |i| i + 1);
    let weight = if first == groups.len() { 0 } else { groups_before as i16 - first as i16 - 1 };
    out.extend(((last - first) as u16).to_be_bytes());
    out.extend(weight.to_be_bytes());
    out.extend(if is_negative { 0x4000u16 } else { 0 }.to_be_bytes());
    out.extend((fraction.len() as u16).to_be_bytes());
    groups[first..last].iter().for_each(|g| out.extend(g.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_types::parse_type;

    fn shown(value: Value, ty: &str) -> String {
        let ty = parse_type(ty).unwrap();
        let mut out = Vec::new();
        text(&value, &ty, PgType::of(&ty).oid, &LocalTime::new(Zone::UTC), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn bytes(value: Value, ty: &str) -> Vec<u8> {
        let ty = parse_type(ty).unwrap();
        let mut out = Vec::new();
        binary(&value, &ty, PgType::of(&ty).oid, &LocalTime::new(Zone::UTC), &mut out);
        out
    }

    #[test]
    fn texts_are_those_of_postgresql() {
        assert_eq!(shown(Value::Bool(true), "bool"), "t");
        assert_eq!(shown(Value::Float64(f64::INFINITY), "float64"), "Infinity");
        assert_eq!(shown(Value::Time(1_500), "datetime64(3, 'UTC')"), "1970-01-01 00:00:01.5+00");
        assert_eq!(shown(Value::Time(-1), "datetime64(3)"), "1969-12-31 23:59:59.999");
        let items = [Value::string("a"), Value::string(""), Value::string("b \"c"), Value::string("null"), Value::Null];
        assert_eq!(shown(Value::Array(items.to_vec()), "array(string)"), r#"{a,"","b \"c","null",NULL}"#);
        assert_eq!(shown(Value::Array(vec![Value::UInt(u64::MAX)]), "array(uint64)"), "{18446744073709551615}");
    }

    #[test]
    fn binary_forms_are_those_of_postgresql() {
        assert_eq!(bytes(Value::UInt(255), "uint8"), [0, 255]);
        assert_eq!(bytes(Value::Time(EPOCH_SECONDS), "datetime('UTC')"), [0; 8]);
        assert_eq!(bytes(Value::Date(EPOCH_DAYS + 1), "date"), [0, 0, 0, 1]);
        assert_eq!(bytes(Value::UInt(10_000), "uint64"), [0, 1, 0, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(bytes(Value::UInt(0), "uint64"), [0; 8]);
        let decimal = Value::Decimal(arrow::datatypes::i256::from_i128(-125_000));
        // -12.5: one digit before the point and one after, two digits shown or one.
        assert_eq!(bytes(decimal, "decimal(9, 4)")[..6], [0, 2, 0, 0, 0x40, 0]);
        let items = Value::Array(vec![Value::Int(1), Value::Null]);
        let expected =
            [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 23, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1, 255, 255, 255, 255];
        assert_eq!(bytes(items, "array(nullable(int32))"), expected);
    }

    #[test]
    fn every_type_has_one() {
        for (ty, oid) in [
            ("uint64", NUMERIC),
            ("array(int8)", 1005),
            ("array(array(int8))", JSON),
            ("map(string, int8)", JSON),
            ("nullable(uuid)", UUID),
            ("low_cardinality(string)", TEXT),
            ("datetime", TIMESTAMP),
            ("datetime64(3, 'UTC')", TIMESTAMPTZ),
        ] {
            assert_eq!(PgType::of(&parse_type(ty).unwrap()).oid, oid, "{ty}");
        }
        assert_eq!(PgType::of(&parse_type("decimal(9, 4)").unwrap()).modifier, (9 << 16 | 4) + 4);
    }
}
