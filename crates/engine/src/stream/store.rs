//! The rows of one stream: a log for each shard, and parts that all shards share.
//!
//! In: batches with every stored column. Out: their sequence numbers, durable. Promise: `parts up to c ∪ log from c` is
//! every row once, whatever moves between them meanwhile.

use super::adapter::Adapter;
use super::json_types::JsonTypes;
use super::keyed;
use super::layout::Layouts;
use super::packing::packings;
use super::streams::Streams;
use super::ttl::Ttl;
use arrow::array::{Array, ArrayRef, AsArray};
use bytes::Bytes;
use hydron_base::{Error, Result};
use hydron_plan::StreamInfo;
use hydron_store::log::{
    Ack, Draft, EventSpan, Hold, Log, LogConfig, Prepared, Record, Retention, SchemaHistory, Sequence, Ticket,
};
use hydron_store::part::{ColumnPacking, PartStore, Snapshot};
use hydron_types::{Batch, Field, JsonShape, LogicalType, Schema};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// Proton's default of `logstore_retention_ms`: one day.
const RETENTION_MS: i64 = 86_400_000;

/// Bytes of one log up to which it keeps what a view would read again beyond retention: a view that is broken for days must
/// not fill the disk.
const NEEDED_BYTES_MAX: u64 = 16 << 30;

pub struct StreamStore {
    pub logs: Vec<Arc<Log>>,
    pub parts: Arc<PartStore>,
    /// The stored columns, in the order of the stream's.
    pub schema: Arc<Schema>,
    /// Brings rows of other versions into this one.
    pub adapter: Adapter,
    schemas: Arc<SchemaHistory>,
    /// Position of `_tp_time` in `schema`.
    pub time_column: Option<usize>,
    /// Columns that parts are sorted by.
    pub sort_columns: Vec<String>,
    /// What columns ask of the files of parts.
    pub(super) packings: Vec<ColumnPacking>,
    /// False with `storage_type = 'streaming'`: rows stay in the log for as long as retention keeps them.
    pub(super) makes_parts: bool,
    ack: Ack,
    next_shard: Arc<AtomicU64>,
    pub(super) pending: Arc<Mutex<Pending>>,
    pub(super) limits: FlushLimits,
    retention: Retention,
    pub(super) has_ttl: bool,
    pub(super) ttl: tokio::sync::Mutex<Option<Ttl>>,
    /// For each view the first record of each shard that it would read again.
    needed: Arc<Mutex<HashMap<Uuid, Vec<(u32, Sequence)>>>>,
    /// What its json columns have shown.
    pub json: Arc<JsonTypes>,
    /// Held while parts are written or forgotten; true: the stream is dropped, and nothing may be written any more.
    pub(super) compacting: Arc<tokio::sync::Mutex<bool>>,
}

/// When log records become a part.
#[derive(Clone, Copy, Debug)]
pub struct FlushLimits {
    pub rows: u64,
    pub bytes: u64,
    pub age_ms: i64,
}

/// What is in the log and not yet in parts, roughly.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pending {
    pub rows: u64,
    pub bytes: u64,
    /// Append time of the oldest such record.
    pub since_ms: Option<i64>,
}

impl StreamStore {
    /// `ttl`: when rows leave the history.
    pub fn open(
        streams: &Streams,
        info: &Arc<StreamInfo>,
        layouts: Layouts,
        ttl: Option<Ttl>,
    ) -> Result<Arc<StreamStore>> {
        let config = LogConfig { segment_bytes: streams.options.segment_bytes };
        let current = layouts.current();
        let schemas = SchemaHistory::new(current.version, current.schema().arrow());
        for layout in layouts.versions.values() {
            schemas.set(layout.version, layout.schema().arrow());
        }
        let logs = (0..info.shards)
            .map(|shard| Ok(streams.volume.open_log(info.uuid, shard, schemas.clone(), config)?))
            .collect::<Result<Vec<_>>>()?;
        for log in &logs {
            let found = log.recovery();
            if found.cut_bytes > 0 {
                let why = found.cut_why.unwrap_or_default();
                tracing::info!(
                    "{}: {} bytes of an unfinished write were cut away ({why})",
                    log.name(),
                    found.cut_bytes
                );
            }
        }
        let parts = Arc::new(block_on(&streams.cpu, PartStore::open(&streams.parts_dir(info.uuid)))?);
        let adapter = Adapter::new(Arc::clone(info), Arc::new(RwLock::new(layouts)), Arc::clone(&streams.engine));
        let schema = Arc::new(adapter.layout.schema());
        let store = Arc::new(StreamStore {
            time_column: schema.index_of("_tp_time"),
            sort_columns: sort_columns(info, &schema),
            packings: packings(info, &schema),
            logs,
            parts,
            schema,
            adapter,
            schemas,
            makes_parts: makes_parts(info),
            ack: if streams.options.synced { Ack::Synced } else { Ack::Written },
            next_shard: Arc::default(),
            pending: Arc::default(),
            limits: limits(info, streams),
            retention: retention(info),
            has_ttl: ttl.is_some(),
            ttl: tokio::sync::Mutex::new(ttl),
            needed: Arc::default(),
            json: Arc::new(JsonTypes::new(info.uuid, Arc::clone(&streams.engine))),
            compacting: Arc::new(tokio::sync::Mutex::new(false)),
        });
        store.count_pending()?;
        streams.register(info.uuid, &store);
        Ok(store)
    }

    /// The same logs and parts as `info` and `layouts` have them from now on. Those that use the store as it is go on with it.
    pub fn altered(
        &self,
        streams: &Streams,
        info: &Arc<StreamInfo>,
        layouts: Layouts,
        ttl: Option<Ttl>,
    ) -> Arc<StreamStore> {
        let current = layouts.current();
        // Before anybody can write a record of the version.
        self.schemas.set(current.version, current.schema().arrow());
        *self.adapter.layouts().write() = layouts;
        let adapter = Adapter::new(Arc::clone(info), Arc::clone(self.adapter.layouts()), Arc::clone(&streams.engine));
        let schema = Arc::new(adapter.layout.schema());
        Arc::new(StreamStore {
            time_column: schema.index_of("_tp_time"),
            sort_columns: sort_columns(info, &schema),
            packings: packings(info, &schema),
            logs: self.logs.clone(),
            parts: Arc::clone(&self.parts),
            schema,
            adapter,
            schemas: Arc::clone(&self.schemas),
            makes_parts: makes_parts(info),
            ack: self.ack,
            next_shard: Arc::clone(&self.next_shard),
            pending: Arc::clone(&self.pending),
            limits: limits(info, streams),
            retention: retention(info),
            has_ttl: ttl.is_some(),
            ttl: tokio::sync::Mutex::new(ttl),
            needed: Arc::clone(&self.needed),
            json: Arc::clone(&self.json),
            compacting: Arc::clone(&self.compacting),
        })
    }

    pub(super) fn count_pending(&self) -> Result<()> {
        let snapshot = self.parts.snapshot();
        let mut pending = Pending::default();
        for (shard, log) in self.logs.iter().enumerate() {
            let from = snapshot.manifest().log_from(shard as u32).max(log.first_sequence());
            let (rows, since_ms) = log.rows_from(from)?;
            pending.rows += rows;
            // What the rows take in memory is not known: an ordinary row of a hundred bytes is near enough here.
            pending.bytes += rows * 100;
            pending.since_ms = pending.since_ms.into_iter().chain(since_ms).min();
        }
        *self.pending.lock() = pending;
        Ok(())
    }

    /// Takes in what the json columns of rows bring new, before the rows are stored.
    pub fn note_json(&self, batch: &Batch) -> Result<()> {
        self.note_json_columns(&batch.columns)
    }

    /// As [`StreamStore::note_json`], of columns in the order of the stream's.
    pub fn note_json_columns(&self, columns: &[ArrayRef]) -> Result<()> {
        for (column, array) in self.adapter.layout.columns.iter().zip(columns) {
            match &column.ty {
                LogicalType::Json => self.json.note(column.id, &column.name, array.as_binary())?,
                LogicalType::Array(item) if **item == LogicalType::Json => {
                    let list = array.as_list::<i32>();
                    let (from, to) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
                    let items = list.values().slice(from as usize, (to - from) as usize);
                    self.json.note(column.id, &column.name, items.as_binary())?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What the documents of a json column have in common; `None`: nothing is known of them.
    pub fn json_shape(&self, column: &str) -> Option<Arc<JsonShape>> {
        let column = self.adapter.layout.columns.iter().find(|c| &*c.name == column)?;
        self.json.shape(column.id)
    }

    /// Names it in the log of the server.
    pub fn name(&self) -> &str {
        self.logs.first().map_or("a stream", |l| l.name())
    }

    /// The shard for a whole batch: each in its turn.
    pub fn turn(&self) -> usize {
        (self.next_shard.fetch_add(1, Ordering::Relaxed) % self.logs.len() as u64) as usize
    }

    /// Hands one record to the flusher; the ticket tells when it is durable.
    pub fn submit(&self, shard: usize, batch: &Batch, key: Option<Bytes>, stamp: Option<Bytes>) -> Result<Ticket> {
        let (record, ticket) = self.prepare(shard, batch, key, stamp)?;
        self.submit_together(vec![record])?;
        Ok(ticket)
    }

    /// Hands records to the flusher, all or none; historical readers see all of them at once.
    pub fn submit_together(&self, records: Vec<ReadyRecord>) -> Result<()> {
        let (rows, bytes) = records.iter().fold((0, 0), |(rows, bytes), r| (rows + r.rows, bytes + r.bytes));
        hydron_store::log::submit_together(records.into_iter().map(|r| r.prepared).collect())?;
        let mut pending = self.pending.lock();
        pending.rows += rows as u64;
        pending.bytes += bytes as u64;
        Ok(())
    }

    /// Encodes one record, to be handed to the flusher with others; the ticket tells when it is durable.
    pub fn prepare(
        &self,
        shard: usize,
        batch: &Batch,
        key: Option<Bytes>,
        stamp: Option<Bytes>,
    ) -> Result<(ReadyRecord, Ticket)> {
        let arrow = batch.to_arrow()?;
        let mut draft = Draft::new(Arc::new(arrow), self.adapter.layout.version);
        draft.event_span = self.event_span(batch);
        draft.key = key;
        draft.stamp = stamp;
        let (prepared, ticket) = self.logs[shard].prepare(draft, self.ack)?;
        Ok((ReadyRecord { prepared, rows: batch.rows(), bytes: batch.bytes() }, ticket))
    }

    /// Called with the time of an append: the age of what is pending counts from the first.
    pub fn note_append(&self, append_time_ms: i64) {
        self.pending.lock().since_ms.get_or_insert(append_time_ms);
    }

    fn event_span(&self, batch: &Batch) -> EventSpan {
        let Some(at) = self.time_column else { return EventSpan::UNKNOWN };
        event_span(batch, at).unwrap_or(EventSpan::UNKNOWN)
    }

    /// Every row once, as of now: the parts, and for each shard the log's records that are not in them.
    pub fn view(&self) -> View {
        // Held before the snapshot is taken: what the snapshot does not have stays in the log meanwhile.
        let holds = self.logs.iter().map(|l| l.hold()).collect();
        let snapshot = self.parts.snapshot();
        let ends = hydron_store::log::ends(&self.logs);
        let log = self.logs.iter().zip(ends).enumerate().map(|(shard, (log, end))| {
            let from = snapshot.manifest().log_from(shard as u32).max(log.first_sequence());
            (from, end)
        });
        View { log: log.collect(), snapshot, holds }
    }

    /// For each shard the first record whose rows are in the parts, or the first that is in none; `None` where retention has
    /// removed such records from the log already.
    pub fn log_of_parts(&self, view: &View) -> Option<Vec<Sequence>> {
        let parts = &view.snapshot.manifest().parts;
        let of_shard = |(shard, log): (usize, &Arc<Log>)| {
            let in_parts = parts.iter().filter_map(|p| p.sequences.get(&(shard as u32))).map(|r| r.first).min();
            let first = in_parts.unwrap_or(view.log[shard].0).min(view.log[shard].0);
            (first >= log.first_sequence()).then_some(first)
        };
        self.logs.iter().enumerate().map(of_shard).collect()
    }

    /// Reads the records `from..to` of a shard. Blocks on the disk.
    pub fn records(&self, shard: usize, from: Sequence, to: Sequence) -> Result<Vec<Arc<Record>>> {
        let mut cursor = self.logs[shard].subscribe(from);
        let mut records = Vec::new();
        while cursor.position() < to {
            match cursor.try_next()? {
                Some(record) => records.push(record),
                None => break,
            }
        }
        Ok(records)
    }

    /// Forgets history and pending records; sequence numbers go on and streaming readers are not touched.
    pub async fn truncate(&self) -> Result<()> {
        let _alone = self.compacting.lock().await;
        let heads: BTreeMap<u32, Sequence> =
            self.logs.iter().enumerate().map(|(i, l)| (i as u32, l.next_sequence())).collect();
        self.parts.clear(heads).await?;
        *self.pending.lock() = Pending::default();
        Ok(())
    }

    /// Removes log segments that parts have and retention no longer keeps.
    pub(super) fn retain(&self) -> Result<()> {
        let snapshot = self.parts.snapshot();
        for (shard, log) in self.logs.iter().enumerate() {
            let in_parts = snapshot.manifest().log_from(shard as u32);
            let floor = if self.makes_parts { in_parts } else { log.next_sequence() };
            let needed = self.needed_from(shard as u32).filter(|_| log.stats().bytes < NEEDED_BYTES_MAX);
            log.retain(self.retention, needed.map_or(floor, |n| n.min(floor)))?;
        }
        Ok(())
    }

    /// Keeps the records from `from` on for a view, until it moves on or is released.
    pub fn hold_for(&self, view: Uuid, from: Vec<(u32, Sequence)>) {
        self.needed.lock().insert(view, from);
    }

    pub fn release(&self, view: Uuid) {
        self.needed.lock().remove(&view);
    }

    fn needed_from(&self, shard: u32) -> Option<Sequence> {
        let needed = self.needed.lock();
        needed.values().flatten().filter(|(s, _)| *s == shard).map(|(_, from)| *from).min()
    }

    /// Rows that are in the log and not in parts.
    pub fn pending_rows(&self) -> u64 {
        if !self.makes_parts {
            return self.logs.iter().map(|l| l.stats().rows).sum();
        }
        self.pending.lock().rows
    }

    /// Ends readers and refuses writers.
    pub fn close(&self) {
        self.logs.iter().for_each(|l| l.close());
    }
}

fn setting(info: &StreamInfo, name: &str) -> Option<i64> {
    let found = info.settings.iter().find(|(k, _)| &**k == name);
    found.and_then(|(_, v)| v.parse::<i64>().ok())
}

fn makes_parts(info: &StreamInfo) -> bool {
    !info.settings.iter().any(|(k, v)| &**k == "storage_type" && v == "streaming")
}

fn limits(info: &StreamInfo, streams: &Streams) -> FlushLimits {
    let options = &streams.options;
    let positive =
        |name: &str, default: u64| setting(info, name).and_then(|v| u64::try_from(v).ok()).unwrap_or(default);
    FlushLimits {
        rows: positive("flush_threshold_count", options.flush_rows).max(1),
        bytes: positive("flush_threshold_bytes", options.flush_bytes).max(1),
        age_ms: setting(info, "flush_threshold_ms").unwrap_or(options.flush_ms as i64).max(100),
    }
}

fn retention(info: &StreamInfo) -> Retention {
    Retention {
        bytes_max: setting(info, "logstore_retention_bytes").and_then(|v| u64::try_from(v).ok()),
        age_ms_max: Some(setting(info, "logstore_retention_ms").unwrap_or(RETENTION_MS)).filter(|ms| *ms >= 0),
    }
}

/// A record that is encoded and not yet handed to the flusher.
pub struct ReadyRecord {
    prepared: Prepared,
    rows: usize,
    bytes: usize,
}

/// One consistent state of a stream's rows.
pub struct View {
    pub snapshot: Snapshot,
    /// For each shard the records that are not in parts: first, and the one after the last.
    pub log: Vec<(Sequence, Sequence)>,
    /// Keep the records of `log` from retention as long as this value lives.
    pub holds: Vec<Hold>,
}

/// Least and greatest event time of a batch, in microseconds.
pub fn event_span(batch: &Batch, column: usize) -> Option<EventSpan> {
    use arrow::array::{
        Array, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
    };
    use arrow::compute::{max, min};
    use arrow::datatypes::{DataType, TimeUnit};
    let array = batch.column(column);
    macro_rules! span {
        ($array:ty, $to_micros:expr) => {{
            let values = array.as_any().downcast_ref::<$array>()?;
            (min(values).map($to_micros)?, max(values).map($to_micros)?)
        }};
    }
    let (low, high) = match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => span!(TimestampSecondArray, |v: i64| v.saturating_mul(1_000_000)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            span!(TimestampMillisecondArray, |v: i64| v.saturating_mul(1_000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => span!(TimestampMicrosecondArray, |v: i64| v),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => span!(TimestampNanosecondArray, |v: i64| v.div_euclid(1_000)),
        _ => return None,
    };
    Some(EventSpan::new(low, high))
}

/// Of a keyed stream the key and the version. Else the plain columns of ORDER BY up to the first that is an expression, then event time for a stream.
fn sort_columns(info: &StreamInfo, schema: &Schema) -> Vec<String> {
    if keyed::is_keyed(info) {
        // The rows of a key stand together, oldest version first; sorting keeps the order of equal ones.
        let version = keyed::version_column(info);
        return info.primary_key.iter().map(|k| k.to_string()).chain([version.to_string()]).collect();
    }
    let inner = info.order_by.strip_prefix("tuple(").or_else(|| info.order_by.strip_prefix('('));
    let list = inner.and_then(|t| t.strip_suffix(')')).unwrap_or(&info.order_by);
    let columns: Vec<String> = list
        .split(',')
        .map(|c| c.trim().trim_matches('`').to_string())
        .take_while(|c| schema.index_of(c).is_some_and(|i| sortable(&schema.fields[i])))
        .collect();
    match schema.index_of("_tp_time") {
        Some(_) if columns.is_empty() && info.kind == hydron_plan::StreamKind::Stream => vec!["_tp_time".to_string()],
        _ => columns,
    }
}

fn sortable(field: &Field) -> bool {
    use hydron_types::LogicalType::{Array, Map, Nested, Tuple};
    !matches!(field.ty.bare(), Array(_) | Map(..) | Tuple(_) | Nested(_))
}

/// Runs a future from a thread that is not one of the runtime's workers.
pub(super) fn block_on<T>(
    cpu: &tokio::runtime::Handle,
    work: impl Future<Output = Result<T, hydron_store::StoreError>>,
) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(_) => tokio::task::block_in_place(|| cpu.block_on(work)).map_err(Error::from),
        // Outside of a runtime the object store reads files on this very thread, without a hop for each.
        Err(_) => futures::executor::block_on(work).map_err(Error::from),
    }
}
