//! The server's log: lines to standard error or to a file, which SIGHUP opens anew.
//!
//! In: events of every room. Out: lines. Promise: a log that cannot be written loses lines and never stops the server.

use crate::config::Config;
use hydron_board::Board;
use hydron_engine::crash_report::masked;
use parking_lot::Mutex;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    file: &'static Mutex<LogFile>,
}

/// Where lines go.
#[derive(Default)]
struct LogFile {
    path: Option<PathBuf>,
    file: Option<File>,
}

static LOGGING: OnceLock<Logging> = OnceLock::new();
/// Where the last lines are kept for the record of a crash, once the worker has begun: a standby writes to the board of the one
/// that works.
static BOARD: OnceLock<&'static Board> = OnceLock::new();
static FILE: Mutex<LogFile> = Mutex::new(LogFile { path: None, file: None });

/// Once in a process; a second call keeps the first.
pub fn start(config: &Config) {
    FILE.lock().open(path(config));
    let (filter, handle) = reload::Layer::new(filter(config));
    let lines = fmt::layer().with_writer(|| Writer).with_ansi(false).with_target(false);
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = LOGGING.set(Logging { filter: handle, file: &FILE });
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// Keeps the last lines on the board from here on.
pub fn keep_on(board: &'static Board) {
    let _ = BOARD.set(board);
}

/// One line: giving names to all frames takes up to seconds the first time, and the client waits for word of the panic, or of the
/// abort that follows a second one. With `RUST_BACKTRACE=1` the frames come later, from a thread of their own; those of a crash are
/// in its record.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    tracing::error!("thread '{thread}' panicked at {place}: {message}");
    // While names are looked up, capturing frames waits for it: a panic meanwhile goes without. Those of a storm tell the same.
    if NAMING.swap(true, Ordering::AcqRel) {
        return;
    }
    let frames = Backtrace::capture();
    let is_sent = frames.status() == BacktraceStatus::Captured && frames_sender().try_send((place, frames)).is_ok();
    if !is_sent {
        NAMING.store(false, Ordering::Release);
    }
}

/// The frames of a panic wait for their names.
static NAMING: AtomicBool = AtomicBool::new(false);

fn frames_sender() -> &'static SyncSender<(String, Backtrace)> {
    static SENDER: OnceLock<SyncSender<(String, Backtrace)>> = OnceLock::new();
    SENDER.get_or_init(|| {
        let (sender, waiting) = sync_channel::<(String, Backtrace)>(1);
        let log = move || {
            for (place, frames) in waiting {
                tracing::error!("frames of the panic at {place}:\n{frames}");
                NAMING.store(false, Ordering::Release);
            }
        };
        // Without a thread there are no frames: nobody hears what is sent.
        let _ = std::thread::Builder::new().name("panic-frames".to_string()).spawn(log);
        sender
    })
}

/// Takes the level of a changed configuration, and opens the file anew: it may have been moved away.
pub fn reload(config: &Config) {
    let Some(logging) = LOGGING.get() else { return };
    let _ = logging.filter.reload(filter(config));
    logging.file.lock().open(path(config));
    tracing::info!("the configuration was read again");
}

fn filter(config: &Config) -> EnvFilter {
    EnvFilter::try_new(&config.logger.level).unwrap_or_else(|_| EnvFilter::new("info"))
}

fn path(config: &Config) -> Option<&Path> {
    (!config.logger.log.is_empty()).then(|| Path::new(&config.logger.log))
}

impl LogFile {
    fn open(&mut self, path: Option<&Path>) {
        self.path = path.map(Path::to_path_buf);
        self.file = self.path.as_ref().and_then(|path| {
            let opened = OpenOptions::new().append(true).create(true).open(path);
            if let Err(e) = &opened {
                let _ =
                    writeln!(io::stderr(), "cannot open the log {}: {e}; it goes to standard error", path.display());
            }
            opened.ok()
        });
    }
}

struct Writer;

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(board) = BOARD.get() {
            let text = String::from_utf8_lossy(bytes);
            // Masked before it is cut: a secret that loses its end might not be known for one.
            text.lines().for_each(|line| board.log_lines().push(&masked(line)));
        }
        match &mut FILE.lock().file {
            Some(file) => file.write(bytes),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
