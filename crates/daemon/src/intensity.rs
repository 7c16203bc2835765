//! How often the server crashed lately, and over what: the query that did it twice is refused, a server that cannot stay up
//! stops writing.
//!
//! In: crashes with their time and fingerprint. Out: what the next worker must not do. Source: the restart intensity of
//! Erlang/OTP supervisors.

use std::collections::VecDeque;
use std::time::Duration;

/// Crashes count for so long.
const WINDOW: Duration = Duration::from_secs(60);

/// Crashes remembered: more than any limit that makes sense.
const CRASHES_MAX: usize = 1_024;

/// After how many crashes in the window; 0: never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub quarantine: u32,
    pub safe_mode: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consequence {
    /// The query is refused from now on.
    pub quarantine: bool,
    pub safe_mode: bool,
    /// Crashes in the window, this one included.
    pub crashes: u32,
    /// Of them with this fingerprint.
    pub same: u32,
}

#[derive(Debug, Default)]
pub struct Intensity {
    crashes: VecDeque<(Duration, u64)>,
}

impl Intensity {
    /// `fingerprint`: 0 when no query is to blame.
    pub fn crashed(&mut self, now: Duration, fingerprint: u64, limits: Limits) -> Consequence {
        while self.crashes.front().is_some_and(|(at, _)| now.saturating_sub(*at) > WINDOW)
            || self.crashes.len() >= CRASHES_MAX
        {
            self.crashes.pop_front();
        }
        self.crashes.push_back((now, fingerprint));
        let crashes = self.crashes.len() as u32;
        let same = self.crashes.iter().filter(|(_, f)| *f == fingerprint && fingerprint != 0).count() as u32;
        Consequence {
            quarantine: limits.quarantine > 0 && same >= limits.quarantine,
            safe_mode: limits.safe_mode > 0 && crashes >= limits.safe_mode,
            crashes,
            same,
        }
    }
}

/// What makes two crashes the same: the signal, the place in the program and the query.
pub fn fingerprint(signal: i32, offset: u64, query_hash: u64) -> u64 {
    if query_hash == 0 {
        return 0;
    }
    // FNV-1a over the three numbers.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in signal.to_le_bytes().into_iter().chain(offset.to_le_bytes()).chain(query_hash.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { quarantine: 2, safe_mode: 5 };

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_second_crash_of_one_kind_is_refused_and_the_fifth_of_any_is_too_much() {
        let mut crashes = Intensity::default();
        assert!(!crashes.crashed(seconds(0), 1, LIMITS).quarantine);
        assert!(!crashes.crashed(seconds(1), 2, LIMITS).quarantine);
        assert!(crashes.crashed(seconds(2), 1, LIMITS).quarantine);
        assert!(!crashes.crashed(seconds(3), 3, LIMITS).safe_mode);
        assert!(crashes.crashed(seconds(4), 4, LIMITS).safe_mode);
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        let mut crashes = Intensity::default();
        crashes.crashed(seconds(0), 1, LIMITS);
        assert!(!crashes.crashed(seconds(61), 1, LIMITS).quarantine);
    }

    #[test]
    fn a_crash_without_a_query_quarantines_nothing_and_zero_is_off() {
        let mut crashes = Intensity::default();
        crashes.crashed(seconds(0), 0, LIMITS);
        assert!(!crashes.crashed(seconds(1), 0, LIMITS).quarantine);
        let off = Limits { quarantine: 0, safe_mode: 0 };
        for i in 0..10 {
            assert!(!crashes.crashed(seconds(i), 7, off).quarantine);
        }
        assert_eq!(fingerprint(11, 1, 0), 0);
        assert_ne!(fingerprint(11, 1, 5), fingerprint(11, 2, 5));
    }
}
