//! Statements over a server's HTTP port.
//!
//! In: a statement, perhaps with data. Out: the answer's bytes as they arrive. Promise: SET and USE last (one HTTP session
//! for the client's life); an error keeps the server's code; Ctrl-C kills the statement on the server.

use super::args::ClientArgs;
use super::backend::{Backend, Request, Status, Summary};
use super::interrupt;
use hydron_base::{Code, Error, Result};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often a watcher looks for Ctrl-C, and how often it asks for the status.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const STATUS_EVERY: Duration = Duration::from_millis(300);

pub struct HttpBackend {
    agent: ureq::Agent,
    base: String,
    user: String,
    password: String,
    session: String,
    database: String,
    settings: Vec<(String, String)>,
    queries: u64,
}

impl HttpBackend {
    pub fn new(args: &ClientArgs) -> Result<HttpBackend> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .build();
        let random = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
        Ok(HttpBackend {
            agent: config.into(),
            base: format!("http://{}:{}/", args.host, args.port),
            user: args.user.clone(),
            password: args.password.clone(),
            session: format!("client-{}-{random:x}", std::process::id()),
            database: args.common.database.clone(),
            settings: vec![("session_timeout".to_string(), "3600".to_string())],
            queries: 0,
        })
    }

    fn post(&self, parameters: &[(&str, &str)], body: ureq::SendBody<'_>) -> Result<ureq::http::Response<ureq::Body>> {
        let mut request = self.agent.post(&self.base).query_pairs(parameters.iter().copied());
        request = request.header("X-ClickHouse-User", &self.user).header("X-ClickHouse-Key", &self.password);
        request.send(body).map_err(|e| {
            Error::new(Code::NETWORK_ERROR, format!("{} does not answer: {e}", self.base))
                .hint("--host and --port of a running server")
        })
    }

    /// A statement beside the running one, outside of the session.
    fn aside(&self, query: &str) -> Result<String> {
        let mut response =
            self.post(&[], ureq::SendBody::from_owned_reader(std::io::Cursor::new(query.as_bytes().to_vec())))?;
        response.body_mut().read_to_string().map_err(|e| Error::new(Code::NETWORK_ERROR, e.to_string()))
    }

    /// While a statement runs: passes Ctrl-C on to the server, and asks how far it is.
    fn watch(&self, query_id: &str, started: Instant, done: &AtomicBool, on_status: Option<&(dyn Fn(Status) + Sync)>) {
        let mut asked = Instant::now();
        let mut killed = false;
        while !done.load(Ordering::SeqCst) {
            std::thread::sleep(LOOK_EVERY);
            if interrupt::is_set() && !killed {
                killed = true;
                // If the kill does not get through, the user presses Ctrl-C again.
                let _ = self.aside(&format!("kill query where query_id = '{query_id}' async"));
                interrupt::clear();
            }
            if let Some(on_status) = on_status
                && asked.elapsed() >= STATUS_EVERY
            {
                asked = Instant::now();
                let query = format!(
                    "select read_rows, read_bytes, total_rows_approx from system.processes where query_id = '{query_id}' format TSV"
                );
                if let Some(status) = self.aside(&query).ok().and_then(|t| status(&t, started.elapsed()))
                    && !done.load(Ordering::SeqCst)
                {
                    on_status(status);
                }
            }
        }
    }
}

fn status(line: &str, elapsed: Duration) -> Option<Status> {
    let mut fields = line.trim().split('\t').map(|f| f.parse::<u64>());
    Some(Status {
        elapsed,
        read_rows: fields.next()?.ok()?,
        read_bytes: fields.next()?.ok()?,
        total_rows: fields.next()?.ok()?,
    })
}

impl Backend for HttpBackend {
    fn run(&mut self, request: Request<'_>, out: &mut dyn Write) -> Result<Summary> {
        interrupt::clear();
        self.queries += 1;
        let query_id = format!("{}-{}", self.session, self.queries);
        let started = Instant::now();
        let done = AtomicBool::new(false);
        let this = &*self;
        let outcome = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| this.watch(&query_id, started, &done, request.on_status));
            let outcome = this.exchange(&query_id, request.text, request.data, request.default_format, out);
            done.store(true, Ordering::SeqCst);
            // The watcher has nothing that could panic; if it does, the answer is complete all the same.
            let _ = watcher.join();
            outcome
        });
        let (rows, read_rows) = outcome?;
        if !self.database.is_empty() {
            // The session has it from the first statement on; a USE since then must stay.
            self.database.clear();
        }
        Ok(Summary { elapsed: started.elapsed(), rows, read_rows })
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        self.settings.retain(|(n, _)| n != name);
        self.settings.push((name.to_string(), value.to_string()));
        Ok(())
    }

    fn greeting(&mut self) -> Result<String> {
        let version = self.aside("select version()")?;
        Ok(format!("Connected to hydron {} at {}.", version.trim(), self.base))
    }
}

impl HttpBackend {
    fn exchange(
        &self,
        query_id: &str,
        text: &str,
        data: Option<Box<dyn Read + Send>>,
        format: &str,
        out: &mut dyn Write,
    ) -> Result<(Option<u64>, u64)> {
        let mut parameters: Vec<(&str, &str)> = vec![
            ("query_id", query_id),
            ("session_id", &self.session),
            ("default_format", format),
            // A person at a terminal expects a stream to go on.
            ("query_mode", "streaming"),
        ];
        if !self.database.is_empty() {
            parameters.push(("database", &self.database));
        }
        parameters.extend(self.settings.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        let response = match data {
            Some(data) => {
                parameters.push(("query", text));
                self.post(&parameters, ureq::SendBody::from_owned_reader(data))?
            }
            None => {
                let body = std::io::Cursor::new(text.as_bytes().to_vec());
                self.post(&parameters, ureq::SendBody::from_owned_reader(body))?
            }
        };
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_string);
        let code = header("X-ClickHouse-Exception-Code").and_then(|c| c.parse::<u16>().ok());
        let summary = header("X-ClickHouse-Summary").unwrap_or_default();
        let ok = response.status().as_u16() == 200;
        let mut body = response.into_body().into_reader();
        if !ok {
            let mut text = String::new();
            let _ = body.read_to_string(&mut text);
            return Err(server_error(code, text.trim()));
        }
        let tail = copy(&mut body, out)?;
        // An error after the first byte stands at the end of the answer.
        if let Some(at) = tail.rfind("Code: ").filter(|at| tail[*at..].contains(". DB::Exception: ")) {
            let number = tail[at + 6..].split('.').next().and_then(|n| n.parse().ok());
            return Err(server_error(number, tail[at..].trim()));
        }
        let figure = |name: &str| {
            let value: serde_json::Value = serde_json::from_str(&summary).unwrap_or_default();
            value.get(name).and_then(|v| v.as_str()?.parse::<u64>().ok())
        };
        Ok((figure("result_rows"), figure("read_rows").unwrap_or(0)))
    }
}

/// An error as the server told it; its text keeps code and name.
fn server_error(code: Option<u16>, text: &str) -> Error {
    let code = code.and_then(Code::from_number).unwrap_or(Code::RECEIVED_ERROR_FROM_REMOTE_IO_SERVER);
    let message = text.strip_prefix(&format!("Code: {}. DB::Exception: ", code.number())).unwrap_or(text);
    let message = message.strip_suffix(&format!(". ({})", code.name())).unwrap_or(message);
    Error::new(code, message)
}

/// Copies the answer piece by piece and returns its last bytes as text.
fn copy(body: &mut impl Read, out: &mut dyn Write) -> Result<String> {
    const TAIL_BYTES: usize = 4 << 10;
    let mut tail = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let n = match body.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::new(Code::NETWORK_ERROR, format!("the connection was lost: {e}"))),
        };
        let written = out.write_all(&chunk[..n]).and_then(|()| out.flush());
        written
            .map_err(|e| Error::new(Code::CANNOT_WRITE_TO_FILE_DESCRIPTOR, format!("cannot write the answer: {e}")))?;
        tail.extend_from_slice(&chunk[..n]);
        let excess = tail.len().saturating_sub(TAIL_BYTES);
        tail.drain(..excess);
    }
    Ok(String::from_utf8_lossy(&tail).into_owned())
}
