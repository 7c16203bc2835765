//! LIKE and regular expressions over bytes: tests, extraction and counts.
//!
//! A pattern that is constant is compiled when the call is bound; one that varies is compiled once for each run of equal
//! patterns.

use super::search::{each_list_of_text, is_list_of_text, needles};
use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{Ints, Texts, bools, list, number_lists, text_lists, texts, try_texts, uint64s};
use crate::scalar::define::{Call, define};
use arrow::array::ArrayRef;
use arrow::datatypes::UInt64Type;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use memchr::memmem;
use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use std::cell::RefCell;

/// Bytes that one compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 16 << 20;

/// How a pattern is read.
#[derive(Clone, Copy, Default)]
pub(crate) struct Flags {
    pub fold_case: bool,
    /// `.` takes a line feed too.
    pub dot_all: bool,
}

/// Errors: CANNOT_COMPILE_REGEXP (427).
pub(crate) fn compile(pattern: &[u8], flags: Flags) -> Result<Regex> {
    let text = pattern_text(pattern)?;
    RegexBuilder::new(&text)
        .case_insensitive(flags.fold_case)
        .dot_matches_new_line(flags.dot_all)
        .size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|e| {
            Error::new(Code::CANNOT_COMPILE_REGEXP, format!("the regular expression \"{text}\" is wrong: {e}"))
        })
}

/// The pattern as text that the engine reads as RE2 would.
fn pattern_text(pattern: &[u8]) -> Result<String> {
    if let Ok(text) = std::str::from_utf8(pattern) {
        return Ok(as_re2_reads(text));
    }
    // Bytes that are no text are named by number, outside Unicode mode.
    let mut text = String::from("(?-u)");
    for chunk in pattern.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|b| text.push_str(&format!("\\x{b:02X}")));
    }
    Ok(as_re2_reads(&text))
}

/// RE2 takes a brace that counts nothing, and an opening bracket inside a class, for themselves; our engine does not.
fn as_re2_reads(pattern: &str) -> String {
    if !pattern.contains(['{', '[']) {
        return pattern.to_owned();
    }
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut class = false;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match c {
            '\\' => {
                taken += rest[1..].chars().next().map_or(0, char::len_utf8);
                // The braces of `\p{…}` and `\x{…}` belong to the escape.
                if matches!(rest.as_bytes().get(1), Some(b'p' | b'P' | b'x')) && rest.as_bytes().get(2) == Some(&b'{') {
                    taken = rest.find('}').map_or(taken, |end| end + 1);
                }
                out.push_str(&rest[..taken]);
            }
            '[' if class && rest[1..].starts_with(':') => {
                taken = rest.find(":]").map_or(1, |end| end + 2);
                out.push_str(&rest[..taken]);
            }
            '[' if class => out.push_str("\\["),
            '[' => {
                class = true;
                // A closing bracket that comes first is a member.
                for first in ["[^]", "[]", "[^", "["] {
                    if rest.starts_with(first) {
                        taken = first.len();
                        out.push_str(&first.replace(']', "\\]"));
                        break;
                    }
                }
            }
            ']' => {
                class = false;
                out.push(']');
            }
            '{' if !class && !counts(rest) => out.push_str("\\{"),
            c => out.push(c),
        }
        rest = &rest[taken..];
    }
    out
}

/// Whether `text` starts with `{n}`, `{n,}` or `{n,m}`.
fn counts(text: &str) -> bool {
    let Some(inner) = text[1..].split_once('}').map(|(inner, _)| inner) else { return false };
    let (low, high) = inner.split_once(',').unwrap_or((inner, ""));
    let number = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    !low.is_empty() && number(low) && number(high)
}

/// A pattern known at bind time, or compiled as rows bring it.
enum Compiled {
    Constant(Regex),
    Varying(Flags),
}

impl Compiled {
    fn of(call: &Call<'_>, position: usize, flags: Flags) -> Result<Compiled> {
        call.need_string(position)?;
        match call.known_text(position) {
            Some(pattern) => Ok(Compiled::Constant(compile(pattern, flags)?)),
            None => Ok(Compiled::Varying(flags)),
        }
    }

    /// Calls `f` with the pattern of each row.
    fn each(&self, patterns: &Texts<'_>, rows: usize, mut f: impl FnMut(usize, &Regex) -> Result<()>) -> Result<()> {
        match self {
            Compiled::Constant(regex) => (0..rows).try_for_each(|row| f(row, regex)),
            Compiled::Varying(flags) => {
                let mut last: Option<(&[u8], Regex)> = None;
                for row in 0..rows {
                    let pattern = patterns.at(row);
                    let regex = match &last {
                        Some((p, regex)) if *p == pattern => regex,
                        _ => &last.insert((pattern, compile(pattern, *flags)?)).1,
                    };
                    f(row, regex)?;
                }
                Ok(())
            }
        }
    }
}

pub(super) fn register(registry: &mut Registry) {
    for (name, fold, wanted) in
        [("like", false, true), ("not_like", false, false), ("ilike", true, true), ("not_ilike", true, false)]
    {
        define(registry, name, move |call| like(call, fold, wanted));
    }
    define(registry, "match", |call| {
        call.arity(2..=2)?;
        call.need_string(0)?;
        let flags = Flags { dot_all: true, fold_case: false };
        let compiled = match call.known_text(1) {
            Some(pattern) if call.ty(1).is_string_like() => {
                Compiled::Constant(compile(before_zero_byte(pattern), flags)?)
            }
            _ => Compiled::of(call, 1, flags)?,
        };
        call.returns(LogicalType::Bool, move |args, rows| {
            let (text, pattern) = (Texts::of(&args[0])?, Texts::of(&args[1])?);
            let mut found = vec![false; rows];
            compiled.each(&pattern, rows, |row, regex| {
                found[row] = regex.is_match(text.at(row));
                Ok(())
            })?;
            Ok(bools(rows, |i| found[i]))
        })
    });
    registry.add_alias("regexp_matches", "match");
    register_extract(registry);
    register_groups(registry);
    register_multi(registry);
    for (name, fold_case) in [("count_matches", false), ("count_matches_case_insensitive", true)] {
        define(registry, name, move |call| {
            call.arity(2..=2)?;
            call.need_string(0)?;
            let regex = compile(call.constant_text(1)?, Flags { dot_all: true, fold_case })?;
            call.returns(LogicalType::UInt64, move |args, rows| {
                let text = Texts::of(&args[0])?;
                Ok(uint64s(rows, |i| {
                    let mut count = 0;
                    each_match(&regex, text.at(i), |_| count += 1);
                    count
                }))
            })
        });
    }
    define(registry, "regexp_quote_meta", |call| {
        call.arity(1..=1)?;
        super::basic::map_text(call, |text, out| {
            for byte in text {
                match byte {
                    0 | b'\\' | b'(' | b')' | b'^' | b'$' | b'.' | b'[' | b'|' | b'*' | b'+' | b'?' | b'{' | b':'
                    | b'-' => {
                        out.extend_from_slice(&[b'\\', *byte]);
                    }
                    b => out.push(*b),
                }
            }
        })
    });
}

/// A test for a constant LIKE pattern.
pub(crate) fn like_matcher(pattern: &[u8]) -> Result<impl Fn(&[u8]) -> bool + Send + Sync + use<>> {
    let like = Like::new(pattern, false)?;
    Ok(move |text: &[u8]| like.holds(text))
}

/// What a LIKE pattern asks for, the plain shapes without a regular expression.
enum Like {
    Everything,
    Exact(Vec<u8>),
    Prefix(Vec<u8>),
    Suffix(Vec<u8>),
    Contains(Box<memmem::Finder<'static>>),
    Regex(Regex),
}

impl Like {
    fn new(pattern: &[u8], fold_case: bool) -> Result<Like> {
        let slashes = pattern.iter().rev().take_while(|b| **b == b'\\').count();
        if slashes % 2 == 1 {
            let text = format!("the pattern '{}' ends in an escape", String::from_utf8_lossy(pattern));
            return Err(Error::new(Code::CANNOT_PARSE_ESCAPE_SEQUENCE, text));
        }
        let inner = pattern.strip_prefix(b"%").unwrap_or(pattern);
        let open = inner.len() < pattern.len();
        let middle = inner.strip_suffix(b"%").unwrap_or(inner);
        let closed = middle.len() < inner.len();
        if pattern == b"%" || pattern == b"%%" {
            return Ok(Like::Everything);
        }
        if !fold_case && !middle.iter().any(|b| matches!(b, b'%' | b'_' | b'\\')) {
            return Ok(match (open, closed) {
                (false, false) => Like::Exact(middle.to_vec()),
                (false, true) => Like::Prefix(middle.to_vec()),
                (true, false) => Like::Suffix(middle.to_vec()),
                (true, true) => Like::Contains(Box::new(memmem::Finder::new(middle).into_owned())),
            });
        }
        let regex = compile(like_as_regex(pattern).as_bytes(), Flags { fold_case, dot_all: true })?;
        Ok(Like::Regex(regex))
    }

    fn holds(&self, text: &[u8]) -> bool {
        match self {
            Like::Everything => true,
            Like::Exact(t) => text == t,
            Like::Prefix(t) => text.starts_with(t),
            Like::Suffix(t) => text.ends_with(t),
            Like::Contains(finder) => finder.find(text).is_some(),
            Like::Regex(regex) => regex.is_match(text),
        }
    }
}

fn like_as_regex(pattern: &[u8]) -> String {
    let mut regex = String::from("^");
    let mut literal = Vec::new();
    let mut bytes = pattern.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                push_literal(&mut regex, &mut literal);
                regex.push_str("(?-u:.)*");
            }
            b'_' => {
                push_literal(&mut regex, &mut literal);
                regex.push_str("(?:.|(?-u:.))");
            }
            b'\\' => match bytes.peek() {
                Some(b'%' | b'_' | b'\\') => literal.extend(bytes.next()),
                _ => literal.push(b'\\'),
            },
            b => literal.push(b),
        }
    }
    push_literal(&mut regex, &mut literal);
    regex.push('$');
    regex
}

fn push_literal(regex: &mut String, literal: &mut Vec<u8>) {
    for chunk in literal.utf8_chunks() {
        regex.push_str(&regex::escape(chunk.valid()));
        chunk.invalid().iter().for_each(|b| regex.push_str(&format!("(?-u:\\x{b:02X})")));
    }
    literal.clear();
}

fn like(call: &Call<'_>, fold: bool, wanted: bool) -> Result<BoundCall> {
    call.arity(2..=2)?;
    call.need_string(0)?;
    call.need_string(1)?;
    if let Some(pattern) = call.known_text(1) {
        let like = Like::new(pattern, fold)?;
        return call.returns(LogicalType::Bool, move |args, rows| {
            let text = Texts::of(&args[0])?;
            Ok(bools(rows, |i| like.holds(text.at(i)) == wanted))
        });
    }
    call.returns(LogicalType::Bool, move |args, rows| {
        let (text, pattern) = (Texts::of(&args[0])?, Texts::of(&args[1])?);
        let mut last: Option<(&[u8], Like)> = None;
        let mut held = Vec::with_capacity(rows);
        for row in 0..rows {
            let asked = pattern.at(row);
            let like = match &last {
                Some((p, like)) if *p == asked => like,
                _ => &last.insert((asked, Like::new(asked, fold)?)).1,
            };
            held.push(like.holds(text.at(row)) == wanted);
        }
        Ok(bools(rows, |i| held[i]))
    })
}

/// `regexp_extract(text, pattern[, group])`: the first match's group, the first one unless said, 0 for all of the match.
fn regexp_extract(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(2..=3)?;
    call.need_string(0)?;
    let regex = compile(call.constant_text(1)?, Flags { dot_all: true, fold_case: false })?;
    if call.args.len() == 3 {
        call.need_integer(2)?;
    }
    let group_type = call.args.get(2).map(|a| a.ty.clone());
    let groups = regex.captures_len();
    call.returns(LogicalType::String, move |args, rows| {
        let text = Texts::of(&args[0])?;
        let group = args.get(2).zip(group_type.as_ref()).map(|(a, t)| Ints::of(a, t)).transpose()?;
        try_texts(rows, |row, out| {
            let group = match &group {
                Some(g) => usize::try_from(g.at(row)).unwrap_or(usize::MAX),
                None => usize::from(groups > 1),
            };
            if group >= groups {
                let text = format!("the pattern has {} groups, asked for group {group}", groups - 1);
                return Err(Error::new(Code::INDEX_OF_POSITIONAL_ARGUMENT_IS_OUT_OF_RANGE, text));
            }
            if let Some(found) = regex.captures(text.at(row)).and_then(|c| c.get(group)) {
                out.extend_from_slice(found.as_bytes());
            }
            Ok(())
        })
    })
}

fn register_extract(registry: &mut Registry) {
    define(registry, "regexp_extract", regexp_extract);
    registry.fold_case("regexp_extract");
    define(registry, "extract", |call| {
        call.arity(2..=2)?;
        call.need_string(0)?;
        let regex = compile(call.constant_text(1)?, Flags { dot_all: true, fold_case: false })?;
        let group = usize::from(regex.captures_len() > 1);
        call.returns(LogicalType::String, move |args, rows| {
            let text = Texts::of(&args[0])?;
            texts(rows, |row, out| {
                if let Some(found) = regex.captures(text.at(row)).and_then(|c| c.get(group)) {
                    out.extend_from_slice(found.as_bytes());
                }
            })
        })
    });
    define(registry, "extract_all", |call| {
        call.arity(2..=2)?;
        call.need_string(0)?;
        let regex = compile(call.constant_text(1)?, Flags { dot_all: true, fold_case: false })?;
        let group = usize::from(regex.captures_len() > 1);
        call.returns(LogicalType::array(LogicalType::String), move |args, rows| {
            let text = Texts::of(&args[0])?;
            text_lists(rows, |row, out| {
                each_captures(&regex, text.at(row), false, |found| {
                    out.push(found.get(group).map_or(&[][..], |m| m.as_bytes()));
                });
                Ok(())
            })
        })
    });
}

/// ClickHouse's limit on the matches that `extract_all_groups_horizontal` keeps of one row.
const MATCHES_MAX: usize = 1000;

/// Calls `f` with where each match is, one after the other. Each is looked for in what the last one left, as if the text
/// began there; a match of nothing ends it.
pub(super) fn each_match(regex: &Regex, text: &[u8], mut f: impl FnMut(std::ops::Range<usize>)) {
    let mut start = 0;
    while let Some(found) = regex.find(&text[start..]).filter(|m| !m.is_empty()) {
        f(start + found.start()..start + found.end());
        start += found.end();
    }
}

/// The same with the groups of each match. With `empty` a match of nothing counts too, and moves one byte on.
fn each_captures<'t>(regex: &Regex, text: &'t [u8], empty: bool, mut f: impl FnMut(regex::bytes::Captures<'t>)) {
    let mut start = 0;
    while start < text.len() {
        let Some(found) = regex.captures(&text[start..]) else { return };
        let Some(whole) = found.get(0).filter(|m| empty || !m.is_empty()) else { return };
        start += whole.start() + whole.len().max(1);
        f(found);
    }
}

/// ClickHouse looks for a pattern without operators as for plain text, which ends at the first zero byte.
fn before_zero_byte(pattern: &[u8]) -> &[u8] {
    match memchr::memchr(0, pattern) {
        Some(end) if !pattern[..end].iter().any(|b| b"\\^$.|?*+()[]{}".contains(b)) => &pattern[..end],
        _ => pattern,
    }
}

fn grouped(call: &Call<'_>) -> Result<Regex> {
    call.arity(2..=2)?;
    call.need_string(0)?;
    let regex = compile(call.constant_text(1)?, Flags { dot_all: true, fold_case: false })?;
    if regex.captures_len() < 2 {
        return Err(Error::bad_arguments(format!("the pattern of function \"{}\" has no groups", call.name)));
    }
    Ok(regex)
}

fn register_groups(registry: &mut Registry) {
    define(registry, "extract_groups", |call| {
        let regex = grouped(call)?;
        call.returns(LogicalType::array(LogicalType::String), move |args, rows| {
            let text = Texts::of(&args[0])?;
            text_lists(rows, |row, out| {
                if let Some(found) = regex.captures(text.at(row)) {
                    found.iter().skip(1).for_each(|m| out.push(m.map_or(&[][..], |m| m.as_bytes())));
                }
                Ok(())
            })
        })
    });
    for (name, by_match) in [("extract_all_groups_vertical", true), ("extract_all_groups_horizontal", false)] {
        define(registry, name, move |call| {
            let regex = grouped(call)?;
            let inner = LogicalType::array(LogicalType::String);
            call.returns(LogicalType::array(inner.clone()), move |args, rows| {
                let text = Texts::of(&args[0])?;
                // Rows of lists, then one list column of all of them.
                let mut all: Vec<Vec<Vec<u8>>> = Vec::new();
                let mut ends = vec![0];
                for row in 0..rows {
                    let mut matches: Vec<Vec<Vec<u8>>> = Vec::new();
                    each_captures(&regex, text.at(row), true, |c| {
                        let groups = c.iter().skip(1).map(|m| m.map_or_else(Vec::new, |m| m.as_bytes().to_vec()));
                        matches.push(groups.collect());
                    });
                    if !by_match && matches.len() > MATCHES_MAX {
                        let text = format!("a row has more than {MATCHES_MAX} matches for \"{name}\"");
                        return Err(Error::new(Code::TOO_LARGE_ARRAY_SIZE, text));
                    }
                    if by_match {
                        all.extend(matches);
                    } else {
                        let groups = regex.captures_len() - 1;
                        all.extend((0..groups).map(|g| matches.iter().map(|m| m[g].clone()).collect()));
                    }
                    ends.push(crate::scalar::column::end_offset(all.len())?);
                }
                let lists = text_lists(all.len(), |i, out| {
                    all[i].iter().for_each(|t| out.push(t));
                    Ok(())
                })?;
                Ok(list(&inner, ends, lists))
            })
        });
    }
    registry.add_alias("extract_all_groups", "extract_all_groups_vertical");
}

/// Errors: BAD_ARGUMENTS (36) for a pattern that is wrong.
fn pattern_set(patterns: &[Vec<u8>]) -> Result<RegexSet> {
    let patterns = patterns.iter().map(|p| pattern_text(p)).collect::<Result<Vec<_>>>()?;
    let set = RegexSetBuilder::new(&patterns).dot_matches_new_line(true).size_limit(COMPILED_BYTES_MAX).build();
    set.map_err(|e| Error::bad_arguments(format!("a regular expression is wrong: {e}")))
}

/// A function of a text and an array of patterns, which are compiled once where they are constant, and once for each run of
/// equal ones where they are not.
fn multi<R, F, M>(registry: &mut Registry, name: &str, ty: LogicalType, each: F, make: M)
where
    R: Default + Clone,
    F: Fn(&RegexSet, &[u8]) -> R + Copy + Send + Sync + 'static,
    M: Fn(Vec<R>) -> Result<ArrayRef> + Copy + Send + Sync + 'static,
{
    define(registry, name, move |call| {
        call.arity(2..=2)?;
        call.need_string(0)?;
        if call.args[1].constant.is_some() {
            let set = pattern_set(&needles(call, 1)?)?;
            return call.returns(ty.clone(), move |args, rows| {
                let text = Texts::of(&args[0])?;
                make((0..rows).map(|i| each(&set, text.at(i))).collect())
            });
        }
        call.need(1, is_list_of_text)?;
        call.returns(ty.clone(), move |args, rows| {
            let text = Texts::of(&args[0])?;
            let mut last: Option<(Vec<Vec<u8>>, RegexSet)> = None;
            let mut results = Vec::with_capacity(rows);
            each_list_of_text(&args[1], rows, |row, patterns| {
                let set = match &last {
                    Some((p, set)) if *p == patterns => set,
                    _ => &last.insert((patterns.clone(), pattern_set(&patterns)?)).1,
                };
                results.push(each(set, text.at(row)));
                Ok(())
            })?;
            make(results)
        })
    });
}

fn register_multi(registry: &mut Registry) {
    multi(
        registry,
        "multi_match_any",
        LogicalType::Bool,
        |set, text| set.is_match(text),
        |results: Vec<bool>| Ok(bools(results.len(), |i| results[i])),
    );
    multi(
        registry,
        "multi_match_any_index",
        LogicalType::UInt64,
        |set, text| set.matches(text).iter().next().map_or(0, |n| n as u64 + 1),
        |results| Ok(uint64s(results.len(), |i| results[i])),
    );
    multi(
        registry,
        "multi_match_all_indices",
        LogicalType::array(LogicalType::UInt64),
        |set, text| set.matches(text).iter().map(|n| n as u64 + 1).collect::<Vec<u64>>(),
        |results| {
            number_lists::<UInt64Type>(&LogicalType::UInt64, results.len(), |i, out| {
                out.extend(&results[i]);
                Ok(())
            })
        },
    );
}

/// A replacement with `\0` to `\9` for groups.
struct Replacement {
    parts: Vec<Part>,
}

enum Part {
    Literal(Vec<u8>),
    Group(usize),
}

impl Replacement {
    /// Errors: BAD_ARGUMENTS (36) for a group the pattern does not have.
    fn parse(text: &[u8], groups: usize) -> Result<Replacement> {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut bytes = text.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            match (byte, bytes.peek().copied()) {
                (b'\\', Some(digit @ b'0'..=b'9')) => {
                    bytes.next();
                    let group = usize::from(digit - b'0');
                    if group >= groups {
                        return Err(Error::bad_arguments(format!(
                            "the replacement names group {group}, the pattern has {}",
                            groups - 1
                        )));
                    }
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                    parts.push(Part::Group(group));
                }
                // A backslash before anything else stands for what follows it.
                (b'\\', Some(other)) => {
                    bytes.next();
                    literal.push(other);
                }
                (b, _) => literal.push(b),
            }
        }
        parts.push(Part::Literal(literal));
        Ok(Replacement { parts })
    }

    fn write(&self, found: &regex::bytes::Captures<'_>, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                Part::Group(n) => out.extend_from_slice(found.get(*n).map_or(&[][..], |m| m.as_bytes())),
            }
        }
    }
}

/// `replace_regexp_one` and `_all`.
pub(super) fn replace(call: &Call<'_>, all: bool) -> Result<BoundCall> {
    call.arity(3..=3)?;
    (0..3).try_for_each(|i| call.need_string(i))?;
    let compiled = Compiled::of(call, 1, Flags::default())?;
    call.returns(LogicalType::String, move |args, rows| {
        let (text, pattern, with) = (Texts::of(&args[0])?, Texts::of(&args[1])?, Texts::of(&args[2])?);
        // Rows are written in order, so the pattern of each row is handed over through a cell.
        let results = RefCell::new(Vec::with_capacity(rows));
        let mut last: Option<(&[u8], usize, Replacement)> = None;
        compiled.each(&pattern, rows, |row, regex| {
            let (given, groups) = (with.at(row), regex.captures_len());
            let replacement = match &last {
                Some((t, g, r)) if *t == given && *g == groups => r,
                _ => &last.insert((given, groups, Replacement::parse(given, groups)?)).2,
            };
            let mut out = Vec::new();
            match pattern.at(row) {
                // An empty pattern replaces nothing.
                [] => out.extend_from_slice(text.at(row)),
                _ => replace_in(text.at(row), regex, replacement, all, &mut out),
            }
            results.borrow_mut().push(out);
            Ok(())
        })?;
        let results = results.into_inner();
        try_texts(rows, |row, out| {
            out.extend_from_slice(&results[row]);
            Ok(())
        })
    })
}

/// Replaces from left to right; a match of nothing is replaced too, and the byte behind it stays. At the end of the text
/// nothing more is looked for.
fn replace_in(text: &[u8], regex: &Regex, with: &Replacement, all: bool, out: &mut Vec<u8>) {
    let (mut copied, mut start) = (0, 0);
    while start < text.len() {
        let Some(found) = regex.captures_at(text, start) else { break };
        let Some(whole) = found.get(0) else { break };
        out.extend_from_slice(&text[copied..whole.start()]);
        with.write(&found, out);
        copied = whole.end();
        start = if whole.is_empty() { copied + 1 } else { copied };
        if !all {
            break;
        }
    }
    out.extend_from_slice(&text[copied..]);
}
