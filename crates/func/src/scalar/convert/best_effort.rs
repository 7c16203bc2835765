//! Times from loose text: `parse_datetime_best_effort` and its variants, and `to_time`.

use super::function::{add, add_custom, check_count, constant_number, illegal, zone_argument};
use crate::call::{ArgInfo, BindContext, BoundCall};
use crate::registry::Registry;
use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use hydron_base::{Code, Error, Result};
use hydron_types::datetext::parse_best_effort;
use hydron_types::text::read::{best_effort_error, datetime64_ticks};
use hydron_types::time::LocalTime;
use hydron_types::{CastOptions, LogicalType, Zone, cast};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Error,
    Null,
    Zero,
}

pub fn register(registry: &mut Registry) {
    for (base, wide) in [
        ("parse_datetime_best_effort", false),
        ("parse_datetime32_best_effort", false),
        ("parse_datetime64_best_effort", true),
    ] {
        for us in [false, true] {
            for (suffix, failure) in [("", Failure::Error), ("_or_null", Failure::Null), ("_or_zero", Failure::Zero)] {
                let name = format!("{base}{}{suffix}", if us { "_us" } else { "" });
                let function = name.clone();
                let bind = move |cx: &BindContext, args: &[ArgInfo]| bind(cx, &function, wide, us, failure, args);
                if failure == Failure::Null {
                    add_custom(registry, &name, bind);
                } else {
                    add(registry, &name, bind);
                }
            }
        }
    }
    add(registry, "to_time", bind_to_time);
}

fn bind(cx: &BindContext, name: &str, wide: bool, us: bool, failure: Failure, args: &[ArgInfo]) -> Result<BoundCall> {
    check_count(name, args, 1..=if wide { 3 } else { 2 })?;
    if !args[0].ty.bare().is_string_like() && !matches!(args[0].ty.bare(), LogicalType::Nothing) {
        return Err(illegal(name, args, 0, "a string"));
    }
    let scale = if wide && args.len() > 1 { scale(name, args, 1)? } else { 3 };
    let zone = zone_argument(name, args, if wide { 2 } else { 1 })?;
    let ty = if wide { LogicalType::DateTime64(scale, zone) } else { LogicalType::DateTime(zone) };
    Ok(parser(&args[0].ty, ty, zone.unwrap_or(cx.zone), us, failure))
}

fn scale(name: &str, args: &[ArgInfo], position: usize) -> Result<u8> {
    match constant_number(name, args, position)? {
        scale @ 0..=9 => Ok(scale as u8),
        scale => Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, format!("{name}: the scale {scale} is not 0 to 9"))),
    }
}

/// `to_time(text[, zone | scale][, zone])`: what is no time is the epoch.
fn bind_to_time(cx: &BindContext, args: &[ArgInfo]) -> Result<BoundCall> {
    const NAME: &str = "to_time";
    check_count(NAME, args, 1..=3)?;
    if !args[0].ty.bare().is_string_like() {
        return Err(illegal(NAME, args, 0, "a string"));
    }
    let has_scale = args.get(1).is_some_and(|a| a.ty.bare().is_integer());
    let scale = if has_scale { scale(NAME, args, 1)? } else { 3 };
    let zone = zone_argument(NAME, args, 1 + usize::from(has_scale))?;
    Ok(parser(&args[0].ty, LogicalType::DateTime64(scale, zone), zone.unwrap_or(cx.zone), true, Failure::Zero))
}

fn parser(from: &LogicalType, ty: LogicalType, zone: Zone, us: bool, failure: Failure) -> BoundCall {
    let from = from.clone();
    let result = if failure == Failure::Null { LogicalType::nullable(ty.clone()) } else { ty.clone() };
    let scale = if let LogicalType::DateTime64(scale, _) = &ty { Some(*scale) } else { None };
    super::function::unary(result, move |array: &ArrayRef| {
        let text = LogicalType::nullable(LogicalType::String);
        let strings = cast(array, &from, &text, &CastOptions::wrap(zone))?;
        if strings.data_type() == &arrow::datatypes::DataType::Null {
            return Ok(arrow::array::new_null_array(&hydron_types::physical::arrow_type(&ty), array.len()));
        }
        let strings = crate::call::downcast::<arrow::array::BinaryArray>(&strings)?;
        let local = LocalTime::new(zone);
        let mut ticks = Vec::with_capacity(strings.len());
        let mut valid = vec![true; strings.len()];
        for (value, valid) in strings.iter().zip(&mut valid) {
            let Some(value) = value else {
                ticks.push(0);
                *valid = false;
                continue;
            };
            match parse_best_effort(value, us, &local) {
                Ok(parsed) => ticks.push(match scale {
                    Some(scale) => datetime64_ticks(&parsed, scale),
                    None => i64::from(parsed.seconds as u32),
                }),
                Err(e) if failure == Failure::Error => return Err(best_effort_error(e, value, &ty)),
                Err(_) => {
                    ticks.push(0);
                    *valid = failure == Failure::Zero;
                }
            }
        }
        let nulls = NullBuffer::from(valid);
        Ok(crate::scalar::datetime::arith::timestamps(ticks, scale.unwrap_or(0), Some(nulls)))
    })
}
