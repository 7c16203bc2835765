//! Answers that are written together.
//!
//! In: answers as they come, the last of each step with its steps. Out: units of whole steps. Promise: the answers of one step
//! are never in two units; a unit closes at the first end of a step at which it is full.

use crate::checkpoint::steps::STEP_BYTES_MAX;
use crate::view::stamp::STEPS_BYTES_MAX;
use hydron_base::Result;
use hydron_base::limit::BATCH_ROWS_MAX;
use hydron_base::memory::Reserved;
use hydron_flow::host::{Answer, Steps};

/// Bytes of answers in one unit: with less the log pays a record for each, with more readers wait for one.
const UNIT_BYTES_MAX: usize = 4 << 20;

/// Steps in one unit, so that they fit into a stamp.
const UNIT_STEPS_MAX: usize = STEPS_BYTES_MAX / STEP_BYTES_MAX - 1;

#[derive(Default)]
pub struct Unit {
    pub answers: Vec<Answer>,
    held: Vec<Reserved>,
    pub steps: Steps,
    rows: usize,
    bytes: usize,
    /// More answers of the last step follow.
    in_step: bool,
}

impl Unit {
    pub fn push(&mut self, answer: Answer, held: Reserved, steps: Option<Steps>) -> Result<()> {
        self.rows += answer.len();
        self.bytes += answer.batch().bytes();
        self.answers.push(answer);
        self.held.push(held);
        self.in_step = steps.is_none();
        match steps {
            Some(steps) if self.steps.steps.is_empty() => self.steps = steps,
            Some(steps) => self.steps.append(&steps)?,
            None => {}
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// It ends with the end of a step.
    pub fn is_whole(&self) -> bool {
        !self.in_step
    }

    /// As large as a unit may be, whether its last step is whole or not.
    pub fn is_large(&self) -> bool {
        self.rows >= BATCH_ROWS_MAX || self.bytes >= UNIT_BYTES_MAX
    }

    pub fn is_full(&self) -> bool {
        let steps = self.steps.steps.len();
        self.is_whole() && (self.rows >= BATCH_ROWS_MAX || self.bytes >= UNIT_BYTES_MAX || steps >= UNIT_STEPS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_base::Budget;
    use hydron_base::world::WallTime;
    use hydron_flow::Rows;
    use hydron_flow::host::{Stamped, Step};
    use hydron_types::{Batch, Schema};
    use std::sync::Arc;

    fn answer(rows: usize) -> (Answer, Reserved) {
        let batch = Batch::new(Arc::new(Schema::default()), Vec::new(), rows);
        (Rows::insert(batch), Budget::alone(0).reserve(0).unwrap())
    }

    fn step(first: u64) -> Option<Steps> {
        Some(Steps { first, steps: vec![Stamped { step: Step::Timer, now: WallTime(0) }] })
    }

    #[test]
    fn a_unit_is_full_only_at_the_end_of_a_step() {
        let mut unit = Unit::default();
        let (big, held) = answer(BATCH_ROWS_MAX);
        unit.push(big, held, None).unwrap();
        assert!(!unit.is_full() && !unit.is_whole());
        let (small, held) = answer(1);
        unit.push(small, held, step(7)).unwrap();
        assert!(unit.is_full() && unit.is_whole());
        assert_eq!((unit.rows(), unit.steps.first, unit.steps.next()), (BATCH_ROWS_MAX + 1, 7, 8));
    }

    #[test]
    fn many_steps_fill_a_unit_too() {
        let mut unit = Unit::default();
        let mut steps = 0;
        while !unit.is_full() {
            let (one, held) = answer(1);
            unit.push(one, held, step(steps)).unwrap();
            steps += 1;
        }
        assert_eq!(steps as usize, UNIT_STEPS_MAX);
    }
}
