//! The terminal while a statement runs: its answer, and below the last whole line how far it is.
//!
//! Promise: the line of progress is gone before anything else is written, and never stands on a line that the answer has
//! begun.

use super::backend::Status;
use parking_lot::Mutex;
use std::io::{IsTerminal, Write};
use std::time::Duration;

pub struct Screen {
    state: Mutex<State>,
    /// Progress is for people.
    shows_progress: bool,
}

struct State {
    /// A line of progress is on the screen.
    has_progress: bool,
    /// The answer's last byte ended a line.
    at_line_start: bool,
}

impl Screen {
    pub fn new() -> Screen {
        Screen::showing(std::io::stderr().is_terminal())
    }

    pub fn showing(shows_progress: bool) -> Screen {
        let state = State { has_progress: false, at_line_start: true };
        Screen { state: Mutex::new(state), shows_progress }
    }

    pub fn show(&self, status: Status) {
        if status.read_rows > 0 {
            self.put(&line(status));
        }
    }

    /// Shows how much of an INSERT's data is on its way; `whole` is 0 where nobody knows how much there is.
    pub fn show_sent(&self, sent: u64, whole: u64, elapsed: Duration) {
        self.put(&sent_line(sent, whole, elapsed));
    }

    fn put(&self, text: &str) {
        let mut state = self.state.lock();
        if !self.shows_progress || !state.at_line_start {
            return;
        }
        // If the terminal does not take it, it is not worth an error.
        let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        state.has_progress = true;
    }

    pub fn erase(&self) {
        erase(&mut self.state.lock());
    }
}

fn erase(state: &mut State) {
    if std::mem::take(&mut state.has_progress) {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
}

impl Write for &Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut state = self.state.lock();
        erase(&mut state);
        let written = std::io::stdout().write(bytes)?;
        if let Some(last) = bytes[..written].last() {
            state.at_line_start = *last == b'\n';
        }
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stdout().flush()
    }
}

fn line(s: Status) -> String {
    let seconds = s.elapsed.as_secs_f64().max(1e-3);
    let (rows, bytes) = (s.read_rows as f64, s.read_bytes as f64);
    format!(
        "→ {} rows, {}B ({} rows/s., {}B/s.){}",
        scaled(rows).trim_end(),
        scaled(bytes),
        scaled(rows / seconds).trim_end(),
        scaled(bytes / seconds),
        bar(s.read_rows, s.total_rows)
    )
}

fn sent_line(sent: u64, whole: u64, elapsed: Duration) -> String {
    let rate = sent as f64 / elapsed.as_secs_f64().max(1e-3);
    format!("← {}B ({}B/s.){}", scaled(sent as f64), scaled(rate), bar(sent, whole))
}

/// Characters of a whole bar.
const BAR_CHARS: u64 = 24;

/// How much of the whole is done, where the whole is known.
fn bar(part: u64, whole: u64) -> String {
    if whole == 0 {
        return String::new();
    }
    let (done, percent) = ((BAR_CHARS * part / whole).min(BAR_CHARS), (100 * part / whole).min(100));
    format!(" {}{} {percent} %", "█".repeat(done as usize), "░".repeat((BAR_CHARS - done) as usize))
}

/// A figure in front of a unit: `950 `, `1.53 k`, `12.10 M`, `3.00 G`.
pub fn scaled(n: f64) -> String {
    match n {
        n if n < 1e3 => format!("{n:.0} "),
        n if n < 1e6 => format!("{:.2} k", n / 1e3),
        n if n < 1e9 => format!("{:.2} M", n / 1e6),
        n => format!("{:.2} G", n / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insert_shows_how_much_of_its_file_is_sent() {
        let elapsed = Duration::from_secs(2);
        assert_eq!(sent_line(1_000, 2_000, elapsed), "← 1.00 kB (500 B/s.) ████████████░░░░░░░░░░░░ 50 %");
        assert_eq!(sent_line(3_000_000, 0, elapsed), "← 3.00 MB (1.50 MB/s.)");
        let status = Status { elapsed, read_rows: 10, read_bytes: 80, total_rows: 0 };
        assert_eq!(line(status), "→ 10 rows, 80 B (5 rows/s., 40 B/s.)");
    }
}
