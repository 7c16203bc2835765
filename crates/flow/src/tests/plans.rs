//! Plans over the stream `s (t datetime64(3), k string, i int64)`, built as the binder would.

use hydron_func::call::{ArgInfo, BindContext};
use hydron_func::registry::Registry;
use hydron_plan::node::{Aggregate, Grouping, Interval, WindowGroup};
use hydron_plan::*;
use hydron_types::{Batch, Field, IntervalUnit, LogicalType, Schema, Value, Zone};
use std::sync::Arc;

pub const T: usize = 0;
pub const K: usize = 1;
pub const I: usize = 2;

/// A row: milliseconds, key, number.
pub type Row = (i64, String, i64);

pub fn time_type() -> LogicalType {
    LogicalType::DateTime64(3, None)
}

pub fn schema() -> Arc<Schema> {
    let fields = [("t", time_type()), ("k", LogicalType::String), ("i", LogicalType::Int64)];
    Arc::new(Schema::new(fields.into_iter().map(|(n, t)| Field::new(n, t)).collect()))
}

pub fn batch(rows: &[Row]) -> Batch {
    let mut columns: Vec<_> = schema().fields.iter().map(|f| hydron_types::ColumnBuilder::new(&f.ty)).collect();
    for (t, k, i) in rows {
        columns[T].append(&Value::Time(*t)).unwrap();
        columns[K].append(&Value::string(k)).unwrap();
        columns[I].append(&Value::Int(*i)).unwrap();
    }
    let arrays = columns.iter_mut().map(|c| c.finish().unwrap()).collect();
    Batch::new(schema(), arrays, rows.len())
}

fn plan(node: Node, fields: Vec<Field>, change: Change) -> Plan {
    Plan { node, schema: Arc::new(Schema::new(fields)), streaming: true, change }
}

pub fn scan() -> Plan {
    scan_of(1, Change::Append)
}

/// A scan of so many shards. A changelog has `_tp_delta` as its fourth column.
pub fn scan_of(shards: u32, change: Change) -> Plan {
    let mut fields = schema().fields.clone();
    if change != Change::Append {
        fields.push(Field::new("_tp_delta", LogicalType::Int8));
    }
    let stream = StreamInfo {
        database: "default".into(),
        name: "s".into(),
        uuid: uuid::Uuid::nil(),
        kind: StreamKind::Stream,
        mode: StreamMode::Append,
        columns: fields.iter().map(|f| ColumnInfo::new(Arc::clone(&f.name), f.ty.clone())).collect(),
        primary_key: vec![],
        order_by: String::new(),
        partition_by: String::new(),
        version_column: None,
        shards,
        sharding_expr: String::new(),
        engine: "Stream".into(),
        engine_args: Vec::new(),
        sample_by: String::new(),
        settings: vec![],
        comment: String::new(),
    };
    let columns = (0..fields.len()).map(ScanColumn::Stored).collect();
    let scan = Scan {
        stream: Arc::new(stream),
        columns,
        seek: Seek::Latest,
        pruning: None,
        limit_hint: 0,
        replay: None,
        is_final: false,
    };
    plan(Node::Scan(scan), fields, change)
}

pub fn column(input: &Plan, at: usize) -> Expr {
    Expr::column(at, input.schema.fields[at].ty.clone())
}

/// `name(args…)` of the built-in functions.
pub fn call(name: &str, args: Vec<Expr>) -> Expr {
    let infos: Vec<ArgInfo> = args
        .iter()
        .map(|a| match a.as_literal() {
            Some(v) => ArgInfo::constant(a.ty.clone(), v.clone()),
            None => ArgInfo::column(a.ty.clone()),
        })
        .collect();
    let bound = Registry::builtin().bind_scalar(name, &BindContext::default(), &infos).unwrap();
    let kind = ExprKind::Call { name: name.into(), kernel: bound.kernel, args, volatility: bound.volatility };
    Expr { kind, ty: bound.ty }
}

pub fn int(v: i64) -> Expr {
    Expr::literal(Value::Int(v), LogicalType::Int64)
}

pub fn filter(input: Plan, predicate: Expr) -> Plan {
    let (fields, change) = (input.schema.fields.clone(), input.change);
    plan(Node::Filter { input: Box::new(input), predicate }, fields, change)
}

pub fn project(input: Plan, exprs: Vec<Expr>) -> Plan {
    let fields = exprs.iter().enumerate().map(|(i, e)| Field::new(format!("c{i}"), e.ty.clone())).collect();
    let change = input.change;
    plan(Node::Project { input: Box::new(input), exprs }, fields, change)
}

pub fn seconds(count: i64) -> Interval {
    Interval { count, unit: IntervalUnit::Second }
}

pub fn window(input: Plan, kind: WindowKind) -> Plan {
    let mut fields = input.schema.fields.clone();
    fields.push(Field::new("window_start", time_type()));
    fields.push(Field::new("window_end", time_type()));
    let window = WindowSpec { kind, time: T, zone: Zone::UTC, processing_time: false };
    plan(Node::AssignWindow { input: Box::new(input), window }, fields, Change::Append)
}

pub fn tumble(size: i64) -> Plan {
    window(scan(), WindowKind::Tumble { size: seconds(size) })
}

pub fn hop(slide: i64, size: i64) -> Plan {
    window(scan(), WindowKind::Hop { slide: seconds(slide), size: seconds(size) })
}

pub fn session(timeout: i64, max_size: i64) -> Plan {
    let (timeout, max_size) = (seconds(timeout), seconds(max_size));
    let kind =
        WindowKind::Session { timeout, max_size, start: None, start_inclusive: true, end: None, end_inclusive: true };
    window(scan(), kind)
}

pub fn emit(trigger: Trigger) -> Emit {
    Emit { trigger, changelog: false, delay: None, timeout_ms: None, repeat: false }
}

pub fn changelog(trigger: Trigger) -> Emit {
    Emit { changelog: true, ..emit(trigger) }
}

/// GROUP BY, step by step.
pub struct Group {
    node: Aggregate,
}

impl Group {
    pub fn of(input: Plan) -> Group {
        let node = Aggregate {
            input: Box::new(input),
            keys: vec![],
            aggs: vec![],
            grouping: Grouping::Plain,
            window: None,
            emit: None,
            emit_version: false,
            partition_keys: 0,
            close: None,
        };
        Group { node }
    }

    /// `window_start, window_end` as the next two keys, with the columns where [`window`] puts them.
    pub fn by_window(mut self) -> Group {
        let width = self.node.input.schema.len();
        let at = self.node.keys.len();
        self = self.by(width - 2).by(width - 1);
        self.node.window = Some(WindowGroup { start_key: Some(at), end_key: Some(at + 1) });
        self
    }

    pub fn by(mut self, at: usize) -> Group {
        let key = column(&self.node.input, at);
        self.node.keys.push(key);
        self
    }

    pub fn agg(mut self, name: &str, args: &[usize]) -> Group {
        let args: Vec<Expr> = args.iter().map(|a| column(&self.node.input, *a)).collect();
        let infos: Vec<ArgInfo> = args.iter().map(|a| ArgInfo::column(a.ty.clone())).collect();
        let bound = Registry::builtin().bind_aggregate(name, &BindContext::default(), &infos, false).unwrap();
        self.node.aggs.push(AggCall { name: name.into(), bound, args, filter: None });
        self
    }

    pub fn count(self) -> Group {
        self.agg("count", &[])
    }

    pub fn emit(mut self, emit: Emit) -> Group {
        self.node.emit = Some(emit);
        self
    }

    pub fn version(mut self) -> Group {
        self.node.emit_version = true;
        self
    }

    /// The first `keys` keys make substreams.
    pub fn substreams(mut self, keys: usize) -> Group {
        self.node.partition_keys = keys;
        self
    }

    pub fn plan(self) -> Plan {
        let node = self.node;
        let mut fields: Vec<Field> =
            node.keys.iter().enumerate().map(|(i, k)| Field::new(format!("k{i}"), k.ty.clone())).collect();
        fields.extend(node.aggs.iter().map(|a| Field::new(Arc::clone(&a.name), a.bound.ty.clone())));
        if node.emit_version {
            fields.push(Field::new("emit_version", LogicalType::Int64));
        }
        let is_changelog = node.emit.as_ref().is_some_and(|e| e.changelog);
        if is_changelog {
            fields.push(Field::new("_tp_delta", LogicalType::Int8));
        }
        plan(Node::Aggregate(node), fields, if is_changelog { Change::Changelog } else { Change::Append })
    }
}

pub fn limit(input: Plan, offset: u64, limit: u64) -> Plan {
    let (fields, change) = (input.schema.fields.clone(), input.change);
    plan(Node::Limit { input: Box::new(input), offset, limit: Some(limit), ties: vec![] }, fields, change)
}

/// Any node over one input that keeps its columns.
pub fn same_columns(input: Plan, node: impl FnOnce(Box<Plan>) -> Node) -> Plan {
    let (fields, change) = (input.schema.fields.clone(), input.change);
    plan(node(Box::new(input)), fields, change)
}

pub fn union(inputs: Vec<Plan>) -> Plan {
    let (fields, change) = (inputs[0].schema.fields.clone(), inputs[0].change);
    plan(Node::Union { inputs }, fields, change)
}

/// `rows` with a fourth column of signs, as a changelog stream stores them.
pub fn signed_batch(rows: &[Row], signs: &[i8]) -> Batch {
    let rows = batch(rows);
    let mut columns = rows.columns.clone();
    columns.push(Arc::new(arrow::array::Int8Array::from(signs.to_vec())));
    let mut fields = rows.schema.fields.clone();
    fields.push(Field::new("_tp_delta", LogicalType::Int8));
    Batch::new(Arc::new(Schema::new(fields)), columns, rows.rows())
}
