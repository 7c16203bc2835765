//! Bytes of a server to packets: the client's side of the protocol, without sockets.
//!
//! In: bytes in the order in which they come, cut anywhere. Out: packets. Promise: no more is kept than has arrived; after
//! an error the stream has no meaning any more. What a client sends is written by [`ClientHello`], [`Query`] and
//! [`DataEncoder`].
//!
//! [`Query`]: crate::query::Query
//! [`DataEncoder`]: crate::data::DataEncoder

use crate::cursor::{Cursor, Read, Stop};
use crate::data::DataDecoder;
use crate::decoder::PACKET_BYTES_MAX;
use crate::packet::{ClientHello, Exception, ProfileInfo, ProgressPacket, ServerHello, TableName, server};
use crate::revision::REVISION;
use bytes::{Buf, BytesMut};
use hydron_base::{Code, Error, Result};
use hydron_format::native::NativeOptions;
use hydron_types::Batch;

// Names and messages; columns of a table with their defaults are the longest of them.
const STRING_BYTES_MAX: usize = 16 << 20;

/// Tables that one answer may name.
const TABLES_MAX: u64 = 10_000;

#[derive(Debug)]
pub enum ServerPacket {
    Hello(ServerHello),
    /// A header, rows, or without columns the end of them.
    Data(Batch),
    Totals(Batch),
    Extremes(Batch),
    Exception(Exception),
    Progress(ProgressPacket),
    Pong,
    EndOfStream,
    ProfileInfo(ProfileInfo),
    /// Those of the tables asked for that exist.
    TablesStatus(Vec<TableName>),
    TableColumns(String),
    ProfileEvents(Batch),
    Log(Batch),
}

/// Decodes what a server sends to one client.
pub struct ServerDecoder {
    /// Where received bytes are put.
    pub buffer: BytesMut,
    /// Whether the query that runs has asked for compressed blocks.
    pub compressed: bool,
    /// The client's own revision until the server's hello has come, then the lower of both.
    revision: u64,
    /// The packet goes on at least to here: with fewer bytes there is no use in looking.
    wait_for: usize,
    incoming: Option<(u64, DataDecoder)>,
    /// What the last compressed frame held.
    plain: Vec<u8>,
}

enum Parsed {
    Packet(ServerPacket),
    /// A packet whose block follows.
    Block(u64),
}

impl ServerDecoder {
    /// For a client that has said `hello`.
    pub fn new(hello: &ClientHello) -> ServerDecoder {
        ServerDecoder {
            buffer: BytesMut::new(),
            compressed: false,
            revision: hello.revision.min(REVISION),
            wait_for: 1,
            incoming: None,
            plain: Vec::new(),
        }
    }

    /// The revision that both sides speak, once the hello has come.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The next packet, when its last byte is in the buffer.
    pub fn next_packet(&mut self) -> Result<Option<ServerPacket>> {
        loop {
            if let Some((number, decoder)) = &mut self.incoming {
                let Some(block) = decoder.feed(&mut self.buffer, &mut self.plain)? else { return Ok(None) };
                let packet = match *number {
                    server::TOTALS => ServerPacket::Totals(block),
                    server::EXTREMES => ServerPacket::Extremes(block),
                    server::PROFILE_EVENTS => ServerPacket::ProfileEvents(block),
                    server::LOG => ServerPacket::Log(block),
                    _ => ServerPacket::Data(block),
                };
                self.incoming = None;
                return Ok(Some(packet));
            }
            if self.buffer.len() < self.wait_for {
                return Ok(None);
            }
            let mut cursor = Cursor::new(&self.buffer, STRING_BYTES_MAX);
            match parse(&mut cursor, self.revision) {
                Ok(parsed) => {
                    let used = cursor.at;
                    self.buffer.advance(used);
                    self.wait_for = 1;
                    match parsed {
                        Parsed::Packet(packet) => {
                            if let ServerPacket::Hello(hello) = &packet {
                                self.revision = self.revision.min(hello.revision);
                            }
                            return Ok(Some(packet));
                        }
                        Parsed::Block(number) => {
                            let compressed = self.compressed && !matches!(number, server::PROFILE_EVENTS | server::LOG);
                            let options = NativeOptions { revision: self.revision, ..NativeOptions::default() };
                            self.incoming = Some((number, DataDecoder::new(options, compressed)));
                        }
                    }
                }
                Err(Stop::Short(end)) if end > PACKET_BYTES_MAX => {
                    let text = format!("a packet of the server is longer than {PACKET_BYTES_MAX} bytes");
                    return Err(Error::new(Code::MSG_SIZE_TOO_LARGE, text));
                }
                Err(Stop::Short(end)) => {
                    self.wait_for = end;
                    return Ok(None);
                }
                Err(Stop::Wrong(e)) => return Err(e),
            }
        }
    }
}

fn parse(cursor: &mut Cursor<'_>, revision: u64) -> Read<Parsed> {
    let packet = match cursor.varint()? {
        server::HELLO => ServerPacket::Hello(ServerHello::read(cursor, revision)?),
        server::EXCEPTION => ServerPacket::Exception(Exception::read(cursor)?),
        server::PROGRESS => ServerPacket::Progress(ProgressPacket::read(cursor, revision)?),
        server::PONG => ServerPacket::Pong,
        server::END_OF_STREAM => ServerPacket::EndOfStream,
        server::PROFILE_INFO => ServerPacket::ProfileInfo(ProfileInfo::read(cursor)?),
        server::TABLES_STATUS => {
            let count = cursor.count("tables", TABLES_MAX)?;
            let mut tables = Vec::new();
            for _ in 0..count {
                tables.push((cursor.string("a database")?, cursor.string("a table")?));
                if cursor.byte()? != 0 {
                    // How far a replica is behind.
                    cursor.varint()?;
                }
            }
            ServerPacket::TablesStatus(tables)
        }
        server::TABLE_COLUMNS => {
            cursor.string("the name of a table")?;
            ServerPacket::TableColumns(cursor.string("the columns of a table")?)
        }
        number @ (server::DATA | server::TOTALS | server::EXTREMES | server::PROFILE_EVENTS | server::LOG) => {
            cursor.string("the name of a temporary table")?;
            return Ok(Parsed::Block(number));
        }
        other => {
            let text = format!("packet {other} of the server is unknown");
            return Err(Stop::Wrong(Error::new(Code::INCORRECT_DATA, text)));
        }
    };
    Ok(Parsed::Packet(packet))
}
