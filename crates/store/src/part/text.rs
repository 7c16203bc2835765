//! Byte columns that happen to be text.
//!
//! The engine's strings are bytes. In a Parquet file a column of bytes carries the text annotation when all its values
//! are valid UTF-8, so that other readers show text; reading turns it back into bytes. Neither way copies values.

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use std::sync::Arc;

/// The type with text in place of bytes; nothing if it has no bytes inside.
pub fn text_type(data_type: &DataType) -> Option<DataType> {
    let inner = |f: &FieldRef| text_field(f);
    match data_type {
        DataType::Binary => Some(DataType::Utf8),
        DataType::LargeBinary => Some(DataType::LargeUtf8),
        DataType::List(f) => inner(f).map(DataType::List),
        DataType::LargeList(f) => inner(f).map(DataType::LargeList),
        DataType::FixedSizeList(f, n) => inner(f).map(|f| DataType::FixedSizeList(f, *n)),
        DataType::Map(f, sorted) => inner(f).map(|f| DataType::Map(f, *sorted)),
        DataType::Struct(fields) => {
            let texts: Vec<Option<FieldRef>> = fields.iter().map(text_field).collect();
            texts.iter().any(Option::is_some).then(|| {
                let fields: Fields = fields.iter().zip(texts).map(|(f, t)| t.unwrap_or_else(|| f.clone())).collect();
                DataType::Struct(fields)
            })
        }
        _ => None,
    }
}

fn text_field(field: &FieldRef) -> Option<FieldRef> {
    let data_type = text_type(field.data_type())?;
    Some(Arc::new(Field::clone(field).with_data_type(data_type)))
}

/// Casts without hiding anything: bytes that are no text are an error, not a null.
fn cast_whole(array: &dyn Array, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
}

/// The batches with each top-level column of bytes as text if all its values allow it, and those columns' names.
pub fn annotate(
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<(SchemaRef, Vec<RecordBatch>, Vec<String>), ArrowError> {
    let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    let mut columns: Vec<Vec<ArrayRef>> = batches.iter().map(|b| b.columns().to_vec()).collect();
    let mut names = Vec::new();
    for at in 0..fields.len() {
        let Some(text) = text_field(&fields[at]) else {
            continue;
        };
        let as_text: Result<Vec<ArrayRef>, ArrowError> =
            batches.iter().map(|b| cast_whole(b.column(at), text.data_type())).collect();
        let Ok(as_text) = as_text else { continue };
        for (columns, column) in columns.iter_mut().zip(as_text) {
            columns[at] = column;
        }
        names.push(text.name().clone());
        fields[at] = text;
    }
    let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    let batches: Result<Vec<RecordBatch>, ArrowError> =
        columns.into_iter().map(|c| RecordBatch::try_new(schema.clone(), c)).collect();
    Ok((schema, batches?, names))
}

/// The batch in the schema the rows were given in.
pub fn restore(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns: Result<Vec<ArrayRef>, ArrowError> = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(c, f)| if c.data_type() == f.data_type() { Ok(c.clone()) } else { cast_whole(c, f.data_type()) })
        .collect();
    // A reader that wants no column still wants to know how many rows there are.
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns?, &options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_columns_keep_their_number() {
        let schema = Arc::new(Schema::empty());
        let options = RecordBatchOptions::new().with_row_count(Some(5));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), Vec::new(), &options).unwrap();
        assert_eq!(restore(&batch, &schema).unwrap().num_rows(), 5);
    }
}
