//! The log on the machine's own file system.

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use hydron_store::log::{Ack, Codec, Draft, LogConfig, LogVolume, Retention, SchemaHistory, Sequence, VolumeConfig};
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

pub fn draft(number: i64) -> Draft {
    let column = Arc::new(Int64Array::from(vec![number]));
    Draft { codec: Codec::None, ..Draft::new(Arc::new(RecordBatch::try_new(schema(), vec![column]).expect("fits")), 1) }
}

pub fn number_of(batch: &RecordBatch) -> i64 {
    batch.column(0).as_any().downcast_ref::<Int64Array>().expect("n").value(0)
}

pub fn volume(dir: &Path) -> Arc<LogVolume> {
    let config = VolumeConfig { tail_records: 10, reserve_bytes: 0, ..VolumeConfig::default() };
    LogVolume::open(dir, config).expect("volume")
}

#[test]
fn logs_of_many_streams_live_on_one_disk() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let config = LogConfig { segment_bytes: 64 << 10 };
    let streams: Vec<Uuid> = (0..5).map(Uuid::from_u128).collect();
    {
        let volume = volume(dir.path());
        let logs: Vec<_> = streams
            .iter()
            .map(|s| volume.open_log(*s, 1, SchemaHistory::new(1, schema()), config).expect("new"))
            .collect();
        let tickets: Vec<_> =
            (0..5000).map(|n| logs[n % 5].submit(draft(n as i64), Ack::Synced).expect("room")).collect();
        tickets.into_iter().for_each(|t| _ = t.wait().expect("stored"));
    }
    let volume = volume(dir.path());
    assert_eq!(volume.list().expect("readable").len(), 5);
    for (at, stream) in streams.iter().enumerate() {
        let log = volume.open_log(*stream, 1, SchemaHistory::new(1, schema()), config).expect("whole");
        assert!(log.recovery().segments > 2 && log.recovery().cut_bytes == 0);
        let mut cursor = log.subscribe(Sequence(0));
        for n in 0..1000 {
            let record = cursor.try_next().expect("readable").expect("there");
            assert_eq!(number_of(&record.batch), n * 5 + at as i64);
        }
        assert!(log.retain(Retention::NOTHING, log.next_sequence()).expect("disk").segments > 0);
        volume.drop_log(*stream, 1).expect("dropped");
    }
    assert!(volume.list().expect("readable").is_empty());
    assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 0);
}

#[test]
fn small_log_takes_little_room() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let volume = volume(dir.path());
    let log = volume.open_log(Uuid::nil(), 0, SchemaHistory::new(1, schema()), LogConfig::default()).expect("new");
    log.append_blocking(draft(1), Ack::Synced).expect("stored");
    let file = std::fs::read_dir(log.dir()).expect("there").next().expect("a segment").expect("readable");
    assert!(file.metadata().expect("there").len() <= 2 << 20);
}
