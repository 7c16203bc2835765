//! Rows that replace each other by key become a changelog: the old row withdrawn, the new one added.
//!
//! In: appended rows. Out: for each batch one of withdrawals and then additions; of several rows of a key in one batch only the
//! last counts. Promise: what was added and not withdrawn is the last row of each key. With a version, a row older than
//! the one it would replace is dropped.

use super::expr::{concat_columns, eval, eval_all, eval_columns, take};
use super::{Msg, Operator, Output, Rows};
use crate::group::last::LastRows;
use crate::state::{StateReader, StateWriter};
use arrow::array::{ArrayRef, Int8Array, UInt32Array};
use hydron_base::Result;
use hydron_base::world::WallTime;
use hydron_func::EvalContext;
use hydron_plan::Expr;
use hydron_types::physical::arrow_type;
use hydron_types::{Batch, Delta, Schema};
use std::sync::Arc;

pub struct Changelog {
    keys: Vec<Expr>,
    version: Option<Expr>,
    schema: Arc<Schema>,
    last: LastRows,
}

impl Changelog {
    /// Errors: NOT_IMPLEMENTED for columns whose rows cannot be kept.
    pub fn new(keys: Vec<Expr>, version: Option<Expr>, schema: Arc<Schema>) -> Result<Changelog> {
        let row: Vec<_> = schema.fields.iter().map(|f| arrow_type(&f.ty)).collect();
        let key_types: Vec<_> = keys.iter().map(|k| arrow_type(&k.ty)).collect();
        let version_type = version.as_ref().map(|v| arrow_type(&v.ty));
        let last = LastRows::new(&key_types, version_type.as_ref(), &row)?;
        Ok(Changelog { keys, version, schema, last })
    }

    /// The withdrawals, then the additions: in one batch, so that nobody answers between them.
    fn changes(&self, old: &[u32], columns: Vec<ArrayRef>, fresh: usize) -> Result<Delta> {
        let mut columns = columns;
        if !old.is_empty() {
            let withdrawn = self.last.rows.gather(old)?;
            let both = withdrawn.iter().zip(&columns).map(|(old, new)| concat_columns(&[old, new]));
            columns = both.collect::<Result<Vec<_>>>()?;
        }
        let rows = old.len() + fresh;
        let signs = Int8Array::from_iter_values((0..rows).map(|row| if row < old.len() { -1 } else { 1 }));
        Ok(Delta { rows: Batch::new(Arc::clone(&self.schema), columns, rows), signs: Some(signs) })
    }
}

impl Operator for Changelog {
    fn on_msg(&mut self, cx: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        let Msg::Rows(rows) = msg else {
            return out.push(msg);
        };
        if rows.is_empty() {
            return Ok(());
        }
        let batch = rows.batch();
        let version = self.version.as_ref().map(|v| eval(v, cx, batch)).transpose()?;
        let winners = self.last.winners(&eval_all(&self.keys, cx, batch)?, version.as_ref(), batch.rows())?;
        if winners.is_empty() {
            return Ok(());
        }
        let old: Vec<u32> = winners.iter().map(|(k, _)| *k).filter(|k| self.last.rows.has(*k)).collect();
        let indices = UInt32Array::from_iter_values(winners.iter().map(|(_, row)| *row));
        let columns = batch.columns.iter().map(|c| take(c, &indices)).collect::<Result<Vec<_>>>()?;
        let delta = self.changes(&old, columns, winners.len())?;
        self.last.put(&winners, &batch.columns)?;
        out.push(Msg::Rows(Rows { delta, lane: rows.lane }))
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        self.last.save(w)
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        let (version, cx) = (self.version.clone(), EvalContext::at(WallTime(0)));
        self.last.load(r, |columns, rows| version.as_ref().map(|v| eval_columns(v, &cx, columns, rows)).transpose())
    }

    fn bytes(&self) -> usize {
        self.last.bytes()
    }
}
