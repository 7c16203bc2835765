//! What a segment's bytes mean after a stop of any kind: which records are there, and where to cut.
//!
//! In: bytes of a segment from some record on. Out: one [`Step`] after the other, and at the first bad place a
//! [`Verdict`]. Promise: no clock, no disk; the same bytes give the same verdict. A record that was synced is never
//! cut away silently: if a later record proves that the bad place had been synced, the verdict is damage.

use super::head::{HEAD_BYTES, Head, Peek, RECORD_ALIGN, peek};
use super::record::Sequence;
use hydron_base::limit::RECORD_BYTES_MAX;

/// What lies at the start of the bytes given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole record with the expected sequence and a right checksum.
    Record(Head),
    /// The bytes end inside the record: give at least this many.
    More(usize),
    /// Nothing was ever written here.
    Empty,
    /// Something is here that is not the expected record.
    Bad(&'static str),
}

/// Looks at `bytes`, which go on in the file if `more` is true.
pub fn step(bytes: &[u8], more: bool, expected: Sequence) -> Step {
    let head = match peek(bytes) {
        Peek::Head(head) => head,
        Peek::Short if more => return Step::More(HEAD_BYTES),
        // Too short for a record: only the zeros of a preallocation may be here.
        Peek::Short if bytes.iter().all(|b| *b == 0) => return Step::Empty,
        Peek::Short => return Step::Bad("head is cut off"),
        Peek::Empty => return Step::Empty,
        Peek::Bad(why) => return Step::Bad(why),
    };
    if head.sequence != expected {
        return Step::Bad("sequence is not the expected one");
    }
    if bytes.len() < head.len as usize {
        return if more { Step::More(head.stride()) } else { Step::Bad("record is cut off") };
    }
    if head.checks(bytes) { Step::Record(head) } else { Step::Bad("checksum differs") }
}

/// What to do where the records of a segment end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The last write did not finish: everything from here on goes, and nothing acknowledged goes with it.
    Cut,
    /// Acknowledged bytes have changed: keep them as evidence.
    Damaged,
}

/// Judges the end of the last segment. `tail` is all that follows the last good record; `expected` is the sequence that
/// should stand at its start.
///
/// A torn group may leave whole records after a hole; those were never acknowledged. But a record written after the hole
/// was synced says so in `synced_before`, and then the hole is damage.
pub fn judge_tail(tail: &[u8], expected: Sequence) -> Verdict {
    let places = (0..tail.len().saturating_sub(HEAD_BYTES - 1)).step_by(RECORD_ALIGN);
    for at in places {
        let Peek::Head(head) = peek(&tail[at..]) else {
            continue;
        };
        let plausible = head.sequence > expected
            && head.synced_before > expected
            && head.synced_before <= head.sequence
            && head.len as usize <= RECORD_BYTES_MAX;
        if plausible && head.checks(&tail[at..]) {
            return Verdict::Damaged;
        }
    }
    Verdict::Cut
}
