//! One record of the log as writers give it and readers get it: a batch of rows and what is known about it without
//! looking at them.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Bytes of one idempotency key.
pub const KEY_BYTES_MAX: usize = 4096;
/// Bytes of one producer stamp: it holds a position per input shard, 64 KiB is some four thousand shards.
pub const STAMP_BYTES_MAX: usize = 64 << 10;

/// Position of a record in the log of one shard: dense, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

impl Sequence {
    pub fn next(self) -> Sequence {
        Sequence(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Lowest and highest event time of the rows of a record, in microseconds since 1970-01-01 UTC, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct EventSpan {
    pub min_us: i64,
    pub max_us: i64,
}

impl EventSpan {
    /// What is true of rows whose event time is not known: any time. A search by time never skips them.
    pub const UNKNOWN: EventSpan = EventSpan { min_us: i64::MIN, max_us: i64::MAX };

    pub fn new(min_us: i64, max_us: i64) -> EventSpan {
        EventSpan { min_us, max_us }
    }

    pub fn union(self, other: EventSpan) -> EventSpan {
        EventSpan { min_us: self.min_us.min(other.min_us), max_us: self.max_us.max(other.max_us) }
    }
}

/// How the body of a record is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    None,
    #[default]
    Lz4,
    Zstd,
}

impl Codec {
    pub(super) fn number(self) -> u8 {
        match self {
            Codec::None => 0,
            Codec::Lz4 => 1,
            Codec::Zstd => 2,
        }
    }

    pub(super) fn from_number(number: u8) -> Option<Codec> {
        match number {
            0 => Some(Codec::None),
            1 => Some(Codec::Lz4),
            2 => Some(Codec::Zstd),
            _ => None,
        }
    }
}

/// Schemas of a stream by version. A record names its version and does not repeat the schema.
pub trait Schemas: Send + Sync {
    fn schema(&self, version: u16) -> Option<SchemaRef>;
}

/// The versions of one stream's schema in memory; ALTER adds one.
pub struct SchemaHistory(RwLock<BTreeMap<u16, SchemaRef>>);

impl SchemaHistory {
    pub fn new(version: u16, schema: SchemaRef) -> Arc<SchemaHistory> {
        Arc::new(SchemaHistory(RwLock::new(BTreeMap::from([(version, schema)]))))
    }

    /// Adds or replaces one version.
    pub fn set(&self, version: u16, schema: SchemaRef) {
        self.0.write().insert(version, schema);
    }
}

impl Schemas for SchemaHistory {
    fn schema(&self, version: u16) -> Option<SchemaRef> {
        self.0.read().get(&version).cloned()
    }
}

/// What a writer wants to append.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The rows. The same `Arc` reaches the subscribers near the head of the log.
    pub batch: Arc<RecordBatch>,
    pub schema_version: u16,
    /// Positions, in the schema of that version, of the batch's columns. `None`: all of them, in order.
    pub columns: Option<Arc<[u16]>>,
    pub event_span: EventSpan,
    /// Idempotency key, at most [`KEY_BYTES_MAX`]: a key seen lately is not stored again.
    pub key: Option<Bytes>,
    /// Opaque mark of a producing view, at most [`STAMP_BYTES_MAX`].
    pub stamp: Option<Bytes>,
    pub codec: Codec,
}

impl Draft {
    /// All columns, event time unknown, LZ4.
    pub fn new(batch: Arc<RecordBatch>, schema_version: u16) -> Draft {
        Draft {
            batch,
            schema_version,
            columns: None,
            event_span: EventSpan::UNKNOWN,
            key: None,
            stamp: None,
            codec: Codec::default(),
        }
    }
}

/// A record as readers get it. `batch` has the schema of its version, or the part of it that `columns` names.
#[derive(Clone, Debug)]
pub struct Record {
    pub sequence: Sequence,
    /// Milliseconds since 1970-01-01 UTC by the server's clock; never falls within one log.
    pub append_time_ms: i64,
    pub event_span: EventSpan,
    pub schema_version: u16,
    pub columns: Option<Arc<[u16]>>,
    pub key: Option<Bytes>,
    pub stamp: Option<Bytes>,
    pub batch: Arc<RecordBatch>,
}

/// A record's head with its optional fields, without its rows: what a scan for stamps and keys needs.
#[derive(Clone, Debug)]
pub struct RecordHead {
    pub sequence: Sequence,
    pub append_time_ms: i64,
    pub event_span: EventSpan,
    pub rows: u32,
    pub schema_version: u16,
    pub key: Option<Bytes>,
    pub stamp: Option<Bytes>,
}
