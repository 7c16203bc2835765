//! `transform(x, from, to[, default])`: values replaced by a constant table.

use super::column::retyped;
use super::define::{Call, Convert, define_seeing_nulls};
use super::rows::encode_pair;
use crate::call::{BoundCall, arrow_error};
use crate::registry::Registry;
use arrow::array::{Array, ArrayRef};
use hydron_base::{Code, Error, Result};
use hydron_types::cast::{CastMode, CastOptions, cast};
use hydron_types::column::ColumnBuilder;
use hydron_types::supertype::least_supertype;
use hydron_types::{LogicalType, Value};
use std::collections::HashMap;

pub fn register(registry: &mut Registry) {
    define_seeing_nulls(registry, "transform", transform);
}

fn table(call: &Call<'_>, position: usize) -> Result<(LogicalType, Vec<Value>)> {
    let element = call.need_array(position)?.clone();
    match call.constant(position)? {
        Value::Array(values) => Ok((element, values.clone())),
        _ => Err(call.illegal(position)),
    }
}

fn column(values: &[Value], ty: &LogicalType) -> Result<ArrayRef> {
    let mut builder = ColumnBuilder::new(ty);
    values.iter().try_for_each(|v| builder.append(v))?;
    builder.finish()
}

fn transform(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(3..=4)?;
    let ((from_type, from), (to_type, to)) = (table(call, 1)?, table(call, 2)?);
    if from.len() != to.len() {
        return Err(Error::bad_arguments(format!(
            "transform takes arrays of one length, given {} and {}",
            from.len(),
            to.len()
        )));
    }
    if from.is_empty() {
        return Err(Error::bad_arguments("transform takes arrays that are not empty"));
    }
    if *call.ty(0).bare() == LogicalType::Nothing {
        return call.returns(LogicalType::Nothing, |_, rows| {
            Ok(arrow::array::new_null_array(&arrow::datatypes::DataType::Null, rows))
        });
    }
    // A key that the type of the argument cannot hold is never met.
    let key = LogicalType::nullable(call.ty(0).bare().clone());
    if from_type.bare().is_string_like() != key.bare().is_string_like()
        && !key.bare().is_date_or_time()
        && *from_type.bare() != LogicalType::Nothing
    {
        let enumerated =
            |t: &LogicalType| matches!(t.bare(), LogicalType::Enum8(_) | LogicalType::Enum16(_) | LogicalType::Uuid);
        if !enumerated(&key) {
            return Err(call.illegal(1));
        }
    }
    if call.args.len() == 3 && to_type.bare().is_decimal() && !key.bare().is_decimal() {
        let text = format!("\"transform\" of {} to {to_type} needs a default", call.ty(0));
        return Err(Error::new(Code::ILLEGAL_COLUMN, text));
    }
    let otherwise = if call.args.len() == 4 { 3 } else { 0 };
    let ty = least_supertype(&[to_type.clone(), call.ty(otherwise).clone()])?;
    let options = CastOptions { mode: CastMode::AccurateOrNull, ..CastOptions::wrap(call.zone()) };
    let keys = cast(&column(&from, &from_type)?, &from_type, key.bare(), &options)?;
    let lost: Vec<bool> = from.iter().enumerate().map(|(i, v)| keys.is_null(i) && !v.is_null()).collect();
    let answers = retyped(&Convert::new(&to_type, &ty, call.zone()).array(&column(&to, &to_type)?)?, &ty);
    let (asked, default) = (call.convert(0, &key), call.convert(otherwise, &ty));
    let out = ty.clone();
    call.returns(ty, move |args, rows| {
        let asked = asked.array(&args[0].to_array(rows)?)?;
        let default = retyped(&default.datum(&args[otherwise])?.to_array(rows)?, &out);
        let (known, given) = encode_pair(&retyped(&keys, &key), &retyped(&asked, &key))?;
        let mut places = HashMap::new();
        // The first of equal keys wins.
        (0..known.num_rows()).filter(|i| !lost[*i]).for_each(|i| {
            places.entry(known.row(i)).or_insert(i);
        });
        let chosen: Vec<(usize, usize)> =
            (0..rows).map(|row| places.get(&given.row(row)).map_or((1, row), |i| (0, *i))).collect();
        arrow::compute::interleave(&[answers.as_ref(), default.as_ref()], &chosen).map_err(arrow_error)
    })
}
