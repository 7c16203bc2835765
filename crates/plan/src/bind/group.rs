//! GROUP BY: the rows of FROM and WHERE become groups, and expressions over rows become expressions over groups.
//!
//! Output of the node: keys, substream keys first; aggregates; `emit_version`; `_tp_delta`. A part of an expression that equals
//! a key is that key; any other column of the rows is NOT_AN_AGGREGATE (215).

use super::call::arg_info;
use super::emit::EmitPlan;
use super::expr::{AGGREGATES, ARRAY_JOINS, DELTA, EMIT_VERSION, Exprs};
use super::source::WindowColumns;
use crate::expr::{AggCall, Expr, ExprKind};
use crate::node::{Aggregate, Change, Grouping, Node, Plan, SortKey, WindowCall, WindowGroup};
use hydron_base::{Code, Error, Result};
use hydron_func::Registry;
use hydron_types::{Field, LogicalType, Schema};
use std::sync::Arc;

/// GROUP BY as a node.
pub(super) struct AggregateStep<'s, 'x> {
    pub x: &'s Exprs<'x>,
    /// PARTITION BY and GROUP BY.
    pub partition_by: &'s [Expr],
    pub keys: &'s [Expr],
    pub grouping: Grouping,
    pub aggs: Vec<AggCall>,
    pub over: Option<Vec<Expr>>,
    pub window: Option<WindowColumns>,
    pub emit: EmitPlan,
}

impl AggregateStep<'_, '_> {
    pub fn build(mut self, input: Plan) -> Result<Plan> {
        // Rows that replace each other are withdrawn from the groups they were in.
        let input = super::changes::tracked(input)?;
        let streaming = input.streaming;
        let (keys, partition_keys) = self.all_keys()?;
        let window = self.window.filter(|_| streaming).map(|w| WindowGroup {
            start_key: keys.iter().position(|k| k.as_column() == Some(w.start)),
            end_key: keys.iter().position(|k| k.as_column() == Some(w.end)),
        });
        if window.as_ref().is_some_and(|w| w.start_key.is_none() && w.end_key.is_none()) {
            let text = "an aggregation over a window needs window_start or window_end in GROUP BY";
            return Err(Error::new(Code::WINDOW_COLUMN_NOT_REFERENCED, text));
        }
        if streaming && input.change != Change::Append {
            self.aggs = self.aggs.iter().map(|a| counted(a, self.x)).collect::<Result<_>>()?;
        }
        self.check_retraction(&input)?;
        let mut fields: Vec<Field> =
            keys.iter().enumerate().map(|(i, k)| Field::new(key_name(k, i, &input), k.ty.clone())).collect();
        fields.extend(
            self.aggs.iter().enumerate().map(|(i, a)| Field::new(format!("{}_{i}", a.name), a.bound.ty.clone())),
        );
        let emit_version = self.x.emit_version;
        if emit_version {
            fields.push(Field::new("emit_version", LogicalType::Int64));
        }
        let change = if streaming && self.emit.changelog { Change::Changelog } else { Change::Append };
        if change == Change::Changelog {
            fields.push(Field::new("_tp_delta", LogicalType::Int8));
        }
        let node = Aggregate {
            input: Box::new(input),
            keys,
            aggs: self.aggs,
            grouping: self.grouping,
            window,
            emit: self.emit.emit,
            emit_version,
            partition_keys,
            close: self.emit.close.map(Box::new),
        };
        Ok(Plan { node: Node::Aggregate(node), schema: Arc::new(Schema::new(fields)), streaming, change })
    }

    /// Substream keys first, each key once.
    fn all_keys(&self) -> Result<(Vec<Expr>, usize)> {
        if self.over.is_some() && (self.x.plain_aggregates || self.x.stateful.is_some()) {
            return Err(Error::not_implemented(
                "aggregates with and without OVER, or lag() beside OVER, in one streaming query",
            ));
        }
        let mut keys: Vec<Expr> = Vec::new();
        for key in self.partition_by.iter().chain(self.over.iter().flatten()) {
            if !keys.iter().any(|k| k.is_same(key)) {
                keys.push(key.clone());
            }
        }
        let partition_keys = if self.x.cx.streaming { keys.len() } else { 0 };
        if partition_keys > 0 && self.x.stateful.is_some() {
            return Err(Error::not_implemented("lag() and its like together with PARTITION BY"));
        }
        for key in self.keys {
            if !keys.iter().any(|k| k.is_same(key)) {
                keys.push(key.clone());
            }
        }
        Ok((keys, partition_keys))
    }

    /// Errors: NOT_IMPLEMENTED (48) for an aggregate that cannot take rows back over a changelog.
    fn check_retraction(&self, input: &Plan) -> Result<()> {
        if !input.streaming || input.change == Change::Append {
            return Ok(());
        }
        if self.window.is_some() {
            return Err(Error::not_implemented("a window over a changelog"));
        }
        match self.aggs.iter().find(|a| !a.bound.aggregate.can_retract()) {
            Some(agg) => Err(Error::not_implemented(format!("aggregate function \"{}\" over a changelog", agg.name))),
            None => Ok(()),
        }
    }
}

/// `count_distinct(x)` as `count(DISTINCT x)`, which counts each value and so can take one back.
fn counted(agg: &AggCall, x: &Exprs<'_>) -> Result<AggCall> {
    if !matches!(&*agg.name, "count_distinct" | "unique_exact") || agg.args.len() != 1 {
        return Ok(agg.clone());
    }
    let infos: Vec<_> = agg.args.iter().map(|a| arg_info(a, None)).collect();
    let bound = Registry::builtin().bind_retracting_count_distinct(&x.cx, &infos)?;
    Ok(AggCall { bound, ..agg.clone() })
}

fn key_name(key: &Expr, position: usize, input: &Plan) -> Arc<str> {
    match key.as_column().and_then(|c| input.schema.fields.get(c)) {
        Some(field) => Arc::clone(&field.name),
        None => Arc::from(format!("key_{position}")),
    }
}

pub(super) fn plan_keys(plan: &Plan) -> Vec<Expr> {
    match &plan.node {
        Node::Aggregate(aggregate) => aggregate.keys.clone(),
        _ => Vec::new(),
    }
}

/// Moves expressions from the rows before GROUP BY onto the groups.
pub(super) struct Regroup<'s, 'x> {
    pub keys: &'s [Expr],
    pub aggs: usize,
    pub names: &'s Schema,
    /// The expressions as they were bound: they know where columns stand.
    pub x: &'s Exprs<'x>,
}

impl Regroup<'_, '_> {
    /// Errors: NOT_AN_AGGREGATE (215) for a column that is neither a key nor under an aggregate.
    pub fn expr(&self, expr: &Expr) -> Result<Expr> {
        if let Some(key) = self.keys.iter().position(|k| k.is_same(expr)) {
            return Ok(Expr::column(key, expr.ty.clone()));
        }
        let kind = match &expr.kind {
            ExprKind::Literal(_) => return Ok(expr.clone()),
            ExprKind::Column(c) => ExprKind::Column(self.column(*c)?),
            ExprKind::Call { name, kernel, args, volatility } => ExprKind::Call {
                name: Arc::clone(name),
                kernel: Arc::clone(kernel),
                args: args.iter().map(|a| self.expr(a)).collect::<Result<Vec<_>>>()?,
                volatility: *volatility,
            },
            ExprKind::Lambda { captures, params, body } => ExprKind::Lambda {
                captures: captures.iter().map(|c| self.captured(*c)).collect::<Result<Vec<_>>>()?,
                params: params.clone(),
                body: Arc::clone(body),
            },
        };
        Ok(Expr { kind, ty: expr.ty.clone() })
    }

    fn captured(&self, column: usize) -> Result<usize> {
        match self.keys.iter().position(|k| k.as_column() == Some(column)) {
            Some(key) => Ok(key),
            None => self.column(column),
        }
    }

    fn column(&self, column: usize) -> Result<usize> {
        let keys = self.keys.len();
        match column {
            c if c >= DELTA => Ok(keys + self.aggs),
            c if c >= EMIT_VERSION => Ok(keys + self.aggs),
            // Window functions and array joins over groups get their places later.
            c if c >= ARRAY_JOINS => Ok(c),
            c if c >= AGGREGATES => Ok(keys + c - AGGREGATES),
            c => {
                let name = self.names.fields.get(c).map_or("", |f| &*f.name);
                let text = format!("column \"{name}\" is neither in GROUP BY nor under an aggregate function");
                let error = Error::new(Code::NOT_AN_AGGREGATE, text);
                Err(match self.x.place_of_plain(c) {
                    Some(span) => self.x.b.place(error, span),
                    None => error,
                })
            }
        }
    }
}

pub(super) fn map_agg(agg: &AggCall, change: &impl Fn(&Expr) -> Expr) -> AggCall {
    AggCall {
        name: Arc::clone(&agg.name),
        bound: agg.bound.clone(),
        args: agg.args.iter().map(change).collect(),
        filter: agg.filter.as_ref().map(change),
    }
}

pub(super) fn map_window(call: &WindowCall, change: &impl Fn(&Expr) -> Expr) -> WindowCall {
    // The change cannot fail, so neither can this.
    try_map_window(call, &|e| Ok(change(e))).unwrap_or_else(|_| call.clone())
}

pub(super) fn try_map_window(call: &WindowCall, change: &impl Fn(&Expr) -> Result<Expr>) -> Result<WindowCall> {
    let function = call.function.try_map(change)?;
    Ok(WindowCall {
        function,
        partition_by: call.partition_by.iter().map(change).collect::<Result<Vec<_>>>()?,
        order_by: call
            .order_by
            .iter()
            .map(|k| Ok(SortKey { expr: change(&k.expr)?, ..k.clone() }))
            .collect::<Result<Vec<_>>>()?,
        frame: call.frame.clone(),
        ty: call.ty.clone(),
    })
}
