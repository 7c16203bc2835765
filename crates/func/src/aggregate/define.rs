//! How a room declares its aggregates: a name, where parameters start, and a closure that binds a call.
//!
//! In: what the registry gives an [`AggFn`]. Out: bound aggregates, and errors that name function, argument and type.

use crate::agg::{AggFn, Aggregate, BoundAgg};
use crate::call::{ArgInfo, BindContext};
use crate::registry::Registry;
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

/// One call to bind.
pub struct AggCall<'a> {
    pub name: &'a str,
    pub cx: &'a BindContext,
    pub args: &'a [ArgInfo],
    pub params: &'a [Value],
}

impl AggCall<'_> {
    /// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42).
    pub fn arity(&self, allowed: RangeInclusive<usize>) -> Result<()> {
        let given = self.args.len();
        if allowed.contains(&given) {
            return Ok(());
        }
        let wanted = match (*allowed.start(), *allowed.end()) {
            (a, b) if a == b => a.to_string(),
            (a, usize::MAX) => format!("at least {a}"),
            (a, b) => format!("{a} to {b}"),
        };
        Err(Error::new(
            Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH,
            format!("aggregate function \"{}\" takes {wanted} arguments, given {given}", self.name),
        ))
    }

    pub fn ty(&self, position: usize) -> &LogicalType {
        &self.args[position].ty
    }

    pub fn types(&self) -> Vec<LogicalType> {
        self.args.iter().map(|a| a.ty.clone()).collect()
    }

    /// The error for an argument of a type the function does not take.
    pub fn illegal(&self, position: usize) -> Error {
        let ty = self.args.get(position).map_or_else(String::new, |a| a.ty.to_string());
        Error::new(
            Code::ILLEGAL_TYPE_OF_ARGUMENT,
            format!("argument {} of aggregate function \"{}\" cannot be of type {ty}", position + 1, self.name),
        )
    }

    /// Errors: ILLEGAL_TYPE_OF_ARGUMENT (43) unless the argument is a number, a decimal or a bool.
    pub fn need_number(&self, position: usize) -> Result<()> {
        let ty = self.ty(position);
        let pass = ty.is_number() || matches!(ty, LogicalType::Bool | LogicalType::Decimal { .. });
        if pass { Ok(()) } else { Err(self.illegal(position)) }
    }

    /// The parameter at `position` as a count from 1 to `most`, or `default` when it was not given.
    ///
    /// Errors: ARGUMENT_OUT_OF_BOUND (69) outside of the range, BAD_ARGUMENTS (36) for anything but an integer.
    pub fn count_param(&self, position: usize, default: usize, most: usize) -> Result<usize> {
        let Some(value) = self.params.get(position) else {
            return Ok(default);
        };
        let n = value.as_i64().ok_or_else(|| {
            Error::bad_arguments(format!("parameter {} of \"{}\" must be an integer", position + 1, self.name))
        })?;
        usize::try_from(n).ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| {
            let text =
                format!("parameter {} of \"{}\" must be between 1 and {most}, given {n}", position + 1, self.name);
            Error::new(Code::ARGUMENT_OUT_OF_BOUND, text)
        })
    }

    pub fn returns(&self, ty: LogicalType, aggregate: Arc<dyn Aggregate>) -> Result<BoundAgg> {
        Ok(BoundAgg { ty, aggregate })
    }
}

type Bind = dyn Fn(&AggCall<'_>) -> Result<BoundAgg> + Send + Sync;

/// What is special about an aggregate.
#[derive(Clone, Copy, Default)]
pub struct Traits {
    /// The first argument that is a parameter.
    pub params_from: Option<usize>,
    /// The only argument that is a parameter, with arguments on both sides.
    pub param_at: Option<usize>,
    /// So many first arguments are parameters.
    pub params_first: Option<usize>,
    /// The last arguments that are parameters, after any number of others.
    pub params_last: Option<Last>,
    pub sees_nulls: bool,
    pub default_without_rows: bool,
}

/// Which of the last arguments are parameters.
#[derive(Clone, Copy)]
pub enum Last {
    Exactly(usize),
    /// So many, and the constant strings after them.
    BeforeTexts(usize),
}

struct Defined {
    name: String,
    traits: Traits,
    bind: Box<Bind>,
}

impl AggFn for Defined {
    fn bind(&self, cx: &BindContext, args: &[ArgInfo], params: &[Value]) -> Result<BoundAgg> {
        (self.bind)(&AggCall { name: &self.name, cx, args, params })
    }

    fn params_from(&self) -> Option<usize> {
        self.traits.params_from
    }

    fn skips_nulls(&self) -> bool {
        !self.traits.sees_nulls
    }

    fn default_without_rows(&self) -> bool {
        self.traits.default_without_rows
    }

    fn param_positions(&self, args: usize) -> Range<usize> {
        if let Some(first) = self.traits.params_first {
            return 0..first.min(args);
        }
        match (self.traits.param_at, self.traits.params_last) {
            (Some(at), _) => at.min(args)..(at + 1).min(args),
            (None, Some(Last::Exactly(n) | Last::BeforeTexts(n))) => args.saturating_sub(n)..args,
            (None, None) => self.traits.params_from.unwrap_or(args).min(args)..args,
        }
    }

    fn param_positions_of(&self, args: &[ArgInfo]) -> Range<usize> {
        match self.traits.params_last {
            Some(Last::BeforeTexts(n)) => args.len().saturating_sub(n + texts_last(args))..args.len(),
            _ => self.param_positions(args.len()),
        }
    }
}

/// Constant strings at the end of `args`.
fn texts_last(args: &[ArgInfo]) -> usize {
    args.iter().rev().take_while(|a| matches!(a.constant, Some(Value::Bytes(_)))).count()
}

/// Registers an aggregate of arguments only.
pub fn define<F>(registry: &mut Registry, name: &str, bind: F)
where
    F: Fn(&AggCall<'_>) -> Result<BoundAgg> + Send + Sync + 'static,
{
    define_as(registry, name, Traits::default(), bind);
}

/// Registers an aggregate that differs in `traits`.
pub fn define_as<F>(registry: &mut Registry, name: &str, traits: Traits, bind: F)
where
    F: Fn(&AggCall<'_>) -> Result<BoundAgg> + Send + Sync + 'static,
{
    registry.add_aggregate(name, Defined { name: name.to_owned(), traits, bind: Box::new(bind) });
}
