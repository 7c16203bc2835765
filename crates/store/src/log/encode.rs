//! A draft as bytes, and a record from bytes.
//!
//! In: a [`Draft`] from a writer, or the bytes of a record. Out: [`Encoded`] bytes that lack only their place, or a
//! [`Record`]. Promise: bytes with a right checksum decode to the batch that was given; any other bytes are an error.
//! Layout: docs/formats/log.md.

use super::head::{FORMAT, HEAD_BYTES, Head, RAW_BYTES_MAX, RECORD_ALIGN, align};
use super::record::{Codec, Draft, KEY_BYTES_MAX, Record, STAMP_BYTES_MAX, Schemas, Sequence};
use crate::error::{Result, StoreError};
use arrow::array::RecordBatch;
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use arrow::ipc::{MessageHeader, MetadataVersion, root_as_message};
use hydron_base::limit::RECORD_BYTES_MAX;
use std::collections::HashMap;
use std::sync::Arc;

// Within the body the columns start at a multiple of 16, so that 128-bit decimals need no copy.
const META_ALIGN: usize = 16;
/// The part that only the flusher knows (place, time) ends here; of a large record the writer's thread has summed the rest.
const PLACED_END: usize = 32;
/// Joining two checksums costs the flusher about 10 us; below this, summing the record over is faster.
const COMBINE_BYTES_MIN: usize = 128 << 10;

/// An encoded record that only lacks its place. Its bytes are padded to [`RECORD_ALIGN`].
pub struct Encoded {
    bytes: Vec<u8>,
    len: usize,
    /// Checksum of all after the placed part, if the record is large.
    crc_rest: Option<u32>,
}

impl Encoded {
    /// Bytes it takes in a segment.
    pub fn disk_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Writes place and time into the head and completes the checksum. Then the bytes are ready for the disk.
    pub fn place(&mut self, sequence: Sequence, append_time_ms: i64, synced_before: Sequence) {
        self.bytes[8..16].copy_from_slice(&sequence.0.to_le_bytes());
        self.bytes[16..24].copy_from_slice(&append_time_ms.to_le_bytes());
        self.bytes[24..32].copy_from_slice(&synced_before.0.to_le_bytes());
        let placed = crc32c::crc32c(&self.bytes[8..PLACED_END]);
        let crc = match self.crc_rest {
            Some(rest) => crc32c::crc32c_combine(placed, rest, self.len - PLACED_END),
            None => crc32c::crc32c_append(placed, &self.bytes[PLACED_END..self.len]),
        };
        self.bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Turns a draft into bytes, on the thread of the caller.
///
/// Errors: `TooLarge` past [`RECORD_BYTES_MAX`]; `BadArgument` for a key, stamp or column list that does not fit;
/// `NotImplemented` for dictionary columns, whose dictionary would lie outside the record.
pub fn encode(draft: &Draft) -> Result<Encoded> {
    let key = draft.key.as_deref().unwrap_or_default();
    let stamp = draft.stamp.as_deref().unwrap_or_default();
    check_shape(draft, key, stamp)?;
    let (meta_len, raw) = encode_body(draft)?;
    let (codec, body) = compress(draft.codec, raw, RAW_BYTES_MAX)?;
    let columns = draft.columns.as_deref().unwrap_or_default();
    let body_at = align(HEAD_BYTES + columns.len() * 2 + key.len() + stamp.len(), RECORD_ALIGN);
    let len = body_at + body.bytes.len();
    if len > RECORD_BYTES_MAX {
        return Err(StoreError::TooLarge { bytes: len as u64, limit_bytes: RECORD_BYTES_MAX as u64 });
    }
    let mut out = Vec::with_capacity(align(len, RECORD_ALIGN));
    out.extend_from_slice(&(len as u32).to_le_bytes());
    out.extend_from_slice(&[0; PLACED_END - 4]);
    out.extend_from_slice(&draft.event_span.min_us.to_le_bytes());
    out.extend_from_slice(&draft.event_span.max_us.to_le_bytes());
    out.extend_from_slice(&(draft.batch.num_rows() as u32).to_le_bytes());
    out.extend_from_slice(&(body.raw_len as u32).to_le_bytes());
    out.extend_from_slice(&(meta_len as u32).to_le_bytes());
    out.extend_from_slice(&draft.schema_version.to_le_bytes());
    out.push(FORMAT);
    out.push(codec.number());
    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
    out.extend_from_slice(&(columns.len() as u16).to_le_bytes());
    out.extend_from_slice(&(stamp.len() as u32).to_le_bytes());
    for column in columns {
        out.extend_from_slice(&column.to_le_bytes());
    }
    out.extend_from_slice(key);
    out.extend_from_slice(stamp);
    out.resize(body_at, 0);
    out.extend_from_slice(&body.bytes);
    let crc_rest = (len >= COMBINE_BYTES_MIN).then(|| crc32c::crc32c(&out[PLACED_END..]));
    out.resize(align(len, RECORD_ALIGN), 0);
    Ok(Encoded { bytes: out, len, crc_rest })
}

fn check_shape(draft: &Draft, key: &[u8], stamp: &[u8]) -> Result<()> {
    if key.len() > KEY_BYTES_MAX {
        return Err(StoreError::BadArgument(format!(
            "idempotency key of {} bytes is longer than {KEY_BYTES_MAX}",
            key.len()
        )));
    }
    if stamp.len() > STAMP_BYTES_MAX {
        return Err(StoreError::BadArgument(format!(
            "producer stamp of {} bytes is longer than {STAMP_BYTES_MAX}",
            stamp.len()
        )));
    }
    if u32::try_from(draft.batch.num_rows()).is_err() {
        return Err(StoreError::BadArgument(format!("record of {} rows has too many", draft.batch.num_rows())));
    }
    if let Some(columns) = &draft.columns
        && columns.len() != draft.batch.num_columns()
    {
        return Err(StoreError::BadArgument(format!(
            "column list names {} columns, the batch has {}",
            columns.len(),
            draft.batch.num_columns()
        )));
    }
    match draft.batch.schema().fields().iter().find(|f| holds_dictionary(f.data_type())) {
        Some(field) => {
            Err(StoreError::NotImplemented(format!("dictionary column \"{}\" in a log record", field.name())))
        }
        None => Ok(()),
    }
}

fn holds_dictionary(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(..) => true,
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) | DataType::Map(f, _) => {
            holds_dictionary(f.data_type())
        }
        DataType::ListView(f) | DataType::LargeListView(f) => holds_dictionary(f.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| holds_dictionary(f.data_type())),
        DataType::Union(fields, _) => fields.iter().any(|(_, f)| holds_dictionary(f.data_type())),
        DataType::RunEndEncoded(_, f) => holds_dictionary(f.data_type()),
        _ => false,
    }
}

/// The IPC message of the batch: its description padded to [`META_ALIGN`], then its buffers.
fn encode_body(draft: &Draft) -> Result<(usize, Vec<u8>)> {
    let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5).map_err(|e| StoreError::rows("record", e))?;
    let mut dictionaries = DictionaryTracker::new(true);
    let (_, encoded) = IpcDataGenerator::default()
        .encode(&draft.batch, &mut dictionaries, &options, &mut Default::default())
        .map_err(|e| StoreError::rows("record", e))?;
    let mut body = encoded.ipc_message;
    body.resize(align(body.len(), META_ALIGN), 0);
    let meta_len = body.len();
    body.extend_from_slice(&encoded.arrow_data);
    Ok((meta_len, body))
}

struct Body {
    bytes: Vec<u8>,
    raw_len: usize,
}

/// Packs the body; a body that does not shrink is kept as it is.
fn compress(codec: Codec, raw: Vec<u8>, raw_bytes_max: usize) -> Result<(Codec, Body)> {
    let raw_len = raw.len();
    if raw_len > raw_bytes_max {
        return Err(StoreError::TooLarge { bytes: raw_len as u64, limit_bytes: raw_bytes_max as u64 });
    }
    let packed = match codec {
        Codec::None => {
            return Ok((Codec::None, Body { bytes: raw, raw_len }));
        }
        Codec::Lz4 => lz4_flex::block::compress(&raw),
        Codec::Zstd => zstd::bulk::compress(&raw, 1).map_err(|e| StoreError::rows("record", e))?,
    };
    if packed.len() < raw_len {
        Ok((codec, Body { bytes: packed, raw_len }))
    } else {
        Ok((Codec::None, Body { bytes: raw, raw_len }))
    }
}

/// Decodes a record that has passed [`Head::checks`].
///
/// Errors: `UnknownSchema`; `Rows` when schema and bytes disagree.
pub fn decode(head: &Head, record: &[u8], schemas: &dyn Schemas, log: &str) -> Result<Record> {
    let object = || format!("{log}, sequence {}", head.sequence);
    let schema = schemas
        .schema(head.schema_version)
        .ok_or_else(|| StoreError::UnknownSchema { log: log.to_owned(), version: head.schema_version })?;
    let columns: Option<Arc<[u16]>> = (head.column_count > 0).then(|| {
        record[head.columns_at()..head.key_at()].chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect()
    });
    let schema = match &columns {
        None => schema,
        Some(list) => {
            let list: Vec<usize> = list.iter().map(|c| *c as usize).collect();
            Arc::new(schema.project(&list).map_err(|e| StoreError::rows(object(), e))?)
        }
    };
    let raw =
        decompress(head, &record[head.body_at()..head.len as usize]).map_err(|e| StoreError::rows(object(), e))?;
    let batch = decode_body(&raw, head.meta_len as usize, schema).map_err(|e| StoreError::rows(object(), e))?;
    if batch.num_rows() != head.rows as usize {
        return Err(StoreError::rows(object(), format!("{} rows announced, {} found", head.rows, batch.num_rows())));
    }
    Ok(Record {
        sequence: head.sequence,
        append_time_ms: head.append_time_ms,
        event_span: head.event_span,
        schema_version: head.schema_version,
        columns,
        key: head.key(record),
        stamp: head.stamp(record),
        batch: Arc::new(batch),
    })
}

/// The body in a buffer of its own: a batch that lives long must not pin the whole read chunk it came from.
fn decompress(head: &Head, body: &[u8]) -> Result<Buffer, String> {
    let raw_len = head.raw_len as usize;
    let mut raw = MutableBuffer::from_len_zeroed(raw_len);
    let got = match head.codec {
        Codec::None if body.len() == raw_len => {
            raw.as_slice_mut().copy_from_slice(body);
            raw_len
        }
        Codec::None => body.len(),
        Codec::Lz4 => lz4_flex::block::decompress_into(body, raw.as_slice_mut()).map_err(|e| e.to_string())?,
        Codec::Zstd => zstd::bulk::decompress_to_buffer(body, raw.as_slice_mut()).map_err(|e| e.to_string())?,
    };
    if got == raw_len { Ok(raw.into()) } else { Err(format!("body of {raw_len} bytes announced, {got} found")) }
}

fn decode_body(raw: &Buffer, meta_len: usize, schema: SchemaRef) -> Result<RecordBatch, String> {
    let message = root_as_message(&raw[..meta_len]).map_err(|e| e.to_string())?;
    if message.header_type() != MessageHeader::RecordBatch {
        return Err("body is not a record batch".to_owned());
    }
    let batch = message.header_as_record_batch().ok_or("body has no record batch")?;
    let data = raw.slice(meta_len);
    arrow::ipc::reader::read_record_batch(&data, batch, schema, &HashMap::new(), None, &message.version())
        .map_err(|e| e.to_string())
}
