//! Times by patterns: MySQL's `%Y-%m-%d` and Joda's `yyyy-MM-dd`, to text and back.
//!
//! In: a constant pattern, read once into items. Out: text, or the time that a text of that shape tells.

use super::arith::timestamps;
use super::part::{Moment, iso_week, iso_year};
use super::times::{Times, time_argument};
use crate::call::{ArgInfo, BindContext, BoundCall};
use crate::registry::Registry;
use crate::scalar::column::texts;
use crate::scalar::convert::function::{add, add_custom, check_count, constant_text, illegal, rowwise, zone_argument};
use arrow::array::*;
use arrow::buffer::NullBuffer;
use hydron_base::{Code, Error, Result};
use hydron_types::datetext::{MONTHS, WEEKDAYS, month_of};
use hydron_types::time::{Civil, DAY_SECONDS, LocalTime, civil_from_days, days_from_civil, days_in_month, weekday};
use hydron_types::{CastOptions, LogicalType, Zone, cast};

pub fn register(registry: &mut Registry) {
    for (name, joda) in [("format_datetime", false), ("format_datetime_in_joda_syntax", true)] {
        add(registry, name, move |cx: &BindContext, args: &[ArgInfo]| {
            check_count(name, args, 2..=3)?;
            let (_, zone) = time_argument(name, args, 0, 2, cx.zone)?;
            let text = constant_text(name, args, 1)?;
            let pattern = if joda { Pattern::joda(text)? } else { Pattern::percent(text)? };
            let ty = args[0].ty.clone();
            let scale = if let LogicalType::DateTime64(scale, _) = ty.bare() { *scale } else { 0 };
            let pattern = Pattern { scale, ..pattern };
            Ok(rowwise(LogicalType::String, move |arrays: &[ArrayRef], rows| {
                pattern.write_all(&Times::new(&arrays[0], &ty, zone), rows)
            }))
        });
    }
    registry.add_alias("DATE_FORMAT", "format_datetime");
    registry.add_alias("date_format", "format_datetime");
    registry.fold_case("date_format");
    for (base, joda) in [("parse_datetime", false), ("parse_datetime_in_joda_syntax", true)] {
        for (suffix, failure) in [("", Failure::Error), ("_or_null", Failure::Null), ("_or_zero", Failure::Zero)] {
            let name = format!("{base}{suffix}");
            let function = name.clone();
            let bind = move |cx: &BindContext, args: &[ArgInfo]| bind_parse(cx, &function, joda, failure, args);
            if failure == Failure::Null { add_custom(registry, &name, bind) } else { add(registry, &name, bind) }
        }
    }
    registry.add_alias("str_to_date", "parse_datetime");
    registry.fold_case("str_to_date");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Failure {
    Error,
    Null,
    Zero,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Era,
    Century,
    Year,
    YearOfCentury,
    IsoYear,
    IsoYearOfCentury,
    Quarter,
    Month,
    MonthShort,
    MonthName,
    Day,
    DayOfYear,
    /// 1 (Monday) to 7.
    Weekday,
    /// 0 (Sunday) to 6.
    WeekdayFromSunday,
    WeekdayShort,
    WeekdayName,
    IsoWeek,
    /// 0 to 23.
    Hour,
    /// 1 to 24.
    HourFromOne,
    /// 1 to 12.
    HalfDayHour,
    /// 0 to 11.
    HalfDayHourFromZero,
    HalfDay,
    Minute,
    Second,
    Fraction,
    Offset,
    ZoneName,
}

#[derive(Clone, Debug)]
enum Item {
    Text(Vec<u8>),
    /// A field, the least number of digits, and what fills them.
    Field(Field, usize, u8),
}

/// A pattern as items.
#[derive(Clone, Debug)]
pub struct Pattern {
    items: Vec<Item>,
    zone_name: bool,
    /// Digits of the fraction that a datetime64 prints.
    scale: u8,
}

impl Pattern {
    /// Reads MySQL's syntax. Errors: BAD_ARGUMENTS (36).
    pub fn percent(text: &str) -> Result<Pattern> {
        use Field as F;
        let mut items = Vec::new();
        let mut literal = Vec::new();
        let mut chars = text.bytes();
        while let Some(b) = chars.next() {
            if b != b'%' {
                literal.push(b);
                continue;
            }
            let code = chars
                .next()
                .ok_or_else(|| Error::bad_arguments(format!("the pattern '{text}' ends with a single %")))?;
            let fields: &[(Field, usize, u8, &str)] = match code {
                b'a' => &[(F::WeekdayShort, 0, b'0', "")],
                b'b' => &[(F::MonthShort, 0, b'0', "")],
                b'C' => &[(F::Century, 2, b'0', "")],
                b'c' | b'm' => &[(F::Month, 2, b'0', "")],
                b'd' => &[(F::Day, 2, b'0', "")],
                b'D' => &[(F::Month, 2, b'0', "/"), (F::Day, 2, b'0', "/"), (F::YearOfCentury, 2, b'0', "")],
                b'e' => &[(F::Day, 2, b' ', "")],
                b'F' => &[(F::Year, 4, b'0', "-"), (F::Month, 2, b'0', "-"), (F::Day, 2, b'0', "")],
                b'f' => &[(F::Fraction, 0, b'0', "")],
                b'G' => &[(F::IsoYear, 4, b'0', "")],
                b'g' => &[(F::IsoYearOfCentury, 2, b'0', "")],
                b'H' => &[(F::Hour, 2, b'0', "")],
                b'k' => &[(F::Hour, 2, b'0', "")],
                b'h' | b'I' => &[(F::HalfDayHour, 2, b'0', "")],
                b'l' => &[(F::HalfDayHour, 2, b'0', "")],
                b'i' => &[(F::Minute, 2, b'0', "")],
                b'M' => &[(F::MonthName, 0, b'0', "")],
                b'j' => &[(F::DayOfYear, 3, b'0', "")],
                b'p' => &[(F::HalfDay, 0, b'0', "")],
                b'Q' => &[(F::Quarter, 1, b'0', "")],
                b'R' => &[(F::Hour, 2, b'0', ":"), (F::Minute, 2, b'0', "")],
                b'r' => &[(F::HalfDayHour, 2, b'0', ":"), (F::Minute, 2, b'0', " "), (F::HalfDay, 0, b'0', "")],
                b'S' | b's' => &[(F::Second, 2, b'0', "")],
                b'T' => &[(F::Hour, 2, b'0', ":"), (F::Minute, 2, b'0', ":"), (F::Second, 2, b'0', "")],
                b'u' => &[(F::Weekday, 1, b'0', "")],
                b'V' => &[(F::IsoWeek, 2, b'0', "")],
                b'W' => &[(F::WeekdayName, 0, b'0', "")],
                b'w' => &[(F::WeekdayFromSunday, 1, b'0', "")],
                b'y' => &[(F::YearOfCentury, 2, b'0', "")],
                b'Y' => &[(F::Year, 4, b'0', "")],
                b'z' => &[(F::Offset, 0, b'0', "")],
                b'n' => &[],
                b't' => &[],
                b'%' => &[],
                other => {
                    return Err(Error::bad_arguments(format!(
                        "the pattern '{text}' has %{}, which stands for nothing",
                        other as char
                    )));
                }
            };
            match code {
                b'n' => literal.push(b'\n'),
                b't' => literal.push(b'\t'),
                b'%' => literal.push(b'%'),
                _ => {}
            }
            for (field, width, fill, after) in fields {
                if !literal.is_empty() {
                    items.push(Item::Text(std::mem::take(&mut literal)));
                }
                items.push(Item::Field(*field, *width, *fill));
                literal.extend_from_slice(after.as_bytes());
            }
        }
        if !literal.is_empty() {
            items.push(Item::Text(literal));
        }
        Ok(Pattern { items, zone_name: false, scale: 0 })
    }

    /// Reads Joda's syntax: runs of letters, texts in single quotes. Errors: BAD_ARGUMENTS (36), NOT_IMPLEMENTED (48).
    pub fn joda(text: &str) -> Result<Pattern> {
        use Field as F;
        let bytes = text.as_bytes();
        let mut items: Vec<Item> = Vec::new();
        let mut zone_name = false;
        let mut at = 0;
        let push_text = |items: &mut Vec<Item>, more: &[u8]| match items.last_mut() {
            Some(Item::Text(text)) => text.extend_from_slice(more),
            _ => items.push(Item::Text(more.to_vec())),
        };
        while at < bytes.len() {
            let b = bytes[at];
            if b == b'\'' {
                if bytes.get(at + 1) == Some(&b'\'') {
                    push_text(&mut items, b"'");
                    at += 2;
                    continue;
                }
                at += 1;
                let mut literal = Vec::new();
                loop {
                    match bytes.get(at) {
                        None => {
                            return Err(Error::bad_arguments(format!(
                                "the pattern '{text}' has a quote that is not closed"
                            )));
                        }
                        Some(b'\'') if bytes.get(at + 1) == Some(&b'\'') => {
                            literal.push(b'\'');
                            at += 2;
                        }
                        Some(b'\'') => break,
                        Some(b) => {
                            literal.push(*b);
                            at += 1;
                        }
                    }
                }
                at += 1;
                push_text(&mut items, &literal);
                continue;
            }
            if !b.is_ascii_alphabetic() {
                push_text(&mut items, &[b]);
                at += 1;
                continue;
            }
            let width = bytes[at..].iter().take_while(|x| **x == b).count();
            at += width;
            let field = match b {
                b'G' => F::Era,
                b'C' => F::Century,
                b'Y' | b'y' if width == 2 => F::YearOfCentury,
                b'Y' | b'y' => F::Year,
                b'x' if width == 2 => F::IsoYearOfCentury,
                b'x' => F::IsoYear,
                b'w' => F::IsoWeek,
                b'e' => F::Weekday,
                b'E' if width >= 4 => F::WeekdayName,
                b'E' => F::WeekdayShort,
                b'D' => F::DayOfYear,
                b'M' if width >= 4 => F::MonthName,
                b'M' if width == 3 => F::MonthShort,
                b'M' => F::Month,
                b'd' => F::Day,
                b'a' => F::HalfDay,
                b'K' => F::HalfDayHourFromZero,
                b'h' => F::HalfDayHour,
                b'H' => F::Hour,
                b'k' => F::HourFromOne,
                b'm' => F::Minute,
                b's' => F::Second,
                b'z' => {
                    zone_name = true;
                    F::ZoneName
                }
                b'S' => F::Fraction,
                _ => return Err(Error::not_implemented(format!("'{}' in a pattern of Joda's syntax", b as char))),
            };
            items.push(Item::Field(field, width, b'0'));
        }
        Ok(Pattern { items, zone_name, scale: 0 })
    }

    /// The texts of all rows.
    pub fn write_all(&self, times: &Times, rows: usize) -> Result<ArrayRef> {
        let zone = if self.zone_name { times.local.zone().0.name() } else { "" };
        texts(rows, |row, text| {
            let moment = Moment::of(times, row);
            for item in &self.items {
                match item {
                    Item::Text(literal) => text.extend_from_slice(literal),
                    Item::Field(Field::ZoneName, ..) => text.extend_from_slice(zone.as_bytes()),
                    Item::Field(Field::Offset, ..) => write_offset(times.local.offset_at(moment.utc), text),
                    Item::Field(field, width, fill) => self.write(*field, *width, *fill, moment, text),
                }
            }
        })
    }

    fn write(&self, field: Field, width: usize, fill: u8, m: Moment, out: &mut Vec<u8>) {
        use Field as F;
        let Civil { year, month, day } = civil_from_days(m.day);
        let number = match field {
            F::Era if width >= 4 => return out.extend_from_slice(b"Anno Domini"),
            F::Era => return out.extend_from_slice(b"AD"),
            F::MonthShort => return out.extend_from_slice(&MONTHS[usize::from(month - 1)].as_bytes()[..3]),
            F::MonthName => return out.extend_from_slice(MONTHS[usize::from(month - 1)].as_bytes()),
            F::WeekdayShort => {
                return out.extend_from_slice(&WEEKDAYS[usize::from(weekday(m.day) - 1)].as_bytes()[..3]);
            }
            F::WeekdayName => return out.extend_from_slice(WEEKDAYS[usize::from(weekday(m.day) - 1)].as_bytes()),
            F::HalfDay => return out.extend_from_slice(if m.hour() < 12 { b"AM" } else { b"PM" }),
            F::Fraction if width > 0 => {
                let digits = width.min(9) as u8;
                let value = m.nanos as u64 / 10u64.pow(9 - u32::from(digits));
                return hydron_types::datetext::write_fraction(value, digits, out);
            }
            F::Fraction => {
                let digits = if self.scale == 0 { 6 } else { self.scale };
                let value = m.nanos as u64 / 10u64.pow(9 - u32::from(digits));
                return hydron_types::datetext::write_fraction(value, digits, out);
            }
            F::Offset | F::ZoneName => return,
            F::Century => i64::from(year / 100),
            F::Year => year.into(),
            F::YearOfCentury => (year % 100).into(),
            F::IsoYear => iso_year(m.day).into(),
            F::IsoYearOfCentury => (iso_year(m.day) % 100).into(),
            F::Quarter => i64::from((month - 1) / 3 + 1),
            F::Month => month.into(),
            F::Day => day.into(),
            F::DayOfYear => m.day_of_year().into(),
            F::Weekday => weekday(m.day).into(),
            F::WeekdayFromSunday => i64::from(weekday(m.day) % 7),
            F::IsoWeek => iso_week(m.day),
            F::Hour => m.hour(),
            F::HourFromOne => (m.hour() + 23) % 24 + 1,
            F::HalfDayHour => (m.hour() + 11) % 12 + 1,
            F::HalfDayHourFromZero => m.hour() % 12,
            F::Minute => m.minute(),
            F::Second => m.second(),
        };
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(number).as_bytes();
        out.extend(std::iter::repeat_n(fill, width.saturating_sub(digits.len())));
        out.extend_from_slice(digits);
    }

    /// The UTC second that a whole text tells; `None` when it has another shape or is no time.
    fn parse(&self, text: &[u8], joda: bool, local: &LocalTime) -> Option<i64> {
        use Field as F;
        let (mut year, mut month, mut day, mut day_of_year) = (1970, 1u64, 1u64, None);
        let (mut hour, mut minute, mut second, mut pm, mut offset) = (0u64, 0u64, 0u64, None, None);
        let mut rest = text;
        for item in &self.items {
            let (field, width) = match item {
                Item::Text(literal) => {
                    rest = rest.strip_prefix(literal.as_slice())?;
                    continue;
                }
                Item::Field(field, width, _) => (*field, *width),
            };
            let mut number = |default_max: usize| -> Option<u64> {
                while !joda && rest.first() == Some(&b' ') {
                    rest = &rest[1..];
                }
                let max = if joda { default_max.max(width) } else { default_max };
                let n = rest.iter().take(max).take_while(|b| b.is_ascii_digit()).count();
                let value = std::str::from_utf8(&rest[..n]).ok()?.parse().ok()?;
                rest = &rest[n..];
                Some(value)
            };
            match field {
                F::Year | F::IsoYear => year = number(4)?,
                F::YearOfCentury | F::IsoYearOfCentury => {
                    let short = number(2)?;
                    year = if short < 70 { 2000 + short } else { 1900 + short };
                }
                F::Month => month = number(2)?,
                F::Day => day = number(2)?,
                F::DayOfYear => day_of_year = Some(number(3)?),
                F::Hour => hour = number(2).filter(|h| *h < 24)?,
                F::HourFromOne => hour = number(2).filter(|h| (1..=24).contains(h))? % 24,
                F::HalfDayHour => hour = number(2).filter(|h| (1..=12).contains(h))? % 12,
                F::HalfDayHourFromZero => hour = number(2).filter(|h| *h < 12)?,
                F::Minute => minute = number(2).filter(|m| *m < 60)?,
                F::Second => second = number(2).filter(|s| *s < 60)?,
                F::Century | F::Weekday | F::WeekdayFromSunday | F::IsoWeek | F::Quarter => {
                    number(2)?;
                }
                F::Fraction => {
                    number(9)?;
                }
                F::MonthShort | F::MonthName | F::WeekdayShort | F::WeekdayName | F::HalfDay | F::Era => {
                    let n = rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
                    let word = rest[..n].to_ascii_lowercase();
                    let short = matches!(field, F::MonthShort | F::WeekdayShort);
                    let taken = if short { n.min(3) } else { n };
                    match field {
                        F::MonthShort | F::MonthName => month = month_of(&word[..taken])?,
                        F::HalfDay => {
                            pm = Some(match word.as_slice() {
                                b"am" => false,
                                b"pm" => true,
                                _ => return None,
                            });
                        }
                        F::WeekdayShort | F::WeekdayName => {
                            let known = WEEKDAYS
                                .iter()
                                .any(|w| taken >= 3 && w.to_ascii_lowercase().as_bytes().starts_with(&word[..taken]));
                            known.then_some(())?;
                        }
                        _ => {}
                    }
                    rest = &rest[taken..];
                }
                F::Offset => {
                    let sign = match rest.first()? {
                        b'+' => 1,
                        b'-' => -1,
                        _ => return None,
                    };
                    let digits = rest.get(1..5).filter(|d| d.iter().all(u8::is_ascii_digit))?;
                    let value: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
                    offset = Some(sign * (value / 100 * 3_600 + value % 100 * 60));
                    rest = &rest[5..];
                }
                F::ZoneName => return None,
            }
        }
        if !rest.is_empty() || !(1970..=2106).contains(&year) || !(1..=12).contains(&month) {
            return None;
        }
        if pm == Some(true) && hour < 12 {
            hour += 12;
        }
        let year = year as i32;
        let days = match day_of_year {
            Some(n @ 1..=366) => days_from_civil(year, 1, 1) + n as i32 - 1,
            Some(_) => return None,
            None if day == 0 || day > u64::from(days_in_month(year, month as u8)) => return None,
            None => days_from_civil(year, month as u8, day as i32),
        };
        let wall = i64::from(days) * DAY_SECONDS + (hour * 3_600 + minute * 60 + second) as i64;
        let utc = offset.map_or_else(|| local.to_utc(wall), |o| wall - o);
        (0..=i64::from(u32::MAX)).contains(&utc).then_some(utc)
    }
}

fn write_offset(offset: i32, out: &mut Vec<u8>) {
    let minutes = offset.unsigned_abs() / 60;
    out.extend_from_slice(
        format!("{}{:02}{:02}", if offset < 0 { '-' } else { '+' }, minutes / 60, minutes % 60).as_bytes(),
    );
}

fn bind_parse(cx: &BindContext, name: &str, joda: bool, failure: Failure, args: &[ArgInfo]) -> Result<BoundCall> {
    check_count(name, args, if joda { 2..=3 } else { 1..=3 })?;
    if !args[0].ty.bare().is_string_like() && !matches!(args[0].ty.bare(), LogicalType::Nothing) {
        return Err(illegal(name, args, 0, "a string"));
    }
    let text = if args.len() > 1 { constant_text(name, args, 1)? } else { "%Y-%m-%d %H:%i:%s" };
    let pattern = if joda { Pattern::joda(text)? } else { Pattern::percent(text)? };
    let named = zone_argument(name, args, 2)?;
    let zone = named.unwrap_or(cx.zone);
    let ty = LogicalType::DateTime(named);
    let result = if failure == Failure::Null { LogicalType::nullable(ty) } else { ty };
    let (from, shape) = (args[0].ty.clone(), text.to_string());
    Ok(rowwise(result, move |arrays: &[ArrayRef], rows| {
        let wide = LogicalType::nullable(LogicalType::String);
        let strings = cast(&arrays[0], &from, &wide, &CastOptions::wrap(Zone::UTC))?;
        let strings = crate::call::downcast::<BinaryArray>(&strings)?;
        let local = LocalTime::new(zone);
        let mut seconds = Vec::with_capacity(rows);
        let mut valid = Vec::with_capacity(rows);
        for value in strings {
            let parsed = value.and_then(|v| pattern.parse(v, joda, &local));
            if let (Some(value), None, Failure::Error) = (value, parsed, failure) {
                let shown = String::from_utf8_lossy(value);
                return Err(Error::new(
                    Code::CANNOT_PARSE_DATETIME,
                    format!("'{shown}' is no time of the shape '{shape}'"),
                ));
            }
            valid.push(parsed.is_some() || (value.is_some() && failure == Failure::Zero));
            seconds.push(parsed.unwrap_or(0));
        }
        Ok(timestamps(seconds, 0, Some(NullBuffer::from(valid))))
    }))
}
