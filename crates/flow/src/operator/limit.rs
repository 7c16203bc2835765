//! LIMIT over the whole life of a query, and LIMIT BY within one batch.

use super::expr::{eval_all, slice_delta, take_delta};
use super::{Msg, Operator, Output, Rows};
use crate::group::keys::KeyTable;
use crate::state::{StateReader, StateWriter};
use hydron_base::Result;
use hydron_func::EvalContext;
use hydron_plan::Expr;
use hydron_types::physical::arrow_type;

/// Skips `offset` rows, passes `limit`, then ends the query.
pub struct Limit {
    skip: u64,
    left: Option<u64>,
    done: bool,
}

impl Limit {
    pub fn new(offset: u64, limit: Option<u64>) -> Limit {
        Limit { skip: offset, left: limit, done: false }
    }

    fn end(&mut self, out: &mut dyn Output) -> Result<()> {
        if std::mem::replace(&mut self.done, true) { Ok(()) } else { out.push(Msg::End) }
    }
}

impl Operator for Limit {
    fn on_msg(&mut self, _: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        if self.done {
            return Ok(());
        }
        let rows = match msg {
            Msg::Rows(rows) => rows,
            Msg::End => return self.end(out),
            other => return out.push(other),
        };
        if self.left == Some(0) {
            return self.end(out);
        }
        let skipped = self.skip.min(rows.len() as u64);
        self.skip -= skipped;
        let passed = (rows.len() as u64 - skipped).min(self.left.unwrap_or(u64::MAX));
        self.left = self.left.map(|l| l - passed);
        if passed > 0 {
            let delta = slice_delta(&rows.delta, skipped as usize, passed as usize);
            out.push(Msg::Rows(Rows { delta, lane: rows.lane }))?;
        }
        if self.left == Some(0) { self.end(out) } else { Ok(()) }
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        w.put_u64(self.skip);
        w.put_option(self.left.map(|l| l as i64));
        Ok(())
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        self.skip = r.u64()?;
        self.left = r.option()?.map(|l| l as u64);
        Ok(())
    }
}

/// Of each batch, the first `limit` rows after `offset` of each key.
pub struct LimitBy {
    keys: Vec<Expr>,
    offset: u64,
    limit: u64,
}

impl LimitBy {
    pub fn new(keys: Vec<Expr>, offset: u64, limit: u64) -> LimitBy {
        LimitBy { keys, offset, limit }
    }
}

impl Operator for LimitBy {
    fn on_msg(&mut self, cx: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        let Msg::Rows(rows) = msg else {
            return out.push(msg);
        };
        let types: Vec<_> = self.keys.iter().map(|k| arrow_type(&k.ty)).collect();
        let mut table = KeyTable::new(&types)?;
        let mut groups = Vec::new();
        table.assign(&eval_all(&self.keys, cx, rows.batch())?, rows.len(), &mut groups)?;
        let mut seen = vec![0u64; table.len()];
        let last = self.offset.saturating_add(self.limit);
        let kept: Vec<u32> = (0..rows.len() as u32)
            .filter(|row| {
                let n = &mut seen[groups[*row as usize] as usize];
                *n += 1;
                *n > self.offset && *n <= last
            })
            .collect();
        match kept.len() {
            0 => Ok(()),
            n if n == rows.len() => out.push(Msg::Rows(rows)),
            _ => out.push(Msg::Rows(Rows { delta: take_delta(&rows.delta, &kept.into())?, lane: rows.lane })),
        }
    }
}
