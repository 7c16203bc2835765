//! Signals as events: blocked for the whole process, taken one by one on a thread of their own.

use std::sync::mpsc::Sender;

/// Signals that the server acts on.
const HANDLED: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP];

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

/// Sends `event(signal)` for each signal that arrives, for the life of the process.
pub fn forward<E: Send + 'static>(events: Sender<E>, event: fn(i32) -> E) -> std::io::Result<()> {
    std::thread::Builder::new().name("signals".to_string()).spawn(move || {
        let set = set();
        loop {
            let mut signal = 0;
            // SAFETY: waits for the blocked signals and writes one number.
            let code = unsafe { libc::sigwait(&set, &mut signal) };
            if code == 0 && events.send(event(signal)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
