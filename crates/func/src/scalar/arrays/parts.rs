//! Elements and parts of arrays: access by place, slices, ends, order reversed, nested arrays.

use super::make::{gather_or_default, with_default};
use super::{Flat, rearrange};
use crate::call::{BoundCall, Datum};
use crate::registry::Registry;
use crate::scalar::column::{Ints, Lists, list, retyped};
use crate::scalar::define::{Call, define, define_seeing_nulls};
use crate::scalar::strings::slice_range;
use arrow::array::{Array, ArrayRef};
use hydron_base::memory::make_room;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use hydron_types::gather::join_columns;
use hydron_types::supertype::least_supertype;

pub(super) fn register(registry: &mut Registry) {
    define(registry, "array_element", element);
    for (name, front) in [("array_push_front", true), ("array_push_back", false)] {
        define_seeing_nulls(registry, name, move |call| push(call, front));
    }
    for (name, front) in [("array_pop_front", true), ("array_pop_back", false)] {
        define_seeing_nulls(registry, name, move |call| {
            call.arity(1..=1)?;
            let element = call.need_array(0)?.clone();
            call.returns(call.ty(0).clone(), move |args, rows| {
                let lists = Lists::of(&args[0])?;
                rearrange(&element, &lists.values, rows, |row, out| {
                    let range = lists.range(row);
                    let kept = if range.is_empty() || !front {
                        range.start..range.end.max(range.start + 1) - 1
                    } else {
                        range.start + 1..range.end
                    };
                    out.extend(kept.map(|i| i as u32));
                    Ok(())
                })
            })
        });
    }
    define_seeing_nulls(registry, "array_slice", |call| {
        call.arity(2..=3)?;
        let element = call.need_array(0)?.clone();
        for i in 1..call.args.len() {
            call.need(i, |t| t.bare().is_integer() || *t.bare() == LogicalType::Nothing)?;
        }
        let types = call.types();
        call.returns(call.ty(0).clone(), move |args, rows| {
            let lists = Lists::of(&args[0])?;
            let offset = Ints::of(&args[1], &types[1])?;
            let length = args.get(2).map(|a| Ints::of(a, &types[2])).transpose()?;
            let null = |i: usize, row: usize| {
                args.get(i).is_none_or(|a| a.array().is_ok_and(|x| x.is_null(if a.is_scalar() { 0 } else { row })))
            };
            let null = |i: usize, row: usize| null(i, row) || *types[i].bare() == LogicalType::Nothing;
            rearrange(&element, &lists.values, rows, |row, out| {
                let range = lists.range(row);
                let offset = if null(1, row) { 1 } else { offset.at(row) };
                let length = length.as_ref().filter(|_| !null(2, row)).map(|l| l.at(row));
                let part = slice_range(range.len() as i64, offset, length);
                out.extend(part.map(|i| (range.start as i64 + i) as u32));
                Ok(())
            })
        })
    });
    define_seeing_nulls(registry, "array_resize", resize);
    define_seeing_nulls(registry, "array_reverse", |call| {
        call.arity(1..=1)?;
        reverse(call)
    });
    define_seeing_nulls(registry, "array_flatten", |call| {
        call.arity(1..=1)?;
        flatten(call)
    });
    registry.add_alias("flatten", "array_flatten");
    define_seeing_nulls(registry, "array_zip", |call| {
        call.arity(1..=usize::MAX)?;
        let elements = (0..call.args.len()).map(|i| call.need_array(i).cloned()).collect::<Result<Vec<_>>>()?;
        let pair = LogicalType::tuple(elements);
        call.returns(LogicalType::array(pair.clone()), move |args, rows| {
            let flat = Flat::of(args, rows)?;
            let tuples = crate::scalar::column::tuple(&pair, flat.columns.clone(), flat.len())?;
            Ok(flat.list(&pair, tuples))
        })
    });
    // What the subcolumn `sizeN` of nested arrays reads.
    define_seeing_nulls(registry, "__array_sizes", |call| {
        call.arity(2..=2)?;
        let depth = call.constant_int(1)?;
        sizes(&call.args[0].ty, depth).ok_or_else(|| call.illegal(0))?;
        let ty = (0..depth).fold(LogicalType::UInt64, |ty, _| LogicalType::array(ty));
        call.returns(ty, move |args, rows| sizes_at(&args[0].to_array(rows)?, depth))
    });
    define_seeing_nulls(registry, "array_enumerate", |call| {
        call.arity(1..=1)?;
        call.need_array(0)?;
        call.returns(LogicalType::array(LogicalType::UInt32), |args, rows| {
            let lists = Lists::of(&args[0])?;
            crate::scalar::column::number_lists::<arrow::datatypes::UInt32Type>(
                &LogicalType::UInt32,
                rows,
                |row, out| {
                    out.extend(1..=lists.len(row) as u32);
                    Ok(())
                },
            )
        })
    });
}

/// The arrays whose lengths are asked for, `depth` arrays down; `None` when there are none so deep.
fn sizes(ty: &LogicalType, depth: i64) -> Option<&LogicalType> {
    match ty {
        LogicalType::Array(element) if depth > 0 => sizes(element, depth - 1),
        LogicalType::Array(_) if depth == 0 => Some(ty),
        _ => None,
    }
}

fn sizes_at(array: &ArrayRef, depth: i64) -> Result<ArrayRef> {
    let datum = Datum::Array(array.clone());
    let lists = Lists::of(&datum)?;
    if depth == 0 {
        return Ok(crate::scalar::column::uint64s(array.len(), |row| lists.len(row) as u64));
    }
    let flat = Flat::of(std::slice::from_ref(&datum), array.len())?;
    let element = (1..depth).fold(LogicalType::UInt64, |ty, _| LogicalType::array(ty));
    Ok(flat.list(&element, sizes_at(&flat.columns[0], depth - 1)?))
}

/// `array[n]` from 1, from the end when negative; a default past the ends. `map[key]` is in the room of maps.
fn element(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(2..=2)?;
    if matches!(call.ty(0), LogicalType::Map(..)) {
        return crate::scalar::maps::element(call);
    }
    let element = call.need_array(0)?.clone();
    call.need_integer(1)?;
    if call.args[1].constant.as_ref().is_some_and(|v| v.as_i64() == Some(0)) {
        return Err(Error::new(Code::ZERO_ARRAY_OR_TUPLE_INDEX, "elements of an array count from 1"));
    }
    let index_type = call.ty(1).clone();
    call.returns(element.clone(), move |args, rows| {
        let (lists, index) = (Lists::of(&args[0])?, Ints::of(&args[1], &index_type)?);
        gather_or_default(&lists.values, &element, (0..rows).map(|row| place(lists.range(row), index.at(row))))
    })
}

/// The place of element `index` of a row.
pub(crate) fn place(range: std::ops::Range<usize>, index: i64) -> Option<usize> {
    let length = range.len() as i64;
    let at = if index > 0 { index - 1 } else { length.checked_add(index)? };
    (index != 0 && (0..length).contains(&at)).then(|| range.start + at as usize)
}

fn push(call: &Call<'_>, front: bool) -> Result<BoundCall> {
    call.arity(2..=2)?;
    let element = least_supertype(&[call.need_array(0)?.clone(), call.ty(1).clone()])?;
    let ty = LogicalType::array(element.clone());
    let (lists, value) = (call.convert(0, &ty), call.convert(1, &element));
    call.returns(ty, move |args, rows| {
        let lists = lists.datum(&args[0])?;
        let lists = Lists::of(&lists)?;
        let value = retyped(&value.datum(&args[1])?.to_array(rows)?, &element);
        let values = retyped(&lists.values, &element);
        let all = join_columns(&[values.as_ref(), value.as_ref()])?;
        let start = values.len() as u32;
        rearrange(&element, &all, rows, |row, out| {
            if front {
                out.push(start + row as u32);
            }
            out.extend(lists.range(row).map(|i| i as u32));
            if !front {
                out.push(start + row as u32);
            }
            Ok(())
        })
    })
}

/// `array_resize(array, size[, filler])`; a negative size keeps the end and fills at the front.
fn resize(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(2..=3)?;
    let own = call.need_array(0)?.clone();
    call.need_integer(1)?;
    let element = match call.args.get(2) {
        Some(filler) => least_supertype(&[own, filler.ty.clone()])?,
        None => own,
    };
    let ty = LogicalType::array(element.clone());
    let lists = call.convert(0, &ty);
    let filler = call.args.get(2).map(|_| call.convert(2, &element));
    let size_type = call.ty(1).clone();
    call.returns(ty, move |args, rows| {
        let lists = lists.datum(&args[0])?;
        let lists = Lists::of(&lists)?;
        let sizes = Ints::of(&args[1], &size_type)?;
        let values = retyped(&lists.values, &element);
        let start = values.len() as u32;
        let (all, each) = match &filler {
            Some(filler) => {
                let filler = retyped(&filler.datum(&args[2])?.to_array(rows)?, &element);
                (join_columns(&[values.as_ref(), filler.as_ref()])?, 1)
            }
            None => (with_default(&values, &element)?.0, 0),
        };
        rearrange(&element, &all, rows, |row, out| {
            let (range, size) = (lists.range(row), sizes.at(row));
            let wanted = size.unsigned_abs() as usize;
            if wanted > 1 << 30 {
                return Err(Error::new(
                    Code::TOO_LARGE_ARRAY_SIZE,
                    format!("an array of {wanted} elements was asked for"),
                ));
            }
            make_room(out, wanted)?;
            let kept = wanted.min(range.len());
            let filling = std::iter::repeat_n(start + each * row as u32, wanted - kept);
            if size >= 0 {
                out.extend(range.start as u32..(range.start + kept) as u32);
                out.extend(filling);
            } else {
                out.extend(filling);
                out.extend((range.end - kept) as u32..range.end as u32);
            }
            Ok(())
        })
    })
}

pub(crate) fn reverse(call: &Call<'_>) -> Result<BoundCall> {
    let element = call.need_array(0)?.clone();
    call.returns(call.ty(0).clone(), move |args, rows| {
        let lists = Lists::of(&args[0])?;
        rearrange(&element, &lists.values, rows, |row, out| {
            out.extend(lists.range(row).rev().map(|i| i as u32));
            Ok(())
        })
    })
}

/// Arrays of arrays as one array, however deep.
fn flatten(call: &Call<'_>) -> Result<BoundCall> {
    let mut element = call.need_array(0)?.clone();
    let mut depth = 0;
    while let LogicalType::Array(inner) = element {
        element = *inner;
        depth += 1;
    }
    call.returns(LogicalType::array(element.clone()), move |args, rows| {
        let flat = Flat::of(&args[..1], rows)?;
        let mut ends = flat.ends;
        let mut values: ArrayRef = flat.columns[0].clone();
        for _ in 0..depth {
            let column = Datum::Array(values);
            let inner = Lists::of(&column)?;
            let first = inner.offsets[0];
            ends = ends.iter().map(|e| inner.offsets[*e as usize] - first).collect();
            let total = ends[rows] as usize;
            values = inner.values.slice(first as usize, total);
        }
        Ok(list(&element, ends, values))
    })
}
