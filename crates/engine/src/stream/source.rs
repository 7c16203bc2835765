//! A streaming read: history up to a point, then the log from that point on, then whatever comes.
//!
//! In: a scan with its seek. Out: batches of the scan's columns, shard by shard in order of sequence. Promise: between
//! history and log no row is missing and none is double; batches near the head are those that the log shares with all
//! readers, not copies.

use super::keyed;
use super::replay::Pace;
use super::store::StreamStore;
use super::table::stored_position;
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use hydron_base::limit::BATCH_ROWS_MAX;
use hydron_base::world::Clock;
use hydron_base::{Code, Error, Result};
use hydron_flow::host::Origin;
use hydron_plan::{Scan, ScanColumn, Seek};
use hydron_store::log::{Cursor, Record, Sequence};
use hydron_store::part::{PartMeta, PartReader, Snapshot};
use hydron_types::{Batch, Field, Schema};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::runtime::Handle;

/// What a source yields next.
pub enum Piece {
    /// `sequence`: of the record in that shard's log; `None` for rows of the past. `more`: of the same record follow.
    Rows { batch: Batch, shard: u32, sequence: Option<i64>, more: bool },
    /// All that was there when the read began has been delivered.
    CaughtUp,
}

/// Where a read begins.
pub enum Start<'a> {
    /// Where the scan's seek says. `backfill`: history may be read at all. `rereads`: the log is read where it still has what
    /// the parts have, so that the read can go on from any record.
    Seek { backfill: bool, rereads: bool },
    /// Behind the records that were read before; `in_past`: the past was not complete.
    Resume { origin: &'a Origin, in_past: bool },
}

pub struct LogSource {
    store: Arc<StreamStore>,
    /// The rows that count of a keyed stream, which come before the log.
    counting: VecDeque<Batch>,
    backfills: bool,
    columns: Vec<Column>,
    schema: Arc<Schema>,
    clock: Arc<dyn Clock>,
    /// Rows with an earlier event time are left out, in microseconds.
    not_before: Option<i64>,
    history: Option<History>,
    cursors: Vec<Cursor>,
    /// For each shard the first record that did not exist when the read began.
    heads: Vec<Sequence>,
    caught_up: bool,
    /// All of the past comes from the log.
    rereads_past: bool,
    /// The shard to look at first, so that a busy shard does not starve the others.
    turn: usize,
    pace: Option<Pace>,
}

/// Parts that are read before the log, and the snapshot that keeps their files.
struct History {
    parts: VecDeque<PartMeta>,
    open: Option<PartReader>,
    /// Of the open part.
    version: u16,
    _snapshot: Snapshot,
}

/// Where a column of the scan comes from.
#[derive(Clone, Copy)]
enum Column {
    Stored(usize),
    AppendTime,
    ProcessTime,
    Sequence,
    Shard,
}

impl LogSource {
    /// `schema`: the scan's output.
    ///
    /// Errors: SEQUENCE_OUT_OF_RANGE when retention has removed the records to go on from.
    pub fn open(
        store: Arc<StreamStore>,
        scan: &Scan,
        schema: Arc<Schema>,
        clock: Arc<dyn Clock>,
        start: Start<'_>,
        cpu: &Handle,
    ) -> Result<LogSource> {
        let pace = scan.replay.as_ref().map(|r| Pace::new(r, Arc::clone(&schema)));
        let paced_by = scan.replay.as_ref().and_then(|r| r.column);
        let mut schema = schema;
        if let Some(at) = paced_by {
            let column = &scan.stream.columns[at];
            let mut fields = schema.fields.clone();
            fields.push(Field::new(Arc::clone(&column.name), column.ty.clone()));
            schema = Arc::new(Schema::new(fields));
        }
        let mut columns = Vec::with_capacity(scan.columns.len() + 1);
        let mut needs_log = false;
        for column in scan.columns.iter().copied().chain(paced_by.map(ScanColumn::Stored)) {
            columns.push(match column {
                ScanColumn::Stored(i) => Column::Stored(stored_position(&store, &scan.stream.columns[i])?),
                ScanColumn::AppendTime | ScanColumn::IngestTime => Column::AppendTime,
                ScanColumn::ProcessTime => Column::ProcessTime,
                ScanColumn::Sequence => Column::Sequence,
                ScanColumn::Shard => Column::Shard,
                ScanColumn::MessageKey | ScanColumn::MessageHeaders => {
                    return Err(Error::bug("a stored stream has no messages"));
                }
                ScanColumn::Part | ScanColumn::PartitionId => {
                    return Err(Error::not_implemented("_part and _partition_id of a stream"));
                }
            });
            needs_log |= !matches!(column, ScanColumn::Stored(_));
        }
        let place = match start {
            Start::Seek { backfill, rereads } => seek(&store, scan, backfill, rereads, needs_log, cpu)?,
            Start::Resume { origin, in_past } => resume(&store, origin, in_past)?,
        };
        let cursors = place.from.iter().zip(&store.logs).map(|(from, log)| log.subscribe(*from)).collect();
        Ok(LogSource {
            store,
            counting: place.counting,
            backfills: place.backfills,
            columns,
            schema,
            clock,
            not_before: place.not_before,
            history: place.history,
            cursors,
            heads: place.heads,
            caught_up: place.caught_up,
            rereads_past: place.rereads_past,
            turn: 0,
            pace,
        })
    }

    /// The sequence number that comes first, where the log of one shard is read from there and nothing comes before it.
    pub fn begins_at(&self) -> Option<i64> {
        let is_plain =
            self.history.is_none() && self.counting.is_empty() && self.not_before.is_none() && self.pace.is_none();
        match &self.cursors[..] {
            [cursor] if is_plain => Some(cursor.position().0 as i64),
            _ => None,
        }
    }

    /// Where it begins to read. To be asked before the first piece.
    pub fn origin(&self) -> Origin {
        let shards = |of: Vec<i64>| of.into_iter().enumerate().map(|(shard, n)| (shard as u32, n)).collect();
        Origin {
            positions: shards(self.cursors.iter().map(|c| c.position().0 as i64 - 1).collect()),
            past_until: shards(self.heads.iter().map(|h| h.0 as i64).collect()),
            not_before_us: self.not_before,
            rereads: true,
            rereads_past: self.rereads_past,
        }
    }

    /// Whether rows of the past come first.
    pub fn backfills(&self) -> bool {
        self.backfills
    }

    /// The next piece, waiting for it. `None`: the stream was dropped or the server stops.
    pub async fn next(&mut self) -> Result<Option<Piece>> {
        if let Some(batch) = self.counting.pop_front() {
            let columns = stored(&self.columns).map(|at| Arc::clone(batch.column(at))).collect();
            let batch = Batch::new(Arc::clone(&self.schema), columns, batch.rows());
            return Ok(Some(Piece::Rows { batch, shard: 0, sequence: None, more: false }));
        }
        if let Some(batch) = self.next_of_history().await? {
            return Ok(Some(Piece::Rows { batch, shard: 0, sequence: None, more: false }));
        }
        loop {
            if let Some(pace) = &mut self.pace
                && let Some(piece) = pace.next(&*self.clock).await
            {
                return Ok(Some(piece));
            }
            if !self.caught_up && self.cursors.iter().zip(&self.heads).all(|(c, head)| c.position() >= *head) {
                self.caught_up = true;
                return Ok(Some(Piece::CaughtUp));
            }
            match self.try_next()? {
                Some((record, batch, shard)) if batch.rows() > 0 => {
                    let sequence = Some(record.sequence.0 as i64);
                    match &mut self.pace {
                        None => return Ok(Some(Piece::Rows { batch, shard, sequence, more: false })),
                        Some(pace) => pace.take(&record, batch, shard, sequence)?,
                    }
                    continue;
                }
                Some(_) => continue,
                None => {}
            }
            let waits: Vec<_> = self.cursors.iter().map(|c| Box::pin(c.wait())).collect();
            let (open, ..) = futures::future::select_all(waits).await;
            if !open {
                return Ok(None);
            }
        }
    }

    /// What can be had without waiting.
    fn try_next(&mut self) -> Result<Option<(Arc<Record>, Batch, u32)>> {
        for i in 0..self.cursors.len() {
            let shard = (self.turn + i) % self.cursors.len();
            if let Some(record) = self.cursors[shard].try_next()? {
                self.turn = shard + 1;
                let batch = self.batch_of(&record, shard)?;
                return Ok(Some((record, batch, shard as u32)));
            }
        }
        Ok(None)
    }

    async fn next_of_history(&mut self) -> Result<Option<Batch>> {
        let Some(mut history) = self.history.take() else { return Ok(None) };
        // The reader gives columns in the order of the stream's, each once.
        let mut wanted: Vec<usize> = stored(&self.columns).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let time = self.store.time_column;
        if let (Some(_), Some(time)) = (self.not_before, time)
            && let Err(at) = wanted.binary_search(&time)
        {
            wanted.insert(at, time);
        }
        loop {
            if history.open.is_none() {
                let Some(part) = history.parts.pop_front() else { return Ok(None) };
                history.version = part.schema_version;
                let arrow = self.store.adapter.arrow_of(part.schema_version)?;
                // Of an older version all columns are read: one that it lacks may be worked out from any of them.
                let columns = self.store.adapter.is_current(part.schema_version).then_some(&*wanted);
                history.open = Some(self.store.parts.read_part(&part, &arrow, columns, BATCH_ROWS_MAX).await?);
            }
            let Some(reader) = &mut history.open else { continue };
            let Some(batch) = reader.next().transpose()? else {
                history.open = None;
                continue;
            };
            let batch = match self.store.adapter.is_current(history.version) {
                true => batch,
                false => {
                    let batch = self.store.adapter.adapt(&batch, history.version)?;
                    batch.project(&wanted).map_err(hydron_func::call::arrow_error)?
                }
            };
            let place = |at: usize| wanted.binary_search(&at).map_err(|_| Error::bug("a column was not read"));
            let mut columns = Vec::with_capacity(self.columns.len());
            for at in stored(&self.columns) {
                columns.push(Arc::clone(batch.column(place(at)?)));
            }
            let times =
                time.filter(|_| self.not_before.is_some()).map(|t| place(t).map(|at| Arc::clone(batch.column(at))));
            let batch = Batch::new(Arc::clone(&self.schema), columns, batch.num_rows());
            let batch = self.late_enough(batch, times.transpose()?)?;
            if batch.rows() > 0 {
                self.history = Some(history);
                return Ok(Some(batch));
            }
        }
    }

    fn batch_of(&self, record: &Record, shard: usize) -> Result<Batch> {
        let rows = self.store.adapter.adapt(&record.batch, record.schema_version)?;
        let column = |c: &Column| self.column_of(record, &rows, *c, shard);
        let columns = self.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        let batch = Batch::new(Arc::clone(&self.schema), columns, rows.num_rows());
        let times = self.store.time_column.filter(|_| self.not_before.is_some()).map(|t| stored_column(&rows, t));
        self.late_enough(batch, times.transpose()?)
    }

    fn column_of(&self, record: &Record, batch: &RecordBatch, column: Column, shard: usize) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        Ok(match column {
            Column::Stored(at) => stored_column(batch, at)?,
            Column::AppendTime => Arc::new(Int64Array::from_value(record.append_time_ms, rows)),
            Column::ProcessTime => Arc::new(Int64Array::from_value(self.clock.now().millis(), rows)),
            Column::Sequence => Arc::new(Int64Array::from_value(record.sequence.0 as i64, rows)),
            Column::Shard => Arc::new(Int32Array::from_value(shard as i32, rows)),
        })
    }

    /// Without the rows before the time that was sought.
    fn late_enough(&self, batch: Batch, times: Option<ArrayRef>) -> Result<Batch> {
        let (Some(from), Some(times)) = (self.not_before, times) else { return Ok(batch) };
        let micros = arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
        let times = arrow::compute::cast(&times, &micros).map_err(hydron_func::call::arrow_error)?;
        let bound = arrow::array::TimestampMicrosecondArray::new_scalar(from);
        let keep = arrow::compute::kernels::cmp::gt_eq(&times, &bound).map_err(hydron_func::call::arrow_error)?;
        if keep.true_count() == batch.rows() {
            return Ok(batch);
        }
        let columns = batch.columns.iter().map(|c| arrow::compute::filter(c, &keep)).collect::<Result<Vec<_>, _>>();
        Ok(Batch::new(batch.schema, columns.map_err(hydron_func::call::arrow_error)?, keep.true_count()))
    }
}

/// The place of a new read.
struct ReadPlace {
    from: Vec<Sequence>,
    heads: Vec<Sequence>,
    counting: VecDeque<Batch>,
    history: Option<History>,
    not_before: Option<i64>,
    backfills: bool,
    caught_up: bool,
    rereads_past: bool,
}

fn seek(
    store: &Arc<StreamStore>,
    scan: &Scan,
    backfill: bool,
    rereads: bool,
    needs_log: bool,
    cpu: &Handle,
) -> Result<ReadPlace> {
    // Only the log knows the pace at which rows came.
    let backfill = backfill && scan.replay.is_none();
    let view = store.view();
    let heads: Vec<Sequence> = view.log.iter().map(|(_, next)| *next).collect();
    let shards = store.logs.len();
    let mut not_before = None;
    let mut history = None;
    let pending = || view.log.iter().map(|(from, _)| *from).collect::<Vec<_>>();
    let firsts = || store.logs.iter().map(|l| l.first_sequence()).collect::<Vec<_>>();
    let by_sequence = matches!(scan.seek, Seek::Sequence(_) | Seek::Shards(_));
    let is_keyed = keyed::is_keyed(&scan.stream) && backfill && !needs_log && !by_sequence;
    let mut counting = VecDeque::new();
    if is_keyed {
        counting = keyed::compacted(store, &scan.stream, &view, cpu)?.into();
    }
    let of_parts = if rereads { store.log_of_parts(&view) } else { None };
    let from: Vec<Sequence> = match &scan.seek {
        // Whatever the seek says, a keyed stream begins with all rows that count.
        _ if is_keyed => heads.clone(),
        Seek::Latest => heads.clone(),
        // Records that are in parts too are read from the log only when a column needs them, or a read that must be able to
        // go on from each of them.
        Seek::Earliest if backfill && !needs_log => of_parts.unwrap_or_else(|| {
            history = Some(History::new(view.snapshot.clone(), None));
            pending()
        }),
        Seek::Earliest => firsts(),
        Seek::EventTime(us) => {
            not_before = Some(*us);
            let at = store.logs.iter().map(|l| Ok(l.sequence_at_event_time(*us)?)).collect::<Result<Vec<_>>>()?;
            let in_parts = at.iter().zip(&view.log).any(|(at, (from, _))| at < from);
            if !backfill || needs_log || !(in_parts || starts_in_parts(&view.snapshot, *us)) {
                at
            } else if let Some(of_parts) = of_parts {
                at.iter().zip(of_parts).map(|(at, first)| (*at).max(first)).collect()
            } else {
                history = Some(History::new(view.snapshot.clone(), Some(*us)));
                pending()
            }
        }
        Seek::Sequence(list) => {
            let list = if list.len() == 1 { vec![list[0]; shards] } else { list.clone() };
            check_shards(list.len(), shards)?;
            list.iter().map(|sn| Sequence((*sn).max(0) as u64)).collect()
        }
        Seek::Shards(list) => {
            check_shards(list.len(), shards)?;
            let firsts = firsts();
            let place = |(i, sn): (usize, &i64)| match *sn {
                i64::MIN => firsts[i],
                i64::MAX => heads[i],
                sn => Sequence(sn.max(0) as u64),
            };
            list.iter().enumerate().map(place).collect()
        }
    };
    let from = store.logs.iter().zip(from).map(|(log, from)| from.max(log.first_sequence())).collect();
    let rereads_past = counting.is_empty() && history.is_none();
    let backfills = is_keyed || scan.seek != Seek::Latest;
    Ok(ReadPlace { from, heads, counting, history, not_before, backfills, caught_up: false, rereads_past })
}

fn resume(store: &Arc<StreamStore>, origin: &Origin, in_past: bool) -> Result<ReadPlace> {
    let of_shard = |list: &[(u32, i64)], shard: usize| {
        list.iter().find(|(s, _)| *s as usize == shard).map(|(_, sn)| *sn).ok_or_else(|| {
            let message = format!("the checkpoint does not say where shard {shard} of a source was");
            Error::new(Code::RECOVER_CHECKPOINT_FAILED, message)
        })
    };
    let (mut from, mut heads) = (Vec::new(), Vec::new());
    for (shard, log) in store.logs.iter().enumerate() {
        let next = Sequence(of_shard(&origin.positions, shard)?.saturating_add(1).max(0) as u64);
        let first = log.first_sequence();
        if next < first {
            let message =
                format!("{}: record {next} is to be read, retention has removed all before {first}", log.name());
            return Err(Error::new(Code::SEQUENCE_OUT_OF_RANGE, message).hint("a longer logstore_retention_ms"));
        }
        let end = log.next_sequence();
        if next > end {
            // Records that were not synced went with the power; new ones take their numbers.
            tracing::warn!("{}: record {next} was read, the log ends before {end}: it is read from there", log.name());
        }
        let next = next.min(end);
        from.push(next);
        heads.push(if in_past { Sequence(of_shard(&origin.past_until, shard)?.max(0) as u64) } else { next });
    }
    Ok(ReadPlace {
        from,
        heads,
        counting: VecDeque::new(),
        history: None,
        not_before: origin.not_before_us,
        backfills: in_past,
        caught_up: !in_past,
        rereads_past: true,
    })
}

fn stored(columns: &[Column]) -> impl Iterator<Item = usize> + '_ {
    columns.iter().filter_map(|c| match c {
        Column::Stored(at) => Some(*at),
        _ => None,
    })
}

/// Column `at` of a record.
pub fn stored_column(batch: &RecordBatch, at: usize) -> Result<ArrayRef> {
    batch.columns().get(at).cloned().ok_or_else(|| Error::bug(format!("a record has no column {at}")))
}

fn check_shards(given: usize, shards: usize) -> Result<()> {
    if given == shards {
        return Ok(());
    }
    let message = format!("seek_to names {given} positions, the stream has {shards} shards");
    Err(Error::new(Code::BAD_ARGUMENTS, message))
}

/// Whether a part may hold rows at or after `us`.
fn starts_in_parts(snapshot: &Snapshot, us: i64) -> bool {
    snapshot.manifest().parts.iter().any(|p| reaches(p, us))
}

fn reaches(part: &PartMeta, us: i64) -> bool {
    part.event_span.is_none_or(|s| s.max_us >= us)
}

impl History {
    fn new(snapshot: Snapshot, not_before: Option<i64>) -> History {
        let parts = snapshot.manifest().parts.iter().filter(|p| not_before.is_none_or(|us| reaches(p, us))).cloned();
        History { parts: parts.collect(), open: None, version: 0, _snapshot: snapshot }
    }
}
