//! Variance, deviation, skewness, covariance and correlation, from sums of powers.
//!
//! The plain forms add up powers; the `_stable` forms follow the mean, which costs a division for each row and does not lose
//! digits when values are far from zero. No rows answer NaN; one row has no sample variance: NaN.

use super::bytes::{Reader, put_f64};
use super::define::{AggCall, define};
use super::fold::{Fold, Picked, folded};
use super::sum::floats;
use crate::agg::BoundAgg;
use crate::registry::Registry;
use arrow::array::{ArrayRef, Float64Array};
use hydron_base::Result;
use hydron_types::LogicalType;
use std::sync::Arc;

pub fn register(registry: &mut Registry) {
    let one: [(&str, fn(&[f64; 5]) -> f64); 8] = [
        ("var_pop", var_pop),
        ("var_samp", var_samp),
        ("stddev_pop", |s| var_pop(s).sqrt()),
        ("stddev_samp", |s| var_samp(s).sqrt()),
        ("skew_pop", |s| third(s) / var_pop(s).powf(1.5)),
        ("skew_samp", |s| third(s) / var_samp(s).powf(1.5)),
        ("kurt_pop", |s| fourth(s) / var_pop(s).powi(2)),
        ("kurt_samp", |s| fourth(s) / var_samp(s).powi(2)),
    ];
    for (name, answer) in one {
        define(registry, name, move |call| powers(call, answer));
    }
    let two: [(&str, fn(&Pairs) -> f64); 3] = [
        ("covar_pop", |s| (s.xy - s.x * s.y / s.n) / s.n),
        ("covar_samp", |s| if s.n < 2.0 { f64::NAN } else { (s.xy - s.x * s.y / s.n) / (s.n - 1.0) }),
        ("corr", |s| (s.n * s.xy - s.x * s.y) / ((s.n * s.xx - s.x * s.x) * (s.n * s.yy - s.y * s.y)).sqrt()),
    ];
    for (name, answer) in two {
        define(registry, name, move |call| pairs(call, answer));
    }
    let stable: [(&str, fn(&Stable) -> f64); 7] = [
        ("var_pop_stable", |s| s.mxx / s.n),
        ("var_samp_stable", |s| s.mxx / s.sample()),
        ("stddev_pop_stable", |s| (s.mxx / s.n).sqrt()),
        ("stddev_samp_stable", |s| (s.mxx / s.sample()).sqrt()),
        ("covar_pop_stable", |s| s.mxy / s.n),
        ("covar_samp_stable", |s| s.mxy / s.sample()),
        ("corr_stable", |s| s.mxy / (s.mxx.sqrt() * s.myy.sqrt())),
    ];
    for (name, answer) in stable {
        let args = if name.starts_with("co") { 2 } else { 1 };
        define(registry, name, move |call| {
            call.arity(args..=args)?;
            (0..args).try_for_each(|i| call.need_number(i))?;
            call.returns(LogicalType::Float64, folded(StableMoments { args: call.types(), answer }))
        });
    }
    let aliases = [("var_pop", "variance_pop"), ("var_samp", "variance_samp")];
    aliases.iter().for_each(|(name, alias)| registry.add_alias(alias, name));
}

fn var_pop(s: &[f64; 5]) -> f64 {
    ((s[2] - s[1] * s[1] / s[0]) / s[0]).max(if s[0] == 0.0 { f64::NAN } else { 0.0 })
}

fn var_samp(s: &[f64; 5]) -> f64 {
    if s[0] <= 1.0 { f64::NAN } else { ((s[2] - s[1] * s[1] / s[0]) / (s[0] - 1.0)).max(0.0) }
}

/// The third central moment.
fn third(s: &[f64; 5]) -> f64 {
    let mean = s[1] / s[0];
    s[3] / s[0] - 3.0 * mean * s[2] / s[0] + 2.0 * mean.powi(3)
}

/// The fourth central moment.
fn fourth(s: &[f64; 5]) -> f64 {
    let mean = s[1] / s[0];
    s[4] / s[0] - 4.0 * mean * s[3] / s[0] + 6.0 * mean * mean * s[2] / s[0] - 3.0 * mean.powi(4)
}

fn powers(call: &AggCall<'_>, answer: fn(&[f64; 5]) -> f64) -> Result<BoundAgg> {
    call.arity(1..=1)?;
    call.need_number(0)?;
    call.returns(LogicalType::Float64, folded(Powers { arg: call.ty(0).clone(), answer }))
}

/// Sums of the powers 0 to 4.
struct Powers {
    arg: LogicalType,
    answer: fn(&[f64; 5]) -> f64,
}

impl Fold for Powers {
    type Cell = [f64; 5];
    type Input<'a> = Vec<f64>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Vec<f64>> {
        floats(&args[0], &self.arg)
    }

    fn empty(&self) -> [f64; 5] {
        [0.0; 5]
    }

    fn add(&self, cell: &mut [f64; 5], input: &Vec<f64>, row: usize) -> Result<()> {
        let x = input[row];
        let powers = [1.0, x, x * x, x * x * x, x * x * x * x];
        cell.iter_mut().zip(powers).for_each(|(sum, p)| *sum += p);
        Ok(())
    }

    fn merge(&self, into: &mut [f64; 5], from: [f64; 5]) -> Result<()> {
        into.iter_mut().zip(from).for_each(|(a, b)| *a += b);
        Ok(())
    }

    fn write(&self, cell: &[f64; 5], out: &mut Vec<u8>) {
        cell.iter().for_each(|v| put_f64(out, *v));
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<[f64; 5]> {
        Ok([bytes.f64()?, bytes.f64()?, bytes.f64()?, bytes.f64()?, bytes.f64()?])
    }

    fn finish(&self, cells: Picked<'_, [f64; 5]>) -> Result<ArrayRef> {
        Ok(Arc::new(cells.iter().map(self.answer).collect::<Float64Array>()))
    }
}

fn pairs(call: &AggCall<'_>, answer: fn(&Pairs) -> f64) -> Result<BoundAgg> {
    call.arity(2..=2)?;
    call.need_number(0)?;
    call.need_number(1)?;
    call.returns(LogicalType::Float64, folded(PairMoments { args: call.types(), answer }))
}

#[derive(Clone, Copy, Default)]
struct Pairs {
    n: f64,
    x: f64,
    y: f64,
    xy: f64,
    xx: f64,
    yy: f64,
}

struct PairMoments {
    args: Vec<LogicalType>,
    answer: fn(&Pairs) -> f64,
}

impl Fold for PairMoments {
    type Cell = Pairs;
    type Input<'a> = (Vec<f64>, Vec<f64>);

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        Ok((floats(&args[0], &self.args[0])?, floats(&args[1], &self.args[1])?))
    }

    fn empty(&self) -> Pairs {
        Pairs::default()
    }

    fn add(&self, s: &mut Pairs, input: &(Vec<f64>, Vec<f64>), row: usize) -> Result<()> {
        let (x, y) = (input.0[row], input.1[row]);
        *s = Pairs { n: s.n + 1.0, x: s.x + x, y: s.y + y, xy: s.xy + x * y, xx: s.xx + x * x, yy: s.yy + y * y };
        Ok(())
    }

    fn merge(&self, s: &mut Pairs, o: Pairs) -> Result<()> {
        *s = Pairs { n: s.n + o.n, x: s.x + o.x, y: s.y + o.y, xy: s.xy + o.xy, xx: s.xx + o.xx, yy: s.yy + o.yy };
        Ok(())
    }

    fn write(&self, s: &Pairs, out: &mut Vec<u8>) {
        [s.n, s.x, s.y, s.xy, s.xx, s.yy].iter().for_each(|v| put_f64(out, *v));
    }

    fn read(&self, b: &mut Reader<'_>) -> Result<Pairs> {
        Ok(Pairs { n: b.f64()?, x: b.f64()?, y: b.f64()?, xy: b.f64()?, xx: b.f64()?, yy: b.f64()? })
    }

    fn finish(&self, cells: Picked<'_, Pairs>) -> Result<ArrayRef> {
        Ok(Arc::new(cells.iter().map(self.answer).collect::<Float64Array>()))
    }
}

/// Means and central sums.
#[derive(Clone, Copy, Default)]
struct Stable {
    n: f64,
    mx: f64,
    my: f64,
    mxx: f64,
    myy: f64,
    mxy: f64,
}

impl Stable {
    fn sample(&self) -> f64 {
        if self.n < 2.0 { f64::NAN } else { self.n - 1.0 }
    }
}

struct StableMoments {
    args: Vec<LogicalType>,
    answer: fn(&Stable) -> f64,
}

impl Fold for StableMoments {
    type Cell = Stable;
    type Input<'a> = (Vec<f64>, Option<Vec<f64>>);

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        let second = args.get(1).zip(self.args.get(1)).map(|(a, t)| floats(a, t)).transpose()?;
        Ok((floats(&args[0], &self.args[0])?, second))
    }

    fn empty(&self) -> Stable {
        Stable::default()
    }

    fn add(&self, s: &mut Stable, input: &Self::Input<'_>, row: usize) -> Result<()> {
        let x = input.0[row];
        let y = input.1.as_ref().map_or(0.0, |v| v[row]);
        s.n += 1.0;
        let (dx, dy) = (x - s.mx, y - s.my);
        s.mx += dx / s.n;
        s.my += dy / s.n;
        s.mxx += dx * (x - s.mx);
        s.myy += dy * (y - s.my);
        s.mxy += dx * (y - s.my);
        Ok(())
    }

    fn merge(&self, s: &mut Stable, o: Stable) -> Result<()> {
        if o.n == 0.0 {
            return Ok(());
        }
        let n = s.n + o.n;
        let (dx, dy) = (o.mx - s.mx, o.my - s.my);
        let weight = s.n * o.n / n;
        *s = Stable {
            n,
            mx: s.mx + dx * o.n / n,
            my: s.my + dy * o.n / n,
            mxx: s.mxx + o.mxx + dx * dx * weight,
            myy: s.myy + o.myy + dy * dy * weight,
            mxy: s.mxy + o.mxy + dx * dy * weight,
        };
        Ok(())
    }

    fn write(&self, s: &Stable, out: &mut Vec<u8>) {
        [s.n, s.mx, s.my, s.mxx, s.myy, s.mxy].iter().for_each(|v| put_f64(out, *v));
    }

    fn read(&self, b: &mut Reader<'_>) -> Result<Stable> {
        Ok(Stable { n: b.f64()?, mx: b.f64()?, my: b.f64()?, mxx: b.f64()?, myy: b.f64()?, mxy: b.f64()? })
    }

    fn finish(&self, cells: Picked<'_, Stable>) -> Result<ArrayRef> {
        Ok(Arc::new(cells.iter().map(self.answer).collect::<Float64Array>()))
    }
}
