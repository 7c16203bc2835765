//! Arguments as typed values, results as arrays: what nearly every kernel starts and ends with.
//!
//! In: a [`Datum`], one value or one for each row. Out: readers that answer for any row, and arrays built row by row.
//! Promise: a reader of one value answers the same for every row; nothing here converts beyond the width of a number.

use crate::call::{Datum, downcast};
use arrow::array::{
    Array, ArrayData, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, FixedSizeBinaryArray, ListArray,
    MapArray, PrimitiveArray, StructArray, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, Field, Float64Type, Int64Type, UInt8Type, UInt64Type};
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use hydron_types::physical::{arrow_field, arrow_type};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of each row of a string or fixed string.
#[derive(Clone, Copy)]
pub enum Texts<'a> {
    Binary(&'a BinaryArray),
    Fixed(&'a FixedSizeBinaryArray),
    One(&'a [u8]),
}

impl<'a> Texts<'a> {
    pub fn of(datum: &'a Datum) -> Result<Texts<'a>> {
        let all = Texts::of_array(datum.array()?)?;
        Ok(if datum.is_scalar() { Texts::One(all.at(0)) } else { all })
    }

    pub fn of_array(array: &'a ArrayRef) -> Result<Texts<'a>> {
        Ok(match array.data_type() {
            DataType::FixedSizeBinary(_) => Texts::Fixed(downcast(array)?),
            DataType::Null => Texts::One(&[]),
            _ => Texts::Binary(downcast(array)?),
        })
    }

    #[inline]
    pub fn at(&self, row: usize) -> &'a [u8] {
        match self {
            Texts::Binary(a) => a.value(row),
            Texts::Fixed(a) => a.value(row),
            Texts::One(text) => text,
        }
    }
}

/// Integers of each row as 64 bits (those of 64 unsigned bits wrap, wider ones are cut).
pub struct Ints {
    values: Vec<i64>,
    one: bool,
}

impl Ints {
    pub fn of(datum: &Datum, ty: &LogicalType) -> Result<Ints> {
        let values = super::number::to_vec::<i64>(datum.array()?, ty)?;
        Ok(Ints { values, one: datum.is_scalar() })
    }

    #[inline]
    pub fn at(&self, row: usize) -> i64 {
        self.values[if self.one { 0 } else { row }]
    }
}

/// Numbers of each row as floats.
pub struct Floats {
    values: Vec<f64>,
    one: bool,
}

impl Floats {
    pub fn of(datum: &Datum, ty: &LogicalType) -> Result<Floats> {
        let values = super::number::to_vec::<f64>(datum.array()?, ty)?;
        Ok(Floats { values, one: datum.is_scalar() })
    }

    #[inline]
    pub fn at(&self, row: usize) -> f64 {
        self.values[if self.one { 0 } else { row }]
    }
}

/// Arrays (or maps) of each row: where their elements are.
pub struct Lists<'a> {
    pub offsets: &'a OffsetBuffer<i32>,
    pub values: ArrayRef,
    one: bool,
}

impl<'a> Lists<'a> {
    pub fn of(datum: &'a Datum) -> Result<Lists<'a>> {
        let array = datum.array()?;
        let one = datum.is_scalar();
        if let DataType::Map(..) = array.data_type() {
            let map: &MapArray = downcast(array)?;
            return Ok(Lists { offsets: map.offsets(), values: Arc::new(map.entries().clone()), one });
        }
        let list: &ListArray = downcast(array)?;
        Ok(Lists { offsets: list.offsets(), values: Arc::clone(list.values()), one })
    }

    /// Where in `values` the elements of `row` are.
    #[inline]
    pub fn range(&self, row: usize) -> Range<usize> {
        let row = if self.one { 0 } else { row };
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }

    pub fn len(&self, row: usize) -> usize {
        self.range(row).len()
    }
}

/// The values of a fixed-width array, whatever it means: dates as `i32`, times as `i64`, decimals by their width.
pub fn natives<T: ArrowNativeType>(array: &dyn Array) -> Result<ScalarBuffer<T>> {
    let data = array.to_data();
    let buffer = data.buffers().first().ok_or_else(|| Error::bug(format!("{} has no values", data.data_type())))?;
    if data.data_type().primitive_width() != Some(std::mem::size_of::<T>()) {
        return Err(Error::bug(format!("{} read with a width of {}", data.data_type(), std::mem::size_of::<T>())));
    }
    Ok(ScalarBuffer::new(buffer.clone(), data.offset(), data.len()))
}

/// A fixed-width array of `ty` from its values.
pub fn from_natives<T: ArrowNativeType>(values: Vec<T>, ty: &LogicalType) -> Result<ArrayRef> {
    let data = ArrayData::builder(arrow_type(ty)).len(values.len()).add_buffer(Buffer::from_vec(values));
    data.build().map(make_array).map_err(crate::call::arrow_error)
}

/// A `bool` for each row.
pub fn bools(rows: usize, f: impl FnMut(usize) -> bool) -> ArrayRef {
    Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(rows, f), None))
}

/// A number for each row.
pub fn numbers<T: ArrowPrimitiveType>(rows: usize, f: impl FnMut(usize) -> T::Native) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter_values((0..rows).map(f)))
}

pub fn uint64s(rows: usize, f: impl FnMut(usize) -> u64) -> ArrayRef {
    numbers::<UInt64Type>(rows, f)
}

pub fn int64s(rows: usize, f: impl FnMut(usize) -> i64) -> ArrayRef {
    numbers::<Int64Type>(rows, f)
}

pub fn float64s(rows: usize, f: impl FnMut(usize) -> f64) -> ArrayRef {
    numbers::<Float64Type>(rows, f)
}

/// 0 or 1 for each row, for the few predicates that are not `bool`.
pub fn flags(rows: usize, mut f: impl FnMut(usize) -> bool) -> ArrayRef {
    numbers::<UInt8Type>(rows, |i| u8::from(f(i)))
}

/// A string for each row: `f` appends the bytes of the row.
pub fn texts(rows: usize, mut f: impl FnMut(usize, &mut Vec<u8>)) -> Result<ArrayRef> {
    try_texts(rows, |row, out| {
        f(row, out);
        Ok(())
    })
}

/// Like [`texts`]; the first error ends it.
pub fn try_texts(rows: usize, mut f: impl FnMut(usize, &mut Vec<u8>) -> Result<()>) -> Result<ArrayRef> {
    let mut bytes = Vec::new();
    let mut ends = Vec::with_capacity(rows + 1);
    ends.push(0);
    for row in 0..rows {
        f(row, &mut bytes)?;
        ends.push(end_offset(bytes.len())?);
    }
    Ok(Arc::new(BinaryArray::new(OffsetBuffer::new(ScalarBuffer::from(ends)), Buffer::from_vec(bytes), None)))
}

/// A position in a column of strings or arrays. Errors: TOO_LARGE_STRING_SIZE (131) past 2 GiB in one batch.
pub fn end_offset(len: usize) -> Result<i32> {
    i32::try_from(len).map_err(|_| {
        Error::new(Code::TOO_LARGE_STRING_SIZE, format!("a batch would hold {len} bytes or elements in one column"))
    })
}

/// Arrays of `element` from the ends of each row and all elements.
pub fn list(element: &LogicalType, ends: Vec<i32>, values: ArrayRef) -> ArrayRef {
    let field = Arc::new(arrow_field("item", element));
    let values = if element.is_nullable() { values } else { crate::nulls::without_nulls(&values) };
    Arc::new(ListArray::new(field, OffsetBuffer::new(ScalarBuffer::from(ends)), retyped(&values, element), None))
}

/// Arrays of strings: `f` pushes the elements of each row.
pub fn text_lists(rows: usize, mut f: impl FnMut(usize, &mut TextList) -> Result<()>) -> Result<ArrayRef> {
    let mut all = TextList { bytes: Vec::new(), ends: vec![0] };
    let mut ends = Vec::with_capacity(rows + 1);
    ends.push(0);
    for row in 0..rows {
        f(row, &mut all)?;
        end_offset(all.bytes.len())?;
        ends.push(end_offset(all.ends.len() - 1)?);
    }
    Ok(list(&LogicalType::String, ends, all.finish()))
}

/// Where the pairs of each row end, their keys and their values: `f` pushes both.
pub fn text_pairs(
    rows: usize,
    mut f: impl FnMut(usize, &mut TextList, &mut TextList) -> Result<()>,
) -> Result<(Vec<i32>, ArrayRef, ArrayRef)> {
    let new = || TextList { bytes: Vec::new(), ends: vec![0] };
    let (mut keys, mut values) = (new(), new());
    let mut ends = Vec::with_capacity(rows + 1);
    ends.push(0);
    for row in 0..rows {
        f(row, &mut keys, &mut values)?;
        end_offset(keys.bytes.len().max(values.bytes.len()))?;
        ends.push(end_offset(keys.ends.len() - 1)?);
    }
    Ok((ends, keys.finish(), values.finish()))
}

/// Strings of arrays, one after the other.
pub struct TextList {
    bytes: Vec<u8>,
    ends: Vec<i32>,
}

impl TextList {
    pub fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        // The length is checked once a row; a row past the limit fails there.
        self.ends.push(self.bytes.len().min(i32::MAX as usize) as i32);
    }

    fn finish(self) -> ArrayRef {
        Arc::new(BinaryArray::new(OffsetBuffer::new(ScalarBuffer::from(self.ends)), Buffer::from_vec(self.bytes), None))
    }
}

/// Arrays of fixed-width numbers: `f` pushes the elements of each row.
pub fn number_lists<T: ArrowPrimitiveType>(
    element: &LogicalType,
    rows: usize,
    mut f: impl FnMut(usize, &mut Vec<T::Native>) -> Result<()>,
) -> Result<ArrayRef> {
    let mut values = Vec::new();
    let mut ends = Vec::with_capacity(rows + 1);
    ends.push(0);
    for row in 0..rows {
        f(row, &mut values)?;
        ends.push(end_offset(values.len())?);
    }
    Ok(list(element, ends, Arc::new(PrimitiveArray::<T>::from_iter_values(values))))
}

/// A tuple column of `ty` from its elements.
pub fn tuple(ty: &LogicalType, columns: Vec<ArrayRef>, rows: usize) -> Result<ArrayRef> {
    match arrow_type(ty) {
        DataType::Struct(fields) if fields.is_empty() => Ok(Arc::new(StructArray::new_empty_fields(rows, None))),
        DataType::Struct(fields) => {
            let columns = columns.iter().zip(&fields).map(|(c, f)| retyped_as(c, f.data_type())).collect();
            StructArray::try_new(fields, columns, None)
                .map(|a| Arc::new(a) as ArrayRef)
                .map_err(crate::call::arrow_error)
        }
        other => Err(Error::bug(format!("{other} is not a tuple"))),
    }
}

/// A map column of `ty` from the ends of each row, keys and values.
pub fn map(ty: &LogicalType, ends: Vec<i32>, keys: ArrayRef, values: ArrayRef) -> Result<ArrayRef> {
    let DataType::Map(entries, _) = arrow_type(ty) else {
        return Err(Error::bug(format!("{ty} is not a map")));
    };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Error::bug("a map without entries"));
    };
    let columns = vec![retyped_as(&keys, fields[0].data_type()), retyped_as(&values, fields[1].data_type())];
    let pairs = StructArray::try_new(fields.clone(), columns, None).map_err(crate::call::arrow_error)?;
    let map = MapArray::try_new(entries, OffsetBuffer::new(ScalarBuffer::from(ends)), pairs, None, false);
    map.map(|a| Arc::new(a) as ArrayRef).map_err(crate::call::arrow_error)
}

/// The same values under the layout of `ty`, where only nullability or names of inner fields differ.
pub fn retyped(array: &ArrayRef, ty: &LogicalType) -> ArrayRef {
    retyped_as(array, &arrow_type(ty))
}

fn retyped_as(array: &ArrayRef, ty: &DataType) -> ArrayRef {
    if array.data_type() == ty {
        return Arc::clone(array);
    }
    let data = array.to_data();
    retyped_data(&data, ty).map_or_else(|| Arc::clone(array), make_array)
}

fn retyped_data(data: &ArrayData, ty: &DataType) -> Option<ArrayData> {
    if data.data_type() == ty {
        return Some(data.clone());
    }
    if *data.data_type() == DataType::Null {
        return Some(arrow::array::new_null_array(ty, data.len()).to_data());
    }
    let children: Vec<&Field> = match ty {
        DataType::List(f) | DataType::Map(f, _) => vec![f],
        DataType::Struct(fields) => fields.iter().map(|f| f.as_ref()).collect(),
        _ => Vec::new(),
    };
    let inner = data
        .child_data()
        .iter()
        .zip(&children)
        .map(|(child, field)| {
            let child = retyped_data(child, field.data_type())?;
            // An element that cannot be NULL carries no mask.
            if field.is_nullable() { Some(child) } else { child.into_builder().nulls(None).build().ok() }
        })
        .collect::<Option<Vec<_>>>()?;
    data.clone().into_builder().data_type(ty.clone()).child_data(inner).build().ok()
}

/// The same values under the layout of `like`.
pub fn retyped_like(array: &ArrayRef, like: &ArrayRef) -> ArrayRef {
    retyped_as(array, like.data_type())
}
