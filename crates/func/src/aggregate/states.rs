//! `_state` and `_merge`: the state of a group as a value of type `aggregate_function`.
//!
//! In and out: one string of bytes for each group. A state of one column of bytes is that column; a state of more columns
//! is their values one after the other, fixed-width numbers as they lie in memory, bytes with their length. No bytes: a
//! group without rows.

use super::bytes::{Reader, put_bytes};
use crate::agg::{Aggregate, BoundAgg, GroupState, Needs};
use crate::call::{ArgInfo, BindContext, arrow_error, downcast};
use crate::registry::Registry;
use crate::scalar::column::try_texts;
use arrow::array::{Array, ArrayData, ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, make_array};
use arrow::buffer::Buffer;
use arrow::datatypes::DataType;
use hydron_base::{Error, Result};
use hydron_types::{LogicalType, Value};
use std::sync::Arc;

/// `inner`, answering with its state.
pub fn to_states(inner: Arc<dyn Aggregate>) -> Result<Arc<dyn Aggregate>> {
    let codec = Codec::new(inner.state_types())?;
    Ok(Arc::new(ToStates { inner, codec }))
}

/// `inner`, whose rows are states.
pub fn from_states(inner: Arc<dyn Aggregate>) -> Result<Arc<dyn Aggregate>> {
    let codec = Codec::new(inner.state_types())?;
    Ok(Arc::new(FromStates { inner, codec }))
}

/// The name of a function with its parameters, as types of states have it: `quantile(0.9)`.
pub(super) fn with_params(name: &Arc<str>, params: &[Value]) -> Arc<str> {
    if params.is_empty() {
        return Arc::clone(name);
    }
    Arc::from(format!("{name}({})", params.iter().map(param_text).collect::<Vec<_>>().join(", ")))
}

fn param_text(value: &Value) -> String {
    match value {
        Value::Bool(b) => b.to_string(),
        Value::Int(n) => n.to_string(),
        Value::UInt(n) => n.to_string(),
        Value::Float32(n) => n.to_string(),
        Value::Float64(n) => n.to_string(),
        Value::Bytes(b) => format!("'{}'", String::from_utf8_lossy(b)),
        Value::Array(list) => format!("[{}]", list.iter().map(param_text).collect::<Vec<_>>().join(", ")),
        other => format!("{other:?}"),
    }
}

/// `bound` in two halves: one answers with its state, the other takes such states in.
///
/// Errors: NOT_IMPLEMENTED (48) for an aggregate whose state is no value.
pub fn state_halves(bound: &BoundAgg) -> Result<(BoundAgg, BoundAgg)> {
    let ty = LogicalType::AggregateFunction { name: Arc::from("state"), args: Arc::from([]) };
    let states = BoundAgg { ty, aggregate: to_states(Arc::clone(&bound.aggregate))? };
    let merge = BoundAgg { ty: bound.ty.clone(), aggregate: from_states(Arc::clone(&bound.aggregate))? };
    Ok((states, merge))
}

/// The answers behind a column of states of `aggregate_function(name, args…)`, with their type.
///
/// Errors: UNKNOWN_FUNCTION (46), INCORRECT_DATA (117) for bytes that are no such state.
pub fn finalize(
    cx: &BindContext,
    name: &str,
    args: &[LogicalType],
    states: &BinaryArray,
) -> Result<(LogicalType, ArrayRef)> {
    let args: Vec<ArgInfo> = args.iter().cloned().map(ArgInfo::column).collect();
    let bound = Registry::builtin().bind_aggregate_of_state(name, cx, &args)?;
    let aggregate = from_states(bound.aggregate)?;
    let groups: Vec<u32> = (0..states.len() as u32).collect();
    let mut state = aggregate.new_state();
    state.resize(groups.len());
    state.update(&groups, &[Arc::new(states.clone()) as ArrayRef], None)?;
    Ok((bound.ty, state.finish(&groups)?))
}

/// The type `finalize` answers with.
pub fn finalized_type(cx: &BindContext, name: &str, args: &[LogicalType]) -> Result<LogicalType> {
    let args: Vec<ArgInfo> = args.iter().cloned().map(ArgInfo::column).collect();
    Ok(Registry::builtin().bind_aggregate_of_state(name, cx, &args)?.ty)
}

/// State columns to bytes and back.
#[derive(Clone)]
pub(super) struct Codec {
    types: Arc<[DataType]>,
}

fn fixed_width(ty: &DataType) -> Option<usize> {
    match ty {
        DataType::FixedSizeBinary(n) => Some(*n as usize),
        t => t.primitive_width(),
    }
}

impl Codec {
    pub(super) fn new(types: Vec<DataType>) -> Result<Codec> {
        match types.iter().find(|t| **t != DataType::Binary && fixed_width(t).is_none()) {
            Some(_) => Err(Error::not_implemented("the state of this aggregate as a value")),
            None => Ok(Codec { types: types.into() }),
        }
    }

    pub(super) fn encode(&self, state: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        if let ([DataType::Binary], [column]) = (&*self.types, state) {
            return Ok(Arc::clone(column));
        }
        let columns: Vec<ArrayData> = state.iter().map(|c| c.to_data()).collect();
        try_texts(rows, |row, bytes| {
            for (data, column) in columns.iter().zip(state) {
                match fixed_width(data.data_type()) {
                    Some(width) => {
                        let start = (data.offset() + row) * width;
                        bytes.extend_from_slice(&data.buffers()[0][start..start + width]);
                    }
                    None => put_bytes(bytes, downcast::<BinaryArray>(column)?.value(row)),
                }
            }
            Ok(())
        })
    }

    pub(super) fn decode(&self, states: &[&[u8]]) -> Result<Vec<ArrayRef>> {
        if let [DataType::Binary] = &*self.types {
            return Ok(vec![Arc::new(BinaryArray::from_iter_values(states))]);
        }
        let mut fixed: Vec<Vec<u8>> = vec![Vec::new(); self.types.len()];
        let mut texts: Vec<BinaryBuilder> = self.types.iter().map(|_| BinaryBuilder::new()).collect();
        for state in states {
            let mut bytes = Reader(state);
            for (i, ty) in self.types.iter().enumerate() {
                match fixed_width(ty) {
                    Some(width) => fixed[i].extend_from_slice(bytes.take(width)?),
                    None => texts[i].append_value(bytes.bytes()?),
                }
            }
        }
        let column = |((ty, fixed), mut texts): ((&DataType, Vec<u8>), BinaryBuilder)| {
            if *ty == DataType::Binary {
                return Ok(Arc::new(texts.finish()) as ArrayRef);
            }
            let data = ArrayData::builder(ty.clone()).len(states.len()).add_buffer(Buffer::from(fixed.as_slice()));
            data.align_buffers(true).build().map(make_array).map_err(arrow_error)
        };
        self.types.iter().zip(fixed).zip(texts).map(column).collect()
    }
}

struct ToStates {
    inner: Arc<dyn Aggregate>,
    codec: Codec,
}

impl Aggregate for ToStates {
    fn new_state(&self) -> Box<dyn GroupState> {
        Box::new(ToStatesState { inner: self.inner.new_state(), codec: self.codec.clone() })
    }

    fn state_types(&self) -> Vec<DataType> {
        self.inner.state_types()
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }
}

struct ToStatesState {
    inner: Box<dyn GroupState>,
    codec: Codec,
}

impl GroupState for ToStatesState {
    fn resize(&mut self, groups: usize) {
        self.inner.resize(groups);
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        self.inner.update(groups, args, filter)
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        self.inner.merge(groups, state)
    }

    fn finish(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        self.codec.encode(&self.inner.save(groups)?, groups.len())
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.inner.save(groups)
    }

    fn clear(&mut self, groups: &[u32]) {
        self.inner.clear(groups);
    }

    fn bytes(&self) -> usize {
        self.inner.bytes()
    }
}

struct FromStates {
    inner: Arc<dyn Aggregate>,
    codec: Codec,
}

impl Aggregate for FromStates {
    fn new_state(&self) -> Box<dyn GroupState> {
        Box::new(FromStatesState { inner: self.inner.new_state(), codec: self.codec.clone() })
    }

    fn state_types(&self) -> Vec<DataType> {
        self.inner.state_types()
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }
}

struct FromStatesState {
    inner: Box<dyn GroupState>,
    codec: Codec,
}

impl GroupState for FromStatesState {
    fn resize(&mut self, groups: usize) {
        self.inner.resize(groups);
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let column = args.first().ok_or_else(|| Error::bug("an aggregate of states was given none"))?;
        let column: &BinaryArray = downcast(column)?;
        let (mut of, mut states) = (Vec::new(), Vec::new());
        super::fold::each_row(groups.len(), filter, |row| {
            if column.is_valid(row) && !column.value(row).is_empty() {
                of.push(groups[row]);
                states.push(column.value(row));
            }
            Ok(())
        })?;
        self.inner.merge(&of, &self.codec.decode(&states)?)
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        self.inner.merge(groups, state)
    }

    fn finish(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        self.inner.finish(groups)
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.inner.save(groups)
    }

    fn clear(&mut self, groups: &[u32]) {
        self.inner.clear(groups);
    }

    fn bytes(&self) -> usize {
        self.inner.bytes()
    }
}
