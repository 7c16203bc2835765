//! One client from its first byte to its last message.
//!
//! In: messages. Out: answers. Promise: one statement at a time; an error of a statement leaves the connection usable, an error of
//! the protocol is told and ends it; nothing is waited for without a deadline. A connection that waits goes on in the next
//! worker after a fault, with its settings and prepared statements; one with an open cursor is told that it ends.

use super::cancel::{KeyGuard, Keys};
use super::login::SavedLogin;
use super::message::{self, Message, Opening};
use super::phrase::SERVER_VERSION;
use super::prepared::Names;
use super::reply::{self, Severity, Transaction};
use crate::tcp::{ClientSocket, TcpOptions};
use bytes::BytesMut;
use futures::FutureExt;
use hydron_base::{Code, Error, Result};
use hydron_board::connection::{LAST, SESSION_BYTES_MAX};
use hydron_engine::{Engine, Presence, Session};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What all connections of one port share.
pub(super) struct App {
    pub engine: Engine,
    pub options: TcpOptions,
    pub keys: Arc<Keys>,
}

pub(super) struct Connection {
    pub app: Arc<App>,
    pub socket: ClientSocket,
    pub buffer: BytesMut,
    pub from: SocketAddr,
    pub session: Session,
    pub key: Option<KeyGuard>,
    /// Settings that only mean something to the client.
    pub own: BTreeMap<String, String>,
    pub names: Names,
    pub transaction: Transaction,
    /// Something was changed since BEGIN, which ROLLBACK does not undo.
    pub has_changed: bool,
    /// After an error everything up to the next `Sync` is passed over.
    pub is_skipping: bool,
    /// Messages that are not sent yet.
    pub out: Vec<u8>,
    /// The client has heard that it may ask, and has not asked.
    pub is_ready: bool,
}

impl Connection {
    pub(super) fn new(app: Arc<App>, socket: ClientSocket, from: SocketAddr) -> Connection {
        let session = app.engine.session("", "");
        Connection {
            app,
            socket,
            buffer: BytesMut::new(),
            from,
            session,
            key: None,
            own: BTreeMap::new(),
            names: Names::default(),
            transaction: Transaction::Idle,
            has_changed: false,
            is_skipping: false,
            out: Vec::new(),
            is_ready: false,
        }
    }

    /// Serves the client until it goes, the protocol is broken, or `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let patience = self.app.options.handshake_patience;
        let login = match tokio::time::timeout(patience, self.log_in()).await {
            Ok(login) => login,
            Err(_) => Err(Error::new(Code::SOCKET_TIMEOUT, format!("no login within {patience:?}"))),
        };
        match login {
            Ok(true) => self.serve(stop).await,
            Ok(false) => self.socket.close().await,
            Err(e) => self.say_and_close(&e).await,
        }
    }

    /// Goes on where a worker that is dead has stopped. `None`: what it knew of the client is not known any more.
    pub(super) fn resume(app: Arc<App>, socket: ClientSocket, from: SocketAddr) -> Option<Connection> {
        let mut saved = SavedLogin::read(&socket.place()?.session.bytes())?;
        saved.session.profile = app.options.users.again(&saved.session.user)?.settings;
        let key = app.keys.again(saved.key)?;
        let mut connection = Connection::new(app, socket, from);
        connection.session = saved.session;
        connection.key = Some(key);
        connection.own = saved.own;
        connection.names.statements = saved.prepared.into_iter().collect();
        connection.is_ready = true;
        Some(connection)
    }

    /// Serves a client that has logged in.
    pub(super) async fn serve(mut self, stop: CancellationToken) {
        let mut presence = Presence::of(&self.app.engine, &self.session);
        loop {
            let message = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    let stopping = Error::new(Code::SERVER_STOPPING, "the server stops");
                    return self.say_and_close(&stopping).await;
                }
                gone = presence.over() => return self.say_and_close(&gone).await,
                message = self.next_message() => message,
            };
            let outcome = match message {
                Ok(None | Some(Message::Terminate)) => break,
                Ok(Some(message)) => {
                    self.is_ready = false;
                    // The whole of a statement runs on the computing threads, the encoding of its rows too.
                    let cpu = self.app.engine.inner().cpu.handle().clone();
                    match cpu.spawn(Box::pin(self.take_guarded(message))).await {
                        Ok((connection, outcome)) => {
                            self = connection;
                            outcome
                        }
                        // The computing threads are gone, and the connection with them.
                        Err(_) => return,
                    }
                }
                Err(e) => Err(e),
            };
            if let Err(e) = outcome {
                return self.say_and_close(&e).await;
            }
        }
        self.socket.close().await;
    }

    /// Takes a message; a panic in it is an error of that message.
    async fn take_guarded(mut self, message: Message) -> (Connection, Result<()>) {
        self.socket.set_executing(true);
        let taken = AssertUnwindSafe(self.take(message)).catch_unwind().await;
        let outcome = match taken {
            Ok(outcome) => outcome,
            Err(_) => {
                // A portal whose rows panicked is not asked again.
                self.names.portals.clear();
                Err(Error::bug("the statement panicked while it was answered"))
            }
        };
        if let Some(key) = &self.key {
            key.set_running(None);
        }
        self.socket.set_executing(false);
        (self, outcome)
    }

    /// First message, password, and what the client must know. False: the client has gone, or has heard all that there is to say.
    async fn log_in(&mut self) -> Result<bool> {
        let parameters = loop {
            match message::opening(&mut self.buffer)? {
                // TLS has a port of its own, whose door answers this.
                Some(Opening::Tls | Opening::Gss) => self.socket.send(b"N").await?,
                Some(Opening::Cancel { process, secret }) => {
                    self.app.keys.cancel(process, &secret);
                    return Ok(false);
                }
                Some(Opening::Startup { minor, parameters }) => {
                    let unknown: Vec<&str> =
                        parameters.iter().map(|(n, _)| n.as_str()).filter(|n| n.starts_with("_pq_.")).collect();
                    if minor > 0 || !unknown.is_empty() {
                        reply::negotiate(&unknown, &mut self.out);
                    }
                    break parameters;
                }
                None if !self.socket.receive(&mut self.buffer).await? => return Ok(false),
                None => {}
            }
        };
        let parameter = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let user = parameter("user").filter(|u| !u.is_empty()).unwrap_or("default").to_string();
        let users = Arc::clone(&self.app.options.users);
        // Who has no password is not asked for one.
        let admitted = match users.check(&user, "", self.from.ip()) {
            Ok(admitted) => admitted,
            Err(_) => {
                reply::ask_password(&mut self.out);
                self.flush().await?;
                match self.password().await? {
                    Some(password) => users.admit(&user, &password, self.from.ip()).await?,
                    None => return Ok(false),
                }
            }
        };
        let catalog = self.app.engine.inner().catalog.snapshot();
        // A client that is told no database asks for the one of its user's name.
        let database = match parameter("database") {
            Some(name) if name != user || catalog.database(name).is_ok() => name,
            _ => "",
        };
        self.session = admitted.session(&self.app.engine, database);
        catalog.database(&self.session.database)?;
        for (name, value) in &parameters {
            self.start_with(name, value)?;
        }
        if !self.session.settings.is_changed("query_mode") {
            self.session.settings.set("query_mode", self.app.options.query_mode)?;
        }
        reply::authentication_ok(&mut self.out);
        self.tell_parameters(&user);
        let key = self.app.keys.issue(|| uuid::Uuid::new_v4().as_u128() as u32);
        reply::cancel_key(key.key.process, key.key.secret, &mut self.out);
        self.key = Some(key);
        tracing::debug!("{user} has connected from {} to the PostgreSQL port", self.from);
        self.ready();
        self.flush().await?;
        Ok(true)
    }

    async fn password(&mut self) -> Result<Option<String>> {
        loop {
            match message::message(&mut self.buffer, false)? {
                Some(Message::Password(password)) => return Ok(Some(password)),
                Some(Message::Terminate) => return Ok(None),
                Some(_) => return Err(Error::new(Code::UNEXPECTED_PACKET_FROM_CLIENT, "a password was expected")),
                None if !self.socket.receive(&mut self.buffer).await? => return Ok(None),
                None => {}
            }
        }
    }

    /// One parameter of the first message.
    fn start_with(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "user" | "database" => Ok(()),
            name if name.starts_with("_pq_.") => Ok(()),
            "replication" if matches!(value, "" | "false" | "off" | "no" | "0") => Ok(()),
            "replication" => Err(Error::not_implemented("replication").hint("a SELECT from a stream")),
            "options" => options(value).into_iter().try_for_each(|(name, value)| self.start_with(&name, &value)),
            name => {
                let name = name.to_ascii_lowercase();
                if hydron_base::setting::definition(&name).is_some() {
                    return self.session.settings.set(&name, value);
                }
                // Some write it as it would stand in SQL.
                let value = value.trim_matches('\'');
                let text = format!("SET {name} = '{}'", value.replace('\'', "''"));
                match super::phrase::phrase(&text)? {
                    Some(super::phrase::Phrase::Set { name, value }) => self.session.settings.set(name, &value),
                    Some(super::phrase::Phrase::Keep { name, value }) => {
                        self.own.insert(name, value);
                        Ok(())
                    }
                    _ => self.session.settings.set(&name, value),
                }
            }
        }
    }

    fn tell_parameters(&mut self, user: &str) {
        let zone = match self.session.settings.text("session_timezone") {
            "" => self.app.engine.inner().profile.text("session_timezone"),
            zone => zone,
        };
        let zone = if zone.is_empty() { "UTC" } else { zone };
        let name = self.own.get("application_name").map_or("", String::as_str);
        let told = [
            ("server_version", SERVER_VERSION),
            ("server_encoding", "UTF8"),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO, YMD"),
            ("IntervalStyle", "postgres"),
            ("TimeZone", zone),
            ("integer_datetimes", "on"),
            // A backslash in a text has a meaning: whoever writes texts must double it.
            ("standard_conforming_strings", "off"),
            ("application_name", name),
            ("is_superuser", "off"),
            ("session_authorization", user),
            ("default_transaction_read_only", "off"),
            ("in_hot_standby", "off"),
        ];
        told.iter().for_each(|(name, value)| reply::parameter(name, value, &mut self.out));
    }

    /// The client may ask.
    pub(super) fn ready(&mut self) {
        reply::ready(self.transaction, &mut self.out);
        self.is_ready = true;
    }

    /// Nothing of a next message has come: whoever goes on with the connection finds here what it needs.
    fn rest(&mut self) {
        let Some(place) = self.socket.place() else { return };
        let keeps = self.names.portals.is_empty() && self.session.temporary.is_empty();
        let saved = self.key.as_ref().filter(|_| keeps).map(|key| {
            let prepared = self.names.statements.iter().map(|(name, p)| (name.clone(), p.clone())).collect();
            SavedLogin { key: key.key, session: self.session.clone(), own: self.own.clone(), prepared }.write()
        });
        match saved.filter(|bytes| bytes.len() <= SESSION_BYTES_MAX && self.transaction == Transaction::Idle) {
            Some(bytes) => place.session.set_bytes(&bytes),
            // Never a fresh session under the name of an old one: it ends with this process.
            None => place.set(LAST),
        }
        place.end_request();
    }

    /// The next message; `None` when the client has gone or waits for too long.
    pub(super) async fn next_message(&mut self) -> Result<Option<Message>> {
        loop {
            if let Some(message) = message::message(&mut self.buffer, true)? {
                return Ok(Some(message));
            }
            // Before it is waited for the client, it hears all that there is.
            self.flush().await?;
            let is_idle = self.is_ready && self.buffer.is_empty();
            if is_idle {
                self.buffer = BytesMut::new();
                self.rest();
            }
            let patience = if is_idle { self.app.options.idle_patience } else { self.app.options.receive_patience };
            match tokio::time::timeout(patience, self.socket.receive(&mut self.buffer)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return Ok(None),
                Ok(Err(e)) => return Err(e),
                Err(_) if is_idle => return Ok(None),
                Err(_) => {
                    return Err(Error::new(Code::SOCKET_TIMEOUT, format!("the client sent nothing for {patience:?}")));
                }
            }
        }
    }

    /// Sends what is to be said.
    pub(super) async fn flush(&mut self) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.socket.send(&self.out).await?;
        self.out.clear();
        // One long answer does not stay in memory as long as the connection.
        self.out.shrink_to(KEPT_BYTES);
        Ok(())
    }

    /// The last word of a connection that cannot go on.
    async fn say_and_close(mut self, error: &Error) {
        tracing::debug!("the connection from {} ends: {error}", self.from);
        if !matches!(error.code, Code::NETWORK_ERROR) {
            reply::error(Severity::Fatal, error, "", &mut self.out);
            let patience = self.app.options.send_patience.min(LAST_WORD_PATIENCE);
            if !matches!(tokio::time::timeout(patience, self.flush()).await, Ok(Ok(()))) {
                return;
            }
        }
        self.socket.close().await;
    }
}

const KEPT_BYTES: usize = 4 << 10;

const LAST_WORD_PATIENCE: Duration = Duration::from_secs(5);

/// `-c name=value` and `--name=value`, as often as they stand there; a backslash keeps a space.
fn options(text: &str) -> Vec<(String, String)> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.extend(chars.next()),
            c if c.is_whitespace() => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    let pairs = words.iter().filter_map(|w| {
        let w = w.strip_prefix("--").or_else(|| w.strip_prefix("-c")).unwrap_or(w);
        let (name, value) = w.split_once('=')?;
        Some((name.trim().replace('-', "_"), value.to_string()))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_pairs() {
        let pair = |n: &str, v: &str| (n.to_string(), v.to_string());
        assert_eq!(
            options("-c query_mode=streaming --max-threads=2 -cx=a\\ b"),
            [pair("query_mode", "streaming"), pair("max_threads", "2"), pair("x", "a b")]
        );
        assert!(options("").is_empty());
    }
}
