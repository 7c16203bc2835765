//! `+` and `-` on dates, times and intervals.
//!
//! A date moves by days, a time by seconds when the other side is a plain number; an interval says itself. The difference of
//! two dates is days, of two datetimes seconds, as int32.

use super::Op;
use super::numbers::Operands;
use crate::call::{BoundCall, Datum};
use crate::scalar::datetime::{plus_interval, plus_interval_type};
use crate::scalar::define::Call;
use crate::scalar::number::to_vec;
use arrow::array::{ArrayRef, Int64Array};
use hydron_base::Result;
use hydron_types::{IntervalUnit, LogicalType};
use std::sync::Arc;

pub(super) fn concerns(ty: &LogicalType) -> bool {
    ty.is_date_or_time() || matches!(ty, LogicalType::Interval(_))
}

pub(super) fn bind(call: &Call<'_>, op: Op) -> Result<BoundCall> {
    let sign = match op {
        Op::Plus => 1,
        Op::Minus => -1,
        _ => return Err(call.illegal(if concerns(call.ty(0)) { 0 } else { 1 })),
    };
    match (call.ty(0), call.ty(1)) {
        (LogicalType::Interval(a), LogicalType::Interval(b)) if a == b => {
            let (ty, unit) = (LogicalType::Interval(*a), LogicalType::Int64);
            call.returns(ty, move |args, _| {
                let operands = Operands { a: &args[0], b: &args[1], a_type: &unit, b_type: &unit };
                operands.map(|x: i64, y: i64| x.wrapping_add(y.wrapping_mul(sign)))
            })
        }
        (a, b) if a.is_date_or_time() && b.is_date_or_time() => bind_difference(call, op),
        (a, _) if a.is_date_or_time() => bind_move(call, 0, 1, sign),
        (_, b) if b.is_date_or_time() && op == Op::Plus => bind_move(call, 1, 0, sign),
        _ => Err(call.illegal(1)),
    }
}

fn bind_difference(call: &Call<'_>, op: Op) -> Result<BoundCall> {
    use LogicalType::*;
    let same = matches!((call.ty(0), call.ty(1)), (Date | Date32, Date | Date32) | (DateTime(_), DateTime(_)));
    if op != Op::Minus || !same {
        return Err(call.illegal(1));
    }
    let (a, b) = (call.ty(0).clone(), call.ty(1).clone());
    call.returns(Int32, move |args, _| {
        let operands = Operands { a: &args[0], b: &args[1], a_type: &a, b_type: &b };
        operands.map(|x: i64, y: i64| x.wrapping_sub(y) as i32)
    })
}

/// The time at `time` moved by the number or interval at `by`.
fn bind_move(call: &Call<'_>, time: usize, by: usize, sign: i64) -> Result<BoundCall> {
    let unit = match call.ty(by) {
        LogicalType::Interval(unit) => *unit,
        t if !t.is_integer() && *t != LogicalType::Bool => return Err(call.illegal(by)),
        _ if matches!(call.ty(time), LogicalType::Date | LogicalType::Date32) => IntervalUnit::Day,
        _ => IntervalUnit::Second,
    };
    let ty = plus_interval_type(call.ty(time), unit).ok_or_else(|| call.illegal(time))?;
    let (time_type, by_type, zone) = (call.ty(time).clone(), call.ty(by).clone(), call.zone());
    call.returns(ty, move |args, _| {
        let count: ArrayRef = Arc::new(Int64Array::from(to_vec::<i64>(args[by].array()?, &by_type)?));
        plus_interval(Datum::array(&args[time])?, &time_type, &count, unit, sign, zone)
    })
}
