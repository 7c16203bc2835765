//! A bound plan as a DataFusion plan.
//!
//! In: a plan, the rows of its scans. Out: a logical plan whose columns have names of our own making, each used once: the
//! names of a query may repeat, and DataFusion finds columns by name. Promise: types and nullability are those of the plan.

use crate::aggregate::aggregate_udf;
use crate::assign::AssignWindow;
use crate::error::inward;
use crate::expr::{self, QueryTime, column, is_nan, literal, lower, or_default, row_position};
use crate::fill::Fill;
use crate::group_order::{GroupOrder, TableOf};
use crate::lags::Lags;
use crate::limits::{GroupLimit, LimitGroups, LimitRows, NodeLimits, RowLimit};
use crate::numbers::Numbers;
use crate::source::ScanData;
use crate::step;
use crate::steps::{ArrayJoin, Barrier, LimitBy};
use crate::table::{PartScan, ScanTable, Top};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt8Array};
use arrow::datatypes::{DataType, Field as ArrowField, Schema as ArrowSchema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::expr::{AggregateFunction, Sort};
use datafusion::logical_expr::{Expr as DfExpr, LogicalPlan, LogicalPlanBuilder};
use hydron_base::{Error, Result};
use hydron_func::Volatility;
use hydron_plan::node::Aggregate;
use hydron_plan::{AggCall, Expr, Node, Plan, Scan, ScanColumn, SortKey};
use hydron_types::physical::{arrow_field, arrow_type};
use hydron_types::{Batch, LogicalType, Value, array_of};
use object_store::ObjectStore;
use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

/// Rows that a sort with a limit keeps in memory, at most. DataFusion's sort for the first rows cannot spill; above this all rows
/// are sorted, on disk where they must, and then cut.
const TOP_ROWS_MAX: u64 = 1_000_000;

/// A lowered node: the plan and where the columns of our node are in it.
pub struct Lowered {
    pub plan: LogicalPlan,
    pub columns: Vec<Column>,
}

/// One query on its way down.
pub struct Lowering {
    pub time: Arc<QueryTime>,
    /// The rows of the scans, in the order the plan is walked.
    pub scans: VecDeque<ScanData>,
    /// Everything runs in one partition and rows keep their order.
    pub in_order: bool,
    /// How many groups each aggregation may have.
    pub group_limit: Option<GroupLimit>,
    pub node_limits: NodeLimits,
    pub batch_rows: usize,
    /// The query may not read any number of rows.
    pub limits_reads: bool,
    pub stores: Vec<(ObjectStoreUrl, Arc<dyn ObjectStore>)>,
    pub pins: Vec<Arc<dyn Any + Send + Sync>>,
    /// The order by a column of the next node, when only its first rows are wanted.
    top: Option<Top>,
    next: usize,
}

impl Lowering {
    pub fn new(time: Arc<QueryTime>, scans: VecDeque<ScanData>, in_order: bool) -> Lowering {
        Lowering {
            time,
            scans,
            in_order,
            group_limit: None,
            node_limits: NodeLimits::default(),
            batch_rows: 8192,
            limits_reads: false,
            stores: Vec::new(),
            pins: Vec::new(),
            top: None,
            next: 0,
        }
    }

    /// A column name that no other node uses.
    pub fn fresh(&mut self) -> String {
        self.next += 1;
        format!("c{}", self.next)
    }

    pub fn plan(&mut self, plan: &Plan) -> Result<Lowered> {
        self.top = self.top.take().and_then(|top| top.below(plan));
        match &plan.node {
            Node::Values { batches } => self.values(plan, batches),
            Node::Numbers { start, count } => {
                let table = Numbers { start: *start, count: *count };
                let names = vec![Column::new_unqualified("number")];
                let lowered = self.table(Arc::new(table), &names)?;
                self.renamed(lowered)
            }
            Node::Scan(scan) => self.scan(plan, scan),
            Node::Filter { input, predicate } => {
                let input = self.plan(input)?;
                if let Some(holds) = self.constant_condition(predicate)? {
                    return self.all_or_nothing(input, holds);
                }
                let predicate = self.condition(predicate, &input.columns)?;
                let plan = LogicalPlanBuilder::from(input.plan).filter(predicate).and_then(LogicalPlanBuilder::build);
                Ok(Lowered { plan: plan.map_err(inward)?, columns: input.columns })
            }
            Node::Project { input, exprs } => {
                let input = self.plan(input)?;
                self.project(input, exprs)
            }
            Node::AssignWindow { input, window } => {
                let lowered = self.plan(input)?;
                let lowered = self.renamed(lowered)?;
                let ty = plan.schema.fields.last().map_or(LogicalType::Nothing, |f| f.ty.clone());
                let (schema, columns) = self.step_schema(plan);
                let step = AssignWindow::new(window, &ty, schema)?;
                Ok(Lowered { plan: step::plan(Arc::new(step), lowered.plan)?, columns })
            }
            Node::Aggregate(aggregate) => self.aggregate(aggregate),
            Node::Join(join) => crate::join::lower_join(self, plan, join),
            Node::ArrayJoin { input, columns, left } => self.array_join(plan, input, columns, *left),
            Node::Sort { input, keys, limit } => {
                let no_nan: Vec<bool> = keys.iter().map(|k| self.is_free_of_nan(input, &k.expr)).collect();
                self.top = limit.and_then(|_| Top::of(keys.first()?));
                let input = self.plan(input)?;
                let input = self.limited(input, self.node_limits.sort)?;
                self.sort(input, keys, *limit, &no_nan)
            }
            Node::Fill { input, columns, interpolated } => {
                let lowered = self.plan(input)?;
                let lowered = self.renamed(lowered)?;
                let schema: SchemaRef = Arc::new(lowered.plan.schema().as_arrow().clone());
                let step = Fill::new(columns, interpolated, Arc::clone(&input.schema), &self.time, schema)?;
                Ok(Lowered { plan: step::plan(Arc::new(step), lowered.plan)?, columns: lowered.columns })
            }
            Node::Limit { input, offset, limit, ties } => {
                let sorted = matches!(input.node, Node::Sort { .. });
                let mut input = self.plan(input)?;
                if sorted && limit.is_some_and(|l| l.saturating_add(*offset) > TOP_ROWS_MAX) {
                    let schema: SchemaRef = Arc::new(input.plan.schema().as_arrow().clone());
                    input.plan = step::plan(Arc::new(Barrier { schema }), input.plan)?;
                }
                if let (Some(limit), false) = (limit, ties.is_empty()) {
                    return crate::window::limit_with_ties(self, input, *offset, *limit, ties);
                }
                let fetch = limit.map(|l| usize::try_from(l).unwrap_or(usize::MAX));
                let skip = usize::try_from(*offset).unwrap_or(usize::MAX).min(i64::MAX as usize);
                let fetch = fetch.map(|f| f.min(i64::MAX as usize));
                let plan = LogicalPlanBuilder::from(input.plan).limit(skip, fetch).and_then(LogicalPlanBuilder::build);
                Ok(Lowered { plan: plan.map_err(inward)?, columns: input.columns })
            }
            Node::LimitBy { input, keys, offset, limit } => {
                let input = self.plan(input)?;
                self.limit_by(input, keys, *offset, *limit)
            }
            Node::Distinct { forget, .. } if forget.keys_max.is_some() => {
                Err(Error::not_implemented("dedup() with a limit over a table"))
            }
            Node::Distinct { input, on, .. } => {
                let input = self.plan(input)?;
                if on.is_empty() && !self.in_order {
                    let input = self.renamed(input)?;
                    let plan = LogicalPlanBuilder::from(input.plan).distinct().and_then(LogicalPlanBuilder::build);
                    let rows = Lowered { plan: plan.map_err(inward)?, columns: input.columns };
                    return self.limited(rows, self.node_limits.distinct);
                }
                let all: Vec<Expr> =
                    plan.schema.fields.iter().enumerate().map(|(i, f)| Expr::column(i, f.ty.clone())).collect();
                let rows = self.limit_by(input, if on.is_empty() { &all } else { on }, 0, 1)?;
                self.limited(rows, self.node_limits.distinct)
            }
            Node::Changelog { .. } | Node::Signs { .. } => {
                Err(Error::not_implemented("changelog() in a historical query"))
            }
            Node::Lags { input, keys, calls } => {
                let lowered = self.plan(input)?;
                let exprs = keys.iter().chain(calls.iter().map(|c| &c.value));
                let exprs = exprs.map(|e| lower(e, &lowered.columns, &self.time)).collect::<Result<Vec<_>>>()?;
                let (lowered, _) = self.extended(lowered, exprs)?;
                let (schema, columns) = self.step_schema(plan);
                let step = Lags { width: input.schema.len(), keys: keys.len(), calls: calls.clone(), schema };
                Ok(Lowered { plan: step::plan(Arc::new(step), lowered.plan)?, columns })
            }
            Node::Union { inputs } => {
                let mut lowered = Vec::with_capacity(inputs.len());
                for input in inputs {
                    let input = self.plan(input)?;
                    lowered.push(self.renamed(input)?);
                }
                let mut lowered = lowered.into_iter();
                let first = lowered.next().ok_or_else(|| Error::bug("a UNION of nothing"))?;
                let columns = first.columns.clone();
                let mut plan = LogicalPlanBuilder::from(first.plan);
                if columns.is_empty() {
                    // Only the number of rows counts: one constant column stands for it on every side.
                    plan = plan.project([constant_column()]).map_err(inward)?;
                }
                for next in lowered {
                    if columns.is_empty() {
                        let next = LogicalPlanBuilder::from(next.plan).project([constant_column()]).map_err(inward)?;
                        plan = plan.union(next.build().map_err(inward)?).map_err(inward)?;
                        continue;
                    }
                    // The names of the first count; columns meet by position.
                    let exprs = next
                        .columns
                        .iter()
                        .zip(&columns)
                        .map(|(c, to)| DfExpr::Column(c.clone()).alias(to.name.as_str()));
                    let next = LogicalPlanBuilder::from(next.plan.clone())
                        .project(exprs.collect::<Vec<_>>())
                        .map_err(inward)?;
                    plan = plan.union(next.build().map_err(inward)?).map_err(inward)?;
                }
                Ok(Lowered { plan: plan.build().map_err(inward)?, columns })
            }
            Node::SetOperation { left, right, except, distinct } => {
                let left = self.plan(left)?;
                let left = self.renamed(left)?;
                let right = self.plan(right)?;
                let right = self.renamed(right)?;
                let columns = left.columns.clone();
                let plan = match except {
                    true => LogicalPlanBuilder::except(left.plan, right.plan, !distinct),
                    false => LogicalPlanBuilder::intersect(left.plan, right.plan, !distinct),
                };
                Ok(Lowered { plan: plan.map_err(inward)?, columns })
            }
            Node::WindowFunctions { input, calls } => {
                let lowered = self.plan(input)?;
                crate::window::lower_windows(self, lowered, &input.schema.fields, calls)
            }
        }
    }

    /// What a predicate that reads no column says of every row.
    fn constant_condition(&self, predicate: &Expr) -> Result<Option<bool>> {
        let mut reads = false;
        predicate.columns(&mut |_| reads = true);
        if reads || predicate.volatility() >= Volatility::Volatile || *predicate.ty.bare() != LogicalType::Bool {
            return Ok(None);
        }
        let mask = predicate.eval_filter_columns(&self.time.context(), &[], 1)?;
        Ok(Some(mask.value(0)))
    }

    /// DataFusion would take a false condition below an aggregation over all rows, which then still answers one row.
    fn all_or_nothing(&mut self, input: Lowered, all: bool) -> Result<Lowered> {
        if all {
            return Ok(input);
        }
        let none = LogicalPlanBuilder::from(input.plan).limit(0, Some(0)).and_then(LogicalPlanBuilder::build);
        Ok(Lowered { plan: none.map_err(inward)?, columns: input.columns })
    }

    /// A predicate as DataFusion filters with: true keeps the row.
    pub fn condition(&self, predicate: &Expr, columns: &[Column]) -> Result<DfExpr> {
        match predicate.ty.bare() {
            LogicalType::Nothing => Ok(DfExpr::Literal(ScalarValue::Boolean(Some(false)), None)),
            LogicalType::Bool => lower(predicate, columns, &self.time),
            other => Err(Error::bug(format!("a condition has values of {other} instead of bool"))),
        }
    }

    /// One new column for each expression.
    pub fn project(&mut self, input: Lowered, exprs: &[Expr]) -> Result<Lowered> {
        let lowered = exprs.iter().map(|e| lower(e, &input.columns, &self.time)).collect::<Result<Vec<_>>>()?;
        self.project_lowered(input.plan, lowered)
    }

    pub fn project_lowered(&mut self, plan: LogicalPlan, exprs: Vec<DfExpr>) -> Result<Lowered> {
        let mut columns = Vec::with_capacity(exprs.len());
        let mut named = Vec::with_capacity(exprs.len());
        for e in exprs {
            let name = self.fresh();
            named.push(e.alias(name.as_str()));
            columns.push(Column::new_unqualified(name));
        }
        if named.is_empty() {
            // Rows without columns still are rows.
            named.push(DfExpr::Literal(ScalarValue::UInt8(Some(0)), None).alias(self.fresh()));
        }
        let plan = LogicalPlanBuilder::from(plan).project(named).and_then(LogicalPlanBuilder::build).map_err(inward)?;
        Ok(Lowered { plan, columns })
    }

    /// Exactly the columns of the node, each under a new name.
    pub fn renamed(&mut self, input: Lowered) -> Result<Lowered> {
        let exprs = input.columns.iter().cloned().map(DfExpr::Column).collect();
        self.project_lowered(input.plan, exprs)
    }

    /// The rows of `input` up to a limit.
    pub fn limited(&mut self, input: Lowered, limit: Option<RowLimit>) -> Result<Lowered> {
        let Some(limit) = limit else { return Ok(input) };
        let input = self.renamed(input)?;
        let schema: SchemaRef = Arc::new(input.plan.schema().as_arrow().clone());
        let plan = step::plan(Arc::new(LimitRows::new(limit, schema)), input.plan)?;
        Ok(Lowered { plan, columns: input.columns })
    }

    /// The input's columns under the names they have, then `more` under new ones.
    pub fn extended(&mut self, input: Lowered, more: Vec<DfExpr>) -> Result<(Lowered, Vec<Column>)> {
        let mut exprs: Vec<DfExpr> = input.columns.iter().cloned().map(DfExpr::Column).collect();
        let width = exprs.len();
        exprs.extend(more);
        let mut all = self.project_lowered(input.plan, exprs)?;
        let added = all.columns.split_off(width);
        Ok((all, added))
    }

    fn table(&mut self, table: Arc<dyn TableProvider>, names: &[Column]) -> Result<Lowered> {
        let name = format!("t{}", self.fresh());
        let columns = names.iter().map(|c| Column::new(Some(name.clone()), c.name.clone())).collect();
        let plan = LogicalPlanBuilder::scan(name.as_str(), provider_as_source(table), None)
            .and_then(LogicalPlanBuilder::build);
        Ok(Lowered { plan: plan.map_err(inward)?, columns })
    }

    fn values(&mut self, plan: &Plan, batches: &[Batch]) -> Result<Lowered> {
        let rows: usize = batches.iter().map(Batch::rows).sum();
        if plan.schema.is_empty() && rows == 1 {
            return Ok(Lowered { plan: LogicalPlanBuilder::empty(true).build().map_err(inward)?, columns: Vec::new() });
        }
        let names: Vec<String> = (0..plan.schema.len()).map(|i| format!("v{i}")).collect();
        let fields = plan.schema.fields.iter().zip(&names).map(|(f, n)| arrow_field(n, &f.ty)).collect();
        self.in_memory(fields, batches, &names, false)
    }

    fn in_memory(
        &mut self,
        fields: Vec<ArrowField>,
        batches: &[Batch],
        names: &[String],
        sorted: bool,
    ) -> Result<Lowered> {
        let (schema, batches) = with_some_column(fields, batches)?;
        let columns: Vec<Column> = names.iter().map(Column::new_unqualified).collect();
        self.rows_of(ScanTable { schema, parts: None, feed: None, batches, sorted }, &columns)
    }

    fn rows_of(&mut self, table: ScanTable, columns: &[Column]) -> Result<Lowered> {
        let lowered = self.table(Arc::new(table), columns)?;
        if columns.is_empty() { Ok(lowered) } else { self.renamed(lowered) }
    }

    fn scan(&mut self, plan: &Plan, scan: &Scan) -> Result<Lowered> {
        let data = self.scans.pop_front().ok_or_else(|| Error::bug("a scan without rows"))?;
        let top = self.top.take();
        self.pins.push(Arc::new(data.held));
        let names: Vec<String> = scan.columns.iter().map(|c| stored_name(scan, *c)).collect::<Result<_>>()?;
        let sorted = self.limits_reads && filters_by_key(scan, plan, &data.sorted_by);
        let Some(parts) = data.parts.filter(|p| !p.files.is_empty()) else {
            let fields = plan.schema.fields.iter().zip(&names).map(|(f, n)| arrow_field(n, &f.ty)).collect();
            if data.feed.is_none() {
                return self.in_memory(fields, &data.batches, &names, sorted);
            }
            let (schema, batches) = with_some_column(fields, &data.batches)?;
            let columns: Vec<Column> = names.iter().map(Column::new_unqualified).collect();
            return self.rows_of(ScanTable { schema, parts: None, feed: data.feed, batches, sorted: false }, &columns);
        };
        let lacking: Vec<bool> = (0..names.len()).map(|i| parts.files.iter().any(|f| f.lacks.contains(&i))).collect();
        let field = |(i, f): (usize, &hydron_types::Field)| {
            let field = arrow_field(&names[i], &f.ty);
            if lacking[i] { field.with_nullable(true) } else { field }
        };
        let fields = plan.schema.fields.iter().enumerate().map(field).collect();
        let (schema, batches) = with_some_column(fields, &data.batches)?;
        let url = ObjectStoreUrl::parse(format!("parts{}://scan", expr::fresh_id())).map_err(inward)?;
        self.stores.push((url.clone(), Arc::clone(&parts.objects)));
        self.pins.push(parts.pin);
        let columns: Vec<Column> = names.iter().map(Column::new_unqualified).collect();
        let parts = PartScan { url, objects: parts.objects, files: parts.files, top };
        let table = ScanTable { schema, parts: Some(parts), feed: data.feed, batches, sorted };
        let lowered = self.table(Arc::new(table), &columns)?;
        let mut exprs = Vec::with_capacity(names.len());
        for (i, field) in plan.schema.fields.iter().enumerate() {
            let value = DfExpr::Column(lowered.columns[i].clone());
            exprs.push(match data.defaults.get(i) {
                _ if !lacking[i] => value,
                Some(default) if !default.is_null() => or_default(value, default, field.ty.bare())?,
                _ if field.ty.is_nullable() => value,
                _ => or_default(value, &Value::default_of(&field.ty), &field.ty)?,
            });
        }
        self.project_lowered(lowered.plan, exprs)
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Lowered> {
        let input = self.plan(&aggregate.input)?;
        // Keys, arguments and filters first become columns: DataFusion then groups by names that are all different.
        let mut exprs: Vec<DfExpr> = Vec::new();
        let mut add = |e: &Expr, filter: bool, this: &Lowering| -> Result<usize> {
            exprs.push(if filter { this.condition(e, &input.columns)? } else { lower(e, &input.columns, &this.time)? });
            Ok(exprs.len() - 1)
        };
        let keys = aggregate.keys.iter().map(|k| add(k, false, self)).collect::<Result<Vec<_>>>()?;
        let mut calls = Vec::with_capacity(aggregate.aggs.len());
        for call in &aggregate.aggs {
            let args = call.args.iter().map(|a| add(a, false, self)).collect::<Result<Vec<_>>>()?;
            let filter = call.filter.as_ref().map(|f| add(f, true, self)).transpose()?;
            calls.push((call, args, filter));
        }
        let mut input = self.project_lowered(input.plan, exprs)?;
        if let Some(limit) = self.group_limit.filter(|_| !keys.is_empty()) {
            let schema: SchemaRef = Arc::new(input.plan.schema().as_arrow().clone());
            let step = LimitGroups { keys: keys.clone(), limit, schema };
            input = Lowered { plan: step::plan(Arc::new(step), input.plan)?, columns: input.columns };
        }
        let of = |i: usize| DfExpr::Column(input.columns[i].clone());
        let mut outputs: Vec<Column> = keys.iter().map(|k| input.columns[*k].clone()).collect();
        let mut aggregates = Vec::with_capacity(calls.len());
        for (call, args, filter) in calls {
            let name = self.fresh();
            let args = args.into_iter().map(of).collect();
            aggregates.push(call_of(call, args, filter.map(of)).alias(name.as_str()));
            outputs.push(Column::new_unqualified(name));
        }
        if keys.is_empty() && aggregates.is_empty() {
            let count = hydron_func::Registry::builtin().bind_aggregate("count", &Default::default(), &[], false)?;
            let call = AggCall { name: Arc::from("count"), bound: count, args: Vec::new(), filter: None };
            aggregates.push(call_of(&call, Vec::new(), None).alias(self.fresh()));
        }
        let groups: Vec<DfExpr> = keys.iter().map(|k| of(*k)).collect();
        let plan =
            LogicalPlanBuilder::from(input.plan).aggregate(groups, aggregates).and_then(LogicalPlanBuilder::build);
        let mut lowered = Lowered { plan: plan.map_err(inward)?, columns: outputs };
        if self.in_order && !aggregate.keys.is_empty() {
            // A key that is the same in all rows is none to ClickHouse.
            let keys = aggregate.keys.iter().enumerate().filter(|(_, k)| k.as_literal().is_none());
            let keys = keys.map(|(i, k)| (i, k.ty.clone())).collect();
            let schema: SchemaRef = Arc::new(lowered.plan.schema().as_arrow().clone());
            lowered.plan = step::plan(
                Arc::new(GroupOrder { keys, table: TableOf::Aggregation, batch_rows: self.batch_rows, schema }),
                lowered.plan,
            )?;
        }
        if aggregate.emit_version {
            let version = literal(&Value::Int(0), &LogicalType::Int64)?;
            let (mut all, added) = self.extended(lowered, vec![version])?;
            all.columns.extend(added);
            lowered = all;
        }
        Ok(lowered)
    }

    fn array_join(&mut self, plan: &Plan, input: &Plan, columns: &[usize], left: bool) -> Result<Lowered> {
        let lowered = self.plan(input)?;
        let lowered = self.renamed(lowered)?;
        let default = |c: &usize| {
            let ty = &plan.schema.fields[*c].ty;
            array_of(&Value::default_of(ty), ty, 1)
        };
        let left = left.then(|| columns.iter().map(default).collect::<Result<Vec<ArrayRef>>>()).transpose()?;
        let (schema, names) = self.step_schema(plan);
        let step = ArrayJoin { columns: columns.to_vec(), left, schema };
        Ok(Lowered { plan: step::plan(Arc::new(step), lowered.plan)?, columns: names })
    }

    /// The columns of `plan` under new names, as a step makes them.
    fn step_schema(&mut self, plan: &Plan) -> (SchemaRef, Vec<Column>) {
        let names: Vec<String> = (0..plan.schema.len()).map(|_| self.fresh()).collect();
        let fields: Vec<ArrowField> =
            plan.schema.fields.iter().zip(&names).map(|(f, n)| arrow_field(n, &f.ty)).collect();
        (Arc::new(ArrowSchema::new(fields)), names.into_iter().map(Column::new_unqualified).collect())
    }

    /// ORDER BY: NULL and NaN stand together at the end that the key names; in one partition equal rows keep their order.
    /// `no_nan`: for each key, whether it is known that no value is a NaN.
    pub fn sort(&mut self, input: Lowered, keys: &[SortKey], limit: Option<u64>, no_nan: &[bool]) -> Result<Lowered> {
        let mut exprs = Vec::new();
        let mut orders = Vec::new();
        for (i, key) in keys.iter().enumerate() {
            let value = lower(&key.expr, &input.columns, &self.time)?;
            let float = matches!(key.expr.ty.bare(), LogicalType::Float32 | LogicalType::Float64)
                && !no_nan.get(i).copied().unwrap_or(false);
            // NaN stands between the numbers and the NULLs, whichever end those are at.
            if float && key.expr.ty.is_nullable() && (key.descending || key.nulls_first) {
                exprs.push(value.clone().is_null());
                orders.push((!key.nulls_first, false));
            }
            if float && (key.descending || key.nulls_first) {
                exprs.push(is_nan(value.clone()));
                orders.push((!key.nulls_first, false));
            }
            exprs.push(value);
            orders.push((!key.descending, key.nulls_first));
        }
        if self.in_order {
            exprs.push(row_position());
            orders.push((true, false));
        }
        let width = input.columns.len();
        let (all, added) = self.extended(input, exprs)?;
        let sorts: Vec<Sort> = added
            .into_iter()
            .zip(orders)
            .map(|(c, (asc, nulls_first))| DfExpr::Column(c).sort(asc, nulls_first))
            .collect();
        let fetch = limit.filter(|l| *l <= TOP_ROWS_MAX).and_then(|l| usize::try_from(l).ok());
        let sorted =
            LogicalPlanBuilder::from(all.plan).sort_with_limit(sorts, fetch).and_then(LogicalPlanBuilder::build);
        debug_assert_eq!(all.columns.len(), width);
        self.renamed(Lowered { plan: sorted.map_err(inward)?, columns: all.columns })
    }

    /// Whether `expr` over the rows of `plan` is a column of a scan that has no NaN, as far as the parts say.
    fn is_free_of_nan(&self, plan: &Plan, expr: &Expr) -> bool {
        let hydron_plan::ExprKind::Column(column) = expr.kind else { return false };
        match &plan.node {
            Node::Filter { input, .. } => self.is_free_of_nan(input, expr),
            Node::Project { input, exprs } => self.is_free_of_nan(input, &exprs[column]),
            Node::Scan(_) => self.scans.front().is_some_and(|data| data.is_free_of_nan(column)),
            _ => false,
        }
    }

    pub fn limit_by(&mut self, input: Lowered, keys: &[Expr], offset: u64, limit: u64) -> Result<Lowered> {
        let keys = keys.iter().map(|k| lower(k, &input.columns, &self.time)).collect::<Result<Vec<_>>>()?;
        self.limit_by_lowered(input, keys, offset, limit)
    }

    pub fn limit_by_lowered(&mut self, input: Lowered, keys: Vec<DfExpr>, offset: u64, limit: u64) -> Result<Lowered> {
        let (all, added) = self.extended(input, keys)?;
        let width = all.columns.len();
        let schema: SchemaRef = Arc::new(all.plan.schema().as_arrow().clone());
        let step = LimitBy { keys: (width..width + added.len()).collect(), offset, limit, schema };
        let plan = step::plan(Arc::new(step), all.plan)?;
        self.renamed(Lowered { plan, columns: all.columns })
    }
}

/// The column of rows that have none of their own.
fn constant_column() -> DfExpr {
    DfExpr::Literal(ScalarValue::Boolean(Some(true)), None).alias("row")
}

/// The call of an aggregate over lowered arguments.
pub fn call_of(call: &AggCall, mut args: Vec<DfExpr>, filter: Option<DfExpr>) -> DfExpr {
    let udf = aggregate_udf(&call.name, &call.bound, args.len());
    if args.is_empty() {
        // DataFusion tells an accumulator how many rows there are only by its arguments.
        args.push(DfExpr::Literal(ScalarValue::Boolean(Some(true)), None));
    }
    DfExpr::AggregateFunction(AggregateFunction::new_udf(udf, args, false, filter.map(Box::new), Vec::new(), None))
}

/// Whether the filter of a scan reads a column that its rows are sorted by.
fn filters_by_key(scan: &Scan, plan: &Plan, sorted_by: &[String]) -> bool {
    let mut found = false;
    if let Some(pruning) = &scan.pruning {
        let is_key = |c: usize| plan.schema.fields.get(c).is_some_and(|f| sorted_by.iter().any(|s| **s == *f.name));
        pruning.columns(&mut |c| found |= is_key(c));
    }
    found
}

/// The name under which a part has a column.
fn stored_name(scan: &Scan, column: ScanColumn) -> Result<String> {
    Ok(match column {
        ScanColumn::Stored(i) => {
            let column = scan.stream.columns.get(i);
            column
                .ok_or_else(|| Error::bug(format!("a scan of column #{i} of {}", scan.stream.columns.len())))?
                .name
                .to_string()
        }
        ScanColumn::AppendTime => "_tp_append_time".to_owned(),
        ScanColumn::IngestTime => "_tp_ingest_time".to_owned(),
        ScanColumn::ProcessTime => "_tp_process_time".to_owned(),
        ScanColumn::Sequence => "_tp_sn".to_owned(),
        ScanColumn::Shard => "_tp_shard".to_owned(),
        ScanColumn::MessageKey => "_tp_message_key".to_owned(),
        ScanColumn::MessageHeaders => "_tp_message_headers".to_owned(),
        ScanColumn::Part => "_part".to_owned(),
        ScanColumn::PartitionId => "_partition_id".to_owned(),
    })
}

/// The batches under `fields`; rows without columns get one that nobody reads.
fn with_some_column(mut fields: Vec<ArrowField>, batches: &[Batch]) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let filler = fields.is_empty();
    if filler {
        fields.push(ArrowField::new("rows", DataType::UInt8, false));
    }
    let schema: SchemaRef = Arc::new(ArrowSchema::new(fields));
    let batch = |b: &Batch| {
        let columns =
            if filler { vec![Arc::new(UInt8Array::from(vec![0; b.rows()])) as ArrayRef] } else { b.columns.clone() };
        let options = RecordBatchOptions::new().with_row_count(Some(b.rows()));
        RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)
            .map_err(|e| Error::bug(format!("rows in memory do not fit their scan: {e}")))
    };
    let batches = batches.iter().map(batch).collect::<Result<_>>()?;
    Ok((schema, batches))
}

/// The column at `index` with its default where it is NULL, unless the type has NULL itself.
pub fn filled(columns: &[Column], index: usize, ty: &LogicalType) -> Result<DfExpr> {
    let value = column(columns, index)?;
    if ty.is_nullable() || arrow_type(ty) == DataType::Null {
        return Ok(value);
    }
    or_default(value, &Value::default_of(ty), ty)
}
