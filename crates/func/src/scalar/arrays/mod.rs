//! Arrays: making, reading, searching, ordering, and functions that take a lambda.
//!
//! In reading order: [`make`], [`parts`], [`find`], [`order`], [`lambda`] (map, filter and their kin), [`sums`], [`series`], [`ranked`], [`ranges`].

mod find;
mod lambda;
mod make;
mod order;
mod parts;
mod ranges;
mod ranked;
mod series;
mod sums;

use super::column::{Lists, end_offset, list};
use crate::call::{Datum, EvalContext};
use crate::registry::Registry;
use arrow::array::{Array, ArrayRef, UInt32Array};
use hydron_base::memory::room_for;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use hydron_types::gather::take_rows;

pub(crate) use find::at_end;
pub(crate) use lambda::{pair_types, pairs};
pub(crate) use make::{concat, gather_or_default, interleaved};
pub(crate) use parts::reverse;

pub fn register(registry: &mut Registry) {
    make::register(registry);
    parts::register(registry);
    find::register(registry);
    order::register(registry);
    lambda::register(registry);
    sums::register(registry);
    series::register(registry);
    ranked::register(registry);
    ranges::register(registry);
}

/// The elements at `indices`.
pub(crate) fn gather(values: &ArrayRef, indices: Vec<u32>) -> Result<ArrayRef> {
    take_rows(values, &UInt32Array::from(indices))
}

// The places of this many elements are 64 MiB: from here on the server is asked for room, each time they double.
const LOOK_ELEMENTS: usize = 16 << 20;

/// Arrays of `element` built by choosing among `values`: `choose` pushes the places of the elements of each row.
pub(crate) fn rearrange(
    element: &LogicalType,
    values: &ArrayRef,
    rows: usize,
    mut choose: impl FnMut(usize, &mut Vec<u32>) -> Result<()>,
) -> Result<ArrayRef> {
    let mut indices = Vec::new();
    let mut ends = Vec::with_capacity(rows + 1);
    ends.push(0);
    let mut looked_at = LOOK_ELEMENTS;
    for row in 0..rows {
        choose(row, &mut indices)?;
        ends.push(end_offset(indices.len())?);
        if indices.len() >= looked_at {
            looked_at = indices.len() * 2;
            room_for(looked_at * std::mem::size_of::<u32>())?;
        }
    }
    if indices.len() > values.len() {
        // Elements are repeated: what they take is not bounded by what there was.
        let each = values.get_array_memory_size() / values.len().max(1);
        room_for(indices.len().saturating_mul(each))?;
    }
    Ok(list(element, ends, gather(values, indices)?))
}

/// The arrays of one or more arguments side by side, their elements in one run without gaps.
pub(crate) struct Flat {
    /// The elements of each argument.
    pub columns: Vec<ArrayRef>,
    /// Where the elements of each row end; one more than rows, from 0.
    pub ends: Vec<i32>,
    /// The row of each element.
    pub origin: Vec<u32>,
}

impl Flat {
    /// Errors: SIZES_OF_ARRAYS_DOESNT_MATCH (190) when arrays of one row differ in length.
    pub fn of(args: &[Datum], rows: usize) -> Result<Flat> {
        let mut flat = Flat { columns: Vec::new(), ends: Vec::new(), origin: Vec::new() };
        for arg in args {
            let full = Datum::Array(arg.to_array(rows)?);
            let lists = Lists::of(&full)?;
            let first = lists.offsets[0];
            let ends: Vec<i32> = lists.offsets.iter().map(|o| o - first).collect();
            if flat.columns.is_empty() {
                flat.ends = ends;
            } else if flat.ends != ends {
                return Err(Error::new(Code::SIZES_OF_ARRAYS_DOESNT_MATCH, "arrays of one row must have one length"));
            }
            let total = flat.ends[rows] as usize;
            flat.columns.push(lists.values.slice(first as usize, total));
        }
        for row in 0..rows {
            let length = flat.ends[row + 1] - flat.ends[row];
            flat.origin.extend(std::iter::repeat_n(row as u32, length as usize));
        }
        Ok(flat)
    }

    pub fn len(&self) -> usize {
        self.origin.len()
    }

    pub fn range(&self, row: usize) -> std::ops::Range<usize> {
        self.ends[row] as usize..self.ends[row + 1] as usize
    }

    /// The answers of a lambda for each element.
    pub fn call(&self, cx: &EvalContext, lambda: &Datum) -> Result<ArrayRef> {
        match lambda {
            Datum::Lambda(body) => body.call(cx, &self.columns, &self.origin, self.len()),
            _ => Err(Error::bug("a value was called as a lambda")),
        }
    }

    /// The list column of these lengths over other elements.
    pub fn list(&self, element: &LogicalType, values: ArrayRef) -> ArrayRef {
        list(element, self.ends.clone(), values)
    }
}
