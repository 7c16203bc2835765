//! Input rows per second of the S1 to S5 workloads, pushed through built pipelines from memory by one thread.
//!
//! In: optionally the number of rows (5,000,000 without). Out: one line for each case with rows per second, rows answered
//! and a checksum of the first aggregate.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, TimestampMillisecondArray};
use arrow::datatypes::UInt64Type;
use hydron_base::Result;
use hydron_base::limit::BATCH_ROWS_MAX;
use hydron_base::world::{SystemClock, WallTime};
use hydron_flow::{BuildOptions, HostContext, Msg, Pipeline, Query, Rows, build};
use hydron_func::call::{ArgInfo, BindContext};
use hydron_func::{EvalContext, Registry};
use hydron_plan::node::{Aggregate, Grouping, Interval, WindowGroup};
use hydron_plan::*;
use hydron_types::{Batch, Field, IntervalUnit, LogicalType, Schema, Value, Zone};
use std::sync::Arc;
use std::time::Instant;

const TS: usize = 0;
const DEVICE: usize = 1;
const KEY: usize = 2;
const VALUE: usize = 3;

fn main() -> Result<()> {
    let rows: u64 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(5_000_000);
    let batches = readings(rows);
    println!("{rows} rows in {} batches", batches.len());
    let after_watermark = Emit { delay: Some(seconds(1)), ..emit(Trigger::AfterWatermark) };
    // Kept by window instead of by pane, with the same answers at the close.
    let by_window = Emit { delay: Some(seconds(1)), ..emit(Trigger::Periodic(1_000_000_000)) };
    let cases = [
        ("S1 filter and project", filtered()?),
        (
            "S2 global count, sum",
            aggregate(scan(), &[], &[("count", None), ("sum", Some(VALUE))], emit(Trigger::Periodic(1_000)))?,
        ),
        ("S3 tumble 5s by device", windowed(tumble(5), after_watermark.clone())?),
        (
            "S4 by key, 1 M keys",
            aggregate(
                scan(),
                &[KEY],
                &[("count", None), ("sum", Some(VALUE)), ("max", Some(VALUE))],
                emit(Trigger::Periodic(1_000)),
            )?,
        ),
        ("S5 hop 10s every 2s", windowed(hop(2, 10), after_watermark.clone())?),
        ("S5 kept by window", windowed(hop(2, 10), by_window)?),
        ("by device, on update", aggregate(scan(), &[DEVICE], &[("count", None)], emit(Trigger::OnUpdate))?),
    ];
    for (name, plan) in &cases {
        for parallelism in [1, 2] {
            let options = BuildOptions { parallelism, ..BuildOptions::default() };
            run(&format!("{name}, shards {parallelism}"), build(plan, options)?, &batches)?;
        }
    }
    for batch_rows in [64, 1_024] {
        let small: Vec<Batch> = batches.iter().take(8).flat_map(|b| cut(b, batch_rows)).collect();
        run(&format!("S3, batches of {batch_rows}"), build(&cases[2].1, BuildOptions::default())?, &small)?;
    }
    hosted(&cases[3].1, &batches)
}

/// All batches by direct calls; the clock goes as if 5 M rows came in a second, so that ticks are as rare as in life.
fn run(name: &str, mut pipeline: Pipeline, batches: &[Batch]) -> Result<()> {
    let started = Instant::now();
    let mut answers = Answers::default();
    let mut now = WallTime(0);
    pipeline.start(now);
    for batch in batches {
        let cx = EvalContext::at(now);
        pipeline.push(&cx, 0, Msg::Rows(Rows::insert(batch.clone())), &mut answers)?;
        now = WallTime(now.0 + batch.rows() as i64 / 5);
        if pipeline.next_timer().is_some_and(|t| t <= now) {
            pipeline.on_timer(&EvalContext::at(now), &mut answers)?;
        }
    }
    pipeline.push(&EvalContext::at(now), 0, Msg::End, &mut answers)?;
    report(name, batches, started, &answers, pipeline.stats().rows_late);
    Ok(())
}

/// One query as the server runs it: tasks and queues included.
fn hosted(plan: &Plan, batches: &[Batch]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| hydron_base::Error::bug(e.to_string()))?;
    for parallelism in [1, 2] {
        let started = Instant::now();
        let pipeline = build(plan, BuildOptions { parallelism, ..BuildOptions::default() })?;
        let context = HostContext::new(Arc::new(SystemClock), runtime.handle().clone());
        let reader = hydron_flow::host::ValuesReader::new(batches.to_vec());
        let mut answers = Answers::default();
        runtime.block_on(async {
            let mut query = Query::start(pipeline, vec![Box::new(reader)], context)?;
            while let Some(answer) = query.next_answer().await? {
                hydron_flow::Output::push(&mut answers, Msg::Rows(answer))?;
            }
            Ok::<_, hydron_base::Error>(())
        })?;
        report(&format!("S4 hosted, shards {parallelism}"), batches, started, &answers, 0);
    }
    Ok(())
}

fn report(name: &str, batches: &[Batch], started: Instant, answers: &Answers, late: u64) {
    let rows: usize = batches.iter().map(Batch::rows).sum();
    let seconds = started.elapsed().as_secs_f64();
    let rate = rows as f64 / seconds / 1e6;
    println!(
        "{name:<50} {rate:>8.1} M rows/s  {:>9} rows out  sum of counts {:>10}  late {late}",
        answers.rows, answers.counts
    );
}

/// Takes all answers and keeps two numbers.
#[derive(Default)]
struct Answers {
    rows: usize,
    counts: u64,
}

impl hydron_flow::Output for Answers {
    fn push(&mut self, msg: Msg) -> Result<()> {
        if let Msg::Rows(rows) = msg {
            self.rows += rows.len();
            let counts = rows.batch().columns.iter().find_map(|c| c.as_primitive_opt::<UInt64Type>());
            self.counts += counts.map_or(0, |c| c.values().iter().sum());
        }
        Ok(())
    }
}

fn cut(batch: &Batch, rows: usize) -> Vec<Batch> {
    (0..batch.rows()).step_by(rows).map(|at| batch.slice(at, rows.min(batch.rows() - at))).collect()
}

/// A 32-bit hash of row `i` for column `k`.
fn mixed(i: u64, k: usize) -> u64 {
    const FACTORS: [u64; 4] = [2_654_435_761, 2_246_822_519, 3_266_489_917, 668_265_263];
    let a = ((i + 42) * FACTORS[k]) % (1 << 32);
    ((a / 65_536) * 40_503 + (a % 65_536) * 2_654_435 + 977 * k as u64 + 12_345) % (1 << 32)
}

/// 10,000 rows of event time a second.
fn readings(rows: u64) -> Vec<Batch> {
    let schema = schema();
    let size = BATCH_ROWS_MAX as u64;
    let batches = (0..rows.div_ceil(size)).map(|n| {
        let range = n * size..rows.min((n + 1) * size);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMillisecondArray::from_iter_values(
                range.clone().map(|i| 1_704_067_200_000 + i as i64 / 10),
            )),
            Arc::new(Int32Array::from_iter_values(range.clone().map(|i| (mixed(i, 0) / 64 % 1_000) as i32))),
            Arc::new(Int32Array::from_iter_values(range.clone().map(|i| (mixed(i, 1) / 64 % 1_000_000) as i32))),
            Arc::new(Float64Array::from_iter_values(range.map(|i| (mixed(i, 2) / 16 % 1_000_000) as f64 / 1_000.0))),
        ];
        let rows = columns[0].len();
        Batch::new(Arc::clone(&schema), columns, rows)
    });
    batches.collect()
}

fn schema() -> Arc<Schema> {
    let types = [LogicalType::DateTime64(3, None), LogicalType::Int32, LogicalType::Int32, LogicalType::Float64];
    let names = ["ts", "device_id", "key", "value"];
    Arc::new(Schema::new(names.into_iter().zip(types).map(|(n, t)| Field::new(n, t)).collect()))
}

fn plan_of(node: Node, fields: Vec<Field>) -> Plan {
    Plan { node, schema: Arc::new(Schema::new(fields)), streaming: true, change: Change::Append }
}

fn scan() -> Plan {
    let fields = schema().fields.clone();
    let stream = StreamInfo {
        database: "default".into(),
        name: "stream".into(),
        uuid: uuid::Uuid::nil(),
        kind: StreamKind::Stream,
        mode: StreamMode::Append,
        columns: fields.iter().map(|f| ColumnInfo::new(Arc::clone(&f.name), f.ty.clone())).collect(),
        primary_key: vec![],
        order_by: String::new(),
        partition_by: String::new(),
        version_column: None,
        shards: 1,
        sharding_expr: String::new(),
        engine: "Stream".into(),
        engine_args: Vec::new(),
        sample_by: String::new(),
        settings: vec![],
        comment: String::new(),
    };
    let columns = (0..fields.len()).map(ScanColumn::Stored).collect();
    plan_of(
        Node::Scan(Scan {
            stream: Arc::new(stream),
            columns,
            seek: Seek::Latest,
            pruning: None,
            limit_hint: 0,
            replay: None,
            is_final: false,
        }),
        fields,
    )
}

fn column(plan: &Plan, at: usize) -> Expr {
    Expr::column(at, plan.schema.fields[at].ty.clone())
}

fn call(name: &str, args: Vec<Expr>) -> Result<Expr> {
    let info = |a: &Expr| match a.as_literal() {
        Some(v) => ArgInfo::constant(a.ty.clone(), v.clone()),
        None => ArgInfo::column(a.ty.clone()),
    };
    let infos: Vec<ArgInfo> = args.iter().map(info).collect();
    let bound = Registry::builtin().bind_scalar(name, &BindContext::default(), &infos)?;
    Ok(Expr {
        kind: ExprKind::Call { name: name.into(), kernel: bound.kernel, args, volatility: bound.volatility },
        ty: bound.ty,
    })
}

/// `SELECT value * 1.8 + 32 WHERE value > 500`.
fn filtered() -> Result<Plan> {
    let number = |v: f64| Expr::literal(Value::Float64(v), LogicalType::Float64);
    let input = scan();
    let predicate = call("greater", vec![column(&input, VALUE), number(500.0)])?;
    let fields = input.schema.fields.clone();
    let filtered = plan_of(Node::Filter { input: Box::new(input), predicate }, fields);
    let scaled = call("multiply", vec![column(&filtered, VALUE), number(1.8)])?;
    let shifted = call("plus", vec![scaled, number(32.0)])?;
    let fields = vec![Field::new("f", shifted.ty.clone())];
    Ok(plan_of(Node::Project { input: Box::new(filtered), exprs: vec![shifted] }, fields))
}

fn seconds(count: i64) -> Interval {
    Interval { count, unit: IntervalUnit::Second }
}

fn emit(trigger: Trigger) -> Emit {
    Emit { trigger, changelog: false, delay: None, timeout_ms: None, repeat: false }
}

fn window(kind: WindowKind) -> Plan {
    let input = scan();
    let mut fields = input.schema.fields.clone();
    fields.push(Field::new("window_start", LogicalType::DateTime64(3, None)));
    fields.push(Field::new("window_end", LogicalType::DateTime64(3, None)));
    let window = WindowSpec { kind, time: TS, zone: Zone::UTC, processing_time: false };
    plan_of(Node::AssignWindow { input: Box::new(input), window }, fields)
}

fn tumble(size: i64) -> Plan {
    window(WindowKind::Tumble { size: seconds(size) })
}

fn hop(slide: i64, size: i64) -> Plan {
    window(WindowKind::Hop { slide: seconds(slide), size: seconds(size) })
}

/// Count and average by window and device.
fn windowed(input: Plan, emit: Emit) -> Result<Plan> {
    let width = input.schema.len();
    aggregate(input, &[width - 2, width - 1, DEVICE], &[("count", None), ("avg", Some(VALUE))], emit)
}

fn aggregate(input: Plan, keys: &[usize], aggs: &[(&str, Option<usize>)], emit: Emit) -> Result<Plan> {
    let keys: Vec<Expr> = keys.iter().map(|k| column(&input, *k)).collect();
    let mut calls = Vec::new();
    for (name, arg) in aggs {
        let args: Vec<Expr> = arg.iter().map(|a| column(&input, *a)).collect();
        let infos: Vec<ArgInfo> = args.iter().map(|a| ArgInfo::column(a.ty.clone())).collect();
        let bound = Registry::builtin().bind_aggregate(name, &BindContext::default(), &infos, false)?;
        calls.push(AggCall { name: (*name).into(), bound, args, filter: None });
    }
    let mut fields: Vec<Field> =
        keys.iter().enumerate().map(|(i, k)| Field::new(format!("k{i}"), k.ty.clone())).collect();
    fields.extend(calls.iter().map(|c| Field::new(Arc::clone(&c.name), c.bound.ty.clone())));
    let is_windowed = matches!(input.node, Node::AssignWindow { .. });
    let node = Aggregate {
        input: Box::new(input),
        keys,
        aggs: calls,
        grouping: Grouping::Plain,
        window: is_windowed.then_some(WindowGroup { start_key: Some(0), end_key: Some(1) }),
        emit: Some(emit),
        emit_version: false,
        partition_keys: 0,
        close: None,
    };
    Ok(plan_of(Node::Aggregate(node), fields))
}
