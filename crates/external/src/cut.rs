//! Messages in the pieces in which they were handed on before a stop.
//!
//! In: for each shard the last offsets of these pieces; chunks as they are read now. Out: the same pieces again, then whatever comes.
//! Promise: a piece that cannot be had again is an error and not another piece.

use crate::message::Chunk;
use hydron_base::{Code, Error, Result};
use std::collections::{HashMap, VecDeque};

/// Where pieces end. Empty: anywhere.
#[derive(Clone, Debug, Default)]
pub struct Cuts {
    ends: HashMap<u32, VecDeque<i64>>,
    held: HashMap<u32, Chunk>,
}

impl Cuts {
    /// `ends`: shard and last offset of each piece, in order.
    pub fn new(ends: impl IntoIterator<Item = (u32, i64)>) -> Cuts {
        let mut cuts = Cuts::default();
        for (shard, end) in ends {
            cuts.ends.entry(shard).or_default().push_back(end);
        }
        cuts
    }

    /// Where the pieces of a shard end.
    pub fn of(&self, shard: u32) -> VecDeque<i64> {
        self.ends.get(&shard).cloned().unwrap_or_default()
    }

    /// The shards whose messages are read a second time.
    pub fn shards(&self) -> impl Iterator<Item = u32> {
        self.ends.keys().copied()
    }

    /// The pieces that are complete with `chunk`.
    ///
    /// Errors: RECOVER_CHECKPOINT_FAILED when the last message of a piece is gone.
    pub fn pieces(&mut self, chunk: Chunk) -> Result<Vec<Chunk>> {
        let Some(ends) = self.ends.get_mut(&chunk.shard) else { return Ok(vec![chunk]) };
        let shard = chunk.shard;
        let mut rest = match self.held.remove(&shard) {
            Some(mut held) => {
                held.append(&chunk);
                held
            }
            None => chunk,
        };
        let mut pieces = Vec::new();
        while let Some(end) = ends.front().copied() {
            if rest.last_offset().is_none_or(|last| last < end) {
                break;
            }
            let (piece, behind) = rest.split_after(end);
            if piece.last_offset() != Some(end) {
                let message = format!("message {end} of shard {shard}, which was read before, is gone");
                return Err(Error::new(Code::RECOVER_CHECKPOINT_FAILED, message));
            }
            ends.pop_front();
            pieces.push(piece);
            rest = behind;
        }
        if ends.is_empty() {
            self.ends.remove(&shard);
            if !rest.is_empty() {
                pieces.push(rest);
            }
        } else if !rest.is_empty() {
            self.held.insert(shard, rest);
        }
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(shard: u32, offsets: impl IntoIterator<Item = i64>) -> Chunk {
        let mut chunk = Chunk::new(shard);
        for offset in offsets {
            chunk.push(offset, 0, None, None, std::iter::empty());
        }
        chunk
    }

    fn ends(pieces: &[Chunk]) -> Vec<(i64, usize)> {
        pieces.iter().map(|p| (p.last_offset().unwrap_or(-1), p.len())).collect()
    }

    #[test]
    fn pieces_are_those_of_before_and_then_as_they_come() {
        let mut cuts = Cuts::new([(0, 4), (0, 5), (1, 9)]);
        assert_eq!(ends(&cuts.pieces(chunk(0, 3..=3)).unwrap()), []);
        assert_eq!(ends(&cuts.pieces(chunk(2, 0..=7)).unwrap()), [(7, 8)]);
        assert_eq!(ends(&cuts.pieces(chunk(0, 4..=8)).unwrap()), [(4, 2), (5, 1), (8, 3)]);
        assert_eq!(ends(&cuts.pieces(chunk(0, 9..=9)).unwrap()), [(9, 1)]);
        assert_eq!(ends(&cuts.pieces(chunk(1, 0..=9)).unwrap()), [(9, 10)]);
    }

    #[test]
    fn a_message_that_is_gone_is_an_error() {
        let mut cuts = Cuts::new([(0, 4)]);
        let error = cuts.pieces(chunk(0, [2, 3, 5])).unwrap_err();
        assert_eq!(error.code, Code::RECOVER_CHECKPOINT_FAILED);
    }
}
