//! Sockets: accepts connections, gives each its limits and deadlines, and lets them end.

use super::options::HttpOptions;
use super::route::App;
use super::session::Sessions;
use crate::custody::{Adopted, Custody, Seat};
use crate::farewell::{self, Ending};
use crate::guarded::Guarded;
use hydron_base::{Code, Error, Result};
use hydron_board::connection::LAST;
use hydron_board::{Board, Protocol, State};
use hydron_engine::{Engine, InsertOutcome};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

// After an accept that failed (no descriptors left) the listener rests, so that it does not spin.
const ACCEPT_REST: Duration = Duration::from_millis(50);

// A peer that died without a word is found after this long, when nothing is sent to it.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

const REFUSED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=UTF-8\r\n\
    x-clickhouse-exception-code: 203\r\nconnection: close\r\ncontent-length: 75\r\n\r\n\
    Code: 203. DB::Exception: all connections are in use. (NO_FREE_CONNECTION)\n";

/// Serves the HTTP interface on `listener`. The returned future accepts connections until `stop`, then waits for those
/// that are open to finish the request they are at.
///
/// Must be called inside a tokio runtime. Errors: NETWORK_ERROR for a listener that cannot be used.
pub fn serve(
    engine: Engine,
    listener: std::net::TcpListener,
    options: HttpOptions,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + 'static> {
    let unusable = |e: std::io::Error| Error::new(Code::NETWORK_ERROR, format!("cannot use the http listener: {e}"));
    listener.set_nonblocking(true).map_err(unusable)?;
    let listener = TcpListener::from_std(listener).map_err(unusable)?;
    let custody = options.custody.clone();
    let adopted = custody.as_ref().map(|c| c.take_adopted(Protocol::Http)).unwrap_or_default();
    let app = Arc::new(App {
        engine,
        options,
        sessions: Arc::new(Sessions::restore(custody.as_ref().map(|c| c.board()))),
        requests: AtomicU64::new(0),
        failures: AtomicU64::new(0),
    });
    Ok(accept(app, listener, custody, adopted, stop))
}

async fn accept(
    app: Arc<App>,
    listener: TcpListener,
    custody: Option<Arc<Custody>>,
    adopted: Vec<Adopted>,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(app.options.connections_max));
    let open = TaskTracker::new();
    for one in adopted {
        if let (Some(custody), Ok(place)) = (&custody, Arc::clone(&places).try_acquire_owned()) {
            let connection = go_on(Arc::clone(&app), Arc::clone(custody), one, stop.clone());
            open.spawn(async move {
                connection.await;
                drop(place);
            });
        }
    }
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (socket, from) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::warn!("cannot accept an http connection: {e}");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let seat = custody.as_ref().and_then(|c| c.admit(socket.as_fd(), Protocol::Http));
                let connection = connection(Arc::clone(&app), Guarded::new(socket, seat), from, stop.clone());
                open.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(_) => {
                open.spawn(refuse(socket));
            }
        }
    }
    drop(listener);
    open.close();
    open.wait().await;
}

async fn refuse(mut socket: TcpStream) {
    // The client may have gone already; there is nobody else to tell.
    let _ = tokio::time::timeout(ACCEPT_REST, socket.write_all(REFUSED)).await;
}

// A client that has been told that the connection ends has this long to stop sending.
const LINGER: Duration = Duration::from_secs(1);

/// Goes on with a connection of a worker that is dead: sends what is left for the client, then serves it, or closes it when
/// that was the last.
async fn go_on(app: Arc<App>, custody: Arc<Custody>, adopted: Adopted, stop: CancellationToken) {
    let seat = custody.seat(adopted.index);
    let socket = std::net::TcpStream::from(adopted.socket);
    let prepared = socket.peer_addr().and_then(|from| {
        socket.set_nonblocking(true)?;
        Ok((from, TcpStream::from_std(socket)?))
    });
    let (from, socket) = match prepared {
        Ok(prepared) => prepared,
        Err(e) => {
            tracing::debug!("a connection was gone when it was handed over: {e}");
            seat.connection().close();
            return;
        }
    };
    let place = seat.connection();
    let mut last = place.has(LAST);
    if place.state() == State::Busy {
        match answer_insert(&app, &seat).await {
            Ending::Open => {}
            Ending::Last => last = true,
            Ending::Silent => {
                place.close();
                return;
            }
        }
        place.hand_over(last);
    }
    if !send_outbox(&socket, &seat, app.options.send_patience).await {
        seat.connection().close();
        return;
    }
    if !last {
        return connection(app, Guarded::new(socket, Some(seat)), from, stop).await;
    }
    let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Write);
    let mut socket = Guarded::new(socket, Some(seat));
    let mut sink = [0; 4_096];
    let drained = async { while matches!(socket.read(&mut sink).await, Ok(n) if n > 0) {} };
    let _ = tokio::time::timeout(LINGER, drained).await;
}

/// The client waits for the answer to an INSERT that the worker before has not lived to give: the log knows it.
async fn answer_insert(app: &App, seat: &Seat) -> Ending {
    let connection = seat.connection();
    let Some((board, index)) = Board::current().zip(connection.query()) else { return Ending::Silent };
    let Some(query) = board.query(index).filter(|q| q.is_orphaned()) else { return Ending::Silent };
    let engine = app.engine.clone();
    let found = tokio::task::spawn_blocking(move || engine.insert_outcome(query)).await;
    let id = query.id.get();
    let unknown = || InsertOutcome::Unknown { token: query.token.get() };
    let outcome = found.unwrap_or_else(|_| unknown());
    let mut bytes = Vec::new();
    let ending = farewell::outcome(Protocol::Http, connection.flags(), &id, &outcome, &mut bytes);
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

async fn connection(app: Arc<App>, socket: Guarded, from: SocketAddr, stop: CancellationToken) {
    if let Err(e) = prepare(socket.socket(), app.options.send_patience) {
        tracing::debug!("cannot set options of the connection from {from}: {e}");
    }
    let seat = socket.seat().cloned();
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(app.options.header_patience)
        // What is handed to the socket at once must fit into the outbox of a slow client.
        .max_buf_size(app.options.header_bytes_max.clamp(MIN_BUFFER_BYTES, BUFFER_BYTES_MAX))
        .max_header_size(app.options.header_bytes_max)
        .max_headers(app.options.headers_max)
        .keep_alive(true);
    let service = service_fn(move |request| Arc::clone(&app).answer(request, from, seat.clone()));
    let connection = builder.serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!("http connection from {from} ended: {e}");
    }
}

// The least buffer that hyper accepts.
const MIN_BUFFER_BYTES: usize = 8 << 10;

const BUFFER_BYTES_MAX: usize = 256 << 10;

/// Small chunks leave at once, and a client that is gone is noticed.
fn prepare(socket: &TcpStream, patience: Duration) -> std::io::Result<()> {
    use rustix::net::sockopt;
    socket.set_nodelay(true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_user_timeout(socket, u32::try_from(patience.as_millis()).unwrap_or(u32::MAX))?;
    Ok(())
}
