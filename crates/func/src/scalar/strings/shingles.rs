//! Hashes under which similar texts are alike: SimHash and MinHash over n-grams or over runs of words.
//!
//! In: a string, how many characters or words make a shingle, how many hashes a MinHash keeps. Out: 64 bits of a SimHash; two
//! hashes of the smallest and the largest shingles of a MinHash; or, for the `_arg` forms, these shingles.

use super::similarity::characters;
use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{Texts, texts, tuple, uint64s};
use crate::scalar::define::{Call, define};
use crate::scalar::hashing::{combine_city, crc32c};
use arrow::array::ArrayRef;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

const SHINGLE_MAX: i64 = 25;
const HASHES_MAX: i64 = 25;
/// Shorter words say little about a text.
const WORD_BYTES_MIN: usize = 4;

#[derive(Clone, Copy)]
enum Unit {
    Byte,
    Character,
    Word,
}

#[derive(Clone, Copy)]
struct Manner {
    unit: Unit,
    fold: bool,
    size: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Sim,
    Min,
    MinShingles,
}

pub(super) fn register(registry: &mut Registry) {
    let forms = [("sim_hash", Answer::Sim), ("min_hash", Answer::Min), ("min_hash_arg", Answer::MinShingles)];
    let suffixes = [
        ("", false, false),
        ("_case_insensitive", false, true),
        ("_utf8", true, false),
        ("_case_insensitive_utf8", true, true),
    ];
    for (form, answer) in forms {
        for (suffix, utf8, fold) in suffixes {
            let unit = if utf8 { Unit::Character } else { Unit::Byte };
            define(registry, &format!("ngram_{form}{suffix}"), move |call| bind(call, unit, fold, answer));
            define(registry, &format!("word_shingle_{form}{suffix}"), move |call| bind(call, Unit::Word, fold, answer));
        }
    }
}

fn bind(call: &Call<'_>, unit: Unit, fold: bool, answer: Answer) -> Result<BoundCall> {
    call.arity(1..=if answer == Answer::Sim { 2 } else { 3 })?;
    call.need(0, |t| *t == LogicalType::String)?;
    let number = |position: usize, default: i64, most: i64| {
        if call.args.len() <= position {
            return Ok(default as usize);
        }
        call.need(position, LogicalType::is_unsigned_integer)?;
        let n = call.constant_int(position)?;
        if (1..=most).contains(&n) {
            return Ok(n as usize);
        }
        let text = format!("argument {} of \"{}\" must be within 1 and {most}, given {n}", position + 1, call.name);
        Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, text))
    };
    let manner = Manner { unit, fold, size: number(1, 3, SHINGLE_MAX)? };
    let keep = number(2, 6, HASHES_MAX)?;
    let pair = |element: LogicalType| LogicalType::tuple([element.clone(), element]);
    match answer {
        Answer::Sim => call.returns(LogicalType::UInt64, move |args, rows| {
            let text = Texts::of(&args[0])?;
            Ok(uint64s(rows, |row| manner.sim(text.at(row))))
        }),
        Answer::Min => {
            let ty = pair(LogicalType::UInt64);
            call.returns(ty.clone(), move |args, rows| {
                let text = Texts::of(&args[0])?;
                let hashes: Vec<(u64, u64)> = (0..rows)
                    .map(|row| {
                        let (least, most) = manner.extremes(text.at(row), keep);
                        (sum(least.keys().rev()), sum(most.keys()))
                    })
                    .collect();
                tuple(&ty, vec![uint64s(rows, |i| hashes[i].0), uint64s(rows, |i| hashes[i].1)], rows)
            })
        }
        Answer::MinShingles => {
            let strings = LogicalType::tuple(vec![LogicalType::String; keep]);
            let ty = pair(strings.clone());
            call.returns(ty.clone(), move |args, rows| {
                let text = Texts::of(&args[0])?;
                let extremes: Vec<_> = (0..rows).map(|row| manner.extremes(text.at(row), keep)).collect();
                let side = |most: bool| -> Result<ArrayRef> {
                    let column = |n: usize| {
                        texts(rows, |row, out| {
                            let (least, greatest) = &extremes[row];
                            let place = if most { greatest.values().nth(n) } else { least.values().rev().nth(n) };
                            out.extend_from_slice(place.map_or(&[], |p| &text.at(row)[p.clone()]));
                        })
                    };
                    tuple(&strings, (0..keep).map(column).collect::<Result<_>>()?, rows)
                };
                tuple(&ty, vec![side(false)?, side(true)?], rows)
            })
        }
    }
}

type Kept = BTreeMap<u64, Range<usize>>;

fn sum<'a>(hashes: impl Iterator<Item = &'a u64>) -> u64 {
    hashes.fold(0, |sum, hash| combine_city(sum, *hash))
}

impl Manner {
    fn sim(self, text: &[u8]) -> u64 {
        let mut weights = [0i64; 64];
        let mut single = None;
        self.shingles(text, &mut |hash, _, whole| {
            if whole {
                single = Some(hash);
            }
            weights.iter_mut().enumerate().for_each(|(bit, w)| *w += if hash >> bit & 1 == 1 { 1 } else { -1 });
        });
        single.unwrap_or_else(|| (0..64).filter(|bit| weights[*bit] > 0).fold(0, |hash, bit| hash | 1 << bit))
    }

    /// The shingles with the least and the greatest hashes.
    fn extremes(self, text: &[u8], keep: usize) -> (Kept, Kept) {
        let (mut least, mut greatest) = (Kept::new(), Kept::new());
        self.shingles(text, &mut |hash, place, _| {
            least.entry(hash).or_insert_with(|| place.clone());
            if least.len() > keep {
                least.pop_last();
            }
            greatest.entry(hash).or_insert(place);
            if greatest.len() > keep {
                greatest.pop_first();
            }
        });
        (least, greatest)
    }

    /// Calls `each` with the hash and the place of each shingle; the flag says that the text is too short for one and was hashed
    /// as a whole.
    fn shingles(self, text: &[u8], each: &mut dyn FnMut(u64, Range<usize>, bool)) {
        let whole = |each: &mut dyn FnMut(u64, Range<usize>, bool)| {
            each(u64::from(self.hash(u32::MAX, text)), 0..text.len(), true);
        };
        match self.unit {
            Unit::Byte if text.len() < self.size => whole(each),
            Unit::Byte => {
                for start in 0..=text.len() - self.size {
                    let place = start..start + self.size;
                    each(u64::from(self.hash(u32::MAX, &text[place.clone()])), place, false);
                }
            }
            Unit::Character => {
                let mut ends = vec![0];
                characters(text).for_each(|c| ends.push(ends[ends.len() - 1] + c.len()));
                if ends.len() <= self.size {
                    return whole(each);
                }
                // As in ClickHouse, whose hashes these are, the shingle at the very start is not among them.
                for window in ends[1..].windows(self.size + 1) {
                    let place = window[0]..window[self.size];
                    each(u64::from(self.hash(u32::MAX, &text[place.clone()])), place, false);
                }
            }
            Unit::Word => self.words(text, each),
        }
    }

    fn words(self, text: &[u8], each: &mut dyn FnMut(u64, Range<usize>, bool)) {
        let mut shingle: VecDeque<Range<usize>> = VecDeque::with_capacity(self.size + 1);
        let mut emit = |shingle: &VecDeque<Range<usize>>| {
            let hash = shingle.iter().fold(u32::MAX, |crc, word| self.hash(crc, &text[word.clone()]));
            if let (Some(first), Some(last)) = (shingle.front(), shingle.back()) {
                each(u64::from(hash), first.start..last.end, false);
            }
        };
        let mut full = false;
        for word in words(text) {
            shingle.push_back(word);
            if shingle.len() > self.size {
                shingle.pop_front();
            }
            full = shingle.len() == self.size;
            if full {
                emit(&shingle);
            }
        }
        // Fewer words than a shingle has are one shingle.
        if !full {
            emit(&shingle);
        }
    }

    /// CRC-32C over the bytes; folding is a bit set in each of them.
    fn hash(self, crc: u32, bytes: &[u8]) -> u32 {
        if !self.fold {
            return crc32c(crc, bytes);
        }
        bytes.iter().fold(crc, |crc, b| crc32c(crc, &[b | 0x20]))
    }
}

/// The places of words: runs of letters, digits and bytes beyond ASCII.
fn words(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let belongs = |b: &u8| b.is_ascii_alphanumeric() || !b.is_ascii();
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].iter().position(belongs)?;
        at = start + text[start..].iter().position(|b| !belongs(b)).unwrap_or(text.len() - start);
        Some(start..at)
    })
    .filter(|word| word.len() >= WORD_BYTES_MIN)
}
