//! EMIT: when the answers of a streaming aggregation leave, and the rules of what goes with what.

use super::Binder;
use super::expr::{Exprs, Place};
use super::source::WindowColumns;
use super::window_source::{assign, interval_ms};
use crate::node::{Change, Emit, Interval, Plan, SessionClose, Trigger, WindowKind};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast;
use hydron_types::{IntervalUnit, LogicalType};

/// Milliseconds between answers of a global aggregation without EMIT PERIODIC.
const PERIOD_MS: i64 = 2_000;

/// What the EMIT clause means here.
#[derive(Default)]
pub(super) struct EmitPlan {
    /// For the aggregation; `None` in history and without one.
    pub emit: Option<Emit>,
    pub changelog: bool,
    pub last: Option<Last>,
    /// EMIT AFTER SESSION CLOSE, over the columns of FROM.
    pub close: Option<SessionClose>,
}

pub(super) struct Last {
    pub span: Interval,
    pub proctime: bool,
    /// Between answers of EMIT LAST over all groups.
    step: Interval,
    expr: ast::Expr,
}

impl Last {
    /// Whether a row is of the last while.
    fn is_recent(&self) -> ast::Expr {
        let now = ast::Expr::call("now64", vec![ast::Literal::UInt(3).into(), ast::Expr::string("UTC")]);
        let since = ast::Expr::call("minus", vec![now, self.expr.clone()]);
        ast::Expr::call("greater_or_equals", vec![ast::Expr::column("_tp_time"), since])
    }
}

impl<'a> Binder<'a> {
    /// Errors: INCORRECT_QUERY (80) for options that do not go together, ILLEGAL_TYPE_OF_ARGUMENT (43) for a period longer than
    /// a day's unit, NOT_IMPLEMENTED (48).
    pub(super) fn emit_plan(
        &self,
        x: &mut Exprs<'_>,
        clause: Option<&ast::Emit>,
        aggregated: bool,
        window: bool,
        plan: &Plan,
    ) -> Result<EmitPlan> {
        let none = ast::Emit::default();
        let clause = clause.unwrap_or(&none);
        let changelog = clause.mode == Some(ast::EmitMode::Changelog);
        if !plan.streaming {
            if changelog {
                return Err(Error::not_implemented("EMIT CHANGELOG in a historical query"));
            }
            return Ok(EmitPlan::default());
        }
        let close = self.session_close(x, clause, aggregated, window, plan)?;
        let timed = clause.after.is_some() || clause.periodic.is_some() || clause.on_update || clause.per_event;
        if !aggregated && (timed || clause.delay.is_some() || clause.timeout.is_some()) {
            return Err(incorrect(
                "EMIT PERIODIC, AFTER WATERMARK, ON UPDATE, PER EVENT, DELAY and TIMEOUT need an aggregation",
            ));
        }
        if clause.per_event && window {
            return Err(incorrect("EMIT PER EVENT is for aggregations without a window"));
        }
        if clause.periodic.is_some() && !window && (clause.delay.is_some() || clause.timeout.is_some()) {
            return Err(incorrect("EMIT PERIODIC goes with DELAY and TIMEOUT over a window alone"));
        }
        let of_window = clause.after.is_some() || clause.delay.is_some() || clause.timeout.is_some();
        if aggregated && !window && of_window && close.is_none() {
            return Err(incorrect("EMIT AFTER WATERMARK, DELAY and TIMEOUT need a window"));
        }
        let periodic = clause.periodic.as_ref().map(|e| self.period(x, e, "PERIODIC")).transpose()?;
        let batch = clause.batch.as_ref().map(|e| self.period(x, e, "ON UPDATE WITH BATCH")).transpose()?;
        let delay = clause.delay.as_ref().map(|e| self.period(x, e, "DELAY")).transpose()?;
        let timeout = clause.timeout.as_ref().map(|e| self.period(x, e, "TIMEOUT")).transpose()?;
        let last = match &clause.last {
            Some(expr) => {
                let span = x.interval(expr)?;
                let step = periodic.unwrap_or(Interval { count: PERIOD_MS / 1_000, unit: IntervalUnit::Second });
                Some(Last { span, proctime: clause.last_on_proctime, step, expr: expr.clone() })
            }
            None => None,
        };
        if !aggregated {
            return Ok(EmitPlan { emit: None, changelog, last, close: None });
        }
        let trigger = match (periodic.or(batch), clause.on_update) {
            _ if close.is_some() => Trigger::OnUpdate,
            _ if clause.per_event => Trigger::PerEvent,
            (Some(period), true) => Trigger::PeriodicOnUpdate(interval_ms(period)),
            (None, true) => Trigger::OnUpdate,
            // EMIT LAST over all groups answers when its windows close.
            (_, false) if window || last.is_some() => match periodic.filter(|_| window) {
                Some(period) => Trigger::Periodic(interval_ms(period)),
                None => Trigger::AfterWatermark,
            },
            (Some(period), false) => Trigger::Periodic(interval_ms(period)),
            // Each answer below is one here.
            (None, false) if plan.is_whole_answer() => Trigger::OnUpdate,
            (None, false) => Trigger::Periodic(PERIOD_MS),
        };
        let emit = Emit { trigger, changelog, delay, timeout_ms: timeout.map(interval_ms), repeat: clause.repeat };
        Ok(EmitPlan { emit: Some(emit), changelog, last, close })
    }

    /// `AFTER SESSION CLOSE [IDENTIFIED BY (time[, start, end])] WITH [ONLY] MAXSPAN iv [AND TIMEOUT iv]`, earlier written
    /// `AFTER KEY EXPIRE`.
    ///
    /// Errors: INCORRECT_QUERY (80) over a window and beside other options, BAD_ARGUMENTS (36) for a session that nothing ends,
    /// ILLEGAL_TYPE_OF_ARGUMENT (43) for a time that is none, NOT_IMPLEMENTED (48).
    fn session_close(
        &self,
        x: &mut Exprs<'_>,
        clause: &ast::Emit,
        aggregated: bool,
        window: bool,
        plan: &Plan,
    ) -> Result<Option<SessionClose>> {
        let Some(ast::EmitAfter::SessionClose { identified_by, only, maxspan, .. }) = &clause.after else {
            return Ok(None);
        };
        let others = clause.periodic.is_some() || clause.on_update || clause.per_event || clause.delay.is_some();
        if !aggregated || window || others || clause.last.is_some() {
            return Err(incorrect("EMIT AFTER SESSION CLOSE is for aggregations without a window, and stands alone"));
        }
        if clause.mode == Some(ast::EmitMode::Changelog) || plan.change != Change::Append {
            return Err(Error::not_implemented("EMIT AFTER SESSION CLOSE of rows that are withdrawn"));
        }
        let (time, start, end) = match identified_by.as_slice() {
            [] => (&ast::Expr::column("_tp_time"), None, None),
            [time] => (time, None, None),
            [time, start, end] => (time, Some(start), Some(end)),
            _ => {
                return Err(Error::bad_arguments(
                    "IDENTIFIED BY takes a time, or a time, a start and an end condition",
                ));
            }
        };
        let place = Place { name: "IDENTIFIED BY", ..Place::ROW };
        let time = x.bind_in(time, place)?;
        if !matches!(time.ty.bare(), LogicalType::DateTime(_) | LogicalType::DateTime64(..)) {
            let text = format!("the time of IDENTIFIED BY is a datetime or datetime64, not {}", time.ty);
            return Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, text));
        }
        let start = start.map(|e| x.condition(e, place)).transpose()?;
        let end = end.map(|e| x.condition(e, place)).transpose()?;
        let span_max = maxspan.as_ref().map(|e| self.period(x, e, "MAXSPAN")).transpose()?;
        if span_max.is_none() && end.is_none() && clause.timeout.is_none() {
            return Err(Error::bad_arguments("EMIT AFTER SESSION CLOSE needs MAXSPAN, TIMEOUT or an end condition"));
        }
        let settings = &x.env.settings;
        let (merges, takes_end) = (settings.bool("merge_open_sessions"), settings.bool("include_session_end"));
        Ok(Some(SessionClose { time, start, end, span_max, only: *only, merges, takes_end }))
    }

    /// An interval of wall time: a positive number of days or less.
    fn period(&self, x: &mut Exprs<'_>, expr: &ast::Expr, what: &str) -> Result<Interval> {
        let interval = x.interval(expr)?;
        if interval.unit > IntervalUnit::Day {
            let text = format!("EMIT … {what} takes days or shorter units, not {}s", interval.unit.name());
            return Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, text));
        }
        if interval.count <= 0 {
            return Err(Error::bad_arguments(format!("EMIT … {what} must be more than zero")));
        }
        Ok(interval)
    }

    /// EMIT LAST: only rows of the last while; over all groups of a global aggregation, a hop window.
    pub(super) fn emit_last(
        &self,
        x: &mut Exprs<'_>,
        plan: Plan,
        emit: &EmitPlan,
        aggregated: bool,
        window: &mut Option<WindowColumns>,
        clauses: &mut super::select::ClausesMut<'_>,
    ) -> Result<Plan> {
        let Some(last) = &emit.last else { return Ok(plan) };
        if aggregated && window.is_none() {
            return self.last_windows(x, plan, last, window, clauses);
        }
        if last.proctime && window.is_some() {
            return Ok(plan);
        }
        let recent = x.condition(&last.is_recent(), Place::WHERE)?;
        clauses.add_filter(x, recent)?;
        Ok(plan)
    }

    fn last_windows(
        &self,
        x: &mut Exprs<'_>,
        plan: Plan,
        last: &Last,
        window: &mut Option<WindowColumns>,
        clauses: &mut super::select::ClausesMut<'_>,
    ) -> Result<Plan> {
        if x.scope.tables.len() > 1 {
            return Err(Error::new(Code::SYNTAX_ERROR, "EMIT LAST of a global aggregation reads one source"));
        }
        let windows = interval_ms(last.span).checked_div(interval_ms(last.step).max(1)).unwrap_or(0) + 1;
        let windows_max = x.env.settings.uint("max_windows").max(x.env.settings.uint("max_keep_windows"));
        let windows_max = i64::try_from(windows_max).unwrap_or(i64::MAX);
        if windows > windows_max {
            let text = format!("EMIT LAST keeps {windows} windows open, the limit max_windows is {windows_max}");
            return Err(Error::new(Code::SYNTAX_ERROR, text));
        }
        let time = if last.proctime {
            ast::Expr::call("now64", vec![ast::Literal::UInt(3).into(), ast::Expr::string("UTC")])
        } else {
            ast::Expr::column("_tp_time")
        };
        let kind = WindowKind::Hop { slide: last.step, size: last.span };
        if !last.proctime {
            // Rows of the last while are read from the past too.
            let recent = x.condition(&last.is_recent(), Place::WHERE)?;
            clauses.add_filter(x, recent)?;
        }
        let (plan, columns) = assign(x, plan, &time, kind, None)?;
        *window = Some(columns);
        let end = x.scope.columns[columns.end].ty.clone();
        clauses.add_key(crate::expr::Expr::column(columns.end, end));
        Ok(plan)
    }
}

fn incorrect(text: &str) -> Error {
    Error::new(Code::INCORRECT_QUERY, text)
}
