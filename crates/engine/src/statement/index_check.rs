//! INDEX … TYPE: whether an index that a CREATE declares can be.
//!
//! In: the declaration and the columns. Out: nothing, or what is wrong. Indexes are kept for SHOW CREATE; what is accepted here is what
//! ClickHouse accepts.

use crate::catalog::lookup::Lookup;
use hydron_base::{Code, Error, Result};
use hydron_func::{BindContext, Volatility};
use hydron_plan::bind::bind_scalar_expr;
use hydron_plan::{ColumnInfo, StreamInfo};
use hydron_sql::ast::{Expr, ExprKind, IndexDef, ProjectionDef, QueryBody};
use hydron_types::{LogicalType, Schema};
use std::collections::HashSet;

/// Bits of a Bloom filter.
const FILTER_BYTES_MAX: u64 = 16 << 20;

const TYPES: &[&str] = &["minmax", "set", "bloom_filter", "ngrambf_v1", "tokenbf_v1", "hypothesis", "annoy", "usearch"];

/// Errors: those of [`check`], BAD_ARGUMENTS (36) for two of one name and for one that says something else each time, what binding
/// answers.
pub fn check_all(
    indexes: &[IndexDef],
    info: &StreamInfo,
    schema: &Schema,
    lookup: &Lookup,
    cx: &BindContext,
) -> Result<()> {
    let cx = &BindContext { streaming: true, ..cx.clone() };
    for (at, index) in indexes.iter().enumerate() {
        check(index, &info.columns)?;
        if indexes[..at].iter().any(|other| other.name == index.name) {
            return Err(Error::bad_arguments(format!("there are two indexes '{}'", index.name)));
        }
        let bound = bind_scalar_expr(&index.expr, schema, lookup, cx);
        let bound = bound.map_err(|e| e.context(format!("index '{}'", index.name)))?;
        if bound.volatility() > Volatility::Immutable {
            let message = format!("index '{}' does not say the same of a row each time", index.name);
            return Err(Error::bad_arguments(message));
        }
    }
    Ok(())
}

/// Whether projections have names of their own and name columns that are there.
///
/// Errors: BAD_ARGUMENTS (36), UNKNOWN_IDENTIFIER (47).
pub fn check_projections(projections: &[ProjectionDef], info: &StreamInfo) -> Result<()> {
    for (at, projection) in projections.iter().enumerate() {
        if projections[..at].iter().any(|other| other.name == projection.name) {
            return Err(Error::bad_arguments(format!("there are two projections '{}'", projection.name)));
        }
        let QueryBody::Select(select) = &projection.query.body else { continue };
        let mut own: HashSet<String> = HashSet::new();
        let mut exprs: Vec<&Expr> = select.projection.iter().collect();
        exprs.extend(select.order_by.iter().map(|item| &item.expr));
        for expr in &exprs {
            expr.walk(&mut |e| {
                own.extend(e.alias.as_deref().map(str::to_string));
                if let ExprKind::Lambda(lambda) = &e.kind {
                    own.extend(lambda.params.iter().cloned());
                }
            });
        }
        let mut unknown = None;
        for expr in exprs {
            expr.walk(&mut |e| {
                let Some(name) = e.as_identifier() else { return };
                let is_known = |n: &str| own.contains(n) || info.columns.iter().any(|c| &*c.name == n);
                if !is_known(&name.full()) && !name.parts.first().is_some_and(|first| is_known(first)) {
                    unknown.get_or_insert_with(|| name.full());
                }
            });
        }
        if let Some(name) = unknown {
            let message = format!("projection '{}': column \"{name}\" is unknown", projection.name);
            return Err(Error::new(Code::UNKNOWN_IDENTIFIER, message));
        }
    }
    Ok(())
}

/// Errors: INCORRECT_QUERY (80), BAD_ARGUMENTS (36).
pub fn check(index: &IndexDef, columns: &[ColumnInfo]) -> Result<()> {
    let (kind, args): (String, &[Expr]) = match (index.ty.as_function(), index.ty.as_identifier()) {
        (Some(f), _) => (f.name.to_lowercase(), &f.args),
        (None, Some(name)) => (name.full().to_lowercase(), &[]),
        (None, None) => (index.ty.to_string(), &[]),
    };
    let wrong = |why: String| Err(Error::new(Code::INCORRECT_QUERY, format!("index '{}': {why}", index.name)));
    let bad = |why: String| Err(Error::bad_arguments(format!("index '{}': {why}", index.name)));
    if !TYPES.contains(&kind.as_str()) {
        return wrong(format!("its type {kind} is unknown, there are {}", TYPES.join(", ")));
    }
    let whole = |arg: &Expr| arg.as_literal().and_then(|l| l.as_u64());
    match kind.as_str() {
        "minmax" | "hypothesis" if !args.is_empty() => wrong(format!("{kind} takes no arguments")),
        "set" if args.len() != 1 => wrong("set takes one argument, how many values it keeps".to_string()),
        "set" if whole(&args[0]).is_none() => wrong("the argument of set is a whole number".to_string()),
        "bloom_filter" if args.len() > 1 => wrong("bloom_filter takes one argument, or none".to_string()),
        "bloom_filter" => match args.first().map(ToString::to_string).map(|t| t.parse::<f64>()) {
            None => Ok(()),
            Some(Ok(share)) if (0.0..1.0).contains(&share) => Ok(()),
            _ => wrong("the argument of bloom_filter is a share between 0 and 1".to_string()),
        },
        "ngrambf_v1" | "tokenbf_v1" => {
            let count = if kind == "ngrambf_v1" { 4 } else { 3 };
            if args.len() != count {
                return wrong(format!("{kind} takes {count} arguments, given {}", args.len()));
            }
            if let Some(column) = index.expr.as_identifier().map(|i| i.full())
                && let Some(found) = columns.iter().find(|c| *c.name == *column)
                && !is_text(&found.ty)
            {
                return wrong(format!("{kind} is of strings, '{column}' is of type {}", found.ty));
            }
            let Some(numbers) = args.iter().map(whole).collect::<Option<Vec<u64>>>() else {
                return bad(format!("the arguments of {kind} are whole numbers, 0 or more"));
            };
            let [.., bytes, hashes, _] = numbers.as_slice() else { return Ok(()) };
            if *bytes == 0 || *bytes > FILTER_BYTES_MAX {
                return bad(format!("the filter of {kind} has 1 to {FILTER_BYTES_MAX} bytes, not {bytes}"));
            }
            if *hashes == 0 || *hashes > 64 {
                return bad(format!("{kind} takes 1 to 64 hash functions, not {hashes}"));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn is_text(ty: &LogicalType) -> bool {
    match ty.bare() {
        LogicalType::Array(element) => is_text(element),
        // Its keys, or its values.
        LogicalType::Map(..) => true,
        ty => ty.is_string_like(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(ty: &str) -> Option<Code> {
        let parse = |text: &str| hydron_sql::parse_expression(text).unwrap();
        let index = IndexDef { name: "i".into(), expr: parse("a"), ty: parse(ty), granularity: None };
        check(&index, &[ColumnInfo::new("a", LogicalType::String)]).err().map(|e| e.code)
    }

    #[test]
    fn arguments_are_checked() {
        for good in ["minmax", "set(0)", "bloom_filter", "bloom_filter(0.01)", "tokenbf_v1(256, 2, 0)"] {
            assert_eq!(code(good), None, "{good}");
        }
        for bad in
            ["tokenbf_v1(0, 2, 0)", "tokenbf_v1(2, 0, 0)", "tokenbf_v1(0.1, 2, 0)", "tokenbf_v1(4294967295, 2, 0)"]
        {
            assert_eq!(code(bad), Some(Code::BAD_ARGUMENTS), "{bad}");
        }
        for bad in ["no_such_type", "set", "set(0.5)", "bloom_filter(2)", "ngrambf_v1(1, 2, 3)", "minmax(1)"] {
            assert_eq!(code(bad), Some(Code::INCORRECT_QUERY), "{bad}");
        }
    }
}
