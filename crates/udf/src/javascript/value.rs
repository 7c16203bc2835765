//! Columns of ours to values of JavaScript, and back.
//!
//! In: arrays and the rows that are meant. Out: JavaScript arrays. And the other way: JavaScript values into a builder of a
//! column. Integers are numbers, also those of 64 bits (past 2^53 they lose their last digits); dates and times are `Date`s of
//! whole milliseconds; tuples are objects with the names of their elements; NULL is `null`.

use super::machine::{Failure, Outcome, text_of};
use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use hydron_base::{Code, Error};
use hydron_types::column::time_values;
use hydron_types::physical::{digits_of_unit, unit_of_scale};
use hydron_types::{ColumnBuilder, LogicalType, Value};
use rquickjs::{Array as JsArray, Ctx, Object, Value as Js, qjs};
use std::sync::Arc;

const DAY_MS: i64 = 86_400_000;

/// Which rows of a column are meant.
#[derive(Clone, Copy)]
pub enum Rows<'a> {
    All(usize),
    At(&'a [u32]),
}

impl Rows<'_> {
    pub fn len(self) -> usize {
        match self {
            Rows::All(rows) => rows,
            Rows::At(rows) => rows.len(),
        }
    }

    /// The row of the column that is meant at this place.
    pub fn row(self, at: usize) -> usize {
        match self {
            Rows::All(_) => at,
            Rows::At(rows) => rows[at] as usize,
        }
    }
}

/// The rows of a column of type `ty` as a JavaScript array.
pub fn array<'js>(ctx: &Ctx<'js>, ty: &LogicalType, column: &ArrayRef, rows: Rows<'_>) -> Outcome<Js<'js>> {
    macro_rules! numbers {
        ($arrow:ty) => {{
            let values = column.as_primitive::<$arrow>().values();
            if column.null_count() == 0 {
                return from_raw(ctx, rows.len(), |at| f64::from(values[rows.row(at)]));
            }
        }};
    }
    match ty.bare() {
        LogicalType::Int8 => numbers!(Int8Type),
        LogicalType::Int16 => numbers!(Int16Type),
        LogicalType::Int32 => numbers!(Int32Type),
        LogicalType::UInt8 => numbers!(UInt8Type),
        LogicalType::UInt16 => numbers!(UInt16Type),
        LogicalType::UInt32 => numbers!(UInt32Type),
        LogicalType::Float32 => numbers!(Float32Type),
        LogicalType::Float64 => numbers!(Float64Type),
        _ => {}
    }
    let result = JsArray::new(ctx.clone())?;
    for at in 0..rows.len() {
        result.set(at, one(ctx, ty, column, rows.row(at))?)?;
    }
    Ok(result.into_value())
}

/// Signs as an array of +1 and -1.
pub fn signs<'js>(ctx: &Ctx<'js>, rows: usize, sign: impl Fn(usize) -> i8) -> Outcome<Js<'js>> {
    from_raw(ctx, rows, |at| f64::from(sign(at)))
}

/// An array of numbers, made at once.
fn from_raw<'js>(ctx: &Ctx<'js>, len: usize, value: impl Fn(usize) -> f64) -> Outcome<Js<'js>> {
    let values: Vec<qjs::JSValue> = (0..len).map(|at| number(value(at))).collect();
    let count = i32::try_from(len).map_err(|_| Error::bug("a batch of more than 2^31 rows"))?;
    // SAFETY: the context lives as long as `ctx`; numbers own no memory, so that nothing leaks where the array cannot be made;
    // the array that comes back is owned by the value made of it.
    let array = unsafe {
        let raw = qjs::JS_NewArrayFrom(ctx.as_raw().as_ptr(), count, values.as_ptr());
        Js::from_raw(ctx.clone(), raw)
    };
    if array.is_exception() { Err(Failure::Script(rquickjs::Error::Exception)) } else { Ok(array) }
}

/// Whole numbers as the engine itself keeps them, which makes arithmetic on them fast.
fn number(value: f64) -> qjs::JSValue {
    let whole = value as i32;
    if f64::from(whole) == value && (whole != 0 || value.is_sign_positive()) {
        qjs::JS_MKVAL(qjs::JS_TAG_INT, whole)
    } else {
        qjs::JS_NewFloat64(value)
    }
}

fn one<'js>(ctx: &Ctx<'js>, ty: &LogicalType, column: &ArrayRef, row: usize) -> Outcome<Js<'js>> {
    use LogicalType::*;
    if column.is_null(row) {
        return Ok(Js::new_null(ctx.clone()));
    }
    let new_number = |n: f64| Ok(Js::new_number(ctx.clone(), n));
    match ty.bare() {
        Bool => Ok(Js::new_bool(ctx.clone(), column.as_boolean().value(row))),
        Int8 => new_number(f64::from(column.as_primitive::<Int8Type>().value(row))),
        Int16 => new_number(f64::from(column.as_primitive::<Int16Type>().value(row))),
        Int32 => new_number(f64::from(column.as_primitive::<Int32Type>().value(row))),
        Int64 => new_number(column.as_primitive::<Int64Type>().value(row) as f64),
        UInt8 => new_number(f64::from(column.as_primitive::<UInt8Type>().value(row))),
        UInt16 => new_number(f64::from(column.as_primitive::<UInt16Type>().value(row))),
        UInt32 => new_number(f64::from(column.as_primitive::<UInt32Type>().value(row))),
        UInt64 => new_number(column.as_primitive::<UInt64Type>().value(row) as f64),
        Float32 => new_number(f64::from(column.as_primitive::<Float32Type>().value(row))),
        Float64 => new_number(column.as_primitive::<Float64Type>().value(row)),
        String => text(ctx, column.as_binary::<i32>().value(row)),
        FixedString(_) => text(ctx, column.as_fixed_size_binary().value(row)),
        Date | Date32 => date(ctx, i64::from(column.as_primitive::<Date32Type>().value(row)) * DAY_MS),
        DateTime(_) | DateTime64(..) => date(ctx, millis(column, row)),
        Array(inner) => {
            let items = column.as_list::<i32>().value(row);
            array(ctx, inner, &items, Rows::All(items.len()))
        }
        Tuple(elements) => {
            let object = Object::new(ctx.clone())?;
            let columns = column.as_struct().columns();
            for (at, ((name, ty), column)) in elements.iter().zip(columns).enumerate() {
                let value = one(ctx, ty, column, row)?;
                match name {
                    Some(name) => object.set(&**name, value)?,
                    None => object.set((at + 1).to_string(), value)?,
                }
            }
            Ok(object.into_value())
        }
        other => Err(Error::bug(format!("a value of {other} for JavaScript")).into()),
    }
}

fn text<'js>(ctx: &Ctx<'js>, bytes: &[u8]) -> Outcome<Js<'js>> {
    let text = std::string::String::from_utf8_lossy(bytes);
    Ok(rquickjs::String::from_str(ctx.clone(), &text)?.into_value())
}

fn date<'js>(ctx: &Ctx<'js>, ms: i64) -> Outcome<Js<'js>> {
    // SAFETY: the context lives as long as `ctx`; the date is owned by the value made of it.
    let date = unsafe { Js::from_raw(ctx.clone(), qjs::JS_NewDate(ctx.as_raw().as_ptr(), ms as f64)) };
    if date.is_exception() { Err(Failure::Script(rquickjs::Error::Exception)) } else { Ok(date) }
}

fn millis(column: &ArrayRef, row: usize) -> i64 {
    let ticks = time_values(column)[row];
    let DataType::Timestamp(unit, _) = column.data_type() else { return ticks };
    match digits_of_unit(*unit) {
        0 => ticks.saturating_mul(1_000),
        3 => ticks,
        6 => ticks.div_euclid(1_000),
        _ => ticks.div_euclid(1_000_000),
    }
}

/// The first `rows` elements of an array as a column of numbers; `None` where the type is another one, or an element is no number,
/// of which [`append`] knows more to say.
pub fn numbers(ctx: &Ctx<'_>, ty: &LogicalType, array: &Js<'_>, rows: usize) -> Option<ArrayRef> {
    macro_rules! column {
        ($arrow:ty, $convert:expr) => {{
            let mut values = Vec::with_capacity(rows);
            for at in 0..rows {
                values.push($convert(number_at(ctx, array, at)?));
            }
            Some(Arc::new(PrimitiveArray::<$arrow>::from(values)) as ArrayRef)
        }};
    }
    match ty {
        LogicalType::Float64 => column!(Float64Type, |n: f64| n),
        LogicalType::Float32 => column!(Float32Type, |n: f64| n as f32),
        LogicalType::Int8 => column!(Int8Type, |n| to_int32(n) as i8),
        LogicalType::Int16 => column!(Int16Type, |n| to_int32(n) as i16),
        LogicalType::Int32 => column!(Int32Type, to_int32),
        LogicalType::UInt8 => column!(UInt8Type, |n| to_int32(n) as u8),
        LogicalType::UInt16 => column!(UInt16Type, |n| to_int32(n) as u16),
        LogicalType::UInt32 => column!(UInt32Type, |n| to_int32(n) as u32),
        _ => None,
    }
}

fn number_at(ctx: &Ctx<'_>, array: &Js<'_>, at: usize) -> Option<f64> {
    // SAFETY: context and array live as long as `ctx` and `array`. A number owns no memory; what is none goes to a value that frees
    // it, and an exception stays with the context, where who asks again finds another.
    unsafe {
        let raw = qjs::JS_GetPropertyUint32(ctx.as_raw().as_ptr(), array.as_raw(), u32::try_from(at).ok()?);
        match qjs::JS_VALUE_GET_NORM_TAG(raw) {
            qjs::JS_TAG_INT => Some(f64::from(qjs::JS_VALUE_GET_INT(raw))),
            qjs::JS_TAG_FLOAT64 => Some(qjs::JS_VALUE_GET_FLOAT64(raw)),
            _ => {
                drop(Js::from_raw(ctx.clone(), raw));
                None
            }
        }
    }
}

/// Appends a value that JavaScript returned. Integers take what JavaScript's own conversions make of a number.
///
/// Errors: TYPE_MISMATCH (53) for a value of another kind; nothing is appended then.
pub fn append<'js>(ctx: &Ctx<'js>, to: &mut ColumnBuilder, value: &Js<'js>, function: &str) -> Outcome<()> {
    let ty = to.ty().clone();
    let value = read(ctx, &ty, value, function)?;
    Ok(to.append(&value)?)
}

fn read<'js>(ctx: &Ctx<'js>, ty: &LogicalType, value: &Js<'js>, function: &str) -> Outcome<Value> {
    use LogicalType::*;
    let mismatch = |wanted: &str| {
        let text =
            format!("JavaScript function \"{function}\" returned {} where {ty} needs {wanted}", described(value));
        Failure::Ours(Error::new(Code::TYPE_MISMATCH, text))
    };
    let number = || value.as_number().ok_or_else(|| mismatch("a number"));
    if ty.is_nullable() && (value.is_null() || value.is_undefined()) {
        return Ok(Value::Null);
    }
    Ok(match ty.bare() {
        Bool => Value::Bool(value.as_bool().ok_or_else(|| mismatch("a boolean"))?),
        Int8 => Value::Int(i64::from(to_int32(number()?) as i8)),
        Int16 => Value::Int(i64::from(to_int32(number()?) as i16)),
        Int32 => Value::Int(i64::from(to_int32(number()?))),
        UInt8 => Value::UInt(u64::from(to_int32(number()?) as u8)),
        UInt16 => Value::UInt(u64::from(to_int32(number()?) as u16)),
        UInt32 => Value::UInt(u64::from(to_int32(number()?) as u32)),
        Int64 => match value.as_big_int() {
            Some(big) => Value::Int(big.clone().to_i64()?),
            None => Value::Int(number()? as i64),
        },
        UInt64 => match value.as_big_int() {
            Some(big) => Value::UInt(big.clone().to_i64()? as u64),
            None => {
                let number = number()?;
                Value::UInt(if number < 0.0 { number as i64 as u64 } else { number as u64 })
            }
        },
        Float32 => Value::Float32(number()? as f32),
        Float64 => Value::Float64(number()?),
        String | FixedString(_) => match value.as_string() {
            Some(text) => Value::Bytes(text.to_string()?.into_bytes()),
            None if value.is_number() => Value::Bytes(text_of(ctx, value).into_bytes()),
            None => return Err(mismatch("a string")),
        },
        Date | Date32 => {
            let ms = epoch_ms(ctx, value).ok_or_else(|| mismatch("a Date"))?;
            Value::Date(i32::try_from(ms.div_euclid(DAY_MS)).map_err(|_| mismatch("a Date of its range"))?)
        }
        DateTime(_) => Value::Time(epoch_ms(ctx, value).ok_or_else(|| mismatch("a Date"))?.div_euclid(1_000)),
        DateTime64(scale, _) => {
            let ms = epoch_ms(ctx, value).ok_or_else(|| mismatch("a Date"))?;
            let unit = digits_of_unit(unit_of_scale(*scale));
            let ticks = match unit {
                0 => Some(ms.div_euclid(1_000)),
                3 => Some(ms),
                6 => ms.checked_mul(1_000),
                _ => ms.checked_mul(1_000_000),
            };
            // A scale between two units of Arrow keeps its own digits and no more.
            let step = 10_i64.pow(u32::from(unit.saturating_sub(*scale)));
            Value::Time(ticks.map(|t| t.div_euclid(step) * step).ok_or_else(|| mismatch("a Date of its range"))?)
        }
        Array(inner) => {
            let items = value.as_array().ok_or_else(|| mismatch("an array"))?;
            let item = |at| read(ctx, inner, &items.get::<Js>(at)?, function);
            Value::Array((0..items.len()).map(item).collect::<Outcome<_>>()?)
        }
        Tuple(elements) => {
            let object = value.as_object().ok_or_else(|| mismatch("an object"))?;
            let array = value.as_array();
            let element = |(at, (name, ty)): (usize, &(Option<Arc<str>>, LogicalType))| {
                let value: Js = match (array, name) {
                    (Some(array), _) => array.get(at)?,
                    (None, Some(name)) => object.get(&**name)?,
                    (None, None) => object.get((at + 1).to_string())?,
                };
                read(ctx, ty, &value, function)
            };
            Value::Tuple(elements.iter().enumerate().map(element).collect::<Outcome<_>>()?)
        }
        other => return Err(Error::bug(format!("a value of {other} from JavaScript")).into()),
    })
}

/// Milliseconds of a valid `Date`.
fn epoch_ms<'js>(ctx: &Ctx<'js>, value: &Js<'js>) -> Option<i64> {
    let object = value.as_object()?;
    // SAFETY: asks for the kind of a value that is alive.
    if !unsafe { qjs::JS_IsDate(value.as_raw()) } {
        return None;
    }
    let get: rquickjs::Function = object.get("getTime").ok()?;
    let ms: rquickjs::Result<f64> = get.call((rquickjs::function::This(value.clone()),));
    if ms.is_err() {
        ctx.catch();
    }
    ms.ok().filter(|ms| ms.is_finite()).map(|ms| ms as i64)
}

/// ToInt32 of ECMAScript: the number without its fraction, modulo 2^32.
fn to_int32(number: f64) -> i32 {
    let whole = number as i32;
    if f64::from(whole) == number {
        return whole;
    }
    if !number.is_finite() {
        return 0;
    }
    number.trunc().rem_euclid(4_294_967_296.0) as u32 as i32
}

/// `a string`, `undefined`, …
pub fn described(value: &Js<'_>) -> String {
    match value.type_name() {
        kind @ ("undefined" | "null") => kind.to_string(),
        "int" | "float" => "a number".to_string(),
        kind @ ("array" | "object" | "exception") => format!("an {kind}"),
        kind => format!("a {kind}"),
    }
}
