//! `array_enumerate_uniq_ranked` and `array_enumerate_dense_ranked`: numbering elements of nested arrays.
//!
//! In: optionally the depth from which counting starts anew, then arrays, each optionally followed by the depth down to which its
//! elements are looked at. Out: arrays of numbers, as deep as the deepest of these.

use crate::call::{BoundCall, Datum, downcast};
use crate::registry::Registry;
use crate::scalar::column::list;
use crate::scalar::define::{Call, define_seeing_nulls};
use crate::scalar::rows::encode;
use arrow::array::{Array, ArrayRef, ListArray, UInt32Array};
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn register(registry: &mut Registry) {
    define_seeing_nulls(registry, "array_enumerate_uniq_ranked", |call| bind(call, false));
    define_seeing_nulls(registry, "array_enumerate_dense_ranked", |call| bind(call, true));
}

fn bind(call: &Call<'_>, dense: bool) -> Result<BoundCall> {
    call.arity(1..=usize::MAX)?;
    let mut clear_depth = 1;
    // Position and depth of each array.
    let mut arrays: Vec<(usize, usize)> = Vec::new();
    for position in 0..call.args.len() {
        if let LogicalType::Array(_) = call.ty(position) {
            arrays.push((position, dimensions(call.ty(position))));
            continue;
        }
        let depth = call.constant_int(position)?;
        let depth = usize::try_from(depth).ok().filter(|n| *n > 0).ok_or_else(|| {
            Error::bad_arguments(format!("a depth of \"{}\" must be 1 or more, given {depth}", call.name))
        })?;
        match arrays.last_mut() {
            None if position == 0 => clear_depth = depth,
            Some(last) if last.0 + 1 == position => {
                if depth > last.1 {
                    let text =
                        format!("argument {position} of \"{}\" is {} arrays deep, not {depth}", call.name, last.1);
                    return Err(Error::bad_arguments(text));
                }
                last.1 = depth;
            }
            _ => return Err(call.illegal(position)),
        }
    }
    let deepest = arrays.iter().map(|a| a.1).max().unwrap_or(0);
    if clear_depth > deepest {
        let text = format!("counting of \"{}\" cannot start anew at depth {clear_depth} of {deepest}", call.name);
        return Err(Error::bad_arguments(text));
    }
    let ty = (0..deepest).fold(LogicalType::UInt32, |ty, _| LogicalType::array(ty));
    call.returns(ty, move |args, rows| {
        let levels =
            arrays.iter().map(|(at, depth)| Levels::of(&args[*at], rows, *depth)).collect::<Result<Vec<_>>>()?;
        number(&levels, clear_depth, dense)
    })
}

fn dimensions(ty: &LogicalType) -> usize {
    match ty {
        LogicalType::Array(element) => 1 + dimensions(element),
        _ => 0,
    }
}

/// Nested arrays taken apart: where the arrays of each depth end, and the elements at the last one.
struct Levels {
    ends: Vec<Vec<i32>>,
    elements: ArrayRef,
}

impl Levels {
    fn of(datum: &Datum, rows: usize, depth: usize) -> Result<Levels> {
        let mut levels = Levels { ends: Vec::with_capacity(depth), elements: datum.to_array(rows)? };
        for _ in 0..depth {
            let array = Arc::clone(&levels.elements);
            let lists: &ListArray = downcast(&array)?;
            let first = lists.offsets()[0];
            let ends: Vec<i32> = lists.offsets().iter().map(|o| o - first).collect();
            let total = ends.last().map_or(0, |n| *n as usize);
            levels.elements = lists.values().slice(first as usize, total);
            levels.ends.push(ends);
        }
        Ok(levels)
    }
}

fn number(arrays: &[Levels], clear_depth: usize, dense: bool) -> Result<ArrayRef> {
    let Some(deepest) = arrays.iter().max_by_key(|a| a.ends.len()) else {
        return Err(Error::bug("no array to number"));
    };
    if arrays.iter().any(|a| a.ends[..] != deepest.ends[..a.ends.len()]) {
        return Err(Error::new(
            Code::SIZES_OF_ARRAYS_DOESNT_MATCH,
            "arrays of one row must have one length at each depth",
        ));
    }
    let depth = deepest.ends.len();
    let total = deepest.elements.len();
    // For each element, the place at each depth above that it is in; depth 0 is the row.
    let mut places: Vec<Vec<u32>> = vec![Vec::new(); depth + 1];
    places[depth] = (0..total as u32).collect();
    for level in (0..depth).rev() {
        let mut owner = vec![0u32; places[level + 1].last().map_or(0, |p| *p as usize + 1)];
        for (i, ends) in deepest.ends[level].windows(2).enumerate() {
            let upto = (ends[1] as usize).min(owner.len());
            owner[(ends[0] as usize).min(upto)..upto].fill(i as u32);
        }
        places[level] = places[level + 1].iter().map(|p| owner[*p as usize]).collect();
    }
    let keys = arrays.iter().map(|a| encode(&a.elements)).collect::<Result<Vec<_>>>()?;
    let mut counts: HashMap<Vec<u8>, u32> = HashMap::new();
    let mut numbers = Vec::with_capacity(total);
    let mut key = Vec::new();
    for i in 0..total {
        let container = &places[clear_depth - 1];
        if i > 0 && container[i] != container[i - 1] {
            counts.clear();
        }
        key.clear();
        for (array, keys) in arrays.iter().zip(&keys) {
            key.extend_from_slice(keys.row(places[array.ends.len()][i] as usize).data());
        }
        let next = counts.len() as u32 + 1;
        match counts.get_mut(&key) {
            Some(count) if dense => numbers.push(*count),
            Some(count) => {
                *count += 1;
                numbers.push(*count);
            }
            None => {
                let first = if dense { next } else { 1 };
                counts.insert(key.clone(), first);
                numbers.push(first);
            }
        }
    }
    let (mut ty, mut result) = (LogicalType::UInt32, Arc::new(UInt32Array::from(numbers)) as ArrayRef);
    for ends in deepest.ends.iter().rev() {
        result = list(&ty, ends.clone(), result);
        ty = LogicalType::array(ty);
    }
    Ok(result)
}
