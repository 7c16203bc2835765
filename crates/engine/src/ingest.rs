//! Rows on their way into a stream: given columns, defaults, casts, shard, log.
//!
//! In: batches of the columns that an INSERT gives. Out: log records with every stored column. Promise: a batch is stored
//! whole or not at all, in records no larger than the limit; what is acknowledged is durable; an INSERT that is repeated
//! with the same `idempotent_id` and the same rows stores nothing twice, also across a crash.

use crate::external::encode::Writer;
use crate::outcome::InsertTrack;
use crate::query::Progress;
use crate::stream::completion::Completion;
use crate::stream::merging::{self, MergeRule, Purpose};
use crate::stream::nested;
use crate::stream::store::ReadyRecord;
use crate::stream::stream::Check;
use crate::stream::{Stream, StreamStore};
use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use bytes::Bytes;
use hydron_base::limit::RECORD_BYTES_MAX;
use hydron_base::memory::Reserved;
use hydron_base::world::WallTime;
use hydron_base::{Budget, Code, Error, Result};
use hydron_board::Board;
use hydron_format::InputBatch;
use hydron_func::call::Volatility;
use hydron_func::call::arrow_error;
use hydron_func::{BindContext, EvalContext};
use hydron_plan::bind::{bind_condition, bind_scalar_expr};
use hydron_plan::{Catalog, ColumnDefault, Expr, JoinEngine};
use hydron_store::log::Ticket;
use hydron_types::cast::{CastOptions, cast};
use hydron_types::column::array_of;
use hydron_types::{Batch, Field, LogicalType, Schema, Value};
use std::collections::VecDeque;
use std::hash::Hasher;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Records that one INSERT may have on their way to the disk before it waits: enough to keep the flusher busy.
const RECORDS_IN_FLIGHT_MAX: usize = 16;

/// An INSERT is handed to the log as one unit up to here, so that historical readers see all of it at once; a larger one in units
/// of this size. More would only delay the disk.
const UNIT_BYTES: usize = 8 << 20;
const UNIT_RECORDS: usize = 256;

/// When nothing comes for so long, what has come is stored: a slow INSERT is not held back.
const UNIT_PATIENCE: Duration = Duration::from_millis(50);

/// Bytes of one record before compression. Half of what a record may have, since the count of a slice is an estimate.
const RECORD_BYTES_TARGET: usize = RECORD_BYTES_MAX / 2;

/// Bytes of an `idempotent_id`. With the place of a record it must fit into the key of a log record.
const TOKEN_BYTES_MAX: usize = 1_024;

/// How one INSERT fills the columns of a stream.
pub struct Ingest {
    stream: Arc<Stream>,
    /// Every stored column.
    stored: Arc<Schema>,
    to: Destination,
    completion: Completion,
    /// Columns that the INSERT gives, as the input must produce them.
    pub input: Arc<Schema>,
    /// Position of each input column among all that a default may read.
    given: Vec<usize>,
    /// Positions of the other columns (and of given ones, for rows that omit them), in an order in which each finds what
    /// it reads.
    order: Vec<usize>,
    sharding: Option<Expr>,
    /// What every row must satisfy, by name.
    checks: Vec<(String, Expr)>,
    sort: Vec<Expr>,
    /// Rows with equal keys in one batch are merged.
    rule: Option<MergeRule>,
    /// Positions of the arrays of nested structures.
    nested: Vec<Vec<usize>>,
    /// Rows go nowhere: the engine is Null.
    discards: bool,
    partitions: Option<Partitions>,
    join: Option<JoinEngine>,
    cx: EvalContext,
    token: Option<String>,
    /// Rows that came before the batch at hand.
    rows_before: u64,
    /// Not yet handed to the log: the next unit.
    gathered: Vec<(ReadyRecord, Submitted)>,
    in_flight: VecDeque<Submitted>,
    memory: Arc<Budget>,
    progress: Arc<Progress>,
    track: Option<InsertTrack>,
    /// The stamp of all records, in place of those of `track`.
    stamp: Option<Bytes>,
}

/// Where rows go.
enum Destination {
    Log(Arc<StreamStore>),
    External(Box<Writer>),
}

/// The partition of each row, and how many one batch may have.
struct Partitions {
    of: Expr,
    max: u64,
}

/// A record on its way to the disk.
struct Submitted {
    ticket: Ticket,
    rows: usize,
    /// What it takes meanwhile.
    held: Reserved,
}

/// Waits for the end of the process once a thread has faulted: what memory says is not to be believed any more, so nothing is
/// stored and nothing is acknowledged.
pub(crate) async fn wait_if_crashed() {
    if Board::current().is_some_and(|b| b.worker().is_crashed()) {
        std::future::pending::<()>().await;
    }
}

impl Ingest {
    /// `columns`: names that the INSERT lists; empty: all that can be inserted (`named`: the input names its columns, so
    /// that event time may be among them).
    pub fn new(
        stream: Arc<Stream>,
        columns: &[String],
        named: bool,
        catalog: &dyn Catalog,
        bind_cx: &BindContext,
        cx: EvalContext,
        progress: Arc<Progress>,
        memory: Arc<Budget>,
    ) -> Result<Ingest> {
        let info = Arc::clone(&stream.info);
        let stored = Arc::new(stream.layout().schema());
        let completion = Completion::new(&info, catalog, bind_cx)?;
        let known: Vec<_> = info.columns.iter().filter(|c| !matches!(c.default, ColumnDefault::Alias(_))).collect();
        let given = if columns.is_empty() {
            let usual = |(_, c): &(usize, &&hydron_plan::ColumnInfo)| {
                !matches!(c.default, ColumnDefault::Materialized(_) | ColumnDefault::Ephemeral(_))
                    && (named || !is_automatic(&c.name))
            };
            known.iter().enumerate().filter(usual).map(|(i, _)| i).collect()
        } else {
            listed(&info.name, columns, &completion.all, &known)?
        };
        let sharding = match info.sharding_expr.as_str() {
            "" | "rand()" => None,
            _ if info.shards == 1 => None,
            text => {
                let expr = hydron_sql::parse_expression(text)?;
                Some(bind_scalar_expr(&expr, &stored, catalog, bind_cx).map_err(|e| e.context("sharding expression"))?)
            }
        };
        let check = |check: &Check| {
            let bound = bind_condition(&check.expr, &stored, catalog, bind_cx);
            let bound = bound.map_err(|e| e.context(format!("constraint '{}'", check.name)))?;
            Ok((check.name.clone(), bound))
        };
        let checks = stream.checks().iter().map(check).collect::<Result<Vec<_>>>()?;
        let order = completion.order(&given)?;
        let input = Arc::new(Schema::new(given.iter().map(|i| completion.all.fields[*i].clone()).collect()));
        let to = match stream.external() {
            Some(external) => {
                Destination::External(Box::new(Writer::open(external, &info, &stored, catalog, bind_cx, cx.clone())?))
            }
            None => Destination::Log(Arc::clone(stream.stored()?)),
        };
        let sort = match info.kind {
            hydron_plan::StreamKind::Table if info.engine.ends_with("MergeTree") => {
                sort_keys(&info.order_by, &stored, catalog, bind_cx)?
            }
            _ => Vec::new(),
        };
        let settings = &bind_cx.settings;
        let rule = match merging::is_merging(&info.engine) && settings.bool("optimize_on_insert") {
            true => MergeRule::of(&info, &stored, catalog, bind_cx)?,
            false => None,
        };
        let partitions_max = settings.uint("max_partitions_per_insert_block");
        let limits_partitions = info.kind == hydron_plan::StreamKind::Table
            && !info.partition_by.is_empty()
            && partitions_max > 0
            && settings.bool("throw_on_max_partitions_per_insert_block");
        let partitions = match limits_partitions {
            true => {
                let of =
                    bind_scalar_expr(&hydron_sql::parse_expression(&info.partition_by)?, &stored, catalog, bind_cx)?;
                Some(Partitions { of, max: partitions_max })
            }
            false => None,
        };
        let join = JoinEngine::of(&info).transpose()?.filter(|j| j.rows_max > 0);
        let nested = nested::groups(&stored);
        let discards = &*info.engine == "Null";
        let token = token(settings)?;
        // Rows that a repeated INSERT would send to another shard must not choose it: each batch goes where its token says.
        let sharding = sharding.filter(|expr| {
            let changing = completion.changing();
            let mut repeats = expr.volatility() == Volatility::Immutable;
            expr.columns(&mut |column| repeats &= completion.stored.get(column).is_none_or(|at| !changing[*at]));
            token.is_none() || repeats
        });
        Ok(Ingest {
            stream,
            stored,
            to,
            completion,
            input,
            given,
            order,
            sharding,
            checks,
            sort,
            rule,
            nested,
            discards,
            partitions,
            join,
            cx,
            token,
            rows_before: 0,
            gathered: Vec::new(),
            in_flight: VecDeque::new(),
            memory,
            progress,
            track: None,
            stamp: None,
        })
    }

    /// Shows on the board what is written, and marks the records, so that a crash can be told from a success.
    pub fn track(&mut self, query: &'static hydron_board::Query) {
        self.track = Some(InsertTrack::begin(query, self.stream.info.uuid));
    }

    /// Every record is to have this stamp.
    pub fn mark(&mut self, stamp: Bytes) {
        self.stamp = Some(stamp);
    }

    /// Takes rows whose columns are those of `input`. Returns when they are on their way; [`Ingest::finish`] says that
    /// they are durable.
    pub async fn write(&mut self, rows: InputBatch) -> Result<()> {
        if rows.batch.rows() == 0 {
            return Ok(());
        }
        let batch = self.complete(rows)?;
        if batch.rows() == 0 {
            return Ok(());
        }
        let first_row = self.rows_before;
        self.rows_before += batch.rows() as u64;
        if let Destination::External(writer) = &mut self.to {
            writer.write(&batch).await?;
            Progress::add(&self.progress.written_rows, batch.rows());
            Progress::add(&self.progress.written_bytes, batch.bytes());
            return Ok(());
        }
        if self.discards {
            Progress::add(&self.progress.written_rows, batch.rows());
            return Ok(());
        }
        if !self.fits_join(&batch)? {
            return Ok(());
        }
        for (shard, part) in self.by_shard(batch, first_row)? {
            let mut at = 0;
            for record in records(&part) {
                let rows = record.rows();
                self.gather(shard, record, self.key(first_row, at, rows))?;
                at += rows;
            }
        }
        let bytes: usize = self.gathered.iter().map(|(_, s)| s.held.bytes()).sum();
        if bytes >= UNIT_BYTES || self.gathered.len() >= UNIT_RECORDS {
            self.submit().await?;
        }
        Ok(())
    }

    /// Waits for what comes next; rows that have waited for it for long enough are handed to the log meanwhile.
    pub async fn waiting<T>(&mut self, next: impl Future<Output = T>) -> Result<T> {
        if self.gathered.is_empty() {
            return Ok(next.await);
        }
        let mut next = pin!(next);
        match tokio::time::timeout(UNIT_PATIENCE, &mut next).await {
            Ok(came) => Ok(came),
            Err(_) => {
                self.submit().await?;
                Ok(next.await)
            }
        }
    }

    /// Takes rows of any columns, matched to the input by position, cast where types differ.
    pub async fn write_positional(&mut self, batch: &Batch) -> Result<()> {
        if batch.schema.len() != self.input.len() {
            let message = format!("{} columns were given, {} are expected", batch.schema.len(), self.input.len());
            return Err(Error::new(Code::NUMBER_OF_COLUMNS_DOESNT_MATCH, message));
        }
        let columns = batch.columns.iter().zip(&batch.schema.fields).zip(&self.input.fields);
        let mut defaults = vec![None; self.input.len()];
        let mut cast_columns = Vec::with_capacity(self.input.len());
        for (i, ((array, from), to)) in columns.enumerate() {
            let (array, omitted) = fit(array, &from.ty, to, self.cx.zone)?;
            cast_columns.push(array);
            defaults[i] = omitted;
        }
        let batch = Batch::new(Arc::clone(&self.input), cast_columns, batch.rows());
        self.write(InputBatch { batch, defaults }).await
    }

    /// The columns that a client is asked for: all of `input`, but in an INSERT without a list (`usual`) not those that
    /// fill themselves.
    pub fn header(&self, usual: bool) -> Arc<Schema> {
        let fields = self.input.fields.iter().filter(|f| !usual || !is_automatic(&f.name));
        Arc::new(Schema::new(fields.cloned().collect()))
    }

    /// Takes rows whose columns are matched to the input by name, cast where types differ; a column that is not there
    /// takes its default. Errors: NO_SUCH_COLUMN_IN_STREAM for a column that the INSERT does not fill.
    pub async fn write_named(&mut self, batch: &Batch) -> Result<()> {
        let unknown = batch.schema.fields.iter().find(|f| self.input.index_of(&f.name).is_none());
        if let Some(field) = unknown {
            let message = format!("the INSERT into {} fills no column '{}'", self.stream.info.name, field.name);
            return Err(Error::new(Code::NO_SUCH_COLUMN_IN_STREAM, message));
        }
        let rows = self.fitted(batch)?;
        self.write(rows).await
    }

    /// Rows by name as the input takes them.
    pub(crate) fn fitted(&self, batch: &Batch) -> Result<InputBatch> {
        let rows = batch.rows();
        let mut columns = Vec::with_capacity(self.input.len());
        let mut defaults = Vec::with_capacity(self.input.len());
        for to in &self.input.fields {
            let (array, omitted) = match batch.schema.index_of(&to.name) {
                Some(at) => fit(batch.column(at), &batch.schema.fields[at].ty, to, self.cx.zone)?,
                None => {
                    let array = array_of(&Value::default_of(&to.ty), &to.ty, rows)?;
                    (array, Some(BooleanArray::from(vec![true; rows])))
                }
            };
            columns.push(array);
            defaults.push(omitted);
        }
        let batch = Batch::new(Arc::clone(&self.input), columns, rows);
        Ok(InputBatch { batch, defaults })
    }

    /// The records of rows by name, shard and rows, for a caller that writes them itself. `now`: the time of defaults such as
    /// that of arrival.
    pub(crate) fn records_of(&mut self, batch: &Batch, now: WallTime) -> Result<Vec<(usize, Batch)>> {
        self.cx.now = now;
        let batch = self.complete(self.fitted(batch)?)?;
        let first_row = self.rows_before;
        self.rows_before += batch.rows() as u64;
        let by_shard = self.by_shard(batch, first_row)?;
        Ok(by_shard.iter().flat_map(|(shard, part)| records(part).into_iter().map(|r| (*shard, r))).collect())
    }

    /// Waits until all that was written is durable. Errors: of the first record that is not.
    pub async fn settle(&mut self) -> Result<()> {
        self.submit().await?;
        while let Some(oldest) = self.in_flight.pop_front() {
            self.arrived(oldest).await?;
        }
        if let Destination::External(writer) = &self.to {
            return writer.settle().await;
        }
        // The log answers for this INSERT after the restart.
        wait_if_crashed().await;
        Ok(())
    }

    /// As [`Ingest::settle`], and nothing follows.
    pub async fn finish(&mut self) -> Result<()> {
        self.submit().await?;
        if let Some(track) = &self.track {
            track.all_submitted();
        }
        self.settle().await
    }

    /// Waits for a record. One that was stored before, by the same INSERT, is not written again.
    async fn arrived(&mut self, record: Submitted) -> Result<()> {
        let appended = record.ticket.await?;
        self.log()?.note_append(appended.append_time_ms);
        if !appended.duplicate {
            Progress::add(&self.progress.written_rows, record.rows);
            Progress::add(&self.progress.written_bytes, record.held.bytes());
        }
        Ok(())
    }

    /// The idempotency key of a record: the token, and which rows of the INSERT it holds. Each shard knows its own keys.
    fn key(&self, first_row: u64, at: usize, rows: usize) -> Option<Bytes> {
        self.token.as_ref().map(|token| Bytes::from(format!("{token}#{first_row}.{at}+{rows}")))
    }

    /// Makes a record of the next unit.
    fn gather(&mut self, shard: usize, record: Batch, key: Option<Bytes>) -> Result<()> {
        // The rows are encoded here, on a computing thread; the flusher only writes.
        let held = self.memory.reserve(record.bytes())?;
        let stamp = self.stamp.clone().or_else(|| self.track.as_mut().map(InsertTrack::stamp));
        let (ready, ticket) = self.log()?.prepare(shard, &record, key, stamp)?;
        self.gathered.push((ready, Submitted { ticket, rows: record.rows(), held }));
        Ok(())
    }

    /// Hands the next unit to the log.
    pub async fn submit(&mut self) -> Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        // Counted first, then asked: whoever sees the fault and no record may say that none was stored, and none will be.
        wait_if_crashed().await;
        let (records, submitted): (Vec<_>, Vec<_>) = std::mem::take(&mut self.gathered).into_iter().unzip();
        self.log()?.submit_together(records)?;
        self.in_flight.extend(submitted);
        while self.in_flight.len() > RECORDS_IN_FLIGHT_MAX
            && let Some(oldest) = self.in_flight.pop_front()
        {
            self.arrived(oldest).await?;
        }
        Ok(())
    }

    fn log(&self) -> Result<&Arc<StreamStore>> {
        match &self.to {
            Destination::Log(store) => Ok(store),
            Destination::External(_) => Err(Error::bug("an external stream has no log")),
        }
    }

    /// The time of defaults such as that of arrival.
    pub(crate) fn set_now(&mut self, now: WallTime) {
        self.cx.now = now;
    }

    /// Every stored column: given values, and defaults for the rest.
    fn complete(&mut self, rows: InputBatch) -> Result<Batch> {
        let count = rows.batch.rows();
        let mut columns: Vec<Option<ArrayRef>> = vec![None; self.completion.all.len()];
        let mut omitted: Vec<Option<BooleanArray>> = vec![None; columns.len()];
        for ((at, array), mask) in self.given.iter().zip(&rows.batch.columns).zip(rows.defaults) {
            columns[*at] = Some(Arc::clone(array));
            omitted[*at] = mask.filter(|m| m.true_count() > 0);
        }
        let mut stored = self.completion.fill(&self.order, &columns, &omitted, count, &self.cx)?;
        // By the position of stored columns: whether all rows have the value from the INSERT.
        let is_given = |at: usize| {
            let of_all = self.completion.stored.get(at).copied();
            of_all.is_some_and(|of_all| columns[of_all].is_some() && omitted[of_all].is_none())
        };
        for group in &self.nested {
            nested::fit(group, &mut stored, &self.stored, &is_given)?;
        }
        let batch = Batch::new(Arc::clone(&self.stored), stored, count);
        self.check(&batch)?;
        if let Destination::Log(store) = &self.to {
            store.note_json(&batch)?;
        }
        self.check_partitions(&batch)?;
        let sorted = self.sorted(batch)?;
        let Some(rule) = &self.rule else { return Ok(sorted) };
        let rows = rule.merge(&sorted.to_arrow()?, &self.cx, Purpose::Store)?;
        Ok(Batch::new(Arc::clone(&self.stored), rows.columns().to_vec(), rows.num_rows()))
    }

    /// Whether a Join table takes more rows. Errors: SET_SIZE_LIMIT_EXCEEDED (191), where it is not to leave them out.
    fn fits_join(&self, batch: &Batch) -> Result<bool> {
        let Some(join) = &self.join else { return Ok(true) };
        let store = self.log()?;
        let parts = store.parts.snapshot();
        let stored: u64 = parts.manifest().parts.iter().map(|p| p.rows).sum();
        let rows = stored + store.pending_rows() + batch.rows() as u64;
        if rows <= join.rows_max || join.breaks {
            return Ok(rows <= join.rows_max);
        }
        let message = format!(
            "Join table {} would have {rows} rows, max_rows_in_join is {}",
            self.stream.info.name, join.rows_max
        );
        Err(Error::new(Code::SET_SIZE_LIMIT_EXCEEDED, message))
    }

    /// Errors: TOO_MANY_PARTS (252) where the rows are of more partitions than one batch may have.
    fn check_partitions(&self, batch: &Batch) -> Result<()> {
        let Some(Partitions { of, max }) = &self.partitions else { return Ok(()) };
        let values = of.eval_to_array(&self.cx, batch)?;
        let encoded = hydron_func::scalar::rows::encode(&values)?;
        let distinct: std::collections::HashSet<_> = encoded.iter().collect();
        if distinct.len() as u64 <= *max {
            return Ok(());
        }
        let message = format!(
            "rows of {} partitions in one batch of the INSERT into {}, max_partitions_per_insert_block is {max}",
            distinct.len(),
            self.stream.info.name
        );
        Err(Error::new(Code::TOO_MANY_PARTS, message).hint("a partition key with fewer values"))
    }

    /// Errors: VIOLATED_CONSTRAINT with the first row for which a constraint is not true.
    fn check(&self, batch: &Batch) -> Result<()> {
        for (name, check) in &self.checks {
            let kept = check.eval_filter(&self.cx, batch)?;
            let Some(row) = (0..kept.len()).find(|row| !kept.value(*row)) else { continue };
            let row = self.rows_before + row as u64 + 1;
            let message =
                format!("row {row} of the INSERT into {} violates constraint '{name}'", self.stream.info.name);
            return Err(Error::new(Code::VIOLATED_CONSTRAINT, message));
        }
        Ok(())
    }

    /// Rows of a MergeTree table leave an INSERT in the order of its key.
    fn sorted(&self, batch: Batch) -> Result<Batch> {
        if self.sort.is_empty() || batch.rows() < 2 {
            return Ok(batch);
        }
        let options = Some(arrow::compute::SortOptions { descending: false, nulls_first: true });
        let key = |e: &Expr| -> Result<arrow::compute::SortColumn> {
            Ok(arrow::compute::SortColumn { values: e.eval_to_array(&self.cx, &batch)?, options })
        };
        let mut keys = self.sort.iter().map(key).collect::<Result<Vec<_>>>()?;
        let rows: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..batch.rows() as u32));
        keys.push(arrow::compute::SortColumn { values: rows, options: None });
        let order = arrow::compute::lexsort_to_indices(&keys, None).map_err(arrow_error)?;
        take(&batch, &order)
    }

    fn by_shard(&self, batch: Batch, first_row: u64) -> Result<Vec<(usize, Batch)>> {
        let shards = self.stream.info.shards as u64;
        let Some(expr) = &self.sharding else {
            let shard = match &self.token {
                _ if shards == 1 => 0,
                None => self.log()?.turn(),
                Some(token) => (hash(token, first_row) % shards) as usize,
            };
            return Ok(vec![(shard, batch)]);
        };
        let value = expr.eval(&self.cx, &batch)?.to_array(batch.rows())?;
        let value = cast(&value, &expr.ty, &LogicalType::UInt64, &CastOptions::wrap(self.cx.zone))
            .map_err(|e| e.context("sharding expression"))?;
        let value = value
            .as_any()
            .downcast_ref::<arrow::array::UInt64Array>()
            .ok_or_else(|| Error::bug("a cast to uint64 gave another type"))?;
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); shards as usize];
        for (row, v) in value.values().iter().enumerate() {
            rows[(v % shards) as usize].push(row as u32);
        }
        let parts = rows.into_iter().enumerate().filter(|(_, r)| !r.is_empty());
        parts.map(|(shard, rows)| Ok((shard, take(&batch, &UInt32Array::from(rows))?))).collect()
    }
}

/// The elements of a sorting key, up to the first that has no order here.
fn sort_keys(order_by: &str, schema: &Schema, catalog: &dyn Catalog, cx: &BindContext) -> Result<Vec<Expr>> {
    use LogicalType::{Array, Map, Nested, Tuple};
    let mut keys = Vec::new();
    for element in merging::list_of(order_by)? {
        let bound = bind_scalar_expr(&hydron_sql::parse_expression(&element)?, schema, catalog, cx);
        match bound {
            Ok(key) if !matches!(key.ty.bare(), Array(_) | Map(..) | Tuple(_) | Nested(_)) => keys.push(key),
            _ => break,
        }
    }
    Ok(keys)
}

fn take(batch: &Batch, rows: &UInt32Array) -> Result<Batch> {
    let columns = batch.columns.iter().map(|c| arrow::compute::take(c, rows, None)).collect::<Result<Vec<_>, _>>();
    Ok(Batch::new(Arc::clone(&batch.schema), columns.map_err(arrow_error)?, rows.len()))
}

/// The token that makes an INSERT repeatable. Errors: BAD_ARGUMENTS past [`TOKEN_BYTES_MAX`].
fn token(settings: &hydron_base::Settings) -> Result<Option<String>> {
    let names = ["idempotent_id", "insert_deduplication_token"];
    let Some((name, token)) = names.map(|n| (n, settings.text(n))).into_iter().find(|(_, t)| !t.is_empty()) else {
        return Ok(None);
    };
    if token.len() > TOKEN_BYTES_MAX {
        let message = format!("{name} has {} bytes, the limit is {TOKEN_BYTES_MAX}", token.len());
        return Err(Error::bad_arguments(message));
    }
    Ok(Some(token.to_string()))
}

/// The same in every process, so that a batch finds its shard again after a restart.
fn hash(token: &str, first_row: u64) -> u64 {
    let mut hasher = siphasher::sip::SipHasher13::new();
    hasher.write(token.as_bytes());
    hasher.write(&first_row.to_le_bytes());
    hasher.finish()
}

/// Columns that a stream has by itself: an INSERT without a list does not expect them.
fn is_automatic(name: &str) -> bool {
    matches!(name, "_tp_time" | "_tp_delta")
}

/// The position of a listed column. Errors: NO_SUCH_COLUMN_IN_STREAM with the nearest name.
pub fn position_of(stream: &str, all: &Schema, name: &str) -> Result<usize> {
    all.index_of(name).ok_or_else(|| {
        let error = Error::new(Code::NO_SUCH_COLUMN_IN_STREAM, format!("stream {stream} has no column '{name}'"));
        match crate::catalog::state::nearest(name, all.fields.iter().map(|f| &*f.name)) {
            Some(near) => error.hint(format!("column '{near}'")),
            None => error,
        }
    })
}

/// Positions of the listed columns. Errors: NO_SUCH_COLUMN_IN_STREAM, DUPLICATE_COLUMN, ILLEGAL_COLUMN.
fn listed(stream: &str, columns: &[String], all: &Schema, known: &[&hydron_plan::ColumnInfo]) -> Result<Vec<usize>> {
    let mut given: Vec<usize> = Vec::with_capacity(columns.len());
    for name in columns {
        let at = position_of(stream, all, name)?;
        if given.contains(&at) {
            return Err(Error::new(Code::DUPLICATE_COLUMN, format!("column '{name}' is listed twice")));
        }
        if matches!(known[at].default, ColumnDefault::Materialized(_)) {
            let message = format!("column '{name}' is MATERIALIZED, an INSERT cannot give it");
            return Err(Error::new(Code::ILLEGAL_COLUMN, message));
        }
        given.push(at);
    }
    Ok(given)
}

/// `array` in the type of `to`; NULLs of a column that cannot hold them are marked for its default.
fn fit(
    array: &ArrayRef,
    from: &LogicalType,
    to: &Field,
    zone: hydron_types::Zone,
) -> Result<(ArrayRef, Option<BooleanArray>)> {
    let options = CastOptions::wrap(zone);
    let named = |e: Error| e.context(format!("column '{}'", to.name));
    if to.ty.is_nullable() || array.logical_null_count() == 0 {
        return Ok((cast(array, from, &to.ty, &options).map_err(named)?, None));
    }
    let nulls = arrow::compute::is_null(array).map_err(arrow_error)?;
    let nullable = LogicalType::nullable(to.ty.clone());
    let value = cast(array, from, &nullable, &options).map_err(named)?;
    let default = array_of(&Value::default_of(&to.ty), &to.ty, 1)?;
    let filled =
        arrow::compute::kernels::zip::zip(&nulls, &arrow::array::Scalar::new(default), &value).map_err(arrow_error)?;
    Ok((filled, Some(nulls)))
}

/// A batch cut into pieces that fit a record each.
fn records(batch: &Batch) -> Vec<Batch> {
    let rows_max = hydron_base::limit::BATCH_ROWS_MAX;
    let bytes = batch.columns.iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum::<usize>();
    let per_row = (bytes / batch.rows().max(1)).max(1);
    let step = (RECORD_BYTES_TARGET / per_row).clamp(1, rows_max);
    if step >= batch.rows() {
        return vec![batch.clone()];
    }
    (0..batch.rows()).step_by(step).map(|at| batch.slice(at, step.min(batch.rows() - at))).collect()
}
