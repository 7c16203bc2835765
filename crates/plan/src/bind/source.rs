//! FROM: names, CTEs, views, subqueries; and the FROM clause as a whole.

use super::Binder;
use super::alias::Aliases;
use super::env::Env;
use super::expr::{Exprs, Place};
use super::scope::{Scope, Show, TableName};
use crate::catalog::{ColumnDefault, Source, StreamInfo, StreamKind, StreamMode, ViewInfo};
use crate::expr::Expr;
use crate::node::{Change, Node, Plan, Replay, Scan, ScanColumn, Seek};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast;
use hydron_types::{Field, LogicalType, Schema, Value};
use std::sync::Arc;

/// Where the columns of a window are.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowColumns {
    pub start: usize,
    pub end: usize,
}

/// A source with its names.
pub(super) struct From {
    pub plan: Plan,
    pub scope: Scope,
    /// Something in it aggregates, sorts or cuts, so that it cannot be read as a table.
    pub flat: bool,
    pub window: Option<WindowColumns>,
    /// A subquery without an alias.
    pub unnamed: bool,
}

impl<'a> Binder<'a> {
    /// The whole FROM clause; without one, a single row without columns.
    pub(super) fn from(&self, clause: Option<&ast::FromClause>, env: &Env<'_>, aliases: &Aliases<'_>) -> Result<From> {
        let Some(clause) = clause else { return Ok(self.nothing()) };
        let mut from = match &clause.first {
            Some(table) => self.table_expr(table, env)?,
            None => self.nothing(),
        };
        let joins = clause.rest.iter().filter(|i| matches!(i, ast::FromItem::Join(_))).count();
        for item in &clause.rest {
            from = match item {
                ast::FromItem::Join(join) => self.join(from, join, env, aliases, joins)?,
                ast::FromItem::ArrayJoin(join) => self.array_join(from, join, env, aliases)?,
            };
        }
        Ok(from)
    }

    fn nothing(&self) -> From {
        // A SELECT without FROM reads `system.one`.
        one("one")
    }
}

/// One row with the column `dummy`.
pub(super) fn one(name: &str) -> From {
    let dummy = Expr::literal(Value::UInt(0), LogicalType::UInt8);
    let mut from = made(name, Plan::one_row().project(vec![(Arc::from("dummy"), dummy)]));
    for table in &mut from.scope.tables {
        table.database = Some(Arc::from("system"));
    }
    from
}

impl<'a> Binder<'a> {
    pub(super) fn table_expr(&self, table: &ast::TableExpr, env: &Env<'_>) -> Result<From> {
        let mut from = self.table_kind(table, env).map_err(|e| self.place(e, table.span))?;
        self.find_json(&mut from);
        if let Some(alias) = &table.alias {
            for name in &mut from.scope.tables {
                name.alias = Some(Arc::from(&**alias));
            }
            from.unnamed = false;
        }
        if table.is_final {
            set_final(&mut from.plan);
        }
        match &table.sample {
            Some(sample) => self.sample(from, sample, env),
            None => Ok(from),
        }
    }

    fn table_kind(&self, table: &ast::TableExpr, env: &Env<'_>) -> Result<From> {
        match &table.kind {
            ast::TableExprKind::Name(name) => self.named_source(name, env),
            ast::TableExprKind::Function(f) => self.table_function(f, env),
            ast::TableExprKind::Subquery(query) => {
                let mut from = self.subquery(query, env, TableName::default())?;
                from.unnamed = true;
                Ok(from)
            }
        }
    }

    pub(super) fn subquery(&self, query: &ast::Query, env: &Env<'_>, name: TableName) -> Result<From> {
        let inner = env.inner();
        let rel = self.query(query, &inner)?;
        let mut scope = Scope::of_schema(name, &rel.plan.schema);
        scope.show_names_once();
        Ok(From { plan: rel.plan, scope, flat: rel.flat, window: None, unnamed: false })
    }

    /// A CTE, stream, table or view.
    ///
    /// Errors: UNKNOWN_STREAM (60), UNKNOWN_DATABASE (81), with near names.
    pub(super) fn named_source(&self, name: &ast::ObjectName, env: &Env<'_>) -> Result<From> {
        let name = &self.with_parameters(name, &env.settings)?;
        if name.database.is_none()
            && let Some(rows) = env.given(&name.name)
        {
            let table = TableName { name: Some(Arc::from(name.name.as_str())), ..TableName::default() };
            let scope = Scope::of_schema(table, &rows.schema);
            return Ok(From { plan: rows.clone(), scope, flat: true, window: None, unnamed: false });
        }
        if name.database.is_none()
            && let Some(cte) = env.cte(&name.name)
        {
            let mut inner = cte.env.before(cte.before, env.history, &env.settings);
            inner.sign_unread = env.sign_unread;
            let table = TableName { name: Some(Arc::from(name.name.as_str())), ..TableName::default() };
            if cte.named.recursive || !cte.named.columns.is_empty() {
                return self.named_query(&cte.named, &inner, table);
            }
            return self.subquery(cte.named.query, &inner, table);
        }
        if &*self.database_of(name) == "system"
            && let Some(from) = self.made_up(&name.name)
        {
            return Ok(from);
        }
        self.open(&self.lookup(name)?, env)
    }

    /// The rows of a source that its reader may see.
    pub(super) fn open(&self, source: &Source, env: &Env<'_>) -> Result<From> {
        self.opened(source, env, |info| self.table_of_engine(info, env))
    }

    /// As [`Binder::open`], of a table that a query reads in no other way: a Set, a Join that is asked by key.
    pub(super) fn open_rows(&self, info: &Arc<StreamInfo>, env: &Env<'_>) -> Result<From> {
        self.opened(&Source::Stream(Arc::clone(info)), env, |info| self.stream(info, env))
    }

    fn opened(&self, source: &Source, env: &Env<'_>, rows: impl Fn(&Arc<StreamInfo>) -> Result<From>) -> Result<From> {
        let reader = self.reader.borrow().clone();
        let condition = self.catalog.opened(source, reader.as_deref())?;
        let from = match source {
            Source::Stream(info) => rows(info)?,
            Source::View(view) => self.view(view, env)?,
        };
        match condition {
            Some(text) => self.permitted(from, &text, env),
            None => Ok(from),
        }
    }

    /// The name with the values of `{name:Identifier}`.
    ///
    /// Errors: UNKNOWN_QUERY_PARAMETER (456).
    pub(super) fn with_parameters(
        &self,
        name: &ast::ObjectName,
        settings: &hydron_base::Settings,
    ) -> Result<ast::ObjectName> {
        let value = |part: &str| match ast::ObjectName::parameter(part) {
            Some(parameter) => self.parameter(settings, parameter),
            None => Ok(part.to_string()),
        };
        let database = name.database.as_deref().map(value).transpose()?;
        Ok(ast::ObjectName { database, name: value(&name.name)?, span: name.span })
    }

    /// Hides the rows that a row policy does not permit. Its condition sees nothing of the query around it.
    fn permitted(&self, mut from: From, text: &str, env: &Env<'_>) -> Result<From> {
        let root = Env::root(Arc::clone(&env.settings));
        let ast = hydron_sql::parse_expression(text)?;
        let aliases = Aliases::default();
        let bound = self.inside_text(|| {
            let scope = from.scope.clone();
            Exprs::new(self, &root, scope, &aliases, from.plan.streaming).condition(&ast, Place::WHERE)
        });
        let bound = bound.map_err(|e| e.context("a row policy"))?;
        from.plan = from.plan.filter(crate::rewrite::policy::marked(bound));
        Ok(from)
    }

    pub(super) fn lookup(&self, name: &ast::ObjectName) -> Result<Source> {
        let database = &*self.database_of(name);
        if let Some(source) = self.find_source(name) {
            let of = match &source {
                Source::Stream(info) if self.is_of_session(name) => &*info.database,
                _ => database,
            };
            self.note_use(of, &name.name);
            return Ok(source);
        }
        if name.database.is_some() && !self.catalog.database_exists(database) {
            return Err(Error::new(Code::UNKNOWN_DATABASE, format!("database \"{database}\" is unknown")));
        }
        let near = near_names(&name.name, self.catalog.source_names(database));
        let error = Error::new(Code::UNKNOWN_STREAM, format!("stream \"{database}.{}\" is unknown", name.name));
        Err(if near.is_empty() { error } else { error.hint(near.join(", ")) })
    }

    /// What a name stands for: before all others a stream of the session, which views do not see.
    pub(super) fn find_source(&self, name: &ast::ObjectName) -> Option<Source> {
        let of_session = || self.is_of_session(name).then(|| self.catalog.session_source(&name.name)).flatten();
        of_session().or_else(|| self.catalog.source(&self.database_of(name), &name.name))
    }

    fn is_of_session(&self, name: &ast::ObjectName) -> bool {
        name.database.is_none() && self.other_text.get() == 0 && self.catalog.session_source(&name.name).is_some()
    }

    /// The SELECT of a view, bound as if it stood here.
    pub(super) fn view(&self, view: &ViewInfo, env: &Env<'_>) -> Result<From> {
        let statement = hydron_sql::parse_statement(&view.select)?.statement;
        let ast::StatementKind::Query(query) = statement.kind else {
            return Err(Error::bug(format!("view \"{}\" is not stored as a query", view.name)));
        };
        let table =
            TableName { alias: None, name: Some(Arc::clone(&view.name)), database: Some(Arc::clone(&view.database)) };
        // A view does not see the CTEs and aliases of the query that reads it, only its settings.
        let mut root = Env::root(Arc::clone(&env.settings));
        root.history |= env.history;
        root.sign_unread = env.sign_unread;
        let mut from = self.inside_view(view, || self.subquery(&query, &root, table.clone()))?;
        if !view.columns.is_empty() {
            if view.columns.len() != from.plan.schema.len() {
                let text = format!(
                    "view \"{}\" has {} columns, its query {}",
                    view.name,
                    view.columns.len(),
                    from.plan.schema.len()
                );
                return Err(Error::new(Code::NUMBER_OF_COLUMNS_DOESNT_MATCH, text));
            }
            let named =
                from.plan.columns().into_iter().zip(&view.columns).map(|((_, e), n)| (Arc::clone(n), e)).collect();
            from.plan = from.plan.project(named);
            from.scope = Scope::of_schema(table, &from.plan.schema);
        }
        Ok(from)
    }

    /// A stream or table: every column it has, for the rewrites to leave only what is used.
    pub(super) fn stream(&self, info: &Arc<StreamInfo>, env: &Env<'_>) -> Result<From> {
        let streaming = info.can_stream() && !env.history;
        let settings = &env.settings;
        let info = &selected_shards(info, settings.text("shards"));
        let table =
            TableName { alias: None, name: Some(Arc::clone(&info.name)), database: Some(Arc::clone(&info.database)) };
        let mut scope = Scope { tables: vec![table], columns: Vec::new() };
        let mut columns = Vec::new();
        for (i, column) in info.columns.iter().enumerate().filter(|(_, c)| c.is_stored()) {
            let show = match &column.default {
                ColumnDefault::Materialized(_) if !settings.bool("asterisk_include_materialized_columns") => {
                    Show::ByName
                }
                _ if is_reserved(&column.name) => Show::Reserved,
                _ => Show::Yes,
            };
            scope.push(&column.name, column.ty.clone(), show);
            columns.push(ScanColumn::Stored(i));
        }
        for (name, column, ty) in virtual_columns(info, streaming) {
            if info.column(name).is_none() {
                scope.push(name, ty, Show::ByName);
                columns.push(column);
            }
        }
        let fields = scope.columns.iter().map(|c| Field::new(Arc::clone(&c.name), c.ty.clone())).collect();
        let seek = if streaming { self.seek_setting(settings.text("seek_to"), info)? } else { Seek::Latest };
        let change = match info.mode {
            _ if !streaming => Change::Append,
            StreamMode::Append => Change::Append,
            StreamMode::Changelog => Change::Changelog,
            _ if settings.bool("enforce_append_only") => Change::Append,
            StreamMode::ChangelogKv => Change::ChangelogKv,
            StreamMode::VersionedKv => Change::VersionedKv,
        };
        let replay = if streaming { replay(info, settings)? } else { None };
        let scan =
            Scan { stream: Arc::clone(info), columns, seek, pruning: None, limit_hint: 0, replay, is_final: false };
        let plan = Plan { node: Node::Scan(scan), schema: Arc::new(Schema::new(fields)), streaming, change };
        let mut from = From { plan, scope, flat: true, window: None, unnamed: false };
        self.find_json(&mut from);
        self.alias_columns(info, from, env)
    }

    /// Adds the columns of a stream that are computed when they are read.
    fn alias_columns(&self, info: &StreamInfo, mut from: From, env: &Env<'_>) -> Result<From> {
        let show = if env.settings.bool("asterisk_include_alias_columns") { Show::Yes } else { Show::ByName };
        for column in &info.columns {
            let ColumnDefault::Alias(text) = &column.default else { continue };
            let expr = self.inside_text(|| self.expr_text(text, &from.scope, env))?;
            let expr = super::cast::cast_to(expr, &column.ty, self.cx.zone)?;
            from.plan = from.plan.extend(vec![(Arc::clone(&column.name), expr)]);
            from.scope.push(&column.name, column.ty.clone(), show);
        }
        Ok(from)
    }

    /// An expression given as text over the columns of one source.
    pub(super) fn expr_text(&self, text: &str, scope: &Scope, env: &Env<'_>) -> Result<Expr> {
        let ast = hydron_sql::parse_expression(text)?;
        let aliases = Aliases::default();
        Exprs::new(self, env, scope.clone(), &aliases, false).bind_in(&ast, Place::DEFAULT)
    }
}

/// The settings `replay_speed` and `replay_time_column`.
///
/// Errors: BAD_ARGUMENTS (36) for a column that is no time, UNSUPPORTED (997) for a stream that is not appended to.
fn replay(info: &StreamInfo, settings: &hydron_base::Settings) -> Result<Option<Replay>> {
    let speed = settings.float("replay_speed");
    if speed <= 0.0 || info.kind != StreamKind::Stream {
        return Ok(None);
    }
    if info.mode != StreamMode::Append {
        return Err(Error::new(
            Code::UNSUPPORTED,
            format!("replay_speed with stream \"{}\", which is keyed", info.name),
        ));
    }
    let name = settings.text("replay_time_column");
    if matches!(name, "" | "_tp_append_time") {
        return Ok(Some(Replay { speed, column: None }));
    }
    let found = info.column(name).filter(|(_, c)| c.is_stored());
    let is_time = |ty: &LogicalType| matches!(ty.bare(), LogicalType::DateTime(_) | LogicalType::DateTime64(..));
    match found {
        Some((at, column)) if is_time(&column.ty) => Ok(Some(Replay { speed, column: Some(at) })),
        _ => {
            let text = format!("replay_time_column '{name}' is no stored datetime column of stream \"{}\"", info.name);
            Err(Error::bad_arguments(text))
        }
    }
}

/// An external stream of which some shards are read has as many.
fn selected_shards(info: &Arc<StreamInfo>, shards: &str) -> Arc<StreamInfo> {
    let count = shards.split(',').filter(|s| !s.trim().is_empty()).count();
    if info.kind != StreamKind::External || count == 0 {
        return Arc::clone(info);
    }
    Arc::new(StreamInfo { shards: count as u32, ..(**info).clone() })
}

/// FINAL holds for what a name of FROM reads, with the columns that are computed over it.
fn set_final(plan: &mut Plan) {
    match &mut plan.node {
        Node::Scan(scan) => scan.is_final = true,
        Node::Project { input, .. } => set_final(input),
        _ => {}
    }
}

pub(super) fn is_reserved(name: &str) -> bool {
    name.starts_with("_tp_")
}

/// Columns that a source makes beside the stored ones.
fn virtual_columns(info: &StreamInfo, streaming: bool) -> Vec<(&'static str, ScanColumn, LogicalType)> {
    let shard = ("_tp_shard", ScanColumn::Shard, LogicalType::Int32);
    let millis = || LogicalType::DateTime64(3, Some(hydron_types::Zone::UTC));
    match info.kind {
        StreamKind::External => vec![
            ("_tp_append_time", ScanColumn::AppendTime, millis()),
            ("_tp_process_time", ScanColumn::ProcessTime, millis()),
            ("_tp_sn", ScanColumn::Sequence, LogicalType::Int64),
            shard,
            ("_tp_message_key", ScanColumn::MessageKey, LogicalType::String),
            // Proton's name before 1.6.
            ("_message_key", ScanColumn::MessageKey, LogicalType::String),
            (
                "_tp_message_headers",
                ScanColumn::MessageHeaders,
                LogicalType::Map(Box::new(LogicalType::String), Box::new(LogicalType::String)),
            ),
        ],
        StreamKind::Stream if streaming => vec![
            ("_tp_append_time", ScanColumn::AppendTime, LogicalType::Int64),
            ("_tp_ingest_time", ScanColumn::IngestTime, LogicalType::Int64),
            ("_tp_process_time", ScanColumn::ProcessTime, LogicalType::Int64),
            ("_tp_sn", ScanColumn::Sequence, LogicalType::Int64),
            shard,
        ],
        StreamKind::Random if streaming => vec![("_tp_sn", ScanColumn::Sequence, LogicalType::Int64), shard],
        StreamKind::Stream | StreamKind::Random => vec![shard],
        StreamKind::Table if info.engine.ends_with("MergeTree") => vec![
            ("_part", ScanColumn::Part, LogicalType::String),
            ("_partition_id", ScanColumn::PartitionId, LogicalType::String),
        ],
        _ => Vec::new(),
    }
}

fn near_names(name: &str, all: Vec<String>) -> Vec<String> {
    let lower = name.to_lowercase();
    let slips_max = (name.chars().count() / 3).clamp(1, 3);
    let mut near: Vec<(usize, String)> = all
        .into_iter()
        .map(|n| (super::scope::slips(&lower, &n.to_lowercase()), n))
        .filter(|(d, _)| *d <= slips_max)
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, n)| n).collect()
}

/// The columns of a plan as a scope of one source, all shown.
pub(super) fn plain_scope(name: &str, schema: &Schema) -> Scope {
    Scope::of_schema(TableName { name: Some(Arc::from(name)), ..TableName::default() }, schema)
}

/// A source of rows known now or made up, under the name of its function.
pub(super) fn made(name: &str, plan: Plan) -> From {
    let scope = plain_scope(name, &plan.schema);
    From { plan, scope, flat: true, window: None, unnamed: false }
}
