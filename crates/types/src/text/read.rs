//! Text to columns.

use super::address::{parse_ipv4, parse_ipv6, parse_uuid};
use super::number::{DecimalError, parse_decimal, parse_float, parse_float32, parse_whole, parse_wide};
use super::{Style, TextOptions};
use crate::column::{ColumnBuilder, Store};
use crate::datetext::{BestEffortError, Parsed, date16, parse_basic, parse_best_effort, parse_date};
use crate::logical::{EnumNames, LogicalType};
use crate::physical::{digits_of_unit, unit_of_scale};
use crate::time::{LocalTime, rescale};
use crate::wide::{u128_bytes, wrap_i128};
use arrow::datatypes::i256;
use hydron_base::{Code, Error, Result};
use std::borrow::Cow;

/// Arrays in text may stand in each other this deep; the reader is recursive.
const DEPTH_MAX: usize = 256;

/// Reads one value from the whole of `text` (a TSV field with its escapes, a CSV field with its quotes, a JSON value, an SQL
/// literal) and appends it. On an error nothing is appended.
///
/// Errors: CANNOT_PARSE_TEXT (6), CANNOT_PARSE_NUMBER (72), CANNOT_PARSE_DATETIME (41), CANNOT_PARSE_DATE (38),
/// CANNOT_PARSE_BOOL (467), CANNOT_PARSE_UUID (376), CANNOT_PARSE_IPV4 (531), CANNOT_PARSE_IPV6 (675), ARGUMENT_OUT_OF_BOUND
/// (69) for a decimal with too many digits, BAD_ARGUMENTS (36) for an unknown name of an enum, ATTEMPT_TO_READ_AFTER_EOF
/// (32), CANNOT_READ_ARRAY_FROM_TEXT (130), CANNOT_READ_MAP_FROM_TEXT (573).
pub fn read_text(text: &[u8], style: Style, options: &TextOptions, builder: &mut ColumnBuilder) -> Result<()> {
    let before = builder.len();
    let result = match style {
        Style::Plain => read_field(text, options, builder),
        Style::Escaped if text == options.tsv_null.as_bytes() => read_null(options, builder),
        Style::Escaped => read_field(&unescape(text), options, builder),
        Style::Csv => read_csv(text, options, builder),
        Style::Quoted | Style::Json => {
            let mut cursor = Cursor { text, at: 0, depth: 0, options };
            cursor.value(style, builder).and_then(|()| {
                cursor.skip_space();
                if cursor.at == text.len() { Ok(()) } else { Err(leftover(text, cursor.at, builder.ty())) }
            })
        }
    };
    if result.is_err() {
        builder.truncate(before);
    }
    result
}

/// Reads one value from the start of `text` (only `Quoted` and `Json`, whose values end by themselves), appends it and
/// returns how many bytes it took, spaces before it included. On an error nothing is appended.
pub fn read_text_prefix(
    text: &[u8],
    style: Style,
    options: &TextOptions,
    builder: &mut ColumnBuilder,
) -> Result<usize> {
    let before = builder.len();
    let mut cursor = Cursor { text, at: 0, depth: 0, options };
    match cursor.value(style, builder) {
        Ok(()) => Ok(cursor.at),
        Err(e) => {
            builder.truncate(before);
            Err(e)
        }
    }
}

fn shown(text: &[u8]) -> Cow<'_, str> {
    // A message needs to name the value, not to carry all of it.
    const SHOWN_MAX: usize = 128;
    String::from_utf8_lossy(&text[..text.len().min(SHOWN_MAX)])
}

fn leftover(text: &[u8], at: usize, ty: &LogicalType) -> Error {
    Error::new(
        Code::CANNOT_PARSE_TEXT,
        format!("cannot parse '{}' as {ty}: unexpected '{}'", shown(text), shown(&text[at.min(text.len())..])),
    )
}

fn not_a(code: Code, text: &[u8], ty: &LogicalType) -> Error {
    if text.is_empty() && matches!(code, Code::CANNOT_PARSE_TEXT | Code::CANNOT_PARSE_NUMBER) {
        return Error::new(Code::ATTEMPT_TO_READ_AFTER_EOF, format!("cannot parse an empty text as {ty}"));
    }
    Error::new(code, format!("cannot parse '{}' as {ty}", shown(text)))
}

fn read_null(options: &TextOptions, builder: &mut ColumnBuilder) -> Result<()> {
    if builder.is_nullable() {
        builder.append_null();
    } else if options.null_as_default {
        builder.append_default();
    } else {
        return Err(Error::new(
            Code::CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN,
            format!("NULL cannot be a value of {}", builder.ty()),
        ));
    }
    Ok(())
}

fn read_csv(text: &[u8], options: &TextOptions, builder: &mut ColumnBuilder) -> Result<()> {
    let trimmed = text.trim_ascii();
    let quote = match trimmed.first() {
        Some(b'"') if options.csv_allow_double_quotes => b'"',
        Some(b'\'') if options.csv_allow_single_quotes => b'\'',
        _ => {
            if trimmed == options.csv_null.as_bytes() {
                return read_null(options, builder);
            }
            if trimmed.is_empty() && options.csv_empty_as_default {
                builder.append_default();
                return Ok(());
            }
            return read_field(trimmed, options, builder);
        }
    };
    let inner = trimmed[1..].strip_suffix(&[quote]);
    let inner = inner.ok_or_else(|| {
        Error::new(Code::CANNOT_PARSE_QUOTED_STRING, format!("the quote of '{}' is not closed", shown(trimmed)))
    })?;
    let mut plain = Vec::with_capacity(inner.len());
    let mut at = 0;
    while at < inner.len() {
        plain.push(inner[at]);
        at += if inner[at] == quote && inner.get(at + 1) == Some(&quote) { 2 } else { 1 };
    }
    read_field(&plain, options, builder)
}

/// Undoes the backslashes of TSV.
pub fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        if text[at] == b'\\' {
            at += unescape_one(&text[at..], &mut out);
        } else {
            out.push(text[at]);
            at += 1;
        }
    }
    Cow::Owned(out)
}

/// Reads one escape that starts with a backslash; returns the bytes it took.
pub fn unescape_one(text: &[u8], out: &mut Vec<u8>) -> usize {
    let Some(b) = text.get(1) else {
        out.push(b'\\');
        return 1;
    };
    let plain = match b {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 0x08,
        b'f' => 0x0c,
        b'a' => 0x07,
        b'v' => 0x0b,
        b'e' => 0x1b,
        b'0' => 0,
        b'\\' | b'\'' | b'"' | b'`' | b'/' => *b,
        b'x' => {
            let digit = |i: usize| text.get(i).and_then(|b| (*b as char).to_digit(16));
            if let (Some(high), Some(low)) = (digit(2), digit(3)) {
                out.push((high << 4 | low) as u8);
                return 4;
            }
            out.extend_from_slice(b"\\x");
            return 2;
        }
        // `\N` inside a longer text is nothing.
        b'N' => return 2,
        other => {
            if !other.is_ascii_control() {
                out.push(b'\\');
            }
            *other
        }
    };
    out.push(plain);
    2
}

/// The type values are of, without what only says how they are kept.
fn held(ty: &LogicalType) -> &LogicalType {
    match ty.bare() {
        LogicalType::SimpleAggregateFunction { arg, .. } => held(arg),
        bare => bare,
    }
}

/// Reads a value whose text is exactly `text`, without quotes or escapes.
fn read_field(text: &[u8], options: &TextOptions, builder: &mut ColumnBuilder) -> Result<()> {
    if !matches!(
        builder.store,
        Store::Null(_) | Store::Bytes { .. } | Store::List { .. } | Store::Struct { .. } | Store::Map { .. }
    ) {
        let (ty, store, local) = builder.parts(options.zone);
        if !matches!(held(ty), LogicalType::FixedString(_)) {
            read_scalar(text, held(ty), options, local, store)?;
            builder.mark_valid();
            return Ok(());
        }
    }
    let ty = builder.ty().clone();
    read_bare(text, held(&ty), options, builder)
}

fn read_bare(text: &[u8], ty: &LogicalType, options: &TextOptions, builder: &mut ColumnBuilder) -> Result<()> {
    use LogicalType as T;
    match ty {
        T::String | T::Json | T::FixedString(_) | T::AggregateFunction { .. } => return builder.append_bytes(text),
        T::SimpleAggregateFunction { arg, .. } => return read_bare(text, arg.bare(), options, builder),
        T::Nothing | T::Nullable(_) | T::LowCardinality(_) => return read_null(options, builder),
        T::Array(_) | T::Tuple(_) | T::Map(..) | T::Nested(_) => {
            let mut cursor = Cursor { text, at: 0, depth: 0, options };
            cursor.value(Style::Quoted, builder)?;
            cursor.skip_space();
            return if cursor.at == text.len() { Ok(()) } else { Err(leftover(text, cursor.at, ty)) };
        }
        _ => {}
    }
    let (_, store, local) = builder.parts(options.zone);
    read_scalar(text, ty, options, local, store)?;
    builder.mark_valid();
    Ok(())
}

fn read_scalar(
    text: &[u8],
    ty: &LogicalType,
    options: &TextOptions,
    local: &LocalTime,
    store: &mut Store,
) -> Result<()> {
    use LogicalType as T;
    let whole = || -> Result<u64> {
        match parse_whole(text) {
            Some(w) if w.used == text.len() => {
                if w.negative && ty.is_unsigned_integer() {
                    return Err(not_a(Code::CANNOT_PARSE_NUMBER, text, ty));
                }
                Ok(w.wrapped())
            }
            Some(w) => Err(leftover(text, w.used, ty)),
            None => integer_word(text).ok_or_else(|| not_a(Code::CANNOT_PARSE_TEXT, text, ty)),
        }
    };
    match (ty, store) {
        (T::Bool, Store::Bool(v)) => {
            v.push(parse_bool(text, options).ok_or_else(|| not_a(Code::CANNOT_PARSE_BOOL, text, ty))?)
        }
        (T::Enum8(names), Store::I8(v)) => v.push(enum_value(text, names, ty)? as i8),
        (T::Enum16(names), Store::I16(v)) => v.push(enum_value(text, names, ty)?),
        (T::Decimal { precision, scale }, store) => {
            let v = read_decimal(text, *precision, *scale, ty)?;
            let small = wrap_i128(v);
            match store {
                Store::I32(values) => values.push(small as i32),
                Store::I64(values) => values.push(small as i64),
                Store::I128(values) => values.push(small),
                Store::I256(values) => values.push(v),
                _ => return Err(wrong_store(ty)),
            }
        }
        (T::Date | T::Date32, Store::I32(v)) => v.push(read_date(text, ty, local, options.best_effort_times)?),
        (T::DateTime(_), Store::I64(v)) => {
            v.push(read_time(text, false, ty, local, options.best_effort_times)?.datetime())
        }
        (T::DateTime64(scale, _), Store::I64(v)) => {
            let parsed = read_time(text, true, ty, local, options.best_effort_times)?;
            v.push(datetime64_ticks(&parsed, *scale));
        }
        (T::Ipv4, Store::U32(v)) => match parse_ipv4(text) {
            Some(address) => v.push(address),
            None if options.ipv4_default_on_error => v.push(0),
            None => return Err(not_a(Code::CANNOT_PARSE_IPV4, text, ty)),
        },
        (T::Ipv6, Store::Fixed { bytes, len, .. }) => {
            match parse_ipv6(text) {
                Some(address) => bytes.extend_from_slice(&address),
                None if options.ipv6_default_on_error => bytes.extend_from_slice(&[0; 16]),
                None => return Err(not_a(Code::CANNOT_PARSE_IPV6, text, ty)),
            }
            *len += 1;
        }
        (T::Uuid, Store::Fixed { bytes, len, .. }) => {
            match parse_uuid(text) {
                Some((uuid, used)) if used == text.len() => bytes.extend_from_slice(&uuid),
                _ => return Err(not_a(Code::CANNOT_PARSE_UUID, text, ty)),
            }
            *len += 1;
        }
        (T::UInt128, Store::Fixed { bytes, len, .. }) => {
            bytes.extend_from_slice(&u128_bytes(read_wide(text, ty)?));
            *len += 1;
        }
        (T::UInt256, Store::Fixed { bytes, len, .. }) => {
            bytes.extend_from_slice(&read_wide(text, ty)?.to_be_bytes());
            *len += 1;
        }
        (_, Store::I8(v)) => v.push(whole()? as i8),
        (_, Store::I16(v)) => v.push(whole()? as i16),
        (_, Store::I32(v)) => v.push(whole()? as i32),
        (_, Store::I64(v)) => v.push(whole()? as i64),
        (_, Store::U8(v)) => v.push(whole()? as u8),
        (_, Store::U16(v)) => v.push(whole()? as u16),
        (_, Store::U32(v)) => v.push(whole()? as u32),
        (_, Store::U64(v)) => v.push(whole()?),
        (_, Store::I128(v)) => v.push(wrap_i128(read_wide(text, ty)?)),
        (_, Store::I256(v)) => v.push(read_wide(text, ty)?),
        (_, Store::F32(v)) => match parse_float32(text) {
            Some((x, used)) if used == text.len() => v.push(x),
            Some((_, used)) => return Err(leftover(text, used, ty)),
            None => return Err(not_a(Code::CANNOT_PARSE_NUMBER, text, ty)),
        },
        (_, Store::F64(v)) => match parse_float(text) {
            Some((x, used)) if used == text.len() => v.push(x),
            Some((_, used)) => return Err(leftover(text, used, ty)),
            None => return Err(not_a(Code::CANNOT_PARSE_NUMBER, text, ty)),
        },
        _ => return Err(wrong_store(ty)),
    }
    Ok(())
}

fn wrong_store(ty: &LogicalType) -> Error {
    Error::bug(format!("{ty} has a layout that its reader does not know"))
}

/// JSON gives `true` and `false` for integer columns.
fn integer_word(text: &[u8]) -> Option<u64> {
    match text {
        b"true" => Some(1),
        b"false" => Some(0),
        _ => None,
    }
}

fn read_wide(text: &[u8], ty: &LogicalType) -> Result<i256> {
    match parse_wide(text) {
        Some((v, _, used)) if used == text.len() => Ok(v),
        Some((_, _, used)) => Err(leftover(text, used, ty)),
        None => Err(not_a(Code::CANNOT_PARSE_TEXT, text, ty)),
    }
}

/// The digits of a decimal that is exactly `text`. Errors: CANNOT_PARSE_TEXT (6), ARGUMENT_OUT_OF_BOUND (69).
pub fn read_decimal(text: &[u8], precision: u8, scale: u8, ty: &LogicalType) -> Result<i256> {
    match parse_decimal(text, precision, scale) {
        Ok((v, used)) if used == text.len() => Ok(v),
        Ok((_, used)) => Err(leftover(text, used, ty)),
        Err(DecimalError::NotANumber) => Err(not_a(Code::CANNOT_PARSE_TEXT, text, ty)),
        Err(DecimalError::TooLarge) => {
            Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, format!("'{}' has more digits than {ty} holds", shown(text))))
        }
    }
}

/// A text as a bool: the representations of the settings, and the usual words in any case.
pub fn parse_bool(text: &[u8], options: &TextOptions) -> Option<bool> {
    match text {
        b"true" | b"1" => return Some(true),
        b"false" | b"0" => return Some(false),
        _ if text == options.bool_true.as_bytes() => return Some(true),
        _ if text == options.bool_false.as_bytes() => return Some(false),
        _ => {}
    }
    match text.to_ascii_lowercase().as_slice() {
        b"true" | b"t" | b"yes" | b"y" | b"on" | b"enable" | b"enabled" => Some(true),
        b"false" | b"f" | b"no" | b"n" | b"off" | b"disable" | b"disabled" => Some(false),
        _ => None,
    }
}

fn enum_value(text: &[u8], names: &EnumNames, ty: &LogicalType) -> Result<i16> {
    if let Some(value) = names.value_of(text) {
        return Ok(value);
    }
    let number =
        parse_whole(text).filter(|w| w.used == text.len()).and_then(|w| w.within(i16::MIN.into(), i16::MAX.into()));
    match number.map(|n| n as i16).filter(|n| names.name_of(*n).is_some()) {
        Some(value) => Ok(value),
        None => Err(Error::bad_arguments(format!("'{}' is no name of {ty}", shown(text)))),
    }
}

/// Days of a `date` or `date32`. Errors: CANNOT_PARSE_DATE (38), CANNOT_PARSE_TEXT (6).
pub fn read_date(text: &[u8], ty: &LogicalType, local: &LocalTime, best_effort: bool) -> Result<i32> {
    let small = matches!(ty, LogicalType::Date);
    let fit = |days: i32| if small { date16(days) } else { days };
    match parse_date(text) {
        Some((days, used)) if used == text.len() => Ok(fit(days)),
        // A time of day after the date is read and dropped.
        Some((days, used)) if is_time_of_day(&text[used..]) => Ok(fit(days)),
        Some((_, used)) => Err(leftover(text, used, ty)),
        None if best_effort => Ok(fit(local.day_of(read_time(text, true, ty, local, true)?.seconds))),
        None => Err(not_a(Code::CANNOT_PARSE_DATE, text, ty)),
    }
}

fn is_time_of_day(rest: &[u8]) -> bool {
    matches!(rest, [b' ' | b'T', digit, ..] if digit.is_ascii_digit())
        && rest[1..].iter().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'Z' | b'+' | b'-'))
}

/// A time that is exactly `text`. Errors: CANNOT_PARSE_DATETIME (41), CANNOT_PARSE_TEXT (6).
pub fn read_time(
    text: &[u8],
    fraction: bool,
    ty: &LogicalType,
    local: &LocalTime,
    best_effort: bool,
) -> Result<Parsed> {
    if best_effort {
        return parse_best_effort(text, false, local).map_err(|e| best_effort_error(e, text, ty));
    }
    match parse_basic(text, fraction, local) {
        Some(parsed) if parsed.used == text.len() => Ok(parsed),
        Some(parsed) => Err(leftover(text, parsed.used, ty)),
        None => Err(not_a(Code::CANNOT_PARSE_DATETIME, text, ty)),
    }
}

pub fn best_effort_error(e: BestEffortError, text: &[u8], ty: &LogicalType) -> Error {
    let code = match e {
        BestEffortError::NotATime => Code::CANNOT_PARSE_DATETIME,
        BestEffortError::FractionTooLong => Code::CANNOT_PARSE_TEXT,
    };
    not_a(code, text, ty)
}

/// Ticks of a `datetime64(scale)` in its Arrow unit, digits beyond the scale dropped.
pub fn datetime64_ticks(parsed: &Parsed, scale: u8) -> i64 {
    let digits = digits_of_unit(unit_of_scale(scale));
    let exact = parsed.ticks(scale);
    rescale(exact, scale, digits).unwrap_or(exact)
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    options: &'a TextOptions,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn take(&mut self, b: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(b);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, b: u8, code: Code) -> Result<()> {
        if self.take(b) {
            return Ok(());
        }
        Err(Error::new(code, format!("expected '{}' before '{}'", b as char, shown(&self.text[self.at..]))))
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    fn value(&mut self, style: Style, builder: &mut ColumnBuilder) -> Result<()> {
        use LogicalType as T;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error::new(
                Code::TOO_DEEP_RECURSION,
                format!("values stand in each other more than {DEPTH_MAX} deep"),
            ));
        }
        self.skip_space();
        let ty = builder.ty().clone();
        let json = style == Style::Json;
        let result = match held(&ty) {
            _ if self.word(b"null", json) => read_null(self.options, builder),
            T::Array(_) | T::Nested(_) => self.array(style, builder),
            T::Tuple(elements) => {
                let names: Vec<Option<&str>> = elements.iter().map(|(n, _)| n.as_deref()).collect();
                self.tuple(style, &names, builder)
            }
            T::Map(..) => self.map(style, builder),
            T::Json if json => {
                let document = self.json_document()?;
                builder.append_bytes(&document)
            }
            bare => self.scalar(style, bare, builder),
        };
        self.depth -= 1;
        result
    }

    /// Takes a keyword that stands alone; in SQL its case does not matter.
    fn word(&mut self, word: &[u8], exact: bool) -> bool {
        let rest = self.rest();
        let Some(start) = rest.get(..word.len()) else { return false };
        let same = if exact { start == word } else { start.eq_ignore_ascii_case(word) };
        let ends = rest.get(word.len()).is_none_or(|b| !b.is_ascii_alphanumeric() && *b != b'_');
        if same && ends {
            self.at += word.len();
        }
        same && ends
    }

    fn scalar(&mut self, style: Style, ty: &LogicalType, builder: &mut ColumnBuilder) -> Result<()> {
        let json = style == Style::Json;
        let quote = if json { b'"' } else { b'\'' };
        if self.peek() == Some(quote) {
            let text = if json { self.json_string()? } else { self.sql_string()? };
            return read_bare(&text, ty, self.options, builder);
        }
        if ty.is_string_like() {
            if json {
                // Numbers, arrays and objects keep their text.
                let raw = self.raw_json()?;
                return builder.append_bytes(raw);
            }
            return Err(Error::new(
                Code::CANNOT_PARSE_QUOTED_STRING,
                format!("a value of {ty} stands in single quotes, found '{}'", shown(self.rest())),
            ));
        }
        let rest = self.rest();
        let end =
            rest.iter().position(|b| matches!(b, b',' | b')' | b']' | b'}' | b':' | b';') || b.is_ascii_whitespace());
        let token = &rest[..end.unwrap_or(rest.len())];
        if let (LogicalType::Date | LogicalType::Date32, Some(days)) =
            (ty, parse_whole(token).filter(|w| w.used == token.len()))
            && let (Store::I32(v), Some(days)) = (&mut builder.store, days.within(-200_000, 200_000))
        {
            v.push(if matches!(ty, LogicalType::Date) { date16(days as i32) } else { days as i32 });
            builder.mark_valid();
            self.at += token.len();
            return Ok(());
        }
        read_bare(token, ty, self.options, builder)?;
        self.at += token.len();
        Ok(())
    }

    /// A text in single quotes, with backslash escapes and doubled quotes.
    fn sql_string(&mut self) -> Result<Cow<'a, [u8]>> {
        let start = self.at + 1;
        let rest = &self.text[start..];
        let simple = rest.iter().position(|b| matches!(b, b'\'' | b'\\'));
        if let Some(end) = simple.filter(|e| rest[*e] == b'\'' && rest.get(e + 1) != Some(&b'\'')) {
            self.at = start + end + 1;
            return Ok(Cow::Borrowed(&rest[..end]));
        }
        let mut out = Vec::new();
        let mut at = start;
        loop {
            match self.text.get(at) {
                None => return Err(Error::new(Code::CANNOT_PARSE_QUOTED_STRING, "a single quote is not closed")),
                Some(b'\'') if self.text.get(at + 1) == Some(&b'\'') => {
                    out.push(b'\'');
                    at += 2;
                }
                Some(b'\'') => {
                    self.at = at + 1;
                    return Ok(Cow::Owned(out));
                }
                Some(b'\\') => at += unescape_one(&self.text[at..], &mut out),
                Some(b) => {
                    out.push(*b);
                    at += 1;
                }
            }
        }
    }

    fn json_string(&mut self) -> Result<Cow<'a, [u8]>> {
        let start = self.at + 1;
        if self.text.get(self.at) != Some(&b'"') {
            return Err(Error::new(Code::CANNOT_PARSE_QUOTED_STRING, "a double quote is missing"));
        }
        let rest = &self.text[start..];
        let simple = rest.iter().position(|b| matches!(b, b'"' | b'\\'));
        if let Some(end) = simple.filter(|e| rest[*e] == b'"') {
            self.at = start + end + 1;
            return Ok(Cow::Borrowed(&rest[..end]));
        }
        let unclosed = || Error::new(Code::CANNOT_PARSE_QUOTED_STRING, "a double quote is not closed");
        let mut out = Vec::new();
        let mut at = start;
        loop {
            match *self.text.get(at).ok_or_else(unclosed)? {
                b'"' => {
                    self.at = at + 1;
                    return Ok(Cow::Owned(out));
                }
                b'\\' if self.text.get(at + 1) == Some(&b'u') => {
                    let (character, used) = self.unicode(at)?;
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    at += used;
                }
                b'\\' => at += unescape_one(&self.text[at..], &mut out),
                b => {
                    out.push(b);
                    at += 1;
                }
            }
        }
    }

    /// `\uXXXX`, or two of them for a character beyond 16 bits.
    fn unicode(&self, at: usize) -> Result<(char, usize)> {
        let unit = |at: usize| -> Option<u32> {
            let hex = self.text.get(at..at + 6)?.strip_prefix(b"\\u")?;
            u32::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
        };
        let first = unit(at).ok_or_else(|| {
            Error::new(Code::CANNOT_PARSE_ESCAPE_SEQUENCE, format!("'{}' is no \\uXXXX", shown(&self.text[at..])))
        })?;
        if (0xd800..0xdc00).contains(&first)
            && let Some(second @ 0xdc00..0xe000) = unit(at + 6)
        {
            let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return Ok((char::from_u32(code).unwrap_or('\u{fffd}'), 12));
        }
        Ok((char::from_u32(first).unwrap_or('\u{fffd}'), 6))
    }

    /// A JSON value as its text. A document that was sent as a string, as clients that know no json column do, is that document.
    fn json_document(&mut self) -> Result<Cow<'a, [u8]>> {
        self.skip_space();
        let start = self.at;
        let raw = self.raw_json()?;
        if raw.first() != Some(&b'"') {
            return Ok(Cow::Borrowed(raw));
        }
        let end = std::mem::replace(&mut self.at, start);
        let text = self.json_string()?;
        self.at = end;
        let document = text.trim_ascii();
        let is_document = document.first() == Some(&b'{') && json_value_length(document) == Some(document.len());
        Ok(if is_document { Cow::Owned(document.to_vec()) } else { Cow::Borrowed(raw) })
    }

    fn raw_json(&mut self) -> Result<&'a [u8]> {
        self.skip_space();
        let used = json_value_length(self.rest())
            .ok_or_else(|| Error::new(Code::INCORRECT_DATA, format!("'{}' is no JSON value", shown(self.rest()))))?;
        let raw = &self.text[self.at..self.at + used];
        self.at += used;
        Ok(raw)
    }

    fn array(&mut self, style: Style, builder: &mut ColumnBuilder) -> Result<()> {
        self.expect(b'[', Code::CANNOT_READ_ARRAY_FROM_TEXT)?;
        let mut first = true;
        while !self.take(b']') {
            if !first {
                self.expect(b',', Code::CANNOT_READ_ARRAY_FROM_TEXT)?;
            }
            first = false;
            let Store::List { items, .. } = &mut builder.store else { return Err(wrong_store(builder.ty())) };
            self.value(style, items)?;
        }
        if let Store::List { items, offsets } = &mut builder.store {
            offsets.push(items.len() as i32);
        }
        builder.mark_valid();
        Ok(())
    }

    fn tuple(&mut self, style: Style, names: &[Option<&str>], builder: &mut ColumnBuilder) -> Result<()> {
        let code = Code::CANNOT_PARSE_TEXT;
        self.skip_space();
        if style == Style::Json && self.peek() == Some(b'{') {
            self.named_tuple(names, builder)?;
        } else {
            let (open, close) = if style == Style::Json { (b'[', b']') } else { (b'(', b')') };
            self.expect(open, code)?;
            for i in 0..names.len() {
                if i > 0 {
                    self.expect(b',', code)?;
                }
                let Store::Struct { fields, .. } = &mut builder.store else { return Err(wrong_store(builder.ty())) };
                self.value(style, &mut fields[i])?;
            }
            // A tuple of one element may end with a comma.
            if names.len() == 1 && style != Style::Json {
                self.take(b',');
            }
            self.expect(close, code)?;
        }
        if let Store::Struct { len, .. } = &mut builder.store {
            *len += 1;
        }
        builder.mark_valid();
        Ok(())
    }

    fn named_tuple(&mut self, names: &[Option<&str>], builder: &mut ColumnBuilder) -> Result<()> {
        let code = Code::CANNOT_PARSE_TEXT;
        let Store::Struct { fields, len } = &mut builder.store else { return Err(wrong_store(builder.ty())) };
        self.expect(b'{', code)?;
        let mut first = true;
        while !self.take(b'}') {
            if !first {
                self.expect(b',', code)?;
            }
            first = false;
            self.skip_space();
            let name = self.json_string()?;
            self.expect(b':', code)?;
            let element = names.iter().enumerate().position(|(i, n)| match n {
                Some(n) => n.as_bytes() == &*name,
                None => (i + 1).to_string().as_bytes() == &*name,
            });
            match element {
                Some(i) if fields[i].len() == *len => self.value(Style::Json, &mut fields[i])?,
                Some(i) => {
                    return Err(Error::new(
                        Code::INCORRECT_DATA,
                        format!("element {} of a tuple is given twice", i + 1),
                    ));
                }
                None => {
                    self.raw_json()?;
                }
            }
        }
        for field in fields.iter_mut().filter(|f| f.len() == *len) {
            field.append_default();
        }
        Ok(())
    }

    fn map(&mut self, style: Style, builder: &mut ColumnBuilder) -> Result<()> {
        let code = Code::CANNOT_READ_MAP_FROM_TEXT;
        self.expect(b'{', code)?;
        let mut first = true;
        while !self.take(b'}') {
            if !first {
                self.expect(b',', code)?;
            }
            first = false;
            let Store::Map { keys, values, .. } = &mut builder.store else { return Err(wrong_store(builder.ty())) };
            self.value(style, keys)?;
            self.expect(b':', code)?;
            self.value(style, values)?;
        }
        if let Store::Map { offsets, keys, .. } = &mut builder.store {
            offsets.push(keys.len() as i32);
        }
        builder.mark_valid();
        Ok(())
    }
}

/// Bytes of the JSON value at the start of `text`; brackets are matched, contents are not checked.
pub fn json_value_length(text: &[u8]) -> Option<usize> {
    let mut open = 0usize;
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'"' => {
                at += 1;
                while *text.get(at)? != b'"' {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
                if open == 0 {
                    return Some(at);
                }
                continue;
            }
            b'{' | b'[' => open += 1,
            b'}' | b']' => {
                if open <= 1 {
                    return (open == 1).then_some(at + 1).or((at > 0).then_some(at));
                }
                open -= 1;
            }
            b',' | b' ' | b'\t' | b'\r' | b'\n' if open == 0 => return (at > 0).then_some(at),
            _ => {}
        }
        at += 1;
    }
    (open == 0 && at > 0).then_some(at)
}
