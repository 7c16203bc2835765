//! Spans between times: boundaries crossed (`date_diff`) and whole units passed (`age`).

use super::part::{relative_month, relative_week};
use super::times::{Times, time_argument};
use crate::call::{ArgInfo, BindContext, BoundCall};
use crate::registry::Registry;
use crate::scalar::convert::function::{add, check_count, constant_text, rowwise};
use arrow::array::*;
use hydron_base::{Error, Result};
use hydron_types::parse::interval_unit;
use hydron_types::time::{DAY_SECONDS, add_months};
use hydron_types::{IntervalUnit, LogicalType};
use std::sync::Arc;

pub fn register(registry: &mut Registry) {
    for (name, value) in [("date_diff", crossed as Measure), ("age", passed as Measure)] {
        add(registry, name, move |cx: &BindContext, args: &[ArgInfo]| {
            check_count(name, args, 3..=4)?;
            let word = constant_text(name, args, 0)?;
            let unit = interval_unit(word)
                .ok_or_else(|| Error::bad_arguments(format!("{name}: '{word}' is no unit of time")))?;
            bind(cx, name, args, 1, unit, value)
        });
        registry.fold_case(name);
    }
    registry.add_alias("timestamp_diff", "date_diff");
    add(registry, "time_diff", |cx: &BindContext, args: &[ArgInfo]| {
        check_count("time_diff", args, 2..=2)?;
        bind(cx, "time_diff", args, 0, IntervalUnit::Second, crossed)
    });
}

type Measure = fn(IntervalUnit, &Times, &Times, usize) -> i64;

fn bind(
    cx: &BindContext,
    name: &str,
    args: &[ArgInfo],
    first: usize,
    unit: IntervalUnit,
    value: Measure,
) -> Result<BoundCall> {
    let (_, zone_a) = time_argument(name, args, first, first + 2, cx.zone)?;
    let (_, zone_b) = time_argument(name, args, first + 1, first + 2, cx.zone)?;
    let (a, b) = (args[first].ty.clone(), args[first + 1].ty.clone());
    Ok(rowwise(LogicalType::Int64, move |arrays: &[ArrayRef], rows| {
        let from = Times::new(&arrays[first], &a, zone_a);
        let to = Times::new(&arrays[first + 1], &b, zone_b);
        Ok(Arc::new(Int64Array::from_iter_values((0..rows).map(|row| value(unit, &from, &to, row)))))
    }))
}

/// How many boundaries of the unit lie between.
fn crossed(unit: IntervalUnit, from: &Times, to: &Times, row: usize) -> i64 {
    use IntervalUnit as U;
    let of = |t: &Times| match unit {
        U::Year => relative_month(t.day(row)).div_euclid(12),
        U::Quarter => relative_month(t.day(row)).div_euclid(3),
        U::Month => relative_month(t.day(row)),
        U::Week => relative_week(t.day(row)),
        U::Day => t.day(row).into(),
        // Hours of the zone, as its clock stood in 1970.
        U::Hour => (t.utc(row) + i64::from(t.local.offset_at(0))).div_euclid(3_600),
        U::Minute => t.utc(row).div_euclid(60),
        U::Second => t.utc(row),
        U::Millisecond => t.utc(row).wrapping_mul(1_000).wrapping_add(t.nanos(row) / 1_000_000),
        U::Microsecond => t.utc(row).wrapping_mul(1_000_000).wrapping_add(t.nanos(row) / 1_000),
        U::Nanosecond => t.utc(row).wrapping_mul(1_000_000_000).wrapping_add(t.nanos(row)),
    };
    of(to).wrapping_sub(of(from))
}

/// How many whole units have passed, towards zero.
fn passed(unit: IntervalUnit, from: &Times, to: &Times, row: usize) -> i64 {
    let at = |t: &Times, seconds: i64| i128::from(seconds) * 1_000_000_000 + i128::from(t.nanos(row));
    if let Some(months) = unit.months() {
        let (a, b) = (at(from, from.wall(row)), at(to, to.wall(row)));
        let (early, late, sign) = if a <= b { (from, to, 1) } else { (to, from, -1) };
        let mut between = relative_month(late.day(row)) - relative_month(early.day(row));
        let moved =
            i64::from(add_months(early.day(row), between)) * DAY_SECONDS + early.wall(row).rem_euclid(DAY_SECONDS);
        let overshoots =
            at(early, moved) > at(late, late.wall(row)) || day_was_cut(early.day(row), between, late.day(row));
        if overshoots {
            between -= 1;
        }
        return sign * (between / months);
    }
    let nanos = i128::from(unit.nanoseconds().unwrap_or(1));
    let (a, b) = match unit {
        IntervalUnit::Day | IntervalUnit::Week => (at(from, from.wall(row)), at(to, to.wall(row))),
        _ => (at(from, from.utc(row)), at(to, to.utc(row))),
    };
    // Of a microsecond only whole ones are looked at, on both sides.
    let whole = |t: i128| if nanos == 1_000 { t.div_euclid(nanos) * nanos } else { t };
    ((whole(b) - whole(a)) / nanos) as i64
}

/// January 31 plus a month is the 28th of February only because it has no 31st: the month has not passed.
fn day_was_cut(day: i32, months: i64, late: i32) -> bool {
    let moved = add_months(day, months);
    let civil = hydron_types::time::civil_from_days;
    moved == late && civil(moved).day < civil(day).day
}
