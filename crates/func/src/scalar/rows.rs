//! Values of any type as bytes that compare like the values: equality, order and hashing without a case for each type.
//!
//! In: arrays of one layout. Out: a row of bytes for each value. Promise: equal bytes mean equal values (NULL equals NULL,
//! and comes first); the bytes of two calls with the same layout compare with each other.

use crate::call::arrow_error;
use arrow::array::{Array, ArrayRef, Float32Array, Float64Array, ListArray, MapArray, StructArray};
use arrow::datatypes::{DataType, Field};
use arrow_row::{RowConverter, Rows, SortField};
use hydron_base::Result;
use std::sync::Arc;

/// The rows of one column.
pub fn encode(array: &ArrayRef) -> Result<Rows> {
    encode_columns(std::slice::from_ref(array))
}

/// The rows of several columns side by side.
pub fn encode_columns(arrays: &[ArrayRef]) -> Result<Rows> {
    let columns: Vec<ArrayRef> = arrays.iter().map(comparable).collect();
    let fields = columns.iter().map(|c| SortField::new(c.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(arrow_error)?;
    converter.convert_columns(&columns).map_err(arrow_error)
}

/// The rows of two columns of one layout, comparable with each other.
pub fn encode_pair(a: &ArrayRef, b: &ArrayRef) -> Result<(Rows, Rows)> {
    let a = comparable(a);
    let b = super::column::retyped_like(&comparable(b), &a);
    let converter = RowConverter::new(vec![SortField::new(a.data_type().clone())]).map_err(arrow_error)?;
    let rows = |c: &ArrayRef| converter.convert_columns(std::slice::from_ref(c)).map_err(arrow_error);
    Ok((rows(&a)?, rows(&b)?))
}

/// As [`encode_pair`], with NULL behind all values: the order of arrays in comparisons.
pub fn encode_pair_nulls_last(a: &ArrayRef, b: &ArrayRef) -> Result<(Rows, Rows)> {
    let a = comparable(a);
    let b = super::column::retyped_like(&comparable(b), &a);
    let options = arrow::compute::SortOptions { descending: false, nulls_first: false };
    let field = SortField::new_with_options(a.data_type().clone(), options);
    let converter = RowConverter::new(vec![field]).map_err(arrow_error)?;
    let rows = |c: &ArrayRef| converter.convert_columns(std::slice::from_ref(c)).map_err(arrow_error);
    Ok((rows(&a)?, rows(&b)?))
}

/// The array in a layout that rows know: a map is an array of pairs; the two zeros of a float are one.
fn comparable(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => {
            let floats = array.as_any().downcast_ref::<Float64Array>();
            floats.map_or_else(
                || Arc::clone(array),
                |a| Arc::new(a.unary::<_, arrow::datatypes::Float64Type>(|v| v + 0.0)),
            )
        }
        DataType::Float32 => {
            let floats = array.as_any().downcast_ref::<Float32Array>();
            floats.map_or_else(
                || Arc::clone(array),
                |a| Arc::new(a.unary::<_, arrow::datatypes::Float32Type>(|v| v + 0.0)),
            )
        }
        DataType::Map(..) => match array.as_any().downcast_ref::<MapArray>() {
            Some(map) => {
                let entries = comparable(&(Arc::new(map.entries().clone()) as ArrayRef));
                let field = Arc::new(Field::new("item", entries.data_type().clone(), true));
                Arc::new(ListArray::new(field, map.offsets().clone(), entries, map.nulls().cloned()))
            }
            None => Arc::clone(array),
        },
        DataType::List(_) => match array.as_any().downcast_ref::<ListArray>() {
            Some(list) => {
                let values = comparable(list.values());
                let field = Arc::new(Field::new("item", values.data_type().clone(), true));
                Arc::new(ListArray::new(field, list.offsets().clone(), values, list.nulls().cloned()))
            }
            None => Arc::clone(array),
        },
        DataType::Struct(_) => match array.as_any().downcast_ref::<StructArray>() {
            Some(tuple) if tuple.num_columns() > 0 => {
                let columns: Vec<ArrayRef> = tuple.columns().iter().map(comparable).collect();
                let fields: Vec<Field> = columns
                    .iter()
                    .enumerate()
                    .map(|(i, c)| Field::new(i.to_string(), c.data_type().clone(), true))
                    .collect();
                Arc::new(StructArray::new(fields.into(), columns, tuple.nulls().cloned()))
            }
            _ => Arc::clone(array),
        },
        _ => Arc::clone(array),
    }
}
