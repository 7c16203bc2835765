//! Arrow (file) and ArrowStream: batches as Arrow writes them between processes.

use crate::arrow_check::{check_file, check_message, message_bytes};
use crate::foreign::adopt;
use crate::guard::guarded;
use crate::output::{OutputFormat, ResultStats};
use crate::rows::ROW_BYTES_MAX;
use crate::{FormatOptions, InputBatch, InputFormat};
use arrow::buffer::Buffer;
use arrow::ipc::reader::{FileReader, StreamDecoder};
use arrow::ipc::writer::{FileWriter, StreamWriter};
use hydron_base::{Code, Error, Result};
use hydron_types::{Batch, Schema};
use std::io::Cursor;
use std::sync::Arc;

// A file is read from its end, so it is kept whole. 1 GiB is what one INSERT may hold in memory before its first row.
pub(crate) const FILE_BYTES_MAX: usize = 1 << 30;

enum Writer {
    File(Box<FileWriter<Vec<u8>>>),
    Stream(Box<StreamWriter<Vec<u8>>>),
}

impl Writer {
    fn take(&mut self, out: &mut Vec<u8>) {
        match self {
            Writer::File(w) => out.append(w.get_mut()),
            Writer::Stream(w) => out.append(w.get_mut()),
        }
    }
}

pub struct ArrowWriter {
    schema: Arc<Schema>,
    writer: Writer,
}

impl ArrowWriter {
    pub fn new(schema: &Arc<Schema>, stream: bool) -> Result<ArrowWriter> {
        let arrow = schema.arrow();
        let writer = match stream {
            true => Writer::Stream(Box::new(StreamWriter::try_new(Vec::new(), &arrow).map_err(cannot_write)?)),
            false => Writer::File(Box::new(FileWriter::try_new(Vec::new(), &arrow).map_err(cannot_write)?)),
        };
        Ok(ArrowWriter { schema: Arc::clone(schema), writer })
    }
}

fn cannot_write(error: arrow::error::ArrowError) -> Error {
    Error::new(Code::UNKNOWN_EXCEPTION, format!("cannot write Arrow: {error}"))
}

pub(crate) fn cannot_read(error: arrow::error::ArrowError) -> Error {
    Error::new(Code::INCORRECT_DATA, format!("cannot read Arrow: {error}"))
}

impl OutputFormat for ArrowWriter {
    fn content_type(&self) -> &'static str {
        match self.writer {
            Writer::File(_) => "application/vnd.apache.arrow.file",
            Writer::Stream(_) => "application/vnd.apache.arrow.stream",
        }
    }

    fn prefix(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.writer.take(out);
        Ok(())
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        if batch.rows() == 0 {
            return Ok(());
        }
        let batch = batch.clone().with_schema(Arc::clone(&self.schema)).to_arrow()?;
        match &mut self.writer {
            Writer::File(w) => w.write(&batch),
            Writer::Stream(w) => w.write(&batch),
        }
        .map_err(cannot_write)?;
        self.writer.take(out);
        Ok(())
    }

    fn suffix(&mut self, _: &ResultStats, out: &mut Vec<u8>) -> Result<()> {
        match &mut self.writer {
            Writer::File(w) => w.finish(),
            Writer::Stream(w) => w.finish(),
        }
        .map_err(cannot_write)?;
        self.writer.take(out);
        Ok(())
    }

    /// A text in the middle would be taken for data: the broken end tells the reader.
    fn exception(&mut self, _: &Error, _: &mut Vec<u8>) {}
}

pub struct StreamReader {
    schema: Arc<Schema>,
    options: FormatOptions,
    decoder: StreamDecoder,
    /// The message that is not complete yet.
    kept: Vec<u8>,
}

impl StreamReader {
    pub fn open(schema: &Arc<Schema>, options: &FormatOptions) -> Box<dyn InputFormat> {
        Box::new(StreamReader {
            schema: Arc::clone(schema),
            options: options.clone(),
            decoder: StreamDecoder::new(),
            kept: Vec::new(),
        })
    }

    fn decode(&mut self, message: &[u8], batches: &mut Vec<InputBatch>) -> Result<()> {
        let mut buffer = Buffer::from(message);
        while !buffer.is_empty() {
            let (decoder, schema, options) = (&mut self.decoder, &self.schema, &self.options);
            let read = guarded("Arrow", || match decoder.decode(&mut buffer).map_err(cannot_read)? {
                Some(batch) => adopt(&batch, schema, options).map(Some),
                None => Ok(None),
            });
            let Some(batch) = read? else { break };
            batches.push(batch);
        }
        Ok(())
    }
}

impl InputFormat for StreamReader {
    fn feed(&mut self, bytes: &[u8], last: bool) -> Result<Vec<InputBatch>> {
        let mut kept = std::mem::take(&mut self.kept);
        kept.extend_from_slice(bytes);
        let (mut at, mut batches) = (0, Vec::new());
        while let Some(length) = message_bytes(&kept[at..])?.filter(|length| at + length <= kept.len()) {
            check_message(&kept[at..at + length])?;
            self.decode(&kept[at..at + length], &mut batches)?;
            at += length;
        }
        kept.drain(..at);
        if kept.len() > FILE_BYTES_MAX {
            return Err(Error::new(
                Code::INCORRECT_DATA,
                format!("an Arrow message is longer than {FILE_BYTES_MAX} bytes"),
            ));
        }
        if last {
            // The decoder says what is wrong with a message that is cut off.
            self.decode(&kept, &mut batches)?;
            self.decoder.finish().map_err(cannot_read)?;
        }
        self.kept = kept;
        Ok(batches)
    }
}

/// Keeps a file until its last byte, then reads it with `read`.
pub(crate) struct WholeFile<F> {
    bytes: Vec<u8>,
    read: F,
}

impl<F> WholeFile<F> {
    pub(crate) fn new(read: F) -> WholeFile<F> {
        WholeFile { bytes: Vec::new(), read }
    }
}

impl<F: FnMut(Vec<u8>) -> Result<Vec<InputBatch>> + Send> InputFormat for WholeFile<F> {
    fn feed(&mut self, bytes: &[u8], last: bool) -> Result<Vec<InputBatch>> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > FILE_BYTES_MAX {
            let text = format!("the file is longer than {FILE_BYTES_MAX} bytes");
            return Err(Error::new(Code::INCORRECT_DATA, text).hint("send it in several INSERTs"));
        }
        match last && !self.bytes.is_empty() {
            true => (self.read)(std::mem::take(&mut self.bytes)),
            false => Ok(Vec::new()),
        }
    }
}

pub(crate) fn open_file(schema: &Arc<Schema>, options: &FormatOptions) -> Box<dyn InputFormat> {
    let (schema, options) = (Arc::clone(schema), options.clone());
    Box::new(WholeFile::new(move |bytes: Vec<u8>| {
        guarded("Arrow", || {
            let mut file = Cursor::new(bytes);
            check_file(&mut file)?;
            let reader = FileReader::try_new(file, None).map_err(cannot_read)?;
            reader.map(|batch| adopt(&batch.map_err(cannot_read)?, &schema, &options)).collect()
        })
    }))
}

// One row is never longer than one file.
const _: () = assert!(ROW_BYTES_MAX <= FILE_BYTES_MAX);
