//! `map_populate_series`: the keys that a map of numbers skips, with values of 0.

use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::arrays::{Flat, gather_or_default, pairs};
use crate::scalar::column::{Ints, end_offset, list, map, retyped, tuple};
use crate::scalar::define::{Call, Convert, define};
use crate::scalar::number::{Num, to_vec};
use arrow::array::ArrayRef;
use hydron_base::memory::room_for;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use std::collections::BTreeMap;

/// Keys that one batch may get.
const KEYS_MAX: i128 = 100_000_000;

pub(super) fn register(registry: &mut Registry) {
    define(registry, "map_populate_series", bind);
}

/// `map_populate_series(map[, most])`, or `(keys, values[, most])`, which answers a tuple of two arrays.
fn bind(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(1..=3)?;
    let (key, value, arrays) = match call.types().as_slice() {
        [LogicalType::Map(k, v), rest @ ..] if rest.len() <= 1 => ((**k).clone(), (**v).clone(), 0),
        [LogicalType::Array(k), LogicalType::Array(v), ..] => ((**k).clone(), (**v).clone(), 2),
        _ => return Err(call.illegal(0)),
    };
    let small = |t: &LogicalType| t.is_integer() && t.bits().is_some_and(|b| b <= 64);
    if !small(&key) {
        return Err(call.illegal(0));
    }
    if !value.is_number() {
        return Err(call.illegal(if arrays == 2 { 1 } else { 0 }));
    }
    let most = if arrays == 2 { 2 } else { 1 };
    let most_type = call.args.get(most).map(|a| a.ty.clone());
    if most_type.is_some() {
        call.need(most, small)?;
    }
    let ty = match arrays {
        2 => LogicalType::tuple([LogicalType::array(key.clone()), LogicalType::array(value.clone())]),
        _ => call.ty(0).clone(),
    };
    let narrow = Convert::new(&LogicalType::Int64, &key, call.zone());
    let out = ty.clone();
    call.returns(ty, move |args, rows| {
        let flat = if arrays == 2 { Flat::of(&args[..2], rows)? } else { pairs(&args[0], rows)? };
        let most = args.get(most).zip(most_type.as_ref()).map(|(a, t)| Ints::of(a, t)).transpose()?;
        let (keys, places, ends) = fill(&flat, &key, most.as_ref(), rows)?;
        let keys: ArrayRef = match &key {
            LogicalType::UInt64 => u64::array(keys.into_iter().map(|k| k as u64).collect()),
            _ => narrow.array(&i64::array(keys.into_iter().map(|k| k as i64).collect()))?,
        };
        let values = gather_or_default(&flat.columns[1], &value, places.into_iter())?;
        if arrays == 2 {
            let columns = vec![list(&key, ends.clone(), keys), list(&value, ends, values)];
            return tuple(&out, columns, rows);
        }
        map(&out, ends, retyped(&keys, &key), values)
    })
}

type Filled = (Vec<i128>, Vec<Option<usize>>, Vec<i32>);

/// For each row all keys from the least to the greatest (or the given one), and where the value of each is.
fn fill(flat: &Flat, key: &LogicalType, most: Option<&Ints>, rows: usize) -> Result<Filled> {
    let given = to_vec::<i128>(&flat.columns[0], key)?;
    let (mut keys, mut places, mut ends) = (Vec::new(), Vec::new(), vec![0]);
    let unsigned = key.is_unsigned_integer();
    for row in 0..rows {
        let mut known = BTreeMap::new();
        for i in flat.range(row) {
            known.entry(given[i]).or_insert(i);
        }
        if let (Some((first, _)), Some((last, _))) = (known.first_key_value(), known.last_key_value()) {
            let last =
                most.map_or(*last, |m| if unsigned { i128::from(m.at(row) as u64) } else { i128::from(m.at(row)) });
            let count = (last - first + 1).max(0);
            if count + keys.len() as i128 > KEYS_MAX {
                let text = format!("the keys from {first} to {last} are too many: at most {KEYS_MAX} in a batch");
                return Err(Error::new(Code::TOO_LARGE_ARRAY_SIZE, text));
            }
            room_for(count as usize * 40)?;
            for k in *first..=last {
                keys.push(k);
                places.push(known.get(&k).copied());
            }
        }
        ends.push(end_offset(keys.len())?);
    }
    Ok((keys, places, ends))
}
