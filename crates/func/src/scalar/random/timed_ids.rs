//! Ids that begin with the time at which they were made, so that they sort by it: ULID and UUID of version 7.
//!
//! In: the time of the query, the stream of random numbers; or an id. Out: ids; or the millisecond an id was made in.

use super::draws_at;
use crate::registry::Registry;
use crate::scalar::column::{Texts, from_natives};
use crate::scalar::define::{Call, define, define_seeing_nulls};
use arrow::array::FixedSizeBinaryArray;
use hydron_base::{Error, Result};
use hydron_types::{LogicalType, Zone};
use std::sync::Arc;

/// The digits of Crockford's base 32.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Digits of a ULID: 128 bits, five at a time.
const ULID_DIGITS: usize = 26;

pub(super) fn register(registry: &mut Registry) {
    define_seeing_nulls(registry, "generate_ulid", |call| {
        call.arity(0..=1)?;
        draws_at(LogicalType::FixedString(ULID_DIGITS as u32), |millis, stream, rows| {
            let mut bytes = Vec::with_capacity(rows * ULID_DIGITS);
            for _ in 0..rows {
                let random = u128::from(stream.next()) << 64 | u128::from(stream.next());
                let id = u128::from(millis) << 80 | random >> 48;
                bytes.extend((0..ULID_DIGITS).rev().map(|n| DIGITS[(id >> (n * 5) & 31) as usize]));
            }
            Ok(Arc::new(FixedSizeBinaryArray::new(ULID_DIGITS as i32, bytes.into(), None)))
        })
    });
    define_seeing_nulls(registry, "generate_uuidv7", |call| {
        call.arity(0..=1)?;
        draws_at(LogicalType::Uuid, |millis, stream, rows| {
            let mut bytes = Vec::with_capacity(rows * 16);
            for _ in 0..rows {
                let mut random = [0; 10];
                random[..8].copy_from_slice(&stream.next().to_be_bytes());
                random[8..].copy_from_slice(&stream.next().to_be_bytes()[..2]);
                let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
                bytes.extend_from_slice(id.as_bytes());
            }
            Ok(Arc::new(FixedSizeBinaryArray::new(16, bytes.into(), None)))
        })
    });
    define(registry, "ulid_string_to_datetime", |call| {
        let ty = time_type(call)?;
        call.need(0, |t| matches!(t, LogicalType::String | LogicalType::FixedString(26)))?;
        call.returns(ty.clone(), move |args, rows| {
            let text = Texts::of(&args[0])?;
            let times = (0..rows).map(|row| ulid_millis(text.at(row))).collect::<Result<Vec<i64>>>()?;
            from_natives(times, &ty)
        })
    });
    define(registry, "uuidv7_to_datetime", |call| {
        let ty = time_type(call)?;
        call.need(0, |t| *t == LogicalType::Uuid)?;
        call.returns(ty.clone(), move |args, rows| {
            let ids = Texts::of(&args[0])?;
            // An id of another version has no time.
            let millis = |id: &[u8]| match id {
                [a, b, c, d, e, f, version, ..] if version >> 4 == 7 => {
                    i64::from_be_bytes([0, 0, *a, *b, *c, *d, *e, *f])
                }
                _ => 0,
            };
            from_natives((0..rows).map(|row| millis(ids.at(row))).collect::<Vec<i64>>(), &ty)
        })
    });
}

/// Milliseconds, in the zone of the second argument.
fn time_type(call: &Call<'_>) -> Result<LogicalType> {
    call.arity(1..=2)?;
    let zone = match call.args.len() {
        2 => Some(Zone::parse(&String::from_utf8_lossy(call.constant_text(1)?))?),
        _ => None,
    };
    Ok(LogicalType::DateTime64(3, zone))
}

/// Errors: BAD_ARGUMENTS (36) for a text that is no ULID.
fn ulid_millis(text: &[u8]) -> Result<i64> {
    let digit = |b: &u8| DIGITS.iter().position(|d| *d == b.to_ascii_uppercase());
    let digits: Option<Vec<usize>> = text.iter().map(digit).collect();
    match digits {
        Some(digits) if digits.len() == ULID_DIGITS => Ok(digits[..10].iter().fold(0, |v, d| v << 5 | *d as i64)),
        _ => Err(Error::bad_arguments(format!(
            "\"{}\" is no ULID: it has {ULID_DIGITS} digits of Crockford's base 32",
            String::from_utf8_lossy(text)
        ))),
    }
}
