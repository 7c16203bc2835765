//! Limits and deadlines of the HTTP interface.

use super::session::Sessions;
use crate::custody::Custody;
use crate::rest::Rest;
use crate::users::Users;
use hydron_board::Protocol;
use std::sync::Arc;
use std::time::Duration;

/// Which paths a port has beside those of the HTTP interface.
#[derive(Clone, Default)]
pub enum Surface {
    #[default]
    Sql,
    /// Those of the REST interface too.
    Rest(Arc<Rest>),
}

impl Surface {
    /// How its connections are known to the supervisor.
    pub(super) fn protocol(&self) -> Protocol {
        match self {
            Surface::Sql => Protocol::Http,
            Surface::Rest(_) => Protocol::Rest,
        }
    }
}

#[derive(Clone)]
pub struct HttpOptions {
    pub surface: Surface,
    /// `query_mode` of requests that do not say: `table` on 8123, `streaming` on 3218.
    pub query_mode: &'static str,
    pub users: Arc<Users>,
    /// Who else holds the sockets; `None` where there is no supervisor.
    pub custody: Option<Arc<Custody>>,
    /// Sessions by id; those of all ports of one process.
    pub(crate) sessions: Arc<Sessions>,
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
    /// Parts of a form.
    pub form_parts_max: usize,
    /// Bytes that the tables of a form may take, as they come and as rows.
    pub form_tables_bytes_max: usize,
    /// Sessions kept by id.
    pub sessions_max: usize,
    /// The longest `session_timeout`.
    pub session_timeout_max: Duration,
}

impl HttpOptions {
    /// With sockets that a supervisor holds too, and the sessions that the worker before has left.
    pub fn guarded(mut self, custody: Arc<Custody>) -> HttpOptions {
        self.sessions = Arc::new(Sessions::restore(Some(custody.board())));
        self.custody = Some(custody);
        self
    }
}

impl Default for HttpOptions {
    fn default() -> HttpOptions {
        HttpOptions {
            surface: Surface::Sql,
            query_mode: "table",
            users: Arc::new(Users::default()),
            custody: None,
            sessions: Arc::new(Sessions::restore(None)),
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
            // A parameter each, and three more for each table.
            form_parts_max: 1_000,
            // Tables of a form are held in memory as long as their query runs.
            form_tables_bytes_max: 512 << 20,
            // A session is its settings: about a kilobyte.
            sessions_max: 10_000,
            session_timeout_max: Duration::from_secs(3_600),
        }
    }
}
