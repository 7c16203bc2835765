//! The port: the HTTP interface with more paths, where queries stream unless they say otherwise.

use super::call::Call;
use super::poll::Polls;
use super::reply::{self, Failure};
use super::route::{self, Endpoint, Found};
use super::{database, function, ingest, raw_store, search, server_state, statement, storage, stream};
use crate::custody::Seat;
use crate::http::request::QueryRequest;
use crate::http::route::{App, Body};
use crate::http::{HttpOptions, Surface};
use ::http::request::Parts;
use ::http::{Response, StatusCode};
use hydron_base::{Code, Error, Result};
use hydron_engine::Engine;
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Serves SQL over HTTP and the REST interface on `listener`; see [`crate::http::serve`].
pub fn serve(
    engine: Engine,
    listener: std::net::TcpListener,
    options: HttpOptions,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + 'static> {
    let surface = match options.surface {
        Surface::Rest(rest) => Surface::Rest(rest),
        Surface::Sql => Surface::Rest(Arc::default()),
    };
    crate::http::serve(engine, listener, HttpOptions { query_mode: "streaming", surface, ..options }, stop)
}

/// What all requests of the REST interface share.
#[derive(Default)]
pub struct Rest {
    pub(super) polls: Arc<Polls>,
}

impl Rest {
    /// Whether a path is one of this interface. Pings stay with the HTTP interface.
    pub(crate) fn owns(&self, path: &str) -> bool {
        route::inside(path).is_some_and(|rest| rest != "/ping")
    }

    pub(crate) async fn answer(
        &self,
        app: &App,
        parts: &Parts,
        body: Incoming,
        from: SocketAddr,
        seat: Option<Arc<Seat>>,
    ) -> Response<Body> {
        let mut request_id = Arc::<str>::from("");
        match self.route(app, parts, body, from, seat, &mut request_id).await {
            Ok(response) => response,
            Err(failure) => {
                app.failures.fetch_add(1, Ordering::Relaxed);
                reply::failure(&failure, &request_id)
            }
        }
    }

    async fn route(
        &self,
        app: &App,
        parts: &Parts,
        body: Incoming,
        from: SocketAddr,
        seat: Option<Arc<Seat>>,
        request_id: &mut Arc<str>,
    ) -> Result<Response<Body>, Failure> {
        let found = route::find(&parts.method, parts.uri.path());
        let mut params = Vec::new();
        let request = QueryRequest::parse_but(parts, |name, value| {
            let takes = found.as_ref().is_ok_and(|f| f.takes(name));
            if takes {
                params.push((name.to_string(), value.to_string()));
            }
            takes
        });
        let given = request.as_ref().map(|r| r.query_id.clone()).unwrap_or_default();
        *request_id = if given.is_empty() { Uuid::new_v4().to_string().into() } else { given.into() };
        let Found { endpoint, names, .. } = found?;
        let request = request.map_err(Failure::of_request)?;
        let user = app.options.users.admit(&request.user, &request.password, from.ip()).await?;
        let request_id = Arc::clone(request_id);
        let call = Call { app, rest: self, request, user, params, names, request_id, from, seat };
        self.dispatch(endpoint, &call, parts, body).await
    }

    async fn dispatch(
        &self,
        endpoint: Endpoint,
        call: &Call<'_>,
        parts: &Parts,
        body: Incoming,
    ) -> Result<Response<Body>, Failure> {
        use Endpoint as E;
        match endpoint {
            E::Info => server_state::info(call),
            E::Apis => server_state::apis(call),
            E::Ingest => ingest::ingest(call, parts, body).await,
            E::IngestStatuses => ingest::statuses(call, body).await,
            E::Search => search::search(call, body).await,
            E::PipelineMetrics => server_state::pipeline_metrics(call, body).await,
            E::ListStreams => stream::list(call).await,
            E::CreateStream => stream::create(call, body).await,
            E::ChangeStream => stream::change(call, body).await,
            E::DeleteStream => stream::delete(call).await,
            E::CreateExternalStream => stream::create_external(call, body).await,
            E::IngestRawStore => raw_store::ingest(call, body).await,
            E::ListRawStores => raw_store::list(call),
            E::CreateRawStore => raw_store::create(call, body).await,
            E::DeleteRawStore => raw_store::delete(call).await,
            E::ListDatabases => database::list(call),
            E::CreateDatabase => database::create(call, body).await,
            E::DeleteDatabase => database::delete(call).await,
            E::Analyze => statement::analyze(call, body).await,
            E::Format => statement::format(call, body).await,
            E::ListFunctions => function::list(call),
            E::CreateFunction => function::create(call, body).await,
            E::DeleteFunction => function::delete(call).await,
            E::Storage => storage::storage(call),
            E::Cluster => {
                let error = Error::new(Code::UNSUPPORTED, "this server is not part of a cluster");
                Err(Failure::with(StatusCode::INTERNAL_SERVER_ERROR, error))
            }
            E::System => {
                let error = Error::new(Code::UNSUPPORTED, "commands of a cluster are not supported by a single server");
                Err(Failure::with(StatusCode::BAD_REQUEST, error))
            }
            E::Telemetry => server_state::telemetry(call, parts, body).await,
        }
    }
}
