//! Which segments may go.
//!
//! In: what each closed segment holds, oldest first; the policy; the floor. Out: how many of the oldest go. Promise:
//! no segment with a record at or after the floor goes, and never one with a newer one kept before it.

use super::record::Sequence;

/// How much of a log is kept. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    pub bytes_max: Option<u64>,
    pub age_ms_max: Option<i64>,
}

impl Retention {
    /// Keeps nothing that the floor does not protect.
    pub const NOTHING: Retention = Retention { bytes_max: Some(0), age_ms_max: None };
}

/// What retention needs to know of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub next: Sequence,
    pub bytes: u64,
    pub append_max_ms: i64,
}

/// Counts the segments to remove from the front of `closed`. `active_bytes` count toward the limit but never go.
pub fn expired(closed: &[Extent], active_bytes: u64, policy: Retention, floor: Sequence, now_ms: i64) -> usize {
    let mut kept_bytes = active_bytes + closed.iter().map(|e| e.bytes).sum::<u64>();
    let mut count = 0;
    for extent in closed {
        let too_many = policy.bytes_max.is_some_and(|max| kept_bytes > max);
        let too_old = policy.age_ms_max.is_some_and(|age| extent.append_max_ms < now_ms.saturating_sub(age));
        if extent.next > floor || !(too_many || too_old) {
            break;
        }
        kept_bytes -= extent.bytes;
        count += 1;
    }
    count
}
