//! A JSON value as a value of a type: what fits is taken, what does not is left at its default.

use super::cursor::{Kind, Node};
use crate::nulls::default_value;
use crate::scalar::number::wide_of_float;
use arrow::datatypes::i256;
use hydron_types::cast::{CastOptions, cast};
use hydron_types::column::{array_of, value_at};
use hydron_types::{LogicalType, Value, Zone};

/// `None` where the type has no such value.
pub fn value(node: &Node<'_>, ty: &LogicalType) -> Option<Value> {
    use LogicalType::*;
    if let Nullable(inner) | LowCardinality(inner) = ty {
        let is_null = node.kind() == Kind::Null && ty.is_nullable();
        return if is_null { Some(Value::Null) } else { value(node, inner) };
    }
    if node.kind() == Kind::Null {
        return None;
    }
    Some(match ty {
        Bool => Value::Bool(node.bool().or_else(|| node.float().map(|v| v != 0.0))?),
        Int8 | Int16 | Int32 | Int64 => {
            let v = node.int()?;
            let bits = ty.bits()?;
            let fits = bits == 64 || (-(1i64 << (bits - 1))..1i64 << (bits - 1)).contains(&v);
            fits.then_some(Value::Int(v))?
        }
        UInt8 | UInt16 | UInt32 | UInt64 => {
            let v = node.uint()?;
            let bits = ty.bits()?;
            (bits == 64 || v >> bits == 0).then_some(Value::UInt(v))?
        }
        Int128 | Int256 | UInt128 | UInt256 => {
            let mut text = Vec::new();
            node.write_text(&mut text);
            let text = std::str::from_utf8(&text).ok()?;
            let wide = i256::from_string(text).or_else(|| node.float().map(wide_of_float))?;
            Value::Wide(wide)
        }
        Float32 => Value::Float32(node.float()? as f32),
        Float64 => Value::Float64(node.float()?),
        String | Json => {
            let mut text = Vec::new();
            node.write_text(&mut text);
            Value::Bytes(text)
        }
        FixedString(width) => {
            let mut text = Vec::new();
            node.write_text(&mut text);
            if text.len() > *width as usize {
                return None;
            }
            text.resize(*width as usize, 0);
            Value::Bytes(text)
        }
        Array(element) if node.kind() == Kind::Array => Value::Array(
            node.items().iter().map(|n| value(n, element).unwrap_or_else(|| default_value(element))).collect(),
        ),
        Map(_, element) if node.kind() == Kind::Object => Value::Map(
            node.members()
                .into_iter()
                .map(|(key, n)| (Value::Bytes(key), value(&n, element).unwrap_or_else(|| default_value(element))))
                .collect(),
        ),
        Tuple(elements) => tuple(node, elements)?,
        _ => parsed(node, ty)?,
    })
}

type Elements = [(Option<std::sync::Arc<str>>, LogicalType)];

/// A tuple from an array by place, from an object by name (or by place, for elements without names).
fn tuple(node: &Node<'_>, elements: &Elements) -> Option<Value> {
    let at = |i: usize, name: Option<&str>| match (node.kind(), name) {
        (Kind::Object, Some(name)) => node.member(name.as_bytes()),
        (Kind::Object | Kind::Array, _) => node.place(i as i64 + 1).map(|(_, n)| n),
        _ => None,
    };
    if !matches!(node.kind(), Kind::Object | Kind::Array) {
        return None;
    }
    let values = elements
        .iter()
        .enumerate()
        .map(|(i, (name, ty))| at(i, name.as_deref()).and_then(|n| value(&n, ty)).unwrap_or_else(|| default_value(ty)));
    Some(Value::Tuple(values.collect()))
}

/// Decimals, dates, ids, enums: read from their text.
fn parsed(node: &Node<'_>, ty: &LogicalType) -> Option<Value> {
    if matches!(node.kind(), Kind::Array | Kind::Object | Kind::Bool) {
        return None;
    }
    let mut text = Vec::new();
    node.write_text(&mut text);
    let one = array_of(&Value::Bytes(text), &LogicalType::String, 1).ok()?;
    let read = cast(&one, &LogicalType::String, ty, &CastOptions::wrap(Zone::UTC)).ok()?;
    Some(value_at(&read, ty, 0))
}

/// Keys and values of an object; members that do not fit the type are left out. `ty` is the array of pairs.
pub fn pairs(node: &Node<'_>, ty: &LogicalType) -> Option<Value> {
    let LogicalType::Array(pair) = ty else { return None };
    let LogicalType::Tuple(elements) = &**pair else { return None };
    let of = &elements.get(1)?.1;
    let pairs =
        node.members().into_iter().filter_map(|(key, n)| Some(Value::Tuple(vec![Value::Bytes(key), value(&n, of)?])));
    Some(Value::Array(pairs.collect()))
}
