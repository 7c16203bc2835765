//! Scalar functions: called once for each batch, with one array for each argument.

use super::machine::{Failure, Machine, eval};
use super::value::{self, Rows};
use super::{Limits, check_type};
use crate::outside::aside;
use crate::signature::{Casts, Signature};
use arrow::array::ArrayRef;
use hydron_base::{Code, Error, Result};
use hydron_func::{ArgInfo, BindContext, BoundCall, Datum, EvalContext, Kernel, NullRule, ScalarFn, Volatility};
use hydron_types::ColumnBuilder;
use parking_lot::Mutex;
use rquickjs::function::Args;
use rquickjs::{Ctx, Function, Persistent, Value as Js};
use std::sync::Arc;

/// Engines that wait for the next batch: as many as there are threads that compute, on most machines.
const IDLE_MAX: usize = 16;

pub struct JsScalar {
    signature: Arc<Signature>,
    source: Arc<str>,
}

impl JsScalar {
    /// Errors: UDF_COMPILE_ERROR (2530) for code that does not compile or defines no function of that name, NOT_IMPLEMENTED (48)
    /// for types that JavaScript does not have.
    pub fn new(signature: Arc<Signature>, source: Arc<str>) -> Result<JsScalar> {
        signature.args.iter().try_for_each(|(_, ty)| check_type(ty))?;
        check_type(&signature.returns)?;
        Ok(JsScalar { signature, source })
    }

    /// Compiles the code once, to see that it does.
    pub fn check(&self) -> Result<()> {
        Engine::new(&self.signature, &self.source, Limits::validation()).map(drop)
    }
}

impl ScalarFn for JsScalar {
    fn bind(&self, cx: &BindContext, args: &[ArgInfo]) -> Result<BoundCall> {
        let casts = self.signature.casts(args, cx.zone)?;
        let limits = Limits::of(cx);
        let (signature, source) = (Arc::clone(&self.signature), Arc::clone(&self.source));
        let kernel = JsKernel { signature, source, casts, limits, idle: Mutex::default() };
        Ok(BoundCall {
            ty: self.signature.returns.clone(),
            kernel: Arc::new(kernel),
            // The code may look at the clock or roll dice.
            volatility: Volatility::Stable,
        })
    }

    fn null_rule(&self) -> NullRule {
        let takes_nulls = self.signature.args.iter().any(|(_, ty)| ty.is_nullable());
        if takes_nulls { NullRule::Custom } else { NullRule::Propagate }
    }
}

struct JsKernel {
    signature: Arc<Signature>,
    source: Arc<str>,
    casts: Casts,
    limits: Limits,
    idle: Mutex<Vec<Engine>>,
}

impl Kernel for JsKernel {
    fn eval(&self, _: &EvalContext, args: &[Datum], rows: usize) -> Result<Datum> {
        if rows == 0 {
            return Ok(Datum::Array(ColumnBuilder::new(&self.signature.returns).finish()?));
        }
        let args = self.casts.arrays(args, rows)?;
        let waiting = self.idle.lock().pop();
        let mut engine = match waiting {
            Some(engine) => engine,
            None => Engine::new(&self.signature, &self.source, self.limits.clone())?,
        };
        let result = aside(|| engine.call(&args, rows))?;
        // One that failed is not used again: nobody knows what its code left behind.
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.push(engine);
        }
        Ok(Datum::Array(result))
    }
}

/// An engine that has compiled the function.
struct Engine {
    signature: Arc<Signature>,
    // Before the machine that they belong to.
    function: Persistent<Function<'static>>,
    machine: Machine,
}

// SAFETY: the handle and the machine it belongs to move together, and only who holds the engine uses either.
unsafe impl Send for Engine {}

impl Engine {
    fn new(signature: &Arc<Signature>, source: &str, limits: Limits) -> Result<Engine> {
        let mut machine = Machine::new(&signature.name, limits)?;
        let name = Arc::clone(&signature.name);
        let function = machine.run("the code", Code::UDF_COMPILE_ERROR, |ctx| {
            eval(ctx, &name, source)?;
            // A name bound by `const` or `let` is no property of the global object.
            let value = eval(ctx, &name, &name)?;
            match value.into_function() {
                Some(function) => Ok(Persistent::save(ctx, function)),
                None => {
                    let text = format!("the code defines no JavaScript function \"{name}\"");
                    let error = Error::new(Code::UDF_COMPILE_ERROR, text);
                    Err(error.hint(format!("function {name}(…) {{ return […] }}")).into())
                }
            }
        })?;
        Ok(Engine { signature: Arc::clone(signature), function, machine })
    }

    fn call(&mut self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let (signature, function) = (&self.signature, &self.function);
        self.machine.run("a call", Code::UDF_INTERNAL_ERROR, |ctx| {
            let function = function.clone().restore(ctx)?;
            let mut args = Args::new(ctx.clone(), columns.len());
            for ((_, ty), column) in signature.args.iter().zip(columns) {
                args.push_arg(value::array(ctx, ty, column, Rows::All(rows))?)?;
            }
            let result: Js = function.call_arg(args)?;
            column(ctx, signature, &result, rows)
        })
    }
}

/// The array that the function returned, as a column.
fn column<'js>(ctx: &Ctx<'js>, signature: &Signature, result: &Js<'js>, rows: usize) -> Result<ArrayRef, Failure> {
    let name = &signature.name;
    let Some(values) = result.as_array() else {
        let text = format!("JavaScript function \"{name}\" returned {} instead of an array", value::described(result));
        return Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, text)
            .hint("return an array with a value for each row")
            .into());
    };
    if values.len() != rows {
        let text = format!("JavaScript function \"{name}\" returned {} values for {rows} rows", values.len());
        return Err(Error::new(Code::UDF_INTERNAL_ERROR, text).into());
    }
    if let Some(column) = value::numbers(ctx, &signature.returns, result, rows) {
        return Ok(column);
    }
    let mut builder = ColumnBuilder::with_capacity(&signature.returns, rows);
    for at in 0..rows {
        value::append(ctx, &mut builder, &values.get::<Js>(at)?, name)?;
    }
    Ok(builder.finish()?)
}
