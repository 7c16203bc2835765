//! How a room declares its functions: a name, a rule for NULL, and a closure that binds a call.
//!
//! In: what the registry gives a [`ScalarFn`]. Out: bound calls, and errors that name function, argument and type.

use crate::call::{ArgInfo, BindContext, BoundCall, Datum, EvalContext, NullRule, ScalarFn};
use crate::registry::Registry;
use arrow::array::ArrayRef;
use hydron_base::{Code, Error, Result};
use hydron_types::cast::{CastOptions, cast};
use hydron_types::{LogicalType, Value, Zone};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// One call to bind.
pub struct Call<'a> {
    pub name: &'a str,
    pub cx: &'a BindContext,
    pub args: &'a [ArgInfo],
}

impl Call<'_> {
    /// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42).
    pub fn arity(&self, allowed: RangeInclusive<usize>) -> Result<()> {
        let (least, most, given) = (*allowed.start(), *allowed.end(), self.args.len());
        if allowed.contains(&given) {
            return Ok(());
        }
        let wanted = match (least, most) {
            (a, b) if a == b => a.to_string(),
            (a, usize::MAX) => format!("at least {a}"),
            (a, b) => format!("{a} to {b}"),
        };
        Err(Error::new(
            Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH,
            format!("function \"{}\" takes {wanted} arguments, given {given}", self.name),
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
            format!("argument {} of function \"{}\" cannot be of type {ty}", position + 1, self.name),
        )
    }

    /// Errors: ILLEGAL_TYPE_OF_ARGUMENT (43) unless the type of the argument passes.
    pub fn need(&self, position: usize, pass: impl Fn(&LogicalType) -> bool) -> Result<()> {
        if self.args[position].lambda_params.is_none() && pass(self.ty(position)) {
            Ok(())
        } else {
            Err(self.illegal(position))
        }
    }

    pub fn need_string(&self, position: usize) -> Result<()> {
        self.need(position, LogicalType::is_string_like)
    }

    pub fn need_integer(&self, position: usize) -> Result<()> {
        self.need(position, |t| t.is_integer() || *t == LogicalType::Bool)
    }

    pub fn need_number(&self, position: usize) -> Result<()> {
        self.need(position, |t| t.is_number() || *t == LogicalType::Bool)
    }

    /// The element type of an array argument. The type of `[]` alone is an array of `nothing`.
    pub fn need_array(&self, position: usize) -> Result<&LogicalType> {
        match self.ty(position) {
            LogicalType::Array(t) => Ok(t),
            _ => Err(self.illegal(position)),
        }
    }

    /// Errors: ILLEGAL_COLUMN (44) when the argument is not constant.
    pub fn constant(&self, position: usize) -> Result<&Value> {
        self.args[position].constant.as_ref().ok_or_else(|| {
            Error::new(
                Code::ILLEGAL_COLUMN,
                format!("argument {} of function \"{}\" must be constant", position + 1, self.name),
            )
        })
    }

    pub fn constant_text(&self, position: usize) -> Result<&[u8]> {
        self.need_string(position)?;
        self.constant(position)?.as_bytes().ok_or_else(|| self.illegal(position))
    }

    pub fn constant_int(&self, position: usize) -> Result<i64> {
        self.need_integer(position)?;
        self.constant(position)?.as_i64().ok_or_else(|| self.illegal(position))
    }

    /// The text of argument `position`, when it is there and constant.
    pub fn known_text(&self, position: usize) -> Option<&[u8]> {
        self.args.get(position)?.constant.as_ref()?.as_bytes()
    }

    /// A bound call whose kernel makes one full array.
    pub fn returns<F>(&self, ty: LogicalType, kernel: F) -> Result<BoundCall>
    where
        F: Fn(&[Datum], usize) -> Result<ArrayRef> + Send + Sync + 'static,
    {
        Ok(BoundCall::new(ty, move |_: &EvalContext, args: &[Datum], rows| Ok(Datum::Array(kernel(args, rows)?))))
    }

    pub fn zone(&self) -> Zone {
        self.cx.zone
    }

    /// A conversion of argument `position` to `to`, for the kernel to apply.
    pub fn convert(&self, position: usize, to: &LogicalType) -> Convert {
        Convert::new(self.ty(position), to, self.zone())
    }
}

/// A conversion that was decided at bind time.
#[derive(Clone)]
pub struct Convert {
    /// `None`: the layout is right already.
    types: Option<(LogicalType, LogicalType)>,
    zone: Zone,
}

impl Convert {
    pub fn new(from: &LogicalType, to: &LogicalType, zone: Zone) -> Convert {
        let same = from == to || *to == LogicalType::nullable(from.clone());
        Convert { types: (!same).then(|| (from.clone(), to.clone())), zone }
    }

    pub fn array(&self, array: &ArrayRef) -> Result<ArrayRef> {
        match &self.types {
            None => Ok(Arc::clone(array)),
            Some((from, to)) => cast(array, from, to, &CastOptions::wrap(self.zone)),
        }
    }

    pub fn datum(&self, datum: &Datum) -> Result<Datum> {
        Ok(match datum {
            Datum::Array(a) => Datum::Array(self.array(a)?),
            Datum::Scalar(a) => Datum::Scalar(self.array(a)?),
            Datum::Lambda(_) => return Err(Error::bug("a lambda was converted as a value")),
        })
    }
}

type Bind = dyn Fn(&Call<'_>) -> Result<BoundCall> + Send + Sync;
type LambdaParams = dyn Fn(usize, &[Option<LogicalType>]) -> Result<Vec<LogicalType>> + Send + Sync;

struct Defined {
    name: String,
    rule: NullRule,
    bind: Box<Bind>,
    lambda_params: Option<Box<LambdaParams>>,
}

impl ScalarFn for Defined {
    fn bind(&self, cx: &BindContext, args: &[ArgInfo]) -> Result<BoundCall> {
        (self.bind)(&Call { name: &self.name, cx, args })
    }

    fn null_rule(&self) -> NullRule {
        self.rule
    }

    fn lambda_params(&self, position: usize, args: &[Option<LogicalType>]) -> Result<Vec<LogicalType>> {
        match &self.lambda_params {
            Some(params) => params(position, args),
            None => Err(Error::new(
                Code::ILLEGAL_TYPE_OF_ARGUMENT,
                format!("argument {} of function \"{}\" cannot be a lambda", position + 1, self.name),
            )),
        }
    }
}

/// Registers a function under the usual rule for NULL.
pub fn define<F>(registry: &mut Registry, name: &str, bind: F)
where
    F: Fn(&Call<'_>) -> Result<BoundCall> + Send + Sync + 'static,
{
    add(registry, name, NullRule::Propagate, Box::new(bind), None);
}

/// Registers a function that sees NULLs.
pub fn define_seeing_nulls<F>(registry: &mut Registry, name: &str, bind: F)
where
    F: Fn(&Call<'_>) -> Result<BoundCall> + Send + Sync + 'static,
{
    add(registry, name, NullRule::Custom, Box::new(bind), None);
}

/// Registers a function that sees NULLs and `low_cardinality`.
pub fn define_seeing_types<F>(registry: &mut Registry, name: &str, bind: F)
where
    F: Fn(&Call<'_>) -> Result<BoundCall> + Send + Sync + 'static,
{
    add(registry, name, NullRule::Whole, Box::new(bind), None);
}

/// Registers a function that takes lambdas; it sees NULLs.
pub fn define_with_lambda<F, P>(registry: &mut Registry, name: &str, params: P, bind: F)
where
    F: Fn(&Call<'_>) -> Result<BoundCall> + Send + Sync + 'static,
    P: Fn(usize, &[Option<LogicalType>]) -> Result<Vec<LogicalType>> + Send + Sync + 'static,
{
    add(registry, name, NullRule::Custom, Box::new(bind), Some(Box::new(params)));
}

fn add(registry: &mut Registry, name: &str, rule: NullRule, bind: Box<Bind>, lambda_params: Option<Box<LambdaParams>>) {
    registry.add_scalar(name, Defined { name: name.to_owned(), rule, bind, lambda_params });
}
