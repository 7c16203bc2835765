//! Bytes as hex, bits, base64, base58, URL and XML escapes, and back; characters by number; `format`.

use super::basic::map_text;
use crate::call::{BoundCall, Datum};
use crate::registry::Registry;
use crate::scalar::column::{Ints, Texts, natives, numbers, texts, try_texts};
use crate::scalar::define::{Call, define};
use crate::scalar::number::{number_layout, to_vec};
use arrow::datatypes::i256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;

pub(super) fn register(registry: &mut Registry) {
    for (name, bits) in [("hex", 4), ("bin", 1)] {
        define(registry, name, move |call| digits(call, bits));
        registry.fold_case(name);
    }
    define(registry, "unhex", |call| {
        call.arity(1..=1)?;
        map_text(call, unhex)
    });
    registry.fold_case("unhex");
    define(registry, "unbin", |call| {
        call.arity(1..=1)?;
        map_text(call, |text, out| {
            let head = text.len() % 8;
            let value = |bits: &[u8]| bits.iter().fold(0u8, |v, b| v << 1 | (b & 1));
            if head > 0 {
                out.push(value(&text[..head]));
            }
            out.extend(text[head..].chunks(8).map(value));
        })
    });
    register_bases(registry);
    register_url(registry);
    register_xml(registry);
    define(registry, "ascii", |call| {
        call.arity(1..=1)?;
        call.need_string(0)?;
        call.returns(LogicalType::Int32, |args, rows| {
            let text = Texts::of(&args[0])?;
            Ok(numbers::<arrow::datatypes::Int32Type>(rows, |i| text.at(i).first().map_or(0, |b| i32::from(*b))))
        })
    });
    registry.fold_case("ascii");
    define(registry, "char", |call| {
        call.arity(1..=usize::MAX)?;
        (0..call.args.len()).try_for_each(|i| call.need_number(i))?;
        let types = call.types();
        call.returns(LogicalType::String, move |args, rows| {
            let codes = args.iter().zip(&types).map(|(a, t)| Ints::of(a, t)).collect::<Result<Vec<_>>>()?;
            texts(rows, |row, out| out.extend(codes.iter().map(|c| c.at(row) as u8)))
        })
    });
    registry.fold_case("char");
    define(registry, "format", format);
    define(registry, "crc32", |call| crc(call, 0xEDB8_8320, 0xFFFF_FFFF, 0xFFFF_FFFF));
    define(registry, "crc32_ieee", |call| crc(call, 0xEDB8_8320, 0xFFFF_FFFF, 0));
    registry.fold_case("crc32");
}

/// `hex` (4 bits a digit) and `bin` (1): numbers from their highest byte that is not zero, everything else byte by byte.
fn digits(call: &Call<'_>, bits: usize) -> Result<BoundCall> {
    call.arity(1..=1)?;
    let ty = call.ty(0).clone();
    use LogicalType::*;
    let bytes = ty.is_string_like() || matches!(ty, Uuid | Ipv6 | AggregateFunction { .. });
    let number = ty.is_number() || ty.is_date_or_time() || matches!(ty, Bool | Ipv4 | Enum8(_) | Enum16(_));
    if !bytes && !number {
        return Err(call.illegal(0));
    }
    call.returns(String, move |args, rows| {
        if bytes {
            let text = Texts::of(&args[0])?;
            return texts(rows, |row, out| text.at(row).iter().for_each(|b| push_digits(*b, bits, out)));
        }
        let array = args[0].array()?;
        // Floats and decimals show their memory, lowest byte first.
        let memory: Option<(Vec<u8>, usize)> = match &ty {
            Float32 => Some((natives::<f32>(array)?.iter().flat_map(|v| v.to_le_bytes()).collect(), 4)),
            Float64 => Some((natives::<f64>(array)?.iter().flat_map(|v| v.to_le_bytes()).collect(), 8)),
            Decimal { .. } => {
                let width = number_layout(&ty).bits().unwrap_or(64) as usize / 8;
                let values = to_vec::<i256>(array, &ty)?;
                Some((values.iter().flat_map(|v| v.to_le_bytes()[..width].to_vec()).collect(), width))
            }
            _ => None,
        };
        let at = |row: usize| if args[0].is_scalar() { 0 } else { row };
        if let Some((memory, width)) = memory {
            return texts(rows, |row, out| {
                memory[at(row) * width..][..width].iter().for_each(|b| push_digits(*b, bits, out))
            });
        }
        // A date takes two bytes and a time four, whatever holds them here.
        let width = match &ty {
            Date => 2,
            DateTime(_) => 4,
            t => number_layout(t).bits().unwrap_or(8) as usize / 8,
        };
        let values = to_vec::<i256>(array, &ty)?;
        texts(rows, |row, out| {
            let bytes = values[at(row)].to_be_bytes();
            let bytes = &bytes[32 - width..];
            let start = bytes.iter().position(|b| *b != 0).unwrap_or(width - 1);
            bytes[start..].iter().for_each(|b| push_digits(*b, bits, out));
        })
    })
}

fn push_digits(byte: u8, bits: usize, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mask = (1u8 << bits) - 1;
    (0..8 / bits).rev().for_each(|i| out.push(HEX[usize::from(byte >> (i * bits) & mask)]));
}

fn unhex(text: &[u8], out: &mut Vec<u8>) {
    let digit = |b: u8| char::from(b).to_digit(16).unwrap_or(0xFF) as u8;
    let head = text.len() % 2;
    if head == 1 {
        out.push(digit(text[0]));
    }
    out.extend(text[head..].chunks(2).map(|p| digit(p[0]) << 4 | digit(p[1]) & 0x0F));
}

fn register_bases(registry: &mut Registry) {
    define(registry, "base64_encode", |call| {
        call.arity(1..=1)?;
        map_text(call, |text, out| out.extend_from_slice(STANDARD.encode(text).as_bytes()))
    });
    decoder(registry, "base64_decode", "base64", false, |text| STANDARD.decode(text).ok());
    decoder(registry, "try_base64_decode", "base64", true, |text| STANDARD.decode(text).ok());
    registry.add_alias("to_base64", "base64_encode");
    registry.add_alias("from_base64", "base64_decode");
    for name in ["to_base64", "from_base64"] {
        registry.fold_case(name);
    }
    define(registry, "base58_encode", |call| {
        call.arity(1..=1)?;
        map_text(call, |text, out| out.extend(base58(text)))
    });
    decoder(registry, "base58_decode", "base58", false, unbase58);
    decoder(registry, "try_base58_decode", "base58", true, unbase58);
}

pub(super) fn decoder(
    registry: &mut Registry,
    name: &str,
    code: &'static str,
    or_empty: bool,
    decode: fn(&[u8]) -> Option<Vec<u8>>,
) {
    define(registry, name, move |call| {
        call.arity(1..=1)?;
        call.need_string(0)?;
        call.returns(LogicalType::String, move |args, rows| {
            let text = Texts::of(&args[0])?;
            try_texts(rows, |row, out| {
                match decode(text.at(row)) {
                    Some(bytes) => out.extend(bytes),
                    None if or_empty => {}
                    None => {
                        let text = String::from_utf8_lossy(text.at(row));
                        let number = if code == "base58" { Code::BAD_ARGUMENTS } else { Code::INCORRECT_DATA };
                        return Err(Error::new(number, format!("\"{text}\" is no {code}")));
                    }
                }
                Ok(())
            })
        })
    });
}

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

fn base58(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    // Digits from the lowest.
    let mut digits: Vec<u8> = Vec::new();
    for byte in &bytes[zeros..] {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += u32::from(*digit) << 8;
            *digit = (carry % 58) as u8;
            carry /= 58;
        }
        while carry > 0 {
            digits.push((carry % 58) as u8);
            carry /= 58;
        }
    }
    let digits = digits.iter().rev().map(|d| BASE58[usize::from(*d)]);
    std::iter::repeat_n(b'1', zeros).chain(digits).collect()
}

fn unbase58(text: &[u8]) -> Option<Vec<u8>> {
    let zeros = text.iter().take_while(|b| **b == b'1').count();
    let mut bytes: Vec<u8> = Vec::new();
    for c in &text[zeros..] {
        let mut carry = BASE58.iter().position(|d| d == c)? as u32;
        for byte in &mut bytes {
            carry += u32::from(*byte) * 58;
            *byte = carry as u8;
            carry >>= 8;
        }
        while carry > 0 {
            bytes.push(carry as u8);
            carry >>= 8;
        }
    }
    Some(std::iter::repeat_n(0, zeros).chain(bytes.into_iter().rev()).collect())
}

fn register_url(registry: &mut Registry) {
    for (name, form) in [("encode_url_component", false), ("encode_url_form_component", true)] {
        define(registry, name, move |call| {
            call.arity(1..=1)?;
            map_text(call, move |text, out| {
                for byte in text {
                    match byte {
                        b'-' | b'_' | b'.' | b'~' => out.push(*byte),
                        b if b.is_ascii_alphanumeric() => out.push(*b),
                        b' ' if form => out.push(b'+'),
                        b => {
                            out.push(b'%');
                            push_digits(*b, 4, out);
                        }
                    }
                }
            })
        });
    }
    for (name, form) in [("decode_url_component", false), ("decode_url_form_component", true)] {
        define(registry, name, move |call| {
            call.arity(1..=1)?;
            map_text(call, move |text, out| decode_url(text, form, out))
        });
    }
}

/// `%41` becomes `A`; what is no escape stays.
fn decode_url(text: &[u8], form: bool, out: &mut Vec<u8>) {
    let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
    let mut i = 0;
    while i < text.len() {
        match (text[i], digit(text.get(i + 1)), digit(text.get(i + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                i += 2;
            }
            (b'+', ..) if form => out.push(b' '),
            (b, ..) => out.push(b),
        }
        i += 1;
    }
}

const XML: [(&str, &str); 5] = [("<", "&lt;"), (">", "&gt;"), ("&", "&amp;"), ("\"", "&quot;"), ("'", "&apos;")];

fn register_xml(registry: &mut Registry) {
    define(registry, "encode_xml_component", |call| {
        call.arity(1..=1)?;
        map_text(call, |text, out| {
            for byte in text {
                match XML.iter().find(|(plain, _)| plain.as_bytes() == [*byte]) {
                    Some((_, escaped)) => out.extend_from_slice(escaped.as_bytes()),
                    None => out.push(*byte),
                }
            }
        })
    });
    define(registry, "decode_xml_component", |call| {
        call.arity(1..=1)?;
        map_text(call, |text, out| {
            let mut rest = text;
            while let Some(at) = memchr::memchr(b'&', rest) {
                out.extend_from_slice(&rest[..at]);
                rest = &rest[at..];
                let taken = xml_entity(rest, out);
                if taken == 0 {
                    out.push(b'&');
                }
                rest = &rest[taken.max(1)..];
            }
            out.extend_from_slice(rest);
        })
    });
}

/// Writes the character of the entity at the start of `text` and returns its length; 0 when there is none.
fn xml_entity(text: &[u8], out: &mut Vec<u8>) -> usize {
    if let Some((plain, escaped)) = XML.iter().find(|(_, e)| text.starts_with(e.as_bytes())) {
        out.extend_from_slice(plain.as_bytes());
        return escaped.len();
    }
    let number = |text: &[u8]| -> Option<(char, usize)> {
        let end = memchr::memchr(b';', text)?;
        let digits = std::str::from_utf8(text.strip_prefix(b"&#")?.get(..end - 2)?).ok()?;
        let code = match digits.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => digits.parse().ok()?,
        };
        Some((char::from_u32(code)?, end + 1))
    };
    match number(text) {
        Some((c, length)) => {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            length
        }
        None => 0,
    }
}

/// `format('{} is {1}', …)`: `{}` takes the arguments in turn, `{n}` the n-th from 0; `{{` is a brace.
fn format(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(1..=usize::MAX)?;
    let pattern = call.constant_text(0)?;
    let given = call.args.len() - 1;
    let parts = format_parts(pattern, given)?;
    let plain: Vec<bool> = call.args.iter().map(|a| a.ty.is_string_like()).collect();
    let conversions: Vec<_> = (0..call.args.len()).map(|i| call.convert(i, &LogicalType::String)).collect();
    call.returns(LogicalType::String, move |args, rows| {
        let args = args
            .iter()
            .enumerate()
            .map(|(i, a)| if plain[i] { Ok(a.clone()) } else { conversions[i].datum(a) })
            .collect::<Result<Vec<Datum>>>()?;
        let values = args[1..].iter().map(Texts::of).collect::<Result<Vec<_>>>()?;
        texts(rows, |row, out| {
            for part in &parts {
                match part {
                    Ok(n) => out.extend_from_slice(values[*n].at(row)),
                    Err(literal) => out.extend_from_slice(literal),
                }
            }
        })
    })
}

/// Arguments (`Ok`) and literals (`Err`) of a format.
fn format_parts(pattern: &[u8], given: usize) -> Result<Vec<std::result::Result<usize, Vec<u8>>>> {
    let wrong = |what: &str| Error::bad_arguments(format!("format \"{}\": {what}", String::from_utf8_lossy(pattern)));
    let mut parts = Vec::new();
    let mut literal = Vec::new();
    let (mut next, mut i) = (0, 0);
    let (mut by_turn, mut by_number) = (false, false);
    while i < pattern.len() {
        match (pattern[i], pattern.get(i + 1)) {
            (b'{', Some(b'{')) | (b'}', Some(b'}')) => {
                literal.push(pattern[i]);
                i += 1;
            }
            (b'}', _) => return Err(wrong("a closing brace without an opening one")),
            (b'{', _) => {
                let end = pattern[i..]
                    .iter()
                    .position(|b| *b == b'}')
                    .ok_or_else(|| wrong("an opening brace without a closing one"))?;
                let name = std::str::from_utf8(&pattern[i + 1..i + end]).unwrap_or("?");
                let n = if name.is_empty() {
                    by_turn = true;
                    next += 1;
                    next - 1
                } else {
                    by_number = true;
                    name.parse().map_err(|_| wrong("an argument is named by its number"))?
                };
                if by_turn && by_number {
                    return Err(wrong("arguments are taken in turn or by number, not both"));
                }
                if n >= given {
                    return Err(wrong(&format!("argument {n} is missing")));
                }
                parts.push(Err(std::mem::take(&mut literal)));
                parts.push(Ok(n));
                i += end;
            }
            (b, _) => literal.push(b),
        }
        i += 1;
    }
    parts.push(Err(literal));
    Ok(parts)
}

/// A reflected CRC of 32 bits.
fn crc(call: &Call<'_>, polynomial: u32, start: u32, end: u32) -> Result<BoundCall> {
    call.arity(1..=1)?;
    call.need_string(0)?;
    let table: Vec<u32> =
        (0..256u32).map(|n| (0..8).fold(n, |c, _| if c & 1 == 1 { polynomial ^ (c >> 1) } else { c >> 1 })).collect();
    call.returns(LogicalType::UInt32, move |args, rows| {
        let text = Texts::of(&args[0])?;
        let crc = |t: &[u8]| t.iter().fold(start, |c, b| table[((c ^ u32::from(*b)) & 0xFF) as usize] ^ (c >> 8)) ^ end;
        Ok(numbers::<arrow::datatypes::UInt32Type>(rows, |i| crc(text.at(i))))
    })
}
