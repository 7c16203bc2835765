//! Processes that the supervisor starts: workers, and the one that walks the stacks of a dying worker.
//!
//! In: what a child is to have. Out: its process, as a descriptor that tells of its end, and a socket of packets to it.
//! Promise: a child never outlives its supervisor; waiting for one never blocks.

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, pidfd_open, pidfd_send_signal, waitid, waitpid,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Code(i32),
    Signal(i32),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Code(code) => write!(f, "exited with code {code}"),
            End::Signal(libc::SIGKILL) => f.write_str("was killed (SIGKILL; out of memory?)"),
            End::Signal(signal) => write!(f, "was ended by signal {signal}"),
        }
    }
}

pub struct Process {
    pid: Pid,
    /// Readable when the process has ended.
    pidfd: OwnedFd,
    /// Packets to and from it.
    pub control: OwnedFd,
    end: Option<End>,
}

impl Process {
    /// Starts this program again with `command` as its only argument. `inherited` stay open in it; `variables` name
    /// them, and `control` the variable for its end of the socket.
    pub fn start(
        command: &str,
        inherited: &[BorrowedFd<'_>],
        variables: &[(&str, String)],
        control: &str,
    ) -> io::Result<Process> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let mut open: Vec<RawFd> = inherited.iter().map(AsRawFd::as_raw_fd).collect();
        open.push(theirs.as_raw_fd());
        let mut child = Command::new("/proc/self/exe");
        child.arg0("hydron").arg(command).env(control, theirs.as_raw_fd().to_string());
        child.envs(variables.iter().map(|(k, v)| (k, v)));
        // SAFETY: between fork and exec only async-signal-safe calls are made, on values made before.
        unsafe {
            child.pre_exec(move || {
                crate::signals::unblock();
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::prctl(libc::PR_SET_THP_DISABLE, 0, 0, 0, 0);
                open.iter().try_for_each(|fd| keep_over_exec(*fd))
            });
        }
        let child = child.spawn()?;
        let pid = Pid::from_raw(child.id() as i32).ok_or_else(|| io::Error::other("a child without a number"))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Process { pid, pidfd, control: ours, end: None })
    }

    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get() as u32
    }

    pub fn signal(&self, signal: Signal) {
        // It may have ended; then there is nobody to signal.
        if self.end.is_none() {
            let _ = pidfd_send_signal(&self.pidfd, signal);
        }
    }

    /// Whether it has ended. Never waits, and leaves it to [`Process::end`] to collect it.
    pub fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.end.is_some() || !matches!(waitid(WaitId::Pid(self.pid), options), Ok(None))
    }

    /// How it ended, if it has. Never waits.
    pub fn end(&mut self) -> Option<End> {
        if self.end.is_none()
            && let Ok(Some((_, status))) = waitpid(Some(self.pid), WaitOptions::NOHANG)
        {
            self.end = status.exit_status().map(End::Code).or(status.terminating_signal().map(End::Signal));
        }
        self.end
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.end().is_none() {
            self.signal(Signal::KILL);
            // Dying takes as long as its memory is large; whoever drops a live child has told it to go before.
            let _ = waitpid(Some(self.pid), WaitOptions::empty());
        }
    }
}

/// Collects processes that were left to us when their parents ended, as the first process of a container must.
pub fn reap_orphans(known: &[u32]) {
    loop {
        // SAFETY: looks at the next ended child without collecting it, into memory of ours.
        let pid = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            if libc::waitid(libc::P_ALL, 0, &mut info, flags) != 0 {
                return;
            }
            info.si_pid()
        };
        match u32::try_from(pid) {
            Ok(pid) if pid != 0 && !known.contains(&pid) => {
                let _ = waitpid(Pid::from_raw(pid as i32), WaitOptions::NOHANG);
            }
            _ => return,
        }
    }
}

fn keep_over_exec(fd: RawFd) -> io::Result<()> {
    // SAFETY: changes flags of a descriptor of ours.
    let result = unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
