//! Files of the store as a crash, a bad disk or a hand may leave them: a segment of a log, a part, the catalog.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use hydron_base::world::SystemClock;
use hydron_store::catalog::{CatalogOptions, CatalogStore};
use hydron_store::log::{Disk, LogConfig, LogVolume, MemDisk, SchemaHistory, VolumeConfig};
use hydron_store::part::PartReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

const STREAM: Uuid = Uuid::from_u128(7);
const DISK_BYTES: u64 = 64 << 20;

pub fn schema() -> SchemaRef {
    let field = |name: &str, ty: DataType| Field::new(name, ty, false);
    Arc::new(Schema::new(vec![field("n", DataType::Int64), field("s", DataType::Binary)]))
}

pub fn volume(disk: &MemDisk) -> Arc<LogVolume> {
    let config = VolumeConfig { reserve_bytes: 0, tail_bytes: 1 << 20, ..VolumeConfig::default() };
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    LogVolume::open_on(disk, Arc::new(SystemClock), Path::new("/logs"), config).expect("a volume in memory")
}

pub fn disk() -> MemDisk {
    MemDisk::new(DISK_BYTES)
}

pub fn log_dir() -> PathBuf {
    PathBuf::from("/logs").join(format!("{STREAM}.0"))
}

/// The first segment of a log: it is opened, its records are read, and it takes another one or says why not.
pub fn log_segment(bytes: &[u8]) {
    let disk = disk();
    let path = log_dir().join(SEGMENT);
    let file = disk.create(&path).expect("a file in memory");
    file.write_at(&[bytes], 0).expect("room in memory");
    let volume = volume(&disk);
    if let Ok(log) = volume.open_log(STREAM, 0, SchemaHistory::new(1, schema()), LogConfig { segment_bytes: 1 << 20 }) {
        let mut cursor = log.subscribe(log.first_sequence());
        let mut last = None;
        while let Ok(Some(record)) = cursor.try_next() {
            assert!(last.is_none_or(|l| record.sequence > l), "records come in their order");
            last = Some(record.sequence);
            assert_eq!(record.batch.num_columns(), 2);
        }
        log.close();
    }
    volume.close();
}

/// The name of the first segment of a log.
pub const SEGMENT: &str = "00000000000000000000.log";

pub fn part(bytes: &[u8]) {
    let Ok(reader) = PartReader::of_bytes("part", Bytes::copy_from_slice(bytes), &schema(), None, 1024) else { return };
    for batch in reader {
        let Ok(batch) = batch else { return };
        assert_eq!(batch.num_columns(), 2);
    }
}

pub fn catalog(bytes: &[u8]) {
    let disk = disk();
    let file = disk.create(Path::new("/catalog/catalog-00000001.jsonl")).expect("a file in memory");
    file.write_at(&[bytes], 0).expect("room in memory");
    let disk: Arc<dyn Disk> = Arc::new(disk);
    if let Ok(store) = CatalogStore::open_on(disk, Path::new("/catalog"), CatalogOptions::default()) {
        let _ = store.list();
    }
}
