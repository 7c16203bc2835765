//! Aggregate function calls, and what an item of ORDER BY sorts by.

use super::call::arg_info;
use super::expr::{AGGREGATES, Exprs, Place};
use crate::expr::{AggCall, Expr};
use crate::node::SortKey;
use hydron_base::{Code, Error, Result};
use hydron_func::{ArgInfo, Registry};
use hydron_sql::ast;
use hydron_types::{LogicalType, Value};
use std::sync::Arc;

impl Exprs<'_> {
    /// An aggregate: a placeholder for its column; the same call is computed once.
    pub(super) fn aggregate(&mut self, name: &str, f: &ast::Function) -> Result<Expr> {
        if !self.place.aggregates {
            let text = format!("aggregate function \"{name}\" cannot stand in {}", self.place.name);
            return Err(Error::new(Code::ILLEGAL_AGGREGATION, text));
        }
        self.plain_aggregates = true;
        let call = self.outside_lambdas(|x| x.aggregate_call(name, f, Place::AGGREGATE))?;
        Ok(self.add_aggregate(call))
    }

    pub(super) fn add_aggregate(&mut self, call: AggCall) -> Expr {
        let ty = call.bound.ty.clone();
        let index = self.aggs.iter().position(|a| same_call(a, &call)).unwrap_or(self.aggs.len());
        if index == self.aggs.len() {
            self.aggs.push(call);
        }
        self.placeholder(AGGREGATES + index, ty)
    }

    pub(super) fn aggregate_call(&mut self, name: &str, f: &ast::Function, place: Place) -> Result<AggCall> {
        let respecting = match f.nulls {
            Some(ast::NullsAction::Respect) => respecting_nulls(name)?,
            _ => None,
        };
        let name = respecting.unwrap_or(name);
        let before = std::mem::replace(&mut self.place, place);
        let bound = self.aggregate_args(name, f);
        self.place = before;
        let (args, filter) = bound?;
        let (name, distinct) = match (name, f.distinct) {
            ("count", true) => (self.env.settings.text("count_distinct_implementation").to_string(), false),
            (name, distinct) => (name.to_string(), distinct),
        };
        let b = self.b;
        let registry = b.functions(&name);
        let infos: Vec<ArgInfo> = args.iter().map(|a| arg_info(a, None)).collect();
        let or_null = format!("{name}_or_null");
        let null_for_empty = self.env.settings.bool("aggregate_functions_null_for_empty")
            && !name.starts_with("count")
            && registry.aggregate(&or_null).is_some();
        let name = if null_for_empty { or_null } else { name };
        let bound = registry.bind_aggregate(&name, &self.cx, &infos, distinct)?;
        if bound.aggregate.needs().own_emit && !self.cx.streaming {
            let text =
                format!("aggregate function \"{name}\" decides itself when it answers, which needs a streaming query");
            return Err(Error::new(Code::UDA_NOT_APPLICABLE, text));
        }
        let params = registry.aggregate(&name).map_or(args.len()..args.len(), |a| a.param_positions_of(&infos));
        let args = args.into_iter().enumerate().filter(|(i, _)| !params.contains(i)).map(|(_, a)| a).collect();
        let name = if distinct { format!("{name}_distinct") } else { name };
        Ok(AggCall { name: Arc::from(name), bound, args, filter })
    }

    fn aggregate_args(&mut self, name: &str, f: &ast::Function) -> Result<(Vec<Expr>, Option<Expr>)> {
        let all_rows = matches!(f.args.as_slice(), [ast::Expr { kind: ast::ExprKind::Asterisk(a), .. }] if a.transformers.is_empty());
        let args = if name.starts_with("count") && all_rows && !f.distinct {
            Vec::new()
        } else {
            let expanded = self.expand_asterisks(&f.args)?;
            self.bind_all(expanded.as_deref().unwrap_or(&f.args))?
        };
        let filter = match &f.filter {
            Some(filter) => {
                let bound = self.bind(filter)?;
                Some(self.truth(bound, "FILTER")?)
            }
            None => None,
        };
        Ok((args, filter))
    }

    pub(super) fn sort_key(&mut self, item: &ast::OrderItem) -> Result<SortKey> {
        if item.collate.is_some() {
            return Err(Error::not_implemented("ORDER BY … COLLATE"));
        }
        if item.fill.is_some() {
            return Err(Error::not_implemented("ORDER BY … WITH FILL"));
        }
        let expr = self.bind(&item.expr)?;
        // NULL and nan come last in either direction unless NULLS FIRST is said.
        Ok(SortKey { expr, descending: item.descending, nulls_first: item.nulls_first.unwrap_or(false) })
    }
}

/// The form of an aggregate for which NULL is a value; `None`: it has no other form.
///
/// Errors: NOT_IMPLEMENTED (48) for an aggregate that skips NULL and cannot do otherwise.
pub(super) fn respecting_nulls(name: &str) -> Result<Option<&'static str>> {
    match name {
        "any" | "earliest" | "first_value" => Ok(Some("any_respect_nulls")),
        "any_last" | "latest" | "last_value" => Ok(Some("any_last_respect_nulls")),
        _ if name.ends_with("_respect_nulls") => Ok(None),
        _ => Err(Error::not_implemented(format!("{name}(…) RESPECT NULLS"))),
    }
}

fn same_call(a: &AggCall, b: &AggCall) -> bool {
    let same_filter = match (&a.filter, &b.filter) {
        (None, None) => true,
        (Some(a), Some(b)) => a.is_same(b),
        _ => false,
    };
    // Parameters live in the bound state, so calls with parameters are told apart by nothing but their place.
    same_filter
        && a.name == b.name
        && a.bound.ty == b.bound.ty
        && a.args.len() == b.args.len()
        && !takes_parameters(a)
        && a.args.iter().zip(&b.args).all(|(a, b)| a.is_same(b))
}

fn takes_parameters(call: &AggCall) -> bool {
    // Functions of users have arguments alone.
    call.bound.aggregate.needs().function.is_none()
        && Registry::builtin().aggregate(&call.name).is_none_or(|a| !a.param_positions(4).is_empty())
}

/// A constant as a count of rows. Errors: INVALID_LIMIT_EXPRESSION (440).
pub(super) fn row_count(value: Option<(Value, LogicalType)>, what: &str) -> Result<u64> {
    let wrong =
        || Error::new(Code::INVALID_LIMIT_EXPRESSION, format!("{what} must be a constant whole number, 0 or more"));
    let (value, _) = value.ok_or_else(wrong)?;
    match value {
        Value::Float64(f) if f >= 0.0 && f.fract() == 0.0 && f < u64::MAX as f64 => Ok(f as u64),
        v => v.as_u64().ok_or_else(wrong),
    }
}
