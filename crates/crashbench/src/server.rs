//! The server under test: started on a free port in a directory of its own, watched from outside.
//!
//! In: the path of the binary, more flags. Out: its port, its processes, what it said. Promise: it is stopped when it is
//! dropped, and nothing else is.

use crate::client::{self, Answer};
use crate::process;
use crate::protocol::{Endpoint, Protocol};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a first start may take until its ports answer.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How long a stop may take until the server is killed: its own last deadline is 10 s.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    process: Child,
    /// HTTP.
    pub port: u16,
    /// The same, or the port of the protocol that was asked for.
    pub endpoint: Endpoint,
    pub dir: PathBuf,
    /// One line each time that a worker is ready.
    lines: Receiver<String>,
}

/// What a binary can be told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Abilities {
    /// It knows `--allow-trap`, and with it the switches of quarantine and safe mode.
    pub trap: bool,
}

impl Abilities {
    pub fn of(binary: &Path) -> io::Result<Abilities> {
        let help = Command::new(binary).args(["server", "--help"]).output()?;
        Ok(Abilities { trap: String::from_utf8_lossy(&help.stdout).contains("--allow-trap") })
    }

    /// Flags for a run of many crashes: traps allowed, nothing refused after a crash.
    pub fn flags(&self) -> Vec<String> {
        let flags = ["--allow-trap", "--set", "crash_quarantine=0", "--set", "crash_safe_mode=0"];
        if self.trap { flags.map(String::from).to_vec() } else { Vec::new() }
    }
}

impl Server {
    /// Starts `binary` with its data in `dir/data` and its messages in `dir/stderr.log`, and waits for its ports.
    pub fn start(binary: &Path, dir: &Path, flags: &[String]) -> io::Result<Server> {
        Server::start_on(binary, dir, flags, Protocol::Http)
    }

    /// As [`Server::start`], with the port of one more protocol.
    pub fn start_on(binary: &Path, dir: &Path, flags: &[String], protocol: Protocol) -> io::Result<Server> {
        let port = free_port()?;
        let more = if protocol == Protocol::Http { 0 } else { free_port()? };
        let endpoint = Endpoint { port: if more == 0 { port } else { more }, protocol };
        let of = |wanted: Protocol| if protocol == wanted { more } else { 0 };
        let mut process = command_on(binary, dir, [port, of(Protocol::Native), of(Protocol::Rest)], flags)
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(dir.join("stderr.log"))?)
            .spawn()?;
        let stdout = process.stdout.take().ok_or_else(|| io::Error::other("the server has no output"))?;
        let (sender, lines) = channel();
        // Ends with the server, whose output it reads.
        std::thread::Builder::new().name("server-output".to_string()).spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(|l| l.ok()) {
                let _ = sender.send(line);
            }
        })?;
        let server = Server { process, port, endpoint, dir: dir.to_path_buf(), lines };
        let first = server.lines.recv_timeout(START_PATIENCE);
        match first {
            Ok(line) if line.contains("is ready") => Ok(server),
            first => {
                let said = std::fs::read_to_string(dir.join("stderr.log")).unwrap_or_default();
                Err(io::Error::other(format!("the server did not start: {first:?}\n{said}")))
            }
        }
    }

    pub fn pid(&self) -> i32 {
        self.process.id() as i32
    }

    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The process that serves now: of the supervisor's children that are workers the one with the most threads, because a
    /// standby waits with few.
    pub fn find_worker(&self) -> Option<i32> {
        self.workers().into_iter().max_by_key(|pid| process::status(*pid, "Threads").unwrap_or(0))
    }

    /// Worker and standby.
    pub fn workers(&self) -> Vec<i32> {
        let children = process::children(self.pid()).into_iter();
        children.filter(|pid| process::arguments(*pid).iter().any(|a| a == "worker" || a == "standby")).collect()
    }

    pub fn ask(&self, sql: &str, parameters: &[(&str, &str)], patience: Duration) -> io::Result<Answer> {
        client::ask(self.port, sql, parameters, patience)
    }

    /// Asks for something that must work. Errors: what the server said instead.
    pub fn must(&self, sql: &str) -> io::Result<String> {
        self.must_with(sql, &[])
    }

    pub fn must_with(&self, sql: &str, parameters: &[(&str, &str)]) -> io::Result<String> {
        let answer = self.ask(sql, parameters, Duration::from_secs(120))?;
        if answer.is_ok() {
            return Ok(answer.text());
        }
        let sql: String = sql.chars().take(200).collect();
        Err(io::Error::other(format!("{sql}: {}: {}", answer.outcome.label(), answer.text())))
    }

    /// The exit status when the server ends by `deadline`.
    pub fn ended_by(&mut self, deadline: Instant) -> Option<ExitStatus> {
        let mut status = None;
        process::await_until(deadline, || {
            status = self.process.try_wait().ok().flatten();
            status.is_some()
        });
        status
    }

    /// Sends SIGTERM and waits. Answers how long it took and how it ended; `None`: it did not and was killed.
    pub fn stop(&mut self) -> (Duration, Option<ExitStatus>) {
        let started = Instant::now();
        process::signal(self.pid(), libc::SIGTERM);
        let status = self.ended_by(started + STOP_PATIENCE);
        if status.is_none() {
            self.kill();
        }
        (started.elapsed(), status)
    }

    fn kill(&mut self) {
        let workers = self.workers();
        // Both fail only for a process that has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
        workers.into_iter().for_each(|pid| process::signal(pid, libc::SIGKILL));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

/// A server's command line: data below `dir`, HTTP on `port`, no other port.
pub fn command(binary: &Path, dir: &Path, port: u16, flags: &[String]) -> Command {
    command_on(binary, dir, [port, 0, 0], flags)
}

fn command_on(binary: &Path, dir: &Path, [http, tcp, rest]: [u16; 3], flags: &[String]) -> Command {
    let mut command = Command::new(binary);
    command
        .arg("server")
        .arg("--data-dir")
        .arg(dir.join("data"))
        .args(["--http-port", &http.to_string(), "--tcp-port", &tcp.to_string(), "--rest-port", &rest.to_string()])
        .args(flags)
        // With it each panic looks up the names of all its frames, which takes longer than anything that is measured here.
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null());
    command
}

pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
