//! Replacing substrings, matches and characters.

use super::patterns;
use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{Texts, texts};
use crate::scalar::define::{Call, define};
use hydron_base::{Error, Result};
use hydron_types::LogicalType;
use memchr::memmem;
use std::collections::HashMap;

pub(super) fn register(registry: &mut Registry) {
    for (name, all) in [("replace_one", false), ("replace_all", true)] {
        define(registry, name, move |call| {
            call.arity(3..=3)?;
            (0..3).try_for_each(|i| call.need_string(i))?;
            call.returns(LogicalType::String, move |args, rows| {
                let (text, from, to) = (Texts::of(&args[0])?, Texts::of(&args[1])?, Texts::of(&args[2])?);
                texts(rows, |row, out| replace(text.at(row), from.at(row), to.at(row), all, out))
            })
        });
    }
    for (name, all) in [("replace_regexp_one", false), ("replace_regexp_all", true)] {
        define(registry, name, move |call| patterns::replace(call, all));
    }
    registry.add_alias("replace", "replace_all");
    registry.add_alias("replace_regex", "replace_regexp_all");
    registry.add_alias("replace_regexp", "replace_regexp_all");
    registry.fold_case("replace");
    define(registry, "translate", |call| translate(call, false));
    define(registry, "translate_utf8", |call| translate(call, true));
}

fn replace(text: &[u8], from: &[u8], to: &[u8], all: bool, out: &mut Vec<u8>) {
    if from.is_empty() {
        out.extend_from_slice(text);
        return;
    }
    let mut copied = 0;
    for at in memmem::find_iter(text, from).take(if all { usize::MAX } else { 1 }) {
        out.extend_from_slice(&text[copied..at]);
        out.extend_from_slice(to);
        copied = at + from.len();
    }
    out.extend_from_slice(&text[copied..]);
}

/// Each character of `from` becomes the one at its place in `to`.
fn translate(call: &Call<'_>, utf8: bool) -> Result<BoundCall> {
    call.arity(3..=3)?;
    let chars = |text: &[u8]| -> Vec<char> {
        if utf8 {
            String::from_utf8_lossy(text).chars().collect()
        } else {
            text.iter().map(|b| char::from(*b)).collect()
        }
    };
    let (from, to) = (chars(call.constant_text(1)?), chars(call.constant_text(2)?));
    if from.len() != to.len() {
        return Err(Error::bad_arguments(format!(
            "the second and third arguments of \"{}\" must have one length, given {} and {}",
            call.name,
            from.len(),
            to.len()
        )));
    }
    let mut table = HashMap::new();
    for (a, b) in from.into_iter().zip(to) {
        table.insert(a, b);
    }
    super::basic::map_text(call, move |text, out| {
        if utf8 {
            let changed: String = String::from_utf8_lossy(text).chars().map(|c| *table.get(&c).unwrap_or(&c)).collect();
            out.extend_from_slice(changed.as_bytes());
        } else {
            out.extend(text.iter().map(|b| table.get(&char::from(*b)).map_or(*b, |c| *c as u8)));
        }
    })
}
