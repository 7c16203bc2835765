//! The life of a server as its supervisor decides it: when to tell clients, to kill, to start, to end.
//!
//! In: what has happened, with the time since the supervisor began. Out: what to do, in order. Promise: every state but a
//! healthy one has a deadline; a worker is released only after the one before is dead.

use crate::restart::Restarts;
use std::time::Duration;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A thread of the worker has faulted; the worker still lives.
    Fault,
    /// The dump of the dying worker is written, or cannot be.
    Dumped,
    /// The worker answers on its ports.
    Ready,
    /// The worker is gone; `code` is its exit code, `None` after a signal.
    Died { code: Option<i32> },
    /// The one that waits is gone.
    StandbyDied,
    /// Asked to stop; again: now.
    Stop,
    /// Threads of the worker hang.
    Hung,
    /// A log or the catalog of the worker can no longer be written, and its clients have been answered.
    Broken,
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Answers every client that can be answered; those in the middle of a frame come later.
    TellClients,
    /// Answers the rest: nobody writes any more.
    TellRest,
    /// Writes the crash record.
    Record,
    /// Starts the process that walks the stacks.
    Dump,
    KillWorker,
    /// Ends the process that walks the stacks: who traces a dead process keeps its parent from seeing that it is dead.
    StopDump,
    /// Lets the standby begin, or starts a worker for it.
    Release,
    StartStandby,
    /// Passes the signal to stop on to the worker.
    AskToStop,
    /// Nothing is left to do.
    Exit(i32),
}

/// Limits of the supervisor.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A dying worker is killed after this, dumped or not.
    pub dump: Duration,
    /// The same for one that hangs: who waited for seconds can wait for its stacks.
    pub hang_dump: Duration,
    /// A stop takes at most this.
    pub stop: Duration,
    /// A new standby is started so long after a worker is ready, and after a standby died.
    pub standby: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Released, not ready yet.
    Starting,
    Ready,
    /// A fault was seen.
    Dying {
        kill_at: Duration,
    },
    /// Killed; the kernel takes it down. A dump that is not done is ended then.
    Killed {
        stop_dump_at: Option<Duration>,
    },
    /// Dead; the next one begins then.
    Waiting {
        release_at: Duration,
    },
    Stopping {
        kill_at: Duration,
    },
}

pub struct Life {
    state: State,
    patience: Patience,
    restarts: Restarts,
    /// A worker has been ready at least once.
    has_worked: bool,
    standby: bool,
    standby_at: Option<Duration>,
    /// The death that comes was announced by a fault or a hang, and is recorded.
    is_recorded: bool,
    /// It was ready when that was seen.
    was_ready: bool,
}

impl Life {
    pub fn new(patience: Patience) -> Life {
        Life {
            state: State::Starting,
            patience,
            restarts: Restarts::default(),
            has_worked: false,
            standby: false,
            standby_at: None,
            is_recorded: false,
            was_ready: false,
        }
    }

    /// True when a worker answers.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    pub fn is_stopping(&self) -> bool {
        matches!(self.state, State::Stopping { .. })
    }

    /// True while clients in the middle of a frame may become free to be told.
    pub fn is_dying(&self) -> bool {
        matches!(self.state, State::Dying { .. } | State::Killed { .. })
    }

    /// A worker has been ready at least once.
    pub fn has_worked(&self) -> bool {
        self.has_worked
    }

    /// When to call with [`Event::Tick`] at the latest.
    pub fn deadline(&self) -> Option<Duration> {
        let own = match self.state {
            State::Dying { kill_at } | State::Stopping { kill_at } => Some(kill_at),
            State::Waiting { release_at } => Some(release_at),
            State::Killed { stop_dump_at } => stop_dump_at,
            State::Starting | State::Ready => None,
        };
        match (own, self.standby_at.filter(|_| !self.standby)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub fn on(&mut self, event: Event, now: Duration) -> Vec<Act> {
        match event {
            Event::Fault => self.fault(now + self.patience.dump),
            Event::Dumped => match self.state {
                State::Dying { .. } => self.kill(None),
                State::Killed { .. } => {
                    self.state = State::Killed { stop_dump_at: None };
                    Vec::new()
                }
                _ => Vec::new(),
            },
            Event::Ready => {
                if self.state == State::Starting {
                    self.state = State::Ready;
                    self.has_worked = true;
                    self.standby_at = Some(now + self.patience.standby);
                }
                Vec::new()
            }
            Event::Died { code } => self.died(code, now),
            Event::StandbyDied => {
                self.standby = false;
                self.standby_at = Some(now + self.patience.standby * 20);
                Vec::new()
            }
            Event::Stop => self.stop(now),
            Event::Hung if self.state == State::Ready => self.fault(now + self.patience.hang_dump),
            Event::Broken if self.state == State::Ready => self.broken(),
            Event::Hung | Event::Broken => Vec::new(),
            Event::Tick => self.tick(now),
        }
    }

    fn fault(&mut self, kill_at: Duration) -> Vec<Act> {
        match self.state {
            State::Starting | State::Ready => {
                self.was_ready = self.state == State::Ready;
                self.state = State::Dying { kill_at };
                self.is_recorded = true;
                vec![Act::TellClients, Act::Record, Act::Dump]
            }
            // A fault while it stops: the deadline of the stop holds, and the record is worth having.
            State::Stopping { .. } if !self.is_recorded => {
                self.is_recorded = true;
                vec![Act::TellClients, Act::Record, Act::KillWorker]
            }
            _ => Vec::new(),
        }
    }

    /// There is nothing in the worker to be looked at: what failed is outside of it.
    fn broken(&mut self) -> Vec<Act> {
        (self.was_ready, self.is_recorded) = (true, true);
        self.state = State::Killed { stop_dump_at: None };
        vec![Act::TellClients, Act::Record, Act::KillWorker]
    }

    fn kill(&mut self, stop_dump_at: Option<Duration>) -> Vec<Act> {
        self.state = State::Killed { stop_dump_at };
        vec![Act::KillWorker]
    }

    fn died(&mut self, code: Option<i32>, now: Duration) -> Vec<Act> {
        if let State::Stopping { .. } = self.state {
            return vec![Act::TellRest, Act::Exit(code.unwrap_or(0))];
        }
        let was_ready = if self.is_recorded { self.was_ready } else { self.state == State::Ready };
        // It ended by itself, as it was asked to by a statement.
        if code == Some(0) && !self.is_recorded {
            return vec![Act::TellRest, Act::Exit(0)];
        }
        let mut acts = Vec::new();
        if !self.is_recorded {
            acts.push(Act::TellClients);
            acts.push(Act::Record);
        }
        self.is_recorded = false;
        acts.push(Act::TellRest);
        let delay = self.restarts.died(was_ready);
        self.state = State::Waiting { release_at: now + delay };
        acts.extend(self.tick(now));
        acts
    }

    fn stop(&mut self, now: Duration) -> Vec<Act> {
        match self.state {
            // Asked twice: nobody wants to wait.
            State::Stopping { .. } => vec![Act::AskToStop],
            State::Waiting { .. } => vec![Act::Exit(0)],
            _ => {
                self.state = State::Stopping { kill_at: now + self.patience.stop };
                vec![Act::AskToStop]
            }
        }
    }

    fn tick(&mut self, now: Duration) -> Vec<Act> {
        match self.state {
            // A walk through a dead process ends by itself soon, and then still gives names to what it has.
            State::Dying { kill_at } if now >= kill_at => return self.kill(Some(now + self.patience.dump / 2)),
            State::Killed { stop_dump_at: Some(at) } if now >= at => {
                self.state = State::Killed { stop_dump_at: None };
                return vec![Act::StopDump];
            }
            State::Stopping { kill_at } if now >= kill_at => {
                self.state = State::Stopping { kill_at: now + self.patience.stop };
                return vec![Act::KillWorker];
            }
            State::Waiting { release_at } if now >= release_at => {
                self.state = State::Starting;
                self.standby = false;
                self.standby_at = None;
                return vec![Act::Release];
            }
            _ => {}
        }
        if self.state == State::Ready && !self.standby && self.standby_at.is_some_and(|at| now >= at) {
            self.standby = true;
            return vec![Act::StartStandby];
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn ready() -> Life {
        let patience = Patience { dump: ms(200), hang_dump: ms(2_000), stop: ms(12_000), standby: ms(50) };
        let mut life = Life::new(patience);
        assert_eq!(life.on(Event::Ready, ms(0)), []);
        assert_eq!(life.on(Event::Tick, ms(50)), [Act::StartStandby]);
        life
    }

    #[test]
    fn clients_hear_before_the_record_and_the_dump() {
        let mut life = ready();
        assert_eq!(life.on(Event::Fault, ms(1_000)), [Act::TellClients, Act::Record, Act::Dump]);
        assert_eq!(life.deadline(), Some(ms(1_200)));
        assert_eq!(life.on(Event::Tick, ms(1_100)), []);
        assert_eq!(life.on(Event::Dumped, ms(1_150)), [Act::KillWorker]);
        assert_eq!(life.on(Event::Died { code: None }, ms(1_160)), [Act::TellRest, Act::Release]);
        assert!(!life.is_ready());
        life.on(Event::Ready, ms(1_300));
        assert!(life.is_ready());
    }

    #[test]
    fn a_dump_that_takes_too_long_is_given_up() {
        let mut life = ready();
        life.on(Event::Fault, ms(1_000));
        assert_eq!(life.on(Event::Tick, ms(1_200)), [Act::KillWorker]);
        assert_eq!(life.on(Event::Dumped, ms(1_201)), []);
        assert_eq!(life.deadline(), None);
    }

    #[test]
    fn a_dump_that_holds_a_dead_process_is_ended() {
        let mut life = ready();
        life.on(Event::Fault, ms(1_000));
        assert_eq!(life.on(Event::Tick, ms(1_200)), [Act::KillWorker]);
        assert_eq!(life.deadline(), Some(ms(1_300)));
        assert_eq!(life.on(Event::Tick, ms(1_299)), []);
        assert_eq!(life.on(Event::Tick, ms(1_300)), [Act::StopDump]);
        assert_eq!(life.deadline(), None);
        assert_eq!(life.on(Event::Dumped, ms(1_301)), []);
        assert_eq!(life.on(Event::Died { code: None }, ms(1_302)), [Act::TellRest, Act::Release]);
    }

    #[test]
    fn a_death_without_a_word_is_told_recorded_and_mended() {
        let mut life = ready();
        let acts = life.on(Event::Died { code: None }, ms(1_000));
        assert_eq!(acts, [Act::TellClients, Act::Record, Act::TellRest, Act::Release]);
    }

    #[test]
    fn a_worker_that_hangs_is_looked_at_for_longer() {
        let mut life = ready();
        assert_eq!(life.on(Event::Hung, ms(9_000)), [Act::TellClients, Act::Record, Act::Dump]);
        assert_eq!(life.on(Event::Hung, ms(9_100)), []);
        assert_eq!(life.deadline(), Some(ms(11_000)));
        assert_eq!(life.on(Event::Dumped, ms(9_700)), [Act::KillWorker]);
    }

    #[test]
    fn a_worker_whose_disk_failed_is_replaced_without_a_dump() {
        let mut life = ready();
        assert_eq!(life.on(Event::Broken, ms(1_000)), [Act::TellClients, Act::Record, Act::KillWorker]);
        assert_eq!(life.on(Event::Broken, ms(1_001)), []);
        assert_eq!(life.on(Event::Died { code: None }, ms(1_010)), [Act::TellRest, Act::Release]);
        assert_eq!(life.on(Event::Broken, ms(1_020)), [], "the next one is not ready yet");
    }

    #[test]
    fn one_that_cannot_start_waits_longer_each_time() {
        let mut life = ready();
        assert!(life.on(Event::Died { code: None }, ms(1_000)).contains(&Act::Release));
        assert!(life.on(Event::Died { code: None }, ms(1_001)).contains(&Act::Release));
        assert!(!life.on(Event::Died { code: None }, ms(1_002)).contains(&Act::Release));
        assert_eq!(life.on(Event::Tick, ms(1_101)), []);
        assert_eq!(life.on(Event::Tick, ms(1_102)), [Act::Release]);
    }

    #[test]
    fn a_stop_is_passed_on_and_ends_with_the_worker() {
        let mut life = ready();
        assert_eq!(life.on(Event::Stop, ms(1_000)), [Act::AskToStop]);
        assert_eq!(life.on(Event::Stop, ms(1_001)), [Act::AskToStop]);
        assert_eq!(life.on(Event::Tick, ms(13_000)), [Act::KillWorker]);
        assert_eq!(life.on(Event::Died { code: Some(0) }, ms(13_001)), [Act::TellRest, Act::Exit(0)]);
    }

    #[test]
    fn a_stop_between_two_workers_ends_at_once() {
        let mut life = ready();
        for at in [1_000, 1_001, 1_002] {
            life.on(Event::Died { code: None }, ms(at));
        }
        assert_eq!(life.on(Event::Stop, ms(1_003)), [Act::Exit(0)]);
    }

    #[test]
    fn a_worker_that_ends_by_itself_takes_the_server_along() {
        let mut life = ready();
        assert_eq!(life.on(Event::Died { code: Some(0) }, ms(1_000)), [Act::TellRest, Act::Exit(0)]);
    }
}
