//! One number from each array: sum, average, product, smallest, largest; an aggregate over the elements.

use super::lambda::{Asked, element_types};
use super::make::gather_or_default;
use crate::agg::BoundAgg;
use crate::call::{ArgInfo, BoundCall};
use crate::registry::Registry;
use crate::scalar::column::{float64s, from_natives};
use crate::scalar::define::{Call, define_seeing_nulls, define_with_lambda};
use crate::scalar::number::{Num, to_vec, with_number};
use crate::scalar::rows::encode;
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::i256;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;

pub(super) fn register(registry: &mut Registry) {
    define_with_lambda(registry, "array_sum", element_types, |call| {
        let asked = Asked::of(call, false)?;
        let ty = sum_type(&asked.ty).ok_or_else(|| call.illegal(0))?;
        let out = ty.clone();
        asked.returns(ty, move |asked, cx, args, rows| {
            let answers = asked.answers(cx, args, rows)?;
            let ranges = |row| answers.flat.range(row);
            if let LogicalType::Decimal { .. } = out {
                let values = to_vec::<i256>(&answers.values, &asked.ty)?;
                let sums = (0..rows).map(|row| values[ranges(row)].iter().fold(i256::ZERO, |a, v| a.wrapping_add(*v)));
                return crate::scalar::column::from_natives(sums.map(|v| v.to_parts().0 as i128).collect(), &out);
            }
            with_number!(&out, R => {
                let values = to_vec::<R>(&answers.values, &asked.ty)?;
                Ok(R::array((0..rows).map(|row| values[ranges(row)].iter().fold(R::default(), |a, v| a.add(*v))).collect()))
            }, else Err(Error::bug(format!("array_sum in {out}"))))
        })
    });
    for (name, product) in [("array_avg", false), ("array_product", true)] {
        define_with_lambda(registry, name, element_types, move |call| {
            let asked = Asked::of(call, false)?;
            let scale = match &asked.ty {
                LogicalType::Decimal { scale, .. } => 10f64.powi(i32::from(*scale)),
                t if sum_type(t).is_some() => 1.0,
                _ => return Err(call.illegal(0)),
            };
            asked.returns(LogicalType::Float64, move |asked, cx, args, rows| {
                let answers = asked.answers(cx, args, rows)?;
                let values = to_vec::<f64>(&answers.values, &asked.ty)?;
                Ok(float64s(rows, |row| {
                    let values = values[answers.flat.range(row)].iter().map(|v| v / scale);
                    let count = values.len() as f64;
                    if product { values.product() } else { values.fold(0.0, |sum, v| sum + v) / count.max(1.0) }
                }))
            })
        });
    }
    for (name, largest) in [("array_min", false), ("array_max", true)] {
        define_with_lambda(registry, name, element_types, move |call| {
            let asked = Asked::of(call, false)?;
            let ty = asked.ty.clone();
            asked.returns(ty.clone(), move |asked, cx, args, rows| {
                let answers = asked.answers(cx, args, rows)?;
                let keys = encode(&answers.values)?;
                let places = (0..rows).map(|row| {
                    let range = answers.flat.range(row);
                    if largest {
                        range.rev().max_by(|a, b| keys.row(*a).cmp(&keys.row(*b)))
                    } else {
                        range.min_by(|a, b| keys.row(*a).cmp(&keys.row(*b)))
                    }
                });
                gather_or_default(&answers.values, &ty, places)
            })
        });
    }
    for (name, negative) in [("array_cum_sum", true), ("array_cum_sum_non_negative", false)] {
        define_with_lambda(registry, name, element_types, move |call| running(call, negative));
    }
    define_with_lambda(registry, "array_difference", element_types, difference);
    define_seeing_nulls(registry, "array_reduce", reduce);
}

/// The type of a sum of these: 64 bits for integers, 38 digits for decimals.
fn sum_type(ty: &LogicalType) -> Option<LogicalType> {
    use LogicalType::*;
    Some(match ty {
        Bool | UInt8 | UInt16 | UInt32 | UInt64 => UInt64,
        Int8 | Int16 | Int32 | Int64 => Int64,
        Int128 | Int256 | UInt128 | UInt256 => ty.clone(),
        Float32 | Float64 => Float64,
        Decimal { scale, precision: ..=38 } => Decimal { precision: 38, scale: *scale },
        _ => return None,
    })
}

/// Sums so far; `negative` false starts again at 0 where a sum falls below.
fn running(call: &Call<'_>, negative: bool) -> Result<BoundCall> {
    let asked = Asked::of(call, false)?;
    let element = sum_type(&asked.ty).ok_or_else(|| call.illegal(0))?;
    asked.returns(LogicalType::array(element.clone()), move |asked, cx, args, rows| {
        let answers = asked.answers(cx, args, rows)?;
        macro_rules! sums {
            ($r:ty, $add:expr) => {{
                let mut values = to_vec::<$r>(&answers.values, &asked.ty)?;
                for row in 0..rows {
                    let mut total = <$r>::default();
                    for value in &mut values[answers.flat.range(row)] {
                        total = $add(total, *value);
                        if !negative && total < <$r>::default() {
                            total = <$r>::default();
                        }
                        *value = total;
                    }
                }
                values
            }};
        }
        let values = match &element {
            LogicalType::Decimal { .. } => from_natives(sums!(i128, |a: i128, b: i128| a.wrapping_add(b)), &element)?,
            other => with_number!(other, R => R::array(sums!(R, |a: R, b: R| a.add(b))), else {
                return Err(Error::bug(format!("array_cum_sum in {other}")));
            }),
        };
        Ok(answers.flat.list(&element, values))
    })
}

/// Each element minus the one before; 0 for the first.
fn difference(call: &Call<'_>) -> Result<BoundCall> {
    use LogicalType::*;
    let asked = Asked::of(call, false)?;
    let element = match &asked.ty {
        t if t.is_integer() && t.bits().is_some_and(|b| b <= 64) => Int64,
        Bool => Int64,
        Float32 | Float64 => Float64,
        Decimal { precision: ..=38, .. } => asked.ty.clone(),
        // Days and seconds between them; of finer times, seconds with as many digits.
        Date | Date32 | DateTime(_) => Int32,
        DateTime64(scale, _) => Decimal { precision: 18, scale: *scale },
        _ => return Err(call.illegal(0)),
    };
    asked.returns(LogicalType::array(element.clone()), move |asked, cx, args, rows| {
        let answers = asked.answers(cx, args, rows)?;
        macro_rules! differences {
            ($r:ty) => {{
                let values = to_vec::<$r>(&answers.values, &asked.ty)?;
                let mut out = Vec::with_capacity(values.len());
                for row in 0..rows {
                    let range = answers.flat.range(row);
                    let start = range.start;
                    out.extend(
                        range.map(|i| if i == start { <$r>::default() } else { Num::sub(values[i], values[i - 1]) }),
                    );
                }
                out
            }};
        }
        let values = match &element {
            Float64 => f64::array(differences!(f64)),
            Int64 => i64::array(differences!(i64)),
            Int32 => i32::array(differences!(i32)),
            Decimal { scale, .. } if matches!(asked.ty, DateTime64(..)) => {
                // The layout of a time counts thousands of ticks at once.
                let digits = hydron_types::physical::digits_of_unit(hydron_types::physical::unit_of_scale(*scale));
                let factor = hydron_types::wide::pow10_i64(digits - scale);
                from_natives(differences!(i64).into_iter().map(|v| v / factor).collect(), &element)?
            }
            Decimal { precision: ..=9, .. } => from_natives(differences!(i32), &element)?,
            Decimal { precision: ..=18, .. } => from_natives(differences!(i64), &element)?,
            _ => from_natives(differences!(i128), &element)?,
        };
        Ok(answers.flat.list(&element, values))
    })
}

/// `array_reduce('sum', array)`: an aggregate over the elements of each row.
fn reduce(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(2..=usize::MAX)?;
    let text = String::from_utf8_lossy(call.constant_text(0)?).into_owned();
    let (name, params) = crate::aggregate::name_and_params(&text)?;
    let elements = (1..call.args.len()).map(|i| call.need_array(i).cloned()).collect::<Result<Vec<_>>>()?;
    let aggregate = Registry::builtin().aggregate(name).ok_or_else(|| {
        Error::new(Code::UNKNOWN_AGGREGATE_FUNCTION, format!("unknown aggregate function \"{name}\""))
    })?;
    let skips_nulls = aggregate.skips_nulls();
    let nullable = elements.iter().any(LogicalType::is_nullable);
    let bare = |t: &LogicalType| if skips_nulls { t.bare().clone() } else { t.clone() };
    let infos: Vec<ArgInfo> = elements.iter().map(|t| ArgInfo::column(bare(t))).collect();
    let BoundAgg { ty, aggregate } = aggregate.bind(call.cx, &infos, &params)?;
    call.returns(ty, move |args, rows| {
        let flat = super::Flat::of(&args[1..], rows)?;
        let mut state = aggregate.new_state();
        state.resize(rows);
        let nulls = flat
            .columns
            .iter()
            .fold(None, |n, c| arrow::buffer::NullBuffer::union(n.as_ref(), c.logical_nulls().as_ref()));
        let filter =
            nulls.filter(|_| skips_nulls && nullable).map(|n| arrow::array::BooleanArray::new(n.into_inner(), None));
        let columns: Vec<ArrayRef> =
            flat.columns.iter().map(|c| if skips_nulls { crate::nulls::without_nulls(c) } else { c.clone() }).collect();
        state.update(&flat.origin, &columns, filter.as_ref())?;
        state.finish(&(0..rows as u32).collect::<Vec<_>>())
    })
}
