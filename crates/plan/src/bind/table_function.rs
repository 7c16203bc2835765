//! Table functions: `numbers(10)`, `table(s)`, `tumble(s, 5s)`, `values(…)`, and those the catalog knows.

use super::Binder;
use super::alias::Aliases;
use super::cast::cast_to;
use super::env::Env;
use super::expr::{Exprs, Place};
use super::scope::{Scope, Show, TableName};
use super::source::{From, made, one};
use crate::catalog::{Source, StreamKind};
use crate::expr::{Expr, ExprKind};
use crate::node::{Change, Forget, Node, Plan};
use hydron_base::{Code, Error, Result};
use hydron_func::{ArgInfo, BindContext, Registry};
use hydron_sql::ast;
use hydron_types::{Batch, ColumnBuilder, Field, IntervalUnit, LogicalType, Schema, Value, parse_type};
use std::sync::Arc;

/// Keys that one `dedup()` may be asked to remember: some 10 GiB of short ones.
const DEDUP_KEYS_MAX: usize = 100_000_000;

/// Outer to inner: a function may only stand around one of a lower rank.
fn rank(name: &str) -> Option<u8> {
    match name {
        "changelog" => Some(4),
        "tumble" | "hop" | "session" => Some(3),
        "dedup" => Some(2),
        "table" => Some(1),
        _ => None,
    }
}

/// Functions made up here whose name means a source wherever one can stand.
const FUNCTIONS: [&str; 8] =
    ["generateSeries", "generate_series", "numbers", "numbers_mt", "zeros", "zeros_mt", "values", "VALUES"];

/// Every table function of this room, for `system.table_functions`; the catalog knows more.
pub const TABLE_FUNCTIONS: [&str; 18] = [
    "changelog",
    "dedup",
    "generateRandom",
    "generate_random",
    "generateSeries",
    "generate_series",
    "hop",
    "merge",
    "null",
    "numbers",
    "numbers_mt",
    "session",
    "table",
    "tumble",
    "values",
    "view",
    "zeros",
    "zeros_mt",
];

/// Whether the name of a call on the right side of IN means a source.
pub(super) fn is_source_function(name: &str) -> bool {
    rank(name).is_some() || FUNCTIONS.contains(&name)
}

impl<'a> Binder<'a> {
    pub(super) fn table_function(&self, f: &ast::Function, env: &Env<'_>) -> Result<From> {
        match f.name.as_str() {
            "table" => self.table(f, env),
            "tumble" | "hop" | "session" => self.window_source(f, env),
            "dedup" => self.dedup(f, env),
            "changelog" => self.changelog(f, env),
            "numbers" | "numbers_mt" => self.numbers(f, env),
            "generate_series" | "generateSeries" => self.series(f, env),
            "zeros" | "zeros_mt" => self.zeros(f, env),
            "values" | "VALUES" => self.values(f, env),
            "dictionary" => {
                let [name] = f.args.as_slice() else { return Err(arity(f, 1)) };
                let name = match name.as_identifier() {
                    Some(name) => name.full(),
                    None => match self.argument(f, name, env)? {
                        (Value::Bytes(text), _) => String::from_utf8_lossy(&text).into_owned(),
                        _ => return Err(Error::bad_arguments("dictionary takes the name of a dictionary")),
                    },
                };
                let name = match name.split_once('.') {
                    Some((database, name)) => ast::ObjectName::qualified(database.to_string(), name.to_string()),
                    None => ast::ObjectName::new(name),
                };
                let info = self.dictionary_named(&name)?;
                self.open(&Source::View(Arc::clone(&info.view)), env)
            }
            "null" => {
                let schema = Arc::new(Schema::new(self.structure(f, env)?));
                Ok(made("null", Plan::values(schema, Vec::new())))
            }
            "generateRandom" | "generate_random" => self.random(f, env),
            "merge" => self.merge(f, env),
            "view" => match f.args.as_slice() {
                [ast::Expr { kind: ast::ExprKind::Subquery(query), .. }] => {
                    self.subquery(query, env, TableName::default())
                }
                _ => Err(arity(f, 1)),
            },
            _ => self.catalog_function(f, env),
        }
    }

    /// Tables that are made up here: `system.numbers` and its like.
    pub(super) fn made_up(&self, name: &str) -> Option<From> {
        match name {
            "one" => Some(one("one")),
            "numbers" | "numbers_mt" => Some(named(made(name, numbers(0, None)))),
            "zeros" | "zeros_mt" => Some(named(made(name, zeros(None)))),
            _ => None,
        }
    }

    fn numbers(&self, f: &ast::Function, env: &Env<'_>) -> Result<From> {
        let counts = self.counts(f, env)?;
        let (start, count) = match counts.as_slice() {
            [] => (0, None),
            [count] => (0, Some(*count)),
            [start, count] => (*start, Some(*count)),
            [start, span, step] => {
                let plan = stepped("number", *start, span.div_ceil(self.step(f, *step)?), *step)?;
                return Ok(made(&f.name, plan));
            }
            _ => return Err(arity(f, 3)),
        };
        Ok(made(&f.name, numbers(start, count)))
    }

    /// `generate_series(start, stop[, step])`: from start to stop, both among them.
    fn series(&self, f: &ast::Function, env: &Env<'_>) -> Result<From> {
        let counts = self.counts(f, env)?;
        let (start, stop, step) = match counts.as_slice() {
            [start, stop] => (*start, *stop, 1),
            [start, stop, step] => (*start, *stop, *step),
            _ => return Err(arity(f, 3)),
        };
        let step = self.step(f, step)?;
        let count = stop.checked_sub(start).map_or(0, |span| (span / step).saturating_add(1));
        Ok(made(&f.name, stepped("generate_series", start, count, step)?))
    }

    fn step(&self, f: &ast::Function, step: u64) -> Result<u64> {
        if step == 0 {
            return Err(Error::bad_arguments(format!("the step of {} must be above 0", f.name)));
        }
        Ok(step)
    }

    fn zeros(&self, f: &ast::Function, env: &Env<'_>) -> Result<From> {
        match self.counts(f, env)?.as_slice() {
            [] => Ok(made(&f.name, zeros(None))),
            [count] => Ok(made(&f.name, zeros(Some(*count)))),
            _ => Err(arity(f, 1)),
        }
    }

    fn counts(&self, f: &ast::Function, env: &Env<'_>) -> Result<Vec<u64>> {
        let mut counts = Vec::with_capacity(f.args.len());
        for arg in &f.args {
            let (value, ty) = self.argument(f, arg, env)?;
            let whole = match value {
                Value::Float64(v) if v >= 0.0 && v < u64::MAX as f64 => Some(v as u64),
                ref v => v.as_u64(),
            };
            counts.push(whole.ok_or_else(|| {
                Error::new(
                    Code::ILLEGAL_TYPE_OF_ARGUMENT,
                    format!("{} takes whole numbers, 0 or more, not a {ty}", f.name),
                )
            })?);
        }
        Ok(counts)
    }

    /// A constant argument of a table function.
    fn argument(&self, f: &ast::Function, arg: &ast::Expr, env: &Env<'_>) -> Result<(Value, LogicalType)> {
        // Names of WITH are known here too; a SELECT without a list holds them.
        let nothing = ast::Select::default();
        let aliases = Aliases::collect(&nothing, env)?;
        let mut x = Exprs::new(self, env, Scope::default(), &aliases, false);
        let value = x.constant(arg)?;
        value.ok_or_else(|| {
            Error::bad_arguments(format!("argument \"{}\" of {} is not constant", arg.column_name(), f.name))
        })
    }

    /// `values(['a int8, b string',] row, …)`.
    fn values(&self, f: &ast::Function, env: &Env<'_>) -> Result<From> {
        let Some((first, rows)) = f.args.split_first() else { return Err(arity(f, 1)) };
        let mut computed = Vec::new();
        let (fields, rows) = match first.as_literal().and_then(ast::Literal::as_str) {
            Some(text) if !rows.is_empty() => match fields_of(text) {
                Ok(fields) => (fields, rows),
                Err(e) => (declared(text, &mut computed)?.ok_or(e)?, rows),
            },
            _ => (self.fields_of_rows(f, env)?, &f.args[..]),
        };
        let zone = self.cx.zone;
        let mut columns: Vec<ColumnBuilder> = fields.iter().map(|f| ColumnBuilder::new(&f.ty)).collect();
        for row in rows {
            let (value, ty) = self.argument(f, row, env)?;
            let cells = match (value, ty) {
                (Value::Tuple(values), LogicalType::Tuple(types)) if fields.len() > 1 || values.len() == 1 => {
                    values.into_iter().zip(types.iter().map(|(_, t)| t.clone())).collect()
                }
                one => vec![one],
            };
            if cells.len() != fields.len() {
                let text = format!("a row of values has {} columns instead of {}", cells.len(), fields.len());
                return Err(Error::new(Code::NUMBER_OF_COLUMNS_DOESNT_MATCH, text));
            }
            for ((column, field), (value, ty)) in columns.iter_mut().zip(&fields).zip(cells) {
                let cell = cast_to(Expr::literal(value, ty), &field.ty, zone)?;
                column.append(cell.as_literal().unwrap_or(&Value::Null))?;
            }
        }
        let arrays = columns.iter_mut().map(ColumnBuilder::finish).collect::<Result<Vec<_>>>()?;
        let schema = Arc::new(Schema::new(fields));
        let batch = Batch::new(Arc::clone(&schema), arrays, rows.len());
        let mut from = made("values", Plan::values(schema, vec![batch]));
        for column in computed {
            let expr = self.inside_text(|| self.expr_text(&column.text, &from.scope, env))?;
            let expr = match &column.ty {
                Some(ty) => cast_to(expr, ty, zone)?,
                None => expr,
            };
            from.scope.push(&column.name, expr.ty.clone(), Show::ByName);
            from.plan = from.plan.extend(vec![(Arc::from(column.name), expr)]);
        }
        Ok(from)
    }

    /// `generate_random('structure'[, seed[, longest string[, longest array]]])`: rows without end.
    ///
    /// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42), SYNTAX_ERROR (62) for what is no structure.
    fn random(&self, f: &ast::Function, env: &Env<'_>) -> Result<From> {
        if f.args.is_empty() || f.args.len() > 4 {
            let text = format!("{} takes a structure, a seed and two lengths: 1 to 4 arguments", f.name);
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
        }
        let (Value::Bytes(structure), _) = self.argument(f, &f.args[0], env)? else {
            return Err(Error::bad_arguments(format!("{} takes a structure such as 'a int8, b string'", f.name)));
        };
        let structure = String::from_utf8_lossy(&structure).into_owned();
        let is_column = |piece: &str| piece.trim().contains(char::is_whitespace);
        if structure.trim().is_empty() || !is_column(&structure) {
            let text = format!("'{structure}' is not a structure such as 'a int8, b string'");
            return Err(Error::new(Code::SYNTAX_ERROR, text));
        }
        let fields = fields_of(&structure)?;
        let mut numbers_given = Vec::new();
        for arg in &f.args[1..] {
            let (value, _) = self.argument(f, arg, env)?;
            let number = if value.is_null() { Some(0) } else { value.as_u64() };
            numbers_given.push(number.ok_or_else(|| {
                Error::bad_arguments(format!("the seed and the lengths of {} are whole numbers", f.name))
            })?);
        }
        let seed = numbers_given.first().copied().unwrap_or(self.now.now.0 as u64);
        let number = Expr::column(0, LogicalType::UInt64);
        let mut columns = Vec::with_capacity(fields.len());
        for (i, field) in fields.into_iter().enumerate() {
            let bound = hydron_func::scalar::random::random_column(&field.ty, seed, i as u64)?;
            let kind = ExprKind::Call {
                name: Arc::from("generate_random"),
                kernel: bound.kernel,
                args: vec![number.clone()],
                volatility: bound.volatility,
            };
            columns.push((field.name, Expr { kind, ty: field.ty }));
        }
        Ok(made(&f.name, numbers(0, None).project(columns)))
    }

    /// `merge([database,] 'regexp')`: the rows of all tables whose whole name matches, with the columns of the first.
    ///
    /// Errors: UNKNOWN_STREAM (60) when none does, CANNOT_COMPILE_REGEXP (427).
    fn merge(&self, f: &ast::Function, env: &Env<'_>) -> Result<From> {
        let (database, pattern) = match f.args.as_slice() {
            [pattern] => (Arc::clone(&self.database.borrow()), pattern),
            [database, pattern] => match database.as_identifier() {
                Some(name) => (Arc::from(name.full()), pattern),
                None => match self.argument(f, database, env)?.0 {
                    Value::Bytes(name) => (Arc::from(String::from_utf8_lossy(&name).into_owned()), pattern),
                    _ => {
                        return Err(Error::bad_arguments(
                            "merge takes the name of a database and a regular expression",
                        ));
                    }
                },
            },
            _ => return Err(arity(f, 2)),
        };
        let (Value::Bytes(pattern), _) = self.argument(f, pattern, env)? else {
            return Err(Error::bad_arguments("merge takes a regular expression for the names of tables"));
        };
        let pattern = String::from_utf8_lossy(&pattern).into_owned();
        let regex = regex::Regex::new(&format!("^(?:{pattern})$")).map_err(|e| {
            Error::new(Code::CANNOT_COMPILE_REGEXP, format!("'{pattern}' is no regular expression: {e}"))
        })?;
        let mut names: Vec<String> =
            self.catalog.source_names(&database).into_iter().filter(|n| regex.is_match(n)).collect();
        names.sort();
        let mut inner = env.inner();
        inner.history = true;
        let mut inputs: Vec<Plan> = Vec::with_capacity(names.len());
        let mut first: Option<From> = None;
        for name in names {
            let source = self.named_source(&ast::ObjectName::qualified(database.to_string(), name.clone()), &inner)?;
            let Some(of_first) = &first else {
                inputs.push(source.plan.clone());
                first = Some(source);
                continue;
            };
            let mut columns = Vec::with_capacity(of_first.scope.columns.len());
            for wanted in &of_first.scope.columns {
                let at = source.scope.columns.iter().position(|c| c.name == wanted.name).ok_or_else(|| {
                    let text =
                        format!("table \"{name}\" has no column \"{}\" as the first one of merge has", wanted.name);
                    Error::new(Code::THERE_IS_NO_COLUMN, text)
                })?;
                columns.push((Arc::clone(&wanted.name), Expr::column(at, source.plan.ty(at).clone())));
            }
            inputs.push(source.plan.project(columns));
        }
        let Some(mut first) = first else {
            let text = format!("no table of database \"{database}\" matches '{pattern}'");
            return Err(Error::new(Code::UNKNOWN_STREAM, text));
        };
        if inputs.len() > 1 {
            let inputs = self.alike(inputs, "merge")?;
            let schema = Arc::clone(&inputs[0].schema);
            for (column, field) in first.scope.columns.iter_mut().zip(&schema.fields) {
                column.ty = field.ty.clone();
            }
            first.plan = Plan { node: Node::Union { inputs }, schema, streaming: false, change: Change::Append };
        }
        for table in &mut first.scope.tables {
            *table = TableName { name: Some(Arc::from("merge")), ..TableName::default() };
        }
        Ok(first)
    }

    /// Columns `c1`, `c2`, … of types that hold every row.
    fn fields_of_rows(&self, f: &ast::Function, env: &Env<'_>) -> Result<Vec<Field>> {
        let mut types: Vec<Vec<LogicalType>> = Vec::new();
        for row in &f.args {
            let (_, ty) = self.argument(f, row, env)?;
            let of_row = match ty {
                LogicalType::Tuple(elements) => elements.iter().map(|(_, t)| t.clone()).collect(),
                one => vec![one],
            };
            types.resize(types.len().max(of_row.len()), Vec::new());
            for (column, ty) in types.iter_mut().zip(of_row) {
                column.push(ty);
            }
        }
        let supertype = |(i, t): (usize, &Vec<LogicalType>)| {
            Ok(Field::new(format!("c{}", i + 1), hydron_types::least_supertype(t)?))
        };
        types.iter().enumerate().map(supertype).collect()
    }

    fn structure(&self, f: &ast::Function, env: &Env<'_>) -> Result<Vec<Field>> {
        let [structure] = f.args.as_slice() else { return Err(arity(f, 1)) };
        match self.argument(f, structure, env)? {
            (Value::Bytes(text), _) => fields_of(&String::from_utf8_lossy(&text)),
            _ => Err(Error::bad_arguments(format!("{} takes a structure such as 'a int8, b string'", f.name))),
        }
    }

    /// `table(s)`: the history of a stream.
    fn table(&self, f: &ast::Function, env: &Env<'_>) -> Result<From> {
        let [arg] = f.args.as_slice() else { return Err(arity(f, 1)) };
        let mut inner = env.inner();
        inner.history = true;
        if let Some(name) = object_name(arg) {
            let name = self.with_parameters(&name, &env.settings)?;
            let is_cte = name.database.is_none() && env.cte(&name.name).is_some();
            if !is_cte
                && let Source::Stream(info) = self.lookup(&name)?
                && !matches!(
                    info.kind,
                    StreamKind::Stream | StreamKind::Random | StreamKind::Table | StreamKind::External
                )
            {
                return Err(Error::bad_arguments(format!("table() takes a stream, not \"{}\"", info.name)));
            }
        }
        let from = self.source_argument(arg, &inner, 1, "table")?;
        if !from.flat {
            return Err(Error::bad_arguments("table() cannot stand around an aggregation"));
        }
        Ok(from)
    }

    /// The source inside a source function: a name, a function of a lower rank, or a subquery.
    ///
    /// Errors: NOT_IMPLEMENTED (48) for functions in the wrong order.
    pub(super) fn source_argument(&self, arg: &ast::Expr, env: &Env<'_>, outer: u8, name: &str) -> Result<From> {
        match &arg.kind {
            ast::ExprKind::Identifier(_) => match object_name(arg) {
                Some(object) => self.named_source(&object, env),
                None => Err(Error::bad_arguments(format!("\"{}\" names no stream", arg.column_name()))),
            },
            ast::ExprKind::Function(f) => {
                if rank(&f.name).is_some_and(|inner| inner >= outer) {
                    return Err(Error::not_implemented(format!("{}({}(…)): in this order it", name, f.name)));
                }
                if name == "table" {
                    return Err(Error::bad_arguments(format!("table() takes a stream, not {}(…)", f.name)));
                }
                self.table_function(f, env)
            }
            ast::ExprKind::Subquery(query) => self.subquery(query, env, TableName::default()),
            _ => Err(Error::bad_arguments(format!("the first argument of {name} is a stream, a view or a subquery"))),
        }
    }

    /// `dedup(src, key…[, timeout[, limit]])`: the first row of each key, which is forgotten after the timeout, in seconds, or when
    /// as many later keys have come as the limit says; `0s` is no timeout.
    ///
    /// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42), BAD_ARGUMENTS (36) for a timeout that is none or a limit that is no number.
    fn dedup(&self, f: &ast::Function, env: &Env<'_>) -> Result<From> {
        let Some((source, rest)) = f.args.split_first().filter(|(_, k)| !k.is_empty()) else {
            let text = format!("dedup takes at least 2 arguments, given {}", f.args.len());
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
        };
        let mut from = self.source_argument(source, env, 2, "dedup")?;
        let aliases = Aliases::default();
        let mut x = Exprs::new(self, env, from.scope.clone(), &aliases, from.plan.streaming);
        let is_interval = |e: &ast::Expr| e.as_function().is_some_and(|f| f.name.starts_with("to_interval_"));
        let keys = rest.iter().take_while(|e| !is_interval(e) && e.as_literal().is_none()).count();
        let (keys, options) = rest.split_at(keys);
        let forget = match options {
            _ if keys.is_empty() => return Err(Error::bad_arguments("dedup needs a column that tells rows apart")),
            [] => Forget::default(),
            [timeout, limit @ ..] if is_interval(timeout) && limit.len() <= 1 => {
                let timeout = x.interval(timeout)?;
                if timeout.unit != IntervalUnit::Second || timeout.count < 0 {
                    return Err(Error::bad_arguments("the timeout of dedup is in seconds, as 10s"));
                }
                let keys_max = match limit.first().map(|l| x.constant(l)).transpose()?.flatten() {
                    None if limit.is_empty() => None,
                    limit => {
                        let limit = limit.and_then(|(v, _)| v.as_i64()).and_then(|n| usize::try_from(n).ok());
                        let limit = limit.filter(|n| (1..=DEDUP_KEYS_MAX).contains(n));
                        Some(limit.ok_or_else(|| {
                            Error::bad_arguments(format!(
                                "the limit of dedup is a number of keys, 1 to {DEDUP_KEYS_MAX}"
                            ))
                        })?)
                    }
                };
                Forget { after_ms: Some(timeout.count * 1_000).filter(|ms| *ms > 0), keys_max }
            }
            _ => {
                let text = "behind its columns dedup takes a timeout such as 10s and a number of keys";
                return Err(Error::bad_arguments(text));
            }
        };
        let place = Place { name: "a key of dedup", ..Place::ROW };
        let on = keys.iter().map(|key| x.bind_in(key, place)).collect::<Result<Vec<_>>>()?;
        let (schema, below) = (Arc::clone(&from.plan.schema), from.plan);
        from.plan = Plan::over(&below.clone(), schema, Node::Distinct { input: Box::new(below), on, forget });
        Ok(from)
    }

    /// A function of the catalog, with its constant arguments; a plain word means its text.
    fn catalog_function(&self, f: &ast::Function, env: &Env<'_>) -> Result<From> {
        let mut args = Vec::with_capacity(f.args.len());
        for arg in &f.args {
            args.push(match arg.as_identifier() {
                Some(name) => Value::string(name.full()),
                // A function that another server runs is its text.
                None if f.name == "remote" && arg.as_function().is_some() => Value::string(arg.to_string()),
                None => self.argument(f, arg, env)?.0,
            });
        }
        match self.catalog.table_function(&f.name, &args)? {
            Some(info) => self.stream(&info, env),
            None => Err(Error::new(Code::UNKNOWN_FUNCTION, format!("table function \"{}\" is unknown", f.name))),
        }
    }
}

fn named(mut from: From) -> From {
    for table in &mut from.scope.tables {
        table.database = Some(Arc::from("system"));
    }
    from
}

fn numbers(start: u64, count: Option<u64>) -> Plan {
    let schema = Arc::new(Schema::new(vec![Field::new("number", LogicalType::UInt64)]));
    Plan { node: Node::Numbers { start, count }, schema, streaming: false, change: Change::Append }
}

/// One column of `count` numbers from `start` on.
fn stepped(name: &str, start: u64, count: u64, step: u64) -> Result<Plan> {
    if step == 1 {
        let plan = numbers(start, Some(count));
        return Ok(plan.project(vec![(Arc::from(name), Expr::column(0, LogicalType::UInt64))]));
    }
    let uint = |n: u64| Expr::literal(Value::UInt(n), LogicalType::UInt64);
    let distance = builtin("multiply", vec![Expr::column(0, LogicalType::UInt64), uint(step)])?;
    let value = builtin("plus", vec![distance, uint(start)])?;
    Ok(numbers(0, Some(count)).project(vec![(Arc::from(name), value)]))
}

/// A call of a built-in function.
fn builtin(name: &str, args: Vec<Expr>) -> Result<Expr> {
    let infos: Vec<ArgInfo> = args.iter().map(|a| ArgInfo::column(a.ty.clone())).collect();
    let bound = Registry::builtin().bind_scalar(name, &BindContext::default(), &infos)?;
    let kind = ExprKind::Call { name: Arc::from(name), kernel: bound.kernel, args, volatility: bound.volatility };
    Ok(Expr { kind, ty: bound.ty })
}

fn zeros(count: Option<u64>) -> Plan {
    numbers(0, count).project(vec![(Arc::from("zero"), Expr::literal(Value::UInt(0), LogicalType::UInt8))])
}

/// A column of a structure that is worked out from the others.
struct Computed {
    name: String,
    ty: Option<LogicalType>,
    text: String,
}

/// Columns of `a int8, b string DEFAULT 'x', c ALIAS a + 1`: those that rows bring, and into `computed` the others. `None`: the
/// text is no list of declarations.
fn declared(structure: &str, computed: &mut Vec<Computed>) -> Result<Option<Vec<Field>>> {
    let Ok(parsed) = hydron_sql::parse_statement(&format!("CREATE STREAM t ({structure})")) else { return Ok(None) };
    let ast::StatementKind::CreateStream(create) = parsed.statement.kind else { return Ok(None) };
    let mut fields = Vec::new();
    for column in create.elements.iter().flat_map(|e| &e.columns) {
        let ty = column.ty.as_ref().map(|t| parse_type(&t.to_string())).transpose()?;
        match (&column.default, ty) {
            (
                Some(ast::ColumnDefault {
                    kind: ast::DefaultKind::Alias | ast::DefaultKind::Materialized,
                    expr: Some(expr),
                }),
                ty,
            ) => {
                computed.push(Computed { name: column.name.clone(), ty, text: expr.to_string() });
            }
            (_, Some(ty)) => fields.push(Field::new(column.name.as_str(), ty)),
            (_, None) => return Ok(None),
        }
    }
    Ok(Some(fields))
}

/// `a int8, b string` as columns.
pub(super) fn fields_of(structure: &str) -> Result<Vec<Field>> {
    match parse_type(&format!("tuple({structure})"))? {
        LogicalType::Tuple(elements) if elements.iter().all(|(n, _)| n.is_some()) => {
            Ok(elements.iter().filter_map(|(n, t)| n.as_ref().map(|n| Field::new(Arc::clone(n), t.clone()))).collect())
        }
        _ => {
            Err(Error::new(Code::SYNTAX_ERROR, format!("'{structure}' is not a structure such as 'a int8, b string'")))
        }
    }
}

/// `s` and `db.s` as the name of a source.
pub(super) fn object_name(expr: &ast::Expr) -> Option<ast::ObjectName> {
    match expr.as_identifier()?.parts.as_slice() {
        [name] => Some(ast::ObjectName { span: expr.span, ..ast::ObjectName::new(name.clone()) }),
        [database, name] => {
            Some(ast::ObjectName { span: expr.span, ..ast::ObjectName::qualified(database.clone(), name.clone()) })
        }
        _ => None,
    }
}

fn arity(f: &ast::Function, wanted: usize) -> Error {
    let text = format!("table function \"{}\" takes {wanted} arguments, given {}", f.name, f.args.len());
    Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text)
}
