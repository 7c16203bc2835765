//! Membership in a constant set: the right side of `IN`, prepared once and asked batch by batch.
//!
//! In: the types of the left side (one column, or the elements of a tuple) and the values of the right side. Out: `bool` for
//! each row. Promise: a value that the left type cannot hold is in no set; without `nulls` NULL on the right is never found and a
//! NULL on the left finds nothing (the caller makes the result NULL).

use super::column::{Texts, bools};
use super::define::{Call, define_seeing_nulls};
use super::number::number_layout;
use super::rows::encode_columns;
use crate::call::{ArgInfo, BoundCall, Datum, EvalContext, downcast};
use crate::registry::Registry;
use arrow::array::{Array, ArrayRef, BooleanArray, StructArray};
use arrow::datatypes::i256;
use foldhash::HashSet;
use hydron_base::{Code, Error, Result};
use hydron_types::cast::{CastMode, CastOptions, cast, decimal_holds_whole};
use hydron_types::column::{ColumnBuilder, array_of};
use hydron_types::{LogicalType, Value, Zone};
use std::sync::Arc;

/// A set of values or tuples.
#[derive(Clone, Debug)]
pub struct InSet {
    left: Vec<LogicalType>,
    members: Members,
    /// NULL is a value like any other (`transform_null_in`).
    nulls: bool,
    /// It is a member; for a set of single values.
    has_null: bool,
}

#[derive(Clone, Debug)]
enum Members {
    /// Integers of at most 64 bits, dates and times, by their bits.
    Words(HashSet<u64>),
    Bytes(HashSet<Box<[u8]>>),
    /// Anything else, by its comparable bytes.
    Rows(HashSet<Box<[u8]>>),
}

impl InSet {
    /// The set of `values`, each with its own type. For a left side of several columns each value is a tuple.
    ///
    /// Errors: NUMBER_OF_COLUMNS_DOESNT_MATCH (20) for a tuple of another length, TYPE_MISMATCH (53) and what parsing a
    /// string constant as the left type answers.
    pub fn from_values(
        left: &[LogicalType],
        values: &[(Value, LogicalType)],
        zone: Zone,
        nulls: bool,
    ) -> Result<InSet> {
        // Nothing but NULL stands there, and NULL is in no set.
        let values = if left.iter().any(|t| *t.bare() == LogicalType::Nothing) { &[] } else { values };
        let mut columns: Vec<ColumnBuilder> =
            left.iter().map(|t| ColumnBuilder::new(&LogicalType::nullable(plain(t)))).collect();
        for (value, ty) in values {
            let elements: Vec<(Value, LogicalType)> = match (value, ty) {
                (Value::Tuple(v), LogicalType::Tuple(t)) if left.len() > 1 => {
                    v.iter().cloned().zip(t.iter().map(|(_, t)| t.clone())).collect()
                }
                _ => vec![(value.clone(), ty.clone())],
            };
            if value.is_null() && !(nulls && left.len() == 1) {
                continue;
            }
            if elements.len() != left.len() {
                return Err(Error::new(
                    Code::NUMBER_OF_COLUMNS_DOESNT_MATCH,
                    format!("IN compares {} columns with a tuple of {}", left.len(), elements.len()),
                ));
            }
            let converted =
                elements.iter().zip(left).map(|((v, t), l)| convert(v, t, l, zone)).collect::<Result<Vec<_>>>()?;
            let was_null = |i: usize| nulls && elements[i].0.is_null();
            if converted.iter().enumerate().any(|(i, v)| v.is_null() && !was_null(i)) {
                continue;
            }
            for (column, value) in columns.iter_mut().zip(&converted) {
                column.append(value)?;
            }
        }
        let arrays = columns.iter_mut().map(ColumnBuilder::finish).collect::<Result<Vec<_>>>()?;
        let types: Vec<LogicalType> = left.iter().map(|t| LogicalType::nullable(plain(t))).collect();
        InSet::from_arrays(left, &arrays, &types, zone, nulls)
    }

    /// The set of the rows of `columns` (the result of a subquery), one column for each type of the left side.
    pub fn from_arrays(
        left: &[LogicalType],
        columns: &[ArrayRef],
        types: &[LogicalType],
        zone: Zone,
        nulls: bool,
    ) -> Result<InSet> {
        let given = columns;
        if columns.len() != left.len() {
            return Err(Error::new(
                Code::NUMBER_OF_COLUMNS_DOESNT_MATCH,
                format!("IN compares {} columns with {}", left.len(), columns.len()),
            ));
        }
        let left: Vec<LogicalType> = left.iter().map(plain).collect();
        let options = CastOptions { mode: CastMode::AccurateOrNull, ..CastOptions::wrap(zone) };
        let columns = columns
            .iter()
            .zip(types)
            .zip(&left)
            .map(|((c, from), to)| if plain(from) == *to { Ok(Arc::clone(c)) } else { cast(c, from, to, &options) })
            .collect::<Result<Vec<_>>>()?;
        let rows = columns.first().map_or(0, |c| c.len());
        let single = left.len() == 1;
        let was_null = |i: usize, row: usize| nulls && !single && given[i].is_null(row);
        let present = |row: usize| columns.iter().enumerate().all(|(i, c)| !c.is_null(row) || was_null(i, row));
        let has_null = nulls && single && given[0].logical_null_count() > 0;
        let members = match left.as_slice() {
            [one] if is_word(one) => {
                let words = words(&columns[0], one)?;
                Members::Words((0..rows).filter(|r| present(*r)).map(|r| words[r]).collect())
            }
            [LogicalType::String] => {
                let texts = Texts::of_array(&columns[0])?;
                Members::Bytes((0..rows).filter(|r| present(*r)).map(|r| texts.at(r).into()).collect())
            }
            _ => {
                let encoded = encode_columns(&columns)?;
                Members::Rows((0..rows).filter(|r| present(*r)).map(|r| encoded.row(r).as_ref().into()).collect())
            }
        };
        Ok(InSet { left, members, nulls, has_null })
    }

    pub fn len(&self) -> usize {
        match &self.members {
            Members::Words(set) => set.len(),
            Members::Bytes(set) | Members::Rows(set) => set.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether each row is in the set; false where a column is NULL. `columns` has one full array for each type of the left.
    pub fn contains(&self, columns: &[ArrayRef], rows: usize) -> Result<BooleanArray> {
        let found = match (&self.members, columns) {
            (Members::Words(set), [column]) => {
                let words = words(column, &self.left[0])?;
                bools(rows, |i| set.contains(&words[i]) && !column.is_null(i))
            }
            (Members::Bytes(set), [column]) => {
                let texts = Texts::of_array(column)?;
                bools(rows, |i| set.contains(texts.at(i)) && !column.is_null(i))
            }
            (Members::Rows(set), _) => {
                let encoded = encode_columns(columns)?;
                let asked = |i: usize| (self.nulls && columns.len() > 1) || columns.iter().all(|c| !c.is_null(i));
                bools(rows, |i| set.contains(encoded.row(i).as_ref()) && asked(i))
            }
            _ => return Err(Error::bug("a set was asked with another number of columns")),
        };
        if let ([column], true) = (columns, self.has_null) {
            let found = downcast::<BooleanArray>(&found)?;
            return Ok(downcast::<BooleanArray>(&bools(rows, |i| found.value(i) || column.is_null(i)))?.clone());
        }
        Ok(downcast::<BooleanArray>(&found)?.clone())
    }

    /// Whether each row of one argument (a column, or a tuple column for a set of tuples) is in the set.
    pub fn eval(&self, argument: &Datum, rows: usize) -> Result<BooleanArray> {
        let array = argument.to_array(rows)?;
        if self.left.len() > 1 {
            let tuple: &StructArray = downcast(&array)?;
            return self.contains(tuple.columns(), rows);
        }
        self.contains(&[array], rows)
    }
}

fn plain(ty: &LogicalType) -> LogicalType {
    ty.bare().clone()
}

fn is_word(ty: &LogicalType) -> bool {
    !ty.is_float()
        && !matches!(ty, LogicalType::Bool)
        && number_layout(ty).bits().is_some_and(|b| b <= 64)
        && !ty.is_string_like()
}

fn words(array: &ArrayRef, ty: &LogicalType) -> Result<Vec<u64>> {
    super::number::to_vec::<u64>(array, ty)
}

/// `value` as the left type; NULL when that type has no such value.
fn convert(value: &Value, from: &LogicalType, to: &LogicalType, zone: Zone) -> Result<Value> {
    let to = to.bare();
    if value.is_null() || from == to {
        return Ok(value.clone());
    }
    if let (LogicalType::Decimal { precision, scale }, true) = (to, from.is_integer())
        && let Some(whole) = super::number::wide_of_value(value)
    {
        let end = i256::from_i128(10).wrapping_pow(u32::from(precision - scale));
        if whole >= end || whole <= end.wrapping_neg() {
            let text = format!("a number in the set of IN has more digits before the point than {to}");
            return Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, text));
        }
    }
    let one = array_of(value, from, 1)?;
    if from.is_integer() && !decimal_holds_whole(value, to) {
        // Refused even where it would be in no row.
        let text = format!("{} in the set of IN is too large for {to}", hydron_types::text::sql_literal(value, from));
        return Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, text));
    }
    // A string beside another type is a literal of that type: what does not parse is the user's mistake, not a miss.
    let mode = if from.is_string_like() && !to.is_string_like() { CastMode::Wrap } else { CastMode::AccurateOrNull };
    let converted = cast(&one, from, to, &CastOptions { mode, ..CastOptions::wrap(zone) }).map_err(|e| {
        if mode == CastMode::Wrap && (to.is_number() || matches!(to, LogicalType::Interval(_) | LogicalType::Bool)) {
            return Error::new(
                Code::TYPE_MISMATCH,
                format!("a string in the set of IN does not read as {to}: {}", e.message),
            );
        }
        e
    })?;
    Ok(if converted.is_null(0) { Value::Null } else { hydron_types::column::value_at(&converted, to, 0) })
}

pub fn register(registry: &mut Registry) {
    let names = [("in", true), ("not_in", false), ("global_in", true), ("global_not_in", false)];
    for (name, wanted) in names {
        define_seeing_nulls(registry, name, move |call| bind(call, wanted));
    }
    let with_null =
        [("null_in", true), ("not_null_in", false), ("global_null_in", true), ("global_not_null_in", false)];
    for (name, wanted) in with_null {
        define_seeing_nulls(registry, name, move |call| bind_with_null(call, wanted));
    }
}

/// The `null_in` family: NULL is a member like any other, and the answer is never NULL.
fn bind_with_null(call: &Call<'_>, wanted: bool) -> Result<BoundCall> {
    call.arity(2..=2)?;
    let has_null = match call.constant(1)? {
        Value::Array(values) | Value::Tuple(values) => values.iter().any(Value::is_null),
        value => value.is_null(),
    };
    let bare = ArgInfo { ty: call.ty(0).bare().clone(), ..call.args[0].clone() };
    let never = *call.ty(0).bare() == LogicalType::Nothing || call.constant(1)?.is_null();
    let found = if never { None } else { Some(bind(&Call { args: &[bare, call.args[1].clone()], ..*call }, true)?) };
    Ok(BoundCall::new(LogicalType::Bool, move |cx: &EvalContext, args: &[Datum], rows| {
        let left = args[0].to_array(rows)?;
        let nulls = left.logical_nulls();
        let found = match &found {
            Some(bound) => {
                Some(bound.kernel.eval(cx, &[Datum::Array(Arc::clone(&left)), args[1].clone()], rows)?.to_array(rows)?)
            }
            None => None,
        };
        let found = found.as_ref().map(downcast::<BooleanArray>).transpose()?;
        Ok(Datum::Array(bools(rows, |i| {
            let is_null = nulls.as_ref().is_some_and(|n| n.is_null(i));
            let inside = if is_null { has_null } else { found.is_some_and(|f| f.value(i)) };
            inside == wanted
        })))
    }))
}

/// `in(x, constant)`: the constant is a tuple or an array of members, or the only member.
fn bind(call: &Call<'_>, wanted: bool) -> Result<BoundCall> {
    call.arity(2..=2)?;
    if *call.ty(0).bare() == LogicalType::Nothing {
        return call.returns(LogicalType::Nothing, |_, rows| {
            Ok(arrow::array::new_null_array(&arrow::datatypes::DataType::Null, rows))
        });
    }
    let members = members(call)?;
    let left = left_types(call.ty(0));
    let set = InSet::from_values(&left, &members, call.zone(), false)?;
    let ty = if call.ty(0).is_nullable() { LogicalType::nullable(LogicalType::Bool) } else { LogicalType::Bool };
    call.returns(ty, move |args, rows| {
        let column = args[0].to_array(rows)?;
        let found = set.eval(&Datum::Array(Arc::clone(&column)), rows)?;
        let found: ArrayRef = if wanted {
            Arc::new(found)
        } else {
            Arc::new(arrow::compute::not(&found).map_err(crate::call::arrow_error)?)
        };
        match column.logical_nulls() {
            Some(nulls) => crate::nulls::with_nulls(&found, &nulls),
            None => Ok(found),
        }
    })
}

fn left_types(ty: &LogicalType) -> Vec<LogicalType> {
    match ty {
        LogicalType::Tuple(elements) => elements.iter().map(|(_, t)| t.clone()).collect(),
        t => vec![t.clone()],
    }
}

/// The members that the constant on the right means, each with its type.
fn members(call: &Call<'_>) -> Result<Vec<(Value, LogicalType)>> {
    let left = left_types(call.ty(0));
    let several = left.len() > 1;
    Ok(match (call.constant(1)?, call.ty(1)) {
        (value, ty @ LogicalType::Tuple(t))
            if several && !t.iter().all(|(_, t)| matches!(t, LogicalType::Tuple(_))) =>
        {
            vec![(value.clone(), ty.clone())]
        }
        (Value::Tuple(v), LogicalType::Tuple(t)) => v.iter().cloned().zip(t.iter().map(|(_, t)| t.clone())).collect(),
        (Value::Array(v), LogicalType::Array(t)) if !matches!(left[0].bare(), LogicalType::Array(_)) => {
            v.iter().map(|v| (v.clone(), (**t).clone())).collect()
        }
        (value, ty) => vec![(value.clone(), ty.clone())],
    })
}
