//! Rows of a column picked, repeated or joined, where the result may be larger than what it is made of.
//!
//! In: columns and the places of rows. Out: a column. Promise: what does not fit one column, or the memory of the server, is
//! an error before anything is made for it; Arrow's own kernels panic when arrays come to more than 2^31 elements.

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use hydron_base::memory::room_for;
use hydron_base::{Code, Error, Result};
use std::ops::Range;

/// The rows of `column` at `indices`; NULL where an index is.
///
/// Errors: TOO_LARGE_ARRAY_SIZE (128) when arrays would hold more than 2^31 elements, TOO_LARGE_STRING_SIZE (131) for more
/// than 2 GiB of strings, MEMORY_LIMIT_EXCEEDED (241) when the server has no room for them.
pub fn take_rows(column: &ArrayRef, indices: &UInt32Array) -> Result<ArrayRef> {
    if may_not_fit(column, indices.len()) {
        let rows = indices.iter().flatten().map(|i| i as usize..i as usize + 1);
        room_for(bytes_of(column.as_ref(), rows.collect())?)?;
    }
    arrow::compute::take(column, indices, None).map_err(refused)
}

/// Whether `rows` copies of the only row of `one` can be made. Errors: as [`take_rows`].
pub fn check_repeat(one: &ArrayRef, rows: usize) -> Result<()> {
    if may_not_fit(one, rows) {
        room_for(bytes_of(one.as_ref(), vec![0..1; rows])?)?;
    }
    Ok(())
}

/// Where even `rows` times all of `column` would fit there is nothing to count.
fn may_not_fit(column: &ArrayRef, rows: usize) -> bool {
    elements_max(column.as_ref()) as u128 * rows as u128 > i32::MAX as u128
}

/// `rows` copies of the only row of `one`. Errors: as [`take_rows`].
pub fn repeat(one: &ArrayRef, rows: usize) -> Result<ArrayRef> {
    take_rows(one, &UInt32Array::from_value(0, rows))
}

/// The rows of all `parts`, which are of one type, in order. Errors: as [`take_rows`].
pub fn join_columns(parts: &[&dyn Array]) -> Result<ArrayRef> {
    if parts.len() > 1 {
        let elements: usize = parts.iter().map(|part| elements_max(*part)).sum();
        fits(elements, parts[0].data_type())?;
    }
    arrow::compute::concat(parts).map_err(refused)
}

fn refused(e: ArrowError) -> Error {
    match e {
        ArrowError::OffsetOverflowError(n) => too_many_bytes(n),
        ArrowError::MemoryError(m) => Error::new(Code::CANNOT_ALLOCATE_MEMORY, m),
        other => Error::bug(format!("columnar kernel: {other}")),
    }
}

fn too_many_bytes(bytes: usize) -> Error {
    Error::new(Code::TOO_LARGE_STRING_SIZE, format!("one column of a batch would hold {bytes} bytes, at most 2 GiB"))
}

/// Whether a column of `ty` can hold so many bytes or elements.
fn fits(count: usize, ty: &DataType) -> Result<()> {
    match (count <= i32::MAX as usize, ty) {
        (true, _) => Ok(()),
        (false, DataType::Binary | DataType::Utf8) => Err(too_many_bytes(count)),
        (false, _) => {
            let text = format!("the arrays of one column of a batch would hold {count} elements, at most 2^31");
            Err(Error::new(Code::TOO_LARGE_ARRAY_SIZE, text))
        }
    }
}

/// Bytes of strings or elements of arrays at any depth of `array`: the most of any layer.
pub fn elements_max(array: &dyn Array) -> usize {
    match array.data_type() {
        DataType::Binary => width_of(array.as_binary::<i32>().value_offsets()),
        DataType::Utf8 => width_of(array.as_string::<i32>().value_offsets()),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            width_of(list.value_offsets()).max(elements_max(list.values().as_ref()))
        }
        DataType::Map(..) => {
            let map = array.as_map();
            width_of(map.value_offsets()).max(elements_max(map.entries()))
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().map(|c| elements_max(c.as_ref())).max().unwrap_or_default()
        }
        _ => 0,
    }
}

fn width_of(offsets: &[i32]) -> usize {
    match offsets {
        [first, .., last] => (last - first) as usize,
        _ => 0,
    }
}

/// Bytes of the rows in `ranges`, all layers of them. Errors: a layer does not fit one column.
fn bytes_of(array: &dyn Array, ranges: Vec<Range<usize>>) -> Result<usize> {
    let inner = |offsets: &[i32]| -> Result<(usize, Vec<Range<usize>>)> {
        let ranges: Vec<_> = ranges
            .iter()
            .map(|r| offsets[r.start] as usize..offsets[r.end] as usize)
            .filter(|r| !r.is_empty())
            .collect();
        let count = ranges.iter().map(Range::len).sum();
        fits(count, array.data_type())?;
        Ok((count, ranges))
    };
    Ok(match array.data_type() {
        DataType::Binary => inner(array.as_binary::<i32>().value_offsets())?.0,
        DataType::Utf8 => inner(array.as_string::<i32>().value_offsets())?.0,
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            bytes_of(list.values().as_ref(), inner(list.value_offsets())?.1)?
        }
        DataType::Map(..) => {
            let map = array.as_map();
            bytes_of(map.entries(), inner(map.value_offsets())?.1)?
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns().iter();
            columns.map(|c| bytes_of(c.as_ref(), ranges.clone())).sum::<Result<usize>>()?
        }
        DataType::FixedSizeBinary(width) => ranges.iter().map(Range::len).sum::<usize>() * *width as usize,
        other => ranges.iter().map(Range::len).sum::<usize>() * other.primitive_width().unwrap_or(1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BinaryArray, ListArray, UInt8Array};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::Field;
    use std::sync::Arc;

    /// One row with so many elements.
    fn one_list(elements: usize) -> ArrayRef {
        let field = Arc::new(Field::new("item", DataType::UInt8, false));
        let values = Arc::new(UInt8Array::from(vec![7; elements]));
        Arc::new(ListArray::new(field, OffsetBuffer::from_lengths([elements]), values, None))
    }

    fn nested(inner: ArrayRef) -> ArrayRef {
        let field = Arc::new(Field::new("item", inner.data_type().clone(), false));
        Arc::new(ListArray::new(field, OffsetBuffer::from_lengths([inner.len()]), inner, None))
    }

    #[test]
    fn copies_are_made_while_they_fit() {
        let copies = repeat(&one_list(3), 1_000).unwrap();
        assert_eq!((copies.len(), copies.as_list::<i32>().values().len()), (1_000, 3_000));
        let indices = UInt32Array::from(vec![Some(0), None, Some(0)]);
        let some = take_rows(&nested(one_list(3)), &indices).unwrap();
        assert_eq!((some.len(), some.null_count()), (3, 1));
    }

    #[test]
    fn copies_that_do_not_fit_a_column_are_refused_before_they_are_made() {
        let code = |array: ArrayRef| repeat(&array, 1 << 16).unwrap_err().code;
        assert_eq!(code(one_list(1 << 15)), Code::TOO_LARGE_ARRAY_SIZE);
        assert_eq!(code(nested(one_list(1 << 15))), Code::TOO_LARGE_ARRAY_SIZE);
        assert_eq!(
            code(Arc::new(BinaryArray::from(vec![vec![b'x'; 1 << 15].as_slice()]))),
            Code::TOO_LARGE_STRING_SIZE
        );
        let texts: ArrayRef = Arc::new(BinaryArray::from(vec![vec![b'x'; 1 << 15].as_slice()]));
        assert_eq!(code(nested(texts)), Code::TOO_LARGE_STRING_SIZE);
    }

    #[test]
    fn joined_columns_fit_one() {
        let large = one_list(1 << 28);
        let parts: Vec<&dyn Array> = vec![large.as_ref(); 8];
        assert_eq!(join_columns(&parts).unwrap_err().code, Code::TOO_LARGE_ARRAY_SIZE);
        assert_eq!(join_columns(&parts[..1]).unwrap().len(), 1);
    }
}
