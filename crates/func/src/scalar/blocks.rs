//! Functions over the rows of one block, in the order they stand in it: the neighbours of a row.
//!
//! A historical query sees as many rows at a time as `max_block_size` says; nothing here looks past that block, as in
//! ClickHouse. In a stream `neighbor` is bound as `lag`.

use super::define::{Call, Convert, define_seeing_nulls};
use super::number::to_vec;
use crate::call::{BoundCall, Volatility};
use crate::registry::Registry;
use arrow::array::UInt32Array;
use hydron_base::Result;
use hydron_types::{Value, array_of};

pub(super) fn register(registry: &mut Registry) {
    define_seeing_nulls(registry, "neighbor", neighbor);
}

/// `neighbor(value, offset[, default])`: the value so many rows further on in the block.
fn neighbor(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(2..=3)?;
    if call.ty(1).is_nullable() || !call.ty(1).is_integer() {
        return Err(call.illegal(1));
    }
    let value = call.ty(0).clone();
    let ty = match call.args.get(2) {
        Some(default) => hydron_types::least_supertype(&[value.clone(), default.ty.clone()])?,
        None => value.clone(),
    };
    let values = Convert::new(&value, &ty, call.zone());
    let defaults = call.args.get(2).map(|d| Convert::new(&d.ty, &ty, call.zone()));
    let (offsets, out) = (call.ty(1).clone(), ty.clone());
    let bound = call.returns(ty, move |args, rows| {
        let values = values.array(&args[0].to_array(rows)?)?;
        let offsets = to_vec::<i64>(&args[1].to_array(rows)?, &offsets)?;
        // What is not in the block comes from the defaults, which stand behind the values.
        let (defaults, per_row) = match (&defaults, args.get(2)) {
            (Some(convert), Some(given)) => (convert.array(&given.to_array(rows)?)?, true),
            _ => (array_of(&Value::default_of(&out), &out, 1)?, false),
        };
        let defaults = super::column::retyped_like(&defaults, &values);
        let both = arrow::compute::concat(&[values.as_ref(), defaults.as_ref()]).map_err(crate::call::arrow_error)?;
        let place = |row: usize| {
            let at = row as i64 + offsets[row].clamp(-(1 << 40), 1 << 40);
            match usize::try_from(at).ok().filter(|at| *at < rows) {
                Some(at) => at as u32,
                None => (rows + if per_row { row } else { 0 }) as u32,
            }
        };
        let places: UInt32Array = (0..rows).map(place).collect();
        arrow::compute::take(&both, &places, None).map_err(crate::call::arrow_error)
    })?;
    Ok(bound.volatility(Volatility::Stateful))
}
