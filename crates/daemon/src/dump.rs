//! The process that looks at a worker from outside: saves its stacks as a minidump and gives names to them.
//!
//! In: a worker that is dying (its handler has run or it hangs) or living. Out: `crash/<incident>.dmp`, and names for the
//! addresses in `crash/<incident>.json`; for one that hangs all stacks too, in `crash/<incident>.stacks.txt`; for a living
//! worker `crash/stacks-<time>.txt`. Promise: it may be killed at any
//! moment without harm, and nobody waits for it longer than `crash.dump_deadline_ms`.

use crate::children::Process;
use crate::incident::write_report;
use crate::packet::{self, Report};
use crate::stack::{Module, Registers, Stacks, walk};
use crate::supervisor::BOARD_VARIABLE;
use hydron_board::Board;
use hydron_engine::crash_report::{CrashReport, DIRECTORY};
use minidump_writer::minidump_writer::MinidumpWriterConfig;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The hidden subcommand that this process is.
pub const DUMP_COMMAND: &str = "dump";

const JOB_VARIABLE: &str = "HYDRON_DUMP";
const CONTROL_VARIABLE: &str = "HYDRON_CONTROL";

/// The worker is stopped before it is looked at; one that does not stop is looked at as it runs.
const STOP_PATIENCE: Duration = Duration::from_millis(10);

/// What to look at.
#[derive(Serialize, Deserialize)]
pub struct Job {
    pub pid: u32,
    pub data_dir: PathBuf,
    /// `None`: the worker lives and goes on.
    pub incident: Option<String>,
    /// The stacks of all threads are wanted with their names: there is no thread to blame.
    pub all_stacks: bool,
}

/// Starts the process.
pub fn start(job: &Job, board: &Board) -> io::Result<Process> {
    let variables = [
        (JOB_VARIABLE, serde_json::to_string(job).map_err(io::Error::other)?),
        (BOARD_VARIABLE, board.fd().as_raw_fd().to_string()),
    ];
    Process::start(DUMP_COMMAND, &[board.fd().as_fd()], &variables, CONTROL_VARIABLE)
}

/// Runs as the child of a supervisor: everything it needs is in the environment.
pub fn run_inherited() -> i32 {
    match run() {
        Ok(()) => 0,
        Err(e) => {
            let _ = writeln!(io::stderr(), "dump: {e}");
            1
        }
    }
}

fn run() -> io::Result<()> {
    let variable = |name: &str| std::env::var(name).map_err(|_| io::Error::other(format!("{name} is not set")));
    let job: Job = serde_json::from_str(&variable(JOB_VARIABLE)?).map_err(io::Error::other)?;
    let fd = |name: &str| {
        let fd = variable(name)?.parse().map_err(io::Error::other)?;
        // SAFETY: the supervisor passes each descriptor once, for this process to own.
        Ok::<_, io::Error>(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    let board = Board::inherit(fd(BOARD_VARIABLE)?)?;
    let control = fd(CONTROL_VARIABLE)?;
    match &job.incident {
        Some(incident) => dying(&job, incident, board, &control),
        None => living(&job),
    }
}

pub fn minidump_path(data_dir: &Path, incident: &str) -> PathBuf {
    data_dir.join(DIRECTORY).join(format!("{incident}.dmp"))
}

/// Everything that needs the process first, names afterwards.
fn dying(job: &Job, incident: &str, board: &Board, control: &OwnedFd) -> io::Result<()> {
    let crash = board.crash();
    let (context, stack, stack_at, tid) =
        (crash.context(), crash.stack(), crash.stack_address.load(Ordering::Relaxed), crash.tid());
    let modules = Module::of(job.pid);
    let stacks = if job.all_stacks { Stacks::of(job.pid).ok() } else { None };
    let context = crash_handler::CrashContext::from_bytes(&context);
    let dump = minidump_path(&job.data_dir, incident);
    let written = write_minidump(job.pid, tid, context.clone(), &dump);
    let _ = packet::send(control, Report::Walked.text().as_bytes());

    let mut report =
        CrashReport::read(&CrashReport::path(&job.data_dir, incident)).map_err(|e| io::Error::other(e.to_string()))?;
    match written {
        Ok(()) => {
            report.minidump = format!("{incident}.dmp");
            report.dump_state = "full".to_string();
        }
        Err(e) => {
            let _ = std::fs::remove_file(&dump);
            let _ = writeln!(io::stderr(), "dump: no minidump of {}: {e}", job.pid);
        }
    }
    if let Some(stacks) = stacks {
        write_stacks(&job.data_dir.join(DIRECTORY).join(format!("{incident}.stacks.txt")), &stacks.text(&modules))?;
        if report.dump_state != "full" {
            report.dump_state = "all_stacks".to_string();
        }
    }
    if let Some(registers) = context.as_ref().map(Registers::of) {
        report.trace = walk(&modules, registers, stack_at, &stack);
        report.trace_full = crate::stack::names(&modules, &report.trace);
    }
    write_report(&job.data_dir, &report)
}

fn write_minidump(pid: u32, tid: u32, context: Option<crash_handler::CrashContext>, path: &Path) -> Result<(), String> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).map_err(|e| e.to_string())?;
    let blamed = if tid == 0 { pid } else { tid };
    let mut config = MinidumpWriterConfig::new(pid as i32, blamed as i32);
    if let Some(context) = context {
        config.set_crash_context(minidump_writer::CrashContextExt { inner: context });
    }
    config.stop_timeout(STOP_PATIENCE);
    config.write(&mut file).map(drop).map_err(|e| e.to_string())
}

/// The stacks of all threads of a worker that goes on.
fn living(job: &Job) -> io::Result<()> {
    let modules = Module::of(job.pid);
    let stacks = Stacks::of(job.pid)?;
    let text = stacks.text(&modules);
    let dir = job.data_dir.join(DIRECTORY);
    std::fs::create_dir_all(&dir)?;
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let path = dir.join(format!("stacks-{seconds}.txt"));
    write_stacks(&path, &text)?;
    let _ = writeln!(io::stderr(), "the stacks of worker {} are in {}", job.pid, path.display());
    Ok(())
}

fn write_stacks(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()
}
