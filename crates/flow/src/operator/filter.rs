//! Rows for which a condition holds.

use super::expr::filter_delta;
use super::{Msg, Operator, Output, Rows};
use hydron_base::Result;
use hydron_func::EvalContext;
use hydron_plan::Expr;

pub struct Filter {
    predicate: Expr,
    /// A batch of which nothing is left travels on: an aggregation behind starts anew with each batch and must see it.
    keep_empty: bool,
}

impl Filter {
    pub fn new(predicate: Expr, keep_empty: bool) -> Filter {
        Filter { predicate, keep_empty }
    }
}

impl Operator for Filter {
    fn keeps_state(&self) -> bool {
        false
    }

    fn on_msg(&mut self, cx: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        let Msg::Rows(rows) = msg else {
            return out.push(msg);
        };
        let mask = self.predicate.eval_filter(cx, rows.batch())?;
        match mask.true_count() {
            0 if !self.keep_empty => Ok(()),
            n if n == rows.len() => out.push(Msg::Rows(rows)),
            _ => out.push(Msg::Rows(Rows { delta: filter_delta(&rows.delta, &mask)?, lane: rows.lane })),
        }
    }
}
