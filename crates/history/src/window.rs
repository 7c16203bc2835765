//! Window functions over sorted rows, and LIMIT WITH TIES through DataFusion's window operators.

use crate::error::inward;
use crate::expr::lower;
use crate::lower::{Lowered, Lowering};
use crate::over::{Over, OverCall};
use crate::step;
use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use datafusion::common::{Column, ScalarValue};
use datafusion::functions_window::{rank, row_number};
use datafusion::logical_expr::expr::{Sort, WindowFunction as DfWindow, WindowFunctionParams};
use datafusion::logical_expr::{Expr as DfExpr, LogicalPlanBuilder, WindowFrame, WindowFunctionDefinition};
use hydron_base::{Error, Result};
use hydron_func::Volatility;
use hydron_plan::node::{WindowCall, WindowFunction};
use hydron_plan::{ExprKind, SortKey};
use hydron_types::physical::arrow_field;
use hydron_types::{Field, LogicalType};
use std::sync::Arc;

/// The input's columns, then one for each call. Calls over the same order share one sort; where one order is the beginning of
/// another, the longer one serves both.
pub fn lower_windows(cx: &mut Lowering, input: Lowered, fields: &[Field], calls: &[WindowCall]) -> Result<Lowered> {
    let width = input.columns.len();
    let mut order: Vec<usize> = (0..calls.len()).collect();
    order.sort_by(|a, b| sort_texts(&calls[*b]).len().cmp(&sort_texts(&calls[*a]).len()).then(a.cmp(b)));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for call in order {
        let own = sort_texts(&calls[call]);
        match groups.iter_mut().find(|g| sort_texts(&calls[g[0]]).starts_with(&own)) {
            Some(group) => group.push(call),
            None => groups.push(vec![call]),
        }
    }
    let mut lowered = input;
    let mut types: Vec<LogicalType> = fields.iter().map(|f| f.ty.clone()).collect();
    // Where the answer of each call is.
    let mut places = vec![0; calls.len()];
    for group in groups {
        for (at, call) in group.iter().enumerate() {
            places[*call] = types.len() + at;
        }
        let calls: Vec<&WindowCall> = group.iter().map(|c| &calls[*c]).collect();
        lowered = over_one_order(cx, lowered, &types, &calls)?;
        types.extend(calls.iter().map(|c| c.ty.clone()));
    }
    let columns = (0..width).chain(places).map(|c| lowered.columns[c].clone()).collect();
    Ok(Lowered { plan: lowered.plan, columns })
}

/// The keys a call sorts by, as texts that are equal for equal keys.
fn sort_texts(call: &WindowCall) -> Vec<String> {
    let partition = call.partition_by.iter().map(|e| format!("{:?}", fingerprint(e)));
    let order = call.order_by.iter().map(|k| format!("{:?} {} {}", fingerprint(&k.expr), k.descending, k.nulls_first));
    // A partition key is sorted by in its own way, so an order cannot stand in for it.
    partition.map(|p| format!("partition {p}")).chain(order).collect()
}

fn fingerprint(e: &hydron_plan::Expr) -> String {
    match &e.kind {
        ExprKind::Column(c) => format!("#{c}"),
        ExprKind::Literal(v) => format!("{v:?}"),
        ExprKind::Call { name, args, volatility, .. } if *volatility < Volatility::Volatile => {
            let args: Vec<String> = args.iter().map(fingerprint).collect();
            format!("{name}({}) {}", args.join(","), e.ty)
        }
        // Only itself.
        _ => format!("{:p}", std::ptr::from_ref(e)),
    }
}

/// One sort, and the calls over it.
fn over_one_order(cx: &mut Lowering, input: Lowered, types: &[LogicalType], calls: &[&WindowCall]) -> Result<Lowered> {
    let width = input.columns.len();
    let mut exprs: Vec<DfExpr> = Vec::new();
    let mut parts = Vec::with_capacity(calls.len());
    for call in calls {
        let mut add = |e: DfExpr| {
            exprs.push(e);
            width + exprs.len() - 1
        };
        let mut lowered = |e: &hydron_plan::Expr| Ok::<usize, Error>(add(lower(e, &input.columns, &cx.time)?));
        let partition = call.partition_by.iter().map(&mut lowered).collect::<Result<Vec<_>>>()?;
        let order = call.order_by.iter().map(|k| lowered(&k.expr)).collect::<Result<Vec<_>>>()?;
        let filter = match &call.function {
            WindowFunction::Aggregate(agg) => agg.filter.as_ref(),
            _ => None,
        };
        let args = call.function.exprs();
        let args = &args[..args.len() - usize::from(filter.is_some())];
        let args = args.iter().map(|e| lowered(e)).collect::<Result<Vec<_>>>()?;
        let filter = filter.map(|f| cx.condition(f, &input.columns)).transpose()?.map(&mut add);
        parts.push((partition, order, args, filter));
    }
    let (extended, added) = cx.extended(input, exprs)?;
    let mut all = Lowered { plan: extended.plan, columns: extended.columns };
    all.columns.extend(added);
    let (first, (partition, order, ..)) = (calls[0], &parts[0]);
    let mut keys: Vec<SortKey> = Vec::new();
    for (at, e) in partition.iter().zip(&first.partition_by) {
        keys.push(SortKey {
            expr: hydron_plan::Expr::column(*at, e.ty.clone()),
            descending: false,
            nulls_first: false,
        });
    }
    for (at, key) in order.iter().zip(&first.order_by) {
        keys.push(SortKey { expr: hydron_plan::Expr::column(*at, key.expr.ty.clone()), ..key.clone() });
    }
    let sorted = if keys.is_empty() { cx.renamed(all)? } else { cx.sort(all, &keys, None, &[])? };
    let runs = calls.iter().zip(parts).map(|(call, (partition, order, args, filter))| {
        let kinds = match &call.function {
            WindowFunction::Aggregate(agg) => agg.args.iter().map(|a| a.ty.clone()).collect(),
            other => other.exprs().iter().map(|e| e.ty.clone()).collect(),
        };
        let key = call.order_by.first().map(|k| (k.expr.ty.clone(), k.descending));
        OverCall { call: (*call).clone(), partition, order, args, filter, kinds, key }
    });
    let runs: Vec<OverCall> = runs.collect();
    let names: Vec<String> = (0..width + calls.len()).map(|_| cx.fresh()).collect();
    let fields = types.iter().chain(calls.iter().map(|c| &c.ty)).zip(&names);
    let schema: SchemaRef = Arc::new(ArrowSchema::new(fields.map(|(t, n)| arrow_field(n, t)).collect::<Vec<_>>()));
    let step = Over { width, calls: Arc::new(runs), schema };
    let columns = names.into_iter().map(Column::new_unqualified).collect();
    Ok(Lowered { plan: step::plan(Arc::new(step), sorted.plan)?, columns })
}

/// LIMIT n WITH TIES: the rows up to the n-th, and those equal to it on the keys they are sorted by.
pub fn limit_with_ties(
    cx: &mut Lowering,
    input: Lowered,
    offset: u64,
    limit: u64,
    ties: &[SortKey],
) -> Result<Lowered> {
    let keys = ties.iter().map(|k| lower(&k.expr, &input.columns, &cx.time)).collect::<Result<Vec<_>>>()?;
    let (input, added) = cx.extended(input, keys)?;
    let sorts: Vec<Sort> =
        added.into_iter().zip(ties).map(|(c, k)| DfExpr::Column(c).sort(!k.descending, k.nulls_first)).collect();
    let over = |udwf, name: &str| {
        let params = WindowFunctionParams {
            args: Vec::new(),
            partition_by: Vec::new(),
            order_by: sorts.clone(),
            window_frame: WindowFrame::new(Some(false)),
            filter: None,
            null_treatment: None,
            distinct: false,
        };
        DfExpr::WindowFunction(Box::new(DfWindow { fun: WindowFunctionDefinition::WindowUDF(udwf), params }))
            .alias(name)
    };
    let (rank_name, row_name) = (cx.fresh(), cx.fresh());
    let windows = vec![over(rank::rank_udwf(), &rank_name), over(row_number::row_number_udwf(), &row_name)];
    let number = |n: u64| DfExpr::Literal(ScalarValue::UInt64(Some(n)), None);
    let last = offset.saturating_add(limit);
    let kept = DfExpr::Column(Column::new_unqualified(row_name))
        .gt(number(offset))
        .and(DfExpr::Column(Column::new_unqualified(rank_name)).lt_eq(number(last)));
    let plan = LogicalPlanBuilder::from(input.plan)
        .window(windows)
        .and_then(|b| b.filter(kept))
        .and_then(LogicalPlanBuilder::build)
        .map_err(inward)?;
    cx.renamed(Lowered { plan, columns: input.columns })
}
