//! What a group looks like: a histogram, a bar of letters, a sample, values at places, up to how many different ones.

use super::bytes::{Reader, put_u64};
use super::define::{AggCall, Traits, define_as};
use super::fold::{Fold, Picked, folded};
use super::item::{Kind, RowKind, stable_hash};
use super::kept::{Item, column, kept};
use super::number::{Number, numbers};
use super::sum::floats;
use crate::agg::BoundAgg;
use crate::registry::Registry;
use crate::scalar::number::to_vec;
use arrow::array::{Array, ArrayRef, UInt64Array};
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value, value_at};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub fn register(registry: &mut Registry) {
    let one = Traits { params_from: Some(1), default_without_rows: true, ..Traits::default() };
    let two = Traits { params_from: Some(2), ..one };
    define_as(registry, "histogram", one, histogram);
    define_as(registry, "sparkbar", two, sparkbar);
    define_as(registry, "unique_up_to", one, unique_up_to);
    registry.add_alias("uniq_up_to", "unique_up_to");
    define_as(registry, "group_array_sample", one, sample);
    define_as(registry, "group_array_insert_at", two, insert_at);
}

/// `histogram(x, bins)`: about equally telling bins, as (lower, upper, height).
fn histogram(call: &AggCall<'_>) -> Result<BoundAgg> {
    const BINS_MAX: u64 = 250;
    call.arity(1..=1)?;
    call.need_number(0)?;
    let [bins] = call.params else {
        let text = format!("\"{}\" takes 2 arguments: a number, and how many bins", call.name);
        return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
    };
    let bins = bins.as_u64().filter(|n| (1..=BINS_MAX).contains(n)).ok_or_else(|| {
        let text = format!("the bins of \"{}\" are a number from 1 to {BINS_MAX}", call.name);
        Error::new(Code::PARAMETER_OUT_OF_BOUND, text)
    })?;
    let bin = LogicalType::Tuple(vec![(None, LogicalType::Float64); 3].into());
    let ty = LogicalType::Array(Box::new(bin));
    call.returns(ty.clone(), folded(Histogram { arg: call.ty(0).clone(), bins: bins as usize, ty }))
}

/// Points with a weight, close ones fused: Ben-Haim and Tom-Tov, "A Streaming Parallel Decision Tree Algorithm".
struct Histogram {
    arg: LogicalType,
    bins: usize,
    ty: LogicalType,
}

#[derive(Clone, Default)]
struct Points {
    /// Mean and weight.
    points: Vec<(f64, f64)>,
    least: f64,
    greatest: f64,
}

fn fused((a, v): (f64, f64), (b, w): (f64, f64)) -> (f64, f64) {
    (a + w * (b - a) / (v + w), v + w)
}

impl Points {
    fn add(&mut self, point: (f64, f64), bins: usize) {
        let first = self.points.is_empty();
        self.least = if first { point.0 } else { self.least.min(point.0) };
        self.greatest = if first { point.0 } else { self.greatest.max(point.0) };
        self.points.push(point);
        if self.points.len() >= bins * 2 {
            self.compress(bins);
        }
    }

    /// Fuses the two closest until `bins` are left. Quadratic, in at most twice 250 points.
    fn compress(&mut self, bins: usize) {
        self.points.sort_by(|a, b| a.0.total_cmp(&b.0));
        while self.points.len() > bins {
            let gap = |i: &usize| self.points[i + 1].0 - self.points[*i].0;
            let closest = (0..self.points.len() - 1).min_by(|a, b| gap(a).total_cmp(&gap(b)));
            let Some(at) = closest else { break };
            let right = self.points.remove(at + 1);
            self.points[at] = fused(self.points[at], right);
        }
    }

    fn bins(&self, bins: usize) -> Vec<Value> {
        let mut all = self.clone();
        all.compress(bins);
        let mut points: Vec<(f64, f64)> = Vec::new();
        for point in all.points {
            match points.last_mut() {
                // Two points whose texts differ in the last digit alone are one.
                Some(last) if last.0 + 10.0 * (last.0 + point.0) * f64::EPSILON >= point.0 => {
                    *last = fused(*last, point);
                }
                _ => points.push(point),
            }
        }
        let n = points.len();
        let bin = |i: usize| {
            let (mean, weight) = points[i];
            let lower = if i == 0 { all.least } else { (mean + points[i - 1].0) / 2.0 };
            let upper = if i + 1 == n { all.greatest } else { (mean + points[i + 1].0) / 2.0 };
            let left = if i == 0 { weight } else { (points[i - 1].1 + weight * 3.0) / 4.0 };
            let right = if i + 1 == n { weight } else { (points[i + 1].1 + weight * 3.0) / 4.0 };
            super::kept::floats_value(&[lower, upper, (left + right) / 2.0])
        };
        (0..n).map(bin).collect()
    }
}

impl Fold for Histogram {
    type Cell = Points;
    type Input<'a> = Vec<f64>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Vec<f64>> {
        floats(&args[0], &self.arg)
    }

    fn empty(&self) -> Points {
        Points::default()
    }

    fn add(&self, cell: &mut Points, input: &Vec<f64>, row: usize) -> Result<()> {
        if !input[row].is_finite() {
            return Err(Error::new(Code::INCORRECT_DATA, "a histogram cannot hold nan or an infinite number"));
        }
        cell.add((input[row], 1.0), self.bins);
        Ok(())
    }

    fn merge(&self, into: &mut Points, from: Points) -> Result<()> {
        let bounds = [(from.least, 0.0), (from.greatest, 0.0)];
        let any = !from.points.is_empty();
        from.points.into_iter().for_each(|p| into.add(p, self.bins));
        if any {
            into.least = into.least.min(bounds[0].0);
            into.greatest = into.greatest.max(bounds[1].0);
        }
        Ok(())
    }

    fn write(&self, cell: &Points, out: &mut Vec<u8>) {
        put_u64(out, cell.points.len() as u64);
        cell.points.iter().for_each(|p| p.write(out));
        (cell.least, cell.greatest).write(out);
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Points> {
        let points = (0..bytes.count()?).map(|_| Item::read(bytes)).collect::<Result<_>>()?;
        let (least, greatest) = Item::read(bytes)?;
        Ok(Points { points, least, greatest })
    }

    fn finish(&self, cells: Picked<'_, Points>) -> Result<ArrayRef> {
        column(&self.ty, cells.iter().map(|c| Ok(Value::Array(c.bins(self.bins)))))
    }

    fn heap(&self, cell: &Points) -> usize {
        cell.points.capacity() * 16
    }
}

/// `sparkbar(x, y, width[, least x, greatest x])`: the sums of y over x as a text of bars.
fn sparkbar(call: &AggCall<'_>) -> Result<BoundAgg> {
    const WIDTH_MAX: u64 = 10_000;
    call.arity(2..=2)?;
    if !call.ty(0).is_unsigned_integer() && !call.ty(0).is_date_or_time() {
        return Err(call.illegal(0));
    }
    call.need_number(1)?;
    let wrong = |text: &str| Error::bad_arguments(format!("\"{}\" {text}", call.name));
    let whole = |v: &Value| match v {
        Value::Date(v) => Some(i64::from(*v)),
        Value::Time(v) => Some(*v),
        v => v.as_i64(),
    };
    let (width, bounds) = match call.params {
        [width] => (width, None),
        [width, low, high] => {
            let bounds = whole(low).zip(whole(high));
            (width, Some(bounds.ok_or_else(|| wrong("needs bounds like its first argument"))?))
        }
        _ => {
            let text = format!("\"{}\" takes 3 or 5 arguments: x, y, the width and maybe the bounds of x", call.name);
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
        }
    };
    let width = width.as_u64().filter(|w| *w <= WIDTH_MAX).ok_or_else(|| wrong("needs a width of up to 10000"))?;
    let types = call.types();
    let read = move |args: &[ArrayRef]| {
        let (x, y) = (to_vec::<i64>(&args[0], &types[0])?, floats(&args[1], &types[1])?);
        let inside = |x: i64| bounds.is_none_or(|(low, high)| low <= x && x <= high);
        Ok(x.into_iter().zip(y).map(|(x, y)| inside(x).then_some((x, y))).collect())
    };
    let answer = move |rows: &[(i64, f64)]| Ok(Value::string(bars(rows, width as usize, bounds)));
    call.returns(LogicalType::String, folded(kept(LogicalType::String, read, answer)))
}

/// The height of `y` between the least and the greatest of 8 heights; nothing without a value.
fn bar(y: Option<f64>, least: f64, greatest: f64) -> char {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    match y {
        None => ' ',
        Some(_) if greatest == least => BARS[0],
        Some(y) => {
            let height = ((y - least) / (greatest - least) * 7.0).round();
            if (0.0..=7.0).contains(&height) { BARS[height as usize] } else { ' ' }
        }
    }
}

fn bars(rows: &[(i64, f64)], width: usize, bounds: Option<(i64, i64)>) -> String {
    let mut sums: BTreeMap<i64, f64> = BTreeMap::new();
    rows.iter().for_each(|(x, y)| *sums.entry(*x).or_default() += y);
    let (Some(first), Some(last)) = (sums.keys().next(), sums.keys().next_back()) else { return String::new() };
    if width == 0 {
        return String::new();
    }
    let (low, high) = bounds.unwrap_or((*first, *last));
    let buckets = (i128::from(high) - i128::from(low) + 1).max(0) as u128;
    if buckets <= width as u128 {
        // As ClickHouse: heights are told by single values, not by their sums.
        let least = rows.iter().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
        let greatest = rows.iter().map(|(_, y)| *y).fold(f64::NEG_INFINITY, f64::max);
        return (0..buckets as i64).map(|i| bar(sums.get(&(low + i)).copied(), least, greatest)).collect();
    }
    // A bucket that lies over a border of two bars counts for each with its share.
    let per_bar = buckets as f64 / width as f64;
    let mut means: Vec<Option<f64>> = vec![None; width];
    for (x, y) in &sums {
        let (start, end) = ((x - low) as f64, (x - low + 1) as f64);
        let mut at = (start / per_bar) as usize;
        while at < width && at as f64 * per_bar < end {
            let share = end.min((at + 1) as f64 * per_bar) - start.max(at as f64 * per_bar);
            if share > 0.0 {
                *means[at].get_or_insert(0.0) += y * share / per_bar;
            }
            at += 1;
        }
    }
    let given = || means.iter().flatten().copied();
    let (least, greatest) = (given().fold(f64::INFINITY, f64::min), given().fold(f64::NEG_INFINITY, f64::max));
    means.iter().map(|y| bar(*y, least, greatest)).collect()
}

/// `unique_up_to(x, n)`: how many different values, at most n + 1.
fn unique_up_to(call: &AggCall<'_>) -> Result<BoundAgg> {
    const MOST: u64 = 100;
    call.arity(1..=1)?;
    let most = match call.params {
        [] => 10,
        [n] => n.as_u64().filter(|n| *n <= MOST).ok_or_else(|| {
            let text = format!("the count of \"{}\" is a number up to {MOST}", call.name);
            Error::new(Code::ARGUMENT_OUT_OF_BOUND, text)
        })?,
        _ => {
            let text = format!("\"{}\" takes 1 or 2 arguments", call.name);
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
        }
    };
    call.returns(LogicalType::UInt64, folded(UpTo { args: call.types(), most: most as usize }))
}

struct UpTo {
    args: Vec<LogicalType>,
    most: usize,
}

impl Fold for UpTo {
    type Cell = BTreeSet<u64>;
    type Input<'a> = Vec<u64>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Vec<u64>> {
        let kind = RowKind::new(&self.args)?;
        let view = kind.view(args)?;
        let rows = args.first().map_or(0, |a| a.len());
        Ok((0..rows).map(|row| stable_hash(&RowKind::own(&view, row))).collect())
    }

    fn empty(&self) -> Self::Cell {
        BTreeSet::new()
    }

    fn add(&self, cell: &mut Self::Cell, input: &Vec<u64>, row: usize) -> Result<()> {
        if cell.len() <= self.most {
            cell.insert(input[row]);
        }
        Ok(())
    }

    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        into.extend(from);
        while into.len() > self.most + 1 {
            into.pop_last();
        }
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        put_u64(out, cell.len() as u64);
        cell.iter().for_each(|v| v.write(out));
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        (0..bytes.count()?).map(|_| Item::read(bytes)).collect()
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        Ok(Arc::new(cells.iter().map(|c| c.len() as u64).collect::<UInt64Array>()))
    }

    fn heap(&self, cell: &Self::Cell) -> usize {
        cell.len() * 16
    }
}

/// Elements that a sample or an array of places may have.
const ELEMENTS_MAX: usize = 0xff_ffff;

/// `group_array_sample(x, size[, seed])`: values of which each had the same chance.
fn sample(call: &AggCall<'_>) -> Result<BoundAgg> {
    call.arity(1..=1)?;
    if call.params.is_empty() || call.params.len() > 2 {
        let text = format!("\"{}\" takes 2 or 3 arguments: a value, how many of them, and maybe a seed", call.name);
        return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
    }
    let most = call.count_param(0, 1, ELEMENTS_MAX)?;
    let seed = match call.params.get(1) {
        None => 123_456,
        Some(v) => v
            .as_u64()
            .ok_or_else(|| Error::bad_arguments(format!("the seed of \"{}\" must be a whole number", call.name)))?,
    };
    let ty = LogicalType::Array(Box::new(call.ty(0).clone()));
    call.returns(ty.clone(), folded(SampleFold { kind: RowKind::new(&call.types())?, most, seed, ty }))
}

struct SampleFold {
    kind: RowKind,
    most: usize,
    seed: u64,
    ty: LogicalType,
}

/// Values with the draw that decides who stays: the least draws do, so that samples of parts merge to one of the whole.
#[derive(Clone, Default)]
struct Drawn {
    seen: u64,
    values: BTreeSet<(u64, u64, Vec<u8>)>,
}

impl SampleFold {
    fn put(&self, cell: &mut Drawn, draw: u64, number: u64, value: Vec<u8>) {
        cell.values.insert((draw, number, value));
        if cell.values.len() > self.most {
            cell.values.pop_last();
        }
    }
}

impl Fold for SampleFold {
    type Cell = Drawn;
    type Input<'a> = <RowKind as Kind>::View<'a>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        self.kind.view(args)
    }

    fn empty(&self) -> Drawn {
        Drawn::default()
    }

    fn add(&self, cell: &mut Drawn, input: &Self::Input<'_>, row: usize) -> Result<()> {
        let value = RowKind::own(input, row);
        cell.seen += 1;
        let draw = stable_hash(&(self.seed, cell.seen, &value));
        self.put(cell, draw, cell.seen, value);
        Ok(())
    }

    fn merge(&self, into: &mut Drawn, from: Drawn) -> Result<()> {
        let before = into.seen;
        into.seen += from.seen;
        // A draw does not depend on the part its row was in, so the least draws of all are a sample of all.
        for (draw, number, value) in from.values {
            self.put(into, draw, before + number, value);
        }
        Ok(())
    }

    fn write(&self, cell: &Drawn, out: &mut Vec<u8>) {
        put_u64(out, cell.seen);
        put_u64(out, cell.values.len() as u64);
        cell.values.iter().for_each(|v| v.write(out));
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Drawn> {
        let seen = bytes.u64()?;
        let values = (0..bytes.count()?).map(|_| Item::read(bytes)).collect::<Result<_>>()?;
        Ok(Drawn { seen, values })
    }

    fn finish(&self, cells: Picked<'_, Drawn>) -> Result<ArrayRef> {
        let LogicalType::Array(element) = &self.ty else {
            return Err(Error::bug("a sample that is no array"));
        };
        let mut values: Vec<&Vec<u8>> = Vec::new();
        let mut ends = vec![0];
        for cell in cells.iter() {
            let mut in_order: Vec<(&u64, &Vec<u8>)> = cell.values.iter().map(|(_, n, v)| (n, v)).collect();
            in_order.sort();
            values.extend(in_order.into_iter().map(|(_, v)| v));
            ends.push(crate::scalar::column::end_offset(values.len())?);
        }
        Ok(crate::scalar::column::list(element, ends, self.kind.array(values.into_iter())?))
    }

    fn heap(&self, cell: &Drawn) -> usize {
        cell.values.iter().map(|(_, _, v)| v.capacity() + 64).sum()
    }
}

/// `group_array_insert_at(x, place[, default[, size]])`: an array with each value at its place; the first one there stays.
fn insert_at(call: &AggCall<'_>) -> Result<BoundAgg> {
    call.arity(2..=2)?;
    if !call.ty(1).is_unsigned_integer() {
        return Err(call.illegal(1));
    }
    if call.params.len() > 2 {
        let text = format!("\"{}\" takes 2 to 4 arguments: a value, its place, a default, the size", call.name);
        return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
    }
    let value_type = call.ty(0).clone();
    let default = match call.params.first() {
        None | Some(Value::Null) => Value::default_of(&value_type),
        // A number of another width than the column's, as literals are.
        Some(v) => match (number_of(v), value_type.is_number()) {
            (Some(n), true) => n.value(&value_type),
            _ => v.clone(),
        },
    };
    hydron_types::array_of(&default, &value_type, 1).map_err(|_| {
        let text = format!("the default of \"{}\" is no value of {value_type}", call.name);
        Error::new(Code::CANNOT_CONVERT_TYPE, text)
    })?;
    let size = if call.params.len() == 2 { Some(call.count_param(1, 1, ELEMENTS_MAX)?) } else { None };
    let ty = LogicalType::Array(Box::new(value_type.clone()));
    call.returns(
        ty.clone(),
        folded(InsertAt { kind: RowKind::new(&call.types()[..1])?, args: call.types(), default, size, ty }),
    )
}

fn number_of(value: &Value) -> Option<Number> {
    match value {
        Value::Float32(v) => Some(Number::Float(f64::from(*v))),
        Value::Float64(v) => Some(Number::Float(*v)),
        other => crate::scalar::number::wide_of_value(other).map(Number::Whole),
    }
}

struct InsertAt {
    kind: RowKind,
    args: Vec<LogicalType>,
    default: Value,
    size: Option<usize>,
    ty: LogicalType,
}

impl Fold for InsertAt {
    /// Rows of the value by their place.
    type Cell = BTreeMap<u64, Vec<u8>>;
    type Input<'a> = (<RowKind as Kind>::View<'a>, Vec<Number>);

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        Ok((self.kind.view(args)?, numbers(&args[1], &self.args[1])?))
    }

    fn empty(&self) -> Self::Cell {
        BTreeMap::new()
    }

    fn add(&self, cell: &mut Self::Cell, (values, places): &Self::Input<'_>, row: usize) -> Result<()> {
        let place = places[row].float() as u64;
        if self.size.is_some_and(|size| place >= size as u64) {
            return Ok(());
        }
        if place >= ELEMENTS_MAX as u64 {
            let text = format!("place {place} of an array; at most {ELEMENTS_MAX}");
            return Err(Error::new(Code::TOO_LARGE_ARRAY_SIZE, text));
        }
        cell.entry(place).or_insert_with(|| RowKind::own(values, row));
        Ok(())
    }

    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        from.into_iter().for_each(|(place, value)| {
            into.entry(place).or_insert(value);
        });
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        put_u64(out, cell.len() as u64);
        for (place, value) in cell {
            place.write(out);
            value.write(out);
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        (0..bytes.count()?).map(|_| Item::read(bytes)).collect()
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        column(
            &self.ty,
            cells.iter().map(|cell| {
                let values = self.kind.array(cell.values())?;
                let given = cell.keys().next_back().map_or(0, |last| *last as usize + 1);
                let mut array = vec![self.default.clone(); self.size.unwrap_or(given)];
                for (i, place) in cell.keys().enumerate() {
                    array[*place as usize] = value_at(&values, &self.args[0], i);
                }
                Ok(Value::Array(array))
            }),
        )
    }

    fn heap(&self, cell: &Self::Cell) -> usize {
        cell.values().map(|v| v.capacity() + 48).sum()
    }
}
