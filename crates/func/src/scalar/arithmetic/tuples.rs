//! Arithmetic on tuples: element by element, or each element with one number. The vector functions build on it.

use super::Op;
use crate::call::{ArgInfo, BoundCall, Datum, EvalContext, downcast};
use crate::nulls::without_nulls;
use crate::registry::Registry;
use crate::scalar::column::tuple;
use crate::scalar::define::{Call, define};
use arrow::array::{Array, ArrayRef, StructArray};
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;

pub(super) fn register(registry: &mut Registry) {
    let pairs =
        [("tuple_plus", "plus"), ("tuple_minus", "minus"), ("tuple_multiply", "multiply"), ("tuple_divide", "divide")];
    for (name, element) in pairs {
        define(registry, name, move |call| {
            call.arity(2..=2)?;
            for position in 0..2 {
                call.need(position, |t| matches!(t, LogicalType::Tuple(_)))?;
            }
            elementwise(call, element)
        });
    }
    for (name, element) in [("tuple_multiply_by_number", "multiply"), ("tuple_divide_by_number", "divide")] {
        define(registry, name, move |call| {
            call.arity(2..=2)?;
            call.need(0, |t| matches!(t, LogicalType::Tuple(_)))?;
            call.need_number(1)?;
            elementwise(call, element)
        });
    }
    define(registry, "tuple_negate", |call| {
        call.arity(1..=1)?;
        call.need(0, |t| matches!(t, LogicalType::Tuple(_)))?;
        elementwise(call, "negate")
    });
    registry.add_alias("vector_sum", "tuple_plus");
    registry.add_alias("vector_difference", "tuple_minus");
}

pub(super) fn bind(call: &Call<'_>, op: Op) -> Result<BoundCall> {
    let both = call.args.iter().all(|a| matches!(a.ty, LogicalType::Tuple(_)));
    match op {
        Op::Plus if both => elementwise(call, "plus"),
        Op::Minus if both => elementwise(call, "minus"),
        Op::Multiply if !both => elementwise(call, "multiply"),
        Op::Multiply => Registry::builtin().bind_scalar("dot_product", call.cx, call.args),
        Op::Divide if matches!(call.ty(0), LogicalType::Tuple(_)) && !both => elementwise(call, "divide"),
        _ => Err(call.illegal(0)),
    }
}

/// Applies `function` to the elements of the tuples at equal places; an argument that is no tuple goes with every element.
pub(crate) fn elementwise(call: &Call<'_>, function: &str) -> Result<BoundCall> {
    let widths: Vec<usize> = call.args.iter().filter_map(|a| elements(&a.ty).map(<[_]>::len)).collect();
    let width = widths.first().copied().unwrap_or(0);
    if widths.iter().any(|w| *w != width) || width == 0 {
        return Err(Error::new(
            Code::ILLEGAL_TYPE_OF_ARGUMENT,
            format!("function \"{}\" takes tuples of one length above 0, given lengths {widths:?}", call.name),
        ));
    }
    let bound = (0..width)
        .map(|i| {
            let args: Vec<ArgInfo> = call
                .args
                .iter()
                .map(|a| match elements(&a.ty) {
                    Some(e) => ArgInfo::column(e[i].1.clone()),
                    None => a.clone(),
                })
                .collect();
            Registry::builtin().bind_scalar(function, call.cx, &args)
        })
        .collect::<Result<Vec<_>>>()?;
    let ty = LogicalType::tuple(bound.iter().map(|b| b.ty.clone()));
    let out = ty.clone();
    Ok(BoundCall::new(ty, move |cx: &EvalContext, args: &[Datum], rows| {
        let columns = bound
            .iter()
            .enumerate()
            .map(|(i, b)| {
                let args = args.iter().map(|a| element(a, i)).collect::<Result<Vec<_>>>()?;
                b.kernel.eval(cx, &args, rows)?.to_array(rows)
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        Ok(Datum::Array(tuple(&out, columns, rows)?))
    }))
}

/// The sum of the elements of the tuple that `of` makes, of the type that adding them one by one has.
pub(crate) fn sum_of(call: &Call<'_>, of: BoundCall) -> Result<BoundCall> {
    let parts = elements(&of.ty).ok_or_else(|| Error::bug("the sum of what is no tuple"))?;
    let first = parts.first().map(|(_, t)| t.clone()).ok_or_else(|| call.illegal(0))?;
    let mut sums: Vec<BoundCall> = Vec::with_capacity(parts.len());
    for (_, ty) in &parts[1..] {
        let so_far = sums.last().map_or(&first, |b| &b.ty).clone();
        let args = [ArgInfo::column(so_far), ArgInfo::column(ty.clone())];
        sums.push(Registry::builtin().bind_scalar("plus", call.cx, &args)?);
    }
    let ty = sums.last().map_or(first, |b| b.ty.clone());
    Ok(BoundCall::new(ty, move |cx: &EvalContext, args: &[Datum], rows| {
        let tuple = Datum::Array(of.kernel.eval(cx, args, rows)?.to_array(rows)?);
        let mut total = element(&tuple, 0)?;
        for (i, sum) in sums.iter().enumerate() {
            total = sum.kernel.eval(cx, &[total, element(&tuple, i + 1)?], rows)?;
        }
        Ok(total)
    }))
}

/// `function` of each element of the tuple that `of` makes; with `twice`, of each element and itself.
pub(crate) fn each_of(call: &Call<'_>, of: BoundCall, function: &str, twice: bool) -> Result<BoundCall> {
    let args = vec![ArgInfo::column(of.ty.clone()); 1 + usize::from(twice)];
    let count = args.len();
    let bound = elementwise(&Call { args: &args, ..*call }, function)?;
    Ok(BoundCall::new(bound.ty.clone(), move |cx: &EvalContext, args: &[Datum], rows| {
        let tuple = Datum::Array(of.kernel.eval(cx, args, rows)?.to_array(rows)?);
        bound.kernel.eval(cx, &vec![tuple; count], rows)
    }))
}

fn elements(ty: &LogicalType) -> Option<&[(Option<std::sync::Arc<str>>, LogicalType)]> {
    match ty {
        LogicalType::Tuple(e) => Some(e),
        _ => None,
    }
}

fn element(datum: &Datum, index: usize) -> Result<Datum> {
    let array = datum.array()?;
    if !matches!(array.data_type(), arrow::datatypes::DataType::Struct(_)) {
        return Ok(datum.clone());
    }
    let column = without_mask_of(downcast::<StructArray>(array)?, index);
    Ok(if datum.is_scalar() { Datum::Scalar(column) } else { Datum::Array(column) })
}

/// A column of a tuple; what stands under a masked tuple is a plain value.
fn without_mask_of(tuple: &StructArray, index: usize) -> ArrayRef {
    let column = tuple.column(index);
    if tuple.nulls().is_some() && !tuple.fields()[index].is_nullable() { without_nulls(column) } else { column.clone() }
}
