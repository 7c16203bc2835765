//! `multi_fuzzy_match_…`: texts that hold a pattern but for a few edits.
//!
//! In: a text, how many insertions, deletions and replacements are let through, patterns. Out: whether, or which, patterns are in it.
//! Patterns are plain texts so far; one with operators of regular expressions answers NOT_IMPLEMENTED (48).

use super::search::needles;
use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{Texts, bools, number_lists, uint64s};
use crate::scalar::define::{Call, define};
use arrow::datatypes::UInt64Type;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;

/// Bytes that all patterns of a call may have together: each byte of a text costs as many steps.
const PATTERN_BYTES_MAX: usize = 1 << 16;

struct Patterns {
    texts: Vec<Vec<u8>>,
    edits: usize,
}

impl Patterns {
    fn of(call: &Call<'_>) -> Result<Patterns> {
        call.arity(3..=3)?;
        call.need_string(0)?;
        call.need(1, LogicalType::is_unsigned_integer)?;
        let edits = usize::try_from(call.constant_int(1)?).unwrap_or(usize::MAX);
        let texts = needles(call, 2)?.into_iter().map(|p| plain(&p)).collect::<Result<Vec<_>>>()?;
        let total: usize = texts.iter().map(Vec::len).sum();
        if total > PATTERN_BYTES_MAX {
            let text = format!("the patterns of \"{}\" have {total} bytes, at most {PATTERN_BYTES_MAX}", call.name);
            return Err(Error::new(Code::TOO_MANY_BYTES, text));
        }
        Ok(Patterns { texts, edits })
    }

    /// The numbers from 1 of the patterns that are in a text.
    fn found(&self, text: &[u8]) -> impl Iterator<Item = u64> {
        let hits: Vec<u64> =
            (1..).zip(&self.texts).filter(|(_, p)| occurs(p, text, self.edits)).map(|(n, _)| n).collect();
        hits.into_iter()
    }
}

/// A pattern as the text it stands for.
fn plain(pattern: &[u8]) -> Result<Vec<u8>> {
    let mut text = Vec::with_capacity(pattern.len());
    let mut bytes = pattern.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(next) if !next.is_ascii_alphanumeric() => text.push(*next),
                _ => return Err(Error::not_implemented("a regular expression in a fuzzy match")),
            },
            b if b".^$*+?()[]{}|".contains(b) => {
                return Err(Error::not_implemented("a regular expression in a fuzzy match"));
            }
            b => text.push(*b),
        }
    }
    Ok(text)
}

/// Whether some part of `text` is at most `edits` away from `pattern` (Sellers' algorithm).
fn occurs(pattern: &[u8], text: &[u8], edits: usize) -> bool {
    let mut column: Vec<usize> = (0..=pattern.len()).collect();
    if column[pattern.len()] <= edits {
        return true;
    }
    for byte in text {
        let mut diagonal = 0;
        for (i, own) in pattern.iter().enumerate() {
            let kept = diagonal + usize::from(own != byte);
            diagonal = column[i + 1];
            column[i + 1] = kept.min(column[i] + 1).min(diagonal + 1);
        }
        if column[pattern.len()] <= edits {
            return true;
        }
    }
    false
}

pub(super) fn register(registry: &mut Registry) {
    define(registry, "multi_fuzzy_match_any", |call| -> Result<BoundCall> {
        let patterns = Patterns::of(call)?;
        call.returns(LogicalType::Bool, move |args, rows| {
            let text = Texts::of(&args[0])?;
            Ok(bools(rows, |row| patterns.found(text.at(row)).next().is_some()))
        })
    });
    define(registry, "multi_fuzzy_match_any_index", |call| {
        let patterns = Patterns::of(call)?;
        call.returns(LogicalType::UInt64, move |args, rows| {
            let text = Texts::of(&args[0])?;
            Ok(uint64s(rows, |row| patterns.found(text.at(row)).next().unwrap_or(0)))
        })
    });
    define(registry, "multi_fuzzy_match_all_indices", |call| {
        let patterns = Patterns::of(call)?;
        call.returns(LogicalType::array(LogicalType::UInt64), move |args, rows| {
            let text = Texts::of(&args[0])?;
            number_lists::<UInt64Type>(&LogicalType::UInt64, rows, |row, out| {
                out.extend(patterns.found(text.at(row)));
                Ok(())
            })
        })
    });
}
