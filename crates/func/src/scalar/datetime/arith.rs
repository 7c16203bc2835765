//! Times plus spans.

use crate::call::{ArgInfo, BindContext, BoundCall};
use crate::registry::Registry;
use crate::scalar::convert::function::{add, check_count, constant_text, illegal, rowwise, zone_argument};
use arrow::array::*;
use arrow::datatypes::*;
use hydron_base::{Code, Error, Result};
use hydron_types::column::time_values;
use hydron_types::parse::interval_unit;
use hydron_types::physical::{digits_of_unit, unit_of_scale};
use hydron_types::time::{LocalTime, add_days_unit, add_ticks};
use hydron_types::{CastOptions, IntervalUnit, LogicalType, Zone, cast};
use std::sync::Arc;

/// The type of `time ± interval`: of the same kind, but a date moved by hours or less becomes a datetime, and a time moved
/// by less than its ticks becomes a datetime64 of a finer scale. `None` when `time` is no date or time.
pub fn plus_interval_type(time: &LogicalType, unit: IntervalUnit) -> Option<LogicalType> {
    use IntervalUnit as U;
    use LogicalType as T;
    let fine = match unit {
        U::Millisecond => 3,
        U::Microsecond => 6,
        U::Nanosecond => 9,
        _ => 0,
    };
    let whole_days = matches!(unit, U::Day | U::Week | U::Month | U::Quarter | U::Year);
    Some(match time {
        T::Date | T::Date32 if whole_days => time.clone(),
        T::Date if fine == 0 => T::DateTime(None),
        T::Date => T::DateTime64(fine, None),
        // The usual scale of a datetime64, unless the unit asks for a finer one.
        T::Date32 => T::DateTime64(fine.max(3), None),
        T::DateTime(zone) if fine > 0 => T::DateTime64(fine, *zone),
        T::DateTime(_) => time.clone(),
        T::DateTime64(scale, zone) => T::DateTime64(fine.max(*scale), *zone),
        _ => return None,
    })
}

/// `time + sign * count` units, row by row; the result has type [`plus_interval_type`]. `time` and `count` (`Int64`) have as
/// many values as each other, or one of them has one value. `sign` is 1 or -1. NULLs stay NULL.
pub fn plus_interval(
    time: &ArrayRef,
    ty: &LogicalType,
    count: &ArrayRef,
    unit: IntervalUnit,
    sign: i64,
    zone: Zone,
) -> Result<ArrayRef> {
    let ty = ty.bare();
    let result =
        plus_interval_type(ty, unit).ok_or_else(|| Error::bug(format!("{ty} is no time that an interval can move")))?;
    let time = cast_nullable(time, ty, &result, zone)?;
    let counts = crate::call::downcast::<Int64Array>(count)?;
    let rows = if time.len() == 1 { counts.len() } else { time.len() };
    let at = |len: usize, row: usize| if len == 1 { 0 } else { row };
    let is_null = |row: usize| time.is_null(at(time.len(), row)) || counts.is_null(at(counts.len(), row));
    let amount = |row: usize| sign.wrapping_mul(counts.value(at(counts.len(), row)));
    if matches!(result, LogicalType::Date | LogicalType::Date32) {
        let days = crate::call::downcast::<Date32Array>(&time)?;
        let small = matches!(result, LogicalType::Date);
        let moved = (0..rows).map(|row| {
            (!is_null(row)).then(|| {
                let day = add_days_unit(days.value(at(days.len(), row)), unit, amount(row));
                if small { i32::from(day as u16) } else { day }
            })
        });
        return Ok(Arc::new(moved.collect::<Date32Array>()));
    }
    let (scale, own) = match &result {
        LogicalType::DateTime64(scale, own) => (*scale, *own),
        LogicalType::DateTime(own) => (0, *own),
        _ => return Err(Error::bug("an interval moved a time to a type that is no time")),
    };
    let local = LocalTime::new(own.unwrap_or(zone));
    let digits = digits_of_unit(unit_of_scale(scale));
    let small = matches!(result, LogicalType::DateTime(_));
    let ticks = time_values(time.as_ref());
    let moved = (0..rows).map(|row| {
        if is_null(row) {
            return 0;
        }
        let t = add_ticks(ticks[at(ticks.len(), row)], digits, unit, amount(row), &local);
        if small { i64::from(t as u32) } else { t }
    });
    let nulls = (0..rows).map(|row| !is_null(row)).collect::<arrow::buffer::NullBuffer>();
    Ok(timestamps(moved.collect(), scale, Some(nulls)))
}

/// Adds `add_days`, `subtract_hours` and their kin, and `date_add('unit', n, time)` with its names.
pub fn register(registry: &mut Registry) {
    for word in [
        "nanoseconds",
        "microseconds",
        "milliseconds",
        "seconds",
        "minutes",
        "hours",
        "days",
        "weeks",
        "months",
        "quarters",
        "years",
    ] {
        let Some(unit) = interval_unit(word) else { continue };
        for (verb, sign) in [("add", 1), ("subtract", -1)] {
            let name = format!("{verb}_{word}");
            let function = name.clone();
            add(registry, &name, move |cx: &BindContext, args: &[ArgInfo]| {
                check_count(&function, args, 2..=3)?;
                let Some(zone) = zone_argument(&function, args, 2)? else {
                    return bind_move(cx, &function, args, 0, 1, unit, sign);
                };
                // The calendar of a named zone, which the answer is then in.
                let time = match args[0].ty.bare() {
                    LogicalType::DateTime(_) => LogicalType::DateTime(Some(zone)),
                    LogicalType::DateTime64(scale, _) => LogicalType::DateTime64(*scale, Some(zone)),
                    _ => return Err(illegal(&function, args, 0, "a datetime")),
                };
                let moved = [ArgInfo { ty: time, constant: None, ..args[0].clone() }, args[1].clone()];
                bind_move(cx, &function, &moved, 0, 1, unit, sign)
            });
        }
    }
    for (name, sign) in [("date_add", 1), ("date_sub", -1), ("timestamp_add", 1), ("timestamp_sub", -1)] {
        add(registry, name, move |cx: &BindContext, args: &[ArgInfo]| match args {
            [time, span] if time.ty.is_date_or_time() => match span.ty {
                LogicalType::Interval(unit) => bind_move(cx, name, args, 0, 1, unit, sign),
                _ => Err(illegal(name, args, 1, "an interval")),
            },
            [_, _] => match args[0].ty {
                LogicalType::Interval(unit) => bind_move(cx, name, args, 1, 0, unit, sign),
                _ => Err(illegal(name, args, 0, "a date, a datetime or an interval")),
            },
            [_, _, _] => {
                let unit = interval_unit(constant_text(name, args, 0)?)
                    .ok_or_else(|| illegal(name, args, 0, "the name of a unit"))?;
                bind_move(cx, name, args, 2, 1, unit, sign)
            }
            _ => check_count(name, args, 2..=3).and_then(|()| Err(Error::bug("the number of arguments was checked"))),
        });
        registry.fold_case(name);
    }
}

fn bind_move(
    cx: &BindContext,
    name: &str,
    args: &[ArgInfo],
    time: usize,
    count: usize,
    unit: IntervalUnit,
    sign: i64,
) -> Result<BoundCall> {
    let ty = args[time].ty.bare().clone();
    let result = plus_interval_type(&ty, unit).ok_or_else(|| illegal(name, args, time, "a date or a datetime"))?;
    let count_ty = args[count].ty.bare().clone();
    if !(count_ty.is_number() || matches!(count_ty, LogicalType::Bool | LogicalType::Interval(_))) {
        return Err(illegal(name, args, count, "a number"));
    }
    let (zone, text) = (cx.zone, args[count].text.clone());
    Ok(rowwise(result, move |arrays: &[ArrayRef], _| {
        let counts = whole_counts(&arrays[count], &count_ty, &text)?;
        plus_interval(&arrays[time], &ty, &counts, unit, sign, zone)
    }))
}

/// Numbers as `Int64`. Errors: DECIMAL_OVERFLOW (407) for what 64 bits do not hold.
fn whole_counts(array: &ArrayRef, ty: &LogicalType, text: &str) -> Result<ArrayRef> {
    let overflow = || Error::new(Code::DECIMAL_OVERFLOW, format!("the number of units {text} does not fit 64 bits"));
    match array.data_type() {
        DataType::UInt64 if array.as_primitive::<UInt64Type>().iter().flatten().any(|v| v > i64::MAX as u64) => {
            return Err(overflow());
        }
        DataType::Float32
            if array.as_primitive::<Float32Type>().iter().flatten().any(|v| v.is_nan() || v.abs() >= 9.2e18) =>
        {
            return Err(overflow());
        }
        DataType::Float64
            if array.as_primitive::<Float64Type>().iter().flatten().any(|v| v.is_nan() || v.abs() >= 9.2e18) =>
        {
            return Err(overflow());
        }
        _ => {}
    }
    cast_nullable(array, ty, &LogicalType::Int64, Zone::UTC)
}

/// Casts between bare types and keeps NULLs.
fn cast_nullable(array: &ArrayRef, from: &LogicalType, to: &LogicalType, zone: Zone) -> Result<ArrayRef> {
    cast(array, &LogicalType::nullable(from.clone()), &LogicalType::nullable(to.clone()), &CastOptions::wrap(zone))
}

/// Ticks as an array in the layout of `datetime64(scale)` (scale 0: of datetime too).
pub fn timestamps(ticks: Vec<i64>, scale: u8, nulls: Option<arrow::buffer::NullBuffer>) -> ArrayRef {
    let nulls = nulls.filter(|n| n.null_count() > 0);
    match unit_of_scale(scale) {
        TimeUnit::Second => Arc::new(TimestampSecondArray::new(ticks.into(), nulls)),
        TimeUnit::Millisecond => Arc::new(TimestampMillisecondArray::new(ticks.into(), nulls)),
        TimeUnit::Microsecond => Arc::new(TimestampMicrosecondArray::new(ticks.into(), nulls)),
        TimeUnit::Nanosecond => Arc::new(TimestampNanosecondArray::new(ticks.into(), nulls)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_types::{Value, array_of, value_at};

    #[test]
    fn dates_and_times_move() {
        use IntervalUnit::*;
        use LogicalType as T;
        for (ty, value, unit, n, expected_ty, expected) in [
            (T::Date, Value::Date(30), Month, 1, T::Date, Value::Date(58)),
            (T::Date, Value::Date(1), Hour, 2, T::DateTime(None), Value::Time(86_400 + 7_200)),
            (T::Date32, Value::Date(-1), Day, 1, T::Date32, Value::Date(0)),
            (T::DateTime(None), Value::Time(10), Second, -20, T::DateTime(None), Value::Time(u32::MAX as i64 - 9)),
            (T::DateTime(None), Value::Time(10), Millisecond, 5, T::DateTime64(3, None), Value::Time(10_005)),
            (T::DateTime64(2, None), Value::Time(10_000), Second, 1, T::DateTime64(2, None), Value::Time(11_000)),
        ] {
            assert_eq!(plus_interval_type(&ty, unit), Some(expected_ty.clone()));
            let time = array_of(&value, &ty, 2).unwrap();
            let count: ArrayRef = Arc::new(Int64Array::from(vec![n]));
            let moved = plus_interval(&time, &ty, &count, unit, 1, Zone::UTC).unwrap();
            assert_eq!(moved.len(), 2);
            assert_eq!(value_at(&moved, &expected_ty, 1), expected, "{ty} + {n} {unit:?}");
        }
    }
}
