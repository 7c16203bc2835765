//! Subqueries as values: scalar, EXISTS, and the right side of IN. They are run now and their answer is a constant.

use super::Binder;
use super::env::Env;
use super::expr::Exprs;
use super::query::Rel;
use crate::catalog::Source;
use crate::expr::{Expr, ExprKind};
use crate::node::Plan;
use crate::rewrite;
use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::concat;
use hydron_base::{Code, Error, Result};
use hydron_func::call::arrow_error;
use hydron_func::scalar::in_set::InSet;
use hydron_func::{Datum, EvalContext, Volatility};
use hydron_sql::ast;
use hydron_types::column::value_at;
use hydron_types::supertype::can_be_nullable;
use hydron_types::{Batch, LogicalType, Value, Zone};
use std::sync::Arc;

/// Rows of an IN subquery without `max_rows_in_set`: 50 million 8-byte values are 800 MB as a set, past that a join is right.
const SET_ROWS_MAX: usize = 50_000_000;

impl<'a> Binder<'a> {
    fn bounded(&self, query: &ast::Query, env: &Env<'_>, what: &str) -> Result<Rel> {
        let inner = env.inner();
        let rel = self.query(query, &inner)?;
        if rel.plan.streaming {
            let error = Error::not_implemented(format!("a streaming subquery as {what}"));
            return Err(error.hint("table(…) around the stream"));
        }
        Ok(rel)
    }

    pub(super) fn run(&self, plan: Plan, env: &Env<'_>, rows_max: usize) -> Result<Vec<Batch>> {
        let plan = rewrite::optimize(plan, &rewrite::Options::of(&env.settings, self.now.now))?;
        self.catalog.run_subquery(&plan, rows_max)
    }

    /// `(SELECT …)` as a value: nullable where the type allows, since no row is NULL; several columns are a tuple.
    ///
    /// Errors: INCORRECT_RESULT_OF_SCALAR_SUBQUERY (125) for more than one row.
    pub(super) fn scalar_subquery(&self, query: &ast::Query, env: &Env<'_>) -> Result<Expr> {
        let rel = self.bounded(query, env, "a value")?;
        let schema = Arc::clone(&rel.plan.schema);
        let batches = self.run(rel.plan.limit(0, Some(2), Vec::new()), env, 2)?;
        let rows: usize = batches.iter().map(Batch::rows).sum();
        if rows > 1 {
            return Err(Error::new(
                Code::INCORRECT_RESULT_OF_SCALAR_SUBQUERY,
                "a scalar subquery returned more than one row",
            ));
        }
        let batch = batches.iter().find(|b| b.rows() == 1);
        let value = |i: usize| batch.map(|b| value_at(b.column(i), &schema.fields[i].ty, 0));
        if let [field] = schema.fields.as_slice() {
            let nullable = field.ty.is_nullable() || can_be_nullable(&field.ty);
            return match value(0) {
                Some(v) if can_be_nullable(&field.ty) => Ok(Expr::literal(v, LogicalType::nullable(field.ty.clone()))),
                Some(v) => Ok(Expr::literal(v, field.ty.clone())),
                None if nullable => Ok(Expr::literal(Value::Null, LogicalType::nullable(field.ty.clone()))),
                None => {
                    let text =
                        format!("a scalar subquery of type {} returned no row, and that type has no NULL", field.ty);
                    Err(Error::new(Code::INCORRECT_RESULT_OF_SCALAR_SUBQUERY, text))
                }
            };
        }
        let ty = LogicalType::tuple(schema.fields.iter().map(|f| f.ty.clone()));
        match batch {
            Some(_) => Ok(Expr::literal(Value::Tuple((0..schema.len()).filter_map(value).collect()), ty)),
            None => Ok(Expr::literal(Value::Null, LogicalType::Nothing)),
        }
    }

    pub(super) fn exists(&self, query: &ast::Query, env: &Env<'_>) -> Result<Expr> {
        let rel = self.bounded(query, env, "the argument of EXISTS")?;
        let batches = self.run(rel.plan.limit(0, Some(1), Vec::new()), env, 1)?;
        Ok(Expr::literal(Value::Bool(batches.iter().any(|b| b.rows() > 0)), LogicalType::Bool))
    }

    /// The columns of a bounded query, whole.
    fn set_columns(&self, rel: Rel, env: &Env<'_>) -> Result<(Vec<ArrayRef>, Vec<LogicalType>)> {
        let types: Vec<LogicalType> = rel.plan.schema.fields.iter().map(|f| f.ty.clone()).collect();
        let rows_max = match env.settings.uint("max_rows_in_set") {
            0 => SET_ROWS_MAX,
            n => usize::try_from(n).unwrap_or(SET_ROWS_MAX),
        };
        let plan = match env.settings.text("set_overflow_mode") {
            "break" => rel.plan.limit(0, Some(rows_max as u64), Vec::new()),
            _ => rel.plan,
        };
        let batches = self.run(plan, env, rows_max).map_err(|e| match e.code {
            Code::TOO_MANY_ROWS_OR_BYTES => {
                let text = format!("the set of IN has more than {rows_max} rows, the limit max_rows_in_set");
                Error::new(Code::SET_SIZE_LIMIT_EXCEEDED, text)
            }
            _ => e,
        })?;
        Ok((whole_columns(&batches, &types)?, types))
    }

    /// The rows of a bounded plan, whole, and the types of its columns. At most as many as a set of IN may have.
    pub(super) fn all_rows(&self, plan: Plan, env: &Env<'_>) -> Result<(Vec<ArrayRef>, Vec<LogicalType>)> {
        let types: Vec<LogicalType> = plan.schema.fields.iter().map(|f| f.ty.clone()).collect();
        let batches = self.run(plan, env, SET_ROWS_MAX)?;
        Ok((whole_columns(&batches, &types)?, types))
    }
}

fn whole_columns(batches: &[Batch], types: &[LogicalType]) -> Result<Vec<ArrayRef>> {
    types
        .iter()
        .enumerate()
        .map(|(i, ty)| {
            let parts: Vec<&dyn Array> = batches.iter().map(|b| b.column(i).as_ref()).collect();
            if parts.is_empty() {
                return Ok(arrow::array::new_empty_array(&hydron_types::physical::arrow_type(ty)));
            }
            concat(&parts).map_err(arrow_error)
        })
        .collect()
}

impl Exprs<'_> {
    /// `x [GLOBAL] [NOT] IN …`.
    pub(super) fn membership(&mut self, name: &str, f: &ast::Function) -> Result<Expr> {
        let [left, right] = f.args.as_slice() else {
            let text = format!("\"{name}\" takes 2 arguments, given {}", f.args.len());
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
        };
        let left = self.bind(left)?;
        let nulls = self.env.settings.bool("transform_null_in");
        let negated = matches!(name, "not_in" | "global_not_in");
        if nulls && *left.ty.bare() == LogicalType::Nothing {
            let found = match self.query_of(right)? {
                Some(rel) => self.b.set_columns(rel, self.env)?.0.iter().any(|c| c.logical_null_count() > 0),
                None => self.set_values(right, 0)?.iter().any(|(v, _)| v.is_null()),
            };
            return Ok(Expr::literal(Value::Bool(found != negated), LogicalType::Bool));
        }
        // NULL is in no set and not outside of one; there is no type to read the right side as.
        if *left.ty.bare() == LogicalType::Nothing {
            return Ok(Expr::literal(Value::Null, LogicalType::nullable(LogicalType::Bool)));
        }
        let parts: Vec<LogicalType> = match left.ty.bare() {
            LogicalType::Tuple(elements) if elements.len() > 1 => elements.iter().map(|(_, t)| t.clone()).collect(),
            _ => vec![left.ty.clone()],
        };
        let set = match self.query_of(right)? {
            Some(rel) => {
                let (columns, types) = self.b.set_columns(rel, self.env)?;
                // One column of tuples stands for as many columns.
                match (columns.as_slice(), types.as_slice()) {
                    ([one], [LogicalType::Tuple(elements)]) if parts.len() > 1 => {
                        let rows: Vec<(Value, LogicalType)> = (0..one.len())
                            .map(|r| (value_at(one, &types[0], r), LogicalType::Tuple(Arc::clone(elements))))
                            .collect();
                        InSet::from_values(&parts, &rows, self.cx.zone, nulls)?
                    }
                    _ => InSet::from_arrays(&parts, &columns, &types, self.cx.zone, nulls)?,
                }
            }
            None => {
                let values = self.set_values(right, depth(&left.ty))?;
                set_of(&parts, values, self.cx.zone, nulls)?
            }
        };
        in_expr(left, set, negated, nulls, &self.b.now)
    }

    /// The right side of IN as a query: a subquery, a stream, a CTE or a table function by name.
    fn query_of(&mut self, right: &ast::Expr) -> Result<Option<Rel>> {
        match &right.kind {
            ast::ExprKind::Subquery(query) => self.b.bounded(query, self.env, "the right side of IN").map(Some),
            ast::ExprKind::Identifier(name) => {
                let object = match name.parts.as_slice() {
                    [one] => ast::ObjectName::new(one.clone()),
                    [database, one] => ast::ObjectName::qualified(database.clone(), one.clone()),
                    _ => return Ok(None),
                };
                let is_cte = object.database.is_none() && self.env.cte(&object.name).is_some();
                if !is_cte && self.b.find_source(&object).is_none() {
                    return Ok(None);
                }
                self.all_of(ast::TableExprKind::Name(object)).map(Some)
            }
            ast::ExprKind::Function(f) if super::table_function::is_source_function(&f.name) => {
                self.all_of(ast::TableExprKind::Function(f.clone())).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// `SELECT * FROM` a source, without reserved columns.
    fn all_of(&mut self, kind: ast::TableExprKind) -> Result<Rel> {
        let table = ast::TableExpr { kind, alias: None, is_final: false, sample: None, span: ast::Span::default() };
        let from = match &table.kind {
            ast::TableExprKind::Name(name) if self.env.cte(&name.name).is_none() => match self.b.lookup(name) {
                // A Set is read here and nowhere else.
                Ok(Source::Stream(info)) if &*info.engine == "Set" => self.b.open_rows(&info, self.env)?,
                _ => self.b.table_expr(&table, self.env)?,
            },
            _ => self.b.table_expr(&table, self.env)?,
        };
        if from.plan.streaming {
            let error = Error::not_implemented("a stream as the right side of IN");
            return Err(error.hint("table(…) around the stream"));
        }
        let shown: Vec<usize> =
            (0..from.scope.columns.len()).filter(|i| from.scope.columns[*i].show == super::scope::Show::Yes).collect();
        Ok(Rel { plan: from.plan.select(&shown), flat: from.flat })
    }

    /// The constants on the right side, each with its own type.
    ///
    /// Errors: UNKNOWN_IDENTIFIER (47) for what reads columns, BAD_ARGUMENTS (36) for what else is not constant.
    fn set_values(&mut self, right: &ast::Expr, left_depth: usize) -> Result<Vec<(Value, LogicalType)>> {
        let list = right.as_function().filter(|f| matches!(f.name.as_str(), "tuple" | "array") && f.over.is_none());
        let Some(list) = list.filter(|l| !l.args.is_empty()) else {
            return self.constant_members(right, left_depth);
        };
        // As deep as the left side it is one value, `(a, b) IN (1, 2)`; deeper it is a list of them, `… ((1, 2), (3, 4))`.
        let (_, first) = self.set_constant(&list.args[0])?;
        if 1 + depth(&first) == left_depth {
            return Ok(vec![self.set_constant(right)?]);
        }
        list.args.iter().map(|e| self.set_constant(e)).collect()
    }

    fn set_constant(&mut self, expr: &ast::Expr) -> Result<(Value, LogicalType)> {
        let bound = self.bind(expr)?;
        self.constant_of(&bound)?.ok_or_else(|| {
            let mut reads = false;
            bound.columns(&mut |_| reads = true);
            // A set is known before any row is: no column can be named in it.
            let code = if reads { Code::UNKNOWN_IDENTIFIER } else { Code::BAD_ARGUMENTS };
            Error::new(code, format!("\"{}\" on the right side of IN is not constant", expr.column_name()))
        })
    }

    /// A constant expression: an array or a tuple means its elements, anything else itself.
    fn constant_members(&mut self, right: &ast::Expr, left_depth: usize) -> Result<Vec<(Value, LogicalType)>> {
        let (value, ty) = self.set_constant(right)?;
        if depth(&ty) == left_depth && left_depth > 0 {
            return Ok(vec![(value, ty)]);
        }
        Ok(match (value, ty) {
            (Value::Array(values), LogicalType::Array(element)) => {
                values.into_iter().map(|v| (v, (*element).clone())).collect()
            }
            (Value::Tuple(values), LogicalType::Tuple(types)) => {
                values.into_iter().zip(types.iter().map(|(_, t)| t.clone())).collect()
            }
            other => vec![other],
        })
    }
}

/// The set of constants. A composite value with a part that the left type cannot hold is in no set; one of another kind is
/// TYPE_MISMATCH (53).
fn set_of(left: &[LogicalType], values: Vec<(Value, LogicalType)>, zone: Zone, nulls: bool) -> Result<InSet> {
    let composite = left.len() == 1 && depth(&left[0]) > 0;
    match InSet::from_values(left, &values, zone, nulls) {
        Err(e) if composite && e.code == Code::CANNOT_CONVERT_TYPE => {
            let held =
                |v: &(Value, LogicalType)| InSet::from_values(left, std::slice::from_ref(v), zone, nulls).is_ok();
            let held: Vec<(Value, LogicalType)> = values.into_iter().filter(held).collect();
            InSet::from_values(left, &held, zone, nulls)
        }
        Err(e) if composite => Err(Error::new(Code::TYPE_MISMATCH, e.message)),
        set => set,
    }
}

/// How many arrays and tuples stand in each other, by the first element of each.
fn depth(ty: &LogicalType) -> usize {
    match ty.bare() {
        LogicalType::Array(element) => 1 + depth(element),
        LogicalType::Tuple(elements) => 1 + elements.first().map_or(0, |(_, t)| depth(t)),
        _ => 0,
    }
}

/// Membership of `left` in a set known now. The name is `in` or `not_in`; its only argument is the left side.
fn in_expr(left: Expr, set: InSet, negated: bool, nulls: bool, now: &EvalContext) -> Result<Expr> {
    let ty = if left.ty.is_nullable() && !nulls { LogicalType::nullable(LogicalType::Bool) } else { LogicalType::Bool };
    let kernel = move |_: &EvalContext, args: &[Datum], rows: usize| {
        let rows = if args[0].is_scalar() { 1 } else { rows };
        let found = set.eval(&args[0], rows)?;
        let null_rows = if nulls { None } else { args[0].array()?.logical_nulls() };
        let values = if negated { !found.values() } else { found.values().clone() };
        let result: ArrayRef = Arc::new(BooleanArray::new(values, null_rows));
        Ok(if args[0].is_scalar() { Datum::Scalar(result) } else { Datum::Array(result) })
    };
    let constant = left.as_literal().is_some();
    let kind = ExprKind::Call {
        name: Arc::from(if negated { "not_in" } else { "in" }),
        kernel: Arc::new(kernel),
        args: vec![left],
        volatility: Volatility::Immutable,
    };
    let expr = Expr { kind, ty };
    if !constant {
        return Ok(expr);
    }
    let array = expr.eval_to_array_columns(now, &[], 1)?;
    Ok(Expr::literal(value_at(&array, &expr.ty, 0), expr.ty))
}
