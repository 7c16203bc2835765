//! RowBinary: values in their binary form, row by row, columns one after another; numbers are little endian.
//!
//! A string is its length as a varint and its bytes; an array is its length and its elements; a nullable value has a byte
//! before it that is 1 for NULL. The headed kinds begin with the number of columns, their names, and their types.

use crate::output::OutputFormat;
use crate::rows::{FieldMap, Frame, Framed, ROW_BYTES_MAX, RowReader, Rows};
use crate::tsv::Header;
use crate::{FormatOptions, InputFormat};
use arrow::datatypes::i256;
use hydron_base::{Code, Error, Result};
use hydron_types::physical::{digits_of_unit, unit_of_scale};
use hydron_types::{Batch, LogicalType, Schema, TypeNames, Value, value_at};
use std::sync::Arc;

// Columns that a header may announce; more is a damaged header.
const COLUMNS_MAX: u64 = 1 << 20;

pub struct RowBinaryWriter {
    schema: Arc<Schema>,
    header: Header,
    names: TypeNames,
}

impl RowBinaryWriter {
    /// Errors: NOT_IMPLEMENTED for columns whose binary form is not known here.
    pub fn new(schema: &Arc<Schema>, header: Header, names: TypeNames) -> Result<RowBinaryWriter> {
        check(schema)?;
        Ok(RowBinaryWriter { schema: Arc::clone(schema), header, names })
    }
}

impl OutputFormat for RowBinaryWriter {
    fn content_type(&self) -> &'static str {
        "application/octet-stream"
    }

    fn prefix(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.header != Header::None {
            push_varint(self.schema.len() as u64, out);
            self.schema.fields.iter().for_each(|f| push_bytes(f.name.as_bytes(), out));
        }
        if self.header == Header::NamesAndTypes {
            self.schema.fields.iter().for_each(|f| push_bytes(self.names.of(&f.ty).as_bytes(), out));
        }
        Ok(())
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        for row in 0..batch.rows() {
            for (field, array) in batch.schema.fields.iter().zip(&batch.columns) {
                push_value(&value_at(array, &field.ty, row), &field.ty, out)?;
            }
        }
        Ok(())
    }

    /// A text in the middle would be taken for data: the broken end tells the reader.
    fn exception(&mut self, _: &Error, _: &mut Vec<u8>) {}
}

fn push_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    push_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Bytes of a value of fixed size.
fn width(ty: &LogicalType) -> Option<usize> {
    use LogicalType::*;
    Some(match ty {
        Bool | Int8 | UInt8 | Enum8(_) => 1,
        Int16 | UInt16 | Enum16(_) | Date => 2,
        Int32 | UInt32 | Float32 | Date32 | DateTime(_) | Ipv4 => 4,
        Int64 | UInt64 | Float64 | DateTime64(..) | Interval(_) => 8,
        Int128 | UInt128 | Uuid | Ipv6 => 16,
        Int256 | UInt256 => 32,
        Decimal { precision, .. } => match precision {
            ..=9 => 4,
            10..=18 => 8,
            19..=38 => 16,
            _ => 32,
        },
        FixedString(n) => *n as usize,
        _ => return None,
    })
}

fn check(schema: &Schema) -> Result<()> {
    fn is_known(ty: &LogicalType) -> bool {
        match ty {
            LogicalType::Array(t) | LogicalType::Nullable(t) | LogicalType::LowCardinality(t) => is_known(t),
            LogicalType::SimpleAggregateFunction { arg, .. } => is_known(arg),
            LogicalType::Tuple(elements) => elements.iter().all(|(_, t)| is_known(t)),
            LogicalType::Map(k, v) => is_known(k) && is_known(v),
            LogicalType::String | LogicalType::Json | LogicalType::Nothing => true,
            other => width(other).is_some(),
        }
    }
    match schema.fields.iter().find(|f| !is_known(&f.ty)) {
        None => Ok(()),
        Some(field) => Err(Error::not_implemented(format!("{} of column '{}' in RowBinary", field.ty, field.name))),
    }
}

/// Ticks of the Arrow unit in one tick of `scale`.
fn finer(scale: u8) -> i64 {
    10_i64.pow(u32::from(digits_of_unit(unit_of_scale(scale)) - scale))
}

/// UUIDs are two numbers of 64 bits, each little endian.
fn swap_halves(bytes: &[u8; 16]) -> [u8; 16] {
    std::array::from_fn(|i| bytes[if i < 8 { 7 - i } else { 23 - i }])
}

fn push_value(value: &Value, ty: &LogicalType, out: &mut Vec<u8>) -> Result<()> {
    match ty {
        LogicalType::LowCardinality(t) => return push_value(value, t, out),
        LogicalType::SimpleAggregateFunction { arg, .. } => return push_value(value, arg, out),
        LogicalType::Nothing => {
            out.push(1);
            return Ok(());
        }
        LogicalType::Nullable(t) => {
            out.push(u8::from(value.is_null()));
            return if value.is_null() { Ok(()) } else { push_value(value, t, out) };
        }
        _ => {}
    }
    let size = width(ty).unwrap_or(0);
    match (value, ty) {
        (Value::Bool(v), _) => out.push(u8::from(*v)),
        (Value::Int(v), _) => out.extend_from_slice(&v.to_le_bytes()[..size]),
        (Value::UInt(v), _) => out.extend_from_slice(&v.to_le_bytes()[..size]),
        (Value::Wide(v) | Value::Decimal(v), _) => out.extend_from_slice(&v.to_le_bytes()[..size]),
        (Value::Float32(v), _) => out.extend_from_slice(&v.to_le_bytes()),
        (Value::Float64(v), _) => out.extend_from_slice(&v.to_le_bytes()),
        (Value::Date(v), _) => out.extend_from_slice(&v.to_le_bytes()[..size]),
        (Value::Time(v), LogicalType::DateTime64(scale, _)) => {
            out.extend_from_slice(&v.div_euclid(finer(*scale)).to_le_bytes());
        }
        (Value::Time(v), _) => out.extend_from_slice(&v.to_le_bytes()[..size]),
        (Value::Ipv6(v), _) => out.extend_from_slice(v),
        (Value::Uuid(v), _) => out.extend_from_slice(&swap_halves(v)),
        (Value::Bytes(v), LogicalType::FixedString(_)) => out.extend_from_slice(v),
        (Value::Bytes(v), _) => push_bytes(v, out),
        (Value::Array(items), LogicalType::Array(t)) => {
            push_varint(items.len() as u64, out);
            return items.iter().try_for_each(|item| push_value(item, t, out));
        }
        (Value::Tuple(items), LogicalType::Tuple(types)) => {
            return items.iter().zip(types.iter()).try_for_each(|(item, (_, t))| push_value(item, t, out));
        }
        (Value::Map(entries), LogicalType::Map(k, v)) => {
            push_varint(entries.len() as u64, out);
            return entries.iter().try_for_each(|(key, value)| {
                push_value(key, k, out)?;
                push_value(value, v, out)
            });
        }
        _ => return Err(Error::bug(format!("{value:?} as {ty}"))),
    }
    Ok(())
}

/// Why a read stopped.
enum Stop {
    /// The value goes on at least to this offset.
    Short(usize),
    Damaged(&'static str),
}

impl Stop {
    fn error(self) -> Error {
        match self {
            Stop::Short(_) => Error::new(Code::CANNOT_READ_ALL_DATA, "RowBinary ends inside a row"),
            Stop::Damaged(what) => Error::new(Code::INCORRECT_DATA, format!("RowBinary is damaged: {what}")),
        }
    }
}

type Read<T> = std::result::Result<T, Stop>;

/// A place in the bytes at hand.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        if length > ROW_BYTES_MAX {
            return Err(Stop::Damaged("a length is beyond the limit of a row"));
        }
        let end = self.at + length;
        let taken = self.bytes.get(self.at..end).ok_or(Stop::Short(end))?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, length: usize) -> Read<[u8; N]> {
        let mut out = [0; N];
        out[..length].copy_from_slice(self.take(length)?);
        Ok(out)
    }

    fn varint(&mut self) -> Read<usize> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(number).map_err(|_| Stop::Damaged("a length is beyond the limit of a row"));
            }
        }
        Err(Stop::Damaged("a number is longer than 10 bytes"))
    }

    fn string(&mut self) -> Read<&'a [u8]> {
        let length = self.varint()?;
        self.take(length)
    }

    /// Passes over a value.
    fn skip(&mut self, ty: &LogicalType) -> Read<()> {
        match ty {
            LogicalType::LowCardinality(t) => self.skip(t),
            LogicalType::SimpleAggregateFunction { arg, .. } => self.skip(arg),
            LogicalType::Nothing => self.take(1).map(drop),
            LogicalType::Nullable(t) => match self.take(1)?[0] {
                0 => self.skip(t),
                _ => Ok(()),
            },
            LogicalType::Array(t) => (0..self.count()?).try_for_each(|_| self.skip(t)),
            LogicalType::Tuple(types) => types.iter().try_for_each(|(_, t)| self.skip(t)),
            LogicalType::Map(k, v) => (0..self.count()?).try_for_each(|_| {
                self.skip(k)?;
                self.skip(v)
            }),
            other => match width(other) {
                Some(width) => self.take(width).map(drop),
                None => self.string().map(drop),
            },
        }
    }

    /// A number of elements. Elements may be empty tuples, which take no bytes: the number alone must not keep us busy.
    fn count(&mut self) -> Read<usize> {
        let count = self.varint()?;
        if count > ROW_BYTES_MAX { Err(Stop::Damaged("a length is beyond the limit of a row")) } else { Ok(count) }
    }

    fn value(&mut self, ty: &LogicalType) -> Read<Value> {
        use LogicalType as T;
        let size = width(ty).unwrap_or(0);
        Ok(match ty {
            T::LowCardinality(t) => self.value(t)?,
            T::SimpleAggregateFunction { arg, .. } => self.value(arg)?,
            T::Nothing => {
                self.take(1)?;
                Value::Null
            }
            T::Nullable(t) => match self.take(1)?[0] {
                0 => self.value(t)?,
                _ => Value::Null,
            },
            T::Bool => Value::Bool(self.take(1)?[0] != 0),
            T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 | T::Ipv4 => {
                Value::UInt(u64::from_le_bytes(self.array(size)?))
            }
            T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Enum8(_) | T::Enum16(_) | T::Interval(_) => {
                Value::Int(self.signed(size)?)
            }
            T::Int128 => Value::Wide(i256::from_i128(i128::from_le_bytes(self.array(16)?))),
            T::UInt128 => Value::Wide(i256::from_parts(u128::from_le_bytes(self.array(16)?), 0)),
            T::Int256 | T::UInt256 => Value::Wide(i256::from_le_bytes(self.array(32)?)),
            T::Decimal { .. } => Value::Decimal(match size {
                4 | 8 => i256::from_i128(i128::from(self.signed(size)?)),
                16 => i256::from_i128(i128::from_le_bytes(self.array(16)?)),
                _ => i256::from_le_bytes(self.array(32)?),
            }),
            T::Float32 => Value::Float32(f32::from_le_bytes(self.array(4)?)),
            T::Float64 => Value::Float64(f64::from_le_bytes(self.array(8)?)),
            T::Date => Value::Date(i32::from(u16::from_le_bytes(self.array(2)?))),
            T::Date32 => Value::Date(i32::from_le_bytes(self.array(4)?)),
            T::DateTime(_) => Value::Time(i64::from(u32::from_le_bytes(self.array(4)?))),
            T::DateTime64(scale, _) => Value::Time(i64::from_le_bytes(self.array(8)?).saturating_mul(finer(*scale))),
            T::Ipv6 => Value::Ipv6(self.array(16)?),
            T::Uuid => Value::Uuid(swap_halves(&self.array(16)?)),
            T::FixedString(_) => Value::Bytes(self.take(size)?.to_vec()),
            T::Array(t) => Value::Array((0..self.count()?).map(|_| self.value(t)).collect::<Read<_>>()?),
            T::Tuple(types) => Value::Tuple(types.iter().map(|(_, t)| self.value(t)).collect::<Read<_>>()?),
            T::Map(k, v) => {
                Value::Map((0..self.count()?).map(|_| Ok((self.value(k)?, self.value(v)?))).collect::<Read<_>>()?)
            }
            _ => Value::Bytes(self.string()?.to_vec()),
        })
    }

    /// A signed number of `size` bytes.
    fn signed(&mut self, size: usize) -> Read<i64> {
        let unused = 64 - 8 * size as u32;
        Ok(i64::from_le_bytes(self.array(size)?) << unused >> unused)
    }
}

pub struct RowBinaryReader {
    options: FormatOptions,
    schema: Arc<Schema>,
    /// Header still to come.
    header: Header,
    map: FieldMap,
    /// The type of each field of a row; that of the column where the header does not say.
    types: Vec<LogicalType>,
    /// The row goes on at least to here: with fewer bytes there is no use in looking.
    wait_for: usize,
}

impl RowBinaryReader {
    pub fn open(schema: &Arc<Schema>, options: &FormatOptions, header: Header) -> Result<Box<dyn InputFormat>> {
        check(schema)?;
        let reader = RowBinaryReader {
            options: options.clone(),
            schema: Arc::clone(schema),
            header,
            map: FieldMap::straight(schema.len()),
            types: schema.fields.iter().map(|f| f.ty.clone()).collect(),
            wait_for: 1,
        };
        Ok(Box::new(Framed::new(reader, Arc::clone(schema), options)))
    }

    fn read_header(&mut self, bytes: &[u8]) -> Read<Result<usize>> {
        let mut cursor = Cursor { bytes, at: 0 };
        let count = cursor.varint()?;
        if count as u64 > COLUMNS_MAX {
            return Err(Stop::Damaged("the header has too many columns"));
        }
        let mut strings = |n: usize| (0..n).map(|_| cursor.string().map(<[u8]>::to_vec)).collect::<Read<Vec<_>>>();
        let names = strings(count)?;
        let types = if self.header == Header::NamesAndTypes { strings(count)? } else { Vec::new() };
        let end = cursor.at;
        Ok(self.apply_header(&names, &types).map(|()| end))
    }

    fn apply_header(&mut self, names: &[Vec<u8>], types: &[Vec<u8>]) -> Result<()> {
        self.map = FieldMap::by_names(names, &self.schema, &self.options)?;
        self.map.check_types(types, &self.schema, &self.options)?;
        let mut found = Vec::with_capacity(names.len());
        for (i, column) in self.map.0.iter().enumerate() {
            found.push(match (column, types.get(i)) {
                (Some(column), _) => self.schema.fields[*column].ty.clone(),
                (None, Some(text)) => hydron_types::parse_type_lenient(&String::from_utf8_lossy(text))?,
                (None, None) => {
                    let name = String::from_utf8_lossy(&names[i]).into_owned();
                    let text = format!("column '{name}' is unknown, and without its type it cannot be passed over");
                    return Err(Error::new(Code::INCORRECT_DATA, text).hint("RowBinaryWithNamesAndTypes"));
                }
            });
        }
        self.types = found;
        self.header = Header::None;
        Ok(())
    }

    fn short_or(&mut self, stop: Stop, last: bool) -> Result<Frame> {
        match stop {
            Stop::Short(wanted) if !last => {
                self.wait_for = wanted;
                Ok(Frame::More)
            }
            stop => Err(stop.error()),
        }
    }
}

impl RowReader for RowBinaryReader {
    fn frame(&mut self, bytes: &[u8], last: bool) -> Result<Frame> {
        if bytes.is_empty() || bytes.len() < self.wait_for && !last {
            return Ok(Frame::More);
        }
        self.wait_for = 1;
        if self.header != Header::None {
            return match self.read_header(bytes) {
                Ok(end) => Ok(Frame::Skip(end?)),
                Err(stop) => self.short_or(stop, last),
            };
        }
        let mut cursor = Cursor { bytes, at: 0 };
        match self.types.iter().try_for_each(|ty| cursor.skip(ty)) {
            Ok(()) if cursor.at == 0 => Err(Stop::Damaged("rows without columns").error()),
            Ok(()) => Ok(Frame::Row { start: 0, end: cursor.at, next: cursor.at }),
            Err(stop) => self.short_or(stop, last),
        }
    }

    fn row(&mut self, row: &[u8], rows: &mut Rows) -> Result<()> {
        let mut cursor = Cursor { bytes: row, at: 0 };
        for (ty, column) in self.types.iter().zip(&self.map.0) {
            match *column {
                Some(column) => {
                    let value = cursor.value(ty).map_err(Stop::error)?;
                    rows.append(column, &value)?;
                }
                None => cursor.skip(ty).map_err(Stop::error)?,
            }
        }
        Ok(())
    }
}
