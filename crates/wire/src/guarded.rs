//! A socket that writes only while it may.
//!
//! In: reads and writes of a protocol's connection. Out: the same on the socket, each frame bracketed on the board. Promise:
//! after a fault, nothing is read or written once the supervisor has the socket; whatever a slow client has not taken
//! of a frame is where the supervisor finds it.

use crate::custody::Seat;
use hydron_board::State;
use rustix::net::Shutdown;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub struct Guarded {
    socket: TcpStream,
    seat: Option<Arc<Seat>>,
}

impl Guarded {
    pub fn new(socket: TcpStream, seat: Option<Arc<Seat>>) -> Guarded {
        Guarded { socket, seat }
    }

    pub fn seat(&self) -> Option<&Arc<Seat>> {
        self.seat.as_ref()
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Writes `parts`, or what the socket takes of them.
    fn write(&mut self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Some(seat) = &self.seat else { return Pin::new(&mut self.socket).poll_write_vectored(cx, parts) };
        let connection = seat.connection();
        let offered: usize = parts.iter().map(|p| p.len()).sum();
        // Nobody is woken again: this process ends, and the client hears from the supervisor.
        if seat.is_crashed() {
            return Poll::Pending;
        }
        let Some(frame) = connection.begin_frame() else { return Poll::Pending };
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, parts);
        let n = match &written {
            Poll::Ready(Ok(n)) => *n,
            _ => 0,
        };
        // Before the outbox is whole again: until then nobody is told anything.
        if n > 0 {
            connection.note_resume();
        }
        if let Some(outbox) = seat.outbox() {
            outbox.note(parts.iter().map(|p| &**p), n);
        }
        match n {
            _ if n == offered => connection.end_frame(),
            0 => connection.abandon_frame(frame),
            _ => {}
        }
        written
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(seat) = &this.seat else { return Pin::new(&mut this.socket).poll_read(cx, buffer) };
        let connection = seat.connection();
        if seat.is_crashed() {
            return Poll::Pending;
        }
        if connection.state() != State::Idle {
            if connection.state() == State::Taken {
                return Poll::Pending;
            }
            return Pin::new(&mut this.socket).poll_read(cx, buffer);
        }
        loop {
            ready!(this.socket.poll_read_ready(cx))?;
            // Said before the bytes leave the kernel: nobody may take the connection for idle and lose them.
            if !connection.begin_request() {
                return Poll::Pending;
            }
            let room = buffer.initialize_unfilled();
            match this.socket.try_read(room) {
                Ok(n) => {
                    buffer.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => connection.end_request(),
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(seat) = &self.seat
            && seat.connection().has(hydron_board::connection::ENDED)
        {
            seat.connection().end_request();
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.seat.as_ref().is_some_and(|s| s.is_crashed() || s.connection().state() == State::Taken) {
            return Poll::Pending;
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The supervisor's copy keeps the connection open: closing ours does not end it.
        if let Some(seat) = &self.seat
            && !seat.is_crashed()
            && seat.connection().close()
        {
            let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
        }
    }
}
