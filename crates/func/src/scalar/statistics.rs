//! Tests and sample sizes for experiments: `proportions_ztest`, `min_sample_size_…`.

use super::column::{Floats, float64s, tuple};
use super::define::{Call, define};
use super::math::erfc;
use crate::call::BoundCall;
use crate::registry::Registry;
use hydron_base::{Error, Result};
use hydron_types::LogicalType;
use std::f64::consts::SQRT_2;

pub fn register(registry: &mut Registry) {
    define(registry, "proportions_ztest", proportions);
    for name in ["min_sample_size_continous", "minimum_sample_size_continuos"] {
        define(registry, name, |call| {
            numbers(call, 5, &["minimum_sample_size", "detect_range_lower", "detect_range_upper"], |n| {
                let [baseline, sigma, effect, power, alpha] = [n[0], n[1], n[2], n[3], n[4]];
                let quantiles = normal_quantile(1.0 - alpha / 2.0) + normal_quantile(power);
                let valid =
                    [baseline, sigma, effect].iter().all(|v| v.is_finite()) && is_share(power) && is_share(alpha);
                if !valid {
                    return vec![f64::NAN; 3];
                }
                let size = 2.0 * (sigma / (baseline * effect)).powi(2) * quantiles.powi(2);
                vec![size, baseline * (1.0 - effect), baseline * (1.0 + effect)]
            })
        });
    }
    for name in ["min_sample_size_conversion", "minimum_sample_size_conversion"] {
        define(registry, name, |call| {
            numbers(call, 4, &["minimum_sample_size", "detect_range_lower", "detect_range_upper"], |n| {
                let [baseline, effect, power, alpha] = [n[0], n[1], n[2], n[3]];
                if !(is_share(baseline) && is_share(power) && is_share(alpha) && effect.is_finite()) {
                    return vec![f64::NAN; 3];
                }
                let (low, high) = (baseline, baseline + effect);
                let average = (low + high) / 2.0;
                let spread = |p: f64| p * (1.0 - p);
                let width = normal_quantile(1.0 - alpha / 2.0) * (2.0 * spread(average)).sqrt()
                    + normal_quantile(power) * (spread(low) + spread(high)).sqrt();
                vec![(width / effect).powi(2), baseline - effect, baseline + effect]
            })
        });
    }
}

fn is_share(p: f64) -> bool {
    (0.0..=1.0).contains(&p)
}

/// A call of `count` numbers whose answer is a tuple of named floats.
fn numbers<F>(call: &Call<'_>, count: usize, names: &[&str], f: F) -> Result<BoundCall>
where
    F: Fn(&[f64]) -> Vec<f64> + Send + Sync + 'static,
{
    let fields = names.iter().map(|n| (Some((*n).into()), LogicalType::Float64)).collect::<Vec<_>>();
    let ty = LogicalType::Tuple(fields.into());
    let width = names.len();
    (0..count).try_for_each(|i| if i < call.args.len() { call.need_number(i) } else { call.arity(count..=count) })?;
    let types = call.types();
    call.returns(ty.clone(), move |args, rows| {
        let columns = (0..count).map(|i| Floats::of(&args[i], &types[i])).collect::<Result<Vec<_>>>()?;
        let mut answers = vec![Vec::with_capacity(rows); width];
        for row in 0..rows {
            let values: Vec<f64> = columns.iter().map(|c| c.at(row)).collect();
            answers.iter_mut().zip(f(&values)).for_each(|(column, v)| column.push(v));
        }
        tuple(&ty, answers.iter().map(|a| float64s(rows, |i| a[i])).collect(), rows)
    })
}

/// `proportions_ztest(successes_x, successes_y, trials_x, trials_y, confidence, 'pooled' | 'unpooled')`.
fn proportions(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(6..=6)?;
    (0..4).try_for_each(|i| call.need(i, LogicalType::is_unsigned_integer))?;
    call.need(4, LogicalType::is_float)?;
    let pooled = match call.constant_text(5)? {
        b"pooled" => true,
        b"unpooled" => false,
        other => {
            let text =
                format!("the sixth argument is 'pooled' or 'unpooled', not '{}'", String::from_utf8_lossy(other));
            return Err(Error::bad_arguments(text));
        }
    };
    numbers(call, 5, &["z_statistic", "p_value", "confidence_interval_low", "confidence_interval_high"], move |n| {
        let (x, y, confidence) = (n[0] / n[2], n[1] / n[3], n[4]);
        let spread = |p: f64| p * (1.0 - p);
        let apart = (spread(x) / n[2] + spread(y) / n[3]).sqrt();
        let error =
            if pooled { (spread((n[0] + n[1]) / (n[2] + n[3])) * (1.0 / n[2] + 1.0 / n[3])).sqrt() } else { apart };
        let z = (x - y) / error;
        if !z.is_finite() || !is_share(confidence) {
            return vec![f64::NAN; 4];
        }
        let width = normal_quantile(1.0 - (1.0 - confidence) / 2.0) * apart;
        vec![z, erfc(z.abs() / SQRT_2), x - y - width, x - y + width]
    })
}

/// Where the standard normal distribution reaches `p`: the rational approximation of P. J. Acklam, and one step of Halley's
/// method, which leaves an error near that of a float.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.383_577_518_672_69e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 5] =
        [-5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1, -1.328068155288572e1];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 4] = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416];
    const TAIL: f64 = 0.02425;
    if p <= 0.0 || p >= 1.0 || p.is_nan() {
        return match p {
            0.0 => f64::NEG_INFINITY,
            1.0 => f64::INFINITY,
            _ => f64::NAN,
        };
    }
    let polynomial = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |q: f64| polynomial(&C, q) / (polynomial(&D, q) * q + 1.0);
    let x = if p < TAIL {
        tail((-2.0 * p.ln()).sqrt())
    } else if p > 1.0 - TAIL {
        -tail((-2.0 * (1.0 - p).ln()).sqrt())
    } else {
        let q = p - 0.5;
        let r = q * q;
        polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0)
    };
    let error = 0.5 * erfc(-x / SQRT_2) - p;
    let step = error * (2.0 * std::f64::consts::PI).sqrt() * (x * x / 2.0).exp();
    x - step / (1.0 + x * step / 2.0)
}

#[cfg(test)]
mod tests {
    use super::normal_quantile;

    #[test]
    fn quantiles_are_those_of_tables() {
        for (p, x) in [(0.5, 0.0), (0.975, 1.959963984540054), (0.8, 0.8416212335729143), (1e-10, -6.361340902404056)] {
            assert!((normal_quantile(p) - x).abs() < 1e-13, "{p}: {}", normal_quantile(p));
        }
        assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
        assert!(normal_quantile(1.5).is_nan());
    }
}
