//! The object that defines an aggregate function, and one engine with it in which groups live.

use super::Limits;
use super::machine::{Failure, Machine, Outcome, eval, method, text_of};
use super::value::{self, Rows};
use crate::signature::Signature;
use arrow::array::ArrayRef;
use hydron_base::{Code, Error, Result};
use hydron_types::ColumnBuilder;
use rquickjs::function::{Args, This};
use rquickjs::{Ctx, Filter, Function, Object, Persistent, Value as Js};
use std::sync::Arc;

/// Functions that the object must have; `serialize`, `deserialize` and `merge` are for states that are kept or put together.
const NEEDED: [&str; 3] = ["initialize", "process", "finalize"];

const OWN_EMIT: &str = "has_customized_emit";

/// What the object has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    pub own_emit: bool,
    pub serialize: bool,
    pub deserialize: bool,
}

pub type Group = Persistent<Object<'static>>;

struct Methods {
    initialize: Persistent<Function<'static>>,
    process: Persistent<Function<'static>>,
    finalize: Persistent<Function<'static>>,
    serialize: Option<Persistent<Function<'static>>>,
    deserialize: Option<Persistent<Function<'static>>>,
    merge: Option<Persistent<Function<'static>>>,
}

/// An engine with the object. Groups are objects of their own that inherit from it.
pub struct Blueprint {
    signature: Arc<Signature>,
    pub shape: Shape,
    // Before the machine that they belong to.
    methods: Methods,
    object: Group,
    machine: Machine,
}

// SAFETY: the handles and the machine they belong to move together, and only who holds them uses either.
unsafe impl Send for Blueprint {}

impl Blueprint {
    /// Errors: UDF_COMPILE_ERROR (2530) for code that is no object literal of the right shape.
    pub fn new(signature: &Arc<Signature>, source: &str, limits: Limits) -> Result<Blueprint> {
        let mut machine = Machine::new(&signature.name, limits)?;
        let name = Arc::clone(&signature.name);
        let (object, shape, methods) = machine.run("the code", Code::UDF_COMPILE_ERROR, |ctx| {
            // On one line with the literal, so that its lines keep their numbers.
            eval(ctx, &name, &format!("var {name} = {source};"))?;
            let value = eval(ctx, &name, &name)?;
            let Some(object) = value.as_object().filter(|o| !o.is_function() && !o.is_array()) else {
                let text = format!("the code of aggregate function \"{name}\" is no object literal");
                return Err(malformed(text).into());
            };
            let shape = shape(object, &name)?;
            let found = |name: &str| Ok::<_, rquickjs::Error>(method(object, name)?.map(|f| Persistent::save(ctx, f)));
            let needed = |method: &str| -> Outcome<_> {
                let lacks = || malformed(format!("aggregate function \"{name}\" has no function '{method}'"));
                Ok(found(method)?.ok_or_else(lacks)?)
            };
            let methods = Methods {
                initialize: needed("initialize")?,
                process: needed("process")?,
                finalize: needed("finalize")?,
                serialize: found("serialize")?,
                deserialize: found("deserialize")?,
                merge: found("merge")?,
            };
            Ok((Persistent::save(ctx, object.clone()), shape, methods))
        })?;
        Ok(Blueprint { signature: Arc::clone(signature), shape, methods, object, machine })
    }

    /// Gives each group of `work` its rows. `signs`: of a changelog. Answers of an aggregate with its own emit go to `answers`,
    /// with the group of each.
    pub fn process(
        &mut self,
        groups: &mut [Option<Group>],
        work: &[(u32, Rows<'_>)],
        columns: &[ArrayRef],
        sign: Option<&dyn Fn(usize) -> i8>,
        answers: &mut Answers,
    ) -> Result<()> {
        let Blueprint { signature, shape, methods, object, machine } = self;
        machine.run("process", Code::AGGREGATE_FUNCTION_THROW, |ctx| {
            let blueprint = object.clone().restore(ctx)?;
            let process = methods.process.clone().restore(ctx)?;
            for (group, rows) in work {
                let this = group_of(ctx, &blueprint, methods, &mut groups[*group as usize])?;
                let mut args = Args::new(ctx.clone(), columns.len() + usize::from(sign.is_some()));
                args.this(this.clone())?;
                for ((_, ty), column) in signature.args.iter().zip(columns) {
                    args.push_arg(value::array(ctx, ty, column, *rows)?)?;
                }
                if let Some(sign) = sign {
                    args.push_arg(value::signs(ctx, rows.len(), |at| sign(rows.row(at)))?)?;
                }
                let ready: Js = process.call_arg(args)?;
                if shape.own_emit {
                    let ready = results_ready(signature, &ready)?;
                    if ready > 0 {
                        let finalize = methods.finalize.clone().restore(ctx)?;
                        let result: Js = finalize.call((This(this),))?;
                        take_results(ctx, signature, &result, ready, *group, answers)?;
                    }
                }
            }
            Ok(())
        })
    }

    /// The answer of each group, appended to `to`.
    pub fn finalize(&mut self, groups: &mut [Option<Group>], which: &[u32], to: &mut ColumnBuilder) -> Result<()> {
        let Blueprint { signature, methods, object, machine, .. } = self;
        machine.run("finalize", Code::UDF_INTERNAL_ERROR, |ctx| {
            let blueprint = object.clone().restore(ctx)?;
            let finalize = methods.finalize.clone().restore(ctx)?;
            for group in which {
                let this = group_of(ctx, &blueprint, methods, &mut groups[*group as usize])?;
                let result: Js = finalize.call((This(this),))?;
                if (result.is_undefined() || result.is_null()) && !signature.returns.is_nullable() {
                    return Err(returned(signature, "nothing").into());
                }
                value::append(ctx, to, &result, &signature.name)?;
            }
            Ok(())
        })
    }

    /// What `serialize` says of each group; an empty text for one without rows.
    pub fn serialize(&mut self, groups: &[Option<Group>], which: &[u32]) -> Result<Vec<String>> {
        let Blueprint { signature, methods, machine, .. } = self;
        let Some(serialize) = &methods.serialize else { return Err(cannot(signature, "serialize")) };
        machine.run("serialize", Code::AGGREGATE_FUNCTION_THROW, |ctx| {
            let serialize = serialize.clone().restore(ctx)?;
            let text = |group: &u32| {
                let Some(this) = &groups[*group as usize] else { return Ok(String::new()) };
                let state: Js = serialize.call((This(this.clone().restore(ctx)?),))?;
                let text = match state.as_string() {
                    Some(text) => Some(text.to_string()?),
                    None => state.is_number().then(|| text_of(ctx, &state)),
                };
                // An empty state would look like a group without rows.
                match text.filter(|t| !t.is_empty()) {
                    Some(text) => Ok(text),
                    None => {
                        let text = format!(
                            "serialize of JavaScript function \"{}\" returned {} instead of a text of at least one character",
                            signature.name,
                            value::described(&state)
                        );
                        Err(Error::new(Code::TYPE_MISMATCH, text).into())
                    }
                }
            };
            which.iter().map(text).collect()
        })
    }

    /// Adds saved states: the first of a group without rows is its state, others are merged into it.
    pub fn merge(&mut self, groups: &mut [Option<Group>], states: &[(u32, String)]) -> Result<()> {
        let Blueprint { signature, methods, object, machine, .. } = self;
        machine.run("merge", Code::UDF_INTERNAL_ERROR, |ctx| {
            let blueprint = object.clone().restore(ctx)?;
            for (group, state) in states {
                let slot = &mut groups[*group as usize];
                let (function, name) = match slot {
                    None => (&methods.deserialize, "deserialize"),
                    Some(_) => (&methods.merge, "merge"),
                };
                let function = function.as_ref().ok_or_else(|| cannot(signature, name))?.clone().restore(ctx)?;
                let this = group_of(ctx, &blueprint, methods, slot)?;
                let _: Js = function.call((This(this), state.as_str()))?;
            }
            Ok(())
        })
    }
}

/// Answers of an aggregate with its own emit.
pub struct Answers {
    pub groups: Vec<u32>,
    pub values: ColumnBuilder,
}

/// The object of a group, made when it is first needed.
fn group_of<'js>(
    ctx: &Ctx<'js>,
    blueprint: &Object<'js>,
    methods: &Methods,
    slot: &mut Option<Group>,
) -> Outcome<Object<'js>> {
    if let Some(group) = slot {
        return Ok(group.clone().restore(ctx)?);
    }
    let object = Object::new_proto(ctx.clone(), Some(blueprint))?;
    let initialize = methods.initialize.clone().restore(ctx)?;
    let made: rquickjs::Result<Js> = initialize.call((This(object.clone()),));
    made.map_err(|e| Failure::Within("initialize", Code::UDF_INTERNAL_ERROR, e))?;
    *slot = Some(Persistent::save(ctx, object.clone()));
    Ok(object)
}

fn malformed(text: String) -> Error {
    Error::new(Code::UDF_COMPILE_ERROR, text)
        .hint("{ initialize: function() {…}, process: function(values) {…}, finalize: function() {…} }")
}

fn cannot(signature: &Signature, method: &str) -> Error {
    let text = format!("aggregate function \"{}\" has no function '{method}', so that its state", signature.name);
    let error = Error::new(Code::NOT_IMPLEMENTED, format!("{text} cannot be kept or put together"));
    error.hint("functions serialize, deserialize and merge in its code")
}

fn returned(signature: &Signature, what: &str) -> Error {
    let text = format!("finalize of JavaScript function \"{}\" returned {what}", signature.name);
    Error::new(Code::UDF_INTERNAL_ERROR, text)
}

/// Errors: UDF_COMPILE_ERROR for a property that is neither a function of a known name nor `has_customized_emit`.
fn shape(object: &Object<'_>, name: &str) -> Outcome<Shape> {
    let mut shape = Shape::default();
    for key in object.own_keys::<String>(Filter::new().string()) {
        let key = key?;
        let value: Js = object.get(key.as_str())?;
        if key == OWN_EMIT {
            shape.own_emit = value.as_bool().ok_or_else(|| {
                malformed(format!(
                    "{OWN_EMIT} of aggregate function \"{name}\" is {} instead of a boolean",
                    value::described(&value)
                ))
            })?;
            continue;
        }
        if !value.is_function() {
            let text = format!("property '{key}' of aggregate function \"{name}\" is no function");
            return Err(malformed(text).into());
        }
        match key.as_str() {
            "serialize" => shape.serialize = true,
            "deserialize" => shape.deserialize = true,
            _ => {}
        }
    }
    for method in NEEDED {
        if !object.get::<_, Js>(method)?.is_function() {
            return Err(malformed(format!("aggregate function \"{name}\" has no function '{method}'")).into());
        }
    }
    Ok(shape)
}

/// What `process` of an aggregate with its own emit says: how many results there are.
fn results_ready(signature: &Signature, ready: &Js<'_>) -> Result<usize> {
    if ready.is_undefined() {
        return Ok(0);
    }
    match ready.as_number() {
        Some(number) => Ok(if number >= 1.0 { number as usize } else { 0 }),
        None => {
            let text = format!(
                "process of JavaScript function \"{}\" returned {} instead of the number of results that are ready",
                signature.name,
                value::described(ready)
            );
            Err(Error::new(Code::TYPE_MISMATCH, text))
        }
    }
}

fn take_results<'js>(
    ctx: &Ctx<'js>,
    signature: &Signature,
    result: &Js<'js>,
    ready: usize,
    group: u32,
    answers: &mut Answers,
) -> Outcome<()> {
    let Some(results) = result.as_array() else {
        return Err(returned(signature, &format!("{} instead of an array of results", value::described(result))).into());
    };
    if results.len() != ready {
        let text = format!("{} results where process announced {ready}", results.len());
        return Err(returned(signature, &text).into());
    }
    for at in 0..ready {
        value::append(ctx, &mut answers.values, &results.get::<Js>(at)?, &signature.name)?;
        answers.groups.push(group);
    }
    Ok(())
}
