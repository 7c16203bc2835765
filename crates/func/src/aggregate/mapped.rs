//! Sums, minima and maxima by key, where each row brings an array of keys and arrays of values.
//!
//! `sum_mapped_arrays(keys, values, …)` and its like, also over one tuple of such arrays; the answer is a tuple of the sorted
//! keys and an array for each of the values. A sum leaves keys out whose values are all zero. `sum_count` is here as well.

use super::bytes::{Reader, put_u64};
use super::define::{AggCall, Traits, define, define_as};
use super::fold::{Fold, Picked, folded, sampled_heap};
use super::item::{Kind, with_few_kinds};
use super::kept::{Item, column};
use super::number::{Number, numbers};
use crate::agg::BoundAgg;
use crate::call::downcast;
use crate::registry::Registry;
use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value, array_of, value_at};
use std::collections::{BTreeMap, BTreeSet};

pub fn register(registry: &mut Registry) {
    let traits = Traits { default_without_rows: true, ..Traits::default() };
    for (name, op, widens) in [
        ("sum_mapped_arrays", Op::Sum, true),
        ("sum_map_with_overflow", Op::Sum, false),
        ("min_mapped_arrays", Op::Min, false),
        ("max_mapped_arrays", Op::Max, false),
    ] {
        define_as(registry, name, traits, move |call| mapped(call, op, widens, false));
    }
    let traits = Traits { params_last: Some(super::define::Last::Exactly(1)), ..traits };
    define_as(registry, "sum_map_filtered", traits, |call| mapped(call, Op::Sum, true, true));
    define_as(registry, "sum_map_filtered_with_overflow", traits, |call| mapped(call, Op::Sum, false, true));
    define(registry, "sum_count", |call| {
        call.arity(1..=1)?;
        call.need_number(0)?;
        let sum = widened(call.ty(0)).ok_or_else(|| call.illegal(0))?;
        let ty = LogicalType::Tuple(vec![(None, sum.clone()), (None, LogicalType::UInt64)].into());
        call.returns(ty.clone(), folded(SumCount { arg: call.ty(0).clone(), sum, ty }))
    });
}

/// What a sum of `ty` is.
fn widened(ty: &LogicalType) -> Option<LogicalType> {
    use LogicalType::*;
    Some(match ty {
        Bool | UInt8 | UInt16 | UInt32 | UInt64 => UInt64,
        Int8 | Int16 | Int32 | Int64 => Int64,
        Float32 | Float64 => Float64,
        Decimal { precision: ..=38, scale } => Decimal { precision: 38, scale: *scale },
        Decimal { scale, .. } => Decimal { precision: 76, scale: *scale },
        Int128 | Int256 | UInt128 | UInt256 => ty.clone(),
        _ => return None,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Sum,
    Min,
    Max,
}

fn mapped(call: &AggCall<'_>, op: Op, widens: bool, filtered: bool) -> Result<BoundAgg> {
    let wrong = |i: usize| call.illegal(i);
    let (arrays, in_tuple) = match call.args {
        [one] => match &one.ty {
            LogicalType::Tuple(elements) => (elements.iter().map(|(_, t)| t.clone()).collect(), true),
            LogicalType::Array(_) => (call.types(), false),
            _ => return Err(wrong(0)),
        },
        _ => (call.types(), false),
    };
    if arrays.len() < 2 {
        let text = format!("\"{}\" takes an array of keys and at least one of values", call.name);
        return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
    }
    let elements = arrays
        .iter()
        .enumerate()
        .map(|(i, t)| match t {
            LogicalType::Array(element) => Ok((**element).clone()),
            _ => Err(wrong(if in_tuple { 0 } else { i })),
        })
        .collect::<Result<Vec<LogicalType>>>()?;
    let (key, values) = elements.split_first().ok_or_else(|| wrong(0))?;
    let key = key.bare().clone();
    let mut results = Vec::with_capacity(values.len());
    for value in values {
        let bare = value.bare();
        let widened = widened(bare).or_else(|| (op != Op::Sum && bare.is_date_or_time()).then(|| bare.clone()));
        let widened = widened.ok_or_else(|| wrong(0))?;
        let stays = !widens || bare.is_decimal();
        results.push(if stays { bare.clone() } else { widened });
    }
    let filter = if filtered {
        let Some(Value::Array(keys)) = call.params.first() else {
            return Err(Error::bad_arguments(format!("\"{}\" needs an array of the keys to keep", call.name)));
        };
        Some(keys.clone())
    } else {
        None
    };
    let list = |t: &LogicalType| (None, LogicalType::Array(Box::new(t.clone())));
    let ty = LogicalType::Tuple(std::iter::once(&key).chain(&results).map(list).collect::<Vec<_>>().into());
    let nullable_keys = elements[0].is_nullable();
    with_few_kinds!(&key, k => {
        let keep = filter.map(|keys| kept_keys(&k, &key, &keys)).transpose()?;
        let fold = Mapped { kind: k, keep, values: values.to_vec(), results, op, in_tuple, nullable_keys, ty: ty.clone() };
        call.returns(ty, folded(fold))
    })
}

/// The keys of a constant array as the fold keeps keys.
fn kept_keys<K: Kind>(kind: &K, ty: &LogicalType, keys: &[Value]) -> Result<BTreeSet<K::Own>> {
    let mut kept = BTreeSet::new();
    for key in keys {
        let cast = match (crate::scalar::number::wide_of_value(key), ty.is_number()) {
            (Some(n), true) => Number::Whole(n).value(ty),
            _ => key.clone(),
        };
        let args = [array_of(&cast, ty, 1)?];
        kept.insert(K::own(&kind.view(&args)?, 0));
    }
    Ok(kept)
}

struct Mapped<K: Kind> {
    kind: K,
    keep: Option<BTreeSet<K::Own>>,
    /// Types of the elements of the arrays of values, and of the answers.
    values: Vec<LogicalType>,
    results: Vec<LogicalType>,
    op: Op,
    in_tuple: bool,
    nullable_keys: bool,
    ty: LogicalType,
}

/// The arrays of one batch: the keys, then offsets and numbers of each array of values.
struct Arrays<O> {
    keys: ListArray,
    elements: Vec<O>,
    values: Vec<(ListArray, Vec<Number>)>,
}

impl<K: Kind> Mapped<K> {
    fn combine(&self, into: &mut Option<Number>, value: Number) {
        *into = Some(match (*into, self.op) {
            (None, _) => value,
            (Some(a), Op::Sum) => a.plus(value),
            (Some(a), Op::Min) => {
                if value.order(&a).is_lt() {
                    value
                } else {
                    a
                }
            }
            (Some(a), Op::Max) => {
                if value.order(&a).is_gt() {
                    value
                } else {
                    a
                }
            }
        });
    }

    fn answer(&self, cell: &BTreeMap<K::Own, Vec<Option<Number>>>) -> Result<Value> {
        let empty = |values: &&Vec<Option<Number>>| values.iter().all(|v| v.is_none_or(Number::is_zero));
        let shown: Vec<(&K::Own, &Vec<Option<Number>>)> =
            cell.iter().filter(|(_, v)| self.op != Op::Sum || !empty(v)).collect();
        let keys = self.kind.array(shown.iter().map(|(k, _)| *k))?;
        let keys = (0..shown.len()).map(|i| value_at(&keys, self.kind.ty(), i)).collect();
        let mut columns = vec![Value::Array(keys)];
        for (i, ty) in self.results.iter().enumerate() {
            let value = |(_, v): &(&K::Own, &Vec<Option<Number>>)| v[i].unwrap_or(Number::zero(ty)).value(ty);
            columns.push(Value::Array(shown.iter().map(value).collect()));
        }
        Ok(Value::Tuple(columns))
    }
}

impl<K: Kind> Fold for Mapped<K> {
    type Cell = BTreeMap<K::Own, Vec<Option<Number>>>;
    type Input<'a> = Arrays<K::Own>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Arrays<K::Own>> {
        let columns: Vec<ArrayRef> = match (self.in_tuple, args) {
            (true, [tuple]) => tuple.as_struct().columns().to_vec(),
            _ => args.to_vec(),
        };
        let (keys, values) = columns.split_first().ok_or_else(|| Error::bug("mapped arrays without keys"))?;
        let keys: &ListArray = downcast(keys)?;
        let values = values.iter().zip(&self.values).map(|(column, ty)| {
            let list: &ListArray = downcast(column)?;
            Ok((list.clone(), numbers(list.values(), ty.bare())?))
        });
        let values = values.collect::<Result<_>>()?;
        let flat = [ArrayRef::clone(keys.values())];
        let view = self.kind.view(&flat)?;
        let elements = (0..flat[0].len()).map(|at| K::own(&view, at)).collect();
        Ok(Arrays { elements, keys: keys.clone(), values })
    }

    fn empty(&self) -> Self::Cell {
        BTreeMap::new()
    }

    fn add(&self, cell: &mut Self::Cell, input: &Arrays<K::Own>, row: usize) -> Result<()> {
        let len = input.keys.value_length(row);
        if let Some((other, _)) = input.values.iter().find(|(l, _)| l.value_length(row) != len) {
            let text = format!("{len} keys and {} values in one row", other.value_length(row));
            return Err(Error::bad_arguments(text));
        }
        let start = input.keys.value_offsets()[row] as usize;
        for i in 0..len as usize {
            if self.nullable_keys && input.keys.values().is_null(start + i) {
                continue;
            }
            let key = &input.elements[start + i];
            if self.keep.as_ref().is_some_and(|keep| !keep.contains(key)) {
                continue;
            }
            let sums = cell.entry(key.clone()).or_insert_with(|| vec![None; self.results.len()]);
            for (sum, (list, numbers)) in sums.iter_mut().zip(&input.values) {
                let at = list.value_offsets()[row] as usize + i;
                if list.values().is_valid(at) {
                    self.combine(sum, numbers[at]);
                }
            }
        }
        Ok(())
    }

    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        for (key, values) in from {
            let sums = into.entry(key).or_insert_with(|| vec![None; self.results.len()]);
            for (sum, value) in sums.iter_mut().zip(values) {
                if let Some(value) = value {
                    self.combine(sum, value);
                }
            }
        }
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        put_u64(out, cell.len() as u64);
        for (key, values) in cell {
            K::write(key, out);
            values.iter().for_each(|v| v.write(out));
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        let values = |bytes: &mut Reader<'_>| (0..self.results.len()).map(|_| Item::read(bytes)).collect::<Result<_>>();
        (0..bytes.count()?).map(|_| Ok((K::read(bytes)?, values(bytes)?))).collect()
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        column(&self.ty, cells.iter().map(|c| self.answer(c)))
    }

    fn heap(&self, cell: &Self::Cell) -> usize {
        let each = std::mem::size_of::<K::Own>() + self.results.len() * std::mem::size_of::<Option<Number>>();
        cell.len() * (each + 48) + sampled_heap(cell.len(), cell.keys().map(K::heap))
    }
}

/// The sum and how many were added.
struct SumCount {
    arg: LogicalType,
    sum: LogicalType,
    ty: LogicalType,
}

impl Fold for SumCount {
    type Cell = (Number, u64);
    type Input<'a> = Vec<Number>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Vec<Number>> {
        numbers(&args[0], &self.arg)
    }

    fn empty(&self) -> Self::Cell {
        (Number::zero(&self.sum), 0)
    }

    fn add(&self, cell: &mut Self::Cell, input: &Vec<Number>, row: usize) -> Result<()> {
        *cell = (cell.0.plus(input[row]), cell.1.wrapping_add(1));
        Ok(())
    }

    fn withdraws(&self) -> bool {
        true
    }

    fn withdraw(&self, cell: &mut Self::Cell, input: &Vec<Number>, row: usize) -> Result<()> {
        *cell = (cell.0.minus(input[row]), cell.1.wrapping_sub(1));
        Ok(())
    }

    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        *into = (into.0.plus(from.0), into.1.wrapping_add(from.1));
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        cell.write(out);
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        Item::read(bytes)
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        let answer = |(sum, n): &Self::Cell| Ok(Value::Tuple(vec![sum.value(&self.sum), Value::UInt(*n)]));
        column(&self.ty, cells.iter().map(answer))
    }
}
