//! The column `_tp_delta` and the sign that travels beside each row: a changelog stream stores the first, a query may ask for it.

use super::{Msg, Operator, Output, Rows};
use arrow::array::{AsArray, Int8Array};
use arrow::datatypes::Int8Type;
use hydron_base::{Error, Result};
use hydron_func::EvalContext;
use hydron_types::{Batch, Delta, Schema};
use std::sync::Arc;

pub struct TakeSigns {
    column: usize,
    /// The leading columns of the input: those the query asked for.
    schema: Arc<Schema>,
}

impl TakeSigns {
    pub fn new(column: usize, schema: Arc<Schema>) -> TakeSigns {
        TakeSigns { column, schema }
    }
}

impl Operator for TakeSigns {
    fn keeps_state(&self) -> bool {
        false
    }

    fn on_msg(&mut self, _: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        let Msg::Rows(Rows { delta, lane }) = msg else {
            return out.push(msg);
        };
        let column = delta.rows.columns.get(self.column).and_then(|c| c.as_primitive_opt::<Int8Type>());
        let signs = column.cloned().ok_or_else(|| Error::bug("a changelog source without int8 _tp_delta"))?;
        let asked: Vec<usize> = (0..self.schema.len()).collect();
        let rows = delta.rows.project(Arc::clone(&self.schema), &asked);
        out.push(Msg::Rows(Rows { delta: Delta { rows, signs: Some(signs) }, lane }))
    }
}

/// The sign as one column more.
pub struct AddSigns {
    schema: Arc<Schema>,
}

impl AddSigns {
    /// `schema`: the input's columns, then `_tp_delta`.
    pub fn new(schema: Arc<Schema>) -> AddSigns {
        AddSigns { schema }
    }
}

impl Operator for AddSigns {
    fn keeps_state(&self) -> bool {
        false
    }

    fn on_msg(&mut self, _: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        let Msg::Rows(rows) = msg else {
            return out.push(msg);
        };
        let signs = rows.delta.signs.clone().unwrap_or_else(|| Int8Array::from_value(1, rows.len()));
        let mut columns = rows.batch().columns.clone();
        columns.push(Arc::new(signs));
        let batch = Batch::new(Arc::clone(&self.schema), columns, rows.len());
        out.push(Msg::Rows(rows.with_batch(batch)))
    }
}
