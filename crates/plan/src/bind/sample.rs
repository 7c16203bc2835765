//! SAMPLE: a share of the rows of a table, by the value of its sampling key.
//!
//! In: a ratio and an offset. Out: a filter. Promise: the same rows each time; samples side by side have no row in common, and together
//! they are the table.

use super::Binder;
use super::alias::Aliases;
use super::env::Env;
use super::expr::{Exprs, Place};
use super::source::From;
use crate::catalog::StreamInfo;
use crate::expr::Expr;
use crate::node::{Node, Plan};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast;
use hydron_types::{LogicalType, Value};
use std::sync::Arc;

/// A number that is not negative, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    over: u128,
    under: u128,
}

impl Share {
    const ONE: Share = Share { over: 1, under: 1 };
    const NOTHING: Share = Share { over: 0, under: 1 };

    fn new(over: u128, under: u128) -> Option<Share> {
        let divisor = gcd(over, under);
        (under > 0).then(|| Share { over: over / divisor, under: under / divisor })
    }

    /// `3`, `0.25` or a quotient of these.
    fn of(expr: &ast::Expr) -> Option<Share> {
        if let Some([a, b]) = expr.as_function().filter(|f| f.name == "divide").map(|f| f.args.as_slice()) {
            let (a, b) = (Share::of(a)?, Share::of(b)?);
            return Share::new(a.over.checked_mul(b.under)?, a.under.checked_mul(b.over)?);
        }
        expr.as_literal()?;
        let text = match expr.to_string().parse::<f64>() {
            // The shortest text of a number is the one that was meant.
            Ok(number) if number.is_finite() && number >= 0.0 => number.to_string(),
            _ => return None,
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let under = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        Share::new(format!("{whole}{fraction}").parse().ok()?, under)
    }

    fn plus(self, other: Share) -> Option<Share> {
        let over = self.over.checked_mul(other.under)?.checked_add(other.over.checked_mul(self.under)?)?;
        Share::new(over, self.under.checked_mul(other.under)?)
    }

    fn times(self, over: u128, under: u128) -> Option<Share> {
        Share::new(self.over.checked_mul(over)?, self.under.checked_mul(under)?)
    }

    fn is_more_than_one(self) -> bool {
        self.over > self.under
    }

    /// Of `all` rows, where a number beyond one means rows.
    fn of_rows(self, all: u64) -> Option<Share> {
        match (self.is_more_than_one(), all) {
            (false, _) => Some(self),
            (true, 0) => Some(Share::ONE),
            (true, all) => Some(self.times(1, all.into())?).map(|s| if s.is_more_than_one() { Share::ONE } else { s }),
        }
    }

    /// The whole part of so much of the universe.
    fn floor_of(self, universe: u128) -> Option<u128> {
        Some(self.over.checked_mul(universe)? / self.under)
    }
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

/// The values of the key that are in a sample: from the first on, and before the second. `None`: none at all.
fn bounds(size: Share, offset: Share, universe: u128) -> Option<Option<(u128, u128)>> {
    if !offset.is_more_than_one() && offset != Share::ONE {
        let upper = offset.plus(size)?;
        let upper = if upper.is_more_than_one() { universe } else { upper.floor_of(universe)? };
        return Some(Some((offset.floor_of(universe)?, upper)));
    }
    Some(None)
}

impl<'a> Binder<'a> {
    /// Errors: SAMPLING_NOT_SUPPORTED (141) for a table without SAMPLE BY, BAD_ARGUMENTS (36) for what is no ratio.
    pub(super) fn sample(&self, mut from: From, sample: &ast::Sample, env: &Env<'_>) -> Result<From> {
        let info = table_of(&from.plan)
            .filter(|i| !i.sample_by.is_empty())
            .ok_or_else(|| Error::new(Code::SAMPLING_NOT_SUPPORTED, "SAMPLE needs a table with SAMPLE BY"))?;
        let share = |expr: &ast::Expr| {
            Share::of(expr).ok_or_else(|| Error::bad_arguments(format!("'{}' is no ratio", expr.column_name())))
        };
        let too_fine = || Error::bad_arguments("the ratio of SAMPLE has too many digits");
        let (size, offset) = (share(&sample.ratio)?, sample.offset.as_ref().map_or(Ok(Share::NOTHING), share)?);
        let rows = self.catalog.rows_of(&info).unwrap_or(0);
        let mut size = size.of_rows(rows).ok_or_else(too_fine)?;
        let mut offset = offset.of_rows(rows).ok_or_else(too_fine)?;
        let number = |name: &str| env.settings.text(name).parse::<u64>().ok();
        if let Some(replicas) = number("parallel_replicas_count").filter(|n| *n > 1) {
            size = size.times(1, replicas.into()).ok_or_else(too_fine)?;
            let at = number("parallel_replica_offset").unwrap_or(0);
            let shift = size.times(at.into(), 1).ok_or_else(too_fine)?;
            offset = offset.plus(shift).ok_or_else(too_fine)?;
        }
        let aliases = Aliases::default();
        let key = hydron_sql::parse_expression(&info.sample_by)?;
        let mut x = Exprs::new(self, env, from.scope.clone(), &aliases, from.plan.streaming);
        let key = self.inside_text(|| x.bind_in(&key, Place::DEFAULT))?;
        let universe = universe(&key.ty).ok_or_else(|| {
            let message = format!("the sampling key {} is of type {}, not an unsigned integer", info.sample_by, key.ty);
            Error::new(Code::SAMPLING_NOT_SUPPORTED, message)
        })?;
        let bounds = bounds(size, offset, universe).ok_or_else(too_fine)?;
        let Some((first, end)) = bounds else {
            from.plan = from.plan.filter(Expr::literal(Value::Bool(false), LogicalType::Bool));
            return Ok(from);
        };
        let bound =
            |value: u128| Expr::literal(Value::UInt(u64::try_from(value).unwrap_or(u64::MAX)), LogicalType::UInt64);
        if first > 0 {
            let filter = x.call("greater_or_equals", vec![key.clone(), bound(first)])?;
            from.plan = from.plan.filter(filter);
        }
        if end < universe {
            let filter = x.call("less", vec![key, bound(end)])?;
            from.plan = from.plan.filter(filter);
        }
        Ok(from)
    }
}

fn table_of(plan: &Plan) -> Option<Arc<StreamInfo>> {
    match &plan.node {
        Node::Scan(scan) => Some(Arc::clone(&scan.stream)),
        Node::Project { input, .. } => table_of(input),
        _ => None,
    }
}

/// How many values an unsigned type has.
fn universe(ty: &LogicalType) -> Option<u128> {
    Some(match ty {
        LogicalType::UInt8 => 1 << 8,
        LogicalType::UInt16 => 1 << 16,
        LogicalType::UInt32 => 1 << 32,
        LogicalType::UInt64 => 1 << 64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Share> {
        Share::of(&hydron_sql::parse_expression(text).unwrap())
    }

    #[test]
    fn a_ratio_is_exact() {
        let tenth = Share::new(1, 10);
        for text in ["0.1", "1/10", "1e-1", "1/1e1", "1e1/1e2"] {
            assert_eq!(of(text), tenth, "{text}");
        }
        assert_eq!(of("x"), None);
        assert_eq!(of("1/0"), None);
    }

    #[test]
    fn samples_side_by_side_have_no_row_in_common() {
        let tenth = of("0.1").unwrap();
        let mut end = 0;
        for at in 0..10 {
            let offset = tenth.times(at, 1).unwrap();
            let (first, next) = bounds(tenth, offset, 256).unwrap().unwrap();
            assert_eq!(first, end);
            end = next;
        }
        assert_eq!(end, 256);
        assert_eq!(bounds(tenth, Share::ONE, 256), Some(None));
        assert_eq!(of("100").unwrap().of_rows(256), Share::new(100, 256));
        assert_eq!(of("1000").unwrap().of_rows(256), Some(Share::ONE));
    }
}
