//! A random stream as a source: wakes at its tick and makes the rows that are due.

use super::random::{RandomRows, Rate};
use crate::query::Progress;
use crate::statement::Context;
use async_trait::async_trait;
use hydron_base::limit::BATCH_ROWS_MAX;
use hydron_base::world::{Clock, WallTime};
use hydron_base::{Error, Result};
use hydron_flow::{SourceItem, SourceReader};
use hydron_func::EvalContext;
use hydron_plan::{Scan, ScanColumn};
use hydron_types::{Batch, Schema};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Proton's default rate, in events per second.
const EPS_DEFAULT: f64 = 1_000.0;

/// Proton's default tick.
const TICK_MS_DEFAULT: u64 = 5;

/// Rows of one batch when there is no rate: enough to be fast, few enough that a LIMIT is met soon.
const UNLIMITED_BATCH_ROWS: usize = 8_192;

pub struct RandomSource {
    rows: RandomRows,
    rate: Rate,
    columns: Vec<ScanColumn>,
    schema: Arc<Schema>,
    tick: Duration,
    started: WallTime,
    clock: Arc<dyn Clock>,
    cx: EvalContext,
    progress: Arc<Progress>,
    /// Rows still to be made; `None`: no end.
    left: Option<u64>,
    /// Of each shard.
    next_sequences: Vec<i64>,
    /// The shard whose turn it is.
    turn: usize,
    /// Rows that were made at the same time for other shards.
    made: VecDeque<SourceItem>,
    batch_rows_max: usize,
    first: bool,
}

impl RandomSource {
    pub fn open(cx: &Context, scan: &Scan, schema: &Arc<Schema>) -> Result<RandomSource> {
        let info = &scan.stream;
        let setting = |name: &str| info.settings.iter().find(|(k, _)| &**k == name).map(|(_, v)| v.as_str());
        let created = setting("eps").and_then(|v| v.parse().ok()).unwrap_or(EPS_DEFAULT);
        let asked = cx.settings.float("eps");
        let eps = if cx.settings.is_changed("eps") && asked >= 0.0 { asked } else { created };
        let tick_ms = setting("interval_time").and_then(|v| v.parse().ok()).unwrap_or(TICK_MS_DEFAULT);
        let max_events = cx.settings.uint("max_events");
        let eval_cx = cx.eval_context();
        Ok(RandomSource {
            rows: RandomRows::new(info, &cx.lookup(), &cx.bind_context(true), eval_cx.seed)?,
            rate: Rate::new(eps),
            columns: scan.columns.clone(),
            schema: Arc::clone(schema),
            tick: Duration::from_millis(tick_ms.max(1)),
            started: cx.engine.options.clock.now(),
            clock: Arc::clone(&cx.engine.options.clock),
            cx: eval_cx,
            progress: Arc::clone(&cx.info.progress),
            left: (max_events > 0).then_some(max_events),
            next_sequences: vec![0; info.shards.max(1) as usize],
            turn: 0,
            made: VecDeque::new(),
            batch_rows_max: if eps > 0.0 { BATCH_ROWS_MAX } else { UNLIMITED_BATCH_ROWS },
            first: true,
        })
    }

    /// Makes so many rows and deals them to the shards, the same number to each, in turn.
    fn make(&mut self, count: usize) -> Result<()> {
        let cx = EvalContext { now: self.clock.now(), ..self.cx.clone() };
        let all = self.rows.batch(&cx, count)?;
        let shards = self.next_sequences.len();
        let mut from = 0;
        for place in 0..shards.min(count) {
            let rows = count / shards + usize::from(place < count % shards);
            let shard = (self.turn + place) % shards;
            let sequence = self.next_sequences[shard];
            self.next_sequences[shard] += 1;
            let part = all.slice(from, rows);
            let batch = project(&part, &self.columns, &self.schema, cx.now, sequence, shard as i32)?;
            self.made.push_back(SourceItem::Rows { batch, shard: shard as u32, sequence: Some(sequence) });
            from += rows;
        }
        self.turn = (self.turn + count % shards) % shards;
        Ok(())
    }
}

/// The columns of a scan from a batch of all columns.
pub fn project(
    made: &Batch,
    columns: &[ScanColumn],
    schema: &Arc<Schema>,
    now: WallTime,
    sequence: i64,
    shard: i32,
) -> Result<Batch> {
    use arrow::array::{ArrayRef, Int32Array, Int64Array};
    let rows = made.rows();
    let int64 = |v: i64| Arc::new(Int64Array::from_value(v, rows)) as ArrayRef;
    let pick = |c: &ScanColumn| {
        Ok(match c {
            ScanColumn::Stored(i) => Arc::clone(made.column(*i)),
            ScanColumn::AppendTime | ScanColumn::IngestTime | ScanColumn::ProcessTime => int64(now.millis()),
            ScanColumn::Sequence => int64(sequence),
            ScanColumn::Shard => Arc::new(Int32Array::from_value(shard, rows)) as ArrayRef,
            // What is made up has no parts.
            ScanColumn::Part | ScanColumn::PartitionId => {
                Arc::new(arrow::array::BinaryArray::from_iter_values(std::iter::repeat_n("", rows))) as ArrayRef
            }
            ScanColumn::MessageKey | ScanColumn::MessageHeaders => return Err(Error::bug("rows that are no messages")),
        })
    };
    Ok(Batch::new(Arc::clone(schema), columns.iter().map(pick).collect::<Result<_>>()?, rows))
}

#[async_trait]
impl SourceReader for RandomSource {
    async fn next(&mut self) -> Result<Option<SourceItem>> {
        loop {
            if let Some(item) = self.made.pop_front() {
                return Ok(Some(item));
            }
            if self.left == Some(0) {
                return Ok(None);
            }
            if !self.first {
                tokio::time::sleep(self.tick).await;
            }
            self.first = false;
            let elapsed = self.clock.now().millis() - self.started.millis();
            let most = self.left.map_or(self.batch_rows_max, |l| l.min(self.batch_rows_max as u64) as usize);
            let due = self.rate.due(elapsed, most);
            if due == 0 {
                continue;
            }
            if let Some(left) = &mut self.left {
                *left -= due as u64;
            }
            self.make(due)?;
            Progress::add(&self.progress.read_rows, due);
        }
    }
}
