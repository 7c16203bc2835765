//! Settings of a query: names, kinds, defaults and what each does.
//!
//! In: `SET`, a `SETTINGS` clause, URL parameters, a profile. Out: typed values. Promise: an unknown name is an error
//! (115) and a value of the wrong kind is one too; a getter never fails.
//!
//! In reading order: this file (the table), [`choices`] (settings that take some words alone), [`accepted`] (names without effect).

mod accepted;
mod choices;

use crate::{Code, Error, Result};
use accepted::ACCEPTED;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    UInt,
    Float,
    Text,
}

impl Kind {
    /// As ClickHouse calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bool => "Bool",
            Kind::UInt => "UInt64",
            Kind::Float => "Float",
            Kind::Text => "String",
        }
    }
}

/// One row of the table behind `system.settings` and the reference.
pub struct SettingDef {
    pub name: &'static str,
    pub kind: Kind,
    pub default: &'static str,
    pub doc: &'static str,
}

/// The settings that were changed; everything else has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    changed: BTreeMap<String, String>,
}

impl Settings {
    /// Changes one setting. Errors: UNKNOWN_SETTING (115); of a value that is none, CANNOT_PARSE_BOOL (467),
    /// CANNOT_PARSE_NUMBER (72), CANNOT_PARSE_INPUT_ASSERTION_FAILED (27), ATTEMPT_TO_READ_AFTER_EOF (32), and those of
    /// [`choices`].
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let value = match definition(name) {
            Some(def) => normalize(def, value)?,
            None if is_known(name) => value.to_string(),
            None => return Err(unknown(name)),
        };
        self.changed.insert(name.to_string(), value);
        Ok(())
    }

    /// Changes all that `other` changes.
    pub fn overlay(&mut self, other: &Settings) {
        self.changed.extend(other.changed.iter().map(|(k, v)| (k.clone(), v.clone())));
    }

    pub fn reset(&mut self, name: &str) {
        self.changed.remove(name);
    }

    /// The changed settings in order of their names.
    pub fn changed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.changed.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    pub fn is_changed(&self, name: &str) -> bool {
        self.changed.contains_key(name)
    }

    /// The value as text: changed or default; empty for a name outside the table.
    pub fn text(&self, name: &str) -> &str {
        match self.changed.get(name) {
            Some(value) => value,
            None => definition(name).map_or("", |d| d.default),
        }
    }

    pub fn bool(&self, name: &str) -> bool {
        matches!(self.text(name), "1" | "true")
    }

    pub fn uint(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }

    pub fn float(&self, name: &str) -> f64 {
        self.text(name).parse().unwrap_or(0.0)
    }
}

/// The definition of a setting that has an effect or is documented.
pub fn definition(name: &str) -> Option<&'static SettingDef> {
    TABLE.iter().find(|d| d.name == name)
}

/// Every setting with a documented meaning.
pub fn definitions() -> &'static [SettingDef] {
    TABLE
}

/// Names of ClickHouse and Proton that are taken without effect, so that their clients and scripts run unchanged.
pub fn accepted_without_effect() -> &'static [&'static str] {
    ACCEPTED
}

/// Whether a setting of this name may be asked and set.
pub fn is_known(name: &str) -> bool {
    definition(name).is_some() || ACCEPTED.binary_search(&name).is_ok() || name.starts_with("param_")
}

fn unknown(name: &str) -> Error {
    let near = TABLE.iter().map(|d| d.name).filter(|n| shares_words(n, name)).take(3).collect::<Vec<_>>();
    let error = Error::new(Code::UNKNOWN_SETTING, format!("setting '{name}' is unknown"));
    if near.is_empty() { error } else { error.hint(near.join(", ")) }
}

/// Whether two names have all but one of their words in common.
fn shares_words(a: &str, b: &str) -> bool {
    let words = b.split('_').filter(|w| w.len() > 2).count();
    let common = b.split('_').filter(|w| w.len() > 2 && a.split('_').any(|x| x == *w)).count();
    common > 0 && common + 1 >= words
}

/// The value as it is kept. Codes are those of ClickHouse's readers of a bool, a number, a name.
fn normalize(def: &SettingDef, value: &str) -> Result<String> {
    let wrong =
        |code: Code, kind: &str| Error::new(code, format!("setting '{}' cannot be '{value}'", def.name)).hint(kind);
    let no_number = || match value {
        "" => wrong(Code::ATTEMPT_TO_READ_AFTER_EOF, "a whole number, 0 or more"),
        v if v.starts_with('-') => wrong(Code::CANNOT_PARSE_NUMBER, "a whole number, 0 or more"),
        _ => wrong(Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED, "a whole number, 0 or more"),
    };
    match def.kind {
        Kind::Text => choices::check(def.name, value).map(|()| value.to_string()),
        Kind::Bool => match value.to_ascii_lowercase().as_str() {
            "0" | "false" | "off" | "no" => Ok("0".into()),
            "1" | "true" | "on" | "yes" => Ok("1".into()),
            _ => {
                let number = value.parse::<u64>().map(|v| u64::from(v != 0).to_string());
                number.map_err(|_| wrong(Code::CANNOT_PARSE_BOOL, "0 or 1"))
            }
        },
        Kind::UInt => match value {
            "true" => Ok("1".into()),
            "false" => Ok("0".into()),
            // As many as there are cores, whatever their number behind the word.
            v if v.starts_with("auto") && def.name.ends_with("threads") => Ok("0".into()),
            _ => value.parse::<u64>().map(|v| v.to_string()).or_else(|_| sized(value).ok_or_else(no_number)),
        },
        Kind::Float => {
            let number = value.parse::<f64>().map(|v| v.to_string());
            number.map_err(|_| wrong(Code::CANNOT_PARSE_NUMBER, "a number"))
        }
    }
}

/// `10M`, `1Gi`: a number of bytes or rows with a decimal or binary suffix; a negative number of old clients counts as 0.
fn sized(value: &str) -> Option<String> {
    let digits = value.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = value[..digits].parse().ok()?;
    let factor: u64 = match &value[digits..] {
        "k" | "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor).map(|v| v.to_string())
}

const fn def(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> SettingDef {
    SettingDef { name, kind, default, doc }
}

const TABLE: &[SettingDef] = &[
    def(
        "query_mode",
        Kind::Text,
        "streaming",
        "`streaming`: a stream is read without end; `table`: every source is read as history",
    ),
    def(
        "seek_to",
        Kind::Text,
        "",
        "where a streaming read starts: `latest`, `earliest`, a time, `-10s`, or a sequence number for each shard",
    ),
    def(
        "kafka_max_message_size",
        Kind::UInt,
        "1048576",
        "bytes of a message that an INSERT into a topic makes of several rows",
    ),
    def("_tp_enable_log_stream_expr", Kind::Bool, "0", "accepted: external streams of log files need no switch"),
    def(
        "enable_backfill_from_historical_store",
        Kind::Bool,
        "1",
        "read history first when a streaming query seeks back",
    ),
    def("emit_during_backfill", Kind::Bool, "0", "let aggregations emit while history is read"),
    def("force_backfill_in_order", Kind::Bool, "0", "read history in order of `_tp_time`"),
    def(
        "idle_shard_timeout_ms",
        Kind::UInt,
        "0",
        "a shard without rows for so long does not hold windows open; rows that it has later may be late; 0: it does",
    ),
    def(
        "describe_include_subcolumns",
        Kind::Bool,
        "0",
        "DESCRIBE lists what lies inside columns too: paths of json columns, elements of tuples, sizes of arrays",
    ),
    def(
        "json_path_types",
        Kind::Text,
        "",
        "types in which paths of json columns are read, as a JSON object; kept with views and subscriptions",
    ),
    def("max_windows", Kind::UInt, "1000", "windows that EMIT LAST may keep open"),
    def("max_keep_windows", Kind::UInt, "0", "the same under an older name; the greater of both counts"),
    def("default_hash_table", Kind::Text, "memory", "accepted: groups are kept in memory"),
    def("default_hash_join", Kind::Text, "memory", "accepted: rows of joins are kept in memory"),
    def(
        "aggregate_state_ttl_sec",
        Kind::UInt,
        "0",
        "an aggregation without a window forgets groups to which no row came for so many seconds; 0: none",
    ),
    def("max_hot_keys", Kind::UInt, "1000000", "accepted: all keys are kept in memory"),
    def("allow_independent_shard_processing", Kind::Bool, "0", "accepted: groups are dealt out by their keys"),
    def("substreams", Kind::UInt, "0", "accepted: SHUFFLE BY deals groups out to max_threads tasks"),
    def("keep_windows", Kind::UInt, "0", "closed windows kept for another emit"),
    def(
        "merge_open_sessions",
        Kind::Bool,
        "0",
        "EMIT AFTER SESSION CLOSE: a row that starts a session goes into the one that is open instead of ending it",
    ),
    def("include_session_end", Kind::Bool, "1", "EMIT AFTER SESSION CLOSE: the row that ends a session is in it"),
    def("keep_versions", Kind::UInt, "3", "newest rows per key kept by an ASOF join"),
    def("max_join_range", Kind::UInt, "300", "seconds that a range join may span"),
    def(
        "join_latency_threshold",
        Kind::UInt,
        "0",
        "milliseconds by which the right side of a join may lag behind, instead of those of `lag_behind`; 0: those",
    ),
    def(
        "join_quiesce_threshold_ms",
        Kind::UInt,
        "0",
        "left rows of `lag_behind` wait no longer once the right side is silent for so long; 0: half the lag, at least 500",
    ),
    def(
        "javascript_max_memory_bytes",
        Kind::UInt,
        "104857600",
        "bytes that the engine of one JavaScript function of a query may take",
    ),
    def(
        "javascript_max_execution_ms",
        Kind::UInt,
        "10000",
        "milliseconds that a JavaScript function may take for one batch of rows; 0: no limit",
    ),
    def("join_max_buffered_bytes", Kind::UInt, "524288000", "bytes that a join of two streams may keep"),
    def(
        "join_use_nulls",
        Kind::Bool,
        "0",
        "fill the unmatched side of an outer join with NULL instead of default values",
    ),
    def(
        "join_algorithm",
        Kind::Text,
        "default",
        "the planner chooses; joins that the named algorithm does not have are refused",
    ),
    def(
        "cross_to_inner_join_rewrite",
        Kind::UInt,
        "1",
        "2: a comma between tables is an error unless WHERE has an equality between them",
    ),
    def(
        "empty_result_for_aggregation_by_constant_keys_on_empty_set",
        Kind::Bool,
        "1",
        "GROUP BY constants over no rows gives no row; 0: it gives one, as without GROUP BY",
    ),
    def(
        "enable_unaligned_array_join",
        Kind::Bool,
        "0",
        "ARRAY JOIN of arrays of different lengths fills with defaults",
    ),
    def(
        "join_default_strictness",
        Kind::Text,
        "ALL",
        "strictness of a JOIN without ANY or ALL; empty: it must be written",
    ),
    def("any_join_distinct_right_table_keys", Kind::Bool, "0", "old semantics of ANY JOIN"),
    def("joined_subquery_requires_alias", Kind::Bool, "1", "a joined subquery must have an alias"),
    def("compact_kv_stream", Kind::Bool, "1", "show only the newest row of each key of a keyed stream"),
    def("enforce_append_only", Kind::Bool, "0", "read keyed streams as append-only ones"),
    def("retract_max", Kind::UInt, "10000", "values that min and max keep to answer withdrawals"),
    def("retract_k_multiplier", Kind::UInt, "100", "k times this many values are kept by min_k and max_k"),
    def("replay_speed", Kind::Float, "0", "replay the log at this multiple of real time; 0: as fast as possible"),
    def("replay_time_column", Kind::Text, "_tp_append_time", "the column whose differences space a replay"),
    def("max_events", Kind::UInt, "0", "end a query on a random stream after so many rows; 0: never"),
    def("eps", Kind::Float, "-1", "events per second of a random stream; -1: as created"),
    def(
        "recovery_policy",
        Kind::Text,
        "strict",
        "what a view does with a record that its query fails at: `strict` tries it again for ever, `best_effort` passes it over",
    ),
    def(
        "recovery_retry_for_sn_failure",
        Kind::UInt,
        "3",
        "identical failures at one record before best_effort passes it over",
    ),
    def(
        "checkpoint_interval",
        Kind::UInt,
        "0",
        "seconds between checkpoints of a subscription or view; 0: as its state allows, from 5 on",
    ),
    def("exec_mode", Kind::Text, "normal", "`normal`, `subscribe`, `recover` or `unsubscribe`"),
    def("asterisk_include_reserved_columns", Kind::Bool, "1", "`*` includes `_tp_time` and `_tp_delta`"),
    def("include_internal_streams", Kind::Bool, "0", "SHOW STREAMS lists inner streams"),
    def("force_drop_big_stream", Kind::Bool, "0", "drop a stream however large it is"),
    def("enable_dependency_check", Kind::Bool, "1", "refuse to drop or rename what a view reads"),
    def("idempotent_id", Kind::Text, "", "a retry of an INSERT with the same id stores nothing"),
    def("insert_deduplication_token", Kind::Text, "", "same as idempotent_id"),
    def("max_block_size", Kind::UInt, "65409", "rows of a batch that a source makes"),
    def("max_insert_block_size", Kind::UInt, "65409", "rows of a batch that an INSERT makes"),
    def(
        "min_insert_block_size_rows",
        Kind::UInt,
        "65409",
        "accepted; batches are formed by max_insert_block_size and the record limit",
    ),
    def("max_threads", Kind::UInt, "0", "parallelism of a query; 0: as many as there are cores"),
    def("max_insert_threads", Kind::UInt, "0", "accepted; an INSERT SELECT writes from one task"),
    def("max_memory_usage", Kind::UInt, "0", "bytes that a query may keep; 0: no limit of its own"),
    def(
        "max_bytes_before_external_group_by",
        Kind::UInt,
        "0",
        "with max_memory_usage; not 0: what does not fit goes to disk, instead of an error",
    ),
    def("max_bytes_before_external_sort", Kind::UInt, "0", "the same"),
    def("max_server_memory_usage", Kind::UInt, "0", "bytes that all queries may keep; 0: 90 % of the machine's"),
    def("max_execution_time", Kind::Float, "0", "seconds that a query may run, streaming ones too; 0: no limit"),
    def("max_rows_to_read", Kind::UInt, "0", "rows that a historical query may read; 0: no limit"),
    def("max_bytes_to_read", Kind::UInt, "0", "bytes that a historical query may read; 0: no limit"),
    def("read_overflow_mode", Kind::Text, "throw", "at max_rows_to_read and max_bytes_to_read: `throw` or `break`"),
    def("max_result_rows", Kind::UInt, "0", "rows that a result may have; 0: no limit"),
    def("max_result_bytes", Kind::UInt, "0", "bytes that a result may have; 0: no limit"),
    def("result_overflow_mode", Kind::Text, "throw", "at max_result_rows and max_result_bytes: `throw` or `break`"),
    def(
        "max_rows_to_group_by",
        Kind::UInt,
        "0",
        "groups that a GROUP BY may have, in a stream each window; 0: no limit",
    ),
    def(
        "group_by_overflow_mode",
        Kind::Text,
        "throw",
        "at max_rows_to_group_by: `throw`, `break` or `any`; streams know no limit but with `throw`",
    ),
    def("max_rows_in_set", Kind::UInt, "0", "values that an IN set may have; 0: no limit"),
    def("set_overflow_mode", Kind::Text, "throw", "at max_rows_in_set: `throw` or `break`"),
    def("max_columns_to_read", Kind::UInt, "0", "columns of one stream that a query may read; 0: no limit"),
    def("max_subquery_depth", Kind::UInt, "100", "queries inside queries, at most 100"),
    def("max_rows_to_sort", Kind::UInt, "0", "rows that ORDER BY of a historical query may sort; 0: no limit"),
    def("sort_overflow_mode", Kind::Text, "throw", "at max_rows_to_sort: `throw` or `break`"),
    def("max_rows_in_distinct", Kind::UInt, "0", "rows that DISTINCT of a historical query may keep; 0: no limit"),
    def("distinct_overflow_mode", Kind::Text, "throw", "at max_rows_in_distinct: `throw` or `break`"),
    def("join_overflow_mode", Kind::Text, "throw", "at max_rows_in_join: `throw` or `break`"),
    def("max_rows_in_join", Kind::UInt, "0", "rows that the right side of a join may have; 0: no limit"),
    def("max_bytes_in_join", Kind::UInt, "0", "bytes that the right side of a join may have; 0: no limit"),
    def(
        "join_any_take_last_row",
        Kind::Bool,
        "0",
        "accepted; at CREATE of a Join table: of several rows of a key the last one counts",
    ),
    def("optimize_on_insert", Kind::Bool, "1", "rows of one INSERT are merged as the engine of the table says"),
    def(
        "max_partitions_per_insert_block",
        Kind::UInt,
        "100",
        "partitions that one batch of an INSERT into a table may have; 0: no limit",
    ),
    def(
        "throw_on_max_partitions_per_insert_block",
        Kind::Bool,
        "1",
        "at max_partitions_per_insert_block an error; 0: no limit",
    ),
    def(
        "max_partitions_to_read",
        Kind::Text,
        "-1",
        "partitions of a table that a query may read; -1: as the table says, 0: no limit",
    ),
    def("check_query_single_value_result", Kind::Bool, "1", "CHECK STREAM answers with one number"),
    def("max_query_size", Kind::UInt, "16777216", "bytes of a query text, data of an INSERT not counted"),
    def("max_ast_depth", Kind::UInt, "1000", "depth of a syntax tree"),
    def("max_ast_elements", Kind::UInt, "50000", "accepted; the parser has its own limit"),
    def("max_parser_depth", Kind::UInt, "1000", "accepted; the parser has its own limit"),
    def("max_concurrent_queries_for_user", Kind::UInt, "0", "queries that one user may run at once; 0: no limit"),
    def("limit", Kind::UInt, "0", "a LIMIT on the result of every SELECT; 0: none"),
    def("offset", Kind::UInt, "0", "an OFFSET on the result of every SELECT"),
    def("extremes", Kind::Bool, "0", "also return the least and greatest value of each column"),
    def(
        "force_grouping_standard_compatibility",
        Kind::Bool,
        "1",
        "grouping() has a 1 for a key that is left out; off: for one that is there",
    ),
    def("max_recursive_cte_evaluation_depth", Kind::UInt, "1000", "steps of a recursive CTE"),
    def("totals_mode", Kind::Text, "after_having_exclusive", "how HAVING and TOTALS meet"),
    def("union_default_mode", Kind::Text, "ALL", "what a bare UNION means: `ALL` or `DISTINCT`"),
    def("count_distinct_implementation", Kind::Text, "unique_exact", "the function behind count(distinct x)"),
    def(
        "prefer_column_name_to_alias",
        Kind::Bool,
        "0",
        "a name in an expression means the column, not an alias of that name",
    ),
    def(
        "enable_positional_arguments",
        Kind::Bool,
        "0",
        "a number in GROUP BY, ORDER BY and LIMIT BY means a column of the select list",
    ),
    def("transform_null_in", Kind::Bool, "0", "NULL IN (NULL) is true"),
    def("cast_keep_nullable", Kind::Bool, "0", "CAST of a nullable value stays nullable"),
    def(
        "cast_ipv4_ipv6_default_on_conversion_error",
        Kind::Bool,
        "0",
        "a text that is no address becomes the default address",
    ),
    def("data_type_default_nullable", Kind::Bool, "0", "a column without NULL or NOT NULL is nullable"),
    def("insert_null_as_default", Kind::Bool, "1", "NULL in a column that cannot hold it becomes the default"),
    def("flatten_nested", Kind::Bool, "1", "a nested column is stored as parallel arrays"),
    def("allow_suspicious_low_cardinality_types", Kind::Bool, "0", "permit low_cardinality of small fixed-size types"),
    def("aggregate_functions_null_for_empty", Kind::Bool, "0", "aggregates of no rows are NULL"),
    def("empty_result_for_aggregation_by_empty_set", Kind::Bool, "0", "an aggregation of no rows returns no rows"),
    def("decimal_check_overflow", Kind::Bool, "1", "arithmetic on decimals reports overflow"),
    def(
        "enable_extended_results_for_datetime_functions",
        Kind::Bool,
        "0",
        "starts and ends of months and weeks of date32 and datetime64 are date32 instead of date",
    ),
    def("validate_polygons", Kind::Bool, "1", "point_in_polygon refuses polygons that cross themselves"),
    def("function_range_max_elements_in_block", Kind::UInt, "500000000", "elements that range() may make in one batch"),
    def(
        "allow_experimental_hash_functions",
        Kind::Bool,
        "0",
        "permit hash functions whose answers may still change: hashid",
    ),
    def(
        "allow_introspection_functions",
        Kind::Bool,
        "0",
        "permit functions that look into the server: demangle and its like",
    ),
    def(
        "allow_experimental_nlp_functions",
        Kind::Bool,
        "0",
        "permit functions on words of natural language: stem and its like",
    ),
    def(
        "splitby_max_substrings_includes_remaining_string",
        Kind::Bool,
        "0",
        "the last of max_substrings parts is all that is left",
    ),
    def("allow_ddl", Kind::Bool, "1", "permit CREATE, DROP, ALTER and their like"),
    def("readonly", Kind::UInt, "0", "1: only reads; 2: reads and settings"),
    def(
        "type_names",
        Kind::Text,
        "proton",
        "names of types in answers of native blocks and of DESCRIBE: `proton` (lower case) or `clickhouse` (CamelCase)",
    ),
    def(
        "client_protocol_version",
        Kind::UInt,
        "0",
        "protocol revision of blocks in format Native; 0: without block info",
    ),
    def(
        "network_compression_method",
        Kind::Text,
        "LZ4",
        "compression of native blocks to clients that ask for it: `LZ4` or `ZSTD`",
    ),
    def("network_zstd_compression_level", Kind::UInt, "1", "level of ZSTD on the way to native clients, 1 to 9"),
    def("session_timezone", Kind::Text, "", "the zone of datetime without a zone of its own; empty: the server's"),
    def("default_format", Kind::Text, "", "output format of a query without FORMAT"),
    def("format_schema", Kind::Text, "", "schema of the formats that need one: `name` or `name:Message`"),
    def(
        "format_schema_source",
        Kind::Text,
        "",
        "text of the schema that `format_schema` names; put there by the server",
    ),
    def(
        "output_format_avro_codec",
        Kind::Text,
        "deflate",
        "how blocks of an Avro file are packed: `null`, `deflate`, `snappy`, `zstandard`",
    ),
    def("date_time_input_format", Kind::Text, "basic", "`basic` or `best_effort`"),
    def("date_time_output_format", Kind::Text, "simple", "`simple`, `iso` or `unix_timestamp`"),
    def("bool_true_representation", Kind::Text, "true", "text of true"),
    def("bool_false_representation", Kind::Text, "false", "text of false"),
    def("format_csv_delimiter", Kind::Text, ",", "separates fields of CSV"),
    def("format_csv_allow_single_quotes", Kind::Bool, "0", "fields of CSV may stand in single quotes"),
    def("format_csv_allow_double_quotes", Kind::Bool, "1", "fields of CSV may stand in double quotes"),
    def("format_csv_null_representation", Kind::Text, "\\N", "NULL in CSV"),
    def("format_tsv_null_representation", Kind::Text, "\\N", "NULL in TSV"),
    def("output_format_csv_crlf_end_of_line", Kind::Bool, "0", "CSV lines end with CR LF"),
    def("output_format_tsv_crlf_end_of_line", Kind::Bool, "0", "TSV lines end with CR LF"),
    def("input_format_csv_empty_as_default", Kind::Bool, "1", "an empty field of CSV becomes the default"),
    def("input_format_skip_unknown_fields", Kind::Bool, "1", "ignore fields that the stream does not have"),
    def("input_format_null_as_default", Kind::Bool, "1", "NULL in a column that cannot hold it becomes the default"),
    def("input_format_defaults_for_omitted_fields", Kind::Bool, "1", "omitted fields become their defaults"),
    def("input_format_import_nested_json", Kind::Bool, "0", "accepted"),
    def("input_format_allow_errors_num", Kind::UInt, "0", "rows of text that may be skipped because they do not parse"),
    def(
        "input_format_allow_errors_ratio",
        Kind::Float,
        "0",
        "share of rows of text that may be skipped because they do not parse",
    ),
    def(
        "input_format_ipv4_default_on_conversion_error",
        Kind::Bool,
        "0",
        "a text that is no IPv4 address becomes 0.0.0.0",
    ),
    def("input_format_ipv6_default_on_conversion_error", Kind::Bool, "0", "a text that is no IPv6 address becomes ::"),
    def("input_format_values_interpret_expressions", Kind::Bool, "1", "VALUES may hold expressions"),
    def("output_format_json_quote_64bit_integers", Kind::Bool, "1", "64-bit integers are strings in JSON"),
    def("output_format_json_quote_denormals", Kind::Bool, "0", "inf and nan are strings in JSON instead of null"),
    def("allow_suspicious_codecs", Kind::Bool, "0", "CODEC may list codecs that make no sense together"),
    def("allow_experimental_codecs", Kind::Bool, "0", "CODEC may be FPC"),
    def("output_format_json_quote_64bit_floats", Kind::Bool, "0", "64-bit floats are strings in JSON"),
    def(
        "format_json_object_each_row_column_for_object_name",
        Kind::Text,
        "",
        "the column whose values are the names of rows in JSONObjectEachRow",
    ),
    def("input_format_csv_skip_first_lines", Kind::UInt, "0", "lines before the rows of CSV that are not read"),
    def("input_format_tsv_skip_first_lines", Kind::UInt, "0", "lines before the rows of TSV that are not read"),
    def(
        "input_format_csv_allow_variable_number_of_columns",
        Kind::Bool,
        "0",
        "rows of CSV may have fewer fields, for which columns take their DEFAULT, or more, which are not read",
    ),
    def("input_format_tsv_allow_variable_number_of_columns", Kind::Bool, "0", "the same of TSV"),
    def(
        "input_format_json_compact_allow_variable_number_of_columns",
        Kind::Bool,
        "0",
        "the same of JSONCompactEachRow",
    ),
    def(
        "input_format_csv_trim_whitespaces",
        Kind::Bool,
        "1",
        "spaces and tabs around fields of CSV without quotes are not read",
    ),
    def(
        "input_format_csv_use_default_on_bad_values",
        Kind::Bool,
        "0",
        "a column takes its DEFAULT where a field of CSV does not parse",
    ),
    def("schema_inference_make_columns_nullable", Kind::Bool, "1", "columns that data tells by itself are nullable"),
    def(
        "input_format_try_infer_integers",
        Kind::Bool,
        "1",
        "numbers without a fraction are int64, where data tells its columns",
    ),
    def(
        "input_format_try_infer_dates",
        Kind::Bool,
        "1",
        "texts like 2020-01-31 are dates, where data tells its columns",
    ),
    def(
        "input_format_try_infer_datetimes",
        Kind::Bool,
        "1",
        "texts like 2020-01-31 10:00:00 are times, where data tells its columns",
    ),
    def(
        "input_format_json_try_infer_numbers_from_strings",
        Kind::Bool,
        "0",
        "strings with a number are numbers, where JSON tells its columns",
    ),
    def(
        "input_format_json_try_infer_named_tuples_from_objects",
        Kind::Bool,
        "0",
        "objects in JSON are tuples with names instead of maps and json, where it tells its columns",
    ),
    def(
        "column_names_for_schema_inference",
        Kind::Text,
        "",
        "names of columns, between commas, for formats without names",
    ),
    def("output_format_json_quote_decimals", Kind::Bool, "0", "decimals are strings in JSON"),
    def("output_format_json_escape_forward_slashes", Kind::Bool, "1", "`/` is written `\\/` in JSON"),
    def("output_format_json_named_tuples_as_objects", Kind::Bool, "1", "named tuples are objects in JSON"),
    def("output_format_json_array_of_rows", Kind::Bool, "0", "JSONEachRow is one array"),
    def("output_format_write_statistics", Kind::Bool, "1", "JSON ends with elapsed time and rows read"),
    def("output_format_decimal_trailing_zeros", Kind::Bool, "0", "decimals keep zeros at their end"),
    def("output_format_pretty_max_rows", Kind::UInt, "10000", "rows that Pretty formats print"),
    def("output_format_pretty_max_column_pad_width", Kind::UInt, "250", "width to which Pretty formats pad a column"),
    def("output_format_pretty_max_value_width", Kind::UInt, "10000", "characters of a value that Pretty formats print"),
    def("output_format_pretty_color", Kind::Bool, "1", "Pretty formats use ANSI colours"),
    def("output_format_pretty_grid_charset", Kind::Text, "UTF-8", "`UTF-8` or `ASCII`"),
    def("output_format_pretty_row_numbers", Kind::Bool, "0", "Pretty formats number the rows"),
    def("format_template_row", Kind::Text, "", "file among the user files with the text of a row of format Template"),
    def(
        "format_template_resultset",
        Kind::Text,
        "",
        "file among the user files with the text around the rows of format Template",
    ),
    def("format_template_row_format", Kind::Text, "", "text of a row of format Template: `${column:Rule}` is a value"),
    def(
        "format_template_resultset_format",
        Kind::Text,
        "",
        "text around the rows of format Template: `${data}` stands for them",
    ),
    def("format_template_rows_between_delimiter", Kind::Text, "\n", "what stands between the rows of format Template"),
    def(
        "format_custom_escaping_rule",
        Kind::Text,
        "Escaped",
        "how CustomSeparated writes values: `Escaped`, `Quoted`, `CSV`, `JSON`, `XML`, `Raw`",
    ),
    def("format_custom_field_delimiter", Kind::Text, "\t", "what stands between the values of CustomSeparated"),
    def("format_custom_row_before_delimiter", Kind::Text, "", "what stands before each row of CustomSeparated"),
    def("format_custom_row_after_delimiter", Kind::Text, "\n", "what stands after each row of CustomSeparated"),
    def("format_custom_row_between_delimiter", Kind::Text, "", "what stands between two rows of CustomSeparated"),
    def("format_custom_result_before_delimiter", Kind::Text, "", "what stands before the result of CustomSeparated"),
    def("format_custom_result_after_delimiter", Kind::Text, "", "what stands after the result of CustomSeparated"),
    def("format_regexp", Kind::Text, "", "expression of format Regexp; its groups are the columns"),
    def("format_regexp_escaping_rule", Kind::Text, "Raw", "how the groups of format_regexp are written"),
    def("format_regexp_skip_unmatched", Kind::Bool, "0", "skip lines that format_regexp does not match"),
    def("output_format_sql_insert_max_batch_size", Kind::UInt, "65505", "rows of one statement of SQLInsert"),
    def("output_format_sql_insert_table_name", Kind::Text, "table", "the table that SQLInsert names"),
    def("output_format_sql_insert_include_column_names", Kind::Bool, "1", "SQLInsert names the columns"),
    def("output_format_sql_insert_use_replace", Kind::Bool, "0", "SQLInsert writes REPLACE instead of INSERT"),
    def("output_format_sql_insert_quote_names", Kind::Bool, "1", "SQLInsert puts names of columns into backquotes"),
    def("send_progress_in_http_headers", Kind::Bool, "0", "HTTP responses carry progress headers"),
    def("http_headers_progress_interval_ms", Kind::UInt, "100", "milliseconds between two progress headers"),
    def("wait_end_of_query", Kind::Bool, "0", "HTTP answers when the whole result is known"),
    def("buffer_size", Kind::UInt, "0", "bytes of a result that HTTP may hold back"),
    def("add_http_cors_header", Kind::Bool, "0", "HTTP answers permit pages of any origin to read them"),
    def("http_response_headers", Kind::Text, "", "headers of the HTTP answer, as a map: {'X-Name': 'value'}"),
    def("enable_http_compression", Kind::Bool, "0", "HTTP compresses as Accept-Encoding asks"),
    def("http_zlib_compression_level", Kind::UInt, "3", "level of HTTP compression"),
    def("session_timeout", Kind::UInt, "60", "seconds that an HTTP session lives after its last query"),
    def("log_queries", Kind::Bool, "1", "keep finished queries in system.query_log"),
    def("log_comment", Kind::Text, "", "kept with the query in system.query_log"),
    def("cancel_http_readonly_queries_on_client_close", Kind::Bool, "1", "a closed HTTP connection ends its query"),
    def("replace_running_query", Kind::Bool, "0", "a query with the id of a running one replaces it"),
    def("synchronous_ddl", Kind::Bool, "1", "accepted; DDL is always synchronous"),
    def("enable_light_ingest", Kind::Bool, "1", "accepted"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_names_are_sorted_for_the_search() {
        assert!(ACCEPTED.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn values_are_checked_and_normalized() {
        let mut s = Settings::default();
        s.set("join_use_nulls", "true").unwrap();
        s.set("max_memory_usage", "10Mi").unwrap();
        assert!(s.bool("join_use_nulls"));
        assert_eq!(s.uint("max_memory_usage"), 10 << 20);
        let code = |name: &str, value: &str| Settings::default().set(name, value).unwrap_err().code;
        assert_eq!(code("max_threads", "many"), Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED);
        assert_eq!(code("max_threads", "-1"), Code::CANNOT_PARSE_NUMBER);
        assert_eq!(code("max_threads", ""), Code::ATTEMPT_TO_READ_AFTER_EOF);
        assert_eq!(code("max_execution_time", "long"), Code::CANNOT_PARSE_NUMBER);
        assert_eq!(code("join_use_nulls", "maybe"), Code::CANNOT_PARSE_BOOL);
        assert_eq!(code("totals_mode", "all"), Code::UNKNOWN_TOTALS_MODE);
        assert_eq!(code("union_default_mode", "all of them"), Code::UNKNOWN_UNION);
        s.set("max_threads", "auto").unwrap();
        assert_eq!(s.uint("max_threads"), 0);
        assert_eq!(s.set("max_treads", "1").unwrap_err().code, Code::UNKNOWN_SETTING);
        assert_eq!(s.uint("max_block_size"), 65_409);
    }
}
