//! Rows of an INSERT as blocks: the columns are told to the client, then its blocks are handed on as they come.
//!
//! In: data packets. Out: batches for the engine. Promise: the client is not read faster than its rows are stored; when its
//! connection breaks off the INSERT ends as cancelled, and what was stored before stays.

use super::answer::Interruption;
use super::connection::{Connection, paused, unexpected};
use super::data::DataEncoder;
use super::decoder::ClientPacket;
use super::packet::{server, write_table_columns};
use super::profile::ProfileEvents;
use super::revision::{WITH_PROFILE_EVENTS_IN_INSERT, WITH_TABLE_COLUMNS};
use futures::stream::{BoxStream, StreamExt, unfold};
use hydron_base::{Code, Error, Result};
use hydron_engine::catalog::Object;
use hydron_engine::{Progress, Running};
use hydron_format::native::NativeOptions;
use hydron_plan::ColumnDefault;
use hydron_sql::ast::{InsertSource, InsertTarget, ObjectName, StatementKind};
use hydron_types::{Batch, TypeNames};
use std::fmt::Write;
use std::sync::Arc;
use tokio::sync::mpsc;

// Blocks that wait for the engine: one is written while the next arrives. A block is 128 MiB at most.
const BLOCKS_WAITING_MAX: usize = 1;

/// The stream that `text` fills with blocks; `None` for other statements, and for an INSERT that has its rows in its text.
pub(super) fn target(text: &[u8]) -> Option<ObjectName> {
    let start = text.iter().position(|b| !b.is_ascii_whitespace())?;
    // Comments and parentheses may stand before the word.
    let word = &text[start..text.len().min(start + 6)];
    if !word.eq_ignore_ascii_case(b"insert") && !matches!(word.first(), Some(b'-' | b'/' | b'(' | b'#')) {
        return None;
    }
    let utf8 = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&text[..e.valid_up_to()]).unwrap_or_default(),
    };
    let parsed = hydron_sql::parse_statement(utf8).ok()?;
    let StatementKind::Insert(insert) = parsed.statement.kind else { return None };
    let has_rows =
        parsed.insert_data.is_some_and(|at| text[at..].iter().any(|b| !b.is_ascii_whitespace() && *b != b';'));
    match (insert.source, insert.target) {
        (InsertSource::Select(_), _) => None,
        (_, InsertTarget::Stream(name)) if !has_rows => Some(name),
        _ => None,
    }
}

/// Where blocks go in and come out as the batches of an INSERT.
pub(super) fn channel() -> (mpsc::Sender<Batch>, BoxStream<'static, Result<Batch>>) {
    let (sender, receiver) = mpsc::channel(BLOCKS_WAITING_MAX);
    let batches = unfold(receiver, |mut receiver: mpsc::Receiver<Batch>| async move {
        let batch = receiver.recv().await?;
        Some((Ok(batch), receiver))
    });
    (sender, batches.boxed())
}

impl Connection {
    /// Takes blocks until the client says that there are no more, then waits until all of them are stored.
    pub(super) async fn insert(
        &mut self,
        running: &mut Running,
        encoder: &mut DataEncoder,
        target: &ObjectName,
        blocks: mpsc::Sender<Batch>,
    ) -> Result<Option<Interruption>> {
        let header = running.insert_header().ok_or_else(|| Error::bug("an INSERT of blocks without columns"))?;
        let mut frame = Vec::new();
        if encoder.options.revision >= WITH_TABLE_COLUMNS
            && running.settings.bool("input_format_defaults_for_omitted_fields")
            && let Some(columns) = self.table_columns(target, encoder.options.names)
        {
            write_table_columns(&columns, &mut frame);
        }
        encoder.write(server::DATA, Some(&Batch::empty(header)), &mut frame)?;
        self.socket.send(&frame).await?;
        let patience = self.app.options.receive_patience;
        let mut events = ProfileEvents::new(&self.app.engine.options().display_name);
        let progress = Arc::clone(&running.progress);
        let mut count = 0;
        loop {
            let packet = tokio::select! {
                biased;
                // It ends before the last block only with an error.
                item = running.next() => {
                    item?;
                    return Err(Error::bug("an INSERT ended before its last block"));
                }
                packet = tokio::time::timeout(patience, self.packet()) => packet.map_err(|_| paused(patience))?,
            };
            let packet = match packet {
                Err(e) if e.code == Code::NETWORK_ERROR => None,
                packet => packet?,
            };
            match packet {
                None => return Ok(Some(Interruption::Gone)),
                Some(ClientPacket::Cancel) => return Ok(Some(Interruption::Cancel)),
                Some(ClientPacket::Data { block, .. }) if block.columns.is_empty() => break,
                Some(ClientPacket::Data { block, .. }) if block.rows() == 0 => {
                    self.tell_events(&mut events, count, &progress, encoder.options).await?;
                }
                Some(ClientPacket::Data { block, .. }) => {
                    tokio::select! {
                        biased;
                        // A channel whose other end is gone: the error is the query's to tell.
                        sent = blocks.send(block) => if sent.is_err() { break },
                        item = running.next() => {
                            item?;
                            return Err(Error::bug("an INSERT ended before its last block"));
                        }
                    }
                    count += 1;
                    self.tell_events(&mut events, count, &progress, encoder.options).await?;
                }
                Some(ClientPacket::KeepAlive) => {}
                Some(_) => return Err(unexpected("a packet among the rows of an INSERT")),
            }
        }
        drop(blocks);
        self.note_request_read();
        loop {
            tokio::select! {
                biased;
                interruption = self.interruption() => return interruption.map(Some),
                item = running.next() => if item?.is_none() { break },
            }
        }
        self.tell_events(&mut events, count, &progress, encoder.options).await?;
        Ok(None)
    }

    /// Tells what was inserted since the last time, to clients that wait for it after each block.
    async fn tell_events(
        &mut self,
        events: &mut ProfileEvents,
        blocks: u64,
        progress: &Progress,
        options: NativeOptions,
    ) -> Result<()> {
        if options.revision < WITH_PROFILE_EVENTS_IN_INSERT {
            return Ok(());
        }
        let mut frame = Vec::new();
        events.write(blocks, progress, options, &mut frame)?;
        self.socket.send(&frame).await
    }

    /// The columns of a stream as clients read them to fill in defaults; `None` when it has just gone.
    fn table_columns(&self, target: &ObjectName, names: TypeNames) -> Option<String> {
        let catalog = self.app.engine.inner().catalog.snapshot();
        let database = target.database.as_deref().unwrap_or(&self.session.database);
        let of_session = self.session.temporary.get(&target.name).filter(|_| target.database.is_none());
        let stream = match (of_session, catalog.existing(database, &target.name)) {
            (Some(stream), _) => stream,
            (None, Ok(Object::Stream(stream))) => Arc::clone(stream),
            (None, _) => return None,
        };
        let columns = &stream.info.columns;
        let mut out = format!("columns format version: 1\n{} columns:\n", columns.len());
        for column in columns {
            let name = column.name.replace('\\', "\\\\").replace('`', "\\`");
            let _ = write!(out, "`{name}` {}", escaped(&names.of(&column.ty)));
            let (kind, expression) = match &column.default {
                ColumnDefault::None => ("", ""),
                ColumnDefault::Default(e) => ("DEFAULT", e.as_str()),
                ColumnDefault::Materialized(e) => ("MATERIALIZED", e.as_str()),
                ColumnDefault::Alias(e) => ("ALIAS", e.as_str()),
                ColumnDefault::Ephemeral(e) => ("EPHEMERAL", e.as_deref().unwrap_or("")),
            };
            if !expression.is_empty() {
                let _ = write!(out, "\t{kind}\t{}", escaped(expression));
            }
            out.push('\n');
        }
        Some(out)
    }
}

/// As TSV has it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\'', "\\'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insert_takes_blocks_unless_it_has_rows() {
        let takes = |text: &str| target(text.as_bytes()).is_some();
        assert!(takes("INSERT INTO t VALUES"));
        assert!(takes("  insert into d.t (a, b) values ;"));
        assert!(takes("INSERT INTO t FORMAT Native"));
        assert!(takes("INSERT INTO t (a)"));
        assert!(takes("/* from a test */ INSERT INTO t VALUES "));
        assert!(!takes("INSERT INTO t VALUES (1)"));
        assert!(!takes("INSERT INTO t SELECT 1"));
        assert!(!takes("INSERT INTO t FORMAT CSV\n1"));
        assert!(!takes("SELECT 1"));
        assert!(!takes(""));
    }
}
