//! What became of an INSERT whose server died before it answered.
//!
//! In: the id that each log record of an INSERT carries, how many records there were to be. Out: whether all of them are
//! in the log, none, or some. Promise: "committed" is said only when every record stands in the log as it was synced when
//! it was opened, and "not committed" only when none does, so that sending the rows again doubles nothing.
//!
//! A stamp has 21 bytes: the letter I, the id (16), the number of the record from 0 (4, little-endian).

use crate::stream::StreamStore;
use bytes::Bytes;
use hydron_board::Query;
use hydron_store::log::{Log, Sequence};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use uuid::Uuid;

/// Heads that are looked at in one log. A head is read with its record: this many small ones take a second or two, and an
/// INSERT that has written more since it began has been told unknown by then.
const HEADS_MAX: usize = 200_000;

/// The last records of a log are looked at whatever the clock says: it may have been set back meanwhile.
const HEADS_MIN: u64 = 1_024;

/// A record may carry a time before that of its statement by as much as two readings of a clock differ.
const CLOCK_SLACK_MS: i64 = 5_000;

const MAGIC: u8 = b'I';
const STAMP_BYTES: usize = 21;

type InsertId = [u8; 16];

/// Answer of [`crate::Engine::insert_outcome`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InsertOutcome {
    /// All rows are stored and synced: the answer is that of an INSERT that went well.
    Committed,
    /// No row is stored.
    NotCommitted,
    /// Some rows are stored, or it is not known how many there were to be. Sent again with the same token, those that are
    /// stored already are left out; empty: the client gave none.
    Unknown { token: String },
}

/// One INSERT on its way, as the board shows it.
pub struct InsertTrack {
    query: &'static Query,
    id: InsertId,
    records: u32,
}

impl InsertTrack {
    pub fn begin(query: &'static Query, stream: Uuid) -> InsertTrack {
        let id = *Uuid::new_v4().as_bytes();
        query.records.store(0, Ordering::Relaxed);
        query.all_submitted.store(0, Ordering::Relaxed);
        query.stream.set_bytes(stream.as_bytes());
        query.insert.set_bytes(&id);
        InsertTrack { query, id, records: 0 }
    }

    /// The stamp of the next record, which is counted before it is handed to the log.
    pub fn stamp(&mut self) -> Bytes {
        let stamp = stamp(&self.id, self.records);
        self.records += 1;
        self.query.records.store(self.records, Ordering::SeqCst);
        stamp
    }

    /// No record follows.
    pub fn all_submitted(&self) {
        self.query.all_submitted.store(1, Ordering::Release);
    }
}

fn stamp(id: &InsertId, record: u32) -> Bytes {
    let mut stamp = Vec::with_capacity(STAMP_BYTES);
    stamp.push(MAGIC);
    stamp.extend_from_slice(id);
    stamp.extend_from_slice(&record.to_le_bytes());
    stamp.into()
}

fn read_stamp(stamp: &[u8]) -> Option<(InsertId, u32)> {
    let (magic, rest) = stamp.split_first()?;
    let (id, record) = rest.split_first_chunk::<16>()?;
    (*magic == MAGIC).then_some((*id, u32::from_le_bytes(record.try_into().ok()?)))
}

/// What a stream's logs held when they were opened, from some point on.
struct Seen {
    from: Vec<Sequence>,
    records: HashMap<InsertId, HashSet<u32>>,
    /// Every head from there on was seen.
    whole: bool,
}

/// What was seen of each stream so far: after a crash there are many to ask for.
#[derive(Default)]
pub struct Outcomes(Mutex<HashMap<Uuid, Arc<Seen>>>);

impl Outcomes {
    /// `earliest_us`: when the first INSERT that will be asked for has begun.
    pub fn of(&self, query: &Query, store: Option<&StreamStore>, earliest_us: i64) -> InsertOutcome {
        let records = query.records.load(Ordering::Acquire);
        let is_all = query.all_submitted.load(Ordering::Acquire) == 1;
        let unknown = || InsertOutcome::Unknown { token: query.token.get() };
        let Ok(id) = InsertId::try_from(query.insert.bytes()) else { return InsertOutcome::NotCommitted };
        if records == 0 {
            return if is_all { InsertOutcome::Committed } else { InsertOutcome::NotCommitted };
        }
        let Some(store) = store else { return unknown() };
        let seen = self.seen(store, query.started_us().min(earliest_us));
        let found = seen.records.get(&id).map_or(0, |found| found.iter().filter(|r| **r < records).count());
        match found {
            0 if seen.whole => InsertOutcome::NotCommitted,
            found if is_all && found == records as usize => InsertOutcome::Committed,
            _ => unknown(),
        }
    }

    fn seen(&self, store: &StreamStore, since_us: i64) -> Arc<Seen> {
        let stream = store.logs.first().map_or(Uuid::nil(), |l| l.ident().stream);
        let from: Vec<Sequence> = store.logs.iter().map(|log| first_of_interest(log, since_us)).collect();
        let mut all = self.0.lock();
        if let Some(seen) = all.get(&stream)
            && seen.from.iter().zip(&from).all(|(seen, wanted)| seen <= wanted)
        {
            return Arc::clone(seen);
        }
        let seen = Arc::new(look(&store.logs, from));
        all.insert(stream, Arc::clone(&seen));
        seen
    }
}

fn first_of_interest(log: &Log, since_us: i64) -> Sequence {
    let since_ms = since_us.div_euclid(1_000).saturating_sub(CLOCK_SLACK_MS);
    // A log that cannot be searched is read as far as the limit goes.
    let by_time = log.sequence_at_append_time(since_ms).unwrap_or(Sequence(0));
    let by_count = Sequence(log.recovery().next.0.saturating_sub(HEADS_MIN));
    by_time.min(by_count).max(log.first_sequence())
}

fn look(logs: &[Arc<Log>], from: Vec<Sequence>) -> Seen {
    let mut records: HashMap<InsertId, HashSet<u32>> = HashMap::new();
    let mut whole = true;
    for (log, from) in logs.iter().zip(&from) {
        // What came after the start is nobody's whose server died.
        let end = log.recovery().next;
        let mut heads = 0;
        let read = log.visit_heads(*from, |head| {
            heads += 1;
            if head.sequence >= end || heads > HEADS_MAX {
                return ControlFlow::Break(());
            }
            if let Some((id, record)) = head.stamp.as_deref().and_then(read_stamp) {
                records.entry(id).or_default().insert(record);
            }
            ControlFlow::Continue(())
        });
        if let Err(e) = &read {
            tracing::warn!("{}: the outcome of an INSERT before the start is not known: {e}", log.name());
        }
        whole &= read.is_ok() && heads <= HEADS_MAX;
    }
    Seen { from, records, whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let bytes = stamp(&[7; 16], 300);
        assert_eq!((bytes.len(), read_stamp(&bytes)), (STAMP_BYTES, Some(([7; 16], 300))));
        assert_eq!(read_stamp(b"a stamp of another kind"), None);
        assert_eq!(read_stamp(&bytes[..20]), None);
    }
}
