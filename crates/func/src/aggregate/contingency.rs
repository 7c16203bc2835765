//! How strongly two or more columns of categories depend on each other, and how much one column tells.
//!
//! Categories are known by a 64-bit hash of their values. Sums run in the order of the hashes, so that an answer does not
//! depend on the order of rows.

use super::bytes::{Reader, put_u64};
use super::define::{AggCall, define};
use super::fold::{Fold, Picked, folded};
use super::item::{Kind, RowKind, stable_hash, with_few_kinds};
use super::kept::column;
use crate::agg::BoundAgg;
use crate::registry::Registry;
use crate::scalar::number::to_vec;
use arrow::array::{Array, ArrayRef};
use hydron_base::Result;
use hydron_types::{LogicalType, Value};
use std::collections::BTreeMap;

pub fn register(registry: &mut Registry) {
    let crossed: [(&str, fn(&Table) -> f64); 4] = [
        ("cramers_v", cramers_v),
        ("cramers_v_bias_corrected", cramers_v_bias_corrected),
        ("contingency", contingency),
        ("theils_u", theils_u),
    ];
    for (name, answer) in crossed {
        define(registry, name, move |call| {
            call.arity(2..=2)?;
            let crossing = Crossing { args: call.types(), answer };
            call.returns(LogicalType::Float64, folded(crossing))
        });
    }
    define(registry, "entropy", |call| {
        call.arity(1..=usize::MAX)?;
        call.returns(LogicalType::Float64, folded(Entropy { args: call.types() }))
    });
    define(registry, "categorical_information_value", categorical);
}

/// A hash of each value.
fn hashes(array: &ArrayRef, ty: &LogicalType) -> Result<Vec<u64>> {
    fn all<K: Kind>(kind: &K, args: &[ArrayRef], rows: usize) -> Result<Vec<u64>> {
        let view = kind.view(args)?;
        Ok((0..rows).map(|row| stable_hash(&K::own(&view, row))).collect())
    }
    let args = [ArrayRef::clone(array)];
    with_few_kinds!(ty, k => all(&k, &args, array.len()))
}

/// How often each pair of categories came.
type Counts = BTreeMap<(u64, u64), u64>;

struct Table {
    both: Vec<(f64, f64, f64)>,
    total: f64,
    left: BTreeMap<u64, u64>,
    right: BTreeMap<u64, u64>,
}

impl Table {
    fn of(counts: &Counts) -> Table {
        let (mut left, mut right) = (BTreeMap::<u64, u64>::new(), BTreeMap::<u64, u64>::new());
        for ((a, b), n) in counts {
            *left.entry(*a).or_default() += n;
            *right.entry(*b).or_default() += n;
        }
        let both = counts.iter().map(|((a, b), n)| (left[a] as f64, right[b] as f64, *n as f64)).collect();
        Table { both, total: counts.values().sum::<u64>() as f64, left, right }
    }

    /// Over the pairs that came, as ClickHouse does; a pair that never came adds nothing.
    fn phi_squared(&self) -> f64 {
        let of_pair = |(a, b, n): &(f64, f64, f64)| {
            let expected = a * b / self.total;
            (n - expected) * (n - expected) / expected / self.total
        };
        self.both.iter().map(of_pair).sum()
    }
}

fn cramers_v(t: &Table) -> f64 {
    if t.total < 2.0 {
        return f64::NAN;
    }
    (t.phi_squared() / (t.left.len().min(t.right.len()) as f64 - 1.0)).sqrt()
}

fn cramers_v_bias_corrected(t: &Table) -> f64 {
    if t.total < 2.0 {
        return f64::NAN;
    }
    let (q, r, rest) = (t.left.len() as f64, t.right.len() as f64, t.total - 1.0);
    let phi = (t.phi_squared() - (q - 1.0) * (r - 1.0) / rest).max(0.0);
    let corrected = |n: f64| n - (n - 1.0) * (n - 1.0) / rest;
    (phi / (corrected(q).min(corrected(r)) - 1.0)).sqrt()
}

fn contingency(t: &Table) -> f64 {
    if t.total < 2.0 {
        return f64::NAN;
    }
    let phi = t.phi_squared();
    (phi / (phi + t.total)).sqrt()
}

fn theils_u(t: &Table) -> f64 {
    if t.total < 2.0 {
        return f64::NAN;
    }
    let own: f64 = t.left.values().map(|n| *n as f64 / t.total).map(|p| p * p.ln()).sum();
    let given: f64 = t.both.iter().map(|(_, b, n)| n / t.total * (n / b).ln()).sum();
    let found = (given - own) / own;
    // No less than no dependence, whatever the rounding of the sums.
    if found > 0.0 { -0.0 } else { found }
}

struct Crossing {
    args: Vec<LogicalType>,
    answer: fn(&Table) -> f64,
}

impl Fold for Crossing {
    type Cell = Counts;
    type Input<'a> = (Vec<u64>, Vec<u64>);

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        Ok((hashes(&args[0], &self.args[0])?, hashes(&args[1], &self.args[1])?))
    }

    fn empty(&self) -> Counts {
        Counts::new()
    }

    fn add(&self, cell: &mut Counts, (a, b): &Self::Input<'_>, row: usize) -> Result<()> {
        *cell.entry((a[row], b[row])).or_default() += 1;
        Ok(())
    }

    fn merge(&self, into: &mut Counts, from: Counts) -> Result<()> {
        from.into_iter().for_each(|(pair, n)| *into.entry(pair).or_default() += n);
        Ok(())
    }

    fn write(&self, cell: &Counts, out: &mut Vec<u8>) {
        put_u64(out, cell.len() as u64);
        for ((a, b), n) in cell {
            out.extend_from_slice(&a.to_le_bytes());
            out.extend_from_slice(&b.to_le_bytes());
            put_u64(out, *n);
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Counts> {
        let pair = |bytes: &mut Reader<'_>| {
            Ok(((u64::from_le_bytes(bytes.array()?), u64::from_le_bytes(bytes.array()?)), bytes.u64()?))
        };
        (0..bytes.count()?).map(|_| pair(bytes)).collect()
    }

    fn finish(&self, cells: Picked<'_, Counts>) -> Result<ArrayRef> {
        let answer = |c: &Counts| Ok(Value::Float64((self.answer)(&Table::of(c))));
        column(&LogicalType::Float64, cells.iter().map(answer))
    }

    fn heap(&self, cell: &Counts) -> usize {
        cell.len() * 48
    }
}

/// Shannon's entropy of the values, in bits.
struct Entropy {
    args: Vec<LogicalType>,
}

impl Fold for Entropy {
    type Cell = BTreeMap<u64, u64>;
    type Input<'a> = Vec<u64>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Vec<u64>> {
        if let ([arg], [ty]) = (args, self.args.as_slice()) {
            return hashes(arg, ty);
        }
        let kind = RowKind::new(&self.args)?;
        let view = kind.view(args)?;
        let rows = args.first().map_or(0, |a| a.len());
        Ok((0..rows).map(|row| stable_hash(&RowKind::own(&view, row))).collect())
    }

    fn empty(&self) -> Self::Cell {
        BTreeMap::new()
    }

    fn add(&self, cell: &mut Self::Cell, input: &Vec<u64>, row: usize) -> Result<()> {
        *cell.entry(input[row]).or_default() += 1;
        Ok(())
    }

    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        from.into_iter().for_each(|(value, n)| *into.entry(value).or_default() += n);
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        put_u64(out, cell.len() as u64);
        for (value, n) in cell {
            out.extend_from_slice(&value.to_le_bytes());
            put_u64(out, *n);
        }
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        (0..bytes.count()?).map(|_| Ok((u64::from_le_bytes(bytes.array()?), bytes.u64()?))).collect()
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        let answer = |cell: &Self::Cell| {
            let total = cell.values().sum::<u64>() as f64;
            let bits = |n: &u64| *n as f64 / total * (*n as f64 / total).log2();
            Ok(Value::Float64(0.0 - cell.values().map(bits).sum::<f64>()))
        };
        column(&LogicalType::Float64, cells.iter().map(answer))
    }

    fn heap(&self, cell: &Self::Cell) -> usize {
        cell.len() * 32
    }
}

/// `categorical_information_value(category, …, target)`: for each category how much it tells of the target.
fn categorical(call: &AggCall<'_>) -> Result<BoundAgg> {
    call.arity(2..=usize::MAX)?;
    for i in 0..call.args.len() {
        if !matches!(call.ty(i), LogicalType::UInt8 | LogicalType::Bool) {
            return Err(hydron_base::Error::bad_arguments(format!(
                "argument {} of \"{}\" must be uint8 or bool, not {}",
                i + 1,
                call.name,
                call.ty(i)
            )));
        }
    }
    let ty = LogicalType::Array(Box::new(LogicalType::Float64));
    call.returns(ty.clone(), folded(Categorical { args: call.types(), ty }))
}

struct Categorical {
    args: Vec<LogicalType>,
    ty: LogicalType,
}

impl Fold for Categorical {
    /// For each category and last for all rows: how many without and with the target.
    type Cell = Vec<[u64; 2]>;
    type Input<'a> = Vec<Vec<u8>>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Vec<Vec<u8>>> {
        args.iter().zip(&self.args).map(|(a, t)| to_vec::<u8>(a, t)).collect()
    }

    fn empty(&self) -> Self::Cell {
        vec![[0; 2]; self.args.len()]
    }

    fn add(&self, cell: &mut Self::Cell, input: &Vec<Vec<u8>>, row: usize) -> Result<()> {
        let last = cell.len() - 1;
        let target = usize::from(input[last][row] != 0);
        for (counts, category) in cell.iter_mut().zip(&input[..last]) {
            counts[target] += u64::from(category[row] != 0);
        }
        cell[last][target] += 1;
        Ok(())
    }

    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()> {
        into.iter_mut().flatten().zip(from.into_iter().flatten()).for_each(|(a, b)| *a += b);
        Ok(())
    }

    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        cell.iter().flatten().for_each(|n| put_u64(out, *n));
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        (0..self.args.len()).map(|_| Ok([bytes.u64()?, bytes.u64()?])).collect()
    }

    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef> {
        let answer = |cell: &Self::Cell| {
            let (categories, all) = cell.split_at(cell.len() - 1);
            let value = |counts: &[u64; 2]| {
                let [no, yes] = [0, 1].map(|i| counts[i] as f64 / all[0][i] as f64);
                Value::Float64((no - yes) * (no.ln() - yes.ln()))
            };
            Ok(Value::Array(categories.iter().map(value).collect()))
        };
        column(&self.ty, cells.iter().map(answer))
    }

    fn heap(&self, cell: &Self::Cell) -> usize {
        cell.capacity() * 16
    }
}
