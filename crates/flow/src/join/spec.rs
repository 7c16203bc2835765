//! What a join compares and what leaves it.

use crate::group::keys::NO_GROUP;
use crate::operator::expr::{concat_columns, eval_all, filter_delta, take};
use arrow::array::{Array, ArrayRef, AsArray, Int8Array, UInt32Array};
use arrow::buffer::NullBuffer;
use hydron_base::Result;
use hydron_func::EvalContext;
use hydron_plan::Expr;
use hydron_types::column::array_of;
use hydron_types::physical::arrow_type;
use hydron_types::{Batch, Delta, Field, Schema, Value};
use std::sync::Arc;

/// No row: the side without a match.
pub const NO_ROW: u32 = NO_GROUP;

/// Pairs of rows that leave in one batch.
pub const PAIRS_MAX: usize = hydron_base::limit::BATCH_ROWS_MAX;

/// One join of a plan.
pub struct JoinSpec {
    /// What must be equal: expressions over the left and over the right columns, of one type. Empty: every pair matches.
    pub on: Vec<(Expr, Expr)>,
    /// LEFT, FULL: a left row without a match leaves too.
    pub outer: bool,
    /// RIGHT, FULL: so does a right one. Between two changing streams alone.
    pub right_outer: bool,
    /// Decides about matches beside `on`: over the left columns, then the right ones.
    pub filter: Option<Expr>,
    pub left: Arc<Schema>,
    pub right: Arc<Schema>,
    /// The left columns, then the right ones.
    pub schema: Arc<Schema>,
}

/// The join keys of a batch.
pub struct Keys {
    pub columns: Vec<ArrayRef>,
    /// Rows with a NULL among their keys match nothing.
    nulls: Option<NullBuffer>,
}

impl Keys {
    pub fn new(columns: Vec<ArrayRef>) -> Keys {
        let nulls = columns.iter().fold(None, |all, c| NullBuffer::union(all.as_ref(), c.logical_nulls().as_ref()));
        Keys { columns, nulls }
    }

    pub fn can_match(&self, row: usize) -> bool {
        self.nulls.as_ref().is_none_or(|n| n.is_valid(row))
    }

    pub fn all_can_match(&self) -> bool {
        self.nulls.as_ref().is_none_or(|n| n.null_count() == 0)
    }
}

impl JoinSpec {
    pub fn left_keys(&self, cx: &EvalContext, batch: &Batch) -> Result<Keys> {
        let exprs: Vec<Expr> = self.on.iter().map(|(l, _)| l.clone()).collect();
        Ok(Keys::new(eval_all(&exprs, cx, batch)?))
    }

    pub fn right_keys(&self, cx: &EvalContext, batch: &Batch) -> Result<Keys> {
        let exprs: Vec<Expr> = self.on.iter().map(|(_, r)| r.clone()).collect();
        Ok(Keys::new(eval_all(&exprs, cx, batch)?))
    }

    pub fn key_types(&self) -> Vec<arrow::datatypes::DataType> {
        self.on.iter().map(|(l, _)| arrow_type(&l.ty)).collect()
    }

    /// The right columns as they leave: nullable where `join_use_nulls` says so.
    pub fn right_fields(&self) -> &[Field] {
        let from = self.left.len();
        &self.schema.fields[from..]
    }

    /// One left row that stands for no match.
    pub fn left_absent(&self) -> Result<Vec<ArrayRef>> {
        let fields = &self.schema.fields[..self.left.len()];
        fields.iter().map(|f| array_of(&Value::default_of(&f.ty), &f.ty, 1)).collect()
    }

    /// One right row that stands for no match.
    pub fn absent(&self) -> Result<Vec<ArrayRef>> {
        self.right_fields().iter().map(|f| array_of(&Value::default_of(&f.ty), &f.ty, 1)).collect()
    }

    /// A batch as it leaves. `signs`: what each row does; `None`: all are added.
    pub fn output(&self, left: Vec<ArrayRef>, right: Vec<ArrayRef>, rows: usize, signs: Option<Int8Array>) -> Delta {
        let mut columns = left;
        columns.extend(right);
        Delta { rows: Batch::new(Arc::clone(&self.schema), columns, rows), signs }
    }
}

/// Right rows by number.
pub trait RightRows {
    /// The columns of `rows` in that order; [`NO_ROW`] is the row of no match.
    fn gather(&self, rows: &[u32]) -> Result<Vec<ArrayRef>>;
}

/// The rows of one left batch beside the right rows they matched, in the order of the left rows.
#[derive(Default)]
pub struct Pairs {
    left: Vec<u32>,
    right: Vec<u32>,
}

impl Pairs {
    pub fn push(&mut self, left: u32, right: u32) {
        self.left.push(left);
        self.right.push(right);
    }

    pub fn len(&self) -> usize {
        self.left.len()
    }

    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }
}

/// Turns matches into output, a bounded number at a time.
pub struct Matcher<'a> {
    pub spec: &'a JoinSpec,
    pub cx: &'a EvalContext,
    pub left: &'a Delta,
    pub right: &'a dyn RightRows,
}

impl Matcher<'_> {
    /// `matches(row, pairs)` adds the right rows of a left row; `each` takes the batches that leave.
    pub fn run(
        &self,
        mut matches: impl FnMut(usize, &mut Pairs),
        mut each: impl FnMut(Delta) -> Result<()>,
    ) -> Result<()> {
        let rows = self.left.rows.rows();
        let mut pairs = Pairs::default();
        let mut from = 0;
        for row in 0..rows {
            let before = pairs.len();
            matches(row, &mut pairs);
            if pairs.len() == before && self.spec.outer && self.spec.filter.is_none() {
                pairs.push(row as u32, NO_ROW);
            }
            if pairs.len() >= PAIRS_MAX || row + 1 == rows {
                let done = std::mem::take(&mut pairs);
                if let Some(delta) = self.batch(done, from..row as u32 + 1)? {
                    each(delta)?;
                }
                from = row as u32 + 1;
            }
        }
        Ok(())
    }

    /// The pairs of the left rows in `range` as one batch; `None`: no rows.
    fn batch(&self, pairs: Pairs, range: std::ops::Range<u32>) -> Result<Option<Delta>> {
        let Some(filter) = &self.spec.filter else { return self.assemble(&pairs) };
        let joined = match self.assemble(&pairs)? {
            Some(joined) => joined,
            None if !self.spec.outer => return Ok(None),
            None => return self.assemble(&Pairs { left: range.clone().collect(), right: vec![NO_ROW; range.len()] }),
        };
        let mask = filter.eval_filter(self.cx, &joined.rows)?;
        if !self.spec.outer {
            let kept = filter_delta(&joined, &mask)?;
            return Ok((kept.rows.rows() > 0).then_some(kept));
        }
        let mut kept = Pairs::default();
        let mut at = 0;
        for left in range {
            let before = kept.len();
            while at < pairs.len() && pairs.left[at] == left {
                if mask.value(at) {
                    kept.push(left, pairs.right[at]);
                }
                at += 1;
            }
            if kept.len() == before {
                kept.push(left, NO_ROW);
            }
        }
        self.assemble(&kept)
    }

    fn assemble(&self, pairs: &Pairs) -> Result<Option<Delta>> {
        if pairs.is_empty() {
            return Ok(None);
        }
        let batch = &self.left.rows;
        let right = self.right.gather(&pairs.right)?;
        let whole = pairs.len() == batch.rows() && pairs.left.iter().enumerate().all(|(i, l)| *l == i as u32);
        if whole {
            return Ok(Some(self.spec.output(batch.columns.clone(), right, pairs.len(), self.left.signs.clone())));
        }
        let indices = UInt32Array::from(pairs.left.clone());
        let left = batch.columns.iter().map(|c| take(c, &indices)).collect::<Result<Vec<_>>>()?;
        let signs = match &self.left.signs {
            Some(signs) => Some(take(&(Arc::new(signs.clone()) as ArrayRef), &indices)?.as_primitive().clone()),
            None => None,
        };
        Ok(Some(self.spec.output(left, right, pairs.len(), signs)))
    }
}

/// `columns` with the rows at `present`'s places, and `absent` where a row is [`NO_ROW`]. `columns` hold the present rows in
/// order.
pub fn with_absent(columns: Vec<ArrayRef>, rows: &[u32], absent: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let present = rows.iter().filter(|r| **r != NO_ROW).count() as u32;
    if present as usize == rows.len() {
        return Ok(columns);
    }
    let mut next = 0;
    let indices = rows.iter().map(|r| {
        if *r == NO_ROW {
            return present;
        }
        next += 1;
        next - 1
    });
    let indices = UInt32Array::from_iter_values(indices);
    columns.iter().zip(absent).map(|(c, a)| take(&concat_columns(&[c, a])?, &indices)).collect()
}
