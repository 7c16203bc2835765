//! Time zones by their name in the tz database, and the calendar they imply.
//!
//! In: seconds or ticks since 1970 UTC. Out: wall clock, days, months, rounded and moved times. Pure arithmetic: nothing here
//! knows what time it is.

use crate::logical::IntervalUnit;
use chrono::offset::{Offset, TimeZone};
use chrono_tz::Tz;
use hydron_base::{Code, Error, Result};
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, RwLock};

/// A zone of the tz database, for example `UTC` or `Asia/Shanghai`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Zone(pub Tz);

impl Zone {
    pub const UTC: Zone = Zone(Tz::UTC);

    /// Errors: POCO_EXCEPTION (1000, the code Proton answers) for a name the tz database does not have.
    pub fn parse(name: &str) -> Result<Zone> {
        name.parse::<Tz>().map(Zone).map_err(|_| {
            Error::new(Code::POCO_EXCEPTION, format!("time zone '{name}' is unknown"))
                .hint("a name such as 'UTC' or 'Europe/Berlin'")
        })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

pub const DAY_SECONDS: i64 = 86_400;
/// 1900-01-01, the first day of date32 and datetime64.
pub const DATE32_DAY_MIN: i32 = -25_567;
/// 2299-12-31, the last day of date32 and datetime64.
pub const DATE32_DAY_MAX: i32 = 120_529;
/// 2149-06-06, the last day of date.
pub const DATE_DAY_MAX: i32 = 65_535;
/// 1900-01-01 00:00:00, the first second of datetime64.
pub const DATETIME64_SECOND_MIN: i64 = DATE32_DAY_MIN as i64 * DAY_SECONDS;
/// 2299-12-31 23:59:59, the last second of datetime64.
pub const DATETIME64_SECOND_MAX: i64 = DATE32_DAY_MAX as i64 * DAY_SECONDS + DAY_SECONDS - 1;

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Civil {
    pub year: i32,
    /// 1..=12
    pub month: u8,
    /// 1..=31
    pub day: u8,
}

/// Days since 1970-01-01. A day outside its month counts on into the next ones.
pub fn days_from_civil(year: i32, month: u8, day: i32) -> i32 {
    // Years begin in March here, so that the leap day is the last of its year (400 years are 146097 days).
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let month_from_march = (i32::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The day of the calendar that is `days` after 1970-01-01.
pub fn civil_from_days(days: i32) -> Civil {
    let z = i64::from(days) + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Civil { year: year as i32, month: month as u8, day: day as u8 }
}

pub fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub fn days_in_month(year: i32, month: u8) -> u8 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// 1 (Monday) to 7 (Sunday).
pub fn weekday(days: i32) -> u8 {
    // 1970-01-01 was a Thursday.
    (days + 3).rem_euclid(7) as u8 + 1
}

/// The Monday on or before the day.
pub fn monday(days: i32) -> i32 {
    days - (days + 3).rem_euclid(7)
}

/// The day `months` later; a day past the month's end becomes its last.
pub fn add_months(days: i32, months: i64) -> i32 {
    let civil = civil_from_days(days);
    let index = (i64::from(civil.year) * 12 + i64::from(civil.month) - 1).wrapping_add(months);
    // Far outside every date type; the bounds only keep the arithmetic in range.
    let index = index.clamp(-120_000, 240_000);
    let (year, month) = (index.div_euclid(12) as i32, index.rem_euclid(12) as u8 + 1);
    days_from_civil(year, month, i32::from(civil.day.min(days_in_month(year, month))))
}

/// Days of the first day of the month, quarter or year that is a multiple of `n` units counted from the year 0.
pub fn floor_months(days: i32, months: i64) -> i32 {
    let civil = civil_from_days(days);
    let index = i64::from(civil.year) * 12 + i64::from(civil.month) - 1;
    let index = index.div_euclid(months) * months;
    days_from_civil(index.div_euclid(12) as i32, index.rem_euclid(12) as u8 + 1, 1)
}

/// Every change of a zone's offset from 1900 to 2300: the first UTC second of each span, and its offset.
#[derive(Debug)]
struct Spans {
    starts: Vec<i64>,
    offsets: Vec<i32>,
}

impl Spans {
    fn of(zone: Zone) -> Arc<Spans> {
        static KNOWN: LazyLock<RwLock<HashMap<Tz, Arc<Spans>>>> = LazyLock::new(RwLock::default);
        if let Some(spans) = KNOWN.read().unwrap_or_else(|e| e.into_inner()).get(&zone.0) {
            return Arc::clone(spans);
        }
        let spans = Arc::new(Spans::find(zone));
        // At most as many entries as the tz database has zones.
        KNOWN.write().unwrap_or_else(|e| e.into_inner()).insert(zone.0, Arc::clone(&spans));
        spans
    }

    fn find(zone: Zone) -> Spans {
        let offset = |utc: i64| {
            let time = chrono::DateTime::from_timestamp(utc, 0).unwrap_or_default().naive_utc();
            zone.0.offset_from_utc_datetime(&time).fix().local_minus_utc()
        };
        let mut spans = Spans { starts: vec![i64::MIN], offsets: vec![offset(DATETIME64_SECOND_MIN)] };
        // No zone changes twice within a day; from 2100 on the rules repeat no further in the database.
        let end = 4_102_444_800;
        let mut at = DATETIME64_SECOND_MIN;
        let mut current = spans.offsets[0];
        while at < end {
            let next = at + DAY_SECONDS;
            let after = offset(next);
            if after != current {
                let (mut low, mut high) = (at, next);
                while high - low > 1 {
                    let middle = low + (high - low) / 2;
                    if offset(middle) == current { low = middle } else { high = middle }
                }
                spans.starts.push(high);
                spans.offsets.push(after);
                current = after;
            }
            at = next;
        }
        spans
    }
}

/// The calendar of one zone. Keeps the span it found last, so that neighbouring times cost nothing: make one for each
/// batch (it is cheap) and use it for all its rows.
#[derive(Clone, Debug)]
pub struct LocalTime {
    zone: Zone,
    spans: Arc<Spans>,
    last: Cell<usize>,
}

impl LocalTime {
    pub fn new(zone: Zone) -> LocalTime {
        LocalTime { zone, spans: Spans::of(zone), last: Cell::new(0) }
    }

    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// Seconds east of UTC at a UTC time in seconds.
    #[inline]
    pub fn offset_at(&self, utc: i64) -> i32 {
        self.spans.offsets[self.span_at(utc)]
    }

    #[inline]
    fn span_at(&self, utc: i64) -> usize {
        let starts = &self.spans.starts;
        let last = self.last.get();
        if starts[last] <= utc && starts.get(last + 1).is_none_or(|next| utc < *next) {
            return last;
        }
        let found = starts.partition_point(|s| *s <= utc) - 1;
        self.last.set(found);
        found
    }

    /// Seconds since 1970-01-01 00:00:00 on the wall clock of the zone.
    #[inline]
    pub fn to_local(&self, utc: i64) -> i64 {
        utc.saturating_add(i64::from(self.offset_at(utc)))
    }

    /// The first UTC second at which the wall clock shows `local`; a wall time that a change skips is read with the offset
    /// after the change.
    pub fn to_utc(&self, local: i64) -> i64 {
        if self.spans.starts.len() == 1 {
            return local.saturating_sub(i64::from(self.spans.offsets[0]));
        }
        // Offsets stay within a day of UTC, so the span before `local - 1 day` and at most the next ones qualify.
        let mut span = self.span_at(local.saturating_sub(DAY_SECONDS));
        loop {
            let utc = local.saturating_sub(i64::from(self.spans.offsets[span]));
            match self.spans.starts.get(span + 1) {
                Some(next) if utc >= *next => span += 1,
                _ => return utc,
            }
        }
    }

    /// The local day (since 1970) of a UTC second.
    #[inline]
    pub fn day_of(&self, utc: i64) -> i32 {
        whole_day(self.to_local(utc))
    }

    /// The first UTC second of a local day.
    pub fn day_start(&self, day: i32) -> i64 {
        self.to_utc(i64::from(day) * DAY_SECONDS)
    }
}

/// The day of a second on the wall clock. Times that no type prints count as a day far outside the calendar, where the
/// arithmetic on days still cannot overflow.
#[inline]
pub fn whole_day(wall: i64) -> i32 {
    const DAY_FAR: i64 = 100_000_000;
    wall.div_euclid(DAY_SECONDS).clamp(-DAY_FAR, DAY_FAR) as i32
}

/// `days` rounded down to a multiple of `n` units of a day or longer; shorter units leave it.
pub fn floor_days(days: i32, unit: IntervalUnit, n: i64) -> i32 {
    let n = n.max(1);
    match unit {
        IntervalUnit::Week if n == 1 => monday(days),
        // 1970-01-05 was a Monday.
        IntervalUnit::Week => {
            (4 + i64::from(days - 4).div_euclid(n.saturating_mul(7)).saturating_mul(n.saturating_mul(7))) as i32
        }
        IntervalUnit::Day => (i64::from(days).div_euclid(n) * n) as i32,
        unit => match unit.months() {
            Some(months) => floor_months(days, months.saturating_mul(n)),
            None => days,
        },
    }
}

/// `ticks` (10^-digits seconds since 1970 UTC) rounded down to a multiple of `n` units, as `to_start_of_interval` does:
/// weeks from Monday, days and longer in the zone, hours from midnight in the zone, shorter units from 1970.
pub fn floor_ticks(ticks: i64, digits: u8, unit: IntervalUnit, n: i64, local: &LocalTime) -> i64 {
    let n = n.max(1);
    let per_second = crate::wide::pow10_i64(digits);
    let seconds = ticks.div_euclid(per_second);
    match unit {
        IntervalUnit::Nanosecond | IntervalUnit::Microsecond | IntervalUnit::Millisecond => {
            let step = i128::from(unit.nanoseconds().unwrap_or(1)) * i128::from(n);
            let tick = i128::from(crate::wide::pow10_i64(9 - digits.min(9)));
            ((i128::from(ticks) * tick).div_euclid(step) * step / tick) as i64
        }
        IntervalUnit::Second => floor_to(seconds, n).saturating_mul(per_second),
        IntervalUnit::Minute => floor_to(seconds, n.saturating_mul(60)).saturating_mul(per_second),
        IntervalUnit::Hour => {
            let wall = local.to_local(seconds);
            let floored = if n == 1 {
                seconds - wall.rem_euclid(3_600)
            } else {
                let midnight = floor_to(wall, DAY_SECONDS);
                local.to_utc(midnight + floor_to(wall - midnight, n.saturating_mul(3_600)))
            };
            floored.saturating_mul(per_second)
        }
        _ => {
            let day = floor_days(local.day_of(seconds), unit, n);
            local.day_start(day).saturating_mul(per_second)
        }
    }
}

#[inline]
fn floor_to(v: i64, step: i64) -> i64 {
    v - v.rem_euclid(step)
}

/// `days` plus `n` units of a day or longer (wrapping); shorter units leave it.
pub fn add_days_unit(days: i32, unit: IntervalUnit, n: i64) -> i32 {
    match unit {
        IntervalUnit::Day => i64::from(days).wrapping_add(n) as i32,
        IntervalUnit::Week => i64::from(days).wrapping_add(n.wrapping_mul(7)) as i32,
        unit => match unit.months() {
            Some(months) => add_months(days, n.wrapping_mul(months)),
            None => days,
        },
    }
}

/// `ticks` plus `n` units (wrapping); days and longer move the wall clock of the zone, and a day past the month's end
/// becomes its last. A unit shorter than a tick adds only the whole ticks it fills.
pub fn add_ticks(ticks: i64, digits: u8, unit: IntervalUnit, n: i64, local: &LocalTime) -> i64 {
    let per_second = crate::wide::pow10_i64(digits);
    match (unit, unit.nanoseconds()) {
        (IntervalUnit::Day | IntervalUnit::Week, _) | (_, None) => {
            let (seconds, fraction) = (ticks.div_euclid(per_second), ticks.rem_euclid(per_second));
            let wall = local.to_local(seconds);
            let (day, of_day) = (wall.div_euclid(DAY_SECONDS), wall.rem_euclid(DAY_SECONDS));
            let day = match unit {
                IntervalUnit::Day => day.wrapping_add(n),
                IntervalUnit::Week => day.wrapping_add(n.wrapping_mul(7)),
                unit => i64::from(add_days_unit(day as i32, unit, n)),
            };
            let moved = local.to_utc(day.wrapping_mul(DAY_SECONDS).wrapping_add(of_day));
            moved.wrapping_mul(per_second).wrapping_add(fraction)
        }
        (_, Some(nanos)) => {
            let tick = crate::wide::pow10_i64(9 - digits.min(9));
            if nanos >= tick {
                ticks.wrapping_add(n.wrapping_mul(nanos / tick))
            } else {
                ticks.wrapping_add(n / (tick / nanos))
            }
        }
    }
}

/// Ticks of one scale in another; finer to coarser rounds down. `None` on overflow.
pub fn rescale(ticks: i64, from: u8, to: u8) -> Option<i64> {
    if to >= from {
        ticks.checked_mul(crate::wide::pow10_i64(to - from))
    } else {
        Some(ticks.div_euclid(crate::wide::pow10_i64(from - to)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(zone: &str) -> LocalTime {
        LocalTime::new(Zone::parse(zone).unwrap())
    }

    fn utc(text: &str) -> i64 {
        chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap().and_utc().timestamp()
    }

    #[test]
    fn calendar_agrees_with_itself_and_with_chrono() {
        for days in (DATE32_DAY_MIN..=DATE32_DAY_MAX).step_by(17) {
            let c = civil_from_days(days);
            assert_eq!(days_from_civil(c.year, c.month, c.day.into()), days);
            let date = chrono::NaiveDate::from_ymd_opt(c.year, c.month.into(), c.day.into()).unwrap();
            assert_eq!(
                date,
                chrono::NaiveDate::default() + chrono::Days::new(0) + chrono::TimeDelta::days(days.into())
            );
        }
        assert_eq!(weekday(0), 4);
        assert_eq!(civil_from_days(DATE_DAY_MAX), Civil { year: 2149, month: 6, day: 6 });
        assert_eq!(civil_from_days(DATE32_DAY_MAX), Civil { year: 2299, month: 12, day: 31 });
    }

    #[test]
    fn wall_clock_gaps_and_repeats() {
        let berlin = local("Europe/Berlin");
        // The clock goes from 02:00 to 03:00 on 2023-03-26 and from 03:00 to 02:00 on 2023-10-29.
        assert_eq!(berlin.to_utc(utc("2023-03-26 01:59:59")), utc("2023-03-26 00:59:59"));
        assert_eq!(berlin.to_utc(utc("2023-03-26 02:30:00")), utc("2023-03-26 00:30:00"));
        assert_eq!(berlin.to_utc(utc("2023-03-26 03:00:00")), utc("2023-03-26 01:00:00"));
        assert_eq!(berlin.to_utc(utc("2023-10-29 02:30:00")), utc("2023-10-29 00:30:00"));
        assert_eq!(berlin.to_utc(utc("2023-10-29 03:00:00")), utc("2023-10-29 02:00:00"));
        assert_eq!(berlin.to_local(utc("2023-10-29 01:30:00")), utc("2023-10-29 02:30:00"));
        assert_eq!(local("Asia/Shanghai").to_local(0), 28_800);
    }

    #[test]
    fn floors() {
        use IntervalUnit::*;
        let zone = local("Asia/Kolkata");
        let t = utc("2023-05-17 20:47:33");
        for (unit, n, expected) in [
            (Second, 15, "2023-05-17 20:47:30"),
            (Minute, 15, "2023-05-17 20:45:00"),
            (Hour, 1, "2023-05-17 20:30:00"),
            (Hour, 6, "2023-05-17 18:30:00"),
            (Day, 1, "2023-05-17 18:30:00"),
            (Week, 1, "2023-05-14 18:30:00"),
            (Month, 1, "2023-04-30 18:30:00"),
            (Quarter, 1, "2023-03-31 18:30:00"),
            (Year, 1, "2022-12-31 18:30:00"),
        ] {
            assert_eq!(floor_ticks(t, 0, unit, n, &zone), utc(expected), "{n} {unit:?}");
            assert_eq!(floor_ticks(t * 1_000 + 7, 3, unit, n, &zone), utc(expected) * 1_000, "{n} {unit:?} in ms");
        }
        assert_eq!(floor_ticks(-1, 3, Millisecond, 10, &zone), -10);
        assert_eq!(floor_ticks(-1, 3, Second, 5, &zone), -5_000);
    }

    #[test]
    fn additions() {
        use IntervalUnit::*;
        let zone = local("Europe/Berlin");
        for (from, unit, n, expected) in [
            ("2023-01-31 12:00:00", Month, 1, "2023-02-28 12:00:00"),
            ("2024-02-29 12:00:00", Year, 1, "2025-02-28 12:00:00"),
            // The wall clock stays: the day of the change has 23 hours.
            ("2023-03-25 12:00:00", Day, 1, "2023-03-26 11:00:00"),
            ("2023-03-25 12:00:00", Hour, 24, "2023-03-26 12:00:00"),
            ("2023-03-25 12:00:00", Week, -1, "2023-03-18 12:00:00"),
            ("2023-11-30 12:00:00", Quarter, 1, "2024-02-29 12:00:00"),
        ] {
            assert_eq!(add_ticks(utc(from), 0, unit, n, &zone), utc(expected), "{from} + {n} {unit:?}");
        }
        assert_eq!(add_ticks(1_500, 3, Millisecond, 7, &zone), 1_507);
        assert_eq!(add_ticks(60, 0, Minute, i64::MAX, &zone), 0);
    }
}
