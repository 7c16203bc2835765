//! The usual rule for NULL, applied around a function once, so that kernels see bare values.
//!
//! In: a function and the arguments as the binder has them (`nullable`, `low_cardinality`, constants that are NULL). Out: a
//! call whose result is NULL wherever an argument is. Promise: what stands under a NULL never makes a call fail, and a call
//! whose arguments are all constant is computed once for a batch.

use crate::call::{
    ArgInfo, BindContext, BoundCall, Datum, EvalContext, Kernel, NullRule, ScalarFn, Volatility, arrow_error,
};
use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array, make_array};
use arrow::buffer::NullBuffer;
use arrow::compute;
use hydron_base::Result;
use hydron_types::column::array_of;
use hydron_types::gather::take_rows;
use hydron_types::physical::arrow_type;
use hydron_types::{LogicalType, Value};
use std::sync::Arc;

/// Binds `function` by its own rule for NULL. `low_cardinality` is taken off the arguments unless the
/// function asks for it.
pub fn bind_with_nulls(function: &dyn ScalarFn, cx: &BindContext, args: &[ArgInfo]) -> Result<BoundCall> {
    if function.null_rule() == NullRule::Whole {
        return function.bind(cx, args);
    }
    let dictionary = function.keeps_low_cardinality() && of_one_dictionary(args);
    let args: Vec<ArgInfo> = args.iter().map(|a| ArgInfo { ty: plain(&a.ty).clone(), ..a.clone() }).collect();
    let mut bound = match function.null_rule() {
        NullRule::Custom | NullRule::Whole => function.bind(cx, &args)?,
        NullRule::Propagate => propagate(function, cx, &args)?,
    };
    let lambdas = args.iter().any(|a| a.lambda_params.is_some());
    if args.is_empty() || lambdas || bound.volatility != Volatility::Immutable {
        return Ok(bound);
    }
    if dictionary && fits_dictionary(&bound.ty) {
        bound.ty = LogicalType::LowCardinality(Box::new(bound.ty));
    }
    Ok(BoundCall { kernel: Arc::new(OncePerBatch { inner: bound.kernel }), ..bound })
}

/// Whether a call has few results because its one column has few values: it is `low_cardinality`, all else constant.
fn of_one_dictionary(args: &[ArgInfo]) -> bool {
    let low = |a: &&ArgInfo| matches!(a.ty, LogicalType::LowCardinality(_));
    let columns: Vec<&ArgInfo> = args.iter().filter(|a| a.constant.is_none()).collect();
    args.iter().any(|a| low(&a)) && columns.len() <= 1 && columns.iter().all(low)
}

/// Types of results that stay `low_cardinality`. A condition does not: what reads it asks for `bool`.
fn fits_dictionary(ty: &LogicalType) -> bool {
    use LogicalType::*;
    match ty {
        Nullable(t) => fits_dictionary(t),
        String | FixedString(_) | Date | Date32 | DateTime(_) | Uuid | Ipv4 | Ipv6 | Interval(_) => true,
        t => t.is_integer() || t.is_float(),
    }
}

/// The type without the wrappers that only clients care for.
fn plain(ty: &LogicalType) -> &LogicalType {
    match ty {
        LogicalType::LowCardinality(t) => plain(t),
        LogicalType::SimpleAggregateFunction { arg, .. } => plain(arg),
        t => t,
    }
}

fn propagate(function: &dyn ScalarFn, cx: &BindContext, args: &[ArgInfo]) -> Result<BoundCall> {
    if args.iter().any(|a| *a.ty.bare() == LogicalType::Nothing && a.lambda_params.is_none()) {
        return Ok(always_null(LogicalType::Nothing));
    }
    if !args.iter().any(|a| a.ty.is_nullable()) {
        return function.bind(cx, args);
    }
    let bare: Vec<ArgInfo> = args.iter().map(bare_argument).collect();
    let bound = function.bind(cx, &bare)?;
    let ty = LogicalType::nullable(bound.ty.clone());
    if args.iter().any(|a| a.constant.as_ref().is_some_and(Value::is_null)) {
        return Ok(always_null(ty));
    }
    let kernel = Propagated { inner: bound.kernel, ty: bound.ty };
    Ok(BoundCall { ty, kernel: Arc::new(kernel), volatility: bound.volatility })
}

/// The argument as a kernel under the usual rule sees it. A constant NULL shows as the default of its type: the result is
/// NULL anyway, and a function that wants a constant there must still bind.
fn bare_argument(arg: &ArgInfo) -> ArgInfo {
    let ty = arg.ty.bare().clone();
    let constant = arg.constant.clone().map(|v| if v.is_null() { default_value(&ty) } else { v });
    ArgInfo { ty, constant, ..arg.clone() }
}

fn always_null(ty: LogicalType) -> BoundCall {
    let result = ty.clone();
    BoundCall::new(ty, move |_, _, _| Ok(Datum::Scalar(array_of(&Value::Null, &result, 1)?)))
}

/// The value of a column that was never set.
pub fn default_value(ty: &LogicalType) -> Value {
    use LogicalType::*;
    match ty {
        Nothing | Nullable(_) => Value::Null,
        Bool => Value::Bool(false),
        Int8 | Int16 | Int32 | Int64 | Interval(_) => Value::Int(0),
        UInt8 | UInt16 | UInt32 | UInt64 | Ipv4 => Value::UInt(0),
        Int128 | Int256 | UInt128 | UInt256 => Value::Wide(arrow::datatypes::i256::ZERO),
        Float32 => Value::Float32(0.0),
        Float64 => Value::Float64(0.0),
        Decimal { .. } => Value::Decimal(arrow::datatypes::i256::ZERO),
        String | AggregateFunction { .. } => Value::Bytes(Vec::new()),
        Json => Value::string("{}"),
        FixedString(n) => Value::Bytes(vec![0; *n as usize]),
        Date | Date32 => Value::Date(0),
        DateTime(_) | DateTime64(..) => Value::Time(0),
        Ipv6 => Value::Ipv6([0; 16]),
        Uuid => Value::Uuid([0; 16]),
        Enum8(names) | Enum16(names) => Value::Int(names.pairs.first().map_or(0, |(_, v)| i64::from(*v))),
        Array(_) | Nested(_) => Value::Array(Vec::new()),
        Tuple(elements) => Value::Tuple(elements.iter().map(|(_, t)| default_value(t)).collect()),
        Map(..) => Value::Map(Vec::new()),
        LowCardinality(t) => default_value(t),
        SimpleAggregateFunction { arg, .. } => default_value(arg),
    }
}

/// Computes a call of constant arguments for one row instead of for all.
struct OncePerBatch {
    inner: Arc<dyn Kernel>,
}

impl Kernel for OncePerBatch {
    fn eval(&self, cx: &EvalContext, args: &[Datum], rows: usize) -> Result<Datum> {
        if !args.iter().all(Datum::is_scalar) {
            return self.inner.eval(cx, args, rows);
        }
        Ok(match self.inner.eval(cx, args, 1)? {
            Datum::Array(a) => Datum::Scalar(a),
            other => other,
        })
    }
}

/// The usual rule around a kernel of bare values.
struct Propagated {
    inner: Arc<dyn Kernel>,
    /// What the kernel returns.
    ty: LogicalType,
}

impl Kernel for Propagated {
    fn eval(&self, cx: &EvalContext, args: &[Datum], rows: usize) -> Result<Datum> {
        let mut nulls: Option<NullBuffer> = None;
        let mut bare = Vec::with_capacity(args.len());
        for arg in args {
            match arg {
                Datum::Array(a) => {
                    nulls = NullBuffer::union(nulls.as_ref(), a.logical_nulls().as_ref());
                    bare.push(Datum::Array(without_nulls(a)));
                }
                Datum::Scalar(a) if a.is_null(0) => return self.null(),
                Datum::Scalar(a) => bare.push(Datum::Scalar(without_nulls(a))),
                Datum::Lambda(_) => bare.push(arg.clone()),
            }
        }
        let Some(nulls) = nulls.filter(|n| n.null_count() > 0) else {
            return self.inner.eval(cx, &bare, rows);
        };
        if nulls.null_count() == rows {
            return self.null();
        }
        match self.inner.eval(cx, &bare, rows) {
            Ok(result) => Ok(Datum::Array(with_nulls(&result.to_array(rows)?, &nulls)?)),
            // The failure may come from a value under a NULL, so only the real rows decide.
            Err(_) => self.eval_valid(cx, &bare, &nulls),
        }
    }
}

impl Propagated {
    fn null(&self) -> Result<Datum> {
        Ok(Datum::Scalar(array_of(&Value::Null, &LogicalType::nullable(self.ty.clone()), 1)?))
    }

    fn eval_valid(&self, cx: &EvalContext, args: &[Datum], nulls: &NullBuffer) -> Result<Datum> {
        let valid = BooleanArray::new(nulls.inner().clone(), None);
        let kept = args
            .iter()
            .map(|arg| match arg {
                Datum::Array(a) => Ok(Datum::Array(compute::filter(a, &valid).map_err(arrow_error)?)),
                other => Ok(other.clone()),
            })
            .collect::<Result<Vec<_>>>()?;
        let rows = nulls.len() - nulls.null_count();
        let result = self.inner.eval(cx, &kept, rows)?.to_array(rows)?;
        let mut next = 0;
        let places: UInt32Array = nulls
            .iter()
            .map(|valid| {
                valid.then(|| {
                    next += 1;
                    next - 1
                })
            })
            .collect();
        Ok(Datum::Array(take_rows(&result, &places)?))
    }
}

/// The same values without a mask.
pub fn without_nulls(array: &ArrayRef) -> ArrayRef {
    if array.nulls().is_none() {
        return Arc::clone(array);
    }
    let data = array.to_data().into_builder().nulls(None);
    data.build().map_or_else(|_| Arc::clone(array), make_array)
}

/// The same values, NULL where `nulls` or the array itself says so.
pub fn with_nulls(array: &ArrayRef, nulls: &NullBuffer) -> Result<ArrayRef> {
    if matches!(array.data_type(), arrow::datatypes::DataType::Null) {
        return Ok(Arc::clone(array));
    }
    let nulls = NullBuffer::union(Some(nulls), array.nulls());
    let data = array.to_data().into_builder().nulls(nulls).build().map_err(arrow_error)?;
    Ok(make_array(data))
}

/// `rows` NULLs of nullable `ty`.
pub fn null_array(ty: &LogicalType, rows: usize) -> ArrayRef {
    arrow::array::new_null_array(&arrow_type(ty), rows)
}
