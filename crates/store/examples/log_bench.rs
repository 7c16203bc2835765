//! Measures the log on this machine: `log_bench [directory] [seconds per case]`.
//!
//! Appends per second and latency for small records, megabytes per second for large ones, and reading back; then parts,
//! packed one way and the other. Every append waits until it is synced.

use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use hydron_store::log::{Ack, Codec, Draft, LogConfig, LogVolume, SchemaHistory, Sequence, VolumeConfig};
use hydron_store::part::{PartCodec, PartOptions, PartStore, encode_part};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().unwrap_or_else(|| "log_bench_data".to_owned()));
    let seconds = args.next().map_or(Ok(3), |s| s.parse())?;
    let time = Duration::from_secs(seconds);
    println!("{:<34} {:>10} {:>9} {:>9} {:>9}", "append, synced", "records/s", "MB/s", "p50 us", "p99 us");
    for (bytes, writers) in [(200, 1), (200, 16), (64 << 10, 1), (64 << 10, 16), (1 << 20, 1), (1 << 20, 4)] {
        append(&dir, bytes, writers, time)?;
    }
    for logs in [4, 16, 64] {
        many_logs(&dir, logs, time)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(parts(&dir))?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

fn byte_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("b", DataType::Binary, false)]))
}

fn draft(bytes: usize) -> Outcome<Draft> {
    let value: Vec<u8> = (0..bytes as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect();
    let column: ArrayRef = Arc::new(BinaryArray::from_iter_values([value]));
    Ok(Draft { codec: Codec::None, ..Draft::new(Arc::new(RecordBatch::try_new(byte_schema(), vec![column])?), 1) })
}

fn append(dir: &Path, bytes: usize, writers: usize, time: Duration) -> Outcome<()> {
    let volume = LogVolume::open(dir, VolumeConfig { tail_records: 64, ..VolumeConfig::default() })?;
    let stream = Uuid::new_v4();
    let log = volume.open_log(stream, 0, SchemaHistory::new(1, byte_schema()), LogConfig::default())?;
    let draft = draft(bytes)?;
    let start = Instant::now();
    let mut took: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|_| {
                let (log, draft) = (&log, &draft);
                scope.spawn(move || {
                    let mut took = Vec::new();
                    while start.elapsed() < time {
                        let begin = Instant::now();
                        if let Err(e) = log.append_blocking(draft.clone(), Ack::Synced) {
                            eprintln!("{e}");
                            break;
                        }
                        took.push(begin.elapsed());
                    }
                    took
                })
            })
            .collect();
        threads.into_iter().flat_map(|t| t.join().unwrap_or_default()).collect()
    });
    let elapsed = start.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |q: f64| took.get((took.len() as f64 * q) as usize).map_or(0, |d| d.as_micros());
    let rate = took.len() as f64 / elapsed;
    let name = format!("{bytes} bytes, {writers} writers");
    let mb = rate * bytes as f64 / 1e6;
    println!("{name:<34} {rate:>10.0} {mb:>9.1} {:>9} {:>9}", at(0.5), at(0.99));
    let begin = Instant::now();
    let mut cursor = log.subscribe(Sequence(0));
    let mut read = 0u64;
    while cursor.try_next()?.is_some() {
        read += 1;
    }
    let rate = read as f64 / begin.elapsed().as_secs_f64();
    println!("{:<34} {rate:>10.0} {:>9.1}", "  read back from files", rate * bytes as f64 / 1e6);
    volume.drop_log(stream, 0)?;
    Ok(())
}

/// One writer for each of many logs: each group syncs many files.
fn many_logs(dir: &Path, logs: usize, time: Duration) -> Outcome<()> {
    let volume = LogVolume::open(dir, VolumeConfig::default())?;
    let draft = draft(200)?;
    let open = |_| volume.open_log(Uuid::new_v4(), 0, SchemaHistory::new(1, byte_schema()), LogConfig::default());
    let all = (0..logs).map(open).collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    let mut took: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = all
            .iter()
            .map(|log| {
                let draft = &draft;
                scope.spawn(move || {
                    let mut took = Vec::new();
                    while start.elapsed() < time {
                        let begin = Instant::now();
                        if log.append_blocking(draft.clone(), Ack::Synced).is_ok() {
                            took.push(begin.elapsed());
                        }
                    }
                    took
                })
            })
            .collect();
        threads.into_iter().flat_map(|t| t.join().unwrap_or_default()).collect()
    });
    let elapsed = start.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |q: f64| took.get((took.len() as f64 * q) as usize).map_or(0, |d| d.as_micros());
    let (name, rate) = (format!("200 bytes, {logs} logs with a writer each"), took.len() as f64 / elapsed);
    println!("{name:<34} {rate:>10.0} {:>9.1} {:>9} {:>9}", rate * 2e-4, at(0.5), at(0.99));
    for log in all {
        volume.drop_log(log.ident().stream, 0)?;
    }
    Ok(())
}

async fn parts(dir: &Path) -> Outcome<()> {
    const ROWS: i64 = 1_000_000;
    let schema = Arc::new(Schema::new(vec![
        Field::new("at", DataType::Int64, false),
        Field::new("device", DataType::Binary, false),
        Field::new("value", DataType::Float64, false),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values((0..ROWS).map(|n| 1_700_000_000_000_000 + n * 1000))),
        Arc::new(BinaryArray::from_iter_values((0..ROWS).map(|n| format!("device-{}", n * 7919 % 1000)))),
        Arc::new(Float64Array::from_iter_values((0..ROWS).map(|n| 20.0 + ((n * 31) % 1000) as f64 / 100.0))),
    ];
    let rows = RecordBatch::try_new(schema.clone(), columns)?;
    println!("{:<34} {:>10} {:>9} {:>9}", "part of 1,000,000 rows", "bytes", "write ms", "read ms");
    let store = PartStore::open(&dir.join("history")).await?;
    for codec in [PartCodec::Zstd(1), PartCodec::Lz4, PartCodec::None] {
        let begin = Instant::now();
        let encoded =
            encode_part(&schema, std::slice::from_ref(&rows), &PartOptions { codec, ..PartOptions::default() })?;
        let wrote = begin.elapsed().as_millis();
        let part = store.write_part(encoded, BTreeMap::new(), None, 1, 0).await?;
        let begin = Instant::now();
        for _ in 0..5 {
            for batch in store.read_part(&part, &schema, None, 65_536).await? {
                std::hint::black_box(batch?);
            }
        }
        println!("{:<34} {:>10} {wrote:>9} {:>9}", format!("{codec:?}"), part.bytes, begin.elapsed().as_millis() / 5);
    }
    Ok(())
}
