//! Window functions and LIMIT WITH TIES through DataFusion's window operators.

use crate::aggregate::aggregate_udf;
use crate::error::inward;
use crate::expr::{literal, lower};
use crate::lower::{Lowered, Lowering, filled};
use datafusion::common::{Column, ScalarValue};
use datafusion::functions_window::{lead_lag, nth_value, rank, row_number};
use datafusion::logical_expr::expr::{Sort, WindowFunction as DfWindow, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr as DfExpr, LogicalPlanBuilder, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};
use hydron_base::{Error, Result};
use hydron_plan::SortKey;
use hydron_plan::node::{Frame, FrameBound, WindowCall, WindowFunction};
use hydron_types::{LogicalType, Value};

/// The input's columns, then one for each call.
pub fn lower_windows(cx: &mut Lowering, input: Lowered, calls: &[WindowCall]) -> Result<Lowered> {
    // Everything a call names becomes a column first, as for aggregates.
    let mut exprs: Vec<DfExpr> = Vec::new();
    let mut parts = Vec::with_capacity(calls.len());
    for call in calls {
        let mut add = |e: DfExpr| {
            exprs.push(e);
            exprs.len() - 1
        };
        let mut lowered = |e: &hydron_plan::Expr| Ok::<usize, Error>(add(lower(e, &input.columns, &cx.time)?));
        let partition = call.partition_by.iter().map(&mut lowered).collect::<Result<Vec<_>>>()?;
        let order = call.order_by.iter().map(|k| lowered(&k.expr)).collect::<Result<Vec<_>>>()?;
        let args = arguments(&call.function).into_iter().map(&mut lowered).collect::<Result<Vec<_>>>()?;
        let filter = match &call.function {
            WindowFunction::Aggregate(agg) => {
                agg.filter.as_ref().map(|f| cx.condition(f, &input.columns)).transpose()?
            }
            _ => None,
        };
        let filter = filter.map(|f| {
            exprs.push(f);
            exprs.len() - 1
        });
        parts.push((partition, order, args, filter));
    }
    let (input, added) = cx.extended(input, exprs)?;
    let of = |i: &usize| DfExpr::Column(added[*i].clone());
    let mut columns = input.columns.clone();
    let mut builder = LogicalPlanBuilder::from(input.plan);
    let mut results = Vec::with_capacity(calls.len());
    for (call, (partition, order, args, filter)) in calls.iter().zip(parts) {
        let sorts: Vec<Sort> =
            order.iter().zip(&call.order_by).map(|(i, k)| of(i).sort(!k.descending, k.nulls_first)).collect();
        let (fun, args) = definition(call, args.iter().map(of).collect())?;
        let params = WindowFunctionParams {
            args,
            partition_by: partition.iter().map(of).collect(),
            window_frame: frame(&call.frame, !sorts.is_empty())?,
            order_by: sorts,
            filter: filter.as_ref().map(of).map(Box::new),
            null_treatment: None,
            distinct: false,
        };
        let name = cx.fresh();
        let window = DfExpr::WindowFunction(Box::new(DfWindow { fun, params })).alias(name.as_str());
        builder = builder.window(vec![window]).map_err(inward)?;
        results.push(Column::new_unqualified(name));
    }
    let plan = builder.build().map_err(inward)?;
    let width = columns.len();
    columns.extend(results);
    let mut exprs: Vec<DfExpr> = columns[..width].iter().cloned().map(DfExpr::Column).collect();
    for (i, call) in calls.iter().enumerate() {
        exprs.push(filled(&columns, width + i, &call.ty)?);
    }
    cx.project_lowered(plan, exprs)
}

fn arguments(function: &WindowFunction) -> Vec<&hydron_plan::Expr> {
    match function {
        WindowFunction::RowNumber | WindowFunction::Rank | WindowFunction::DenseRank => Vec::new(),
        WindowFunction::Aggregate(call) => call.args.iter().collect(),
        WindowFunction::Offset { value, .. } => vec![value],
        WindowFunction::FirstValue(e) | WindowFunction::LastValue(e) | WindowFunction::NthValue(e, _) => vec![e],
    }
}

fn definition(call: &WindowCall, mut args: Vec<DfExpr>) -> Result<(WindowFunctionDefinition, Vec<DfExpr>)> {
    let udwf = WindowFunctionDefinition::WindowUDF;
    let unbounded = |b: &FrameBound| matches!(b, FrameBound::UnboundedPreceding | FrameBound::UnboundedFollowing);
    Ok(match &call.function {
        WindowFunction::RowNumber => (udwf(row_number::row_number_udwf()), args),
        WindowFunction::Rank => (udwf(rank::rank_udwf()), args),
        WindowFunction::DenseRank => (udwf(rank::dense_rank_udwf()), args),
        WindowFunction::Aggregate(agg) => {
            let udf = aggregate_udf(&agg.name, &agg.bound, args.len());
            if args.is_empty() {
                args.push(DfExpr::Literal(ScalarValue::Boolean(Some(true)), None));
            }
            (WindowFunctionDefinition::AggregateUDF(udf), args)
        }
        WindowFunction::Offset { offset, default, value } => {
            let reaches = if *offset <= 0 { unbounded(&call.frame.start) } else { unbounded(&call.frame.end) };
            if !reaches {
                return Err(Error::not_implemented(
                    "lag_in_frame and lead_in_frame over a frame that ends on their side",
                ));
            }
            let fun = if *offset <= 0 { lead_lag::lag_udwf() } else { lead_lag::lead_udwf() };
            args.push(literal(&Value::Int(offset.abs()), &LogicalType::Int64)?);
            let fallback = match default.as_ref().map(|d| d.as_literal()) {
                None => Value::default_of(&value.ty),
                Some(Some(v)) => v.clone(),
                Some(None) => return Err(Error::not_implemented("a default of lag_in_frame that is not constant")),
            };
            args.push(literal(&fallback, &value.ty)?);
            (udwf(fun), args)
        }
        WindowFunction::FirstValue(_) => (udwf(nth_value::first_value_udwf()), args),
        WindowFunction::LastValue(_) => (udwf(nth_value::last_value_udwf()), args),
        WindowFunction::NthValue(_, n) => {
            args.push(literal(&Value::Int(i64::try_from(*n).unwrap_or(i64::MAX)), &LogicalType::Int64)?);
            (udwf(nth_value::nth_value_udwf()), args)
        }
    })
}

fn frame(frame: &Frame, ordered: bool) -> Result<WindowFrame> {
    let whole = frame.start == FrameBound::UnboundedPreceding && frame.end == FrameBound::UnboundedFollowing;
    // Without an order all rows of a partition are peers of the current one.
    if whole || (!ordered && !frame.rows) {
        return Ok(WindowFrame::new(None));
    }
    let bounded = |b: &FrameBound| matches!(b, FrameBound::Preceding(_) | FrameBound::Following(_));
    if !frame.rows && (bounded(&frame.start) || bounded(&frame.end)) {
        return Err(Error::not_implemented("a RANGE frame with an offset"));
    }
    let bound = |b: &FrameBound| match b {
        FrameBound::UnboundedPreceding => WindowFrameBound::Preceding(ScalarValue::UInt64(None)),
        FrameBound::Preceding(n) => WindowFrameBound::Preceding(ScalarValue::UInt64(Some(*n))),
        FrameBound::CurrentRow => WindowFrameBound::CurrentRow,
        FrameBound::Following(n) => WindowFrameBound::Following(ScalarValue::UInt64(Some(*n))),
        FrameBound::UnboundedFollowing => WindowFrameBound::Following(ScalarValue::UInt64(None)),
    };
    let units = if frame.rows { WindowFrameUnits::Rows } else { WindowFrameUnits::Range };
    Ok(WindowFrame::new_bounds(units, bound(&frame.start), bound(&frame.end)))
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
