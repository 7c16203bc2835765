//! Aggregate functions: an object for each group, called once for each batch of its rows.
//!
//! All groups of one call in a query live in one engine, whatever operators and windows they are in. Over a changelog `process`
//! gets one array more, of +1 and -1. The rows of a group come in their order.

use super::blueprint::{Answers, Blueprint, Group, Shape};
use super::value::Rows;
use super::{Limits, check_type};
use crate::outside::aside;
use crate::signature::Signature;
use arrow::array::{Array, ArrayRef, BinaryArray, BooleanArray, Int8Array};
use arrow::datatypes::DataType;
use hashbrown::HashMap;
use hydron_base::{Error, Result};
use hydron_func::call::downcast;
use hydron_func::{AggFn, Aggregate, ArgInfo, BindContext, BoundAgg, GroupState, Needs};
use hydron_types::{ColumnBuilder, Value};
use parking_lot::Mutex;
use std::sync::Arc;

pub struct JsAggregate {
    signature: Arc<Signature>,
    source: Arc<str>,
    /// Known once the code was compiled.
    shape: Mutex<Option<Shape>>,
}

impl JsAggregate {
    /// Errors: NOT_IMPLEMENTED (48) for types that JavaScript does not have.
    pub fn new(signature: Arc<Signature>, source: Arc<str>) -> Result<JsAggregate> {
        signature.args.iter().try_for_each(|(_, ty)| check_type(ty))?;
        check_type(&signature.returns)?;
        Ok(JsAggregate { signature, source, shape: Mutex::default() })
    }

    /// Compiles the code once, to see that it does. Errors: UDF_COMPILE_ERROR (2530).
    pub fn check(&self) -> Result<()> {
        self.shape().map(drop)
    }

    fn shape(&self) -> Result<Shape> {
        let mut shape = self.shape.lock();
        match *shape {
            Some(shape) => Ok(shape),
            None => Ok(*shape.insert(Blueprint::new(&self.signature, &self.source, Limits::validation())?.shape)),
        }
    }
}

impl AggFn for JsAggregate {
    fn bind(&self, cx: &BindContext, args: &[ArgInfo], _: &[Value]) -> Result<BoundAgg> {
        self.signature.check_exact(args)?;
        let shape = self.shape()?;
        let call = Call {
            signature: Arc::clone(&self.signature),
            source: Arc::clone(&self.source),
            limits: Limits::of(cx),
            shape,
            engine: Mutex::default(),
            gone: Mutex::default(),
        };
        let aggregate = JsGroups { call: Arc::new(call), changelog: false };
        Ok(BoundAgg { ty: self.signature.returns.clone(), aggregate: Arc::new(aggregate) })
    }

    fn skips_nulls(&self) -> bool {
        !self.signature.args.iter().any(|(_, ty)| ty.is_nullable())
    }
}

/// One call in a query.
struct Call {
    signature: Arc<Signature>,
    source: Arc<str>,
    limits: Limits,
    shape: Shape,
    /// Made when the first rows come.
    engine: Mutex<Option<Engine>>,
    /// States that are no more, whose groups are still in the engine: whoever drops one does not wait.
    gone: Mutex<Vec<usize>>,
}

/// The engine, with the groups of each state in it.
struct Engine {
    // Before the engine that they belong to.
    states: HashMap<usize, Vec<Option<Group>>>,
    next: usize,
    blueprint: Blueprint,
}

// SAFETY: as for the blueprint: what is in the engine moves with it, behind one lock.
unsafe impl Send for Engine {}

impl Call {
    /// Runs `work` with the engine and the groups of state `id`, which are at least `groups`.
    fn with<T>(
        &self,
        id: &mut Option<usize>,
        groups: usize,
        work: impl FnOnce(&mut Blueprint, &mut [Option<Group>]) -> Result<T>,
    ) -> Result<T> {
        // The lock too may be held for as long as code runs.
        aside(|| {
            let mut engine = self.engine.lock();
            let engine = match &mut *engine {
                Some(engine) => engine,
                empty => {
                    let blueprint = Blueprint::new(&self.signature, &self.source, self.limits.clone())?;
                    empty.insert(Engine { states: HashMap::new(), next: 0, blueprint })
                }
            };
            for id in std::mem::take(&mut *self.gone.lock()) {
                engine.states.remove(&id);
            }
            let id = *id.get_or_insert_with(|| {
                engine.next += 1;
                engine.next
            });
            let state = engine.states.entry(id).or_default();
            if state.len() < groups {
                state.resize_with(groups, || None);
            }
            work(&mut engine.blueprint, state)
        })
    }
}

struct JsGroups {
    call: Arc<Call>,
    changelog: bool,
}

impl Aggregate for JsGroups {
    fn new_state(&self) -> Box<dyn GroupState> {
        Box::new(JsState {
            call: Arc::clone(&self.call),
            changelog: self.changelog,
            id: None,
            groups: 0,
            answers: None,
        })
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Binary]
    }

    fn retracting(&self) -> Option<Arc<dyn Aggregate>> {
        Some(Arc::new(JsGroups { call: Arc::clone(&self.call), changelog: true }))
    }

    fn needs(&self) -> Needs {
        let shape = self.call.shape;
        Needs {
            function: Some(Arc::clone(&self.call.signature.name)),
            order: true,
            no_save: !(shape.serialize && shape.deserialize),
            own_emit: shape.own_emit,
        }
    }
}

struct JsState {
    call: Arc<Call>,
    changelog: bool,
    /// Of its groups in the engine, once it has some.
    id: Option<usize>,
    groups: usize,
    /// Of an aggregate with its own emit.
    answers: Option<Answers>,
}

/// The rows of each group, groups in the order of their first row.
fn by_group(groups: &[u32], filter: Option<&BooleanArray>) -> Vec<(u32, Vec<u32>)> {
    let mut places: HashMap<u32, usize> = HashMap::new();
    let mut parts: Vec<(u32, Vec<u32>)> = Vec::new();
    for (row, group) in groups.iter().enumerate() {
        if filter.is_some_and(|f| !f.is_valid(row) || !f.value(row)) {
            continue;
        }
        let at = *places.entry(*group).or_insert_with(|| {
            parts.push((*group, Vec::new()));
            parts.len() - 1
        });
        parts[at].1.push(row as u32);
    }
    parts
}

impl JsState {
    fn add(
        &mut self,
        groups: &[u32],
        args: &[ArrayRef],
        filter: Option<&BooleanArray>,
        sign: Option<&dyn Fn(usize) -> i8>,
    ) -> Result<()> {
        let Some(first) = groups.first() else { return Ok(()) };
        let parts;
        let whole = filter.is_none() && groups.iter().all(|g| g == first);
        let work: Vec<(u32, Rows<'_>)> = if whole {
            vec![(*first, Rows::All(groups.len()))]
        } else {
            parts = by_group(groups, filter);
            parts.iter().map(|(group, rows)| (*group, Rows::At(rows))).collect()
        };
        if work.is_empty() {
            return Ok(());
        }
        let answers = self.answers.get_or_insert_with(|| Answers {
            groups: Vec::new(),
            values: ColumnBuilder::new(&self.call.signature.returns),
        });
        self.call
            .with(&mut self.id, self.groups, |blueprint, state| blueprint.process(state, &work, args, sign, answers))
    }
}

impl GroupState for JsState {
    fn resize(&mut self, groups: usize) {
        self.groups = self.groups.max(groups);
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let added: &dyn Fn(usize) -> i8 = &|_| 1;
        self.add(groups, args, filter, self.changelog.then_some(added))
    }

    fn retract(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        if !self.changelog {
            return Err(Error::bug("rows of no changelog are withdrawn from a JavaScript aggregate"));
        }
        self.add(groups, args, filter, Some(&|_| -1))
    }

    fn apply(
        &mut self,
        groups: &[u32],
        args: &[ArrayRef],
        signs: &Int8Array,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        if !self.changelog {
            return Err(Error::bug("rows of a changelog for a JavaScript aggregate of plain rows"));
        }
        self.add(groups, args, filter, Some(&|row| signs.value(row)))
    }

    fn take_answers(&mut self) -> Result<Option<(Vec<u32>, ArrayRef)>> {
        match self.answers.take() {
            Some(mut answers) if !answers.groups.is_empty() => Ok(Some((answers.groups, answers.values.finish()?))),
            _ => Ok(None),
        }
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let column = state.first().ok_or_else(|| Error::bug("a saved state without columns"))?;
        let column: &BinaryArray = downcast(column)?;
        let saved =
            groups.iter().enumerate().filter(|(row, _)| column.is_valid(*row) && !column.value(*row).is_empty());
        let saved = saved.map(|(row, group)| (*group, String::from_utf8_lossy(column.value(row)).into_owned()));
        let saved: Vec<(u32, String)> = saved.collect();
        if saved.is_empty() {
            return Ok(());
        }
        self.call.with(&mut self.id, self.groups, |blueprint, state| blueprint.merge(state, &saved))
    }

    fn finish(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        let mut answers = ColumnBuilder::with_capacity(&self.call.signature.returns, groups.len());
        self.call
            .with(&mut self.id, self.groups, |blueprint, state| blueprint.finalize(state, groups, &mut answers))?;
        answers.finish()
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut id = self.id;
        let states = match id {
            Some(_) => self.call.with(&mut id, self.groups, |blueprint, state| blueprint.serialize(state, groups))?,
            None => vec![String::new(); groups.len()],
        };
        Ok(vec![Arc::new(BinaryArray::from_iter_values(states.iter().map(String::as_bytes)))])
    }

    fn clear(&mut self, groups: &[u32]) {
        if self.id.is_none() {
            return;
        }
        // There is an engine, which was made before the number.
        let _ = self.call.with(&mut self.id, self.groups, |_, state| {
            groups.iter().for_each(|group| state[*group as usize] = None);
            Ok(())
        });
    }

    /// Without what the engine takes: the query's budget counts that as it is taken.
    fn bytes(&self) -> usize {
        self.groups * size_of::<Option<Group>>()
    }
}

impl Drop for JsState {
    fn drop(&mut self) {
        self.call.gone.lock().extend(self.id);
    }
}
