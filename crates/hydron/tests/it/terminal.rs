//! `hydron client` at a terminal: a pseudo terminal types, and what the client shows is read back.

use crate::server::Server;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the client has written so far, as bytes of the terminal.
#[derive(Default)]
struct Shown {
    bytes: Mutex<Vec<u8>>,
    more: Condvar,
}

struct Terminal {
    process: Child,
    keys: File,
    shown: Arc<Shown>,
    /// Bytes that earlier waits have used up.
    from: usize,
}

impl Terminal {
    fn client(to: &[&str], home: &Path) -> Terminal {
        let (mut master, mut slave) = (0, 0);
        let size = libc::winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: both descriptors are written before the call returns 0; null means no name and the usual settings.
        let opened =
            unsafe { libc::openpty(&mut master, &mut slave, std::ptr::null_mut(), std::ptr::null(), &raw const size) };
        assert_eq!(opened, 0, "a pseudo terminal");
        // SAFETY: openpty made them, and nobody else owns them.
        let (master, slave) = unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        let end = || Stdio::from(slave.try_clone().expect("a copy of the terminal"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_hydron"));
        command.arg("client").args(to).env("HOME", home).env("TERM", "xterm");
        command.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: both calls are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                // Ctrl-C reaches a process only through its controlling terminal.
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            })
        };
        let process = command.spawn().expect("the client starts");
        let shown = Arc::new(Shown::default());
        let (reader, answers) = (master.try_clone().expect("a copy"), master.try_clone().expect("a copy"));
        std::thread::spawn({
            let shown = Arc::clone(&shown);
            move || show(reader, answers, &shown)
        });
        Terminal { process, keys: master, shown, from: 0 }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits until `text` is shown behind what was waited for before.
    fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut bytes = self.shown.bytes.lock().expect("not poisoned");
        loop {
            let new = &bytes[self.from..];
            if let Some(at) = new.windows(text.len()).position(|w| w == text.as_bytes()) {
                self.from += at + text.len();
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "'{text}' is not shown in: {}", String::from_utf8_lossy(new));
            bytes = self.shown.more.wait_timeout(bytes, left).expect("not poisoned").0;
        }
    }

    /// What was shown between the end of the last wait and the next prompt.
    fn until_prompt(&mut self) -> String {
        let from = self.from;
        self.expect("hydron ");
        self.expect(":) ");
        let bytes = self.shown.bytes.lock().expect("not poisoned");
        String::from_utf8_lossy(&bytes[from..self.from]).into_owned()
    }

    fn ends(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait().expect("a child") {
                return status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the client did not end");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads what is shown and answers the client's question for the cursor, as terminals do.
fn show(mut reader: File, mut answers: File, shown: &Shown) {
    const WHERE_IS_THE_CURSOR: &[u8] = b"\x1b[6n";
    let mut piece = [0; 4096];
    while let Ok(n @ 1..) = reader.read(&mut piece) {
        if piece[..n].windows(WHERE_IS_THE_CURSOR.len()).any(|w| w == WHERE_IS_THE_CURSOR) {
            let _ = answers.write_all(b"\x1b[1;1R");
        }
        shown.bytes.lock().expect("not poisoned").extend_from_slice(&piece[..n]);
        shown.more.notify_all();
    }
}

#[test]
fn a_person_works_with_the_client_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    let port = server.port.to_string();
    a_person_works(dir.path(), &server, &["--http", "--port", &port]);
}

#[test]
fn a_person_works_with_the_client_over_the_native_port() {
    let dir = tempfile::tempdir().unwrap();
    let (server, port) = Server::start_native(&dir.path().join("data"));
    a_person_works(dir.path(), &server, &["--port", &port.to_string()]);
}

fn a_person_works(dir: &Path, server: &Server, to: &[&str]) {
    let home = dir.join("home");
    std::fs::create_dir(&home).unwrap();
    let mut terminal = Terminal::client(to, &home);
    terminal.expect("Connected to hydron");
    terminal.until_prompt();

    // A statement of several lines; the semicolon inside of quotes does not end it.
    terminal.press("select 'x;\r");
    terminal.expect(":-] ");
    terminal.press("y' as a,\r6 * 7 as b;\r");
    terminal.expect("42 │");
    terminal.expect("1 row in set.");
    terminal.until_prompt();

    terminal.press("create stream s (i int32);\r");
    terminal.expect("Elapsed");
    terminal.until_prompt();

    // Rows of a stream as they arrive, until Ctrl-C, which ends the query alone.
    terminal.press("select i from s;\r");
    let running = || server.ask("select count() from system.processes where query like 'select i from s%'");
    let deadline = Instant::now() + PATIENCE;
    while running().trim() != "1" {
        assert!(Instant::now() < deadline, "the query runs");
        std::thread::sleep(Duration::from_millis(10));
    }
    server.ask("insert into s (i) values (1), (2)");
    terminal.expect("│ 2 │");
    server.ask("insert into s (i) values (3)");
    terminal.expect("│ 3 │");
    terminal.press("\x03");
    terminal.expect("QUERY_WAS_CANCELLED");
    let rest = terminal.until_prompt();
    assert!(!rest.contains("QUERY_WAS_CANCELLED"), "the error is shown once: {rest}");
    assert_eq!(running().trim(), "0");

    // Rows of a file, and how much of it is on its way.
    let file = dir.join("rows.csv");
    std::fs::write(&file, "4\n5\n").unwrap();
    terminal.press(&format!("insert into s (i) from infile '{}';\r", file.display()));
    terminal.expect("100 %");
    terminal.expect("Elapsed");
    terminal.until_prompt();

    // A setting of the session holds: the same query now ends by itself.
    terminal.press("set query_mode = 'table';\r");
    terminal.expect("Elapsed");
    terminal.until_prompt();
    terminal.press("select i from s order by i;\r");
    terminal.expect("5 rows in set.");
    terminal.until_prompt();

    // An error leaves the client, and names its place.
    terminal.press("select\r  nothing;\r");
    terminal.expect("UNKNOWN_IDENTIFIER");
    terminal.until_prompt();

    // Tab completes the name of a stream made a moment ago; the history brings the last statement back.
    server.ask("create stream sensors_of_the_house (i int32)");
    terminal.press("create stream another (i int32);\r");
    terminal.expect("Elapsed");
    terminal.until_prompt();
    terminal.press("describe sensors_of\t");
    terminal.expect("sensors_of_the_house");
    terminal.press(";\r");
    terminal.expect("_tp_time");
    terminal.until_prompt();
    terminal.press("\x1b[A\x1b[A");
    terminal.expect("create stream another");
    terminal.press("\x03");
    terminal.until_prompt();

    terminal.press("exit\r");
    assert_eq!(terminal.ends(), 0);
    let history = std::fs::read_to_string(home.join(".hydron_history")).unwrap();
    assert!(history.contains("describe sensors_of_the_house;"), "{history}");
}
