//! Columns of json: texts on their way in; on their way out a tuple whose elements are the paths of all rows of the block.
//!
//! In: documents. Out: the type that holds all of them and their values in it, the way ClickHouse's `Object('json')` travels:
//! a byte for the kind (0 tuple, 1 texts), for a tuple its type, then the values. A path that a document does not have takes
//! the default of its type; values that agree on nothing else are kept as strings.

use super::decode::Column;
use super::encode;
use super::input::{Fixed, Input, Strings, Text, damaged};
use arrow::array::{ArrayRef, AsArray, BinaryArray, BinaryBuilder};
use hydron_base::Result;
use hydron_types::{ColumnBuilder, ColumnWriter, LogicalType as T, Style, TextOptions, TypeNames, Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

const KIND_TUPLE: u8 = 0;
const KIND_TEXT: u8 = 1;

// The name of a tuple type names every path; a block with more text than this in its names is damaged.
const TYPE_NAME_BYTES_MAX: usize = 1 << 20;

/// What the values at one path have in common.
#[derive(Clone, Debug, PartialEq)]
enum Shape {
    /// Nothing seen but null.
    Unknown,
    Bool,
    /// The least and the greatest value.
    Int(i128, i128),
    Float,
    Text,
    List(Box<Shape>),
    Object(BTreeMap<String, Shape>),
}

impl Shape {
    fn of(value: &Json) -> Shape {
        match value {
            Json::Null => Shape::Unknown,
            Json::Bool(_) => Shape::Bool,
            Json::Number(n) => match n.as_i64().map(i128::from).or(n.as_u64().map(i128::from)) {
                Some(n) => Shape::Int(n, n),
                None => Shape::Float,
            },
            Json::String(_) => Shape::Text,
            Json::Array(items) => Shape::List(Box::new(items.iter().map(Shape::of).fold(Shape::Unknown, Shape::with))),
            Json::Object(members) => {
                Shape::Object(members.iter().map(|(name, value)| (name.clone(), Shape::of(value))).collect())
            }
        }
    }

    fn with(self, other: Shape) -> Shape {
        match (self, other) {
            (Shape::Unknown, shape) | (shape, Shape::Unknown) => shape,
            (Shape::Int(a, b), Shape::Int(c, d)) => Shape::Int(a.min(c), b.max(d)),
            (Shape::Int(..) | Shape::Float, Shape::Int(..) | Shape::Float) => Shape::Float,
            (Shape::List(a), Shape::List(b)) => Shape::List(Box::new(a.with(*b))),
            (Shape::Object(mut a), Shape::Object(b)) => {
                for (name, shape) in b {
                    let before = a.remove(&name).unwrap_or(Shape::Unknown);
                    a.insert(name, before.with(shape));
                }
                Shape::Object(a)
            }
            (a, b) if a == b => a,
            _ => Shape::Text,
        }
    }

    fn ty(&self) -> T {
        match self {
            Shape::Bool => T::Bool,
            Shape::Int(least, greatest) => integer(*least, *greatest),
            Shape::Float => T::Float64,
            Shape::Unknown | Shape::Text => T::String,
            Shape::List(items) => T::array(items.ty()),
            // A tuple needs an element; this is the one ClickHouse gives to `{}`.
            Shape::Object(members) if members.is_empty() => T::Tuple([(Some(Arc::from("_dummy")), T::UInt8)].into()),
            Shape::Object(members) => {
                T::Tuple(members.iter().map(|(name, shape)| (Some(Arc::from(name.as_str())), shape.ty())).collect())
            }
        }
    }

    /// `value` in the type of this shape.
    fn value(&self, value: &Json) -> Value {
        match (self, value) {
            (_, Json::Null) => Value::default_of(&self.ty()),
            (Shape::Bool, Json::Bool(b)) => Value::Bool(*b),
            (Shape::Int(..), Json::Number(n)) => match n.as_i64() {
                Some(n) => Value::Int(n),
                None => Value::UInt(n.as_u64().unwrap_or(0)),
            },
            (Shape::Float, Json::Number(n)) => Value::Float64(n.as_f64().unwrap_or(f64::NAN)),
            (Shape::Text | Shape::Unknown, Json::String(text)) => Value::string(text),
            (Shape::Text | Shape::Unknown, other) => Value::string(other.to_string()),
            (Shape::List(shape), Json::Array(items)) => {
                Value::Array(items.iter().map(|item| shape.value(item)).collect())
            }
            (Shape::Object(members), Json::Object(_)) if members.is_empty() => Value::Tuple(vec![Value::UInt(0)]),
            (Shape::Object(members), Json::Object(given)) => {
                let member = |(name, shape): (&String, &Shape)| shape.value(given.get(name).unwrap_or(&Json::Null));
                Value::Tuple(members.iter().map(member).collect())
            }
            _ => Value::default_of(&self.ty()),
        }
    }
}

/// The smallest type that holds both.
fn integer(least: i128, greatest: i128) -> T {
    let fits = |bits: u32| least >= -(1_i128 << (bits - 1)) && greatest < 1_i128 << (bits - 1);
    match [8, 16, 32, 64].into_iter().find(|bits| fits(*bits)) {
        Some(bits) => T::integer(true, bits),
        None if least >= 0 => T::UInt64,
        None => T::Float64,
    }
}

/// The documents of `array` as a tuple, which is never empty.
pub(super) fn write(array: &ArrayRef, names: TypeNames, out: &mut Vec<u8>) -> Result<()> {
    let texts: &BinaryArray = array.as_binary();
    // What is no document (a text that some function made up) is kept as a string.
    let parse = |text: &[u8]| {
        serde_json::from_slice(text).unwrap_or_else(|_| Json::String(String::from_utf8_lossy(text).into_owned()))
    };
    let documents: Vec<Json> = texts.iter().map(|text| text.map_or(Json::Null, parse)).collect();
    let mut shape = documents.iter().map(Shape::of).fold(Shape::Unknown, Shape::with);
    if matches!(shape, Shape::Unknown) {
        shape = Shape::Object(BTreeMap::new());
    }
    let ty = shape.ty();
    let mut builder = ColumnBuilder::with_capacity(&ty, documents.len());
    for document in &documents {
        if builder.append(&shape.value(document)).is_err() {
            builder.append_default();
        }
    }
    let column = builder.finish()?;
    out.push(KIND_TUPLE);
    super::push_bytes(names.of(&ty).as_bytes(), out);
    encode::prefix(&ty, out);
    encode::values(&column, &ty, out)
}

/// A column of json while it arrives.
pub(super) struct Reader {
    kind: Fixed,
    texts: Strings,
    name: Text,
    tuple: Option<(T, Column)>,
    has_prefix: bool,
}

impl Reader {
    pub fn new() -> Reader {
        Reader {
            kind: Fixed::new(1),
            texts: Strings::new(),
            name: Text::new("the type of a json column", TYPE_NAME_BYTES_MAX),
            tuple: None,
            has_prefix: false,
        }
    }

    pub fn values(&mut self, rows: usize, input: &mut Input<'_>) -> Result<bool> {
        if !self.kind.fill(1, input)? {
            return Ok(false);
        }
        match self.kind.bytes.as_slice()[0] {
            KIND_TEXT => self.texts.fill(rows, input),
            KIND_TUPLE => {
                if self.tuple.is_none() {
                    let Some(name) = self.name.fill(input)? else { return Ok(false) };
                    let ty = hydron_types::parse_type_lenient(&name)?;
                    let column = Column::new(&ty)?;
                    self.tuple = Some((ty, column));
                }
                let Some((_, column)) = &mut self.tuple else { return Ok(false) };
                if !self.has_prefix {
                    self.has_prefix = column.prefix(input)?;
                }
                Ok(self.has_prefix && column.values(rows, input)?)
            }
            other => Err(damaged(format!("a json column of kind {other}"))),
        }
    }

    pub fn finish(self, rows: usize) -> Result<ArrayRef> {
        if let Some((ty, column)) = self.tuple {
            let array = column.finish(rows)?;
            let options = TextOptions {
                json_named_tuples_as_objects: true,
                json_quote_64bit_integers: false,
                json_quote_denormals: false,
                json_escape_forward_slashes: false,
                ..TextOptions::default()
            };
            let writer = ColumnWriter::new(&array, &ty, Style::Json, &options)?;
            let mut texts = BinaryBuilder::new();
            let mut text = Vec::new();
            for row in 0..rows {
                text.clear();
                writer.write(row, &mut text);
                texts.append_value(&text);
            }
            return Ok(Arc::new(texts.finish()));
        }
        let mut texts = BinaryBuilder::new();
        for (row, ends) in self.texts.offsets.windows(2).enumerate().take(rows) {
            match &self.texts.bytes[ends[0] as usize..ends[1] as usize] {
                [] => texts.append_value(b"{}"),
                text => {
                    serde_json::from_slice::<serde::de::IgnoredAny>(text)
                        .map_err(|e| damaged(format!("row {} of a json column is no JSON: {e}", row + 1)))?;
                    texts.append_value(text);
                }
            }
        }
        Ok(Arc::new(texts.finish()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ty(documents: &[&str]) -> String {
        let documents = documents.iter().map(|d| serde_json::from_str(d).unwrap());
        documents.map(|d: Json| Shape::of(&d)).fold(Shape::Unknown, Shape::with).ty().to_string()
    }

    #[test]
    fn documents_agree_on_a_type() {
        assert_eq!(ty(&[r#"{"a":1,"b":"x"}"#, r#"{"a":300}"#]), "tuple(a int16, b string)");
        assert_eq!(ty(&[r#"{"a":1}"#, r#"{"a":0.5}"#]), "tuple(a float64)");
        assert_eq!(ty(&[r#"{"a":1}"#, r#"{"a":"x"}"#]), "tuple(a string)");
        assert_eq!(ty(&[r#"{"a":{"b":[1,null]}}"#, r#"{"a":{"c":true}}"#]), "tuple(a tuple(b array(int8), c bool))");
        assert_eq!(ty(&["{}"]), "tuple(_dummy uint8)");
        assert_eq!(ty(&[r#"{"a":18446744073709551615}"#]), "tuple(a uint64)");
    }
}
