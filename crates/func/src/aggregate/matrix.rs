//! `covar_samp_matrix`, `covar_pop_matrix` and `corr_matrix`: how each argument goes with each other one.

use super::bytes::{Reader, put_f64};
use super::define::define;
use super::fold::{Fold, Picked, folded};
use super::kept::column;
use super::sum::floats;
use crate::registry::Registry;
use arrow::array::ArrayRef;
use hydron_base::Result;
use hydron_types::{LogicalType, Value};

#[derive(Clone, Copy)]
enum Entry {
    Sample,
    Population,
    Correlation,
}

pub fn register(registry: &mut Registry) {
    for (name, entry) in [
        ("covar_samp_matrix", Entry::Sample),
        ("covar_pop_matrix", Entry::Population),
        ("corr_matrix", Entry::Correlation),
    ] {
        define(registry, name, move |call| {
            call.arity(1..=usize::MAX)?;
            (0..call.args.len()).try_for_each(|i| call.need_number(i))?;
            call.returns(matrix_type(), folded(Matrix { args: call.types(), entry }))
        });
    }
}

fn matrix_type() -> LogicalType {
    LogicalType::Array(Box::new(LogicalType::Array(Box::new(LogicalType::Float64))))
}

/// Sums of the arguments and of their products, kept around their means so that they do not cancel out.
struct Matrix {
    args: Vec<LogicalType>,
    entry: Entry,
}

#[derive(Clone)]
struct Moments {
    rows: f64,
    means: Vec<f64>,
    /// For each pair, row by row: the sum of the products of what lies beside the means.
    products: Vec<f64>,
}

impl Matrix {
    fn joined(&self, a: &mut Moments, b: &Moments) {
        if b.rows == 0.0 {
            return;
        }
        let rows = a.rows + b.rows;
        let apart: Vec<f64> = b.means.iter().zip(&a.means).map(|(b, a)| b - a).collect();
        let n = self.args.len();
        for i in 0..n {
            for j in 0..n {
                a.products[i * n + j] += b.products[i * n + j] + apart[i] * apart[j] * a.rows * b.rows / rows;
            }
        }
        a.means.iter_mut().zip(&apart).for_each(|(mean, apart)| *mean += apart * b.rows / rows);
        a.rows = rows;
    }
}

impl Fold for Matrix {
    type Cell = Moments;
    type Input<'a> = Vec<Vec<f64>>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        args.iter().zip(&self.args).map(|(a, t)| floats(a, t)).collect()
    }

    fn empty(&self) -> Moments {
        let n = self.args.len();
        Moments { rows: 0.0, means: vec![0.0; n], products: vec![0.0; n * n] }
    }

    fn add(&self, cell: &mut Moments, input: &Self::Input<'_>, row: usize) -> Result<()> {
        let mut one = self.empty();
        one.rows = 1.0;
        one.means = input.iter().map(|column| column[row]).collect();
        self.joined(cell, &one);
        Ok(())
    }

    fn merge(&self, into: &mut Moments, from: Moments) -> Result<()> {
        self.joined(into, &from);
        Ok(())
    }

    fn write(&self, cell: &Moments, out: &mut Vec<u8>) {
        put_f64(out, cell.rows);
        cell.means.iter().chain(&cell.products).for_each(|v| put_f64(out, *v));
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Moments> {
        let mut cell = self.empty();
        if bytes.is_empty() {
            return Ok(cell);
        }
        cell.rows = bytes.f64()?;
        for value in cell.means.iter_mut().chain(&mut cell.products) {
            *value = bytes.f64()?;
        }
        Ok(cell)
    }

    fn finish(&self, cells: Picked<'_, Moments>) -> Result<ArrayRef> {
        let n = self.args.len();
        let answer = |cell: &Moments| {
            let product = |i: usize, j: usize| cell.products[i * n + j];
            let entry = |i: usize, j: usize| match self.entry {
                Entry::Sample if cell.rows < 2.0 => f64::NAN,
                Entry::Sample => product(i, j) / (cell.rows - 1.0),
                Entry::Population => product(i, j) / cell.rows,
                Entry::Correlation if i == j && product(i, i) > 0.0 => 1.0,
                Entry::Correlation => product(i, j) / (product(i, i) * product(j, j)).sqrt(),
            };
            let row = |i: usize| Value::Array((0..n).map(|j| Value::Float64(entry(i, j))).collect());
            Ok(Value::Array((0..n).map(row).collect()))
        };
        column(&matrix_type(), cells.iter().map(answer))
    }

    fn heap(&self, cell: &Moments) -> usize {
        (cell.means.capacity() + cell.products.capacity()) * 8
    }
}
