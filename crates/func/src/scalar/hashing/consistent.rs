//! Consistent hashes: which of n buckets a key falls into, so that few keys move when n grows.

use crate::registry::Registry;
use crate::scalar::column::{Ints, numbers};
use crate::scalar::define::{Call, define};
use arrow::datatypes::{Int32Type, UInt16Type};
use hydron_base::{Error, Result};
use hydron_types::LogicalType;

pub(super) fn register(registry: &mut Registry) {
    define(registry, "jump_consistent_hash", |call| {
        let buckets = key_and_buckets(call, i64::from(i32::MAX))?;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::Int32, move |args, rows| {
            let keys = Ints::of(&args[0], &ty)?;
            Ok(numbers::<Int32Type>(rows, |i| jump(keys.at(i) as u64, buckets) as i32))
        })
    });
    define(registry, "kostik_consistent_hash", |call| {
        let buckets = key_and_buckets(call, 32_768)? as u64;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::UInt16, move |args, rows| {
            let keys = Ints::of(&args[0], &ty)?;
            Ok(numbers::<UInt16Type>(rows, |i| kostik(keys.at(i) as u64, buckets) as u16))
        })
    });
    registry.add_alias("yandex_consistent_hash", "kostik_consistent_hash");
}

/// The constant number of buckets behind a key that is an integer.
fn key_and_buckets(call: &Call<'_>, most: i64) -> Result<i64> {
    call.arity(2..=2)?;
    call.need(0, |t| t.is_integer() || t.is_date_or_time() || matches!(t, LogicalType::Bool | LogicalType::Ipv4))?;
    let buckets = call.constant_int(1)?;
    if (1..=most).contains(&buckets) {
        return Ok(buckets);
    }
    Err(Error::bad_arguments(format!("the number of buckets must be within 1 and {most}, given {buckets}")))
}

/// Lamping and Veach's jump hash.
fn jump(mut key: u64, buckets: i64) -> i64 {
    let (mut bucket, mut next) = (-1i64, 0i64);
    while next < buckets {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as i64;
    }
    bucket
}

/// The four 16-bit parts of a key; the third one tells which of the others place the key when the buckets are a power of two.
struct Parts {
    a: u64,
    b: u64,
    c: u64,
    d: u64,
}

impl Parts {
    /// The bucket among `2^k`.
    fn among(&self, buckets: u64) -> u64 {
        let c = self.c & (buckets - 1);
        if c < 2 {
            return c;
        }
        let high = 1 << c.ilog2();
        let low = if c.count_ones().is_multiple_of(2) { self.a } else { self.b };
        high + (low & (high - 1))
    }

    /// The bits that [`Parts::among`] did not use for `2^k` buckets.
    fn unused(&self, k: u32) -> u64 {
        let shift = 16 - k;
        let first = self.d << shift | self.c >> k;
        ((first << (shift + 1)) | self.b >> (k - 1)) << (shift + 1) | self.a >> (k - 1)
    }
}

/// Konstantin Oblakov's consistent hash: the number of buckets grows smoothly from one power of two to the next.
fn kostik(key: u64, buckets: u64) -> u64 {
    if buckets == 1 {
        return 0;
    }
    let part = |n: u32| key >> (16 * n) & 0xFFFF;
    let parts = Parts { a: part(0), b: part(1), c: part(2), d: part(3) };
    let k = (buckets - 1).ilog2() + 1;
    let large = parts.among(1 << k);
    if large < buckets {
        return large;
    }
    let moved = (parts.unused(k) % (large * (large + 1))) / (1 << k) + (1 << (k - 1));
    if moved < buckets { moved } else { parts.among(1 << (k - 1)) }
}
