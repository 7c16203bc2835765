//! PostgreSQL's protocol on a port.

use super::connection::{App, Connection};
use super::reply::{self, Severity};
use crate::tcp::{self, ClientSocket, Service, TcpOptions};
use hydron_base::{Error, Result};
use hydron_board::Protocol;
use hydron_engine::Engine;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Serves PostgreSQL's protocol on `listener`, as [`tcp::serve`] says. Queries that do not say are historical, as its clients
/// expect an end.
///
/// Must be called inside a tokio runtime. Errors: NETWORK_ERROR for a listener that cannot be used.
pub fn serve(
    engine: Engine,
    listener: std::net::TcpListener,
    options: TcpOptions,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + 'static> {
    options.users.attach(engine.access());
    let options = TcpOptions { query_mode: "table", ..options };
    tcp::serve(Arc::new(App { engine, options, keys: Arc::default() }), listener, stop)
}

impl Service for App {
    const PROTOCOL: Protocol = Protocol::Postgres;

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
        refusal(error)
    }
}

/// The last word to a client that does not come in.
pub fn refusal(error: &Error) -> Vec<u8> {
    let mut frame = Vec::new();
    reply::error(Severity::Fatal, error, "", &mut frame);
    frame
}
