//! Tuples taken apart: named elements as pairs, nested tuples as one, vectors of length 1.

use super::{elements_of, vectors_divided};
use crate::call::{ArgInfo, BoundCall, Datum, EvalContext, downcast};
use crate::registry::Registry;
use crate::scalar::column::{list, tuple};
use crate::scalar::define::{Call, define, define_seeing_nulls};
use arrow::array::{ArrayRef, BinaryArray, StructArray};
use hydron_base::{Error, Result};
use hydron_types::LogicalType;
use std::sync::Arc;

pub(super) fn register(registry: &mut Registry) {
    define_seeing_nulls(registry, "tuple_to_name_value_pairs", pairs);
    define_seeing_nulls(registry, "flatten_tuple", |call| {
        call.arity(1..=1)?;
        let mut flat = Vec::new();
        flatten(call.ty(0), "", &mut Vec::new(), &mut flat);
        if flat.is_empty() || !matches!(call.ty(0), LogicalType::Tuple(_)) {
            return Err(call.illegal(0));
        }
        let fields: Vec<_> = flat.iter().map(|(name, _, ty)| (Some(Arc::from(name.as_str())), ty.clone())).collect();
        let ty = LogicalType::Tuple(fields.into());
        call.returns(ty.clone(), move |args, rows| {
            let whole = args[0].to_array(rows)?;
            let columns = flat.iter().map(|(_, path, _)| at(&whole, path)).collect::<Result<_>>()?;
            tuple(&ty, columns, rows)
        })
    });
    let norms: [(&str, &str, fn(&[f64]) -> f64); 3] = [
        ("l1_normalize", "normalize_l1", |v| v.iter().map(|x| x.abs()).sum()),
        ("l2_normalize", "normalize_l2", |v| v.iter().map(|x| x * x).sum::<f64>().sqrt()),
        ("linf_normalize", "normalize_linf", |v| v.iter().fold(0.0, |m, x| m.max(x.abs()))),
    ];
    for (name, alias, norm) in norms {
        define(registry, name, move |call| {
            call.arity(1..=1)?;
            vectors_divided(call, norm)
        });
        registry.add_alias(alias, name);
    }
    define(registry, "lp_normalize", |call| {
        call.arity(2..=2)?;
        let p = call.constant(1)?.as_f64().filter(|p| p.is_finite() && *p >= 1.0);
        let p = p.ok_or_else(|| {
            Error::new(hydron_base::Code::ARGUMENT_OUT_OF_BOUND, "the power of a norm is finite and at least 1")
        })?;
        vectors_divided(call, move |v| v.iter().map(|x| x.abs().powf(p)).sum::<f64>().powf(1.0 / p))
    });
    registry.add_alias("normalize_lp", "lp_normalize");
    for (name, verb) in [("add_tuple_of_intervals", "plus"), ("subtract_tuple_of_intervals", "minus")] {
        define(registry, name, move |call| intervals(call, verb));
    }
    for (name, verb) in [("add_interval", "plus"), ("subtract_interval", "minus")] {
        define(registry, name, move |call| interval(call, verb));
    }
}

/// An array of the names of a tuple with its values, which must be of one type.
fn pairs(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(1..=1)?;
    let elements = elements_of(call, 0)?;
    let Some((_, value)) = elements.first().cloned() else { return Err(call.illegal(0)) };
    if elements.iter().any(|(_, t)| *t != value) {
        return Err(call.illegal(0));
    }
    let pair = LogicalType::tuple([LogicalType::String, value.clone()]);
    let names: Vec<String> = elements
        .iter()
        .enumerate()
        .map(|(i, (name, _))| name.as_ref().map_or_else(|| (i + 1).to_string(), |n| n.to_string()))
        .collect();
    call.returns(LogicalType::array(pair.clone()), move |args, rows| {
        let whole = args[0].to_array(rows)?;
        let columns: Vec<Datum> =
            downcast::<StructArray>(&whole)?.columns().iter().map(|c| Datum::Array(c.clone())).collect();
        let values = crate::scalar::arrays::interleaved(&value, &columns, rows)?;
        let values = crate::scalar::column::Lists::of(&Datum::Array(values))?.values.clone();
        let repeated: Vec<&[u8]> = (0..rows).flat_map(|_| names.iter().map(|n| n.as_bytes())).collect();
        let keys: ArrayRef = Arc::new(BinaryArray::from_iter_values(repeated));
        let ends = (0..=rows).map(|n| crate::scalar::column::end_offset(n * names.len())).collect::<Result<_>>()?;
        Ok(list(&pair, ends, tuple(&pair, vec![keys, values], rows * names.len())?))
    })
}

type Leaf = (String, Vec<usize>, LogicalType);

fn flatten(ty: &LogicalType, prefix: &str, path: &mut Vec<usize>, out: &mut Vec<Leaf>) {
    let LogicalType::Tuple(elements) = ty else {
        out.push((prefix.to_owned(), path.clone(), ty.clone()));
        return;
    };
    for (i, (name, ty)) in elements.iter().enumerate() {
        let name = name.as_ref().map_or_else(|| (i + 1).to_string(), |n| n.to_string());
        let full = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        path.push(i);
        flatten(ty, &full, path, out);
        path.pop();
    }
}

fn at(array: &ArrayRef, path: &[usize]) -> Result<ArrayRef> {
    path.iter().try_fold(array.clone(), |array, i| Ok(downcast::<StructArray>(&array)?.column(*i).clone()))
}

/// A date moved by each interval of a tuple in turn.
fn intervals(call: &Call<'_>, verb: &str) -> Result<BoundCall> {
    call.arity(2..=2)?;
    call.need(0, LogicalType::is_date_or_time)?;
    let spans = elements_of(call, 1)?;
    let mut ty = call.ty(0).clone();
    let mut steps = Vec::new();
    for (_, span) in spans.iter() {
        if !matches!(span, LogicalType::Interval(_)) {
            return Err(call.illegal(1));
        }
        let step = Registry::builtin().bind_scalar(
            verb,
            call.cx,
            &[ArgInfo::column(ty.clone()), ArgInfo::column(span.clone())],
        )?;
        ty = step.ty.clone();
        steps.push(step);
    }
    Ok(BoundCall::new(ty, move |cx: &EvalContext, args: &[Datum], rows| {
        let spans = args[1].to_array(rows)?;
        let spans: &StructArray = downcast(&spans)?;
        let mut time = Datum::Array(args[0].to_array(rows)?);
        for (step, span) in steps.iter().zip(spans.columns()) {
            time = step.kernel.eval(cx, &[time, Datum::Array(span.clone())], rows)?;
        }
        Ok(Datum::Array(time.to_array(rows)?))
    }))
}

/// Two intervals of one unit are one; of two units, a tuple of both. A tuple of intervals gets one more.
fn interval(call: &Call<'_>, verb: &str) -> Result<BoundCall> {
    call.arity(2..=2)?;
    let LogicalType::Interval(unit) = *call.ty(1) else { return Err(call.illegal(1)) };
    match call.ty(0) {
        LogicalType::Interval(own) if *own == unit => {
            let bound = Registry::builtin().bind_scalar(
                verb,
                call.cx,
                &[ArgInfo::column(LogicalType::Int64), ArgInfo::column(LogicalType::Int64)],
            )?;
            Ok(BoundCall { ty: call.ty(0).clone(), ..bound })
        }
        LogicalType::Interval(_) | LogicalType::Tuple(_) => {
            let before: Vec<LogicalType> = match call.ty(0) {
                LogicalType::Tuple(elements) => elements.iter().map(|(_, t)| t.clone()).collect(),
                other => vec![other.clone()],
            };
            if before.iter().any(|t| !matches!(t, LogicalType::Interval(_))) {
                return Err(call.illegal(0));
            }
            let is_tuple = matches!(call.ty(0), LogicalType::Tuple(_));
            let ty = LogicalType::tuple(before.into_iter().chain([call.ty(1).clone()]));
            let negate = verb == "minus";
            call.returns(ty.clone(), move |args, rows| {
                let first = args[0].to_array(rows)?;
                let mut columns: Vec<ArrayRef> =
                    if is_tuple { downcast::<StructArray>(&first)?.columns().to_vec() } else { vec![first] };
                let last = args[1].to_array(rows)?;
                columns.push(if negate {
                    let counts = crate::scalar::column::natives::<i64>(&last)?;
                    let counts = counts.iter().map(|v| v.wrapping_neg()).collect();
                    crate::scalar::column::from_natives::<i64>(counts, &LogicalType::Interval(unit))?
                } else {
                    last
                });
                tuple(&ty, columns, rows)
            })
        }
        _ => Err(call.illegal(0)),
    }
}

#[cfg(test)]
mod tests {
    use crate::scalar::testing::{check, check_errors};

    #[test]
    fn tuples_come_apart() {
        check(
            r"
            tuple_to_name_value_pairs | tuple(a uint8, b uint8):(1,2) | array(tuple(string, uint8)):[('a',1),('b',2)]
            tuple_to_name_value_pairs | tuple(uint8, uint8):(3,4) | array(tuple(string, uint8)):[('1',3),('2',4)]
            flatten_tuple | tuple(a uint8, t tuple(b string, c uint8)):(1,('x',2)) | tuple(a uint8, `t.b` string, `t.c` uint8):(1,'x',2)
            l1_normalize | tuple(uint8, uint8):(1,3) | tuple(float64, float64):(0.25,0.75)
            normalize_l2 | tuple(uint8, uint8):(3,4) | tuple(float64, float64):(0.6,0.8)
            linf_normalize | tuple(int8, uint8):(-2,4) | tuple(float64, float64):(-0.5,1)
            lp_normalize | tuple(uint8, uint8):(1,3) ; !uint8:1 | tuple(float64, float64):(0.25,0.75)
            add_tuple_of_intervals | date:2020-01-31 ; tuple(interval_month, interval_day):(1,1) | date:2020-03-01
            subtract_tuple_of_intervals | date:2020-03-31 ; tuple(interval_day, interval_month):(1,1) | date:2020-02-29
            add_interval | interval_day:1 ; interval_day:2 | interval_day:3
            subtract_interval | interval_month:1 ; interval_day:2 | tuple(interval_month, interval_day):(1,-2)
            ",
        );
        check_errors(
            r"
            tuple_to_name_value_pairs | tuple(uint8, string):(1,'a') | ILLEGAL_TYPE_OF_ARGUMENT
            flatten_tuple | uint8:1 | ILLEGAL_TYPE_OF_ARGUMENT
            add_tuple_of_intervals | date:2020-01-01 ; tuple(uint8):(1) | ILLEGAL_TYPE_OF_ARGUMENT
            lp_normalize | tuple(uint8):(1) ; float64:0.5 | ARGUMENT_OUT_OF_BOUND
            ",
        );
    }
}
