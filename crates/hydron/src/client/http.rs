//! Statements over a server's HTTP port.
//!
//! In: a statement, perhaps with data. Out: the answer's bytes as they arrive. Promise: SET and USE last (one HTTP session
//! for the client's life, opened anew with a warning when the server has forgotten it); an error keeps the server's code;
//! Ctrl-C kills the statement on the server.

use super::args::{ClientArgs, address};
use super::backend::{Backend, Request, Status, Summary};
use super::{https, interrupt, tls};
use hydron_base::{Code, Error, Result};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often a watcher looks for Ctrl-C, and how often it asks for the status.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const STATUS_EVERY: Duration = Duration::from_millis(300);

/// How long a question beside the running statement may take.
const ASIDE_PATIENCE: Duration = Duration::from_secs(5);

/// Seconds that the server keeps an idle session, as a request parameter.
const SESSION_SECONDS: &str = "3600";

pub struct HttpBackend {
    agent: ureq::Agent,
    base: String,
    user: String,
    password: String,
    session: String,
    database: String,
    /// What the session starts with; a SET in it overrides them.
    settings: Vec<(String, String)>,
    is_open: bool,
    queries: u64,
}

impl HttpBackend {
    /// Errors: those of [`super::tls::TlsArgs::config`].
    pub fn new(args: &ClientArgs) -> Result<HttpBackend> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .build();
        let config_tls = args.target.tls.config()?;
        let scheme = if config_tls.is_some() { "https" } else { "http" };
        let random = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
        Ok(HttpBackend {
            agent: match config_tls {
                Some(tls) => https::agent(config, tls),
                None => config.into(),
            },
            base: format!("{scheme}://{}/", address(&args.target.host, args.target.http_port())),
            user: args.target.user.clone(),
            password: args.target.password.clone(),
            session: format!("client-{}-{random:x}", std::process::id()),
            database: args.common.database.clone(),
            // Who talks to a streaming database expects a stream to go on.
            settings: vec![("query_mode".to_string(), "streaming".to_string())],
            is_open: false,
            queries: 0,
        })
    }

    fn post(
        &self,
        parameters: &[(&str, &str)],
        body: ureq::SendBody<'_>,
        patience: Option<Duration>,
    ) -> Result<ureq::http::Response<ureq::Body>> {
        let mut request = self.agent.post(&self.base).query_pairs(parameters.iter().copied());
        request = request.header("X-ClickHouse-User", &self.user).header("X-ClickHouse-Key", &self.password);
        request.config().timeout_global(patience).build().send(body).map_err(|e| match e {
            ureq::Error::Io(e) if e.get_ref().is_some_and(|e| e.is::<rustls::Error>()) => {
                tls::no_handshake(&self.base, &e)
            }
            e => Error::new(Code::NETWORK_ERROR, format!("{} does not answer: {e}", self.base))
                .hint("--host and --port of a running server"),
        })
    }

    /// A short statement of the client's own, outside of the session and the query log.
    fn aside(&self, query: &str) -> Result<String> {
        self.short(&[("log_queries", "0")], query)
    }

    fn short(&self, parameters: &[(&str, &str)], query: &str) -> Result<String> {
        let mut response = self.post(parameters, text_body(query), Some(ASIDE_PATIENCE))?;
        let ok = response.status().as_u16() == 200;
        let code = header(&response, "X-ClickHouse-Exception-Code").and_then(|c| c.parse::<u16>().ok());
        let body = response.body_mut().read_to_string().map_err(|e| Error::new(Code::NETWORK_ERROR, e.to_string()))?;
        if ok { Ok(body) } else { Err(server_error(code, body.trim())) }
    }

    /// Begins the session with the client's database and settings.
    fn open(&mut self) -> Result<()> {
        let value = |v: &str| v.replace('\\', "\\\\").replace('\'', "\\'");
        let list: Vec<String> = self.settings.iter().map(|(n, v)| format!("{n} = '{}'", value(v))).collect();
        let mut parameters = vec![("session_id", self.session.as_str()), ("session_timeout", SESSION_SECONDS)];
        if !self.database.is_empty() {
            parameters.push(("database", &self.database));
        }
        self.short(&parameters, &format!("SET {}", list.join(", ")))?;
        self.is_open = true;
        Ok(())
    }

    /// While a statement runs: passes Ctrl-C on to the server, and asks how far it is. Unpark its thread at the end.
    fn watch(&self, query_id: &str, started: Instant, done: &AtomicBool, on_status: Option<&(dyn Fn(Status) + Sync)>) {
        let mut asked = Instant::now();
        while !done.load(Ordering::SeqCst) {
            std::thread::park_timeout(LOOK_EVERY);
            if interrupt::is_set() {
                interrupt::clear();
                // If the kill does not get through, the user presses Ctrl-C again.
                let _ = self.aside(&format!("kill query where query_id = '{query_id}' async"));
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

    /// Final counts of a statement that has ended: result rows, read rows.
    fn counts(&self, query_id: &str) -> Option<(u64, u64)> {
        let query =
            format!("select result_rows, read_rows from system.query_log where query_id = '{query_id}' format TSV");
        let text = self.aside(&query).ok()?;
        let (rows, read) = text.trim().split_once('\t')?;
        Some((rows.parse().ok()?, read.parse().ok()?))
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
        if !self.is_open {
            self.open()?;
        }
        self.queries += 1;
        let query_id = format!("{}-{}", self.session, self.queries);
        let started = Instant::now();
        let can_repeat = request.data.is_none();
        let Request { text, data, default_format, on_status } = request;
        let mut outcome = self
            .watched(&query_id, started, on_status, |this| this.exchange(&query_id, text, data, default_format, out));
        if outcome.as_ref().is_err_and(|e| e.code == Code::SESSION_NOT_FOUND) && can_repeat {
            eprintln!("The server has forgotten the session: what SET and USE changed is as it was at the start.");
            self.open()?;
            outcome = self.watched(&query_id, started, on_status, |this| {
                this.exchange(&query_id, text, None, default_format, out)
            });
        }
        outcome?;
        let elapsed = started.elapsed();
        // Only a person reads the counts.
        let counts = on_status.and_then(|_| self.counts(&query_id));
        Ok(Summary { elapsed, rows: counts.map(|c| c.0), read_rows: counts.map_or(0, |c| c.1) })
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
    fn watched<T>(
        &self,
        query_id: &str,
        started: Instant,
        on_status: Option<&(dyn Fn(Status) + Sync)>,
        work: impl FnOnce(&HttpBackend) -> T,
    ) -> T {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| self.watch(query_id, started, &done, on_status));
            let outcome = work(self);
            done.store(true, Ordering::SeqCst);
            watcher.thread().unpark();
            // The watcher has nothing that could panic; if it does, the answer is complete all the same.
            let _ = watcher.join();
            outcome
        })
    }

    fn exchange(
        &self,
        query_id: &str,
        text: &str,
        data: Option<Box<dyn Read + Send>>,
        format: &str,
        out: &mut dyn Write,
    ) -> Result<()> {
        let mut parameters: Vec<(&str, &str)> = vec![
            ("query_id", query_id),
            ("session_id", &self.session),
            ("session_timeout", SESSION_SECONDS),
            ("session_check", "1"),
            ("default_format", format),
        ];
        let response = match data {
            Some(data) => {
                parameters.push(("query", text));
                self.post(&parameters, ureq::SendBody::from_owned_reader(data), None)?
            }
            None => self.post(&parameters, text_body(text), None)?,
        };
        let code = header(&response, "X-ClickHouse-Exception-Code").and_then(|c| c.parse::<u16>().ok());
        let ok = response.status().as_u16() == 200;
        let mut body = response.into_body().into_reader();
        if !ok {
            let mut text = String::new();
            let _ = body.read_to_string(&mut text);
            return Err(server_error(code, text.trim()));
        }
        let Copied { held, names_error } = copy(&mut body, out)?;
        if !names_error {
            return Ok(());
        }
        // An error after the first byte stands at the end of the answer; the same text may be the answer itself.
        match self.failure(query_id) {
            Ok(Some(error)) => Err(error),
            Ok(None) => write(out, &held),
            // Nobody knows any more: what looks like an error is one.
            Err(_) => {
                let text = String::from_utf8_lossy(&held);
                let number = text.trim_start_matches("Code: ").split('.').next().and_then(|n| n.parse().ok());
                Err(server_error(number, text.trim()))
            }
        }
    }

    /// The error of a statement that has ended. Errors: the server does not answer, or does not keep a query log.
    fn failure(&self, query_id: &str) -> Result<Option<Error>> {
        let query = format!(
            "select exception_code, exception from system.query_log where query_id = '{query_id}' format TSVRaw"
        );
        let text = self.aside(&query)?;
        let (code, message) = text
            .trim_end_matches('\n')
            .split_once('\t')
            .ok_or_else(|| Error::new(Code::NETWORK_ERROR, "the server does not know the statement"))?;
        let failed = code != "0";
        Ok(failed.then(|| server_error(code.parse().ok(), message)))
    }
}

fn text_body(text: &str) -> ureq::SendBody<'static> {
    ureq::SendBody::from_owned_reader(std::io::Cursor::new(text.as_bytes().to_vec()))
}

fn header(response: &ureq::http::Response<ureq::Body>, name: &str) -> Option<String> {
    response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_string)
}

/// An error as the server told it; its text keeps code and name.
fn server_error(code: Option<u16>, text: &str) -> Error {
    let code = code.and_then(Code::from_number).unwrap_or(Code::RECEIVED_ERROR_FROM_REMOTE_IO_SERVER);
    let message = text.strip_prefix(&format!("Code: {}. DB::Exception: ", code.number())).unwrap_or(text);
    let message = message.strip_suffix(&format!(". ({})", code.name())).unwrap_or(message);
    Error::new(code, message)
}

/// What was seen at the end of an answer.
struct Copied {
    /// A last line that reads as an error, and was not written.
    held: Vec<u8>,
    /// There is an error in the last bytes, in whatever form the format gives it.
    names_error: bool,
}

/// Copies the answer piece by piece.
fn copy(body: &mut impl Read, out: &mut dyn Write) -> Result<Copied> {
    const TAIL_BYTES: usize = 4 << 10;
    const MARK: &[u8] = b". DB::Exception: ";
    let mut chunk = vec![0; 64 << 10];
    let (mut held, mut tail) = (Vec::new(), Vec::new());
    let mut at_line_start = true;
    loop {
        let n = match body.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::new(Code::NETWORK_ERROR, format!("the connection was lost: {e}"))),
        };
        tail.extend_from_slice(&chunk[..n]);
        tail.drain(..tail.len().saturating_sub(TAIL_BYTES));
        held.extend_from_slice(&chunk[..n]);
        let safe = error_start(&held, at_line_start).unwrap_or(held.len());
        if safe > 0 {
            at_line_start = held[safe - 1] == b'\n';
            write(out, &held[..safe])?;
            held.drain(..safe);
        }
    }
    let names_error = !held.is_empty() || tail.windows(MARK.len()).any(|w| w == MARK);
    Ok(Copied { held, names_error })
}

/// Where a last line begins that reads as an error: `Code: 394. DB::Exception: …`.
fn error_start(bytes: &[u8], at_line_start: bool) -> Option<usize> {
    const ERROR_BYTES_MAX: usize = 64 << 10;
    let from = bytes.len().saturating_sub(ERROR_BYTES_MAX);
    let text = &bytes[from..];
    let begins = |at: usize| {
        let is_start = if at == 0 { from == 0 && at_line_start } else { text[at - 1] == b'\n' };
        let Some(rest) = text[at..].strip_prefix(b"Code: ").filter(|_| is_start) else { return false };
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        digits > 0 && rest[digits..].starts_with(b". DB::Exception: ")
    };
    (0..text.len()).rev().find(|at| text[*at] == b'C' && begins(*at)).map(|at| from + at)
}

fn write(out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|e| Error::new(Code::CANNOT_WRITE_TO_FILE_DESCRIPTOR, format!("cannot write the answer: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_at_the_end_is_held_back() {
        let copied = |text: &str| {
            let mut out = Vec::new();
            let copied = copy(&mut text.as_bytes(), &mut out).unwrap();
            (String::from_utf8(out).unwrap(), String::from_utf8(copied.held).unwrap(), copied.names_error)
        };
        let (none, error) = (String::new(), "Code: 394. DB::Exception: query was cancelled. (QUERY_WAS_CANCELLED)\n");
        assert_eq!(copied("1\n2\n"), ("1\n2\n".to_string(), none.clone(), false));
        assert_eq!(copied(&format!("1\n{error}")), ("1\n".to_string(), error.to_string(), true));
        assert_eq!(copied(error), (none.clone(), error.to_string(), true));
        assert_eq!(copied(&format!("\"{error}")), (format!("\"{error}"), none, true));
    }
}
