//! `lag()` and its like: values of the rows before, in the order in which rows are read.
//!
//! In: rows with the keys that divide them and the values looked back on behind their own columns. Out: their own columns, then
//! one for each call. Promise: as a stream of the same rows in the same order answers; of each key as many values are
//! remembered as a call looks back.

use crate::step::{Step, StepRun};
use crate::steps::batch_of;
use arrow::array::{Array, ArrayRef, ListArray, RecordBatch, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::interleave;
use arrow::datatypes::{DataType, SchemaRef};
use arrow_row::{RowConverter, SortField};
use hashbrown::HashMap;
use hydron_base::{Error, Result};
use hydron_func::call::arrow_error;
use hydron_plan::node::LagCall;
use hydron_types::array_of;
use hydron_types::physical::arrow_type;
use std::collections::VecDeque;
use std::sync::Arc;

/// Rows that are kept beyond those that are looked back on, before what is not needed is dropped.
const SPARE_ROWS: usize = 65_536;

#[derive(Debug)]
pub struct Lags {
    /// Columns of the output that come from the input.
    pub width: usize,
    pub keys: usize,
    pub calls: Vec<LagCall>,
    pub schema: SchemaRef,
}

impl Step for Lags {
    fn name(&self) -> &'static str {
        "Lags"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn needs_one_partition(&self) -> bool {
        true
    }

    fn start(&self) -> Box<dyn StepRun> {
        Box::new(LagsRun {
            width: self.width,
            keys: self.keys,
            schema: Arc::clone(&self.schema),
            calls: self.calls.iter().map(|c| CallRun::new(c.clone())).collect(),
            converter: None,
            numbers: HashMap::new(),
        })
    }
}

struct LagsRun {
    width: usize,
    keys: usize,
    schema: SchemaRef,
    calls: Vec<CallRun>,
    converter: Option<RowConverter>,
    /// Keys so far.
    numbers: HashMap<Box<[u8]>, usize>,
}

struct CallRun {
    call: LagCall,
    /// The default, then the values of earlier batches.
    kept: Vec<ArrayRef>,
    kept_rows: usize,
    /// By key: where its last values are, the newest last.
    last: Vec<VecDeque<(u32, u32)>>,
    /// `row_number()`: rows of each key so far.
    rows: Vec<u64>,
}

impl CallRun {
    fn new(call: LagCall) -> CallRun {
        CallRun { call, kept: Vec::new(), kept_rows: 0, last: Vec::new(), rows: Vec::new() }
    }

    fn column(&mut self, values: &ArrayRef, numbers: &[usize], keys: usize) -> Result<ArrayRef> {
        if self.call.number {
            self.rows.resize(keys, 0);
            let rows = &mut self.rows;
            let number = |key: &usize| {
                rows[*key] += 1;
                rows[*key] - 1
            };
            return Ok(Arc::new(UInt64Array::from_iter_values(numbers.iter().map(number))));
        }
        if self.kept.is_empty() {
            self.kept.push(array_of(&self.call.default, &self.call.value.ty, 1)?);
        }
        self.last.resize(keys, VecDeque::new());
        let at = self.kept.len() as u32;
        self.kept.push(Arc::clone(values));
        self.kept_rows += values.len();
        let (from, to) = (self.call.from as usize, self.call.to as usize);
        let mut places: Vec<(usize, usize)> = Vec::with_capacity(numbers.len() * (to - from + 1));
        for (row, number) in numbers.iter().enumerate() {
            let last = &mut self.last[*number];
            last.push_back((at, row as u32));
            if last.len() > to + 1 {
                last.pop_front();
            }
            for back in from..=to {
                let found = last.len().checked_sub(back + 1).and_then(|at| last.get(at));
                places.push(found.map_or((0, 0), |(batch, row)| (*batch as usize, *row as usize)));
            }
        }
        let flat = self.gather(&places)?;
        self.drop_spare()?;
        if !self.call.array {
            return Ok(flat);
        }
        let DataType::List(field) = arrow_type(&self.call.ty) else {
            return Err(Error::bug("an array type that is no list"));
        };
        let offsets = OffsetBuffer::from_repeated_length(to - from + 1, numbers.len());
        Ok(Arc::new(ListArray::try_new(field, offsets, flat, None).map_err(arrow_error)?))
    }

    fn gather(&self, places: &[(usize, usize)]) -> Result<ArrayRef> {
        let kept: Vec<&dyn Array> = self.kept.iter().map(AsRef::as_ref).collect();
        interleave(&kept, places).map_err(arrow_error)
    }

    /// Puts what is still looked back on into one array, when most of what is kept is not.
    fn drop_spare(&mut self) -> Result<()> {
        let needed: usize = self.last.iter().map(VecDeque::len).sum();
        if self.kept_rows <= needed * 2 + SPARE_ROWS {
            return Ok(());
        }
        let places: Vec<(usize, usize)> =
            self.last.iter().flatten().map(|(batch, row)| (*batch as usize, *row as usize)).collect();
        let values = self.gather(&places)?;
        self.kept.truncate(1);
        self.kept.push(values);
        self.kept_rows = needed;
        self.last.iter_mut().flatten().enumerate().for_each(|(row, place)| *place = (1, row as u32));
        Ok(())
    }
}

impl LagsRun {
    /// The number of each row's key.
    fn number(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<usize>> {
        if keys.is_empty() {
            self.numbers.entry(Box::default()).or_insert(0);
            return Ok(vec![0; rows]);
        }
        let converter = match &mut self.converter {
            Some(converter) => converter,
            none => {
                let fields = keys.iter().map(|k| SortField::new(k.data_type().clone())).collect();
                none.insert(RowConverter::new(fields).map_err(arrow_error)?)
            }
        };
        let encoded = converter.convert_columns(keys).map_err(arrow_error)?;
        let numbers = &mut self.numbers;
        let number = |row: arrow_row::Row<'_>| match numbers.get(row.as_ref()) {
            Some(number) => *number,
            None => {
                let next = numbers.len();
                numbers.insert(row.as_ref().into(), next);
                next
            }
        };
        Ok(encoded.iter().map(number).collect())
    }
}

impl StepRun for LagsRun {
    fn rows(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let (own, rest) = batch.columns().split_at(self.width);
        let (keys, values) = rest.split_at(self.keys);
        let numbers = self.number(keys, batch.num_rows())?;
        let mut columns = own.to_vec();
        for (call, values) in self.calls.iter_mut().zip(values) {
            columns.push(call.column(values, &numbers, self.numbers.len())?);
        }
        batch_of(&self.schema, columns, batch.num_rows())
    }

    fn bytes(&self) -> usize {
        let places = |c: &CallRun| c.last.iter().map(|l| l.capacity() * 8 + size_of::<VecDeque<(u32, u32)>>()).sum();
        let call = |c: &CallRun| {
            let places: usize = places(c);
            places + c.kept.iter().map(|k| k.get_array_memory_size()).sum::<usize>()
        };
        let keys: usize = self.numbers.keys().map(|k| k.len() + 32).sum();
        keys + self.calls.iter().map(call).sum::<usize>()
    }
}
