//! Tables whose engine says more about reading than where rows are: Set, Buffer, File with a path, and Join.

use super::Binder;
use super::cast::cast_to;
use super::env::Env;
use super::source::From;
use crate::catalog::{Source, StreamInfo};
use crate::expr::Expr;
use crate::join_engine::JoinEngine;
use crate::node::{JoinKind, JoinStrictness, Node, Plan};
use hydron_base::{Error, Result};
use hydron_sql::ast;
use hydron_types::Value;
use std::sync::Arc;

impl<'a> Binder<'a> {
    /// A stream or table as FROM reads it.
    ///
    /// Errors: NOT_IMPLEMENTED (48) for a Set, which stands on the right side of IN alone.
    pub(super) fn table_of_engine(&self, info: &Arc<StreamInfo>, env: &Env<'_>) -> Result<From> {
        match (&*info.engine, info.engine_args.as_slice()) {
            ("Set", _) => {
                let error = Error::not_implemented(format!("reading the Set {}", info.name));
                Err(error.hint(format!("x IN {}", info.name)))
            }
            ("Buffer", [database, table, ..]) => {
                let target = ast::ObjectName::qualified(plain(database), plain(table));
                self.buffer(info, &target, env)
            }
            ("File", [format, path]) => {
                let structure = info.columns.iter().filter(|c| c.is_stored());
                let structure: Vec<String> = structure.map(|c| format!("`{}` {}", c.name, c.ty)).collect();
                let args = [plain(path), plain(format), structure.join(", ")].map(Value::string);
                let table = self.catalog.table_function("file", &args)?;
                self.stream(&table.ok_or_else(|| Error::bug("the table function file is gone"))?, env)
            }
            _ => self.stream(info, env),
        }
    }

    /// What waits in a buffer and what its destination has, in the columns of the buffer.
    fn buffer(&self, info: &Arc<StreamInfo>, target: &ast::ObjectName, env: &Env<'_>) -> Result<From> {
        let mut own = self.stream(info, env)?;
        let database = self.database_of(target);
        let Some(Source::Stream(target)) = self.catalog.source(&database, &target.name) else { return Ok(own) };
        if target.uuid == info.uuid {
            return Err(Error::bad_arguments(format!("buffer {} is its own destination", info.name)));
        }
        self.note_use(&database, &target.name);
        if &*target.engine == "Buffer" {
            return Err(Error::not_implemented(format!("a Buffer in front of the Buffer {}", target.name)));
        }
        let mut root = Env::root(Arc::clone(&env.settings));
        root.history = true;
        let from = self.open(&Source::Stream(target), &root)?;
        let columns = from.plan.columns();
        let mut projected = Vec::with_capacity(own.plan.schema.len());
        for field in &own.plan.schema.fields {
            let found = columns.iter().find(|(name, _)| **name == *field.name);
            let value = match found {
                Some((_, value)) => cast_to(value.clone(), &field.ty, self.cx.zone)?,
                None => Expr::literal(Value::default_of(&field.ty), field.ty.clone()),
            };
            projected.push((Arc::clone(&field.name), value));
        }
        let stored = from.plan.project(projected);
        let schema = Arc::clone(&own.plan.schema);
        own.plan = Plan::over(&own.plan.clone(), schema, Node::Union { inputs: vec![stored, own.plan] });
        Ok(own)
    }

    /// The right side of a join as a Join table, if it is one.
    pub(super) fn joined_table(&self, table: &ast::TableExpr, env: &Env<'_>) -> Result<Option<JoinTable>> {
        let ast::TableExprKind::Name(name) = &table.kind else { return Ok(None) };
        if name.database.is_none() && env.cte(&name.name).is_some() {
            return Ok(None);
        }
        let Some(Source::Stream(info)) = self.find_source(name) else { return Ok(None) };
        let engine = JoinEngine::of(&info).transpose()?;
        Ok(engine.map(|engine| JoinTable { engine, name: Arc::clone(&info.name) }))
    }
}

/// A Join table on the right side of a join.
pub(super) struct JoinTable {
    engine: JoinEngine,
    name: Arc<str>,
}

impl JoinTable {
    /// Whether the join is the one that the table serves. `on`: expressions over the right side that are compared; `others`:
    /// the condition has more than equalities.
    ///
    /// Errors: INCOMPATIBLE_TYPE_OF_JOIN (264), NOT_IMPLEMENTED (48).
    pub(super) fn check<'e>(
        &self,
        kind: JoinKind,
        strictness: JoinStrictness,
        use_nulls: bool,
        right: &Plan,
        on: impl Iterator<Item = &'e Expr>,
        others: bool,
    ) -> Result<()> {
        if others {
            return Err(Error::not_implemented(format!(
                "a condition beside equalities in ON of a join with the Join table {}",
                self.name
            )));
        }
        let names: Vec<Option<Arc<str>>> = on.map(|e| column_of(e, right)).collect();
        self.engine.check(&self.name, kind, strictness, use_nulls, &names)
    }
}

/// The one column that a key reads; casts around it make the types of both sides alike.
fn column_of(key: &Expr, plan: &Plan) -> Option<Arc<str>> {
    let mut columns = Vec::new();
    key.columns(&mut |c| columns.push(c));
    match columns.as_slice() {
        [one] => plan.schema.fields.get(*one).map(|f| Arc::clone(&f.name)),
        _ => None,
    }
}

/// An argument of an engine without its quotes.
fn plain(arg: &str) -> String {
    match hydron_sql::parse_expression(arg).ok().map(|e| e.kind) {
        Some(ast::ExprKind::Literal(literal)) => literal.as_str().unwrap_or(arg).to_string(),
        Some(ast::ExprKind::Identifier(name)) => name.full(),
        _ => arg.to_string(),
    }
}
