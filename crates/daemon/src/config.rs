//! Configuration: a YAML file, then the environment, then flags, the later ones over the earlier.
//!
//! In: texts. Out: one checked value. Promise: an unknown key or a value of the wrong kind is an error that names it; every
//! key can be set in each of the three places. Reference: docs/reference/configuration.md.

use hydron_base::{Code, Error, Result, Settings};
use hydron_wire::users::Users;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Environment variables `HYDRON_<KEY>` set keys; a key in a section has two underscores: `HYDRON_LOGGER__LEVEL`.
pub const ENVIRONMENT_PREFIX: &str = "HYDRON_";

/// Variables with the prefix that are not keys: from the supervisor to the worker, of the tests, of the client.
const RESERVED: &[&str] = &[
    "HYDRON_LISTENERS",
    "HYDRON_CONTROL",
    "HYDRON_CONFIG",
    "HYDRON_BOARD",
    "HYDRON_WAKE",
    "HYDRON_CALLERS",
    "HYDRON_ENTRANCES",
    "HYDRON_USERS",
    "HYDRON_DUMP",
    "HYDRON_CONFORMANCE",
    "HYDRON_PASSWORD",
];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Everything the server keeps.
    pub path: PathBuf,
    /// The directory that `file('…')` reads; empty: `user_files` in the data directory.
    pub user_files_path: String,
    /// The directory whose programs may be executable functions; empty: `user_scripts` in the data directory.
    pub user_scripts_path: String,
    /// The address to listen on. Other machines come in only when every user has a password of its own.
    pub listen_host: String,
    /// A file of users in the shape of Proton's `users.yaml`; empty: those that every server has.
    pub users_config: String,
    /// Listen on any address whatever passwords users have.
    #[serde(deserialize_with = "flag")]
    pub allow_insecure_remote: bool,
    /// Ports; 0 is off.
    pub http_port: u16,
    pub tcp_port: u16,
    pub rest_port: u16,
    pub postgres_port: u16,
    /// Ports that speak TLS; 0 is off.
    pub https_port: u16,
    pub tcp_port_secure: u16,
    pub rest_port_secure: u16,
    pub postgres_port_secure: u16,
    pub tls: TlsConfig,
    /// What `hostname()` says; empty: the machine's name.
    pub display_name: String,
    /// Threads that compute; 0: two more than cores.
    pub cpu_threads: usize,
    /// Bytes that all queries may keep; 0: 90 % of the machine's memory.
    pub max_server_memory_usage: u64,
    pub max_concurrent_queries: usize,
    pub log: LogConfig,
    pub logger: LoggerConfig,
    pub checkpoint: CheckpointConfig,
    pub shutdown: ShutdownConfig,
    pub crash: CrashConfig,
    /// Settings of every session.
    pub profile: BTreeMap<String, Value>,
}

/// What clients of the TLS ports are shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM: the server's certificate, then those between it and its authority.
    pub certificate_file: String,
    /// PEM: the key of that certificate.
    pub private_key_file: String,
}

/// How streams are stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Whether an INSERT is answered only after its rows are synced to disk.
    pub sync: bool,
    pub segment_bytes: u64,
    /// Log records become a part at so many rows, bytes or milliseconds.
    pub flush_threshold_count: u64,
    pub flush_threshold_bytes: u64,
    pub flush_threshold_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoggerConfig {
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter by module.
    pub level: String,
    /// A file to append to; empty: standard error.
    pub log: String,
}

/// How the state of subscriptions and views is kept; times in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// `local_file_system`, the only one.
    pub storage_type: String,
    /// Empty: `checkpoint` in the data directory.
    pub path: String,
    /// The longest time between two checkpoints of a query that does not set `checkpoint_interval`.
    pub interval: u64,
    /// State that nobody went on with for so long is removed.
    pub last_access_ttl: u64,
    /// How often that is looked for.
    pub last_access_check_interval: u64,
    /// How long the id of an unsubscribed query is remembered.
    pub delete_grace_interval: u64,
    /// How long a stop waits for last checkpoints; half of `shutdown.queries_ms` at most.
    pub teardown_flush_timeout: u64,
}

impl Default for CheckpointConfig {
    fn default() -> CheckpointConfig {
        CheckpointConfig {
            storage_type: LOCAL_STORAGE.to_string(),
            path: String::new(),
            interval: 900,
            last_access_ttl: 604_800,
            last_access_check_interval: 7_200,
            delete_grace_interval: 60,
            teardown_flush_timeout: 60,
        }
    }
}

/// Where checkpoints may be.
const LOCAL_STORAGE: &str = "local_file_system";

/// Deadlines of a graceful stop, in milliseconds from the signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownConfig {
    /// Queries that have not ended are cancelled.
    pub queries_ms: u64,
    /// The process ends, whatever it still does.
    pub total_ms: u64,
}

/// What happens when the worker crashes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CrashConfig {
    /// A query that crashed the server so often within 60 s is refused; 0: never.
    pub quarantine: u32,
    /// So many crashes within 60 s, and the server goes on without writes; 0: never.
    pub safe_mode: u32,
    /// A dying worker is killed after so many milliseconds, its stacks saved or not.
    pub dump_deadline_ms: u64,
    /// A worker whose threads wait and show no sign of life for so many milliseconds is killed; 0: never.
    pub hang_ms: u64,
    /// The same while they compute.
    pub busy_ms: u64,
    /// Whether the function `trap`, which crashes the worker on purpose, may be called.
    pub allow_trap: bool,
}

impl Default for CrashConfig {
    fn default() -> CrashConfig {
        CrashConfig {
            quarantine: 2,
            safe_mode: 5,
            dump_deadline_ms: 200,
            hang_ms: 4_000,
            busy_ms: 300_000,
            allow_trap: false,
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            path: PathBuf::from("./hydron-data"),
            user_files_path: String::new(),
            user_scripts_path: String::new(),
            listen_host: "127.0.0.1".to_string(),
            users_config: String::new(),
            allow_insecure_remote: false,
            http_port: 8123,
            tcp_port: 8463,
            rest_port: 3218,
            postgres_port: 0,
            https_port: 0,
            tcp_port_secure: 0,
            rest_port_secure: 0,
            postgres_port_secure: 0,
            tls: TlsConfig::default(),
            display_name: String::new(),
            cpu_threads: 0,
            max_server_memory_usage: 0,
            max_concurrent_queries: 1_000,
            log: LogConfig::default(),
            logger: LoggerConfig::default(),
            checkpoint: CheckpointConfig::default(),
            shutdown: ShutdownConfig::default(),
            crash: CrashConfig::default(),
            profile: BTreeMap::new(),
        }
    }
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            sync: true,
            segment_bytes: 256 << 20,
            flush_threshold_count: 1_000_000,
            flush_threshold_bytes: 128 << 20,
            flush_threshold_ms: 2_000,
        }
    }
}

impl Default for LoggerConfig {
    fn default() -> LoggerConfig {
        LoggerConfig { level: "info".to_string(), log: String::new() }
    }
}

impl Default for ShutdownConfig {
    fn default() -> ShutdownConfig {
        ShutdownConfig { queries_ms: 3_000, total_ms: 10_000 }
    }
}

impl Config {
    /// Puts the sources together. `environment`: pairs of the process environment; `flags`: pairs of `--set` and of the
    /// flags with names of their own.
    pub fn load(
        yaml: Option<&str>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[(String, String)],
    ) -> Result<Config> {
        let mut tree = match yaml {
            Some(text) if !text.trim().is_empty() => serde_saphyr::from_str::<Value>(text)
                .map_err(|e| Error::new(Code::CONFIG_ERROR, format!("configuration file: {e}")))?,
            _ => Value::Object(Map::new()),
        };
        if tree.is_null() {
            tree = Value::Object(Map::new());
        }
        for (name, value) in environment {
            let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            if !RESERVED.contains(&name.as_str()) {
                put(&mut tree, &key.to_ascii_lowercase().replace("__", "."), &value)?;
            }
        }
        for (key, value) in flags {
            put(&mut tree, key, value)?;
        }
        rename(&mut tree);
        let config: Config = serde_json::from_value(tree).map_err(|e| {
            Error::new(Code::CONFIG_ERROR, format!("configuration: {e}")).hint("docs/reference/configuration.md")
        })?;
        config.profile_settings()?;
        if config.checkpoint.storage_type != LOCAL_STORAGE {
            let message = format!("checkpoint.storage_type '{}' is unknown", config.checkpoint.storage_type);
            return Err(Error::new(Code::CONFIG_ERROR, message).hint(LOCAL_STORAGE));
        }
        Ok(config)
    }

    /// The text of the users' file, checked; empty where none is configured. Errors: CANNOT_OPEN_FILE, CONFIG_ERROR, also for
    /// users that may not be let in from other machines.
    pub fn users_text(&self) -> Result<String> {
        let (text, users) = match self.users_config.as_str() {
            "" => (String::new(), Users::default()),
            path => {
                let text = std::fs::read_to_string(path).map_err(|e| {
                    Error::new(Code::CANNOT_OPEN_FILE, format!("users_config: cannot read {path}: {e}"))
                })?;
                let users = Users::parse(&text)?;
                (text, users)
            }
        };
        users.check_bind(&self.listen_host, self.allow_insecure_remote)?;
        Ok(text)
    }

    /// The settings of `profile`. Errors: UNKNOWN_SETTING, INVALID_SETTING_VALUE.
    pub fn profile_settings(&self) -> Result<Settings> {
        let mut settings = Settings::default();
        for (name, value) in &self.profile {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            settings.set(name, &text).map_err(|e| e.context("profile"))?;
        }
        Ok(settings)
    }
}

/// The users of a text as [`Config::users_text`] gives it.
pub fn users_of(text: &str) -> Result<Users> {
    if text.is_empty() { Ok(Users::default()) } else { Users::parse(text) }
}

/// Keys that stand alone as well as in their section.
const ALONE: [(&str, &str, &str); 2] =
    [("crash_quarantine", "crash", "quarantine"), ("crash_safe_mode", "crash", "safe_mode")];

/// Moves them there.
fn rename(tree: &mut Value) {
    let Value::Object(map) = tree else { return };
    for (alone, section, key) in ALONE {
        if let Some(value) = map.remove(alone)
            && let Value::Object(section) = map.entry(section).or_insert_with(|| Value::Object(Map::new()))
        {
            section.insert(key.to_string(), value);
        }
    }
}

/// `true`, `false`, 1 or 0.
fn flag<'de, D: serde::Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    match Value::deserialize(value)? {
        Value::Bool(flag) => Ok(flag),
        Value::Number(n) if n.as_u64() == Some(1) => Ok(true),
        Value::Number(n) if n.as_u64() == Some(0) => Ok(false),
        other => Err(serde::de::Error::custom(format!("{other} is neither 1 nor 0"))),
    }
}

/// Sets `section.key` to a YAML scalar.
fn put(tree: &mut Value, key: &str, text: &str) -> Result<()> {
    let mut at = tree;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        let Value::Object(map) = at else {
            return Err(Error::new(Code::CONFIG_ERROR, format!("key '{key}': '{part}' is not inside a section")));
        };
        if parts.peek().is_none() {
            // A text that is no YAML scalar (a password with a colon) stays a text.
            let value = serde_saphyr::from_str(text).unwrap_or_else(|_| Value::String(text.to_string()));
            let value = if matches!(value, Value::Object(_) | Value::Array(_)) {
                Value::String(text.to_string())
            } else {
                value
            };
            map.insert(part.to_string(), value);
            return Ok(());
        }
        at = map.entry(part.to_string()).or_insert_with(|| Value::Object(Map::new()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
    }

    #[test]
    fn flags_win_over_environment_over_file() {
        let yaml = "http_port: 1\nrest_port: 1\ntcp_port: 1\nlogger:\n  level: debug\n";
        let environment =
            pairs(&[("HYDRON_REST_PORT", "2"), ("HYDRON_TCP_PORT", "2"), ("HYDRON_LOG__SYNC", "false"), ("HOME", "x")]);
        let config = Config::load(Some(yaml), environment, &pairs(&[("tcp_port", "3")])).unwrap();
        assert_eq!((config.http_port, config.rest_port, config.tcp_port), (1, 2, 3));
        assert_eq!(config.logger.level, "debug");
        assert!(!config.log.sync);
    }

    #[test]
    fn the_switches_of_a_crash_stand_alone_too() {
        let config = Config::load(None, [], &pairs(&[("crash_quarantine", "0"), ("crash.hang_ms", "7")])).unwrap();
        assert_eq!((config.crash.quarantine, config.crash.safe_mode, config.crash.hang_ms), (0, 5, 7));
    }

    #[test]
    fn checkpoints_are_kept_where_and_as_often_as_it_says() {
        let yaml = "checkpoint:\n  path: /var/lib/x/checkpoint/\n  interval: 60\n";
        let config = Config::load(Some(yaml), [], &pairs(&[("checkpoint.last_access_ttl", "5")])).unwrap();
        assert_eq!((config.checkpoint.interval, config.checkpoint.last_access_ttl), (60, 5));
        let e = Config::load(None, [], &pairs(&[("checkpoint.storage_type", "s3")])).unwrap_err();
        assert!(e.message.contains("'s3'"), "{e}");
    }

    #[test]
    fn an_unknown_key_is_named() {
        let e = Config::load(None, [], &pairs(&[("htpp_port", "1")])).unwrap_err();
        assert_eq!(e.code, Code::CONFIG_ERROR);
        assert!(e.message.contains("htpp_port"), "{e}");
    }

    #[test]
    fn users_come_from_their_file() {
        let users = |config: &Config| config.users_text().and_then(|text| users_of(&text));
        assert!(users(&Config::default()).unwrap().check("default", "", [127, 0, 0, 1].into()).is_ok());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.yaml");
        std::fs::write(&path, "users: {a: {password: b}}").unwrap();
        let set = |path: &str| pairs(&[("users_config", path), ("allow_insecure_remote", "1")]);
        let config = Config::load(None, [], &set(path.to_str().unwrap())).unwrap();
        assert!(config.allow_insecure_remote);
        let users_read = users(&config).unwrap();
        assert!(users_read.check("a", "b", [10, 0, 0, 1].into()).is_ok());
        assert!(users_read.check("default", "", [127, 0, 0, 1].into()).is_err());
        std::fs::write(&path, "").unwrap();
        assert_eq!(
            users(&config).unwrap_err().code,
            Code::CONFIG_ERROR,
            "an empty file does not let the shipped users in"
        );
        let missing = users(&Config::load(None, [], &set("/no/such/file")).unwrap()).unwrap_err();
        assert_eq!(missing.code, Code::CANNOT_OPEN_FILE);
        let e = Config::load(None, [], &pairs(&[("allow_insecure_remote", "2")])).unwrap_err();
        assert!(e.message.contains("neither 1 nor 0"), "{e}");
    }

    #[test]
    fn a_profile_is_checked() {
        let e = Config::load(Some("profile:\n  max_treads: 1\n"), [], &[]).unwrap_err();
        assert_eq!(e.code, Code::UNKNOWN_SETTING);
    }
}
