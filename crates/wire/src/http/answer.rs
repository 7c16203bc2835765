//! A result on its way out: from the items of a running query to the chunks of a body.
//!
//! The query's items are formatted and compressed on the computing threads, by one task that ends as soon as nobody reads
//! its chunks any more. An error before the first byte becomes a status; later it stands in the body, or breaks the body
//! off where the format has no place for it.

use super::coding::{Coding, Packer};
use super::session::Lease;
use bytes::Bytes;
use futures::FutureExt;
use hydron_base::{Code, Error, Result};
use hydron_engine::{Item, Progress, Resume, Running};
use hydron_format::{FormatOptions, OutputFormat, ResultStats};
use hydron_types::Zone;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

// Chunks made and not yet sent. Past that the query waits for the client.
const CHUNKS_WAITING_MAX: usize = 2;

// The board keeps what a slow client has not taken of one write, up to 512 KiB, so that a supervisor can end the answer of
// a worker that has died. hyper gathers pieces until they are 128 KiB, so it writes 384 KiB at most.
const PIECE_BYTES_MAX: usize = 256 << 10;

// A streaming answer begins when its query runs, so that the client knows it does; an error this early still becomes
// a status.
const STREAM_HEAD_PATIENCE: Duration = Duration::from_millis(5);

/// What the headers need to know, when the answer begins.
pub(crate) struct Head {
    pub query_id: Arc<str>,
    pub format: String,
    pub content_type: &'static str,
    pub zone: String,
    pub coding: Coding,
    /// Counters at this moment; final ones when the answer was held back.
    pub summary: String,
    pub with_progress: bool,
    /// `http_response_headers`
    pub extra: Vec<(String, String)>,
    pub permits_origins: bool,
    pub chunks: mpsc::Receiver<Result<Chunk, BrokenOff>>,
}

/// Some bytes of a body.
pub(crate) struct Chunk {
    bytes: Bytes,
    /// Where the client of a stream can go on when it has these.
    resume: Option<Resume>,
}

impl Chunk {
    /// The bytes, at the moment when they are handed over to be written.
    pub(crate) fn hand_over(self) -> Bytes {
        if let Some(resume) = self.resume {
            resume.hand_over();
        }
        self.bytes
    }
}

/// The result cannot be completed; the body must not look as if it were.
#[derive(Debug)]
pub(crate) struct BrokenOff;

impl std::fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the query failed after its first bytes")
    }
}

impl std::error::Error for BrokenOff {}

pub(crate) struct Pump {
    running: Running,
    // Kept until the answer is complete: the next query of the session comes after it.
    _session: Lease,
    accepts: Coding,
    buffered_bytes_max: usize,
}

impl Pump {
    pub(crate) fn new(running: Running, session: Lease, accepts: Coding, buffered_bytes_max: usize) -> Pump {
        Pump { running, _session: session, accepts, buffered_bytes_max }
    }

    /// Runs the query to its end. `head` hears when the answer begins, or why it does not.
    pub(crate) async fn run(mut self, mut head: oneshot::Sender<Result<Head>>) {
        let begun = tokio::select! {
            // The client has gone before the answer began.
            () = head.closed() => return,
            begun = self.begin() => begun,
        };
        let (mut encoder, first, chunk) = match begun {
            Ok(begun) => begun,
            Err(e) => {
                self.running.note_error(&e);
                // The client may send the next query of the session as soon as it hears of this one's end.
                drop(self);
                // A failure to hand over means that nobody waits.
                let _ = head.send(Err(e));
                return;
            }
        };
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
        if head.send(Ok(self.head(&encoder, receiver))).is_err() {
            return;
        }
        let last = tokio::select! {
            () = sender.closed() => return,
            last = AssertUnwindSafe(self.stream(&mut encoder, first, chunk, &sender)).catch_unwind() => last,
        };
        // Without this a panic would end the body as if the result were complete.
        let last = last.unwrap_or_else(|_| {
            let error = Error::bug("the query panicked while its answer was written");
            self.running.note_error(&error);
            Last { bytes: format!("{error}\n").into_bytes(), is_broken: true }
        });
        drop(self);
        // The receiver goes away only with the client.
        let _ = send(&sender, last.bytes, None).await;
        if last.is_broken {
            let _ = sender.send(Err(BrokenOff)).await;
        }
    }

    /// Format and first bytes; with `wait_end_of_query` all of them.
    async fn begin(&mut self) -> Result<(Encoder, Next, Vec<u8>)> {
        let settings = Arc::clone(&self.running.settings);
        let zone = zone(settings.text("session_timezone"));
        extra_headers(settings.text("http_response_headers"))?;
        let format = match (&self.running.format, settings.text("default_format")) {
            (Some(name), _) => name.clone(),
            (None, "") => "TabSeparated".to_string(),
            (None, name) => name.to_string(),
        };
        let http = self.accepts.http.filter(|_| settings.bool("enable_http_compression"));
        let coding = Coding { http, ..self.accepts };
        let packer = Packer::new(coding, settings.uint("http_zlib_compression_level") as u32)?;
        let options = FormatOptions::from_settings(&settings, zone);
        let writer = match &self.running.schema {
            Some(schema) => Some(hydron_format::output(&format, Arc::clone(schema), &options)?),
            None => None,
        };
        let mut encoder = Encoder { writer, packer, coding, format, zone, rows: 0, plain: Vec::new() };
        let mut chunk = Vec::new();
        if settings.bool("wait_end_of_query") && !self.running.streaming {
            encoder.prefix(&mut chunk)?;
            while let Some(item) = self.running.next().await? {
                encoder.item(&item, &mut chunk)?;
                if chunk.len() > self.buffered_bytes_max {
                    let text = format!("wait_end_of_query holds back at most {} bytes", self.buffered_bytes_max);
                    return Err(Error::new(Code::TOO_MANY_BYTES, text));
                }
            }
            encoder.suffix(&self.running, &mut chunk)?;
            return Ok((encoder, Next::Complete, chunk));
        }
        let held_back = usize::try_from(settings.uint("buffer_size")).unwrap_or(usize::MAX);
        if held_back > 0 && !self.running.streaming {
            // An error among the first bytes is still told by a status.
            encoder.prefix(&mut chunk)?;
            while chunk.len() <= held_back.min(self.buffered_bytes_max) {
                match self.running.next().await? {
                    Some(item) => encoder.item(&item, &mut chunk)?,
                    None => {
                        encoder.suffix(&self.running, &mut chunk)?;
                        return Ok((encoder, Next::Complete, chunk));
                    }
                }
            }
            return Ok((encoder, Next::Unknown, chunk));
        }
        let first = match self.running.streaming {
            true => match tokio::time::timeout(STREAM_HEAD_PATIENCE, self.running.next()).await {
                Ok(first) => Next::of(first?),
                Err(_) => Next::Unknown,
            },
            false => Next::of(self.running.next().await?),
        };
        encoder.prefix(&mut chunk)?;
        Ok((encoder, first, chunk))
    }

    fn head(&self, encoder: &Encoder, chunks: mpsc::Receiver<Result<Chunk, BrokenOff>>) -> Head {
        Head {
            query_id: Arc::clone(&self.running.query_id),
            format: encoder.format.clone(),
            content_type: encoder.writer.as_ref().map_or("text/plain; charset=UTF-8", |w| w.content_type()),
            zone: encoder.zone.to_string(),
            coding: encoder.coding,
            summary: summary(&self.running.progress, self.running.started_at.elapsed()),
            with_progress: self.running.settings.bool("send_progress_in_http_headers"),
            // Read before the answer began.
            extra: extra_headers(self.running.settings.text("http_response_headers")).unwrap_or_default(),
            permits_origins: self.running.settings.bool("add_http_cors_header"),
            chunks,
        }
    }

    /// Sends chunks until the result is complete or broken; what is left to send is returned.
    async fn stream(
        &mut self,
        encoder: &mut Encoder,
        first: Next,
        mut chunk: Vec<u8>,
        sender: &mpsc::Sender<Result<Chunk, BrokenOff>>,
    ) -> Last {
        let sent = self.stream_items(encoder, first, &mut chunk, sender).await;
        let is_broken = match sent {
            Ok(()) => false,
            Err(e) => {
                self.running.note_error(&e);
                // A chunk that was begun is dropped: what stands in it may be half a row.
                chunk.clear();
                encoder.exception(&e, &mut chunk)
            }
        };
        Last { bytes: chunk, is_broken }
    }

    async fn stream_items(
        &mut self,
        encoder: &mut Encoder,
        first: Next,
        chunk: &mut Vec<u8>,
        sender: &mpsc::Sender<Result<Chunk, BrokenOff>>,
    ) -> Result<()> {
        let mut next = first;
        loop {
            match next {
                Next::Complete => return Ok(()),
                Next::Ended => return encoder.suffix(&self.running, chunk),
                Next::Item(item) => encoder.item(&item, chunk)?,
                Next::Unknown => {}
            }
            // A compressor may keep rows back, but behind a compressed body there is no place for a word anyway.
            if send(sender, std::mem::take(chunk), self.running.resume()).await.is_err() {
                return Err(Error::new(Code::NETWORK_ERROR, "the client has closed the connection"));
            }
            next = Next::of(self.running.next().await?);
        }
    }
}

/// Sends `bytes` in pieces; with the last of them the client can go on from `resume`. Errors: nobody reads them any more.
async fn send(
    sender: &mpsc::Sender<Result<Chunk, BrokenOff>>,
    bytes: Vec<u8>,
    resume: Option<Resume>,
) -> Result<(), ()> {
    let mut left = Bytes::from(bytes);
    while !left.is_empty() {
        let piece = left.split_to(piece_length(&left));
        let resume = resume.filter(|_| left.is_empty());
        sender.send(Ok(Chunk { bytes: piece, resume })).await.map_err(|_| ())?;
    }
    Ok(())
}

/// Up to the end of a line where there is one, so that an error behind it begins a line too.
fn piece_length(bytes: &[u8]) -> usize {
    match bytes.get(..PIECE_BYTES_MAX) {
        None => bytes.len(),
        Some(piece) => piece.iter().rposition(|b| *b == b'\n').map_or(PIECE_BYTES_MAX, |at| at + 1),
    }
}

/// The end of a body.
struct Last {
    bytes: Vec<u8>,
    is_broken: bool,
}

enum Next {
    Item(Item),
    Ended,
    /// Its end stands in the first bytes.
    Complete,
    /// Not yet there.
    Unknown,
}

impl Next {
    fn of(item: Option<Item>) -> Next {
        item.map_or(Next::Ended, Next::Item)
    }
}

/// Format and compression of one answer.
struct Encoder {
    /// `None`: the statement has no result.
    writer: Option<Box<dyn OutputFormat>>,
    packer: Packer,
    coding: Coding,
    format: String,
    zone: Zone,
    rows: u64,
    plain: Vec<u8>,
}

impl Encoder {
    fn prefix(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if let Some(writer) = &mut self.writer {
            writer.prefix(&mut self.plain)?;
        }
        self.pack(out)
    }

    fn item(&mut self, item: &Item, out: &mut Vec<u8>) -> Result<()> {
        if let Some(writer) = &mut self.writer {
            match item {
                Item::Rows(batch) => {
                    self.rows += batch.rows() as u64;
                    writer.batch(batch, &mut self.plain)?;
                }
                Item::Totals(batch) => writer.totals(batch, &mut self.plain)?,
                Item::Extremes(batch) => writer.extremes(batch, &mut self.plain)?,
            }
        }
        self.pack(out)
    }

    fn suffix(&mut self, running: &Running, out: &mut Vec<u8>) -> Result<()> {
        if let Some(writer) = &mut self.writer {
            let stats = ResultStats {
                rows: self.rows,
                rows_before_limit: *running.progress.rows_before_limit.lock(),
                elapsed_seconds: running.started_at.elapsed().as_secs_f64(),
                rows_read: Progress::get(&running.progress.read_rows),
                bytes_read: Progress::get(&running.progress.read_bytes),
            };
            writer.suffix(&stats, &mut self.plain)?;
        }
        self.pack(out)?;
        self.packer.finish(out)
    }

    /// Writes the error; answers true where the format has no place for it.
    fn exception(&mut self, error: &Error, out: &mut Vec<u8>) -> bool {
        self.plain.clear();
        match &mut self.writer {
            Some(writer) => writer.exception(error, &mut self.plain),
            None => self.plain.extend_from_slice(format!("{error}\n").as_bytes()),
        }
        let nothing = self.plain.is_empty();
        let packed = self.pack(out).and_then(|()| self.packer.finish(out));
        nothing || packed.is_err()
    }

    fn pack(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.packer.pack(&mut self.plain, out)
    }
}

/// The zone that times are written in; UTC for a name that is not one, as the engine has it.
pub(super) fn zone(name: &str) -> Zone {
    if name.is_empty() { Zone::UTC } else { Zone::parse(name).unwrap_or(Zone::UTC) }
}

/// Counters as `X-ClickHouse-Summary` has them.
pub(crate) fn summary(progress: &Progress, elapsed: Duration) -> String {
    let get = Progress::get;
    format!(
        r#"{{"read_rows":"{}","read_bytes":"{}","written_rows":"{}","written_bytes":"{}","total_rows_to_read":"{}","result_rows":"{}","result_bytes":"{}","elapsed_ns":"{}"}}"#,
        get(&progress.read_rows),
        get(&progress.read_bytes),
        get(&progress.written_rows),
        get(&progress.written_bytes),
        get(&progress.total_rows),
        get(&progress.result_rows),
        get(&progress.result_bytes),
        elapsed.as_nanos(),
    )
}

/// Headers that `{'X-Name': 'value', …}` asks for. Errors: BAD_ARGUMENTS (36) for another text, or what is no header.
fn extra_headers(text: &str) -> Result<Vec<(String, String)>> {
    let wrong = |why: &str| {
        let error = Error::bad_arguments(format!("http_response_headers: {why}"));
        error.hint("{'X-Name': 'value'}")
    };
    let inner = match text.trim() {
        "" => return Ok(Vec::new()),
        text => text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).ok_or_else(|| wrong("it is no map"))?,
    };
    let mut rest = inner.trim();
    let mut headers = Vec::new();
    while !rest.is_empty() {
        let (name, after) = quoted(rest).ok_or_else(|| wrong("a name in quotes is expected"))?;
        let after = after.trim_start().strip_prefix(':').ok_or_else(|| wrong("':' is expected"))?;
        let (value, after) = quoted(after.trim_start()).ok_or_else(|| wrong("a value in quotes is expected"))?;
        let is_header =
            ::http::HeaderName::try_from(name.as_str()).is_ok() && ::http::HeaderValue::from_str(&value).is_ok();
        // The frame of the answer is ours.
        let is_ours = ["content-length", "transfer-encoding", "connection", "content-encoding", "date"];
        if !is_header || is_ours.iter().any(|h| name.eq_ignore_ascii_case(h)) {
            return Err(wrong(&format!("'{name}' cannot be set to that")));
        }
        headers.push((name, value));
        rest = match after.trim_start() {
            "" => "",
            more => more.strip_prefix(',').ok_or_else(|| wrong("',' is expected"))?.trim_start(),
        };
        if headers.len() > EXTRA_HEADERS_MAX {
            return Err(wrong(&format!("more than {EXTRA_HEADERS_MAX} headers")));
        }
    }
    Ok(headers)
}

// Beside ours, which are some twenty; clients read a hundred.
const EXTRA_HEADERS_MAX: usize = 50;

/// A text between single quotes, and what stands behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('\'')?;
    let mut value = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Some((value, &inner[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_an_answer_are_a_map() {
        let of =
            |text: &str| extra_headers(text).map(|all| all.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>());
        assert_eq!(of("").unwrap(), Vec::<String>::new());
        assert_eq!(of("{ }").unwrap(), Vec::<String>::new());
        assert_eq!(
            of(r"{'X-A': 'it\'s', 'Content-Type':'image/png'}").unwrap(),
            ["X-A=it's", "Content-Type=image/png"]
        );
        for wrong in
            ["x", "{'a'}", "{'a':1}", "{'a':'b' 'c':'d'}", "{'a b':'c'}", "{'a':'b\nc'}", "{'Content-Length':'1'}"]
        {
            assert_eq!(of(wrong).unwrap_err().code, Code::BAD_ARGUMENTS, "{wrong}");
        }
    }

    #[test]
    fn pieces_end_with_a_line_and_are_never_too_long() {
        assert_eq!(piece_length(b"a\nb"), 3);
        let mut text = vec![b'x'; PIECE_BYTES_MAX + 10];
        assert_eq!(piece_length(&text), PIECE_BYTES_MAX);
        text[PIECE_BYTES_MAX] = b'\n';
        assert_eq!(piece_length(&text), PIECE_BYTES_MAX);
        text[7] = b'\n';
        assert_eq!(piece_length(&text), 8);
    }
}
