//! New connections while no worker answers for long: each hears that the server is starting.
//!
//! For a short gap they wait in the queue of their port, which is better than any answer. In: the ports. Out: one answer each,
//! with a word when to come back. Promise: nothing is read but to be thrown away, and no more than [`GUESTS_MAX`] are kept.

use crate::listeners::Listeners;
use hydron_base::Code;
use hydron_board::Protocol;
use hydron_wire::farewell::{self, Notice};
use rustix::net::{SendFlags, Shutdown, SocketFlags, accept_with, recv, send, shutdown};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// A gap that is shorter is not worth an answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Connections that have their answer and are not closed yet.
const GUESTS_MAX: usize = 64;

/// A client has this long to read its answer.
const LINGER: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Doorman {
    guests: Vec<(OwnedFd, Instant)>,
    answer: Vec<u8>,
}

impl Doorman {
    /// Answers those that wait at the ports. Never waits.
    pub fn answer(&mut self, listeners: &Listeners) {
        self.see_out();
        for (what, listener) in listeners.open() {
            while self.guests.len() < GUESTS_MAX
                && let Some(socket) = next(listener)
            {
                let protocol = match what.split('_').next() {
                    Some("tcp") => Protocol::Native,
                    Some("postgres") => Protocol::Postgres,
                    _ => Protocol::Http,
                };
                self.say(&socket, protocol);
                let _ = shutdown(&socket, Shutdown::Write);
                self.guests.push((socket, Instant::now()));
            }
        }
    }

    /// Closes those that have read their answer.
    pub fn see_out(&mut self) {
        let mut sink = [0u8; 4_096];
        self.guests.retain(|(socket, since)| {
            let flags = rustix::net::RecvFlags::DONTWAIT;
            let is_gone = matches!(recv(socket, &mut sink, flags), Ok((_, 0)));
            !is_gone && since.elapsed() < LINGER
        });
    }

    fn say(&mut self, socket: &OwnedFd, protocol: Protocol) {
        self.answer.clear();
        let notice = Notice {
            code: Code::SERVER_STARTING,
            text: "the server is starting, retry=safe",
            query_id: "",
            incident: "",
            retry: true,
            token: "",
        };
        farewell::of(protocol).write(0, &notice, &mut self.answer);
        let _ = send(socket, &self.answer, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }
}

fn next(listener: BorrowedFd<'_>) -> Option<OwnedFd> {
    // The port may block: it is asked only when somebody waits.
    let mut fds = [rustix::event::PollFd::from_borrowed_fd(listener, rustix::event::PollFlags::IN)];
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    match rustix::event::poll(&mut fds, Some(&now)) {
        Ok(n) if n > 0 => accept_with(listener.as_fd(), SocketFlags::CLOEXEC).ok(),
        _ => None,
    }
}
