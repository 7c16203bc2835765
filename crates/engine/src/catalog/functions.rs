//! Functions of CREATE FUNCTION as the binder finds them.
//!
//! In: the functions of the catalog. Out: a registry. Promise: a function that cannot be had any more, since its program or its
//! directory is gone, says so when it is called and hinders nothing else.

use super::object::{Function, FunctionBody};
use hydron_base::{Error, Result};
use hydron_func::{ArgInfo, BindContext, BoundCall, Registry, ScalarFn};
use std::path::Path;

/// A function that cannot be called.
struct Unavailable(Error);

impl ScalarFn for Unavailable {
    fn bind(&self, _: &BindContext, _: &[ArgInfo]) -> Result<BoundCall> {
        Err(self.0.clone())
    }
}

/// The functions that are not lambdas. `scripts`: the directory `user_scripts`.
pub fn registry<'f>(functions: impl Iterator<Item = &'f Function>, scripts: Option<&Path>) -> Registry {
    let mut registry = Registry::default();
    for function in functions {
        let FunctionBody::Code(definition) = &function.body else { continue };
        match definition.function(scripts) {
            Ok(code) => code.register(&function.name, &mut registry),
            Err(error) => registry.add_scalar(&function.name, Unavailable(error)),
        }
    }
    registry
}
