//! Snowflake ids: milliseconds since 2010-11-04 01:42:54.657 UTC above 22 further bits; and milliseconds as a running number.

use super::arith::timestamps;
use super::times::Times;
use crate::call::{ArgInfo, BindContext};
use crate::registry::Registry;
use crate::scalar::convert::function::{add, check_count, illegal, unary, zone_argument};
use arrow::array::*;
use arrow::datatypes::Int64Type;
use hydron_types::LogicalType;
use std::sync::Arc;

const EPOCH_MS: i64 = 1_288_834_974_657;
const SHIFT: u32 = 22;

pub fn register(registry: &mut Registry) {
    for (name, fine) in [("datetime_to_snowflake", false), ("datetime64_to_snowflake", true)] {
        add(registry, name, move |cx: &BindContext, args: &[ArgInfo]| {
            check_count(name, args, 1..=1)?;
            let fits = match args[0].ty.bare() {
                LogicalType::DateTime(_) => !fine,
                LogicalType::DateTime64(..) => fine,
                _ => false,
            };
            if !fits {
                return Err(illegal(name, args, 0, if fine { "a datetime64" } else { "a datetime" }));
            }
            let (ty, zone) = (args[0].ty.clone(), cx.zone);
            Ok(unary(LogicalType::Int64, move |array: &ArrayRef| {
                let times = Times::new(array, &ty, zone);
                let id = |row| {
                    let ms = times.utc(row).wrapping_mul(1_000).wrapping_add(times.nanos(row) / 1_000_000);
                    ms.wrapping_sub(EPOCH_MS).wrapping_shl(SHIFT)
                };
                Ok(Arc::new(Int64Array::from_iter_values((0..array.len()).map(id))) as ArrayRef)
            }))
        });
    }
    for (name, fine) in [("snowflake_to_datetime", false), ("snowflake_to_datetime64", true)] {
        add(registry, name, move |_: &BindContext, args: &[ArgInfo]| {
            check_count(name, args, 1..=2)?;
            if !matches!(args[0].ty.bare(), LogicalType::Int64) {
                return Err(illegal(name, args, 0, "an int64"));
            }
            let zone = zone_argument(name, args, 1)?;
            let ty = if fine { LogicalType::DateTime64(3, zone) } else { LogicalType::DateTime(zone) };
            Ok(unary(ty, move |array: &ArrayRef| {
                let ids = array.as_primitive::<Int64Type>();
                let ms = ids.values().iter().map(|id| (id >> SHIFT) + EPOCH_MS);
                let ticks = if fine { ms.collect() } else { ms.map(|ms| i64::from((ms / 1_000) as u32)).collect() };
                Ok(timestamps(ticks, if fine { 3 } else { 0 }, ids.nulls().cloned()))
            }))
        });
    }
    add(registry, "to_relative_subsecond_num", |cx: &BindContext, args: &[ArgInfo]| {
        const NAME: &str = "to_relative_subsecond_num";
        check_count(NAME, args, 1..=2)?;
        if !args[0].ty.bare().is_date_or_time() {
            return Err(illegal(NAME, args, 0, "a date or a datetime"));
        }
        let (ty, zone) = (args[0].ty.clone(), cx.zone);
        Ok(unary(LogicalType::Int64, move |array: &ArrayRef| {
            let times = Times::new(array, &ty, zone);
            let ms = |row| times.utc(row).wrapping_mul(1_000).wrapping_add(times.nanos(row) / 1_000_000);
            Ok(Arc::new(Int64Array::from_iter_values((0..array.len()).map(ms))) as ArrayRef)
        }))
    });
}
