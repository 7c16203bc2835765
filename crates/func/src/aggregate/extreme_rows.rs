//! `_arg_min` and `_arg_max`: an aggregate over the rows where the last argument is least, or greatest.
//!
//! In: the arguments of the aggregate, then a key. Out: its answer over the rows with the best key. Promise: a better key forgets all
//! that came before, in a merge too. Saved: the state below, then the key.

use super::item::{Kind, RowKind};
use crate::agg::{Aggregate, GroupState, Needs};
use crate::call::{arrow_error, downcast};
use arrow::array::{Array, ArrayRef, BinaryArray, BinaryBuilder, BooleanArray};
use arrow::datatypes::DataType;
use hydron_base::{Error, Result};
use hydron_types::LogicalType;
use std::cmp::Ordering;
use std::sync::Arc;

/// `inner` over the rows whose last argument, of type `key`, is greatest or else least.
pub fn of_extreme(inner: Arc<dyn Aggregate>, key: &LogicalType, greatest: bool) -> Result<Arc<dyn Aggregate>> {
    let kind = RowKind::new(std::slice::from_ref(key))?;
    Ok(Arc::new(OfExtreme { inner, kind, greatest }))
}

struct OfExtreme {
    inner: Arc<dyn Aggregate>,
    kind: RowKind,
    greatest: bool,
}

impl Aggregate for OfExtreme {
    fn new_state(&self) -> Box<dyn GroupState> {
        Box::new(OfExtremeState {
            inner: self.inner.new_state(),
            kind: self.kind.clone(),
            greatest: self.greatest,
            best: Vec::new(),
        })
    }

    fn state_types(&self) -> Vec<DataType> {
        let mut types = self.inner.state_types();
        types.push(DataType::Binary);
        types
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }
}

struct OfExtremeState {
    inner: Box<dyn GroupState>,
    kind: RowKind,
    greatest: bool,
    /// The best key of each group so far, in bytes that sort as it does.
    best: Vec<Option<Box<[u8]>>>,
}

impl OfExtremeState {
    /// Notes better keys and forgets what they beat. `keys`: one for each row, `None` for a row that does not count.
    /// Out: the rows that have the best key of their group.
    fn choose<'k>(&mut self, groups: &[u32], keys: impl Fn(usize) -> Option<&'k [u8]>) -> BooleanArray {
        let mut beaten: Vec<u32> = Vec::new();
        for (row, group) in groups.iter().enumerate() {
            let Some(key) = keys(row) else { continue };
            let best = &mut self.best[*group as usize];
            let order = best.as_deref().map(|b| key.cmp(b));
            let better = if self.greatest { Ordering::Greater } else { Ordering::Less };
            if order.is_none_or(|o| o == better) {
                beaten.push(*group);
                *best = Some(key.into());
            }
        }
        beaten.sort_unstable();
        beaten.dedup();
        self.inner.clear(&beaten);
        let is_best = |(row, group): (usize, &u32)| {
            Some(keys(row).is_some_and(|k| self.best[*group as usize].as_deref() == Some(k)))
        };
        groups.iter().enumerate().map(is_best).collect()
    }
}

impl GroupState for OfExtremeState {
    fn resize(&mut self, groups: usize) {
        self.inner.resize(groups);
        if self.best.len() < groups {
            self.best.resize(groups, None);
        }
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let (key, rest) = args.split_last().ok_or_else(|| Error::bug("an aggregate of extreme rows without a key"))?;
        let kind = self.kind.clone();
        let columns = [Arc::clone(key)];
        let view = kind.view(&columns)?;
        let keys: Vec<&[u8]> = (0..view.num_rows()).map(|r| view.row(r).data()).collect();
        let counts = |row: usize| filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        let chosen = self.choose(groups, |row| counts(row).then(|| keys[row]));
        self.inner.update(groups, rest, Some(&chosen))
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let (keys, inner) = state.split_last().ok_or_else(|| Error::bug("a saved state without columns"))?;
        let keys: &BinaryArray = downcast(keys)?;
        let chosen =
            self.choose(groups, |row| (keys.is_valid(row) && !keys.value(row).is_empty()).then(|| keys.value(row)));
        let of: Vec<u32> = groups.iter().zip(chosen.values()).filter_map(|(g, c)| c.then_some(*g)).collect();
        let keep = |a: &ArrayRef| arrow::compute::filter(a, &chosen).map_err(arrow_error);
        self.inner.merge(&of, &inner.iter().map(keep).collect::<Result<Vec<_>>>()?)
    }

    fn finish(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        self.inner.finish(groups)
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut state = self.inner.save(groups)?;
        let mut keys = BinaryBuilder::new();
        groups.iter().for_each(|g| keys.append_value(self.best[*g as usize].as_deref().unwrap_or_default()));
        state.push(Arc::new(keys.finish()));
        Ok(state)
    }

    fn clear(&mut self, groups: &[u32]) {
        self.inner.clear(groups);
        groups.iter().for_each(|g| self.best[*g as usize] = None);
    }

    fn bytes(&self) -> usize {
        let keys: usize = self.best.iter().flatten().map(|k| k.len()).sum();
        self.inner.bytes() + keys + self.best.capacity() * size_of::<Option<Box<[u8]>>>()
    }
}
