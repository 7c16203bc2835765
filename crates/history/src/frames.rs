//! Frames of window functions: which rows around each row a function sees.
//!
//! In: sorted rows, cut into partitions and groups of peers. Out: for each row the range of rows in its frame. Promise: ranges lie
//! within the row's partition, neither bound ever goes back from one row to the next, and an empty frame is an empty range.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, UInt64Type};
use arrow_row::{RowConverter, SortField};
use hydron_base::{Error, Result};
use hydron_func::call::arrow_error;
use hydron_plan::node::{Frame, FrameBound, FrameUnit};
use hydron_types::Value;
use std::ops::Range;

/// Sorted rows with what separates them.
pub struct Sorted {
    /// The first row of each partition, then the number of rows.
    pub partitions: Vec<usize>,
    /// The group of peers each row is in; groups count on from partition to partition.
    pub group: Vec<u32>,
    /// The first row of each group, then the number of rows.
    pub groups: Vec<usize>,
}

impl Sorted {
    pub fn new(rows: usize, partition: &[ArrayRef], order: &[ArrayRef]) -> Result<Sorted> {
        let mut starts = changes(rows, partition)?;
        let partitions = (0..rows).filter(|r| starts[*r]).chain([rows]).collect();
        for (start, differs) in starts.iter_mut().zip(changes(rows, order)?) {
            *start |= differs;
        }
        let groups = (0..rows).filter(|r| starts[*r]).chain([rows]).collect();
        let mut number = 0_u32;
        let count = |(row, start): (usize, &bool)| {
            number += u32::from(*start && row > 0);
            number
        };
        let group = starts.iter().enumerate().map(count).collect();
        Ok(Sorted { partitions, group, groups })
    }

    pub fn partition_ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.partitions.windows(2).map(|w| w[0]..w[1])
    }

    /// The rows equal to `row` on the keys that order it.
    pub fn peers(&self, row: usize) -> Range<usize> {
        let group = self.group[row] as usize;
        self.groups[group]..self.groups[group + 1]
    }
}

/// For each row whether it differs from the one before; the first one does.
pub fn changes(rows: usize, keys: &[ArrayRef]) -> Result<Vec<bool>> {
    let mut starts = vec![false; rows];
    if let Some(first) = starts.first_mut() {
        *first = true;
    }
    if keys.is_empty() || rows == 0 {
        return Ok(starts);
    }
    let fields = keys.iter().map(|k| SortField::new(k.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(arrow_error)?;
    let encoded = converter.convert_columns(keys).map_err(arrow_error)?;
    for (row, start) in starts.iter_mut().enumerate().skip(1) {
        *start = encoded.row(row) != encoded.row(row - 1);
    }
    Ok(starts)
}

/// The key of a RANGE frame as numbers that rise from row to row.
struct Key {
    numbers: Numbers,
    /// NULL and NaN: no distance leads to them or from them.
    is_number: Vec<bool>,
}

enum Numbers {
    Whole(Vec<i128>),
    Float(Vec<f64>),
}

impl Key {
    fn new(array: &ArrayRef, descending: bool) -> Result<Key> {
        let nulls = array.logical_nulls();
        let mut is_number: Vec<bool> = (0..array.len()).map(|r| nulls.as_ref().is_none_or(|n| n.is_valid(r))).collect();
        let sign = if descending { -1 } else { 1 };
        let numbers = match array.data_type() {
            DataType::Float32 | DataType::Float64 => {
                let floats = cast(array, &DataType::Float64).map_err(arrow_error)?;
                let floats: Vec<f64> =
                    floats.as_primitive::<Float64Type>().values().iter().map(|v| v * f64::from(sign)).collect();
                is_number.iter_mut().zip(&floats).for_each(|(is, v)| *is &= !v.is_nan());
                Numbers::Float(floats)
            }
            DataType::UInt64 => {
                let values = array.as_primitive::<UInt64Type>().values();
                Numbers::Whole(values.iter().map(|v| i128::from(*v) * i128::from(sign)).collect())
            }
            DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
                let wide = cast(array, &DataType::Decimal128(38, *scale)).map_err(arrow_error)?;
                let values = wide.as_primitive::<Decimal128Type>().values();
                Numbers::Whole(values.iter().map(|v| v.saturating_mul(i128::from(sign))).collect())
            }
            DataType::Date32 => {
                let days = cast(array, &DataType::Int32).map_err(arrow_error)?;
                Numbers::Whole(whole(&days, sign)?)
            }
            _ => Numbers::Whole(whole(array, sign)?),
        };
        Ok(Key { numbers, is_number })
    }

    /// The first row of `within` whose number is at least (or, with `above`, greater than) that of `row` moved by `by`.
    fn find(&self, within: Range<usize>, row: usize, by: &Value, forth: bool, above: bool) -> usize {
        let start = within.start;
        start
            + match &self.numbers {
                Numbers::Whole(n) => {
                    let by = match by {
                        Value::Int(d) => i128::from(*d),
                        Value::UInt(d) => i128::from(*d),
                        _ => 0,
                    };
                    let goal = if forth { n[row].saturating_add(by) } else { n[row].saturating_sub(by) };
                    n[within].partition_point(|v| if above { *v <= goal } else { *v < goal })
                }
                Numbers::Float(n) => {
                    let by = by.as_f64().unwrap_or(0.0);
                    let goal = if forth { n[row] + by } else { n[row] - by };
                    n[within].partition_point(|v| if above { *v <= goal } else { *v < goal })
                }
            }
    }
}

fn whole(array: &ArrayRef, sign: i32) -> Result<Vec<i128>> {
    let values = cast(array, &DataType::Int64).map_err(arrow_error)?;
    let values = values.as_primitive_opt::<Int64Type>().ok_or_else(|| Error::bug("a RANGE key that is no number"))?;
    Ok(values.values().iter().map(|v| i128::from(*v) * i128::from(sign)).collect())
}

/// The frame of each row.
pub struct Frames {
    pub start: Vec<usize>,
    pub end: Vec<usize>,
}

impl Frames {
    /// `key`: the one column the rows are ordered by and whether it falls, for RANGE with offsets.
    pub fn new(frame: &Frame, sorted: &Sorted, key: Option<(&ArrayRef, bool)>) -> Result<Frames> {
        let rows = sorted.group.len();
        let mut frames = Frames { start: Vec::with_capacity(rows), end: Vec::with_capacity(rows) };
        let offset = |b: &FrameBound| matches!(b, FrameBound::Preceding(_) | FrameBound::Following(_));
        let ranged = frame.unit == FrameUnit::Range && (offset(&frame.start) || offset(&frame.end));
        let key = match key.filter(|_| ranged) {
            Some((array, descending)) => Some(Key::new(array, descending)?),
            None if ranged => return Err(Error::bug("a RANGE frame with an offset without a key")),
            None => None,
        };
        for part in sorted.partition_ranges() {
            let numbers = key.as_ref().map_or(part.clone(), |k| {
                let is = |r: &usize| k.is_number[*r];
                let first = part.clone().find(is).unwrap_or(part.end);
                first..part.clone().rev().find(is).map_or(first, |last| last + 1)
            });
            let of = Part { unit: frame.unit, rows: part.clone(), numbers, sorted, key: key.as_ref() };
            for row in part {
                let start = of.start(&frame.start, row);
                frames.start.push(start);
                frames.end.push(of.end(&frame.end, row).max(start));
            }
        }
        Ok(frames)
    }
}

/// One partition.
struct Part<'s> {
    unit: FrameUnit,
    rows: Range<usize>,
    /// The rows whose key is a number.
    numbers: Range<usize>,
    sorted: &'s Sorted,
    key: Option<&'s Key>,
}

impl Part<'_> {
    fn start(&self, bound: &FrameBound, row: usize) -> usize {
        let (forth, by) = match bound {
            FrameBound::UnboundedPreceding => return self.rows.start,
            FrameBound::UnboundedFollowing => return self.rows.end,
            FrameBound::CurrentRow if self.unit == FrameUnit::Rows => return row,
            FrameBound::CurrentRow => return self.sorted.peers(row).start,
            FrameBound::Preceding(by) => (false, by),
            FrameBound::Following(by) => (true, by),
        };
        match (self.unit, self.key) {
            (FrameUnit::Range, Some(key)) if key.is_number[row] => {
                key.find(self.numbers.clone(), row, by, forth, false)
            }
            (FrameUnit::Range, _) => self.sorted.peers(row).start,
            (FrameUnit::Rows, _) => self.row_at(row, by, forth),
            (FrameUnit::Groups, _) => self.group_at(row, by, forth).map_or_else(|edge| edge, |g| g.start),
        }
    }

    /// The row behind the last one.
    fn end(&self, bound: &FrameBound, row: usize) -> usize {
        let (forth, by) = match bound {
            FrameBound::UnboundedPreceding => return self.rows.start,
            FrameBound::UnboundedFollowing => return self.rows.end,
            FrameBound::CurrentRow if self.unit == FrameUnit::Rows => return row + 1,
            FrameBound::CurrentRow => return self.sorted.peers(row).end,
            FrameBound::Preceding(by) => (false, by),
            FrameBound::Following(by) => (true, by),
        };
        match (self.unit, self.key) {
            (FrameUnit::Range, Some(key)) if key.is_number[row] => key.find(self.numbers.clone(), row, by, forth, true),
            (FrameUnit::Range, _) => self.sorted.peers(row).end,
            (FrameUnit::Rows, _) => self.row_at(row + 1, by, forth),
            (FrameUnit::Groups, _) => self.group_at(row, by, forth).map_or_else(|edge| edge, |g| g.end),
        }
    }

    fn row_at(&self, row: usize, by: &Value, forth: bool) -> usize {
        let by = count(by);
        let at = if forth { row.saturating_add(by) } else { row.saturating_sub(by) };
        at.clamp(self.rows.start, self.rows.end)
    }

    /// The group so far away; `Err`: the edge of the partition it would lie behind.
    fn group_at(&self, row: usize, by: &Value, forth: bool) -> std::result::Result<Range<usize>, usize> {
        let (by, group) = (count(by), self.sorted.group[row] as usize);
        let first = self.sorted.group[self.rows.start] as usize;
        let last = self.sorted.group[self.rows.end - 1] as usize;
        let at = if forth { Some(group.saturating_add(by)) } else { group.checked_sub(by) };
        match at {
            Some(at) if at > last => Err(self.rows.end),
            Some(at) if at >= first => Ok(self.sorted.groups[at]..self.sorted.groups[at + 1]),
            _ => Err(self.rows.start),
        }
    }
}

fn count(by: &Value) -> usize {
    by.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX)
}
