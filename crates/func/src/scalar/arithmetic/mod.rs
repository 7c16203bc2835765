//! Arithmetic: what `+ - * / %` and their named kin do, by the kind of their operands.
//!
//! In reading order: [`result`] (result types), [`numbers`] (integers and floats), [`decimals`], [`times`] (dates, times and
//! intervals), [`tuples`], [`unary`], [`bits`], [`morton`].

mod bits;
mod decimals;
mod morton;
mod numbers;
pub(crate) mod result;
mod times;
mod tuples;
mod unary;

use super::define::{Call, define};
use crate::call::BoundCall;
use crate::registry::Registry;
use hydron_base::Result;
use hydron_types::LogicalType;

pub(crate) use tuples::{each_of, elementwise, sum_of};

/// A binary operation on numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Plus,
    Minus,
    Multiply,
    Divide,
    IntDiv,
    IntDivOrZero,
    Modulo,
    ModuloOrZero,
    ModuloLegacy,
    PositiveModulo,
    Gcd,
    Lcm,
}

pub fn register(registry: &mut Registry) {
    let operations = [
        ("plus", Op::Plus),
        ("minus", Op::Minus),
        ("multiply", Op::Multiply),
        ("divide", Op::Divide),
        ("int_div", Op::IntDiv),
        ("int_div_or_zero", Op::IntDivOrZero),
        ("modulo", Op::Modulo),
        ("modulo_or_zero", Op::ModuloOrZero),
        ("modulo_legacy", Op::ModuloLegacy),
        ("positive_modulo", Op::PositiveModulo),
        ("gcd", Op::Gcd),
        ("lcm", Op::Lcm),
    ];
    for (name, op) in operations {
        define(registry, name, move |call| bind(call, op));
    }
    registry.add_alias("mod", "modulo");
    registry.add_alias("pmod", "positive_modulo");
    for name in ["modulo", "mod"] {
        registry.fold_case(name);
    }
    unary::register(registry);
    bits::register(registry);
    morton::register(registry);
    tuples::register(registry);
}

fn bind(call: &Call<'_>, op: Op) -> Result<BoundCall> {
    call.arity(2..=2)?;
    let (a, b) = (call.ty(0), call.ty(1));
    let number = |t: &LogicalType| t.is_number() || *t == LogicalType::Bool;
    match (a, b) {
        (LogicalType::Tuple(_), _) | (_, LogicalType::Tuple(_)) => tuples::bind(call, op),
        _ if times::concerns(a) || times::concerns(b) => times::bind(call, op),
        _ if !number(a) => Err(call.illegal(0)),
        _ if !number(b) => Err(call.illegal(1)),
        _ if (a.is_decimal() || b.is_decimal()) && !a.is_float() && !b.is_float() => decimals::bind(call, op),
        _ => numbers::bind(call, op),
    }
}
