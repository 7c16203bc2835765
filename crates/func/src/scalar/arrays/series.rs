//! Arrays as vectors and samples: norms, distances, products, the area under a curve.

use super::Flat;
use crate::call::{ArgInfo, BoundCall};
use crate::registry::Registry;
use crate::scalar::column::float64s;
use crate::scalar::define::{Call, define};
use crate::scalar::number::{number_layout, to_vec};
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;

pub(super) fn register(registry: &mut Registry) {
    let norms: [(&str, &str, fn(&[f64]) -> f64); 4] = [
        ("l1_norm", "norm_l1", |v| v.iter().map(|x| x.abs()).sum()),
        ("l2_norm", "norm_l2", |v| v.iter().map(|x| x * x).sum::<f64>().sqrt()),
        ("l2_squared_norm", "norm_l2_squared", |v| v.iter().map(|x| x * x).sum()),
        ("linf_norm", "norm_linf", |v| v.iter().fold(0.0, |m, x| m.max(x.abs()))),
    ];
    for (name, alias, f) in norms {
        define(registry, name, move |call| one(call, f));
        registry.add_alias(alias, name);
    }
    let distances: [(&str, &str, fn(&[f64], &[f64]) -> f64); 6] = [
        ("l1_distance", "distance_l1", |a, b| differences(a, b).map(f64::abs).sum()),
        ("l2_distance", "distance_l2", |a, b| differences(a, b).map(|d| d * d).sum::<f64>().sqrt()),
        ("l2_squared_distance", "distance_l2_squared", |a, b| differences(a, b).map(|d| d * d).sum()),
        ("linf_distance", "distance_linf", |a, b| differences(a, b).fold(0.0, |m, d| m.max(d.abs()))),
        ("dot_product", "scalar_product", dot),
        ("cosine_distance", "distance_cosine", |a, b| 1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()),
    ];
    for (name, alias, f) in distances {
        define(registry, name, move |call| two(call, f));
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
        two(&Call { args: &call.args[..2], ..*call }, move |a, b| {
            differences(a, b).map(|d| d.abs().powf(p)).sum::<f64>().powf(1.0 / p)
        })
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
        two(&Call { args: &[call.args[0].clone(), labels], ..*call }, area)
    });
}

fn differences<'a>(a: &'a [f64], b: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    a.iter().zip(b).map(|(x, y)| x - y)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
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

/// A function of two vectors of one length.
fn two<F>(call: &Call<'_>, f: F) -> Result<BoundCall>
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
