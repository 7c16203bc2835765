//! The query packet: who asks, what, with which settings and parameters.
//!
//! In: bytes at hand, or a query. Out: the other one. What a revision does not have is left out, both ways.

use crate::cursor::{Cursor, Read, wrong};
use crate::packet::client;
use crate::revision::*;
use hydron_base::setting::{Kind, definition};
use hydron_format::native::{push_bytes, push_varint};

/// Settings or parameters of one query.
const SETTINGS_MAX: usize = 10_000;

const IMPORTANT: u64 = 1;
const CUSTOM: u64 = 2;

/// The whole query is run, up to its result.
const STAGE_COMPLETE: u64 = 2;

const INTERFACE_TCP: u8 = 1;
const INTERFACE_HTTP: u8 = 2;

const QUERY_INITIAL: u8 = 1;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub id: String,
    pub quota_key: String,
    /// Name of the program that asks, when it says so.
    pub client_name: String,
    pub settings: Vec<Setting>,
    /// Names without `param_`, values as the client wrote them: in quotes.
    pub parameters: Vec<Setting>,
    /// Whether blocks are compressed, in both directions.
    pub compressed: bool,
    /// An INSERT may have data after its head, which is not always UTF-8.
    pub text: Vec<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    pub name: String,
    pub value: String,
    /// The query must not run without it.
    pub important: bool,
}

impl Query {
    /// Reads what follows the number of the packet.
    pub fn read(cursor: &mut Cursor<'_>, revision: u64, text_bytes_max: usize) -> Read<Query> {
        let mut query = Query { id: cursor.string("a query id")?, ..Query::default() };
        if revision >= WITH_CLIENT_INFO {
            query.read_client(cursor, revision)?;
        }
        query.settings = match revision >= WITH_SETTINGS_AS_STRINGS {
            true => read_settings(cursor)?,
            false => read_typed_settings(cursor)?,
        };
        if revision >= WITH_SECRET {
            cursor.string("a secret between servers")?;
        }
        let stage = cursor.varint()?;
        if stage != STAGE_COMPLETE {
            return Err(wrong(format!(
                "a query is asked for up to stage {stage}; only whole queries (2) are answered"
            )));
        }
        query.compressed = cursor.varint()? != 0;
        query.text = cursor.long_bytes("the query text", text_bytes_max)?.to_vec();
        if revision >= WITH_PARAMETERS {
            query.parameters = read_settings(cursor)?;
        }
        Ok(query)
    }

    fn read_client(&mut self, cursor: &mut Cursor<'_>, revision: u64) -> Read<()> {
        if cursor.byte()? == 0 {
            return Ok(());
        }
        for what in ["the initial user", "the initial query id", "the initial address"] {
            cursor.string(what)?;
        }
        if revision >= WITH_START_TIME {
            cursor.take(8)?;
        }
        let interface = cursor.byte()?;
        match interface {
            INTERFACE_TCP => {
                cursor.string("the user of the client's system")?;
                cursor.string("the client's host")?;
                self.client_name = cursor.string("the name of a client")?;
                for _ in 0..3 {
                    cursor.varint()?;
                }
            }
            INTERFACE_HTTP => {
                cursor.byte()?;
                self.client_name = cursor.string("the name of a client")?;
                if revision >= WITH_FORWARDED_FOR {
                    cursor.string("the address before a proxy")?;
                }
                if revision >= WITH_REFERER {
                    cursor.string("a referer")?;
                }
            }
            other => return Err(wrong(format!("a client of interface {other}"))),
        }
        if revision >= WITH_QUOTA_KEY {
            self.quota_key = cursor.string("a quota key")?;
        }
        if revision >= WITH_DEPTH {
            cursor.varint()?;
        }
        if revision >= WITH_VERSION_PATCH && interface == INTERFACE_TCP {
            cursor.varint()?;
        }
        if revision >= WITH_TRACING && cursor.byte()? != 0 {
            // Trace (16 bytes), span (8), state, flags.
            cursor.take(24)?;
            cursor.string("the state of a trace")?;
            cursor.byte()?;
        }
        if revision >= WITH_PARALLEL_REPLICAS {
            for _ in 0..3 {
                cursor.varint()?;
            }
        }
        Ok(())
    }

    pub fn write(&self, revision: u64, out: &mut Vec<u8>) {
        push_varint(client::QUERY, out);
        push_bytes(self.id.as_bytes(), out);
        if revision >= WITH_CLIENT_INFO {
            self.write_client(revision, out);
        }
        write_settings(&self.settings, 0, out);
        if revision >= WITH_SECRET {
            push_bytes(b"", out);
        }
        push_varint(STAGE_COMPLETE, out);
        push_varint(u64::from(self.compressed), out);
        push_bytes(&self.text, out);
        if revision >= WITH_PARAMETERS {
            write_settings(&self.parameters, CUSTOM, out);
        }
    }

    fn write_client(&self, revision: u64, out: &mut Vec<u8>) {
        out.push(QUERY_INITIAL);
        push_bytes(b"", out);
        push_bytes(b"", out);
        push_bytes(b"0.0.0.0:0", out);
        if revision >= WITH_START_TIME {
            out.extend_from_slice(&[0; 8]);
        }
        out.push(INTERFACE_TCP);
        push_bytes(b"", out);
        push_bytes(b"", out);
        push_bytes(self.client_name.as_bytes(), out);
        [VERSION[0], VERSION[1], REVISION].iter().for_each(|n| push_varint(*n, out));
        if revision >= WITH_QUOTA_KEY {
            push_bytes(self.quota_key.as_bytes(), out);
        }
        if revision >= WITH_DEPTH {
            push_varint(0, out);
        }
        if revision >= WITH_VERSION_PATCH {
            push_varint(VERSION[2], out);
        }
        if revision >= WITH_TRACING {
            out.push(0);
        }
        if revision >= WITH_PARALLEL_REPLICAS {
            out.extend_from_slice(&[0; 3]);
        }
    }
}

/// Name, flags and value of each; an empty name ends them.
fn read_settings(cursor: &mut Cursor<'_>) -> Read<Vec<Setting>> {
    settings_until_empty(cursor, |cursor, name| {
        let flags = cursor.varint()?;
        let value = cursor.string("the value of a setting")?;
        Ok(Setting { name, value, important: flags & IMPORTANT != 0 })
    })
}

/// Before settings travelled as texts their bytes were those of their type, which the reader had to know.
fn read_typed_settings(cursor: &mut Cursor<'_>) -> Read<Vec<Setting>> {
    settings_until_empty(cursor, |cursor, name| {
        let value = match definition(&name).map(|d| d.kind) {
            Some(Kind::Bool | Kind::UInt) => cursor.varint()?.to_string(),
            Some(Kind::Float | Kind::Text) => cursor.string("the value of a setting")?,
            None => return Err(wrong(format!("setting '{name}' is unknown, so its bytes cannot be read"))),
        };
        Ok(Setting { name, value, important: true })
    })
}

/// Settings by name, each read by `read` from behind its name, up to an empty name.
fn settings_until_empty<'a>(
    cursor: &mut Cursor<'a>,
    mut read: impl FnMut(&mut Cursor<'a>, String) -> Read<Setting>,
) -> Read<Vec<Setting>> {
    let mut settings = Vec::new();
    loop {
        let name = cursor.string("the name of a setting")?;
        if name.is_empty() {
            return Ok(settings);
        }
        if settings.len() == SETTINGS_MAX {
            return Err(wrong(format!("more than {SETTINGS_MAX} settings")));
        }
        settings.push(read(cursor, name)?);
    }
}

fn write_settings(settings: &[Setting], flags: u64, out: &mut Vec<u8>) {
    for setting in settings {
        push_bytes(setting.name.as_bytes(), out);
        push_varint(flags | if setting.important { IMPORTANT } else { 0 }, out);
        push_bytes(setting.value.as_bytes(), out);
    }
    push_bytes(b"", out);
}

/// The value of a parameter without its quotes and escapes; as it is when it has none.
pub fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')) else { return value.to_string() };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => out.push(match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('0') => '\0',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('a') => '\u{7}',
                Some('v') => '\u{b}',
                Some(other) => other,
                None => '\\',
            }),
            (c, false) => out.push(c),
        }
    }
    out
}

/// `value` as a parameter travels.
pub fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::Stop;

    #[test]
    fn a_query_comes_back_in_every_revision() {
        let setting = |name: &str, value: &str| Setting { name: name.into(), value: value.into(), important: true };
        for revision in [WITH_SETTINGS_AS_STRINGS, WITH_PARALLEL_REPLICAS, REVISION] {
            let query = Query {
                id: "q".into(),
                quota_key: "k".into(),
                client_name: "me".into(),
                settings: vec![setting("max_threads", "1")],
                parameters: if revision == REVISION { vec![setting("x", "'1'")] } else { Vec::new() },
                compressed: true,
                text: b"SELECT {x:uint8}".to_vec(),
            };
            let mut out = Vec::new();
            query.write(revision, &mut out);
            for end in 1..out.len() {
                let mut cursor = Cursor::new(&out[1..end], 4_096);
                let cut = Query::read(&mut cursor, revision, 1_000);
                assert!(matches!(cut, Err(Stop::Short(_))), "{revision} cut at {end}: {cut:?}");
            }
            let mut cursor = Cursor::new(&out[1..], 4_096);
            assert_eq!(Query::read(&mut cursor, revision, 1_000).unwrap(), query);
            assert_eq!(cursor.at, out.len() - 1);
        }
    }

    #[test]
    fn parameters_lose_their_quotes() {
        for value in ["", "a'b\\c", "line\nnext"] {
            assert_eq!(unquoted(&quoted(value)), value);
        }
        assert_eq!(unquoted("'a\\tb'"), "a\tb");
        assert_eq!(unquoted("17"), "17");
    }
}
