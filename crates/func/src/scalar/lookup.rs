//! A table in memory that is asked by its key: the right side of `join_get` and of the functions of dictionaries.
//!
//! In: the key columns of a table, once; then keys, batch by batch. Out: the row of each key. Promise: of rows with equal keys
//! the first one is found; a key with NULL in it is not found.

use super::rows::encode_columns;
use crate::call::arrow_error;
use arrow::array::{Array, ArrayRef, UInt32Array};
use foldhash::{HashMap, HashMapExt};
use hydron_base::{Code, Error, Result};
use hydron_types::column::array_of;
use hydron_types::{LogicalType, Value};

/// Where each key of a table stands.
#[derive(Debug)]
pub struct Places {
    of: HashMap<Box<[u8]>, u32>,
    rows: usize,
}

impl Places {
    /// Errors: TOO_MANY_ROWS_OR_BYTES past 2^32 - 1 rows.
    pub fn of(keys: &[ArrayRef]) -> Result<Places> {
        let rows = keys.first().map_or(0, |k| k.len());
        let last = u32::try_from(rows).ok().filter(|rows| *rows < u32::MAX).ok_or_else(|| {
            Error::new(Code::TOO_MANY_ROWS_OR_BYTES, format!("a table of {rows} rows cannot be asked by its key"))
        })?;
        let encoded = encode_columns(keys)?;
        let mut of = HashMap::with_capacity(rows);
        for row in 0..last {
            if keys.iter().all(|k| k.is_valid(row as usize)) {
                of.entry(encoded.row(row as usize).as_ref().into()).or_insert(row);
            }
        }
        Ok(Places { of, rows })
    }

    /// Rows of the table.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes kept, roughly.
    pub fn bytes(&self) -> usize {
        self.of.keys().map(|k| k.len() + 32).sum()
    }

    /// The row of each key; the number of rows where there is none. The columns have the types of the table's.
    pub fn find(&self, keys: &[ArrayRef], rows: usize) -> Result<UInt32Array> {
        let encoded = encode_columns(keys)?;
        let none = self.rows as u32;
        let place = |row: usize| self.of.get(encoded.row(row).as_ref()).copied().unwrap_or(none);
        Ok((0..rows).map(place).collect::<Vec<_>>().into())
    }
}

/// The values of a column and behind them the one for keys that are not there, so that [`Places::find`] says where to take.
pub fn with_default(values: &ArrayRef, ty: &LogicalType, default: &Value) -> Result<ArrayRef> {
    let last = array_of(default, ty, 1)?;
    arrow::compute::concat(&[values.as_ref(), last.as_ref()]).map_err(arrow_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BinaryArray, Int64Array};
    use std::sync::Arc;

    #[test]
    fn the_first_row_of_a_key_is_found_and_null_is_not() {
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(1)]));
        let values: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"a", b"b", b"c", b"d"]));
        let places = Places::of(&[keys]).unwrap();
        let asked: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), Some(1), Some(7), None]));
        let at = places.find(&[asked], 4).unwrap();
        assert_eq!(at.values().as_ref(), [1, 0, 4, 4]);
        let values = with_default(&values, &LogicalType::String, &Value::string("?")).unwrap();
        let taken = arrow::compute::take(&values, &at, None).unwrap();
        let expected: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"b", b"a", b"?", b"?"]));
        assert_eq!(&taken, &expected);
    }
}
