//! JSON in strings: values by keys and places, by SQL/JSON paths, and by plain search.
//!
//! In reading order: [`cursor`] (where values are in a text), [`extract`] (a value as a type), [`path`] (SQL/JSON paths),
//! [`simple`] (`simple_json_*`). A document that is no JSON has no values: every function answers its default.

mod cursor;
mod extract;
mod path;
mod simple;

use super::column::{Ints, Texts, bools, float64s, int64s, text_lists, texts, uint64s};
use super::define::{Call, define, define_seeing_nulls};
use crate::call::{BoundCall, Datum};
use crate::registry::Registry;
use arrow::array::ArrayRef;
use cursor::{Kind, Node};
use hydron_base::{Code, Error, Result};
use hydron_types::column::ColumnBuilder;
use hydron_types::parse::parse_type;
use hydron_types::{EnumNames, LogicalType, Value};
use std::sync::Arc;

pub fn register(registry: &mut Registry) {
    let define_at =
        |registry: &mut Registry, name: &str, ty: LogicalType, f: fn(&Rows<'_>, usize) -> Result<ArrayRef>| {
            define(registry, name, move |call| {
                let steps = Steps::of(call, 0)?;
                call.returns(ty.clone(), move |args, rows| f(&Rows::of(&steps, args, rows)?, rows))
            });
        };
    let define_lists_at = |registry: &mut Registry, name: &str, f: fn(&Rows<'_>, usize) -> Result<ArrayRef>| {
        define_lists(registry, name, move |call| {
            let steps = Steps::of(call, 0)?;
            let ty = LogicalType::array(LogicalType::String);
            call.returns(ty, move |args, rows| f(&Rows::of(&steps, args, rows)?, rows))
        });
    };
    use LogicalType as T;
    define_at(registry, "json_has", T::Bool, |r, rows| Ok(bools(rows, |i| r.at(i).is_some())));
    define_at(registry, "json_length", T::UInt64, |r, rows| {
        Ok(uint64s(rows, |i| r.at(i).map_or(0, |n| n.len() as u64)))
    });
    define_at(registry, "json_extract_string", T::String, |r, rows| {
        texts(rows, |i, out| {
            if let Some(node) = r.at(i).filter(|n| n.kind() != Kind::Null) {
                node.write_text(out);
            }
        })
    });
    define_at(registry, "json_extract_raw", T::String, |r, rows| {
        texts(rows, |i, out| {
            if let Some(node) = r.at(i) {
                node.write_raw(out);
            }
        })
    });
    define_at(registry, "json_extract_int", T::Int64, |r, rows| {
        Ok(int64s(rows, |i| r.at(i).and_then(|n| n.int()).unwrap_or(0)))
    });
    define_at(registry, "json_extract_uint", T::UInt64, |r, rows| {
        Ok(uint64s(rows, |i| r.at(i).and_then(|n| n.uint()).unwrap_or(0)))
    });
    define_at(registry, "json_extract_float", T::Float64, |r, rows| {
        Ok(float64s(rows, |i| r.at(i).and_then(|n| n.float()).unwrap_or(0.0)))
    });
    define_at(registry, "json_extract_bool", T::Bool, |r, rows| {
        Ok(bools(rows, |i| match r.at(i) {
            Some(n) => n.bool().unwrap_or_else(|| n.float().is_some_and(|v| v != 0.0)),
            None => false,
        }))
    });
    for name in ["json_extract_array_raw", "json_extract_array"] {
        define_lists_at(registry, name, |r, rows| {
            let mut raw = Vec::new();
            text_lists(rows, |i, out| {
                for item in r.at(i).iter().flat_map(Node::items) {
                    raw.clear();
                    item.write_raw(&mut raw);
                    out.push(&raw);
                }
                Ok(())
            })
        });
    }
    define_lists_at(registry, "json_extract_keys", |r, rows| {
        text_lists(rows, |i, out| {
            r.at(i).iter().flat_map(Node::members).for_each(|(key, _)| out.push(&key));
            Ok(())
        })
    });
    define_at(registry, "json_type", json_type(), |r, rows| {
        Ok(super::column::numbers::<arrow::datatypes::Int8Type>(rows, |i| r.at(i).map_or(0, |n| kind_number(&n))))
    });
    define(registry, "is_valid_json", |call| {
        call.arity(1..=1)?;
        call.need_string(0)?;
        call.returns(LogicalType::Bool, |args, rows| {
            let text = Texts::of(&args[0])?;
            Ok(bools(rows, |i| Node::parse(text.at(i)).is_some()))
        })
    });
    define(registry, "json_key", |call| {
        let steps = Steps::of(call, 0)?;
        call.returns(LogicalType::String, move |args, rows| {
            let all = Rows::of(&steps, args, rows)?;
            texts(rows, |i, out| out.extend(all.key(i).unwrap_or_default()))
        })
    });
    define(registry, "json_extract", |call| {
        call.arity(2..=usize::MAX)?;
        let ty = named_type(call)?;
        let steps = Steps::of(call, 1)?;
        typed(call, ty, steps, extract::value)
    });
    define_lists(registry, "json_extract_keys_and_values", |call| {
        call.arity(2..=usize::MAX)?;
        let ty = named_type(call)?;
        let steps = Steps::of(call, 1)?;
        typed(call, pairs_of(ty), steps, extract::pairs)
    });
    define_lists(registry, "json_extract_keys_and_values_raw", |call| {
        let steps = Steps::of(call, 0)?;
        typed(call, pairs_of(LogicalType::String), steps, |node, _| {
            let pairs = node.members().into_iter().map(|(key, value)| {
                let mut raw = Vec::new();
                value.write_raw(&mut raw);
                Value::Tuple(vec![Value::Bytes(key), Value::Bytes(raw)])
            });
            Some(Value::Array(pairs.collect()))
        })
    });
    define(registry, "json_subcolumn", |call| {
        call.arity(3..=usize::MAX)?;
        let ty = named_type(call)?;
        let steps = call.args[1..call.args.len() - 1].iter().enumerate();
        let steps = steps.map(|(i, _)| call.constant_text(i + 1).map(<[u8]>::to_vec)).collect::<Result<Vec<_>>>()?;
        subcolumn(call, ty, steps)
    });
    path::register(registry);
    simple::register(registry);
}

fn pairs_of(value: LogicalType) -> LogicalType {
    LogicalType::array(LogicalType::tuple([LogicalType::String, value]))
}

/// Registers a function whose result is an array, which cannot be NULL: nullable arguments are refused, and only the NULL
/// itself makes NULL.
fn define_lists<F>(registry: &mut Registry, name: &str, bind: F)
where
    F: Fn(&Call<'_>) -> Result<BoundCall> + Send + Sync + 'static,
{
    define_seeing_nulls(registry, name, move |call| {
        if call.args.iter().any(|a| *a.ty.bare() == LogicalType::Nothing) {
            return call.returns(LogicalType::Nothing, |_, rows| {
                Ok(arrow::array::new_null_array(&arrow::datatypes::DataType::Null, rows))
            });
        }
        let nullable = call.args.iter().position(|a| a.ty.is_nullable());
        let args: Vec<_> =
            call.args.iter().map(|a| crate::call::ArgInfo { ty: a.ty.bare().clone(), ..a.clone() }).collect();
        let bound = bind(&Call { args: &args, ..*call })?;
        match nullable {
            Some(position) => Err(Error::new(
                Code::ILLEGAL_TYPE_OF_ARGUMENT,
                format!("argument {} of function \"{}\" is nullable, and no array can be", position + 1, call.name),
            )),
            None => Ok(bound),
        }
    });
}

/// The type that the last argument names. Errors: ILLEGAL_COLUMN (44) unless that is a constant string.
fn named_type(call: &Call<'_>) -> Result<LogicalType> {
    let last = call.args.len() - 1;
    if !call.ty(last).is_string_like() || call.args[last].constant.is_none() {
        let text =
            format!("the last argument of function \"{}\" must be a constant string that names a type", call.name);
        return Err(Error::new(Code::ILLEGAL_COLUMN, text));
    }
    let text = call.constant_text(call.args.len() - 1)?;
    parse_type(&String::from_utf8_lossy(text))
}

fn json_type() -> LogicalType {
    let names = [
        ("Null", 0),
        ("String", 34),
        ("Array", 91),
        ("Bool", 98),
        ("Double", 100),
        ("Int64", 105),
        ("UInt64", 117),
        ("Object", 123),
    ];
    let pairs = names.iter().map(|(n, v)| (Arc::from(*n), *v)).collect();
    LogicalType::Enum8(Arc::new(EnumNames { pairs }))
}

fn kind_number(node: &Node<'_>) -> i8 {
    match node.kind() {
        Kind::Null => 0,
        Kind::String => 34,
        Kind::Array => 91,
        Kind::Bool => 98,
        Kind::Object => 123,
        Kind::Number if !node.is_whole() => 100,
        Kind::Number if node.int().is_some() => 105,
        Kind::Number => 117,
    }
}

/// Values of a type from the node of each row; a default where there is none.
fn typed(
    call: &Call<'_>,
    ty: LogicalType,
    steps: Steps,
    read: fn(&Node<'_>, &LogicalType) -> Option<Value>,
) -> Result<BoundCall> {
    let out = ty.clone();
    call.returns(ty, move |args, rows| {
        let all = Rows::of(&steps, args, rows)?;
        let mut builder = ColumnBuilder::with_capacity(&out, rows);
        for row in 0..rows {
            match all.at(row).and_then(|node| read(&node, &out)) {
                Some(value) => builder.append(&value)?,
                None => builder.append_default(),
            }
        }
        builder.finish()
    })
}

/// What lies on a path of a json column: through objects by name, through arrays into each of their elements.
fn subcolumn(call: &Call<'_>, ty: LogicalType, steps: Vec<Vec<u8>>) -> Result<BoundCall> {
    let out = ty.clone();
    if let LogicalType::Array(_) = call.types()[0].bare() {
        return lists_of_subcolumns(call, ty, steps);
    }
    call.returns(ty, move |args, rows| {
        let documents = Texts::of(&args[0])?;
        let mut builder = ColumnBuilder::with_capacity(&out, rows);
        for row in 0..rows {
            match Node::parse(documents.at(row)).and_then(|node| value_on(&node, &steps, &out)) {
                Some(value) => builder.append(&value)?,
                None => builder.append_default(),
            }
        }
        builder.finish()
    })
}

/// What lies on a path in each of several documents.
fn lists_of_subcolumns(call: &Call<'_>, ty: LogicalType, steps: Vec<Vec<u8>>) -> Result<BoundCall> {
    let LogicalType::Array(item) = ty.clone() else {
        return Err(Error::bad_arguments("the path of several documents is an array"));
    };
    call.returns(ty.clone(), move |args, rows| {
        let lists = args[0].to_array(rows)?;
        let mut builder = ColumnBuilder::with_capacity(&ty, rows);
        let of = LogicalType::array(LogicalType::Json);
        for row in 0..rows {
            let Value::Array(documents) = hydron_types::value_at(&lists, &of, row) else {
                builder.append_default();
                continue;
            };
            let values = documents.iter().map(|document| {
                let node = Node::parse(document.as_bytes().unwrap_or_default());
                let found = node.and_then(|node| value_on(&node, &steps, &item));
                found.unwrap_or_else(|| crate::nulls::default_value(&item))
            });
            builder.append(&Value::Array(values.collect()))?;
        }
        builder.finish()
    })
}

fn value_on(node: &Node<'_>, steps: &[Vec<u8>], ty: &LogicalType) -> Option<Value> {
    if steps.is_empty() {
        return extract::value(node, ty);
    }
    match (node.kind(), ty) {
        (Kind::Array, LogicalType::Array(item)) => {
            let default = crate::nulls::default_value;
            let items = node.items();
            let values = items.iter().map(|n| value_on(n, steps, item).unwrap_or_else(|| default(item)));
            Some(Value::Array(values.collect()))
        }
        (Kind::Object, _) => {
            // A name with a dot in it comes before one inside another.
            (1..=steps.len()).rev().find_map(|taken| {
                let name = steps[..taken].join(&b'.');
                value_on(&node.member(&name)?, &steps[taken..], ty)
            })
        }
        _ => None,
    }
}

/// The arguments after the document that lead to a value: keys, and places from 1.
struct Steps {
    types: Vec<LogicalType>,
}

impl Steps {
    /// `tail`: how many arguments at the end are no steps.
    fn of(call: &Call<'_>, tail: usize) -> Result<Steps> {
        call.arity(1 + tail..=usize::MAX)?;
        call.need_string(0)?;
        let types = call.types()[..call.args.len() - tail].to_vec();
        for i in 1..types.len() {
            call.need(i, |t| t.is_string_like() || t.is_integer())?;
        }
        Ok(Steps { types })
    }
}

enum StepColumn<'a> {
    Keys(Texts<'a>),
    Places(Ints),
}

/// The documents of a batch and the steps into each.
struct Rows<'a> {
    documents: Texts<'a>,
    steps: Vec<StepColumn<'a>>,
}

impl<'a> Rows<'a> {
    fn of(steps: &Steps, args: &'a [Datum], _rows: usize) -> Result<Rows<'a>> {
        let columns = steps.types.iter().zip(args).skip(1).map(|(ty, arg)| {
            Ok(if ty.is_string_like() {
                StepColumn::Keys(Texts::of(arg)?)
            } else {
                StepColumn::Places(Ints::of(arg, ty)?)
            })
        });
        let documents = args.first().ok_or_else(|| Error::bug("a JSON function without a document"))?;
        Ok(Rows { documents: Texts::of(documents)?, steps: columns.collect::<Result<_>>()? })
    }

    fn at(&self, row: usize) -> Option<Node<'a>> {
        let document = Node::parse(self.documents.at(row))?;
        self.steps.iter().try_fold(document, |node, step| match step {
            StepColumn::Keys(keys) => node.member(keys.at(row)),
            StepColumn::Places(places) => node.place(places.at(row)).map(|(_, n)| n),
        })
    }

    /// The key of the member that the last step, a place, leads to.
    fn key(&self, row: usize) -> Option<Vec<u8>> {
        let document = Node::parse(self.documents.at(row))?;
        let (last, before) = self.steps.split_last()?;
        let node = before.iter().try_fold(document, |node, step| match step {
            StepColumn::Keys(keys) => node.member(keys.at(row)),
            StepColumn::Places(places) => node.place(places.at(row)).map(|(_, n)| n),
        })?;
        match last {
            StepColumn::Keys(keys) => node.member(keys.at(row)).map(|_| keys.at(row).to_vec()),
            StepColumn::Places(places) => node.place(places.at(row)).and_then(|(key, _)| key),
        }
    }
}
