//! DISTINCT in a stream: a row passes the first time its key is seen.

use super::expr::{eval_all, take_delta};
use super::{Msg, Operator, Output, Rows};
use crate::group::keys::KeyTable;
use crate::state::{StateReader, StateWriter};
use arrow::array::{ArrayRef, UInt32Array};
use hydron_base::{Code, Error, Result};
use hydron_func::EvalContext;
use hydron_plan::Expr;
use hydron_types::physical::arrow_type;

pub struct Distinct {
    /// Empty: all columns.
    on: Vec<Expr>,
    seen: KeyTable,
    keys_max: usize,
    groups: Vec<u32>,
}

impl Distinct {
    /// Remembers at most `keys_max` keys; one more is SET_SIZE_LIMIT_EXCEEDED (191).
    pub fn new(on: Vec<Expr>, input: &hydron_types::Schema, keys_max: usize) -> Result<Distinct> {
        let types: Vec<_> = match on.is_empty() {
            true => input.fields.iter().map(|f| arrow_type(&f.ty)).collect(),
            false => on.iter().map(|e| arrow_type(&e.ty)).collect(),
        };
        Ok(Distinct { on, seen: KeyTable::new(&types)?, keys_max, groups: Vec::new() })
    }

    fn check_size(&self) -> Result<()> {
        if self.seen.len() > self.keys_max {
            let message = format!("DISTINCT would remember more than {} different rows", self.keys_max);
            return Err(Error::new(Code::SET_SIZE_LIMIT_EXCEEDED, message));
        }
        Ok(())
    }
}

impl Operator for Distinct {
    fn on_msg(&mut self, cx: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        let Msg::Rows(rows) = msg else {
            return out.push(msg);
        };
        let keys: Vec<ArrayRef> =
            if self.on.is_empty() { rows.batch().columns.clone() } else { eval_all(&self.on, cx, rows.batch())? };
        let mut next = self.seen.len() as u32;
        self.seen.assign(&keys, rows.len(), &mut self.groups)?;
        self.check_size()?;
        // New keys are numbered in the order of their first rows.
        let mut first = Vec::new();
        for (row, group) in self.groups.iter().enumerate() {
            if *group == next {
                first.push(row as u32);
                next += 1;
            }
        }
        match first.len() {
            0 => Ok(()),
            n if n == rows.len() => out.push(Msg::Rows(rows)),
            _ => {
                let first = UInt32Array::from(first);
                out.push(Msg::Rows(Rows { delta: take_delta(&rows.delta, &first)?, lane: rows.lane }))
            }
        }
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        w.put_columns(&self.seen.all_keys()?, self.seen.len())
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        let (keys, rows) = r.columns()?;
        self.seen.assign(&keys, rows, &mut self.groups)
    }

    fn bytes(&self) -> usize {
        self.seen.bytes()
    }
}
