//! A part's rows in the schema they were given in.

use super::text::restore;
use crate::error::{Result, StoreError};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::ChunkReader;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Batches of one part, in the order they were stored. Reads on the calling thread.
pub struct PartReader {
    file: String,
    schema: SchemaRef,
    batches: ParquetRecordBatchReader,
    /// It has panicked and is not asked again.
    is_broken: bool,
}

/// The reader of Parquet panics on some damaged files: that is an error of the part.
fn guarded<T>(file: &str, read: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        StoreError::rows(format!("part {file}"), text)
    })
}

impl PartReader {
    /// A part that is in memory. Errors: `Rows` for bytes that are no part of this schema.
    pub fn of_bytes(
        file: &str,
        bytes: Bytes,
        schema: &SchemaRef,
        columns: Option<&[usize]>,
        batch_rows: usize,
    ) -> Result<PartReader> {
        PartReader::of(file, bytes, schema, columns, batch_rows)
    }

    pub(super) fn of_file(
        file: &str,
        open: File,
        schema: &SchemaRef,
        columns: Option<&[usize]>,
        batch_rows: usize,
    ) -> Result<PartReader> {
        PartReader::of(file, open, schema, columns, batch_rows)
    }

    fn of<R: ChunkReader + 'static>(
        file: &str,
        source: R,
        schema: &SchemaRef,
        columns: Option<&[usize]>,
        batch_rows: usize,
    ) -> Result<PartReader> {
        guarded(file, || PartReader::open(file, source, schema, columns, batch_rows))?
    }

    fn open<R: ChunkReader + 'static>(
        file: &str,
        source: R,
        schema: &SchemaRef,
        columns: Option<&[usize]>,
        batch_rows: usize,
    ) -> Result<PartReader> {
        let refused = |e: &dyn std::fmt::Display| StoreError::rows(format!("part {file}"), e);
        let builder = ParquetRecordBatchReaderBuilder::try_new(source).map_err(|e| refused(&e))?;
        let stored = builder.parquet_schema().root_schema().get_fields().len();
        if stored != schema.fields().len() {
            return Err(refused(&format!("{} columns expected, {stored} found", schema.fields().len())));
        }
        // The mask selects but does not reorder: the file's order is the schema's.
        let mut selected: Vec<usize> = columns.map_or_else(|| (0..stored).collect(), <[usize]>::to_vec);
        selected.sort_unstable();
        selected.dedup();
        let schema = Arc::new(schema.project(&selected).map_err(|e| refused(&e))?);
        let mask = ProjectionMask::roots(builder.parquet_schema(), selected);
        let batches =
            builder.with_projection(mask).with_batch_size(batch_rows.max(1)).build().map_err(|e| refused(&e))?;
        Ok(PartReader { file: file.to_owned(), schema, batches, is_broken: false })
    }

    /// The schema of the batches: the selected columns in the order of the stream's.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl Iterator for PartReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_broken {
            return None;
        }
        let read = guarded(&self.file, || {
            let restored = self.batches.next()?.and_then(|b| restore(&b, &self.schema));
            Some(restored.map_err(|e| StoreError::rows(format!("part {}", self.file), e)))
        });
        read.unwrap_or_else(|e| {
            self.is_broken = true;
            Some(Err(e))
        })
    }
}
