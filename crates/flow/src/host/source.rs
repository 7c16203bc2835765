//! Where rows come from: the engine's readers, as the host sees them.

use super::cut::Origin;
use async_trait::async_trait;
use hydron_base::Result;
use hydron_types::Batch;
use std::collections::VecDeque;

/// One step of a source.
#[derive(Clone, Debug)]
pub enum SourceItem {
    Rows {
        batch: Batch,
        /// Shard of the stream that the rows are from.
        shard: u32,
        /// Sequence number of the last row in that shard's log; `None` for rows of the past.
        sequence: Option<i64>,
    },
    /// Some rows of a record; more of the same record follow.
    Part {
        batch: Batch,
        shard: u32,
        sequence: i64,
    },
    /// The rows of the past are complete.
    BackfillEnd,
    /// Nothing to read for now.
    Idle,
    End,
}

/// Reads one source: first the past, where it was asked for, then new rows. Waits for rows without using the processor.
#[async_trait]
pub trait SourceReader: Send {
    /// The next step; `None` is the end. Called by one task, never cancelled halfway except to end the query.
    async fn next(&mut self) -> Result<Option<SourceItem>>;

    /// Whether rows of the past come first, ended by `BackfillEnd`.
    fn backfills(&self) -> bool {
        false
    }

    /// Its shards in the order of their lanes, for a source whose shards are not counted from 0; a shard that is not among them is in
    /// the first lane. `None`: a shard's number is its lane.
    fn lanes(&self) -> Option<Vec<u32>> {
        None
    }

    /// Where it begins to read. Asked once, before the first step.
    fn origin(&self) -> Origin {
        Origin::default()
    }
}

/// A source that had ended before the query was stopped: nothing comes of it.
pub struct EndedReader;

#[async_trait]
impl SourceReader for EndedReader {
    async fn next(&mut self) -> Result<Option<SourceItem>> {
        std::future::pending().await
    }
}

/// Batches known now.
pub struct ValuesReader {
    batches: VecDeque<Batch>,
}

impl ValuesReader {
    pub fn new(batches: Vec<Batch>) -> ValuesReader {
        ValuesReader { batches: batches.into() }
    }
}

#[async_trait]
impl SourceReader for ValuesReader {
    async fn next(&mut self) -> Result<Option<SourceItem>> {
        Ok(self.batches.pop_front().map(|batch| SourceItem::Rows { batch, shard: 0, sequence: None }))
    }
}
