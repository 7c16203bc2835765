//! Columns with a dictionary: the distinct values once, then the place of each row's value among them.
//!
//! Bytes, when there are rows: flags (u64), the number of dictionary values (u64), the values without NULL, the number of
//! rows (u64), and for each row its place (1, 2, 4 or 8 bytes, as the flags say). Place 0 of a nullable column is NULL.

use super::encode;
use super::input::{Fixed, Input, damaged};
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::DataType;
use hydron_base::{Error, Result};
use hydron_types::column::array_of;
use hydron_types::{LogicalType as T, Value};
use std::collections::HashMap;

const HAS_GLOBAL_DICTIONARY: u64 = 1 << 8;
const HAS_ADDITIONAL_KEYS: u64 = 1 << 9;
const UPDATES_DICTIONARY: u64 = 1 << 10;

// A place costs a byte, its value may be long: what one column may come to when its places are resolved. A block is
// 128 MiB at most, so this is a ratio of two.
const RESOLVED_BYTES_MAX: usize = 256 << 20;

/// `ty`: the type inside `low_cardinality`.
pub(super) fn write(array: &ArrayRef, ty: &T, out: &mut Vec<u8>) -> Result<()> {
    if array.is_empty() {
        return Ok(());
    }
    let bare = ty.bare();
    let nullable = ty.is_nullable();
    let (places, firsts) = places(array, nullable)?;
    let first_rows = UInt32Array::from(firsts);
    let mut dictionary = arrow::compute::take(array, &first_rows, None).map_err(impossible)?;
    if nullable {
        let null = array_of(&Value::default_of(bare), bare, 1)?;
        dictionary = arrow::compute::concat(&[null.as_ref(), dictionary.as_ref()]).map_err(impossible)?;
    }
    let (code, width) = match dictionary.len() {
        0..=0x100 => (0_u64, 1),
        0x101..=0x1_0000 => (1, 2),
        _ => (2, 4),
    };
    out.extend_from_slice(&(code | HAS_ADDITIONAL_KEYS | UPDATES_DICTIONARY).to_le_bytes());
    out.extend_from_slice(&(dictionary.len() as u64).to_le_bytes());
    encode::values(&dictionary, bare, out)?;
    out.extend_from_slice(&(array.len() as u64).to_le_bytes());
    out.reserve(places.len() * width);
    places.iter().for_each(|place| out.extend_from_slice(&place.to_le_bytes()[..width]));
    Ok(())
}

fn impossible(e: arrow::error::ArrowError) -> Error {
    Error::bug(format!("the dictionary of a column: {e}"))
}

/// The place of each row's value, and the first row of each value.
fn places(array: &ArrayRef, nullable: bool) -> Result<(Vec<u32>, Vec<u32>)> {
    let keys = Keys::of(array)?;
    let nulls = array.logical_nulls().filter(|_| nullable);
    let mut known: HashMap<&[u8], u32, foldhash::fast::RandomState> = HashMap::default();
    let mut firsts = Vec::new();
    let mut places = Vec::with_capacity(array.len());
    for row in 0..array.len() {
        if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
            places.push(0);
            continue;
        }
        let next = known.len() as u32 + u32::from(nullable);
        let place = *known.entry(keys.at(row)).or_insert_with(|| {
            firsts.push(row as u32);
            next
        });
        places.push(place);
    }
    Ok((places, firsts))
}

/// The bytes that tell values apart.
enum Keys {
    Bits(BooleanBuffer),
    Fixed(arrow::array::ArrayData, usize),
    Bytes(arrow::array::BinaryArray),
}

impl Keys {
    fn of(array: &ArrayRef) -> Result<Keys> {
        Ok(match array.data_type() {
            DataType::Boolean => Keys::Bits(array.as_boolean().values().clone()),
            DataType::Binary => Keys::Bytes(array.as_binary().clone()),
            DataType::FixedSizeBinary(width) => Keys::Fixed(array.to_data(), *width as usize),
            other => match other.primitive_width() {
                Some(width) => Keys::Fixed(array.to_data(), width),
                None => return Err(Error::bug(format!("a dictionary of {other}"))),
            },
        })
    }

    fn at(&self, row: usize) -> &[u8] {
        match self {
            Keys::Bits(bits) => {
                if bits.value(row) {
                    &[1]
                } else {
                    &[0]
                }
            }
            Keys::Fixed(data, width) => {
                let at = (data.offset() + row) * width;
                &data.buffers()[0].as_slice()[at..at + width]
            }
            Keys::Bytes(array) => array.value(row),
        }
    }
}

/// A column with a dictionary while it arrives.
pub(super) struct Reader {
    prefix: Fixed,
    head: Fixed,
    dictionary: Box<super::decode::Column>,
    rows: Fixed,
    places: Fixed,
    nullable: bool,
}

impl Reader {
    /// `ty`: the type inside `low_cardinality`.
    pub fn new(ty: &T) -> Result<Reader> {
        Ok(Reader {
            prefix: Fixed::new(8),
            head: Fixed::new(8),
            dictionary: Box::new(super::decode::Column::new(ty.bare())?),
            rows: Fixed::new(8),
            places: Fixed::new(1),
            nullable: ty.is_nullable(),
        })
    }

    pub fn prefix(&mut self, input: &mut Input<'_>) -> Result<bool> {
        if !self.prefix.fill(1, input)? {
            return Ok(false);
        }
        match self.prefix.u64_at(0) {
            encode::DICTIONARY_VERSION => Ok(true),
            other => Err(damaged(format!("version {other} of a dictionary is unknown"))),
        }
    }

    pub fn values(&mut self, rows: usize, input: &mut Input<'_>) -> Result<bool> {
        if rows == 0 {
            return Ok(true);
        }
        if !self.head.fill(2, input)? {
            return Ok(false);
        }
        let flags = self.head.u64_at(0);
        if flags & HAS_GLOBAL_DICTIONARY != 0 || flags & HAS_ADDITIONAL_KEYS == 0 {
            return Err(damaged("a dictionary must stand in its own block"));
        }
        self.places.width = match flags & 0xFF {
            code @ 0..=3 => 1 << code,
            other => return Err(damaged(format!("places of kind {other} in a dictionary"))),
        };
        let size = usize::try_from(self.head.u64_at(1)).unwrap_or(usize::MAX);
        if !self.dictionary.values(size, input)? || !self.rows.fill(1, input)? {
            return Ok(false);
        }
        if self.rows.u64_at(0) != rows as u64 {
            let text = format!("a dictionary column has {} places for {rows} rows", self.rows.u64_at(0));
            return Err(damaged(text));
        }
        self.places.fill(rows, input)
    }

    pub fn finish(self, rows: usize) -> Result<ArrayRef> {
        let size = if rows == 0 { 0 } else { self.head.u64_at(1) as usize };
        let dictionary = self.dictionary.finish(size)?;
        let mut places = Vec::with_capacity(rows);
        for row in 0..rows {
            match self.places.u64_at(row) {
                place if place < size as u64 => places.push(place as u32),
                place => return Err(damaged(format!("place {place} in a dictionary of {size}"))),
            }
        }
        check_size(&dictionary, &places)?;
        let nulls = self.nullable.then(|| NullBuffer::new(places.iter().map(|p| *p != 0).collect()));
        let places = UInt32Array::new(places.into(), nulls.filter(|n| n.null_count() > 0));
        arrow::compute::take(&dictionary, &places, None).map_err(impossible)
    }
}

fn check_size(dictionary: &ArrayRef, places: &[u32]) -> Result<()> {
    let bytes = match dictionary.data_type() {
        DataType::Binary => {
            let strings = dictionary.as_binary::<i32>();
            places.iter().map(|p| strings.value_length(*p as usize) as usize).sum::<usize>()
        }
        DataType::FixedSizeBinary(width) => places.len().saturating_mul(*width as usize),
        _ => 0,
    };
    if bytes > RESOLVED_BYTES_MAX {
        return Err(damaged(format!("a dictionary column comes to {bytes} bytes, the limit is {RESOLVED_BYTES_MAX}")));
    }
    Ok(())
}
