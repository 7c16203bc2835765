//! Functions that ask a lambda about each element.
//!
//! The elements of a batch are laid end to end, the lambda runs once over all of them, and the answers are cut into rows.

use super::make::gather_or_default;
use super::{Flat, gather, rearrange};
use crate::call::{BoundCall, Datum, EvalContext, downcast};
use crate::registry::Registry;
use crate::scalar::column::{Lists, bools, end_offset, flags, list, numbers, retyped};
use crate::scalar::conditional::condition;
use crate::scalar::define::{Call, Convert, define_with_lambda};
use crate::scalar::logic::has_truth;
use crate::scalar::rows::encode;
use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::datatypes::UInt32Type;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;

/// The parameters of a lambda are the elements of the arrays beside it.
pub(super) fn element_types(position: usize, args: &[Option<LogicalType>]) -> Result<Vec<LogicalType>> {
    let arrays = args.iter().enumerate().filter(|(i, _)| *i != position).filter_map(|(_, t)| t.as_ref());
    arrays
        .map(|t| match t {
            LogicalType::Array(element) => Ok((**element).clone()),
            other => {
                Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, format!("a lambda runs over arrays, given {other}")))
            }
        })
        .collect()
}

/// The arrays of a call, and for each element an answer: of the lambda if the call has one, else the element of the first
/// array.
pub(super) struct Answers {
    pub flat: Flat,
    pub values: ArrayRef,
}

/// A call whose first argument may be a lambda.
#[derive(Clone)]
pub(super) struct Asked {
    has_lambda: bool,
    /// The type of the answers.
    pub ty: LogicalType,
    /// The element type of the first array.
    pub element: LogicalType,
}

impl Asked {
    pub fn of(call: &Call<'_>, needs_lambda: bool) -> Result<Asked> {
        let has_lambda = call.args.first().is_some_and(|a| a.lambda_params.is_some());
        if needs_lambda && !has_lambda {
            call.arity(2..=usize::MAX)?;
            return Err(call.illegal(0));
        }
        let first = usize::from(has_lambda);
        if has_lambda {
            call.arity(2..=usize::MAX)?
        } else {
            call.arity(1..=1)?
        }
        for i in first..call.args.len() {
            call.need_array(i)?;
        }
        let element = call.need_array(first)?.clone();
        let ty = if has_lambda { call.args[0].ty.clone() } else { element.clone() };
        Ok(Asked { has_lambda, ty, element })
    }

    pub fn answers(&self, cx: &EvalContext, args: &[Datum], rows: usize) -> Result<Answers> {
        let flat = Flat::of(&args[usize::from(self.has_lambda)..], rows)?;
        let values = if self.has_lambda { flat.call(cx, &args[0])? } else { flat.columns[0].clone() };
        Ok(Answers { flat, values })
    }

    /// The answers as true or false.
    fn truth(&self, cx: &EvalContext, args: &[Datum], rows: usize) -> Result<(Flat, BooleanArray)> {
        let answers = self.answers(cx, args, rows)?;
        let mask = condition(&answers.values, &self.ty)?;
        Ok((answers.flat, mask))
    }

    fn need_truth(&self, call: &Call<'_>) -> Result<()> {
        if has_truth(&self.ty) { Ok(()) } else { Err(call.illegal(0)) }
    }

    /// A bound call from a kernel that gets rows of answers.
    pub fn returns<F>(self, ty: LogicalType, kernel: F) -> Result<BoundCall>
    where
        F: Fn(&Asked, &EvalContext, &[Datum], usize) -> Result<ArrayRef> + Send + Sync + 'static,
    {
        Ok(BoundCall::new(ty, move |cx: &EvalContext, args: &[Datum], rows| {
            Ok(Datum::Array(kernel(&self, cx, args, rows)?))
        }))
    }
}

pub(super) fn register(registry: &mut Registry) {
    define_with_lambda(registry, "array_map", element_types, |call| {
        let asked = Asked::of(call, true)?;
        let element = asked.ty.clone();
        asked.returns(LogicalType::array(element.clone()), move |asked, cx, args, rows| {
            let answers = asked.answers(cx, args, rows)?;
            Ok(answers.flat.list(&element, answers.values))
        })
    });
    define_with_lambda(registry, "array_filter", element_types, |call| {
        let asked = Asked::of(call, true)?;
        asked.need_truth(call)?;
        let element = asked.element.clone();
        asked.returns(LogicalType::array(element.clone()), move |asked, cx, args, rows| {
            let (flat, mask) = asked.truth(cx, args, rows)?;
            rearrange(&element, &flat.columns[0], rows, |row, out| {
                out.extend(flat.range(row).filter(|i| mask.value(*i)).map(|i| i as u32));
                Ok(())
            })
        })
    });
    define_with_lambda(registry, "array_compact", element_types, |call| {
        let asked = Asked::of(call, false)?;
        let element = asked.ty.clone();
        asked.returns(LogicalType::array(element.clone()), move |asked, cx, args, rows| {
            let Answers { flat, values } = asked.answers(cx, args, rows)?;
            let keys = encode(&values)?;
            rearrange(&element, &values, rows, |row, out| {
                let range = flat.range(row);
                let start = range.start;
                out.extend(range.filter(|i| *i == start || keys.row(*i) != keys.row(*i - 1)).map(|i| i as u32));
                Ok(())
            })
        })
    });
    define_with_lambda(registry, "array_exists", element_types, |call| {
        let asked = Asked::of(call, false)?;
        asked.need_truth(call)?;
        asked.returns(LogicalType::Bool, |asked, cx, args, rows| {
            let (flat, mask) = asked.truth(cx, args, rows)?;
            Ok(bools(rows, |row| flat.range(row).any(|i| mask.value(i))))
        })
    });
    define_with_lambda(registry, "array_all", element_types, |call| {
        let asked = Asked::of(call, false)?;
        asked.need_truth(call)?;
        asked.returns(LogicalType::UInt8, |asked, cx, args, rows| {
            let (flat, mask) = asked.truth(cx, args, rows)?;
            Ok(flags(rows, |row| flat.range(row).all(|i| mask.value(i))))
        })
    });
    define_with_lambda(registry, "array_count", element_types, |call| {
        let asked = Asked::of(call, false)?;
        asked.need_truth(call)?;
        asked.returns(LogicalType::UInt32, |asked, cx, args, rows| {
            let (flat, mask) = asked.truth(cx, args, rows)?;
            Ok(numbers::<UInt32Type>(rows, |row| flat.range(row).filter(|i| mask.value(*i)).count() as u32))
        })
    });
    register_first(registry);
    for (name, backwards) in [("array_fill", false), ("array_reverse_fill", true)] {
        define_with_lambda(registry, name, element_types, move |call| {
            let asked = Asked::of(call, true)?;
            asked.need_truth(call)?;
            let element = asked.element.clone();
            asked.returns(LogicalType::array(element.clone()), move |asked, cx, args, rows| {
                let (flat, mask) = asked.truth(cx, args, rows)?;
                let mut sources: Vec<u32> = (0..flat.len() as u32).collect();
                for row in 0..rows {
                    fill(&mut sources[flat.range(row)], flat.range(row).start, &mask, backwards);
                }
                Ok(flat.list(&element, gather(&flat.columns[0], sources)?))
            })
        });
    }
    for (name, backwards) in [("array_split", false), ("array_reverse_split", true)] {
        define_with_lambda(registry, name, element_types, move |call| {
            let asked = Asked::of(call, true)?;
            asked.need_truth(call)?;
            let inner = LogicalType::array(asked.element.clone());
            asked.returns(LogicalType::array(inner.clone()), move |asked, cx, args, rows| {
                let (flat, mask) = asked.truth(cx, args, rows)?;
                let (mut ends, mut parts) = (vec![0], vec![0]);
                for row in 0..rows {
                    let range = flat.range(row);
                    for i in range.clone() {
                        // A part ends before a marked element; backwards, after it.
                        let cut = if backwards {
                            i + 1 < range.end && mask.value(i)
                        } else {
                            i + 1 < range.end && mask.value(i + 1)
                        };
                        if cut || i + 1 == range.end {
                            parts.push(end_offset(i + 1)?);
                        }
                    }
                    ends.push(end_offset(parts.len() - 1)?);
                }
                let lists = list(&asked.element, parts, flat.columns[0].clone());
                Ok(list(&inner, ends, lists))
            })
        });
    }
    define_with_lambda(registry, "array_fold", fold_types, fold);
}

/// Elements that are not marked take the value of the nearest marked one before (or after) them.
fn fill(sources: &mut [u32], start: usize, mask: &BooleanArray, backwards: bool) {
    if backwards {
        for i in (0..sources.len().saturating_sub(1)).rev() {
            if !mask.value(start + i) {
                sources[i] = sources[i + 1];
            }
        }
    } else {
        for i in 1..sources.len() {
            if !mask.value(start + i) {
                sources[i] = sources[i - 1];
            }
        }
    }
}

fn register_first(registry: &mut Registry) {
    let kinds = [
        ("array_first", false, false),
        ("array_last", true, false),
        ("array_first_or_null", false, true),
        ("array_last_or_null", true, true),
    ];
    let find = |flat: &Flat, mask: &BooleanArray, row: usize, last: bool| {
        let mut range = flat.range(row);
        if last { range.rfind(|i| mask.value(*i)) } else { range.find(|i| mask.value(*i)) }
    };
    for (name, last, or_null) in kinds {
        define_with_lambda(registry, name, element_types, move |call| {
            let asked = Asked::of(call, true)?;
            asked.need_truth(call)?;
            let element = asked.element.clone();
            let ty = if or_null { LogicalType::nullable(element.clone()) } else { element.clone() };
            asked.returns(ty.clone(), move |asked, cx, args, rows| {
                let (flat, mask) = asked.truth(cx, args, rows)?;
                let places = (0..rows).map(|row| find(&flat, &mask, row, last));
                if or_null {
                    gather_or_default(&retyped(&flat.columns[0], &ty), &ty, places)
                } else {
                    gather_or_default(&flat.columns[0], &element, places)
                }
            })
        });
    }
    for (name, last) in [("array_first_index", false), ("array_last_index", true)] {
        define_with_lambda(registry, name, element_types, move |call| {
            let asked = Asked::of(call, true)?;
            asked.need_truth(call)?;
            asked.returns(LogicalType::UInt32, move |asked, cx, args, rows| {
                let (flat, mask) = asked.truth(cx, args, rows)?;
                Ok(numbers::<UInt32Type>(rows, |row| {
                    find(&flat, &mask, row, last).map_or(0, |i| (i - flat.range(row).start) as u32 + 1)
                }))
            })
        });
    }
}

/// `array_fold((acc, x, …) -> …, arrays…, start)`: the accumulator comes first.
fn fold_types(position: usize, args: &[Option<LogicalType>]) -> Result<Vec<LogicalType>> {
    let Some((Some(start), arrays)) = args.split_last() else {
        return Err(Error::new(
            Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH,
            "array_fold takes a lambda, arrays and a start value",
        ));
    };
    let mut types = vec![start.clone()];
    types.extend(element_types(position, arrays)?);
    Ok(types)
}

fn fold(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(3..=usize::MAX)?;
    let last = call.args.len() - 1;
    if call.args[0].lambda_params.is_none() {
        return Err(call.illegal(0));
    }
    for i in 1..last {
        call.need_array(i)?;
    }
    let ty = call.ty(last).clone();
    if call.args[0].ty != ty {
        return Err(Error::new(
            Code::TYPE_MISMATCH,
            format!("the lambda of array_fold answers {}, the accumulator is {ty}", call.args[0].ty),
        ));
    }
    let step = Convert::new(&call.args[0].ty, &ty, call.zone());
    Ok(BoundCall::new(ty.clone(), move |cx: &EvalContext, args: &[Datum], rows| {
        let flat = Flat::of(&args[1..last], rows)?;
        let Datum::Lambda(body) = &args[0] else {
            return Err(Error::bug("a value was called as a lambda"));
        };
        let mut state = args[last].to_array(rows)?;
        let longest = (0..rows).map(|row| flat.range(row).len()).max().unwrap_or(0);
        // One step for all rows that still have an element.
        for n in 0..longest {
            let active: Vec<u32> = (0..rows as u32).filter(|row| flat.range(*row as usize).len() > n).collect();
            let places: Vec<u32> = active.iter().map(|row| (flat.range(*row as usize).start + n) as u32).collect();
            let mut params = vec![gather(&state, active.clone())?];
            for column in &flat.columns {
                params.push(gather(column, places.clone())?);
            }
            let next = step.array(&body.call(cx, &params, &active, active.len())?)?;
            state = scatter(&state, &next, &active)?;
        }
        Ok(Datum::Array(state))
    }))
}

/// `all` with the values of `some` at the places `at`.
fn scatter(all: &ArrayRef, some: &ArrayRef, at: &[u32]) -> Result<ArrayRef> {
    let some = crate::scalar::column::retyped_like(some, all);
    let mut places: Vec<(usize, usize)> = (0..all.len()).map(|i| (0, i)).collect();
    at.iter().enumerate().for_each(|(i, row)| places[*row as usize] = (1, i));
    arrow::compute::interleave(&[all.as_ref(), some.as_ref()], &places).map_err(crate::call::arrow_error)
}

/// `map_apply` and `map_filter`: the lambda gets key and value.
pub(crate) fn pair_types(_: usize, args: &[Option<LogicalType>]) -> Result<Vec<LogicalType>> {
    match args.iter().flatten().next() {
        Some(LogicalType::Map(key, value)) => Ok(vec![(**key).clone(), (**value).clone()]),
        _ => Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, "the lambda runs over a map")),
    }
}

/// Keys and values of the pairs of a map, in one run.
pub(crate) fn pairs(map: &Datum, rows: usize) -> Result<Flat> {
    let full = Datum::Array(map.to_array(rows)?);
    let lists = Lists::of(&full)?;
    let first = lists.offsets[0];
    let ends: Vec<i32> = lists.offsets.iter().map(|o| o - first).collect();
    let entries = lists.values.slice(first as usize, ends[rows] as usize);
    let entries: &arrow::array::StructArray = downcast(&entries)?;
    let origin =
        (0..rows).flat_map(|row| std::iter::repeat_n(row as u32, (ends[row + 1] - ends[row]) as usize)).collect();
    Ok(Flat { columns: entries.columns().to_vec(), ends, origin })
}
