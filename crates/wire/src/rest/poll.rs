//! What has become of rows that were taken and not yet durable when their request was answered.
//!
//! In: ids handed out with answers, outcomes later. Out: a status for each id. Promise: what is kept has a limit; an id
//! of another server, or of this one before it was started again, is told apart by its channel.

use hydron_base::{Code, Error, Result};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use uuid::Uuid;

/// Requests whose rows are on their way to the disk. Past that new ones are refused: the disk does not keep up.
const OUTSTANDING_MAX: usize = 10_000;

/// Outcomes kept for clients that ask; each is some hundred bytes.
const OUTCOMES_MAX: usize = 10_000;

#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Processing,
    Succeeded,
    Failed(Error),
}

struct Entry {
    user: String,
    outcome: Outcome,
}

pub(super) struct Polls {
    /// Differs with every start: statuses do not outlive the process.
    pub channel: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_id: HashMap<Uuid, Entry>,
    /// Ids with an outcome, oldest first.
    ended: VecDeque<Uuid>,
}

impl Default for Polls {
    fn default() -> Polls {
        Polls { channel: Uuid::new_v4().to_string(), state: Mutex::default() }
    }
}

impl Polls {
    /// A new id, processing. Errors: INTERNAL_INGEST_BUFFER_FULL when too many are.
    pub(super) fn begin(&self, user: &str) -> Result<Uuid> {
        let mut state = self.state.lock();
        if state.by_id.len() - state.ended.len() >= OUTSTANDING_MAX {
            let text = format!("the rows of {OUTSTANDING_MAX} requests wait for the disk, which is the limit");
            return Err(Error::new(Code::INTERNAL_INGEST_BUFFER_FULL, text).hint("again in a moment, or mode=sync"));
        }
        let id = Uuid::new_v4();
        state.by_id.insert(id, Entry { user: user.to_string(), outcome: Outcome::Processing });
        Ok(id)
    }

    pub(super) fn end(&self, id: Uuid, outcome: Outcome) {
        let mut state = self.state.lock();
        let Some(entry) = state.by_id.get_mut(&id) else { return };
        entry.outcome = outcome;
        state.ended.push_back(id);
        if state.ended.len() > OUTCOMES_MAX
            && let Some(oldest) = state.ended.pop_front()
        {
            state.by_id.remove(&oldest);
        }
    }

    /// `None` for an id that is not known any more, or another user's.
    ///
    /// Errors: INVALID_POLL_ID for a text that never was one.
    pub(super) fn outcome(&self, id: &str, user: &str) -> Result<Option<Outcome>> {
        let uuid = Uuid::parse_str(id)
            .map_err(|_| Error::new(Code::INVALID_POLL_ID, format!("'{id}' is no poll_id of this server")))?;
        let state = self.state.lock();
        Ok(state.by_id.get(&uuid).filter(|e| e.user == user).map(|e| e.outcome.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_until_many_others_have_ended() {
        let polls = Polls::default();
        let first = polls.begin("u").unwrap();
        let outcome = |id: Uuid, user: &str| polls.outcome(&id.to_string(), user).unwrap();
        assert!(matches!(outcome(first, "u"), Some(Outcome::Processing)));
        assert!(outcome(first, "other").is_none());
        polls.end(first, Outcome::Succeeded);
        assert!(matches!(outcome(first, "u"), Some(Outcome::Succeeded)));
        for _ in 0..OUTCOMES_MAX {
            let id = polls.begin("u").unwrap();
            polls.end(id, Outcome::Failed(Error::bug("x")));
        }
        assert!(outcome(first, "u").is_none());
        assert_eq!(polls.outcome("x", "u").unwrap_err().code, Code::INVALID_POLL_ID);
        (0..OUTSTANDING_MAX).for_each(|_| assert!(polls.begin("u").is_ok()));
        assert_eq!(polls.begin("u").unwrap_err().code, Code::INTERNAL_INGEST_BUFFER_FULL);
    }
}
