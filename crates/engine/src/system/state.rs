//! What the server is made of and how it is: formats, types, engines, figures.

use crate::catalog::Object;
use crate::catalog::lookup::Lookup;
use crate::query::Progress;
use hydron_types::{LogicalType, Value};

type Columns = Vec<(&'static str, LogicalType)>;
type Row = Vec<Value>;

pub fn tables() -> Vec<(&'static str, Columns)> {
    use LogicalType::{DateTime, Float64, Int64, String, UInt8, UInt16, UInt32, UInt64};
    let figures = || vec![("metric", String), ("value", Int64), ("description", String)];
    let strings = || LogicalType::array(String);
    vec![
        ("metrics", figures()),
        ("asynchronous_metrics", vec![("metric", String), ("value", Float64)]),
        ("events", vec![("event", String), ("value", UInt64), ("description", String)]),
        ("data_type_families", vec![("name", String), ("case_insensitive", UInt8), ("alias_to", String)]),
        (
            "table_engines",
            vec![
                ("name", String),
                ("supports_settings", UInt8),
                ("supports_skipping_indices", UInt8),
                ("supports_projections", UInt8),
                ("supports_sort_order", UInt8),
                ("supports_ttl", UInt8),
                ("supports_replication", UInt8),
                ("supports_deduplication", UInt8),
                ("supports_parallel_insert", UInt8),
            ],
        ),
        ("aggregate_function_combinators", vec![("name", String), ("is_internal", UInt8)]),
        ("macros", vec![("macro", String), ("substitution", String)]),
        ("warnings", vec![("message", String)]),
        ("contributors", vec![("name", String)]),
        (
            "disks",
            vec![
                ("name", String),
                ("path", String),
                ("free_space", UInt64),
                ("total_space", UInt64),
                ("keep_free_space", UInt64),
                ("type", String),
                ("is_encrypted", UInt8),
            ],
        ),
        (
            "storage_policies",
            vec![
                ("policy_name", String),
                ("volume_name", String),
                ("volume_priority", UInt64),
                ("disks", strings()),
                ("volume_type", String),
                ("max_data_part_size", UInt64),
                ("move_factor", LogicalType::Float32),
                ("prefer_not_to_merge", UInt8),
            ],
        ),
        (
            "clusters",
            vec![
                ("cluster", String),
                ("shard_num", UInt32),
                ("shard_weight", UInt32),
                ("replica_num", UInt32),
                ("host_name", String),
                ("host_address", String),
                ("port", UInt16),
                ("is_local", UInt8),
                ("user", String),
                ("default_database", String),
                ("errors_count", UInt32),
                ("slowdowns_count", UInt32),
                ("estimated_recovery_time", UInt32),
            ],
        ),
        (
            "mutations",
            vec![
                ("database", String),
                ("table", String),
                ("mutation_id", String),
                ("command", String),
                ("create_time", DateTime(None)),
                ("block_numbers.partition_id", strings()),
                ("block_numbers.number", LogicalType::array(Int64)),
                ("parts_to_do_names", strings()),
                ("parts_to_do", Int64),
                ("is_done", UInt8),
                ("latest_failed_part", String),
                ("latest_fail_time", DateTime(None)),
                ("latest_fail_reason", String),
            ],
        ),
        (
            "merges",
            vec![
                ("database", String),
                ("table", String),
                ("elapsed", Float64),
                ("progress", Float64),
                ("num_parts", UInt64),
                ("source_part_names", strings()),
                ("result_part_name", String),
                ("source_part_paths", strings()),
                ("result_part_path", String),
                ("partition_id", String),
                ("is_mutation", UInt8),
                ("total_size_bytes_compressed", UInt64),
                ("total_size_marks", UInt64),
                ("bytes_read_uncompressed", UInt64),
                ("rows_read", UInt64),
                ("bytes_written_uncompressed", UInt64),
                ("rows_written", UInt64),
                ("columns_written", UInt64),
                ("memory_usage", UInt64),
                ("thread_id", UInt64),
                ("merge_type", String),
                ("merge_algorithm", String),
            ],
        ),
        (
            "detached_parts",
            vec![
                ("database", String),
                ("table", String),
                ("partition_id", LogicalType::nullable(String)),
                ("name", String),
                ("disk", String),
                ("reason", LogicalType::nullable(String)),
                ("min_block_number", LogicalType::nullable(Int64)),
                ("max_block_number", LogicalType::nullable(Int64)),
                ("level", LogicalType::nullable(UInt32)),
            ],
        ),
        (
            "replicas",
            vec![
                ("database", String),
                ("table", String),
                ("engine", String),
                ("is_leader", UInt8),
                ("is_readonly", UInt8),
                ("replica_name", String),
                ("queue_size", UInt32),
                ("absolute_delay", UInt64),
                ("total_replicas", UInt8),
                ("active_replicas", UInt8),
            ],
        ),
        (
            "distribution_queue",
            vec![
                ("database", String),
                ("table", String),
                ("data_path", String),
                ("is_blocked", UInt8),
                ("error_count", UInt64),
                ("data_files", UInt64),
                ("data_compressed_bytes", UInt64),
                ("last_exception", String),
            ],
        ),
        (
            "licenses",
            vec![
                ("library_name", String),
                ("license_type", String),
                ("license_path", String),
                ("license_text", String),
            ],
        ),
        ("collations", vec![("name", String), ("language", LogicalType::nullable(String))]),
        (
            "merge_tree_settings",
            vec![("name", String), ("value", String), ("changed", UInt8), ("description", String), ("type", String)],
        ),
        (
            "data_skipping_indices",
            vec![
                ("database", String),
                ("table", String),
                ("name", String),
                ("type", String),
                ("type_full", String),
                ("expr", String),
                ("granularity", UInt64),
                ("data_compressed_bytes", UInt64),
                ("data_uncompressed_bytes", UInt64),
                ("marks", UInt64),
            ],
        ),
    ]
}

/// `None`: another table.
pub fn rows(lookup: &Lookup, name: &str) -> Option<Vec<Row>> {
    Some(match name {
        "metrics" => metrics(lookup),
        "asynchronous_metrics" => asynchronous(lookup),
        "events" => events(lookup),
        "data_type_families" => types(),
        "table_engines" => engines(),
        "aggregate_function_combinators" => named(COMBINATORS.iter().copied(), |n| vec![text(n), Value::UInt(0)]),
        "disks" => disks(lookup),
        "storage_policies" => vec![vec![
            text("default"),
            text("default"),
            Value::UInt(1),
            Value::Array(vec![text("default")]),
            text("JBOD"),
            Value::UInt(0),
            Value::Float32(0.0),
            Value::UInt(0),
        ]],
        "merge_tree_settings" => {
            let row = |(name, value, ty): &(&str, &str, &str)| {
                vec![text(name), text(value), Value::UInt(0), text("taken for the sake of scripts"), text(ty)]
            };
            MERGE_TREE_SETTINGS.iter().map(row).collect()
        }
        "data_skipping_indices" => indexes(lookup),
        // What there is none of: clusters, mutations in the background, macros of a configuration.
        "macros" | "warnings" | "contributors" | "clusters" | "mutations" | "merges" | "detached_parts"
        | "replicas" | "distribution_queue" | "licenses" | "collations" => Vec::new(),
        _ => return None,
    })
}

fn text(value: impl AsRef<[u8]>) -> Value {
    Value::string(value)
}

fn named<'a>(names: impl Iterator<Item = &'a str>, row: impl Fn(&str) -> Row) -> Vec<Row> {
    names.map(row).collect()
}

/// Settings of MergeTree that scripts name, with the defaults that ClickHouse has.
const MERGE_TREE_SETTINGS: &[(&str, &str, &str)] = &[
    ("index_granularity", "8192", "UInt64"),
    ("index_granularity_bytes", "10485760", "UInt64"),
    ("inactive_parts_to_delay_insert", "0", "UInt64"),
    ("inactive_parts_to_throw_insert", "0", "UInt64"),
    ("max_bytes_to_merge_at_max_space_in_pool", "161061273600", "UInt64"),
    ("max_parts_in_total", "100000", "UInt64"),
    ("max_partitions_to_read", "-1", "Int64"),
    ("merge_with_ttl_timeout", "14400", "Int64"),
    ("min_bytes_for_wide_part", "10485760", "UInt64"),
    ("min_rows_for_wide_part", "0", "UInt64"),
    ("old_parts_lifetime", "480", "Seconds"),
    ("parts_to_delay_insert", "150", "UInt64"),
    ("parts_to_throw_insert", "300", "UInt64"),
    ("ratio_of_defaults_for_sparse_serialization", "1", "Float"),
    ("storage_policy", "default", "String"),
    ("ttl_only_drop_parts", "0", "Bool"),
];

/// The indexes that CREATE and ALTER have declared.
fn indexes(lookup: &Lookup) -> Vec<Row> {
    use hydron_access::{Object as Named, Privilege};
    let state = lookup.engine.catalog.snapshot();
    let mut rows = Vec::new();
    for stream in state.databases.values().flat_map(|d| d.objects.values()).filter_map(Object::as_stream) {
        let (database, name) = (&stream.info.database, &stream.info.name);
        if !lookup.access.rights.may_see(Privilege::SHOW_TABLES, &Named::stream(database, name)) {
            continue;
        }
        let parsed = hydron_sql::parse_statement(&stream.create_text).map(|p| p.statement.kind);
        let Ok(hydron_sql::ast::StatementKind::CreateStream(create)) = parsed else { continue };
        for index in create.elements.iter().flat_map(|e| &e.indexes) {
            let full = index.ty.to_string();
            let mut row = vec![
                text(&**database),
                text(&**name),
                text(&index.name),
                text(full.split('(').next().unwrap_or_default()),
                text(&full),
                text(index.expr.to_string()),
            ];
            row.extend([index.granularity.unwrap_or(1), 0, 0, 0].map(Value::UInt));
            rows.push(row);
        }
    }
    rows
}

const COMBINATORS: &[&str] =
    &["If", "Array", "Distinct", "OrDefault", "OrNull", "State", "Merge", "ForEach", "SimpleState", "Map"];

fn engines() -> Vec<Row> {
    // Name; settings, sort order, TTL.
    let all = [
        ("AggregatingMergeTree", [1, 1, 1]),
        ("Buffer", [0, 0, 0]),
        ("CollapsingMergeTree", [1, 1, 1]),
        ("Dictionary", [0, 0, 0]),
        ("ExternalStream", [1, 0, 0]),
        ("File", [1, 0, 0]),
        ("Join", [1, 0, 0]),
        ("MaterializedView", [1, 0, 1]),
        ("Memory", [0, 0, 0]),
        ("MergeTree", [1, 1, 1]),
        ("Null", [0, 0, 0]),
        ("Random", [1, 0, 0]),
        ("ReplacingMergeTree", [1, 1, 1]),
        ("Set", [1, 0, 0]),
        ("Stream", [1, 1, 1]),
        ("SummingMergeTree", [1, 1, 1]),
        ("VersionedCollapsingMergeTree", [1, 1, 1]),
        ("View", [0, 0, 0]),
    ];
    let row = |(name, [settings, sorts, ttl]): (&str, [u64; 3])| {
        let mut row = vec![text(name)];
        row.extend([settings, 0, 0, sorts, ttl, 0, 0, 1].map(Value::UInt));
        row
    };
    all.into_iter().map(row).collect()
}

fn types() -> Vec<Row> {
    let names = [
        "aggregate_function",
        "array",
        "bool",
        "date",
        "date32",
        "datetime",
        "datetime64",
        "decimal",
        "decimal128",
        "decimal256",
        "decimal32",
        "decimal64",
        "enum16",
        "enum8",
        "fixed_string",
        "float32",
        "float64",
        "int128",
        "int16",
        "int256",
        "int32",
        "int64",
        "int8",
        "ipv4",
        "ipv6",
        "json",
        "low_cardinality",
        "map",
        "nested",
        "nullable",
        "string",
        "tuple",
        "uint128",
        "uint16",
        "uint256",
        "uint32",
        "uint64",
        "uint8",
        "uuid",
    ];
    let aliases = [
        ("bigint", "int64"),
        ("boolean", "bool"),
        ("double", "float64"),
        ("enum", "enum8"),
        ("float", "float32"),
        ("int", "int32"),
        ("integer", "int32"),
        ("smallint", "int16"),
        ("text", "string"),
        ("timestamp", "datetime"),
        ("tinyint", "int8"),
        ("uint", "uint32"),
        ("varchar", "string"),
    ];
    let known = |name: &str| {
        let simple = hydron_types::parse_type(name).is_ok();
        simple || !aliases.iter().any(|(a, _)| *a == name)
    };
    let row = |(name, of): (&str, &str)| vec![text(name), Value::UInt(1), text(of)];
    let plain = names.into_iter().map(|n| (n, ""));
    plain.chain(aliases.into_iter().filter(|(a, _)| known(a))).map(row).collect()
}

fn figure(name: &str, value: i64, description: &str) -> Row {
    vec![text(name), Value::Int(value), text(description)]
}

fn metrics(lookup: &Lookup) -> Vec<Row> {
    let engine = &lookup.engine;
    let running = engine.queries.running();
    let of_kind = |kind: &str| running.iter().filter(|q| *q.kind.lock() == kind).count() as i64;
    let streaming = running.iter().filter(|q| q.streaming.load(std::sync::atomic::Ordering::Relaxed)).count();
    let state = engine.catalog.snapshot();
    let objects = || state.databases.values().flat_map(|d| d.objects.values());
    let parts: usize = objects()
        .filter_map(Object::as_stream)
        .filter_map(|s| Some(s.store()?.parts.snapshot().manifest().parts.len()))
        .sum();
    vec![
        figure("Query", running.len() as i64, "queries that run"),
        figure("SelectQuery", of_kind("Select"), "SELECT queries that run"),
        figure("InsertQuery", of_kind("Insert"), "INSERT queries that run"),
        figure("StreamingQuery", streaming as i64, "queries without an end that run"),
        figure("MaterializedView", state.views().count() as i64, "materialized views"),
        figure("Stream", objects().filter(|o| o.as_stream().is_some()).count() as i64, "streams and tables"),
        figure("Part", parts as i64, "parts of all streams"),
        figure("MemoryTracking", engine.memory.used() as i64, "bytes that queries hold"),
    ]
}

fn asynchronous(lookup: &Lookup) -> Vec<Row> {
    let engine = &lookup.engine;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of_status = |key: &str| -> Option<f64> {
        let line = status.lines().find_map(|l| l.strip_prefix(key))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
    };
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut loads = load.split_whitespace().filter_map(|n| n.parse::<f64>().ok());
    let uptime = engine.options.clock.now().0 - engine.started.0;
    let state = engine.catalog.snapshot();
    let streams = state.databases.values().flat_map(|d| d.objects.values()).filter_map(Object::as_stream);
    let (mut rows, mut parts) = (0, 0);
    for store in streams.filter_map(|s| s.store()) {
        let snapshot = store.parts.snapshot();
        rows += snapshot.manifest().rows() + store.pending_rows();
        parts += snapshot.manifest().parts.len();
    }
    let mut all = vec![
        ("Uptime", uptime as f64 / 1e6),
        ("NumberOfDatabases", state.databases.len() as f64),
        ("NumberOfTables", state.databases.values().map(|d| d.objects.len()).sum::<usize>() as f64),
        ("TotalRowsOfStreams", rows as f64),
        ("TotalPartsOfStreams", parts as f64),
        ("MemoryTracked", engine.memory.used() as f64),
    ];
    all.extend(of_status("VmRSS").map(|kib| ("MemoryResident", kib * 1024.0)));
    all.extend(of_status("VmSize").map(|kib| ("MemoryVirtual", kib * 1024.0)));
    all.extend(of_status("Threads").map(|n| ("OSThreads", n)));
    let names = ["LoadAverage1", "LoadAverage5", "LoadAverage15"];
    all.extend(names.into_iter().filter_map(|n| Some((n, loads.next()?))));
    all.sort_by_key(|(name, _)| *name);
    all.into_iter().map(|(name, value)| vec![text(name), Value::Float64(value)]).collect()
}

/// Queries since the start; of their kinds and rows what the query log still has, and those that run.
fn events(lookup: &Lookup) -> Vec<Row> {
    let queries = &lookup.engine.queries;
    let finished = queries.finished();
    let running = queries.running();
    let of = |kind: &str| {
        let done = finished.iter().filter(|q| q.kind == kind).count();
        (done + running.iter().filter(|q| *q.kind.lock() == kind).count()) as u64
    };
    let sum = |done: fn(&crate::query::QueryRecord) -> u64, now: fn(&Progress) -> u64| {
        finished.iter().map(done).sum::<u64>() + running.iter().map(|q| now(&q.progress)).sum::<u64>()
    };
    let failed: u64 = queries.errors().iter().map(|(_, count, ..)| count).sum();
    let rows = [
        ("Query", queries.total.load(std::sync::atomic::Ordering::Relaxed), "queries that were begun"),
        ("SelectQuery", of("Select"), "SELECT queries of the query log"),
        ("InsertQuery", of("Insert"), "INSERT queries of the query log"),
        ("FailedQuery", failed, "queries that ended with an error"),
        (
            "SelectedRows",
            sum(|q| q.read_rows, |p| Progress::get(&p.read_rows)),
            "rows read by queries of the query log",
        ),
        ("SelectedBytes", sum(|q| q.read_bytes, |p| Progress::get(&p.read_bytes)), "bytes read by these"),
        ("InsertedRows", sum(|q| q.written_rows, |p| Progress::get(&p.written_rows)), "rows that these have written"),
        (
            "InsertedBytes",
            sum(|q| q.written_bytes, |p| Progress::get(&p.written_bytes)),
            "bytes that these have written",
        ),
    ];
    rows.into_iter().map(|(name, value, doc)| vec![text(name), Value::UInt(value), text(doc)]).collect()
}

fn disks(lookup: &Lookup) -> Vec<Row> {
    let path = &lookup.engine.options.data_dir;
    let (free, total) = space(path).unwrap_or_default();
    vec![vec![
        text("default"),
        text(path.to_string_lossy().as_bytes()),
        Value::UInt(free),
        Value::UInt(total),
        Value::UInt(0),
        text("local"),
        Value::UInt(0),
    ]]
}

/// Bytes that are free for this process, and all bytes, of the file system of a path.
fn space(path: &std::path::Path) -> Option<(u64, u64)> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path ends with a zero and the structure is large enough for what statvfs writes.
    let done = unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) };
    if done != 0 {
        return None;
    }
    // SAFETY: statvfs has filled it.
    let stat = unsafe { stat.assume_init() };
    Some((stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize))
}
