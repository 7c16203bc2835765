//! `grouping(key, …)`, and GROUP BY and ORDER BY ALL.
//!
//! In: keys of GROUP BY. Out: a number with a bit for each key, the first one highest: 1 where the row's grouping set leaves the key
//! out. With `force_grouping_standard_compatibility` off the bits are the other way round.

use super::asterisk::Member;
use super::expr::{Exprs, Place};
use crate::expr::{AggCall, Expr, ExprKind, GROUPING_SET};
use arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use arrow::datatypes::UInt64Type;
use hydron_base::{Code, Error, Result};
use hydron_func::{Datum, EvalContext, Kernel, Registry, Volatility};
use hydron_sql::ast;
use hydron_types::{LogicalType, Value};
use std::sync::Arc;

/// Bits of the answer.
const KEYS_MAX: usize = 64;

struct Bits {
    /// Positions of the keys asked for, among those of GROUP BY.
    keys: Vec<usize>,
    /// A key that is left out is 1.
    standard: bool,
}

impl Bits {
    fn of(&self, set: u64) -> u64 {
        let bit = |key: &usize| (set >> key & 1) ^ u64::from(self.standard);
        self.keys.iter().fold(0, |bits, key| bits << 1 | bit(key))
    }

    fn all(&self, sets: &ArrayRef) -> Result<ArrayRef> {
        let sets = sets
            .as_primitive_opt::<UInt64Type>()
            .ok_or_else(|| Error::bug(format!("a grouping set as {}", sets.data_type())))?;
        Ok(Arc::new(UInt64Array::from_iter_values(sets.values().iter().map(|s| self.of(*s)))))
    }
}

impl Kernel for Bits {
    fn eval(&self, _: &EvalContext, args: &[Datum], _: usize) -> Result<Datum> {
        match args {
            [Datum::Array(a)] => Ok(Datum::Array(self.all(a)?)),
            [Datum::Scalar(a)] => Ok(Datum::Scalar(self.all(a)?)),
            _ => Err(Error::bug("grouping() takes one grouping set")),
        }
    }
}

impl Exprs<'_> {
    /// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42) without a key, BAD_ARGUMENTS (36) for what is no key of GROUP BY.
    pub(super) fn grouping(&mut self, f: &ast::Function) -> Result<Expr> {
        if !self.place.aggregates {
            let text = format!("\"grouping\" cannot stand in {}", self.place.name);
            return Err(Error::new(Code::ILLEGAL_AGGREGATION, text));
        }
        if f.args.is_empty() || f.args.len() > KEYS_MAX {
            let text = format!("\"grouping\" takes 1 to {KEYS_MAX} keys of GROUP BY");
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
        }
        let mut keys = Vec::with_capacity(f.args.len());
        for arg in &f.args {
            let bound = self.bind_in(arg, Place::GROUP_BY)?;
            let key = self.group_keys.iter().position(|k| k.is_same(&bound)).filter(|k| *k < KEYS_MAX);
            keys.push(key.ok_or_else(|| {
                let text = format!("\"{}\" of \"grouping\" is no key of GROUP BY", arg.column_name());
                Error::bad_arguments(text)
            })?);
        }
        let bits = Bits { keys, standard: self.env.settings.bool("force_grouping_standard_compatibility") };
        if !self.has_grouping_sets {
            return Ok(Expr::literal(Value::UInt(bits.of(u64::MAX)), LogicalType::UInt64));
        }
        let bound = Registry::builtin().bind_aggregate("count", &self.cx, &[], false)?;
        let set = AggCall { name: Arc::from(GROUPING_SET), bound, args: Vec::new(), filter: None };
        let kind = ExprKind::Call {
            name: Arc::from("grouping"),
            kernel: Arc::new(bits),
            args: vec![self.add_aggregate(set)],
            volatility: Volatility::Immutable,
        };
        Ok(Expr { kind, ty: LogicalType::UInt64 })
    }

    /// Whether a clause of these expressions says ALL, and no column or alias is meant by it.
    pub(super) fn says_all(&self, list: &[ast::Expr]) -> Result<bool> {
        let [only] = list else { return Ok(false) };
        let Some(name) = only.as_identifier().filter(|i| i.full().eq_ignore_ascii_case("all")) else {
            return Ok(false);
        };
        let found = self.scope.find(&[name.full()], false)?.is_some();
        Ok(!found && self.aliases.get(&name.full()).is_none() && only.alias.is_none())
    }

    /// GROUP BY ALL: what the select list has outside of aggregates.
    pub(super) fn keys_of_all(&self, members: &[Member]) -> Vec<ast::Expr> {
        let is_aggregate = |e: &ast::Expr| {
            e.as_function().is_some_and(|f| {
                let registry = self.b.functions(&f.name);
                let aggregate = registry.aggregate(&f.name).is_some() && registry.scalar(&f.name).is_none();
                f.over.is_some() || aggregate || f.name == "grouping"
            })
        };
        let mut keys = Vec::new();
        let mut open: Vec<&ast::Expr> = members.iter().rev().map(|m| &m.expr).collect();
        while let Some(expr) = open.pop() {
            if is_aggregate(expr) || expr.as_literal().is_some() {
                continue;
            }
            if !expr.any(&mut |e| is_aggregate(e)) {
                keys.push(ast::Expr { alias: None, ..expr.clone() });
                continue;
            }
            match &expr.kind {
                ast::ExprKind::Function(f) => open.extend(f.args.iter().rev()),
                ast::ExprKind::Chain(chain) => {
                    open.extend(chain.rest.iter().rev().map(|(_, e)| e));
                    open.push(&chain.first);
                }
                _ => {}
            }
        }
        keys
    }
}
