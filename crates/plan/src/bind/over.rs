//! Window function calls: `f(…) OVER (…)`.
//!
//! In: a call, the named windows of its SELECT. Out: a placeholder for the column of its answers. Promise: the frame is whole: its
//! bounds are in the unit of the key that orders the partition, and do not cross.

use super::aggregate::respecting_nulls;
use super::cast::cast_to;
use super::expr::{Exprs, Place, WINDOWS};
use super::window_source::interval_ticks;
use crate::expr::Expr;
use crate::node::{Frame, FrameBound, FrameUnit, Interval, NullValues, SortKey, WindowCall, WindowFunction};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast;
use hydron_types::physical::{arrow_type, digits_of_unit};
use hydron_types::{IntervalUnit, LogicalType, Value};

/// Frames reach no further than this from their row.
const OFFSET_MAX: u64 = i64::MAX as u64;

impl Exprs<'_> {
    /// `f(…) OVER (…)`.
    pub(super) fn window_call(&mut self, name: &str, f: &ast::Function) -> Result<Expr> {
        if !self.place.windows || self.in_lambda() {
            let text = format!("window function \"{name}\" cannot stand in {}", self.place.name);
            return Err(Error::new(Code::ILLEGAL_AGGREGATION, text));
        }
        let spec = self.window_spec(f)?;
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
    fn window_spec(&self, f: &ast::Function) -> Result<ast::WindowSpec> {
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
        let frame = self.frame(spec.frame.as_ref(), &order_by)?;
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
            "row_number" => Some((WindowFunction::RowNumber, LogicalType::UInt64)),
            "rank" => Some((WindowFunction::Rank, LogicalType::UInt64)),
            "dense_rank" => Some((WindowFunction::DenseRank, LogicalType::UInt64)),
            "percent_rank" => Some((WindowFunction::PercentRank, LogicalType::Float64)),
            "cume_dist" => Some((WindowFunction::CumeDist, LogicalType::Float64)),
            _ => None,
        };
        if let Some((function, ty)) = ranking {
            arity(0, 0)?;
            return Ok((function, ty));
        }
        let nulls = match f.nulls {
            Some(ast::NullsAction::Respect) => NullValues::Respected,
            _ => NullValues::Skipped,
        };
        match name {
            "ntile" => {
                arity(1, 1)?;
                let parts = self.whole_number(&f.args[0], name)?;
                if parts == 0 {
                    return Err(Error::bad_arguments("\"ntile\" makes at least one part"));
                }
                Ok((WindowFunction::Ntile(parts), LogicalType::UInt64))
            }
            "lag_in_frame" | "lead_in_frame" | "lag" | "lead" => {
                arity(1, 3)?;
                self.neighbor(name, f)
            }
            "non_negative_derivative" => {
                arity(2, 3)?;
                self.derivative(f)
            }
            "nth_value" => {
                arity(2, 2)?;
                let value = self.bind(&f.args[0])?;
                let n = self.distance(&f.args[1], 1, "the row of \"nth_value\"")?;
                let ty = value.ty.clone();
                Ok((WindowFunction::NthValue(value, n), ty))
            }
            "first_value" | "earliest" | "last_value" | "latest" if f.args.len() == 1 && f.filter.is_none() => {
                let value = self.bind(&f.args[0])?;
                let ty = match &value.ty {
                    LogicalType::LowCardinality(inner) => (**inner).clone(),
                    ty => ty.clone(),
                };
                let value = cast_to(value, &ty, self.cx.zone)?;
                let function = match name {
                    "first_value" | "earliest" => WindowFunction::FirstValue(value, nulls),
                    _ => WindowFunction::LastValue(value, nulls),
                };
                Ok((function, ty))
            }
            _ if self.b.functions(name).aggregate(name).is_some() => {
                if nulls == NullValues::Respected {
                    respecting_nulls(name)?;
                }
                let call = self.aggregate_call(name, f, Place::WINDOW)?;
                let ty = call.bound.ty.clone();
                Ok((WindowFunction::Aggregate(call), ty))
            }
            _ => Err(Error::new(Code::UNKNOWN_AGGREGATE_FUNCTION, format!("\"{name}\" is not a window function"))),
        }
    }

    /// `lag_in_frame(x[, distance[, default]])` and its like.
    fn neighbor(&mut self, name: &str, f: &ast::Function) -> Result<(WindowFunction, LogicalType)> {
        let value = self.bind(&f.args[0])?;
        let distance = match f.args.get(1) {
            Some(n) => self.distance(n, 0, &format!("the distance of \"{name}\""))?,
            None => Expr::literal(Value::Int(1), LogicalType::Int64),
        };
        let default = match f.args.get(2) {
            Some(d) => {
                let bound = self.bind(d)?;
                let from = bound.ty.clone();
                let is_text = |t: &LogicalType| matches!(t.bare(), LogicalType::String | LogicalType::FixedString(_));
                let fits = is_text(&from) == is_text(&value.ty) || *from.bare() == LogicalType::Nothing;
                let cast = if fits { cast_to(bound, &value.ty, self.cx.zone).ok() } else { None };
                Some(cast.ok_or_else(|| {
                    let text = format!("the default of \"{name}\" is of type {from} and no value of {}", value.ty);
                    Error::bad_arguments(text)
                })?)
            }
            None => None,
        };
        let ty = value.ty.clone();
        let (back, in_frame) = (name.starts_with("lag"), name.ends_with("_in_frame"));
        Ok((WindowFunction::Offset { value, distance, back, default, in_frame }, ty))
    }

    /// `non_negative_derivative(metric, time[, interval])`.
    fn derivative(&mut self, f: &ast::Function) -> Result<(WindowFunction, LogicalType)> {
        let metric = self.bind(&f.args[0])?;
        let time = self.bind(&f.args[1])?;
        if !(metric.ty.is_number() || matches!(metric.ty, LogicalType::Decimal { .. } | LogicalType::Bool)) {
            let text = format!("the metric of \"non_negative_derivative\" is no number but {}", metric.ty);
            return Err(Error::bad_arguments(text));
        }
        if !matches!(time.ty, LogicalType::DateTime(_) | LogicalType::DateTime64(..)) {
            let text = format!("the time of \"non_negative_derivative\" is no time but {}", time.ty);
            return Err(Error::bad_arguments(text));
        }
        let interval = match f.args.get(2) {
            Some(interval) => self.interval(interval)?,
            None => Interval { count: 1, unit: IntervalUnit::Second },
        };
        let nanoseconds = interval.unit.nanoseconds().ok_or_else(|| {
            Error::bad_arguments(format!("an interval of {}s has no fixed length", interval.unit.name()))
        })?;
        let float = |x: &mut Self, e: Expr| cast_to(e, &LogicalType::Float64, x.cx.zone);
        let function = WindowFunction::Derivative {
            metric: float(self, metric)?,
            seconds: float(self, time)?,
            unit_seconds: nanoseconds as f64 * interval.count as f64 / 1e9,
        };
        Ok((function, LogicalType::Float64))
    }

    /// A count of rows as int64, which may differ from row to row. Errors: BAD_ARGUMENTS (36) for a constant below `least`.
    fn distance(&mut self, expr: &ast::Expr, least: i64, what: &str) -> Result<Expr> {
        let bound = self.bind(expr)?;
        let wrong = || Error::bad_arguments(format!("{what} must be a whole number, at least {least}"));
        if let Some((value, _)) = self.constant_of(&bound)? {
            let n = value.as_i64().filter(|n| *n >= least).ok_or_else(wrong)?;
            return Ok(Expr::literal(Value::Int(n), LogicalType::Int64));
        }
        if !bound.ty.is_integer() {
            return Err(wrong());
        }
        cast_to(bound, &LogicalType::Int64, self.cx.zone)
    }

    fn whole_number(&mut self, expr: &ast::Expr, name: &str) -> Result<u64> {
        let bound = self.bind(expr)?;
        let value = self.constant_of(&bound)?.and_then(|(v, _)| v.as_u64());
        value.ok_or_else(|| Error::bad_arguments(format!("the count of \"{name}\" must be a constant whole number")))
    }

    fn frame(&mut self, frame: Option<&ast::WindowFrame>, order_by: &[SortKey]) -> Result<Frame> {
        let Some(frame) = frame else {
            let end = if order_by.is_empty() { FrameBound::UnboundedFollowing } else { FrameBound::CurrentRow };
            return Ok(Frame { unit: FrameUnit::Range, start: FrameBound::UnboundedPreceding, end });
        };
        let unit = match frame.unit {
            ast::FrameUnit::Rows => FrameUnit::Rows,
            ast::FrameUnit::Range => FrameUnit::Range,
            ast::FrameUnit::Groups => FrameUnit::Groups,
        };
        let start = self.frame_bound(&frame.start, unit, order_by)?;
        let end = match &frame.end {
            Some(end) => self.frame_bound(end, unit, order_by)?,
            None => FrameBound::CurrentRow,
        };
        let frame = Frame { unit, start, end };
        if starts_behind_end(&frame) {
            return Err(Error::bad_arguments("a window frame must start before it ends"));
        }
        Ok(frame)
    }

    fn frame_bound(&mut self, bound: &ast::FrameBound, unit: FrameUnit, order_by: &[SortKey]) -> Result<FrameBound> {
        Ok(match bound {
            ast::FrameBound::CurrentRow => FrameBound::CurrentRow,
            ast::FrameBound::UnboundedPreceding => FrameBound::UnboundedPreceding,
            ast::FrameBound::UnboundedFollowing => FrameBound::UnboundedFollowing,
            ast::FrameBound::Preceding(n) => FrameBound::Preceding(self.frame_offset(n, unit, order_by)?),
            ast::FrameBound::Following(n) => FrameBound::Following(self.frame_offset(n, unit, order_by)?),
        })
    }

    fn frame_offset(&mut self, expr: &ast::Expr, unit: FrameUnit, order_by: &[SortKey]) -> Result<Value> {
        if unit != FrameUnit::Range {
            let n = self.whole_number(expr, "a window frame")?;
            if n > OFFSET_MAX {
                return Err(Error::bad_arguments(format!("a window frame reaches at most {OFFSET_MAX} rows")));
            }
            return Ok(Value::UInt(n));
        }
        let [SortKey { expr: key, .. }] = order_by else {
            let text = "a RANGE frame with an offset needs exactly one expression in its ORDER BY";
            return Err(Error::bad_arguments(text));
        };
        let ty = key.ty.bare().clone();
        let bound = self.bind(expr)?;
        let constant = self.constant_of(&bound)?;
        let (value, of) = constant.ok_or_else(|| Error::bad_arguments("the offset of a window frame is constant"))?;
        range_offset(&value, &of, &ty)
    }
}

/// `value` as a distance between two values of the key type `ty`.
fn range_offset(value: &Value, of: &LogicalType, ty: &LogicalType) -> Result<Value> {
    let digits = match (ty, arrow_type(ty)) {
        (LogicalType::DateTime(_) | LogicalType::DateTime64(..), arrow::datatypes::DataType::Timestamp(unit, _)) => {
            Some(digits_of_unit(unit))
        }
        _ => None,
    };
    let is_date = matches!(ty, LogicalType::Date | LogicalType::Date32);
    let is_whole = ty.is_integer() && ty.bits().is_none_or(|b| b <= 64);
    let decimal = match ty {
        LogicalType::Decimal { scale, precision } if *precision <= 38 => Some(*scale),
        _ => None,
    };
    if !(is_whole || is_date || digits.is_some() || decimal.is_some() || ty.is_float()) {
        return Err(Error::not_implemented(format!("a RANGE frame with an offset over a key of type {ty}")));
    }
    let wrong = |why: &str| Error::bad_arguments(format!("the offset of a RANGE frame over {ty} {why}"));
    let out_of_bound =
        |why: &str| Error::new(Code::ARGUMENT_OUT_OF_BOUND, format!("the offset of a RANGE frame over {ty} {why}"));
    let negative = || wrong("must not be below 0");
    if let (LogicalType::Interval(unit), Value::Int(count)) = (of.bare(), value) {
        let ticks = match (is_date, digits) {
            (true, _) => {
                let day = 86_400;
                let seconds = interval_ticks(Interval { count: *count, unit: *unit }, 0);
                seconds.filter(|s| s % day == 0).map(|s| s / day)
            }
            (_, Some(digits)) => interval_ticks(Interval { count: *count, unit: *unit }, digits),
            _ => return Err(wrong("cannot be an interval")),
        };
        let ticks =
            ticks.ok_or_else(|| wrong("must be an interval of so many whole units, months have no fixed length"))?;
        return if ticks < 0 { Err(negative()) } else { Ok(Value::Int(ticks)) };
    }
    if ty.is_float() {
        let n = value.as_f64().or_else(|| value.as_i64().map(|n| n as f64)).ok_or_else(|| wrong("must be a number"))?;
        return if n >= 0.0 { Ok(Value::Float64(n)) } else { Err(negative()) };
    }
    if let Some(scale) = decimal {
        let n = value.as_f64().or_else(|| value.as_i64().map(|n| n as f64)).ok_or_else(|| wrong("must be a number"))?;
        let ticks = n * 10_f64.powi(i32::from(scale));
        return if ticks >= 0.0 { Ok(Value::Int(ticks.round() as i64)) } else { Err(negative()) };
    }
    let whole = match value {
        Value::UInt(n) => i128::from(*n),
        Value::Int(n) => i128::from(*n),
        Value::Float64(n) if n.fract() == 0.0 => *n as i128,
        Value::Float64(_) => return Err(out_of_bound("must be a whole number")),
        _ => return Err(wrong("must be a whole number")),
    };
    if whole < 0 {
        return Err(negative());
    }
    // What no distance of the type reaches is a mistake, as for a value of it.
    let most = match ty.bits() {
        Some(bits) if is_whole => (1_i128 << bits) - 1,
        _ => i128::from(i64::MAX),
    };
    if whole > most {
        return Err(out_of_bound("does not fit into its type"));
    }
    let scaled = whole.saturating_mul(10_i128.pow(u32::from(digits.unwrap_or(0))));
    Ok(i64::try_from(scaled).map_or_else(|_| Value::UInt(u64::try_from(scaled).unwrap_or(u64::MAX)), Value::Int))
}

/// Whether no row can be between the bounds, whatever the rows are.
fn starts_behind_end(frame: &Frame) -> bool {
    use FrameBound as B;
    let less = |a: &Value, b: &Value| match (a, b) {
        (Value::Float64(a), Value::Float64(b)) => a < b,
        (a, b) => whole(a) < whole(b),
    };
    match (&frame.start, &frame.end) {
        (B::UnboundedFollowing, _) | (_, B::UnboundedPreceding) => true,
        (B::CurrentRow, B::Preceding(_)) | (B::Following(_), B::CurrentRow | B::Preceding(_)) => true,
        (B::Preceding(start), B::Preceding(end)) => less(start, end),
        (B::Following(start), B::Following(end)) => less(end, start),
        _ => false,
    }
}

fn whole(value: &Value) -> i128 {
    match value {
        Value::UInt(n) => i128::from(*n),
        Value::Int(n) => i128::from(*n),
        _ => 0,
    }
}
