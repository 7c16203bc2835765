//! Numbers for people: sizes, quantities, spans of time, bars.

use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{Floats, Texts, float64s, texts};
use crate::scalar::define::{Call, define};
use hydron_base::{Error, Result};
use hydron_types::LogicalType;

const BINARY: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];
const DECIMAL: [&str; 9] = ["B", "KB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const QUANTITY: [&str; 6] = ["", "thousand", "million", "billion", "trillion", "quadrillion"];

pub(super) fn register(registry: &mut Registry) {
    scaled(registry, "format_readable_size", 1024.0, &BINARY);
    scaled(registry, "format_readable_decimal_size", 1000.0, &DECIMAL);
    scaled(registry, "format_readable_quantity", 1000.0, &QUANTITY);
    define(registry, "format_readable_time_delta", |call| {
        call.arity(1..=2)?;
        call.need_number(0)?;
        let largest = match call.args.len() {
            2 => {
                let name = String::from_utf8_lossy(call.constant_text(1)?).into_owned();
                UNITS.iter().position(|(n, _)| name == format!("{n}s")).ok_or_else(|| {
                    Error::bad_arguments(format!(
                        "\"{name}\" is no unit: use years, months, days, hours, minutes or seconds"
                    ))
                })?
            }
            _ => 0,
        };
        let ty = call.ty(0).clone();
        call.returns(LogicalType::String, move |args, rows| {
            let values = Floats::of(&args[0], &ty)?;
            texts(rows, |row, out| out.extend_from_slice(time_delta(values.at(row), largest).as_bytes()))
        })
    });
    define(registry, "parse_time_delta", |call| {
        call.arity(1..=1)?;
        call.need_string(0)?;
        call.returns(LogicalType::Float64, |args, rows| {
            let text = Texts::of(&args[0])?;
            let values = (0..rows).map(|i| parse_time_delta(text.at(i))).collect::<Result<Vec<f64>>>()?;
            Ok(float64s(rows, |i| values[i]))
        })
    });
    define(registry, "bar", bar);
}

fn scaled(registry: &mut Registry, name: &str, step: f64, units: &'static [&'static str]) {
    define(registry, name, move |call| {
        call.arity(1..=1)?;
        call.need_number(0)?;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::String, move |args, rows| {
            let values = Floats::of(&args[0], &ty)?;
            texts(rows, |row, out| {
                let mut value = values.at(row);
                let mut unit = 0;
                while unit + 1 < units.len() && value.abs() >= step {
                    value /= step;
                    unit += 1;
                }
                let space = if units[unit].is_empty() { "" } else { " " };
                out.extend_from_slice(format!("{value:.2}{space}{}", units[unit]).as_bytes());
            })
        })
    });
}

/// Names and seconds, the largest first; a year is 365 days and a month 30.5, as in ClickHouse.
const UNITS: [(&str, f64); 6] = [
    ("year", 31_536_000.0),
    ("month", 2_635_200.0),
    ("day", 86_400.0),
    ("hour", 3_600.0),
    ("minute", 60.0),
    ("second", 1.0),
];

fn time_delta(seconds: f64, largest: usize) -> String {
    if !seconds.is_finite() {
        return seconds.to_string();
    }
    let mut rest = seconds.abs();
    let mut parts = Vec::new();
    for (name, length) in &UNITS[largest..] {
        let count = (rest / length).floor();
        rest -= count * length;
        if count > 0.0 {
            parts.push(format!("{count} {name}{}", if count == 1.0 { "" } else { "s" }));
        }
    }
    let sign = if seconds < 0.0 { "- " } else { "" };
    match parts.as_slice() {
        [] => "0 seconds".to_owned(),
        [one] => format!("{sign}{one}"),
        [first @ .., last] => format!("{sign}{} and {last}", first.join(", ")),
    }
}

/// Seconds of `1 min 35 sec`, `1yr2mo`, `11s+22min`: numbers with units, separated by anything that is neither.
fn parse_time_delta(text: &[u8]) -> Result<f64> {
    let wrong = || Error::bad_arguments(format!("\"{}\" is no span of time", String::from_utf8_lossy(text)));
    let text = std::str::from_utf8(text).map_err(|_| wrong())?.trim();
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(wrong)?;
        if rest[..digits].ends_with('.') {
            return Err(wrong());
        }
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic() && c != 'μ').unwrap_or(rest.len());
        total += number * unit_seconds(&rest[..letters]).ok_or_else(wrong)?;
        let separators = |c: char| c.is_ascii_whitespace() || matches!(c, ';' | '-' | '+' | ',' | ':');
        // An abbreviation may end in a point.
        let after = &rest[letters..];
        let after = after.strip_prefix('.').unwrap_or(after);
        rest = after.trim_start_matches(separators);
        if rest.is_empty() && !after.is_empty() {
            return Err(wrong());
        }
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

fn unit_seconds(name: &str) -> Option<f64> {
    Some(match name {
        "years" | "year" | "yr" | "y" => 31_536_000.0,
        "months" | "month" | "mo" => 2_635_200.0,
        "weeks" | "week" | "w" => 604_800.0,
        "days" | "day" | "d" => 86_400.0,
        "hours" | "hour" | "hr" | "h" => 3_600.0,
        "minutes" | "minute" | "min" | "m" => 60.0,
        "seconds" | "second" | "sec" | "s" => 1.0,
        "milliseconds" | "millisecond" | "millisec" | "ms" => 1e-3,
        "microseconds" | "microsecond" | "microsec" | "us" | "μs" => 1e-6,
        "nanoseconds" | "nanosecond" | "nanosec" | "ns" => 1e-9,
        _ => return None,
    })
}

/// `bar(x, min, max[, width])`: a bar of block characters, in eighths.
fn bar(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(3..=4)?;
    (0..call.args.len()).try_for_each(|i| call.need_number(i))?;
    let width = if call.args.len() == 4 { call.constant(3)?.as_f64().unwrap_or(80.0) } else { 80.0 };
    if !(1.0..=1000.0).contains(&width) {
        let code = hydron_base::Code::ARGUMENT_OUT_OF_BOUND;
        return Err(Error::new(code, format!("the width of a bar must be within 1 and 1000, given {width}")));
    }
    let types = call.types();
    call.returns(LogicalType::String, move |args, rows| {
        let side = |i: usize| Floats::of(&args[i], &types[i]);
        let (value, low, high) = (side(0)?, side(1)?, side(2)?);
        texts(rows, |row, out| {
            let (v, low, high) = (value.at(row), low.at(row), high.at(row));
            let filled =
                if v.is_nan() || v < low { 0.0 } else { ((v.min(high) - low) / (high - low) * width).min(width) };
            let eighths = (filled * 8.0) as usize;
            let mut text = "█".repeat(eighths / 8);
            let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
            text.push_str(parts[eighths % 8]);
            out.extend_from_slice(text.as_bytes());
        })
    })
}
