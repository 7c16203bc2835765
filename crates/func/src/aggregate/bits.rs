//! `group_bit_and`, `group_bit_or`, `group_bit_xor`: the bits of all values together.

use super::define::{AggCall, define};
use super::fold::{Fold, Picked, folded, state_column};
use crate::agg::BoundAgg;
use crate::registry::Registry;
use crate::scalar::number::{Int, Lane, to_vec, with_integer};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use hydron_base::Result;
use hydron_types::LogicalType;
use hydron_types::physical::arrow_type;
use std::marker::PhantomData;

pub fn register(registry: &mut Registry) {
    define(registry, "group_bit_and", |call| bits(call, Op::And));
    define(registry, "group_bit_or", |call| bits(call, Op::Or));
    define(registry, "group_bit_xor", |call| bits(call, Op::Xor));
}

#[derive(Clone, Copy)]
enum Op {
    And,
    Or,
    Xor,
}

fn bits(call: &AggCall<'_>, op: Op) -> Result<BoundAgg> {
    call.arity(1..=1)?;
    let ty = if *call.ty(0) == LogicalType::Bool { LogicalType::UInt8 } else { call.ty(0).clone() };
    with_integer!(&ty, T => {
        call.returns(ty.clone(), folded(Bits::<T> { arg: call.ty(0).clone(), op, of: PhantomData }))
    }, else Err(call.illegal(0)))
}

struct Bits<T> {
    arg: LogicalType,
    op: Op,
    of: PhantomData<fn() -> T>,
}

impl<T: Int> Bits<T> {
    fn combine(&self, a: T, b: T) -> T {
        match self.op {
            Op::And => a.and(b),
            Op::Or => a.or(b),
            Op::Xor => a.xor(b),
        }
    }
}

impl<T: Int> Fold for Bits<T> {
    type Cell = T;
    type Input<'a> = Lane<T>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Lane<T>> {
        T::lane(&args[0], &self.arg)
    }

    fn empty(&self) -> T {
        if matches!(self.op, Op::And) { T::default().not() } else { T::default() }
    }

    fn add(&self, cell: &mut T, input: &Lane<T>, row: usize) -> Result<()> {
        *cell = self.combine(*cell, (**input).as_ref()[row]);
        Ok(())
    }

    fn merge(&self, into: &mut T, from: T) -> Result<()> {
        *into = self.combine(*into, from);
        Ok(())
    }

    fn finish(&self, cells: Picked<'_, T>) -> Result<ArrayRef> {
        Ok(T::array(cells.iter().copied().collect()))
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![arrow_type(&T::TYPE)]
    }

    fn save(&self, cells: Picked<'_, T>) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.finish(cells)?])
    }

    fn load(&self, cells: &mut [T], groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let values = to_vec::<T>(state_column(state, 0)?, &T::TYPE)?;
        groups.iter().zip(values).try_for_each(|(g, v)| self.merge(&mut cells[*g as usize], v))
    }
}
