//! The terminal while a statement runs: its answer, and below the last whole line how far it is.
//!
//! Promise: the line of progress is gone before anything else is written, and never stands on a line that the answer has
//! begun.

use super::backend::Status;
use parking_lot::Mutex;
use std::io::{IsTerminal, Write};

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
        let state = State { has_progress: false, at_line_start: true };
        Screen { state: Mutex::new(state), shows_progress: std::io::stderr().is_terminal() }
    }

    pub fn show(&self, status: Status) {
        let mut state = self.state.lock();
        if !self.shows_progress || !state.at_line_start || status.read_rows == 0 {
            return;
        }
        // If the terminal does not take it, it is not worth an error.
        let _ = write!(std::io::stderr(), "\r\x1b[K{}", line(status));
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
    let share = match s.total_rows {
        0 => String::new(),
        total => format!(", {} %", (100 * s.read_rows / total).min(100)),
    };
    format!(
        "→ {} rows, {}B ({} rows/s., {}B/s.){share}",
        scaled(rows).trim_end(),
        scaled(bytes),
        scaled(rows / seconds).trim_end(),
        scaled(bytes / seconds)
    )
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
