//! The most frequent values (`top_k`) and the least or greatest ones (`min_k`, `max_k`).
//!
//! `top_k_exact` counts every value; how `top_k` goes with fewer counters stands in [`super::frequent`].

use super::bytes::{Reader, put_u64};
use super::define::{AggCall, Traits, define_as};
use super::fold::{Fold, Picked, folded, folded_with, sampled_heap};
use super::frequent::Frequent;
use super::item::{Kind, RowKind, with_few_kinds, with_kind};
use crate::agg::BoundAgg;
use crate::registry::Registry;
use crate::scalar::column::{end_offset, list, tuple};
use crate::scalar::number::to_vec;
use arrow::array::{Array, ArrayRef, UInt64Array};
use hashbrown::HashMap;
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value};
use std::sync::Arc;

/// What the counts of one group may take: some seven million numbers. Beyond that `top_k` is meant.
const EXACT_BYTES_MAX: usize = 256 << 20;

/// Values that `k` and `k * load factor` may reach; Proton's bound.
const K_MAX: usize = 0xff_ffff;

pub fn register(registry: &mut Registry) {
    for (name, args, exact) in
        [("top_k", 1, false), ("top_k_exact", 1, true), ("top_k_weighted", 2, false), ("top_k_exact_weighted", 2, true)]
    {
        let traits = Traits { params_from: Some(args), default_without_rows: true, ..Traits::default() };
        define_as(registry, name, traits, move |call| top_k(call, args, exact));
    }
    let traits = Traits { param_at: Some(1), default_without_rows: true, ..Traits::default() };
    define_as(registry, "min_k", traits, |call| extremes(call, false));
    registry.add_alias("group_array_sorted", "min_k");
    define_as(registry, "max_k", traits, |call| extremes(call, true));
}

fn top_k(call: &AggCall<'_>, args: usize, exact: bool) -> Result<BoundAgg> {
    if call.args.len() != args || !(1..=3).contains(&call.params.len()) {
        return Err(Error::new(
            Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH,
            format!("\"{}\" takes {} to {} arguments", call.name, args + 1, args + 3),
        ));
    }
    let k = call.count_param(0, 10, K_MAX)?;
    let with_count = match call.params.get(1) {
        None => true,
        Some(Value::Bool(b)) => *b,
        Some(v) => {
            v.as_i64().ok_or_else(|| {
                Error::bad_arguments(format!("the third argument of \"{}\" must be a bool", call.name))
            })? != 0
        }
    };
    const LOAD_FACTOR: usize = 1000;
    let load = if exact { 1 } else { call.count_param(2, LOAD_FACTOR.min(K_MAX / k).max(1), K_MAX)? };
    if k.saturating_mul(load) > K_MAX {
        let text = format!("k times load factor of \"{}\" must be at most {K_MAX}, given {k} and {load}", call.name);
        return Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, text));
    }
    let weight = call.args.get(1).map(|a| a.ty.clone());
    if weight.as_ref().is_some_and(|w| !w.is_integer()) {
        return Err(call.illegal(1));
    }
    let pair = LogicalType::Tuple(vec![(None, call.ty(0).clone()), (None, LogicalType::UInt64)].into());
    let element = if with_count { pair } else { call.ty(0).clone() };
    let ty = LogicalType::Array(Box::new(element.clone()));
    if exact {
        return with_few_kinds!(call.ty(0), kind => {
            call.returns(ty, folded(TopK { kind, weight, k, with_count, element }))
        });
    }
    // Numbers are hashed by their value, of whatever width.
    with_kind!(call.ty(0), kind => {
        call.returns(ty, folded(Frequent { kind, weight, k, kept_max: k * load, with_count, element }))
    })
}

struct TopK<K> {
    kind: K,
    weight: Option<LogicalType>,
    k: usize,
    with_count: bool,
    element: LogicalType,
}

/// How often each value came, and which came first.
struct Counts<O> {
    values: HashMap<O, (u64, u64), foldhash::fast::RandomState>,
    next: u64,
}

impl<K: Kind> TopK<K> {
    /// Errors: ARGUMENT_OUT_OF_BOUND (69) when there are too many different values to count each.
    fn count(&self, cell: &mut Counts<K::Own>, value: K::Own, n: u64) -> Result<()> {
        let next = cell.next;
        let entry = cell.values.entry(value).or_insert((0, next));
        entry.0 = entry.0.saturating_add(n);
        cell.next += 1;
        if cell.values.allocation_size() > EXACT_BYTES_MAX {
            let text = format!(
                "\"top_k_exact\" counts {} different values of one group in more than {} MiB",
                cell.values.len(),
                EXACT_BYTES_MAX >> 20
            );
            return Err(
                Error::new(Code::ARGUMENT_OUT_OF_BOUND, text).hint("top_k, which counts the most frequent ones")
            );
        }
        Ok(())
    }

    /// By count, then by arrival.
    fn ranked<'a>(&self, cell: &'a Counts<K::Own>) -> Vec<(&'a K::Own, u64)> {
        let mut all: Vec<(&K::Own, &(u64, u64))> = cell.values.iter().collect();
        all.sort_by_key(|(_, (n, first))| (std::cmp::Reverse(*n), *first));
        all.into_iter().map(|(v, (n, _))| (v, *n)).collect()
    }
}

impl<K: Kind> Fold for TopK<K> {
    type Cell = Counts<K::Own>;
    type Input<'a> = (K::View<'a>, Option<Vec<u64>>);

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        let weights = self.weight.as_ref().map(|ty| to_vec::<u64>(&args[1], ty)).transpose()?;
        Ok((self.kind.view(args)?, weights))
    }

    fn empty(&self) -> Self::Cell {
        Counts { values: HashMap::default(), next: 0 }
    }

    fn add(&self, cell: &mut Self::Cell, (values, weights): &Self::Input<'_>, row: usize) -> Result<()> {
        self.count(cell, K::own(values, row), weights.as_ref().map_or(1, |w| w[row]))
    }

    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        let mut in_order: Vec<(K::Own, (u64, u64))> = from.values.into_iter().collect();
        in_order.sort_by_key(|(_, (_, first))| *first);
        in_order.into_iter().try_for_each(|(v, (n, _))| self.count(into, v, n))
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        let mut in_order: Vec<(&K::Own, &(u64, u64))> = cell.values.iter().collect();
        in_order.sort_by_key(|(_, (_, first))| *first);
        put_u64(out, in_order.len() as u64);
        for (value, (n, _)) in in_order {
            K::write(value, out);
            put_u64(out, *n);
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        let mut cell = self.empty();
        for next in 0..bytes.count()? as u64 {
            let value = K::read(bytes)?;
            cell.values.insert(value, (bytes.u64()?, next));
            cell.next = next + 1;
        }
        Ok(cell)
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        let ranked = cells.iter().map(|cell| self.ranked(cell).into_iter().take(self.k));
        lists(&self.kind, &self.element, self.with_count, ranked)
    }

    fn heap(&self, cell: &Self::Cell) -> usize {
        cell.values.allocation_size() + sampled_heap(cell.values.len(), cell.values.keys().map(K::heap))
    }
}

/// One array for each group: its values, with their counts where they are asked for.
pub fn lists<'a, K: Kind>(
    kind: &K,
    element: &LogicalType,
    with_count: bool,
    groups: impl Iterator<Item = impl Iterator<Item = (&'a K::Own, u64)>>,
) -> Result<ArrayRef> {
    let (mut values, mut counts, mut ends) = (Vec::new(), Vec::new(), vec![0]);
    for group in groups {
        for (value, n) in group {
            values.push(value);
            counts.push(n);
        }
        ends.push(end_offset(values.len())?);
    }
    let values = kind.array(values.into_iter())?;
    if !with_count {
        return Ok(list(element, ends, values));
    }
    let rows = values.len();
    let pairs = tuple(element, vec![values, Arc::new(UInt64Array::from(counts))], rows)?;
    Ok(list(element, ends, pairs))
}

fn extremes(call: &AggCall<'_>, greatest: bool) -> Result<BoundAgg> {
    call.arity(1..=usize::MAX)?;
    if call.params.len() != 1 {
        return Err(Error::new(
            Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH,
            format!("\"{}\" takes a value, the number of values, and optionally columns to go with them", call.name),
        ));
    }
    let k = call.count_param(0, 1, K_MAX)?;
    let multiplier = usize::try_from(call.cx.settings.uint("retract_k_multiplier")).unwrap_or(1).max(1);
    let rows = RowKind::new(&call.types())?;
    let element = match call.args {
        // A tuple stands in a tuple of its own, as it does beside other columns.
        [only] if !matches!(only.ty, LogicalType::Tuple(_)) => only.ty.clone(),
        all => LogicalType::Tuple(all.iter().map(|a| (None, a.ty.clone())).collect()),
    };
    with_few_kinds!(call.ty(0), kind => {
        let alone = call.args.len() == 1 && !matches!(call.args[0].ty, LogicalType::Tuple(_));
        let fold = Extremes { kind, rows, k, kept_max: k, greatest, element: element.clone(), alone, withdraws: false };
        let kept_max = k.saturating_mul(multiplier);
        let counted = Extremes { kept_max, withdraws: true, kind: fold.kind.clone(), rows: fold.rows.clone(), element: element.clone(), ..fold };
        call.returns(LogicalType::Array(Box::new(element)), folded_with(fold, counted))
    })
}

/// The best values with the rows they came in, best first, ties in order of arrival.
struct Extremes<K> {
    kind: K,
    rows: RowKind,
    k: usize,
    kept_max: usize,
    greatest: bool,
    element: LogicalType,
    /// An element is a value, not a tuple of columns.
    alone: bool,
    withdraws: bool,
}

impl<K: Kind> Extremes<K> {
    /// Whether a value that compares like `order` to a kept one comes before it.
    fn before(&self, order: std::cmp::Ordering) -> bool {
        if self.greatest { order.is_gt() } else { order.is_lt() }
    }

    fn insert(&self, cell: &mut Vec<(K::Own, Vec<u8>)>, value: K::Own, row: Vec<u8>) {
        let at = cell.partition_point(|(kept, _)| !self.before(value.cmp(kept)));
        if at < self.kept_max {
            cell.insert(at, (value, row));
            cell.truncate(self.kept_max);
        }
    }
}

impl<K: Kind> Fold for Extremes<K> {
    type Cell = Vec<(K::Own, Vec<u8>)>;
    type Input<'a> = (K::View<'a>, <RowKind as Kind>::View<'a>);

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        Ok((self.kind.view(args)?, self.rows.view(args)?))
    }

    fn empty(&self) -> Self::Cell {
        Vec::new()
    }

    fn add(&self, cell: &mut Self::Cell, (values, rows): &Self::Input<'_>, row: usize) -> Result<()> {
        if K::nan_at(values, row) {
            return Ok(());
        }
        if cell.len() >= self.kept_max
            && cell.last().is_some_and(|(kept, _)| !self.before(K::compare(values, row, kept)))
        {
            return Ok(());
        }
        self.insert(cell, K::own(values, row), RowKind::own(rows, row));
        Ok(())
    }

    fn withdraws(&self) -> bool {
        self.withdraws
    }

    fn withdraw(&self, cell: &mut Self::Cell, (_, rows): &Self::Input<'_>, row: usize) -> Result<()> {
        if let Some(at) = cell.iter().position(|(_, kept)| RowKind::compare(rows, row, kept).is_eq()) {
            cell.remove(at);
        }
        Ok(())
    }

    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        from.into_iter().for_each(|(value, row)| self.insert(into, value, row));
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        put_u64(out, cell.len() as u64);
        for (value, row) in cell {
            K::write(value, out);
            RowKind::write(row, out);
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        (0..bytes.count()?).map(|_| Ok((K::read(bytes)?, RowKind::read(bytes)?))).collect()
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        let (mut rows, mut ends) = (Vec::new(), vec![0]);
        for cell in cells.iter() {
            rows.extend(cell.iter().take(self.k).map(|(_, row)| row.as_slice()));
            ends.push(end_offset(rows.len())?);
        }
        let len = rows.len();
        let mut columns = self.rows.columns(rows.into_iter())?;
        let elements = match self.alone {
            true => columns.swap_remove(0),
            false => tuple(&self.element, columns, len)?,
        };
        Ok(list(&self.element, ends, elements))
    }

    fn heap(&self, cell: &Self::Cell) -> usize {
        let each = |(value, row): &(K::Own, Vec<u8>)| K::heap(value) + row.capacity();
        cell.capacity() * std::mem::size_of::<(K::Own, Vec<u8>)>() + sampled_heap(cell.len(), cell.iter().map(each))
    }
}
