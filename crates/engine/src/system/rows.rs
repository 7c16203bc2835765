//! Rows of the system tables, as of now.

use super::table;
use crate::catalog::lookup::Lookup;
use crate::catalog::{FunctionBody, Object};
use crate::engine::Inner;
use crate::query::{Progress, QueryInfo};
use crate::statement::permit;
use crate::stream::StreamStore;
use hydron_access::{Object as Named, Privilege};
use hydron_base::world::WallTime;
use hydron_base::{Error, Result, Settings};
use hydron_plan::{ColumnDefault, StreamInfo};
use hydron_sql::secret::mask;
use hydron_types::{Batch, Field, LogicalType, Schema, Value};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The rows of `system.name` that whoever asks may see.
pub fn rows(lookup: &Lookup, name: &str) -> Result<Batch> {
    let (engine, settings, access) = (&*lookup.engine, &*lookup.settings, &*lookup.access);
    let sees = |privilege, database: &str, name: &str| access.rights.may_see(privilege, &Named::stream(database, name));
    if let Some(rows) = super::access::rows(access, &engine.access, name) {
        return batch(name, rows);
    }
    if let Some(rows) = super::state::rows(lookup, name) {
        return batch(name, rows);
    }
    let rows = match name {
        "one" => vec![vec![Value::UInt(0)]],
        "databases" => {
            let seen = |r: &[Value]| access.rights.may_see(Privilege::SHOW_DATABASES, &Named::database(&word(r, 0)));
            kept(databases(engine), |r| word(r, 0) == super::DATABASE || seen(r))
        }
        "streams" | "tables" => {
            kept(streams(engine), |r| is_system(r) || sees(Privilege::SHOW_TABLES, &word(r, 0), &word(r, 1)))
        }
        "columns" => kept(columns(engine), |r| {
            let stream = Named::stream(&word(r, 0), &word(r, 1));
            is_system(r) || access.rights.may_see(Privilege::SHOW_COLUMNS, &stream.column(&word(r, 2)))
        }),
        "dictionaries" => kept(dictionaries(engine), |r| sees(Privilege::SHOW_DICTIONARIES, &word(r, 0), &word(r, 1))),
        "functions" => functions(engine),
        "formats" => formats(),
        "format_schemas" => format_schemas(engine),
        "settings" => setting_rows(settings),
        "processes" => {
            let mut running = engine.queries.running();
            running.retain(|q| permit::sees_query(access, &q.user));
            return processes(&running);
        }
        "query_log" => {
            let mut finished = engine.queries.finished();
            finished.retain(|q| permit::sees_query(access, &q.user));
            query_log(finished)
        }
        "errors" => errors(engine),
        "crash_log" => super::crashes::crash_log(engine),
        "quarantine" => super::crashes::quarantine(hydron_board::Board::current()),
        "build_options" => vec![
            vec![Value::string("VERSION_FULL"), Value::string(concat!("hydron ", env!("CARGO_PKG_VERSION")))],
            vec![Value::string("SYSTEM"), Value::string(std::env::consts::OS)],
            vec![Value::string("BUILD_TYPE"), Value::string(if cfg!(debug_assertions) { "debug" } else { "release" })],
        ],
        "table_functions" => {
            let made_up = hydron_plan::bind::TABLE_FUNCTIONS.iter();
            let mut names: Vec<&str> = made_up.copied().chain(crate::stream::file::TABLE_FUNCTIONS).collect();
            names.sort_unstable();
            names.into_iter().map(|n| vec![text(n)]).collect()
        }
        "time_zones" => chrono_tz::TZ_VARIANTS.iter().map(|z| vec![Value::string(z.name())]).collect(),
        "parts" => kept(parts(engine), |r| sees(Privilege::SHOW_TABLES, &word(r, 0), &word(r, 1))),
        "materialized_views" => {
            kept(super::views::rows(engine), |r| sees(Privilege::SHOW_TABLES, &word(r, 0), &word(r, 1)))
        }
        other => return Err(Error::bug(format!("system.{other} has columns and no rows"))),
    };
    batch(name, rows)
}

fn kept(rows: Vec<Vec<Value>>, keep: impl Fn(&[Value]) -> bool) -> Vec<Vec<Value>> {
    rows.into_iter().filter(|row| keep(row)).collect()
}

/// The text of a column of a row.
fn word(row: &[Value], at: usize) -> String {
    String::from_utf8_lossy(row.get(at).and_then(Value::as_bytes).unwrap_or_default()).into_owned()
}

fn is_system(row: &[Value]) -> bool {
    word(row, 0) == super::DATABASE
}

fn batch(name: &str, rows: Vec<Vec<Value>>) -> Result<Batch> {
    let info = table(name).ok_or_else(|| Error::bug(format!("there is no system.{name}")))?;
    let stored = info.columns.iter().filter(|c| c.is_stored());
    let fields = stored.map(|c| Field::new(Arc::clone(&c.name), c.ty.clone())).collect();
    Batch::of_rows(Arc::new(Schema::new(fields)), rows)
}

fn flag(b: bool) -> Value {
    Value::UInt(u64::from(b))
}

fn seconds(t: WallTime) -> Value {
    Value::Time(t.0.div_euclid(1_000_000))
}

fn text(value: impl AsRef<[u8]>) -> Value {
    Value::string(value)
}

fn texts(values: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Value {
    Value::Array(values.into_iter().map(Value::string).collect())
}

/// The changed settings as a map.
fn changed(settings: &Settings) -> Value {
    Value::Map(settings.changed().map(|(n, v)| (text(n), text(v))).collect())
}

fn databases(engine: &Inner) -> Vec<Vec<Value>> {
    let state = engine.catalog.snapshot();
    let dir = |name: &str| text(engine.options.data_dir.join(name).to_string_lossy().as_bytes());
    let row = |name: &str, kind: &str, uuid: [u8; 16], comment: &str| {
        vec![text(name), text(kind), dir("history"), dir("catalog"), Value::Uuid(uuid), text(comment)]
    };
    let own = state.databases.values().map(|d| row(&d.name, &d.engine, *d.uuid.as_bytes(), &d.comment));
    own.chain([row(super::DATABASE, "System", [0; 16], "")]).collect()
}

fn streams(engine: &Inner) -> Vec<Vec<Value>> {
    let state = engine.catalog.snapshot();
    let objects = state.databases.values().flat_map(|d| d.objects.values());
    let mut rows: Vec<Vec<Value>> = objects
        .map(|object| {
            let (info_of, readers) = match object {
                Object::Stream(s) => {
                    ((&s.info.database, &s.info.name), state.dependents(&s.info.database, &s.info.name))
                }
                Object::View(v) => ((&v.info.database, &v.info.name), state.dependents(&v.info.database, &v.info.name)),
                Object::MaterializedView(v) => {
                    ((&v.info.database, &v.info.name), state.dependents(&v.info.database, &v.info.name))
                }
            };
            let (database, name) = info_of;
            let readers: Vec<(&str, &str)> = readers.iter().filter_map(|r| r.split_once('.')).collect();
            match object {
                Object::Stream(s) => {
                    let dir = s.store().map(|_| engine.options.data_dir.join("history").join(s.info.uuid.to_string()));
                    let listed = Listed {
                        kind: &s.info.engine,
                        mode: s.info.mode.name(),
                        create: &mask(&s.create_text),
                        select: "",
                        data_path: dir.map(|d| d.to_string_lossy().into_owned()),
                        readers,
                        figures: s.store().map(|store| figures(store)),
                        comment: &s.info.comment,
                    };
                    listed.row(database, name, *s.info.uuid.as_bytes(), Some(&s.info))
                }
                Object::MaterializedView(v) => {
                    let target = state.target(v).ok();
                    let store = target.as_ref().and_then(|t| t.store());
                    let listed = Listed {
                        kind: "MaterializedView",
                        mode: target.as_ref().map_or("", |t| t.info.mode.name()),
                        create: &mask(&v.create_text),
                        select: &mask(&v.info.select),
                        data_path: None,
                        readers,
                        figures: store.filter(|_| v.is_inner).map(|store| figures(store)),
                        comment: &v.info.comment,
                    };
                    let info = state.view_stream(v);
                    listed.row(database, name, *v.info.uuid.as_bytes(), info.as_deref())
                }
                Object::View(v) => {
                    let listed = Listed {
                        kind: "View",
                        mode: "",
                        create: &mask(&v.create_text),
                        select: &mask(&v.info.select),
                        data_path: None,
                        readers,
                        figures: None,
                        comment: &v.info.comment,
                    };
                    listed.row(database, name, *v.info.uuid.as_bytes(), None)
                }
            }
        })
        .collect();
    // Those that are functions of the plan stand in the list too.
    let made = ["numbers", "numbers_mt", "zeros", "zeros_mt"].map(str::to_owned);
    for name in super::table_names().into_iter().chain(made) {
        let listed = Listed {
            kind: "System",
            mode: "",
            create: "",
            select: "",
            data_path: None,
            readers: Vec::new(),
            figures: None,
            comment: "",
        };
        rows.push(listed.row(super::DATABASE, &name, [0; 16], None));
    }
    rows
}

/// What `system.streams` says of one object beside its name.
struct Listed<'a> {
    kind: &'a str,
    mode: &'a str,
    create: &'a str,
    select: &'a str,
    data_path: Option<String>,
    /// Views that read it.
    readers: Vec<(&'a str, &'a str)>,
    figures: Option<Vec<Value>>,
    comment: &'a str,
}

impl Listed<'_> {
    fn row(self, database: &str, name: &str, uuid: [u8; 16], info: Option<&StreamInfo>) -> Vec<Value> {
        // What CREATE says from ENGINE on.
        let engine_full = self.create.find("ENGINE = ").map_or("", |at| &self.create[at + "ENGINE = ".len()..]);
        let has_data = self.figures.is_some();
        let key = |of: fn(&StreamInfo) -> String| text(info.map(of).unwrap_or_default());
        let mut row = vec![
            text(database),
            text(name),
            Value::Uuid(uuid),
            text(self.kind),
            text(self.mode),
            Value::UInt(info.map_or(0, |i| u64::from(i.shards))),
            flag(false),
            texts(self.data_path),
            text(""),
            texts(self.readers.iter().map(|(d, _)| d)),
            texts(self.readers.iter().map(|(_, n)| n)),
            text(self.create),
            text(engine_full.split_whitespace().collect::<Vec<_>>().join(" ")),
            text(self.select),
            key(|i| i.partition_by.clone()),
            key(|i| i.order_by.clone()),
            key(|i| i.primary_key.join(", ")),
            key(|i| i.sample_by.clone()),
            text(if has_data { "default" } else { "" }),
        ];
        row.extend(self.figures.unwrap_or_else(|| vec![Value::Null; 6]));
        row.extend([text(self.comment), flag(has_data)]);
        row
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
                Value::string(&*stream.info.engine),
                Value::string(&part.file),
                Value::string("Parquet"),
                flag(true),
                Value::UInt(part.rows),
                Value::UInt(part.bytes),
                Value::UInt(u64::from(part.level)),
                Value::string(store.parts.path_of(&part.file).to_string()),
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
    let views: Vec<_> = state.views().filter_map(|v| state.view_stream(v)).collect();
    let own: Vec<_> = super::table_names().iter().filter_map(|n| table(n)).collect();
    let mut rows = Vec::new();
    for info in streams.chain(&views).chain(own.iter()) {
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
                flag(names(&info.partition_by, &c.name)),
                flag(names(&info.order_by, &c.name)),
                flag(info.primary_key.contains(&c.name)),
                flag(names(&info.sample_by, &c.name)),
                Value::string(if c.codec.is_empty() { String::new() } else { format!("CODEC({})", c.codec) }),
            ]);
            if let Some(row) = rows.last_mut() {
                row.extend(precision(c.ty.bare()));
                row.push(match c.ty.bare() {
                    LogicalType::FixedString(length) => Value::UInt(u64::from(*length)),
                    _ => Value::Null,
                });
            }
        }
    }
    rows
}

/// Whether an expression names a column.
fn names(expr: &str, column: &str) -> bool {
    if expr.is_empty() {
        return false;
    }
    hydron_sql::parse_expression(expr)
        .is_ok_and(|e| e.any(&mut |e| e.as_identifier().is_some_and(|i| i.full() == column)))
}

/// numeric_precision, numeric_precision_radix, numeric_scale, datetime_precision.
fn precision(ty: &LogicalType) -> [Value; 4] {
    let (null, number) = (Value::Null, |n: u64| Value::UInt(n));
    match ty {
        LogicalType::Decimal { precision, scale } => {
            [number(u64::from(*precision)), number(10), number(u64::from(*scale)), null]
        }
        LogicalType::DateTime(_) => [null.clone(), null.clone(), null, number(0)],
        LogicalType::DateTime64(scale, _) => [null.clone(), null.clone(), null, number(u64::from(*scale))],
        ty if ty.is_number() => match ty.bits() {
            Some(bits) => {
                let scale = if ty.is_float() { null.clone() } else { number(0) };
                [number(bits as u64), number(2), scale, null]
            }
            None => [null.clone(), null.clone(), null.clone(), null],
        },
        _ => [null.clone(), null.clone(), null.clone(), null],
    }
}

fn dictionaries(engine: &Inner) -> Vec<Vec<Value>> {
    let state = engine.catalog.snapshot();
    let list = |texts: Vec<String>| Value::Array(texts.into_iter().map(Value::string).collect());
    let row = |object: &Object| {
        let Object::View(view) = object else { return None };
        let info = view.dictionary.as_ref()?;
        let origin: Vec<String> = view.reads.iter().map(|(d, n)| format!("{d}.{n}")).collect();
        Some(vec![
            Value::string(&*view.info.database),
            Value::string(&*view.info.name),
            Value::Uuid(*view.info.uuid.as_bytes()),
            // It is read when it is asked.
            Value::string("NOT_LOADED"),
            Value::string(origin.join(", ")),
            Value::string(&*info.layout),
            list(info.keys.iter().map(|(name, _)| name.to_string()).collect()),
            list(info.keys.iter().map(|(_, ty)| ty.to_string()).collect()),
            list(info.attributes.iter().map(|a| a.name.to_string()).collect()),
            list(info.attributes.iter().map(|a| a.ty.to_string()).collect()),
            Value::string(&view.info.comment),
        ])
    };
    state.databases.values().flat_map(|d| d.objects.values()).filter_map(row).collect()
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
            flag(f.is_aggregate()),
            flag(false),
            Value::string(""),
            Value::string(&*mask(&f.create_text)),
            Value::string(match f.body {
                FunctionBody::Lambda(_) => "SQLUserDefined",
                FunctionBody::Code(_) => "ExecutableUserDefined",
            }),
        ]
    });
    builtin.chain(own).collect()
}

fn formats() -> Vec<Vec<Value>> {
    let formats = hydron_format::registry::FORMATS.iter();
    formats.map(|f| vec![Value::string(f.name), flag(f.is_input), flag(f.is_output)]).collect()
}

fn format_schemas(engine: &Inner) -> Vec<Vec<Value>> {
    let state = engine.catalog.snapshot();
    let row = |s: &Arc<crate::catalog::FormatSchema>| [&*s.name, s.kind.name(), &s.source].map(Value::string).to_vec();
    state.format_schemas.iter().map(row).collect()
}

fn setting_rows(settings: &Settings) -> Vec<Vec<Value>> {
    let row = |d: &hydron_base::setting::SettingDef| {
        vec![
            Value::string(d.name),
            Value::string(settings.text(d.name)),
            flag(settings.is_changed(d.name)),
            Value::string(d.doc),
            Value::Null,
            Value::Null,
            flag(settings.uint("readonly") == 1),
            Value::string(d.kind.name()),
            Value::string(d.default),
            flag(!d.doc.starts_with("accepted")),
        ]
    };
    let of_others = |name: &&str| {
        let mut row = vec![text(*name), text(settings.text(name)), flag(settings.is_changed(name)), text("accepted")];
        row.extend([
            Value::Null,
            Value::Null,
            flag(settings.uint("readonly") == 1),
            text("String"),
            text(""),
            flag(false),
        ]);
        row
    };
    let own = hydron_base::setting::definitions().iter().map(row);
    own.chain(hydron_base::setting::accepted_without_effect().iter().map(of_others)).collect()
}

/// `system.processes` for these queries, in their order.
pub fn processes(running: &[Arc<QueryInfo>]) -> Result<Batch> {
    let rows = running.iter().map(|q| {
        let p = &q.progress;
        let count = |c: &std::sync::atomic::AtomicU64| Value::UInt(Progress::get(c));
        let flow = q.flow.lock().clone();
        let watermark = flow.as_ref().and_then(|f| f.watermark_us());
        let watermark = watermark.map_or(Value::Null, |us| Value::Time(us.div_euclid(1_000)));
        let uses = texts(q.uses.lock().iter().map(|(d, n)| format!("{d}.{n}")));
        vec![
            flag(true),
            text(&*q.user),
            text(&*q.query_id),
            text(&q.client_address),
            text(q.interface),
            Value::Float64(q.started_at.elapsed().as_secs_f64()),
            flag(q.cancel.is_cancelled()),
            count(&p.read_rows),
            count(&p.read_bytes),
            count(&p.total_rows),
            count(&p.written_rows),
            count(&p.written_bytes),
            count(&p.result_rows),
            count(&p.result_bytes),
            Value::Int(q.memory_used() as i64),
            text(&*q.text),
            text(*q.kind.lock()),
            text(&*q.database),
            flag(q.streaming.load(Ordering::Relaxed)),
            Value::UInt(flow.as_ref().map_or(0, |f| f.rows_late())),
            watermark,
            uses,
            changed(&q.settings.lock()),
        ]
    });
    batch("processes", rows.collect())
}

fn query_log(finished: Vec<crate::query::QueryRecord>) -> Vec<Vec<Value>> {
    let row = |q: crate::query::QueryRecord| {
        let ended = q.started.plus_millis(q.duration_ms as i64);
        let mut databases: Vec<&str> = q.uses.iter().map(|(d, _)| &**d).collect();
        databases.dedup();
        vec![
            text(if q.error.is_some() { "ExceptionWhileProcessing" } else { "QueryFinish" }),
            Value::Date(ended.0.div_euclid(86_400_000_000) as i32),
            seconds(ended),
            Value::Time(ended.0),
            seconds(q.started),
            Value::Time(q.started.0),
            Value::UInt(q.duration_ms),
            Value::UInt(q.read_rows),
            Value::UInt(q.read_bytes),
            Value::UInt(q.written_rows),
            Value::UInt(q.written_bytes),
            Value::UInt(q.result_rows),
            Value::UInt(q.result_bytes),
            text(&*q.database),
            text(&*q.text),
            text(q.kind),
            texts(databases),
            texts(q.uses.iter().map(|(d, n)| format!("{d}.{n}"))),
            Value::Int(q.error.as_ref().map_or(0, |e| i64::from(e.code.number()))),
            text(q.error.as_ref().map(ToString::to_string).unwrap_or_default()),
            flag(true),
            flag(q.streaming),
            text(&*q.user),
            text(&*q.query_id),
            text(&q.client_address),
            text(q.interface),
            text(q.settings.text("log_comment")),
            changed(&q.settings),
        ]
    };
    finished.into_iter().map(row).collect()
}

fn errors(engine: &Inner) -> Vec<Vec<Value>> {
    let row = |(code, count, message, time): (hydron_base::Code, u64, String, WallTime)| {
        vec![
            Value::string(code.name()),
            Value::Int(i64::from(code.number())),
            Value::UInt(count),
            seconds(time),
            Value::string(message),
            flag(false),
        ]
    };
    engine.queries.errors().into_iter().map(row).collect()
}
