//! The order in which rows leave a hash table of ClickHouse: groups of an aggregation, rows of the right side of a join that
//! have no match.
//!
//! In: rows in the order in which their keys were first seen. Out: the same rows, as they would stand in the table that
//! ClickHouse chooses for the types of the keys, so that an answer without ORDER BY reads the same. Promise: rows are only
//! moved, and those of one key keep their order; keys whose table is not known here, and more groups than one table holds
//! there, keep the order they came in.

use crate::step::{Step, StepRun};
use crate::steps::batch_of;
use arrow::array::{Array, ArrayData, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Date32Type, SchemaRef, TimestampSecondType};
use hashbrown::HashMap;
use hydron_base::{Error, Result};
use hydron_types::LogicalType;
use hydron_types::gather::take_rows;
use std::sync::Arc;

/// Above this ClickHouse splits its table by the high bits of the hash.
const ONE_TABLE_MAX: usize = 100_000;

/// Whose table it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableOf {
    /// Each key once.
    Aggregation,
    /// Several rows may have one key; rows with a NULL in it come last.
    Join,
}

/// Rows in the order of the hash table of their keys.
#[derive(Debug)]
pub struct GroupOrder {
    /// The types of the keys, each with its column.
    pub keys: Vec<(usize, LogicalType)>,
    pub table: TableOf,
    /// Rows of a batch.
    pub batch_rows: usize,
    pub schema: SchemaRef,
}

impl Step for GroupOrder {
    fn name(&self) -> &'static str {
        "GroupOrder"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn needs_one_partition(&self) -> bool {
        true
    }

    fn start(&self) -> Box<dyn StepRun> {
        let types: Vec<&LogicalType> = self.keys.iter().map(|(_, t)| t).collect();
        let table = match self.table {
            TableOf::Aggregation => Table::of(&types),
            TableOf::Join => Table::of_join(&types),
        };
        let (keys, schema) = (self.keys.clone(), Arc::clone(&self.schema));
        let batch_rows = self.batch_rows.max(1);
        Box::new(Run { keys, of: self.table, table, schema, kept: Vec::new(), rows: 0, batch_rows, ordered: None })
    }
}

struct Run {
    keys: Vec<(usize, LogicalType)>,
    of: TableOf,
    /// `None`: rows pass.
    table: Option<Table>,
    schema: SchemaRef,
    kept: Vec<RecordBatch>,
    rows: usize,
    batch_rows: usize,
    /// What is left of the rows in order.
    ordered: Option<RecordBatch>,
}

impl StepRun for Run {
    fn rows(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        if self.table.is_none() {
            return Ok(batch);
        }
        self.rows += batch.num_rows();
        self.kept.push(batch);
        if self.rows <= ONE_TABLE_MAX || self.of == TableOf::Join {
            return batch_of(&self.schema, self.schema.fields().iter().map(|f| empty(f.data_type())).collect(), 0);
        }
        self.table = None;
        self.together()
    }

    fn finish(&mut self) -> Result<Option<RecordBatch>> {
        let Some(table) = self.table.take().filter(|_| !self.kept.is_empty()) else { return Ok(None) };
        let all = self.together()?;
        self.ordered = Some(match table.order(&self.keys, self.of, &all) {
            None => all,
            Some(order) => {
                let order = UInt32Array::from(order);
                let columns = all.columns().iter().map(|c| take_rows(c, &order)).collect::<Result<Vec<_>>>()?;
                batch_of(&self.schema, columns, all.num_rows())?
            }
        });
        self.more()
    }

    fn more(&mut self) -> Result<Option<RecordBatch>> {
        let Some(all) = self.ordered.take().filter(|all| all.num_rows() > 0) else { return Ok(None) };
        let count = self.batch_rows.min(all.num_rows());
        self.ordered = Some(all.slice(count, all.num_rows() - count));
        Ok(Some(all.slice(0, count)))
    }

    fn bytes(&self) -> usize {
        self.kept.iter().chain(&self.ordered).map(RecordBatch::get_array_memory_size).sum()
    }
}

impl Run {
    fn together(&mut self) -> Result<RecordBatch> {
        let all = concat_batches(&self.schema, &self.kept).map_err(|e| Error::bug(format!("groups: {e}")))?;
        self.kept.clear();
        Ok(all)
    }
}

fn empty(ty: &DataType) -> ArrayRef {
    arrow::array::make_array(ArrayData::new_empty(ty))
}

/// The table for keys of some types.
enum Table {
    /// At most 16 bits: an array indexed by the key.
    Direct,
    /// Keys side by side in so many bytes: 4, 8, 16 or 32.
    Fixed { width: usize, layout: Layout },
    /// One string: four tables by length.
    Strings,
    /// One string: one table.
    Whole,
    /// Everything else: a string of all keys one after the other.
    Serialized,
}

#[derive(Clone, Copy, PartialEq)]
enum Layout {
    /// The longest first.
    LongestFirst,
    AsWritten,
    /// A bitmap of NULLs of so many bytes, then the keys that are not NULL.
    Nullable(usize),
}

impl Table {
    fn of(types: &[&LogicalType]) -> Option<Table> {
        let low_cardinality = types.iter().any(|t| matches!(t, LogicalType::LowCardinality(_)));
        let bare: Vec<&LogicalType> = types.iter().map(|t| t.bare()).collect();
        if !bare.iter().all(|t| is_known(t)) || (low_cardinality && types.len() > 1) {
            return None;
        }
        let widths: Option<Vec<usize>> = bare.iter().map(|t| width_of(t)).collect();
        let nullable = types.iter().any(|t| t.is_nullable());
        let Some(widths) = widths else {
            let one_string = types.len() == 1 && matches!(bare[0], LogicalType::String | LogicalType::FixedString(_));
            return match one_string && !nullable {
                true if low_cardinality => Some(Table::Whole),
                true => Some(Table::Strings),
                false if low_cardinality => None,
                false => Some(Table::Serialized),
            };
        };
        let total: usize = widths.iter().sum();
        if nullable {
            return match total {
                _ if low_cardinality => None,
                ..=14 => Some(Table::Fixed { width: 16, layout: Layout::Nullable(2) }),
                15..=28 => Some(Table::Fixed { width: 32, layout: Layout::Nullable(4) }),
                _ => Some(Table::Serialized),
            };
        }
        let prepared = widths.iter().all(|w| matches!(w, 1 | 2 | 4 | 8 | 16));
        let layout = if prepared && total <= 16 { Layout::LongestFirst } else { Layout::AsWritten };
        match total {
            ..=2 => Some(Table::Direct),
            3..=4 => Some(Table::Fixed { width: 4, layout }),
            5..=8 => Some(Table::Fixed { width: 8, layout }),
            9..=16 => Some(Table::Fixed { width: 16, layout }),
            17..=32 => Some(Table::Fixed { width: 32, layout: Layout::AsWritten }),
            _ => Some(Table::Serialized),
        }
    }

    /// The table of the right side of a join.
    fn of_join(types: &[&LogicalType]) -> Option<Table> {
        let bare: Vec<&LogicalType> = types.iter().map(|t| t.bare()).collect();
        let widths: Option<Vec<usize>> = bare.iter().map(|t| width_of(t)).collect();
        let Some(widths) = widths else {
            return matches!(bare.as_slice(), [LogicalType::String]).then_some(Table::Whole);
        };
        let prepared = widths.iter().all(|w| matches!(w, 1 | 2 | 4 | 8 | 16));
        match (widths.as_slice(), widths.iter().sum()) {
            ([1 | 2], _) => Some(Table::Direct),
            ([width], _) => Some(Table::Fixed { width: *width, layout: Layout::AsWritten }),
            (_, ..=16) if prepared => Some(Table::Fixed { width: 16, layout: Layout::LongestFirst }),
            (_, ..=16) => Some(Table::Fixed { width: 16, layout: Layout::AsWritten }),
            (_, 17..=32) => Some(Table::Fixed { width: 32, layout: Layout::AsWritten }),
            _ => None,
        }
    }

    /// Where each row of the output comes from; `None`: the rows stay.
    fn order(&self, keys: &[(usize, LogicalType)], of: TableOf, rows: &RecordBatch) -> Option<Vec<u32>> {
        let columns = keys.iter().map(|(at, ty)| Key::of(rows.column(*at), ty.bare())).collect::<Option<Vec<_>>>()?;
        let all: Vec<u32> = (0..rows.num_rows() as u32).collect();
        if of == TableOf::Aggregation {
            return Some(self.order_of(keys, &columns, &all));
        }
        let (keyed, without): (Vec<u32>, Vec<u32>) =
            all.into_iter().partition(|r| !columns.iter().any(|c| c.is_null(*r as usize)));
        let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut same: Vec<Vec<u32>> = Vec::new();
        let mut key = Vec::new();
        for row in keyed {
            key.clear();
            columns.iter().for_each(|c| c.serialize(row as usize, false, &mut key));
            match places.get(&key) {
                Some(at) => same[*at].push(row),
                None => {
                    places.insert(key.clone(), same.len());
                    same.push(vec![row]);
                }
            }
        }
        let firsts: Vec<u32> = same.iter().map(|rows| rows[0]).collect();
        let at: HashMap<u32, usize> = firsts.iter().enumerate().map(|(i, row)| (*row, i)).collect();
        let mut order: Vec<u32> =
            self.order_of(keys, &columns, &firsts).into_iter().flat_map(|r| same[at[&r]].iter().copied()).collect();
        order.extend(without);
        Some(order)
    }

    /// The rows, each with a key of its own, as they stand in the table.
    fn order_of(&self, keys: &[(usize, LogicalType)], columns: &[Key], rows: &[u32]) -> Vec<u32> {
        let mut slots = Slots::default();
        match self {
            Table::Direct => {
                let key = |row: u32| packed(columns, row as usize, Layout::LongestFirst, 2);
                let mut order: Vec<(u16, u32)> =
                    rows.iter().map(|r| (u16::from_le_bytes([key(*r)[0], key(*r)[1]]), *r)).collect();
                order.sort_unstable();
                return order.into_iter().map(|(_, r)| r).collect();
            }
            Table::Fixed { width, layout } => {
                for row in rows {
                    let key = packed(columns, *row as usize, *layout, *width);
                    let zero = key.iter().all(|b| *b == 0);
                    slots.insert(*row, (!zero).then(|| crc_words(&key)));
                }
            }
            Table::Strings => {
                let mut tables: [Slots; 5] = Default::default();
                for row in rows {
                    let key = columns[0].bytes(*row as usize);
                    let table = match key.len() {
                        0 => 0,
                        _ if key.last() == Some(&0) => 4,
                        1..=8 => 1,
                        9..=16 => 2,
                        17..=24 => 3,
                        _ => 4,
                    };
                    let hash = match table {
                        0 => None,
                        4 => Some(crc_string(key)),
                        // Shorter strings stand in one to three words, with zeros behind.
                        words => Some(crc_words(&padded(key, words * 8))),
                    };
                    tables[table].insert(*row, hash);
                }
                return tables.into_iter().flat_map(Slots::into_order).collect();
            }
            Table::Whole => {
                for row in rows {
                    let key = columns[0].bytes(*row as usize);
                    slots.insert(*row, (!key.is_empty()).then(|| crc_string(key)));
                }
            }
            Table::Serialized => {
                let mut key = Vec::new();
                for row in rows {
                    key.clear();
                    for (column, (_, ty)) in columns.iter().zip(keys) {
                        column.serialize(*row as usize, ty.is_nullable(), &mut key);
                    }
                    slots.insert(*row, Some(crc_string(&key)));
                }
            }
        }
        slots.into_order()
    }
}

/// Whether the bytes of values of `ty` in memory are those of ClickHouse.
fn is_known(ty: &LogicalType) -> bool {
    width_of(ty).is_some() || matches!(ty, LogicalType::String)
}

/// Bytes of a value in a column of fixed width.
fn width_of(ty: &LogicalType) -> Option<usize> {
    use LogicalType::*;
    Some(match ty {
        Bool | Int8 | UInt8 | Enum8(_) => 1,
        Int16 | UInt16 | Enum16(_) | Date => 2,
        Int32 | UInt32 | Float32 | Date32 | DateTime(_) => 4,
        Int64 | UInt64 | Float64 | DateTime64(..) | Interval(_) => 8,
        Decimal { precision, .. } => match precision {
            ..=9 => 4,
            10..=18 => 8,
            19..=38 => 16,
            _ => 32,
        },
        Int128 => 16,
        Int256 => 32,
        _ => return None,
    })
}

/// The bytes of one key column, row by row.
struct Key {
    nulls: Option<BooleanArray>,
    bytes: Bytes,
}

enum Bytes {
    Fixed { width: usize, values: Vec<u8> },
    Strings(ArrayRef),
}

impl Key {
    fn of(column: &ArrayRef, ty: &LogicalType) -> Option<Key> {
        let nulls = column.is_nullable().then(|| arrow::compute::is_null(column).ok()).flatten();
        let Some(width) = width_of(ty) else {
            return Some(Key { nulls, bytes: Bytes::Strings(Arc::clone(column)) });
        };
        let rows = 0..column.len();
        let values = match column.data_type() {
            DataType::Boolean => rows.map(|r| u8::from(column.as_boolean().value(r))).collect(),
            DataType::Date32 => {
                let days = column.as_primitive::<Date32Type>();
                rows.flat_map(|r| days.value(r).to_le_bytes().into_iter().take(width)).collect()
            }
            DataType::Timestamp(arrow::datatypes::TimeUnit::Second, _) => {
                let seconds = column.as_primitive::<TimestampSecondType>();
                rows.flat_map(|r| seconds.value(r).to_le_bytes().into_iter().take(width)).collect()
            }
            other if other.primitive_width() == Some(width) => {
                let data = column.to_data();
                let from = data.offset() * width;
                data.buffers().first()?.as_slice().get(from..from + column.len() * width)?.to_vec()
            }
            _ => return None,
        };
        Some(Key { nulls, bytes: Bytes::Fixed { width, values } })
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|n| n.value(row))
    }

    fn bytes(&self, row: usize) -> &[u8] {
        match &self.bytes {
            Bytes::Fixed { width, values } => &values[row * width..(row + 1) * width],
            Bytes::Strings(strings) => strings.as_binary::<i32>().value(row),
        }
    }

    fn serialize(&self, row: usize, nullable: bool, into: &mut Vec<u8>) {
        if nullable {
            into.push(u8::from(self.is_null(row)));
            if self.is_null(row) {
                return;
            }
        }
        let bytes = self.bytes(row);
        if matches!(self.bytes, Bytes::Strings(_)) {
            // With the zero that ends a string in ClickHouse's columns.
            into.extend((bytes.len() as u64 + 1).to_le_bytes());
            into.extend(bytes);
            into.push(0);
        } else {
            into.extend(bytes);
        }
    }
}

/// The keys of one row beside each other in `width` bytes.
fn packed(keys: &[Key], row: usize, layout: Layout, width: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(width);
    match layout {
        Layout::LongestFirst => {
            for size in [16, 8, 4, 2, 1] {
                keys.iter().map(|k| k.bytes(row)).filter(|b| b.len() == size).for_each(|b| out.extend(b));
            }
        }
        Layout::AsWritten => keys.iter().for_each(|k| out.extend(k.bytes(row))),
        Layout::Nullable(bitmap) => {
            out.resize(bitmap, 0);
            for (i, key) in keys.iter().enumerate() {
                match key.is_null(row) {
                    true => out[i / 8] |= 1 << (i % 8),
                    false => out.extend(key.bytes(row)),
                }
            }
        }
    }
    out.resize(width, 0);
    out
}

fn padded(bytes: &[u8], width: usize) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out.resize(width, 0);
    out
}

/// The table of CRC-32C, one byte at a time.
const CRC: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

fn crc(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |crc, b| CRC[usize::from((crc as u8) ^ b)] ^ (crc >> 8))
}

/// The hash of a key of whole words; one of four bytes counts as a word with zeros.
fn crc_words(key: &[u8]) -> u32 {
    let seed = crc(u32::MAX, key);
    if key.len() < 8 { crc(seed, &[0; 8][key.len()..]) } else { seed }
}

/// The hash of a string of any length: its words, then the last eight bytes again where they are no whole word.
fn crc_string(key: &[u8]) -> u32 {
    if key.len() < 8 {
        return short_string(key);
    }
    let mut seed = u32::MAX;
    let mut at = 0;
    loop {
        seed = crc(seed, &key[at..at + 8]);
        at += 8;
        if at + 8 >= key.len() {
            break;
        }
    }
    crc(seed, &key[key.len() - 8..])
}

/// Strings below eight bytes do not come here by themselves: a serialized key or a string that ends in a zero byte does.
fn short_string(key: &[u8]) -> u32 {
    const K: u64 = 0x9ae1_6a3b_2f90_404f;
    const MUL: u64 = 0x9ddf_ea08_eb38_2d69;
    let word = |at: usize| u64::from(u32::from_le_bytes([key[at], key[at + 1], key[at + 2], key[at + 3]]));
    let mix = |v: u64| v ^ (v >> 47);
    let len = key.len() as u64;
    let hash = match key.len() {
        0 => 0,
        1..4 => {
            let (a, b, c) = (u64::from(key[0]), u64::from(key[key.len() >> 1]), u64::from(key[key.len() - 1]));
            let (y, z) = (a + (b << 8), len + (c << 2));
            mix(y.wrapping_mul(K) ^ z.wrapping_mul(0xc949_c7de_febe_6f07)).wrapping_mul(K)
        }
        _ => {
            let (first, second) = (len + (word(0) << 3), word(key.len() - 4));
            let a = mix((first ^ second).wrapping_mul(MUL));
            mix((second ^ a).wrapping_mul(MUL)).wrapping_mul(MUL)
        }
    };
    hash as u32
}

/// An open table with linear probing, as ClickHouse's: 256 places, four times as many whenever half are taken.
#[derive(Default)]
struct Slots {
    /// The key of zeros stands before all others.
    zero: Option<u32>,
    /// Row and hash.
    places: Vec<Option<(u32, u32)>>,
    taken: usize,
}

impl Slots {
    fn insert(&mut self, row: u32, hash: Option<u32>) {
        let Some(hash) = hash else {
            self.zero = Some(row);
            self.taken += 1;
            return;
        };
        if self.places.is_empty() {
            self.places.resize(256, None);
        }
        let at = self.place(row, hash);
        self.places[at] = Some((row, hash));
        self.taken += 1;
        if self.taken > self.places.len() / 2 {
            self.grow();
        }
    }

    /// Where `row` stands or would stand.
    fn place(&self, row: u32, hash: u32) -> usize {
        let mask = self.places.len() - 1;
        let mut at = hash as usize & mask;
        while self.places[at].is_some_and(|(r, _)| r != row) {
            at = (at + 1) & mask;
        }
        at
    }

    fn grow(&mut self) {
        let old = self.places.len();
        self.places.resize(old * 4, None);
        let mut at = 0;
        while at < self.places.len() {
            match self.places[at] {
                Some((row, hash)) => {
                    let to = self.place(row, hash);
                    if self.places[to].is_none() {
                        self.places[to] = self.places[at].take();
                    }
                }
                None if at >= old => break,
                None => {}
            }
            at += 1;
        }
    }

    fn into_order(self) -> Vec<u32> {
        self.zero.into_iter().chain(self.places.into_iter().flatten().map(|(row, _)| row)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, UInt64Array};
    use arrow::datatypes::{Field, Schema};

    fn ordered(key: ArrayRef, ty: LogicalType) -> Vec<u32> {
        let schema = Arc::new(Schema::new(vec![Field::new("k", key.data_type().clone(), false)]));
        let rows = RecordBatch::try_new(schema, vec![key]).expect("one column");
        Table::of(&[&ty]).and_then(|t| t.order(&[(0, ty.clone())], TableOf::Aggregation, &rows)).expect("a known table")
    }

    #[test]
    fn numbers_stand_by_their_checksum() {
        // Answers of Proton: 1, 2, 3 of int32 leave as 3, 2, 1; 0..4 of uint64 as 0, 3, 2, 1.
        assert_eq!(ordered(Arc::new(Int32Array::from(vec![1, 2, 3])), LogicalType::Int32), [2, 1, 0]);
        assert_eq!(ordered(Arc::new(UInt64Array::from(vec![0, 1, 2, 3])), LogicalType::UInt64), [0, 3, 2, 1]);
    }

    #[test]
    fn a_table_that_grows_keeps_every_row() {
        let keys: Vec<u64> = (0..5000).map(|n| n * 7919).collect();
        let mut order = ordered(Arc::new(UInt64Array::from(keys)), LogicalType::UInt64);
        order.sort_unstable();
        assert_eq!(order, (0..5000).collect::<Vec<u32>>());
    }

    #[test]
    fn rows_of_one_key_stay_together() {
        let keys: ArrayRef = Arc::new(UInt64Array::from(vec![1, 2, 1, 0, 2]));
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::UInt64, false)]));
        let rows = RecordBatch::try_new(schema, vec![keys]).expect("one column");
        let table = Table::of_join(&[&LogicalType::UInt64]).expect("a known table");
        let order = table.order(&[(0, LogicalType::UInt64)], TableOf::Join, &rows).expect("known bytes");
        assert_eq!(order, [3, 1, 4, 0, 2]);
    }

    #[test]
    fn short_keys_are_sorted() {
        let keys = arrow::array::Int8Array::from(vec![3, -1, 0]);
        assert_eq!(ordered(Arc::new(keys), LogicalType::Int8), [2, 0, 1]);
    }
}
