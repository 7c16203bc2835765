//! What a query has done since its last answer, step by step: enough to do it again.
//!
//! Promise: a pipeline with the same state that takes the same steps, each at its time, has the same state again and gives the
//! same answers. So whoever finds an answer with its steps needs not make it a second time.

use hydron_base::world::WallTime;
use hydron_base::{Code, Error, Result};

/// Steps that may wait for an answer or for a checkpoint; 64 MiB. A query that makes 5,000 steps a second and no answer fills
/// them in seven minutes.
pub const TRACE_STEPS_MAX: usize = 2_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next rows of one shard of a source, of the record `sequence`.
    Rows { source: u32, shard: u32, sequence: i64 },
    /// Rows that nobody can read again.
    Passing,
    /// The timers that were due.
    Timer,
    /// The past of a source was complete.
    PastEnd { source: u32 },
    /// A source ended.
    End { source: u32 },
}

/// A step and the time at which it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamped {
    pub step: Step,
    pub now: WallTime,
}

/// Steps that follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Number of the first one in the life of the query.
    pub first: u64,
    pub steps: Vec<Stamped>,
}

impl Steps {
    pub fn starting_at(first: u64) -> Steps {
        Steps { first, steps: Vec::new() }
    }

    /// Number of the step after the last.
    pub fn next(&self) -> u64 {
        self.first + self.steps.len() as u64
    }

    /// Errors: SET_SIZE_LIMIT_EXCEEDED past [`TRACE_STEPS_MAX`].
    pub fn push(&mut self, step: Step, now: WallTime) -> Result<()> {
        if self.steps.len() >= TRACE_STEPS_MAX {
            let message = format!("{TRACE_STEPS_MAX} steps of a view wait for a checkpoint");
            return Err(Error::new(Code::SET_SIZE_LIMIT_EXCEEDED, message).hint("a shorter checkpoint_interval"));
        }
        self.steps.push(Stamped { step, now });
        Ok(())
    }

    /// All of them, leaving none.
    pub fn take(&mut self) -> Steps {
        let next = self.next();
        std::mem::replace(self, Steps::starting_at(next))
    }

    /// Puts `later` behind, without what both have.
    ///
    /// Errors: RECOVER_CHECKPOINT_FAILED when steps between them are missing.
    pub fn append(&mut self, later: &Steps) -> Result<()> {
        let next = self.next();
        if later.first > next {
            let message = format!("steps {next} to {} of a query are missing", later.first - 1);
            return Err(Error::new(Code::RECOVER_CHECKPOINT_FAILED, message));
        }
        let known = (next - later.first).min(later.steps.len() as u64) as usize;
        self.steps.extend_from_slice(&later.steps[known..]);
        Ok(())
    }

    /// Forgets the steps before number `first`.
    pub fn forget_before(&mut self, first: u64) {
        let known = first.saturating_sub(self.first).min(self.steps.len() as u64);
        self.steps.drain(..known as usize);
        self.first += known;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(first: u64, sequences: std::ops::Range<i64>) -> Steps {
        let rows = |sequence| Stamped { step: Step::Rows { source: 0, shard: 0, sequence }, now: WallTime(sequence) };
        Steps { first, steps: sequences.map(rows).collect() }
    }

    #[test]
    fn steps_are_joined_without_doubles_and_not_over_a_gap() {
        let mut all = steps(5, 0..3);
        all.append(&steps(7, 2..4)).unwrap();
        assert_eq!(all, steps(5, 0..4));
        all.append(&steps(4, -1..2)).unwrap();
        assert_eq!(all, steps(5, 0..4));
        assert_eq!(all.append(&steps(10, 0..1)).unwrap_err().code, Code::RECOVER_CHECKPOINT_FAILED);
    }

    #[test]
    fn what_is_forgotten_or_taken_keeps_the_numbers() {
        let mut all = steps(5, 0..4);
        all.forget_before(7);
        assert_eq!(all, steps(7, 2..4));
        all.forget_before(3);
        assert_eq!(all.take(), steps(7, 2..4));
        assert_eq!((all.first, all.steps.len()), (9, 0));
    }
}
