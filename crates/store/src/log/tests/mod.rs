//! Stories of the log, from one record to a log that loses power.

mod faults;
mod format;
mod reading;
mod together;
mod writing;

use super::*;
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use hydron_base::world::{ManualClock, WallTime};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

pub const STREAM: Uuid = Uuid::from_u128(7);

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

pub fn batch(numbers: impl IntoIterator<Item = i64>) -> Arc<RecordBatch> {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
    Arc::new(RecordBatch::try_new(schema(), vec![column]).expect("one column of the schema's type"))
}

pub fn draft(number: i64) -> Draft {
    Draft::new(batch([number]), 1)
}

pub fn number_of(record: &Record) -> i64 {
    let column = record.batch.column(0);
    column.as_any().downcast_ref::<Int64Array>().expect("column n").value(0)
}

/// A volume in memory with one log, whose time is moved by hand.
pub struct World {
    pub disk: MemDisk,
    pub clock: Arc<ManualClock>,
    pub volume: Arc<LogVolume>,
    pub log: Arc<Log>,
}

pub struct Options {
    pub segment_bytes: u64,
    pub tail_records: usize,
    pub capacity: u64,
    pub on_fault: Option<FaultHook>,
}

impl Default for Options {
    fn default() -> Options {
        Options { segment_bytes: 4096, tail_records: 1000, capacity: 64 << 20, on_fault: None }
    }
}

pub fn dir() -> PathBuf {
    PathBuf::from("/logs")
}

pub fn log_dir() -> PathBuf {
    dir().join(format!("{STREAM}.0"))
}

/// The files of the log that end in `.log`, oldest first.
pub fn segment_files(disk: &MemDisk) -> Vec<PathBuf> {
    let mut names: Vec<String> =
        disk.list(&log_dir()).expect("memory").into_iter().filter(|n| n.ends_with(".log")).collect();
    names.sort();
    names.iter().map(|n| log_dir().join(n)).collect()
}

impl World {
    pub fn new(options: Options) -> World {
        let disk = MemDisk::with_power_cuts(options.capacity);
        World::on(disk, options).expect("new log")
    }

    /// A server that starts on this disk.
    pub fn on(disk: MemDisk, options: Options) -> crate::Result<World> {
        let clock = Arc::new(ManualClock::at(WallTime(1_000_000)));
        let config = VolumeConfig {
            tail_records: options.tail_records,
            reserve_bytes: 0,
            on_fault: options.on_fault,
            ..VolumeConfig::default()
        };
        let volume = LogVolume::open_on(Arc::new(disk.clone()), clock.clone(), Path::new("/logs"), config)?;
        let log_config = LogConfig { segment_bytes: options.segment_bytes };
        let log = volume.open_log(STREAM, 0, SchemaHistory::new(1, schema()), log_config)?;
        Ok(World { disk, clock, volume, log })
    }

    pub fn append(&self, number: i64) -> Appended {
        self.log.append_blocking(draft(number), Ack::Synced).expect("stored")
    }

    /// All numbers that a reader from `from` gets now.
    pub fn read_from(&self, from: u64) -> Vec<i64> {
        read_all(&self.log, from)
    }
}

pub fn read_all(log: &Arc<Log>, from: u64) -> Vec<i64> {
    let mut cursor = log.subscribe(Sequence(from));
    let mut out = Vec::new();
    while let Some(record) = cursor.try_next().expect("readable") {
        assert_eq!(record.sequence.0, from + out.len() as u64, "dense and in order");
        out.push(number_of(&record));
    }
    out
}
