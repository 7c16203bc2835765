//! What each writer was told about each of its rows, and what the server says it has stored.
//!
//! In: the fate of each insert; rows read back. Out: a [`Tally`]. Promise: no row counts as lost that was not acknowledged,
//! and none as a phantom that was sent and left unanswered.

use std::collections::HashMap;

/// What is known of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Sent; no answer yet.
    Sent,
    Acknowledged,
    /// The server said that it is not stored.
    Refused,
    /// The answer did not come, or said that it is not known.
    Unknown,
}

/// Rows by writer; a row's number is its place.
#[derive(Debug, Default)]
pub struct Ledger {
    writers: Vec<Vec<Fate>>,
}

/// One row that is not as it should be, for the report.
const EXAMPLES_MAX: usize = 5;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub acked: u64,
    /// Acknowledged and not stored.
    pub lost: u64,
    /// Stored more than once.
    pub dup: u64,
    /// Stored, and never sent or said not to be stored.
    pub phantom: u64,
    /// Left without an answer; some of them are stored.
    pub unknown: u64,
    pub examples: Vec<String>,
}

impl Tally {
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.dup == 0 && self.phantom == 0
    }

    fn example(&mut self, what: &str, writer: usize, seq: u64) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(format!("{what}: writer {writer} row {seq}"));
        }
    }
}

impl Ledger {
    pub fn new(writers: usize) -> Ledger {
        Ledger { writers: vec![Vec::new(); writers] }
    }

    /// The number of the writer's next row, which is now sent.
    pub fn begin(&mut self, writer: usize) -> u64 {
        self.writers[writer].push(Fate::Sent);
        self.writers[writer].len() as u64 - 1
    }

    pub fn settle(&mut self, writer: usize, seq: u64, fate: Fate) {
        self.writers[writer][seq as usize] = fate;
    }

    pub fn fate(&self, writer: usize, seq: u64) -> Option<Fate> {
        self.writers.get(writer)?.get(seq as usize).copied()
    }

    pub fn acknowledged(&self) -> u64 {
        self.writers.iter().flatten().filter(|f| **f == Fate::Acknowledged).count() as u64
    }

    /// For each writer: all rows below this number have a fate.
    pub fn settled(&self) -> Vec<u64> {
        let first_open = |rows: &Vec<Fate>| rows.iter().rposition(|f| *f != Fate::Sent).map_or(0, |at| at as u64 + 1);
        self.writers.iter().map(first_open).collect()
    }

    /// Compares the rows of each writer from `from` to below `below` with what is `stored` of them. Rows at or above `below`
    /// that the ledger knows are passed over: they were written meanwhile.
    pub fn check(&self, from: &[u64], below: &[u64], stored: impl IntoIterator<Item = (usize, u64)>) -> Tally {
        let mut counts: HashMap<(usize, u64), u64> = HashMap::new();
        stored.into_iter().for_each(|row| *counts.entry(row).or_default() += 1);
        let mut tally = Tally::default();
        for (writer, rows) in self.writers.iter().enumerate() {
            for seq in from[writer]..below[writer] {
                let count = counts.get(&(writer, seq)).copied().unwrap_or(0);
                match rows[seq as usize] {
                    Fate::Acknowledged => {
                        tally.acked += 1;
                        if count == 0 {
                            tally.lost += 1;
                            tally.example("lost", writer, seq);
                        }
                    }
                    Fate::Refused if count > 0 => {
                        tally.phantom += 1;
                        tally.example("stored though refused", writer, seq);
                    }
                    Fate::Unknown => tally.unknown += 1,
                    Fate::Refused | Fate::Sent => {}
                }
                if count > 1 {
                    tally.dup += 1;
                    tally.example("doubled", writer, seq);
                }
            }
        }
        for (writer, seq) in counts.into_keys() {
            if self.fate(writer, seq).is_none() {
                tally.phantom += 1;
                tally.example("never sent", writer, seq);
            }
        }
        tally
    }
}

/// The rows that one stream has shown, in order: writers count up, so a number that does not is a double, and one that was
/// skipped is a hole.
#[derive(Clone, Debug, Default)]
pub struct Sequences {
    line: Vec<u8>,
    last: HashMap<usize, u64>,
    holes: Vec<(usize, u64)>,
    pub rows: u64,
    pub dup: u64,
}

impl Sequences {
    /// Takes bytes of lines `writer TAB seq`, cut anywhere; other lines (an exception) are passed over.
    pub fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.ends_with(b"\n") {
                if let Some((writer, seq)) = row(&String::from_utf8_lossy(&self.line)) {
                    self.row(writer, seq);
                }
                self.line.clear();
            }
        }
    }

    fn row(&mut self, writer: usize, seq: u64) {
        self.rows += 1;
        match self.last.get(&writer) {
            Some(last) if seq <= *last => self.dup += 1,
            last => {
                // A stream that starts now shows nothing from before: the first row of a writer has no hole behind it.
                let expected = last.map_or(seq, |last| last + 1);
                self.holes.extend((expected..seq).map(|hole| (writer, hole)));
                self.last.insert(writer, seq);
            }
        }
    }

    /// Acknowledged rows between the first and the last shown that the stream has left out.
    pub fn lost(&self, ledger: &Ledger) -> u64 {
        self.holes.iter().filter(|(w, s)| ledger.fate(*w, *s) == Some(Fate::Acknowledged)).count() as u64
    }
}

/// `3 TAB 17`.
pub fn row(line: &str) -> Option<(usize, u64)> {
    let (writer, seq) = line.trim_end().split_once('\t')?;
    Some((writer.parse().ok()?, seq.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(fates: &[Fate]) -> Ledger {
        Ledger { writers: vec![fates.to_vec()] }
    }

    fn check(fates: &[Fate], stored: &[u64]) -> Tally {
        let below = fates.len() as u64;
        Tally { examples: Vec::new(), ..ledger(fates).check(&[0], &[below], stored.iter().map(|s| (0, *s))) }
    }

    use Fate::{Acknowledged as A, Refused as R, Sent as S, Unknown as U};

    #[test]
    fn each_fate_is_held_to_what_it_promised() {
        assert_eq!(check(&[A, A], &[0, 1]), Tally { acked: 2, ..Tally::default() });
        assert_eq!(check(&[A, A], &[1]), Tally { acked: 2, lost: 1, ..Tally::default() });
        assert_eq!(check(&[A], &[0, 0]), Tally { acked: 1, dup: 1, ..Tally::default() });
        assert_eq!(check(&[A, R], &[0, 1]), Tally { acked: 1, phantom: 1, ..Tally::default() });
        assert_eq!(check(&[U, U], &[1]), Tally { unknown: 2, ..Tally::default() });
        assert_eq!(check(&[U], &[0, 0]), Tally { unknown: 1, dup: 1, ..Tally::default() });
        assert_eq!(check(&[A], &[0, 7]), Tally { acked: 1, phantom: 1, ..Tally::default() });
    }

    #[test]
    fn rows_still_on_their_way_are_nobodys_fault() {
        let ledger = ledger(&[A, S]);
        assert_eq!(ledger.settled(), [1]);
        let tally = ledger.check(&[0], &[1], [(0, 0), (0, 1)]);
        assert!(tally.is_clean() && tally.acked == 1);
    }

    #[test]
    fn a_stream_that_skips_or_repeats_is_caught() {
        let mut seen = Sequences::default();
        b"0\t3\n0\t4\n0\t7\n0\t7\nCode: 1. x\n".chunks(3).for_each(|piece| seen.feed(piece));
        assert_eq!((seen.rows, seen.dup), (4, 1));
        let fates = [A, A, A, A, A, A, R, A];
        assert_eq!(seen.lost(&ledger(&fates)), 1, "row 5 was acknowledged and left out, row 6 was refused");
    }
}
