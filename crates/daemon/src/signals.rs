//! Signals as events: blocked for the whole process, read one by one from a descriptor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Signals that the server acts on.
const HANDLED: [i32; 6] = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGCHLD, libc::SIGPIPE];

fn set() -> libc::sigset_t {
    // SAFETY: a sigset_t is plain memory that sigemptyset initializes.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        HANDLED.iter().for_each(|s| {
            libc::sigaddset(&mut set, *s);
        });
        set
    }
}

/// Blocks the handled signals in this thread and those it starts. Call it before any other thread exists.
pub fn block() {
    // SAFETY: changes the mask of the calling thread only.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set(), std::ptr::null_mut()) };
}

/// Undoes [`block`]; async-signal-safe, for a child between fork and exec.
pub fn unblock() {
    // SAFETY: as in `block`.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set(), std::ptr::null_mut()) };
}

/// The handled signals of this process, to be polled for.
pub struct Signals(OwnedFd);

impl Signals {
    /// [`block`] must have been called.
    pub fn open() -> io::Result<Signals> {
        // SAFETY: makes a descriptor, which we own from here.
        let fd = unsafe { libc::signalfd(-1, &set(), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above.
        Ok(Signals(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal that has come. Never waits.
    pub fn next(&self) -> Option<i32> {
        // SAFETY: reads one record of plain memory.
        unsafe {
            let mut info: libc::signalfd_siginfo = std::mem::zeroed();
            let size = size_of::<libc::signalfd_siginfo>();
            let n = libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size);
            (n == size as isize).then_some(info.ssi_signo as i32)
        }
    }

    /// Waits for the next signal.
    pub fn wait(&self) -> i32 {
        loop {
            let mut fds = [rustix::event::PollFd::new(&self.0, rustix::event::PollFlags::IN)];
            let _ = rustix::event::poll(&mut fds, None);
            if let Some(signal) = self.next() {
                return signal;
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
