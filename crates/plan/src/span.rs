//! The arithmetic of tumbling and hopping windows, in ticks of their time column.
//!
//! In: a time. Out: the pane or the windows it is in, and what a watermark closes. Promise: windows start at multiples of
//! the slide in the zone of the query, in streams as in history; panes are cut so that every window is a whole number of them.

use crate::node::{Interval, WindowKind};
use hydron_base::{Error, Result};
use hydron_types::IntervalUnit;
use hydron_types::time::{LocalTime, Zone, add_ticks, floor_ticks};

/// Start (inside) and end (outside) of a window or pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub start: i64,
    pub end: i64,
}

/// Windows of one size at one distance.
#[derive(Clone, Debug)]
pub struct Spans {
    unit: IntervalUnit,
    slide: i64,
    size: i64,
    pane: i64,
    digits: u8,
    zone: Zone,
}

impl Spans {
    /// Errors: BAD_ARGUMENTS (36) for sizes that are not positive, a slide above the size, units without a common measure.
    pub fn new(kind: &WindowKind, digits: u8, zone: Zone) -> Result<Spans> {
        let (slide, size) = match kind {
            WindowKind::Tumble { size } => (*size, *size),
            WindowKind::Hop { slide, size } => (*slide, *size),
            WindowKind::Session { .. } => return Err(Error::not_implemented("a session window here")),
        };
        let (unit, slide, size) = common_unit(slide, size)?;
        if slide <= 0 || size <= 0 || slide > size {
            return Err(Error::bad_arguments(format!(
                "a window of size {size} {0} cannot start every {slide} {0}",
                unit.name()
            )));
        }
        let spans = Spans { unit, slide, size, pane: gcd(slide, size), digits, zone };
        let local = spans.local();
        if add_ticks(0, digits, unit, spans.pane, &local) <= 0 {
            let message = format!("a window of {size} {} is finer than the time column", unit.name());
            return Err(Error::bad_arguments(message));
        }
        Ok(spans)
    }

    /// The calendar to hand to the other functions: make one for each batch.
    pub fn local(&self) -> LocalTime {
        LocalTime::new(self.zone)
    }

    /// Whether each row is in one window only.
    pub fn is_tumble(&self) -> bool {
        self.slide == self.size
    }

    fn plus(&self, ticks: i64, n: i64, local: &LocalTime) -> i64 {
        add_ticks(ticks, self.digits, self.unit, n, local)
    }

    /// The pane that holds `ticks`.
    pub fn pane(&self, ticks: i64, local: &LocalTime) -> Span {
        let start = floor_ticks(ticks, self.digits, self.unit, self.pane, local);
        Span { start, end: self.plus(start, self.pane, local) }
    }

    /// The window that starts at `start`.
    pub fn window(&self, start: i64, local: &LocalTime) -> Span {
        Span { start, end: self.plus(start, self.size, local) }
    }

    /// The window that starts next after `window`.
    pub fn next(&self, window: Span, local: &LocalTime) -> Span {
        self.window(self.plus(window.start, self.slide, local), local)
    }

    /// The last window that holds `ticks`.
    pub fn last_window(&self, ticks: i64, local: &LocalTime) -> Span {
        self.window(floor_ticks(ticks, self.digits, self.unit, self.slide, local), local)
    }

    /// The windows that hold `ticks`, oldest first.
    pub fn windows(&self, ticks: i64, local: &LocalTime) -> Vec<Span> {
        let mut windows = Vec::new();
        self.each_window(ticks, local, |window| windows.push(window));
        windows
    }

    /// Calls `visit` with each window that holds `ticks`, oldest first.
    pub fn each_window(&self, ticks: i64, local: &LocalTime, mut visit: impl FnMut(Span)) {
        let mut window = self.last_window(ticks, local);
        if self.is_tumble() {
            return visit(window);
        }
        loop {
            let earlier = self.window(self.plus(window.start, -self.slide, local), local);
            if earlier.start >= window.start || earlier.end <= ticks {
                break;
            }
            window = earlier;
        }
        loop {
            visit(window);
            let next = self.next(window, local);
            // At the end of time a window does not move any more.
            if next.start > ticks || next.start <= window.start {
                return;
            }
            window = next;
        }
    }

    /// The end of the last window that is over when event time has come to `mark`. For a tumble this is the start of the
    /// window that holds `mark`.
    pub fn closed_until(&self, mark: i64, local: &LocalTime) -> i64 {
        let mut window = self.last_window(mark, local);
        if self.is_tumble() {
            return window.start;
        }
        while window.end > mark {
            window = self.window(self.plus(window.start, -self.slide, local), local);
        }
        window.end
    }
}

/// Both intervals in one unit: the finer one of units of fixed length, months for the calendar's.
fn common_unit(a: Interval, b: Interval) -> Result<(IntervalUnit, i64, i64)> {
    if a.unit == b.unit {
        return Ok((a.unit, a.count, b.count));
    }
    let too_long = || Error::bad_arguments("a window is too long");
    if let (Some(x), Some(y)) = (a.unit.months(), b.unit.months()) {
        let months = |n: i64, of: i64| n.checked_mul(of).ok_or_else(too_long);
        return Ok((IntervalUnit::Month, months(a.count, x)?, months(b.count, y)?));
    }
    let (Some(x), Some(y)) = (a.unit.nanoseconds(), b.unit.nanoseconds()) else {
        let message = format!("a window cannot combine {} and {}", a.unit.name(), b.unit.name());
        return Err(Error::bad_arguments(message));
    };
    let (unit, fine) = if x <= y { (a.unit, x) } else { (b.unit, y) };
    let scaled = |n: i64, of: i64| n.checked_mul(of / fine).ok_or_else(too_long);
    Ok((unit, scaled(a.count, x)?, scaled(b.count, y)?))
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(count: i64, unit: IntervalUnit) -> Interval {
        Interval { count, unit }
    }

    fn hop(slide: i64, size: i64) -> Spans {
        let second = IntervalUnit::Second;
        let kind = WindowKind::Hop { slide: interval(slide, second), size: interval(size, second) };
        Spans::new(&kind, 0, Zone::UTC).unwrap()
    }

    #[test]
    fn a_hop_of_3_in_5_seconds() {
        let (spans, local) = (hop(3, 5), LocalTime::new(Zone::UTC));
        let starts = |t: i64| spans.windows(t, &local).iter().map(|w| w.start).collect::<Vec<_>>();
        assert_eq!(starts(60), [57, 60]);
        assert_eq!(starts(62), [60]);
        assert_eq!(spans.pane(62, &local), Span { start: 62, end: 63 });
        assert_eq!(spans.closed_until(70, &local), 68);
        assert_eq!(spans.closed_until(65, &local), 65);
    }

    #[test]
    fn a_tumble_closes_at_its_start() {
        let kind = WindowKind::Tumble { size: interval(5, IntervalUnit::Second) };
        let (spans, local) = (Spans::new(&kind, 3, Zone::UTC).unwrap(), LocalTime::new(Zone::UTC));
        assert_eq!(spans.closed_until(12_345, &local), 10_000);
        assert_eq!(spans.pane(-1, &local), Span { start: -5_000, end: 0 });
        assert_eq!(spans.windows(7_000, &local), [Span { start: 5_000, end: 10_000 }]);
    }

    #[test]
    fn calendar_hops_are_cut_into_months() {
        let kind =
            WindowKind::Hop { slide: interval(1, IntervalUnit::Month), size: interval(1, IntervalUnit::Quarter) };
        let (spans, local) = (Spans::new(&kind, 0, Zone::UTC).unwrap(), LocalTime::new(Zone::UTC));
        // 2024-02-15 is in the quarters that start in December, January and February.
        assert_eq!(spans.windows(1_707_955_200, &local).len(), 3);
    }

    #[test]
    fn impossible_windows_are_refused() {
        let second = IntervalUnit::Second;
        let wide = WindowKind::Hop { slide: interval(6, second), size: interval(5, second) };
        assert_eq!(Spans::new(&wide, 0, Zone::UTC).unwrap_err().code, hydron_base::Code::BAD_ARGUMENTS);
        let mixed = WindowKind::Hop { slide: interval(1, IntervalUnit::Day), size: interval(1, IntervalUnit::Month) };
        assert_eq!(Spans::new(&mixed, 0, Zone::UTC).unwrap_err().code, hydron_base::Code::BAD_ARGUMENTS);
    }
}
