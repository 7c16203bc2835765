//! Memory that queries hold, counted in a tree: the server's budget, and under it one for each query.
//!
//! In: bytes, as they are taken and given back. Out: an error when they would go past the query's limit or the server's.
//! Promise: what a budget counts its parent counts too; a reservation that is dropped, and a budget that is, give all back.

use crate::{Code, Error, Result};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub struct Budget {
    /// The setting that the limit is from.
    setting: &'static str,
    limit: u64,
    used: AtomicU64,
    peak: AtomicU64,
    /// Where others see what is used.
    shown: Option<&'static AtomicU64>,
    parent: Option<Arc<Budget>>,
}

impl Budget {
    /// The root. `shown` follows what is used.
    pub fn server(limit: u64, shown: Option<&'static AtomicU64>) -> Arc<Budget> {
        PROCESS_LIMIT.store(limit, Ordering::Relaxed);
        Arc::new(Budget::new("max_server_memory_usage", limit, shown, None))
    }

    /// One query's share. `limit` 0: only the parent's holds.
    pub fn query(parent: &Arc<Budget>, limit: u64) -> Arc<Budget> {
        let limit = if limit == 0 { u64::MAX } else { limit };
        Arc::new(Budget::new("max_memory_usage", limit, None, Some(Arc::clone(parent))))
    }

    /// For a query that stands alone. `limit` 0: none.
    pub fn alone(limit: u64) -> Arc<Budget> {
        let limit = if limit == 0 { u64::MAX } else { limit };
        Arc::new(Budget::new("max_memory_usage", limit, None, None))
    }

    fn new(
        setting: &'static str,
        limit: u64,
        shown: Option<&'static AtomicU64>,
        parent: Option<Arc<Budget>>,
    ) -> Budget {
        Budget { setting, limit, used: AtomicU64::new(0), peak: AtomicU64::new(0), shown, parent }
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The most that was used at once.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// The limit, or that of the parent where it is less.
    pub fn limit(&self) -> u64 {
        self.limit.min(self.parent.as_ref().map_or(u64::MAX, |p| p.limit()))
    }

    /// Counts `bytes` more. Errors: MEMORY_LIMIT_EXCEEDED (241); nothing is counted then.
    pub fn try_grow(&self, bytes: u64) -> Result<()> {
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.limit)
        });
        let used = taken.map_err(|used| self.exceeded(used, bytes))?;
        if let Some(parent) = &self.parent
            && let Err(e) = parent.try_grow(bytes)
        {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(e);
        }
        self.note(used + bytes, bytes);
        Ok(())
    }

    /// Counts `bytes` that are taken already, limit or not.
    pub fn grow(&self, bytes: u64) {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.parent {
            parent.grow(bytes);
        }
        self.note(used.saturating_add(bytes), bytes);
    }

    fn note(&self, sum: u64, bytes: u64) {
        self.peak.fetch_max(sum, Ordering::Relaxed);
        if let Some(shown) = self.shown {
            shown.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Gives back what was counted.
    pub fn shrink(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(shown) = self.shown {
            shown.fetch_sub(bytes, Ordering::Relaxed);
        }
        if let Some(parent) = &self.parent {
            parent.shrink(bytes);
        }
    }

    /// Counts `bytes` until the value is dropped. Errors: MEMORY_LIMIT_EXCEEDED.
    pub fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Reserved> {
        let mut reserved = Reserved { budget: Arc::clone(self), bytes: 0 };
        reserved.resize(bytes)?;
        Ok(reserved)
    }

    fn exceeded(&self, used: u64, bytes: u64) -> Error {
        let who = if self.parent.is_none() && self.setting == "max_server_memory_usage" {
            "all queries"
        } else {
            "the query"
        };
        let message = format!(
            "memory limit exceeded: {who} would take {} bytes, the limit is {} bytes ({})",
            used.saturating_add(bytes),
            self.limit,
            self.setting
        );
        Error::new(Code::MEMORY_LIMIT_EXCEEDED, message)
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        // What a query did not give back one by one goes with it.
        let left = *self.used.get_mut();
        if let Some(parent) = self.parent.as_ref().filter(|_| left > 0) {
            parent.shrink(left);
        }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.used(), self.limit())
    }
}

/// Requests below this are not looked at one by one.
const LARGE_BYTES: usize = 64 << 20;

/// What the process may have in memory: the limit of the server that was opened last.
static PROCESS_LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Asked before a large buffer is made whose length comes from outside. Errors: MEMORY_LIMIT_EXCEEDED when the process has
/// no room for it.
pub fn room_for(bytes: usize) -> Result<()> {
    if bytes < LARGE_BYTES {
        return Ok(());
    }
    let limit = PROCESS_LIMIT.load(Ordering::Relaxed);
    let resident = resident_bytes();
    if (bytes as u64).saturating_add(resident) <= limit {
        return Ok(());
    }
    let message = format!(
        "memory limit exceeded: a buffer of {bytes} bytes was asked for, the server has {resident} of {limit} bytes \
         (max_server_memory_usage)"
    );
    Err(Error::new(Code::MEMORY_LIMIT_EXCEEDED, message))
}

/// Room for `more` values, whose number comes from outside. Errors: MEMORY_LIMIT_EXCEEDED; CANNOT_ALLOCATE_MEMORY (173).
pub fn make_room<T>(values: &mut Vec<T>, more: usize) -> Result<()> {
    let all = values.len().saturating_add(more);
    if all <= values.capacity() {
        return Ok(());
    }
    room_for(all.saturating_mul(size_of::<T>()))?;
    values.try_reserve(more).map_err(|e| {
        Error::new(Code::CANNOT_ALLOCATE_MEMORY, format!("no memory for {all} values of {} bytes: {e}", size_of::<T>()))
    })
}

/// Memory that the process has; 0 where it cannot be read.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).map_or(0, |pages| pages * 4_096)
}

/// Bytes of one holder; given back on drop.
#[derive(Debug)]
pub struct Reserved {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Reserved {
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// The holder has so many bytes now. Errors: MEMORY_LIMIT_EXCEEDED; the count stays as it was.
    pub fn resize(&mut self, bytes: usize) -> Result<()> {
        let bytes = bytes as u64;
        if bytes > self.bytes {
            self.budget.try_grow(bytes - self.bytes)?;
        } else {
            self.budget.shrink(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_held_to_its_limit_and_to_the_servers() {
        let server = Budget::server(100, None);
        let (a, b) = (Budget::query(&server, 60), Budget::query(&server, 0));
        let kept = a.reserve(50).unwrap();
        assert_eq!((a.used(), server.used(), a.limit(), b.limit()), (50, 50, 60, 100));
        let own = a.reserve(11).unwrap_err();
        assert!(own.message.contains("max_memory_usage"), "{own}");
        let servers = b.reserve(51).unwrap_err();
        assert_eq!(servers.code, Code::MEMORY_LIMIT_EXCEEDED);
        assert!(servers.message.contains("all queries would take 101 bytes"), "{servers}");
        assert_eq!((a.used(), b.used(), server.used()), (50, 0, 50));
        drop(kept);
        b.reserve(100).unwrap();
        assert_eq!((server.used(), server.peak()), (0, 100));
    }

    #[test]
    fn a_reservation_follows_its_holder() {
        static SHOWN: AtomicU64 = AtomicU64::new(0);
        let server = Budget::server(100, Some(&SHOWN));
        let query = Budget::query(&server, 0);
        let mut held = query.reserve(10).unwrap();
        held.resize(40).unwrap();
        assert!(held.resize(101).is_err());
        held.resize(30).unwrap();
        query.grow(200);
        assert_eq!((query.used(), SHOWN.load(Ordering::Relaxed)), (230, 230));
        query.shrink(200);
        drop(held);
        query.grow(7);
        drop(query);
        assert_eq!((server.used(), SHOWN.load(Ordering::Relaxed)), (0, 0));
    }
}
