//! Quantiles of values that repeat: each value once with its weight, rounded to what the function tells apart.
//!
//! In: values and perhaps weights. Out: the answer of each level over the values in order. Promise: memory goes with how many
//! different values there are, not with how many rows.

use super::bytes::{Reader, put_u64};
use super::define::AggCall;
use super::fold::{Fold, Picked, folded};
use super::item::Native;
use super::quantile::{Levels, column};
use super::sum::floats;
use crate::agg::BoundAgg;
use crate::scalar::number::to_vec;
use arrow::array::ArrayRef;
use hydron_base::Result;
use hydron_types::LogicalType;

/// Milliseconds as `quantile_timing` sees them.
pub(super) fn milliseconds(v: f64) -> f64 {
    v.clamp(0.0, 30_000.0).trunc()
}

/// A float of 16 bits: the upper half of a float32.
pub(super) fn short_float(v: f64) -> f64 {
    f64::from(f32::from_bits((v as f32).to_bits() & 0xffff_0000))
}

/// The first value at which `level` of all weight is reached.
pub(super) fn reached(sorted: &[(f64, u64)], level: f64) -> f64 {
    let total: u64 = sorted.iter().map(|(_, w)| *w).sum();
    let threshold = (total as f64 * level).ceil() as u64;
    let mut sum = 0;
    let found = sorted.iter().find(|(_, w)| {
        sum += *w;
        sum >= threshold
    });
    found.or(sorted.last()).map_or(f64::NAN, |(v, _)| *v)
}

/// As `quantile_t_digest`, where a value stands for the middle of the weight it has.
pub(super) fn centred_weights(sorted: &[(f64, u64)], level: f64) -> f64 {
    let Some((first, weight)) = sorted.first() else { return f64::NAN };
    let total: u64 = sorted.iter().map(|(_, w)| *w).sum();
    let x = level * total as f64;
    // A single row holds half a row to each side of its place alone.
    let alone = |weight: u64| if weight == 1 { 0.5 } else { 0.0 };
    let (mut before, mut before_alone, mut left) = (*first, alone(*weight), 0.0);
    let mut sum = 0.0;
    for (v, w) in sorted {
        let middle = sum + *w as f64 / 2.0;
        if middle >= x {
            let (from, to) = (left + before_alone, middle - alone(*w));
            return if x <= from {
                before
            } else if x >= to {
                *v
            } else {
                before + (v - before) * (x - from) / (to - from)
            };
        }
        sum += *w as f64;
        (before, before_alone, left) = (*v, alone(*w), middle);
    }
    before
}

/// Values that repeat: each one once with its weight, by an answer over them in order.
pub(super) fn heavy(
    call: &AggCall<'_>,
    levels: Levels,
    element: LogicalType,
    round: fn(f64) -> f64,
    answer: fn(&[(f64, u64)], f64) -> f64,
) -> Result<BoundAgg> {
    call.need_number(0)?;
    if call.args.len() > 1 && !call.ty(1).is_integer() && *call.ty(1) != LogicalType::Bool {
        return Err(call.illegal(1));
    }
    let ty = levels.ty(element.clone());
    call.returns(ty, folded(Heavy { args: call.types(), element, levels, round, answer }))
}

struct Heavy {
    args: Vec<LogicalType>,
    element: LogicalType,
    levels: Levels,
    round: fn(f64) -> f64,
    answer: fn(&[(f64, u64)], f64) -> f64,
}

impl Fold for Heavy {
    /// Weights by the key of a float, which has its order.
    type Cell = std::collections::BTreeMap<i64, u64>;
    type Input<'a> = (Vec<f64>, Option<Vec<u64>>);

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        let weights = args.get(1).zip(self.args.get(1)).map(|(a, t)| to_vec::<u64>(a, t)).transpose()?;
        Ok((floats(&args[0], &self.args[0])?, weights))
    }

    fn empty(&self) -> Self::Cell {
        Self::Cell::new()
    }

    fn add(&self, cell: &mut Self::Cell, (values, weights): &Self::Input<'_>, row: usize) -> Result<()> {
        let weight = weights.as_ref().map_or(1, |w| w[row]);
        if !values[row].is_nan() && weight > 0 {
            *cell.entry(Native::key((self.round)(values[row]))).or_insert(0) += weight;
        }
        Ok(())
    }

    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        from.into_iter().for_each(|(v, w)| *into.entry(v).or_insert(0) += w);
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        put_u64(out, cell.len() as u64);
        for (value, weight) in cell {
            out.extend_from_slice(&value.to_le_bytes());
            put_u64(out, *weight);
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        (0..bytes.count()?).map(|_| Ok((i64::from_le_bytes(bytes.array()?), bytes.u64()?))).collect()
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        let mut flat = Vec::with_capacity(cells.len() * self.levels.levels.len());
        for cell in cells.iter() {
            let sorted: Vec<(f64, u64)> = cell.iter().map(|(v, w)| (<f64 as Native>::value(*v), *w)).collect();
            flat.extend(self.levels.levels.iter().map(|l| (self.answer)(&sorted, *l)));
        }
        self.levels.column(&self.element, cells.len(), column(flat, &self.element)?)
    }

    fn heap(&self, cell: &Self::Cell) -> usize {
        cell.len() * 32
    }
}
