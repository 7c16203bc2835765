//! Quantiles: by reservoir (the default), exact, weighted, and their medians.
//!
//! `quantile` keeps up to 8192 values of a group and is exact until then; past that every value has the same chance to be
//! among them, decided by a generator that every run starts alike. `quantile_exact` keeps all values.

use super::bytes::{Reader, put_f64, put_u64};
use super::define::{AggCall, Traits, define_as};
use super::fold::{Fold, Picked, folded, sampled_heap};
use super::item::{Kind, with_kind};
use super::quantile_weights::{centred_weights, heavy, milliseconds, reached, short_float};
use super::sum::floats;
use crate::agg::BoundAgg;
use crate::registry::Registry;
use crate::scalar::column::{end_offset, from_natives, list};
use crate::scalar::number::{Num, to_vec};
use arrow::array::{ArrayRef, Float32Array, Float64Array};
use arrow::datatypes::i256;
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value};
use std::sync::Arc;

/// Values a reservoir keeps; Proton's size.
const RESERVOIR_VALUES_MAX: usize = 8192;

pub fn register(registry: &mut Registry) {
    for (one, many, second, bind) in [
        ("quantile", "quantiles", false, reservoir as fn(&AggCall<'_>, Levels) -> Result<BoundAgg>),
        ("quantile_deterministic", "quantiles_deterministic", true, reservoir),
        ("quantile_t_digest", "quantiles_t_digest", false, t_digest),
        ("quantile_exact", "quantiles_exact", false, |call, levels| exact(call, levels, Place::High)),
        ("quantile_exact_low", "quantiles_exact_low", false, |call, levels| exact(call, levels, Place::Low)),
        ("quantile_exact_high", "quantiles_exact_high", false, |call, levels| exact(call, levels, Place::High)),
        ("quantile_exact_inclusive", "quantiles_exact_inclusive", false, |call, levels| {
            between(call, levels, |l, n| l * (n - 1.0) + 1.0)
        }),
        ("quantile_exact_exclusive", "quantiles_exact_exclusive", false, |call, levels| {
            between(call, levels, |l, n| l * (n + 1.0))
        }),
        ("quantile_exact_weighted", "quantiles_exact_weighted", true, weighted),
        ("quantile_timing", "quantiles_timing", false, timing),
        ("quantile_timing_weighted", "quantiles_timing_weighted", true, |call, levels| {
            heavy(call, levels, LogicalType::Float32, milliseconds, reached)
        }),
        ("quantile_t_digest_weighted", "quantiles_t_digest_weighted", true, |call, levels| {
            heavy(call, levels, LogicalType::Float32, |v| v, centred_weights)
        }),
        ("quantile_b_float16", "quantiles_b_float16", false, |call, levels| {
            heavy(call, levels, LogicalType::Float64, short_float, reached)
        }),
        ("quantile_b_float16_weighted", "quantiles_b_float16_weighted", true, |call, levels| {
            heavy(call, levels, LogicalType::Float64, short_float, reached)
        }),
    ] {
        let args = if second { 2 } else { 1 };
        let traits = Traits { params_from: Some(args), ..Traits::default() };
        define_as(registry, one, traits, move |call| {
            call.arity(args..=args)?;
            if call.params.len() > 1 {
                return Err(Error::new(
                    Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH,
                    format!("\"{}\" takes one level, given {}", call.name, call.params.len()),
                ));
            }
            bind(call, Levels { levels: levels(call)?, many: false })
        });
        let traits = Traits { default_without_rows: true, ..traits };
        define_as(registry, many, traits, move |call| {
            call.arity(args..=args)?;
            if call.params.is_empty() {
                let text = format!("\"{}\" takes at least one level behind its arguments", call.name);
                return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
            }
            bind(call, Levels { levels: levels(call)?, many: true })
        });
        let median = one.replace("quantile", "median");
        registry.add_alias(&median.replace("t_digest", "tdigest").replace("b_float16", "bfloat16"), one);
    }
    for (name, level) in [("p90", 0.9), ("p95", 0.95), ("p99", 0.99)] {
        define_as(registry, name, Traits::default(), move |call| {
            call.arity(1..=1)?;
            reservoir(call, Levels { levels: vec![level], many: false })
        });
    }
    registry.fold_case("quantile");
    registry.fold_case("median");
}

fn levels(call: &AggCall<'_>) -> Result<Vec<f64>> {
    if call.params.is_empty() {
        return Ok(vec![0.5]);
    }
    let level = |v: &hydron_types::Value| {
        v.as_f64().filter(|l| (0.0..=1.0).contains(l)).ok_or_else(|| {
            Error::new(
                Code::PARAMETER_OUT_OF_BOUND,
                format!("a level of \"{}\" must be a number from 0 to 1, given {v:?}", call.name),
            )
        })
    };
    call.params.iter().map(level).collect()
}

/// What is asked of a group.
#[derive(Clone)]
pub(super) struct Levels {
    pub levels: Vec<f64>,
    /// The answer is an array with one element for each level.
    many: bool,
}

impl Levels {
    pub fn ty(&self, element: LogicalType) -> LogicalType {
        if self.many { LogicalType::Array(Box::new(element)) } else { element }
    }

    /// All answers one after the other as the column of the result.
    pub fn column(&self, element: &LogicalType, groups: usize, flat: ArrayRef) -> Result<ArrayRef> {
        if !self.many {
            return Ok(flat);
        }
        let ends = (0..=groups).map(|i| end_offset(i * self.levels.len())).collect::<Result<Vec<_>>>()?;
        Ok(list(element, ends, flat))
    }
}

/// Numbers become floats; decimals, dates and times stay what they are.
fn reservoir(call: &AggCall<'_>, levels: Levels) -> Result<BoundAgg> {
    let element = interpolated_type(call)?;
    let ty = levels.ty(element.clone());
    call.returns(ty, folded(Reservoir { arg: call.ty(0).clone(), element, levels, answer: linear }))
}

fn t_digest(call: &AggCall<'_>, levels: Levels) -> Result<BoundAgg> {
    call.need_number(0)?;
    let element = match call.ty(0) {
        decimal @ LogicalType::Decimal { .. } => decimal.clone(),
        _ => LogicalType::Float32,
    };
    let ty = levels.ty(element.clone());
    call.returns(ty, folded(Reservoir { arg: call.ty(0).clone(), element, levels, answer: centred }))
}

fn interpolated_type(call: &AggCall<'_>) -> Result<LogicalType> {
    if call.ty(0).is_date_or_time() || matches!(call.ty(0), LogicalType::Decimal { .. }) {
        return Ok(call.ty(0).clone());
    }
    call.need_number(0)?;
    Ok(LogicalType::Float64)
}

/// Between the two values around `level * (n - 1)`.
fn linear(sorted: &[f64], level: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let at = level * last as f64;
    let left = (at as usize).min(last);
    let right = (left + 1).min(last);
    if left == right {
        return sorted[left];
    }
    sorted[left] * (right as f64 - at) + sorted[right] * (at - left as f64)
}

/// Each value stands for the middle of its own share of the rows; between two of them the step is in one point.
fn centred(sorted: &[f64], level: f64) -> f64 {
    let x = level * sorted.len() as f64;
    let Some(first) = sorted.first() else {
        return f64::NAN;
    };
    let mut before = *first;
    let mut left = 0.0;
    for (i, v) in sorted.iter().enumerate() {
        let middle = i as f64 + 0.5;
        if middle >= x {
            let (left, right) = (left + 0.5, middle - 0.5);
            return if x <= left {
                before
            } else if x >= right {
                *v
            } else {
                before + (v - before) * (x - left) / (right - left)
            };
        }
        (before, left) = (*v, middle);
    }
    before
}

struct Reservoir {
    arg: LogicalType,
    element: LogicalType,
    levels: Levels,
    answer: fn(&[f64], f64) -> f64,
}

#[derive(Clone)]
struct Sample {
    /// Values seen; the sample is complete up to [`RESERVOIR_VALUES_MAX`].
    seen: u64,
    values: Vec<f64>,
    random: u64,
}

impl Sample {
    fn next_below(&mut self, n: u64) -> u64 {
        // splitmix64: a step and a mix, good enough to choose who leaves.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * u128::from(n)) >> 64) as u64
    }

    fn add(&mut self, v: f64) {
        if v.is_nan() {
            return;
        }
        self.seen += 1;
        if self.values.len() < RESERVOIR_VALUES_MAX {
            return self.values.push(v);
        }
        let place = self.next_below(self.seen);
        if let Some(old) = self.values.get_mut(place as usize) {
            *old = v;
        }
    }

    fn merge(&mut self, mut other: Sample) {
        if other.seen > RESERVOIR_VALUES_MAX as u64 && self.seen <= RESERVOIR_VALUES_MAX as u64 {
            std::mem::swap(self, &mut other);
        }
        if other.seen <= RESERVOIR_VALUES_MAX as u64 {
            return other.values.into_iter().for_each(|v| self.add(v));
        }
        // Both are samples: each place keeps its value with the weight of its side.
        let total = self.seen + other.seen;
        for place in 0..self.values.len() {
            if self.next_below(total) < other.seen {
                self.values[place] = other.values[place];
            }
        }
        self.seen = total;
    }
}

impl Fold for Reservoir {
    type Cell = Sample;
    type Input<'a> = Vec<f64>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Vec<f64>> {
        floats(&args[0], &self.arg)
    }

    fn empty(&self) -> Sample {
        Sample { seen: 0, values: Vec::new(), random: 0 }
    }

    fn add(&self, cell: &mut Sample, input: &Vec<f64>, row: usize) -> Result<()> {
        cell.add(input[row]);
        Ok(())
    }

    fn merge(&self, into: &mut Sample, from: Sample) -> Result<()> {
        into.merge(from);
        Ok(())
    }

    fn write(&self, cell: &Sample, out: &mut Vec<u8>) {
        put_u64(out, cell.seen);
        put_u64(out, cell.random);
        cell.values.iter().for_each(|v| put_f64(out, *v));
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Sample> {
        let (seen, random) = (bytes.u64()?, bytes.u64()?);
        let mut values = Vec::new();
        while !bytes.is_empty() {
            values.push(bytes.f64()?);
        }
        if values.len() as u64 != seen.min(RESERVOIR_VALUES_MAX as u64) {
            return Err(Error::new(Code::INCORRECT_DATA, "the state of a quantile has the wrong number of values"));
        }
        Ok(Sample { seen, values, random })
    }

    fn finish(&self, cells: Picked<'_, Sample>) -> Result<ArrayRef> {
        let mut flat = Vec::with_capacity(cells.len() * self.levels.levels.len());
        for cell in cells.iter() {
            let mut sorted = cell.values.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            flat.extend(self.levels.levels.iter().map(|l| (self.answer)(&sorted, *l)));
        }
        self.levels.column(&self.element, cells.len(), column(flat, &self.element)?)
    }

    fn heap(&self, cell: &Sample) -> usize {
        cell.values.capacity() * 8
    }
}

/// Answers as a column of `ty`: ticks of times and digits of decimals are cut, no rows are the epoch.
pub(super) fn column(values: Vec<f64>, ty: &LogicalType) -> Result<ArrayRef> {
    match ty {
        LogicalType::Float32 => Ok(Arc::new(values.iter().map(|v| *v as f32).collect::<Float32Array>())),
        LogicalType::Date | LogicalType::Date32 => from_natives(values.iter().map(|v| *v as i32).collect(), ty),
        LogicalType::Decimal { scale, .. } => {
            // What is nearly a whole number of digits is meant to be one; the rest is cut.
            let unit = 10_f64.powi(i32::from(*scale));
            let digits = |v: &f64| {
                let n = v * unit;
                let whole = if (n - n.round()).abs() < 1e-6 { n.round() } else { n.trunc() };
                Ok(Value::Decimal(i256::from_i128(whole as i128)))
            };
            super::kept::column(ty, values.iter().map(digits))
        }
        t if t.is_date_or_time() => from_natives(values.iter().map(|v| *v as i64).collect(), ty),
        _ => Ok(Arc::new(Float64Array::from(values))),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Of the two values in the middle of an even number, the lower.
    Low,
    High,
}

impl Place {
    fn index(self, level: f64, n: usize) -> usize {
        if self == Place::Low && level == 0.5 {
            return (n - 1) / 2;
        }
        ((level * n as f64) as usize).min(n - 1)
    }
}

fn exact(call: &AggCall<'_>, levels: Levels, place: Place) -> Result<BoundAgg> {
    let ty = call.ty(0).clone();
    if !ty.is_date_or_time() {
        call.need_number(0)?;
    }
    with_kind!(call.ty(0), k => call.returns(levels.ty(ty.clone()), folded(Exact { kind: k, levels, place })))
}

struct Exact<K> {
    kind: K,
    levels: Levels,
    place: Place,
}

impl<K: Kind> Fold for Exact<K> {
    type Cell = Vec<K::Own>;
    type Input<'a> = K::View<'a>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<K::View<'a>> {
        self.kind.view(args)
    }

    fn empty(&self) -> Vec<K::Own> {
        Vec::new()
    }

    fn add(&self, cell: &mut Vec<K::Own>, input: &K::View<'_>, row: usize) -> Result<()> {
        if !K::nan_at(input, row) {
            cell.push(K::own(input, row));
        }
        Ok(())
    }

    fn merge(&self, into: &mut Vec<K::Own>, from: Vec<K::Own>) -> Result<()> {
        into.extend(from);
        Ok(())
    }

    fn write(&self, cell: &Vec<K::Own>, out: &mut Vec<u8>) {
        put_u64(out, cell.len() as u64);
        cell.iter().for_each(|v| K::write(v, out));
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Vec<K::Own>> {
        (0..bytes.count()?).map(|_| K::read(bytes)).collect()
    }

    fn finish(&self, cells: Picked<'_, Vec<K::Own>>) -> Result<ArrayRef> {
        let nothing = nothing(&self.kind)?;
        let mut flat = Vec::with_capacity(cells.len() * self.levels.levels.len());
        for cell in cells.iter() {
            let mut sorted = cell.clone();
            sorted.sort_unstable();
            let answer = |l: &f64| sorted.get(self.place.index(*l, sorted.len().max(1))).unwrap_or(&nothing).clone();
            flat.extend(self.levels.levels.iter().map(answer));
        }
        self.levels.column(self.kind.ty(), cells.len(), self.kind.array(flat.iter())?)
    }

    fn heap(&self, cell: &Vec<K::Own>) -> usize {
        cell.capacity() * std::mem::size_of::<K::Own>() + sampled_heap(cell.len(), cell.iter().map(K::heap))
    }
}

/// All values as floats; `at` tells the place of a level among `n` values, counted from 1.
fn between(call: &AggCall<'_>, levels: Levels, at: fn(f64, f64) -> f64) -> Result<BoundAgg> {
    call.need_number(0)?;
    let answer = move |sorted: &[f64], level: f64| {
        let h = at(level, sorted.len() as f64);
        let n = h as usize;
        match (sorted.first(), sorted.get(n)) {
            (None, _) => f64::NAN,
            (Some(first), _) if n < 1 => *first,
            (_, None) => sorted[sorted.len() - 1],
            (_, Some(next)) => sorted[n - 1] + (h - n as f64) * (next - sorted[n - 1]),
        }
    };
    let ty = levels.ty(LogicalType::Float64);
    call.returns(ty, folded(AllFloats { arg: call.ty(0).clone(), element: LogicalType::Float64, levels, answer }))
}

struct AllFloats<A> {
    arg: LogicalType,
    element: LogicalType,
    levels: Levels,
    answer: A,
}

impl<A: Fn(&[f64], f64) -> f64 + Send + Sync + 'static> Fold for AllFloats<A> {
    type Cell = Vec<f64>;
    type Input<'a> = Vec<f64>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Vec<f64>> {
        floats(&args[0], &self.arg)
    }

    fn empty(&self) -> Vec<f64> {
        Vec::new()
    }

    fn add(&self, cell: &mut Vec<f64>, input: &Vec<f64>, row: usize) -> Result<()> {
        if !input[row].is_nan() {
            cell.push(input[row]);
        }
        Ok(())
    }

    fn merge(&self, into: &mut Vec<f64>, from: Vec<f64>) -> Result<()> {
        into.extend(from);
        Ok(())
    }

    fn write(&self, cell: &Vec<f64>, out: &mut Vec<u8>) {
        cell.iter().for_each(|v| put_f64(out, *v));
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Vec<f64>> {
        let mut cell = Vec::new();
        while !bytes.is_empty() {
            cell.push(bytes.f64()?);
        }
        Ok(cell)
    }

    fn finish(&self, cells: Picked<'_, Vec<f64>>) -> Result<ArrayRef> {
        let mut flat = Vec::with_capacity(cells.len() * self.levels.levels.len());
        for cell in cells.iter() {
            let mut sorted = cell.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            flat.extend(self.levels.levels.iter().map(|l| (self.answer)(&sorted, *l)));
        }
        self.levels.column(&self.element, cells.len(), column(flat, &self.element)?)
    }

    fn heap(&self, cell: &Vec<f64>) -> usize {
        cell.capacity() * 8
    }
}

/// Milliseconds: whole, from 0 to 30 seconds, as a float32.
fn timing(call: &AggCall<'_>, levels: Levels) -> Result<BoundAgg> {
    const MS_MAX: f64 = 30_000.0;
    call.need_number(0)?;
    let answer = |sorted: &[f64], level: f64| {
        let value = |n: usize| sorted[Place::High.index(level, n)].clamp(0.0, MS_MAX).trunc();
        if sorted.is_empty() { f64::NAN } else { value(sorted.len()) }
    };
    let element = LogicalType::Float32;
    let ty = levels.ty(element.clone());
    call.returns(ty, folded(AllFloats { arg: call.ty(0).clone(), element, levels, answer }))
}

fn weighted(call: &AggCall<'_>, levels: Levels) -> Result<BoundAgg> {
    let ty = call.ty(0).clone();
    if !ty.is_date_or_time() {
        call.need_number(0)?;
    }
    if !call.ty(1).is_integer() && *call.ty(1) != LogicalType::Bool {
        return Err(call.illegal(1));
    }
    let weight = call.ty(1).clone();
    with_kind!(call.ty(0), k => call.returns(levels.ty(ty.clone()), folded(Weighted { kind: k, weight, levels })))
}

/// Values with their weights.
struct Weighted<K> {
    kind: K,
    weight: LogicalType,
    levels: Levels,
}

impl<K: Kind> Fold for Weighted<K> {
    type Cell = std::collections::BTreeMap<K::Own, u64>;
    type Input<'a> = (K::View<'a>, Vec<u64>);

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        Ok((self.kind.view(args)?, to_vec::<u64>(&args[1], &self.weight)?))
    }

    fn empty(&self) -> Self::Cell {
        Self::Cell::new()
    }

    fn add(&self, cell: &mut Self::Cell, (values, weights): &Self::Input<'_>, row: usize) -> Result<()> {
        if !K::nan_at(values, row) {
            *cell.entry(K::own(values, row)).or_insert(0) += weights[row];
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
            K::write(value, out);
            put_u64(out, *weight);
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        (0..bytes.count()?).map(|_| Ok((K::read(bytes)?, bytes.u64()?))).collect()
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        let nothing = nothing(&self.kind)?;
        let mut flat = Vec::with_capacity(cells.len() * self.levels.levels.len());
        for cell in cells.iter() {
            let total: u64 = cell.values().sum();
            for level in &self.levels.levels {
                let threshold = (total as f64 * level).ceil() as u64;
                let mut sum = 0;
                let reached = cell.iter().find(|(_, w)| {
                    sum += **w;
                    sum >= threshold
                });
                flat.push(reached.map_or(&nothing, |(v, _)| v).clone());
            }
        }
        self.levels.column(self.kind.ty(), cells.len(), self.kind.array(flat.iter())?)
    }

    fn heap(&self, cell: &Self::Cell) -> usize {
        cell.len() * 2 * std::mem::size_of::<(K::Own, u64)>() + sampled_heap(cell.len(), cell.keys().map(K::heap))
    }
}

/// The answer of a group without rows: NaN for floats, else the default.
fn nothing<K: Kind>(kind: &K) -> Result<K::Own> {
    let nan: ArrayRef = match kind.ty() {
        LogicalType::Float64 => f64::array(vec![f64::NAN]),
        LogicalType::Float32 => f32::array(vec![f32::NAN]),
        _ => return kind.default_own(),
    };
    let args = [nan];
    let view = kind.view(&args)?;
    Ok(K::own(&view, 0))
}
