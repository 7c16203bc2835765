//! What is kept of a crash: one JSON file in `<data>/crash`, beside its minidump.
//!
//! In: a report, from the supervisor; files, from a start after it. Out: the files, and the reports in them, newest first.
//! Promise: a file that is damaged, too large or of another version costs its own row and nothing else; no more than
//! [`REPORTS_MAX`] crashes and [`BYTES_MAX`] bytes are kept.

use hydron_base::{Code, Error, Result};
use hydron_sql::secret::mask;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The directory within the data directory.
pub const DIRECTORY: &str = "crash";

/// Crashes that are kept: enough to see a pattern, few enough to read them all for `system.crash_log`.
pub const REPORTS_MAX: usize = 20;

/// Bytes of reports and minidumps together.
pub const BYTES_MAX: u64 = 256 << 20;

/// Bytes of one report: 4 KiB of query text, 64 log lines and some hundred frames are far below.
pub const REPORT_BYTES_MAX: u64 = 1 << 20;

/// All that is known of one crash. Every field may be missing: a worker that was killed has told nothing itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CrashReport {
    /// Names the crash in errors, files and tables.
    pub incident_id: String,
    /// Why the worker ended: `signal`, `killed`, `out of memory`, `hang`, `disk`, `exit`.
    pub cause: String,
    /// What hung, or which file could not be written.
    pub reason: String,

    /// Of the machine's start, and nanoseconds since then.
    pub boot_id: String,
    pub monotonic_ns: u64,
    /// Microseconds since 1970-01-01 UTC.
    pub wall_us: i64,

    pub signal: i32,
    /// `SIGSEGV`.
    pub signal_name: String,
    pub si_code: i32,
    pub fault_address: u64,
    pub pc: u64,
    pub sp: u64,
    /// How the worker ended, where no signal did it.
    pub exit_code: Option<i32>,

    pub pid: u32,
    pub tid: u32,
    pub thread_name: String,
    /// Threads that faulted while this one was handled.
    pub other_faults: u32,
    pub build_id: String,
    pub version: String,
    pub revision: u32,
    /// Where the program was loaded: addresses minus this are those of the file.
    pub load_base: u64,

    /// The board's place of the query that the thread worked for.
    pub slot: Option<u32>,
    pub query_id: String,
    /// `read`, `insert`, `stream`, `other`.
    pub query_kind: String,
    /// Secrets are masked, at most 4 KiB.
    pub query: String,
    pub query_hash: u64,
    pub user: String,
    pub database: String,
    pub interface: String,
    pub client_address: String,
    /// Those that are not at their defaults, one a line.
    pub settings: String,
    /// Signal, top frames and query together: equal for crashes of one cause.
    pub fingerprint: u64,
    /// The view, and how far it had read, where the thread worked for one.
    pub pipeline: String,
    pub source_offset: Option<i64>,
    /// `parse`, `plan`, `run`, `checkpoint`, `merge`, `recovery`.
    pub phase: String,

    pub rss_bytes: u64,
    pub memory_tracked: u64,
    pub uptime_ms: u64,
    /// `oom_kill` and its like, from the cgroup's memory.events.
    pub memory_events: BTreeMap<String, u64>,

    /// How far the handler came: `none`, `claimed`, `recorded`, `stacked`.
    pub handler_stage: String,
    /// What was dumped: `none`, `own_stack`, `all_stacks`, `full`.
    pub dump_state: String,
    /// Crashes within the last 60 seconds, this one too.
    pub restarts_60s: u32,
    /// What the supervisor did: `restart`, `quarantine`, `safe_mode`.
    pub action: String,

    /// Return addresses of the faulting thread, innermost first.
    pub trace: Vec<u64>,
    /// The same with function, file and line.
    pub trace_full: Vec<String>,
    /// Name of the minidump beside this file; empty: there is none.
    pub minidump: String,
    /// The last lines of the log, secrets masked.
    pub log_lines: Vec<String>,
}

impl CrashReport {
    /// `<data>/crash/<incident>.json`
    pub fn path(data_dir: &Path, incident_id: &str) -> PathBuf {
        data_dir.join(DIRECTORY).join(format!("{incident_id}.json"))
    }

    /// Errors: CANNOT_READ_FILE when it cannot be read, is too large or is no report.
    pub fn read(path: &Path) -> Result<CrashReport> {
        let failed = |e: &dyn std::fmt::Display| {
            Error::new(Code::CANNOT_READ_FILE, format!("crash report {}: {e}", path.display()))
        };
        let file = std::fs::File::open(path).map_err(|e| failed(&e))?;
        let mut bytes = Vec::new();
        file.take(REPORT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
        if bytes.len() as u64 > REPORT_BYTES_MAX {
            return Err(failed(&format!("it is longer than {REPORT_BYTES_MAX} bytes")));
        }
        serde_json::from_slice(&bytes).map_err(|e| failed(&e))
    }
}

/// A line of the log as a report may keep it: without its secrets. An apostrophe in a sentence is no beginning of a text, so the
/// line is looked at both ways; hiding too much costs less than hiding too little.
pub fn masked(line: &str) -> Cow<'_, str> {
    let once = mask(line);
    let twice = once.split_once('\'').and_then(|(head, rest)| match mask(rest) {
        Cow::Owned(rest) => Some(format!("{head}'{rest}")),
        Cow::Borrowed(_) => None,
    });
    twice.map_or(once, Cow::Owned)
}

/// The reports of a data directory, newest first. Those that cannot be read are left out and told in the log.
pub fn reports(data_dir: &Path) -> Vec<CrashReport> {
    let is_report = |f: &&Kept| f.path.extension().is_some_and(|e| e == "json");
    let mut reports: Vec<CrashReport> = Vec::new();
    for file in files(data_dir).iter().filter(is_report).take(REPORTS_MAX) {
        match CrashReport::read(&file.path) {
            Ok(report) => reports.push(report),
            Err(e) => tracing::warn!("{}", e.message),
        }
    }
    reports.sort_by_key(|r| std::cmp::Reverse(r.wall_us));
    reports
}

/// Removes the oldest crashes beyond the limits, each with all its files.
pub fn prune(data_dir: &Path) {
    let mut crashes: Vec<String> = Vec::new();
    let mut bytes = 0;
    for file in files(data_dir) {
        let crash = file.crash();
        if !crashes.contains(&crash) {
            crashes.push(crash.clone());
        }
        bytes += file.bytes;
        let newest = crashes.first() == Some(&crash);
        if crashes.len() > REPORTS_MAX || (bytes > BYTES_MAX && !newest) {
            // One that cannot be removed now is tried again at the next crash.
            let _ = std::fs::remove_file(&file.path);
            bytes -= file.bytes;
        }
    }
}

struct Kept {
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
}

impl Kept {
    /// The incident: the name up to its first point.
    fn crash(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        name.split('.').next().unwrap_or_default().to_owned()
    }
}

/// The files of all crashes, those of the newest crash first. Nothing where the directory is missing.
fn files(data_dir: &Path) -> Vec<Kept> {
    let Ok(entries) = std::fs::read_dir(data_dir.join(DIRECTORY)) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries.flatten() {
        if let Ok(meta) = entry.metadata()
            && meta.is_file()
        {
            let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            files.push(Kept { path: entry.path(), bytes: meta.len(), modified });
        }
    }
    let mut newest: BTreeMap<String, SystemTime> = BTreeMap::new();
    for file in &files {
        let time = newest.entry(file.crash()).or_insert(file.modified);
        *time = (*time).max(file.modified);
    }
    files.sort_by_cached_key(|f| (std::cmp::Reverse(newest[&f.crash()]), f.crash()));
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, FileTimes};
    use std::time::Duration;

    fn write(data_dir: &Path, name: &str, text: &str, second: u64) {
        let dir = data_dir.join(DIRECTORY);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(name), text).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        File::options()
            .write(true)
            .open(dir.join(name))
            .unwrap()
            .set_times(FileTimes::new().set_modified(time))
            .unwrap();
    }

    #[test]
    fn a_report_of_any_version_is_read_and_a_damaged_one_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        assert!(reports(dir.path()).is_empty());
        let whole = CrashReport { incident_id: "b".into(), wall_us: 2, signal: 11, ..CrashReport::default() };
        write(dir.path(), "b.json", &serde_json::to_string(&whole).unwrap(), 1);
        write(dir.path(), "a.json", r#"{"incident_id": "a", "wall_us": 1, "from_the_future": [1]}"#, 2);
        write(dir.path(), "c.json", "{", 3);
        write(dir.path(), "b.dmp", "MDMP", 1);
        let found = reports(dir.path());
        assert_eq!(found.iter().map(|r| r.incident_id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(found[0], whole);
    }

    #[test]
    fn a_line_of_the_log_is_kept_without_secrets() {
        let line = "2026-01-02 ERROR it's wrong: create user u identified by 'hunter2!' is not implemented";
        assert!(!masked(line).contains("hunter2!"), "{}", masked(line));
        let plain = "2026-01-02 INFO the server's 3 logs are open";
        assert_eq!(masked(plain), plain);
    }

    #[test]
    fn the_oldest_crashes_go_with_all_their_files() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..REPORTS_MAX as u64 + 2 {
            write(dir.path(), &format!("i{n:02}.json"), "{}", 100 + n);
            write(dir.path(), &format!("i{n:02}.dmp"), "", 100 + n);
        }
        prune(dir.path());
        let mut left: Vec<_> = files(dir.path()).iter().map(Kept::crash).collect();
        left.dedup();
        assert_eq!((left.len(), left[0].as_str(), left[REPORTS_MAX - 1].as_str()), (REPORTS_MAX, "i21", "i02"));
        let large = File::create(dir.path().join(DIRECTORY).join("i21.dmp")).unwrap();
        large.set_len(BYTES_MAX + 1).unwrap();
        prune(dir.path());
        let left: Vec<_> = files(dir.path()).iter().map(Kept::crash).collect();
        assert_eq!(left, ["i21", "i21"], "the newest crash stays however large it is");
    }
}
