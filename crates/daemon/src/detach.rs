//! `--daemon`: the server in the background, its starter gone only when the ports answer.
//!
//! In: a process with one thread. Out: a child without a terminal, and the starter's exit: 0 when the child is ready, otherwise
//! the child's first error. Promise: the starter waits no longer than its patience.

use hydron_base::{Code, Error, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A start that takes longer is not waited for; the server may still come up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the child tells its starter.
pub struct Starter(Option<OwnedFd>);

/// Which of the two this process is.
pub enum Side {
    /// The starter: this is its exit code, or the server's first error.
    Starter(Result<i32>),
    Server(Starter),
}

/// Splits the process. Call it before any thread exists. `log`: what is written to standard output and error goes there.
pub fn detach(log: &Path) -> Result<Side> {
    let failed = |what: &str, e: std::io::Error| Error::new(Code::SYSTEM_ERROR, format!("cannot {what}: {e}"));
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed("make a pipe", e.into()))?;
    if let Some(dir) = log.parent() {
        std::fs::create_dir_all(dir).map_err(|e| failed("create the directory of the log", e))?;
    }
    let file = OpenOptions::new().append(true).create(true).open(log);
    let file = file.map_err(|e| failed(&format!("open {}", log.display()), e))?;
    // SAFETY: this process has one thread, so that the child is a whole copy of it.
    match unsafe { libc::fork() } {
        -1 => Err(failed("start a child", std::io::Error::last_os_error())),
        0 => {
            drop(read);
            // SAFETY: a session of its own, then a child of that, which no terminal can reach; the one between ends.
            unsafe {
                libc::setsid();
                match libc::fork() {
                    0 => {}
                    _ => libc::_exit(0),
                }
                let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY);
                libc::dup2(null, 0);
                libc::dup2(file.as_raw_fd(), 1);
                libc::dup2(file.as_raw_fd(), 2);
                libc::umask(0o027);
            }
            Ok(Side::Server(Starter(Some(write))))
        }
        child => {
            drop(write);
            // SAFETY: collects the one between, which ends at once.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            Ok(Side::Starter(wait(read)))
        }
    }
}

/// `0` and a line: ready. A code and a message: it could not start.
fn wait(read: OwnedFd) -> Result<i32> {
    let late = || Error::new(Code::TIMEOUT_EXCEEDED, format!("the server is not ready after {PATIENCE:?}"));
    let mut fds = [PollFd::new(&read, PollFlags::IN)];
    let patience = rustix::time::Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    if poll(&mut fds, Some(&patience)).unwrap_or(0) == 0 {
        return Err(late());
    }
    let mut text = String::new();
    let _ = std::fs::File::from(read).read_to_string(&mut text);
    match text.split_once(' ') {
        Some(("0", line)) => {
            let _ = writeln!(std::io::stdout(), "{line}");
            Ok(0)
        }
        Some((code, message)) => {
            let code = code.parse().ok().and_then(Code::from_number).unwrap_or(Code::SYSTEM_ERROR);
            Err(Error::new(code, message))
        }
        None => Err(Error::new(Code::SYSTEM_ERROR, "the server ended before it was ready")),
    }
}

impl Starter {
    /// The ports answer: the starter prints `line` and goes.
    pub fn ready(&mut self, line: &str) {
        self.say(&format!("0 {line}"));
    }

    /// It could not start.
    pub fn failed(&mut self, e: &Error) {
        self.say(&format!("{} {}", e.code.number(), e.message));
    }

    fn say(&mut self, text: &str) {
        if let Some(pipe) = self.0.take() {
            let _ = std::fs::File::from(pipe).write_all(text.as_bytes());
        }
    }
}

/// The process's number in a file, for tools that look for it; removed at the end.
pub struct PidFile(PathBuf);

impl PidFile {
    /// Errors: CANNOT_OPEN_FILE when it names a process that lives, or cannot be written.
    pub fn write(path: &Path) -> Result<PidFile> {
        let before: Option<i32> = std::fs::read_to_string(path).ok().and_then(|t| t.trim().parse().ok());
        // SAFETY: asks whether the process exists.
        if before.is_some_and(|pid| pid > 0 && pid != std::process::id() as i32 && unsafe { libc::kill(pid, 0) } == 0) {
            let message = format!("{} names process {}, which lives", path.display(), before.unwrap_or(0));
            return Err(Error::new(Code::CANNOT_OPEN_FILE, message).hint("stop it, or another --pid-file"));
        }
        std::fs::write(path, format!("{}\n", std::process::id()))
            .map_err(|e| Error::new(Code::CANNOT_OPEN_FILE, format!("cannot write {}: {e}", path.display())))?;
        Ok(PidFile(path.to_path_buf()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
