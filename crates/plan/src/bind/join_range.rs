//! Ranges in ON of a join of two streams: how far apart the times (or numbers) of a pair may be.
//!
//! `date_diff_within(10s, l, r)`, `date_diff('second', l, r) BETWEEN -5 AND 5`, `l.x - r.x > 0 AND l.x - r.x <= 10`. In ON,
//! `date_diff(unit, a, b)` counts `a - b`, as Proton does there. Beside them `lag_behind(iv, l, r)`, which says how long left
//! rows wait.

use super::cast::cast_to;
use super::expr::{Exprs, Place};
use super::join::{Side, comparison, mirrored, side};
use super::window_source::{interval_ms, interval_ticks};
use crate::expr::Expr;
use crate::node::{AsofOrder, Interval, JoinAlign, JoinRange};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast;
use hydron_types::physical::{digits_of_unit, unit_of_scale};
use hydron_types::{IntervalUnit, LogicalType, least_supertype};

/// How long a right side must be silent, at least, before left rows wait no longer for it.
const QUIESCE_MS_MIN: i64 = 500;

/// What the conditions say so far of `left - right`, in ticks of its type.
#[derive(Default)]
pub(super) struct Range {
    sides: Option<(Expr, Expr)>,
    low: Option<i64>,
    high: Option<i64>,
}

/// `left - right`, or its negative, as written.
struct Difference {
    left: Expr,
    right: Expr,
    negative: bool,
    /// Ticks in one of what is written.
    unit: i64,
}

impl Exprs<'_> {
    /// Takes a condition that bounds a difference of both sides; false: it is none.
    ///
    /// Errors: SYNTAX_ERROR (62) for a bound given twice, BAD_ARGUMENTS (36), NOT_IMPLEMENTED (48).
    pub(super) fn range_condition(&mut self, part: &ast::Expr, left_width: usize, range: &mut Range) -> Result<bool> {
        let Some(f) = part.as_function() else { return Ok(false) };
        if f.name == "date_diff_within" {
            return self.within(f, left_width, range).map(|()| true);
        }
        let (Some(Some(order)), [a, b]) = (comparison(&f.name), f.args.as_slice()) else { return Ok(false) };
        let (difference, bound, order) = match (self.difference(a, left_width)?, self.difference(b, left_width)?) {
            (Some(difference), None) => (difference, b, order),
            (None, Some(difference)) => (difference, a, mirrored(order)),
            _ => return Ok(false),
        };
        let Some((value, ty)) = self.constant(bound)? else { return Ok(false) };
        let unit = match ty {
            LogicalType::Interval(unit) => ticks(&difference.left.ty, Interval { count: 1, unit })?,
            _ => difference.unit,
        };
        let bound = value
            .as_i64()
            .and_then(|v| v.checked_mul(unit))
            .ok_or_else(|| Error::bad_arguments(format!("\"{}\" is no bound of a range in ON", bound.column_name())))?;
        let (order, bound) = if difference.negative { (mirrored(order), -bound) } else { (order, bound) };
        let (low, high) = match order {
            AsofOrder::Less => (None, Some(bound - 1)),
            AsofOrder::LessOrEqual => (None, Some(bound)),
            AsofOrder::Greater => (Some(bound + 1), None),
            AsofOrder::GreaterOrEqual => (Some(bound), None),
        };
        range.narrow(difference.left, difference.right, low, high).map(|()| true)
    }

    /// `date_diff_within(interval[, left, right])`; without columns, the times of both streams.
    fn within(&mut self, f: &ast::Function, left_width: usize, range: &mut Range) -> Result<()> {
        let (span, pair) = match f.args.as_slice() {
            [span] => (span, self.tp_times(left_width)?),
            [span, a, b] => {
                let pair = self.difference_of(a, b, left_width)?;
                (span, pair.ok_or_else(|| Error::bad_arguments("date_diff_within compares a time of each side"))?)
            }
            _ => {
                let text = format!("date_diff_within takes 1 or 3 arguments, given {}", f.args.len());
                return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
            }
        };
        let span = self.interval(span)?;
        if !matches!(span.unit, IntervalUnit::Second | IntervalUnit::Minute) {
            return Err(Error::not_implemented("date_diff_within in other units than seconds and minutes"));
        }
        if span.count <= 0 {
            return Err(Error::bad_arguments("the interval of date_diff_within is more than zero"));
        }
        let width = ticks(&pair.0.ty, span)?;
        range.narrow(pair.0, pair.1, Some(-width), Some(width))
    }

    /// `lag_behind(interval[, left, right])`; without columns, the times of both streams.
    ///
    /// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42), BAD_ARGUMENTS (36).
    pub(super) fn lag_behind(&mut self, f: &ast::Function, left_width: usize) -> Result<JoinAlign> {
        let (span, (left, right)) = match f.args.as_slice() {
            [span] => (span, self.tp_times(left_width)?),
            [span, a, b] => {
                let pair = self.difference_of(a, b, left_width)?;
                (span, pair.ok_or_else(|| Error::bad_arguments("lag_behind compares a time of each side"))?)
            }
            _ => {
                let text = format!("lag_behind takes 1 or 3 arguments, given {}", f.args.len());
                return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
            }
        };
        let written = self.interval(span)?;
        let latency_ms = self.env.settings.uint("join_latency_threshold");
        let span = match i64::try_from(latency_ms) {
            Ok(ms) if ms > 0 => Interval { count: ms, unit: IntervalUnit::Millisecond },
            _ => written,
        };
        if span.count <= 0 {
            return Err(Error::bad_arguments("the interval of lag_behind is more than zero"));
        }
        let quiesce_ms = match i64::try_from(self.env.settings.uint("join_quiesce_threshold_ms")) {
            Ok(ms) if ms > 0 => ms,
            _ => (interval_ms(span) / 2).max(QUIESCE_MS_MIN),
        };
        // Finer than the times are: the next tick.
        let lag = ticks(&left.ty, span).or_else(|e| match span.unit < IntervalUnit::Second {
            true => Ok(1),
            false => Err(e),
        })?;
        Ok(JoinAlign { left, right, lag, quiesce_ms })
    }

    fn tp_times(&self, left_width: usize) -> Result<(Expr, Expr)> {
        let of = |from: usize, to: usize| {
            let columns = self.scope.columns.iter().enumerate().take(to).skip(from);
            columns.filter(|(_, c)| &*c.name == "_tp_time").map(|(i, c)| Expr::column(i - from, c.ty.clone())).next()
        };
        match (of(0, left_width), of(left_width, self.scope.columns.len())) {
            (Some(left), Some(right)) => self.one_type(left, right),
            _ => Err(Error::bad_arguments("date_diff_within without columns needs _tp_time on both sides")),
        }
    }

    /// `a - b` and `date_diff(unit, a, b)` with a side each.
    fn difference(&mut self, expr: &ast::Expr, left_width: usize) -> Result<Option<Difference>> {
        let Some(f) = expr.as_function() else { return Ok(None) };
        let (unit, a, b) = match (f.name.as_str(), f.args.as_slice()) {
            ("minus", [a, b]) => (None, a, b),
            ("date_diff", [unit, a, b]) => {
                let name = unit.as_literal().and_then(ast::Literal::as_str).unwrap_or_default();
                let unit = hydron_types::parse::interval_unit(name);
                (Some(unit.ok_or_else(|| Error::bad_arguments(format!("'{name}' is no unit of date_diff")))?), a, b)
            }
            _ => return Ok(None),
        };
        let (first, second) = (self.bind_in(a, Place::JOIN_ON)?, self.bind_in(b, Place::JOIN_ON)?);
        let negative = match (side(&first, left_width), side(&second, left_width)) {
            (Side::Left, Side::Right) => false,
            (Side::Right, Side::Left) => true,
            _ => return Ok(None),
        };
        let (left, right) = if negative { (second, first) } else { (first, second) };
        let (left, right) = self.one_type(left, right.map_columns(&|c| c - left_width))?;
        let unit = match unit {
            Some(unit) => ticks(&left.ty, Interval { count: 1, unit })?,
            None if matches!(left.ty.bare(), LogicalType::DateTime64(..)) => {
                return Err(Error::not_implemented("the difference of two datetime64 in ON; date_diff() of them"));
            }
            None => 1,
        };
        Ok(Some(Difference { left, right, negative, unit }))
    }

    fn difference_of(&mut self, a: &ast::Expr, b: &ast::Expr, left_width: usize) -> Result<Option<(Expr, Expr)>> {
        let (a, b) = (self.bind_in(a, Place::JOIN_ON)?, self.bind_in(b, Place::JOIN_ON)?);
        let (left, right) = match (side(&a, left_width), side(&b, left_width)) {
            (Side::Left, Side::Right) => (a, b),
            (Side::Right, Side::Left) => (b, a),
            _ => return Ok(None),
        };
        self.one_type(left, right.map_columns(&|c| c - left_width)).map(Some)
    }

    /// Both in one type, of whole numbers or times.
    fn one_type(&self, left: Expr, right: Expr) -> Result<(Expr, Expr)> {
        let common = least_supertype(&[left.ty.clone(), right.ty.clone()])
            .map_err(|_| Error::new(Code::TYPE_MISMATCH, format!("{} and {} have no difference", left.ty, right.ty)))?;
        let zone = self.cx.zone;
        let (left, right) = (cast_to(left, &common, zone)?, cast_to(right, &common, zone)?);
        let is_time = matches!(common.bare(), LogicalType::DateTime(_) | LogicalType::DateTime64(..));
        if is_time || (common.is_integer() && common.bits().is_some_and(|b| b <= 64)) {
            return Ok((left, right));
        }
        let text = format!("a range in ON is of times or whole numbers, not {common}");
        Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, text))
    }
}

/// An interval in ticks of a time's type.
fn ticks(ty: &LogicalType, interval: Interval) -> Result<i64> {
    let digits = match ty.bare() {
        LogicalType::DateTime(_) => 0,
        LogicalType::DateTime64(scale, _) => digits_of_unit(unit_of_scale(*scale)),
        other => return Err(Error::bad_arguments(format!("an interval is no difference of two {other}"))),
    };
    interval_ticks(interval, digits)
        .filter(|t| *t > 0)
        .ok_or_else(|| Error::bad_arguments(format!("a range in {}s of a {ty}", interval.unit.name())))
}

impl Range {
    fn narrow(&mut self, left: Expr, right: Expr, low: Option<i64>, high: Option<i64>) -> Result<()> {
        let wrong = |text: &str| Err(Error::new(Code::SYNTAX_ERROR, text));
        if self.sides.as_ref().is_some_and(|(l, r)| !l.is_same(&left) || !r.is_same(&right)) {
            return wrong("a join takes a range of one difference in ON");
        }
        if (low.is_some() && self.low.is_some()) || (high.is_some() && self.high.is_some()) {
            return wrong("a range in ON has one lower and one upper bound");
        }
        self.sides = Some((left, right));
        (self.low, self.high) = (self.low.or(low), self.high.or(high));
        Ok(())
    }

    /// The whole range; `None`: there was no condition. `seconds_max`: `max_join_range`.
    ///
    /// Errors: SYNTAX_ERROR (62) for one that is open, does not hold 0, or is too wide.
    pub fn finish(self, seconds_max: u64) -> Result<Option<JoinRange>> {
        let wrong = |text: String| Err(Error::new(Code::SYNTAX_ERROR, text));
        let Some((left, right)) = self.sides else { return Ok(None) };
        let (Some(low), Some(high)) = (self.low, self.high) else {
            return wrong("a range in ON needs a lower and an upper bound".to_string());
        };
        // A bound without its own value is one tick inside.
        if low > 1 || high < -1 || low > high {
            return wrong("a range in ON begins at 0 or below and ends at 0 or above".to_string());
        }
        let second = match left.ty.bare() {
            LogicalType::DateTime64(scale, _) => 10_i64.pow(u32::from(digits_of_unit(unit_of_scale(*scale)))),
            _ => 1,
        };
        let width = high.saturating_sub(low) / second;
        if u64::try_from(width).is_ok_and(|w| w > seconds_max) {
            return wrong(format!("a range in ON spans {width}, the limit max_join_range is {seconds_max}"));
        }
        Ok(Some(JoinRange { left, right, low, high }))
    }
}
