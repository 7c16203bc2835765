//! Other columns for the same rows.

use super::{Msg, Operator, Output};
use hydron_base::Result;
use hydron_func::EvalContext;
use hydron_plan::{Expr, Projection};
use hydron_types::{Batch, Schema};
use std::sync::Arc;

pub struct Project {
    exprs: Projection,
    schema: Arc<Schema>,
}

impl Project {
    pub fn new(exprs: &[Expr], input: &Schema, schema: Arc<Schema>) -> Project {
        Project { exprs: Projection::new(exprs, input.len()), schema }
    }
}

impl Operator for Project {
    fn keeps_state(&self) -> bool {
        false
    }

    fn on_msg(&mut self, cx: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        let Msg::Rows(rows) = msg else {
            return out.push(msg);
        };
        let columns = self.exprs.eval(cx, &rows.batch().columns, rows.len())?;
        let batch = Batch::new(Arc::clone(&self.schema), columns, rows.len());
        out.push(Msg::Rows(rows.with_batch(batch)))
    }
}
