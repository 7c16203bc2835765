//! The delay after failed logins, by address.
//!
//! In: addresses and times. Out: now, later, or not at all. Promise: of one address at most [`FAILURES_AT_ONCE`]
//! passwords are checked at once and then one in [`PAUSE`], however many connections it opens; nothing grows without
//! bound.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Failures that are answered without a delay.
pub(super) const FAILURES_AT_ONCE: u32 = 5;

/// The pause that each further failure costs: five a second.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

// A longer delay would only hold connections: the attempt is refused unchecked instead.
const DELAY_MAX: Duration = Duration::from_secs(5);

// Addresses remembered; each is forgotten when its debt is paid, at the latest after some six seconds.
const ADDRESSES_MAX: usize = 10_000;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Now,
    /// Wait for so long. The attempt is charged as if it will fail.
    After(Duration),
    /// The delay that it would take.
    Refused(Duration),
}

#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// When each address has paid for its failures.
    paid_at: Mutex<HashMap<IpAddr, Instant>>,
}

impl Throttle {
    pub(super) fn ask(&self, from: IpAddr, now: Instant) -> Admission {
        let mut paid_at = self.paid_at.lock();
        let Some(paid) = paid_at.get_mut(&group(from)) else { return Admission::Now };
        let delay = paid.saturating_duration_since(now).saturating_sub(PAUSE * (FAILURES_AT_ONCE - 1));
        if delay.is_zero() {
            return Admission::Now;
        }
        if delay > DELAY_MAX {
            return Admission::Refused(delay);
        }
        *paid += PAUSE;
        Admission::After(delay)
    }

    /// Takes note of a failure that [`Throttle::ask`] has not charged.
    pub(super) fn charge(&self, from: IpAddr, now: Instant) {
        let mut paid_at = self.paid_at.lock();
        let mut group = group(from);
        if paid_at.len() >= ADDRESSES_MAX && !paid_at.contains_key(&group) {
            paid_at.retain(|_, paid| *paid > now);
            if paid_at.len() >= ADDRESSES_MAX {
                // Too many at a time: those beyond share one entry, which is never asked for by name.
                group = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let paid = paid_at.entry(group).or_insert(now);
        *paid = (*paid).max(now) + PAUSE;
    }

    /// The attempt that was charged in advance has succeeded.
    pub(super) fn refund(&self, from: IpAddr) {
        if let Some(paid) = self.paid_at.lock().get_mut(&group(from))
            && let Some(earlier) = paid.checked_sub(PAUSE)
        {
            *paid = earlier;
        }
    }
}

/// Addresses that one machine has: an IPv4 address, or the 64 bits of an IPv6 network.
fn group(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    #[test]
    fn five_failures_at_once_then_five_a_second() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for _ in 0..FAILURES_AT_ONCE {
            assert_eq!(throttle.ask(FROM, start), Admission::Now);
            throttle.charge(FROM, start);
        }
        assert_eq!(throttle.ask(FROM, start), Admission::After(PAUSE));
        assert_eq!(throttle.ask(FROM, start), Admission::After(2 * PAUSE), "each attempt waits for its own turn");
        throttle.refund(FROM);
        assert_eq!(throttle.ask(FROM, start), Admission::After(2 * PAUSE));
        let mut admitted = 0;
        for ms in 0..60_000 {
            let now = start + Duration::from_millis(ms);
            match throttle.ask(FROM, now) {
                Admission::Now => throttle.charge(FROM, now),
                Admission::After(_) => {}
                Admission::Refused(_) => continue,
            }
            admitted += 1;
        }
        // Five a second for a minute, and those that a delay of five seconds lets wait.
        assert!((295..=330).contains(&admitted), "{admitted} attempts in a minute");
        assert_eq!(throttle.ask(FROM, start + Duration::from_secs(120)), Admission::Now, "the debt is paid");
    }

    #[test]
    fn addresses_of_one_network_are_one_and_many_do_not_fill_the_memory() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let v6 = |low: u64| IpAddr::V6(Ipv6Addr::from_bits(0x2001 << 112 | u128::from(low)));
        (0..FAILURES_AT_ONCE).for_each(|i| throttle.charge(v6(u64::from(i)), now));
        assert_ne!(throttle.ask(v6(77), now), Admission::Now);
        for i in 0..2 * ADDRESSES_MAX as u32 {
            throttle.charge(IpAddr::V4(std::net::Ipv4Addr::from_bits(i)), now);
        }
        assert!(throttle.paid_at.lock().len() <= ADDRESSES_MAX + 1);
    }
}
