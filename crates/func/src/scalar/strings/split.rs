//! Strings to arrays and back.

use super::patterns::{Flags, compile, each_match};
use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{Ints, Lists, TextList, Texts, text_lists, texts};
use crate::scalar::define::{Call, Convert, define, define_seeing_nulls};
use arrow::array::Array;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use memchr::memmem;

pub(super) fn register(registry: &mut Registry) {
    define(registry, "split_by_char", |call| {
        call.arity(2..=3)?;
        let separator = match call.constant_text(0)? {
            [byte] => *byte,
            other => {
                return Err(Error::bad_arguments(format!("the separator must be one byte, given {}", other.len())));
            }
        };
        split(call, 1, move |text, out| text.split(|b| *b == separator).for_each(out))
    });
    define(registry, "split_by_string", |call| {
        call.arity(2..=3)?;
        let separator = call.constant_text(0)?.to_vec();
        split(call, 1, move |text, out| {
            if separator.is_empty() {
                return text.chunks(1).for_each(out);
            }
            let mut start = 0;
            for at in memmem::find_iter(text, &separator) {
                out(&text[start..at]);
                start = at + separator.len();
            }
            out(&text[start..]);
        })
    });
    define(registry, "split_by_regexp", |call| {
        call.arity(2..=3)?;
        let pattern = call.constant_text(0)?;
        let every_byte = pattern.is_empty();
        let regex = compile(pattern, Flags { dot_all: true, fold_case: false })?;
        split(call, 1, move |text, out| {
            if every_byte {
                return text.chunks(1).for_each(out);
            }
            let mut start = 0;
            each_match(&regex, text, |found| {
                out(&text[start..found.start]);
                start = found.end;
            });
            out(&text[start..]);
        })
    });
    let classes: [(&str, fn(u8) -> bool); 4] = [
        ("split_by_whitespace", |b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)),
        ("split_by_non_alpha", |b| {
            !(b.is_ascii_punctuation() || matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C))
        }),
        ("alpha_tokens", |b| b.is_ascii_alphabetic()),
        ("tokens", |b| b.is_ascii_alphanumeric() || !b.is_ascii()),
    ];
    for (name, belongs) in classes {
        define(registry, name, move |call| {
            call.arity(1..=2)?;
            split(call, 0, move |text, out| text.split(|b| !belongs(*b)).filter(|t| !t.is_empty()).for_each(out))
        });
    }
    registry.add_alias("split_by_alpha", "alpha_tokens");
    define(registry, "ngrams", |call| {
        call.arity(2..=2)?;
        call.need_string(0)?;
        let n = usize::try_from(call.constant_int(1)?).ok().filter(|n| *n > 0);
        let n = n.ok_or_else(|| Error::bad_arguments("an n-gram has at least one character"))?;
        call.returns(LogicalType::array(LogicalType::String), move |args, rows| {
            let text = Texts::of(&args[0])?;
            text_lists(rows, |row, out| {
                let text = text.at(row);
                let starts = super::basic::utf8_starts(text);
                starts.windows(n + 1).for_each(|w| out.push(&text[w[0]..w[n]]));
                Ok(())
            })
        })
    });
    define_seeing_nulls(registry, "array_string_concat", join);
    define(registry, "concat_with_separator", |call| {
        call.arity(1..=usize::MAX)?;
        (0..call.args.len()).try_for_each(|i| call.need_string(i))?;
        call.returns(LogicalType::String, |args, rows| {
            let parts = args.iter().map(Texts::of).collect::<Result<Vec<_>>>()?;
            texts(rows, |row, out| {
                for (i, part) in parts[1..].iter().enumerate() {
                    if i > 0 {
                        out.extend_from_slice(parts[0].at(row));
                    }
                    out.extend_from_slice(part.at(row));
                }
            })
        })
    });
}

/// Splits the string at `position`; the argument after it, if given, limits how many parts are kept.
fn split<F>(call: &Call<'_>, position: usize, each: F) -> Result<BoundCall>
where
    F: Fn(&[u8], &mut dyn FnMut(&[u8])) + Send + Sync + 'static,
{
    call.need_string(position)?;
    let limit_type = call.args.get(position + 1).map(|a| a.ty.clone());
    if limit_type.is_some() {
        call.need_integer(position + 1)?;
    }
    let with_rest = call.cx.settings.bool("splitby_max_substrings_includes_remaining_string");
    call.returns(LogicalType::array(LogicalType::String), move |args, rows| {
        let text = Texts::of(&args[position])?;
        let limit = args.get(position + 1).zip(limit_type.as_ref()).map(|(a, t)| Ints::of(a, t)).transpose()?;
        text_lists(rows, |row, out: &mut TextList| {
            let most = limit.as_ref().map_or(0, |l| l.at(row));
            let most = if most > 0 { most as usize } else { usize::MAX };
            let (mut count, mut last) = (0, None);
            let whole = text.at(row);
            each(whole, &mut |part| {
                if with_rest && count + 1 == most {
                    // Pushed when it is known that no other follows, and then with all that does.
                    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
                    last = Some((start, part.len()));
                } else if count < most {
                    out.push(part);
                }
                count += 1;
            });
            if let Some((start, length)) = last {
                out.push(if count > most { &whole[start..] } else { &whole[start..start + length] });
            }
            Ok(())
        })
    })
}

/// The type of the texts of values of `ty`.
fn text_of(ty: &LogicalType) -> LogicalType {
    if ty.is_nullable() { LogicalType::nullable(LogicalType::String) } else { LogicalType::String }
}

/// `array_string_concat(array, separator)`. Elements that are NULL are left out.
fn join(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(1..=2)?;
    let element = call.need_array(0)?.clone();
    if !hydron_types::cast::can_cast(&element, &LogicalType::String) {
        return Err(call.illegal(0));
    }
    let as_text = (!element.bare().is_string_like() && *element.bare() != LogicalType::Nothing)
        .then(|| Convert::new(&element, &text_of(&element), call.zone()));
    let separator = if call.args.len() == 2 { call.constant_text(1)?.to_vec() } else { Vec::new() };
    if separator.len() > 1 << 20 {
        return Err(Error::new(Code::TOO_LARGE_STRING_SIZE, "the separator is longer than 1 MiB"));
    }
    call.returns(LogicalType::String, move |args, rows| {
        let lists = Lists::of(&args[0])?;
        let values = as_text.as_ref().map_or_else(|| Ok(lists.values.clone()), |c| c.array(&lists.values))?;
        let elements = Texts::of_array(&values)?;
        texts(rows, |row, out| {
            let mut first = true;
            for i in lists.range(row).filter(|i| !lists.values.is_null(*i)) {
                if !first {
                    out.extend_from_slice(&separator);
                }
                first = false;
                out.extend_from_slice(elements.at(i));
            }
        })
    })
}
