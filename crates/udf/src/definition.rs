//! A whole function: its signature, where its code is, and what that becomes for the binder.

use crate::executable::{Executable, Program};
use crate::javascript::aggregate::JsAggregate;
use crate::javascript::scalar::JsScalar;
use crate::remote::{Remote, Service};
use crate::signature::Signature;
use hydron_base::{Code as ErrorCode, Error, Result};
use hydron_func::Registry;
use std::path::Path;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// Source text.
    JavaScript {
        aggregate: bool,
        source: Arc<str>,
    },
    Remote(Service),
    Executable(Program),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub signature: Arc<Signature>,
    pub code: Code,
}

/// A function that can be registered.
pub enum UserFunction {
    Scalar(JsScalar),
    Aggregate(JsAggregate),
    Remote(Remote),
    Executable(Executable),
}

impl Definition {
    pub fn is_aggregate(&self) -> bool {
        matches!(self.code, Code::JavaScript { aggregate: true, .. })
    }

    /// The function, not compiled yet. `scripts`: where programs lie; `None`: there are none.
    ///
    /// Errors: NOT_IMPLEMENTED (48) for types that the code cannot be given, BAD_ARGUMENTS (36).
    pub fn function(&self, scripts: Option<&Path>) -> Result<UserFunction> {
        let signature = Arc::clone(&self.signature);
        Ok(match &self.code {
            Code::JavaScript { aggregate: true, source } => {
                UserFunction::Aggregate(JsAggregate::new(signature, Arc::clone(source))?)
            }
            Code::JavaScript { aggregate: false, source } => {
                UserFunction::Scalar(JsScalar::new(signature, Arc::clone(source))?)
            }
            Code::Remote(service) => UserFunction::Remote(Remote::new(signature, service.clone())?),
            Code::Executable(program) => {
                let scripts = scripts.ok_or_else(|| {
                    Error::new(ErrorCode::NOT_IMPLEMENTED, "executable functions without a directory user_scripts")
                })?;
                UserFunction::Executable(Executable::new(signature, program.clone(), scripts)?)
            }
        })
    }

    /// All that is checked when a function is created.
    ///
    /// Errors: UDF_INVALID_NAME (2532), UDF_COMPILE_ERROR (2530), and those of [`Definition::function`].
    pub fn check(&self, scripts: Option<&Path>) -> Result<()> {
        self.signature.check()?;
        match self.function(scripts)? {
            UserFunction::Scalar(function) => function.check(),
            UserFunction::Aggregate(function) => function.check(),
            UserFunction::Remote(_) => Ok(()),
            UserFunction::Executable(function) => function.check(),
        }
    }
}

impl UserFunction {
    pub fn register(self, name: &str, registry: &mut Registry) {
        match self {
            UserFunction::Scalar(function) => registry.add_scalar(name, function),
            UserFunction::Aggregate(function) => registry.add_aggregate(name, function),
            UserFunction::Remote(function) => registry.add_scalar(name, function),
            UserFunction::Executable(function) => registry.add_scalar(name, function),
        }
    }
}
