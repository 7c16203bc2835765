//! Columns as the data itself tells them: names and types from the first rows of an input.
//!
//! In: the head of an input and its format. Out: columns. Promise: the columns hold every row of the sample; one that was NULL
//! somewhere is nullable. Numbers are int64, uint64 or float64, times datetime64, everything else a string, unless the format has
//! types of its own.

use crate::format_schema::SchemaKind;
use crate::{FormatOptions, avro};
use hydron_base::{Code, Error, Result};
use hydron_types::{Field, LogicalType, parse_type_lenient};
use serde_json::Value as Json;

/// Rows of the sample that decide.
const ROWS_MAX: usize = 25_000;

/// The columns of an input of `format` that begins with `head`; `None` for a format whose columns must be given.
///
/// Errors: CANNOT_EXTRACT_STREAM_STRUCTURE (636) for a sample that is not in the format, or has no row.
pub fn infer(format: &str, head: &[u8], options: &FormatOptions) -> Result<Option<Vec<Field>>> {
    let text = || String::from_utf8_lossy(head);
    let separated = |separator, names, types| infer_separated(&text(), separator, names, types, options);
    let fields = match format {
        "JSONEachRow" | "JSONLines" | "NDJSON" | "JSONStringsEachRow" => json_rows(head, format)?,
        "JSONObjectEachRow" => json_members(head)?,
        "JSONColumns" => json_columns(head)?,
        "JSONCompactEachRow" | "JSONCompactStringsEachRow" => json_lists(head, false, false)?,
        "JSONCompactEachRowWithNames" | "JSONCompactStringsEachRowWithNames" => json_lists(head, true, false)?,
        "JSONCompactEachRowWithNamesAndTypes" | "JSONCompactStringsEachRowWithNamesAndTypes" => {
            json_lists(head, true, true)?
        }
        "JSONAsString" => vec![Field::new("json", LogicalType::String)],
        "JSONAsObject" => vec![Field::new("json", LogicalType::Json)],
        "CSV" => separated(options.text.csv_delimiter as char, false, false)?,
        "CSVWithNames" => separated(options.text.csv_delimiter as char, true, false)?,
        "CSVWithNamesAndTypes" => separated(options.text.csv_delimiter as char, true, true)?,
        "TSV" | "TabSeparated" | "TSVRaw" | "TabSeparatedRaw" => separated('\t', false, false)?,
        "TSVWithNames" | "TabSeparatedWithNames" | "TSVRawWithNames" | "TabSeparatedRawWithNames" => {
            separated('\t', true, false)?
        }
        "TSVWithNamesAndTypes"
        | "TabSeparatedWithNamesAndTypes"
        | "TSVRawWithNamesAndTypes"
        | "TabSeparatedRawWithNamesAndTypes" => separated('\t', true, true)?,
        "TSKV" => tskv(&text()),
        "LineAsString" => vec![Field::new("line", LogicalType::String)],
        "RawBLOB" => vec![Field::new("raw_blob", LogicalType::String)],
        "Avro" if !options.schema.is_given() => avro::columns_of_file(head)?,
        _ => match SchemaKind::of_format(format) {
            Some(SchemaKind::Avro) => avro::columns_of_schema(options.schema.needed(format)?)?,
            #[cfg(feature = "protobuf")]
            Some(SchemaKind::Protobuf) => crate::protobuf::columns(options, format)?,
            _ => return Ok(None),
        },
    };
    match fields.is_empty() {
        true => Err(wrong(format!("the input of format {format} has no row that tells its columns"))),
        false => Ok(Some(fields)),
    }
}

fn wrong(message: String) -> Error {
    Error::new(Code::CANNOT_EXTRACT_STREAM_STRUCTURE, message).hint("give the columns: 'a int32, b string'")
}

/// What all values of a column seen so far could be.
#[derive(Clone, Debug, Default, PartialEq)]
struct Guess {
    ty: Option<LogicalType>,
    has_null: bool,
}

impl Guess {
    fn of_text(text: &str) -> Guess {
        let ty = match text {
            "" => return Guess::default(),
            "\\N" => return Guess { ty: None, has_null: true },
            "true" | "false" => LogicalType::Bool,
            t if t.parse::<i64>().is_ok() => LogicalType::Int64,
            t if t.parse::<u64>().is_ok() => LogicalType::UInt64,
            t if t.parse::<f64>().is_ok() => LogicalType::Float64,
            t if looks_like_time(t) => LogicalType::DateTime64(9, None),
            _ => LogicalType::String,
        };
        Guess { ty: Some(ty), has_null: false }
    }

    fn of_json(value: &Json) -> Guess {
        let ty = match value {
            Json::Null => return Guess { ty: None, has_null: true },
            Json::Bool(_) => LogicalType::Bool,
            Json::Number(n) if n.is_i64() => LogicalType::Int64,
            Json::Number(n) if n.is_u64() => LogicalType::UInt64,
            Json::Number(_) => LogicalType::Float64,
            Json::Array(items) => {
                let mut item = Guess::default();
                items.iter().for_each(|i| item.join(Guess::of_json(i)));
                LogicalType::array(item.field_type())
            }
            Json::String(_) | Json::Object(_) => LogicalType::String,
        };
        Guess { ty: Some(ty), has_null: false }
    }

    fn join(&mut self, other: Guess) {
        self.has_null |= other.has_null;
        self.ty = match (self.ty.take(), other.ty) {
            (None, t) | (t, None) => t,
            (Some(a), Some(b)) => Some(joined(a, b)),
        };
    }

    fn field_type(&self) -> LogicalType {
        let ty = self.ty.clone().unwrap_or(LogicalType::String);
        match self.has_null && !matches!(ty, LogicalType::Array(_)) {
            true => LogicalType::nullable(ty),
            false => ty,
        }
    }
}

fn joined(a: LogicalType, b: LogicalType) -> LogicalType {
    match (a, b) {
        (a, b) if a == b => a,
        (LogicalType::Array(a), LogicalType::Array(b)) => LogicalType::array(joined(*a, *b)),
        (a, b) if a.is_number() && b.is_number() => LogicalType::Float64,
        _ => LogicalType::String,
    }
}

fn looks_like_time(text: &str) -> bool {
    let shape: String = text.chars().take(19).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let rest = text.get(19..).unwrap_or_default();
    (shape == "0000-00-00 00:00:00" || shape == "0000-00-00T00:00:00")
        && (rest.is_empty() || (rest.starts_with('.') && rest[1..].bytes().all(|b| b.is_ascii_digit())))
}

fn fields_of(names: Vec<String>, guesses: &[Guess]) -> Vec<Field> {
    let name = |i: usize| names.get(i).cloned().unwrap_or_else(|| format!("c{}", i + 1));
    guesses.iter().enumerate().map(|(i, g)| Field::new(name(i), g.field_type())).collect()
}

fn typed(names: Vec<String>, types: &[String]) -> Result<Vec<Field>> {
    let fields = names.into_iter().zip(types).map(|(n, t)| Ok(Field::new(n, parse_type_lenient(t)?)));
    fields.collect()
}

fn infer_separated(
    text: &str,
    separator: char,
    names: bool,
    types: bool,
    options: &FormatOptions,
) -> Result<Vec<Field>> {
    let mut lines = text.lines().filter(|l| !l.is_empty()).map(|l| split_line(l, separator));
    let header = if names { lines.next().unwrap_or_default() } else { Vec::new() };
    if types {
        return typed(header, &lines.next().unwrap_or_default());
    }
    let null: &str = if separator == '\t' { &options.text.tsv_null } else { &options.text.csv_null };
    let mut guesses = vec![Guess::default(); header.len()];
    for row in lines.take(ROWS_MAX) {
        guesses.resize(guesses.len().max(row.len()), Guess::default());
        for (guess, value) in guesses.iter_mut().zip(&row) {
            guess.join(if value == null { Guess { ty: None, has_null: true } } else { Guess::of_text(value) });
        }
    }
    Ok(fields_of(header, &guesses))
}

/// Fields of one line; a quoted field keeps its separators.
fn split_line(line: &str, separator: char) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' if separator != '\t' => quoted = !quoted,
            c if c == separator && !quoted => fields.push(String::new()),
            c => {
                if let Some(field) = fields.last_mut() {
                    field.push(c);
                }
            }
        }
    }
    fields
}

fn tskv(text: &str) -> Vec<Field> {
    let mut columns = Columns::default();
    for line in text.lines().take(ROWS_MAX) {
        for field in line.split('\t') {
            if let Some((name, value)) = field.split_once('=') {
                columns.add(name, Guess::of_text(value));
            }
        }
    }
    columns.fields()
}

/// Columns in the order in which they were first seen.
#[derive(Default)]
struct Columns {
    names: Vec<String>,
    guesses: Vec<Guess>,
}

impl Columns {
    fn add(&mut self, name: &str, guess: Guess) {
        match self.names.iter().position(|n| n == name) {
            Some(at) => self.guesses[at].join(guess),
            None => {
                self.names.push(name.to_string());
                self.guesses.push(guess);
            }
        }
    }

    fn fields(self) -> Vec<Field> {
        fields_of(self.names, &self.guesses)
    }
}

/// Documents one after another, with commas and a list around them or without. A last one that is cut off does not count.
fn documents<T: for<'d> serde::Deserialize<'d>>(head: &[u8], what: &str) -> Result<Vec<T>> {
    let text = head.trim_ascii_start();
    let in_list = what == "object" && text.first() == Some(&b'[');
    let mut rest = if in_list { &text[1..] } else { text };
    let mut documents = Vec::new();
    while documents.len() < ROWS_MAX {
        let skipped = rest.iter().take_while(|b| b.is_ascii_whitespace() || matches!(b, b',' | b';')).count();
        rest = &rest[skipped..];
        if rest.is_empty() || in_list && rest.first() == Some(&b']') {
            break;
        }
        let mut stream = serde_json::Deserializer::from_slice(rest).into_iter::<T>();
        match stream.next() {
            Some(Ok(document)) => documents.push(document),
            Some(Err(e)) if e.is_eof() && !documents.is_empty() => break,
            Some(Err(e)) => return Err(wrong(format!("row {} is no JSON {what}: {e}", documents.len() + 1))),
            None => break,
        }
        rest = &rest[stream.byte_offset()..];
    }
    Ok(documents)
}

fn json_rows(head: &[u8], format: &str) -> Result<Vec<Field>> {
    let mut columns = Columns::default();
    for row in documents::<Ordered>(head, "object")? {
        for (name, value) in row.0 {
            // In the kind with strings the text inside decides.
            let guess = match value.as_str().filter(|_| format.contains("Strings")) {
                Some(text) => Guess::of_text(text),
                None => Guess::of_json(&value),
            };
            columns.add(&name, guess);
        }
    }
    Ok(columns.fields())
}

fn json_members(head: &[u8]) -> Result<Vec<Field>> {
    let mut columns = Columns::default();
    for all in documents::<Ordered>(head, "document")? {
        for (_, row) in all.0 {
            let Json::Object(row) = row else { return Err(wrong("a row is no object".to_string())) };
            row.iter().for_each(|(name, value)| columns.add(name, Guess::of_json(value)));
        }
    }
    Ok(columns.fields())
}

fn json_columns(head: &[u8]) -> Result<Vec<Field>> {
    let mut columns = Columns::default();
    for all in documents::<Ordered>(head, "document")? {
        for (name, values) in all.0 {
            let Json::Array(values) = values else { return Err(wrong(format!("column '{name}' is no list"))) };
            columns.add(&name, Guess::default());
            values.iter().for_each(|v| columns.add(&name, Guess::of_json(v)));
        }
    }
    Ok(columns.fields())
}

fn json_lists(head: &[u8], names: bool, types: bool) -> Result<Vec<Field>> {
    let mut rows = documents::<Vec<Json>>(head, "list")?.into_iter();
    let texts = |row: Option<Vec<Json>>| -> Vec<String> {
        row.unwrap_or_default().iter().map(|v| v.as_str().unwrap_or_default().to_string()).collect()
    };
    let header = if names { texts(rows.next()) } else { Vec::new() };
    if types {
        return typed(header, &texts(rows.next()));
    }
    let mut guesses = vec![Guess::default(); header.len()];
    for row in rows {
        guesses.resize(guesses.len().max(row.len()), Guess::default());
        guesses.iter_mut().zip(&row).for_each(|(guess, value)| guess.join(Guess::of_json(value)));
    }
    Ok(fields_of(header, &guesses))
}

/// An object whose members stay in their order.
struct Ordered(Vec<(String, Json)>);

impl<'de> serde::Deserialize<'de> for Ordered {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Ordered, D::Error> {
        struct Members;
        impl<'de> serde::de::Visitor<'de> for Members {
            type Value = Ordered;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Ordered(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(format: &str, head: &str) -> String {
        match infer(format, head.as_bytes(), &FormatOptions::default()) {
            Ok(Some(fields)) => fields.iter().map(|f| format!("{} {}", f.name, f.ty)).collect::<Vec<_>>().join(", "),
            Ok(None) => "none".to_string(),
            Err(e) => e.code.to_string(),
        }
    }

    #[test]
    fn columns_are_found_in_rows() {
        let rows = "{\"b\": 1, \"a\": \"x\", \"l\": [1, 2.5]}\n{\"b\": null, \"c\": true}\n{\"b\": 2, \"a\": \"cut";
        assert_eq!(found("JSONEachRow", rows), "b nullable(int64), a string, l array(float64), c bool");
        assert_eq!(found("JSONEachRow", "[{\"a\": 1}, {\"a\": 18446744073709551615}]"), "a float64");
        assert_eq!(found("JSONObjectEachRow", r#"{"r1": {"a": 1}, "r2": {"a": 2, "z": ""}}"#), "a int64, z string");
        assert_eq!(found("JSONColumns", r#"{"z": [1, null], "a": []}"#), "z nullable(int64), a string");
        assert_eq!(found("JSONCompactEachRow", "[1, \"x\"]\n[2.5, null]"), "c1 float64, c2 nullable(string)");
        assert_eq!(found("JSONCompactEachRowWithNames", "[\"a\"]\n[1]"), "a int64");
        assert_eq!(
            found("CSVWithNames", "t,n,s\n2001-01-01 00:00:00,1,\"a,b\"\n2001-01-01 00:00:01,2.5,x\n"),
            "t datetime64(9), n float64, s string"
        );
        assert_eq!(found("TSVWithNamesAndTypes", "a\tb\nint8\tnullable(string)\n"), "a int8, b nullable(string)");
        assert_eq!(found("TSV", "1\t\\N\n"), "c1 int64, c2 nullable(string)");
        assert_eq!(found("TSKV", "a=1\tb=x\na=2\n"), "a int64, b string");
        assert_eq!(found("Values", "(1)"), "none");
    }

    #[test]
    fn what_tells_nothing_is_an_error() {
        let code = Code::CANNOT_EXTRACT_STREAM_STRUCTURE.to_string();
        for (format, head) in [("JSONEachRow", ""), ("JSONEachRow", "x"), ("CSV", ""), ("JSONColumns", "{\"a\": 1}")] {
            assert_eq!(found(format, head), code, "{format} {head}");
        }
    }
}
