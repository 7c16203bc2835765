//! Aggregate and window function calls.

use super::call::arg_info;
use super::expr::{AGGREGATES, Exprs, Place, WINDOWS};
use crate::expr::{AggCall, Expr};
use crate::node::{Frame, FrameBound, SortKey, WindowCall, WindowFunction};
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

    fn add_aggregate(&mut self, call: AggCall) -> Expr {
        let ty = call.bound.ty.clone();
        let index = self.aggs.iter().position(|a| same_call(a, &call)).unwrap_or(self.aggs.len());
        if index == self.aggs.len() {
            self.aggs.push(call);
        }
        self.placeholder(AGGREGATES + index, ty)
    }

    fn aggregate_call(&mut self, name: &str, f: &ast::Function, place: Place) -> Result<AggCall> {
        if f.nulls == Some(ast::NullsAction::Respect) {
            return Err(Error::not_implemented(format!("{name}(…) RESPECT NULLS")));
        }
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

    /// `f(…) OVER (…)`.
    pub(super) fn window_call(&mut self, name: &str, f: &ast::Function) -> Result<Expr> {
        if !self.place.windows || self.in_lambda() {
            let text = format!("window function \"{name}\" cannot stand in {}", self.place.name);
            return Err(Error::new(Code::ILLEGAL_AGGREGATION, text));
        }
        let spec = self.window_spec(f, 0)?;
        if self.cx.streaming {
            return self.substream_call(name, f, &spec);
        }
        let before = std::mem::replace(&mut self.place, Place::WINDOW);
        let call = self.window_parts(name, f, &spec);
        self.place = before;
        let call = call?;
        let ty = call.ty.clone();
        self.windows.push(call);
        Ok(Expr::column(WINDOWS + self.windows.len() - 1, ty))
    }

    /// In a stream `agg OVER (PARTITION BY k)` is an aggregate of the substream `k`.
    fn substream_call(&mut self, name: &str, f: &ast::Function, spec: &ast::WindowSpec) -> Result<Expr> {
        let plain = spec.order_by.is_empty() && spec.frame.is_none();
        if plain && matches!(name, "lag" | "lags" | "neighbor" | "row_number") {
            return self.lag_over(name, f, spec);
        }
        if self.b.functions(name).aggregate(name).is_none() || !plain {
            let what = format!(
                "\"{name}\" OVER with an order or a frame, or of a function that is no aggregate, in a streaming query"
            );
            return Err(Error::not_implemented(what));
        }
        let keys = self.over_keys_of(spec)?;
        match &self.over_keys {
            Some(other) if other.len() != keys.len() || !other.iter().zip(&keys).all(|(a, b)| a.is_same(b)) => {
                return Err(Error::not_implemented("OVER with different PARTITION BY keys in a streaming query"));
            }
            _ => self.over_keys = Some(keys),
        }
        let call = self.aggregate_call(name, f, Place::AGGREGATE)?;
        Ok(self.add_aggregate(call))
    }

    /// In a stream `lag(…) OVER (PARTITION BY k)` looks back in the substream `k`; rows are numbered from 1, as elsewhere with
    /// OVER.
    fn lag_over(&mut self, name: &str, f: &ast::Function, spec: &ast::WindowSpec) -> Result<Expr> {
        let keys = self.over_keys_of(spec)?;
        match &self.lag_keys {
            Some(other) if other.len() != keys.len() || !other.iter().zip(&keys).all(|(a, b)| a.is_same(b)) => {
                return Err(Error::not_implemented("OVER with different PARTITION BY keys in a streaming query"));
            }
            None if !self.lags.is_empty() => {
                return Err(Error::not_implemented("lag() and its like with and without OVER in one streaming query"));
            }
            _ => self.lag_keys = Some(keys),
        }
        let call = self.lag(name, f)?;
        match name {
            "row_number" => self.call("plus", vec![call, Expr::literal(Value::UInt(1), LogicalType::UInt8)]),
            _ => Ok(call),
        }
    }

    fn over_keys_of(&mut self, spec: &ast::WindowSpec) -> Result<Vec<Expr>> {
        let before = std::mem::replace(&mut self.place, Place::GROUP_BY);
        let keys = self.bind_all(&spec.partition_by);
        self.place = before;
        keys
    }

    /// The window of a call with the named windows it extends put in.
    fn window_spec(&self, f: &ast::Function, _: usize) -> Result<ast::WindowSpec> {
        let (mut spec, mut base) = match &f.over {
            Some(ast::Over::Name(name)) => (ast::WindowSpec::default(), Some(name.clone())),
            Some(ast::Over::Spec(spec)) => (spec.clone(), spec.base.clone()),
            None => (ast::WindowSpec::default(), None),
        };
        // A chain of names is at most as long as the list of them.
        for _ in 0..=self.named_windows.len() {
            let Some(name) = base.take() else { return Ok(spec) };
            let named = self.named_windows.iter().find(|w| w.name == name);
            let named = named.ok_or_else(|| Error::bad_arguments(format!("window \"{name}\" is unknown")))?;
            if spec.partition_by.is_empty() {
                spec.partition_by.clone_from(&named.spec.partition_by);
            }
            if spec.order_by.is_empty() {
                spec.order_by.clone_from(&named.spec.order_by);
            }
            if spec.frame.is_none() {
                spec.frame.clone_from(&named.spec.frame);
            }
            base.clone_from(&named.spec.base);
        }
        Err(Error::bad_arguments("windows are defined by each other"))
    }

    fn window_parts(&mut self, name: &str, f: &ast::Function, spec: &ast::WindowSpec) -> Result<WindowCall> {
        let partition_by = self.bind_all(&spec.partition_by)?;
        let mut order_by = Vec::with_capacity(spec.order_by.len());
        for item in &spec.order_by {
            order_by.push(self.sort_key(item)?);
        }
        let frame = self.frame(spec.frame.as_ref(), !order_by.is_empty())?;
        let (function, ty) = self.window_function(name, f)?;
        Ok(WindowCall { function, partition_by, order_by, frame, ty })
    }

    fn window_function(&mut self, name: &str, f: &ast::Function) -> Result<(WindowFunction, LogicalType)> {
        let arity = |low: usize, high: usize| {
            if (low..=high).contains(&f.args.len()) {
                return Ok(());
            }
            let text = format!("window function \"{name}\" takes {low} to {high} arguments, given {}", f.args.len());
            Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text))
        };
        let ranking = match name {
            "row_number" => Some(WindowFunction::RowNumber),
            "rank" => Some(WindowFunction::Rank),
            "dense_rank" => Some(WindowFunction::DenseRank),
            _ => None,
        };
        if let Some(function) = ranking {
            arity(0, 0)?;
            return Ok((function, LogicalType::UInt64));
        }
        match name {
            "lag_in_frame" | "lead_in_frame" => {
                arity(1, 3)?;
                let value = self.bind(&f.args[0])?;
                let distance = match f.args.get(1) {
                    Some(n) => self.whole_number(n, name)?,
                    None => 1,
                };
                let default = match f.args.get(2) {
                    Some(d) => {
                        let bound = self.bind(d)?;
                        Some(super::cast::cast_to(bound, &value.ty, self.cx.zone)?)
                    }
                    None => None,
                };
                let offset = if name == "lag_in_frame" { -(distance as i64) } else { distance as i64 };
                let ty = value.ty.clone();
                Ok((WindowFunction::Offset { value, offset, default }, ty))
            }
            "first_value" | "last_value" => {
                arity(1, 1)?;
                let value = self.bind(&f.args[0])?;
                let ty = value.ty.clone();
                let function = if name == "first_value" {
                    WindowFunction::FirstValue(value)
                } else {
                    WindowFunction::LastValue(value)
                };
                Ok((function, ty))
            }
            "nth_value" => {
                arity(2, 2)?;
                let value = self.bind(&f.args[0])?;
                let n = self.whole_number(&f.args[1], name)?;
                let ty = value.ty.clone();
                Ok((WindowFunction::NthValue(value, n), ty))
            }
            _ if self.b.functions(name).aggregate(name).is_some() => {
                let call = self.aggregate_call(name, f, Place::WINDOW)?;
                let ty = call.bound.ty.clone();
                Ok((WindowFunction::Aggregate(call), ty))
            }
            _ => Err(Error::new(Code::UNKNOWN_AGGREGATE_FUNCTION, format!("\"{name}\" is not a window function"))),
        }
    }

    fn whole_number(&mut self, expr: &ast::Expr, name: &str) -> Result<u64> {
        let bound = self.bind(expr)?;
        let value = self.constant_of(&bound)?.and_then(|(v, _)| v.as_u64());
        value.ok_or_else(|| Error::bad_arguments(format!("the count of \"{name}\" must be a constant whole number")))
    }

    fn frame(&mut self, frame: Option<&ast::WindowFrame>, ordered: bool) -> Result<Frame> {
        let Some(frame) = frame else {
            let end = if ordered { FrameBound::CurrentRow } else { FrameBound::UnboundedFollowing };
            return Ok(Frame { rows: false, start: FrameBound::UnboundedPreceding, end });
        };
        let rows = match frame.unit {
            ast::FrameUnit::Rows => true,
            ast::FrameUnit::Range => false,
            ast::FrameUnit::Groups => return Err(Error::not_implemented("a window frame in GROUPS")),
        };
        let start = self.frame_bound(&frame.start)?;
        let end = match &frame.end {
            Some(end) => self.frame_bound(end)?,
            None => FrameBound::CurrentRow,
        };
        if matches!(start, FrameBound::UnboundedFollowing) || matches!(end, FrameBound::UnboundedPreceding) {
            return Err(Error::bad_arguments("a window frame must start before it ends"));
        }
        Ok(Frame { rows, start, end })
    }

    fn frame_bound(&mut self, bound: &ast::FrameBound) -> Result<FrameBound> {
        Ok(match bound {
            ast::FrameBound::CurrentRow => FrameBound::CurrentRow,
            ast::FrameBound::UnboundedPreceding => FrameBound::UnboundedPreceding,
            ast::FrameBound::UnboundedFollowing => FrameBound::UnboundedFollowing,
            ast::FrameBound::Preceding(n) => FrameBound::Preceding(self.whole_number(n, "a window frame")?),
            ast::FrameBound::Following(n) => FrameBound::Following(self.whole_number(n, "a window frame")?),
        })
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
