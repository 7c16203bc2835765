//! Aggregates that answer with one of the values they saw: `min`, `max`, `any`, `latest`, `arg_min`, …
//!
//! First and last are meant in the order rows arrive. A NaN is taken by `min` and `max` only where there is nothing else.

use super::bytes::{Reader, put_u64};
use super::define::{AggCall, Traits, define, define_as};
use super::fold::{Fold, Picked, folded, folded_with, sampled_heap};
use super::item::{Kind, RowKind, with_few_kinds, with_kind};
use crate::agg::BoundAgg;
use crate::registry::Registry;
use arrow::array::{Array, ArrayRef};
use hydron_base::Result;
use hydron_types::LogicalType;
use std::cmp::Ordering;
use std::collections::BTreeMap;

pub fn register(registry: &mut Registry) {
    for (name, rule) in [("min", Rule::Least), ("max", Rule::Greatest)] {
        define(registry, name, move |call| extreme(call, rule));
        registry.fold_case(name);
    }
    for (name, rule) in
        [("any", Rule::First), ("earliest", Rule::First), ("any_last", Rule::Last), ("latest", Rule::Last)]
    {
        define(registry, name, move |call| place(call, rule));
    }
    let sees = Traits { sees_nulls: true, ..Traits::default() };
    for (name, last) in [("any_respect_nulls", false), ("any_last_respect_nulls", true)] {
        define_as(registry, name, sees, move |call| {
            call.arity(1..=1)?;
            let kind = RowKind::new(&[call.ty(0).clone()])?;
            call.returns(call.ty(0).clone(), folded(AnyOf { kind, last }))
        });
    }
    for alias in ["first_value_respect_nulls", "any_value_respect_nulls"] {
        registry.add_alias(alias, "any_respect_nulls");
    }
    registry.add_alias("last_value_respect_nulls", "any_last_respect_nulls");
    registry.add_alias("first_value", "earliest");
    registry.add_alias("last_value", "latest");
    registry.add_alias("any_value", "any");
    registry.fold_case("any_value");
    define(registry, "any_heavy", |call| {
        call.arity(1..=1)?;
        with_few_kinds!(call.ty(0), k => call.returns(call.ty(0).clone(), folded(Heavy { kind: k })))
    });
    for (name, rule) in [("arg_min", Rule::Least), ("arg_max", Rule::Greatest)] {
        define(registry, name, move |call| arg(call, rule));
    }
    define_as(registry, "single_value_or_null", sees, |call| {
        call.arity(1..=1)?;
        let ty = call.ty(0).clone();
        if matches!(ty, LogicalType::Array(_) | LogicalType::Tuple(_) | LogicalType::Map(..)) {
            return Err(call.illegal(0));
        }
        let kind = RowKind::new(&[LogicalType::nullable(ty.clone())])?;
        call.returns(LogicalType::nullable(ty), folded(Single { kind }))
    });
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    First,
    Last,
    Least,
    Greatest,
}

fn extreme(call: &AggCall<'_>, rule: Rule) -> Result<BoundAgg> {
    call.arity(1..=1)?;
    let values_max = retract_max(call);
    with_kind!(call.ty(0), k => {
        let counted = Counted { kind: k.clone(), rule, values_max };
        call.returns(call.ty(0).clone(), folded_with(Pick { kind: k, rule }, counted))
    })
}

fn retract_max(call: &AggCall<'_>) -> usize {
    usize::try_from(call.cx.settings.uint("retract_max")).unwrap_or(usize::MAX).max(1)
}

fn place(call: &AggCall<'_>, rule: Rule) -> Result<BoundAgg> {
    call.arity(1..=1)?;
    with_kind!(call.ty(0), k => call.returns(call.ty(0).clone(), folded(Pick { kind: k, rule })))
}

struct Pick<K> {
    kind: K,
    rule: Rule,
}

impl<K: Kind> Pick<K> {
    #[inline]
    fn takes_over(&self, kept: &K::Own, order: impl FnOnce() -> Ordering, is_nan: impl FnOnce() -> bool) -> bool {
        match self.rule {
            Rule::First => false,
            Rule::Last => true,
            Rule::Least => order() == Ordering::Less,
            // The order puts NaN last, so `max` alone has to be told that any number is better.
            Rule::Greatest => K::is_nan(kept) || (order() == Ordering::Greater && !is_nan()),
        }
    }
}

impl<K: Kind> Fold for Pick<K> {
    type Cell = Option<K::Own>;
    type Input<'a> = K::View<'a>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<K::View<'a>> {
        self.kind.view(args)
    }

    fn empty(&self) -> Option<K::Own> {
        None
    }

    #[inline]
    fn add(&self, cell: &mut Option<K::Own>, input: &K::View<'_>, row: usize) -> Result<()> {
        match cell {
            None => *cell = Some(K::own(input, row)),
            Some(kept) => {
                let better = self.takes_over(kept, || K::compare(input, row, kept), || K::nan_at(input, row));
                if better {
                    K::set(kept, input, row);
                }
            }
        }
        Ok(())
    }

    fn merge(&self, into: &mut Option<K::Own>, from: Option<K::Own>) -> Result<()> {
        match (into.as_ref(), from) {
            (_, None) => {}
            (Some(kept), Some(from)) if !self.takes_over(kept, || from.cmp(kept), || K::is_nan(&from)) => {}
            (_, from) => *into = from,
        }
        Ok(())
    }

    fn write(&self, cell: &Option<K::Own>, out: &mut Vec<u8>) {
        if let Some(kept) = cell {
            out.push(1);
            K::write(kept, out);
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Option<K::Own>> {
        bytes.take(1)?;
        Ok(Some(K::read(bytes)?))
    }

    fn finish(&self, cells: Picked<'_, Option<K::Own>>) -> Result<ArrayRef> {
        values_or_default(&self.kind, cells.iter().map(Option::as_ref))
    }

    fn heap(&self, cell: &Option<K::Own>) -> usize {
        cell.as_ref().map_or(0, K::heap)
    }
}

/// A column of kept values, the default where there is none.
fn values_or_default<'a, K: Kind>(kind: &K, values: impl Iterator<Item = Option<&'a K::Own>>) -> Result<ArrayRef> {
    let values: Vec<Option<&K::Own>> = values.collect();
    if values.iter().all(Option::is_some) {
        return kind.array(values.into_iter().flatten());
    }
    let default = kind.default_own()?;
    kind.array(values.into_iter().map(|v| v.unwrap_or(&default)))
}

/// `min` and `max` for changelogs: how often each value is there.
struct Counted<K> {
    kind: K,
    rule: Rule,
    /// Past that the values farthest from the answer are forgotten, and their withdrawals have no effect.
    values_max: usize,
}

impl<K: Kind> Counted<K> {
    fn trim(&self, cell: &mut BTreeMap<K::Own, u64>) {
        while cell.len() > self.values_max {
            let _ = if self.rule == Rule::Least { cell.pop_last() } else { cell.pop_first() };
        }
    }
}

impl<K: Kind> Fold for Counted<K> {
    type Cell = BTreeMap<K::Own, u64>;
    type Input<'a> = K::View<'a>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<K::View<'a>> {
        self.kind.view(args)
    }

    fn empty(&self) -> BTreeMap<K::Own, u64> {
        BTreeMap::new()
    }

    fn add(&self, cell: &mut BTreeMap<K::Own, u64>, input: &K::View<'_>, row: usize) -> Result<()> {
        *cell.entry(K::own(input, row)).or_insert(0) += 1;
        self.trim(cell);
        Ok(())
    }

    fn withdraws(&self) -> bool {
        true
    }

    fn withdraw(&self, cell: &mut BTreeMap<K::Own, u64>, input: &K::View<'_>, row: usize) -> Result<()> {
        let value = K::own(input, row);
        match cell.get_mut(&value) {
            Some(1) => {
                cell.remove(&value);
            }
            Some(n) => *n -= 1,
            None => {}
        }
        Ok(())
    }

    fn merge(&self, into: &mut BTreeMap<K::Own, u64>, from: BTreeMap<K::Own, u64>) -> Result<()> {
        from.into_iter().for_each(|(v, n)| *into.entry(v).or_insert(0) += n);
        self.trim(into);
        Ok(())
    }

    fn write(&self, cell: &BTreeMap<K::Own, u64>, out: &mut Vec<u8>) {
        put_u64(out, cell.len() as u64);
        for (value, n) in cell {
            K::write(value, out);
            put_u64(out, *n);
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<BTreeMap<K::Own, u64>> {
        (0..bytes.count()?).map(|_| Ok((K::read(bytes)?, bytes.u64()?))).collect()
    }

    fn finish(&self, cells: Picked<'_, BTreeMap<K::Own, u64>>) -> Result<ArrayRef> {
        let best = |cell: &'_ BTreeMap<K::Own, u64>| match self.rule {
            Rule::Least => cell.keys().next().cloned(),
            _ => cell.keys().rev().find(|v| !K::is_nan(v)).or(cell.keys().next_back()).cloned(),
        };
        let best: Vec<Option<K::Own>> = cells.iter().map(best).collect();
        values_or_default(&self.kind, best.iter().map(Option::as_ref))
    }

    fn heap(&self, cell: &BTreeMap<K::Own, u64>) -> usize {
        // A tree node costs about half as much again as its entries.
        cell.len() * (std::mem::size_of::<(K::Own, u64)>() * 3 / 2) + sampled_heap(cell.len(), cell.keys().map(K::heap))
    }
}

/// The value that comes most, where one comes more often than all others together.
struct Heavy<K> {
    kind: K,
}

impl<K: Kind> Fold for Heavy<K> {
    type Cell = Option<(K::Own, u64)>;
    type Input<'a> = K::View<'a>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<K::View<'a>> {
        self.kind.view(args)
    }

    fn empty(&self) -> Self::Cell {
        None
    }

    fn add(&self, cell: &mut Self::Cell, input: &K::View<'_>, row: usize) -> Result<()> {
        match cell {
            Some((kept, n)) if K::compare(input, row, kept).is_eq() => *n += 1,
            Some((_, n)) if *n > 1 => *n -= 1,
            _ => *cell = Some((K::own(input, row), 1)),
        }
        Ok(())
    }

    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        *into = match (into.take(), from) {
            (Some((a, n)), Some((b, m))) if a == b => Some((a, n + m)),
            (Some((a, n)), Some((b, m))) => Some(if n >= m { (a, n - m) } else { (b, m - n) }),
            (a, b) => a.or(b),
        };
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        if let Some((kept, n)) = cell {
            put_u64(out, *n);
            K::write(kept, out);
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        let n = bytes.u64()?;
        Ok(Some((K::read(bytes)?, n)))
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        values_or_default(&self.kind, cells.iter().map(|c| c.as_ref().map(|(v, _)| v)))
    }

    fn heap(&self, cell: &Self::Cell) -> usize {
        cell.as_ref().map_or(0, |(v, _)| K::heap(v))
    }
}

fn arg(call: &AggCall<'_>, rule: Rule) -> Result<BoundAgg> {
    call.arity(2..=2)?;
    let values_max = retract_max(call);
    let value = RowKind::new(std::slice::from_ref(call.ty(0)))?;
    let result = call.ty(0).clone();
    with_kind!(call.ty(1), by => {
        let counted = ArgCounted { value: value.clone(), by: by.clone(), rule, values_max };
        call.returns(result, folded_with(Arg { value, by, rule }, counted))
    })
}

/// The value of the first argument in the row where the second is least or greatest; the first such row counts.
struct Arg<K> {
    value: RowKind,
    by: K,
    rule: Rule,
}

/// Both arguments of one batch. The value is turned into a row only where it is kept.
struct ArgInput<'a, K: Kind + 'a> {
    by: K::View<'a>,
    value: &'a ArrayRef,
    kind: &'a RowKind,
}

impl<K: Kind> ArgInput<'_, K> {
    fn value(&self, row: usize) -> Result<Vec<u8>> {
        let one = [self.value.slice(row, 1)];
        Ok(RowKind::own(&self.kind.view(&one)?, 0))
    }
}

impl<K: Kind> Arg<K> {
    fn takes_over(&self, kept: &K::Own, order: impl FnOnce() -> Ordering, is_nan: impl FnOnce() -> bool) -> bool {
        match self.rule {
            Rule::Least => order() == Ordering::Less,
            _ => (K::is_nan(kept) || order() == Ordering::Greater) && !is_nan(),
        }
    }
}

impl<K: Kind> Fold for Arg<K> {
    type Cell = Option<(K::Own, Vec<u8>)>;
    type Input<'a> = ArgInput<'a, K>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<ArgInput<'a, K>> {
        Ok(ArgInput { by: self.by.view(&args[1..])?, value: &args[0], kind: &self.value })
    }

    fn empty(&self) -> Self::Cell {
        None
    }

    fn add(&self, cell: &mut Self::Cell, input: &ArgInput<'_, K>, row: usize) -> Result<()> {
        match cell {
            Some((kept, value)) => {
                if self.takes_over(kept, || K::compare(&input.by, row, kept), || K::nan_at(&input.by, row)) {
                    K::set(kept, &input.by, row);
                    *value = input.value(row)?;
                }
            }
            None => *cell = Some((K::own(&input.by, row), input.value(row)?)),
        }
        Ok(())
    }

    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        match (into.as_ref(), from) {
            (_, None) => {}
            (Some((kept, _)), Some((by, _))) if !self.takes_over(kept, || by.cmp(kept), || K::is_nan(&by)) => {}
            (_, from) => *into = from,
        }
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        if let Some((by, value)) = cell {
            out.push(1);
            K::write(by, out);
            RowKind::write(value, out);
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        bytes.take(1)?;
        Ok(Some((K::read(bytes)?, RowKind::read(bytes)?)))
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        values_or_default(&self.value, cells.iter().map(|c| c.as_ref().map(|(_, v)| v)))
    }

    fn heap(&self, cell: &Self::Cell) -> usize {
        cell.as_ref().map_or(0, |(by, value)| K::heap(by) + value.capacity())
    }
}

/// `arg_min` and `arg_max` for changelogs: the rows in order of the second argument, then of arrival.
struct ArgCounted<K> {
    value: RowKind,
    by: K,
    rule: Rule,
    values_max: usize,
}

impl<K: Kind> ArgCounted<K> {
    fn trim(&self, cell: &mut BTreeMap<K::Own, Vec<Vec<u8>>>) {
        while cell.len() > self.values_max {
            let _ = if self.rule == Rule::Least { cell.pop_last() } else { cell.pop_first() };
        }
    }
}

impl<K: Kind> Fold for ArgCounted<K> {
    type Cell = BTreeMap<K::Own, Vec<Vec<u8>>>;
    type Input<'a> = ArgInput<'a, K>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<ArgInput<'a, K>> {
        Ok(ArgInput { by: self.by.view(&args[1..])?, value: &args[0], kind: &self.value })
    }

    fn empty(&self) -> Self::Cell {
        BTreeMap::new()
    }

    fn add(&self, cell: &mut Self::Cell, input: &ArgInput<'_, K>, row: usize) -> Result<()> {
        cell.entry(K::own(&input.by, row)).or_default().push(input.value(row)?);
        self.trim(cell);
        Ok(())
    }

    fn withdraws(&self) -> bool {
        true
    }

    fn withdraw(&self, cell: &mut Self::Cell, input: &ArgInput<'_, K>, row: usize) -> Result<()> {
        let by = K::own(&input.by, row);
        let Some(values) = cell.get_mut(&by) else {
            return Ok(());
        };
        let value = input.value(row)?;
        if let Some(at) = values.iter().position(|v| *v == value) {
            values.remove(at);
        }
        if values.is_empty() {
            cell.remove(&by);
        }
        Ok(())
    }

    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        from.into_iter().for_each(|(by, values)| into.entry(by).or_default().extend(values));
        self.trim(into);
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        put_u64(out, cell.len() as u64);
        for (by, values) in cell {
            K::write(by, out);
            put_u64(out, values.len() as u64);
            values.iter().for_each(|v| RowKind::write(v, out));
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        let one = |bytes: &mut Reader<'_>| {
            let by = K::read(bytes)?;
            let values = (0..bytes.count()?).map(|_| RowKind::read(bytes)).collect::<Result<Vec<_>>>()?;
            Ok((by, values))
        };
        (0..bytes.count()?).map(|_| one(bytes)).collect()
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        let best = |cell: &'_ Self::Cell| match self.rule {
            Rule::Least => cell.values().next().and_then(|v| v.first()).cloned(),
            _ => cell
                .iter()
                .rev()
                .find(|(by, _)| !K::is_nan(by))
                .or(cell.iter().next_back())
                .and_then(|(_, v)| v.first())
                .cloned(),
        };
        let best: Vec<Option<Vec<u8>>> = cells.iter().map(best).collect();
        values_or_default(&self.value, best.iter().map(Option::as_ref))
    }

    fn heap(&self, cell: &Self::Cell) -> usize {
        let of = |(by, values): (&K::Own, &Vec<Vec<u8>>)| {
            K::heap(by) + values.iter().map(|v| v.capacity() + std::mem::size_of::<Vec<u8>>()).sum::<usize>()
        };
        cell.len() * 2 * std::mem::size_of::<(K::Own, Vec<Vec<u8>>)>() + sampled_heap(cell.len(), cell.iter().map(of))
    }
}

/// The value when all rows have the same, else NULL.
struct Single {
    kind: RowKind,
}

/// The first or the last value, NULL among them.
struct AnyOf {
    kind: RowKind,
    last: bool,
}

impl Fold for AnyOf {
    type Cell = Option<Vec<u8>>;
    type Input<'a> = <RowKind as Kind>::View<'a>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        self.kind.view(args)
    }

    fn empty(&self) -> Option<Vec<u8>> {
        None
    }

    fn add(&self, cell: &mut Option<Vec<u8>>, input: &Self::Input<'_>, row: usize) -> Result<()> {
        if self.last || cell.is_none() {
            *cell = Some(RowKind::own(input, row));
        }
        Ok(())
    }

    fn merge(&self, into: &mut Option<Vec<u8>>, from: Option<Vec<u8>>) -> Result<()> {
        if from.is_some() && (self.last || into.is_none()) {
            *into = from;
        }
        Ok(())
    }

    fn write(&self, cell: &Option<Vec<u8>>, out: &mut Vec<u8>) {
        if let Some(value) = cell {
            RowKind::write(value, out);
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Option<Vec<u8>>> {
        Ok(if bytes.is_empty() { None } else { Some(RowKind::read(bytes)?) })
    }

    fn finish(&self, cells: Picked<'_, Option<Vec<u8>>>) -> Result<ArrayRef> {
        values_or_default(&self.kind, cells.iter().map(Option::as_ref))
    }

    fn heap(&self, cell: &Option<Vec<u8>>) -> usize {
        cell.as_ref().map_or(0, Vec::capacity)
    }
}

enum Only {
    Nothing,
    One(Vec<u8>),
    Many,
}

impl Fold for Single {
    type Cell = Only;
    type Input<'a> = <RowKind as Kind>::View<'a>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        self.kind.view(args)
    }

    fn empty(&self) -> Only {
        Only::Nothing
    }

    fn add(&self, cell: &mut Only, input: &Self::Input<'_>, row: usize) -> Result<()> {
        match cell {
            Only::Nothing => *cell = Only::One(RowKind::own(input, row)),
            Only::One(kept) if !RowKind::compare(input, row, kept).is_eq() => *cell = Only::Many,
            _ => {}
        }
        Ok(())
    }

    fn merge(&self, into: &mut Only, from: Only) -> Result<()> {
        *into = match (std::mem::replace(into, Only::Nothing), from) {
            (Only::Nothing, x) | (x, Only::Nothing) => x,
            (Only::One(a), Only::One(b)) if a == b => Only::One(a),
            _ => Only::Many,
        };
        Ok(())
    }

    fn write(&self, cell: &Only, out: &mut Vec<u8>) {
        match cell {
            Only::Nothing => {}
            Only::One(v) => {
                out.push(1);
                RowKind::write(v, out);
            }
            Only::Many => out.push(2),
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Only> {
        Ok(match bytes.take(1)? {
            [1] => Only::One(RowKind::read(bytes)?),
            _ => Only::Many,
        })
    }

    fn finish(&self, cells: Picked<'_, Only>) -> Result<ArrayRef> {
        let one = |cell: &'_ Only| match cell {
            Only::One(v) => Some(v.clone()),
            _ => None,
        };
        let values: Vec<Option<Vec<u8>>> = cells.iter().map(one).collect();
        values_or_default(&self.kind, values.iter().map(Option::as_ref))
    }
}
