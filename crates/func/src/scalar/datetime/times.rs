//! Columns of dates and times as wall clocks.

use crate::call::ArgInfo;
use crate::scalar::convert::function::{illegal, zone_argument, zone_of};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Date32Type;
use hydron_base::Result;
use hydron_types::column::time_values;
use hydron_types::physical::{digits_of_unit, unit_of_scale};
use hydron_types::time::{DAY_SECONDS, LocalTime, whole_day};
use hydron_types::wide::pow10_i64;
use hydron_types::{LogicalType, Zone};

/// Reads times of any type, row by row. An array of one value answers for every row.
pub struct Times<'a> {
    array: &'a ArrayRef,
    kind: Kind<'a>,
    per_second: i64,
    pub digits: u8,
    pub local: LocalTime,
}

enum Kind<'a> {
    Days(&'a [i32]),
    Ticks(&'a [i64]),
}

impl<'a> Times<'a> {
    /// `zone` is that of the wall clock; dates are days of it.
    pub fn new(array: &'a ArrayRef, ty: &LogicalType, zone: Zone) -> Times<'a> {
        let digits = match ty.bare() {
            LogicalType::DateTime64(scale, _) => digits_of_unit(unit_of_scale(*scale)),
            _ => 0,
        };
        let kind = match ty.bare() {
            LogicalType::Date | LogicalType::Date32 => Kind::Days(array.as_primitive::<Date32Type>().values()),
            _ => Kind::Ticks(time_values(array.as_ref())),
        };
        Times { array, kind, per_second: pow10_i64(digits), digits, local: LocalTime::new(zone) }
    }

    fn row(&self, row: usize) -> usize {
        if self.array.len() == 1 { 0 } else { row }
    }

    pub fn is_null(&self, row: usize) -> bool {
        self.array.is_null(self.row(row))
    }

    pub fn nulls(&self) -> Option<NullBuffer> {
        self.array.nulls().cloned()
    }

    /// Seconds on the wall clock since 1970.
    #[inline]
    pub fn wall(&self, row: usize) -> i64 {
        match &self.kind {
            Kind::Days(days) => i64::from(days[self.row(row)]) * DAY_SECONDS,
            Kind::Ticks(ticks) => self.local.to_local(ticks[self.row(row)].div_euclid(self.per_second)),
        }
    }

    /// UTC seconds.
    #[inline]
    pub fn utc(&self, row: usize) -> i64 {
        match &self.kind {
            Kind::Days(days) => self.local.day_start(days[self.row(row)]),
            Kind::Ticks(ticks) => ticks[self.row(row)].div_euclid(self.per_second),
        }
    }

    /// Nanoseconds of the second.
    pub fn nanos(&self, row: usize) -> i64 {
        match &self.kind {
            Kind::Days(_) => 0,
            Kind::Ticks(ticks) => ticks[self.row(row)].rem_euclid(self.per_second) * (1_000_000_000 / self.per_second),
        }
    }

    /// Days on the wall clock since 1970.
    #[inline]
    pub fn day(&self, row: usize) -> i32 {
        match &self.kind {
            Kind::Days(days) => days[self.row(row)],
            Kind::Ticks(_) => whole_day(self.wall(row)),
        }
    }
}

/// Checks that argument `position` is a date or time and answers the zone of its wall clock: that of argument
/// `zone_position`, of its type, or `server`. The first of the answers is the zone that was named.
pub fn time_argument(
    name: &str,
    args: &[ArgInfo],
    position: usize,
    zone_position: usize,
    server: Zone,
) -> Result<(Option<Zone>, Zone)> {
    let ty = &args[position].ty;
    if !ty.bare().is_date_or_time() {
        return Err(illegal(name, args, position, "a date or a datetime"));
    }
    if args
        .get(zone_position)
        .is_some_and(|a| matches!(&a.constant, Some(hydron_types::Value::Bytes(b)) if b.is_empty()))
    {
        return Err(illegal(name, args, zone_position, "the name of a time zone"));
    }
    let named = zone_argument(name, args, zone_position)?.or_else(|| zone_of(ty));
    Ok((named, named.unwrap_or(server)))
}
