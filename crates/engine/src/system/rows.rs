//! Rows of the system tables, as of now.

use super::table;
use crate::catalog::Object;
use crate::engine::Inner;
use crate::query::{Progress, QueryInfo};
use crate::stream::StreamStore;
use hydron_base::world::WallTime;
use hydron_base::{Error, Result, Settings};
use hydron_plan::ColumnDefault;
use hydron_sql::secret::mask;
use hydron_types::column::ColumnBuilder;
use hydron_types::{Batch, Field, Schema, Value};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// All rows of `system.name`. `settings` are those of the asking query.
pub fn rows(engine: &Inner, name: &str, settings: &Settings) -> Result<Batch> {
    let rows = match name {
        "one" => vec![vec![Value::UInt(0)]],
        "databases" => databases(engine),
        "streams" | "tables" => streams(engine),
        "columns" => columns(engine),
        "functions" => functions(engine),
        "settings" => setting_rows(settings),
        "processes" => return processes(engine, &engine.queries.running()),
        "query_log" => query_log(engine),
        "errors" => errors(engine),
        "crash_log" => super::crashes::crash_log(engine),
        "quarantine" => super::crashes::quarantine(hydron_board::Board::current()),
        "build_options" => vec![
            vec![Value::string("VERSION_FULL"), Value::string(concat!("hydron ", env!("CARGO_PKG_VERSION")))],
            vec![Value::string("SYSTEM"), Value::string(std::env::consts::OS)],
            vec![Value::string("BUILD_TYPE"), Value::string(if cfg!(debug_assertions) { "debug" } else { "release" })],
        ],
        "time_zones" => chrono_tz::TZ_VARIANTS.iter().map(|z| vec![Value::string(z.name())]).collect(),
        "parts" => parts(engine),
        other => return Err(Error::bug(format!("system.{other} has columns and no rows"))),
    };
    batch(name, rows)
}

fn batch(name: &str, rows: Vec<Vec<Value>>) -> Result<Batch> {
    let info = table(name).ok_or_else(|| Error::bug(format!("there is no system.{name}")))?;
    let fields = info.columns.iter().map(|c| Field::new(Arc::clone(&c.name), c.ty.clone())).collect();
    let mut builders: Vec<ColumnBuilder> = info.columns.iter().map(|c| ColumnBuilder::new(&c.ty)).collect();
    for row in &rows {
        for (builder, value) in builders.iter_mut().zip(row) {
            builder.append(value)?;
        }
    }
    let arrays = builders.iter_mut().map(|b| b.finish()).collect::<Result<_>>()?;
    Ok(Batch::new(Arc::new(Schema::new(fields)), arrays, rows.len()))
}

fn flag(b: bool) -> Value {
    Value::UInt(u64::from(b))
}

fn seconds(t: WallTime) -> Value {
    Value::Time(t.0.div_euclid(1_000_000))
}

fn databases(engine: &Inner) -> Vec<Vec<Value>> {
    let state = engine.catalog.snapshot();
    let mut rows: Vec<Vec<Value>> = state
        .databases
        .values()
        .map(|d| {
            vec![
                Value::string(&*d.name),
                Value::string(&*d.engine),
                Value::Uuid(*d.uuid.as_bytes()),
                Value::string(&d.comment),
            ]
        })
        .collect();
    let nil = Value::Uuid([0; 16]);
    rows.push(vec![Value::string(super::DATABASE), Value::string("System"), nil, Value::string("")]);
    rows
}

fn streams(engine: &Inner) -> Vec<Vec<Value>> {
    let state = engine.catalog.snapshot();
    let mut rows = Vec::new();
    for database in state.databases.values() {
        for object in database.objects.values() {
            rows.push(stream_row(object));
        }
    }
    rows
}

fn stream_row(object: &Object) -> Vec<Value> {
    match object {
        Object::Stream(s) => {
            let info = &s.info;
            let mut row = vec![
                Value::string(&*info.database),
                Value::string(&*info.name),
                Value::Uuid(*info.uuid.as_bytes()),
                Value::string(&*info.engine),
                Value::string(info.mode.name()),
                Value::UInt(u64::from(info.shards)),
                Value::string(&*mask(&s.create_text)),
                Value::string(&info.partition_by),
                Value::string(&info.order_by),
                Value::string(info.primary_key.join(", ")),
            ];
            row.extend(s.store().map_or_else(|| vec![Value::Null; 6], |store| figures(store)));
            row.push(Value::string(&info.comment));
            row
        }
        Object::View(v) => {
            let info = &v.info;
            let mut row = vec![
                Value::string(&*info.database),
                Value::string(&*info.name),
                Value::Uuid(*info.uuid.as_bytes()),
                Value::string("View"),
                Value::string(""),
                Value::UInt(0),
                Value::string(&*mask(&v.create_text)),
                Value::string(""),
                Value::string(""),
                Value::string(""),
            ];
            row.extend(vec![Value::Null; 6]);
            row.push(Value::string(&info.comment));
            row
        }
    }
}

/// total_rows, total_bytes, log_first_sn, log_next_sn, log_bytes, parts.
fn figures(store: &StreamStore) -> Vec<Value> {
    let view = store.view();
    let manifest = view.snapshot.manifest();
    let stats: Vec<_> = store.logs.iter().map(|l| l.stats()).collect();
    let pending = store.pending_rows();
    let log_bytes = stats.iter().map(|s| s.bytes).sum::<u64>();
    vec![
        Value::UInt(manifest.rows() + pending),
        Value::UInt(manifest.bytes() + log_bytes),
        Value::Int(stats.iter().map(|s| s.first.0 as i64).min().unwrap_or(0)),
        Value::Int(stats.iter().map(|s| s.next.0 as i64).max().unwrap_or(0)),
        Value::UInt(log_bytes),
        Value::UInt(manifest.parts.len() as u64),
    ]
}

fn parts(engine: &Inner) -> Vec<Vec<Value>> {
    let state = engine.catalog.snapshot();
    let mut rows = Vec::new();
    for stream in state.databases.values().flat_map(|d| d.objects.values()).filter_map(Object::as_stream) {
        let Some(store) = stream.store() else { continue };
        for part in &store.parts.snapshot().manifest().parts {
            let time = |us: Option<i64>| us.map_or(Value::Null, |us| Value::Time(us.div_euclid(1_000)));
            rows.push(vec![
                Value::string(&*stream.info.database),
                Value::string(&*stream.info.name),
                Value::string(&part.file),
                flag(true),
                Value::UInt(part.rows),
                Value::UInt(part.bytes),
                Value::UInt(u64::from(part.level)),
                time(part.event_span.map(|s| s.min_us)),
                time(part.event_span.map(|s| s.max_us)),
            ]);
        }
    }
    rows
}

fn columns(engine: &Inner) -> Vec<Vec<Value>> {
    let state = engine.catalog.snapshot();
    let streams = state.databases.values().flat_map(|d| d.objects.values()).filter_map(Object::stream_info);
    let own: Vec<_> = super::table_names().iter().filter_map(|n| table(n)).collect();
    let mut rows = Vec::new();
    for info in streams.chain(own.iter()) {
        for (i, c) in info.columns.iter().enumerate() {
            let (kind, expr) = match &c.default {
                ColumnDefault::None => ("", ""),
                ColumnDefault::Default(e) => ("DEFAULT", e.as_str()),
                ColumnDefault::Materialized(e) => ("MATERIALIZED", e.as_str()),
                ColumnDefault::Alias(e) => ("ALIAS", e.as_str()),
                ColumnDefault::Ephemeral(e) => ("EPHEMERAL", e.as_deref().unwrap_or_default()),
            };
            rows.push(vec![
                Value::string(&*info.database),
                Value::string(&*info.name),
                Value::string(&*c.name),
                Value::string(c.ty.to_string()),
                Value::UInt(i as u64 + 1),
                Value::string(kind),
                Value::string(expr),
                Value::string(&c.comment),
                Value::string(&c.codec),
                flag(info.primary_key.contains(&c.name)),
            ]);
        }
    }
    rows
}

fn functions(engine: &Inner) -> Vec<Vec<Value>> {
    let builtin = hydron_func::Registry::builtin().names().into_iter().map(|f| {
        let alias = f.alias_to.as_deref().unwrap_or_default().to_string();
        vec![
            Value::string(&*f.name),
            flag(f.is_aggregate),
            flag(f.case_insensitive),
            Value::string(alias),
            Value::string(""),
            Value::string("System"),
        ]
    });
    let state = engine.catalog.snapshot();
    let own = state.functions.values().map(|f| {
        vec![
            Value::string(&*f.name),
            flag(false),
            flag(false),
            Value::string(""),
            Value::string(&*mask(&f.create_text)),
            Value::string("SQLUserDefined"),
        ]
    });
    builtin.chain(own).collect()
}

fn setting_rows(settings: &Settings) -> Vec<Vec<Value>> {
    let row = |d: &hydron_base::setting::SettingDef| {
        vec![
            Value::string(d.name),
            Value::string(settings.text(d.name)),
            flag(settings.is_changed(d.name)),
            Value::string(d.doc),
            Value::string(format!("{:?}", d.kind)),
            Value::string(d.default),
            // Constraints do not exist yet: every setting may be changed.
            Value::UInt(0),
        ]
    };
    hydron_base::setting::definitions().iter().map(row).collect()
}

/// `system.processes` for these queries, in their order.
pub fn processes(_: &Inner, running: &[Arc<QueryInfo>]) -> Result<Batch> {
    let rows = running.iter().map(|q| {
        let p = &q.progress;
        let count = |c: &std::sync::atomic::AtomicU64| Value::UInt(Progress::get(c));
        let flow = q.flow.lock().clone();
        let watermark = flow.as_ref().and_then(|f| f.watermark_us());
        let watermark = watermark.map_or(Value::Null, |us| Value::Time(us.div_euclid(1_000)));
        let uses = q.uses.lock().iter().map(|(d, n)| Value::string(format!("{d}.{n}"))).collect();
        vec![
            Value::string(&*q.query_id),
            Value::string(&*q.user),
            Value::string(&*q.text),
            Value::Float64(q.started_at.elapsed().as_secs_f64()),
            count(&p.read_rows),
            count(&p.read_bytes),
            count(&p.total_rows),
            count(&p.written_rows),
            count(&p.written_bytes),
            count(&p.result_rows),
            Value::Int(q.memory_used() as i64),
            Value::string(*q.kind.lock()),
            Value::string(&*q.database),
            Value::string(q.interface),
            Value::string(&q.client_address),
            flag(q.streaming.load(Ordering::Relaxed)),
            flag(q.cancel.is_cancelled()),
            Value::UInt(flow.as_ref().map_or(0, |f| f.rows_late())),
            watermark,
            Value::Array(uses),
        ]
    });
    batch("processes", rows.collect())
}

fn query_log(engine: &Inner) -> Vec<Vec<Value>> {
    let row = |q: crate::query::QueryRecord| {
        let ended = q.started.plus_millis(q.duration_ms as i64);
        vec![
            Value::string(if q.error.is_some() { "ExceptionWhileProcessing" } else { "QueryFinish" }),
            Value::Date(ended.0.div_euclid(86_400_000_000) as i32),
            seconds(ended),
            seconds(q.started),
            Value::Time(q.started.0),
            Value::UInt(q.duration_ms),
            Value::UInt(q.read_rows),
            Value::UInt(q.read_bytes),
            Value::UInt(q.written_rows),
            Value::UInt(q.result_rows),
            Value::string(&*q.database),
            Value::string(&*q.text),
            Value::string(q.kind),
            Value::Int(q.error.as_ref().map_or(0, |e| i64::from(e.code.number()))),
            Value::string(q.error.as_ref().map(ToString::to_string).unwrap_or_default()),
            Value::string(&*q.user),
            Value::string(&*q.query_id),
            Value::string(&q.client_address),
            Value::string(q.interface),
        ]
    };
    engine.queries.finished().into_iter().map(row).collect()
}

fn errors(engine: &Inner) -> Vec<Vec<Value>> {
    let row = |(code, count, message, time): (hydron_base::Code, u64, String, WallTime)| {
        vec![
            Value::string(code.name()),
            Value::Int(i64::from(code.number())),
            Value::UInt(count),
            seconds(time),
            Value::string(message),
        ]
    };
    engine.queries.errors().into_iter().map(row).collect()
}
