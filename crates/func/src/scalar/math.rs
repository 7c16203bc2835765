//! Functions of real numbers: exponents, logarithms, trigonometry, gamma, tests for NaN and infinity.

use super::column::{Floats, bools, float64s, from_natives, natives};
use super::define::{Call, Convert, define, define_seeing_nulls};
use super::number::{Num, to_vec};
use crate::call::BoundCall;
use crate::registry::Registry;
use hydron_base::{Error, Result};
use hydron_types::LogicalType;
use std::f64::consts;

pub fn register(registry: &mut Registry) {
    let functions: [(&str, fn(f64) -> f64); 29] = [
        ("exp", f64::exp),
        ("exp2", f64::exp2),
        ("exp10", exp10),
        ("log", f64::ln),
        ("log2", f64::log2),
        ("log10", f64::log10),
        ("log1p", f64::ln_1p),
        ("sqrt", f64::sqrt),
        ("cbrt", f64::cbrt),
        ("sin", f64::sin),
        ("cos", f64::cos),
        ("tan", f64::tan),
        ("asin", f64::asin),
        ("acos", f64::acos),
        ("atan", f64::atan),
        ("sinh", f64::sinh),
        ("cosh", f64::cosh),
        ("tanh", f64::tanh),
        ("asinh", f64::asinh),
        ("acosh", f64::acosh),
        ("atanh", f64::atanh),
        ("erf", erf),
        ("erfc", erfc),
        ("lgamma", |x| ln_gamma(x)),
        ("tgamma", gamma),
        ("sigmoid", |x| 1.0 / (1.0 + (-x).exp())),
        ("degrees", |x| x * (180.0 / consts::PI)),
        ("radians", |x| x * (consts::PI / 180.0)),
        ("cosine", f64::cos),
    ];
    for (name, f) in functions {
        define(registry, name, move |call| real(call, f));
        registry.fold_case(name);
    }
    registry.add_alias("ln", "log");
    registry.fold_case("ln");
    for (name, f) in [("pow", pow as fn(f64, f64) -> f64), ("atan2", f64::atan2), ("hypot", f64::hypot)] {
        define(registry, name, move |call| {
            call.arity(2..=2)?;
            let (a, b) = (as_float(call, 0)?, as_float(call, 1)?);
            call.returns(LogicalType::Float64, move |args, rows| {
                let (x, y) = (a.datum(&args[0])?, b.datum(&args[1])?);
                let (x, y) = (Floats::of(&x, &LogicalType::Float64)?, Floats::of(&y, &LogicalType::Float64)?);
                Ok(float64s(rows, |i| f(x.at(i), y.at(i))))
            })
        });
        registry.fold_case(name);
    }
    registry.add_alias("power", "pow");
    registry.fold_case("power");
    for (name, value) in [("pi", consts::PI), ("e", consts::E), ("inf", f64::INFINITY), ("nan", f64::NAN)] {
        define(registry, name, move |call| {
            call.arity(0..=0)?;
            call.returns(LogicalType::Float64, move |_, rows| Ok(float64s(rows, |_| value)))
        });
    }
    registry.fold_case("pi");
    register_tests(registry);
    register_integers(registry);
}

/// A conversion of a number argument to float64.
fn as_float(call: &Call<'_>, position: usize) -> Result<Convert> {
    call.need_number(position)?;
    Ok(call.convert(position, &LogicalType::Float64))
}

fn real(call: &Call<'_>, f: fn(f64) -> f64) -> Result<BoundCall> {
    call.arity(1..=1)?;
    let convert = as_float(call, 0)?;
    call.returns(LogicalType::Float64, move |args, _| {
        let array = convert.array(args[0].array()?)?;
        Ok(f64::array(natives::<f64>(&array)?.iter().map(|v| f(*v)).collect()))
    })
}

fn pow(x: f64, y: f64) -> f64 {
    x.powf(y)
}

/// Whole powers are exact where a float is.
fn exp10(x: f64) -> f64 {
    if x == x.trunc() && x.abs() <= 400.0 {
        return format!("1e{x}").parse().unwrap_or(f64::NAN);
    }
    10f64.powf(x)
}

fn register_tests(registry: &mut Registry) {
    let tests: [(&str, fn(f64) -> bool); 3] =
        [("is_nan", f64::is_nan), ("is_infinite", f64::is_infinite), ("is_finite", f64::is_finite)];
    for (name, test) in tests {
        define(registry, name, move |call| {
            call.arity(1..=1)?;
            call.need_number(0)?;
            let ty = call.ty(0).clone();
            call.returns(LogicalType::Bool, move |args, rows| {
                let values = Floats::of(&args[0], &ty)?;
                Ok(bools(rows, |i| test(values.at(i))))
            })
        });
    }
    define_seeing_nulls(registry, "if_not_finite", |call| {
        call.arity(2..=2)?;
        call.need(0, |t| t.bare().is_number() || matches!(t.bare(), LogicalType::Bool | LogicalType::Nothing))?;
        let ty = hydron_types::supertype::least_supertype(&call.types())?;
        let from = call.ty(0).clone();
        let (a, b) = (call.convert(0, &ty), call.convert(1, &ty));
        let out = ty.clone();
        call.returns(ty, move |args, rows| {
            let (x, y) = (a.datum(&args[0])?.to_array(rows)?, b.datum(&args[1])?.to_array(rows)?);
            let values = to_vec::<f64>(&args[0].to_array(rows)?, from.bare())?;
            // A NULL is not finite either.
            let mask: arrow::array::BooleanArray =
                (0..rows).map(|i| Some(values[i].is_finite() && !x.is_null(i))).collect();
            let (x, y) = (super::column::retyped(&x, &out), super::column::retyped(&y, &out));
            super::conditional::select(&mask, &crate::call::Datum::Array(x), &crate::call::Datum::Array(y))
        })
    });
}

fn register_integers(registry: &mut Registry) {
    for (name, base, limit) in [("int_exp2", 2u64, 63), ("int_exp10", 10u64, 19)] {
        define(registry, name, move |call| {
            call.arity(1..=1)?;
            call.need_number(0)?;
            let ty = call.ty(0).clone();
            call.returns(LogicalType::UInt64, move |args, rows| {
                let power = Floats::of(&args[0], &ty)?;
                if (0..rows).any(|i| power.at(i).is_nan()) {
                    return Err(Error::bad_arguments("the exponent is NaN"));
                }
                Ok(super::column::uint64s(rows, |i| match power.at(i) {
                    n if n < 0.0 => 0,
                    n if n > f64::from(limit) => u64::MAX,
                    n => base.checked_pow(n as u32).unwrap_or(u64::MAX),
                }))
            })
        });
    }
    define(registry, "factorial", |call| {
        call.arity(1..=1)?;
        call.need_integer(0)?;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::UInt64, move |args, _| {
            let values = to_vec::<i64>(args[0].array()?, &ty)?;
            let factorial = |n: &i64| (1..=(*n).max(0) as u64).try_fold(1u64, |a, v| a.checked_mul(v));
            let values = values
                .iter()
                .map(|n| {
                    factorial(n).ok_or_else(|| {
                        Error::bad_arguments(format!("the factorial of {n} is past 64 bits, the largest is of 20"))
                    })
                })
                .collect::<Result<Vec<u64>>>()?;
            from_natives(values, &LogicalType::UInt64)
        })
    });
    registry.fold_case("factorial");
    define(registry, "great_circle_distance", |call| great_circle(call, 6_371_000.0 * consts::PI / 180.0));
    define(registry, "great_circle_angle", |call| great_circle(call, 1.0));
    define(registry, "geo_distance", |call| great_circle(call, 6_371_000.0 * consts::PI / 180.0));
}

/// The angle between two points on a sphere (longitude and latitude in degrees), in degrees times `scale`.
fn great_circle(call: &Call<'_>, scale: f64) -> Result<BoundCall> {
    call.arity(4..=4)?;
    (0..4).try_for_each(|i| call.need_number(i))?;
    let types = call.types();
    call.returns(LogicalType::Float32, move |args, rows| {
        let p = args.iter().zip(&types).map(|(a, t)| Floats::of(a, t)).collect::<Result<Vec<_>>>()?;
        Ok(super::column::numbers::<arrow::datatypes::Float32Type>(rows, |i| {
            let (lon1, lat1, lon2, lat2) =
                (p[0].at(i).to_radians(), p[1].at(i).to_radians(), p[2].at(i).to_radians(), p[3].at(i).to_radians());
            let h = ((lat2 - lat1) / 2.0).sin().powi(2) + lat1.cos() * lat2.cos() * ((lon2 - lon1) / 2.0).sin().powi(2);
            (2.0 * h.sqrt().min(1.0).asin().to_degrees() * scale) as f32
        }))
    })
}

/// The error function, by its series near 0 and one minus the complement elsewhere.
fn erf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x.abs() > 2.0 {
        return if x > 0.0 { 1.0 - erfc(x) } else { erfc(-x) - 1.0 };
    }
    // 2/sqrt(pi) * sum of (-1)^n x^(2n+1) / (n! (2n+1))
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-17 * sum.abs() && n < 200.0 {
        n += 1.0;
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    sum * consts::FRAC_2_SQRT_PI
}

/// The complement of the error function, by a continued fraction for large arguments.
pub(crate) fn erfc(x: f64) -> f64 {
    if x < 2.0 {
        return 1.0 - erf(x);
    }
    if x > 27.5 {
        return 0.0;
    }
    // x + (1/2)/(x + 1/(x + (3/2)/(x + …)))
    let fraction = (1..=120).rev().fold(x, |f, n| x + f64::from(n) / 2.0 / f);
    (-x * x).exp() / (fraction * consts::PI.sqrt())
}

/// Coefficients of Lanczos' approximation with g = 7.
const LANCZOS: [f64; 9] = [
    0.999_999_999_999_809_9,
    676.520_368_121_885_1,
    -1_259.139_216_722_402_8,
    771.323_428_777_653_1,
    -176.615_029_162_140_6,
    12.507_343_278_686_905,
    -0.138_571_095_265_720_12,
    9.984_369_578_019_572e-6,
    1.505_632_735_149_311_6e-7,
];

pub(crate) fn ln_gamma(x: f64) -> f64 {
    if x <= 0.0 && x == x.floor() {
        return f64::INFINITY;
    }
    if x < 0.5 {
        return (consts::PI / (consts::PI * x).sin().abs()).ln() - ln_gamma(1.0 - x);
    }
    if x == 1.0 || x == 2.0 {
        return 0.0;
    }
    let x = x - 1.0;
    let sum = LANCZOS.iter().enumerate().skip(1).fold(LANCZOS[0], |a, (i, c)| a + c / (x + i as f64));
    let t = x + 7.5;
    0.5 * (2.0 * consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

fn gamma(x: f64) -> f64 {
    // Factorials are exact.
    if x == x.floor() && (1.0..=23.0).contains(&x) {
        return (1..x as u64).map(|n| n as f64).product();
    }
    if x < 0.5 { consts::PI / ((consts::PI * x).sin() * gamma(1.0 - x)) } else { ln_gamma(x).exp() }
}
