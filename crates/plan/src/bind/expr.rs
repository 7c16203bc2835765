//! Expressions of one SELECT: names to columns, calls to kernels.
//!
//! In: a syntax tree and what its names may mean. Out: an expression over the columns of the scope. What is not a value of
//! one row comes out as a placeholder column, far above every real position: aggregates, array joins, window functions,
//! `emit_version()` and `_tp_delta`. The SELECT replaces placeholders once it knows where their columns are.

use super::Binder;
use super::alias::Aliases;
use super::cast::cast_to;
use super::env::Env;
use super::json::{JsonPaths, holds_json};
use super::literal::literal;
use super::scope::Scope;
use crate::expr::{AggCall, Expr, ExprKind};
use crate::node::{LagCall, WindowCall};
use hashbrown::HashMap;
use hydron_base::{Code, Error, Result};
use hydron_func::BindContext;
use hydron_sql::ast;
use hydron_types::LogicalType;
use std::sync::Arc;

/// Real columns are below; placeholders of each kind have a range of their own.
pub(super) const AGGREGATES: usize = 1 << 32;
pub(super) const ARRAY_JOINS: usize = 2 << 32;
pub(super) const WINDOWS: usize = 3 << 32;
pub(super) const EMIT_VERSION: usize = 4 << 32;
pub(super) const DELTA: usize = 5 << 32;
pub(super) const LAGS: usize = 6 << 32;
/// Parameters of the lambda being bound.
const PARAMS: usize = 7 << 32;

/// Depth of an expression with its aliases put in: beyond it a thread of 2 MiB is in danger.
const DEPTH_MAX: usize = 400;

/// An identifier whose first part is this means the column at the position in the second part.
pub(super) const POSITION_MARK: &str = "\u{1}column";

/// Where an expression stands, and so what it may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub name: &'static str,
    pub aggregates: bool,
    pub windows: bool,
    /// `lag()` and its like.
    pub lags: bool,
    /// The error of `array_join()` here; `None`: allowed.
    pub array_join: Option<Code>,
}

impl Place {
    pub const ROW: Place =
        Place { name: "this place", aggregates: false, windows: false, lags: false, array_join: None };
    pub const WHERE: Place = Place { name: "WHERE", ..Place::ROW };
    pub const PREWHERE: Place = Place { name: "PREWHERE", array_join: Some(Code::ILLEGAL_PREWHERE), ..Place::ROW };
    pub const JOIN_ON: Place =
        Place { name: "JOIN ON", array_join: Some(Code::INVALID_JOIN_ON_EXPRESSION), ..Place::ROW };
    pub const GROUP_BY: Place = Place { name: "GROUP BY", ..Place::ROW };
    pub const AGGREGATE: Place = Place { name: "an aggregate function", lags: true, ..Place::ROW };
    pub const SELECT: Place = Place { name: "SELECT", aggregates: true, windows: true, lags: true, array_join: None };
    pub const HAVING: Place = Place { name: "HAVING", aggregates: true, windows: false, lags: false, array_join: None };
    pub const QUALIFY: Place = Place { name: "QUALIFY", ..Place::SELECT };
    pub const ORDER_BY: Place = Place { name: "ORDER BY", ..Place::SELECT };
    pub const WINDOW: Place = Place { name: "a window function", ..Place::HAVING };
    pub const CONSTANT: Place = Place { name: "a constant", array_join: Some(Code::BAD_ARGUMENTS), ..Place::ROW };
    pub const DEFAULT: Place =
        Place { name: "a column expression", array_join: Some(Code::BAD_ARGUMENTS), ..Place::ROW };
}

/// A lambda whose body is being bound.
#[derive(Default)]
pub(super) struct LambdaFrame {
    params: Vec<(String, LogicalType)>,
    /// Positions in the frame outside (or the scope), in order of their first use.
    captures: Vec<usize>,
}

/// Binds the expressions of one SELECT and keeps what they need beside rows.
pub(super) struct Exprs<'a> {
    pub b: &'a Binder<'a>,
    pub env: &'a Env<'a>,
    pub cx: BindContext,
    pub scope: Scope,
    pub aliases: &'a Aliases<'a>,
    pub place: Place,
    /// A name that two sources have is an error even for two sources (JOIN ON).
    pub strict: bool,
    pub aggs: Vec<AggCall>,
    pub array_joins: Vec<Expr>,
    pub windows: Vec<WindowCall>,
    pub lags: Vec<LagCall>,
    /// One of them is in the select list and not under an aggregate.
    pub plain_lags: bool,
    pub named_windows: &'a [ast::NamedWindow],
    pub emit_version: bool,
    /// `_tp_delta` may be selected: the query emits a changelog.
    pub delta: bool,
    pub delta_used: usize,
    /// In a stream: the keys of `OVER (PARTITION BY …)`, one set for all calls.
    pub over_keys: Option<Vec<Expr>>,
    /// The keys of `lag(…) OVER (PARTITION BY keys)` in a stream.
    pub lag_keys: Option<Vec<Expr>>,
    pub plain_aggregates: bool,
    /// `lag` and its like occur.
    pub stateful: Option<Arc<str>>,
    /// GROUP BY, once it is bound.
    pub group_keys: Vec<Expr>,
    /// Rows are grouped by more than one set of them.
    pub has_grouping_sets: bool,
    /// Columns of rows where aggregates may stand too, with their places in the text; what is under a group key is left out.
    plain_columns: Vec<(usize, ast::Span)>,
    /// The name that is being bound.
    at: ast::Span,
    stack: Vec<String>,
    cache: HashMap<(String, bool), (Expr, usize)>,
    pub(super) lambdas: Vec<LambdaFrame>,
    depth: usize,
}

impl<'a> Exprs<'a> {
    pub fn new(
        b: &'a Binder<'a>,
        env: &'a Env<'a>,
        scope: Scope,
        aliases: &'a Aliases<'a>,
        streaming: bool,
    ) -> Exprs<'a> {
        let cx = BindContext { settings: Arc::clone(&env.settings), streaming, ..b.cx.clone() };
        Exprs {
            b,
            env,
            cx,
            scope,
            aliases,
            place: Place::ROW,
            strict: false,
            aggs: Vec::new(),
            array_joins: Vec::new(),
            windows: Vec::new(),
            lags: Vec::new(),
            named_windows: &[],
            plain_lags: false,
            emit_version: false,
            delta: false,
            delta_used: 0,
            over_keys: None,
            lag_keys: None,
            plain_aggregates: false,
            stateful: None,
            group_keys: Vec::new(),
            has_grouping_sets: false,
            plain_columns: Vec::new(),
            at: ast::Span::default(),
            stack: Vec::new(),
            cache: HashMap::new(),
            lambdas: Vec::new(),
            depth: 0,
        }
    }

    /// Binds `expr` as it may stand in `place`.
    pub fn bind_in(&mut self, expr: &ast::Expr, place: Place) -> Result<Expr> {
        let before = std::mem::replace(&mut self.place, place);
        let bound = self.bind(expr);
        self.place = before;
        bound
    }

    /// Binds a condition: its value is bool, or nullable bool.
    pub fn condition(&mut self, expr: &ast::Expr, place: Place) -> Result<Expr> {
        let bound = self.bind_in(expr, place)?;
        self.truth(bound, place.name)
    }

    /// `expr` as bool. Errors: ILLEGAL_TYPE_OF_COLUMN_FOR_FILTER (59).
    pub fn truth(&self, expr: Expr, place: &str) -> Result<Expr> {
        match expr.ty.bare() {
            LogicalType::Bool => Ok(expr),
            LogicalType::Nothing => cast_to(expr, &LogicalType::nullable(LogicalType::Bool), self.cx.zone),
            t if t.is_number() => {
                let to =
                    if expr.ty.is_nullable() { LogicalType::nullable(LogicalType::Bool) } else { LogicalType::Bool };
                cast_to(expr, &to, self.cx.zone)
            }
            _ => Err(Error::new(
                Code::ILLEGAL_TYPE_OF_COLUMN_FOR_FILTER,
                format!("the condition of {place} is of type {} instead of bool", expr.ty),
            )),
        }
    }

    pub fn bind(&mut self, expr: &ast::Expr) -> Result<Expr> {
        self.b.count(1)?;
        self.b.check_room(self.depth, super::room::LEVELS)?;
        if self.depth >= DEPTH_MAX {
            let text = format!("an expression is more than {DEPTH_MAX} levels deep, its aliases put in");
            return Err(Error::new(Code::TOO_DEEP_RECURSION, text));
        }
        self.depth += 1;
        if let ast::ExprKind::Identifier(_) = &expr.kind {
            self.at = expr.span;
        }
        let noted = self.plain_columns.len();
        let bound = match &expr.alias {
            Some(alias) => self.aliased(alias, expr),
            None => self.kind(expr),
        };
        self.depth -= 1;
        if self.plain_columns.len() > noted
            && let Ok(bound) = &bound
            && self.group_keys.iter().any(|k| k.is_same(bound))
        {
            self.plain_columns.truncate(noted);
        }
        bound.map_err(|e| self.b.place(e, expr.span))
    }

    /// An expression under its alias: bound once, so that `rand() AS r` is one number wherever `r` stands.
    fn aliased(&mut self, alias: &str, expr: &ast::Expr) -> Result<Expr> {
        let named = self.lambdas.is_empty() && self.aliases.get(alias).is_some_and(|target| target.kind == expr.kind);
        if named && let Some(known) = self.cached(alias)? {
            return Ok(known);
        }
        let before = self.b.counted();
        self.stack.push(alias.to_string());
        let bound = self.kind(expr);
        self.stack.pop();
        let bound = bound?;
        if named {
            let key = (alias.to_string(), self.place.aggregates);
            self.cache.insert(key, (bound.clone(), self.b.counted() - before));
        }
        Ok(bound)
    }

    /// What an alias was bound to before; what holds no aggregate is good where aggregates may stand too.
    fn cached(&mut self, name: &str) -> Result<Option<Expr>> {
        let own = self.cache.get(&(name.to_string(), self.place.aggregates));
        let found = own.or_else(|| self.cache.get(&(name.to_string(), false)));
        let Some((expr, size)) = found else { return Ok(None) };
        self.b.count(*size)?;
        Ok(Some(expr.clone()))
    }

    pub fn bind_all(&mut self, exprs: &[ast::Expr]) -> Result<Vec<Expr>> {
        exprs.iter().map(|e| self.bind(e)).collect()
    }

    fn kind(&mut self, expr: &ast::Expr) -> Result<Expr> {
        match &expr.kind {
            ast::ExprKind::Literal(l) => Ok(literal(l)),
            ast::ExprKind::Identifier(name) => self.identifier(&name.parts),
            ast::ExprKind::Function(f) => self.function(f),
            ast::ExprKind::Chain(chain) => self.chain(chain),
            ast::ExprKind::Subquery(query) => self.b.scalar_subquery(query, self.env),
            ast::ExprKind::Exists(query) => self.b.exists(query, self.env),
            ast::ExprKind::JsonPath(path) => self.json_path(path),
            ast::ExprKind::Parameter(p) => self.parameter(p),
            other => Err(misplaced(other, self.place.name)),
        }
    }

    /// From the left; constants fold on the way, so only what depends on rows grows in depth.
    fn chain(&mut self, chain: &ast::Chain) -> Result<Expr> {
        let mut left = self.bind(&chain.first)?;
        let mut depth = 0;
        for (op, right) in &chain.rest {
            let right = self.bind(right)?;
            left = self.call(op.function(), vec![left, right])?;
            if left.as_literal().is_none() {
                depth += 1;
            }
            if depth > DEPTH_MAX {
                let text = format!("a chain of more than {DEPTH_MAX} operators does not fold to a constant");
                return Err(Error::new(Code::TOO_DEEP_RECURSION, text));
            }
        }
        Ok(left)
    }

    fn json_path(&mut self, path: &ast::JsonPath) -> Result<Expr> {
        let mut column = self.identifier(&path.column.parts)?;
        if *column.ty.bare() == LogicalType::Json {
            let names = path.path.strip_prefix("$.").filter(|p| !p.contains(['[', '"']));
            if let Some(names) = names {
                let steps: Vec<String> = names.split('.').map(str::to_string).collect();
                let json = self.json_of(&column);
                return self.json_subcolumn(column, &steps, json.as_deref());
            }
            column = cast_to(column, &LogicalType::String, self.cx.zone)?;
        }
        let path = Expr::literal(hydron_types::Value::string(&path.path), LogicalType::String);
        self.call("json_value", vec![column, path])
    }

    fn parameter(&mut self, parameter: &ast::Parameter) -> Result<Expr> {
        let text = self.b.parameter(&self.env.settings, &parameter.name)?;
        if parameter.ty.eq_ignore_ascii_case("identifier") {
            return self.identifier(&[text.to_string()]);
        }
        self.b.typed_parameter(parameter, text, self.cx.zone)
    }

    pub fn identifier(&mut self, parts: &[String]) -> Result<Expr> {
        if let [mark, position] = parts
            && mark == POSITION_MARK
        {
            let index: usize = position.parse().map_err(|_| Error::bug("a column mark without a position"))?;
            return Ok(self.column(index));
        }
        if let Some(expr) = self.lambda_param(parts)? {
            return Ok(expr);
        }
        if let [name] = parts
            && name == "_tp_delta"
            && self.delta
            && self.place.aggregates
        {
            self.delta_used += 1;
            return Ok(Expr::column(DELTA, LogicalType::Int8));
        }
        let prefer_column = self.prefers_columns();
        if !prefer_column && let Some(expr) = self.alias(parts)? {
            return Ok(expr);
        }
        if let Some(found) = self.scope.find(parts, self.strict)? {
            let (index, path) = (found.index, found.path.to_vec());
            let json = self.scope.columns.get(index).and_then(|c| c.json.clone());
            let column = self.column(index);
            return if path.is_empty() { Ok(column) } else { self.inside(column, &path, json.as_deref()) };
        }
        if prefer_column && let Some(expr) = self.alias(parts)? {
            return Ok(expr);
        }
        Err(self.unknown(parts))
    }

    fn unknown(&self, parts: &[String]) -> Error {
        let name = parts.join(".");
        let error = Error::new(Code::UNKNOWN_IDENTIFIER, format!("column \"{name}\" is unknown"));
        let near = self.scope.near(parts.last().map_or("", |p| p.as_str()));
        if near.is_empty() { error } else { error.hint(near.join(", ")) }
    }

    /// What an alias stands for. `None`: there is none, or the name stands inside it and means a column.
    fn alias(&mut self, parts: &[String]) -> Result<Option<Expr>> {
        let whole;
        let name = match parts {
            [one] => one.as_str(),
            _ => {
                whole = parts.join(".");
                &whole
            }
        };
        let Some(target) = self.aliases.get(name) else {
            return self.alias_element(parts);
        };
        if self.stack.last().is_some_and(|s| s == name) {
            return Ok(None);
        }
        if self.stack.iter().any(|s| s == name) {
            return Err(Error::new(Code::CYCLIC_ALIASES, format!("alias \"{name}\" is defined by itself")));
        }
        if self.lambdas.is_empty()
            && let Some(known) = self.cached(name)?
        {
            return Ok(Some(known));
        }
        if matches!(target.kind, ast::ExprKind::Asterisk(_) | ast::ExprKind::Columns(_) | ast::ExprKind::Lambda(_)) {
            return Ok(None);
        }
        self.bind(target).map(Some)
    }

    /// `a.x` where `a` is the alias of a tuple.
    fn alias_element(&mut self, parts: &[String]) -> Result<Option<Expr>> {
        let [first, path @ ..] = parts else { return Ok(None) };
        if path.is_empty() || self.aliases.get(first).is_none() || self.scope.find(parts, false)?.is_some() {
            return Ok(None);
        }
        let Some(tuple) = self.alias(std::slice::from_ref(first))? else { return Ok(None) };
        let json = self.json_of(&tuple);
        self.inside(tuple, path, json.as_deref()).map(Some)
    }

    /// The expression of an alias if it is a lambda: a lambda may be passed by its name.
    pub fn lambda_alias(&self, expr: &ast::Expr) -> Option<&'a ast::Lambda> {
        let name = expr.as_identifier()?.single()?;
        match &self.aliases.get(name)?.kind {
            ast::ExprKind::Lambda(lambda) => Some(lambda),
            _ => None,
        }
    }

    /// What lies on `path` inside a value: elements of tuples, parts of arrays, maps and nullable values.
    fn inside(&mut self, value: Expr, path: &[String], json: Option<&JsonPaths>) -> Result<Expr> {
        let mut value = value;
        for (at, step) in path.iter().enumerate() {
            if holds_json(&value.ty) && step != "size0" {
                return self.json_subcolumn(value, &path[at..], json);
            }
            let text = Expr::literal(hydron_types::Value::string(step), LogicalType::String);
            value = match (value.ty.bare(), step.as_str()) {
                (LogicalType::Array(_), "size0") | (LogicalType::Map(..), "size0") => {
                    self.call("length", vec![value])?
                }
                (LogicalType::Array(_), step) if step.strip_prefix("size").is_some_and(|n| n.parse::<u8>().is_ok()) => {
                    let depth: u8 = step.strip_prefix("size").and_then(|n| n.parse().ok()).unwrap_or(0);
                    let depth = Expr::literal(hydron_types::Value::UInt(depth.into()), LogicalType::UInt8);
                    self.call("__array_sizes", vec![value, depth])?
                }
                (LogicalType::Map(..), "keys") => self.call("map_keys", vec![value])?,
                (LogicalType::Map(..), "values") => self.call("map_values", vec![value])?,
                (LogicalType::Tuple(_) | LogicalType::Array(_), _) => self.call("tuple_element", vec![value, text])?,
                (_, "null") if value.ty.is_nullable() => {
                    let is_null = self.call("is_null", vec![value])?;
                    self.call("to_uint8", vec![is_null])?
                }
                _ => return Err(self.unknown(path)),
            };
        }
        Ok(value)
    }

    /// Column `index` of the scope, captured by every lambda around.
    fn column(&mut self, index: usize) -> Expr {
        if self.place.aggregates && self.b.other_text.get() == 0 {
            self.plain_columns.push((index, self.at));
        }
        let ty = self.scope.columns.get(index).map_or(LogicalType::Nothing, |c| c.ty.clone());
        self.placeholder(index, ty)
    }

    /// A column of the scope or a placeholder, captured by every lambda around.
    pub fn placeholder(&mut self, index: usize, ty: LogicalType) -> Expr {
        Expr::column(self.capture(0, index), ty)
    }

    /// The position by which the innermost lambda sees `index`, a position outside of frame `from`.
    fn capture(&mut self, from: usize, index: usize) -> usize {
        let mut index = index;
        for frame in &mut self.lambdas[from..] {
            index = frame.captures.iter().position(|c| *c == index).unwrap_or_else(|| {
                frame.captures.push(index);
                frame.captures.len() - 1
            });
        }
        index
    }

    fn lambda_param(&mut self, parts: &[String]) -> Result<Option<Expr>> {
        let Some(first) = parts.first() else { return Ok(None) };
        let found = self.lambdas.iter().enumerate().rev().find_map(|(f, frame)| {
            frame.params.iter().position(|(n, _)| n == first).map(|p| (f, p, frame.params[p].1.clone()))
        });
        let Some((frame, param, ty)) = found else { return Ok(None) };
        let index = self.capture(frame + 1, PARAMS + param);
        let value = Expr::column(index, ty);
        if parts.len() == 1 { Ok(Some(value)) } else { self.inside(value, &parts[1..], None).map(Some) }
    }

    /// Binds a lambda whose parameters have these types.
    pub fn lambda(&mut self, lambda: &ast::Lambda, types: &[LogicalType]) -> Result<Expr> {
        if lambda.params.len() != types.len() {
            let text =
                format!("a lambda of {} parameters stands where one of {} is needed", lambda.params.len(), types.len());
            return Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, text));
        }
        let params = lambda.params.iter().cloned().zip(types.iter().cloned()).collect();
        self.lambdas.push(LambdaFrame { params, captures: Vec::new() });
        // Inside, a name of an alias around means that alias; the cache holds values of the rows outside.
        let bound = self.bind(&lambda.body);
        let frame = self.lambdas.pop().unwrap_or_default();
        let captured = frame.captures.len();
        let body = bound?.map_columns(&|c| if c >= PARAMS { captured + (c - PARAMS) } else { c });
        let ty = body.ty.clone();
        let kind = ExprKind::Lambda { captures: frame.captures, params: types.to_vec(), body: Arc::new(body) };
        Ok(Expr { kind, ty })
    }

    /// Where column `index` stands outside of aggregates and group keys.
    pub fn place_of_plain(&self, index: usize) -> Option<ast::Span> {
        self.plain_columns.iter().find(|(c, _)| *c == index).map(|(_, span)| *span)
    }

    pub fn in_lambda(&self) -> bool {
        !self.lambdas.is_empty()
    }

    /// Whether an expression names a parameter of a lambda around it.
    pub fn reads_lambda(&self, expr: &ast::Expr) -> bool {
        let mut own = Vec::new();
        expr.walk(&mut |e| {
            if let ast::ExprKind::Lambda(lambda) = &e.kind {
                own.extend(lambda.params.iter().cloned());
            }
        });
        let is_param = |name: &String| self.lambdas.iter().any(|f| f.params.iter().any(|(n, _)| n == name));
        expr.any(&mut |e| {
            e.as_identifier().and_then(|i| i.parts.first()).is_some_and(|n| is_param(n) && !own.contains(n))
        })
    }

    /// Whether a column comes before an alias of its name.
    pub fn prefers_columns(&self) -> bool {
        self.env.settings.bool("prefer_column_name_to_alias")
    }

    /// Binds outside of every lambda: the arguments of aggregates and array joins.
    pub fn outside_lambdas<T>(&mut self, bind: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let frames = std::mem::take(&mut self.lambdas);
        let result = bind(self);
        self.lambdas = frames;
        result
    }
}

#[cold]
fn misplaced(kind: &ast::ExprKind, place: &str) -> Error {
    let what = match kind {
        ast::ExprKind::Asterisk(_) => "an asterisk",
        ast::ExprKind::Columns(_) => "COLUMNS",
        ast::ExprKind::Lambda(_) => "a lambda",
        _ => "a range in brackets",
    };
    Error::new(Code::UNKNOWN_IDENTIFIER, format!("{what} cannot stand alone in {place}"))
}
