//! Paths: pings, counters, and queries on `/`.

use super::answer::{BrokenOff, Head, Pump, zone};
use super::coding::{Coding, framed};
use super::form;
use super::multipart::Multipart;
use super::options::{HttpOptions, Surface};
use super::request::{FAMILIES, QueryRequest, session_patience};
use super::session::{Lease, Sessions};
use super::source::{BodySource, listen};
use super::status;
use crate::custody::Seat;
use crate::users::Admitted;
use ::http::request::Parts;
use ::http::{HeaderValue, Method, Response, StatusCode, Version, header};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hydron_base::{Code, Error, Result};
use hydron_board::connection::{CHUNKED, COMPRESSED, ENDED, LAST, REQUEST_READ, RESPONDING};
use hydron_engine::{ByteSource, Engine, Input, QueryOptions, Running};
use hydron_format::FormatOptions;
use hyper::Request;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

pub(crate) type Body = UnsyncBoxBody<Bytes, BrokenOff>;

/// What all connections of one port share.
pub(crate) struct App {
    pub engine: Engine,
    pub options: HttpOptions,
    pub sessions: Arc<Sessions>,
    pub requests: AtomicU64,
    pub failures: AtomicU64,
}

impl App {
    pub(crate) async fn answer(
        self: Arc<App>,
        request: Request<Incoming>,
        from: SocketAddr,
        seat: Option<Arc<Seat>>,
    ) -> Result<Response<Body>, Infallible> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let (parts, body) = request.into_parts();
        let head_only = parts.method == Method::HEAD;
        let is_chunking = parts.version == Version::HTTP_11 && !head_only;
        if let Some(seat) = &seat {
            note_request(seat, &parts, &body);
        }
        let mut response = self.route(parts, body, from, seat.clone()).await;
        if head_only {
            *response.body_mut() = full("");
        }
        Ok(match seat {
            Some(seat) => note_response(seat, response, is_chunking),
            None => response,
        })
    }

    async fn route(&self, parts: Parts, body: Incoming, from: SocketAddr, seat: Option<Arc<Seat>>) -> Response<Body> {
        let reads = parts.method == Method::GET || parts.method == Method::HEAD;
        if parts.method == Method::OPTIONS {
            return options();
        }
        if let Surface::Rest(rest) = &self.options.surface
            && rest.owns(parts.uri.path())
        {
            return rest.answer(self, &parts, body, from, seat).await;
        }
        if !reads && parts.method != Method::POST && parts.method != Method::PUT {
            let text = format!("{} is not supported here", parts.method);
            return self.failed(&Error::new(Code::UNSUPPORTED_METHOD, text), None, StatusCode::METHOD_NOT_ALLOWED);
        }
        let asks = parts.uri.query().is_some_and(|q| !q.is_empty());
        let has_length =
            [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].iter().any(|h| parts.headers.contains_key(h));
        if parts.method == Method::POST && parts.version == Version::HTTP_11 && !has_length {
            let text = "the Transfer-Encoding is not chunked and there is no Content-Length header for a POST";
            return self.failed(&Error::new(Code::BAD_REQUEST_PARAMETER, text), None, StatusCode::LENGTH_REQUIRED);
        }
        match parts.uri.path() {
            "/ping" | "/replicas_status" if reads => plain("Ok.\n"),
            "/proton/ping" | "/timeplusd/ping" if reads => json(r#"{"status":"UP"}"#),
            "/metrics" if reads => plain(&self.counters()),
            "/" if reads && !asks => plain("Ok.\n"),
            "/" | "/query" => match self.query(&parts, body, from, seat).await {
                Ok(head) => {
                    let permits = head.permits_origins;
                    permit_origins(answered(head, &self.engine.options().display_name), permits, &parts)
                }
                Err(e) => self.failed_query(&e, &parts),
            },
            path => {
                let text = format!("there is no resource {path}");
                let error = Error::new(Code::RESOURCE_NOT_FOUND, text).hint("/, /ping, /metrics");
                self.failed(&error, None, StatusCode::NOT_FOUND)
            }
        }
    }

    /// Starts the query and returns when its answer begins.
    async fn query(&self, parts: &Parts, body: Incoming, from: SocketAddr, seat: Option<Arc<Seat>>) -> Result<Head> {
        let admitted = match QueryRequest::parse(parts) {
            Ok(request) => {
                let user = self.options.users.admit(&request.user, &request.password, from.ip()).await;
                user.map(|user| (request, user))
            }
            Err(e) => Err(e),
        };
        let (mut request, user) = match admitted {
            Ok(admitted) => admitted,
            Err(e) => {
                pass_over(body).await;
                return Err(e);
            }
        };
        let mut session = self.session(&request, &user)?;
        self.enter_database(&mut session, &request.database)?;
        let chosen = session.settings.is_changed("query_mode") || request.settings.is_changed("query_mode");
        if !chosen {
            request.settings.set("query_mode", self.options.query_mode)?;
        }
        if request.reads_only && request.settings.uint("readonly") == 0 {
            request.settings.set("readonly", "2")?;
        }
        let connection = seat.as_ref().map(|s| s.index());
        let mut source = BodySource::new(body, request.encoding, &self.options, seat)?;
        let mut given = Vec::new();
        if let Some(multipart) = request.form.as_deref().and_then(Multipart::of) {
            let mut settings = session.settings.clone();
            settings.overlay(&request.settings);
            let options = FormatOptions::from_settings(&settings, zone(settings.text("session_timezone")));
            let described = std::mem::take(&mut request.described);
            let form = form::read(multipart?, &mut source, described, &options, &self.options).await?;
            form.fields.into_iter().try_for_each(|(name, value)| request.take_field(name, value))?;
            given = form.tables;
            self.enter_database(&mut session, &request.database)?;
            // What may follow the closing delimiter is no query.
            while source.next().await?.is_some() {}
        }
        let spoken = listen(std::mem::take(&mut request.query), source).await?;
        if spoken.text.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::new(Code::SYNTAX_ERROR, "empty query")
                .hint("?query=SELECT 1, or the query as the body of a POST"));
        }
        let options = QueryOptions {
            query_id: request.query_id,
            settings: request.settings,
            interface: "http",
            client_address: from.ip().to_canonical().to_string(),
            quota_key: request.quota_key,
            connection,
            given: given.into(),
            scalars: Arc::default(),
        };
        let input = match spoken.rest {
            Some(rest) => Input::Bytes(Box::new(rest)),
            None => Input::None,
        };
        let roles = session.roles.clone();
        let chosen = match request.roles.as_slice() {
            [] => None,
            names => Some(Arc::new(self.engine.roles_of(&session, names)?)),
        };
        if chosen.is_some() {
            session.roles = chosen.clone();
        }
        let started = self.engine.execute(&mut session, spoken.text, input, options).await;
        // Roles of a parameter are those of this query; a SET ROLE that it was stays.
        if chosen.is_some() && session.roles == chosen {
            session.roles = roles;
        }
        let running = started?;
        self.begin(running, session, request.accepts).await
    }

    /// Errors: UNKNOWN_DATABASE (81).
    fn enter_database(&self, session: &mut Lease, database: &str) -> Result<()> {
        if !database.is_empty() {
            self.engine.check_database(database)?;
            session.database = Arc::from(database);
        }
        Ok(())
    }

    /// Sends the result of a query on its way; returns when the answer begins.
    pub(crate) async fn begin(&self, running: Running, session: Lease, accepts: Coding) -> Result<Head> {
        // A fault while the answer is written is this query's too.
        let mark = running.mark();
        let pump = Pump::new(running, session, accepts, self.options.buffered_bytes_max);
        let (sender, head) = oneshot::channel();
        self.engine.inner().cpu.handle().spawn(mark.on(pump.run(sender)));
        head.await.unwrap_or_else(|_| Err(Error::bug("the task that writes the answer ended without one")))
    }

    fn session(&self, request: &QueryRequest, user: &Admitted) -> Result<Lease> {
        let make = || user.session(&self.engine, &request.database);
        let Some(wanted) = &request.session else {
            return Ok(Lease::Own(make()));
        };
        let patience = session_patience(wanted, &request.settings, self.options.session_timeout_max)?;
        let mut lease = self.sessions.lease(&request.user, wanted, patience, self.options.sessions_max, make)?;
        // A session of an earlier worker knows its settings and not the user's.
        lease.profile = Arc::clone(&user.settings);
        Ok(lease)
    }

    /// As [`App::failed`], told as the request asks for it: in frames, but for those who may not come in.
    fn failed_query(&self, error: &Error, parts: &Parts) -> Response<Body> {
        let status = status::of(error.code);
        let request = QueryRequest::parse(parts).ok();
        let query_id = request.as_ref().map(|r| r.query_id.as_str()).filter(|id| !id.is_empty());
        let mut response = self.failed(error, query_id, status);
        let is_refused = status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN;
        if request.as_ref().is_some_and(|r| r.accepts.framed) && !is_refused {
            *response.body_mut() = whole(Bytes::from(framed(&format!("{error}\n"))));
            response.extensions_mut().insert(Framed);
        }
        let asked = request.is_some_and(|r| r.settings.bool("add_http_cors_header"));
        permit_origins(response, asked || self.engine.inner().profile.bool("add_http_cors_header"), parts)
    }

    fn failed(&self, error: &Error, query_id: Option<&str>, status: StatusCode) -> Response<Body> {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut response = plain(&format!("{error}\n"));
        *response.status_mut() = status;
        put(&mut response, "exception-code", &error.code.number().to_string());
        if let Some(id) = query_id {
            put(&mut response, "query-id", id);
        }
        put(&mut response, "server-display-name", &self.engine.options().display_name);
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"hydron\""));
        }
        response
    }

    /// Counters in the text format of Prometheus.
    fn counters(&self) -> String {
        let queries = self.engine.queries();
        let running = queries.running();
        let streaming = running.iter().filter(|q| q.streaming.load(Ordering::Relaxed)).count();
        let mut out = String::new();
        let mut counter = |name: &str, kind: &str, help: &str, value: u64| {
            out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
        };
        counter("hydron_queries_total", "counter", "queries started", queries.total.load(Ordering::Relaxed));
        counter("hydron_queries_running", "gauge", "queries running now", running.len() as u64);
        counter("hydron_queries_streaming", "gauge", "streaming queries running now", streaming as u64);
        counter("hydron_http_requests_total", "counter", "http requests", self.requests.load(Ordering::Relaxed));
        counter(
            "hydron_http_failures_total",
            "counter",
            "http requests answered with an error",
            self.failures.load(Ordering::Relaxed),
        );
        let errors = queries.errors().iter().map(|(_, count, ..)| count).sum();
        counter("hydron_query_errors_total", "counter", "queries that ended with an error", errors);
        for (name, help, value) in self.engine.inner().external.list() {
            counter(&format!("hydron_{name}"), "counter", help, value);
        }
        out
    }
}

/// A request has begun: whether more of it is to come, and whether it is the last.
fn note_request(seat: &Seat, parts: &Parts, body: &Incoming) {
    let connection = seat.connection();
    // A request that came in one piece with the one before.
    connection.begin_request();
    let asked = parts.headers.get(header::CONNECTION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let is_last = match parts.version {
        Version::HTTP_11 => asked.eq_ignore_ascii_case("close"),
        _ => !asked.eq_ignore_ascii_case("keep-alive"),
    };
    if is_last {
        connection.set(LAST);
    }
    if body.is_end_stream() {
        connection.set(REQUEST_READ);
    }
}

/// The answer begins: how it is written, and where it ends.
fn note_response(seat: Arc<Seat>, response: Response<Body>, is_chunking: bool) -> Response<Body> {
    let mut flags = RESPONDING;
    if is_chunking && response.body().size_hint().exact().is_none() {
        flags |= CHUNKED;
    }
    if response.headers().contains_key(header::CONTENT_ENCODING) || response.extensions().get::<Framed>().is_some() {
        flags |= COMPRESSED;
    }
    seat.connection().set(flags);
    response.map(|inner| Tracked { inner, seat }.boxed_unsync())
}

/// The body of an answer; when it is dropped, all of it has been handed over.
struct Tracked {
    inner: Body,
    seat: Arc<Seat>,
}

impl hyper::body::Body for Tracked {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.seat.connection().set(ENDED);
    }
}

// A refused request is read so far and so long: a client that is still sending when the connection closes would not see
// why it was refused.
const REFUSED_BYTES_MAX: usize = 1 << 20;
const REFUSED_PATIENCE: Duration = Duration::from_secs(1);

async fn pass_over(mut body: Incoming) {
    let read = async {
        let mut left = REFUSED_BYTES_MAX;
        while left > 0 {
            let Some(Ok(frame)) = body.frame().await else { return };
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        }
    };
    // Whoever sends more, or nothing, may miss the answer.
    let _ = tokio::time::timeout(REFUSED_PATIENCE, read).await;
}

/// Marks an answer in frames, into which no plain text can be put.
#[derive(Clone, Copy)]
struct Framed;

pub(crate) fn answered(head: Head, display_name: &str) -> Response<Body> {
    let chunks = stream::unfold(head.chunks, |mut chunks| async move {
        let chunk = chunks.recv().await?;
        Some((chunk.map(|c| Frame::data(c.hand_over())), chunks))
    });
    let mut response = Response::new(StreamBody::new(chunks.boxed()).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(head.content_type));
    if head.coding.framed {
        response.extensions_mut().insert(Framed);
    }
    let headers = response.headers_mut();
    if let Some(compression) = head.coding.http {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(compression.name()));
    }
    put(&mut response, "query-id", &head.query_id);
    put(&mut response, "format", &head.format);
    put(&mut response, "timezone", &head.zone);
    put(&mut response, "server-display-name", display_name);
    put(&mut response, "summary", &head.summary);
    if head.with_progress {
        put(&mut response, "progress", &head.summary);
    }
    for (name, value) in &head.extra {
        if let (Ok(name), Ok(value)) = (header::HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Tells a browser that any page may read the answer, where the setting `add_http_cors_header` says so and a page asks.
fn permit_origins(mut response: Response<Body>, permits: bool, parts: &Parts) -> Response<Body> {
    if permits && parts.headers.contains_key(header::ORIGIN) {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    response
}

/// Sets a header of ours in the families that clients look for.
pub(crate) fn put(response: &mut Response<Body>, name: &str, value: &str) {
    let Ok(value) = HeaderValue::from_str(value) else { return };
    for family in FAMILIES {
        if let Ok(name) = header::HeaderName::try_from(format!("{family}{name}")) {
            response.headers_mut().insert(name, value.clone());
        }
    }
}

fn options() -> Response<Body> {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("origin, x-requested-with, content-type, authorization"),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

pub(crate) fn full(text: &str) -> Body {
    whole(Bytes::copy_from_slice(text.as_bytes()))
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn plain(text: &str) -> Response<Body> {
    let mut response = Response::new(full(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    response
}

pub(crate) fn json(text: &str) -> Response<Body> {
    let mut response = plain(text);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    response
}
