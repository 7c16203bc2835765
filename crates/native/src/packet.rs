//! Packets but for the query and the data: their numbers, their fields, both directions.
//!
//! A packet is its number as a varint, then its fields. In: values or bytes at hand. Out: the other one. Each `write`
//! appends the number too; each `read` begins after it.

use crate::cursor::{Cursor, Read, Stop, wrong};
use crate::revision::*;
use hydron_base::{Code, Error};
use hydron_format::native::{push_bytes, push_varint};
use hydron_types::TypeNames;

/// From clients.
pub mod client {
    pub const HELLO: u64 = 0;
    pub const QUERY: u64 = 1;
    pub const DATA: u64 = 2;
    pub const CANCEL: u64 = 3;
    pub const PING: u64 = 4;
    pub const TABLES_STATUS: u64 = 5;
    pub const KEEP_ALIVE: u64 = 6;
    pub const SCALAR: u64 = 7;
}

/// From the server.
pub mod server {
    pub const HELLO: u64 = 0;
    pub const DATA: u64 = 1;
    pub const EXCEPTION: u64 = 2;
    pub const PROGRESS: u64 = 3;
    pub const PONG: u64 = 4;
    pub const END_OF_STREAM: u64 = 5;
    pub const PROFILE_INFO: u64 = 6;
    pub const TOTALS: u64 = 7;
    pub const EXTREMES: u64 = 8;
    pub const TABLES_STATUS: u64 = 9;
    pub const LOG: u64 = 10;
    pub const TABLE_COLUMNS: u64 = 11;
    pub const PROFILE_EVENTS: u64 = 14;
}

// An exception in an exception in an exception: more tell nothing.
const NESTED_MAX: usize = 16;

// What a server may send of texts: the answer to SHOW CREATE stands in blocks, so these are messages.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Tables that one status request may name.
const TABLES_MAX: u64 = 10_000;

/// How a client introduces itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    pub name: String,
    pub version: [u64; 2],
    pub revision: u64,
    pub database: String,
    pub user: String,
    pub password: String,
}

impl ClientHello {
    pub fn read(cursor: &mut Cursor<'_>) -> Read<ClientHello> {
        Ok(ClientHello {
            name: cursor.string("the name of a client")?,
            version: [cursor.varint()?, cursor.varint()?],
            revision: cursor.varint()?,
            database: cursor.string("the name of a database")?,
            user: cursor.string("the name of a user")?,
            password: cursor.string("a password")?,
        })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        push_varint(client::HELLO, out);
        push_bytes(self.name.as_bytes(), out);
        self.version.iter().for_each(|v| push_varint(*v, out));
        push_varint(self.revision, out);
        for text in [&self.database, &self.user, &self.password] {
            push_bytes(text.as_bytes(), out);
        }
    }

    /// ClickHouse's own clients and drivers say so in their name; all others read Proton's names of types.
    pub fn type_names(&self) -> TypeNames {
        let name = self.name.to_ascii_lowercase();
        let is_clickhouse = ["clickhouse", "klickhouse", "ch-go"].iter().any(|word| name.contains(word));
        if is_clickhouse { TypeNames::ClickHouse } else { TypeNames::Proton }
    }
}

/// How the server introduces itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerHello {
    pub name: String,
    /// Major, minor, patch.
    pub version: [u64; 3],
    pub revision: u64,
    pub zone: String,
    pub display_name: String,
}

impl ServerHello {
    /// `revision`: that of the client, which decides what it can read.
    pub fn write(&self, revision: u64, out: &mut Vec<u8>) {
        push_varint(server::HELLO, out);
        push_bytes(self.name.as_bytes(), out);
        self.version[..2].iter().for_each(|v| push_varint(*v, out));
        push_varint(self.revision, out);
        if revision >= WITH_ZONE {
            push_bytes(self.zone.as_bytes(), out);
        }
        if revision >= WITH_DISPLAY_NAME {
            push_bytes(self.display_name.as_bytes(), out);
        }
        if revision >= WITH_VERSION_PATCH {
            push_varint(self.version[2], out);
        }
    }

    /// `revision`: the client's own.
    pub fn read(cursor: &mut Cursor<'_>, revision: u64) -> Read<ServerHello> {
        let mut hello = ServerHello { name: cursor.string("the name of the server")?, ..ServerHello::default() };
        hello.version = [cursor.varint()?, cursor.varint()?, 0];
        hello.revision = cursor.varint()?;
        let revision = revision.min(hello.revision);
        if revision >= WITH_ZONE {
            hello.zone = cursor.string("the server's zone")?;
        }
        if revision >= WITH_DISPLAY_NAME {
            hello.display_name = cursor.string("the server's display name")?;
        }
        if revision >= WITH_VERSION_PATCH {
            hello.version[2] = cursor.varint()?;
        }
        Ok(hello)
    }
}

/// An error on its way to a client, with what caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    pub code: i32,
    pub name: String,
    pub message: String,
    pub stack: String,
    pub cause: Option<Box<Exception>>,
}

impl Exception {
    pub fn of(error: &Error) -> Exception {
        let text = error.to_string();
        // The code has its own field; what remains is the text that ClickHouse's servers send.
        let message = text.split_once(". ").filter(|(code, _)| code.starts_with("Code: ")).map_or(&*text, |(_, m)| m);
        Exception {
            code: i32::from(error.code.number()),
            name: "DB::Exception".to_string(),
            message: message.to_string(),
            stack: String::new(),
            cause: None,
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        push_varint(server::EXCEPTION, out);
        let mut next = Some(self);
        while let Some(exception) = next {
            out.extend_from_slice(&exception.code.to_le_bytes());
            for text in [&exception.name, &exception.message, &exception.stack] {
                push_bytes(text.as_bytes(), out);
            }
            out.push(u8::from(exception.cause.is_some()));
            next = exception.cause.as_deref();
        }
    }

    pub fn read(cursor: &mut Cursor<'_>) -> Read<Exception> {
        let mut chain = Vec::new();
        loop {
            let code = i32::from_le_bytes(cursor.array()?);
            let mut text = |what| {
                cursor.long_bytes(what, MESSAGE_BYTES_MAX).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            };
            let (name, message, stack) =
                (text("the name of an exception")?, text("a message")?, text("a stack trace")?);
            let has_cause = cursor.byte()? != 0;
            chain.push(Exception { code, name, message, stack, cause: None });
            if !has_cause {
                break;
            }
            if chain.len() == NESTED_MAX {
                return Err(wrong(format!("an exception has more than {NESTED_MAX} causes")));
            }
        }
        let nest = |cause: Option<Box<Exception>>, exception| Some(Box::new(Exception { cause, ..exception }));
        let whole = chain.into_iter().rev().fold(None, nest);
        whole.map(|boxed| *boxed).ok_or_else(|| wrong("an exception without anything"))
    }

    /// The error that this tells of, its causes in the message.
    pub fn error(&self) -> Error {
        let code = u16::try_from(self.code).ok().and_then(Code::from_number).unwrap_or(Code::UNKNOWN_EXCEPTION);
        let mut message = self.message.strip_prefix("DB::Exception: ").unwrap_or(&self.message).to_string();
        let name = format!(". ({})", code.name());
        if let Some(bare) = message.strip_suffix(&name) {
            message.truncate(bare.len());
        }
        let mut cause = self.cause.as_deref();
        while let Some(exception) = cause {
            message = format!("{message}: {}", exception.message);
            cause = exception.cause.as_deref();
        }
        Error::new(code, message)
    }
}

/// What a query has done since the last packet of this kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgressPacket {
    pub read_rows: u64,
    pub read_bytes: u64,
    pub total_rows: u64,
    pub written_rows: u64,
    pub written_bytes: u64,
}

impl ProgressPacket {
    pub fn write(&self, revision: u64, out: &mut Vec<u8>) {
        push_varint(server::PROGRESS, out);
        [self.read_rows, self.read_bytes, self.total_rows].iter().for_each(|n| push_varint(*n, out));
        if revision >= WITH_WRITE_PROGRESS {
            [self.written_rows, self.written_bytes].iter().for_each(|n| push_varint(*n, out));
        }
    }

    pub fn read(cursor: &mut Cursor<'_>, revision: u64) -> Read<ProgressPacket> {
        let mut progress = ProgressPacket {
            read_rows: cursor.varint()?,
            read_bytes: cursor.varint()?,
            total_rows: cursor.varint()?,
            ..ProgressPacket::default()
        };
        if revision >= WITH_WRITE_PROGRESS {
            progress.written_rows = cursor.varint()?;
            progress.written_bytes = cursor.varint()?;
        }
        Ok(progress)
    }
}

/// What came out of a query, when all of it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileInfo {
    pub rows: u64,
    pub blocks: u64,
    pub bytes: u64,
    /// Rows that the result would have without its LIMIT, where that is known.
    pub rows_before_limit: Option<u64>,
}

impl ProfileInfo {
    pub fn write(&self, out: &mut Vec<u8>) {
        push_varint(server::PROFILE_INFO, out);
        [self.rows, self.blocks, self.bytes].iter().for_each(|n| push_varint(*n, out));
        out.push(u8::from(self.rows_before_limit.is_some()));
        push_varint(self.rows_before_limit.unwrap_or(0), out);
        out.push(u8::from(self.rows_before_limit.is_some()));
    }

    pub fn read(cursor: &mut Cursor<'_>) -> Read<ProfileInfo> {
        let (rows, blocks, bytes) = (cursor.varint()?, cursor.varint()?, cursor.varint()?);
        let has_limit = cursor.byte()? != 0;
        let before = cursor.varint()?;
        cursor.byte()?;
        Ok(ProfileInfo { rows, blocks, bytes, rows_before_limit: has_limit.then_some(before) })
    }
}

/// Database and name of a table.
pub type TableName = (String, String);

/// Reads the tables that a client asks the status of.
pub fn read_tables(cursor: &mut Cursor<'_>) -> Read<Vec<TableName>> {
    let count = cursor.count("tables", TABLES_MAX)?;
    (0..count).map(|_| Ok((cursor.string("a database")?, cursor.string("a table")?))).collect()
}

/// The tables that are there; none of them is replicated.
pub fn write_tables_status(tables: &[TableName], out: &mut Vec<u8>) {
    push_varint(server::TABLES_STATUS, out);
    push_varint(tables.len() as u64, out);
    for (database, table) in tables {
        push_bytes(database.as_bytes(), out);
        push_bytes(table.as_bytes(), out);
        out.push(0);
    }
}

/// Columns and defaults of the table that an INSERT fills, as text.
pub fn write_table_columns(columns: &str, out: &mut Vec<u8>) {
    push_varint(server::TABLE_COLUMNS, out);
    push_bytes(b"", out);
    push_bytes(columns.as_bytes(), out);
}

/// `Short` as the error of a packet that is complete and should not be.
pub fn complete<T>(read: Read<T>) -> hydron_base::Result<T> {
    read.map_err(|stop| match stop {
        Stop::Wrong(e) => e,
        Stop::Short(_) => Error::new(Code::CANNOT_READ_ALL_DATA, "a packet ends too early"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body<T>(bytes: &[u8], read: impl Fn(&mut Cursor<'_>) -> Read<T>) -> T {
        for end in 1..bytes.len() {
            let mut cursor = Cursor::new(&bytes[..end], 4_096);
            cursor.varint().unwrap();
            assert!(matches!(read(&mut cursor), Err(Stop::Short(at)) if at > end), "cut at {end}");
        }
        let mut cursor = Cursor::new(bytes, 4_096);
        cursor.varint().unwrap();
        let value = complete(read(&mut cursor)).unwrap();
        assert_eq!(cursor.at, bytes.len());
        value
    }

    #[test]
    fn packets_come_back_and_wait_for_their_last_byte() {
        let hello = ClientHello {
            name: "ClickHouse client".into(),
            version: [22, 8],
            revision: REVISION,
            database: "d".into(),
            user: "u".into(),
            password: "p".into(),
        };
        let mut out = Vec::new();
        hello.write(&mut out);
        assert_eq!(body(&out, ClientHello::read), hello);

        let hello = ServerHello {
            name: "proton".into(),
            version: VERSION,
            revision: REVISION,
            zone: "UTC".into(),
            display_name: "x".into(),
        };
        let mut out = Vec::new();
        hello.write(REVISION, &mut out);
        assert_eq!(body(&out, |c| ServerHello::read(c, REVISION)), hello);

        let progress = ProgressPacket { read_rows: 300, read_bytes: 1 << 40, total_rows: 3, ..Default::default() };
        let mut out = Vec::new();
        progress.write(REVISION, &mut out);
        assert_eq!(body(&out, |c| ProgressPacket::read(c, REVISION)), progress);

        let info = ProfileInfo { rows: 1, blocks: 2, bytes: 3, rows_before_limit: Some(4) };
        let mut out = Vec::new();
        info.write(&mut out);
        assert_eq!(body(&out, ProfileInfo::read), info);
    }

    #[test]
    fn an_exception_keeps_its_code_its_text_and_its_causes() {
        let error = Error::new(Code::UNKNOWN_STREAM, "stream default.x does not exist").hint("CREATE STREAM");
        let mut exception = Exception::of(&error);
        assert_eq!(exception.code, 60);
        assert_eq!(
            exception.message,
            "DB::Exception: stream default.x does not exist. Try: CREATE STREAM. (UNKNOWN_STREAM)"
        );
        exception.cause = Some(Box::new(Exception::of(&Error::new(Code::NETWORK_ERROR, "gone"))));
        let mut out = Vec::new();
        exception.write(&mut out);
        let back = body(&out, Exception::read);
        assert_eq!(back, exception);
        assert_eq!(back.error().code, Code::UNKNOWN_STREAM);
        assert!(back.error().message.ends_with("gone. (NETWORK_ERROR)"), "{}", back.error());
    }

    #[test]
    fn clients_say_whose_they_are() {
        let names = |name: &str| ClientHello { name: name.into(), ..Default::default() }.type_names();
        assert_eq!(names("Proton python-driver"), TypeNames::Proton);
        assert_eq!(names("hydron client"), TypeNames::Proton);
        assert_eq!(names("ClickHouse python-driver"), TypeNames::ClickHouse);
        assert_eq!(names("clickhouse-go/2.30.0 (lv:go/1.22)"), TypeNames::ClickHouse);
    }
}
