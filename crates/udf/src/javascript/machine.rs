//! One JavaScript engine with its limits.
//!
//! In: code of ours that calls code of the user. Out: its result, or what went wrong as one of our errors. Promise: the
//! user's code ends by the limit of time or with its query, whatever it does; its exceptions come with message, line and
//! stack; an engine that was refused memory answers so, even where the user's code caught it.

use super::Limits;
use super::memory::{Counted, Memory};
use hydron_base::{Code, Error, Result};
use parking_lot::Mutex;
use rquickjs::context::EvalOptions;
use rquickjs::{Context, Ctx, Object, Runtime, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

/// Stack that the user's code may fill: threads that compute have 8 MiB and more.
const STACK_BYTES_MAX: usize = 512 << 10;

/// Characters of an exception's message and of its stack in an error, each.
const EXCEPTION_CHARS_MAX: usize = 2_048;

/// What can go wrong between our code and the user's.
pub enum Failure {
    Script(rquickjs::Error),
    /// In another function of the user than the one that was called: its name, and the code of its exceptions.
    Within(&'static str, Code, rquickjs::Error),
    Ours(Error),
}

impl From<rquickjs::Error> for Failure {
    fn from(error: rquickjs::Error) -> Failure {
        Failure::Script(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Ours(error)
    }
}

pub type Outcome<T> = std::result::Result<T, Failure>;

const RUNS: u8 = 0;
const STOPPED: u8 = 1;
const LATE: u8 = 2;

/// Looked at by the engine as it runs.
struct Watch {
    limits: Limits,
    deadline: Mutex<Option<Instant>>,
    ended: AtomicU8,
}

impl Watch {
    /// Whether the code is to end now.
    fn ends(&self) -> bool {
        let why = if self.limits.stop.is_set() {
            STOPPED
        } else if self.deadline.lock().is_some_and(|at| Instant::now() >= at) {
            LATE
        } else {
            return false;
        };
        self.ended.store(why, Ordering::Relaxed);
        true
    }
}

pub struct Machine {
    /// The user's function, for messages.
    name: Arc<str>,
    context: Context,
    _runtime: Runtime,
    memory: Arc<Memory>,
    watch: Arc<Watch>,
}

impl Machine {
    /// Errors: UDF_MEMORY_THRESHOLD_EXCEEDED (2531) where the limit does not hold an empty engine, MEMORY_LIMIT_EXCEEDED (241)
    /// where the query's does not.
    pub fn new(name: &Arc<str>, limits: Limits) -> Result<Machine> {
        let memory = Memory::new(limits.memory_bytes_max, Arc::clone(&limits.memory));
        let refused = || exceeded(name, &memory);
        let runtime = Runtime::new_with_alloc(Counted(Arc::clone(&memory))).map_err(|_| refused())?;
        runtime.set_max_stack_size(STACK_BYTES_MAX);
        let watch = Arc::new(Watch { limits, deadline: Mutex::new(None), ended: AtomicU8::new(RUNS) });
        let watched = Arc::clone(&watch);
        runtime.set_interrupt_handler(Some(Box::new(move || watched.ends())));
        let context = Context::full(&runtime).map_err(|_| refused())?;
        Ok(Machine { name: Arc::clone(name), context, _runtime: runtime, memory, watch })
    }

    /// Runs `work`, which may call the user's code. `what` names it in errors, `code` is for its exceptions.
    ///
    /// Errors: `code`; UDF_MEMORY_THRESHOLD_EXCEEDED (2531); MEMORY_LIMIT_EXCEEDED (241); TIMEOUT_EXCEEDED (159) after `javascript_max_execution_ms`;
    /// QUERY_WAS_CANCELLED (394); what `work` itself answers.
    pub fn run<T>(&mut self, what: &str, code: Code, work: impl FnOnce(&Ctx<'_>) -> Outcome<T>) -> Result<T> {
        self.watch.limits.stop.check()?;
        *self.watch.deadline.lock() = self.watch.limits.patience.and_then(|p| Instant::now().checked_add(p));
        self.watch.ended.store(RUNS, Ordering::Relaxed);
        self.context.with(|ctx| {
            let outcome = work(&ctx);
            if self.memory.is_exceeded() {
                ctx.catch();
                return Err(exceeded(&self.name, &self.memory));
            }
            let (what, code, outcome) = match outcome {
                Err(Failure::Within(what, code, error)) => (what, code, Err(Failure::Script(error))),
                other => (what, code, other),
            };
            match (outcome, self.watch.ended.load(Ordering::Relaxed)) {
                (Err(Failure::Within(..)), _) => Err(Error::bug("a failure within a failure")),
                (Ok(value), _) => Ok(value),
                (Err(Failure::Ours(error)), _) => Err(error),
                (Err(Failure::Script(_)), STOPPED) => {
                    ctx.catch();
                    self.watch.limits.stop.check()?;
                    Err(Error::new(Code::QUERY_WAS_CANCELLED, "the query was cancelled"))
                }
                (Err(Failure::Script(_)), LATE) => {
                    ctx.catch();
                    Err(self.late(what))
                }
                (Err(Failure::Script(error)), _) => {
                    let thrown = thrown(&ctx, error);
                    // Describing it may have run code of the user once more.
                    if self.memory.is_exceeded() {
                        return Err(exceeded(&self.name, &self.memory));
                    }
                    Err(Error::new(code, format!("{what} of JavaScript function \"{}\" failed: {thrown}", self.name)))
                }
            }
        })
    }

    fn late(&self, what: &str) -> Error {
        let limit = self.watch.limits.patience.map_or(0, |p| p.as_millis());
        let text = format!(
            "{what} of JavaScript function \"{}\" took more than {limit} ms for one batch, the limit javascript_max_execution_ms",
            self.name
        );
        Error::new(Code::TIMEOUT_EXCEEDED, text)
    }
}

fn exceeded(name: &str, memory: &Memory) -> Error {
    if let Some(refusal) = memory.refusal() {
        return refusal.context(format!("JavaScript function \"{name}\""));
    }
    let text = format!(
        "JavaScript function \"{name}\" needs more than {} bytes, the limit javascript_max_memory_bytes",
        memory.limit()
    );
    Error::new(Code::UDF_MEMORY_THRESHOLD_EXCEEDED, text)
}

/// Runs `source` under the name of a file, so that stacks name it.
pub fn eval<'js>(ctx: &Ctx<'js>, file: &str, source: &str) -> rquickjs::Result<Value<'js>> {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(file.to_string());
    ctx.eval_with_options(source, options)
}

/// What was thrown: `TypeError: message (line 3): at f (f:3:5) …`.
fn thrown(ctx: &Ctx<'_>, error: rquickjs::Error) -> String {
    if !error.is_exception() {
        return error.to_string();
    }
    let value = ctx.catch();
    let Some(object) = value.as_object().filter(|_| value.is_error()) else {
        return cut(&text_of(ctx, &value));
    };
    let field = |name: &str| -> String {
        object
            .get::<_, Value>(name)
            .map(|v| if v.is_undefined() { String::new() } else { text_of(ctx, &v) })
            .unwrap_or_default()
    };
    let (name, message) = (field("name"), field("message"));
    let stack = field("stack");
    let stack: Vec<&str> = stack.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let mut text = format!("{}: {}", if name.is_empty() { "Error" } else { &name }, cut(&message));
    if let Some(line) = stack.first().and_then(|frame| line_of(frame)) {
        text.push_str(&format!(" (line {line})"));
    }
    if !stack.is_empty() {
        text.push_str(&format!(", {}", cut(&stack.join(", "))));
    }
    text
}

/// The line in a frame such as `at process (f:12:7)`.
fn line_of(frame: &str) -> Option<u32> {
    let place = frame.rsplit(['(', ' ']).next()?.trim_end_matches(')');
    let mut parts = place.rsplit(':');
    let last = parts.next()?.parse::<u32>().ok()?;
    Some(parts.next().and_then(|line| line.parse().ok()).unwrap_or(last))
}

/// A value as JavaScript itself would print it.
pub fn text_of<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> String {
    let text = value.get::<rquickjs::Coerced<String>>();
    if text.is_err() {
        ctx.catch();
    }
    text.map_or_else(|_| value.type_name().to_string(), |t| t.0)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(EXCEPTION_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}

/// The function under `name`, if there is one.
pub fn method<'js>(object: &Object<'js>, name: &str) -> rquickjs::Result<Option<rquickjs::Function<'js>>> {
    let value: Value = object.get(name)?;
    Ok(value.into_function())
}
