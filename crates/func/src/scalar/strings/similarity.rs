//! `ngram_distance` and `ngram_search`: how much the runs of characters of two strings have in common.
//!
//! In: two strings. Out: the share of n-grams (of 4 bytes, or 3 characters) that only one of them has, or the share of the
//! needle's that the haystack has too. N-grams are counted by 16 bits of their CRC-32C, so rarely two different ones are taken
//! for one.

use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{Texts, numbers};
use crate::scalar::define::{Call, define};
use crate::scalar::hashing::crc32c;
use arrow::datatypes::Float32Type;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;

/// Longer strings count as having nothing in common; a longer constant needle is an error.
const TEXT_BYTES_MAX: usize = 1 << 15;
const COUNTERS: usize = 1 << 16;

#[derive(Clone, Copy)]
struct Manner {
    utf8: bool,
    fold: bool,
}

pub(super) fn register(registry: &mut Registry) {
    let manners = [
        ("", false, false),
        ("_case_insensitive", false, true),
        ("_utf8", true, false),
        ("_case_insensitive_utf8", true, true),
    ];
    for (suffix, utf8, fold) in manners {
        let manner = Manner { utf8, fold };
        define(registry, &format!("ngram_distance{suffix}"), move |call| compare(call, manner, true));
        define(registry, &format!("ngram_search{suffix}"), move |call| compare(call, manner, false));
    }
}

fn compare(call: &Call<'_>, manner: Manner, distance: bool) -> Result<BoundCall> {
    call.arity(2..=2)?;
    call.need_string(0)?;
    call.need_string(1)?;
    let too_long = call.known_text(1).filter(|needle| needle.len() > TEXT_BYTES_MAX);
    if let Some(needle) = too_long {
        let text = format!("the needle of \"{}\" has {} bytes, at most {TEXT_BYTES_MAX}", call.name, needle.len());
        return Err(Error::new(Code::TOO_LARGE_STRING_SIZE, text));
    }
    call.returns(LogicalType::Float32, move |args, rows| {
        let (haystack, needle) = (Texts::of(&args[0])?, Texts::of(&args[1])?);
        let mut counts = vec![0i32; COUNTERS];
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        Ok(numbers::<Float32Type>(rows, |row| {
            let (haystack, needle) = (haystack.at(row), needle.at(row));
            if haystack.len() > TEXT_BYTES_MAX || needle.len() > TEXT_BYTES_MAX {
                return if distance { 1.0 } else { 0.0 };
            }
            manner.grams(needle, &mut ours);
            manner.grams(haystack, &mut theirs);
            ours.iter().for_each(|g| counts[usize::from(*g)] += 1);
            let mut common = 0;
            for gram in &theirs {
                let count = &mut counts[usize::from(*gram)];
                common += usize::from(*count > 0);
                *count -= 1;
            }
            ours.iter().chain(&theirs).for_each(|g| counts[usize::from(*g)] = 0);
            let missing = ours.len() - common;
            if distance {
                (missing + theirs.len() - common) as f32 / (ours.len() + theirs.len()).max(1) as f32
            } else {
                1.0 - missing as f32 / ours.len().max(1) as f32
            }
        }))
    })
}

impl Manner {
    /// The hashes of all n-grams of a text.
    fn grams(self, text: &[u8], out: &mut Vec<u16>) {
        out.clear();
        if !self.utf8 {
            let byte = |b: u8| if self.fold { b.to_ascii_lowercase() } else { b };
            out.extend(text.windows(4).map(|w| {
                let four = u32::from_le_bytes([byte(w[0]), byte(w[1]), byte(w[2]), byte(w[3])]);
                crc32c(u32::MAX, &u64::from(four).to_le_bytes()) as u16
            }));
            return;
        }
        let characters: Vec<u32> = characters(text).map(|c| self.character(c)).collect();
        out.extend(characters.windows(3).map(|w| {
            let two = u64::from(w[0]) << 32 | u64::from(w[1]);
            crc32c(w[2], &two.to_le_bytes()) as u16
        }));
    }

    /// The bytes of a character as a number. Folding clears the bits in which upper and lower case of Latin, Greek and Cyrillic
    /// letters differ; other scripts are not folded.
    fn character(self, bytes: &[u8]) -> u32 {
        let mut word = [0; 4];
        word[..bytes.len()].copy_from_slice(bytes);
        if self.fold {
            word[..bytes.len()].iter_mut().for_each(|b| *b &= !0x20);
            if bytes.len() > 1 {
                word[0] &= !1;
            }
        }
        u32::from_le_bytes(word)
    }
}

/// The characters of a text by their first bytes; a cut one at the end is what is left of it.
pub(super) fn characters(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = match text.first()? {
            0..0xC0 => 1,
            0xC0..0xE0 => 2,
            0xE0..0xF0 => 3,
            _ => 4,
        };
        let (first, rest) = text.split_at(length.min(text.len()));
        text = rest;
        Some(first)
    })
}
