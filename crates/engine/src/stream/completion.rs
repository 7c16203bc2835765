//! The columns of rows that lack some: values where they are given, defaults where they are not.
//!
//! In: some of a stream's columns. Out: every stored one. Promise: a default is worked out after those that it reads; a row that
//! leaves a given column out takes its default too.

use arrow::array::{ArrayRef, BooleanArray};
use hydron_base::{Code, Error, Result};
use hydron_func::call::{Volatility, arrow_error};
use hydron_func::{BindContext, EvalContext};
use hydron_plan::bind::bind_scalar_expr;
use hydron_plan::{Catalog, ColumnDefault, Expr, StreamInfo};
use hydron_types::cast::{CastOptions, cast};
use hydron_types::column::array_of;
use hydron_types::{Batch, Field, Schema, Value};
use std::sync::Arc;

/// What fills the columns of one stream.
pub struct Completion {
    stream: Arc<str>,
    /// Stored and ephemeral columns: what default expressions may read.
    pub all: Arc<Schema>,
    /// By position in `all`.
    defaults: Vec<Option<Expr>>,
    /// Position in `all` of each stored column.
    pub stored: Vec<usize>,
}

/// The columns that an INSERT may list: ALIAS columns have no values.
pub fn insertable(info: &StreamInfo) -> Schema {
    let known = info.columns.iter().filter(|c| !matches!(c.default, ColumnDefault::Alias(_)));
    Schema::new(known.map(|c| Field::new(Arc::clone(&c.name), c.ty.clone())).collect())
}

impl Completion {
    pub fn new(info: &StreamInfo, catalog: &dyn Catalog, bind_cx: &BindContext) -> Result<Completion> {
        let known: Vec<_> = info.columns.iter().filter(|c| !matches!(c.default, ColumnDefault::Alias(_))).collect();
        let all = Arc::new(insertable(info));
        let mut defaults = Vec::with_capacity(known.len());
        for column in &known {
            let text = match &column.default {
                ColumnDefault::Default(e) | ColumnDefault::Materialized(e) => Some(e.as_str()),
                ColumnDefault::Ephemeral(e) => e.as_deref(),
                _ => None,
            };
            let bind = |text: &str| {
                let expr = hydron_sql::parse_expression(text)?;
                bind_scalar_expr(&expr, &all, catalog, bind_cx)
                    .map_err(|e| e.context(format!("default of column '{}'", column.name)))
            };
            defaults.push(text.map(bind).transpose()?);
        }
        let stored = known.iter().enumerate().filter(|(_, c)| c.is_stored()).map(|(i, _)| i).collect();
        Ok(Completion { stream: Arc::clone(&info.name), all, defaults, stored })
    }

    /// Columns with defaults, each after those that its default reads. `given`: positions in `all` of the columns with
    /// values. Errors: CYCLIC_ALIASES.
    pub fn order(&self, given: &[usize]) -> Result<Vec<usize>> {
        let mut order = Vec::new();
        let mut done: Vec<bool> = self.defaults.iter().map(Option::is_none).collect();
        let reads = |i: usize| {
            let mut reads = Vec::new();
            if let Some(expr) = &self.defaults[i] {
                expr.columns(&mut |c| reads.push(c));
            }
            reads
        };
        while done.iter().any(|d| !d) {
            let ready = (0..done.len()).find(|i| !done[*i] && reads(*i).iter().all(|c| done[*c] || c == i));
            // A given column may omit rows, but its default never waits for its own value.
            let next = ready.or_else(|| (0..done.len()).find(|i| !done[*i] && given.contains(i)));
            let Some(next) = next else {
                let open = (0..done.len()).filter(|i| !done[*i]);
                let names: Vec<&str> = open.map(|i| &*self.all.fields[i].name).collect();
                let message = format!("defaults of stream {} read each other: {}", self.stream, names.join(", "));
                return Err(Error::new(Code::CYCLIC_ALIASES, message));
            };
            done[next] = true;
            order.push(next);
        }
        Ok(order)
    }

    /// Marks the columns that the defaults of marked ones read, by position in `all`.
    pub fn reads(&self, needed: &mut [bool]) {
        let marked: Vec<usize> = (0..needed.len()).filter(|at| needed[*at]).collect();
        for expr in marked.iter().filter_map(|at| self.defaults[*at].as_ref()) {
            expr.columns(&mut |column| needed[column] = true);
        }
    }

    /// Columns whose default another INSERT of the same rows would give another value, by position in `all`.
    pub fn changing(&self) -> Vec<bool> {
        let changes = |d: &Option<Expr>| d.as_ref().is_some_and(|e| e.volatility() != Volatility::Immutable);
        let mut changing: Vec<bool> = self.defaults.iter().map(changes).collect();
        // Each round reaches the defaults that read one found before; there are no more rounds than columns.
        for _ in 0..self.defaults.len() {
            let before = changing.clone();
            for (at, default) in self.defaults.iter().enumerate() {
                if let Some(expr) = default {
                    expr.columns(&mut |column| changing[at] |= before[column]);
                }
            }
            if changing == before {
                break;
            }
        }
        changing
    }

    /// The stored columns of `count` rows. `columns`: by position in `all`, `None` where no value is given; `omitted`: the rows
    /// that leave a given column out; `order`: of [`Completion::order`].
    pub fn fill(
        &self,
        order: &[usize],
        columns: &[Option<ArrayRef>],
        omitted: &[Option<BooleanArray>],
        count: usize,
        cx: &EvalContext,
    ) -> Result<Vec<ArrayRef>> {
        // Expressions see a batch of all columns; those not yet known stand there as type defaults and are not read.
        let mut known: Vec<ArrayRef> = Vec::with_capacity(columns.len());
        for (column, field) in columns.iter().zip(&self.all.fields) {
            known.push(match column {
                Some(array) => Arc::clone(array),
                None => array_of(&Value::default_of(&field.ty), &field.ty, count)?,
            });
        }
        for at in order {
            let Some(expr) = &self.defaults[*at] else { continue };
            let mask = match (&omitted[*at], columns[*at].is_some()) {
                (None, true) => continue,
                (mask, _) => mask,
            };
            let batch = Batch::new(Arc::clone(&self.all), known.clone(), count);
            let value = expr.eval(cx, &batch)?.to_array(count)?;
            let field = &self.all.fields[*at];
            let value = cast(&value, &expr.ty, &field.ty, &CastOptions::wrap(cx.zone))
                .map_err(|e| e.context(format!("default of column '{}'", field.name)))?;
            known[*at] = match mask {
                Some(mask) => arrow::compute::kernels::zip::zip(mask, &value, &known[*at]).map_err(arrow_error)?,
                None => value,
            };
        }
        Ok(self.stored.iter().map(|i| Arc::clone(&known[*i])).collect())
    }
}
