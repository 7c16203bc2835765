//! Rows become messages, and go out.
//!
//! In: batches of all stored columns of the stream. Out: messages, then the answer that the brokers have them. Promise: a message has
//! whole rows and no more bytes than `kafka_max_message_size`, unless one row alone has; when a write is answered all its rows are
//! with the brokers, and one that fails says so.

use super::counters::Counters;
use super::definition::{Definition, HEADERS, KEY, TIME, is_of_value};
use super::external::External;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, UInt64Type};
use hydron_base::{Code, Error, Result};
use hydron_external::kafka::{Outgoing, Sent, Sink, Tally};
use hydron_format::FormatOptions;
use hydron_format::output::ResultStats;
use hydron_func::call::arrow_error;
use hydron_func::{BindContext, EvalContext};
use hydron_plan::bind::bind_scalar_expr;
use hydron_plan::{Catalog, Expr, StreamInfo};
use hydron_types::cast::{CastOptions, cast};
use hydron_types::column::value_at;
use hydron_types::{Batch, LogicalType, Schema, Value};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Messages of one statement on their way before it waits: a buffer of the client has as many.
const MESSAGES_IN_FLIGHT_MAX: usize = 50_000;

/// Between two tries to hand a message over while other statements fill the queue.
const QUEUE_PAUSE: Duration = Duration::from_millis(5);

pub struct Writer {
    external: Arc<External>,
    definition: Arc<Definition>,
    sink: Arc<dyn Sink>,
    tally: Arc<Tally>,
    options: FormatOptions,
    /// What stands in the value of a message, and where in the batch.
    value: Arc<Schema>,
    positions: Vec<usize>,
    time: Option<usize>,
    key_column: Option<usize>,
    headers: Option<usize>,
    key: Option<Expr>,
    sharding: Option<Expr>,
    bytes_max: usize,
    rows_max: usize,
    cx: EvalContext,
}

/// A message of some rows, and the first of them.
struct Piece {
    payload: Range<usize>,
    row: usize,
}

impl Writer {
    /// `stored`: the columns of the batches. May block until a broker has answered.
    pub fn open(
        external: &Arc<External>,
        info: &StreamInfo,
        stored: &Arc<Schema>,
        catalog: &dyn Catalog,
        bind_cx: &BindContext,
        cx: EvalContext,
    ) -> Result<Writer> {
        let definition = external.definition()?;
        let mut options = FormatOptions::from_settings(&definition.overlay(&bind_cx.settings), cx.zone);
        // Rows of an array would be one row for whoever reads it.
        options.json_array_of_rows = false;
        let of_value =
            |(_, f): &(usize, &hydron_types::Field)| info.column(&f.name).is_some_and(|(_, c)| is_of_value(c));
        let (positions, fields): (Vec<_>, Vec<_>) =
            stored.fields.iter().enumerate().filter(of_value).map(|(i, f)| (i, f.clone())).unzip();
        let bind = |text: &Option<String>, what: &str| bind_text(text.as_deref(), what, stored, catalog, bind_cx);
        Ok(Writer {
            sink: external.writer()?,
            external: Arc::clone(external),
            tally: Arc::default(),
            options,
            value: Arc::new(Schema::new(fields)),
            positions,
            time: stored.index_of(TIME),
            key_column: stored.index_of(KEY),
            headers: stored.index_of(HEADERS),
            key: bind(&definition.message_key, "message_key")?,
            sharding: bind(&definition.sharding, "sharding_expr")?,
            definition,
            bytes_max: bind_cx.settings.uint("kafka_max_message_size").max(1) as usize,
            rows_max: bind_cx.settings.uint("max_insert_block_size").max(1) as usize,
            cx,
        })
    }

    /// Hands all rows over; [`Writer::settle`] says that they have arrived.
    pub async fn write(&mut self, batch: &Batch) -> Result<()> {
        let written = self.hand_over(batch).await;
        self.renewed(written)
    }

    /// An idempotent producer that has lost a message cannot go on: the next writer makes another one.
    fn renewed(&self, written: Result<()>) -> Result<()> {
        if written.as_ref().is_err_and(|e| e.code == Code::CANNOT_WRITE_TO_KAFKA) {
            self.external.forget_writer();
        }
        written
    }

    async fn hand_over(&self, batch: &Batch) -> Result<()> {
        let value = batch.project(Arc::clone(&self.value), &self.positions);
        let mut bytes = Vec::new();
        let pieces = match self.definition.one_message_per_row {
            true => self.row_by_row(&value, &mut bytes)?,
            false => {
                let mut pieces = Vec::new();
                for at in (0..value.rows()).step_by(self.rows_max) {
                    let rows = at..(at + self.rows_max).min(value.rows());
                    self.together(&value, rows, &mut bytes, &mut pieces)?;
                }
                pieces
            }
        };
        let keys = self.keys(batch)?;
        let partitions = self.partitions(batch)?;
        let times = self.time.map(|at| millis(batch.column(at))).transpose()?;
        let headers = self.headers.map(|at| (batch.column(at), &batch.schema.fields[at].ty));
        for piece in &pieces {
            let message = Outgoing {
                partition: partitions.as_ref().map(|p| p[piece.row]),
                key: keys.as_ref().filter(|k| k.is_valid(piece.row)).map(|k| k.as_binary::<i32>().value(piece.row)),
                payload: &bytes[piece.payload.clone()],
                time_ms: times.as_ref().map(|t| t.as_primitive::<Int64Type>().value(piece.row)),
                headers: headers.map(|(array, ty)| pairs(&value_at(array, ty, piece.row))).unwrap_or_default(),
            };
            self.send(&message).await?;
        }
        let counters = &self.external.counters;
        Counters::add(&counters.written_messages, pieces.len());
        Counters::add(&counters.written_rows, batch.rows());
        Counters::add(&counters.written_bytes, bytes.len());
        Ok(())
    }

    /// Waits until the brokers have all that was written. Errors: CANNOT_WRITE_TO_KAFKA.
    pub async fn settle(&self) -> Result<()> {
        let settled = self.tally.wait(0, self.sink.patience()).await;
        self.renewed(settled)
    }

    async fn send(&self, message: &Outgoing<'_>) -> Result<()> {
        let deadline = tokio::time::Instant::now() + self.sink.patience();
        loop {
            self.tally.check()?;
            if self.sink.send(message, &self.tally)? == Sent::Queued {
                break;
            }
            if tokio::time::Instant::now() >= deadline {
                let message = "the queue of messages is full, and nothing of it is taken";
                return Err(Error::new(Code::CANNOT_WRITE_TO_KAFKA, message));
            }
            tokio::time::sleep(QUEUE_PAUSE).await;
        }
        if self.tally.in_flight() >= MESSAGES_IN_FLIGHT_MAX {
            self.tally.wait(MESSAGES_IN_FLIGHT_MAX / 2, self.sink.patience()).await?;
        }
        Ok(())
    }

    /// One message for each row.
    fn row_by_row(&self, value: &Batch, bytes: &mut Vec<u8>) -> Result<Vec<Piece>> {
        let rows = value.rows();
        let mut pieces = Vec::with_capacity(rows);
        let format = self.definition.format.as_str();
        if format == "RawBLOB" && self.value.len() == 1 && self.value.fields[0].ty == LogicalType::String {
            let column = value.column(0).as_binary::<i32>();
            for row in 0..rows {
                let start = bytes.len();
                bytes.extend_from_slice(column.value(row));
                pieces.push(Piece { payload: start..bytes.len(), row });
            }
            return Ok(pieces);
        }
        if has_a_line_for_each_row(format) {
            self.encode(value, bytes)?;
            let mut start = 0;
            for at in memchr_all(bytes) {
                pieces.push(Piece { payload: start..at, row: pieces.len() });
                start = at + 1;
            }
            if pieces.len() == rows {
                return Ok(pieces);
            }
            return Err(Error::bug(format!("{rows} rows of {format} have {} lines", pieces.len())));
        }
        for row in 0..rows {
            let start = bytes.len();
            self.encode(&value.slice(row, 1), bytes)?;
            let end = bytes.len() - usize::from(is_text(format) && bytes[start..].ends_with(b"\n"));
            pieces.push(Piece { payload: start..end, row });
        }
        Ok(pieces)
    }

    /// As many rows in each message as fit.
    fn together(&self, value: &Batch, rows: Range<usize>, bytes: &mut Vec<u8>, pieces: &mut Vec<Piece>) -> Result<()> {
        let start = bytes.len();
        self.encode(&value.slice(rows.start, rows.len()), bytes)?;
        if bytes.len() - start > self.bytes_max && rows.len() > 1 {
            bytes.truncate(start);
            let middle = rows.start + rows.len() / 2;
            self.together(value, rows.start..middle, bytes, pieces)?;
            return self.together(value, middle..rows.end, bytes, pieces);
        }
        if bytes.len() > start {
            pieces.push(Piece { payload: start..bytes.len(), row: rows.start });
        }
        Ok(())
    }

    fn encode(&self, rows: &Batch, bytes: &mut Vec<u8>) -> Result<()> {
        let mut writer = hydron_format::output(&self.definition.format, Arc::clone(&self.value), &self.options)?;
        writer.prefix(bytes)?;
        writer.batch(rows, bytes)?;
        writer.suffix(&ResultStats { rows: rows.rows() as u64, ..ResultStats::default() }, bytes)
    }

    fn keys(&self, batch: &Batch) -> Result<Option<ArrayRef>> {
        let (array, ty) = match (&self.key, self.key_column) {
            (Some(expr), _) => (expr.eval(&self.cx, batch)?.to_array(batch.rows())?, expr.ty.clone()),
            (None, Some(at)) => (Arc::clone(batch.column(at)), batch.schema.fields[at].ty.clone()),
            (None, None) => return Ok(None),
        };
        let to = LogicalType::nullable(LogicalType::String);
        cast(&array, &ty, &to, &CastOptions::wrap(self.cx.zone)).map(Some).map_err(|e| e.context("message_key"))
    }

    fn partitions(&self, batch: &Batch) -> Result<Option<Vec<i32>>> {
        let Some(expr) = &self.sharding else { return Ok(None) };
        let value = expr.eval(&self.cx, batch)?.to_array(batch.rows())?;
        let value = cast(&value, &expr.ty, &LogicalType::UInt64, &CastOptions::wrap(self.cx.zone));
        let value = value.map_err(|e| e.context("sharding_expr"))?;
        let count = u64::from(self.sink.partitions().max(1));
        Ok(Some(value.as_primitive::<UInt64Type>().values().iter().map(|v| (v % count) as i32).collect()))
    }
}

/// An expression of a setting, over the stored columns.
pub fn bind_text(
    text: Option<&str>,
    what: &str,
    stored: &Arc<Schema>,
    catalog: &dyn Catalog,
    bind_cx: &BindContext,
) -> Result<Option<Expr>> {
    let bind = |text: &str| {
        let expr = hydron_sql::parse_expression(text)?;
        bind_scalar_expr(&expr, stored, catalog, bind_cx)
    };
    text.map(bind).transpose().map_err(|e| e.context(format!("setting '{what}'")))
}

/// Formats whose rows are lines, whatever their values are.
fn has_a_line_for_each_row(format: &str) -> bool {
    ["JSONEachRow", "JSONLines", "NDJSON", "JSONStringsEachRow", "JSONCompactEachRow", "JSONCompactStringsEachRow"]
        .contains(&format)
        || ["TabSeparated", "TSV", "TSKV"].contains(&format)
}

fn is_text(format: &str) -> bool {
    !["RawBLOB", "RowBinary", "Native", "Arrow", "ArrowStream", "Parquet"].contains(&format)
}

/// Places of line ends.
fn memchr_all(bytes: &[u8]) -> impl Iterator<Item = usize> {
    bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at)
}

/// Times as milliseconds.
fn millis(times: &ArrayRef) -> Result<ArrayRef> {
    let stamps = arrow::compute::cast(times, &DataType::Timestamp(TimeUnit::Millisecond, None)).map_err(arrow_error)?;
    arrow::compute::cast(&stamps, &DataType::Int64).map_err(arrow_error)
}

fn pairs(value: &Value) -> Vec<(String, Vec<u8>)> {
    let Value::Map(pairs) = value else { return Vec::new() };
    let bytes = |v: &Value| v.as_bytes().map(<[u8]>::to_vec).unwrap_or_default();
    pairs.iter().map(|(k, v)| (String::from_utf8_lossy(&bytes(k)).into_owned(), bytes(v))).collect()
}
