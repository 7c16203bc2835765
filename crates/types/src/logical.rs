//! The types a user names. They live in bound plans and in our own schemas, never in Arrow metadata.

use crate::time::Zone;
use std::fmt;
use std::sync::Arc;

/// A type as Proton knows it. `Display` prints the canonical lower-case name that `to_type_name` and clients see.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogicalType {
    /// The type of `NULL` alone and of the elements of `[]`.
    Nothing,
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Int128,
    Int256,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    UInt128,
    UInt256,
    Float32,
    Float64,
    /// `precision` 1..=76 chooses the width: 9, 18, 38, 76 digits in 32, 64, 128, 256 bits.
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// Bytes, as in ClickHouse; no character set is checked.
    String,
    FixedString(u32),
    /// Days since 1970, 1970..=2149 (`date`, two bytes on the wire).
    Date,
    /// Days since 1970, 1900..=2299.
    Date32,
    /// Seconds since 1970 in 32 bits. `None`: the server's zone.
    DateTime(Option<Zone>),
    /// Ticks of 10^-scale seconds since 1970, scale 0..=9.
    DateTime64(u8, Option<Zone>),
    Ipv4,
    Ipv6,
    Uuid,
    Enum8(Arc<EnumNames>),
    Enum16(Arc<EnumNames>),
    Array(Box<LogicalType>),
    /// Elements with their names; `None` for a tuple without names.
    Tuple(Arc<[(Option<Arc<str>>, LogicalType)]>),
    Map(Box<LogicalType>, Box<LogicalType>),
    /// Kept for DESCRIBE and CREATE; a stream stores it as parallel arrays `name.element`.
    Nested(Arc<[(Arc<str>, LogicalType)]>),
    Nullable(Box<LogicalType>),
    /// Inside the engine this is the inner type; the name is kept for clients.
    LowCardinality(Box<LogicalType>),
    Json,
    Interval(IntervalUnit),
    AggregateFunction {
        name: Arc<str>,
        args: Arc<[LogicalType]>,
    },
    SimpleAggregateFunction {
        name: Arc<str>,
        arg: Box<LogicalType>,
    },
}

/// Names of an enum, in order of their values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EnumNames {
    /// Sorted by value.
    pub pairs: Vec<(Arc<str>, i16)>,
}

impl EnumNames {
    pub fn value_of(&self, name: &[u8]) -> Option<i16> {
        self.pairs.iter().find(|(n, _)| n.as_bytes() == name).map(|(_, v)| *v)
    }

    pub fn name_of(&self, value: i16) -> Option<&Arc<str>> {
        self.pairs.binary_search_by_key(&value, |(_, v)| *v).ok().map(|i| &self.pairs[i].0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IntervalUnit {
    Nanosecond,
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl IntervalUnit {
    /// The singular keyword, as in `INTERVAL 1 second`.
    pub fn name(self) -> &'static str {
        match self {
            IntervalUnit::Nanosecond => "nanosecond",
            IntervalUnit::Microsecond => "microsecond",
            IntervalUnit::Millisecond => "millisecond",
            IntervalUnit::Second => "second",
            IntervalUnit::Minute => "minute",
            IntervalUnit::Hour => "hour",
            IntervalUnit::Day => "day",
            IntervalUnit::Week => "week",
            IntervalUnit::Month => "month",
            IntervalUnit::Quarter => "quarter",
            IntervalUnit::Year => "year",
        }
    }

    /// Nanoseconds in one unit; `None` for month, quarter and year, whose length the calendar decides.
    pub fn nanoseconds(self) -> Option<i64> {
        Some(match self {
            IntervalUnit::Nanosecond => 1,
            IntervalUnit::Microsecond => 1_000,
            IntervalUnit::Millisecond => 1_000_000,
            IntervalUnit::Second => 1_000_000_000,
            IntervalUnit::Minute => 60_000_000_000,
            IntervalUnit::Hour => 3_600_000_000_000,
            IntervalUnit::Day => 86_400_000_000_000,
            IntervalUnit::Week => 604_800_000_000_000,
            IntervalUnit::Month | IntervalUnit::Quarter | IntervalUnit::Year => return None,
        })
    }

    /// Months in one unit; `None` for the units of fixed length.
    pub fn months(self) -> Option<i64> {
        Some(match self {
            IntervalUnit::Month => 1,
            IntervalUnit::Quarter => 3,
            IntervalUnit::Year => 12,
            _ => return None,
        })
    }
}

impl LogicalType {
    pub fn nullable(inner: LogicalType) -> LogicalType {
        if inner.is_nullable() { inner } else { LogicalType::Nullable(Box::new(inner)) }
    }

    pub fn array(inner: LogicalType) -> LogicalType {
        LogicalType::Array(Box::new(inner))
    }

    pub fn tuple(elements: impl IntoIterator<Item = LogicalType>) -> LogicalType {
        LogicalType::Tuple(elements.into_iter().map(|t| (None, t)).collect())
    }

    /// `nullable(T)` or `low_cardinality(nullable(T))`, or the type of NULL itself.
    pub fn is_nullable(&self) -> bool {
        match self {
            LogicalType::Nullable(_) | LogicalType::Nothing => true,
            LogicalType::LowCardinality(t) => t.is_nullable(),
            _ => false,
        }
    }

    /// The type without `nullable` and `low_cardinality` around it.
    pub fn bare(&self) -> &LogicalType {
        match self {
            LogicalType::Nullable(t) | LogicalType::LowCardinality(t) => t.bare(),
            t => t,
        }
    }

    /// The type without `low_cardinality` around it.
    pub fn without_low_cardinality(&self) -> &LogicalType {
        match self {
            LogicalType::LowCardinality(t) => t,
            t => t,
        }
    }

    pub fn is_signed_integer(&self) -> bool {
        use LogicalType::*;
        matches!(self, Int8 | Int16 | Int32 | Int64 | Int128 | Int256)
    }

    pub fn is_unsigned_integer(&self) -> bool {
        use LogicalType::*;
        matches!(self, UInt8 | UInt16 | UInt32 | UInt64 | UInt128 | UInt256)
    }

    pub fn is_integer(&self) -> bool {
        self.is_signed_integer() || self.is_unsigned_integer()
    }

    pub fn is_float(&self) -> bool {
        matches!(self, LogicalType::Float32 | LogicalType::Float64)
    }

    pub fn is_decimal(&self) -> bool {
        matches!(self, LogicalType::Decimal { .. })
    }

    /// Integer, float or decimal; not bool.
    pub fn is_number(&self) -> bool {
        self.is_integer() || self.is_float() || self.is_decimal()
    }

    pub fn is_string_like(&self) -> bool {
        matches!(self, LogicalType::String | LogicalType::FixedString(_))
    }

    pub fn is_date_or_time(&self) -> bool {
        use LogicalType::*;
        matches!(self, Date | Date32 | DateTime(_) | DateTime64(..))
    }

    /// Bits of an integer or float type.
    pub fn bits(&self) -> Option<u32> {
        use LogicalType::*;
        Some(match self {
            Bool | Int8 | UInt8 => 8,
            Int16 | UInt16 => 16,
            Int32 | UInt32 | Float32 => 32,
            Int64 | UInt64 | Float64 => 64,
            Int128 | UInt128 => 128,
            Int256 | UInt256 => 256,
            _ => return None,
        })
    }

    /// The integer type of this many bits: 8, 16, 32, 64, 128 or 256.
    pub fn integer(signed: bool, bits: u32) -> LogicalType {
        use LogicalType::*;
        match (signed, bits) {
            (true, 8) => Int8,
            (true, 16) => Int16,
            (true, 32) => Int32,
            (true, 64) => Int64,
            (true, 128) => Int128,
            (true, _) => Int256,
            (false, 8) => UInt8,
            (false, 16) => UInt16,
            (false, 32) => UInt32,
            (false, 64) => UInt64,
            (false, 128) => UInt128,
            (false, _) => UInt256,
        }
    }
}

impl fmt::Display for LogicalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use LogicalType::*;
        match self {
            Nothing => write!(f, "nothing"),
            Bool => write!(f, "bool"),
            Int8 => write!(f, "int8"),
            Int16 => write!(f, "int16"),
            Int32 => write!(f, "int32"),
            Int64 => write!(f, "int64"),
            Int128 => write!(f, "int128"),
            Int256 => write!(f, "int256"),
            UInt8 => write!(f, "uint8"),
            UInt16 => write!(f, "uint16"),
            UInt32 => write!(f, "uint32"),
            UInt64 => write!(f, "uint64"),
            UInt128 => write!(f, "uint128"),
            UInt256 => write!(f, "uint256"),
            Float32 => write!(f, "float32"),
            Float64 => write!(f, "float64"),
            Decimal { precision, scale } => write!(f, "decimal({precision}, {scale})"),
            String => write!(f, "string"),
            FixedString(n) => write!(f, "fixed_string({n})"),
            Date => write!(f, "date"),
            Date32 => write!(f, "date32"),
            DateTime(None) => write!(f, "datetime"),
            DateTime(Some(z)) => write!(f, "datetime('{z}')"),
            DateTime64(s, None) => write!(f, "datetime64({s})"),
            DateTime64(s, Some(z)) => write!(f, "datetime64({s}, '{z}')"),
            Ipv4 => write!(f, "ipv4"),
            Ipv6 => write!(f, "ipv6"),
            Uuid => write!(f, "uuid"),
            Enum8(names) => write_enum(f, "enum8", names),
            Enum16(names) => write_enum(f, "enum16", names),
            Array(t) => write!(f, "array({t})"),
            Tuple(elements) => {
                write!(f, "tuple(")?;
                for (i, (name, t)) in elements.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    match name {
                        Some(name) => write!(f, "{comma}{} {t}", identifier(name))?,
                        None => write!(f, "{comma}{t}")?,
                    }
                }
                write!(f, ")")
            }
            Map(k, v) => write!(f, "map({k}, {v})"),
            Nested(elements) => {
                write!(f, "nested(")?;
                for (i, (name, t)) in elements.iter().enumerate() {
                    write!(f, "{}{} {t}", if i == 0 { "" } else { ", " }, identifier(name))?;
                }
                write!(f, ")")
            }
            Nullable(t) => write!(f, "nullable({t})"),
            LowCardinality(t) => write!(f, "low_cardinality({t})"),
            Json => write!(f, "json"),
            Interval(unit) => write!(f, "interval_{}", unit.name()),
            AggregateFunction { name, args } => {
                write!(f, "aggregate_function({name}")?;
                args.iter().try_for_each(|t| write!(f, ", {t}"))?;
                write!(f, ")")
            }
            SimpleAggregateFunction { name, arg } => write!(f, "simple_aggregate_function({name}, {arg})"),
        }
    }
}

fn write_enum(f: &mut fmt::Formatter<'_>, kind: &str, names: &EnumNames) -> fmt::Result {
    write!(f, "{kind}(")?;
    for (i, (name, value)) in names.pairs.iter().enumerate() {
        let escaped = name.replace('\\', "\\\\").replace('\'', "\\'");
        write!(f, "{}'{escaped}' = {value}", if i == 0 { "" } else { ", " })?;
    }
    write!(f, ")")
}

/// The name as it must be written in SQL: quoted with back-ticks unless it is a plain word.
pub fn identifier(name: &str) -> std::borrow::Cow<'_, str> {
    let plain =
        name.bytes().enumerate().all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit()));
    if plain && !name.is_empty() {
        name.into()
    } else {
        format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`")).into()
    }
}
