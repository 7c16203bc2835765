//! Keys to dense group numbers.
//!
//! In: key columns. Out: for each row the number of its group, from 0 in the order of first appearance, and the keys of
//! any groups back as columns. Promise: NULL is a key like any other; a key keeps its number.

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, BinaryArray, BooleanArray, make_array};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use arrow_row::{RowConverter, RowParser, SortField};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hydron_base::{Code, Error, Result};
use hydron_func::call::arrow_error;
use std::hash::BuildHasher;
use std::mem::size_of;
use std::sync::Arc;

/// All hashes of keys use this seed: a checkpoint may be read by another process, which must find the same shard.
const SEED: u64 = 0x6879_6472_6f6e;

/// The group of a key that no table has.
pub const NO_GROUP: u32 = u32::MAX;

/// Groups in one table: numbers are 32 bits.
const GROUPS_MAX: usize = u32::MAX as usize - 1;

pub struct KeyTable {
    types: Vec<DataType>,
    kind: Kind,
}

enum Kind {
    /// No keys: one group, once there is a row.
    One {
        seen: bool,
    },
    Fixed(FixedKeys),
    Bytes(ByteKeys, NullKey),
    Rows(ByteKeys, Box<RowConverter>, Box<RowParser>),
}

/// The group of the NULL key of a single-column table.
#[derive(Default)]
struct NullKey(Option<u32>);

impl KeyTable {
    /// Errors: NOT_IMPLEMENTED for a type that cannot be a key.
    pub fn new(types: &[DataType]) -> Result<KeyTable> {
        let kind = match types {
            [] => Kind::One { seen: false },
            [one] if width(one).is_some() => Kind::Fixed(FixedKeys::default()),
            [DataType::Binary] => Kind::Bytes(ByteKeys::default(), NullKey::default()),
            several => {
                let converter = row_converter(several)?;
                let parser = converter.parser();
                Kind::Rows(ByteKeys::default(), Box::new(converter), Box::new(parser))
            }
        };
        Ok(KeyTable { types: types.to_vec(), kind })
    }

    pub fn len(&self) -> usize {
        match &self.kind {
            Kind::One { seen } => usize::from(*seen),
            Kind::Fixed(f) => f.keys.len(),
            Kind::Bytes(b, _) | Kind::Rows(b, ..) => b.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts the group of each of `rows` rows into `groups`; new keys get the next numbers.
    pub fn assign(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        groups.clear();
        groups.reserve(rows);
        if self.len() + rows > GROUPS_MAX {
            return Err(Error::new(
                Code::SET_SIZE_LIMIT_EXCEEDED,
                format!("more than {GROUPS_MAX} groups in one query"),
            ));
        }
        match &mut self.kind {
            Kind::One { seen } => {
                *seen |= rows > 0;
                groups.resize(rows, 0);
            }
            Kind::Fixed(fixed) => fixed.assign(&keys[0], groups)?,
            Kind::Bytes(bytes, null) => {
                let column =
                    keys[0].as_binary_opt::<i32>().ok_or_else(|| Error::bug("a string key that is not binary"))?;
                match column.nulls() {
                    None => groups.extend((0..rows).map(|r| bytes.group(column.value(r)))),
                    Some(nulls) => groups.extend((0..rows).map(|r| match nulls.is_valid(r) {
                        true => bytes.group(column.value(r)),
                        false => *null.0.get_or_insert_with(|| bytes.push_unfindable()),
                    })),
                }
            }
            Kind::Rows(bytes, converter, _) => {
                let converted = converter.convert_columns(keys).map_err(arrow_error)?;
                groups.extend(converted.iter().map(|row| bytes.group(row.as_ref())));
            }
        }
        Ok(())
    }

    /// Puts the group of each of `rows` rows into `groups`, [`NO_GROUP`] for a key that was never assigned.
    pub fn find(&self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        groups.clear();
        groups.reserve(rows);
        match &self.kind {
            Kind::One { seen } => groups.resize(rows, if *seen { 0 } else { NO_GROUP }),
            Kind::Fixed(fixed) => fixed.find(&keys[0], groups)?,
            Kind::Bytes(bytes, null) => {
                let column =
                    keys[0].as_binary_opt::<i32>().ok_or_else(|| Error::bug("a string key that is not binary"))?;
                groups.extend((0..rows).map(|r| match column.is_valid(r) {
                    true => bytes.find(column.value(r)),
                    false => null.0.unwrap_or(NO_GROUP),
                }));
            }
            Kind::Rows(bytes, converter, _) => {
                let converted = converter.convert_columns(keys).map_err(arrow_error)?;
                groups.extend(converted.iter().map(|row| bytes.find(row.as_ref())));
            }
        }
        Ok(())
    }

    /// The keys of all groups in the order of their numbers.
    pub fn all_keys(&self) -> Result<Vec<ArrayRef>> {
        self.keys(&(0..self.len() as u32).collect::<Vec<_>>())
    }

    /// The keys of `groups`, in that order, as columns.
    pub fn keys(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        match &self.kind {
            Kind::One { .. } => Ok(vec![]),
            Kind::Fixed(fixed) => Ok(vec![fixed.column(groups, &self.types[0])?]),
            Kind::Bytes(bytes, null) => Ok(vec![bytes.column(groups, null.0)?]),
            Kind::Rows(bytes, converter, parser) => {
                let rows = groups.iter().map(|g| parser.parse(bytes.get(*g)));
                converter.convert_rows(rows).map_err(arrow_error)
            }
        }
    }

    /// Bytes kept.
    pub fn bytes(&self) -> usize {
        match &self.kind {
            Kind::One { .. } => 0,
            Kind::Fixed(f) => f.table.allocation_size() + f.keys.capacity() * size_of::<u64>(),
            Kind::Bytes(b, _) | Kind::Rows(b, ..) => b.allocated(),
        }
    }
}

/// Rows of these types as bytes that compare as the rows do.
///
/// Errors: NOT_IMPLEMENTED for a type without such an order.
pub fn row_converter(types: &[DataType]) -> Result<RowConverter> {
    let fields: Vec<_> = types.iter().map(|t| SortField::new(t.clone())).collect();
    if !RowConverter::supports_fields(&fields) {
        return Err(Error::not_implemented(format!("a key or kept row of a stream of type {types:?}")));
    }
    RowConverter::new(fields).map_err(arrow_error)
}

/// A hash of each row's keys that is the same in every process: it decides which parallel operator owns a key.
pub fn hash_rows(keys: &[ArrayRef], rows: usize, hashes: &mut Vec<u64>) -> Result<()> {
    hashes.clear();
    hashes.reserve(rows);
    let state = FixedState::with_seed(SEED);
    match keys {
        [] => hashes.resize(rows, 0),
        [one] if width(one.data_type()).is_some() => {
            let nulls = one.nulls();
            for_each_fixed(one, |row, bits| {
                hashes.push(if nulls.is_some_and(|n| n.is_null(row)) { 0 } else { state.hash_one(bits) });
            })?;
        }
        [one] if one.data_type() == &DataType::Binary => {
            let column = one.as_binary::<i32>();
            hashes.extend((0..rows).map(|r| if column.is_null(r) { 0 } else { state.hash_one(column.value(r)) }));
        }
        several => {
            let types: Vec<_> = several.iter().map(|k| k.data_type().clone()).collect();
            let converted = row_converter(&types)?.convert_columns(several).map_err(arrow_error)?;
            hashes.extend(converted.iter().map(|row| state.hash_one(row.as_ref())));
        }
    }
    Ok(())
}

/// Bytes of a value that fits 64 bits (a bool counts as 1).
fn width(ty: &DataType) -> Option<usize> {
    match ty {
        DataType::Boolean => Some(1),
        DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::Float16 | DataType::Interval(_) => None,
        other => other.primitive_width().filter(|w| *w <= 8),
    }
}

/// Calls `each` with every row's value as 64 bits; rows that are NULL come with any value.
fn for_each_fixed(column: &ArrayRef, mut each: impl FnMut(usize, u64)) -> Result<()> {
    if let Some(bools) = column.as_boolean_opt() {
        bools.values().iter().enumerate().for_each(|(row, v)| each(row, u64::from(v)));
        return Ok(());
    }
    let data = column.to_data();
    let (from, rows) = (data.offset(), data.len());
    let buffer = data.buffers().first().ok_or_else(|| Error::bug("a primitive array without values"))?;
    macro_rules! scan {
        ($t:ty) => {
            buffer.typed_data::<$t>()[from..from + rows]
                .iter()
                .enumerate()
                .for_each(|(row, v)| each(row, u64::from(*v)))
        };
    }
    match width(column.data_type()) {
        Some(1) => scan!(u8),
        Some(2) => scan!(u16),
        Some(4) => scan!(u32),
        Some(8) => scan!(u64),
        _ => return Err(Error::bug(format!("a key of type {} is not of fixed width", column.data_type()))),
    }
    Ok(())
}

/// One column of at most 64 bits.
#[derive(Default)]
struct FixedKeys {
    table: HashTable<(u64, u32)>,
    /// By group; 0 for NULL.
    keys: Vec<u64>,
    null: Option<u32>,
}

impl FixedKeys {
    fn assign(&mut self, column: &ArrayRef, groups: &mut Vec<u32>) -> Result<()> {
        match column.nulls() {
            None => for_each_fixed(column, |_, bits| groups.push(self.group(bits))),
            Some(nulls) => for_each_fixed(column, |row, bits| {
                groups.push(if nulls.is_valid(row) { self.group(bits) } else { self.null_group() });
            }),
        }
    }

    fn group(&mut self, bits: u64) -> u32 {
        let FixedKeys { table, keys, .. } = self;
        let state = FixedState::with_seed(SEED);
        let entry = table.entry(state.hash_one(bits), |(k, _)| *k == bits, |(k, _)| state.hash_one(*k));
        let found = entry.or_insert_with(|| {
            keys.push(bits);
            (bits, keys.len() as u32 - 1)
        });
        found.get().1
    }

    fn find(&self, column: &ArrayRef, groups: &mut Vec<u32>) -> Result<()> {
        let state = FixedState::with_seed(SEED);
        let lookup = |bits: u64| {
            let found = self.table.find(state.hash_one(bits), |(k, _)| *k == bits);
            found.map_or(NO_GROUP, |(_, group)| *group)
        };
        match column.nulls() {
            None => for_each_fixed(column, |_, bits| groups.push(lookup(bits))),
            Some(nulls) => for_each_fixed(column, |row, bits| {
                groups.push(if nulls.is_valid(row) { lookup(bits) } else { self.null.unwrap_or(NO_GROUP) });
            }),
        }
    }

    fn null_group(&mut self) -> u32 {
        let keys = &mut self.keys;
        *self.null.get_or_insert_with(|| {
            keys.push(0);
            keys.len() as u32 - 1
        })
    }

    fn column(&self, groups: &[u32], ty: &DataType) -> Result<ArrayRef> {
        let null = self.null.filter(|n| groups.contains(n));
        let nulls = null.map(|n| NullBuffer::from_iter(groups.iter().map(|g| *g != n)));
        let bits = groups.iter().map(|g| self.keys[*g as usize]);
        let values = match (ty, width(ty)) {
            (DataType::Boolean, _) => {
                return Ok(Arc::new(BooleanArray::new(bits.map(|b| b != 0).collect(), nulls)));
            }
            (_, Some(1)) => Buffer::from_vec(bits.map(|b| b as u8).collect::<Vec<_>>()),
            (_, Some(2)) => Buffer::from_vec(bits.map(|b| b as u16).collect::<Vec<_>>()),
            (_, Some(4)) => Buffer::from_vec(bits.map(|b| b as u32).collect::<Vec<_>>()),
            _ => Buffer::from_vec(bits.collect::<Vec<_>>()),
        };
        let data = ArrayData::builder(ty.clone())
            .len(groups.len())
            .add_buffer(values)
            .nulls(nulls)
            .build()
            .map_err(arrow_error)?;
        Ok(make_array(data))
    }
}

/// Keys of any length, one after the other.
#[derive(Default)]
struct ByteKeys {
    table: HashTable<(u64, u32)>,
    arena: Vec<u8>,
    /// Where each key ends.
    ends: Vec<usize>,
}

impl ByteKeys {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, group: u32) -> &[u8] {
        slot(&self.arena, &self.ends, group)
    }

    fn group(&mut self, key: &[u8]) -> u32 {
        let ByteKeys { table, arena, ends } = self;
        let hash = FixedState::with_seed(SEED).hash_one(key);
        let found = table.find(hash, |(h, g)| *h == hash && slot(arena, ends, *g) == key);
        if let Some((_, group)) = found {
            return *group;
        }
        arena.extend_from_slice(key);
        ends.push(arena.len());
        let group = ends.len() as u32 - 1;
        table.insert_unique(hash, (hash, group), |(h, _)| *h);
        group
    }

    fn find(&self, key: &[u8]) -> u32 {
        let hash = FixedState::with_seed(SEED).hash_one(key);
        let found = self.table.find(hash, |(h, g)| *h == hash && slot(&self.arena, &self.ends, *g) == key);
        found.map_or(NO_GROUP, |(_, group)| *group)
    }

    /// A group that no key leads to: the caller remembers it.
    fn push_unfindable(&mut self) -> u32 {
        self.ends.push(self.arena.len());
        self.ends.len() as u32 - 1
    }

    fn column(&self, groups: &[u32], null: Option<u32>) -> Result<ArrayRef> {
        let total: usize = groups.iter().map(|g| self.get(*g).len()).sum();
        if i32::try_from(total).is_err() {
            return Err(Error::new(
                Code::TOO_LARGE_STRING_SIZE,
                format!("the keys of one answer are {total} bytes, above 2 GiB"),
            ));
        }
        let mut values = Vec::with_capacity(total);
        let mut offsets = Vec::with_capacity(groups.len() + 1);
        offsets.push(0i32);
        for group in groups {
            values.extend_from_slice(self.get(*group));
            offsets.push(values.len() as i32);
        }
        let null = null.filter(|n| groups.contains(n));
        let nulls = null.map(|n| NullBuffer::from_iter(groups.iter().map(|g| *g != n)));
        let array =
            BinaryArray::try_new(OffsetBuffer::new(offsets.into()), values.into(), nulls).map_err(arrow_error)?;
        Ok(Arc::new(array))
    }

    fn allocated(&self) -> usize {
        self.table.allocation_size() + self.arena.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

fn slot<'a>(arena: &'a [u8], ends: &[usize], group: u32) -> &'a [u8] {
    let group = group as usize;
    let from = if group == 0 { 0 } else { ends[group - 1] };
    &arena[from..ends[group]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int16Array, Int64Array, TimestampMillisecondArray};

    fn assign(table: &mut KeyTable, keys: &[ArrayRef]) -> Vec<u32> {
        let mut groups = Vec::new();
        table.assign(keys, keys[0].len(), &mut groups).unwrap();
        groups
    }

    #[test]
    fn numbers_follow_first_appearance_and_null_is_a_key() {
        let mut table = KeyTable::new(&[DataType::Int64]).unwrap();
        let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(-5), None, Some(0), Some(-5), None]));
        assert_eq!(assign(&mut table, &[Arc::clone(&column)]), [0, 1, 2, 0, 1]);
        assert_eq!(assign(&mut table, &[column]), [0, 1, 2, 0, 1]);
        let back = table.keys(&[2, 1, 0]).unwrap();
        assert_eq!(back[0].as_ref(), &Int64Array::from(vec![Some(0), None, Some(-5)]) as &dyn Array);
    }

    #[test]
    fn times_and_small_integers_keep_their_type() {
        let mut table = KeyTable::new(&[DataType::Int16]).unwrap();
        assign(&mut table, &[Arc::new(Int16Array::from(vec![-1, 7]))]);
        assert_eq!(table.all_keys().unwrap()[0].as_ref(), &Int16Array::from(vec![-1, 7]) as &dyn Array);
        let times = TimestampMillisecondArray::from(vec![5, 6, 5]);
        let mut table = KeyTable::new(&[times.data_type().clone()]).unwrap();
        let slice = times.slice(1, 2);
        assert_eq!(assign(&mut table, &[Arc::new(slice)]), [0, 1]);
        assert_eq!(table.all_keys().unwrap()[0].as_ref(), &TimestampMillisecondArray::from(vec![6, 5]) as &dyn Array);
    }

    #[test]
    fn strings_and_pairs() {
        let text: ArrayRef =
            Arc::new(BinaryArray::from_opt_vec(vec![Some(b"a".as_ref()), None, Some(b""), Some(b"a")]));
        let mut table = KeyTable::new(&[DataType::Binary]).unwrap();
        assert_eq!(assign(&mut table, &[Arc::clone(&text)]), [0, 1, 2, 0]);
        assert_eq!(
            table.keys(&[1, 0]).unwrap()[0].as_ref(),
            &BinaryArray::from_opt_vec(vec![None, Some(b"a".as_ref())]) as &dyn Array
        );
        let number: ArrayRef = Arc::new(Int64Array::from(vec![1, 1, 1, 2]));
        let mut pairs = KeyTable::new(&[DataType::Binary, DataType::Int64]).unwrap();
        assert_eq!(assign(&mut pairs, &[text, number]), [0, 1, 2, 3]);
        assert_eq!(pairs.keys(&[3]).unwrap()[1].as_ref(), &Int64Array::from(vec![2]) as &dyn Array);
    }
}
