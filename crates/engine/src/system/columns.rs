//! Columns of the system tables.

use super::DATABASE;
use hydron_plan::{ColumnDefault, ColumnInfo, StreamInfo, StreamKind, StreamMode};
use hydron_types::LogicalType;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

/// The table `system.name`.
pub fn table(name: &str) -> Option<Arc<StreamInfo>> {
    // Proton calls the list of streams by its old name too.
    let name = if name == "tables" { "streams" } else { name };
    TABLES.get(name).cloned()
}

pub fn table_names() -> Vec<String> {
    TABLES.keys().map(|n| n.to_string()).collect()
}

static TABLES: LazyLock<BTreeMap<&'static str, Arc<StreamInfo>>> = LazyLock::new(|| {
    use LogicalType::*;
    let strings = || LogicalType::array(String);
    let pairs = || Map(Box::new(String), Box::new(String));
    let second = || DateTime(None);
    let tables: Vec<(&'static str, Vec<(&'static str, LogicalType)>)> = vec![
        ("one", vec![("dummy", UInt8)]),
        ("table_functions", vec![("name", String)]),
        (
            "databases",
            vec![
                ("name", String),
                ("engine", String),
                ("data_path", String),
                ("metadata_path", String),
                ("uuid", Uuid),
                ("comment", String),
            ],
        ),
        (
            "streams",
            vec![
                ("database", String),
                ("name", String),
                ("uuid", Uuid),
                ("engine", String),
                ("mode", String),
                ("shards", UInt32),
                ("is_temporary", UInt8),
                ("data_paths", strings()),
                ("metadata_path", String),
                ("dependencies_database", strings()),
                ("dependencies_table", strings()),
                ("create_table_query", String),
                ("engine_full", String),
                ("as_select", String),
                ("partition_key", String),
                ("sorting_key", String),
                ("primary_key", String),
                ("sampling_key", String),
                ("storage_policy", String),
                ("total_rows", LogicalType::nullable(UInt64)),
                ("total_bytes", LogicalType::nullable(UInt64)),
                ("log_first_sn", LogicalType::nullable(Int64)),
                ("log_next_sn", LogicalType::nullable(Int64)),
                ("log_bytes", LogicalType::nullable(UInt64)),
                ("parts", LogicalType::nullable(UInt64)),
                ("comment", String),
                ("has_own_data", UInt8),
            ],
        ),
        (
            "columns",
            vec![
                ("database", String),
                ("table", String),
                ("name", String),
                ("type", String),
                ("position", UInt64),
                ("default_kind", String),
                ("default_expression", String),
                ("comment", String),
                ("is_in_partition_key", UInt8),
                ("is_in_sorting_key", UInt8),
                ("is_in_primary_key", UInt8),
                ("is_in_sampling_key", UInt8),
                ("compression_codec", String),
                ("numeric_precision", LogicalType::nullable(UInt64)),
                ("numeric_precision_radix", LogicalType::nullable(UInt64)),
                ("numeric_scale", LogicalType::nullable(UInt64)),
                ("datetime_precision", LogicalType::nullable(UInt64)),
                ("character_octet_length", LogicalType::nullable(UInt64)),
            ],
        ),
        (
            "dictionaries",
            vec![
                ("database", String),
                ("name", String),
                ("uuid", Uuid),
                ("status", String),
                ("origin", String),
                ("type", String),
                ("key.names", strings()),
                ("key.types", strings()),
                ("attribute.names", strings()),
                ("attribute.types", strings()),
                ("comment", String),
            ],
        ),
        (
            "functions",
            vec![
                ("name", String),
                ("is_aggregate", UInt8),
                ("case_insensitive", UInt8),
                ("alias_to", String),
                ("create_query", String),
                ("origin", String),
            ],
        ),
        ("formats", vec![("name", String), ("is_input", UInt8), ("is_output", UInt8)]),
        ("format_schemas", vec![("name", String), ("type", String), ("schema", String)]),
        (
            "settings",
            vec![
                ("name", String),
                ("value", String),
                ("changed", UInt8),
                ("description", String),
                ("min", LogicalType::nullable(String)),
                ("max", LogicalType::nullable(String)),
                ("readonly", UInt8),
                ("type", String),
                ("default", String),
                ("has_effect", UInt8),
            ],
        ),
        (
            "processes",
            vec![
                ("is_initial_query", UInt8),
                ("user", String),
                ("query_id", String),
                ("address", String),
                ("interface", String),
                ("elapsed", Float64),
                ("is_cancelled", UInt8),
                ("read_rows", UInt64),
                ("read_bytes", UInt64),
                ("total_rows_approx", UInt64),
                ("written_rows", UInt64),
                ("written_bytes", UInt64),
                ("result_rows", UInt64),
                ("result_bytes", UInt64),
                ("memory_usage", Int64),
                ("query", String),
                ("query_kind", String),
                ("current_database", String),
                ("is_streaming", UInt8),
                ("late_rows", UInt64),
                ("watermark", LogicalType::nullable(DateTime64(3, Some(hydron_types::Zone::UTC)))),
                ("streams", strings()),
                ("settings", pairs()),
            ],
        ),
        (
            "query_log",
            vec![
                ("type", String),
                ("event_date", Date),
                ("event_time", second()),
                ("event_time_microseconds", DateTime64(6, None)),
                ("query_start_time", second()),
                ("query_start_time_microseconds", DateTime64(6, None)),
                ("query_duration_ms", UInt64),
                ("read_rows", UInt64),
                ("read_bytes", UInt64),
                ("written_rows", UInt64),
                ("written_bytes", UInt64),
                ("result_rows", UInt64),
                ("result_bytes", UInt64),
                ("current_database", String),
                ("query", String),
                ("query_kind", String),
                ("databases", strings()),
                ("tables", strings()),
                ("exception_code", Int32),
                ("exception", String),
                ("is_initial_query", UInt8),
                ("is_streaming", UInt8),
                ("user", String),
                ("query_id", String),
                ("address", String),
                ("interface", String),
                ("log_comment", String),
                ("settings", pairs()),
            ],
        ),
        (
            "errors",
            vec![
                ("name", String),
                ("code", Int32),
                ("value", UInt64),
                ("last_error_time", second()),
                ("last_error_message", String),
                ("remote", UInt8),
            ],
        ),
        (
            "crash_log",
            vec![
                ("event_date", Date),
                ("event_time", second()),
                ("timestamp_ns", UInt64),
                ("signal", Int32),
                ("thread_id", UInt64),
                ("query_id", String),
                ("trace", LogicalType::array(UInt64)),
                ("trace_full", strings()),
                ("version", String),
                ("revision", UInt32),
                ("build_id", String),
                ("incident_id", String),
                ("cause", String),
                ("reason", String),
                ("signal_name", String),
                ("signal_code", Int32),
                ("fault_address", UInt64),
                ("thread_name", String),
                ("query", String),
                ("query_hash", String),
                ("query_kind", String),
                ("user", String),
                ("current_database", String),
                ("interface", String),
                ("client_address", String),
                ("settings", String),
                ("phase", String),
                ("fingerprint", String),
                ("action", String),
                ("restarts_60s", UInt32),
                ("handler_stage", String),
                ("dump_state", String),
                ("minidump", String),
                ("rss_bytes", UInt64),
                ("memory_tracked", UInt64),
                ("uptime_ms", UInt64),
                ("log_lines", strings()),
            ],
        ),
        (
            "quarantine",
            vec![
                ("query_hash", String),
                ("incident_id", String),
                ("crashes", UInt32),
                ("since", second()),
                ("user", String),
                ("query", String),
                ("reason", String),
                ("fingerprint", String),
            ],
        ),
        ("build_options", vec![("name", String), ("value", String)]),
        ("time_zones", vec![("time_zone", String)]),
        (
            "materialized_views",
            vec![
                ("database", String),
                ("name", String),
                ("uuid", Uuid),
                ("state", String),
                ("last_error_code", Int32),
                ("last_error", String),
                ("last_error_time", LogicalType::nullable(second())),
                ("failures", UInt64),
                ("retry_time", LogicalType::nullable(second())),
                ("target_database", String),
                ("target_table", String),
                ("written_units", UInt64),
                ("written_rows", UInt64),
                ("checkpoint_epoch", UInt64),
                ("checkpoint_time", LogicalType::nullable(second())),
                ("checkpoint_error", String),
                ("sources", strings()),
                ("checkpoint_sn", LogicalType::array(LogicalType::array(Int64))),
                ("lag_records", UInt64),
                ("lag_ms", UInt64),
                ("state_bytes", UInt64),
                ("rows_late", UInt64),
                ("skipped_records", UInt64),
                ("query_id", String),
            ],
        ),
        (
            "parts",
            vec![
                ("database", String),
                ("table", String),
                ("engine", String),
                ("name", String),
                ("part_type", String),
                ("active", UInt8),
                ("rows", UInt64),
                ("bytes_on_disk", UInt64),
                ("level", UInt32),
                ("path", String),
                ("min_time", LogicalType::nullable(DateTime64(3, Some(hydron_types::Zone::UTC)))),
                ("max_time", LogicalType::nullable(DateTime64(3, Some(hydron_types::Zone::UTC)))),
            ],
        ),
    ];
    let others = super::access::tables().into_iter().chain(super::state::tables());
    tables.into_iter().chain(others).map(|(name, columns)| (name, Arc::new(info(name, columns)))).collect()
});

/// Second names of columns, as users of ClickHouse know them.
const ALIASES: &[(&str, &str, &str)] = &[
    ("databases", "database", "name"),
    ("streams", "table", "name"),
    ("processes", "client_address", "address"),
    ("processes", "initial_query_id", "query_id"),
    ("query_log", "initial_query_id", "query_id"),
    ("query_log", "client_address", "address"),
];

/// Stored columns in the order of the rows, then aliases.
fn info(name: &str, columns: Vec<(&'static str, LogicalType)>) -> StreamInfo {
    let mut columns: Vec<ColumnInfo> = columns.into_iter().map(|(n, t)| ColumnInfo::new(n, t)).collect();
    for (_, alias, of) in ALIASES.iter().filter(|(table, ..)| *table == name) {
        let ty = columns.iter().find(|c| &*c.name == *of).map_or(LogicalType::String, |c| c.ty.clone());
        columns.push(ColumnInfo { default: ColumnDefault::Alias(of.to_string()), ..ColumnInfo::new(*alias, ty) });
    }
    StreamInfo {
        database: Arc::from(DATABASE),
        name: Arc::from(name),
        uuid: Uuid::nil(),
        kind: StreamKind::System,
        mode: StreamMode::Append,
        columns,
        primary_key: Vec::new(),
        order_by: String::new(),
        partition_by: String::new(),
        version_column: None,
        shards: 1,
        sharding_expr: String::new(),
        engine: Arc::from("System"),
        engine_args: Vec::new(),
        sample_by: String::new(),
        settings: Vec::new(),
        comment: String::new(),
    }
}
