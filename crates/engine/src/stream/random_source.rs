//! A random stream as a source: wakes at its tick and makes the rows that are due.

use super::random::{RandomRows, Rate};
use crate::query::Progress;
use crate::statement::Context;
use async_trait::async_trait;
use hydron_base::Result;
use hydron_base::limit::BATCH_ROWS_MAX;
use hydron_base::world::{Clock, WallTime};
use hydron_flow::{SourceItem, SourceReader};
use hydron_func::EvalContext;
use hydron_plan::{Scan, ScanColumn};
use hydron_types::{Batch, Schema};
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
    next_sequence: i64,
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
            rows: RandomRows::new(info, &cx.lookup(), &cx.bind_context(false), eval_cx.seed)?,
            rate: Rate::new(eps),
            columns: scan.columns.clone(),
            schema: Arc::clone(schema),
            tick: Duration::from_millis(tick_ms.max(1)),
            started: cx.engine.options.clock.now(),
            clock: Arc::clone(&cx.engine.options.clock),
            cx: eval_cx,
            progress: Arc::clone(&cx.info.progress),
            left: (max_events > 0).then_some(max_events),
            next_sequence: 0,
            batch_rows_max: if eps > 0.0 { BATCH_ROWS_MAX } else { UNLIMITED_BATCH_ROWS },
            first: true,
        })
    }

    fn make(&mut self, count: usize) -> Result<Batch> {
        let cx = EvalContext { now: self.clock.now(), ..self.cx.clone() };
        let made = self.rows.batch(&cx, count)?;
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        project(&made, &self.columns, &self.schema, cx.now, sequence)
    }
}

/// The columns of a scan from a batch of all columns.
pub fn project(
    made: &Batch,
    columns: &[ScanColumn],
    schema: &Arc<Schema>,
    now: WallTime,
    sequence: i64,
) -> Result<Batch> {
    use arrow::array::{ArrayRef, Int32Array, Int64Array};
    let rows = made.rows();
    let int64 = |v: i64| Arc::new(Int64Array::from_value(v, rows)) as ArrayRef;
    let pick = |c: &ScanColumn| match c {
        ScanColumn::Stored(i) => Arc::clone(made.column(*i)),
        ScanColumn::AppendTime | ScanColumn::IngestTime | ScanColumn::ProcessTime => int64(now.millis()),
        ScanColumn::Sequence => int64(sequence),
        ScanColumn::Shard => Arc::new(Int32Array::from_value(0, rows)) as ArrayRef,
        // What is made up has no parts.
        ScanColumn::Part | ScanColumn::PartitionId => {
            Arc::new(arrow::array::BinaryArray::from_iter_values(std::iter::repeat_n("", rows))) as ArrayRef
        }
    };
    Ok(Batch::new(Arc::clone(schema), columns.iter().map(pick).collect(), rows))
}

#[async_trait]
impl SourceReader for RandomSource {
    async fn next(&mut self) -> Result<Option<SourceItem>> {
        loop {
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
            let batch = self.make(due)?;
            Progress::add(&self.progress.read_rows, batch.rows());
            return Ok(Some(SourceItem::Rows { batch, shard: 0, sequence: Some(self.next_sequence - 1) }));
        }
    }
}
