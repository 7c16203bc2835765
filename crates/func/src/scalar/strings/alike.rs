//! How far two texts are from each other, by edits, by places and by the signs they have.
//!
//! In: two strings. Out: a count, or a share from 0 to 1. Promise: texts whose table of edits would pass a limit are refused.

use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{Texts, float64s, uint64s};
use crate::scalar::define::{Call, define};
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use std::collections::HashSet;

/// Characters of either text that an edit distance is worked out for: the work grows with their product.
const EDIT_CHARS_MAX: usize = 1 << 16;

pub(super) fn register(registry: &mut Registry) {
    define(registry, "byte_hamming_distance", |call| {
        counted(call, |a, b| {
            if a.len() != b.len() {
                return Err(Error::bad_arguments(format!(
                    "the texts must have one length, given {} and {} bytes",
                    a.len(),
                    b.len()
                )));
            }
            Ok(a.iter().zip(b).filter(|(x, y)| x != y).count())
        })
    });
    registry.add_alias("mismatches", "byte_hamming_distance");
    define(registry, "edit_distance", |call| counted(call, edits));
    define(registry, "edit_distance_utf8", |call| counted(call, |a, b| edits(&chars(a)?, &chars(b)?)));
    define(registry, "damerau_levenshtein_distance", |call| counted(call, swaps_and_edits));
    registry.add_alias("levenshtein_distance", "edit_distance");
    registry.add_alias("levenshtein_distance_utf8", "edit_distance_utf8");
    define(registry, "jaro_similarity", |call| shared(call, |a, b| Ok(jaro(a, b))));
    define(registry, "jaro_winkler_similarity", |call| shared(call, |a, b| Ok(jaro_winkler(a, b))));
    define(registry, "string_jaccard_index", |call| shared(call, jaccard::<u8>));
    define(registry, "string_jaccard_index_utf8", |call| shared(call, |a, b| jaccard(&chars(a)?, &chars(b)?)));
}

/// Errors: BAD_ARGUMENTS (36) for a text that is no UTF-8.
fn chars(text: &[u8]) -> Result<Vec<char>> {
    let text = std::str::from_utf8(text).map_err(|_| Error::bad_arguments("a text is not UTF-8"))?;
    Ok(text.chars().collect())
}

fn values<T>(
    call: &Call<'_>,
    f: fn(&[u8], &[u8]) -> Result<T>,
    ty: LogicalType,
    make: fn(Vec<T>) -> arrow::array::ArrayRef,
) -> Result<BoundCall>
where
    T: Send + Sync + 'static,
{
    call.arity(2..=2)?;
    call.need_string(0)?;
    call.need_string(1)?;
    call.returns(ty, move |args, rows| {
        let (a, b) = (Texts::of(&args[0])?, Texts::of(&args[1])?);
        Ok(make((0..rows).map(|row| f(a.at(row), b.at(row))).collect::<Result<Vec<T>>>()?))
    })
}

fn counted(call: &Call<'_>, f: fn(&[u8], &[u8]) -> Result<usize>) -> Result<BoundCall> {
    values(call, f, LogicalType::UInt64, |counts| uint64s(counts.len(), |i| counts[i] as u64))
}

fn shared(call: &Call<'_>, f: fn(&[u8], &[u8]) -> Result<f64>) -> Result<BoundCall> {
    values(call, f, LogicalType::Float64, |shares| float64s(shares.len(), |i| shares[i]))
}

fn check_length(a: usize, b: usize) -> Result<()> {
    if a.max(b) <= EDIT_CHARS_MAX {
        return Ok(());
    }
    let text = format!("texts of {a} and {b} characters are too long to compare by edits, at most {EDIT_CHARS_MAX}");
    Err(Error::new(Code::TOO_LARGE_STRING_SIZE, text))
}

/// Insertions, deletions and replacements (Levenshtein).
fn edits<T: PartialEq>(a: &[T], b: &[T]) -> Result<usize> {
    check_length(a.len(), b.len())?;
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let kept = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = kept.min(row[j] + 1).min(diagonal + 1);
        }
    }
    Ok(row[b.len()])
}

/// The same, and neighbours that change places count once (optimal string alignment).
fn swaps_and_edits(a: &[u8], b: &[u8]) -> Result<usize> {
    check_length(a.len(), b.len())?;
    let mut rows = [vec![0; b.len() + 1], vec![0; b.len() + 1], (0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        rows.rotate_left(1);
        rows[2][0] = i;
        for j in 1..=b.len() {
            let kept = rows[1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = kept.min(rows[1][j] + 1).min(rows[2][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[0][j - 2] + 1);
            }
            rows[2][j] = least;
        }
    }
    Ok(rows[2][b.len()])
}

fn jaro(a: &[u8], b: &[u8]) -> f64 {
    if a.is_empty() && b.is_empty() {
        return 1.0;
    }
    let reach = (a.len().max(b.len()) / 2).saturating_sub(1);
    let mut taken = vec![false; b.len()];
    let mut matched = Vec::new();
    for (i, x) in a.iter().enumerate() {
        let near = i.saturating_sub(reach)..(i + reach + 1).min(b.len());
        if let Some(j) = near.into_iter().find(|j| !taken[*j] && b[*j] == *x) {
            taken[j] = true;
            matched.push(*x);
        }
    }
    if matched.is_empty() {
        return 0.0;
    }
    let other = b.iter().zip(&taken).filter(|(_, t)| **t).map(|(y, _)| *y);
    let swapped = matched.iter().zip(other).filter(|(x, y)| **x != *y).count() / 2;
    let m = matched.len() as f64;
    (m / a.len() as f64 + m / b.len() as f64 + (m - swapped as f64) / m) / 3.0
}

/// Texts alike by more than this are more alike for each byte that they begin with in common.
const WINKLER_LEAST: f64 = 0.7;

fn jaro_winkler(a: &[u8], b: &[u8]) -> f64 {
    let plain = jaro(a, b);
    if plain <= WINKLER_LEAST {
        return plain;
    }
    let common = a.iter().zip(b).take(4).take_while(|(x, y)| x == y).count();
    plain + 0.1 * common as f64 * (1.0 - plain)
}

/// The share that both texts have of the signs that one of them has.
fn jaccard<T: Copy + Eq + std::hash::Hash>(a: &[T], b: &[T]) -> Result<f64> {
    let signs = |text: &[T]| -> HashSet<T> { text.iter().copied().collect() };
    let (a, b) = (signs(a), signs(b));
    let both = a.intersection(&b).count();
    Ok(both as f64 / (a.len() + b.len() - both) as f64)
}
