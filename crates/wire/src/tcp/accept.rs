//! Sockets of one port: accepts connections, gives each its limits, and lets them end.
//!
//! In: a listener, and connections of a worker that is dead. Out: each client in the hands of its [`Service`]. Promise: one more
//! client than there is room for hears so; at a stop nobody new is accepted, and who is in may finish.

use super::options::TcpOptions;
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
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

// After an accept that failed (no descriptors left) the listener rests, so that it does not spin.
const ACCEPT_REST: Duration = Duration::from_millis(50);

// Refusals that wait for their client to read them; more are closed without a word.
const REFUSALS_MAX: usize = 64;

/// What speaks with the clients of a port.
pub trait Service: Send + Sync + 'static {
    const PROTOCOL: Protocol;

    fn engine(&self) -> &Engine;

    fn options(&self) -> &TcpOptions;

    /// Serves a client from its first byte to its last.
    fn serve(
        self: Arc<Self>,
        socket: ClientSocket,
        from: SocketAddr,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send;

    /// Goes on with a client of a worker that is dead, between two of its requests.
    fn resume(
        self: Arc<Self>,
        socket: ClientSocket,
        from: SocketAddr,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send;

    /// The last word to a client that there is no room for.
    fn refusal(&self, error: &Error) -> Vec<u8>;
}

/// Serves `listener`. The returned future accepts connections until `stop`, then waits for those that are open to finish the
/// query they are at.
///
/// Must be called inside a tokio runtime. Errors: NETWORK_ERROR for a listener that cannot be used.
pub fn serve<S: Service>(
    service: Arc<S>,
    listener: std::net::TcpListener,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + 'static> {
    let unusable = |e: std::io::Error| Error::new(Code::NETWORK_ERROR, format!("cannot use the tcp listener: {e}"));
    listener.set_nonblocking(true).map_err(unusable)?;
    let listener = TcpListener::from_std(listener).map_err(unusable)?;
    let custody = service.options().custody.clone();
    let adopted = custody.as_ref().map(|c| c.take_adopted(S::PROTOCOL)).unwrap_or_default();
    Ok(accept(service, listener, adopted, stop))
}

async fn accept<S: Service>(service: Arc<S>, listener: TcpListener, adopted: Vec<Adopted>, stop: CancellationToken) {
    let custody = service.options().custody.clone();
    let places = Arc::new(Semaphore::new(service.options().connections_max));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let open = TaskTracker::new();
    for one in adopted {
        if let (Some(custody), Ok(place)) = (&custody, Arc::clone(&places).try_acquire_owned()) {
            let connection = go_on(Arc::clone(&service), Arc::clone(custody), one, stop.clone());
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
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::warn!("cannot accept a tcp connection: {e}");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        let Some(socket) = prepare::<S>(stream, from, service.options()) else { continue };
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            let connection = Arc::clone(&service).serve(socket, from, stop.clone());
            open.spawn(async move {
                connection.await;
                drop(place);
            });
        } else if let Ok(place) = Arc::clone(&refusals).try_acquire_owned() {
            let word = service.refusal(&Error::new(Code::NO_FREE_CONNECTION, "all connections are in use"));
            open.spawn(async move {
                refuse(socket, &word).await;
                drop(place);
            });
        }
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// Goes on with a connection of a worker that is dead.
async fn go_on<S: Service>(service: Arc<S>, custody: Arc<Custody>, adopted: Adopted, stop: CancellationToken) {
    let patience = service.options().send_patience;
    let Some((socket, from)) = adopt::settle(service.engine(), &custody, adopted, patience).await else { return };
    let Ok(socket) = ClientSocket::new(socket, patience) else { return };
    service.resume(socket, from, stop).await;
}

fn prepare<S: Service>(stream: TcpStream, from: SocketAddr, options: &TcpOptions) -> Option<ClientSocket> {
    let seat = options.custody.as_ref().and_then(|c| c.admit(stream.as_fd(), S::PROTOCOL));
    match ClientSocket::new(Guarded::new(stream, seat), options.send_patience) {
        Ok(socket) => Some(socket),
        Err(e) => {
            tracing::debug!("cannot set options of the connection from {from}: {e}");
            None
        }
    }
}

async fn refuse(mut socket: ClientSocket, word: &[u8]) {
    // The client may have gone already; there is nobody else to tell.
    if socket.send(word).await.is_ok() {
        socket.close().await;
    }
}
