//! Expressions.
//!
//! Nearly everything is a [`Function`]: operators, CASE, casts, arrays, tuples, intervals and the keyword forms of
//! functions carry the canonical function name, and a [`Style`] that only the printer reads.

use super::{Identifier, Literal, OrderItem, Query, Span};

/// An expression, with its alias if it has one: `x AS a` may stand anywhere in an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub alias: Option<Box<str>>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    Literal(Literal),
    Identifier(Identifier),
    /// `*` with its EXCEPT, REPLACE and APPLY; qualified: `t.*`.
    Asterisk(Box<Asterisk>),
    /// `COLUMNS('re')`, `COLUMNS(a, b)`, qualified: `t.COLUMNS('re')`.
    Columns(Box<Columns>),
    Function(Box<Function>),
    /// Three or more operands of one left-associative precedence level: `a + b - c`, see [`Chain`].
    Chain(Box<Chain>),
    /// `x -> …`, `(x, y) -> …`
    Lambda(Box<Lambda>),
    /// `(SELECT …)` as a scalar, the right side of IN, or an argument of a table function.
    Subquery(Box<Query>),
    /// `EXISTS (SELECT …)`
    Exists(Box<Query>),
    /// `col:a.b[0]`
    JsonPath(Box<JsonPath>),
    /// `{name:type}`
    Parameter(Box<Parameter>),
    /// `[start_cond, end_cond)` as an argument of `session(…)`.
    SessionRange(Box<SessionRange>),
}

/// A call. Operators are calls too, by these names: `plus minus multiply divide modulo int_div negate`,
/// `equals not_equals less less_or_equals greater greater_or_equals is_not_distinct_from`, `and or not` (`and`, `or`
/// with any number of arguments), `like not_like ilike not_ilike match`, `in not_in global_in global_not_in`,
/// `is_null is_not_null`, `concat` (any number), `array_element(a, i)`, `tuple_element(t, n or 'name')`, `if(c, a, b)`,
/// `multi_if(c1, v1, …, else)`, `case_with_expression(x, w1, v1, …, else)`, `cast(x, 'type')`, `array`, `tuple`,
/// `to_interval_second(n)` and its like. BETWEEN is `and(greater_or_equals, less_or_equals)`, NOT BETWEEN is
/// `or(less, greater)`. A missing ELSE is a NULL argument. A constant before `::` becomes its text, as in ClickHouse:
/// `0.1::decimal(4, 4)` is `cast('0.1', 'decimal(4, 4)')`.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// As written, except that names which come from operators and keywords are lower case.
    pub name: String,
    pub args: Vec<Expr>,
    /// `f(DISTINCT x)`
    pub distinct: bool,
    /// `RESPECT NULLS` or `IGNORE NULLS` after the parentheses.
    pub nulls: Option<NullsAction>,
    /// `FILTER (WHERE …)`
    pub filter: Option<Expr>,
    pub over: Option<Over>,
    pub style: Style,
}

/// How a call was written. It changes the printed text and `column_name()` of arrays and tuples, never the meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// `f(a, b)`
    Call,
    /// An operator between its operands: `a + b`, `a AND b AND c`, `x IN y`. Calls by the canonical name of an operator
    /// (`plus(a, b)`) are Infix too.
    Infix,
    /// `-a`, `NOT a`
    Prefix,
    /// `a IS NULL`, `a IS NOT NULL`
    Postfix,
    /// `a[i]`
    Subscript,
    /// `t.1`, `t.name`
    Dot,
    /// `[a, b]`
    Brackets,
    /// `(a, b)`
    Parens,
    /// `INTERVAL n UNIT`
    Interval,
    /// `5s`
    IntervalToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NullsAction {
    Respect,
    Ignore,
}

/// `OVER name` or `OVER (…)`
#[derive(Clone, Debug, PartialEq)]
pub enum Over {
    Name(String),
    Spec(WindowSpec),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct WindowSpec {
    /// The named window this one extends.
    pub base: Option<String>,
    pub partition_by: Vec<Expr>,
    pub order_by: Vec<OrderItem>,
    pub frame: Option<WindowFrame>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct WindowFrame {
    pub unit: FrameUnit,
    pub start: FrameBound,
    /// `None` for the short form, which ends at the current row.
    pub end: Option<FrameBound>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameUnit {
    Rows,
    Range,
    Groups,
}

#[derive(Clone, Debug, PartialEq)]
pub enum FrameBound {
    CurrentRow,
    UnboundedPreceding,
    UnboundedFollowing,
    Preceding(Expr),
    Following(Expr),
}

/// `first op1 e1 op2 e2 …`, folded from the left: `op2(op1(first, e1), e2)`. `rest` has two entries or more.
/// `(a + b) + c` is the same tree as `a + b + c`. One operator alone is a [`Function`]; longer runs are flat so that 50,000 terms are no deeper than two.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    pub first: Expr,
    pub rest: Vec<(ChainOp, Expr)>,
}

/// The operators that chains are made of; `function()` is the canonical name. A chain holds operators of one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChainOp {
    Plus,
    Minus,
    Multiply,
    Divide,
    Modulo,
    IntDiv,
    Equals,
    NotEquals,
    Less,
    LessOrEquals,
    Greater,
    GreaterOrEquals,
    NotDistinct,
}

impl ChainOp {
    pub fn function(self) -> &'static str {
        match self {
            ChainOp::Plus => "plus",
            ChainOp::Minus => "minus",
            ChainOp::Multiply => "multiply",
            ChainOp::Divide => "divide",
            ChainOp::Modulo => "modulo",
            ChainOp::IntDiv => "int_div",
            ChainOp::Equals => "equals",
            ChainOp::NotEquals => "not_equals",
            ChainOp::Less => "less",
            ChainOp::LessOrEquals => "less_or_equals",
            ChainOp::Greater => "greater",
            ChainOp::GreaterOrEquals => "greater_or_equals",
            ChainOp::NotDistinct => "is_not_distinct_from",
        }
    }

    /// The operator as printed.
    pub fn symbol(self) -> &'static str {
        match self {
            ChainOp::Plus => "+",
            ChainOp::Minus => "-",
            ChainOp::Multiply => "*",
            ChainOp::Divide => "/",
            ChainOp::Modulo => "%",
            ChainOp::IntDiv => "DIV",
            ChainOp::Equals => "=",
            ChainOp::NotEquals => "!=",
            ChainOp::Less => "<",
            ChainOp::LessOrEquals => "<=",
            ChainOp::Greater => ">",
            ChainOp::GreaterOrEquals => ">=",
            ChainOp::NotDistinct => "<=>",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Lambda {
    pub params: Vec<String>,
    pub body: Expr,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asterisk {
    /// `t` of `t.*`
    pub qualifier: Option<Identifier>,
    pub transformers: Vec<ColumnTransformer>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    pub qualifier: Option<Identifier>,
    pub matcher: ColumnsMatcher,
    pub transformers: Vec<ColumnTransformer>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ColumnsMatcher {
    Regexp(String),
    List(Vec<Identifier>),
}

/// Applied to the columns of an asterisk or COLUMNS, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnTransformer {
    Except {
        strict: bool,
        columns: Vec<String>,
    },
    /// `EXCEPT('re')`
    ExceptRegexp(String),
    /// `REPLACE(expr AS name, …)`; the alias of each expression is the column it replaces.
    Replace {
        strict: bool,
        items: Vec<Expr>,
    },
    Apply(Apply),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Apply {
    /// `APPLY(f)`, `APPLY f(params)`: `f(column, params…)`. `prefix` is the column name prefix, if given.
    Function {
        name: String,
        params: Vec<Expr>,
        prefix: Option<String>,
    },
    Lambda(Lambda),
}

/// `col:a.b[0]` means `json_value(col, '$.a.b[0]')`.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    pub column: Identifier,
    /// `$.a.b[0]`
    pub path: String,
}

/// A query parameter. `ty` is the canonical text of its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    pub name: String,
    pub ty: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SessionRange {
    pub start: Expr,
    pub start_inclusive: bool,
    pub end: Expr,
    pub end_inclusive: bool,
}

impl From<ExprKind> for Expr {
    fn from(kind: ExprKind) -> Expr {
        Expr { kind, alias: None, span: Span::default() }
    }
}

impl From<Function> for Expr {
    fn from(function: Function) -> Expr {
        ExprKind::Function(Box::new(function)).into()
    }
}

impl From<Literal> for Expr {
    fn from(literal: Literal) -> Expr {
        ExprKind::Literal(literal).into()
    }
}

impl Expr {
    /// A column or stream by its undotted name.
    pub fn column(name: impl Into<String>) -> Expr {
        ExprKind::Identifier(Identifier::new(name)).into()
    }

    pub fn call(name: impl Into<String>, args: Vec<Expr>) -> Expr {
        Function::new(name, args).into()
    }

    pub fn string(text: impl AsRef<[u8]>) -> Expr {
        Literal::string(text).into()
    }

    pub fn with_alias(mut self, alias: impl Into<Box<str>>) -> Expr {
        self.alias = Some(alias.into());
        self
    }

    pub fn as_function(&self) -> Option<&Function> {
        match &self.kind {
            ExprKind::Function(f) => Some(f),
            _ => None,
        }
    }

    pub fn as_literal(&self) -> Option<&Literal> {
        match &self.kind {
            ExprKind::Literal(l) => Some(l),
            _ => None,
        }
    }

    pub fn as_identifier(&self) -> Option<&Identifier> {
        match &self.kind {
            ExprKind::Identifier(i) => Some(i),
            _ => None,
        }
    }
}

impl Function {
    pub fn new(name: impl Into<String>, args: Vec<Expr>) -> Function {
        Function::styled(name, args, Style::Call)
    }

    pub fn styled(name: impl Into<String>, args: Vec<Expr>, style: Style) -> Function {
        Function { name: name.into(), args, distinct: false, nulls: None, filter: None, over: None, style }
    }
}
