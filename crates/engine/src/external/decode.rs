//! Messages become rows.
//!
//! In: the messages of one shard. Out: one batch of a scan's columns. Promise: a message gives all its rows or none; one that does not
//! parse is counted and logged, and the others stand as if it were not there.

use super::counters::Counters;
use super::definition::{Definition, HEADERS, KEY, TIME, is_of_value};
use crate::stream::completion::Completion;
use arrow::array::{Array, ArrayRef, BinaryArray, BooleanArray, Int32Array, Int64Array};
use arrow::datatypes::{DataType, TimeUnit};
use hydron_base::world::Clock;
use hydron_base::{Error, Result};
use hydron_external::{Chunk, Message};
use hydron_format::{FormatOptions, InputBatch, InputFormat};
use hydron_func::call::arrow_error;
use hydron_func::{BindContext, EvalContext};
use hydron_plan::{Catalog, ColumnDefault, Scan, ScanColumn};
use hydron_types::cast::{CastOptions, cast};
use hydron_types::column::ColumnBuilder;
use hydron_types::physical::arrow_type;
use hydron_types::{Batch, Field, LogicalType, Schema, Value};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two lines in the log about messages that do not parse.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(1);

pub struct Decoder {
    stream: Arc<str>,
    definition: Arc<Definition>,
    options: FormatOptions,
    /// Columns that are read from values.
    value: Arc<Schema>,
    /// Where each of them is in `completion.all`.
    given: Vec<usize>,
    /// Where columns that are the message's own are there.
    own: Vec<(usize, Own)>,
    completion: Completion,
    order: Vec<usize>,
    /// By position in the stream's columns: where `Completion::fill` has it.
    filled: Vec<Option<usize>>,
    columns: Vec<ScanColumn>,
    schema: Arc<Schema>,
    reader: Option<Box<dyn InputFormat>>,
    cx: EvalContext,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    complained: Option<Instant>,
    /// Since the last complaint.
    failed: u64,
}

/// What of a message a declared column has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    Time,
    Key,
    Headers,
}

impl Decoder {
    pub fn new(
        definition: &Arc<Definition>,
        scan: &Scan,
        schema: &Arc<Schema>,
        catalog: &dyn Catalog,
        bind_cx: &BindContext,
        cx: EvalContext,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> Result<Decoder> {
        let info = &scan.stream;
        let completion = Completion::new(info, catalog, bind_cx)?;
        let mut options = FormatOptions::from_settings(&definition.overlay(&bind_cx.settings), cx.zone);
        options.batch_rows_max = 1 << 20;
        let needed = needed(scan, &completion);
        let may_leave_out = options.skip_unknown_fields && definition.format == "JSONEachRow";
        let (mut fields, mut given, mut own) = (Vec::new(), Vec::new(), Vec::new());
        for (at, field) in completion.all.fields.iter().enumerate() {
            let Some((_, column)) = info.column(&field.name) else { continue };
            match &*field.name {
                TIME => own.push((at, Own::Time)),
                KEY => own.push((at, Own::Key)),
                HEADERS => own.push((at, Own::Headers)),
                _ if is_of_value(column) && (needed[at] || !may_leave_out) => {
                    fields.push(field.clone());
                    given.push(at);
                }
                _ => {}
            }
        }
        let has_values: Vec<usize> = given.iter().copied().chain(own.iter().map(|(at, _)| *at)).collect();
        let mut order = completion.order(&has_values)?;
        order.retain(|at| needed[*at]);
        let at_all = |name: &str| completion.all.index_of(name);
        let filled =
            info.columns.iter().map(|c| at_all(&c.name).and_then(|a| completion.stored.iter().position(|s| *s == a)));
        Ok(Decoder {
            stream: Arc::clone(&info.name),
            definition: Arc::clone(definition),
            options,
            value: Arc::new(Schema::new(fields)),
            given,
            own,
            filled: filled.collect(),
            completion,
            order,
            columns: scan.columns.clone(),
            schema: Arc::clone(schema),
            reader: None,
            cx,
            clock,
            counters,
            complained: None,
            failed: 0,
        })
    }

    /// Errors: only those that no other message would change.
    pub fn decode(&mut self, chunk: &Chunk) -> Result<Batch> {
        Counters::add(&self.counters.read_messages, chunk.len());
        Counters::add(&self.counters.read_bytes, chunk.bytes());
        let messages: Vec<Message<'_>> = chunk.messages().collect();
        let (values, of) = match self.is_whole() {
            true => (whole(&messages), (0..messages.len() as u32).collect()),
            false => self.parse(&messages, chunk.shard)?,
        };
        let rows = of.len();
        Counters::add(&self.counters.read_rows, rows);
        let now = self.clock.now();
        let cx = EvalContext { now, ..self.cx.clone() };
        let time = |ty: &LogicalType| times(of.iter().map(|m| messages[*m as usize].time_ms), ty);
        let is_filled = self.columns.iter().any(|c| matches!(c, ScanColumn::Stored(_)));
        let filled = match is_filled && rows > 0 {
            true => {
                let mut columns: Vec<Option<ArrayRef>> = vec![None; self.completion.all.len()];
                let mut omitted: Vec<Option<BooleanArray>> = vec![None; columns.len()];
                for ((at, array), mask) in self.given.iter().zip(values.columns).zip(values.omitted) {
                    (columns[*at], omitted[*at]) = (Some(array), mask);
                }
                for (at, own) in &self.own {
                    let ty = &self.completion.all.fields[*at].ty;
                    columns[*at] = Some(match own {
                        Own::Time => time(ty)?,
                        Own::Key => self.keys(&messages, &of, ty)?,
                        Own::Headers => headers(&messages, &of, ty)?,
                    });
                }
                self.completion.fill(&self.order, &columns, &omitted, rows, &cx)?
            }
            false => Vec::new(),
        };
        let column = |(column, field): (&ScanColumn, &Field)| -> Result<ArrayRef> {
            Ok(match column {
                ScanColumn::Stored(_) if rows == 0 => ColumnBuilder::new(&field.ty).finish()?,
                ScanColumn::Stored(i) => {
                    let at = self.filled.get(*i).copied().flatten().and_then(|at| filled.get(at));
                    Arc::clone(at.ok_or_else(|| Error::bug(format!("column {} of a message is lost", field.name)))?)
                }
                ScanColumn::AppendTime | ScanColumn::IngestTime => time(&field.ty)?,
                ScanColumn::ProcessTime => times(std::iter::repeat_n(now.millis(), rows), &field.ty)?,
                ScanColumn::Sequence => {
                    Arc::new(Int64Array::from_iter_values(of.iter().map(|m| messages[*m as usize].offset)))
                }
                ScanColumn::Shard => Arc::new(Int32Array::from_value(chunk.shard as i32, rows)),
                ScanColumn::MessageKey => self.keys(&messages, &of, &field.ty)?,
                ScanColumn::MessageHeaders => headers(&messages, &of, &field.ty)?,
                ScanColumn::Part | ScanColumn::PartitionId => return Err(Error::bug("a message is in no part")),
            })
        };
        let columns = self.columns.iter().zip(&self.schema.fields).map(column).collect::<Result<_>>()?;
        Ok(Batch::new(Arc::clone(&self.schema), columns, rows))
    }

    /// Each message is one value.
    fn is_whole(&self) -> bool {
        let is_string = matches!(&self.value.fields[..], [f] if f.ty == LogicalType::String);
        self.definition.format == "RawBLOB" && is_string
    }

    /// The values of messages, and the message that each row is from.
    fn parse(&mut self, messages: &[Message<'_>], shard: u32) -> Result<(Values, Vec<u32>)> {
        let mut of = Vec::with_capacity(messages.len());
        let mut parts = Vec::new();
        for (i, message) in messages.iter().enumerate() {
            let Some(payload) = message.payload.filter(|p| !p.is_empty()) else { continue };
            match self.parse_one(payload, &mut parts) {
                Ok(rows) => of.extend(std::iter::repeat_n(i as u32, rows)),
                Err(e) => {
                    Counters::add(&self.counters.failed_messages, 1);
                    self.complain(shard, message.offset, &e);
                }
            }
        }
        if let Some(reader) = &mut self.reader
            && let Some(rows) = reader.flush()?
        {
            parts.push(rows);
        }
        Ok((Values::joined(&self.value, parts)?, of))
    }

    /// The rows of one message: kept by the reader, or put into `parts` where it reads only one document.
    fn parse_one(&mut self, payload: &[u8], parts: &mut Vec<InputBatch>) -> Result<usize> {
        let open = |value: &Arc<Schema>, options: &FormatOptions, format: &str| {
            hydron_format::input(format, Arc::clone(value), options, None)
        };
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => open(&self.value, &self.options, &self.definition.format)?,
        };
        match reader.feed_document(payload) {
            Ok(Some(rows)) => {
                self.reader = Some(reader);
                Ok(rows)
            }
            Ok(None) => {
                let mut reader = open(&self.value, &self.options, &self.definition.format)?;
                let batches = reader.feed(payload, true)?;
                let rows = batches.iter().map(|b| b.batch.rows()).sum();
                parts.extend(batches);
                Ok(rows)
            }
            Err(e) => {
                self.reader = Some(reader);
                Err(e)
            }
        }
    }

    fn complain(&mut self, shard: u32, offset: i64, error: &Error) {
        self.failed += 1;
        if self.complained.is_some_and(|at| at.elapsed() < COMPLAINT_PAUSE) {
            return;
        }
        let others = self.failed - 1;
        tracing::warn!(
            "external stream {}: message {offset} of shard {shard} is skipped (and {others} others since the last line): {error}",
            self.stream
        );
        (self.complained, self.failed) = (Some(Instant::now()), 0);
    }

    fn keys(&self, messages: &[Message<'_>], of: &[u32], ty: &LogicalType) -> Result<ArrayRef> {
        let keys = of.iter().map(|m| messages[*m as usize].key);
        if *ty == LogicalType::String {
            return Ok(Arc::new(BinaryArray::from_iter_values(keys.map(Option::unwrap_or_default))));
        }
        // A key that is no value of the type is the type's default, as one that is not there.
        let mut builder = ColumnBuilder::with_capacity(ty, of.len());
        let bytes: ArrayRef = Arc::new(BinaryArray::from_iter(keys));
        let from = LogicalType::nullable(LogicalType::String);
        let to = LogicalType::nullable(ty.bare().clone());
        let mode = hydron_types::cast::CastMode::OrNull;
        let parsed = cast(&bytes, &from, &to, &CastOptions::new(self.cx.zone, mode))?;
        for row in 0..of.len() {
            match hydron_types::column::value_at(&parsed, &to, row) {
                Value::Null if ty.is_nullable() => builder.append_null(),
                Value::Null => builder.append_default(),
                value => builder.append(&value)?,
            }
        }
        builder.finish()
    }
}

/// Which columns of `completion.all` a scan reads, with those that their defaults read.
fn needed(scan: &Scan, completion: &Completion) -> Vec<bool> {
    let mut needed = vec![false; completion.all.len()];
    let stored = scan.columns.iter().filter_map(|c| match c {
        ScanColumn::Stored(i) => scan.stream.columns.get(*i),
        _ => None,
    });
    for column in stored {
        if let Some(at) = completion.all.index_of(&column.name) {
            needed[at] = true;
        }
    }
    // What a default reads may have a default itself: each round finds the next ones.
    let has_defaults = scan.stream.columns.iter().any(|c| !matches!(c.default, ColumnDefault::None));
    for _ in 0..if has_defaults { completion.all.len() } else { 0 } {
        let before = needed.clone();
        completion.reads(&mut needed);
        if needed == before {
            break;
        }
    }
    needed
}

/// Columns of values.
struct Values {
    columns: Vec<ArrayRef>,
    omitted: Vec<Option<BooleanArray>>,
}

impl Values {
    fn joined(schema: &Schema, parts: Vec<InputBatch>) -> Result<Values> {
        let mut parts = parts;
        if parts.len() == 1
            && let Some(one) = parts.pop()
        {
            return Ok(Values { columns: one.batch.columns, omitted: one.defaults });
        }
        let (mut columns, mut omitted) = (Vec::with_capacity(schema.len()), Vec::with_capacity(schema.len()));
        for (at, field) in schema.fields.iter().enumerate() {
            if parts.is_empty() {
                columns.push(ColumnBuilder::new(&field.ty).finish()?);
                omitted.push(None);
                continue;
            }
            let arrays: Vec<&dyn Array> = parts.iter().map(|p| &**p.batch.column(at)).collect();
            columns.push(arrow::compute::concat(&arrays).map_err(arrow_error)?);
            let has_omitted = parts.iter().any(|p| p.defaults[at].is_some());
            omitted.push(has_omitted.then(|| {
                let bits = parts
                    .iter()
                    .flat_map(|p| (0..p.batch.rows()).map(|row| p.defaults[at].as_ref().is_some_and(|m| m.value(row))));
                BooleanArray::from(bits.collect::<Vec<_>>())
            }));
        }
        Ok(Values { columns, omitted })
    }
}

/// Each message as one string.
fn whole(messages: &[Message<'_>]) -> Values {
    let payloads = messages.iter().map(|m| m.payload.unwrap_or_default());
    Values { columns: vec![Arc::new(BinaryArray::from_iter_values(payloads))], omitted: vec![None] }
}

/// Milliseconds as times of `ty`; as they are, where it is no time.
fn times(millis: impl Iterator<Item = i64>, ty: &LogicalType) -> Result<ArrayRef> {
    let array: ArrayRef = Arc::new(Int64Array::from_iter_values(millis));
    if *ty == LogicalType::Int64 {
        return Ok(array);
    }
    let stamps =
        arrow::compute::cast(&array, &DataType::Timestamp(TimeUnit::Millisecond, None)).map_err(arrow_error)?;
    arrow::compute::cast(&stamps, &arrow_type(ty)).map_err(arrow_error)
}

fn headers(messages: &[Message<'_>], of: &[u32], ty: &LogicalType) -> Result<ArrayRef> {
    let mut builder = ColumnBuilder::with_capacity(ty, of.len());
    for m in of {
        let pairs = messages[*m as usize].headers();
        let pairs = pairs.map(|(name, value)| (Value::Bytes(name.to_vec()), Value::Bytes(value.to_vec())));
        builder.append(&Value::Map(pairs.collect()))?;
    }
    builder.finish()
}
