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
use hydron_types::{ColumnBuilder, ColumnWriter, JsonShape, LogicalType as T, Style, TextOptions, TypeNames};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

const KIND_TUPLE: u8 = 0;
const KIND_TEXT: u8 = 1;

// The name of a tuple type names every path; a block with more text than this in its names is damaged.
const TYPE_NAME_BYTES_MAX: usize = 1 << 20;

/// The documents of `array` as a tuple, which is never empty.
pub(super) fn write(array: &ArrayRef, names: TypeNames, out: &mut Vec<u8>) -> Result<()> {
    let texts: &BinaryArray = array.as_binary();
    // What is no document (a text that some function made up) is kept as a string.
    let parse = |text: &[u8]| {
        serde_json::from_slice(text).unwrap_or_else(|_| Json::String(String::from_utf8_lossy(text).into_owned()))
    };
    let documents: Vec<Json> = texts.iter().map(|text| text.map_or(Json::Null, parse)).collect();
    let mut shape = documents.iter().map(JsonShape::of).fold(JsonShape::Unknown, JsonShape::with);
    if matches!(shape, JsonShape::Unknown) {
        shape = JsonShape::Object(BTreeMap::new());
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
