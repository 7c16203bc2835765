//! Looking for elements: `has`, `has_all`, `has_any`, `has_substr`, `index_of`, `count_equal`.

use crate::call::{BoundCall, Datum};
use crate::registry::Registry;
use crate::scalar::column::{Lists, bools, flags, number_lists, uint64s};
use crate::scalar::define::{Call, Convert, define_seeing_nulls};
use crate::scalar::rows::encode_pair;
use arrow::array::ArrayRef;
use arrow::datatypes::UInt64Type;
use arrow_row::Rows;
use hydron_base::Result;
use hydron_types::LogicalType;
use hydron_types::supertype::least_supertype;
use std::collections::HashSet;

pub(super) fn register(registry: &mut Registry) {
    define_seeing_nulls(registry, "has", |call| {
        search(call, LogicalType::Bool, |found, rows| Ok(bools(rows, |row| found.places(row).next().is_some())))
    });
    define_seeing_nulls(registry, "index_of", |call| {
        search(call, LogicalType::UInt64, |found, rows| {
            Ok(uint64s(rows, |row| found.places(row).next().map_or(0, |i| i as u64 + 1)))
        })
    });
    define_seeing_nulls(registry, "count_equal", |call| {
        search(call, LogicalType::UInt64, |found, rows| Ok(uint64s(rows, |row| found.places(row).count() as u64)))
    });
    define_seeing_nulls(registry, "array_positions", |call| {
        search(call, LogicalType::array(LogicalType::UInt64), |found, rows| {
            number_lists::<UInt64Type>(&LogicalType::UInt64, rows, |row, out| {
                out.extend(found.places(row).map(|i| i as u64 + 1));
                Ok(())
            })
        })
    });
    for (name, relation) in [("has_all", Relation::All), ("has_any", Relation::Any), ("has_substr", Relation::Run)] {
        define_seeing_nulls(registry, name, move |call| relate(call, relation));
    }
}

/// The arrays of a call and the value each is searched for.
struct Found<'a> {
    lists: Lists<'a>,
    elements: Rows,
    wanted: Rows,
    one: bool,
}

impl Found<'_> {
    /// Places from 0 of the wanted value in the array of `row`.
    fn places(&self, row: usize) -> impl Iterator<Item = usize> {
        let wanted = self.wanted.row(if self.one { 0 } else { row });
        let range = self.lists.range(row);
        let start = range.start;
        range.filter(move |i| self.elements.row(*i) == wanted).map(move |i| i - start)
    }
}

fn search(call: &Call<'_>, ty: LogicalType, answer: fn(&Found<'_>, usize) -> Result<ArrayRef>) -> Result<BoundCall> {
    call.arity(2..=2)?;
    let own = match call.ty(0) {
        LogicalType::Map(key, _) => return crate::scalar::maps::contains(call, key),
        _ => call.need_array(0)?.clone(),
    };
    let element =
        if own == LogicalType::Nothing { LogicalType::nullable(call.ty(1).bare().clone()) } else { own.clone() };
    // Of few values each, an array is searched among them: a number is asked for as one of theirs, as a cast makes it.
    let among_few = match &own {
        LogicalType::LowCardinality(few) if few.bare().is_number() && call.ty(1).bare().is_number() => {
            Some(LogicalType::nullable(few.bare().clone()))
        }
        _ => None,
    };
    let common = among_few.or_else(|| comparable_type(&element, call.ty(1))).ok_or_else(|| call.illegal(1))?;
    let common = if common.is_nullable() { common } else { nullable_if_possible(common) };
    let (elements, wanted) = (Convert::new(&own, &common, call.zone()), call.convert(1, &common));
    call.returns(ty, move |args, rows| {
        let lists = Lists::of(&args[0])?;
        let wanted = wanted.datum(&args[1])?;
        let (elements, wanted_rows) = encode_pair(&elements.array(&lists.values)?, wanted.array()?)?;
        answer(&Found { lists, elements, wanted: wanted_rows, one: wanted.is_scalar() }, rows)
    })
}

/// A type in which the two compare: beside their common type, one that only holds both for the comparison.
fn comparable_type(a: &LogicalType, b: &LogicalType) -> Option<LogicalType> {
    if let Ok(common) = least_supertype(&[a.clone(), b.clone()]) {
        return Some(common);
    }
    let (x, y) = (a.bare(), b.bare());
    let wide = if x.is_integer() && y.is_integer() {
        if x.bits().max(y.bits()) <= Some(64) { LogicalType::Int128 } else { LogicalType::Int256 }
    } else if x.is_number() && y.is_number() {
        LogicalType::Float64
    } else {
        return None;
    };
    Some(LogicalType::nullable(wide))
}

/// Comparing through a nullable type keeps NULL elements apart from defaults.
fn nullable_if_possible(ty: LogicalType) -> LogicalType {
    use LogicalType::*;
    if matches!(ty, Array(_) | Tuple(_) | Map(..) | Json | Nested(_)) { ty } else { LogicalType::nullable(ty) }
}

#[derive(Clone, Copy)]
enum Relation {
    All,
    Any,
    Run,
    Start,
    End,
}

/// `starts_with` and `ends_with` of arrays.
pub(crate) fn at_end(call: &Call<'_>, at_start: bool) -> Result<BoundCall> {
    relate(call, if at_start { Relation::Start } else { Relation::End })
}

fn relate(call: &Call<'_>, relation: Relation) -> Result<BoundCall> {
    call.arity(2..=2)?;
    let (a, b) = (call.need_array(0)?.clone(), call.need_array(1)?.clone());
    let boolean = matches!(relation, Relation::Start | Relation::End);
    let ty = if boolean { LogicalType::Bool } else { LogicalType::UInt8 };
    let answer =
        move |rows: usize, holds: &dyn Fn(usize) -> bool| if boolean { bools(rows, holds) } else { flags(rows, holds) };
    let common = match (&a, &b) {
        (LogicalType::Nothing, LogicalType::Nothing) => {
            let empty_in_empty = !matches!(relation, Relation::Any);
            return call.returns(ty, move |_, rows| Ok(answer(rows, &|_| empty_in_empty)));
        }
        (LogicalType::Nothing, other) | (other, LogicalType::Nothing) => nullable_if_possible(other.clone()),
        _ => least_supertype(&[a.clone(), b.clone()])?,
    };
    let (left, right) = (Convert::new(&a, &common, call.zone()), Convert::new(&b, &common, call.zone()));
    call.returns(ty, move |args: &[Datum], rows| {
        let (x, y) = (Lists::of(&args[0])?, Lists::of(&args[1])?);
        let (left, right) = (left.array(&x.values)?, right.array(&y.values)?);
        let (a, b) = encode_pair(&left, &right)?;
        Ok(answer(rows, &|row| {
            let (mine, other) = (x.range(row), y.range(row));
            match relation {
                Relation::Start | Relation::End => {
                    let length = other.len();
                    let start =
                        if matches!(relation, Relation::Start) { mine.start } else { mine.end.saturating_sub(length) };
                    mine.len() >= length && (0..length).all(|i| a.row(start + i) == b.row(other.start + i))
                }
                Relation::Run => {
                    let length = other.len();
                    length == 0
                        || (mine.len() >= length
                            && (mine.start..=mine.end - length)
                                .any(|s| (0..length).all(|i| a.row(s + i) == b.row(other.start + i))))
                }
                _ => {
                    let all = matches!(relation, Relation::All);
                    let have: HashSet<_> = mine.map(|i| a.row(i)).collect();
                    let mut asked = other.map(|i| have.contains(&b.row(i)));
                    if all { asked.all(|x| x) } else { asked.any(|x| x) }
                }
            }
        }))
    })
}
