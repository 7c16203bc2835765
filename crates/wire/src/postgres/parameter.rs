//! Parameters `$1`, `$2`, … of a prepared statement, and the literals that take their place.
//!
//! In: the text of a statement; values as a client has bound them, as text or in PostgreSQL's binary form. Out: the text with a
//! literal for each. Promise: a value is never more than one literal; what a type does not allow is an error, told by number.

use super::types::*;
use bytes::{Buf, Bytes};
use hydron_base::{Code, Error, Result};

/// The most that a `Bind` can count.
const PARAMETERS_MAX: u32 = 65_535;

/// Where a statement mentions a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mention {
    pub start: usize,
    pub end: usize,
    /// From 1.
    pub number: u32,
    /// It stands after LIMIT or OFFSET, where nothing but a number can.
    pub is_count: bool,
    /// The type that it is cast to right there; 0: it is not.
    pub cast: u32,
}

/// The mentions in `text`, outside of texts, names and comments. Errors: a number that no parameter has.
pub fn mentions(text: &str) -> Result<Vec<Mention>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let (mut at, mut word) = (0, 0..0);
    while let Some(b) = bytes.get(at) {
        match b {
            b'\'' | b'"' | b'`' => at = after_quoted(bytes, at),
            b'-' if bytes.get(at + 1) == Some(&b'-') => at = after(bytes, at, b"\n"),
            b'/' if bytes.get(at + 1) == Some(&b'*') => at = after(bytes, at + 2, b"*/"),
            b'$' if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => {
                let digits = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
                let end = at + 1 + digits;
                let number = text[at + 1..end].parse().ok().filter(|n| (1..=PARAMETERS_MAX).contains(n));
                let number = number.ok_or_else(|| {
                    Error::new(Code::SYNTAX_ERROR, format!("there is no parameter {}", &text[at..end]))
                })?;
                let before = &bytes[word.clone()];
                let is_count = before.eq_ignore_ascii_case(b"limit") || before.eq_ignore_ascii_case(b"offset");
                found.push(Mention { start: at, end, number, is_count, cast: cast_after(&text[end..]) });
                at = end;
                word = at..at;
            }
            b'$' => at = after_heredoc(bytes, at),
            b if b.is_ascii_alphanumeric() || *b == b'_' || !b.is_ascii() => {
                let part = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$') || !b.is_ascii();
                let length = bytes[at..].iter().take_while(part).count();
                word = at..at + length;
                at += length;
            }
            b if b.is_ascii_whitespace() => at += 1,
            _ => {
                at += 1;
                word = at..at;
            }
        }
    }
    Ok(found)
}

/// The type of `::type` at the start of `text`; 0 where there is none.
fn cast_after(text: &str) -> u32 {
    let Some(name) = text.trim_start().strip_prefix("::") else { return 0 };
    let name = name.trim_start();
    let word = name.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    let end = match name[word..].strip_prefix('(').and_then(|inner| inner.find(')')) {
        Some(close) => word + close + 2,
        None => word,
    };
    hydron_types::parse_type(&name[..end]).map_or(0, |ty| PgType::of(&ty).oid)
}

fn after(bytes: &[u8], from: usize, end: &[u8]) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.windows(end.len()).position(|w| w == end).map_or(bytes.len(), |p| from + p + end.len())
}

fn after_quoted(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let mut at = start + 1;
    while let Some(b) = bytes.get(at) {
        match b {
            b'\\' => at += 2,
            b if *b == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Behind `$tag$ … $tag$`, or behind the `$` where there is none.
fn after_heredoc(bytes: &[u8], start: usize) -> usize {
    let length = bytes[start + 1..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    let open_end = start + length + 2;
    match bytes.get(start..open_end) {
        Some(tag) if tag.last() == Some(&b'$') => match bytes[open_end..].windows(tag.len()).position(|w| w == tag) {
            Some(found) => open_end + found + tag.len(),
            None => open_end,
        },
        _ => start + 1,
    }
}

/// `text` with `literal(mention)` in the place of each.
pub fn replaced(text: &str, mentions: &[Mention], literal: impl Fn(&Mention) -> Result<String>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for mention in mentions {
        out.push_str(&text[from..mention.start]);
        out.push_str(&literal(mention)?);
        from = mention.end;
    }
    out.push_str(&text[from..]);
    Ok(out)
}

/// A value of a type that stands for one which is not known yet.
pub fn sample(oid: u32, unknown: &str) -> String {
    match oid {
        INT2 | INT4 | INT8 | FLOAT4 | FLOAT8 | NUMERIC => "1".to_string(),
        BOOL => "true".to_string(),
        DATE => "to_date32('2000-01-01')".to_string(),
        TIMESTAMP => "to_datetime64('2000-01-01 00:00:00', 6)".to_string(),
        TIMESTAMPTZ => "to_datetime64('2000-01-01 00:00:00', 6, 'UTC')".to_string(),
        UUID => "to_uuid('00000000-0000-0000-0000-000000000000')".to_string(),
        oid if element_of(oid).is_some() => "[]".to_string(),
        _ => quoted(unknown),
    }
}

/// The literal of one value. `oid` 0: the client leaves the type to the server, which takes the value for a text.
///
/// Errors: BAD_ARGUMENTS for a value that its type does not have; NOT_IMPLEMENTED for a type that is not read.
pub fn literal(oid: u32, is_binary: bool, value: Option<&Bytes>, is_count: bool) -> Result<String> {
    let Some(bytes) = value else { return Ok("NULL".to_string()) };
    let value = match is_binary {
        true => of_binary(oid, bytes)?,
        false => {
            let text = std::str::from_utf8(bytes).map_err(|_| wrong(oid, "bytes that are no UTF-8"))?;
            of_text(oid, text)?
        }
    };
    // `limit '10'` is no number here.
    let digits = value.strip_prefix('\'').and_then(|v| v.strip_suffix('\''));
    match digits.filter(|d| is_count && !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit())) {
        Some(digits) => Ok(digits.to_string()),
        None => Ok(value),
    }
}

pub(super) fn of_text(oid: u32, text: &str) -> Result<String> {
    let trimmed = text.trim();
    match oid {
        INT2 | INT4 | INT8 => trimmed.parse::<i64>().map(number).map_err(|_| wrong(oid, text)),
        FLOAT4 | FLOAT8 => trimmed.parse::<f64>().map(float).map_err(|_| wrong(oid, text)),
        NUMERIC => decimal(trimmed).ok_or_else(|| wrong(oid, text)),
        BOOL => match trimmed.to_ascii_lowercase().as_str() {
            "t" | "true" | "1" | "on" | "yes" | "y" => Ok("true".to_string()),
            "f" | "false" | "0" | "off" | "no" | "n" => Ok("false".to_string()),
            _ => Err(wrong(oid, text)),
        },
        DATE => match time_of(trimmed) {
            Some((micros, None)) if micros.rem_euclid(86_400_000_000) == 0 => {
                Ok(date(micros.div_euclid(86_400_000_000)))
            }
            _ => Err(wrong(oid, text)),
        },
        TIMESTAMP => time_of(trimmed).map(|(micros, _)| time(micros, false)).ok_or_else(|| wrong(oid, text)),
        TIMESTAMPTZ => match time_of(trimmed) {
            Some((micros, offset)) => Ok(time(micros - offset.unwrap_or(0) * 1_000_000, true)),
            None => Err(wrong(oid, text)),
        },
        UUID => Ok(format!("to_uuid({})", quoted(trimmed))),
        BYTEA => match trimmed.strip_prefix("\\x").filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())) {
            Some(hex) => Ok(format!("unhex('{hex}')")),
            None => Ok(quoted(text)),
        },
        oid => match element_of(oid) {
            Some(element) => {
                let items = elements(trimmed).ok_or_else(|| wrong(oid, text))?;
                let items = items.iter().map(|item| match item {
                    Some(item) => of_text(element, item),
                    None => Ok("NULL".to_string()),
                });
                Ok(format!("[{}]", items.collect::<Result<Vec<_>>>()?.join(", ")))
            }
            None => Ok(quoted(text)),
        },
    }
}

fn of_binary(oid: u32, bytes: &Bytes) -> Result<String> {
    let mut fields = bytes.clone();
    let size = PgType::of_oid(oid).size;
    if size > 0 && bytes.len() != size as usize {
        return Err(wrong(oid, &format!("{} bytes", bytes.len())));
    }
    let text =
        |bytes: &Bytes| std::str::from_utf8(bytes).map(quoted).map_err(|_| wrong(oid, "bytes that are no UTF-8"));
    match oid {
        BOOL => Ok((fields.get_u8() != 0).to_string()),
        INT2 => Ok(number(fields.get_i16().into())),
        INT4 => Ok(number(fields.get_i32().into())),
        INT8 => Ok(number(fields.get_i64())),
        FLOAT4 => Ok(float(fields.get_f32().into())),
        FLOAT8 => Ok(float(fields.get_f64())),
        DATE => Ok(date(i64::from(fields.get_i32()) + i64::from(EPOCH_DAYS))),
        TIMESTAMP | TIMESTAMPTZ => {
            let micros = fields.get_i64().checked_add(EPOCH_SECONDS * 1_000_000);
            micros.map(|m| time(m, oid == TIMESTAMPTZ)).ok_or_else(|| wrong(oid, "infinity"))
        }
        UUID => Ok(format!("to_uuid('{}')", uuid::Uuid::from_slice(bytes).unwrap_or_default())),
        BYTEA => Ok(format!("unhex('{}')", bytes.iter().map(|b| format!("{b:02x}")).collect::<String>())),
        NUMERIC => numeric(bytes).ok_or_else(|| wrong(oid, "bytes that are no numeric")),
        JSONB if bytes.first() == Some(&1) => text(&bytes.slice(1..)),
        0 | TEXT | VARCHAR | BPCHAR | JSON => text(bytes),
        oid => match element_of(oid) {
            Some(element) => array(element, bytes).unwrap_or_else(|| Err(wrong(oid, "bytes that are no array"))),
            None => Err(Error::not_implemented(format!("a parameter of type {oid} in binary")).hint("send it as text")),
        },
    }
}

fn wrong(oid: u32, value: &str) -> Error {
    Error::bad_arguments(format!("the value of a parameter does not belong to its type {oid}: {value}"))
}

/// In parentheses where it is negative: what stands before it may be a minus.
fn number(value: i64) -> String {
    if value < 0 { format!("({value})") } else { value.to_string() }
}

fn float(value: f64) -> String {
    match value {
        v if v.is_nan() => "nan".to_string(),
        f64::INFINITY => "inf".to_string(),
        f64::NEG_INFINITY => "(-inf)".to_string(),
        // The point keeps it a float.
        v if v < 0.0 => format!("({v:?})"),
        v => format!("{v:?}"),
    }
}

/// Digits with a point, as a decimal of just that many.
fn decimal(text: &str) -> Option<String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || (whole.is_empty() && fraction.is_empty()) {
        // With an exponent it is a float here.
        return text.parse::<f64>().ok().map(float);
    }
    let (whole_digits, scale) = (whole.trim_start_matches('0').len(), fraction.len());
    match whole_digits + scale {
        0..=18 if scale == 0 => text.parse().ok().map(number),
        0..=76 => Some(format!("to_decimal256('{text}', {scale})")),
        _ => None,
    }
}

fn date(days: i64) -> String {
    let mut text = Vec::new();
    write_date(days.clamp(-1_000_000, 1_000_000) as i32, &mut text);
    format!("to_date32('{}')", String::from_utf8_lossy(&text))
}

fn time(micros: i64, is_utc: bool) -> String {
    let mut text = Vec::new();
    write_time(micros, &mut text);
    let zone = if is_utc { ", 'UTC'" } else { "" };
    format!("to_datetime64('{}', 6{zone})", String::from_utf8_lossy(&text))
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' => out.push_str("\\'"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// `2000-01-01[ 00:00:00[.000000][+00[:00[:00]]]]` as microseconds of the clock, and the seconds that it is ahead of UTC.
fn time_of(text: &str) -> Option<(i64, Option<i64>)> {
    let (days, used) = hydron_types::datetext::parse_date(text.as_bytes())?;
    let rest = text[used..].trim_start_matches([' ', 'T', 't']);
    let day = i64::from(days) * 86_400;
    if rest.is_empty() {
        return Some((day * 1_000_000, None));
    }
    let end = rest.find(['+', '-', 'Z', 'z']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(end);
    let (clock, fraction) = clock.trim_end().split_once('.').unwrap_or((clock.trim_end(), ""));
    let seconds = sexagesimal(clock)?;
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let micros = (day + seconds) * 1_000_000 + digits.parse::<i64>().ok().filter(|_| !fraction.starts_with('-'))?;
    let offset = match zone.trim() {
        "" => None,
        "Z" | "z" => Some(0),
        zone => {
            let ahead = sexagesimal(&zone[1..])?;
            Some(if zone.starts_with('-') { -ahead } else { ahead })
        }
    };
    Some((micros, offset))
}

/// Hours, minutes and seconds, of which the latter may lack.
fn sexagesimal(text: &str) -> Option<i64> {
    let mut parts = text.split(':').map(|p| p.parse::<u32>().ok());
    let (hours, minutes, seconds) =
        (parts.next()??, parts.next().unwrap_or(Some(0))?, parts.next().unwrap_or(Some(0))?);
    let is_time = hours <= 24 && minutes < 60 && seconds <= 60 && parts.next().is_none();
    is_time.then(|| i64::from(hours) * 3_600 + i64::from(minutes) * 60 + i64::from(seconds))
}

/// The elements of `{a,"b c",NULL}`; `None` for another text, and for arrays of more than one dimension.
fn elements(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let (mut items, mut chars) = (Vec::new(), inner.chars().peekable());
    if inner.trim().is_empty() {
        return Some(items);
    }
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut item = String::new();
        let is_quoted = chars.next_if_eq(&'"').is_some();
        loop {
            match chars.next() {
                Some('"') if is_quoted => break,
                Some('\\') => item.push(chars.next()?),
                Some('{' | '}') if !is_quoted => return None,
                Some(c) => item.push(c),
                None => return None,
            }
            if !is_quoted && matches!(chars.peek(), None | Some(',')) {
                break;
            }
        }
        let is_null = !is_quoted && item.trim().eq_ignore_ascii_case("null");
        let item = if is_quoted { item } else { item.trim_end().to_string() };
        items.push(Some(item).filter(|_| !is_null));
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        match chars.next() {
            Some(',') => {}
            None => return Some(items),
            Some(_) => return None,
        }
    }
}

/// An array of one dimension; `None` when its bytes end too early.
fn array(element: u32, bytes: &Bytes) -> Option<Result<String>> {
    let mut at = bytes.clone();
    let int = |at: &mut Bytes| (at.len() >= 4).then(|| at.get_i32());
    let dimensions = int(&mut at)?;
    let (_has_nulls, _element) = (int(&mut at)?, int(&mut at)?);
    if dimensions == 0 {
        return Some(Ok("[]".to_string()));
    }
    if dimensions != 1 {
        return Some(Err(Error::not_implemented("an array of several dimensions as a parameter")));
    }
    let (count, _lower) = (int(&mut at)?, int(&mut at)?);
    let mut items = Vec::new();
    for _ in 0..count {
        let length = int(&mut at)?;
        let Ok(length) = usize::try_from(length) else {
            items.push("NULL".to_string());
            continue;
        };
        if at.len() < length {
            return None;
        }
        match of_binary(element, &at.split_to(length)) {
            Ok(item) => items.push(item),
            Err(e) => return Some(Err(e)),
        }
    }
    Some(Ok(format!("[{}]", items.join(", "))))
}

/// Groups of four digits, as a text with a point.
fn numeric(bytes: &Bytes) -> Option<String> {
    let mut at = bytes.clone();
    if at.len() < 8 {
        return None;
    }
    let (count, weight, sign, scale) = (at.get_u16(), at.get_i16(), at.get_u16(), at.get_u16());
    if at.len() != 2 * usize::from(count) || !(-20..=20).contains(&weight) || scale > 76 {
        return None;
    }
    match sign {
        0 | 0x4000 => {}
        0xc000 => return Some("nan".to_string()),
        _ => return None,
    }
    let groups: Vec<u16> = (0..count).map(|_| at.get_u16()).collect();
    let group = |i: i32| usize::try_from(i).ok().and_then(|i| groups.get(i)).copied().unwrap_or(0);
    let mut whole = String::new();
    for i in 0..=i32::from(weight) {
        whole.push_str(&format!("{:04}", group(i)));
    }
    let mut fraction = String::new();
    let mut i = i32::from(weight) + 1;
    while fraction.len() < usize::from(scale) {
        fraction.push_str(&format!("{:04}", group(i)));
        i += 1;
    }
    fraction.truncate(scale.into());
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let minus = if sign == 0x4000 { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    decimal(&format!("{minus}{whole}{point}{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(oid: u32, value: &'static str) -> Result<String> {
        literal(oid, false, Some(&Bytes::from_static(value.as_bytes())), false)
    }

    #[test]
    fn mentions_stand_outside_of_texts() {
        let sql = "select '$1', \"$2\", $x$ $3 $x$, a$4, -- $5\n /* $6 */ $7::int, '\\'$8' limit $9";
        let found: Vec<(u32, bool)> = mentions(sql).unwrap().iter().map(|m| (m.number, m.is_count)).collect();
        assert_eq!(found, [(7, false), (9, true)]);
        let casts: Vec<u32> =
            mentions("$1 :: int64, $2::datetime64(3, 'UTC') + $3").unwrap().iter().map(|m| m.cast).collect();
        assert_eq!(casts, [INT8, TIMESTAMPTZ, 0]);
        assert!(mentions("select $0").is_err() && mentions("select $99999").is_err());
        let found = mentions("$1 or $2").unwrap();
        assert_eq!(replaced("$1 or $2", &found, |m| Ok(format!("<{}>", m.number))).unwrap(), "<1> or <2>");
    }

    #[test]
    fn a_text_is_one_literal_of_its_type() {
        assert_eq!(text(INT4, "-5").unwrap(), "(-5)");
        assert!(text(INT4, "5; drop").is_err());
        assert_eq!(text(0, "it's \\").unwrap(), "'it\\'s \\\\'");
        assert_eq!(text(BOOL, "t").unwrap(), "true");
        assert_eq!(text(NUMERIC, "1.50").unwrap(), "to_decimal256('1.50', 2)");
        assert_eq!(text(NUMERIC, "7").unwrap(), "7");
        assert_eq!(text(DATE, "2020-02-29").unwrap(), "to_date32('2020-02-29')");
        let time = text(TIMESTAMPTZ, "2020-01-01 00:00:00.25+01:30").unwrap();
        assert_eq!(time, "to_datetime64('2019-12-31 22:30:00.25', 6, 'UTC')");
        assert_eq!(text(TIMESTAMP, "2020-01-01T01:02:03").unwrap(), "to_datetime64('2020-01-01 01:02:03', 6)");
        assert_eq!(text(1009, r#"{a,"b,\"",NULL,"NULL"}"#).unwrap(), r#"['a', 'b,"', NULL, 'NULL']"#);
        assert_eq!(text(1007, "{}").unwrap(), "[]");
        assert!(text(1007, "{{1},{2}}").is_err() && text(1007, "{1").is_err());
        let count = literal(0, false, Some(&Bytes::from_static(b"10")), true).unwrap();
        assert_eq!(count, "10");
    }

    #[test]
    fn binary_is_the_same_literal() {
        let of = |oid, bytes: &'static [u8]| literal(oid, true, Some(&Bytes::from_static(bytes)), false);
        assert_eq!(of(INT4, &[0xff; 4]).unwrap(), "(-1)");
        assert_eq!(of(DATE, &[0, 0, 0, 1]).unwrap(), "to_date32('2000-01-02')");
        assert_eq!(of(TIMESTAMPTZ, &[0; 8]).unwrap(), "to_datetime64('2000-01-01 00:00:00', 6, 'UTC')");
        assert_eq!(of(NUMERIC, &[0, 2, 0, 0, 0x40, 0, 0, 1, 0, 12, 0x13, 0x88]).unwrap(), "to_decimal256('-12.5', 1)");
        let array = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 21, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 7];
        assert_eq!(literal(1005, true, Some(&Bytes::copy_from_slice(&array)), false).unwrap(), "[7]");
        for end in 0..array.len() {
            assert!(literal(1005, true, Some(&Bytes::copy_from_slice(&array[..end])), false).is_err(), "{end}");
        }
        assert!(of(INT4, &[0]).is_err());
        assert_eq!(literal(INT4, true, None, false).unwrap(), "NULL");
    }
}
