//! MsgPack: the values of a row one after another, in the order of the columns.
//!
//! A uuid is an extension of kind 2 with its 16 bytes. Dates are uint16 days, datetimes uint32 seconds, datetime64 64-bit ticks.

use crate::loose::Loose;
use crate::output::OutputFormat;
use crate::rows::Rows;
use crate::{FormatOptions, InputBatch, InputFormat};
use hydron_base::{Code, Error, Result};
use hydron_types::column::value_at;
use hydron_types::{Batch, LogicalType, Schema, Style, TextOptions, Value, array_of, write_text};
use std::sync::Arc;

/// Lists and maps within each other.
const DEPTH_MAX: usize = 64;

/// Extension that holds a uuid.
const UUID: u8 = 2;

pub struct MsgPackWriter {
    text: TextOptions,
}

impl MsgPackWriter {
    pub fn new(options: &FormatOptions) -> MsgPackWriter {
        MsgPackWriter { text: options.text.clone() }
    }
}

impl OutputFormat for MsgPackWriter {
    fn content_type(&self) -> &'static str {
        "application/octet-stream"
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        for row in 0..batch.rows() {
            for (column, field) in batch.columns.iter().zip(&batch.schema.fields) {
                push(&value_at(column, &field.ty, row), &field.ty, &self.text, out)
                    .map_err(|e| e.context(format!("column '{}'", field.name)))?;
            }
        }
        Ok(())
    }

    fn exception(&mut self, _: &Error, _: &mut Vec<u8>) {}
}

fn push_uint(n: u64, out: &mut Vec<u8>) {
    match n {
        ..=0x7F => out.push(n as u8),
        0x80..=0xFF => out.extend_from_slice(&[0xCC, n as u8]),
        0x100..=0xFFFF => {
            out.push(0xCD);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        0x1_0000..=0xFFFF_FFFF => {
            out.push(0xCE);
            out.extend_from_slice(&(n as u32).to_be_bytes());
        }
        _ => {
            out.push(0xCF);
            out.extend_from_slice(&n.to_be_bytes());
        }
    }
}

fn push_int(n: i64, out: &mut Vec<u8>) {
    if n >= 0 {
        return push_uint(n as u64, out);
    }
    if n >= -32 {
        out.push(n as u8);
    } else if let Ok(n) = i8::try_from(n) {
        out.extend_from_slice(&[0xD0, n as u8]);
    } else if let Ok(n) = i16::try_from(n) {
        out.push(0xD1);
        out.extend_from_slice(&n.to_be_bytes());
    } else if let Ok(n) = i32::try_from(n) {
        out.push(0xD2);
        out.extend_from_slice(&n.to_be_bytes());
    } else {
        out.push(0xD3);
        out.extend_from_slice(&n.to_be_bytes());
    }
}

/// A head with a length: short forms up to `short`, then 8 (where there is one), 16 and 32 bits.
fn push_head(length: usize, short: Option<(u8, usize)>, codes: [Option<u8>; 3], out: &mut Vec<u8>) -> Result<()> {
    if let Some((base, most)) = short
        && length <= most
    {
        out.push(base | length as u8);
        return Ok(());
    }
    if let (Some(code), Ok(length)) = (codes[0], u8::try_from(length)) {
        out.extend_from_slice(&[code, length]);
    } else if let (Some(code), Ok(length)) = (codes[1], u16::try_from(length)) {
        out.push(code);
        out.extend_from_slice(&length.to_be_bytes());
    } else if let (Some(code), Ok(length)) = (codes[2], u32::try_from(length)) {
        out.push(code);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        return Err(Error::new(Code::TOO_LARGE_STRING_SIZE, format!("{length} do not fit into MsgPack")));
    }
    Ok(())
}

fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    push_head(bytes.len(), None, [Some(0xC4), Some(0xC5), Some(0xC6)], out)?;
    out.extend_from_slice(bytes);
    Ok(())
}

fn push(value: &Value, ty: &LogicalType, text: &TextOptions, out: &mut Vec<u8>) -> Result<()> {
    let bare = ty.bare();
    match (value, bare) {
        (Value::Null, _) => out.push(0xC0),
        (Value::Bool(b), _) => out.push(if *b { 0xC3 } else { 0xC2 }),
        (Value::Int(n), LogicalType::Enum8(_) | LogicalType::Enum16(_)) => push_int(*n, out),
        (Value::Int(n), _) => push_int(*n, out),
        (Value::UInt(n), _) => push_uint(*n, out),
        (Value::Float32(v), _) => {
            out.push(0xCA);
            out.extend_from_slice(&v.to_be_bytes());
        }
        (Value::Float64(v), _) => {
            out.push(0xCB);
            out.extend_from_slice(&v.to_be_bytes());
        }
        (Value::Bytes(bytes), _) => push_bytes(bytes, out)?,
        (Value::Date(days), _) => push_int((*days).into(), out),
        (Value::Time(ticks), _) => push_int(*ticks, out),
        (Value::Uuid(bytes), _) => {
            out.extend_from_slice(&[0xD8, UUID]);
            out.extend_from_slice(bytes);
        }
        (Value::Array(items), LogicalType::Array(item)) => {
            push_head(items.len(), Some((0x90, 15)), [None, Some(0xDC), Some(0xDD)], out)?;
            items.iter().try_for_each(|v| push(v, item, text, out))?;
        }
        (Value::Tuple(values), LogicalType::Tuple(elements)) => {
            push_head(values.len(), Some((0x90, 15)), [None, Some(0xDC), Some(0xDD)], out)?;
            values.iter().zip(elements.iter()).try_for_each(|(v, (_, ty))| push(v, ty, text, out))?;
        }
        (Value::Map(pairs), LogicalType::Map(key, of)) => {
            push_head(pairs.len(), Some((0x80, 15)), [None, Some(0xDE), Some(0xDF)], out)?;
            for (k, v) in pairs {
                push(k, key, text, out)?;
                push(v, of, text, out)?;
            }
        }
        (value, ty) => {
            let mut plain = Vec::new();
            write_text(&array_of(value, ty, 1)?, ty, 0, Style::Plain, text, &mut plain)?;
            push_bytes(&plain, out)?;
        }
    }
    Ok(())
}

/// Bytes that are read from the front; `None` where they end inside a value.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

enum Fault {
    Short,
    Wrong(Error),
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let taken = self.at.checked_add(count).and_then(|end| self.bytes.get(self.at..end)).ok_or(Fault::Short)?;
        self.at += count;
        Ok(taken)
    }

    /// A number of `width` bytes, most significant first.
    fn number(&mut self, width: usize) -> Result<u64, Fault> {
        Ok(self.take(width)?.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    fn length(&mut self, width: usize) -> Result<usize, Fault> {
        let length = self.number(width)?;
        let limit = crate::rows::ROW_BYTES_MAX as u64;
        if length > limit {
            let message = format!("a value of {length} bytes or items, the limit is {limit}");
            return Err(Fault::Wrong(Error::new(Code::INCORRECT_DATA, message)));
        }
        Ok(length as usize)
    }

    fn sized(&mut self, width: usize) -> Result<Loose, Fault> {
        let length = self.length(width)?;
        Ok(Loose::Bytes(self.take(length)?.to_vec()))
    }

    fn list(&mut self, length: usize, depth: usize) -> Result<Loose, Fault> {
        // An item has a byte at least: what is claimed beyond the bytes at hand is not allocated.
        let mut items = Vec::with_capacity(length.min(self.bytes.len() - self.at));
        for _ in 0..length {
            items.push(self.value(depth + 1)?);
        }
        Ok(Loose::List(items))
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<Loose, Fault> {
        let mut pairs = Vec::with_capacity(length.min(self.bytes.len() - self.at));
        for _ in 0..length {
            pairs.push((self.value(depth + 1)?, self.value(depth + 1)?));
        }
        Ok(Loose::Map(pairs))
    }

    fn extension(&mut self, length: usize) -> Result<Loose, Fault> {
        // Kinds other than that of a uuid are bytes too; what they mean the column says.
        self.take(1)?;
        Ok(Loose::Bytes(self.take(length)?.to_vec()))
    }

    fn value(&mut self, depth: usize) -> Result<Loose, Fault> {
        let wrong = |what: String| Fault::Wrong(Error::new(Code::INCORRECT_DATA, what));
        if depth > DEPTH_MAX {
            return Err(wrong(format!("values are nested more than {DEPTH_MAX} levels deep")));
        }
        let code = self.take(1)?[0];
        Ok(match code {
            ..=0x7F => Loose::Int(code.into()),
            0x80..=0x8F => self.map((code & 15).into(), depth)?,
            0x90..=0x9F => self.list((code & 15).into(), depth)?,
            0xA0..=0xBF => Loose::Bytes(self.take((code & 31).into())?.to_vec()),
            0xC0 => Loose::Null,
            0xC1 => return Err(wrong("byte 0xC1 begins no value of MsgPack".to_string())),
            0xC2 | 0xC3 => Loose::Bool(code == 0xC3),
            0xC4 | 0xD9 => self.sized(1)?,
            0xC5 | 0xDA => self.sized(2)?,
            0xC6 | 0xDB => self.sized(4)?,
            0xC7..=0xC9 => {
                let length = self.length(1 << (code - 0xC7))?;
                self.extension(length)?
            }
            0xCA => Loose::Float(f32::from_bits(self.number(4)? as u32).into()),
            0xCB => Loose::Float(f64::from_bits(self.number(8)?)),
            0xCC..=0xCF => Loose::Int(self.number(1 << (code - 0xCC))?.into()),
            0xD0 => Loose::Int((self.number(1)? as i8).into()),
            0xD1 => Loose::Int((self.number(2)? as i16).into()),
            0xD2 => Loose::Int((self.number(4)? as i32).into()),
            0xD3 => Loose::Int((self.number(8)? as i64).into()),
            0xD4..=0xD8 => self.extension(1 << (code - 0xD4))?,
            0xDC => {
                let length = self.length(2)?;
                self.list(length, depth)?
            }
            0xDD => {
                let length = self.length(4)?;
                self.list(length, depth)?
            }
            0xDE => {
                let length = self.length(2)?;
                self.map(length, depth)?
            }
            0xDF => {
                let length = self.length(4)?;
                self.map(length, depth)?
            }
            0xE0.. => Loose::Int((code as i8).into()),
        })
    }
}

pub struct MsgPackReader {
    rows: Rows,
    tail: Vec<u8>,
}

impl MsgPackReader {
    pub fn open(schema: &Arc<Schema>, options: &FormatOptions) -> Box<dyn InputFormat> {
        Box::new(MsgPackReader { rows: Rows::new(Arc::clone(schema), options), tail: Vec::new() })
    }

    /// Reads the whole rows of `bytes`; returns how many bytes they take.
    fn read(&mut self, bytes: &[u8]) -> Result<usize> {
        let columns = self.rows.schema().len();
        let mut cursor = Cursor { bytes, at: 0 };
        let mut whole = 0;
        while cursor.at < bytes.len() && columns > 0 {
            let mut values = Vec::with_capacity(columns);
            for _ in 0..columns {
                match cursor.value(0) {
                    Ok(value) => values.push(value),
                    Err(Fault::Short) => return Ok(whole),
                    Err(Fault::Wrong(e)) => return Err(e),
                }
            }
            whole = cursor.at;
            self.rows.row(|rows| {
                for (column, loose) in values.into_iter().enumerate() {
                    let ty = rows.field(column).ty.clone();
                    let value = loose.into_value(&ty, &rows.text);
                    let value = value.map_err(|e| e.context(format!("column '{}'", rows.field(column).name)))?;
                    rows.append(column, &value)?;
                }
                Ok(())
            })?;
        }
        Ok(whole)
    }
}

impl InputFormat for MsgPackReader {
    fn feed(&mut self, bytes: &[u8], last: bool) -> Result<Vec<InputBatch>> {
        let mut tail = std::mem::take(&mut self.tail);
        tail.extend_from_slice(bytes);
        let used = self.read(&tail)?;
        tail.drain(..used);
        if tail.len() > crate::rows::ROW_BYTES_MAX {
            let text = format!("a row is longer than {} bytes", crate::rows::ROW_BYTES_MAX);
            return Err(Error::new(Code::INCORRECT_DATA, text));
        }
        if last && !tail.is_empty() {
            return Err(Error::new(Code::CANNOT_READ_ALL_DATA, "the last row is cut off"));
        }
        self.tail = tail;
        let mut batches = self.rows.take_full();
        if last {
            batches.extend(self.rows.take()?);
        }
        Ok(batches)
    }

    fn flush(&mut self) -> Result<Option<InputBatch>> {
        self.rows.take()
    }

    fn rows_skipped(&self) -> u64 {
        self.rows.rows_skipped()
    }
}
