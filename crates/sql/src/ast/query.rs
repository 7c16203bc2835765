//! Queries: SELECT with all its clauses, set operations, table expressions, EMIT.

use super::{Expr, Function, Literal, ObjectName, Span, WindowSpec};

/// A whole query: one SELECT or several combined, wherever a query may stand.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub body: QueryBody,
    /// `q | SELECT …`: each stage reads the result of the one before (`enable_query_pipe`).
    pub pipe: Vec<Query>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum QueryBody {
    Select(Box<Select>),
    /// A query in parentheses.
    Nested(Box<Query>),
    /// Folded from the left; INTERSECT is already grouped tighter than UNION and EXCEPT.
    Set(Box<SetOperation>),
}

/// `first op1 q1 op2 q2 …`, evaluated from the left. `rest` has one entry or more.
#[derive(Clone, Debug, PartialEq)]
pub struct SetOperation {
    pub first: QueryBody,
    pub rest: Vec<(SetOperator, QueryBody)>,
}

/// `quantifier` as written; a bare UNION means `union_default_mode` (ALL).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SetOperator {
    pub kind: SetKind,
    pub quantifier: Option<SetQuantifier>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetKind {
    Union,
    Intersect,
    Except,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetQuantifier {
    All,
    Distinct,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Select {
    pub with: Vec<WithItem>,
    pub distinct: Option<Distinct>,
    pub top: Option<Top>,
    pub projection: Vec<Expr>,
    pub from: Option<FromClause>,
    pub prewhere: Option<Expr>,
    pub filter: Option<Expr>,
    /// PARTITION BY: substreams. Never together with `shuffle_by`.
    pub partition_by: Vec<Expr>,
    /// SHUFFLE BY: column names only.
    pub shuffle_by: Vec<Expr>,
    pub group_by: Option<GroupBy>,
    pub having: Option<Expr>,
    pub windows: Vec<NamedWindow>,
    /// A condition on the answers of window functions.
    pub qualify: Option<Expr>,
    pub order_by: Vec<OrderItem>,
    /// INTERPOLATE after WITH FILL; an empty list means all columns.
    pub interpolate: Option<Vec<Interpolate>>,
    pub limit_by: Option<LimitBy>,
    pub limit: Option<Limit>,
    pub emit: Option<Box<Emit>>,
    pub settings: Vec<Setting>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum WithItem {
    /// `name [(column, …)] AS (SELECT …)`; `recursive`: the query may read its own rows so far.
    Query { name: String, columns: Vec<String>, recursive: bool, query: Box<Query> },
    /// `expr AS name`, `(SELECT …) AS name`; the alias is set.
    Expr(Expr),
}

/// `DISTINCT`, `DISTINCT ON (…)`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distinct {
    pub on: Vec<Expr>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Top {
    pub count: Expr,
    pub with_ties: bool,
}

/// The FROM clause, flat and folded from the left. `first` is `None` only for `ARRAY JOIN` without a table.
#[derive(Clone, Debug, PartialEq)]
pub struct FromClause {
    pub first: Option<TableExpr>,
    pub rest: Vec<FromItem>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum FromItem {
    Join(Box<Join>),
    ArrayJoin(ArrayJoin),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    pub locality: Option<JoinLocality>,
    pub kind: JoinKind,
    pub strictness: Option<JoinStrictness>,
    pub table: TableExpr,
    pub constraint: Option<JoinConstraint>,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JoinLocality {
    Global,
    Local,
}

/// `Inner` also for a bare JOIN. `Comma` is a cross join written `a, b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    Cross,
    Comma,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JoinStrictness {
    Any,
    All,
    Asof,
    Semi,
    Anti,
    Latest,
}

#[derive(Clone, Debug, PartialEq)]
pub enum JoinConstraint {
    On(Expr),
    /// Columns, or expressions over them.
    Using(Vec<Expr>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct ArrayJoin {
    pub left: bool,
    /// Empty parses; it is an error of the binder's (42).
    pub items: Vec<Expr>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TableExpr {
    pub kind: TableExprKind,
    pub alias: Option<Box<str>>,
    /// `FINAL`
    pub is_final: bool,
    pub sample: Option<Sample>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TableExprKind {
    Name(ObjectName),
    /// `table(s)`, `tumble(…)`, `numbers(10)`. Arguments: identifiers name streams, functions nest, subqueries may stand
    /// bare in parentheses, `[a, b)` is a [`super::ExprKind::SessionRange`].
    Function(Box<Function>),
    Subquery(Box<Query>),
}

/// `SAMPLE ratio [OFFSET offset]`; the ratio of `1/10` keeps its division.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub ratio: Expr,
    pub offset: Option<Expr>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupBy {
    pub kind: GroupByKind,
    /// WITH TOTALS; may be the only thing said.
    pub with_totals: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum GroupByKind {
    Plain(Vec<Expr>),
    Rollup(Vec<Expr>),
    Cube(Vec<Expr>),
    GroupingSets(Vec<Vec<Expr>>),
}

impl Default for GroupByKind {
    fn default() -> GroupByKind {
        GroupByKind::Plain(Vec::new())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct NamedWindow {
    pub name: String,
    pub spec: WindowSpec,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OrderItem {
    pub expr: Expr,
    pub descending: bool,
    pub nulls_first: Option<bool>,
    pub collate: Option<String>,
    pub fill: Option<Fill>,
}

/// `WITH FILL [FROM a] [TO b] [STEP c]`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fill {
    pub from: Option<Expr>,
    pub to: Option<Expr>,
    pub step: Option<Expr>,
}

/// `name [AS expr]`
#[derive(Clone, Debug, PartialEq)]
pub struct Interpolate {
    pub name: String,
    pub expr: Option<Expr>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LimitBy {
    pub count: Expr,
    pub offset: Option<Expr>,
    pub by: Vec<Expr>,
}

/// `count` is `None` for `OFFSET n` alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    pub count: Option<Expr>,
    pub offset: Option<Expr>,
    pub with_ties: bool,
}

/// The EMIT clause, each option at most once. Intervals are `to_interval_*` calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Emit {
    pub mode: Option<EmitMode>,
    pub after: Option<EmitAfter>,
    /// WITH DELAY
    pub delay: Option<Expr>,
    pub periodic: Option<Expr>,
    /// PERIODIC x REPEAT
    pub repeat: bool,
    pub on_update: bool,
    /// ON UPDATE WITH BATCH
    pub batch: Option<Expr>,
    pub per_event: bool,
    pub timeout: Option<Expr>,
    pub last: Option<Expr>,
    /// LAST x ON PROCTIME
    pub last_on_proctime: bool,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EmitMode {
    Stream,
    Changelog,
}

#[derive(Clone, Debug, PartialEq)]
pub enum EmitAfter {
    Watermark,
    WindowClose,
    /// `AFTER SESSION CLOSE`, earlier `AFTER KEY EXPIRE`: `IDENTIFIED BY (ts[, start, end]) WITH [ONLY] MAXSPAN iv`.
    SessionClose {
        key_expire: bool,
        identified_by: Vec<Expr>,
        only: bool,
        maxspan: Option<Expr>,
    },
}

/// `name = value` of SET and SETTINGS.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    pub name: String,
    pub value: SettingValue,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SettingValue {
    Literal(Literal),
    /// `name = DEFAULT`
    Default,
    /// A bare word or another expression: `mode = append`.
    Expr(Expr),
}
