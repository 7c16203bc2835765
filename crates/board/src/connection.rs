//! One client connection: who may write to its socket now, and what the client is waiting for.
//!
//! The worker and its supervisor both hold the socket, and after a fault other threads of the worker run on for a while.
//! So every write is bracketed: a frame begins with `Busy → Writing` and ends with `Writing → Busy`, and the supervisor
//! takes the socket only by `Idle | Busy → Taken`. Whoever loses that exchange does not write.

use crate::text::Text;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

/// What one moment of a connection allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// No connection, or one that is closed: the supervisor lets go of its copy.
    Free = 0,
    /// Between two requests, nothing of the next one was read.
    Idle = 1,
    /// A request was begun and its answer is not complete; the last frame is.
    Busy = 2,
    /// In the middle of a frame.
    Writing = 3,
    /// The supervisor's.
    Taken = 4,
}

impl State {
    fn of(number: u32) -> State {
        match number {
            0 => State::Free,
            1 => State::Idle,
            3 => State::Writing,
            4 => State::Taken,
            // A number that is none of ours: the memory was scribbled over. Nothing is known, so nothing is written before
            // the writer is dead.
            2 => State::Busy,
            _ => State::Writing,
        }
    }
}

/// How to speak to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Protocol {
    Http = 1,
    Native = 2,
    Rest = 3,
    Postgres = 4,
}

impl Protocol {
    pub fn of(number: u32) -> Option<Protocol> {
        match number {
            1 => Some(Protocol::Http),
            2 => Some(Protocol::Native),
            3 => Some(Protocol::Rest),
            4 => Some(Protocol::Postgres),
            _ => None,
        }
    }
}

/// The head of the answer is on the wire, at least its first byte.
pub const HEAD_SENT: u32 = 1;
/// The answer's head is decided: from here on bytes belong to the answer.
pub const RESPONDING: u32 = 2;
/// The answer has been handed over completely; when its last byte is written the connection is idle.
pub const ENDED: u32 = 4;
/// The answer is made of chunks, so that another one can follow.
pub const CHUNKED: u32 = 8;
/// What is sent is compressed: plain text cannot follow.
pub const COMPRESSED: u32 = 16;
/// The request was read to its end.
pub const REQUEST_READ: u32 = 32;
/// The connection ends with this answer.
pub const LAST: u32 = 64;
/// What the request asked to change is changed; only the answer is missing.
pub const COMMITTED: u32 = 128;
/// The request was to change something, and it is not known what came of it.
pub const UNSURE: u32 = 256;

/// What a write has changed, for [`Connection::abandon_frame`].
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    is_begun: bool,
    head: bool,
}

/// Bytes that a protocol keeps of a connection's session.
pub const SESSION_BYTES_MAX: usize = 1_984;

/// 2 KiB each.
#[repr(C, align(64))]
pub struct Connection {
    state: AtomicU32,
    /// Counts the connections of this place.
    generation: AtomicU32,
    protocol: AtomicU32,
    flags: AtomicU32,
    /// The query it waits for, plus one; 0: none.
    query: AtomicU32,
    /// Bytes of the outbox that are not sent yet.
    pub(crate) outbox_from: AtomicU32,
    pub(crate) outbox_to: AtomicU32,
    /// Not 0: the rest of the frame did not fit into the outbox.
    pub(crate) outbox_lost: AtomicU32,
    pub(crate) outbox_used: AtomicU32,
    /// Of a stream: all rows of records before this sequence number are with the client; -1: not known.
    resume_from: AtomicI64,
    /// The same when everything has gone out that was handed over to be written.
    resume_next: AtomicI64,
    _room: u64,
    /// What a protocol needs to go on with an idle connection in another process.
    pub session: Text<SESSION_BYTES_MAX>,
}

impl Connection {
    pub fn state(&self) -> State {
        State::of(self.state.load(Ordering::Acquire))
    }

    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn protocol(&self) -> Option<Protocol> {
        Protocol::of(self.protocol.load(Ordering::Relaxed))
    }

    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Acquire)
    }

    pub fn has(&self, flag: u32) -> bool {
        self.flags() & flag != 0
    }

    pub fn set(&self, flag: u32) {
        self.flags.fetch_or(flag, Ordering::AcqRel);
    }

    /// Index of the query that the client waits for.
    pub fn query(&self) -> Option<usize> {
        (self.query.load(Ordering::Acquire) as usize).checked_sub(1)
    }

    pub fn set_query(&self, query: Option<usize>) {
        self.query.store(query.map_or(0, |q| q as u32 + 1), Ordering::Release);
    }

    /// Takes a free place for a new connection; answers its generation.
    pub fn open(&self, protocol: Protocol) -> u32 {
        self.flags.store(0, Ordering::Relaxed);
        self.query.store(0, Ordering::Relaxed);
        self.outbox_from.store(0, Ordering::Relaxed);
        self.outbox_to.store(0, Ordering::Relaxed);
        self.outbox_lost.store(0, Ordering::Relaxed);
        self.outbox_used.store(0, Ordering::Relaxed);
        self.set_resume(-1);
        self.session.clear();
        self.protocol.store(protocol as u32, Ordering::Relaxed);
        let generation = self.generation.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.state.store(State::Idle as u32, Ordering::Release);
        generation
    }

    /// The first byte of a request has come.
    pub fn begin_request(&self) -> bool {
        let is_new = self.change(State::Idle, State::Busy);
        if is_new {
            self.set_resume(-1);
        }
        is_new || self.state() == State::Busy
    }

    /// A stream begins here, in sequence numbers; -1 where that is not known.
    pub fn set_resume(&self, from: i64) {
        self.resume_next.store(from, Ordering::Relaxed);
        self.resume_from.store(from, Ordering::Release);
    }

    /// What is handed over to be written from now on holds all rows of records before `from`. Call it just before.
    pub fn will_resume_from(&self, from: i64) {
        self.resume_next.store(from, Ordering::Release);
    }

    /// The kernel has taken what was handed over, or a part of it of which the rest goes into the outbox: the client will have it.
    pub fn note_resume(&self) {
        self.resume_from.store(self.resume_next.load(Ordering::Acquire), Ordering::Release);
    }

    /// The first sequence number whose rows the client of a stream has not got.
    pub fn resume_from(&self) -> Option<i64> {
        Some(self.resume_from.load(Ordering::Acquire)).filter(|from| *from >= 0)
    }

    /// Before a frame, or the rest of one, goes to the kernel. `None`: the socket is the supervisor's and nothing may be
    /// written.
    #[must_use]
    pub fn begin_frame(&self) -> Option<Frame> {
        // A server may speak first: an idle connection may be written to.
        let is_begun = self.change(State::Busy, State::Writing) || self.change(State::Idle, State::Writing);
        if !is_begun && self.state() != State::Writing {
            return None;
        }
        // Until the kernel has answered nobody knows how much of the frame is out.
        self.outbox_lost.store(1, Ordering::Release);
        let head = is_begun && self.has(RESPONDING) && !self.has(HEAD_SENT);
        if head {
            self.set(HEAD_SENT);
        }
        Some(Frame { is_begun, head })
    }

    /// The whole frame is with the kernel.
    pub fn end_frame(&self) {
        if self.has(ENDED) {
            self.flags.fetch_and(LAST, Ordering::AcqRel);
            self.query.store(0, Ordering::Release);
            self.change(State::Writing, State::Idle);
        } else {
            self.change(State::Writing, State::Busy);
        }
    }

    /// The kernel took nothing: a frame that had not begun before has not begun.
    pub fn abandon_frame(&self, frame: Frame) {
        if !frame.is_begun {
            return;
        }
        if frame.head {
            self.flags.fetch_and(!HEAD_SENT, Ordering::AcqRel);
        }
        self.outbox_from.store(0, Ordering::Relaxed);
        self.outbox_to.store(0, Ordering::Release);
        self.outbox_lost.store(0, Ordering::Release);
        self.change(State::Writing, State::Busy);
    }

    /// The answer is complete and nothing of it is unsent.
    pub fn end_request(&self) {
        if self.state() == State::Busy {
            self.flags.fetch_and(LAST, Ordering::AcqRel);
            self.query.store(0, Ordering::Release);
            self.change(State::Busy, State::Idle);
        }
    }

    /// Gives the place back. False: the supervisor has it, and the socket must be left alone.
    pub fn close(&self) -> bool {
        loop {
            let now = self.state.load(Ordering::Acquire);
            if now == State::Taken as u32 {
                return false;
            }
            let free = State::Free as u32;
            if self.state.compare_exchange(now, free, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return true;
            }
        }
    }

    /// The supervisor takes the socket; answers the state it was in. `Writing` cannot be taken while the writer lives.
    pub fn take(&self, writer_is_dead: bool) -> Result<State, State> {
        loop {
            let now = self.state.load(Ordering::Acquire);
            let state = State::of(now);
            if state == State::Free || (state == State::Writing && !writer_is_dead) {
                return Err(state);
            }
            let taken = State::Taken as u32;
            if self.state.compare_exchange(now, taken, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return Ok(state);
            }
        }
    }

    /// A taken connection goes to the next worker: it sends what is in the outbox, and goes on or, with `last`, closes.
    pub fn hand_over(&self, last: bool) {
        self.flags.store(if last { LAST } else { 0 }, Ordering::Relaxed);
        self.query.store(0, Ordering::Relaxed);
        self.state.store(State::Idle as u32, Ordering::Release);
    }

    /// As above, but its client still waits for the answer to the request before.
    pub fn hand_over_waiting(&self) {
        self.state.store(State::Busy as u32, Ordering::Release);
    }

    /// The outbox has held something since the connection began.
    pub fn used_outbox(&self) -> bool {
        self.outbox_used.load(Ordering::Relaxed) != 0
    }

    /// A taken connection is closed.
    pub fn discard(&self) {
        self.state.store(State::Free as u32, Ordering::Release);
    }

    fn change(&self, from: State, to: State) -> bool {
        self.state.compare_exchange(from as u32, to as u32, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        // SAFETY: all fields are integers and bytes; zero is a free place.
        unsafe { std::mem::zeroed() }
    }

    #[test]
    fn a_request_goes_from_idle_to_idle() {
        let c = connection();
        assert_eq!((c.state(), c.open(Protocol::Http)), (State::Free, 1));
        assert!(c.begin_request());
        c.set_query(Some(7));
        c.set(RESPONDING | CHUNKED);
        assert!(c.begin_frame().is_some());
        assert_eq!((c.state(), c.has(HEAD_SENT)), (State::Writing, true));
        c.end_frame();
        assert_eq!((c.state(), c.query()), (State::Busy, Some(7)));
        c.set(ENDED);
        assert!(c.begin_frame().is_some());
        c.end_frame();
        assert_eq!((c.state(), c.query(), c.flags()), (State::Idle, None, 0));
        assert!(c.close());
    }

    #[test]
    fn a_stream_goes_on_behind_what_was_written() {
        let c = connection();
        c.open(Protocol::Http);
        c.begin_request();
        assert_eq!(c.resume_from(), None);
        c.set_resume(5);
        c.will_resume_from(7);
        assert_eq!(c.resume_from(), Some(5), "it is not written yet");
        c.note_resume();
        assert_eq!(c.resume_from(), Some(7));
        c.set(ENDED);
        c.end_request();
        c.begin_request();
        assert_eq!(c.resume_from(), None, "the next request is another one");
    }

    #[test]
    fn a_frame_that_was_begun_is_not_taken_from_a_living_writer() {
        let c = connection();
        c.open(Protocol::Http);
        c.begin_request();
        assert!(c.begin_frame().is_some());
        assert_eq!(c.take(false), Err(State::Writing));
        assert_eq!(c.take(true), Ok(State::Writing));
        assert!(c.begin_frame().is_none() && !c.close());
    }

    #[test]
    fn whoever_comes_second_does_not_write() {
        let c = connection();
        c.open(Protocol::Http);
        c.begin_request();
        assert_eq!(c.take(false), Ok(State::Busy));
        assert!(c.begin_frame().is_none());
        c.hand_over(false);
        assert_eq!(c.state(), State::Idle);
    }

    #[test]
    fn an_interim_answer_is_not_the_head() {
        let c = connection();
        c.open(Protocol::Http);
        c.begin_request();
        assert!(c.begin_frame().is_some());
        c.end_frame();
        assert!(!c.has(HEAD_SENT));
    }

    #[test]
    fn a_frame_of_which_nothing_went_out_has_not_begun() {
        let c = connection();
        c.open(Protocol::Http);
        c.begin_request();
        c.set(RESPONDING);
        let frame = c.begin_frame().unwrap();
        c.abandon_frame(frame);
        assert_eq!((c.state(), c.has(HEAD_SENT)), (State::Busy, false));
        let _ = c.begin_frame().unwrap();
        let rest = c.begin_frame().unwrap();
        c.abandon_frame(rest);
        assert_eq!((c.state(), c.has(HEAD_SENT)), (State::Writing, true));
    }

    #[test]
    fn a_state_that_was_scribbled_over_waits_for_the_death_of_its_writer() {
        let c = connection();
        c.state.store(99, Ordering::Relaxed);
        assert_eq!(c.take(false), Err(State::Writing));
        assert_eq!(c.take(true), Ok(State::Writing));
    }
}
