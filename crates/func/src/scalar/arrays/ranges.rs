//! `array_reduce_in_ranges('agg', ranges, array, …)`: an aggregate over each of several ranges of an array.
//!
//! States of pairs, of pairs of pairs and so on are worked out once; a range is then put together from about twice the logarithm
//! of the length of them, in order.

use super::Flat;
use crate::agg::{Aggregate, BoundAgg};
use crate::call::{ArgInfo, BoundCall, downcast};
use crate::registry::Registry;
use crate::scalar::column::{end_offset, list};
use crate::scalar::define::{Call, define_seeing_nulls};
use crate::scalar::number::to_vec;
use arrow::array::{Array, ArrayRef, BooleanArray, StructArray};
use arrow::buffer::NullBuffer;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use hydron_types::gather::join_columns;
use std::ops::Range;
use std::sync::Arc;

pub(super) fn register(registry: &mut Registry) {
    define_seeing_nulls(registry, "array_reduce_in_ranges", bind);
}

fn bind(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(3..=usize::MAX)?;
    let name = String::from_utf8_lossy(call.constant_text(0)?).into_owned();
    let LogicalType::Tuple(pair) = call.need_array(1)?.clone() else { return Err(call.illegal(1)) };
    if pair.len() != 2 || !pair.iter().all(|(_, t)| t.is_integer()) {
        return Err(call.illegal(1));
    }
    let elements = (2..call.args.len()).map(|i| call.need_array(i).cloned()).collect::<Result<Vec<_>>>()?;
    let found = Registry::builtin().aggregate(&name).ok_or_else(|| {
        Error::new(Code::UNKNOWN_AGGREGATE_FUNCTION, format!("unknown aggregate function \"{name}\""))
    })?;
    let skips_nulls = found.skips_nulls();
    let bare = |t: &LogicalType| if skips_nulls { t.bare().clone() } else { t.clone() };
    let infos: Vec<ArgInfo> = elements.iter().map(|t| ArgInfo::column(bare(t))).collect();
    let BoundAgg { ty, aggregate } = found.bind(call.cx, &infos, &[])?;
    let element = ty.clone();
    call.returns(LogicalType::array(ty), move |args, rows| {
        let ranges = Flat::of(&args[1..2], rows)?;
        let pairs: &StructArray = downcast(&ranges.columns[0])?;
        let (offsets, lengths) =
            (to_vec::<i64>(pairs.column(0), &pair[0].1)?, to_vec::<i64>(pairs.column(1), &pair[1].1)?);
        let flat = Flat::of(&args[2..], rows)?;
        let mut answers: Vec<ArrayRef> = Vec::new();
        let mut ends = vec![0];
        for row in 0..rows {
            let range = flat.range(row);
            let tree = Tree::of(&aggregate, &flat.columns, range.clone(), skips_nulls)?;
            let wanted = ranges.range(row).map(|i| places(offsets[i], lengths[i], range.len()));
            answers.push(tree.answers(&aggregate, wanted)?);
            ends.push(end_offset(ranges.ends[row + 1] as usize)?);
        }
        if answers.is_empty() {
            let empty = arrow::array::new_empty_array(&hydron_types::physical::arrow_type(&element));
            return Ok(list(&element, ends, empty));
        }
        let all = join_columns(&answers.iter().map(|a| a.as_ref() as &dyn Array).collect::<Vec<_>>())?;
        Ok(list(&element, ends, all))
    })
}

/// Places from 0 of `length` elements from `offset` on, which counts from 1, or from the end when negative.
fn places(offset: i64, length: i64, total: usize) -> Range<usize> {
    let total = total as i64;
    let first = if offset > 0 { offset - 1 } else { total.saturating_add(offset) };
    let end = first.saturating_add(length.max(0)).clamp(0, total);
    let first = first.clamp(0, end);
    first as usize..end as usize
}

/// The states of all runs of 1, 2, 4, … elements that begin at a multiple of their length.
struct Tree {
    levels: Vec<Vec<ArrayRef>>,
}

impl Tree {
    fn of(
        aggregate: &Arc<dyn Aggregate>,
        columns: &[ArrayRef],
        range: Range<usize>,
        skips_nulls: bool,
    ) -> Result<Tree> {
        let mut count = range.len();
        let own: Vec<ArrayRef> = columns.iter().map(|c| c.slice(range.start, count)).collect();
        let nulls = own.iter().fold(None, |n, c| NullBuffer::union(n.as_ref(), c.logical_nulls().as_ref()));
        let filter = nulls.filter(|_| skips_nulls).map(|n| BooleanArray::new(n.into_inner(), None));
        let own: Vec<ArrayRef> =
            own.iter().map(|c| if skips_nulls { crate::nulls::without_nulls(c) } else { c.clone() }).collect();
        let groups: Vec<u32> = (0..count as u32).collect();
        let mut state = aggregate.new_state();
        state.resize(count);
        state.update(&groups, &own, filter.as_ref())?;
        let mut levels = vec![state.save(&groups)?];
        while count > 1 {
            let below: Vec<u32> = (0..count as u32).map(|i| i / 2).collect();
            count = count.div_ceil(2);
            let mut state = aggregate.new_state();
            state.resize(count);
            state.merge(&below, &levels[levels.len() - 1])?;
            levels.push(state.save(&(0..count as u32).collect::<Vec<_>>())?);
        }
        Ok(Tree { levels })
    }

    fn answers(&self, aggregate: &Arc<dyn Aggregate>, ranges: impl Iterator<Item = Range<usize>>) -> Result<ArrayRef> {
        let mut state = aggregate.new_state();
        let mut count = 0;
        for range in ranges {
            count += 1;
            state.resize(count);
            for (level, node) in nodes(range) {
                let part: Vec<ArrayRef> = self.levels[level].iter().map(|c| c.slice(node, 1)).collect();
                state.merge(&[count as u32 - 1], &part)?;
            }
        }
        state.finish(&(0..count as u32).collect::<Vec<_>>())
    }
}

/// The runs that a range consists of, as level and number, from left to right.
fn nodes(range: Range<usize>) -> Vec<(usize, usize)> {
    let (mut left, mut right, mut level) = (range.start, range.end, 0);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    while left < right {
        if left % 2 == 1 {
            before.push((level, left));
            left += 1;
        }
        if right % 2 == 1 {
            right -= 1;
            after.push((level, right));
        }
        (left, right, level) = (left / 2, right / 2, level + 1);
    }
    before.extend(after.into_iter().rev());
    before
}

#[cfg(test)]
mod tests {
    use super::nodes;
    use crate::scalar::testing::{check, check_errors};

    #[test]
    fn ranges_are_made_of_runs() {
        for total in 1..40usize {
            for start in 0..total {
                for end in start..=total {
                    let mut at = start;
                    for (level, node) in nodes(start..end) {
                        assert_eq!(node << level, at);
                        at = ((node + 1) << level).min(end);
                    }
                    assert_eq!(at, end);
                }
            }
        }
    }

    #[test]
    fn ranges_reduce() {
        check(
            r"
            array_reduce_in_ranges | !string:max ; array(tuple(uint8, uint8)):[(1,5),(2,3),(3,4),(4,4)] ; array(uint32):[1000000,200000,30000,4000,500,60,7] | array(uint32):[1000000,200000,30000,4000]
            array_reduce_in_ranges | !string:sum ; array(tuple(int8, int8)):[(-2,9),(1,0),(9,1)] ; array(uint8):[1,2,3] | array(uint64):[5,0,0]
            array_reduce_in_ranges | !string:group_array ; array(tuple(uint8, uint8)):[(2,4)] ; array(uint8):[1,2,3,4,5,6] | array(array(uint8)):[[2,3,4,5]]
            array_reduce_in_ranges | !string:sum ; array(tuple(uint8, uint8)):[] ; array(uint8):[1] | array(uint64):[]
            ",
        );
        check_errors(
            r"
            array_reduce_in_ranges | string:nothing_such ; array(tuple(uint8, uint8)):[(1,1)] ; array(uint8):[1] | UNKNOWN_AGGREGATE_FUNCTION
            array_reduce_in_ranges | string:sum ; array(uint8):[1] ; array(uint8):[1] | ILLEGAL_TYPE_OF_ARGUMENT
            ",
        );
    }
}
