//! One client from its hello to its last packet.
//!
//! In: packets. Out: answers. Promise: one query at a time; an error of a query leaves the connection usable, an error of
//! the protocol is told and ends it; nothing is waited for without a deadline.

use super::decoder::{ClientDecoder, ClientPacket};
use super::login::SavedLogin;
use super::packet::{Exception, ServerHello, TableName, server, write_tables_status};
use super::revision::{REVISION, REVISION_MIN, VERSION};
use crate::tcp::{ClientSocket, TcpOptions};
use futures::FutureExt;
use hydron_base::{Code, Error, Result};
use hydron_board::connection::{LAST, SESSION_BYTES_MAX};
use hydron_engine::{Engine, Presence, Session};
use hydron_format::native::push_varint;
use hydron_types::TypeNames;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The name that Proton's servers give themselves; drivers look for it.
const SERVER_NAME: &str = "proton";

const WRONG_PORT: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\ncontent-type: text/plain; charset=UTF-8\r\nconnection: close\r\n\r\n\
    This port speaks the native protocol. HTTP has another one, 8123 by default.\n";

/// What all connections of one port share.
pub(super) struct App {
    pub engine: Engine,
    pub options: TcpOptions,
    pub connections: AtomicU64,
}

pub(super) struct Connection {
    pub app: Arc<App>,
    pub socket: ClientSocket,
    pub decoder: ClientDecoder,
    pub from: SocketAddr,
    pub session: Session,
    /// By which a quota may be counted; a query may name another one.
    pub quota_key: String,
    /// Blocks of an INSERT that has failed may still be on their way; they are passed over.
    pub skips_data: bool,
}

/// Why a connection goes on or does not.
pub(super) enum After {
    Next,
    Close,
}

impl Connection {
    pub(super) fn new(app: Arc<App>, socket: ClientSocket, from: SocketAddr) -> Connection {
        app.connections.fetch_add(1, Ordering::Relaxed);
        let session = app.engine.session("", "");
        Connection {
            app,
            socket,
            decoder: ClientDecoder::default(),
            from,
            session,
            quota_key: String::new(),
            skips_data: false,
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
            Ok(true) => {}
            Ok(false) => return self.socket.close().await,
            Err(e) => return self.say_and_close(&e).await,
        }
        self.serve(stop).await;
    }

    /// Goes on where a worker that is dead has stopped. `None`: what it knew of the client is not known any more.
    pub(super) fn resume(app: Arc<App>, socket: ClientSocket, from: SocketAddr) -> Option<Connection> {
        let mut saved = SavedLogin::read(&socket.place()?.session.bytes())?;
        saved.session.profile = app.options.users.again(&saved.session.user)?.settings;
        let mut connection = Connection::new(app, socket, from);
        connection.decoder = ClientDecoder::resumed(saved.revision, saved.waits_for_addendum);
        connection.session = saved.session;
        Some(connection)
    }

    /// Serves a client that has logged in.
    pub(super) async fn serve(mut self, stop: CancellationToken) {
        let mut presence = Presence::of(&self.app.engine, &self.session);
        loop {
            let packet = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                gone = presence.over() => return self.say_and_close(&gone).await,
                packet = self.idle_packet() => packet,
            };
            let after = match packet {
                Ok(None) => break,
                Ok(Some(ClientPacket::Query(query))) => {
                    // The whole of a query runs on the computing threads, its encoding too.
                    let cpu = self.app.engine.inner().cpu.handle().clone();
                    let (connection, after) = match cpu.spawn(Box::pin(self.query_guarded(query))).await {
                        Ok(ran) => ran,
                        // The computing threads are gone, and the connection with them.
                        Err(_) => return,
                    };
                    self = connection;
                    after
                }
                Ok(Some(packet)) => self.answer(packet).await,
                Err(e) => Err(e),
            };
            match after {
                Ok(After::Next) => {}
                Ok(After::Close) => break,
                Err(e) => return self.say_and_close(&e).await,
            }
        }
        self.socket.close().await;
    }

    /// Hello, and what belongs to it. False: the client has gone, or has heard all that there is to say.
    async fn log_in(&mut self) -> Result<bool> {
        let hello = loop {
            if self.decoder.is_http() {
                self.socket.send(WRONG_PORT).await?;
                return Ok(false);
            }
            match self.decoder.next_packet()? {
                Some(ClientPacket::Hello(hello)) => break hello,
                Some(_) => return Err(unexpected("a login")),
                None if !self.socket.receive(&mut self.decoder.buffer).await? => return Ok(false),
                None => {}
            }
        };
        if hello.revision < REVISION_MIN {
            let text = format!("the client speaks revision {}, the least is {REVISION_MIN}", hello.revision);
            return Err(Error::not_implemented(text));
        }
        let user = if hello.user.is_empty() { "default" } else { &hello.user };
        let admitted = self.app.options.users.admit(user, &hello.password, self.from.ip()).await?;
        self.session = admitted.session(&self.app.engine, &hello.database);
        self.app.engine.inner().catalog.snapshot().database(&self.session.database)?;
        if hello.type_names() == TypeNames::ClickHouse {
            self.session.settings.set("type_names", "clickhouse")?;
        }
        tracing::debug!("{user} has connected from {} with {} (revision {})", self.from, hello.name, hello.revision);
        let engine = &self.app.engine;
        let zone = match engine.inner().profile.text("session_timezone") {
            "" => "UTC".to_string(),
            zone => zone.to_string(),
        };
        let answer = ServerHello {
            name: SERVER_NAME.to_string(),
            version: VERSION,
            revision: REVISION,
            zone,
            display_name: engine.options().display_name.clone(),
        };
        let mut frame = Vec::new();
        answer.write(hello.revision, &mut frame);
        self.socket.send(&frame).await?;
        self.decoder.trust();
        Ok(true)
    }

    /// Nothing of a next packet has come: whoever goes on with the connection finds here what it needs.
    fn rest(&mut self) {
        let Some(place) = self.socket.place() else { return };
        let saved = SavedLogin {
            revision: self.decoder.revision(),
            waits_for_addendum: self.decoder.waits_for_addendum(),
            session: self.session.clone(),
        };
        let bytes = saved.write();
        match bytes.len() <= SESSION_BYTES_MAX && !self.skips_data && self.session.temporary.is_empty() {
            true => place.session.set_bytes(&bytes),
            // Never a fresh session under the name of an old one: it ends with this process.
            false => place.set(LAST),
        }
        place.end_request();
    }

    /// The next packet of a connection that waits; `None` when the client has gone or waits for too long.
    async fn idle_packet(&mut self) -> Result<Option<ClientPacket>> {
        self.decoder.rest();
        loop {
            if let Some(packet) = self.decoder.next_packet()? {
                return Ok(Some(packet));
            }
            if !self.decoder.is_inside_packet() {
                self.rest();
            }
            let patience = match self.decoder.is_inside_packet() {
                true => self.app.options.receive_patience,
                false => self.app.options.idle_patience,
            };
            match tokio::time::timeout(patience, self.socket.receive(&mut self.decoder.buffer)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return Ok(None),
                Ok(Err(e)) => return Err(e),
                Err(_) if self.decoder.is_inside_packet() => return Err(paused(patience)),
                Err(_) => return Ok(None),
            }
        }
    }

    /// The next packet while a query waits for the client; `None` when it has gone. Dropping this loses nothing.
    pub(super) async fn packet(&mut self) -> Result<Option<ClientPacket>> {
        loop {
            if let Some(packet) = self.decoder.next_packet()? {
                return Ok(Some(packet));
            }
            if !self.socket.receive(&mut self.decoder.buffer).await? {
                return Ok(None);
            }
        }
    }

    /// Packets that are no query.
    async fn answer(&mut self, packet: ClientPacket) -> Result<After> {
        match packet {
            ClientPacket::Ping => {
                let mut frame = Vec::new();
                push_varint(server::PONG, &mut frame);
                self.socket.send(&frame).await?;
            }
            ClientPacket::TablesStatus(tables) => {
                let mut frame = Vec::new();
                write_tables_status(&self.existing(tables), &mut frame);
                self.socket.send(&frame).await?;
            }
            // A cancel may cross the end of its query.
            ClientPacket::Addendum(key) => self.quota_key = key,
            ClientPacket::KeepAlive | ClientPacket::Cancel => {}
            ClientPacket::Data { .. } | ClientPacket::Scalar { .. } if self.skips_data => {}
            ClientPacket::Data { .. } => return Err(unexpected("rows without an INSERT")),
            ClientPacket::Scalar { .. } => return Err(unexpected("a scalar without a query")),
            ClientPacket::Hello(_) | ClientPacket::Query(_) => return Err(unexpected("a second login")),
        }
        Ok(After::Next)
    }

    fn existing(&self, tables: Vec<TableName>) -> Vec<TableName> {
        let catalog = self.app.engine.inner().catalog.snapshot();
        let access = self.app.engine.enabled(&self.session);
        let exists = |(database, table): &TableName| {
            let database = if database.is_empty() { &*self.session.database } else { database };
            let on = hydron_access::Object::stream(database, table);
            catalog.existing(database, table).is_ok()
                && access.rights.may_see(hydron_access::Privilege::SHOW_TABLES, &on)
        };
        tables.into_iter().filter(exists).collect()
    }

    /// Runs a query; a panic in it is an error of that query.
    async fn query_guarded(mut self, query: Box<super::query::Query>) -> (Connection, Result<After>) {
        self.socket.set_executing(true);
        let ran = AssertUnwindSafe(self.query(*query)).catch_unwind().await;
        let after = match ran {
            Ok(after) => after,
            Err(_) => self.fail(&Error::bug("the query panicked while its answer was written")).await,
        };
        self.socket.set_executing(false);
        (self, after)
    }

    /// Tells the client that its query has failed.
    pub(super) async fn fail(&mut self, error: &Error) -> Result<After> {
        self.skips_data = true;
        let mut frame = Vec::new();
        Exception::of(error).write(&mut frame);
        self.socket.send(&frame).await?;
        Ok(After::Next)
    }

    /// The last word of a connection that cannot go on.
    async fn say_and_close(mut self, error: &Error) {
        tracing::debug!("the connection from {} ends: {error}", self.from);
        let gone = matches!(error.code, Code::NETWORK_ERROR);
        if !gone && self.fail(error).await.is_err() {
            return;
        }
        self.socket.close().await;
    }
}

pub(super) fn unexpected(what: &str) -> Error {
    Error::new(Code::UNEXPECTED_PACKET_FROM_CLIENT, format!("{what} is not expected here"))
}

pub(super) fn paused(patience: Duration) -> Error {
    Error::new(Code::SOCKET_TIMEOUT, format!("the client sent nothing for {patience:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_bytes<A, B, F: Future>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_waiting_connection_is_small() {
        // 10,000 of them in 200 MiB: 20 KiB each, of which the board takes four in two processes.
        let bytes = future_bytes(Connection::run) + size_of::<Connection>();
        assert!(bytes <= 8 << 10, "{bytes} bytes: {} of them the connection itself", size_of::<Connection>());
    }
}
