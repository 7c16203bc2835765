//! Columns of the system tables.

use super::DATABASE;
use hydron_plan::{ColumnInfo, StreamInfo, StreamKind, StreamMode};
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
    let second = || DateTime(None);
    let tables: Vec<(&'static str, Vec<(&'static str, LogicalType)>)> = vec![
        ("one", vec![("dummy", UInt8)]),
        ("databases", vec![("name", String), ("engine", String), ("uuid", Uuid), ("comment", String)]),
        (
            "streams",
            vec![
                ("database", String),
                ("name", String),
                ("uuid", Uuid),
                ("engine", String),
                ("mode", String),
                ("shards", UInt32),
                ("create_table_query", String),
                ("partition_key", String),
                ("sorting_key", String),
                ("primary_key", String),
                ("total_rows", LogicalType::nullable(UInt64)),
                ("total_bytes", LogicalType::nullable(UInt64)),
                ("log_first_sn", LogicalType::nullable(Int64)),
                ("log_next_sn", LogicalType::nullable(Int64)),
                ("log_bytes", LogicalType::nullable(UInt64)),
                ("parts", LogicalType::nullable(UInt64)),
                ("comment", String),
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
                ("compression_codec", String),
                ("is_in_primary_key", UInt8),
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
        (
            "settings",
            vec![
                ("name", String),
                ("value", String),
                ("changed", UInt8),
                ("description", String),
                ("type", String),
                ("default", String),
                ("readonly", UInt8),
            ],
        ),
        (
            "processes",
            vec![
                ("query_id", String),
                ("user", String),
                ("query", String),
                ("elapsed", Float64),
                ("read_rows", UInt64),
                ("read_bytes", UInt64),
                ("total_rows_approx", UInt64),
                ("written_rows", UInt64),
                ("written_bytes", UInt64),
                ("result_rows", UInt64),
                ("memory_usage", Int64),
                ("query_kind", String),
                ("current_database", String),
                ("interface", String),
                ("client_address", String),
                ("is_streaming", UInt8),
                ("is_cancelled", UInt8),
                ("late_rows", UInt64),
                ("watermark", LogicalType::nullable(DateTime64(3, Some(hydron_types::Zone::UTC)))),
                ("streams", strings()),
            ],
        ),
        (
            "query_log",
            vec![
                ("type", String),
                ("event_date", Date),
                ("event_time", second()),
                ("query_start_time", second()),
                ("query_start_time_microseconds", DateTime64(6, None)),
                ("query_duration_ms", UInt64),
                ("read_rows", UInt64),
                ("read_bytes", UInt64),
                ("written_rows", UInt64),
                ("result_rows", UInt64),
                ("current_database", String),
                ("query", String),
                ("query_kind", String),
                ("exception_code", Int32),
                ("exception", String),
                ("user", String),
                ("query_id", String),
                ("address", String),
                ("interface", String),
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
            "parts",
            vec![
                ("database", String),
                ("table", String),
                ("name", String),
                ("active", UInt8),
                ("rows", UInt64),
                ("bytes_on_disk", UInt64),
                ("level", UInt32),
                ("min_time", LogicalType::nullable(DateTime64(3, Some(hydron_types::Zone::UTC)))),
                ("max_time", LogicalType::nullable(DateTime64(3, Some(hydron_types::Zone::UTC)))),
            ],
        ),
    ];
    tables.into_iter().map(|(name, columns)| (name, Arc::new(info(name, columns)))).collect()
});

fn info(name: &str, columns: Vec<(&'static str, LogicalType)>) -> StreamInfo {
    StreamInfo {
        database: Arc::from(DATABASE),
        name: Arc::from(name),
        uuid: Uuid::nil(),
        kind: StreamKind::System,
        mode: StreamMode::Append,
        columns: columns.into_iter().map(|(n, t)| ColumnInfo::new(n, t)).collect(),
        primary_key: Vec::new(),
        order_by: String::new(),
        partition_by: String::new(),
        version_column: None,
        shards: 1,
        sharding_expr: String::new(),
        engine: Arc::from("System"),
        settings: Vec::new(),
        comment: String::new(),
    }
}
