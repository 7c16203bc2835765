//! `_array`: every element of an array is a row of the aggregate below.

use crate::agg::{Aggregate, GroupState, Needs};
use crate::call::downcast;
use arrow::array::{ArrayRef, BooleanArray, ListArray};
use arrow::datatypes::DataType;
use hydron_base::{Code, Error, Result};
use std::sync::Arc;

pub fn of_elements(inner: Arc<dyn Aggregate>) -> Arc<dyn Aggregate> {
    Arc::new(Elements { inner })
}

struct Elements {
    inner: Arc<dyn Aggregate>,
}

impl Aggregate for Elements {
    fn new_state(&self) -> Box<dyn GroupState> {
        Box::new(ElementsState { inner: self.inner.new_state() })
    }

    fn state_types(&self) -> Vec<DataType> {
        self.inner.state_types()
    }

    fn retracting(&self) -> Option<Arc<dyn Aggregate>> {
        Some(of_elements(self.inner.retracting()?))
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }
}

struct ElementsState {
    inner: Box<dyn GroupState>,
}

/// The elements of all rows that pass, with the group of each.
fn flattened(groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<(Vec<u32>, Vec<ArrayRef>)> {
    let lists = args.iter().map(downcast::<ListArray>).collect::<Result<Vec<_>>>()?;
    let [first, others @ ..] = lists.as_slice() else {
        return Err(Error::bug("an aggregate over arrays was given none"));
    };
    let (mut of, mut places) = (Vec::new(), vec![Vec::new(); lists.len()]);
    super::fold::each_row(groups.len(), filter, |row| {
        let len = first.value_length(row);
        if let Some(other) = others.iter().find(|l| l.value_length(row) != len) {
            return Err(Error::new(
                Code::SIZES_OF_ARRAYS_DOESNT_MATCH,
                format!("arrays of {len} and {} elements in one row of an aggregate", other.value_length(row)),
            ));
        }
        of.extend(std::iter::repeat_n(groups[row], len as usize));
        for (list, places) in lists.iter().zip(&mut places) {
            let start = list.value_offsets()[row];
            places.extend(start..start + len);
        }
        Ok(())
    })?;
    let take = |(list, places): (&&ListArray, Vec<i32>)| {
        let places = arrow::array::Int32Array::from(places);
        arrow::compute::take(list.values(), &places, None).map_err(crate::call::arrow_error)
    };
    let columns = lists.iter().zip(places).map(take).collect::<Result<Vec<_>>>()?;
    Ok((of, columns))
}

impl GroupState for ElementsState {
    fn resize(&mut self, groups: usize) {
        self.inner.resize(groups);
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let (groups, columns) = flattened(groups, args, filter)?;
        self.inner.update(&groups, &columns, None)
    }

    fn retract(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let (groups, columns) = flattened(groups, args, filter)?;
        self.inner.retract(&groups, &columns, None)
    }

    fn take_answers(&mut self) -> Result<Option<(Vec<u32>, ArrayRef)>> {
        self.inner.take_answers()
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
