//! Functions behind a URL: each batch is one POST.
//!
//! Out: `{"argument": [value, …], …}`. Back: `{"result": [value, …]}`, a value for each row. Promise: a call ends by its
//! deadline, whatever the other side does; nothing of it is followed, retried or kept; the key never stands in an error.

use crate::outside::{self, Outside, RESULT};
use crate::signature::Signature;
use arrow::array::ArrayRef;
use hydron_base::world::Stop;
use hydron_base::{Code, Error, Result};
use hydron_func::{ArgInfo, BindContext, BoundCall, NullRule, ScalarFn};
use parking_lot::{Condvar, Mutex};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, mpsc};
use std::time::{Duration, Instant};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

const CONNECT_MAX: Duration = Duration::from_secs(2);
const SEND_MAX: Duration = Duration::from_secs(5);
const RECEIVE_MAX: Duration = Duration::from_secs(10);

/// Longest EXECUTION_TIMEOUT: an hour, in milliseconds.
const EXECUTION_MS_MAX: u64 = 3_600_000;

/// Bytes of an answer: 65,536 rows of a kilobyte.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Bytes of an answer that is an error, kept for its message.
const REFUSAL_BYTES_MAX: u64 = 1 << 10;

/// Calls of all functions at once, each with a thread that waits.
const CALLS_MAX: usize = 64;

/// Where systems keep the authorities that everybody believes.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Names another file of authorities, as for other programs.
const BUNDLE_VARIABLE: &str = "SSL_CERT_FILE";

/// Where a function is, and how one is let in.
#[derive(Clone, PartialEq, Eq)]
pub struct Service {
    pub url: String,
    /// A header and its value.
    pub auth: Option<(String, String)>,
    /// For a whole call; `None`: the limits of each of its steps.
    pub execution_timeout_ms: Option<u64>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({})", shown(&self.url))
    }
}

pub struct Remote {
    signature: Arc<Signature>,
    caller: Arc<Caller>,
}

struct Caller {
    service: Service,
    agent: ureq::Agent,
    /// For a whole call.
    patience: Duration,
}

impl Remote {
    /// Errors: BAD_ARGUMENTS (36) for a URL, a header or a time that cannot be.
    pub fn new(signature: Arc<Signature>, service: Service) -> Result<Remote> {
        let bad = |text: &str| Err(Error::bad_arguments(format!("remote function \"{}\": {text}", signature.name)));
        let is_https = service.url.starts_with("https://");
        if !is_https && !service.url.starts_with("http://") {
            return bad("URL must begin with http:// or https://");
        }
        if service.url.parse::<ureq::http::Uri>().ok().and_then(|u| u.host().map(str::len)).unwrap_or(0) == 0 {
            return bad("URL cannot be read");
        }
        if let Some((header, key)) = &service.auth
            && (ureq::http::HeaderName::from_bytes(header.as_bytes()).is_err()
                || ureq::http::HeaderValue::from_str(key).is_err())
        {
            return bad("AUTH_HEADER and AUTH_KEY must be the name and the value of a header");
        }
        if service.execution_timeout_ms.is_some_and(|ms| ms == 0 || ms > EXECUTION_MS_MAX) {
            return bad("EXECUTION_TIMEOUT must be 1 to 3600000 milliseconds");
        }
        let whole = service.execution_timeout_ms.map(Duration::from_millis);
        let patience = whole.unwrap_or(CONNECT_MAX + SEND_MAX + RECEIVE_MAX);
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(patience))
            .timeout_resolve(Some(CONNECT_MAX))
            .timeout_connect(Some(CONNECT_MAX));
        if whole.is_none() {
            config = config
                .timeout_send_request(Some(SEND_MAX))
                .timeout_send_body(Some(SEND_MAX))
                .timeout_recv_response(Some(RECEIVE_MAX))
                .timeout_recv_body(Some(RECEIVE_MAX));
        }
        if is_https {
            config = config.tls_config(tls());
        }
        let caller = Caller { service, agent: config.build().into(), patience };
        Ok(Remote { signature, caller: Arc::new(caller) })
    }
}

impl ScalarFn for Remote {
    fn bind(&self, cx: &BindContext, args: &[ArgInfo]) -> Result<BoundCall> {
        outside::bind(&self.signature, Arc::clone(&self.caller) as Arc<dyn Outside>, cx, args)
    }

    fn null_rule(&self) -> NullRule {
        let takes_nulls = self.signature.args.iter().any(|(_, ty)| ty.is_nullable());
        if takes_nulls { NullRule::Custom } else { NullRule::Propagate }
    }
}

/// Believes the authorities that the system knows.
fn tls() -> TlsConfig {
    static AUTHORITIES: LazyLock<Vec<Certificate<'static>>> = LazyLock::new(|| {
        let named = std::env::var_os(BUNDLE_VARIABLE).map(std::path::PathBuf::from);
        let file = named.into_iter().chain(BUNDLES.iter().map(Into::into)).find(|path| path.exists());
        // Without authorities no certificate is believed, and the call says so.
        let found = file.and_then(|path| CertificateDer::pem_file_iter(path).ok()).into_iter().flatten();
        found.flatten().map(|c| Certificate::from_der(c.as_ref()).to_owned()).collect()
    });
    TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&AUTHORITIES))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

impl Outside for Caller {
    fn call(&self, signature: &Signature, columns: Vec<ArrayRef>, rows: usize, stop: &Stop) -> Result<ArrayRef> {
        let deadline = Instant::now() + self.patience;
        let failed = |what: &str| {
            let text = format!("remote function \"{}\" at {}: {what}", signature.name, shown(&self.service.url));
            Error::new(Code::REMOTE_CALL_FAILED, text)
        };
        let late = || failed(&format!("no answer within {} ms", self.patience.as_millis()));
        let body = request(signature, columns, rows)?;
        let Some(turn) = Turn::take(deadline, stop)? else { return Err(late()) };
        let (answered, answer) = mpsc::channel();
        let (agent, service) = (self.agent.clone(), self.service.clone());
        // The thread ends by the limits of the agent, also where nobody waits for it any more.
        let work = move || {
            let _ = answered.send(post(&agent, &service, &body));
            drop(turn);
        };
        let started = std::thread::Builder::new().name("remote-udf".to_string()).stack_size(512 << 10).spawn(work);
        started.map_err(|e| failed(&format!("no thread for the call: {e}")))?;
        let answer = outside::wait_for(&answer, deadline, stop)?.ok_or_else(late)?;
        let body = answer.map_err(|e| failed(&e))?;
        let rows = result_rows(&body).map_err(|e| failed(&e))?;
        outside::decode("JSONCompactEachRow", &signature.returns, &rows)
            .map_err(|e| failed(&format!("the result cannot be read: {}", e.message)))
    }
}

/// One of the calls that may run at once.
struct Turn;

static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Turn {
    /// `None` at the deadline.
    fn take(deadline: Instant, stop: &Stop) -> Result<Option<Turn>> {
        let mut running = RUNNING.0.lock();
        while *running >= CALLS_MAX {
            RUNNING.1.wait_for(&mut running, Duration::from_millis(20));
            stop.check()?;
            if Instant::now() >= deadline {
                return Ok(None);
            }
        }
        *running += 1;
        Ok(Some(Turn))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.0.lock() -= 1;
        RUNNING.1.notify_one();
    }
}

/// Sends a body; the body of the answer, or what went wrong.
fn post(agent: &ureq::Agent, service: &Service, body: &[u8]) -> Result<Vec<u8>, String> {
    let mut request = agent.post(&service.url).header("Content-Type", "application/json");
    if let Some((header, key)) = &service.auth {
        request = request.header(header, key);
    }
    let mut response = request.send(body).map_err(|e| e.to_string())?;
    let status = response.status();
    let is_ok = status.as_u16() == 200;
    let limit = if is_ok { ANSWER_BYTES_MAX } else { REFUSAL_BYTES_MAX };
    let read = response.body_mut().with_config().limit(limit).read_to_vec();
    match (is_ok, read) {
        (true, Ok(body)) => Ok(body),
        (true, Err(ureq::Error::BodyExceedsLimit(limit))) => Err(format!("the answer has more than {limit} bytes")),
        (true, Err(e)) => Err(e.to_string()),
        (false, Ok(body)) => Err(format!("HTTP status {status}: {}", String::from_utf8_lossy(&body).trim())),
        (false, Err(_)) => Err(format!("HTTP status {status}")),
    }
}

/// `{"argument": [value, …], …}`
fn request(signature: &Signature, columns: Vec<ArrayRef>, rows: usize) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    for (at, ((name, ty), column)) in signature.args.iter().zip(columns).enumerate() {
        body.push(if at == 0 { b'{' } else { b',' });
        body.extend_from_slice(serde_json::Value::from(&**name).to_string().as_bytes());
        body.extend_from_slice(b":[");
        let one = Signature { name: Arc::clone(name), args: vec![(Arc::clone(name), ty.clone())], returns: ty.clone() };
        // Rows of one value, `[value]` each: their brackets go.
        let lines = outside::encode("JSONCompactEachRow", &outside::batch_of(&one, vec![column], rows))?;
        for (row, line) in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()).enumerate() {
            if row > 0 {
                body.push(b',');
            }
            body.extend_from_slice(line.get(1..line.len() - 1).unwrap_or_default());
        }
        body.push(b']');
    }
    body.push(b'}');
    Ok(body)
}

/// The values under `result`, a row of one value each.
fn result_rows(body: &[u8]) -> Result<Vec<u8>, String> {
    let answer: HashMap<String, Box<RawValue>> =
        serde_json::from_slice(body).map_err(|e| format!("the answer is no JSON object: {e}"))?;
    let result = answer.get(RESULT).ok_or_else(|| format!("the answer has no field '{RESULT}'"))?;
    let values: Vec<&RawValue> =
        serde_json::from_str(result.get()).map_err(|_| format!("the field '{RESULT}' is no array"))?;
    let mut rows = Vec::with_capacity(result.get().len() + 3 * values.len());
    for value in values {
        rows.push(b'[');
        rows.extend_from_slice(value.get().as_bytes());
        rows.extend_from_slice(b"]\n");
    }
    Ok(rows)
}

/// A URL as messages show it: without user, password and query.
fn shown(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = plain.split_once("://") else { return plain.to_string() };
    let (host, path) = rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, format!("/{path}")));
    format!("{scheme}://{}{path}", host.rsplit('@').next().unwrap_or_default())
}

#[cfg(test)]
mod tests;
