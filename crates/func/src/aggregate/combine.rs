//! Combinators: the words at the end of an aggregate's name that change what it sees or answers.
//!
//! `_if` a condition as last argument, `_distinct` each different row once, `_array` the elements of arrays, `_or_null` and
//! `_or_default` another answer for no rows, `_state` the state instead of the answer, `_merge` states instead of rows,
//! `_for_each` one answer for each place of arrays, `_map` one for each key of maps, `_resample` one for each step along a key,
//! `_arg_min` and `_arg_max` only the rows where the last argument is least or greatest.
//!
//! Parameters of the inner function stand behind its arguments, before those of the combinator: `quantile_if(x, 0.9, condition)`.

use super::extreme_rows::of_extreme;
use super::item::RowKind;
use super::nested::{Parts, by_part};
use super::nulls::{Empty, bind_with_nulls, can_be_null, wrapped};
use super::resample::{Slots, resampled};
use super::{distinct_rows, elements, states};
use crate::agg::{AggFn, Aggregate, BoundAgg, GroupState, Needs};
use crate::call::{ArgInfo, BindContext, arrow_error};
use crate::registry::Registry;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;
use hydron_base::{Code, Error, Result};
use hydron_types::parse::SIMPLE_AGGREGATES;
use hydron_types::{LogicalType, Value};
use std::ops::Range;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Combinator {
    If,
    Distinct,
    Array,
    OrNull,
    OrDefault,
    State,
    SimpleState,
    Merge,
    ForEach,
    Map,
    Resample,
    /// The rows where the last argument is least, or greatest.
    ArgMin,
    ArgMax,
    /// Skips NULLs, as every aggregate does on its own.
    Null,
    /// The name streaming plans of Proton use for the same function.
    Streaming,
}

/// Longer endings first where one is the end of another.
const ENDINGS: [(&str, Combinator); 15] = [
    ("_arg_min", Combinator::ArgMin),
    ("_arg_max", Combinator::ArgMax),
    ("_resample", Combinator::Resample),
    ("_for_each", Combinator::ForEach),
    ("_or_default", Combinator::OrDefault),
    ("_or_null", Combinator::OrNull),
    ("_simple_state", Combinator::SimpleState),
    ("_state", Combinator::State),
    ("_merge", Combinator::Merge),
    ("_distinct", Combinator::Distinct),
    ("_streaming", Combinator::Streaming),
    ("_array", Combinator::Array),
    ("_null", Combinator::Null),
    ("_map", Combinator::Map),
    ("_if", Combinator::If),
];

/// Names of the combinators, without the underscore, for `system.aggregate_function_combinators`.
pub fn combinator_names() -> impl Iterator<Item = &'static str> {
    ENDINGS.iter().filter(|(_, c)| *c != Combinator::Streaming).map(|(ending, _)| &ending[1..])
}

/// `sum_if`, `count_distinct`, …: an aggregate wrapped by the combinators in its name.
pub fn combined(registry: &Registry, name: &str) -> Option<Arc<dyn AggFn>> {
    let (base, combinator) = ENDINGS.iter().find_map(|(ending, c)| Some((name.strip_suffix(ending)?, *c)))?;
    let inner = registry.aggregate(base)?;
    let mapped =
        if combinator == Combinator::Map { registry.aggregate(&format!("{base}_mapped_arrays")) } else { None };
    Some(Arc::new(Combined {
        combinator,
        inner,
        mapped,
        inner_name: Arc::from(registry.canonical(base)),
        name: Arc::from(name),
    }))
}

struct Combined {
    combinator: Combinator,
    inner: Arc<dyn AggFn>,
    /// The function over an array of keys and arrays of values that `_map` means where it is given no map.
    mapped: Option<Arc<dyn AggFn>>,
    inner_name: Arc<str>,
    name: Arc<str>,
}

impl Combined {
    fn illegal(&self, position: usize, args: &[ArgInfo], wanted: &str) -> Error {
        let given = args.get(position).map_or_else(String::new, |a| a.ty.to_string());
        Error::new(
            Code::ILLEGAL_TYPE_OF_ARGUMENT,
            format!(
                "argument {} of aggregate function \"{}\" must be {wanted}, given {given}",
                position + 1,
                self.name
            ),
        )
    }

    /// The elements of arrays as arguments.
    fn element_infos(&self, args: &[ArgInfo]) -> Result<Vec<ArgInfo>> {
        let element = |(i, a): (usize, &ArgInfo)| match &a.ty {
            LogicalType::Array(t) => Ok(ArgInfo::column((**t).clone())),
            _ => Err(self.illegal(i, args, "an array")),
        };
        args.iter().enumerate().map(element).collect()
    }

    fn too_few(&self) -> Error {
        Error::new(
            Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH,
            format!("aggregate function \"{}\" takes at least one argument", self.name),
        )
    }
}

impl AggFn for Combined {
    fn bind(&self, cx: &BindContext, args: &[ArgInfo], params: &[Value]) -> Result<BoundAgg> {
        let inner = |args: &[ArgInfo]| bind_with_nulls(self.inner.as_ref(), cx, args, params);
        match self.combinator {
            Combinator::Streaming | Combinator::Null => inner(args),
            Combinator::Resample => {
                let (key, rest) = args.split_last().ok_or_else(|| self.too_few())?;
                let ([start, end, step], params) = match params.split_last_chunk::<3>() {
                    Some((inner, own)) => (own, inner),
                    None => {
                        let text = format!("\"{}\" takes a key and its start, end and step at the end", self.name);
                        return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
                    }
                };
                if !(key.ty.is_integer() || key.ty.is_date_or_time()) || key.ty.is_nullable() {
                    return Err(self.illegal(rest.len(), args, "a whole number, a date or a time"));
                }
                let slots = Slots::new(&self.name, start, end, step)?;
                let bound = bind_with_nulls(self.inner.as_ref(), cx, rest, params)?;
                let ty = LogicalType::Array(Box::new(bound.ty.clone()));
                Ok(BoundAgg { aggregate: resampled(bound, slots, &key.ty)?, ty })
            }
            Combinator::ArgMin | Combinator::ArgMax => {
                let (key, rest) = args.split_last().ok_or_else(|| self.too_few())?;
                let bound = inner(rest)?;
                let greatest = self.combinator == Combinator::ArgMax;
                Ok(BoundAgg { aggregate: of_extreme(bound.aggregate, &key.ty, greatest)?, ty: bound.ty })
            }
            Combinator::ForEach => {
                if args.is_empty() {
                    return Err(self.too_few());
                }
                let bound = inner(&self.element_infos(args)?)?;
                let ty = LogicalType::Array(Box::new(bound.ty.clone()));
                Ok(BoundAgg { aggregate: by_part(bound.aggregate, Parts::Places(bound.ty))?, ty })
            }
            Combinator::Map => match (args, &self.mapped) {
                ([ArgInfo { ty: LogicalType::Map(key, value), .. }], _) => {
                    let bound = inner(&[ArgInfo::column((**value).clone())])?;
                    let ty = LogicalType::Map(key.clone(), Box::new(bound.ty));
                    let kind = RowKind::new(std::slice::from_ref(&**key))?;
                    Ok(BoundAgg { aggregate: by_part(bound.aggregate, Parts::Keys { kind, ty: ty.clone() })?, ty })
                }
                (_, Some(mapped)) => bind_with_nulls(mapped.as_ref(), cx, args, params),
                _ => Err(self.illegal(0, args, "a map")),
            },
            Combinator::If => {
                let (condition, rest) = args.split_last().ok_or_else(|| self.too_few())?;
                if !condition.ty.bare().is_integer() && *condition.ty.bare() != LogicalType::Bool {
                    return Err(self.illegal(rest.len(), args, "a condition"));
                }
                let bound = inner(rest)?;
                Ok(BoundAgg { aggregate: Arc::new(If { inner: bound.aggregate }), ty: bound.ty })
            }
            Combinator::Distinct => {
                if args.is_empty() {
                    return Err(self.too_few());
                }
                let bound = inner(args)?;
                let types: Vec<LogicalType> = args.iter().map(|a| a.ty.clone()).collect();
                Ok(BoundAgg { aggregate: distinct_rows::distinct(bound.aggregate, &types)?, ty: bound.ty })
            }
            Combinator::Array => {
                if args.is_empty() {
                    return Err(self.too_few());
                }
                let bound = inner(&self.element_infos(args)?)?;
                Ok(BoundAgg { aggregate: elements::of_elements(bound.aggregate), ty: bound.ty })
            }
            Combinator::OrNull => {
                let bound = inner(args)?;
                let empty = if can_be_null(&bound.ty) { Empty::Null } else { Empty::AsIs };
                Ok(wrapped(bound, empty))
            }
            Combinator::OrDefault => {
                let bound = inner(args)?;
                let empty = Empty::Default(bound.ty.clone());
                Ok(wrapped(bound, empty))
            }
            Combinator::State => {
                let bound = inner(args)?;
                let types = args.iter().map(|a| a.ty.clone()).collect();
                let name = states::with_params(&self.inner_name, params);
                let ty = LogicalType::AggregateFunction { name, args: types };
                Ok(BoundAgg { ty, aggregate: states::to_states(bound.aggregate)? })
            }
            Combinator::SimpleState => {
                if !SIMPLE_AGGREGATES.contains(&&*self.inner_name) {
                    let text = format!("the answer of \"{}\" is no state that can be merged again", self.inner_name);
                    return Err(Error::bad_arguments(text).hint(format!("{}_state", self.inner_name)));
                }
                let bound = inner(args)?;
                let ty = LogicalType::SimpleAggregateFunction {
                    name: Arc::clone(&self.inner_name),
                    arg: Box::new(bound.ty),
                };
                Ok(BoundAgg { ty, aggregate: bound.aggregate })
            }
            Combinator::Merge => {
                let [ArgInfo { ty: LogicalType::AggregateFunction { name, args: types }, .. }] = args else {
                    return Err(self.illegal(0, args, "one column of states"));
                };
                let (base, params) = super::name_and_params(name)?;
                if base != &*self.inner_name {
                    return Err(self.illegal(0, args, &format!("a state of \"{}\"", self.inner_name)));
                }
                let types: Vec<ArgInfo> = types.iter().cloned().map(ArgInfo::column).collect();
                let bound = bind_with_nulls(self.inner.as_ref(), cx, &types, &params)?;
                Ok(BoundAgg { aggregate: states::from_states(bound.aggregate)?, ty: bound.ty })
            }
        }
    }

    fn skips_nulls(&self) -> bool {
        match self.combinator {
            Combinator::State | Combinator::Merge | Combinator::Array | Combinator::ForEach | Combinator::Map => false,
            _ => self.inner.skips_nulls(),
        }
    }

    /// Those of the inner function, before what the combinator itself takes.
    fn param_positions_of(&self, args: &[ArgInfo]) -> Range<usize> {
        let len = args.len();
        match self.combinator {
            Combinator::Merge => len..len,
            Combinator::Resample => len.saturating_sub(3)..len,
            Combinator::If | Combinator::ArgMin | Combinator::ArgMax => {
                let inner = &args[..len.saturating_sub(1)];
                match self.inner.param_positions_of(inner) {
                    none if none.is_empty() => len..len,
                    some => some,
                }
            }
            _ => self.inner.param_positions_of(args),
        }
    }

    fn param_positions(&self, args: usize) -> Range<usize> {
        match self.combinator {
            Combinator::Merge => args..args,
            Combinator::Resample => args.saturating_sub(3)..args,
            Combinator::If | Combinator::ArgMin | Combinator::ArgMax => {
                match self.inner.param_positions(args.saturating_sub(1)) {
                    none if none.is_empty() => args..args,
                    some => some,
                }
            }
            _ => self.inner.param_positions(args),
        }
    }

    fn default_without_rows(&self) -> bool {
        match self.combinator {
            Combinator::OrNull => false,
            Combinator::ForEach | Combinator::Map | Combinator::Resample => true,
            _ => self.inner.default_without_rows(),
        }
    }
}

struct If {
    inner: Arc<dyn Aggregate>,
}

impl Aggregate for If {
    fn new_state(&self) -> Box<dyn GroupState> {
        Box::new(IfState { inner: self.inner.new_state() })
    }

    fn state_types(&self) -> Vec<DataType> {
        self.inner.state_types()
    }

    fn retracting(&self) -> Option<Arc<dyn Aggregate>> {
        Some(Arc::new(If { inner: self.inner.retracting()? }))
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }
}

struct IfState {
    inner: Box<dyn GroupState>,
}

/// The rows where the last argument is true, and the other arguments.
fn conditioned<'a>(args: &'a [ArrayRef], filter: Option<&BooleanArray>) -> Result<(&'a [ArrayRef], BooleanArray)> {
    let (condition, rest) =
        args.split_last().ok_or_else(|| Error::bug("a conditional aggregate without a condition"))?;
    let condition = truth(condition)?;
    Ok((
        rest,
        match filter {
            Some(filter) => arrow::compute::and(&condition, filter).map_err(arrow_error)?,
            None => condition,
        },
    ))
}

/// True where a condition is true, or a number other than zero.
fn truth(condition: &ArrayRef) -> Result<BooleanArray> {
    if let Some(bools) = condition.as_boolean_opt() {
        return Ok(bools.clone());
    }
    let numbers = condition.to_data();
    let width = numbers.data_type().primitive_width().ok_or_else(|| Error::bug("a condition that is no number"))?;
    let bytes = &numbers.buffers()[0][numbers.offset() * width..];
    let set =
        BooleanBuffer::collect_bool(condition.len(), |i| bytes[i * width..(i + 1) * width].iter().any(|b| *b != 0));
    Ok(BooleanArray::new(set, condition.nulls().cloned()))
}

impl GroupState for IfState {
    fn resize(&mut self, groups: usize) {
        self.inner.resize(groups);
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let (rest, filter) = conditioned(args, filter)?;
        self.inner.update(groups, rest, Some(&filter))
    }

    fn retract(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let (rest, filter) = conditioned(args, filter)?;
        self.inner.retract(groups, rest, Some(&filter))
    }

    fn take_answers(&mut self) -> Result<Option<(Vec<u32>, ArrayRef)>> {
        self.inner.take_answers()
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        self.inner.merge(groups, state)
    }

    fn finish(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        self.inner.finish(groups)
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.inner.save(groups)
    }

    fn clear(&mut self, groups: &[u32]) {
        self.inner.clear(groups);
    }

    fn bytes(&self) -> usize {
        self.inner.bytes()
    }
}
