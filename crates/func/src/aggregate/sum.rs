//! Sums and averages.
//!
//! Integers add up in 64 bits (wider ones in their own width), floats in float64, decimals in 38 digits (76 for wider
//! ones), each of them wrapping; `sum_with_overflow` stays in the type of its argument. An average divides once, at the end.

use super::bytes::{Reader, put_f64};
use super::define::{AggCall, define};
use super::fold::{Fold, Picked, folded, state_column};
use crate::agg::BoundAgg;
use crate::call::downcast;
use crate::registry::Registry;
use crate::scalar::column::retyped;
use crate::scalar::number::{Lane, Num, U256, float_of, number_layout, to_vec, with_number};
use arrow::array::{ArrayRef, Float64Array, UInt64Array};
use arrow::datatypes::{DataType, i256};
use hydron_base::Result;
use hydron_types::LogicalType;
use hydron_types::physical::arrow_type;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

pub fn register(registry: &mut Registry) {
    define(registry, "sum", |call| sum(call, sum_type(call)?));
    define(registry, "sum_with_overflow", |call| {
        call.arity(1..=1)?;
        call.need_number(0)?;
        let ty = if *call.ty(0) == LogicalType::Bool { LogicalType::UInt8 } else { call.ty(0).clone() };
        sum(call, ty)
    });
    define(registry, "sum_kahan", |call| {
        call.arity(1..=1)?;
        if !call.ty(0).is_number() {
            return Err(call.illegal(0));
        }
        call.returns(LogicalType::Float64, folded(Kahan { arg: call.ty(0).clone() }))
    });
    define(registry, "avg", avg);
    define(registry, "avg_weighted", |call| {
        call.arity(2..=2)?;
        call.need_number(0)?;
        call.need_number(1)?;
        call.returns(LogicalType::Float64, folded(AvgWeighted { args: [call.ty(0).clone(), call.ty(1).clone()] }))
    });
    ["sum", "avg"].iter().for_each(|name| registry.fold_case(name));
}

/// What `sum` of the argument is.
fn sum_type(call: &AggCall<'_>) -> Result<LogicalType> {
    use LogicalType::*;
    call.arity(1..=1)?;
    Ok(match call.ty(0) {
        Bool | UInt8 | UInt16 | UInt32 | UInt64 => UInt64,
        Int8 | Int16 | Int32 | Int64 | Interval(_) | Enum8(_) | Enum16(_) => Int64,
        Float32 | Float64 => Float64,
        Decimal { precision: ..=38, scale } => Decimal { precision: 38, scale: *scale },
        Decimal { scale, .. } => Decimal { precision: 76, scale: *scale },
        wide @ (Int128 | Int256 | UInt128 | UInt256) => wide.clone(),
        _ => return Err(call.illegal(0)),
    })
}

fn sum(call: &AggCall<'_>, ty: LogicalType) -> Result<BoundAgg> {
    let arg = match call.ty(0) {
        // An enum adds up as the numbers behind its names.
        LogicalType::Enum8(_) => LogicalType::Int8,
        LogicalType::Enum16(_) => LogicalType::Int16,
        ty => ty.clone(),
    };
    with_number!(number_layout(&ty), S => {
        call.returns(ty.clone(), folded(Sum::<S> { arg, ty, of: PhantomData }))
    }, else Err(call.illegal(0)))
}

/// `start` plus all of `values`. Floats are added in as many lanes as fit 128 bytes, the lanes then in order, and last what
/// fills no more lanes: the order of ClickHouse, on which the last digits of a sum depend.
fn added<S: Num>(start: S, values: &[S]) -> S {
    const LANE_BYTES: usize = 128;
    if !matches!(S::TYPE, LogicalType::Float64 | LogicalType::Float32) {
        return values.iter().fold(start, |sum, v| sum.add(*v));
    }
    let mut lanes = [S::default(); LANE_BYTES / size_of::<f32>()];
    let lanes = &mut lanes[..LANE_BYTES / size_of::<S>()];
    let chunks = values.chunks_exact(lanes.len());
    let rest = chunks.remainder();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, v)| *lane = lane.add(*v));
    }
    let whole = lanes.iter().fold(start, |sum, v| sum.add(*v));
    whole.add(rest.iter().fold(S::default(), |sum, v| sum.add(*v)))
}

struct Sum<S> {
    arg: LogicalType,
    ty: LogicalType,
    of: PhantomData<fn() -> S>,
}

impl<S: Num> Sum<S> {
    fn column(&self, cells: Picked<'_, S>) -> ArrayRef {
        S::array(cells.iter().copied().collect())
    }
}

impl<S: Num> Fold for Sum<S> {
    type Cell = S;
    type Input<'a> = Lane<S>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Lane<S>> {
        S::lane(&args[0], &self.arg)
    }

    fn empty(&self) -> S {
        S::default()
    }

    #[inline]
    fn add(&self, cell: &mut S, input: &Lane<S>, row: usize) -> Result<()> {
        *cell = cell.add((**input).as_ref()[row]);
        Ok(())
    }

    fn add_all(&self, cells: &mut [S], groups: &[u32], input: &Lane<S>) -> Result<()> {
        // The slice is taken out of its box once, not for each row.
        groups.iter().zip((**input).as_ref()).for_each(|(g, v)| cells[*g as usize] = cells[*g as usize].add(*v));
        Ok(())
    }

    fn add_run(&self, cell: &mut S, input: &Lane<S>, rows: Range<usize>) -> Result<()> {
        *cell = added(*cell, &(**input).as_ref()[rows]);
        Ok(())
    }

    fn withdraws(&self) -> bool {
        true
    }

    fn withdraw(&self, cell: &mut S, input: &Lane<S>, row: usize) -> Result<()> {
        *cell = cell.sub((**input).as_ref()[row]);
        Ok(())
    }

    fn merge(&self, into: &mut S, from: S) -> Result<()> {
        *into = into.add(from);
        Ok(())
    }

    fn finish(&self, cells: Picked<'_, S>) -> Result<ArrayRef> {
        Ok(retyped(&self.column(cells), &self.ty))
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![arrow_type(&S::TYPE)]
    }

    fn save(&self, cells: Picked<'_, S>) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.column(cells)])
    }

    fn load(&self, cells: &mut [S], groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let sums = to_vec::<S>(state_column(state, 0)?, &S::TYPE)?;
        groups.iter().zip(sums).for_each(|(g, v)| cells[*g as usize] = cells[*g as usize].add(v));
        Ok(())
    }
}

/// A sum with the error of its additions beside it.
struct Kahan {
    arg: LogicalType,
}

/// Sum and what the rounding lost.
type Compensated = (f64, f64);

fn add_compensated((sum, lost): &mut Compensated, v: f64) {
    let corrected = v - *lost;
    let next = *sum + corrected;
    *lost = (next - *sum) - corrected;
    *sum = next;
}

impl Fold for Kahan {
    type Cell = Compensated;
    type Input<'a> = Vec<f64>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Vec<f64>> {
        to_vec(&args[0], &self.arg)
    }

    fn empty(&self) -> Compensated {
        (0.0, 0.0)
    }

    fn add(&self, cell: &mut Compensated, input: &Vec<f64>, row: usize) -> Result<()> {
        add_compensated(cell, input[row]);
        Ok(())
    }

    fn withdraws(&self) -> bool {
        true
    }

    fn withdraw(&self, cell: &mut Compensated, input: &Vec<f64>, row: usize) -> Result<()> {
        add_compensated(cell, -input[row]);
        Ok(())
    }

    fn merge(&self, into: &mut Compensated, (sum, lost): Compensated) -> Result<()> {
        add_compensated(into, sum);
        add_compensated(into, -lost);
        Ok(())
    }

    fn write(&self, cell: &Compensated, out: &mut Vec<u8>) {
        put_f64(out, cell.0);
        put_f64(out, cell.1);
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Compensated> {
        Ok((bytes.f64()?, bytes.f64()?))
    }

    fn finish(&self, cells: Picked<'_, Compensated>) -> Result<ArrayRef> {
        Ok(Arc::new(cells.iter().map(|c| c.0).collect::<Float64Array>()))
    }
}

fn avg(call: &AggCall<'_>) -> Result<BoundAgg> {
    let sums = sum_type(call)?;
    let arg = call.ty(0).clone();
    let scale = match arg {
        LogicalType::Decimal { scale, .. } => 10f64.powi(i32::from(scale)),
        _ => 1.0,
    };
    fn of<S: Divide>(arg: LogicalType, scale: f64) -> Avg<S> {
        Avg { arg, scale, of: PhantomData }
    }
    let aggregate = match number_layout(&sums) {
        LogicalType::UInt64 => folded(of::<u64>(arg, scale)),
        LogicalType::Int64 => folded(of::<i64>(arg, scale)),
        LogicalType::Int128 => folded(of::<i128>(arg, scale)),
        LogicalType::Int256 => folded(of::<i256>(arg, scale)),
        LogicalType::UInt128 => folded(of::<u128>(arg, scale)),
        LogicalType::UInt256 => folded(of::<U256>(arg, scale)),
        _ => folded(of::<f64>(arg, scale)),
    };
    call.returns(LogicalType::Float64, aggregate)
}

/// A sum that can be divided as a float.
trait Divide: Num {
    fn to_f64(self) -> f64;
}

macro_rules! divide {
    ($($t:ty => |$v:ident| $e:expr),*) => {$(
        impl Divide for $t {
            #[inline]
            fn to_f64(self) -> f64 {
                let $v = self;
                $e
            }
        }
    )*};
}

divide!(
    u64 => |v| v as f64, i64 => |v| v as f64, i128 => |v| v as f64, u128 => |v| v as f64, f64 => |v| v,
    i256 => |v| float_of(v), U256 => |v| hydron_types::wide::to_f64(v.0, true)
);

struct Avg<S> {
    arg: LogicalType,
    /// What one is in the digits of the argument.
    scale: f64,
    of: PhantomData<fn() -> S>,
}

impl<S: Divide> Fold for Avg<S> {
    type Cell = (S, u64);
    type Input<'a> = Lane<S>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Lane<S>> {
        S::lane(&args[0], &self.arg)
    }

    fn empty(&self) -> (S, u64) {
        (S::default(), 0)
    }

    fn add(&self, cell: &mut (S, u64), input: &Lane<S>, row: usize) -> Result<()> {
        *cell = (cell.0.add((**input).as_ref()[row]), cell.1.wrapping_add(1));
        Ok(())
    }

    fn add_all(&self, cells: &mut [(S, u64)], groups: &[u32], input: &Lane<S>) -> Result<()> {
        for (group, v) in groups.iter().zip((**input).as_ref()) {
            let cell = &mut cells[*group as usize];
            *cell = (cell.0.add(*v), cell.1.wrapping_add(1));
        }
        Ok(())
    }

    fn add_run(&self, cell: &mut (S, u64), input: &Lane<S>, rows: Range<usize>) -> Result<()> {
        cell.1 = cell.1.wrapping_add(rows.len() as u64);
        cell.0 = added(cell.0, &(**input).as_ref()[rows]);
        Ok(())
    }

    fn withdraws(&self) -> bool {
        true
    }

    fn withdraw(&self, cell: &mut (S, u64), input: &Lane<S>, row: usize) -> Result<()> {
        *cell = (cell.0.sub((**input).as_ref()[row]), cell.1.wrapping_sub(1));
        Ok(())
    }

    fn merge(&self, into: &mut (S, u64), from: (S, u64)) -> Result<()> {
        *into = (into.0.add(from.0), into.1.wrapping_add(from.1));
        Ok(())
    }

    fn finish(&self, cells: Picked<'_, (S, u64)>) -> Result<ArrayRef> {
        let quotient = |(sum, rows): &(S, u64)| sum.to_f64() / *rows as f64 / self.scale;
        Ok(Arc::new(cells.iter().map(quotient).collect::<Float64Array>()))
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![arrow_type(&S::TYPE), DataType::UInt64]
    }

    fn save(&self, cells: Picked<'_, (S, u64)>) -> Result<Vec<ArrayRef>> {
        let sums = S::array(cells.iter().map(|c| c.0).collect());
        Ok(vec![sums, Arc::new(cells.iter().map(|c| c.1).collect::<UInt64Array>())])
    }

    fn load(&self, cells: &mut [(S, u64)], groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let sums = to_vec::<S>(state_column(state, 0)?, &S::TYPE)?;
        let rows: &UInt64Array = downcast(state_column(state, 1)?)?;
        for ((group, sum), rows) in groups.iter().zip(sums).zip(rows.values()) {
            self.merge(&mut cells[*group as usize], (sum, *rows))?;
        }
        Ok(())
    }
}

struct AvgWeighted {
    args: [LogicalType; 2],
}

impl Fold for AvgWeighted {
    /// Weighted sum, sum of weights.
    type Cell = (f64, f64);
    type Input<'a> = (Vec<f64>, Vec<f64>);

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<(Vec<f64>, Vec<f64>)> {
        Ok((floats(&args[0], &self.args[0])?, floats(&args[1], &self.args[1])?))
    }

    fn empty(&self) -> (f64, f64) {
        (0.0, 0.0)
    }

    fn add(&self, cell: &mut (f64, f64), (values, weights): &(Vec<f64>, Vec<f64>), row: usize) -> Result<()> {
        *cell = (cell.0 + values[row] * weights[row], cell.1 + weights[row]);
        Ok(())
    }

    fn merge(&self, into: &mut (f64, f64), from: (f64, f64)) -> Result<()> {
        *into = (into.0 + from.0, into.1 + from.1);
        Ok(())
    }

    fn write(&self, cell: &(f64, f64), out: &mut Vec<u8>) {
        put_f64(out, cell.0);
        put_f64(out, cell.1);
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<(f64, f64)> {
        Ok((bytes.f64()?, bytes.f64()?))
    }

    fn finish(&self, cells: Picked<'_, (f64, f64)>) -> Result<ArrayRef> {
        Ok(Arc::new(cells.iter().map(|(sum, weight)| sum / weight).collect::<Float64Array>()))
    }
}

/// A column of numbers as floats, decimals with their point.
pub fn floats(array: &ArrayRef, ty: &LogicalType) -> Result<Vec<f64>> {
    let mut values = to_vec::<f64>(array, ty)?;
    if let LogicalType::Decimal { scale, .. } = ty {
        let one = 10f64.powi(i32::from(*scale));
        values.iter_mut().for_each(|v| *v /= one);
    }
    Ok(values)
}
