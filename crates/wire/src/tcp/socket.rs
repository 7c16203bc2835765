//! The socket of one client: every byte that is read or written passes here.
//!
//! In and out: bytes. Promise: packets are sent whole, or the connection says nothing more. What a supervisor must know of it
//! stands on the board, which [`Guarded`] keeps.

use crate::guarded::Guarded;
use hydron_base::{Code, Error, Result};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Between two packets of the client.
    Idle,
    /// A query runs; the last frame sent is whole.
    Executing,
    /// The first bytes of a frame may have been sent, its last one has not.
    MidFrame,
}

pub struct ClientSocket {
    stream: Guarded,
    moment: Moment,
    send_patience: Duration,
}

// A peer that died without a word is found after this long, when nothing is sent to it.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

// A client that is told why its connection ends may still be sending; closing at once would take the words back.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES_MAX: usize = 1 << 20;

impl ClientSocket {
    /// Small frames leave at once, and a client that is gone is noticed.
    pub fn new(guarded: Guarded, send_patience: Duration) -> io::Result<ClientSocket> {
        use rustix::net::sockopt;
        let stream = guarded.socket();
        stream.set_nodelay(true)?;
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
        sockopt::set_tcp_user_timeout(stream, u32::try_from(send_patience.as_millis()).unwrap_or(u32::MAX))?;
        Ok(ClientSocket { stream: guarded, moment: Moment::Idle, send_patience })
    }

    /// The connection's place on the board, where a supervisor holds the socket too.
    pub fn place(&self) -> Option<&'static hydron_board::Connection> {
        self.stream.seat().map(|s| s.connection())
    }

    /// Index of that place.
    pub fn place_index(&self) -> Option<usize> {
        self.stream.seat().map(|s| s.index())
    }

    /// A query begins or has ended. A frame that was broken off stays so: nothing more can be said then.
    pub fn set_executing(&mut self, executing: bool) {
        if self.moment != Moment::MidFrame {
            self.moment = if executing { Moment::Executing } else { Moment::Idle };
        }
    }

    /// Sends whole packets. Errors: SOCKET_TIMEOUT when the client takes nothing for too long, NETWORK_ERROR.
    pub async fn send(&mut self, frame: &[u8]) -> Result<()> {
        let before = self.moment;
        if before == Moment::MidFrame {
            return Err(Error::new(Code::NETWORK_ERROR, "an earlier frame was broken off"));
        }
        self.moment = Moment::MidFrame;
        let mut rest = frame;
        while !rest.is_empty() {
            let patience = self.send_patience;
            let sent = tokio::time::timeout(patience, self.write(rest)).await;
            match sent {
                Err(_) => {
                    let text = format!("the client took nothing for {patience:?}");
                    return Err(Error::new(Code::SOCKET_TIMEOUT, text));
                }
                Ok(Ok(0)) => return Err(gone("the connection is closed")),
                Ok(Ok(sent)) => rest = &rest[sent..],
                Ok(Err(e)) => return Err(gone(e)),
            }
        }
        self.moment = before;
        Ok(())
    }

    /// Adds what the client has sent to `buffer`; false at the end of the stream. Dropping this loses nothing.
    pub async fn receive(&mut self, buffer: &mut bytes::BytesMut) -> Result<bool> {
        let received = match self.moment {
            Moment::Idle => std::future::poll_fn(|cx| self.poll_receive(cx, buffer)).await,
            Moment::Executing | Moment::MidFrame => {
                buffer.reserve(READ_BYTES);
                self.read_buf(buffer).await
            }
        };
        match received {
            Ok(0) => Ok(false),
            Ok(_) => Ok(true),
            Err(e) => Err(gone(e)),
        }
    }

    /// Reads by way of the stack, so that a connection that waits holds no buffer.
    fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut bytes::BytesMut) -> Poll<io::Result<usize>> {
        let mut room = [MaybeUninit::uninit(); IDLE_READ_BYTES];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        buffer.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Ends the connection so that what was sent last arrives.
    pub async fn close(mut self) {
        let farewell = async {
            if self.shutdown().await.is_err() {
                return;
            }
            // On the heap: an array here would be part of every waiting connection.
            let mut scratch = vec![0; 4 << 10];
            let mut left = LINGER_BYTES_MAX;
            while left > 0 {
                match self.read(&mut scratch).await {
                    Ok(0) | Err(_) => return,
                    Ok(n) => left = left.saturating_sub(n),
                }
            }
        };
        // Whoever does not close its side in time is cut off.
        let _ = tokio::time::timeout(LINGER, farewell).await;
    }
}

// What a connection that waits reads at once; most queries fit.
const IDLE_READ_BYTES: usize = 4 << 10;

// Blocks of an INSERT come in pieces of about this size.
const READ_BYTES: usize = 128 << 10;

fn gone(e: impl std::fmt::Display) -> Error {
    Error::new(Code::NETWORK_ERROR, format!("the client cannot be reached: {e}"))
}

impl AsyncRead for ClientSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
