//! One message of a client, and what is answered.
//!
//! In: queries of the simple protocol; the steps of the extended one. Out: columns, rows the moment they are made, counts, errors.
//! Promise: rows leave as soon as nothing more is at hand; a client that goes, or cancels, ends its statement at once; no more
//! than a block of rows waits in memory.

use super::connection::Connection;
use super::dialect;
use super::message::{Bind, Message, Target};
use super::phrase::{self, Phrase};
use super::prepared::{Open, Portal, PortalProgress, Prepared, columns_of};
use super::reply::{self, Described, Report, Severity, Transaction};
use super::types::{PgType, RowWriter, TEXT};
use bytes::Bytes;
use hydron_base::error::Position;
use hydron_base::{Code, Error, Result, Settings};
use hydron_board::connection::REQUEST_READ;
use hydron_board::outbox::OUTBOX_BYTES;
use hydron_engine::{Input, Item, Progress, QueryOptions, Running};
use hydron_sql::ast::StatementKind;

/// Rows are sent in pieces of this size: the board keeps what a slow client has not taken of one.
pub(super) const BLOCK_BYTES: usize = OUTBOX_BYTES / 2;

/// What a client may send while its statement runs; more is left to the kernel.
const PIPELINE_BYTES_MAX: usize = 1 << 20;

/// How an open statement stopped.
#[derive(PartialEq)]
pub(super) enum Pumped {
    Ended,
    /// As many rows as were asked for are sent, and there may be more.
    Suspended,
}

impl Connection {
    /// Takes one message. Errors: those after which the connection cannot go on.
    pub(super) async fn take(&mut self, message: Message) -> Result<()> {
        if self.is_skipping && message != Message::Sync {
            return Ok(());
        }
        let (outcome, text) = match message {
            Message::Query(text) => {
                self.note_request_read();
                return self.simple(&text).await;
            }
            Message::Sync => {
                self.is_skipping = false;
                if self.transaction == Transaction::Idle {
                    self.names.portals.retain(|_, portal| portal.is_cursor);
                }
                self.ready();
                return Ok(());
            }
            Message::Flush => return self.flush().await,
            // Rows of a COPY that has failed.
            Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_) => return Ok(()),
            Message::Parse { name, text, types } => {
                let outcome = self.parse(name, &text, types);
                (outcome, text)
            }
            Message::Bind(bind) => (self.bind(&bind), String::new()),
            Message::Describe(Target::Statement, name) => {
                let text = self.names.statement(&name).map_or(String::new(), |p| p.text.clone());
                (self.describe_statement(&name).await, text)
            }
            Message::Describe(Target::Portal, name) => {
                let text = self.names.portal(&name).map_or(String::new(), |p| p.text.clone());
                (self.describe_portal(&name).await, text)
            }
            Message::Execute { portal, rows_max } => {
                let text = self.names.portal(&portal).map_or(String::new(), |p| p.text.clone());
                if is_end_of_request(&self.buffer) {
                    self.note_request_read();
                }
                (self.execute(&portal, rows_max).await, text)
            }
            Message::Close(target, name) => {
                match target {
                    Target::Statement => drop(self.names.statements.remove(&name)),
                    Target::Portal => drop(self.names.portals.remove(&name)),
                }
                reply::closed(&mut self.out);
                (Ok(()), name)
            }
            Message::Password(_) | Message::Terminate => {
                return Err(Error::new(Code::UNEXPECTED_PACKET_FROM_CLIENT, "a password is not expected here"));
            }
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(e) if is_of_connection(&e) => Err(e),
            Err(e) => {
                self.fail(&e, &text);
                self.is_skipping = true;
                Ok(())
            }
        }
    }

    /// The client sends nothing more before it has its answer.
    pub(super) fn note_request_read(&self) {
        if let Some(place) = self.socket.place() {
            place.set(REQUEST_READ);
        }
    }

    /// Tells the client that its statement has failed.
    fn fail(&mut self, error: &Error, text: &str) {
        if error.code == ABORTED.code && error.message == ABORTED.message {
            let message = ABORTED.message;
            let (severity, sqlstate) = (Severity::Error, "25P02");
            Report { severity, sqlstate, message, detail: None, hint: Some(ABORTED.hint), position: None }
                .write(&mut self.out);
            return;
        }
        reply::error(Severity::Error, error, text, &mut self.out);
        if self.transaction == Transaction::Open {
            self.transaction = Transaction::Failed;
        }
    }

    /// All statements of one text, up to the first that fails.
    async fn simple(&mut self, text: &str) -> Result<()> {
        self.names.portals.remove("");
        let text = dialect::translated(text);
        let scripts: Vec<(String, usize)> =
            hydron_sql::parse_many(&text).map(|s| (s.text.to_string(), s.start)).collect();
        if scripts.is_empty() {
            reply::empty(&mut self.out);
        }
        for (statement, start) in scripts {
            match self.statement(&statement).await {
                Ok(()) => {}
                Err(e) if is_of_connection(&e) => return Err(e),
                Err(mut e) => {
                    e.position = e.position.map(|p| Position::in_text(&text, start + p.offset));
                    self.fail(&e, &text);
                    break;
                }
            }
        }
        self.ready();
        Ok(())
    }

    /// One statement of the simple protocol.
    async fn statement(&mut self, text: &str) -> Result<()> {
        if let Some(phrase) = phrase::phrase(text)? {
            return self.act(phrase, true).await;
        }
        self.check_transaction()?;
        let mut open = self.begin(text, Input::None, &[]).await?;
        if open.running.schema.is_some() {
            reply::columns(&open.described, &mut self.out);
        }
        self.pump(&mut open, None).await?;
        self.complete(&open, text);
        Ok(())
    }

    pub(super) fn check_transaction(&self) -> Result<()> {
        match self.transaction {
            Transaction::Failed => Err(Error::new(ABORTED.code, ABORTED.message)),
            _ => Ok(()),
        }
    }

    fn parse(&mut self, name: String, text: &str, types: Vec<u32>) -> Result<()> {
        let text = dialect::translated(text).into_owned();
        // One statement only, so that nothing is run that was not looked at.
        if phrase::phrase(&text)?.is_none() && hydron_sql::parse_many(&text).nth(1).is_some() {
            return Err(Error::new(Code::SYNTAX_ERROR, "a prepared statement is one statement, another one follows"));
        }
        self.names.prepare(name, Prepared::new(text, types)?)?;
        reply::parsed(&mut self.out);
        Ok(())
    }

    fn bind(&mut self, bind: &Bind) -> Result<()> {
        let text = self.names.statement(&bind.statement)?.with(bind)?;
        let portal = Portal {
            text,
            result_formats: bind.result_formats.clone(),
            progress: PortalProgress::New,
            is_cursor: false,
        };
        self.names.open(bind.portal.clone(), portal)?;
        reply::bound(&mut self.out);
        Ok(())
    }

    async fn describe_statement(&mut self, name: &str) -> Result<()> {
        let prepared = self.names.statement(name)?.clone();
        reply::parameter_types(&prepared.told_types(), &mut self.out);
        if let Some(phrase) = phrase::phrase(&prepared.text)? {
            return self.describe_phrase(&phrase, &[]);
        }
        let parses = |text: &str| hydron_sql::parse_statement(text).map(|p| p.statement.kind);
        // A sample that fits its place: which, only the whole statement says.
        let mut first = None;
        for unknown in ["", "0", "2000-01-01 00:00:00"] {
            let text = prepared.with_samples(unknown)?;
            let described = match parses(&text)? {
                StatementKind::Query(_) => {
                    let analysis = self.app.engine.analyze(&self.session, &text, &Settings::default()).await;
                    analysis.map(|a| columns_of(&a.result_columns))
                }
                StatementKind::Show(_)
                | StatementKind::Describe(_)
                | StatementKind::Exists(_)
                | StatementKind::Explain(_) => self.begin(&text, Input::None, &[]).await.map(|open| open.described),
                _ => Ok(Vec::new()),
            };
            match described {
                Ok(columns) if columns.is_empty() => {
                    reply::no_columns(&mut self.out);
                    return Ok(());
                }
                Ok(columns) => {
                    reply::columns(&columns, &mut self.out);
                    return Ok(());
                }
                Err(e) => {
                    first.get_or_insert(e);
                }
            }
        }
        Err(first.unwrap_or_else(|| Error::bug("no sample was tried")))
    }

    /// Begins a portal that answers with rows, so that its columns are known.
    async fn describe_portal(&mut self, name: &str) -> Result<()> {
        let portal = self.names.portal(name)?;
        let (text, formats) = (portal.text.clone(), portal.result_formats.clone());
        if let Some(phrase) = phrase::phrase(&text)? {
            return self.describe_phrase(&phrase, &formats);
        }
        if let PortalProgress::Open(open) = &portal.progress {
            reply::columns(&open.described, &mut self.out);
            return Ok(());
        }
        self.check_transaction()?;
        if !answers_rows(&text)? {
            reply::no_columns(&mut self.out);
            return Ok(());
        }
        let open = self.begin(&text, Input::None, &formats).await?;
        match open.running.schema.is_some() {
            true => reply::columns(&open.described, &mut self.out),
            false => reply::no_columns(&mut self.out),
        }
        self.names.portal(name)?.progress = PortalProgress::Open(Box::new(open));
        Ok(())
    }

    fn describe_phrase(&mut self, phrase: &Phrase, formats: &[i16]) -> Result<()> {
        let column = |name: &str| Described {
            name: name.to_string(),
            ty: PgType::of_oid(TEXT),
            format: formats.first().copied().unwrap_or(0),
        };
        match phrase {
            Phrase::Show(name) => reply::columns(&[column(name)], &mut self.out),
            Phrase::Constant { name, .. } => reply::columns(&[column(name)], &mut self.out),
            Phrase::Fetch { name, .. } => match &self.names.portal(name)?.progress {
                PortalProgress::Open(open) => reply::columns(&open.described, &mut self.out),
                _ => reply::no_columns(&mut self.out),
            },
            _ => reply::no_columns(&mut self.out),
        }
        Ok(())
    }

    async fn execute(&mut self, name: &str, rows_max: u32) -> Result<()> {
        let portal = self.names.portal(name)?;
        let (text, formats) = (portal.text.clone(), portal.result_formats.clone());
        if let Some(phrase) = phrase::phrase(&text)? {
            return self.act(phrase, false).await;
        }
        if text.trim().is_empty() {
            reply::empty(&mut self.out);
            return Ok(());
        }
        self.check_transaction()?;
        let portal = self.names.portal(name)?;
        let open = match std::mem::replace(&mut portal.progress, PortalProgress::Ended) {
            PortalProgress::New => Box::new(self.begin(&text, Input::None, &formats).await?),
            PortalProgress::Open(open) => open,
            PortalProgress::Ended => {
                reply::complete("SELECT 0", &mut self.out);
                return Ok(());
            }
        };
        self.go_on(name, open, &text, Some(rows_max).filter(|n| *n > 0)).await.map(|_| ())
    }

    /// Sends rows of a portal. Answers how many.
    async fn go_on(&mut self, name: &str, mut open: Box<Open>, text: &str, rows_max: Option<u32>) -> Result<u64> {
        let before = open.sent;
        let pumped = self.pump(&mut open, rows_max).await?;
        let sent = open.sent - before;
        match pumped {
            Pumped::Ended => self.complete(&open, text),
            Pumped::Suspended => {
                reply::suspended(&mut self.out);
                self.names.portal(name)?.progress = PortalProgress::Open(open);
            }
        }
        Ok(sent)
    }

    /// Starts a statement in the engine.
    pub(super) async fn begin(&mut self, text: &str, input: Input, formats: &[i16]) -> Result<Open> {
        let options = QueryOptions {
            query_id: String::new(),
            settings: Settings::default(),
            interface: "postgres",
            client_address: self.from.ip().to_canonical().to_string(),
            connection: self.socket.place_index(),
            ..QueryOptions::default()
        };
        let engine = self.app.engine.clone();
        // The session is taken out so that the client can be listened to while the query starts.
        let mut session = self.session.clone();
        let started = {
            let execute = engine.execute(&mut session, Bytes::from(text.to_string()), input, options);
            tokio::pin!(execute);
            tokio::select! {
                biased;
                started = &mut execute => started,
                () = self.gone() => return Err(gone()),
            }
        };
        let running = started?;
        self.session = session;
        if let Some(key) = &self.key {
            key.set_running(Some(running.cancel_token()));
        }
        let zone =
            hydron_types::Zone::parse(running.settings.text("session_timezone")).unwrap_or(hydron_types::Zone::UTC);
        Ok(Open::new(running, formats, zone))
    }

    /// Sends rows: all, or as many as are asked for.
    pub(super) async fn pump(&mut self, open: &mut Open, rows_max: Option<u32>) -> Result<Pumped> {
        let pumped = self.pump_rows(open, rows_max).await;
        if let Err(e) = &pumped {
            open.running.note_error(e);
        }
        pumped
    }

    async fn pump_rows(&mut self, open: &mut Open, rows_max: Option<u32>) -> Result<Pumped> {
        if let Some(key) = &self.key {
            key.set_running(Some(open.running.cancel_token()));
        }
        let mut left = rows_max;
        loop {
            if let Some((writer, next, count)) = &mut open.rows {
                while *next < *count && left != Some(0) {
                    writer.write(*next, &mut self.out);
                    *next += 1;
                    open.sent += 1;
                    left = left.map(|n| n - 1);
                    if self.out.len() >= BLOCK_BYTES {
                        self.send_unless_killed(&mut open.running).await?;
                    }
                }
                if *next == *count {
                    open.rows = None;
                }
            }
            if left == Some(0) {
                return Ok(Pumped::Suspended);
            }
            let item = tokio::select! {
                biased;
                item = open.running.next() => item?,
                // Nothing is at hand: the client gets what there is.
                () = std::future::ready(()), if !self.out.is_empty() => {
                    if let Some(resume) = open.running.resume() {
                        resume.hand_over();
                    }
                    self.send_unless_killed(&mut open.running).await?;
                    continue;
                }
                () = self.gone() => return Err(gone()),
            };
            match item {
                None => return Ok(Pumped::Ended),
                // The protocol has no place for totals and extremes: they are rows after the others, as in ClickHouse's.
                Some(Item::Rows(batch) | Item::Totals(batch) | Item::Extremes(batch)) if batch.rows() > 0 => {
                    let writer = RowWriter::new(&batch, &open.described, &open.text)?;
                    open.rows = Some((writer, 0, batch.rows()));
                }
                Some(_) => {}
            }
        }
    }

    /// Waits until the client has gone; reads what it sends meanwhile.
    pub(super) async fn gone(&mut self) {
        loop {
            if self.buffer.first() == Some(&b'X') {
                return;
            }
            if self.buffer.len() >= PIPELINE_BYTES_MAX {
                return std::future::pending().await;
            }
            if !matches!(self.socket.receive(&mut self.buffer).await, Ok(true)) {
                return;
            }
        }
    }

    /// Sends what there is; a KILL or a stop of the server does not wait for a client that takes nothing.
    pub(super) async fn send_unless_killed(&mut self, running: &mut Running) -> Result<()> {
        let cancel = running.cancel_token();
        let killed = async {
            cancel.cancelled().await;
            tokio::time::sleep(crate::clickhouse::KILLED_PATIENCE).await;
        };
        tokio::select! {
            biased;
            sent = self.flush() => sent,
            () = killed => Err(Error::new(Code::NETWORK_ERROR, "the query was killed while its client took nothing")),
        }
    }

    /// The tag of a statement that has ended.
    fn complete(&mut self, open: &Open, text: &str) {
        if open.running.schema.is_some() {
            reply::complete(&format!("SELECT {}", open.sent), &mut self.out);
            return;
        }
        self.has_changed = true;
        let words = phrase::Words::new(text);
        let word = |i| words.lower(i).unwrap_or_default().to_uppercase();
        let tag = match word(0).as_str() {
            "INSERT" => format!("INSERT 0 {}", Progress::get(&open.running.progress.written_rows)),
            one @ ("SET" | "USE" | "GRANT" | "REVOKE") => one.to_string(),
            _ => format!("{} {}", word(0), word(1)),
        };
        reply::complete(&tag, &mut self.out);
    }
}

struct Aborted {
    code: Code,
    message: &'static str,
    hint: &'static str,
}

/// A statement after one that has failed, in the same transaction.
const ABORTED: Aborted = Aborted {
    code: Code::QUERY_WAS_CANCELLED,
    message: "current transaction is aborted, commands ignored until end of transaction block",
    hint: "ROLLBACK",
};

pub(super) fn gone() -> Error {
    Error::new(Code::NETWORK_ERROR, "the client has gone")
}

/// Whether nothing can follow an error.
fn is_of_connection(error: &Error) -> bool {
    matches!(error.code, Code::NETWORK_ERROR | Code::SOCKET_TIMEOUT)
}

/// Whether a statement has columns, before it has begun.
fn answers_rows(text: &str) -> Result<bool> {
    Ok(matches!(
        hydron_sql::parse_statement(text)?.statement.kind,
        StatementKind::Query(_)
            | StatementKind::Show(_)
            | StatementKind::Describe(_)
            | StatementKind::Explain(_)
            | StatementKind::Exists(_)
            | StatementKind::Check { .. }
            | StatementKind::Kill(_)
            | StatementKind::SubscribeTo(_)
            | StatementKind::RecoverFrom(_)
    ))
}

/// What has come after an `Execute` only closes things and ends the request.
fn is_end_of_request(buffer: &[u8]) -> bool {
    let mut rest = buffer;
    loop {
        let [kind, a, b, c, d, ..] = rest else { return false };
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        if *kind == b'S' {
            return rest.len() == 5 && length == 4;
        }
        match rest.get(1 + length..) {
            Some(next) if *kind == b'C' && length >= 4 => rest = next,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_with_its_sync() {
        assert!(is_end_of_request(b"S\0\0\0\x04"));
        assert!(is_end_of_request(b"C\0\0\0\x06P\0S\0\0\0\x04"));
        assert!(!is_end_of_request(b"S\0\0\0\x04Q"));
        assert!(!is_end_of_request(b"P\0\0\0\x04S\0\0\0\x04"));
        assert!(!is_end_of_request(b"") && !is_end_of_request(b"C\0\0\0\x06P"));
    }
}
