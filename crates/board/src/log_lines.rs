//! The last lines of a worker's log, for the record of its crash.
//!
//! In: lines, their secrets masked already. Out: the last [`LINES_MAX`] of them. Promise: a line costs one copy and nobody
//! waits; a line that is written while it is read may be cut short or mixed with the one before it.

use crate::text::Text;
use std::sync::atomic::{AtomicU64, Ordering};

pub const LINES_MAX: usize = 64;

/// Bytes of one line that are kept.
pub const LINE_BYTES_MAX: usize = 508;

#[repr(C, align(64))]
pub struct LogLines {
    /// Lines since the worker began.
    count: AtomicU64,
    lines: [Text<LINE_BYTES_MAX>; LINES_MAX],
}

impl LogLines {
    /// Before a worker starts.
    pub fn clear(&self) {
        self.count.store(0, Ordering::Release);
        self.lines.iter().for_each(Text::clear);
    }

    pub fn push(&self, line: &str) {
        let at = self.count.fetch_add(1, Ordering::AcqRel) as usize % LINES_MAX;
        self.lines[at].set(line);
    }

    /// The oldest first. Allocates.
    pub fn all(&self) -> Vec<String> {
        let count = self.count.load(Ordering::Acquire) as usize;
        // The count may have been scribbled over; whatever it says, each line is given at most once.
        let from = count.saturating_sub(LINES_MAX);
        (from..count).map(|at| self.lines[at % LINES_MAX].get()).filter(|line| !line.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_in_their_order() {
        // SAFETY: all fields are integers and bytes; zero is empty.
        let lines: LogLines = unsafe { std::mem::zeroed() };
        assert!(lines.all().is_empty());
        (0..LINES_MAX + 3).for_each(|n| lines.push(&format!("line {n}")));
        let all = lines.all();
        assert_eq!((all.len(), all[0].as_str(), all[LINES_MAX - 1].as_str()), (LINES_MAX, "line 3", "line 66"));
        lines.push(&"é".repeat(LINE_BYTES_MAX));
        assert_eq!(lines.all()[LINES_MAX - 1].len(), LINE_BYTES_MAX);
        lines.count.store(u64::MAX, Ordering::Release);
        assert!(lines.all().len() <= LINES_MAX);
        lines.clear();
        assert!(lines.all().is_empty());
    }
}
