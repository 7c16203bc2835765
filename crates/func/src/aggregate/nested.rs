//! `_for_each` and `_map`: one aggregate for each place of an array, or for each key of a map.
//!
//! In: arrays, or maps. Out: an array or a map of answers. The groups of the aggregate below are the pairs of a group here
//! and a place or key; a saved group is its keys, each with the state below as one string of bytes.

use super::bytes::{Reader, put_bytes, put_u64};
use super::item::{Kind, RowKind};
use super::states::Codec;
use crate::agg::{Aggregate, GroupState};
use crate::call::{arrow_error, downcast};
use crate::scalar::column::{end_offset, list, map};
use arrow::array::{ArrayRef, AsArray, BinaryArray, BooleanArray, ListArray, UInt32Array};
use arrow::datatypes::DataType;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What tells the parts of a group apart.
#[derive(Clone)]
pub enum Parts {
    /// Places of an array whose answers are of this type.
    Places(LogicalType),
    /// Keys of a map of this type.
    Keys { kind: RowKind, ty: LogicalType },
}

/// `inner` for each part of a group.
pub fn by_part(inner: Arc<dyn Aggregate>, parts: Parts) -> Result<Arc<dyn Aggregate>> {
    let codec = Codec::new(inner.state_types())?;
    Ok(Arc::new(Nested { inner, codec, parts }))
}

struct Nested {
    inner: Arc<dyn Aggregate>,
    codec: Codec,
    parts: Parts,
}

impl Aggregate for Nested {
    fn new_state(&self) -> Box<dyn GroupState> {
        Box::new(NestedState {
            inner: self.inner.new_state(),
            codec: self.codec.clone(),
            parts: self.parts.clone(),
            groups: Vec::new(),
            made: 0,
            free: Vec::new(),
            heap: 0,
        })
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Binary]
    }
}

struct NestedState {
    inner: Box<dyn GroupState>,
    codec: Codec,
    parts: Parts,
    /// For each group its parts in order, with the group below. A place is its number, big end first.
    groups: Vec<BTreeMap<Vec<u8>, u32>>,
    /// Groups below that were ever made, and those that no part uses.
    made: u32,
    free: Vec<u32>,
    heap: usize,
}

impl NestedState {
    fn part(&mut self, group: u32, key: Vec<u8>) -> Result<u32> {
        if let Some(below) = self.groups[group as usize].get(&key) {
            return Ok(*below);
        }
        let below = match self.free.pop() {
            Some(free) => free,
            None => {
                let next = self.made;
                self.made = next.checked_add(1).ok_or_else(|| {
                    Error::new(Code::TOO_LARGE_ARRAY_SIZE, "an aggregate for each part has more than 2^32 parts")
                })?;
                self.inner.resize(self.made as usize);
                next
            }
        };
        self.heap += key.capacity() + 48;
        self.groups[group as usize].insert(key, below);
        Ok(below)
    }

    /// For every element of the rows that pass: the group below, and where it lies in each flat column.
    fn spread(
        &mut self,
        groups: &[u32],
        args: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<(Vec<u32>, Vec<ArrayRef>)> {
        let (mut below, mut rows) = (Vec::new(), Vec::new());
        match self.parts.clone() {
            Parts::Places(_) => {
                let lists = args.iter().map(downcast::<ListArray>).collect::<Result<Vec<_>>>()?;
                let [first, others @ ..] = lists.as_slice() else {
                    return Err(Error::bug("an aggregate for each place was given no array"));
                };
                let mut places = vec![Vec::new(); lists.len()];
                super::fold::each_row(groups.len(), filter, |row| {
                    let len = first.value_length(row);
                    if let Some(other) = others.iter().find(|l| l.value_length(row) != len) {
                        let text = format!(
                            "arrays of {len} and {} elements in one row of an aggregate",
                            other.value_length(row)
                        );
                        return Err(Error::new(Code::SIZES_OF_ARRAYS_DOESNT_MATCH, text));
                    }
                    for i in 0..len as u32 {
                        below.push(self.part(groups[row], i.to_be_bytes().to_vec())?);
                        for (list, places) in lists.iter().zip(&mut places) {
                            places.push(list.value_offsets()[row] as u32 + i);
                        }
                    }
                    Ok(())
                })?;
                let take = |(list, places): (&&ListArray, Vec<u32>)| {
                    arrow::compute::take(list.values(), &UInt32Array::from(places), None).map_err(arrow_error)
                };
                Ok((below, lists.iter().zip(places).map(take).collect::<Result<Vec<_>>>()?))
            }
            Parts::Keys { kind, .. } => {
                let [column] = args else { return Err(Error::bug("an aggregate for each key was given no map")) };
                let maps = column.as_map();
                let keys = [ArrayRef::clone(maps.keys())];
                let view = kind.view(&keys)?;
                super::fold::each_row(groups.len(), filter, |row| {
                    for at in maps.value_offsets()[row]..maps.value_offsets()[row + 1] {
                        below.push(self.part(groups[row], RowKind::own(&view, at as usize))?);
                        rows.push(at as u32);
                    }
                    Ok(())
                })?;
                let values =
                    arrow::compute::take(maps.values(), &UInt32Array::from(rows), None).map_err(arrow_error)?;
                Ok((below, vec![values]))
            }
        }
    }
}

impl GroupState for NestedState {
    fn resize(&mut self, groups: usize) {
        if self.groups.len() < groups {
            self.groups.resize(groups, BTreeMap::new());
        }
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let (below, columns) = self.spread(groups, args, filter)?;
        self.inner.update(&below, &columns, None)
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let column: &BinaryArray = downcast(super::fold::state_column(state, 0)?)?;
        let (mut below, mut states): (Vec<u32>, Vec<&[u8]>) = (Vec::new(), Vec::new());
        for (row, group) in groups.iter().enumerate() {
            if column.value(row).is_empty() {
                continue;
            }
            let mut bytes = Reader(column.value(row));
            for _ in 0..bytes.count()? {
                let key = bytes.bytes()?.to_vec();
                below.push(self.part(*group, key)?);
                states.push(bytes.bytes()?);
            }
        }
        self.inner.merge(&below, &self.codec.decode(&states)?)
    }

    fn finish(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        let mut below = Vec::new();
        let mut ends = vec![0];
        let mut keys: Vec<&Vec<u8>> = Vec::new();
        for group in groups {
            for (key, at) in &self.groups[*group as usize] {
                keys.push(key);
                below.push(*at);
            }
            ends.push(end_offset(below.len())?);
        }
        let answers = self.inner.finish(&below)?;
        match &self.parts {
            Parts::Places(element) => Ok(list(element, ends, answers)),
            Parts::Keys { kind, ty } => map(ty, ends, kind.array(keys.into_iter())?, answers),
        }
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let below: Vec<u32> = groups.iter().flat_map(|g| self.groups[*g as usize].values().copied()).collect();
        let states = self.codec.encode(&self.inner.save(&below)?, below.len())?;
        let states: &BinaryArray = downcast(&states)?;
        let mut next = 0;
        let column = crate::scalar::column::texts(groups.len(), |row, out| {
            let parts = &self.groups[groups[row] as usize];
            if parts.is_empty() {
                return;
            }
            put_u64(out, parts.len() as u64);
            for key in parts.keys() {
                put_bytes(out, key);
                put_bytes(out, states.value(next));
                next += 1;
            }
        })?;
        Ok(vec![column])
    }

    fn clear(&mut self, groups: &[u32]) {
        for group in groups {
            let parts = std::mem::take(&mut self.groups[*group as usize]);
            self.heap = self.heap.saturating_sub(parts.keys().map(|k| k.capacity() + 48).sum());
            let below: Vec<u32> = parts.into_values().collect();
            self.inner.clear(&below);
            self.free.extend(below);
        }
    }

    fn bytes(&self) -> usize {
        self.inner.bytes() + self.heap + self.groups.capacity() * std::mem::size_of::<BTreeMap<Vec<u8>, u32>>()
    }
}
