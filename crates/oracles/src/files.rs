//! Files and messages that carry types of their own: Arrow, Parquet, Avro, Protobuf, MsgPack; formats whose frame the user gives;
//! and what a sample of any of them tells of its columns.

use hydron_base::Settings;
use hydron_format::infer::infer;
use hydron_format::{FormatOptions, input};
use hydron_types::{Field, Schema, Zone, parse_type};
use std::sync::{Arc, LazyLock};

const COLUMNS: &[(&str, &str)] = &[
    ("i", "int32"),
    ("s", "string"),
    ("n", "nullable(float64)"),
    ("a", "array(nullable(string))"),
    ("m", "map(string, int64)"),
    ("t", "tuple(x uint8, y string)"),
    ("d", "datetime64(3, 'UTC')"),
    ("o", "date"),
    ("b", "bool"),
    ("c", "decimal(18, 4)"),
    ("j", "json"),
];

pub const PROTOBUF: &str = r#"
syntax = "proto3";
import "google/protobuf/timestamp.proto";
message Row {
  message Pair { uint32 x = 1; string y = 2; Row more = 3; }
  int32 i = 1;
  bytes s = 2;
  optional double n = 3;
  repeated string a = 4;
  map<string, int64> m = 5;
  Pair t = 6;
  google.protobuf.Timestamp d = 7;
  bool b = 9;
  string c = 10;
  Pair j = 11;
}"#;

pub const AVRO: &str = r#"{"type": "record", "name": "row", "fields": [
  {"name": "i", "type": "int"}, {"name": "s", "type": "bytes"}, {"name": "n", "type": ["null", "double"]},
  {"name": "a", "type": {"type": "array", "items": ["null", "string"]}}, {"name": "m", "type": {"type": "map", "values": "long"}},
  {"name": "t", "type": {"type": "record", "name": "pair", "fields": [{"name": "x", "type": "int"}, {"name": "y", "type": "string"}]}},
  {"name": "d", "type": {"type": "long", "logicalType": "timestamp-millis"}},
  {"name": "o", "type": {"type": "int", "logicalType": "date"}}, {"name": "b", "type": "boolean"},
  {"name": "c", "type": {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}}, {"name": "j", "type": ["null", "pair"]}]}"#;

pub static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let field = |(name, ty): &(&str, &str)| Field::new(*name, parse_type(ty).expect("a type of ours"));
    Arc::new(Schema::new(COLUMNS.iter().map(field).collect()))
});

/// Options in which every format can be opened.
pub fn options(format: &str) -> FormatOptions {
    let mut settings = Settings::default();
    let given = [
        ("format_template_row_format", "${i:CSV};${s:JSON} ${n:Escaped}|${a:Quoted}${m:Raw}\n"),
        ("format_template_resultset_format", "<${data}>"),
        ("format_regexp", "(.*),(.*);(.*):(.*) (.*)(.)(.)(.)(.)(.)(.)"),
        ("format_custom_row_between_delimiter", ";"),
        ("format_custom_result_before_delimiter", "<"),
        ("format_custom_result_after_delimiter", ">"),
        ("format_custom_escaping_rule", "Quoted"),
    ];
    let schema = match format {
        f if f.starts_with("Protobuf") => [("format_schema", "s:Row"), ("format_schema_source", PROTOBUF)],
        "AvroConfluent" => [("format_schema", "s"), ("format_schema_source", AVRO)],
        _ => [("format_schema", ""), ("format_schema_source", "")],
    };
    for (name, value) in given.into_iter().chain(schema) {
        settings.set(name, value).expect("a setting of ours");
    }
    FormatOptions::from_settings(&settings, Zone::UTC)
}

/// Rows that come out; `None` when there is an error.
fn read(format: &str, bytes: &[u8], step: usize) -> Option<usize> {
    let mut reader = input(format, Arc::clone(&SCHEMA), &options(format), None).expect("a format of ours");
    let mut rows = 0;
    let pieces = bytes.chunks(step.max(1)).map(|piece| (piece, false)).chain([(&b""[..], true)]);
    for (piece, last) in pieces {
        for read in reader.feed(piece, last).ok()? {
            assert!(read.batch.columns.iter().all(|c| c.len() == read.batch.rows()));
            rows += read.batch.rows();
        }
    }
    Some(rows)
}

fn alike_at_any_cut(format: &str, bytes: &[u8], step: u8) {
    let whole = read(format, bytes, bytes.len());
    let cut = read(format, bytes, usize::from(step) + 1);
    assert_eq!(whole, cut, "{format}: the rows that are read depend on the cut");
}

/// A byte for the kind, one for the cut, then a file or stream.
pub fn arrow(bytes: &[u8]) {
    let [kind, step, bytes @ ..] = bytes else { return };
    alike_at_any_cut(["Arrow", "ArrowStream"][usize::from(*kind) % 2], bytes, *step);
}

pub fn parquet(bytes: &[u8]) {
    let [step, bytes @ ..] = bytes else { return };
    alike_at_any_cut("Parquet", bytes, *step);
}

/// A byte for the kind, one for the cut, then a file, or records of the schema above with their prefix.
pub fn avro(bytes: &[u8]) {
    let [kind, step, bytes @ ..] = bytes else { return };
    alike_at_any_cut(["Avro", "AvroConfluent"][usize::from(*kind) % 2], bytes, *step);
}

/// A byte for the kind, one for the cut, then messages of the schema above.
pub fn protobuf(bytes: &[u8]) {
    let [kind, step, bytes @ ..] = bytes else { return };
    alike_at_any_cut(["Protobuf", "ProtobufSingle", "ProtobufList"][usize::from(*kind) % 3], bytes, *step);
}

/// The text of a schema; the first byte says of which kind.
pub fn format_schema(bytes: &[u8]) {
    use hydron_format::format_schema::{SchemaKind, check};
    let [kind, text @ ..] = bytes else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let kind = if kind % 2 == 0 { SchemaKind::Protobuf } else { SchemaKind::Avro };
    // Whether it is a schema is the text's matter.
    let _ = check(kind, text);
}

pub const FRAMED: &[&str] = &[
    "CustomSeparated",
    "CustomSeparatedIgnoreSpaces",
    "CustomSeparatedWithNames",
    "Template",
    "TemplateIgnoreSpaces",
    "Regexp",
    "JSONColumns",
    "JSONCompactColumns",
    "JSONObjectEachRow",
    "MsgPack",
    "JSON",
    "JSONCompact",
];

/// A byte for the format, one for the cut, then rows.
pub fn framed(bytes: &[u8]) {
    let [format, step, bytes @ ..] = bytes else { return };
    let format = FRAMED[usize::from(*format) % FRAMED.len()];
    // White space that is read over may lie at a cut: what such a format reads there is its own matter.
    match format.contains("IgnoreSpaces") {
        true => drop(read(format, bytes, usize::from(*step) + 1)),
        false => alike_at_any_cut(format, bytes, *step),
    }
}

const TOLD: &[&str] =
    &["JSONEachRow", "JSONObjectEachRow", "JSONColumns", "JSONCompactEachRow", "CSVWithNames", "TSV", "TSKV", "Avro"];

/// A byte for the format, then the head of an input: the columns it tells must take its rows or refuse them.
pub fn sample(bytes: &[u8]) {
    let [format, bytes @ ..] = bytes else { return };
    let format = TOLD[usize::from(*format) % TOLD.len()];
    let options = FormatOptions::default();
    let Ok(Some(fields)) = infer(format, bytes, &options) else { return };
    assert!(!fields.is_empty());
    let Ok(mut reader) = input(format, Arc::new(Schema::new(fields)), &options, None) else { return };
    let _ = reader.feed(bytes, true);
}
