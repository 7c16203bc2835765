//! The native protocol on a port.

use super::connection::{App, Connection};
use super::packet::Exception;
use crate::tcp::{self, ClientSocket, Service, TcpOptions};
use hydron_base::{Error, Result};
use hydron_board::Protocol;
use hydron_engine::Engine;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio_util::sync::CancellationToken;

/// Serves the native protocol on `listener`, as [`tcp::serve`] says.
///
/// Must be called inside a tokio runtime. Errors: NETWORK_ERROR for a listener that cannot be used.
pub fn serve(
    engine: Engine,
    listener: std::net::TcpListener,
    options: TcpOptions,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + 'static> {
    options.users.attach(engine.access());
    tcp::serve(Arc::new(App { engine, options, connections: AtomicU64::new(0) }), listener, stop)
}

impl Service for App {
    const PROTOCOL: Protocol = Protocol::Native;

    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn options(&self) -> &TcpOptions {
        &self.options
    }

    async fn serve(self: Arc<Self>, socket: ClientSocket, from: SocketAddr, stop: CancellationToken) {
        Connection::new(self, socket, from).run(stop).await;
    }

    async fn resume(self: Arc<Self>, socket: ClientSocket, from: SocketAddr, stop: CancellationToken) {
        if let Some(connection) = Connection::resume(self, socket, from) {
            connection.serve(stop).await;
        }
    }

    fn refusal(&self, error: &Error) -> Vec<u8> {
        let mut frame = Vec::new();
        Exception::of(error).write(&mut frame);
        frame
    }
}
