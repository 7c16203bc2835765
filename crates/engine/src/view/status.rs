//! What a view is at, and when one that failed is tried again.

use crate::checkpoint::KeptAt;
use hydron_base::Error;
use hydron_base::world::WallTime;
use std::time::Duration;

/// Pause after the first failure; each further one adds as much, up to [`PAUSES_MAX`] times.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

const PAUSES_MAX: u32 = 6;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Unknown,
    CheckingDependencies,
    BuildingPipeline,
    ExecutingPipeline,
    /// It failed and waits for its next try.
    Fatal,
    /// By SYSTEM PAUSE, or because the server is in safe mode.
    Paused,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Unknown => "UNKNOWN",
            State::CheckingDependencies => "CHECKING_DEPENDENCIES",
            State::BuildingPipeline => "BUILDING_PIPELINE",
            State::ExecutingPipeline => "EXECUTING_PIPELINE",
            State::Fatal => "FATAL",
            State::Paused => "PAUSED",
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Status {
    pub state: State,
    /// The last failure, also after a later run went well.
    pub error: Option<(Error, WallTime)>,
    /// Failures since a checkpoint was last written.
    pub failures: u32,
    /// All of them.
    pub failures_total: u64,
    pub retry_at: Option<WallTime>,
    pub kept: KeptAt,
    pub units: u64,
    pub rows_written: u64,
    /// Passed over since the server started.
    pub records_skipped: u64,
}

impl Status {
    /// It failed: returns how long to wait before the next try.
    pub fn failed(&mut self, error: Error, now: WallTime) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.failures_total += 1;
        let pause = RETRY_PAUSE * self.failures.min(PAUSES_MAX);
        self.state = State::Fatal;
        self.error = Some((error, now));
        self.retry_at = Some(WallTime(now.0.saturating_add(pause.as_micros() as i64)));
        pause
    }

    /// Why it does not run now.
    pub fn fatal(&self) -> Option<Error> {
        self.error.as_ref().filter(|_| self.state == State::Fatal).map(|(e, _)| e.clone())
    }

    pub fn enter(&mut self, state: State) {
        self.state = state;
        self.retry_at = None;
    }

    /// A checkpoint was written: whatever was wrong is behind it.
    pub fn kept(&mut self, kept: KeptAt) {
        if kept.epoch > self.kept.epoch {
            self.failures = 0;
        }
        self.kept = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_base::Code;

    #[test]
    fn pauses_grow_up_to_half_a_minute_and_a_checkpoint_ends_the_count() {
        let mut status = Status::default();
        let error = || Error::new(Code::UNKNOWN_STREAM, "gone");
        let pauses: Vec<u64> = (0..8).map(|_| status.failed(error(), WallTime(0)).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 15, 20, 25, 30, 30, 30]);
        assert_eq!((status.state, status.retry_at), (State::Fatal, Some(WallTime(30_000_000))));
        status.kept(KeptAt { epoch: 1, ..KeptAt::default() });
        assert_eq!((status.failed(error(), WallTime(0)).as_secs(), status.failures_total), (5, 9));
    }
}
