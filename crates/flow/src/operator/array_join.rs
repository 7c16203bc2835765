//! ARRAY JOIN: one row for each element.

use super::expr::{take, take_delta};
use super::{Msg, Operator, Output, Rows};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array, UInt32Builder};
use hydron_base::{Code, Error, Result};
use hydron_func::EvalContext;
use hydron_types::gather::join_columns;
use hydron_types::{Batch, Delta, Schema, Value, array_of};
use std::sync::Arc;

pub struct ArrayJoin {
    columns: Vec<usize>,
    left: bool,
    schema: Arc<Schema>,
}

impl ArrayJoin {
    /// `schema`: the input's, with element types at `columns`.
    pub fn new(columns: Vec<usize>, left: bool, schema: Arc<Schema>) -> ArrayJoin {
        ArrayJoin { columns, left, schema }
    }

    fn lists<'a>(&self, batch: &'a Batch) -> Result<Vec<&'a ListArray>> {
        let list = |c: &usize| batch.columns.get(*c).and_then(|a| a.as_list_opt::<i32>());
        self.columns
            .iter()
            .map(|c| {
                list(c).ok_or_else(|| Error::not_implemented("ARRAY JOIN of a column that is not an array in a stream"))
            })
            .collect()
    }

    /// For each output row, its input row and its place in the arrays; `None` is the default of LEFT ARRAY JOIN.
    fn places(&self, lists: &[&ListArray], rows: usize) -> Result<(Vec<u32>, Vec<Option<u32>>)> {
        let (mut origin, mut place) = (Vec::new(), Vec::new());
        for row in 0..rows {
            let n = lists[0].value_length(row);
            if lists.iter().any(|l| l.value_length(row) != n) {
                let message = "arrays of one row in ARRAY JOIN differ in length";
                return Err(Error::new(Code::SIZES_OF_ARRAYS_DOESNT_MATCH, message));
            }
            origin.extend(std::iter::repeat_n(row as u32, n as usize));
            place.extend((0..n as u32).map(Some));
            if n == 0 && self.left {
                origin.push(row as u32);
                place.push(None);
            }
        }
        Ok((origin, place))
    }

    /// The elements of `list` at the places, with the default of the column where there is none.
    fn elements(&self, column: usize, list: &ListArray, origin: &[u32], place: &[Option<u32>]) -> Result<ArrayRef> {
        let offsets = list.value_offsets();
        let items = list.values();
        let ty = &self.schema.fields[column].ty;
        let missing = place.iter().any(Option::is_none);
        let items = match missing {
            false => Arc::clone(items),
            true => {
                let default = array_of(&Value::default_of(ty), ty, 1)?;
                join_columns(&[items.as_ref(), default.as_ref()])?
            }
        };
        let default_at = list.values().len() as u32;
        let mut indices = UInt32Builder::with_capacity(origin.len());
        for (row, at) in origin.iter().zip(place) {
            indices.append_value(at.map_or(default_at, |p| offsets[*row as usize] as u32 + p));
        }
        take(&items, &indices.finish())
    }
}

impl Operator for ArrayJoin {
    fn keeps_state(&self) -> bool {
        false
    }

    fn on_msg(&mut self, _: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        let Msg::Rows(rows) = msg else {
            return out.push(msg);
        };
        let lists = self.lists(rows.batch())?;
        let (origin, place) = self.places(&lists, rows.len())?;
        if origin.is_empty() {
            return Ok(());
        }
        let mut joined = Vec::with_capacity(lists.len());
        for (column, list) in self.columns.iter().zip(&lists) {
            joined.push(self.elements(*column, list, &origin, &place)?);
        }
        let Delta { rows: taken, signs } = take_delta(&rows.delta, &UInt32Array::from(origin))?;
        let n = taken.rows();
        let mut columns = taken.columns;
        for (column, array) in self.columns.iter().zip(joined) {
            columns[*column] = array;
        }
        let batch = Batch::new(Arc::clone(&self.schema), columns, n);
        out.push(Msg::Rows(Rows { delta: Delta { rows: batch, signs }, lane: rows.lane }))
    }
}
