//! When brokers have been away for too long.
//!
//! In: errors, signs of life, the time. Out: whether to go on, to ask, or to give up. Promise: who gets no answer for the whole of
//! its patience is told, with the last reason.

use std::time::{Duration, Instant};

/// Between two questions.
const PROBE_PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong, or it is too early to ask again.
    Wait,
    /// Ask the brokers whether they are there.
    Probe,
    GiveUp,
}

#[derive(Debug)]
pub struct Outage {
    patience: Duration,
    since: Option<Instant>,
    probed: Option<Instant>,
    pub reason: String,
}

impl Outage {
    pub fn new(patience: Duration) -> Outage {
        Outage { patience, since: None, probed: None, reason: String::new() }
    }

    /// Something did not reach a broker.
    pub fn failed(&mut self, now: Instant, reason: impl Into<String>) {
        self.since.get_or_insert(now);
        self.reason = reason.into();
    }

    /// A broker has answered.
    pub fn alive(&mut self) {
        (self.since, self.probed) = (None, None);
    }

    pub fn verdict(&mut self, now: Instant) -> Verdict {
        let Some(since) = self.since else { return Verdict::Wait };
        if now.duration_since(since) >= self.patience {
            return Verdict::GiveUp;
        }
        if self.probed.is_some_and(|p| now.duration_since(p) < PROBE_PAUSE.min(self.patience / 4)) {
            return Verdict::Wait;
        }
        self.probed = Some(now);
        Verdict::Probe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_in_time_is_enough() {
        let at = |ms: u64, start: Instant| start + Duration::from_millis(ms);
        let start = Instant::now();
        let mut outage = Outage::new(Duration::from_secs(10));
        assert_eq!(outage.verdict(at(0, start)), Verdict::Wait);
        outage.failed(at(0, start), "refused");
        assert_eq!(outage.verdict(at(1, start)), Verdict::Probe);
        assert_eq!(outage.verdict(at(500, start)), Verdict::Wait);
        outage.failed(at(900, start), "refused again");
        assert_eq!(outage.verdict(at(1_001, start)), Verdict::Probe);
        outage.alive();
        assert_eq!(outage.verdict(at(60_000, start)), Verdict::Wait);
        outage.failed(at(60_000, start), "gone");
        assert_eq!(outage.verdict(at(69_999, start)), Verdict::Probe);
        assert_eq!(outage.verdict(at(70_000, start)), Verdict::GiveUp);
        assert_eq!(outage.reason, "gone");
    }
}
