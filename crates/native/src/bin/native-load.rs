//! A client that does nothing but carry rows: how fast blocks go in and come out through the native port.
//!
//!     native-load PORT insert STREAM ROWS [BLOCK_ROWS] [lz4|zstd|none]   rows of (ts, device_id, region, value)
//!     native-load PORT select 'QUERY' [lz4|zstd|none]                    decodes every block
//!     native-load PORT idle CONNECTIONS                                  logs in so often, says so, waits for its stdin to end
//!
//! One line of JSON for each run. Blocks of an INSERT are encoded before the clock starts; it stops at the server's
//! acknowledgement.

use hydron_base::{Code, Error, Result};
use hydron_format::native::NativeOptions;
use hydron_native::client::{ServerDecoder, ServerPacket};
use hydron_native::data::DataEncoder;
use hydron_native::frame::Method;
use hydron_native::packet::{ClientHello, client};
use hydron_native::query::{Query, Setting};
use hydron_native::revision::{REVISION, VERSION, WITH_ADDENDUM};
use hydron_types::{Batch, ColumnBuilder, Field, Schema, Value, parse_type};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

// Different blocks that are sent in turn: enough that no cache knows them all, few enough to encode at once.
const BLOCKS: usize = 16;

const READ_BYTES: usize = 1 << 20;

const PATIENCE: Duration = Duration::from_secs(300);

const REGIONS: [&str; 8] =
    ["ap-east", "ap-south", "eu-north", "eu-west", "sa-east", "us-central", "us-east", "us-west"];

const USAGE: &str = "native-load PORT insert STREAM ROWS [BLOCK_ROWS] [lz4|zstd|none]\n\
                     native-load PORT select QUERY [lz4|zstd|none]\n\
                     native-load PORT idle CONNECTIONS";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [port, "insert", stream, rows, rest @ ..] => {
            let block_rows = rest.first().map_or(Ok(65_536), |n| number(n));
            let method = rest.get(1).copied().unwrap_or("lz4");
            number(port).and_then(|port| insert(port, stream, number(rows)?, block_rows?, method))
        }
        [port, "select", query, rest @ ..] => {
            number(port).and_then(|port| select(port, query, rest.first().copied().unwrap_or("lz4")))
        }
        [port, "idle", count] => number(port).and_then(|port| idle(port, number(count)?)),
        _ => Err(Error::bad_arguments(USAGE)),
    };
    if let Err(e) = done {
        eprintln!("{e}");
        std::process::exit(1);
    }
}

fn number(text: &str) -> Result<usize> {
    text.parse().map_err(|_| Error::bad_arguments(format!("'{text}' is no number\n{USAGE}")))
}

fn network(e: impl std::fmt::Display) -> Error {
    Error::new(Code::NETWORK_ERROR, format!("the server cannot be reached: {e}"))
}

fn method(name: &str) -> Result<Option<Method>> {
    match name {
        "lz4" => Ok(Some(Method::Lz4)),
        "zstd" => Ok(Some(Method::Zstd { level: 1 })),
        "none" => Ok(None),
        other => Err(Error::bad_arguments(format!("compression '{other}' is unknown: lz4, zstd, none"))),
    }
}

struct Client {
    stream: TcpStream,
    decoder: ServerDecoder,
    scratch: Vec<u8>,
}

impl Client {
    fn log_in(port: usize) -> Result<Client> {
        let port = u16::try_from(port).map_err(|_| Error::bad_arguments(format!("port {port}")))?;
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(network)?;
        stream.set_nodelay(true).map_err(network)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(network)?;
        let hello = ClientHello {
            name: "hydron native-load".into(),
            version: [VERSION[0], VERSION[1]],
            revision: REVISION,
            database: "default".into(),
            user: "default".into(),
            password: String::new(),
        };
        let mut client = Client { stream, decoder: ServerDecoder::new(&hello), scratch: Vec::new() };
        let mut bytes = Vec::new();
        hello.write(&mut bytes);
        client.send(&bytes)?;
        match client.packet()? {
            ServerPacket::Hello(_) => {}
            other => return Err(surprise(&other)),
        }
        if client.decoder.revision() >= WITH_ADDENDUM {
            // A quota key of no bytes.
            client.send(&[0])?;
        }
        Ok(client)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).map_err(network)
    }

    fn packet(&mut self) -> Result<ServerPacket> {
        loop {
            match self.decoder.next_packet()? {
                Some(ServerPacket::Exception(e)) => return Err(e.error()),
                Some(packet) => return Ok(packet),
                None => {}
            }
            self.scratch.resize(READ_BYTES, 0);
            match self.stream.read(&mut self.scratch).map_err(network)? {
                0 => return Err(network("the connection is closed")),
                n => self.decoder.buffer.extend_from_slice(&self.scratch[..n]),
            }
        }
    }

    /// Starts a query; the encoder is for its blocks.
    fn ask(&mut self, text: &str, compression: &str) -> Result<DataEncoder> {
        let method = method(compression)?;
        let name = if compression == "none" { "lz4" } else { compression };
        let compression =
            Setting { name: "network_compression_method".into(), value: name.to_string(), important: false };
        let query = Query {
            client_name: "hydron native-load".into(),
            settings: vec![compression],
            compressed: method.is_some(),
            text: text.as_bytes().to_vec(),
            ..Query::default()
        };
        let revision = self.decoder.revision();
        let mut bytes = Vec::new();
        query.write(revision, &mut bytes);
        self.decoder.compressed = query.compressed;
        let mut encoder = DataEncoder::new(NativeOptions { revision, ..NativeOptions::default() }, method);
        encoder.write(client::DATA, None, &mut bytes)?;
        self.send(&bytes)?;
        Ok(encoder)
    }
}

fn surprise(packet: &ServerPacket) -> Error {
    Error::new(Code::INCORRECT_DATA, format!("{packet:?} was not expected"))
}

/// Rows `from ..` as a block.
fn block(schema: &Arc<Schema>, from: usize, rows: usize) -> Result<Batch> {
    let mut builders: Vec<_> = schema.fields.iter().map(|f| ColumnBuilder::new(&f.ty)).collect();
    for i in from..from + rows {
        let hash = (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        builders[0].append(&Value::Time(1_704_067_200_000 + i as i64 / 10))?;
        builders[1].append(&Value::Int((hash % 1_000) as i64))?;
        builders[2].append_bytes(REGIONS[(hash % 8) as usize].as_bytes())?;
        builders[3].append(&Value::Float64((hash >> 4) as f64 % 1_000_000.0 / 1_000.0))?;
    }
    let columns = builders.iter_mut().map(ColumnBuilder::finish).collect::<Result<Vec<_>>>()?;
    Ok(Batch::new(Arc::clone(schema), columns, rows))
}

fn insert(port: usize, stream: &str, rows: usize, block_rows: usize, compression: &str) -> Result<()> {
    let columns = [("ts", "datetime64(3, 'UTC')"), ("device_id", "int32"), ("region", "string"), ("value", "float64")];
    let fields = columns.iter().map(|(name, ty)| Ok(Field::new(*name, parse_type(ty)?)));
    let schema = Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?));
    let mut client = Client::log_in(port)?;
    let options = NativeOptions { revision: client.decoder.revision(), ..NativeOptions::default() };
    let mut encoder = DataEncoder::new(options, method(compression)?);
    let mut frames = Vec::new();
    for i in 0..BLOCKS.min(rows.div_ceil(block_rows.max(1))) {
        let mut frame = Vec::new();
        encoder.write(client::DATA, Some(&block(&schema, i * block_rows, block_rows)?), &mut frame)?;
        frames.push(frame);
    }
    let started = Instant::now();
    let mut encoder =
        client.ask(&format!("INSERT INTO {stream} (ts, device_id, region, value) VALUES"), compression)?;
    // The columns of the stream, then an empty block with those of the INSERT.
    while !matches!(client.packet()?, ServerPacket::Data(_)) {}
    // What the server says after each block must not fill its side of the connection.
    let mut writer = client.stream.try_clone().map_err(network)?;
    let (mut sent, mut bytes) = (0, 0);
    let wrote = std::thread::scope(|scope| -> Result<()> {
        let sender = scope.spawn(|| -> Result<()> {
            let mut left = rows;
            for frame in frames.iter().cycle() {
                if left < block_rows {
                    break;
                }
                writer.write_all(frame).map_err(network)?;
                left -= block_rows;
                sent += block_rows;
                bytes += frame.len();
            }
            let mut last = Vec::new();
            if left > 0 {
                encoder.write(client::DATA, Some(&block(&schema, sent, left)?), &mut last)?;
            }
            sent += left;
            encoder.write(client::DATA, None, &mut last)?;
            writer.write_all(&last).map_err(network)
        });
        while !matches!(client.packet()?, ServerPacket::EndOfStream) {}
        sender.join().map_err(|_| Error::bug("the sender panicked"))?
    });
    wrote?;
    report("insert", sent, bytes, started.elapsed());
    Ok(())
}

fn select(port: usize, query: &str, compression: &str) -> Result<()> {
    let mut client = Client::log_in(port)?;
    let started = Instant::now();
    client.ask(query, compression)?;
    let (mut rows, mut bytes) = (0, 0);
    loop {
        match client.packet()? {
            ServerPacket::Data(block) => {
                rows += block.rows();
                bytes += block.columns.iter().map(|c| c.get_buffer_memory_size()).sum::<usize>();
            }
            ServerPacket::EndOfStream => break,
            _ => {}
        }
    }
    report("select", rows, bytes, started.elapsed());
    Ok(())
}

fn report(what: &str, rows: usize, bytes: usize, elapsed: Duration) {
    let seconds = elapsed.as_secs_f64();
    let rate = (rows as f64 / seconds) as u64;
    println!(
        "{{\"what\":\"{what}\",\"rows\":{rows},\"bytes\":{bytes},\"seconds\":{seconds:.6},\"rows_per_s\":{rate}}}"
    );
}

fn idle(port: usize, count: usize) -> Result<()> {
    let clients = (0..count).map(|_| Client::log_in(port)).collect::<Result<Vec<_>>>()?;
    println!("{{\"what\":\"idle\",\"connections\":{}}}", clients.len());
    // Whoever started this measures, then closes the pipe.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).map_err(network)?;
    Ok(())
}
