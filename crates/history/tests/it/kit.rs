//! What the stories share: plans from parts, tables in memory, answers as text.

use futures::StreamExt;
use hydron_base::Result;
use hydron_base::world::WallTime;
use hydron_func::call::ArgInfo;
use hydron_func::{BindContext, Registry};
use hydron_history::{ExecOptions, HistoryRun, HistorySource, ScanData, execute};
use hydron_plan::node::{Aggregate, Grouping};
use hydron_plan::{
    AggCall, Change, Expr, ExprKind, Node, Plan, Scan, ScanColumn, Seek, StreamInfo, StreamKind, StreamMode,
};
use hydron_types::{Batch, ColumnBuilder, Field, LogicalType, Schema, Value, parse_type, value_at};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

pub fn ty(text: &str) -> LogicalType {
    parse_type(text).unwrap()
}

pub fn int(v: i64) -> Value {
    Value::Int(v)
}

pub fn text(v: &str) -> Value {
    Value::string(v)
}

/// Rows of named, typed columns, in batches of two.
pub fn table(columns: &[(&str, &str)], rows: &[Vec<Value>]) -> Plan {
    let schema = schema(columns);
    let batches = rows.chunks(2).map(|rows| batch(&schema, rows)).collect();
    Plan::values(schema, batches)
}

pub fn schema(columns: &[(&str, &str)]) -> Arc<Schema> {
    Arc::new(Schema::new(columns.iter().map(|(n, t)| Field::new(*n, ty(t))).collect()))
}

pub fn batch(schema: &Arc<Schema>, rows: &[Vec<Value>]) -> Batch {
    let mut builders: Vec<ColumnBuilder> = schema.fields.iter().map(|f| ColumnBuilder::new(&f.ty)).collect();
    for row in rows {
        builders.iter_mut().zip(row).for_each(|(b, v)| b.append(v).unwrap());
    }
    Batch::new(Arc::clone(schema), builders.iter_mut().map(|b| b.finish().unwrap()).collect(), rows.len())
}

pub fn col(plan: &Plan, name: &str) -> Expr {
    let i = plan.schema.index_of(name).unwrap_or_else(|| panic!("column {name}"));
    Expr::column(i, plan.schema.fields[i].ty.clone())
}

pub fn lit(t: &str, value: Value) -> Expr {
    Expr::literal(value, ty(t))
}

/// A call of a function of the registry.
pub fn call(name: &str, args: Vec<Expr>) -> Expr {
    let infos: Vec<ArgInfo> = args.iter().map(info).collect();
    let bound = Registry::builtin().bind_scalar(name, &BindContext::default(), &infos).unwrap();
    let kind = ExprKind::Call { name: Arc::from(name), kernel: bound.kernel, args, volatility: bound.volatility };
    Expr { kind, ty: bound.ty }
}

fn info(e: &Expr) -> ArgInfo {
    match e.as_literal() {
        Some(v) => ArgInfo::constant(e.ty.clone(), v.clone()),
        None => ArgInfo::column(e.ty.clone()),
    }
}

pub fn agg(name: &str, args: Vec<Expr>) -> AggCall {
    let infos: Vec<ArgInfo> = args.iter().map(info).collect();
    let bound = Registry::builtin().bind_aggregate(name, &BindContext::default(), &infos, false).unwrap();
    AggCall { name: Arc::from(name), bound, args, filter: None }
}

pub fn group(input: Plan, keys: Vec<Expr>, aggs: Vec<AggCall>, grouping: Grouping) -> Plan {
    let types = keys.iter().map(|k| k.ty.clone()).chain(aggs.iter().map(|a| a.bound.ty.clone()));
    let fields = types.enumerate().map(|(i, t)| Field::new(format!("g{i}"), t)).collect();
    let node = Node::Aggregate(Aggregate {
        input: Box::new(input),
        keys,
        aggs,
        grouping,
        window: None,
        emit: None,
        emit_version: false,
        partition_keys: 0,
        close: None,
    });
    Plan { node, schema: Arc::new(Schema::new(fields)), streaming: false, change: Change::Append }
}

pub fn numbers(start: u64, count: Option<u64>) -> Plan {
    let schema = schema(&[("number", "uint64")]);
    Plan { node: Node::Numbers { start, count }, schema, streaming: false, change: Change::Append }
}

pub fn scan(columns: &[(&str, &str)]) -> Plan {
    let schema = schema(columns);
    let stream = StreamInfo {
        database: "default".into(),
        name: "s".into(),
        uuid: Uuid::nil(),
        kind: StreamKind::Stream,
        mode: StreamMode::Append,
        columns: schema
            .fields
            .iter()
            .map(|f| hydron_plan::ColumnInfo::new(Arc::clone(&f.name), f.ty.clone()))
            .collect(),
        primary_key: Vec::new(),
        order_by: String::new(),
        partition_by: String::new(),
        version_column: None,
        shards: 1,
        sharding_expr: String::new(),
        engine: "Stream".into(),
        engine_args: Vec::new(),
        sample_by: String::new(),
        settings: Vec::new(),
        comment: String::new(),
    };
    let scan = Scan {
        stream: Arc::new(stream),
        columns: (0..schema.len()).map(ScanColumn::Stored).collect(),
        seek: Seek::Earliest,
        pruning: None,
        limit_hint: 0,
        replay: None,
        is_final: false,
    };
    Plan { node: Node::Scan(scan), schema, streaming: false, change: Change::Append }
}

/// A source whose scans answer what is put in, in order.
#[derive(Default)]
pub struct Tables(pub Mutex<Vec<ScanData>>);

impl HistorySource for Tables {
    fn scan(&self, _: &Scan) -> Result<ScanData> {
        Ok(self.0.lock().unwrap().remove(0))
    }
}

pub fn options() -> ExecOptions {
    ExecOptions { threads: 2, ..ExecOptions::at(WallTime(0)) }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub fn start(
    plan: &Plan,
    source: &dyn HistorySource,
    options: &ExecOptions,
    rt: &tokio::runtime::Runtime,
) -> Result<HistoryRun> {
    execute(plan, source, options, rt.handle())
}

/// All rows; each must have the layout of the schema.
pub fn collect(plan: &Plan, source: &dyn HistorySource, options: &ExecOptions) -> Result<Vec<Batch>> {
    let rt = runtime();
    let mut run = start(plan, source, options, &rt)?;
    rt.block_on(async {
        let mut batches = Vec::new();
        while let Some(batch) = run.rows.next().await {
            let batch = batch?;
            assert_eq!(batch.schema, plan.schema);
            batch.to_arrow().expect("columns have the layout of the schema");
            batches.push(batch);
        }
        Ok(batches)
    })
}

/// One line for each row: `1, 'a', NULL`.
pub fn lines(batches: &[Batch]) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in batches {
        for row in 0..batch.rows() {
            let fields = batch.schema.fields.iter().zip(&batch.columns);
            let values: Vec<String> = fields.map(|(f, c)| show(&value_at(c, &f.ty, row))).collect();
            lines.push(values.join(", "));
        }
    }
    lines
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Int(v) => v.to_string(),
        Value::UInt(v) => v.to_string(),
        Value::Float64(v) => v.to_string(),
        Value::Bool(v) => v.to_string(),
        Value::Bytes(v) => format!("'{}'", String::from_utf8_lossy(v)),
        Value::Array(v) => format!("[{}]", v.iter().map(show).collect::<Vec<_>>().join(" ")),
        other => format!("{other:?}"),
    }
}

pub fn rows(plan: &Plan) -> Vec<String> {
    lines(&collect(plan, &Tables::default(), &options()).unwrap_or_else(|e| panic!("{e}")))
}

pub fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// The error a plan ends with.
pub fn code(plan: &Plan, options: &ExecOptions) -> (u32, String) {
    let e = collect(plan, &Tables::default(), options).expect_err("the plan fails");
    (e.code.number() as u32, e.message)
}
