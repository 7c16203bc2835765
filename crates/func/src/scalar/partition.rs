//! The name of a partition, from the values of a partition key.
//!
//! In: the columns of the key. Out: a text for each row. Promise: whole numbers stand for themselves and dates as `YYYYMMDD`, with
//! `-` between them; of a key with anything else the name is a hash; equal values have equal names, in every process.

use super::define::define_seeing_nulls;
use super::rows::encode_columns;
use crate::call::Datum;
use crate::registry::Registry;
use arrow::array::{ArrayRef, AsArray, BinaryArray};
use hydron_base::Result;
use hydron_types::column::value_at;
use hydron_types::{LogicalType, Value};
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;
use std::sync::Arc;

/// The partition of a table without a key.
pub const ALL: &str = "all";

/// The names of the partitions of `rows` rows.
pub fn partition_ids(columns: &[ArrayRef], types: &[LogicalType], rows: usize) -> Result<Vec<String>> {
    let (columns, types) = flat(columns, types);
    if columns.is_empty() {
        return Ok(vec![ALL.to_string(); rows]);
    }
    if types.iter().all(|t| t.bare().is_integer() || is_day(t) || is_number_inside(t)) {
        let text = |row: usize| {
            let values = columns.iter().zip(&types).map(|(c, t)| text_of(&value_at(c, t, row)));
            values.collect::<Vec<_>>().join("-")
        };
        return Ok((0..rows).map(text).collect());
    }
    let encoded = encode_columns(&columns)?;
    let name = |row: usize| {
        let mut hasher = SipHasher24::new();
        hasher.write(encoded.row(row).as_ref());
        let hash = hasher.finish128();
        format!("{:016x}{:016x}", hash.h1, hash.h2)
    };
    Ok((0..rows).map(name).collect())
}

/// The elements of tuples as columns.
fn flat(columns: &[ArrayRef], types: &[LogicalType]) -> (Vec<ArrayRef>, Vec<LogicalType>) {
    let mut all = (Vec::new(), Vec::new());
    for (column, ty) in columns.iter().zip(types) {
        match (ty, column.as_struct_opt()) {
            (LogicalType::Tuple(elements), Some(tuple)) => {
                let inner: Vec<LogicalType> = elements.iter().map(|(_, t)| t.clone()).collect();
                let (columns, types) = flat(tuple.columns(), &inner);
                all.0.extend(columns);
                all.1.extend(types);
            }
            _ => {
                all.0.push(Arc::clone(column));
                all.1.push(ty.clone());
            }
        }
    }
    all
}

fn is_day(ty: &LogicalType) -> bool {
    matches!(ty.bare(), LogicalType::Date | LogicalType::Date32)
}

/// Types whose values are whole numbers below.
fn is_number_inside(ty: &LogicalType) -> bool {
    use LogicalType::{Bool, DateTime, Enum8, Enum16, Ipv4};
    matches!(ty.bare(), DateTime(_) | Bool | Enum8(_) | Enum16(_) | Ipv4)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Date(days) => {
            let day = hydron_types::time::civil_from_days(*days);
            format!("{:04}{:02}{:02}", day.year, day.month, day.day)
        }
        Value::Wide(v) => v.to_string(),
        Value::UInt(v) => v.to_string(),
        Value::Time(ticks) => ticks.to_string(),
        other => other.as_i64().map_or_else(|| "NULL".to_string(), |v| v.to_string()),
    }
}

pub fn register(registry: &mut Registry) {
    define_seeing_nulls(registry, "partition_id", |call| {
        call.arity(1..=usize::MAX)?;
        let types = call.types();
        call.returns(LogicalType::String, move |args: &[Datum], rows| {
            let columns = args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
            let ids = partition_ids(&columns, &types, rows)?;
            Ok(Arc::new(BinaryArray::from_iter_values(ids)))
        })
    });
}
