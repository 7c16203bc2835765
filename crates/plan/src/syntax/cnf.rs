//! WHERE as a conjunction of disjunctions, and without what is known of the columns.
//!
//! In: a condition, and what ASSUME constraints say. Out: the same condition, or none where it is always true. Promise: a condition
//! that would grow too much stays as it was. The order of its parts is ClickHouse's.

use super::tree_hash::{Hash, hash};
use hydron_sql::ast::{Expr, ExprKind, Function, Literal, Style};
use std::collections::{BTreeMap, BTreeSet};

/// Atoms of the result for each atom of the condition.
const GROWTH_MAX: usize = 20;

/// A condition that is no AND, OR or NOT. Parts are ordered by their hash.
#[derive(Clone, Debug)]
struct Atom {
    hash: Hash,
    negative: bool,
    expr: Expr,
}

impl Atom {
    fn new(expr: Expr, negative: bool) -> Atom {
        Atom { hash: hash(&expr), negative, expr }
    }

    fn key(&self) -> (Hash, bool) {
        (self.hash, self.negative)
    }
}

impl PartialEq for Atom {
    fn eq(&self, other: &Atom) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Atom {}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Atom) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Atom {
    fn cmp(&self, other: &Atom) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

type Or = BTreeSet<Atom>;
type And = BTreeSet<Or>;

/// The condition rewritten. `None`: every row passes.
pub(crate) fn rewrite(filter: &Expr, assumed: &Assumed) -> Option<Expr> {
    let mut budget = GROWTH_MAX * atoms(filter).max(1);
    let Some(groups) = convert(filter, false, &mut budget) else { return Some(filter.clone()) };
    let mut out = And::new();
    for group in groups {
        if group.iter().any(|atom| assumed.says(atom) == Some(true)) {
            continue;
        }
        let left: Or = group.into_iter().filter(|atom| assumed.says(atom) != Some(false)).map(without_not).collect();
        if left.is_empty() {
            return Some(Literal::Bool(false).into());
        }
        out.insert(left);
    }
    let mut groups: Vec<Expr> =
        out.into_iter().map(|group| joined("or", group.into_iter().map(written).collect())).collect();
    match groups.len() {
        0 => None,
        1 => groups.pop(),
        _ => Some(joined("and", groups)),
    }
}

fn joined(name: &str, mut parts: Vec<Expr>) -> Expr {
    match parts.len() {
        1 => parts.remove(0),
        _ => Function::styled(name, parts, Style::Infix).into(),
    }
}

fn written(atom: Atom) -> Expr {
    match atom.negative {
        true => Function::styled("not", vec![atom.expr], Style::Prefix).into(),
        false => atom.expr,
    }
}

fn logic<'a>(expr: &'a Expr, name: &str) -> Option<&'a [Expr]> {
    expr.as_function().filter(|f| f.name == name).map(|f| f.args.as_slice())
}

fn atoms(expr: &Expr) -> usize {
    let parts = ["and", "or", "not"].iter().find_map(|name| logic(expr, name));
    parts.map_or(1, |parts| parts.iter().map(atoms).sum())
}

/// `None`: it would grow beyond the budget.
fn convert(expr: &Expr, negative: bool, budget: &mut usize) -> Option<And> {
    if let Some([inner]) = logic(expr, "not") {
        return convert(inner, !negative, budget);
    }
    let (and, or) = (logic(expr, "and"), logic(expr, "or"));
    // NOT of an AND is an OR of what is not.
    let (parts, is_and) = match (and, or) {
        (Some(parts), _) => (parts, !negative),
        (_, Some(parts)) => (parts, negative),
        _ => return Some(And::from([Or::from([Atom::new(expr.clone(), negative)])])),
    };
    let mut all: Option<And> = None;
    for part in parts {
        let next = convert(part, negative, budget)?;
        all = Some(match all {
            None => next,
            Some(before) if is_and => before.into_iter().chain(next).collect(),
            Some(before) => {
                let mut product = And::new();
                for a in &before {
                    for b in &next {
                        let both: Or = a.union(b).cloned().collect();
                        product.insert(both);
                    }
                }
                product
            }
        });
        let size: usize = all.iter().flatten().map(Or::len).sum();
        if size > *budget {
            return None;
        }
    }
    all
}

/// `NOT a < b` is `a >= b`.
fn without_not(atom: Atom) -> Atom {
    const OPPOSITES: &[(&str, &str)] = &[
        ("equals", "not_equals"),
        ("less", "greater_or_equals"),
        ("greater", "less_or_equals"),
        ("in", "not_in"),
        ("like", "not_like"),
        ("ilike", "not_ilike"),
        ("is_null", "is_not_null"),
        ("empty", "not_empty"),
    ];
    let ExprKind::Function(f) = &atom.expr.kind else { return atom };
    let opposite = OPPOSITES.iter().find_map(|(a, b)| match () {
        () if f.name == *a => Some(*b),
        () if f.name == *b => Some(*a),
        () => None,
    });
    match opposite.filter(|_| atom.negative) {
        Some(name) => Atom::new(Function { name: name.to_owned(), ..(**f).clone() }.into(), false),
        None => atom,
    }
}

/// Bounds of columns, by constraints that are assumed.
#[derive(Debug, Default)]
pub(crate) struct Assumed(BTreeMap<String, Bounds>);

/// Least and greatest value, each with whether the value itself is one.
#[derive(Clone, Debug, Default)]
struct Bounds {
    low: Option<(f64, bool)>,
    high: Option<(f64, bool)>,
}

impl Assumed {
    /// Comparisons of columns with numbers; other constraints say nothing here.
    pub(crate) fn of(constraints: &[Expr]) -> Assumed {
        let mut all = Assumed::default();
        for constraint in constraints.iter().flat_map(conjuncts) {
            let Some((column, operator, value)) = comparison(constraint) else { continue };
            let bounds = all.0.entry(column).or_default();
            let higher = |old: Option<(f64, bool)>, new: (f64, bool)| match old {
                Some(old) if old.0 > new.0 || (old.0 == new.0 && !old.1) => Some(old),
                _ => Some(new),
            };
            let lower = |old: Option<(f64, bool)>, new: (f64, bool)| match old {
                Some(old) if old.0 < new.0 || (old.0 == new.0 && !old.1) => Some(old),
                _ => Some(new),
            };
            match operator {
                "greater" => bounds.low = higher(bounds.low, (value, false)),
                "greater_or_equals" => bounds.low = higher(bounds.low, (value, true)),
                "less" => bounds.high = lower(bounds.high, (value, false)),
                "less_or_equals" => bounds.high = lower(bounds.high, (value, true)),
                "equals" => {
                    bounds.low = higher(bounds.low, (value, true));
                    bounds.high = lower(bounds.high, (value, true));
                }
                _ => {}
            }
        }
        all
    }

    /// Whether an atom is always true or always false; `None`: it depends.
    fn says(&self, atom: &Atom) -> Option<bool> {
        let (column, operator, value) = comparison(&atom.expr)?;
        let bounds = self.0.get(&column)?;
        // All values of the column are below, or above, the value.
        let below =
            |or_equal: bool| bounds.high.is_some_and(|(h, has)| h < value || (h == value && (or_equal || !has)));
        let above = |or_equal: bool| bounds.low.is_some_and(|(l, has)| l > value || (l == value && (or_equal || !has)));
        let (always, never) = match operator {
            "less" => (below(false), above(true)),
            "less_or_equals" => (below(true), above(false)),
            "greater" => (above(false), below(true)),
            "greater_or_equals" => (above(true), below(false)),
            "equals" => (false, below(false) || above(false)),
            "not_equals" => (below(false) || above(false), false),
            _ => (false, false),
        };
        match (always, never) {
            (true, _) => Some(!atom.negative),
            (_, true) => Some(atom.negative),
            _ => None,
        }
    }
}

fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    match logic(expr, "and") {
        Some(parts) => parts.iter().flat_map(conjuncts).collect(),
        None => vec![expr],
    }
}

/// Column, operator and number of `a < 1` and of `1 > a`.
fn comparison(expr: &Expr) -> Option<(String, &'static str, f64)> {
    const OPERATORS: &[(&str, &str)] = &[
        ("less", "greater"),
        ("greater", "less"),
        ("less_or_equals", "greater_or_equals"),
        ("greater_or_equals", "less_or_equals"),
        ("equals", "equals"),
        ("not_equals", "not_equals"),
    ];
    let f = expr.as_function()?;
    let (name, turned) = OPERATORS.iter().find(|(name, _)| *name == f.name)?;
    let number = |e: &Expr| match e.as_literal()? {
        Literal::String(_) | Literal::Null => None,
        // Beyond this a number may stand for its neighbours too.
        literal => literal.to_string().parse::<f64>().ok().filter(|v| v.abs() < 9e15),
    };
    let column = |e: &Expr| e.as_identifier().map(|i| i.parts.last().cloned().unwrap_or_default());
    let [a, b] = f.args.as_slice() else { return None };
    match (column(a), number(b), number(a), column(b)) {
        (Some(column), Some(value), ..) => Some((column, name, value)),
        (_, _, Some(value), Some(column)) => Some((column, turned, value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filter: &str, assumed: &[&str], expected: &str) {
        let parse = |text: &str| hydron_sql::parse_expression(text).unwrap();
        let assumed = Assumed::of(&assumed.iter().map(|a| parse(a)).collect::<Vec<_>>());
        let text = rewrite(&parse(filter), &assumed).map_or("-".to_owned(), |e| e.to_string());
        assert_eq!(text, expected);
    }

    #[test]
    fn conditions_become_conjunctions_in_clickhouses_order() {
        check("NOT ((i > 1) OR (i > 2))", &[], "(i <= 1) AND (i <= 2)");
        check("NOT ((i > 1) AND (i > 2))", &[], "(i <= 1) OR (i <= 2)");
        check("((i > 1) AND (i > 2)) OR (i > 3)", &[], "((i > 2) OR (i > 3)) AND ((i > 1) OR (i > 3))");
        check("NOT f(x)", &[], "NOT f(x)");
    }

    #[test]
    fn what_is_assumed_need_not_be_asked() {
        let bounds = &["b >= 5", "10 >= b"];
        for never in ["b > 15", "b = 20", "b < 2", "b < 5", "b > 10"] {
            check(never, bounds, "false");
        }
        check("b > 20 OR b < 8", bounds, "b < 8");
        check("b >= 5 AND b != 4", bounds, "-");
        check("b = 1 OR b < 18 OR c", &["b < 10"], "-");
        check("c > 20", bounds, "c > 20");
    }
}
