//! One query: from its packet to the end of its answer.
//!
//! In: a query, and for an INSERT its blocks. Out: a header, blocks the moment they are made, totals, extremes, progress,
//! counts, the end. Promise: a cancel ends the query at once and is answered with the end of the stream; a client that goes
//! ends its query; an error is told in place of what was to come.

use super::connection::{After, Connection, paused, unexpected};
use super::data::DataEncoder;
use super::decoder::ClientPacket;
use super::frame::Method;
use super::packet::{ProfileInfo, ProgressPacket, server};
use super::query::{Query, unquoted};
use bytes::Bytes;
use hydron_base::{Code, Error, Result, Settings};
use hydron_board::connection::REQUEST_READ;
use hydron_board::outbox::OUTBOX_BYTES;
use hydron_engine::{GivenScalar, GivenTable, Input, Item, Progress, QueryOptions, Running};
use hydron_format::native::{NativeOptions, push_varint};
use hydron_types::{Batch, TypeNames};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

// Progress is told this often while there is some; a query that waits is looked at less and less often.
const PROGRESS_PAUSE: Duration = Duration::from_millis(100);
const PROGRESS_PAUSE_MAX: Duration = Duration::from_secs(1);

// A query that waits for rows says so, which keeps proxies and drivers from giving up.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

// A query that was killed while its client takes nothing gets this long to end its frame; then the connection goes.
pub(crate) const KILLED_PATIENCE: Duration = Duration::from_secs(1);

/// What a client may send with one query: held in memory as long as the query runs.
const TEMPORARY_BYTES_MAX: usize = 512 << 20;
const TEMPORARY_TABLES_MAX: usize = 100;
const SCALARS_MAX: usize = 1_000;

/// Bytes of a block that the board can keep when a slow client takes a part of it: a supervisor ends the block of a worker that
/// has died before it says a word. Half of an outbox, since rows differ.
const BLOCK_BYTES: usize = OUTBOX_BYTES / 2;

/// Rows of the first block, from which the size of a row is learnt.
const FIRST_ROWS: usize = 1_024;

/// Cuts batches into blocks of [`BLOCK_BYTES`], where a supervisor holds the socket too; elsewhere a batch is a block.
struct Pieces {
    is_guarded: bool,
    rows_max: usize,
}

impl Pieces {
    fn new(is_guarded: bool) -> Pieces {
        Pieces { is_guarded, rows_max: FIRST_ROWS }
    }

    /// Takes the next block off `batch`.
    fn cut(&self, batch: &mut Batch) -> Batch {
        let rows = if self.is_guarded { batch.rows().min(self.rows_max) } else { batch.rows() };
        let piece = batch.slice(0, rows);
        *batch = batch.slice(rows, batch.rows() - rows);
        piece
    }

    /// A block of so many rows took so many bytes.
    fn note(&mut self, rows: usize, bytes: usize) {
        self.rows_max = (rows * BLOCK_BYTES / bytes.max(1)).max(1);
    }
}

/// What comes with a query and is its alone.
struct Given {
    tables: Arc<[GivenTable]>,
    scalars: Arc<[GivenScalar]>,
}

/// What a client does while its query runs.
pub(super) enum Interruption {
    Cancel,
    Gone,
}

impl Connection {
    /// The client sends nothing more before it has its answer.
    pub(super) fn note_request_read(&self) {
        if let Some(place) = self.socket.place() {
            place.set(REQUEST_READ);
        }
    }

    pub(super) async fn query(&mut self, query: Query) -> Result<After> {
        self.skips_data = false;
        let given = match self.given().await? {
            Some(given) => given,
            None => return Ok(After::Close),
        };
        let revision = self.decoder.revision();
        let options = given.and_then(|Given { tables, scalars }| {
            Ok(QueryOptions { given: tables, scalars, ..self.query_options(&query)? })
        });
        let options = match options {
            Ok(options) => options,
            Err(e) => return self.fail(&e).await,
        };
        let insert = super::insert::target(&query.text);
        let (input, blocks) = match insert {
            Some(_) => {
                let (sender, batches) = super::insert::channel();
                (Input::Batches(batches), Some(sender))
            }
            None => (Input::None, None),
        };
        if blocks.is_none() {
            self.note_request_read();
        }
        let text = Bytes::from(query.text);
        let engine = self.app.engine.clone();
        // The session is taken out so that the client can be listened to while the query starts.
        let mut session = self.session.clone();
        let started = {
            let execute = engine.execute(&mut session, text, input, options);
            tokio::pin!(execute);
            tokio::select! {
                biased;
                started = &mut execute => Ok(started),
                interruption = self.interruption() => Err(interruption?),
            }
        };
        self.session = session;
        let mut running = match started {
            Ok(Ok(running)) => running,
            Ok(Err(e)) => return self.fail(&e).await,
            Err(Interruption::Gone) => return Ok(After::Close),
            Err(Interruption::Cancel) => return self.end_of_stream().await,
        };
        let mut encoder = encoder(&running, revision, query.compressed);
        let answered = match (insert, blocks) {
            (Some(target), Some(blocks)) => self.insert(&mut running, &mut encoder, &target, blocks).await,
            _ => self.stream(&mut running, &mut encoder).await,
        };
        match answered {
            Ok(None | Some(Interruption::Cancel)) => {
                // The client may send its next query, under the same id, as soon as it hears of this one's end.
                drop(running);
                self.end_of_stream().await
            }
            Ok(Some(Interruption::Gone)) => Ok(After::Close),
            Err(e) => {
                running.note_error(&e);
                drop(running);
                match is_of_connection(&e) {
                    true => Err(e),
                    false => self.fail(&e).await,
                }
            }
        }
    }

    /// Reads what a client sends between a query and its end of data: tables and values that this query alone sees. `None`:
    /// the client has gone. The inner error is the query's; its data was read to the end.
    async fn given(&mut self) -> Result<Option<Result<Given>>> {
        let patience = self.app.options.receive_patience;
        let mut tables: Vec<(String, Vec<Batch>)> = Vec::new();
        let mut scalars: Vec<GivenScalar> = Vec::new();
        let (mut bytes, mut failed) = (0, None);
        loop {
            let packet = tokio::time::timeout(patience, self.packet()).await.map_err(|_| paused(patience))??;
            match packet {
                None => return Ok(None),
                Some(ClientPacket::Data { block, .. }) if block.columns.is_empty() => break,
                Some(ClientPacket::Data { table, block }) => {
                    bytes += block.bytes();
                    if bytes > TEMPORARY_BYTES_MAX || tables.len() == TEMPORARY_TABLES_MAX {
                        tables.clear();
                        failed.get_or_insert_with(|| {
                            let text = format!(
                                "temporary tables of a query take more than {TEMPORARY_BYTES_MAX} bytes, or are more than \
                                 {TEMPORARY_TABLES_MAX}"
                            );
                            Error::new(Code::TOO_MANY_BYTES, text).hint("INSERT them into a stream")
                        });
                        continue;
                    }
                    match tables.iter_mut().find(|(name, _)| *name == table) {
                        Some((_, batches)) if batches[0].schema == block.schema => batches.push(block),
                        Some(_) => {
                            let text = format!("blocks of temporary table '{table}' have different columns");
                            failed.get_or_insert(Error::new(Code::INCORRECT_DATA, text));
                        }
                        None => tables.push((table, vec![block])),
                    }
                }
                Some(ClientPacket::Scalar { name, block }) => {
                    bytes += block.bytes();
                    let taken = match bytes > TEMPORARY_BYTES_MAX || scalars.len() == SCALARS_MAX {
                        true => Err(Error::new(
                            Code::TOO_MANY_BYTES,
                            format!("more than {SCALARS_MAX} scalars, or {TEMPORARY_BYTES_MAX} bytes, for one query"),
                        )),
                        false => GivenScalar::of_block(&name, &block),
                    };
                    match taken {
                        Ok(scalar) => scalars.push(scalar),
                        Err(e) => drop(failed.get_or_insert(e)),
                    }
                }
                Some(_) => return Err(unexpected("a packet before the end of a query's data")),
            }
        }
        let given = tables.into_iter().map(|(name, batches)| {
            let schema = Arc::clone(&batches[0].schema);
            GivenTable::new(&name, &schema, batches)
        });
        let given = Given { tables: given.collect(), scalars: scalars.into() };
        Ok(Some(failed.map_or(Ok(given), Err)))
    }

    fn query_options(&self, query: &Query) -> Result<QueryOptions> {
        let mut settings = Settings::default();
        for setting in &query.settings {
            match settings.set(&setting.name, &setting.value) {
                // Drivers of other versions send what they know; only what a query must have is an error.
                Err(e) if e.code == Code::UNKNOWN_SETTING && !setting.important => {
                    tracing::debug!("setting '{}' of {} is unknown, it is passed over", setting.name, self.from);
                }
                set => set?,
            }
        }
        for parameter in &query.parameters {
            settings.set(&format!("param_{}", parameter.name), &unquoted(&parameter.value))?;
        }
        if !self.session.settings.is_changed("query_mode") && !settings.is_changed("query_mode") {
            settings.set("query_mode", self.app.options.query_mode)?;
        }
        Ok(QueryOptions {
            query_id: query.id.clone(),
            settings,
            interface: "tcp",
            client_address: self.from.ip().to_canonical().to_string(),
            quota_key: if query.quota_key.is_empty() { self.quota_key.clone() } else { query.quota_key.clone() },
            connection: self.socket.place_index(),
            given: Arc::default(),
            scalars: Arc::default(),
        })
    }

    /// What the client does while its query runs; waits for it. Dropping this loses nothing.
    pub(super) async fn interruption(&mut self) -> Result<Interruption> {
        loop {
            match self.packet().await {
                Ok(None) => return Ok(Interruption::Gone),
                Err(e) if e.code == Code::NETWORK_ERROR => return Ok(Interruption::Gone),
                Err(e) => return Err(e),
                Ok(Some(ClientPacket::Cancel)) => return Ok(Interruption::Cancel),
                Ok(Some(ClientPacket::KeepAlive)) => {}
                Ok(Some(_)) => return Err(unexpected("a packet while a query runs")),
            }
        }
    }

    /// Sends the answer of a query as it is made. `None` at its end.
    async fn stream(&mut self, running: &mut Running, encoder: &mut DataEncoder) -> Result<Option<Interruption>> {
        let mut frame = Vec::new();
        if let Some(schema) = &running.schema {
            encoder.write(server::DATA, Some(&Batch::empty(schema.clone())), &mut frame)?;
            self.socket.send(&frame).await?;
        }
        let mut told = Told::new();
        let mut info = ProfileInfo::default();
        let mut pieces = Pieces::new(self.socket.place().is_some());
        loop {
            frame.clear();
            let item = tokio::select! {
                biased;
                interruption = self.interruption() => return interruption.map(Some),
                item = running.next() => Some(item?),
                () = tokio::time::sleep_until(told.next) => None,
            };
            match item {
                None => {
                    told.look(&running.progress, encoder.options.revision, &mut frame);
                }
                Some(None) => {
                    if running.schema.is_some() {
                        info.rows_before_limit = *running.progress.rows_before_limit.lock();
                        info.write(&mut frame);
                        told.last(&running.progress, encoder.options.revision, &mut frame);
                        encoder.write(server::DATA, None, &mut frame)?;
                    } else {
                        told.last(&running.progress, encoder.options.revision, &mut frame);
                    }
                    self.socket.send(&frame).await?;
                    return Ok(None);
                }
                Some(Some(Item::Rows(batch))) if batch.rows() == 0 => {}
                Some(Some(Item::Rows(mut batch))) => {
                    while batch.rows() > 0 {
                        let piece = pieces.cut(&mut batch);
                        info.blocks += 1;
                        info.rows += piece.rows() as u64;
                        let before = frame.len();
                        encoder.write(server::DATA, Some(&piece), &mut frame)?;
                        info.bytes += (frame.len() - before) as u64;
                        pieces.note(piece.rows(), frame.len() - before);
                        if batch.rows() > 0 {
                            self.send_unless_killed(&frame, running).await?;
                            frame.clear();
                        }
                    }
                    if told.next <= Instant::now() {
                        told.look(&running.progress, encoder.options.revision, &mut frame);
                    }
                }
                Some(Some(Item::Totals(batch))) => encoder.write(server::TOTALS, Some(&batch), &mut frame)?,
                Some(Some(Item::Extremes(batch))) => encoder.write(server::EXTREMES, Some(&batch), &mut frame)?,
            }
            if !frame.is_empty() {
                if let Some(resume) = running.resume() {
                    resume.hand_over();
                }
                self.send_unless_killed(&frame, running).await?;
            }
        }
    }

    /// Sends a frame; a KILL or a stop of the server does not wait for a client that takes nothing.
    async fn send_unless_killed(&mut self, frame: &[u8], running: &mut Running) -> Result<()> {
        let cancel = running.cancel_token();
        let killed = async {
            cancel.cancelled().await;
            tokio::time::sleep(KILLED_PATIENCE).await;
        };
        tokio::select! {
            biased;
            sent = self.socket.send(frame) => sent,
            () = killed => Err(Error::new(Code::NETWORK_ERROR, "the query was killed while its client took nothing")),
        }
    }

    pub(super) async fn end_of_stream(&mut self) -> Result<After> {
        let mut frame = Vec::new();
        push_varint(server::END_OF_STREAM, &mut frame);
        self.socket.send(&frame).await?;
        Ok(After::Next)
    }
}

/// Whether an error is of the socket or the protocol, so that nothing can follow it.
fn is_of_connection(error: &Error) -> bool {
    matches!(
        error.code,
        Code::NETWORK_ERROR
            | Code::SOCKET_TIMEOUT
            | Code::UNEXPECTED_PACKET_FROM_CLIENT
            | Code::UNKNOWN_PACKET_FROM_CLIENT
            | Code::CHECKSUM_DOESNT_MATCH
            | Code::CANNOT_DECOMPRESS
            | Code::MSG_SIZE_TOO_LARGE
    )
}

fn encoder(running: &Running, revision: u64, compressed: bool) -> DataEncoder {
    let settings = &running.settings;
    let options = NativeOptions { revision, names: TypeNames::parse(settings.text("type_names")) };
    let method = match settings.text("network_compression_method") {
        zstd if zstd.eq_ignore_ascii_case("zstd") => {
            let level = settings.uint("network_zstd_compression_level").clamp(1, 9) as i32;
            Method::Zstd { level }
        }
        _ => Method::Lz4,
    };
    DataEncoder::new(options, compressed.then_some(method))
}

/// What a client knows of its query's progress.
struct Told {
    sent: ProgressPacket,
    next: Instant,
    pause: Duration,
    last_sent: Instant,
}

impl Told {
    fn new() -> Told {
        let now = Instant::now();
        Told { sent: ProgressPacket::default(), next: now + PROGRESS_PAUSE, pause: PROGRESS_PAUSE, last_sent: now }
    }

    /// Appends what is new, or a sign of life when there has been none for long.
    fn look(&mut self, progress: &Progress, revision: u64, out: &mut Vec<u8>) {
        let now = Instant::now();
        let news = self.news(progress);
        if news != ProgressPacket::default() || now.duration_since(self.last_sent) >= SIGN_OF_LIFE {
            news.write(revision, out);
            self.last_sent = now;
            self.pause = PROGRESS_PAUSE;
        } else {
            self.pause = (self.pause * 2).min(PROGRESS_PAUSE_MAX);
        }
        self.next = now + self.pause;
    }

    fn last(&mut self, progress: &Progress, revision: u64, out: &mut Vec<u8>) {
        self.news(progress).write(revision, out);
    }

    fn news(&mut self, progress: &Progress) -> ProgressPacket {
        let now = ProgressPacket {
            read_rows: Progress::get(&progress.read_rows),
            read_bytes: Progress::get(&progress.read_bytes),
            total_rows: Progress::get(&progress.total_rows),
            written_rows: Progress::get(&progress.written_rows),
            written_bytes: Progress::get(&progress.written_bytes),
        };
        let before = std::mem::replace(&mut self.sent, now);
        ProgressPacket {
            read_rows: now.read_rows.saturating_sub(before.read_rows),
            read_bytes: now.read_bytes.saturating_sub(before.read_bytes),
            total_rows: now.total_rows.saturating_sub(before.total_rows),
            written_rows: now.written_rows.saturating_sub(before.written_rows),
            written_bytes: now.written_bytes.saturating_sub(before.written_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_types::Schema;
    use std::sync::Arc;

    #[test]
    fn blocks_fit_the_outbox_once_the_size_of_a_row_is_known() {
        let schema = Schema::new(vec![]);
        let mut batch = Batch::new(Arc::new(schema), vec![], 10_000);
        let mut pieces = Pieces::new(true);
        assert_eq!(pieces.cut(&mut batch).rows(), FIRST_ROWS);
        pieces.note(FIRST_ROWS, FIRST_ROWS * 100);
        assert_eq!(pieces.cut(&mut batch).rows(), BLOCK_BYTES / 100);
        pieces.note(1, BLOCK_BYTES * 9);
        assert_eq!((pieces.cut(&mut batch).rows(), batch.rows()), (1, 10_000 - FIRST_ROWS - BLOCK_BYTES / 100 - 1));
        assert_eq!(Pieces::new(false).cut(&mut batch.clone()).rows(), batch.rows());
    }
}
