//! Times from parts.

use super::arith::timestamps;
use crate::call::{ArgInfo, BindContext};
use crate::registry::Registry;
use crate::scalar::convert::function::{add, check_count, constant_number, illegal, rowwise, zone_argument};
use arrow::array::*;
use arrow::datatypes::Float64Type;
use hydron_base::{Code, Error, Result};
use hydron_types::physical::{digits_of_unit, unit_of_scale};
use hydron_types::time::{
    DATE_DAY_MAX, DATE32_DAY_MAX, DATE32_DAY_MIN, DATETIME64_SECOND_MAX, DATETIME64_SECOND_MIN, DAY_SECONDS, LocalTime,
    days_from_civil, is_leap,
};
use hydron_types::wide::pow10_i64;
use hydron_types::{CastOptions, LogicalType, Zone, cast};
use std::sync::Arc;

pub fn register(registry: &mut Registry) {
    for (name, wide) in [("make_date", false), ("make_date32", true)] {
        add(registry, name, move |_: &BindContext, args: &[ArgInfo]| {
            check_count(name, args, if wide { 3..=3 } else { 2..=3 })?;
            let types = numbers(name, args, args.len())?;
            let ty = if wide { LogicalType::Date32 } else { LogicalType::Date };
            Ok(rowwise(ty, move |arrays: &[ArrayRef], rows| {
                let parts = floats(arrays, &types)?;
                let day = |row: usize| {
                    let made = match parts.len() {
                        2 => day_of_year(parts[0][row], parts[1][row]),
                        _ => day_of(parts[0][row], parts[1][row], parts[2][row]),
                    };
                    // Parts that make no day are the first day, 1970-01-01 in either type.
                    let fits = if wide { DATE32_DAY_MIN..=DATE32_DAY_MAX } else { 0..=DATE_DAY_MAX };
                    made.filter(|d| fits.contains(d)).unwrap_or(0)
                };
                Ok(Arc::new(Date32Array::from_iter_values((0..rows).map(day))) as ArrayRef)
            }))
        });
    }
    add(registry, "make_datetime", |cx: &BindContext, args: &[ArgInfo]| {
        const NAME: &str = "make_datetime";
        check_count(NAME, args, 6..=7)?;
        let types = numbers(NAME, args, 6)?;
        let named = zone_argument(NAME, args, 6)?;
        let zone = named.unwrap_or(cx.zone);
        Ok(rowwise(LogicalType::DateTime(named), move |arrays: &[ArrayRef], rows| {
            let parts = floats(&arrays[..6], &types)?;
            let local = LocalTime::new(zone);
            let seconds =
                (0..rows).map(|row| wall_second(&parts, row).map_or(0, |w| local.to_utc(w).clamp(0, u32::MAX.into())));
            Ok(timestamps(seconds.collect(), 0, None))
        }))
    });
    add(registry, "make_datetime64", |cx: &BindContext, args: &[ArgInfo]| {
        const NAME: &str = "make_datetime64";
        check_count(NAME, args, 6..=9)?;
        let used = args.len().min(7);
        let types = numbers(NAME, args, used)?;
        let scale = match args.len() {
            8.. => match constant_number(NAME, args, 7)? {
                scale @ 0..=9 => scale as u8,
                scale => {
                    return Err(Error::new(
                        Code::ARGUMENT_OUT_OF_BOUND,
                        format!("{NAME}: the precision {scale} is not 0 to 9"),
                    ));
                }
            },
            _ => 3,
        };
        let named = zone_argument(NAME, args, 8)?;
        let zone = named.unwrap_or(cx.zone);
        Ok(rowwise(LogicalType::DateTime64(scale, named), move |arrays: &[ArrayRef], rows| {
            let parts = floats(&arrays[..used], &types)?;
            let local = LocalTime::new(zone);
            let digits = digits_of_unit(unit_of_scale(scale));
            let ticks = (0..rows).map(|row| {
                let second = wall_second(&parts, row).map_or(DATETIME64_SECOND_MIN, |w| local.to_utc(w));
                let second = second.clamp(DATETIME64_SECOND_MIN, DATETIME64_SECOND_MAX);
                // The fraction counts units of the precision.
                let fraction = parts.get(6).map_or(0.0, |f| f[row]).clamp(0.0, pow10_i64(scale) as f64 - 1.0) as i64;
                second.wrapping_mul(pow10_i64(digits)).wrapping_add(fraction * pow10_i64(digits - scale))
            });
            Ok(timestamps(ticks.collect(), scale, None))
        }))
    });
}

/// The types of the first `count` arguments, all numbers.
fn numbers(name: &str, args: &[ArgInfo], count: usize) -> Result<Vec<LogicalType>> {
    for i in 0..count {
        if !args[i].ty.bare().is_number() && *args[i].ty.bare() != LogicalType::Bool {
            return Err(illegal(name, args, i, "a number"));
        }
    }
    Ok(args[..count].iter().map(|a| a.ty.clone()).collect())
}

fn floats(arrays: &[ArrayRef], types: &[LogicalType]) -> Result<Vec<Vec<f64>>> {
    let options = CastOptions::wrap(Zone::UTC);
    let wide = LogicalType::nullable(LogicalType::Float64);
    let column = |(array, ty): (&ArrayRef, &LogicalType)| {
        let cast = cast(array, &LogicalType::nullable(ty.clone()), &wide, &options)?;
        Ok(cast.as_primitive::<Float64Type>().iter().map(|v| v.unwrap_or(f64::NAN)).collect())
    };
    arrays.iter().zip(types).map(column).collect()
}

/// A part cut to a whole number, when it is inside its bounds.
fn whole(v: f64, min: i32, max: i32) -> Option<i32> {
    (v >= f64::from(min) && v < f64::from(max) + 1.0).then_some(v as i32)
}

fn day_of(year: f64, month: f64, day: f64) -> Option<i32> {
    let (year, month, day) = (whole(year, 1900, 2299)?, whole(month, 1, 12)?, whole(day, 1, 31)?);
    // A 30th of February counts on into March.
    Some(days_from_civil(year, month as u8, day))
}

fn day_of_year(year: f64, day: f64) -> Option<i32> {
    let year = whole(year, 1900, 2299)?;
    let day = whole(day, 1, 365 + i32::from(is_leap(year)))?;
    Some(days_from_civil(year, 1, 1) + day - 1)
}

/// Seconds on the wall clock. Hours, minutes and seconds past their bounds, and a 30th of February, count on; a year past
/// the calendar is its end; anything negative makes no time.
fn wall_second(parts: &[Vec<f64>], row: usize) -> Option<i64> {
    if parts[0][row] >= 2_300.0 {
        return Some(DATETIME64_SECOND_MAX);
    }
    let (year, month, day) =
        (whole(parts[0][row], 1900, 2299)?, whole(parts[1][row], 1, 12)?, whole(parts[2][row], 1, 31)?);
    let (hour, minute, second) =
        (whole(parts[3][row], 0, 99)?, whole(parts[4][row], 0, 99)?, whole(parts[5][row], 0, 99)?);
    let days = days_from_civil(year, month as u8, day);
    Some(i64::from(days) * DAY_SECONDS + i64::from(hour * 3_600 + minute * 60 + second))
}
