//! The format `Native` of HTTP and files: blocks one after another.
//!
//! With `client_protocol_version` the blocks look as they do in the protocol of that revision.

use super::block::{BlockDecoder, NativeOptions, write_block};
use crate::output::OutputFormat;
use crate::{FormatOptions, InputBatch, InputFormat};
use arrow::array::{Array, ArrayRef, BooleanArray, Scalar};
use hydron_base::{Code, Error, Result};
use hydron_types::cast::{CastOptions, cast};
use hydron_types::column::array_of;
use hydron_types::{Batch, Field, LogicalType, Schema, Value};
use std::sync::Arc;

pub(crate) struct NativeWriter {
    options: NativeOptions,
}

impl NativeWriter {
    pub(crate) fn new(options: &FormatOptions) -> NativeWriter {
        NativeWriter { options: options.native }
    }
}

impl OutputFormat for NativeWriter {
    fn content_type(&self) -> &'static str {
        "application/octet-stream"
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        match batch.rows() {
            0 => Ok(()),
            _ => write_block(batch, &self.options, out),
        }
    }

    /// A text in the middle would be taken for data: the broken end tells the reader.
    fn exception(&mut self, _: &Error, _: &mut Vec<u8>) {}
}

pub(crate) struct NativeReader {
    schema: Arc<Schema>,
    options: FormatOptions,
    decoder: BlockDecoder,
}

impl NativeReader {
    pub(crate) fn open(schema: &Arc<Schema>, options: &FormatOptions) -> Box<dyn InputFormat> {
        let decoder = BlockDecoder::new(options.native);
        Box::new(NativeReader { schema: Arc::clone(schema), options: options.clone(), decoder })
    }

    /// The columns of the target, found by name.
    fn adopt(&self, block: &Batch) -> Result<InputBatch> {
        let rows = block.rows();
        let unknown = block.schema.fields.iter().find(|f| self.schema.index_of(&f.name).is_none());
        if let Some(field) = unknown.filter(|_| !self.options.skip_unknown_fields) {
            let text = format!("column '{}' of the input is unknown", field.name);
            return Err(Error::new(Code::INCORRECT_DATA, text).hint("input_format_skip_unknown_fields = 1"));
        }
        let mut columns = Vec::with_capacity(self.schema.len());
        let mut defaults = Vec::with_capacity(self.schema.len());
        for field in &self.schema.fields {
            let (array, mask) = match block.schema.index_of(&field.name) {
                Some(at) => self.fit(block.column(at), &block.schema.fields[at].ty, field)?,
                None => {
                    let array = array_of(&Value::default_of(&field.ty), &field.ty, rows)?;
                    (array, Some(BooleanArray::from(vec![true; rows])))
                }
            };
            columns.push(array);
            defaults.push(mask);
        }
        Ok(InputBatch { batch: Batch::new(Arc::clone(&self.schema), columns, rows), defaults })
    }

    /// `array` in the type of `to`; NULLs of a column that cannot hold them are marked for its default.
    fn fit(&self, array: &ArrayRef, from: &LogicalType, to: &Field) -> Result<(ArrayRef, Option<BooleanArray>)> {
        let named = |e: Error| e.context(format!("column '{}'", to.name));
        let options = CastOptions::wrap(self.options.text.zone);
        if to.ty.is_nullable() || array.logical_null_count() == 0 {
            return Ok((cast(array, from, &to.ty, &options).map_err(named)?, None));
        }
        if !self.options.text.null_as_default {
            let text = format!("column '{}' has no NULL, the input has {}", to.name, array.logical_null_count());
            return Err(
                Error::new(Code::CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN, text).hint("input_format_null_as_default = 1")
            );
        }
        let fail = |e: arrow::error::ArrowError| Error::bug(format!("defaults of column '{}': {e}", to.name));
        let nulls = arrow::compute::is_null(array).map_err(fail)?;
        let value = cast(array, from, &LogicalType::nullable(to.ty.clone()), &options).map_err(named)?;
        let default = array_of(&Value::default_of(&to.ty), &to.ty, 1)?;
        let filled = arrow::compute::kernels::zip::zip(&nulls, &Scalar::new(default), &value).map_err(fail)?;
        Ok((filled, Some(nulls)))
    }
}

impl InputFormat for NativeReader {
    fn feed(&mut self, mut bytes: &[u8], last: bool) -> Result<Vec<InputBatch>> {
        let mut batches = Vec::new();
        while !bytes.is_empty() {
            let Some(block) = self.decoder.feed(&mut bytes)? else { break };
            if block.rows() > 0 {
                batches.push(self.adopt(&block)?);
            }
        }
        if last && !self.decoder.is_between_blocks() {
            return Err(Error::new(Code::CANNOT_READ_ALL_DATA, "Native ends inside a block"));
        }
        Ok(batches)
    }
}
