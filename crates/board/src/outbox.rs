//! The rest of a frame that a socket did not take: kept where the supervisor can finish the frame.
//!
//! A slow client's socket takes part of what is written. The rest is in the writer's own memory, which dies with it; so it
//! is copied here, once, and what follows counts how much of it went out since.

use crate::connection::Connection;
use std::sync::atomic::Ordering;

/// A larger rest is lost with its writer, and the connection is closed instead of answered.
pub const OUTBOX_BYTES: usize = 512 << 10;

/// The bytes of one connection's outbox.
#[derive(Clone, Copy)]
pub struct Outbox<'a> {
    connection: &'a Connection,
    room: *mut u8,
}

// SAFETY: the room is shared memory that is only copied in and out; one connection has one writer at a time.
unsafe impl Send for Outbox<'_> {}
// SAFETY: as above.
unsafe impl Sync for Outbox<'_> {}

impl<'a> Outbox<'a> {
    /// # Safety
    /// `room` must be valid for [`OUTBOX_BYTES`] as long as `'a`, and be used through this type alone.
    pub unsafe fn new(connection: &'a Connection, room: *mut u8) -> Outbox<'a> {
        Outbox { connection, room }
    }

    /// Bytes that are kept.
    pub fn pending(&self) -> usize {
        let from = self.connection.outbox_from.load(Ordering::Acquire) as usize;
        let to = self.connection.outbox_to.load(Ordering::Acquire) as usize;
        if from <= to && to <= OUTBOX_BYTES { to - from } else { 0 }
    }

    /// The rest of the frame is not here.
    pub fn is_lost(&self) -> bool {
        self.connection.outbox_lost.load(Ordering::Acquire) != 0
    }

    /// `parts` were offered to the socket and it took `written` bytes of them. `parts` begin with what is pending.
    pub fn note<'b>(&self, parts: impl Iterator<Item = &'b [u8]> + Clone, written: usize) {
        let offered: usize = parts.clone().map(<[u8]>::len).sum();
        let pending = self.pending();
        let c = self.connection;
        if written >= offered {
            c.outbox_from.store(0, Ordering::Relaxed);
            c.outbox_to.store(0, Ordering::Release);
            c.outbox_lost.store(0, Ordering::Release);
            return;
        }
        if written < pending && offered == pending {
            c.outbox_from.fetch_add(written as u32, Ordering::AcqRel);
            c.outbox_lost.store(0, Ordering::Release);
            return;
        }
        let rest = offered - written;
        // Until the copy is whole there is none.
        c.outbox_lost.store(1, Ordering::Release);
        c.outbox_from.store(0, Ordering::Relaxed);
        c.outbox_to.store(0, Ordering::Release);
        if rest > OUTBOX_BYTES {
            return;
        }
        c.outbox_used.store(1, Ordering::Relaxed);
        let mut skip = written;
        let mut at = 0;
        for part in parts {
            let cut = skip.min(part.len());
            skip -= cut;
            let part = &part[cut..];
            // SAFETY: `at + part.len() <= rest <= OUTBOX_BYTES`.
            unsafe { std::ptr::copy_nonoverlapping(part.as_ptr(), self.room.add(at), part.len()) };
            at += part.len();
        }
        c.outbox_to.store(rest as u32, Ordering::Release);
        c.outbox_lost.store(0, Ordering::Release);
    }

    /// Reads up to `out.len()` pending bytes without removing them.
    pub fn peek<'b>(&self, out: &'b mut [u8]) -> &'b [u8] {
        let from = self.connection.outbox_from.load(Ordering::Acquire) as usize;
        let length = self.pending().min(out.len());
        // SAFETY: `from + length <= OUTBOX_BYTES`, checked by `pending`.
        unsafe { std::ptr::copy_nonoverlapping(self.room.add(from), out.as_mut_ptr(), length) };
        &out[..length]
    }

    /// Adds bytes behind what is pending. False: they do not fit.
    pub fn append(&self, bytes: &[u8]) -> bool {
        let c = self.connection;
        let (from, pending) = (c.outbox_from.load(Ordering::Acquire) as usize, self.pending());
        let from = if pending == 0 { 0 } else { from };
        if from + pending + bytes.len() > OUTBOX_BYTES {
            return false;
        }
        // SAFETY: `from + pending + bytes.len() <= OUTBOX_BYTES`.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.room.add(from + pending), bytes.len()) };
        c.outbox_used.store(1, Ordering::Relaxed);
        c.outbox_from.store(from as u32, Ordering::Relaxed);
        c.outbox_to.store((from + pending + bytes.len()) as u32, Ordering::Release);
        true
    }

    /// `n` pending bytes were sent.
    pub fn sent(&self, n: usize) {
        self.connection.outbox_from.fetch_add(n.min(self.pending()) as u32, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(story: impl FnOnce(Outbox<'_>)) {
        // SAFETY: all fields are integers and bytes; zero is a free place.
        let connection: Connection = unsafe { std::mem::zeroed() };
        let mut room = vec![0; OUTBOX_BYTES];
        // SAFETY: the room is as large as asked for and outlives the story.
        story(unsafe { Outbox::new(&connection, room.as_mut_ptr()) });
    }

    fn pending(outbox: &Outbox<'_>) -> String {
        let mut out = [0; 64];
        String::from_utf8_lossy(outbox.peek(&mut out)).into_owned()
    }

    #[test]
    fn the_rest_of_a_frame_is_kept_until_it_is_sent() {
        check(|outbox| {
            outbox.note([b"hello ".as_slice(), b"world".as_slice()].into_iter(), 8);
            assert_eq!(pending(&outbox), "rld");
            outbox.note([b"rld".as_slice()].into_iter(), 1);
            assert_eq!(pending(&outbox), "ld");
            outbox.note([b"ld".as_slice(), b", more".as_slice()].into_iter(), 1);
            assert_eq!(pending(&outbox), "d, more");
            outbox.note([b"d, more".as_slice()].into_iter(), 7);
            assert_eq!((pending(&outbox).as_str(), outbox.is_lost()), ("", false));
        });
    }

    #[test]
    fn a_rest_that_does_not_fit_is_said_to_be_lost() {
        check(|outbox| {
            let large = vec![b'x'; OUTBOX_BYTES + 2];
            outbox.note([large.as_slice()].into_iter(), 1);
            assert!(outbox.is_lost());
            outbox.note([large.as_slice()].into_iter(), 2);
            assert_eq!((outbox.is_lost(), outbox.pending()), (false, OUTBOX_BYTES));
        });
    }

    #[test]
    fn the_supervisor_takes_it_piece_by_piece() {
        check(|outbox| {
            outbox.note([b"abcdef".as_slice()].into_iter(), 1);
            let mut two = [0; 2];
            assert_eq!(outbox.peek(&mut two), b"bc");
            outbox.sent(2);
            assert_eq!(pending(&outbox), "def");
            assert!(outbox.append(b"gh"));
            assert_eq!(pending(&outbox), "defgh");
            outbox.sent(99);
            assert_eq!(outbox.pending(), 0);
        });
    }
}
