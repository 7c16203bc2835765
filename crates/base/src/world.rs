//! The outside world as values: time and randomness come in through these traits, so that a seed replays a run.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Wall time, in microseconds since 1970-01-01 UTC. The data's own time is event time, never this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime(pub i64);

impl WallTime {
    pub fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    pub fn plus_millis(self, ms: i64) -> WallTime {
        WallTime(self.0.saturating_add(ms.saturating_mul(1_000)))
    }
}

pub trait Clock: Send + Sync {
    fn now(&self) -> WallTime;
}

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> WallTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallTime(since.as_micros() as i64)
    }
}

/// A clock that a test moves by hand.
pub struct ManualClock(AtomicI64);

impl ManualClock {
    pub fn at(start: WallTime) -> ManualClock {
        ManualClock(AtomicI64::new(start.0))
    }

    pub fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms * 1_000, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> WallTime {
        WallTime(self.0.load(Ordering::SeqCst))
    }
}
