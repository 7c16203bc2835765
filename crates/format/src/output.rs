//! The contract of writers: batches in, bytes out, the moment a batch is made.

use crate::FormatOptions;
use arrow::array::ArrayRef;
use hydron_base::{Error, Result};
use hydron_types::{Batch, ColumnWriter, Field, LogicalType, Style, TextOptions};
use std::sync::Arc;

/// What is known of a query when its result is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ResultStats {
    /// Rows of the result.
    pub rows: u64,
    /// Rows that the result would have without its LIMIT, where it has one and the number is known.
    pub rows_before_limit: Option<u64>,
    pub elapsed_seconds: f64,
    pub rows_read: u64,
    pub bytes_read: u64,
}

/// Writes one result: `prefix`, any number of `batch`, then `totals`, `extremes` where the query has them, `suffix`.
///
/// Every call appends to `out` all bytes that can be written so far; the caller may send them at once. Formats that need
/// the whole result first (`*MonoBlock`, `Parquet`'s footer) append them in `suffix`.
pub trait OutputFormat: Send {
    fn content_type(&self) -> &'static str;

    fn prefix(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let _ = out;
        Ok(())
    }

    /// A batch without rows writes nothing.
    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()>;

    /// The row of WITH TOTALS: a batch of one row.
    fn totals(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let _ = (batch, out);
        Ok(())
    }

    /// The least and the greatest value of each column: a batch of two rows.
    fn extremes(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let _ = (batch, out);
        Ok(())
    }

    fn suffix(&mut self, stats: &ResultStats, out: &mut Vec<u8>) -> Result<()> {
        let _ = (stats, out);
        Ok(())
    }

    /// What stands in the output when the query fails after its first bytes. Nothing follows it.
    fn exception(&mut self, error: &Error, out: &mut Vec<u8>) {
        out.extend_from_slice(error.to_string().as_bytes());
        out.push(b'\n');
    }
}

/// The result is thrown away.
pub struct Null;

impl OutputFormat for Null {
    fn content_type(&self) -> &'static str {
        "text/plain; charset=UTF-8"
    }

    fn batch(&mut self, _: &Batch, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
}

/// One writer for each column of `batch`.
pub(crate) fn column_writers(batch: &Batch, style: Style, options: &TextOptions) -> Result<Vec<ColumnWriter>> {
    let fields = batch.schema.fields.iter();
    fields.zip(&batch.columns).map(|(field, array)| ColumnWriter::new(array, &field.ty, style, options)).collect()
}

/// Writes values as plain text, with a text of its own for NULL.
pub(crate) struct PlainColumn {
    writer: ColumnWriter,
    null_text: Arc<str>,
}

impl PlainColumn {
    pub(crate) fn new(
        array: &ArrayRef,
        ty: &LogicalType,
        null_text: &Arc<str>,
        options: &TextOptions,
    ) -> Result<PlainColumn> {
        let writer = ColumnWriter::new(array, ty, Style::Plain, options)?;
        Ok(PlainColumn { writer, null_text: Arc::clone(null_text) })
    }

    pub(crate) fn all(batch: &Batch, null_text: &str, options: &TextOptions) -> Result<Vec<PlainColumn>> {
        let null_text = Arc::from(null_text);
        let fields = batch.schema.fields.iter();
        fields.zip(&batch.columns).map(|(f, array)| PlainColumn::new(array, &f.ty, &null_text, options)).collect()
    }

    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self.writer.is_null(row) {
            true => out.extend_from_slice(self.null_text.as_bytes()),
            false => self.writer.write(row, out),
        }
    }
}

/// How the formats for people write NULL.
pub(crate) fn display_null(options: &FormatOptions) -> &'static str {
    if options.pretty.ascii { "NULL" } else { "ᴺᵁᴸᴸ" }
}

/// Numbers and times stand at the right side of their column in the formats for people.
pub(crate) fn aligns_right(field: &Field) -> bool {
    use LogicalType::*;
    match field.ty.bare() {
        ty if ty.is_integer() || ty.is_float() => true,
        Decimal { .. } | Date | Date32 | DateTime(_) | DateTime64(..) | Interval(_) => true,
        SimpleAggregateFunction { arg, .. } => aligns_right(&Field::new("", (**arg).clone())),
        _ => false,
    }
}

pub(crate) fn push_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Replaces what is not UTF-8 in `out[from..]`; neighbouring bad bytes become one replacement character.
pub(crate) fn replace_invalid_utf8(out: &mut Vec<u8>, from: usize) {
    if std::str::from_utf8(&out[from..]).is_ok() {
        return;
    }
    let raw = out.split_off(from);
    let mut just_replaced = false;
    for chunk in raw.utf8_chunks() {
        if !chunk.valid().is_empty() {
            out.extend_from_slice(chunk.valid().as_bytes());
            just_replaced = false;
        }
        if !chunk.invalid().is_empty() && !just_replaced {
            out.extend_from_slice("\u{FFFD}".as_bytes());
            just_replaced = true;
        }
    }
}
