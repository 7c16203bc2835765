//! The outside world as values: time and randomness come in through these traits, so that a seed replays a run.

use crate::{Code, Error, Result};
use std::fmt;
use std::sync::Arc;
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

/// Whether the query that work is done for has been ended from outside: a KILL, its deadline, a client that is gone. Asked by
/// work that no batch of rows bounds.
#[derive(Clone, Default)]
pub struct Stop(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl Stop {
    pub fn when(ended: impl Fn() -> bool + Send + Sync + 'static) -> Stop {
        Stop(Some(Arc::new(ended)))
    }

    pub fn is_set(&self) -> bool {
        self.0.as_ref().is_some_and(|ended| ended())
    }

    /// Errors: QUERY_WAS_CANCELLED (394) once it is set.
    pub fn check(&self) -> Result<()> {
        match self.is_set() {
            true => Err(Error::new(Code::QUERY_WAS_CANCELLED, "the query was cancelled")),
            false => Ok(()),
        }
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stop({})", self.is_set())
    }
}
