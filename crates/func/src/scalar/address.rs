//! Internet addresses, UUIDs and MAC addresses, as texts and as numbers.

use super::column::{Ints, Texts, from_natives, texts, tuple, uint64s};
use super::define::{Call, define};
use crate::call::BoundCall;
use crate::nulls::with_nulls;
use crate::registry::Registry;
use arrow::array::{ArrayRef, FixedSizeBinaryArray};
use arrow::buffer::NullBuffer;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// What a text that is no address becomes.
#[derive(Clone, Copy)]
enum Miss {
    Error,
    Default,
    Null,
}

pub fn register(registry: &mut Registry) {
    for (suffix, miss) in [("", Miss::Error), ("_or_default", Miss::Default), ("_or_null", Miss::Null)] {
        // A setting makes addresses that do not read the default.
        let miss_of = move |call: &Call<'_>| match miss {
            Miss::Error if call.cx.settings.bool("cast_ipv4_ipv6_default_on_conversion_error") => Miss::Default,
            miss => miss,
        };
        define(registry, &format!("ipv4_string_to_num{suffix}"), move |call| {
            let miss = miss_of(call);
            parse_column(call, LogicalType::UInt32, miss, Code::CANNOT_PARSE_IPV4, 4, parse4)
        });
        define(registry, &format!("ipv6_string_to_num{suffix}"), move |call| {
            let miss = miss_of(call);
            parse_column(call, LogicalType::FixedString(16), miss, Code::CANNOT_PARSE_IPV6, 16, parse6)
        });
    }
    define(registry, "ipv4_num_to_string", |call| number_text(call, |ip| ip.to_string()));
    define(registry, "ipv4_num_to_string_class_c", |call| {
        number_text(call, |ip| {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.xxx")
        })
    });
    for (alias, name) in [
        ("INET_NTOA", "ipv4_num_to_string"),
        ("INET_ATON", "ipv4_string_to_num"),
        ("INET6_NTOA", "ipv6_num_to_string"),
        ("INET6_ATON", "ipv6_string_to_num"),
    ] {
        registry.add_alias(alias, name);
        registry.fold_case(alias);
    }
    define(registry, "ipv6_num_to_string", |call| {
        call.arity(1..=1)?;
        call.need(0, is_address)?;
        call.returns(LogicalType::String, |args, rows| {
            let bytes = Texts::of(&args[0])?;
            texts(rows, |row, out| {
                let ip = <[u8; 16]>::try_from(bytes.at(row))
                    .map_or_else(|_| String::new(), |b| Ipv6Addr::from(b).to_string());
                out.extend_from_slice(ip.as_bytes());
            })
        })
    });
    define(registry, "ipv4_to_ipv6", |call| {
        call.arity(1..=1)?;
        call.need(0, |t| matches!(t, LogicalType::Ipv4 | LogicalType::UInt32))?;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::Ipv6, move |args, rows| {
            let ips = Ints::of(&args[0], &ty)?;
            Ok(bytes16(rows, |row| Ipv4Addr::from(ips.at(row) as u32).to_ipv6_mapped().octets()))
        })
    });
    for (name, four) in [("is_ipv4_string", true), ("is_ipv6_string", false)] {
        define(registry, name, move |call| {
            call.arity(1..=1)?;
            call.need_string(0)?;
            call.returns(LogicalType::UInt8, move |args, rows| {
                let text = Texts::of(&args[0])?;
                Ok(super::column::flags(rows, |i| {
                    let text = std::str::from_utf8(text.at(i)).unwrap_or("");
                    if four { text.parse::<Ipv4Addr>().is_ok() } else { text.parse::<Ipv6Addr>().is_ok() }
                }))
            })
        });
    }
    define(registry, "cut_ipv6", |call| {
        call.arity(3..=3)?;
        call.need(0, is_address)?;
        let (six, four) = (call.constant_int(1)?.clamp(0, 16) as usize, call.constant_int(2)?.clamp(0, 16) as usize);
        call.returns(LogicalType::String, move |args, rows| {
            let bytes = Texts::of(&args[0])?;
            texts(rows, |row, out| {
                let Ok(mut ip) = <[u8; 16]>::try_from(bytes.at(row)) else { return };
                let cut = if Ipv6Addr::from(ip).to_ipv4_mapped().is_some() { four } else { six };
                ip[16 - cut..].fill(0);
                out.extend_from_slice(Ipv6Addr::from(ip).to_string().as_bytes());
            })
        })
    });
    register_ranges(registry);
    register_ids(registry);
}

fn is_address(ty: &LogicalType) -> bool {
    matches!(ty, LogicalType::Ipv6 | LogicalType::FixedString(16))
}

fn bytes16(rows: usize, f: impl FnMut(usize) -> [u8; 16]) -> ArrayRef {
    let bytes: Vec<u8> = (0..rows).flat_map(f).collect();
    Arc::new(FixedSizeBinaryArray::new(16, bytes.into(), None))
}

fn parse4(text: &str) -> Option<Vec<u8>> {
    text.parse::<Ipv4Addr>().ok().map(|ip| u32::from(ip).to_le_bytes().to_vec())
}

fn parse6(text: &str) -> Option<Vec<u8>> {
    let six = text.parse::<Ipv6Addr>().ok().or_else(|| text.parse::<Ipv4Addr>().ok().map(|ip| ip.to_ipv6_mapped()));
    six.map(|ip| ip.octets().to_vec())
}

fn parse_column(
    call: &Call<'_>,
    ty: LogicalType,
    miss: Miss,
    code: Code,
    width: usize,
    parse: fn(&str) -> Option<Vec<u8>>,
) -> Result<BoundCall> {
    call.arity(1..=1)?;
    call.need(0, |t| t.is_string_like() || matches!(t, LogicalType::Ipv6 | LogicalType::Ipv4))?;
    if !call.ty(0).is_string_like() {
        let convert = call.convert(0, &ty);
        return call.returns(ty, move |args, rows| convert.array(&args[0].to_array(rows)?));
    }
    let out = if matches!(miss, Miss::Null) { LogicalType::nullable(ty.clone()) } else { ty };
    call.returns(out, move |args, rows| {
        let text = Texts::of(&args[0])?;
        let (mut bytes, mut valid) = (Vec::with_capacity(rows * width), Vec::with_capacity(rows));
        for row in 0..rows {
            let text = std::str::from_utf8(text.at(row)).unwrap_or("").trim_end_matches('\0');
            match (parse(text), miss) {
                (Some(ip), _) => bytes.extend(ip),
                (None, Miss::Error) => return Err(Error::new(code, format!("\"{text}\" is no address"))),
                (None, _) => bytes.resize(bytes.len() + width, 0),
            }
            valid.push(parse(text).is_some());
        }
        let array: ArrayRef = if width == 4 {
            let numbers = bytes.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
            from_natives::<u32>(numbers, &LogicalType::UInt32)?
        } else {
            Arc::new(FixedSizeBinaryArray::new(16, bytes.into(), None))
        };
        if matches!(miss, Miss::Null) { with_nulls(&array, &NullBuffer::from(valid)) } else { Ok(array) }
    })
}

fn number_text(call: &Call<'_>, f: fn(Ipv4Addr) -> String) -> Result<BoundCall> {
    call.arity(1..=1)?;
    call.need(0, |t| matches!(t, LogicalType::Ipv4) || t.is_unsigned_integer())?;
    let ty = call.ty(0).clone();
    call.returns(LogicalType::String, move |args, rows| {
        let ips = Ints::of(&args[0], &ty)?;
        texts(rows, |row, out| out.extend_from_slice(f(Ipv4Addr::from(ips.at(row) as u32)).as_bytes()))
    })
}

/// First and last address with the first `bits` bits of `ip`.
fn range128(ip: u128, bits: u32, width: u32) -> (u128, u128) {
    let free = width - bits.min(width);
    let mask = if free >= 128 { u128::MAX } else { (1 << free) - 1 };
    (ip & !mask, ip | mask)
}

fn register_ranges(registry: &mut Registry) {
    define(registry, "ipv4_cidr_to_range", |call| {
        call.arity(2..=2)?;
        call.need(0, |t| matches!(t, LogicalType::Ipv4 | LogicalType::UInt32))?;
        call.need_integer(1)?;
        let (ip, bits) = (call.ty(0).clone(), call.ty(1).clone());
        let pair = LogicalType::tuple([LogicalType::Ipv4, LogicalType::Ipv4]);
        call.returns(pair.clone(), move |args, rows| {
            let (ips, bits) = (Ints::of(&args[0], &ip)?, Ints::of(&args[1], &bits)?);
            let ends: Vec<(u128, u128)> =
                (0..rows).map(|i| range128(u128::from(ips.at(i) as u32), bits.at(i).clamp(0, 32) as u32, 32)).collect();
            let low = from_natives::<u32>(ends.iter().map(|e| e.0 as u32).collect(), &LogicalType::Ipv4)?;
            let high = from_natives::<u32>(ends.iter().map(|e| e.1 as u32).collect(), &LogicalType::Ipv4)?;
            tuple(&pair, vec![low, high], rows)
        })
    });
    define(registry, "ipv6_cidr_to_range", |call| {
        call.arity(2..=2)?;
        call.need(0, is_address)?;
        call.need_integer(1)?;
        let bits = call.ty(1).clone();
        let pair = LogicalType::tuple([LogicalType::Ipv6, LogicalType::Ipv6]);
        call.returns(pair.clone(), move |args, rows| {
            let (ips, bits) = (Texts::of(&args[0])?, Ints::of(&args[1], &bits)?);
            let ends: Vec<(u128, u128)> = (0..rows)
                .map(|i| {
                    range128(
                        u128::from_be_bytes(ips.at(i).try_into().unwrap_or_default()),
                        bits.at(i).clamp(0, 128) as u32,
                        128,
                    )
                })
                .collect();
            let column = |f: fn(&(u128, u128)) -> u128| bytes16(rows, |i| f(&ends[i]).to_be_bytes());
            tuple(&pair, vec![column(|e| e.0), column(|e| e.1)], rows)
        })
    });
    define(registry, "is_ip_address_in_range", |call| {
        call.arity(2..=2)?;
        call.need(0, |t| t.is_string_like() || matches!(t, LogicalType::Ipv4 | LogicalType::Ipv6))?;
        call.need_string(1)?;
        let address = matches!(call.ty(0), LogicalType::Ipv4 | LogicalType::Ipv6);
        let as_text = call.convert(0, &LogicalType::String);
        call.returns(LogicalType::UInt8, move |args, rows| {
            let given = if address { as_text.datum(&args[0])? } else { args[0].clone() };
            let (ip, range) = (Texts::of(&given)?, Texts::of(&args[1])?);
            let inside = (0..rows).map(|i| in_range(ip.at(i), range.at(i))).collect::<Result<Vec<bool>>>()?;
            Ok(super::column::flags(rows, |i| inside[i]))
        })
    });
}

fn in_range(ip: &[u8], range: &[u8]) -> Result<bool> {
    let wrong = |t: &[u8]| {
        Error::new(Code::CANNOT_PARSE_TEXT, format!("\"{}\" is no address or range", String::from_utf8_lossy(t)))
    };
    // An address with how many bits it has.
    let read = |t: &str| match (t.parse::<Ipv4Addr>(), t.parse::<Ipv6Addr>()) {
        (Ok(ip), _) => Some((u128::from(u32::from(ip)), 32)),
        (_, Ok(ip)) => Some((u128::from(ip), 128)),
        _ => None,
    };
    let text = |t: &[u8]| String::from_utf8_lossy(t).into_owned();
    let (ip_text, range_text) = (text(ip), text(range));
    let (value, width) = read(&ip_text).ok_or_else(|| wrong(ip))?;
    let (base, bits) = range_text.split_once('/').ok_or_else(|| wrong(range))?;
    let (base, base_width) = read(base).ok_or_else(|| wrong(range))?;
    let bits: u32 = bits.parse().ok().filter(|b| *b <= base_width).ok_or_else(|| wrong(range))?;
    let (low, high) = range128(base, bits, base_width);
    Ok(width == base_width && (low..=high).contains(&value))
}

fn register_ids(registry: &mut Registry) {
    define(registry, "uuid_string_to_num", |call| {
        call.arity(1..=1)?;
        call.need_string(0)?;
        call.returns(LogicalType::FixedString(16), |args, rows| {
            let text = Texts::of(&args[0])?;
            Ok(bytes16(rows, |i| uuid::Uuid::try_parse_ascii(text.at(i)).map_or([0; 16], uuid::Uuid::into_bytes)))
        })
    });
    define(registry, "uuid_num_to_string", |call| {
        call.arity(1..=1)?;
        call.need(0, |t| *t == LogicalType::FixedString(16))?;
        call.returns(LogicalType::String, |args, rows| {
            let bytes = Texts::of(&args[0])?;
            texts(rows, |row, out| {
                let id = uuid::Uuid::from_slice(bytes.at(row)).unwrap_or_default();
                out.extend_from_slice(id.hyphenated().to_string().as_bytes());
            })
        })
    });
    define(registry, "mac_num_to_string", |call| {
        call.arity(1..=1)?;
        call.need_integer(0)?;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::String, move |args, rows| {
            let macs = Ints::of(&args[0], &ty)?;
            texts(rows, |row, out| {
                let bytes = macs.at(row).to_be_bytes();
                let parts: Vec<String> = bytes[2..].iter().map(|b| format!("{b:02X}")).collect();
                out.extend_from_slice(parts.join(":").as_bytes());
            })
        })
    });
    for (name, octets) in [("mac_string_to_num", 6), ("mac_string_to_oui", 3)] {
        define(registry, name, move |call| {
            call.arity(1..=1)?;
            call.need_string(0)?;
            call.returns(LogicalType::UInt64, move |args, rows| {
                let text = Texts::of(&args[0])?;
                Ok(uint64s(rows, |i| mac(text.at(i), octets).unwrap_or(0)))
            })
        });
    }
}

/// The first octets of `AA:BB:…`; `None` when the text is no such address.
fn mac(text: &[u8], octets: usize) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() != 6 && parts.len() != octets {
        return None;
    }
    parts.iter().take(octets).try_fold(0u64, |v, p| Some(v << 8 | u64::from(u8::from_str_radix(p, 16).ok()?)))
}
