//! Rows as text and as bytes, and the compression of a request's body.

use hydron_format::{Compression, Decompressor, FormatOptions, InputFormat, input};
use hydron_types::{Field, Schema, parse_type};
use std::sync::{Arc, LazyLock};

const FORMATS: &[&str] = &[
    "JSONEachRow",
    "CSV",
    "TSV",
    "Values",
    "RowBinary",
    "JSONCompactEachRow",
    "TSKV",
    "CSVWithNames",
    "RowBinaryWithNamesAndTypes",
    "JSONCompactEachRowWithNamesAndTypes",
    "Native",
    "TSVWithNamesAndTypes",
    "JSONAsString",
];

const COLUMNS: &[(&str, &str)] = &[
    ("i", "int32"),
    ("s", "string"),
    ("d", "datetime64(3, 'UTC')"),
    ("n", "nullable(float64)"),
    ("a", "array(nullable(string))"),
    ("m", "map(string, int64)"),
    ("t", "tuple(x uint8, y decimal(18, 4))"),
    ("e", "enum8('a' = 1, 'b' = -2)"),
    ("l", "low_cardinality(string)"),
    ("u", "uuid"),
    ("j", "json"),
    ("b", "bool"),
    ("w", "int256"),
    ("f", "fixed_string(3)"),
    ("o", "date"),
    ("p", "ipv6"),
];

static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let field = |(name, ty): &(&str, &str)| Field::new(*name, parse_type(ty).expect("a type of ours"));
    Arc::new(Schema::new(COLUMNS.iter().map(field).collect()))
});

static ONE: LazyLock<Arc<Schema>> =
    LazyLock::new(|| Arc::new(Schema::new(vec![Field::new("s", parse_type("string").expect("a type of ours"))])));

static OPTIONS: LazyLock<FormatOptions> = LazyLock::new(FormatOptions::default);

/// A byte for the format, one for the cut, then rows.
pub fn rows(input_bytes: &[u8]) {
    let [format, step, bytes @ ..] = input_bytes else { return };
    let name = FORMATS[usize::from(*format) % FORMATS.len()];
    let whole = read(name, bytes, bytes.len().max(1));
    let cut = read(name, bytes, usize::from(*step) + 1);
    assert_eq!(whole, cut, "{name}: the rows that are read depend on the cut");
}

/// Rows that come out; `None` when there is an error.
fn read(name: &str, bytes: &[u8], step: usize) -> Option<usize> {
    let schema = if name == "JSONAsString" { &ONE } else { &SCHEMA };
    let mut reader = input(name, Arc::clone(schema), &OPTIONS, None).expect("a format of ours");
    let mut rows = 0;
    let mut count = |reader: &mut Box<dyn InputFormat>, piece: &[u8], last: bool| {
        let batches = reader.feed(piece, last).ok()?;
        for read in batches {
            assert_eq!(read.batch.columns.len(), schema.fields.len());
            assert!(read.batch.columns.iter().all(|c| c.len() == read.batch.rows()));
            rows += read.batch.rows();
        }
        Some(())
    };
    for piece in bytes.chunks(step) {
        count(&mut reader, piece, false)?;
    }
    count(&mut reader, b"", true)?;
    Some(rows)
}

const PLAIN_BYTES_MAX: u64 = 64 << 20;

/// A byte for the compression, one for the cut, then a compressed body.
pub fn body(input: &[u8]) {
    let [kind, step, bytes @ ..] = input else { return };
    let kinds = [Compression::Gzip, Compression::Deflate, Compression::Zstd, Compression::Lz4];
    let Ok(mut decompressor) = Decompressor::new(kinds[usize::from(*kind) % 4], PLAIN_BYTES_MAX) else { return };
    let mut plain = 0_u64;
    let mut take = |piece: &[u8]| {
        plain += piece.len() as u64;
        assert!(plain <= PLAIN_BYTES_MAX, "more came out than is allowed");
        Ok(())
    };
    for piece in bytes.chunks(usize::from(*step) + 1) {
        if decompressor.feed(piece, &mut take).is_err() || decompressor.flush_available(&mut take).is_err() {
            return;
        }
    }
    // A body that ends too early is an error, and nothing else.
    let _ = decompressor.finish(&mut take);
}
