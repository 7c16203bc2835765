//! The door: TLS ends here, in a process of its own.
//!
//! In: the TLS ports, a certificate, the ports on loopback behind which a worker serves. Out: for each client a plain connection to
//! the worker, and the client's address in the table of callers. Promise: keys never enter the worker; a worker that dies takes no
//! TLS connection along, since what its supervisor says on the plain connection passes through here; who does not end its
//! handshake in time is closed, and so many at a time may try.

use crate::config::{Config, TlsConfig};
use crate::listeners::{Entrance, Listeners};
use crate::packet::{self, Report};
use crate::supervisor::{CALLERS_VARIABLE, ENTRANCES_VARIABLE};
use crate::worker::{CONFIG_VARIABLE, CONTROL_VARIABLE};
use hydron_base::{Code, Error, Result};
use hydron_board::Callers;
use hydron_wire::postgres;
use hydron_wire::postgres::message::{BEFORE_TLS_BYTES, BeforeTls, before_tls};
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The hidden subcommand that this process is.
pub const DOOR_COMMAND: &str = "door";

/// A client has this long for its handshake.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// Handshakes at a time; each costs a millisecond of computing, and its client may let it wait. Others wait in the port's queue.
const HANDSHAKES_MAX: usize = 256;

/// Connections at a time, of all ports together.
const CONNECTIONS_MAX: usize = 4_096;

/// What is read from one side at a time: a TLS record where much comes, and little while a connection waits.
const PIECE_BYTES_MAX: usize = 16 << 10;
const PIECE_BYTES_MIN: usize = 1 << 10;

/// A client whose answer is complete has this long to close its side.
const LINGER: Duration = Duration::from_secs(2);

/// Connecting to a port of our own takes no time, unless its queue is full.
const REACH_PATIENCE: Duration = Duration::from_secs(30);

/// A peer that died without a word is found after this long.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const UNACKNOWLEDGED_PATIENCE: Duration = Duration::from_secs(180);

// After an accept that failed (no descriptors left) the listener rests, so that it does not spin.
const ACCEPT_REST: Duration = Duration::from_millis(50);

const HOW_TO_MAKE_ONE: &str = "a certificate for a try: openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout server.key -out server.crt";

/// What TLS clients are shown. Errors: CONFIG_ERROR or CANNOT_OPEN_FILE, naming the key and how to mend it.
pub fn server_config(tls: &TlsConfig) -> Result<Arc<ServerConfig>> {
    let wrong = |text: String| Err(Error::new(Code::CONFIG_ERROR, text).hint(HOW_TO_MAKE_ONE));
    let (certificate, key) = (&tls.certificate_file, &tls.private_key_file);
    for (name, path) in [("certificate_file", certificate), ("private_key_file", key)] {
        if path.is_empty() {
            return wrong(format!("a TLS port is on, and tls.{name} is not set"));
        }
    }
    let unreadable = |name: &str, path: &str, e: rustls::pki_types::pem::Error| match e {
        rustls::pki_types::pem::Error::Io(e) => {
            Error::new(Code::CANNOT_OPEN_FILE, format!("tls.{name}: cannot read {path}: {e}")).hint(HOW_TO_MAKE_ONE)
        }
        e => Error::new(Code::CONFIG_ERROR, format!("tls.{name}: {path} is no PEM file of that kind: {e}"))
            .hint(HOW_TO_MAKE_ONE),
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(|e| unreadable("certificate_file", certificate, e))?;
    if chain.is_empty() {
        return wrong(format!("tls.certificate_file: {certificate} holds no certificate"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable("private_key_file", key, e))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::bug(e.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, secret);
    match config {
        Ok(config) => Ok(Arc::new(config)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            wrong(format!("tls.private_key_file: {key} is not the key of the certificate in {certificate}"))
        }
        Err(e) => wrong(format!("tls: {certificate} with {key} cannot be used: {e}")),
    }
}

/// Runs as the child of a supervisor: everything it needs is in the environment.
pub fn run_inherited() -> i32 {
    let _ = rustix::thread::set_name(c"door");
    let outcome = Handed::take().and_then(|handed| {
        let control = handed.control.try_clone();
        run(handed).inspect_err(|e| {
            let report = Report::Failed { code: e.code.number(), message: told(e) };
            if let Ok(control) = control {
                let _ = packet::send(&control, report.text().as_bytes());
            }
        })
    });
    i32::from(outcome.is_err())
}

/// Message and hint: the supervisor tells them as its own.
fn told(e: &Error) -> String {
    match &e.hint {
        Some(hint) => format!("{}. Try: {hint}", e.message),
        None => e.message.clone(),
    }
}

/// What a supervisor hands to its door.
struct Handed {
    config: Config,
    listeners: Listeners,
    entrances: Vec<Entrance>,
    callers: &'static Callers,
    control: OwnedFd,
}

impl Handed {
    fn take() -> Result<Handed> {
        let variable = |name: &str| {
            std::env::var(name).map_err(|_| Error::bug(format!("a door is started by a supervisor: {name} is not set")))
        };
        let fd = |name: &str| variable(name)?.parse::<RawFd>().map_err(|e| Error::bug(format!("{name}: {e}")));
        // SAFETY: the supervisor passes each descriptor once, for this process to own.
        let (callers, control) =
            unsafe { (OwnedFd::from_raw_fd(fd(CALLERS_VARIABLE)?), OwnedFd::from_raw_fd(fd(CONTROL_VARIABLE)?)) };
        Ok(Handed {
            config: serde_json::from_str(&variable(CONFIG_VARIABLE)?).map_err(|e| Error::bug(e.to_string()))?,
            listeners: Listeners::inherit(&variable(crate::listeners::LISTENERS_VARIABLE)?)?,
            entrances: Entrance::read(&variable(ENTRANCES_VARIABLE)?)?,
            callers: Callers::inherit(callers).map_err(|e| Error::bug(e.to_string()))?,
            control,
        })
    }
}

fn run(handed: Handed) -> Result<()> {
    let Handed { config, mut listeners, entrances, callers, control } = handed;
    crate::logging::start(&config);
    let door = Arc::new(Door {
        tls: Mutex::new(server_config(&config.tls)?),
        callers,
        handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
        places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
    });
    let failed = |what: &str, e: io::Error| Error::new(Code::SYSTEM_ERROR, format!("the door cannot {what}: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| failed("start its runtime", e))?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let open = TaskTracker::new();
        let mut hangup = signal(SignalKind::hangup()).map_err(|e| failed("listen to signals", e))?;
        let mut terminate = signal(SignalKind::terminate()).map_err(|e| failed("listen to signals", e))?;
        // The supervisor passes its own on; a terminal sends this one to everybody.
        let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| failed("listen to signals", e))?;
        for Entrance { name, inside } in entrances {
            let Some(listener) = listeners.take(name) else { continue };
            listener.set_nonblocking(true).map_err(|e| failed("use its ports", e))?;
            let listener = TcpListener::from_std(listener).map_err(|e| failed("use its ports", e))?;
            let asks_first = name == "postgres_secure";
            open.spawn(Arc::clone(&door).accept(listener, inside, asks_first, open.clone(), stop.clone()));
        }
        let _ = packet::send(&control, Report::Ready.text().as_bytes());
        loop {
            tokio::select! {
                _ = hangup.recv() => door.renew(&config.tls),
                _ = interrupt.recv() => {}
                _ = terminate.recv() => break,
            }
        }
        // The supervisor waits as long as it likes to, and ends this process then.
        stop.cancel();
        open.close();
        open.wait().await;
        Ok(())
    })
}

struct Door {
    tls: Mutex<Arc<ServerConfig>>,
    callers: &'static Callers,
    handshakes: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Door {
    /// Reads the certificate again; one that is not good leaves the one before.
    fn renew(&self, tls: &TlsConfig) {
        match server_config(tls) {
            Ok(config) => {
                *self.tls.lock() = config;
                tracing::info!("the certificate was read again");
            }
            Err(e) => tracing::error!("the certificate is kept as it was: {e}"),
        }
    }

    /// `asks_first`: clients speak PostgreSQL's protocol, in which they ask for TLS.
    async fn accept(
        self: Arc<Door>,
        listener: TcpListener,
        inside: SocketAddr,
        asks_first: bool,
        open: TaskTracker,
        stop: CancellationToken,
    ) {
        loop {
            let next = async {
                // The semaphore is never closed.
                let turn = Arc::clone(&self.handshakes).acquire_owned().await.ok();
                (turn, listener.accept().await)
            };
            let (turn, accepted) = tokio::select! {
                () = stop.cancelled() => return,
                next = next => next,
            };
            let (socket, from) = match accepted {
                Ok(accepted) => accepted,
                Err(e) => {
                    tracing::warn!("cannot accept a TLS connection: {e}");
                    tokio::time::sleep(ACCEPT_REST).await;
                    continue;
                }
            };
            // Who comes when all places are taken could be told only after a handshake.
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { continue };
            let door = Arc::clone(&self);
            open.spawn(async move {
                let stream = door.shake_hands(socket, from, asks_first).await;
                drop(turn);
                if let Some(stream) = stream {
                    door.pass_through(stream, from, inside).await;
                }
                drop(place);
            });
        }
    }

    async fn shake_hands(
        &self,
        mut socket: TcpStream,
        from: SocketAddr,
        asks_first: bool,
    ) -> Option<TlsStream<TcpStream>> {
        if let Err(e) = prepare(&socket) {
            tracing::debug!("cannot set options of the connection from {from}: {e}");
        }
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls.lock()));
        let handshake = async {
            if asks_first {
                hear_request(&mut socket).await?;
            }
            acceptor.accept(socket).await
        };
        match tokio::time::timeout(HANDSHAKE_PATIENCE, handshake).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(e)) => {
                tracing::debug!("no TLS handshake with {from}: {e}");
                None
            }
            Err(_) => {
                tracing::debug!("{from} did not end its TLS handshake within {HANDSHAKE_PATIENCE:?}");
                None
            }
        }
    }

    async fn pass_through(&self, mut outside: TlsStream<TcpStream>, from: SocketAddr, inside: SocketAddr) {
        let reached = tokio::time::timeout(REACH_PATIENCE, Inside::reach(self.callers, from, inside)).await;
        match reached {
            Ok(Ok(inside)) => relay(outside, inside).await,
            Ok(Err(e)) => {
                tracing::warn!("the worker's port cannot be reached: {e}");
                let _ = outside.shutdown().await;
            }
            Err(_) => tracing::warn!("the worker's port was not reached within {REACH_PATIENCE:?}"),
        }
    }
}

/// Answers a client of PostgreSQL that asks for TLS, up to where the handshake begins. Errors: it speaks without.
async fn hear_request(socket: &mut TcpStream) -> io::Result<()> {
    let mut first = [0; BEFORE_TLS_BYTES];
    loop {
        // Left in the socket: a handshake may begin without a word before it.
        let seen = socket.peek(&mut first).await?;
        if first[0] == 0x16 && seen > 0 {
            return Ok(());
        }
        socket.read_exact(&mut first).await?;
        match before_tls(first) {
            BeforeTls::Asked => return socket.write_all(b"S").await,
            BeforeTls::AskedGss => socket.write_all(b"N").await?,
            BeforeTls::Handshake | BeforeTls::Plain => {
                let error =
                    Error::new(Code::AUTHENTICATION_FAILED, "this port speaks TLS only").hint("sslmode=require");
                socket.write_all(&postgres::refusal(&error)).await?;
                socket.shutdown().await?;
                return Err(io::Error::other("it speaks without TLS"));
            }
        }
    }
}

/// A connection to the worker, known in the table of callers as long as it lives.
struct Inside {
    socket: TcpStream,
    _entry: Entry,
}

struct Entry {
    callers: &'static Callers,
    port: u16,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.callers.clear(self.port);
    }
}

impl Inside {
    async fn reach(callers: &'static Callers, from: SocketAddr, inside: SocketAddr) -> io::Result<Inside> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let port = socket.local_addr()?.port();
        // Before the worker can see the connection.
        callers.set(port, from);
        let entry = Entry { callers, port };
        let socket = socket.connect(inside).await?;
        socket.set_nodelay(true)?;
        Ok(Inside { socket, _entry: entry })
    }
}

/// Passes bytes on until both sides have ended, or one has broken.
async fn relay(outside: TlsStream<TcpStream>, mut inside: Inside) {
    let (mut from_client, mut to_client) = tokio::io::split(outside);
    let (mut from_worker, mut to_worker) = inside.socket.split();
    let up = async {
        pass(&mut from_client, &mut to_worker).await?;
        to_worker.shutdown().await
    };
    let down = async {
        pass(&mut from_worker, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::pin!(up, down);
    tokio::select! {
        // A client that is gone: dropping the worker's side tells it.
        ended = &mut up => if ended.is_ok() {
            // The worker sees the end of its client, and its own deadlines hold.
            let _ = down.await;
        },
        ended = &mut down => if ended.is_ok() {
            let _ = tokio::time::timeout(LINGER, up).await;
        },
    }
}

async fn pass(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES_MIN];
    loop {
        let n = from.read(&mut piece).await?;
        if n == 0 {
            return Ok(());
        }
        to.write_all(&piece[..n]).await?;
        // What TLS has packed and not sent would wait for the next piece.
        to.flush().await?;
        let next = next_piece(piece.len(), n);
        if next != piece.len() {
            piece = vec![0; next];
        }
    }
}

/// How much room the next read gets, after one that has used `n` of `room`.
fn next_piece(room: usize, n: usize) -> usize {
    match n {
        n if n == room => (room * 4).min(PIECE_BYTES_MAX),
        n if n < room / 4 => PIECE_BYTES_MIN,
        _ => room,
    }
}

fn prepare(socket: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    socket.set_nodelay(true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_user_timeout(socket, UNACKNOWLEDGED_PATIENCE.as_millis() as u32)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_side_gets_more_room_and_a_waiting_one_gives_it_back() {
        let rooms = [1_024, 4_096, 16_384, 16_384, 3_000, 100];
        let after: Vec<usize> = rooms
            .iter()
            .scan(PIECE_BYTES_MIN, |room, n| {
                *room = next_piece(*room, *n);
                Some(*room)
            })
            .collect();
        assert_eq!(after, [4_096, 16_384, 16_384, 16_384, 1_024, 1_024]);
    }

    fn refused(certificate: &str, key: &str) -> String {
        let tls = TlsConfig { certificate_file: certificate.to_string(), private_key_file: key.to_string() };
        server_config(&tls).unwrap_err().to_string()
    }

    #[test]
    fn a_certificate_that_cannot_be_used_is_told_with_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "nothing").unwrap();
        let empty = empty.to_str().unwrap();
        for (certificate, key, said) in [
            ("", "", "tls.certificate_file is not set"),
            ("x", "", "tls.private_key_file is not set"),
            ("/no/such.crt", "x", "tls.certificate_file: cannot read /no/such.crt"),
            (empty, "x", "holds no certificate"),
        ] {
            let text = refused(certificate, key);
            assert!(text.contains(said) && text.contains("openssl req -x509"), "{text}");
        }
    }
}
