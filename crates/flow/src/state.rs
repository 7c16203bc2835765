//! The bytes of an operator's state: what a checkpoint keeps and a restart reads.
//!
//! In: numbers, bytes and columns, in the order the operator writes them. Out: the same, in the same order. Promise: a
//! reader never trusts a length it has not checked, so a damaged state is an error and not a crash.
//!
//! Numbers are little-endian, bytes follow their length (u64), columns are one Arrow IPC stream with one batch.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use hydron_base::{Code, Error, Result};
use hydron_func::call::arrow_error;
use std::sync::Arc;

/// Collects the state of operators.
#[derive(Default)]
pub struct StateWriter {
    bytes: Vec<u8>,
}

impl StateWriter {
    pub fn put_u64(&mut self, v: u64) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }

    pub fn put_i64(&mut self, v: i64) {
        self.put_u64(v as u64);
    }

    pub fn put_bool(&mut self, v: bool) {
        self.bytes.push(u8::from(v));
    }

    /// A number that may be absent.
    pub fn put_option(&mut self, v: Option<i64>) {
        self.put_bool(v.is_some());
        self.put_i64(v.unwrap_or(0));
    }

    pub fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_u64(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// Columns of `rows` values each; there may be none.
    pub fn put_columns(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        self.put_u64(rows as u64);
        let fields = columns.iter().enumerate().map(|(i, c)| Field::new(format!("c{i}"), c.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch =
            RecordBatch::try_new_with_options(Arc::clone(&schema), columns.to_vec(), &options).map_err(arrow_error)?;
        let mut writer = StreamWriter::try_new(Vec::new(), &schema).map_err(arrow_error)?;
        writer.write(&batch).map_err(arrow_error)?;
        let ipc = writer.into_inner().map_err(arrow_error)?;
        self.put_bytes(&ipc);
        Ok(())
    }

    /// Writes the state of something inside, so that a reader can skip it as one piece.
    pub fn put_nested(&mut self, write: impl FnOnce(&mut StateWriter) -> Result<()>) -> Result<()> {
        let mut inner = StateWriter::default();
        write(&mut inner)?;
        self.put_bytes(&inner.bytes);
        Ok(())
    }

    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads what a [`StateWriter`] wrote, restricted to one share of the groups.
pub struct StateReader<'a> {
    bytes: &'a [u8],
    share: Share,
}

/// The groups that one of several parallel operators owns: those whose key hashes to `index` of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub index: usize,
    pub of: usize,
}

impl Share {
    pub const ALL: Share = Share { index: 0, of: 1 };

    /// Whether a key of this hash is in the share.
    pub fn owns(self, hash: u64) -> bool {
        self.of == 1 || shard_of(hash, self.of) == self.index
    }
}

/// Which of `of` parallel operators a key of this hash belongs to. Uses the high bits: tables use the low ones.
pub fn shard_of(hash: u64, of: usize) -> usize {
    ((u128::from(hash) * of as u128) >> 64) as usize
}

impl<'a> StateReader<'a> {
    pub fn new(bytes: &'a [u8], share: Share) -> StateReader<'a> {
        StateReader { bytes, share }
    }

    pub fn share(&self) -> Share {
        self.share
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        if n > self.bytes.len() {
            return Err(damaged(format!("{n} bytes expected, {} left", self.bytes.len())));
        }
        let (head, tail) = self.bytes.split_at(n);
        self.bytes = tail;
        Ok(head)
    }

    pub fn u64(&mut self) -> Result<u64> {
        let mut v = [0; 8];
        v.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(v))
    }

    pub fn i64(&mut self) -> Result<i64> {
        Ok(self.u64()? as i64)
    }

    pub fn bool(&mut self) -> Result<bool> {
        Ok(self.take(1)?[0] != 0)
    }

    pub fn option(&mut self) -> Result<Option<i64>> {
        let present = self.bool()?;
        let v = self.i64()?;
        Ok(present.then_some(v))
    }

    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let n = self.u64()?;
        self.take(usize::try_from(n).map_err(|_| damaged(format!("a length of {n}")))?)
    }

    /// What `put_columns` wrote: the columns and their rows.
    pub fn columns(&mut self) -> Result<(Vec<ArrayRef>, usize)> {
        let rows = self.u64()? as usize;
        let ipc = self.bytes()?;
        let mut reader = StreamReader::try_new(ipc, None).map_err(|e| damaged(e.to_string()))?;
        let batch = match reader.next() {
            Some(batch) => batch.map_err(|e| damaged(e.to_string()))?,
            None => RecordBatch::new_empty(reader.schema()),
        };
        if batch.num_rows() != rows {
            return Err(damaged(format!("{rows} rows expected, {} found", batch.num_rows())));
        }
        Ok((batch.columns().to_vec(), rows))
    }

    /// A reader of what `put_nested` wrote.
    pub fn nested(&mut self) -> Result<StateReader<'a>> {
        Ok(StateReader { bytes: self.bytes()?, share: self.share })
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(Code::CANNOT_READ_ALL_DATA, format!("the saved state of a query is damaged: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, Int64Array};

    #[test]
    fn what_was_written_is_read_in_order() {
        let mut w = StateWriter::default();
        w.put_u64(7);
        w.put_option(None);
        w.put_columns(&[Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef], 3).unwrap();
        w.put_columns(&[], 2).unwrap();
        w.put_nested(|w| {
            w.put_bytes(b"inside");
            Ok(())
        })
        .unwrap();
        let bytes = w.finish();
        let mut r = StateReader::new(&bytes, Share::ALL);
        assert_eq!(r.u64().unwrap(), 7);
        assert_eq!(r.option().unwrap(), None);
        assert_eq!(r.columns().unwrap().0[0].len(), 3);
        assert_eq!(r.columns().unwrap().1, 2);
        assert_eq!(r.nested().unwrap().bytes().unwrap(), b"inside");
        assert!(r.is_empty());
    }

    #[test]
    fn a_cut_state_is_an_error() {
        let mut w = StateWriter::default();
        w.put_bytes(b"0123456789");
        let bytes = w.finish();
        assert_eq!(StateReader::new(&bytes[..12], Share::ALL).bytes().unwrap_err().code, Code::CANNOT_READ_ALL_DATA);
    }

    #[test]
    fn every_hash_has_one_owner() {
        for hash in [0, 1, u64::MAX, u64::MAX / 3] {
            assert_eq!((0..3).filter(|i| Share { index: *i, of: 3 }.owns(hash)).count(), 1);
        }
    }
}
