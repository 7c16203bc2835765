//! `_distinct`: the aggregate below sees each different row of arguments once.
//!
//! In: rows. Out: to the inner state, the first of equal rows; when the last of equal rows is withdrawn, its withdrawal.
//! Promise: a saved state is the set of rows, from which the inner state is built again.

use super::bytes::{Reader, put_bytes, put_u64};
use super::item::{Kind, RowKind};
use super::nulls::skipping_nulls;
use crate::agg::{Aggregate, GroupState, Needs};
use crate::call::downcast;
use crate::scalar::column::texts;
use arrow::array::{ArrayRef, BinaryArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;
use hashbrown::HashMap;
use hydron_base::Result;
use hydron_types::LogicalType;
use std::sync::Arc;

/// `inner` over different rows of `types`.
pub fn distinct(inner: Arc<dyn Aggregate>, types: &[LogicalType]) -> Result<Arc<dyn Aggregate>> {
    Ok(Arc::new(Distinct { inner, rows: RowKind::new(types)? }))
}

struct Distinct {
    inner: Arc<dyn Aggregate>,
    rows: RowKind,
}

impl Aggregate for Distinct {
    fn new_state(&self) -> Box<dyn GroupState> {
        Box::new(DistinctState { inner: self.inner.new_state(), rows: self.rows.clone(), seen: Vec::new(), heap: 0 })
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Binary]
    }

    fn retracting(&self) -> Option<Arc<dyn Aggregate>> {
        Some(Arc::new(Distinct { inner: self.inner.retracting()?, rows: self.rows.clone() }))
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }
}

type Rows = HashMap<Vec<u8>, u64, foldhash::fast::RandomState>;

struct DistinctState {
    inner: Box<dyn GroupState>,
    rows: RowKind,
    /// How often each row is in each group.
    seen: Vec<Rows>,
    /// Bytes of the rows in `seen`.
    heap: usize,
}

/// A map entry and the allocation of its row.
const ENTRY_BYTES: usize = 48;

impl GroupState for DistinctState {
    fn resize(&mut self, groups: usize) {
        self.inner.resize(groups);
        if self.seen.len() < groups {
            self.seen.resize_with(groups, Rows::default);
        }
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let filter = skipping_nulls(args, filter)?;
        let rows = self.rows.view(args)?;
        let mut first = vec![false; groups.len()];
        super::fold::each_row(groups.len(), filter.as_ref(), |row| {
            let data = rows.row(row);
            let seen = &mut self.seen[groups[row] as usize];
            match seen.get_mut(data.data()) {
                Some(n) => *n += 1,
                None => {
                    self.heap += data.data().len() + ENTRY_BYTES;
                    seen.insert(data.data().to_vec(), 1);
                    first[row] = true;
                }
            }
            Ok(())
        })?;
        self.inner.update(groups, args, Some(&BooleanArray::new(BooleanBuffer::from(first), None)))
    }

    fn retract(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let filter = skipping_nulls(args, filter)?;
        let rows = self.rows.view(args)?;
        let mut last = vec![false; groups.len()];
        super::fold::each_row(groups.len(), filter.as_ref(), |row| {
            let data = rows.row(row);
            let seen = &mut self.seen[groups[row] as usize];
            match seen.get_mut(data.data()) {
                Some(1) => {
                    self.heap = self.heap.saturating_sub(data.data().len() + ENTRY_BYTES);
                    seen.remove(data.data());
                    last[row] = true;
                }
                Some(n) => *n -= 1,
                None => {}
            }
            Ok(())
        })?;
        self.inner.retract(groups, args, Some(&BooleanArray::new(BooleanBuffer::from(last), None)))
    }

    fn take_answers(&mut self) -> Result<Option<(Vec<u32>, ArrayRef)>> {
        self.inner.take_answers()
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let column: &BinaryArray = downcast(super::fold::state_column(state, 0)?)?;
        let (mut of, mut new) = (Vec::new(), Vec::new());
        for (row, group) in groups.iter().enumerate() {
            let mut bytes = Reader(column.value(row));
            let rows = if bytes.is_empty() { 0 } else { bytes.count()? };
            for _ in 0..rows {
                let data = bytes.bytes()?;
                let n = bytes.u64()?;
                let seen = &mut self.seen[*group as usize];
                if let Some(times) = seen.get_mut(data) {
                    *times += n;
                    continue;
                }
                self.heap += data.len() + ENTRY_BYTES;
                seen.insert(data.to_vec(), n);
                of.push(*group);
                new.push(data);
            }
        }
        let columns = self.rows.columns(new.into_iter())?;
        self.inner.update(&of, &columns, None)
    }

    fn finish(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        self.inner.finish(groups)
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let column = texts(groups.len(), |i, bytes| {
            let seen = &self.seen[groups[i] as usize];
            put_u64(bytes, seen.len() as u64);
            for (row, n) in seen {
                put_bytes(bytes, row);
                put_u64(bytes, *n);
            }
        })?;
        Ok(vec![column])
    }

    fn clear(&mut self, groups: &[u32]) {
        self.inner.clear(groups);
        for group in groups {
            let gone = std::mem::take(&mut self.seen[*group as usize]);
            let bytes: usize = gone.keys().map(|row| row.len() + ENTRY_BYTES).sum();
            self.heap = self.heap.saturating_sub(bytes);
        }
    }

    fn bytes(&self) -> usize {
        self.inner.bytes() + self.heap + self.seen.capacity() * std::mem::size_of::<Rows>()
    }
}
