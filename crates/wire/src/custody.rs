//! Connections whose socket a supervisor holds too, so that a client hears of a fault although this process is dying.
//!
//! In: sockets as they are accepted, or handed over by the supervisor at start. Out: a [`Seat`] for each, the place on the
//! board where it says what it is at. Promise: a socket is known to the supervisor before a byte of it is read; when the
//! last user of a seat is gone the place is free again, unless the supervisor has taken it.

use hydron_board::board::CONNECTIONS_MAX;
use hydron_board::outbox::Outbox;
use hydron_board::{Board, Callers, Connection, Protocol, State};
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

/// While the supervisor is busy with something else a new connection waits this long; after that it goes without custody.
const HOLD_PATIENCE: Duration = Duration::from_millis(50);

/// What the supervisor is told of a new connection, in front of its socket.
pub const HOLD: &[u8] = b"hold ";

pub struct Custody {
    board: &'static Board,
    supervisor: OwnedFd,
    free: Mutex<Vec<u32>>,
    adopted: Mutex<Vec<Adopted>>,
    insides: Option<Insides>,
    /// Connections that are served without a place.
    pub unguarded: AtomicU64,
}

/// Ports that only the door may come to, and who its clients are.
pub struct Insides {
    pub ports: Vec<u16>,
    pub callers: &'static Callers,
}

/// A connection of a worker that is dead, to go on with.
pub struct Adopted {
    pub socket: OwnedFd,
    pub index: usize,
    pub protocol: Protocol,
}

impl Custody {
    /// `supervisor`: a socket of packets to the one who holds the copies. `adopted`: what it has handed over.
    pub fn new(
        board: &'static Board,
        supervisor: OwnedFd,
        adopted: Vec<Adopted>,
        insides: Option<Insides>,
    ) -> Arc<Custody> {
        let used = board.used_connections();
        let is_free = |i: &usize| used.get(*i).is_none_or(|c| c.state() == State::Free);
        // The lowest places are used first: those that nobody ever used cost no memory.
        let free = (0..CONNECTIONS_MAX).rev().filter(is_free).map(|i| i as u32).collect();
        Arc::new(Custody {
            board,
            supervisor,
            free: Mutex::new(free),
            adopted: Mutex::new(adopted),
            insides,
            unguarded: AtomicU64::new(0),
        })
    }

    /// Who is at the other end of a connection from `peer` to `local`: the client itself, or the one of the door. `None`: it
    /// came to the inside of a TLS port, and not from the door.
    pub fn caller(&self, local: SocketAddr, peer: SocketAddr) -> Option<SocketAddr> {
        match &self.insides {
            Some(insides) if local.ip().is_loopback() && insides.ports.contains(&local.port()) => {
                insides.callers.get(peer.port()).filter(|_| peer.ip().is_loopback())
            }
            _ => Some(peer),
        }
    }

    pub fn board(&self) -> &'static Board {
        self.board
    }

    /// Connections of `protocol` to go on with; each is given once.
    pub fn take_adopted(&self, protocol: Protocol) -> Vec<Adopted> {
        let mut all = self.adopted.lock();
        let (ours, others) = std::mem::take(&mut *all).into_iter().partition(|a| a.protocol == protocol);
        *all = others;
        ours
    }

    /// A place for a connection that was just accepted. `None` when there is no more, or the supervisor does not listen: the
    /// connection works, and ends without a word when this process does.
    pub fn admit(self: &Arc<Custody>, socket: BorrowedFd<'_>, protocol: Protocol) -> Option<Arc<Seat>> {
        let seated = self.free.lock().pop().map(|i| i as usize);
        let Some(index) = seated else {
            self.unguarded.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let generation = self.board.use_connection(index).open(protocol);
        let seat = Seat { custody: Arc::clone(self), index };
        match self.hold(socket, index, generation) {
            Ok(()) => Some(Arc::new(seat)),
            Err(e) => {
                tracing::warn!("the supervisor does not take a copy of a connection: {e}");
                self.unguarded.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// The seat of a connection that was handed over.
    pub fn seat(self: &Arc<Custody>, index: usize) -> Arc<Seat> {
        Arc::new(Seat { custody: Arc::clone(self), index })
    }

    /// Sends `hold <index> <generation>` and the socket.
    fn hold(&self, socket: BorrowedFd<'_>, index: usize, generation: u32) -> Result<(), Errno> {
        let mut text = [0u8; 13];
        text[..5].copy_from_slice(HOLD);
        text[5..9].copy_from_slice(&(index as u32).to_le_bytes());
        text[9..].copy_from_slice(&generation.to_le_bytes());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let sockets = [socket];
        let begun = Instant::now();
        loop {
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&sockets));
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match sendmsg(self.supervisor.as_fd(), &[IoSlice::new(&text)], &mut control, flags) {
                Ok(_) => return Ok(()),
                Err(Errno::AGAIN | Errno::INTR) if begun.elapsed() < HOLD_PATIENCE => std::thread::yield_now(),
                Err(e) => return Err(e),
            }
        }
    }
}

/// The next connection. Once a thread of this process has faulted there is none: it waits in the kernel for the next worker, since
/// this one may end between taking it and handing over the copy that outlives it.
pub async fn accept(listener: &TcpListener, custody: Option<&Arc<Custody>>) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        let (socket, peer) = poll_fn(|cx| match custody {
            Some(custody) if custody.board.worker().is_crashed() => Poll::Pending,
            _ => listener.poll_accept(cx),
        })
        .await?;
        let Some(custody) = custody else { return Ok((socket, peer)) };
        match custody.caller(socket.local_addr()?, peer) {
            Some(from) => return Ok((socket, from)),
            None => tracing::debug!("a connection from {peer} to the inside of a TLS port was closed"),
        }
    }
}

/// One connection's place on the board.
pub struct Seat {
    custody: Arc<Custody>,
    index: usize,
}

impl Seat {
    pub fn index(&self) -> usize {
        self.index
    }

    pub fn connection(&self) -> &'static Connection {
        &self.custody.board.connections()[self.index]
    }

    pub fn outbox(&self) -> Option<Outbox<'static>> {
        self.custody.board.outbox(self.index)
    }

    /// True once a thread of this process has faulted: nothing more may be read or answered.
    pub fn is_crashed(&self) -> bool {
        self.custody.board.worker().is_crashed()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Whoever owns the socket has closed the place; a place that was taken is not ours to give.
        if self.connection().state() == State::Taken || !self.connection().close() {
            return;
        }
        if self.connection().used_outbox() {
            self.custody.board.free_outbox(self.index);
        }
        self.custody.free.lock().push(self.index as u32);
    }
}
