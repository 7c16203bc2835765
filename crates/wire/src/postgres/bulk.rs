//! COPY, done: rows of a client into an INSERT, and an answer as the bytes of a format.
//!
//! In: a COPY, and for one from STDIN the client's pieces. Out: pieces, and how many rows there were. Promise: the client is not read
//! faster than its rows are stored; one that breaks off ends the INSERT.

use super::answer::BLOCK_BYTES;
use super::answer::gone;
use super::connection::Connection;
use super::copy::{PIECES_WAITING_MAX, Pieces};
use super::message::Message;
use super::phrase::Copy;
use super::prepared::Open;
use super::reply;
use bytes::Bytes;
use hydron_base::{Code, Error, Result};
use hydron_engine::{Input, Item, Progress};
use hydron_format::{FormatOptions, ResultStats};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Rows of one message of a COPY.
const COPY_ROWS: usize = 512;

impl Connection {
    pub(super) async fn copy(&mut self, copy: &Copy) -> Result<()> {
        if !copy.is_in {
            return self.copy_out(&copy.statement).await;
        }
        let (pieces, waiting) = mpsc::channel(PIECES_WAITING_MAX);
        let mut open = self.begin(&copy.statement, Input::Bytes(Box::new(Pieces(waiting))), &[]).await?;
        let columns = open.running.insert_header().map_or(1, |h| h.len());
        reply::copy(b'G', columns, &mut self.out);
        self.flush().await?;
        self.copy_in(&mut open, pieces).await.inspect_err(|e| open.running.note_error(e))?;
        self.has_changed = true;
        let rows = Progress::get(&open.running.progress.written_rows);
        reply::complete(&format!("COPY {rows}"), &mut self.out);
        Ok(())
    }

    /// Hands the client's rows on, and waits until they are stored.
    async fn copy_in(&mut self, open: &mut Open, pieces: mpsc::Sender<Result<Bytes>>) -> Result<()> {
        loop {
            let message = tokio::select! {
                biased;
                // It ends before the last piece only with an error.
                item = open.running.next() => {
                    item?;
                    return Err(Error::bug("a COPY ended before its last row"));
                }
                message = self.next_message() => message?,
            };
            let (piece, is_last) = match message {
                Some(Message::CopyData(bytes)) if bytes.is_empty() => continue,
                Some(Message::CopyData(bytes)) => (Ok(bytes), false),
                Some(Message::CopyDone) => (Ok(Bytes::new()), true),
                Some(Message::CopyFail(why)) => {
                    (Err(Error::new(Code::QUERY_WAS_CANCELLED, format!("the client broke off its COPY: {why}"))), true)
                }
                Some(Message::Flush | Message::Sync) => continue,
                None | Some(Message::Terminate) => return Err(gone()),
                Some(_) => {
                    let text = "a message among the rows of a COPY is not expected";
                    return Err(Error::new(Code::UNEXPECTED_PACKET_FROM_CLIENT, text));
                }
            };
            let sent = tokio::select! {
                biased;
                sent = pieces.send(piece) => sent,
                item = open.running.next() => {
                    item?;
                    return Err(Error::bug("a COPY ended before its last row"));
                }
            };
            // A channel whose other end is gone: the error is the query's to tell.
            if is_last || sent.is_err() {
                break;
            }
        }
        if self.buffer.is_empty() {
            self.note_request_read();
        }
        loop {
            tokio::select! {
                biased;
                item = open.running.next() => if item?.is_none() { return Ok(()) },
                () = self.gone() => return Err(gone()),
            }
        }
    }

    /// An answer as the bytes of a format.
    async fn copy_out(&mut self, statement: &str) -> Result<()> {
        let mut open = self.begin(statement, Input::None, &[]).await?;
        let Some(schema) = open.running.schema.clone() else {
            return Err(Error::new(Code::SYNTAX_ERROR, "COPY … TO is for a query"));
        };
        let options = FormatOptions::from_settings(&open.running.settings, open.text.zone);
        let format = open.running.format.clone().unwrap_or_else(|| "TabSeparated".to_string());
        let mut writer = hydron_format::output(&format, Arc::clone(&schema), &options)?;
        reply::copy(b'H', schema.len(), &mut self.out);
        let mut piece = Vec::new();
        writer.prefix(&mut piece)?;
        loop {
            let item = tokio::select! {
                biased;
                item = open.running.next() => item?,
                () = std::future::ready(()), if !self.out.is_empty() => {
                    self.send_unless_killed(&mut open.running).await?;
                    continue;
                }
                () = self.gone() => return Err(gone()),
            };
            match item {
                Some(Item::Rows(batch)) => {
                    let mut from = 0;
                    while from < batch.rows() {
                        let rows = (batch.rows() - from).min(COPY_ROWS);
                        writer.batch(&batch.slice(from, rows), &mut piece)?;
                        from += rows;
                        open.sent += rows as u64;
                        self.copy_piece(&mut piece);
                        if self.out.len() >= BLOCK_BYTES {
                            self.send_unless_killed(&mut open.running).await?;
                        }
                    }
                }
                Some(Item::Totals(_) | Item::Extremes(_)) => {}
                None => break,
            }
        }
        writer.suffix(&ResultStats::default(), &mut piece)?;
        self.copy_piece(&mut piece);
        reply::copy_done(&mut self.out);
        reply::complete(&format!("COPY {}", open.sent), &mut self.out);
        Ok(())
    }

    fn copy_piece(&mut self, piece: &mut Vec<u8>) {
        if !piece.is_empty() {
            reply::copy_data(piece, &mut self.out);
            piece.clear();
        }
    }
}
