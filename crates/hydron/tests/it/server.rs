//! A server of this build in a temporary directory, and a small HTTP client.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Server {
    pub process: Child,
    pub port: u16,
    agent: ureq::Agent,
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port()
}

impl Server {
    pub fn start(dir: &Path) -> Server {
        Server::start_on(dir, free_port())
    }

    pub fn start_on(dir: &Path, port: u16) -> Server {
        Server::start_with(dir, port, &[])
    }

    /// With keys of the configuration.
    pub fn start_with(dir: &Path, port: u16, settings: &[(&str, &str)]) -> Server {
        let mut command = command(dir, port);
        for (key, value) in settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        Server::spawn(command, port)
    }

    /// With its native port open too, which is returned.
    pub fn start_native(dir: &Path) -> (Server, u16) {
        let (port, tcp_port) = (free_port(), free_port());
        (Server::spawn(command_with(dir, port, tcp_port), port), tcp_port)
    }

    fn spawn(mut command: Command, port: u16) -> Server {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert!(line.contains("is ready"), "the server said: {line}");
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .max_idle_connections(0)
            .build();
        Server { process, port, agent: config.into() }
    }

    /// Status and body.
    pub fn try_ask(&self, query: &str, parameters: &[(&str, &str)]) -> Result<(u16, String), ureq::Error> {
        let request = self.agent.post(format!("http://127.0.0.1:{}/", self.port));
        let mut response = request.query_pairs(parameters.iter().copied()).send(query)?;
        Ok((response.status().as_u16(), response.body_mut().read_to_string()?))
    }

    pub fn ask(&self, query: &str) -> String {
        let (status, body) = self.try_ask(query, &[]).expect("the server answers");
        assert_eq!(status, 200, "{query}: {body}");
        body
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: signals a child that has not been waited for.
        unsafe { libc::kill(self.process.id() as i32, signal) };
    }

    /// The worker's process id: the only child of the supervisor.
    pub fn worker(&self) -> i32 {
        let pid = self.process.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().next().and_then(|p| p.parse().ok()).unwrap_or_default()
    }

    pub fn kill_worker(&self) {
        let worker = self.worker();
        assert!(worker > 0, "the supervisor has a worker");
        // SAFETY: signals a process of this test's server.
        unsafe { libc::kill(worker, libc::SIGKILL) };
    }
}

pub fn command(dir: &Path, port: u16) -> Command {
    command_with(dir, port, 0)
}

fn command_with(dir: &Path, port: u16, tcp_port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hydron"));
    command
        .arg("server")
        .arg("--data-dir")
        .arg(dir)
        .args(["--http-port", &port.to_string(), "--tcp-port", &tcp_port.to_string(), "--set", "rest_port=0"])
        .args(["--set", "logger.level=warn", "--set", "log.segment_bytes=4194304"]);
    command
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.signal(libc::SIGTERM);
            let _ = self.process.wait();
        }
    }
}
