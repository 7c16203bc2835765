//! How far readers of a log may read, and the bell that rings when that moves.
//!
//! Promise: whoever waits for a sequence wakes up once it may be read, or the log is closed; no wake-up is lost.

use super::cursor::Isolation;
use super::record::Sequence;
use parking_lot::{Condvar, Mutex};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The sequences after the last written and after the last synced record.
pub(super) struct Reach {
    written: AtomicU64,
    synced: AtomicU64,
    closed: AtomicBool,
    bell: Notify,
    lock: Mutex<()>,
    bell_blocking: Condvar,
}

impl Reach {
    /// All records before `next` are there and synced.
    pub(super) fn new(next: Sequence) -> Reach {
        Reach {
            written: AtomicU64::new(next.0),
            synced: AtomicU64::new(next.0),
            closed: AtomicBool::new(false),
            bell: Notify::new(),
            lock: Mutex::new(()),
            bell_blocking: Condvar::new(),
        }
    }

    /// The sequence after the last that a reader of this kind sees.
    pub(super) fn end(&self, isolation: Isolation) -> Sequence {
        Sequence(match isolation {
            Isolation::Synced => self.synced.load(Ordering::Acquire),
            Isolation::Written => self.written.load(Ordering::Acquire),
        })
    }

    pub(super) fn show_written(&self, next: Sequence) {
        self.written.store(next.0, Ordering::Release);
        self.ring_bell();
    }

    pub(super) fn show_synced(&self, next: Sequence) {
        self.synced.store(next.0, Ordering::Release);
        self.ring_bell();
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.ring_bell();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Waits until `sequence` may be read; false if the log was closed instead.
    pub(super) async fn wait_for(&self, sequence: Sequence, isolation: Isolation) -> bool {
        loop {
            let mut bell = pin!(self.bell.notified());
            bell.as_mut().enable();
            if self.end(isolation) > sequence {
                return true;
            }
            if self.is_closed() {
                return false;
            }
            bell.await;
        }
    }

    /// [`Reach::wait_for`] on a plain thread, for at most `patience`.
    pub(super) fn wait_for_blocking(&self, sequence: Sequence, isolation: Isolation, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut guard = self.lock.lock();
        while self.end(isolation) <= sequence {
            if self.is_closed() || self.bell_blocking.wait_until(&mut guard, until).timed_out() {
                return self.end(isolation) > sequence;
            }
        }
        true
    }

    fn ring_bell(&self) {
        // Taking the lock orders the change before the check of a thread that is about to sleep.
        drop(self.lock.lock());
        self.bell_blocking.notify_all();
        self.bell.notify_waiters();
    }
}
