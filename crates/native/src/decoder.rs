//! Bytes of a client to packets: the server's side of the protocol, without sockets.
//!
//! In: bytes in the order in which they come, cut anywhere. Out: packets. Promise: until [`ClientDecoder::trust`] says that
//! the client has logged in, nothing but a small hello is taken; afterwards each packet has its limits, and no more is kept
//! than has arrived. After an error the stream has no meaning any more.

use crate::cursor::{Cursor, Read, Stop};
use crate::data::DataDecoder;
use crate::packet::{ClientHello, TableName, client, read_tables};
use crate::query::Query;
use crate::revision::*;
use bytes::{Buf, BytesMut};
use hydron_base::{Code, Error, Result};
use hydron_format::native::NativeOptions;
use hydron_types::Batch;

// Before a login: a name, a database, a password are short, and nobody is known yet to give memory to.
const HELLO_STRING_BYTES_MAX: usize = 4 << 10;
const HELLO_BYTES_MAX: usize = 64 << 10;

// After it: settings hold lists and expressions.
const STRING_BYTES_MAX: usize = 1 << 20;

/// Bytes of one query packet: the text may be an INSERT with its rows in it.
pub const PACKET_BYTES_MAX: usize = 128 << 20;

#[derive(Debug)]
pub enum ClientPacket {
    Hello(ClientHello),
    /// What a client adds after the server's hello: its quota key.
    Addendum(String),
    Query(Box<Query>),
    /// A block for a temporary table, or without a name: rows of an INSERT; without columns: the end of them.
    Data {
        table: String,
        block: Batch,
    },
    /// A value that a query names, as a block of one row and one column.
    Scalar {
        name: String,
        block: Batch,
    },
    Cancel,
    Ping,
    KeepAlive,
    TablesStatus(Vec<TableName>),
}

enum Stage {
    Hello,
    Addendum,
    Packets,
}

pub struct ClientDecoder {
    /// Where received bytes are put.
    pub buffer: BytesMut,
    stage: Stage,
    trusted: bool,
    revision: u64,
    /// Whether the last query wants compressed blocks.
    compressed: bool,
    /// The packet goes on at least to here: with fewer bytes there is no use in looking.
    wait_for: usize,
    incoming: Option<Incoming>,
    /// What the last compressed frame held.
    plain: Vec<u8>,
}

/// A packet whose block is still to come.
struct Incoming {
    number: u64,
    table: String,
    block: DataDecoder,
}

/// What a look at the buffer gave.
enum Parsed {
    Packet(ClientPacket),
    Incoming(Incoming),
}

impl Default for ClientDecoder {
    fn default() -> ClientDecoder {
        ClientDecoder {
            buffer: BytesMut::new(),
            stage: Stage::Hello,
            trusted: false,
            revision: 0,
            compressed: false,
            wait_for: 1,
            incoming: None,
            plain: Vec::new(),
        }
    }
}

impl ClientDecoder {
    /// The revision that both sides speak, once the hello has come.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// That of a client which has logged in to another process.
    pub fn resumed(revision: u64, waits_for_addendum: bool) -> ClientDecoder {
        let stage = if waits_for_addendum { Stage::Addendum } else { Stage::Packets };
        ClientDecoder { stage, trusted: true, revision, ..ClientDecoder::default() }
    }

    /// What a client adds to its hello is still to come.
    pub fn waits_for_addendum(&self) -> bool {
        matches!(self.stage, Stage::Addendum)
    }

    /// The client has logged in: larger packets are taken from now on.
    pub fn trust(&mut self) {
        self.trusted = true;
    }

    /// Whether the bytes look like a request of HTTP, whose sender has mistaken the port.
    pub fn is_http(&self) -> bool {
        matches!(self.stage, Stage::Hello) && (self.buffer.starts_with(b"GET ") || self.buffer.starts_with(b"POST "))
    }

    /// Gives back the room of earlier packets, where nothing of a next one has come.
    pub fn rest(&mut self) {
        if !self.is_inside_packet() {
            self.buffer = BytesMut::new();
            self.plain = Vec::new();
        }
    }

    /// Whether a packet has begun that is not complete.
    pub fn is_inside_packet(&self) -> bool {
        self.incoming.is_some() || !self.buffer.is_empty()
    }

    /// The next packet, when its last byte is in the buffer.
    pub fn next_packet(&mut self) -> Result<Option<ClientPacket>> {
        loop {
            if let Some(incoming) = &mut self.incoming {
                let Some(block) = incoming.block.feed(&mut self.buffer, &mut self.plain)? else { return Ok(None) };
                let Some(Incoming { number, table, .. }) = self.incoming.take() else { return Ok(None) };
                return Ok(Some(match number {
                    client::SCALAR => ClientPacket::Scalar { name: table, block },
                    _ => ClientPacket::Data { table, block },
                }));
            }
            if self.buffer.len() < self.wait_for {
                return Ok(None);
            }
            let string_bytes_max = if self.trusted { STRING_BYTES_MAX } else { HELLO_STRING_BYTES_MAX };
            let mut cursor = Cursor::new(&self.buffer, string_bytes_max);
            match self.parse(&mut cursor) {
                Ok(parsed) => {
                    let used = cursor.at;
                    self.buffer.advance(used);
                    self.wait_for = 1;
                    match parsed {
                        Parsed::Packet(packet) => {
                            self.note(&packet);
                            return Ok(Some(packet));
                        }
                        Parsed::Incoming(incoming) => self.incoming = Some(incoming),
                    }
                }
                Err(Stop::Short(end)) => {
                    let bytes_max = if self.trusted { PACKET_BYTES_MAX } else { HELLO_BYTES_MAX };
                    if end > bytes_max {
                        let text = format!("a packet is longer than {bytes_max} bytes");
                        return Err(Error::new(Code::MSG_SIZE_TOO_LARGE, text));
                    }
                    self.wait_for = end;
                    return Ok(None);
                }
                Err(Stop::Wrong(e)) => return Err(e),
            }
        }
    }

    fn note(&mut self, packet: &ClientPacket) {
        match packet {
            ClientPacket::Hello(hello) => {
                self.revision = hello.revision.min(REVISION);
                self.stage = if self.revision >= WITH_ADDENDUM { Stage::Addendum } else { Stage::Packets };
            }
            ClientPacket::Addendum(_) => self.stage = Stage::Packets,
            ClientPacket::Query(query) => self.compressed = query.compressed,
            _ => {}
        }
    }

    fn parse(&self, cursor: &mut Cursor<'_>) -> Read<Parsed> {
        let packet = match self.stage {
            Stage::Hello => match cursor.varint()? {
                client::HELLO => ClientPacket::Hello(ClientHello::read(cursor)?),
                other => return Err(unexpected(other)),
            },
            Stage::Addendum => ClientPacket::Addendum(cursor.string("a quota key")?),
            Stage::Packets => match cursor.varint()? {
                client::QUERY => ClientPacket::Query(Box::new(Query::read(cursor, self.revision, PACKET_BYTES_MAX)?)),
                number @ (client::DATA | client::SCALAR) => {
                    let table = cursor.string("the name of a temporary table")?;
                    let options = NativeOptions { revision: self.revision, ..NativeOptions::default() };
                    let block = DataDecoder::new(options, self.compressed);
                    return Ok(Parsed::Incoming(Incoming { number, table, block }));
                }
                client::CANCEL => ClientPacket::Cancel,
                client::PING => ClientPacket::Ping,
                client::KEEP_ALIVE => ClientPacket::KeepAlive,
                client::TABLES_STATUS => ClientPacket::TablesStatus(read_tables(cursor)?),
                client::HELLO => return Err(unexpected(client::HELLO)),
                other => {
                    let text = format!("packet {other} of the client is unknown");
                    return Err(Stop::Wrong(Error::new(Code::UNKNOWN_PACKET_FROM_CLIENT, text)));
                }
            },
        };
        Ok(Parsed::Packet(packet))
    }
}

fn unexpected(number: u64) -> Stop {
    let text = format!("packet {number} of the client is not expected here");
    Stop::Wrong(Error::new(Code::UNEXPECTED_PACKET_FROM_CLIENT, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataEncoder;
    use crate::frame::Method;
    use crate::query::Setting;
    use hydron_format::native::{push_bytes, push_varint};
    use hydron_types::{ColumnBuilder, Field, LogicalType, Schema, Value};
    use std::sync::Arc;

    fn batch() -> Batch {
        let mut builder = ColumnBuilder::new(&LogicalType::UInt64);
        (0..300).for_each(|i| builder.append(&Value::UInt(i)).unwrap());
        let schema = Schema::new(vec![Field::new("x", LogicalType::UInt64)]);
        Batch::new(Arc::new(schema), vec![builder.finish().unwrap()], 300)
    }

    /// What a client says in one session, and the packets that should come out.
    fn session(revision: u64, method: Option<Method>) -> (Vec<u8>, Vec<&'static str>) {
        let mut bytes = Vec::new();
        ClientHello { name: "test".into(), revision, ..ClientHello::default() }.write(&mut bytes);
        let mut packets = vec!["hello"];
        if revision >= WITH_ADDENDUM {
            push_bytes(b"quota", &mut bytes);
            packets.push("addendum");
        }
        push_varint(client::PING, &mut bytes);
        let query = Query {
            settings: vec![Setting { name: "max_threads".into(), value: "1".into(), important: false }],
            compressed: method.is_some(),
            text: b"INSERT INTO t VALUES".to_vec(),
            ..Query::default()
        };
        query.write(revision, &mut bytes);
        let options = NativeOptions { revision, ..NativeOptions::default() };
        let mut data = DataEncoder::new(options, method);
        data.write(client::DATA, None, &mut bytes).unwrap();
        data.write(client::DATA, Some(&batch()), &mut bytes).unwrap();
        data.write(client::DATA, None, &mut bytes).unwrap();
        push_varint(client::CANCEL, &mut bytes);
        push_varint(client::TABLES_STATUS, &mut bytes);
        push_varint(1, &mut bytes);
        push_bytes(b"default", &mut bytes);
        push_bytes(b"t", &mut bytes);
        packets.extend(["ping", "query", "end", "rows 300", "end", "cancel", "tables 1"]);
        (bytes, packets)
    }

    fn name(packet: &ClientPacket) -> String {
        match packet {
            ClientPacket::Hello(_) => "hello".into(),
            ClientPacket::Addendum(_) => "addendum".into(),
            ClientPacket::Query(_) => "query".into(),
            ClientPacket::Data { block, .. } if block.columns.is_empty() => "end".into(),
            ClientPacket::Data { block, .. } => format!("rows {}", block.rows()),
            ClientPacket::Scalar { .. } => "scalar".into(),
            ClientPacket::Cancel => "cancel".into(),
            ClientPacket::Ping => "ping".into(),
            ClientPacket::KeepAlive => "keep alive".into(),
            ClientPacket::TablesStatus(tables) => format!("tables {}", tables.len()),
        }
    }

    fn decode(bytes: &[u8], step: usize) -> Result<Vec<String>> {
        let mut decoder = ClientDecoder::default();
        let mut names = Vec::new();
        for piece in bytes.chunks(step) {
            decoder.buffer.extend_from_slice(piece);
            while let Some(packet) = decoder.next_packet()? {
                names.push(name(&packet));
                decoder.trust();
            }
        }
        Ok(names)
    }

    #[test]
    fn packets_come_out_at_any_cut() {
        for revision in [54_453, 54_459, 60_000] {
            for method in [None, Some(Method::Lz4), Some(Method::Zstd { level: 1 })] {
                let (bytes, expected) = session(revision.min(REVISION), method);
                for step in [1, 2, 3, 64, bytes.len()] {
                    assert_eq!(decode(&bytes, step).unwrap(), expected, "{revision} {method:?} by {step}");
                }
            }
        }
    }

    #[test]
    fn strangers_are_given_little() {
        let code = |bytes: &[u8]| decode(bytes, usize::MAX).unwrap_err().code;
        let mut long = vec![0];
        push_bytes(&[b'x'; 5_000], &mut long);
        assert_eq!(code(&long), Code::INCORRECT_DATA);
        assert_eq!(code(&[1]), Code::UNEXPECTED_PACKET_FROM_CLIENT);
        assert_eq!(code(&[0xFF; 20]), Code::INCORRECT_DATA);
        let mut decoder = ClientDecoder::default();
        decoder.buffer.extend_from_slice(b"GET / HTTP/1.1\r\n");
        assert!(decoder.is_http());
    }

    #[test]
    fn damaged_sessions_never_panic() {
        let mut seed = 0x2545_F491_4F6C_DD1D_u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % below as u64) as usize
        };
        let mut refused = 0;
        for method in [None, Some(Method::Lz4)] {
            let (bytes, _) = session(REVISION, method);
            for _ in 0..3_000 {
                let mut damaged = bytes.clone();
                for _ in 0..=random(3) {
                    let at = random(damaged.len());
                    damaged[at] = [random(256) as u8, 0xFF, 0, damaged[at] ^ 1][random(4)];
                }
                refused += usize::from(decode(&damaged, 1 + random(damaged.len())).is_err());
            }
        }
        assert!(refused > 1_000, "{refused}");
    }
}
