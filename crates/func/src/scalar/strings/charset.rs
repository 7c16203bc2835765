//! `convert_charset(text, from, to)`: a text in one character set becomes the same text in another.
//!
//! In: bytes and two names, as the WHATWG lists them (`latin1`, `windows-1251`, `utf-16le`, `utf-32be`, …). Out: bytes. What one of
//! the sets does not have becomes its replacement character: U+FFFD, or a question mark.

use crate::registry::Registry;
use crate::scalar::column::{Texts, texts};
use crate::scalar::define::define;
use encoding_rs::{EncoderResult, Encoding, UTF_8};
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;

/// A character set.
#[derive(Clone, Copy)]
enum Charset {
    /// Words of 2 or 4 bytes; whether the highest byte comes first.
    Utf16(bool),
    Utf32(bool),
    Listed(&'static Encoding),
}

impl Charset {
    /// Errors: CANNOT_CREATE_CHARSET_CONVERTER (360).
    fn named(name: &[u8]) -> Result<Charset> {
        let plain: String =
            String::from_utf8_lossy(name).to_ascii_lowercase().chars().filter(|c| !matches!(c, '-' | '_')).collect();
        Ok(match plain.as_str() {
            "utf16le" | "utf16" => Charset::Utf16(false),
            "utf16be" => Charset::Utf16(true),
            "utf32le" | "utf32" => Charset::Utf32(false),
            "utf32be" => Charset::Utf32(true),
            "usascii" => Charset::Listed(encoding_rs::WINDOWS_1252),
            _ => {
                let listed = Encoding::for_label(name).or_else(|| Encoding::for_label(plain.as_bytes()));
                let wrong = || {
                    let text = format!("the character set '{}' is unknown", String::from_utf8_lossy(name));
                    Error::new(Code::CANNOT_CREATE_CHARSET_CONVERTER, text)
                };
                Charset::Listed(listed.ok_or_else(wrong)?)
            }
        })
    }

    fn decode(self, bytes: &[u8]) -> String {
        let part = |chunk: &[u8], big: bool| {
            let fold = |v: u32, b: &u8| v << 8 | u32::from(*b);
            if big { chunk.iter().fold(0, fold) } else { chunk.iter().rev().fold(0, fold) }
        };
        match self {
            Charset::Utf16(big) => {
                let units = bytes.chunks_exact(2).map(|c| part(c, big) as u16);
                char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            }
            Charset::Utf32(big) => {
                let chars = bytes.chunks_exact(4).map(|c| char::from_u32(part(c, big)));
                chars.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            }
            Charset::Listed(encoding) => encoding.decode_without_bom_handling(bytes).0.into_owned(),
        }
    }

    fn encode(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Charset::Utf16(big) => {
                text.encode_utf16().for_each(|u| out.extend(if big { u.to_be_bytes() } else { u.to_le_bytes() }))
            }
            Charset::Utf32(big) => text.chars().map(u32::from).for_each(|c| {
                out.extend(if big { c.to_be_bytes() } else { c.to_le_bytes() });
            }),
            Charset::Listed(encoding) if encoding == UTF_8 => out.extend_from_slice(text.as_bytes()),
            Charset::Listed(encoding) => encode_listed(encoding, text, out),
        }
    }
}

/// Characters that the set does not have become question marks.
fn encode_listed(encoding: &'static Encoding, text: &str, out: &mut Vec<u8>) {
    let mut encoder = encoding.new_encoder();
    let mut rest = text;
    let mut buffer = [0; 1024];
    loop {
        let (result, read, written) = encoder.encode_from_utf8_without_replacement(rest, &mut buffer, true);
        out.extend_from_slice(&buffer[..written]);
        rest = &rest[read..];
        match result {
            EncoderResult::InputEmpty => return,
            EncoderResult::OutputFull => {}
            EncoderResult::Unmappable(_) => out.push(b'?'),
        }
    }
}

pub(super) fn register(registry: &mut Registry) {
    define(registry, "convert_charset", |call| {
        call.arity(3..=3)?;
        call.need(0, |t| *t == LogicalType::String)?;
        let (from, to) = (Charset::named(call.constant_text(1)?)?, Charset::named(call.constant_text(2)?)?);
        call.returns(LogicalType::String, move |args, rows| {
            let text = Texts::of(&args[0])?;
            texts(rows, |row, out| to.encode(&from.decode(text.at(row)), out))
        })
    });
}
