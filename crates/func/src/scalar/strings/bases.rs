//! Bytes as base 32 and as base 64 for URLs, and back.

use super::basic::map_text;
use super::encode::decoder;
use crate::registry::Registry;
use crate::scalar::define::define;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The digits of RFC 4648.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

pub(super) fn register(registry: &mut Registry) {
    define(registry, "base32_encode", |call| {
        call.arity(1..=1)?;
        map_text(call, base32)
    });
    decoder(registry, "base32_decode", "base32", false, unbase32);
    decoder(registry, "try_base32_decode", "base32", true, unbase32);
    define(registry, "base64_url_encode", |call| {
        call.arity(1..=1)?;
        map_text(call, |text, out| out.extend_from_slice(URL_SAFE_NO_PAD.encode(text).as_bytes()))
    });
    decoder(registry, "base64_url_decode", "base64 of a URL", false, unbase64_url);
    decoder(registry, "try_base64_url_decode", "base64 of a URL", true, unbase64_url);
}

fn unbase64_url(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|b| *b != b'=').map_or(0, |at| at + 1);
    URL_SAFE_NO_PAD.decode(&text[..end]).ok()
}

/// Five bits a digit, filled up with `=` to a multiple of eight digits.
fn base32(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(5) {
        let word = chunk.iter().chain([0; 5].iter()).take(5).fold(0u64, |v, b| v << 8 | u64::from(*b));
        let digits = (chunk.len() * 8).div_ceil(5);
        out.extend((0..digits).map(|n| BASE32[(word >> (35 - n * 5) & 31) as usize]));
        out.resize(out.len() + 8 - digits, b'=');
    }
}

fn unbase32(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(8) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 8 * 5);
    for (n, chunk) in text.chunks(8).enumerate() {
        let digits = chunk.iter().position(|b| *b == b'=').unwrap_or(8);
        let last = (n + 1) * 8 == text.len();
        if chunk[digits..].iter().any(|b| *b != b'=') || (digits < 8 && !last) || matches!(digits, 0 | 1 | 3 | 6) {
            return None;
        }
        let mut word = 0u64;
        for byte in &chunk[..digits] {
            let digit = BASE32.iter().position(|d| *d == byte.to_ascii_uppercase())?;
            word = word << 5 | digit as u64;
        }
        word <<= (8 - digits) * 5;
        bytes.extend_from_slice(&word.to_be_bytes()[3..][..digits * 5 / 8]);
    }
    Some(bytes)
}
