//! `tumble`, `hop`, `session` as sources: their arguments, and the columns they add.

use super::Binder;
use super::alias::Aliases;
use super::env::Env;
use super::expr::{Exprs, Place};
use super::scope::Show;
use super::source::{From, WindowColumns};
use crate::node::{Change, Interval, Node, Plan, WindowKind, WindowSpec};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast;
use hydron_types::{Field, IntervalUnit, LogicalType, Schema, Value, Zone};
use std::sync::Arc;

impl Exprs<'_> {
    /// A constant interval: `5s`, `INTERVAL 5 SECOND`. Errors: ILLEGAL_TYPE_OF_ARGUMENT (43).
    pub(super) fn interval(&mut self, expr: &ast::Expr) -> Result<Interval> {
        let wrong = || {
            let text = format!("\"{}\" is not a constant interval such as 5s", expr.column_name());
            Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, text)
        };
        if let Some(interval) = written(expr) {
            return Ok(interval);
        }
        match self.constant(expr)? {
            Some((Value::Int(count), LogicalType::Interval(unit))) => Ok(Interval { count, unit }),
            _ => Err(wrong()),
        }
    }
}

/// `to_interval_second(5)` without asking the function.
fn written(expr: &ast::Expr) -> Option<Interval> {
    let f = expr.as_function()?;
    let unit = f.name.strip_prefix("to_interval_").and_then(hydron_types::parse::interval_unit)?;
    let count = match f.args.as_slice() {
        [arg] => match arg.as_literal()? {
            ast::Literal::UInt(n) => i64::try_from(*n).ok()?,
            ast::Literal::Int(n) => *n,
            _ => return None,
        },
        _ => return None,
    };
    Some(Interval { count, unit })
}

/// Milliseconds, for intervals of wall time; months count 30 days.
pub(super) fn interval_ms(interval: Interval) -> i64 {
    let ns =
        interval.unit.nanoseconds().unwrap_or_else(|| interval.unit.months().unwrap_or(1) * 30 * 86_400_000_000_000);
    i64::try_from(i128::from(ns) * i128::from(interval.count) / 1_000_000).unwrap_or(i64::MAX)
}

/// Ticks of `10^-digits` seconds, for intervals of fixed length; `None`: it has none, or is no whole number of ticks.
pub(super) fn interval_ticks(interval: Interval, digits: u8) -> Option<i64> {
    let ns = i128::from(interval.unit.nanoseconds()?) * i128::from(interval.count);
    let tick = 10_i128.pow(9 - u32::from(digits.min(9)));
    (ns % tick == 0).then(|| i64::try_from(ns / tick).ok()).flatten()
}

/// The arguments of a window function after its source.
struct Args<'e> {
    time: Option<&'e ast::Expr>,
    intervals: Vec<Interval>,
    zone: Option<Zone>,
    /// The conditions of a session with their brackets: start, inclusive, end, inclusive.
    range: Option<(&'e ast::Expr, bool, &'e ast::Expr, bool)>,
}

impl<'a> Binder<'a> {
    pub(super) fn window_source(&self, f: &ast::Function, env: &Env<'_>) -> Result<From> {
        let (low, high) = match f.name.as_str() {
            "tumble" => (2, 4),
            "hop" => (3, 5),
            _ => (2, 6),
        };
        if f.args.len() < low {
            return Err(arguments(Code::TOO_FEW_ARGUMENTS_FOR_FUNCTION, f, low, high));
        }
        if f.args.len() > high {
            return Err(arguments(Code::TOO_MANY_ARGUMENTS_FOR_FUNCTION, f, low, high));
        }
        let from = self.source_argument(&f.args[0], env, 3, &f.name)?;
        let over_table = f.args[0].as_function().is_some_and(|inner| inner.name == "table");
        let over_rows = !from.plan.streaming && (f.name == "session" || (f.name == "hop" && over_table));
        if from.plan.streaming && from.plan.change != Change::Append {
            return Err(Error::not_implemented(format!("{} over a changelog", f.name)));
        }
        let aliases = Aliases::default();
        let From { plan, scope, flat, unnamed, .. } = from;
        let mut x = Exprs::new(self, env, scope, &aliases, plan.streaming);
        let args = self.window_args(&mut x, f)?;
        // Only what would be right over a stream is refused for being over a table.
        if over_rows {
            return Err(Error::not_implemented(format!("{} over a table", f.name)));
        }
        let default_time = ast::Expr::column("_tp_time");
        let time = args.time.unwrap_or(&default_time);
        let kind = match (f.name.as_str(), args.intervals.as_slice()) {
            ("tumble", [size]) => WindowKind::Tumble { size: *size },
            ("hop", [slide, size]) => hop(*slide, *size)?,
            ("session", [timeout, rest @ ..]) => {
                let max_size = rest
                    .first()
                    .copied()
                    .unwrap_or(Interval { count: timeout.count.saturating_mul(5), unit: timeout.unit });
                self.session(&mut x, *timeout, max_size, &args)?
            }
            _ => return Err(Error::bad_arguments(format!("{} takes other intervals: see its arguments", f.name))),
        };
        let (plan, window) = assign(&mut x, plan, time, kind, args.zone)?;
        let scope = x.scope;
        Ok(From { plan, scope, flat, unnamed, window: Some(window) })
    }

    fn window_args<'e>(&self, x: &mut Exprs<'_>, f: &'e ast::Function) -> Result<Args<'e>> {
        let mut args = Args { time: None, intervals: Vec::new(), zone: None, range: None };
        let mut conditions: Vec<&ast::Expr> = Vec::new();
        let rest = &f.args[1..];
        for (i, arg) in rest.iter().enumerate() {
            if let ast::ExprKind::SessionRange(range) = &arg.kind {
                args.range = Some((&range.start, range.start_inclusive, &range.end, range.end_inclusive));
                continue;
            }
            if let Some(text) = arg.as_literal().and_then(ast::Literal::as_str) {
                if i + 1 != rest.len() {
                    return Err(Error::bad_arguments(format!("the time zone is the last argument of {}", f.name)));
                }
                args.zone = Some(Zone::parse(text)?);
                continue;
            }
            if args.intervals.len() < 2 && conditions.is_empty() && is_interval(x, arg) {
                args.intervals.push(x.interval(arg)?);
            } else if i == 0 && args.intervals.is_empty() {
                args.time = Some(arg);
            } else {
                conditions.push(arg);
            }
        }
        if args.intervals.is_empty() {
            return Err(Error::bad_arguments(format!("{} needs an interval such as 5s", f.name)));
        }
        match (f.name.as_str(), conditions.as_slice()) {
            (_, []) => {}
            ("session", [_]) => {
                return Err(Error::new(
                    Code::MISSING_SESSION_KEY,
                    "session with a start condition needs an end condition",
                ));
            }
            ("session", [start, end]) if args.range.is_none() => args.range = Some((start, true, end, true)),
            _ => return Err(Error::bad_arguments(format!("{} does not take so many conditions", f.name))),
        }
        Ok(args)
    }

    fn session(&self, x: &mut Exprs<'_>, timeout: Interval, max_size: Interval, args: &Args<'_>) -> Result<WindowKind> {
        if timeout.unit.nanoseconds().is_none() || max_size.unit.nanoseconds().is_none() {
            return Err(Error::bad_arguments("session takes weeks or shorter units"));
        }
        if timeout.count <= 0 || interval_ns(timeout) > interval_ns(max_size) {
            return Err(Error::bad_arguments(
                "the timeout of a session is more than zero and at most its greatest size",
            ));
        }
        let place = Place { name: "a condition of session", ..Place::ROW };
        let (mut start, mut end, mut start_inclusive, mut end_inclusive) = (None, None, true, true);
        if let Some((from, from_inclusive, to, to_inclusive)) = args.range {
            start = Some(x.condition(from, place)?);
            end = Some(x.condition(to, place)?);
            (start_inclusive, end_inclusive) = (from_inclusive, to_inclusive);
        }
        Ok(WindowKind::Session { timeout, max_size, start, start_inclusive, end, end_inclusive })
    }
}

fn is_interval(x: &mut Exprs<'_>, expr: &ast::Expr) -> bool {
    if written(expr).is_some() {
        return true;
    }
    match expr.as_function() {
        Some(f) if f.name.starts_with("to_interval_") => {
            matches!(x.constant(expr), Ok(Some((_, LogicalType::Interval(_)))))
        }
        _ => false,
    }
}

fn interval_ns(interval: Interval) -> i128 {
    let months = interval.unit.months().map_or(0, |m| i128::from(m) * 30 * 86_400_000_000_000);
    let unit = interval.unit.nanoseconds().map_or(months, i128::from);
    unit * i128::from(interval.count)
}

fn hop(slide: Interval, size: Interval) -> Result<WindowKind> {
    let fixed = |i: Interval| i.unit.nanoseconds().is_some();
    if fixed(slide) != fixed(size) {
        return Err(Error::bad_arguments(
            "slide and size of hop must both be of fixed length or both in months and longer",
        ));
    }
    if interval_ns(slide) > interval_ns(size) {
        return Err(Error::bad_arguments("the slide of hop is at most its size"));
    }
    Ok(WindowKind::Hop { slide, size })
}

/// Adds the window columns of `kind` over the time expression.
///
/// Errors: ILLEGAL_TYPE_OF_ARGUMENT (43) for a time that is no datetime, BAD_ARGUMENTS (36) for an interval that is not
/// positive, finer than the time column, or below a second without dividing the hour.
pub(super) fn assign(
    x: &mut Exprs<'_>,
    plan: Plan,
    time: &ast::Expr,
    kind: WindowKind,
    zone: Option<Zone>,
) -> Result<(Plan, WindowColumns)> {
    let bound = x.bind_in(time, Place { name: "the time of a window", ..Place::ROW })?;
    let ty = bound.ty.clone();
    let (scale, own_zone) = match &ty {
        LogicalType::DateTime(zone) => (0, *zone),
        LogicalType::DateTime64(scale, zone) => (*scale, *zone),
        other => {
            let text = format!("the time of a window is a datetime or datetime64, not {other}");
            return Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, text));
        }
    };
    for interval in intervals(&kind) {
        check_interval(interval, scale)?;
    }
    let processing_time =
        time.as_function().is_some_and(|f| matches!(f.name.to_ascii_lowercase().as_str(), "now" | "now64"));
    let (plan, position) = match bound.as_column() {
        Some(column) => (plan, column),
        None => {
            let plan = plan.extend(vec![(Arc::from("__tp_ts"), bound)]);
            (plan, x.scope.push_hidden(ty.clone()))
        }
    };
    let spec = WindowSpec { kind, time: position, zone: zone.or(own_zone).unwrap_or(x.cx.zone), processing_time };
    // Bounds of other windows that the source has are hidden by these.
    let older = x.scope.columns.iter_mut().filter(|c| matches!(&*c.name, "window_start" | "window_end"));
    older.for_each(|c| c.show = Show::Hidden);
    let start = x.scope.push("window_start", ty.clone(), Show::Yes);
    let end = x.scope.push("window_end", ty.clone(), Show::Yes);
    let mut fields = plan.schema.fields.clone();
    fields.push(Field::new("window_start", ty.clone()));
    fields.push(Field::new("window_end", ty));
    let (streaming, change) = (plan.streaming, plan.change);
    let node = Node::AssignWindow { input: Box::new(plan), window: spec };
    let plan = Plan { node, schema: Arc::new(Schema::new(fields)), streaming, change };
    Ok((plan, WindowColumns { start, end }))
}

fn intervals(kind: &WindowKind) -> Vec<Interval> {
    match kind {
        WindowKind::Tumble { size } => vec![*size],
        WindowKind::Hop { slide, size } => vec![*slide, *size],
        WindowKind::Session { timeout, max_size, .. } => vec![*timeout, *max_size],
    }
}

fn check_interval(interval: Interval, scale: u8) -> Result<()> {
    if interval.count <= 0 {
        return Err(Error::bad_arguments("the intervals of a window are more than zero"));
    }
    let needed = match interval.unit {
        IntervalUnit::Nanosecond => 9,
        IntervalUnit::Microsecond => 6,
        IntervalUnit::Millisecond => 3,
        _ => 0,
    };
    if scale < needed {
        let text = format!(
            "a window in {}s needs a time column of scale {needed}, this one has {scale}",
            interval.unit.name()
        );
        return Err(Error::bad_arguments(text));
    }
    const HOUR_NS: i128 = 3_600_000_000_000;
    if interval.unit < IntervalUnit::Second && HOUR_NS % interval_ns(interval) != 0 {
        return Err(Error::bad_arguments("a window below a second must divide one hour"));
    }
    Ok(())
}

fn arguments(code: Code, f: &ast::Function, low: usize, high: usize) -> Error {
    Error::new(code, format!("{} takes {low} to {high} arguments, given {}", f.name, f.args.len()))
}
