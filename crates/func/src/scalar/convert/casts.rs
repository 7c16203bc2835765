//! `cast` and its kin: conversions whose target is a type given as text.

use super::function::{add, add_custom, check_count, constant_text, illegal, not_constant, unary};
use super::to::{default_mode, replaced_by};
use crate::call::{ArgInfo, BindContext, BoundCall, Datum, EvalContext};
use crate::registry::Registry;
use arrow::array::{ArrayRef, BinaryArray};
use hydron_base::{Code, Error, Result};
use hydron_types::{CastMode, CastOptions, LogicalType, Value, cast, parse_type, parse_type_lenient};
use std::sync::Arc;

pub fn register(registry: &mut Registry) {
    for (name, mode) in [
        ("cast", CastMode::Wrap),
        ("_cast", CastMode::Wrap),
        ("accurate_cast", CastMode::Accurate),
        ("accurate_cast_or_null", CastMode::AccurateOrNull),
    ] {
        add_custom(registry, name, move |cx: &BindContext, args: &[ArgInfo]| bind_cast(cx, name, mode, args));
    }
    registry.fold_case("cast");
    add_custom(registry, "accurate_cast_or_default", bind_or_default);
    super::function::add_seeing_types(registry, "to_type_name", |_: &BindContext, args: &[ArgInfo]| {
        check_count("to_type_name", args, 1..=1)?;
        Ok(constant(shown(&args[0].ty).to_string()))
    });
    add_custom(registry, "to_column_type_name", |_: &BindContext, args: &[ArgInfo]| {
        check_count("to_column_type_name", args, 1..=1)?;
        let column = crate::scalar::shape::column_name(&args[0].ty);
        Ok(constant(if args[0].constant.is_some() { format!("Const({column})") } else { column }))
    });
    add_custom(registry, "to_nullable", |_: &BindContext, args: &[ArgInfo]| {
        check_count("to_nullable", args, 1..=1)?;
        let ty = match &args[0].ty {
            LogicalType::LowCardinality(t) => {
                LogicalType::LowCardinality(Box::new(LogicalType::nullable((**t).clone())))
            }
            ty => hydron_types::parse::nullable(ty.clone())?,
        };
        Ok(unary(ty, |array: &ArrayRef| Ok(Arc::clone(array))))
    });
    add_custom(registry, "assume_not_null", |cx: &BindContext, args: &[ArgInfo]| {
        check_count("assume_not_null", args, 1..=1)?;
        let from = args[0].ty.clone();
        let ty = if from.is_nullable() { from.bare().clone() } else { from.clone() };
        let (to, options) = (ty.clone(), CastOptions::new(cx.zone, CastMode::OrDefault));
        Ok(unary(ty, move |array: &ArrayRef| match to {
            LogicalType::Nothing => Ok(Arc::clone(array)),
            _ => cast(array, &from, &to, &options),
        }))
    });
    add_custom(registry, "to_low_cardinality", |_: &BindContext, args: &[ArgInfo]| {
        check_count("to_low_cardinality", args, 1..=1)?;
        let ty = match &args[0].ty {
            ty @ LogicalType::LowCardinality(_) => ty.clone(),
            ty => LogicalType::LowCardinality(Box::new(ty.clone())),
        };
        Ok(unary(ty, |array: &ArrayRef| Ok(Arc::clone(array))))
    });
    add(registry, "default_value_of_type_name", |_: &BindContext, args: &[ArgInfo]| {
        check_count("default_value_of_type_name", args, 1..=1)?;
        let ty = parse_type(constant_text("default_value_of_type_name", args, 0)?)?;
        let one = hydron_types::array_of(&Value::default_of(&ty), &ty, 1)?;
        Ok(BoundCall::new(ty, move |_: &EvalContext, _: &[Datum], _| Ok(Datum::Scalar(Arc::clone(&one)))))
    });
    add_custom(registry, "default_value_of_argument_type", |_: &BindContext, args: &[ArgInfo]| {
        check_count("default_value_of_argument_type", args, 1..=1)?;
        let ty = args[0].ty.clone();
        let one = hydron_types::array_of(&Value::default_of(&ty), &ty, 1)?;
        Ok(BoundCall::new(ty, move |_: &EvalContext, _: &[Datum], _| Ok(Datum::Scalar(Arc::clone(&one)))))
    });
    registry.add_alias("array_cast", "array");
    registry.add_alias("tuple_cast", "tuple");
    registry.add_alias("map_cast", "map");
}

/// The type as it is shown: that of a NULL beside other values is `nullable(nothing)`; an empty array is one of `nothing`.
fn shown(ty: &LogicalType) -> LogicalType {
    use LogicalType as T;
    match ty {
        T::Nothing => T::Nullable(Box::new(T::Nothing)),
        T::Tuple(elements) => T::Tuple(elements.iter().map(|(n, t)| (n.clone(), shown(t))).collect()),
        T::Map(key, value) if **key != T::Nothing => T::Map(key.clone(), Box::new(shown(value))),
        T::Array(item) if **item != T::Nothing => T::array(shown(item)),
        other => other.clone(),
    }
}

fn constant(text: String) -> BoundCall {
    let one: ArrayRef = Arc::new(BinaryArray::from_vec(vec![text.as_bytes()]));
    BoundCall::new(LogicalType::String, move |_: &EvalContext, _: &[Datum], _| Ok(Datum::Scalar(Arc::clone(&one))))
}

/// The type named by the constant text at `position`.
pub fn type_argument(name: &str, args: &[ArgInfo], position: usize) -> Result<LogicalType> {
    let text = constant_text(name, args, position)?;
    parse_type(text)
}

fn bind_cast(cx: &BindContext, name: &str, mode: CastMode, args: &[ArgInfo]) -> Result<BoundCall> {
    check_count(name, args, 2..=2)?;
    let mut ty = type_argument(name, args, 1)?;
    let from = args[0].ty.clone();
    if mode.makes_nulls() {
        ty = hydron_types::parse::nullable(ty)?;
    }
    if name == "cast"
        && from.is_nullable()
        && cx.settings.bool("cast_keep_nullable")
        && hydron_types::supertype::can_be_nullable(&ty)
    {
        ty = LogicalType::nullable(ty);
    }
    if matches!(from, LogicalType::Nothing) && !ty.is_nullable() && !mode.makes_nulls() {
        return Err(Error::new(
            Code::CANNOT_CONVERT_TYPE,
            format!("{name}: NULL cannot be converted to {ty}, which is not nullable"),
        )
        .hint(format!("nullable({ty})")));
    }
    check_conversion(name, args, &from, &ty)?;
    let options = CastOptions {
        zone: cx.zone,
        mode,
        best_effort: cx.settings.text("date_time_input_format") == "best_effort" && name != "_cast",
        ip_default_on_error: cx.settings.bool("cast_ipv4_ipv6_default_on_conversion_error"),
    };
    let to = ty.clone();
    Ok(unary(ty, move |array: &ArrayRef| cast(array, &from, &to, &options)))
}

fn check_conversion(name: &str, args: &[ArgInfo], from: &LogicalType, to: &LogicalType) -> Result<()> {
    if matches!(from.bare(), LogicalType::Nothing) {
        return Ok(());
    }
    let empty = arrow::array::new_empty_array(&hydron_types::physical::arrow_type(from));
    match cast(&empty, from, to, &CastOptions::wrap(hydron_types::Zone::UTC)) {
        Ok(_) => Ok(()),
        Err(e) if matches!(e.code, Code::CANNOT_CONVERT_TYPE | Code::TYPE_MISMATCH) => {
            Err(e.context(format!("{name}({})", args[0].text)))
        }
        Err(e) => Err(e),
    }
}

fn bind_or_default(cx: &BindContext, args: &[ArgInfo]) -> Result<BoundCall> {
    const NAME: &str = "accurate_cast_or_default";
    check_count(NAME, args, 2..=3)?;
    let ty = type_argument(NAME, args, 1)?;
    check_conversion(NAME, args, &args[0].ty, &ty)?;
    let default = match args.get(2) {
        None => Value::default_of(&ty),
        Some(arg) => {
            let value = arg.constant.as_ref().ok_or_else(|| not_constant(NAME, 2))?;
            if arg.ty != ty {
                return Err(illegal(NAME, args, 2, &format!("{ty}, as the result")));
            }
            let one = hydron_types::array_of(value, &arg.ty, 1)?;
            hydron_types::value_at(&cast(&one, &arg.ty, &ty, &CastOptions::wrap(cx.zone))?, &ty, 0)
        }
    };
    let mode = if args[0].ty.bare().is_string_like() { default_mode(&args[0].ty) } else { CastMode::AccurateOrNull };
    Ok(replaced_by(CastOptions::new(cx.zone, mode), args[0].ty.clone(), ty, default))
}

/// The type named in `reinterpret`, where ClickHouse's spellings are taken too.
pub fn loose_type_argument(name: &str, args: &[ArgInfo], position: usize) -> Result<LogicalType> {
    let text = constant_text(name, args, position)?;
    parse_type_lenient(text).map_err(|e| if e.code == Code::UNKNOWN_TYPE { e } else { Error::new(e.code, e.message) })
}
