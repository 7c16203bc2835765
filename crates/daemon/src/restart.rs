//! When a worker that has died is started again.
//!
//! In: whether it had answered on its ports. Out: how long to wait. Promise: a worker that worked is replaced at once, however
//! often it dies; one that cannot start does not eat the machine.

use std::time::Duration;

/// Waits before another try of a worker that died before it was ready; the last one repeats.
const DELAYS_MS: [u64; 4] = [0, 100, 500, 2_000];

#[derive(Debug, Default)]
pub struct Restarts {
    /// Deaths before ready, in a row.
    failed_starts: usize,
}

impl Restarts {
    pub fn died(&mut self, was_ready: bool) -> Duration {
        if was_ready {
            self.failed_starts = 0;
            return Duration::ZERO;
        }
        let step = self.failed_starts.min(DELAYS_MS.len() - 1);
        self.failed_starts += 1;
        Duration::from_millis(DELAYS_MS[step])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_worked_is_replaced_at_once() {
        let mut restarts = Restarts::default();
        assert!((0..100).all(|_| restarts.died(true) == Duration::ZERO));
    }

    #[test]
    fn one_that_cannot_start_waits_longer_each_time() {
        let mut restarts = Restarts::default();
        let waits: Vec<u128> = (0..5).map(|_| restarts.died(false).as_millis()).collect();
        assert_eq!(waits, [0, 100, 500, 2_000, 2_000]);
        assert_eq!(restarts.died(true), Duration::ZERO);
        assert_eq!(restarts.died(false), Duration::ZERO);
    }
}
