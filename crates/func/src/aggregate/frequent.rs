//! The most frequent values in bounded memory: `top_k` and `top_k_weighted`.
//!
//! In: values, with weights. Out: the `k` values with the highest counts. The algorithm is Filtered Space-Saving (Homem and
//! Carvalho, 2010): `k * load factor` counters; a value without a counter first adds up in a cell of a filter that it shares
//! with others, and takes the place of the least counter once the cell has caught up with it. Promise: as long as there are no
//! more different values than counters all counts are exact; beyond that a count is too high by at most what its cell had,
//! and a value that comes more often than all rows divided by the number of counters is never lost.

use super::bytes::{Reader, put_u64};
use super::fold::{Fold, Picked};
use super::item::Kind;
use super::rank::lists;
use crate::scalar::number::to_vec;
use arrow::array::ArrayRef;
use hashbrown::HashMap;
use hydron_base::{Error, Result};
use hydron_types::LogicalType;

/// Cells of the filter for each counter, before the number is rounded up to a power of two.
const CELLS_PER_COUNTER: usize = 6;

/// Bytes that a number is hashed as.
const NUMBER_BYTES: usize = 8;

pub struct Frequent<K> {
    pub kind: K,
    pub weight: Option<LogicalType>,
    pub k: usize,
    /// Counters.
    pub kept_max: usize,
    pub with_count: bool,
    pub element: LogicalType,
}

struct Counter<O> {
    value: O,
    count: u64,
    /// How much of the count may be of other values.
    error: u64,
    /// Where it is in the order.
    slot: u32,
}

impl<O> Counter<O> {
    fn is_above(&self, other: &Counter<O>) -> bool {
        self.count > other.count || (self.count == other.count && self.error < other.error)
    }
}

/// The counters of one group.
pub struct Counters<O> {
    counters: Vec<Counter<O>>,
    /// Positions of counters, the highest count first.
    order: Vec<u32>,
    of_value: HashMap<O, u32, foldhash::fast::RandomState>,
    /// The filter; empty until all counters are in use.
    cells: Vec<u64>,
}

impl<O: Clone + Eq + std::hash::Hash> Counters<O> {
    fn new() -> Counters<O> {
        Counters { counters: Vec::new(), order: Vec::new(), of_value: HashMap::default(), cells: Vec::new() }
    }

    fn least(&self) -> Option<&Counter<O>> {
        self.order.last().map(|at| &self.counters[*at as usize])
    }

    /// Moves a counter up to its place behind all that are not below it.
    fn raise(&mut self, at: u32) {
        let slot = self.counters[at as usize].slot as usize;
        let counters = &self.counters;
        let to = self.order[..slot].partition_point(|o| !counters[at as usize].is_above(&counters[*o as usize]));
        if to == slot {
            return;
        }
        self.order[to..=slot].rotate_right(1);
        for (slot, at) in self.order.iter().enumerate().take(slot + 1).skip(to) {
            self.counters[*at as usize].slot = slot as u32;
        }
    }

    fn push(&mut self, value: O, count: u64, error: u64) {
        let (at, slot) = (self.counters.len() as u32, self.order.len() as u32);
        self.of_value.insert(value.clone(), at);
        self.counters.push(Counter { value, count, error, slot });
        self.order.push(at);
        self.raise(at);
    }

    /// Gives the least counter to another value.
    fn replace_least(&mut self, value: O, count: u64, error: u64) {
        let Some(at) = self.order.last().copied() else { return };
        let counter = &mut self.counters[at as usize];
        self.of_value.remove(&counter.value);
        self.of_value.insert(value.clone(), at);
        (counter.value, counter.count, counter.error) = (value, count, error);
        self.raise(at);
    }

    fn in_order(&self) -> impl Iterator<Item = &Counter<O>> {
        self.order.iter().map(|at| &self.counters[*at as usize])
    }
}

impl<K: Kind> Frequent<K> {
    fn cells(&self) -> usize {
        self.kept_max.saturating_mul(CELLS_PER_COUNTER).saturating_add(1).next_power_of_two()
    }

    fn cell_of(&self, value: &K::Own) -> usize {
        let mut bytes = Vec::with_capacity(NUMBER_BYTES);
        K::write(value, &mut bytes);
        if bytes.len() < NUMBER_BYTES {
            bytes.resize(NUMBER_BYTES, 0);
        }
        // Without the last complement, as the instruction of the processor leaves it.
        !crc32c::crc32c(&bytes) as usize & (self.cells() - 1)
    }

    fn count(&self, cell: &mut Counters<K::Own>, value: K::Own, n: u64) {
        if let Some(at) = cell.of_value.get(&value).copied() {
            let counter = &mut cell.counters[at as usize];
            counter.count = counter.count.saturating_add(n);
            return cell.raise(at);
        }
        let least = match cell.least() {
            Some(least) if cell.counters.len() >= self.kept_max => (least.count, self.cell_of(&least.value)),
            _ => return cell.push(value, n, 0),
        };
        let (least_count, least_cell) = least;
        if n > least_count {
            return cell.replace_least(value, n, 0);
        }
        if cell.cells.is_empty() {
            cell.cells = vec![0; self.cells()];
        }
        let at = self.cell_of(&value);
        let caught_up = cell.cells[at].saturating_add(n);
        if caught_up < least_count {
            cell.cells[at] = caught_up;
            return;
        }
        cell.cells[least_cell] = least_count;
        let seen = cell.cells[at];
        cell.replace_least(value, seen.saturating_add(n), seen);
    }
}

impl<K: Kind> Fold for Frequent<K> {
    type Cell = Counters<K::Own>;
    type Input<'a> = (K::View<'a>, Option<Vec<u64>>);

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        let weights = self.weight.as_ref().map(|ty| to_vec::<u64>(&args[1], ty)).transpose()?;
        Ok((self.kind.view(args)?, weights))
    }

    fn empty(&self) -> Self::Cell {
        Counters::new()
    }

    fn add(&self, cell: &mut Self::Cell, (values, weights): &Self::Input<'_>, row: usize) -> Result<()> {
        self.count(cell, K::own(values, row), weights.as_ref().map_or(1, |w| w[row]));
        Ok(())
    }

    /// A value that one side does not count may have been there as often as that side's least counter says.
    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        let least = |c: &Self::Cell| c.least().filter(|_| c.counters.len() >= self.kept_max).map_or(0, |l| l.count);
        let (own, other) = (least(into), least(&from));
        let mut all: Vec<Counter<K::Own>> = Vec::with_capacity(into.counters.len() + from.counters.len());
        let mut theirs: HashMap<&K::Own, &Counter<K::Own>> = from.in_order().map(|c| (&c.value, c)).collect();
        for c in into.in_order() {
            let (count, error) = match theirs.remove(&c.value) {
                Some(same) => (same.count, same.error),
                None => (other, other),
            };
            let (count, error) = (c.count.saturating_add(count), c.error.saturating_add(error));
            all.push(Counter { value: c.value.clone(), count, error, slot: 0 });
        }
        for c in from.in_order().filter(|c| theirs.contains_key(&c.value)) {
            let (count, error) = (c.count.saturating_add(own), c.error.saturating_add(own));
            all.push(Counter { value: c.value.clone(), count, error, slot: 0 });
        }
        all.sort_by_key(|c| (std::cmp::Reverse(c.count), c.error));
        all.truncate(self.kept_max);
        let mut merged = Counters::new();
        all.into_iter().for_each(|c| merged.push(c.value, c.count, c.error));
        let (into_cells, from_cells) = (std::mem::take(&mut into.cells), &from.cells);
        merged.cells = if into_cells.is_empty() { from_cells.clone() } else { into_cells };
        merged.cells.iter_mut().zip(from_cells).for_each(|(own, other)| *own = (*own).max(*other));
        *into = merged;
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        put_u64(out, cell.counters.len() as u64);
        for counter in cell.in_order() {
            K::write(&counter.value, out);
            put_u64(out, counter.count);
            put_u64(out, counter.error);
        }
        let used = || cell.cells.iter().enumerate().filter(|(_, n)| **n > 0);
        put_u64(out, used().count() as u64);
        for (at, n) in used() {
            put_u64(out, at as u64);
            put_u64(out, *n);
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        let mut cell = Counters::new();
        for _ in 0..bytes.count()? {
            let value = K::read(bytes)?;
            cell.push(value, bytes.u64()?, bytes.u64()?);
        }
        for _ in 0..bytes.count()? {
            if cell.cells.is_empty() {
                cell.cells = vec![0; self.cells()];
            }
            let (at, n) = (bytes.u64()?, bytes.u64()?);
            let place = usize::try_from(at).ok().and_then(|at| cell.cells.get_mut(at));
            *place.ok_or_else(|| {
                Error::bad_arguments("the state of top_k was written with another number of counters")
            })? = n;
        }
        Ok(cell)
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        let ranked = cells.iter().map(|cell| cell.in_order().take(self.k).map(|c| (&c.value, c.count)));
        lists(&self.kind, &self.element, self.with_count, ranked)
    }

    fn heap(&self, cell: &Self::Cell) -> usize {
        let values = super::fold::sampled_heap(cell.counters.len(), cell.counters.iter().map(|c| K::heap(&c.value)));
        cell.of_value.allocation_size()
            + cell.counters.capacity() * size_of::<Counter<K::Own>>()
            + cell.order.capacity() * size_of::<u32>()
            + cell.cells.capacity() * size_of::<u64>()
            + values * 2
    }
}
