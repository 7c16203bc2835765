//! Bytes to columns, as they come.
//!
//! In: pieces of a column, cut anywhere. Out: an array in the layout of the type that the block names. Promise: a column
//! goes on where its last piece ended, nothing is looked at twice; a damaged one is an error, never a panic.

use super::encode::finer;
use super::input::{Fixed, Input, Strings, damaged};
use super::json;
use super::low_cardinality;
use arrow::array::{ArrayData, ArrayRef, BooleanArray, MapArray, StructArray, make_array, new_empty_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use hydron_base::{Error, Result};
use hydron_types::column::list_array;
use hydron_types::physical::arrow_type;
use hydron_types::{EnumNames, LogicalType as T};
use std::sync::Arc;

/// A column while it arrives.
pub(super) struct Column {
    ty: T,
    node: Node,
}

enum Node {
    Fixed(Fixed),
    Strings(Strings),
    /// A byte for each row, 1 for NULL, then the values.
    Nullable(Fixed, Box<Column>),
    Dictionary(Box<low_cardinality::Reader>),
    /// Where the elements of each row end, then the elements.
    List {
        offsets: Fixed,
        ends: Option<Vec<i32>>,
        items: Box<Column>,
    },
    Tuple(Vec<Column>),
    Json(Box<json::Reader>),
}

impl Column {
    /// Errors: NOT_IMPLEMENTED for types whose bytes are not known here.
    pub fn new(ty: &T) -> Result<Column> {
        let list = |items: Column| Node::List { offsets: Fixed::new(8), ends: None, items: Box::new(items) };
        let tuple = |types: Vec<&T>| types.into_iter().map(Column::new).collect::<Result<Vec<_>>>().map(Node::Tuple);
        let node = match ty {
            T::String => Node::Strings(Strings::new()),
            T::Nullable(t) => Node::Nullable(Fixed::new(1), Box::new(Column::new(t)?)),
            // NULL alone: as nullable values of a byte each.
            T::Nothing => Node::Nullable(Fixed::new(1), Box::new(Column::plain(&T::UInt8, 1))),
            T::LowCardinality(t) => Node::Dictionary(Box::new(low_cardinality::Reader::new(t)?)),
            T::SimpleAggregateFunction { arg, .. } => return Ok(Column { ty: ty.clone(), ..Column::new(arg)? }),
            T::Array(t) => list(Column::new(t)?),
            T::Map(k, v) => list(Column::new(&T::tuple([(**k).clone(), (**v).clone()]))?),
            T::Nested(elements) => {
                let row = T::Tuple(elements.iter().map(|(n, t)| (Some(Arc::clone(n)), t.clone())).collect());
                list(Column::new(&row)?)
            }
            T::Tuple(elements) if elements.is_empty() => return Err(no_bytes(ty)),
            T::Tuple(elements) => tuple(elements.iter().map(|(_, t)| t).collect())?,
            T::Json => Node::Json(Box::new(json::Reader::new())),
            other => return Ok(Column::plain(other, width(other).ok_or_else(|| no_bytes(other))?)),
        };
        Ok(Column { ty: ty.clone(), node })
    }

    fn plain(ty: &T, width: usize) -> Column {
        Column { ty: ty.clone(), node: Node::Fixed(Fixed::new(width)) }
    }

    /// Takes what stands before the values; true when it is complete.
    pub fn prefix(&mut self, input: &mut Input<'_>) -> Result<bool> {
        match &mut self.node {
            Node::Dictionary(reader) => reader.prefix(input),
            Node::Nullable(_, inner) => inner.prefix(input),
            Node::List { items, .. } => items.prefix(input),
            Node::Tuple(columns) => all(columns, |column| column.prefix(input)),
            Node::Fixed(_) | Node::Strings(_) | Node::Json(_) => Ok(true),
        }
    }

    /// Takes values; true when those of `rows` rows are complete.
    pub fn values(&mut self, rows: usize, input: &mut Input<'_>) -> Result<bool> {
        match &mut self.node {
            Node::Fixed(fixed) => fixed.fill(rows, input),
            Node::Strings(strings) => strings.fill(rows, input),
            Node::Nullable(nulls, inner) => Ok(nulls.fill(rows, input)? && inner.values(rows, input)?),
            Node::Dictionary(reader) => reader.values(rows, input),
            Node::List { offsets, ends, items } => {
                if !offsets.fill(rows, input)? {
                    return Ok(false);
                }
                if ends.is_none() {
                    *ends = Some(list_ends(offsets, rows)?);
                }
                let last = ends.as_ref().and_then(|e| e.last()).map_or(0, |e| *e as usize);
                items.values(last, input)
            }
            Node::Tuple(columns) => all(columns, |column| column.values(rows, input)),
            Node::Json(reader) => reader.values(rows, input),
        }
    }

    /// The column of `rows` rows, all of whose values were taken.
    pub fn finish(self, rows: usize) -> Result<ArrayRef> {
        let ty = self.ty;
        match self.node {
            Node::Fixed(fixed) => fixed_array(&ty, Buffer::from(fixed.bytes), rows),
            Node::Strings(strings) => {
                let builder = ArrayData::builder(DataType::Binary).len(rows);
                let builder = builder.add_buffer(Buffer::from_vec(strings.offsets));
                Ok(make_array(builder.add_buffer(Buffer::from_vec(strings.bytes)).build().map_err(layout)?))
            }
            Node::Nullable(..) if ty == T::Nothing => Ok(arrow::array::new_null_array(&DataType::Null, rows)),
            Node::Nullable(nulls, inner) => {
                let valid = BooleanBuffer::collect_bool(rows, |row| nulls.bytes.as_slice()[row] == 0);
                let nulls = NullBuffer::new(valid);
                nullable_array(*inner, rows, nulls)
            }
            Node::Dictionary(reader) => reader.finish(rows),
            Node::List { ends, items, .. } => list(&ty, ends.unwrap_or_else(|| vec![0]), *items),
            Node::Tuple(columns) => {
                let columns = columns.into_iter().map(|c| c.finish(rows)).collect::<Result<Vec<_>>>()?;
                struct_array(&arrow_type(&ty), columns)
            }
            Node::Json(reader) => reader.finish(rows),
        }
    }
}

/// Whether every column is complete; those after the first incomplete one wait.
fn all(columns: &mut [Column], mut fill: impl FnMut(&mut Column) -> Result<bool>) -> Result<bool> {
    for column in columns {
        if !fill(column)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn no_bytes(ty: &T) -> Error {
    Error::not_implemented(format!("{ty} in the native format"))
}

fn layout(e: arrow::error::ArrowError) -> Error {
    damaged(format!("a column does not have its layout: {e}"))
}

/// Bytes of a value of fixed size.
fn width(ty: &T) -> Option<usize> {
    Some(match ty {
        T::Bool | T::Int8 | T::UInt8 | T::Enum8(_) => 1,
        T::Int16 | T::UInt16 | T::Enum16(_) | T::Date => 2,
        T::Int32 | T::UInt32 | T::Float32 | T::Date32 | T::DateTime(_) | T::Ipv4 => 4,
        T::Int64 | T::UInt64 | T::Float64 | T::DateTime64(..) | T::Interval(_) => 8,
        T::Int128 | T::UInt128 | T::Uuid | T::Ipv6 => 16,
        T::Int256 | T::UInt256 => 32,
        T::Decimal { precision, .. } => match precision {
            ..=9 => 4,
            10..=18 => 8,
            19..=38 => 16,
            _ => 32,
        },
        T::FixedString(n) => *n as usize,
        _ => return None,
    })
}

/// The end of each list, with 0 before the first.
fn list_ends(offsets: &Fixed, rows: usize) -> Result<Vec<i32>> {
    let mut ends = Vec::with_capacity(rows + 1);
    ends.push(0);
    let mut before = 0_i32;
    for row in 0..rows {
        let end = offsets.u64_at(row);
        match i32::try_from(end) {
            Ok(end) if end >= before => before = end,
            Ok(_) => return Err(damaged(format!("an array ends at {end}, before its start {before}"))),
            Err(_) => return Err(damaged(format!("arrays of {end} elements are too long"))),
        }
        ends.push(before);
    }
    Ok(ends)
}

fn list(ty: &T, ends: Vec<i32>, items: Column) -> Result<ArrayRef> {
    let count = ends.last().map_or(0, |end| *end as usize);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
    let DataType::Map(entries, ordered) = arrow_type(ty) else {
        return list_array(ty, offsets, items.finish(count)?, None);
    };
    let Node::Tuple(columns) = items.node else { return Err(Error::bug("the items of a map are no tuple")) };
    let columns = columns.into_iter().map(|c| c.finish(count)).collect::<Result<Vec<_>>>()?;
    let DataType::Struct(fields) = entries.data_type().clone() else { return Err(Error::bug("a map without entries")) };
    let rows = StructArray::try_new(fields, columns, None).map_err(layout)?;
    Ok(Arc::new(MapArray::try_new(entries, offsets, rows, None, ordered).map_err(layout)?))
}

fn struct_array(ty: &DataType, columns: Vec<ArrayRef>) -> Result<ArrayRef> {
    let DataType::Struct(fields) = ty else { return Err(Error::bug(format!("{ty} is no tuple"))) };
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None).map_err(layout)?))
}

/// Values under NULL mean nothing; those of an enum need not have a name.
fn nullable_array(inner: Column, rows: usize, nulls: NullBuffer) -> Result<ArrayRef> {
    let array = match (inner.ty, inner.node) {
        (T::Enum8(names) | T::Enum16(names), Node::Fixed(fixed)) => {
            let width = fixed.width;
            check_enum(fixed.bytes.as_slice(), width, &names, Some(&nulls))?;
            let ty = if width == 1 { DataType::Int8 } else { DataType::Int16 };
            same_bytes(ty, Buffer::from(fixed.bytes), rows)?
        }
        (ty, node) => Column { ty, node }.finish(rows)?,
    };
    if nulls.null_count() == 0 {
        return Ok(array);
    }
    Ok(make_array(array.to_data().into_builder().nulls(Some(nulls)).build().map_err(layout)?))
}

fn same_bytes(ty: DataType, bytes: Buffer, rows: usize) -> Result<ArrayRef> {
    Ok(make_array(ArrayData::builder(ty).len(rows).add_buffer(bytes).build().map_err(layout)?))
}

fn fixed_array(ty: &T, bytes: Buffer, rows: usize) -> Result<ArrayRef> {
    let target = arrow_type(ty);
    if rows == 0 {
        return Ok(new_empty_array(&target));
    }
    let values = match ty {
        T::Bool => return Ok(Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(rows, |i| bytes[i] != 0), None))),
        T::Enum8(names) | T::Enum16(names) => {
            check_enum(&bytes, width(ty).unwrap_or(1), names, None)?;
            bytes
        }
        T::Date => {
            bytes.chunks_exact(2).map(|b| i32::from(u16::from_le_bytes([b[0], b[1]]))).collect::<Vec<_>>().into()
        }
        T::DateTime(_) => {
            let seconds = bytes.chunks_exact(4).map(|b| i64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])));
            Buffer::from_vec(seconds.collect::<Vec<_>>())
        }
        T::DateTime64(scale, _) if finer(*scale) != 1 => {
            let ticks = ScalarBuffer::<i64>::new(bytes, 0, rows);
            Buffer::from_vec(ticks.iter().map(|t| t.saturating_mul(finer(*scale))).collect::<Vec<_>>())
        }
        T::UInt128 => reversed(&bytes, 16),
        T::UInt256 => reversed(&bytes, 32),
        T::Uuid => reversed(&bytes, 8),
        _ => bytes,
    };
    same_bytes(target, values, rows)
}

fn reversed(bytes: &[u8], width: usize) -> Buffer {
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    bytes.chunks_exact(width).for_each(|value| out.extend(value.iter().rev()));
    Buffer::from_vec(out)
}

/// Errors: INCORRECT_DATA for a value without a name.
fn check_enum(bytes: &[u8], width: usize, names: &EnumNames, nulls: Option<&NullBuffer>) -> Result<()> {
    for (row, value) in bytes.chunks_exact(width).enumerate() {
        let value = if width == 1 { i16::from(value[0] as i8) } else { i16::from_le_bytes([value[0], value[1]]) };
        if names.name_of(value).is_none() && nulls.is_none_or(|n| n.is_valid(row)) {
            return Err(damaged(format!("{value} in row {} is no value of its enum", row + 1)));
        }
    }
    Ok(())
}
