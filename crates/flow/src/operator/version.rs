//! `emit_version()`: a number for each answer, from 0.

use super::{Msg, Operator, Output};
use crate::state::{StateReader, StateWriter};
use arrow::array::Int64Array;
use hydron_base::Result;
use hydron_func::EvalContext;
use hydron_types::{Batch, Schema};
use std::sync::Arc;

/// Appends the version to each batch of answers; every batch is one answer.
pub struct EmitVersion {
    next: i64,
    schema: Arc<Schema>,
}

impl EmitVersion {
    /// `schema`: the answers' columns, then the version.
    pub fn new(schema: Arc<Schema>) -> EmitVersion {
        EmitVersion { next: 0, schema }
    }
}

impl Operator for EmitVersion {
    fn on_msg(&mut self, _: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        let Msg::Rows(rows) = msg else {
            return out.push(msg);
        };
        let mut columns = rows.batch().columns.clone();
        columns.push(Arc::new(Int64Array::from_value(self.next, rows.len())));
        self.next += 1;
        let batch = Batch::new(Arc::clone(&self.schema), columns, rows.len());
        out.push(Msg::Rows(rows.with_batch(batch)))
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        w.put_i64(self.next);
        Ok(())
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        self.next = r.i64()?;
        Ok(())
    }
}
