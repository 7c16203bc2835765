//! What rows mean: rows that replace each other by key as rows added and withdrawn, and `changelog()`.

use super::Binder;
use super::alias::Aliases;
use super::env::Env;
use super::expr::{Exprs, Place};
use super::scope::Show;
use super::source::From;
use crate::expr::Expr;
use crate::node::{Change, Join, Node, Plan};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast;
use hydron_types::{Field, LogicalType, Schema};
use std::sync::Arc;

/// Whether rows are added and withdrawn.
pub(super) fn is_changing(change: Change) -> bool {
    matches!(change, Change::Changelog | Change::ChangelogKv)
}

/// A plan whose rows replace each other by key, as one of rows added and withdrawn. Other plans stay as they are.
///
/// Errors: NOT_IMPLEMENTED (48) where something between the stream and here cannot follow the changes.
pub(super) fn tracked(plan: Plan) -> Result<Plan> {
    if plan.change != Change::VersionedKv || !plan.streaming {
        return Ok(plan);
    }
    followed(plan, false)
}

/// `drop_late`: a row with an older version than the one it would replace is dropped.
fn followed(plan: Plan, drop_late: bool) -> Result<Plan> {
    let Plan { node, schema, streaming, change } = plan;
    let node = match node {
        Node::Scan(scan) => {
            let column = |name: &str| {
                let at = schema.index_of(name);
                let at = at.ok_or_else(|| Error::bug(format!("key column \"{name}\" of a stream is not read")))?;
                Ok(Expr::column(at, schema.fields[at].ty.clone()))
            };
            let keys = scan.stream.primary_key.iter().map(|k| column(k)).collect::<Result<Vec<_>>>()?;
            let version = scan.stream.version_column.as_deref().unwrap_or("_tp_time");
            let version = drop_late.then(|| column(version)).transpose()?;
            let input = Plan { node: Node::Scan(scan), schema: Arc::clone(&schema), streaming, change };
            Node::Changelog { input: Box::new(input), keys, version }
        }
        Node::Filter { input, predicate } => Node::Filter { input: Box::new(followed(*input, drop_late)?), predicate },
        Node::Project { input, exprs } => Node::Project { input: Box::new(followed(*input, drop_late)?), exprs },
        Node::Join(join) if !join.right.streaming => {
            Node::Join(Join { left: Box::new(followed(*join.left, drop_late)?), ..join })
        }
        Node::ArrayJoin { input, columns, left } => {
            Node::ArrayJoin { input: Box::new(followed(*input, drop_late)?), columns, left }
        }
        Node::Union { inputs } if inputs.iter().all(|i| i.streaming) => {
            Node::Union { inputs: inputs.into_iter().map(|i| followed(i, drop_late)).collect::<Result<_>>()? }
        }
        _ => {
            let text = "the changes of a versioned_kv stream behind DISTINCT, ORDER BY, LIMIT or a UNION with a table";
            return Err(Error::not_implemented(text));
        }
    };
    Ok(Plan { node, schema, streaming, change: Change::Changelog })
}

/// The plan with `_tp_delta` as one column more.
pub(super) fn with_signs(plan: Plan) -> Plan {
    let mut fields = plan.schema.fields.clone();
    fields.push(Field::new("_tp_delta", LogicalType::Int8));
    let (streaming, change) = (plan.streaming, plan.change);
    Plan { node: Node::Signs { input: Box::new(plan) }, schema: Arc::new(Schema::new(fields)), streaming, change }
}

impl<'a> Binder<'a> {
    /// `changelog(src[, key…[, version]][, drop_late])`.
    ///
    /// Errors: BAD_ARGUMENTS (36), UNSUPPORTED (997) for a table and for rows that are changes already.
    pub(super) fn changelog(&self, f: &ast::Function, env: &Env<'_>) -> Result<From> {
        let Some((source, rest)) = f.args.split_first() else {
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, "changelog takes a stream and its keys"));
        };
        let mut from = self.source_argument(source, env, 4, "changelog")?;
        if !from.plan.streaming {
            return Err(Error::new(Code::UNSUPPORTED, "changelog() needs a streaming source"));
        }
        let (columns, drop_late) = match rest.split_last() {
            Some((last, columns)) if last.as_literal().is_some() => {
                let flag = match last.as_literal() {
                    Some(ast::Literal::Bool(b)) => *b,
                    Some(literal) if literal.as_u64().is_some_and(|n| n < 2) => literal.as_u64() == Some(1),
                    _ => {
                        return Err(Error::bad_arguments(
                            "the last argument of changelog, drop_late, is true or false",
                        ));
                    }
                };
                (columns, flag)
            }
            _ => (rest, false),
        };
        if columns.iter().any(|c| c.as_identifier().is_none()) {
            return Err(Error::bad_arguments("the keys of changelog are names of columns"));
        }
        match from.plan.change {
            Change::VersionedKv if !columns.is_empty() => {
                let text = "changelog() of a versioned_kv stream takes no keys: it has a primary key";
                Err(Error::bad_arguments(text))
            }
            Change::VersionedKv => {
                from.plan = with_signs(followed(from.plan, drop_late)?);
                from.scope.push("_tp_delta", LogicalType::Int8, Show::Reserved);
                Ok(from)
            }
            Change::Append => self.changelog_by_keys(from, columns, drop_late, env),
            Change::Changelog | Change::ChangelogKv => {
                let text = "changelog() of rows that are changes already";
                Err(Error::new(Code::UNSUPPORTED, text))
            }
        }
    }

    fn changelog_by_keys(&self, mut from: From, columns: &[ast::Expr], drop_late: bool, env: &Env<'_>) -> Result<From> {
        let aliases = Aliases::default();
        let mut x = Exprs::new(self, env, from.scope.clone(), &aliases, true);
        let place = Place { name: "a key of changelog", ..Place::ROW };
        let mut keys = columns.iter().map(|c| x.bind_in(c, place)).collect::<Result<Vec<_>>>()?;
        let version = if drop_late { keys.pop() } else { None };
        if keys.is_empty() {
            let what = if drop_late { "a key and a version" } else { "a key" };
            return Err(Error::bad_arguments(format!("changelog() of an appended source needs {what}")));
        }
        let schema = Arc::clone(&from.plan.schema);
        let node = Node::Changelog { input: Box::new(from.plan), keys, version };
        from.plan = with_signs(Plan { node, schema, streaming: true, change: Change::Changelog });
        from.scope.push("_tp_delta", LogicalType::Int8, Show::Reserved);
        Ok(from)
    }
}
