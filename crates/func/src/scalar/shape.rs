//! What a value is made of: bytes, digits, elements of an enum, its text as JSON.

use super::column::{Ints, bools, numbers, texts, uint64s};
use super::define::{Call, define, define_seeing_nulls, define_seeing_types};
use super::number::number_layout;
use crate::call::{Datum, downcast};
use crate::registry::Registry;
use arrow::array::{Array, ArrayRef, ListArray, MapArray, StructArray};
use arrow::datatypes::{UInt8Type, UInt16Type};
use hydron_base::Result;
use hydron_types::{ColumnWriter, LogicalType, Style, TextOptions};

pub fn register(registry: &mut Registry) {
    define_seeing_nulls(registry, "byte_size", |call| {
        let types = call.types();
        call.returns(LogicalType::UInt64, move |args, rows| {
            let mut sizes = vec![0u64; rows];
            for (arg, ty) in args.iter().zip(&types) {
                add_bytes(&arg.to_array(rows)?, ty, &mut sizes)?;
            }
            Ok(uint64s(rows, |row| sizes[row]))
        })
    });
    define_seeing_nulls(registry, "block_serialized_size", |call| {
        call.arity(1..=usize::MAX)?;
        let types = call.types();
        call.returns(LogicalType::UInt64, move |args, rows| {
            let mut sizes = vec![0u64; rows];
            for (arg, ty) in args.iter().zip(&types) {
                add_bytes(&arg.to_array(rows)?, ty, &mut sizes)?;
            }
            let total = sizes.iter().sum();
            Ok(uint64s(rows, |_| total))
        })
    });
    define_seeing_nulls(registry, "dump_column_structure", |call| {
        call.arity(1..=1)?;
        let (ty, constant) = (call.ty(0).clone(), call.args[0].constant.is_some());
        call.returns(LogicalType::String, move |args, rows| {
            let column = if constant {
                format!("Const(size = {rows}, {})", structure(args[0].array()?, &ty)?)
            } else {
                structure(&args[0].to_array(rows)?, &ty)?
            };
            texts(rows, |_, out| out.extend_from_slice(format!("{ty}, {column}").as_bytes()))
        })
    });
    define_seeing_types(registry, "low_cardinality_indices", |call| {
        dictionary_of(call)?;
        call.returns(LogicalType::UInt64, |args, rows| {
            let (places, _) = dictionary(&args[0].to_array(rows)?)?;
            Ok(uint64s(rows, |row| places[row]))
        })
    });
    define_seeing_types(registry, "low_cardinality_keys", |call| {
        let ty = dictionary_of(call)?;
        let default = crate::nulls::default_value(&ty);
        call.returns(ty.clone(), move |args, rows| {
            let array = args[0].to_array(rows)?;
            let (_, mut keys) = dictionary(&array)?;
            // As many rows as the column has: the default first, and again behind the last key.
            keys.truncate(rows.saturating_sub(1));
            let default = hydron_types::array_of(&default, &ty, 1)?;
            let places: Vec<(usize, usize)> = std::iter::once((1, 0))
                .chain(keys.into_iter().map(|row| (0, row)))
                .chain(std::iter::repeat((1, 0)))
                .take(rows)
                .collect();
            arrow::compute::interleave(&[array.as_ref(), default.as_ref()], &places).map_err(crate::call::arrow_error)
        })
    });
    define(registry, "get_size_of_enum_type", |call| {
        call.arity(1..=1)?;
        match call.ty(0) {
            LogicalType::Enum8(names) => {
                let count = names.pairs.len() as u8;
                call.returns(LogicalType::UInt8, move |_, rows| Ok(numbers::<UInt8Type>(rows, |_| count)))
            }
            LogicalType::Enum16(names) => {
                let count = names.pairs.len() as u16;
                call.returns(LogicalType::UInt16, move |_, rows| Ok(numbers::<UInt16Type>(rows, |_| count)))
            }
            _ => Err(call.illegal(0)),
        }
    });
    define_seeing_nulls(registry, "is_nullable", |call| {
        call.arity(1..=1)?;
        let nullable = call.ty(0).is_nullable();
        call.returns(LogicalType::Bool, move |_, rows| Ok(bools(rows, |_| nullable)))
    });
    define_seeing_nulls(registry, "is_distinct_from", |call| {
        call.arity(2..=2)?;
        let common = hydron_types::supertype::least_supertype(&call.types())?;
        let (a, b) = (call.convert(0, &common), call.convert(1, &common));
        call.returns(LogicalType::Bool, move |args, rows| {
            let (x, y) = (a.datum(&args[0])?.to_array(rows)?, b.datum(&args[1])?.to_array(rows)?);
            let wide = LogicalType::nullable(common.clone());
            let (x, y) =
                super::rows::encode_pair(&super::column::retyped(&x, &wide), &super::column::retyped(&y, &wide))?;
            Ok(bools(rows, |row| x.row(row) != y.row(row)))
        })
    });
    for name in [
        "in_ignore_set",
        "not_in_ignore_set",
        "null_in_ignore_set",
        "not_null_in_ignore_set",
        "global_in_ignore_set",
        "global_not_in_ignore_set",
        "global_null_in_ignore_set",
        "global_not_null_in_ignore_set",
    ] {
        // What IN stands for while a query is only looked at: nothing is found.
        define_seeing_nulls(registry, name, |call| {
            call.arity(2..=2)?;
            call.returns(LogicalType::Bool, |_, rows| Ok(bools(rows, |_| false)))
        });
    }
    define_seeing_nulls(registry, "to_json_string", |call| {
        call.arity(1..=1)?;
        let ty = call.ty(0).clone();
        let options = TextOptions::from_settings(&call.cx.settings, call.zone());
        call.returns(LogicalType::String, move |args, rows| {
            let writer = ColumnWriter::new(&args[0].to_array(rows)?, &ty, Style::Json, &options)?;
            texts(rows, |row, out| writer.write(row, out))
        })
    });
    define(registry, "bitmask_to_list", |call| {
        call.arity(1..=1)?;
        call.need(0, |t| t.is_integer() && t.bits().is_some_and(|b| b <= 64))?;
        let ty = call.ty(0).clone();
        let bits = ty.bits().unwrap_or(64);
        call.returns(LogicalType::String, move |args, rows| {
            let masks = Ints::of(&args[0], &ty)?;
            texts(rows, |row, out| {
                let mask = masks.at(row) as u64 & if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
                let powers: Vec<String> =
                    (0..64).filter(|bit| mask >> bit & 1 == 1).map(|bit| (1u64 << bit).to_string()).collect();
                out.extend_from_slice(powers.join(",").as_bytes());
            })
        })
    });
}

/// The type of the values of a `low_cardinality` column. Errors: ILLEGAL_TYPE_OF_ARGUMENT (43) for any other.
fn dictionary_of(call: &Call<'_>) -> Result<LogicalType> {
    call.arity(1..=1)?;
    match call.ty(0) {
        LogicalType::LowCardinality(inner) => Ok((**inner).clone()),
        _ => Err(call.illegal(0)),
    }
}

/// Where each row's value stands in the dictionary of this batch, and a row of each value in it. Values count from 1 in the
/// order in which they come; NULL and the empty text are 0.
fn dictionary(array: &ArrayRef) -> Result<(Vec<u64>, Vec<usize>)> {
    let encoded = super::rows::encode(array)?;
    let texts = array.as_any().downcast_ref::<arrow::array::BinaryArray>();
    let mut known = hashbrown::HashMap::new();
    let mut keys = Vec::new();
    let places = (0..array.len()).map(|row| {
        if array.is_null(row) || texts.is_some_and(|t| t.value(row).is_empty()) {
            return 0;
        }
        *known.entry(encoded.row(row)).or_insert_with(|| {
            keys.push(row);
            keys.len() as u64
        })
    });
    let places = places.collect();
    Ok((places, keys))
}

/// The name ClickHouse gives to a column of values of `ty` in memory.
pub(crate) fn column_name(ty: &LogicalType) -> String {
    use LogicalType::*;
    match ty {
        Nullable(t) => format!("Nullable({})", column_name(t)),
        Array(t) => format!("Array({})", column_name(t)),
        Map(k, v) => format!("Map({}, {})", column_name(k), column_name(v)),
        Tuple(elements) => {
            let names: Vec<std::string::String> = elements.iter().map(|(_, t)| column_name(t)).collect();
            format!("Tuple({})", names.join(", "))
        }
        FixedString(n) => format!("FixedString({n})"),
        t => family(t).to_owned(),
    }
}

fn family(ty: &LogicalType) -> &'static str {
    use LogicalType::*;
    match ty {
        Bool | UInt8 => "UInt8",
        UInt16 | Date => "UInt16",
        UInt32 | DateTime(_) => "UInt32",
        UInt64 => "UInt64",
        UInt128 => "UInt128",
        UInt256 => "UInt256",
        Int8 | Enum8(_) => "Int8",
        Int16 | Enum16(_) => "Int16",
        Int32 | Date32 => "Int32",
        Int64 | Interval(_) => "Int64",
        Int128 => "Int128",
        Int256 => "Int256",
        Float32 => "Float32",
        Float64 => "Float64",
        DateTime64(..) => "DateTime64",
        Decimal { precision: ..=9, .. } => "Decimal32",
        Decimal { precision: ..=18, .. } => "Decimal64",
        Decimal { precision: ..=38, .. } => "Decimal128",
        Decimal { .. } => "Decimal256",
        String | Json => "String",
        FixedString(_) => "FixedString",
        Uuid => "UUID",
        Ipv4 => "IPv4",
        Ipv6 => "IPv6",
        Nothing => "Nothing",
        Nullable(_) => "Nullable",
        Array(_) | Nested(_) => "Array",
        Map(..) => "Map",
        Tuple(_) => "Tuple",
        AggregateFunction { .. } => "AggregateFunction",
        LowCardinality(_) => "ColumnLowCardinality",
        SimpleAggregateFunction { arg, .. } => family(arg),
    }
}

/// The column with its size, and the columns that it is made of.
fn structure(array: &ArrayRef, ty: &LogicalType) -> Result<std::string::String> {
    use LogicalType::*;
    let size = array.len();
    let inner = match ty {
        LowCardinality(t) => return structure(array, t),
        Nullable(t) => vec![structure(array, t)?, format!("UInt8(size = {size})")],
        Array(element) => {
            let list: &ListArray = downcast(array)?;
            let values = crate::nulls::without_nulls(list.values());
            vec![format!("UInt64(size = {size})"), structure(&values, element)?]
        }
        Map(key, value) => {
            let map: &MapArray = downcast(array)?;
            let entries = map.entries();
            let pair = format!(
                "Tuple(size = {}, {}, {})",
                entries.len(),
                structure(entries.column(0), key)?,
                structure(entries.column(1), value)?
            );
            vec![format!("Array(size = {size}, UInt64(size = {size}), {pair})")]
        }
        Tuple(elements) => {
            let tuple: &StructArray = downcast(array)?;
            let parts = tuple.columns().iter().zip(elements.iter());
            parts.map(|(column, (_, ty))| structure(column, ty)).collect::<Result<Vec<_>>>()?
        }
        _ => Vec::new(),
    };
    let inner: std::string::String = inner.iter().map(|part| format!(", {part}")).collect();
    Ok(format!("{}(size = {size}{inner})", family(ty)))
}

/// Bytes of each value: its width, or its text with what finds its end.
fn add_bytes(array: &ArrayRef, ty: &LogicalType, sizes: &mut [u64]) -> Result<()> {
    use LogicalType::*;
    if ty.is_nullable() {
        sizes.iter_mut().for_each(|s| *s += 1);
    }
    let datum = Datum::Array(array.clone());
    match ty.bare() {
        Nothing => {}
        Array(element) => {
            let list: &ListArray = downcast(array)?;
            add_elements(list.offsets(), list.values(), &[element], sizes)?;
        }
        Map(key, value) => {
            let map: &MapArray = downcast(array)?;
            let entries: ArrayRef = std::sync::Arc::new(map.entries().clone());
            add_elements(map.offsets(), &entries, &[key, value], sizes)?;
        }
        Tuple(elements) => {
            let tuple: &StructArray = downcast(array)?;
            for (column, (_, ty)) in tuple.columns().iter().zip(elements.iter()) {
                add_bytes(column, ty, sizes)?;
            }
        }
        FixedString(n) => sizes.iter_mut().for_each(|s| *s += u64::from(*n)),
        Date => sizes.iter_mut().for_each(|s| *s += 2),
        DateTime(_) => sizes.iter_mut().for_each(|s| *s += 4),
        t => match number_layout(t).bits() {
            Some(bits) => sizes.iter_mut().for_each(|s| *s += bits as u64 / 8),
            None => {
                let text = super::column::Texts::of(&datum)?;
                // The offset of the text and the zero behind it.
                sizes.iter_mut().enumerate().for_each(|(row, s)| *s += text.at(row).len() as u64 + 9);
            }
        },
    }
    Ok(())
}

fn add_elements(offsets: &[i32], values: &ArrayRef, types: &[&LogicalType], sizes: &mut [u64]) -> Result<()> {
    let mut inner = vec![0u64; values.len()];
    match types {
        [element] => add_bytes(values, element, &mut inner)?,
        _ => {
            let pairs: &StructArray = downcast(values)?;
            for (column, ty) in pairs.columns().iter().zip(types) {
                add_bytes(column, ty, &mut inner)?;
            }
        }
    }
    for (row, size) in sizes.iter_mut().enumerate() {
        *size += 8 + inner[offsets[row] as usize..offsets[row + 1] as usize].iter().sum::<u64>();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::scalar::testing::{check, check_errors};

    #[test]
    fn values_have_sizes() {
        check(
            r"
            byte_size | uint8:1 ; string:string | uint64:16
            byte_size | array(string):['a','bc'] | uint64:29
            byte_size | nullable(int32):NULL | uint64:5
            byte_size | tuple(date, datetime, fixed_string(3)):('2020-01-01','2020-01-01 00:00:00','abc') | uint64:9
            is_nullable | nullable(uint8):1 | bool:true
            is_nullable | uint8:1 | bool:false
            is_distinct_from | nullable(uint8):NULL ; nullable(uint8):NULL | bool:false
            is_distinct_from | nullable(uint8):NULL ; uint8:1 | bool:true
            get_size_of_enum_type | enum8('a' = 1, 'b' = 2):a | uint8:2
            bitmask_to_list | uint8:50 | string:2,16,32
            bitmask_to_list | int8:-128 | string:128
            to_json_string | array(string):['a','b'] | string:['a','b']
            in_ignore_set | uint8:1 ; uint8:1 | bool:false
            "
            .replace(
                "string:['a','b']\n",
                r#"string:["a","b"]
"#,
            )
            .as_str(),
        );
        check_errors(
            r"
            get_size_of_enum_type | uint8:1 | ILLEGAL_TYPE_OF_ARGUMENT
            bitmask_to_list | string:a | ILLEGAL_TYPE_OF_ARGUMENT
            ",
        );
    }
}
