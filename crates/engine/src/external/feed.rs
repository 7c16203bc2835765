//! `table(ext)`: what an external stream has now.
//!
//! In: a scan. Out: its rows up to the end of each shard at the moment the reading begins. Promise: it ends, also while others write.

use super::decode::Decoder;
use super::definition::{Definition, Kind};
use super::source::{Opening, Reading, begin};
use hydron_base::limit::BATCH_ROWS_MAX;
use hydron_base::{Error, Result};
use hydron_external::{Cuts, Event};
use hydron_history::{FeedBatches, RowFeed};
use hydron_plan::Seek;
use hydron_types::{Batch, Schema};
use std::fmt;
use std::sync::Arc;

/// Makes a decoder for each reading.
pub type MakeDecoder = Box<dyn Fn() -> Result<Decoder> + Send + Sync>;

pub struct ExternalFeed {
    pub definition: Arc<Definition>,
    pub shards: String,
    pub decoder: MakeDecoder,
    /// No column is read, and each message is a row: only their number counts.
    pub counts: bool,
}

impl fmt::Debug for ExternalFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.definition.type_name())
    }
}

impl ExternalFeed {
    fn begin(&self) -> Result<Reading> {
        let opening =
            Opening { seek: &Seek::Earliest, shards: &self.shards, saved: None, cuts: Cuts::default(), bounded: true };
        begin(&self.definition, opening)
    }
}

impl RowFeed for ExternalFeed {
    fn start(&self) -> Result<FeedBatches> {
        let reading = self.begin()?;
        if self.counts && matches!(self.definition.kind, Kind::Kafka(_)) {
            let messages: i64 = reading.places.iter().map(|p| (p.head - p.next).max(0)).sum();
            return Ok(Box::new(counted(messages as u64)));
        }
        Ok(Box::new(Rows { reading, decoder: (self.decoder)()?, ended: false }))
    }

    fn rows_estimate(&self) -> u64 {
        // What is there is known when the reading begins; enough to be read by itself.
        BATCH_ROWS_MAX as u64
    }
}

/// Batches without columns of so many rows together.
fn counted(mut rows: u64) -> impl Iterator<Item = Result<Batch>> {
    let schema = Arc::new(Schema::default());
    std::iter::from_fn(move || {
        let some = rows.min(BATCH_ROWS_MAX as u64);
        rows -= some;
        (some > 0).then(|| Ok(Batch::new(Arc::clone(&schema), Vec::new(), some as usize)))
    })
}

struct Rows {
    reading: Reading,
    decoder: Decoder,
    ended: bool,
}

impl Rows {
    fn batch(&mut self) -> Result<Option<Batch>, Error> {
        loop {
            match self.reading.incoming.next_blocking()? {
                None => return Ok(None),
                Some(Event::CaughtUp) => {}
                Some(Event::Messages(chunk)) => {
                    let batch = self.decoder.decode(&chunk)?;
                    if batch.rows() > 0 {
                        return Ok(Some(batch));
                    }
                }
            }
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if self.ended {
            return None;
        }
        let next = self.batch().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}
