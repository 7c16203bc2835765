//! How an engine is opened: where its data is and how much it may take.

use hydron_base::Settings;
use hydron_base::world::{Clock, SystemClock};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Clone)]
pub struct EngineOptions {
    /// The data directory. It is created when missing and locked while the engine is open.
    pub data_dir: PathBuf,
    /// The directory that `file('…')` reads from; `None`: any path (`hydron local`).
    pub user_files: Option<PathBuf>,
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
}

impl EngineOptions {
    pub fn at(data_dir: impl Into<PathBuf>) -> EngineOptions {
        EngineOptions {
            data_dir: data_dir.into(),
            user_files: None,
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
        }
    }
}
