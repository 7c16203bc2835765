//! The last idempotency keys of a log.
//!
//! Promise: a key among the last [`KEYS_MAX`] keyed records is known, with the sequence it got; older ones are forgotten.

use super::record::Sequence;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};

/// Keys remembered per shard (Proton's `max_idempotent_ids`): a client that resends does so within its last thousand.
pub const KEYS_MAX: usize = 1000;

#[derive(Clone, Debug, Default)]
pub struct KeyWindow {
    order: VecDeque<Bytes>,
    known: HashMap<Bytes, (Sequence, i64)>,
}

impl KeyWindow {
    /// Sequence and append time of the record that has brought `key`.
    pub fn find(&self, key: &[u8]) -> Option<(Sequence, i64)> {
        self.known.get(key).copied()
    }

    pub fn insert(&mut self, key: Bytes, sequence: Sequence, append_time_ms: i64) {
        if self.known.insert(key.clone(), (sequence, append_time_ms)).is_some() {
            self.order.retain(|k| *k != key);
        }
        self.order.push_back(key);
        if self.order.len() > KEYS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Bytes, Sequence, i64)> {
        self.order.iter().map(|k| {
            let (sequence, time) = self.known[k];
            (k, sequence, time)
        })
    }
}
