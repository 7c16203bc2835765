use super::*;
use crate::{FormatOptions, OutputFormat, ResultStats};
use hydron_types::column::value_at;
use hydron_types::{Batch, ColumnBuilder, Field, Schema as Columns, Style, TextOptions, parse_type, read_text};
use std::sync::Arc;

fn batch(columns: &[(&str, &str, &[&str])]) -> Batch {
    let fields = columns.iter().map(|(n, t, _)| Field::new(*n, parse_type(t).unwrap())).collect();
    let schema = Arc::new(Columns::new(fields));
    let arrays = columns.iter().zip(&schema.fields).map(|((_, _, texts), field)| {
        let mut builder = ColumnBuilder::new(&field.ty);
        for text in *texts {
            read_text(text.as_bytes(), Style::Escaped, &TextOptions::default(), &mut builder).unwrap();
        }
        builder.finish().unwrap()
    });
    let rows = columns[0].2.len();
    Batch::new(Arc::clone(&schema), arrays.collect(), rows)
}

fn rows_of(batch: &Batch) -> Vec<Vec<hydron_types::Value>> {
    let row = |r| batch.columns.iter().zip(&batch.schema.fields).map(|(c, f)| value_at(c, &f.ty, r)).collect();
    (0..batch.rows()).map(row).collect()
}

fn many() -> Batch {
    batch(&[
        ("i", "int32", &["-5", "70000"]),
        ("u", "uint64", &["0", "18446744073709551615"]),
        ("s", "string", &["", "text"]),
        ("f", "float64", &["1.5", "-0.25"]),
        ("n", "nullable(int64)", &["\\N", "7"]),
        ("d", "date", &["2020-01-02", "1970-01-01"]),
        ("t", "datetime64(3, 'UTC')", &["2020-01-02 03:04:05.678", "1970-01-01 00:00:00.000"]),
        ("dec", "decimal(10, 2)", &["-12.34", "0.05"]),
        ("a", "array(string)", &["[]", "['x','y']"]),
        ("m", "map(string, int8)", &["{}", "{'k':1}"]),
        ("tu", "tuple(a int8, b string)", &["(1,'q')", "(2,'')"]),
        ("id", "uuid", &["00000000-0000-0000-0000-000000000000", "61f0c404-5cb3-11e7-907b-a6006ad3dba0"]),
        ("e", "enum8('a' = 1, 'b' = 2)", &["a", "b"]),
        ("b", "bool", &["true", "false"]),
    ])
}

fn written(batch: &Batch, options: &FormatOptions) -> Vec<u8> {
    let mut writer = AvroWriter::new(&batch.schema, options).unwrap();
    let mut out = Vec::new();
    writer.prefix(&mut out).unwrap();
    writer.batch(batch, &mut out).unwrap();
    writer.suffix(&ResultStats::default(), &mut out).unwrap();
    out
}

fn read(schema: &Arc<Columns>, bytes: &[u8], step: usize, options: &FormatOptions) -> hydron_base::Result<Vec<Batch>> {
    let mut reader = AvroReader::open(schema, options, false)?;
    let mut batches = Vec::new();
    for piece in bytes.chunks(step) {
        batches.extend(reader.feed(piece, false)?);
    }
    batches.extend(reader.feed(b"", true)?);
    Ok(batches.into_iter().map(|b| b.batch).collect())
}

#[test]
fn what_was_written_is_read_with_every_codec_and_at_any_cut() {
    let batch = many();
    for codec in ["null", "deflate", "snappy", "zstandard"] {
        let options = FormatOptions { avro_codec: codec.to_string(), ..FormatOptions::default() };
        let bytes = written(&batch, &options);
        for step in [1, 7, bytes.len()] {
            let back = read(&batch.schema, &bytes, step, &options).unwrap();
            assert_eq!(back.iter().flat_map(rows_of).collect::<Vec<_>>(), rows_of(&batch), "{codec} {step}");
        }
        for end in 0..bytes.len() {
            // A cut inside the header or a block is told; one at the end of the header is a file without rows.
            let cut = read(&batch.schema, &bytes[..end], 4096, &options);
            assert!(cut.is_err() || cut.unwrap().is_empty(), "{codec} cut at {end}");
        }
    }
}

#[test]
fn bare_records_of_a_given_schema_come_one_after_another() {
    let source = r#"{"type": "record", "name": "u", "fields": [
        {"name": "name", "type": "string"},
        {"name": "number", "type": ["int", "null"]},
        {"name": "extra", "type": ["null", "string"]}]}"#;
    let schema = crate::format_schema::NamedSchema { named: "u".to_string(), source: source.to_string() };
    let options = FormatOptions { schema, ..FormatOptions::default() };
    let batch = batch(&[("name", "string", &["a", "bc"]), ("number", "nullable(int32)", &["1", "\\N"])]);
    let bytes = written(&batch, &options);
    assert_eq!(bytes, [2, b'a', 0, 2, 0, 4, b'b', b'c', 2, 0]);
    let back = read(&batch.schema, &bytes, 1, &options).unwrap();
    assert_eq!(back.iter().flat_map(rows_of).collect::<Vec<_>>(), rows_of(&batch));
}

#[test]
fn wrong_schemas_are_told() {
    for wrong in [
        "{",
        r#""nothing""#,
        "[]",
        r#"{"type": "record", "name": "r"}"#,
        r#"{"type": "record", "name": "r", "fields": [{"name": "f", "type": "r"}]}"#,
        r#"{"type": "array"}"#,
        r#"{"type": "fixed", "name": "f", "size": -1}"#,
    ] {
        assert!(Schema::parse(wrong).is_err(), "{wrong}");
    }
    let deep = format!("{}\"int\"{}", r#"{"type": "array", "items": "#.repeat(100), "}".repeat(100));
    assert!(Schema::parse(&deep).is_err());
    // A list of itself ends where it is empty.
    Schema::parse(
        r#"{"type": "record", "name": "r", "fields": [{"name": "f", "type": {"type": "array", "items": "r"}}]}"#,
    )
    .unwrap();
}
