//! Aggregate functions: typed state for many groups at once, with retraction, merge and save.
//!
//! In: argument arrays and the group of each row. Out: one value for each group. Promise: `save` then `merge` into fresh
//! groups gives the same answers (checkpoints and parallel parts rest on it); a group never updated answers as for no rows.

use crate::call::{ArgInfo, BindContext};
use arrow::array::{ArrayRef, BooleanArray, Int8Array};
use arrow::datatypes::DataType;
use hydron_base::{Error, Result};
use hydron_types::{LogicalType, Value};
use std::ops::Range;
use std::sync::Arc;

/// A function SQL can call on many rows.
pub trait AggFn: Send + Sync {
    /// Decides result type and state for these arguments. `params` are the constants that were moved out of the trailing
    /// arguments (§6.4 of the semantics: `top_k(x, 3)` has one argument and one parameter).
    fn bind(&self, cx: &BindContext, args: &[ArgInfo], params: &[Value]) -> Result<BoundAgg>;

    /// How many leading arguments are arguments; the rest are parameters. `None`: all are arguments.
    fn params_from(&self) -> Option<usize> {
        None
    }

    /// True when rows whose argument is NULL are skipped before the state sees them and the bare types are bound (the
    /// usual rule; the result is then nullable for nullable arguments). False: the function sees NULLs.
    fn skips_nulls(&self) -> bool {
        true
    }

    /// True when a group without rows answers with the default of its type even for nullable arguments, as counts do; the
    /// result is then never nullable.
    fn default_without_rows(&self) -> bool {
        false
    }

    /// Which of `args` arguments are parameters; by default those from [`AggFn::params_from`] on.
    fn param_positions(&self, args: usize) -> Range<usize> {
        self.params_from().unwrap_or(args).min(args)..args
    }

    /// The same, where that depends on which arguments are constant.
    fn param_positions_of(&self, args: &[ArgInfo]) -> Range<usize> {
        self.param_positions(args.len())
    }
}

/// An aggregate bound to the types of one call.
#[derive(Clone)]
pub struct BoundAgg {
    pub ty: LogicalType,
    pub aggregate: Arc<dyn Aggregate>,
}

/// A factory of states for one bound call.
pub trait Aggregate: Send + Sync {
    fn new_state(&self) -> Box<dyn GroupState>;

    /// Arrow types of the columns that `save` returns and `merge` takes.
    fn state_types(&self) -> Vec<DataType>;

    /// Whether a changelog can be its input. Where it cannot, a changelog input is NOT_IMPLEMENTED at plan time.
    fn can_retract(&self) -> bool {
        self.retracting().is_some()
    }

    /// The same aggregate in the form whose states support `retract` (it may keep more, and its saved state may have other
    /// types). `None` where rows cannot be withdrawn. Only states of this form take `retract`.
    fn retracting(&self) -> Option<Arc<dyn Aggregate>> {
        None
    }

    /// What it needs beside its arguments and their groups.
    fn needs(&self) -> Needs {
        Needs::default()
    }
}

/// What is special about the states of an aggregate. Those of our own functions are merged and saved at will, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The function that is meant, where one of these is set.
    pub function: Option<Arc<str>>,
    /// Rows of a group come in their order, all into one state: it may look at what stands next to each other.
    pub order: bool,
    /// `save` is NOT_IMPLEMENTED, or the `merge` of what it gave.
    pub no_save: bool,
    /// It decides itself when it has answers: they are taken with [`GroupState::take_answers`] after each update.
    pub own_emit: bool,
}

/// The state of one aggregate for all groups of an operator. Groups are dense numbers from 0.
pub trait GroupState: Send {
    /// Makes groups `0 .. groups` exist; new ones are empty.
    fn resize(&mut self, groups: usize);

    /// Adds rows: row `i` belongs to group `groups[i]`. Arguments are full arrays of `groups.len()` values; rows where
    /// `filter` is false or null are skipped.
    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()>;

    /// Withdraws rows that were added before.
    fn retract(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let _ = (groups, args, filter);
        Err(Error::not_implemented("withdrawing rows from this aggregate"))
    }

    /// Adds the rows whose sign is +1 and withdraws those whose sign is -1. By default additions come first: what a row adds, a
    /// later row of the same batch may withdraw.
    fn apply(
        &mut self,
        groups: &[u32],
        args: &[ArrayRef],
        signs: &Int8Array,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let with = |sign: fn(i8) -> bool| {
            let mask = BooleanArray::new(signs.values().iter().map(|s| sign(*s)).collect(), None);
            match filter {
                Some(f) => BooleanArray::new(mask.values() & f.values(), None),
                None => mask,
            }
        };
        self.update(groups, args, Some(&with(|s| s > 0)))?;
        self.retract(groups, args, Some(&with(|s| s < 0)))
    }

    /// Of an aggregate that decides itself when it answers: the answers since the last call, each with its group.
    fn take_answers(&mut self) -> Result<Option<(Vec<u32>, ArrayRef)>> {
        Ok(None)
    }

    /// Adds saved states: row `i` of `state` goes into group `groups[i]`.
    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()>;

    /// The answers of `groups`, in that order.
    fn finish(&mut self, groups: &[u32]) -> Result<ArrayRef>;

    /// The states of `groups`, in that order, as columns of `state_types`.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>>;

    /// Makes these groups empty again, so that their numbers can be used anew.
    fn clear(&mut self, groups: &[u32]);

    /// Bytes kept, for the query's memory budget.
    fn bytes(&self) -> usize;
}
