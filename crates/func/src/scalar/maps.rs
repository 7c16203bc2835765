//! Maps: making, reading, filtering, merging.

mod series;

use super::arrays::{Flat, gather, pairs};
use super::column::{bools, list, map, retyped};
use super::conditional::condition;
use super::define::{Call, Convert, define, define_seeing_nulls, define_with_lambda};
use super::rows::encode_pair;
use super::strings::like_matcher;
use crate::call::{ArgInfo, BoundCall, Datum, EvalContext, downcast};
use crate::registry::Registry;
use arrow::array::{ArrayRef, StructArray};
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use hydron_types::gather::join_columns;
use hydron_types::supertype::least_supertype;

pub fn register(registry: &mut Registry) {
    series::register(registry);
    define_seeing_nulls(registry, "map", make);
    define_seeing_nulls(registry, "map_cast", |call| {
        // Two arrays are the keys and the values; anything else is a list of pairs.
        match call.types().as_slice() {
            [LogicalType::Array(_), LogicalType::Array(_)] => from_arrays(call),
            _ => make(call),
        }
    });
    define_seeing_nulls(registry, "map_from_arrays", from_arrays);
    for (name, index) in [("map_keys", 0), ("map_values", 1)] {
        define(registry, name, move |call| {
            call.arity(1..=1)?;
            let (key, value) = pair(call, 0)?;
            let element = if index == 0 { key } else { value };
            call.returns(LogicalType::array(element.clone()), move |args, rows| {
                let pairs = pairs(&args[0], rows)?;
                Ok(list(&element, pairs.ends.clone(), pairs.columns[index].clone()))
            })
        });
    }
    define(registry, "map_contains", |call| {
        call.arity(2..=2)?;
        let (key, _) = pair(call, 0)?;
        contains(call, &key)
    });
    for (name, test) in [("map_contains_key_like", true), ("map_extract_key_like", false)] {
        define(registry, name, move |call| key_like(call, test));
    }
    define_with_lambda(registry, "map_filter", super::arrays::pair_types, |call| {
        call.arity(2..=2)?;
        pair(call, 1)?;
        let (ty, truth) = (call.ty(1).clone(), call.args[0].ty.clone());
        if !super::logic::has_truth(&truth) {
            return Err(call.illegal(0));
        }
        let out = ty.clone();
        Ok(BoundCall::new(ty, move |cx: &EvalContext, args: &[Datum], rows| {
            let pairs = pairs(&args[1], rows)?;
            let mask = condition(&pairs.call(cx, &args[0])?, &truth)?;
            Ok(Datum::Array(choose(&out, &pairs, rows, |i| mask.value(i))?))
        }))
    });
    define_with_lambda(registry, "map_apply", super::arrays::pair_types, |call| {
        call.arity(2..=2)?;
        pair(call, 1)?;
        let LogicalType::Tuple(elements) = &call.args[0].ty else {
            return Err(call.illegal(0));
        };
        let [(_, key), (_, value)] = &elements[..] else {
            return Err(call.illegal(0));
        };
        let ty = LogicalType::Map(Box::new(key.clone()), Box::new(value.clone()));
        let out = ty.clone();
        Ok(BoundCall::new(ty, move |cx: &EvalContext, args: &[Datum], rows| {
            let pairs = pairs(&args[1], rows)?;
            let answers = pairs.call(cx, &args[0])?;
            let tuple: &StructArray = downcast(&answers)?;
            Ok(Datum::Array(map(&out, pairs.ends.clone(), tuple.column(0).clone(), tuple.column(1).clone())?))
        }))
    });
    for (name, element) in [("map_add", "plus"), ("map_subtract", "minus")] {
        define(registry, name, move |call| merge_all(call, element));
    }
    define(registry, "map_update", |call| {
        call.arity(2..=2)?;
        pair(call, 0)?;
        pair(call, 1)?;
        let ty = least_supertype(&call.types())?;
        update(call, ty)
    });
}

fn pair(call: &Call<'_>, position: usize) -> Result<(LogicalType, LogicalType)> {
    match call.ty(position) {
        LogicalType::Map(k, v) => Ok(((**k).clone(), (**v).clone())),
        _ => Err(call.illegal(position)),
    }
}

/// `map(key, value, …)`.
fn make(call: &Call<'_>) -> Result<BoundCall> {
    if call.args.len() % 2 == 1 {
        let text = format!("function \"{}\" takes keys with values, given {} arguments", call.name, call.args.len());
        return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
    }
    let types = call.types();
    let side = |n: usize| types.iter().skip(n).step_by(2).cloned().collect::<Vec<_>>();
    let none = LogicalType::Nothing;
    let (key, value) =
        if types.is_empty() { (none.clone(), none) } else { (least_supertype(&side(0))?, least_supertype(&side(1))?) };
    if key.is_nullable() && !types.is_empty() {
        return Err(Error::bad_arguments("a key of a map cannot be NULL"));
    }
    if !types.is_empty() && !hydron_types::parse::is_map_key(&key) {
        return Err(Error::bad_arguments(format!(
            "a key of a map cannot be of type {key}: it is a string, integer, date, uuid or enum"
        )));
    }
    let conversions: Vec<Convert> =
        (0..types.len()).map(|i| call.convert(i, if i % 2 == 0 { &key } else { &value })).collect();
    let ty = LogicalType::Map(Box::new(key.clone()), Box::new(value.clone()));
    let out = ty.clone();
    call.returns(ty, move |args, rows| {
        let columns = args.iter().zip(&conversions).map(|(a, c)| c.datum(a)).collect::<Result<Vec<_>>>()?;
        let (keys, values): (Vec<_>, Vec<_>) = columns.chunks(2).map(|c| (c[0].clone(), c[1].clone())).unzip();
        let keys = Datum::Array(super::arrays::interleaved(&key, &keys, rows)?);
        let values = Datum::Array(super::arrays::interleaved(&value, &values, rows)?);
        join(&out, &keys, &values, rows)
    })
}

fn join(ty: &LogicalType, keys: &Datum, values: &Datum, rows: usize) -> Result<ArrayRef> {
    let flat = Flat::of(&[keys.clone(), values.clone()], rows)?;
    map(ty, flat.ends.clone(), flat.columns[0].clone(), flat.columns[1].clone())
}

fn from_arrays(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(2..=2)?;
    let (key, value) = (call.need_array(0)?.clone(), call.need_array(1)?.clone());
    let ty = LogicalType::Map(Box::new(key), Box::new(value));
    let out = ty.clone();
    call.returns(ty, move |args, rows| join(&out, &args[0], &args[1], rows))
}

/// Keys of each row beside the key asked for, in one comparable form.
struct Lookup {
    keys: Convert,
    wanted: Convert,
}

impl Lookup {
    fn of(call: &Call<'_>, key: &LogicalType) -> Result<Lookup> {
        let common = if *key == LogicalType::Nothing { call.ty(1).clone() } else { key.clone() };
        let together = least_supertype(&[common, call.ty(1).clone()]).map_err(|_| call.illegal(1))?;
        Ok(Lookup { keys: Convert::new(key, &together, call.zone()), wanted: call.convert(1, &together) })
    }

    /// The place of the first pair with the wanted key in each row.
    fn places(&self, pairs: &Flat, wanted: &Datum, rows: usize) -> Result<Vec<Option<usize>>> {
        let wanted = self.wanted.datum(wanted)?;
        let (keys, asked) = encode_pair(&self.keys.array(&pairs.columns[0])?, wanted.array()?)?;
        let one = wanted.is_scalar();
        Ok((0..rows)
            .map(|row| pairs.range(row).find(|i| keys.row(*i) == asked.row(if one { 0 } else { row })))
            .collect())
    }
}

/// `map[key]`: the default of the value type where the key is missing.
pub(crate) fn element(call: &Call<'_>) -> Result<BoundCall> {
    let (key, value) = pair(call, 0)?;
    let lookup = Lookup::of(call, &key)?;
    call.returns(value.clone(), move |args, rows| {
        let pairs = pairs(&args[0], rows)?;
        let places = lookup.places(&pairs, &args[1], rows)?;
        super::arrays::gather_or_default(&pairs.columns[1], &value, places.into_iter())
    })
}

pub(crate) fn contains(call: &Call<'_>, key: &LogicalType) -> Result<BoundCall> {
    let lookup = Lookup::of(call, key)?;
    call.returns(LogicalType::Bool, move |args, rows| {
        let places = lookup.places(&pairs(&args[0], rows)?, &args[1], rows)?;
        Ok(bools(rows, |row| places[row].is_some()))
    })
}

fn key_like(call: &Call<'_>, test: bool) -> Result<BoundCall> {
    call.arity(2..=2)?;
    let (key, _) = pair(call, 0)?;
    if !key.is_string_like() {
        return Err(call.illegal(0));
    }
    let holds = like_matcher(call.constant_text(1)?)?;
    let ty = if test { LogicalType::Bool } else { call.ty(0).clone() };
    let out = ty.clone();
    call.returns(ty, move |args, rows| {
        let pairs = pairs(&args[0], rows)?;
        let keys = super::column::Texts::of_array(&pairs.columns[0])?;
        if test {
            return Ok(bools(rows, |row| pairs.range(row).any(|i| holds(keys.at(i)))));
        }
        choose(&out, &pairs, rows, |i| holds(keys.at(i)))
    })
}

/// The pairs for which `keep` holds.
fn choose(ty: &LogicalType, pairs: &Flat, rows: usize, keep: impl Fn(usize) -> bool) -> Result<ArrayRef> {
    let (mut kept, mut ends) = (Vec::new(), vec![0]);
    for row in 0..rows {
        kept.extend(pairs.range(row).filter(|i| keep(*i)).map(|i| i as u32));
        ends.push(super::column::end_offset(kept.len())?);
    }
    map(ty, ends, gather(&pairs.columns[0], kept.clone())?, gather(&pairs.columns[1], kept)?)
}

/// The first map with the pairs of the second put over it.
fn update(call: &Call<'_>, ty: LogicalType) -> Result<BoundCall> {
    let LogicalType::Map(key, value) = ty.clone() else {
        return Err(call.illegal(1));
    };
    let (a, b) = (call.convert(0, &ty), call.convert(1, &ty));
    let out = ty.clone();
    call.returns(ty, move |args, rows| {
        let (x, y) = (pairs(&a.datum(&args[0])?, rows)?, pairs(&b.datum(&args[1])?, rows)?);
        let (old, new) = encode_pair(&x.columns[0], &y.columns[0])?;
        let offset = x.len() as u32;
        let both = |i: usize, ty: &LogicalType| -> Result<ArrayRef> {
            let (x, y) = (retyped(&x.columns[i], ty), retyped(&y.columns[i], ty));
            join_columns(&[x.as_ref(), y.as_ref()])
        };
        let mut ends = vec![0];
        let mut places = Vec::new();
        for row in 0..rows {
            let replaced = |i: &usize| y.range(row).any(|j| new.row(j) == old.row(*i));
            places.extend(x.range(row).filter(|i| !replaced(i)).map(|i| i as u32));
            places.extend(y.range(row).map(|j| offset + j as u32));
            ends.push(super::column::end_offset(places.len())?);
        }
        map(&out, ends, gather(&both(0, &key)?, places.clone())?, gather(&both(1, &value)?, places)?)
    })
}

/// `map_add(map, map, …)` and `map_subtract`, or of tuples of two arrays, keys and values, which answer such a tuple.
fn merge_all(call: &Call<'_>, element: &'static str) -> Result<BoundCall> {
    call.arity(2..=usize::MAX)?;
    if let LogicalType::Tuple(_) = call.ty(0) {
        return merge_arrays(call, element);
    }
    let mut bound = merge(&Call { args: &call.args[..2], ..*call }, element)?;
    for (i, next) in call.args.iter().enumerate().skip(2) {
        let args = [ArgInfo::column(bound.ty.clone()), next.clone()];
        let last = merge(&Call { args: &args, ..*call }, element).map_err(|e| match e.code {
            Code::ILLEGAL_TYPE_OF_ARGUMENT => call.illegal(i),
            _ => e,
        })?;
        let before = bound.kernel;
        bound = BoundCall::new(last.ty, move |cx: &EvalContext, args: &[Datum], rows| {
            let so_far = before.eval(cx, &args[..i], rows)?;
            last.kernel.eval(cx, &[so_far, args[i].clone()], rows)
        });
    }
    Ok(bound)
}

fn merge_arrays(call: &Call<'_>, element: &'static str) -> Result<BoundCall> {
    let as_map = |i: usize| match call.ty(i) {
        LogicalType::Tuple(pair) => match &pair[..] {
            [(_, LogicalType::Array(k)), (_, LogicalType::Array(v))] => Ok(LogicalType::Map(k.clone(), v.clone())),
            _ => Err(call.illegal(i)),
        },
        _ => Err(call.illegal(i)),
    };
    let maps = (0..call.args.len()).map(as_map).collect::<Result<Vec<_>>>()?;
    let conversions: Vec<Convert> = maps.iter().enumerate().map(|(i, m)| call.convert(i, m)).collect();
    let args: Vec<ArgInfo> = maps.into_iter().map(ArgInfo::column).collect();
    let bound = merge_all(&Call { args: &args, ..*call }, element)?;
    let LogicalType::Map(key, value) = bound.ty.clone() else {
        return Err(Error::bug("maps were merged to what is no map"));
    };
    let ty = LogicalType::tuple([LogicalType::array((*key).clone()), LogicalType::array((*value).clone())]);
    let out = ty.clone();
    Ok(BoundCall::new(ty, move |cx: &EvalContext, args: &[Datum], rows| {
        let maps = args.iter().zip(&conversions).map(|(a, c)| c.datum(a)).collect::<Result<Vec<_>>>()?;
        let merged = Datum::Array(bound.kernel.eval(cx, &maps, rows)?.to_array(rows)?);
        let pairs = pairs(&merged, rows)?;
        let side = |ty: &LogicalType, i: usize| list(ty, pairs.ends.clone(), pairs.columns[i].clone());
        Ok(Datum::Array(super::column::tuple(&out, vec![side(&key, 0), side(&value, 1)], rows)?))
    }))
}

/// `map_add` and `map_subtract` of two maps: values of equal keys are put together; a key that one map lacks counts as 0 there.
fn merge(call: &Call<'_>, element: &str) -> Result<BoundCall> {
    call.arity(2..=2)?;
    let ((a_key, a_value), (b_key, b_value)) = (pair(call, 0)?, pair(call, 1)?);
    let key = least_supertype(&[a_key.clone(), b_key.clone()])?;
    let bound = Registry::builtin().bind_scalar(
        element,
        call.cx,
        &[ArgInfo::column(a_value.clone()), ArgInfo::column(b_value.clone())],
    )?;
    // Sums are 64 bits wide, as those of aggregates are.
    let value = match &bound.ty {
        t if t.is_signed_integer() && t.bits() <= Some(64) => LogicalType::Int64,
        t if t.is_unsigned_integer() && t.bits() <= Some(64) => LogicalType::UInt64,
        t => t.clone(),
    };
    let widen = Convert::new(&bound.ty, &value, call.zone());
    let (x_keys, y_keys) = (Convert::new(&a_key, &key, call.zone()), Convert::new(&b_key, &key, call.zone()));
    let ty = LogicalType::Map(Box::new(key.clone()), Box::new(value));
    let out = ty.clone();
    Ok(BoundCall::new(ty, move |cx: &EvalContext, args: &[Datum], rows| {
        let (x, y) = (pairs(&args[0], rows)?, pairs(&args[1], rows)?);
        let keys = [retyped(&x_keys.array(&x.columns[0])?, &key), retyped(&y_keys.array(&y.columns[0])?, &key)];
        let (mine, other) = encode_pair(&keys[0], &keys[1])?;
        // For each pair of the result its place in either map, and the order of keys within a row.
        let (mut ends, mut merged) = (vec![0], Vec::new());
        for row in 0..rows {
            let start = merged.len();
            for i in x.range(row) {
                merged.push((Some(i), y.range(row).find(|j| other.row(*j) == mine.row(i))));
            }
            merged.extend(
                y.range(row).filter(|j| x.range(row).all(|i| mine.row(i) != other.row(*j))).map(|j| (None, Some(j))),
            );
            let place = |m: &(Option<usize>, Option<usize>)| m.0.map(|i| mine.row(i)).or(m.1.map(|j| other.row(j)));
            merged[start..].sort_by(|a, b| place(a).cmp(&place(b)));
            ends.push(super::column::end_offset(merged.len())?);
        }
        let left = super::arrays::gather_or_default(&x.columns[1], &a_value, merged.iter().map(|m| m.0))?;
        let right = super::arrays::gather_or_default(&y.columns[1], &b_value, merged.iter().map(|m| m.1))?;
        let sums =
            bound.kernel.eval(cx, &[Datum::Array(left), Datum::Array(right)], merged.len())?.to_array(merged.len())?;
        let chosen: Vec<(usize, usize)> =
            merged.iter().map(|m| m.0.map_or((1, m.1.unwrap_or(0)), |i| (0, i))).collect();
        let keys = arrow::compute::interleave(&[keys[0].as_ref(), keys[1].as_ref()], &chosen)
            .map_err(crate::call::arrow_error)?;
        Ok(Datum::Array(map(&out, ends, keys, widen.array(&sums)?)?))
    }))
}
