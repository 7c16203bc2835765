//! RawBLOB and LineAsString: bytes as they are.

use crate::output::{OutputFormat, PlainColumn};
use crate::rows::{Frame, Framed, RowReader, Rows, single_string_column};
use crate::tsv::Lines;
use crate::{FormatOptions, InputFormat};
use hydron_base::{Error, Result};
use hydron_types::{Batch, Schema, Value};
use std::sync::Arc;

/// The plain text of every value, one after another; LineAsString puts a newline after each row.
pub struct RawWriter {
    options: FormatOptions,
    lines: bool,
}

impl RawWriter {
    /// Errors: BAD_ARGUMENTS when LineAsString has several columns to write.
    pub fn new(schema: &Schema, options: &FormatOptions, lines: bool) -> Result<RawWriter> {
        if lines && schema.len() != 1 {
            return Err(Error::bad_arguments(format!(
                "format LineAsString writes one column, here are {}",
                schema.len()
            )));
        }
        Ok(RawWriter { options: options.clone(), lines })
    }
}

impl OutputFormat for RawWriter {
    fn content_type(&self) -> &'static str {
        if self.lines { "text/plain; charset=UTF-8" } else { "application/octet-stream" }
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let columns = PlainColumn::all(batch, "", &self.options.text)?;
        for row in 0..batch.rows() {
            columns.iter().for_each(|c| c.write(row, out));
            if self.lines {
                out.push(b'\n');
            }
        }
        Ok(())
    }
}

/// The whole input is one value.
pub struct BlobReader;

impl BlobReader {
    pub fn open(schema: &Arc<Schema>, options: &FormatOptions) -> Result<Box<dyn InputFormat>> {
        single_string_column("RawBLOB", schema)?;
        Ok(Box::new(Framed::new(BlobReader, Arc::clone(schema), options)))
    }
}

impl RowReader for BlobReader {
    fn frame(&mut self, bytes: &[u8], last: bool) -> Result<Frame> {
        Ok(match last && !bytes.is_empty() {
            true => Frame::Row { start: 0, end: bytes.len(), next: bytes.len() },
            false => Frame::More,
        })
    }

    fn row(&mut self, row: &[u8], rows: &mut Rows) -> Result<()> {
        rows.append(0, &Value::Bytes(row.to_vec()))
    }

    fn restart(&mut self) -> bool {
        true
    }
}

/// Each line is one value.
pub struct LineReader {
    lines: Lines,
}

impl LineReader {
    pub fn open(schema: &Arc<Schema>, options: &FormatOptions) -> Result<Box<dyn InputFormat>> {
        single_string_column("LineAsString", schema)?;
        Ok(Box::new(Framed::new(LineReader { lines: Lines::default() }, Arc::clone(schema), options)))
    }
}

impl RowReader for LineReader {
    fn frame(&mut self, bytes: &[u8], last: bool) -> Result<Frame> {
        Ok(self.lines.frame(bytes, last, false))
    }

    fn row(&mut self, row: &[u8], rows: &mut Rows) -> Result<()> {
        rows.append(0, &Value::Bytes(row.to_vec()))
    }

    fn restart(&mut self) -> bool {
        self.lines = Lines::default();
        true
    }
}
