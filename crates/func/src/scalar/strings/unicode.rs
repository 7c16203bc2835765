//! Unicode normal forms, the last part of a path, and CRC-64.

use crate::registry::Registry;
use crate::scalar::column::{Texts, texts, try_texts, uint64s};
use crate::scalar::define::define;
use hydron_base::{Code, Error};
use hydron_types::LogicalType;
use unicode_normalization::UnicodeNormalization;

pub(super) fn register(registry: &mut Registry) {
    let forms: [(&str, fn(&str) -> String); 4] = [
        ("normalize_utf8_nfc", |t| t.nfc().collect()),
        ("normalize_utf8_nfd", |t| t.nfd().collect()),
        ("normalize_utf8_nfkc", |t| t.nfkc().collect()),
        ("normalize_utf8_nfkd", |t| t.nfkd().collect()),
    ];
    for (name, form) in forms {
        define(registry, name, move |call| {
            call.arity(1..=1)?;
            call.need(0, |t| *t == LogicalType::String)?;
            call.returns(LogicalType::String, move |args, rows| {
                let text = Texts::of(&args[0])?;
                try_texts(rows, |row, out| {
                    let text = std::str::from_utf8(text.at(row)).map_err(|_| {
                        Error::new(Code::CANNOT_NORMALIZE_STRING, "a text that is no UTF-8 has no normal form")
                    })?;
                    out.extend_from_slice(form(text).as_bytes());
                    Ok(())
                })
            })
        });
    }
    define(registry, "basename", |call| {
        call.arity(1..=1)?;
        call.need_string(0)?;
        call.returns(LogicalType::String, |args, rows| {
            let path = Texts::of(&args[0])?;
            texts(rows, |row, out| {
                let path = path.at(row);
                // A backslash parts a path that has no slashes.
                let end = memchr::memrchr(b'/', path).or_else(|| memchr::memrchr(b'\\', path));
                out.extend_from_slice(&path[end.map_or(0, |at| at + 1)..]);
            })
        })
    });
    define(registry, "crc64", |call| {
        call.arity(1..=1)?;
        call.need_string(0)?;
        call.returns(LogicalType::UInt64, |args, rows| {
            let text = Texts::of(&args[0])?;
            Ok(uint64s(rows, |row| crc64(text.at(row))))
        })
    });
    registry.fold_case("crc64");
}

/// CRC-64 by the polynomial of ECMA-182, reflected, from 0 and without a last inversion.
fn crc64(bytes: &[u8]) -> u64 {
    const TABLE: [u64; 256] = {
        let mut table = [0u64; 256];
        let mut n = 0;
        while n < 256 {
            let mut c = n as u64;
            let mut bit = 0;
            while bit < 8 {
                c = if c & 1 == 1 { 0xC96C_5795_D787_0F42 ^ (c >> 1) } else { c >> 1 };
                bit += 1;
            }
            table[n] = c;
            n += 1;
        }
        table
    };
    bytes.iter().fold(0, |crc, b| TABLE[((crc ^ u64::from(*b)) & 0xFF) as usize] ^ (crc >> 8))
}

#[cfg(test)]
mod tests {
    use crate::scalar::testing::check;

    #[test]
    fn characters_compose() {
        check("normalize_utf8_nfc | string:e\u{301} | string:\u{e9}");
        check("normalize_utf8_nfd | string:\u{e9} | string:e\u{301}");
        check("normalize_utf8_nfkc | string:\u{fb01} | string:fi");
        check("normalize_utf8_nfkd | string:\u{2075} | string:5");
    }
}
