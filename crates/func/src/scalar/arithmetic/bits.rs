//! Bits of integers: and, or, xor, not, shifts, rotations, tests, counts; shifts and slices of strings.

use super::numbers::Operands;
use super::result::shape;
use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{Ints, Texts, number_lists, numbers, texts};
use crate::scalar::define::{Call, Convert, define};
use crate::scalar::number::{Int, Num, number_layout, to_vec, with_integer};
use arrow::datatypes::{UInt8Type, UInt16Type, UInt64Type};
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;

#[derive(Clone, Copy)]
enum BitOp {
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
    RotateLeft,
    RotateRight,
}

pub(super) fn register(registry: &mut Registry) {
    let operations = [
        ("bit_and", BitOp::And),
        ("bit_or", BitOp::Or),
        ("bit_xor", BitOp::Xor),
        ("bit_shift_left", BitOp::ShiftLeft),
        ("bit_shift_right", BitOp::ShiftRight),
        ("bit_rotate_left", BitOp::RotateLeft),
        ("bit_rotate_right", BitOp::RotateRight),
    ];
    for (name, op) in operations {
        define(registry, name, move |call| bind(call, op));
    }
    define(registry, "bit_not", |call| {
        call.arity(1..=1)?;
        call.need_integer(0)?;
        let ty = number_layout(call.ty(0));
        let from = ty.clone();
        call.returns(ty, move |args, _| {
            with_integer!(&from, R => Ok(R::array(to_vec::<R>(args[0].array()?, &from)?.into_iter().map(Int::not).collect())),
                else Err(Error::bug(format!("bit_not in {from}"))))
        })
    });
    register_tests(registry);
    register_counts(registry);
}

fn bind(call: &Call<'_>, op: BitOp) -> Result<BoundCall> {
    call.arity(2..=2)?;
    if call.ty(0).is_string_like() && matches!(op, BitOp::ShiftLeft | BitOp::ShiftRight) {
        return shift_string(call, matches!(op, BitOp::ShiftLeft));
    }
    if let (LogicalType::FixedString(a), LogicalType::FixedString(b)) = (call.ty(0), call.ty(1))
        && a == b
        && matches!(op, BitOp::And | BitOp::Or | BitOp::Xor)
    {
        return combine_strings(call, op);
    }
    call.need_integer(0)?;
    call.need_integer(1)?;
    let (a, b) = (number_layout(call.ty(0)), number_layout(call.ty(1)));
    let ((a_signed, a_bits), (b_signed, b_bits)) = (shape(&a), shape(&b));
    let ty = LogicalType::integer(a_signed || b_signed, a_bits.max(b_bits));
    let out = ty.clone();
    call.returns(ty, move |args, _| {
        let operands = Operands { a: &args[0], b: &args[1], a_type: &a, b_type: &b };
        // A shift past the width leaves nothing; a negative one is past it too.
        let places = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
        with_integer!(&out, R => match op {
            BitOp::And => operands.map(|x: R, y: R| x.and(y)),
            BitOp::Or => operands.map(|x: R, y: R| x.or(y)),
            BitOp::Xor => operands.map(|x: R, y: R| x.xor(y)),
            BitOp::ShiftLeft => operands.map(|x: R, y: R| x.shl(places(y.low_i64()))),
            BitOp::ShiftRight => operands.map(|x: R, y: R| x.shr(places(y.low_i64()))),
            BitOp::RotateLeft => operands.map(|x: R, y: R| x.rotl(y.low_i64() as u32)),
            BitOp::RotateRight => operands.map(|x: R, y: R| x.rotl(R::BITS - y.low_i64() as u32 % R::BITS)),
        }, else Err(Error::bug(format!("bits in {out}"))))
    })
}

/// Fixed strings of one length, byte by byte.
fn combine_strings(call: &Call<'_>, op: BitOp) -> Result<BoundCall> {
    let convert = crate::scalar::define::Convert::new(&LogicalType::String, call.ty(0), call.zone());
    call.returns(call.ty(0).clone(), move |args, rows| {
        let (a, b) = (Texts::of(&args[0])?, Texts::of(&args[1])?);
        let combined = texts(rows, |row, out| {
            out.extend(a.at(row).iter().zip(b.at(row)).map(|(x, y)| match op {
                BitOp::And => x & y,
                BitOp::Or => x | y,
                _ => x ^ y,
            }));
        })?;
        convert.array(&combined)
    })
}

/// A string as one long number, shifted; a fixed string keeps its length.
fn shift_string(call: &Call<'_>, left: bool) -> Result<BoundCall> {
    call.need_integer(1)?;
    let by = call.ty(1).clone();
    let fixed = matches!(call.ty(0), LogicalType::FixedString(_));
    let convert = crate::scalar::define::Convert::new(&LogicalType::String, call.ty(0), call.zone());
    call.returns(call.ty(0).clone(), move |args, rows| {
        let (text, by) = (Texts::of(&args[0])?, Ints::of(&args[1], &by)?);
        let shifted = texts(rows, |row, out| {
            let (value, n) = (text.at(row), by.at(row));
            let bits = value.len() * 8;
            let n = usize::try_from(n).unwrap_or(usize::MAX).min(bits);
            let (bytes, rest) = (n / 8, n % 8);
            let start = out.len();
            if left {
                let extra = usize::from(rest > 0 && !fixed && n < bits);
                let kept = if fixed {
                    &value[bytes..]
                } else if n >= bits {
                    &[]
                } else {
                    value
                };
                // Bytes that enter on the right; a string grows, a fixed string loses its head.
                let mut wide = vec![0u8; extra];
                wide.extend_from_slice(kept);
                wide.resize(wide.len() + if n >= bits && !fixed { 0 } else { bytes }, 0);
                for i in 0..wide.len() {
                    let next = wide.get(i + 1).copied().unwrap_or(0);
                    wide[i] = if rest == 0 { wide[i] } else { (wide[i] << rest) | (next >> (8 - rest)) };
                }
                let skip = usize::from(extra == 1 && wide.first() == Some(&0));
                out.extend_from_slice(&wide[skip..]);
            } else {
                if fixed {
                    out.resize(start + bytes, 0);
                }
                let kept = &value[..value.len() - bytes];
                let mut carry = 0u8;
                for byte in kept {
                    out.push(if rest == 0 { *byte } else { (byte >> rest) | carry });
                    carry = if rest == 0 { 0 } else { byte << (8 - rest) };
                }
            }
        })?;
        convert.array(&shifted)
    })
}

fn register_tests(registry: &mut Registry) {
    define(registry, "bit_test", |call| {
        call.arity(2..=2)?;
        call.need_integer(0)?;
        call.need_integer(1)?;
        let (a, b) = (call.ty(0).clone(), call.ty(1).clone());
        let bits = i64::from(shape(&a).1);
        call.returns(LogicalType::UInt8, move |args, rows| {
            let (value, place) = (Ints::of(&args[0], &a)?, Ints::of(&args[1], &b)?);
            if (0..rows).any(|i| !(0..bits).contains(&place.at(i))) {
                return Err(Error::new(
                    Code::PARAMETER_OUT_OF_BOUND,
                    format!("the bit must be within 0 to {}", bits - 1),
                ));
            }
            Ok(numbers::<UInt8Type>(rows, |i| (value.at(i).checked_shr(place.at(i) as u32).unwrap_or(0) & 1) as u8))
        })
    });
    for (name, all) in [("bit_test_all", true), ("bit_test_any", false)] {
        define(registry, name, move |call| {
            call.arity(2..=usize::MAX)?;
            for position in 0..call.args.len() {
                call.need_integer(position)?;
            }
            let types = call.types();
            call.returns(LogicalType::UInt8, move |args, rows| {
                let values = args.iter().zip(&types).map(|(a, t)| Ints::of(a, t)).collect::<Result<Vec<_>>>()?;
                Ok(numbers::<UInt8Type>(rows, |i| {
                    let mut bits =
                        values[1..].iter().map(|p| values[0].at(i).checked_shr(p.at(i) as u32).unwrap_or(0) & 1 == 1);
                    u8::from(if all { bits.all(|b| b) } else { bits.any(|b| b) })
                }))
            })
        });
    }
}

fn register_counts(registry: &mut Registry) {
    define(registry, "bit_count", |call| {
        call.arity(1..=1)?;
        let from = call.ty(0).clone();
        if from.is_string_like() {
            return call.returns(LogicalType::UInt16, |args, rows| {
                let text = Texts::of(&args[0])?;
                Ok(numbers::<UInt16Type>(rows, |i| text.at(i).iter().map(|b| b.count_ones() as u16).sum()))
            });
        }
        call.need(0, |t| t.is_number() || t.is_date_or_time() || *t == LogicalType::Bool)?;
        // Bits are counted in the value's own width: a float by its pattern, a signed number in two's complement.
        call.returns(LogicalType::UInt8, move |args, rows| {
            let array = args[0].array()?;
            let counts: Vec<u8> = match &from {
                LogicalType::Float32 => to_vec::<f64>(array, &from)?.iter().map(|v| (*v as f32).to_bits().count_ones() as u8).collect(),
                LogicalType::Float64 => to_vec::<f64>(array, &from)?.iter().map(|v| v.to_bits().count_ones() as u8).collect(),
                t => {
                    let layout = number_layout(t);
                    with_integer!(&layout, R => to_vec::<R>(array, &from)?.into_iter().map(|v| v.count_ones() as u8).collect(),
                        else return Err(Error::bug(format!("bits of {from}"))))
                }
            };
            Ok(numbers::<UInt8Type>(rows, |i| counts[if counts.len() == 1 { 0 } else { i }]))
        })
    });
    define(registry, "bit_hamming_distance", |call| {
        call.arity(2..=2)?;
        call.need_integer(0)?;
        call.need_integer(1)?;
        let (a, b) = (call.ty(0).clone(), call.ty(1).clone());
        call.returns(LogicalType::UInt8, move |args, rows| {
            let (x, y) = (Ints::of(&args[0], &a)?, Ints::of(&args[1], &b)?);
            Ok(numbers::<UInt8Type>(rows, |i| (x.at(i) ^ y.at(i)).count_ones() as u8))
        })
    });
    define(registry, "bitmask_to_array", |call| {
        call.arity(1..=1)?;
        call.need_integer(0)?;
        let ty = if *call.ty(0) == LogicalType::Bool { LogicalType::UInt8 } else { call.ty(0).clone() };
        let result = LogicalType::array(ty.clone());
        let as_given = Convert::new(&LogicalType::array(LogicalType::UInt64), &result, call.zone());
        call.returns(result, move |args, rows| {
            let values = Ints::of(&args[0], &ty)?;
            let mask = if ty.bits() == Some(64) { u64::MAX } else { (1u64 << ty.bits().unwrap_or(8).min(63)) - 1 };
            as_given.array(&number_lists::<UInt64Type>(&LogicalType::UInt64, rows, |i, out| {
                let bits = values.at(i) as u64 & mask;
                out.extend((0..64).filter(|b| bits >> b & 1 == 1).map(|b| 1u64 << b));
                Ok(())
            })?)
        })
    });
    define(registry, "bit_positions_to_array", |call| {
        call.arity(1..=1)?;
        call.need_integer(0)?;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::array(LogicalType::UInt64), move |args, rows| {
            let values = Ints::of(&args[0], &ty)?;
            let width = u64::from(ty.bits().unwrap_or(8).min(64));
            number_lists::<UInt64Type>(&LogicalType::UInt64, rows, |i, out| {
                let bits = values.at(i) as u64;
                out.extend((0..width).filter(|b| bits >> b & 1 == 1));
                Ok(())
            })
        })
    });
    define(registry, "bit_slice", |call| {
        call.arity(2..=3)?;
        call.need_string(0)?;
        (1..call.args.len()).try_for_each(|p| call.need_integer(p))?;
        let types = call.types();
        call.returns(LogicalType::String, move |args, rows| {
            let text = Texts::of(&args[0])?;
            let offset = Ints::of(&args[1], &types[1])?;
            let length = args.get(2).map(|a| Ints::of(a, &types[2])).transpose()?;
            texts(rows, |row, out| bit_slice(text.at(row), offset.at(row), length.as_ref().map(|l| l.at(row)), out))
        })
    });
}

/// Bits `offset ..` (from 1; negative from the end) of a string, right-aligned in whole bytes.
fn bit_slice(text: &[u8], offset: i64, length: Option<i64>, out: &mut Vec<u8>) {
    let total = text.len() as i64 * 8;
    let range = crate::scalar::strings::slice_range(total, offset, length);
    let (start, end) = (range.start, range.end);
    let bit = |i: i64| text[(i / 8) as usize] >> (7 - i % 8) & 1;
    let mut i = start;
    while i < end {
        // The first byte takes what is left over, so that the others are full.
        let take = if i == start && (end - start) % 8 != 0 { (end - start) % 8 } else { 8 };
        out.push((i..i + take).fold(0u8, |byte, b| byte << 1 | bit(b)));
        i += take;
    }
}
