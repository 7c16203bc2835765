//! Where a string is in another, how often, and which of several.

use super::basic::utf8_length;
use crate::call::{BoundCall, Datum};
use crate::registry::Registry;
use crate::scalar::column::{Ints, Lists, Texts, bools, flags, number_lists, uint64s};
use crate::scalar::define::{Call, define};
use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::UInt64Type;
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value};
use memchr::memmem;
use std::borrow::Cow;
use std::sync::Arc;

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
    register_or_null(registry);
    register_subsequences(registry);
    registry.add_alias("locate", "position");
    registry.fold_case("position");
    registry.fold_case("locate");
    for (name, fold) in [("has_token", false), ("has_token_case_insensitive", true)] {
        define(registry, name, move |call| {
            call.arity(2..=2)?;
            call.need_string(0)?;
            let token = call.constant_text(1)?.to_vec();
            if !is_token(&token) {
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

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| !b.is_ascii() || b.is_ascii_alphanumeric())
}

/// `has_token_or_null`: NULL where the token is none.
fn register_or_null(registry: &mut Registry) {
    for (name, fold) in [("has_token_or_null", false), ("has_token_case_insensitive_or_null", true)] {
        define(registry, name, move |call| {
            call.arity(2..=2)?;
            call.need_string(0)?;
            let token = call.constant_text(1)?.to_vec();
            let known = is_token(&token);
            call.returns(LogicalType::nullable(LogicalType::Bool), move |args, rows| {
                let text = Texts::of(&args[0])?;
                let same = |t: &[u8]| if fold { t.eq_ignore_ascii_case(&token) } else { t == token };
                let found = (0..rows)
                    .map(|i| known.then(|| text.at(i).split(|b| b.is_ascii() && !b.is_ascii_alphanumeric()).any(same)));
                Ok(Arc::new(BooleanArray::from_iter(found)) as ArrayRef)
            })
        });
    }
}

/// Whether the signs of one text stand in another, in their order and with anything between them.
fn register_subsequences(registry: &mut Registry) {
    for manner in MANNERS {
        define(registry, &format!("has_subsequence{}", manner.suffix), move |call| {
            call.arity(2..=2)?;
            call.need_string(0)?;
            call.need_string(1)?;
            call.returns(LogicalType::UInt8, move |args, rows| {
                let (text, wanted) = (Texts::of(&args[0])?, Texts::of(&args[1])?);
                Ok(flags(rows, |row| {
                    let (text, wanted) = (manner.folded(text.at(row)), manner.folded(wanted.at(row)));
                    if !manner.utf8 {
                        let mut left = text.iter();
                        return wanted.iter().all(|w| left.any(|b| b == w));
                    }
                    let signs = |t: &[u8]| -> Vec<Vec<u8>> {
                        super::basic::utf8_starts(t).windows(2).map(|w| t[w[0]..w[1]].to_vec()).collect()
                    };
                    let (text, wanted) = (signs(&text), signs(&wanted));
                    let mut left = text.iter();
                    wanted.iter().all(|w| left.any(|s| s == w))
                }))
            })
        });
    }
}

fn position(call: &Call<'_>, manner: Manner) -> Result<BoundCall> {
    call.arity(2..=3)?;
    call.need_string(0)?;
    call.need_string(1)?;
    if call.args.len() == 3 {
        call.need(2, LogicalType::is_unsigned_integer)?;
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
        call.need(2, LogicalType::is_unsigned_integer)?;
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

/// Whether a type is that of [`each_list_of_text`].
pub(super) fn is_list_of_text(ty: &LogicalType) -> bool {
    matches!(ty, LogicalType::Array(t) if t.is_string_like())
}

/// Calls `f` with the texts of each row's array.
pub(super) fn each_list_of_text(
    lists: &Datum,
    rows: usize,
    mut f: impl FnMut(usize, Vec<Vec<u8>>) -> Result<()>,
) -> Result<()> {
    let lists = Lists::of(lists)?;
    let elements = Texts::of_array(&lists.values)?;
    (0..rows).try_for_each(|row| f(row, lists.range(row).map(|i| elements.at(i).to_vec()).collect()))
}

/// ClickHouse's limit on needles.
const NEEDLES_MAX: usize = 255;

type Finders = Vec<memmem::Finder<'static>>;

/// A function of a text and an array of needles.
fn multi<R, F, M>(registry: &mut Registry, name: &str, manner: Manner, ty: LogicalType, each: F, make: M)
where
    R: Clone,
    F: Fn(&Manner, &Finders, &[u8]) -> R + Copy + Send + Sync + 'static,
    M: Fn(Vec<R>) -> Result<ArrayRef> + Copy + Send + Sync + 'static,
{
    define(registry, &format!("{name}{}", manner.suffix), move |call| {
        call.arity(2..=2)?;
        call.need_string(0)?;
        let name = call.name.to_owned();
        let prepare = move |needles: &[Vec<u8>]| -> Result<Finders> {
            if needles.len() > NEEDLES_MAX {
                let text = format!("function \"{name}\" takes at most {NEEDLES_MAX} needles, given {}", needles.len());
                return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
            }
            Ok(needles.iter().map(|n| memmem::Finder::new(&*manner.folded(n)).into_owned()).collect())
        };
        if call.args[1].constant.is_some() {
            let finders = prepare(&needles(call, 1)?)?;
            return call.returns(ty.clone(), move |args, rows| {
                let text = Texts::of(&args[0])?;
                make((0..rows).map(|i| each(&manner, &finders, &manner.folded(text.at(i)))).collect())
            });
        }
        call.need(1, is_list_of_text)?;
        call.returns(ty.clone(), move |args, rows| {
            let text = Texts::of(&args[0])?;
            let mut results = Vec::with_capacity(rows);
            each_list_of_text(&args[1], rows, |row, needles| {
                results.push(each(&manner, &prepare(&needles)?, &manner.folded(text.at(row))));
                Ok(())
            })?;
            make(results)
        })
    });
}

fn register_multi(registry: &mut Registry, manner: Manner) {
    multi(
        registry,
        "multi_search_any",
        manner,
        LogicalType::Bool,
        |_, finders, text| finders.iter().any(|f| f.find(text).is_some()),
        |results: Vec<bool>| Ok(bools(results.len(), |i| results[i])),
    );
    let numbers = |results: Vec<u64>| -> Result<ArrayRef> { Ok(uint64s(results.len(), |i| results[i])) };
    multi(
        registry,
        "multi_search_first_index",
        manner,
        LogicalType::UInt64,
        |_, finders, text| finders.iter().position(|f| f.find(text).is_some()).map_or(0, |n| n as u64 + 1),
        numbers,
    );
    multi(
        registry,
        "multi_search_first_position",
        manner,
        LogicalType::UInt64,
        |manner, finders, text| {
            finders.iter().filter_map(|f| f.find(text)).min().map_or(0, |at| manner.position(text, at))
        },
        numbers,
    );
    multi(
        registry,
        "multi_search_all_positions",
        manner,
        LogicalType::array(LogicalType::UInt64),
        |manner, finders, text| -> Vec<u64> {
            finders.iter().map(|f| f.find(text).map_or(0, |at| manner.position(text, at))).collect()
        },
        |results| {
            number_lists::<UInt64Type>(&LogicalType::UInt64, results.len(), |i, out| {
                out.extend(&results[i]);
                Ok(())
            })
        },
    );
}
