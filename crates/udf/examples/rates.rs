//! Rows a second of JavaScript functions: `cargo run --release -p hydron-udf --example rates [rows of a batch]`.

use arrow::array::{ArrayRef, BinaryArray, Float64Array};
use hydron_base::world::WallTime;
use hydron_func::{ArgInfo, BindContext, Datum, EvalContext, Registry};
use hydron_types::LogicalType;
use hydron_udf::{Code, Definition, Signature};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SUM: &str = "{ initialize: function() { this.n = 0; },
    process: function(v) { for (let i = 0; i < v.length; i++) this.n += v[i]; },
    finalize: function() { return this.n; } }";

fn registry(name: &str, ty: LogicalType, aggregate: bool, source: &str) -> Registry {
    let signature = Signature { name: Arc::from(name), args: vec![(Arc::from("v"), ty.clone())], returns: ty };
    let code = Code::JavaScript { aggregate, source: Arc::from(source) };
    let definition = Definition { signature: Arc::new(signature), code };
    let mut registry = Registry::default();
    definition.function(None).expect("types that JavaScript has").register(name, &mut registry);
    registry
}

/// Runs `batch` for a second and prints what came of it.
fn measure(what: &str, rows: usize, mut batch: impl FnMut()) {
    batch();
    let (started, mut batches) = (Instant::now(), 0_u64);
    while started.elapsed() < Duration::from_secs(1) {
        batch();
        batches += 1;
    }
    let rate = (batches * rows as u64) as f64 / started.elapsed().as_secs_f64();
    println!("{what:<44} {:>8.2} M rows/s", rate / 1e6);
}

/// As a query runs it: on a thread of a runtime with several.
fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    runtime.block_on(runtime.spawn(async { all() })).expect("no panic");
}

fn all() {
    let rows: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(8_192);
    let cx = BindContext::default();
    let floats: ArrayRef = Arc::new(Float64Array::from_iter_values((0..rows).map(|n| n as f64 + 0.5)));
    let texts: ArrayRef = Arc::new(BinaryArray::from_iter_values((0..rows).map(|n| format!("text {n}"))));
    let scalars = [
        (
            "scalar, v + 1 in a loop",
            LogicalType::Float64,
            &floats,
            "function f(v) { for (let i = 0; i < v.length; i++) v[i] += 1; return v; }",
        ),
        ("scalar, the same array", LogicalType::Float64, &floats, "function f(v) { return v; }"),
        (
            "scalar, text in upper case",
            LogicalType::String,
            &texts,
            "function f(v) { return v.map(t => t.toUpperCase()); }",
        ),
    ];
    for (what, ty, column, source) in scalars {
        let registry = registry("f", ty.clone(), false, source);
        let bound = registry.bind_scalar("f", &cx, &[ArgInfo::column(ty)]).expect("a call of one argument");
        let at = EvalContext::at(WallTime(0));
        measure(what, rows, || {
            drop(bound.kernel.eval(&at, &[Datum::Array(Arc::clone(column))], rows).expect("an answer"))
        });
    }
    let registry_of_one = registry("f", LogicalType::Float64, false, "function f(v) { return v; }");
    let bound = registry_of_one
        .bind_scalar("f", &cx, &[ArgInfo::column(LogicalType::Float64)])
        .expect("a call of one argument");
    let (at, one) = (EvalContext::at(WallTime(0)), [Datum::Array(floats.slice(0, 1))]);
    measure("scalar, batches of one row", 1, || drop(bound.kernel.eval(&at, &one, 1).expect("an answer")));
    for groups in [1, 16, 1_024] {
        let registry = registry("u", LogicalType::Float64, true, SUM);
        let args = [ArgInfo::column(LogicalType::Float64)];
        let bound = registry.bind_aggregate("u", &cx, &args, false).expect("a call of one argument");
        let mut state = bound.aggregate.new_state();
        state.resize(groups);
        let of: Vec<u32> = (0..rows).map(|n| (n % groups) as u32).collect();
        let columns = [Arc::clone(&floats)];
        measure(&format!("aggregate, a sum in {groups} groups"), rows, || {
            state.update(&of, &columns, None).expect("a sum")
        });
    }
}
