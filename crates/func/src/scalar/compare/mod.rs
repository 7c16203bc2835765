//! Comparison: `= != < > <= >=` on everything that has an order, returning `bool`.
//!
//! In reading order: [`numbers`] (exact between any two kinds of number), [`tuples`]; here: bytes, dates, enums, ids, arrays,
//! and a constant string beside a date, an id or an enum, which is read as one.

mod numbers;
mod tuples;

use super::column::Texts;
use super::define::{Call, define};
use super::rows::encode_pair_nulls_last;
use crate::call::{ArgInfo, BoundCall, Datum, EvalContext};
use crate::registry::Registry;
use arrow::array::{ArrayRef, BooleanArray};
use arrow::buffer::{BooleanBuffer, Buffer};
use hydron_base::Result;
use hydron_types::LogicalType;
use hydron_types::cast::{CastOptions, cast};
use hydron_types::column::{array_of, value_at};
use hydron_types::supertype::least_supertype;
use std::cmp::Ordering;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equals,
    NotEquals,
    Less,
    Greater,
    LessOrEquals,
    GreaterOrEquals,
}

impl Comparison {
    pub fn name(self) -> &'static str {
        match self {
            Comparison::Equals => "equals",
            Comparison::NotEquals => "not_equals",
            Comparison::Less => "less",
            Comparison::Greater => "greater",
            Comparison::LessOrEquals => "less_or_equals",
            Comparison::GreaterOrEquals => "greater_or_equals",
        }
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Equals => order.is_eq(),
            Comparison::NotEquals => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::Greater => order.is_gt(),
            Comparison::LessOrEquals => order.is_le(),
            Comparison::GreaterOrEquals => order.is_ge(),
        }
    }
}

pub fn register(registry: &mut Registry) {
    use Comparison::*;
    for op in [Equals, NotEquals, Less, Greater, LessOrEquals, GreaterOrEquals] {
        define(registry, op.name(), move |call| bind(call, op));
    }
}

fn bind(call: &Call<'_>, op: Comparison) -> Result<BoundCall> {
    call.arity(2..=2)?;
    let (a, b) = (call.ty(0), call.ty(1));
    if a.is_string_like() && b.is_string_like() {
        return call.returns(LogicalType::Bool, move |args, rows| compare_texts(args, rows, op));
    }
    if let (LogicalType::Tuple(x), LogicalType::Tuple(y)) = (a, b)
        && x.len() == y.len()
        && !x.is_empty()
    {
        return tuples::bind(call, op);
    }
    match (call.known_text(0).filter(|_| a.is_string_like()), call.known_text(1).filter(|_| b.is_string_like())) {
        (_, Some(text)) if reads_text(a) => return with_text(call, op, 1, text),
        (Some(text), _) if reads_text(b) => return with_text(call, op, 0, text),
        _ => {}
    }
    if numbers::comparable(a, b) {
        return numbers::bind(call, op);
    }
    if !ordered_together(a, b) {
        return Err(call.illegal(1));
    }
    let common = least_supertype(&call.types()).map_err(|_| call.illegal(1))?;
    let (x, y) = (call.convert(0, &common), call.convert(1, &common));
    if common.is_date_or_time() {
        let ty = common.clone();
        return call.returns(LogicalType::Bool, move |args, rows| {
            numbers::compare::<i64>(&[x.datum(&args[0])?, y.datum(&args[1])?], [&ty, &ty], rows, op)
        });
    }
    call.returns(LogicalType::Bool, move |args, rows| compare_rows(&[x.datum(&args[0])?, y.datum(&args[1])?], rows, op))
}

/// Types that a constant string beside them is read as.
fn reads_text(ty: &LogicalType) -> bool {
    use LogicalType::*;
    ty.is_date_or_time()
        || matches!(ty, Uuid | Ipv4 | Ipv6 | Enum8(_) | Enum16(_) | Array(_) | Tuple(_) | Map(..) | Bool)
}

/// Compares with the constant string `text` at `position`, read as the type of the other side.
fn with_text(call: &Call<'_>, op: Comparison, position: usize, text: &[u8]) -> Result<BoundCall> {
    let other = call.ty(1 - position);
    let one = array_of(&hydron_types::Value::string(text), &LogicalType::String, 1)?;
    let read = cast(&one, &LogicalType::String, other, &CastOptions::wrap(call.zone()))?;
    let mut args = call.args.to_vec();
    args[position] = ArgInfo { ty: other.clone(), constant: Some(value_at(&read, other, 0)), ..args[position].clone() };
    let bound = bind(&Call { args: &args, ..*call }, op)?;
    Ok(BoundCall::new(bound.ty, move |cx: &EvalContext, args: &[Datum], rows| {
        let mut args = args.to_vec();
        args[position] = Datum::Scalar(Arc::clone(&read));
        bound.kernel.eval(cx, &args, rows)
    }))
}

/// Whether values of two types that are not both numbers or both strings have an order together.
fn ordered_together(a: &LogicalType, b: &LogicalType) -> bool {
    use LogicalType::*;
    let text_or_enum = |t: &LogicalType| t.is_string_like() || matches!(t, Enum8(_) | Enum16(_));
    match (a, b) {
        (Array(x), Array(y)) => {
            **x == Nothing || **y == Nothing || ordered_together(x.bare(), y.bare()) || same_kind(x.bare(), y.bare())
        }
        (Map(..), Map(..)) | (Nothing, _) | (_, Nothing) => true,
        (Tuple(x), Tuple(y)) => x.len() == y.len(),
        (Ipv4 | Ipv6, Ipv4 | Ipv6) => true,
        _ if a.is_date_or_time() && b.is_date_or_time() => true,
        _ if text_or_enum(a) && text_or_enum(b) => true,
        _ => a == b,
    }
}

fn same_kind(a: &LogicalType, b: &LogicalType) -> bool {
    numbers::comparable(a, b) || (a.is_string_like() && b.is_string_like())
}

/// A bit for each pair.
pub(crate) fn bits_of_pairs<T: Copy>(a: &[T], b: &[T], f: impl Fn(T, T) -> bool) -> ArrayRef {
    let words = a
        .chunks(64)
        .zip(b.chunks(64))
        .map(|(a, b)| a.iter().zip(b).enumerate().fold(0u64, |word, (i, (x, y))| word | u64::from(f(*x, *y)) << i));
    bits(a.len(), words)
}

/// A bit for each value.
pub(crate) fn bits_of<T: Copy>(a: &[T], f: impl Fn(T) -> bool) -> ArrayRef {
    let words = a.chunks(64).map(|a| a.iter().enumerate().fold(0u64, |word, (i, x)| word | u64::from(f(*x)) << i));
    bits(a.len(), words)
}

fn bits(len: usize, words: impl Iterator<Item = u64>) -> ArrayRef {
    let buffer = Buffer::from_vec(words.collect::<Vec<u64>>());
    Arc::new(BooleanArray::new(BooleanBuffer::new(buffer, 0, len), None))
}

fn compare_texts(args: &[Datum], rows: usize, op: Comparison) -> Result<ArrayRef> {
    let (a, b) = (Texts::of(&args[0])?, Texts::of(&args[1])?);
    let fixed = [&a, &b].iter().any(|t| matches!(t, Texts::Fixed(_))) || args.iter().any(is_fixed);
    if fixed {
        // A fixed string is padded with zeros, which do not count.
        return Ok(super::column::bools(rows, |i| op.holds(unpadded(a.at(i)).cmp(unpadded(b.at(i))))));
    }
    Ok(match op {
        Comparison::Equals => super::column::bools(rows, |i| a.at(i) == b.at(i)),
        Comparison::NotEquals => super::column::bools(rows, |i| a.at(i) != b.at(i)),
        _ => super::column::bools(rows, |i| op.holds(a.at(i).cmp(b.at(i)))),
    })
}

fn is_fixed(datum: &Datum) -> bool {
    datum.array().is_ok_and(|a| matches!(a.data_type(), arrow::datatypes::DataType::FixedSizeBinary(_)))
}

fn unpadded(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    &text[..end]
}

/// Compares two columns of one layout by their order-preserving bytes.
fn compare_rows(args: &[Datum; 2], rows: usize, op: Comparison) -> Result<ArrayRef> {
    let (a, b) = encode_pair_nulls_last(args[0].array()?, args[1].array()?)?;
    let at = |scalar: bool, i: usize| if scalar { 0 } else { i };
    let (a_one, b_one) = (args[0].is_scalar(), args[1].is_scalar());
    Ok(super::column::bools(rows, |i| op.holds(a.row(at(a_one, i)).cmp(&b.row(at(b_one, i))))))
}

/// A bound comparison of two types under the usual rule for NULL, for functions that compare inside.
pub(crate) fn between(call: &Call<'_>, op: Comparison, a: &LogicalType, b: &LogicalType) -> Result<BoundCall> {
    Registry::builtin().bind_scalar(op.name(), call.cx, &[ArgInfo::column(a.clone()), ArgInfo::column(b.clone())])
}
