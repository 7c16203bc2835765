//! Bytes of a file become rows.
//!
//! In: bytes, cut anywhere. Out: rows, each with the place of its last byte in the file. Promise: the same bytes give the same rows
//! however they are cut; nothing grows beyond the longest row.

use regex::bytes::Regex;

/// Where rows end.
#[derive(Clone, Debug)]
pub enum Delimiter {
    /// With this byte, which is not part of them.
    Byte(u8),
    /// With what matches, which is not part of them.
    Ends(Regex),
    /// Before the next place where the group of the expression matches.
    Begins(Regex),
}

/// The bytes of one file that are no row yet.
#[derive(Debug)]
pub struct Records {
    delimiter: Delimiter,
    row_bytes_max: usize,
    buffer: Vec<u8>,
    /// Of the buffer, in front, that were given away.
    used: usize,
    /// Where the buffer begins in the file.
    at: i64,
    /// No row ends before this place of the buffer.
    searched: usize,
}

/// Bytes, and what follows them.
struct Cut {
    row: usize,
    next: usize,
}

impl Records {
    /// `at`: where the first byte stands in the file.
    pub fn new(delimiter: Delimiter, row_bytes_max: usize, at: i64) -> Records {
        Records { delimiter, row_bytes_max, buffer: Vec::new(), used: 0, at, searched: 0 }
    }

    /// Where the next byte to be fed stands in the file.
    pub fn end(&self) -> i64 {
        self.at + self.buffer.len() as i64
    }

    /// Whether bytes wait for the end of their row.
    pub fn is_open(&self) -> bool {
        self.used < self.buffer.len()
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.used);
        self.at += self.used as i64;
        self.used = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next row and the place of its last byte, or of its delimiter. `whole`: nothing follows what was fed, so that its end is
    /// the end of a row.
    pub fn next(&mut self, whole: bool) -> Option<(&[u8], i64)> {
        let rest = &self.buffer[self.used..];
        if rest.is_empty() {
            return None;
        }
        let found = match &self.delimiter {
            Delimiter::Byte(byte) => {
                let at = rest[self.searched..].iter().position(|b| b == byte).map(|at| at + self.searched);
                at.map(|at| Cut { row: at, next: at + 1 })
            }
            Delimiter::Ends(regex) => {
                // A match that ends with the buffer might go on.
                let found = regex.find(rest).filter(|m| whole || m.end() < rest.len());
                found.map(|m| Cut { row: m.start(), next: m.end() })
            }
            Delimiter::Begins(regex) => {
                let starts =
                    regex.captures_iter(rest).filter(|c| whole || c.get(0).is_some_and(|m| m.end() < rest.len()));
                let start = starts.filter_map(|c| c.get(1)).map(|m| m.start()).find(|at| *at > 0);
                start.map(|at| Cut { row: at, next: at })
            }
        };
        let cut = match found {
            Some(cut) if cut.row <= self.row_bytes_max => cut,
            _ if rest.len() > self.row_bytes_max => Cut { row: self.row_bytes_max, next: self.row_bytes_max },
            Some(cut) => cut,
            None if whole => Cut { row: rest.len(), next: rest.len() },
            None => {
                if matches!(self.delimiter, Delimiter::Byte(_)) {
                    self.searched = rest.len();
                }
                return None;
            }
        };
        let start = self.used;
        self.used += cut.next;
        self.searched = 0;
        let row = &self.buffer[start..start + cut.row];
        let row = match self.delimiter {
            // The line before the next row ends with its own line end.
            Delimiter::Begins(_) => row.strip_suffix(b"\n").map_or(row, |r| r.strip_suffix(b"\r").unwrap_or(r)),
            Delimiter::Byte(b'\n') => row.strip_suffix(b"\r").unwrap_or(row),
            _ => row,
        };
        Some((row, self.at + self.used as i64 - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(delimiter: &Delimiter, max: usize, pieces: &[&str]) -> Vec<(String, i64)> {
        let mut records = Records::new(delimiter.clone(), max, 100);
        let mut rows = Vec::new();
        for piece in pieces {
            records.feed(piece.as_bytes());
            while let Some((row, end)) = records.next(false) {
                rows.push((String::from_utf8_lossy(row).into_owned(), end));
            }
        }
        while let Some((row, end)) = records.next(true) {
            rows.push((String::from_utf8_lossy(row).into_owned(), end));
        }
        rows
    }

    fn check(delimiter: &Delimiter, max: usize, text: &str, expected: &[(&str, i64)]) {
        let expected: Vec<(String, i64)> = expected.iter().map(|(r, e)| ((*r).to_owned(), *e)).collect();
        assert_eq!(rows(delimiter, max, &[text]), expected);
        for cut in 1..text.len() {
            assert_eq!(rows(delimiter, max, &[&text[..cut], &text[cut..]]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn lines_end_with_their_byte_however_they_are_cut() {
        check(&Delimiter::Byte(b'\n'), 4_096, "a\r\n\nbc\nd", &[("a", 102), ("", 103), ("bc", 106), ("d", 107)]);
    }

    #[test]
    fn rows_of_several_lines_begin_where_the_group_matches() {
        let begins = Delimiter::Begins(Regex::new(r"(?m)^(\d\d:\d\d) \[").unwrap());
        check(
            &begins,
            4_096,
            "10:00 [a] x\n at y\n10:01 [b] z\n",
            &[("10:00 [a] x\n at y", 117), ("10:01 [b] z", 129)],
        );
        let ends = Delimiter::Ends(Regex::new(";;+").unwrap());
        check(&ends, 4_096, "a;;b;;;c", &[("a", 102), ("b", 106), ("c", 107)]);
    }

    #[test]
    fn a_row_that_is_too_long_is_cut() {
        check(&Delimiter::Byte(b'\n'), 3, "abcdefgh\nxyz\n", &[("abc", 102), ("def", 105), ("gh", 108), ("xyz", 112)]);
    }
}
