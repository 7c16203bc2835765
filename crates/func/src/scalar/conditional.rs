//! Choosing between values: `if`, `multi_if`, `if_null`, `null_if`, `coalesce`, `least`, `greatest`, tests for NULL.
//!
//! Every branch is evaluated here; an evaluator that knows better may evaluate a branch only for its rows and join the parts
//! with [`select`].

use super::column::bools;
use super::compare::{Comparison, between};
use super::define::{Call, Convert, define, define_seeing_nulls};
use super::logic::{has_truth, truth};
use crate::call::{ArgInfo, BoundCall, Datum, EvalContext, arrow_error, downcast};
use crate::nulls::without_nulls;
use crate::registry::Registry;
use arrow::array::{Array, ArrayRef, BooleanArray, Scalar};
use arrow::compute::kernels::zip::zip;
use hydron_base::Result;
use hydron_types::supertype::least_supertype;
use hydron_types::{LogicalType, Value};

pub fn register(registry: &mut Registry) {
    define_seeing_nulls(registry, "if", |call| {
        call.arity(3..=3)?;
        cases(call)
    });
    define_seeing_nulls(registry, "multi_if", |call| {
        call.arity(3..=usize::MAX)?;
        if call.args.len() % 2 == 0 {
            call.arity(call.args.len() + 1..=call.args.len() + 1)?;
        }
        cases(call)
    });
    for name in ["if", "multi_if"] {
        registry.fold_case(name);
    }
    register_nulls(registry);
    for (name, op) in [("least", Comparison::Less), ("greatest", Comparison::Greater)] {
        define(registry, name, move |call| extreme(call, op));
        registry.fold_case(name);
    }
    for (name, op) in [("min2", Comparison::Less), ("max2", Comparison::Greater)] {
        define(registry, name, move |call| {
            call.arity(2..=2)?;
            call.need_number(0)?;
            call.need_number(1)?;
            let types = call.types();
            call.returns(LogicalType::Float64, move |args, rows| {
                let (a, b) =
                    (super::column::Floats::of(&args[0], &types[0])?, super::column::Floats::of(&args[1], &types[1])?);
                Ok(super::column::float64s(rows, |i| match op {
                    Comparison::Less => a.at(i).min(b.at(i)),
                    _ => a.at(i).max(b.at(i)),
                }))
            })
        });
    }
}

/// `then` where `mask` is true, `otherwise` where it is false or NULL. Both have the layout of the result.
pub fn select(mask: &BooleanArray, then: &Datum, otherwise: &Datum) -> Result<ArrayRef> {
    let (a, b) = (then.array()?, otherwise.array()?);
    let b = &super::column::retyped_like(b, a);
    let result = match (then.is_scalar(), otherwise.is_scalar()) {
        (false, false) => zip(mask, a, b),
        (false, true) => zip(mask, a, &Scalar::new(b)),
        (true, false) => zip(mask, &Scalar::new(a), b),
        (true, true) => zip(mask, &Scalar::new(a), &Scalar::new(b)),
    };
    result.map_err(arrow_error)
}

/// `condition, value, condition, value, …, value`.
fn cases(call: &Call<'_>) -> Result<BoundCall> {
    let last = call.args.len() - 1;
    let is_value = |i: usize| i % 2 == 1 || i == last;
    for i in (0..last).filter(|i| !is_value(*i)) {
        call.need(i, has_truth)?;
    }
    let values: Vec<usize> = (0..=last).filter(|i| is_value(*i)).collect();
    let types: Vec<LogicalType> = values.iter().map(|i| call.ty(*i).clone()).collect();
    let ty = least_supertype(&types)?;
    let conversions: Vec<Convert> = values.iter().map(|i| call.convert(*i, &ty)).collect();
    let conditions: Vec<LogicalType> = call.types();
    let out = ty.clone();
    Ok(BoundCall::new(ty, move |_: &EvalContext, args: &[Datum], _| {
        let mut result = conversions[values.len() - 1].datum(&args[last])?;
        for (n, i) in values[..values.len() - 1].iter().enumerate().rev() {
            let mask = truth(args[i - 1].array()?, &conditions[i - 1])?;
            let then = conversions[n].datum(&args[*i])?;
            if args[i - 1].is_scalar() {
                // One answer for all rows: no mask is needed.
                if mask.is_valid(0) && mask.value(0) {
                    result = then;
                }
                continue;
            }
            result = Datum::Array(select(&mask, &then, &result)?);
        }
        let array = super::column::retyped(result.array()?, &out);
        Ok(if result.is_scalar() { Datum::Scalar(array) } else { Datum::Array(array) })
    }))
}

fn register_nulls(registry: &mut Registry) {
    for (name, wanted) in [("is_null", true), ("is_not_null", false)] {
        define_seeing_nulls(registry, name, move |call| {
            call.arity(1..=1)?;
            call.returns(LogicalType::Bool, move |args, rows| {
                let array = args[0].array()?;
                let nulls = array.logical_nulls();
                let is_null =
                    |i: usize| nulls.as_ref().is_some_and(|n| n.is_null(if array.len() == 1 { 0 } else { i }));
                Ok(bools(rows, |i| is_null(i) == wanted))
            })
        });
        registry.fold_case(name);
    }
    define_seeing_nulls(registry, "is_zero_or_null", |call| {
        call.arity(1..=1)?;
        call.need(0, has_truth)?;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::Bool, move |args, rows| {
            let truth = truth(args[0].array()?, &ty)?;
            Ok(bools(rows, |i| {
                let i = if truth.len() == 1 { 0 } else { i };
                truth.is_null(i) || !truth.value(i)
            }))
        })
    });
    define_seeing_nulls(registry, "if_null", |call| {
        call.arity(2..=2)?;
        first_present(call)
    });
    define_seeing_nulls(registry, "coalesce", |call| {
        call.arity(1..=usize::MAX)?;
        first_present(call)
    });
    for name in ["if_null", "coalesce", "null_if"] {
        registry.fold_case(name);
    }
    define_seeing_nulls(registry, "assume_not_null", |call| {
        call.arity(1..=1)?;
        let ty = match call.ty(0) {
            LogicalType::Nullable(t) => (**t).clone(),
            t => t.clone(),
        };
        call.returns(ty, move |args, rows| Ok(without_nulls(&args[0].to_array(rows)?)))
    });
    define_seeing_nulls(registry, "null_if", |call| {
        call.arity(2..=2)?;
        let (a, b) = (call.ty(0).clone(), call.ty(1).clone());
        let ty = LogicalType::nullable(a.clone());
        if *b.bare() == LogicalType::Nothing || *a.bare() == LogicalType::Nothing {
            return call.returns(ty, |args, rows| args[0].to_array(rows));
        }
        let equal = Registry::builtin().bind_scalar("equals", call.cx, call.args)?;
        Ok(BoundCall::new(ty, move |cx: &EvalContext, args: &[Datum], rows| {
            let same = equal.kernel.eval(cx, args, rows)?.to_array(rows)?;
            let array = args[0].to_array(rows)?;
            let result = arrow::compute::nullif(&array, downcast(&same)?).map_err(arrow_error)?;
            Ok(Datum::Array(result))
        }))
    });
}

/// The first argument that is not NULL. Arguments after one that cannot be NULL are not looked at.
fn first_present(call: &Call<'_>) -> Result<BoundCall> {
    let known = |a: &ArgInfo| !a.ty.is_nullable();
    let end = call.args.iter().position(known).map_or(call.args.len(), |i| i + 1);
    // The constant NULL never is the answer.
    let kept: Vec<usize> = (0..end)
        .filter(|i| *call.ty(*i).bare() != LogicalType::Nothing && call.args[*i].constant != Some(Value::Null))
        .collect();
    let Some(last) = kept.last().copied() else {
        return call.returns(LogicalType::Nothing, |_, rows| {
            Ok(arrow::array::new_null_array(&arrow::datatypes::DataType::Null, rows))
        });
    };
    let types: Vec<LogicalType> = kept.iter().map(|i| call.ty(*i).clone()).collect();
    let common = least_supertype(&types)?;
    let ty = if known(&call.args[last]) { without_nullable(&common) } else { common.clone() };
    let conversions: Vec<Convert> = kept.iter().map(|i| call.convert(*i, &common)).collect();
    let out = ty.clone();
    call.returns(ty, move |args, rows| {
        let mut result = conversions[kept.len() - 1].datum(&args[last])?;
        for (n, i) in kept[..kept.len() - 1].iter().enumerate().rev() {
            let value = conversions[n].datum(&args[*i])?;
            let value = Datum::Array(value.to_array(rows)?);
            let present = arrow::compute::is_not_null(value.array()?).map_err(arrow_error)?;
            result = Datum::Array(select(&present, &value, &result)?);
        }
        let array = result.to_array(rows)?;
        Ok(if out.is_nullable() { array } else { super::column::retyped(&without_nulls(&array), &out) })
    })
}

fn without_nullable(ty: &LogicalType) -> LogicalType {
    match ty {
        LogicalType::Nullable(t) => (**t).clone(),
        t => t.clone(),
    }
}

/// The type that holds either of two numbers; `None` for a float beside an integer it does not hold.
fn pair_type(a: &LogicalType, b: &LogicalType) -> Option<LogicalType> {
    let (a_bits, b_bits) = (a.bits()?, b.bits()?);
    let widest = a_bits.max(b_bits);
    if a.is_float() || b.is_float() {
        let integer = [(a, a_bits), (b, b_bits)].into_iter().find(|(t, _)| !t.is_float()).map_or(0, |(_, bits)| bits);
        let float = [(a, a_bits), (b, b_bits)].into_iter().filter(|(t, _)| t.is_float()).map(|(_, bits)| bits).max()?;
        let bits = if integer >= float { widest * 2 } else { widest };
        return match bits {
            32 => Some(LogicalType::Float32),
            64 => Some(LogicalType::Float64),
            _ => None,
        };
    }
    let signed = |t: &LogicalType| t.is_signed_integer();
    let (unsigned_bits, signed_bits) = match (signed(a), signed(b)) {
        (false, true) => (a_bits, b_bits),
        (true, false) => (b_bits, a_bits),
        (both, _) => return Some(LogicalType::integer(both, widest)),
    };
    Some(LogicalType::integer(true, if unsigned_bits >= signed_bits { (widest * 2).min(256) } else { widest }))
}

fn extreme(call: &Call<'_>, op: Comparison) -> Result<BoundCall> {
    call.arity(1..=usize::MAX)?;
    let plain = |t: &LogicalType| t.is_integer() || t.is_float();
    let pair = call.args.len() == 2;
    let ty = match call.types().as_slice() {
        [a, b] if plain(a) && plain(b) => pair_type(a, b).ok_or_else(|| call.illegal(1))?,
        types
            if types.iter().all(LogicalType::is_number)
                && types.iter().any(LogicalType::is_float)
                && types.iter().any(LogicalType::is_decimal) =>
        {
            LogicalType::Float64
        }
        types => least_supertype(types)?,
    };
    let conversions: Vec<Convert> = (0..call.args.len()).map(|i| call.convert(i, &ty)).collect();
    let compare = between(call, op, &ty, &ty)?;
    let nan_wins = op == Comparison::Greater && ty.is_float();
    let out = ty.clone();
    Ok(BoundCall::new(ty, move |cx: &EvalContext, args: &[Datum], rows| {
        let mut result = conversions[0].datum(&args[0])?;
        for (i, conversion) in conversions.iter().enumerate().skip(1) {
            let other = conversion.datum(&args[i])?;
            if pair {
                // Of two numbers the second is the answer unless the first is better, so a NaN or -0 in second place wins.
                let better = compare.kernel.eval(cx, &[result.clone(), other.clone()], rows)?.to_array(rows)?;
                result = Datum::Array(select(downcast(&better)?, &result, &other)?);
                continue;
            }
            let mut better = compare.kernel.eval(cx, &[other.clone(), result.clone()], rows)?.to_array(rows)?;
            if nan_wins {
                // Among several, a NaN is the greatest.
                let values = super::column::Floats::of(&other, &out)?;
                let greater: BooleanArray = downcast::<BooleanArray>(&better)?.clone();
                better = bools(rows, |row| greater.value(row) || values.at(row).is_nan());
            }
            result = Datum::Array(select(downcast(&better)?, &other, &result)?);
        }
        Ok(Datum::Array(result.to_array(rows)?))
    }))
}

/// A mask as an array, for callers that split a batch by it.
pub fn condition(array: &ArrayRef, ty: &LogicalType) -> Result<BooleanArray> {
    let mask = truth(array, ty)?;
    Ok(match mask.nulls() {
        Some(nulls) => BooleanArray::new(mask.values() & nulls.inner(), None),
        None => mask,
    })
}
