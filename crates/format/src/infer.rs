//! Columns as the data itself tells them: names and types from the first rows of an input.
//!
//! In: the head of an input and its format. Out: columns. Promise: the columns hold every row of the sample. What a value says is in
//! [`guess`], what values of TSV, CSV and VALUES look like in [`literal`]; formats with types of their own say it exactly.

mod guess;
mod literal;

pub use guess::InferOptions;

use crate::format_schema::SchemaKind;
use crate::{FormatOptions, avro};
use guess::Guess;
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
    let infer = &options.infer;
    let fields = match format {
        "JSONEachRow" | "JSONLines" | "NDJSON" | "JSONStringsEachRow" => json_rows(head, format, infer)?,
        "JSONObjectEachRow" => json_members(head, infer)?,
        "JSONColumns" => json_columns(head, infer)?,
        "JSON" | "JSONCompact" | "JSONColumnsWithMetadata" => json_meta(&text())?,
        "JSONCompactEachRow" | "JSONCompactStringsEachRow" => json_lists(head, false, false, infer)?,
        "JSONCompactEachRowWithNames" | "JSONCompactStringsEachRowWithNames" => json_lists(head, true, false, infer)?,
        "JSONCompactEachRowWithNamesAndTypes" | "JSONCompactStringsEachRowWithNamesAndTypes" => {
            json_lists(head, true, true, infer)?
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
        "TSKV" => tskv(&text(), options),
        "Values" => values(&text(), infer)?,
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

fn fields_of(names: Vec<String>, guesses: &[Guess], options: &InferOptions) -> Vec<Field> {
    let names = if names.is_empty() { &options.names } else { &names };
    let name = |i: usize| names.get(i).cloned().unwrap_or_else(|| format!("c{}", i + 1));
    guesses.iter().enumerate().map(|(i, g)| Field::new(name(i), g.column_type(options))).collect()
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
    let skipped = if separator == '\t' { options.tsv_skip_lines } else { options.csv_skip_lines };
    let lines = text.lines().skip(usize::try_from(skipped).unwrap_or(usize::MAX));
    let mut lines = lines.filter(|l| !l.is_empty()).map(|l| split_line(l, separator));
    let mut head = || -> Vec<String> { lines.next().unwrap_or_default().into_iter().map(|(text, _)| text).collect() };
    let header = if names { head() } else { Vec::new() };
    if types {
        return typed(header, &head());
    }
    let null: &str = if separator == '\t' { &options.text.tsv_null } else { &options.text.csv_null };
    let mut guesses = vec![Guess::default(); header.len()];
    for row in lines.take(ROWS_MAX) {
        guesses.resize(guesses.len().max(row.len()), Guess::default());
        for (guess, (value, quoted)) in guesses.iter_mut().zip(&row) {
            guess.join(if value == null { Guess::null() } else { literal::of_field(value, *quoted, &options.infer) });
        }
    }
    Ok(fields_of(header, &guesses, &options.infer))
}

/// Fields of one line, and whether they stood in quotes; a quoted field keeps its separators.
fn split_line(line: &str, separator: char) -> Vec<(String, bool)> {
    let mut fields = vec![(String::new(), false)];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(field) = fields.last_mut() else { break };
        match c {
            '"' if separator != '\t' && quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.0.push('"');
            }
            '"' if separator != '\t' => (quoted, field.1) = (!quoted, true),
            c if c == separator && !quoted => fields.push((String::new(), false)),
            c => field.0.push(c),
        }
    }
    fields
}

fn tskv(text: &str, options: &FormatOptions) -> Vec<Field> {
    let mut columns = Columns::default();
    for line in text.lines().take(ROWS_MAX) {
        for field in line.split('\t') {
            if let Some((name, value)) = field.split_once('=') {
                let is_null = value == &*options.text.tsv_null;
                columns
                    .add(name, if is_null { Guess::null() } else { literal::of_field(value, false, &options.infer) });
            }
        }
    }
    columns.fields(&options.infer)
}

/// Rows of VALUES that are literals alone.
fn values(text: &str, options: &InferOptions) -> Result<Vec<Field>> {
    let mut guesses: Vec<Guess> = Vec::new();
    for row in literal::rows(text, options).take(ROWS_MAX) {
        let Some(row) = row else {
            if guesses.is_empty() {
                return Err(wrong("a row of VALUES is not of literals".to_string()));
            }
            break;
        };
        guesses.resize(guesses.len().max(row.len()), Guess::default());
        guesses.iter_mut().zip(row).for_each(|(guess, value)| guess.join(value));
    }
    Ok(fields_of(Vec::new(), &guesses, options))
}

/// What a document of JSON says of its columns in `meta`.
fn json_meta(text: &str) -> Result<Vec<Field>> {
    let no_meta = || wrong("the document does not begin with its \"meta\"".to_string());
    let at = text.find("\"meta\"").and_then(|at| Some(at + text[at..].find('[')?)).ok_or_else(no_meta)?;
    let list = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Vec<Json>>().next();
    let Some(Ok(list)) = list else { return Err(no_meta()) };
    let column = |c: &Json| Some((c["name"].as_str()?.to_string(), c["type"].as_str()?.to_string()));
    let columns: Option<Vec<(String, String)>> = list.iter().map(column).collect();
    let (names, types): (Vec<String>, Vec<String>) = columns.ok_or_else(no_meta)?.into_iter().unzip();
    typed(names, &types)
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

    fn fields(self, options: &InferOptions) -> Vec<Field> {
        fields_of(self.names, &self.guesses, options)
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

fn json_rows(head: &[u8], format: &str, options: &InferOptions) -> Result<Vec<Field>> {
    let mut columns = Columns::default();
    for row in documents::<Ordered>(head, "object")? {
        for (name, value) in row.0 {
            // In the kind with strings the text inside decides.
            let guess = match value.as_str().filter(|_| format.contains("Strings")) {
                Some(text) => literal::of_field(text, false, options),
                None => Guess::of_json(&value, options),
            };
            columns.add(&name, guess);
        }
    }
    Ok(columns.fields(options))
}

fn json_members(head: &[u8], options: &InferOptions) -> Result<Vec<Field>> {
    let mut columns = Columns::default();
    for all in documents::<Ordered>(head, "document")? {
        for (_, row) in all.0 {
            let Json::Object(row) = row else { return Err(wrong("a row is no object".to_string())) };
            row.iter().for_each(|(name, value)| columns.add(name, Guess::of_json(value, options)));
        }
    }
    Ok(columns.fields(options))
}

fn json_columns(head: &[u8], options: &InferOptions) -> Result<Vec<Field>> {
    let mut columns = Columns::default();
    for all in documents::<Ordered>(head, "document")? {
        for (name, values) in all.0 {
            let Json::Array(values) = values else { return Err(wrong(format!("column '{name}' is no list"))) };
            columns.add(&name, Guess::default());
            values.iter().for_each(|v| columns.add(&name, Guess::of_json(v, options)));
        }
    }
    Ok(columns.fields(options))
}

fn json_lists(head: &[u8], names: bool, types: bool, options: &InferOptions) -> Result<Vec<Field>> {
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
        guesses.iter_mut().zip(&row).for_each(|(guess, value)| guess.join(Guess::of_json(value, options)));
    }
    Ok(fields_of(header, &guesses, options))
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
        let expected = "b nullable(int64), a nullable(string), l array(nullable(float64)), c nullable(bool)";
        assert_eq!(found("JSONEachRow", rows), expected);
        assert_eq!(found("JSONEachRow", "[{\"a\": 1}, {\"a\": 18446744073709551615}]"), "a nullable(float64)");
        let rows = r#"{"r1": {"a": 1}, "r2": {"a": 2, "z": ""}}"#;
        assert_eq!(found("JSONObjectEachRow", rows), "a nullable(int64), z nullable(string)");
        let columns = r#"{"z": [1, null], "a": []}"#;
        assert_eq!(found("JSONColumns", columns), "z nullable(int64), a nullable(string)");
        let rows = "[1, \"x\"]\n[2.5, null]";
        assert_eq!(found("JSONCompactEachRow", rows), "c1 nullable(float64), c2 nullable(string)");
        assert_eq!(found("JSONCompactEachRowWithNames", "[\"a\"]\n[1]"), "a nullable(int64)");
        let meta = r#"{"meta": [{"name": "a", "type": "int8"}], "data": [{"a": 1}"#;
        assert_eq!(found("JSON", meta), "a int8");
        assert_eq!(
            found("CSVWithNames", "t,n,s\n2001-01-01 00:00:00,1,\"a,b\"\n2001-01-01 00:00:01,2.5,x\n"),
            "t nullable(datetime), n nullable(float64), s nullable(string)"
        );
        assert_eq!(found("TSVWithNamesAndTypes", "a\tb\nint8\tnullable(string)\n"), "a int8, b nullable(string)");
        assert_eq!(found("TSV", "1\t\\N\n"), "c1 nullable(int64), c2 nullable(string)");
        assert_eq!(found("TSKV", "a=1\tb=x\na=2\n"), "a nullable(int64), b nullable(string)");
        assert_eq!(found("CustomSeparated", "1"), "none");
    }

    #[test]
    fn values_inside_of_values_are_found() {
        let one = |json: &str| found("JSONEachRow", &format!("{{\"x\": {json}}}"));
        assert_eq!(one(r#"{"a": 1, "b": 2}"#), "x map(string, nullable(int64))");
        assert_eq!(one(r#"{"a": 1, "b": "q"}"#), "x json");
        assert_eq!(one(r#"[1, "q", [true]]"#), "x tuple(nullable(int64), nullable(string), array(nullable(bool)))");
        assert_eq!(one(r#"[[1], [], [2.5]]"#), "x array(array(nullable(float64)))");
        assert_eq!(one(r#""2022-01-01""#), "x nullable(date)");
        assert_eq!(one(r#""2022-01-01 00:00:00.5""#), "x nullable(datetime64(9))");
        assert_eq!(
            found("TSV", "[1,2]\t(1,'a')\t{'k':1.5}\t[x\n"),
            "c1 array(nullable(int64)), \
            c2 tuple(nullable(int64), nullable(string)), c3 map(string, nullable(float64)), c4 nullable(string)"
        );
        assert_eq!(found("CSV", "\"[1,2]\",\"1\"\n"), "c1 array(nullable(int64)), c2 nullable(string)");
        let rows = "(1, 'x', NULL, [1]), (2.5, 'y', 1, [])";
        assert_eq!(
            found("Values", rows),
            "c1 nullable(float64), c2 nullable(string), c3 nullable(int64), c4 array(nullable(int64))"
        );
    }

    #[test]
    fn settings_say_how_far_a_guess_goes() {
        let with = |settings: &[(&str, &str)], format: &str, head: &str| {
            let mut all = hydron_base::Settings::default();
            settings.iter().for_each(|(name, value)| all.set(name, value).unwrap());
            let options = FormatOptions::from_settings(&all, hydron_types::Zone::UTC);
            let fields = infer(format, head.as_bytes(), &options).unwrap().unwrap();
            fields.iter().map(|f| format!("{} {}", f.name, f.ty)).collect::<Vec<_>>().join(", ")
        };
        let plain = ("schema_inference_make_columns_nullable", "0");
        assert_eq!(with(&[plain], "JSONEachRow", r#"{"a": 1, "b": [1, null]}"#), "a int64, b array(nullable(int64))");
        let no_ints = ("input_format_try_infer_integers", "0");
        assert_eq!(with(&[plain, no_ints], "CSV", "1,2020-01-01\n"), "c1 float64, c2 date");
        let (no_dates, names) = (("input_format_try_infer_dates", "0"), ("column_names_for_schema_inference", "a, b"));
        assert_eq!(with(&[plain, no_dates, names], "CSV", "1,2020-01-01\n"), "a int64, b string");
        let tuples = ("input_format_json_try_infer_named_tuples_from_objects", "1");
        let rows = r#"{"o": {"x": 1}} {"o": {"y": "q"}}"#;
        assert_eq!(with(&[plain, tuples], "JSONEachRow", rows), "o tuple(x int64, y string)");
        let numbers = ("input_format_json_try_infer_numbers_from_strings", "1");
        assert_eq!(with(&[plain, numbers], "JSONEachRow", r#"{"a": "1"}"#), "a int64");
    }

    #[test]
    fn what_tells_nothing_is_an_error() {
        let code = Code::CANNOT_EXTRACT_STREAM_STRUCTURE.to_string();
        for (format, head) in [("JSONEachRow", ""), ("JSONEachRow", "x"), ("CSV", ""), ("JSONColumns", "{\"a\": 1}")] {
            assert_eq!(found(format, head), code, "{format} {head}");
        }
    }
}
