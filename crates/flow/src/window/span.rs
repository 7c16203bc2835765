//! Ticks of time columns, and the windows of [`hydron_plan::span`] in them.

use arrow::datatypes::DataType;
use hydron_base::world::WallTime;
use hydron_base::{Error, Result};
use hydron_plan::node::Interval;
use hydron_types::physical::digits_of_unit;

pub use hydron_plan::span::{Span, Spans};

/// Decimal digits of the ticks of a time column's Arrow type.
pub fn digits_of(ty: &DataType) -> Result<u8> {
    match ty {
        DataType::Timestamp(unit, _) => Ok(digits_of_unit(*unit)),
        other => Err(Error::bug(format!("a window over a time column of type {other}"))),
    }
}

/// Ticks of `digits` as microseconds, rounded down.
pub fn ticks_to_micros(ticks: i64, digits: u8) -> i64 {
    match digits {
        0 => ticks.saturating_mul(1_000_000),
        3 => ticks.saturating_mul(1_000),
        6 => ticks,
        _ => ticks.div_euclid(1_000),
    }
}

/// A wall time as ticks of `digits`, rounded down.
pub fn wall_to_ticks(now: WallTime, digits: u8) -> i64 {
    match digits {
        0 => now.0.div_euclid(1_000_000),
        3 => now.0.div_euclid(1_000),
        6 => now.0,
        _ => now.0.saturating_mul(1_000),
    }
}

/// An interval of fixed length in ticks of `digits`; `None` for months and longer.
pub fn fixed_ticks(interval: Interval, digits: u8) -> Option<i64> {
    let nanos = i128::from(interval.unit.nanoseconds()?) * i128::from(interval.count);
    let per_tick = 10i128.pow(9 - u32::from(digits.min(9)));
    i64::try_from(nanos.div_euclid(per_tick)).ok()
}
