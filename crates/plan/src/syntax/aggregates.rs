//! Arithmetic with constants moves out of `sum`, `min`, `max` and `avg`; functions out of `any`; names become lower case.

use super::is_on;
use hydron_base::Settings;
use hydron_func::Registry;
use hydron_sql::ast::{Expr, ExprKind, Function, GroupByKind, Literal, Select, Style};

pub(super) fn rewrite(select: &mut Select, settings: &Settings) {
    let arithmetic = is_on(settings, "optimize_arithmetic_operations_in_aggregate_functions", true);
    let out_of_any = is_on(settings, "optimize_move_functions_out_of_any", false);
    let names = is_on(settings, "normalize_function_names", true);
    let change = |expr: Expr| {
        let expr = if names { expr.map(&mut named) } else { expr };
        let expr = expr.map(&mut counted);
        let expr = if arithmetic { expr.map(&mut exchanged) } else { expr };
        if out_of_any { expr.map(&mut moved_out_of_any) } else { expr }
    };
    for_exprs(select, &change);
}

fn for_exprs(select: &mut Select, change: &impl Fn(Expr) -> Expr) {
    let put = |expr: &mut Expr| {
        let taken = std::mem::replace(expr, Literal::Null.into());
        *expr = change(taken);
    };
    select.projection.iter_mut().for_each(put);
    for filter in [&mut select.prewhere, &mut select.filter, &mut select.having] {
        filter.iter_mut().for_each(put);
    }
    if let Some(group_by) = &mut select.group_by {
        match &mut group_by.kind {
            GroupByKind::Plain(keys) | GroupByKind::Rollup(keys) | GroupByKind::Cube(keys) => {
                keys.iter_mut().for_each(put);
            }
            GroupByKind::GroupingSets(sets) => sets.iter_mut().flatten().for_each(put),
        }
    }
    select.order_by.iter_mut().for_each(|item| put(&mut item.expr));
}

/// A function that is known by another case of its name alone.
fn named(mut expr: Expr) -> Expr {
    if let ExprKind::Function(f) = &mut expr.kind {
        let canonical = Registry::builtin().canonical(&f.name);
        if canonical != f.name && canonical.eq_ignore_ascii_case(&f.name) {
            f.name = canonical.into_owned();
        }
    }
    expr
}

/// `count(*)` and `count(1)` are `count()`.
fn counted(mut expr: Expr) -> Expr {
    if let ExprKind::Function(f) = &mut expr.kind
        && f.name == "count"
        && !f.distinct
        && let [arg] = f.args.as_slice()
    {
        let all = matches!(&arg.kind, ExprKind::Asterisk(a) if a.qualifier.is_none() && a.transformers.is_empty());
        let constant = matches!(arg.as_literal(), Some(Literal::UInt(_) | Literal::Int(_)));
        if all || constant {
            f.args.clear();
        }
    }
    expr
}

fn plain(f: &Function) -> bool {
    f.over.is_none() && f.filter.is_none() && !f.distinct
}

fn exchanged(expr: Expr) -> Expr {
    let Some((name, operator, left, right)) = operation(&expr) else { return expr };
    let allowed: &[&str] = match name.as_str() {
        "sum" => &["multiply", "divide"],
        "min" | "max" | "avg" => &["multiply", "divide", "plus", "minus"],
        _ => return expr,
    };
    if !allowed.contains(&operator) {
        return expr;
    }
    let (first, second) = (left.as_literal(), right.as_literal());
    let reversed = |name: &str| match name {
        "min" => "max".to_owned(),
        "max" => "min".to_owned(),
        other => other.to_owned(),
    };
    let scales = matches!(operator, "multiply" | "divide");
    let aggregate = |name: String, arg: Expr| exchanged(Expr::call(name, vec![arg]));
    let args = match (first, second) {
        // `1 / n` would lose its precision.
        (Some(_), None) if operator == "divide" => return expr,
        (Some(literal), None) => {
            let reverse = operator == "minus" || (operator == "multiply" && is_negative(literal));
            let name = if reverse { reversed(&name) } else { name };
            vec![left, aggregate(name, right)]
        }
        (_, Some(literal)) => {
            let name = if scales && is_negative(literal) { reversed(&name) } else { name };
            vec![aggregate(name, left), right]
        }
        (None, None) => return expr,
    };
    let call: Expr = Function::styled(operator, args, Style::Infix).into();
    Expr { alias: expr.alias, ..call }
}

fn is_negative(literal: &Literal) -> bool {
    literal.to_string().starts_with('-')
}

/// Name of an aggregate of one arithmetic operation, the operation and its operands.
fn operation(expr: &Expr) -> Option<(String, &'static str, Expr, Expr)> {
    let aggregate = expr.as_function().filter(|f| plain(f))?;
    let [arg] = aggregate.args.as_slice() else { return None };
    let (operator, left, right) = match &arg.kind {
        ExprKind::Function(f) if f.args.len() == 2 => (f.name.clone(), f.args[0].clone(), f.args[1].clone()),
        ExprKind::Chain(chain) => {
            let mut chain = (**chain).clone();
            let (operator, right) = chain.rest.pop()?;
            let left = match chain.rest.len() {
                0 => chain.first,
                1 => {
                    let (operator, second) = chain.rest.remove(0);
                    Function::styled(operator.function(), vec![chain.first, second], Style::Infix).into()
                }
                _ => ExprKind::Chain(Box::new(chain)).into(),
            };
            (operator.function().to_owned(), left, right)
        }
        _ => return None,
    };
    let known = ["multiply", "divide", "plus", "minus"];
    let operator = known.into_iter().find(|o| *o == operator)?;
    Some((aggregate.name.to_ascii_lowercase(), operator, left, right))
}

/// `any(f(x, 1))` is `f(any(x), 1)`.
fn moved_out_of_any(expr: Expr) -> Expr {
    let Some(outer) = expr.as_function().filter(|f| plain(f) && matches!(f.name.as_str(), "any" | "any_last")) else {
        return expr;
    };
    let [arg] = outer.args.as_slice() else { return expr };
    let is_call = matches!(arg.kind, ExprKind::Function(_) | ExprKind::Chain(_));
    let registry = Registry::builtin();
    let is_scalar = |e: &Expr| match &e.kind {
        ExprKind::Function(f) => plain(f) && registry.aggregate(&f.name).is_none() && f.name != "array_join",
        ExprKind::Chain(_) | ExprKind::Identifier(_) | ExprKind::Literal(_) => true,
        _ => false,
    };
    let reads = arg.any(&mut |e| e.as_identifier().is_some());
    if !is_call || !reads || arg.any(&mut |e| !is_scalar(e)) {
        return expr;
    }
    let name = outer.name.clone();
    let wrapped = arg.clone().map(&mut |e| match e.as_identifier() {
        Some(_) => Expr::call(name.clone(), vec![Expr { alias: None, ..e }]),
        None => e,
    });
    Expr { alias: expr.alias, ..wrapped }
}
