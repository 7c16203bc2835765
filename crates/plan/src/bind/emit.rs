//! EMIT: when the answers of a streaming aggregation leave, and the rules of what goes with what.

use super::Binder;
use super::expr::{Exprs, Place};
use super::source::WindowColumns;
use super::window_source::{assign, interval_ms};
use crate::node::{Emit, Interval, Plan, Trigger, WindowKind};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast;
use hydron_types::IntervalUnit;

/// Milliseconds between answers of a global aggregation without EMIT PERIODIC.
const PERIOD_MS: i64 = 2_000;

/// What the EMIT clause means here.
#[derive(Default)]
pub(super) struct EmitPlan {
    /// For the aggregation; `None` in history and without one.
    pub emit: Option<Emit>,
    pub changelog: bool,
    pub last: Option<Last>,
}

pub(super) struct Last {
    pub span: Interval,
    pub proctime: bool,
    /// Between answers of EMIT LAST over all groups.
    step: Interval,
    expr: ast::Expr,
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
        refuse_later_options(clause)?;
        let timed = clause.after.is_some() || clause.periodic.is_some() || clause.on_update || clause.per_event;
        if !aggregated && (timed || clause.delay.is_some() || clause.timeout.is_some()) {
            return Err(incorrect(
                "EMIT PERIODIC, AFTER WATERMARK, ON UPDATE, PER EVENT, DELAY and TIMEOUT need an aggregation",
            ));
        }
        if clause.per_event && window {
            return Err(incorrect("EMIT PER EVENT is for aggregations without a window"));
        }
        if clause.periodic.is_some() && (clause.delay.is_some() || clause.timeout.is_some()) {
            return Err(incorrect("EMIT PERIODIC does not go with DELAY or TIMEOUT"));
        }
        if aggregated && !window && (clause.after.is_some() || clause.delay.is_some() || clause.timeout.is_some()) {
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
            return Ok(EmitPlan { emit: None, changelog, last });
        }
        let trigger = match (periodic.or(batch), clause.on_update) {
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
        Ok(EmitPlan { emit: Some(emit), changelog, last })
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
        let now = ast::Expr::call("now64", vec![ast::Literal::UInt(3).into(), ast::Expr::string("UTC")]);
        let since = ast::Expr::call("minus", vec![now, last.expr.clone()]);
        let recent = ast::Expr::call("greater_or_equals", vec![ast::Expr::column("_tp_time"), since]);
        let recent = x.condition(&recent, Place::WHERE)?;
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
        let windows_max = i64::try_from(x.env.settings.uint("max_windows")).unwrap_or(i64::MAX);
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
        let (plan, columns) = assign(x, plan, &time, kind, None)?;
        *window = Some(columns);
        let end = x.scope.columns[columns.end].ty.clone();
        clauses.add_key(crate::expr::Expr::column(columns.end, end));
        Ok(plan)
    }
}

fn refuse_later_options(clause: &ast::Emit) -> Result<()> {
    let what = match clause {
        c if matches!(c.after, Some(ast::EmitAfter::SessionClose { .. })) => "EMIT AFTER SESSION CLOSE",
        _ => return Ok(()),
    };
    Err(Error::not_implemented(what))
}

fn incorrect(text: &str) -> Error {
    Error::new(Code::INCORRECT_QUERY, text)
}
