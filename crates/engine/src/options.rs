//! How an engine is opened: where its data is and how much it may take.

use hydron_base::Settings;
use hydron_base::world::{Clock, SystemClock};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone)]
pub struct EngineOptions {
    /// The data directory. It is created when missing and locked while the engine is open.
    pub data_dir: PathBuf,
    /// The directory that `file('…')` reads from; `None`: any path (`hydron local`).
    pub user_files: Option<PathBuf>,
    /// The directory whose programs may be functions; `None`: there are no such functions.
    pub user_scripts: Option<PathBuf>,
    pub clock: Arc<dyn Clock>,
    /// Threads that compute; 0: two more than cores.
    pub cpu_threads: usize,
    /// Bytes that all queries together may keep; 0: 90 % of the machine's memory.
    pub memory_bytes_max: u64,
    /// Queries that may run at once.
    pub queries_max: usize,
    /// Bytes of one log segment.
    pub segment_bytes: u64,
    /// Rows, bytes and age at which log records become parts.
    pub flush_rows: u64,
    pub flush_bytes: u64,
    pub flush_ms: u64,
    /// What `hostname()` and response headers say.
    pub display_name: String,
    /// Whether acknowledged rows are synced to disk first.
    pub synced: bool,
    /// Settings of every session, under its own.
    pub profile: Settings,
    /// Whether the engine locks the data directory itself; false where the supervisor has done so.
    pub lock: bool,
    /// Whether `trap('…')` may be called, which makes the server fault.
    pub allow_trap: bool,
    pub checkpoint: CheckpointOptions,
    /// Names and numbers of the server's ports, for `get_server_port`.
    pub ports: Vec<(&'static str, u16)>,
}

/// How the state of subscriptions and views is kept.
#[derive(Clone, Debug)]
pub struct CheckpointOptions {
    /// `None`: `checkpoint` in the data directory.
    pub dir: Option<PathBuf>,
    /// The longest time between two checkpoints of a query that does not say how often.
    pub interval: Duration,
    /// State that nobody went on with for so long is removed.
    pub last_access_ttl: Duration,
    /// How often that is looked for.
    pub last_access_check_interval: Duration,
    /// How long the id of an unsubscribed query is remembered.
    pub delete_grace_interval: Duration,
    /// How long a stop waits for last checkpoints.
    pub teardown_flush_timeout: Duration,
}

impl Default for CheckpointOptions {
    fn default() -> CheckpointOptions {
        CheckpointOptions {
            dir: None,
            interval: Duration::from_secs(900),
            last_access_ttl: Duration::from_secs(604_800),
            last_access_check_interval: Duration::from_secs(7_200),
            delete_grace_interval: Duration::from_secs(60),
            teardown_flush_timeout: Duration::from_secs(60),
        }
    }
}

impl EngineOptions {
    pub fn at(data_dir: impl Into<PathBuf>) -> EngineOptions {
        EngineOptions {
            data_dir: data_dir.into(),
            user_files: None,
            user_scripts: None,
            clock: Arc::new(SystemClock),
            cpu_threads: 0,
            memory_bytes_max: 0,
            queries_max: 1_000,
            segment_bytes: 256 << 20,
            flush_rows: 1_000_000,
            flush_bytes: 128 << 20,
            flush_ms: 2_000,
            display_name: "hydron".to_string(),
            synced: true,
            profile: Settings::default(),
            lock: true,
            allow_trap: false,
            checkpoint: CheckpointOptions::default(),
            ports: Vec::new(),
        }
    }

    pub fn checkpoint_dir(&self) -> PathBuf {
        self.checkpoint.dir.clone().unwrap_or_else(|| self.data_dir.join("checkpoint"))
    }
}
