//! One aggregate as a fold: what one group keeps and how one row changes it. The rest is the same for all.
//!
//! In: a [`Fold`]. Out: an [`Aggregate`] whose states hold one cell for each group. Promise: the loop over rows is compiled
//! for each fold, without a call or a branch per row that the fold does not need.

use super::bytes::Reader;
use crate::agg::{Aggregate, GroupState};
use crate::call::downcast;
use crate::scalar::column::end_offset;
use arrow::array::{Array, ArrayRef, BinaryArray, BooleanArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use hydron_base::{Error, Result};
use std::ops::Range;
use std::sync::Arc;

/// How rows become answers, for one group at a time.
pub trait Fold: Send + Sync + 'static {
    /// What one group keeps.
    type Cell: Send + 'static;
    /// The arguments of one batch, ready to be read row by row.
    type Input<'a>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>>;

    /// The cell of a group without rows.
    fn empty(&self) -> Self::Cell;

    fn add(&self, cell: &mut Self::Cell, input: &Self::Input<'_>, row: usize) -> Result<()>;

    /// Adds several rows of one group.
    fn add_run(&self, cell: &mut Self::Cell, input: &Self::Input<'_>, rows: Range<usize>) -> Result<()> {
        rows.into_iter().try_for_each(|row| self.add(cell, input, row))
    }

    /// Adds every row to the cell of its group.
    fn add_all(&self, cells: &mut [Self::Cell], groups: &[u32], input: &Self::Input<'_>) -> Result<()> {
        groups.iter().enumerate().try_for_each(|(row, group)| self.add(&mut cells[*group as usize], input, row))
    }

    /// Whether `withdraw` undoes `add`.
    fn withdraws(&self) -> bool {
        false
    }

    fn withdraw(&self, cell: &mut Self::Cell, input: &Self::Input<'_>, row: usize) -> Result<()> {
        let _ = (cell, input, row);
        Err(Error::not_implemented("withdrawing rows from this aggregate"))
    }

    /// Adds what `from` saw to `into`, as if its rows came after.
    fn merge(&self, into: &mut Self::Cell, from: Self::Cell) -> Result<()>;

    /// Appends the cell's bytes; not asked of a fold that has its own `save` and `load`.
    fn write(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        let _ = (cell, out);
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Self::Cell> {
        let _ = bytes;
        Err(Error::bug("this aggregate is not saved as bytes"))
    }

    /// One answer for each cell.
    fn finish(&self, cells: Picked<'_, Self::Cell>) -> Result<ArrayRef>;

    /// Bytes a cell keeps outside of itself.
    fn heap(&self, cell: &Self::Cell) -> usize {
        let _ = cell;
        0
    }

    /// Columns of the saved state; one of bytes unless the fold has something faster.
    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Binary]
    }

    fn save(&self, cells: Picked<'_, Self::Cell>) -> Result<Vec<ArrayRef>> {
        let (mut bytes, mut ends) = (Vec::new(), vec![0]);
        for cell in cells.iter() {
            self.write(cell, &mut bytes);
            ends.push(end_offset(bytes.len())?);
        }
        Ok(vec![Arc::new(BinaryArray::new(OffsetBuffer::new(ends.into()), bytes.into(), None))])
    }

    /// Merges row `i` of `state` into the cell `groups[i]`.
    fn load(&self, cells: &mut [Self::Cell], groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let column: &BinaryArray = downcast(state_column(state, 0)?)?;
        for (row, group) in groups.iter().enumerate() {
            // No bytes: the state of a group that saw nothing.
            if !column.value(row).is_empty() {
                let from = self.read(&mut Reader(column.value(row)))?;
                self.merge(&mut cells[*group as usize], from)?;
            }
        }
        Ok(())
    }
}

/// Column `index` of a saved state.
pub fn state_column(state: &[ArrayRef], index: usize) -> Result<&ArrayRef> {
    state.get(index).ok_or_else(|| Error::bug(format!("a saved state has no column {index}")))
}

/// The cells of some groups, in the order asked for.
pub struct Picked<'a, C> {
    cells: &'a [C],
    groups: &'a [u32],
}

impl<C> Clone for Picked<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Picked<'_, C> {}

impl<'a, C> Picked<'a, C> {
    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a C> {
        let cells = self.cells;
        self.groups.iter().map(move |g| &cells[*g as usize])
    }

    pub fn len(self) -> usize {
        self.groups.len()
    }
}

/// The aggregate of a fold, and its form for changelogs.
pub struct Folded<F: Fold> {
    fold: Arc<F>,
    retracting: Option<Arc<dyn Aggregate>>,
}

/// The aggregate of `fold`; it takes withdrawals when the fold does.
pub fn folded<F: Fold>(fold: F) -> Arc<dyn Aggregate> {
    Arc::new(Folded { fold: Arc::new(fold), retracting: None })
}

/// The aggregate of `fold`, where `retracting` is the same for changelogs.
pub fn folded_with<F: Fold, R: Fold>(fold: F, retracting: R) -> Arc<dyn Aggregate> {
    Arc::new(Folded { fold: Arc::new(fold), retracting: Some(folded(retracting)) })
}

impl<F: Fold> Aggregate for Folded<F> {
    fn new_state(&self) -> Box<dyn GroupState> {
        Box::new(Groups { fold: Arc::clone(&self.fold), cells: Vec::new(), heap: 0, rows_since: 0 })
    }

    fn state_types(&self) -> Vec<DataType> {
        self.fold.state_types()
    }

    fn retracting(&self) -> Option<Arc<dyn Aggregate>> {
        if self.retracting.is_some() {
            return self.retracting.clone();
        }
        let same = || Arc::new(Folded { fold: Arc::clone(&self.fold), retracting: None }) as Arc<dyn Aggregate>;
        self.fold.withdraws().then(same)
    }
}

/// One cell for each group.
struct Groups<F: Fold> {
    fold: Arc<F>,
    cells: Vec<F::Cell>,
    /// What the cells keep outside of themselves, as of the last count.
    heap: usize,
    /// Rows since the last count; counting again only after as many rows as cells keeps it cheap for each row.
    rows_since: usize,
}

impl<F: Fold> Groups<F> {
    fn note_rows(&mut self, rows: usize) {
        self.rows_since += rows;
        if self.rows_since >= self.cells.len() {
            self.heap = self.cells.iter().map(|c| self.fold.heap(c)).sum();
            self.rows_since = 0;
        }
    }
}

/// Calls `row` for every row that the filter lets pass.
pub fn each_row(rows: usize, filter: Option<&BooleanArray>, mut row: impl FnMut(usize) -> Result<()>) -> Result<()> {
    match filter {
        None => (0..rows).try_for_each(row),
        Some(filter) if filter.null_count() == 0 => filter.values().set_indices().try_for_each(row),
        Some(filter) => filter.values().set_indices().filter(|i| filter.is_valid(*i)).try_for_each(&mut row),
    }
}

impl<F: Fold> GroupState for Groups<F> {
    fn resize(&mut self, groups: usize) {
        while self.cells.len() < groups {
            self.cells.push(self.fold.empty());
        }
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let fold = Arc::clone(&self.fold);
        let input = fold.input(args)?;
        match (self.cells.as_mut_slice(), filter) {
            ([only], None) => fold.add_run(only, &input, 0..groups.len())?,
            (cells, None) => fold.add_all(cells, groups, &input)?,
            (cells, filter) => {
                each_row(groups.len(), filter, |row| fold.add(&mut cells[groups[row] as usize], &input, row))?;
            }
        }
        self.note_rows(groups.len());
        Ok(())
    }

    fn retract(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let fold = Arc::clone(&self.fold);
        let input = fold.input(args)?;
        let cells = &mut self.cells;
        each_row(groups.len(), filter, |row| fold.withdraw(&mut cells[groups[row] as usize], &input, row))
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        self.fold.load(&mut self.cells, groups, state)?;
        self.note_rows(groups.len());
        Ok(())
    }

    fn finish(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        self.fold.finish(Picked { cells: &self.cells, groups })
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.fold.save(Picked { cells: &self.cells, groups })
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|g| self.cells[*g as usize] = self.fold.empty());
    }

    fn bytes(&self) -> usize {
        self.cells.capacity() * std::mem::size_of::<F::Cell>() + self.heap
    }
}

/// About how many bytes `len` values keep: measured on a few of them, so that asking often stays cheap.
pub fn sampled_heap(len: usize, heaps: impl Iterator<Item = usize>) -> usize {
    const SAMPLE: usize = 32;
    let sum: usize = heaps.take(SAMPLE).sum();
    sum * len / len.clamp(1, SAMPLE)
}
