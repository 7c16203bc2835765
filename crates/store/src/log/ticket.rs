//! The receipt of an append: waits for the flusher, from a thread or from a task.
//!
//! Promise: exactly one answer. If the flusher goes away without one, the answer is "outcome unknown", never silence.

use super::record::Sequence;
use crate::error::{Result, StoreError};
use parking_lot::{Condvar, Mutex};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Where an appended record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub sequence: Sequence,
    pub append_time_ms: i64,
    /// True if the key was known: nothing was stored now, the place is that of the earlier record.
    pub duplicate: bool,
}

enum State {
    Waiting(Option<Waker>),
    Done(Result<Appended>),
}

struct Slot {
    state: Mutex<State>,
    done: Condvar,
}

/// A pending append: await it, or [`Ticket::wait`] on a plain thread. Dropping it does not recall the record.
pub struct Ticket(Arc<Slot>);

/// The flusher's end of a [`Ticket`].
pub(super) struct Answer {
    slot: Arc<Slot>,
    log: Arc<str>,
    given: bool,
}

pub(super) fn pair(log: Arc<str>) -> (Answer, Ticket) {
    let slot = Arc::new(Slot { state: Mutex::new(State::Waiting(None)), done: Condvar::new() });
    (Answer { slot: slot.clone(), log, given: false }, Ticket(slot))
}

impl Answer {
    pub(super) fn give(mut self, outcome: Result<Appended>) {
        self.put(outcome);
    }

    fn put(&mut self, outcome: Result<Appended>) {
        self.given = true;
        let before = std::mem::replace(&mut *self.slot.state.lock(), State::Done(outcome));
        self.slot.done.notify_all();
        if let State::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.given {
            let cause = "the flusher has stopped".to_owned();
            self.put(Err(StoreError::OutcomeUnknown { log: self.log.to_string(), cause }));
        }
    }
}

impl Ticket {
    /// Blocks the thread until the answer is there.
    pub fn wait(self) -> Result<Appended> {
        let mut state = self.0.state.lock();
        loop {
            match &*state {
                State::Done(outcome) => return outcome.clone(),
                State::Waiting(_) => self.0.done.wait(&mut state),
            }
        }
    }
}

impl Future for Ticket {
    type Output = Result<Appended>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self.0.state.lock() {
            State::Done(outcome) => Poll::Ready(outcome.clone()),
            State::Waiting(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
