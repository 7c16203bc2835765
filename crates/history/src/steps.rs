//! The steps DataFusion has no node for: ARRAY JOIN, LIMIT BY, and the first of equal rows.

use crate::step::{Step, StepRun};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow_row::{RowConverter, SortField};
use hashbrown::HashMap;
use hydron_base::{Code, Error, Result};
use hydron_func::call::arrow_error;
use hydron_types::gather::take_rows;
use std::sync::Arc;

/// A batch of `schema`.
pub fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|e| Error::bug(format!("a batch does not fit its schema: {e}")))
}

/// Passes rows on in their order: what stands above it says nothing to what stands below.
#[derive(Debug)]
pub struct Barrier {
    pub schema: SchemaRef,
}

impl Step for Barrier {
    fn name(&self) -> &'static str {
        "Barrier"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn needs_one_partition(&self) -> bool {
        true
    }

    fn start(&self) -> Box<dyn StepRun> {
        Box::new(PassOn)
    }
}

struct PassOn;

impl StepRun for PassOn {
    fn rows(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        Ok(batch)
    }
}

/// The input's columns, then the position of each row: what tells a join above that its rows have an order to keep.
#[derive(Debug)]
pub struct Positions {
    pub schema: SchemaRef,
}

impl Step for Positions {
    fn name(&self) -> &'static str {
        "Positions"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn needs_one_partition(&self) -> bool {
        true
    }

    fn sorted_by(&self) -> Option<usize> {
        self.schema.fields().len().checked_sub(1)
    }

    fn start(&self) -> Box<dyn StepRun> {
        Box::new(PositionsRun { schema: Arc::clone(&self.schema), next: 0 })
    }
}

struct PositionsRun {
    schema: SchemaRef,
    next: u64,
}

impl StepRun for PositionsRun {
    fn rows(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let after = self.next + rows as u64;
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(UInt64Array::from_iter_values(self.next..after)));
        self.next = after;
        batch_of(&self.schema, columns, rows)
    }
}

/// One row for each element of the arrays (or maps) in `columns`; the columns change to their elements in place.
#[derive(Debug)]
pub struct ArrayJoin {
    pub columns: Vec<usize>,
    /// A row whose arrays are empty stays, with these elements: one value each.
    pub left: Option<Vec<ArrayRef>>,
    pub schema: SchemaRef,
}

impl Step for ArrayJoin {
    fn name(&self) -> &'static str {
        "ArrayJoin"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn needs_one_partition(&self) -> bool {
        false
    }

    fn start(&self) -> Box<dyn StepRun> {
        Box::new(ArrayJoinRun {
            columns: self.columns.clone(),
            left: self.left.clone(),
            schema: Arc::clone(&self.schema),
        })
    }
}

struct ArrayJoinRun {
    columns: Vec<usize>,
    left: Option<Vec<ArrayRef>>,
    schema: SchemaRef,
}

impl StepRun for ArrayJoinRun {
    fn rows(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let lists = self.columns.iter().map(|c| as_list(batch.column(*c))).collect::<Result<Vec<_>>>()?;
        let first = lists.first().ok_or_else(|| Error::bug("ARRAY JOIN without an array"))?;
        let mut origin: Vec<u32> = Vec::new();
        // Where each element is; `None`: the default stands in.
        let mut places: Vec<Vec<Option<u32>>> = vec![Vec::new(); lists.len()];
        for row in 0..batch.num_rows() {
            let len = first.value_length(row);
            if let Some(other) = lists.iter().find(|l| l.value_length(row) != len) {
                return Err(Error::new(
                    Code::SIZES_OF_ARRAYS_DOESNT_MATCH,
                    format!("arrays of {len} and {} elements in one row of ARRAY JOIN", other.value_length(row)),
                ));
            }
            if len == 0 && self.left.is_some() {
                origin.push(row as u32);
                places.iter_mut().for_each(|p| p.push(None));
                continue;
            }
            for (list, places) in lists.iter().zip(&mut places) {
                let start = list.value_offsets()[row] as u32;
                places.extend((start..start + len as u32).map(Some));
            }
            origin.extend(std::iter::repeat_n(row as u32, len as usize));
        }
        let rows = origin.len();
        let origin = UInt32Array::from(origin);
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (i, column) in batch.columns().iter().enumerate() {
            columns.push(match self.columns.iter().position(|c| *c == i) {
                Some(at) => self.elements(at, lists[at].values(), &places[at])?,
                None => take_rows(column, &origin)?,
            });
        }
        batch_of(&self.schema, columns, rows)
    }
}

impl ArrayJoinRun {
    fn elements(&self, at: usize, values: &ArrayRef, places: &[Option<u32>]) -> Result<ArrayRef> {
        let Some(defaults) = &self.left else {
            let places: UInt32Array = places.iter().copied().collect();
            return take_rows(values, &places);
        };
        let order: Vec<(usize, usize)> = places.iter().map(|p| p.map_or((1, 0), |p| (0, p as usize))).collect();
        arrow::compute::interleave(&[values.as_ref(), defaults[at].as_ref()], &order).map_err(arrow_error)
    }
}

/// An array column, or a map as an array of its pairs.
fn as_list(column: &ArrayRef) -> Result<ListArray> {
    if let Some(list) = column.as_list_opt::<i32>() {
        return Ok(list.clone());
    }
    let map = column.as_map_opt().ok_or_else(|| Error::bug(format!("ARRAY JOIN of {}", column.data_type())))?;
    let entries: ArrayRef = Arc::new(map.entries().clone());
    let field = Arc::new(arrow::datatypes::Field::new("item", entries.data_type().clone(), false));
    Ok(ListArray::new(field, map.offsets().clone(), entries, map.nulls().cloned()))
}

/// The rows `offset .. offset + limit` of each key, in the order they come. With `offset` 0 and `limit` 1: the first of
/// equal rows.
#[derive(Debug)]
pub struct LimitBy {
    /// Columns of the key; none: all rows are one key.
    pub keys: Vec<usize>,
    pub offset: u64,
    pub limit: u64,
    pub schema: SchemaRef,
}

impl Step for LimitBy {
    fn name(&self) -> &'static str {
        "LimitBy"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn needs_one_partition(&self) -> bool {
        true
    }

    fn start(&self) -> Box<dyn StepRun> {
        let fields = self.keys.iter().map(|k| SortField::new(self.schema.field(*k).data_type().clone())).collect();
        Box::new(LimitByRun {
            keys: self.keys.clone(),
            from: self.offset,
            to: self.offset.saturating_add(self.limit),
            schema: Arc::clone(&self.schema),
            converter: RowConverter::new(fields).map_err(arrow_error),
            seen: HashMap::default(),
            key_bytes: 0,
        })
    }
}

struct LimitByRun {
    keys: Vec<usize>,
    from: u64,
    to: u64,
    schema: SchemaRef,
    converter: Result<RowConverter>,
    /// Rows seen of each key.
    seen: HashMap<Box<[u8]>, u64>,
    key_bytes: usize,
}

impl StepRun for LimitByRun {
    fn rows(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let converter = self.converter.as_ref().map_err(Clone::clone)?;
        let rows = batch.num_rows();
        let batch = batch_of(&self.schema, batch.columns().to_vec(), rows)?;
        let mut counts = Vec::with_capacity(rows);
        if self.keys.is_empty() {
            let seen = self.seen.entry(Box::default()).or_insert(0);
            counts.extend(*seen..*seen + rows as u64);
            *seen += rows as u64;
        } else {
            let columns: Vec<ArrayRef> = self.keys.iter().map(|k| Arc::clone(batch.column(*k))).collect();
            let keys = converter.convert_columns(&columns).map_err(arrow_error)?;
            for key in keys.iter() {
                match self.seen.get_mut(key.data()) {
                    Some(n) => {
                        counts.push(*n);
                        *n += 1;
                    }
                    None => {
                        counts.push(0);
                        self.key_bytes += key.data().len();
                        self.seen.insert(key.data().into(), 1);
                    }
                }
            }
        }
        let kept = BooleanBuffer::collect_bool(rows, |i| (self.from..self.to).contains(&counts[i]));
        filter_record_batch(&batch, &BooleanArray::new(kept, None)).map_err(arrow_error)
    }

    fn bytes(&self) -> usize {
        self.key_bytes + self.seen.allocation_size()
    }
}
