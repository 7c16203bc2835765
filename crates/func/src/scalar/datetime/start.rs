//! Rounding down: the start of the month, of the hour, of any interval.

use super::arith::timestamps;
use super::times::{Times, time_argument};
use crate::call::{ArgInfo, BindContext, BoundCall};
use crate::registry::Registry;
use crate::scalar::convert::function::{
    add, check_count, constant_number, constant_text, illegal, not_constant, rowwise,
};
use arrow::array::*;
use hydron_base::{Code, Error, Result};
use hydron_types::parse::interval_unit;
use hydron_types::time::{
    DATE32_DAY_MAX, DATE32_DAY_MIN, civil_from_days, days_from_civil, days_in_month, floor_days, floor_ticks, monday,
    weekday,
};
use hydron_types::wide::pow10_i64;
use hydron_types::{IntervalUnit, LogicalType, Zone};
use std::sync::Arc;

pub fn register(registry: &mut Registry) {
    use IntervalUnit as U;
    let days: &[(&str, fn(i32) -> i32)] = &[
        ("to_start_of_year", |d| floor_days(d, U::Year, 1)),
        ("to_start_of_quarter", |d| floor_days(d, U::Quarter, 1)),
        ("to_start_of_month", |d| floor_days(d, U::Month, 1)),
        ("to_monday", monday),
        ("to_start_of_iso_year", |d| {
            let year = super::part::iso_year(d);
            monday(days_from_civil(year, 1, 4))
        }),
        ("to_last_day_of_month", |d| {
            let c = civil_from_days(d);
            days_from_civil(c.year, c.month, days_in_month(c.year, c.month).into())
        }),
    ];
    for (name, floor) in days {
        add(registry, name, move |cx: &BindContext, args: &[ArgInfo]| {
            check_count(name, args, 1..=2)?;
            let (_, zone) = time_argument(name, args, 0, 1, cx.zone)?;
            Ok(to_day(cx, &args[0].ty, zone, *floor))
        });
    }
    registry.add_alias("last_day", "to_last_day_of_month");
    registry.fold_case("last_day");
    add(registry, "to_start_of_week", |cx: &BindContext, args: &[ArgInfo]| {
        check_count("to_start_of_week", args, 1..=3)?;
        let mode = if args.len() > 1 { constant_number("to_start_of_week", args, 1)? } else { 0 };
        let (_, zone) = time_argument("to_start_of_week", args, 0, 2, cx.zone)?;
        Ok(to_day(cx, &args[0].ty, zone, if mode & 1 == 1 { monday } else { sunday }))
    });
    for (name, unit, n) in [
        ("to_start_of_day", U::Day, 1),
        ("to_start_of_hour", U::Hour, 1),
        ("to_start_of_minute", U::Minute, 1),
        ("to_start_of_five_minutes", U::Minute, 5),
        ("to_start_of_five_minute", U::Minute, 5),
        ("to_start_of_ten_minutes", U::Minute, 10),
        ("to_start_of_fifteen_minutes", U::Minute, 15),
    ] {
        add(registry, name, move |cx: &BindContext, args: &[ArgInfo]| {
            check_count(name, args, 1..=2)?;
            let (named, zone) = time_argument(name, args, 0, 1, cx.zone)?;
            if unit != U::Day && matches!(args[0].ty.bare(), LogicalType::Date | LogicalType::Date32) {
                return Err(illegal(name, args, 0, "a datetime"));
            }
            Ok(to_time(&args[0].ty, LogicalType::DateTime(named), zone, unit, n))
        });
    }
    for (name, unit) in [
        ("to_start_of_second", U::Second),
        ("to_start_of_millisecond", U::Millisecond),
        ("to_start_of_microsecond", U::Microsecond),
        ("to_start_of_nanosecond", U::Nanosecond),
    ] {
        add(registry, name, move |cx: &BindContext, args: &[ArgInfo]| {
            check_count(name, args, 1..=2)?;
            let (named, zone) = time_argument(name, args, 0, 1, cx.zone)?;
            match args[0].ty.bare() {
                LogicalType::DateTime64(scale, _) => {
                    Ok(to_time(&args[0].ty, LogicalType::DateTime64(*scale, named), zone, unit, 1))
                }
                _ => Err(illegal(name, args, 0, "a datetime64")),
            }
        });
    }
    add(registry, "to_start_of_interval", |cx: &BindContext, args: &[ArgInfo]| {
        const NAME: &str = "to_start_of_interval";
        check_count(NAME, args, 2..=3)?;
        let LogicalType::Interval(unit) = args[1].ty else { return Err(illegal(NAME, args, 1, "an interval")) };
        let n = args[1].constant.as_ref().ok_or_else(|| not_constant(NAME, 1))?.as_i64().unwrap_or(0);
        if n <= 0 {
            return Err(Error::new(
                Code::ARGUMENT_OUT_OF_BOUND,
                format!("{NAME}: an interval of {n} units is not positive"),
            ));
        }
        bind_interval(cx, NAME, args, 0, 2, unit, n)
    });
    add(registry, "date_trunc", |cx: &BindContext, args: &[ArgInfo]| {
        const NAME: &str = "date_trunc";
        check_count(NAME, args, 2..=3)?;
        let word = constant_text(NAME, args, 0)?;
        let unit =
            interval_unit(word).ok_or_else(|| Error::bad_arguments(format!("{NAME}: '{word}' is no unit of time")))?;
        bind_interval(cx, NAME, args, 1, 2, unit, 1)
    });
    registry.fold_case("date_trunc");
}

/// The Sunday on or before the day.
fn sunday(day: i32) -> i32 {
    day - i32::from(weekday(day) % 7)
}

fn bind_interval(
    cx: &BindContext,
    name: &str,
    args: &[ArgInfo],
    time: usize,
    zone_at: usize,
    unit: IntervalUnit,
    n: i64,
) -> Result<BoundCall> {
    use IntervalUnit as U;
    let (named, zone) = time_argument(name, args, time, zone_at, cx.zone)?;
    let ty = args[time].ty.bare();
    let is_date = matches!(ty, LogicalType::Date | LogicalType::Date32);
    let result = match unit {
        U::Week | U::Month | U::Quarter | U::Year => {
            let ty = ty.clone();
            return Ok(rowwise(LogicalType::Date, move |arrays: &[ArrayRef], rows| {
                let times = Times::new(&arrays[time], &ty, zone);
                Ok(dates((0..rows).map(|row| floor_days(times.day(row), unit, n))))
            }));
        }
        U::Day | U::Hour | U::Minute | U::Second => LogicalType::DateTime(named),
        U::Millisecond => LogicalType::DateTime64(3, named),
        U::Microsecond => LogicalType::DateTime64(6, named),
        U::Nanosecond => LogicalType::DateTime64(9, named),
    };
    if is_date && unit != U::Day {
        return Err(illegal(name, args, time, "a datetime for units shorter than a day"));
    }
    Ok(floor_time(ty, result, zone, unit, n, time))
}

fn dates(days: impl Iterator<Item = i32>) -> ArrayRef {
    // The result is a date of 16 bits, whatever the argument was.
    Arc::new(Date32Array::from_iter_values(days.map(|d| d.clamp(0, hydron_types::time::DATE_DAY_MAX))))
}

fn to_day(cx: &BindContext, ty: &LogicalType, zone: Zone, floor: fn(i32) -> i32) -> BoundCall {
    let ty = ty.clone();
    let far = matches!(ty.bare(), LogicalType::Date32 | LogicalType::DateTime64(..));
    if far && cx.settings.bool("enable_extended_results_for_datetime_functions") {
        return rowwise(LogicalType::Date32, move |arrays: &[ArrayRef], rows| {
            let times = Times::new(&arrays[0], &ty, zone);
            let days = (0..rows).map(|row| floor(times.day(row)).clamp(DATE32_DAY_MIN, DATE32_DAY_MAX));
            Ok(Arc::new(Date32Array::from_iter_values(days)) as ArrayRef)
        });
    }
    rowwise(LogicalType::Date, move |arrays: &[ArrayRef], rows| {
        let times = Times::new(&arrays[0], &ty, zone);
        Ok(dates((0..rows).map(|row| floor(times.day(row)))))
    })
}

fn to_time(ty: &LogicalType, result: LogicalType, zone: Zone, unit: IntervalUnit, n: i64) -> BoundCall {
    floor_time(ty, result, zone, unit, n, 0)
}

/// The argument at `time` rounded down, as `result` (datetime or datetime64).
fn floor_time(ty: &LogicalType, result: LogicalType, zone: Zone, unit: IntervalUnit, n: i64, time: usize) -> BoundCall {
    let ty = ty.clone();
    let scale = if let LogicalType::DateTime64(scale, _) = &result { Some(*scale) } else { None };
    rowwise(result, move |arrays: &[ArrayRef], rows| {
        let times = Times::new(&arrays[time], &ty, zone);
        let digits =
            scale.map_or(0, |s| hydron_types::physical::digits_of_unit(hydron_types::physical::unit_of_scale(s)));
        let per_second = pow10_i64(digits);
        let ticks = (0..rows).map(|row| {
            let exact = times.utc(row).wrapping_mul(per_second).wrapping_add(times.nanos(row) / pow10_i64(9 - digits));
            let floored = floor_ticks(exact, digits, unit, n, &times.local);
            if scale.is_none() { floored.clamp(0, u32::MAX.into()) } else { floored }
        });
        Ok(timestamps(ticks.collect(), scale.unwrap_or(0), None))
    })
}
