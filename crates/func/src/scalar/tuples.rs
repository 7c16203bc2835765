//! Tuples: making, reading by place or name, joining, as vectors.

mod shape;

use super::arithmetic::elementwise;
use super::column::{tuple, uint64s};
use super::define::{Call, define, define_seeing_nulls};
use super::number::to_vec;
use crate::call::{ArgInfo, BoundCall, Datum, EvalContext, downcast};
use crate::registry::Registry;
use arrow::array::{Array, ArrayRef, BooleanArray, StructArray};
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value};
use std::sync::Arc;

pub fn register(registry: &mut Registry) {
    for name in ["tuple", "tuple_cast"] {
        define_seeing_nulls(registry, name, |call| {
            call.arity(1..=usize::MAX)?;
            let ty = LogicalType::tuple(call.types());
            let out = ty.clone();
            call.returns(ty, move |args, rows| {
                let columns = args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
                tuple(&out, columns, rows)
            })
        });
    }
    shape::register(registry);
    define_seeing_nulls(registry, "tuple_element", element);
    define_seeing_nulls(registry, "tuple_concat", |call| {
        call.arity(1..=usize::MAX)?;
        concat(call)
    });
    define(registry, "tuple_hamming_distance", |call| {
        call.arity(2..=2)?;
        let different = elementwise(call, "not_equals")?;
        // The type that adding so many truths one by one has.
        let ty = match elements_of(call, 0)?.len() {
            ..=1 => LogicalType::UInt8,
            2 => LogicalType::UInt16,
            3 => LogicalType::UInt32,
            _ => LogicalType::UInt64,
        };
        let narrow = super::define::Convert::new(&LogicalType::UInt64, &ty, call.zone());
        Ok(BoundCall::new(ty, move |cx: &EvalContext, args: &[Datum], rows| {
            let result = different.kernel.eval(cx, args, rows)?.to_array(rows)?;
            let columns: Vec<BooleanArray> = downcast::<StructArray>(&result)?
                .columns()
                .iter()
                .map(|c| downcast::<BooleanArray>(c).cloned())
                .collect::<Result<_>>()?;
            let counts = uint64s(rows, |row| columns.iter().filter(|c| c.value(row)).count() as u64);
            Ok(Datum::Array(narrow.array(&counts)?))
        }))
    });
}

type Elements = Arc<[(Option<Arc<str>>, LogicalType)]>;

fn elements_of(call: &Call<'_>, position: usize) -> Result<Elements> {
    match call.ty(position) {
        LogicalType::Tuple(e) => Ok(Arc::clone(e)),
        _ => Err(call.illegal(position)),
    }
}

/// The place that a constant number (from 1) or name means.
fn place(call: &Call<'_>, elements: &Elements) -> Result<Option<usize>> {
    let found = match call.constant(1)? {
        // An element without a name goes by its number.
        Value::Bytes(name) => elements.iter().enumerate().position(|(i, (n, _))| match n {
            Some(n) => n.as_bytes() == name,
            None => (i + 1).to_string().as_bytes() == name,
        }),
        number => match number.as_i64() {
            Some(0) => return Err(Error::new(Code::ZERO_ARRAY_OR_TUPLE_INDEX, "elements of a tuple count from 1")),
            Some(n) if n > 0 => Some(n as usize - 1).filter(|i| *i < elements.len()),
            Some(n) => elements.len().checked_sub(n.unsigned_abs() as usize),
            None => return Err(call.illegal(1)),
        },
    };
    Ok(found)
}

/// `tuple_element(tuple, n | 'name'[, default])`, of a tuple or of tuples in arrays.
fn element(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(2..=3)?;
    if let LogicalType::Array(inner) = call.ty(0)
        && matches!(**inner, LogicalType::Tuple(_) | LogicalType::Array(_))
    {
        let args = [ArgInfo::column((**inner).clone()), call.args[1].clone()];
        let bound = element(&Call { args: &args, ..*call })?;
        let ty = bound.ty.clone();
        return Ok(BoundCall::new(LogicalType::array(ty.clone()), move |cx: &EvalContext, args: &[Datum], rows| {
            let flat = super::arrays::Flat::of(&args[..1], rows)?;
            let column = Datum::Array(flat.columns[0].clone());
            let values = bound.kernel.eval(cx, &[column, args[1].clone()], flat.len())?.to_array(flat.len())?;
            Ok(Datum::Array(flat.list(&ty, values)))
        }));
    }
    let elements = elements_of(call, 0)?;
    match place(call, &elements)? {
        Some(index) => call.returns(elements[index].1.clone(), move |args, rows| {
            let column: ArrayRef = Arc::clone(downcast::<StructArray>(args[0].array()?)?.column(index));
            if args[0].is_scalar() { Datum::Scalar(column).to_array(rows) } else { Ok(column) }
        }),
        None if call.args.len() == 3 => call.returns(call.ty(2).clone(), |args, rows| args[2].to_array(rows)),
        None => Err(Error::new(
            Code::NOT_FOUND_COLUMN_IN_BLOCK,
            format!("{} has no element {}", call.ty(0), hydron_types::text::sql_literal(call.constant(1)?, call.ty(1))),
        )),
    }
}

/// The elements of several tuples in one.
pub(crate) fn concat(call: &Call<'_>) -> Result<BoundCall> {
    let all = (0..call.args.len()).map(|i| elements_of(call, i)).collect::<Result<Vec<_>>>()?;
    let ty = LogicalType::tuple(all.iter().flat_map(|e| e.iter().map(|(_, t)| t.clone())));
    let out = ty.clone();
    call.returns(ty, move |args, rows| {
        let mut columns = Vec::new();
        for arg in args {
            let full = arg.to_array(rows)?;
            columns.extend(downcast::<StructArray>(&full)?.columns().iter().cloned());
        }
        tuple(&out, columns, rows)
    })
}

/// The elements of a vector divided by what `norm` makes of all of them, as floats.
fn vectors_divided<F>(call: &Call<'_>, norm: F) -> Result<BoundCall>
where
    F: Fn(&[f64]) -> f64 + Send + Sync + 'static,
{
    let vectors = Vectors::of(call, 0)?;
    let width = elements_of(call, 0)?.len();
    let ty = LogicalType::tuple(vec![LogicalType::Float64; width]);
    call.returns(ty.clone(), move |args, rows| {
        let columns = vectors.read(&args[0])?;
        let mut divided = vec![Vec::with_capacity(rows); width];
        for row in 0..rows {
            let vector = columns.at(row);
            let length = norm(&vector);
            divided.iter_mut().zip(&vector).for_each(|(column, v)| column.push(v / length));
        }
        tuple(&ty, divided.iter().map(|c| super::column::float64s(rows, |i| c[i])).collect(), rows)
    })
}

/// A tuple of numbers as a vector for each row.
pub(crate) struct Vectors {
    types: Vec<LogicalType>,
}

pub(crate) struct VectorColumns {
    columns: Vec<Vec<f64>>,
    one: bool,
}

impl Vectors {
    pub fn of(call: &Call<'_>, position: usize) -> Result<Vectors> {
        let types: Vec<LogicalType> = elements_of(call, position)?.iter().map(|(_, t)| t.clone()).collect();
        if types.iter().all(|t| t.is_integer() || t.is_float()) {
            Ok(Vectors { types })
        } else {
            Err(call.illegal(position))
        }
    }

    pub fn read(&self, datum: &Datum) -> Result<VectorColumns> {
        let tuple: &StructArray = downcast(datum.array()?)?;
        let columns =
            tuple.columns().iter().zip(&self.types).map(|(c, t)| to_vec::<f64>(c, t)).collect::<Result<Vec<_>>>()?;
        Ok(VectorColumns { columns, one: datum.is_scalar() && tuple.len() == 1 })
    }
}

impl VectorColumns {
    pub fn at(&self, row: usize) -> Vec<f64> {
        let row = if self.one { 0 } else { row };
        self.columns.iter().map(|c| c[row]).collect()
    }
}
