//! Text to type: every name, alias and argument that a user may write.
//!
//! In: `array(low_cardinality(string))`. Out: a [`LogicalType`]. Promise: what `LogicalType` prints is read back as itself.

use crate::logical::{EnumNames, IntervalUnit, LogicalType};
use crate::time::Zone;
use hydron_base::{Code, Error, Result};
use std::sync::Arc;

/// Types may stand in each other this deep; the parser is recursive.
const DEPTH_MAX: usize = 64;

/// The type that `text` names, as a user writes it in SQL.
///
/// Errors: UNKNOWN_TYPE (50), SYNTAX_ERROR (62), NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42), ARGUMENT_OUT_OF_BOUND (69),
/// ILLEGAL_TYPE_OF_ARGUMENT (43) for types that cannot stand in each other.
pub fn parse_type(text: &str) -> Result<LogicalType> {
    Parser::new(text, false).whole()
}

/// Like [`parse_type`], and takes ClickHouse's CamelCase spellings too (`Array(LowCardinality(String))`).
pub fn parse_type_lenient(text: &str) -> Result<LogicalType> {
    Parser::new(text, true).whole()
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    /// A name in back-ticks or double quotes.
    Quoted(String),
    Text(String),
    Number(i64),
    Sign(char),
    End,
}

/// The aggregates whose answers are their states, so that they may stand in `simple_aggregate_function`.
pub const SIMPLE_AGGREGATES: [&str; 24] = [
    "any",
    "any_last",
    "earliest",
    "latest",
    "first_value",
    "last_value",
    "min",
    "max",
    "sum",
    "sum_with_overflow",
    "sum_map",
    "min_map",
    "max_map",
    "sum_map_with_overflow",
    "sum_mapped_arrays",
    "min_mapped_arrays",
    "max_mapped_arrays",
    "group_bit_and",
    "group_bit_or",
    "group_bit_xor",
    "group_array_array",
    "group_uniq_array_array",
    "arg_min",
    "arg_max",
];

struct Parser<'a> {
    text: &'a str,
    at: usize,
    lenient: bool,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, lenient: bool) -> Parser<'a> {
        Parser { text, at: 0, lenient, depth: 0 }
    }

    fn whole(mut self) -> Result<LogicalType> {
        let ty = self.type_()?;
        match self.next()? {
            Token::End => Ok(ty),
            other => Err(self.syntax(&format!("unexpected {}", shown(&other)))),
        }
    }

    fn syntax(&self, what: &str) -> Error {
        Error::new(Code::SYNTAX_ERROR, format!("type '{}': {what}", self.text))
    }

    fn next(&mut self) -> Result<Token> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        let Some(first) = bytes.get(self.at).copied() else { return Ok(Token::End) };
        let start = self.at;
        match first {
            b'_' | b'a'..=b'z' | b'A'..=b'Z' | 0x80.. => {
                while bytes.get(self.at).is_some_and(|b| *b == b'_' || *b >= 0x80 || b.is_ascii_alphanumeric()) {
                    self.at += 1;
                }
                Ok(Token::Word(self.text[start..self.at].to_string()))
            }
            b'\'' => Ok(Token::Text(self.quoted(b'\'')?)),
            b'`' | b'"' => Ok(Token::Quoted(self.quoted(first)?)),
            b'0'..=b'9' | b'-' => {
                self.at += 1;
                while bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
                    self.at += 1;
                }
                let digits = &self.text[start..self.at];
                digits.parse().map(Token::Number).map_err(|_| self.syntax(&format!("'{digits}' is no number")))
            }
            b'(' | b')' | b',' | b'=' => {
                self.at += 1;
                Ok(Token::Sign(first as char))
            }
            _ => Err(self.syntax(&format!("unexpected '{}'", self.text[start..].chars().next().unwrap_or(' ')))),
        }
    }

    fn quoted(&mut self, quote: u8) -> Result<String> {
        let bytes = self.text.as_bytes();
        let mut out = Vec::new();
        self.at += 1;
        loop {
            let b = *bytes.get(self.at).ok_or_else(|| self.syntax("a quote is not closed"))?;
            self.at += 1;
            if b == quote {
                if bytes.get(self.at) != Some(&quote) {
                    break;
                }
                self.at += 1;
                out.push(quote);
            } else if b == b'\\' {
                let escaped = *bytes.get(self.at).ok_or_else(|| self.syntax("a quote is not closed"))?;
                self.at += 1;
                out.push(match escaped {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'0' => 0,
                    other => other,
                });
            } else {
                out.push(b);
            }
        }
        String::from_utf8(out).map_err(|_| self.syntax("a quoted name is not UTF-8"))
    }

    fn peek(&mut self) -> Result<Token> {
        let at = self.at;
        let token = self.next();
        self.at = at;
        token
    }

    fn take(&mut self, sign: char) -> Result<bool> {
        let found = self.peek()? == Token::Sign(sign);
        if found {
            self.next()?;
        }
        Ok(found)
    }

    fn expect(&mut self, sign: char) -> Result<()> {
        match self.next()? {
            Token::Sign(s) if s == sign => Ok(()),
            other => Err(self.syntax(&format!("expected '{sign}', found {}", shown(&other)))),
        }
    }

    /// A type with the modifiers `null` and `not null` after it.
    fn type_(&mut self) -> Result<LogicalType> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error::new(
                Code::TOO_DEEP_RECURSION,
                format!("types stand in each other more than {DEPTH_MAX} deep"),
            ));
        }
        let name = match self.next()? {
            Token::Word(name) | Token::Quoted(name) => name,
            other => return Err(self.syntax(&format!("expected a type, found {}", shown(&other)))),
        };
        let ty = self.named(&name)?;
        self.depth -= 1;
        self.modified(ty)
    }

    fn modified(&mut self, ty: LogicalType) -> Result<LogicalType> {
        let at = self.at;
        if let Token::Word(word) = self.next()? {
            if word.eq_ignore_ascii_case("null") {
                return nullable(ty);
            }
            if word.eq_ignore_ascii_case("not")
                && let Token::Word(word) = self.next()?
                && word.eq_ignore_ascii_case("null")
            {
                return Ok(ty);
            }
        }
        self.at = at;
        Ok(ty)
    }

    fn named(&mut self, name: &str) -> Result<LogicalType> {
        use LogicalType as T;
        if let Some(ty) = self.plain(name) {
            if self.peek()? == Token::Sign('(') && !matches!(ty, T::String | T::Json) {
                return Err(Error::new(Code::DATA_TYPE_CANNOT_HAVE_ARGUMENTS, format!("type {ty} takes no arguments")));
            }
            // `varchar(255)` and `json(...)` are read for their name; the arguments say nothing to us.
            if self.take('(')? {
                self.skip_arguments()?;
            }
            return Ok(ty);
        }
        let folded = name.to_ascii_lowercase();
        let word = if self.lenient { camel(name) } else { name.to_string() };
        match folded.as_str() {
            "datetime" | "datetime32" => return self.datetime(folded == "datetime"),
            "datetime64" => return self.datetime64(),
            "decimal" | "dec" | "numeric" => return self.decimal(),
            "decimal32" | "decimal64" | "decimal128" | "decimal256" => return self.sized_decimal(&folded),
            "enum" | "enum8" | "enum16" => return self.enumeration(&folded),
            _ => {}
        }
        match word.as_str() {
            "fixed_string" => {
                let n = self.one_number(name)?;
                match u32::try_from(n) {
                    Ok(n @ 1..=0xFF_FFFF) => Ok(T::FixedString(n)),
                    _ => Err(Error::new(
                        Code::ARGUMENT_OUT_OF_BOUND,
                        format!("fixed_string({n}): the length is 1 to 16777215"),
                    )),
                }
            }
            "array" => {
                let item = self.one_type(name)?;
                Ok(T::array(item))
            }
            "nullable" => {
                let inner = self.one_type(name)?;
                nullable(inner)
            }
            "low_cardinality" => {
                let inner = self.one_type(name)?;
                match inner.bare() {
                    T::String
                    | T::FixedString(_)
                    | T::Date
                    | T::Date32
                    | T::DateTime(_)
                    | T::Uuid
                    | T::Ipv4
                    | T::Ipv6
                    | T::Bool
                    | T::Interval(_) => {}
                    t if t.is_integer() || t.is_float() => {}
                    t => {
                        return Err(Error::new(
                            Code::ILLEGAL_TYPE_OF_ARGUMENT,
                            format!("low_cardinality({t}): only numbers, strings, dates and datetimes can be inside"),
                        ));
                    }
                }
                Ok(T::LowCardinality(Box::new(inner)))
            }
            "tuple" => self.tuple(),
            "map" => {
                self.expect('(')?;
                let key = self.type_()?;
                self.expect(',')?;
                let value = self.type_()?;
                self.expect(')')?;
                if !is_map_key(&key) {
                    return Err(Error::new(
                        Code::BAD_ARGUMENTS,
                        format!("map({key}, {value}): a key is a string, integer, date, uuid or enum, and never NULL"),
                    ));
                }
                Ok(T::Map(Box::new(key), Box::new(value)))
            }
            "nested" => self.nested(),
            "aggregate_function" => {
                self.expect('(')?;
                let function = self.function_name()?;
                let mut args = Vec::new();
                while self.take(',')? {
                    args.push(self.type_()?);
                }
                self.expect(')')?;
                Ok(T::AggregateFunction { name: function, args: args.into() })
            }
            "simple_aggregate_function" => {
                self.expect('(')?;
                let function = self.function_name()?;
                self.expect(',')?;
                let arg = self.type_()?;
                self.expect(')')?;
                if !SIMPLE_AGGREGATES.contains(&&*function) {
                    let text = format!("the answer of \"{function}\" is no state that can be merged again");
                    return Err(Error::new(Code::BAD_ARGUMENTS, text));
                }
                Ok(T::SimpleAggregateFunction { name: function, arg: Box::new(arg) })
            }
            _ => {
                let error = Error::new(Code::UNKNOWN_TYPE, format!("type '{name}' is unknown"));
                let snake = camel(name);
                let known = Parser::new(&snake, false).plain(&snake).is_some();
                Err(if known && snake != name { error.hint(snake) } else { error })
            }
        }
    }

    /// A type that is a name alone.
    fn plain(&self, name: &str) -> Option<LogicalType> {
        use LogicalType as T;
        let canonical = |name: &str| {
            Some(match name {
                "int8" => T::Int8,
                "int16" => T::Int16,
                "int32" => T::Int32,
                "int64" => T::Int64,
                "int128" => T::Int128,
                "int256" => T::Int256,
                "uint8" => T::UInt8,
                "uint16" => T::UInt16,
                "uint32" => T::UInt32,
                "uint64" => T::UInt64,
                "uint128" => T::UInt128,
                "uint256" => T::UInt256,
                "float32" => T::Float32,
                "float64" => T::Float64,
                "string" => T::String,
                "uuid" => T::Uuid,
                "ipv4" => T::Ipv4,
                "ipv6" => T::Ipv6,
                "nothing" => T::Nothing,
                _ => return name.strip_prefix("interval_").and_then(interval_unit).map(T::Interval),
            })
        };
        if let Some(ty) = canonical(name) {
            return Some(ty);
        }
        if self.lenient
            && let Some(ty) = canonical(&camel(name))
        {
            return Some(ty);
        }
        Some(match name.to_ascii_lowercase().as_str() {
            "bool" | "boolean" => T::Bool,
            "byte" => T::Int8,
            "smallint" => T::Int16,
            "int" | "integer" => T::Int32,
            "uint" => T::UInt32,
            "bigint" => T::Int64,
            "float" => T::Float32,
            "double" => T::Float64,
            "varchar" => T::String,
            "inet4" | "ipv4" => T::Ipv4,
            "inet6" | "ipv6" => T::Ipv6,
            "uuid" => T::Uuid,
            "date" => T::Date,
            "date32" => T::Date32,
            "json" => T::Json,
            "object" if self.lenient => T::Json,
            _ => return None,
        })
    }

    fn skip_arguments(&mut self) -> Result<()> {
        let mut open = 1;
        while open > 0 {
            match self.next()? {
                Token::Sign('(') => open += 1,
                Token::Sign(')') => open -= 1,
                Token::End => return Err(self.syntax("a parenthesis is not closed")),
                _ => {}
            }
        }
        Ok(())
    }

    /// The parameters of an aggregate up to their closing parenthesis, with one blank behind each comma.
    fn parameters(&mut self) -> Result<String> {
        let rest = &self.text[self.at..];
        let (mut params, mut quoted, mut before) = (String::new(), false, ' ');
        for (at, c) in rest.char_indices() {
            match c {
                ')' if !quoted => {
                    self.at += at + 1;
                    return Ok(params.trim_end().to_string());
                }
                '\'' if before != '\\' => {
                    quoted = !quoted;
                    params.push(c);
                }
                ',' if !quoted => params.push_str(", "),
                c if c.is_whitespace() && !quoted => {}
                c => params.push(c),
            }
            before = c;
        }
        Err(self.syntax("a parenthesis is not closed"))
    }

    fn function_name(&mut self) -> Result<Arc<str>> {
        let name = match self.next()? {
            Token::Word(name) | Token::Quoted(name) => name,
            other => return Err(self.syntax(&format!("expected a function, found {}", shown(&other)))),
        };
        let name = if self.lenient { camel(&name) } else { name.to_string() };
        if !self.take('(')? {
            return Ok(name.into());
        }
        let params = self.parameters()?;
        Ok(if params.is_empty() { name.into() } else { format!("{name}({params})").into() })
    }

    fn one_type(&mut self, name: &str) -> Result<LogicalType> {
        if !self.take('(')? || self.take(')')? {
            return Err(arguments(name, "one type"));
        }
        let ty = self.type_()?;
        match self.next()? {
            Token::Sign(')') => Ok(ty),
            Token::Sign(',') => Err(arguments(name, "one type")),
            other => Err(self.syntax(&format!("expected ')', found {}", shown(&other)))),
        }
    }

    fn one_number(&mut self, name: &str) -> Result<i64> {
        if !self.take('(')? {
            return Err(arguments(name, "one number"));
        }
        match (self.next()?, self.next()?) {
            (Token::Number(n), Token::Sign(')')) => Ok(n),
            _ => Err(arguments(name, "one number")),
        }
    }

    fn zone(&mut self) -> Result<Zone> {
        match self.next()? {
            Token::Text(name) => Zone::parse(&name),
            Token::Word(word) => Err(self.syntax(&format!("the time zone {word} must stand in quotes"))),
            other => Err(Error::new(
                Code::ILLEGAL_TYPE_OF_ARGUMENT,
                format!("a time zone is a text, found {}", shown(&other)),
            )),
        }
    }

    fn datetime(&mut self, may_have_scale: bool) -> Result<LogicalType> {
        if !self.take('(')? || self.take(')')? {
            return Ok(LogicalType::DateTime(None));
        }
        if may_have_scale && matches!(self.peek()?, Token::Number(_)) {
            return self.scale_and_zone();
        }
        let zone = self.zone()?;
        self.expect(')')?;
        Ok(LogicalType::DateTime(Some(zone)))
    }

    fn datetime64(&mut self) -> Result<LogicalType> {
        if !self.take('(')? || self.take(')')? {
            return Ok(LogicalType::DateTime64(3, None));
        }
        self.scale_and_zone()
    }

    fn scale_and_zone(&mut self) -> Result<LogicalType> {
        let scale = match self.next()? {
            Token::Number(n @ 0..=9) => n as u8,
            Token::Number(n) => {
                return Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, format!("datetime64({n}): the scale is 0 to 9")));
            }
            other => {
                return Err(Error::new(
                    Code::ILLEGAL_TYPE_OF_ARGUMENT,
                    format!("the scale of datetime64 is a number, found {}", shown(&other)),
                ));
            }
        };
        let zone = if self.take(',')? { Some(self.zone()?) } else { None };
        self.expect(')')?;
        Ok(LogicalType::DateTime64(scale, zone))
    }

    fn numbers(&mut self) -> Result<Vec<i64>> {
        let mut numbers = Vec::new();
        if !self.take('(')? || self.take(')')? {
            return Ok(numbers);
        }
        loop {
            match self.next()? {
                Token::Number(n) => numbers.push(n),
                other => {
                    return Err(Error::new(
                        Code::ILLEGAL_TYPE_OF_ARGUMENT,
                        format!("expected a number, found {}", shown(&other)),
                    ));
                }
            }
            if !self.take(',')? {
                self.expect(')')?;
                return Ok(numbers);
            }
        }
    }

    fn decimal(&mut self) -> Result<LogicalType> {
        match self.numbers()?.as_slice() {
            [] => checked_decimal(10, 0),
            [p] => checked_decimal(*p, 0),
            [p, s] => checked_decimal(*p, *s),
            _ => Err(arguments("decimal", "a precision and a scale")),
        }
    }

    fn sized_decimal(&mut self, name: &str) -> Result<LogicalType> {
        let precision = match name {
            "decimal32" => 9,
            "decimal64" => 18,
            "decimal128" => 38,
            _ => 76,
        };
        match self.numbers()?.as_slice() {
            [scale] => checked_decimal(precision, *scale),
            _ => Err(arguments(name, "a scale")),
        }
    }

    fn enumeration(&mut self, name: &str) -> Result<LogicalType> {
        if !self.take('(')? {
            return Err(Error::new(Code::EMPTY_DATA_PASSED, format!("{name} needs at least one name")));
        }
        let mut pairs: Vec<(Arc<str>, i16)> = Vec::new();
        loop {
            let text = match self.next()? {
                Token::Text(text) => text,
                Token::Sign(')') if pairs.is_empty() => {
                    return Err(Error::new(Code::EMPTY_DATA_PASSED, format!("{name} needs at least one name")));
                }
                other => return Err(self.syntax(&format!("expected a name in quotes, found {}", shown(&other)))),
            };
            let value = if self.take('=')? {
                match self.next()? {
                    Token::Number(n) => n,
                    other => return Err(self.syntax(&format!("expected a number, found {}", shown(&other)))),
                }
            } else {
                pairs.last().map_or(1, |(_, v)| i64::from(*v) + 1)
            };
            let value = i16::try_from(value).ok().filter(|v| name != "enum8" || i8::try_from(*v).is_ok());
            let value = value.ok_or_else(|| {
                Error::new(Code::ARGUMENT_OUT_OF_BOUND, format!("{name}: the value of '{text}' is out of range"))
            })?;
            if pairs.iter().any(|(n, v)| **n == *text || *v == value) {
                return Err(Error::new(
                    Code::SYNTAX_ERROR,
                    format!("{name}: '{text}' = {value} repeats a name or a value"),
                ));
            }
            pairs.push((text.into(), value));
            if !self.take(',')? {
                self.expect(')')?;
                break;
            }
        }
        let small = pairs.iter().all(|(_, v)| i8::try_from(*v).is_ok());
        pairs.sort_by_key(|(_, v)| *v);
        let names = Arc::new(EnumNames { pairs });
        Ok(if name != "enum16" && small { LogicalType::Enum8(names) } else { LogicalType::Enum16(names) })
    }

    fn tuple(&mut self) -> Result<LogicalType> {
        if !self.take('(')? || self.take(')')? {
            return Err(Error::new(Code::EMPTY_DATA_PASSED, "a tuple has at least one element"));
        }
        let mut elements = Vec::new();
        loop {
            elements.push(self.element()?);
            if !self.take(',')? {
                self.expect(')')?;
                break;
            }
        }
        let named = elements.iter().filter(|(n, _)| n.is_some()).count();
        if named != 0 && named != elements.len() {
            return Err(Error::bad_arguments("either all elements of a tuple have names, or none"));
        }
        let mut names: Vec<_> = elements.iter().filter_map(|(n, _)| n.clone()).collect();
        names.sort();
        if names.windows(2).any(|w| w[0] == w[1]) {
            return Err(Error::new(Code::DUPLICATE_COLUMN, "two elements of a tuple have one name"));
        }
        Ok(LogicalType::Tuple(elements.into()))
    }

    /// `T` or `name T`: a name is a word with a type right after it.
    fn element(&mut self) -> Result<(Option<Arc<str>>, LogicalType)> {
        let at = self.at;
        if let Token::Word(name) | Token::Quoted(name) = self.next()? {
            let named = match self.peek()? {
                Token::Word(next) => !is_modifier(&next),
                Token::Quoted(_) => true,
                _ => false,
            };
            if named {
                return Ok((Some(name.into()), self.type_()?));
            }
        }
        self.at = at;
        Ok((None, self.type_()?))
    }

    fn nested(&mut self) -> Result<LogicalType> {
        if !self.take('(')? || self.take(')')? {
            return Err(Error::new(Code::EMPTY_NESTED_TABLE, "nested has at least one column"));
        }
        let mut elements = Vec::new();
        loop {
            match self.element()? {
                (Some(name), ty) => elements.push((name, ty)),
                (None, ty) => return Err(Error::bad_arguments(format!("nested: a column of type {ty} has no name"))),
            }
            if !self.take(',')? {
                self.expect(')')?;
                return Ok(LogicalType::Nested(elements.into()));
            }
        }
    }
}

fn is_modifier(word: &str) -> bool {
    word.eq_ignore_ascii_case("null") || word.eq_ignore_ascii_case("not")
}

fn shown(token: &Token) -> String {
    match token {
        Token::Word(w) | Token::Quoted(w) => format!("'{w}'"),
        Token::Text(t) => format!("the text '{t}'"),
        Token::Number(n) => n.to_string(),
        Token::Sign(s) => format!("'{s}'"),
        Token::End => "the end".to_string(),
    }
}

fn arguments(name: &str, wanted: &str) -> Error {
    Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, format!("type {name} takes {wanted}"))
}

/// Whether values of the type may be keys of a map: strings, integers, dates, ids, enums; never NULL.
pub fn is_map_key(ty: &LogicalType) -> bool {
    use LogicalType as T;
    !(ty.is_nullable() || matches!(ty, T::Array(_) | T::Map(..) | T::Json) || ty.is_float())
}

/// `nullable(T)`. Errors: ILLEGAL_TYPE_OF_ARGUMENT (43) for array, tuple, map, nested and json.
pub fn nullable(inner: LogicalType) -> Result<LogicalType> {
    use LogicalType as T;
    match inner {
        T::Array(_)
        | T::Tuple(_)
        | T::Map(..)
        | T::Nested(_)
        | T::Json
        | T::LowCardinality(_)
        | T::AggregateFunction { .. } => {
            Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, format!("{inner} cannot stand inside nullable")))
        }
        inner => Ok(LogicalType::nullable(inner)),
    }
}

/// `decimal(precision, scale)`. Errors: ARGUMENT_OUT_OF_BOUND (69).
pub fn checked_decimal(precision: i64, scale: i64) -> Result<LogicalType> {
    if !(1..=76).contains(&precision) {
        return Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, format!("decimal: precision {precision} is not 1 to 76")));
    }
    if !(0..=precision).contains(&scale) {
        return Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, format!("decimal: scale {scale} is not 0 to {precision}")));
    }
    Ok(LogicalType::Decimal { precision: precision as u8, scale: scale as u8 })
}

/// The unit of a singular or plural keyword or its abbreviation, in any case.
pub fn interval_unit(word: &str) -> Option<IntervalUnit> {
    use IntervalUnit::*;
    Some(match word.to_ascii_lowercase().as_str() {
        "nanosecond" | "nanoseconds" | "ns" | "sql_tsi_nanosecond" => Nanosecond,
        "microsecond" | "microseconds" | "us" | "sql_tsi_microsecond" => Microsecond,
        "millisecond" | "milliseconds" | "ms" | "sql_tsi_millisecond" => Millisecond,
        "second" | "seconds" | "ss" | "s" | "sql_tsi_second" => Second,
        "minute" | "minutes" | "mi" | "n" | "sql_tsi_minute" => Minute,
        "hour" | "hours" | "hh" | "h" | "sql_tsi_hour" => Hour,
        "day" | "days" | "dd" | "d" | "sql_tsi_day" => Day,
        "week" | "weeks" | "ww" | "wk" | "w" | "sql_tsi_week" => Week,
        "month" | "months" | "mm" | "m" | "sql_tsi_month" => Month,
        "quarter" | "quarters" | "qq" | "q" | "sql_tsi_quarter" => Quarter,
        "year" | "years" | "yyyy" | "yy" | "y" | "sql_tsi_year" => Year,
        _ => return None,
    })
}

/// The snake_case name behind a CamelCase one: `LowCardinality` → `low_cardinality`, `UInt8` → `uint8`, `IPv4` → `ipv4`.
pub(crate) fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let chars: Vec<char> = name.chars().collect();
    for (i, c) in chars.iter().enumerate() {
        let starts_word = c.is_ascii_uppercase() && i > 0 && chars[i - 1].is_ascii_lowercase();
        if starts_word && !matches!(name, "DateTime" | "DateTime64" | "DateTime32") {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> String {
        match parse_type(text) {
            Ok(ty) => ty.to_string(),
            Err(e) => e.code.number().to_string(),
        }
    }

    #[test]
    fn names_aliases_and_arguments() {
        for (text, expected) in [
            ("int32", "int32"),
            ("Int32", "50"),
            ("INT", "int32"),
            ("BigInt", "int64"),
            ("boolean", "bool"),
            ("tinyint", "50"),
            ("text", "50"),
            ("Date", "date"),
            ("DateTime", "datetime"),
            ("datetime(3)", "datetime64(3)"),
            ("DateTime64(6, 'UTC')", "datetime64(6, 'UTC')"),
            ("datetime32('Asia/Shanghai')", "datetime('Asia/Shanghai')"),
            ("datetime64", "datetime64(3)"),
            ("datetime64(10)", "69"),
            ("decimal(5)", "decimal(5, 0)"),
            ("decimal64(3)", "decimal(18, 3)"),
            ("decimal(77, 1)", "69"),
            ("decimal(3, 4)", "69"),
            ("fixed_string(0)", "69"),
            ("enum('b', 'a')", "enum8('b' = 1, 'a' = 2)"),
            ("enum('a' = 1000, 'b')", "enum16('a' = 1000, 'b' = 1001)"),
            ("enum8('a' = 200)", "69"),
            ("array(array(nullable(string)))", "array(array(nullable(string)))"),
            ("nullable(array(int8))", "43"),
            ("string null", "nullable(string)"),
            ("string NOT NULL", "string"),
            ("tuple(a int8, `b c` string)", "tuple(a int8, `b c` string)"),
            ("tuple(int8, string)", "tuple(int8, string)"),
            ("tuple(int8 null)", "tuple(nullable(int8))"),
            ("map(string, array(int8))", "map(string, array(int8))"),
            ("nested(a int8, b string)", "nested(a int8, b string)"),
            ("low_cardinality(nullable(string))", "low_cardinality(nullable(string))"),
            ("aggregate_function(sum, int64)", "aggregate_function(sum, int64)"),
            ("simple_aggregate_function(max, datetime64(3))", "simple_aggregate_function(max, datetime64(3))"),
            ("interval_day", "interval_day"),
            ("int8)", "62"),
            ("array(int8", "62"),
            ("JSON", "json"),
        ] {
            assert_eq!(printed(text), expected, "{text}");
        }
    }

    #[test]
    fn camel_case_only_where_it_is_allowed() {
        for (text, expected) in [
            ("Array(LowCardinality(String))", "array(low_cardinality(string))"),
            ("UInt8", "uint8"),
            ("FixedString(3)", "fixed_string(3)"),
            ("Nullable(IPv4)", "nullable(ipv4)"),
            ("UUID", "uuid"),
            ("AggregateFunction(sum, Int64)", "aggregate_function(sum, int64)"),
            ("IntervalDay", "interval_day"),
            ("Map(String, Float64)", "map(string, float64)"),
        ] {
            assert_eq!(parse_type_lenient(text).unwrap().to_string(), expected);
        }
        assert_eq!(parse_type("String").unwrap_err().hint.as_deref(), Some("string"));
    }

    #[test]
    fn depth_has_a_limit() {
        let deep = "array(".repeat(100_000);
        assert_eq!(parse_type(&deep).unwrap_err().code, Code::TOO_DEEP_RECURSION);
    }
}
