//! Lengths that an Arrow message declares, looked at before anything is allocated for them.
//!
//! In: messages of a stream, or a whole file. Out: an error for one that would take more memory than it may. Promise: a few
//! bytes cannot ask for terabytes; a request that the machine refuses would end the process.
//!
//! Layout: Arrow columnar format, "IPC": a message is FF FF FF FF, the length of its description (u32), the description, a
//! body; the buffers of a compressed body begin with their length before compression (i64, -1: not compressed).

use crate::arrow_ipc::{FILE_BYTES_MAX, cannot_read};
use arrow::error::ArrowError;
use arrow::ipc::{Message, RecordBatch, root_as_footer, root_as_message};
use hydron_base::memory::make_room;
use hydron_base::{Code, Error, Result};
use std::io::{Read, Seek, SeekFrom};

/// Rows of one message. Columns of NULLs have no bytes, so their number stands alone.
const ROWS_MAX: i64 = 1 << 28;

const PREFIX_BYTES: usize = 8;
const MAGIC: &[u8] = b"ARROW1";

/// Bytes of the message that `bytes` begin with; `None`: more bytes are needed to tell.
pub(crate) fn message_bytes(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(prefix) = prefix_of(bytes) else { return Ok(None) };
    let (at, length) = prefix;
    if length == 0 {
        return Ok(Some(at));
    }
    if length > FILE_BYTES_MAX {
        return Err(damaged("the description of a message is too long"));
    }
    let Some(description) = bytes.get(at..at + length) else { return Ok(None) };
    let body = usize::try_from(message(description)?.bodyLength()).ok().filter(|b| *b <= FILE_BYTES_MAX);
    let body = body.ok_or_else(|| damaged("the body of a message is too long"))?;
    Ok(Some(at + length + body))
}

/// A whole message, its prefix too.
pub(crate) fn check_message(bytes: &[u8]) -> Result<()> {
    let Some((at, length)) = prefix_of(bytes).filter(|(_, length)| *length > 0) else { return Ok(()) };
    let description = bytes.get(at..at + length).ok_or_else(|| damaged("a message is cut off"))?;
    check_parts(description, &bytes[at + length..])
}

/// A whole file. It is read from its start again afterwards.
pub(crate) fn check_file<R: Read + Seek>(file: &mut R) -> Result<()> {
    let io = |e: std::io::Error| cannot_read(ArrowError::IoError(e.to_string(), e));
    let end = file.seek(SeekFrom::End(0)).map_err(io)?;
    let tail = (4 + MAGIC.len()) as u64;
    if end < tail {
        return Err(damaged("the file is too short"));
    }
    let footer_bytes = read_at(file, end - tail, 4, end)?;
    let footer_bytes = u32::from_le_bytes(footer_bytes[..4].try_into().expect("four bytes were asked for"));
    let footer_at = (end - tail).checked_sub(u64::from(footer_bytes));
    let footer_at = footer_at.ok_or_else(|| damaged("the footer is longer than the file"))?;
    let footer = read_at(file, footer_at, u64::from(footer_bytes), end)?;
    let footer = root_as_footer(&footer).map_err(|e| damaged(&format!("the footer does not check: {e}")))?;
    let blocks = footer.dictionaries().into_iter().flatten().chain(footer.recordBatches().into_iter().flatten());
    for block in blocks {
        let number = |n: i64| u64::try_from(n).map_err(|_| damaged("a block has a negative place"));
        let (at, meta, body) =
            (number(block.offset())?, number(block.metaDataLength().into())?, number(block.bodyLength())?);
        let bytes = read_at(file, at, meta.saturating_add(body), end)?;
        check_message(&bytes)?;
    }
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    Ok(())
}

fn read_at<R: Read + Seek>(file: &mut R, at: u64, length: u64, end: u64) -> Result<Vec<u8>> {
    if at.checked_add(length).is_none_or(|to| to > end) || length > FILE_BYTES_MAX as u64 {
        return Err(damaged("a part lies beyond the end of the file"));
    }
    let io = |e: std::io::Error| cannot_read(ArrowError::IoError(e.to_string(), e));
    let mut bytes = Vec::new();
    make_room(&mut bytes, length as usize)?;
    bytes.resize(length as usize, 0);
    file.seek(SeekFrom::Start(at)).map_err(io)?;
    file.read_exact(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// Where the description begins, and its length. Before version 0.15 there was no FF FF FF FF.
fn prefix_of(bytes: &[u8]) -> Option<(usize, usize)> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    match word(0)? {
        u32::MAX => Some((PREFIX_BYTES, word(4)? as usize)),
        length => Some((4, length as usize)),
    }
}

fn message(description: &[u8]) -> Result<Message<'_>> {
    root_as_message(description).map_err(|e| damaged(&format!("a message does not check: {e}")))
}

fn check_parts(description: &[u8], body: &[u8]) -> Result<()> {
    let message = message(description)?;
    let dictionary = message.header_as_dictionary_batch().and_then(|d| d.data());
    match message.header_as_record_batch().or(dictionary) {
        Some(batch) => check_batch(&batch, body),
        None => Ok(()),
    }
}

fn check_batch(batch: &RecordBatch<'_>, body: &[u8]) -> Result<()> {
    let lengths = batch.nodes().into_iter().flatten().map(|n| n.length());
    if lengths.chain([batch.length()]).any(|rows| !(0..=ROWS_MAX).contains(&rows)) {
        return Err(damaged(&format!("a message has more than {ROWS_MAX} rows")));
    }
    if batch.compression().is_none() {
        return Ok(());
    }
    let mut sum = 0_u64;
    for buffer in batch.buffers().into_iter().flatten() {
        let at = usize::try_from(buffer.offset()).ok();
        let declared = at.and_then(|at| body.get(at..)?.first_chunk::<8>()).map(|b| i64::from_le_bytes(*b));
        // One that is empty or lies elsewhere is for the reader to judge: it allocates nothing.
        let declared = declared.filter(|_| buffer.length() >= 8).unwrap_or(0).max(0);
        sum = sum.saturating_add(declared as u64);
    }
    if sum > FILE_BYTES_MAX as u64 {
        let text = format!("a message has {sum} bytes before compression, the limit is {FILE_BYTES_MAX}");
        return Err(damaged(&text));
    }
    Ok(())
}

fn damaged(what: &str) -> Error {
    Error::new(Code::INCORRECT_DATA, format!("cannot read Arrow: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use arrow::ipc::CompressionType;
    use arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
    use std::io::Cursor;
    use std::sync::Arc;

    fn rows() -> RecordBatch {
        let zeros: ArrayRef = Arc::new(Int64Array::from(vec![0; 1_000]));
        RecordBatch::try_from_iter([("a", zeros)]).unwrap()
    }

    fn options() -> IpcWriteOptions {
        IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME)).unwrap()
    }

    /// The declared length of the only buffer with bytes: eight thousand, made huge.
    fn lie(bytes: &mut [u8]) {
        let truth = 8_000_i64.to_le_bytes();
        let at = bytes.windows(8).position(|w| w == truth).unwrap();
        bytes[at..at + 8].copy_from_slice(&(1_i64 << 45).to_le_bytes());
    }

    fn check_stream(bytes: &[u8]) -> Result<usize> {
        let (mut at, mut messages) = (0, 0);
        while let Some(length) = message_bytes(&bytes[at..])?.filter(|l| at + l <= bytes.len()) {
            check_message(&bytes[at..at + length])?;
            (at, messages) = (at + length, messages + 1);
        }
        Ok(messages)
    }

    #[test]
    fn a_stream_is_cut_into_messages_and_a_lie_is_seen() {
        let batch = rows();
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let mut bytes = writer.into_inner().unwrap();
        assert_eq!(check_stream(&bytes).unwrap(), 3, "schema, rows, end");
        lie(&mut bytes);
        let error = check_stream(&bytes).unwrap_err();
        assert!(error.message.contains("35184372088832 bytes before compression"), "{error}");
    }

    #[test]
    fn a_file_that_lies_is_seen() {
        let batch = rows();
        let mut writer = FileWriter::try_new_with_options(Vec::new(), &batch.schema(), options()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let mut bytes = writer.into_inner().unwrap();
        check_file(&mut Cursor::new(&bytes)).unwrap();
        lie(&mut bytes);
        assert_eq!(check_file(&mut Cursor::new(&bytes)).unwrap_err().code, Code::INCORRECT_DATA);
        for cut in [0, 9, bytes.len() / 2] {
            assert!(check_file(&mut Cursor::new(&bytes[..cut])).is_err());
        }
    }
}
