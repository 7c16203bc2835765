//! `and`, `or`, `xor`, `not`: three values (true, false, NULL), numbers taken as "not zero".

use super::column::bools;
use super::compare::bits_of;
use super::define::{Call, define, define_seeing_nulls};
use super::number::{Num, number_layout, to_vec};
use crate::call::{BoundCall, Datum, arrow_error, downcast};
use crate::registry::Registry;
use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::{and_kleene, not, or_kleene};
use hydron_base::Result;
use hydron_types::LogicalType;
use std::sync::Arc;

pub fn register(registry: &mut Registry) {
    define_seeing_nulls(registry, "and", |call| bind(call, |a, b| and_kleene(a, b).map_err(arrow_error)));
    define_seeing_nulls(registry, "or", |call| bind(call, |a, b| or_kleene(a, b).map_err(arrow_error)));
    define_seeing_nulls(registry, "xor", |call| {
        bind(call, |a, b| {
            let nulls = arrow::buffer::NullBuffer::union(a.nulls(), b.nulls());
            Ok(BooleanArray::new(a.values() ^ b.values(), nulls))
        })
    });
    define(registry, "not", |call| {
        call.arity(1..=1)?;
        call.need(0, has_truth)?;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::Bool, move |args, _| {
            let truth = truth(args[0].array()?, &ty)?;
            Ok(Arc::new(not(&truth).map_err(arrow_error)?))
        })
    });
}

/// Whether values of this type can stand for true and false.
pub fn has_truth(ty: &LogicalType) -> bool {
    let ty = ty.bare();
    ty.is_number() || matches!(ty, LogicalType::Bool | LogicalType::Nothing)
}

/// True where the number is not zero; NULL stays NULL.
pub fn truth(array: &ArrayRef, ty: &LogicalType) -> Result<BooleanArray> {
    if let Some(bools) = array.as_any().downcast_ref::<BooleanArray>() {
        return Ok(bools.clone());
    }
    if *ty.bare() == LogicalType::Nothing {
        return Ok(BooleanArray::new_null(array.len()));
    }
    let bits = if ty.bare().is_float() {
        bits_of(&to_vec::<f64>(array, ty)?, |v| v != 0.0)
    } else if ty.bare().bits() == Some(8) {
        bits_of(&to_vec::<u8>(array, ty)?, |v| v != 0)
    } else if number_layout(ty).bits().is_some_and(|b| b <= 64) {
        bits_of(i64::lane(array, ty)?.as_ref().as_ref(), |v| v != 0)
    } else {
        let values = to_vec::<arrow::datatypes::i256>(array, ty)?;
        bools(values.len(), |i| values[i] != arrow::datatypes::i256::ZERO)
    };
    let bits: &BooleanArray = downcast(&bits)?;
    Ok(BooleanArray::new(bits.values().clone(), array.nulls().cloned()))
}

fn bind(call: &Call<'_>, combine: fn(&BooleanArray, &BooleanArray) -> Result<BooleanArray>) -> Result<BoundCall> {
    call.arity(2..=usize::MAX)?;
    for position in 0..call.args.len() {
        call.need(position, has_truth)?;
    }
    let types = call.types();
    let ty = if types.iter().any(LogicalType::is_nullable) {
        LogicalType::nullable(LogicalType::Bool)
    } else {
        LogicalType::Bool
    };
    call.returns(ty, move |args, rows| {
        let side = |i: usize| -> Result<BooleanArray> {
            let truth: ArrayRef = Arc::new(truth(args[i].array()?, &types[i])?);
            let full = if args[i].is_scalar() { Datum::Scalar(truth).to_array(rows)? } else { truth };
            Ok(downcast::<BooleanArray>(&full)?.clone())
        };
        let mut result = side(0)?;
        for i in 1..args.len() {
            result = combine(&result, &side(i)?)?;
        }
        Ok(Arc::new(result) as ArrayRef)
    })
}
