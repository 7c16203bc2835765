//! Where a string is in another, how often, and which of several.

use super::basic::utf8_length;
use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{Ints, Texts, bools, number_lists, uint64s};
use crate::scalar::define::{Call, define};
use arrow::datatypes::UInt64Type;
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value};
use memchr::memmem;
use std::borrow::Cow;

/// How bytes are compared and counted.
#[derive(Clone, Copy)]
struct Manner {
    suffix: &'static str,
    fold: bool,
    utf8: bool,
}

const MANNERS: [Manner; 4] = [
    Manner { suffix: "", fold: false, utf8: false },
    Manner { suffix: "_case_insensitive", fold: true, utf8: false },
    Manner { suffix: "_utf8", fold: false, utf8: true },
    Manner { suffix: "_case_insensitive_utf8", fold: true, utf8: true },
];

impl Manner {
    /// The text in which case no longer matters, if it does not.
    fn folded<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        match (self.fold, self.utf8) {
            (false, _) => Cow::Borrowed(text),
            (true, false) => Cow::Owned(text.to_ascii_lowercase()),
            (true, true) => Cow::Owned(fold_utf8(text)),
        }
    }

    /// A byte offset in `text` as a position from 1.
    fn position(&self, text: &[u8], offset: usize) -> u64 {
        1 + if self.utf8 { utf8_length(&text[..offset]) as u64 } else { offset as u64 }
    }
}

/// Lower case, character by character where that keeps the character count.
fn fold_utf8(text: &[u8]) -> Vec<u8> {
    let mut folded = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            let mut lower = c.to_lowercase();
            let c = if lower.len() == 1 { lower.next().unwrap_or(c) } else { c };
            folded.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        folded.extend_from_slice(chunk.invalid());
    }
    folded
}

pub(super) fn register(registry: &mut Registry) {
    for manner in MANNERS {
        define(registry, &format!("position{}", manner.suffix), move |call| position(call, manner));
        define(registry, &format!("count_substrings{}", manner.suffix), move |call| count(call, manner));
        register_multi(registry, manner);
    }
    registry.add_alias("locate", "position");
    registry.fold_case("position");
    registry.fold_case("locate");
    for (name, fold) in [("has_token", false), ("has_token_case_insensitive", true)] {
        define(registry, name, move |call| {
            call.arity(2..=2)?;
            call.need_string(0)?;
            let token = call.constant_text(1)?.to_vec();
            if token.is_empty() || token.iter().any(|b| b.is_ascii() && !b.is_ascii_alphanumeric()) {
                return Err(Error::bad_arguments("a token has no separators in it and is not empty"));
            }
            call.returns(LogicalType::Bool, move |args, rows| {
                let text = Texts::of(&args[0])?;
                let same = |t: &[u8]| if fold { t.eq_ignore_ascii_case(&token) } else { t == token };
                Ok(bools(rows, |i| text.at(i).split(|b| b.is_ascii() && !b.is_ascii_alphanumeric()).any(same)))
            })
        });
    }
}

fn position(call: &Call<'_>, manner: Manner) -> Result<BoundCall> {
    call.arity(2..=3)?;
    call.need_string(0)?;
    call.need_string(1)?;
    if call.args.len() == 3 {
        call.need_integer(2)?;
    }
    let start_type = call.args.get(2).map(|a| a.ty.clone());
    // A needle that is the same for all rows is prepared once.
    let prepared = call.known_text(1).map(|n| memmem::Finder::new(&*manner.folded(n)).into_owned());
    call.returns(LogicalType::UInt64, move |args, rows| {
        let (text, needle) = (Texts::of(&args[0])?, Texts::of(&args[1])?);
        let start = args.get(2).zip(start_type.as_ref()).map(|(a, t)| Ints::of(a, t)).transpose()?;
        Ok(uint64s(rows, |row| {
            let text = manner.folded(text.at(row));
            let from = start.as_ref().map_or(0, |s| (s.at(row).max(1) - 1) as usize);
            let from = if manner.utf8 { byte_of_char(&text, from) } else { Some(from).filter(|f| *f <= text.len()) };
            let Some(from) = from else { return 0 };
            let found = match &prepared {
                Some(finder) => finder.find(&text[from..]),
                None => memmem::find(&text[from..], &manner.folded(needle.at(row))),
            };
            found.map_or(0, |at| manner.position(&text, from + at))
        }))
    })
}

fn byte_of_char(text: &[u8], index: usize) -> Option<usize> {
    super::basic::utf8_starts(text).get(index).copied().or((index == 0).then_some(0))
}

fn count(call: &Call<'_>, manner: Manner) -> Result<BoundCall> {
    call.arity(2..=3)?;
    call.need_string(0)?;
    call.need_string(1)?;
    if call.args.len() == 3 {
        call.need_integer(2)?;
    }
    let start_type = call.args.get(2).map(|a| a.ty.clone());
    call.returns(LogicalType::UInt64, move |args, rows| {
        let (text, needle) = (Texts::of(&args[0])?, Texts::of(&args[1])?);
        let start = args.get(2).zip(start_type.as_ref()).map(|(a, t)| Ints::of(a, t)).transpose()?;
        Ok(uint64s(rows, |row| {
            let (text, needle) = (manner.folded(text.at(row)), manner.folded(needle.at(row)));
            let from = start.as_ref().map_or(0, |s| (s.at(row).max(1) - 1) as usize);
            let from = if manner.utf8 { byte_of_char(&text, from) } else { Some(from).filter(|f| *f <= text.len()) };
            match from {
                Some(from) if !needle.is_empty() => memmem::find_iter(&text[from..], &*needle).count() as u64,
                _ => 0,
            }
        }))
    })
}

/// The constant array of needles or patterns at `position`.
pub(super) fn needles(call: &Call<'_>, position: usize) -> Result<Vec<Vec<u8>>> {
    match (call.ty(position), call.constant(position)?) {
        (LogicalType::Array(t), Value::Array(values)) if t.is_string_like() || values.is_empty() => {
            Ok(values.iter().filter_map(|v| v.as_bytes().map(<[u8]>::to_vec)).collect())
        }
        _ => Err(call.illegal(position)),
    }
}

/// ClickHouse's limit on needles.
const NEEDLES_MAX: usize = 255;

fn register_multi(registry: &mut Registry, manner: Manner) {
    let prepare = move |call: &Call<'_>| -> Result<Vec<memmem::Finder<'static>>> {
        call.arity(2..=2)?;
        call.need_string(0)?;
        let needles = needles(call, 1)?;
        if needles.len() > NEEDLES_MAX {
            let text =
                format!("function \"{}\" takes at most {NEEDLES_MAX} needles, given {}", call.name, needles.len());
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
        }
        Ok(needles.iter().map(|n| memmem::Finder::new(&*manner.folded(n)).into_owned()).collect())
    };
    define(registry, &format!("multi_search_any{}", manner.suffix), move |call| {
        let finders = prepare(call)?;
        call.returns(LogicalType::Bool, move |args, rows| {
            let text = Texts::of(&args[0])?;
            Ok(bools(rows, |i| {
                let text = manner.folded(text.at(i));
                finders.iter().any(|f| f.find(&text).is_some())
            }))
        })
    });
    define(registry, &format!("multi_search_first_index{}", manner.suffix), move |call| {
        let finders = prepare(call)?;
        call.returns(LogicalType::UInt64, move |args, rows| {
            let text = Texts::of(&args[0])?;
            Ok(uint64s(rows, |i| {
                let text = manner.folded(text.at(i));
                finders.iter().position(|f| f.find(&text).is_some()).map_or(0, |n| n as u64 + 1)
            }))
        })
    });
    define(registry, &format!("multi_search_first_position{}", manner.suffix), move |call| {
        let finders = prepare(call)?;
        call.returns(LogicalType::UInt64, move |args, rows| {
            let text = Texts::of(&args[0])?;
            Ok(uint64s(rows, |i| {
                let text = manner.folded(text.at(i));
                let first = finders.iter().filter_map(|f| f.find(&text)).min();
                first.map_or(0, |at| manner.position(&text, at))
            }))
        })
    });
    define(registry, &format!("multi_search_all_positions{}", manner.suffix), move |call| {
        let finders = prepare(call)?;
        call.returns(LogicalType::array(LogicalType::UInt64), move |args, rows| {
            let text = Texts::of(&args[0])?;
            number_lists::<UInt64Type>(&LogicalType::UInt64, rows, |i, out| {
                let text = manner.folded(text.at(i));
                out.extend(finders.iter().map(|f| f.find(&text).map_or(0, |at| manner.position(&text, at))));
                Ok(())
            })
        })
    });
}
