//! How many different values: exact, and by 64-bit hashes.
//!
//! `unique_exact` keeps every value. `unique`, `unique_combined`, … keep the 64-bit hash of every value: their answer is
//! exact up to collisions, which at a hundred million values are expected to be fewer than one in a thousand queries.

use super::bytes::{Reader, put_u64};
use super::define::{Traits, define_as};
use super::fold::{Fold, Picked, folded, sampled_heap};
use super::item::{Kind, RowKind, stable_hash, with_few_kinds};
use crate::registry::Registry;
use arrow::array::{ArrayRef, UInt64Array};
use hashbrown::HashSet;
use hydron_base::Result;
use hydron_types::LogicalType;
use std::sync::Arc;

pub fn register(registry: &mut Registry) {
    let traits = Traits { default_without_rows: true, ..Traits::default() };
    define_as(registry, "unique_exact", traits, |call| {
        call.arity(1..=usize::MAX)?;
        if call.args.len() > 1 {
            let kind = RowKind::new(&call.types())?;
            return call.returns(LogicalType::UInt64, folded(Unique { kind, to: Exact }));
        }
        with_few_kinds!(call.ty(0), k => call.returns(LogicalType::UInt64, folded(Unique { kind: k, to: Exact })))
    });
    for name in ["unique", "unique_hll12", "unique_combined", "unique_combined64", "unique_theta"] {
        define_as(registry, name, traits, |call| {
            call.arity(1..=usize::MAX)?;
            if call.args.len() > 1 {
                let kind = RowKind::new(&call.types())?;
                return call.returns(LogicalType::UInt64, folded(Unique { kind, to: Hashed }));
            }
            with_few_kinds!(call.ty(0), k => call.returns(LogicalType::UInt64, folded(Unique { kind: k, to: Hashed })))
        });
    }
    for (alias, name) in [
        ("uniq", "unique"),
        ("uniq_exact", "unique_exact"),
        ("uniq_hll12", "unique_hll12"),
        ("uniq_combined", "unique_combined"),
        ("uniq_combined64", "unique_combined64"),
        ("uniq_theta", "unique_theta"),
    ] {
        registry.add_alias(alias, name);
    }
    define_as(registry, "group_bitmap", traits, |call| {
        call.arity(1..=1)?;
        if !call.ty(0).is_integer() {
            return Err(call.illegal(0));
        }
        with_few_kinds!(call.ty(0), k => call.returns(LogicalType::UInt64, folded(Unique { kind: k, to: Exact })))
    });
}

/// What is kept of a value.
trait Keep<K: Kind>: Send + Sync + 'static {
    type Kept: Send + Sync + Eq + std::hash::Hash + 'static;
    fn keep(own: K::Own) -> Self::Kept;
    fn write(kept: &Self::Kept, out: &mut Vec<u8>);
    fn read(bytes: &mut Reader<'_>) -> Result<Self::Kept>;
    fn heap(kept: &Self::Kept) -> usize;
}

struct Exact;

impl<K: Kind> Keep<K> for Exact {
    type Kept = K::Own;

    fn keep(own: K::Own) -> K::Own {
        own
    }

    fn write(kept: &K::Own, out: &mut Vec<u8>) {
        K::write(kept, out);
    }

    fn read(bytes: &mut Reader<'_>) -> Result<K::Own> {
        K::read(bytes)
    }

    fn heap(kept: &K::Own) -> usize {
        K::heap(kept)
    }
}

struct Hashed;

impl<K: Kind> Keep<K> for Hashed {
    type Kept = u64;

    fn keep(own: K::Own) -> u64 {
        stable_hash(&own)
    }

    fn write(kept: &u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&kept.to_le_bytes());
    }

    fn read(bytes: &mut Reader<'_>) -> Result<u64> {
        Ok(u64::from_le_bytes(bytes.array()?))
    }

    fn heap(_: &u64) -> usize {
        0
    }
}

struct Unique<K, T> {
    kind: K,
    to: T,
}

type Set<T> = HashSet<T, foldhash::fast::RandomState>;

impl<K: Kind, T: Keep<K>> Fold for Unique<K, T> {
    type Cell = Set<T::Kept>;
    type Input<'a> = K::View<'a>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<K::View<'a>> {
        let _ = &self.to;
        self.kind.view(args)
    }

    fn empty(&self) -> Self::Cell {
        Set::default()
    }

    fn add(&self, cell: &mut Self::Cell, input: &K::View<'_>, row: usize) -> Result<()> {
        cell.insert(T::keep(K::own(input, row)));
        Ok(())
    }

    fn merge(&self, into: &mut Self::Cell, mut from: Self::Cell) -> Result<()> {
        if from.len() > into.len() {
            std::mem::swap(into, &mut from);
        }
        into.extend(from);
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        put_u64(out, cell.len() as u64);
        cell.iter().for_each(|v| T::write(v, out));
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        (0..bytes.count()?).map(|_| T::read(bytes)).collect()
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        Ok(Arc::new(cells.iter().map(|c| c.len() as u64).collect::<UInt64Array>()))
    }

    fn heap(&self, cell: &Self::Cell) -> usize {
        cell.allocation_size() + sampled_heap(cell.len(), cell.iter().map(T::heap))
    }
}
