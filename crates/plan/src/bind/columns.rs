//! The columns of CREATE STREAM: types, defaults, and the columns every stream has.

use super::Binder;
use super::alias::Aliases;
use super::cast::cast_to;
use super::env::Env;
use super::expr::{Exprs, Place};
use super::scope::{Scope, TableName};
use crate::catalog::{Catalog, ColumnDefault, ColumnInfo, StreamMode};
use crate::expr::Expr;
use hydron_base::{Code, Error, Result};
use hydron_func::{ArgInfo, BindContext, Registry};
use hydron_sql::ast;
use hydron_types::{Field, LogicalType, Schema, Zone, parse_type};
use std::sync::Arc;

/// What decides about columns beside their definitions.
#[derive(Clone, Debug)]
pub struct ColumnOptions {
    pub mode: StreamMode,
    /// Add `_tp_time`, and `_tp_delta` for the changelog modes, unless they are declared. False for plain tables.
    pub stream: bool,
    /// The expression of `_tp_time`; empty: the time of arrival.
    pub event_time: String,
    /// Of an external stream: key and headers of a message may be columns.
    pub external: bool,
    /// Of the stream behind a view: the bounds of windows may be columns, under their own names.
    pub of_view: bool,
}

/// The columns of a stream in order: the declared ones, then `_tp_time`, then `_tp_delta`. `text` is the text that was parsed,
/// so that errors name a place in it.
///
/// Errors: EMPTY_LIST_OF_COLUMNS_PASSED (90), DUPLICATE_COLUMN (15), ILLEGAL_COLUMN (44) for reserved names and types,
/// ILLEGAL_SYNTAX_FOR_DATA_TYPE (377) for `nullable(T) NULL`, CYCLIC_ALIASES (174) for defaults that need each other, SUSPICIOUS_TYPE_FOR_LOW_CARDINALITY (455), and what binding a
/// default answers.
pub fn bind_columns(
    defs: &[ast::ColumnDef],
    text: Option<&str>,
    options: &ColumnOptions,
    catalog: &dyn Catalog,
    cx: &BindContext,
) -> Result<Vec<ColumnInfo>> {
    if defs.is_empty() {
        return Err(Error::new(Code::EMPTY_LIST_OF_COLUMNS_PASSED, "a stream needs at least one column"));
    }
    super::room::with_room(|roomy| {
        let binder = Binder { text, roomy, ..Binder::new(catalog, cx) };
        let infos = bind_with(&binder, defs, options, cx);
        (infos, binder.needs_room.get())
    })
}

fn bind_with(
    binder: &Binder<'_>,
    defs: &[ast::ColumnDef],
    options: &ColumnOptions,
    cx: &BindContext,
) -> Result<Vec<ColumnInfo>> {
    let defs = flatten(binder, defs, cx)?;
    let mut columns = Columns { binder, defs, types: Vec::new(), options };
    columns.check_names()?;
    columns.check_cycles()?;
    columns.types()?;
    let mut infos = columns.infos()?;
    if !infos.iter().any(ColumnInfo::is_stored) {
        return Err(Error::new(Code::EMPTY_LIST_OF_COLUMNS_PASSED, "a stream needs at least one stored column"));
    }
    if options.stream {
        columns.reserved(options, &mut infos)?;
    }
    Ok(infos)
}

/// Nested columns become one array column for each element.
fn flatten(
    binder: &Binder<'_>,
    defs: &[ast::ColumnDef],
    cx: &BindContext,
) -> Result<Vec<(ast::ColumnDef, Option<LogicalType>)>> {
    let mut flat = Vec::with_capacity(defs.len());
    for def in defs {
        let ty = def.ty.as_ref().map(|t| declared_type(t, def, cx)).transpose();
        let ty = ty.map_err(|e| binder.place(e, def.span))?;
        if let Some(ty) = &ty {
            check_states(binder, ty, cx).map_err(|e| binder.place(e, def.span))?;
        }
        match ty {
            Some(LogicalType::Nested(elements)) if cx.settings.bool("flatten_nested") => {
                for (name, element) in elements.iter() {
                    let def = ast::ColumnDef { name: format!("{}.{name}", def.name), ..def.clone() };
                    flat.push((def, Some(LogicalType::array(element.clone()))));
                }
            }
            ty => flat.push((def.clone(), ty)),
        }
    }
    Ok(flat)
}

fn declared_type(name: &ast::TypeName, def: &ast::ColumnDef, cx: &BindContext) -> Result<LogicalType> {
    let ty = canonical(parse_type(&name.to_string())?);
    if def.nullable.is_some() && ty.is_nullable() {
        let message =
            format!("column \"{}\" is of type {ty}: [NOT] NULL cannot stand behind a nullable type", def.name);
        return Err(Error::new(Code::ILLEGAL_SYNTAX_FOR_DATA_TYPE, message));
    }
    let ty = match def.nullable {
        Some(true) => hydron_types::parse::nullable(ty)?,
        None if cx.settings.bool("data_type_default_nullable") && hydron_types::supertype::can_be_nullable(&ty) => {
            LogicalType::nullable(ty)
        }
        _ => ty,
    };
    check_low_cardinality(&ty, cx)?;
    Ok(ty)
}

/// A state is named after the function itself, as `_state` names it: `uniq` is `unique`.
fn canonical(ty: LogicalType) -> LogicalType {
    let name = |name: Arc<str>| {
        let (base, params) = name.split_at(name.find('(').unwrap_or(name.len()));
        Arc::from(format!("{}{params}", Registry::builtin().canonical(base)))
    };
    match ty {
        LogicalType::AggregateFunction { name: of, args } => LogicalType::AggregateFunction { name: name(of), args },
        LogicalType::SimpleAggregateFunction { name: of, arg } => {
            LogicalType::SimpleAggregateFunction { name: name(of), arg }
        }
        ty => ty,
    }
}

/// The type in which an answer is stored where nobody declares one: a dictionary of small values, as a function of a
/// `low_cardinality` column gives, is none.
pub fn stored_type(ty: &LogicalType, cx: &BindContext) -> LogicalType {
    match ty {
        LogicalType::LowCardinality(inner) if check_low_cardinality(ty, cx).is_err() => (**inner).clone(),
        ty => ty.clone(),
    }
}

/// Errors: UNKNOWN_AGGREGATE_FUNCTION (63) for states of a function that is not there, and what it says of its arguments.
fn check_states(binder: &Binder<'_>, ty: &LogicalType, cx: &BindContext) -> Result<()> {
    let LogicalType::AggregateFunction { name, args } = ty else { return Ok(()) };
    let base = name.split_once('(').map_or(&**name, |(base, _)| base);
    let registry = binder.functions(base);
    if registry.aggregate(base).is_none() {
        let text = format!("unknown aggregate function \"{base}\"");
        return Err(Error::new(Code::UNKNOWN_AGGREGATE_FUNCTION, text));
    }
    let args: Vec<ArgInfo> = args.iter().cloned().map(ArgInfo::column).collect();
    registry.bind_aggregate_of_state(name, cx, &args).map(|_| ())
}

/// Only the type of the column itself is looked at, as ClickHouse does; inside arrays anything goes.
fn check_low_cardinality(ty: &LogicalType, cx: &BindContext) -> Result<()> {
    let LogicalType::LowCardinality(inner) = ty else { return Ok(()) };
    if !is_small(inner.bare()) || cx.settings.bool("allow_suspicious_low_cardinality_types") {
        return Ok(());
    }
    let text = format!("{ty}: a dictionary of so small values costs more than it saves");
    let error = Error::new(Code::SUSPICIOUS_TYPE_FOR_LOW_CARDINALITY, text);
    Err(error.hint("SET allow_suspicious_low_cardinality_types = 1"))
}

/// At most eight bytes each.
fn is_small(ty: &LogicalType) -> bool {
    ty.bits().is_some_and(|b| b <= 64)
        || ty.is_date_or_time()
        || matches!(ty, LogicalType::Ipv4 | LogicalType::Enum8(_) | LogicalType::Enum16(_))
}

struct Columns<'b, 'a> {
    binder: &'b Binder<'a>,
    defs: Vec<(ast::ColumnDef, Option<LogicalType>)>,
    types: Vec<LogicalType>,
    options: &'b ColumnOptions,
}

impl Columns<'_, '_> {
    fn check_names(&self) -> Result<()> {
        for (i, (def, ty)) in self.defs.iter().enumerate() {
            if self.defs[..i].iter().any(|(d, _)| d.name == def.name) {
                let error = Error::new(Code::DUPLICATE_COLUMN, format!("column \"{}\" is declared twice", def.name));
                return Err(self.binder.place(error, def.span));
            }
            check_reserved(&def.name, ty.as_ref(), self.options).map_err(|e| self.binder.place(e, def.span))?;
        }
        Ok(())
    }

    /// The columns whose values the default of `index` needs.
    fn needs(&self, index: usize) -> Vec<usize> {
        let Some(expr) = self.defs[index].0.default.as_ref().and_then(|d| d.expr.as_ref()) else { return Vec::new() };
        let mut needs = Vec::new();
        expr.walk(&mut |e| {
            if let Some(name) = e.as_identifier() {
                let (full, first) = (name.full(), name.parts.first());
                let found = self.defs.iter().position(|(d, _)| d.name == full);
                needs.extend(found.or_else(|| self.defs.iter().position(|(d, _)| Some(&d.name) == first)));
            }
        });
        needs
    }

    fn check_cycles(&self) -> Result<()> {
        // 0: not seen, 1: open, 2: done.
        let mut state = vec![0_u8; self.defs.len()];
        for start in 0..self.defs.len() {
            let mut path = vec![(start, self.needs(start))];
            while let Some((column, needs)) = path.last_mut() {
                let column = *column;
                state[column] = state[column].max(1);
                match needs.pop() {
                    Some(next) if state[next] == 1 => {
                        let text = format!("the default of column \"{}\" needs itself", self.defs[next].0.name);
                        let error = Error::new(Code::CYCLIC_ALIASES, text);
                        return Err(self.binder.place(error, self.defs[next].0.span));
                    }
                    Some(next) if state[next] == 0 => path.push((next, self.needs(next))),
                    Some(_) => {}
                    None => {
                        state[column] = 2;
                        path.pop();
                    }
                }
            }
        }
        Ok(())
    }

    /// Decides the types that defaults give; a default may use a column whose type another default gives.
    fn types(&mut self) -> Result<()> {
        for _ in 0..=self.defs.len() {
            let Some(open) = (0..self.defs.len()).find(|i| self.is_ready(*i)) else { break };
            let ty = match self.default_expr(open)? {
                Some(expr) => expr.ty,
                None => LogicalType::String,
            };
            self.defs[open].1 = Some(ty);
        }
        self.types = self.defs.iter().map(|(_, ty)| ty.clone().unwrap_or(LogicalType::String)).collect();
        Ok(())
    }

    /// Has no type yet, and everything its default needs has one.
    fn is_ready(&self, index: usize) -> bool {
        self.defs[index].1.is_none() && self.needs(index).iter().all(|n| self.defs[*n].1.is_some())
    }

    fn schema(&self) -> Schema {
        let field = |(d, t): &(ast::ColumnDef, Option<LogicalType>)| Some(Field::new(d.name.as_str(), t.clone()?));
        Schema::new(self.defs.iter().filter_map(field).collect())
    }

    fn default_expr(&self, index: usize) -> Result<Option<Expr>> {
        let Some(expr) = self.defs[index].0.default.as_ref().and_then(|d| d.expr.as_ref()) else { return Ok(None) };
        self.bind(expr, &self.schema())
            .map(Some)
            .map_err(|e| e.context(format!("default of column \"{}\"", self.defs[index].0.name)))
    }

    fn bind(&self, expr: &ast::Expr, schema: &Schema) -> Result<Expr> {
        let env = Env::root(Arc::clone(&self.binder.cx.settings));
        let aliases = Aliases::default();
        let scope = Scope::of_schema(TableName::default(), schema);
        Exprs::new(self.binder, &env, scope, &aliases, true).bind_in(expr, Place::DEFAULT)
    }

    fn infos(&self) -> Result<Vec<ColumnInfo>> {
        let mut infos = Vec::with_capacity(self.defs.len());
        for (i, (def, _)) in self.defs.iter().enumerate() {
            if let Some(expr) = self.default_expr(i)? {
                cast_to(expr, &self.types[i], self.binder.cx.zone)
                    .map_err(|e| e.context(format!("default of column \"{}\"", def.name)))?;
            }
            if let Some(ttl) = &def.ttl {
                self.bind(ttl, &self.schema())?;
            }
            let codec: Vec<String> = def.codec.iter().map(|c| c.to_string()).collect();
            let is_alias = def.default.as_ref().is_some_and(|d| d.kind == ast::DefaultKind::Alias);
            if is_alias && !codec.is_empty() {
                return Err(Error::bad_arguments(format!("column \"{}\" is an ALIAS, so it has no codec", def.name)));
            }
            infos.push(ColumnInfo {
                default: default_of(def),
                comment: def.comment.clone().unwrap_or_default(),
                codec: codec.join(", "),
                ttl: def.ttl.as_ref().map(ToString::to_string).unwrap_or_default(),
                ..ColumnInfo::new(def.name.as_str(), self.types[i].clone())
            });
        }
        Ok(infos)
    }

    /// Adds `_tp_time` and `_tp_delta`.
    fn reserved(&self, options: &ColumnOptions, infos: &mut Vec<ColumnInfo>) -> Result<()> {
        let declared = |infos: &[ColumnInfo], name: &str| infos.iter().any(|c| &*c.name == name);
        if !declared(infos, "_tp_time") {
            let ty = LogicalType::DateTime64(3, Some(Zone::UTC));
            let text = if options.event_time.is_empty() { "now64(3, 'UTC')" } else { &options.event_time };
            let expr = hydron_sql::parse_expression(text)?;
            let bound = self.binder.inside_text(|| self.bind(&expr, &self.schema()));
            let bound = bound.map_err(|e| e.context("event_time_column"))?;
            cast_to(bound, &ty, self.binder.cx.zone).map_err(|e| e.context("event_time_column"))?;
            infos.push(ColumnInfo {
                default: ColumnDefault::Default(expr.to_string()),
                codec: "DoubleDelta, LZ4".to_string(),
                ..ColumnInfo::new("_tp_time", ty)
            });
        }
        let changes = matches!(options.mode, StreamMode::Changelog | StreamMode::ChangelogKv);
        if changes && !declared(infos, "_tp_delta") {
            infos.push(ColumnInfo {
                default: ColumnDefault::Default("1".to_string()),
                ..ColumnInfo::new("_tp_delta", LogicalType::Int8)
            });
        }
        Ok(())
    }
}

/// Errors: ILLEGAL_COLUMN (44).
fn check_reserved(name: &str, ty: Option<&LogicalType>, options: &ColumnOptions) -> Result<()> {
    let external = options.external;
    let fits = match name {
        "_tp_message_key" if external => true,
        "_tp_message_headers" if external => {
            let is_text = |t: &LogicalType| *t == LogicalType::String;
            ty.is_none_or(|t| matches!(t, LogicalType::Map(k, v) if is_text(k) && is_text(v)))
        }
        "_tp_time" | "_tp_index_time" => ty.is_none_or(|t| matches!(t, LogicalType::DateTime64(..))),
        "_tp_sn" => ty.is_none_or(|t| *t == LogicalType::Int64),
        "_tp_delta" => ty.is_none_or(|t| *t == LogicalType::Int8),
        "window_start" | "window_end" => options.of_view,
        name => !name.starts_with("_tp_"),
    };
    if fits {
        return Ok(());
    }
    Err(Error::new(Code::ILLEGAL_COLUMN, format!("the name \"{name}\" is reserved, or reserved for another type")))
}

fn default_of(def: &ast::ColumnDef) -> ColumnDefault {
    let Some(default) = &def.default else { return ColumnDefault::None };
    let text = default.expr.as_ref().map(ToString::to_string);
    match (default.kind, text) {
        (ast::DefaultKind::Ephemeral, text) => ColumnDefault::Ephemeral(text),
        (_, None) => ColumnDefault::None,
        (ast::DefaultKind::Default, Some(text)) => ColumnDefault::Default(text),
        (ast::DefaultKind::Materialized, Some(text)) => ColumnDefault::Materialized(text),
        (ast::DefaultKind::Alias, Some(text)) => ColumnDefault::Alias(text),
    }
}
