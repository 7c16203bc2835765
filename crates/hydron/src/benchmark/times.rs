//! How long things took, in memory that does not grow with their number.
//!
//! Promise: a percentile is at most 1.6 % above the time that it stands for; the least and the greatest are exact.

use std::time::Duration;

/// Each power of two of microseconds has so many buckets.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// Powers of two above the first [`STEPS`] microseconds, which have a bucket each: up to 13 days.
const POWERS: usize = 34;
const BUCKETS: usize = STEPS as usize * (POWERS + 1);

#[derive(Clone, Debug, Default)]
pub struct Times {
    /// Empty until the first one.
    counts: Vec<u64>,
    count: u64,
    least: Duration,
    most: Duration,
}

impl Times {
    pub fn note(&mut self, time: Duration) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        self.counts[bucket(time.as_micros() as u64)] += 1;
        self.least = if self.count == 0 { time } else { self.least.min(time) };
        self.most = self.most.max(time);
        self.count += 1;
    }

    pub fn add(&mut self, other: Times) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other;
            return;
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
        self.count += other.count;
    }

    /// The time that `percent` of all took at most; zero when there were none.
    pub fn percentile(&self, percent: f64) -> Duration {
        if self.count == 0 || percent <= 0.0 {
            return self.least;
        }
        let wanted = ((percent / 100.0 * self.count as f64).ceil() as u64).clamp(1, self.count);
        if wanted == self.count {
            return self.most;
        }
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_micros(upper(at)).clamp(self.least, self.most);
            }
        }
        self.most
    }
}

fn bucket(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let power = micros.ilog2() - STEP_BITS;
    let step = (micros >> power) - STEPS;
    ((u64::from(power) + 1) * STEPS + step).min(BUCKETS as u64 - 1) as usize
}

/// The greatest time of a bucket.
fn upper(bucket: usize) -> u64 {
    let (power, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    match power {
        0 => step,
        power => ((STEPS + step + 1) << (power - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_falls_into_them() {
        for micros in (0..200).chain((0..40).map(|p| (1_u64 << p) + p)) {
            let at = bucket(micros);
            assert!(upper(at) >= micros || at == BUCKETS - 1, "{micros} in {at}");
            assert!(at == 0 || at == BUCKETS - 1 || upper(at - 1) < micros, "{micros} in {at}");
            assert!(at == BUCKETS - 1 || upper(at) as f64 <= micros as f64 * 1.016, "{micros} in {at}");
        }
    }

    #[test]
    fn percentiles_are_near_and_ends_exact() {
        let mut even = Times::default();
        let mut odd = Times::default();
        for i in 1..=10_000_u64 {
            if i % 2 == 0 { &mut even } else { &mut odd }.note(Duration::from_micros(i * 10));
        }
        even.add(odd);
        let ms = |p| even.percentile(p).as_secs_f64() * 1e3;
        assert_eq!((ms(0.0), ms(100.0)), (0.01, 100.0));
        for (percent, wanted) in [(10.0, 10.0), (50.0, 50.0), (99.0, 99.0), (99.99, 99.99)] {
            assert!(ms(percent) >= wanted && ms(percent) <= wanted * 1.016, "{percent}: {}", ms(percent));
        }
        assert_eq!(Times::default().percentile(50.0), Duration::ZERO);
    }
}
