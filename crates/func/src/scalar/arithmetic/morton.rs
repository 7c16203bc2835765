//! Morton codes: the bits of up to eight numbers, interleaved.
//!
//! A tuple of constants as first argument tells how much each number is stretched: 2 puts each of its bits into every second
//! place, and so on.

use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{Ints, tuple, uint64s};
use crate::scalar::define::{Call, define};
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value};

const DIMENSIONS_MAX: usize = 8;

pub(super) fn register(registry: &mut Registry) {
    define(registry, "morton_encode", encode);
    define(registry, "morton_decode", decode);
}

/// How much each dimension is stretched, if the first argument says so.
fn stretches(call: &Call<'_>) -> Result<Option<Vec<u32>>> {
    if !matches!(call.ty(0), LogicalType::Tuple(_)) {
        return Ok(None);
    }
    let Value::Tuple(elements) = call.constant(0)? else { return Err(call.illegal(0)) };
    let stretch = |v: &Value| {
        v.as_u64().filter(|n| (1..=8).contains(n)).map(|n| n as u32).ok_or_else(|| {
            Error::new(
                Code::ARGUMENT_OUT_OF_BOUND,
                format!("each number of the mask of \"{}\" is within 1 and 8", call.name),
            )
        })
    };
    elements.iter().map(stretch).collect::<Result<Vec<_>>>().map(Some)
}

fn check_dimensions(call: &Call<'_>, n: usize) -> Result<()> {
    if (1..=DIMENSIONS_MAX).contains(&n) {
        return Ok(());
    }
    let text = format!("\"{}\" takes 1 to {DIMENSIONS_MAX} dimensions, given {n}", call.name);
    Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, text))
}

/// Bit `i` of the value at place `i * step + offset`; what falls off the end is lost.
fn spread(value: u64, step: u32, offset: u32) -> u64 {
    let places = (0..64u32).map(|i| (i, i * step + offset)).take_while(|(_, to)| *to < 64);
    places.fold(0, |code, (i, to)| code | (value >> i & 1) << to)
}

/// The reverse of [`spread`].
fn gather(code: u64, step: u32, offset: u32) -> u64 {
    let places = (0..64u32).map(|i| (i, i * step + offset)).take_while(|(_, from)| *from < 64);
    places.fold(0, |value, (i, from)| value | (code >> from & 1) << i)
}

fn encode(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(1..=DIMENSIONS_MAX + 1)?;
    let mask = stretches(call)?;
    let first = usize::from(mask.is_some());
    let n = call.args.len() - first;
    check_dimensions(call, n)?;
    if mask.as_ref().is_some_and(|m| m.len() != n) {
        let text = format!("the mask of \"{}\" must have a number for each of {n} dimensions", call.name);
        return Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, text));
    }
    (first..call.args.len()).try_for_each(|i| call.need(i, LogicalType::is_unsigned_integer))?;
    let types = call.types();
    call.returns(LogicalType::UInt64, move |args, rows| {
        let numbers = (first..args.len()).map(|i| Ints::of(&args[i], &types[i])).collect::<Result<Vec<_>>>()?;
        Ok(uint64s(rows, |row| {
            numbers.iter().enumerate().fold(0, |code, (i, number)| {
                let stretch = mask.as_ref().map_or(1, |m| m[i]);
                let value = spread(number.at(row) as u64, stretch, stretch - 1);
                code | spread(value, n as u32, i as u32)
            })
        }))
    })
}

fn decode(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(2..=2)?;
    call.need(1, LogicalType::is_unsigned_integer)?;
    let mask = match stretches(call)? {
        Some(mask) => mask,
        None => vec![1; usize::try_from(call.constant_int(0)?).unwrap_or(0)],
    };
    check_dimensions(call, mask.len())?;
    let ty = LogicalType::tuple(vec![LogicalType::UInt64; mask.len()]);
    let from = call.ty(1).clone();
    call.returns(ty.clone(), move |args, rows| {
        let codes = Ints::of(&args[1], &from)?;
        let n = mask.len() as u32;
        let column = |(i, stretch): (usize, &u32)| {
            uint64s(rows, |row| gather(gather(codes.at(row) as u64, n, i as u32), *stretch, stretch - 1))
        };
        tuple(&ty, mask.iter().enumerate().map(column).collect(), rows)
    })
}
