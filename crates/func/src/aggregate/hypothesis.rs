//! Tests of hypotheses over two samples or more: t, z, U, F, and rank correlation.
//!
//! `student_ttest(value, second)`, `welch_ttest`, `mann_whitney_utest`: a row is of the second sample where `second` is not
//! zero. Answers are the statistic and the probability of one at least as far out;
//! NaN without any rows, an error where one sample has rows and the other none.

use super::bytes::{Reader, put_f64, put_u64};
use super::define::{AggCall, Traits, define, define_as};
use super::distribution::{fisher_tail, normal_cdf, normal_quantile, student_quantile, student_two_sided};
use super::fold::{Fold, Picked, folded};
use super::kept::{Sums, column, floats_value, kept, named_floats, pairs};
use super::sum::floats;
use crate::agg::BoundAgg;
use crate::registry::Registry;
use crate::scalar::number::to_vec;
use arrow::array::ArrayRef;
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value};

pub fn register(registry: &mut Registry) {
    let traits = Traits { params_from: Some(2), ..Traits::default() };
    define_as(registry, "student_ttest", traits, |call| t_test(call, student));
    define_as(registry, "welch_ttest", traits, |call| t_test(call, welch));
    define_as(registry, "mean_ztest", traits, z_test);
    define_as(registry, "mann_whitney_utest", traits, mann_whitney);
    define(registry, "rank_corr", rank_corr);
    define(registry, "analysis_of_variance", analysis_of_variance);
    registry.add_alias("anova", "analysis_of_variance");
}

fn two_numbers(call: &AggCall<'_>) -> Result<()> {
    call.arity(2..=2)?;
    for i in 0..2 {
        if !call.ty(i).is_number() && *call.ty(i) != LogicalType::Bool {
            return Err(Error::bad_arguments(format!(
                "aggregate function \"{}\" takes numbers, not {}",
                call.name,
                call.ty(i)
            )));
        }
    }
    Ok(())
}

/// The parameter at `position` as a float.
fn float_param(call: &AggCall<'_>, position: usize) -> Result<f64> {
    call.params.get(position).and_then(Value::as_f64).filter(|v| v.is_finite()).ok_or_else(|| {
        Error::bad_arguments(format!("parameter {} of \"{}\" must be a number", position + 1, call.name))
    })
}

/// A level of confidence between 0 and 1.
fn confidence(call: &AggCall<'_>, position: usize) -> Result<f64> {
    let level = float_param(call, position)?;
    if level > 0.0 && level < 1.0 {
        return Ok(level);
    }
    Err(Error::bad_arguments(format!(
        "the confidence level of \"{}\" must be between 0 and 1, given {level}",
        call.name
    )))
}

/// Sizes, sums and sums of squares of two samples.
struct Samples {
    n: [f64; 2],
    sum: [f64; 2],
    squares: [f64; 2],
}

impl Samples {
    fn of(s: &[f64; 6]) -> Samples {
        Samples { n: [s[0], s[1]], sum: [s[2], s[3]], squares: [s[4], s[5]] }
    }

    /// Errors: BAD_ARGUMENTS (36) when one of the samples is empty.
    fn need_both(&self, name: &str) -> Result<()> {
        if self.n.contains(&0.0) {
            return Err(Error::bad_arguments(format!("aggregate function \"{name}\" needs values in both samples")));
        }
        Ok(())
    }

    fn mean(&self, i: usize) -> f64 {
        self.sum[i] / self.n[i]
    }

    /// The sum of the squares of the distances from the mean.
    fn spread(&self, i: usize) -> f64 {
        let mean = self.mean(i);
        self.squares[i] + self.n[i] * mean * mean - 2.0 * mean * self.sum[i]
    }

    fn variance(&self, i: usize) -> f64 {
        self.spread(i) / (self.n[i] - 1.0)
    }

    fn standard_error(&self) -> f64 {
        (self.variance(0) / self.n[0] + self.variance(1) / self.n[1]).sqrt()
    }
}

/// Statistic and degrees of freedom where both samples have one variance.
fn student(s: &Samples) -> (f64, f64) {
    let freedom = s.n[0] + s.n[1] - 2.0;
    let variance = (s.spread(0) + s.spread(1)) / freedom;
    let error = (variance * (1.0 / s.n[0] + 1.0 / s.n[1])).sqrt();
    ((s.mean(0) - s.mean(1)) / error, freedom)
}

/// The same where each sample has its own.
fn welch(s: &Samples) -> (f64, f64) {
    let of_mean = [s.variance(0) / s.n[0], s.variance(1) / s.n[1]];
    let sum = of_mean[0] + of_mean[1];
    let freedom = sum * sum / (of_mean[0] * of_mean[0] / (s.n[0] - 1.0) + of_mean[1] * of_mean[1] / (s.n[1] - 1.0));
    ((s.mean(0) - s.mean(1)) / sum.sqrt(), freedom)
}

/// `student_ttest(value, second[, confidence])`: with a level, the bounds of the difference of the means too.
fn t_test(call: &AggCall<'_>, statistic: fn(&Samples) -> (f64, f64)) -> Result<BoundAgg> {
    two_numbers(call)?;
    if call.params.len() > 1 {
        let text = format!("\"{}\" takes 2 or 3 arguments", call.name);
        return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
    }
    let level = if call.params.is_empty() { None } else { Some(confidence(call, 0)?) };
    let names = ["t_statistic", "p_value", "confidence_interval_low", "confidence_interval_high"];
    let ty = named_floats(if level.is_some() { &names } else { &names[..2] });
    let name = call.name.to_owned();
    let answer = move |sums: &[f64; 6]| {
        let s = Samples::of(sums);
        let width = if level.is_some() { 4 } else { 2 };
        if s.n == [0.0, 0.0] {
            return Ok(floats_value(&vec![f64::NAN; width]));
        }
        s.need_both(&name)?;
        if !sums.iter().all(|v| v.is_finite()) {
            return Err(Error::bad_arguments(format!("aggregate function \"{name}\" cannot take infinite values")));
        }
        let same = s.standard_error() < 10.0 * f64::EPSILON * s.mean(0).abs().max(s.mean(1).abs());
        let (t, freedom) = statistic(&s);
        if same || s.n[0] < 2.0 || s.n[1] < 2.0 || !t.is_finite() {
            return Ok(floats_value(&vec![f64::NAN; width]));
        }
        let mut found = vec![t, student_two_sided(freedom, t * t).clamp(0.0, 1.0)];
        if let Some(level) = level {
            let reach = student_quantile(freedom, 1.0 - (1.0 - level) / 2.0) * s.standard_error();
            let difference = s.mean(0) - s.mean(1);
            found.extend([difference - reach, difference + reach]);
        }
        Ok(floats_value(&found))
    };
    let fold = Sums { args: call.types(), step: add_to_sample, answer, ty: ty.clone() };
    call.returns(ty, folded(fold))
}

/// ClickHouse looks at the low 8 bits of the second argument.
fn is_second(v: f64) -> usize {
    usize::from(v as i64 as u8 != 0)
}

fn add_to_sample(s: &mut [f64; 6], args: &[Vec<f64>], row: usize) -> Result<()> {
    let (x, i) = (args[0][row], is_second(args[1][row]));
    s[i] += 1.0;
    s[2 + i] += x;
    s[4 + i] += x * x;
    Ok(())
}

/// `mean_ztest(value, second, variance of the first, variance of the second, confidence)`.
fn z_test(call: &AggCall<'_>) -> Result<BoundAgg> {
    two_numbers(call)?;
    if call.params.len() != 3 {
        let text = format!(
            "\"{}\" takes 5 arguments: the value, whether it is of the second sample, both variances, the confidence level",
            call.name
        );
        return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
    }
    let variances = [float_param(call, 0)?, float_param(call, 1)?];
    let level = confidence(call, 2)?;
    let ty = named_floats(&["z_statistic", "p_value", "confidence_interval_low", "confidence_interval_high"]);
    let name = call.name.to_owned();
    let answer = move |sums: &[f64; 6]| {
        let s = Samples::of(sums);
        if s.n == [0.0, 0.0] {
            return Ok(floats_value(&[f64::NAN; 4]));
        }
        s.need_both(&name)?;
        let error = (variances[0] / s.n[0] + variances[1] / s.n[1]).sqrt();
        let difference = s.mean(0) - s.mean(1);
        let z = difference / error;
        if !z.is_finite() {
            return Ok(floats_value(&[f64::NAN; 4]));
        }
        let p = (2.0 * normal_cdf(-z.abs())).clamp(0.0, 1.0);
        let reach = normal_quantile(1.0 - (1.0 - level) / 2.0) * error;
        Ok(floats_value(&[z, p, difference - reach, difference + reach]))
    };
    let fold = Sums { args: call.types(), step: add_to_sample, answer, ty: ty.clone() };
    call.returns(ty, folded(fold))
}

#[derive(Clone, Copy)]
enum Alternative {
    TwoSided,
    Less,
    Greater,
}

/// `mann_whitney_utest(value, second[, 'two-sided' | 'less' | 'greater'[, continuity correction]])`.
fn mann_whitney(call: &AggCall<'_>) -> Result<BoundAgg> {
    two_numbers(call)?;
    if call.params.len() > 2 {
        let text = format!("\"{}\" takes 2 to 4 arguments", call.name);
        return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
    }
    let alternative = match call.params.first() {
        None => Alternative::TwoSided,
        Some(Value::Bytes(text)) => match text.as_slice() {
            b"two-sided" => Alternative::TwoSided,
            b"less" => Alternative::Less,
            b"greater" => Alternative::Greater,
            _ => {
                let text = format!("the alternative of \"{}\" is one of 'two-sided', 'less', 'greater'", call.name);
                return Err(Error::bad_arguments(text));
            }
        },
        Some(_) => {
            let text = format!("the first parameter of \"{}\" must be a string", call.name);
            return Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, text));
        }
    };
    let correction = match call.params.get(1) {
        None => 0.5,
        Some(v) => match v.as_u64() {
            Some(0) => 0.0,
            Some(_) => 0.5,
            None => {
                let text = format!("the second parameter of \"{}\" must be 0 or 1", call.name);
                return Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, text));
            }
        },
    };
    let ty = named_floats(&["u_statistic", "p_value"]);
    let types = call.types();
    let name = call.name.to_owned();
    let answer = move |rows: &[(f64, f64)]| {
        let first = rows.iter().filter(|(_, s)| is_second(*s) == 0).map(|(v, _)| *v);
        let second = rows.iter().filter(|(_, s)| is_second(*s) == 1).map(|(v, _)| *v);
        let mut both: Vec<f64> = first.collect();
        let n1 = both.len() as f64;
        both.extend(second);
        let n2 = both.len() as f64 - n1;
        if both.is_empty() {
            return Ok(floats_value(&[f64::NAN; 2]));
        }
        if n1 == 0.0 || n2 == 0.0 {
            return Err(Error::bad_arguments(format!("aggregate function \"{name}\" needs values in both samples")));
        }
        let (ranks, ties) = ranks(&both)?;
        let r1: f64 = ranks[..n1 as usize].iter().sum();
        let u1 = n1 * n2 + n1 * (n1 + 1.0) / 2.0 - r1;
        let u2 = n1 * n2 - u1;
        let mean = n1 * n2 / 2.0 + correction;
        let deviation = (ties * n1 * n2 * (n1 + n2 + 1.0) / 12.0).sqrt();
        let u = match alternative {
            Alternative::TwoSided => u1.max(u2),
            Alternative::Less => u1,
            Alternative::Greater => u2,
        };
        let z = (u - mean) / deviation;
        if !z.is_finite() {
            return Ok(floats_value(&[f64::NAN, f64::NAN]));
        }
        let p = match alternative {
            // As ClickHouse rounds it: from the upper tail.
            Alternative::TwoSided => 2.0 - 2.0 * normal_cdf(z.abs()),
            _ => 1.0 - normal_cdf(z),
        };
        Ok(floats_value(&[u2, p.clamp(0.0, 1.0)]))
    };
    call.returns(ty.clone(), folded(kept(ty, move |args: &[ArrayRef]| pairs(args, &types), answer)))
}

/// The rank of each value, equal ones sharing the middle of theirs, and the factor by which ties lessen a variance.
///
/// Errors: BAD_ARGUMENTS (36) when all values are the same.
fn ranks(values: &[f64]) -> Result<(Vec<f64>, f64)> {
    let n = values.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; n];
    let mut tied = 0.0;
    let mut left = 0;
    while left < n {
        let right = left + order[left..].iter().take_while(|i| values[**i] == values[order[left]]).count();
        let equal = (right - left) as f64;
        if right - left == n {
            return Err(Error::bad_arguments("all values of the samples are the same"));
        }
        tied += equal.powi(3) - equal;
        order[left..right].iter().for_each(|i| ranks[*i] = (left + right + 1) as f64 / 2.0);
        left = right;
    }
    let n = n as f64;
    Ok((ranks, 1.0 - tied / (n.powi(3) - n)))
}

/// Spearman's coefficient.
fn rank_corr(call: &AggCall<'_>) -> Result<BoundAgg> {
    two_numbers(call)?;
    let types = call.types();
    let answer = |rows: &[(f64, f64)]| {
        let (x, y): (Vec<f64>, Vec<f64>) = rows.iter().copied().unzip();
        if rows.is_empty() {
            return Ok(Value::Float64(f64::NAN));
        }
        let (x, y) = (ranks(&x)?.0, ranks(&y)?.0);
        let n = rows.len() as f64;
        let distance: f64 = x.iter().zip(&y).map(|(a, b)| (a - b) * (a - b)).sum();
        Ok(Value::Float64(1.0 - distance * 6.0 / (n * (n * n - 1.0))))
    };
    let read = move |args: &[ArrayRef]| pairs(args, &types);
    call.returns(LogicalType::Float64, folded(kept(LogicalType::Float64, read, answer)))
}

/// Groups `analysis_of_variance` may have.
const GROUPS_MAX: u64 = 1024 * 1024;

fn analysis_of_variance(call: &AggCall<'_>) -> Result<BoundAgg> {
    call.arity(2..=2)?;
    if !call.ty(0).is_number() {
        return Err(Error::bad_arguments(format!("\"{}\" takes a number first, not {}", call.name, call.ty(0))));
    }
    if !matches!(call.ty(1).bits(), Some(..=64)) || !call.ty(1).is_integer() {
        return Err(Error::bad_arguments(format!(
            "the group of \"{}\" is an integer of up to 64 bits, not {}",
            call.name,
            call.ty(1)
        )));
    }
    let ty = named_floats(&["f_statistic", "p_value"]);
    call.returns(ty.clone(), folded(Variance { args: call.types(), ty }))
}

/// One-way analysis of variance: for each group its size, sum and sum of squares.
struct Variance {
    args: Vec<LogicalType>,
    ty: LogicalType,
}

type GroupSums = Vec<[f64; 3]>;

fn of_group(cell: &mut GroupSums, group: u64) -> Result<&mut [f64; 3]> {
    if group >= GROUPS_MAX {
        let text = format!("group {group} of an analysis of variance; at most {GROUPS_MAX} groups, counted from 0");
        return Err(Error::bad_arguments(text));
    }
    let at = group as usize;
    if cell.len() <= at {
        cell.resize(at + 1, [0.0; 3]);
    }
    Ok(&mut cell[at])
}

impl Variance {
    fn answer(cell: &GroupSums) -> Result<Value> {
        let k = cell.len() as f64;
        let n: f64 = cell.iter().map(|g| g[0]).sum();
        let fail = |text: &str| Err(Error::bad_arguments(text));
        if n == 0.0 {
            return Ok(floats_value(&[f64::NAN; 2]));
        }
        if cell.len() == 1 {
            return fail("an analysis of variance needs more than one group");
        }
        if n == k {
            return fail("an analysis of variance needs more than one value in a group");
        }
        if let Some(empty) = cell.iter().position(|g| g[0] == 0.0) {
            return fail(&format!("group {empty} of an analysis of variance has no values"));
        }
        let mean = cell.iter().map(|g| g[1]).sum::<f64>() / n;
        let between: f64 = cell.iter().map(|g| g[0] * (g[1] / g[0] - mean).powi(2)).sum();
        let within: f64 = cell
            .iter()
            .map(|g| {
                let own = g[1] / g[0];
                g[2] + g[0] * own * own - 2.0 * own * g[1]
            })
            .sum();
        let f = between * (n - k) / (within * (k - 1.0));
        if !f.is_finite() {
            return Ok(floats_value(&[f64::NAN, f64::NAN]));
        }
        Ok(floats_value(&[f, fisher_tail(k - 1.0, n - k, f).clamp(0.0, 1.0)]))
    }
}

impl Fold for Variance {
    type Cell = GroupSums;
    type Input<'a> = (Vec<f64>, Vec<u64>);

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        Ok((floats(&args[0], &self.args[0])?, to_vec::<u64>(&args[1], &self.args[1])?))
    }

    fn empty(&self) -> GroupSums {
        Vec::new()
    }

    fn add(&self, cell: &mut GroupSums, (values, groups): &Self::Input<'_>, row: usize) -> Result<()> {
        let (x, sums) = (values[row], of_group(cell, groups[row])?);
        *sums = [sums[0] + 1.0, sums[1] + x, sums[2] + x * x];
        Ok(())
    }

    fn merge(&self, into: &mut GroupSums, from: GroupSums) -> Result<()> {
        for (group, sums) in from.into_iter().enumerate() {
            let into = of_group(into, group as u64)?;
            into.iter_mut().zip(sums).for_each(|(a, b)| *a += b);
        }
        Ok(())
    }

    fn write(&self, cell: &GroupSums, out: &mut Vec<u8>) {
        put_u64(out, cell.len() as u64);
        cell.iter().flatten().for_each(|v| put_f64(out, *v));
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<GroupSums> {
        (0..bytes.count()?).map(|_| Ok([bytes.f64()?, bytes.f64()?, bytes.f64()?])).collect()
    }

    fn finish(&self, cells: Picked<'_, GroupSums>) -> Result<ArrayRef> {
        column(&self.ty, cells.iter().map(Variance::answer))
    }

    fn heap(&self, cell: &GroupSums) -> usize {
        cell.capacity() * 24
    }
}
