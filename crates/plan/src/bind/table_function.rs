//! Table functions: `numbers(10)`, `table(s)`, `tumble(s, 5s)`, `values(…)`, and those the catalog knows.

use super::Binder;
use super::alias::Aliases;
use super::cast::cast_to;
use super::env::Env;
use super::expr::{Exprs, Place};
use super::scope::{Scope, TableName};
use super::source::{From, made, one};
use crate::catalog::{Source, StreamKind};
use crate::expr::Expr;
use crate::node::{Change, Node, Plan};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast;
use hydron_types::{Batch, ColumnBuilder, Field, LogicalType, Schema, Value, parse_type};
use std::sync::Arc;

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

/// Whether the name of a call on the right side of IN means a source.
pub(super) fn is_source_function(name: &str) -> bool {
    rank(name).is_some() || matches!(name, "numbers" | "numbers_mt" | "zeros" | "zeros_mt" | "values" | "VALUES")
}

impl<'a> Binder<'a> {
    pub(super) fn table_function(&self, f: &ast::Function, env: &Env<'_>) -> Result<From> {
        match f.name.as_str() {
            "table" => self.table(f, env),
            "tumble" | "hop" | "session" => self.window_source(f, env),
            "dedup" => self.dedup(f, env),
            "changelog" => self.changelog(f, env),
            "numbers" | "numbers_mt" => self.numbers(f, env),
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
                self.view(&info.view, env)
            }
            "null" => {
                let schema = Arc::new(Schema::new(self.structure(f, env)?));
                Ok(made("null", Plan::values(schema, Vec::new())))
            }
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
            _ => return Err(arity(f, 2)),
        };
        Ok(made(&f.name, numbers(start, count)))
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
        let (fields, rows) = match first.as_literal().and_then(ast::Literal::as_str) {
            Some(text) if !rows.is_empty() => (fields_of(text)?, rows),
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
        Ok(made("values", Plan::values(schema, vec![batch])))
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
            let is_cte = name.database.is_none() && env.cte(&name.name).is_some();
            if !is_cte
                && let Source::Stream(info) = self.lookup(&name)?
                && !matches!(info.kind, StreamKind::Stream | StreamKind::Random | StreamKind::Table)
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

    /// `dedup(src, key…)`: the first row of each key.
    fn dedup(&self, f: &ast::Function, env: &Env<'_>) -> Result<From> {
        let Some((source, keys)) = f.args.split_first().filter(|(_, k)| !k.is_empty()) else {
            let text = format!("dedup takes at least 2 arguments, given {}", f.args.len());
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
        };
        let mut from = self.source_argument(source, env, 2, "dedup")?;
        let aliases = Aliases::default();
        let mut x = Exprs::new(self, env, from.scope.clone(), &aliases, from.plan.streaming);
        let mut on = Vec::with_capacity(keys.len());
        for key in keys {
            let limit =
                key.as_literal().is_some() || key.as_function().is_some_and(|f| f.name.starts_with("to_interval_"));
            if limit {
                return Err(Error::not_implemented("dedup() with a timeout or a limit"));
            }
            on.push(x.bind_in(key, Place { name: "a key of dedup", ..Place::ROW })?);
        }
        from.plan = from.plan.distinct(on);
        Ok(from)
    }

    /// A function of the catalog, with its constant arguments; a plain word means its text.
    fn catalog_function(&self, f: &ast::Function, env: &Env<'_>) -> Result<From> {
        let mut args = Vec::with_capacity(f.args.len());
        for arg in &f.args {
            args.push(match arg.as_identifier() {
                Some(name) => Value::string(name.full()),
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

fn zeros(count: Option<u64>) -> Plan {
    numbers(0, count).project(vec![(Arc::from("zero"), Expr::literal(Value::UInt(0), LogicalType::UInt8))])
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
