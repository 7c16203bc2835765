//! Parquet: the result as one file; a file as rows.

use crate::arrow_ipc::WholeFile;
use crate::file::FileBatches;
use crate::foreign::adopt;
use crate::guard::{Guarded, guarded};
use crate::output::{OutputFormat, ResultStats};
use crate::{FormatOptions, InputFormat};
use bytes::Bytes;
use hydron_base::{Code, Error, Result};
use hydron_types::{Batch, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::ChunkReader;
use std::sync::Arc;

// A row group is built in memory; 1 Mi rows are what other readers expect of a group.
const ROW_GROUP_ROWS: usize = 1 << 20;

pub struct ParquetWriter {
    schema: Arc<Schema>,
    writer: ArrowWriter<Vec<u8>>,
}

impl ParquetWriter {
    pub fn new(schema: &Arc<Schema>) -> Result<ParquetWriter> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_created_by("hydron".to_string())
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), schema.arrow(), Some(properties)).map_err(cannot_write)?;
        Ok(ParquetWriter { schema: Arc::clone(schema), writer })
    }
}

fn cannot_write(error: ParquetError) -> Error {
    Error::new(Code::UNKNOWN_EXCEPTION, format!("cannot write Parquet: {error}"))
}

fn cannot_read(error: impl std::fmt::Display) -> Error {
    Error::new(Code::INCORRECT_DATA, format!("cannot read Parquet: {error}"))
}

impl OutputFormat for ParquetWriter {
    fn content_type(&self) -> &'static str {
        "application/octet-stream"
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let batch = batch.clone().with_schema(Arc::clone(&self.schema)).to_arrow()?;
        self.writer.write(&batch).map_err(cannot_write)?;
        out.append(self.writer.inner_mut());
        Ok(())
    }

    fn suffix(&mut self, _: &ResultStats, out: &mut Vec<u8>) -> Result<()> {
        self.writer.finish().map_err(cannot_write)?;
        out.append(self.writer.inner_mut());
        Ok(())
    }

    /// A text in the middle would be taken for data: the missing footer tells the reader.
    fn exception(&mut self, _: &Error, _: &mut Vec<u8>) {}
}

/// Reads a file that arrives as bytes, when its last byte is there.
pub(crate) fn open_file(schema: &Arc<Schema>, options: &FormatOptions) -> Box<dyn InputFormat> {
    let (schema, options) = (Arc::clone(schema), options.clone());
    Box::new(WholeFile::new(move |bytes: Vec<u8>| {
        batches(Bytes::from(bytes), Arc::clone(&schema), options.clone())?.collect()
    }))
}

/// The rows of a file; columns that `schema` does not name stay on disk, unless they must be found to be refused.
pub(crate) fn batches(
    file: impl ChunkReader + 'static,
    schema: Arc<Schema>,
    options: FormatOptions,
) -> Result<FileBatches> {
    guarded("Parquet", || unguarded(file, schema, options))
}

fn unguarded(file: impl ChunkReader + 'static, schema: Arc<Schema>, options: FormatOptions) -> Result<FileBatches> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(cannot_read)?;
    let wanted = builder.schema().fields().iter().enumerate();
    let wanted = wanted.filter(|(_, f)| schema.index_of(f.name()).is_some() || !options.skip_unknown_fields);
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.map(|(i, _)| i).collect::<Vec<_>>());
    let builder = builder.with_projection(mask).with_batch_size(options.batch_rows_max);
    let reader = builder.build().map_err(cannot_read)?;
    let batches = reader.map(move |batch| adopt(&batch.map_err(cannot_read)?, &schema, &options));
    Ok(Box::new(Guarded::new("Parquet", batches)))
}
