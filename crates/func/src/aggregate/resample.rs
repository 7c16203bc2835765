//! `_resample`: one answer for each step along a key.
//!
//! In: the arguments of an aggregate, then a key. Out: an array with an answer for each of `[start, start + step)`, … up to `end`; rows
//! outside do not count. The groups of the aggregate below are the steps of a group here, one after the other; a saved group is
//! the states of its steps, each as one string of bytes.

use super::bytes::{Reader, put_bytes};
use super::states::Codec;
use crate::agg::{Aggregate, BoundAgg, GroupState, Needs};
use crate::call::{arrow_error, downcast};
use crate::scalar::column::{end_offset, list, texts};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value};
use std::sync::Arc;

/// Steps of one call, as in ClickHouse: each one is a state in every group.
const SLOTS_MAX: u64 = 1_048_576;

/// The steps along a key.
#[derive(Clone, Copy)]
pub struct Slots {
    start: i64,
    end: i64,
    step: i64,
    count: usize,
}

impl Slots {
    /// Errors: ARGUMENT_OUT_OF_BOUND (69) for a step of 0 and for too many steps, BAD_ARGUMENTS (36) for other numbers than
    /// whole ones.
    pub fn new(name: &str, start: &Value, end: &Value, step: &Value) -> Result<Slots> {
        let whole = |v: &Value| {
            v.as_i64()
                .ok_or_else(|| Error::bad_arguments(format!("start, end and step of \"{name}\" are whole numbers")))
        };
        let out = |text: String| Error::new(Code::ARGUMENT_OUT_OF_BOUND, text);
        let (start, end, step) = (whole(start)?, whole(end)?, whole(step)?);
        if step <= 0 {
            return Err(out(format!("the step of \"{name}\" must be above 0, given {step}")));
        }
        let span = u64::try_from(i128::from(end) - i128::from(start)).unwrap_or(0);
        let count = span.div_ceil(step as u64);
        if count > SLOTS_MAX {
            return Err(out(format!("\"{name}\" would answer for {count} steps, {SLOTS_MAX} are the most")));
        }
        Ok(Slots { start, end, step, count: count as usize })
    }

    fn of(&self, key: i64) -> Option<usize> {
        (key >= self.start && key < self.end).then(|| ((key - self.start) / self.step) as usize)
    }
}

/// `inner` for each of `slots`; `key` is the type of the last argument.
pub fn resampled(inner: BoundAgg, slots: Slots, key: &LogicalType) -> Result<Arc<dyn Aggregate>> {
    let codec = Codec::new(inner.aggregate.state_types())?;
    Ok(Arc::new(Resampled { inner: inner.aggregate, element: inner.ty, codec, slots, key: key.clone() }))
}

struct Resampled {
    inner: Arc<dyn Aggregate>,
    element: LogicalType,
    codec: Codec,
    slots: Slots,
    key: LogicalType,
}

impl Aggregate for Resampled {
    fn new_state(&self) -> Box<dyn GroupState> {
        Box::new(ResampledState {
            inner: self.inner.new_state(),
            element: self.element.clone(),
            codec: self.codec.clone(),
            slots: self.slots,
            key: self.key.clone(),
        })
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Binary]
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }
}

struct ResampledState {
    inner: Box<dyn GroupState>,
    element: LogicalType,
    codec: Codec,
    slots: Slots,
    key: LogicalType,
}

impl ResampledState {
    fn below(&self, groups: &[u32]) -> Vec<u32> {
        let count = self.slots.count as u32;
        groups.iter().flat_map(|g| g * count..(g + 1) * count).collect()
    }

    /// Keys as whole numbers; those that do not fit are outside of all steps.
    fn keys(&self, column: &ArrayRef) -> Result<Vec<Option<i64>>> {
        let whole = match self.key.bare() {
            LogicalType::Date | LogicalType::Date32 if *column.data_type() == DataType::Date32 => {
                cast(column, &DataType::Int32).map_err(arrow_error)?
            }
            _ => Arc::clone(column),
        };
        let whole = cast(&whole, &DataType::Int64).map_err(arrow_error)?;
        let whole = whole.as_primitive::<Int64Type>();
        Ok((0..whole.len()).map(|r| whole.is_valid(r).then(|| whole.value(r))).collect())
    }
}

impl GroupState for ResampledState {
    fn resize(&mut self, groups: usize) {
        self.inner.resize(groups * self.slots.count);
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let (key, rest) = args.split_last().ok_or_else(|| Error::bug("a resampled aggregate without a key"))?;
        let slots: Vec<Option<usize>> = self.keys(key)?.into_iter().map(|k| k.and_then(|k| self.slots.of(k))).collect();
        let passes = |row: usize| filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        let inside: BooleanArray =
            slots.iter().enumerate().map(|(row, slot)| Some(slot.is_some() && passes(row))).collect();
        let count = self.slots.count as u32;
        let below: Vec<u32> =
            groups.iter().zip(&slots).map(|(g, slot)| slot.map_or(0, |s| g * count + s as u32)).collect();
        if self.slots.count == 0 {
            return Ok(());
        }
        self.inner.update(&below, rest, Some(&inside))
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let column: &BinaryArray = downcast(super::fold::state_column(state, 0)?)?;
        let (mut below, mut states): (Vec<u32>, Vec<&[u8]>) = (Vec::new(), Vec::new());
        for (row, group) in groups.iter().enumerate() {
            let mut bytes = Reader(column.value(row));
            for slot in 0..self.slots.count {
                if bytes.is_empty() {
                    break;
                }
                below.push(group * self.slots.count as u32 + slot as u32);
                states.push(bytes.bytes()?);
            }
        }
        self.inner.merge(&below, &self.codec.decode(&states)?)
    }

    fn finish(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        let answers = self.inner.finish(&self.below(groups))?;
        let ends = (0..=groups.len()).map(|g| end_offset(g * self.slots.count)).collect::<Result<Vec<_>>>()?;
        Ok(list(&self.element, ends, answers))
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let below = self.below(groups);
        let states = self.codec.encode(&self.inner.save(&below)?, below.len())?;
        let states: &BinaryArray = downcast(&states)?;
        let count = self.slots.count;
        let column = texts(groups.len(), |row, out| {
            (row * count..(row + 1) * count).for_each(|at| put_bytes(out, states.value(at)));
        })?;
        Ok(vec![column])
    }

    fn clear(&mut self, groups: &[u32]) {
        self.inner.clear(&self.below(groups));
    }

    fn bytes(&self) -> usize {
        self.inner.bytes()
    }
}
