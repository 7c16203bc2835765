//! A projection whose common sub-expressions are computed once.
//!
//! In: expressions over one input. Out: the same expressions over the input followed by the shared values. Promise: only
//! calls that answer alike are shared (for `rand()` and `lag()`: the one call that an alias names twice), and a call that
//! stands only in branches is left there, since evaluating it for all rows could fail where its branch would not.

use super::branch;
use crate::expr::{Expr, ExprKind};
use arrow::array::ArrayRef;
use hashbrown::HashMap;
use hydron_base::Result;
use hydron_func::EvalContext;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

/// Expressions made ready for many batches.
#[derive(Clone, Debug)]
pub struct Projection {
    /// Values that several expressions need, each over the input and the ones before it.
    shared: Vec<Expr>,
    exprs: Vec<Expr>,
}

impl Projection {
    /// `width` is the number of columns of the input.
    pub fn new(exprs: &[Expr], width: usize) -> Projection {
        let mut census = Census::default();
        exprs.iter().for_each(|e| census.count(e, true));
        if census.repeated == 0 {
            return Projection { shared: Vec::new(), exprs: exprs.to_vec() };
        }
        let mut rewrite = Rewrite { census: &census, width, places: HashMap::new(), shared: Vec::new() };
        let exprs = exprs.iter().map(|e| rewrite.expr(e)).collect();
        Projection { shared: rewrite.shared, exprs }
    }

    /// One array of `rows` values for each expression.
    pub fn eval(&self, cx: &EvalContext, columns: &[ArrayRef], rows: usize) -> Result<Vec<ArrayRef>> {
        if self.shared.is_empty() {
            return self.exprs.iter().map(|e| e.eval_to_array_columns(cx, columns, rows)).collect();
        }
        let mut columns = columns.to_vec();
        for shared in &self.shared {
            let value = shared.eval_to_array_columns(cx, &columns, rows)?;
            columns.push(value);
        }
        self.exprs.iter().map(|e| e.eval_to_array_columns(cx, &columns, rows)).collect()
    }
}

/// How often each call occurs, found by its shape.
#[derive(Default)]
struct Census<'a> {
    hasher: hashbrown::DefaultHashBuilder,
    seen: HashMap<u64, Vec<Seen<'a>>>,
    repeated: usize,
}

struct Seen<'a> {
    expr: &'a Expr,
    times: usize,
    /// It stands somewhere where it is evaluated for all rows.
    always: bool,
}

impl<'a> Census<'a> {
    fn count(&mut self, expr: &'a Expr, always: bool) {
        let ExprKind::Call { name, args, .. } = &expr.kind else {
            return;
        };
        let same = self.seen.entry(shape(expr, &self.hasher)).or_default();
        if let Some(seen) = same.iter_mut().find(|s| s.expr.is_same(expr)) {
            seen.times += 1;
            seen.always |= always;
            self.repeated += 1;
            return;
        }
        same.push(Seen { expr, times: 1, always });
        let rule = branch::rule(name);
        for (i, arg) in args.iter().enumerate() {
            self.count(arg, always && !rule.is_some_and(|r| branch::is_conditional(r, i)));
        }
    }

    fn is_shared(&self, expr: &Expr, shape: u64) -> bool {
        self.seen.get(&shape).is_some_and(|s| s.iter().any(|s| s.times > 1 && s.always && s.expr.is_same(expr)))
    }
}

struct Rewrite<'a> {
    census: &'a Census<'a>,
    width: usize,
    /// Shape to shared values of that shape.
    places: HashMap<u64, Vec<(Expr, usize)>>,
    shared: Vec<Expr>,
}

impl Rewrite<'_> {
    fn expr(&mut self, expr: &Expr) -> Expr {
        let ExprKind::Call { .. } = &expr.kind else {
            return expr.clone();
        };
        let shape = shape(expr, &self.census.hasher);
        if !self.census.is_shared(expr, shape) {
            return self.inside(expr);
        }
        if let Some((_, place)) = self.places.get(&shape).and_then(|p| p.iter().find(|(e, _)| e.is_same(expr))) {
            return Expr::column(*place, expr.ty.clone());
        }
        let inner = self.inside(expr);
        let place = self.width + self.shared.len();
        self.shared.push(inner);
        self.places.entry(shape).or_default().push((expr.clone(), place));
        Expr::column(place, expr.ty.clone())
    }

    fn inside(&mut self, expr: &Expr) -> Expr {
        match &expr.kind {
            ExprKind::Call { name, kernel, args, volatility } => Expr {
                kind: ExprKind::Call {
                    name: Arc::clone(name),
                    kernel: Arc::clone(kernel),
                    args: args.iter().map(|a| self.expr(a)).collect(),
                    volatility: *volatility,
                },
                ty: expr.ty.clone(),
            },
            _ => expr.clone(),
        }
    }
}

/// A hash that is equal for expressions that are the same.
fn shape(expr: &Expr, hasher: &impl BuildHasher) -> u64 {
    let mut state = hasher.build_hasher();
    hash_into(expr, &mut state);
    state.finish()
}

fn hash_into(expr: &Expr, state: &mut impl Hasher) {
    std::mem::discriminant(&expr.kind).hash(state);
    match &expr.kind {
        ExprKind::Column(i) => i.hash(state),
        ExprKind::Literal(_) => expr.ty.hash(state),
        ExprKind::Call { name, args, .. } => {
            name.hash(state);
            args.iter().for_each(|a| hash_into(a, state));
        }
        ExprKind::Lambda { captures, params, body } => {
            captures.hash(state);
            params.hash(state);
            hash_into(body, state);
        }
    }
}
