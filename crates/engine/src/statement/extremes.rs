//! The setting `extremes`: the least and the greatest value of each column of a result.
//!
//! In: the items of a bounded query. Out: the same, then one batch of two rows. Promise: NULL and nan count only where a
//! column has nothing else; a tuple has the extremes of each of its elements; a result without rows has no extremes.

use crate::query::Item;
use arrow::array::{Array, ArrayRef, AsArray, StructArray, UInt32Array, make_comparator};
use arrow::compute::{SortOptions, concat, take};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use futures::stream::{self, BoxStream, StreamExt};
use hydron_base::Result;
use hydron_func::call::arrow_error;
use hydron_types::Batch;
use std::cmp::Ordering;
use std::sync::Arc;

pub fn with_extremes(items: BoxStream<'static, Result<Item>>) -> BoxStream<'static, Result<Item>> {
    let state = (Some(items), None::<Batch>);
    let items = stream::unfold(state, |(items, mut found)| async move {
        let mut items = items?;
        match items.next().await {
            Some(Ok(Item::Rows(batch))) => {
                let item = match merged(found.take(), &batch) {
                    Ok(both) => {
                        found = both;
                        Ok(Item::Rows(batch))
                    }
                    Err(e) => Err(e),
                };
                Some((item, (Some(items), found)))
            }
            Some(other) => Some((other, (Some(items), found))),
            None => found.take().map(|batch| (Ok(Item::Extremes(batch)), (None, None))),
        }
    });
    items.boxed()
}

/// The extremes of what was seen and of `batch`.
fn merged(seen: Option<Batch>, batch: &Batch) -> Result<Option<Batch>> {
    if batch.rows() == 0 {
        return Ok(seen);
    }
    let mut columns = Vec::with_capacity(batch.columns.len());
    for (i, column) in batch.columns.iter().enumerate() {
        let all = match &seen {
            Some(seen) => concat(&[seen.column(i).as_ref(), column.as_ref()]).map_err(arrow_error)?,
            None => Arc::clone(column),
        };
        columns.push(extremes(&all)?);
    }
    Ok(Some(Batch::new(Arc::clone(&batch.schema), columns, 2)))
}

/// Two rows: the least and the greatest value of an array that has at least one row.
fn extremes(array: &ArrayRef) -> Result<ArrayRef> {
    if let Some(tuple) = array.as_struct_opt().filter(|t| t.null_count() == 0 && t.num_columns() > 0) {
        let columns = tuple.columns().iter().map(extremes).collect::<Result<_>>()?;
        let made = StructArray::try_new(tuple.fields().clone(), columns, None).map_err(arrow_error)?;
        return Ok(Arc::new(made));
    }
    let mut counting = (0..array.len()).filter(|row| array.is_valid(*row) && !is_nan(array, *row));
    let first = counting.next().or_else(|| (0..array.len()).find(|row| array.is_valid(*row))).unwrap_or(0);
    let (mut least, mut greatest) = (first, first);
    // Without an order, as maps are, any value stands for all.
    if let Ok(compare) = make_comparator(array, array, SortOptions::default()) {
        for row in counting {
            if compare(row, least) == Ordering::Less {
                least = row;
            }
            if compare(row, greatest) == Ordering::Greater {
                greatest = row;
            }
        }
    }
    take(array, &UInt32Array::from(vec![least as u32, greatest as u32]), None).map_err(arrow_error)
}

fn is_nan(array: &ArrayRef, row: usize) -> bool {
    match array.data_type() {
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).is_nan(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).is_nan(),
        _ => false,
    }
}
