//! Order and repetition within arrays: sorting, distinct values, counts of repetitions, intersections.

use super::{Flat, gather, rearrange};
use crate::call::{BoundCall, Datum, EvalContext};
use crate::registry::Registry;
use crate::scalar::column::{Lists, list, number_lists, uint64s};
use crate::scalar::define::{Call, Convert, define_seeing_nulls, define_with_lambda};
use crate::scalar::rows::encode;
use arrow::array::{Array, ArrayRef, Float32Array, Float64Array};
use arrow::datatypes::UInt32Type;
use arrow_row::Rows;
use hydron_base::Result;
use hydron_types::LogicalType;
use hydron_types::supertype::least_supertype;
use std::collections::{HashMap, HashSet};

pub(super) fn register(registry: &mut Registry) {
    for (name, descending) in [("array_sort", false), ("array_reverse_sort", true)] {
        define_with_lambda(registry, name, super::lambda::element_types, move |call| sort(call, descending));
    }
    define_seeing_nulls(registry, "array_distinct", |call| {
        call.arity(1..=1)?;
        let element = call.need_array(0)?.clone();
        call.returns(LogicalType::array(bare_element(&element)), move |args, rows| {
            let lists = Lists::of(&args[0])?;
            let keys = encode(&lists.values)?;
            let nulls = lists.values.logical_nulls();
            let is_null = |i: usize| nulls.as_ref().is_some_and(|n| n.is_null(i));
            rearrange(&bare_element(&element), &lists.values, rows, |row, out| {
                let mut seen = HashSet::new();
                out.extend(lists.range(row).filter(|i| !is_null(*i) && seen.insert(keys.row(*i))).map(|i| i as u32));
                Ok(())
            })
        })
    });
    define_seeing_nulls(registry, "array_uniq", |call| {
        call.arity(1..=usize::MAX)?;
        for i in 0..call.args.len() {
            call.need_array(i)?;
        }
        call.returns(LogicalType::UInt64, |args, rows| {
            let flat = Flat::of(args, rows)?;
            let keys = crate::scalar::rows::encode_columns(&flat.columns)?;
            Ok(uint64s(rows, |row| flat.range(row).map(|i| keys.row(i)).collect::<HashSet<_>>().len() as u64))
        })
    });
    numbering(registry, "array_enumerate_uniq", |range, keys, out| {
        let mut counts: HashMap<arrow_row::Row<'_>, u32> = HashMap::new();
        for i in range {
            let count = counts.entry(keys.row(i)).or_default();
            *count += 1;
            out.push(*count);
        }
    });
    numbering(registry, "array_enumerate_dense", |range, keys, out| {
        let mut numbers: HashMap<arrow_row::Row<'_>, u32> = HashMap::new();
        for i in range {
            let next = numbers.len() as u32 + 1;
            out.push(*numbers.entry(keys.row(i)).or_insert(next));
        }
    });
    define_seeing_nulls(registry, "array_intersect", intersect);
}

fn bare_element(element: &LogicalType) -> LogicalType {
    match element {
        LogicalType::Nullable(t) => (**t).clone(),
        t => t.clone(),
    }
}

fn numbering(registry: &mut Registry, name: &str, number: fn(std::ops::Range<usize>, &Rows, &mut Vec<u32>)) {
    define_seeing_nulls(registry, name, move |call| {
        call.arity(1..=usize::MAX)?;
        for i in 0..call.args.len() {
            call.need_array(i)?;
        }
        call.returns(LogicalType::array(LogicalType::UInt32), move |args, rows| {
            let flat = Flat::of(args, rows)?;
            let keys = crate::scalar::rows::encode_columns(&flat.columns)?;
            number_lists::<UInt32Type>(&LogicalType::UInt32, rows, |row, out| {
                number(flat.range(row), &keys, out);
                Ok(())
            })
        })
    });
}

/// Sorts the first array, by the answers of the lambda if there is one. NaN, then NULL, come last in either order.
fn sort(call: &Call<'_>, descending: bool) -> Result<BoundCall> {
    let first = usize::from(call.args.first().is_some_and(|a| a.lambda_params.is_some()));
    call.arity(first + 1..=usize::MAX)?;
    if first == 0 {
        call.arity(1..=1)?;
    }
    let element = call.need_array(first)?.clone();
    let ty = call.ty(first).clone();
    Ok(BoundCall::new(ty, move |cx: &EvalContext, args: &[Datum], rows| {
        let flat = Flat::of(&args[first..], rows)?;
        let key = if first == 1 { flat.call(cx, &args[0])? } else { flat.columns[0].clone() };
        let keys = encode(&key)?;
        let last = last_places(&key);
        let mut order: Vec<u32> = (0..flat.len() as u32).collect();
        for row in 0..rows {
            order[flat.range(row)].sort_by(|a, b| {
                let (a, b) = (*a as usize, *b as usize);
                let by_key = || if descending { keys.row(b).cmp(&keys.row(a)) } else { keys.row(a).cmp(&keys.row(b)) };
                last(a).cmp(&last(b)).then_with(by_key)
            });
        }
        Ok(Datum::Array(list(&element, flat.ends.clone(), gather(&flat.columns[0], order)?)))
    }))
}

/// 0 for plain values, 1 for NaN, 2 for NULL.
fn last_places(key: &ArrayRef) -> Box<dyn Fn(usize) -> u8> {
    let nulls = key.logical_nulls();
    let null = move |i: usize| nulls.as_ref().is_some_and(|n| n.is_null(i));
    if let Some(floats) = key.as_any().downcast_ref::<Float64Array>().cloned() {
        return Box::new(move |i| if null(i) { 2 } else { u8::from(floats.value(i).is_nan()) });
    }
    if let Some(floats) = key.as_any().downcast_ref::<Float32Array>().cloned() {
        return Box::new(move |i| if null(i) { 2 } else { u8::from(floats.value(i).is_nan()) });
    }
    Box::new(move |i| if null(i) { 2 } else { 0 })
}

/// The distinct elements that all arrays have, in the order of the first.
fn intersect(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(1..=usize::MAX)?;
    let elements = (0..call.args.len()).map(|i| call.need_array(i).cloned()).collect::<Result<Vec<_>>>()?;
    if elements.contains(&LogicalType::Nothing) {
        return call.returns(LogicalType::array(LogicalType::Nothing), |_, rows| {
            Ok(list(
                &LogicalType::Nothing,
                vec![0; rows + 1],
                arrow::array::new_empty_array(&arrow::datatypes::DataType::Null),
            ))
        });
    }
    let common = least_supertype(&elements)?;
    let conversions: Vec<Convert> = elements.iter().map(|e| Convert::new(e, &common, call.zone())).collect();
    call.returns(LogicalType::array(common.clone()), move |args, rows| {
        let lists = args.iter().map(Lists::of).collect::<Result<Vec<_>>>()?;
        let values = lists.iter().zip(&conversions).map(|(l, c)| c.array(&l.values)).collect::<Result<Vec<_>>>()?;
        let values: Vec<ArrayRef> = values.iter().map(|v| crate::scalar::column::retyped(v, &common)).collect();
        let keys = values.iter().map(encode).collect::<Result<Vec<_>>>()?;
        rearrange(&common, &values[0], rows, |row, out| {
            let others: Vec<HashSet<&[u8]>> =
                (1..lists.len()).map(|n| lists[n].range(row).map(|i| keys[n].row(i).data()).collect()).collect();
            let mut seen = HashSet::new();
            let kept = |i: &usize| {
                let key = keys[0].row(*i).data();
                others.iter().all(|o| o.contains(key))
            };
            out.extend(
                lists[0].range(row).filter(kept).filter(|i| seen.insert(keys[0].row(*i).data())).map(|i| i as u32),
            );
            Ok(())
        })
    })
}
