//! Strings: bytes, and UTF-8 where a name says so.
//!
//! In reading order: [`basic`] (length, case, parts, padding), [`search`] (positions and counts), [`patterns`] (LIKE and regular
//! expressions), [`replace`], [`split`], [`encode`] (hex, base64, URL and XML escapes), [`readable`] (numbers for people),
//! [`grok`] (patterns with names), [`similarity`] and [`shingles`] (how alike texts are),
//! [`pairs`] (keys and values in text), [`html`], [`query`] (the shape of a query), [`fuzzy`] (matches
//! but for a few edits), [`unicode`], [`alike`] (edits between texts), [`words`] (words and their sound),
//! [`bases`] (base 32 and its like), [`charset`] (conversion between character sets).

mod alike;
mod bases;
mod basic;
mod charset;
mod encode;
mod fuzzy;
mod grok;
mod html;
mod pairs;
mod patterns;
mod query;
mod readable;
mod replace;
mod search;
mod shingles;
mod similarity;
mod split;
#[cfg(test)]
mod tests;
mod unicode;
mod words;

use crate::registry::Registry;
use std::ops::Range;

pub(crate) use patterns::like_matcher;

pub fn register(registry: &mut Registry) {
    basic::register(registry);
    search::register(registry);
    patterns::register(registry);
    replace::register(registry);
    split::register(registry);
    encode::register(registry);
    readable::register(registry);
    grok::register(registry);
    similarity::register(registry);
    html::register(registry);
    pairs::register(registry);
    query::register(registry);
    fuzzy::register(registry);
    unicode::register(registry);
    shingles::register(registry);
    alike::register(registry);
    words::register(registry);
    bases::register(registry);
    charset::register(registry);
}

/// Places `0 .. total` that `substring(offset, length)` means: `offset` counts from 1, or from the end when negative; a
/// negative length stops that far before the end.
pub(crate) fn slice_range(total: i64, offset: i64, length: Option<i64>) -> Range<i64> {
    if offset == 0 {
        return 0..0;
    }
    let raw = if offset > 0 { offset - 1 } else { total.saturating_add(offset) };
    let end = match length {
        None => total,
        Some(n) if n >= 0 => raw.saturating_add(n),
        Some(n) => total.saturating_add(n),
    };
    let start = raw.clamp(0, total);
    start..end.clamp(start, total)
}
