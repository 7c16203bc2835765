//! `dict_get`, `dict_has` and their kin: values of a dictionary by its key.
//!
//! In: a call that names a dictionary. Out: a call over the key, with the rows of the dictionary as they are now. Promise: a statement
//! reads a dictionary once, however often it asks it.

use super::Binder;
use super::cast::cast_to;
use super::expr::Exprs;
use crate::catalog::Source;
use crate::dictionary::{Attribute, DictionaryInfo};
use crate::expr::{Expr, ExprKind};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt8Array, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::UInt64Type;
use hydron_base::{Code, Error, Result};
use hydron_func::call::arrow_error;
use hydron_func::scalar::dictionary::{Hierarchy, Index, Prefixes, Ranges};
use hydron_func::scalar::lookup::{Places, with_default};
use hydron_func::{Datum, EvalContext, Volatility};
use hydron_sql::ast;
use hydron_types::cast::{CastOptions, cast};
use hydron_types::supertype::can_be_nullable;
use hydron_types::{LogicalType, Value};
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

/// A dictionary whose rows are here.
pub(super) struct Loaded {
    info: Arc<DictionaryInfo>,
    index: Arc<Index>,
    /// By name: values, and behind them the default.
    attributes: HashMap<Arc<str>, ArrayRef>,
    keys: Vec<ArrayRef>,
    /// What all this takes of the statement's memory.
    held: Arc<dyn Any + Send + Sync>,
}

/// What a missing key answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Default,
    Given,
    Null,
}

/// Whether the name is that of a function of dictionaries.
pub(super) fn is_dictionary_function(name: &str) -> bool {
    matches!(name, "dict_has" | "dict_is_in") || name == "dict_get" || name.starts_with("dict_get_")
}

impl<'a> Binder<'a> {
    /// Errors: BAD_ARGUMENTS (36) for a dictionary that is not there.
    pub(super) fn dictionary_named(&self, name: &ast::ObjectName) -> Result<Arc<DictionaryInfo>> {
        let database = self.database_of(name);
        let found = self
            .catalog
            .dictionary(&database, &name.name)
            .ok_or_else(|| Error::bad_arguments(format!("dictionary \"{database}.{}\" is unknown", name.name)))?;
        self.note_use(&database, &name.name);
        Ok(found)
    }

    /// The dictionary, read now unless the statement has done so.
    fn loaded(&self, info: &Arc<DictionaryInfo>, x: &Exprs<'_>) -> Result<Arc<Loaded>> {
        if let Some(loaded) = self.dictionaries.borrow().get(&info.view.uuid) {
            return Ok(Arc::clone(loaded));
        }
        let from = self.open(&Source::View(Arc::clone(&info.view)), x.env)?;
        let names: Vec<Arc<str>> = from.plan.schema.fields.iter().map(|f| Arc::clone(&f.name)).collect();
        let (columns, types) =
            self.all_rows(from.plan, x.env).map_err(|e| e.context(format!("dictionary {}", info.view.name)))?;
        let at = |name: &str| {
            let found = names.iter().position(|n| &**n == name);
            found.ok_or_else(|| Error::bug(format!("dictionary {} has no column '{name}'", info.view.name)))
        };
        let keys = info.keys.iter().map(|(k, _)| Ok(Arc::clone(&columns[at(k)?]))).collect::<Result<Vec<_>>>()?;
        let index = match &info.range {
            Some([(min, _), (max, _)]) => {
                let bound = |name: &str| -> Result<ArrayRef> {
                    let i = at(name)?;
                    let to = LogicalType::nullable(LogicalType::Int64);
                    cast(&columns[i], &types[i], &to, &CastOptions::wrap(self.cx.zone))
                };
                Index::Ranges(Ranges::of(&keys, &bound(min)?, &bound(max)?)?)
            }
            None if info.is_trie() => Index::Prefixes(Prefixes::of(&keys[0])?),
            None => Index::Keys(Places::of(&keys)?),
        };
        let mut attributes = HashMap::new();
        for attribute in &info.attributes {
            let values = &columns[at(&attribute.name)?];
            let default = self.default_of(attribute, x)?;
            attributes.insert(Arc::clone(&attribute.name), with_default(values, &attribute.ty, &default)?);
        }
        let arrays = attributes.values().chain(&keys);
        let bytes = arrays.map(|a: &ArrayRef| a.get_array_memory_size()).sum::<usize>() + index.bytes();
        let held = self.catalog.reserve(bytes)?;
        let loaded = Arc::new(Loaded { info: Arc::clone(info), index: Arc::new(index), attributes, keys, held });
        self.dictionaries.borrow_mut().insert(info.view.uuid, Arc::clone(&loaded));
        Ok(loaded)
    }

    fn default_of(&self, attribute: &Attribute, x: &Exprs<'_>) -> Result<Value> {
        let Some(text) = &attribute.default else { return Ok(Value::default_of(&attribute.ty)) };
        let scope = super::scope::Scope::default();
        let bound = self.inside_text(|| self.expr_text(text, &scope, x.env))?;
        let bound = cast_to(bound, &attribute.ty, self.cx.zone)?;
        Ok(x.constant_of(&bound)?.map_or_else(|| Value::default_of(&attribute.ty), |(value, _)| value))
    }
}

impl Exprs<'_> {
    /// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42), ILLEGAL_TYPE_OF_ARGUMENT (43), BAD_ARGUMENTS (36) for a dictionary or an
    /// attribute that is not there, TYPE_MISMATCH (53), UNSUPPORTED_METHOD (1) without a hierarchy.
    pub(super) fn dictionary(&mut self, name: &str, f: &ast::Function) -> Result<Expr> {
        let [dictionary, args @ ..] = f.args.as_slice() else { return Err(arity(name, f)) };
        let object = self.object_argument(name, dictionary)?;
        let info = self.b.dictionary_named(&object)?;
        let loaded = self.b.loaded(&info, self)?;
        match name {
            "dict_has" => {
                let (keys, rest) = self.keys(name, &loaded, args, f)?;
                if !rest.is_empty() {
                    return Err(arity(name, f));
                }
                self.has(&loaded, keys)
            }
            "dict_get_hierarchy" | "dict_is_in" | "dict_get_children" | "dict_get_descendants" => {
                self.hierarchy(name, &loaded, args, f)
            }
            _ => self.values(name, &loaded, args, f),
        }
    }

    fn values(&mut self, name: &str, loaded: &Arc<Loaded>, args: &[ast::Expr], f: &ast::Function) -> Result<Expr> {
        let [attributes, args @ ..] = args else { return Err(arity(name, f)) };
        let (base, missing) = match name.strip_suffix("_or_default") {
            Some(base) => (base, Missing::Given),
            None if name == "dict_get_or_null" => ("dict_get", Missing::Null),
            None => (name, Missing::Default),
        };
        let of_type = match base {
            "dict_get" => None,
            typed => Some(
                typed
                    .strip_prefix("dict_get_")
                    .ok_or_else(|| Error::new(Code::UNKNOWN_FUNCTION, format!("unknown function \"{name}\"")))?,
            ),
        };
        let (names, is_tuple) = match self.constant(attributes)? {
            Some((Value::Bytes(one), _)) => (vec![text(&one)], false),
            Some((Value::Tuple(many) | Value::Array(many), _)) => {
                let name = |v: &Value| v.as_bytes().map(text);
                let names: Option<Vec<String>> = many.iter().map(name).collect();
                (names.ok_or_else(|| no_attribute_name(name_of(&loaded.info)))?, true)
            }
            _ => return Err(no_attribute_name(name_of(&loaded.info))),
        };
        let (keys, rest) = self.keys(name, loaded, args, f)?;
        let given = match (missing, rest) {
            (Missing::Given, [default]) => Some(self.bind(default)?),
            (Missing::Given, _) | (_, [_, ..]) => return Err(arity(name, f)),
            _ => None,
        };
        let mut values = Vec::with_capacity(names.len());
        for (at, attribute) in names.iter().enumerate() {
            let found = loaded.info.attribute(attribute).ok_or_else(|| {
                Error::bad_arguments(format!("dictionary {} has no attribute '{attribute}'", name_of(&loaded.info)))
            })?;
            let spelled = found.ty.bare().to_string();
            if let Some(wanted) = of_type.filter(|t| !is_type(&spelled, t)) {
                let message = format!("attribute '{attribute}' is of type {}, {name} gives {wanted}", found.ty);
                return Err(Error::new(Code::TYPE_MISMATCH, message));
            }
            let value = self.value(loaded, found, keys.clone(), missing)?;
            values.push(match &given {
                None => value,
                Some(default) => {
                    let default = match is_tuple {
                        true => {
                            let position = Expr::literal(Value::UInt(at as u64 + 1), LogicalType::UInt8);
                            self.call("tuple_element", vec![default.clone(), position])?
                        }
                        false => default.clone(),
                    };
                    let default = cast_to(default, &found.ty, self.cx.zone)?;
                    let has = self.has(loaded, keys.clone())?;
                    self.call("if", vec![has, value, default])?
                }
            });
        }
        match is_tuple {
            true => self.call("tuple", values),
            false => values.pop().ok_or_else(|| Error::bug("a dictionary was asked for nothing")),
        }
    }

    /// The columns of the key, as the dictionary has them, and the arguments that are left.
    fn keys<'e>(
        &mut self,
        name: &str,
        loaded: &Loaded,
        args: &'e [ast::Expr],
        f: &ast::Function,
    ) -> Result<(Vec<Expr>, &'e [ast::Expr])> {
        let info = &loaded.info;
        let [key, rest @ ..] = args else { return Err(arity(name, f)) };
        let key = self.bind(key)?;
        let mismatch = |ty: &LogicalType| {
            let message = format!("the key of dictionary {} is {}, not {ty}", name_of(info), types_of(info));
            Error::new(Code::TYPE_MISMATCH, message)
        };
        let mut parts = match key.ty.bare().clone() {
            LogicalType::Tuple(elements) if info.is_complex() || info.is_trie() => {
                let mut parts = Vec::with_capacity(elements.len());
                for at in 1..=elements.len() {
                    let position = Expr::literal(Value::UInt(at as u64), LogicalType::UInt8);
                    parts.push(self.call("tuple_element", vec![key.clone(), position])?);
                }
                parts
            }
            _ => vec![key.clone()],
        };
        if parts.len() != info.keys.len() {
            return Err(mismatch(&key.ty));
        }
        if info.is_trie() {
            let address = parts.remove(0);
            let to = match address.ty.bare() {
                LogicalType::Ipv4 | LogicalType::UInt32 => LogicalType::UInt32,
                LogicalType::Ipv6 | LogicalType::FixedString(16) => LogicalType::FixedString(16),
                LogicalType::String => LogicalType::Ipv6,
                other => return Err(mismatch(other)),
            };
            // Both forms of 16 bytes are stored alike.
            let address = match &to {
                LogicalType::FixedString(_) => address,
                LogicalType::UInt32 if *address.ty.bare() == LogicalType::UInt32 => address,
                to => cast_to(address, to, self.cx.zone).map_err(|_| mismatch(&key.ty))?,
            };
            return Ok((vec![address], rest));
        }
        let mut keys = Vec::with_capacity(parts.len() + 1);
        for (part, (_, ty)) in parts.into_iter().zip(&info.keys) {
            let given = part.ty.clone();
            let is_alike = given.bare().is_number() == ty.bare().is_number() || !ty.bare().is_number();
            if !is_alike {
                return Err(mismatch(&given));
            }
            let bare = ty.bare().clone();
            let to = if given.is_nullable() { LogicalType::nullable(bare) } else { bare };
            keys.push(cast_to(part, &to, self.cx.zone).map_err(|_| mismatch(&given))?);
        }
        let Some([(_, ty), _]) = &info.range else { return Ok((keys, rest)) };
        let [value, rest @ ..] = rest else { return Err(arity(name, f)) };
        // The value is compared with the bounds as whole numbers of their own type.
        let ty = ty.bare().clone();
        let value = self.bind(value)?;
        let value = cast_to(value, &LogicalType::nullable(ty), self.cx.zone)?;
        keys.push(cast_to(value, &LogicalType::nullable(LogicalType::Int64), self.cx.zone)?);
        Ok((keys, rest))
    }

    fn value(&mut self, loaded: &Arc<Loaded>, of: &Attribute, keys: Vec<Expr>, missing: Missing) -> Result<Expr> {
        let (mut values, mut ty) = (Arc::clone(&loaded.attributes[&of.name]), of.ty.clone());
        if missing == Missing::Null && can_be_nullable(&ty) {
            let nullable = LogicalType::nullable(ty);
            let rows = values.len() - 1;
            values = with_default(&values.slice(0, rows), &nullable, &Value::Null)?;
            ty = nullable;
        }
        let (index, held) = (Arc::clone(&loaded.index), Arc::clone(&loaded.held));
        let kernel = move |args: &[ArrayRef], rows: usize| {
            let _held = &held;
            arrow::compute::take(&values, &index.find(args, rows)?, None).map_err(arrow_error)
        };
        self.of_keys("dict_get", keys, ty, kernel)
    }

    fn has(&mut self, loaded: &Loaded, keys: Vec<Expr>) -> Result<Expr> {
        let (index, held) = (Arc::clone(&loaded.index), Arc::clone(&loaded.held));
        let kernel = move |args: &[ArrayRef], rows: usize| {
            let _held = &held;
            let (found, none) = (index.find(args, rows)?, index.none());
            let has: UInt8Array = found.values().iter().map(|at| u8::from(*at != none)).collect::<Vec<_>>().into();
            Ok(Arc::new(has) as ArrayRef)
        };
        self.of_keys("dict_has", keys, LogicalType::UInt8, kernel)
    }

    fn hierarchy(&mut self, name: &str, loaded: &Loaded, args: &[ast::Expr], f: &ast::Function) -> Result<Expr> {
        let info = &loaded.info;
        let attribute = info.attributes.iter().find(|a| a.hierarchical).filter(|_| info.keys.len() == 1);
        let Some(attribute) = attribute else {
            let message = format!("dictionary {} has no hierarchical attribute", name_of(info));
            return Err(Error::new(Code::UNSUPPORTED_METHOD, message));
        };
        let zone = self.cx.zone;
        let numbers = |array: &ArrayRef, ty: &LogicalType| -> Result<Vec<u64>> {
            let array = cast(array, ty, &LogicalType::UInt64, &CastOptions::wrap(zone))?;
            Ok(array.as_primitive::<UInt64Type>().values().to_vec())
        };
        let parents = &loaded.attributes[&attribute.name];
        let keys = numbers(&loaded.keys[0], &info.keys[0].1)?;
        let parents = numbers(&parents.slice(0, parents.len() - 1), &attribute.ty)?;
        let hierarchy = Hierarchy::of(&keys, &parents);
        let counts = match name {
            "dict_is_in" => 2..=2,
            "dict_get_descendants" => 1..=2,
            _ => 1..=1,
        };
        if !counts.contains(&args.len()) {
            return Err(arity(name, f));
        }
        let mut bound = Vec::with_capacity(2);
        for arg in args {
            let arg = self.bind(arg)?;
            bound.push(cast_to(arg, &LogicalType::UInt64, zone)?);
        }
        let value = |args: &[ArrayRef], at: usize, row: usize| args[at].as_primitive::<UInt64Type>().value(row);
        if name == "dict_is_in" {
            let kernel = move |args: &[ArrayRef], rows: usize| {
                let is_in = |row| u8::from(hierarchy.is_in(value(args, 0, row), value(args, 1, row)));
                Ok(Arc::new(UInt8Array::from((0..rows).map(is_in).collect::<Vec<_>>())) as ArrayRef)
            };
            return self.of_keys(name, bound, LogicalType::UInt8, kernel);
        }
        let of: Arc<str> = Arc::from(name);
        let kernel = move |args: &[ArrayRef], rows: usize| {
            let list = |row: usize| match &*of {
                "dict_get_hierarchy" => hierarchy.chain(value(args, 0, row)),
                "dict_get_children" => hierarchy.children(value(args, 0, row)),
                _ => hierarchy.descendants(value(args, 0, row), args.get(1).map_or(0, |_| value(args, 1, row))),
            };
            let lists: Vec<Vec<u64>> = (0..rows).map(list).collect();
            let ty = hydron_types::physical::arrow_type(&LogicalType::array(LogicalType::UInt64));
            let arrow::datatypes::DataType::List(field) = ty else {
                return Err(Error::bug("an array is stored as no list"));
            };
            let offsets = OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
            let values: ArrayRef = Arc::new(UInt64Array::from(lists.concat()));
            Ok(Arc::new(ListArray::new(field, offsets, values, None)) as ArrayRef)
        };
        self.of_keys(name, bound, LogicalType::array(LogicalType::UInt64), kernel)
    }

    /// A call of keys whose kernel sees whole columns.
    fn of_keys(
        &mut self,
        name: &str,
        args: Vec<Expr>,
        ty: LogicalType,
        kernel: impl Fn(&[ArrayRef], usize) -> Result<ArrayRef> + Send + Sync + 'static,
    ) -> Result<Expr> {
        let kernel = move |_: &EvalContext, args: &[Datum], rows: usize| {
            let scalar = args.iter().all(Datum::is_scalar);
            let rows = if scalar { 1 } else { rows };
            let arrays = args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
            let array = kernel(&arrays, rows)?;
            Ok(if scalar { Datum::Scalar(array) } else { Datum::Array(array) })
        };
        let kind =
            ExprKind::Call { name: Arc::from(name), kernel: Arc::new(kernel), args, volatility: Volatility::Immutable };
        self.fold(Expr { kind, ty })
    }
}

fn name_of(info: &DictionaryInfo) -> &str {
    &info.view.name
}

fn types_of(info: &DictionaryInfo) -> String {
    info.keys.iter().map(|(_, ty)| ty.to_string()).collect::<Vec<_>>().join(", ")
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(bytes.as_ref()).into_owned()
}

/// Whether `dict_get_datetime` and the like give the type.
fn is_type(spelled: &str, wanted: &str) -> bool {
    match wanted {
        "decimal32" | "decimal64" | "decimal128" | "decimal256" => spelled.starts_with("decimal"),
        "datetime" => spelled == "datetime" || spelled.starts_with("datetime("),
        wanted => spelled == wanted,
    }
}

fn no_attribute_name(dictionary: &str) -> Error {
    let message =
        format!("an attribute of dictionary {dictionary} is named by a constant string, several by a tuple of these");
    Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, message)
}

fn arity(name: &str, f: &ast::Function) -> Error {
    let message = format!("{name} does not take {} arguments here", f.args.len());
    Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, message)
        .hint("a dictionary, the name of an attribute, a key, the value of a range, a default")
}
