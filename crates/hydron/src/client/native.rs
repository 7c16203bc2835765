//! Statements over a server's native port.
//!
//! In: a statement, perhaps with data. Out: the answer in the format that the statement or the flags name, block by block.
//! Promise: a query that fails at once writes nothing, not even the head of its format, and a stream that has no rows yet
//! shows its head; SET and USE last, over a connection that was lost too; an error keeps the server's code; Ctrl-C cancels the
//! statement on the server, a second one leaves the connection.

use super::args::ClientArgs;
use super::backend::{Backend, Request, Status, Summary};
use super::connection::{Connection, Target};
use super::interrupt;
use hydron_base::{Code, Error, Result, Settings};
use hydron_engine::statement::set;
use hydron_format::native::push_varint;
use hydron_format::{FormatOptions, InputBatch, OutputFormat, ResultStats};
use hydron_sql::ast::{InsertSource, StatementKind};
use hydron_types::{Batch, Schema, Zone};
use hydron_wire::clickhouse::client::ServerPacket;
use hydron_wire::clickhouse::packet::client;
use hydron_wire::clickhouse::query::{Query, Setting, quoted};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

const CLIENT_NAME: &str = "hydron client";

/// How often a client tells how far a statement is.
const STATUS_EVERY: Duration = Duration::from_millis(300);

/// How long the head of a format waits for the first row or the query's error, whichever comes first.
const HEAD_PATIENCE: Duration = Duration::from_millis(300);

/// What the name of a setting begins with that is a parameter of statements.
const PARAMETER: &str = "param_";

/// Bytes of data that are read and sent as blocks at a time.
const PIECE_BYTES: usize = 1 << 20;

pub struct NativeBackend {
    target: Target,
    compressed: bool,
    /// Of all statements: from flags, and what SET has changed.
    settings: Settings,
    connection: Option<Connection>,
}

impl NativeBackend {
    /// Errors: those of [`Target::new`].
    pub fn new(args: &ClientArgs) -> Result<NativeBackend> {
        Ok(NativeBackend {
            target: Target::new(&args.target, &args.common.database, CLIENT_NAME)?,
            compressed: !args.no_compression,
            settings: Settings::default(),
            connection: None,
        })
    }

    /// The connection, made anew when there is none.
    fn connected(&mut self) -> Result<&mut Connection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.target)?,
        };
        Ok(self.connection.insert(connection))
    }
}

impl Backend for NativeBackend {
    fn run(&mut self, request: Request<'_>, out: &mut dyn Write) -> Result<Summary> {
        interrupt::clear();
        let parsed = hydron_sql::parse_statement(request.text).ok();
        let statement = parsed.as_ref().map(|p| &p.statement);
        let mut settings = self.settings.clone();
        if let Some(statement) = statement {
            // The server knows them better; here they only shape the answer.
            let _ = set::apply_settings(&mut settings, &statement.output.settings, None);
            if let StatementKind::Query(query) = &statement.kind
                && let Ok(all) = set::query_settings(query, &settings, None)
            {
                settings = all;
            }
        }
        let format = statement.and_then(|s| s.output.format.as_deref()).unwrap_or(request.default_format).to_string();
        let setting = |name: &str, value: String| Setting { name: name.to_string(), value, important: true };
        let (parameters, sent): (Vec<_>, Vec<_>) = self.settings.changed().partition(|(n, _)| n.starts_with(PARAMETER));
        let parameters = parameters.iter().map(|(n, v)| setting(&n[PARAMETER.len()..], quoted(v))).collect();
        let sent = sent.iter().map(|(n, v)| setting(n, v.to_string())).collect();
        let query = Query {
            client_name: CLIENT_NAME.to_string(),
            settings: sent,
            parameters,
            compressed: self.compressed,
            text: request.text.as_bytes().to_vec(),
            ..Query::default()
        };
        let input_format = match statement.map(|s| &s.kind) {
            Some(StatementKind::Insert(insert)) => match &insert.source {
                InsertSource::Format(format) => format.clone(),
                _ => "Values".to_string(),
            },
            _ => String::new(),
        };
        let connection = self.connected()?;
        let zone = Zone::parse(&connection.server.zone).unwrap_or(Zone::UTC);
        let mut answer = Answer {
            options: FormatOptions::from_settings(&settings, zone),
            format,
            input_format,
            data: request.data,
            on_status: request.on_status,
            writer: None,
            bytes: Vec::new(),
            head_since: None,
            status: Status::default(),
            rows: 0,
            rows_before_limit: None,
            started: Instant::now(),
        };
        match answer.exchange(connection, query, out) {
            Ok(None) => {}
            Ok(Some(e)) => return Err(e),
            Err(e) => {
                // The two sides no longer agree where they are; the next statement connects anew.
                self.connection = None;
                return Err(e);
            }
        }
        match statement.map(|s| &s.kind) {
            // They last on this connection; after a lost one they are said again.
            Some(StatementKind::Set(list)) => set::apply_settings(&mut self.settings, list, None)?,
            Some(StatementKind::Use(database)) => self.target.database = database.to_string(),
            _ => {}
        }
        Ok(Summary { elapsed: answer.started.elapsed(), rows: Some(answer.rows), read_rows: answer.status.read_rows })
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        self.settings.set(name, value)
    }

    fn greeting(&mut self) -> Result<String> {
        let mut version = Vec::new();
        let request = Request { text: "SELECT version()", data: None, default_format: "TabSeparated", on_status: None };
        self.run(request, &mut version)?;
        let version = String::from_utf8_lossy(&version).trim().to_string();
        let tls = if self.target.tls.is_some() { " over TLS" } else { "" };
        Ok(format!("Connected to hydron {version} at {}{tls}.", self.target.address()))
    }
}

/// One answer on its way to the terminal.
struct Answer<'a> {
    options: FormatOptions,
    format: String,
    input_format: String,
    data: Option<Box<dyn Read + Send>>,
    on_status: Option<&'a (dyn Fn(Status) + Sync)>,
    writer: Option<Box<dyn OutputFormat>>,
    /// Written by the format and not shown yet.
    bytes: Vec<u8>,
    /// Since when the head of the format waits in `bytes`.
    head_since: Option<Instant>,
    status: Status,
    rows: u64,
    rows_before_limit: Option<u64>,
    started: Instant,
}

impl Answer<'_> {
    /// Sends the statement and takes its answer. An error that is returned as a value is the statement's, told by the
    /// server, and the connection goes on; any other ends it.
    fn exchange(&mut self, connection: &mut Connection, query: Query, out: &mut dyn Write) -> Result<Option<Error>> {
        connection.decoder.compressed = query.compressed;
        let takes_rows = !self.input_format.is_empty();
        let mut bytes = Vec::new();
        query.write(connection.decoder.revision(), &mut bytes);
        connection.send(&bytes)?;
        connection.send_block(None)?;
        let mut cancelled = false;
        let mut told = Instant::now();
        let mut sent_rows = false;
        loop {
            let packet = connection.wait()?;
            if interrupt::is_set() {
                interrupt::clear();
                if cancelled {
                    let text = "the statement was left, the server may still run it";
                    return Err(Error::new(Code::QUERY_WAS_CANCELLED, text));
                }
                cancelled = true;
                let mut cancel = Vec::new();
                push_varint(client::CANCEL, &mut cancel);
                connection.send(&cancel)?;
            }
            if let Some(on_status) = self.on_status
                && told.elapsed() >= STATUS_EVERY
            {
                told = Instant::now();
                self.status.elapsed = self.started.elapsed();
                on_status(self.status);
            }
            if self.head_since.is_some_and(|since| since.elapsed() >= HEAD_PATIENCE)
                && !matches!(packet, Some(ServerPacket::Exception(_)))
            {
                self.show(out)?;
            }
            let Some(packet) = packet else { continue };
            match packet {
                ServerPacket::Data(header) if takes_rows && !sent_rows && !header.columns.is_empty() => {
                    sent_rows = true;
                    if let Some(e) = self.send_rows(connection, &header.schema)? {
                        return Ok(Some(e));
                    }
                }
                ServerPacket::Data(block) if !takes_rows && !block.columns.is_empty() => self.rows_of(&block, out)?,
                ServerPacket::Totals(block) => self.with_writer(out, |w, bytes| w.totals(&block, bytes))?,
                ServerPacket::Extremes(block) => self.with_writer(out, |w, bytes| w.extremes(&block, bytes))?,
                ServerPacket::Progress(progress) => {
                    self.status.read_rows += progress.read_rows;
                    self.status.read_bytes += progress.read_bytes;
                    self.status.total_rows += progress.total_rows;
                }
                ServerPacket::ProfileInfo(info) => self.rows_before_limit = info.rows_before_limit,
                ServerPacket::Exception(e) => return Ok(Some(e.error())),
                ServerPacket::EndOfStream if cancelled => {
                    return Ok(Some(Error::new(Code::QUERY_WAS_CANCELLED, "the statement was cancelled")));
                }
                ServerPacket::EndOfStream => return self.complete(out).map(|()| None),
                _ => {}
            }
        }
    }

    fn rows_of(&mut self, block: &Batch, out: &mut dyn Write) -> Result<()> {
        if self.writer.is_none() {
            let mut writer = hydron_format::output(&self.format, Arc::clone(&block.schema), &self.options)?;
            writer.prefix(&mut self.bytes)?;
            self.writer = Some(writer);
            self.head_since = Some(Instant::now());
        }
        if block.rows() == 0 {
            return Ok(());
        }
        self.rows += block.rows() as u64;
        self.with_writer(out, |writer, bytes| writer.batch(block, bytes))
    }

    fn with_writer(
        &mut self,
        out: &mut dyn Write,
        write: impl FnOnce(&mut dyn OutputFormat, &mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        if let Some(writer) = &mut self.writer {
            write(writer.as_mut(), &mut self.bytes)?;
        }
        self.show(out)
    }

    fn show(&mut self, out: &mut dyn Write) -> Result<()> {
        self.head_since = None;
        let written = out.write_all(&self.bytes).and_then(|()| out.flush());
        self.bytes.clear();
        written.map_err(|e| Error::new(Code::CANNOT_WRITE_TO_FILE_DESCRIPTOR, format!("cannot write the answer: {e}")))
    }

    fn complete(&mut self, out: &mut dyn Write) -> Result<()> {
        let stats = ResultStats {
            rows: self.rows,
            rows_before_limit: self.rows_before_limit,
            elapsed_seconds: self.started.elapsed().as_secs_f64(),
            rows_read: self.status.read_rows,
            bytes_read: self.status.read_bytes,
        };
        self.with_writer(out, |writer, bytes| writer.suffix(&stats, bytes))
    }

    /// Reads the rows of an INSERT in its format and sends them as blocks. Ctrl-C leaves the connection, so that the server
    /// does not take the rows so far for all of them.
    fn send_rows(&mut self, connection: &mut Connection, header: &Arc<Schema>) -> Result<Option<Error>> {
        let Some(mut data) = self.data.take() else {
            connection.send_block(None)?;
            return Ok(None);
        };
        let mut reader = hydron_format::input(&self.input_format, Arc::clone(header), &self.options, None)?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            if interrupt::is_set() {
                interrupt::clear();
                let text = "the rows were not sent to their end; those before it may be stored";
                return Err(Error::new(Code::QUERY_WAS_CANCELLED, text));
            }
            let n = match data.read(&mut piece) {
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => {
                    let text = format!("cannot read the data: {e}");
                    return Err(Error::new(Code::CANNOT_READ_FROM_ISTREAM, text));
                }
            };
            for batch in reader.feed(&piece[..n], n == 0)? {
                for block in blocks(&batch) {
                    connection.send_block(Some(&block))?;
                    if let Some(e) = drain(connection)? {
                        return Ok(Some(e));
                    }
                }
            }
            if n == 0 {
                connection.send_block(None)?;
                return Ok(None);
            }
        }
    }
}

/// Takes what the server has said meanwhile, without waiting for more: it must not be kept from sending. Answers the
/// error of the INSERT if there is one.
fn drain(connection: &mut Connection) -> Result<Option<Error>> {
    loop {
        match connection.poll()? {
            None => return Ok(None),
            Some(ServerPacket::Exception(e)) => return Ok(Some(e.error())),
            Some(_) => {}
        }
    }
}

/// Runs of rows that omit the same columns, as blocks without those columns: the server fills in their defaults.
fn blocks(input: &InputBatch) -> Vec<Batch> {
    let omits = |column: usize, row: usize| input.defaults[column].as_ref().is_some_and(|mask| mask.value(row));
    let columns = input.batch.columns.len();
    let mut out = Vec::new();
    let mut start = 0;
    while start < input.batch.rows() {
        let same = |row: &usize| (0..columns).all(|c| omits(c, *row) == omits(c, start));
        let end = (start + 1..input.batch.rows()).take_while(same).last().map_or(start + 1, |last| last + 1);
        let given: Vec<usize> = (0..columns).filter(|c| !omits(*c, start)).collect();
        let fields = given.iter().map(|c| input.batch.schema.fields[*c].clone()).collect();
        let run = input.batch.slice(start, end - start);
        match given.is_empty() {
            // A block must have a column; the first one's default is the type's then.
            true => out.push(run),
            false => out.push(run.project(Arc::new(Schema::new(fields)), &given)),
        }
        start = end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_types::parse_type;

    #[test]
    fn rows_that_omit_the_same_columns_share_a_block() {
        let fields = ["a", "b"].map(|name| hydron_types::Field::new(name, parse_type("uint8").unwrap()));
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let mut reader = hydron_format::input("JSONEachRow", schema, &FormatOptions::default(), None).unwrap();
        let batches = reader.feed(b"{\"a\":1,\"b\":1}\n{\"a\":2,\"b\":2}\n{\"b\":3}\n{\"a\":4}\n", true).unwrap();
        let shape = |b: &Batch| (b.rows(), b.schema.fields.iter().map(|f| f.name.to_string()).collect::<String>());
        let shapes: Vec<_> = batches.iter().flat_map(blocks).map(|b| shape(&b)).collect();
        assert_eq!(shapes, [(2, "ab".to_string()), (1, "b".to_string()), (1, "a".to_string())]);
    }
}
