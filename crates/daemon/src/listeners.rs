//! Ports: bound once by the supervisor, handed to every worker, so that no connection is refused between two workers.

use crate::config::Config;
use hydron_base::{Code, Error, Result};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, RawFd};

/// Names the descriptors to the worker: `http=5,tcp=6`.
pub const LISTENERS_VARIABLE: &str = "HYDRON_LISTENERS";

/// Connections that wait in the kernel while no worker accepts.
const BACKLOG: i32 = 4_096;

/// Ports of the protocols that are built; the others are not opened.
const PORTS: [(&str, fn(&Config) -> u16); 3] =
    [("http", |c| c.http_port), ("tcp", |c| c.tcp_port), ("rest", |c| c.rest_port)];

/// Open ports by the name of their protocol.
#[derive(Debug, Default)]
pub struct Listeners(Vec<(&'static str, TcpListener)>);

impl Listeners {
    /// Binds the ports that are not 0. Errors: NETWORK_ERROR with the port that is taken.
    pub fn bind(config: &Config) -> Result<Listeners> {
        let mut open = Vec::new();
        for (what, port) in PORTS {
            let port = port(config);
            if port == 0 {
                continue;
            }
            let address = format!("{}:{port}", config.listen_host);
            let listener = TcpListener::bind(&address).map_err(|e| {
                Error::new(Code::NETWORK_ERROR, format!("cannot listen on {address} for {what}: {e}"))
                    .hint(format!("--{what}-port with a free port, or 0 to switch it off"))
            })?;
            // SAFETY: listen on a descriptor that we own; it only changes the length of its queue.
            unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) };
            open.push((what, listener));
        }
        Ok(Listeners(open))
    }

    /// `http=5,tcp=6`, for [`LISTENERS_VARIABLE`].
    pub fn describe(&self) -> String {
        self.0.iter().map(|(n, l)| format!("{n}={}", l.as_raw_fd())).collect::<Vec<_>>().join(",")
    }

    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.0.iter().map(|(_, l)| l.as_fd()).collect()
    }

    /// The open ports by name.
    pub fn open(&self) -> impl Iterator<Item = (&'static str, BorrowedFd<'_>)> {
        self.0.iter().map(|(n, l)| (*n, l.as_fd()))
    }

    /// Name and address of each open port.
    pub fn addresses(&self) -> Vec<(&'static str, String)> {
        let address = |l: &TcpListener| l.local_addr().map_or_else(|e| e.to_string(), |a| a.to_string());
        self.0.iter().map(|(n, l)| (*n, address(l))).collect()
    }

    /// Takes one port to serve it.
    pub fn take(&mut self, what: &str) -> Option<TcpListener> {
        let at = self.0.iter().position(|(n, _)| *n == what)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Takes over the descriptors that a supervisor has named.
    pub fn inherit(text: &str) -> Result<Listeners> {
        let mut open = Vec::new();
        for entry in text.split(',').filter(|e| !e.is_empty()) {
            let parsed = entry.split_once('=').and_then(|(name, fd)| {
                let (name, _) = PORTS.iter().find(|(n, _)| *n == name)?;
                Some((*name, fd.parse::<RawFd>().ok()?))
            });
            let Some((name, fd)) = parsed else {
                return Err(Error::bug(format!("the supervisor handed over '{entry}', which is no listener")));
            };
            // SAFETY: the supervisor passes each descriptor once, for this process to own.
            open.push((name, unsafe { TcpListener::from_raw_fd(fd) }));
        }
        Ok(Listeners(open))
    }
}
