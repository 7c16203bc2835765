//! What keeps one query's trouble its own: panics become errors, memory has a limit.

use super::progress::QueryProgress;
use crate::operator::Stats;
use hydron_base::world::WallTime;
use hydron_base::{Budget, Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Runs `work`; a panic inside is LOGICAL_ERROR (49). The operators are not used again after an error, so no broken
/// invariant is seen by anyone.
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Error::panicked(&*panic)))
}

/// Rows between two looks at the operators' memory: a look walks over all open windows.
const ROWS_BETWEEN_LOOKS: usize = 8_192;

/// Milliseconds after which one looks anyway, so that the numbers of a slow query are fresh.
const MS_BETWEEN_LOOKS: i64 = 100;

/// One task's part in the numbers of its query.
pub struct Meter {
    progress: Arc<QueryProgress>,
    memory: Arc<Budget>,
    bytes: u64,
    rows_late: u64,
    /// Rows since the last look.
    rows: usize,
    looked: Option<WallTime>,
}

impl Meter {
    pub fn new(progress: Arc<QueryProgress>, memory: &Arc<Budget>) -> Meter {
        Meter { progress, memory: Arc::clone(memory), bytes: 0, rows_late: 0, rows: 0, looked: None }
    }

    /// Whether it is time to look, after a message of so many rows (0: of none).
    pub fn is_due(&mut self, rows: usize, now: WallTime) -> bool {
        self.rows += rows;
        let stale = self.looked.is_none_or(|l| now >= l.plus_millis(MS_BETWEEN_LOOKS));
        let due = rows == 0 || stale || self.rows >= ROWS_BETWEEN_LOOKS;
        if due {
            (self.rows, self.looked) = (0, Some(now));
        }
        due
    }

    /// Takes over what the task's operators say of themselves. Errors: MEMORY_LIMIT_EXCEEDED (241).
    pub fn look(&mut self, bytes: usize, stats: Stats) -> Result<()> {
        self.progress.set_times(stats);
        self.progress.add_late(stats.rows_late.saturating_sub(self.rows_late));
        self.rows_late = stats.rows_late;
        let bytes = bytes as u64;
        if bytes > self.bytes {
            self.memory.try_grow(bytes - self.bytes)?;
        } else {
            self.memory.shrink(self.bytes - bytes);
        }
        self.progress.add_state(bytes as i64 - self.bytes as i64);
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.memory.shrink(self.bytes);
        self.progress.add_state(-(self.bytes as i64));
    }
}
