//! `dedup()` that forgets: a row passes when its key was not seen for a while, or not among the last keys.
//!
//! In: rows. Out: the first row of each key. Promise: a key is remembered from its first row on for the timeout, and until as many
//! later keys have come as the limit says; repeats do not lengthen that.

use super::expr::{eval_all, take_delta};
use super::{Msg, Operator, Output, Rows};
use crate::group::keys::row_converter;
use crate::state::{StateReader, StateWriter};
use arrow::array::{ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::datatypes::Int64Type;
use arrow_row::{RowConverter, RowParser};
use hashbrown::HashSet;
use hydron_base::Result;
use hydron_base::world::WallTime;
use hydron_func::EvalContext;
use hydron_func::call::arrow_error;
use hydron_plan::Expr;
use hydron_plan::node::Forget;
use hydron_types::physical::arrow_type;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of one place in the set and in the queue, beside the key.
const PLACE_BYTES: usize = 64;

pub struct Dedup {
    on: Vec<Expr>,
    forget: Forget,
    converter: RowConverter,
    parser: RowParser,
    seen: HashSet<Arc<[u8]>>,
    /// Keys in the order of their first rows.
    in_order: VecDeque<(Arc<[u8]>, WallTime)>,
    bytes: usize,
}

impl Dedup {
    /// Errors: NOT_IMPLEMENTED for a type that cannot be a key.
    pub fn new(on: Vec<Expr>, forget: Forget) -> Result<Dedup> {
        let types: Vec<_> = on.iter().map(|e| arrow_type(&e.ty)).collect();
        let converter = row_converter(&types)?;
        let parser = converter.parser();
        Ok(Dedup { on, forget, converter, parser, seen: HashSet::new(), in_order: VecDeque::new(), bytes: 0 })
    }

    /// Whether the key is new. It is remembered then.
    fn note(&mut self, key: &[u8], now: WallTime) -> bool {
        if self.seen.contains(key) {
            return false;
        }
        let key: Arc<[u8]> = key.into();
        self.bytes += key.len() + PLACE_BYTES;
        self.seen.insert(Arc::clone(&key));
        self.in_order.push_back((key, now));
        if self.forget.keys_max.is_some_and(|max| self.in_order.len() > max) {
            self.drop_first();
        }
        true
    }

    fn drop_first(&mut self) {
        if let Some((key, _)) = self.in_order.pop_front() {
            self.bytes -= key.len() + PLACE_BYTES;
            self.seen.remove(&key);
        }
    }

    fn forget_old(&mut self, now: WallTime) {
        let Some(after) = self.forget.after_ms else { return };
        while self.in_order.front().is_some_and(|(_, since)| since.plus_millis(after) <= now) {
            self.drop_first();
        }
    }
}

impl Operator for Dedup {
    fn on_msg(&mut self, cx: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        let Msg::Rows(rows) = msg else {
            return out.push(msg);
        };
        self.forget_old(cx.now);
        let keys = eval_all(&self.on, cx, rows.batch())?;
        let encoded = self.converter.convert_columns(&keys).map_err(arrow_error)?;
        let new: Vec<u32> =
            (0..rows.len()).filter(|row| self.note(encoded.row(*row).as_ref(), cx.now)).map(|row| row as u32).collect();
        match new.len() {
            0 => Ok(()),
            n if n == rows.len() => out.push(Msg::Rows(rows)),
            _ => {
                let delta = take_delta(&rows.delta, &UInt32Array::from(new))?;
                out.push(Msg::Rows(Rows { delta, lane: rows.lane }))
            }
        }
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        let rows = self.in_order.iter().map(|(key, _)| self.parser.parse(key));
        w.put_columns(&self.converter.convert_rows(rows).map_err(arrow_error)?, self.in_order.len())?;
        let since: ArrayRef = Arc::new(Int64Array::from_iter_values(self.in_order.iter().map(|(_, t)| t.0)));
        w.put_columns(&[since], self.in_order.len())
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        let (keys, rows) = r.columns()?;
        let (since, _) = r.columns()?;
        if rows == 0 {
            return Ok(());
        }
        let encoded = self.converter.convert_columns(&keys).map_err(arrow_error)?;
        let since = since.first().map(|s| s.as_primitive::<Int64Type>().clone());
        for (row, since) in encoded.iter().zip(since.iter().flat_map(|s| s.values().iter())) {
            self.note(row.as_ref(), WallTime(*since));
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}
