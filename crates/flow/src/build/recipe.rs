//! What an aggregation of a plan needs to become operators: its groups, its window, when it answers.

use super::{BuildOptions, node_name};
use crate::group::GroupSpec;
use crate::group::closing::{Closing, ClosingSpec};
use crate::group::global::{Global, GlobalSpec};
use crate::operator::Operator;
use crate::window::aggregate::{WindowAggregate, WindowSpec};
use crate::window::layout::{Key, Layout};
use crate::window::session::{SessionAggregate, SessionRule, SessionSpec};
use crate::window::span::{Spans, digits_of, fixed_ticks};
use crate::window::stamper::{StamperSpec, TimeColumn};
use hydron_base::{Error, Result};
use hydron_func::BoundAgg;
use hydron_plan::node::{Aggregate, Grouping};
use hydron_plan::{AggCall, Change, Emit, Expr, ExprKind, Node, Plan, Trigger, WindowKind};
use hydron_types::physical::arrow_type;
use hydron_types::{LogicalType, Schema};
use std::sync::Arc;

/// Milliseconds between the answers of a global aggregation without EMIT.
const PERIOD_MS_DEFAULT: i64 = 2_000;

/// Everything an aggregation needs, worked out of its plan.
pub struct Recipe<'a> {
    /// Below the aggregation, its conditions and its window.
    pub input: &'a Plan,
    pub maker: Maker,
    pub emit: Emit,
    time: Option<TimeColumn>,
    delay: i64,
    idle_ms: Option<i64>,
}

/// Makes operators of one aggregation.
#[derive(Clone)]
pub enum Maker {
    Global(Arc<GlobalSpec>),
    Window(Arc<WindowSpec>),
    Session(Arc<SessionSpec>),
    Closing(Arc<ClosingSpec>),
}

impl Maker {
    pub fn operator(&self) -> Result<Box<dyn Operator>> {
        Ok(match self {
            Maker::Global(spec) => Box::new(Global::new(Arc::clone(spec))?),
            Maker::Window(spec) => Box::new(WindowAggregate::new(Arc::clone(spec))),
            Maker::Session(spec) => Box::new(SessionAggregate::new(Arc::clone(spec))),
            Maker::Closing(spec) => Box::new(Closing::new(Arc::clone(spec))?),
        })
    }
}

impl<'a> Recipe<'a> {
    pub fn of(aggregate: &'a Aggregate, plan: &Plan, options: BuildOptions) -> Result<Recipe<'a>> {
        if aggregate.grouping != Grouping::Plain {
            return Err(Error::not_implemented("WITH TOTALS, ROLLUP, CUBE and GROUPING SETS in a streaming query"));
        }
        let answers = plan.schema.len() - usize::from(aggregate.emit_version);
        let schema = Arc::new(Schema::new(plan.schema.fields[..answers].to_vec()));
        match aggregate.window {
            None if aggregate.close.is_some() => Recipe::closing(aggregate, schema, options),
            None => Recipe::global(aggregate, schema, options),
            Some(_) => Recipe::windowed(aggregate, schema, options),
        }
    }

    fn global(aggregate: &'a Aggregate, schema: Arc<Schema>, options: BuildOptions) -> Result<Recipe<'a>> {
        let input = &*aggregate.input;
        let default = plain_emit(Trigger::Periodic(PERIOD_MS_DEFAULT));
        let emit = aggregate.emit.clone().unwrap_or(default);
        let retracting = match input.change {
            Change::Append => false,
            Change::Changelog | Change::ChangelogKv => true,
            Change::VersionedKv => {
                return Err(Error::not_implemented("aggregating a versioned_kv stream in a streaming query"));
            }
        };
        let trigger = match emit.trigger {
            // A substream answers when it has news: of one group each, only those that were touched answer.
            Trigger::Periodic(ms)
                if aggregate.partition_keys > 0 && aggregate.partition_keys == aggregate.keys.len() =>
            {
                Trigger::PeriodicOnUpdate(ms)
            }
            other => other,
        };
        let aggs = if retracting { retracting_forms(&aggregate.aggs)? } else { aggregate.aggs.clone() };
        let spec = GlobalSpec {
            groups: GroupSpec { keys: aggregate.keys.clone(), aggs, groups_max: options.groups_max },
            trigger,
            changelog: emit.changelog,
            repeats: emit.repeat,
            retracting,
            restarts: input.is_whole_answer(),
            own_emit: aggregate.has_own_emit(),
            emit_during_backfill: options.emit_during_backfill,
            ttl_ms: options.ttl_ms,
            schema,
        };
        Ok(Recipe { input, maker: Maker::Global(Arc::new(spec)), emit, time: None, delay: 0, idle_ms: None })
    }

    /// EMIT AFTER SESSION CLOSE.
    fn closing(aggregate: &'a Aggregate, schema: Arc<Schema>, options: BuildOptions) -> Result<Recipe<'a>> {
        let (Some(close), input) = (&aggregate.close, &*aggregate.input) else {
            return Err(Error::bug("an aggregation of sessions that nothing closes"));
        };
        if aggregate.partition_keys > 0 {
            return Err(Error::not_implemented("EMIT AFTER SESSION CLOSE in substreams (PARTITION BY)"));
        }
        if input.change != Change::Append {
            return Err(Error::not_implemented("EMIT AFTER SESSION CLOSE of rows that are withdrawn"));
        }
        let digits = digits_of(&arrow_type(&close.time.ty))?;
        let ticks = |i| fixed_ticks(i, digits).ok_or_else(|| Error::bad_arguments("MAXSPAN takes days at most"));
        let emit = aggregate.emit.clone().unwrap_or(plain_emit(Trigger::OnUpdate));
        let spec = ClosingSpec {
            groups: GroupSpec {
                keys: aggregate.keys.clone(),
                aggs: aggregate.aggs.clone(),
                groups_max: options.groups_max,
            },
            time: close.time.clone(),
            start: close.start.clone(),
            end: close.end.clone(),
            only: close.only,
            span_max: close.span_max.map(ticks).transpose()?,
            timeout_ms: emit.timeout_ms,
            merges: close.merges,
            takes_end: close.takes_end,
            schema,
        };
        let maker = Maker::Closing(Arc::new(spec));
        Ok(Recipe { input, maker, emit, time: None, delay: 0, idle_ms: None })
    }

    fn windowed(aggregate: &'a Aggregate, schema: Arc<Schema>, options: BuildOptions) -> Result<Recipe<'a>> {
        let default = plain_emit(Trigger::AfterWatermark);
        let emit = aggregate.emit.clone().unwrap_or(default);
        if emit.changelog {
            return Err(Error::not_implemented("EMIT CHANGELOG of a window aggregation"));
        }
        let (mut groups, keys) = split_keys(aggregate, options);
        let (mut filters, mut below) = (Vec::new(), &*aggregate.input);
        loop {
            match &below.node {
                Node::Filter { input, predicate } => {
                    filters.push(predicate.clone());
                    below = input;
                }
                Node::Project { input, exprs } => {
                    groups = inlined(&groups, exprs)?;
                    filters = filters.iter().map(|f| inline(f, exprs)).collect::<Result<_>>()?;
                    below = input;
                }
                _ => break,
            }
        }
        let Node::AssignWindow { input, window } = &below.node else {
            let name = node_name(&below.node);
            return Err(Error::not_implemented(format!(
                "{name} between a window and its aggregation in a streaming query"
            )));
        };
        if input.change != Change::Append {
            return Err(Error::not_implemented("a window over a changelog"));
        }
        let time = time_column(window, &input.schema)?;
        let delay = match emit.delay {
            None => 0,
            Some(d) => fixed_ticks(d, time.digits)
                .ok_or_else(|| Error::bad_arguments("EMIT ... WITH DELAY takes days at most"))?,
        };
        let layout = Layout { keys, digits: time.digits, schema };
        let width = input.schema.len();
        let reads_window = reads_beyond(&groups, &filters, width);
        let emit_during_backfill = options.emit_during_backfill;
        let maker = match &window.kind {
            WindowKind::Session { timeout, max_size, start, start_inclusive, end, end_inclusive } => {
                if reads_window {
                    return Err(Error::not_implemented(
                        "an expression over the bounds of a session window in its aggregation",
                    ));
                }
                let rule = SessionRule {
                    timeout: *timeout,
                    max_size: *max_size,
                    start: start.clone(),
                    start_inclusive: *start_inclusive,
                    end: end.clone(),
                    end_inclusive: *end_inclusive,
                };
                let (zone, trigger, waits) = (window.zone, emit.trigger, delay > 0);
                let repeats = emit.repeat;
                let spec = SessionSpec {
                    rule,
                    time,
                    zone,
                    groups,
                    filters,
                    layout,
                    trigger,
                    repeats,
                    waits,
                    emit_during_backfill,
                };
                Maker::Session(Arc::new(spec))
            }
            kind => {
                let spans = Spans::new(kind, time.digits, window.zone)?;
                let (input, trigger) = (Arc::clone(&below.schema), emit.trigger);
                let spec = WindowSpec {
                    spans,
                    time,
                    groups,
                    filters,
                    reads_window,
                    input,
                    layout,
                    trigger,
                    repeats: emit.repeat,
                    emit_during_backfill,
                };
                Maker::Window(Arc::new(spec))
            }
        };
        Ok(Recipe { input, maker, emit, time: Some(time), delay, idle_ms: options.idle_ms })
    }

    /// The stamper in front; `None` when nothing needs one. `ticks`: with those of EMIT PERIODIC.
    pub fn stamper(&self, lanes: usize, ticks: bool) -> Option<StamperSpec> {
        let period_ms = match self.emit.trigger {
            Trigger::Periodic(ms) | Trigger::PeriodicOnUpdate(ms) if ticks => Some(ms.max(1)),
            _ => None,
        };
        let spec = StamperSpec {
            time: self.time,
            delay: self.delay,
            lanes,
            period_ms,
            timeout_ms: self.emit.timeout_ms,
            idle_ms: self.idle_ms,
        };
        (spec.time.is_some() || period_ms.is_some()).then_some(spec)
    }

    pub fn groups(&self) -> &GroupSpec {
        match &self.maker {
            Maker::Global(spec) => &spec.groups,
            Maker::Window(spec) => &spec.groups,
            Maker::Session(spec) => &spec.groups,
            Maker::Closing(spec) => &spec.groups,
        }
    }

    /// Whether the substreams of an aggregation are just its groups: each has one group, and none has state of its own beside.
    pub fn is_plain_substreams(&self, aggregate: &Aggregate) -> bool {
        aggregate.window.is_none() && !aggregate.emit_version && aggregate.partition_keys == aggregate.keys.len()
    }

    /// Whether several operators may share the keys: their answers to one message must make one answer.
    pub fn is_divisible(&self) -> bool {
        let own_emit = matches!(&self.maker, Maker::Global(spec) if spec.own_emit);
        !self.is_session() && !own_emit && self.emit.trigger != Trigger::PerEvent && !self.groups().keys.is_empty()
    }

    fn is_session(&self) -> bool {
        matches!(self.maker, Maker::Session(_) | Maker::Closing(_))
    }

    pub fn operator(&self) -> Result<Box<dyn Operator>> {
        self.maker.operator()
    }
}

fn plain_emit(trigger: Trigger) -> Emit {
    Emit { trigger, changelog: false, delay: None, timeout_ms: None, repeat: false }
}

/// The aggregates in the form that takes withdrawals.
fn retracting_forms(aggs: &[AggCall]) -> Result<Vec<AggCall>> {
    let form = |agg: &AggCall| {
        let aggregate = agg.bound.aggregate.retracting();
        let aggregate =
            aggregate.ok_or_else(|| Error::not_implemented(format!("aggregate {} over a changelog", agg.name)))?;
        Ok(AggCall { bound: BoundAgg { aggregate, ..agg.bound.clone() }, ..agg.clone() })
    };
    aggs.iter().map(form).collect()
}

/// The keys that are not the window's, and how an answer is laid out.
fn split_keys(aggregate: &Aggregate, options: BuildOptions) -> (GroupSpec, Vec<Key>) {
    let window = aggregate.window.as_ref();
    let mut keys = Vec::new();
    let layout = aggregate.keys.iter().enumerate().map(|(at, key)| {
        if window.is_some_and(|w| w.start_key == Some(at)) {
            Key::WindowStart
        } else if window.is_some_and(|w| w.end_key == Some(at)) {
            Key::WindowEnd
        } else {
            keys.push(key.clone());
            Key::Group(keys.len() - 1)
        }
    });
    let layout = layout.collect();
    (GroupSpec { keys, aggs: aggregate.aggs.clone(), groups_max: options.groups_max }, layout)
}

/// The groups over the input of a projection instead of its output.
fn inlined(groups: &GroupSpec, exprs: &[Expr]) -> Result<GroupSpec> {
    let all = |list: &[Expr]| list.iter().map(|e| inline(e, exprs)).collect::<Result<Vec<_>>>();
    let agg = |a: &AggCall| {
        let filter = a.filter.as_ref().map(|f| inline(f, exprs)).transpose()?;
        Ok(AggCall { args: all(&a.args)?, filter, ..a.clone() })
    };
    let aggs = groups.aggs.iter().map(agg).collect::<Result<_>>()?;
    Ok(GroupSpec { keys: all(&groups.keys)?, aggs, groups_max: groups.groups_max })
}

/// `expr` with every column replaced by the expression that computes it.
fn inline(expr: &Expr, exprs: &[Expr]) -> Result<Expr> {
    let computed = |column: usize| {
        exprs.get(column).ok_or_else(|| Error::bug(format!("column {column} of a projection of {}", exprs.len())))
    };
    let kind = match &expr.kind {
        ExprKind::Column(column) => return computed(*column).cloned(),
        ExprKind::Call { name, kernel, args, volatility } => ExprKind::Call {
            name: Arc::clone(name),
            kernel: Arc::clone(kernel),
            args: args.iter().map(|a| inline(a, exprs)).collect::<Result<_>>()?,
            volatility: *volatility,
        },
        ExprKind::Lambda { captures, params, body } => {
            let plain = |c: &usize| {
                let column = computed(*c)?.as_column();
                column.ok_or_else(|| {
                    Error::not_implemented("a lambda over a computed column between a window and its aggregation")
                })
            };
            let captures = captures.iter().map(plain).collect::<Result<_>>()?;
            ExprKind::Lambda { captures, params: params.clone(), body: Arc::clone(body) }
        }
        ExprKind::Literal(value) => ExprKind::Literal(value.clone()),
    };
    Ok(Expr { kind, ty: expr.ty.clone() })
}

/// Whether an expression reads a column from `width` on.
fn reads_beyond(groups: &GroupSpec, filters: &[Expr], width: usize) -> bool {
    let args = groups.aggs.iter().flat_map(|a| a.args.iter().chain(&a.filter));
    let mut beyond = false;
    for expr in groups.keys.iter().chain(args).chain(filters) {
        expr.columns(&mut |c| beyond |= c >= width);
    }
    beyond
}

pub fn time_column(window: &hydron_plan::WindowSpec, input: &Schema) -> Result<TimeColumn> {
    let field = input.fields.get(window.time).ok_or_else(|| Error::bug("the time column of a window is missing"))?;
    let digits = digits_of(&arrow_type(&field.ty))?;
    let step = match field.ty.bare() {
        LogicalType::DateTime64(scale, _) => 10i64.pow(u32::from(digits.saturating_sub(*scale))),
        _ => 1,
    };
    Ok(TimeColumn { column: window.time, digits, step, processing_time: window.processing_time })
}
