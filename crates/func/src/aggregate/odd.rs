//! Aggregates beside the others: one that fails, one without an answer; and an aggregate as text with its parameters.

use super::bytes::Reader;
use super::define::{Traits, define_as};
use super::fold::{Fold, Picked, folded};
use crate::nulls::null_array;
use crate::registry::Registry;
use arrow::array::{ArrayRef, UInt8Array};
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub fn register(registry: &mut Registry) {
    let traits = Traits { params_from: Some(1), default_without_rows: true, ..Traits::default() };
    define_as(registry, "agg_throw", traits, |call| {
        if call.params.len() > 1 {
            let text = "\"agg_throw\" takes one parameter, the probability to fail";
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
        }
        let chance = match call.params.first() {
            None => 1.0,
            Some(v) => {
                v.as_f64().ok_or_else(|| Error::bad_arguments("the probability of \"agg_throw\" is a number"))?
            }
        };
        call.returns(LogicalType::UInt8, folded(Throw { chance, made: AtomicU64::new(0) }))
    });
    let traits = Traits { sees_nulls: true, default_without_rows: true, ..Traits::default() };
    define_as(registry, "nothing", traits, |call| {
        call.returns(LogicalType::nullable(LogicalType::Nothing), folded(Nothing))
    });
}

/// Fails with a chance for each group, to try how queries end in the middle of an aggregation.
struct Throw {
    chance: f64,
    made: AtomicU64,
}

impl Fold for Throw {
    type Cell = ();
    type Input<'a> = ();

    fn input<'a>(&'a self, _: &'a [ArrayRef]) -> Result<()> {
        Ok(())
    }

    fn empty(&self) {}

    fn add(&self, _: &mut (), _: &(), _: usize) -> Result<()> {
        Ok(())
    }

    fn merge(&self, _: &mut (), _: ()) -> Result<()> {
        Ok(())
    }

    fn read(&self, _: &mut Reader<'_>) -> Result<()> {
        Ok(())
    }

    fn finish(&self, cells: Picked<'_, ()>) -> Result<ArrayRef> {
        for _ in 0..cells.len() {
            let number = self.made.fetch_add(1, Ordering::Relaxed);
            let draw = super::item::stable_hash(&number) as f64 / u64::MAX as f64;
            if draw <= self.chance {
                let text = "aggregate function \"agg_throw\" has failed, as it was asked to";
                return Err(Error::new(Code::AGGREGATE_FUNCTION_THROW, text));
            }
        }
        Ok(Arc::new(UInt8Array::from(vec![0; cells.len()])))
    }
}

struct Nothing;

impl Fold for Nothing {
    type Cell = ();
    type Input<'a> = ();

    fn input<'a>(&'a self, _: &'a [ArrayRef]) -> Result<()> {
        Ok(())
    }

    fn empty(&self) {}

    fn add(&self, _: &mut (), _: &(), _: usize) -> Result<()> {
        Ok(())
    }

    fn merge(&self, _: &mut (), _: ()) -> Result<()> {
        Ok(())
    }

    fn read(&self, _: &mut Reader<'_>) -> Result<()> {
        Ok(())
    }

    fn finish(&self, cells: Picked<'_, ()>) -> Result<ArrayRef> {
        Ok(null_array(&LogicalType::Nothing, cells.len()))
    }
}

/// `quantile(0.9)` as the name and its parameters: numbers, strings in quotes, `true` and `false`, arrays of them.
///
/// Errors: BAD_ARGUMENTS (36) for anything else between the parentheses.
pub fn name_and_params(text: &str) -> Result<(&str, Vec<Value>)> {
    let Some((name, rest)) = text.split_once('(') else { return Ok((text.trim(), Vec::new())) };
    let wrong = || Error::bad_arguments(format!("'{text}' is not an aggregate function with constant parameters"));
    let inside = rest.trim_end().strip_suffix(')').ok_or_else(wrong)?;
    Ok((name.trim(), literals(inside, &wrong)?))
}

/// Constants with commas between them.
fn literals(text: &str, wrong: &dyn Fn() -> Error) -> Result<Vec<Value>> {
    let mut params = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (value, after) = match rest.strip_prefix('\'') {
            Some(quoted) => {
                let (inner, after) = quoted.split_once('\'').ok_or_else(wrong)?;
                (Value::string(inner), after)
            }
            None if rest.starts_with('[') => {
                // Elements are plain: the first bracket that closes is the last one.
                let (inner, after) = rest[1..].split_once(']').ok_or_else(wrong)?;
                (Value::Array(literals(inner, wrong)?), after)
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (literal(rest[..end].trim()).ok_or_else(wrong)?, &rest[end..])
            }
        };
        params.push(value);
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(more) if !more.trim().is_empty() => more.trim_start(),
            None if after.is_empty() => after,
            _ => return Err(wrong()),
        };
    }
    Ok(params)
}

fn literal(text: &str) -> Option<Value> {
    if let Ok(v) = text.parse::<u64>() {
        return Some(Value::UInt(v));
    }
    if let Ok(v) = text.parse::<i64>() {
        return Some(Value::Int(v));
    }
    match text {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        _ => text.parse::<f64>().ok().map(Value::Float64),
    }
}
