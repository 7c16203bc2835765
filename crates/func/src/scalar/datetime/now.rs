//! The clock of the query: its start, or in a stream that of the batch.

use super::arith::timestamps;
use crate::call::{ArgInfo, BindContext, BoundCall, Datum, EvalContext, Volatility};
use crate::registry::Registry;
use crate::scalar::convert::function::{add, check_count, constant_number, zone_argument};
use arrow::array::*;
use hydron_base::{Code, Error, Result};
use hydron_types::physical::{digits_of_unit, unit_of_scale};
use hydron_types::time::LocalTime;
use hydron_types::wide::pow10_i64;
use hydron_types::{LogicalType, Zone};
use std::sync::Arc;

pub fn register(registry: &mut Registry) {
    for name in ["now", "now_in_block"] {
        add(registry, name, move |_: &BindContext, args: &[ArgInfo]| {
            check_count(name, args, 0..=1)?;
            Ok(seconds(zone_argument(name, args, 0)?))
        });
    }
    registry.add_alias("current_timestamp", "now");
    registry.fold_case("now");
    registry.fold_case("current_timestamp");
    add(registry, "utc_timestamp", |_: &BindContext, args: &[ArgInfo]| {
        check_count("utc_timestamp", args, 0..=0)?;
        Ok(seconds(Some(Zone::UTC)))
    });
    registry.fold_case("utc_timestamp");
    add(registry, "now64", bind_now64);
    registry.fold_case("now64");
    for (name, back) in [("today", 0), ("yesterday", 1)] {
        add(registry, name, move |cx: &BindContext, args: &[ArgInfo]| {
            check_count(name, args, 0..=0)?;
            let zone = cx.zone;
            let call = BoundCall::new(LogicalType::Date, move |cx: &EvalContext, _: &[Datum], _| {
                let day = LocalTime::new(zone).day_of(cx.now.0.div_euclid(1_000_000)) - back;
                Ok(Datum::Scalar(Arc::new(Date32Array::from(vec![day]))))
            });
            Ok(call.volatility(Volatility::Stable))
        });
    }
    for alias in ["current_date", "curdate"] {
        registry.add_alias(alias, "today");
        registry.fold_case(alias);
    }
    registry.fold_case("today");
    // The time before all others: a stream read from it is read from its beginning.
    for name in ["earliest_ts", "earliest_timestamp"] {
        add(registry, name, move |_: &BindContext, args: &[ArgInfo]| {
            check_count(name, args, 0..=1)?;
            let zone = zone_argument(name, args, 0)?;
            Ok(BoundCall::new(LogicalType::DateTime(zone), |_: &EvalContext, _: &[Datum], _| {
                Ok(Datum::Scalar(Arc::new(TimestampSecondArray::from(vec![0]))))
            }))
        });
    }
}

fn seconds(zone: Option<Zone>) -> BoundCall {
    let call = BoundCall::new(LogicalType::DateTime(zone), |cx: &EvalContext, _: &[Datum], _| {
        Ok(Datum::Scalar(Arc::new(TimestampSecondArray::from(vec![cx.now.0.div_euclid(1_000_000)]))))
    });
    call.volatility(Volatility::Stable)
}

fn bind_now64(_: &BindContext, args: &[ArgInfo]) -> Result<BoundCall> {
    check_count("now64", args, 0..=2)?;
    let scale = match args.len() {
        0 => 3,
        _ => match constant_number("now64", args, 0)? {
            scale @ 0..=9 => scale as u8,
            scale => {
                return Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, format!("now64: the scale {scale} is not 0 to 9")));
            }
        },
    };
    let zone = zone_argument("now64", args, 1)?;
    let call = BoundCall::new(LogicalType::DateTime64(scale, zone), move |cx: &EvalContext, _: &[Datum], _| {
        // Wall time has microseconds; what the scale does not print is cut.
        let digits = digits_of_unit(unit_of_scale(scale));
        let cut = pow10_i64(6 - scale.min(6));
        let micros = cx.now.0.div_euclid(cut) * cut;
        let ticks = if digits >= 6 { micros * pow10_i64(digits - 6) } else { micros.div_euclid(pow10_i64(6 - digits)) };
        Ok(Datum::Scalar(timestamps(vec![ticks], scale, None)))
    });
    Ok(call.volatility(Volatility::Stable))
}
