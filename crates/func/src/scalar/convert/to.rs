//! The `to_…` family: one function for each target type, with `_or_null`, `_or_zero` and `_or_default`.

use super::function::{
    add_conversion, add_custom, check_count, constant_number, constant_text, illegal, not_constant, rowwise, unary,
    zone_argument, zone_of,
};
use crate::call::{ArgInfo, BindContext, BoundCall};
use crate::registry::Registry;
use arrow::array::{ArrayRef, BooleanArray};
use hydron_base::{Code, Error, Result};
use hydron_types::parse::{checked_decimal, interval_unit};
use hydron_types::{CastMode, CastOptions, LogicalType, Value, Zone, can_cast, cast};
use std::sync::Arc;

/// What a function of the family converts to.
#[derive(Clone, Copy)]
enum Target {
    Plain(fn() -> LogicalType),
    /// The scale is the second argument; the precision is this.
    Decimal(i64),
    FixedString,
    DateTime,
    DateTime64,
}

pub fn register(registry: &mut Registry) {
    use LogicalType as T;
    let plain: &[(&str, fn() -> T)] = &[
        ("to_int8", || T::Int8),
        ("to_int16", || T::Int16),
        ("to_int32", || T::Int32),
        ("to_int64", || T::Int64),
        ("to_int128", || T::Int128),
        ("to_int256", || T::Int256),
        ("to_uint8", || T::UInt8),
        ("to_uint16", || T::UInt16),
        ("to_uint32", || T::UInt32),
        ("to_uint64", || T::UInt64),
        ("to_uint128", || T::UInt128),
        ("to_uint256", || T::UInt256),
        ("to_float32", || T::Float32),
        ("to_float64", || T::Float64),
        ("to_date32", || T::Date32),
        ("to_bool", || T::Bool),
        ("to_uuid", || T::Uuid),
        ("to_ipv4", || T::Ipv4),
        ("to_ipv6", || T::Ipv6),
    ];
    for (name, ty) in plain {
        add_family(registry, name, Target::Plain(*ty));
    }
    for (name, precision) in [("to_decimal32", 9), ("to_decimal64", 18), ("to_decimal128", 38), ("to_decimal256", 76)] {
        add_family(registry, name, Target::Decimal(precision));
    }
    add_family(registry, "to_datetime", Target::DateTime);
    add_family(registry, "to_datetime32", Target::DateTime);
    add_family(registry, "to_datetime64", Target::DateTime64);
    // `to_date` gives the wide type; its forgiving variants give the narrow one.
    add_family(registry, "to_date", Target::Plain(|| T::Date));
    add_one(registry, "to_date", Target::Plain(|| T::Date32), Fallback::Error);
    add_one(registry, "date", Target::Plain(|| T::Date32), Fallback::Error);
    add_one(registry, "to_date16", Target::Plain(|| T::Date), Fallback::Error);
    add_one(registry, "to_int", Target::Plain(|| T::Int32), Fallback::Error);
    add_one(registry, "to_float", Target::Plain(|| T::Float32), Fallback::Error);
    add_one(registry, "to_decimal", Target::Decimal(9), Fallback::Error);
    add_one(registry, "to_fixed_string", Target::FixedString, Fallback::Error);
    registry.fold_case("date");
    registry.fold_case("to_date");
    add_conversion(registry, "to_string", bind_to_string);
    add_custom(registry, "to_string_cut_to_zero", bind_cut_to_zero);
    for unit in [
        "nanosecond",
        "microsecond",
        "millisecond",
        "second",
        "minute",
        "hour",
        "day",
        "week",
        "month",
        "quarter",
        "year",
    ] {
        if let Some(unit) = interval_unit(unit) {
            let name = format!("to_interval_{}", unit.name());
            let function = name.clone();
            add_conversion(registry, &name, move |cx: &BindContext, args: &[ArgInfo]| {
                check_count(&function, args, 1..=1)?;
                convert(cx, &function, args, T::Interval(unit), cx.zone)
            });
        }
    }
}

/// What a value that does not fit becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fallback {
    Error,
    Null,
    Zero,
    Default,
}

fn add_family(registry: &mut Registry, name: &str, target: Target) {
    add_one(registry, name, target, Fallback::Error);
    add_one(registry, &format!("{name}_or_null"), target, Fallback::Null);
    add_one(registry, &format!("{name}_or_zero"), target, Fallback::Zero);
    add_one(registry, &format!("{name}_or_default"), target, Fallback::Default);
}

fn add_one(registry: &mut Registry, name: &str, target: Target, fallback: Fallback) {
    let function = name.to_string();
    add_conversion(registry, name, move |cx: &BindContext, args: &[ArgInfo]| {
        bind(cx, &function, target, fallback, args)
    });
}

fn bind(cx: &BindContext, name: &str, target: Target, fallback: Fallback, args: &[ArgInfo]) -> Result<BoundCall> {
    if args.len() > 1 && fallback == Fallback::Error && args.iter().any(|a| is_null(&a.ty)) {
        // Of a NULL anywhere comes NULL, before anything else is asked of the arguments.
        return Ok(unary(LogicalType::Nothing, |array: &ArrayRef| {
            Ok(arrow::array::new_null_array(&arrow::datatypes::DataType::Null, array.len()))
        }));
    }
    let extra = usize::from(fallback == Fallback::Default);
    let (needed, optional) = match target {
        Target::Plain(_) => (1, 1),
        Target::Decimal(_) | Target::FixedString => (2, 0),
        Target::DateTime => (1, 2),
        Target::DateTime64 => (1, 2),
    };
    check_count(name, args, needed..=needed + optional + extra)?;
    let (ty, zone, used) = target_type(cx, name, target, args)?;
    if let (Some(zone), Fallback::Error) = (zone, fallback) {
        return convert_in_zone(cx, name, args, ty, zone);
    }
    let zone = zone.or_else(|| zone_of(&ty)).unwrap_or(cx.zone);
    match fallback {
        Fallback::Error => convert(cx, name, args, ty, zone),
        Fallback::Null | Fallback::Zero => {
            if !args[0].ty.bare().is_string_like() && !is_null(&args[0].ty) {
                return Err(illegal(name, args, 0, "a string"));
            }
            let mode = if fallback == Fallback::Null { CastMode::OrNull } else { CastMode::OrDefault };
            let nullable = fallback == Fallback::Null || args[0].ty.is_nullable();
            Ok(converter(cx, &args[0].ty, if nullable { LogicalType::nullable(ty) } else { ty }, zone, mode))
        }
        Fallback::Default => with_default(cx, name, args, ty, zone, used),
    }
}

/// The target type, the zone of an argument, and how many arguments were used.
fn target_type(
    cx: &BindContext,
    name: &str,
    target: Target,
    args: &[ArgInfo],
) -> Result<(LogicalType, Option<Zone>, usize)> {
    use LogicalType as T;
    let text_at = |position: usize| args.get(position).is_some_and(|a| a.ty.bare().is_string_like());
    let scale_at = |position: usize| -> Result<u8> {
        match constant_number(name, args, position)? {
            scale @ 0..=9 => Ok(scale as u8),
            scale => Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, format!("{name}: the scale {scale} is not 0 to 9"))),
        }
    };
    // A time keeps the zone that its type names.
    let inherited = zone_of(&args[0].ty);
    let _ = cx;
    Ok(match target {
        Target::Plain(ty) => {
            let ty = ty();
            let zone = match &ty {
                // A number is a day or a second, whatever the zone: its name is not looked at.
                T::Date | T::Date32 if text_at(1) && is_plain_number(&args[0].ty) => None,
                T::Date | T::Date32 if text_at(1) => zone_argument(name, args, 1)?,
                _ => None,
            };
            let used = 1 + usize::from(matches!(ty, T::Date | T::Date32) && text_at(1));
            (ty, zone, used)
        }
        Target::Decimal(precision) => (checked_decimal(precision, constant_number(name, args, 1)?)?, None, 2),
        Target::FixedString => {
            let length = constant_number(name, args, 1)?;
            match u32::try_from(length) {
                Ok(n @ 1..=0xFF_FFFF) => (T::FixedString(n), None, 2),
                _ => {
                    return Err(Error::new(
                        Code::ARGUMENT_OUT_OF_BOUND,
                        format!("{name}: the length {length} is not 1 to 16777215"),
                    ));
                }
            }
        }
        Target::DateTime if args.len() > 1 && !text_at(1) && args[1].ty.bare().is_integer() => {
            let scale = scale_at(1)?;
            let zone = if text_at(2) { zone_argument(name, args, 2)? } else { None };
            (T::DateTime64(scale, zone.or(inherited)), None, 2 + usize::from(zone.is_some()))
        }
        Target::DateTime => {
            let zone = match args.get(1) {
                Some(arg) if arg.ty.bare().is_string_like() => zone_argument(name, args, 1)?,
                // The default of `_or_default` may come right after the value.
                Some(arg) if arg.ty.is_date_or_time() => None,
                Some(_) => return Err(illegal(name, args, 1, "a time zone or a scale")),
                None => None,
            };
            (T::DateTime(zone.or(inherited)), None, 1 + usize::from(zone.is_some()))
        }
        Target::DateTime64 => {
            let has_scale = args.len() > 1 && !args[1].ty.is_date_or_time();
            let scale = if has_scale { scale_at(1)? } else { 3 };
            let zone = if text_at(2) { zone_argument(name, args, 2)? } else { None };
            (T::DateTime64(scale, zone.or(inherited)), None, 1 + usize::from(has_scale) + usize::from(zone.is_some()))
        }
    })
}

fn is_plain_number(ty: &LogicalType) -> bool {
    ty.bare().is_number() || matches!(ty.bare(), LogicalType::Bool)
}

fn is_null(ty: &LogicalType) -> bool {
    matches!(ty.bare(), LogicalType::Nothing)
}

/// Converts argument 0 to `ty`, nullable when the argument is.
fn convert(cx: &BindContext, name: &str, args: &[ArgInfo], ty: LogicalType, zone: Zone) -> Result<BoundCall> {
    let from = &args[0].ty;
    if matches!(ty, LogicalType::FixedString(_)) && !is_null(from) && !from.bare().is_string_like() {
        let text = format!("{name} does not take {from}: only strings become fixed strings");
        return Err(Error::new(Code::NOT_IMPLEMENTED, text));
    }
    if matches!(ty, LogicalType::Uuid) && from.bare().is_number() {
        let text = format!("{name} does not take {from}: a uuid is written in quotes");
        return Err(Error::new(Code::NOT_IMPLEMENTED, text));
    }
    if !is_null(from) && !can_cast(from.bare(), &ty) {
        let composite = matches!(
            from.bare(),
            LogicalType::Array(_) | LogicalType::Tuple(_) | LogicalType::Map(..) | LogicalType::Json
        );
        return Err(if composite {
            illegal(name, args, 0, &format!("a type with a conversion to {ty}"))
        } else {
            Error::new(Code::CANNOT_CONVERT_TYPE, format!("{name}: there is no conversion from {from} to {ty}"))
        });
    }
    let to = if from.is_nullable() { LogicalType::nullable(ty) } else { ty };
    Ok(converter(cx, from, to, zone, CastMode::Wrap))
}

/// Like [`convert`], for dates: a time argument is read on the wall clock of `zone`.
fn convert_in_zone(cx: &BindContext, name: &str, args: &[ArgInfo], ty: LogicalType, zone: Zone) -> Result<BoundCall> {
    let mut args = args.to_vec();
    let nullable = args[0].ty.is_nullable();
    let moved = match args[0].ty.bare() {
        LogicalType::DateTime(_) => LogicalType::DateTime(Some(zone)),
        LogicalType::DateTime64(scale, _) => LogicalType::DateTime64(*scale, Some(zone)),
        other => other.clone(),
    };
    args[0].ty = if nullable { LogicalType::nullable(moved) } else { moved };
    convert(cx, name, &args, ty, zone)
}

fn options(cx: &BindContext, zone: Zone, mode: CastMode) -> CastOptions {
    CastOptions {
        zone,
        mode,
        best_effort: cx.settings.text("date_time_input_format") == "best_effort",
        ip_default_on_error: cx.settings.bool("cast_ipv4_ipv6_default_on_conversion_error"),
    }
}

fn converter(cx: &BindContext, from: &LogicalType, to: LogicalType, zone: Zone, mode: CastMode) -> BoundCall {
    let (from, target) = (from.clone(), to.clone());
    let options = options(cx, zone, mode);
    unary(to, move |array: &ArrayRef| cast(array, &from, &target, &options))
}

/// `to_…_or_default(x[, scale][, default])`.
fn with_default(
    cx: &BindContext,
    name: &str,
    args: &[ArgInfo],
    ty: LogicalType,
    zone: Zone,
    used: usize,
) -> Result<BoundCall> {
    let given = match &args[used.min(args.len())..] {
        [] => None,
        [default] if same_but_for_zone(default.ty.bare(), &ty) => Some(default),
        [_] => return Err(illegal(name, args, used, &format!("{ty}, as the result"))),
        _ => {
            return Err(Error::new(
                Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH,
                format!("{name} takes at most {} arguments", used + 1),
            ));
        }
    };
    let default = match given {
        None => Value::default_of(&ty),
        Some(ArgInfo { constant: Some(value), ty: own, .. }) => {
            let one = hydron_types::array_of(value, own, 1)?;
            hydron_types::value_at(&cast(&one, own, &ty, &CastOptions::wrap(zone))?, &ty, 0)
        }
        Some(_) => return Err(not_constant(name, used)),
    };
    Ok(replaced_by(options(cx, zone, default_mode(&args[0].ty)), args[0].ty.clone(), ty, default))
}

fn same_but_for_zone(a: &LogicalType, b: &LogicalType) -> bool {
    match (a, b) {
        (LogicalType::DateTime(_), LogicalType::DateTime(_)) => true,
        (LogicalType::DateTime64(x, _), LogicalType::DateTime64(y, _)) => x == y,
        _ => a == b,
    }
}

/// Texts that do not parse and numbers that would change.
pub fn default_mode(from: &LogicalType) -> CastMode {
    if from.bare().is_string_like() { CastMode::OrNull } else { CastMode::AccurateOrNull }
}

/// A cast whose failures become `default`; NULLs stay NULL when the argument is nullable.
pub fn replaced_by(options: CastOptions, from: LogicalType, ty: LogicalType, default: Value) -> BoundCall {
    let keeps_nulls = from.is_nullable() && !matches!(from, LogicalType::Nothing);
    let result = if keeps_nulls { LogicalType::nullable(ty.clone()) } else { ty.clone() };
    let strict = CastOptions { mode: CastMode::OrDefault, ..options.clone() };
    rowwise(result.clone(), move |arrays: &[ArrayRef], _| {
        let array = &arrays[0];
        let wide = LogicalType::Nullable(Box::new(ty.clone()));
        let tried = cast(array, &from, &wide, &options)?;
        let failed = arrow::compute::is_null(&tried).map_err(crate::call::arrow_error)?;
        let source_null = arrow::compute::is_null(array).map_err(crate::call::arrow_error)?;
        let replace: BooleanArray = match keeps_nulls {
            true => arrow::compute::and_not(&failed, &source_null).map_err(crate::call::arrow_error)?,
            false => failed,
        };
        if replace.true_count() == 0 {
            return cast(&tried, &wide, &result, &strict);
        }
        let one = hydron_types::array_of(&default, &ty, 1)?;
        let zipped = arrow::compute::kernels::zip::zip(&replace, &arrow::array::Scalar::new(one), &tried)
            .map_err(crate::call::arrow_error)?;
        cast(&zipped, &wide, &result, &strict)
    })
}

fn bind_to_string(cx: &BindContext, args: &[ArgInfo]) -> Result<BoundCall> {
    check_count("to_string", args, 1..=2)?;
    match args.len() {
        1 => convert(cx, "to_string", args, LogicalType::String, cx.zone)
            .or_else(|_| Ok(converter(cx, &args[0].ty, string_of(&args[0].ty), cx.zone, CastMode::Wrap))),
        _ => {
            if !matches!(args[0].ty.bare(), LogicalType::DateTime(_) | LogicalType::DateTime64(..)) {
                return Err(illegal("to_string", args, 0, "a datetime when a time zone is given"));
            }
            let zone = Zone::parse(constant_text("to_string", args, 1)?)?;
            convert_in_zone(cx, "to_string", args, LogicalType::String, zone)
        }
    }
}

fn string_of(from: &LogicalType) -> LogicalType {
    if from.is_nullable() { LogicalType::nullable(LogicalType::String) } else { LogicalType::String }
}

fn bind_cut_to_zero(_: &BindContext, args: &[ArgInfo]) -> Result<BoundCall> {
    const NAME: &str = "to_string_cut_to_zero";
    check_count(NAME, args, 1..=1)?;
    if !args[0].ty.bare().is_string_like() {
        return Err(illegal(NAME, args, 0, "a string"));
    }
    let (from, to) = (args[0].ty.clone(), string_of(&args[0].ty));
    let wide = LogicalType::nullable(LogicalType::String);
    Ok(unary(to, move |array: &ArrayRef| {
        let strings = cast(array, &from, &wide, &CastOptions::wrap(Zone::UTC))?;
        let strings = crate::call::downcast::<arrow::array::BinaryArray>(&strings)?;
        let cut = strings.iter().map(|s| s.map(|s| &s[..memchr::memchr(0, s).unwrap_or(s.len())]));
        Ok(Arc::new(cut.collect::<arrow::array::BinaryArray>()) as ArrayRef)
    }))
}
