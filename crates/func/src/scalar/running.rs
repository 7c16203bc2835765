//! Functions that look at the rows before, within one batch or one query.
//!
//! As in ClickHouse, `running_difference` and its kin start anew with each batch; `row_number_in_all_blocks` and `monotonic` count
//! through all batches of a query.

use super::column::{Ints, int64s, numbers, uint64s};
use super::define::{Call, define, define_seeing_nulls};
use crate::call::{ArgInfo, BoundCall, Datum, EvalContext, Volatility};
use crate::nulls::default_value;
use crate::registry::Registry;
use arrow::array::ArrayRef;
use arrow::datatypes::UInt32Type;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use hydron_types::column::array_of;
use hydron_types::gather::join_columns;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

pub fn register(registry: &mut Registry) {
    define(registry, "running_difference", |call| difference(call, false));
    define(registry, "running_difference_starting_with_first_value", |call| difference(call, true));
    define(registry, "running_concurrency", concurrency);
    define(registry, "row_number_in_all_blocks", |call| {
        call.arity(0..=0)?;
        let rows_before = AtomicU64::new(0);
        let bound = call.returns(LogicalType::UInt64, move |_, rows| {
            let first = rows_before.fetch_add(rows as u64, Ordering::Relaxed);
            Ok(uint64s(rows, |row| first + row as u64))
        })?;
        Ok(bound.volatility(Volatility::Volatile))
    });
    define(registry, "monotonic_count", |call| {
        call.arity(0..=0)?;
        counter(call, 1)
    });
    define_seeing_nulls(registry, "index_hint", |call| {
        call.returns(LogicalType::UInt8, |_, rows| Ok(numbers::<arrow::datatypes::UInt8Type>(rows, |_| 1)))
    });
}

/// Numbers that grow by `step` with each row of the query.
fn counter(call: &Call<'_>, step: i64) -> Result<BoundCall> {
    let next = AtomicI64::new(0);
    let bound = call.returns(LogicalType::Int64, move |_, rows| {
        let first = next.fetch_add(step.wrapping_mul(rows as i64), Ordering::Relaxed);
        Ok(int64s(rows, |row| first.wrapping_add(step.wrapping_mul(row as i64))))
    })?;
    Ok(bound.volatility(Volatility::Volatile))
}

/// Each value minus the one before; the first one minus itself, or as it is.
fn difference(call: &Call<'_>, from_first: bool) -> Result<BoundCall> {
    call.arity(1..=1)?;
    let ty = call.ty(0).clone();
    if !ty.is_number() && !ty.is_date_or_time() {
        return Err(call.illegal(0));
    }
    // A time counts as its seconds, whose differences take 64 bits.
    let given = ty.clone();
    let ty = if matches!(ty, LogicalType::DateTime(_)) { LogicalType::UInt32 } else { ty };
    let as_number = super::define::Convert::new(&given, &ty, call.zone());
    let pair = [ArgInfo::column(ty.clone()), ArgInfo::column(ty.clone())];
    let minus = Registry::builtin().bind_scalar("minus", call.cx, &pair)?;
    let (result, widen) = (minus.ty.clone(), super::define::Convert::new(&ty, &minus.ty, call.zone()));
    let zero = array_of(&default_value(&result), &result, 1)?;
    let bound = BoundCall::new(result, move |cx: &EvalContext, args: &[Datum], rows| {
        let values = as_number.array(&args[0].to_array(rows)?)?;
        if rows == 0 {
            return Ok(Datum::Array(widen.array(&values)?));
        }
        let first = if from_first { widen.array(&values.slice(0, 1))? } else { zero.clone() };
        let (before, after) = (values.slice(0, rows - 1), values.slice(1, rows - 1));
        let rest = minus.kernel.eval(cx, &[Datum::Array(after), Datum::Array(before)], rows - 1)?.to_array(rows - 1)?;
        let joined: ArrayRef = join_columns(&[first.as_ref(), rest.as_ref()])?;
        Ok(Datum::Array(joined))
    });
    Ok(bound.volatility(Volatility::Stable))
}

/// `running_concurrency(start, end)`: how many spans, of those up to each row, are under way when the row's begins.
fn concurrency(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(2..=2)?;
    let ty = call.ty(0).clone();
    (0..2).try_for_each(|i| call.need(i, |t| t.is_date_or_time() && *t == ty))?;
    let bound = call.returns(LogicalType::UInt32, move |args, rows| {
        let (begins, ends) = (Ints::of(&args[0], &ty)?, Ints::of(&args[1], &ty)?);
        let mut under_way: BinaryHeap<Reverse<i64>> = BinaryHeap::new();
        let mut counts = Vec::with_capacity(rows);
        for row in 0..rows {
            let (begin, end) = (begins.at(row), ends.at(row));
            if row > 0 && begin < begins.at(row - 1) {
                return Err(Error::new(
                    Code::INCORRECT_DATA,
                    "the spans of \"running_concurrency\" must be sorted by start",
                ));
            }
            if begin > end {
                return Err(Error::new(
                    Code::INCORRECT_DATA,
                    "a span of \"running_concurrency\" ends before it begins",
                ));
            }
            while under_way.peek().is_some_and(|Reverse(end)| *end <= begin) {
                under_way.pop();
            }
            under_way.push(Reverse(end));
            counts.push(under_way.len() as u32);
        }
        Ok(numbers::<UInt32Type>(rows, |row| counts[row]))
    })?;
    Ok(bound.volatility(Volatility::Stable))
}
