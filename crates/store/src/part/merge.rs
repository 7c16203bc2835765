//! Which small parts to join into one.
//!
//! In: sizes of the parts in manifest order. Out: a run of neighbours, or nothing. Promise: only neighbours are joined,
//! so that a part keeps to one range of the log; a row is rewritten about once per tier.

use super::manifest::PartMeta;
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergePolicy {
    /// Parts that make a merge worth its writing. More means fewer rewrites and more files per scan.
    pub parts_min: usize,
    /// Parts joined at once, which bounds the memory of a merge.
    pub parts_max: usize,
    /// A merge does not make a part larger than this.
    pub bytes_max: u64,
}

impl Default for MergePolicy {
    fn default() -> MergePolicy {
        MergePolicy { parts_min: 6, parts_max: 64, bytes_max: 256 << 20 }
    }
}

// Parts within a factor of four are of one tier; all below 1 MiB are.
const TIER_BYTES_MIN: u64 = 1 << 20;

fn tier(bytes: u64) -> u32 {
    (bytes / TIER_BYTES_MIN).checked_ilog2().map_or(0, |log| log / 2 + 1)
}

/// The parts to join: the first run of the lowest tier that is long enough. All of the run have the same schema version.
pub fn choose_merge(parts: &[PartMeta], policy: &MergePolicy) -> Option<Range<usize>> {
    let top = parts.iter().map(|p| tier(p.bytes)).max()?;
    (0..=top).find_map(|of| first_run(parts, of, policy))
}

/// The first run of parts of at most tier `of` with enough of just that tier: a few small ones do not carry a large one.
fn first_run(parts: &[PartMeta], of: u32, policy: &MergePolicy) -> Option<Range<usize>> {
    (0..parts.len()).find_map(|start| {
        let len = run_len(&parts[start..], of, policy);
        let of_tier = parts[start..start + len].iter().filter(|p| tier(p.bytes) == of).count();
        (of_tier >= policy.parts_min.max(2)).then_some(start..start + len)
    })
}

/// Parts from the first on that may be joined: small enough each, and together.
fn run_len(parts: &[PartMeta], upto: u32, policy: &MergePolicy) -> usize {
    let mut bytes = 0;
    let fits = |p: &&PartMeta| {
        bytes += p.bytes;
        tier(p.bytes) <= upto && bytes <= policy.bytes_max && p.schema_version == parts[0].schema_version
    };
    parts.iter().take(policy.parts_max).take_while(fits).count()
}
