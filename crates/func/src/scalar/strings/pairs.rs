//! `extract_key_value_pairs`: keys with values out of text that need not be written for it, such as lines of a log.
//!
//! In: text, the character between key and value, those between pairs, the quoting character. Out: a map. What does not look
//! like a pair is skipped. With escaping, `\n`, `\x41` and their like stand for one character.

use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{TextList, Texts, map, text_pairs};
use crate::scalar::define::{Call, define};
use hydron_base::{Error, Result};
use hydron_types::LogicalType;

const PAIR_DELIMITERS_MAX: usize = 8;

pub(super) fn register(registry: &mut Registry) {
    define(registry, "extract_key_value_pairs", |call| bind(call, false));
    define(registry, "extract_key_value_pairs_with_escaping", |call| bind(call, true));
    for alias in ["str_to_map", "map_from_string"] {
        registry.add_alias(alias, "extract_key_value_pairs");
        registry.fold_case(alias);
    }
}

fn bind(call: &Call<'_>, escapes: bool) -> Result<BoundCall> {
    call.arity(1..=4)?;
    call.need_string(0)?;
    let marks = Marks::of(call, escapes)?;
    let ty = LogicalType::Map(Box::new(LogicalType::String), Box::new(LogicalType::String));
    call.returns(ty.clone(), move |args, rows| {
        let text = Texts::of(&args[0])?;
        let (ends, keys, values) = text_pairs(rows, |row, keys: &mut TextList, values: &mut TextList| {
            marks.pairs(text.at(row), &mut |key, value| {
                keys.push(key);
                values.push(value);
            });
            Ok(())
        })?;
        map(&ty, ends, keys, values)
    })
}

struct Marks {
    between: u8,
    after: Vec<u8>,
    quote: u8,
    escapes: bool,
}

impl Marks {
    /// Errors: BAD_ARGUMENTS (36) for marks that are not one character, or not different from each other.
    fn of(call: &Call<'_>, escapes: bool) -> Result<Marks> {
        let given = |position: usize| match call.args.get(position) {
            Some(_) => call.constant_text(position).map(|t| Some(t.to_vec())),
            None => Ok(None),
        };
        let one = |text: Option<Vec<u8>>, default: u8, what: &str| match text.as_deref() {
            None | Some([]) => Ok(default),
            Some([mark]) => Ok(*mark),
            Some(_) => Err(Error::bad_arguments(format!("the {what} of \"{}\" must be one character", call.name))),
        };
        let between = one(given(1)?, b':', "key-value delimiter")?;
        let after = given(2)?.filter(|marks| !marks.is_empty()).unwrap_or_else(|| b" ,;".to_vec());
        let quote = one(given(3)?, b'"', "quoting character")?;
        if after.len() > PAIR_DELIMITERS_MAX {
            return Err(Error::bad_arguments(format!(
                "at most {PAIR_DELIMITERS_MAX} pair delimiters, given {}",
                after.len()
            )));
        }
        let same = between == quote || after.contains(&between) || after.contains(&quote);
        if same || (escapes && (between == b'\\' || quote == b'\\' || after.contains(&b'\\'))) {
            return Err(Error::bad_arguments(
                "delimiters and quoting character must differ, from a backslash too where it escapes",
            ));
        }
        Ok(Marks { between, after, quote, escapes })
    }

    fn pairs(&self, mut text: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) {
        while let Some((key, rest)) = self.key(&mut text) {
            let (value, rest) = match rest.split_first() {
                Some((first, inside)) if *first == self.quote => match self.quoted(inside) {
                    Token::Whole(value, rest) => (value, rest),
                    Token::Broken(rest) => {
                        text = rest;
                        continue;
                    }
                },
                Some((b'\\', _)) if self.escapes => {
                    text = rest;
                    continue;
                }
                _ => self.value(rest),
            };
            each(&key, &value);
            text = rest;
        }
    }

    /// The next key, and what follows its delimiter. Moves `text` over what is no key; `None` at the end.
    fn key<'a>(&self, text: &mut &'a [u8]) -> Option<(Vec<u8>, &'a [u8])> {
        loop {
            let idle = |b: &u8| *b == self.between || self.after.contains(b) || (self.escapes && *b == b'\\');
            let start = text.iter().position(|b| !idle(b))?;
            *text = &text[start..];
            if text[0] == self.quote {
                match self.quoted(&text[1..]) {
                    Token::Whole(key, rest) if !key.is_empty() && rest.first() == Some(&self.between) => {
                        return Some((key, &rest[1..]));
                    }
                    Token::Whole(_, rest) | Token::Broken(rest) => *text = rest,
                }
                continue;
            }
            match self.plain_key(text) {
                Token::Whole(key, rest) => return Some((key, rest)),
                Token::Broken(rest) => *text = rest,
            }
        }
    }

    fn plain_key<'a>(&self, text: &'a [u8]) -> Token<'a> {
        let mut key = Vec::new();
        let mut at = 0;
        while let Some(byte) = text.get(at) {
            match *byte {
                b'\\' if self.escapes => match unescape(&text[at..], &mut key) {
                    Some(length) => at += length,
                    None => return Token::Broken(&text[(at + 2).min(text.len())..]),
                },
                b if b == self.between => return Token::Whole(key, &text[at + 1..]),
                b if self.after.contains(&b) => return Token::Broken(&text[at + 1..]),
                // A quote starts the key anew.
                b if b == self.quote => return Token::Broken(&text[at..]),
                b => {
                    key.push(b);
                    at += 1;
                }
            }
        }
        Token::Broken(&[])
    }

    /// A text up to the closing quote.
    fn quoted<'a>(&self, text: &'a [u8]) -> Token<'a> {
        let mut value = Vec::new();
        let mut at = 0;
        while let Some(byte) = text.get(at) {
            match *byte {
                b'\\' if self.escapes => match unescape(&text[at..], &mut value) {
                    Some(length) => at += length,
                    None => return Token::Broken(&text[(at + 2).min(text.len())..]),
                },
                b if b == self.quote => return Token::Whole(value, &text[at + 1..]),
                b => {
                    value.push(b);
                    at += 1;
                }
            }
        }
        Token::Broken(&[])
    }

    fn value<'a>(&self, text: &'a [u8]) -> (Vec<u8>, &'a [u8]) {
        let mut value = Vec::new();
        let mut at = 0;
        while let Some(byte) = text.get(at) {
            match *byte {
                b'\\' if self.escapes => match unescape(&text[at..], &mut value) {
                    Some(length) => at += length,
                    None => return (value, &text[(at + 2).min(text.len())..]),
                },
                b if self.after.contains(&b) => return (value, &text[at + 1..]),
                b => {
                    value.push(b);
                    at += 1;
                }
            }
        }
        (value, &[])
    }
}

enum Token<'a> {
    Whole(Vec<u8>, &'a [u8]),
    /// No token; where to go on.
    Broken(&'a [u8]),
}

/// Appends what an escape sequence stands for; its length. `None` for a backslash that escapes nothing.
fn unescape(text: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let byte = *text.get(1)?;
    let plain = match byte {
        b'x' => {
            let digits = std::str::from_utf8(text.get(2..4)?).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            return Some(4);
        }
        b'N' => return Some(2),
        b'a' => 0x07,
        b'b' => 0x08,
        b'e' => 0x1B,
        b'f' => 0x0C,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0B,
        b'0' => 0,
        b'\\' | b'\'' | b'"' | b'`' | b'/' | b'=' => byte,
        // Anything else keeps its backslash.
        other if !other.is_ascii_control() => {
            out.push(b'\\');
            other
        }
        _ => return None,
    };
    out.push(plain);
    Some(2)
}
