//! Limits and deadlines of the HTTP interface.

use crate::custody::Custody;
use crate::users::Users;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone)]
pub struct HttpOptions {
    /// `query_mode` of requests that do not say: `table` on 8123, `streaming` on 3218.
    pub query_mode: &'static str,
    pub users: Arc<Users>,
    /// Who else holds the sockets; `None` where there is no supervisor.
    pub custody: Option<Arc<Custody>>,
    /// Connections open at once; more are answered with 503 and closed.
    pub connections_max: usize,
    /// Bytes of the request line and the headers together.
    pub header_bytes_max: usize,
    pub headers_max: usize,
    /// How long the headers of a request may take, and a kept connection may wait for its next one.
    pub header_patience: Duration,
    /// How long a body may pause.
    pub body_patience: Duration,
    /// How long sent bytes may stay unacknowledged before the client counts as gone.
    pub send_patience: Duration,
    /// Bytes that all of a compressed body may come to.
    pub decompressed_bytes_max: u64,
    /// Bytes of an answer that `wait_end_of_query` holds back.
    pub buffered_bytes_max: usize,
    /// Sessions kept by id.
    pub sessions_max: usize,
    /// The longest `session_timeout`.
    pub session_timeout_max: Duration,
}

impl Default for HttpOptions {
    fn default() -> HttpOptions {
        HttpOptions {
            query_mode: "table",
            users: Arc::new(Users::default()),
            custody: None,
            // A connection costs two buffers of some 16 KiB; the descriptors of the process are the harder limit.
            connections_max: 4_096,
            // The longest URI is 64 KiB; the headers of proxies and drivers come to a few KiB.
            header_bytes_max: 128 << 10,
            headers_max: 100,
            header_patience: Duration::from_secs(30),
            body_patience: Duration::from_secs(180),
            send_patience: Duration::from_secs(180),
            // One request may load 64 GiB; it is read as a stream, so only a bomb meets this.
            decompressed_bytes_max: 64 << 30,
            buffered_bytes_max: 1 << 30,
            // A session is its settings: about a kilobyte.
            sessions_max: 10_000,
            session_timeout_max: Duration::from_secs(3_600),
        }
    }
}
