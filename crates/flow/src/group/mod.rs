//! Groups of rows and the aggregates of each.
//!
//! In: evaluated keys and arguments. Out: keys and answers of any groups, or their saved states. Promise: `save` and
//! `merge` into fresh groups give the same answers, whole or in shares.
//!
//! In reading order: [`keys`] (keys to dense numbers), this file (states by number), [`global`] (aggregation without windows),
//! [`closing`] (the same, where groups end), [`last`] (the last row of each key).

pub mod closing;
pub mod global;
pub mod keys;
pub mod last;

use crate::operator::expr::{eval_columns, take, take_signs};
use crate::state::{Share, StateReader, StateWriter};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int8Array, UInt32Array};
use arrow::datatypes::DataType;
use hydron_base::{Code, Error, Result};
use hydron_func::{EvalContext, GroupState};
use hydron_plan::{AggCall, Expr};
use hydron_types::physical::arrow_type;
use keys::{KeyTable, hash_rows};

/// Keys and aggregates of one GROUP BY; window columns are not among the keys.
#[derive(Clone)]
pub struct GroupSpec {
    pub keys: Vec<Expr>,
    pub aggs: Vec<AggCall>,
    /// `max_rows_to_group_by`: so many groups, of each window, and one more is TOO_MANY_ROWS (158).
    pub groups_max: Option<usize>,
}

impl GroupSpec {
    fn key_types(&self) -> Vec<DataType> {
        self.keys.iter().map(|k| arrow_type(&k.ty)).collect()
    }

    /// Evaluates keys, arguments and filters over `rows` rows of `columns`.
    pub fn evaluate(
        &self,
        cx: &EvalContext,
        columns: &[ArrayRef],
        rows: usize,
        signs: Option<&Int8Array>,
    ) -> Result<Evaluated> {
        let eval = |e: &Expr| eval_columns(e, cx, columns, rows);
        let keys = self.keys.iter().map(eval).collect::<Result<_>>()?;
        let args = self.aggs.iter().map(|a| a.args.iter().map(eval).collect()).collect::<Result<_>>()?;
        let filters = self
            .aggs
            .iter()
            .map(|a| a.filter.as_ref().map(|f| f.eval_filter_columns(cx, columns, rows)).transpose())
            .collect::<Result<_>>()?;
        Ok(Evaluated { keys, args, filters, signs: signs.cloned(), rows })
    }
}

/// Rows as the groups see them.
#[derive(Clone)]
pub struct Evaluated {
    pub keys: Vec<ArrayRef>,
    args: Vec<Vec<ArrayRef>>,
    filters: Vec<Option<BooleanArray>>,
    signs: Option<Int8Array>,
    pub rows: usize,
}

impl Evaluated {
    /// Rows `offset .. offset + len`.
    pub fn slice(&self, offset: usize, len: usize) -> Evaluated {
        let cut = |columns: &Vec<ArrayRef>| columns.iter().map(|c| c.slice(offset, len)).collect();
        Evaluated {
            keys: cut(&self.keys),
            args: self.args.iter().map(cut).collect(),
            filters: self.filters.iter().map(|f| f.as_ref().map(|f| f.slice(offset, len))).collect(),
            signs: self.signs.as_ref().map(|s| s.slice(offset, len)),
            rows: len,
        }
    }

    /// The rows at `indices`, in that order.
    pub fn take(&self, indices: &UInt32Array) -> Result<Evaluated> {
        let pick = |columns: &Vec<ArrayRef>| columns.iter().map(|c| take(c, indices)).collect::<Result<Vec<_>>>();
        let mask = |f: &BooleanArray| -> Result<BooleanArray> {
            let column: ArrayRef = std::sync::Arc::new(f.clone());
            Ok(take(&column, indices)?.as_boolean().clone())
        };
        Ok(Evaluated {
            keys: pick(&self.keys)?,
            args: self.args.iter().map(pick).collect::<Result<_>>()?,
            filters: self.filters.iter().map(|f| f.as_ref().map(mask).transpose()).collect::<Result<_>>()?,
            signs: self.signs.as_ref().map(|s| take_signs(s, indices)).transpose()?,
            rows: indices.len(),
        })
    }

    /// What each row does to the number of rows of its group.
    pub fn sign(&self, row: usize) -> i64 {
        self.signs.as_ref().map_or(1, |s| i64::from(s.value(row)))
    }
}

/// The groups of one operator or of one window.
pub struct Groups {
    table: KeyTable,
    states: Vec<Box<dyn GroupState>>,
    /// The group of each row of the last batch.
    assigned: Vec<u32>,
    groups_max: Option<usize>,
}

impl Groups {
    pub fn new(spec: &GroupSpec) -> Result<Groups> {
        let states = spec.aggs.iter().map(|a| a.bound.aggregate.new_state()).collect();
        Ok(Groups {
            table: KeyTable::new(&spec.key_types())?,
            states,
            assigned: Vec::new(),
            groups_max: spec.groups_max,
        })
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Finds or makes the group of each row. Answers stay as they were.
    pub fn assign(&mut self, rows: &Evaluated) -> Result<&[u32]> {
        let before = self.table.len();
        self.table.assign(&rows.keys, rows.rows, &mut self.assigned)?;
        if let Some(max) = self.groups_max
            && self.table.len() > max
        {
            let text = format!("GROUP BY makes {} groups, the limit max_rows_to_group_by is {max}", self.table.len());
            return Err(Error::new(Code::TOO_MANY_ROWS, text));
        }
        self.grow(before);
        Ok(&self.assigned)
    }

    fn grow(&mut self, before: usize) {
        let groups = self.table.len();
        if groups > before {
            self.states.iter_mut().for_each(|s| s.resize(groups));
        }
    }

    /// Adds, or where the sign is -1 withdraws, the rows that were given to `assign` just before.
    pub fn apply(&mut self, rows: &Evaluated) -> Result<()> {
        let Groups { states, assigned, .. } = self;
        let signs = rows.signs.as_ref().filter(|s| s.values().iter().any(|v| *v < 0));
        for ((state, args), filter) in states.iter_mut().zip(&rows.args).zip(&rows.filters) {
            match signs {
                Some(signs) => state.apply(assigned, args, signs, filter.as_ref())?,
                None => state.update(assigned, args, filter.as_ref())?,
            }
        }
        Ok(())
    }

    /// `assign`, then `apply`.
    pub fn update(&mut self, rows: &Evaluated) -> Result<&[u32]> {
        self.assign(rows)?;
        self.apply(rows)?;
        Ok(&self.assigned)
    }

    /// The group of each row of the last batch.
    pub fn assigned(&self) -> &[u32] {
        &self.assigned
    }

    pub fn all(&self) -> Vec<u32> {
        (0..self.len() as u32).collect()
    }

    pub fn keys(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.table.keys(groups)
    }

    /// The answers that an aggregate with its own emit has since the last call: the group of each, and its value.
    pub fn take_answers(&mut self) -> Result<Option<(Vec<u32>, ArrayRef)>> {
        match self.states.first_mut() {
            Some(state) => state.take_answers(),
            None => Ok(None),
        }
    }

    /// The answers of `groups`: one column for each aggregate.
    pub fn answers(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.states.iter_mut().map(|s| s.finish(groups)).collect()
    }

    /// Makes groups empty; they keep their numbers.
    pub fn clear(&mut self, groups: &[u32]) {
        self.states.iter_mut().for_each(|s| s.clear(groups));
    }

    /// Adds all that `other` holds, which is of the same spec.
    pub fn absorb(&mut self, other: &Groups) -> Result<()> {
        let theirs = other.all();
        let before = self.table.len();
        self.table.assign(&other.table.keys(&theirs)?, theirs.len(), &mut self.assigned)?;
        self.grow(before);
        for (mine, other) in self.states.iter_mut().zip(&other.states) {
            mine.merge(&self.assigned, &other.save(&theirs)?)?;
        }
        Ok(())
    }

    /// Writes `groups` with their states.
    pub fn save(&self, groups: &[u32], w: &mut StateWriter) -> Result<()> {
        w.put_columns(&self.table.keys(groups)?, groups.len())?;
        for state in &self.states {
            w.put_columns(&state.save(groups)?, groups.len())?;
        }
        Ok(())
    }

    /// Adds what `save` wrote, as far as it is in the reader's share. Returns for each saved group its number here.
    pub fn load(&mut self, r: &mut StateReader) -> Result<Vec<Option<u32>>> {
        let (keys, rows) = r.columns()?;
        let owned = owned_rows(&keys, rows, r.share())?;
        let keep = |columns: Vec<ArrayRef>| match &owned {
            Some(rows) => columns.iter().map(|c| take(c, rows)).collect::<Result<Vec<_>>>(),
            None => Ok(columns),
        };
        let kept = owned.as_ref().map_or(rows, |o| o.len());
        let before = self.table.len();
        let keys = keep(keys)?;
        self.table.assign(&keys, kept, &mut self.assigned)?;
        self.grow(before);
        for state in &mut self.states {
            let (columns, _) = r.columns()?;
            state.merge(&self.assigned, &keep(columns)?)?;
        }
        let mut numbers = vec![None; rows];
        for (at, group) in self.assigned.iter().enumerate() {
            let row = owned.as_ref().map_or(at, |o| o.value(at) as usize);
            numbers[row] = Some(*group);
        }
        Ok(numbers)
    }

    pub fn bytes(&self) -> usize {
        self.table.bytes() + self.states.iter().map(|s| s.bytes()).sum::<usize>()
    }
}

/// Which of `rows` saved groups are in the share; `None`: all.
fn owned_rows(keys: &[ArrayRef], rows: usize, share: Share) -> Result<Option<UInt32Array>> {
    if share == Share::ALL {
        return Ok(None);
    }
    let mut hashes = Vec::new();
    hash_rows(keys, rows, &mut hashes)?;
    Ok(Some((0..rows as u32).filter(|r| share.owns(hashes[*r as usize])).collect::<Vec<_>>().into()))
}
