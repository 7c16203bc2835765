//! Random numbers and strings, ids, drawn from the seed of the query.
//!
//! A column of numbers depends on the seed, the batch, the place of the call and the row, so that a query replayed with the
//! same seed draws the same numbers.

mod in_type;
mod timed_ids;

pub use in_type::random_column;

use super::column::{Ints, float64s, numbers, texts, try_texts, uint64s};
use super::define::{Call, define, define_seeing_nulls};
use crate::call::{BoundCall, Datum, EvalContext, Volatility};
use crate::registry::Registry;
use arrow::array::{ArrayRef, FixedSizeBinaryArray};
use arrow::datatypes::UInt32Type;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A stream of numbers.
struct Stream(u64);

impl Stream {
    /// The stream of one call in one batch.
    fn of(cx: &EvalContext, call: u64) -> Stream {
        let mixed = cx.seed ^ cx.batch.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ call.wrapping_mul(0xD1B5_4A32_D192_ED03);
        Stream(mixed)
    }

    /// The next 64 bits (SplitMix64).
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In `0 .. 1`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A standard normal number (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// Numbers the calls of a process, so that two `rand()` in one query differ.
fn next_call() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed)
}

/// A volatile call whose kernel draws from a stream.
fn draws<F>(ty: LogicalType, kernel: F) -> Result<BoundCall>
where
    F: Fn(&mut Stream, &[Datum], usize) -> Result<ArrayRef> + Send + Sync + 'static,
{
    let call = next_call();
    let bound = BoundCall::new(ty, move |cx: &EvalContext, args: &[Datum], rows| {
        Ok(Datum::Array(kernel(&mut Stream::of(cx, call), args, rows)?))
    });
    Ok(bound.volatility(Volatility::Volatile))
}

/// The same for a kernel that needs the time of the query, in milliseconds, but no arguments.
fn draws_at<F>(ty: LogicalType, kernel: F) -> Result<BoundCall>
where
    F: Fn(u64, &mut Stream, usize) -> Result<ArrayRef> + Send + Sync + 'static,
{
    let call = next_call();
    let bound = BoundCall::new(ty, move |cx: &EvalContext, _: &[Datum], rows| {
        let millis = u64::try_from(cx.now.0 / 1000).unwrap_or(0);
        Ok(Datum::Array(kernel(millis, &mut Stream::of(cx, call), rows)?))
    });
    Ok(bound.volatility(Volatility::Volatile))
}

pub fn register(registry: &mut Registry) {
    // The argument, if any, only tells apart calls that would else be taken for one.
    define_seeing_nulls(registry, "rand", |call| {
        call.arity(0..=1)?;
        draws(LogicalType::UInt32, |stream, _, rows| Ok(numbers::<UInt32Type>(rows, |_| (stream.next() >> 32) as u32)))
    });
    registry.add_alias("rand32", "rand");
    registry.fold_case("rand");
    define_seeing_nulls(registry, "rand64", |call| {
        call.arity(0..=1)?;
        draws(LogicalType::UInt64, |stream, _, rows| Ok(uint64s(rows, |_| stream.next())))
    });
    define_seeing_nulls(registry, "rand_constant", |call| {
        call.arity(0..=1)?;
        let number = next_call();
        let bound = BoundCall::new(LogicalType::UInt32, move |cx: &EvalContext, _: &[Datum], _| {
            let mut stream = Stream::of(&EvalContext { batch: 0, ..cx.clone() }, number);
            Ok(Datum::Scalar(numbers::<UInt32Type>(1, |_| (stream.next() >> 32) as u32)))
        });
        Ok(bound.volatility(Volatility::Stable))
    });
    for name in ["rand_canonical", "random"] {
        define_seeing_nulls(registry, name, |call| {
            call.arity(0..=1)?;
            draws(LogicalType::Float64, |stream, _, rows| Ok(float64s(rows, |_| stream.unit())))
        });
    }
    register_distributions(registry);
    register_strings(registry);
    in_type::register(registry);
    timed_ids::register(registry);
    for name in ["uuid", "generate_uuidv4"] {
        define_seeing_nulls(registry, name, |call| {
            call.arity(0..=1)?;
            draws(LogicalType::Uuid, |stream, _, rows| {
                let mut bytes = Vec::with_capacity(rows * 16);
                for _ in 0..rows {
                    let random = (u128::from(stream.next()) << 64) | u128::from(stream.next());
                    bytes.extend_from_slice(
                        uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid().as_bytes(),
                    );
                }
                Ok(Arc::new(FixedSizeBinaryArray::new(16, bytes.into(), None)))
            })
        });
    }
    define(registry, "fuzz_bits", |call| {
        call.arity(2..=2)?;
        call.need_string(0)?;
        call.need(1, LogicalType::is_float)?;
        let chance = call.constant(1)?.as_f64().ok_or_else(|| call.illegal(1))?;
        if !(0.0..=1.0).contains(&chance) {
            return Err(Error::new(
                Code::ARGUMENT_OUT_OF_BOUND,
                format!("a probability is within 0 and 1, given {chance}"),
            ));
        }
        let back = super::define::Convert::new(&LogicalType::String, call.ty(0), call.zone());
        draws(call.ty(0).clone(), move |stream, args, rows| {
            let text = super::column::Texts::of(&args[0])?;
            back.array(&texts(rows, |row, out| {
                for byte in text.at(row) {
                    let flips = (0..8).fold(0u8, |m, bit| m | u8::from(stream.unit() < chance) << bit);
                    out.push(byte ^ flips);
                }
            })?)
        })
    });
}

/// Parameters of a distribution: constant numbers.
fn parameters<const N: usize>(call: &Call<'_>) -> Result<[f64; N]> {
    call.arity(N..=N + 1)?;
    let mut values = [0.0; N];
    for (i, value) in values.iter_mut().enumerate() {
        *value = call.constant(i)?.as_f64().ok_or_else(|| call.illegal(i))?;
    }
    Ok(values)
}

fn register_distributions(registry: &mut Registry) {
    define(registry, "rand_uniform", |call| {
        let [low, high] = parameters(call)?;
        draws(LogicalType::Float64, move |s, _, rows| Ok(float64s(rows, |_| low + (high - low) * s.unit())))
    });
    define(registry, "rand_normal", |call| {
        let [mean, deviation] = parameters(call)?;
        draws(LogicalType::Float64, move |s, _, rows| Ok(float64s(rows, |_| mean + deviation * s.normal())))
    });
    define(registry, "rand_log_normal", |call| {
        let [mean, deviation] = parameters(call)?;
        draws(LogicalType::Float64, move |s, _, rows| Ok(float64s(rows, |_| (mean + deviation * s.normal()).exp())))
    });
    define(registry, "rand_exponential", |call| {
        let [rate] = parameters(call)?;
        draws(LogicalType::Float64, move |s, _, rows| Ok(float64s(rows, |_| -(1.0 - s.unit()).ln() / rate)))
    });
    define(registry, "rand_chi_squared", |call| {
        let [degrees] = parameters(call)?;
        draws(LogicalType::Float64, move |s, _, rows| {
            Ok(float64s(rows, |_| (0..degrees.clamp(0.0, 1e6) as u32).map(|_| s.normal().powi(2)).sum()))
        })
    });
    define(registry, "rand_fisher_f", |call| {
        let [above, below] = parameters(call)?;
        let mean_square = |s: &mut Stream, degrees: f64| {
            let degrees = degrees.clamp(1.0, 1e6) as u32;
            (0..degrees).map(|_| s.normal().powi(2)).sum::<f64>() / f64::from(degrees)
        };
        draws(LogicalType::Float64, move |s, _, rows| {
            Ok(float64s(rows, |_| mean_square(s, above) / mean_square(s, below)))
        })
    });
    define(registry, "rand_negative_binomial", |call| {
        let [successes, chance] = parameters(call)?;
        if !(chance > 0.0 && chance <= 1.0) {
            let text = format!("the probability of a success is above 0 and at most 1, given {chance}");
            return Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, text));
        }
        // Failures before each success.
        draws(LogicalType::UInt64, move |s, _, rows| {
            let failures = |s: &mut Stream| ((1.0 - s.unit()).ln() / (1.0 - chance).ln()).floor().max(0.0) as u64;
            Ok(uint64s(rows, |_| (0..successes.clamp(0.0, 1e6) as u32).map(|_| failures(s)).sum()))
        })
    });
    define(registry, "rand_student_t", |call| {
        let [degrees] = parameters(call)?;
        draws(LogicalType::Float64, move |s, _, rows| {
            Ok(float64s(rows, |_| {
                let squares: f64 = (0..degrees.clamp(1.0, 1e6) as u32).map(|_| s.normal().powi(2)).sum();
                s.normal() / (squares / degrees).sqrt()
            }))
        })
    });
    define(registry, "rand_bernoulli", |call| {
        let [chance] = parameters(call)?;
        draws(LogicalType::UInt64, move |s, _, rows| Ok(uint64s(rows, |_| u64::from(s.unit() < chance))))
    });
    define(registry, "rand_binomial", |call| {
        let [trials, chance] = parameters(call)?;
        draws(LogicalType::UInt64, move |s, _, rows| {
            Ok(uint64s(rows, |_| (0..trials.clamp(0.0, 1e6) as u64).filter(|_| s.unit() < chance).count() as u64))
        })
    });
    define(registry, "rand_poisson", |call| {
        let [mean] = parameters(call)?;
        draws(LogicalType::UInt64, move |s, _, rows| {
            Ok(uint64s(rows, |_| {
                // Knuth's product of uniforms; large means through the normal approximation.
                if mean > 500.0 {
                    return (mean + mean.sqrt() * s.normal()).round().max(0.0) as u64;
                }
                let (limit, mut product, mut count) = ((-mean).exp(), s.unit(), 0);
                while product > limit {
                    product *= s.unit();
                    count += 1;
                }
                count
            }))
        })
    });
}

/// Bytes that one random string may have.
const STRING_BYTES_MAX: i64 = 1 << 24;

fn register_strings(registry: &mut Registry) {
    let kinds: [(&str, fn(&mut Stream, usize, &mut Vec<u8>)); 3] = [
        ("random_string", |s, n, out| out.extend((0..n).map(|_| s.next() as u8))),
        ("random_printable_ascii", |s, n, out| out.extend((0..n).map(|_| b' ' + (s.next() % 95) as u8))),
        ("random_string_utf8", |s, n, out| {
            for _ in 0..n {
                let c = loop {
                    if let Some(c) = char::from_u32((s.next() % 0x11_0000) as u32) {
                        break c;
                    }
                };
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }),
    ];
    for (name, write) in kinds {
        define(registry, name, move |call| {
            call.arity(1..=2)?;
            call.need_integer(0)?;
            let ty = call.ty(0).clone();
            draws(LogicalType::String, move |stream, args, rows| {
                let lengths = Ints::of(&args[0], &ty)?;
                try_texts(rows, |row, out| {
                    // A negative length reads as one of 64 unsigned bits.
                    let length = u64::try_from(lengths.at(row)).map_or(i64::MAX, |n| n as i64);
                    if length > STRING_BYTES_MAX {
                        let text = format!("a random string of {length} bytes, the limit is {STRING_BYTES_MAX}");
                        return Err(Error::new(Code::TOO_LARGE_STRING_SIZE, text));
                    }
                    write(stream, length as usize, out);
                    Ok(())
                })
            })
        });
    }
    define(registry, "random_fixed_string", |call| {
        call.arity(1..=1)?;
        let width = call.constant_int(0)?;
        let width = u32::try_from(width).ok().filter(|w| (1..=STRING_BYTES_MAX as u32).contains(w));
        let width = width.ok_or_else(|| Error::bad_arguments("the length of a fixed string is at least 1"))?;
        draws(LogicalType::FixedString(width), move |stream, _, rows| {
            let bytes: Vec<u8> = (0..rows * width as usize).map(|_| stream.next() as u8).collect();
            Ok(Arc::new(FixedSizeBinaryArray::new(width as i32, bytes.into(), None)))
        })
    });
}
