//! Columns to text.

use super::address::{write_ipv4, write_ipv6, write_uuid};
use super::number::{write_decimal, write_decimal256, write_f32, write_f64};
use super::{Style, TextOptions, TimeOutput};
use crate::column::array_of;
use crate::datetext::{write_days, write_fraction, write_offset, write_wall};
use crate::logical::{EnumNames, LogicalType};
use crate::physical::{digits_of_unit, unit_of_scale};
use crate::time::{DATE_DAY_MAX, LocalTime};
use crate::value::Value;
use crate::wide::{pow10_i64, u128_from, u256_from, write_i256};
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::*;
use hydron_base::Result;
use std::sync::Arc;

/// Writes the values of one column; what depends on type, style and options is decided once.
pub struct ColumnWriter {
    nulls: Option<NullBuffer>,
    null_text: Arc<str>,
    /// Written before and after a value that is not NULL.
    quote: Option<u8>,
    kind: Kind,
}

enum Kind {
    Null,
    Bool(BooleanArray, Arc<str>, Arc<str>),
    I8(ScalarBuffer<i8>),
    I16(ScalarBuffer<i16>),
    I32(ScalarBuffer<i32>),
    I64(ScalarBuffer<i64>),
    U8(ScalarBuffer<u8>),
    U16(ScalarBuffer<u16>),
    U32(ScalarBuffer<u32>),
    U64(ScalarBuffer<u64>),
    I128(ScalarBuffer<i128>),
    I256(ScalarBuffer<i256>),
    UWide(FixedSizeBinaryArray),
    F32(ScalarBuffer<f32>, Special),
    F64(ScalarBuffer<f64>, Special),
    Decimal32(ScalarBuffer<i32>, u8, bool),
    Decimal64(ScalarBuffer<i64>, u8, bool),
    Decimal128(ScalarBuffer<i128>, u8, bool),
    Decimal256(ScalarBuffer<i256>, u8, bool),
    Bytes(BinaryArray, Escape),
    Fixed(FixedSizeBinaryArray, Escape),
    Date {
        days: ScalarBuffer<i32>,
        small: bool,
    },
    Time(TimeWriter),
    Enum8(ScalarBuffer<i8>, Arc<EnumNames>, Escape),
    Enum16(ScalarBuffer<i16>, Arc<EnumNames>, Escape),
    Ipv4(ScalarBuffer<u32>),
    Ipv6(FixedSizeBinaryArray),
    Uuid(FixedSizeBinaryArray),
    Array(OffsetBuffer<i32>, Box<ColumnWriter>),
    Tuple {
        open: u8,
        close: u8,
        separator: u8,
        elements: Vec<(Vec<u8>, ColumnWriter)>,
    },
    Map(OffsetBuffer<i32>, Box<ColumnWriter>, Box<ColumnWriter>),
    /// A composite value whose text becomes one quoted field or string.
    Wrapped(Box<ColumnWriter>, Escape),
}

/// What infinities and NaN become.
#[derive(Clone, Copy, PartialEq)]
enum Special {
    Plain,
    JsonNull,
    JsonString,
}

/// How bytes are made safe.
#[derive(Clone, Copy, PartialEq)]
enum Escape {
    None,
    /// TSV, where `'` too has a backslash.
    Tsv,
    /// In single quotes.
    Sql,
    /// In double quotes, doubled.
    Csv,
    Json {
        slashes: bool,
    },
}

struct TimeWriter {
    ticks: ScalarBuffer<i64>,
    local: LocalTime,
    /// Decimal digits of the ticks and of the text.
    tick_digits: u8,
    digits: u8,
    output: TimeOutput,
    /// `Z` or `±hh:mm` follows.
    suffix: bool,
}

impl ColumnWriter {
    /// A writer for all rows of `array`, which has the layout of `ty`.
    pub fn new(array: &ArrayRef, ty: &LogicalType, style: Style, options: &TextOptions) -> Result<ColumnWriter> {
        ColumnWriter::nested(array, ty, style, options, true)
    }

    fn nested(
        array: &ArrayRef,
        ty: &LogicalType,
        style: Style,
        options: &TextOptions,
        top: bool,
    ) -> Result<ColumnWriter> {
        use LogicalType as T;
        let kind = kind_of(array, ty.bare(), style, options, top)?;
        let null_text = match style {
            Style::Escaped => Arc::clone(&options.tsv_null),
            Style::Csv => Arc::clone(&options.csv_null),
            Style::Plain | Style::Quoted => "NULL".into(),
            Style::Json => "null".into(),
        };
        let quote = match (ty.bare(), style) {
            (T::Date | T::Date32 | T::DateTime(_) | T::DateTime64(..) | T::Uuid | T::Ipv4 | T::Ipv6, _) => {
                match style {
                    // A unix timestamp is a number.
                    _ if is_unix(ty.bare(), options) && style != Style::Json => None,
                    Style::Quoted => Some(b'\''),
                    Style::Csv | Style::Json => Some(b'"'),
                    Style::Plain | Style::Escaped => None,
                }
            }
            (T::Int64 | T::UInt64 | T::Interval(_), Style::Json) => options.json_quote_64bit_integers.then_some(b'"'),
            (T::Int128 | T::Int256 | T::UInt128 | T::UInt256, Style::Json) => Some(b'"'),
            (T::Float64, Style::Json) => options.json_quote_64bit_floats.then_some(b'"'),
            (T::Decimal { .. }, Style::Json) => options.json_quote_decimals.then_some(b'"'),
            _ => None,
        };
        let nulls = if array.data_type() == &DataType::Null { None } else { array.nulls().cloned() };
        Ok(ColumnWriter { nulls, null_text, quote, kind })
    }

    pub fn is_null(&self, row: usize) -> bool {
        matches!(self.kind, Kind::Null) || self.nulls.as_ref().is_some_and(|n| n.is_null(row))
    }

    /// Appends the text of the value in `row`.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            return out.extend_from_slice(self.null_text.as_bytes());
        }
        if let Some(quote) = self.quote {
            out.push(quote);
            self.write_value(row, out);
            out.push(quote);
        } else {
            self.write_value(row, out);
        }
    }

    fn write_value(&self, row: usize, out: &mut Vec<u8>) {
        macro_rules! integer {
            ($v:expr) => {
                out.extend_from_slice(itoa::Buffer::new().format($v).as_bytes())
            };
        }
        match &self.kind {
            Kind::Null => out.extend_from_slice(self.null_text.as_bytes()),
            Kind::Bool(a, t, f) => out.extend_from_slice(if a.value(row) { t.as_bytes() } else { f.as_bytes() }),
            Kind::I8(v) => integer!(v[row]),
            Kind::I16(v) => integer!(v[row]),
            Kind::I32(v) => integer!(v[row]),
            Kind::I64(v) => integer!(v[row]),
            Kind::U8(v) => integer!(v[row]),
            Kind::U16(v) => integer!(v[row]),
            Kind::U32(v) => integer!(v[row]),
            Kind::U64(v) => integer!(v[row]),
            Kind::I128(v) => integer!(v[row]),
            Kind::I256(v) => write_i256(v[row], false, out),
            Kind::UWide(a) => {
                let bytes = a.value(row);
                let v = if bytes.len() == 16 { u128_from(bytes) } else { u256_from(bytes) };
                write_i256(v, true, out);
            }
            Kind::F32(v, special) => match v[row] {
                v if v.is_finite() || *special == Special::Plain => write_f32(v, out),
                v => write_special(v.into(), *special, out),
            },
            Kind::F64(v, special) => match v[row] {
                v if v.is_finite() || *special == Special::Plain => write_f64(v, out),
                v => write_special(v, *special, out),
            },
            Kind::Decimal32(v, scale, zeros) => write_decimal(v[row].into(), *scale, *zeros, out),
            Kind::Decimal64(v, scale, zeros) => write_decimal(v[row].into(), *scale, *zeros, out),
            Kind::Decimal128(v, scale, zeros) => write_decimal(v[row], *scale, *zeros, out),
            Kind::Decimal256(v, scale, zeros) => write_decimal256(v[row], *scale, *zeros, out),
            Kind::Bytes(a, escape) => escape.write(a.value(row), out),
            Kind::Fixed(a, escape) => escape.write(a.value(row), out),
            Kind::Date { days, small } => {
                write_days(if *small { days[row].clamp(0, DATE_DAY_MAX) } else { days[row] }, out)
            }
            Kind::Time(writer) => writer.write(row, out),
            Kind::Enum8(v, names, escape) => escape.write(name_of(names, v[row].into()), out),
            Kind::Enum16(v, names, escape) => escape.write(name_of(names, v[row]), out),
            Kind::Ipv4(v) => write_ipv4(v[row], out),
            Kind::Ipv6(a) => write_ipv6(a.value(row), out),
            Kind::Uuid(a) => write_uuid(a.value(row), out),
            Kind::Array(offsets, items) => {
                out.push(b'[');
                for i in offsets[row]..offsets[row + 1] {
                    if i > offsets[row] {
                        out.push(b',');
                    }
                    items.write(i as usize, out);
                }
                out.push(b']');
            }
            Kind::Tuple { open, close, separator, elements } => {
                if *open != 0 {
                    out.push(*open);
                }
                for (i, (name, element)) in elements.iter().enumerate() {
                    if i > 0 {
                        out.push(*separator);
                    }
                    out.extend_from_slice(name);
                    element.write(row, out);
                }
                if *close != 0 {
                    out.push(*close);
                }
            }
            Kind::Map(offsets, keys, values) => {
                out.push(b'{');
                for i in offsets[row]..offsets[row + 1] {
                    if i > offsets[row] {
                        out.push(b',');
                    }
                    keys.write(i as usize, out);
                    out.push(b':');
                    values.write(i as usize, out);
                }
                out.push(b'}');
            }
            Kind::Wrapped(inner, escape) => {
                let mut text = Vec::new();
                inner.write(row, &mut text);
                escape.write(&text, out);
            }
        }
    }
}

fn is_unix(ty: &LogicalType, options: &TextOptions) -> bool {
    options.time_output == TimeOutput::UnixTimestamp
        && matches!(ty, LogicalType::DateTime(_) | LogicalType::DateTime64(..))
}

fn name_of(names: &EnumNames, value: i16) -> &[u8] {
    names.name_of(value).map_or(b"", |n| n.as_bytes())
}

fn write_special(v: f64, special: Special, out: &mut Vec<u8>) {
    if special == Special::JsonNull {
        return out.extend_from_slice(b"null");
    }
    out.push(b'"');
    write_f64(v, out);
    out.push(b'"');
}

fn kind_of(array: &ArrayRef, ty: &LogicalType, style: Style, options: &TextOptions, top: bool) -> Result<Kind> {
    use LogicalType as T;
    let a = array.as_ref();
    if a.data_type() == &DataType::Null {
        return Ok(Kind::Null);
    }
    macro_rules! values {
        ($t:ty) => {
            a.as_primitive::<$t>().values().clone()
        };
    }
    let escape = match style {
        Style::Plain => Escape::None,
        Style::Escaped => Escape::Tsv,
        Style::Quoted => Escape::Sql,
        Style::Csv => Escape::Csv,
        Style::Json => Escape::Json { slashes: options.json_escape_forward_slashes },
    };
    let special = match style {
        Style::Json if options.json_quote_denormals => Special::JsonString,
        Style::Json => Special::JsonNull,
        _ => Special::Plain,
    };
    let zeros = options.decimal_trailing_zeros;
    // In TSV, CSV and `to_string`, what stands inside a composite is written as in SQL.
    let inner = if style == Style::Json { Style::Json } else { Style::Quoted };
    // The text of a composite is one field: CSV quotes it as a whole.
    let wrap = |kind: Kind, array: &ArrayRef| -> Kind {
        if style != Style::Csv || !top {
            return kind;
        }
        let nulls = array.nulls().cloned();
        Kind::Wrapped(Box::new(ColumnWriter { nulls, null_text: "NULL".into(), quote: None, kind }), Escape::Csv)
    };
    Ok(match ty {
        T::Nothing | T::Nullable(_) | T::LowCardinality(_) => Kind::Null,
        T::SimpleAggregateFunction { arg, .. } => return kind_of(array, arg.bare(), style, options, top),
        T::Bool => {
            let (t, f) = match style {
                Style::Escaped | Style::Csv => (Arc::clone(&options.bool_true), Arc::clone(&options.bool_false)),
                Style::Plain if top => (Arc::clone(&options.bool_true), Arc::clone(&options.bool_false)),
                _ => ("true".into(), "false".into()),
            };
            Kind::Bool(a.as_boolean().clone(), t, f)
        }
        T::Int8 => Kind::I8(values!(Int8Type)),
        T::Int16 => Kind::I16(values!(Int16Type)),
        T::Int32 => Kind::I32(values!(Int32Type)),
        T::Int64 | T::Interval(_) => Kind::I64(values!(Int64Type)),
        T::UInt8 => Kind::U8(values!(UInt8Type)),
        T::UInt16 => Kind::U16(values!(UInt16Type)),
        T::UInt32 => Kind::U32(values!(UInt32Type)),
        T::UInt64 => Kind::U64(values!(UInt64Type)),
        T::Int128 => Kind::I128(values!(Decimal128Type)),
        T::Int256 => Kind::I256(values!(Decimal256Type)),
        T::UInt128 | T::UInt256 => Kind::UWide(a.as_fixed_size_binary().clone()),
        T::Float32 => Kind::F32(values!(Float32Type), special),
        T::Float64 => Kind::F64(values!(Float64Type), special),
        T::Decimal { precision, scale } => match precision {
            ..=9 => Kind::Decimal32(values!(Decimal32Type), *scale, zeros),
            10..=18 => Kind::Decimal64(values!(Decimal64Type), *scale, zeros),
            19..=38 => Kind::Decimal128(values!(Decimal128Type), *scale, zeros),
            _ => Kind::Decimal256(values!(Decimal256Type), *scale, zeros),
        },
        T::String | T::AggregateFunction { .. } => Kind::Bytes(a.as_binary::<i32>().clone(), escape),
        T::Json => {
            let escape = if style == Style::Json { Escape::None } else { escape };
            Kind::Bytes(a.as_binary::<i32>().clone(), escape)
        }
        T::FixedString(_) => Kind::Fixed(a.as_fixed_size_binary().clone(), escape),
        T::Date | T::Date32 => Kind::Date { days: values!(Date32Type), small: matches!(ty, T::Date) },
        T::DateTime(zone) => {
            let suffix = zone.is_some() && style != Style::Plain && options.time_output == TimeOutput::Simple;
            Kind::Time(TimeWriter {
                ticks: values!(TimestampSecondType),
                local: LocalTime::new(zone.unwrap_or(options.zone)),
                tick_digits: 0,
                digits: 0,
                output: options.time_output,
                suffix,
            })
        }
        T::DateTime64(scale, zone) => {
            let suffix = zone.is_some() && style != Style::Plain && options.time_output == TimeOutput::Simple;
            let unit = unit_of_scale(*scale);
            let ticks = match unit {
                TimeUnit::Second => values!(TimestampSecondType),
                TimeUnit::Millisecond => values!(TimestampMillisecondType),
                TimeUnit::Microsecond => values!(TimestampMicrosecondType),
                TimeUnit::Nanosecond => values!(TimestampNanosecondType),
            };
            let local = LocalTime::new(zone.unwrap_or(options.zone));
            Kind::Time(TimeWriter {
                ticks,
                local,
                tick_digits: digits_of_unit(unit),
                digits: *scale,
                output: options.time_output,
                suffix,
            })
        }
        T::Enum8(names) => Kind::Enum8(values!(Int8Type), Arc::clone(names), escape),
        T::Enum16(names) => Kind::Enum16(values!(Int16Type), Arc::clone(names), escape),
        T::Ipv4 => Kind::Ipv4(values!(UInt32Type)),
        T::Ipv6 => Kind::Ipv6(a.as_fixed_size_binary().clone()),
        T::Uuid => Kind::Uuid(a.as_fixed_size_binary().clone()),
        T::Array(item) => {
            let list = a.as_list::<i32>();
            let items = ColumnWriter::nested(list.values(), item, inner, options, false)?;
            wrap(Kind::Array(list.offsets().clone(), Box::new(items)), array)
        }
        T::Nested(elements) => {
            let list = a.as_list::<i32>();
            let row = T::Tuple(elements.iter().map(|(n, t)| (Some(Arc::clone(n)), t.clone())).collect());
            let items = ColumnWriter::nested(list.values(), &row, inner, options, false)?;
            wrap(Kind::Array(list.offsets().clone(), Box::new(items)), array)
        }
        T::Tuple(elements) => {
            let columns = a.as_struct().columns();
            let object = style == Style::Json
                && options.json_named_tuples_as_objects
                && elements.iter().all(|(n, _)| n.is_some());
            // CSV spreads the elements of a tuple over fields of their own.
            let spread = style == Style::Csv && top;
            let mut writers = Vec::with_capacity(elements.len());
            for ((name, t), column) in elements.iter().zip(columns) {
                let mut label = Vec::new();
                if let (true, Some(name)) = (object, name) {
                    escape.write(name.as_bytes(), &mut label);
                    label.push(b':');
                }
                let style = if spread { Style::Csv } else { inner };
                writers.push((label, ColumnWriter::nested(column, t, style, options, spread)?));
            }
            let (open, close) = match style {
                _ if object => (b'{', b'}'),
                Style::Json => (b'[', b']'),
                _ if spread => (0, 0),
                _ => (b'(', b')'),
            };
            let separator = if spread { options.csv_delimiter } else { b',' };
            Kind::Tuple { open, close, separator, elements: writers }
        }
        T::Map(k, v) => {
            let map = a.as_map();
            let (keys, values) = (map.keys(), map.values());
            let mut key_writer = ColumnWriter::nested(keys, k, inner, options, false)?;
            if style == Style::Json
                && key_writer.quote.is_none()
                && !matches!(k.bare(), T::String | T::FixedString(_) | T::Enum8(_) | T::Enum16(_))
            {
                // The keys of a JSON object are strings.
                key_writer.quote = Some(b'"');
            }
            let value_writer = ColumnWriter::nested(values, v, inner, options, false)?;
            wrap(Kind::Map(map.offsets().clone(), Box::new(key_writer), Box::new(value_writer)), array)
        }
    })
}

impl TimeWriter {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        let ticks = self.ticks[row];
        let per_second = pow10_i64(self.tick_digits);
        let (seconds, fraction) = (ticks.div_euclid(per_second), ticks.rem_euclid(per_second));
        let fraction = (fraction / pow10_i64(self.tick_digits - self.digits)) as u64;
        match self.output {
            TimeOutput::Simple => {
                let offset = self.local.offset_at(seconds);
                write_wall(seconds.saturating_add(offset.into()), b' ', out);
                self.write_fraction(fraction, out);
                if self.suffix {
                    write_offset(offset, out);
                }
            }
            TimeOutput::Iso => {
                write_wall(seconds, b'T', out);
                self.write_fraction(fraction, out);
                out.push(b'Z');
            }
            TimeOutput::UnixTimestamp => {
                out.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes());
                self.write_fraction(fraction, out);
            }
        }
    }

    fn write_fraction(&self, fraction: u64, out: &mut Vec<u8>) {
        if self.digits > 0 {
            out.push(b'.');
            write_fraction(fraction, self.digits, out);
        }
    }
}

impl Escape {
    fn write(self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Escape::None => out.extend_from_slice(text),
            Escape::Tsv => write_backslashed(text, out),
            Escape::Sql => {
                out.push(b'\'');
                write_backslashed(text, out);
                out.push(b'\'');
            }
            Escape::Csv => {
                out.push(b'"');
                let mut rest = text;
                while let Some(at) = rest.iter().position(|b| *b == b'"') {
                    out.extend_from_slice(&rest[..=at]);
                    out.push(b'"');
                    rest = &rest[at + 1..];
                }
                out.extend_from_slice(rest);
                out.push(b'"');
            }
            Escape::Json { slashes } => write_json_string(text, slashes, out),
        }
    }
}

/// Appends `text` with `\t \n \r \b \f \0 \\ \'` for the characters that need it.
pub fn write_backslashed(text: &[u8], out: &mut Vec<u8>) {
    let mut start = 0;
    for (i, b) in text.iter().enumerate() {
        let escaped = match b {
            b'\t' => b't',
            b'\n' => b'n',
            b'\r' => b'r',
            0x08 => b'b',
            0x0c => b'f',
            0 => b'0',
            b'\\' => b'\\',
            b'\'' => b'\'',
            _ => continue,
        };
        out.extend_from_slice(&text[start..i]);
        out.extend_from_slice(&[b'\\', escaped]);
        start = i + 1;
    }
    out.extend_from_slice(&text[start..]);
}

/// Appends `text` as a JSON string in quotes; neighbouring bytes that are not UTF-8 become one U+FFFD.
pub fn write_json_string(text: &[u8], slashes: bool, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut replaced = false;
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid().as_bytes();
        let mut start = 0;
        for (i, b) in valid.iter().enumerate() {
            let short = match b {
                b'"' => b'"',
                b'\\' => b'\\',
                b'/' if slashes => b'/',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                0x08 => b'b',
                0x0c => b'f',
                0..0x20 => 0,
                // U+2028 and U+2029 end lines in JavaScript.
                0xe2 if matches!(valid.get(i + 1..i + 3), Some([0x80, 0xa8 | 0xa9])) => 1,
                _ => continue,
            };
            out.extend_from_slice(&valid[start..i]);
            start = i + 1;
            match short {
                0 => out.extend_from_slice(format!("\\u{b:04X}").as_bytes()),
                1 => {
                    out.extend_from_slice(if valid[i + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                    start = i + 3;
                }
                short => out.extend_from_slice(&[b'\\', short]),
            }
        }
        out.extend_from_slice(&valid[start..]);
        replaced &= valid.is_empty();
        if !chunk.invalid().is_empty() && !replaced {
            out.extend_from_slice("\u{fffd}".as_bytes());
            replaced = true;
        }
    }
    out.push(b'"');
}

/// Appends the text of one value. For a whole column use [`ColumnWriter`].
pub fn write_text(
    array: &ArrayRef,
    ty: &LogicalType,
    row: usize,
    style: Style,
    options: &TextOptions,
    out: &mut Vec<u8>,
) -> Result<()> {
    ColumnWriter::new(array, ty, style, options)?.write(row, out);
    Ok(())
}

/// `value` as SQL text that reads back as the same value: `'a'`, `[1,2]`, `NULL`. Times are in UTC.
pub fn sql_literal(value: &Value, ty: &LogicalType) -> String {
    let mut out = Vec::new();
    let written =
        array_of(value, ty, 1).and_then(|a| write_text(&a, ty, 0, Style::Quoted, &TextOptions::default(), &mut out));
    match written {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(_) => "NULL".to_string(),
    }
}
