//! The body of a request, piece by piece: decompressed, with a deadline for each pause.
//!
//! Where the query stands in the body, its text is taken from the start; the data of an INSERT that follows it stays
//! a stream.

use super::coding::Coding;
use super::options::HttpOptions;
use crate::clickhouse::frame;
use crate::custody::Seat;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hydron_base::limit::QUERY_BYTES_MAX;
use hydron_base::{Code, Error, Result};
use hydron_board::connection::REQUEST_READ;
use hydron_engine::ByteSource;
use hydron_format::Decompressor;
use hydron_sql::ast::{InsertSource, StatementKind};
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

// Compressed bytes that one step takes: its output is then bounded too.
const STEP_BYTES: usize = 16 << 10;

// Attempts to find the end of an INSERT's head at every piece; afterwards only when the text has doubled, so that a
// body of tiny pieces is not parsed over and over.
const EAGER_ATTEMPTS: usize = 16;

// A client that still sends when its answer is there (a row was wrong) would see a reset connection and no answer. What
// it sends is read on for so long.
const DRAIN_BYTES_MAX: usize = 16 << 20;
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct BodySource {
    /// `None` when it has ended.
    body: Option<Incoming>,
    decompressor: Option<Decompressor>,
    /// Frames of ClickHouse inside of that, and the bytes of one that is not complete.
    frames: Option<Frames>,
    /// Compressed bytes not yet looked at.
    raw: Bytes,
    ready: VecDeque<Bytes>,
    patience: Duration,
    ended: bool,
    seat: Option<Arc<Seat>>,
}

impl BodySource {
    pub(crate) fn new(
        body: Incoming,
        encoding: Coding,
        options: &HttpOptions,
        seat: Option<Arc<Seat>>,
    ) -> Result<BodySource> {
        let bytes_max = options.decompressed_bytes_max;
        let decompressor = encoding.http.map(|c| Decompressor::new(c, bytes_max)).transpose()?;
        Ok(BodySource {
            body: Some(body),
            decompressor,
            frames: encoding.framed.then(|| Frames { buffer: BytesMut::new(), bytes_left: bytes_max }),
            raw: Bytes::new(),
            ready: VecDeque::new(),
            patience: options.body_patience,
            ended: false,
            seat,
        })
    }

    /// The next bytes as they came. Errors: SOCKET_TIMEOUT after a long pause, NETWORK_ERROR for a broken body.
    async fn receive(&mut self) -> Result<Option<Bytes>> {
        loop {
            let Some(body) = &mut self.body else { return Ok(None) };
            let frame = tokio::time::timeout(self.patience, body.frame())
                .await
                .map_err(|_| Error::new(Code::SOCKET_TIMEOUT, format!("the body paused for {:?}", self.patience)))?;
            match frame {
                None => {
                    self.body = None;
                    if let Some(seat) = &self.seat {
                        seat.connection().set(REQUEST_READ);
                    }
                    return Ok(None);
                }
                Some(Err(e)) => {
                    self.body = None;
                    return Err(Error::new(Code::NETWORK_ERROR, format!("the body broke off: {e}")));
                }
                // Trailers are no data.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if !bytes.is_empty() => return Ok(Some(bytes)),
                    _ => {}
                },
            }
        }
    }
}

impl Drop for BodySource {
    fn drop(&mut self) {
        use http_body::Body;
        let Some(body) = self.body.take().filter(|b| !b.is_end_stream()) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Whatever comes of it, nobody waits for it.
            runtime.spawn(async move { tokio::time::timeout(DRAIN_PATIENCE, drain(body)).await });
        }
    }
}

async fn drain(mut body: Incoming) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > DRAIN_BYTES_MAX {
            return;
        }
    }
}

struct Frames {
    buffer: BytesMut,
    /// What the rest of the body may come to.
    bytes_left: u64,
}

impl Frames {
    /// The first frame of what has come, its checksum verified; `None` until it is complete.
    fn next(&mut self) -> Result<Option<Bytes>> {
        let mut plain = Vec::new();
        if !frame::read(&mut self.buffer, &mut plain)? {
            return Ok(None);
        }
        match self.bytes_left.checked_sub(plain.len() as u64) {
            Some(left) => self.bytes_left = left,
            None => return Err(Error::new(Code::TOO_MANY_BYTES, "the body is too large when it is decompressed")),
        }
        Ok(Some(Bytes::from(plain)))
    }
}

#[async_trait]
impl ByteSource for BodySource {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let Some(frames) = &mut self.frames else { return self.next_outer().await };
            match frames.next()? {
                Some(plain) if plain.is_empty() => continue,
                Some(plain) => return Ok(Some(plain)),
                None => {}
            }
            match self.next_outer().await? {
                Some(bytes) => {
                    if let Some(frames) = &mut self.frames {
                        frames.buffer.extend_from_slice(&bytes);
                    }
                }
                None if self.frames.as_ref().is_some_and(|f| !f.buffer.is_empty()) => {
                    let text = "the body ends inside of a compressed frame";
                    return Err(
                        Error::new(Code::CANNOT_DECOMPRESS, text).hint("without decompress=1 it is taken as it is")
                    );
                }
                None => return Ok(None),
            }
        }
    }
}

impl BodySource {
    /// The next bytes inside of the compression of HTTP.
    async fn next_outer(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Ok(Some(bytes));
            }
            if self.ended {
                return Ok(None);
            }
            if self.decompressor.is_none() {
                let bytes = self.receive().await?;
                self.ended = bytes.is_none();
                return Ok(bytes);
            }
            if self.raw.is_empty() {
                match self.receive().await? {
                    Some(bytes) => self.raw = bytes,
                    None => self.ended = true,
                }
            }
            let step = self.raw.split_to(self.raw.len().min(STEP_BYTES));
            let (Some(decompressor), ready) = (&mut self.decompressor, &mut self.ready) else { continue };
            let keep = |plain: &[u8]| {
                ready.push_back(Bytes::copy_from_slice(plain));
                Ok(())
            };
            match self.ended {
                true => decompressor.finish(keep)?,
                false => decompressor.feed(&step, keep)?,
            }
        }
    }
}

/// A query and the data that comes after it.
pub(crate) struct Spoken {
    /// The whole query; the data of an INSERT may have begun in it.
    pub text: Bytes,
    /// Data that is still to come.
    pub rest: Option<BodySource>,
}

/// Takes the query from the URL and the body: the body alone, or a line of its own after the URL's part, or the data of
/// an INSERT that stands in the URL.
///
/// Errors: SYNTAX_ERROR for a text beyond the limit, and those of the body.
pub(crate) async fn listen(url_query: String, mut body: BodySource) -> Result<Spoken> {
    if takes_data(&url_query, true) {
        return Ok(Spoken { text: Bytes::from(url_query), rest: Some(body) });
    }
    let mut text = BytesMut::from(url_query.as_bytes());
    let mut attempts = 0;
    let mut next_attempt = 0;
    while let Some(bytes) = body.next().await? {
        if !text.is_empty() && text.len() == url_query.len() {
            text.extend_from_slice(b"\n");
        }
        text.extend_from_slice(&bytes);
        if may_insert(&text) && text.len() >= next_attempt {
            attempts += 1;
            next_attempt = if attempts < EAGER_ATTEMPTS { 0 } else { text.len() * 2 };
            if takes_data(utf8_start(&text), false) {
                return Ok(Spoken { text: text.freeze(), rest: Some(body) });
            }
        }
        if text.len() > QUERY_BYTES_MAX {
            if takes_data(utf8_start(&text), false) {
                return Ok(Spoken { text: text.freeze(), rest: Some(body) });
            }
            let message = format!("the query text is longer than {QUERY_BYTES_MAX} bytes");
            return Err(Error::new(Code::SYNTAX_ERROR, message));
        }
    }
    Ok(Spoken { text: text.freeze(), rest: None })
}

/// Whether the text is an INSERT that takes the bytes after it as data: its head must be complete. In `whole` texts the
/// head may end the text; elsewhere a byte behind it shows that it goes no further.
fn takes_data(text: &str, whole: bool) -> bool {
    if !may_insert(text.as_bytes()) {
        return false;
    }
    let Ok(parsed) = hydron_sql::parse_statement(text) else { return false };
    let StatementKind::Insert(insert) = &parsed.statement.kind else { return false };
    let with_data = matches!(insert.source, InsertSource::Values | InsertSource::Format(_));
    with_data && (whole || parsed.insert_data.is_some_and(|at| at < text.len()))
}

/// Whether the text may be an INSERT: a cheap look before the parser's.
fn may_insert(text: &[u8]) -> bool {
    let start = text.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(text.len());
    let word = &text[start..text.len().min(start + 6)];
    // Comments and parentheses may stand before the word.
    word.eq_ignore_ascii_case(b"insert") || matches!(word.first(), Some(b'-' | b'/' | b'('))
}

fn utf8_start(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_begins_after_a_complete_head() {
        assert!(takes_data("INSERT INTO t VALUES", true));
        assert!(takes_data("insert into t (a, b) format CSV", true));
        assert!(!takes_data("INSERT INTO t FORMAT JSONE", false));
        assert!(takes_data("INSERT INTO t FORMAT JSONEachRow\n{", false));
        assert!(takes_data("INSERT INTO t VALUES (", false));
        assert!(!takes_data("INSERT INTO t SELECT 1", true));
        assert!(!takes_data("SELECT 1", true));
    }
}
