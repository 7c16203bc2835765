//! Small answers: nothing, a few rows, rows that a computation gives.

use super::Answer;
use crate::query::Item;
use futures::stream::{self, StreamExt};
use hydron_base::Result;
use hydron_types::{Batch, Field, LogicalType, Schema, Value};
use std::sync::Arc;

/// A statement that returns no columns.
pub fn nothing() -> Answer {
    Answer { schema: None, streaming: false, items: stream::empty().boxed() }
}

/// One batch.
pub fn batch(batch: Batch) -> Answer {
    let schema = Arc::clone(&batch.schema);
    let items: Vec<Result<Item>> = if batch.rows() == 0 { vec![] } else { vec![Ok(Item::Rows(batch))] };
    Answer { schema: Some(schema), streaming: false, items: stream::iter(items).boxed() }
}

/// Rows of strings under one column.
pub fn strings(column: &str, rows: impl IntoIterator<Item = String>) -> Result<Answer> {
    let rows = rows.into_iter().map(|r| vec![Value::string(r)]);
    Ok(batch(rows_of(&[(column, LogicalType::String)], rows)?))
}

/// A batch from rows of values.
pub fn rows_of(columns: &[(&str, LogicalType)], rows: impl IntoIterator<Item = Vec<Value>>) -> Result<Batch> {
    let fields = columns.iter().map(|(n, t)| Field::new(*n, t.clone())).collect();
    Batch::of_rows(Arc::new(Schema::new(fields)), rows)
}
