//! A query that crashed the server more than once: refused until a statement lifts it.

use crate::text::Text;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

#[repr(C, align(64))]
pub struct Quarantined {
    /// 1: refused.
    state: AtomicU32,
    pub crashes: AtomicU32,
    /// Hash of the query's text.
    hash: AtomicU64,
    pub fingerprint: AtomicU64,
    /// Microseconds since 1970-01-01 UTC.
    pub since_us: AtomicI64,
    pub incident: Text<64>,
    pub user: Text<64>,
    pub reason: Text<128>,
    pub text: Text<1_024>,
}

impl Quarantined {
    pub fn is_set(&self) -> bool {
        self.state.load(Ordering::Acquire) == 1
    }

    /// The hash of the query that is refused here.
    pub fn hash(&self) -> Option<u64> {
        self.is_set().then(|| self.hash.load(Ordering::Relaxed))
    }

    /// The texts are set before.
    pub fn set(&self, hash: u64) {
        self.hash.store(hash, Ordering::Relaxed);
        self.state.store(1, Ordering::Release);
    }

    pub fn lift(&self) {
        self.state.store(0, Ordering::Release);
    }
}
