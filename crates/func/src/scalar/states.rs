//! States of aggregates as values: answers behind them, states of single rows, running totals of states.

use super::define::{Call, define_seeing_nulls};
use crate::agg::BoundAgg;
use crate::aggregate::{aggregate_floats, finalize, finalized_type, model_of, name_and_params, predicted};
use crate::call::{ArgInfo, BoundCall, Datum, EvalContext, Volatility, downcast};
use crate::registry::Registry;
use arrow::array::{Array, ArrayRef, BinaryArray, Float64Array};
use hydron_base::{Error, Result};
use hydron_types::LogicalType;
use hydron_types::gather::join_columns;
use std::sync::Arc;

pub fn register(registry: &mut Registry) {
    define_seeing_nulls(registry, "finalize_aggregation", |call| {
        call.arity(1..=1)?;
        let (name, of) = state_of(call, 0)?;
        let cx = call.cx.clone();
        let ty = finalized_type(&cx, &name, &of)?;
        call.returns(ty, move |args, rows| {
            let states = args[0].to_array(rows)?;
            Ok(finalize(&cx, &name, &of, downcast::<BinaryArray>(&states)?)?.1)
        })
    });
    define_seeing_nulls(registry, "initialize_aggregation", |call| {
        call.arity(2..=usize::MAX)?;
        let name = String::from_utf8_lossy(call.constant_text(0)?).into_owned();
        let infos: Vec<ArgInfo> = call.types()[1..].iter().cloned().map(ArgInfo::column).collect();
        let BoundAgg { ty, aggregate } = Registry::builtin().bind_aggregate_of_state(&name, call.cx, &infos)?;
        call.returns(ty, move |args, rows| {
            let columns = args[1..].iter().map(|a| a.to_array(rows)).collect::<Result<Vec<ArrayRef>>>()?;
            let groups: Vec<u32> = (0..rows as u32).collect();
            let mut state = aggregate.new_state();
            state.resize(rows);
            state.update(&groups, &columns, None)?;
            state.finish(&groups)
        })
    });
    define_seeing_nulls(registry, "running_accumulate", running);
    define_seeing_nulls(registry, "eval_ml_method", predictions);
}

/// `eval_ml_method(state, feature, …)`: what a fitted model says of the features of each row.
///
/// Errors: BAD_ARGUMENTS (36) for the state of another function and for another number of features.
fn predictions(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(2..=usize::MAX)?;
    let (name, of) = state_of(call, 0)?;
    let model = model_of(name_and_params(&name)?.0)
        .ok_or_else(|| Error::bad_arguments(format!("\"{name}\" fits no model that could be asked")))?;
    let features = call.types().len() - 1;
    if of.len() != features + 1 {
        let text = format!("the model was fitted to {} features, given {features}", of.len().saturating_sub(1));
        return Err(Error::bad_arguments(text));
    }
    let types = call.types()[1..].to_vec();
    if let Some(at) = types.iter().position(|t| !(t.is_number() || matches!(t, LogicalType::Decimal { .. }))) {
        return Err(call.illegal(at + 1));
    }
    call.returns(LogicalType::Float64, move |args, rows| {
        let states = args[0].to_array(rows)?;
        let states: &BinaryArray = downcast(&states)?;
        let columns = args[1..].iter().zip(&types).map(|(a, t)| aggregate_floats(&a.to_array(rows)?, t));
        let columns = columns.collect::<Result<Vec<Vec<f64>>>>()?;
        let predict = |row: usize| predicted(model, states.value(row), columns.iter().map(|c| c[row]));
        let values = (0..rows).map(predict).collect::<Result<Vec<f64>>>()?;
        Ok(Arc::new(Float64Array::from(values)) as ArrayRef)
    })
}

/// Function and argument types of a state. Errors: ILLEGAL_TYPE_OF_ARGUMENT (43).
fn state_of(call: &Call<'_>, position: usize) -> Result<(Arc<str>, Arc<[LogicalType]>)> {
    match call.ty(position) {
        LogicalType::AggregateFunction { name, args } => Ok((Arc::clone(name), Arc::clone(args))),
        _ => Err(call.illegal(position)),
    }
}

/// `running_accumulate(state[, group])`: the answer of all states of the batch up to each row, anew when the group changes.
fn running(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(1..=2)?;
    let (name, of) = state_of(call, 0)?;
    let infos: Vec<ArgInfo> = vec![ArgInfo::column(call.ty(0).clone())];
    let merge = format!("{}_merge", name_and_params(&name)?.0);
    let ty = finalized_type(call.cx, &name, &of)?;
    let BoundAgg { aggregate, .. } = Registry::builtin().bind_aggregate(&merge, call.cx, &infos, false)?;
    let empty = ty.clone();
    let bound = BoundCall::new(ty, move |_: &EvalContext, args: &[Datum], rows| {
        let states = args[0].to_array(rows)?;
        let keys = match args.get(1) {
            Some(group) => Some(super::rows::encode(&group.to_array(rows)?)?),
            None => None,
        };
        let mut state = aggregate.new_state();
        state.resize(1);
        let mut answers = Vec::with_capacity(rows);
        for row in 0..rows {
            if keys.as_ref().is_some_and(|k| row > 0 && k.row(row) != k.row(row - 1)) {
                state.clear(&[0]);
            }
            state.update(&[0], &[states.slice(row, 1)], None)?;
            // What is finished may be sorted in place, but stays what it is.
            answers.push(state.finish(&[0])?);
        }
        if answers.is_empty() {
            return Ok(Datum::Array(arrow::array::new_empty_array(&hydron_types::physical::arrow_type(&empty))));
        }
        Ok(Datum::Array(join_columns(&answers.iter().map(|a| a.as_ref() as &dyn Array).collect::<Vec<_>>())?))
    });
    Ok(bound.volatility(Volatility::Stable))
}
