//! What one client is told when its server dies.
//!
//! In: what the board says of its connection and query. Out: what to do with the socket. Promise: pure; whoever can be told
//! is told, and nobody is told that nothing happened when something may have.

use hydron_base::Code;
use hydron_board::connection::{COMMITTED, ENDED, HEAD_SENT, LAST, UNSURE};
use hydron_board::{Kind, State};

/// The query that a connection waits for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub kind: Kind,
    /// It is known what it is.
    pub is_parsed: bool,
    /// The fault happened while a thread worked for it.
    pub is_culprit: bool,
    /// Of an INSERT: records that were handed to the log.
    pub records: u32,
    /// First sequence number that a stream's client has not seen.
    pub resume_from: Option<i64>,
}

/// What the board says of one connection.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub state: State,
    pub flags: u32,
    pub asked: Option<Asked>,
    /// The rest of a frame that was begun is not known.
    pub is_rest_lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It waits for nothing: the next worker goes on with it.
    Adopt,
    /// Its answer is complete, and so is the connection.
    Close,
    Tell(Word),
    /// The answer to a change that was made.
    TellCommitted,
    /// The whole answer is there; the rest of it goes out and the connection goes on.
    Finish,
    /// The next worker looks up what became of its INSERT and answers.
    AskLog,
    /// A living thread may be writing: once more, when it is not.
    Later,
}

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Your query did it.
    Crashed,
    /// Ask again at once.
    RestartedRetry,
    /// A stream: go on from here, if it is known.
    RestartedResume(Option<i64>),
    /// An INSERT of which nothing was stored.
    NotCommitted,
    /// It may or may not have happened.
    Unknown,
}

impl Word {
    pub fn code(self) -> Code {
        match self {
            Word::Crashed => Code::SERVER_CRASHED,
            _ => Code::SERVER_RESTARTED,
        }
    }

    /// It may be asked again without looking first.
    pub fn is_safe(self) -> bool {
        matches!(self, Word::RestartedRetry | Word::RestartedResume(_) | Word::NotCommitted)
    }
}

/// `is_dead`: no thread of the worker runs any more.
pub fn verdict(view: &View, is_dead: bool) -> Verdict {
    match view.state {
        State::Free | State::Taken => Verdict::Close,
        State::Writing if !is_dead => Verdict::Later,
        State::Writing if view.is_rest_lost => Verdict::Close,
        State::Idle if view.flags & LAST != 0 => Verdict::Close,
        State::Idle => Verdict::Adopt,
        // Its end is in the frame that is being written. Between two frames the end of an answer that is complete has not
        // gone to the kernel yet, and never will: its client would wait for ever.
        State::Writing if view.flags & ENDED != 0 => Verdict::Finish,
        State::Busy | State::Writing => match view.asked {
            None if view.flags & COMMITTED != 0 => Verdict::TellCommitted,
            None if view.flags & UNSURE != 0 => Verdict::Tell(Word::Unknown),
            // A request that was being read, a read that is at its end, or an error: nothing was done for it.
            None => Verdict::Tell(Word::RestartedRetry),
            Some(asked) => of_query(&asked, view.flags),
        },
    }
}

fn of_query(asked: &Asked, flags: u32) -> Verdict {
    if asked.is_culprit {
        return Verdict::Tell(Word::Crashed);
    }
    match asked.kind {
        _ if !asked.is_parsed => Verdict::Tell(Word::RestartedRetry),
        Kind::Read => Verdict::Tell(Word::RestartedRetry),
        Kind::Stream => Verdict::Tell(Word::RestartedResume(asked.resume_from)),
        Kind::Insert if asked.records == 0 => Verdict::Tell(Word::NotCommitted),
        // The head of its answer promises success already; only the end is missing.
        Kind::Insert if flags & HEAD_SENT != 0 => Verdict::Tell(Word::Unknown),
        Kind::Insert => Verdict::AskLog,
        Kind::Other => Verdict::Tell(Word::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(state: State, asked: Option<Asked>) -> View {
        View { state, flags: 0, asked, is_rest_lost: false }
    }

    fn asked(kind: Kind) -> Option<Asked> {
        Some(Asked { kind, is_parsed: true, is_culprit: false, records: 1, resume_from: Some(7) })
    }

    #[test]
    fn each_client_hears_what_it_can_do() {
        let busy = |kind| verdict(&view(State::Busy, asked(kind)), false);
        assert_eq!(busy(Kind::Read), Verdict::Tell(Word::RestartedRetry));
        assert_eq!(busy(Kind::Stream), Verdict::Tell(Word::RestartedResume(Some(7))));
        assert_eq!(busy(Kind::Insert), Verdict::AskLog);
        assert_eq!(busy(Kind::Other), Verdict::Tell(Word::Unknown));
        assert_eq!(verdict(&view(State::Busy, None), false), Verdict::Tell(Word::RestartedRetry));
    }

    #[test]
    fn whoever_asked_for_it_hears_that_it_was_theirs() {
        for kind in [Kind::Read, Kind::Insert, Kind::Stream, Kind::Other] {
            let asked = asked(kind).map(|a| Asked { is_culprit: true, ..a });
            assert_eq!(verdict(&view(State::Busy, asked), false), Verdict::Tell(Word::Crashed));
        }
    }

    #[test]
    fn an_insert_of_which_nothing_went_to_the_log_is_not_committed() {
        let asked = asked(Kind::Insert).map(|a| Asked { records: 0, ..a });
        assert_eq!(verdict(&view(State::Busy, asked), false), Verdict::Tell(Word::NotCommitted));
    }

    #[test]
    fn nobody_is_told_to_repeat_what_was_done() {
        let after = |flags| verdict(&View { flags, ..view(State::Busy, None) }, false);
        assert_eq!(after(COMMITTED), Verdict::TellCommitted);
        assert_eq!(after(UNSURE), Verdict::Tell(Word::Unknown));
        assert_eq!(after(COMMITTED | ENDED), Verdict::TellCommitted);
        assert_eq!(after(ENDED), Verdict::Tell(Word::RestartedRetry));
        let writing = View { flags: COMMITTED | ENDED, ..view(State::Writing, None) };
        assert_eq!(verdict(&writing, true), Verdict::Finish);
    }

    #[test]
    fn a_statement_that_is_not_parsed_has_done_nothing() {
        let asked = asked(Kind::Other).map(|a| Asked { is_parsed: false, ..a });
        assert_eq!(verdict(&view(State::Busy, asked), false), Verdict::Tell(Word::RestartedRetry));
    }

    #[test]
    fn an_idle_connection_hears_nothing() {
        assert_eq!(verdict(&view(State::Idle, None), false), Verdict::Adopt);
        let last = View { flags: LAST, ..view(State::Idle, None) };
        assert_eq!(verdict(&last, false), Verdict::Close);
    }

    #[test]
    fn a_frame_that_was_begun_waits_for_the_death_of_its_writer() {
        let writing = view(State::Writing, asked(Kind::Read));
        assert_eq!(verdict(&writing, false), Verdict::Later);
        assert_eq!(verdict(&writing, true), Verdict::Tell(Word::RestartedRetry));
        let lost = View { is_rest_lost: true, ..writing };
        assert_eq!(verdict(&lost, true), Verdict::Close);
    }
}
