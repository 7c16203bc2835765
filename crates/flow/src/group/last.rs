//! The last row of each key.
//!
//! In: encoded rows under the numbers of their keys. Out: the rows of any keys back as columns. Promise: a key has one row at
//! most; putting another in its place frees the first.

use super::keys::{KeyTable, row_converter};
use crate::state::{StateReader, StateWriter};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow_row::{RowConverter, RowParser};
use hydron_base::{Error, Result};
use hydron_func::call::arrow_error;

/// Rows in numbered slots.
pub struct RowSlots {
    converter: RowConverter,
    parser: RowParser,
    slots: Vec<Option<Box<[u8]>>>,
    /// Of the rows.
    bytes: usize,
}

impl RowSlots {
    pub fn new(types: &[DataType]) -> Result<RowSlots> {
        let converter = row_converter(types)?;
        let parser = converter.parser();
        Ok(RowSlots { converter, parser, slots: Vec::new(), bytes: 0 })
    }

    /// Rows of a batch in the form that `put` takes.
    pub fn encode(&self, columns: &[ArrayRef]) -> Result<arrow_row::Rows> {
        self.converter.convert_columns(columns).map_err(arrow_error)
    }

    pub fn has(&self, slot: u32) -> bool {
        self.slots.get(slot as usize).is_some_and(Option::is_some)
    }

    /// Puts a row in the place of the one that is there.
    pub fn put(&mut self, slot: u32, row: &[u8]) {
        let at = slot as usize;
        if self.slots.len() <= at {
            self.slots.resize(at + 1, None);
        }
        self.bytes += row.len();
        let old = self.slots[at].replace(row.into());
        self.bytes -= old.map_or(0, |o| o.len());
    }

    pub fn remove(&mut self, slot: u32) {
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            self.bytes -= slot.take().map_or(0, |o| o.len());
        }
    }

    /// The rows in `slots`, which all hold one, as columns.
    pub fn gather(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let row = |slot: &u32| {
            let row = self.slots.get(*slot as usize).and_then(Option::as_deref);
            row.map(|r| self.parser.parse(r)).ok_or_else(|| Error::bug(format!("slot {slot} holds no row")))
        };
        let rows = slots.iter().map(row).collect::<Result<Vec<_>>>()?;
        self.converter.convert_rows(rows).map_err(arrow_error)
    }

    /// Slots that hold a row.
    pub fn held(&self) -> Vec<u32> {
        (0..self.slots.len() as u32).filter(|s| self.has(*s)).collect()
    }

    pub fn bytes(&self) -> usize {
        self.bytes + self.slots.capacity() * size_of::<Option<Box<[u8]>>>()
    }
}

/// The row of each key that counts: the last one that came, or, where rows have a version, the one of the greatest.
pub struct LastRows {
    keys: KeyTable,
    /// In the slot of the key's number.
    pub rows: RowSlots,
    versions: Option<Versions>,
    groups: Vec<u32>,
}

/// By key: the version of its row, in bytes that compare as versions do.
struct Versions {
    converter: RowConverter,
    of: Vec<Box<[u8]>>,
}

impl LastRows {
    /// `version`: of equal versions the later row counts.
    pub fn new(keys: &[DataType], version: Option<&DataType>, row: &[DataType]) -> Result<LastRows> {
        let versions = match version {
            Some(ty) => Some(Versions { converter: row_converter(std::slice::from_ref(ty))?, of: Vec::new() }),
            None => None,
        };
        Ok(LastRows { keys: KeyTable::new(keys)?, rows: RowSlots::new(row)?, versions, groups: Vec::new() })
    }

    /// For each key of the batch that gets another row, its number and that row, in the order of first appearance. The rows
    /// are not put in their places yet.
    pub fn winners(&mut self, keys: &[ArrayRef], version: Option<&ArrayRef>, rows: usize) -> Result<Vec<(u32, u32)>> {
        self.keys.assign(keys, rows, &mut self.groups)?;
        let encoded = match (&self.versions, version) {
            (Some(v), Some(column)) => {
                Some(v.converter.convert_columns(std::slice::from_ref(column)).map_err(arrow_error)?)
            }
            _ => None,
        };
        let mut place: hashbrown::HashMap<u32, usize> = hashbrown::HashMap::new();
        let mut winners: Vec<(u32, u32)> = Vec::new();
        for (row, group) in self.groups.iter().enumerate() {
            if let (Some(encoded), Some(versions)) = (&encoded, &mut self.versions) {
                if versions.of.len() <= *group as usize {
                    versions.of.resize(*group as usize + 1, Box::default());
                }
                let greatest = &mut versions.of[*group as usize];
                let this = encoded.row(row);
                // No version is below the empty one of a key without a row.
                if this.as_ref() < &**greatest {
                    continue;
                }
                *greatest = this.as_ref().into();
            }
            match place.entry(*group) {
                hashbrown::hash_map::Entry::Occupied(at) => winners[*at.get()].1 = row as u32,
                hashbrown::hash_map::Entry::Vacant(free) => {
                    free.insert(winners.len());
                    winners.push((*group, row as u32));
                }
            }
        }
        Ok(winners)
    }

    /// Puts the rows that `winners` named in their places.
    pub fn put(&mut self, winners: &[(u32, u32)], columns: &[ArrayRef]) -> Result<()> {
        let encoded = self.rows.encode(columns)?;
        winners.iter().for_each(|(key, row)| self.rows.put(*key, encoded.row(*row as usize).as_ref()));
        Ok(())
    }

    pub fn save(&self, w: &mut StateWriter) -> Result<()> {
        let held = self.rows.held();
        w.put_columns(&self.keys.keys(&held)?, held.len())?;
        w.put_columns(&self.rows.gather(&held)?, held.len())
    }

    /// Adds what `save` wrote. `version` works out the versions of rows.
    pub fn load(
        &mut self,
        r: &mut StateReader,
        version: impl Fn(&[ArrayRef], usize) -> Result<Option<ArrayRef>>,
    ) -> Result<()> {
        let (keys, rows) = r.columns()?;
        let (columns, _) = r.columns()?;
        if rows == 0 {
            return Ok(());
        }
        let winners = self.winners(&keys, version(&columns, rows)?.as_ref(), rows)?;
        self.put(&winners, &columns)
    }

    pub fn bytes(&self) -> usize {
        let versions = self.versions.as_ref().map_or(0, |v| v.of.iter().map(|b| b.len() + size_of_val(b)).sum());
        self.keys.bytes() + self.rows.bytes() + versions
    }
}
