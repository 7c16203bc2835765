//! Distributions that tests of hypotheses ask: normal, Student's t, Fisher's F.
//!
//! In and out: floats. Promise: probabilities within 1e-10 of the truth for up to 1e9 degrees of freedom.

use crate::scalar::math::{erfc, ln_gamma};

/// P(X <= x) for a standard normal X.
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc_of(-x / std::f64::consts::SQRT_2)
}

fn erfc_of(x: f64) -> f64 {
    if x < 0.0 { 2.0 - erfc(-x) } else { erfc(x) }
}

/// The x with P(X <= x) = p for a standard normal X.
pub fn normal_quantile(p: f64) -> f64 {
    search(p, normal_cdf)
}

/// P(|T| >= |t|) for Student's t with `v` degrees of freedom, given t squared.
pub fn student_two_sided(v: f64, t_squared: f64) -> f64 {
    incomplete_beta(v / 2.0, 0.5, v / (v + t_squared), t_squared / (v + t_squared))
}

/// The t with P(T <= t) = p.
pub fn student_quantile(v: f64, p: f64) -> f64 {
    search(p, |t| {
        let tail = student_two_sided(v, t * t) / 2.0;
        if t > 0.0 { 1.0 - tail } else { tail }
    })
}

/// P(F > f) for Fisher's F with `a` and `b` degrees of freedom.
pub fn fisher_tail(a: f64, b: f64, f: f64) -> f64 {
    let x = b / (b + a * f);
    incomplete_beta(b / 2.0, a / 2.0, x, 1.0 - x)
}

/// Where a growing function of all numbers reaches `p`, by halving.
fn search(p: f64, cdf: impl Fn(f64) -> f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    let (mut low, mut high) = (-1.0, 1.0);
    while cdf(low) > p && low > -1e300 {
        low *= 2.0;
    }
    while cdf(high) < p && high < 1e300 {
        high *= 2.0;
    }
    // 200 halvings leave nothing between the two.
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if cdf(middle) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The regularized incomplete beta function; `rest` is 1 - x, given apart so that no digits are lost near 1.
fn incomplete_beta(a: f64, b: f64, x: f64, rest: f64) -> f64 {
    if x.is_nan() || x <= 0.0 {
        return if x.is_nan() { x } else { 0.0 };
    }
    if rest <= 0.0 {
        return 1.0;
    }
    let ln_x = if x > 0.5 { (-rest).ln_1p() } else { x.ln() };
    let ln_rest = if rest > 0.5 { (-x).ln_1p() } else { rest.ln() };
    let front = (a * ln_x + b * ln_rest - ln_beta(a, b)).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, rest) / b
    }
}

/// The logarithm of the beta function. For large arguments the difference of two gammas is worked out as such: each of
/// them alone has no digits left for it.
fn ln_beta(a: f64, b: f64) -> f64 {
    let (large, small) = if a > b { (a, b) } else { (b, a) };
    if large < 100.0 {
        return ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    }
    let series = |x: f64| 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    let sum = large + small;
    let climb = (large - 0.5) * (small / large).ln_1p() + small * sum.ln() - small + series(sum) - series(large);
    ln_gamma(small) - climb
}

/// Lentz's evaluation of the continued fraction of the incomplete beta function.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    // It needs about the square root of the larger of a and b: 1e9 degrees of freedom are 30,000 steps.
    const STEPS_MAX: u32 = 200_000;
    let away = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..=STEPS_MAX {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away(1.0 + even * d);
        c = away(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away(1.0 + odd * d);
        c = away(1.0 + odd / c);
        h *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    h
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_agree() {
        let near = |found: f64, table: f64| assert!((found - table).abs() < 1e-9, "{found} instead of {table}");
        near(normal_cdf(1.96), 0.975_002_104_851_78);
        near(normal_quantile(0.975), 1.959_963_984_540_054);
        near(student_two_sided(10.0, 2.228_138_851_964_939f64.powi(2)), 0.05);
        near(student_quantile(10.0, 0.975), 2.228_138_851_964_939);
        near(student_two_sided(1.0, 1.0), 0.5);
        near(fisher_tail(2.0, 10.0, 4.102_821_015_4), 0.05);
        // Student's t with many degrees of freedom is the normal distribution.
        near(student_two_sided(1e9, 1.0), 2.0 * normal_cdf(-1.0));
    }
}
