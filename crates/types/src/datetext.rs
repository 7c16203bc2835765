//! Text to times and times to text, without a detour over any calendar object.
//!
//! In: bytes in the basic form (`2023-01-02 03:04:05.678`, unix seconds) or anything that best effort understands. Out:
//! seconds and a fraction, or days. Promise: a parser says how far it read and never panics on any bytes.

use crate::time::{
    Civil, DATE_DAY_MAX, DATE32_DAY_MAX, DATE32_DAY_MIN, DATETIME64_SECOND_MAX, DATETIME64_SECOND_MIN, DAY_SECONDS,
    LocalTime, civil_from_days, days_from_civil, days_in_month,
};
use crate::wide::pow10_i64;

/// A time as read: UTC seconds and nanoseconds of the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    pub seconds: i64,
    pub nanos: u32,
    /// Bytes read.
    pub used: usize,
}

impl Parsed {
    /// Ticks of `10^-digits` seconds, the time clamped to 1900..=2299 and to what 64 bits hold.
    pub fn ticks(&self, digits: u8) -> i64 {
        let seconds = self.seconds.clamp(DATETIME64_SECOND_MIN, DATETIME64_SECOND_MAX);
        let fraction = i64::from(self.nanos) / pow10_i64(9 - digits);
        seconds.saturating_mul(pow10_i64(digits)).saturating_add(fraction)
    }

    /// Seconds of a 32-bit datetime: 1970..=2106, saturated.
    pub fn datetime(&self) -> i64 {
        self.seconds.clamp(0, u32::MAX.into())
    }
}

const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

#[inline]
fn pair(n: usize) -> [u8; 2] {
    [PAIRS[n * 2], PAIRS[n * 2 + 1]]
}

/// Appends `YYYY-MM-DD`; days outside 1900..=2299 print as the nearest day inside.
#[inline]
pub fn write_days(days: i32, out: &mut Vec<u8>) {
    let Civil { year, month, day } = civil_from_days(days.clamp(DATE32_DAY_MIN, DATE32_DAY_MAX));
    let (century, of_century) = (pair(year as usize / 100), pair(year as usize % 100));
    let (m, d) = (pair(month.into()), pair(day.into()));
    out.extend_from_slice(&[century[0], century[1], of_century[0], of_century[1], b'-', m[0], m[1], b'-', d[0], d[1]]);
}

/// Appends `hh:mm:ss` for a second of the day.
#[inline]
pub fn write_time_of_day(second: u32, out: &mut Vec<u8>) {
    let second = second as usize;
    let (h, m, s) = (pair(second / 3_600), pair(second / 60 % 60), pair(second % 60));
    out.extend_from_slice(&[h[0], h[1], b':', m[0], m[1], b':', s[0], s[1]]);
}

/// Appends `YYYY-MM-DD<between>hh:mm:ss` for seconds on the wall clock.
#[inline]
pub fn write_wall(local_seconds: i64, between: u8, out: &mut Vec<u8>) {
    let local = local_seconds.clamp(DATETIME64_SECOND_MIN, DATETIME64_SECOND_MAX);
    write_days(local.div_euclid(DAY_SECONDS) as i32, out);
    out.push(between);
    write_time_of_day(local.rem_euclid(DAY_SECONDS) as u32, out);
}

/// Appends exactly `digits` digits of `fraction`.
#[inline]
pub fn write_fraction(mut fraction: u64, digits: u8, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + usize::from(digits), b'0');
    for slot in out[start..].iter_mut().rev() {
        *slot = b'0' + (fraction % 10) as u8;
        fraction /= 10;
    }
}

/// Appends `Z` or `±hh:mm` for an offset in seconds.
pub fn write_offset(offset: i32, out: &mut Vec<u8>) {
    if offset == 0 {
        return out.push(b'Z');
    }
    out.push(if offset < 0 { b'-' } else { b'+' });
    let minutes = offset.unsigned_abs() as usize / 60;
    let (h, m) = (pair(minutes / 60 % 100), pair(minutes % 60));
    out.extend_from_slice(&[h[0], h[1], b':', m[0], m[1]]);
}

/// A cursor over bytes.
struct Bytes<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn ahead(&self, n: usize) -> Option<u8> {
        self.text.get(self.at + n).copied()
    }

    /// Reads up to `max` digits: their value and how many there were.
    fn digits(&mut self, max: usize) -> (u64, usize) {
        let mut value: u64 = 0;
        let start = self.at;
        while self.at - start < max {
            match self.peek() {
                Some(b @ b'0'..=b'9') => value = value.saturating_mul(10).saturating_add(u64::from(b - b'0')),
                _ => break,
            }
            self.at += 1;
        }
        (value, self.at - start)
    }

    fn take(&mut self, b: u8) -> bool {
        let found = self.peek() == Some(b);
        self.at += usize::from(found);
        found
    }

    /// How many digits follow.
    fn count_digits(&self) -> usize {
        self.text[self.at..].iter().take_while(|b| b.is_ascii_digit()).count()
    }
}

/// `YYYY-MM-DD` (any one character between, months and days of one or two digits) or `YYYYMMDD`: days since 1970 and bytes
/// read. A date of zeros is the first day of the type; days outside 1900..=2299 become the nearest.
pub fn parse_date(text: &[u8]) -> Option<(i32, usize)> {
    let mut b = Bytes { text, at: 0 };
    let run = b.count_digits();
    let (year, n) = b.digits(4);
    if n != 4 {
        return None;
    }
    let (month, day) = if run == 8 {
        (b.digits(2).0, b.digits(2).0)
    } else {
        if run != 4 {
            return None;
        }
        let separator = b.peek()?;
        b.at += 1;
        let (month, m) = b.digits(2);
        let again = b.peek()?;
        if m == 0 || separator.is_ascii_whitespace() || again.is_ascii_digit() {
            return None;
        }
        b.at += 1;
        let (day, d) = b.digits(2);
        if d == 0 {
            return None;
        }
        (month, day)
    };
    Some((saturated_day(year, month, day), b.at))
}

fn saturated_day(year: u64, month: u64, day: u64) -> i32 {
    if year < 1900 || month == 0 || month > 12 || day == 0 || day > 31 {
        return DATE32_DAY_MIN;
    }
    if year > 2299 {
        return DATE32_DAY_MAX;
    }
    days_from_civil(year as i32, month as u8, day as i32)
}

/// Days of a `date`: 1970..=2149, saturated.
pub fn date16(days: i32) -> i32 {
    days.clamp(0, DATE_DAY_MAX)
}

/// The basic form: `YYYY-MM-DD[ T]hh:mm:ss`, a date alone, or unix seconds of five digits and more; `Z` or `±hh:mm` at
/// the end of a time. With `fraction`, also `.digits` behind the seconds, and negative seconds. Proton's own parser takes no offset behind
/// digits, and so refuses what it prints itself.
pub fn parse_basic(text: &[u8], fraction: bool, local: &LocalTime) -> Option<Parsed> {
    let mut b = Bytes { text, at: 0 };
    let negative = fraction && b.take(b'-');
    let run = b.count_digits();
    if run == 0 {
        return None;
    }
    if run != 4
        || negative
        || b.ahead(4).is_none_or(|c| !matches!(c, b'-' | b'/' | b'.' | b' ' | b'_' | b':'))
        || is_decimal_number(&b)
    {
        return parse_unix(&mut b, negative, run, fraction);
    }
    let (year, _) = b.digits(4);
    b.at += 1;
    let (month, m) = b.digits(2);
    let separator = b.peek()?;
    if m == 0 || separator.is_ascii_digit() {
        return None;
    }
    b.at += 1;
    let (day, d) = b.digits(2);
    if d == 0 {
        return None;
    }
    let (mut second_of_day, mut with_time) = (0, false);
    let has_time = matches!(b.peek(), Some(b' ' | b'T')) && b.ahead(1).is_some_and(|c| c.is_ascii_digit());
    if has_time {
        b.at += 1;
        let (hour, h) = b.digits(2);
        if h == 0 || !b.take(b':') {
            return None;
        }
        let (minute, m) = b.digits(2);
        if m == 0 || !b.take(b':') {
            return None;
        }
        let (second, s) = b.digits(2);
        if s == 0 {
            return None;
        }
        second_of_day = (hour * 3_600 + minute * 60 + second) as i64;
        with_time = true;
    }
    let mut nanos = 0;
    if fraction && b.peek() == Some(b'.') {
        b.at += 1;
        nanos = read_nanos(&mut b);
    }
    let zeros = year < 1900 || month == 0 || month > 12 || day == 0 || day > 31;
    let day_number = i64::from(saturated_day(year, month, day));
    let wall = if year > 2299 { DATETIME64_SECOND_MAX } else { day_number * DAY_SECONDS + second_of_day };
    let offset = if with_time { read_offset(&mut b) } else { None };
    let seconds = match offset {
        _ if zeros => 0,
        Some(offset) => wall - offset,
        None => local.to_utc(wall),
    };
    Some(Parsed { seconds, nanos: if zeros { 0 } else { nanos }, used: b.at })
}

/// `1234.5`: four digits, a point, digits, and no second point: a number of seconds, not a date.
fn is_decimal_number(b: &Bytes) -> bool {
    b.ahead(4) == Some(b'.') && {
        let rest = &b.text[b.at + 5..];
        let digits = rest.iter().take_while(|c| c.is_ascii_digit()).count();
        rest.get(digits) != Some(&b'.')
    }
}

fn parse_unix(b: &mut Bytes, negative: bool, run: usize, fraction: bool) -> Option<Parsed> {
    if run < 5 && !fraction || run > 19 {
        return None;
    }
    let (value, _) = b.digits(19);
    let value = i64::try_from(value).ok()?;
    let (mut seconds, mut nanos) = if fraction { split_magnitude(value) } else { (value, 0) };
    if fraction && b.take(b'.') {
        nanos = read_nanos(b);
    }
    if negative {
        seconds = -seconds - i64::from(nanos > 0);
        nanos = if nanos > 0 { 1_000_000_000 - nanos } else { 0 };
    }
    Some(Parsed { seconds, nanos, used: b.at })
}

/// A whole number as a time: seconds, milliseconds, microseconds or nanoseconds by its magnitude. Seconds reach to the year
/// 5138 (eleven digits); the present in milliseconds has thirteen.
pub fn split_magnitude(value: i64) -> (i64, u32) {
    let per_second = match value.unsigned_abs() {
        ..100_000_000_000 => return (value, 0),
        100_000_000_000..100_000_000_000_000 => 1_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000_000,
        _ => 1_000_000_000,
    };
    (value.div_euclid(per_second), (value.rem_euclid(per_second) * (1_000_000_000 / per_second)) as u32)
}

/// Digits after the point as nanoseconds; digits past the ninth are read and dropped.
fn read_nanos(b: &mut Bytes) -> u32 {
    let (value, n) = b.digits(9);
    b.at += b.count_digits();
    value as u32 * 10u32.pow(9 - n as u32)
}

fn read_offset(b: &mut Bytes) -> Option<i64> {
    if b.take(b'Z') {
        return Some(0);
    }
    let sign = match b.peek()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let start = b.at;
    b.at += 1;
    let (hours, h) = b.digits(2);
    b.take(b':');
    let (minutes, m) = b.digits(2);
    if h != 2 || m != 2 || hours > 18 || minutes > 59 {
        b.at = start;
        return None;
    }
    Some(sign * (hours as i64 * 3_600 + minutes as i64 * 60))
}

/// What best effort has gathered so far.
#[derive(Default)]
struct Gathered {
    year: Option<u64>,
    month: Option<u64>,
    day: Option<u64>,
    hour: Option<u64>,
    minute: u64,
    second: u64,
    nanos: u32,
    pm: Option<bool>,
    offset: Option<i64>,
}

/// Why best effort gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BestEffortError {
    /// The text is no time.
    NotATime,
    /// A fraction of more than 18 digits.
    FractionTooLong,
}

/// The best-effort form: dates and times of most shapes in any order, with names of months, AM/PM and zones; `us` reads
/// `01/02` as the second of January. The whole text must be used, spaces at the ends aside.
pub fn parse_best_effort(text: &[u8], us: bool, local: &LocalTime) -> Result<Parsed, BestEffortError> {
    let mut b = Bytes { text, at: 0 };
    let mut g = Gathered::default();
    let fail = Err(BestEffortError::NotATime);
    while let Some(c) = b.peek() {
        match c {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => b.at += 1,
            b'0'..=b'9' => {
                if let Some(done) = gather_number(&mut b, &mut g, us, text)? {
                    return Ok(done);
                }
            }
            b'+' | b'-' if g.hour.is_some() => {
                let Some(offset) = loose_offset(&mut b) else { return fail };
                g.offset = Some(offset);
            }
            b'-' if g.day.is_some() || g.month.is_some() => b.at += 1,
            _ if c.is_ascii_alphabetic() => {
                if gather_word(&mut b, &mut g).is_none() {
                    return fail;
                }
            }
            _ => return fail,
        }
    }
    finish(&g, text.len(), local).ok_or(BestEffortError::NotATime)
}

fn finish(g: &Gathered, used: usize, local: &LocalTime) -> Option<Parsed> {
    if g.year.is_none() && g.month.is_none() && g.day.is_none() && g.hour.is_none() {
        return None;
    }
    let (year, month, day) = (g.year.unwrap_or(2000), g.month.unwrap_or(1), g.day.unwrap_or(1));
    let hour = match (g.pm, g.hour.unwrap_or(0)) {
        (Some(_), 13..) => return None,
        (Some(false), 12) => 0,
        (Some(true), h) if h < 12 => h + 12,
        (_, h) => h,
    };
    if !(1..=12).contains(&month) || day == 0 || hour > 24 || g.minute > 59 || g.second > 60 {
        return None;
    }
    let year = if year < 100 { if year >= 70 { 1900 + year } else { 2000 + year } } else { year };
    if day > u64::from(days_in_month(year as i32, month as u8)) {
        return None;
    }
    let day_number = i64::from(days_from_civil(year.min(9_999) as i32, month as u8, day as i32));
    let wall = day_number * DAY_SECONDS + (hour * 3_600 + g.minute * 60 + g.second) as i64;
    let seconds = match g.offset {
        Some(offset) => wall - offset,
        None => local.to_utc(wall),
    };
    Some(Parsed { seconds, nanos: g.nanos, used })
}

/// A run of digits and what hangs on it. `Some` when the number was the whole time.
fn gather_number(b: &mut Bytes, g: &mut Gathered, us: bool, text: &[u8]) -> Result<Option<Parsed>, BestEffortError> {
    let fail = Err(BestEffortError::NotATime);
    let run = b.count_digits();
    let start = b.at;
    let (value, _) = b.digits(19);
    let unix = |seconds: u64, nanos: u32, b: &Bytes| Some(Parsed { seconds: seconds as i64, nanos, used: b.at });
    match run {
        9 | 10 if g.year.is_none() => {
            let mut nanos = 0;
            if b.peek() == Some(b'.') && b.ahead(1).is_some_and(|c| c.is_ascii_digit()) {
                b.at += 1;
                nanos = long_fraction(b)?;
            }
            let rest = text[b.at..].iter().all(u8::is_ascii_whitespace);
            if !rest {
                return fail;
            }
            b.at = text.len();
            return Ok(unix(value, nanos, b));
        }
        13 | 16 | 19 if g.year.is_none() && start == text.iter().take_while(|c| c.is_ascii_whitespace()).count() => {
            let per = 10u64.pow(run as u32 - 10);
            if !text[b.at..].iter().all(u8::is_ascii_whitespace) {
                return fail;
            }
            b.at = text.len();
            return Ok(unix(value / per, (value % per * (1_000_000_000 / per)) as u32, b));
        }
        14 => {
            (g.year, g.month, g.day) =
                (Some(value / 10_000_000_000), Some(value / 100_000_000 % 100), Some(value / 1_000_000 % 100));
            (g.hour, g.minute, g.second) = (Some(value / 10_000 % 100), value / 100 % 100, value % 100);
            fraction_after(b, g)?;
        }
        12 if g.year.is_none() => {
            (g.year, g.month, g.day) =
                (Some(value / 100_000_000), Some(value / 1_000_000 % 100), Some(value / 10_000 % 100));
            (g.hour, g.minute) = (Some(value / 100 % 100), value % 100);
        }
        8 if g.year.is_none() => {
            (g.year, g.month, g.day) = (Some(value / 10_000), Some(value / 100 % 100), Some(value % 100))
        }
        6 if g.year.is_none() && g.month.is_none() => (g.year, g.month) = (Some(value / 100), Some(value % 100)),
        6 if g.hour.is_none() => {
            (g.hour, g.minute, g.second) = (Some(value / 10_000), value / 100 % 100, value % 100);
            fraction_after(b, g)?;
        }
        4 if g.year.is_none() => {
            g.year = Some(value);
            if matches!(b.peek(), Some(b'-' | b'/' | b'.' | b':')) && g.month.is_none() {
                let separator = b.peek();
                b.at += 1;
                return year_first(b, g, separator);
            }
        }
        4 if g.hour.is_none() => (g.hour, g.minute) = (Some(value / 100), value % 100),
        1 | 2 => return short_number(b, g, us, value),
        _ => return fail,
    }
    Ok(None)
}

/// After `YYYY-`: a month and a day, in numbers or with the month's name.
fn year_first(b: &mut Bytes, g: &mut Gathered, separator: Option<u8>) -> Result<Option<Parsed>, BestEffortError> {
    let fail = Err(BestEffortError::NotATime);
    if b.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
        if gather_word(b, g).is_none() || g.month.is_none() {
            return fail;
        }
    } else {
        let (month, n) = b.digits(2);
        if n == 0 || b.peek().is_some_and(|c| c.is_ascii_digit()) {
            return fail;
        }
        g.month = Some(month);
    }
    if b.peek() == separator && b.ahead(1).is_some_and(|c| c.is_ascii_digit()) {
        b.at += 1;
        let (day, _) = b.digits(2);
        if b.peek().is_some_and(|c| c.is_ascii_digit()) {
            return fail;
        }
        g.day = Some(day);
    }
    Ok(None)
}

/// One or two digits: an hour, a day, or the start of `DD/MM/YYYY`.
fn short_number(b: &mut Bytes, g: &mut Gathered, us: bool, value: u64) -> Result<Option<Parsed>, BestEffortError> {
    let fail = Err(BestEffortError::NotATime);
    match b.peek() {
        Some(b':') if g.hour.is_none() => {
            b.at += 1;
            let (minute, n) = b.digits(2);
            if n == 0 {
                return fail;
            }
            (g.hour, g.minute) = (Some(value), minute);
            if b.take(b':') {
                let (second, n) = b.digits(2);
                if n == 0 {
                    return fail;
                }
                g.second = second;
                fraction_after(b, g)?;
            }
            Ok(None)
        }
        Some(separator @ (b'/' | b'.' | b'-')) if g.day.is_none() && (g.month.is_none() || g.year.is_none()) => {
            if g.month.is_some() && g.year.is_none() {
                // `Aug/18-2018` never comes here; `18-2018` after a month does.
                g.day = Some(value);
                b.at += 1;
                return Ok(None);
            }
            b.at += 1;
            if b.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
                g.day = Some(value);
                if gather_word(b, g).is_none() || g.month.is_none() {
                    return fail;
                }
            } else {
                let (second, n) = b.digits(2);
                if n == 0 {
                    return fail;
                }
                (g.day, g.month) = if us { (Some(second), Some(value)) } else { (Some(value), Some(second)) };
                if separator == b'.' && b.peek() != Some(b'.') {
                    return fail;
                }
            }
            if b.peek() == Some(separator) && b.ahead(1).is_some_and(|c| c.is_ascii_digit()) {
                b.at += 1;
                let run = b.count_digits();
                let (year, _) = b.digits(4);
                if !matches!(run, 2 | 4) {
                    return fail;
                }
                g.year = Some(if run == 2 && year < 70 {
                    2000 + year
                } else if run == 2 {
                    1900 + year
                } else {
                    year
                });
            }
            Ok(None)
        }
        _ if g.day.is_none() => {
            g.day = Some(value);
            Ok(None)
        }
        // `11 pm`.
        _ if g.hour.is_none() && (g.month.is_some() || g.year.is_some()) => {
            g.hour = Some(value);
            Ok(None)
        }
        _ => fail,
    }
}

fn fraction_after(b: &mut Bytes, g: &mut Gathered) -> Result<(), BestEffortError> {
    if matches!(b.peek(), Some(b'.' | b',')) && b.ahead(1).is_some_and(|c| c.is_ascii_digit()) {
        b.at += 1;
        g.nanos = long_fraction(b)?;
    }
    Ok(())
}

fn long_fraction(b: &mut Bytes) -> Result<u32, BestEffortError> {
    // More digits than 64 bits hold are a mistake in the data, not a precise time.
    const DIGITS_MAX: usize = 18;
    if b.count_digits() > DIGITS_MAX {
        return Err(BestEffortError::FractionTooLong);
    }
    Ok(read_nanos(b))
}

/// `+03`, `+0300`, `+03:00`.
fn loose_offset(b: &mut Bytes) -> Option<i64> {
    let sign = if b.peek()? == b'-' { -1 } else { 1 };
    b.at += 1;
    let (hours, h) = b.digits(2);
    b.take(b':');
    let (minutes, m) = b.digits(2);
    if h == 0 || m == 1 || hours > 18 || minutes > 59 {
        return None;
    }
    Some(sign * (hours as i64 * 3_600 + minutes as i64 * 60))
}

fn gather_word(b: &mut Bytes, g: &mut Gathered) -> Option<()> {
    let start = b.at;
    while b.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
        b.at += 1;
    }
    let word = b.text[start..b.at].to_ascii_lowercase();
    match word.as_slice() {
        b"t" if g.day.is_some() || g.year.is_some() => return Some(()),
        b"z" | b"utc" | b"gmt" => {
            // `GMT+3`: the sign that follows is read as an offset of its own.
            g.offset = Some(0);
            if g.hour.is_none() {
                g.hour = Some(0);
            }
            return Some(());
        }
        b"msk" => {
            g.offset = Some(3 * 3_600);
            return Some(());
        }
        b"msd" => {
            g.offset = Some(4 * 3_600);
            return Some(());
        }
        b"am" | b"pm" => {
            g.hour?;
            g.pm = Some(word == b"pm");
            return Some(());
        }
        _ => {}
    }
    if let Some(month) = month_of(&word) {
        g.month = Some(month);
        return Some(());
    }
    is_weekday(&word).then_some(())
}

pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// From Monday.
pub const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The number of a month by the first three letters or more of its lower-case name.
pub fn month_of(word: &[u8]) -> Option<u64> {
    let at = MONTHS.iter().position(|m| word.len() >= 3 && m.to_ascii_lowercase().as_bytes().starts_with(word))?;
    Some(at as u64 + 1)
}

fn is_weekday(word: &[u8]) -> bool {
    WEEKDAYS.iter().any(|d| word.len() >= 3 && d.to_ascii_lowercase().as_bytes().starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Zone;

    fn shown(parsed: Option<Parsed>) -> String {
        let Some(p) = parsed else { return "error".to_string() };
        let mut out = Vec::new();
        write_wall(p.seconds, b' ', &mut out);
        if p.nanos > 0 {
            out.push(b'.');
            write_fraction(p.nanos.into(), 9, &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn basic_form() {
        let utc = LocalTime::new(Zone::UTC);
        for (text, fraction, expected, rest) in [
            ("2023-01-02 03:04:05", false, "2023-01-02 03:04:05", ""),
            ("2023-01-02T03:04:05Z", false, "2023-01-02 03:04:05", ""),
            ("2023-01-02 03:04:05+02:00", false, "2023-01-02 01:04:05", ""),
            ("2023-01-02", false, "2023-01-02 00:00:00", ""),
            ("1648804224", false, "2022-04-01 09:10:24", ""),
            ("2023-01-02 03:04:05.5", true, "2023-01-02 03:04:05.500000000", ""),
            ("2023-01-02 03:04:05.5Z", true, "2023-01-02 03:04:05.500000000", ""),
            ("2023-01-02 03:04:05.5-02:00", true, "2023-01-02 05:04:05.500000000", ""),
            ("2023-01-02 03:04:05.5", false, "2023-01-02 03:04:05", ".5"),
            ("1640649600123", true, "2021-12-28 00:00:00.123000000", ""),
            ("-1", true, "1969-12-31 23:59:59", ""),
            ("0000-00-00 00:00:00", true, "1970-01-01 00:00:00", ""),
            ("9999-01-01 00:00:00", true, "2299-12-31 23:59:59", ""),
            ("", false, "error", ""),
            ("abc", false, "error", ""),
        ] {
            let parsed = parse_basic(text.as_bytes(), fraction, &utc);
            assert_eq!(shown(parsed), expected, "{text}");
            if let Some(p) = parsed {
                assert_eq!(&text[p.used..], rest, "{text}");
            }
        }
    }

    #[test]
    fn best_effort_form() {
        let utc = LocalTime::new(Zone::UTC);
        for (text, expected) in [
            ("Thu, 18 Aug 2018 07:22:16 GMT", "2018-08-18 07:22:16"),
            ("2020-05-14T03:37:03.253184Z", "2020-05-14 03:37:03.253184000"),
            ("2020-01-01 11:01:01 pm", "2020-01-01 23:01:01"),
            ("2020-01-01 12:01:01 am", "2020-01-01 00:01:01"),
            ("01:01:01", "2000-01-01 01:01:01"),
            ("20200807", "2020-08-07 00:00:00"),
            ("100000000", "1973-03-03 09:46:40"),
            ("1596752940", "2020-08-06 22:29:00"),
            ("1640649600123", "2021-12-28 00:00:00.123000000"),
            ("23/10/2020 12:12:57", "2020-10-23 12:12:57"),
            ("2020-01-02 03:04:05 +0300", "2020-01-02 00:04:05"),
            ("10 Jun 2019", "2019-06-10 00:00:00"),
            ("Jun 10 2019", "2019-06-10 00:00:00"),
            ("20100", "error"),
            ("0100:0100:0000", "error"),
            ("x", "error"),
            ("", "error"),
            ("   ", "error"),
            ("2.55", "error"),
            ("<Empty>", "error"),
        ] {
            assert_eq!(shown(parse_best_effort(text.as_bytes(), false, &utc).ok()), expected, "{text}");
        }
        assert_eq!(shown(parse_best_effort(b"10/23/2020 12:12:57", true, &utc).ok()), "2020-10-23 12:12:57");
        let long = parse_best_effort(b"2020-05-14T03:37:03.253184012345678910111213141516171819Z", false, &utc);
        assert_eq!(long, Err(BestEffortError::FractionTooLong));
    }

    #[test]
    fn dates() {
        for (text, expected) in [
            ("2020-12-24", Some((18_620, 10))),
            ("2020-1-2", Some((18_263, 8))),
            ("20201224", Some((18_620, 8))),
            ("0000-00-00", Some((DATE32_DAY_MIN, 10))),
            ("9999-01-01", Some((DATE32_DAY_MAX, 10))),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(parse_date(text.as_bytes()), expected, "{text}");
        }
    }
}
