//! Columns to bytes.
//!
//! In: an array in the layout of its type. Out: the state prefix, then the values. Numbers are little endian, as this code
//! expects of the machine too.

use super::input::{push_bytes, push_varint};
use super::low_cardinality;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::*;
use hydron_base::{Error, Result};
use hydron_types::LogicalType as T;
use hydron_types::column::time_values;
use hydron_types::physical::{digits_of_unit, unit_of_scale};
use std::sync::Arc;

/// The version of a dictionary's bytes: a dictionary with each block.
pub(super) const DICTIONARY_VERSION: u64 = 1;

/// The type that stands in a block for a column of `ty`.
///
/// The type of NULL alone is a nullable one there; json inside another type travels as its text.
pub(super) fn wire_type(ty: &T, dictionaries: bool) -> T {
    let inner = |t: &T| match t {
        T::Json => T::String,
        t => wire_type(t, dictionaries),
    };
    match ty {
        T::Nothing => T::Nullable(Box::new(T::Nothing)),
        T::Array(t) => T::Array(Box::new(inner(t))),
        T::Map(k, v) => T::Map(Box::new(inner(k)), Box::new(inner(v))),
        T::Tuple(elements) => T::Tuple(elements.iter().map(|(n, t)| (n.clone(), inner(t))).collect()),
        T::Nested(elements) => T::Nested(elements.iter().map(|(n, t)| (Arc::clone(n), inner(t))).collect()),
        T::LowCardinality(t) if !dictionaries => wire_type(t, false),
        other => other.clone(),
    }
}

/// Errors: NOT_IMPLEMENTED for types whose bytes are not known here.
pub(super) fn check(ty: &T) -> Result<()> {
    match ty {
        T::AggregateFunction { .. } => Err(Error::not_implemented(format!("{ty} in the native format"))),
        T::Tuple(elements) if elements.is_empty() => Err(Error::not_implemented("tuple() in the native format")),
        T::Array(t) | T::Nullable(t) | T::LowCardinality(t) => check(t),
        T::SimpleAggregateFunction { arg, .. } => check(arg),
        T::Map(k, v) => check(k).and_then(|()| check(v)),
        T::Tuple(elements) => elements.iter().try_for_each(|(_, t)| check(t)),
        T::Nested(elements) => elements.iter().try_for_each(|(_, t)| check(t)),
        _ => Ok(()),
    }
}

/// What stands before the values of a column, once.
pub(super) fn prefix(ty: &T, out: &mut Vec<u8>) {
    match ty {
        T::LowCardinality(_) => out.extend_from_slice(&DICTIONARY_VERSION.to_le_bytes()),
        T::Array(t) | T::Nullable(t) => prefix(t, out),
        T::SimpleAggregateFunction { arg, .. } => prefix(arg, out),
        T::Map(k, v) => {
            prefix(k, out);
            prefix(v, out);
        }
        T::Tuple(elements) => elements.iter().for_each(|(_, t)| prefix(t, out)),
        T::Nested(elements) => elements.iter().for_each(|(_, t)| prefix(t, out)),
        _ => {}
    }
}

/// The values of `array`, whose type in the block is `ty`.
pub(super) fn values(array: &ArrayRef, ty: &T, out: &mut Vec<u8>) -> Result<()> {
    match ty {
        T::Nullable(t) => {
            nulls(array, out);
            return values(array, t, out);
        }
        T::LowCardinality(t) => return low_cardinality::write(array, t, out),
        T::SimpleAggregateFunction { arg, .. } => return values(array, arg, out),
        T::Array(t) => {
            let list = array.as_list::<i32>();
            let (start, end) = ends(list.value_offsets(), out);
            return values(&list.values().slice(start, end - start), t, out);
        }
        T::Nested(elements) => {
            let list = array.as_list::<i32>();
            let (start, end) = ends(list.value_offsets(), out);
            let rows = list.values().slice(start, end - start);
            let columns = rows.as_struct().columns().iter().zip(elements.iter());
            return columns.into_iter().try_for_each(|(column, (_, t))| values(column, t, out));
        }
        T::Map(k, v) => {
            let map = array.as_map();
            let (start, end) = ends(map.value_offsets(), out);
            values(&map.keys().slice(start, end - start), k, out)?;
            return values(&map.values().slice(start, end - start), v, out);
        }
        T::Tuple(elements) => {
            let columns = array.as_struct().columns().iter().zip(elements.iter());
            return columns.into_iter().try_for_each(|(column, (_, t))| values(column, t, out));
        }
        _ => {}
    }
    let a = array.as_ref();
    match ty {
        T::Nothing => out.resize(out.len() + a.len(), b'0'),
        T::Bool => each(a.as_boolean().values().iter().map(|bit| [u8::from(bit)]), out),
        T::String | T::Json | T::AggregateFunction { .. } => strings(a.as_binary::<i32>(), out),
        T::Date => each(a.as_primitive::<Date32Type>().values().iter().map(|d| (*d as u16).to_le_bytes()), out),
        T::DateTime(_) => each(time_values(a).iter().map(|t| (*t as u32).to_le_bytes()), out),
        T::DateTime64(scale, _) => match finer(*scale) {
            1 => each(time_values(a).iter().map(|t| t.to_le_bytes()), out),
            finer => each(time_values(a).iter().map(|t| t.div_euclid(finer).to_le_bytes()), out),
        },
        T::UInt128 => reversed(a.as_fixed_size_binary().value_data(), 16, out),
        T::UInt256 => reversed(a.as_fixed_size_binary().value_data(), 32, out),
        // Two numbers of 64 bits, each little endian.
        T::Uuid => reversed(a.as_fixed_size_binary().value_data(), 8, out),
        T::Ipv6 | T::FixedString(_) => out.extend_from_slice(a.as_fixed_size_binary().value_data()),
        T::Int8 | T::Enum8(_) => raw::<Int8Type>(a, out),
        T::Int16 | T::Enum16(_) => raw::<Int16Type>(a, out),
        T::Int32 => raw::<Int32Type>(a, out),
        T::Int64 | T::Interval(_) => raw::<Int64Type>(a, out),
        T::Int128 => raw::<Decimal128Type>(a, out),
        T::Int256 => raw::<Decimal256Type>(a, out),
        T::UInt8 => raw::<UInt8Type>(a, out),
        T::UInt16 => raw::<UInt16Type>(a, out),
        T::UInt32 | T::Ipv4 => raw::<UInt32Type>(a, out),
        T::UInt64 => raw::<UInt64Type>(a, out),
        T::Float32 => raw::<Float32Type>(a, out),
        T::Float64 => raw::<Float64Type>(a, out),
        T::Date32 => raw::<Date32Type>(a, out),
        T::Decimal { precision, .. } => match precision {
            ..=9 => raw::<Decimal32Type>(a, out),
            10..=18 => raw::<Decimal64Type>(a, out),
            19..=38 => raw::<Decimal128Type>(a, out),
            _ => raw::<Decimal256Type>(a, out),
        },
        other => return Err(Error::bug(format!("{other} has no native bytes"))),
    }
    Ok(())
}

/// Values that are laid out in memory as they are in a block.
fn raw<P: ArrowPrimitiveType>(array: &dyn Array, out: &mut Vec<u8>) {
    out.extend_from_slice(array.as_primitive::<P>().values().inner().as_slice());
}

/// Values of `N` bytes, in order.
fn each<const N: usize>(values: impl ExactSizeIterator<Item = [u8; N]>, out: &mut Vec<u8>) {
    let start = out.len();
    // Room first: a loop without a test of the capacity is one of whole registers.
    out.resize(start + values.len() * N, 0);
    out[start..].chunks_exact_mut(N).zip(values).for_each(|(room, value)| room.copy_from_slice(&value));
}

/// Each value of `width` bytes from its last byte to its first.
fn reversed(bytes: &[u8], width: usize, out: &mut Vec<u8>) {
    out.reserve(bytes.len());
    bytes.chunks_exact(width).for_each(|value| out.extend(value.iter().rev()));
}

fn strings(array: &arrow::array::BinaryArray, out: &mut Vec<u8>) {
    let offsets = array.value_offsets();
    out.reserve((offsets[offsets.len() - 1] - offsets[0]) as usize + array.len());
    for ends in offsets.windows(2) {
        push_varint((ends[1] - ends[0]) as u64, out);
        out.extend_from_slice(&array.value_data()[ends[0] as usize..ends[1] as usize]);
    }
}

fn nulls(array: &ArrayRef, out: &mut Vec<u8>) {
    match array.logical_nulls() {
        Some(nulls) => each(nulls.inner().iter().map(|valid| [u8::from(!valid)]), out),
        None => out.resize(out.len() + array.len(), 0),
    }
}

/// Where the elements of each row end, counted from those of the first row. Answers where they begin and end in all.
fn ends(offsets: &[i32], out: &mut Vec<u8>) -> (usize, usize) {
    let start = offsets[0];
    out.reserve(offsets.len() * 8);
    offsets[1..].iter().for_each(|end| out.extend_from_slice(&((end - start) as u64).to_le_bytes()));
    (start as usize, offsets[offsets.len() - 1] as usize)
}

/// Ticks of the Arrow unit in one tick of `scale`.
pub(super) fn finer(scale: u8) -> i64 {
    10_i64.pow(u32::from(digits_of_unit(unit_of_scale(scale)) - scale))
}

/// Name and type of a column, before its values.
pub(super) fn column_head(name: &str, type_name: &str, out: &mut Vec<u8>) {
    push_bytes(name.as_bytes(), out);
    push_bytes(type_name.as_bytes(), out);
}
