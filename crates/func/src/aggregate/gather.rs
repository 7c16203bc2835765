//! Aggregates that answer with an array of what they saw: all values, different values, running sums.

use super::bytes::{Reader, put_u64};
use super::define::{AggCall, Traits, define_as};
use super::fold::{Fold, Picked, folded, folded_with, sampled_heap};
use super::item::{Kind, with_few_kinds};
use super::sum::floats;
use crate::agg::BoundAgg;
use crate::registry::Registry;
use crate::scalar::column::{end_offset, list};
use crate::scalar::number::{Num, number_layout, to_vec, with_number};
use arrow::array::ArrayRef;
use hashbrown::HashMap;
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value};
use std::marker::PhantomData;

/// Elements one group may gather; an array of more would not fit a column anyway.
const ELEMENTS_MAX: usize = 1 << 30;

pub fn register(registry: &mut Registry) {
    let traits = Traits { params_from: Some(1), default_without_rows: true, ..Traits::default() };
    for (name, end) in [("group_array", End::First), ("group_array_last", End::Last)] {
        define_as(registry, name, traits, move |call| {
            call.arity(1..=1)?;
            let most = call.count_param(0, ELEMENTS_MAX, ELEMENTS_MAX)?;
            with_few_kinds!(call.ty(0), k => {
                call.returns(LogicalType::Array(Box::new(call.ty(0).clone())), folded(Gather { kind: k, most, end }))
            })
        });
    }
    define_as(registry, "group_uniq_array", traits, |call| {
        call.arity(1..=1)?;
        let most = call.count_param(0, ELEMENTS_MAX, ELEMENTS_MAX)?;
        with_few_kinds!(call.ty(0), k => {
            let counted = GatherUnique { kind: k.clone(), most, counted: true };
            let plain = GatherUnique { kind: k, most, counted: false };
            call.returns(LogicalType::Array(Box::new(call.ty(0).clone())), folded_with(plain, counted))
        })
    });
    let moving = Traits { params_from: Some(1), default_without_rows: true, ..Traits::default() };
    define_as(registry, "group_array_moving_sum", moving, moving_sum);
    define_as(registry, "group_array_moving_avg", moving, |call| {
        call.arity(1..=1)?;
        call.need_number(0)?;
        let window = call.count_param(0, 0, ELEMENTS_MAX)?;
        let arg = call.ty(0).clone();
        call.returns(LogicalType::Array(Box::new(LogicalType::Float64)), folded(MovingAvg { arg, window }))
    });
    registry.add_alias("moving_sum", "group_array_moving_sum");
    registry.add_alias("moving_avg", "group_array_moving_avg");
    let traits = Traits { params_from: Some(1), ..Traits::default() };
    define_as(registry, "group_concat", traits, |call| {
        call.arity(1..=1)?;
        if !matches!(call.ty(0), LogicalType::String | LogicalType::FixedString(_)) {
            return Err(call.illegal(0));
        }
        let between = match call.params.first() {
            None => Vec::new(),
            Some(Value::Bytes(text)) => text.to_vec(),
            Some(_) => return Err(Error::bad_arguments("the delimiter of \"group_concat\" is a string")),
        };
        let most = call.count_param(1, usize::MAX, usize::MAX)?;
        call.returns(LogicalType::String, folded(Concat { between, most }))
    });
    registry.fold_case("group_concat");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    First,
    Last,
}

struct Gather<K> {
    kind: K,
    /// Elements kept of each group: the first or the last.
    most: usize,
    end: End,
}

impl<K: Kind> Gather<K> {
    fn push(&self, cell: &mut Vec<K::Own>, value: K::Own) -> Result<()> {
        if cell.len() < self.most {
            cell.push(value);
        } else if self.end == End::Last {
            cell.remove(0);
            cell.push(value);
        } else if self.most == ELEMENTS_MAX {
            return Err(Error::new(
                Code::TOO_LARGE_ARRAY_SIZE,
                format!("group_array gathered {ELEMENTS_MAX} elements in one group"),
            ));
        }
        Ok(())
    }
}

impl<K: Kind> Fold for Gather<K> {
    type Cell = Vec<K::Own>;
    type Input<'a> = K::View<'a>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<K::View<'a>> {
        self.kind.view(args)
    }

    fn empty(&self) -> Vec<K::Own> {
        Vec::new()
    }

    fn add(&self, cell: &mut Vec<K::Own>, input: &K::View<'_>, row: usize) -> Result<()> {
        if cell.len() >= self.most && self.end == End::First && self.most < ELEMENTS_MAX {
            return Ok(());
        }
        self.push(cell, K::own(input, row))
    }

    fn merge(&self, into: &mut Vec<K::Own>, from: Vec<K::Own>) -> Result<()> {
        from.into_iter().try_for_each(|v| self.push(into, v))
    }

    fn write(&self, cell: &Vec<K::Own>, out: &mut Vec<u8>) {
        put_u64(out, cell.len() as u64);
        cell.iter().for_each(|v| K::write(v, out));
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Vec<K::Own>> {
        (0..bytes.count()?).map(|_| K::read(bytes)).collect()
    }

    fn finish(&self, cells: Picked<'_, Vec<K::Own>>) -> Result<ArrayRef> {
        lists(&self.kind, cells.iter().map(|c| c.iter()))
    }

    fn heap(&self, cell: &Vec<K::Own>) -> usize {
        cell.capacity() * std::mem::size_of::<K::Own>() + sampled_heap(cell.len(), cell.iter().map(K::heap))
    }
}

/// One array for each group.
fn lists<'a, K: Kind, I>(kind: &K, groups: impl Iterator<Item = I>) -> Result<ArrayRef>
where
    I: Iterator<Item = &'a K::Own>,
{
    let (mut all, mut ends) = (Vec::new(), vec![0]);
    for group in groups {
        all.extend(group);
        ends.push(end_offset(all.len())?);
    }
    Ok(list(kind.ty(), ends, kind.array(all.into_iter())?))
}

/// Different values in the order they were first seen.
struct GatherUnique<K> {
    kind: K,
    most: usize,
    /// Counts how often each value is there, for withdrawals. The limit then cuts the answer, not what is kept.
    counted: bool,
}

/// How often a value is there, and when it came.
type Seen = (u64, u64);

#[derive(Clone)]
struct UniqueCell<O> {
    values: HashMap<O, Seen, foldhash::fast::RandomState>,
    next: u64,
}

impl<K: Kind> GatherUnique<K> {
    fn add_value(&self, cell: &mut UniqueCell<K::Own>, value: K::Own, times: u64) {
        let full = !self.counted && cell.values.len() >= self.most;
        match cell.values.get_mut(&value) {
            Some(seen) => seen.0 += times,
            None if full => {}
            None => {
                cell.values.insert(value, (times, cell.next));
                cell.next += 1;
            }
        }
    }

    fn in_order<'a>(&self, cell: &'a UniqueCell<K::Own>) -> Vec<(&'a K::Own, u64)> {
        let mut all: Vec<(&K::Own, &Seen)> = cell.values.iter().collect();
        all.sort_by_key(|(_, seen)| seen.1);
        all.into_iter().map(|(v, seen)| (v, seen.0)).collect()
    }
}

impl<K: Kind> Fold for GatherUnique<K> {
    type Cell = UniqueCell<K::Own>;
    type Input<'a> = K::View<'a>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<K::View<'a>> {
        self.kind.view(args)
    }

    fn empty(&self) -> Self::Cell {
        UniqueCell { values: HashMap::default(), next: 0 }
    }

    fn add(&self, cell: &mut Self::Cell, input: &K::View<'_>, row: usize) -> Result<()> {
        self.add_value(cell, K::own(input, row), 1);
        Ok(())
    }

    fn withdraws(&self) -> bool {
        self.counted
    }

    fn withdraw(&self, cell: &mut Self::Cell, input: &K::View<'_>, row: usize) -> Result<()> {
        let value = K::own(input, row);
        match cell.values.get_mut(&value) {
            Some((1, _)) => {
                cell.values.remove(&value);
            }
            Some((n, _)) => *n -= 1,
            None => {}
        }
        Ok(())
    }

    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        let in_order: Vec<(K::Own, u64)> = self.in_order(&from).into_iter().map(|(v, n)| (v.clone(), n)).collect();
        in_order.into_iter().for_each(|(v, n)| self.add_value(into, v, n));
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        put_u64(out, cell.values.len() as u64);
        for (value, n) in self.in_order(cell) {
            K::write(value, out);
            put_u64(out, n);
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
        let most = self.most;
        lists(&self.kind, cells.iter().map(|c| self.in_order(c).into_iter().take(most).map(|(v, _)| v)))
    }

    fn heap(&self, cell: &Self::Cell) -> usize {
        cell.values.allocation_size() + sampled_heap(cell.values.len(), cell.values.keys().map(K::heap))
    }
}

fn moving_sum(call: &AggCall<'_>) -> Result<BoundAgg> {
    use LogicalType::*;
    call.arity(1..=1)?;
    call.need_number(0)?;
    let window = call.count_param(0, 0, ELEMENTS_MAX)?;
    let element = match call.ty(0) {
        Bool | UInt8 | UInt16 | UInt32 | UInt64 => UInt64,
        Int8 | Int16 | Int32 | Int64 => Int64,
        Decimal { precision: ..=38, scale } => Decimal { precision: 38, scale: *scale },
        Decimal { scale, .. } => Decimal { precision: 76, scale: *scale },
        Float32 | Float64 => Float64,
        wide => wide.clone(),
    };
    let arg = call.ty(0).clone();
    with_number!(number_layout(&element), S => {
        let fold = MovingSum::<S> { arg, element: element.clone(), window, of: PhantomData };
        call.returns(Array(Box::new(element.clone())), folded(fold))
    }, else Err(call.illegal(0)))
}

/// The sum of the last `window` values at each row; 0: of all values so far.
struct MovingSum<S> {
    arg: LogicalType,
    element: LogicalType,
    window: usize,
    of: PhantomData<fn() -> S>,
}

impl<S: Num> Fold for MovingSum<S> {
    /// The values as they came.
    type Cell = Vec<S>;
    type Input<'a> = Vec<S>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Vec<S>> {
        to_vec(&args[0], &self.arg)
    }

    fn empty(&self) -> Vec<S> {
        Vec::new()
    }

    fn add(&self, cell: &mut Vec<S>, input: &Vec<S>, row: usize) -> Result<()> {
        cell.push(input[row]);
        Ok(())
    }

    fn merge(&self, into: &mut Vec<S>, from: Vec<S>) -> Result<()> {
        into.extend(from);
        Ok(())
    }

    fn state_types(&self) -> Vec<arrow::datatypes::DataType> {
        vec![hydron_types::physical::arrow_type(&LogicalType::Array(Box::new(S::TYPE)))]
    }

    fn save(&self, cells: Picked<'_, Vec<S>>) -> Result<Vec<ArrayRef>> {
        let (mut all, mut ends) = (Vec::new(), vec![0]);
        for cell in cells.iter() {
            all.extend_from_slice(cell);
            ends.push(end_offset(all.len())?);
        }
        Ok(vec![list(&S::TYPE, ends, S::array(all))])
    }

    fn load(&self, cells: &mut [Vec<S>], groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let lists: &arrow::array::ListArray = crate::call::downcast(super::fold::state_column(state, 0)?)?;
        for (row, group) in groups.iter().enumerate() {
            cells[*group as usize].extend(to_vec::<S>(&lists.value(row), &S::TYPE)?);
        }
        Ok(())
    }

    fn finish(&self, cells: Picked<'_, Vec<S>>) -> Result<ArrayRef> {
        let (mut all, mut ends) = (Vec::new(), vec![0]);
        for cell in cells.iter() {
            let mut sum = S::default();
            for (i, v) in cell.iter().enumerate() {
                sum = sum.add(*v);
                if self.window > 0 && i >= self.window {
                    sum = sum.sub(cell[i - self.window]);
                }
                all.push(sum);
            }
            ends.push(end_offset(all.len())?);
        }
        Ok(list(&self.element, ends, crate::scalar::column::retyped(&S::array(all), &self.element)))
    }

    fn heap(&self, cell: &Vec<S>) -> usize {
        cell.capacity() * std::mem::size_of::<S>()
    }
}

/// The average over the last `window` values at each row; 0: the sum so far over the count of all values.
struct MovingAvg {
    arg: LogicalType,
    window: usize,
}

impl Fold for MovingAvg {
    type Cell = Vec<f64>;
    type Input<'a> = Vec<f64>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Vec<f64>> {
        floats(&args[0], &self.arg)
    }

    fn empty(&self) -> Vec<f64> {
        Vec::new()
    }

    fn add(&self, cell: &mut Vec<f64>, input: &Vec<f64>, row: usize) -> Result<()> {
        cell.push(input[row]);
        Ok(())
    }

    fn merge(&self, into: &mut Vec<f64>, from: Vec<f64>) -> Result<()> {
        into.extend(from);
        Ok(())
    }

    fn write(&self, cell: &Vec<f64>, out: &mut Vec<u8>) {
        cell.iter().for_each(|v| super::bytes::put_f64(out, *v));
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Vec<f64>> {
        let mut cell = Vec::new();
        while !bytes.is_empty() {
            cell.push(bytes.f64()?);
        }
        Ok(cell)
    }

    fn finish(&self, cells: Picked<'_, Vec<f64>>) -> Result<ArrayRef> {
        let (mut all, mut ends) = (Vec::new(), vec![0]);
        for cell in cells.iter() {
            let window = if self.window == 0 { cell.len() } else { self.window };
            let mut sum = 0.0;
            for (i, v) in cell.iter().enumerate() {
                sum += v;
                if i >= window {
                    sum -= cell[i - window];
                }
                all.push(sum / window as f64);
            }
            ends.push(end_offset(all.len())?);
        }
        Ok(list(&LogicalType::Float64, ends, f64::array(all)))
    }

    fn heap(&self, cell: &Vec<f64>) -> usize {
        cell.capacity() * 8
    }
}

/// All strings, one after the other.
/// Texts one behind the other.
struct Concat {
    between: Vec<u8>,
    /// Texts of one group.
    most: usize,
}

#[derive(Clone, Default)]
struct Texts {
    count: u64,
    bytes: Vec<u8>,
}

impl Concat {
    fn push(&self, cell: &mut Texts, text: &[u8]) -> Result<()> {
        if cell.count >= self.most as u64 {
            return Ok(());
        }
        if cell.count > 0 {
            cell.bytes.extend_from_slice(&self.between);
        }
        cell.bytes.extend_from_slice(text);
        cell.count += 1;
        end_offset(cell.bytes.len()).map(|_| ())
    }
}

impl Fold for Concat {
    type Cell = Texts;
    type Input<'a> = crate::scalar::column::Texts<'a>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        crate::scalar::column::Texts::of_array(&args[0])
    }

    fn empty(&self) -> Texts {
        Texts::default()
    }

    fn add(&self, cell: &mut Texts, input: &Self::Input<'_>, row: usize) -> Result<()> {
        self.push(cell, input.at(row))
    }

    fn merge(&self, into: &mut Texts, from: Texts) -> Result<()> {
        if from.count == 0 {
            return Ok(());
        }
        // The limit is on texts, which are no longer told apart: what came over it is kept whole.
        let before = into.count;
        self.push(into, &from.bytes)?;
        into.count = before + from.count;
        Ok(())
    }

    fn write(&self, cell: &Texts, out: &mut Vec<u8>) {
        put_u64(out, cell.count);
        out.extend_from_slice(&cell.bytes);
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Texts> {
        if bytes.is_empty() {
            return Ok(Texts::default());
        }
        Ok(Texts { count: bytes.u64()?, bytes: bytes.take(bytes.0.len())?.to_vec() })
    }

    fn finish(&self, cells: Picked<'_, Texts>) -> Result<ArrayRef> {
        let cells: Vec<&Texts> = cells.iter().collect();
        crate::scalar::column::texts(cells.len(), |row, out| out.extend_from_slice(&cells[row].bytes))
    }

    fn heap(&self, cell: &Texts) -> usize {
        cell.bytes.capacity()
    }
}
