//! What the settings of an external stream say.
//!
//! In: names and values, columns. Out: where its messages are, and how they are read. Promise: what is accepted at CREATE is
//! accepted at every start; a setting that is unknown is refused with its name.

use hydron_base::{Code, Error, Result, Settings};
use hydron_external::kafka::{self, KafkaSettings};
use hydron_external::tail::TailSettings;
use hydron_plan::{ColumnDefault, ColumnInfo, StreamInfo};
use hydron_types::LogicalType;

/// Columns that are the message's own, and not part of its value.
pub const TIME: &str = "_tp_time";
pub const KEY: &str = "_tp_message_key";
pub const HEADERS: &str = "_tp_message_headers";

/// Settings of one kind of external streams.
const KAFKA: &[&str] = &[
    "brokers",
    "topic",
    "security_protocol",
    "username",
    "password",
    "sasl_mechanism",
    "ssl_ca_cert_file",
    "ssl_ca_pem",
    "skip_ssl_cert_check",
    "properties",
    "poll_waittime_ms",
    "reconnect_timeout_ms",
    "sharding_expr",
    "message_key",
    "one_message_per_row",
    "data_format",
    "format_schema",
    "config_file",
    "kafka_schema_registry_url",
    "kafka_schema_registry_credentials",
    "kafka_schema_registry_ca_location",
    "kafka_schema_registry_skip_cert_check",
    "kafka_schema_registry_cert_file",
    "kafka_schema_registry_private_key_file",
];

const LOG: &[&str] =
    &["log_files", "log_dir", "timestamp_regex", "row_delimiter", "max_row_length", "hash_bytes", "data_format"];

/// Taken for the sake of scripts: files are read with and without it.
const LOG_SWITCH: &str = "_tp_enable_log_stream_expr";

#[derive(Clone, Debug)]
pub struct Definition {
    pub kind: Kind,
    pub format: String,
    pub one_message_per_row: bool,
    /// An expression over the columns, as text.
    pub message_key: Option<String>,
    pub sharding: Option<String>,
    /// Settings of formats that stand in the definition.
    pub settings: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Kafka(KafkaSettings),
    Log(TailSettings),
}

impl Definition {
    /// Reads the `config_file` where one is named.
    ///
    /// Errors: INVALID_SETTING_VALUE naming the setting, UNKNOWN_SETTING, NOT_IMPLEMENTED for kinds and settings that are not built.
    pub fn of(info: &StreamInfo) -> Result<Definition> {
        let mut pairs: Vec<(String, String)> = info.settings.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
        if let Some((_, path)) = pairs.iter().find(|(k, _)| k == "config_file").cloned() {
            let text = std::fs::read_to_string(&path)
                .map_err(|e| Error::new(Code::CANNOT_OPEN_FILE, format!("cannot read config_file '{path}': {e}")))?;
            // What CREATE says counts.
            let more = kafka::settings::config_file(&text)?;
            pairs.extend(more.into_iter().filter(|(k, _)| !info.settings.iter().any(|(known, _)| **known == *k)));
        }
        // Proton takes both.
        if !info.partition_by.is_empty() && !pairs.iter().any(|(k, _)| k == "sharding_expr") {
            pairs.push(("sharding_expr".to_owned(), info.partition_by.clone()));
        }
        Definition::parse(&pairs, &info.columns)
    }

    pub fn parse(pairs: &[(String, String)], columns: &[ColumnInfo]) -> Result<Definition> {
        let find = |name: &str| pairs.iter().rev().find(|(k, _)| k == name).map(|(_, v)| v.clone());
        let get = |name: &str| find(name).filter(|v| !v.is_empty());
        let kind = get("type").ok_or_else(|| {
            let message = "an external stream needs the setting 'type'";
            Error::new(Code::INVALID_SETTING_VALUE, message).hint("type = 'kafka', 'redpanda' or 'log'")
        })?;
        let (known, kind) = match kind.to_ascii_lowercase().as_str() {
            "kafka" | "redpanda" => (KAFKA, Kind::Kafka(KafkaSettings::parse(&find)?)),
            "log" => (LOG, Kind::Log(TailSettings::parse(&find)?)),
            "pulsar" | "timeplus" | "proton" | "nats" | "http" | "iceberg" | "python" | "nats_jetstream" => {
                return Err(Error::not_implemented(format!("an external stream of type '{kind}'")));
            }
            other => {
                let message = format!("an external stream cannot have the type '{other}'");
                return Err(Error::new(Code::INVALID_SETTING_VALUE, message).hint("kafka, redpanda or log"));
            }
        };
        let mut settings = Vec::new();
        for (name, value) in pairs {
            if name == "type" || name == LOG_SWITCH || known.contains(&name.as_str()) {
                continue;
            }
            // One of a format, or of a query, may stand here too.
            let mut all = Settings::default();
            all.set(name, value).map_err(|e| e.context("external stream"))?;
            settings.push((name.clone(), value.clone()));
        }
        if get("format_schema").is_some() {
            return Err(Error::not_implemented("format_schema of an external stream"));
        }
        if let Some(text) = get("poll_waittime_ms")
            && !text.parse().is_ok_and(|ms: u64| (1..=60_000).contains(&ms))
        {
            let message = format!("setting 'poll_waittime_ms' cannot be '{text}'");
            return Err(Error::new(Code::INVALID_SETTING_VALUE, message).hint("1 to 60000 milliseconds"));
        }
        let values: Vec<&ColumnInfo> = columns.iter().filter(|c| is_of_value(c)).collect();
        let is_single = matches!(&values[..], [one] if matches!(one.ty.bare(), LogicalType::String));
        if matches!(kind, Kind::Log(_)) && !is_single {
            let message = "an external stream of log files has one column, of type string";
            return Err(Error::new(Code::BAD_ARGUMENTS, message).hint("CREATE EXTERNAL STREAM s (raw string) …"));
        }
        let format = match get("data_format") {
            Some(format) => format,
            None if is_single => "RawBLOB".to_owned(),
            None => "JSONEachRow".to_owned(),
        };
        let message_key = get("message_key");
        let asked = get("one_message_per_row").map(|t| kafka::settings::flag("one_message_per_row", &t)).transpose()?;
        let has_own = columns.iter().any(|c| matches!(&*c.name, KEY | HEADERS));
        if asked == Some(false) && message_key.is_some() {
            let message = "one_message_per_row = false and message_key exclude each other: a key is of one row";
            return Err(Error::new(Code::INVALID_SETTING_VALUE, message));
        }
        let forced = message_key.is_some() || has_own || get("sharding_expr").is_some();
        let one_message_per_row = forced || asked.unwrap_or(format == "RawBLOB");
        Ok(Definition { kind, format, one_message_per_row, message_key, sharding: get("sharding_expr"), settings })
    }

    /// The settings of a query with those of the stream on top.
    pub fn overlay(&self, query: &Settings) -> Settings {
        let mut settings = query.clone();
        for (name, value) in &self.settings {
            if let Err(e) = settings.set(name, value) {
                tracing::warn!("an external stream goes on without its setting {name}: {e}");
            }
        }
        settings
    }

    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Kafka(_) => "kafka",
            Kind::Log(_) => "log",
        }
    }
}

/// Whether a column stands in the value of a message.
pub fn is_of_value(column: &ColumnInfo) -> bool {
    !matches!(&*column.name, TIME | KEY | HEADERS)
        && matches!(column.default, ColumnDefault::None | ColumnDefault::Default(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, columns: &[(&str, LogicalType)]) -> Result<Definition> {
        let pairs: Vec<(String, String)> = text
            .split_whitespace()
            .filter_map(|p| p.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        let columns: Vec<_> = columns.iter().map(|(n, t)| ColumnInfo::new(*n, t.clone())).collect();
        Definition::parse(&pairs, &columns)
    }

    const KAFKA: &str = "type=kafka brokers=b:1 topic=t";

    #[test]
    fn one_string_is_a_whole_message_and_anything_else_is_json() {
        let raw = parse(KAFKA, &[("raw", LogicalType::String), (TIME, LogicalType::Int64)]).unwrap();
        assert_eq!((raw.format.as_str(), raw.one_message_per_row), ("RawBLOB", true));
        let json = parse(KAFKA, &[("a", LogicalType::Int32)]).unwrap();
        assert_eq!((json.format.as_str(), json.one_message_per_row), ("JSONEachRow", false));
        let keyed = parse(&format!("{KAFKA} message_key=a"), &[("a", LogicalType::Int32)]).unwrap();
        assert!(keyed.one_message_per_row);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let int = [("a", LogicalType::Int32)];
        let code = |text: &str| parse(text, &int).map(|_| ()).unwrap_err().code;
        assert_eq!(code("brokers=b topic=t"), Code::INVALID_SETTING_VALUE);
        assert_eq!(code("type=smoke"), Code::INVALID_SETTING_VALUE);
        assert_eq!(code("type=pulsar"), Code::NOT_IMPLEMENTED);
        assert_eq!(code("type=kafka topic=t"), Code::INVALID_SETTING_VALUE);
        assert_eq!(code(&format!("{KAFKA} nothing=1")), Code::UNKNOWN_SETTING);
        assert_eq!(code(&format!("{KAFKA} log_dir=/x")), Code::UNKNOWN_SETTING);
        assert_eq!(code(&format!("{KAFKA} message_key=a one_message_per_row=false")), Code::INVALID_SETTING_VALUE);
        assert_eq!(code(&format!("{KAFKA} format_schema=x")), Code::NOT_IMPLEMENTED);
        assert_eq!(code("type=log log_dir=/l log_files=x"), Code::BAD_ARGUMENTS);
        let csv = parse(&format!("{KAFKA} format_csv_delimiter=| data_format=CSV"), &int).unwrap();
        assert_eq!(csv.settings, [("format_csv_delimiter".to_owned(), "|".to_owned())]);
    }
}
