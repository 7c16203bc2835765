//! What users have used of their quotas.
//!
//! In: the time, a quota, a key, an amount. Out: an error when an interval's limit is passed. Promise: an interval begins at a
//! multiple of its length, so that all keys of a quota begin anew together unless it is RANDOMIZED.

use crate::entity::{Interval, Quota, Resource};
use hydron_base::world::WallTime;
use hydron_base::{Code, Error, Result};
use std::collections::HashMap;
use uuid::Uuid;

/// Keys counted at a time; beyond it those whose intervals have ended go, and then new keys are not counted apart.
const KEYS_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub struct Usage {
    counted: HashMap<(Uuid, String), Vec<Counted>>,
}

#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// Microseconds since the epoch.
    pub ends: i64,
    pub seconds: u64,
    pub used: [f64; Resource::ALL.len()],
}

impl Usage {
    /// Counts, then looks at the limits.
    ///
    /// Errors: QUOTA_EXCEEDED (201) with the resource, its limit and when the interval ends.
    pub fn add(
        &mut self,
        now: WallTime,
        (id, name, quota): (Uuid, &str, &Quota),
        key: &str,
        amounts: &[(Resource, f64)],
        user: &str,
    ) -> Result<()> {
        if self.counted.len() >= KEYS_MAX {
            self.counted.retain(|_, all| all.iter().any(|c| c.ends > now.0));
        }
        let key = if self.counted.len() >= KEYS_MAX { "" } else { key };
        let counted = self.counted.entry((id, key.to_owned())).or_default();
        counted.resize_with(quota.intervals.len(), Counted::default);
        for (at, (interval, counted)) in quota.intervals.iter().zip(counted.iter_mut()).enumerate() {
            counted.renew(now, interval, if interval.randomized { shift(id, key, at) } else { 0 });
            for (resource, amount) in amounts {
                let used = &mut counted.used[*resource as usize];
                *used += amount;
                if let Some(max) = interval.max.get(resource).filter(|max| *used > **max) {
                    return Err(exceeded(user, name, *resource, *used, *max, interval, counted.ends));
                }
            }
        }
        Ok(())
    }

    /// Quota, key, and an entry for each interval.
    pub fn list(&self) -> impl Iterator<Item = (Uuid, &str, &[Counted])> {
        self.counted.iter().map(|((id, key), counted)| (*id, key.as_str(), counted.as_slice()))
    }
}

impl Counted {
    fn renew(&mut self, now: WallTime, interval: &Interval, shift: i64) {
        let length = i64::try_from(interval.seconds.max(1)).unwrap_or(i64::MAX / 1_000_000).saturating_mul(1_000_000);
        if self.ends > now.0 && self.seconds == interval.seconds {
            return;
        }
        let shift = shift.rem_euclid(length);
        let start = (now.0 - shift).div_euclid(length) * length + shift;
        *self = Counted { ends: start.saturating_add(length), seconds: interval.seconds, ..Counted::default() };
    }
}

/// Where in its length a randomized interval begins: the same for a quota and key at each start.
fn shift(id: Uuid, key: &str, at: usize) -> i64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (id, key, at).hash(&mut hasher);
    (hasher.finish() >> 1) as i64
}

fn exceeded(user: &str, quota: &str, resource: Resource, used: f64, max: f64, interval: &Interval, ends: i64) -> Error {
    let seconds = ends.div_euclid(1_000_000);
    let message = format!(
        "Quota for user `{user}` for {}s has been exceeded: {} = {used}/{max}. Interval will end at {seconds} (unix time). \
         Name of quota template: `{quota}`",
        interval.seconds,
        resource.name(),
    );
    Error::new(Code::QUOTA_EXCEEDED, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_ends_and_begins_anew_for_each_key() {
        let interval = |randomized, most: f64| Interval {
            seconds: 60,
            randomized,
            max: [(Resource::Queries, most)].into_iter().collect(),
        };
        for randomized in [false, true] {
            let quota = Quota { intervals: vec![interval(randomized, 2.0)], ..Quota::default() };
            let mut usage = Usage::default();
            let mut ask = |second: i64, key: &str| {
                let now = WallTime(second * 1_000_000);
                usage.add(now, (Uuid::nil(), "q", &quota), key, &[(Resource::Queries, 1.0)], "u").is_ok()
            };
            assert_eq!([ask(600, "a"), ask(600, "a"), ask(600, "a")], [true, true, false]);
            assert!(ask(600, "b"), "another key counts for itself");
            assert!(ask(661, "a"), "the next interval");
        }
    }

    #[test]
    fn tracking_counts_and_permits() {
        let quota = Quota {
            intervals: vec![Interval { seconds: 1, randomized: false, max: Default::default() }],
            ..Quota::default()
        };
        let mut usage = Usage::default();
        let used = [(Resource::ReadRows, 5.0), (Resource::Errors, 1.0)];
        usage.add(WallTime(0), (Uuid::nil(), "q", &quota), "", &used, "u").unwrap();
        usage.add(WallTime(0), (Uuid::nil(), "q", &quota), "", &used, "u").unwrap();
        let (_, _, counted) = usage.list().next().unwrap();
        assert_eq!(counted[0].used[Resource::ReadRows as usize], 10.0);
        assert_eq!(counted[0].ends, 1_000_000);
    }
}
