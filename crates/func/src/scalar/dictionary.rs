//! The keys of a dictionary in memory: which row an asked key means.
//!
//! In: the key columns, once; then keys, batch by batch. Out: a row for each. Promise: the number of rows stands for no row, so that
//! [`with_default`](super::lookup::with_default) answers it.

use super::lookup::Places;
use super::rows::encode_columns;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::datatypes::Int64Type;
use foldhash::{HashMap, HashMapExt};
use hydron_base::{Code, Error, Result};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How the rows of a dictionary are found.
pub enum Index {
    /// By equal keys.
    Keys(Places),
    /// By equal keys, and a value between two others.
    Ranges(Ranges),
    /// By the longest prefix of an address.
    Prefixes(Prefixes),
}

impl Index {
    /// The row of each key. Of ranges the last column is the value, int64.
    pub fn find(&self, keys: &[ArrayRef], rows: usize) -> Result<UInt32Array> {
        match self {
            Index::Keys(places) => places.find(keys, rows),
            Index::Ranges(ranges) => ranges.find(keys, rows),
            Index::Prefixes(prefixes) => prefixes.find(&keys[0], rows),
        }
    }

    /// Bytes kept, roughly.
    pub fn bytes(&self) -> usize {
        match self {
            Index::Keys(places) => places.bytes(),
            // A key, its place and its range.
            Index::Ranges(ranges) => ranges.of.iter().map(|(k, r)| k.len() + 32 + r.len() * 24).sum(),
            Index::Prefixes(prefixes) => prefixes.rows as usize * 32,
        }
    }

    /// What [`Index::find`] answers for a key that is not there.
    pub fn none(&self) -> u32 {
        match self {
            Index::Keys(places) => places.rows() as u32,
            Index::Ranges(ranges) => ranges.rows,
            Index::Prefixes(prefixes) => prefixes.rows,
        }
    }
}

/// Rows by key and range.
pub struct Ranges {
    of: HashMap<Box<[u8]>, Vec<(i64, i64, u32)>>,
    rows: u32,
}

impl Ranges {
    /// `min` and `max` are int64; NULL: no bound. Both bounds are inside.
    pub fn of(keys: &[ArrayRef], min: &ArrayRef, max: &ArrayRef) -> Result<Ranges> {
        let rows = count(min.len())?;
        let encoded = encode_columns(keys)?;
        let (min, max) = (min.as_primitive::<Int64Type>(), max.as_primitive::<Int64Type>());
        let bound = |a: &Int64Array, row: usize, none: i64| if a.is_null(row) { none } else { a.value(row) };
        let mut of: HashMap<Box<[u8]>, Vec<(i64, i64, u32)>> = HashMap::new();
        for row in 0..rows {
            let at = row as usize;
            let range = (bound(min, at, i64::MIN), bound(max, at, i64::MAX), row);
            of.entry(encoded.row(at).as_ref().into()).or_default().push(range);
        }
        of.values_mut().for_each(|ranges| ranges.sort_unstable());
        Ok(Ranges { of, rows })
    }

    fn find(&self, keys: &[ArrayRef], rows: usize) -> Result<UInt32Array> {
        let Some((values, keys)) = keys.split_last() else {
            return Err(Error::bug("a range is asked without a value"));
        };
        let values = values.as_primitive::<Int64Type>();
        let encoded = encode_columns(keys)?;
        let place = |row: usize| {
            let ranges = self.of.get(encoded.row(row).as_ref()).filter(|_| values.is_valid(row))?;
            let value = values.value(row);
            ranges.iter().find(|(min, max, _)| (*min..=*max).contains(&value)).map(|(_, _, row)| *row)
        };
        Ok((0..rows).map(|row| place(row).unwrap_or(self.rows)).collect::<Vec<_>>().into())
    }
}

/// Rows by the prefix of an address; IPv4 addresses are those of `::ffff:0:0/96`.
pub struct Prefixes {
    /// By length, the longest last.
    of: BTreeMap<u8, HashMap<u128, u32>>,
    rows: u32,
}

impl Prefixes {
    /// `prefixes`: texts such as `10.0.0.0/8` or `2001:db8::/32`; an address alone is a prefix of all its bits.
    ///
    /// Errors: BAD_ARGUMENTS (36) for a text that is no prefix.
    pub fn of(prefixes: &ArrayRef) -> Result<Prefixes> {
        let rows = count(prefixes.len())?;
        let texts = super::column::Texts::of_array(prefixes)?;
        let mut of: BTreeMap<u8, HashMap<u128, u32>> = BTreeMap::new();
        for row in 0..rows {
            let text = String::from_utf8_lossy(texts.at(row as usize)).into_owned();
            let (bits, length) =
                prefix(&text).ok_or_else(|| Error::bad_arguments(format!("'{text}' is no prefix of an address")))?;
            of.entry(length).or_default().entry(bits & mask(length)).or_insert(row);
        }
        Ok(Prefixes { of, rows })
    }

    /// Addresses are uint32 (IPv4), or 16 bytes (IPv6).
    fn find(&self, addresses: &ArrayRef, rows: usize) -> Result<UInt32Array> {
        let bits: Vec<Option<u128>> = if let Some(v4) = addresses.as_primitive_opt::<arrow::datatypes::UInt32Type>() {
            v4.iter().map(|a| a.map(|a| mapped(Ipv4Addr::from(a)))).collect()
        } else if let Some(v6) = addresses.as_fixed_size_binary_opt() {
            let address = |a: &[u8]| <[u8; 16]>::try_from(a).ok().map(u128::from_be_bytes);
            v6.iter().map(|a| a.and_then(address)).collect()
        } else {
            return Err(Error::bug("an address is neither of 4 nor of 16 bytes"));
        };
        let place = |bits: u128| self.of.iter().rev().find_map(|(length, rows)| rows.get(&(bits & mask(*length))));
        let found = |row: usize| bits[row].and_then(place).copied().unwrap_or(self.rows);
        Ok((0..rows).map(found).collect::<Vec<_>>().into())
    }
}

fn count(rows: usize) -> Result<u32> {
    u32::try_from(rows)
        .ok()
        .filter(|rows| *rows < u32::MAX)
        .ok_or_else(|| Error::new(Code::TOO_MANY_ROWS_OR_BYTES, format!("a dictionary of {rows} rows is too large")))
}

fn mapped(address: Ipv4Addr) -> u128 {
    u128::from(address.to_ipv6_mapped())
}

fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

/// The bits of a prefix and their number.
fn prefix(text: &str) -> Option<(u128, u8)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
        None => (text, None),
    };
    match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(a) => Some((mapped(a), length.map_or(Some(128), |l| (l <= 32).then_some(l + 96))?)),
        IpAddr::V6(a) => Some((u128::from(a as Ipv6Addr), length.map_or(Some(128), |l| (l <= 128).then_some(l))?)),
    }
}

/// The parents of keys, each with its own.
pub struct Hierarchy {
    parents: HashMap<u64, u64>,
}

/// Steps from a key to its root: a longer chain is taken for a circle.
const STEPS_MAX: usize = 1_000;

impl Hierarchy {
    pub fn of(keys: &[u64], parents: &[u64]) -> Hierarchy {
        let mut of = HashMap::with_capacity(keys.len());
        for (key, parent) in keys.iter().zip(parents) {
            of.entry(*key).or_insert(*parent);
        }
        Hierarchy { parents: of }
    }

    /// The key, its parent, and so on to the root; nothing for a key that is not there.
    pub fn chain(&self, key: u64) -> Vec<u64> {
        let mut chain = Vec::new();
        let mut at = key;
        while let Some(parent) = self.parents.get(&at).filter(|_| chain.len() < STEPS_MAX && !chain.contains(&at)) {
            chain.push(at);
            at = *parent;
        }
        chain
    }

    /// Whether `ancestor` is the key or above it.
    pub fn is_in(&self, key: u64, ancestor: u64) -> bool {
        self.chain(key).contains(&ancestor)
    }

    /// Keys right below, in order.
    pub fn children(&self, key: u64) -> Vec<u64> {
        let mut children: Vec<u64> = self.parents.iter().filter(|(_, p)| **p == key).map(|(k, _)| *k).collect();
        children.sort_unstable();
        children
    }

    /// Keys below, down to `level` (0: all), those that are nearer first.
    pub fn descendants(&self, key: u64, level: u64) -> Vec<u64> {
        let mut all: Vec<u64> = Vec::new();
        let mut open = self.children(key);
        let mut depth = 0;
        while !open.is_empty() && (level == 0 || depth < level) && depth < STEPS_MAX as u64 {
            depth += 1;
            let next = open.iter().flat_map(|k| self.children(*k)).filter(|k| !all.contains(k)).collect();
            let new: Vec<u64> = open.into_iter().filter(|k| !all.contains(k)).collect();
            all.extend(new);
            open = next;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BinaryArray, UInt64Array};
    use std::sync::Arc;

    #[test]
    fn the_first_range_that_holds_a_value_is_found() {
        let keys: ArrayRef = Arc::new(UInt64Array::from(vec![1, 1, 2]));
        let min: ArrayRef = Arc::new(Int64Array::from(vec![Some(10), None, Some(0)]));
        let max: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(9), Some(5)]));
        let ranges = Ranges::of(&[keys], &min, &max).unwrap();
        let asked: ArrayRef = Arc::new(UInt64Array::from(vec![1, 1, 2, 3]));
        let values: ArrayRef = Arc::new(Int64Array::from(vec![9, 10, 6, 1]));
        assert_eq!(ranges.find(&[asked, values], 4).unwrap().values().as_ref(), [1, 0, 3, 3]);
    }

    #[test]
    fn the_longest_prefix_counts() {
        let prefixes: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"10.0.0.0/8", b"10.1.0.0/16", b"2001:db8::/32"]));
        let prefixes = Prefixes::of(&prefixes).unwrap();
        let v4 = |text: &str| u32::from(text.parse::<Ipv4Addr>().unwrap());
        let asked: ArrayRef = Arc::new(UInt32Array::from(vec![v4("10.1.2.3"), v4("10.2.2.3"), v4("11.0.0.1")]));
        assert_eq!(prefixes.find(&asked, 3).unwrap().values().as_ref(), [1, 0, 3]);
        let bad: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"10.0.0.0/33"]));
        assert!(Prefixes::of(&bad).is_err());
    }

    #[test]
    fn a_circle_of_parents_ends() {
        let hierarchy = Hierarchy::of(&[1, 2, 3, 4], &[0, 1, 2, 4]);
        assert_eq!(hierarchy.chain(3), [3, 2, 1]);
        assert_eq!(hierarchy.chain(4), [4]);
        assert_eq!(hierarchy.chain(9), Vec::<u64>::new());
        assert!(hierarchy.is_in(3, 1) && !hierarchy.is_in(1, 3));
        assert_eq!(hierarchy.descendants(1, 0), [2, 3]);
        assert_eq!(hierarchy.descendants(1, 1), [2]);
    }
}
