//! Between dates and times.

use super::Job;
use crate::column::time_values;
use crate::logical::LogicalType;
use crate::physical::{digits_of_unit, unit_of_scale};
use crate::time::{DATETIME64_SECOND_MAX, DATETIME64_SECOND_MIN, LocalTime, rescale};
use crate::wide::pow10_i64;
use arrow::array::*;
use arrow::datatypes::*;
use hydron_base::Result;
use std::sync::Arc;

/// Decimal digits of the ticks in which a `datetime64(scale)` is kept.
pub(super) fn tick_digits(scale: u8) -> u8 {
    digits_of_unit(unit_of_scale(scale))
}

/// Ticks as an array of the unit that holds `10^-digits` seconds.
pub(super) fn timestamps(ticks: Vec<i64>, scale: u8) -> ArrayRef {
    match unit_of_scale(scale) {
        TimeUnit::Second => Arc::new(TimestampSecondArray::from(ticks)),
        TimeUnit::Millisecond => Arc::new(TimestampMillisecondArray::from(ticks)),
        TimeUnit::Microsecond => Arc::new(TimestampMicrosecondArray::from(ticks)),
        TimeUnit::Nanosecond => Arc::new(TimestampNanosecondArray::from(ticks)),
    }
}

/// Seconds as ticks of a scale; what 64 bits of nanoseconds do not hold wraps, as everywhere in this type.
pub(super) fn ticks_of_seconds(seconds: i64, digits: u8) -> i64 {
    seconds.clamp(DATETIME64_SECOND_MIN, DATETIME64_SECOND_MAX).wrapping_mul(pow10_i64(digits))
}

pub(super) fn between_times(job: &Job, array: &ArrayRef) -> Result<ArrayRef> {
    use LogicalType as T;
    let zone = |own: &Option<crate::Zone>| LocalTime::new(own.unwrap_or(job.options.zone));
    let days = || array.as_primitive::<Date32Type>().values().iter().copied();
    let ticks = || time_values(array.as_ref()).iter().copied();
    Ok(match (job.from, job.to) {
        (T::Date | T::Date32, T::Date32) => Arc::clone(array),
        (T::Date | T::Date32, T::Date) => dates(days().map(|d| i32::from(d as u16))),
        (T::Date | T::Date32, T::DateTime(to)) => {
            let local = zone(to);
            timestamps(days().map(|d| local.day_start(d).clamp(0, u32::MAX.into())).collect(), 0)
        }
        (T::Date | T::Date32, T::DateTime64(scale, to)) => {
            let (local, digits) = (zone(to), tick_digits(*scale));
            timestamps(days().map(|d| ticks_of_seconds(local.day_start(d), digits)).collect(), *scale)
        }
        (T::DateTime(from), T::Date) => {
            let local = zone(from);
            dates(ticks().map(|t| i32::from(local.day_of(t) as u16)))
        }
        (T::DateTime(from), T::Date32) => {
            let local = zone(from);
            dates(ticks().map(|t| local.day_of(t)))
        }
        (T::DateTime(_), T::DateTime(_)) => Arc::clone(array),
        (T::DateTime(_), T::DateTime64(scale, _)) => {
            let digits = tick_digits(*scale);
            timestamps(ticks().map(|t| t.wrapping_mul(pow10_i64(digits))).collect(), *scale)
        }
        (T::DateTime64(scale, from), T::Date | T::Date32) => {
            let (local, per_second) = (zone(from), pow10_i64(tick_digits(*scale)));
            let small = matches!(job.to, T::Date);
            dates(ticks().map(|t| {
                let day = local.day_of(t.div_euclid(per_second));
                if small { i32::from(day as u16) } else { day }
            }))
        }
        (T::DateTime64(scale, _), T::DateTime(_)) => {
            let per_second = pow10_i64(tick_digits(*scale));
            timestamps(ticks().map(|t| i64::from(t.div_euclid(per_second) as u32)).collect(), 0)
        }
        (T::DateTime64(from, _), T::DateTime64(to, _)) if from == to => Arc::clone(array),
        (T::DateTime64(from, _), T::DateTime64(to, _)) => {
            let (a, b) = (tick_digits(*from), tick_digits(*to));
            // The value is first cut to the coarser of the scales, then kept in the unit of the target.
            let cut = pow10_i64(b - (*to).min(b));
            let one = |t: i64| {
                let moved = rescale(t, a, b).unwrap_or_else(|| t.wrapping_mul(pow10_i64(b.saturating_sub(a))));
                moved.div_euclid(cut).wrapping_mul(cut)
            };
            timestamps(ticks().map(one).collect(), *to)
        }
        _ => return Err(job.unsupported()),
    })
}

fn dates(days: impl Iterator<Item = i32>) -> ArrayRef {
    Arc::new(Date32Array::from_iter_values(days))
}
