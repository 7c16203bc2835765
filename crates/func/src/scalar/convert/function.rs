//! Closures as functions, and the checks of arguments that many functions share.

use crate::call::{ArgInfo, BindContext, BoundCall, Datum, EvalContext, NullRule, ScalarFn};
use crate::registry::Registry;
use arrow::array::ArrayRef;
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value, Zone};
use std::ops::RangeInclusive;

/// A function made of its `bind`.
pub struct Function<F> {
    bind: F,
    rule: NullRule,
    /// Set for a conversion, whose answers are as few as its arguments.
    keeps_low_cardinality: bool,
}

impl<F> ScalarFn for Function<F>
where
    F: Fn(&BindContext, &[ArgInfo]) -> Result<BoundCall> + Send + Sync,
{
    fn bind(&self, cx: &BindContext, args: &[ArgInfo]) -> Result<BoundCall> {
        (self.bind)(cx, args)
    }

    fn null_rule(&self) -> NullRule {
        self.rule
    }

    fn keeps_low_cardinality(&self) -> bool {
        self.keeps_low_cardinality
    }
}

/// Adds a function to which NULLs are not shown.
pub fn add<F>(registry: &mut Registry, name: &str, bind: F)
where
    F: Fn(&BindContext, &[ArgInfo]) -> Result<BoundCall> + Send + Sync + 'static,
{
    registry.add_scalar(name, Function { bind, rule: NullRule::Propagate, keeps_low_cardinality: true });
}

/// Adds a function that sees nullable types as they are.
pub fn add_custom<F>(registry: &mut Registry, name: &str, bind: F)
where
    F: Fn(&BindContext, &[ArgInfo]) -> Result<BoundCall> + Send + Sync + 'static,
{
    registry.add_scalar(name, Function { bind, rule: NullRule::Custom, keeps_low_cardinality: false });
}

/// Adds a conversion: it sees nullable types, and its result is `low_cardinality` where its argument is.
pub fn add_conversion<F>(registry: &mut Registry, name: &str, bind: F)
where
    F: Fn(&BindContext, &[ArgInfo]) -> Result<BoundCall> + Send + Sync + 'static,
{
    registry.add_scalar(name, Function { bind, rule: NullRule::Custom, keeps_low_cardinality: true });
}

/// Registers a function that sees the types of its arguments with `low_cardinality`.
pub fn add_seeing_types<F>(registry: &mut Registry, name: &str, bind: F)
where
    F: Fn(&BindContext, &[ArgInfo]) -> Result<BoundCall> + Send + Sync + 'static,
{
    registry.add_scalar(name, Function { bind, rule: NullRule::Whole, keeps_low_cardinality: false });
}

/// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42).
pub fn check_count(name: &str, args: &[ArgInfo], allowed: RangeInclusive<usize>) -> Result<()> {
    if allowed.contains(&args.len()) {
        return Ok(());
    }
    let wanted = match (allowed.start(), allowed.end()) {
        (a, b) if a == b => a.to_string(),
        (a, b) => format!("{a} to {b}"),
    };
    Err(Error::new(
        Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH,
        format!("{name} takes {wanted} arguments, not {}", args.len()),
    ))
}

/// Error 43 for the argument at `position` (from 0).
pub fn illegal(name: &str, args: &[ArgInfo], position: usize, wanted: &str) -> Error {
    let ty = args.get(position).map_or_else(|| "nothing".to_string(), |a| a.ty.to_string());
    Error::new(
        Code::ILLEGAL_TYPE_OF_ARGUMENT,
        format!("{name}: argument {} is {ty}, it must be {wanted}", position + 1),
    )
}

/// Error 44 for an argument that must be constant.
pub fn not_constant(name: &str, position: usize) -> Error {
    Error::new(Code::ILLEGAL_COLUMN, format!("{name}: argument {} must be constant", position + 1))
}

/// The constant text at `position`. Errors: 43 for another type, 44 for one that is not constant.
pub fn constant_text<'a>(name: &str, args: &'a [ArgInfo], position: usize) -> Result<&'a str> {
    let arg = args.get(position).ok_or_else(|| illegal(name, args, position, "a string"))?;
    if !arg.ty.bare().is_string_like() {
        return Err(illegal(name, args, position, "a constant string"));
    }
    match &arg.constant {
        Some(Value::Bytes(text)) => std::str::from_utf8(text)
            .map_err(|_| Error::bad_arguments(format!("{name}: argument {} is not UTF-8", position + 1))),
        Some(_) => Err(illegal(name, args, position, "a constant string")),
        None => Err(not_constant(name, position)),
    }
}

/// The constant whole number at `position`.
pub fn constant_number(name: &str, args: &[ArgInfo], position: usize) -> Result<i64> {
    let arg = args.get(position).ok_or_else(|| illegal(name, args, position, "a number"))?;
    if !arg.ty.bare().is_integer() {
        return Err(illegal(name, args, position, "a constant whole number"));
    }
    match &arg.constant {
        Some(value) => value.as_i64().ok_or_else(|| illegal(name, args, position, "a constant whole number")),
        None => Err(not_constant(name, position)),
    }
}

/// The zone named at `position`, when there is such an argument.
pub fn zone_argument(name: &str, args: &[ArgInfo], position: usize) -> Result<Option<Zone>> {
    match args.get(position) {
        Some(_) => Zone::parse(constant_text(name, args, position)?).map(Some),
        None => Ok(None),
    }
}

/// The zone that the type of a time names.
pub fn zone_of(ty: &LogicalType) -> Option<Zone> {
    match ty.bare() {
        LogicalType::DateTime(zone) | LogicalType::DateTime64(_, zone) => *zone,
        _ => None,
    }
}

/// A kernel of one array to one array, row by row; a scalar stays a scalar. Other arguments are not looked at.
pub fn unary<F>(ty: LogicalType, f: F) -> BoundCall
where
    F: Fn(&ArrayRef) -> Result<ArrayRef> + Send + Sync + 'static,
{
    BoundCall::new(ty, move |_: &EvalContext, args: &[Datum], _| match &args[0] {
        Datum::Array(a) => Ok(Datum::Array(f(a)?)),
        Datum::Scalar(a) => Ok(Datum::Scalar(f(a)?)),
        Datum::Lambda(_) => Err(Error::bug("a lambda was given where a value is needed")),
    })
}

/// A kernel of several arrays of equal length; when all are scalars the result is one too.
pub fn rowwise<F>(ty: LogicalType, f: F) -> BoundCall
where
    F: Fn(&[ArrayRef], usize) -> Result<ArrayRef> + Send + Sync + 'static,
{
    BoundCall::new(ty, move |_: &EvalContext, args: &[Datum], rows| {
        let scalar = args.iter().all(Datum::is_scalar) && !args.is_empty();
        let rows = if scalar { 1 } else { rows };
        let arrays = args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let result = f(&arrays, rows)?;
        Ok(if scalar { Datum::Scalar(result) } else { Datum::Array(result) })
    })
}
