//! Arrow batches that others made, in the layout of our types.

use crate::rows::excerpt;
use crate::{FormatOptions, InputBatch};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use hydron_base::{Code, Error, Result};
use hydron_types::physical::arrow_type;
use hydron_types::{Batch, ColumnBuilder, Field, LogicalType, Schema, Style, read_text, value_at};
use std::sync::Arc;

/// The columns of `schema`, found in `batch` by name; a column that is not there takes its default in every row.
pub(crate) fn adopt(batch: &RecordBatch, schema: &Arc<Schema>, options: &FormatOptions) -> Result<InputBatch> {
    let rows = batch.num_rows();
    let mut columns = Vec::with_capacity(schema.len());
    let mut defaults = Vec::with_capacity(schema.len());
    for field in &schema.fields {
        match batch.column_by_name(&field.name) {
            Some(array) => {
                let (column, mask) = adopt_column(array, field, options)?;
                columns.push(column);
                defaults.push(mask);
            }
            None => {
                let mut builder = ColumnBuilder::with_capacity(&field.ty, rows);
                (0..rows).for_each(|_| builder.append_default());
                columns.push(builder.finish()?);
                defaults.push((rows > 0).then(|| BooleanArray::new(BooleanBuffer::new_set(rows), None)));
            }
        }
    }
    if !options.skip_unknown_fields {
        let unknown =
            batch.schema_ref().fields().iter().find(|f| schema.index_of(f.name()).is_none()).map(|f| f.name().clone());
        if let Some(name) = unknown {
            let text = format!("column '{name}' of the input is unknown");
            return Err(Error::new(Code::INCORRECT_DATA, text).hint("input_format_skip_unknown_fields = 1"));
        }
    }
    Ok(InputBatch { batch: Batch::new(Arc::clone(schema), columns, rows), defaults })
}

fn adopt_column(array: &ArrayRef, field: &Field, options: &FormatOptions) -> Result<(ArrayRef, Option<BooleanArray>)> {
    let array = convert(array, field, options)?;
    let nulls = array.logical_nulls().filter(|n| n.null_count() > 0);
    let Some(nulls) = nulls.filter(|_| !field.ty.is_nullable()) else { return Ok((array, None)) };
    if !options.text.null_as_default {
        let text = format!("column '{}' has no NULL, the input has {}", field.name, nulls.null_count());
        return Err(
            Error::new(Code::CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN, text).hint("input_format_null_as_default = 1")
        );
    }
    let nullable = LogicalType::nullable(field.ty.clone());
    let mut builder = ColumnBuilder::with_capacity(&field.ty, array.len());
    for row in 0..array.len() {
        match nulls.is_null(row) {
            true => builder.append_default(),
            false => builder.append(&value_at(&array, &nullable, row))?,
        }
    }
    Ok((builder.finish()?, Some(BooleanArray::new(!nulls.inner(), None))))
}

fn convert(array: &ArrayRef, field: &Field, options: &FormatOptions) -> Result<ArrayRef> {
    let wanted = arrow_type(&field.ty);
    if *array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    let array = match array.data_type() {
        DataType::Dictionary(_, value) => {
            cast_with_options(array, value, &CastOptions::default()).map_err(|e| mismatch(array, field, e))?
        }
        _ => Arc::clone(array),
    };
    let is_text = matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let holds_text =
        matches!(field.ty.bare(), LogicalType::String | LogicalType::Json | LogicalType::AggregateFunction { .. });
    if is_text && !holds_text {
        return from_text(&array, field, options);
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&array, &wanted, &strict).map_err(|e| mismatch(&array, field, e))
}

/// Texts of dates, enums, addresses and the like.
fn from_text(array: &ArrayRef, field: &Field, options: &FormatOptions) -> Result<ArrayRef> {
    let texts =
        cast_with_options(array, &DataType::Utf8, &CastOptions::default()).map_err(|e| mismatch(array, field, e))?;
    let texts = texts.as_string::<i32>();
    let nullable = LogicalType::nullable(field.ty.bare().clone());
    let can_be_null = !matches!(field.ty.bare(), LogicalType::Array(_) | LogicalType::Tuple(_) | LogicalType::Map(..));
    let ty = if can_be_null { &nullable } else { &field.ty };
    let mut builder = ColumnBuilder::with_capacity(ty, texts.len());
    for text in texts {
        match text {
            None => builder.append_null(),
            Some(text) => read_text(text.as_bytes(), Style::Plain, &options.text, &mut builder).map_err(|e| {
                e.context(format!(
                    "cannot read '{}' as {} for column '{}'",
                    excerpt(text.as_bytes()),
                    field.ty,
                    field.name
                ))
            })?,
        }
    }
    builder.finish()
}

fn mismatch(array: &ArrayRef, field: &Field, error: arrow::error::ArrowError) -> Error {
    let message = format!("column '{}' is {}, the input has {}: {error}", field.name, field.ty, array.data_type());
    Error::new(Code::TYPE_MISMATCH, message)
}
