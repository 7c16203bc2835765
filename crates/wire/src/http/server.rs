//! Sockets: accepts connections, gives each its limits and deadlines, and lets them end.

use super::options::HttpOptions;
use super::route::App;
use crate::adopt;
use crate::custody::{self, Adopted, Custody};
use crate::guarded::Guarded;
use hydron_base::{Code, Error, Result};
use hydron_engine::Engine;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
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
    options.users.attach(engine.access());
    let custody = options.custody.clone();
    let sessions = Arc::clone(&options.sessions);
    let protocol = options.surface.protocol();
    let adopted = custody.as_ref().map(|c| c.take_adopted(protocol)).unwrap_or_default();
    let app = Arc::new(App { engine, options, sessions, requests: AtomicU64::new(0), failures: AtomicU64::new(0) });
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
            accepted = custody::accept(&listener, custody.as_ref()) => accepted,
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
                let seat = custody.as_ref().and_then(|c| c.admit(socket.as_fd(), app.options.surface.protocol()));
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

/// Goes on with a connection of a worker that is dead.
async fn go_on(app: Arc<App>, custody: Arc<Custody>, adopted: Adopted, stop: CancellationToken) {
    if let Some((socket, from)) = adopt::settle(&app.engine, &custody, adopted, app.options.send_patience).await {
        connection(app, socket, from, stop).await;
    }
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
