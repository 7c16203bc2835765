//! The usual rule for NULL around aggregates: a row with a NULL in any argument is skipped; a group without rows is NULL.
//!
//! In: a function and its arguments as the binder has them. Out: a bound aggregate that sees bare values. The wrapper is
//! there only when an argument is nullable. `_or_null` and `_or_default` are the same wrapper without NULLs.

use crate::agg::{AggFn, Aggregate, BoundAgg, GroupState, Needs};
use crate::call::{ArgInfo, BindContext, arrow_error, downcast};
use crate::nulls::{null_array, with_nulls};
use arrow::array::{Array, ArrayRef, BooleanArray, Int8Array, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use hydron_base::{Error, Result};
use hydron_types::{LogicalType, Value, array_of};
use std::sync::Arc;

/// Binds `function` by its own rule for NULL. `low_cardinality` is taken off the arguments either way.
pub fn bind_with_nulls(function: &dyn AggFn, cx: &BindContext, args: &[ArgInfo], params: &[Value]) -> Result<BoundAgg> {
    let args: Vec<ArgInfo> = args.iter().map(|a| ArgInfo { ty: plain(&a.ty).clone(), ..a.clone() }).collect();
    if !function.skips_nulls() {
        return function.bind(cx, &args, params);
    }
    if args.iter().any(|a| *a.ty.bare() == LogicalType::Nothing) {
        return never(function, cx, &args, params);
    }
    if !args.iter().any(|a| a.ty.is_nullable()) {
        return function.bind(cx, &args, params);
    }
    let bare: Vec<ArgInfo> = args.iter().map(|a| ArgInfo { ty: a.ty.bare().clone(), ..a.clone() }).collect();
    let bound = function.bind(cx, &bare, params)?;
    let empty = if function.default_without_rows() || !can_be_null(&bound.ty) { Empty::AsIs } else { Empty::Null };
    Ok(wrapped(bound, empty))
}

fn plain(ty: &LogicalType) -> &LogicalType {
    match ty {
        LogicalType::LowCardinality(t) => plain(t),
        LogicalType::SimpleAggregateFunction { arg, .. } => plain(arg),
        t => t,
    }
}

pub fn can_be_null(ty: &LogicalType) -> bool {
    use LogicalType::*;
    !matches!(ty, Array(_) | Tuple(_) | Map(..) | Nested(_) | Json | AggregateFunction { .. } | Nullable(_) | Nothing)
}

/// An argument is NULL in every row: counts are zero, everything else is NULL.
fn never(function: &dyn AggFn, cx: &BindContext, args: &[ArgInfo], params: &[Value]) -> Result<BoundAgg> {
    let number = |a: &ArgInfo| match a.ty.bare() {
        LogicalType::Nothing => ArgInfo { ty: LogicalType::UInt8, ..a.clone() },
        t => ArgInfo { ty: t.clone(), ..a.clone() },
    };
    let bound = function.bind(cx, &args.iter().map(number).collect::<Vec<_>>(), params)?;
    if function.default_without_rows() {
        return Ok(BoundAgg { aggregate: Arc::new(Never { inner: Some(bound.aggregate) }), ty: bound.ty });
    }
    Ok(BoundAgg { ty: LogicalType::nullable(LogicalType::Nothing), aggregate: Arc::new(Never { inner: None }) })
}

struct Never {
    /// What a group without rows answers; `None`: NULL.
    inner: Option<Arc<dyn Aggregate>>,
}

impl Aggregate for Never {
    fn new_state(&self) -> Box<dyn GroupState> {
        Box::new(NeverState { inner: self.inner.as_ref().map(|a| a.new_state()) })
    }

    fn state_types(&self) -> Vec<DataType> {
        Vec::new()
    }

    fn retracting(&self) -> Option<Arc<dyn Aggregate>> {
        Some(Arc::new(Never { inner: self.inner.clone() }))
    }
}

struct NeverState {
    inner: Option<Box<dyn GroupState>>,
}

impl GroupState for NeverState {
    fn resize(&mut self, groups: usize) {
        if let Some(inner) = &mut self.inner {
            inner.resize(groups);
        }
    }

    fn update(&mut self, _: &[u32], _: &[ArrayRef], _: Option<&BooleanArray>) -> Result<()> {
        Ok(())
    }

    fn retract(&mut self, _: &[u32], _: &[ArrayRef], _: Option<&BooleanArray>) -> Result<()> {
        Ok(())
    }

    fn merge(&mut self, _: &[u32], _: &[ArrayRef]) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        match &mut self.inner {
            Some(inner) => inner.finish(groups),
            None => Ok(null_array(&LogicalType::Nothing, groups.len())),
        }
    }

    fn save(&self, _: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(Vec::new())
    }

    fn clear(&mut self, _: &[u32]) {}

    fn bytes(&self) -> usize {
        self.inner.as_ref().map_or(0, |inner| inner.bytes())
    }
}

/// What a group without rows answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Empty {
    /// What the function itself answers.
    AsIs,
    Null,
    /// The default of this type.
    Default(LogicalType),
}

/// `bound` for arguments with NULLs, or with another answer for no rows.
pub fn wrapped(bound: BoundAgg, empty: Empty) -> BoundAgg {
    let ty = if empty == Empty::Null { LogicalType::nullable(bound.ty) } else { bound.ty };
    BoundAgg { ty, aggregate: Arc::new(SkipNulls { inner: bound.aggregate, empty }) }
}

struct SkipNulls {
    inner: Arc<dyn Aggregate>,
    empty: Empty,
}

impl Aggregate for SkipNulls {
    fn new_state(&self) -> Box<dyn GroupState> {
        let seen = (self.empty != Empty::AsIs).then(Vec::new);
        Box::new(SkipNullsState { inner: self.inner.new_state(), empty: self.empty.clone(), seen })
    }

    fn state_types(&self) -> Vec<DataType> {
        let mut types = self.inner.state_types();
        if self.empty != Empty::AsIs {
            types.push(DataType::UInt64);
        }
        types
    }

    fn retracting(&self) -> Option<Arc<dyn Aggregate>> {
        let inner = self.inner.retracting()?;
        Some(Arc::new(SkipNulls { inner, empty: self.empty.clone() }))
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }
}

struct SkipNullsState {
    inner: Box<dyn GroupState>,
    empty: Empty,
    /// Rows each group has, where that decides the answer.
    seen: Option<Vec<u64>>,
}

/// `filter` without the rows where an argument is NULL; `None`: every row passes.
pub fn skipping_nulls(args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Option<BooleanArray>> {
    let nulls = args.iter().fold(None, |nulls, a| NullBuffer::union(nulls.as_ref(), a.logical_nulls().as_ref()));
    let Some(nulls) = nulls.filter(|n| n.null_count() > 0) else {
        return Ok(filter.cloned());
    };
    let valid = BooleanArray::new(nulls.into_inner(), None);
    Ok(Some(match filter {
        Some(filter) => arrow::compute::and(&valid, filter).map_err(arrow_error)?,
        None => valid,
    }))
}

impl SkipNullsState {
    fn note(&mut self, groups: &[u32], filter: Option<&BooleanArray>, change: impl Fn(&mut u64)) -> Result<()> {
        let Some(seen) = &mut self.seen else {
            return Ok(());
        };
        super::fold::each_row(groups.len(), filter, |row| {
            change(&mut seen[groups[row] as usize]);
            Ok(())
        })
    }
}

impl GroupState for SkipNullsState {
    fn resize(&mut self, groups: usize) {
        self.inner.resize(groups);
        if let Some(seen) = &mut self.seen
            && seen.len() < groups
        {
            seen.resize(groups, 0);
        }
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let filter = skipping_nulls(args, filter)?;
        self.note(groups, filter.as_ref(), |n| *n = n.wrapping_add(1))?;
        self.inner.update(groups, args, filter.as_ref())
    }

    fn retract(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let filter = skipping_nulls(args, filter)?;
        self.note(groups, filter.as_ref(), |n| *n = n.wrapping_sub(1))?;
        self.inner.retract(groups, args, filter.as_ref())
    }

    fn apply(
        &mut self,
        groups: &[u32],
        args: &[ArrayRef],
        signs: &Int8Array,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let filter = skipping_nulls(args, filter)?;
        if let Some(seen) = &mut self.seen {
            super::fold::each_row(groups.len(), filter.as_ref(), |row| {
                let seen = &mut seen[groups[row] as usize];
                *seen = seen.wrapping_add_signed(i64::from(signs.value(row)));
                Ok(())
            })?;
        }
        self.inner.apply(groups, args, signs, filter.as_ref())
    }

    fn take_answers(&mut self) -> Result<Option<(Vec<u32>, ArrayRef)>> {
        self.inner.take_answers()
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let Some(seen) = &mut self.seen else {
            return self.inner.merge(groups, state);
        };
        let (rows, inner) = state.split_last().ok_or_else(|| Error::bug("a saved state without columns"))?;
        let rows: &UInt64Array = downcast(rows)?;
        groups.iter().zip(rows.values()).for_each(|(g, n)| seen[*g as usize] = seen[*g as usize].wrapping_add(*n));
        self.inner.merge(groups, inner)
    }

    fn finish(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        let answers = self.inner.finish(groups)?;
        let Some(seen) = &self.seen else {
            return Ok(answers);
        };
        let has_rows: BooleanArray = groups.iter().map(|g| Some(seen[*g as usize] > 0)).collect();
        if has_rows.true_count() == groups.len() {
            return Ok(answers);
        }
        match &self.empty {
            Empty::Default(ty) => {
                let default = array_of(&Value::default_of(ty), ty, groups.len())?;
                arrow::compute::kernels::zip::zip(&has_rows, &answers, &default).map_err(arrow_error)
            }
            _ => with_nulls(&answers, &NullBuffer::new(has_rows.values().clone())),
        }
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut state = self.inner.save(groups)?;
        if let Some(seen) = &self.seen {
            state.push(Arc::new(groups.iter().map(|g| seen[*g as usize]).collect::<UInt64Array>()));
        }
        Ok(state)
    }

    fn clear(&mut self, groups: &[u32]) {
        self.inner.clear(groups);
        if let Some(seen) = &mut self.seen {
            groups.iter().for_each(|g| seen[*g as usize] = 0);
        }
    }

    fn bytes(&self) -> usize {
        self.inner.bytes() + self.seen.as_ref().map_or(0, |s| s.capacity() * 8)
    }
}
