//! Connections of a worker that is dead: what its clients are still owed, before they are served again.
//!
//! In: a socket and its place on the board. Out: the connection, between two requests, or none. Promise: what was begun is
//! finished first; an INSERT that the dead worker has not answered is answered with what the log says.

use crate::custody::{Adopted, Custody, Seat};
use crate::farewell::{self, Ending};
use crate::guarded::Guarded;
use hydron_board::connection::LAST;
use hydron_board::{Board, Protocol, State};
use hydron_engine::{Engine, InsertOutcome};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

// A client that has been told that its connection ends has this long to stop sending.
const LINGER: Duration = Duration::from_secs(1);

/// Sends what is left for the client. Answers the connection when it can go on; otherwise it is closed.
pub async fn settle(
    engine: &Engine,
    custody: &Arc<Custody>,
    adopted: Adopted,
    patience: Duration,
) -> Option<(Guarded, SocketAddr)> {
    let protocol = adopted.protocol;
    let seat = custody.seat(adopted.index);
    let socket = std::net::TcpStream::from(adopted.socket);
    let prepared = socket.local_addr().and_then(|local| {
        let peer = socket.peer_addr()?;
        let from = custody.caller(local, peer).ok_or_else(|| std::io::Error::other("its client is gone"))?;
        socket.set_nonblocking(true)?;
        Ok((from, TcpStream::from_std(socket)?))
    });
    let (from, socket) = match prepared {
        Ok(prepared) => prepared,
        Err(e) => {
            tracing::debug!("a connection was gone when it was handed over: {e}");
            seat.connection().close();
            return None;
        }
    };
    let place = seat.connection();
    let mut last = place.has(LAST);
    if place.state() == State::Busy {
        match answer_insert(engine, &seat, protocol).await {
            Ending::Open => {}
            Ending::Last => last = true,
            Ending::Silent => {
                // Dropped, it closes the connection.
                drop(Guarded::new(socket, Some(seat)));
                return None;
            }
        }
        place.hand_over(last);
    }
    let is_sent = send_outbox(&socket, &seat, patience).await;
    let mut socket = Guarded::new(socket, Some(seat));
    if !is_sent {
        return None;
    }
    if !last {
        return Some((socket, from));
    }
    let _ = rustix::net::shutdown(socket.socket(), rustix::net::Shutdown::Write);
    let mut sink = [0; 4_096];
    let drained = async { while matches!(socket.read(&mut sink).await, Ok(n) if n > 0) {} };
    let _ = tokio::time::timeout(LINGER, drained).await;
    None
}

/// The client waits for the answer to an INSERT that the worker before has not lived to give: the log knows it.
async fn answer_insert(engine: &Engine, seat: &Seat, protocol: Protocol) -> Ending {
    let connection = seat.connection();
    let Some((board, index)) = Board::current().zip(connection.query()) else { return Ending::Silent };
    let Some(query) = board.query(index).filter(|q| q.is_orphaned()) else { return Ending::Silent };
    let engine = engine.clone();
    let found = tokio::task::spawn_blocking(move || engine.insert_outcome(query)).await;
    let id = query.id.get();
    let outcome = found.unwrap_or_else(|_| InsertOutcome::Unknown { token: query.token.get() });
    let mut bytes = Vec::new();
    let ending = farewell::outcome(protocol, connection.flags(), &id, &outcome, &mut bytes);
    query.close();
    match seat.outbox() {
        Some(outbox) if outbox.append(&bytes) => ending,
        _ => Ending::Silent,
    }
}

/// Sends what the last worker has left. False: the client does not take it.
async fn send_outbox(socket: &TcpStream, seat: &Seat, patience: Duration) -> bool {
    let Some(outbox) = seat.outbox() else { return true };
    let mut piece = vec![0; 64 << 10];
    while outbox.pending() > 0 {
        let Ok(Ok(())) = tokio::time::timeout(patience, socket.writable()).await else { return false };
        match socket.try_write(outbox.peek(&mut piece)) {
            Ok(n) => outbox.sent(n),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
    true
}
