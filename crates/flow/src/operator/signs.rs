//! Rows of a changelog stream: the `_tp_delta` column becomes the sign that travels beside each row.

use super::{Msg, Operator, Output, Rows};
use arrow::array::AsArray;
use arrow::datatypes::Int8Type;
use hydron_base::{Error, Result};
use hydron_func::EvalContext;
use hydron_types::{Delta, Schema};
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
