//! Calls: which function a name means here, its arguments, and what is known of the result before any row.

use super::cast::cast_to;
use super::dictionary::is_dictionary_function;
use super::expr::{ARRAY_JOINS, EMIT_VERSION, Exprs, Place};
use super::literal::retype_number;
use crate::expr::{Expr, ExprKind};
use hydron_base::{Code, Error, Result};
use hydron_func::{ArgInfo, Registry, Volatility};
use hydron_sql::ast;
use hydron_types::column::value_at;
use hydron_types::physical::arrow_type;
use hydron_types::{LogicalType, Value, parse_type};
use std::sync::Arc;

/// Calls that stay calls even when all arguments are constant: what they do, or that they are there, matters.
const NEVER_FOLDED: &[&str] =
    &["materialize", "throw_if", "sleep", "sleep_each_row", "earliest_ts", "earliest_timestamp", "trap"];

/// Calls that ask for the time of the query, or for one number of it: one answer in history.
const ASK_TIME: &[&str] = &[
    "now",
    "now64",
    "today",
    "yesterday",
    "current_timestamp",
    "utc_timestamp",
    "current_date",
    "now_in_block",
    "rand_constant",
];

/// A constant larger than this is computed again for each batch rather than kept in the plan.
const FOLDED_BYTES_MAX: usize = 4 << 20;

impl Exprs<'_> {
    pub(super) fn function(&mut self, f: &ast::Function) -> Result<Expr> {
        let b = self.b;
        let registry = b.functions(&f.name);
        let name = registry.canonical(&f.name);
        let name = &*name;
        if f.over.is_some() {
            return self.window_call(name, f);
        }
        match name {
            "in" | "not_in" | "global_in" | "global_not_in" => return self.membership(name, f),
            "and" | "or" => return self.connective(name, f),
            "cast" | "_cast" => return self.cast(f),
            "if" if f.args.len() == 3 => {
                // A condition that is written as a constant leaves one branch, of its own type.
                if let ast::ExprKind::Literal(condition) = &f.args[0].kind
                    && let Some(holds) = written_truth(condition)
                {
                    return self.bind(&f.args[if holds { 1 } else { 2 }]);
                }
            }
            "array_join" => return self.array_join(f),
            "case_with_expression" | "case_without_expression" => return self.case(name, f),
            "emit_version" => return self.version(f),
            "lag" | "lags" | "row_number" => return self.plain_lag(name, f),
            "neighbor" if self.cx.streaming => return self.plain_lag(name, f),
            name if is_dictionary_function(name) => return self.dictionary(name, f),
            "join_get" | "join_get_or_null" => return self.join_get(name, f),
            "grouping" => return self.grouping(f),
            "untuple" => return Err(Error::not_implemented("untuple() inside an expression")),
            _ => {}
        }
        if registry.aggregate(name).is_some() && registry.scalar(name).is_none() {
            return self.aggregate(name, f);
        }
        if registry.scalar(name).is_some() {
            return self.scalar(name, f);
        }
        self.other_function(f)
    }

    /// A call of bound arguments, none of them a lambda.
    pub(super) fn call(&mut self, name: &str, args: Vec<Expr>) -> Result<Expr> {
        let args = adapt(name, args, self)?;
        self.bind_call(name, args, &[])
    }

    /// Binds types; folds what is constant.
    fn bind_call(&mut self, name: &str, args: Vec<Expr>, texts: &[Arc<str>]) -> Result<Expr> {
        let b = self.b;
        let registry = b.functions(name);
        let name = registry.canonical(name);
        let name = &*name;
        let args = if matches!(name, "if" | "multi_if") { self.branches_with_zeros(name, args)? } else { args };
        let bind = |args: &[Expr]| {
            let infos: Vec<ArgInfo> = args.iter().enumerate().map(|(i, a)| arg_info(a, texts.get(i))).collect();
            registry.bind_scalar(name, &self.cx, &infos)
        };
        let mut args = args;
        let mut bound = bind(&args)?;
        if matches!(name, "if" | "multi_if") {
            args = branches_alike(name, args, &bound.ty, self)?;
            bound = bind(&args)?;
        }
        if bound.volatility == Volatility::Stateful {
            self.stateful.get_or_insert_with(|| Arc::from(name));
        }
        let kind = ExprKind::Call { name: Arc::from(name), kernel: bound.kernel, args, volatility: bound.volatility };
        self.fold(Expr { kind, ty: bound.ty })
    }

    /// Beside a string a fixed string is one with the zeros that fill it up, as ClickHouse has it; a cast would drop them.
    fn branches_with_zeros(&mut self, name: &str, mut args: Vec<Expr>) -> Result<Vec<Expr>> {
        let last = args.len().saturating_sub(1);
        let is_branch = |i: usize| i % 2 == 1 || i == last;
        let is = |a: &Expr, ty: fn(&LogicalType) -> bool| ty(a.ty.bare());
        let branches = || args.iter().enumerate().filter(|(i, _)| is_branch(*i)).map(|(_, a)| a.ty.bare());
        let beside_string = branches().any(|t| matches!(t, LogicalType::String));
        // Those of two lengths are strings together.
        let lengths: std::collections::BTreeSet<u32> = branches()
            .filter_map(|t| match t {
                LogicalType::FixedString(n) => Some(*n),
                _ => None,
            })
            .collect();
        if !beside_string && (lengths.len() < 2 || name == "multi_if") {
            return Ok(args);
        }
        for (i, arg) in args.iter_mut().enumerate() {
            if is_branch(i) && is(arg, |t| matches!(t, LogicalType::FixedString(_))) {
                let empty = Expr::literal(Value::string(""), LogicalType::String);
                *arg = self.bind_call("concat", vec![arg.clone(), empty], &[])?;
            }
        }
        Ok(args)
    }

    /// The value of a call that every row gives alike, if it has one.
    pub(super) fn fold(&self, call: Expr) -> Result<Expr> {
        let ExprKind::Call { name, args, volatility, .. } = &call.kind else { return Ok(call) };
        let known = match volatility {
            Volatility::Immutable => !NEVER_FOLDED.contains(&&**name),
            Volatility::Stable => !self.cx.streaming && ASK_TIME.contains(&&**name),
            _ => false,
        };
        if !known || !args.iter().all(is_constant) {
            return Ok(call);
        }
        let array = call.eval_to_array_columns(&self.b.now, &[], 1)?;
        if array.get_array_memory_size() > FOLDED_BYTES_MAX {
            return Ok(call);
        }
        Ok(Expr::literal(value_at(&array, &call.ty, 0), call.ty))
    }

    fn scalar(&mut self, name: &str, f: &ast::Function) -> Result<Expr> {
        if f.distinct || f.filter.is_some() {
            let text = format!("\"{name}\" is not an aggregate function, so it takes no DISTINCT and no FILTER");
            return Err(Error::new(Code::UNKNOWN_AGGREGATE_FUNCTION, text));
        }
        let expanded = self.expand_asterisks(&f.args)?;
        let list: &[ast::Expr] = expanded.as_deref().unwrap_or(&f.args);
        // Only what is written out needs the whole names of its arguments.
        let named = matches!(name, "format_row" | "format_row_no_newline");
        let text = |e: &ast::Expr| if named { Arc::from(e.canonical_name()) } else { leaf_text(e) };
        let texts: Vec<Arc<str>> = list.iter().map(text).collect();
        let mut lambdas: Vec<Option<ast::Lambda>> = Vec::with_capacity(list.len());
        let mut args: Vec<Option<Expr>> = Vec::with_capacity(list.len());
        for arg in list {
            let lambda = match &arg.kind {
                ast::ExprKind::Lambda(lambda) => Some((**lambda).clone()),
                _ => self.lambda_alias(arg).cloned(),
            };
            args.push(if lambda.is_some() { None } else { Some(self.bind(arg)?) });
            lambdas.push(lambda);
        }
        if lambdas.iter().any(Option::is_some) {
            self.lambda_args(name, &lambdas, &mut args)?;
        }
        let args: Vec<Expr> = args.into_iter().flatten().collect();
        if name == "tuple_element"
            && let [document, step] = args.as_slice()
            && super::json::holds_json(&document.ty)
            && let Some(step) = step.as_literal().and_then(Value::as_bytes)
        {
            let step = String::from_utf8_lossy(step).into_owned();
            let json = self.json_of(document);
            return self.json_subcolumn(document.clone(), &[step], json.as_deref());
        }
        let args = adapt(name, args, self)?;
        self.bind_call(name, args, &texts)
    }

    fn lambda_args(&mut self, name: &str, lambdas: &[Option<ast::Lambda>], args: &mut [Option<Expr>]) -> Result<()> {
        let b = self.b;
        let registry = b.functions(name);
        let function = registry.scalar(name).ok_or_else(|| registry.unknown_function(name))?;
        let types: Vec<Option<LogicalType>> =
            args.iter().map(|a| a.as_ref().map(|e| e.ty.without_low_cardinality().clone())).collect();
        for (position, lambda) in lambdas.iter().enumerate() {
            if let Some(lambda) = lambda {
                let params = function.lambda_params(position, &types)?;
                args[position] = Some(self.lambda(lambda, &params)?);
            }
        }
        Ok(())
    }

    /// AND and OR take any number of conditions; the same operator below is one list, so that no length is deep.
    fn connective(&mut self, name: &str, f: &ast::Function) -> Result<Expr> {
        if f.args.is_empty() {
            let text = format!("\"{name}\" takes at least 2 arguments, given 0");
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
        }
        let mut args = Vec::with_capacity(f.args.len());
        for arg in &f.args {
            let bound = self.bind(arg)?;
            args.push(self.condition_argument(bound, name, args.len())?);
        }
        if args.len() == 1 {
            let text = format!("\"{name}\" takes at least 2 arguments, given 1");
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
        }
        self.bind_call(name, args, &[])
    }

    fn condition_argument(&self, arg: Expr, name: &str, position: usize) -> Result<Expr> {
        let ty = arg.ty.clone();
        self.truth(arg, name).map_err(|_| {
            let text = format!("argument {} of \"{name}\" is of type {ty} instead of a number or bool", position + 1);
            Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, text)
        })
    }

    /// CASE: `multi_if`, with the comparisons written out.
    fn case(&mut self, name: &str, f: &ast::Function) -> Result<Expr> {
        let mut args = self.bind_all(&f.args)?;
        if name == "case_with_expression" {
            if args.len() < 4 || args.len() % 2 != 0 {
                return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, "CASE needs WHEN and THEN"));
            }
            let value = args.remove(0);
            for i in (0..args.len() - 1).step_by(2) {
                let when = std::mem::replace(&mut args[i], Expr::literal(Value::Null, LogicalType::Nothing));
                args[i] = self.call("equals", vec![value.clone(), when])?;
            }
        }
        self.call("multi_if", args)
    }

    fn cast(&mut self, f: &ast::Function) -> Result<Expr> {
        let [value, ty] = f.args.as_slice() else {
            let text = format!("\"cast\" takes 2 arguments, given {}", f.args.len());
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
        };
        let value = self.bind(value)?;
        let name = self.bind(ty)?;
        let Some(Value::Bytes(name)) = name.as_literal() else {
            let text = "the second argument of \"cast\" must be a constant string that names a type";
            return Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, text));
        };
        let mut to = parse_type(&String::from_utf8_lossy(name))?;
        if self.cx.settings.bool("cast_keep_nullable") && value.ty.is_nullable() && !to.is_nullable() {
            to = hydron_types::parse::nullable(to)?;
        }
        if value.ty == LogicalType::Nothing && !to.is_nullable() {
            let text = format!("NULL cannot be converted to {to}, which is not nullable");
            return Err(Error::new(Code::CANNOT_CONVERT_TYPE, text).hint(format!("nullable({to})")));
        }
        let address = matches!(to.bare(), LogicalType::Ipv4 | LogicalType::Ipv6) && value.ty.bare().is_string_like();
        if address && self.cx.settings.bool("cast_ipv4_ipv6_default_on_conversion_error") {
            let name = if *to.bare() == LogicalType::Ipv4 { "to_ipv4" } else { "to_ipv6" };
            let value = self.call(name, vec![value])?;
            return cast_to(value, &to, self.cx.zone);
        }
        cast_to(value, &to, self.cx.zone)
    }

    /// `array_join(a)`: a placeholder for the element; the same array is joined once.
    fn array_join(&mut self, f: &ast::Function) -> Result<Expr> {
        let [arg] = f.args.as_slice() else {
            let text = format!("\"array_join\" takes 1 argument, given {}", f.args.len());
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
        };
        if self.in_lambda() && self.reads_lambda(arg) {
            return Err(Error::bad_arguments("\"array_join\" of a lambda's argument cannot stand inside the lambda"));
        }
        if let Some(code) = self.place.array_join {
            return Err(Error::new(code, format!("\"array_join\" cannot stand in {}", self.place.name)));
        }
        // Rows are multiplied before any lambda sees them.
        let array = self.outside_lambdas(|x| x.bind(arg))?;
        let (array, element) = self.array_of_rows(array)?;
        let index = self.array_joins.iter().position(|a| a.is_same(&array)).unwrap_or(self.array_joins.len());
        if index == self.array_joins.len() {
            self.array_joins.push(array);
        }
        Ok(self.placeholder(ARRAY_JOINS + index, element))
    }

    /// A value whose elements can become rows, as an array, with the type of the elements.
    ///
    /// Errors: TYPE_MISMATCH (53) for anything but arrays and maps.
    pub(super) fn array_of_rows(&mut self, value: Expr) -> Result<(Expr, LogicalType)> {
        match value.ty.bare().clone() {
            LogicalType::Array(element) => Ok((value, *element)),
            LogicalType::Map(k, v) => {
                let pairs = LogicalType::array(LogicalType::tuple([(*k).clone(), (*v).clone()]));
                let element = LogicalType::tuple([*k, *v]);
                Ok((cast_to(value, &pairs, self.cx.zone)?, element))
            }
            other => Err(Error::new(Code::TYPE_MISMATCH, format!("ARRAY JOIN needs an array or a map, not {other}"))),
        }
    }

    fn version(&mut self, f: &ast::Function) -> Result<Expr> {
        if !f.args.is_empty() {
            let text = format!("\"emit_version\" takes no arguments, given {}", f.args.len());
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
        }
        if !self.cx.streaming {
            return Err(Error::new(Code::UNSUPPORTED, "\"emit_version\" needs a streaming aggregation"));
        }
        self.emit_version = true;
        Ok(self.placeholder(EMIT_VERSION, LogicalType::Int64))
    }

    /// A function of CREATE FUNCTION, a lambda under an alias, or an unknown name.
    /// What is wrong with the arguments of an unknown function, names and subqueries, is said before that it is unknown.
    fn check_arguments(&mut self, f: &ast::Function) -> Result<()> {
        let wrong = f.args.iter().find_map(|arg| match arg.kind {
            ast::ExprKind::Identifier(_) | ast::ExprKind::Subquery(_) => self.bind(arg).err(),
            _ => None,
        });
        wrong.filter(|e| e.code != Code::UNKNOWN_FUNCTION).map_or(Ok(()), Err)
    }

    fn other_function(&mut self, f: &ast::Function) -> Result<Expr> {
        let by_alias = self.lambda_alias(&ast::Expr::column(&*f.name)).cloned();
        let lambda = match by_alias {
            Some(lambda) => lambda,
            None => {
                let Some(text) = self.b.catalog.sql_function(&f.name) else {
                    self.check_arguments(f)?;
                    return Err(Registry::builtin().unknown_function(&f.name));
                };
                match hydron_sql::parse_expression(&text)?.kind {
                    ast::ExprKind::Lambda(lambda) => *lambda,
                    _ => return Err(Error::bug(format!("function \"{}\" is not stored as a lambda", f.name))),
                }
            }
        };
        if lambda.params.len() != f.args.len() {
            let text =
                format!("function \"{}\" takes {} arguments, given {}", f.name, lambda.params.len(), f.args.len());
            return Err(Error::new(Code::UNSUPPORTED_METHOD, text));
        }
        let body = lambda.body.map(&mut |e| {
            let argument =
                e.as_identifier().and_then(|i| i.single()).and_then(|n| lambda.params.iter().position(|p| p == n));
            match argument {
                Some(i) => f.args[i].clone(),
                None => e,
            }
        });
        self.bind(&body)
    }

    /// A constant: evaluated now, time included.
    pub(super) fn constant(&mut self, expr: &ast::Expr) -> Result<Option<(Value, LogicalType)>> {
        let bound = self.bind_in(expr, Place::CONSTANT)?;
        self.constant_of(&bound)
    }

    /// The value of a bound expression that reads no column.
    pub(super) fn constant_of(&self, bound: &Expr) -> Result<Option<(Value, LogicalType)>> {
        if let Some(value) = bound.as_literal() {
            return Ok(Some((value.clone(), bound.ty.clone())));
        }
        let mut columns = false;
        bound.columns(&mut |_| columns = true);
        if columns || bound.volatility() >= Volatility::Volatile {
            return Ok(None);
        }
        let array = bound.eval_to_array_columns(&self.b.now, &[], 1)?;
        Ok(Some((value_at(&array, &bound.ty, 0), bound.ty.clone())))
    }
}

/// What a literal means as a condition; `None` for one that is no condition.
fn written_truth(literal: &ast::Literal) -> Option<bool> {
    match literal {
        ast::Literal::Null => Some(false),
        ast::Literal::Bool(b) => Some(*b),
        ast::Literal::UInt(n) => Some(*n != 0),
        _ => None,
    }
}

/// A constant, or a lambda that reads nothing but its parameters.
fn is_constant(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Literal(_) => true,
        ExprKind::Lambda { captures, body, .. } => captures.is_empty() && body.volatility() == Volatility::Immutable,
        _ => false,
    }
}

pub(super) fn arg_info(expr: &Expr, text: Option<&Arc<str>>) -> ArgInfo {
    let lambda_params = match &expr.kind {
        ExprKind::Lambda { params, .. } => Some(params.len()),
        _ => None,
    };
    let text = text.map_or_else(|| Arc::from(""), Arc::clone);
    ArgInfo { ty: expr.ty.clone(), constant: expr.as_literal().cloned(), lambda_params, text }
}

/// The text of a leaf, for messages; longer arguments are not spelled out, which would cost their length at each level.
fn leaf_text(expr: &ast::Expr) -> Arc<str> {
    match &expr.kind {
        ast::ExprKind::Identifier(name) => Arc::from(name.full()),
        ast::ExprKind::Literal(_) => Arc::from(expr.canonical_name()),
        _ => Arc::from(""),
    }
}

/// Branches of `if` as values of the result and its conditions as bools, so that the evaluator may choose rows.
fn branches_alike(name: &str, args: Vec<Expr>, ty: &LogicalType, x: &Exprs<'_>) -> Result<Vec<Expr>> {
    let last = args.len().saturating_sub(1);
    args.into_iter()
        .enumerate()
        .map(|(i, a)| {
            if i % 2 == 0 && i < last {
                x.truth(a, name)
            } else if (arrow_type(&a.ty) != arrow_type(ty) || another_time(&a.ty, ty))
                && !matches!(ty, LogicalType::Nothing)
            {
                let to = if a.ty.is_nullable() { ty.clone() } else { not_null(ty) };
                cast_to(a, &to, x.cx.zone)
            } else {
                Ok(a)
            }
        })
        .collect()
}

/// A time that shows in another way than a time of the same layout.
fn another_time(a: &LogicalType, b: &LogicalType) -> bool {
    a.bare().is_date_or_time() && b.bare().is_date_or_time() && a.bare() != b.bare()
}

fn not_null(ty: &LogicalType) -> LogicalType {
    match ty {
        LogicalType::Nullable(t) => (**t).clone(),
        t => t.clone(),
    }
}

/// Constants beside a column take its type where that changes nothing: a number that the column's type holds, a text that
/// reads as a date, an id or an enum. Both runtimes then compare plain columns with plain constants.
fn adapt(name: &str, mut args: Vec<Expr>, x: &Exprs<'_>) -> Result<Vec<Expr>> {
    if matches!(name, "if" | "multi_if") {
        let last = args.len().saturating_sub(1);
        for (i, arg) in args.iter_mut().enumerate() {
            let condition = i % 2 == 0 && i < last;
            if condition && (arg.ty.bare().is_number() || *arg.ty.bare() == LogicalType::Nothing) {
                *arg = x.truth(arg.clone(), name)?;
            }
        }
        return Ok(args);
    }
    let comparison =
        matches!(name, "equals" | "not_equals" | "less" | "less_or_equals" | "greater" | "greater_or_equals");
    if !comparison || args.len() != 2 {
        return Ok(args);
    }
    for i in 0..2 {
        let other = args[1 - i].ty.bare().clone();
        let both = args[1 - i].as_literal().is_some();
        let text = args[i].ty == LogicalType::String;
        let Some(value) = args[i].as_literal().filter(|v| (text || !both) && !v.is_null()) else { continue };
        if let Value::Bytes(text) = value
            && args[i].ty == LogicalType::String
            && other.is_number()
        {
            let number = cast_to(args[i].clone(), &other, x.cx.zone).map_err(|_| no_number(text, &other))?;
            if other.is_integer() && !args[1 - i].ty.is_nullable() && is_beyond(text, &other) {
                // A number that the other side cannot hold is different from all it holds, and has no order with them.
                let sides = if name.starts_with("greater") { [0, 1] } else { [1, 0] };
                return Ok(sides.map(|v| Expr::literal(Value::UInt(v), LogicalType::UInt8)).to_vec());
            }
            args[i] = number;
            continue;
        }
        let same = match value {
            Value::Int(_) | Value::UInt(_) if args[i].ty.is_integer() => retype_number(value, &other),
            Value::Bytes(_) if args[i].ty == LogicalType::String && reads_text(&other) => {
                cast_to(args[i].clone(), &other, x.cx.zone).ok().and_then(|e| e.as_literal().cloned())
            }
            _ => None,
        };
        if let Some(value) = same {
            args[i] = Expr::literal(value, other);
        }
    }
    Ok(args)
}

/// Whether `text` is a whole number that the integers of `ty` do not reach.
fn is_beyond(text: &[u8], ty: &LogicalType) -> bool {
    let Some(number) = std::str::from_utf8(text).ok().and_then(|t| t.parse::<i128>().ok()) else { return false };
    match (ty.bits(), ty.is_signed_integer()) {
        (Some(bits @ ..=64), true) => number >= 1 << (bits - 1) || number < -(1 << (bits - 1)),
        (Some(bits @ ..=64), false) => number >= 1 << bits || number < 0,
        _ => false,
    }
}

/// The error of a text beside a number: 32 for an empty one, 53 for one that does not read as that number.
fn no_number(text: &[u8], ty: &LogicalType) -> Error {
    let code = if text.is_empty() { Code::ATTEMPT_TO_READ_AFTER_EOF } else { Code::TYPE_MISMATCH };
    Error::new(code, format!("'{}' does not read as {ty}, with which it is compared", String::from_utf8_lossy(text)))
}

fn reads_text(ty: &LogicalType) -> bool {
    use LogicalType as T;
    ty.is_date_or_time() || matches!(ty, T::Uuid | T::Ipv4 | T::Ipv6 | T::Enum8(_) | T::Enum16(_))
}
