//! Words and lines of a text: capital letters, the first line, how a word sounds.

use super::basic::map_text;
use crate::registry::Registry;
use crate::scalar::define::define;

pub(super) fn register(registry: &mut Registry) {
    define(registry, "initcap", |call| {
        call.arity(1..=1)?;
        map_text(call, |text, out| {
            let mut inside = false;
            for byte in text {
                out.push(if inside { byte.to_ascii_lowercase() } else { byte.to_ascii_uppercase() });
                inside = byte.is_ascii_alphanumeric();
            }
        })
    });
    define(registry, "initcap_utf8", |call| {
        call.arity(1..=1)?;
        map_text(call, |text, out| {
            let mut inside = false;
            for chunk in text.utf8_chunks() {
                for c in chunk.valid().chars() {
                    let changed: String = if inside { c.to_lowercase().collect() } else { c.to_uppercase().collect() };
                    out.extend_from_slice(changed.as_bytes());
                    inside = c.is_alphanumeric();
                }
                out.extend_from_slice(chunk.invalid());
            }
        })
    });
    registry.fold_case("initcap");
    define(registry, "first_line", |call| {
        call.arity(1..=1)?;
        map_text(call, |text, out| {
            let end = memchr::memchr2(b'\n', b'\r', text).unwrap_or(text.len());
            // A carriage return ends a line only before a line feed.
            let end = match text.get(end..end + 2) {
                Some(b"\r\n") => end,
                _ => memchr::memchr(b'\n', text)
                    .map_or(text.len(), |at| at - usize::from(at > 0 && text[at - 1] == b'\r')),
            };
            out.extend_from_slice(&text[..end]);
        })
    });
    define(registry, "soundex", |call| {
        call.arity(1..=1)?;
        map_text(call, soundex)
    });
    registry.fold_case("soundex");
}

/// A letter and three digits for the sounds of the consonants behind it.
fn soundex(text: &[u8], out: &mut Vec<u8>) {
    let digit = |letter: u8| match letter.to_ascii_uppercase() {
        b'B' | b'F' | b'P' | b'V' => b'1',
        b'C' | b'G' | b'J' | b'K' | b'Q' | b'S' | b'X' | b'Z' => b'2',
        b'D' | b'T' => b'3',
        b'L' => b'4',
        b'M' | b'N' => b'5',
        b'R' => b'6',
        _ => b'0',
    };
    let mut letters = text.iter().copied().filter(u8::is_ascii_alphabetic);
    let Some(first) = letters.next() else { return };
    let start = out.len();
    out.push(first.to_ascii_uppercase());
    let mut last = digit(first);
    for letter in letters {
        let sound = digit(letter);
        if sound != b'0' && sound != last {
            out.push(sound);
        }
        // H and W do not keep two letters of one sound apart.
        if !matches!(letter.to_ascii_uppercase(), b'H' | b'W') {
            last = sound;
        }
        if out.len() - start == 4 {
            break;
        }
    }
    out.resize(start + 4, b'0');
}
