//! A named session as it outlives its worker: whose it is, where it stands and what was set.

use crate::text::Text;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

/// Bytes of a session's settings; one that has more ends with its worker and says so.
pub const SETTINGS_BYTES_MAX: usize = 3_072;

#[repr(C, align(64))]
pub struct SavedSession {
    /// 0: free. 1: whole. 2: it existed, and what it held did not fit.
    state: AtomicU32,
    patience_ms: AtomicU32,
    /// Microseconds since 1970-01-01 UTC.
    used_us: AtomicI64,
    pub user: Text<128>,
    pub id: Text<256>,
    pub database: Text<128>,
    /// `name\0value\0…`
    pub settings: Text<SETTINGS_BYTES_MAX>,
}

/// What can be said of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    No,
    Whole,
    /// Only its name is known.
    Lost,
}

impl SavedSession {
    pub fn saved(&self) -> Saved {
        match self.state.load(Ordering::Acquire) {
            0 => Saved::No,
            1 => Saved::Whole,
            _ => Saved::Lost,
        }
    }

    pub fn set(&self, saved: Saved, patience_ms: u32, used_us: i64) {
        self.patience_ms.store(patience_ms, Ordering::Relaxed);
        self.used_us.store(used_us, Ordering::Relaxed);
        let state = match saved {
            Saved::No => 0,
            Saved::Whole => 1,
            Saved::Lost => 2,
        };
        self.state.store(state, Ordering::Release);
    }

    /// Before its texts change: a crash in between loses the session and does not mix two.
    pub fn begin_change(&self) {
        self.state.store(2, Ordering::Release);
    }

    pub fn patience_ms(&self) -> u32 {
        self.patience_ms.load(Ordering::Relaxed)
    }

    pub fn used_us(&self) -> i64 {
        self.used_us.load(Ordering::Relaxed)
    }
}
