//! Half hours and other slots that a visit touches.

use super::arith::timestamps;
use super::times::{Times, time_argument};
use crate::call::{ArgInfo, BindContext, BoundCall};
use crate::registry::Registry;
use crate::scalar::column::end_offset;
use crate::scalar::convert::function::{add, check_count, constant_number, illegal, not_constant, rowwise, zone_of};
use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Decimal64Type, Int64Type};
use hydron_base::memory::make_room;
use hydron_base::{Code, Error, Result};
use hydron_types::column::{list_array, time_values};
use hydron_types::wide::pow10_i64;
use hydron_types::{CastOptions, LogicalType, Value, cast};

const HALF_HOUR: i64 = 1_800;
/// A duration may touch this many slots; a longer one is an error, not an exhausted memory.
const SLOTS_MAX: i64 = 10_000_000;

pub fn register(registry: &mut Registry) {
    add(registry, "time_slot", |cx: &BindContext, args: &[ArgInfo]| {
        check_count("time_slot", args, 1..=2)?;
        let (named, zone) = time_argument("time_slot", args, 0, 1, cx.zone)?;
        if matches!(args[0].ty.bare(), LogicalType::Date | LogicalType::Date32) {
            return Err(illegal("time_slot", args, 0, "a datetime"));
        }
        let ty = args[0].ty.clone();
        Ok(rowwise(LogicalType::DateTime(named), move |arrays: &[ArrayRef], rows| {
            let times = Times::new(&arrays[0], &ty, zone);
            Ok(timestamps((0..rows).map(|row| times.utc(row).div_euclid(HALF_HOUR) * HALF_HOUR).collect(), 0, None))
        }))
    });
    add(registry, "time_slots", |_: &BindContext, args: &[ArgInfo]| {
        check_count("time_slots", args, 2..=3)?;
        match args[0].ty.bare() {
            LogicalType::DateTime(_) => bind_plain(args),
            LogicalType::DateTime64(scale, _) => bind_wide(args, *scale),
            _ => Err(illegal("time_slots", args, 0, "a datetime")),
        }
    });
}

fn size_error() -> Error {
    Error::new(Code::ILLEGAL_COLUMN, "time_slots: the size of a slot must be positive")
}

/// Lists of multiples of `slot` from `start` to `start + duration`, in ticks.
fn slots(ty: &LogicalType, scale: u8, rows: usize, range: impl Fn(usize) -> (i64, i64), slot: i64) -> Result<ArrayRef> {
    let mut ticks = Vec::new();
    let mut offsets = vec![0i32];
    for row in 0..rows {
        let (start, duration) = range(row);
        let (first, last) = (start.div_euclid(slot), start.saturating_add(duration).div_euclid(slot));
        if last.saturating_sub(first) > SLOTS_MAX {
            return Err(Error::new(
                Code::TOO_LARGE_ARRAY_SIZE,
                format!("time_slots: a row would have more than {SLOTS_MAX} slots"),
            ));
        }
        make_room(&mut ticks, (last.saturating_sub(first).max(-1) + 1) as usize)?;
        ticks.extend((first..=last).map(|i| i * slot));
        offsets.push(end_offset(ticks.len())?);
    }
    list_array(ty, OffsetBuffer::new(offsets.into()), timestamps(ticks, scale, None), None)
}

fn bind_plain(args: &[ArgInfo]) -> Result<BoundCall> {
    const NAME: &str = "time_slots";
    if !args[1].ty.bare().is_integer() {
        return Err(illegal(NAME, args, 1, "a whole number of seconds"));
    }
    let slot = if args.len() > 2 { constant_number(NAME, args, 2)? } else { HALF_HOUR };
    if slot <= 0 {
        return Err(size_error());
    }
    let ty = LogicalType::array(LogicalType::DateTime(zone_of(&args[0].ty)));
    let (duration, result) = (LogicalType::nullable(args[1].ty.clone()), ty.clone());
    Ok(rowwise(ty, move |arrays: &[ArrayRef], rows| {
        let wide = LogicalType::nullable(LogicalType::Int64);
        let durations = cast(&arrays[1], &duration, &wide, &CastOptions::wrap(hydron_types::Zone::UTC))?;
        let (starts, durations) = (time_values(arrays[0].as_ref()), durations.as_primitive::<Int64Type>());
        slots(&result, 0, rows, |row| (starts[row], durations.value(row)), slot)
    }))
}

/// With decimals of 64 bits: the slots have the finest of the three scales.
fn bind_wide(args: &[ArgInfo], scale: u8) -> Result<BoundCall> {
    const NAME: &str = "time_slots";
    let scale_of = |i: usize| match args[i].ty.bare() {
        LogicalType::Decimal { precision: 10..=18, scale } => Ok(*scale),
        _ => Err(illegal(NAME, args, i, "a decimal64")),
    };
    let duration_scale = scale_of(1)?;
    let (slot_scale, slot) = match args.get(2) {
        None => (0, HALF_HOUR),
        Some(arg) => match (scale_of(2)?, &arg.constant) {
            (scale, Some(Value::Decimal(v))) => (scale, v.to_i128().map_or(0, |v| v as i64)),
            _ => return Err(not_constant(NAME, 2)),
        },
    };
    if slot <= 0 {
        return Err(size_error());
    }
    let out = scale.max(duration_scale).max(slot_scale);
    if out > 9 {
        return Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, format!("{NAME}: the scale {out} is more than 9")));
    }
    let item = LogicalType::DateTime64(out, zone_of(&args[0].ty));
    let (ty, from, to) =
        (LogicalType::array(item.clone()), LogicalType::nullable(args[0].ty.clone()), LogicalType::nullable(item));
    let result = ty.clone();
    Ok(rowwise(ty, move |arrays: &[ArrayRef], rows| {
        let starts = cast(&arrays[0], &from, &to, &CastOptions::wrap(hydron_types::Zone::UTC))?;
        let digits = hydron_types::physical::digits_of_unit(hydron_types::physical::unit_of_scale(out));
        let (starts, durations) = (time_values(starts.as_ref()), arrays[1].as_primitive::<Decimal64Type>());
        let range = |row: usize| (starts[row], durations.value(row).saturating_mul(pow10_i64(digits - duration_scale)));
        slots(&result, out, rows, range, slot.saturating_mul(pow10_i64(digits - slot_scale)))
    }))
}
