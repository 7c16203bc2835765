//! Units of a view's output on their way into the log of its target.
//!
//! In: the records of a unit, the steps that led to it. Out: the unit, durable. Promise: of a unit that is more than one record,
//! or whose steps are too many for a stamp, everything is in the outbox before the first record is written, so that a stop in
//! between leaves nothing half.

use super::stamp::{STEPS_BYTES_MAX, Stamp};
use crate::checkpoint::steps;
use crate::stream::StreamStore;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use hydron_base::world::Clock;
use hydron_base::{Code, Error, Result};
use hydron_flow::host::Steps;
use hydron_func::call::arrow_error;
use hydron_store::StoreError;
use hydron_store::checkpoint::CheckpointStore;
use hydron_store::log::Ticket;
use hydron_types::Batch;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long a record waits for room in the queue of the logs.
const QUEUE_PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at a full queue.
const QUEUE_PAUSE: Duration = Duration::from_millis(5);

pub struct Writer {
    pub view: Uuid,
    /// Of the view's state.
    pub id: String,
    pub store: Arc<StreamStore>,
    pub checkpoints: Arc<CheckpointStore>,
    pub clock: Arc<dyn Clock>,
    pub next_unit: u64,
}

impl Writer {
    /// Where units from the next one on may be in the logs.
    pub fn ends(&self) -> Vec<(u32, u64)> {
        self.store.logs.iter().enumerate().map(|(shard, log)| (shard as u32, log.next_sequence().0)).collect()
    }

    /// Writes one unit and waits until it is durable. Errors: all that was handed to the log is settled, too.
    pub async fn write(&mut self, records: Vec<(usize, Batch)>, steps: &Steps) -> Result<()> {
        let mut bytes = Vec::new();
        steps::encode(steps, &mut bytes);
        if records.len() > 1 || bytes.len() > STEPS_BYTES_MAX {
            self.put_outbox(&records, &bytes).await?;
            return self.write_kept(records).await;
        }
        let stamp = self.stamp(0, records.len(), Some(bytes.into()));
        self.submit_all(records.into_iter().map(|(shard, batch)| (shard, batch, stamp.clone())).collect()).await
    }

    /// Keeps a unit on disk before any of it is written.
    pub async fn put_outbox(&self, records: &[(usize, Batch)], steps: &[u8]) -> Result<()> {
        let mut sections: Vec<Vec<u8>> = Vec::with_capacity(records.len() + 1);
        sections.push(steps.to_vec());
        for (shard, batch) in records {
            sections.push(kept_record(*shard, batch)?);
        }
        let (checkpoints, id, unit, now) =
            (Arc::clone(&self.checkpoints), self.id.clone(), self.next_unit, self.clock.now());
        let write = move || {
            let sections: Vec<&[u8]> = sections.iter().map(|s| &s[..]).collect();
            checkpoints.put_outbox(&id, unit, &sections, now)
        };
        let written = tokio::task::spawn_blocking(write).await;
        Ok(written.map_err(|e| Error::bug(format!("the outbox of a view: {e}")))??)
    }

    /// Writes the records of a unit that is in the outbox.
    pub async fn write_kept(&mut self, records: Vec<(usize, Batch)>) -> Result<()> {
        let parts = records.len();
        let stamped = |(part, (shard, batch)): (usize, (usize, Batch))| (shard, batch, self.stamp(part, parts, None));
        let records = records.into_iter().enumerate().map(stamped).collect();
        self.submit_all(records).await
    }

    fn stamp(&self, part: usize, parts: usize, steps: Option<Bytes>) -> Bytes {
        Stamp { view: self.view, unit: self.next_unit, part: part as u16, parts: parts as u16, steps }.to_bytes()
    }

    async fn submit_all(&mut self, records: Vec<(usize, Batch, Bytes)>) -> Result<()> {
        crate::ingest::wait_if_crashed().await;
        let (tickets, mut failed) = match submit_together(&self.store, &records).await {
            Ok(tickets) => (tickets, None),
            Err(e) => (Vec::new(), Some(e)),
        };
        // What is on its way arrives before anybody looks for it.
        for ticket in tickets {
            match ticket.await {
                Ok(appended) => self.store.note_append(appended.append_time_ms),
                Err(e) => failed = failed.or(Some(e.into())),
            }
        }
        crate::ingest::wait_if_crashed().await;
        match failed {
            Some(e) => Err(e),
            None => {
                self.next_unit += 1;
                Ok(())
            }
        }
    }
}

/// Hands a record to the log, waiting for room.
pub async fn submit(store: &StreamStore, shard: usize, batch: &Batch, stamp: Bytes) -> Result<Ticket> {
    let deadline = tokio::time::Instant::now() + QUEUE_PATIENCE;
    loop {
        match store.submit(shard, batch, None, Some(stamp.clone())) {
            Err(e) if e.code == Code::INTERNAL_INGEST_BUFFER_FULL && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(QUEUE_PAUSE).await;
            }
            other => return other,
        }
    }
}

/// Hands the records of a unit to the log at once, waiting for room: historical readers see all of them or none.
async fn submit_together(store: &StreamStore, records: &[(usize, Batch, Bytes)]) -> Result<Vec<Ticket>> {
    let deadline = tokio::time::Instant::now() + QUEUE_PATIENCE;
    loop {
        let prepare =
            |(shard, batch, stamp): &(usize, Batch, Bytes)| store.prepare(*shard, batch, None, Some(stamp.clone()));
        let prepared = records.iter().map(prepare).collect::<Result<Vec<_>>>()?;
        let (ready, tickets): (Vec<_>, Vec<_>) = prepared.into_iter().unzip();
        match store.submit_together(ready) {
            Err(e) if e.code == Code::INTERNAL_INGEST_BUFFER_FULL && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(QUEUE_PAUSE).await;
            }
            handed => return handed.map(|()| tickets),
        }
    }
}

/// Shard (4 bytes, little-endian), then the rows as an Arrow IPC stream.
fn kept_record(shard: usize, batch: &Batch) -> Result<Vec<u8>> {
    let rows = batch.to_arrow()?;
    let mut out = (shard as u32).to_le_bytes().to_vec();
    let mut writer = StreamWriter::try_new(&mut out, rows.schema_ref()).map_err(arrow_error)?;
    writer.write(&rows).and_then(|()| writer.finish()).map_err(arrow_error)?;
    drop(writer);
    Ok(out)
}

/// Errors: DATA_CORRUPTION for bytes that `kept_record` did not write.
pub fn read_kept_record(bytes: &[u8], store: &StreamStore) -> Result<(usize, Batch)> {
    let bad = |why: String| Error::from(StoreError::Rows { object: "outbox of a view".to_owned(), cause: why });
    let (shard, rows) = bytes.split_first_chunk::<4>().ok_or_else(|| bad("it is cut off".to_owned()))?;
    let shard = u32::from_le_bytes(*shard) as usize;
    if shard >= store.logs.len() {
        return Err(bad(format!("shard {shard} of {}", store.logs.len())));
    }
    let mut reader = StreamReader::try_new(rows, None).map_err(|e| bad(e.to_string()))?;
    let rows = reader.next().ok_or_else(|| bad("no rows".to_owned()))?.map_err(|e| bad(e.to_string()))?;
    let count = rows.num_rows();
    Ok((shard, Batch::new(Arc::clone(&store.schema), rows.columns().to_vec(), count)))
}
