//! Syntax to plan: names become indexes, every type is decided, every cast is explicit.
//!
//! In: a parsed query, the catalog, settings. Out: a [`Bound`] plan. Promise: what a query means does not depend on data,
//! except for scalar subqueries and IN sets, which are run here and become constants.
//!
//! In reading order: `settings` (SET and SETTINGS), `env` (what outer queries give), `scope` (what names mean), `alias`, `expr`,
//! `call`, `aggregate`, `lag`, `json`, `literal`, `cast`, `subquery`, `join_get`, `dictionary` (expressions), `source`, `table_engine`,
//! `table_function`, `window_source`, `changes`, `join`, `join_range`, `array_join`, `seek`, `sample` (FROM), `asterisk`, `emit`, `group`,
//! `fill`, `select` (one SELECT), `query` (several), `room` (stack for deep ones), `syntax` (EXPLAIN SYNTAX), [`columns`] (CREATE),
//! [`depends`] (what a query reads).

mod aggregate;
mod alias;
mod array_join;
mod asterisk;
mod call;
pub mod cast;
mod changes;
pub mod columns;
pub mod depends;
mod dictionary;
mod emit;
mod env;
mod expr;
mod fill;
mod group;
mod grouping;
mod join;
mod join_get;
mod join_range;
mod join_rules;
mod json;
mod lag;
mod literal;
mod over;
mod query;
mod recursive;
mod room;
mod sample;
mod scope;
mod seek;
mod select;
mod settings;
mod source;
mod subquery;
mod syntax;
mod table_engine;
mod table_function;
mod window_source;

pub use columns::{ColumnOptions, bind_columns, stored_type};
pub use depends::source_names;
pub use settings::{apply_settings, query_settings, setting_text};
pub use syntax::explained;
pub use table_function::TABLE_FUNCTIONS;

use crate::catalog::{Catalog, ViewInfo};
use crate::expr::Expr;
use crate::node::{Node, Plan};
use crate::rewrite;
use alias::Aliases;
use env::Env;
use expr::{Exprs, Place};
use hydron_base::limit::AST_NODES_MAX;
use hydron_base::{Code, Error, Position, Result, Settings};
use hydron_func::{BindContext, EvalContext, Registry};
use hydron_sql::ast;
use hydron_types::column::value_at;
use hydron_types::{ColumnBuilder, LogicalType, Schema, Style, TextOptions, Zone, parse_type, read_text};
use scope::{Scope, TableName};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// A bound query.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Rewritten and ready for a runtime.
    pub plan: Plan,
    /// True when the answer comes without end.
    pub streaming: bool,
    /// Names and types of the answer, same as `plan.schema`.
    pub schema: Arc<Schema>,
    /// The context's settings with those of the query's own SETTINGS clauses.
    pub settings: Arc<Settings>,
    /// The plan delivers a row over all groups apart (WITH TOTALS).
    pub totals: bool,
    /// There is a LIMIT in the query, whatever the rewrites made of it.
    pub limited: bool,
    /// Streams, views and tables the query reads, as `(database, name)`, each once.
    pub uses: Vec<(Arc<str>, Arc<str>)>,
    /// The types in which paths of json columns are read, as the setting `json_path_types` takes them; empty: none is read.
    pub json_path_types: String,
}

/// Binds a query: the one entry for SELECT, INSERT … SELECT, views and EXPLAIN. `cx.settings` are those of the session and the
/// statement; `cx.streaming` is not looked at.
///
/// Blocks while subqueries run through the catalog.
pub fn bind_select(query: &ast::Query, catalog: &dyn Catalog, cx: &BindContext) -> Result<Bound> {
    bind_select_in(query, None, catalog, cx)
}

/// As [`bind_select`]; `text` is the text that was parsed, so that errors name a line and a column.
pub fn bind_select_in(
    query: &ast::Query,
    text: Option<&str>,
    catalog: &dyn Catalog,
    cx: &BindContext,
) -> Result<Bound> {
    let settings = Arc::new(query_settings(query, &cx.settings, text)?);
    let cx = BindContext { settings, ..cx.clone() };
    room::with_room(|roomy| {
        let binder = Binder { text, roomy, ..Binder::new(catalog, &cx) };
        let bound = bind_whole(query, &binder);
        (bound, binder.needs_room.get())
    })
}

fn bind_whole(query: &ast::Query, binder: &Binder<'_>) -> Result<Bound> {
    let settings = Arc::clone(&binder.cx.settings);
    let env = Env::root(Arc::clone(&settings));
    let mut plan = binder.query(query, &env)?.plan;
    let (limit, offset) = (settings.uint("limit"), settings.uint("offset"));
    if limit > 0 || offset > 0 {
        plan = plan.limit(offset, (limit > 0).then_some(limit), Vec::new());
    }
    let limited = has_limit(&plan);
    let plan = rewrite::optimize(plan, &rewrite::Options::of(&settings, binder.now.now))?;
    check_columns_read(&plan, settings.uint("max_columns_to_read"))?;
    let (streaming, schema, totals) = (plan.streaming, Arc::clone(&plan.schema), has_totals(&plan));
    let uses = binder.uses.borrow().clone();
    Ok(Bound { plan, streaming, schema, settings, totals, limited, uses, json_path_types: binder.json_path_types() })
}

/// Errors: TOO_MANY_COLUMNS (161) for a stream of which more than `most` columns are read; 0: no limit.
fn check_columns_read(plan: &Plan, most: u64) -> Result<()> {
    if let Node::Scan(scan) = &plan.node
        && most > 0
        && scan.columns.len() as u64 > most
    {
        let text = format!("the query reads {} columns, the limit max_columns_to_read is {most}", scan.columns.len());
        return Err(Error::new(Code::TOO_MANY_COLUMNS, text));
    }
    plan.inputs().into_iter().try_for_each(|input| check_columns_read(input, most))
}

/// Binds an expression over the columns of `schema`: DEFAULT, sharding and key expressions, conditions of ALTER and DELETE.
pub fn bind_scalar_expr(expr: &ast::Expr, schema: &Schema, catalog: &dyn Catalog, cx: &BindContext) -> Result<Expr> {
    bind_over(schema, catalog, cx, |x| x.bind_in(expr, Place::DEFAULT))
}

/// A condition over rows of `schema`: as [`bind_scalar_expr`], and its value is bool or nullable bool.
pub fn bind_condition(expr: &ast::Expr, schema: &Schema, catalog: &dyn Catalog, cx: &BindContext) -> Result<Expr> {
    bind_over(schema, catalog, cx, |x| x.condition(expr, Place::WHERE))
}

/// What `bind` makes of expressions over the columns of `schema`.
fn bind_over(
    schema: &Schema,
    catalog: &dyn Catalog,
    cx: &BindContext,
    bind: impl Fn(&mut Exprs<'_>) -> Result<Expr> + Sync,
) -> Result<Expr> {
    room::with_room(|roomy| {
        let binder = Binder { roomy, ..Binder::new(catalog, cx) };
        let env = Env::root(Arc::clone(&cx.settings));
        let aliases = Aliases::default();
        let scope = Scope::of_schema(TableName::default(), schema);
        let bound = bind(&mut Exprs::new(&binder, &env, scope, &aliases, cx.streaming));
        (bound, binder.needs_room.get())
    })
}

/// The columns of `from` by position as those of `to`.
///
/// Errors: NUMBER_OF_COLUMNS_DOESNT_MATCH (20).
pub fn cast_columns(from: &Schema, to: &Schema, zone: Zone) -> Result<Vec<Expr>> {
    if from.len() != to.len() {
        let text = format!("the SELECT returns {} columns, {} are expected", from.len(), to.len());
        return Err(Error::new(Code::NUMBER_OF_COLUMNS_DOESNT_MATCH, text));
    }
    let cast = |(i, (f, t)): (usize, (&hydron_types::Field, &hydron_types::Field))| {
        cast::cast_to(Expr::column(i, f.ty.clone()), &t.ty, zone)
    };
    from.fields.iter().zip(&to.fields).enumerate().map(cast).collect()
}

/// `expr` as a value of `ty`, by the rules of an INSERT into a column of that type.
pub fn cast_expr(expr: Expr, ty: &LogicalType, zone: Zone) -> Result<Expr> {
    cast::cast_to(expr, ty, zone)
}

fn has_limit(plan: &Plan) -> bool {
    matches!(plan.node, Node::Limit { .. }) || plan.inputs().into_iter().any(has_limit)
}

/// Whether the rows of the answer come from an aggregation WITH TOTALS, with nothing between that would lose the totals row.
fn has_totals(plan: &Plan) -> bool {
    let mut plan = plan;
    loop {
        plan = match &plan.node {
            Node::Aggregate(aggregate) => return aggregate.grouping.has_totals(),
            Node::Join(join) => return has_totals(&join.left) || has_totals(&join.right),
            Node::ArrayJoin { input, .. } => input,
            Node::Filter { input, .. }
            | Node::Project { input, .. }
            | Node::Sort { input, .. }
            | Node::Fill { input, .. }
            | Node::Limit { input, .. }
            | Node::LimitBy { input, .. }
            | Node::Distinct { input, .. } => input,
            _ => return false,
        };
    }
}

/// What is the same for all of one statement.
pub(crate) struct Binder<'a> {
    catalog: &'a dyn Catalog,
    users: Arc<Registry>,
    cx: BindContext,
    now: EvalContext,
    text: Option<&'a str>,
    /// The stack is a large one.
    roomy: bool,
    /// Something was too deep for a stack that is not.
    needs_room: Cell<bool>,
    uses: RefCell<Vec<(Arc<str>, Arc<str>)>>,
    json_types: RefCell<BTreeMap<String, String>>,
    nodes: Cell<usize>,
    depth: Cell<usize>,
    /// Inside the text of a view or a default, where spans mean another text.
    other_text: Cell<usize>,
    /// Where names without a database are looked up: the session's database, or that of the view being read.
    database: RefCell<Arc<str>>,
    /// The owner of the view being read; `None`: whoever asks.
    reader: RefCell<Option<Arc<str>>>,
    /// Dictionaries that the statement has read, by the UUID of their view.
    dictionaries: RefCell<HashMap<Uuid, Arc<dictionary::Loaded>>>,
}

impl<'a> Binder<'a> {
    fn new(catalog: &'a dyn Catalog, cx: &BindContext) -> Binder<'a> {
        Binder {
            catalog,
            users: catalog.user_functions(),
            cx: cx.clone(),
            now: EvalContext { zone: cx.zone, ..EvalContext::at(catalog.now()) },
            text: None,
            roomy: false,
            needs_room: Cell::new(false),
            uses: RefCell::default(),
            json_types: RefCell::default(),
            nodes: Cell::new(0),
            depth: Cell::new(0),
            other_text: Cell::new(0),
            database: RefCell::new(Arc::from(catalog.current_database())),
            reader: RefCell::default(),
            dictionaries: RefCell::default(),
        }
    }

    /// Where a function of this name is: built in, or made by CREATE FUNCTION.
    fn functions(&self, name: &str) -> &Registry {
        let knows = |r: &Registry| r.scalar(name).is_some() || r.aggregate(name).is_some();
        let builtin = Registry::builtin();
        if !knows(builtin) && knows(&self.users) { &self.users } else { builtin }
    }

    /// Counts bound nodes, aliases put in. Errors: TOO_BIG_AST (168).
    fn count(&self, nodes: usize) -> Result<()> {
        self.nodes.set(self.nodes.get() + nodes);
        if self.nodes.get() <= AST_NODES_MAX {
            return Ok(());
        }
        Err(Error::new(
            Code::TOO_BIG_AST,
            format!("the query has more than {AST_NODES_MAX} elements, its aliases put in"),
        ))
    }

    fn counted(&self) -> usize {
        self.nodes.get()
    }

    /// Binds a query inside another. Errors: TOO_DEEP_SUBQUERIES (162).
    fn nested<T>(&self, most: usize, bind: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check_room(self.depth.get(), room::QUERIES)?;
        if self.depth.get() >= most {
            return Err(Error::new(
                Code::TOO_DEEP_SUBQUERIES,
                format!("queries are nested more than {most} levels deep"),
            ));
        }
        self.depth.set(self.depth.get() + 1);
        let result = bind();
        self.depth.set(self.depth.get() - 1);
        result
    }

    /// Errors when the stack may be too small for this depth; the whole is then bound again on a large one.
    fn check_room(&self, depth: usize, most: usize) -> Result<()> {
        if self.roomy || depth < most {
            return Ok(());
        }
        self.needs_room.set(true);
        Err(Error::new(Code::TOO_DEEP_RECURSION, "the query is deeper than the stack"))
    }

    /// Binds syntax that comes from another text than the statement's.
    fn inside_text<T>(&self, bind: impl FnOnce() -> Result<T>) -> Result<T> {
        self.other_text.set(self.other_text.get() + 1);
        let result = bind();
        self.other_text.set(self.other_text.get() - 1);
        result
    }

    /// Binds what a view says: names are those of its database, rights those of its owner.
    fn inside_view<T>(&self, view: &ViewInfo, bind: impl FnOnce() -> Result<T>) -> Result<T> {
        let outer = self.database.replace(Arc::clone(&view.database));
        let reader = view.owner.clone().or_else(|| self.reader.borrow().clone());
        let outer_reader = self.reader.replace(reader);
        let result = self.inside_text(bind);
        self.database.replace(outer);
        self.reader.replace(outer_reader);
        result
    }

    /// The database of a name as written.
    fn database_of(&self, name: &ast::ObjectName) -> Arc<str> {
        name.database.as_deref().map_or_else(|| Arc::clone(&self.database.borrow()), Arc::from)
    }

    /// The error with the place of `span`, if the text is known.
    fn place(&self, error: Error, span: ast::Span) -> Error {
        match self.text {
            Some(text) if self.other_text.get() == 0 && span.end > 0 => {
                error.at(Position::in_text(text, span.start as usize))
            }
            _ => error,
        }
    }

    fn note_use(&self, database: &str, name: &str) {
        let mut uses = self.uses.borrow_mut();
        if !uses.iter().any(|(d, n)| &**d == database && &**n == name) {
            uses.push((Arc::from(database), Arc::from(name)));
        }
    }

    /// The text of a query parameter. Errors: UNKNOWN_QUERY_PARAMETER (456).
    fn parameter(&self, settings: &Settings, name: &str) -> Result<String> {
        let setting = format!("param_{name}");
        if settings.is_changed(&setting) {
            return Ok(settings.text(&setting).to_string());
        }
        Err(Error::new(Code::UNKNOWN_QUERY_PARAMETER, format!("query parameter '{name}' is not set")))
    }

    /// Errors: BAD_QUERY_PARAMETER (457) for a text that does not read as the type.
    fn typed_parameter(&self, parameter: &ast::Parameter, text: String, zone: Zone) -> Result<Expr> {
        let ty = parse_type(&parameter.ty)?;
        let mut builder = ColumnBuilder::new(&ty);
        let options = TextOptions::from_settings(&self.cx.settings, zone);
        read_text(text.as_bytes(), Style::Escaped, &options, &mut builder).map_err(|e| {
            let what = format!("query parameter '{}' is no {ty}: {}", parameter.name, e.message);
            Error::new(Code::BAD_QUERY_PARAMETER, what)
        })?;
        let value = value_at(&builder.finish()?, &ty, 0);
        Ok(Expr::literal(value, ty))
    }
}
