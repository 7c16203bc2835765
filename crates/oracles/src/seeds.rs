//! Seeds that need no server: files and messages as our own writers make them.

use crate::{disk, files};
use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch};
use hydron_format::{ResultStats, input, output};
use hydron_store::catalog::{CatalogOptions, CatalogStore, Entry};
use hydron_store::log::{Ack, Disk, Draft, LogConfig, SchemaHistory};
use hydron_store::part::{PartOptions, encode_part};
use hydron_types::{Batch, Field, Schema};
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

const ROWS: &str = "-5\ta b\t\\N\t['x',NULL]\t{'k':1}\t(1,'q')\t2024-02-29 12:34:56.789\t2024-02-29\ttrue\t-1.2500\t{\"x\":1,\"y\":\"z\"}\n\
    7\t\t1.5\t[]\t{}\t(0,'')\t1970-01-01 00:00:00.000\t1970-01-01\tfalse\t0.0001\t{}\n";

/// Target, name and bytes of each.
pub fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let rows = rows();
    let mut add = |target: &'static str, name: &str, head: &[u8], body: &[u8]| {
        seeds.push((target, name.to_string(), [head, body].concat()));
    };
    for (kind, format) in ["Arrow", "ArrowStream"].into_iter().enumerate() {
        add("arrow", format, &[kind as u8, 7], &written(format, &rows));
    }
    add("parquet", "Parquet", &[7], &written("Parquet", &rows));
    add("avro", "Avro", &[0, 7], &written("Avro", &rows));
    add("avro", "AvroConfluent", &[1, 7], &[&[0, 0, 0, 0, 1][..], &CONFLUENT[..]].concat());
    let narrow = without(&rows, &["o", "j"]);
    for (kind, format) in ["Protobuf", "ProtobufSingle", "ProtobufList"].into_iter().enumerate() {
        let rows = if format == "ProtobufSingle" { narrow.slice(0, 1) } else { narrow.clone() };
        add("protobuf", format, &[kind as u8, 7], &written(format, &rows));
    }
    for (kind, format) in files::FRAMED.iter().enumerate() {
        let writer = format.replace("IgnoreSpaces", "");
        let body = match *format {
            "Regexp" => b"1,a;\\N:[] {}xyz123\n".to_vec(),
            _ => written(&writer, &rows),
        };
        add("framed", format, &[kind as u8, 7], &body);
    }
    add("format_schema", "Protobuf", &[0], files::PROTOBUF.as_bytes());
    add("format_schema", "Avro", &[1], files::AVRO.as_bytes());
    for (kind, format) in [(0, "JSONEachRow"), (1, "JSONObjectEachRow"), (2, "JSONColumns"), (3, "JSONCompactEachRow")]
    {
        add("sample", format, &[kind], &written(format, &rows));
    }
    for (kind, format) in [(4, "CSVWithNames"), (5, "TSV"), (6, "TSKV"), (7, "Avro")] {
        add("sample", format, &[kind], &written(format, &rows));
    }
    add("log_segment", "two-records", &[], &segment());
    add("part", "two-rows", &[], &part());
    add("catalog", "three-changes", &[], &catalog());
    seeds
}

/// A record of the schema of AvroConfluent, by hand.
const CONFLUENT: [u8; 25] =
    [9, 2, b'a', 0, 2, 2, 2, b'x', 0, 2, 2, b'k', 2, 0, 2, 2, b'q', 0x80, 1, 0x80, 1, 1, 2, 5, 0];

fn rows() -> Batch {
    let mut reader = input("TSV", Arc::clone(&files::SCHEMA), &files::options("TSV"), None).expect("TSV");
    reader.feed(ROWS.as_bytes(), true).expect("the rows above").remove(0).batch
}

fn without(rows: &Batch, names: &[&str]) -> Batch {
    let kept: Vec<usize> =
        (0..rows.columns.len()).filter(|c| !names.contains(&&*rows.schema.fields[*c].name)).collect();
    let fields: Vec<Field> = kept.iter().map(|c| rows.schema.fields[*c].clone()).collect();
    rows.project(Arc::new(Schema::new(fields)), &kept)
}

fn written(format: &str, rows: &Batch) -> Vec<u8> {
    let mut writer = output(format, Arc::clone(&rows.schema), &files::options(format)).expect("a format of ours");
    let mut out = Vec::new();
    writer.prefix(&mut out).expect("memory");
    writer.batch(rows, &mut out).expect("rows of ours");
    writer.suffix(&ResultStats::default(), &mut out).expect("memory");
    out
}

fn record() -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, -2]));
    let texts: ArrayRef = Arc::new(BinaryArray::from(vec![&b"a"[..], b"text"]));
    RecordBatch::try_new(disk::schema(), vec![numbers, texts]).expect("two columns")
}

fn segment() -> Vec<u8> {
    let memory = disk::disk();
    let volume = disk::volume(&memory);
    let config = LogConfig { segment_bytes: 1 << 20 };
    let log = volume.open_log(Uuid::from_u128(7), 0, SchemaHistory::new(1, disk::schema()), config).expect("a log");
    for _ in 0..2 {
        log.append_blocking(Draft::new(Arc::new(record()), 1), Ack::Synced).expect("room in memory");
    }
    volume.close();
    let mut bytes = Vec::new();
    memory.tamper(&disk::log_dir().join(disk::SEGMENT), |file| bytes = file.clone()).expect("the segment");
    // Room that was reserved and never written need not be in a seed.
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 64).min(bytes.len());
    bytes.truncate(end);
    bytes
}

fn part() -> Vec<u8> {
    encode_part(&disk::schema(), &[record()], &PartOptions::default()).expect("rows of ours").bytes.to_vec()
}

fn catalog() -> Vec<u8> {
    let memory = disk::disk();
    let shared: Arc<dyn Disk> = Arc::new(memory.clone());
    let store = CatalogStore::open_on(shared, Path::new("/catalog"), CatalogOptions::default()).expect("a catalog");
    let entry = |id: u128| Entry {
        kind: "stream".to_string(),
        uuid: Uuid::from_u128(id),
        name: "default.s".to_string(),
        text: "CREATE STREAM default.s (n int64)".to_string(),
        properties: Default::default(),
    };
    store.put(entry(1)).expect("room");
    store.put(entry(2)).expect("room");
    store.remove(Uuid::from_u128(1)).expect("it is there");
    let mut bytes = Vec::new();
    memory.tamper(Path::new("/catalog/catalog-00000001.jsonl"), |file| bytes = file.clone()).expect("the catalog");
    bytes
}
