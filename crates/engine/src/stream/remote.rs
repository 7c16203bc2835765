//! `remote('host[:port],…', db.table[, user[, password]])`: rows of other servers over their native port.
//!
//! In: addresses and what to read there. Out: columns as the first server tells them, and rows as they come, one server after
//! the other. Promise: connecting and every wait have a deadline; what a server answers with an error ends the query with it.

use hydron_base::{Code, Error, Result};
use hydron_format::native::{NativeOptions, push_bytes};
use hydron_history::{FeedBatches, RowFeed};
use hydron_native::client::{ServerDecoder, ServerPacket};
use hydron_native::data::DataEncoder;
use hydron_native::packet::{ClientHello, client};
use hydron_native::query::{Query, Setting};
use hydron_native::revision::{REVISION, VERSION, WITH_ADDENDUM};
use hydron_plan::{ColumnInfo, ScanColumn, StreamInfo, StreamKind, StreamMode};
use hydron_types::{Batch, Field, Schema, Value};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// How long a server may say nothing while it runs a query; progress counts as a word.
const ANSWER_PATIENCE: Duration = Duration::from_secs(300);

/// The native port of a server whose address names none.
const PORT: u16 = 8463;

/// Servers that one call may name.
const SERVERS_MAX: usize = 100;

/// What one call of `remote` reads.
#[derive(Clone)]
struct Target {
    servers: Vec<(String, u16)>,
    /// A name or a table function, as text for a FROM clause.
    source: String,
    user: String,
    password: String,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of {:?}", self.source, self.servers)
    }
}

/// The table behind a call of `remote`.
///
/// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42), BAD_ARGUMENTS (36), NETWORK_ERROR (210) and what the first server answers.
pub fn table_function(args: &[Value]) -> Result<Arc<StreamInfo>> {
    let target = Target::of(args)?;
    let header = target.header()?;
    let setting = |name: &str, value: &str| (Arc::from(name), value.to_string());
    let servers: Vec<String> = target.servers.iter().map(|(host, port)| format!("{host} {port}")).collect();
    Ok(Arc::new(StreamInfo {
        database: Arc::from("_table_function"),
        name: Arc::from("remote"),
        uuid: Uuid::nil(),
        kind: StreamKind::Function,
        mode: StreamMode::Append,
        columns: header.fields.iter().map(|f| ColumnInfo::new(Arc::clone(&f.name), f.ty.clone())).collect(),
        primary_key: Vec::new(),
        order_by: String::new(),
        partition_by: String::new(),
        version_column: None,
        shards: 1,
        sharding_expr: String::new(),
        engine: Arc::from(ENGINE),
        engine_args: Vec::new(),
        sample_by: String::new(),
        settings: vec![
            setting("servers", &servers.join("\n")),
            setting("source", &target.source),
            setting("user", &target.user),
            setting("password", &target.password),
        ],
        comment: String::new(),
    }))
}

/// What tells a table of this room from one of a file.
pub const ENGINE: &str = "Remote";

impl Target {
    fn of(args: &[Value]) -> Result<Target> {
        let wrong = || {
            let text = "remote takes addresses and a table: remote('host:port', db.table[, user[, password]])";
            Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text)
        };
        let text = |v: &Value| {
            let bytes =
                v.as_bytes().ok_or_else(|| Error::bad_arguments("the arguments of remote are constant strings"))?;
            Ok(String::from_utf8_lossy(bytes).into_owned())
        };
        let mut args = args.iter().map(text).collect::<Result<Vec<String>>>()?.into_iter();
        let (addresses, first) = args.next().zip(args.next()).ok_or_else(wrong)?;
        // A function as it is written, or a name in one argument or two.
        let source = if first.contains('(') {
            first
        } else if let Some((database, table)) = first.split_once('.') {
            format!("{}.{}", quoted(database), quoted(table))
        } else {
            format!("{}.{}", quoted(&first), quoted(&args.next().ok_or_else(wrong)?))
        };
        let user = args.next().unwrap_or_else(|| "default".to_string());
        let password = args.next().unwrap_or_default();
        if args.next().is_some() {
            return Err(wrong());
        }
        let servers = addresses.split(',').map(|a| server(a.trim())).collect::<Result<Vec<_>>>()?;
        if servers.len() > SERVERS_MAX {
            return Err(Error::bad_arguments(format!("remote takes at most {SERVERS_MAX} servers")));
        }
        Ok(Target { servers, source, user, password })
    }

    fn of_info(info: &StreamInfo) -> Result<Target> {
        let get = |name: &str| {
            let found = info.settings.iter().find(|(k, _)| &**k == name);
            found.map(|(_, v)| v.clone()).ok_or_else(|| Error::bug(format!("a remote table without its {name}")))
        };
        let servers = get("servers")?;
        let server = |line: &str| {
            let (host, port) = line.rsplit_once(' ')?;
            Some((host.to_string(), port.parse().ok()?))
        };
        let servers = servers.lines().map(server).collect::<Option<Vec<_>>>();
        Ok(Target {
            servers: servers.ok_or_else(|| Error::bug("a remote table with a damaged address"))?,
            source: get("source")?,
            user: get("user")?,
            password: get("password")?,
        })
    }

    /// The columns, from the head of an empty answer.
    fn header(&self) -> Result<Arc<Schema>> {
        let Some(server) = self.servers.first() else {
            return Err(Error::bad_arguments("remote takes at least one address"));
        };
        let mut rows = Rows::start(self, server, &format!("SELECT * FROM {} LIMIT 0", self.source))?;
        loop {
            match rows.packet()? {
                Some(ServerPacket::Data(block)) if !block.schema.is_empty() => return Ok(Arc::clone(&block.schema)),
                Some(_) => {}
                None => {
                    let text = format!("{} told no columns of {}", address(server), self.source);
                    return Err(Error::new(Code::INCORRECT_DATA, text));
                }
            }
        }
    }
}

/// `host`, `host:port`, `[address]:port`. Errors: BAD_ARGUMENTS (36).
fn server(text: &str) -> Result<(String, u16)> {
    let wrong = || Error::bad_arguments(format!("'{text}' is no address such as host:port"));
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    if host.is_empty() {
        return Err(wrong());
    }
    let port = port.map_or(Ok(PORT), str::parse).map_err(|_| wrong())?;
    Ok((host.to_string(), port))
}

fn address((host, port): &(String, u16)) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A name in backticks.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// One query on one server.
struct Rows {
    socket: TcpStream,
    decoder: ServerDecoder,
    chunk: Vec<u8>,
    address: String,
    ended: bool,
}

impl Rows {
    fn start(target: &Target, server: &(String, u16), text: &str) -> Result<Rows> {
        let at = address(server);
        let socket = reach(server)?;
        let hello = ClientHello {
            name: "hydron remote".to_string(),
            version: [VERSION[0], VERSION[1]],
            revision: REVISION,
            database: "default".to_string(),
            user: target.user.clone(),
            password: target.password.clone(),
        };
        let decoder = ServerDecoder::new(&hello);
        let mut rows = Rows { socket, decoder, chunk: vec![0; 64 << 10], address: at, ended: false };
        let mut bytes = Vec::new();
        hello.write(&mut bytes);
        rows.send(&bytes)?;
        match rows.packet()? {
            Some(ServerPacket::Hello(_)) => {}
            _ => {
                let text = format!("{} does not begin with its hello", rows.address);
                return Err(Error::new(Code::INCORRECT_DATA, text));
            }
        }
        let mut bytes = Vec::new();
        if rows.decoder.revision() >= WITH_ADDENDUM {
            push_bytes(b"", &mut bytes);
        }
        // A stream is read as far as it goes. Servers without streams do not know the setting, and need not.
        let setting = Setting { name: "query_mode".to_string(), value: "table".to_string(), important: false };
        let query = Query {
            client_name: hello.name.clone(),
            settings: vec![setting],
            text: text.as_bytes().to_vec(),
            ..Query::default()
        };
        query.write(rows.decoder.revision(), &mut bytes);
        let options = NativeOptions { revision: rows.decoder.revision(), ..NativeOptions::default() };
        DataEncoder::new(options, None).write(client::DATA, None, &mut bytes)?;
        rows.send(&bytes)?;
        Ok(rows)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.socket.write_all(bytes).map_err(|e| lost(&self.address, &e))
    }

    /// The next packet but those about progress; `None` after the last one.
    fn packet(&mut self) -> Result<Option<ServerPacket>> {
        while !self.ended {
            match self.decoder.next_packet()? {
                Some(ServerPacket::Exception(e)) => {
                    self.ended = true;
                    return Err(e.error().context(&self.address));
                }
                Some(ServerPacket::EndOfStream) => self.ended = true,
                Some(ServerPacket::Progress(_) | ServerPacket::ProfileInfo(_) | ServerPacket::ProfileEvents(_)) => {}
                Some(packet) => return Ok(Some(packet)),
                None => match self.socket.read(&mut self.chunk) {
                    Ok(0) => {
                        let text = format!("{} has closed the connection", self.address);
                        return Err(Error::new(Code::NETWORK_ERROR, text));
                    }
                    Ok(n) => self.decoder.buffer.extend_from_slice(&self.chunk[..n]),
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(lost(&self.address, &e)),
                },
            }
        }
        Ok(None)
    }

    /// The next rows; `None` after the last ones.
    fn rows(&mut self) -> Result<Option<Batch>> {
        while let Some(packet) = self.packet()? {
            if let ServerPacket::Data(block) = packet
                && block.rows() > 0
            {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }
}

fn reach(server: &(String, u16)) -> Result<TcpStream> {
    let at = address(server);
    let refused = |e: std::io::Error| {
        Error::new(Code::NETWORK_ERROR, format!("{at} does not answer: {e}")).hint("host:port of a native port")
    };
    let mut last = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
    for socket in (server.0.as_str(), server.1).to_socket_addrs().map_err(refused)? {
        match TcpStream::connect_timeout(&socket, CONNECT_PATIENCE) {
            Ok(socket) => {
                let prepared = socket
                    .set_nodelay(true)
                    .and_then(|()| socket.set_read_timeout(Some(ANSWER_PATIENCE)))
                    .and_then(|()| socket.set_write_timeout(Some(CONNECT_PATIENCE)));
                return prepared.map(|()| socket).map_err(|e| lost(&at, &e));
            }
            Err(e) => last = e,
        }
    }
    Err(refused(last))
}

fn lost(address: &str, e: &std::io::Error) -> Error {
    match e.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            let text = format!("{address} said nothing for {} s", ANSWER_PATIENCE.as_secs());
            Error::new(Code::SOCKET_TIMEOUT, text)
        }
        _ => Error::new(Code::NETWORK_ERROR, format!("the connection to {address} broke: {e}")),
    }
}

/// The rows of the servers behind a `remote(…)` table, read while the query runs.
#[derive(Clone, Debug)]
pub struct RemoteFeed {
    target: Target,
    /// What the servers are asked for: at least one column, so that rows are seen.
    names: Vec<Arc<str>>,
    schema: Arc<Schema>,
}

impl RemoteFeed {
    /// Errors: NOT_IMPLEMENTED (48) for a column that only a log has.
    pub fn new(info: &StreamInfo, columns: &[ScanColumn]) -> Result<RemoteFeed> {
        let stored = |c: &ScanColumn| match c {
            ScanColumn::Stored(i) => Ok(&info.columns[*i]),
            other => Err(Error::not_implemented(format!("{other:?} of another server"))),
        };
        let columns = columns.iter().map(stored).collect::<Result<Vec<_>>>()?;
        let mut names: Vec<Arc<str>> = columns.iter().map(|c| Arc::clone(&c.name)).collect();
        if names.is_empty() {
            names.extend(info.columns.first().map(|c| Arc::clone(&c.name)));
        }
        let fields = columns.iter().map(|c| Field::new(Arc::clone(&c.name), c.ty.clone())).collect();
        Ok(RemoteFeed { target: Target::of_info(info)?, names, schema: Arc::new(Schema::new(fields)) })
    }
}

impl RowFeed for RemoteFeed {
    fn start(&self) -> Result<FeedBatches> {
        let list: Vec<String> = self.names.iter().map(|n| quoted(n)).collect();
        let text = format!("SELECT {} FROM {}", list.join(", "), self.target.source);
        let feed = self.clone();
        let mut servers = self.target.servers.clone().into_iter();
        let mut open: Option<Rows> = None;
        let next = move || -> Result<Option<Batch>> {
            loop {
                let rows = match &mut open {
                    Some(rows) => rows,
                    None => match servers.next() {
                        Some(server) => open.insert(Rows::start(&feed.target, &server, &text)?),
                        None => return Ok(None),
                    },
                };
                match rows.rows()? {
                    Some(block) => return feed.fit(&block).map(Some),
                    None => open = None,
                }
            }
        };
        let mut next = Some(next);
        Ok(Box::new(std::iter::from_fn(move || {
            let item = next.as_mut()?().transpose();
            if !matches!(item, Some(Ok(_))) {
                next = None;
            }
            item
        })))
    }

    fn rows_estimate(&self) -> u64 {
        0
    }
}

impl RemoteFeed {
    /// Errors: INCORRECT_DATA (117) for a server whose columns are of other types than the first one's.
    fn fit(&self, block: &Batch) -> Result<Batch> {
        let fields = &block.schema.fields;
        let fits = self.schema.is_empty()
            || (fields.len() == self.schema.len() && fields.iter().zip(&self.schema.fields).all(|(a, b)| a.ty == b.ty));
        if !fits {
            let text = format!("a server has other columns of {} than the first one", self.target.source);
            return Err(Error::new(Code::INCORRECT_DATA, text));
        }
        let columns = block.columns[..self.schema.len()].to_vec();
        Ok(Batch::new(Arc::clone(&self.schema), columns, block.rows()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(args: &[&str]) -> Result<Target> {
        Target::of(&args.iter().map(Value::string).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_name_servers_and_a_source() {
        let one = of(&["db1:9000, [::1]:7", "system.one", "me", "secret"]).unwrap();
        assert_eq!(one.servers, [("db1".to_string(), 9000), ("::1".to_string(), 7)]);
        assert_eq!((one.source.as_str(), one.user.as_str()), ("`system`.`one`", "me"));
        assert_eq!(of(&["h", "a`b", "t"]).unwrap().source, "`a\\`b`.`t`");
        assert_eq!(of(&["h", "numbers(3)"]).unwrap().source, "numbers(3)");
        assert_eq!(of(&["h", "numbers(3)"]).unwrap().servers, [("h".to_string(), PORT)]);
        for wrong in [&["h"][..], &["h", "t"], &["h:x", "a.b"], &["h", "a.b", "u", "p", "x"]] {
            assert!(of(wrong).is_err(), "{wrong:?}");
        }
        assert!(!format!("{one:?}").contains("secret"));
    }
}
