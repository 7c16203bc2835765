//! Arrays from values: `array`, `range`, empty ones, repetitions, joins.

use super::{gather, rearrange};
use crate::call::{BoundCall, Datum, arrow_error};
use crate::nulls::default_value;
use crate::registry::Registry;
use crate::scalar::column::{Ints, Lists, end_offset, list};
use crate::scalar::define::{Call, Convert, define, define_seeing_nulls};
use crate::scalar::number::{Num, with_integer};
use arrow::array::{Array, ArrayRef};
use arrow::compute::interleave;
use hydron_base::memory::make_room;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use hydron_types::column::array_of;
use hydron_types::gather::join_columns;
use hydron_types::supertype::least_supertype;

pub(super) fn register(registry: &mut Registry) {
    define_seeing_nulls(registry, "array", |call| {
        if call.args.is_empty() {
            return empty(call, LogicalType::Nothing);
        }
        let element = match least_supertype(&call.types())? {
            // Elements that are all NULL, unlike no elements, make any other type nullable.
            LogicalType::Nothing => LogicalType::Nullable(Box::new(LogicalType::Nothing)),
            element => element,
        };
        let conversions: Vec<Convert> = (0..call.args.len()).map(|i| call.convert(i, &element)).collect();
        call.returns(LogicalType::array(element.clone()), move |args, rows| {
            let columns = args.iter().zip(&conversions).map(|(a, c)| c.datum(a)).collect::<Result<Vec<_>>>()?;
            interleaved(&element, &columns, rows)
        })
    });
    use LogicalType::*;
    let empties = [
        ("uint8", UInt8),
        ("uint16", UInt16),
        ("uint32", UInt32),
        ("uint64", UInt64),
        ("int8", Int8),
        ("int16", Int16),
        ("int32", Int32),
        ("int64", Int64),
        ("float32", Float32),
        ("float64", Float64),
        ("string", String),
        ("date", Date),
        ("datetime", DateTime(None)),
    ];
    for (name, element) in empties {
        define(registry, &format!("empty_array_{name}"), move |call| {
            call.arity(0..=0)?;
            empty(call, element.clone())
        });
    }
    define(registry, "empty_array_to_single", |call| {
        call.arity(1..=1)?;
        let element = call.need_array(0)?.clone();
        call.returns(call.ty(0).clone(), move |args, rows| {
            let lists = Lists::of(&args[0])?;
            let (values, spare) = with_default(&lists.values, &element)?;
            rearrange(&element, &values, rows, |row, out| {
                let range = lists.range(row);
                if range.is_empty() {
                    out.push(spare);
                }
                out.extend(range.map(|i| i as u32));
                Ok(())
            })
        })
    });
    define(registry, "range", range);
    define_seeing_nulls(registry, "array_with_constant", |call| {
        call.arity(2..=2)?;
        call.need_integer(0)?;
        let (count, element) = (call.ty(0).clone(), call.ty(1).clone());
        call.returns(LogicalType::array(element.clone()), move |args, rows| {
            let counts = Ints::of(&args[0], &count)?;
            let values = args[1].to_array(rows)?;
            rearrange(&element, &values, rows, |row, out| {
                let count = counts.at(row);
                if !(0..=ELEMENTS_MAX).contains(&count) || out.len() as i64 + count > ELEMENTS_MAX {
                    return Err(too_many(count));
                }
                make_room(out, count as usize)?;
                out.resize(out.len() + count as usize, row as u32);
                Ok(())
            })
        })
    });
    define_seeing_nulls(registry, "replicate", |call| {
        call.arity(2..=usize::MAX)?;
        for i in 1..call.args.len() {
            call.need_array(i)?;
        }
        let element = call.ty(0).clone();
        call.returns(LogicalType::array(element.clone()), move |args, rows| {
            let lists = Lists::of(&args[1])?;
            let values = args[0].to_array(rows)?;
            rearrange(&element, &values, rows, |row, out| {
                make_room(out, lists.len(row))?;
                out.resize(out.len() + lists.len(row), row as u32);
                Ok(())
            })
        })
    });
    define_seeing_nulls(registry, "array_concat", |call| {
        call.arity(1..=usize::MAX)?;
        concat(call)
    });
    define_seeing_nulls(registry, "array_cast", |call| {
        call.arity(1..=usize::MAX)?;
        let element = least_supertype(&call.types())?;
        let conversions: Vec<Convert> = (0..call.args.len()).map(|i| call.convert(i, &element)).collect();
        call.returns(LogicalType::array(element.clone()), move |args, rows| {
            let columns = args.iter().zip(&conversions).map(|(a, c)| c.datum(a)).collect::<Result<Vec<_>>>()?;
            interleaved(&element, &columns, rows)
        })
    });
}

/// Elements that functions which make arrays from numbers may make in one batch.
const ELEMENTS_MAX: i64 = 500_000_000;

fn too_many(count: i64) -> Error {
    Error::new(
        Code::TOO_LARGE_ARRAY_SIZE,
        format!("an array of {count} elements was asked for, the limit is {ELEMENTS_MAX} in a batch"),
    )
}

fn empty(call: &Call<'_>, element: LogicalType) -> Result<BoundCall> {
    let ty = LogicalType::array(element.clone());
    call.returns(ty, move |_, rows| {
        let none = arrow::array::new_empty_array(&hydron_types::physical::arrow_type(&element));
        Ok(list(&element, vec![0; rows + 1], none))
    })
}

/// The values and one more, the default of the type; and where that one is.
pub(crate) fn with_default(values: &ArrayRef, element: &LogicalType) -> Result<(ArrayRef, u32)> {
    let spare = array_of(&default_value(element), element, 1)?;
    let spare = crate::scalar::column::retyped_like(&spare, values);
    let all = join_columns(&[values.as_ref(), spare.as_ref()])?;
    Ok((all, values.len() as u32))
}

/// The array of the values of each row.
pub(crate) fn interleaved(element: &LogicalType, columns: &[Datum], rows: usize) -> Result<ArrayRef> {
    let arrays = columns
        .iter()
        .map(|c| c.array().map(|a| crate::scalar::column::retyped(a, element)))
        .collect::<Result<Vec<_>>>()?;
    let arrays: Vec<&dyn Array> = arrays.iter().map(|a| a.as_ref()).collect();
    let mut places = Vec::with_capacity(rows * columns.len());
    for row in 0..rows {
        places.extend(columns.iter().enumerate().map(|(i, c)| (i, if c.is_scalar() { 0 } else { row })));
    }
    let values = if columns.is_empty() {
        arrow::array::new_empty_array(&hydron_types::physical::arrow_type(element))
    } else {
        interleave(&arrays, &places).map_err(arrow_error)?
    };
    let ends = (0..=rows).map(|row| end_offset(row * columns.len())).collect::<Result<Vec<_>>>()?;
    Ok(list(element, ends, values))
}

/// `range(end)`, `range(start, end[, step])`.
fn range(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(1..=3)?;
    (0..call.args.len()).try_for_each(|i| call.need_integer(i))?;
    if let Some(wide) = call.args.iter().find(|a| a.ty.bits() > Some(64)) {
        let text = format!("\"range\" counts in at most 64 bits, not in {}", wide.ty);
        return Err(Error::new(Code::ILLEGAL_COLUMN, text));
    }
    let limit = i128::from(call.cx.settings.uint("function_range_max_elements_in_block")).min(i128::from(ELEMENTS_MAX));
    let bare: Vec<LogicalType> = call.types().iter().map(crate::scalar::number::number_layout).collect();
    let element = least_supertype(&bare)?;
    let types = call.types();
    call.returns(LogicalType::array(element.clone()), move |args, rows| {
        let bounds = args.iter().zip(&types).map(|(a, t)| Ints::of(a, t)).collect::<Result<Vec<_>>>()?;
        let mut values: Vec<i64> = Vec::new();
        let mut ends = vec![0];
        for row in 0..rows {
            let (start, end, step) = match bounds.as_slice() {
                [end] => (0, end.at(row), 1),
                [start, end] => (start.at(row), end.at(row), 1),
                [start, end, step, ..] => (start.at(row), end.at(row), step.at(row)),
                [] => (0, 0, 1),
            };
            if step == 0 {
                return Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, "the step of range cannot be 0"));
            }
            let distance =
                if step > 0 { i128::from(end) - i128::from(start) } else { i128::from(start) - i128::from(end) };
            let count = (distance.max(0) + i128::from(step.unsigned_abs()) - 1) / i128::from(step.unsigned_abs());
            if values.len() as i128 + count > limit {
                let text = format!(
                    "range would make {} elements in a batch, function_range_max_elements_in_block is {limit}",
                    values.len() as i128 + count
                );
                return Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, text));
            }
            make_room(&mut values, count as usize)?;
            values.extend((0..count as i64).map(|i| start.wrapping_add(i.wrapping_mul(step))));
            ends.push(end_offset(values.len())?);
        }
        let values = with_integer!(&element, R => R::array(values.into_iter().map(R::from_i64).collect()),
            else return Err(Error::bug(format!("range of {element}"))));
        Ok(list(&element, ends, values))
    })
}

/// Arrays joined end to end.
pub(crate) fn concat(call: &Call<'_>) -> Result<BoundCall> {
    for i in 0..call.args.len() {
        call.need_array(i)?;
    }
    let ty = least_supertype(&call.types())?;
    let LogicalType::Array(element) = ty.clone() else {
        return Err(call.illegal(0));
    };
    let conversions: Vec<Convert> = (0..call.args.len()).map(|i| call.convert(i, &ty)).collect();
    call.returns(ty, move |args, rows| {
        let columns = args.iter().zip(&conversions).map(|(a, c)| c.datum(a)).collect::<Result<Vec<_>>>()?;
        let lists = columns.iter().map(Lists::of).collect::<Result<Vec<_>>>()?;
        let values: Vec<ArrayRef> = lists.iter().map(|l| crate::scalar::column::retyped(&l.values, &element)).collect();
        let mut starts = vec![0u32];
        values.iter().for_each(|v| starts.push(starts[starts.len() - 1] + v.len() as u32));
        let parts: Vec<&dyn Array> = values.iter().map(|a| a.as_ref()).collect();
        let all = join_columns(&parts)?;
        rearrange(&element, &all, rows, |row, out| {
            for (l, start) in lists.iter().zip(&starts) {
                out.extend(l.range(row).map(|i| start + i as u32));
            }
            Ok(())
        })
    })
}

/// `values` at places; `None` is the default of the type.
pub(crate) fn gather_or_default(
    values: &ArrayRef,
    element: &LogicalType,
    places: impl Iterator<Item = Option<usize>>,
) -> Result<ArrayRef> {
    let (all, spare) = with_default(values, element)?;
    gather(&all, places.map(|p| p.map_or(spare, |p| p as u32)).collect())
}
