//! Typed expressions: every type decided, every cast explicit, every name an index.

use hydron_func::{BoundAgg, Kernel, Volatility};
use hydron_types::{LogicalType, Value};
use std::fmt;
use std::sync::Arc;

/// An expression over the columns of one batch.
#[derive(Clone)]
pub struct Expr {
    pub kind: ExprKind,
    pub ty: LogicalType,
}

#[derive(Clone)]
pub enum ExprKind {
    /// Column of the input by position.
    Column(usize),
    Literal(Value),
    /// A function bound to the types of its arguments. `name` is canonical: the evaluator and the lowering to
    /// history know `and`, `or`, `if`, `multi_if`, `equals`, … by it.
    Call {
        name: Arc<str>,
        kernel: Arc<dyn Kernel>,
        args: Vec<Expr>,
        volatility: Volatility,
    },
    /// Only as an argument of a call. The body sees the captured columns first (`captures` are positions in the enclosing
    /// input), then the parameters.
    Lambda {
        captures: Vec<usize>,
        params: Vec<LogicalType>,
        body: Arc<Expr>,
    },
}

impl Expr {
    pub fn column(index: usize, ty: LogicalType) -> Expr {
        Expr { kind: ExprKind::Column(index), ty }
    }

    pub fn literal(value: Value, ty: LogicalType) -> Expr {
        Expr { kind: ExprKind::Literal(value), ty }
    }

    pub fn as_literal(&self) -> Option<&Value> {
        match &self.kind {
            ExprKind::Literal(v) => Some(v),
            _ => None,
        }
    }

    pub fn as_column(&self) -> Option<usize> {
        match &self.kind {
            ExprKind::Column(i) => Some(*i),
            _ => None,
        }
    }

    /// Calls `visit` for every column position the expression reads, captures of lambdas included.
    pub fn columns(&self, visit: &mut impl FnMut(usize)) {
        match &self.kind {
            ExprKind::Column(i) => visit(*i),
            ExprKind::Literal(_) => {}
            ExprKind::Call { args, .. } => args.iter().for_each(|a| a.columns(visit)),
            ExprKind::Lambda { captures, .. } => captures.iter().for_each(|c| visit(*c)),
        }
    }

    /// The same expression with every column position replaced by `to(position)`.
    pub fn map_columns(&self, to: &impl Fn(usize) -> usize) -> Expr {
        let kind = match &self.kind {
            ExprKind::Column(i) => ExprKind::Column(to(*i)),
            ExprKind::Literal(v) => ExprKind::Literal(v.clone()),
            ExprKind::Call { name, kernel, args, volatility } => ExprKind::Call {
                name: Arc::clone(name),
                kernel: Arc::clone(kernel),
                args: args.iter().map(|a| a.map_columns(to)).collect(),
                volatility: *volatility,
            },
            ExprKind::Lambda { captures, params, body } => ExprKind::Lambda {
                captures: captures.iter().map(|c| to(*c)).collect(),
                params: params.clone(),
                body: Arc::clone(body),
            },
        };
        Expr { kind, ty: self.ty.clone() }
    }

    /// Whether two expressions over one input always give the same values, as far as their shape shows it. Calls are the
    /// same when name, types and arguments are; where a kernel holds more than its arguments (an IN set) or answers anew each
    /// time (`rand()`), when the kernel is the same.
    pub fn is_same(&self, other: &Expr) -> bool {
        if self.ty != other.ty {
            return false;
        }
        match (&self.kind, &other.kind) {
            (ExprKind::Column(a), ExprKind::Column(b)) => a == b,
            (ExprKind::Literal(a), ExprKind::Literal(b)) => same_value(a, b),
            (
                ExprKind::Call { name: n, kernel: k, args: a, volatility: v },
                ExprKind::Call { name: m, kernel: l, args: b, volatility: w },
            ) => {
                n == m
                    && v == w
                    && a.len() == b.len()
                    && ((*v < Volatility::Volatile && !holds_more_than_arguments(n)) || Arc::ptr_eq(k, l))
                    && a.iter().zip(b).all(|(a, b)| a.is_same(b))
            }
            (
                ExprKind::Lambda { captures: a, params: p, body: x },
                ExprKind::Lambda { captures: b, params: q, body: y },
            ) => a == b && p == q && x.is_same(y),
            _ => false,
        }
    }

    /// The strongest volatility inside.
    pub fn volatility(&self) -> Volatility {
        match &self.kind {
            ExprKind::Column(_) | ExprKind::Literal(_) => Volatility::Immutable,
            ExprKind::Call { args, volatility, .. } => {
                args.iter().map(Expr::volatility).fold(*volatility, Volatility::max)
            }
            ExprKind::Lambda { body, .. } => body.volatility(),
        }
    }
}

/// Equality by bits, so that `nan` is itself.
fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float64(a), Value::Float64(b)) => a.to_bits() == b.to_bits(),
        (Value::Float32(a), Value::Float32(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

/// Calls whose kernel was made for more than their arguments.
fn holds_more_than_arguments(name: &str) -> bool {
    matches!(name, "in" | "not_in" | "global_in" | "global_not_in" | "in_set")
}

/// `name(#1, 'text')`: for EXPLAIN and messages; types only where they matter.
impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Column(i) => write!(f, "#{i}"),
            ExprKind::Literal(v) => f.write_str(&hydron_types::sql_literal(v, &self.ty)),
            ExprKind::Call { name, args, .. } => {
                write!(f, "{name}(")?;
                for (i, a) in args.iter().enumerate() {
                    write!(f, "{}{a:?}", if i == 0 { "" } else { ", " })?;
                }
                write!(f, ")")
            }
            ExprKind::Lambda { params, body, .. } => write!(f, "({} params) -> {body:?}", params.len()),
        }
    }
}

/// One aggregate of an Aggregate node.
#[derive(Clone)]
pub struct AggCall {
    pub name: Arc<str>,
    pub bound: BoundAgg,
    pub args: Vec<Expr>,
    /// Rows where this is not true are skipped (`FILTER (WHERE …)`).
    pub filter: Option<Expr>,
}

/// The name of the aggregate that stands for the keys of a row's grouping set: a bit for each key that the set has.
pub const GROUPING_SET: &str = "__grouping_set";

impl AggCall {
    pub fn is_grouping_set(&self) -> bool {
        &*self.name == GROUPING_SET
    }
}

impl fmt::Debug for AggCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:?})", self.name, self.args)?;
        self.filter.as_ref().map_or(Ok(()), |p| write!(f, " filter {p:?}"))
    }
}
