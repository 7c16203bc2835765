//! When the next checkpoint of a query is due.
//!
//! In: the time, and what became of the checkpoint that was asked for. Out: what to do now. Promise: one is in flight at a
//! time; a failed one is tried again soon; one that takes long makes the next come later, so that a query spends at most a
//! tenth of its time on them.

use hydron_base::world::WallTime;
use std::time::Duration;

/// The shortest automatic interval: what a crash makes a view do again.
const AUTOMATIC_MIN: Duration = Duration::from_secs(5);

/// A checkpoint may take this part of the time between two.
const SHARE: u32 = 10;

/// The longest wait after a failure.
const RETRY_MAX: Duration = Duration::from_secs(15);

/// How often checkpoints are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// As the query says.
    Fixed(Duration),
    /// As the size of its state allows, at least every `at_most`.
    Automatic { at_most: Duration },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask for a checkpoint now.
    Ask,
    WaitUntil(WallTime),
    /// Wait until something is told.
    Wait,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Due(WallTime),
    Asked(WallTime),
    Writing(WallTime),
}

#[derive(Debug)]
pub struct Coordinator {
    interval: Interval,
    state: State,
    /// Another one is wanted as soon as the one in flight is done.
    urgent: bool,
}

impl Coordinator {
    /// The first one is due at once: from then on nothing is lost.
    pub fn new(interval: Interval, now: WallTime) -> Coordinator {
        Coordinator { interval, state: State::Due(now), urgent: false }
    }

    pub fn next(&mut self, now: WallTime) -> Action {
        match self.state {
            State::Due(at) if at <= now => {
                self.state = State::Asked(now);
                Action::Ask
            }
            State::Due(at) => Action::WaitUntil(at),
            State::Asked(_) | State::Writing(_) => Action::Wait,
        }
    }

    /// The state was taken and is being written.
    pub fn taken(&mut self, now: WallTime) {
        self.state = State::Writing(now);
    }

    /// It is on disk.
    pub fn committed(&mut self, now: WallTime) {
        let took = match self.state {
            State::Writing(since) | State::Asked(since) => micros(since, now),
            State::Due(_) => Duration::ZERO,
        };
        self.wait(now, self.pause(took));
    }

    /// Nothing had happened since the last one.
    pub fn unchanged(&mut self, now: WallTime) {
        self.wait(now, self.pause(Duration::ZERO));
    }

    pub fn failed(&mut self, now: WallTime) {
        self.wait(now, self.pause(Duration::ZERO).min(RETRY_MAX));
    }

    /// The next one is due now: the server stops.
    pub fn hurry(&mut self, now: WallTime) {
        match self.state {
            State::Due(_) => self.state = State::Due(now),
            State::Asked(_) | State::Writing(_) => self.urgent = true,
        }
    }

    fn pause(&self, took: Duration) -> Duration {
        match self.interval {
            Interval::Fixed(interval) => interval,
            Interval::Automatic { at_most } => (took * SHARE).max(AUTOMATIC_MIN).min(at_most),
        }
    }

    fn wait(&mut self, now: WallTime, pause: Duration) {
        let pause = if std::mem::take(&mut self.urgent) { Duration::ZERO } else { pause };
        self.state = State::Due(WallTime(now.0.saturating_add(pause.as_micros() as i64)));
    }
}

fn micros(from: WallTime, to: WallTime) -> Duration {
    Duration::from_micros(to.0.saturating_sub(from.0).max(0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> WallTime {
        WallTime(seconds * 1_000_000)
    }

    #[test]
    fn one_is_in_flight_at_a_time_and_the_next_comes_an_interval_later() {
        let mut c = Coordinator::new(Interval::Fixed(Duration::from_secs(3)), at(0));
        assert_eq!(c.next(at(0)), Action::Ask);
        assert_eq!(c.next(at(10)), Action::Wait);
        c.taken(at(10));
        assert_eq!(c.next(at(20)), Action::Wait);
        c.committed(at(21));
        assert_eq!(c.next(at(21)), Action::WaitUntil(at(24)));
        assert_eq!(c.next(at(24)), Action::Ask);
        c.unchanged(at(24));
        assert_eq!(c.next(at(25)), Action::WaitUntil(at(27)));
    }

    #[test]
    fn a_large_state_is_written_less_often_but_often_enough() {
        let mut c = Coordinator::new(Interval::Automatic { at_most: Duration::from_secs(60) }, at(0));
        for (takes, pause) in [(0, 5), (1, 10), (4, 40), (30, 60)] {
            let now = at(1_000_000);
            c.state = State::Writing(now);
            c.committed(at(1_000_000 + takes));
            assert_eq!(c.next(now), Action::WaitUntil(at(1_000_000 + takes + pause)));
        }
    }

    #[test]
    fn a_failed_one_is_tried_again_soon() {
        let mut c = Coordinator::new(Interval::Fixed(Duration::from_secs(900)), at(0));
        c.next(at(0));
        c.taken(at(0));
        c.failed(at(1));
        assert_eq!(c.next(at(1)), Action::WaitUntil(at(16)));
    }

    #[test]
    fn a_stop_does_not_wait_for_the_interval() {
        let mut c = Coordinator::new(Interval::Fixed(Duration::from_secs(900)), at(0));
        c.next(at(0));
        c.hurry(at(1));
        c.taken(at(1));
        c.committed(at(2));
        assert_eq!(c.next(at(2)), Action::Ask);
        c.committed(at(3));
        c.hurry(at(4));
        assert_eq!(c.next(at(4)), Action::Ask);
    }
}
