//! Values along an axis: intervals and where they meet, slopes, growth, smoothed averages, rates of return.

use super::bytes::{Reader, put_f64};
use super::define::{AggCall, Traits, define, define_as};
use super::fold::{Fold, Picked, folded};
use super::kept::{Item, Sums, column, floats_value, kept, named_floats, pairs};
use super::number::{Number, numbers};
use super::sum::floats;
use crate::agg::BoundAgg;
use crate::registry::Registry;
use crate::scalar::number::to_vec;
use arrow::array::ArrayRef;
use arrow::datatypes::i256;
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value};

pub fn register(registry: &mut Registry) {
    define(registry, "interval_length_sum", interval_length_sum);
    define(registry, "max_intersections", |call| max_intersections(call, false));
    define(registry, "max_intersections_position", |call| max_intersections(call, true));
    define(registry, "bounding_ratio", bounding_ratio);
    define(registry, "simple_linear_regression", simple_linear_regression);
    define(registry, "delta_sum", |call| {
        call.arity(1..=1)?;
        delta_sum(call)
    });
    define(registry, "delta_sum_timestamp", |call| {
        call.arity(2..=2)?;
        along_an_axis(call, 1)?;
        delta_sum(call)
    });
    let traits = Traits { params_from: Some(2), ..Traits::default() };
    define_as(registry, "exponential_moving_average", traits, exponential_moving_average);
    define(registry, "xirr", xirr);
    let decayed: [(&str, usize, fn(&Decay) -> f64); 4] = [
        ("exponential_time_decayed_sum", 2, |d| d.sum),
        ("exponential_time_decayed_avg", 2, |d| d.sum / d.weight),
        ("exponential_time_decayed_max", 2, |d| d.max),
        ("exponential_time_decayed_count", 1, |d| d.weight),
    ];
    for (name, args, answer) in decayed {
        let traits = Traits { params_from: Some(args), ..Traits::default() };
        define_as(registry, name, traits, move |call| time_decayed(call, args, answer));
    }
}

/// `exponential_time_decayed_sum(value, time, decay)` and its like: a row counts the less the longer it lies before the last
/// one, by a factor of e for each `decay`. `exponential_time_decayed_count` takes no value.
fn time_decayed(call: &AggCall<'_>, args: usize, answer: fn(&Decay) -> f64) -> Result<BoundAgg> {
    call.arity(args..=args)?;
    (0..args).try_for_each(|i| along_an_axis(call, i))?;
    let [decay] = call.params else {
        let text = format!("\"{}\" takes {} arguments, the last one how fast rows decay", call.name, args + 1);
        return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
    };
    let decay = decay
        .as_f64()
        .filter(|v| v.is_finite() && *v > 0.0)
        .ok_or_else(|| Error::bad_arguments(format!("the decay of \"{}\" must be a number above 0", call.name)))?;
    call.returns(LogicalType::Float64, folded(TimeDecayed { args: call.types(), decay, answer }))
}

/// Sums as of the time of the last row.
#[derive(Clone, Copy)]
struct Decay {
    sum: f64,
    weight: f64,
    max: f64,
    time: f64,
}

struct TimeDecayed {
    args: Vec<LogicalType>,
    decay: f64,
    answer: fn(&Decay) -> f64,
}

impl Fold for TimeDecayed {
    type Cell = Option<Decay>;
    type Input<'a> = Vec<Vec<f64>>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        args.iter().zip(&self.args).map(|(a, t)| floats(a, t)).collect()
    }

    fn empty(&self) -> Self::Cell {
        None
    }

    fn add(&self, cell: &mut Self::Cell, input: &Self::Input<'_>, row: usize) -> Result<()> {
        let (value, time) = match input.as_slice() {
            [values, times] => (values[row], times[row]),
            _ => (1.0, input[0][row]),
        };
        self.merge(cell, Some(Decay { sum: value, weight: 1.0, max: value, time }))
    }

    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        let Some(next) = from else { return Ok(()) };
        *into = Some(match *into {
            None => next,
            Some(before) => {
                let left = ((before.time - next.time) / self.decay).exp();
                Decay {
                    sum: before.sum * left + next.sum,
                    weight: before.weight * left + next.weight,
                    max: (before.max * left).max(next.max),
                    time: next.time,
                }
            }
        });
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        if let Some(d) = cell {
            [d.sum, d.weight, d.max, d.time].iter().for_each(|v| put_f64(out, *v));
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        Ok(Some(Decay { sum: bytes.f64()?, weight: bytes.f64()?, max: bytes.f64()?, time: bytes.f64()? }))
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        let answer = |cell: &Self::Cell| Ok(Value::Float64(cell.as_ref().map_or(f64::NAN, self.answer)));
        column(&LogicalType::Float64, cells.iter().map(answer))
    }
}

/// Errors: ILLEGAL_TYPE_OF_ARGUMENT (43) unless the argument is a number, a date or a time.
fn along_an_axis(call: &AggCall<'_>, position: usize) -> Result<()> {
    if call.ty(position).is_date_or_time() { Ok(()) } else { call.need_number(position) }
}

/// Rows of two columns of numbers; a pair with a NaN does not count.
fn number_pairs(args: &[ArrayRef], types: &[LogicalType]) -> Result<Vec<Option<(Number, Number)>>> {
    let (a, b) = (numbers(&args[0], &types[0])?, numbers(&args[1], &types[1])?);
    Ok(a.into_iter().zip(b).map(|(a, b)| (!a.is_nan() && !b.is_nan()).then_some((a, b))).collect())
}

/// The length that intervals cover together; one that ends before it starts is turned around.
fn interval_length_sum(call: &AggCall<'_>) -> Result<BoundAgg> {
    call.arity(2..=2)?;
    along_an_axis(call, 0)?;
    if call.ty(0) != call.ty(1) || call.ty(0).is_decimal() {
        return Err(call.illegal(1));
    }
    let ty = if call.ty(0).is_float() { LogicalType::Float64 } else { LogicalType::UInt64 };
    let (types, answer_type) = (call.types(), ty.clone());
    let answer = move |intervals: &[(Number, Number)]| {
        let turned = |(a, b): &(Number, Number)| if b.order(a).is_lt() { (*b, *a) } else { (*a, *b) };
        let mut sorted: Vec<(Number, Number)> = intervals.iter().map(turned).collect();
        sorted.sort_by(|x, y| x.0.order(&y.0));
        let mut length = Number::zero(&answer_type);
        let mut open: Option<(Number, Number)> = None;
        for (start, end) in sorted {
            match &mut open {
                Some((_, last)) if !last.order(&start).is_lt() => {
                    if end.order(last).is_gt() {
                        *last = end;
                    }
                }
                _ => {
                    if let Some((from, to)) = open.replace((start, end)) {
                        length = length.plus(to.minus(from));
                    }
                }
            }
        }
        if let Some((from, to)) = open {
            length = length.plus(to.minus(from));
        }
        Ok(length.value(&answer_type))
    };
    call.returns(ty.clone(), folded(kept(ty, move |args: &[ArrayRef]| number_pairs(args, &types), answer)))
}

/// How many intervals lie over one another at most, or where first.
fn max_intersections(call: &AggCall<'_>, position: bool) -> Result<BoundAgg> {
    call.arity(2..=2)?;
    along_an_axis(call, 0)?;
    if call.ty(0) != call.ty(1) {
        return Err(call.illegal(1));
    }
    let point = call.ty(0).clone();
    let ty = if position { point.clone() } else { LogicalType::UInt64 };
    let types = call.types();
    // A start without an end counts, and an end without a start.
    let read = move |args: &[ArrayRef]| {
        let (a, b) = (numbers(&args[0], &types[0])?, numbers(&args[1], &types[1])?);
        let given = |n: Number| (!n.is_nan()).then_some(n);
        Ok(a.into_iter().zip(b).map(|(a, b)| Some((given(a), given(b)))).collect())
    };
    let answer = move |intervals: &[(Option<Number>, Option<Number>)]| {
        let mut ends: Vec<(Number, i64)> = Vec::with_capacity(intervals.len() * 2);
        for (start, end) in intervals {
            ends.extend(start.map(|s| (s, 1)));
            ends.extend(end.map(|e| (e, -1)));
        }
        // At one point the ends come before the starts.
        ends.sort_by(|x, y| x.0.order(&y.0).then(x.1.cmp(&y.1)));
        let (mut open, mut most, mut at) = (0i64, 0i64, Number::zero(&point));
        for (place, step) in ends {
            open += step;
            if open > most {
                (most, at) = (open, place);
            }
        }
        Ok(if position { at.value(&point) } else { Value::UInt(most as u64) })
    };
    call.returns(ty.clone(), folded(kept(ty, read, answer)))
}

/// The slope between the leftmost and the rightmost point.
fn bounding_ratio(call: &AggCall<'_>) -> Result<BoundAgg> {
    call.arity(2..=2)?;
    for i in 0..2 {
        if along_an_axis(call, i).is_err() {
            return Err(Error::bad_arguments(format!("\"{}\" takes numbers, not {}", call.name, call.ty(i))));
        }
    }
    call.returns(LogicalType::Float64, folded(BoundingRatio { args: call.types() }))
}

struct BoundingRatio {
    args: Vec<LogicalType>,
}

type Point = (f64, f64);

impl Fold for BoundingRatio {
    type Cell = Option<(Point, Point)>;
    type Input<'a> = Vec<Option<Point>>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Vec<Option<Point>>> {
        pairs(args, &self.args)
    }

    fn empty(&self) -> Self::Cell {
        None
    }

    fn add(&self, cell: &mut Self::Cell, input: &Vec<Option<Point>>, row: usize) -> Result<()> {
        match input[row] {
            Some(point) => self.merge(cell, Some((point, point))),
            None => Ok(()),
        }
    }

    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        let Some((left, right)) = from else { return Ok(()) };
        *into = Some(match *into {
            None => (left, right),
            Some((l, r)) => (if left.0 < l.0 { left } else { l }, if right.0 > r.0 { right } else { r }),
        });
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        cell.write(out);
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        Item::read(bytes)
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        let slope = |cell: &Self::Cell| {
            let slope = cell.map_or(f64::NAN, |(l, r)| (r.1 - l.1) / (r.0 - l.0));
            Ok(Value::Float64(slope))
        };
        column(&LogicalType::Float64, cells.iter().map(slope))
    }
}

/// `k` and `b` of the line `y = k * x + b` with the least sum of squared distances.
fn simple_linear_regression(call: &AggCall<'_>) -> Result<BoundAgg> {
    call.arity(2..=2)?;
    call.need_number(0)?;
    call.need_number(1)?;
    let ty = named_floats(&["k", "b"]);
    let step = |s: &mut [f64; 5], args: &[Vec<f64>], row: usize| {
        let (x, y) = (args[0][row], args[1][row]);
        s.iter_mut().zip([1.0, x, y, x * y, x * x]).for_each(|(sum, v)| *sum += v);
        Ok(())
    };
    let answer = |s: &[f64; 5]| {
        let [n, x, y, xy, xx] = *s;
        let k = (n * xy - x * y) / (n * xx - x * x);
        Ok(floats_value(&[k, (y - k * x) / n]))
    };
    let fold = Sums { args: call.types(), step, answer, ty: ty.clone() };
    call.returns(ty, folded(fold))
}

/// The sum of the steps upward from one row to the next; by time, where states are merged.
fn delta_sum(call: &AggCall<'_>) -> Result<BoundAgg> {
    if !call.ty(0).is_number() || call.ty(0).is_decimal() {
        return Err(call.illegal(0));
    }
    call.returns(call.ty(0).clone(), folded(DeltaSum { args: call.types() }))
}

struct DeltaSum {
    args: Vec<LogicalType>,
}

/// Where a run of rows starts and ends, and how much it climbs between.
#[derive(Clone, Copy)]
struct Run {
    sum: Number,
    first: Number,
    last: Number,
    first_time: Number,
    last_time: Number,
}

impl Run {
    fn then(self, next: Run) -> Run {
        let mut sum = self.sum.plus(next.sum);
        if next.first.order(&self.last).is_gt() {
            sum = sum.plus(next.first.minus(self.last));
        }
        Run { sum, first: self.first, first_time: self.first_time, last: next.last, last_time: next.last_time }
    }

    fn is_before(&self, o: &Run) -> bool {
        match self.last_time.order(&o.first_time) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Equal => {
                self.last_time.order(&o.last_time).is_lt() || self.first_time.order(&o.first_time).is_lt()
            }
            std::cmp::Ordering::Greater => false,
        }
    }
}

impl Fold for DeltaSum {
    type Cell = Option<Run>;
    type Input<'a> = (Vec<Number>, Option<Vec<Number>>);

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        let times = args.get(1).zip(self.args.get(1)).map(|(a, t)| numbers(a, t)).transpose()?;
        Ok((numbers(&args[0], &self.args[0])?, times))
    }

    fn empty(&self) -> Option<Run> {
        None
    }

    fn add(&self, cell: &mut Option<Run>, (values, times): &Self::Input<'_>, row: usize) -> Result<()> {
        let value = values[row];
        if value.is_nan() {
            return Ok(());
        }
        let time = times.as_ref().map_or(Number::Whole(i256::ZERO), |t| t[row]);
        let zero = Number::zero(&self.args[0]);
        let one = Run { sum: zero, first: value, last: value, first_time: time, last_time: time };
        *cell = Some(cell.map_or(one, |run| run.then(one)));
        Ok(())
    }

    fn merge(&self, into: &mut Option<Run>, from: Option<Run>) -> Result<()> {
        let Some(other) = from else { return Ok(()) };
        let Some(run) = *into else {
            *into = from;
            return Ok(());
        };
        let timed = self.args.len() > 1;
        *into = Some(if !timed || run.is_before(&other) {
            run.then(other)
        } else if other.is_before(&run) {
            other.then(run)
        } else if run.first.order(&other.first).is_lt() {
            // Their times overlap, so nothing is known of the order: the greater one is kept.
            Run { first: other.first, last: other.last, ..run }
        } else {
            run
        });
        Ok(())
    }

    fn write(&self, cell: &Option<Run>, out: &mut Vec<u8>) {
        if let Some(r) = cell {
            [r.sum, r.first, r.last, r.first_time, r.last_time].iter().for_each(|n| n.write(out));
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Option<Run>> {
        let mut next = || Number::read(bytes);
        Ok(Some(Run { sum: next()?, first: next()?, last: next()?, first_time: next()?, last_time: next()? }))
    }

    fn finish(&self, cells: Picked<'_, Option<Run>>) -> Result<ArrayRef> {
        let ty = &self.args[0];
        column(ty, cells.iter().map(|c| Ok(c.map_or(Number::zero(ty), |run| run.sum).value(ty))))
    }
}

/// `exponential_moving_average(value, time, half_decay)`.
fn exponential_moving_average(call: &AggCall<'_>) -> Result<BoundAgg> {
    call.arity(2..=2)?;
    for i in 0..2 {
        along_an_axis(call, i)?;
    }
    let [half_decay] = call.params else {
        let text = format!("\"{}\" takes 3 arguments: the value, its time and the time of half decay", call.name);
        return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
    };
    let half_decay = half_decay.as_f64().filter(|v| v.is_finite() && *v != 0.0).ok_or_else(|| {
        Error::bad_arguments(format!("the time of half decay of \"{}\" must be a number other than 0", call.name))
    })?;
    call.returns(LogicalType::Float64, folded(Smoothed { args: call.types(), half_decay }))
}

struct Smoothed {
    args: Vec<LogicalType>,
    half_decay: f64,
}

impl Smoothed {
    /// What is left of one after `time`.
    fn left(&self, time: f64) -> f64 {
        (-time / self.half_decay).exp2()
    }
}

impl Fold for Smoothed {
    /// The weighted sum as of a time.
    type Cell = Option<(f64, f64)>;
    type Input<'a> = Vec<Option<(f64, f64)>>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        pairs(args, &self.args)
    }

    fn empty(&self) -> Self::Cell {
        None
    }

    fn add(&self, cell: &mut Self::Cell, input: &Self::Input<'_>, row: usize) -> Result<()> {
        self.merge(cell, input[row])
    }

    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        let Some((b, at_b)) = from else { return Ok(()) };
        *into = Some(match *into {
            None => (b, at_b),
            Some((a, at_a)) if at_a >= at_b => (a + b * self.left(at_a - at_b), at_a),
            Some((a, at_a)) => (a * self.left(at_b - at_a) + b, at_b),
        });
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        if let Some((sum, time)) = cell {
            put_f64(out, *sum);
            put_f64(out, *time);
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        Ok(Some((bytes.f64()?, bytes.f64()?)))
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        let weight = 1.0 - self.left(1.0);
        let answer = |cell: &Self::Cell| Ok(Value::Float64(cell.map_or(0.0, |(sum, _)| sum) * weight));
        column(&LogicalType::Float64, cells.iter().map(answer))
    }
}

/// `xirr(amount, date[, guess])`: the yearly rate at which the payments are worth nothing together.
fn xirr(call: &AggCall<'_>) -> Result<BoundAgg> {
    call.arity(2..=3)?;
    call.need_number(0)?;
    if !call.ty(1).is_date_or_time() && !call.ty(1).is_integer() {
        return Err(call.illegal(1));
    }
    if call.args.len() == 3 {
        call.need_number(2)?;
    }
    let types = call.types();
    let read = move |args: &[ArrayRef]| {
        let amounts = floats(&args[0], &types[0])?;
        let days = to_vec::<i64>(&args[1], &types[1])?;
        let guesses = args.get(2).map(|a| floats(a, &types[2])).transpose()?;
        let guess = |row: usize| guesses.as_ref().map_or(0.1, |g| g[row]);
        Ok(amounts.into_iter().zip(days).enumerate().map(|(row, (a, d))| Some((a, d, guess(row)))).collect())
    };
    let answer = |rows: &[(f64, i64, f64)]| Ok(Value::Float64(rate_of_return(rows)));
    call.returns(LogicalType::Float64, folded(kept(LogicalType::Float64, read, answer)))
}

/// By the secant method in per cent, from the first row's guess on; 0 where it finds nothing.
fn rate_of_return(rows: &[(f64, i64, f64)]) -> f64 {
    const STEPS_MAX: u32 = 100;
    const NEAR: f64 = 1e-7;
    let Some((_, _, guess)) = rows.first() else { return 0.0 };
    let mut payments: Vec<(f64, i64)> = rows.iter().map(|(amount, day, _)| (*amount, *day)).collect();
    payments.sort_by_key(|(_, day)| *day);
    let start = payments[0].1;
    let worth = |rate: f64| -> f64 {
        let of = |(amount, day): &(f64, i64)| amount / (1.0 + rate / 100.0).powf((day - start) as f64 / 365.0);
        payments.iter().map(of).sum()
    };
    let (mut r1, mut r2) = (guess * 100.0, guess * 100.0 + 1.0);
    let (mut f1, mut f2) = (worth(r1), worth(r2));
    let mut damping = 1.0;
    for _ in 0..STEPS_MAX {
        if (f2 - f1).abs() <= NEAR || (r2 - r1).abs() <= NEAR {
            return 0.0;
        }
        let next = r1 - f1 / ((f2 - f1) / (r2 - r1)) / damping;
        if (next - r1).abs() / ((r1.abs() + r2.abs()) / 2.0) <= 5e-7 {
            return next / 100.0;
        }
        if next > -100.0 {
            damping = 1.0;
            (r2, f2) = (r1, f1);
            (r1, f1) = (next, worth(next));
        } else {
            damping *= 2.0;
        }
    }
    0.0
}
