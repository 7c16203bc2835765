//! What a running query has done, for `system.processes` and progress lines.

use crate::operator::Stats;
use hydron_base::world::WallTime;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counters of one query; read by anyone at any time, each by itself.
#[derive(Debug)]
pub struct QueryProgress {
    rows_in: AtomicU64,
    bytes_in: AtomicU64,
    rows_out: AtomicU64,
    rows_late: AtomicU64,
    state_bytes: AtomicI64,
    watermark_us: AtomicI64,
    event_time_us_max: AtomicI64,
    /// By source and shard: the last record that was taken.
    positions: Mutex<BTreeMap<(usize, u32), i64>>,
    /// What the operators are at.
    current: Mutex<Option<RecordId>>,
}

/// A record of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId {
    pub source: usize,
    pub shard: u32,
    pub sequence: i64,
}

/// A time that is not known yet.
const UNKNOWN: i64 = i64::MIN;

impl Default for QueryProgress {
    fn default() -> Self {
        QueryProgress {
            rows_in: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            rows_out: AtomicU64::new(0),
            rows_late: AtomicU64::new(0),
            state_bytes: AtomicI64::new(0),
            watermark_us: AtomicI64::new(UNKNOWN),
            event_time_us_max: AtomicI64::new(UNKNOWN),
            positions: Mutex::default(),
            current: Mutex::default(),
        }
    }
}

impl QueryProgress {
    /// Rows read from the sources.
    pub fn rows_in(&self) -> u64 {
        self.rows_in.load(Ordering::Relaxed)
    }

    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Ordering::Relaxed)
    }

    /// Rows handed to the client.
    pub fn rows_out(&self) -> u64 {
        self.rows_out.load(Ordering::Relaxed)
    }

    /// Rows dropped because their window was closed.
    pub fn rows_late(&self) -> u64 {
        self.rows_late.load(Ordering::Relaxed)
    }

    /// Memory of the operators.
    pub fn state_bytes(&self) -> u64 {
        self.state_bytes.load(Ordering::Relaxed).max(0) as u64
    }

    /// Event time that has come, in microseconds; `None` without windows or before the first row.
    pub fn watermark_us(&self) -> Option<i64> {
        Some(self.watermark_us.load(Ordering::Relaxed)).filter(|w| *w != UNKNOWN)
    }

    /// How far the newest event time is behind `now`, in milliseconds.
    pub fn lag_ms(&self, now: WallTime) -> Option<i64> {
        let newest = Some(self.event_time_us_max.load(Ordering::Relaxed)).filter(|w| *w != UNKNOWN)?;
        Some(now.0.saturating_sub(newest).div_euclid(1_000))
    }

    /// The last record that was taken of a shard of a source.
    pub fn position(&self, source: usize, shard: u32) -> Option<i64> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner).get(&(source, shard)).copied()
    }

    /// The record that the operators are at; of a query that failed, the one at which it did, if it was at one.
    pub fn current(&self) -> Option<RecordId> {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_current(&self, record: Option<RecordId>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = record;
    }

    pub(super) fn set_position(&self, source: usize, shard: u32, sequence: i64) {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner).insert((source, shard), sequence);
    }

    pub(super) fn add_in(&self, rows: usize, bytes: usize) {
        self.rows_in.fetch_add(rows as u64, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn add_out(&self, rows: usize) {
        self.rows_out.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn add_late(&self, rows: u64) {
        self.rows_late.fetch_add(rows, Ordering::Relaxed);
    }

    pub(super) fn add_state(&self, bytes: i64) {
        self.state_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_times(&self, stats: Stats) {
        if let Some(w) = stats.watermark_us {
            self.watermark_us.store(w, Ordering::Relaxed);
        }
        if let Some(newest) = stats.event_time_us_max {
            self.event_time_us_max.fetch_max(newest, Ordering::Relaxed);
        }
    }
}
