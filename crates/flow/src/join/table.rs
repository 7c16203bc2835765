//! A stream joined with a table: the right side is read once, each left row is looked up.
//!
//! In: the table's rows on input 1 until their end, left rows on input 0. Out: left rows beside their matches, lane and sign
//! kept. Promise: no left row is looked up before the table is complete; after a restart the saved table counts, and what
//! the source reads again is dropped.

use super::held::Held;
use super::nearest::{Nearest, order_bytes};
use super::spec::{JoinSpec, Keys, Matcher, NO_ROW, Pairs, RightRows};
use crate::group::keys::{KeyTable, NO_GROUP};
use crate::operator::expr::{concat_columns, eval, take};
use crate::operator::{Msg, Operator, Output, Rows};
use crate::state::{StateReader, StateWriter};
use arrow::array::{ArrayRef, UInt32Array};
use hydron_base::{Code, Error, Result};
use hydron_func::EvalContext;
use hydron_types::Batch;
use std::sync::Arc;

/// Which right rows of a key match.
#[derive(Clone, Debug)]
pub enum Pick {
    All,
    First,
    Last,
    Nearest(Nearest),
}

pub struct TableJoin {
    spec: Arc<JoinSpec>,
    pick: Pick,
    /// Rows and keys of the table as they come.
    parts: Vec<Part>,
    table: Option<Table>,
    held: Held,
    bytes: usize,
    groups: Vec<u32>,
}

struct Part {
    batch: Batch,
    keys: Keys,
    /// ASOF: what is compared beside the keys.
    order: Option<ArrayRef>,
}

/// The complete right side.
struct Table {
    keys: KeyTable,
    /// Where the rows of each key begin in `rows`; one more for the end.
    starts: Vec<u32>,
    rows: Vec<u32>,
    /// ASOF: the compared value of each place in `rows`, in ascending order within a key.
    order: Vec<Box<[u8]>>,
    /// All rows, then the one that stands for no match.
    columns: Vec<ArrayRef>,
    count: u32,
}

impl RightRows for Table {
    fn gather(&self, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        let indices = UInt32Array::from_iter_values(rows.iter().map(|r| (*r).min(self.count)));
        self.columns.iter().map(|c| take(c, &indices)).collect()
    }
}

impl Table {
    fn of(&self, group: u32) -> std::ops::Range<usize> {
        match group {
            NO_GROUP => 0..0,
            g => self.starts[g as usize] as usize..self.starts[g as usize + 1] as usize,
        }
    }
}

impl TableJoin {
    pub fn new(spec: Arc<JoinSpec>, pick: Pick) -> TableJoin {
        TableJoin { spec, pick, parts: Vec::new(), table: None, held: Held::default(), bytes: 0, groups: Vec::new() }
    }

    fn add(&mut self, cx: &EvalContext, batch: Batch) -> Result<()> {
        let keys = self.spec.right_keys(cx, &batch)?;
        let order = match &self.pick {
            Pick::Nearest(nearest) => Some(eval(&nearest.right, cx, &batch)?),
            _ => None,
        };
        self.bytes += batch.bytes() + keys.columns.iter().map(|c| c.get_array_memory_size()).sum::<usize>();
        self.parts.push(Part { batch, keys, order });
        Ok(())
    }

    /// Makes the lookup table of all rows that came.
    fn complete(&mut self) -> Result<()> {
        let parts = std::mem::take(&mut self.parts);
        let count: usize = parts.iter().map(|p| p.batch.rows()).sum();
        let count = u32::try_from(count).ok().filter(|n| *n < NO_ROW).ok_or_else(|| {
            Error::new(Code::SET_SIZE_LIMIT_EXCEEDED, format!("the table of a join has {count} rows, above {NO_ROW}"))
        })?;
        let mut keys = KeyTable::new(&self.spec.key_types())?;
        // The group of each row; rows that can match nothing have none.
        let mut group_of: Vec<u32> = Vec::with_capacity(count as usize);
        for part in &parts {
            keys.assign(&part.keys.columns, part.batch.rows(), &mut self.groups)?;
            let groups = self.groups.iter().enumerate();
            group_of.extend(groups.map(|(row, g)| if part.keys.can_match(row) { *g } else { NO_GROUP }));
        }
        let (starts, mut rows) = by_group(&group_of, keys.len());
        let mut order = Vec::new();
        if matches!(self.pick, Pick::Nearest(_)) {
            order = sort_each(&parts, &starts, &mut rows)?;
        }
        let absent = self.spec.absent()?;
        let mut columns = Vec::with_capacity(absent.len());
        for (at, none) in absent.iter().enumerate() {
            let all: Vec<&ArrayRef> = parts.iter().map(|p| p.batch.column(at)).chain([none]).collect();
            columns.push(concat_columns(&all)?);
        }
        self.bytes = columns.iter().map(|c| c.get_array_memory_size()).sum::<usize>()
            + (starts.capacity() + rows.capacity()) * size_of::<u32>()
            + order.iter().map(|o| o.len() + size_of::<Box<[u8]>>()).sum::<usize>()
            + keys.bytes();
        self.table = Some(Table { keys, starts, rows, order, columns, count });
        Ok(())
    }

    fn probe(&mut self, cx: &EvalContext, rows: Rows, out: &mut dyn Output) -> Result<()> {
        let Some(table) = &self.table else {
            return Err(Error::bug("a left row was looked up before the table was complete"));
        };
        let keys = self.spec.left_keys(cx, rows.batch())?;
        table.keys.find(&keys.columns, rows.len(), &mut self.groups)?;
        let order = match &self.pick {
            Pick::Nearest(nearest) => order_bytes(&eval(&nearest.left, cx, rows.batch())?)?,
            _ => Vec::new(),
        };
        let matcher = Matcher { spec: &self.spec, cx, left: &rows.delta, right: table };
        let groups = &self.groups;
        let matches = |row: usize, pairs: &mut Pairs| {
            if !keys.can_match(row) {
                return;
            }
            let found = table.of(groups[row]);
            let mut one = |at: Option<usize>| at.into_iter().for_each(|at| pairs.push(row as u32, table.rows[at]));
            match &self.pick {
                Pick::All => found.for_each(|at| one(Some(at))),
                Pick::First => one(found.into_iter().next()),
                Pick::Last => one(found.into_iter().next_back()),
                Pick::Nearest(nearest) => {
                    if let Some(value) = &order[row] {
                        let from = found.start;
                        one(nearest.find(&table.order[found], value).map(|at| from + at));
                    }
                }
            }
        };
        matcher.run(matches, |delta| out.push(Msg::Rows(Rows { delta, lane: rows.lane })))
    }

    fn pass(&mut self, cx: &EvalContext, msg: Msg, out: &mut dyn Output) -> Result<()> {
        match msg {
            Msg::Rows(rows) if rows.is_empty() => Ok(()),
            Msg::Rows(rows) => self.probe(cx, rows, out),
            control => out.push(control),
        }
    }
}

/// Row numbers by group: where each group's begin, and the rows in their order.
fn by_group(group_of: &[u32], groups: usize) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0u32; groups + 1];
    for group in group_of.iter().filter(|g| **g != NO_GROUP) {
        starts[*group as usize + 1] += 1;
    }
    for group in 0..groups {
        starts[group + 1] += starts[group];
    }
    let mut next = starts.clone();
    let mut rows = vec![0u32; starts[groups] as usize];
    for (row, group) in group_of.iter().enumerate().filter(|(_, g)| **g != NO_GROUP) {
        let place = &mut next[*group as usize];
        rows[*place as usize] = row as u32;
        *place += 1;
    }
    (starts, rows)
}

/// Sorts the rows of each group by the value that ASOF compares and answers those values, place by place. A row whose value
/// is NULL stays, below all others, where no search finds it.
fn sort_each(parts: &[Part], starts: &[u32], rows: &mut [u32]) -> Result<Vec<Box<[u8]>>> {
    let mut values: Vec<Option<Box<[u8]>>> = Vec::new();
    for part in parts {
        values.extend(part.order.as_ref().map(order_bytes).transpose()?.into_iter().flatten());
    }
    for group in starts.windows(2) {
        rows[group[0] as usize..group[1] as usize].sort_by(|a, b| values[*a as usize].cmp(&values[*b as usize]));
    }
    Ok(rows.iter().map(|r| values[*r as usize].clone().unwrap_or_default()).collect())
}

impl Operator for TableJoin {
    fn on_msg(&mut self, cx: &EvalContext, input: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        if input == 0 {
            if self.table.is_some() {
                return self.pass(cx, msg, out);
            }
            self.held.push(msg);
            return Ok(());
        }
        match msg {
            Msg::Rows(rows) if self.table.is_none() => self.add(cx, rows.delta.rows),
            Msg::End if self.table.is_none() => {
                self.complete()?;
                self.held.take().into_iter().try_for_each(|msg| self.pass(cx, msg, out))
            }
            _ => Ok(()),
        }
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        w.put_bool(self.table.is_some());
        match &self.table {
            Some(table) => {
                w.put_u64(1);
                let rows = table.count as usize;
                let columns: Vec<ArrayRef> = table.columns.iter().map(|c| c.slice(0, rows)).collect();
                w.put_columns(&columns, rows)?;
            }
            None => {
                w.put_u64(self.parts.len() as u64);
                for part in &self.parts {
                    w.put_columns(&part.batch.columns, part.batch.rows())?;
                }
            }
        }
        self.held.save(w)
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        let complete = r.bool()?;
        let cx = EvalContext::at(hydron_base::world::WallTime(0));
        for _ in 0..r.u64()? {
            let (columns, rows) = r.columns()?;
            self.add(&cx, Batch::new(Arc::clone(&self.spec.right), columns, rows))?;
        }
        if complete {
            self.complete()?;
        }
        self.held.load(&self.spec.left, r)
    }

    fn bytes(&self) -> usize {
        self.bytes + self.held.bytes()
    }
}
