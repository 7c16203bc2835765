//! Bitmaps: sets of integers, which are the states of `group_bitmap`.
//!
//! In and out: values of type `aggregate_function(group_bitmap, T)`. A set of one type goes with sets of any other; the answer has
//! the wider type. Bitmaps of more than 64 bits are not known.

use super::column::{Ints, Lists, bools, number_lists, try_texts, uint64s};
use super::define::{Call, define};
use super::number::{Num, to_vec};
use crate::aggregate::bytes::{Reader, put_bytes, put_u64};
use crate::call::{Datum, downcast};
use crate::registry::Registry;
use arrow::array::{ArrayRef, BinaryArray};
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use hydron_types::supertype::least_supertype;
use std::collections::BTreeMap;

pub fn register(registry: &mut Registry) {
    define(registry, "bitmap_build", |call| {
        call.arity(1..=1)?;
        let element = match call.need_array(0)? {
            LogicalType::Nothing => LogicalType::UInt8,
            t if t.is_integer() && t.bits().is_some_and(|b| b <= 64) => t.clone(),
            _ => return Err(call.illegal(0)),
        };
        let from = call.need_array(0)?.clone();
        call.returns(state_type(&element), move |args, rows| {
            let lists = Lists::of(&args[0])?;
            let values = wide(&lists.values, &from)?;
            try_texts(rows, |row, out| {
                Set::new(values[lists.range(row)].to_vec()).write(&element, out);
                Ok(())
            })
        })
    });
    define(registry, "bitmap_to_array", |call| {
        call.arity(1..=1)?;
        let element = element_of(call, 0)?;
        call.returns(LogicalType::array(element.clone()), move |args, rows| {
            let sets = Sets::of(&args[0], &element)?;
            lists_of(&element, rows, |row, out| {
                out.extend(sets.at(row)?.0);
                Ok(())
            })
        })
    });
    register_pairs(registry);
    register_numbers(registry);
    register_subsets(registry);
}

fn register_pairs(registry: &mut Registry) {
    let operations: [(&str, fn(bool, bool) -> bool); 4] =
        [("and", |a, b| a && b), ("or", |a, b| a || b), ("xor", |a, b| a != b), ("andnot", |a, b| a && !b)];
    for (name, keep) in operations {
        define(registry, &format!("bitmap_{name}"), move |call| {
            let (a, b) = two(call)?;
            let element = least_supertype(&[a.clone(), b.clone()])?;
            call.returns(state_type(&element), move |args, rows| {
                let (x, y) = (Sets::of(&args[0], &a)?, Sets::of(&args[1], &b)?);
                try_texts(rows, |row, out| {
                    x.at(row)?.with(&y.at(row)?, keep).write(&element, out);
                    Ok(())
                })
            })
        });
        define(registry, &format!("bitmap_{name}_cardinality"), move |call| {
            let (a, b) = two(call)?;
            call.returns(LogicalType::UInt64, move |args, rows| {
                let (x, y) = (Sets::of(&args[0], &a)?, Sets::of(&args[1], &b)?);
                let counts = (0..rows).map(|row| Ok(x.at(row)?.with(&y.at(row)?, keep).0.len() as u64));
                Ok(u64::array(counts.collect::<Result<_>>()?))
            })
        });
    }
    for (name, all) in [("bitmap_has_all", true), ("bitmap_has_any", false)] {
        define(registry, name, move |call| {
            let (a, b) = two(call)?;
            call.returns(LogicalType::Bool, move |args, rows| {
                let (x, y) = (Sets::of(&args[0], &a)?, Sets::of(&args[1], &b)?);
                let answers = (0..rows).map(|row| {
                    let (x, y) = (x.at(row)?, y.at(row)?);
                    let common = x.with(&y, |a, b| a && b).0.len();
                    Ok(if all { common == y.0.len() } else { common > 0 })
                });
                let answers = answers.collect::<Result<Vec<bool>>>()?;
                Ok(bools(rows, |row| answers[row]))
            })
        });
    }
}

fn register_numbers(registry: &mut Registry) {
    // An empty set has no least and no greatest element; ClickHouse answers the ends of 32 bits.
    let numbers: [(&str, fn(&Set) -> u64); 3] = [
        ("bitmap_cardinality", |s| s.0.len() as u64),
        ("bitmap_min", |s| s.0.first().map_or(u64::from(u32::MAX), |v| *v as u64)),
        ("bitmap_max", |s| s.0.last().map_or(0, |v| *v as u64)),
    ];
    for (name, f) in numbers {
        define(registry, name, move |call| {
            call.arity(1..=1)?;
            let element = element_of(call, 0)?;
            call.returns(LogicalType::UInt64, move |args, rows| {
                let sets = Sets::of(&args[0], &element)?;
                let answers = (0..rows).map(|row| Ok(f(&sets.at(row)?))).collect::<Result<Vec<u64>>>()?;
                Ok(uint64s(rows, |row| answers[row]))
            })
        });
    }
    define(registry, "bitmap_contains", |call| {
        call.arity(2..=2)?;
        let element = element_of(call, 0)?;
        call.need_integer(1)?;
        let needle = call.ty(1).clone();
        call.returns(LogicalType::Bool, move |args, rows| {
            let sets = Sets::of(&args[0], &element)?;
            let wanted = wide(args[1].array()?, &needle)?;
            let at = |row: usize| wanted[if args[1].is_scalar() { 0 } else { row }];
            let answers = (0..rows).map(|row| Ok(sets.at(row)?.0.binary_search(&at(row)).is_ok()));
            let answers = answers.collect::<Result<Vec<bool>>>()?;
            Ok(bools(rows, |row| answers[row]))
        })
    });
}

fn register_subsets(registry: &mut Registry) {
    // Elements from one value on: before another one, or so many of them.
    let subsets: [(&str, fn(&[i128], i128, i128) -> Vec<i128>); 3] = [
        ("bitmap_subset_in_range", |s, from, to| s.iter().filter(|v| (from..to).contains(*v)).copied().collect()),
        ("bitmap_subset_limit", |s, from, count| {
            s.iter().filter(|v| **v >= from).take(count.max(0) as usize).copied().collect()
        }),
        ("sub_bitmap", |s, skip, count| {
            s.iter().skip(skip.max(0) as usize).take(count.max(0) as usize).copied().collect()
        }),
    ];
    for (name, pick) in subsets {
        define(registry, name, move |call| {
            call.arity(3..=3)?;
            let element = element_of(call, 0)?;
            (1..3).try_for_each(|i| call.need(i, LogicalType::is_unsigned_integer))?;
            let types = call.types();
            call.returns(types[0].clone(), move |args, rows| {
                let sets = Sets::of(&args[0], &element)?;
                let (from, to) = (Ints::of(&args[1], &types[1])?, Ints::of(&args[2], &types[2])?);
                let unsigned = |v: i64| i128::from(v as u64);
                try_texts(rows, |row, out| {
                    let set = sets.at(row)?;
                    Set(pick(&set.0, unsigned(from.at(row)), unsigned(to.at(row)))).write(&element, out);
                    Ok(())
                })
            })
        });
    }
    define(registry, "bitmap_transform", |call| {
        call.arity(3..=3)?;
        let element = element_of(call, 0)?;
        let arrays = [call.need_array(1)?.clone(), call.need_array(2)?.clone()];
        for (i, ty) in arrays.iter().enumerate() {
            if !ty.is_integer() {
                return Err(call.illegal(i + 1));
            }
        }
        call.returns(call.ty(0).clone(), move |args, rows| {
            let sets = Sets::of(&args[0], &element)?;
            let (from, to) = (Lists::of(&args[1])?, Lists::of(&args[2])?);
            let (old, new) = (wide(&from.values, &arrays[0])?, wide(&to.values, &arrays[1])?);
            try_texts(rows, |row, out| {
                if from.len(row) != to.len(row) {
                    return Err(Error::bad_arguments("the arrays of \"bitmap_transform\" must have one length"));
                }
                let changes: BTreeMap<i128, i128> =
                    old[from.range(row)].iter().copied().zip(new[to.range(row)].iter().copied()).collect();
                let set = sets.at(row)?.0.iter().map(|v| changes.get(v).copied().unwrap_or(*v)).collect();
                Set::new(set).write(&element, out);
                Ok(())
            })
        })
    });
}

fn state_type(element: &LogicalType) -> LogicalType {
    LogicalType::AggregateFunction { name: "group_bitmap".into(), args: vec![element.clone()].into() }
}

/// The type of the elements. Errors: ILLEGAL_TYPE_OF_ARGUMENT (43) for anything but a bitmap.
fn element_of(call: &Call<'_>, position: usize) -> Result<LogicalType> {
    match call.ty(position) {
        LogicalType::AggregateFunction { name, args } if name.starts_with("group_bitmap") => match &args[..] {
            [t] if t.is_integer() && t.bits().is_some_and(|b| b <= 64) => Ok(t.clone()),
            [inner @ LogicalType::AggregateFunction { .. }] => {
                element_of(&Call { args: &[crate::call::ArgInfo::column(inner.clone())], ..*call }, 0)
            }
            _ => Err(call.illegal(position)),
        },
        _ => Err(call.illegal(position)),
    }
}

fn two(call: &Call<'_>) -> Result<(LogicalType, LogicalType)> {
    call.arity(2..=2)?;
    Ok((element_of(call, 0)?, element_of(call, 1)?))
}

fn wide(array: &ArrayRef, ty: &LogicalType) -> Result<Vec<i128>> {
    to_vec::<i128>(array, ty)
}

fn lists_of(
    element: &LogicalType,
    rows: usize,
    mut f: impl FnMut(usize, &mut Vec<i128>) -> Result<()>,
) -> Result<ArrayRef> {
    use arrow::datatypes as a;
    macro_rules! lists {
        ($($ty:ident => $arrow:ident as $native:ty),*) => {
            match element {
                $(LogicalType::$ty => number_lists::<a::$arrow>(element, rows, |row, out| {
                    let mut values = Vec::new();
                    f(row, &mut values)?;
                    out.extend(values.into_iter().map(|v| v as $native));
                    Ok(())
                }),)*
                other => Err(Error::bug(format!("a bitmap of {other}"))),
            }
        };
    }
    lists!(
        UInt8 => UInt8Type as u8, UInt16 => UInt16Type as u16, UInt32 => UInt32Type as u32, UInt64 => UInt64Type as u64,
        Int8 => Int8Type as i8, Int16 => Int16Type as i16, Int32 => Int32Type as i32, Int64 => Int64Type as i64
    )
}

/// Elements in ascending order, each once.
struct Set(Vec<i128>);

impl Set {
    fn new(mut values: Vec<i128>) -> Set {
        values.sort_unstable();
        values.dedup();
        Set(values)
    }

    /// The elements for which `keep` holds of being in either set.
    fn with(&self, other: &Set, keep: fn(bool, bool) -> bool) -> Set {
        let (mut a, mut b) = (self.0.iter().copied().peekable(), other.0.iter().copied().peekable());
        let mut merged = Vec::new();
        loop {
            let next = match (a.peek(), b.peek()) {
                (None, None) => return Set(merged),
                (x, y) => x.into_iter().chain(y).min().copied().unwrap_or_default(),
            };
            if keep(a.next_if_eq(&next).is_some(), b.next_if_eq(&next).is_some()) {
                merged.push(next);
            }
        }
    }

    /// The state of `group_bitmap` over these elements. Small integers are saved as rows that compare like them.
    fn write(&self, element: &LogicalType, out: &mut Vec<u8>) {
        put_u64(out, self.0.len() as u64);
        let bits = element.bits().unwrap_or(64);
        for value in &self.0 {
            if bits == 64 {
                out.extend_from_slice(&(*value as u64).to_le_bytes());
                continue;
            }
            let flipped = if element.is_signed_integer() { *value + (1 << (bits - 1)) } else { *value } as u32;
            let mut row = [1; 5];
            let width = bits as usize / 8;
            row[1..=width].copy_from_slice(&flipped.to_be_bytes()[4 - width..]);
            put_bytes(out, &row[..=width]);
        }
    }

    /// Errors: INCORRECT_DATA (117) for bytes that are no such state.
    fn read(bytes: &[u8], element: &LogicalType) -> Result<Set> {
        if bytes.is_empty() {
            return Ok(Set(Vec::new()));
        }
        let damaged = || Error::new(Code::INCORRECT_DATA, "the state of a bitmap is damaged");
        let mut reader = Reader(bytes);
        let bits = element.bits().unwrap_or(64);
        let mut values = Vec::new();
        for _ in 0..reader.count()? {
            if bits == 64 {
                let word = u64::from_le_bytes(reader.array()?);
                values.push(if element.is_signed_integer() { i128::from(word as i64) } else { i128::from(word) });
                continue;
            }
            let row = reader.bytes()?;
            let width = bits as usize / 8;
            if row.len() != width + 1 {
                return Err(damaged());
            }
            let number = row[1..].iter().fold(0i128, |v, b| v << 8 | i128::from(*b));
            values.push(if element.is_signed_integer() { number - (1 << (bits - 1)) } else { number });
        }
        Ok(Set::new(values))
    }
}

/// The sets of each row.
struct Sets<'a> {
    states: &'a BinaryArray,
    one: bool,
    element: &'a LogicalType,
}

impl<'a> Sets<'a> {
    fn of(datum: &'a Datum, element: &'a LogicalType) -> Result<Sets<'a>> {
        Ok(Sets { states: downcast(datum.array()?)?, one: datum.is_scalar(), element })
    }

    fn at(&self, row: usize) -> Result<Set> {
        Set::read(self.states.value(if self.one { 0 } else { row }), self.element)
    }
}
