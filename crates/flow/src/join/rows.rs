//! The kept rows of one side of a join: a set in which a row may be several times, found by its join key.
//!
//! In: rows with the numbers of their keys, added or withdrawn. Out: the rows of a key, in the order in which they first came.
//! Promise: a withdrawal of a row that is not there does nothing; room of withdrawn rows is taken back when they are the most.

use super::spec::{NO_ROW, RightRows, with_absent};
use crate::group::keys::KeyTable;
use crate::operator::expr::concat_columns;
use crate::state::{StateReader, StateWriter};
use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use hydron_base::{Code, Error, Result};
use std::sync::Arc;

/// Below so many rows without a copy left it is not worth to take their room back.
const DEAD_ROWS_MIN: usize = 4_096;

/// Errors: SET_SIZE_LIMIT_EXCEEDED when both sides of a join of streams keep more than they may.
pub fn check_kept(bytes: usize, bytes_max: usize) -> Result<()> {
    if bytes <= bytes_max {
        return Ok(());
    }
    let message =
        format!("a join of two streams keeps {bytes} bytes, its limit is {bytes_max} bytes (join_max_buffered_bytes)");
    Err(Error::new(Code::SET_SIZE_LIMIT_EXCEEDED, message))
}

pub struct KeptRows {
    types: Vec<DataType>,
    rows: KeyTable,
    /// By row: copies of it.
    copies: Vec<u32>,
    /// By row: the next row of the same key.
    next: Vec<u32>,
    key_of: Vec<u32>,
    /// By key: first and last row, and the copies of all its rows.
    chains: Vec<Chain>,
    dead: usize,
    /// What stands for no row.
    absent: Vec<ArrayRef>,
    assigned: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Chain {
    first: u32,
    last: u32,
    copies: u64,
}

impl Chain {
    const EMPTY: Chain = Chain { first: NO_ROW, last: NO_ROW, copies: 0 };
}

impl KeptRows {
    /// `absent`: one row that stands for no match.
    pub fn new(types: Vec<DataType>, absent: Vec<ArrayRef>) -> Result<KeptRows> {
        Ok(KeptRows {
            rows: KeyTable::new(&types)?,
            types,
            copies: Vec::new(),
            next: Vec::new(),
            key_of: Vec::new(),
            chains: Vec::new(),
            dead: 0,
            absent,
            assigned: Vec::new(),
        })
    }

    /// Gives every row of a batch its number. Copies stay as they were.
    pub fn assign(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        self.rows.assign(columns, rows, &mut self.assigned)?;
        let fresh = self.rows.len() - self.copies.len();
        self.copies.resize(self.rows.len(), 0);
        self.next.resize(self.rows.len(), NO_ROW);
        self.key_of.resize(self.rows.len(), NO_ROW);
        self.dead += fresh;
        Ok(self.assigned.clone())
    }

    /// Adds a copy of a row of this key.
    pub fn add(&mut self, row: u32, key: u32) {
        let at = row as usize;
        if self.chains.len() <= key as usize {
            self.chains.resize(key as usize + 1, Chain::EMPTY);
        }
        let chain = &mut self.chains[key as usize];
        if self.key_of[at] == NO_ROW {
            self.key_of[at] = key;
            match chain.last {
                NO_ROW => chain.first = row,
                last => self.next[last as usize] = row,
            }
            chain.last = row;
        }
        if self.copies[at] == 0 {
            self.dead -= 1;
        }
        self.copies[at] += 1;
        chain.copies += 1;
    }

    /// Withdraws a copy. False: there is none.
    pub fn withdraw(&mut self, row: u32) -> bool {
        let at = row as usize;
        if self.copies[at] == 0 {
            return false;
        }
        self.copies[at] -= 1;
        self.chains[self.key_of[at] as usize].copies -= 1;
        if self.copies[at] == 0 {
            self.dead += 1;
        }
        true
    }

    /// Rows of a key, copies counted.
    pub fn copies(&self, key: u32) -> u64 {
        self.chains.get(key as usize).map_or(0, |c| c.copies)
    }

    /// Calls `each` for every copy of every row of a key.
    pub fn for_each(&self, key: u32, mut each: impl FnMut(u32)) {
        let Some(chain) = self.chains.get(key as usize).filter(|c| c.copies > 0) else { return };
        let mut row = chain.first;
        while row != NO_ROW {
            (0..self.copies[row as usize]).for_each(|_| each(row));
            row = self.next[row as usize];
        }
    }

    /// Whether most of the room is taken by rows that were withdrawn.
    pub fn is_mostly_dead(&self) -> bool {
        self.dead >= DEAD_ROWS_MIN && self.dead * 2 > self.copies.len()
    }

    /// The numbers of the rows that are there.
    pub fn living_numbers(&self) -> impl Iterator<Item = u32> {
        (0..self.copies.len() as u32).filter(|r| self.copies[*r as usize] > 0)
    }

    /// The rows that are there, each once, with their copies.
    pub fn living(&self) -> Result<(Vec<ArrayRef>, Vec<u32>)> {
        let rows: Vec<u32> = self.living_numbers().collect();
        let copies = rows.iter().map(|r| self.copies[*r as usize]).collect();
        Ok((self.rows.keys(&rows)?, copies))
    }

    /// The same kind of set, empty.
    pub fn emptied(&self) -> Result<KeptRows> {
        KeptRows::new(self.types.clone(), self.absent.clone())
    }

    pub fn save(&self, w: &mut StateWriter) -> Result<()> {
        let (columns, copies) = self.living()?;
        w.put_columns(&columns, copies.len())?;
        let copies: ArrayRef = Arc::new(Int64Array::from_iter_values(copies.iter().map(|c| i64::from(*c))));
        w.put_columns(&[Arc::clone(&copies)], copies.len())
    }

    /// What `save` wrote: columns, rows and the copies of each.
    pub fn load(r: &mut StateReader) -> Result<(Vec<ArrayRef>, Vec<u32>)> {
        let (columns, _) = r.columns()?;
        let (copies, _) = r.columns()?;
        let copies = copies.first().and_then(|c| c.as_primitive_opt::<Int64Type>());
        let copies = copies.ok_or_else(|| hydron_base::Error::bug("a saved side of a join without copies"))?;
        Ok((columns, copies.values().iter().map(|c| u32::try_from(*c).unwrap_or(0)).collect()))
    }

    pub fn bytes(&self) -> usize {
        self.rows.bytes()
            + (self.copies.capacity() + self.next.capacity() + self.key_of.capacity()) * size_of::<u32>()
            + self.chains.capacity() * size_of::<Chain>()
    }
}

impl RightRows for KeptRows {
    fn gather(&self, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        let present: Vec<u32> = rows.iter().copied().filter(|r| *r != NO_ROW).collect();
        if present.is_empty() {
            let one = self.absent.iter();
            let indices = arrow::array::UInt32Array::from_value(0, rows.len());
            return one.map(|a| crate::operator::expr::take(a, &indices)).collect();
        }
        with_absent(self.rows.keys(&present)?, rows, &self.absent)
    }
}

/// Columns of several batches as one batch; `None` without any.
pub fn together(parts: &[Vec<ArrayRef>]) -> Result<Option<Vec<ArrayRef>>> {
    let Some(first) = parts.first() else { return Ok(None) };
    let columns = (0..first.len()).map(|c| concat_columns(&parts.iter().map(|p| &p[c]).collect::<Vec<_>>()));
    columns.collect::<Result<Vec<_>>>().map(Some)
}
