//! `count`: rows, or rows without a NULL.

use super::bytes::{Reader, put_u64};
use super::define::{Traits, define_as};
use super::fold::{Fold, Picked, folded, state_column};
use crate::call::downcast;
use crate::registry::Registry;
use arrow::array::{ArrayRef, UInt64Array};
use arrow::datatypes::DataType;
use hydron_base::Result;
use hydron_types::LogicalType;
use std::ops::Range;
use std::sync::Arc;

pub fn register(registry: &mut Registry) {
    let traits = Traits { default_without_rows: true, ..Traits::default() };
    define_as(registry, "count", traits, |call| {
        call.arity(0..=1)?;
        call.returns(LogicalType::UInt64, folded(Count))
    });
    registry.fold_case("count");
}

struct Count;

impl Fold for Count {
    type Cell = u64;
    type Input<'a> = ();

    fn input<'a>(&'a self, _: &'a [ArrayRef]) -> Result<()> {
        Ok(())
    }

    fn empty(&self) -> u64 {
        0
    }

    #[inline]
    fn add(&self, cell: &mut u64, _: &(), _: usize) -> Result<()> {
        *cell = cell.wrapping_add(1);
        Ok(())
    }

    fn add_run(&self, cell: &mut u64, _: &(), rows: Range<usize>) -> Result<()> {
        *cell = cell.wrapping_add(rows.len() as u64);
        Ok(())
    }

    fn withdraws(&self) -> bool {
        true
    }

    fn withdraw(&self, cell: &mut u64, _: &(), _: usize) -> Result<()> {
        *cell = cell.wrapping_sub(1);
        Ok(())
    }

    fn merge(&self, into: &mut u64, from: u64) -> Result<()> {
        *into = into.wrapping_add(from);
        Ok(())
    }

    fn write(&self, cell: &u64, out: &mut Vec<u8>) {
        put_u64(out, *cell);
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<u64> {
        bytes.u64()
    }

    fn finish(&self, cells: Picked<'_, u64>) -> Result<ArrayRef> {
        Ok(Arc::new(cells.iter().copied().collect::<UInt64Array>()))
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::UInt64]
    }

    fn save(&self, cells: Picked<'_, u64>) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.finish(cells)?])
    }

    fn load(&self, cells: &mut [u64], groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let counts: &UInt64Array = downcast(state_column(state, 0)?)?;
        groups.iter().zip(counts.values()).for_each(|(g, n)| cells[*g as usize] = cells[*g as usize].wrapping_add(*n));
        Ok(())
    }
}
