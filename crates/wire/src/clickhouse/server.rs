//! Sockets: accepts connections, gives each its limits, and lets them end.

use super::connection::{App, Connection};
use super::options::TcpOptions;
use super::packet::Exception;
use super::socket::ClientSocket;
use crate::adopt;
use crate::custody::{self, Adopted, Custody};
use crate::guarded::Guarded;
use hydron_base::{Code, Error, Result};
use hydron_board::Protocol;
use hydron_engine::Engine;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

// After an accept that failed (no descriptors left) the listener rests, so that it does not spin.
const ACCEPT_REST: Duration = Duration::from_millis(50);

// Refusals that wait for their client to read them; more are closed without a word.
const REFUSALS_MAX: usize = 64;

/// Serves the native protocol on `listener`. The returned future accepts connections until `stop`, then waits for those
/// that are open to finish the query they are at.
///
/// Must be called inside a tokio runtime. Errors: NETWORK_ERROR for a listener that cannot be used.
pub fn serve(
    engine: Engine,
    listener: std::net::TcpListener,
    options: TcpOptions,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + 'static> {
    let unusable = |e: std::io::Error| Error::new(Code::NETWORK_ERROR, format!("cannot use the tcp listener: {e}"));
    listener.set_nonblocking(true).map_err(unusable)?;
    let listener = TcpListener::from_std(listener).map_err(unusable)?;
    options.users.attach(engine.access());
    let custody = options.custody.clone();
    let adopted = custody.as_ref().map(|c| c.take_adopted(Protocol::Native)).unwrap_or_default();
    let app = Arc::new(App { engine, options, connections: AtomicU64::new(0) });
    Ok(accept(app, listener, adopted, stop))
}

async fn accept(app: Arc<App>, listener: TcpListener, adopted: Vec<Adopted>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(app.options.connections_max));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let open = TaskTracker::new();
    for one in adopted {
        if let (Some(custody), Ok(place)) = (&app.options.custody, Arc::clone(&places).try_acquire_owned()) {
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
            accepted = custody::accept(&listener, app.options.custody.as_ref()) => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::warn!("cannot accept a tcp connection: {e}");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        let Some(socket) = prepare(stream, from, &app.options) else { continue };
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            let connection = Connection::new(Arc::clone(&app), socket, from).run(stop.clone());
            open.spawn(async move {
                connection.await;
                drop(place);
            });
        } else if let Ok(place) = Arc::clone(&refusals).try_acquire_owned() {
            open.spawn(async move {
                refuse(socket).await;
                drop(place);
            });
        }
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// Goes on with a connection of a worker that is dead.
async fn go_on(app: Arc<App>, custody: Arc<Custody>, adopted: Adopted, stop: CancellationToken) {
    let patience = app.options.send_patience;
    let Some((socket, from)) = adopt::settle(&app.engine, &custody, adopted, patience).await else { return };
    let Ok(socket) = ClientSocket::new(socket, patience) else { return };
    if let Some(connection) = Connection::resume(app, socket, from) {
        connection.serve(stop).await;
    }
}

fn prepare(stream: TcpStream, from: SocketAddr, options: &TcpOptions) -> Option<ClientSocket> {
    let seat = options.custody.as_ref().and_then(|c| c.admit(stream.as_fd(), Protocol::Native));
    match ClientSocket::new(Guarded::new(stream, seat), options.send_patience) {
        Ok(socket) => Some(socket),
        Err(e) => {
            tracing::debug!("cannot set options of the connection from {from}: {e}");
            None
        }
    }
}

async fn refuse(mut socket: ClientSocket) {
    let mut frame = Vec::new();
    Exception::of(&Error::new(Code::NO_FREE_CONNECTION, "all connections are in use")).write(&mut frame);
    // The client may have gone already; there is nobody else to tell.
    if socket.send(&frame).await.is_ok() {
        socket.close().await;
    }
}
