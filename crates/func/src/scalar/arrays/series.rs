//! Arrays as vectors and samples: norms, distances, products, the area under a curve.

use super::Flat;
use crate::call::{ArgInfo, BoundCall, Datum, EvalContext};
use crate::registry::Registry;
use crate::scalar::arithmetic::{each_of, elementwise, sum_of};
use crate::scalar::column::{float64s, natives};
use crate::scalar::define::{Call, define};
use crate::scalar::number::{Num, number_layout, to_vec};
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;

/// A distance of two arrays, in float64 and, for arrays of float32, in float32 throughout.
struct Distance {
    wide: fn(&[f64], &[f64]) -> f64,
    narrow: fn(&[f32], &[f32]) -> f32,
}

/// The distances in a float type.
macro_rules! distances {
    ($kernels:ident, $t:ty) => {
        mod $kernels {
            use super::summed;

            pub fn l1(a: &[$t], b: &[$t]) -> $t {
                summed(a.len(), |i| (a[i] - b[i]).abs())
            }

            pub fn l2_squared(a: &[$t], b: &[$t]) -> $t {
                summed(a.len(), |i| (a[i] - b[i]) * (a[i] - b[i]))
            }

            pub fn l2(a: &[$t], b: &[$t]) -> $t {
                l2_squared(a, b).sqrt()
            }

            pub fn linf(a: &[$t], b: &[$t]) -> $t {
                a.iter().zip(b).fold(0.0, |most, (x, y)| most.max((x - y).abs()))
            }

            pub fn lp(a: &[$t], b: &[$t], p: f64) -> $t {
                let sum = summed(a.len(), |i| f64::from((a[i] - b[i]).abs()).powf(p) as $t);
                f64::from(sum).powf(1.0 / p) as $t
            }

            pub fn dot(a: &[$t], b: &[$t]) -> $t {
                summed(a.len(), |i| a[i] * b[i])
            }

            pub fn cosine(a: &[$t], b: &[$t]) -> $t {
                1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
            }
        }
    };
}

distances!(wide, f64);
distances!(narrow, f32);

/// The sum of `n` terms in eight lanes, then what fills no more of them: the order of ClickHouse, on which the last digits
/// depend.
fn summed<T: Copy + Default + std::ops::Add<Output = T>>(n: usize, term: impl Fn(usize) -> T) -> T {
    const LANES: usize = 8;
    let mut lanes = [T::default(); LANES];
    let mut next = 0;
    while next + LANES < n {
        lanes.iter_mut().enumerate().for_each(|(i, lane)| *lane = *lane + term(next + i));
        next += LANES;
    }
    let total = lanes.into_iter().fold(T::default(), |sum, lane| sum + lane);
    (next..n).fold(total, |sum, i| sum + term(i))
}

pub(super) fn register(registry: &mut Registry) {
    let norms: [(&str, &str, fn(&[f64]) -> f64); 4] = [
        ("l1_norm", "norm_l1", |v| v.iter().map(|x| x.abs()).sum()),
        ("l2_norm", "norm_l2", |v| v.iter().map(|x| x * x).sum::<f64>().sqrt()),
        ("l2_squared_norm", "norm_l2_squared", |v| v.iter().map(|x| x * x).sum()),
        ("linf_norm", "norm_linf", |v| v.iter().fold(0.0, |m, x| m.max(x.abs()))),
    ];
    for (name, alias, f) in norms {
        define(registry, name, move |call| match (call.args, name) {
            ([ArgInfo { ty: LogicalType::Tuple(_), .. }], "l1_norm") => sum_of(call, elementwise(call, "abs")?),
            ([ArgInfo { ty: LogicalType::Tuple(_), .. }], "l2_squared_norm") => {
                let itself =
                    BoundCall::new(call.ty(0).clone(), |_: &EvalContext, args: &[Datum], _| Ok(args[0].clone()));
                sum_of(call, each_of(call, itself, "multiply", true)?)
            }
            _ => one(call, f),
        });
        registry.add_alias(alias, name);
    }
    let distances = [
        ("l1_distance", "distance_l1", Distance { wide: wide::l1, narrow: narrow::l1 }),
        ("l2_distance", "distance_l2", Distance { wide: wide::l2, narrow: narrow::l2 }),
        ("l2_squared_distance", "distance_l2_squared", Distance { wide: wide::l2_squared, narrow: narrow::l2_squared }),
        ("linf_distance", "distance_linf", Distance { wide: wide::linf, narrow: narrow::linf }),
        ("dot_product", "scalar_product", Distance { wide: wide::dot, narrow: narrow::dot }),
        ("cosine_distance", "distance_cosine", Distance { wide: wide::cosine, narrow: narrow::cosine }),
    ];
    for (name, alias, Distance { wide, narrow }) in distances {
        define(registry, name, move |call| {
            if let Some(bound) = of_tuples(call, name)? {
                return Ok(bound);
            }
            two(call, wide, narrow)
        });
        registry.add_alias(alias, name);
    }
    define(registry, "lp_norm", |call| {
        call.arity(2..=2)?;
        let p = power(call, 1)?;
        one(&Call { args: &call.args[..1], ..*call }, move |v| {
            v.iter().map(|x| x.abs().powf(p)).sum::<f64>().powf(1.0 / p)
        })
    });
    define(registry, "lp_distance", |call| {
        call.arity(3..=3)?;
        let p = power(call, 2)?;
        let call = Call { args: &call.args[..2], ..*call };
        two(&call, move |a, b| wide::lp(a, b, p), move |a, b| narrow::lp(a, b, p))
    });
    registry.add_alias("norm_lp", "lp_norm");
    registry.add_alias("distance_lp", "lp_distance");
    define(registry, "array_auc", |call| {
        call.arity(2..=2)?;
        // Labels may be an enum: those above 0 are positive.
        let labels = match call.ty(1) {
            LogicalType::Array(t) if matches!(**t, LogicalType::Enum8(_) | LogicalType::Enum16(_)) => {
                ArgInfo { ty: LogicalType::array(number_layout(t)), ..call.args[1].clone() }
            }
            _ => call.args[1].clone(),
        };
        two_wide(&Call { args: &[call.args[0].clone(), labels], ..*call }, area)
    });
}

/// Distances of tuples whose type is that of the arithmetic on their elements; `None` for the others.
fn of_tuples(call: &Call<'_>, name: &str) -> Result<Option<BoundCall>> {
    let (LogicalType::Tuple(x), LogicalType::Tuple(y)) = (call.arity(2..=2).map(|()| call.ty(0))?, call.ty(1)) else {
        return Ok(None);
    };
    if x.len() != y.len() {
        return Err(call.illegal(1));
    }
    Ok(match name {
        "dot_product" => Some(sum_of(call, elementwise(call, "multiply")?)?),
        "l1_distance" => {
            let apart = elementwise(call, "minus")?;
            Some(sum_of(call, each_of(call, apart, "abs", false)?)?)
        }
        "l2_squared_distance" => {
            let apart = elementwise(call, "minus")?;
            Some(sum_of(call, each_of(call, apart, "multiply", true)?)?)
        }
        _ => None,
    })
}

fn power(call: &Call<'_>, position: usize) -> Result<f64> {
    let p = call.constant(position)?.as_f64().ok_or_else(|| call.illegal(position))?;
    if p.is_finite() && p >= 1.0 {
        return Ok(p);
    }
    Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, format!("the power of a norm is finite and at least 1, given {p}")))
}

fn numeric(call: &Call<'_>, position: usize) -> Result<LogicalType> {
    match call.need_array(position)? {
        t if t.is_number() || matches!(t, LogicalType::Nothing | LogicalType::Bool) => Ok(t.clone()),
        _ => Err(call.illegal(position)),
    }
}

/// A function of one vector: an array, or a tuple.
fn one<F>(call: &Call<'_>, f: F) -> Result<BoundCall>
where
    F: Fn(&[f64]) -> f64 + Send + Sync + 'static,
{
    call.arity(1..=1)?;
    if let LogicalType::Tuple(_) = call.ty(0) {
        let tuple = crate::scalar::tuples::Vectors::of(call, 0)?;
        return call.returns(LogicalType::Float64, move |args, rows| {
            let columns = tuple.read(&args[0])?;
            Ok(float64s(rows, |row| f(&columns.at(row))))
        });
    }
    let ty = numeric(call, 0)?;
    call.returns(LogicalType::Float64, move |args, rows| {
        let flat = Flat::of(&args[..1], rows)?;
        let values = to_vec::<f64>(&flat.columns[0], &ty)?;
        Ok(float64s(rows, |row| f(&values[flat.range(row)])))
    })
}

/// A function of two vectors of one length, in the floats of both: float32 for two arrays of those.
fn two<F, G>(call: &Call<'_>, wide: F, narrow: G) -> Result<BoundCall>
where
    F: Fn(&[f64], &[f64]) -> f64 + Send + Sync + 'static,
    G: Fn(&[f32], &[f32]) -> f32 + Send + Sync + 'static,
{
    call.arity(2..=2)?;
    let small = |i: usize| matches!(call.ty(i), LogicalType::Array(t) if **t == LogicalType::Float32);
    if !(small(0) && small(1)) {
        return two_wide(call, wide);
    }
    call.returns(LogicalType::Float32, move |args, rows| {
        let flat = Flat::of(&args[..2], rows)?;
        let (x, y) = (natives::<f32>(&flat.columns[0])?, natives::<f32>(&flat.columns[1])?);
        Ok(f32::array((0..rows).map(|row| narrow(&x[flat.range(row)], &y[flat.range(row)])).collect()))
    })
}

/// A function of two vectors of one length, in float64.
fn two_wide<F>(call: &Call<'_>, f: F) -> Result<BoundCall>
where
    F: Fn(&[f64], &[f64]) -> f64 + Send + Sync + 'static,
{
    call.arity(2..=2)?;
    if let (LogicalType::Tuple(x), LogicalType::Tuple(y)) = (call.ty(0), call.ty(1)) {
        if x.len() != y.len() {
            return Err(call.illegal(1));
        }
        let (a, b) = (crate::scalar::tuples::Vectors::of(call, 0)?, crate::scalar::tuples::Vectors::of(call, 1)?);
        return call.returns(LogicalType::Float64, move |args, rows| {
            let (a, b) = (a.read(&args[0])?, b.read(&args[1])?);
            Ok(float64s(rows, |row| f(&a.at(row), &b.at(row))))
        });
    }
    let (a, b) = (numeric(call, 0)?, numeric(call, 1)?);
    call.returns(LogicalType::Float64, move |args, rows| {
        let flat = Flat::of(&args[..2], rows)?;
        let (x, y) = (to_vec::<f64>(&flat.columns[0], &a)?, to_vec::<f64>(&flat.columns[1], &b)?);
        Ok(float64s(rows, |row| f(&x[flat.range(row)], &y[flat.range(row)])))
    })
}

/// The area under the receiver operating curve of scores and labels.
fn area(scores: &[f64], labels: &[f64]) -> f64 {
    let mut order: Vec<(f64, bool)> = scores.iter().zip(labels).map(|(s, l)| (*s, *l > 0.0)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let positives = order.iter().filter(|(_, l)| *l).count() as f64;
    let negatives = order.len() as f64 - positives;
    let (mut below, mut seen) = (0.0, 0.0);
    // Scores that tie count for half.
    for group in order.chunk_by(|a, b| a.0 == b.0) {
        let hits = group.iter().filter(|(_, l)| *l).count() as f64;
        let misses = group.len() as f64 - hits;
        below += misses * (seen + hits / 2.0);
        seen += hits;
    }
    if positives == 0.0 || negatives == 0.0 { 0.0 } else { below / (positives * negatives) }
}
