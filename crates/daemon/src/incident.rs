//! One crash as the supervisor sees it: what the board says at that moment, under a name.
//!
//! In: the board of a worker that is dying or dead. Out: a report, written and synced before the next worker begins.
//! Promise: nothing of the dying process but the board is trusted or waited for.

use crate::intensity::{Consequence, fingerprint};
use crate::pulse::Hang;
use hydron_board::crash::Stage;
use hydron_board::{Board, Kind};
use hydron_engine::crash_report::{CrashReport, DIRECTORY, prune};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// Why a worker is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its handler ran.
    Fault,
    /// Threads of it hang.
    Hang(Hang),
    /// A log or the catalog could not be written any more.
    Disk,
    /// It ended, and nobody knows more.
    Killed(i32),
    Exited(i32),
}

pub struct Incident {
    pub report: CrashReport,
    /// Index of the query that the faulting thread worked for.
    pub culprit: Option<usize>,
}

impl Incident {
    pub fn of(board: &Board, cause: Cause, started: Duration, pid: u32) -> Incident {
        let crash = board.crash();
        let has_record = crash.stage() >= Stage::Recorded;
        let culprit = has_record.then(|| crash.query()).flatten().filter(|q| board.query(*q).is_some());
        let wall_us = match crash.wall_us.load(Ordering::Relaxed) {
            told if has_record && told > 0 => told,
            _ => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64),
        };
        let signal = match cause {
            _ if has_record => crash.signal.load(Ordering::Relaxed),
            Cause::Killed(signal) => signal,
            _ => 0,
        };
        let memory_events = memory_events();
        let mut report = CrashReport {
            incident_id: name(wall_us, pid),
            cause: match cause {
                _ if has_record => "signal",
                Cause::Fault => "signal",
                Cause::Hang(_) => "hang",
                Cause::Disk => "disk",
                Cause::Killed(libc::SIGKILL) if memory_events.get("oom_kill").is_some_and(|n| *n > 0) => {
                    "out of memory"
                }
                Cause::Killed(libc::SIGKILL) => "killed",
                Cause::Killed(_) => "signal",
                Cause::Exited(_) => "exit",
            }
            .to_string(),
            exit_code: match cause {
                Cause::Exited(code) => Some(code),
                _ => None,
            },
            boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_string(),
            monotonic_ns: crash.monotonic_ns.load(Ordering::Relaxed),
            wall_us,
            signal,
            signal_name: signal_name(signal).to_string(),
            pid,
            build_id: crate::build::id().to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            revision: 23,
            load_base: board.worker().load_base.load(Ordering::Relaxed),
            rss_bytes: resident_bytes(pid),
            memory_tracked: board.worker().memory_tracked.load(Ordering::Relaxed),
            uptime_ms: started.as_millis() as u64,
            memory_events,
            reason: match cause {
                _ if has_record => String::new(),
                Cause::Hang(hang) => hang.to_string(),
                Cause::Disk => board.worker().disk_fault_text.get(),
                _ => String::new(),
            },
            log_lines: board.log_lines().all(),
            handler_stage: match crash.stage() {
                Stage::None => "none",
                Stage::Claimed => "claimed",
                Stage::Recorded => "recorded",
                Stage::Stacked => "stacked",
            }
            .to_string(),
            dump_state: if crash.stage() == Stage::Stacked { "own_stack" } else { "none" }.to_string(),
            action: "restart".to_string(),
            ..CrashReport::default()
        };
        if has_record {
            report.si_code = crash.si_code.load(Ordering::Relaxed);
            report.fault_address = crash.address.load(Ordering::Relaxed);
            report.pc = crash.pc.load(Ordering::Relaxed);
            report.sp = crash.sp.load(Ordering::Relaxed);
            report.tid = crash.tid();
            report.thread_name = crash.thread_name.get();
            report.other_faults = crash.others.load(Ordering::Relaxed);
            report.trace = vec![report.pc];
        }
        if let Some(query) = culprit.and_then(|q| board.query(q)) {
            report.slot = culprit.map(|q| q as u32);
            report.query_id = query.id.get();
            report.query_kind = match query.kind() {
                Kind::Read => "read",
                Kind::Insert => "insert",
                Kind::Stream => "stream",
                Kind::Other => "other",
            }
            .to_string();
            report.query = query.text.get();
            report.query_hash = query.hash.load(Ordering::Relaxed);
            report.user = query.user.get();
            report.database = query.database.get();
            report.interface = query.interface.get();
            report.client_address = query.client.get();
            report.settings = query.settings.get();
            report.phase = query.phase().to_string();
            report.fingerprint = fingerprint(signal, report.pc.wrapping_sub(report.load_base), report.query_hash);
        }
        Incident { report, culprit }
    }

    pub fn id(&self) -> &str {
        &self.report.incident_id
    }

    pub fn decide(&mut self, consequence: Consequence) {
        self.report.restarts_60s = consequence.crashes;
        self.report.action = match consequence {
            Consequence { safe_mode: true, .. } => "safe_mode",
            Consequence { quarantine: true, .. } => "quarantine",
            _ => "restart",
        }
        .to_string();
    }

    /// Writes the report and waits until it is on the disk; older ones beyond the limits go.
    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(data_dir.join(DIRECTORY))?;
        write_report(data_dir, &self.report)?;
        prune(data_dir);
        Ok(())
    }
}

/// Puts a report in place, whole or not at all.
pub fn write_report(data_dir: &Path, report: &CrashReport) -> io::Result<()> {
    let path = CrashReport::path(data_dir, &report.incident_id);
    let staged = path.with_extension("json.new");
    let mut file = File::create(&staged)?;
    file.write_all(&serde_json::to_vec_pretty(report).map_err(io::Error::other)?)?;
    file.sync_data()?;
    std::fs::rename(&staged, &path)?;
    File::open(data_dir.join(DIRECTORY))?.sync_all()
}

/// `20260102T030405-1234`: sorts by time, and two workers have two numbers.
fn name(wall_us: i64, pid: u32) -> String {
    let seconds = wall_us.div_euclid(1_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}-{pid}")
}

/// Days since 1970-01-01 to a date. Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

pub fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGBUS => "SIGBUS",
        libc::SIGILL => "SIGILL",
        libc::SIGFPE => "SIGFPE",
        libc::SIGABRT => "SIGABRT",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGSYS => "SIGSYS",
        libc::SIGKILL => "SIGKILL",
        libc::SIGTERM => "SIGTERM",
        _ => "",
    }
}

fn resident_bytes(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: u64 = text.split_whitespace().nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
    pages * 4_096
}

/// Counters of the control group's memory: they tell a kill for want of memory from any other.
fn memory_events() -> std::collections::BTreeMap<String, u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(path) = own.lines().find_map(|l| l.strip_prefix("0::")) else { return Default::default() };
    let text = std::fs::read_to_string(format!("/sys/fs/cgroup{path}/memory.events")).unwrap_or_default();
    let pairs = text.lines().filter_map(|l| l.split_once(' '));
    pairs.filter_map(|(k, v)| Some((k.to_string(), v.parse().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_is_named_by_its_time_and_process() {
        assert_eq!(name(0, 7), "19700101T000000-7");
        assert_eq!(name(1_709_210_096_000_000, 42), "20240229T123456-42");
    }

    #[test]
    fn the_report_names_the_query_of_the_faulting_thread() {
        let board = Board::create().unwrap();
        let query = &board.queries()[3];
        query.open(None, 1);
        query.id.set("q-1");
        query.text.set("select trap('abort')");
        query.set_kind(Kind::Read);
        query.hash.store(9, Ordering::Relaxed);
        assert!(board.crash().claim(77));
        board.crash().signal.store(libc::SIGABRT, Ordering::Relaxed);
        board.crash().set_query(Some(3));
        board.crash().reach(Stage::Recorded);
        let incident = Incident::of(board, Cause::Fault, Duration::from_secs(1), 5);
        let report = &incident.report;
        assert_eq!((report.query_id.as_str(), report.signal_name.as_str(), report.tid), ("q-1", "SIGABRT", 77));
        assert_eq!((report.cause.as_str(), incident.culprit), ("signal", Some(3)));
        assert_ne!(report.fingerprint, 0);
        let dir = tempfile::tempdir().unwrap();
        incident.write(dir.path()).unwrap();
        assert_eq!(CrashReport::read(&CrashReport::path(dir.path(), incident.id())).unwrap(), incident.report);
    }

    #[test]
    fn an_index_that_was_scribbled_over_blames_nobody() {
        let board = Board::create().unwrap();
        board.crash().claim(1);
        board.crash().set_query(Some(hydron_board::board::QUERIES_MAX + 5));
        board.crash().reach(Stage::Recorded);
        assert_eq!(Incident::of(board, Cause::Killed(9), Duration::ZERO, 5).culprit, None);
    }
}
