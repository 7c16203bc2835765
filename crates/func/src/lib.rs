//! Everything SQL can call, written once: both runtimes evaluate the same kernels.
//!
//! In reading order: [`call`] (how a scalar function is bound and evaluated), [`agg`] (how an aggregate keeps its groups),
//! [`registry`] (names to functions), [`nulls`] (the usual rule for NULL), [`scalar`] and [`aggregate`] (the functions themselves).

pub mod agg;
pub mod aggregate;
pub mod call;
pub mod nulls;
pub mod registry;
pub mod scalar;

pub use agg::{AggFn, Aggregate, BoundAgg, GroupState, Needs};
pub use aggregate::state_halves;
pub use call::Identity;
pub use call::{
    ArgInfo, BindContext, BoundCall, Datum, EvalContext, Kernel, LambdaEval, NullRule, ScalarFn, ServerFacts,
    Volatility,
};
pub use registry::Registry;
