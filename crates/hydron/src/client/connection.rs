//! One connection to a server's native port: packets over a socket, plain or inside of TLS.
//!
//! In: where to, and as whom. Out: packets as they come. Promise: making it has a deadline; a wait ends after
//! [`LOOK_EVERY`] so that its caller can look at something else.

use super::args::{TargetArgs, address};
use super::tls;
use hydron_base::{Code, Error, Result};
use hydron_format::native::{NativeOptions, push_bytes};
use hydron_types::Batch;
use hydron_wire::clickhouse::client::{ServerDecoder, ServerPacket};
use hydron_wire::clickhouse::data::DataEncoder;
use hydron_wire::clickhouse::frame::Method;
use hydron_wire::clickhouse::packet::{ClientHello, ServerHello, client};
use hydron_wire::clickhouse::revision::{REVISION, VERSION, WITH_ADDENDUM};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// How often a waiting client looks for Ctrl-C.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A server, and who asks.
#[derive(Clone)]
pub struct Target {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub database: String,
    /// What the program calls itself.
    pub client_name: &'static str,
    pub tls: Option<Arc<ClientConfig>>,
}

impl Target {
    pub fn new(args: &TargetArgs, database: &str, client_name: &'static str) -> Result<Target> {
        Ok(Target {
            host: args.host.clone(),
            port: args.native_port(),
            user: args.user.clone(),
            password: args.password.clone(),
            database: database.to_string(),
            client_name,
            tls: args.tls.config()?,
        })
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        address(&self.host, self.port)
    }

    fn reach(&self) -> Result<TcpStream> {
        let unreachable = |e: std::io::Error| {
            Error::new(Code::NETWORK_ERROR, format!("{} does not answer: {e}", self.address()))
                .hint("--host and --port of a running server; --http for its HTTP port")
        };
        let mut last = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs().map_err(unreachable)? {
            match TcpStream::connect_timeout(&address, CONNECT_PATIENCE) {
                Ok(socket) => {
                    let prepared =
                        socket.set_nodelay(true).and_then(|()| socket.set_read_timeout(Some(CONNECT_PATIENCE)));
                    return prepared.map(|()| socket).map_err(lost);
                }
                Err(e) => last = e,
            }
        }
        Err(unreachable(last))
    }

    /// TLS over `socket`, its handshake done.
    fn shake_hands(&self, config: &Arc<ClientConfig>, mut socket: TcpStream) -> Result<Link> {
        let name = ServerName::try_from(self.host.clone()).map_err(|_| {
            Error::new(Code::BAD_ARGUMENTS, format!("'{}' is no name that a certificate could have", self.host))
        })?;
        let mut session = ClientConnection::new(Arc::clone(config), name)
            .map_err(|e| Error::new(Code::OPENSSL_ERROR, e.to_string()))?;
        while session.is_handshaking() {
            session.complete_io(&mut socket).map_err(|e| tls::no_handshake(&self.address(), &e))?;
        }
        Ok(Link::Tls(Box::new(StreamOwned::new(session, socket))))
    }
}

/// The bytes under the packets.
pub enum Link {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Link {
    fn socket(&self) -> &TcpStream {
        match self {
            Link::Plain(socket) => socket,
            Link::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Link {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Link::Plain(socket) => socket.read(bytes),
            Link::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Link::Plain(socket) => socket.write(bytes),
            Link::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Link::Plain(socket) => socket.flush(),
            Link::Tls(stream) => stream.flush(),
        }
    }
}

pub struct Connection {
    link: Link,
    pub decoder: ServerDecoder,
    pub server: ServerHello,
    /// Where received bytes come first: a buffer of its own, not one for each wait.
    chunk: Vec<u8>,
}

impl Connection {
    /// Connects and logs in.
    ///
    /// Errors: NETWORK_ERROR, SOCKET_TIMEOUT, OPENSSL_ERROR, and what the server says to the login.
    pub fn open(target: &Target) -> Result<Connection> {
        let socket = target.reach()?;
        let link = match &target.tls {
            Some(config) => target.shake_hands(config, socket)?,
            None => Link::Plain(socket),
        };
        let hello = ClientHello {
            name: target.client_name.to_string(),
            version: [VERSION[0], VERSION[1]],
            revision: REVISION,
            database: target.database.clone(),
            user: target.user.clone(),
            password: target.password.clone(),
        };
        let decoder = ServerDecoder::new(&hello);
        let mut connection = Connection { link, decoder, server: ServerHello::default(), chunk: vec![0; 64 << 10] };
        let mut bytes = Vec::new();
        hello.write(&mut bytes);
        connection.send(&bytes)?;
        match connection.wait()? {
            Some(ServerPacket::Hello(server)) => connection.server = server,
            Some(ServerPacket::Exception(e)) => return Err(e.error()),
            Some(_) => return Err(Error::new(Code::INCORRECT_DATA, "the server does not begin with its hello")),
            None => {
                let text = format!("{} does not say hello", target.address());
                return Err(Error::new(Code::SOCKET_TIMEOUT, text)
                    .hint("--http for an HTTP port, --secure for one that speaks TLS"));
            }
        }
        if connection.decoder.revision() >= WITH_ADDENDUM {
            let mut quota_key = Vec::new();
            push_bytes(b"", &mut quota_key);
            connection.send(&quota_key)?;
        }
        connection.link.socket().set_read_timeout(Some(LOOK_EVERY)).map_err(lost)?;
        Ok(connection)
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.link.write_all(bytes).and_then(|()| self.link.flush()).map_err(lost)
    }

    /// The next packet; `None` when none has come within the read timeout.
    pub fn wait(&mut self) -> Result<Option<ServerPacket>> {
        loop {
            if let Some(packet) = self.decoder.next_packet()? {
                return Ok(Some(packet));
            }
            match self.link.read(&mut self.chunk) {
                Ok(0) => return Err(Error::new(Code::NETWORK_ERROR, "the server has closed the connection")),
                Ok(n) => self.decoder.buffer.extend_from_slice(&self.chunk[..n]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
                Err(e) => return Err(lost(e)),
            }
        }
    }

    /// What has come already, without waiting for more.
    pub fn poll(&mut self) -> Result<Option<ServerPacket>> {
        self.link.socket().set_nonblocking(true).map_err(lost)?;
        let packet = self.wait();
        self.link.socket().set_nonblocking(false).map_err(lost)?;
        packet
    }

    /// Sends a block of rows; `None` is the end of them.
    pub fn send_block(&mut self, block: Option<&Batch>) -> Result<()> {
        let options = NativeOptions { revision: self.decoder.revision(), ..NativeOptions::default() };
        let mut encoder = DataEncoder::new(options, self.decoder.compressed.then_some(Method::Lz4));
        let mut bytes = Vec::new();
        encoder.write(client::DATA, block, &mut bytes)?;
        self.send(&bytes)
    }
}

fn lost(e: std::io::Error) -> Error {
    Error::new(Code::NETWORK_ERROR, format!("the connection was lost: {e}"))
}
