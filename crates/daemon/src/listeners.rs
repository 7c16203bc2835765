//! Ports: bound once by the supervisor, handed to every worker, so that no connection is refused between two workers.

use crate::config::Config;
use hydron_base::{Code, Error, Result};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

/// Names the descriptors to the worker: `http=5`.
pub const LISTENERS_VARIABLE: &str = "HYDRON_LISTENERS";

/// Connections that wait in the kernel while no worker accepts.
const BACKLOG: i32 = 4_096;

#[derive(Debug, Default)]
pub struct Listeners {
    pub http: Option<TcpListener>,
}

impl Listeners {
    /// Binds the ports of the protocols that are built. Errors: NETWORK_ERROR with the port that is taken.
    pub fn bind(config: &Config) -> Result<Listeners> {
        let bind = |port: u16, what: &str| {
            let address = format!("{}:{port}", config.listen_host);
            let listener = TcpListener::bind(&address).map_err(|e| {
                Error::new(Code::NETWORK_ERROR, format!("cannot listen on {address} for {what}: {e}"))
                    .hint(format!("--{what}-port with a free port, or 0 to switch it off"))
            })?;
            // SAFETY: listen on a descriptor that we own; it only changes the length of its queue.
            unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) };
            Ok::<_, Error>(listener)
        };
        Ok(Listeners { http: if config.http_port == 0 { None } else { Some(bind(config.http_port, "http")?) } })
    }

    /// `http=5`, for [`LISTENERS_VARIABLE`].
    pub fn describe(&self) -> String {
        self.http.iter().map(|l| format!("http={}", l.as_raw_fd())).collect::<Vec<_>>().join(",")
    }

    pub fn descriptors(&self) -> Vec<RawFd> {
        self.http.iter().map(AsRawFd::as_raw_fd).collect()
    }

    /// Takes over the descriptors that a supervisor has named.
    pub fn inherit(text: &str) -> Result<Listeners> {
        let mut listeners = Listeners::default();
        for entry in text.split(',').filter(|e| !e.is_empty()) {
            let parsed = entry.split_once('=').and_then(|(name, fd)| Some((name, fd.parse::<RawFd>().ok()?)));
            let Some(("http", fd)) = parsed else {
                return Err(Error::bug(format!("the supervisor handed over '{entry}', which is no listener")));
            };
            // SAFETY: the supervisor passes each descriptor once, for this process to own.
            listeners.http = Some(unsafe { TcpListener::from_raw_fd(fd) });
        }
        Ok(listeners)
    }
}
