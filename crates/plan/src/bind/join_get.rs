//! `join_get` and `join_get_or_null`: one value of a Join table by its key.
//!
//! In: a call that names the table, the column and the keys. Out: a call whose table is read now and stays as it is for the time of
//! the statement.

use super::cast::cast_to;
use super::expr::Exprs;
use crate::catalog::Source;
use crate::expr::{Expr, ExprKind};
use crate::join_engine::JoinEngine;
use crate::node::{JoinKind, JoinStrictness};
use arrow::array::Array;
use hydron_base::{Code, Error, Result};
use hydron_func::scalar::lookup::{Places, with_default};
use hydron_func::{Datum, EvalContext, Volatility};
use hydron_sql::ast;
use hydron_types::supertype::can_be_nullable;
use hydron_types::{LogicalType, Value};
use std::sync::Arc;

impl Exprs<'_> {
    /// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42), ILLEGAL_TYPE_OF_ARGUMENT (43), NO_SUCH_COLUMN_IN_STREAM (16),
    /// INCOMPATIBLE_TYPE_OF_JOIN (264), TYPE_MISMATCH (53).
    pub(super) fn join_get(&mut self, name: &str, f: &ast::Function) -> Result<Expr> {
        let [table, column, keys @ ..] = f.args.as_slice() else {
            return Err(few(name, f.args.len()));
        };
        if keys.is_empty() {
            return Err(few(name, f.args.len()));
        }
        let object = self.object_argument(name, table)?;
        let Source::Stream(info) = self.b.lookup(&object)? else { return Err(no_join_table(name, &object.name)) };
        let engine = JoinEngine::of(&info).ok_or_else(|| no_join_table(name, &object.name))??;
        if (engine.strictness, engine.kind) != (JoinStrictness::Any, JoinKind::Left) {
            let message = format!("{name} asks tables of engine Join(ANY, LEFT, …), {} is another one", info.name);
            return Err(Error::new(Code::INCOMPATIBLE_TYPE_OF_JOIN, message));
        }
        if keys.len() != engine.keys.len() {
            let message = format!("{name} takes {} keys of {}, given {}", engine.keys.len(), info.name, keys.len());
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, message));
        }
        let wanted = self.constant(column)?;
        let Some((Value::Bytes(wanted), _)) = wanted else {
            let message = format!("the second argument of {name} must be a constant string, the name of a column");
            return Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, message));
        };
        let wanted = String::from_utf8_lossy(&wanted).into_owned();
        let from = self.b.open_rows(&info, self.env)?;
        let position = |name: &str| from.scope.columns.iter().position(|c| &*c.name == name);
        let is_key = engine.keys.iter().any(|k| **k == *wanted);
        let value_at = position(&wanted).filter(|_| !is_key).ok_or_else(|| {
            let message = format!("{} has no column '{wanted}' beside its keys", info.name);
            Error::new(Code::NO_SUCH_COLUMN_IN_STREAM, message)
        })?;
        let mut at: Vec<usize> = engine.keys.iter().filter_map(|k| position(k)).collect();
        at.push(value_at);
        let (mut columns, mut types) = self.b.all_rows(from.plan.select(&at), self.env)?;
        let (Some(values), Some(ty)) = (columns.pop(), types.pop()) else {
            return Err(Error::bug("a table was read without its last column"));
        };
        let or_null = name == "join_get_or_null" || engine.use_nulls;
        let mut args = Vec::with_capacity(keys.len());
        for (key, ty) in keys.iter().zip(&types) {
            let bound = self.bind(key)?;
            let mismatch = |_| {
                let message = format!("a key of {name} is of type {}, {} has {ty}", bound.ty, info.name);
                Error::new(Code::TYPE_MISMATCH, message)
            };
            args.push(cast_to(bound.clone(), &nullable_as(ty, &bound.ty), self.cx.zone).map_err(mismatch)?);
        }
        self.lookup_call(name, args, &columns, &values, ty, or_null)
    }

    /// The first argument as the name of an object: an identifier or a constant string.
    pub(super) fn object_argument(&mut self, function: &str, arg: &ast::Expr) -> Result<ast::ObjectName> {
        let text = match &arg.kind {
            ast::ExprKind::Identifier(name) => name.full(),
            _ => match self.constant(arg)? {
                Some((Value::Bytes(text), _)) => String::from_utf8_lossy(&text).into_owned(),
                _ => {
                    let message = format!("the first argument of {function} must be a name, or a constant string");
                    return Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, message));
                }
            },
        };
        Ok(match text.split_once('.') {
            Some((database, name)) => ast::ObjectName::qualified(database.to_string(), name.to_string()),
            None => ast::ObjectName::new(text),
        })
    }

    /// A call that answers with the value of the row whose key columns are `args`.
    fn lookup_call(
        &mut self,
        name: &str,
        args: Vec<Expr>,
        keys: &[arrow::array::ArrayRef],
        values: &arrow::array::ArrayRef,
        ty: LogicalType,
        or_null: bool,
    ) -> Result<Expr> {
        let is_null = or_null && can_be_nullable(&ty);
        let default = if is_null { Value::Null } else { Value::default_of(&ty) };
        let ty = if is_null { LogicalType::nullable(ty) } else { ty };
        let places = Places::of(keys)?;
        let values = with_default(values, &ty, &default)?;
        let held = self.b.catalog.reserve(places.bytes() + values.get_array_memory_size())?;
        let kernel = move |_: &EvalContext, args: &[Datum], rows: usize| {
            let _held = &held;
            let rows = if args.iter().all(Datum::is_scalar) { 1 } else { rows };
            let arrays = args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
            let at = places.find(&arrays, rows)?;
            let taken = arrow::compute::take(&values, &at, None).map_err(hydron_func::call::arrow_error)?;
            Ok(if args.iter().all(Datum::is_scalar) { Datum::Scalar(taken) } else { Datum::Array(taken) })
        };
        let kind =
            ExprKind::Call { name: Arc::from(name), kernel: Arc::new(kernel), args, volatility: Volatility::Immutable };
        self.fold(Expr { kind, ty })
    }
}

/// `ty`, nullable where `of` is.
fn nullable_as(ty: &LogicalType, of: &LogicalType) -> LogicalType {
    let bare = ty.bare().clone();
    if of.is_nullable() { LogicalType::nullable(bare) } else { bare }
}

fn few(name: &str, given: usize) -> Error {
    let message = format!("{name} takes a table, a column and the keys, given {given} arguments");
    Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, message)
}

fn no_join_table(function: &str, name: &str) -> Error {
    let message = format!("{function} asks a table of engine Join, {name} is none");
    Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, message)
}
