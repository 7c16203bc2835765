//! Parts of dates and times: year, week, hour, relative numbers, and the zone of a time.

use super::times::{Times, time_argument};
use crate::call::{ArgInfo, BindContext, BoundCall, Datum, EvalContext};
use crate::registry::Registry;
use crate::scalar::convert::function::{add, check_count, constant_number, constant_text, illegal, unary, zone_of};
use arrow::array::*;
use hydron_base::Result;
use hydron_types::datetext::{MONTHS, WEEKDAYS};
use hydron_types::time::{DAY_SECONDS, civil_from_days, days_from_civil, is_leap, monday, weekday, whole_day};
use hydron_types::{LogicalType, Zone};
use std::sync::Arc;

/// What a part is computed from.
#[derive(Clone, Copy)]
pub struct Moment {
    /// Wall clock.
    pub day: i32,
    pub second_of_day: i64,
    pub utc: i64,
    pub nanos: i64,
}

impl Moment {
    pub fn of(times: &Times, row: usize) -> Moment {
        let wall = times.wall(row);
        Moment {
            day: whole_day(wall),
            second_of_day: wall.rem_euclid(DAY_SECONDS),
            utc: times.utc(row),
            nanos: times.nanos(row),
        }
    }

    pub fn day_of_year(self) -> i32 {
        self.day - days_from_civil(civil_from_days(self.day).year, 1, 1) + 1
    }

    pub fn hour(self) -> i64 {
        self.second_of_day / 3_600
    }

    pub fn minute(self) -> i64 {
        self.second_of_day / 60 % 60
    }

    pub fn second(self) -> i64 {
        self.second_of_day % 60
    }

    pub fn clock(self) -> i64 {
        self.hour() * 10_000 + self.minute() * 100 + self.second()
    }
}

type Part = (&'static str, fn() -> LogicalType, bool, fn(Moment) -> i64);

/// Name, type, whether it needs a time of day, and the value.
const PARTS: &[Part] = &[
    ("to_year", || LogicalType::UInt16, false, |m| civil_from_days(m.day).year.into()),
    ("to_quarter", || LogicalType::UInt8, false, |m| i64::from(civil_from_days(m.day).month - 1) / 3 + 1),
    ("to_month", || LogicalType::UInt8, false, |m| civil_from_days(m.day).month.into()),
    ("to_day_of_year", || LogicalType::UInt16, false, |m| m.day_of_year().into()),
    ("to_day_of_month", || LogicalType::UInt8, false, |m| civil_from_days(m.day).day.into()),
    ("to_hour", || LogicalType::UInt8, true, |m| m.hour()),
    ("to_minute", || LogicalType::UInt8, true, |m| m.minute()),
    ("to_second", || LogicalType::UInt8, true, |m| m.second()),
    ("to_millisecond", || LogicalType::UInt16, true, |m| m.nanos / 1_000_000),
    ("to_iso_year", || LogicalType::UInt16, false, |m| iso_year(m.day).into()),
    ("to_iso_week", || LogicalType::UInt8, false, |m| iso_week(m.day)),
    ("to_YYYYMM", || LogicalType::UInt32, false, |m| yyyymmdd(m.day) / 100),
    ("to_YYYYMMDD", || LogicalType::UInt32, false, |m| yyyymmdd(m.day)),
    ("to_YYYYMMDDhhmmss", || LogicalType::UInt64, false, |m| yyyymmdd(m.day) * 1_000_000 + m.clock()),
    ("to_relative_year_num", || LogicalType::UInt16, false, |m| civil_from_days(m.day).year.into()),
    ("to_relative_quarter_num", || LogicalType::UInt32, false, |m| relative_month(m.day) / 3),
    ("to_relative_month_num", || LogicalType::UInt32, false, |m| relative_month(m.day) + 1),
    ("to_relative_week_num", || LogicalType::UInt32, false, |m| relative_week(m.day)),
    ("to_relative_day_num", || LogicalType::UInt32, false, |m| m.day.into()),
    ("to_relative_hour_num", || LogicalType::UInt32, false, |m| m.utc.div_euclid(3_600)),
    ("to_relative_minute_num", || LogicalType::UInt32, false, |m| m.utc.div_euclid(60)),
    ("to_relative_second_num", || LogicalType::UInt32, false, |m| m.utc),
];

pub fn register(registry: &mut Registry) {
    for (name, ty, needs_clock, value) in PARTS {
        add(registry, name, move |cx: &BindContext, args: &[ArgInfo]| {
            check_count(name, args, 1..=2)?;
            let (_, zone) = time_argument(name, args, 0, 1, cx.zone)?;
            if *needs_clock && matches!(args[0].ty.bare(), LogicalType::Date | LogicalType::Date32) {
                return Err(illegal(name, args, 0, "a datetime"));
            }
            Ok(part(&args[0].ty, ty(), zone, *value))
        });
    }
    for (alias, name) in [
        ("year", "to_year"),
        ("quarter", "to_quarter"),
        ("month", "to_month"),
        ("day", "to_day_of_month"),
        ("day_of_month", "to_day_of_month"),
        ("day_of_year", "to_day_of_year"),
        ("day_of_week", "to_day_of_week"),
        ("hour", "to_hour"),
        ("minute", "to_minute"),
        ("second", "to_second"),
        ("week", "to_week"),
        ("yearweek", "to_year_week"),
    ] {
        registry.add_alias(alias, name);
        registry.fold_case(alias);
    }
    for name in ["to_YYYYMM", "to_YYYYMMDD", "to_YYYYMMDDhhmmss"] {
        registry.fold_case(name);
    }
    register_weeks(registry);
    register_zones(registry);
    add(registry, "month_name", |cx: &BindContext, args: &[ArgInfo]| {
        check_count("month_name", args, 1..=1)?;
        let (_, zone) = time_argument("month_name", args, 0, 1, cx.zone)?;
        let ty = args[0].ty.clone();
        Ok(unary(LogicalType::String, move |array: &ArrayRef| {
            let times = Times::new(array, &ty, zone);
            Ok(names(array.len(), |row| MONTHS[usize::from(civil_from_days(times.day(row)).month - 1)].to_string()))
        }))
    });
    registry.fold_case("month_name");
    add(registry, "date_name", bind_date_name);
    registry.fold_case("date_name");
}

fn names(rows: usize, name: impl Fn(usize) -> String) -> ArrayRef {
    Arc::new(BinaryArray::from_iter_values((0..rows).map(name)))
}

/// Rows of numbers in the layout of an integer type.
fn numbers(ty: &LogicalType, values: impl Iterator<Item = i64>) -> ArrayRef {
    match ty {
        LogicalType::UInt8 => Arc::new(UInt8Array::from_iter_values(values.map(|v| v as u8))),
        LogicalType::UInt16 => Arc::new(UInt16Array::from_iter_values(values.map(|v| v as u16))),
        LogicalType::UInt32 => Arc::new(UInt32Array::from_iter_values(values.map(|v| v as u32))),
        LogicalType::UInt64 => Arc::new(UInt64Array::from_iter_values(values.map(|v| v as u64))),
        LogicalType::Int32 => Arc::new(Int32Array::from_iter_values(values.map(|v| v as i32))),
        _ => Arc::new(Int64Array::from_iter_values(values)),
    }
}

fn part<F>(ty: &LogicalType, result: LogicalType, zone: Zone, value: F) -> BoundCall
where
    F: Fn(Moment) -> i64 + Send + Sync + 'static,
{
    let (ty, out) = (ty.clone(), result.clone());
    unary(result, move |array: &ArrayRef| {
        let times = Times::new(array, &ty, zone);
        Ok(numbers(&out, (0..array.len()).map(|row| value(Moment::of(&times, row)))))
    })
}

pub fn yyyymmdd(day: i32) -> i64 {
    let c = civil_from_days(day);
    i64::from(c.year) * 10_000 + i64::from(c.month) * 100 + i64::from(c.day)
}

/// Months since the year 0.
pub fn relative_month(day: i32) -> i64 {
    let c = civil_from_days(day);
    i64::from(c.year) * 12 + i64::from(c.month) - 1
}

/// Weeks (from Monday) since a fixed one. The division rounds towards zero, as Proton's does, so the weeks around 1970
/// count as one.
pub fn relative_week(day: i32) -> i64 {
    i64::from(monday(day) + 8) / 7
}

/// The year that the Thursday of the week is in.
pub fn iso_year(day: i32) -> i32 {
    civil_from_days(monday(day) + 3).year
}

pub fn iso_week(day: i32) -> i64 {
    let thursday = monday(day) + 3;
    let first = days_from_civil(civil_from_days(thursday).year, 1, 1);
    i64::from((thursday - first) / 7 + 1)
}

/// Year and week by MySQL's modes 0..=7: bit 0 weeks from Monday, bit 1 weeks count from 1 (the last week of the year before
/// instead of 0), bit 2 the first week is the first that begins in the year (otherwise, with four days in it). Modes 8 and 9:
/// the week that holds January 1 is week 1.
pub fn year_week(day: i32, mode: u8) -> (i32, i64) {
    let monday_first = mode & 1 != 0;
    let c = civil_from_days(day);
    // Days of the week since its first, for a day.
    let since_first = |d: i32| if monday_first { i32::from(weekday(d)) - 1 } else { i32::from(weekday(d)) % 7 };
    if mode >= 8 {
        let january = days_from_civil(c.year, 1, 1);
        let start = january - since_first(january);
        let next = days_from_civil(c.year + 1, 1, 1);
        if day >= next - since_first(next) {
            return (c.year + 1, 1);
        }
        return (c.year, i64::from((day - start) / 7 + 1));
    }
    let mut week_year = mode & 2 != 0;
    // MySQL turns this bit around for weeks that begin on Monday.
    let first_weekday = (mode & 4 != 0) != monday_first;
    let mut year = c.year;
    let mut january = days_from_civil(year, 1, 1);
    let mut offset = since_first(january);
    let starts_late = |offset: i32| (first_weekday && offset != 0) || (!first_weekday && offset >= 4);
    let mut days;
    if c.month == 1 && i32::from(c.day) <= 7 - offset {
        if !week_year && starts_late(offset) {
            return (year, 0);
        }
        week_year = true;
        if starts_late(offset) {
            year -= 1;
            let length = 365 + i32::from(is_leap(year));
            january -= length;
            offset = (offset + 53 * 7 - length).rem_euclid(7);
        }
    }
    days = if starts_late(offset) { day - (january + 7 - offset) } else { day - (january - offset) };
    if week_year && days >= 52 * 7 {
        let next = (offset + 365 + i32::from(is_leap(year))) % 7;
        if (!first_weekday && next < 4) || (first_weekday && next == 0) {
            return (year + 1, 1);
        }
    }
    days = days.max(0);
    (year, i64::from(days / 7 + 1))
}

fn mode_argument(name: &str, args: &[ArgInfo]) -> Result<u8> {
    if args.len() < 2 {
        return Ok(0);
    }
    if args[1].ty.bare().is_signed_integer() {
        return Err(illegal(name, args, 1, "an unsigned number"));
    }
    Ok((constant_number(name, args, 1)? & 0xf) as u8)
}

fn register_weeks(registry: &mut Registry) {
    for (name, with_year) in [("to_week", false), ("to_year_week", true)] {
        add(registry, name, move |cx: &BindContext, args: &[ArgInfo]| {
            check_count(name, args, 1..=3)?;
            let mode = mode_argument(name, args)?;
            let (_, zone) = time_argument(name, args, 0, 2, cx.zone)?;
            let ty = if with_year { LogicalType::UInt32 } else { LogicalType::UInt8 };
            Ok(part(&args[0].ty, ty, zone, move |m| {
                if with_year {
                    let (year, week) = year_week(m.day, mode | 2);
                    i64::from(year) * 100 + week
                } else {
                    year_week(m.day, mode).1
                }
            }))
        });
    }
    add(registry, "to_day_of_week", |cx: &BindContext, args: &[ArgInfo]| {
        const NAME: &str = "to_day_of_week";
        check_count(NAME, args, 1..=3)?;
        let text = args.get(1).is_some_and(|a| a.ty.is_string_like());
        let mode = if text { 0 } else { mode_argument(NAME, args)? & 3 };
        let (_, zone) = time_argument(NAME, args, 0, if text { 1 } else { 2 }, cx.zone)?;
        Ok(part(&args[0].ty, LogicalType::UInt8, zone, move |m| {
            let monday_one = i64::from(weekday(m.day));
            match mode {
                0 => monday_one,
                1 => monday_one - 1,
                2 => monday_one % 7,
                _ => monday_one % 7 + 1,
            }
        }))
    });
}

fn register_zones(registry: &mut Registry) {
    add(registry, "to_timezone", |_: &BindContext, args: &[ArgInfo]| {
        check_count("to_timezone", args, 2..=2)?;
        let zone = Zone::parse(constant_text("to_timezone", args, 1)?)?;
        let ty = match args[0].ty.bare() {
            LogicalType::DateTime(_) => LogicalType::DateTime(Some(zone)),
            LogicalType::DateTime64(scale, _) => LogicalType::DateTime64(*scale, Some(zone)),
            _ => return Err(illegal("to_timezone", args, 0, "a datetime")),
        };
        Ok(unary(ty, |array: &ArrayRef| Ok(Arc::clone(array))))
    });
    add(registry, "timezone_offset", |cx: &BindContext, args: &[ArgInfo]| {
        check_count("timezone_offset", args, 1..=1)?;
        let (_, zone) = time_argument("timezone_offset", args, 0, 1, cx.zone)?;
        let ty = args[0].ty.clone();
        Ok(unary(LogicalType::Int32, move |array: &ArrayRef| {
            let times = Times::new(array, &ty, zone);
            Ok(numbers(&LogicalType::Int32, (0..array.len()).map(|row| times.local.offset_at(times.utc(row)).into())))
        }))
    });
    add(registry, "timezone_of", |cx: &BindContext, args: &[ArgInfo]| {
        check_count("timezone_of", args, 1..=1)?;
        if !matches!(args[0].ty.bare(), LogicalType::DateTime(_) | LogicalType::DateTime64(..)) {
            return Err(illegal("timezone_of", args, 0, "a datetime"));
        }
        Ok(constant_name(zone_of(&args[0].ty).unwrap_or(cx.zone)))
    });
    for name in ["timezone", "server_timezone"] {
        add(registry, name, move |cx: &BindContext, args: &[ArgInfo]| {
            check_count(name, args, 0..=0)?;
            Ok(constant_name(cx.zone))
        });
    }
}

fn constant_name(zone: Zone) -> BoundCall {
    let one: ArrayRef = Arc::new(BinaryArray::from_vec(vec![zone.0.name().as_bytes()]));
    BoundCall::new(LogicalType::String, move |_: &EvalContext, _: &[Datum], _| Ok(Datum::Scalar(Arc::clone(&one))))
}

/// `date_name('part', time[, zone])`: the part as text, months and weekdays by name.
fn bind_date_name(cx: &BindContext, args: &[ArgInfo]) -> Result<BoundCall> {
    const NAME: &str = "date_name";
    check_count(NAME, args, 2..=3)?;
    let word = constant_text(NAME, args, 0)?.to_ascii_lowercase();
    let (_, zone) = time_argument(NAME, args, 1, 2, cx.zone)?;
    let value: fn(Moment) -> String = match word.as_str() {
        "yyyy" | "yy" | "year" => |m| civil_from_days(m.day).year.to_string(),
        "quarter" | "qq" | "q" => |m| ((civil_from_days(m.day).month - 1) / 3 + 1).to_string(),
        "month" | "mm" | "m" => |m| MONTHS[usize::from(civil_from_days(m.day).month - 1)].to_string(),
        "dayofyear" | "day_of_year" | "dy" | "y" => |m| m.day_of_year().to_string(),
        "day" | "dd" | "d" => |m| civil_from_days(m.day).day.to_string(),
        "week" | "wk" | "ww" => |m| iso_week(m.day).to_string(),
        "weekday" | "dw" => |m| WEEKDAYS[usize::from(weekday(m.day) - 1)].to_string(),
        "hour" | "hh" => |m| m.hour().to_string(),
        "minute" | "mi" | "n" => |m| m.minute().to_string(),
        "second" | "ss" | "s" => |m| m.second().to_string(),
        _ => return Err(hydron_base::Error::bad_arguments(format!("{NAME}: '{word}' is no part of a date"))),
    };
    let ty = args[1].ty.clone();
    Ok(crate::scalar::convert::function::rowwise(LogicalType::String, move |arrays: &[ArrayRef], rows| {
        let times = Times::new(&arrays[1], &ty, zone);
        Ok(names(rows, |row| value(Moment::of(&times, row))))
    }))
}
