//! The newest records of all logs, decoded, shared by all readers.
//!
//! In: each record once, in order, from the flusher. Out: the same `Arc` for every subscriber near the head. Promise: all
//! rings together stay within the volume's budget; the oldest record of any log leaves first.

use super::record::{Record, Sequence};
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// The newest records of one log, without gaps.
#[derive(Default)]
pub struct TailRing {
    records: RwLock<VecDeque<Arc<Record>>>,
    /// The budget's entries for this ring: at least the records held, more if the ring forgot some by itself.
    entries: AtomicUsize,
}

/// The budget that the rings of one volume share.
pub struct TailBudget {
    bytes_max: usize,
    records_max: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    bytes: usize,
    /// One entry per record in any ring, in the order they came.
    order: VecDeque<(Weak<TailRing>, usize)>,
}

impl TailRing {
    pub fn get(&self, sequence: Sequence) -> Option<Arc<Record>> {
        let records = self.records.read();
        let first = records.front()?.sequence;
        let at = sequence.0.checked_sub(first.0)?;
        records.get(usize::try_from(at).ok()?).cloned()
    }

    pub fn len(&self) -> usize {
        self.records.read().len()
    }

    /// Forgets what lies before `first`. The budget notices when the records' turn comes.
    pub(super) fn forget_before(&self, first: Sequence) {
        let mut records = self.records.write();
        while records.front().is_some_and(|r| r.sequence < first) {
            records.pop_front();
        }
    }

    fn push(&self, record: Arc<Record>) {
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.records.write().push_back(record);
    }

    /// One entry of the budget is gone: so is the record it stood for, if it is still held.
    fn give_up_one(&self) {
        let entries = self.entries.fetch_sub(1, Ordering::Relaxed) - 1;
        let mut records = self.records.write();
        while records.len() > entries {
            records.pop_front();
        }
    }
}

impl TailBudget {
    pub fn new(bytes_max: usize, records_max: usize) -> TailBudget {
        TailBudget { bytes_max, records_max, held: Mutex::default() }
    }

    /// Adds a record that takes `bytes` of memory, and lets the oldest go until the budget holds.
    pub fn push(&self, ring: &Arc<TailRing>, record: Arc<Record>, bytes: usize) {
        let mut held = self.held.lock();
        ring.push(record);
        held.order.push_back((Arc::downgrade(ring), bytes));
        held.bytes += bytes;
        while held.bytes > self.bytes_max || held.order.len() > self.records_max {
            let Some((oldest, bytes)) = held.order.pop_front() else {
                break;
            };
            held.bytes -= bytes;
            if let Some(oldest) = oldest.upgrade() {
                oldest.give_up_one();
            }
        }
    }

    pub fn bytes(&self) -> usize {
        self.held.lock().bytes
    }
}
