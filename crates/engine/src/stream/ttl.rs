//! TTL … DELETE: rows leave the history when their time is up; the TTL of a column: its values become the default of its type then.
//!
//! In: the TTL of a CREATE statement. Out: parts without rows whose time has passed. Promise: a part all of whose rows are past it
//! goes without being read again; one that has some of them is rewritten once in `merge_with_ttl_timeout` seconds, as ClickHouse
//! does, so that rows may stay that much longer. The log keeps its records as its own retention says.

use super::StreamStore;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, Scalar};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{filter_record_batch, max, min, not, nullif};
use arrow::datatypes::Int64Type;
use hydron_base::{Code, Error, Result};
use hydron_func::call::arrow_error;
use hydron_func::scalar::rows::encode_columns;
use hydron_func::{BindContext, EvalContext, Volatility};
use hydron_plan::bind::{bind_condition, bind_scalar_expr, cast_expr};
use hydron_plan::{Catalog, Expr};
use hydron_sql::ast::{self, CreateStream, StatementKind, TtlAction};
use hydron_store::part::{Commit, PartMeta};
use hydron_types::column::array_of;
use hydron_types::{Batch, LogicalType, Schema, Value};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How long a part with some rows past their time waits to be rewritten, in seconds.
const REWRITE_SECONDS: i64 = 14_400;

/// What of a part is known, so that it is read once and not at each look.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// The first and the last moment at which a row of it is to go, in seconds; `None`: none ever.
    span: Option<(i64, i64)>,
    /// The first moment at which a value that is not yet the default is to go.
    column: Option<i64>,
}

/// The TTL of one stream and what is known of its parts.
pub struct Ttl {
    rules: Vec<Rule>,
    rewrite_seconds: i64,
    known: HashMap<String, Times>,
    rewritten_at: i64,
}

/// `TTL expr [DELETE] [WHERE filter]`
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub expr: ast::Expr,
    pub filter: Option<ast::Expr>,
    /// The column whose values go; `None`: rows do.
    pub column: Option<String>,
}

/// Errors: NOT_IMPLEMENTED for what is not DELETE.
pub fn rules(elements: &[ast::TtlElement]) -> Result<Vec<Rule>> {
    let rule = |e: &ast::TtlElement| match &e.action {
        TtlAction::Delete => Ok(Rule { expr: e.expr.clone(), filter: e.filter.clone(), column: None }),
        TtlAction::ToDisk(_) | TtlAction::ToVolume(_) => Err(Error::not_implemented("TTL … TO DISK or VOLUME")),
        TtlAction::Recompress(_) => Err(Error::not_implemented("TTL … RECOMPRESS")),
        TtlAction::GroupBy { .. } => Err(Error::not_implemented("TTL … GROUP BY")),
    };
    elements.iter().map(rule).collect()
}

/// The rules of columns.
fn column_rules(create: &CreateStream) -> Vec<Rule> {
    let columns = create.elements.iter().flat_map(|e| &e.columns);
    let rule = |c: &ast::ColumnDef| Some(Rule { expr: c.ttl.clone()?, filter: None, column: Some(c.name.clone()) });
    columns.filter_map(rule).collect()
}

impl Ttl {
    /// Of a CREATE statement. `None`: rows stay for ever.
    pub fn of(create_text: &str) -> Option<Ttl> {
        if !create_text.contains("TTL") {
            return None;
        }
        let StatementKind::CreateStream(create) = hydron_sql::parse_statement(create_text).ok()?.statement.kind else {
            return None;
        };
        let mut rules = rules(&create.storage.ttl).unwrap_or_default();
        rules.extend(column_rules(&create));
        let timeout = create.storage.settings.iter().find(|s| s.name == "merge_with_ttl_timeout");
        let seconds = timeout.and_then(|s| hydron_plan::bind::setting_text(s).ok().flatten()?.parse().ok());
        let rewrite_seconds = seconds.unwrap_or(REWRITE_SECONDS).max(0);
        (!rules.is_empty()).then(|| Ttl { rules, rewrite_seconds, known: HashMap::new(), rewritten_at: i64::MIN })
    }
}

/// A rule that can be asked of rows.
struct Bound {
    /// int64: the second at which a row goes.
    at: Expr,
    filter: Option<Expr>,
    /// Of the rule of a column: where it is.
    column: Option<usize>,
}

impl Bound {
    /// The second at which each row goes; NULL for one that stays.
    fn times(&self, cx: &EvalContext, batch: &Batch) -> Result<Int64Array> {
        let at = self.at.eval_to_array(cx, batch)?;
        let at = at.as_primitive::<Int64Type>();
        let Some(filter) = &self.filter else { return Ok(at.clone()) };
        let stays = not(&filter.eval_filter(cx, batch)?).map_err(arrow_error)?;
        Ok(nullif(at, &stays).map_err(arrow_error)?.as_primitive::<Int64Type>().clone())
    }

    /// As [`Bound::times`], of the values of a column that are not yet the default.
    fn times_of_values(&self, cx: &EvalContext, batch: &Batch, column: usize) -> Result<Int64Array> {
        let at = self.times(cx, batch)?;
        let default = default_of(batch, column)?;
        let (values, default) = (encode_columns(&[Arc::clone(batch.column(column))])?, encode_columns(&[default])?);
        let is_default = (0..batch.rows()).map(|row| values.row(row).as_ref() == default.row(0).as_ref());
        let is_default = BooleanArray::from(is_default.collect::<Vec<_>>());
        Ok(nullif(&at, &is_default).map_err(arrow_error)?.as_primitive::<Int64Type>().clone())
    }
}

fn default_of(batch: &Batch, column: usize) -> Result<ArrayRef> {
    let ty = &batch.schema.fields[column].ty;
    array_of(&Value::default_of(ty), ty, 1)
}

fn bind(rules: &[Rule], schema: &Schema, catalog: &dyn Catalog, bind_cx: &BindContext) -> Result<Vec<Bound>> {
    let nullable = |ty: LogicalType| LogicalType::nullable(ty);
    let bind = |rule: &Rule| -> Result<Bound> {
        let (at, zone) = (bind_scalar_expr(&rule.expr, schema, catalog, bind_cx)?, bind_cx.zone);
        if !at.ty.bare().is_date_or_time() {
            let message = format!("TTL {} is of type {}, it must be a date or time", rule.expr, at.ty);
            return Err(Error::new(Code::BAD_TTL_EXPRESSION, message));
        }
        let at = cast_expr(at, &nullable(LogicalType::DateTime64(0, Some(zone))), zone)?;
        let at = cast_expr(at, &nullable(LogicalType::Int64), zone)?;
        let condition = |e: &ast::Expr| bind_condition(e, schema, catalog, bind_cx);
        let position =
            |name: &String| schema.index_of(name).ok_or_else(|| Error::bug(format!("column '{name}' is gone")));
        Ok(Bound {
            at,
            filter: rule.filter.as_ref().map(condition).transpose()?,
            column: rule.column.as_ref().map(position).transpose()?,
        })
    };
    rules.iter().map(bind).collect()
}

/// Whether a TTL can be kept. Errors: BAD_TTL_EXPRESSION (450), BAD_ARGUMENTS (36) for one that says something else each time, ILLEGAL_COLUMN (44) for a column of a key, NOT_IMPLEMENTED for what
/// is not DELETE, what binding answers.
pub fn check(create: &CreateStream, schema: &Schema, catalog: &dyn Catalog, bind_cx: &BindContext) -> Result<()> {
    // There the time of the statement is no constant.
    let bind_cx = &BindContext { streaming: true, ..bind_cx.clone() };
    let is_table = create.storage.engine.as_ref().is_some_and(|e| e.name.ends_with("MergeTree"));
    let settled = |rules: &[Rule]| -> Result<()> {
        for (bound, rule) in bind(rules, schema, catalog, bind_cx)?.iter().zip(rules) {
            // Streams take what reads no column: it says the same of all rows at a time, `now() - 1d` that everything may go.
            let mut reads = is_table;
            bound.at.columns(&mut |_| reads = true);
            if reads && bound.at.volatility() > Volatility::Immutable {
                let message = format!("TTL {} does not say the same of a row each time", rule.expr);
                return Err(Error::bad_arguments(message));
            }
        }
        Ok(())
    };
    let of_rows = rules(&create.storage.ttl)?;
    if of_rows.iter().filter(|r| r.filter.is_none()).count() > 1 {
        let message = "more than one TTL expression without WHERE";
        return Err(Error::new(Code::BAD_TTL_EXPRESSION, message));
    }
    settled(&of_rows)?;
    let of_columns = column_rules(create);
    let keys = [&create.storage.order_by, &create.storage.primary_key, &create.storage.partition_by];
    for name in of_columns.iter().filter_map(|r| r.column.as_ref()) {
        let mut is_key = false;
        for key in keys.into_iter().flatten() {
            key.walk(&mut |e| is_key |= e.as_identifier().is_some_and(|i| i.full() == *name));
        }
        if is_key {
            let message = format!("column '{name}' is in a key, so that its values cannot go");
            return Err(Error::new(Code::ILLEGAL_COLUMN, message).hint("TTL of the rows"));
        }
    }
    let stored: Vec<Rule> =
        of_columns.into_iter().filter(|r| r.column.as_ref().is_some_and(|c| schema.index_of(c).is_some())).collect();
    settled(&stored)
}

impl StreamStore {
    /// Looks at one part that was not looked at yet, or lets rows go whose time is up. `at_once`: without waiting for the next
    /// rewrite. False: there was nothing to do.
    pub async fn expire_once(self: &Arc<Self>, now_seconds: i64, at_once: bool) -> Result<bool> {
        let dropped = self.compacting.lock().await;
        let mut slot = self.ttl.lock().await;
        let Some(ttl) = slot.as_mut().filter(|_| !*dropped && !self.adapter.is_outdated()) else { return Ok(false) };
        let snapshot = self.parts.snapshot();
        let parts = &snapshot.manifest().parts;
        let files: HashSet<&str> = parts.iter().map(|p| p.file.as_str()).collect();
        ttl.known.retain(|file, _| files.contains(file.as_str()));
        if let Some(part) = parts.iter().find(|p| !ttl.known.contains_key(&p.file)) {
            let times = self.times_of(part, &ttl.rules).await?;
            ttl.known.insert(part.file.clone(), times);
            return Ok(true);
        }
        let span = |p: &&PartMeta| ttl.known.get(&p.file).and_then(|t| t.span);
        let past = parts.iter().filter(|p| span(p).is_some_and(|(_, last)| last <= now_seconds));
        let past: Vec<String> = past.map(|p| p.file.clone()).collect();
        if !past.is_empty() {
            let removed = past.into_iter().collect();
            self.parts.commit(Commit { added: Vec::new(), removed, ..Commit::default() }).await?;
            return Ok(true);
        }
        let is_due = at_once || now_seconds.saturating_sub(ttl.rewritten_at) >= ttl.rewrite_seconds;
        let first = |p: &&PartMeta| {
            let times = ttl.known.get(&p.file)?;
            times.span.map(|(first, _)| first).into_iter().chain(times.column).min()
        };
        let has_past = |p: &&PartMeta| first(p).is_some_and(|first| first <= now_seconds);
        let some = parts.iter().find(has_past).cloned();
        let Some(part) = some.filter(|_| is_due) else { return Ok(false) };
        let rules = ttl.rules.clone();
        let others = parts.iter().filter(|p| p.file != part.file);
        let is_last = !others.into_iter().any(|p| has_past(&p));
        let replaced = self.without_past(&part, &rules, now_seconds).await?;
        if is_last {
            ttl.rewritten_at = now_seconds;
        }
        let removed = [part.file].into_iter().collect();
        self.parts.commit(Commit { added: replaced, removed, ..Commit::default() }).await?;
        Ok(true)
    }

    /// Lets all rows go whose time is up, now.
    pub async fn expire_all(self: &Arc<Self>, now_seconds: i64) -> Result<()> {
        // A part that is rewritten is looked at once more; then it has no such rows.
        while self.expire_once(now_seconds, true).await? {}
        Ok(())
    }

    async fn times_of(self: &Arc<Self>, part: &PartMeta, rules: &[Rule]) -> Result<Times> {
        let rows = self.rows_of(part).await?;
        let (store, rules) = (Arc::clone(self), rules.to_vec());
        super::compact::blocking(move || {
            let bound = store.bound(&rules)?;
            let cx = store.adapter.eval_context();
            let mut span: Option<(i64, i64)> = None;
            let mut column: Option<i64> = None;
            for batch in rows {
                let batch = store.batch_of(&batch);
                for rule in &bound {
                    if let Some(at) = rule.column {
                        let times = rule.times_of_values(&cx, &batch, at)?;
                        column = column.into_iter().chain(min(&times)).min();
                        continue;
                    }
                    let at = rule.times(&cx, &batch)?;
                    // A row without a time stays, and its part with it.
                    let last = if at.null_count() > 0 { i64::MAX } else { max(&at).unwrap_or(i64::MIN) };
                    let first = min(&at).unwrap_or(i64::MAX);
                    span = Some(span.map_or((first, last), |(a, b)| (a.min(first), b.max(last))));
                }
            }
            Ok(Times { span, column })
        })
        .await
    }

    /// The part without the rows whose time is up; nothing if none is left.
    async fn without_past(self: &Arc<Self>, part: &PartMeta, rules: &[Rule], now: i64) -> Result<Vec<PartMeta>> {
        let (store, rules) = (Arc::clone(self), rules.to_vec());
        let change = Arc::new(move |rows: &RecordBatch| {
            let bound = store.bound(&rules)?;
            let cx = store.adapter.eval_context();
            let batch = store.batch_of(rows);
            let mut stays = vec![true; rows.num_rows()];
            let mut columns = rows.columns().to_vec();
            for rule in &bound {
                let at = rule.times(&cx, &batch)?;
                let is_past = |row: usize| at.is_valid(row) && at.value(row) <= now;
                if let Some(column) = rule.column {
                    let past = BooleanArray::from((0..at.len()).map(is_past).collect::<Vec<_>>());
                    columns[column] =
                        zip(&past, &Scalar::new(default_of(&batch, column)?), &columns[column]).map_err(arrow_error)?;
                    continue;
                }
                for (row, stays) in stays.iter_mut().enumerate() {
                    *stays &= !is_past(row);
                }
            }
            let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
            let rows = RecordBatch::try_new_with_options(rows.schema(), columns, &options).map_err(arrow_error)?;
            filter_record_batch(&rows, &stays.into()).map(Some).map_err(arrow_error)
        });
        Ok(self.changed(part, &(change as super::mutate::Change)).await?.unwrap_or_default())
    }

    fn batch_of(&self, rows: &RecordBatch) -> Batch {
        Batch::new(Arc::clone(&self.schema), rows.columns().to_vec(), rows.num_rows())
    }

    fn bound(&self, rules: &[Rule]) -> Result<Vec<Bound>> {
        let (lookup, bind_cx) = self.adapter.binding()?;
        bind(rules, &self.schema, &lookup, &bind_cx)
    }
}
