//! ORDER BY in a stream: each batch by itself.

use super::expr::{eval, take_delta};
use super::{Msg, Operator, Output, Rows};
use arrow::array::{ArrayRef, UInt32Array};
use arrow_row::{RowConverter, SortField};
use hydron_base::{Error, Result};
use hydron_func::EvalContext;
use hydron_func::call::arrow_error;
use hydron_plan::SortKey;
use hydron_types::physical::arrow_type;

pub struct Sort {
    keys: Vec<SortKey>,
    converter: RowConverter,
    limit: Option<usize>,
}

impl Sort {
    /// `limit` cuts each batch after it is sorted.
    pub fn new(keys: Vec<SortKey>, limit: Option<u64>) -> Result<Sort> {
        let fields = keys
            .iter()
            .map(|k| {
                let options = arrow::compute::SortOptions { descending: k.descending, nulls_first: k.nulls_first };
                SortField::new_with_options(arrow_type(&k.expr.ty), options)
            })
            .collect::<Vec<_>>();
        if !RowConverter::supports_fields(&fields) {
            return Err(Error::not_implemented("sorting a stream by a column of this type"));
        }
        let converter = RowConverter::new(fields).map_err(arrow_error)?;
        Ok(Sort { keys, converter, limit: limit.map(|l| usize::try_from(l).unwrap_or(usize::MAX)) })
    }

    fn order(&self, cx: &EvalContext, rows: &Rows) -> Result<UInt32Array> {
        let columns: Vec<ArrayRef> =
            self.keys.iter().map(|k| eval(&k.expr, cx, rows.batch())).collect::<Result<_>>()?;
        let keys = self.converter.convert_columns(&columns).map_err(arrow_error)?;
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        order.sort_by(|a, b| keys.row(*a as usize).cmp(&keys.row(*b as usize)));
        order.truncate(self.limit.unwrap_or(usize::MAX));
        Ok(order.into())
    }
}

impl Operator for Sort {
    fn keeps_state(&self) -> bool {
        false
    }

    fn on_msg(&mut self, cx: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        match msg {
            Msg::Rows(rows) if rows.len() > 1 || self.limit == Some(0) => {
                let order = self.order(cx, &rows)?;
                out.push(Msg::Rows(Rows { delta: take_delta(&rows.delta, &order)?, lane: rows.lane }))
            }
            other => out.push(other),
        }
    }
}
