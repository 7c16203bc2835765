//! Rows of the log at the pace at which they once came.
//!
//! In: log records with the columns that are read. Out: their rows, those of one moment together, each as long after the first
//! as it once was, divided by the speed. Promise: no row comes early; rows whose moment is past come at once.

use super::source::Piece;
use arrow::array::TimestampMicrosecondArray;
use arrow::datatypes::{DataType, TimeUnit};
use hydron_base::world::{Clock, WallTime};
use hydron_base::{Error, Result};
use hydron_func::call::arrow_error;
use hydron_plan::node::Replay;
use hydron_store::log::Record;
use hydron_types::{Batch, Schema};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

pub struct Pace {
    speed: f64,
    /// The rows' moment is their last column, which is not delivered; else it is the time of the append.
    by_column: bool,
    /// Of what is delivered.
    schema: Arc<Schema>,
    /// The first moment of the replay, then and now.
    began: Option<(i64, WallTime)>,
    /// Rows of one record, moment by moment.
    waiting: VecDeque<(i64, Piece)>,
}

impl Pace {
    /// `schema`: of what is delivered. Where the replay goes by a column, the rows that are taken have it as one more.
    pub fn new(replay: &Replay, schema: Arc<Schema>) -> Pace {
        let by_column = replay.column.is_some();
        Pace { speed: replay.speed, by_column, schema, began: None, waiting: VecDeque::new() }
    }

    /// Takes the rows of a record.
    pub fn take(&mut self, record: &Record, batch: Batch, shard: u32, sequence: Option<i64>) -> Result<()> {
        if !self.by_column {
            let moment = record.append_time_ms.saturating_mul(1_000);
            self.waiting.push_back((moment, Piece::Rows { batch, shard, sequence, more: false }));
            return Ok(());
        }
        let Some(times) = batch.columns.last() else { return Err(Error::bug("a replay without its time column")) };
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let times = arrow::compute::cast(times, &micros).map_err(arrow_error)?;
        let times = times
            .as_any()
            .downcast_ref::<TimestampMicrosecondArray>()
            .ok_or_else(|| Error::bug("a cast to microseconds gave another type"))?;
        let delivered: Vec<usize> = (0..self.schema.len()).collect();
        let batch = batch.project(Arc::clone(&self.schema), &delivered);
        let mut from = 0;
        for same in times.values().chunk_by(|a, b| a == b) {
            let more = from + same.len() < batch.rows();
            let piece = Piece::Rows { batch: batch.slice(from, same.len()), shard, sequence, more };
            self.waiting.push_back((same[0], piece));
            from += same.len();
        }
        Ok(())
    }

    /// The next rows, once their moment has come; `None`: there are none.
    pub async fn next(&mut self, clock: &dyn Clock) -> Option<Piece> {
        let moment = self.waiting.front()?.0;
        let now = clock.now();
        let (first, began) = *self.began.get_or_insert((moment, now));
        let due = began.0 as f64 + (moment - first) as f64 / self.speed;
        let wait = due - now.0 as f64;
        if wait > 0.0 {
            tokio::time::sleep(Duration::from_micros(wait as u64)).await;
        }
        self.waiting.pop_front().map(|(_, piece)| piece)
    }
}
