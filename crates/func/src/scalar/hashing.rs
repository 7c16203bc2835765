//! Hashes: of any value (city, sip, xx, murmur, …), of bytes (MD5, SHA), and consistent ones.
//!
//! Values are hashed as ClickHouse does: numbers by their little-endian memory (or an integer hash, for `city_hash64`),
//! strings by their bytes, arrays and tuples element by element, several arguments combined from left to right.

mod city;
mod consistent;
mod digest;
mod farm;
mod ids;
mod murmur;
mod sip;
mod swift;
#[cfg(test)]
mod tests;

use super::column::{Ints, Lists, Texts, from_natives, int64s, numbers, texts, uint64s};
use super::define::{Call, define};
use super::number::{Num, number_layout, to_vec};
use crate::call::{BoundCall, Datum, downcast};
use crate::nulls::without_nulls;
use crate::registry::Registry;
use arrow::array::{Array, ArrayRef, StructArray};
use arrow::datatypes::{Int32Type, UInt32Type, i256};
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512, Sha512_256};
use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// One way to hash values, to words of 64 bits or (`H` = [`Pair`]) of 128.
struct Scheme<H> {
    bytes: Box<dyn Fn(&[u8]) -> H + Send + Sync>,
    combine: Box<dyn Fn(H, H) -> H + Send + Sync>,
    /// Numbers of at most 64 bits go through this instead of their bytes.
    integer: Option<fn(u64) -> H>,
    /// The hash of how many elements an array has.
    length: fn(u64) -> H,
}

/// The two halves of a hash of 128 bits, the lower one first.
pub(crate) type Pair = [u64; 2];

/// What a hash of nothing at all is.
const NOTHING: u64 = 0xE28D_BDE7_FE22_E41C;

pub(crate) fn sip64(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(bytes);
    hasher.finish()
}

fn md5_half(bytes: &[u8]) -> u64 {
    let digest = Md5::digest(bytes);
    digest.iter().take(8).fold(0, |v, b| v << 8 | u64::from(*b))
}

fn pair_bytes(a: u64, b: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&a.to_le_bytes());
    bytes[8..].copy_from_slice(&b.to_le_bytes());
    bytes
}

fn pair_bytes_32(a: u64, b: u64) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&(a as u32).to_le_bytes());
    bytes[4..].copy_from_slice(&(b as u32).to_le_bytes());
    bytes
}

fn xx32(bytes: &[u8]) -> u64 {
    u64::from(twox_hash::XxHash32::oneshot(0, bytes))
}

fn xx64(bytes: &[u8]) -> u64 {
    twox_hash::XxHash64::oneshot(0, bytes)
}

pub fn register(registry: &mut Registry) {
    type Schemed = (&'static str, fn() -> Scheme<u64>);
    let schemes: [Schemed; 12] = [
        ("city_hash64", || scheme(city::hash64, city::combine, Some(int_hash64))),
        ("sip_hash64", || in_pairs(sip64)),
        ("xx_hash64", || in_pairs(xx64)),
        ("xxh3", || scheme(twox_hash::XxHash3_64::oneshot, city::combine, None)),
        ("half_md5", || in_pairs(md5_half)),
        ("farm_fingerprint64", || scheme(farm::fingerprint64, city::combine, Some(int_hash64))),
        ("farm_hash64", || scheme(farm::hash64, city::combine, Some(int_hash64))),
        ("metro_hash64", || scheme(swift::metro64, city::combine, Some(int_hash64))),
        ("wy_hash64", || in_pairs(swift::wy64)),
        ("murmur_hash2_64", || scheme(|b| murmur::two_64(b, 0), MIXED, None)),
        ("gcc_murmur_hash", || scheme(|b| murmur::two_64(b, 0xC70F_6907), MIXED, None)),
        ("murmur_hash3_64", || scheme(|b| murmur::three_128(b).iter().fold(0, |a, v| a ^ v), MIXED, None)),
    ];
    for (name, scheme) in schemes {
        define(registry, name, move |call| any(call, 0, scheme(), LogicalType::UInt64));
    }
    let narrow: [Schemed; 4] = [
        ("xx_hash32", || {
            let combine = |a, b| xx32(&pair_bytes_32(a, b));
            Scheme { length: |n| u64::from(int_hash32(n)), ..scheme(xx32, combine, None) }
        }),
        ("murmur_hash2_32", || narrow_mixed(|b| u64::from(murmur::two_32(b, 0)))),
        ("murmur_hash3_32", || narrow_mixed(|b| u64::from(murmur::three_32(b)))),
        ("kafka_murmur_hash", || narrow_mixed(|b| u64::from(murmur::two_32(b, KAFKA_SEED) & (u32::MAX >> 1)))),
    ];
    for (name, scheme) in narrow {
        define(registry, name, move |call| any(call, 0, scheme(), LogicalType::UInt32));
    }
    register_wide(registry);
    register_integers(registry);
    register_java(registry);
    consistent::register(registry);
    register_urls(registry);
    register_ids(registry);
    digest(registry, "md4", digest::md4);
    digest(registry, "md5", |text| Md5::digest(text).into());
    digest(registry, "sha1", |text| Sha1::digest(text).into());
    digest(registry, "sha224", |text| Sha224::digest(text).into());
    digest(registry, "sha256", |text| Sha256::digest(text).into());
    digest(registry, "sha384", |text| Sha384::digest(text).into());
    digest(registry, "sha512", |text| Sha512::digest(text).into());
    digest(registry, "sha512_256", |text| Sha512_256::digest(text).into());
    digest(registry, "blake3", digest::blake3);
    for name in ["md4", "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha512_256", "blake3"] {
        registry.fold_case(name);
    }
    define(registry, "weak_hash32", |call| {
        call.arity(1..=usize::MAX)?;
        let types = call.types();
        call.returns(LogicalType::UInt32, move |args, rows| {
            let columns = args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
            let hashes = weak_hash32(&columns, &types, rows)?;
            from_natives(hashes, &LogicalType::UInt32)
        })
    });
}

/// Kafka's clients hash keys with this seed and without the highest bit.
const KAFKA_SEED: u32 = 0x9747_B28C;

const MIXED: fn(u64, u64) -> u64 = |a, b| int_hash64(a) ^ b;

fn scheme(bytes: fn(&[u8]) -> u64, combine: fn(u64, u64) -> u64, integer: Option<fn(u64) -> u64>) -> Scheme<u64> {
    Scheme { bytes: Box::new(bytes), combine: Box::new(combine), integer, length: int_hash64 }
}

/// Two hashes are combined by hashing both as bytes.
fn in_pairs(bytes: fn(&[u8]) -> u64) -> Scheme<u64> {
    let combine = move |a, b| bytes(&pair_bytes(a, b));
    Scheme { bytes: Box::new(bytes), combine: Box::new(combine), integer: None, length: int_hash64 }
}

fn narrow_mixed(bytes: fn(&[u8]) -> u64) -> Scheme<u64> {
    let combine = |a: u64, b: u64| u64::from(int_hash32(a)) ^ b;
    Scheme { length: |n| u64::from(int_hash32(n)), ..scheme(bytes, combine, None) }
}

/// The same for 128 bits.
fn wide_in_pairs(bytes: impl Fn(&[u8]) -> Pair + Copy + Send + Sync + 'static) -> Scheme<Pair> {
    let combine = move |a: Pair, b: Pair| {
        let mut both = [0; 32];
        both[..16].copy_from_slice(&pair_bytes(a[0], a[1]));
        both[16..].copy_from_slice(&pair_bytes(b[0], b[1]));
        bytes(&both)
    };
    Scheme { bytes: Box::new(bytes), combine: Box::new(combine), integer: None, length: |n| [int_hash64(n), 0] }
}

/// A hash as a column of the result.
trait Hashed: Copy + Default + Send + Sync + 'static {
    /// The hash of no arguments.
    const NONE: Self;
    fn column(hashes: Vec<Self>, ty: &LogicalType) -> Result<ArrayRef>;
}

impl Hashed for u64 {
    const NONE: u64 = NOTHING;
    fn column(hashes: Vec<u64>, ty: &LogicalType) -> Result<ArrayRef> {
        Ok(match ty {
            LogicalType::UInt32 => numbers::<UInt32Type>(hashes.len(), |i| hashes[i] as u32),
            _ => uint64s(hashes.len(), |i| hashes[i]),
        })
    }
}

impl Hashed for Pair {
    const NONE: Pair = [NOTHING, 0];
    fn column(hashes: Vec<Pair>, ty: &LogicalType) -> Result<ArrayRef> {
        let column = texts(hashes.len(), |i, out| out.extend_from_slice(&pair_bytes(hashes[i][0], hashes[i][1])))?;
        super::define::Convert::new(&LogicalType::String, ty, hydron_types::Zone::UTC).array(&column)
    }
}

/// Hashes the arguments from position `first` on.
fn any<H: Hashed>(call: &Call<'_>, first: usize, scheme: Scheme<H>, ty: LogicalType) -> Result<BoundCall> {
    let types = call.types();
    let result = ty.clone();
    call.returns(ty, move |args, rows| {
        let mut hashes: Option<Vec<H>> = None;
        for (arg, ty) in args.iter().zip(&types).skip(first) {
            add(&scheme, &mut hashes, &arg.to_array(rows)?, ty)?;
        }
        H::column(hashes.unwrap_or_else(|| vec![H::NONE; rows]), &result)
    })
}

/// Combines the hashes so far with those of one column.
fn add<H: Hashed>(scheme: &Scheme<H>, hashes: &mut Option<Vec<H>>, array: &ArrayRef, ty: &LogicalType) -> Result<()> {
    let mut put = |column: Vec<H>| match hashes {
        None => *hashes = Some(column),
        Some(so_far) => so_far.iter_mut().zip(column).for_each(|(a, b)| *a = (scheme.combine)(*a, b)),
    };
    match ty.bare() {
        LogicalType::Tuple(elements) => {
            let tuple: &StructArray = downcast(array)?;
            for (column, (_, ty)) in tuple.columns().iter().zip(elements.iter()) {
                add(scheme, hashes, &without_nulls(column), ty)?;
            }
            return Ok(());
        }
        LogicalType::Array(element) => put(lists(scheme, array, |values| one(scheme, values, element))?),
        LogicalType::Map(k, v) => {
            let pair = LogicalType::tuple([(**k).clone(), (**v).clone()]);
            put(lists(scheme, array, |values| one(scheme, values, &pair))?);
        }
        ty => put(leaf(scheme, array, ty)?),
    }
    Ok(())
}

fn one<H: Hashed>(scheme: &Scheme<H>, array: &ArrayRef, ty: &LogicalType) -> Result<Vec<H>> {
    let mut hashes = None;
    add(scheme, &mut hashes, &without_nulls(array), ty)?;
    Ok(hashes.unwrap_or_default())
}

/// The hash of a length, combined with those of the elements.
fn lists<H: Hashed>(
    scheme: &Scheme<H>,
    array: &ArrayRef,
    elements: impl Fn(&ArrayRef) -> Result<Vec<H>>,
) -> Result<Vec<H>> {
    let rows = array.len();
    let datum = Datum::Array(array.clone());
    let lists = Lists::of(&datum)?;
    let hashes = elements(&lists.values)?;
    Ok((0..rows)
        .map(|row| lists.range(row).fold((scheme.length)(lists.len(row) as u64), |h, i| (scheme.combine)(h, hashes[i])))
        .collect())
}

fn leaf<H: Hashed>(scheme: &Scheme<H>, array: &ArrayRef, ty: &LogicalType) -> Result<Vec<H>> {
    use LogicalType::*;
    let rows = array.len();
    if ty.is_string_like() || matches!(ty, Uuid | Ipv6 | Json | AggregateFunction { .. }) {
        let text = Texts::of_array(array)?;
        return Ok((0..rows).map(|i| (scheme.bytes)(text.at(i))).collect());
    }
    // The width that the value has in memory, which is not always that of our column.
    let width = match ty {
        Date => 2,
        DateTime(_) => 4,
        t => number_layout(t).bits().unwrap_or(8) as usize / 8,
    };
    let patterns: Vec<i256> = match ty {
        Float32 => {
            to_vec::<f64>(array, ty)?.iter().map(|v| i256::from_i128(i128::from((*v as f32).to_bits()))).collect()
        }
        Float64 => to_vec::<f64>(array, ty)?.iter().map(|v| i256::from_i128(i128::from(v.to_bits()))).collect(),
        Nothing => vec![i256::ZERO; rows],
        t => to_vec::<i256>(array, t)?,
    };
    Ok(match scheme.integer {
        Some(hash) if width <= 8 => {
            let mask = if width == 8 { u64::MAX } else { (1 << (width * 8)) - 1 };
            let signed = number_layout(ty).is_signed_integer() && !matches!(ty, Date | DateTime(_));
            let word = |v: &i256| v.to_parts().0 as u64;
            patterns.iter().map(|v| hash(if signed { word(v) } else { word(v) & mask })).collect()
        }
        _ => patterns.iter().map(|v| (scheme.bytes)(&v.to_le_bytes()[..width])).collect(),
    })
}

/// 128-bit hashes, as fixed strings, and those with a key.
fn register_wide(registry: &mut Registry) {
    let fixed = || LogicalType::FixedString(16);
    define(registry, "sip_hash128", move |call| any(call, 0, wide_in_pairs(|b| sip::halves(0, 0, b)), fixed()));
    define(registry, "murmur_hash3_128", move |call| any(call, 0, wide_in_pairs(murmur::three_128), fixed()));
    define(registry, "sip_hash128_keyed", move |call| {
        let [a, b] = key(call)?;
        any(call, 1, wide_in_pairs(move |text| sip::halves(a, b, text)), fixed())
    });
    define(registry, "sip_hash64_keyed", |call| {
        let [a, b] = key(call)?;
        let hash = move |text: &[u8]| {
            let mut hasher = SipHasher24::new_with_keys(a, b);
            hasher.write(text);
            hasher.finish()
        };
        let combine = move |a, b| hash(&pair_bytes(a, b));
        let scheme = Scheme { bytes: Box::new(hash), combine: Box::new(combine), integer: None, length: int_hash64 };
        any(call, 1, scheme, LogicalType::UInt64)
    });
}

/// The two words of a key, a constant tuple in the first argument.
fn key(call: &Call<'_>) -> Result<[u64; 2]> {
    call.arity(1..=usize::MAX)?;
    let unsigned = |t: &LogicalType| t.is_unsigned_integer();
    call.need(0, |t| matches!(t, LogicalType::Tuple(e) if e.len() == 2 && e.iter().all(|(_, t)| unsigned(t))))?;
    let words: Vec<u64> = match call.constant(0)? {
        hydron_types::Value::Tuple(words) => words.iter().filter_map(|w| w.as_i64().map(|w| w as u64)).collect(),
        _ => Vec::new(),
    };
    words.try_into().map_err(|_| call.illegal(0))
}

/// Two hashes into one, as CityHash does it.
pub(crate) use city::combine as combine_city;

pub(crate) fn int_hash64(x: u64) -> u64 {
    let mut x = x ^ 0x4CF2_D2BA_AE6D_A887;
    x ^= x >> 33;
    x = x.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    x ^= x >> 33;
    x = x.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    x ^ x >> 33
}

fn int_hash32(key: u64) -> u32 {
    let mut x = key ^ 0x75D9_543D_E018_BF45;
    x = (!x).wrapping_add(x << 18);
    x ^= x.rotate_right(31);
    x = x.wrapping_mul(21);
    x ^= x.rotate_right(11);
    x = x.wrapping_add(x << 6);
    x ^= x.rotate_right(22);
    x as u32
}

fn register_integers(registry: &mut Registry) {
    let hashable =
        |t: &LogicalType| t.is_integer() || t.is_date_or_time() || matches!(t, LogicalType::Bool | LogicalType::Ipv4);
    define(registry, "int_hash64", move |call| {
        call.arity(1..=1)?;
        call.need(0, hashable)?;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::UInt64, move |args, _| {
            Ok(u64::array(to_vec::<u64>(args[0].array()?, &ty)?.into_iter().map(int_hash64).collect()))
        })
    });
    define(registry, "int_hash32", move |call| {
        call.arity(1..=1)?;
        call.need(0, hashable)?;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::UInt32, move |args, _| {
            Ok(u32::array(to_vec::<u64>(args[0].array()?, &ty)?.into_iter().map(int_hash32).collect()))
        })
    });
}

fn register_java(registry: &mut Registry) {
    let java = |bytes: &[u8]| bytes.iter().fold(0i32, |h, b| h.wrapping_mul(31).wrapping_add(i32::from(*b as i8)));
    define(registry, "java_hash", move |call| {
        alone(call)?;
        let ty = call.ty(0).clone();
        if matches!(ty, LogicalType::Ipv6 | LogicalType::Uuid) || ty.is_string_like() {
            return call.returns(LogicalType::Int32, move |args, rows| {
                let text = Texts::of(&args[0])?;
                Ok(numbers::<Int32Type>(rows, |i| java(text.at(i))))
            });
        }
        call.need_integer(0)?;
        if ty.is_unsigned_integer() {
            return Err(Error::not_implemented("java_hash of an unsigned number: Java has none"));
        }
        call.returns(LogicalType::Int32, move |args, rows| {
            let values = Ints::of(&args[0], &ty)?;
            Ok(numbers::<Int32Type>(rows, |i| match ty.bits() {
                Some(64) => (values.at(i) ^ ((values.at(i) as u64) >> 32) as i64) as i32,
                _ => values.at(i) as i32,
            }))
        })
    });
    define(registry, "java_hash_utf16_le", |call| {
        alone(call)?;
        as_bytes(call, LogicalType::Int32, |bytes| {
            let units = bytes.chunks(2).map(|c| i32::from(u16::from_le_bytes([c[0], c.get(1).copied().unwrap_or(0)])));
            i64::from(units.fold(0i32, |h, u| h.wrapping_mul(31).wrapping_add(u)))
        })
    });
    define(registry, "hive_hash", move |call| {
        alone(call)?;
        as_bytes(call, LogicalType::Int32, move |bytes| i64::from(java(bytes) & i32::MAX))
    });
}

/// Errors: NOT_IMPLEMENTED (48) for several values, whose hashes nothing says how to combine.
fn alone(call: &Call<'_>) -> Result<()> {
    call.arity(1..=usize::MAX)?;
    if call.args.len() > 1 {
        return Err(Error::not_implemented(format!("{}() of several values", call.name)));
    }
    Ok(())
}

/// A hash of the bytes of a string or of the memory of a number.
fn as_bytes<F>(call: &Call<'_>, ty: LogicalType, f: F) -> Result<BoundCall>
where
    F: Fn(&[u8]) -> i64 + Send + Sync + 'static,
{
    let from = call.ty(0).clone();
    let text = from.is_string_like() || matches!(from, LogicalType::Uuid | LogicalType::Ipv6);
    if !text && !from.is_integer() && from != LogicalType::Ipv4 {
        return Err(call.illegal(0));
    }
    let convert = super::define::Convert::new(&LogicalType::Int64, &ty, call.zone());
    call.returns(ty, move |args, rows| {
        if text {
            let text = Texts::of(&args[0])?;
            return convert.array(&int64s(rows, |i| f(text.at(i))));
        }
        let width = number_layout(&from).bits().unwrap_or(8) as usize / 8;
        let values = to_vec::<i256>(args[0].array()?, &from)?;
        let at = |row: usize| if args[0].is_scalar() { 0 } else { row };
        convert.array(&int64s(rows, |i| f(&values[at(i)].to_le_bytes()[..width])))
    })
}

/// A cryptographic digest, as a fixed string.
fn digest<const N: usize>(registry: &mut Registry, name: &str, f: fn(&[u8]) -> [u8; N]) {
    define(registry, name, move |call| {
        call.arity(1..=1)?;
        call.need(0, |t| t.is_string_like() || matches!(t, LogicalType::Ipv6 | LogicalType::Uuid))?;
        let ty = LogicalType::FixedString(N as u32);
        let convert = super::define::Convert::new(&LogicalType::String, &ty, call.zone());
        call.returns(ty, move |args, rows| {
            let text = Texts::of(&args[0])?;
            convert.array(&texts(rows, |row, out| out.extend_from_slice(&f(text.at(row))))?)
        })
    });
}

/// `url_hash(url[, level])`: a URL without its last separator, or its beginning up to a level of the hierarchy.
fn register_urls(registry: &mut Registry) {
    define(registry, "url_hash", |call| {
        call.arity(1..=2)?;
        call.need_string(0)?;
        let level = call.args.get(1).map(|_| call.constant_int(1)).transpose()?;
        let level = level.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        call.returns(LogicalType::UInt64, move |args, rows| {
            let text = Texts::of(&args[0])?;
            Ok(uint64s(rows, |row| {
                let url = text.at(row);
                let part = level.map_or(url, |level| &url[..url_level(url, level)]);
                let ended = part.last().is_some_and(|b| is_url_mark(*b));
                city::hash64(&part[..part.len() - usize::from(ended)])
            }))
        })
    });
}

fn is_url_mark(byte: u8) -> bool {
    matches!(byte, b'/' | b'?' | b'#')
}

/// How long the part of a URL is that belongs to a level: the host is level 0. 0 when there is no such level; a text without a
/// host has level 0 alone, which is empty.
fn url_level(url: &[u8], level: usize) -> usize {
    let scheme = url.iter().take_while(|b| b.is_ascii_lowercase() || b.is_ascii_digit()).count();
    let Some(rest) = url[scheme..].strip_prefix(b"://").filter(|rest| scheme > 0 && !rest.is_empty()) else {
        return if level == 0 { url.len() } else { 0 };
    };
    let start = url.len() - rest.len();
    let mut ends = rest.iter().enumerate().filter(|(_, b)| is_url_mark(**b)).map(|(i, _)| start + i + 1);
    let mut reached = 0;
    for n in 0..=level {
        match ends.next() {
            Some(end) => reached = end,
            None if reached < url.len() => reached = url.len(),
            None => return 0,
        }
        if n == level {
            return reached;
        }
    }
    0
}

/// `hashid(number, …[, salt[, length_min[, alphabet]]])`.
fn register_ids(registry: &mut Registry) {
    define(registry, "hashid", |call| {
        if call.cx.settings.text("allow_experimental_hash_functions") != "1" {
            return Err(Error::new(
                Code::SUPPORT_IS_DISABLED,
                "function \"hashid\" is experimental: set allow_experimental_hash_functions = 1 to use it",
            ));
        }
        call.arity(1..=4)?;
        call.need(0, |t| t.is_unsigned_integer() && t.bits().is_some_and(|b| b <= 64))?;
        // A salt that is no constant is one of another type to ClickHouse.
        if let Some(i) = (1..call.args.len()).find(|i| call.args[*i].constant.is_none()) {
            return Err(call.illegal(i));
        }
        let salt = if call.args.len() > 1 { call.constant_text(1)?.to_vec() } else { Vec::new() };
        let length_min = if call.args.len() > 2 { call.constant_int(2)? } else { 0 };
        let length_min = usize::from(u8::try_from(length_min).map_err(|_| {
            Error::bad_arguments(format!("the least length of a hashid is within 0 and 255, given {length_min}"))
        })?);
        let alphabet = if call.args.len() > 3 { Some(call.constant_text(3)?) } else { None };
        let ids = ids::Ids::new(&salt, length_min, alphabet)?;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::String, move |args, rows| {
            let numbers = Ints::of(&args[0], &ty)?;
            texts(rows, |row, out| out.extend_from_slice(&ids.encode(&[numbers.at(row) as u64])))
        })
    });
}

/// The hash by which rows are spread over shards.
pub fn weak_hash32(columns: &[ArrayRef], types: &[LogicalType], rows: usize) -> Result<Vec<u32>> {
    let mut hashes = vec![u32::MAX; rows];
    for (column, ty) in columns.iter().zip(types) {
        let column = without_nulls(column);
        if ty.bare().is_string_like() {
            let text = Texts::of_array(&column)?;
            hashes.iter_mut().enumerate().for_each(|(i, h)| *h = weak_bytes(*h, text.at(i)));
        } else if number_layout(ty.bare()).bits().is_some_and(|b| b <= 64)
            && !matches!(ty.bare(), LogicalType::Ipv6 | LogicalType::Uuid)
        {
            let words = match ty.bare() {
                t if t.is_float() => to_vec::<f64>(&column, t)?.iter().map(|v| v.to_bits()).collect(),
                t => to_vec::<u64>(&column, t)?,
            };
            hashes.iter_mut().zip(words).for_each(|(h, w)| *h = weak_word(*h, w));
        } else {
            let keys = super::rows::encode(&column)?;
            hashes.iter_mut().enumerate().for_each(|(i, h)| *h = weak_bytes(*h, keys.row(i).data()));
        }
    }
    Ok(hashes)
}

/// Bytes into a running CRC-32C; the caller gives the first value and inverts nothing.
pub(crate) fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0u32; 256];
        let mut n = 0;
        while n < 256 {
            let mut c = n as u32;
            let mut bit = 0;
            while bit < 8 {
                c = if c & 1 == 1 { 0x82F6_3B78 ^ (c >> 1) } else { c >> 1 };
                bit += 1;
            }
            table[n] = c;
            n += 1;
        }
        table
    };
    bytes.iter().fold(crc, |c, b| TABLE[((c ^ u32::from(*b)) & 0xFF) as usize] ^ (c >> 8))
}

fn weak_word(hash: u32, word: u64) -> u32 {
    crc32c(hash, &word.to_le_bytes())
}

fn weak_bytes(hash: u32, bytes: &[u8]) -> u32 {
    let mut chunks = bytes.chunks_exact(8);
    let full = chunks.by_ref().fold(hash, |h, c| weak_word(h, u64::from_le_bytes(c.try_into().unwrap_or_default())));
    let rest = chunks.remainder();
    if rest.is_empty() && !bytes.is_empty() {
        return full;
    }
    let mut word = [0u8; 8];
    word[..rest.len()].copy_from_slice(rest);
    word[7] = rest.len() as u8;
    weak_word(full, u64::from_le_bytes(word))
}
