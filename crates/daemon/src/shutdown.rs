//! The ladder of a graceful stop: each step has a deadline counted from the signal.
//!
//! In: signals. Out: what to do now. Promise: the second signal ends the process at once; no step waits without a
//! deadline.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Close the ports, refuse statements, cancel queries, close the logs; `total` from now the process ends anyway.
    Drain { queries: Duration, total: Duration },
    /// End without another write.
    ExitNow,
}

#[derive(Debug, Default)]
pub struct Ladder {
    signals: u32,
}

impl Ladder {
    pub fn signal(&mut self, queries: Duration, total: Duration) -> Step {
        self.signals += 1;
        match self.signals {
            1 => Step::Drain { queries: queries.min(total), total },
            _ => Step::ExitNow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_signal_ends_at_once() {
        let mut ladder = Ladder::default();
        let second = Duration::from_secs(1);
        assert_eq!(ladder.signal(second * 3, second * 2), Step::Drain { queries: second * 2, total: second * 2 });
        assert_eq!(ladder.signal(second, second), Step::ExitNow);
    }
}
