//! Expressions for DataFusion: what it can prune and push down stays its own, everything else is one function of ours.
//!
//! In: a bound expression and the columns it reads. Out: a DataFusion expression of exactly the same type. Native are
//! columns, literals, AND, OR, NOT, IS NULL and comparisons of two values of one plain type; the largest parts that are
//! anything else become a scalar function that calls the evaluator of the plan.

use crate::error::{outward, panicked};
use arrow::array::{Array, ArrayRef, UInt64Array};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Column, Result as DfResult, ScalarValue};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr as DfExpr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, TypeSignature, Volatility as DfVolatility,
};
use hydron_base::world::WallTime;
use hydron_base::{Error, Result};
use hydron_func::{Datum, EvalContext, Volatility};
use hydron_plan::{Expr, ExprKind};
use hydron_types::physical::{arrow_field, arrow_type};
use hydron_types::{LogicalType, Value, Zone, array_of, gather};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What holds for every evaluation of one query.
#[derive(Debug)]
pub struct QueryTime {
    pub now: WallTime,
    pub zone: Zone,
    pub seed: u64,
    /// Evaluations so far: each gets its own random numbers.
    batches: AtomicU64,
}

impl QueryTime {
    pub fn new(now: WallTime, zone: Zone, seed: u64) -> QueryTime {
        QueryTime { now, zone, seed, batches: AtomicU64::new(0) }
    }

    pub fn context(&self) -> EvalContext {
        let batch = self.batches.fetch_add(1, Ordering::Relaxed);
        EvalContext { now: self.now, zone: self.zone, seed: self.seed, batch }
    }
}

/// A number that no other function of this process has: two call sites are never the same function.
pub fn fresh_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// DataFusion walks its trees by recursion and takes connectives apart and together again, one below the other: 50,000 operands
/// are more than any stack holds. Ours takes them as a list; they are no help in pruning anyway.
const OPERANDS_MAX: usize = 128;

/// Operands that may stand one below the other.
const IN_A_ROW_MAX: usize = 8;

/// DataFusion copies a literal for each row of a batch, and panics when the copies do not fit one column: larger ones are
/// values of a function of ours, which looks first. A batch of 262,144 rows of this size fits.
const LITERAL_ELEMENTS_MAX: usize = 8_191;

/// The expression over `columns`, which stand for the positions that `expr` reads.
pub fn lower(expr: &Expr, columns: &[Column], time: &Arc<QueryTime>) -> Result<DfExpr> {
    match &expr.kind {
        ExprKind::Column(i) => column(columns, *i),
        ExprKind::Literal(value) => {
            let one = array_of(value, &expr.ty, 1)?;
            match gather::elements_max(one.as_ref()) > LITERAL_ELEMENTS_MAX {
                true => evaluated(expr, columns, time),
                false => literal(value, &expr.ty),
            }
        }
        ExprKind::Call { name, args, .. } => match native(name, expr, args, columns, time)? {
            Some(native) => Ok(native),
            None => evaluated(expr, columns, time),
        },
        ExprKind::Lambda { .. } => Err(Error::bug("a lambda was used as a value")),
    }
}

pub fn column(columns: &[Column], index: usize) -> Result<DfExpr> {
    let column =
        columns.get(index).ok_or_else(|| Error::bug(format!("column #{index} of {} was read", columns.len())))?;
    Ok(DfExpr::Column(column.clone()))
}

pub fn literal(value: &Value, ty: &LogicalType) -> Result<DfExpr> {
    let one = array_of(value, ty, 1)?;
    let scalar = ScalarValue::try_from_array(&one, 0).map_err(crate::error::inward)?;
    Ok(DfExpr::Literal(scalar, None))
}

fn native(name: &str, expr: &Expr, args: &[Expr], columns: &[Column], time: &Arc<QueryTime>) -> Result<Option<DfExpr>> {
    let is_bool = |e: &Expr| *e.ty.bare() == LogicalType::Bool;
    if !is_bool(expr) {
        return Ok(None);
    }
    match (name, args) {
        ("and" | "or", [_, _, ..]) if args.len() <= OPERANDS_MAX && args.iter().all(is_bool) => {
            let op = if name == "and" { Operator::And } else { Operator::Or };
            let lowered = args.iter().map(|a| lower(a, columns, time)).collect::<Result<Vec<_>>>()?;
            let joined = joined(lowered, op).ok_or_else(|| Error::bug("a connective without operands"))?;
            Ok(Some(joined))
        }
        ("not", [a]) if is_bool(a) => Ok(Some(DfExpr::Not(Box::new(lower(a, columns, time)?)))),
        ("is_null", [a]) if a.as_column().is_some() => Ok(Some(DfExpr::IsNull(Box::new(lower(a, columns, time)?)))),
        ("is_not_null", [a]) if a.as_column().is_some() => {
            Ok(Some(DfExpr::IsNotNull(Box::new(lower(a, columns, time)?))))
        }
        (_, [a, b]) => {
            let Some(op) = comparison(name) else {
                return Ok(None);
            };
            let Some((a, b)) = of_one_type(a, b) else {
                return Ok(None);
            };
            Ok(Some(binary(lower(&a, columns, time)?, op, lower(&b, columns, time)?)))
        }
        _ => Ok(None),
    }
}

/// Operands under one connective: one by one where they are few, so that plans read as they were written, else halved again
/// and again, so that the tree is not as deep as they are many.
fn joined(mut operands: Vec<DfExpr>, op: Operator) -> Option<DfExpr> {
    if operands.len() > IN_A_ROW_MAX {
        let right = operands.split_off(operands.len() / 2);
        return Some(binary(joined(operands, op)?, op, joined(right, op)?));
    }
    operands.into_iter().reduce(|a, b| binary(a, op, b))
}

fn binary(a: DfExpr, op: Operator, b: DfExpr) -> DfExpr {
    DfExpr::BinaryExpr(BinaryExpr::new(Box::new(a), op, Box::new(b)))
}

fn comparison(name: &str) -> Option<Operator> {
    Some(match name {
        "equals" => Operator::Eq,
        "not_equals" => Operator::NotEq,
        "less" => Operator::Lt,
        "less_or_equals" => Operator::LtEq,
        "greater" => Operator::Gt,
        "greater_or_equals" => Operator::GtEq,
        _ => return None,
    })
}

/// The operands as values of one plain type, where they are; an integer literal takes the type of the other side.
fn of_one_type(a: &Expr, b: &Expr) -> Option<(Expr, Expr)> {
    let (at, bt) = (a.ty.bare(), b.ty.bare());
    if is_plain(at) && is_plain(bt) && same_values(at, bt) {
        return Some((a.clone(), b.clone()));
    }
    if let Some(value) = a.as_literal().and_then(|v| fits(v, at, bt)) {
        return Some((Expr::literal(value, bt.clone()), b.clone()));
    }
    let value = b.as_literal().and_then(|v| fits(v, bt, at))?;
    Some((a.clone(), Expr::literal(value, at.clone())))
}

/// Types whose Arrow order and equality are those of SQL. Floats are not: Arrow has a total order with NaN.
fn is_plain(ty: &LogicalType) -> bool {
    use LogicalType::*;
    ty.is_integer()
        || matches!(
            ty,
            Bool | String
                | FixedString(_)
                | Date
                | Date32
                | DateTime(_)
                | DateTime64(..)
                | Ipv4
                | Ipv6
                | Uuid
                | Decimal { .. }
        )
}

fn same_values(a: &LogicalType, b: &LogicalType) -> bool {
    use LogicalType::*;
    match (a, b) {
        (DateTime(_), DateTime(_)) => true,
        (DateTime64(s, _), DateTime64(t, _)) => s == t,
        // Arrow calls uint128, uuid and ipv6 the same; only equal types compare here.
        (a, b) => a == b,
    }
}

/// An integer literal as a value of another integer type that holds it.
fn fits(value: &Value, from: &LogicalType, to: &LogicalType) -> Option<Value> {
    let (64 | 32 | 16 | 8) = to.bits()? else { return None };
    if !from.is_integer() || !to.is_integer() {
        return None;
    }
    let v = match value {
        Value::Int(v) => i128::from(*v),
        Value::UInt(v) => i128::from(*v),
        _ => return None,
    };
    let bits = to.bits()?;
    let signed = to.is_signed_integer();
    let (least, most) =
        if signed { (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1) } else { (0, (1i128 << bits) - 1) };
    (least..=most).contains(&v).then_some(if signed { Value::Int(v as i64) } else { Value::UInt(v as u64) })
}

/// A function that evaluates `expr` with our evaluator; its arguments are the columns it reads.
fn evaluated(expr: &Expr, columns: &[Column], time: &Arc<QueryTime>) -> Result<DfExpr> {
    let mut read = Vec::new();
    expr.columns(&mut |c| {
        if !read.contains(&c) {
            read.push(c);
        }
    });
    read.sort_unstable();
    let args = read.iter().map(|c| column(columns, *c)).collect::<Result<Vec<_>>>()?;
    let place = |c: usize| read.binary_search(&c).unwrap_or(usize::MAX);
    let volatility = match expr.volatility() {
        // It must not become a literal again.
        _ if expr.as_literal().is_some() => DfVolatility::Volatile,
        Volatility::Immutable => DfVolatility::Immutable,
        // Of a batch and nothing in it (`block_size()`): one value for the whole query would not do.
        Volatility::Stable if args.is_empty() => DfVolatility::Volatile,
        Volatility::Stable => DfVolatility::Stable,
        Volatility::Volatile | Volatility::Stateful => DfVolatility::Volatile,
    };
    let name = match &expr.kind {
        ExprKind::Call { name, .. } => name.to_string(),
        _ => "expression".to_owned(),
    };
    let body = Body::Expr { expr: expr.map_columns(&place), time: Arc::clone(time) };
    Ok(function(name, body, arrow_field("value", &expr.ty), args, volatility))
}

/// `value`, with `default` where it is NULL; the result is not nullable.
pub fn or_default(value: DfExpr, default: &Value, ty: &LogicalType) -> Result<DfExpr> {
    let default = array_of(default, ty, 1)?;
    let field = Field::new("value", arrow_type(ty), false);
    Ok(function("or_default".to_owned(), Body::OrDefault(default), field, vec![value], DfVolatility::Immutable))
}

/// Whether a float is NaN: NaN sorts as NULL does.
pub fn is_nan(value: DfExpr) -> DfExpr {
    let field = Field::new("value", DataType::Boolean, false);
    function("is_nan".to_owned(), Body::IsNan, field, vec![value], DfVolatility::Immutable)
}

/// The number of the row, in the order in which one partition evaluates it.
pub fn row_position() -> DfExpr {
    let field = Field::new("value", DataType::UInt64, false);
    function("row_position".to_owned(), Body::RowPosition(AtomicU64::new(0)), field, vec![], DfVolatility::Volatile)
}

fn function(name: String, body: Body, field: Field, args: Vec<DfExpr>, volatility: DfVolatility) -> DfExpr {
    let types = if args.is_empty() { TypeSignature::Nullary } else { TypeSignature::Any(args.len()) };
    let udf =
        Function { id: fresh_id(), name, body, field: Arc::new(field), signature: Signature::new(types, volatility) };
    ScalarUDF::from(udf).call(args)
}

/// What a function does.
enum Body {
    Expr { expr: Expr, time: Arc<QueryTime> },
    OrDefault(ArrayRef),
    IsNan,
    RowPosition(AtomicU64),
}

struct Function {
    id: u64,
    name: String,
    body: Body,
    field: FieldRef,
    signature: Signature,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.body {
            Body::Expr { expr, .. } => write!(f, "{expr:?}"),
            _ => write!(f, "{}", self.name),
        }
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

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> DfResult<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    /// Two functions of one name over the same columns are two columns: the number tells them apart.
    fn schema_name(&self, _: &[DfExpr]) -> DfResult<String> {
        Ok(format!("{}#{}", self.name, self.id))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        catch_unwind(AssertUnwindSafe(|| self.invoke(args)))
            .unwrap_or_else(|panic| Err(panicked(&format!("function \"{}\"", self.name), panic.as_ref())))
            .map_err(outward)
    }
}

impl Function {
    fn invoke(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns = args
            .args
            .into_iter()
            .map(|argument| {
                if let ColumnarValue::Scalar(value) = &argument {
                    gather::check_repeat(&value.to_array().map_err(crate::error::inward)?, rows)?;
                }
                argument.into_array(rows).map_err(crate::error::inward)
            })
            .collect::<Result<Vec<_>>>()?;
        let array = match &self.body {
            Body::Expr { expr, time } => match expr.eval_columns(&time.context(), &columns, rows)? {
                Datum::Array(array) => array,
                Datum::Scalar(one) => {
                    let one = hydron_func::scalar::column::retyped(&one, &expr.ty);
                    gather::check_repeat(&one, rows)?;
                    return Ok(ColumnarValue::Scalar(
                        ScalarValue::try_from_array(&one, 0).map_err(crate::error::inward)?,
                    ));
                }
                Datum::Lambda(_) => return Err(Error::bug("a lambda was used as a value")),
            },
            Body::OrDefault(default) => with_default(&columns[0], default)?,
            Body::IsNan => Arc::new(nan_mask(&columns[0])),
            Body::RowPosition(next) => {
                let first = next.fetch_add(rows as u64, Ordering::Relaxed);
                Arc::new(UInt64Array::from_iter_values(first..first + rows as u64))
            }
        };
        if array.data_type() != self.field.data_type() {
            let Body::Expr { expr, .. } = &self.body else {
                return Err(Error::bug(format!("{} made {}", self.name, array.data_type())));
            };
            let retyped = hydron_func::scalar::column::retyped(&array, &expr.ty);
            if retyped.data_type() != self.field.data_type() {
                return Err(Error::bug(format!(
                    "function \"{}\" made {} instead of {}",
                    self.name,
                    array.data_type(),
                    self.field.data_type()
                )));
            }
            return Ok(ColumnarValue::Array(retyped));
        }
        Ok(ColumnarValue::Array(array))
    }
}

fn with_default(values: &ArrayRef, default: &ArrayRef) -> Result<ArrayRef> {
    let Some(nulls) = values.logical_nulls().filter(|n| n.null_count() > 0) else {
        return Ok(hydron_func::nulls::without_nulls(values));
    };
    let order: Vec<(usize, usize)> =
        (0..values.len()).map(|i| if nulls.is_valid(i) { (0, i) } else { (1, 0) }).collect();
    let filled = arrow::compute::interleave(&[values.as_ref(), default.as_ref()], &order)
        .map_err(hydron_func::call::arrow_error)?;
    Ok(hydron_func::nulls::without_nulls(&filled))
}

fn nan_mask(values: &ArrayRef) -> arrow::array::BooleanArray {
    use arrow::array::AsArray;
    use arrow::buffer::BooleanBuffer;
    use arrow::datatypes::{Float32Type, Float64Type};
    let mask = match values.data_type() {
        DataType::Float32 => {
            let v = values.as_primitive::<Float32Type>();
            BooleanBuffer::collect_bool(v.len(), |i| v.is_valid(i) && v.value(i).is_nan())
        }
        DataType::Float64 => {
            let v = values.as_primitive::<Float64Type>();
            BooleanBuffer::collect_bool(v.len(), |i| v.is_valid(i) && v.value(i).is_nan())
        }
        _ => BooleanBuffer::new_unset(values.len()),
    };
    arrow::array::BooleanArray::new(mask, None)
}
