//! Our aggregates as DataFusion's: group state behind its accumulators.
//!
//! Promise: partial and final phases meet through `save` and `merge`; a global aggregate over no rows answers what an empty
//! group answers.

use crate::error::{outward, panicked};
use crate::expr::fresh_id;
use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result as DfResult, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, TypeSignature, Volatility,
};
use hydron_base::{Error, Result};
use hydron_func::{Aggregate, BoundAgg, GroupState};
use hydron_types::physical::arrow_field;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

/// The function of one call. `args`: how many arguments the aggregate sees; with none, DataFusion passes one that is dropped.
pub fn aggregate_udf(name: &str, bound: &BoundAgg, args: usize) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(Function {
        id: fresh_id(),
        name: name.to_owned(),
        field: Arc::new(arrow_field("value", &bound.ty)),
        aggregate: Arc::clone(&bound.aggregate),
        args,
        signature: Signature::new(TypeSignature::Any(args.max(1)), Volatility::Immutable),
    }))
}

struct Function {
    id: u64,
    name: String,
    field: FieldRef,
    aggregate: Arc<dyn Aggregate>,
    args: usize,
    signature: Signature,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.name)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl Function {
    fn groups(&self) -> Groups {
        Groups {
            name: self.name.clone(),
            aggregate: Arc::clone(&self.aggregate),
            state: self.aggregate.new_state(),
            args: self.args,
            ids: Vec::new(),
            known: 0,
            left: 0,
        }
    }
}

impl AggregateUDFImpl for Function {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field(&self, _: &[FieldRef]) -> DfResult<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn is_nullable(&self) -> bool {
        self.field.is_nullable()
    }

    fn state_fields(&self, args: StateFieldsArgs) -> DfResult<Vec<FieldRef>> {
        let types = self.aggregate.state_types();
        let field = |(i, ty)| Arc::new(Field::new(format!("{}[{i}]", args.name), ty, true));
        Ok(types.into_iter().enumerate().map(field).collect())
    }

    fn accumulator(&self, _: AccumulatorArgs) -> DfResult<Box<dyn Accumulator>> {
        let mut groups = self.groups();
        groups.state.resize(1);
        Ok(Box::new(One { groups: Mutex::new(groups), can_retract: false }))
    }

    /// For window frames: rows leave the frame again where the aggregate can withdraw them.
    fn create_sliding_accumulator(&self, _: AccumulatorArgs) -> DfResult<Box<dyn Accumulator>> {
        let mut groups = self.groups();
        // Code of a user that follows a changelog answers for all that ever came, not for a frame.
        let retracting = self.aggregate.retracting().filter(|r| r.needs().function.is_none());
        let can_retract = retracting.is_some();
        if let Some(retracting) = retracting {
            groups.state = retracting.new_state();
            groups.aggregate = retracting;
        }
        groups.state.resize(1);
        Ok(Box::new(One { groups: Mutex::new(groups), can_retract }))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> DfResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.groups()))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The state of one aggregate for the groups of one operator.
struct Groups {
    name: String,
    aggregate: Arc<dyn Aggregate>,
    state: Box<dyn GroupState>,
    args: usize,
    /// Group numbers as the state wants them, reused for every batch.
    ids: Vec<u32>,
    /// Groups that exist.
    known: usize,
    /// Numbers of the state that stand before them, empty: groups that left, where states are not moved.
    left: usize,
}

impl Groups {
    /// Runs a call into an aggregate; a panic there is the error of this query.
    fn guarded<T>(&mut self, call: impl FnOnce(&mut Self) -> Result<T>) -> DfResult<T> {
        catch_unwind(AssertUnwindSafe(|| call(self)))
            .unwrap_or_else(|panic| Err(panicked(&format!("aggregate function \"{}\"", self.name), panic.as_ref())))
            .map_err(outward)
    }

    fn take_ids(&mut self, groups: &[usize], total: usize) {
        if total > self.known {
            self.state.resize(self.left + total);
            self.known = total;
        }
        self.ids.clear();
        self.ids.extend(groups.iter().map(|g| (self.left + *g) as u32));
    }

    fn arguments<'a>(&self, values: &'a [ArrayRef]) -> &'a [ArrayRef] {
        &values[..self.args.min(values.len())]
    }

    /// The groups that leave, and forgets them.
    fn emitted<T>(
        &mut self,
        emit_to: EmitTo,
        answer: impl FnOnce(&mut dyn GroupState, &[u32]) -> Result<T>,
    ) -> Result<T> {
        let all: Vec<u32> = (self.left as u32..(self.left + self.known) as u32).collect();
        let count = match emit_to {
            EmitTo::All => self.known,
            EmitTo::First(n) => n.min(self.known),
        };
        let (leaving, staying) = all.split_at(count);
        let answer = answer(self.state.as_mut(), leaving)?;
        if !staying.is_empty() && self.aggregate.needs().order {
            // Code of a user need not know how its state is saved.
            self.state.clear(leaving);
            (self.left, self.known) = (self.left + count, staying.len());
            return Ok(answer);
        }
        let mut next = self.aggregate.new_state();
        if !staying.is_empty() {
            let kept = self.state.save(staying)?;
            next.resize(staying.len());
            next.merge(&(0..staying.len() as u32).collect::<Vec<_>>(), &kept)?;
        }
        self.state = next;
        (self.left, self.known) = (0, staying.len());
        Ok(answer)
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> DfResult<()> {
        self.guarded(|s| {
            s.take_ids(group_indices, total_num_groups);
            let args = s.arguments(values);
            s.state.update(&s.ids, args, opt_filter)
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> DfResult<ArrayRef> {
        self.guarded(|s| s.emitted(emit_to, |state, groups| state.finish(groups)))
    }

    fn state(&mut self, emit_to: EmitTo) -> DfResult<Vec<ArrayRef>> {
        self.guarded(|s| s.emitted(emit_to, |state, groups| state.save(groups)))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> DfResult<()> {
        self.guarded(|s| {
            s.take_ids(group_indices, total_num_groups);
            s.state.merge(&s.ids, values)
        })
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> DfResult<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |v| v.len());
        let convert = || {
            let groups: Vec<u32> = (0..rows as u32).collect();
            let mut state = self.aggregate.new_state();
            state.resize(rows);
            state.update(&groups, self.arguments(values), opt_filter)?;
            state.save(&groups)
        };
        catch_unwind(AssertUnwindSafe(convert))
            .unwrap_or_else(|panic| Err(panicked(&format!("aggregate function \"{}\"", self.name), panic.as_ref())))
            .map_err(outward)
    }

    fn size(&self) -> usize {
        self.state.bytes() + self.ids.capacity() * 4
    }
}

/// The state of one group.
struct One {
    groups: Mutex<Groups>,
    can_retract: bool,
}

impl std::fmt::Debug for One {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("aggregate state")
    }
}

impl One {
    fn groups(&mut self) -> &mut Groups {
        self.groups.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn only(array: ArrayRef) -> Result<ScalarValue> {
    if array.len() != 1 {
        return Err(Error::bug(format!("an aggregate of one group answered {} values", array.len())));
    }
    ScalarValue::try_from_array(&array, 0).map_err(crate::error::inward)
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        let rows = values.first().map_or(0, |v| v.len());
        self.groups().guarded(|s| {
            s.ids.clear();
            s.ids.resize(rows, 0);
            let args = s.arguments(values);
            s.state.update(&s.ids, args, None)
        })
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        self.groups().guarded(|s| only(s.state.finish(&[0])?))
    }

    fn size(&self) -> usize {
        self.groups.lock().map_or(0, |g| g.state.bytes())
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        self.groups().guarded(|s| s.state.save(&[0])?.into_iter().map(only).collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        let rows = states.first().map_or(0, |v| v.len());
        self.groups().guarded(|s| s.state.merge(&vec![0; rows], states))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        let rows = values.first().map_or(0, |v| v.len());
        self.groups().guarded(|s| {
            let args = s.arguments(values);
            s.state.retract(&vec![0; rows], args, None)
        })
    }

    fn supports_retract_batch(&self) -> bool {
        self.can_retract
    }
}
