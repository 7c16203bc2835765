//! Values of the rows before: `lag`, `lags`, in the order in which rows come, for each substream by itself.
//!
//! In: rows. Out: the same rows with one column more for each call. Promise: as many values are kept of each substream as the
//! call looks back, no more; substreams are never forgotten.

use super::expr::{eval, eval_all};
use super::{Msg, Operator, Output, Rows};
use crate::group::keys::{KeyTable, row_converter};
use crate::state::{StateReader, StateWriter};
use arrow::array::{ArrayRef, AsArray, ListArray, UInt32Array, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, UInt64Type};
use arrow_row::{RowConverter, RowParser};
use hydron_base::{Error, Result};
use hydron_func::EvalContext;
use hydron_func::call::arrow_error;
use hydron_plan::Expr;
use hydron_plan::node::LagCall;
use hydron_types::column::array_of;
use hydron_types::physical::arrow_type;
use hydron_types::{Batch, Schema};
use std::collections::VecDeque;
use std::sync::Arc;

pub struct Lag {
    keys: Vec<Expr>,
    /// The input's columns, then the calls'.
    schema: Arc<Schema>,
    substreams: KeyTable,
    calls: Vec<Call>,
    groups: Vec<u32>,
}

struct Call {
    call: LagCall,
    converter: RowConverter,
    parser: RowParser,
    default: Box<[u8]>,
    /// By substream: the last values, newest last.
    last: Vec<VecDeque<Box<[u8]>>>,
    /// `row_number()`: rows of each substream so far.
    rows: Vec<u64>,
    bytes: usize,
}

impl Call {
    fn new(call: LagCall) -> Result<Call> {
        let converter = row_converter(&[arrow_type(&call.value.ty)])?;
        let default = array_of(&call.default, &call.value.ty, 1)?;
        let default = converter.convert_columns(&[default]).map_err(arrow_error)?.row(0).as_ref().into();
        let parser = converter.parser();
        Ok(Call { call, converter, parser, default, last: Vec::new(), rows: Vec::new(), bytes: 0 })
    }

    fn column(&mut self, cx: &EvalContext, batch: &Batch, groups: &[u32], substreams: usize) -> Result<ArrayRef> {
        if self.call.number {
            self.rows.resize(self.rows.len().max(substreams), 0);
            let rows = &mut self.rows;
            let number = |group: &u32| {
                let next = &mut rows[*group as usize];
                *next += 1;
                *next - 1
            };
            return Ok(Arc::new(UInt64Array::from_iter_values(groups.iter().map(number))));
        }
        self.last.resize(self.last.len().max(substreams), VecDeque::new());
        let values = eval(&self.call.value, cx, batch)?;
        let encoded = self.converter.convert_columns(&[values]).map_err(arrow_error)?;
        let (from, to) = (self.call.from as usize, self.call.to as usize);
        let mut found: Vec<Box<[u8]>> = Vec::with_capacity(groups.len() * (to - from + 1));
        for (row, group) in groups.iter().enumerate() {
            self.push(*group, encoded.row(row).as_ref());
            let last = &self.last[*group as usize];
            // The row itself is the last value, at 0.
            for back in from..=to {
                let at = last.len().checked_sub(back + 1);
                found.push(at.and_then(|at| last.get(at)).unwrap_or(&self.default).clone());
            }
        }
        let rows = found.iter().map(|bytes| self.parser.parse(bytes));
        let mut columns = self.converter.convert_rows(rows).map_err(arrow_error)?;
        let flat = columns.pop().ok_or_else(|| Error::bug("a value was kept as no column"))?;
        if !self.call.array {
            return Ok(flat);
        }
        let DataType::List(field) = arrow_type(&self.call.ty) else {
            return Err(Error::bug("an array type that is no list"));
        };
        let offsets = OffsetBuffer::from_repeated_length(to - from + 1, groups.len());
        Ok(Arc::new(ListArray::try_new(field, offsets, flat, None).map_err(arrow_error)?))
    }

    fn push(&mut self, group: u32, value: &[u8]) {
        let last = &mut self.last[group as usize];
        self.bytes += value.len();
        last.push_back(value.into());
        if last.len() > self.call.to as usize + 1 {
            self.bytes -= last.pop_front().map_or(0, |v| v.len());
        }
    }

    /// All kept values, substream by substream, and how many each has.
    fn save(&self, w: &mut StateWriter) -> Result<()> {
        if self.call.number {
            return w.put_columns(&[Arc::new(UInt64Array::from(self.rows.clone()))], self.rows.len());
        }
        let counts = UInt32Array::from_iter_values(self.last.iter().map(|l| l.len() as u32));
        w.put_columns(&[Arc::new(counts)], self.last.len())?;
        let rows: Vec<_> = self.last.iter().flatten().map(|v| self.parser.parse(v)).collect();
        let count = rows.len();
        w.put_columns(&self.converter.convert_rows(rows).map_err(arrow_error)?, count)
    }

    fn load(&mut self, numbers: &[u32], substreams: usize, r: &mut StateReader) -> Result<()> {
        if self.call.number {
            let (rows, _) = r.columns()?;
            self.rows.resize(self.rows.len().max(substreams), 0);
            let rows = rows.first().map(|c| c.as_primitive::<UInt64Type>().values().to_vec()).unwrap_or_default();
            numbers.iter().zip(rows).for_each(|(n, rows)| self.rows[*n as usize] += rows);
            return Ok(());
        }
        let (counts, _) = r.columns()?;
        let (values, rows) = r.columns()?;
        self.last.resize(self.last.len().max(substreams), VecDeque::new());
        if rows == 0 {
            return Ok(());
        }
        let counts = counts.first().and_then(|c| c.as_any().downcast_ref::<UInt32Array>());
        let counts = counts.ok_or_else(|| Error::bug("saved values without their counts"))?;
        let encoded = self.converter.convert_columns(&values).map_err(arrow_error)?;
        let of_row = numbers.iter().zip(counts.values()).flat_map(|(n, c)| std::iter::repeat_n(*n, *c as usize));
        for (group, value) in of_row.zip(encoded.iter()) {
            self.push(group, value.as_ref());
        }
        Ok(())
    }
}

impl Lag {
    /// `keys`: of the substreams; none: one of all rows. Errors: NOT_IMPLEMENTED for values that cannot be kept.
    pub fn new(keys: Vec<Expr>, calls: &[LagCall], schema: Arc<Schema>) -> Result<Lag> {
        let types: Vec<_> = keys.iter().map(|k| arrow_type(&k.ty)).collect();
        let calls = calls.iter().cloned().map(Call::new).collect::<Result<Vec<_>>>()?;
        Ok(Lag { keys, schema, substreams: KeyTable::new(&types)?, calls, groups: Vec::new() })
    }
}

impl Operator for Lag {
    fn on_msg(&mut self, cx: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        let Msg::Rows(rows) = msg else {
            return out.push(msg);
        };
        if rows.is_empty() {
            return Ok(());
        }
        let batch = rows.batch();
        self.substreams.assign(&eval_all(&self.keys, cx, batch)?, batch.rows(), &mut self.groups)?;
        let mut columns = batch.columns.clone();
        for call in &mut self.calls {
            columns.push(call.column(cx, batch, &self.groups, self.substreams.len())?);
        }
        let longer = Batch::new(Arc::clone(&self.schema), columns, batch.rows());
        out.push(Msg::Rows(Rows { lane: rows.lane, ..rows.with_batch(longer) }))
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        w.put_columns(&self.substreams.all_keys()?, self.substreams.len())?;
        self.calls.iter().try_for_each(|c| c.save(w))
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        let (keys, rows) = r.columns()?;
        let mut numbers = Vec::new();
        self.substreams.assign(&keys, rows, &mut numbers)?;
        let substreams = self.substreams.len();
        self.calls.iter_mut().try_for_each(|c| c.load(&numbers, substreams, r))
    }

    fn bytes(&self) -> usize {
        let call = |c: &Call| c.bytes + c.rows.len() * 8 + c.last.len() * size_of::<VecDeque<Box<[u8]>>>();
        self.substreams.bytes() + self.calls.iter().map(call).sum::<usize>()
    }
}
