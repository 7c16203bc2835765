//! `group_bitmap_and`, `group_bitmap_or`, `group_bitmap_xor`: the states of `group_bitmap` as sets.
//!
//! Their own state is again one of `group_bitmap`, so that they stand around each other; a group without rows has none.

use super::bytes::{Reader, put_u64};
use super::define::{AggCall, Traits, define_as};
use super::fold::{Fold, Picked, folded, sampled_heap};
use super::item::{Kind, with_few_kinds};
use crate::agg::BoundAgg;
use crate::call::downcast;
use crate::registry::Registry;
use arrow::array::{Array, ArrayRef, BinaryArray, UInt64Array};
use hydron_base::Result;
use hydron_types::LogicalType;
use std::collections::BTreeSet;
use std::sync::Arc;

pub fn register(registry: &mut Registry) {
    let traits = Traits { default_without_rows: true, ..Traits::default() };
    for (name, op) in [("group_bitmap_and", Op::And), ("group_bitmap_or", Op::Or), ("group_bitmap_xor", Op::Xor)] {
        define_as(registry, name, traits, move |call| sets(call, op));
    }
}

#[derive(Clone, Copy)]
enum Op {
    And,
    Or,
    Xor,
}

/// The type of the elements behind a state of `group_bitmap` or of one of these.
fn element(ty: &LogicalType) -> Option<&LogicalType> {
    match ty {
        LogicalType::AggregateFunction { name, args } if name.starts_with("group_bitmap") => match &args[..] {
            [inner @ LogicalType::AggregateFunction { .. }] => element(inner),
            [one] => Some(one.bare()),
            _ => None,
        },
        _ => None,
    }
}

fn sets(call: &AggCall<'_>, op: Op) -> Result<BoundAgg> {
    call.arity(1..=1)?;
    let Some(ty) = element(call.ty(0)) else { return Err(call.illegal(0)) };
    with_few_kinds!(ty, k => call.returns(LogicalType::UInt64, folded(Sets { kind: k, op })))
}

struct Sets<K> {
    kind: K,
    op: Op,
}

impl<K: Kind> Sets<K> {
    fn decode(&self, bytes: &mut Reader<'_>) -> Result<BTreeSet<K::Own>> {
        let _ = &self.kind;
        (0..bytes.count()?).map(|_| K::read(bytes)).collect()
    }
}

impl<K: Kind> Fold for Sets<K> {
    type Cell = Option<BTreeSet<K::Own>>;
    type Input<'a> = &'a BinaryArray;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<&'a BinaryArray> {
        downcast(&args[0])
    }

    fn empty(&self) -> Self::Cell {
        None
    }

    fn add(&self, cell: &mut Self::Cell, input: &&BinaryArray, row: usize) -> Result<()> {
        if input.is_null(row) {
            return Ok(());
        }
        // The state of a group without rows is no bytes: an empty set.
        let bytes = input.value(row);
        let set = if bytes.is_empty() { BTreeSet::new() } else { self.decode(&mut Reader(bytes))? };
        self.merge(cell, Some(set))
    }

    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        let Some(mut from) = from else { return Ok(()) };
        *into = Some(match into.take() {
            None => from,
            Some(mut set) => match self.op {
                Op::And => {
                    set.retain(|v| from.contains(v));
                    set
                }
                Op::Or => {
                    set.append(&mut from);
                    set
                }
                Op::Xor => {
                    for value in from {
                        if !set.remove(&value) {
                            set.insert(value);
                        }
                    }
                    set
                }
            },
        });
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        if let Some(set) = cell {
            put_u64(out, set.len() as u64);
            set.iter().for_each(|v| K::write(v, out));
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        Ok(Some(self.decode(bytes)?))
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        let size = |cell: &Self::Cell| cell.as_ref().map_or(0, BTreeSet::len) as u64;
        Ok(Arc::new(cells.iter().map(size).collect::<UInt64Array>()))
    }

    fn heap(&self, cell: &Self::Cell) -> usize {
        cell.as_ref().map_or(0, |set| {
            set.len() * 2 * std::mem::size_of::<K::Own>() + sampled_heap(set.len(), set.iter().map(K::heap))
        })
    }
}
