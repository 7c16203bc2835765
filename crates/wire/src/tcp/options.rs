//! Limits and deadlines of a port whose protocol is spoken straight over TCP.

use crate::custody::Custody;
use crate::users::Users;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone)]
pub struct TcpOptions {
    /// `query_mode` of queries that do not say: `streaming` on 8463, `table` on 7587.
    pub query_mode: &'static str,
    pub users: Arc<Users>,
    /// Who else holds the sockets; `None` where there is no supervisor.
    pub custody: Option<Arc<Custody>>,
    /// Connections open at once; more are answered with NO_FREE_CONNECTION and closed.
    pub connections_max: usize,
    /// How long a client may take from its first byte to its login.
    pub handshake_patience: Duration,
    /// How long a connection may be open without a query.
    pub idle_patience: Duration,
    /// How long a packet may pause inside, and the rows of an INSERT between two blocks.
    pub receive_patience: Duration,
    /// How long a client may take nothing of what is sent to it before it counts as gone.
    pub send_patience: Duration,
}

impl Default for TcpOptions {
    fn default() -> TcpOptions {
        TcpOptions {
            query_mode: "streaming",
            users: Arc::new(Users::default()),
            custody: None,
            // 200 MiB when each costs 20 KiB; the board has places for 16,384 of all protocols, and the process its descriptors.
            connections_max: 10_240,
            handshake_patience: Duration::from_secs(10),
            // Pools of drivers keep connections for an hour at most.
            idle_patience: Duration::from_secs(3_600),
            // As long as drivers wait for the server.
            receive_patience: Duration::from_secs(300),
            send_patience: Duration::from_secs(300),
        }
    }
}
