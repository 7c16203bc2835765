//! Ports: bound once by the supervisor, handed to every worker, so that no connection is refused between two workers.
//!
//! A TLS port is two: the one outside is the door's, and the one inside, on loopback, is the worker's.

use crate::config::Config;
use hydron_base::{Code, Error, Result};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, RawFd};

/// Names the descriptors to the worker: `http=5,tcp=6`.
pub const LISTENERS_VARIABLE: &str = "HYDRON_LISTENERS";

/// Connections that wait in the kernel while no worker accepts.
const BACKLOG: i32 = 4_096;

/// A port of a protocol that is built; the others are not opened.
struct Port {
    name: &'static str,
    /// How it is set.
    flag: &'static str,
    number: fn(&Config) -> u16,
    is_secure: bool,
}

const PORTS: [Port; 8] = [
    Port { name: "http", flag: "--http-port N", number: |c| c.http_port, is_secure: false },
    Port { name: "tcp", flag: "--tcp-port N", number: |c| c.tcp_port, is_secure: false },
    Port { name: "rest", flag: "--rest-port N", number: |c| c.rest_port, is_secure: false },
    Port { name: "postgres", flag: "--postgres-port N", number: |c| c.postgres_port, is_secure: false },
    Port { name: "https", flag: "--set https_port=N", number: |c| c.https_port, is_secure: true },
    Port { name: "tcp_secure", flag: "--set tcp_port_secure=N", number: |c| c.tcp_port_secure, is_secure: true },
    Port { name: "rest_secure", flag: "--set rest_port_secure=N", number: |c| c.rest_port_secure, is_secure: true },
    Port {
        name: "postgres_secure",
        flag: "--set postgres_port_secure=N",
        number: |c| c.postgres_port_secure,
        is_secure: true,
    },
];

/// Open ports by the name of their protocol.
#[derive(Debug, Default)]
pub struct Listeners(Vec<(&'static str, TcpListener)>);

/// All that a supervisor has opened.
#[derive(Debug, Default)]
pub struct Ports {
    /// Where workers serve: plain ports, and the insides of TLS ports.
    pub workers: Listeners,
    /// Where the door does: the outsides of TLS ports.
    pub door: Listeners,
}

/// The inside of a TLS port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrance {
    pub name: &'static str,
    pub inside: SocketAddr,
}

impl Entrance {
    /// `https=127.0.0.1:4711,…`
    pub fn describe(all: &[Entrance]) -> String {
        all.iter().map(|e| format!("{}={}", e.name, e.inside)).collect::<Vec<_>>().join(",")
    }

    /// Errors: a bug in the supervisor.
    pub fn read(text: &str) -> Result<Vec<Entrance>> {
        let entrance = |entry: &str| {
            let (name, inside) = entry.split_once('=')?;
            Some(Entrance { name: name_of(name)?, inside: inside.parse().ok()? })
        };
        let read = |entry: &str| entrance(entry).ok_or_else(|| Error::bug(format!("'{entry}' is no entrance")));
        text.split(',').filter(|e| !e.is_empty()).map(read).collect()
    }
}

/// A name as [`PORTS`] has it.
fn name_of(name: &str) -> Option<&'static str> {
    PORTS.iter().find(|p| p.name == name).map(|p| p.name)
}

impl Ports {
    /// Binds the ports that are not 0. Errors: NETWORK_ERROR with the port that is taken.
    pub fn bind(config: &Config) -> Result<Ports> {
        let mut ports = Ports::default();
        for Port { name, flag, number, is_secure } in PORTS {
            let number = number(config);
            if number == 0 {
                continue;
            }
            let listener = listen(&config.listen_host, number).map_err(|e| {
                let text = format!("cannot listen on {}:{number} for {name}: {e}", config.listen_host);
                Error::new(Code::NETWORK_ERROR, text).hint(format!("{flag} with a free port, or 0 to switch it off"))
            })?;
            if !is_secure {
                ports.workers.0.push((name, listener));
                continue;
            }
            ports.door.0.push((name, listener));
            let inside = listen(&Ipv4Addr::LOCALHOST.to_string(), 0).map_err(|e| {
                Error::new(Code::NETWORK_ERROR, format!("cannot listen on loopback behind {name}: {e}"))
            })?;
            ports.workers.0.push((name, inside));
        }
        Ok(ports)
    }

    /// Name and address of each port that clients reach.
    pub fn addresses(&self) -> Vec<(&'static str, String)> {
        let is_inside = |name: &str| self.door.0.iter().any(|(n, _)| *n == name);
        let plain = self.workers.0.iter().filter(|(n, _)| !is_inside(n));
        plain.chain(&self.door.0).map(|(n, l)| (*n, address(l))).collect()
    }

    /// Where each TLS port leads to.
    pub fn entrances(&self) -> Vec<Entrance> {
        let inside = |name: &str| self.workers.0.iter().find(|(n, _)| *n == name)?.1.local_addr().ok();
        self.door.0.iter().filter_map(|(name, _)| Some(Entrance { name, inside: inside(name)? })).collect()
    }
}

fn listen(host: &str, port: u16) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind((host.trim_matches(['[', ']']), port))?;
    // SAFETY: listen on a descriptor that we own; it only changes the length of its queue.
    unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) };
    Ok(listener)
}

fn address(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|e| e.to_string(), |a| a.to_string())
}

impl Listeners {
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

    /// Takes one port to serve it.
    pub fn take(&mut self, what: &str) -> Option<TcpListener> {
        let at = self.0.iter().position(|(n, _)| *n == what)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Takes over the descriptors that a supervisor has named.
    pub fn inherit(text: &str) -> Result<Listeners> {
        let mut open = Vec::new();
        for entry in text.split(',').filter(|e| !e.is_empty()) {
            let parsed = entry.split_once('=').and_then(|(name, fd)| Some((name_of(name)?, fd.parse::<RawFd>().ok()?)));
            let Some((name, fd)) = parsed else {
                return Err(Error::bug(format!("the supervisor handed over '{entry}', which is no listener")));
            };
            // SAFETY: the supervisor passes each descriptor once, for this process to own.
            open.push((name, unsafe { TcpListener::from_raw_fd(fd) }));
        }
        Ok(Listeners(open))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_port_is_two() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = Config { http_port: 0, tcp_port: 0, rest_port: 0, https_port: free, ..Config::default() };
        let ports = Ports::bind(&config).unwrap();
        assert_eq!(ports.addresses(), [("https", format!("127.0.0.1:{free}"))]);
        let entrances = ports.entrances();
        assert_eq!((entrances.len(), entrances[0].name), (1, "https"));
        assert!(entrances[0].inside.ip().is_loopback() && entrances[0].inside.port() != free);
        assert_eq!(Entrance::read(&Entrance::describe(&entrances)).unwrap(), entrances);
        let taken = Ports::bind(&config).unwrap_err().to_string();
        assert!(taken.contains("--set https_port=N with a free port"), "{taken}");
    }
}
