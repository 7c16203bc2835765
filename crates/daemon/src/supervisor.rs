//! The process that stays: it owns the ports, starts the worker, passes signals on and starts the worker again.
//!
//! In: signals, the end of the worker, its word that it is ready. Out: an exit code. Promise: no SQL, no data, no runtime;
//! the ports stay open from the first worker to the last; a worker never outlives its supervisor.

use crate::config::Config;
use crate::listeners::{LISTENERS_VARIABLE, Listeners};
use crate::restart::Restarts;
use crate::signals;
use hydron_base::{Code, Error, Result};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Names the descriptor on which the worker reports.
pub const CONTROL_VARIABLE: &str = "HYDRON_CONTROL";

/// Carries the configuration, checked and whole, as JSON.
pub const CONFIG_VARIABLE: &str = "HYDRON_CONFIG";

/// The hidden subcommand that a worker is.
pub const WORKER_COMMAND: &str = "worker";

/// After its own last deadline a worker has this long until it is killed.
const KILL_AFTER: Duration = Duration::from_secs(2);

enum Event {
    Signal(i32),
    Report(Report),
    Exited(ExitStatus),
}

/// What a worker says on its control descriptor, one line each.
enum Report {
    Ready,
    Failed { code: u16, message: String },
}

/// Runs until told to stop. The return value is the exit code of the process. `ready` is called each time that a worker
/// answers on its ports.
pub fn run(config: &Config, mut ready: impl FnMut(u32)) -> Result<i32> {
    signals::block();
    let listeners = Listeners::bind(config)?;
    let (events, inbox) = channel();
    signals::forward(events.clone(), Event::Signal).map_err(|e| system("start the signal thread", e))?;
    let mut supervisor = Supervisor {
        config: serde_json::to_string(config).map_err(|e| Error::bug(e.to_string()))?,
        total: Duration::from_millis(config.shutdown.total_ms),
        listeners,
        events,
        inbox,
        restarts: Restarts::default(),
    };
    supervisor.watch(&mut ready)
}

struct Supervisor {
    config: String,
    total: Duration,
    listeners: Listeners,
    events: Sender<Event>,
    inbox: Receiver<Event>,
    restarts: Restarts,
}

impl Supervisor {
    fn watch(&mut self, ready: &mut impl FnMut(u32)) -> Result<i32> {
        let mut worker = self.start()?;
        let mut first = true;
        let mut is_ready = false;
        let mut stopping = false;
        let mut kill_at: Option<Instant> = None;
        let mut failure: Option<(u16, String)> = None;
        loop {
            match self.next(kill_at) {
                Some(Event::Signal(signal)) => {
                    stopping |= matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGQUIT);
                    pass_on(worker, signal);
                    if stopping {
                        kill_at.get_or_insert(Instant::now() + self.total + KILL_AFTER);
                    }
                }
                Some(Event::Report(Report::Ready)) => {
                    (first, is_ready) = (false, true);
                    ready(worker);
                }
                Some(Event::Report(Report::Failed { code, message })) => failure = Some((code, message)),
                Some(Event::Exited(status)) => {
                    // A worker that could not start has said why; starting it again would say the same.
                    if let (true, Some((code, message))) = (first, failure.take()) {
                        return Err(Error::new(Code::from_number(code).unwrap_or(Code::SYSTEM_ERROR), message));
                    }
                    if stopping || status.code() == Some(0) {
                        return Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
                    }
                    tell(&format!("worker {worker} {}", describe(status)));
                    if !self.pause_after_death(std::mem::take(&mut is_ready)) {
                        return Ok(0);
                    }
                    worker = self.start()?;
                }
                None => {
                    tell(&format!("worker {worker} did not stop in time and is killed"));
                    pass_on(worker, libc::SIGKILL);
                    kill_at = None;
                }
            }
        }
    }

    /// The next event; `None` when `deadline` comes first.
    fn next(&self, deadline: Option<Instant>) -> Option<Event> {
        match deadline {
            // The supervisor itself holds a sender: the channel cannot close.
            None => self.inbox.recv().ok(),
            Some(at) => self.inbox.recv_timeout(at.saturating_duration_since(Instant::now())).ok(),
        }
    }

    /// Waits before a restart; false when a signal to stop comes meanwhile.
    fn pause_after_death(&mut self, was_ready: bool) -> bool {
        let delay = self.restarts.died(was_ready);
        let until = Instant::now() + delay;
        while let Some(event) = self.next(Some(until)) {
            if let Event::Signal(libc::SIGTERM | libc::SIGINT | libc::SIGQUIT) = event {
                return false;
            }
        }
        true
    }

    /// Starts a worker with the ports and a control pipe; returns its process id.
    fn start(&self) -> Result<u32> {
        let program = std::env::current_exe().map_err(|e| system("find the program", e))?;
        let (read, write) = pipe().map_err(|e| system("make the control pipe", e))?;
        let mut inherited = self.listeners.descriptors();
        inherited.push(write.as_raw_fd());
        let mut command = Command::new(program);
        command
            .arg(WORKER_COMMAND)
            .env(LISTENERS_VARIABLE, self.listeners.describe())
            .env(CONTROL_VARIABLE, write.as_raw_fd().to_string())
            .env(CONFIG_VARIABLE, &self.config);
        // SAFETY: between fork and exec only async-signal-safe calls are made, on values made before.
        unsafe {
            command.pre_exec(move || {
                signals::unblock();
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                inherited.iter().try_for_each(|fd| keep_over_exec(*fd))
            });
        }
        let child = command.spawn().map_err(|e| system("start the worker", e))?;
        drop(write);
        let pid = child.id();
        self.listen(read, child).map_err(|e| system("start a thread", e))?;
        Ok(pid)
    }

    /// Turns the worker's reports and its end into events.
    fn listen(&self, control: OwnedFd, mut child: Child) -> std::io::Result<()> {
        let events = self.events.clone();
        std::thread::Builder::new().name("worker".to_string()).spawn(move || {
            let lines = BufReader::new(std::fs::File::from(control)).lines();
            for report in lines.map_while(|l| l.ok()).filter_map(|l| report(&l)) {
                let _ = events.send(Event::Report(report));
            }
            if let Ok(status) = child.wait() {
                let _ = events.send(Event::Exited(status));
            }
        })?;
        Ok(())
    }
}

/// `ready`, or `failed <code> <message>`.
fn report(line: &str) -> Option<Report> {
    if line == "ready" {
        return Some(Report::Ready);
    }
    let (code, message) = line.strip_prefix("failed ")?.split_once(' ')?;
    Some(Report::Failed { code: code.parse().ok()?, message: message.replace("\\n", "\n") })
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (_, Some(libc::SIGKILL)) => "was killed (SIGKILL; out of memory?)".to_string(),
        (_, Some(signal)) => format!("was ended by signal {signal}"),
        _ => "ended".to_string(),
    }
}

/// A line for the operator; a terminal that is gone must not end the supervisor.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn pass_on(pid: u32, signal: i32) {
    // SAFETY: signals a child that has not been waited for, or fails with ESRCH.
    unsafe { libc::kill(pid as i32, signal) };
}

fn system(what: &str, e: std::io::Error) -> Error {
    Error::new(Code::SYSTEM_ERROR, format!("cannot {what}: {e}"))
}

fn pipe() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let mut fds: [RawFd; 2] = [0; 2];
    // SAFETY: writes two descriptors, which we own from here.
    unsafe {
        if libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

fn keep_over_exec(fd: RawFd) -> std::io::Result<()> {
    // SAFETY: changes flags of a descriptor of ours.
    let result = unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
    if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
