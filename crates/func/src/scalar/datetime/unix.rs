//! Times as numbers of seconds and back, and as modified Julian days.

use super::arith::timestamps;
use super::format::Pattern;
use super::times::{Times, time_argument};
use crate::call::{ArgInfo, BindContext, BoundCall};
use crate::registry::Registry;
use crate::scalar::convert::function::{
    add, add_custom, check_count, constant_text, illegal, rowwise, unary, zone_argument,
};
use arrow::array::*;
use arrow::datatypes::{Int32Type, Int64Type};
use hydron_base::{Code, Error, Result};
use hydron_types::datetext::parse_date;
use hydron_types::time::{DATE32_DAY_MIN, civil_from_days};
use hydron_types::wide::pow10_i64;
use hydron_types::{CastOptions, LogicalType, cast};
use std::sync::Arc;

pub fn register(registry: &mut Registry) {
    add_custom(registry, "to_unix_timestamp", bind_to_unix);
    for (word, digits) in [("second", 0), ("milli", 3), ("micro", 6), ("nano", 9)] {
        let (to, from) = (format!("to_unix_timestamp64_{word}"), format!("from_unix_timestamp64_{word}"));
        let name = to.clone();
        add(registry, &to, move |cx: &BindContext, args: &[ArgInfo]| {
            check_count(&name, args, 1..=1)?;
            if !matches!(args[0].ty.bare(), LogicalType::DateTime64(..)) {
                return Err(illegal(&name, args, 0, "a datetime64"));
            }
            let (ty, zone) = (args[0].ty.clone(), cx.zone);
            Ok(unary(LogicalType::Int64, move |array: &ArrayRef| {
                let times = Times::new(array, &ty, zone);
                let per_second = pow10_i64(digits);
                let value = |row| {
                    times.utc(row).wrapping_mul(per_second).wrapping_add(times.nanos(row) / pow10_i64(9 - digits))
                };
                Ok(Arc::new(Int64Array::from_iter_values((0..array.len()).map(value))) as ArrayRef)
            }))
        });
        let name = from.clone();
        add(registry, &from, move |_: &BindContext, args: &[ArgInfo]| {
            check_count(&name, args, 1..=2)?;
            if !matches!(args[0].ty.bare(), LogicalType::Int64) {
                return Err(illegal(&name, args, 0, "an int64"));
            }
            let zone = zone_argument(&name, args, 1)?;
            Ok(unary(LogicalType::DateTime64(digits, zone), move |array: &ArrayRef| {
                let ticks = array.as_primitive::<Int64Type>();
                Ok(timestamps(ticks.values().to_vec(), digits, ticks.nulls().cloned()))
            }))
        });
    }
    add(registry, "from_unixtime", |cx: &BindContext, args: &[ArgInfo]| {
        bind_from_unix(cx, "from_unixtime", false, args)
    });
    add(registry, "from_unix_timestamp_in_joda_syntax", |cx: &BindContext, args: &[ArgInfo]| {
        bind_from_unix(cx, "from_unix_timestamp_in_joda_syntax", true, args)
    });
    registry.add_alias("TO_UNIXTIME", "to_unix_timestamp");
    registry.add_alias("from_unix_timestamp", "from_unixtime");
    registry.fold_case("from_unixtime");
    register_julian(registry);
}

fn bind_to_unix(cx: &BindContext, args: &[ArgInfo]) -> Result<BoundCall> {
    const NAME: &str = "to_unix_timestamp";
    check_count(NAME, args, 1..=2)?;
    let from = args[0].ty.clone();
    let bare = from.bare();
    if !bare.is_date_or_time() && !bare.is_string_like() {
        return Err(illegal(NAME, args, 0, "a date, a datetime or a string"));
    }
    let zone = zone_argument(NAME, args, 1)?.unwrap_or(cx.zone);
    let wrap = |ty: LogicalType| if from.is_nullable() { LogicalType::nullable(ty) } else { ty };
    let (time, result) = (wrap(LogicalType::DateTime(Some(zone))), wrap(LogicalType::UInt32));
    let (out, options) = (result.clone(), CastOptions::wrap(zone));
    Ok(unary(result, move |array: &ArrayRef| cast(&cast(array, &from, &time, &options)?, &time, &out, &options)))
}

fn bind_from_unix(cx: &BindContext, name: &str, joda: bool, args: &[ArgInfo]) -> Result<BoundCall> {
    check_count(name, args, 1..=3)?;
    let from = args[0].ty.clone();
    let is_time = matches!(
        from.bare(),
        LogicalType::DateTime(_) | LogicalType::DateTime64(..) | LogicalType::Date | LogicalType::Date32
    );
    if !from.bare().is_integer() && !is_time {
        return Err(illegal(name, args, 0, "a whole number of seconds"));
    }
    let zone = zone_argument(name, args, 2)?;
    let options = CastOptions::wrap(zone.unwrap_or(cx.zone));
    let time = if is_time { from.clone() } else { LogicalType::DateTime(zone) };
    if args.len() == 1 {
        let to = time.clone();
        return Ok(unary(time, move |array: &ArrayRef| cast(array, &from, &to, &options)));
    }
    let text = constant_text(name, args, 1)?;
    let pattern = if joda { Pattern::joda(text)? } else { Pattern::percent(text)? };
    Ok(rowwise(LogicalType::String, move |arrays: &[ArrayRef], rows| {
        let times = cast(&arrays[0], &from, &time, &options)?;
        pattern.write_all(&Times::new(&times, &time, options.zone), rows)
    }))
}

/// Days from 1858-11-17 to 1970-01-01.
const JULIAN_EPOCH: i32 = 40_587;

fn register_julian(registry: &mut Registry) {
    for (name, or_null) in [("to_modified_julian_day", false), ("to_modified_julian_day_or_null", true)] {
        add(registry, name, move |cx: &BindContext, args: &[ArgInfo]| {
            check_count(name, args, 1..=1)?;
            let from = args[0].ty.clone();
            if from.bare().is_date_or_time() {
                let (_, zone) = time_argument(name, args, 0, 1, cx.zone)?;
                return Ok(unary(LogicalType::Int32, move |array: &ArrayRef| {
                    let times = Times::new(array, &from, zone);
                    Ok(
                        Arc::new(Int32Array::from_iter_values(
                            (0..array.len()).map(|row| times.day(row) + JULIAN_EPOCH),
                        )) as ArrayRef,
                    )
                }));
            }
            if !from.bare().is_string_like() {
                return Err(illegal(name, args, 0, "a string"));
            }
            let result = if or_null { LogicalType::nullable(LogicalType::Int32) } else { LogicalType::Int32 };
            let text = LogicalType::nullable(LogicalType::String);
            let options = CastOptions::wrap(cx.zone);
            Ok(unary(result, move |array: &ArrayRef| {
                let strings = cast(array, &from, &text, &options)?;
                let strings = crate::call::downcast::<BinaryArray>(&strings)?;
                let mut days = Vec::with_capacity(strings.len());
                for value in strings {
                    let value = value.unwrap_or_default();
                    match parse_date(value).filter(|(day, used)| *used == value.len() && *day > DATE32_DAY_MIN) {
                        Some((day, _)) => days.push(Some(day + JULIAN_EPOCH)),
                        None if or_null => days.push(None),
                        None => {
                            let shown = String::from_utf8_lossy(value);
                            return Err(Error::new(Code::CANNOT_PARSE_TEXT, format!("{name}: '{shown}' is no date")));
                        }
                    }
                }
                Ok(Arc::new(Int32Array::from(days)) as ArrayRef)
            }))
        });
    }
    for (name, or_null) in [("from_modified_julian_day", false), ("from_modified_julian_day_or_null", true)] {
        add(registry, name, move |cx: &BindContext, args: &[ArgInfo]| {
            check_count(name, args, 1..=1)?;
            let from = args[0].ty.clone();
            if !from.bare().is_integer() {
                return Err(illegal(name, args, 0, "a whole number"));
            }
            let result = if or_null { LogicalType::nullable(LogicalType::String) } else { LogicalType::String };
            let options = CastOptions::wrap(cx.zone);
            Ok(unary(result, move |array: &ArrayRef| {
                let (nullable, wide) = (LogicalType::nullable(from.clone()), LogicalType::nullable(LogicalType::Int32));
                let days = cast(array, &nullable, &wide, &options)?;
                let mut out = BinaryBuilder::new();
                for day in days.as_primitive::<Int32Type>() {
                    let day = day.unwrap_or(JULIAN_EPOCH).saturating_sub(JULIAN_EPOCH);
                    let date = civil_from_days(day.clamp(-1_000_000, 4_000_000));
                    if !(0..=9999).contains(&date.year) {
                        if or_null {
                            out.append_null();
                            continue;
                        }
                        let what = format!("{name}: the day is outside of the years 0 to 9999");
                        return Err(Error::new(Code::CANNOT_FORMAT_DATETIME, what));
                    }
                    out.append_value(format!("{:04}-{:02}-{:02}", date.year, date.month, date.day));
                }
                Ok(Arc::new(out.finish()) as ArrayRef)
            }))
        });
    }
}
