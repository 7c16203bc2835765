//! A historical read: for each scan of a plan its parts and the log's rows after them, as of one moment.
//!
//! In: a bounded plan. Out: batches, and a row of totals apart. Promise: an acknowledged row is seen; a row is seen once;
//! files of parts stay as long as the query runs.

use super::merging::{self, MergeRule, Purpose};
use super::old_parts::OldParts;
use super::partition::PartitionKey;
use super::random::RandomRows;
use super::random_source::project;
use super::source::stored_column;
use super::{StreamStore, file, keyed};
use crate::catalog::GivenTable;
use crate::catalog::lookup::Lookup;
use crate::external::decode::Decoder;
use crate::external::feed::ExternalFeed;
use crate::query::{Item, Progress};
use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Int32Array, RecordBatch};
use futures::stream::{self, BoxStream, StreamExt};
use hydron_base::limit::BATCH_ROWS_MAX;
use hydron_base::world::Stop;
use hydron_base::{Budget, Code, Error, Result, Settings};
use hydron_format::FormatOptions;
use hydron_func::call::arrow_error;
use hydron_func::{BindContext, EvalContext};
use hydron_history::{
    ExecOptions, GroupLimit, HistorySource, NodeLimits, Overflow, PartFile, Parts, ReadLimit, RowFeed, RowLimit,
    ScanData,
};
use hydron_plan::join_engine::JOIN;
use hydron_plan::{ColumnInfo, Plan, Scan, ScanColumn, StreamInfo, StreamKind};
use hydron_store::part::PartMeta;
use hydron_types::{Batch, Field, LogicalType, Schema};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Runs a bounded plan on the computing threads.
pub fn execute(
    lookup: &Lookup,
    plan: Plan,
    progress: Option<Arc<Progress>>,
) -> Result<BoxStream<'static, Result<Item>>> {
    let run = hydron_history::execute(&plan, lookup, &options(lookup), lookup.engine.cpu.handle())?;
    let metrics = run.metrics;
    let count = move |progress: &Option<Arc<Progress>>| {
        let Some(progress) = progress else { return };
        progress.read_rows.store(metrics.rows_read(), Ordering::Relaxed);
        progress.read_bytes.store(metrics.bytes_read(), Ordering::Relaxed);
        if let Some(rows) = metrics.rows_before_limit() {
            *progress.rows_before_limit.lock() = Some(rows);
        }
    };
    let counted = stream::unfold((run.rows, progress, count), |(mut rows, progress, count)| async move {
        let item = rows.next().await;
        count(&progress);
        item.map(|item| (item.map(Item::Rows), (rows, progress, count)))
    });
    let rows = counted.fuse();
    Ok(match run.totals {
        Some(totals) => rows.chain(totals.map(|item| item.map(Item::Totals))).boxed(),
        None => rows.boxed(),
    })
}

/// DataFusion's plan as text. Blocks; call it on a thread that may.
pub fn explain(lookup: &Lookup, plan: &Plan) -> Result<String> {
    lookup.engine.cpu.handle().block_on(hydron_history::explain(plan, lookup, &options(lookup)))
}

fn options(lookup: &Lookup) -> ExecOptions {
    let settings = &lookup.settings;
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let threads = match settings.uint("max_threads") {
        0 => cores,
        n => n.clamp(1, 64) as usize,
    };
    let eval = eval_context(lookup);
    ExecOptions {
        threads,
        batch_rows: settings.uint("max_block_size").clamp(1, BATCH_ROWS_MAX as u64) as usize,
        memory: Arc::clone(&lookup.memory),
        spill_dir: may_spill(settings).then(|| lookup.engine.options.data_dir.join(crate::engine::SPILL_DIRECTORY)),
        read_limit: ReadLimit {
            rows_max: settings.uint("max_rows_to_read"),
            bytes_max: settings.uint("max_bytes_to_read"),
            overflow: overflow(settings.text("read_overflow_mode")),
        },
        group_limit: match settings.uint("max_rows_to_group_by") {
            0 => None,
            groups_max => Some(GroupLimit { groups_max, overflow: overflow(settings.text("group_by_overflow_mode")) }),
        },
        node_limits: NodeLimits {
            sort: row_limit(settings, "max_rows_to_sort", "sort_overflow_mode", Code::TOO_MANY_ROWS_OR_BYTES),
            distinct: row_limit(
                settings,
                "max_rows_in_distinct",
                "distinct_overflow_mode",
                Code::SET_SIZE_LIMIT_EXCEEDED,
            ),
            join: row_limit(settings, "max_rows_in_join", "join_overflow_mode", Code::SET_SIZE_LIMIT_EXCEEDED),
        },
        now: eval.now,
        zone: eval.zone,
        seed: eval.seed,
    }
}

fn row_limit(settings: &Settings, setting: &'static str, mode: &str, code: Code) -> Option<RowLimit> {
    let rows_max = settings.uint(setting);
    (rows_max > 0).then(|| RowLimit { setting, rows_max, overflow: overflow(settings.text(mode)), code })
}

/// Who sets a limit wants to hear of it when it is reached, and not after the disk has been tried: a query with one spills only
/// where that is asked for. One that shares the server's memory spills before it fails.
fn may_spill(settings: &Settings) -> bool {
    let is_asked = ["max_bytes_before_external_group_by", "max_bytes_before_external_sort"];
    settings.uint("max_memory_usage") == 0 || is_asked.iter().any(|name| settings.uint(name) > 0)
}

fn overflow(mode: &str) -> Overflow {
    match mode {
        "break" => Overflow::Break,
        "any" => Overflow::Any,
        _ => Overflow::Throw,
    }
}

fn eval_context(lookup: &Lookup) -> EvalContext {
    let zone = crate::statement::zone(&lookup.settings);
    EvalContext { now: lookup.engine.options.clock.now(), zone, seed: rand::random(), batch: 0 }
}

fn bind_context(lookup: &Lookup) -> BindContext {
    BindContext {
        zone: crate::statement::zone(&lookup.settings),
        settings: Arc::clone(&lookup.settings),
        database: Arc::clone(&lookup.database),
        user: Arc::clone(&lookup.user),
        streaming: false,
        traps: lookup.engine.options.allow_trap,
        server: Some(crate::statement::facts::ServerView::facts(&lookup.engine, "", &lookup.database)),
        identity: Arc::default(),
        stop: Stop::default(),
        memory: Arc::clone(&lookup.memory),
    }
}

impl HistorySource for Lookup {
    fn scan(&self, scan: &Scan) -> Result<ScanData> {
        let info = &scan.stream;
        if let Some(given) = self.given.iter().find(|g| g.info.uuid == info.uuid) {
            return given_rows(self, given, scan);
        }
        let batches = match info.kind {
            StreamKind::Stream | StreamKind::Table => {
                let stream = self.state.stream_of(info)?;
                let store = stream.stored()?;
                let is_merged = &*info.engine == JOIN || scan.is_final && merging::is_merging(&info.engine);
                let context = bind_context(self);
                let rule = match is_merged {
                    true => MergeRule::of(&stream.info, &store.schema, self, &context)?,
                    false => None,
                };
                if let Some(rule) = rule {
                    return merged(store, scan, &rule, self);
                }
                let partitions_max = partitions_max(&stream.info, &self.settings);
                if partitions_max.is_some() || scan.columns.iter().any(|c| is_of_parts(*c)) {
                    return parted(store, scan, self, &context, partitions_max);
                }
                return match keyed::is_keyed(info) && self.settings.bool("compact_kv_stream") {
                    true => counting(store, scan, self.engine.cpu.handle()),
                    false => stored(store, scan, &self.memory, self.engine.cpu.handle()),
                };
            }
            StreamKind::External => return external(self, scan),
            StreamKind::System => vec![crate::system::rows(self, &info.name)?],
            StreamKind::Random => {
                let mut rows = RandomRows::new(info, self, &bind_context(self), rand::random())?;
                let asked = [self.settings.uint("max_events"), scan.limit_hint].into_iter().filter(|n| *n > 0).min();
                let count = asked.map_or(BATCH_ROWS_MAX, |n| n.min(BATCH_ROWS_MAX as u64) as usize);
                vec![rows.batch(&eval_context(self), count)?]
            }
            StreamKind::Function if &*info.engine == super::remote::ENGINE => {
                let feed = super::remote::RemoteFeed::new(info, &scan.columns)?;
                return Ok(ScanData { feed: Some(Arc::new(feed)), ..ScanData::default() });
            }
            StreamKind::Function => {
                let options = FormatOptions::from_settings(&self.settings, crate::statement::zone(&self.settings));
                let feed = file::FileFeed::new(info, &scan.columns, options)?;
                return Ok(ScanData { feed: Some(Arc::new(feed)), ..ScanData::default() });
            }
        };
        let schema = Arc::new(schema_of(scan));
        let now = self.engine.options.clock.now();
        let projected = batches.iter().map(|b| project(b, &scan.columns, &schema, now, 0, 0));
        Ok(ScanData { batches: projected.collect::<Result<_>>()?, ..ScanData::default() })
    }
}

/// What an external stream has now.
fn external(lookup: &Lookup, scan: &Scan) -> Result<ScanData> {
    let stream = lookup.state.stream_of(&scan.stream)?;
    let external = stream.external().cloned().ok_or_else(|| Error::bug("an external stream has no other side"))?;
    let definition = external.definition()?;
    let counts = scan.columns.is_empty() && definition.one_message_per_row;
    let decoder = {
        let (lookup, definition, scan) = (lookup.clone(), Arc::clone(&definition), scan.clone());
        move || {
            let schema = Arc::new(schema_of(&scan));
            let (bind_cx, eval_cx) = (bind_context(&lookup), eval_context(&lookup));
            let clock = Arc::clone(&lookup.engine.options.clock);
            let counters = Arc::clone(&external.counters);
            Decoder::new(&definition, &scan, &schema, &lookup, &bind_cx, eval_cx, clock, counters)
        }
    };
    let shards = lookup.settings.text("shards").to_string();
    let feed = ExternalFeed { definition, shards, decoder: Box::new(decoder), counts };
    Ok(ScanData { feed: Some(Arc::new(feed)), ..ScanData::default() })
}

/// The rows of a table that came with the query: this query's own.
fn given_rows(lookup: &Lookup, given: &GivenTable, scan: &Scan) -> Result<ScanData> {
    let schema = Arc::new(schema_of(scan));
    let now = lookup.engine.options.clock.now();
    let projected = given.batches.iter().map(|b| project(b, &scan.columns, &schema, now, 0, 0));
    let held = vec![lookup.memory.reserve(given.bytes())?];
    Ok(ScanData { batches: projected.collect::<Result<_>>()?, held, ..ScanData::default() })
}

/// Parts and pending log records of a stored stream.
fn stored(
    store: &Arc<StreamStore>,
    scan: &Scan,
    memory: &Arc<Budget>,
    cpu: &tokio::runtime::Handle,
) -> Result<ScanData> {
    let view = store.view();
    let schema = Arc::new(schema_of(scan));
    let (mut batches, mut held) = (Vec::new(), Vec::new());
    for (shard, (from, to)) in view.log.iter().enumerate() {
        for record in store.records(shard, *from, *to)? {
            let rows = store.adapter.adapt(&record.batch, record.schema_version)?;
            let batch = stored_batch(store, &rows, scan, &schema, shard)?;
            // Records near the head of the log are everybody's; those read from its files are this query's own.
            if Arc::strong_count(&record) == 1 {
                held.push(memory.reserve(batch.bytes())?);
            }
            batches.push(batch);
        }
    }
    let files: Vec<PartFile> = view
        .snapshot
        .manifest()
        .parts
        .iter()
        .filter(|p| store.adapter.is_current(p.schema_version))
        .map(|p| PartFile {
            path: store.parts.path_of(&p.file),
            bytes: p.bytes,
            rows: p.rows,
            lacks: lacks(scan),
            nan_free: nan_free(scan, p),
        })
        .collect();
    let parts = (!files.is_empty()).then(|| Parts {
        objects: Arc::clone(store.parts.objects()),
        files,
        pin: Arc::new(view.snapshot.clone()),
    });
    let old = OldParts::of(store, scan, &schema, &view.snapshot, cpu);
    let feed = old.map(|old| Arc::new(old) as Arc<dyn RowFeed>);
    let mut sorted_by = store.sort_columns.clone();
    if scan.stream.engine.ends_with("MergeTree") {
        // A filter of a column excludes by an expression of it in the key too.
        sorted_by.extend(merging::names_of(&scan.stream.order_by)?);
    }
    Ok(ScanData { parts, feed, batches, held, sorted_by, ..ScanData::default() })
}

/// The rows that count of a keyed stream.
fn counting(store: &Arc<StreamStore>, scan: &Scan, cpu: &tokio::runtime::Handle) -> Result<ScanData> {
    let schema = Arc::new(schema_of(scan));
    let mut batches = Vec::new();
    for batch in keyed::compacted(store, &scan.stream, &store.view(), cpu)? {
        batches.push(stored_batch(store, &batch.to_arrow()?, scan, &schema, 0)?);
    }
    Ok(ScanData { batches, ..ScanData::default() })
}

fn is_of_parts(column: ScanColumn) -> bool {
    matches!(column, ScanColumn::Part | ScanColumn::PartitionId)
}

/// Partitions of a table that a query may read, if there is a limit.
fn partitions_max(info: &StreamInfo, settings: &Settings) -> Option<u64> {
    if info.partition_by.is_empty() {
        return None;
    }
    let of_table = || info.settings.iter().rfind(|(k, _)| &**k == "max_partitions_to_read").map(|(_, v)| v.as_str());
    let text = match settings.text("max_partitions_to_read") {
        "-1" => of_table()?,
        text => text,
    };
    text.parse().ok().filter(|max| *max > 0)
}

/// Rows with what is known of their parts. Rows that `pruning` excludes are not among them.
///
/// Errors: TOO_MANY_PARTITIONS (565).
fn parted(
    store: &Arc<StreamStore>,
    scan: &Scan,
    lookup: &Lookup,
    context: &BindContext,
    partitions_max: Option<u64>,
) -> Result<ScanData> {
    let (schema, eval) = (Arc::new(schema_of(scan)), eval_context(lookup));
    let key = PartitionKey::of(&scan.stream.partition_by, &store.schema, lookup, context)?;
    let (mut batches, mut held) = (Vec::new(), Vec::new());
    let mut partitions = std::collections::BTreeSet::new();
    store.each_block(&store.view(), lookup.engine.cpu.handle(), |rows, block| {
        let ids = key.ids(&rows, &store.schema, &eval)?;
        let text = |texts: Vec<String>| Arc::new(BinaryArray::from_iter_values(texts)) as ArrayRef;
        let column = |c: &ScanColumn| match c {
            ScanColumn::Stored(i) => stored_column(&rows, stored_position(store, &scan.stream.columns[*i])?),
            ScanColumn::Part => Ok(text(ids.iter().map(|id| block.name(id)).collect())),
            ScanColumn::PartitionId => Ok(text(ids.clone())),
            other => Err(Error::not_implemented(format!("{other:?} beside _part"))),
        };
        let columns = scan.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        let batch = Batch::new(Arc::clone(&schema), columns, rows.num_rows());
        let kept = match &scan.pruning {
            Some(pruning) => pruning.eval_filter(&eval, &batch)?,
            None => BooleanArray::from(vec![true; batch.rows()]),
        };
        partitions.extend(ids.into_iter().enumerate().filter(|(row, _)| kept.value(*row)).map(|(_, id)| id));
        let columns = batch.columns.iter().map(|c| arrow::compute::filter(c, &kept)).collect::<Result<Vec<_>, _>>();
        let batch = Batch::new(Arc::clone(&schema), columns.map_err(arrow_error)?, kept.true_count());
        held.push(lookup.memory.reserve(batch.bytes())?);
        batches.push(batch);
        Ok(())
    })?;
    match partitions_max {
        Some(max) if partitions.len() as u64 > max => {
            let message = format!(
                "the query reads {} partitions of {}, max_partitions_to_read is {max}",
                partitions.len(),
                scan.stream.name
            );
            Err(Error::new(Code::TOO_MANY_PARTITIONS, message))
        }
        _ => Ok(ScanData { batches, held, ..ScanData::default() }),
    }
}

/// The rows of a table that count.
fn merged(store: &Arc<StreamStore>, scan: &Scan, rule: &MergeRule, lookup: &Lookup) -> Result<ScanData> {
    let schema = Arc::new(schema_of(scan));
    let gathered = store.gathered(&store.view(), &lookup.memory, lookup.engine.cpu.handle())?;
    let rows = rule.merge(&gathered.rows, &eval_context(lookup), Purpose::Read)?;
    let cut = |at: usize| rows.slice(at, BATCH_ROWS_MAX.min(rows.num_rows() - at));
    let pieces = (0..rows.num_rows()).step_by(BATCH_ROWS_MAX);
    let batches = pieces.map(|at| stored_batch(store, &cut(at), scan, &schema, 0)).collect::<Result<_>>()?;
    Ok(ScanData { batches, held: gathered.held, ..ScanData::default() })
}

/// The scan's columns of one log record.
pub fn stored_batch(
    store: &StreamStore,
    rows: &RecordBatch,
    scan: &Scan,
    schema: &Arc<Schema>,
    shard: usize,
) -> Result<Batch> {
    let count = rows.num_rows();
    let column = |c: &ScanColumn| -> Result<ArrayRef> {
        match c {
            ScanColumn::Stored(i) => stored_column(rows, stored_position(store, &scan.stream.columns[*i])?),
            ScanColumn::Shard => Ok(Arc::new(Int32Array::from_value(shard as i32, count))),
            other => Err(Error::not_implemented(format!("{other:?} in a historical query"))),
        }
    };
    let columns = scan.columns.iter().map(column).collect::<Result<_>>()?;
    Ok(Batch::new(Arc::clone(schema), columns, count))
}

/// Where the store has a column of a plan. Errors: NO_SUCH_COLUMN_IN_STREAM when an ALTER came between plan and read.
pub fn stored_position(store: &StreamStore, column: &ColumnInfo) -> Result<usize> {
    match store.schema.index_of(&column.name) {
        Some(at) if store.schema.fields[at].ty == column.ty => Ok(at),
        _ => {
            let message = format!("column '{}' was altered while the query began", column.name);
            Err(Error::new(Code::NO_SUCH_COLUMN_IN_STREAM, message).hint("run it again"))
        }
    }
}

/// Columns of a scan that no file has: those that the log makes.
fn lacks(scan: &Scan) -> Vec<usize> {
    let made = scan.columns.iter().enumerate().filter(|(_, c)| !matches!(c, ScanColumn::Stored(_)));
    made.map(|(i, _)| i).collect()
}

/// Positions of the floating-point columns that a part has no NaN in.
fn nan_free(scan: &Scan, part: &PartMeta) -> Vec<usize> {
    let free = |c: &ScanColumn| match c {
        ScanColumn::Stored(i) => part.nan_free.iter().any(|name| **name == *scan.stream.columns[*i].name),
        _ => false,
    };
    (0..scan.columns.len()).filter(|i| free(&scan.columns[*i])).collect()
}

/// Names and types of a scan's columns.
pub fn schema_of(scan: &Scan) -> Schema {
    let millis = match scan.stream.kind {
        StreamKind::External => LogicalType::DateTime64(3, Some(hydron_types::Zone::UTC)),
        _ => LogicalType::Int64,
    };
    let field = |c: &ScanColumn| match c {
        ScanColumn::Stored(i) => {
            let column = &scan.stream.columns[*i];
            Field::new(Arc::clone(&column.name), column.ty.clone())
        }
        ScanColumn::MessageKey => Field::new("_tp_message_key", LogicalType::String),
        ScanColumn::MessageHeaders => {
            let text = || Box::new(LogicalType::String);
            Field::new("_tp_message_headers", LogicalType::Map(text(), text()))
        }
        ScanColumn::AppendTime => Field::new("_tp_append_time", millis.clone()),
        ScanColumn::IngestTime => Field::new("_tp_ingest_time", millis.clone()),
        ScanColumn::ProcessTime => Field::new("_tp_process_time", millis.clone()),
        ScanColumn::Sequence => Field::new("_tp_sn", LogicalType::Int64),
        ScanColumn::Shard => Field::new("_tp_shard", LogicalType::Int32),
        ScanColumn::Part => Field::new("_part", LogicalType::String),
        ScanColumn::PartitionId => Field::new("_partition_id", LogicalType::String),
    };
    Schema::new(scan.columns.iter().map(field).collect())
}
