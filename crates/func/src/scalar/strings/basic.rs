//! Length, case, order of bytes, parts, padding and joining.

use super::slice_range;
use crate::call::{BoundCall, Datum};
use crate::registry::Registry;
use crate::scalar::column::{Ints, Lists, Texts, bools, texts, try_texts, uint64s};
use crate::scalar::define::{Call, Convert, define, define_seeing_nulls};
use hydron_base::memory::make_room;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;

/// ClickHouse's limit for the length to which a text is padded.
const PADDED_LENGTH_MAX: i64 = 1_000_000;

/// ClickHouse's limit for one result of `repeat` and padding.
const RESULT_BYTES_MAX: i64 = 1 << 30;

/// ClickHouse's limit on the copies that `repeat` makes.
const REPEATS_MAX: i64 = 1_000_000;

pub(super) fn register(registry: &mut Registry) {
    register_lengths(registry);
    register_maps(registry);
    register_parts(registry);
    register_trims(registry);
    register_pads(registry);
    for name in ["concat", "concat_assume_injective"] {
        define(registry, name, concat);
    }
    registry.fold_case("concat");
    define(registry, "repeat", |call| {
        call.arity(2..=2)?;
        call.need_string(0)?;
        call.need_integer(1)?;
        let ty = call.ty(1).clone();
        // A count of 64 unsigned bits that reads as negative is far too large.
        let least = if ty.is_unsigned_integer() { i64::MAX } else { 0 };
        call.returns(LogicalType::String, move |args, rows| {
            let (text, times) = (Texts::of(&args[0])?, Ints::of(&args[1], &ty)?);
            try_texts(rows, |row, out| {
                let (text, times) = (text.at(row), times.at(row));
                let times = if times < 0 { least } else { times };
                if times > REPEATS_MAX {
                    let text = format!("repeat makes at most {REPEATS_MAX} copies, asked for {times}");
                    return Err(Error::new(Code::TOO_LARGE_STRING_SIZE, text));
                }
                let bytes = times.saturating_mul(text.len() as i64);
                check_size(bytes, "repeat")?;
                make_room(out, bytes as usize)?;
                (0..times).for_each(|_| out.extend_from_slice(text));
                Ok(())
            })
        })
    });
    registry.fold_case("repeat");
    define(registry, "space", |call| {
        call.arity(1..=1)?;
        call.need_integer(0)?;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::String, move |args, rows| {
            let times = Ints::of(&args[0], &ty)?;
            try_texts(rows, |row, out| {
                let times = times.at(row).max(0);
                check_size(times, "space")?;
                make_room(out, times as usize)?;
                out.resize(out.len() + times as usize, b' ');
                Ok(())
            })
        })
    });
    define(registry, "append_trailing_char_if_absent", |call| {
        call.arity(2..=2)?;
        call.need_string(0)?;
        let end = match call.constant_text(1)? {
            [byte] => *byte,
            other => {
                return Err(Error::bad_arguments(format!(
                    "the second argument must be one byte, given {}",
                    other.len()
                )));
            }
        };
        map_text(call, move |text, out| {
            out.extend_from_slice(text);
            if !text.is_empty() && text.last() != Some(&end) {
                out.push(end);
            }
        })
    });
    for (name, at_start, utf8) in [
        ("starts_with", true, false),
        ("ends_with", false, false),
        ("starts_with_utf8", true, true),
        ("ends_with_utf8", false, true),
    ] {
        define(registry, name, move |call| {
            call.arity(2..=2)?;
            if !utf8 && matches!(call.ty(0), LogicalType::Array(_)) {
                return crate::scalar::arrays::at_end(call, at_start);
            }
            call.need_string(0)?;
            call.need_string(1)?;
            call.returns(LogicalType::Bool, move |args, rows| {
                let (text, part) = (Texts::of(&args[0])?, Texts::of(&args[1])?);
                Ok(bools(rows, |i| {
                    if at_start { text.at(i).starts_with(part.at(i)) } else { text.at(i).ends_with(part.at(i)) }
                }))
            })
        });
    }
}

fn check_size(bytes: i64, function: &str) -> Result<()> {
    if bytes <= RESULT_BYTES_MAX {
        return Ok(());
    }
    Err(Error::new(
        Code::TOO_LARGE_STRING_SIZE,
        format!("{function} would make {bytes} bytes, the limit is {RESULT_BYTES_MAX}"),
    ))
}

/// A function of one string.
pub(super) fn map_text<F>(call: &Call<'_>, f: F) -> Result<BoundCall>
where
    F: Fn(&[u8], &mut Vec<u8>) + Send + Sync + 'static,
{
    call.need_string(0)?;
    call.returns(LogicalType::String, move |args, rows| {
        let text = Texts::of(&args[0])?;
        texts(rows, |row, out| f(text.at(row), out))
    })
}

/// A function that keeps the length of its string, so that a fixed string stays one.
fn map_in_place<F>(call: &Call<'_>, f: F) -> Result<BoundCall>
where
    F: Fn(&[u8], &mut Vec<u8>) + Send + Sync + 'static,
{
    call.need_string(0)?;
    let ty = call.ty(0).clone();
    let convert = Convert::new(&LogicalType::String, &ty, call.zone());
    call.returns(ty, move |args, rows| {
        let text = Texts::of(&args[0])?;
        convert.array(&texts(rows, |row, out| f(text.at(row), out))?)
    })
}

/// The number of characters: bytes that do not continue one.
pub(super) fn utf8_length(text: &[u8]) -> usize {
    text.iter().filter(|b| **b & 0xC0 != 0x80).count()
}

/// Where each character starts, and the end.
pub(super) fn utf8_starts(text: &[u8]) -> Vec<usize> {
    let starts = text.iter().enumerate().filter(|(i, b)| *i == 0 || **b & 0xC0 != 0x80).map(|(i, _)| i);
    starts.chain(std::iter::once(text.len())).collect()
}

fn register_lengths(registry: &mut Registry) {
    define(registry, "length", |call| {
        call.arity(1..=1)?;
        call.need(0, |t| t.is_string_like() || matches!(t, LogicalType::Array(_) | LogicalType::Map(..)))?;
        let text = call.ty(0).is_string_like();
        call.returns(LogicalType::UInt64, move |args, rows| {
            if text {
                let text = Texts::of(&args[0])?;
                return Ok(uint64s(rows, |i| text.at(i).len() as u64));
            }
            let lists = Lists::of(&args[0])?;
            Ok(uint64s(rows, |i| lists.len(i) as u64))
        })
    });
    define(registry, "length_utf8", |call| {
        call.arity(1..=1)?;
        call.need_string(0)?;
        call.returns(LogicalType::UInt64, |args, rows| {
            let text = Texts::of(&args[0])?;
            Ok(uint64s(rows, |i| utf8_length(text.at(i)) as u64))
        })
    });
    // The width of a value's text in a table for people, where NULL is a word.
    define_seeing_nulls(registry, "visible_width", |call| {
        call.arity(1..=1)?;
        let ty = call.ty(0).clone();
        let options = hydron_types::TextOptions::from_settings(&call.cx.settings, call.zone());
        call.returns(LogicalType::UInt64, move |args, rows| {
            let array = args[0].to_array(rows)?;
            let writer = hydron_types::ColumnWriter::new(&array, &ty, hydron_types::Style::Plain, &options)?;
            let mut text = Vec::new();
            Ok(uint64s(rows, |row| {
                if arrow::array::Array::is_null(&array, row) || ty == LogicalType::Nothing {
                    return "NULL".len() as u64;
                }
                text.clear();
                writer.write(row, &mut text);
                utf8_length(&text) as u64
            }))
        })
    });
    registry.add_alias("char_length", "length_utf8");
    registry.add_alias("character_length", "length_utf8");
    for name in ["length", "char_length", "character_length"] {
        registry.fold_case(name);
    }
    for (name, wanted) in [("empty", true), ("not_empty", false)] {
        define(registry, name, move |call| {
            call.arity(1..=1)?;
            use LogicalType::{Array, Ipv6, Map, Uuid};
            call.need(0, |t| t.is_string_like() || matches!(t, Array(_) | Map(..) | Uuid | Ipv6))?;
            let lists = matches!(call.ty(0), Array(_) | Map(..));
            let padded = *call.ty(0) != LogicalType::String;
            call.returns(LogicalType::Bool, move |args, rows| {
                if !lists {
                    let text = Texts::of(&args[0])?;
                    // A fixed string, an id or an address is empty when it is all zeros.
                    let empty = |t: &[u8]| t.is_empty() || (padded && t.iter().all(|b| *b == 0));
                    return Ok(bools(rows, |i| empty(text.at(i)) == wanted));
                }
                let lists = Lists::of(&args[0])?;
                Ok(bools(rows, |i| (lists.len(i) == 0) == wanted))
            })
        });
    }
}

fn register_maps(registry: &mut Registry) {
    define(registry, "lower", |call| {
        call.arity(1..=1)?;
        map_in_place(call, |text, out| out.extend(text.iter().map(u8::to_ascii_lowercase)))
    });
    define(registry, "upper", |call| {
        call.arity(1..=1)?;
        map_in_place(call, |text, out| out.extend(text.iter().map(u8::to_ascii_uppercase)))
    });
    registry.add_alias("lcase", "lower");
    registry.add_alias("ucase", "upper");
    for name in ["lower", "upper", "lcase", "ucase"] {
        registry.fold_case(name);
    }
    define(registry, "lower_utf8", |call| {
        call.arity(1..=1)?;
        map_text(call, |text, out| map_chars(text, out, |c, out| out.extend(c.to_lowercase())))
    });
    define(registry, "upper_utf8", |call| {
        call.arity(1..=1)?;
        map_text(call, |text, out| map_chars(text, out, |c, out| out.extend(c.to_uppercase())))
    });
    define(registry, "reverse", |call| {
        call.arity(1..=1)?;
        if matches!(call.ty(0), LogicalType::Array(_)) {
            return crate::scalar::arrays::reverse(call);
        }
        map_in_place(call, |text, out| out.extend(text.iter().rev()))
    });
    registry.fold_case("reverse");
    define(registry, "reverse_utf8", |call| {
        call.arity(1..=1)?;
        map_text(call, |text, out| {
            let starts = utf8_starts(text);
            starts.windows(2).rev().for_each(|w| out.extend_from_slice(&text[w[0]..w[1]]));
        })
    });
    define(registry, "to_valid_utf8", |call| {
        call.arity(1..=1)?;
        map_text(call, to_valid_utf8)
    });
    define(registry, "is_valid_utf8", |call| {
        call.arity(1..=1)?;
        call.need_string(0)?;
        call.returns(LogicalType::UInt8, |args, rows| {
            let text = Texts::of(&args[0])?;
            Ok(crate::scalar::column::flags(rows, |i| std::str::from_utf8(text.at(i)).is_ok()))
        })
    });
}

/// Changes the characters of the valid stretches; other bytes stay.
fn map_chars(text: &[u8], out: &mut Vec<u8>, change: impl Fn(char, &mut String)) {
    let mut changed = String::new();
    for chunk in text.utf8_chunks() {
        changed.clear();
        chunk.valid().chars().for_each(|c| change(c, &mut changed));
        out.extend_from_slice(changed.as_bytes());
        out.extend_from_slice(chunk.invalid());
    }
}

/// Each run of bytes that is no UTF-8 becomes one replacement character.
fn to_valid_utf8(text: &[u8], out: &mut Vec<u8>) {
    let mut replaced = false;
    for chunk in text.utf8_chunks() {
        if !chunk.valid().is_empty() {
            out.extend_from_slice(chunk.valid().as_bytes());
            replaced = false;
        }
        if !chunk.invalid().is_empty() && !replaced {
            out.extend_from_slice("\u{FFFD}".as_bytes());
            replaced = true;
        }
    }
}

fn register_parts(registry: &mut Registry) {
    for (name, utf8) in [("substring", false), ("substring_utf8", true)] {
        define(registry, name, move |call| {
            call.arity(2..=3)?;
            call.need(0, |t| t.is_string_like() || matches!(t, LogicalType::Enum8(_) | LogicalType::Enum16(_)))?;
            let enumerated = call.convert(0, &LogicalType::String);
            let plain = call.ty(0).is_string_like();
            (1..call.args.len()).try_for_each(|i| call.need_integer(i))?;
            let types = call.types();
            call.returns(LogicalType::String, move |args, rows| {
                let text = if plain { args[0].clone() } else { enumerated.datum(&args[0])? };
                let text = Texts::of(&text)?;
                let offset = Ints::of(&args[1], &types[1])?;
                let length = args.get(2).map(|a| Ints::of(a, &types[2])).transpose()?;
                texts(rows, |row, out| {
                    part(
                        text.at(row),
                        utf8,
                        |total| slice_range(total, offset.at(row), length.as_ref().map(|l| l.at(row))),
                        out,
                    )
                })
            })
        });
    }
    registry.add_alias("substr", "substring");
    registry.add_alias("mid", "substring");
    for name in ["substring", "substr", "mid"] {
        registry.fold_case(name);
    }
    for (name, utf8, left) in
        [("left", false, true), ("right", false, false), ("left_utf8", true, true), ("right_utf8", true, false)]
    {
        define(registry, name, move |call| {
            call.arity(2..=2)?;
            call.need_string(0)?;
            call.need_integer(1)?;
            let ty = call.ty(1).clone();
            call.returns(LogicalType::String, move |args, rows| {
                let (text, count) = (Texts::of(&args[0])?, Ints::of(&args[1], &ty)?);
                texts(rows, |row, out| {
                    let n = count.at(row);
                    part(
                        text.at(row),
                        utf8,
                        |total| {
                            // A negative count leaves that many out at the other end.
                            let n = if n < 0 { (total + n).max(0) } else { n.min(total) };
                            if left { 0..n } else { total - n..total }
                        },
                        out,
                    )
                })
            })
        });
        registry.fold_case(name);
    }
    for (name, utf8) in [("substring_index", false), ("substring_index_utf8", true)] {
        define(registry, name, move |call| {
            call.arity(3..=3)?;
            call.need_string(0)?;
            let separator = call.constant_text(1)?.to_vec();
            call.need_integer(2)?;
            if (if utf8 { utf8_length(&separator) } else { separator.len() }) != 1 {
                return Err(Error::bad_arguments("the separator must be one character"));
            }
            let ty = call.ty(2).clone();
            call.returns(LogicalType::String, move |args, rows| {
                let (text, count) = (Texts::of(&args[0])?, Ints::of(&args[2], &ty)?);
                texts(rows, |row, out| out.extend_from_slice(substring_index(text.at(row), &separator, count.at(row))))
            })
        });
        registry.fold_case(name);
    }
}

fn substring_index<'a>(text: &'a [u8], separator: &[u8], count: i64) -> &'a [u8] {
    if count == 0 {
        return &[];
    }
    let places: Vec<usize> = memchr::memmem::find_iter(text, separator).collect();
    let n = count.unsigned_abs() as usize;
    if n > places.len() {
        return text;
    }
    if count > 0 { &text[..places[n - 1]] } else { &text[places[places.len() - n] + separator.len()..] }
}

/// The part of `text` that `choose` takes, in bytes or characters.
fn part(text: &[u8], utf8: bool, choose: impl Fn(i64) -> std::ops::Range<i64>, out: &mut Vec<u8>) {
    if !utf8 || text.is_ascii() {
        let range = choose(text.len() as i64);
        out.extend_from_slice(&text[range.start as usize..range.end as usize]);
        return;
    }
    let starts = utf8_starts(text);
    let range = choose(starts.len() as i64 - 1);
    out.extend_from_slice(&text[starts[range.start as usize]..starts[range.end as usize]]);
}

fn register_trims(registry: &mut Registry) {
    for (name, left, right) in
        [("trim_left", true, false), ("trim_right", false, true), ("trim_both", true, true), ("trim", true, true)]
    {
        define(registry, name, move |call| {
            call.arity(1..=2)?;
            let chars = if call.args.len() == 2 { call.constant_text(1)?.to_vec() } else { vec![b' '] };
            map_text(call, move |text, out| {
                let cut = |b: &u8| chars.contains(b);
                let start = if left { text.iter().position(|b| !cut(b)).unwrap_or(text.len()) } else { 0 };
                let end = if right { text.iter().rposition(|b| !cut(b)).map_or(start, |i| i + 1) } else { text.len() };
                out.extend_from_slice(&text[start..end.max(start)]);
            })
        });
    }
    for (alias, name) in [("ltrim", "trim_left"), ("rtrim", "trim_right")] {
        registry.add_alias(alias, name);
        registry.fold_case(alias);
    }
    registry.fold_case("trim");
}

fn register_pads(registry: &mut Registry) {
    let pads = [
        ("left_pad", true, false),
        ("right_pad", false, false),
        ("left_pad_utf8", true, true),
        ("right_pad_utf8", false, true),
    ];
    for (name, left, utf8) in pads {
        define(registry, name, move |call| {
            call.arity(2..=3)?;
            call.need_string(0)?;
            call.need_integer(1)?;
            let fill = if call.args.len() == 3 { call.constant_text(2)?.to_vec() } else { vec![b' '] };
            let fill = if fill.is_empty() { vec![b' '] } else { fill };
            let ty = call.ty(1).clone();
            call.returns(LogicalType::String, move |args, rows| {
                let (text, width) = (Texts::of(&args[0])?, Ints::of(&args[1], &ty)?);
                try_texts(rows, |row, out| pad(text.at(row), width.at(row), &fill, left, utf8, out))
            })
        });
    }
    registry.add_alias("lpad", "left_pad");
    registry.add_alias("rpad", "right_pad");
    for name in ["left_pad", "right_pad", "lpad", "rpad"] {
        registry.fold_case(name);
    }
}

fn pad(text: &[u8], width: i64, fill: &[u8], left: bool, utf8: bool, out: &mut Vec<u8>) -> Result<()> {
    if width > PADDED_LENGTH_MAX {
        let text = format!("a text is padded to at most {PADDED_LENGTH_MAX}, asked for {width}");
        return Err(Error::new(Code::TOO_LARGE_STRING_SIZE, text));
    }
    let width = width.max(0) as usize;
    let starts = if utf8 { utf8_starts(text) } else { Vec::new() };
    let length = if utf8 { utf8_length(text) } else { text.len() };
    if length >= width {
        out.extend_from_slice(&text[..if utf8 { starts[width.min(starts.len() - 1)] } else { width }]);
        return Ok(());
    }
    make_room(out, width)?;
    if !left {
        out.extend_from_slice(text);
    }
    let marks = if utf8 { utf8_starts(fill) } else { (0..=fill.len()).collect() };
    let units = marks.len() - 1;
    for i in 0..width - length {
        out.extend_from_slice(&fill[marks[i % units]..marks[i % units + 1]]);
    }
    if left {
        out.extend_from_slice(text);
    }
    Ok(())
}

/// `concat`: arrays, maps and tuples have their own; every other type is written as text.
fn concat(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(1..=usize::MAX)?;
    match call.ty(0) {
        LogicalType::Array(_) if call.args.iter().all(|a| matches!(a.ty, LogicalType::Array(_))) => {
            return crate::scalar::arrays::concat(call);
        }
        LogicalType::Tuple(_) if call.args.iter().all(|a| matches!(a.ty, LogicalType::Tuple(_))) => {
            return crate::scalar::tuples::concat(call);
        }
        _ => {}
    }
    let texts_of = |i: usize| call.convert(i, &LogicalType::String);
    let plain: Vec<bool> = call.args.iter().map(|a| a.ty.is_string_like()).collect();
    if let Some(i) = plain.iter().position(|p| !p)
        && !hydron_types::cast::can_cast(call.ty(i), &LogicalType::String)
    {
        return Err(call.illegal(i));
    }
    let conversions: Vec<_> = (0..call.args.len()).map(texts_of).collect();
    call.returns(LogicalType::String, move |args, rows| {
        let args = args
            .iter()
            .enumerate()
            .map(|(i, a)| if plain[i] { Ok(a.clone()) } else { conversions[i].datum(a) })
            .collect::<Result<Vec<Datum>>>()?;
        let parts = args.iter().map(Texts::of).collect::<Result<Vec<_>>>()?;
        texts(rows, |row, out| parts.iter().for_each(|p| out.extend_from_slice(p.at(row))))
    })
}
